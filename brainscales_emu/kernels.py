"""The compiled engine: neurons, synapses and delay elements of one chip, event by event, without a time step.

Units: time in us, membrane in LSB above the neuron's leak, currents in LSB/us, rates in 1/us (one over a time
constant). Neurons are numbered 0..N-1 in the order of the circuits that are switched on, delay elements 0..D-1,
sources as in `routing`. inf means "never". `neuron` holds the readable twin of everything here.

Three queues feed the engine, and at equal times the first one goes first: the sorted input events; recorded spikes
on their way to the synapses, which stay sorted because all take equally long; and a binary heap with one place per
neuron (its predicted spike) and one per delay element (when it fires), ordered by time, then by number. A
neuron's prediction is a lower bound of its crossing time until it is popped: only then is the crossing searched, so
that neurons that get further input first don't pay for it.

Data are arrays of records (of float64 and int64), because numba counts references, atomically and slowly, for every
plain array that is taken out of a container, but not for a record that is taken out of an array. For the same reason
the helpers are inlined.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .constants import FIRST_DELAY_OUTPUT

# One neuron that is switched on. Its state holds at `time`, which lies in the future (at the end of the refractory
# time, when the membrane is let go) after a spike.
NEURON = np.dtype(
    (
        np.record,
        [
            ("circuit", np.int64),
            ("rate_mem", np.float64),
            ("rate_exc", np.float64),
            ("rate_inh", np.float64),
            ("reset", np.float64),
            ("mean_threshold", np.float64),
            ("peak_exc", np.float64),  # us, upper bound of the excitatory kernel
            ("held_exc", np.float64),  # part of the current that is left after the refractory time
            ("held_inh", np.float64),
            ("refractory", np.float64),
            ("time", np.float64),
            ("membrane", np.float64),
            ("current_exc", np.float64),
            ("current_inh", np.float64),
            ("threshold", np.float64),
            ("exact", np.int64),  # 1 if the neuron's time in the heap is its crossing, 0 if a lower bound
        ],
    )
)

# First synapse and first trigger of a source; the entry after the last source holds the ends.
FAN_OUT = np.dtype((np.record, [("synapse", np.int64), ("trigger", np.int64)]))

# A synapse: neuron, and LSB/us per event, negative if inhibitory.
SYNAPSE = np.dtype((np.record, [("neuron", np.int64), ("jump", np.float64)]))

# A spike or an input event.
SPIKE = np.dtype((np.record, [("time", np.float64), ("source", np.int64)]))

# A place in the heap. Item n is neuron n, item N + k delay element k. All items are always there; time is inf where
# nothing is due, so that a delay element is busy if its time is finite.
EVENT = np.dtype((np.record, [("time", np.float64), ("index", np.int64)]))

# How far a run has come: inputs played, recorded spikes delivered to their synapses, probe times done, spikes
# recorded, and events lost at busy delay elements.
PROGRESS = np.dtype((np.record, [(name, np.int64) for name in ("played", "delivered", "sampled", "recorded", "lost")]))

# What `advance` returns.
DONE, RECORD_FULL = 0, 1


class Network(NamedTuple):
    """What a run doesn't change."""

    neurons: NDArray[np.void]  # (N,) NEURON, at rest
    fan_out: NDArray[np.void]  # (sources + 1,) FAN_OUT
    synapses: NDArray[np.void]  # SYNAPSE
    triggers: NDArray[np.int64]  # delay elements that are triggered
    delays: NDArray[np.float64]  # (D,) us
    latency: float  # us, from a spike to its synapses
    threshold_noise: float  # LSB, standard deviation
    delay_jitter: float  # us, standard deviation


class Sampling(NamedTuple):
    """Membrane probe: neurons (C,), ascending times (P,) in us, result (C, P) in LSB above leak."""

    neurons: NDArray[np.int64]
    times: NDArray[np.float64]
    membrane: NDArray[np.float64]


class State(NamedTuple):
    """Everything that a run changes."""

    neurons: NDArray[np.void]  # (N,) NEURON
    heap: NDArray[np.void]  # (N + D,) EVENT
    places: NDArray[np.int64]  # (N + D,) where each item is in the heap
    spikes: NDArray[np.void]  # record, SPIKE, in order of time
    progress: NDArray[np.void]  # (1,) PROGRESS


def records(size: int, dtype: np.dtype) -> NDArray[np.void]:
    """Array of so many records, all zero."""
    return np.zeros(size, dtype=dtype)


def new_state(network: Network, capacity: int) -> State:
    """State for `start`; `capacity` is the number of spikes that can be recorded."""
    heap = records(network.neurons.size + network.delays.size, EVENT)
    heap["time"], heap["index"] = np.inf, np.arange(heap.size)
    return State(
        neurons=network.neurons.copy(),
        heap=heap,
        places=np.arange(heap.size),
        spikes=records(capacity, SPIKE),
        progress=records(1, PROGRESS),
    )


