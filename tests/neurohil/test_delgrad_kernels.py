"""The jitted kernels against the readable reference, and whole layers against difference quotients."""

import decimal
import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from neurohil.delgrad import losses
from neurohil.errors import UserError
from neurohil.first_spike import kernels
from neurohil.first_spike.kernels import gradients, spike_times
from neurohil.first_spike.lambert import one_plus_lambert_w0
from neurohil.first_spike.spike_time import first_spike, implicit_gradients, measured_gradients

INF = math.inf
KINDS = ["none", "axonal", "dendritic", "synaptic"]
RATIOS = pytest.mark.parametrize("tau_ratio", [1, 2])
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make_delays(kind, inputs, neurons, rng):
    shape = {"axonal": (inputs, 1), "dendritic": (1, neurons), "synaptic": (inputs, neurons)}.get(kind)
    return None if shape is None else rng.uniform(0.0, 1.5, shape)


def make_layer(seed, kind, batch=6, inputs=None, neurons=None):
    """Arrivals with ties and silent inputs, weights of both signs, some delays."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 10)) if inputs is None else inputs
    neurons = int(rng.integers(1, 5)) if neurons is None else neurons
    arrivals = rng.uniform(0.0, 2.0, (batch, inputs))
    tied = rng.random(batch) < 0.3
    arrivals[tied] = np.round(2.0 * arrivals[tied]) / 2.0
    arrivals[rng.random((batch, inputs)) < 0.1] = INF
    weights = rng.normal(0.8, 1.0, (inputs, neurons)) * min(1.0, 12.0 / inputs)
    return arrivals, weights, make_delays(kind, inputs, neurons, rng)


def delayed(arrivals, delays, sample, neuron):
    """Arrivals of one sample at one neuron, (P,)."""
    if delays is None:
        return arrivals[sample]
    return arrivals[sample] + np.broadcast_to(delays, (arrivals.shape[1], max(delays.shape[1], neuron + 1)))[:, neuron]


def conditioning(times, weights, spike, tau_ratio):
    """dT/dthreshold = 1 / V'(T): how strongly a rounding error of the membrane moves the spike."""
    return abs(implicit_gradients(times, weights, spike, tau_ratio)[2])


def check_against_reference(arrivals, weights, delays, threshold, tau_ratio, rng, max_dw=INF):
    spikes = spike_times(arrivals, weights, threshold, tau_ratio, delays)
    well_conditioned = np.ones(spikes.shape, dtype=bool)
    for s, n in np.ndindex(spikes.shape):
        times = delayed(arrivals, delays, s, n)
        expected = first_spike(times, weights[:, n], threshold, tau_ratio)
        assert np.isfinite(spikes[s, n]) == np.isfinite(expected)
        if np.isfinite(expected):
            amplification = conditioning(times, weights[:, n], expected, tau_ratio)
            assert abs(spikes[s, n] - expected) <= 1e-12 * (1.0 + amplification**2)
            well_conditioned[s, n] = amplification < 20.0
            # no delayed input exactly at the spike, where rounding decides whether it is causal
            well_conditioned[s, n] &= not np.any(np.abs(times - expected) < 1e-9)

    observed = spikes + rng.normal(0.0, 0.03, spikes.shape)
    errors = np.where(well_conditioned, rng.normal(size=spikes.shape), 0.0)
    errors[~np.isfinite(spikes)] = np.nan  # must be ignored
    grad_weights, grad_arrivals, grad_delays = gradients(
        arrivals, weights, observed, errors, threshold, tau_ratio, max_dw, delays
    )
    expected_weights = np.zeros_like(weights)
    expected_arrivals = np.zeros_like(arrivals)
    expected_synaptic = np.zeros_like(weights)
    for s, n in np.ndindex(spikes.shape):
        if not np.isfinite(observed[s, n]):
            continue
        times = delayed(arrivals, delays, s, n)
        by_weight, by_time = measured_gradients(times, weights[:, n], observed[s, n], threshold, tau_ratio)
        if not well_conditioned[s, n]:
            continue
        if np.abs(errors[s, n] * by_weight).max() <= max_dw:
            expected_weights[:, n] += errors[s, n] * by_weight
        expected_arrivals[s] += errors[s, n] * by_time
        expected_synaptic[:, n] += errors[s, n] * by_time
    np.testing.assert_allclose(grad_weights, expected_weights, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(grad_arrivals, expected_arrivals, rtol=1e-7, atol=1e-9)
    if delays is None:
        assert grad_delays is None
        return spikes
    shared = tuple(axis for axis in (0, 1) if delays.shape[axis] < weights.shape[axis])
    np.testing.assert_allclose(grad_delays, expected_synaptic.sum(axis=shared, keepdims=True), rtol=1e-7, atol=1e-9)
    return spikes


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    tau_ratio=st.sampled_from([1, 2]),
    max_dw=st.sampled_from([INF, 0.5, 0.05]),
)
def test_kernels_equal_the_reference(seed, kind, tau_ratio, max_dw):
    arrivals, weights, delays = make_layer(seed, kind)
    rng = np.random.default_rng(seed + 1)
    check_against_reference(arrivals, weights, delays, rng.uniform(0.3, 1.5), tau_ratio, rng, max_dw)


