"""Gradients of a layer's first spikes for observed spike times: the jitted code.

Equations: `neurohil.first_spike.spike_time.measured_gradients`; lanes and x = exp(t / tau_ratio) as in
`neurohil.first_spike.forward`. With x of the inputs that cause a lane's spike, and 0 of all others, each gradient is a
polynomial in x whose coefficients belong to the lane.
"""

from __future__ import annotations

import math

import numpy as np

from neurohil.first_spike.forward import (
    BAD_DELAYS,
    BAD_ERRORS,
    BAD_SPIKES,
    BAD_WEIGHTS,
    MAX_SPAN,
    are_finite,
    block_size,
    gather,
    with_no_input,
)
from neurohil.first_spike.lambert import one_plus_lambert_w0
from neurohil.first_spike.lanes import exp, log
from neurohil.jit import njit


@njit(cache=True, error_model="numpy", nogil=True)
def _add_row_equal(weights, since, causal_exps, k, lanes, sums):
    """Add row k to the sums a_1 and b of all lanes, for tau_m = tau_s.

    weights : (rows, >= lanes) float64; since, causal_exps : the same shape, T - t (tau_s) and exp(t - T) with the
    observed spikes T, both 0 outside the causal set; sums : (2, >= lanes) float64. With times relative to T,
    b = -sum w_i (T - t_i) exp(t_i - T).
    """
    for l in range(lanes):
        amplitude = weights[k, l] * causal_exps[k, l]
        sums[0, l] += amplitude
        sums[1, l] -= amplitude * since[k, l]


@njit(cache=True, error_model="numpy", nogil=True)
def _add_row_double(weights, causal_exps, k, lanes, sums):
    """As `_add_row_equal`, for tau_m = 2 tau_s: sums a_1 and a_2, causal_exps = exp((t - T) / 2)."""
    for l in range(lanes):
        amplitude = weights[k, l] * causal_exps[k, l]
        sums[0, l] += amplitude * causal_exps[k, l]
        sums[1, l] += amplitude


@njit(cache=True, error_model="numpy", nogil=True)
def _factors_equal(sums, lanes, threshold, factors):
    """Write factors (2, >= lanes) float64: 1 / (a_1 (1 + W)), 0 where the model doesn't spike with the causal set."""
    for l in range(lanes):
        a_1 = sums[0, l]
        ratio = a_1 / threshold if a_1 > 0.0 else 1.0
        factors[1, l] = log(ratio) - sums[1, l] / a_1 - 1.0 if a_1 > 0.0 else -1.0
    for l in range(lanes):
        overdrive = factors[1, l]
        factors[0, l] = 1.0 / (sums[0, l] * one_plus_lambert_w0(overdrive)) if overdrive > 0.0 else 0.0
        factors[1, l] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _factors_double(sums, lanes, threshold, factors):
    """As `_factors_equal`: F and 1 / S. With times relative to T, exp(T / 2) in F is 1."""
    for l in range(lanes):
        a_1, a_2 = sums[0, l], sums[1, l]
        discriminant = a_2 * a_2 - 2.0 * a_1 * threshold
        valid = (a_1 > 0.0) & (a_2 > 0.0) & (discriminant > 0.0)
        inverse_root = 1.0 / math.sqrt(discriminant if valid else 1.0)
        factors[0, l] = (1.0 + 0.5 * threshold * inverse_root) / a_1 if valid else 0.0
        factors[1, l] = inverse_root if valid else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _by_weight(since, causal_exps, k, lanes, factors, tau_ratio, result):
    """Write dT/dw of row k, (>= lanes,) float64; arguments as above."""
    if tau_ratio == 1:
        for l in range(lanes):
            result[l] = -(factors[0, l] * causal_exps[k, l]) * since[k, l]
    else:
        for l in range(lanes):
            x = causal_exps[k, l]
            result[l] = 2.0 * (factors[0, l] * x - factors[1, l]) * x


@njit(cache=True, error_model="numpy", nogil=True)
def _by_time(weights, since, causal_exps, k, lanes, factors, tau_ratio, result):
    """Write dT/dt of row k, (>= lanes,) float64; arguments as above."""
    if tau_ratio == 1:
        for l in range(lanes):
            result[l] = weights[k, l] * (factors[0, l] * causal_exps[k, l]) * (1.0 - since[k, l])
    else:
        for l in range(lanes):
            x = causal_exps[k, l]
            result[l] = weights[k, l] * ((2.0 * factors[0, l] * x - factors[1, l]) * x)


