"""First spikes and their gradients for batches and layers: all jitted code of DelGrad.

`spike_times` and `gradients` check their input and call the kernels. The equations and the units (times in tau_s,
weights in model units, inf for "no spike") are those of `neurohil.first_spike.spike_time`, the readable reference.

Times are taken relative to the first arrival of a sample, and exponentials are handled as x = exp(t / tau_ratio), so
that exp(t + d) is a product and, for tau_ratio 2, exp(t) = x^2. A *lane* is one neuron of one sample; work arrays are
(inputs, lanes), and the inner loops run over the lanes of a few samples without branches, hence in vector registers.
One thread: batches are so small (tens of microseconds) that waking a second one costs more than it saves, and on a
busy machine a hundred times more.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np

from neurohil.arrays import floats
from neurohil.errors import UserError
from neurohil.jit import njit
from neurohil.text import exact

MAX_SPAN = 200.0  # tau_s between the first and the last arrival of a sample: keeps exp() far from overflow
_FAR_TIME, _FAR_EXP = 1e6, 1e140  # time (tau_s) and exp() of inputs that don't arrive, beyond all that MAX_SPAN allows
_LARGEST = float(np.finfo(np.float64).max)
_LANES = 96  # enough to hide the overhead of a loop, few enough to stay in the cache
_RANK_SORT_MAX = 64  # beyond that many inputs a merge sort is faster


def spike_times(
    arrivals: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    tau_ratio: int,
    delays: np.ndarray | None = None,
) -> np.ndarray:
    """First spike times of a layer (`neurohil.first_spike.spike_time.first_spike` for each sample and neuron).

    Parameters
    ----------
    arrivals : ndarray, shape (B, P), float64, tau_s
        Spike times of the inputs; inf: no spike.
    weights : ndarray, shape (P, N), float64, model units
    threshold : float, > 0, model units
        theta - E_l.
    tau_ratio : {1, 2}
        tau_m / tau_s.
    delays : ndarray, float64, tau_s, optional
        The shape says of which kind: (P, 1) axonal, (1, N) dendritic, (P, N) synaptic; None: no delays.

    Returns
    -------
    ndarray, shape (B, N), float64, tau_s
        inf where the neuron stays silent.

    Raises
    ------
    UserError
        For shapes that don't fit, values that aren't finite (arrivals: NaN or -inf), a threshold or tau_ratio out
        of range, or arrivals of one sample that are more than 200 tau_s apart.
    """
    arrivals, weights, threshold = _checked(arrivals, weights, threshold, tau_ratio)
    arrivals, kernel_delays = _apply_delays(arrivals, weights, delays)
    spikes, bad = forward(arrivals, weights, kernel_delays, threshold, int(tau_ratio))
    _raise_if_bad(bad, arrivals)
    return spikes


def gradients(
    arrivals: np.ndarray,
    weights: np.ndarray,
    spikes: np.ndarray,
    errors: np.ndarray,
    threshold: float,
    tau_ratio: int,
    max_dw: float,
    delays: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Gradients of a loss from dL/dT of a layer (`spike_time.measured_gradients`, summed over the batch).

    Parameters
    ----------
    arrivals, weights, threshold, tau_ratio, delays
        As in `spike_times`.
    spikes : ndarray, shape (B, N), float64, tau_s
        Observed spike times T of the layer: the model's own, or measured; inf: silent.
    errors : ndarray, shape (B, N), float64
        dL/dT. Ignored where the neuron is silent.
    max_dw : float, > 0
        Gradient cut: if max_i |dL/dT dT/dw_i| of a sample and neuron exceeds it, that pair adds nothing to the
        weight gradients. Gradients of times and delays are not cut. inf: no cut.

    Returns
    -------
    grad_weights : ndarray, shape (P, N)
    grad_arrivals : ndarray, shape (B, P)
        dL/dt of the undelayed arrivals: the errors of the layer below.
    grad_delays : ndarray, shape of `delays`, or None

    Raises
    ------
    UserError
        As `spike_times`; also if max_dw is not positive.
    """
    arrivals, weights, threshold = _checked(arrivals, weights, threshold, tau_ratio)
    arrivals, kernel_delays = _apply_delays(arrivals, weights, delays)
    expected = (arrivals.shape[0], weights.shape[1])
    spikes, errors = _array("spikes", spikes), _array("errors", errors)
    for name, array in (("spikes", spikes), ("errors", errors)):
        if array.shape != expected:
            raise UserError(f"delgrad: {name} have shape {array.shape}; expected {expected}, samples by neurons")
    if spikes.size and not spikes.min() > -math.inf:
        remedy = "give the time of each spike, inf for none"
        floats("delgrad: spikes", spikes, None, -_LARGEST, unit="tau_s", remedy=remedy, finite=False)
    if not math.isfinite(errors.sum()):  # where a neuron is silent anything may stand
        floats("delgrad: errors", np.where(np.isfinite(spikes), errors, 0.0), remedy="lower the learning rate")
    max_dw = _number(max_dw)
    if not max_dw > 0.0:
        raise UserError(f"delgrad: max_dw = {max_dw} must be above 0; inf switches the cut off")
    grad_weights, grad_arrivals, grad_delays, bad = backward(
        arrivals, weights, kernel_delays, spikes, errors, threshold, int(tau_ratio), max_dw
    )
    _raise_if_bad(bad, arrivals)
    if delays is None:
        return grad_weights, grad_arrivals, None
    if grad_delays.shape != np.shape(delays):  # axonal: one delay for all that the input goes to
        grad_delays = grad_arrivals.sum(axis=0)[:, np.newaxis]
    return grad_weights, grad_arrivals, grad_delays


