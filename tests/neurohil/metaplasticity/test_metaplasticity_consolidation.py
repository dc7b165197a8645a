"""The consolidation rules and the fused step: one suite for the readable reference and for the kernel."""

import math

import numpy as np
import pytest

from neurohil.metaplasticity import consolidation, kernels
from neurohil.metaplasticity.consolidation import UNKNOWN, Device
from neurohil.metaplasticity.quantizer import Quantizer

TWINS = [consolidation.update, kernels.update]
RULES = ["inner_threshold", "local_binary", "bnn", "none"]


class Weights:
    """State of a few weights, and steps of one of the twins."""

    def __init__(self, hidden, quantizer, mean=0.0):
        self.hidden = np.array(hidden, dtype=np.float32)
        self.mean = np.full_like(self.hidden, mean)
        self.square = np.zeros_like(self.hidden)
        self.quantizer = quantizer
        self.levels = quantizer.to_levels(self.hidden)
        self.events = np.zeros(self.hidden.shape, dtype=np.int32)

    def step(self, update, gradient, rule="none", strength=0.0, rate=0.01, decay=0.0, margin=0.5, device=UNKNOWN):
        gradient = np.broadcast_to(np.float32(gradient), self.hidden.shape).copy()
        return update(
            self.hidden, self.mean, self.square, gradient, self.levels, self.events,
            rule, strength, rate, decay, margin, self.quantizer, device,
        )  # fmt: skip


def moved(update, hidden, rule, strength, levels=15, direction=1, device=UNKNOWN, events=0):
    """How far one step moves weights, as a share of what it would move them without consolidation."""
    damped, free = Weights(hidden, Quantizer(levels)), Weights(hidden, Quantizer(levels))
    before = damped.hidden.copy()
    damped.events[:] = events
    damped.step(update, direction, rule, strength, rate=1e-3, device=device)
    free.step(update, direction, rate=1e-3)
    return (damped.hidden - before) / (free.hidden - before)


def sech2(x):
    return 1 / np.cosh(x) ** 2


@pytest.mark.parametrize("update", TWINS)
def test_without_consolidation_it_is_adam(update):
    """Kingma and Ba's algorithm with the step size of section 2 of their paper, in float64, a scalar at a time."""
    rng = np.random.default_rng(0)
    weights = Weights(rng.uniform(-1, 1, 7), Quantizer())
    expected, m, v = weights.hidden.astype(float), np.zeros(7), np.zeros(7)
    for t in range(1, 30):
        gradient = rng.normal(size=7)
        total = gradient + 0.1 * expected
        m, v = 0.9 * m + 0.1 * total, 0.999 * v + 0.001 * total**2
        rate = 0.005 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected -= rate * m / (np.sqrt(v) + 1e-8)
        weights.step(update, gradient, rate=consolidation.adam_rate(0.005, t), decay=0.1)
    np.testing.assert_allclose(weights.hidden, expected, rtol=2e-5, atol=2e-7)


@pytest.mark.parametrize("update", TWINS)
@pytest.mark.parametrize(("rule", "factor"), [("inner_threshold", 2.0), ("local_binary", 1.0), ("bnn", 1.0)])
def test_two_levels_are_the_binary_rule(update, rule, factor):
    """Laborieux et al. 2021: the step is multiplied by 1 - tanh^2(m |W|) where sign(W) and the moment agree."""
    m_meta, rng = 1.35, np.random.default_rng(1)
    weights = Weights(rng.uniform(-0.5, 0.5, 200), Quantizer(2))
    mean, square = np.zeros(200, np.float32), np.zeros(200, np.float32)
    for t in range(1, 120):
        gradient = rng.normal(0.2 * np.sin(t / 9), 1, 200).astype(np.float32)
        hidden, rate = weights.hidden.copy(), consolidation.adam_rate(0.02, t)
        mean = 0.9 * mean + (1 - 0.9) * gradient
        square = 0.999 * square + (1 - 0.999) * gradient * gradient
        step = -rate * mean / (np.sqrt(square) + 1e-8)
        shrinks = np.sign(hidden) * mean > 0
        expected = hidden + step * np.where(shrinks, 1 - np.tanh(m_meta * np.abs(hidden)) ** 2, 1)
        weights.step(update, gradient, rule, factor * m_meta, rate)
        np.testing.assert_allclose(weights.hidden, expected, rtol=0, atol=3e-7)
        np.testing.assert_array_equal(weights.levels, np.where(weights.hidden < 0, -1, 1))
    assert np.abs(weights.hidden).max() > 0.6 and shrinks.any() and not shrinks.all()


