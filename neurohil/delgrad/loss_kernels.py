"""The losses of `neurohil.delgrad.losses`, which are the readable ones, compiled."""

from __future__ import annotations

import numpy as np

from neurohil.jit import njit

SILENT_LOSS = 100.0  # constant loss where a spike that the loss needs is missing (DelGrad, authors' code)
_LARGEST = float(np.finfo(np.float64).max)


@njit(cache=True, error_model="numpy")
def _clipped(value):
    """A finite float64."""
    return min(max(value, -_LARGEST), _LARGEST)


@njit(cache=True, error_model="numpy")
def _good(times, labels):
    """Whether times (B, N) float64 are numbers or inf, and labels (B,) int64 are classes."""
    bad = 0
    for s in range(times.shape[0]):
        bad += 0 if 0 <= labels[s] < times.shape[1] else 1
        for n in range(times.shape[1]):
            bad += 0 if times[s, n] > -np.inf else 1
    return bad == 0


@njit(cache=True, error_model="numpy")
def shift_invariant_mse(times, labels, margin, values, gradient):
    """Arguments as in `losses`, all float64, labels int64. Writes values (B,) and gradient (B, N) float64, or returns
    False if an argument is out of range."""
    batch, outputs = times.shape
    if not (_good(times, labels) and abs(margin) <= _LARGEST):
        return False
    largest = _LARGEST / outputs
    for s in range(batch):
        right = labels[s]
        value, total, silent = 0.0, 0.0, False
        for n in range(outputs):
            silent |= times[s, n] == np.inf
            difference = min(max(times[s, n] - times[s, right] - margin, -largest), largest) if n != right else 0.0
            value += difference * difference
            total += difference
            gradient[s, n] = difference / batch
        gradient[s, right] = -total / batch
        values[s] = SILENT_LOSS if silent else 0.5 * value
        if silent:
            gradient[s] = 0.0
    return True


@njit(cache=True, error_model="numpy")
def time_to_first_spike_cross_entropy(times, labels, xi, alpha, beta, values, gradient):
    """As `shift_invariant_mse`."""
    batch, outputs = times.shape
    in_range = 1e-100 <= xi <= 1e100 and 1e-100 <= beta <= 1e100 and 0.0 <= alpha <= _LARGEST
    if not (_good(times, labels) and in_range):
        return False
    for s in range(batch):
        right = labels[s]
        label_time = times[s, right]
        if label_time == np.inf:
            values[s] = SILENT_LOSS
            gradient[s] = 0.0
            continue
        first, total = label_time, 0.0
        for n in range(outputs):
            first = min(first, times[s, n])
        for n in range(outputs):
            gradient[s, n] = np.exp((first - times[s, n]) / xi)  # at most 1
            total += gradient[s, n]
        for n in range(outputs):
            gradient[s, n] = -gradient[s, n] / (xi * total) / batch
        lateness = alpha * np.exp(label_time / beta) if alpha > 0.0 else 0.0
        values[s] = np.log(total) + ((label_time - first) / xi + lateness)
        gradient[s, right] += (1.0 / xi + min(lateness / beta, _LARGEST)) / batch
    return True


@njit(cache=True, error_model="numpy")
def mean_squared_error(times, labels, t_correct, t_wrong, values, gradient):
    """As `shift_invariant_mse`."""
    batch, outputs = times.shape
    if not (_good(times, labels) and abs(t_correct) <= _LARGEST and abs(t_wrong) <= _LARGEST):
        return False
    for s in range(batch):
        value = 0.0
        for n in range(outputs):
            target = t_correct if n == labels[s] else t_wrong
            if times[s, n] == np.inf:
                value += SILENT_LOSS
                gradient[s, n] = 0.0
            else:
                difference = _clipped(times[s, n] - target)
                value += 0.5 * (difference * difference)
                gradient[s, n] = difference / batch
        values[s] = value
    return True


@njit(cache=True, error_model="numpy")
def first_spike_class(times, classes):
    """Write the classes (B,) int64. Returns False if a time is out of range."""
    for s in range(times.shape[0]):
        best, first = -1, np.inf
        for n in range(times.shape[1]):
            if not times[s, n] > -np.inf:
                return False
            if times[s, n] < first:
                best, first = n, times[s, n]
        classes[s] = best
    return True