def _array(name: str, values: np.ndarray) -> np.ndarray:
    """The values as the kernels want them; infinite and NaN are looked for later."""
    if type(values) is not np.ndarray or values.dtype != np.float64 or not values.flags.c_contiguous:
        values = floats(f"delgrad: {name}", values, finite=False)
    # numba would compile once more for a read-only array
    return values if values.flags.writeable else values.copy()


def _checked(
    arrivals: np.ndarray, weights: np.ndarray, threshold: float, tau_ratio: int
) -> tuple[np.ndarray, np.ndarray, float]:
    arrivals, weights = _array("arrivals", arrivals), _array("weights", weights)
    if arrivals.ndim != 2 or weights.ndim != 2 or arrivals.shape[1] != weights.shape[0]:
        raise UserError(
            f"delgrad: arrivals {arrivals.shape} and weights {weights.shape} don't fit; "
            "expected (samples, inputs) and (inputs, neurons)"
        )
    if weights.size == 0:
        raise UserError(f"delgrad: weights have shape {weights.shape}; a layer needs an input and a neuron")
    threshold = _number(threshold)
    if not 0.0 < threshold <= _LARGEST:
        raise UserError(f"delgrad: threshold = {threshold} must be above 0 and finite")
    if not isinstance(tau_ratio, Integral) or tau_ratio not in (1, 2):
        raise UserError(f"delgrad: tau_ratio = {tau_ratio} must be 1 or 2: only then there is a closed form")
    if not math.isfinite(np.abs(weights).sum()):
        raise UserError("delgrad: a weight is not finite; lower the learning rate or check the initial weights")
    return arrivals, weights, threshold


def _number(value: float) -> float:
    """A float of Python; what isn't a number is NaN."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.inf


def _apply_delays(
    arrivals: np.ndarray, weights: np.ndarray, delays: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals and delays as the kernels take them: axonal delays are added to the arrivals, (B, P)."""
    inputs, neurons = weights.shape
    if delays is None:
        return arrivals, np.zeros((1, neurons))
    delays = _array("delays", delays)
    if delays.shape not in ((inputs, 1), (1, neurons), (inputs, neurons)):
        raise UserError(
            f"delgrad: delays have shape {delays.shape}; expected {(inputs, 1)} (axonal), "
            f"{(1, neurons)} (dendritic) or {(inputs, neurons)} (synaptic)"
        )
    if not math.isfinite(np.abs(delays).sum()):
        raise UserError("delgrad: a delay is not finite; lower the learning rate or check the initial delays")
    if delays.shape in ((1, neurons), (inputs, neurons)):
        return arrivals, delays
    return arrivals + delays[:, 0], np.zeros((1, neurons))


