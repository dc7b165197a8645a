"""The engine for leaky integrate-and-fire neurons, whose membranes are known in closed form.

Neurons are kept in one of two ways, which spike at the same times but for rounding:

- each on its own (`lockstep` False): a neuron's state is brought up to date when an event reaches it, and the heap
  holds its predicted spike. The prediction is a lower bound of the crossing time until it is popped: only then is
  the crossing searched, so that neurons that get further input first don't pay for it.
- all in lockstep, for networks in which most events reach many neurons (see `lockstep`). The heap holds the ends of
  refractory times.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import njit
from .crossing import evolve, first_crossing
from .event_path import drive, leave_chip, next_events, pass_output, record, trigger
from .heap import first_due, latest, schedule
from .lockstep import (
    BAR,
    CROSSING,
    ENSEMBLE_ROWS,
    EXC,
    INH,
    MEMBRANE,
    excite,
    extreme_rates,
    first_to_cross,
    inhibit,
    new_ensemble,
    prepare_step,
    project,
    search_step,
    take_step,
)
from .records import DELAYED, DONE, EVENT, PROGRESS, QUEUES_FULL, RECORD_FULL, SPIKE, WAITING, records
from .saturation import saturated
from .trial_noise import draw

# One logical neuron that is switched on. Its state holds at `time`, which lies in the future (at the end of the
# refractory time, when the membrane is let go) after a spike. In lockstep `Ensemble` rows hold the state instead.
NEURON = np.dtype(
    (
        np.record,
        [
            ("circuit", np.int64),  # whose threshold acts, i.e. the source of the spikes
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

_FIRST_PLACES = 1024  # for late events


class Network(NamedTuple):
    """What a run doesn't change."""

    neurons: NDArray[np.void]  # (N,) NEURON, at rest
    saturation: NDArray[np.void]  # (N,) SATURATION
    sources: NDArray[np.void]  # (sources + 1,) SOURCE
    routes: NDArray[np.void]  # (routes + 1,) ROUTE
    rows: NDArray[np.void]  # (rows + 1,) ROW
    synapses: NDArray[np.void]  # SYNAPSE
    dense: NDArray[np.float64]  # (rows, N) jumps without sign, or (0, 0) if each neuron is on its own
    triggers: NDArray[np.int64]  # delay elements that are triggered
    delays: NDArray[np.float64]  # (D,) us
    delay_outputs: NDArray[np.int64]  # (D,) source number of each element's output
    outputs: NDArray[np.void]  # (12,) OUTPUT, idle
    late: NDArray[np.void]  # LATE
    queues: NDArray[np.void]  # QUEUE, empty
    most_late: int  # late routes that one event starts at most
    drivers: NDArray[np.void]  # (256,) DRIVER, rested
    latency: float  # us, from a spike to the crossbar's outputs to the synapses
    threshold_noise: float  # LSB, standard deviation
    delay_jitter: float  # us, standard deviation
    limited: bool  # outputs have slots and FIFOs
    plastic: bool  # drivers have short-term plasticity
    saturates: bool  # inputs do; jumps of inhibitory synapses are then their reach, unless `plastic`
    saturates_above: bool  # the excitatory input of some neuron does
    lockstep: bool  # neurons in lockstep
    uniform: bool  # all neurons have the same rates


class State(NamedTuple):
    """Everything that a run changes."""

    neurons: NDArray[np.void]  # (N,) NEURON
    ensemble: NDArray[np.float64]  # (ENSEMBLE_ROWS, N), or (ENSEMBLE_ROWS, 0) if each neuron is on its own
    heap: NDArray[np.void]  # (N + D + 12 + queues,) EVENT, (N + D + queues,) without limits
    places: NDArray[np.int64]  # where each item is in the heap
    outputs: NDArray[np.void]  # (12,) OUTPUT
    waiting: NDArray[np.void]  # (12, depth + 1) WAITING, a ring per output
    queues: NDArray[np.void]  # QUEUE
    delayed: NDArray[np.void]  # DELAYED, places for the events of all queues
    drivers: NDArray[np.void]  # (256,) DRIVER
    drawn: NDArray[np.int64]  # (N + D,) numbers of trial noise that neurons and delay elements have drawn
    spikes: NDArray[np.void]  # record, SPIKE, in order of time
    progress: NDArray[np.void]  # (1,) PROGRESS