@njit(cache=True, error_model="numpy", nogil=True)
def _fill_row(
    inputs, times, exps, k, samples, weights, few, observed, decay, tau_ratio, lane_weights, since, causal_exps
):
    """Fill row k of all lanes where a neuron's inputs have no delays of their own.

    inputs, times, exps : of `gather`; k, samples, tau_ratio : int64; weights : of `with_no_input`; observed, decay :
    (>= lanes,) float64, T (tau_s from the reference) and exp(-T / tau_ratio). Writes lane_weights, since, causal_exps :
    (> k, >= lanes) float64; since for tau_m = tau_s alone.
    """
    neurons = weights.shape[0] if few else weights.shape[1]
    if few:
        for n in range(neurons):
            first = n * samples
            for s in range(samples):
                lane_weights[k, first + s] = weights[n, inputs[k, s]]
            for s in range(samples):
                x = exps[k, s] * decay[first + s]
                causal_exps[k, first + s] = x if times[k, s] <= observed[first + s] else 0.0
            for s in range(samples if tau_ratio == 1 else 0):
                late = observed[first + s] - times[k, s]
                since[k, first + s] = late if late >= 0.0 else 0.0
        return
    for s in range(samples):
        i, time, x, first = inputs[k, s], times[k, s], exps[k, s], s * neurons
        for n in range(neurons):
            lane_weights[k, first + n] = weights[i, n]
            causal_exps[k, first + n] = x * decay[first + n] if time <= observed[first + n] else 0.0
        for n in range(neurons if tau_ratio == 1 else 0):
            late = observed[first + n] - time
            since[k, first + n] = late if late >= 0.0 else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _fill_row_synaptic(
    inputs, times, exps, k, samples, weights, extra, extra_exps, few, observed, decay, tau_ratio, lane_weights, since,
    causal_exps,
):  # fmt: skip
    """As `_fill_row`, with extra, extra_exps : as weights, delays beyond the least one (tau_s) and
    exp(d / tau_ratio); for tau_m = 2 tau_s row 0 of since is scratch."""
    neurons = weights.shape[0] if few else weights.shape[1]
    if few:
        for n in range(neurons):
            first = n * samples
            for s in range(samples):
                i = inputs[k, s]
                lane_weights[k, first + s] = weights[n, i]
                since[0 if tau_ratio == 2 else k, first + s] = observed[first + s] - (times[k, s] + extra[n, i])
                causal_exps[k, first + s] = (exps[k, s] * extra_exps[n, i]) * decay[first + s]
    else:
        for s in range(samples):
            i, time, x, first = inputs[k, s], times[k, s], exps[k, s], s * neurons
            for n in range(neurons):
                lane_weights[k, first + n] = weights[i, n]
                since[0 if tau_ratio == 2 else k, first + n] = observed[first + n] - (time + extra[i, n])
                causal_exps[k, first + n] = (x * extra_exps[i, n]) * decay[first + n]
    row = 0 if tau_ratio == 2 else k
    for l in range(neurons * samples):
        late = since[row, l]
        causal_exps[k, l] = causal_exps[k, l] if late >= 0.0 else 0.0
        since[row, l] = late if late >= 0.0 else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _sum(values, start, stop):
    """Sum of values[start:stop] in four parts, none of which waits for the others."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    last = stop - (stop - start) % 4
    for l in range(start, last, 4):
        a += values[l]
        b += values[l + 1]
        c += values[l + 2]
        d += values[l + 3]
    for l in range(last, stop):
        a += values[l]
    return (a + b) + (c + d)


@njit(cache=True, error_model="numpy", nogil=True)
def _add_by_input(row, inputs, k, samples, few, sums):
    """Add row k (>= lanes,) float64 to the sums of its inputs, (P, N) float64, over all samples."""
    none, neurons = sums.shape
    if few:
        same = inputs[k, 0]
        for s in range(samples):
            same = same if inputs[k, s] == inputs[k, 0] else none
        if same < none:  # as nearly always where all inputs arrive
            for n in range(neurons):
                sums[same, n] += _sum(row, n * samples, (n + 1) * samples)
            return
    for s in range(samples):
        i = inputs[k, s]
        if i < none:
            for n in range(neurons):
                sums[i, n] += row[n * samples + s if few else s * neurons + n]


@njit(cache=True, error_model="numpy", nogil=True)
def _add_by_sample(row, inputs, k, samples, neurons, few, start, totals, by_arrivals):
    """Write the sums over the neurons of row k (>= lanes,) float64 to by_arrivals (B, P) float64; totals (>= samples,)
    float64 is scratch."""
    none = by_arrivals.shape[1]
    if few:
        totals[:samples] = 0.0
        for n in range(neurons):
            for s in range(samples):
                totals[s] += row[n * samples + s]
    else:
        for s in range(samples):
            totals[s] = _sum(row, s * neurons, (s + 1) * neurons)
    for s in range(samples):
        if inputs[k, s] < none:
            by_arrivals[start + s, inputs[k, s]] = totals[s]


@njit(cache=True, error_model="numpy", nogil=True)
def _cut(since, causal_exps, rows, lanes, factors, tau_ratio, error, max_dw, row, largest, kept):
    """Write kept (>= lanes,) float64: the error of a lane, 0 if one of its weight gradients exceeds max_dw."""
    kept[:lanes] = error[:lanes]
    if max_dw == np.inf:
        return
    largest[:] = 0.0
    for k in range(rows):
        _by_weight(since, causal_exps, k, lanes, factors, tau_ratio, row)
        for l in range(lanes):
            size = abs(row[l])
            largest[l] = size if size > largest[l] else largest[l]
    for l in range(lanes):
        kept[l] = error[l] if abs(error[l]) * largest[l] <= max_dw else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def backward(
    arrivals, weights, delays, spikes, errors, threshold, tau_ratio, max_dw, timed, by_weights, by_arrivals, by_delays
):
    """Gradients of a layer for observed spikes, summed over the batch.

    arrivals, weights, delays, threshold, tau_ratio : as in `forward`; spikes : (B, N) float64, observed, tau_s, inf =
    silent; errors : (B, N) float64, dL/dT; max_dw : float64, gradient cut, inf = none; timed : bool, False: by weights
    alone. Adds to by_weights (P, N) and by_delays (shape of delays), writes by_arrivals (B, P), all float64. Returns as
    `forward`, BAD_SPIKES for NaN or -inf, and BAD_ERRORS if an error isn't finite where there is a spike.
    """
    if not are_finite(weights):
        return BAD_WEIGHTS
    if not are_finite(delays):
        return BAD_DELAYS
    for s in range(spikes.shape[0]):
        for n in range(spikes.shape[1]):
            if not spikes[s, n] > -np.inf:
                return BAD_SPIKES
            if spikes[s, n] < np.inf and not abs(errors[s, n]) < np.inf:
                return BAD_ERRORS
    batch, n_inputs = arrivals.shape
    neurons = weights.shape[1]
    synaptic = delays.shape[0] > 1
    least_delay = delays.min()
    max_span = MAX_SPAN - (delays.max() - least_delay)
    block, few = block_size(batch, n_inputs, neurons)
    width = block * neurons
    padded = with_no_input(weights, few)
    extra = with_no_input(delays - least_delay, few)
    extra_exps = np.exp(extra / tau_ratio)
    own = (np.empty(n_inputs, dtype=np.int64), np.empty(n_inputs))
    inputs, rank = np.empty((n_inputs + 1, block), dtype=np.int64), np.empty((1, 1), dtype=np.int64)
    times, exps = np.empty((n_inputs + 1, block)), np.empty((n_inputs + 1, block))
    references, totals = np.empty(block), np.empty(block)
    observed, decay, error, kept = np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    lane_weights, causal_exps = np.empty((n_inputs, width)), np.empty((n_inputs, width))
    since = np.empty((n_inputs if tau_ratio == 1 else 1, width))
    sums, factors, row, largest = np.empty((2, width)), np.empty((2, width)), np.empty(width), np.empty(width)
    bad = -1
    for start in range(0, batch, block):
        samples = min(block, batch - start)
        lanes = samples * neurons
        rows, bad_sample = gather(
            arrivals, start, samples, max_span, tau_ratio, False, n_inputs, np.inf, 0.0, own, references, rank,
            inputs, times, exps,
        )  # fmt: skip
        bad = max(bad, bad_sample)
        for s in range(samples):
            for n in range(neurons):
                l = n * samples + s if few else s * neurons + n
                delay = least_delay if synaptic else delays[0, n]
                # A silent neuron has no causal set, hence no gradient.
                silent = spikes[start + s, n] == np.inf or references[s] == np.inf
                observed[l] = -np.inf if silent else spikes[start + s, n] - references[s] - delay
                error[l] = errors[start + s, n]
        for l in range(lanes):
            decay[l] = exp(-max(observed[l], 0.0) / tau_ratio)
        sums[:] = 0.0
        for k in range(rows):
            if synaptic:
                _fill_row_synaptic(
                    inputs, times, exps, k, samples, padded, extra, extra_exps, few, observed, decay, tau_ratio,
                    lane_weights, since, causal_exps,
                )  # fmt: skip
            else:
                _fill_row(
                    inputs, times, exps, k, samples, padded, few, observed, decay, tau_ratio, lane_weights, since,
                    causal_exps,
                )  # fmt: skip
            if tau_ratio == 1:
                _add_row_equal(lane_weights, since, causal_exps, k, lanes, sums)
            else:
                _add_row_double(lane_weights, causal_exps, k, lanes, sums)
        if tau_ratio == 1:
            _factors_equal(sums, lanes, threshold, factors)
        else:
            _factors_double(sums, lanes, threshold, factors)
        for l in range(lanes):
            error[l] = error[l] if factors[0, l] > 0.0 else 0.0
        _cut(since, causal_exps, rows, lanes, factors, tau_ratio, error, max_dw, row, largest, kept)
        for k in range(rows):
            _by_weight(since, causal_exps, k, lanes, factors, tau_ratio, row)
            for l in range(lanes):
                row[l] *= kept[l]
            _add_by_input(row, inputs, k, samples, few, by_weights)
        if not timed:
            continue
        by_arrivals[start : start + samples] = 0.0
        largest[:] = 0.0  # here the sums over the inputs
        for k in range(rows):
            _by_time(lane_weights, since, causal_exps, k, lanes, factors, tau_ratio, row)
            for l in range(lanes):
                row[l] *= error[l]
                largest[l] += row[l]
            _add_by_sample(row, inputs, k, samples, neurons, few, start, totals, by_arrivals)
            if synaptic:
                _add_by_input(row, inputs, k, samples, few, by_delays)
        for l in range(0 if synaptic else lanes):
            by_delays[0, l // samples if few else l % neurons] += largest[l]
    return bad