def _raise_if_bad(sample: int, arrivals: np.ndarray) -> None:
    if sample >= 0:
        times = arrivals[sample]
        finite = times[np.isfinite(times)]
        span = np.ptp(finite) if finite.size else 0.0
        raise UserError(
            f"delgrad: arrivals[{sample}] hold NaN or -inf, or times that are too far apart (span {exact(span)} tau_s, "
            f"with delays at most {MAX_SPAN:g} tau_s); use inf for no spike and check the unit tau_s"
        )


def _lead_series(terms: int) -> tuple[float, ...]:
    """Coefficients c_1 ... of e = sum_m c_m p^m that solves -e - ln(1 - e) = p^2 / 2, from e e' = p (1 - e)."""
    c = [0.0, 1.0]
    for m in range(2, terms + 1):
        c.append((-c[m - 1] - sum(c[i] * (m + 1 - i) * c[m + 1 - i] for i in range(2, m))) / (m + 1))
    return tuple(c[1:])


_LEAD_SERIES = _lead_series(16)


@njit(cache=True, error_model="numpy")
def one_plus_lambert_w0(overdrive):
    """1 + W0(-exp(-1 - overdrive)) for overdrive >= 0 (float64), to a few 1e-16 relative.

    For tau_m = tau_s this is the time (tau_s) by which the spike precedes the peak of the membrane, and `overdrive` is
    ln(V_peak / threshold). With y = -W0 the equation is y - ln y = 1 + overdrive. Written in `overdrive`, nothing
    cancels near the branch point of W0, where the membrane only just touches the threshold, and nothing overflows.
    """
    p = math.sqrt(2.0 * overdrive)
    if p < 1.6:
        lead = 0.0
        for m in range(len(_LEAD_SERIES) - 1, -1, -1):
            lead = (lead + _LEAD_SERIES[m]) * p
        if p < 0.5:
            return lead
        y = 1.0 - lead
    else:
        x = math.exp(-1.0 - overdrive)
        if x < 1e-20:
            return 1.0
        y = x * (1.0 + x * (1.0 + x * (1.5 + x * (8.0 / 3.0 + x * 125.0 / 24.0))))
    # One step of fourth order (Fritsch, Shafer, Crowley, Comm. ACM 16, 1973).
    z = y - math.log(y) - 1.0 - overdrive
    lead = 1.0 - y
    q = 2.0 * lead * (lead + 2.0 * z / 3.0)
    return 1.0 - y * (1.0 + z / lead * (q - z) / (q - 2.0 * z))


@njit(cache=True, error_model="numpy")
def _span(arrivals):
    """First finite arrival and span (tau_s) of one sample, (P,) float64; inf, 0 if nothing arrives.

    The span is inf if an arrival is NaN or -inf.
    """
    first, last = np.inf, -np.inf
    for time in arrivals:
        if time != time or time == -np.inf:
            return np.inf, np.inf
        if time < np.inf:
            first, last = min(first, time), max(last, time)
    return first, (last - first if last >= first else 0.0)