def new_state(network: Network, capacity: int) -> State:
    """State for `start`; `capacity` is the number of spikes that can be recorded."""
    outputs = network.outputs.size if network.limited else 0
    heap = records(network.neurons.size + network.delays.size + outputs + network.queues.size, EVENT)
    heap["time"], heap["index"] = np.inf, np.arange(heap.size)
    ensemble = np.zeros((ENSEMBLE_ROWS, 0))
    if network.lockstep:
        ensemble = new_ensemble(network.neurons, network.saturation)
    # One more than may wait: the one whose slot has come may not have been popped yet.
    depth = int(network.outputs["depth"].max()) + 1 if network.limited else 0
    delayed = records(max(_FIRST_PLACES, network.most_late) if network.queues.size else 0, DELAYED)
    delayed["next"] = [*range(1, delayed.size), -1][: delayed.size]
    progress = records(1, PROGRESS)
    progress["instant"] = -np.inf
    return State(
        neurons=network.neurons.copy(),
        ensemble=ensemble,
        heap=heap,
        places=np.arange(heap.size),
        outputs=network.outputs.copy(),
        waiting=records((network.outputs.size, depth), WAITING),
        queues=network.queues.copy(),
        delayed=delayed,
        drivers=network.drivers.copy(),
        drawn=np.zeros(network.neurons.size + network.delays.size, dtype=np.int64),
        spikes=records(capacity, SPIKE),
        progress=progress,
    )


def enlarged(state: State) -> State:
    """The same state with twice the room for recorded spikes if that is used up, else for late events."""
    progress, n = state.progress[0], state.delayed.size
    if progress["recorded"] == state.spikes.size:
        spikes = records(2 * state.spikes.size, SPIKE)
        spikes[: state.spikes.size] = state.spikes
        return state._replace(spikes=spikes)
    delayed = records(2 * n, DELAYED)
    delayed[:n] = state.delayed
    delayed["next"][n:] = [*range(n + 1, 2 * n), progress["free"]]
    progress["free"] = n
    return state._replace(delayed=delayed)


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
def _receive(jump, now, saturates, plastic, neuron, limit):
    """A synaptic event reaches the neuron: jump in LSB/us, negative if inhibitory; limit is its SATURATION."""
    elapsed = now - neuron.time
    left = 1.0
    if elapsed > 0.0:
        _let_pass(elapsed, neuron)
        neuron.time = now
    elif elapsed < 0.0:  # refractory: count what will be left when the membrane is let go
        left = math.exp(elapsed * (neuron.rate_exc if jump > 0.0 else neuron.rate_inh))
    if saturates:
        jump = saturated(jump, left, plastic, neuron, limit)
    jump *= left
    if jump > 0.0:
        neuron.current_exc += jump
    else:
        neuron.current_inh -= jump
    neuron.exact = 0


@njit(cache=True, error_model="numpy", forceinline=True)
def _reset(now, neuron):
    """The neuron spikes: its state is put at the end of the refractory time."""
    _let_pass(max(now - neuron.time, 0.0), neuron)
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
def _make_exact(item, bound, neuron, heap, places):
    """The neuron's time in the heap becomes its crossing."""
    neuron.exact = 1
    # The maximum, because the bound may be late by a rounding error.
    schedule(item, max(bound, _crossing(neuron)), heap, places)


@njit(cache=True, error_model="numpy", forceinline=True)
def _sample(until, neurons, ensemble, sampled, times, membrane, progress):
    """Membranes at the probe times before `until` that aren't done; in its refractory time a membrane is at reset."""
    while progress.sampled < times.size and times[progress.sampled] < until:
        column = progress.sampled
        for row in range(sampled.size):
            n = sampled[row]
            neuron = neurons[n]
            u, exc, inh = neuron.membrane, neuron.current_exc, neuron.current_inh
            elapsed = max(times[column] - neuron.time, 0.0)
            if ensemble.shape[1] > 0:
                u, exc, inh = ensemble[MEMBRANE, n], ensemble[EXC, n], ensemble[INH, n]
                elapsed = max(times[column] - progress.time, 0.0)
                if ensemble[BAR, n] == math.inf:
                    u, exc, inh, elapsed = neuron.reset, 0.0, 0.0, 0.0
            membrane[row, column] = evolve(elapsed, u, exc, inh, neuron.rate_mem, neuron.rate_exc, neuron.rate_inh)[0]
        progress.sampled += 1


