"""The compiled engine: crossbar, synapse drivers, neurons and delay elements of one chip, event by event, without a
time step.

Units: time in us, membrane in LSB above the neuron's leak, currents in LSB/us, rates in 1/us (one over a time
constant). Neurons are numbered 0..N-1 in the order of the logical neurons that are switched on, delay elements
0..D-1, sources as in `constants`. inf means "never". `neuron` holds the readable twin of everything here.

Three queues feed the engine: the sorted input events; spikes on their way to the crossbar's outputs, which stay sorted
because all take equally long; and a binary heap with one place per neuron, one per delay element (when it fires), one
per crossbar output (when the first of the events that wait for it may pass), and one per queue of late events, ordered
by time, then by number. Time goes from instant to instant; what is due at one instant happens in the order that
`instant` says, and at one time.

An event takes the routes of its source: each leads through one crossbar output to synapse rows and delay elements.
Where the event path has limits, an output lets one event pass per slot of its clock. An event that finds its slot
free passes at once, otherwise it waits in the output's FIFO for the next slot that is, or is dropped and counted if
as many as fit wait already. Slots are counted in integers, so that no drop depends on how a time is rounded.

Synapses with delays of their own (see `beyond`) are driven late: an event that passes an output starts the late routes
behind it, each of which waits in a queue. All events of a queue have the same delay, so that they stay sorted.

Neurons are kept in one of two ways, which spike at the same times but for rounding:

- each on its own (`lockstep` False): a neuron's state is brought up to date when an event reaches it, and the heap
  holds its predicted spike. The prediction is a lower bound of the crossing time until it is popped: only then is
  the crossing searched, so that neurons that get further input first don't pay for it.
- all in lockstep, for networks in which most events reach many neurons: the states of all hold at one time in the
  rows of one array and go from event to event in loops that the compiler can vectorise. A test of all neurons finds
  the few that could cross before the next event, and only these are searched. The heap holds the ends of refractory
  times.

Data are arrays of records (of float64 and int64), because numba counts references, atomically and slowly, for every
plain array that is taken out of a container, but not for a record that is taken out of an array. For the same reason
the helpers are inlined.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .constants import BACKGROUND, SIMULTANEOUS
from .jit import njit

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

# First route of a source, and the crossbar output to the host that its events take, -1 if they aren't recorded. The
# entry after the last source holds the ends, and so do those after the last route and row.
SOURCE = np.dtype((np.record, [("route", np.int64), ("host_output", np.int64)]))

# A way through one crossbar output of the synapse arrays: its first row, its first trigger, and the first late route
# that it starts.
ROUTE = np.dtype((np.record, [(name, np.int64) for name in ("output", "row", "trigger", "late")]))

# A late route: its queue and its number among the routes.
LATE = np.dtype((np.record, [("queue", np.int64), ("route", np.int64)]))

# A queue of late routes: their delay in us, places of the first and the last one that wait, -1 if none does.
QUEUE = np.dtype((np.record, [("delay", np.float64), ("first", np.int64), ("last", np.int64)]))

# A place in a queue: when which route is driven, and the next place, -1 if it is the last. Free places form a list too.
DELAYED = np.dtype((np.record, [("time", np.float64), ("route", np.int64), ("next", np.int64)]))

# Synapses of one synapse row that answer a route: synapse driver, +1 or -1, first synapse.
ROW = np.dtype((np.record, [("driver", np.int64), ("sign", np.int64), ("synapse", np.int64)]))

# A synapse: neuron, and LSB/us per event, negative if inhibitory.
SYNAPSE = np.dtype((np.record, [("neuron", np.int64), ("jump", np.float64)]))

# A crossbar output: length of a slot in ns, events that fit into its FIFO; next free slot, events that wait and the
# place of the first of them in the ring; events that passed or will, and events dropped.
OUTPUT = np.dtype(
    (
        np.record,
        [("slot_ns", np.float64)]
        + [(name, np.int64) for name in ("depth", "free_slot", "waiting", "first", "passed", "dropped")],
    )
)

# An event that waits for a slot of a crossbar output, and when that slot begins.
WAITING = np.dtype((np.record, [("time", np.float64), ("route", np.int64)]))

# Short-term plasticity of a synapse driver, as in `stp`: efficacy at `time`, the value to which it recovers and how
# quickly (1/us), the one to which an event moves it and by which part of the way, and what is added in its effect.
DRIVER = np.dtype(
    (
        np.record,
        [
            (name, np.float64)
            for name in ("time", "efficacy", "rest", "rate", "target", "utilisation", "offset", "effect")
        ],
    )
)

# An input event.
INPUT = np.dtype((np.record, [("time", np.float64), ("source", np.int64)]))

# A spike, or an input event that went to the host. `stamp` is when it left the chip (us), inf if it never did.
SPIKE = np.dtype((np.record, [("time", np.float64), ("source", np.int64), ("stamp", np.float64)]))

# A place in the heap. Item n is neuron n, item N + k delay element k and, if the event path has limits, item
# N + D + o crossbar output o; the queues come last. All items are always there; time is inf where nothing is due, so
# that a delay element is busy if its time is finite.
EVENT = np.dtype((np.record, [("time", np.float64), ("index", np.int64)]))

# How far a run has come: inputs played, spikes delivered to the crossbar, probe times done, spikes in the record,
# events lost at busy delay elements; first free place for late events, -1 if there is none, and number of those that
# are taken; 1 if no neuron in lockstep is left that crosses at the present instant; when that instant began, and time
# at which the states in lockstep hold.
PROGRESS = np.dtype(
    (
        np.record,
        [
            (name, np.int64)
            for name in ("played", "delivered", "sampled", "recorded", "lost", "free", "taken", "crossed")
        ]
        + [("instant", np.float64), ("time", np.float64)],
    )
)

# Rows of the ensemble, the states of all neurons in lockstep: membrane and currents; the threshold, inf while it is
# refractory; when the neuron crosses if it could cross within the next step, else inf; membrane at the end of that
# step; what the step multiplies membrane and currents with, and the kernels; rates, and the inhibitory one over the
# excitatory one.
MEMBRANE, EXC, INH, BAR, CROSSING, NEXT, LEFT_MEM, KERNEL_EXC, KERNEL_INH, LEFT_EXC, LEFT_INH = range(11)
RATE_MEM, RATE_EXC, RATE_INH, RATE_RATIO = range(11, 15)
ENSEMBLE_ROWS = 15

# What `advance` returns.
DONE, RECORD_FULL, QUEUES_FULL = 0, 1, 2


_FIRST_PLACES = 1024  # for late events


class Network(NamedTuple):
    """What a run doesn't change."""

    neurons: NDArray[np.void]  # (N,) NEURON, at rest
    sources: NDArray[np.void]  # (sources + 1,) SOURCE
    routes: NDArray[np.void]  # (routes + 1,) ROUTE
    rows: NDArray[np.void]  # (rows + 1,) ROW
    synapses: NDArray[np.void]  # SYNAPSE
    dense: NDArray[np.float64]  # (rows, N) jumps without sign in LSB/us, or (0, 0) if each neuron is on its own
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
    lockstep: bool  # neurons in lockstep
    uniform: bool  # all neurons have the same rates