@njit(cache=True, error_model="numpy")
def _fill_lanes(arrivals, start, samples, extra, extra_exps, max_span, tau_ratio, references, times, exps):
    """Delayed arrivals of the samples start ... start + samples - 1, lane by lane.

    arrivals : (B, P) float64, tau_s, inf = no spike; extra, extra_exps : (P or 1, N) float64, delays beyond the least
    one (tau_s) and their exp(d / tau_ratio); max_span : float64, tau_s. Writes references (samples,) float64, the first
    arrivals; times, exps (P, lanes) float64: t from the reference (tau_s) and exp(t / tau_ratio), far off where nothing
    arrives. Returns the index of a sample with bad arrivals (taken as empty), else -1.
    """
    inputs, neurons = arrivals.shape[1], extra.shape[1]
    bad = -1
    for s in range(samples):
        references[s], span = _span(arrivals[start + s])
        if span > max_span:
            bad = start + s
        for i in range(inputs):
            time, x = _FAR_TIME, _FAR_EXP
            if arrivals[start + s, i] < np.inf and span <= max_span:
                time = arrivals[start + s, i] - references[s]
                x = math.exp(time / tau_ratio)
            row = i if extra.shape[0] > 1 else 0
            for n in range(neurons):
                times[i, s * neurons + n] = time + extra[row, n]
                exps[i, s * neurons + n] = x * extra_exps[row, n]
    return bad


@njit(cache=True, error_model="numpy")
def _rank(times, lanes, rank):
    """Rank of every input in the order of arrival of its lane; equal times rank by input.

    times : (P, >= lanes) float64, tau_s; lanes : int64. Writes rank (P, >= lanes) int64.
    """
    inputs = times.shape[0]
    if inputs > _RANK_SORT_MAX:
        for l in range(lanes):
            order = np.argsort(times[:, l].copy(), kind="mergesort")
            for k in range(inputs):
                rank[order[k], l] = k
        return
    rank[:] = 0
    for i in range(1, inputs):
        for j in range(i):
            for l in range(lanes):
                later = 1 if times[j, l] > times[i, l] else 0
                rank[j, l] += later
                rank[i, l] += 1 - later


@njit(cache=True, error_model="numpy")
def _scan_equal(times, exps, weights, lanes, threshold, a_1, b, spikes):
    """First spikes for tau_m = tau_s.

    times, exps : (P + 1, >= lanes) float64, sorted arrival times (tau_s, from the reference) and exp(t), in the last
    row a far-off arrival; weights : (P, >= lanes) float64 in the same order; lanes : int64; threshold : float64;
    a_1, b : (>= lanes,) float64 scratch. Writes spikes (>= lanes,) float64, tau_s from the reference, inf = silent.

    V(t) = exp(-t) (a_1 t - b) peaks at b / a_1 + 1; the spike is `one_plus_lambert_w0` before.
    """
    a_1[:] = 0.0
    b[:] = 0.0
    spikes[:] = np.inf
    for k in range(weights.shape[0]):
        for l in range(lanes):
            t, t_next = times[k, l], times[k + 1, l]
            amplitude = weights[k, l] * exps[k, l]
            a_1[l] += amplitude
            b[l] += amplitude * t
            reached = a_1[l] * t_next - b[l] >= threshold * exps[k + 1, l]
            peaks = (a_1[l] * t < b[l] + a_1[l]) & (b[l] + a_1[l] < a_1[l] * t_next)
            if (reached | peaks) & (a_1[l] > 0.0) & (spikes[l] == np.inf):
                peak = b[l] / a_1[l] + 1.0
                overdrive = math.log(a_1[l] / threshold) - peak
                if reached or overdrive >= 0.0:
                    spikes[l] = peak - one_plus_lambert_w0(max(overdrive, 0.0))