@RATIOS
@ALL_KINDS
@pytest.mark.parametrize("shape", [(45, 3, 2), (5, 4, 30), (4, 70, 2)])
def test_layers_of_several_blocks_and_many_inputs(kind, tau_ratio, shape):
    batch, inputs, neurons = shape
    arrivals, weights, delays = make_layer(7, kind, batch, inputs, neurons)
    spikes = check_against_reference(arrivals, weights, delays, 1.0, tau_ratio, np.random.default_rng(8))
    assert np.isfinite(spikes).any()


@RATIOS
def test_one_synaptic_delay_matrix_holds_the_other_kinds(tau_ratio):
    arrivals, weights, _ = make_layer(3, "none", 20, 6, 4)
    errors = np.random.default_rng(4).normal(size=(20, 4))
    for kind in ("axonal", "dendritic"):
        delays = make_delays(kind, 6, 4, np.random.default_rng(5))
        full = np.ascontiguousarray(np.broadcast_to(delays, (6, 4)))
        shared = spike_times(arrivals, weights, 0.8, tau_ratio, delays)
        synaptic = spike_times(arrivals, weights, 0.8, tau_ratio, full)
        np.testing.assert_allclose(shared, synaptic, rtol=1e-11)
        one = gradients(arrivals, weights, shared, errors, 0.8, tau_ratio, 0.2, delays)
        other = gradients(arrivals, weights, shared, errors, 0.8, tau_ratio, 0.2, full)
        np.testing.assert_allclose(one[0], other[0], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-10)
        axis = 1 if kind == "axonal" else 0
        np.testing.assert_allclose(one[2], other[2].sum(axis=axis, keepdims=True), rtol=1e-8, atol=1e-10)


@RATIOS
def test_dendritic_delay_gradient_is_the_sum_of_the_errors(tau_ratio):
    """By shift invariance, for the model's own spike times."""
    arrivals, weights, delays = make_layer(11, "dendritic", 30, 6, 3)
    spikes = spike_times(arrivals, weights, 0.8, tau_ratio, delays)
    errors = np.random.default_rng(12).normal(size=spikes.shape)
    grad_delays = gradients(arrivals, weights, spikes, errors, 0.8, tau_ratio, INF, delays)[2]
    expected = np.where(np.isfinite(spikes), errors, 0.0).sum(axis=0, keepdims=True)
    np.testing.assert_allclose(grad_delays, expected, rtol=1e-9)