class Sampling(NamedTuple):
    """Membrane probe: neurons (C,), ascending times (P,) in us, result (C, P) in LSB above leak."""

    neurons: NDArray[np.int64]
    times: NDArray[np.float64]
    membrane: NDArray[np.float64]


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
    spikes: NDArray[np.void]  # record, SPIKE, in order of time
    progress: NDArray[np.void]  # (1,) PROGRESS


def records(shape: int | tuple[int, ...], dtype: np.dtype) -> NDArray[np.void]:
    """Array of records, all zero."""
    return np.zeros(shape, dtype=dtype)


def new_state(network: Network, capacity: int) -> State:
    """State for `start`; `capacity` is the number of spikes that can be recorded."""
    outputs = network.outputs.size if network.limited else 0
    heap = records(network.neurons.size + network.delays.size + outputs + network.queues.size, EVENT)
    heap["time"], heap["index"] = np.inf, np.arange(heap.size)
    ensemble = np.zeros((ENSEMBLE_ROWS, network.neurons.size if network.lockstep else 0))
    if network.lockstep:
        for row, name in ((RATE_MEM, "rate_mem"), (RATE_EXC, "rate_exc"), (RATE_INH, "rate_inh")):
            ensemble[row] = network.neurons[name]
        ensemble[RATE_RATIO] = ensemble[RATE_INH] / ensemble[RATE_EXC]
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
def _latest(instant):
    """The last time that belongs to an instant, see `instant`."""
    return instant + SIMULTANEOUS * max(instant, 1.0)


