"""The closed forms against the membrane that they solve: root finding, differences, symmetries."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from neurohil.errors import UserError
from neurohil.first_spike import spike_time
from neurohil.first_spike.spike_time import first_spike, implicit_gradients, kernel, measured_gradients, membrane

INF = math.inf
RATIOS = pytest.mark.parametrize("tau_ratio", [1, 2])
RATIO = st.sampled_from([1, 2])


def neuron(seed, inputs=None):
    """Random inputs, some of them excitatory, inhibitory, at the same time, or absent."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(1, 12) if inputs is None else inputs
    times = rng.uniform(0.0, 3.0, inputs)
    if rng.random() < 0.3:
        times = np.round(2.0 * times) / 2.0
    times[rng.random(inputs) < 0.1] = INF
    return times, rng.normal(0.7, 1.0, inputs), rng.uniform(0.3, 1.2)


def slope_at(spike, times, weights, tau_ratio):
    """dV/dt just after the spike: the smaller, the worse the spike time is conditioned."""
    return (membrane(spike + 1e-7, times, weights, tau_ratio) - membrane(spike, times, weights, tau_ratio)) / 1e-7


def first_crossing_by_search(times, weights, threshold, tau_ratio):
    """Scan the membrane on a fine grid, then find the root. None: too near a touch for a grid to tell."""
    arrivals = times[np.isfinite(times)]
    if arrivals.size == 0:
        return INF
    grid = np.sort(np.concatenate([np.linspace(arrivals.min(), arrivals.max() + 12.0, 6001), arrivals]))
    above = membrane(grid, times, weights, tau_ratio) - threshold
    if np.abs(above[np.abs(np.diff(above, prepend=above[0])) < 1e-6]).min(initial=INF) < 1e-5:
        return None
    crossed = np.flatnonzero(above >= 0.0)
    if crossed.size == 0:
        return INF
    k = crossed[0]
    return brentq(
        lambda t: float(membrane(t, times, weights, tau_ratio)) - threshold,
        grid[k - 1],
        grid[k],
        xtol=1e-15,
        rtol=8.9e-16,
    )


def test_kernels_have_their_published_peaks():
    assert kernel(1.0, 1) == pytest.approx(1.0 / math.e, rel=1e-15)
    assert kernel(2.0 * math.log(2.0), 2) == pytest.approx(0.5, rel=1e-15)
    for tau_ratio, peak in ((1, 1.0), (2, 2.0 * math.log(2.0))):
        assert kernel(peak, tau_ratio) > max(kernel(peak - 1e-3, tau_ratio), kernel(peak + 1e-3, tau_ratio))
        assert kernel(-1.0, tau_ratio) == kernel(0.0, tau_ratio) == 0.0


@RATIOS
def test_kernel_solves_the_membrane_equation(tau_ratio):
    """tau_m dV/dt = -V + tau_m I with C = 1, I = exp(-s), by central differences."""
    s = np.linspace(0.1, 8.0, 50)
    slope = (kernel(s + 1e-5, tau_ratio) - kernel(s - 1e-5, tau_ratio)) / 2e-5
    np.testing.assert_allclose(slope, -kernel(s, tau_ratio) / tau_ratio + np.exp(-s), atol=1e-9)


def test_single_input_by_hand():
    # ratio 2: 2 w (y - y^2) = 1 with y = exp(-T / 2), w = 8 / 3 has the upward solution y = 3 / 4
    assert first_spike([0.0], [8.0 / 3.0], 1.0, 2) == pytest.approx(-2.0 * math.log(0.75), rel=1e-14)
    # ratio 1: w T exp(-T) = threshold at T = 1 / 2
    assert first_spike([4.0], [2.0], math.exp(-0.5), 1) == pytest.approx(4.5, rel=1e-14)
    # just below and just above what one input can reach
    assert first_spike([0.0], [2.0 * (1.0 - 1e-9)], 1.0, 2) == INF
    assert first_spike([0.0], [math.e * (1.0 - 1e-9)], 1.0, 1) == INF
    assert first_spike([0.0], [2.0 * (1.0 + 1e-9)], 1.0, 2) == pytest.approx(2.0 * math.log(2.0), abs=1e-3)
    assert first_spike([0.0], [math.e * (1.0 + 1e-9)], 1.0, 1) == pytest.approx(1.0, abs=1e-3)