class TwoLayers:
    """4-5-3 network with delays of one kind in both layers and the shift-invariant loss."""

    def __init__(self, kind, tau_ratio, seed):
        rng = np.random.default_rng(seed)
        self.tau_ratio = tau_ratio
        self.arrivals = rng.uniform(0.15, 2.0, (12, 4))
        self.labels = rng.integers(0, 3, 12)
        self.parameters = [rng.normal(1.5, 0.8, (4, 5)), rng.normal(1.5, 0.8, (5, 3))]
        if kind != "none":
            self.parameters += [make_delays(kind, 4, 5, rng), make_delays(kind, 5, 3, rng)]

    def forward(self):
        w_1, w_2, d_1, d_2 = [*self.parameters, None, None][:4]
        hidden = spike_times(self.arrivals, w_1, 1.0, self.tau_ratio, d_1)
        return hidden, spike_times(hidden, w_2, 1.0, self.tau_ratio, d_2)

    def loss(self):
        return losses.shift_invariant_mse(self.forward()[1], self.labels, 0.2)

    def gradients(self):
        w_1, w_2, d_1, d_2 = [*self.parameters, None, None][:4]
        hidden, output = self.forward()
        gw_2, errors, gd_2 = gradients(hidden, w_2, output, self.loss().gradient, 1.0, self.tau_ratio, INF, d_2)
        gw_1, _, gd_1 = gradients(self.arrivals, w_1, hidden, errors, 1.0, self.tau_ratio, INF, d_1)
        return [gw_1, gw_2, gd_1, gd_2][: len(self.parameters)]


@RATIOS
@ALL_KINDS
def test_gradients_of_a_network_are_the_derivatives_of_its_loss(kind, tau_ratio):
    network = TwoLayers(kind, tau_ratio, seed=21)
    assert np.isfinite(network.forward()[1]).all(axis=1).sum() >= 8
    step, good, total = 1e-6, 0, 0
    for parameter, gradient in zip(network.parameters, network.gradients(), strict=True):
        assert gradient.shape == parameter.shape
        for index in np.ndindex(parameter.shape):
            kept = parameter[index]
            parameter[index] = kept + step
            up = network.loss().values.mean()
            parameter[index] = kept - step
            down = network.loss().values.mean()
            parameter[index] = kept
            quotient = (up - down) / (2 * step)
            total += 1
            good += math.isclose(quotient, gradient[index], rel_tol=1e-5, abs_tol=1e-6)
    assert good == total


@RATIOS
def test_cut_removes_weight_gradients_of_single_pairs_only(tau_ratio):
    arrivals, weights, _ = make_layer(31, "none", 1, 5, 1)
    arrivals[:] = [[0.1, 0.2, 0.3, 0.4, 0.5]]
    weights[:] = 1.5
    spikes = spike_times(arrivals, weights, 1.0, tau_ratio)
    by_weight, by_time = measured_gradients(arrivals[0], weights[:, 0], spikes[0, 0], 1.0, tau_ratio)
    limit = np.abs(by_weight).max()
    arrivals, spikes = np.repeat(arrivals, 3, axis=0), np.repeat(spikes, 3, axis=0)
    errors = np.array([[0.99], [-1.01], [0.5]])  # the middle one is just beyond the cut
    cut = gradients(arrivals, weights, spikes, errors, 1.0, tau_ratio, limit)
    np.testing.assert_allclose(cut[0][:, 0], (0.99 + 0.5) * by_weight, rtol=1e-12)
    np.testing.assert_allclose(cut[1], errors * by_time, rtol=1e-12)
    free = gradients(arrivals, weights, spikes, errors, 1.0, tau_ratio, INF)
    np.testing.assert_allclose(free[0][:, 0], (0.99 - 1.01 + 0.5) * by_weight, rtol=1e-12)