@njit(cache=True, error_model="numpy", forceinline=True)
def _first_due(latest, heap):
    """Lowest number of the items that are due by this time, -1 if none is. They hold the top of the heap."""
    first = heap.size
    place = 0
    while True:
        if place < heap.size and heap[place].time <= latest:
            first = min(first, heap[place].index)
            place = 2 * place + 1
            continue
        while place > 0 and place % 2 == 0:  # back from a right child
            place = (place - 1) >> 1
        if place == 0:
            return first if first < heap.size else -1
        place += 1


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
    _schedule(item, max(bound, _crossing(neuron)), heap, places)


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


@njit(cache=True, error_model="numpy", forceinline=True)
def _short_response(x):
    """(1 - exp(-x)) / x and exp(-x) for |x| <= 0.1, by the series, cut where the next term is below 3e-17."""
    series = 1.0 - x * (1 / 8) * (1.0 - x * (1 / 9) * (1.0 - x * (1 / 10)))
    series = 1.0 - x * (1 / 5) * (1.0 - x * (1 / 6) * (1.0 - x * (1 / 7) * series))
    series = 1.0 - x * (1 / 2) * (1.0 - x * (1 / 3) * (1.0 - x * (1 / 4) * series))
    return series, 1.0 - x * series


@njit(cache=True, error_model="numpy", forceinline=True)
def _prepare_step(s, uniform, fastest, ensemble):
    """Factors and kernels of a step of s us for all neurons, in the first column alone if they have the same rates;
    `fastest` is the largest rate of all."""
    if uniform:
        rate_mem, rate_exc, rate_inh = ensemble[RATE_MEM, 0], ensemble[RATE_EXC, 0], ensemble[RATE_INH, 0]
        left_mem = math.exp(-rate_mem * s)
        left_exc, kernel_exc = response(s, rate_mem, rate_exc, left_mem)
        left_inh, kernel_inh = response(s, rate_mem, rate_inh, left_mem)
        ensemble[LEFT_MEM, 0] = left_mem
        ensemble[LEFT_EXC, 0], ensemble[KERNEL_EXC, 0] = left_exc, kernel_exc
        ensemble[LEFT_INH, 0], ensemble[KERNEL_INH, 0] = left_inh, kernel_inh
    elif s * fastest <= 0.1:
        for n in range(ensemble.shape[1]):
            ensemble[LEFT_MEM, n] = _short_response(ensemble[RATE_MEM, n] * s)[1]
        for n in range(ensemble.shape[1]):
            series, left = _short_response((ensemble[RATE_EXC, n] - ensemble[RATE_MEM, n]) * s)
            ensemble[KERNEL_EXC, n] = ensemble[LEFT_MEM, n] * series * s
            ensemble[LEFT_EXC, n] = ensemble[LEFT_MEM, n] * left
        for n in range(ensemble.shape[1]):
            series, left = _short_response((ensemble[RATE_INH, n] - ensemble[RATE_MEM, n]) * s)
            ensemble[KERNEL_INH, n] = ensemble[LEFT_MEM, n] * series * s
            ensemble[LEFT_INH, n] = ensemble[LEFT_MEM, n] * left
    else:
        for n in range(ensemble.shape[1]):
            rate_mem = ensemble[RATE_MEM, n]
            left_mem = math.exp(-rate_mem * s)
            ensemble[LEFT_MEM, n] = left_mem
            left, kernel = response(s, rate_mem, ensemble[RATE_EXC, n], left_mem)
            ensemble[LEFT_EXC, n] = left
            ensemble[KERNEL_EXC, n] = kernel
            left, kernel = response(s, rate_mem, ensemble[RATE_INH, n], left_mem)
            ensemble[LEFT_INH, n] = left
            ensemble[KERNEL_INH, n] = kernel