def enlarged(state: State) -> State:
    """The same state with twice the room for recorded spikes."""
    spikes = records(2 * state.spikes.size, SPIKE)
    spikes[: state.spikes.size] = state.spikes
    return state._replace(spikes=spikes)


@njit(cache=True, error_model="numpy", forceinline=True)
def response(s, rate_mem, rate_syn, left_mem):
    """What is left of a unit synaptic current after s us, and the membrane's response K(s) in us.

    left_mem is exp(-rate_mem s). With y = (rate_syn - rate_mem) s: left = left_mem exp(-y),
    K = left_mem s (1 - exp(-y)) / y. Close to y = 0 the series, cut where the next term is below 2e-17, takes the
    place of a second exponential and of a difference that would cancel.
    """
    difference = rate_syn - rate_mem
    y = difference * s
    if abs(y) < 0.04:
        square = y * y
        series = 1 / 120 - y * (1 / 720) + square * (1 / 5040 - y * (1 / 40320))
        series = 1.0 - y * (1 / 2) + square * (1 / 6 - y * (1 / 24) + square * series)
        return left_mem * (1.0 - y * series), left_mem * s * series
    left = math.exp(-rate_syn * s)
    return left, (left_mem - left) / difference


@njit(cache=True, error_model="numpy", forceinline=True)
def evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """Free membrane (LSB above leak) and currents (LSB/us) s us later:
    u(s) = u exp(-rate_mem s) + i_exc K_exc(s) - i_inh K_inh(s), i(s) = i exp(-rate s)."""
    left_mem = math.exp(-rate_mem * s)
    u *= left_mem
    if i_exc == 0.0 and i_inh == 0.0:
        return u, i_exc, i_inh
    left, kernel = response(s, rate_mem, rate_exc, left_mem)
    u += i_exc * kernel
    if i_inh == 0.0:
        return u, i_exc * left, i_inh
    i_exc *= left
    if rate_inh != rate_exc:
        left, kernel = response(s, rate_mem, rate_inh, left_mem)
    return u - i_inh * kernel, i_exc, i_inh * left