@RATIOS
@ALL_KINDS
def test_common_shift_of_all_inputs(kind, tau_ratio):
    arrivals, weights, delays = make_layer(41, kind, 30, 6, 4)
    spikes = spike_times(arrivals, weights, 0.6, tau_ratio, delays)
    shifted = spike_times(arrivals + 64.0, weights, 0.6, tau_ratio, delays)
    assert np.isfinite(spikes).mean() > 0.3
    np.testing.assert_allclose(shifted - 64.0, spikes, rtol=0.0, atol=2e-12)


@RATIOS
def test_extreme_inputs_give_no_nan(tau_ratio):
    arrivals = np.array([[INF, INF], [INF, 3.0], [0.0, 199.0], [0.0, 0.0], [-5.0, 1e-300], [1e9, 1e9 + 1.0]])
    for weights in (np.array([[5.0], [4.0]]), np.array([[5.0], [-5.0]]), np.zeros((2, 1)), -np.ones((2, 1))):
        spikes = spike_times(arrivals, weights, 1.0, tau_ratio)
        assert not np.isnan(spikes).any() and spikes[0, 0] == INF
        for observed in (spikes, np.zeros((6, 1)), np.full((6, 1), 150.0), np.full((6, 1), -1e4)):
            outputs = gradients(arrivals, weights, observed, np.ones((6, 1)), 1.0, tau_ratio, 0.2)
            assert np.isfinite(outputs[0]).all() and np.isfinite(outputs[1]).all()


@RATIOS
def test_strong_inputs_that_never_arrive_have_no_effect(tau_ratio):
    """Also with delays between which the neuron would spike, had they arrived."""
    delays = np.array([[0.0, 0.3], [1.0, 1.6], [2.0, 0.2]])
    weights = np.array([[20.0, 20.0], [0.1, 20.0], [20.0, 20.0]])
    arrivals = np.array([[INF, INF, INF], [INF, 0.5, INF]])
    spikes = spike_times(arrivals, weights, 1.0, tau_ratio, delays)
    assert np.all(spikes[0] == INF)
    assert spikes[1, 0] == INF  # its one input is too weak
    assert spikes[1, 1] == pytest.approx(first_spike([2.1], [20.0], 1.0, tau_ratio), abs=1e-12)
    spikes[np.isinf(spikes)] = 4.0  # the chip may claim a spike nevertheless
    grads = gradients(arrivals, weights, spikes, np.ones((2, 2)), 1.0, tau_ratio, INF, delays)
    for grad in (grads[0], grads[2]):
        assert not grad[[0, 2]].any() and grad[1, 0] == 0.0 and grad[1, 1] != 0.0
    assert not grads[1][0].any()


@RATIOS
@ALL_KINDS
@pytest.mark.parametrize("neurons", [3, 40])
def test_inputs_that_never_arrive_can_be_left_out(kind, tau_ratio, neurons):
    """Not one bit of the answers differs, and their own gradients are 0."""
    arrivals, weights, delays = make_layer(71, kind, 12, 30, neurons)
    silent = np.arange(30) % 3 > 0
    arrivals[:, silent] = INF
    spikes = spike_times(arrivals, weights, 0.8, tau_ratio, delays)
    assert np.isfinite(spikes).any()
    errors = np.random.default_rng(72).normal(size=spikes.shape)
    grads = gradients(arrivals, weights, spikes, errors, 0.8, tau_ratio, 0.2, delays)
    few = delays if delays is None or len(delays) == 1 else np.ascontiguousarray(delays[~silent])
    rest = np.ascontiguousarray(arrivals[:, ~silent]), np.ascontiguousarray(weights[~silent])
    if kind != "synaptic":  # there the least delay of all is what times are counted from
        assert spike_times(*rest, 0.8, tau_ratio, few).tobytes() == spikes.tobytes()
    np.testing.assert_allclose(spike_times(*rest, 0.8, tau_ratio, few), spikes, rtol=1e-12)
    fewer = gradients(*rest, spikes, errors, 0.8, tau_ratio, 0.2, few)
    np.testing.assert_allclose(grads[0][~silent], fewer[0], rtol=1e-9, atol=1e-12)
    assert not grads[0][silent].any() and not grads[1][:, silent].any()


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["none", "synaptic"])
def test_parts_and_threads_leave_the_bits_as_they_are(kind, monkeypatch):
    arrivals, weights, delays = make_layer(81, kind, 60, 300, 250)
    errors = np.random.default_rng(82).normal(size=(60, 250))
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        spikes = spike_times(arrivals, weights, 0.8, 2, delays)
        results.append([spikes, *gradients(arrivals, weights, spikes, errors, 0.8, 2, 0.2, delays)[:2]])
    assert all(a.tobytes() == b.tobytes() for other in results[1:] for a, b in zip(results[0], other, strict=True))
    monkeypatch.setattr(kernels, "_LEAST_WORK", math.inf)  # in one piece: other sums of rounding errors
    whole = gradients(arrivals, weights, spikes, errors, 0.8, 2, 0.2, delays)
    np.testing.assert_allclose(whole[0], results[0][1], rtol=1e-9, atol=1e-11)
    assert spike_times(arrivals, weights, 0.8, 2, delays).tobytes() == spikes.tobytes()