@njit(cache=True, error_model="numpy")
def start(network, state, key):
    """State at time 0: no currents, thresholds drawn, membranes at leak, or at reset where leak is over threshold.

    Parameters: `Network`, `State` from `new_state`, key of the trial noise (int64).
    """
    neurons, ensemble, heap, places = state.neurons, state.ensemble, state.heap, state.places
    for n in range(neurons.size):
        neuron = neurons[n]
        neuron.threshold = neuron.mean_threshold
        if network.threshold_noise > 0.0:
            neuron.threshold += network.threshold_noise * draw(key, neuron.circuit, n, state.drawn)
        if neuron.threshold <= 0.0:
            neuron.membrane = neuron.reset
        if network.lockstep:
            ensemble[MEMBRANE, n] = neuron.membrane
            ensemble[BAR, n] = neuron.threshold
        else:
            schedule(n, _earliest_crossing(neuron), heap, places)


@njit(cache=True, error_model="numpy")
def advance(until, network, inputs, sampling, state, key):
    """Handle all instants that are over before `until` (us). Can be called again for the next window, to the same bits.

    Parameters: `Network`; input events as INPUT records, ascending in time; `Sampling`; `State` after `start`; key
    of the trial noise (int64).
    Returns DONE, or RECORD_FULL or QUEUES_FULL (call again with a state that is `enlarged`).
    """
    sources, routes, rows, synapses = network.sources, network.routes, network.rows, network.synapses
    triggers, delays, dense, late = network.triggers, network.delays, network.dense, network.late
    limited, plastic, lockstep = network.limited, network.plastic, network.lockstep
    saturation, saturates, saturates_above = network.saturation, network.saturates, network.saturates_above
    neurons, heap, places, spikes = state.neurons, state.heap, state.places, state.spikes
    outputs, waiting, drivers, ensemble = state.outputs, state.waiting, state.drivers, state.ensemble
    queues, delayed, drawn = state.queues, state.delayed, state.drawn
    progress = state.progress[0]
    sampled, sample_times, membrane = sampling.neurons, sampling.times, sampling.membrane
    n_neurons = neurons.size
    n_items = n_neurons + delays.size
    first_queue = heap.size - queues.size
    fastest = apart = slowest = 0.0
    if lockstep:
        fastest, apart, slowest = extreme_rates(ensemble)
    while True:
        if progress.recorded == spikes.size:
            return RECORD_FULL
        if progress.taken + network.most_late > delayed.size:
            return QUEUES_FULL
        input_time, arrival_time = next_events(network.latency, inputs, spikes, progress)
        due = heap[0].time if heap.size > 0 else math.inf
        if not lockstep and due <= min(input_time, arrival_time) and due < until:
            item = heap[0].index
            if item < n_neurons and neurons[item].exact == 0:  # no instant begins with a lower bound
                _make_exact(item, due, neurons[item], heap, places)
                continue
        due = min(due, min(input_time, arrival_time))
        now, last = progress.instant, latest(progress.instant)  # when the present instant began, and its end
        crossing, prepared = -1, -math.inf
        crossing_time = next_crossing = math.inf
        searched = lockstep and due > last
        if searched:
            prepared = max(min(due, until), progress.time)
            # After 700 of the slowest time constants nothing is left that could cross.
            s = min(prepared - progress.time, 700.0 / slowest)
            prepare_step(s, network.uniform, fastest, apart, ensemble)
            crossing, crossing_time, next_crossing = search_step(s, progress.time, network.uniform, neurons, ensemble)
            due = min(due, crossing_time)
        if due > last:  # the next instant
            now, last = due, latest(due)
            if progress.sampled < sample_times.size:
                _sample(min(now, until), neurons, ensemble, sampled, sample_times, membrane, progress)
            if last >= until:
                return DONE
            progress.instant = now
            if lockstep and now > progress.time:
                if now != prepared:
                    prepare_step(now - progress.time, network.uniform, fastest, apart, ensemble)
                    project(network.uniform, ensemble)
                take_step(network.uniform, ensemble)
                progress.time = now
        item = first_due(last, heap) if heap.size > 0 else -1
        released = lockstep and 0 <= item < n_neurons
        if searched:
            progress.crossed = 0 if crossing_time <= last else 1
        if lockstep and progress.crossed == 0 and not released:
            if not searched or next_crossing <= last:
                crossing = first_to_cross(last, ensemble)
            else:
                progress.crossed = 1  # the only one
            if crossing >= 0:
                item = crossing
                ensemble[CROSSING, item] = math.inf
            else:
                progress.crossed = 1

        fresh = not 0 <= item < n_items and min(input_time, arrival_time) <= last  # an event comes to the crossbar
        if fresh:
            if input_time <= last:
                source = inputs[progress.played].source
                progress.played += 1
                stamp = leave_chip(now, limited, sources[source].host_output, outputs)
                if stamp < math.inf:
                    record(now, source, stamp, spikes, progress)
            else:
                source = spikes[progress.delivered].source
                progress.delivered += 1
            first_route, last_route = sources[source].route, sources[source + 1].route
        elif item >= first_queue:  # the delay of a late route is over
            queue = queues[item - first_queue]
            place = delayed[queue.first]
            first_route, last_route = place.route, place.route + 1
            following = place.next
            place.next = progress.free
            progress.free = queue.first
            progress.taken -= 1
            queue.first = following
            if following < 0:
                queue.last = -1
            schedule(item, delayed[following].time if following >= 0 else math.inf, heap, places)
        elif item >= n_items:  # an event has waited until its slot
            output = outputs[item - n_items]
            ring = waiting[item - n_items]
            first_route = ring[output.first].route
            last_route = first_route + 1
            output.first = (output.first + 1) % ring.size
            output.waiting -= 1
            schedule(item, ring[output.first].time if output.waiting > 0 else math.inf, heap, places)
        else:  # a neuron or a delay element
            if released:  # the end of its refractory time
                ensemble[MEMBRANE, item] = neurons[item].reset
                ensemble[BAR, item] = neurons[item].threshold
                if neurons[item].reset >= neurons[item].threshold:
                    ensemble[CROSSING, item], progress.crossed = now, 0
                again = math.inf
            elif item < n_neurons and not lockstep and neurons[item].exact == 0:
                _make_exact(item, heap[places[item]].time, neurons[item], heap, places)
                continue
            else:
                if item >= n_neurons:
                    source = network.delay_outputs[item - n_neurons]
                    again = math.inf
                else:
                    neuron = neurons[item]
                    source = neuron.circuit
                    if not lockstep:
                        _reset(now, neuron)
                    if network.threshold_noise > 0.0:
                        neuron.threshold = neuron.mean_threshold
                        neuron.threshold += network.threshold_noise * draw(key, source, item, drawn)
                    if lockstep:
                        ensemble[BAR, item] = math.inf
                        again = now + neuron.refractory
                    else:
                        again = _earliest_crossing(neuron)
                stamp = leave_chip(now, limited, sources[source].host_output, outputs)
                record(now, source, stamp, spikes, progress)
            schedule(item, again, heap, places)
            continue

        for route in range(first_route, last_route):
            if fresh:
                output = outputs[routes[route].output]
                if limited:
                    time = pass_output(now, output)
                    if time > now:
                        if time < math.inf:
                            ring = waiting[routes[route].output]
                            place = ring[(output.first + output.waiting) % ring.size]
                            place.time, place.route = time, route
                            if output.waiting == 0:
                                schedule(n_items + routes[route].output, time, heap, places)
                            output.waiting += 1
                        continue
                else:
                    output.passed += 1
            for row in range(routes[route].row, routes[route + 1].row):
                effect = 1.0
                if plastic:
                    driver = drivers[rows[row].driver]
                    if row == routes[route].row or rows[row - 1].driver != rows[row].driver:
                        drive(now, driver)
                    effect = driver.effect
                if lockstep:
                    currents = EXC if rows[row].sign > 0 else INH
                    if saturates and currents == INH:
                        inhibit(row, effect, plastic, dense, ensemble)
                    elif saturates_above and currents == EXC:
                        excite(row, effect, dense, saturation, ensemble)
                    else:
                        for n in range(n_neurons):
                            ensemble[currents, n] += effect * dense[row, n]
                    continue
                for synapse in range(rows[row].synapse, rows[row + 1].synapse):
                    n = synapses[synapse].neuron
                    neuron = neurons[n]
                    jump = effect * synapses[synapse].jump
                    _receive(jump, now, saturates, plastic, neuron, saturation[n])
                    bound = _earliest_crossing(neuron)
                    if bound < math.inf or heap[places[n]].time < math.inf:
                        schedule(n, bound, heap, places)
            for n in range(routes[route].trigger, routes[route + 1].trigger):
                element = triggers[n]
                item, source, delay = n_neurons + element, network.delay_outputs[element], delays[element]
                trigger(now, item, source, delay, network.delay_jitter, heap, places, progress, key, drawn)
            for n in range(routes[route].late, routes[route + 1].late):
                queue = queues[late[n].queue]
                free = progress.free
                place = delayed[free]
                progress.free = place.next
                progress.taken += 1
                place.time, place.route, place.next = now + queue.delay, late[n].route, -1
                if queue.last < 0:
                    queue.first = free
                    schedule(first_queue + late[n].queue, place.time, heap, places)
                else:
                    delayed[queue.last].next = free
                queue.last = free