@RATIOS
def test_spike_time_is_the_first_crossing_of_the_membrane(tau_ratio):
    spikes = compared = 0
    for seed in range(300):
        times, weights, threshold = neuron(seed)
        expected = first_crossing_by_search(times, weights, threshold, tau_ratio)
        if expected is None:
            continue
        spike = first_spike(times, weights, threshold, tau_ratio)
        assert np.isfinite(spike) == np.isfinite(expected), seed
        compared += 1
        if np.isfinite(spike) and slope_at(spike, times, weights, tau_ratio) > 0.05:
            assert abs(spike - expected) <= 1e-12, seed
            spikes += 1
    assert compared > 200 and spikes > 80


@RATIOS
def test_double_crossing_between_two_arrivals_is_found(tau_ratio):
    """The membrane is over threshold for a moment only and below it at both neighbouring arrivals."""
    weight = (2.0, math.e)[tau_ratio % 2] * 1.001
    for late in (5.0, INF):
        spike = first_spike([0.0, late], [weight, 1.0], 1.0, tau_ratio)
        assert 0.9 < spike < 2.0
        assert membrane(spike, [0.0], [weight], tau_ratio) == pytest.approx(1.0, rel=1e-12)
        assert membrane(5.0, [0.0], [weight], tau_ratio) < 0.5


@RATIOS
def test_gradients_are_the_derivatives_of_the_spike_time(tau_ratio):
    step, checked = 1e-5, 0
    for seed in range(120):
        times, weights, threshold = neuron(seed)
        spike = first_spike(times, weights, threshold, tau_ratio)
        gaps = np.abs(np.subtract.outer(times[np.isfinite(times)], [*times[np.isfinite(times)], spike]))
        if not np.isfinite(spike) or slope_at(spike, times, weights, tau_ratio) < 0.1:
            continue
        if gaps[gaps > 0.0].min(initial=INF) < 1e-3 or np.any(times == spike):
            continue  # a difference quotient would reach over a kink
        measured = measured_gradients(times, weights, spike, threshold, tau_ratio)
        by_weight, by_time, by_threshold = implicit_gradients(times, weights, spike, tau_ratio)
        np.testing.assert_allclose(measured[0], by_weight, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(measured[1], by_time, rtol=1e-10, atol=1e-12)
        assert by_time.sum() == pytest.approx(1.0, abs=1e-12)
        for i in range(len(times)):
            h = np.zeros_like(times)
            h[i] = step
            up = first_spike(times, weights + h, threshold, tau_ratio)
            down = first_spike(times, weights - h, threshold, tau_ratio)
            assert (up - down) / (2 * step) == pytest.approx(by_weight[i], rel=1e-6, abs=1e-7)
            up, down = (first_spike(times + s * h, weights, threshold, tau_ratio) for s in (1, -1))
            assert (up - down) / (2 * step) == pytest.approx(by_time[i], rel=1e-6, abs=1e-7)
        up, down = (first_spike(times, weights, threshold + s * step, tau_ratio) for s in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(by_threshold, rel=1e-6)
        checked += 1
    assert checked > 25


def test_measured_spike_time_mixes_observation_and_model():
    """The authors' forms by hand, one input with w = 8 / 3 at t = 0, threshold 1, observed T = 0.7 (model: 0.575).

    a_1 = a_2 = 8 / 3, S = sqrt(64 / 9 - 16 / 3) = 4 / 3, F = (1 + 3 / 8 exp(0.35)) 3 / 8.
    """
    by_weight, by_time = measured_gradients([0.0], [8.0 / 3.0], 0.7, 1.0, 2)
    F = (1.0 + 0.375 * math.exp(0.35)) * 0.375
    assert by_weight[0] == pytest.approx(2.0 * (F - 0.75), rel=1e-13)
    assert by_time[0] == pytest.approx(8.0 / 3.0 * (2.0 * F - 0.75), rel=1e-13)
    # ratio 1, w = 2 at t = 0, threshold exp(-1/2): W = -1/2; observed T = 0.7
    by_weight, by_time = measured_gradients([0.0], [2.0], 0.7, math.exp(-0.5), 1)
    assert by_weight[0] == pytest.approx(-0.7, rel=1e-13)
    assert by_time[0] == pytest.approx(0.6, rel=1e-13)


@RATIOS
def test_gradients_vanish_where_there_is_nothing_to_differentiate(tau_ratio):
    times, weights = np.array([0.0, 0.5, INF]), np.array([1.0, 1.0, 9.0])
    for spike in (INF, 2.0, -1.0):  # silent; seen on the chip but not in the model; before all inputs
        by_weight, by_time = measured_gradients(times, weights, spike, 50.0, tau_ratio)
        assert not by_weight.any() and not by_time.any()
    by_weight, by_time, by_threshold = implicit_gradients(times, weights, INF, tau_ratio)
    assert not by_weight.any() and not by_time.any() and by_threshold == 0.0


@RATIOS
def test_no_input_no_spike(tau_ratio):
    assert first_spike([INF, INF], [5.0, 5.0], 1.0, tau_ratio) == INF
    assert first_spike([], [], 1.0, tau_ratio) == INF
    assert first_spike([0.0, 0.1], [-5.0, -1.0], 1.0, tau_ratio) == INF


def test_other_ratios_have_no_closed_form():
    with pytest.raises(ValueError, match="tau_ratio = 3 must be 1 or 2"):
        first_spike([0.0], [1.0], 1.0, 3)
    with pytest.raises(ValueError, match="tau_ratio"):
        spike_time.kernel(1.0, 1.5)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), tau_ratio=RATIO, shift=st.floats(-500.0, 500.0))