def test_the_bad_sample_is_named_in_whichever_part_it_is(monkeypatch):
    monkeypatch.setattr(kernels, "_LEAST_WORK", 1)
    arrivals = np.zeros((9, 3))
    arrivals[5, 1] = np.nan
    with pytest.raises(UserError, match=r"arrivals\[5\] hold NaN or -inf"):
        spike_times(arrivals, np.ones((3, 2)), 1.0, 2)


@ALL_KINDS
def test_gradients_of_the_weights_alone(kind):
    arrivals, weights, delays = make_layer(91, kind, 20, 6, 4)
    spikes = spike_times(arrivals, weights, 0.8, 2, delays)
    whole = gradients(arrivals, weights, spikes, np.ones(spikes.shape), 0.8, 2, 0.2, delays)
    alone = gradients(arrivals, weights, spikes, np.ones(spikes.shape), 0.8, 2, 0.2, delays, timed=False)
    assert alone[1] is None and alone[2] is None and alone[0].tobytes() == whole[0].tobytes()


def test_samples_do_not_see_each_other():
    arrivals, weights, delays = make_layer(61, "synaptic", 50, 5, 3)
    spikes = spike_times(arrivals, weights, 0.8, 2, delays)
    for s in range(50):
        assert spike_times(arrivals[s : s + 1], weights, 0.8, 2, delays).tobytes() == spikes[s].tobytes()
    assert spike_times(np.empty((0, 5)), weights, 0.8, 2, delays).shape == (0, 3)


def test_lambert_function_equals_scipy():
    for overdrive in np.geomspace(1e-3, 50.0, 200):
        value = one_plus_lambert_w0(overdrive)
        # scipy gets a rounded argument: its error grows as 1 / (1 + W) towards the branch point
        expected = 1.0 + lambertw(-math.exp(-1.0 - overdrive)).real
        assert abs(value - expected) <= 4e-16 * (1.0 + 1.0 / value), overdrive
    assert one_plus_lambert_w0(0.0) == 0.0
    assert one_plus_lambert_w0(1000.0) == 1.0


