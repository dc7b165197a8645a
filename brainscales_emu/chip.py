"""The one door into the emulated chip: configure it, write a network, run it, look at what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import capmem, kernels
from .background import background_events
from .capmem import Codes
from .config import ChipConfig, EventPathConfig
from .constants import (
    ANALOGUE_CELLS,
    CYCLES_PER_US,
    EXTERNAL,
    FIRST_DELAY_OUTPUT,
    N_CIRCUITS,
    N_COLUMNS,
    N_DELAY_ELEMENTS,
    N_ROWS,
    SYNAPSE_BITS,
)
from .delay import register_to_us
from .errors import ChipError, check_number
from .fabric import Fabric, Routes, random_begin
from .fabric import routes as find_routes
from .labels import FIRST_L2_OUTPUT, N_DRIVERS, N_OUTPUTS
from .mismatch import FixedPattern, draw_fixed_pattern, stream
from .stp import MAX_CODE, ZERO_OFFSET, Plasticity
from .system import Phase, Program, execute, to_cycles

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FIRST_CAPACITY = 32768  # spikes in the record; doubled when a run has more

# Neurons go in lockstep if there are at least so many, and a synapse row reaches this part of them on average.
LOCKSTEP_NEURONS = 64
LOCKSTEP_DENSITY = 0.25

_UNBOUNDED = 2**62  # depth of the FIFO in the FPGA's memory

_RATES = ("rate_mem", "rate_exc", "rate_inh")


@dataclass(frozen=True)
class Probe:
    """Membranes to be looked at in a run, which no real chip offers with this precision.

    Attributes
    ----------
    circuits : (n_circuits,) array_like of int
        Neurons that are switched on; of merged circuits the master.
    times_us : array_like of float, (n_times,)
        Within the run, in any order.
    """

    circuits: ArrayLike
    times_us: ArrayLike


@dataclass(frozen=True)
class Recording:
    """What one run returned. Events are in order of tick, then of circuit.

    Attributes
    ----------
    ticks : (n,) int64
        Time of each spike in FPGA cycles of 8 ns, rounded down; where the event path has limits, when it left the chip.
    circuits : (n,) int64
        Circuit that spiked; the output of delay element k is circuit 257 + 2k. Events of background generators and
        of external lines that the crossbar sends to the host have their source number, 512 + generator and 520 + line.
    analogue_times_us : (n,) float64
        Exact time of each spike. A real chip doesn't tell; for tests and figures.
    lost_events : int
        Events that met a busy delay element.
    passed_events : (12,) int64
        Events that passed each crossbar output; 0..3 are the PADI buses of the top half, 4..7 of the bottom half, 8..11
        lead to the host.
    dropped_events : (12,) int64
        Events that met a full FIFO at each crossbar output.
    link_drops : int
        Spikes that were lost on the link to the host, behind the crossbar.
    membrane_lsb : (n_probe_circuits, n_times) float64 or None
        What the probe saw.
    """

    ticks: IntArray
    circuits: IntArray
    analogue_times_us: FloatArray
    lost_events: int
    passed_events: IntArray
    dropped_events: IntArray
    link_drops: int
    membrane_lsb: FloatArray | None


@dataclass(frozen=True)
class Account:
    """What all executions so far took and moved. Times of the host link are modelled."""

    runs: int = 0
    real_time_us: float = 0.0
    configuration_ns: int = 0  # configure and settle
    upload_ns: int = 0
    readback_ns: int = 0
    words_written: int = 0
    input_events: int = 0
    recorded_events: int = 0
    lost_events: int = 0
    dropped_events: int = 0  # at crossbar outputs and on the link to the host


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
    # The kernel is largest at s = log(rate_exc / rate_mem) / (rate_exc - rate_mem), where its slope
    # exp(-rate_exc s) - rate_mem K(s) is 0; log1p(x) / x in a form that holds at x = 0.
    x = rate_exc / rate_mem - 1.0
    near = np.abs(x) < 1e-6
    s = np.where(near, 1.0 - x / 2.0, np.log1p(x) / np.where(near, 1.0, x)) / rate_mem
    neurons = kernels.records(masters.size, kernels.NEURON)
    neurons["circuit"] = masters
    neurons["rate_mem"], neurons["rate_exc"], neurons["rate_inh"] = rate_mem, rate_exc, rate_inh
    neurons["reset"] = pattern.reset_lsb[masters] - leak
    neurons["mean_threshold"] = pattern.threshold_lsb[masters] - leak
    neurons["peak_exc"] = np.exp(-rate_exc * s) / rate_mem * (1.0 + 1e-9)  # never too low by a rounding error
    neurons["held_exc"] = np.exp(-rate_exc * config.refractory_us)
    neurons["held_inh"] = np.exp(-rate_inh * config.refractory_us)
    neurons["refractory"] = config.refractory_us
    return neurons


def leak_potentials(pattern: FixedPattern, members: Sequence[IntArray]) -> FloatArray:
    """Leak potential in LSB of each group of merged circuits: the mean weighted with the leak conductances."""
    leak, rate = pattern.leak_lsb, 1.0 / pattern.tau_mem_us
    return np.array(
        [leak[group[0]] if len(group) == 1 else np.average(leak[group], weights=rate[group]) for group in members]
    )


def build_network(
    config: ChipConfig,
    pattern: FixedPattern,
    routes: Routes,
    members: Sequence[IntArray],
    delay_register: IntArray,
    plasticity: Plasticity | None = None,
    lockstep: bool | None = None,
) -> kernels.Network:
    """The chip with its digital memory, in the units of the engine.

    Parameters
    ----------
    config : ChipConfig
    pattern : FixedPattern
    routes : Routes
        Where the events of every source go.
    members : sequence of (n,) int64
        Circuits of each neuron that is switched on, the master first.
    delay_register : (n,) int64
        Of each delay element, 0 where there is none.
    plasticity : Plasticity or None
        Short-term plasticity of the synapse drivers, if it is on.
    lockstep : bool or None
        How the engine keeps the neurons; None for what is quicker.

    Returns
    -------
    kernels.Network
    """
    neuron_of = np.full(N_CIRCUITS, -1)
    for neuron, group in enumerate(members):
        neuron_of[group] = neuron
    merged = np.array([len(group) for group in members], dtype=np.float64)

    source_of = np.repeat(np.arange(routes.begin.size - 1), np.diff(routes.begin))
    route_of = np.repeat(np.arange(routes.output.size), np.diff(routes.synapse_begin))
    element = np.where((routes.half == 1) & (routes.column % 2 == 0), routes.column // 2, -1)
    trigger_route, triggers = _triggers(routes, source_of, route_of, element)

    circuit = routes.half * N_COLUMNS + routes.column
    used = np.flatnonzero(neuron_of[circuit] >= 0)
    half, row, column, sign = (values[used] for values in (routes.half, routes.row, routes.column, routes.sign))
    route, circuit = route_of[used], circuit[used]
    group = (route * N_ROWS + row) * 2 + (sign < 0)
    if np.any(np.diff(group) < 0):  # rows of both modes
        order = np.argsort(group, kind="stable")
        used, half, row, column, sign = used[order], half[order], row[order], column[order], sign[order]
        route, circuit, group = route[order], circuit[order], group[order]
    gain = np.where(sign > 0, pattern.gain_exc[circuit], pattern.gain_inh[circuit])
    gain *= config.synaptic_gain * pattern.driver_gain[half, row] * pattern.synapse_gain[half, row, column]
    neuron = neuron_of[circuit]
    synapses = kernels.records(used.size, kernels.SYNAPSE)
    synapses["neuron"] = neuron
    synapses["jump"] = sign * gain * routes.weight[used] / merged[neuron]

    first = np.flatnonzero(np.diff(group, prepend=-1))  # synapse of each row
    rows = kernels.records(first.size + 1, kernels.ROW)
    rows["driver"][:-1] = half[first] * (N_ROWS // 2) + row[first] // 2
    rows["sign"][:-1] = sign[first]
    rows["synapse"] = [*first, used.size]

    onto_host = routes.output >= FIRST_L2_OUTPUT
    sources = kernels.records(routes.begin.size, kernels.SOURCE)
    sources["host_output"] = -1
    sources["host_output"][source_of[onto_host]] = routes.output[onto_host]
    kept = np.flatnonzero(~onto_host)
    sources["route"] = np.searchsorted(source_of[kept], np.arange(sources.size))
    ways = kernels.records(kept.size + 1, kernels.ROUTE)
    ways["output"][:-1] = routes.output[kept]
    ends = np.append(kept, routes.output.size)
    ways["row"] = np.searchsorted(route[first], ends)
    ways["trigger"] = np.searchsorted(trigger_route, ends)

    if lockstep is None:
        reached = max(LOCKSTEP_DENSITY * first.size * len(members), 1)
        lockstep = len(members) >= LOCKSTEP_NEURONS and used.size >= reached
    dense = np.zeros((first.size, len(members)) if lockstep else (0, 0))
    if lockstep:
        of_row = np.repeat(np.arange(first.size), np.diff(rows["synapse"]))
        np.add.at(dense, (of_row, neuron), np.abs(synapses["jump"]))
    neurons = build_neurons(config, pattern, members)
    elements = np.flatnonzero(delay_register)
    delays = register_to_us(delay_register[elements]) * pattern.delay_gain[elements]
    return kernels.Network(
        neurons=neurons,
        sources=sources,
        routes=ways,
        rows=rows,
        synapses=synapses,
        dense=dense,
        triggers=np.searchsorted(elements, triggers),
        delays=delays + pattern.delay_offset_us[elements],
        delay_outputs=FIRST_DELAY_OUTPUT + 2 * elements,
        outputs=build_outputs(config.event_path),
        drivers=build_drivers(config, plasticity),
        latency=float(config.event_latency_us),
        threshold_noise=float(config.noise.threshold_noise_std_lsb),
        delay_jitter=float(config.noise.delay_jitter_us),
        limited=limits(config) is not None,
        plastic=plasticity is not None,
        lockstep=lockstep,
        uniform=lockstep and all(np.all(neurons[name] == neurons[name][0]) for name in _RATES),
    )


def _triggers(routes: Routes, source_of: IntArray, route_of: IntArray, element: IntArray) -> tuple[IntArray, IntArray]:
    """Route and number of each delay element that is triggered, by route.

    Modelled: of the routes that lead a source to the element, the one of the lowest crossbar output triggers it.
    """
    wanted = np.repeat(np.arange(routes.delay_begin.size - 1), np.diff(routes.delay_begin)) * N_DELAY_ELEMENTS
    wanted += routes.delay_element
    at = np.flatnonzero(element >= 0)
    key, first = np.unique(source_of[route_of[at]] * N_DELAY_ELEMENTS + element[at], return_index=True)
    route = route_of[at][first[np.searchsorted(key, wanted)]]
    order = np.argsort(route, kind="stable")
    return route[order], routes.delay_element[order]


def merged_circuits(fabric: Fabric) -> list[IntArray]:
    """Circuits of each neuron that is switched on, the master first; neurons in the order of their masters."""
    circuits = np.flatnonzero(fabric.neuron_enabled)
    masters = fabric.master[circuits]
    if np.array_equal(masters, circuits):
        return list(circuits[:, None])
    order = np.lexsort((circuits, circuits != masters, masters))
    begin = np.flatnonzero(np.diff(masters[order], prepend=-1))
    return np.split(circuits[order], begin[1:])


def limits(config: ChipConfig) -> EventPathConfig | None:
    """The limits of the event path, None if there are none."""
    return config.event_path if config.event_path is not None and config.event_path.slot_ns > 0 else None


def build_outputs(path: EventPathConfig | None) -> NDArray[np.void]:
    """Idle crossbar outputs, as OUTPUT records."""
    outputs = kernels.records(N_OUTPUTS, kernels.OUTPUT)
    if path is not None:
        onto_host = np.arange(N_OUTPUTS) >= FIRST_L2_OUTPUT
        outputs["slot_ns"] = np.where(onto_host, path.l2_slot_ns, path.slot_ns)
        outputs["depth"] = np.where(onto_host, path.l2_fifo_depth, path.fifo_depth)
    return outputs


def build_drivers(config: ChipConfig, plasticity: Plasticity | None) -> NDArray[np.void]:
    """Rested synapse drivers, as DRIVER records, those of the top half first."""
    drivers = kernels.records(2 * N_DRIVERS, kernels.DRIVER)
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


def merge_inputs(first: NDArray[np.void], second: NDArray[np.void]) -> NDArray[np.void]:
    """Two arrays of INPUT records, ascending in time, as one; at equal times those of the first come first."""
    if not first.size or not second.size:
        return first if first.size else second
    return np.insert(first, np.searchsorted(first["time"], second["time"], side="right"), second)


def build_inputs(times_us: FloatArray, sources: IntArray) -> NDArray[np.void]:
    """Input events as INPUT records, ascending in time; events of equal time stay in order."""
    order = np.argsort(times_us, kind="stable")
    inputs = kernels.records(order.size, kernels.INPUT)
    inputs["time"], inputs["source"] = times_us[order], sources[order]
    return inputs


class Chip:
    """An emulated BrainScaleS-2 chip with its host link.

    Parameters
    ----------
    config : ChipConfig
    serial : int
        Serial number: decides the fixed pattern, and nothing else does.
    seed : int
        Seed of the trial-to-trial noise.
    codes : capmem.Codes or None
        Codes of the capacitive memory, e.g. those of a `calibration.Calibration`; then the configuration's noise is
        that of the uncalibrated circuits. None: the circuits are as the configuration says.
    """

    def __init__(self, config: ChipConfig, serial: int, seed: int, codes: Codes | None = None) -> None:
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        self.config = config
        self.seed = seed
        self.fixed_pattern: FixedPattern = (
            draw_fixed_pattern(config, serial) if codes is None else capmem.pattern(config, serial, codes)
        )
        self.account = Account()
        self.timeline: tuple[Phase, ...] = ()
        self.network: kernels.Network | None = None
        self.fabric: Fabric | None = None
        self.n_lines = 0
        self._pending_words = 0
        self._analogue_written = False

    def write(self, fabric: Fabric, plasticity: Plasticity | None = None) -> None:
        """Put a network into the digital memory; it is sent with the next run.

        Parameters
        ----------
        fabric : Fabric
            E.g. ``place(...).fabric``.
        plasticity : Plasticity or None
            Short-term plasticity of the synapse drivers; None leaves it off.
        """
        if not isinstance(fabric, Fabric):
            raise ChipError(f"Chip.write got {type(fabric).__name__}, not a Fabric; pass placement.fabric")
        self.fabric, self.members, self.n_lines = fabric, merged_circuits(fabric), fabric.external_label.size
        self.plasticity = plasticity
        self.network = build_network(
            self.config, self.fixed_pattern, find_routes(fabric), self.members, fabric.delay_register, plasticity
        )
        # Modelled: a row's synapses, then one word each for the row's and the delay element's settings.
        row_words = -(-N_COLUMNS * SYNAPSE_BITS // self.config.link.word_bits) + 1
        rows, elements = np.count_nonzero(fabric.row_mode), np.count_nonzero(fabric.delay_register)
        self._pending_words = int(row_words * rows + elements)

    def run(
        self,
        times_us: ArrayLike,
        lines: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
    ) -> Recording:
        """Play input events to the network that was written, in one real-time section from rest.

        Parameters
        ----------
        times_us : (n,) array_like of float
            Times of the input events, 0..duration_us, in any order. The FPGA plays each in the 8 ns cycle that it
            lies in, unless the configuration says ``exact_input_times``.
        lines : (n,) array_like of int
            External line of each event, e.g. ``placement.lines["input"][k]``. At equal times the host sends the
            events in this order.
        duration_us : float
            Length of the run.
        trial : int
            Number of the trial: the same trial has the same noise, to the bit.
        probe : Probe or None
            Membranes to sample; sampling doesn't change the run.

        Returns
        -------
        Recording

        Raises
        ------
        ChipError
            No network was written, or an argument is out of range.
        """
        session = self.begin(times_us, lines, duration_us, trial, probe)
        program = session.program

        def play() -> int:
            session.advance(np.inf)
            return session.n_received

        words, settle = program.configuration_words, program.settle
        return session.finish(execute(program.link, words, settle, program.input_events, duration_us, play))

    def begin(
        self,
        times_us: ArrayLike,
        lines: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
    ) -> Session:
        """A run that is played window by window; parameters and errors as of `run`."""
        if self.network is None:
            raise ChipError("Chip.run was called before a network was written; call Chip.write(placement.fabric) first")
        check_number("chip.duration_us", duration_us, 1e-3, 1e9, "us", "give the length of the run")
        check_number("chip.trial", trial, 0, 2**63 - 1, "", "give the number of the trial", whole=True)
        times, sources = self._inputs(times_us, lines, float(duration_us))
        settle = not self._analogue_written
        words = self._pending_words + (ANALOGUE_CELLS if settle else 0)
        program = Program(self.config.link, words, settle, times.size)
        return Session(self, self.network, program, build_inputs(times, sources), float(duration_us), trial, probe)

    def _inputs(self, times_us: ArrayLike, lines: ArrayLike, duration_us: float) -> tuple[FloatArray, IntArray]:
        """Times and sources of the host's events."""
        times = np.asarray(times_us, dtype=np.float64)
        sent = np.asarray(lines)
        if times.ndim != 1 or sent.shape != times.shape:
            raise ChipError(
                f"chip.times_us has shape {times.shape} and chip.lines {sent.shape}; give two vectors of one length"
            )
        if times.size and sent.dtype.kind not in "iu":
            raise ChipError(f"chip.lines are of type {sent.dtype}; give integers")
        bad = np.flatnonzero(~((times >= 0.0) & (times <= duration_us)))
        if bad.size:
            raise ChipError(
                f"chip.times_us[{bad[0]}] = {times[bad[0]]} us is outside 0..{duration_us:g} us; "
                "lengthen the run or leave the event out"
            )
        bad = np.flatnonzero((sent < 0) | (sent >= self.n_lines))
        if bad.size:
            raise ChipError(
                f"chip.lines[{bad[0]}] = {sent[bad[0]]} is no external line 0..{self.n_lines - 1}; "
                "place the network with more inputs"
            )
        if not self.config.exact_input_times:
            times = to_cycles(times) / CYCLES_PER_US
        return times, EXTERNAL + sent.astype(np.int64)

    def _book(self, program: Program, timeline: tuple[Phase, ...], duration_us: float, recording: Recording) -> None:
        spent = {phase.name: phase.end_ns - phase.start_ns for phase in timeline}
        before = self.account
        uploaded = program.input_events * program.link.words_per_event
        self.timeline = timeline
        self._pending_words, self._analogue_written = 0, True
        self.account = Account(
            runs=before.runs + 1,
            real_time_us=before.real_time_us + duration_us,
            configuration_ns=before.configuration_ns + spent.get("configure", 0) + spent.get("settle", 0),
            upload_ns=before.upload_ns + spent["upload"],
            readback_ns=before.readback_ns + spent["read-back"],
            words_written=before.words_written + program.configuration_words + uploaded,
            input_events=before.input_events + program.input_events,
            recorded_events=before.recorded_events + recording.ticks.size,
            lost_events=before.lost_events + recording.lost_events,
            dropped_events=before.dropped_events + int(recording.dropped_events.sum()) + recording.link_drops,
        )


