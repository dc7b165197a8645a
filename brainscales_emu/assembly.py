"""From the contents of a chip's memories to what the engine runs: neurons, synapses with gains, outputs, drivers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .adex import AdexPattern
from .beyond import delay_routes
from .config import ChipConfig, EventPathConfig
from .constants import FIRST_DELAY_OUTPUT, N_CIRCUITS, N_COLUMNS, N_ROWS
from .delay import register_to_us
from .engine import adex as adex_engine
from .engine import lif
from .engine.records import DRIVER, LATE, OUTPUT, QUEUE, ROUTE, ROW, SOURCE, SYNAPSE, records
from .engine.saturation import SATURATION
from .mismatch import FixedPattern
from .refractory import refractory_us
from .routing.fabric import Fabric
from .routing.labels import FIRST_L2_OUTPUT, N_DRIVERS, N_OUTPUTS
from .routing.routes import Routes
from .stp import MAX_CODE, ZERO_OFFSET, Plasticity

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Neurons of a network with loops go in lockstep if there are at least so many, and a synapse row reaches this part of
# them on average; the second holds if all have the same rates, which makes steps cheap. Measured on recurrent networks
# of 32 to 120 neurons: below, each on its own is quicker (0.2 to 0.9 and 0.1 to 0.35, by how often neurons spike).
LOCKSTEP_NEURONS = 32
LOCKSTEP_DENSITY = (0.65, 0.2)

_RATES = ("rate_mem", "rate_exc", "rate_inh")


def merged_circuits(fabric: Fabric) -> list[IntArray]:
    """Circuits of each neuron that is switched on, the master first; neurons in the order of their masters."""
    circuits = np.flatnonzero(fabric.neuron_enabled)
    masters = fabric.master[circuits]
    if np.array_equal(masters, circuits):
        return list(circuits[:, None])
    order = np.lexsort((circuits, circuits != masters, masters))
    begin = np.flatnonzero(np.diff(masters[order], prepend=-1))
    return np.split(circuits[order], begin[1:])


def leak_potentials(pattern: FixedPattern, members: Sequence[IntArray]) -> FloatArray:
    """Leak potential in LSB of each group of merged circuits: the mean weighted with the leak conductances."""
    leak, rate = pattern.leak_lsb, 1.0 / pattern.tau_mem_us
    return np.array(
        [leak[group[0]] if len(group) == 1 else np.average(leak[group], weights=rate[group]) for group in members]
    )


def kernel_peak(rate_mem: FloatArray, rate_syn: FloatArray) -> FloatArray:
    """Largest value in us of the membrane's response to a unit synaptic current, rates in 1/us."""
    # The kernel is largest at s = log(rate_syn / rate_mem) / (rate_syn - rate_mem), where its slope
    # exp(-rate_syn s) - rate_mem K(s) is 0; log1p(x) / x in a form that holds at x = 0.
    x = rate_syn / rate_mem - 1.0
    near = np.abs(x) < 1e-6
    s = np.where(near, 1.0 - x / 2.0, np.log1p(x) / np.where(near, 1.0, x)) / rate_mem
    return np.exp(-rate_syn * s) / rate_mem


def build_neurons(config: ChipConfig, pattern: FixedPattern, members: Sequence[IntArray]) -> NDArray[np.void]:
    """Neurons at rest, as NEURON records in the units of the engine.

    Each neuron is a group of merged circuits, the master first. Modelled: their capacitances and leak conductances
    add up, so that the leak rate is the mean and the leak potential the mean weighted with the conductances; rates of
    the synaptic inputs are the means; threshold, reset and refractory time are the master's.
    """
    masters = np.array([group[0] for group in members], dtype=np.int64)
    rates = [1.0 / tau for tau in (pattern.tau_mem_us, pattern.tau_syn_exc_us, pattern.tau_syn_inh_us)]
    if any(len(group) > 1 for group in members):
        rate_mem, rate_exc, rate_inh = (np.array([rate[group].mean() for group in members]) for rate in rates)
    else:
        rate_mem, rate_exc, rate_inh = (rate[masters] for rate in rates)
    leak = leak_potentials(pattern, members)
    neurons = records(masters.size, lif.NEURON)
    neurons["circuit"] = masters
    neurons["rate_mem"], neurons["rate_exc"], neurons["rate_inh"] = rate_mem, rate_exc, rate_inh
    neurons["reset"] = pattern.reset_lsb[masters] - leak
    neurons["mean_threshold"] = pattern.threshold_lsb[masters] - leak
    neurons["peak_exc"] = kernel_peak(rate_mem, rate_exc) * (1.0 + 1e-9)  # never too low by a rounding error
    neurons["refractory"] = refractory_us(config)
    neurons["held_exc"] = np.exp(-rate_exc * neurons["refractory"])
    neurons["held_inh"] = np.exp(-rate_inh * neurons["refractory"])
    return neurons