def test_lambert_function_near_the_branch_point_in_40_digits():
    """Solve -e - ln(1 - e) = overdrive by Newton's method in decimal arithmetic."""
    with decimal.localcontext() as context:
        context.prec = 60
        for overdrive in [*np.geomspace(1e-18, 3.0, 60), 0.125, 0.1249, 0.1251, 1.279, 1.281]:
            value = one_plus_lambert_w0(float(overdrive))
            e = decimal.Decimal(value)
            for _ in range(6):
                e -= (-e - (1 - e).ln() - decimal.Decimal(float(overdrive))) * (1 - e) / e
            assert abs(value / float(e) - 1.0) <= 9e-16, overdrive


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrivals": np.zeros((2, 4))}, r"arrivals \(2, 4\) and weights \(3, 2\) don't fit"),
        ({"weights": np.full((3, 2), np.nan)}, "a weight is not finite; lower the learning rate"),
        ({"weights": np.empty((3, 0))}, r"weights have shape \(3, 0\); a layer needs"),
        ({"threshold": 0.0}, "threshold = 0.0 must be above 0 and finite"),
        ({"tau_ratio": 3}, "tau_ratio = 3 must be 1 or 2"),
        ({"delays": np.zeros(3)}, r"delays have shape \(3,\); expected \(3, 1\) \(axonal\), \(1, 2\) \(dendritic\)"),
        ({"delays": np.full((3, 2), INF)}, "a delay is not finite"),
        ({"arrivals": np.array([[0.0, 1.0, 2.0], [0.0, np.nan, 1.0]])}, r"arrivals\[1\] hold NaN or -inf"),
        ({"arrivals": np.array([[0.0, -INF, 2.0]])}, r"arrivals\[0\] hold NaN or -inf"),
        ({"arrivals": np.array([[0.0, 250.0, INF]])}, r"span 250 tau_s, with delays at most 200 tau_s"),
        ({"max_dw": 0.0}, "max_dw = 0.0 must be above 0; inf switches the cut off"),
        ({"spikes": np.array([[1.0, 2.0], [np.nan, 1.0]])}, r"spikes\[1, 0\] = nan is not a number; give the time of"),
        ({"spikes": np.array([[1.0, -INF], [1.0, 1.0]])}, r"spikes\[0, 1\] = -inf tau_s is outside"),
        ({"errors": np.array([[1.0, 2.0], [np.nan, 1.0]])}, r"errors\[1, 0\] = nan is not a number; lower the"),
        ({"weights": np.ones((3, 2), complex)}, "weights is of type complex128, not numbers"),
        ({"arrivals": np.ones((2, 3), bool)}, "arrivals is of type bool, not numbers"),
        ({"errors": np.zeros((1, 2))}, r"errors have shape \(1, 2\); expected \(2, 2\)"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"arrivals": np.array([[0.0, 1.0, INF], [0.0, 0.5, 1.0]]), "weights": np.ones((3, 2)), "threshold": 1.0}
    arguments = good | {"tau_ratio": 2, "delays": None} | change
    batch = (len(arguments["arrivals"]), arguments["weights"].shape[1])
    backward_only = {"spikes": np.ones(batch), "errors": np.ones(batch), "max_dw": 0.2}
    with pytest.raises(UserError, match=message):
        gradients(**(backward_only | arguments))
    if not set(change) & set(backward_only):
        with pytest.raises(UserError, match=message):
            spike_times(**arguments)


@RATIOS
@pytest.mark.parametrize("kind", ["axonal", "dendritic", "synaptic"])
def test_a_delay_that_all_share_only_shifts_the_spike(kind, tau_ratio):
    """Also of a sample that lasts nearly as long as is allowed: nothing of its span is taken up."""
    arrivals, weights = np.array([[0.0, 0.3, 150.0], [0.0, 149.0, 150.0]]), np.full((3, 2), 4.0)
    shape = {"axonal": (3, 1), "dendritic": (1, 2), "synaptic": (3, 2)}[kind]
    errors = np.ones((2, 2))
    plain, shifted = np.zeros(shape), np.full(shape, 60.0)
    spikes = spike_times(arrivals, weights, 1.0, tau_ratio, plain)
    assert np.isfinite(spikes).all()
    np.testing.assert_allclose(spike_times(arrivals, weights, 1.0, tau_ratio, shifted), spikes + 60.0, rtol=1e-12)
    ours = gradients(arrivals, weights, spikes + 60.0, errors, 1.0, tau_ratio, INF, shifted)
    theirs = gradients(arrivals, weights, spikes, errors, 1.0, tau_ratio, INF, plain)
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
