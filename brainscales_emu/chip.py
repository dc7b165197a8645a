"""The one door into the emulated chip: configure it, write a network, run it, look at what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import capmem
from .adex import draw_adex_pattern
from .arrays import floats
from .assembly import build_adex_network, build_network, build_neurons, limits, merged_circuits
from .background import background_events
from .beyond import check_delays
from .capmem import Codes
from .config import PRESET_NAMES, ChipConfig, preset, preset_name
from .constants import (
    ANALOGUE_CELLS,
    CYCLES_PER_US,
    N_COLUMNS,
    SYNAPSE_BITS,
)
from .display import Shown
from .engine import adex as adex_engine
from .engine import lif
from .engine.records import INPUT, records
from .errors import ChipError, check_number
from .execution import Account, Phase, Program, phases, to_cycles
from .feedforward import FeedForward, LoopError
from .measured import MeasuredCircuits
from .mismatch import FixedPattern, draw_fixed_pattern, stream, trial_key
from .readout.correlation import CorrelationSensors
from .recording import Probe, Recording
from .routing.description import Rewriting
from .routing.fabric import Fabric, random_begin
from .routing.routes import Wiring, live_cells
from .session import Session, build_inputs, check_run, line_sources, merge_inputs
from .stp import Plasticity

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
EngineNetwork = lif.Network | adex_engine.Network

_NONE = np.zeros(0, dtype=np.int64)


class Chip(Shown):
    """An emulated BrainScaleS-2 chip with its host link.

    Parameters
    ----------
    config : str or ChipConfig
        Name of a preset, or a configuration.
    serial : int
        Serial number: decides the fixed pattern, and nothing else does.
    seed : int
        Seed of the trial-to-trial noise.
    codes : capmem.Codes or None
        Codes of the capacitive memory, e.g. those of a `calibration.Calibration`; then the configuration's noise is
        that of the uncalibrated circuits. None: the circuits are as the configuration says.
    measured : MeasuredCircuits or None
        Values that were measured on a real chip, for the circuits and quantities that it holds; whatever the codes
        are, these circuits then have these values. All else is as drawn for the serial number.
    """

    def __init__(
        self,
        config: str | ChipConfig,
        serial: int = 1,
        seed: int = 1,
        codes: Codes | None = None,
        measured: MeasuredCircuits | None = None,
    ) -> None:
        config = preset(config) if isinstance(config, str) else config
        if not isinstance(config, ChipConfig):
            raise ChipError(
                f"chip.config is a {type(config).__name__}; give a ChipConfig or the name of a preset: "
                f"{', '.join(PRESET_NAMES)}"
            )
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        if not isinstance(measured, MeasuredCircuits | None):
            raise ChipError(
                f"chip.measured is a {type(measured).__name__}; give MeasuredCircuits, e.g. by MeasuredCircuits.load"
            )
        self.config = config
        self.serial = serial
        self.seed = seed
        self.measured = measured
        self._become(draw_fixed_pattern(config, serial) if codes is None else capmem.pattern(config, serial, codes))
        self.account = Account()
        self.timeline: tuple[Phase, ...] = ()
        self._fabric: Fabric | None = None
        self._memory: IntArray | None = None  # weights that can be changed, made by the first `rewrite`
        self._is_rewritten = False  # since `_fabric` was made
        self._wiring: Wiring | None = None
        self._network: EngineNetwork | None = None  # assembled when it is needed
        self._levels: FeedForward | None = None
        self.n_lines = 0
        self._pending_words = 0
        self._analogue_written = False

    def _become(self, pattern: FixedPattern) -> None:
        self.fixed_pattern = pattern if self.measured is None else self.measured.apply(pattern)
        adex, draws = self.config.adex, partial(stream, self.serial)
        self._adex = None if adex is None else draw_adex_pattern(adex, self.fixed_pattern.leak_lsb, draws)

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        facts: dict[str, object] = {
            "config": preset_name(self.config) or "custom",
            "serial": self.serial,
            "seed": self.seed,
        }
        if self.measured is not None:
            facts["measured"] = ", ".join(self.measured.counts()) or "nothing"
        if self.fabric is not None:
            facts |= {"neurons": len(self.members), "external lines": self.n_lines}
        return facts | {"runs": self.account.runs}

    @property
    def engine(self) -> Any:
        """Module with the kernels that run it. Not an attribute: a module can't be pickled, a chip can."""
        return lif if self.config.adex is None else adex_engine

    def write_codes(self, codes: Codes, refractory_us: float | None = None) -> None:
        """Write the capacitive memory anew, and a refractory time if one is given; the network stays.

        Parameters
        ----------
        codes : capmem.Codes
        refractory_us : float or None
            None leaves it as it is.

        Raises
        ------
        ChipError
            The refractory time is out of the chip's range.
        """
        if refractory_us is not None:
            self.config = replace(self.config, refractory_us=refractory_us)
        self._become(capmem.pattern(self.config, self.serial, codes))
        self._analogue_written = False
        if self.fabric is not None:
            self._neurons = build_neurons(self.config, self.fixed_pattern, self.members)
            self._network, self._levels = None, None
            self._arrange(self.fabric.weight, self.fabric.delay_register)

    def write(
        self, fabric: Fabric, plasticity: Plasticity | None = None, synapse_delay_us: ArrayLike | None = None
    ) -> None:
        """Put a network into the digital memory; it is sent with the next run.

        Parameters
        ----------
        fabric : Fabric
            E.g. ``place(...).fabric``.
        plasticity : Plasticity or None
            Short-term plasticity of the synapse drivers; None leaves it off.
        synapse_delay_us : (2, 256, 256) array_like of float or None
            A delay in each synapse [half, row, column], which no real chip has, see `beyond`; None is none. It can't
            be combined with plasticity or chip.adex.

        Raises
        ------
        ChipError
            An argument is wrong, or two that can't be combined were given.
        """
        if not isinstance(fabric, Fabric):
            raise ChipError(f"Chip.write got {type(fabric).__name__}, not a Fabric; pass placement.fabric")
        if self._adex is not None and plasticity is not None:
            raise ChipError(
                "Chip.write got a Plasticity, which isn't modelled with chip.adex; leave one of the two out"
            )
        delays_us = None if synapse_delay_us is None else check_delays(synapse_delay_us)
        if delays_us is not None and (self._adex is not None or plasticity is not None):
            other = "chip.adex" if self._adex is not None else "a Plasticity"
            raise ChipError(
                f"Chip.write got synapse_delay_us, which isn't modelled with {other}; leave one of the two out"
            )
        self.n_lines = fabric.external_label.size
        self._fabric = self._placed = fabric
        self._memory, self._is_rewritten = None, False
        if self._wiring is None or not self._wiring.fits(fabric):
            self._wiring, self.members = Wiring(fabric, live_cells(fabric)), merged_circuits(fabric)
            self._neurons = build_neurons(self.config, self.fixed_pattern, self.members)
            self._levels = None
        self.plasticity, self.synapse_delay_us = plasticity, delays_us
        self._network = None
        self._arrange(fabric.weight, fabric.delay_register)
        # Modelled: a row's synapses, then one word each for the row's and the delay element's settings.
        row_words = -(-N_COLUMNS * SYNAPSE_BITS // self.config.link.word_bits) + 1
        rows, elements = np.count_nonzero(fabric.row_mode), np.count_nonzero(fabric.delay_register)
        self._network_words = self._pending_words = int(row_words * rows + elements)

    def rewrite(self, rewriting: Rewriting) -> None:
        """Write other weights and delays of the network that was written, in a fraction of the time of `write`. They
        are sent with the next run; modelled: the host sends the whole network all the same.

        Parameters
        ----------
        rewriting : Rewriting
            ``placement.rewriting(weights, delay_registers)`` of the placement that was written.

        Raises
        ------
        ChipError
            Another placement was written, or none.
        """
        if self._fabric is None or rewriting.fabric is not self._placed:
            raise ChipError(
                "Chip.rewrite got values of another placement than was written; call Chip.write(placement.fabric) first"
            )
        if self._memory is None:
            self._memory = self._fabric.weight.copy()
        self._memory.reshape(-1)[rewriting.cell] = rewriting.weight
        self._registers, self._is_rewritten = rewriting.delay_register, True
        self._network, self._pending_words = None, self._network_words
        self._arrange(self._memory, rewriting.delay_register, rewriting.cell)

    @property
    def fabric(self) -> Fabric | None:
        """The digital memory; None if nothing was written."""
        if self._is_rewritten:
            assert self._fabric is not None and self._memory is not None
            self._fabric = self._fabric.with_weights(self._memory, self._registers)
            self._is_rewritten = False
        return self._fabric

    @property
    def network(self) -> EngineNetwork | None:
        """What is written, in the units of the engine; None if nothing is. One that is set here is run as it is, until
        the next `write`."""
        if self._network is None and self.fabric is not None:
            self._network = self.assemble()
        return self._network

    @network.setter
    def network(self, network: EngineNetwork) -> None:
        self._network, self._levels = network, None

    def _arrange(self, weight: IntArray, delay_register: IntArray, rewritable: IntArray = _NONE) -> None:
        """Find the levels of a network without loops, for `run`."""
        wiring = self._wiring
        assert wiring is not None
        plain = self._adex is None and limits(self.config) is None
        if not plain or self.plasticity is not None or self.synapse_delay_us is not None:
            self._levels = None
            return
        if self._levels is None or not self._levels.fits(weight, rewritable):
            try:
                self._levels = FeedForward(
                    self.config, self.fixed_pattern, wiring, self.members, self._neurons, weight, rewritable
                )
            except LoopError:
                self._levels = None
                return
        self._levels.set_weights(weight, delay_register)

    def assemble(self, lockstep: bool | None = None) -> EngineNetwork:
        """What is written, in the units of the engine; `lockstep` as for `build_network`."""
        fabric, pattern = self.fabric, self.fixed_pattern
        if fabric is None or self._wiring is None:
            raise ChipError("nothing was written to the chip; call Chip.write(placement.fabric) first")
        if self._adex is not None:
            lockstep = False
        network = build_network(
            self.config,
            pattern,
            self._wiring.routes(fabric.weight),
            self.members,
            self._neurons,
            fabric.delay_register,
            self.plasticity,
            lockstep,
            self.synapse_delay_us,
        )
        if self._adex is None:
            return network
        return build_adex_network(self.config, pattern, self._adex, self.members, network)

    def run(
        self,
        times_us: ArrayLike,
        lines: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
        sensors: Sequence[CorrelationSensors] = (),
    ) -> Recording:
        """Play input events to the network that was written, in one real-time section from rest.

        A network without loops is run level by level (see `feedforward`), another one event by event, and so is one
        that is looked at or has limits of the event path: the same spikes but for rounding, in several times the time.

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
            Membranes to sample; sampling changes no more than last bits of the run.
        sensors : sequence of CorrelationSensors
            Correlation sensors of halves of this chip that observe the run; observing changes no more than last bits
            of it. It isn't modelled with limits of the event path.

        Returns
        -------
        Recording

        Raises
        ------
        ChipError
            No network was written, or an argument is out of range.
        """
        if self._levels is not None and probe is None and not sensors:
            return self._run_levels(self._levels, times_us, lines, duration_us, trial)
        session = self.begin(times_us, lines, duration_us, trial, probe, sensors)
        session.advance(np.inf)
        return session.finish(phases(session.program, duration_us, session.n_received))

    def _run_levels(
        self, levels: FeedForward, times_us: ArrayLike, lines: ArrayLike, duration_us: float, trial: int
    ) -> Recording:
        """`run` of a network without loops."""
        check_run(duration_us, trial)
        duration_us = float(duration_us)
        times, sources = self._inputs(times_us, lines, duration_us)
        program = self._program(times.size)
        order = np.argsort(times, kind="stable")
        times, sources = times[order], sources[order]
        background = self._background(duration_us)
        if background.size:
            inputs = merge_inputs(background, build_inputs(times, sources))
            times, sources = np.ascontiguousarray(inputs["time"]), np.ascontiguousarray(inputs["source"])
        spikes = levels.play(times, sources, duration_us, trial_key(self.seed, trial))
        ticks = to_cycles(spikes.times_us)
        order = np.argsort(ticks * levels.n_sources + spikes.sources, kind="stable")
        recording = Recording(
            ticks=ticks[order],
            circuits=spikes.sources[order],
            analogue_times_us=spikes.times_us[order],
            lost_events=spikes.lost,
            passed_events=spikes.passed,
            dropped_events=np.zeros_like(spikes.passed),
            link_drops=0,
            membrane_lsb=None,
        )
        self._book(program, phases(program, duration_us, order.size), duration_us, recording)
        return recording

    def begin(
        self,
        times_us: ArrayLike,
        lines: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
        sensors: Sequence[CorrelationSensors] = (),
    ) -> Session:
        """A run that is played window by window; parameters and errors as of `run`."""
        return Session(self, times_us, lines, duration_us, trial, probe, sensors)

    def _synapse_events(
        self, times_us: FloatArray, sources: IntArray
    ) -> tuple[FloatArray, IntArray, IntArray, IntArray]:
        """Events at synapses, whatever their weight, of events that come to the crossbar's outputs.

        Parameters
        ----------
        times_us : (n,) float64
        sources : (n,) int64
            Circuits, background generators and external lines, by their source number.

        Returns
        -------
        times_us : (m,) float64
            When they reach the synapses, if nothing waits.
        half, row, column : (m,) int64
            The synapses.
        """
        if self.fabric is None or self._wiring is None:
            raise ChipError("nothing was written to the chip; call Chip.write(placement.fabric) first")
        routes = self._wiring.routes(np.ones_like(self.fabric.weight))
        event, synapse = routes.synapses(sources)
        place = routes.half[synapse], routes.row[synapse], routes.column[synapse]
        times = times_us[event]
        return times if self.synapse_delay_us is None else times + self.synapse_delay_us[place], *place

    def _program(self, input_events: int) -> Program:
        """What the host sends before a run."""
        settle = not self._analogue_written
        words = self._pending_words + (ANALOGUE_CELLS if settle else 0)
        return Program(self.config.link, words, settle, input_events)

    def _background(self, duration_us: float) -> NDArray[np.void]:
        """Events of the background generators."""
        fabric = self._fabric  # weights don't matter
        if fabric is None or not fabric.background_enabled.any():
            return records(0, INPUT)
        cycles, sources = background_events(fabric, random_begin(fabric), duration_us)
        return build_inputs(cycles / CYCLES_PER_US, sources)

    def _inputs(self, times_us: ArrayLike, lines: ArrayLike, duration_us: float) -> tuple[FloatArray, IntArray]:
        """Times and sources of the host's events."""
        remedy = "lengthen the run or leave the event out"
        times = floats("chip.times_us", times_us, (None,), 0.0, duration_us, "us", remedy)
        sources = line_sources(lines, times.size, self.n_lines)
        if not self.config.exact_input_times:
            times = to_cycles(times) / CYCLES_PER_US
        return times, sources

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
