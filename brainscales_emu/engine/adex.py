"""The engine for neurons with adaptation and exponential upswing, without a fixed time step.

With membrane u and adaptation w in LSB, u above the neuron's leak, between events ::

    u' = rate_mem (g - u - w) + i_exc - i_inh     g = delta_t exp((u - v_t) / delta_t)
    w' = rate_w (a (u - w_leak) - w)              i_x' = -rate_x i_x

has no closed form, but all derivatives of u follow from each other (g' = g u' / delta_t), so that every step is a
Taylor series of order ORDER: one exponential per step, and the series is the membrane within the step. Each neuron
goes at its own pace. Its place in the heap holds when it must be looked at again: at the end of its step or, if that
comes first, at a lower bound of its crossing, where a new series starts. With every series the bound comes closer, in
the upswing it is the crossing itself, and so no crossing is missed, however short. A neuron that can't be moved on
by even one rounding step has crossed.

Not modelled with it: limits of the event path, plasticity of drivers, delays in synapses.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..jit import njit
from .event_path import leave_chip, next_events, record, trigger
from .heap import first_due, latest, schedule
from .records import DONE, EVENT, PROGRESS, RECORD_FULL, SPIKE, records
from .saturation import saturated
from .trial_noise import draw

# Of the Taylor series. For tolerances of 1e-9 to 1e-12; more terms pay where events are rare, fewer where they are
# frequent, but no order from 12 to 16 is faster by more than a tenth in both.
ORDER = 14

# Above this exponent (u - v_t) / delta_t the rest of the upswing takes less than exp(-40) = 4e-18 of the membrane's
# time constant, which a clock of float64 can't tell; it counts as a crossing, and no power of it overflows.
LAST_EXPONENT = 40.0

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
            ("rate_w", np.float64),
            ("a", np.float64),
            ("w_leak", np.float64),
            ("b", np.float64),
            ("delta_t", np.float64),  # 0 if there is no upswing
            ("v_t", np.float64),
            ("reset", np.float64),
            ("mean_threshold", np.float64),
            ("held_exc", np.float64),  # part of the current that is left after the refractory time
            ("held_inh", np.float64),
            ("held_w", np.float64),  # part of the adaptation's distance from where the reset membrane pulls it
            ("refractory", np.float64),
            ("accuracy", np.float64),  # LSB, error allowed in one step
            ("longest_step", np.float64),  # us
            ("time", np.float64),
            ("membrane", np.float64),
            ("adaptation", np.float64),
            ("current_exc", np.float64),
            ("current_inh", np.float64),
            ("threshold", np.float64),
        ],
    )
)


class Network(NamedTuple):
    """What a run doesn't change."""

    neurons: NDArray[np.void]  # (N,) NEURON, at rest
    saturation: NDArray[np.void]  # (N,) SATURATION
    sources: NDArray[np.void]  # (sources + 1,) SOURCE
    routes: NDArray[np.void]  # (routes + 1,) ROUTE
    rows: NDArray[np.void]  # (rows + 1,) ROW
    synapses: NDArray[np.void]  # SYNAPSE
    triggers: NDArray[np.int64]  # delay elements that are triggered
    delays: NDArray[np.float64]  # (D,) us
    delay_outputs: NDArray[np.int64]  # (D,) source number of each element's output
    outputs: NDArray[np.void]  # (12,) OUTPUT, idle
    latency: float  # us, from a spike to its synapses
    threshold_noise: float  # LSB, standard deviation
    delay_jitter: float  # us, standard deviation
    saturates: bool  # inputs do; jumps of inhibitory synapses are then their reach