@pytest.mark.parametrize("update", TWINS)
@pytest.mark.parametrize(("rule", "strength"), [("inner_threshold", 2.7), ("local_binary", 1.35)])
def test_two_levels_give_the_binary_rule_to_the_bit(update, rule, strength):
    rng = np.random.default_rng(2)
    hidden = rng.uniform(-0.5, 0.5, 300)
    interval, binary = Weights(hidden, Quantizer(2)), Weights(hidden, Quantizer(2))
    for t in range(1, 100):
        gradient, rate = rng.normal(size=300), consolidation.adam_rate(0.02, t)
        changes = [interval.step(update, gradient, rule, strength, rate)]
        changes.append(binary.step(update, gradient, "bnn", 1.35, rate))
        assert changes[0] == changes[1]
        np.testing.assert_array_equal(interval.hidden, binary.hidden)
        np.testing.assert_array_equal(interval.levels, binary.levels)


@pytest.mark.parametrize("update", TWINS)
def test_inner_threshold_measures_down_to_the_threshold(update):
    """Odd levels (step 1/7): middle level to zero, others to the inner threshold, beyond the last one on and on."""
    step = 1 / 7
    in_steps = np.array([0.3, 0.7, 1.4, 2.0, 6.2, 6.9, 8.0])
    d = np.array([0.3, 0.2, 0.9, 0.5, 0.7, 0.4, 1.5])
    for sign in (1, -1):
        share = moved(update, sign * in_steps * step, "inner_threshold", 2.0, direction=sign)
        np.testing.assert_allclose(share, sech2(2.0 * d), rtol=0.02)
        np.testing.assert_allclose(moved(update, sign * in_steps * step, "inner_threshold", 2.0, direction=-sign), 1.0)


@pytest.mark.parametrize("update", TWINS)
@pytest.mark.parametrize(("rule", "slope"), [("inner_threshold", 1.0), ("local_binary", 2.0), ("bnn", 1 / 7)])
def test_the_device_moves_the_distance_and_its_wear_grows_it(update, rule, slope):
    """Step 1/7, hidden weight 1.8 steps: distances 0.3 and 0.6 steps of the interval rules, 1.8 / 7 of the binary one.
    A device beyond its threshold isn't protected."""
    hidden = np.full(4, 1.8 / 7)
    d = {"inner_threshold": 0.3, "local_binary": 0.6, "bnn": 1.8 / 7}[rule]
    errors = np.array([0.1, -0.1, -3.0, 0.0], dtype=np.float32)
    expected = sech2(2.0 * np.array([d + 0.1 * slope, d - 0.1 * slope, 0.0, d]))
    share = moved(update, hidden, rule, 2.0, device=Device(errors))
    np.testing.assert_allclose(share, expected, rtol=0.02)
    share = moved(update, hidden, rule, 2.0, device=Device(wear=0.25), events=[0, 1, 2, 4])
    np.testing.assert_allclose(share, sech2(2.0 * d * np.array([1.0, 1.25, 1.5, 2.0])), rtol=0.02)
    np.testing.assert_allclose(
        moved(update, hidden, rule, 2.0, direction=-1, device=Device(errors, 0.25), events=3), 1.0, rtol=0.02
    )


@pytest.mark.parametrize("update", TWINS)
def test_inner_threshold_of_even_levels(update):
    """Four levels (step 2/3) have thresholds at 0 and 1 step."""
    share = moved(update, np.array([0.25, 0.9, 1.3, 2.0]) * 2 / 3, "inner_threshold", 1.5, levels=4)
    np.testing.assert_allclose(share, sech2(1.5 * np.array([0.25, 0.9, 0.3, 1.0])), rtol=0.02)


