import numpy as np
import pytest

from hil.delgrad import losses
from hil.errors import UserError

INF = np.inf
LOSSES = {
    "shift invariant": lambda t, y: losses.shift_invariant_mse(t, y, 0.2),
    "cross entropy": lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.2, 0.005, 1.0),
    "cross entropy, no reward": lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.3, 0.0, 1.0),
    "absolute": lambda t, y: losses.mean_squared_error(t, y, 0.9, 1.4),
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


def test_shift_invariant_values_by_hand():
    times = np.array([[1.0, 1.5, 1.2], [1.0, INF, 1.2]])
    loss = losses.shift_invariant_mse(times, np.array([0, 0]), 0.2)
    np.testing.assert_allclose(loss.values, [0.5 * (0.3**2 + 0.0**2), 100.0], rtol=1e-14)
    np.testing.assert_allclose(loss.gradient, [[-0.15, 0.15, 0.0], [0.0, 0.0, 0.0]], atol=1e-16)


@pytest.mark.parametrize("name", ["shift invariant", "cross entropy, no reward"])
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
        (lambda t, y: losses.shift_invariant_mse(t, y[:3], 0.2), r"times \(7, 4\) and labels \(3,\) don't fit"),
        (lambda t, y: losses.mean_squared_error(t, y + 1, 1.0, 2.0), r"labels span .* 4; allowed are 0 ... 3"),
        (lambda t, y: losses.shift_invariant_mse(t, y - 1, 0.2), "labels span -1"),
        (lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 0.0, 0.0, 1.0), "loss.xi = 0.0 tau_s must be"),
        (lambda t, y: losses.time_to_first_spike_cross_entropy(t, y, 1.0, 0.0, -1.0), "loss.beta = -1.0 tau_s"),
    ],
)
def test_bad_input_is_named(call, message):
    times, labels = batch(1)
    labels[:2] = 0, 3
    with pytest.raises(UserError, match=message):
        call(times, labels)