def build_saturation(
    config: ChipConfig, pattern: FixedPattern, members: Sequence[IntArray], neurons: NDArray[np.void]
) -> NDArray[np.void]:
    """How the inputs of `build_neurons`' neurons saturate, as SATURATION records.

    The room below leak, and that of excitation beyond its linear range, is at least 1 LSB. Neurons whose mean threshold
    isn't above that range have a linear excitatory input: they spike before they get near its end.
    """
    limits = records(neurons.size, SATURATION)
    if config.saturation is None:
        return limits
    leak, rails = leak_potentials(pattern, members), config.saturation
    room = np.maximum(leak - rails.lower_rail_lsb, 1.0)
    limits["per_lsb_inh"] = 1.0 / room
    limits["kappa_inh"] = kernel_peak(neurons["rate_mem"], neurons["rate_inh"]) / room
    high = pattern.threshold_lsb[neurons["circuit"]] > rails.upper_linear_lsb
    linear = np.maximum(rails.upper_linear_lsb - leak, 0.0)
    room = np.maximum(rails.upper_rail_lsb - leak - linear, 1.0)
    limits["per_lsb_exc"] = high / room
    limits["kappa_exc"] = high * kernel_peak(neurons["rate_mem"], neurons["rate_exc"]) / room
    limits["linear_exc"] = high * linear / room
    return limits


def synapse_gains(
    config: ChipConfig, pattern: FixedPattern, half: IntArray, row: IntArray, column: IntArray, sign: IntArray
) -> FloatArray:
    """What an event adds to a current, in LSB/us per LSB of the weight, at synapses of circuits that aren't merged."""
    circuit = half * N_COLUMNS + column
    gain = np.where(sign > 0, pattern.gain_exc[circuit], pattern.gain_inh[circuit])
    gain *= config.event_gain * pattern.driver_gain[half, row] * pattern.synapse_gain[half, row, column]
    return gain


def same_rates(neurons: NDArray[np.void]) -> bool:
    """Whether all these NEURON records have the same rates."""
    return all(bool(np.all(neurons[name] == neurons[name][0])) for name in _RATES)


def reach_at_rest(jumps: FloatArray, kappa: FloatArray) -> FloatArray:
    """Steps of the current at rest, see `engine.saturation`, of jumps in LSB/us at inputs with this kappa."""
    return np.tanh(kappa * jumps) / kappa