class State(NamedTuple):
    """Everything that a run changes."""

    neurons: NDArray[np.void]  # (N,) NEURON
    series: NDArray[np.float64]  # (N, ORDER + 1) u^(k)(time) / k!, LSB / us^k
    slope: NDArray[np.float64]  # (ORDER + 1,) room for the series of u'
    upswing: NDArray[np.float64]  # (ORDER + 1,) room for the series of g
    heap: NDArray[np.void]  # (N + D,) EVENT
    places: NDArray[np.int64]  # (N + D,) where each item is in the heap
    outputs: NDArray[np.void]  # (12,) OUTPUT
    drawn: NDArray[np.int64]  # (N + D,) numbers of trial noise that neurons and delay elements have drawn
    spikes: NDArray[np.void]  # record, SPIKE, in order of time
    progress: NDArray[np.void]  # (1,) PROGRESS


def build_neurons(
    circuits: NDArray[np.int64],
    *,
    tau_mem_us: ArrayLike,
    tau_syn_exc_us: ArrayLike,
    tau_syn_inh_us: ArrayLike,
    reset_lsb: ArrayLike,
    threshold_lsb: ArrayLike,
    refractory_us: ArrayLike,
    a: ArrayLike,
    w_leak_lsb: ArrayLike,
    b_lsb: ArrayLike,
    tau_w_us: ArrayLike,
    delta_t_lsb: ArrayLike,
    v_t_lsb: ArrayLike,
    tolerance: float,
) -> NDArray[np.void]:
    """Neurons at rest, as NEURON records.

    Parameters
    ----------
    circuits : (N,) int64
        What each neuron is called in the record.
    tau_mem_us, tau_syn_exc_us, tau_syn_inh_us, tau_w_us, refractory_us : float or (N,) array_like
    reset_lsb, threshold_lsb, w_leak_lsb, v_t_lsb : float or (N,) array_like
        Potentials above each neuron's leak.
    a, b_lsb, delta_t_lsb : float or (N,) array_like
        As in `adex.AdexConfig`.
    tolerance : float
        Error allowed in one step, relative to threshold - reset.
    """
    rate_mem, rate_exc = 1.0 / np.asarray(tau_mem_us), 1.0 / np.asarray(tau_syn_exc_us)
    rate_inh, rate_w = 1.0 / np.asarray(tau_syn_inh_us), 1.0 / np.asarray(tau_w_us)
    threshold, reset, held = np.asarray(threshold_lsb), np.asarray(reset_lsb), np.asarray(refractory_us)
    neurons = records(circuits.size, NEURON)
    neurons["circuit"] = circuits
    neurons["rate_mem"], neurons["rate_w"] = rate_mem, rate_w
    neurons["rate_exc"], neurons["rate_inh"] = rate_exc, rate_inh
    neurons["a"], neurons["w_leak"], neurons["b"] = a, w_leak_lsb, b_lsb
    neurons["delta_t"], neurons["v_t"] = delta_t_lsb, v_t_lsb
    neurons["reset"], neurons["mean_threshold"], neurons["refractory"] = reset, threshold, held
    neurons["held_exc"], neurons["held_inh"] = np.exp(-rate_exc * held), np.exp(-rate_inh * held)
    neurons["held_w"] = np.exp(-rate_w * held)
    neurons["accuracy"] = tolerance * np.maximum(threshold - reset, 1.0)
    # Where all is still, the last terms say nothing. Up to here those of any linear mode shrink by the end.
    fastest = np.maximum(np.maximum(rate_mem, rate_w), np.maximum(rate_exc, rate_inh))
    fastest = np.maximum(fastest, np.sqrt(np.abs(a) * rate_mem * rate_w))
    neurons["longest_step"] = 0.5 * ORDER / fastest
    return neurons


def new_state(network: Network, capacity: int) -> State:
    """State for `start`; `capacity` is the number of spikes that can be recorded."""
    heap = records(network.neurons.size + network.delays.size, EVENT)
    heap["time"], heap["index"] = np.inf, np.arange(heap.size)
    progress = records(1, PROGRESS)
    progress["instant"] = -np.inf
    return State(
        neurons=network.neurons.copy(),
        series=np.zeros((network.neurons.size, ORDER + 1)),
        slope=np.zeros(ORDER + 1),
        upswing=np.zeros(ORDER + 1),
        heap=heap,
        places=np.arange(heap.size),
        outputs=network.outputs.copy(),
        drawn=np.zeros(heap.size, dtype=np.int64),
        spikes=records(capacity, SPIKE),
        progress=progress,
    )