def test_common_shift_of_the_inputs_shifts_the_spike(seed, tau_ratio, shift):
    times, weights, threshold = neuron(seed)
    spike = first_spike(times, weights, threshold, tau_ratio)
    assume(spike == INF or slope_at(spike, times, weights, tau_ratio) > 0.2)
    shifted = first_spike(times + shift, weights, threshold, tau_ratio)
    # the shifted times themselves are rounded to 1e-13 at 500 tau_s
    assert shifted == spike + shift == INF or abs(shifted - shift - spike) <= 2e-12


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), tau_ratio=RATIO)
def test_order_of_the_inputs_does_not_matter(seed, tau_ratio):
    times, weights, threshold = neuron(seed)
    order = np.random.default_rng(seed).permutation(len(times))
    spike = first_spike(times, weights, threshold, tau_ratio)
    assume(spike == INF or slope_at(spike, times, weights, tau_ratio) > 0.05)
    permuted = first_spike(times[order], weights[order], threshold, tau_ratio)
    assert permuted == spike or abs(permuted - spike) <= 1e-12
    for one, other in zip(
        measured_gradients(times, weights, spike, threshold, tau_ratio),
        measured_gradients(times[order], weights[order], spike, threshold, tau_ratio),
        strict=True,
    ):
        np.testing.assert_allclose(one[order], other, rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), tau_ratio=RATIO, time=st.floats(0.0, 4.0), weight=st.floats(0.0, 3.0))
def test_more_excitation_never_delays_the_first_spike(seed, tau_ratio, time, weight):
    times, weights, threshold = neuron(seed)
    spike = first_spike(times, weights, threshold, tau_ratio)
    assume(spike == INF or slope_at(spike, times, weights, tau_ratio) > 1e-3)
    assert first_spike([*times, time], [*weights, weight], threshold, tau_ratio) <= spike + 1e-11


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), tau_ratio=RATIO)
def test_later_inputs_have_no_influence(seed, tau_ratio):
    times, weights, threshold = neuron(seed)
    spike = first_spike(times, weights, threshold, tau_ratio)
    assume(np.isfinite(spike))
    late = times > spike
    early_only = first_spike(times[~late], weights[~late], threshold, tau_ratio)
    assert early_only == pytest.approx(spike, abs=1e-12)
    by_weight, by_time = measured_gradients(times, weights, spike, threshold, tau_ratio)
    assert not by_weight[late].any() and not by_time[late].any()


@pytest.mark.parametrize("function", [measured_gradients, implicit_gradients])
@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1j])
def test_what_is_no_spike_time_has_no_gradient(function, bad):
    """Only inf is "no spike", whose gradient is 0."""
    times, weights = np.array([0.0, 0.5]), np.array([2.0, 2.0])
    parameters = (1.0, 2) if function is measured_gradients else (2,)
    assert not np.any(function(times, weights, np.inf, *parameters)[0])
    with pytest.raises(UserError, match=r"^spike"):
        function(times, weights, bad, *parameters)
    with pytest.raises(UserError, match=r"^times"):
        function(np.array([0.0, bad]), weights, 1.0, *parameters)
