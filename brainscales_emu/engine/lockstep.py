"""All neurons of a dense network at once: their states hold at one time and go from event to event together.

A step is prepared (`prepare_step`), searched for crossings (`search_step`) or, where none is left, projected
(`project`), and then taken (`take_step`). Loops over neurons have no branches, so that the compiler can vectorise them;
a test of all neurons finds the few that could cross within the step, and only these are searched.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..constants import SIMULTANEOUS
from ..jit import njit
from .crossing import first_crossing, response
from .lanes import exp, mean_decay, short_mean_decay
from .saturation import excited, inhibited, reach

# Rows of the ensemble, the states of all neurons in lockstep: membrane and currents; the threshold, inf while it is
# refractory; when the neuron crosses if it could cross within the next step, else inf; membrane at the end of that
# step; what the step multiplies membrane and currents with, and the kernels; rates, and the inhibitory one over the
# excitatory one; largest value of the excitatory kernel; reset, and the inhibitory part of SATURATION.
MEMBRANE, EXC, INH, BAR, CROSSING, NEXT, LEFT_MEM, KERNEL_EXC, KERNEL_INH, LEFT_EXC, LEFT_INH = range(11)

RATE_MEM, RATE_EXC, RATE_INH, RATE_RATIO = range(11, 15)

PEAK, RESET, PER_LSB, KAPPA = range(15, 19)

ENSEMBLE_ROWS = 19


def new_ensemble(neurons: NDArray[np.void], saturation: NDArray[np.void]) -> NDArray[np.float64]:
    """(ENSEMBLE_ROWS, N) of these NEURON and SATURATION records, without a state."""
    ensemble = np.zeros((ENSEMBLE_ROWS, neurons.size))
    for row, name in (
        (RATE_MEM, "rate_mem"),
        (RATE_EXC, "rate_exc"),
        (RATE_INH, "rate_inh"),
        (PEAK, "peak_exc"),
        (RESET, "reset"),
    ):
        ensemble[row] = neurons[name]
    ensemble[RATE_RATIO] = ensemble[RATE_INH] / ensemble[RATE_EXC]
    ensemble[PER_LSB], ensemble[KAPPA] = saturation["per_lsb_inh"], saturation["kappa_inh"]
    return ensemble


@njit(cache=True, error_model="numpy", forceinline=True)
def extreme_rates(ensemble):
    """Largest rate of all, largest difference between a synaptic rate and its membrane's, smallest rate (1/us)."""
    fastest, apart, slowest = 0.0, 0.0, math.inf
    for n in range(ensemble.shape[1]):
        mem, exc, inh = ensemble[RATE_MEM, n], ensemble[RATE_EXC, n], ensemble[RATE_INH, n]
        fastest = max(fastest, max(mem, max(exc, inh)))
        apart = max(apart, max(abs(exc - mem), abs(inh - mem)))
        slowest = min(slowest, min(mem, min(exc, inh)))
    return fastest, apart, slowest


@njit(cache=True, error_model="numpy", forceinline=True)
def prepare_step(s, uniform, fastest, apart, ensemble):
    """Factors and kernels of a step of s us for all neurons, in the first column alone if they have the same rates;
    `fastest` and `apart` are of `extreme_rates`."""
    if uniform:
        rate_mem, rate_exc, rate_inh = ensemble[RATE_MEM, 0], ensemble[RATE_EXC, 0], ensemble[RATE_INH, 0]
        left_mem = math.exp(-rate_mem * s)
        left_exc, kernel_exc = response(s, rate_mem, rate_exc, left_mem)
        left_inh, kernel_inh = response(s, rate_mem, rate_inh, left_mem)
        ensemble[LEFT_MEM, 0] = left_mem
        ensemble[LEFT_EXC, 0], ensemble[KERNEL_EXC, 0] = left_exc, kernel_exc
        ensemble[LEFT_INH, 0], ensemble[KERNEL_INH, 0] = left_inh, kernel_inh
    elif s * fastest <= 0.04:
        for n in range(ensemble.shape[1]):
            y = ensemble[RATE_MEM, n] * s
            ensemble[LEFT_MEM, n] = 1.0 - y * short_mean_decay(y)
        for left, kernel, rate in ((LEFT_EXC, KERNEL_EXC, RATE_EXC), (LEFT_INH, KERNEL_INH, RATE_INH)):
            for n in range(ensemble.shape[1]):
                y = (ensemble[rate, n] - ensemble[RATE_MEM, n]) * s
                mean = short_mean_decay(y)
                ensemble[kernel, n] = ensemble[LEFT_MEM, n] * mean * s
                ensemble[left, n] = ensemble[LEFT_MEM, n] * (1.0 - y * mean)
    elif s * apart <= 0.5:
        for n in range(ensemble.shape[1]):
            ensemble[LEFT_MEM, n] = exp(-ensemble[RATE_MEM, n] * s)
        for left, kernel, rate in ((LEFT_EXC, KERNEL_EXC, RATE_EXC), (LEFT_INH, KERNEL_INH, RATE_INH)):
            for n in range(ensemble.shape[1]):
                y = (ensemble[rate, n] - ensemble[RATE_MEM, n]) * s
                mean = mean_decay(y)
                ensemble[kernel, n] = ensemble[LEFT_MEM, n] * mean * s
                ensemble[left, n] = ensemble[LEFT_MEM, n] * (1.0 - y * mean)
    else:
        for n in range(ensemble.shape[1]):
            ensemble[LEFT_MEM, n] = exp(-ensemble[RATE_MEM, n] * s)
        for left, kernel, rate in ((LEFT_EXC, KERNEL_EXC, RATE_EXC), (LEFT_INH, KERNEL_INH, RATE_INH)):
            for n in range(ensemble.shape[1]):
                difference = ensemble[rate, n] - ensemble[RATE_MEM, n]
                y = difference * s
                near = abs(y) <= 0.5
                mean = ensemble[LEFT_MEM, n] * s * mean_decay(y if near else 0.0)
                ensemble[left, n] = exp(-ensemble[rate, n] * s)
                far = (ensemble[LEFT_MEM, n] - ensemble[left, n]) / (1.0 if near else difference)
                ensemble[kernel, n] = mean if near else far