def enlarged(state: State) -> State:
    """The same state with twice the room for recorded spikes."""
    spikes = records(2 * state.spikes.size, SPIKE)
    spikes[: state.spikes.size] = state.spikes
    return state._replace(spikes=spikes)


@njit(cache=True, error_model="numpy")
def _expand(n, neuron, series, slope, upswing):
    """Start a new series of neuron n at its `time`; return when it must be looked at again, at its `time` if it
    has crossed.

    With u = sum u_k s^k, likewise the others: (k + 1) u_(k+1) = slope_k = rate_mem (g_k - u_k - w_k) + exc_k - inh_k,
    (k + 1) g_(k+1) = sum_j slope_j g_(k-j) / delta_t. The step keeps the last two terms of u and w within the accuracy.
    """
    u, w, exc, inh = neuron.membrane, neuron.adaptation, neuron.current_exc, neuron.current_inh
    threshold, delta_t = neuron.threshold, neuron.delta_t
    if u >= threshold:
        return neuron.time
    upswing[0] = 0.0
    if delta_t > 0.0:
        exponent = (u - neuron.v_t) / delta_t
        if exponent > LAST_EXPONENT:
            return neuron.time
        upswing[0] = delta_t * math.exp(exponent)
    steepness = 1.0 / delta_t if delta_t > 0.0 else 0.0
    step = neuron.longest_step
    series[n, 0] = u
    pull = u - neuron.w_leak
    for k in range(ORDER):
        part = 1.0 / (k + 1)
        grow = neuron.rate_mem * (upswing[k] - u - w) + exc - inh
        w = neuron.rate_w * (neuron.a * pull - w) * part
        u = pull = grow * part
        exc *= -neuron.rate_exc * part
        inh *= -neuron.rate_inh * part
        series[n, k + 1], slope[k] = u, grow
        upswing[k + 1] = 0.0
        if delta_t > 0.0:
            total = 0.0
            for j in range(k + 1):
                total += slope[j] * upswing[k - j]
            upswing[k + 1] = total * part * steepness
        if k >= ORDER - 2:
            size = max(abs(u), abs(w))
            if size > 0.0:
                step = min(step, (neuron.accuracy / size) ** part)

    # The series without its negative terms is above u and can only rise, ever more steeply: Newton's iterates come
    # down to where it meets the threshold.
    s = step
    if series[n, 1] > 0.0:
        s = min(s, (threshold - series[n, 0]) / series[n, 1])
    for _ in range(100):
        bound, rise = max(series[n, ORDER], 0.0), 0.0
        for k in range(ORDER - 1, -1, -1):
            rise = rise * s + bound
            bound = bound * s + (max(series[n, k], 0.0) if k > 0 else series[n, 0])
        if bound <= threshold:
            break
        lower = s - (bound - threshold) / rise
        if not lower < s:
            break
        s = lower
    return max(neuron.time + s, neuron.time)


@njit(cache=True, error_model="numpy", forceinline=True)
def _look(s, n, neuron, series):
    """Membrane and adaptation of neuron n, s us after its `time` and within its step. The series of w follows from
    that of u."""
    u, w = series[n, 0], neuron.adaptation
    term, power, pull = w, 1.0, u - neuron.w_leak
    for k in range(ORDER):
        term = neuron.rate_w * (neuron.a * pull - term) * (1.0 / (k + 1))
        pull = series[n, k + 1]
        power *= s
        u += pull * power
        w += term * power
    return u, w


