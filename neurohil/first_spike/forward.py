"""First spikes of a layer: the jitted code.

The equations and the units are those of `neurohil.first_spike.spike_time`, the readable reference. Times are taken
relative to the first arrival of a sample, and exponentials are handled as x = exp(t / tau_ratio), so that exp(t + d) is
a product and, for tau_ratio 2, exp(t) = x^2.

A *lane* is one neuron of one sample; the inner loops run over the lanes of a few samples without branches, hence in
vector registers. Lanes are numbered neuron by neuron where there are few neurons, else sample by sample, so that what
lies beside each other in memory is long. A sample's arrivals are handled in their order in time, one row of all lanes
after the other, until all lanes have spiked; inputs that don't arrive have no row.
"""

from __future__ import annotations

import math

import numpy as np

from neurohil.first_spike.lambert import one_plus_lambert_w0
from neurohil.first_spike.lanes import exp, log
from neurohil.jit import njit

MAX_SPAN = 200.0  # tau_s between the first and the last arrival of a sample: keeps exp() far from overflow
FAR_TIME, FAR_EXP = 1e6, 1e140  # time (tau_s) and exp() of what comes after the last arrival, beyond MAX_SPAN
_CELLS = 16384  # of a block, inputs by lanes: many hide the overhead of loops, few stay in the cache
BAD_WEIGHTS, BAD_DELAYS, BAD_SPIKES, BAD_ERRORS = -2, -3, -4, -5  # what kernels find wrong with their arguments
_SMALL_SORT = 64  # beyond that many arrivals a merge sort is faster
_LEAST_RANKED = 8  # samples side by side: for fewer an insertion sort is faster


@njit(cache=True, error_model="numpy", nogil=True)
def are_finite(values):
    """Whether all values, (rows, columns) float64, are finite."""
    bad = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            bad += 0 if abs(values[row, column]) < np.inf else 1
    return bad == 0


@njit(cache=True, error_model="numpy", nogil=True)
def silent_counts(spikes, heard):
    """In how many of the samples that are heard, (B,) bool, each neuron is silent, (N,) int64; spikes : (B, N) float64,
    inf = silent."""
    counts = np.zeros(spikes.shape[1], dtype=np.int64)
    for s in range(spikes.shape[0]):
        for n in range(spikes.shape[1] if heard[s] else 0):
            counts[n] += 1 if spikes[s, n] == np.inf else 0
    return counts