@pytest.mark.parametrize("update", TWINS)
def test_local_binary_guards_the_threshold_of_its_interval(update):
    """Between levels 1 and 2 the threshold is at 1.5 steps: steps towards it are damped, from above and from below."""
    step = 1 / 7
    above, below = np.array([1.6, 1.9, 7.2]) * step, np.array([1.4, 1.1]) * step
    np.testing.assert_allclose(
        moved(update, above, "local_binary", 2.0), sech2(2.0 * 2 * np.array([0.1, 0.4, 0.7])), rtol=0.02
    )
    np.testing.assert_allclose(
        moved(update, below, "local_binary", 2.0, direction=-1), sech2(2.0 * 2 * np.array([0.1, 0.4])), rtol=0.02
    )
    np.testing.assert_allclose(moved(update, above, "local_binary", 2.0, direction=-1), 1.0)
    np.testing.assert_allclose(moved(update, below, "local_binary", 2.0), 1.0)


@pytest.mark.parametrize("update", TWINS)
def test_local_binary_is_one_at_the_levels(update):
    """The argument of the gate is m* at a level: just above level 2 the step towards 2.5 is damped by sech^2(m*)."""
    share = moved(update, np.array([2.001]) / 7, "local_binary", 1.2, direction=-1)
    np.testing.assert_allclose(share, sech2(1.2), rtol=0.02)


@pytest.mark.parametrize("update", TWINS)
def test_the_moment_opens_the_gate_not_the_gradient(update):
    hidden = [0.4]
    for mean, damped in ((0.5, True), (-0.5, False)):
        weights, free = (Weights(hidden, Quantizer(), mean) for _ in range(2))
        gradient = -np.sign(mean) * 0.1  # too weak to turn the moment round
        weights.step(update, gradient, "bnn", 3.0)
        free.step(update, gradient)
        assert (abs(weights.hidden - 0.4) < 0.5 * abs(free.hidden - 0.4))[0] == damped
        np.testing.assert_array_equal(weights.mean, free.mean)  # the gate is not in the moments


@pytest.mark.parametrize("update", TWINS)
def test_levels_follow_beyond_the_margin_and_are_counted(update):
    step = 1 / 7
    weights = Weights(np.array([1.0, 1.0, -1.0, 7.0]) * step, Quantizer())
    weights.hidden[:] = np.array([1.45, 1.55, -2.8, 30.0]) * step
    assert weights.step(update, 0.0) == 2
    assert weights.levels.tolist() == [1, 2, -3, 7] and weights.events.tolist() == [0, 1, 1, 0]
    weights.hidden[:] = np.array([1.55, 1.45, -4.0, 6.0]) * step
    assert weights.step(update, 0.0, margin=0.8) == 2
    assert weights.levels.tolist() == [1, 2, -4, 6] and weights.events.tolist() == [0, 1, 2, 1]
    weights.hidden[:] = 0.0
    assert weights.step(update, 0.0, margin=math.inf) == 0
    assert weights.levels.tolist() == [1, 2, -4, 6]


@pytest.mark.parametrize("update", TWINS)
def test_even_levels_have_the_same_margin(update):
    """Signed levels of four levels are two apart; their hidden weights one step (2/3)."""
    weights = Weights(np.array([0.5, 0.5, 0.5]) * 2 / 3, Quantizer(4))
    weights.hidden[:] = np.array([-0.1, -0.3, 1.4]) * 2 / 3
    assert weights.step(update, 0.0, margin=0.7) == 2
    assert weights.levels.tolist() == [1, -1, 3]


@pytest.mark.parametrize("update", TWINS)
def test_moments_do_not_become_subnormal(update):
    weights = Weights([0.5], Quantizer(), mean=1.0)
    weights.square[:] = 1e-29
    for _ in range(3000):
        weights.step(update, 0.0, rate=0.0)
    assert weights.mean[0] == 0.0 and weights.square[0] == 0.0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("levels", [2, 3, 4, 15, 16])