@njit(cache=True, error_model="numpy", forceinline=True)
def _let_pass(now, n, neuron, series):
    """Move the free neuron n to `now`, within its step."""
    s = now - neuron.time
    neuron.membrane, neuron.adaptation = _look(s, n, neuron, series)
    if neuron.current_exc > 0.0:
        neuron.current_exc *= math.exp(-neuron.rate_exc * s)
    if neuron.current_inh > 0.0:
        neuron.current_inh *= math.exp(-neuron.rate_inh * s)
    neuron.time = now


@njit(cache=True, error_model="numpy", forceinline=True)
def _receive(jump, now, saturates, n, neuron, limit, series):
    """A synaptic event reaches neuron n: jump in LSB/us, negative if inhibitory; limit is its SATURATION."""
    elapsed = now - neuron.time
    left = 1.0
    if elapsed > 0.0:
        _let_pass(now, n, neuron, series)
    elif elapsed < 0.0:  # refractory: count what will be left when the membrane is let go
        left = math.exp(elapsed * (neuron.rate_exc if jump > 0.0 else neuron.rate_inh))
    if saturates:
        jump = saturated(jump, left, False, neuron, limit)
    jump *= left
    if jump > 0.0:
        neuron.current_exc += jump
    else:
        neuron.current_inh -= jump


@njit(cache=True, error_model="numpy", forceinline=True)
def _reset(now, neuron):
    """The neuron spikes: its state is put at the end of the refractory time, in which w goes on."""
    rest = neuron.a * (neuron.reset - neuron.w_leak)
    neuron.adaptation = rest + (neuron.adaptation + neuron.b - rest) * neuron.held_w
    neuron.membrane = neuron.reset
    neuron.current_exc *= neuron.held_exc
    neuron.current_inh *= neuron.held_inh
    neuron.time = now + neuron.refractory


@njit(cache=True, error_model="numpy", forceinline=True)
def _sample(until, neurons, series, sampled, times, membrane, progress):
    """Membranes at the probe times before `until` that aren't done; in its refractory time a membrane is at reset."""
    while progress.sampled < times.size and times[progress.sampled] < until:
        column = progress.sampled
        for row in range(sampled.size):
            n = sampled[row]
            s = times[column] - neurons[n].time
            membrane[row, column] = _look(s, n, neurons[n], series)[0] if s > 0.0 else neurons[n].membrane
        progress.sampled += 1


@njit(cache=True, error_model="numpy")
def start(network, state, key):
    """State at time 0: no currents, no adaptation, thresholds drawn, membranes at leak, or at reset where they
    can't rest at leak: over the threshold, or over v_t if there is an upswing.

    Parameters: `Network`, `State` from `new_state`, key of the trial noise (int64).
    """
    neurons, series, slope, upswing = state.neurons, state.series, state.slope, state.upswing
    heap, places = state.heap, state.places
    for n in range(neurons.size):
        neuron = neurons[n]
        neuron.threshold = neuron.mean_threshold
        if network.threshold_noise > 0.0:
            neuron.threshold += network.threshold_noise * draw(key, neuron.circuit, n, state.drawn)
        if neuron.threshold <= 0.0 or (neuron.delta_t > 0.0 and neuron.v_t <= 0.0):
            neuron.membrane = neuron.reset
        schedule(n, _expand(n, neuron, series, slope, upswing), heap, places)


@njit(cache=True, error_model="numpy")
def advance_neuron(until, n, state):
    """Move neuron n alone, without input, to `until` (us) or to its first crossing, whichever is first, and say whether
    it has crossed; its `time` says when. For looking at one neuron; `advance` doesn't know of it."""
    neurons, series, slope, upswing = state.neurons, state.series, state.slope, state.upswing
    neuron = neurons[n]
    while neuron.time <= until:
        next_look = _expand(n, neuron, series, slope, upswing)
        if next_look == neuron.time:
            return True
        if next_look > until:
            _let_pass(until, n, neuron, series)
            return False
        _let_pass(next_look, n, neuron, series)
    return False


