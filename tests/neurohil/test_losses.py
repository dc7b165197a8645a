import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurohil.delgrad import losses
from neurohil.errors import UserError

INF = np.inf
LOSSES = {
    "shift invariant": lambda t, y: losses.shift_invariant_mse(t, y, 0.2),
    "cross entropy": lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.2, 0.005, 1.0),
    "cross entropy, no reward": lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.3, 0.0, 1.0),
    "absolute": lambda t, y: losses.mean_squared_error(t, y, 0.9, 1.4),
    "shift invariant, compiled": losses.ShiftInvariantMse(0.2),
    "cross entropy, compiled": losses.CrossEntropy(0.2, 0.005, 1.0),
    "cross entropy, no reward, compiled": losses.CrossEntropy(0.3, 0.0, 1.0),
    "absolute, compiled": losses.MeanSquaredError(0.9, 1.4),
}


def batch(seed, size=7, outputs=4):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 3.0, (size, outputs)), rng.integers(0, outputs, size)


def difference_quotient(loss, times, labels, step=1e-5):
    gradient = np.zeros_like(times)
    for index in np.ndindex(times.shape):
        if np.isfinite(times[index]):
            above, below = times.copy(), times.copy()
            above[index] += step
            below[index] -= step
            gradient[index] = (loss(above, labels).values.mean() - loss(below, labels).values.mean()) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("silent", [False, True])
def test_gradient_is_the_derivative_of_the_mean(name, silent):
    times, labels = batch(1)
    if silent:
        times[0, labels[0]] = INF
        times[1, (labels[1] + 1) % 4] = INF
        times[2] = INF
    loss = LOSSES[name](times, labels)
    assert loss.values.shape == (7,) and np.isfinite(loss.values).all() and np.isfinite(loss.gradient).all()
    np.testing.assert_allclose(loss.gradient, difference_quotient(LOSSES[name], times, labels), rtol=1e-7, atol=1e-8)
    assert np.all(loss.gradient[~np.isfinite(times)] == 0.0)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), name=st.sampled_from([name for name in LOSSES if "compiled" not in name]))
def test_compiled_losses_equal_the_readable_ones(seed, name):
    rng = np.random.default_rng(seed)
    times, labels = batch(seed, int(rng.integers(1, 9)), int(rng.integers(1, 6)))
    times[rng.random(times.shape) < 0.1] = rng.choice(EXTREMES)
    readable, compiled = LOSSES[name](times, labels), LOSSES[f"{name}, compiled"](times, labels)
    np.testing.assert_allclose(compiled.values, readable.values, rtol=1e-13)
    np.testing.assert_allclose(compiled.gradient, readable.gradient, rtol=1e-12, atol=1e-15)
    assert LOSSES["shift invariant, compiled"].decide(times).tolist() == losses.first_spike_class(times).tolist()


EXTREMES = (0.0, 1.0, -800.0, 800.0, 1e160, 1e300, -1e300, 1.7e308, -1.7e308, INF)


@pytest.mark.parametrize("name", LOSSES)
def test_no_times_make_nan_or_a_warning(name):
    """All triples of extreme times, each output once the right one; warnings are errors here."""
    times = np.array(list(itertools.product(EXTREMES, repeat=3)))
    for label in range(3):
        labels = np.full(len(times), label)
        loss = LOSSES[name](times, labels)
        assert not np.isnan(loss.values).any() and loss.values.min() >= 0.0
        assert np.isfinite(loss.gradient).all() and np.all(loss.gradient[np.isinf(times)] == 0.0)
    assert np.array_equal(losses.first_spike_class(times) == -1, np.isinf(times).all(axis=1))
    assert np.array_equal(losses.nearest_class(times, -1e308) == -1, np.isinf(times).all(axis=1))