@njit(cache=True, error_model="numpy", forceinline=True)
def could_cross(
    s, slack, u, exc, inh, threshold, left_mem, kernel_exc, kernel_inh, left_exc, left_inh, rate_mem, rate_ratio, peak
):
    """Membrane at the end of a step of s us, and 0.0 if it could reach the threshold within the step or the slack
    after it, else inf.

    u can't pass max(u, 0) + i_exc max K_exc, nor max(u, 0) + s max(i_exc - i_inh, 0), with the smallest i_inh of the
    step. If that is not enough: where
    W (see `first_crossing`) is monotone, i.e. W' has the same sign at both ends, u' has at most one zero; so u is
    highest at an end, unless it first rises and then falls.
    """
    end = left_mem * u + kernel_exc * exc - kernel_inh * inh
    end_exc, end_inh = exc * left_exc, inh * left_inh
    rises_first = exc - inh - rate_mem * u > 0.0
    end_slope = end_exc - end_inh - rate_mem * end
    falls_last = end_slope < 0.0
    grows_first = inh * rate_ratio > exc
    grows_last = end_inh * rate_ratio > end_exc
    highest_within = (rises_first & falls_last) | (grows_first != grows_last)
    reaches = max(u, 0.0) + min(max(exc - end_inh, 0.0) * s, exc * peak) >= threshold
    crosses = (u >= threshold) | (end + end_slope * slack >= threshold) | (reaches & highest_within)
    return end, 0.0 if crosses else math.inf


@njit(cache=True, error_model="numpy", forceinline=True)
def look_ahead(s, slack, uniform, ensemble):
    """Membranes at the end of a step of s us that was prepared, and which neurons could cross within it or the slack
    after it. Returns their number."""
    if uniform:
        left_mem, kernel_exc, kernel_inh = ensemble[LEFT_MEM, 0], ensemble[KERNEL_EXC, 0], ensemble[KERNEL_INH, 0]
        left_exc, left_inh = ensemble[LEFT_EXC, 0], ensemble[LEFT_INH, 0]
        rate_mem, rate_ratio, peak = ensemble[RATE_MEM, 0], ensemble[RATE_RATIO, 0], ensemble[PEAK, 0]
        for n in range(ensemble.shape[1]):
            ensemble[NEXT, n], ensemble[CROSSING, n] = could_cross(
                s,
                slack,
                ensemble[MEMBRANE, n],
                ensemble[EXC, n],
                ensemble[INH, n],
                ensemble[BAR, n],
                left_mem,
                kernel_exc,
                kernel_inh,
                left_exc,
                left_inh,
                rate_mem,
                rate_ratio,
                peak,
            )
    else:
        for n in range(ensemble.shape[1]):
            ensemble[NEXT, n], ensemble[CROSSING, n] = could_cross(
                s,
                slack,
                ensemble[MEMBRANE, n],
                ensemble[EXC, n],
                ensemble[INH, n],
                ensemble[BAR, n],
                ensemble[LEFT_MEM, n],
                ensemble[KERNEL_EXC, n],
                ensemble[KERNEL_INH, n],
                ensemble[LEFT_EXC, n],
                ensemble[LEFT_INH, n],
                ensemble[RATE_MEM, n],
                ensemble[RATE_RATIO, n],
                ensemble[PEAK, n],
            )
    candidates = 0
    for n in range(ensemble.shape[1]):
        candidates += 1 if ensemble[CROSSING, n] < math.inf else 0
    return candidates