@njit(cache=True, error_model="numpy", forceinline=True)
def _could_cross(
    s, slack, u, exc, inh, threshold, left_mem, kernel_exc, kernel_inh, left_exc, left_inh, rate_mem, rate_ratio
):
    """Membrane at the end of a step of s us, and 0.0 if it could reach the threshold within the step or the slack
    after it, else inf.

    u can't pass max(u, 0) + s max(i_exc - i_inh, 0), with the smallest i_inh of the step. If that is not enough: where
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
    reaches = max(u, 0.0) + max(exc - end_inh, 0.0) * s >= threshold
    could_cross = (u >= threshold) | (end + end_slope * slack >= threshold) | (reaches & highest_within)
    return end, 0.0 if could_cross else math.inf


@njit(cache=True, error_model="numpy", forceinline=True)
def _search_step(s, now, uniform, neurons, ensemble):
    """The neuron that crosses first within the next s us or at the instant of their end, when, and when the next one
    does; (-1, inf, inf) if none does. It may also find one that crosses first and later. A step of s us has been
    prepared."""
    slack = SIMULTANEOUS * max(now + s, 1.0)
    if uniform:
        left_mem, kernel_exc, kernel_inh = ensemble[LEFT_MEM, 0], ensemble[KERNEL_EXC, 0], ensemble[KERNEL_INH, 0]
        left_exc, left_inh = ensemble[LEFT_EXC, 0], ensemble[LEFT_INH, 0]
        rate_mem, rate_ratio = ensemble[RATE_MEM, 0], ensemble[RATE_RATIO, 0]
        for n in range(ensemble.shape[1]):
            ensemble[NEXT, n], ensemble[CROSSING, n] = _could_cross(
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
            )
    else:
        for n in range(ensemble.shape[1]):
            ensemble[NEXT, n], ensemble[CROSSING, n] = _could_cross(
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
            )
    first, due, next_due = -1, math.inf, math.inf
    candidates = 0
    for n in range(ensemble.shape[1]):
        candidates += 1 if ensemble[CROSSING, n] < math.inf else 0
    if candidates == 0:
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
def _first_to_cross(latest, ensemble):
    """Lowest number of the neurons that cross by this time, as the last search has found; -1 if none does."""
    for n in range(ensemble.shape[1]):
        if ensemble[CROSSING, n] <= latest:
            return n
    return -1


@njit(cache=True, error_model="numpy", forceinline=True)
def _project(uniform, ensemble):
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
def _take_step(uniform, ensemble):
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
def _pass(now, output):
    """When an event that comes now passes the output: now, or at the beginning of a later slot; inf if dropped.

    A millionth of a slot is added, so that an event at the beginning of a slot lies in it.
    """
    slot = math.floor(now * 1000.0 / output.slot_ns + 1e-6)
    if output.free_slot - slot > output.depth:
        output.dropped += 1
        return math.inf
    output.passed += 1
    if slot < output.free_slot:
        slot = output.free_slot
        now = slot * output.slot_ns / 1000.0
    output.free_slot = slot + 1
    return now


@njit(cache=True, error_model="numpy", forceinline=True)
def _leave_chip(now, limited, host_output, outputs):
    """When an event of now leaves the chip through the output to the host; inf if it is dropped or isn't recorded."""
    if host_output < 0:
        return math.inf
    output = outputs[host_output]
    if not limited:
        output.passed += 1
        return now
    return _pass(now, output)


@njit(cache=True, error_model="numpy", forceinline=True)
def _drive(now, driver):
    """An event of a driver with short-term plasticity: its effect is that of the efficacy before it (see `stp`)."""
    driver.efficacy = driver.rest + (driver.efficacy - driver.rest) * math.exp(-driver.rate * (now - driver.time))
    driver.time = now
    driver.effect = min(max(driver.efficacy + driver.offset, 0.0), 1.0)
    driver.efficacy += driver.utilisation * (driver.target - driver.efficacy)


@njit(cache=True, error_model="numpy")
def start(network, state, rng):
    """State at time 0: no currents, thresholds drawn, membranes at leak, or at reset where leak is over threshold.

    Parameters: `Network`, `State` from `new_state`, numpy Generator (used only if there is threshold noise).
    """
    neurons, ensemble, heap, places = state.neurons, state.ensemble, state.heap, state.places
    for n in range(neurons.size):
        neuron = neurons[n]
        neuron.threshold = neuron.mean_threshold
        if network.threshold_noise > 0.0:
            neuron.threshold += network.threshold_noise * rng.standard_normal()
        if neuron.threshold <= 0.0:
            neuron.membrane = neuron.reset
        if network.lockstep:
            ensemble[MEMBRANE, n] = neuron.membrane
            ensemble[BAR, n] = neuron.threshold
        else:
            _schedule(n, _earliest_crossing(neuron), heap, places)


