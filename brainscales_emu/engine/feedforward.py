"""Networks without loops, level by level: all that neurons and delay elements of one level do in a run, from the events
of the levels before.

Neurons of a level don't wait for each other, so that there is no queue: they go from event to event together (see
`lockstep`), and what one of them does in between (spikes, ends of refractory times) is followed for it alone. Spike
times are those of `lif` but for rounding; what happens at one instant does so in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import njit
from .crossing import crossing_by_series, first_crossing, response
from .heap import latest
from .lockstep import (
    BAR,
    CROSSING,
    EXC,
    INH,
    LEFT_EXC,
    LEFT_INH,
    MEMBRANE,
    NEXT,
    could_cross,
    excite,
    extreme_rates,
    inhibit,
    look_ahead,
    prepare_step,
    take_step,
)
from .saturation import reach
from .trial_noise import draw

FULL = -1  # what `run_neurons` returns if there is no room for another spike

EXCITES, INHIBITS = 1, 2  # what a source does, as bits


@njit(cache=True, error_model="numpy", forceinline=True)
def _insert(time, source, first, count, times, sources):
    """Add a spike to a list in order of time, behind those of the same time; none before `first` is later."""
    place = count
    while place > first and times[place - 1] > time:
        times[place], sources[place] = times[place - 1], sources[place - 1]
        place -= 1
    times[place], sources[place] = time, source


@njit(cache=True, error_model="numpy", forceinline=True)
def _crossing(s, u, exc, inh, left_exc, left_inh, end, neuron):
    """When a free neuron first reaches its threshold; anything beyond s us if that is later. After s us these parts of
    its currents are left, and its membrane is at `end`."""
    threshold, rate_mem, rate_exc, rate_inh = neuron.threshold, neuron.rate_mem, neuron.rate_exc, neuron.rate_inh
    slope = exc - inh - rate_mem * u
    falls = inh * rate_inh <= exc * rate_exc and inh * left_inh * rate_inh <= exc * left_exc * rate_exc
    if falls and slope > 0.0 and u < threshold:
        rise = threshold - u
        end_slope = exc * left_exc - inh * left_inh - rate_mem * end
        if end >= threshold and end_slope > 0.0:
            # The inverse membrane as a cubic, by its values and slopes at both ends.
            y = rise / (end - u)
            x = 1.0 - y
            guess = y * x * x * (end - u) / slope + y * y * ((1.0 + 2.0 * x) * s - x * (end - u) / end_slope)
        else:
            bend = rate_mem * slope + rate_exc * exc - rate_inh * inh  # -u'', at the beginning
            root = slope * slope - 2.0 * bend * rise
            guess = 2.0 * rise / (slope + math.sqrt(root)) if root > 0.0 else slope / bend
        guess = min(max(guess, 0.0), s)
        found = crossing_by_series(guess, s, threshold, u, exc, inh, rate_mem, rate_exc, rate_inh)
        if found >= 0.0:
            return found
    return first_crossing(threshold, u, exc, inh, rate_mem, rate_exc, rate_inh)


@njit(cache=True, error_model="numpy")
def _follow(
    n, now, due, slack, noise, key, neuron, left_exc, left_inh, release, ensemble, drawn, first, count, times, spiking
):
    """All that neuron n does from `now` to `due` (us), where it could spike or its refractory time ends. These parts
    of its currents are left then. The list's spikes from `first` on are of this step. Returns their new number, or
    FULL."""
    time, u, exc, inh = now, ensemble[MEMBRANE, n], ensemble[EXC, n], ensemble[INH, n]
    while True:
        if release[n] < math.inf:
            if release[n] > due:
                ensemble[BAR, n] = math.inf
                return count
            held = release[n] - time
            exc *= math.exp(-neuron.rate_exc * held)
            inh *= math.exp(-neuron.rate_inh * held)
            time, u = release[n], neuron.reset
            release[n] = math.inf
            s = due - time
            ensemble[BAR, n] = neuron.threshold
            left_mem = math.exp(-neuron.rate_mem * s)
            left_exc, kernel_exc = response(s, neuron.rate_mem, neuron.rate_exc, left_mem)
            left_inh, kernel_inh = response(s, neuron.rate_mem, neuron.rate_inh, left_mem)
            ensemble[NEXT, n], crosses = could_cross(
                s, slack, u, exc, inh, neuron.threshold, left_mem, kernel_exc, kernel_inh, left_exc, left_inh,
                neuron.rate_mem, neuron.rate_inh / neuron.rate_exc, neuron.peak_exc,
            )  # fmt: skip
            if crosses == math.inf:
                return count
        x = _crossing(due - time, u, exc, inh, left_exc, left_inh, ensemble[NEXT, n], neuron)
        if time + x > due + slack:
            return count
        if count == times.size:
            return FULL
        spike = min(time + x, due)
        _insert(spike, n, first, count, times, spiking)
        count += 1
        neuron.threshold = neuron.mean_threshold
        if noise > 0.0:
            neuron.threshold += noise * draw(key, neuron.circuit, n, drawn)
        release[n] = spike + neuron.refractory


@njit(cache=True, error_model="numpy", forceinline=True)
def _receive(row, saturates, saturates_above, signs, exc, inh, saturation, ensemble):
    """An event reaches the synapses of one source."""
    if signs[row] & EXCITES:
        if saturates_above:
            excite(row, 1.0, exc, saturation, ensemble)
        else:
            for n in range(ensemble.shape[1]):
                ensemble[EXC, n] += exc[row, n]
    if signs[row] & INHIBITS:
        if saturates:
            inhibit(row, 1.0, False, inh, ensemble)
        else:
            for n in range(ensemble.shape[1]):
                ensemble[INH, n] += inh[row, n]


@njit(cache=True, error_model="numpy")
def run_neurons(
    end, uniform, saturates, saturates_above, noise, key, events, rows, signs, exc, inh, neurons, saturation, ensemble,
    drawn, times, spiking,
):  # fmt: skip
    """All spikes of the neurons of a level, until `end` (us).

    Parameters: whether all have the same rates, inputs saturate, and those that are excitatory do; standard deviation
    of the threshold noise (LSB) and key of the trial; times of the events (us), ascending, and their sources; for each
    source whether it EXCITES and INHIBITS, and its jumps (LSB/us) of excitatory and inhibitory currents, neuron by
    neuron; NEURON and SATURATION records, an ensemble of them (`new_ensemble`), and numbers drawn, which all change.
    Writes times (us) and neurons of the spikes, in order of time; returns their number, or FULL.
    """
    fastest, apart, slowest = extreme_rates(ensemble)
    release = np.full(neurons.size, np.inf)
    for n in range(neurons.size):
        neuron = neurons[n]
        neuron.threshold = neuron.mean_threshold
        if noise > 0.0:
            neuron.threshold += noise * draw(key, neuron.circuit, n, drawn)
        ensemble[MEMBRANE, n] = neuron.reset if neuron.threshold <= 0.0 else 0.0
        ensemble[BAR, n] = neuron.threshold
    now, event, count = 0.0, 0, 0
    first_release = math.inf
    while True:
        last = event == events.size
        due = end if last else events[event]
        if due > now:
            # After 700 of the slowest time constants nothing is left that could cross.
            s = min(due - now, 700.0 / slowest)
            slack = 0.0 if last else latest(due) - due
            prepare_step(s, uniform, fastest, apart, ensemble)
            candidates = look_ahead(s, slack, uniform, ensemble)
            if candidates > 0 or first_release <= due:
                first_release = math.inf
                before = count
                for n in range(neurons.size):
                    if ensemble[CROSSING, n] < math.inf or release[n] <= due:
                        column = 0 if uniform else n
                        left_exc, left_inh = ensemble[LEFT_EXC, column], ensemble[LEFT_INH, column]
                        count = _follow(
                            n, now, due, slack, noise, key, neurons[n], left_exc, left_inh, release, ensemble, drawn,
                            before, count, times, spiking,
                        )  # fmt: skip
                        if count == FULL:
                            return FULL
                    first_release = min(first_release, release[n])
            take_step(uniform, ensemble)
            now = due
        if last:
            return count
        while event < events.size and events[event] <= latest(now):
            _receive(rows[event], saturates, saturates_above, signs, exc, inh, saturation, ensemble)
            event += 1


@njit(cache=True, error_model="numpy")
def set_jumps(weight, cell, gain, place, kappa, jumps, signs):
    """The jumps that weights make, as `run_neurons` takes them.

    Parameters: the chip's weights (LSB, flat); of each synapse the index of its weight, its gain (LSB/us per LSB), and
    its place in `jumps`, flat; kappa of the neurons' inhibitory inputs (see `saturation`), 0 if they are linear.
    Writes jumps (2, sources, neurons), first those of excitatory currents, and signs (sources,); both come as zeros.
    """
    flat = jumps.reshape(-1)
    for synapse in range(cell.size):
        flat[place[synapse]] = gain[synapse] * weight[cell[synapse]]
    for row in range(signs.size):
        for n in range(kappa.size):
            if jumps[1, row, n] > 0.0:
                signs[row] |= INHIBITS
                if kappa[n] > 0.0:
                    jumps[1, row, n] = reach(jumps[1, row, n], kappa[n])
            if jumps[0, row, n] > 0.0:
                signs[row] |= EXCITES


@njit(cache=True, error_model="numpy")
def run_elements(end, jitter, key, events, elements, delays, sources, drawn, times, firing):
    """All spikes of the delay elements of a level, until `end` (us).

    Parameters: standard deviation of the jitter (us) and key of the trial; times of the events (us), ascending, and
    the elements that they trigger; delays (us) and source numbers of the elements, and numbers drawn, which change.
    Writes times (us) and elements of the spikes, in order of time, of which there are at most as many as events.
    Returns the number of spikes, and of events that were lost at busy elements.
    """
    fires = np.full(delays.size, -np.inf)
    count, lost = 0, 0
    for event in range(events.size):
        element, now = elements[event], events[event]
        if fires[element] > latest(now):
            lost += 1
            continue
        delay = delays[element]
        if jitter > 0.0:
            delay += jitter * draw(key, sources[element], element, drawn)
        fires[element] = now + max(delay, 0.0)
        if fires[element] <= end:
            _insert(fires[element], element, 0, count, times, firing)
            count += 1
    return count, lost