def test_losses_too_large_are_infinite_and_their_gradients_exact():
    """Squares of 1e300 and exp(800) are beyond float64; the distance itself isn't."""
    far = losses.ShiftInvariantMse(0.2)(np.array([[1.0, 1e300]]), np.array([0]))
    assert far.values.tolist() == [INF] and far.gradient.tolist() == [[-1e300, 1e300]]
    far = losses.shift_invariant_mse(np.array([[1.0, 1e300]]), np.array([0]), 0.2)
    assert far.values.tolist() == [INF] and far.gradient.tolist() == [[-1e300, 1e300]]
    far = losses.mean_squared_error(np.array([[1.0, 1e300]]), np.array([0]), 1.0, 2.0)
    assert far.values.tolist() == [INF] and far.gradient.tolist() == [[0.0, 1e300]]
    late = losses.time_to_first_spike_cross_entropy(np.array([[800.0, 1e4]]), np.array([0]), 0.2, 0.005, 1.0)
    assert late.values.tolist() == [INF] and late.gradient[0, 0] == np.finfo(float).max
    # Without a reward the same sample is answered as well as can be.
    late = losses.time_to_first_spike_cross_entropy(np.array([[800.0, 1e4]]), np.array([0]), 0.2, 0.0, 1.0)
    assert late.values.tolist() == [0.0] and late.gradient.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("times", [(600.0, 600.1, 601.0), (500.0, 0.3, INF), (0.0, -700.0, 3.0), (2.0, 2.0, 2.0)])
def test_cross_entropy_near_the_limit_has_the_gradient_of_its_formula(times):
    """Formula and central differences in 400 digits, where nothing overflows."""
    xi, alpha, beta = 0.9, 0.005, 1.0

    def formula(values):
        label = values[0]
        odds = sum(mpmath.exp(-(t - label) / xi) for t in values if t != mpmath.inf)
        return mpmath.log(odds) + alpha * mpmath.exp(label / beta)

    loss = losses.time_to_first_spike_cross_entropy(np.array([times]), np.array([0]), xi, alpha, beta)
    with mpmath.workdps(400):
        exact = [mpmath.mpf(t) for t in times]
        assert loss.values[0] == pytest.approx(float(formula(exact)), rel=1e-12)
        for k, t in enumerate(times):
            step = mpmath.mpf("1e-30")
            above, below = list(exact), list(exact)
            above[k], below[k] = above[k] + step, below[k] - step
            slope = (formula(above) - formula(below)) / (2 * step) if np.isfinite(t) else 0.0
            assert loss.gradient[0, k] == pytest.approx(float(slope), rel=1e-12, abs=1e-15)


def test_shift_invariant_values_by_hand():
    times = np.array([[1.0, 1.5, 1.2], [1.0, INF, 1.2]])
    loss = losses.shift_invariant_mse(times, np.array([0, 0]), 0.2)
    np.testing.assert_allclose(loss.values, [0.5 * (0.3**2 + 0.0**2), 100.0], rtol=1e-14)
    np.testing.assert_allclose(loss.gradient, [[-0.15, 0.15, 0.0], [0.0, 0.0, 0.0]], atol=1e-16)


@pytest.mark.parametrize("name", [name for name in LOSSES if "shift" in name or "no reward" in name])
def test_relative_losses_ignore_a_common_shift(name):
    times, labels = batch(2)
    here, there = LOSSES[name](times, labels), LOSSES[name](times + 40.0, labels)
    np.testing.assert_allclose(there.values, here.values, atol=1e-12)
    np.testing.assert_allclose(here.gradient.sum(axis=1), 0.0, atol=1e-15)


def test_cross_entropy_values_by_hand():
    # ln(1 + e^-1) + 0.01 e^(1 / 2) for a label that is one xi ahead; ln 2 at equal times
    times = np.array([[1.0, 1.2], [3.0, 3.0], [INF, 1.0], [1.0, INF]])
    loss = losses.time_to_first_spike_cross_entropy(times, np.array([0, 1, 0, 0]), 0.2, 0.01, 2.0)
    expected = [
        np.log1p(np.exp(-1.0)) + 0.01 * np.exp(0.5),
        np.log(2.0) + 0.01 * np.exp(1.5),
        100.0,
        0.01 * np.exp(0.5),
    ]
    np.testing.assert_allclose(loss.values, expected, rtol=1e-14)
    assert np.all(loss.gradient[2] == 0.0)