@njit(cache=True, error_model="numpy")
def advance(until, network, inputs, sampling, state, rng):
    """Handle all instants that are over before `until` (us). Can be called again for the next window, to the same bits.

    Parameters: `Network`; input events as INPUT records, ascending in time; `Sampling`; `State` after `start`; numpy
    Generator. Trial noise is drawn in the order of the events and only where its standard deviation isn't 0.
    Returns DONE, or RECORD_FULL or QUEUES_FULL (call again with a state that is `enlarged`).
    """
    sources, routes, rows, synapses = network.sources, network.routes, network.rows, network.synapses
    triggers, delays, dense, late = network.triggers, network.delays, network.dense, network.late
    limited, plastic, lockstep = network.limited, network.plastic, network.lockstep
    neurons, heap, places, spikes = state.neurons, state.heap, state.places, state.spikes
    outputs, waiting, drivers, ensemble = state.outputs, state.waiting, state.drivers, state.ensemble
    queues, delayed = state.queues, state.delayed
    progress = state.progress[0]
    sampled, sample_times, membrane = sampling.neurons, sampling.times, sampling.membrane
    n_neurons = neurons.size
    n_items = n_neurons + delays.size
    first_queue = heap.size - queues.size
    fastest = slowest = 0.0
    if lockstep:
        fastest = max(ensemble[RATE_MEM].max(), max(ensemble[RATE_EXC].max(), ensemble[RATE_INH].max()))
        slowest = min(ensemble[RATE_MEM].min(), min(ensemble[RATE_EXC].min(), ensemble[RATE_INH].min()))
    while True:
        if progress.recorded == spikes.size:
            return RECORD_FULL
        if progress.taken + network.most_late > delayed.size:
            return QUEUES_FULL
        input_time = arrival_time = due = math.inf
        if progress.played < inputs.size:
            input_time = inputs[progress.played].time
        while progress.delivered < progress.recorded and spikes[progress.delivered].source >= BACKGROUND:
            progress.delivered += 1  # an input event that went to the host
        if progress.delivered < progress.recorded:
            arrival_time = spikes[progress.delivered].time + network.latency
        if heap.size > 0:
            due = heap[0].time
        if not lockstep and due <= min(input_time, arrival_time) and due < until:
            item = heap[0].index
            if item < n_neurons and neurons[item].exact == 0:  # no instant begins with a lower bound
                _make_exact(item, due, neurons[item], heap, places)
                continue
        due = min(due, min(input_time, arrival_time))
        now, latest = progress.instant, _latest(progress.instant)
        crossing, prepared = -1, -math.inf
        crossing_time = next_crossing = math.inf
        searched = lockstep and due > latest
        if searched:
            prepared = max(min(due, until), progress.time)
            # After 700 of the slowest time constants nothing is left that could cross.
            s = min(prepared - progress.time, 700.0 / slowest)
            _prepare_step(s, network.uniform, fastest, ensemble)
            crossing, crossing_time, next_crossing = _search_step(s, progress.time, network.uniform, neurons, ensemble)
            due = min(due, crossing_time)
        if due > latest:  # the next instant
            now, latest = due, _latest(due)
            if progress.sampled < sample_times.size:
                _sample(min(now, until), neurons, ensemble, sampled, sample_times, membrane, progress)
            if latest >= until:
                return DONE
            progress.instant = now
            if lockstep and now > progress.time:
                if now != prepared:
                    _prepare_step(now - progress.time, network.uniform, fastest, ensemble)
                    _project(network.uniform, ensemble)
                _take_step(network.uniform, ensemble)
                progress.time = now
        item = _first_due(latest, heap) if heap.size > 0 else -1
        released = lockstep and 0 <= item < n_neurons
        if searched:
            progress.crossed = 0 if crossing_time <= latest else 1
        if lockstep and progress.crossed == 0 and not released:
            if not searched or next_crossing <= latest:
                crossing = _first_to_cross(latest, ensemble)
            else:
                progress.crossed = 1  # the only one
            if crossing >= 0:
                item = crossing
                ensemble[CROSSING, item] = math.inf
            else:
                progress.crossed = 1

        fresh = not 0 <= item < n_items and min(input_time, arrival_time) <= latest  # an event comes to the crossbar
        if fresh:
            if input_time <= latest:
                source = inputs[progress.played].source
                progress.played += 1
                stamp = _leave_chip(now, limited, sources[source].host_output, outputs)
                if stamp < math.inf:
                    spike = spikes[progress.recorded]
                    progress.recorded += 1
                    spike.time, spike.source, spike.stamp = now, source, stamp
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
            _schedule(item, delayed[following].time if following >= 0 else math.inf, heap, places)
        elif item >= n_items:  # an event has waited until its slot
            output = outputs[item - n_items]
            ring = waiting[item - n_items]
            first_route = ring[output.first].route
            last_route = first_route + 1
            output.first = (output.first + 1) % ring.size
            output.waiting -= 1
            _schedule(item, ring[output.first].time if output.waiting > 0 else math.inf, heap, places)
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
                spike = spikes[progress.recorded]
                progress.recorded += 1
                spike.time = now
                if item >= n_neurons:
                    spike.source = network.delay_outputs[item - n_neurons]
                    again = math.inf
                else:
                    neuron = neurons[item]
                    spike.source = neuron.circuit
                    if not lockstep:
                        _reset(now, neuron)
                    if network.threshold_noise > 0.0:
                        neuron.threshold = neuron.mean_threshold + network.threshold_noise * rng.standard_normal()
                    if lockstep:
                        ensemble[BAR, item] = math.inf
                        again = now + neuron.refractory
                    else:
                        again = _earliest_crossing(neuron)
                spike.stamp = _leave_chip(now, limited, sources[spike.source].host_output, outputs)
            _schedule(item, again, heap, places)
            continue

        for route in range(first_route, last_route):
            if fresh:
                output = outputs[routes[route].output]
                if limited:
                    time = _pass(now, output)
                    if time > now:
                        if time < math.inf:
                            ring = waiting[routes[route].output]
                            place = ring[(output.first + output.waiting) % ring.size]
                            place.time, place.route = time, route
                            if output.waiting == 0:
                                _schedule(n_items + routes[route].output, time, heap, places)
                            output.waiting += 1
                        continue
                else:
                    output.passed += 1
            for row in range(routes[route].row, routes[route + 1].row):
                effect = 1.0
                if plastic:
                    driver = drivers[rows[row].driver]
                    if row == routes[route].row or rows[row - 1].driver != rows[row].driver:
                        _drive(now, driver)
                    effect = driver.effect
                if lockstep:
                    currents = EXC if rows[row].sign > 0 else INH
                    for n in range(n_neurons):
                        ensemble[currents, n] += effect * dense[row, n]
                    continue
                for synapse in range(rows[row].synapse, rows[row + 1].synapse):
                    n = synapses[synapse].neuron
                    neuron = neurons[n]
                    _receive(effect * synapses[synapse].jump, now, neuron)
                    bound = _earliest_crossing(neuron)
                    if bound < math.inf or heap[places[n]].time < math.inf:
                        _schedule(n, bound, heap, places)
            for trigger in range(routes[route].trigger, routes[route + 1].trigger):
                element = triggers[trigger]
                if heap[places[n_neurons + element]].time < math.inf:
                    progress.lost += 1
                    continue
                delay = delays[element]
                if network.delay_jitter > 0.0:
                    delay += network.delay_jitter * rng.standard_normal()
                _schedule(n_neurons + element, now + max(delay, 0.0), heap, places)
            for n in range(routes[route].late, routes[route + 1].late):
                queue = queues[late[n].queue]
                free = progress.free
                place = delayed[free]
                progress.free = place.next
                progress.taken += 1
                place.time, place.route, place.next = now + queue.delay, late[n].route, -1
                if queue.last < 0:
                    queue.first = free
                    _schedule(first_queue + late[n].queue, place.time, heap, places)
                else:
                    delayed[queue.last].next = free
                queue.last = free


@njit(cache=True, error_model="numpy")
def pack(cycles, per_cycle, depth, sent):
    """Send events over a link that takes so many per cycle; the others wait, and those that find `depth` waiting are
    lost.

    Parameters: cycles (n,) int64, ascending; two int64; result `sent` (n,) int64, cycle in which each event goes, -1
    if lost.
    """
    free = 0  # first free place; cycle c has the places c * per_cycle ... (c + 1) * per_cycle - 1
    for event in range(cycles.size):
        if free - (cycles[event] + 1) * per_cycle >= depth:
            sent[event] = -1
            continue
        place = max(cycles[event] * per_cycle, free)
        sent[event] = place // per_cycle
        free = place + 1