@njit(cache=True, error_model="numpy")
def _scan_double(exps, weights, lanes, threshold, sums, at_crossing, spikes):
    """First spikes for tau_m = 2 tau_s.

    As `_scan_equal`, with exps = exp(t / 2) and without times; sums, at_crossing : (2, >= lanes) float64 scratch, a_1
    and a_2 so far and at the crossing (a_1 = 0: none).

    With x = exp(t / 2), V(t) = 2 (a_2 x - a_1) / x^2 peaks at x = 2 a_1 / a_2 with a_2^2 / (2 a_1); the spike is at
    x = 2 a_1 / (a_2 + sqrt(a_2^2 - 2 a_1 threshold)).
    """
    sums[:] = 0.0
    at_crossing[:] = 0.0
    for k in range(weights.shape[0]):
        for l in range(lanes):
            x, x_next = exps[k, l], exps[k + 1, l]
            amplitude = weights[k, l] * x
            a_1, a_2 = sums[0, l] + amplitude * x, sums[1, l] + amplitude
            sums[0, l], sums[1, l] = a_1, a_2
            reached = 2.0 * (a_2 * x_next - a_1) >= threshold * x_next * x_next
            peaks = (a_2 * x < 2.0 * a_1) & (2.0 * a_1 < a_2 * x_next) & (a_2 * a_2 >= 2.0 * a_1 * threshold)
            crosses = (reached | peaks) & (a_1 > 0.0) & (at_crossing[0, l] == 0.0)
            at_crossing[0, l] = a_1 if crosses else at_crossing[0, l]
            at_crossing[1, l] = a_2 if crosses else at_crossing[1, l]
    for l in range(lanes):
        a_1, a_2 = at_crossing[0, l], at_crossing[1, l]
        root = math.sqrt(max(a_2 * a_2 - 2.0 * a_1 * threshold, 0.0))
        spikes[l] = 2.0 * a_1 / (a_2 + root) if a_1 > 0.0 else np.inf
    for l in range(lanes):
        spikes[l] = 2.0 * math.log(spikes[l]) if spikes[l] < np.inf else np.inf