@njit(cache=True, error_model="numpy")
def crossing_of_concave_rise(start, end, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """First crossing on start..end, where W(s) = u'(s) exp(rate_mem s) falls; inf if there is none.

    As long as u rises there it is concave, so Newton's iterates approach the crossing from the left and never pass
    it: an iterate where u falls, or beyond the end, proves that there is none. 200 steps without either mean that u
    creeps towards the threshold without reaching it.
    """
    s = start
    for _ in range(200):
        u_s, exc, inh = evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if u_s >= threshold:
            return s
        slope = exc - inh - rate_mem * u_s
        if slope <= 0.0:
            return math.inf
        step = (threshold - u_s) / slope
        s_next = s + step
        if s_next > end:
            return math.inf
        bend = rate_mem * slope + rate_exc * exc - rate_inh * inh  # -u''
        remaining = bend / (2.0 * slope) * step * step
        if s_next == s or remaining <= 1e-16 * s_next:
            return s_next
        s = s_next
    return math.inf


@njit(cache=True, error_model="numpy")
def crossing_in_bracket(below, above, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """The only upward crossing between `below` (u under the threshold) and `above` (at or over it): Newton, kept
    inside the bracket by bisection."""
    s = 0.5 * (below + above)
    for _ in range(200):
        u_s, exc, inh = evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if u_s >= threshold:
            above = s
        else:
            below = s
        slope = exc - inh - rate_mem * u_s
        s_next = s + (threshold - u_s) / slope if slope > 0.0 else below
        if not below < s_next < above:
            s_next = 0.5 * (below + above)
        if abs(s_next - s) <= 2e-16 * s_next:
            return s_next
        s = s_next
    return s


@njit(cache=True, error_model="numpy")
def first_crossing(threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """Time in us until the free membrane u first reaches the threshold (both LSB above leak); inf if never.

    W(s) = u'(s) exp(rate_mem s) has the sign of u', and W' = -i_exc rate_exc exp(-(rate_exc - rate_mem) s)
    + i_inh rate_inh exp(-(rate_inh - rate_mem) s) has at most one zero, the turn. On the side where W falls, u rises
    in a concave way or not at all. On the side where W grows, u falls and then rises, so its end tells whether it
    crosses; after the last turn that end is the leak, u = 0. After 700 of the slowest time constants (the horizon)
    nothing is left that could cross.
    """
    if u >= threshold:
        return 0.0
    horizon = 700.0 / min(rate_mem, min(rate_exc, rate_inh))
    turn = horizon
    if i_exc > 0.0 and i_inh > 0.0 and rate_exc != rate_inh:
        s = math.log(i_exc * rate_exc / (i_inh * rate_inh)) / (rate_exc - rate_inh)
        if 0.0 < s < horizon:
            turn = s
    grows_from, grows_to = 0.0, turn
    if i_inh * rate_inh <= i_exc * rate_exc:
        s = crossing_of_concave_rise(0.0, turn, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if s < math.inf or turn == horizon:
            return s
        grows_from, grows_to = turn, horizon

    if grows_to == horizon:
        if threshold >= 0.0:
            return math.inf
        above = grows_from + 1.0 / rate_mem
        while evolve(above, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)[0] < threshold:
            above *= 2.0
        return crossing_in_bracket(grows_from, above, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
    if evolve(turn, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)[0] >= threshold:
        return crossing_in_bracket(0.0, turn, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
    return crossing_of_concave_rise(turn, horizon, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)


@njit(cache=True, error_model="numpy", forceinline=True)
def _before(time, item, event):
    """Does an item at this time come before the event: order by (time, item)."""
    return time < event.time or (time == event.time and item < event.index)


@njit(cache=True, error_model="numpy", forceinline=True)
def _put(event, place, time, item, places):
    """Write the item into the EVENT at this place."""
    event.time = time
    event.index = item
    places[item] = place


@njit(cache=True, error_model="numpy", forceinline=True)
def _schedule(item, time, heap, places):
    """Give the item this time and move it up or down to its new place in the heap."""
    place = places[item]
    while place > 0:
        parent = (place - 1) >> 1
        if not _before(time, item, heap[parent]):
            break
        _put(heap[place], place, heap[parent].time, heap[parent].index, places)
        place = parent
    while 2 * place + 1 < heap.size:
        child = 2 * place + 1
        if child + 1 < heap.size and _before(heap[child + 1].time, heap[child + 1].index, heap[child]):
            child += 1
        if _before(time, item, heap[child]):
            break
        _put(heap[place], place, heap[child].time, heap[child].index, places)
        place = child
    _put(heap[place], place, time, item, places)


@njit(cache=True, error_model="numpy", forceinline=True)
def _let_pass(elapsed, neuron):
    """Free neuron, `elapsed` us later; its time is left to the caller."""
    neuron.membrane, neuron.current_exc, neuron.current_inh = evolve(
        elapsed,
        neuron.membrane,
        neuron.current_exc,
        neuron.current_inh,
        neuron.rate_mem,
        neuron.rate_exc,
        neuron.rate_inh,
    )


@njit(cache=True, error_model="numpy", forceinline=True)
def _receive(jump, now, neuron):
    """A synaptic event reaches the neuron: jump in LSB/us, negative if inhibitory."""
    elapsed = now - neuron.time
    if elapsed > 0.0:
        _let_pass(elapsed, neuron)
        neuron.time = now
    elif elapsed < 0.0:  # refractory: count what will be left when the membrane is let go
        jump *= math.exp(elapsed * (neuron.rate_exc if jump > 0.0 else neuron.rate_inh))
    if jump > 0.0:
        neuron.current_exc += jump
    else:
        neuron.current_inh -= jump
    neuron.exact = 0


@njit(cache=True, error_model="numpy", forceinline=True)
def _reset(now, neuron):
    """The neuron spikes: its state is put at the end of the refractory time."""
    _let_pass(now - neuron.time, neuron)
    neuron.time = now + neuron.refractory
    neuron.membrane = neuron.reset
    neuron.current_exc *= neuron.held_exc
    neuron.current_inh *= neuron.held_inh
    neuron.exact = 0


@njit(cache=True, error_model="numpy", forceinline=True)
def _earliest_crossing(neuron):
    """Lower bound of the neuron's crossing time; inf if it can't cross without further input.

    u(s) <= max(u, 0) + i_exc max K. Where u is concave (see `first_crossing`) it stays below its tangent; elsewhere
    K(s) <= s bounds it. A threshold at or below leak is left to the search.
    """
    u, threshold, exc = neuron.membrane, neuron.threshold, neuron.current_exc
    highest = max(u, 0.0)
    if highest + exc * neuron.peak_exc < threshold:
        return math.inf
    if u >= threshold or threshold <= 0.0:
        return neuron.time
    inh = neuron.current_inh
    if inh * neuron.rate_inh > exc * neuron.rate_exc:
        return neuron.time + (threshold - highest) / exc
    slope = exc - inh - u * neuron.rate_mem
    return neuron.time + (threshold - u) / slope if slope > 0.0 else math.inf


@njit(cache=True, error_model="numpy", forceinline=True)
def _crossing(neuron):
    """The neuron's crossing time; inf if it won't cross without further input."""
    return neuron.time + first_crossing(
        neuron.threshold,
        neuron.membrane,
        neuron.current_exc,
        neuron.current_inh,
        neuron.rate_mem,
        neuron.rate_exc,
        neuron.rate_inh,
    )


@njit(cache=True, error_model="numpy", forceinline=True)
def _sample(until, neurons, sampled, times, membrane, progress):
    """Membranes at the probe times before `until` that aren't done; in its refractory time a membrane is at reset."""
    while progress.sampled < times.size and times[progress.sampled] < until:
        column = progress.sampled
        for row in range(sampled.size):
            neuron = neurons[sampled[row]]
            membrane[row, column] = evolve(
                max(times[column] - neuron.time, 0.0),
                neuron.membrane,
                neuron.current_exc,
                neuron.current_inh,
                neuron.rate_mem,
                neuron.rate_exc,
                neuron.rate_inh,
            )[0]
        progress.sampled += 1


@njit(cache=True, error_model="numpy")
def start(network, state, rng):
    """State at time 0: no currents, thresholds drawn, membranes at leak, or at reset where leak is over threshold.

    Parameters: `Network`, `State` from `new_state`, numpy Generator (used only if there is threshold noise).
    """
    neurons, heap, places = state.neurons, state.heap, state.places
    for n in range(neurons.size):
        neuron = neurons[n]
        neuron.threshold = neuron.mean_threshold
        if network.threshold_noise > 0.0:
            neuron.threshold += network.threshold_noise * rng.standard_normal()
        if neuron.threshold <= 0.0:
            neuron.membrane = neuron.reset
        _schedule(n, _earliest_crossing(neuron), heap, places)


@njit(cache=True, error_model="numpy")
def advance(until, network, inputs, sampling, state, rng):
    """Handle all events before `until` (us). Can be called again for the next window, to the same bits.

    Parameters: `Network`; input events as SPIKE records, ascending in time; `Sampling`; `State` after `start`; numpy
    Generator. Trial noise is drawn in the order of the events and only where its standard deviation isn't 0.
    Returns DONE, or RECORD_FULL (call again with a state that is `enlarged`).
    """
    fan_out, synapses, triggers, delays = network.fan_out, network.synapses, network.triggers, network.delays
    neurons, heap, places, spikes = state.neurons, state.heap, state.places, state.spikes
    progress = state.progress[0]
    sampled, sample_times, membrane = sampling.neurons, sampling.times, sampling.membrane
    n_neurons = neurons.size
    while True:
        input_time = arrival_time = internal_time = math.inf
        if progress.played < inputs.size:
            input_time = inputs[progress.played].time
        if progress.delivered < progress.recorded:
            arrival_time = spikes[progress.delivered].time + network.latency
        if heap.size > 0:
            internal_time = heap[0].time
        now = min(input_time, min(arrival_time, internal_time))
        if progress.sampled < sample_times.size:
            _sample(min(now, until), neurons, sampled, sample_times, membrane, progress)
        if now >= until:
            return DONE

        if now == input_time or now == arrival_time:  # an event reaches its synapses and delay elements
            if now == input_time:
                source = inputs[progress.played].source
                progress.played += 1
            else:
                source = spikes[progress.delivered].source
                progress.delivered += 1
            for synapse in range(fan_out[source].synapse, fan_out[source + 1].synapse):
                n = synapses[synapse].neuron
                neuron = neurons[n]
                _receive(synapses[synapse].jump, now, neuron)
                bound = _earliest_crossing(neuron)
                if bound < math.inf or heap[places[n]].time < math.inf:
                    _schedule(n, bound, heap, places)
            for trigger in range(fan_out[source].trigger, fan_out[source + 1].trigger):
                element = triggers[trigger]
                if heap[places[n_neurons + element]].time < math.inf:
                    progress.lost += 1
                    continue
                delay = delays[element]
                if network.delay_jitter > 0.0:
                    delay += network.delay_jitter * rng.standard_normal()
                _schedule(n_neurons + element, now + max(delay, 0.0), heap, places)
            continue

        item = heap[0].index
        if item < n_neurons and neurons[item].exact == 0:
            neurons[item].exact = 1
            # The maximum, because the bound may be late by a rounding error.
            _schedule(item, max(now, _crossing(neurons[item])), heap, places)
            continue
        if progress.recorded == spikes.size:
            return RECORD_FULL
        spike = spikes[progress.recorded]
        progress.recorded += 1
        spike.time = now
        if item >= n_neurons:
            spike.source = FIRST_DELAY_OUTPUT + 2 * (item - n_neurons)
            _schedule(item, math.inf, heap, places)
            continue
        neuron = neurons[item]
        spike.source = neuron.circuit
        _reset(now, neuron)
        if network.threshold_noise > 0.0:
            neuron.threshold = neuron.mean_threshold + network.threshold_noise * rng.standard_normal()
        _schedule(item, _earliest_crossing(neuron), heap, places)