def test_cross_entropy_of_a_very_late_label_is_finite():
    loss = losses.time_to_first_spike_cross_entropy(np.array([[0.0, 500.0]]), np.array([1]), 0.2, 0.0, 1.0)
    np.testing.assert_allclose(loss.values, [2500.0], rtol=1e-14)
    np.testing.assert_allclose(loss.gradient, [[-5.0, 5.0]], rtol=1e-14)


def test_absolute_values_by_hand():
    times = np.array([[1.0, 1.5], [INF, 1.5]])
    loss = losses.mean_squared_error(times, np.array([0, 0]), 0.9, 1.4)
    np.testing.assert_allclose(loss.values, [0.5 * (0.01 + 0.01), 100.0 + 0.5 * 0.01], rtol=1e-13)
    np.testing.assert_allclose(loss.gradient, [[0.05, 0.05], [0.0, 0.05]], rtol=1e-13)


def test_classes():
    times = np.array([[2.0, 1.0, 3.0], [INF, INF, 0.5], [INF, INF, INF], [1.0, 1.0, 2.0]])
    assert losses.first_spike_class(times).tolist() == [1, 2, -1, 0]
    assert losses.nearest_class(times, 2.9).tolist() == [2, 2, -1, 2]
    assert losses.first_spike_class(times).dtype == np.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, y: losses.shift_invariant_mse(t, y[:3], 0.2), r"labels has shape \(3,\); expected \(7,\)"),
        (
            lambda t, y: losses.mean_squared_error(t, y + 1, 1.0, 2.0),
            r"labels\[\d\] = 4 is outside 0\.\.3; give one class",
        ),
        (lambda t, y: losses.shift_invariant_mse(t, y - 1, 0.2), r"labels\[0\] = -1 is outside 0\.\.3; give one class"),
        (lambda t, y: losses.shift_invariant_mse(t, y.astype(float), 0.2), "labels is of type float64, not integers"),
        (lambda t, y: losses.shift_invariant_mse(t, y.astype(bool), 0.2), "labels is of type bool, not integers"),
        (lambda t, y: losses.shift_invariant_mse(t, y, np.inf), "loss.margin = inf tau_s must be finite"),
        (lambda t, y: losses.shift_invariant_mse(t + 0j, y, 0.2), "times is of type complex128, not numbers"),
        (lambda t, y: losses.shift_invariant_mse(t[0], y, 0.2), r"times has shape \(4,\); expected \(any, any\)"),
        (lambda t, y: losses.shift_invariant_mse(t[:0], y[:0], 0.2), r"shape \(0, 4\); give at least one sample"),
        (lambda t, y: losses.first_spike_class(t[:, :0]), r"shape \(7, 0\); give at least one output neuron"),
        (lambda t, y: losses.first_spike_class(np.where(t > 1, np.nan, t)), r"times\[\d, \d\] = nan is not a number"),
        (lambda t, y: losses.nearest_class(-t * INF, 1.0), r"times\[0, 0\] = -inf tau_s is outside .*\.\.inf tau_s"),
        (lambda t, y: losses.mean_squared_error(t, y, np.nan, 2.0), "loss.t_correct = nan tau_s must be finite"),
        (lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 1.0, -1.0, 1.0), "loss.alpha = -1.0 must be"),
        (lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.0, 0.0, 1.0), "loss.xi = 0.0 tau_s must be"),
        (lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 1.0, 0.0, -1.0), "loss.beta = -1.0 tau_s"),
    ],
)
def test_bad_input_is_named(call, message):
    times, labels = batch(1)
    labels[:2] = 0, 3
    with pytest.raises(UserError, match=message):
        call(times, labels)