@njit(cache=True, error_model="numpy")
def forward(arrivals, weights, delays, threshold, tau_ratio):
    """First spikes of a layer.

    arrivals : (B, P) float64, tau_s, inf = no spike; weights : (P, N) float64; delays : (P, N) float64, tau_s, or
    (1, N) if all inputs of a neuron have the same delay (then a sample is sorted once for all neurons);
    threshold : float64; tau_ratio : int64, 1 or 2. Equations: `neurohil.first_spike.spike_time.first_spike`.
    Returns spikes (B, N) float64, tau_s, inf = silent, and the index of a sample with bad arrivals (NaN, -inf, or more
    than MAX_SPAN apart), -1 if all are good.
    """
    batch, inputs = arrivals.shape
    neurons = weights.shape[1]
    synaptic = delays.shape[0] > 1
    least_delay = delays.min()
    max_span = MAX_SPAN - (delays.max() - least_delay)
    extra = delays - least_delay
    extra_exps = np.exp(extra / tau_ratio)
    block = max(1, _LANES // neurons)
    references, sample_times = np.empty(block), np.empty((inputs, block))
    times, exps = np.empty((inputs, block * neurons)), np.empty((inputs, block * neurons))
    rank = np.empty((inputs, block * neurons), dtype=np.int64)
    sorted_times = np.full((inputs + 1, block * neurons), _FAR_TIME)
    sorted_exps = np.full((inputs + 1, block * neurons), _FAR_EXP)
    sorted_weights = np.empty((inputs, block * neurons))
    sums, at_crossing = np.empty((2, block * neurons)), np.empty((2, block * neurons))
    found = np.empty(block * neurons)
    spikes = np.empty((batch, neurons))
    bad = -1
    for start in range(0, batch, block):
        samples = min(block, batch - start)
        lanes = samples * neurons
        bad_sample = _fill_lanes(
            arrivals, start, samples, extra, extra_exps, max_span, tau_ratio, references, times, exps
        )
        bad = max(bad, bad_sample)
        if synaptic:
            _rank(times, lanes, rank)
        else:
            for i in range(inputs):
                for s in range(samples):
                    sample_times[i, s] = times[i, s * neurons]
            _rank(sample_times, samples, rank)
        for i in range(inputs):
            for s in range(samples):
                for n in range(neurons):
                    l = s * neurons + n
                    k = rank[i, l if synaptic else s]
                    if tau_ratio == 1:
                        sorted_times[k, l] = times[i, l]
                    sorted_exps[k, l] = exps[i, l]
                    sorted_weights[k, l] = weights[i, n] if exps[i, l] < _FAR_EXP else 0.0
        if tau_ratio == 1:
            _scan_equal(sorted_times, sorted_exps, sorted_weights, lanes, threshold, sums[0], sums[1], found)
        else:
            _scan_double(sorted_exps, sorted_weights, lanes, threshold, sums, at_crossing, found)
        for s in range(samples):
            for n in range(neurons):
                spikes[start + s, n] = found[s * neurons + n] + (references[s] + least_delay)
    return spikes, bad


@njit(cache=True, error_model="numpy")
def _gradients_equal(exps, since, weights, lanes, threshold, scratch, valid, d_weights, d_times):
    """Gradients for tau_m = tau_s.

    exps, since : (P, >= lanes) float64, exp(t - T) and T - t (tau_s) with the observed spikes T, 0 outside the causal
    set; weights : (P, >= lanes) float64; lanes : int64; threshold : float64; scratch : (2, >= lanes) float64. Writes
    d_weights = dT/dw and d_times = dT/dt, (P, >= lanes) float64, and valid (>= lanes,) bool: whether the model spikes
    with the observed causal set. Where it does not, and outside the causal set, the gradients are 0.

    With times relative to T, b = -sum w_i (T - t_i) exp(t_i - T).
    """
    inputs = weights.shape[0]
    scratch[:] = 0.0
    a_1, b, factor = scratch[0], scratch[1], scratch[0]
    for i in range(inputs):
        for l in range(lanes):
            amplitude = weights[i, l] * exps[i, l]
            a_1[l] += amplitude
            b[l] -= amplitude * since[i, l]
    for l in range(lanes):
        overdrive = math.log(a_1[l] / threshold) - b[l] / a_1[l] - 1.0 if a_1[l] > 0.0 else -1.0
        valid[l] = overdrive > 0.0
        factor[l] = 1.0 / (a_1[l] * one_plus_lambert_w0(overdrive)) if valid[l] else 0.0
    for i in range(inputs):
        for l in range(lanes):
            scaled = factor[l] * exps[i, l]
            d_weights[i, l] = -scaled * since[i, l]
            d_times[i, l] = weights[i, l] * scaled * (1.0 - since[i, l])


@njit(cache=True, error_model="numpy")
def _gradients_double(exps, weights, lanes, threshold, scratch, valid, d_weights, d_times):
    """Gradients for tau_m = 2 tau_s.

    As `_gradients_equal`, with exps = exp((t - T) / 2) and without since. With times relative to T, the factor
    exp(T / 2) of the equation is 1.
    """
    inputs = weights.shape[0]
    scratch[:] = 0.0
    for i in range(inputs):
        for l in range(lanes):
            amplitude = weights[i, l] * exps[i, l]
            scratch[0, l] += amplitude * exps[i, l]
            scratch[1, l] += amplitude
    for l in range(lanes):
        a_1, a_2 = scratch[0, l], scratch[1, l]
        discriminant = a_2 * a_2 - 2.0 * a_1 * threshold
        valid[l] = (a_1 > 0.0) & (a_2 > 0.0) & (discriminant > 0.0)
        inverse_root = 1.0 / math.sqrt(discriminant) if valid[l] else 0.0
        scratch[0, l] = (1.0 + 0.5 * threshold * inverse_root) / a_1 if valid[l] else 0.0
        scratch[1, l] = inverse_root
    for i in range(inputs):
        for l in range(lanes):
            first = scratch[0, l] * exps[i, l] * exps[i, l]
            second = scratch[1, l] * exps[i, l]
            d_weights[i, l] = 2.0 * (first - second)
            d_times[i, l] = weights[i, l] * (2.0 * first - second)


@njit(cache=True, error_model="numpy")
def backward(arrivals, weights, delays, spikes, errors, threshold, tau_ratio, max_dw):
    """Gradients of a layer for observed spikes, summed over the batch.

    arrivals, weights, delays, threshold, tau_ratio : as in `forward`; spikes : (B, N) float64, observed, tau_s, inf =
    silent; errors : (B, N) float64, dL/dT; max_dw : float64, gradient cut, inf = none.
    Equations: `neurohil.first_spike.spike_time.measured_gradients`.
    Returns dL/dweights (P, N), dL/darrivals (B, P), dL/ddelays (shape of delays), all float64, and the index of a
    sample with bad arrivals, -1 if all are good.
    """
    batch, inputs = arrivals.shape
    neurons = weights.shape[1]
    rows = delays.shape[0]
    least_delay = delays.min()
    max_span = MAX_SPAN - (delays.max() - least_delay)
    extra = delays - least_delay
    extra_exps = np.exp(extra / tau_ratio)
    block = max(1, _LANES // neurons)
    lane_weights = np.empty((inputs, block * neurons))
    for i in range(inputs):
        for l in range(block * neurons):
            lane_weights[i, l] = weights[i, l % neurons]
    references = np.empty(block)
    times, exps = np.empty((inputs, block * neurons)), np.empty((inputs, block * neurons))
    since = np.empty((inputs, block * neurons))
    d_weights, d_times = np.empty((inputs, block * neurons)), np.empty((inputs, block * neurons))
    weight_sums, delay_sums = np.zeros((inputs, block * neurons)), np.zeros((rows, block * neurons))
    observed, decay = np.empty(block * neurons), np.empty(block * neurons)
    error, kept_error = np.empty(block * neurons), np.empty(block * neurons)
    scratch, largest = np.empty((2, block * neurons)), np.empty(block * neurons)
    valid = np.empty(block * neurons, dtype=np.bool_)
    grad_arrivals = np.empty((batch, inputs))
    bad = -1
    for start in range(0, batch, block):
        samples = min(block, batch - start)
        lanes = samples * neurons
        bad_sample = _fill_lanes(
            arrivals, start, samples, extra, extra_exps, max_span, tau_ratio, references, times, exps
        )
        bad = max(bad, bad_sample)
        for s in range(samples):
            for n in range(neurons):
                l = s * neurons + n
                # A silent neuron has no causal set, hence no gradient.
                silent = spikes[start + s, n] == np.inf or references[s] == np.inf
                observed[l] = -np.inf if silent else spikes[start + s, n] - references[s] - least_delay
                decay[l] = math.exp(-max(observed[l], 0.0) / tau_ratio)
                error[l] = errors[start + s, n]
        for i in range(inputs):
            for l in range(lanes):
                causal = times[i, l] <= observed[l]
                exps[i, l] = exps[i, l] * decay[l] if causal else 0.0
                if tau_ratio == 1:
                    since[i, l] = observed[l] - times[i, l] if causal else 0.0
        if tau_ratio == 1:
            _gradients_equal(exps, since, lane_weights, lanes, threshold, scratch, valid, d_weights, d_times)
        else:
            _gradients_double(exps, lane_weights, lanes, threshold, scratch, valid, d_weights, d_times)
        largest[:] = 0.0
        for i in range(inputs):
            for l in range(lanes):
                size = abs(d_weights[i, l])
                largest[l] = size if size > largest[l] else largest[l]
        for l in range(lanes):
            error[l] = error[l] if valid[l] else 0.0
            kept_error[l] = error[l] if abs(error[l]) * largest[l] <= max_dw else 0.0
        for i in range(inputs):
            row = i if rows > 1 else 0
            for l in range(lanes):
                d_times[i, l] *= error[l]
                weight_sums[i, l] += kept_error[l] * d_weights[i, l]
                delay_sums[row, l] += d_times[i, l]
            for s in range(samples):
                total = 0.0
                for n in range(neurons):
                    total += d_times[i, s * neurons + n]
                grad_arrivals[start + s, i] = total
    grad_weights, grad_delays = np.zeros((inputs, neurons)), np.zeros((rows, neurons))
    for l in range(block * neurons):
        for i in range(inputs):
            grad_weights[i, l % neurons] += weight_sums[i, l]
        for row in range(rows):
            grad_delays[row, l % neurons] += delay_sums[row, l]
    return grad_weights, grad_arrivals, grad_delays, bad