@njit(cache=True, error_model="numpy")
def advance(until, network, inputs, sampling, state, key):
    """Handle all instants that are over before `until` (us). Can be called again for the next window, to the same bits.

    Parameters: `Network`; input events as INPUT records, ascending in time; `Sampling`; `State` after `start`; key
    of the trial noise (int64).
    Returns DONE, or RECORD_FULL (call again with a state that is `enlarged`).
    """
    sources, routes, rows, synapses = network.sources, network.routes, network.rows, network.synapses
    triggers, delays, delay_outputs = network.triggers, network.delays, network.delay_outputs
    saturation, saturates = network.saturation, network.saturates
    neurons, series, slope, upswing = state.neurons, state.series, state.slope, state.upswing
    heap, places, outputs, spikes = state.heap, state.places, state.outputs, state.spikes
    progress = state.progress[0]
    sampled, sample_times, membrane = sampling.neurons, sampling.times, sampling.membrane
    n_neurons = neurons.size
    while True:
        if progress.recorded == spikes.size:
            return RECORD_FULL
        input_time, arrival_time = next_events(network.latency, inputs, spikes, progress)
        due = heap[0].time if heap.size > 0 else math.inf
        event_time = min(input_time, arrival_time)
        if progress.sampled < sample_times.size:
            _sample(min(min(due, event_time), until), neurons, series, sampled, sample_times, membrane, progress)
        if due <= event_time and due < until:
            item = heap[0].index
            if item < n_neurons and due > neurons[item].time:  # no instant begins without a crossing
                _let_pass(due, item, neurons[item], series)
                schedule(item, _expand(item, neurons[item], series, slope, upswing), heap, places)
                continue
        due = min(due, event_time)
        now, last = progress.instant, latest(progress.instant)  # when the present instant began, and its end
        if due > last:  # the next instant
            now, last = due, latest(due)
            if last >= until:
                return DONE
            progress.instant = now
        item = first_due(last, heap) if heap.size > 0 else -1

        if item < 0:  # an event comes to the crossbar
            if input_time <= last:
                source = inputs[progress.played].source
                progress.played += 1
                stamp = leave_chip(now, False, sources[source].host_output, outputs)
                if stamp < math.inf:
                    record(now, source, stamp, spikes, progress)
            else:
                source = spikes[progress.delivered].source
                progress.delivered += 1
            for route in range(sources[source].route, sources[source + 1].route):
                outputs[routes[route].output].passed += 1
                first_synapse, last_synapse = rows[routes[route].row].synapse, rows[routes[route + 1].row].synapse
                for synapse in range(first_synapse, last_synapse):
                    n = synapses[synapse].neuron
                    jump = synapses[synapse].jump
                    _receive(jump, now, saturates, n, neurons[n], saturation[n], series)
                    schedule(n, _expand(n, neurons[n], series, slope, upswing), heap, places)
                for n in range(routes[route].trigger, routes[route + 1].trigger):
                    element = triggers[n]
                    item, source, delay = n_neurons + element, delay_outputs[element], delays[element]
                    trigger(now, item, source, delay, network.delay_jitter, heap, places, progress, key, state.drawn)
            continue

        if item >= n_neurons:
            source = delay_outputs[item - n_neurons]
            record(now, source, leave_chip(now, False, sources[source].host_output, outputs), spikes, progress)
            schedule(item, math.inf, heap, places)
            continue
        neuron = neurons[item]
        if heap[places[item]].time > neuron.time:  # no crossing yet
            _let_pass(heap[places[item]].time, item, neuron, series)
        else:
            stamp = leave_chip(now, False, sources[neuron.circuit].host_output, outputs)
            record(now, neuron.circuit, stamp, spikes, progress)
            _reset(now, neuron)
            if network.threshold_noise > 0.0:
                neuron.threshold = neuron.mean_threshold
                neuron.threshold += network.threshold_noise * draw(key, neuron.circuit, item, state.drawn)
        schedule(item, _expand(item, neuron, series, slope, upswing), heap, places)