class Session:
    """One run of a chip, window by window: what `Chip.run` does in one go. The windows don't change a bit of it.

    Parameters
    ----------
    chip : Chip
    network : kernels.Network
        What is written on the chip.
    program : Program
        What the host sends before the run.
    inputs : INPUT records
        The host's events, in order of time.
    duration_us : float
    trial : int
    probe : Probe or None
    """

    def __init__(
        self,
        chip: Chip,
        network: kernels.Network,
        program: Program,
        inputs: NDArray[np.void],
        duration_us: float,
        trial: int,
        probe: Probe | None,
    ) -> None:
        self.program = program
        self._chip = chip
        self._network = network
        self._duration_us = duration_us
        self._end_us = float(np.nextafter(duration_us, np.inf))  # an event at the very end still counts
        self._leak = leak_potentials(chip.fixed_pattern, chip.members)
        self._sampling, self._probe_order = self._probed(probe)
        path = limits(chip.config)
        self._to_chip = None if path is None else PackLink(path.fpga_to_chip, _UNBOUNDED)
        self._to_host = None if path is None else PackLink(path.chip_to_fpga, path.l2_fifo_depth)
        self._sent = inputs  # by the FPGA, in future
        self._inputs = self._background()
        self._seen = 0  # spikes that were looked at
        self._leaving = np.arange(0)  # spikes that wait at the crossbar's outputs to the host
        self._received: list[IntArray] = []
        self._n_left = 0
        self._rng = stream(chip.seed, "trial", trial)
        self._state = kernels.new_state(network, _FIRST_CAPACITY)
        kernels.start(network, self._state, self._rng)

    @property
    def n_received(self) -> int:
        """Events that came out of the chip so far."""
        return sum(indices.size for indices in self._received)

    @property
    def spikes(self) -> NDArray[np.void]:
        """All spikes so far as SPIKE records, in order of time, also those that never leave the chip."""
        return self._state.spikes[: self._state.progress[0]["recorded"]]

    def receive(self, times_us: FloatArray, lines: IntArray) -> None:
        """Further events for external lines, e.g. from other chips, at exact times from the end of the last window on.

        Parameters
        ----------
        times_us : (n,) float64
            Ascending. What comes at the same time as events of the host comes after them.
        lines : (n,) int64
        """
        self._sent = merge_inputs(self._sent, build_inputs(times_us, EXTERNAL + lines))

    def advance(self, until_us: float) -> tuple[FloatArray, IntArray]:
        """Let the chip run.

        Parameters
        ----------
        until_us : float
            All events before this time are handled; from the end of the run on, all that there will be.

        Returns
        -------
        times_us : (n,) float64
            Exact times at which events left the chip before `until_us` that hadn't before the last call; in order.
        sources : (n,) int64
            Circuits; 512 + generator and 520 + line where such events go to the host.
        """
        until = min(until_us, self._end_us)
        self._play(until)
        network, inputs = self._network, self._inputs
        while kernels.advance(until, network, inputs, self._sampling, self._state, self._rng) != kernels.DONE:
            self._state = kernels.enlarged(self._state)
        return self._collect(np.inf if until == self._end_us else until)

    def rewrite(self, weight: ArrayLike) -> None:
        """Write other synaptic weights, (2, 256, 256) of 0..63, which hold from now on and after the run.

        Raises
        ------
        ChipError
            The chip holds no `Fabric`, or the weights are out of range.
        """
        chip = self._chip
        if chip.fabric is None:
            raise ChipError("Session.rewrite was called before a network was written; call Chip.write first")
        chip.fabric = replace(chip.fabric, weight=np.asarray(weight))
        network = build_network(
            chip.config,
            chip.fixed_pattern,
            find_routes(chip.fabric),
            chip.members,
            chip.fabric.delay_register,
            chip.plasticity,
            self._network.lockstep,
        )
        chip.network = self._network = network

    def finish(self, timeline: tuple[Phase, ...]) -> Recording:
        """What the run returned; book it on the chip's account, with these phases."""
        state, spikes = self._state, self.spikes
        received = np.concatenate([np.arange(0), *self._received])
        ticks = to_cycles(spikes["stamp"][received])
        order = np.argsort(ticks * self._network.sources.size + spikes["source"][received], kind="stable")
        received = received[order]
        membrane = None
        if self._probe_order is not None:
            sampled = self._sampling.membrane
            membrane = np.empty_like(sampled)
            membrane[:, self._probe_order] = sampled + self._leak[self._sampling.neurons][:, None]
        recording = Recording(
            ticks=ticks[order],
            circuits=spikes["source"][received],
            analogue_times_us=spikes["time"][received],
            lost_events=int(state.progress[0]["lost"]),
            passed_events=state.outputs["passed"].copy(),
            dropped_events=state.outputs["dropped"].copy(),
            link_drops=self._n_left - received.size,
            membrane_lsb=membrane,
        )
        self._chip._book(self.program, timeline, self._duration_us, recording)
        return recording

    def _background(self) -> NDArray[np.void]:
        """Events of the background generators."""
        fabric = self._chip.fabric
        if fabric is None or not fabric.background_enabled.any():
            return kernels.records(0, kernels.INPUT)
        cycles, sources = background_events(fabric, random_begin(fabric), self._duration_us)
        return build_inputs(cycles / CYCLES_PER_US, sources)

    def _play(self, until: float) -> None:
        """The FPGA sends its events before `until`. At equal times those of background generators come first."""
        n = int(np.searchsorted(self._sent["time"], until))
        if n == 0:
            return
        events, self._sent = self._sent[:n], self._sent[n:]
        if self._to_chip is not None:
            events = events.copy()
            cycles = to_cycles(events["time"])
            played = self._to_chip.send(cycles)
            events["time"] = np.where(played > cycles, played / CYCLES_PER_US, events["time"])
        progress = self._state.progress[0]
        self._inputs = merge_inputs(self._inputs[progress["played"] :], events)
        progress["played"] = 0

    def _collect(self, until: float) -> tuple[FloatArray, IntArray]:
        """Spikes that left the chip before `until` and get over the link to the FPGA. What leaves at one time gets
        there in the order of the crossbar's outputs."""
        spikes = self.spikes
        new = self._seen + np.flatnonzero(spikes["stamp"][self._seen :] < np.inf)
        self._seen = spikes.size
        waiting = np.concatenate([self._leaving, new]) if self._leaving.size else new
        leave = spikes["stamp"][waiting] < until
        left, self._leaving = (waiting, waiting[:0]) if leave.all() else (waiting[leave], waiting[~leave])
        self._n_left += left.size
        stamps, sources = spikes["stamp"][left], spikes["source"][left]
        if self._to_host is not None:
            order = np.lexsort((self._network.sources["host_output"][sources], stamps))
            cycles = to_cycles(stamps[order])
            sent = self._to_host.send(cycles)
            order, cycles, sent = (values[sent >= 0] for values in (order, cycles, sent))
            left, sources = left[order], sources[order]
            stamps = np.where(sent > cycles, sent / CYCLES_PER_US, stamps[order])
        self._received.append(left)
        return stamps, sources

    def _probed(self, probe: Probe | None) -> tuple[kernels.Sampling, IntArray | None]:
        if probe is None:
            return kernels.Sampling(np.arange(0), np.zeros(0), np.empty((0, 0))), None
        circuits, times = np.asarray(probe.circuits), np.asarray(probe.times_us, dtype=np.float64)
        masters = np.array([group[0] for group in self._chip.members], dtype=np.int64)
        for circuit in circuits.tolist():
            if circuit not in masters:
                raise ChipError(
                    f"probe.circuits holds {circuit}, which is no neuron that is switched on; "
                    "take circuits from placement.neurons"
                )
        if times.ndim != 1 or not np.all((times >= 0.0) & (times <= self._duration_us)):
            raise ChipError(
                f"probe.times_us must be a vector of times within 0..{self._duration_us:g} us; drop the others"
            )
        order = np.argsort(times, kind="stable")
        neurons = np.searchsorted(masters, circuits.astype(np.int64))
        return kernels.Sampling(neurons, times[order], np.empty((circuits.size, times.size))), order


class PackLink:
    """A link between chip and FPGA: `kernels.pack`, but it goes on from call to call."""

    def __init__(self, per_cycle: int, depth: int) -> None:
        self._per_cycle = per_cycle
        self._depth = depth
        self._free = 0  # first free place; cycle c has the places c * per_cycle ... (c + 1) * per_cycle - 1

    def send(self, cycles: IntArray) -> IntArray:
        """Cycle in which each event goes, -1 if lost; cycles (n,) ascend, from call to call as well."""
        # Counted from the cycle of the first free place on, in which some places are taken already.
        first, taken = divmod(self._free, self._per_cycle)
        wanted = np.concatenate([np.zeros(taken, dtype=np.int64), cycles - first])
        if not wanted.size:
            return cycles
        sent = np.empty_like(wanted)
        kernels.pack(wanted, self._per_cycle, self._depth, sent)
        last = sent.max()
        self._free = int((first + last) * self._per_cycle + np.sum(sent == last))
        return np.where(sent < 0, sent, first + sent)[taken:]