def _build_synapses(
    config: ChipConfig, pattern: FixedPattern, routes: Routes, route_of: IntArray, neuron_of: IntArray
) -> tuple[NDArray[np.void], NDArray[np.void], IntArray]:
    """Synapses of neurons that are switched on, their rows, and the route of each row.

    `route_of` is the route of each synapse of `routes`, `neuron_of` the neuron of each circuit, -1 if it is off.
    """
    merged = np.bincount(neuron_of[neuron_of >= 0]).astype(np.float64)  # circuits of each neuron
    circuit = routes.half * N_COLUMNS + routes.column
    used = np.flatnonzero(neuron_of[circuit] >= 0)
    half, row, column, sign = (values[used] for values in (routes.half, routes.row, routes.column, routes.sign))
    route, circuit = route_of[used], circuit[used]
    group = (route * N_ROWS + row) * 2 + (sign < 0)
    step = np.diff(group, prepend=-1)
    if np.any(step < 0):  # rows of both modes
        order = np.argsort(group, kind="stable")
        used, half, row, column, sign = used[order], half[order], row[order], column[order], sign[order]
        route, circuit, group = route[order], circuit[order], group[order]
        step = np.diff(group, prepend=-1)
    gain = synapse_gains(config, pattern, half, row, column, sign)
    neuron = neuron_of[circuit]
    synapses = records(used.size, SYNAPSE)
    synapses["neuron"] = neuron
    synapses["jump"] = sign * gain * routes.weight[used] / merged[neuron]

    first = np.flatnonzero(step)  # synapse of each row
    rows = records(first.size + 1, ROW)
    rows["driver"][:-1] = half[first] * (N_ROWS // 2) + row[first] // 2
    rows["sign"][:-1] = sign[first]
    rows["synapse"] = np.append(first, used.size)
    return synapses, rows, route[first]


def build_network(
    config: ChipConfig,
    pattern: FixedPattern,
    routes: Routes,
    members: Sequence[IntArray],
    neurons: NDArray[np.void],
    delay_register: IntArray,
    plasticity: Plasticity | None = None,
    lockstep: bool | None = None,
    synapse_delay_us: FloatArray | None = None,
) -> lif.Network:
    """The chip with its digital memory, in the units of the engine.

    Parameters
    ----------
    config : ChipConfig
    pattern : FixedPattern
    routes : Routes
        Where the events of every source go.
    members : sequence of (n,) int64
        Circuits of each neuron that is switched on, the master first.
    neurons : NEURON records
        Their neurons, of `build_neurons`.
    delay_register : (n,) int64
        Of each delay element, 0 where there is none.
    plasticity : Plasticity or None
        Short-term plasticity of the synapse drivers, if it is on.
    lockstep : bool or None
        How the engine keeps the neurons; None for what is quicker.
    synapse_delay_us : (2, 256, 256) float64 or None
        Delays in the synapses, see `beyond`; None is none.

    Returns
    -------
    lif.Network
    """
    neuron_of = np.full(N_CIRCUITS, -1)
    for neuron, group in enumerate(members):
        neuron_of[group] = neuron
    source_of = np.repeat(np.arange(routes.begin.size - 1), np.diff(routes.begin))
    route_of = np.repeat(np.arange(routes.output.size), np.diff(routes.synapse_begin))
    triggering = np.argsort(routes.delay_route, kind="stable")
    triggers = routes.delay_element[triggering]
    routes, parent, queue_of_late, delays_us = delay_routes(routes, synapse_delay_us)
    most_late = int(np.bincount(source_of[parent]).max(initial=0))
    if parent.size:
        source_of = np.repeat(np.arange(routes.begin.size - 1), np.diff(routes.begin))
        route_of = np.repeat(np.arange(routes.output.size), np.diff(routes.synapse_begin))

    synapses, rows, route_of_row = _build_synapses(config, pattern, routes, route_of, neuron_of)
    onto_host = routes.output >= FIRST_L2_OUTPUT
    sources = records(routes.begin.size, SOURCE)
    sources["host_output"] = -1
    sources["host_output"][source_of[onto_host]] = routes.output[onto_host]
    kept = np.flatnonzero(~onto_host)
    sources["route"] = np.searchsorted(source_of[kept], np.arange(sources.size))
    ways = records(kept.size + 1, ROUTE)
    ways["output"][:-1] = routes.output[kept]
    ends = np.append(kept, routes.output.size)
    ways["row"] = np.searchsorted(route_of_row, ends)
    ways["trigger"] = np.searchsorted(routes.delay_route[triggering], ends)
    ways["late"] = np.searchsorted(parent, ends)
    late = records(parent.size, LATE)
    late["queue"], late["route"] = queue_of_late, kept.size - parent.size + np.arange(parent.size)
    queues = records(delays_us.size, QUEUE)
    queues["delay"], queues["first"], queues["last"] = delays_us, -1, -1

    if lockstep is None:
        density = LOCKSTEP_DENSITY[same_rates(neurons)] if neurons.size else 1.0
        reached = max(density * route_of_row.size * len(members), 1)
        lockstep = len(members) >= LOCKSTEP_NEURONS and synapses.size >= reached
    dense = np.zeros((route_of_row.size, len(members)) if lockstep else (0, 0))
    if lockstep:
        of_row = np.repeat(np.arange(route_of_row.size), np.diff(rows["synapse"]))
        np.add.at(dense, (of_row, synapses["neuron"]), np.abs(synapses["jump"]))
    saturation = build_saturation(config, pattern, members, neurons)
    if config.saturation is not None and plasticity is None:  # else the reach depends on the driver's state
        kappa, inhibitory = saturation["kappa_inh"], np.flatnonzero(synapses["jump"] < 0.0)
        jumps = synapses["jump"][inhibitory]
        synapses["jump"][inhibitory] = reach_at_rest(jumps, kappa[synapses["neuron"][inhibitory]])
        if lockstep:
            inhibitory = np.flatnonzero(rows["sign"][:-1] < 0)
            dense[inhibitory] = reach_at_rest(dense[inhibitory], kappa)
    elements = np.flatnonzero(delay_register)
    delays = register_to_us(delay_register[elements]) * pattern.delay_gain[elements]
    return lif.Network(
        neurons=neurons,
        saturation=saturation,
        sources=sources,
        routes=ways,
        rows=rows,
        synapses=synapses,
        dense=dense,
        triggers=np.searchsorted(elements, triggers),
        delays=delays + pattern.delay_offset_us[elements],
        delay_outputs=FIRST_DELAY_OUTPUT + 2 * elements,
        outputs=build_outputs(config.event_path),
        late=late,
        queues=queues,
        most_late=most_late,
        drivers=build_drivers(config, plasticity),
        latency=float(config.event_latency_us),
        threshold_noise=float(config.noise.threshold_noise_std_lsb),
        delay_jitter=float(config.noise.delay_jitter_us),
        limited=limits(config) is not None,
        plastic=plasticity is not None,
        saturates=config.saturation is not None,
        saturates_above=bool(saturation["kappa_exc"].any()),
        lockstep=lockstep,
        uniform=lockstep and same_rates(neurons),
    )


def build_adex_network(
    config: ChipConfig, pattern: FixedPattern, adex: AdexPattern, members: Sequence[IntArray], network: lif.Network
) -> adex_engine.Network:
    """The same network with neurons that have adaptation and upswing, those of each neuron's master."""
    assert config.adex is not None
    plain = network.neurons
    leak = leak_potentials(pattern, members)
    masters = plain["circuit"]
    neurons = adex_engine.build_neurons(
        masters,
        tau_mem_us=1.0 / plain["rate_mem"],
        tau_syn_exc_us=1.0 / plain["rate_exc"],
        tau_syn_inh_us=1.0 / plain["rate_inh"],
        reset_lsb=plain["reset"],
        threshold_lsb=plain["mean_threshold"],
        refractory_us=plain["refractory"],
        a=adex.a[masters],
        w_leak_lsb=adex.w_leak_lsb[masters] - leak,
        b_lsb=adex.b_lsb[masters],
        tau_w_us=adex.tau_w_us[masters],
        delta_t_lsb=adex.delta_t_lsb[masters],
        v_t_lsb=adex.v_t_lsb[masters] - leak,
        tolerance=config.adex.tolerance,
    )
    rest = {name: getattr(network, name) for name in adex_engine.Network._fields if name != "neurons"}
    return adex_engine.Network(neurons=neurons, **rest)


def limits(config: ChipConfig) -> EventPathConfig | None:
    """The limits of the event path, None if there are none."""
    return config.event_path if config.event_path is not None and config.event_path.slot_ns > 0 else None


def build_outputs(path: EventPathConfig | None) -> NDArray[np.void]:
    """Idle crossbar outputs, as OUTPUT records."""
    outputs = records(N_OUTPUTS, OUTPUT)
    if path is not None:
        onto_host = np.arange(N_OUTPUTS) >= FIRST_L2_OUTPUT
        outputs["slot_ns"] = np.where(onto_host, path.l2_slot_ns, path.slot_ns)
        outputs["depth"] = np.where(onto_host, path.l2_fifo_depth, path.fifo_depth)
    return outputs


def build_drivers(config: ChipConfig, plasticity: Plasticity | None) -> NDArray[np.void]:
    """Rested synapse drivers, as DRIVER records, those of the top half first."""
    drivers = records(2 * N_DRIVERS, DRIVER)
    drivers["rest"] = drivers["target"] = drivers["efficacy"] = 1.0
    if plasticity is not None:
        on, voltages = plasticity.enabled.ravel(), plasticity.voltages.ravel()
        rest, target = np.array(config.stp.rest)[voltages], np.array(config.stp.target)[voltages]
        drivers["rest"] = drivers["efficacy"] = np.where(on, rest, 1.0)
        drivers["target"] = np.where(on, target, 1.0)
        drivers["rate"] = (1 + plasticity.recovery.ravel()) / config.stp.slowest_recovery_us
        drivers["utilisation"] = plasticity.utilisation.ravel() / MAX_CODE
        drivers["offset"] = np.where(on, config.stp.offset_step * (plasticity.offset.ravel() - ZERO_OFFSET), 0.0)
    return drivers