@njit(cache=True, error_model="numpy", forceinline=True)
def search_step(s, now, uniform, neurons, ensemble):
    """The neuron that crosses first within the next s us or at the instant of their end, when, and when the next one
    does; (-1, inf, inf) if none does. It may also find one that crosses first and later. A step of s us has been
    prepared."""
    first, due, next_due = -1, math.inf, math.inf
    if look_ahead(s, SIMULTANEOUS * max(now + s, 1.0), uniform, ensemble) == 0:
        return first, due, next_due
    for n in range(ensemble.shape[1]):
        if ensemble[CROSSING, n] < math.inf:
            neuron = neurons[n]
            crossing = now + first_crossing(
                neuron.threshold,
                ensemble[MEMBRANE, n],
                ensemble[EXC, n],
                ensemble[INH, n],
                neuron.rate_mem,
                neuron.rate_exc,
                neuron.rate_inh,
            )
            ensemble[CROSSING, n] = crossing
            if crossing < due:
                first, due, next_due = n, crossing, due
            else:
                next_due = min(next_due, crossing)
    return first, due, next_due


@njit(cache=True, error_model="numpy", forceinline=True)
def first_to_cross(until, ensemble):
    """Lowest number of the neurons that cross by this time, as the last search has found; -1 if none does."""
    for n in range(ensemble.shape[1]):
        if ensemble[CROSSING, n] <= until:
            return n
    return -1


@njit(cache=True, error_model="numpy", forceinline=True)
def project(uniform, ensemble):
    """Membranes at the end of a step that was prepared, where no crossing is left to be searched."""
    if uniform:
        left_mem, kernel_exc, kernel_inh = ensemble[LEFT_MEM, 0], ensemble[KERNEL_EXC, 0], ensemble[KERNEL_INH, 0]
        for n in range(ensemble.shape[1]):
            exc, inh = kernel_exc * ensemble[EXC, n], kernel_inh * ensemble[INH, n]
            ensemble[NEXT, n] = left_mem * ensemble[MEMBRANE, n] + exc - inh
    else:
        for n in range(ensemble.shape[1]):
            exc, inh = ensemble[KERNEL_EXC, n] * ensemble[EXC, n], ensemble[KERNEL_INH, n] * ensemble[INH, n]
            ensemble[NEXT, n] = ensemble[LEFT_MEM, n] * ensemble[MEMBRANE, n] + exc - inh


@njit(cache=True, error_model="numpy", forceinline=True)
def take_step(uniform, ensemble):
    """All states go to the end of the step that was prepared and searched, or projected."""
    if uniform:
        left_exc, left_inh = ensemble[LEFT_EXC, 0], ensemble[LEFT_INH, 0]
        for n in range(ensemble.shape[1]):
            ensemble[MEMBRANE, n] = ensemble[NEXT, n]
            ensemble[EXC, n] *= left_exc
            ensemble[INH, n] *= left_inh
    else:
        for n in range(ensemble.shape[1]):
            ensemble[MEMBRANE, n] = ensemble[NEXT, n]
            ensemble[EXC, n] *= ensemble[LEFT_EXC, n]
            ensemble[INH, n] *= ensemble[LEFT_INH, n]


@njit(cache=True, error_model="numpy", forceinline=True)
def _held_at(n, ensemble):
    """Where neuron n's membrane is: at reset while it is refractory, whatever its row says."""
    return ensemble[MEMBRANE, n] if ensemble[BAR, n] < math.inf else ensemble[RESET, n]


@njit(cache=True, error_model="numpy", forceinline=True)
def inhibit(row, effect, plastic, dense, ensemble):
    """An event reaches a row of inhibitory synapses of neurons that saturate (see `saturation`)."""
    if plastic:
        for n in range(ensemble.shape[1]):
            kappa = ensemble[KAPPA, n]
            reached = reach(effect * dense[row, n], kappa)
            ensemble[INH, n] += inhibited(reached, _held_at(n, ensemble), ensemble[INH, n], ensemble[PER_LSB, n], kappa)
    else:
        for n in range(ensemble.shape[1]):
            kappa = ensemble[KAPPA, n]
            reached = dense[row, n]
            ensemble[INH, n] += inhibited(reached, _held_at(n, ensemble), ensemble[INH, n], ensemble[PER_LSB, n], kappa)


@njit(cache=True, error_model="numpy", forceinline=True)
def excite(row, effect, dense, saturation, ensemble):
    """An event reaches a row of excitatory synapses, and some neuron saturates above."""
    for n in range(ensemble.shape[1]):
        ensemble[EXC, n] += excited(effect * dense[row, n], _held_at(n, ensemble), ensemble[EXC, n], saturation[n])