@pytest.mark.parametrize("aware", [False, True])
def test_kernel_agrees_with_the_reference(rule, levels, aware):
    rng = np.random.default_rng(levels)
    device = Device(rng.normal(0, 0.2, 500).astype(np.float32), wear=0.3) if aware else UNKNOWN
    quantizer = Quantizer(levels)
    hidden = rng.uniform(-1.5, 1.5, 500)
    one, other = Weights(hidden, quantizer), Weights(hidden, quantizer)
    for t in range(1, 40):
        gradient, rate = rng.normal(size=500), consolidation.adam_rate(0.02, t)
        one.step(consolidation.update, gradient, rule, 2.0, rate, decay=1e-3, margin=0.6, device=device)
        other.step(kernels.update, gradient, rule, 2.0, rate, decay=1e-3, margin=0.6, device=device)
    np.testing.assert_allclose(other.hidden, one.hidden, rtol=0, atol=1e-5)
    np.testing.assert_allclose(other.mean, one.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(other.square, one.square, rtol=1e-5)
    assert np.mean(other.levels != one.levels) <= 0.002  # a last bit may decide on a threshold
    assert (one.events.sum() > 0 or aware) and abs(int(other.events.sum()) - int(one.events.sum())) <= 1


def test_damping_function_of_the_kernel_is_exact_enough():
    x = np.linspace(-40, 40, 2001).astype(np.float32)
    values = np.array([kernels._sech_squared(value) for value in x], dtype=np.float64)
    exact = sech2(x.astype(np.float64))
    assert kernels._sech_squared(np.float32(0.0)) == 1.0
    np.testing.assert_allclose(values, exact, rtol=1e-5)
    np.testing.assert_allclose(values, exact, rtol=0, atol=3e-7)


def test_weights_are_independent():
    """Two chunks and a bit at once, or one weight at a time: the same bits."""
    rng = np.random.default_rng(0)
    hidden, gradients = rng.uniform(-1, 1, (3, 3000)), rng.normal(size=(3, 3, 3000))
    together = Weights(hidden, Quantizer())
    changes = [together.step(kernels.update, gradient, "inner_threshold", 2.0, 0.03) for gradient in gradients]
    assert sum(changes) == together.events.sum() > 0
    for index in [(0, 0), (1, 1095), (1, 1096), (2, 2191), (2, 2192), (2, 2999)]:
        alone = Weights([hidden[index]], Quantizer())
        for gradient in gradients:
            alone.step(kernels.update, gradient[index], "inner_threshold", 2.0, 0.03)
        for name in ("hidden", "mean", "square", "levels", "events"):
            assert getattr(alone, name) == getattr(together, name)[index]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("gradient", np.zeros(3), r"gradient is float64 \(3,\); expected C-contiguous float32 \(3,\)"),
        ("levels", np.zeros(3, np.int64), r"levels is int64 \(3,\); expected C-contiguous int8 \(3,\)"),
        ("mean", np.zeros(2, np.float32), r"mean is float32 \(2,\); expected C-contiguous float32 \(3,\)"),
        ("device.errors", np.zeros(2, np.float32), r"device.errors is float32 \(2,\); expected C-contiguous float32"),
        ("hidden", np.float32([0, np.nan, 1]), r"hidden\[1\] = nan is not a number; lower the learning rate"),
        ("gradient", np.float32([0, 1, np.inf]), r"gradient\[2\] = inf is not finite; lower the learning rate"),
        ("gradient", [0.0, 0.0, 0.0], "gradient is a list; expected an array, which is changed in place"),
        (
            "events",
            np.zeros(6, np.int32)[::2],
            r"events is int32 \(3,\), not C-contiguous or read-only; expected C-contiguous",
        ),
    ],
)
def test_wrong_arrays_are_refused(name, array, message):
    arrays = {key: np.zeros(3, np.float32) for key in ("hidden", "mean", "square", "gradient")}
    arrays |= {"levels": np.zeros(3, np.int8), "events": np.zeros(3, np.int32)} | {name: array}
    arrays["device"] = Device(arrays.pop("device.errors", UNKNOWN.errors))
    with pytest.raises(ValueError, match=message):
        kernels.update(**arrays, rule="none", strength=0, rate=0, decay=0, margin=0.5, quantizer=Quantizer())