@njit(cache=True, error_model="numpy", nogil=True)
def block_size(batch, inputs, neurons):
    """How many samples are handled side by side, and whether neurons are few: numbered one after the other."""
    samples = max(1, min(batch, _CELLS // (min(inputs, _SMALL_SORT) * neurons)))
    return samples, samples > neurons


@njit(cache=True, error_model="numpy", nogil=True)
def arriving(arrivals, max_span, inputs, times):
    """The inputs of one sample that arrive, and when.

    arrivals : (P,) float64, tau_s, inf = no spike; max_span : float64. Writes inputs (P,) int64, their indices, and
    times (P,) float64, tau_s from the first of them. Returns their number, the time of the first (tau_s, inf if there
    is none), and whether all is good; of a sample with NaN, -inf or arrivals farther apart, none arrives.
    """
    first, last, good = np.inf, -np.inf, True
    for time in arrivals:
        good &= time > -np.inf  # not NaN
        if time < np.inf:
            first, last = min(first, time), max(last, time)
    if not good or first == np.inf or last - first > max_span:
        return 0, np.inf, good and first == np.inf
    count = 0
    for i in range(arrivals.size):
        if arrivals[i] < np.inf:
            inputs[count] = i
            times[count] = arrivals[i] - first
            count += 1
    return count, first, True


@njit(cache=True, error_model="numpy", nogil=True)
def _sort(inputs, times):
    """Bring inputs (n,) int64 and their times (n,) float64 into the order of time; equal times keep their order."""
    if times.size > _SMALL_SORT:
        order = np.argsort(times, kind="mergesort")
        inputs[:] = inputs[order]
        times[:] = times[order]
        return
    for k in range(1, times.size):
        time, i, place = times[k], inputs[k], k
        while place > 0 and times[place - 1] > time:
            times[place], inputs[place] = times[place - 1], inputs[place - 1]
            place -= 1
        times[place], inputs[place] = time, i


@njit(cache=True, error_model="numpy", nogil=True)
def _rank(times, rows, lanes, rank):
    """Rank of every row in the order of time of its lane; equal times rank by row.

    times : (>= rows, >= lanes) float64, tau_s; rows, lanes : int64. Writes rank (>= rows, >= lanes) int64.
    """
    if rows > _SMALL_SORT:
        for l in range(lanes):
            order = np.argsort(times[:rows, l].copy(), kind="mergesort")
            for k in range(rows):
                rank[order[k], l] = k
        return
    for i in range(rows):
        for l in range(lanes):
            rank[i, l] = i
        for j in range(i):
            for l in range(lanes):
                later = 1 if times[j, l] > times[i, l] else 0
                rank[j, l] += later
                rank[i, l] -= later


@njit(cache=True, error_model="numpy", nogil=True)
def gather(
    arrivals, start, samples, max_span, tau_ratio, ordered, no_input, no_time, no_exp, own, references, rank,
    inputs, times, exps,
):  # fmt: skip
    """What arrives in the samples start ... start + samples - 1, one row for each arrival of all of them.

    arrivals, max_span : as in `arriving`; ordered : bool, whether rows are in the order of time, else of the inputs;
    no_input, no_time, no_exp : what stands where a sample has no arrival left; own : (2, P) int64 and float64 scratch
    of one sample; rank : (P, >= samples) int64 scratch. Writes references (>= samples,) float64, the first arrivals,
    and inputs int64, times (tau_s from the reference), exps (exp(t / tau_ratio)), float64, (P + 1, >= samples). Returns
    the number of rows, after which stands one without arrivals, and the index of a sample with bad arrivals or -1.
    """
    own_inputs, own_times = own
    rows, bad = 0, -1
    ranked = ordered and samples >= _LEAST_RANKED and arrivals.shape[1] <= _SMALL_SORT
    for s in range(samples):
        count, references[s], good = arriving(arrivals[start + s], max_span, own_inputs, own_times)
        bad = bad if good else start + s
        if ordered and not ranked:
            _sort(own_inputs[:count], own_times[:count])
        for k in range(rows + 1, count + 1):  # new rows: the samples before have nothing there
            for r in range(s):
                inputs[k, r] = no_input
                times[k, r] = no_time
        rows = max(rows, count)
        for k in range(rows + 1):
            inputs[k, s] = own_inputs[k] if k < count else no_input
            times[k, s] = own_times[k] if k < count else no_time
    if ranked:
        _rank(times, rows, samples, rank)
        for s in range(samples):
            for k in range(rows):
                own_inputs[k], own_times[k] = inputs[k, s], times[k, s]
            for k in range(rows):
                inputs[rank[k, s], s] = own_inputs[k]
                times[rank[k, s], s] = own_times[k]
    for k in range(rows + 1):
        for s in range(samples):
            exps[k, s] = exp(times[k, s] / tau_ratio) if inputs[k, s] != no_input else no_exp
    return rows, bad


@njit(cache=True, error_model="numpy", nogil=True)
def _row_equal(weights, w, exps, times, x, x_next, lanes, threshold, sums, waiting):
    """Add one arrival per lane and look for spikes before the next, for tau_m = tau_s.

    weights, exps, times : (rows, >= lanes) float64, of which row w holds the weights, and the rows x and x_next the
    times (tau_s) and exp(t) of this arrival and the next; lanes : int64; threshold : float64; sums : (2, >= lanes)
    float64, a_1 and b; waiting : (>= lanes,) float64, 1 until the lane has spiked, then 0, and its sums stay as they
    are. Returns how many lanes are waiting still.

    V(t) = exp(-t) (a_1 t - b) peaks at b / a_1 + 1.
    """
    peaking = 0
    left = 0
    for l in range(lanes):
        t, t_next = times[x, l], times[x_next, l]
        amplitude = waiting[l] * weights[w, l] * exps[x, l]
        a_1, b = sums[0, l] + amplitude, sums[1, l] + amplitude * t
        sums[0, l] = a_1
        sums[1, l] = b
        reached = a_1 * t_next - b >= threshold * exps[x_next, l]
        peaks = (a_1 * t < b + a_1) & (b + a_1 < a_1 * t_next)
        rises = a_1 > 0.0
        waiting[l] = 0.0 if reached & rises else waiting[l]
        left += 1 if waiting[l] > 0.0 else 0
        peaking += 1 if peaks & rises & (waiting[l] > 0.0) else 0
    if peaking > 0:
        for l in range(lanes):
            a_1, b = sums[0, l], sums[1, l]
            if waiting[l] > 0.0 and a_1 > 0.0 and a_1 * times[x, l] < b + a_1 and b + a_1 < a_1 * times[x_next, l]:
                if math.log(a_1 / threshold) - (b / a_1 + 1.0) >= 0.0:
                    waiting[l] = 0.0
                    left -= 1
    return left


@njit(cache=True, error_model="numpy", nogil=True)
def _row_double(weights, w, exps, x, x_next, lanes, threshold, sums, waiting):
    """As `_row_equal`, for tau_m = 2 tau_s, with exps = exp(t / 2), sums a_1 and a_2, and without times.

    With x = exp(t / 2), V = 2 (a_2 x - a_1) / x^2 is at threshold where (x - c)^2 = D, c = a_2 / threshold and
    D = c^2 - 2 a_1 / threshold, and crosses it upwards at c - sqrt(D).
    """
    scale = 1.0 / threshold
    left = 0
    for l in range(lanes):
        here = exps[x, l]
        amplitude = waiting[l] * weights[w, l] * here
        a_1, a_2 = sums[0, l] + amplitude * here, sums[1, l] + amplitude
        sums[0, l] = a_1
        sums[1, l] = a_2
        c = a_2 * scale
        missed = max(c - exps[x_next, l], 0.0)
        crosses = (missed * missed <= c * c - (a_1 + a_1) * scale) & (here < c) & (a_1 > 0.0)
        waiting[l] = 0.0 if crosses else waiting[l]
        left += 1 if waiting[l] > 0.0 else 0
    return left


@njit(cache=True, error_model="numpy", nogil=True)
def _crossing(sums, waiting, lanes, threshold, tau_ratio, spikes):
    """Spikes (tau_s from the reference), from the sums of those inputs that cause them; inf where a lane still waits.

    sums, waiting : as in `_row_equal`. Writes spikes (>= lanes,) float64. For tau_m = tau_s the spike is
    `one_plus_lambert_w0` before the peak, otherwise at exp(t / 2) = 2 a_1 / (a_2 + sqrt(a_2^2 - 2 a_1 threshold)).
    """
    if tau_ratio == 1:
        for l in range(lanes):
            spikes[l] = log(sums[0, l] / threshold) if waiting[l] == 0.0 else 0.0
        for l in range(lanes):
            if waiting[l] == 0.0:
                peak = sums[1, l] / sums[0, l] + 1.0
                spikes[l] = peak - one_plus_lambert_w0(max(spikes[l] - peak, 0.0))
            else:
                spikes[l] = np.inf
        return
    for l in range(lanes):
        a_1, a_2 = sums[0, l], sums[1, l]
        root = math.sqrt(max(a_2 * a_2 - 2.0 * a_1 * threshold, 0.0))
        x = 2.0 * a_1 / (a_2 + root) if waiting[l] == 0.0 else 1.0
        spikes[l] = 2.0 * log(x) if waiting[l] == 0.0 else np.inf


@njit(cache=True, error_model="numpy", nogil=True)
def _fill_row(inputs, times, exps, k, samples, weights, tau_ratio, few, row_weights, next_times, next_exps):
    """Weights of row k, -1: none, and arrivals of the next row, for all lanes.

    Arguments as in `_scan`. Writes row_weights (1, >= lanes), next_times, for tau_m = tau_s alone, and next_exps
    (>= lanes,), all float64.
    """
    neurons = weights.shape[0] if few else weights.shape[1]
    if few:
        for n in range(neurons):
            first = n * samples
            for s in range(samples):
                next_exps[first + s] = exps[k + 1, s]
            for s in range(samples if tau_ratio == 1 else 0):
                next_times[first + s] = times[k + 1, s]
            for s in range(samples if k >= 0 else 0):
                row_weights[0, first + s] = weights[n, inputs[k, s]]
        return
    for s in range(samples):
        first, time, x = s * neurons, times[k + 1, s], exps[k + 1, s]
        for n in range(neurons):
            next_exps[first + n] = x
        for n in range(neurons if tau_ratio == 1 else 0):
            next_times[first + n] = time
        i = inputs[k, s] if k >= 0 else 0
        for n in range(neurons if k >= 0 else 0):
            row_weights[0, first + n] = weights[i, n]


@njit(cache=True, error_model="numpy", nogil=True)
def _scan(inputs, times, exps, rows, samples, weights, threshold, tau_ratio, few, work, spikes):
    """First spikes where all neurons see a sample's inputs in the same order.

    inputs, times, exps : of `gather`; rows : int64; weights : of `with_no_input`; few : bool, of `block_size`; work
    : (8, >= lanes) float64 scratch. Writes spikes (>= lanes,) float64, tau_s from the references.
    """
    neurons = weights.shape[0] if few else weights.shape[1]
    lanes = samples * neurons
    row_times, row_exps, row_weights = work[0:2], work[2:4], work[4:5]
    sums, waiting = work[5:7], work[7]
    sums[:] = 0.0
    waiting[:] = 1.0
    for k in range(-1, rows):
        here, after = k & 1, (k + 1) & 1
        _fill_row(
            inputs, times, exps, k, samples, weights, tau_ratio, few, row_weights, row_times[after], row_exps[after]
        )
        if k < 0:
            continue
        if tau_ratio == 1:
            left = _row_equal(row_weights, 0, row_exps, row_times, here, after, lanes, threshold, sums, waiting)
        else:
            left = _row_double(row_weights, 0, row_exps, here, after, lanes, threshold, sums, waiting)
        if left == 0:
            break
    _crossing(sums, waiting, lanes, threshold, tau_ratio, spikes)


@njit(cache=True, error_model="numpy", nogil=True)
def _scan_synaptic(
    inputs, times, exps, rows, samples, weights, extra, extra_exps, threshold, tau_ratio, few, grid, rank, work, spikes
):
    """First spikes where each synapse has a delay of its own.

    As `_scan`, with the inputs in any order; extra, extra_exps : as weights, delays beyond the least one (tau_s) and
    their exp(d / tau_ratio); grid : (4, P + 1, >= lanes) float64, rank : (P, >= lanes) int64 scratch.
    """
    neurons = weights.shape[0] if few else weights.shape[1]
    lanes = samples * neurons
    lane_times, sorted_times, sorted_exps, sorted_weights = grid[0], grid[1], grid[2], grid[3]
    sums, waiting = work[5:7], work[7]
    sums[:] = 0.0
    waiting[:] = 1.0
    for k in range(rows):
        if few:
            for n in range(neurons):
                for s in range(samples):
                    lane_times[k, n * samples + s] = times[k, s] + extra[n, inputs[k, s]]
        else:
            for s in range(samples):
                for n in range(neurons):
                    lane_times[k, s * neurons + n] = times[k, s] + extra[inputs[k, s], n]
    _rank(lane_times, rows, lanes, rank)
    for k in range(rows):
        for a in range(neurons if few else samples):
            for b in range(samples if few else neurons):
                s = b if few else a
                place = (a, inputs[k, s]) if few else (inputs[k, s], b)
                l = a * (samples if few else neurons) + b
                row = rank[k, l]
                sorted_times[row, l] = lane_times[k, l]
                sorted_exps[row, l] = exps[k, s] * extra_exps[place]
                sorted_weights[row, l] = weights[place]
    sorted_times[rows, :lanes] = 2.0 * FAR_TIME
    sorted_exps[rows, :lanes] = FAR_EXP
    for k in range(rows):
        if tau_ratio == 1:
            left = _row_equal(sorted_weights, k, sorted_exps, sorted_times, k, k + 1, lanes, threshold, sums, waiting)
        else:
            left = _row_double(sorted_weights, k, sorted_exps, k, k + 1, lanes, threshold, sums, waiting)
        if left == 0:
            break
    _crossing(sums, waiting, lanes, threshold, tau_ratio, spikes)


@njit(cache=True, error_model="numpy", nogil=True)
def with_no_input(values, few):
    """A copy of values (P, N) float64 with zeros for an input that doesn't exist, (P + 1, N), transposed if `few`."""
    inputs, neurons = values.shape
    result = np.zeros((neurons, inputs + 1) if few else (inputs + 1, neurons))
    for i in range(inputs):
        for n in range(neurons):
            if few:
                result[n, i] = values[i, n]
            else:
                result[i, n] = values[i, n]
    return result


@njit(cache=True, error_model="numpy", nogil=True)
def forward(arrivals, weights, delays, threshold, tau_ratio, spikes):
    """First spikes of a layer.

    arrivals : (B, P) float64, tau_s, inf = no spike; weights : (P, N) float64; delays : (P, N) float64, tau_s, or
    (1, N) if all inputs of a neuron have the same delay (then a sample is sorted once for all neurons);
    threshold : float64; tau_ratio : int64, 1 or 2. Equations: `neurohil.first_spike.spike_time.first_spike`.
    Writes spikes (B, N) float64, tau_s, inf = silent. Returns -1 if all is good, BAD_WEIGHTS or BAD_DELAYS if some
    aren't finite, or the index of a sample with bad arrivals: NaN, -inf, or more than MAX_SPAN apart.
    """
    if not are_finite(weights):
        return BAD_WEIGHTS
    if not are_finite(delays):
        return BAD_DELAYS
    batch, n_inputs = arrivals.shape
    neurons = weights.shape[1]
    synaptic = delays.shape[0] > 1
    least_delay = delays.min()
    max_span = MAX_SPAN - (delays.max() - least_delay)
    block, few = block_size(batch, n_inputs, neurons)
    lanes = block * neurons
    padded = with_no_input(weights, few)
    extra = with_no_input(delays - least_delay, few)
    extra_exps = np.exp(extra / tau_ratio)
    own = (np.empty(n_inputs, dtype=np.int64), np.empty(n_inputs))
    inputs, rank = np.empty((n_inputs + 1, block), dtype=np.int64), np.empty((n_inputs, block), dtype=np.int64)
    times, exps = np.empty((n_inputs + 1, block)), np.empty((n_inputs + 1, block))
    references, found, work = np.empty(block), np.empty(lanes), np.empty((8, lanes))
    grid = np.empty((4, n_inputs + 1, lanes) if synaptic else (4, 1, 1))
    lane_rank = np.empty((n_inputs, lanes) if synaptic else (1, 1), dtype=np.int64)
    bad = -1
    for start in range(0, batch, block):
        samples = min(block, batch - start)
        rows, bad_sample = gather(
            arrivals, start, samples, max_span, tau_ratio, not synaptic, n_inputs, FAR_TIME, FAR_EXP, own, references,
            rank, inputs, times, exps,
        )  # fmt: skip
        bad = max(bad, bad_sample)
        if synaptic:
            _scan_synaptic(
                inputs, times, exps, rows, samples, padded, extra, extra_exps, threshold, tau_ratio, few, grid,
                lane_rank, work, found,
            )  # fmt: skip
        else:
            _scan(inputs, times, exps, rows, samples, padded, threshold, tau_ratio, few, work, found)
        for s in range(samples):
            for n in range(neurons):
                delay = least_delay if synaptic else delays[0, n]  # of a neuron: it only shifts the spike
                lane = n * samples + s if few else s * neurons + n
                spikes[start + s, n] = found[lane] + (references[s] + delay)
    return bad
