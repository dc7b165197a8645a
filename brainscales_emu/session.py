"""One run of a chip, window by window: what is played to it, what the engine does, what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .assembly import leak_potentials, limits
from .constants import BACKGROUND, CYCLES_PER_US, EXTERNAL, N_COLUMNS
from .engine import lif
from .engine.records import DONE, INPUT, Sampling, records
from .errors import ChipError, check_number
from .execution import Phase, to_cycles
from .instant import latest, settled
from .links import UNBOUNDED, PackLink
from .mismatch import trial_key
from .readout.correlation import CorrelationSensors
from .recording import Probe, Recording

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FIRST_CAPACITY = 32768  # spikes in the record; doubled when a run has more


def merge_inputs(first: NDArray[np.void], second: NDArray[np.void]) -> NDArray[np.void]:
    """Two arrays of INPUT records, ascending in time, as one; at equal times those of the first come first."""
    if not first.size or not second.size:
        return first if first.size else second
    return np.insert(first, np.searchsorted(first["time"], second["time"], side="right"), second)


def build_inputs(times_us: FloatArray, sources: IntArray) -> NDArray[np.void]:
    """Input events as INPUT records, ascending in time; events of equal time stay in order."""
    order = np.argsort(times_us, kind="stable")
    inputs = records(order.size, INPUT)
    inputs["time"], inputs["source"] = times_us[order], sources[order]
    return inputs


def line_sources(lines: ArrayLike, n_events: int, n_lines: int) -> IntArray:
    """Sources of so many events on the chip's external lines."""
    remedy = "give an external line per event; place the network with more inputs to have more lines"
    return EXTERNAL + integers("chip.lines", lines, (n_events,), 0, n_lines - 1, remedy=remedy)


def check_run(duration_us: float, trial: int) -> None:
    check_number("chip.duration_us", duration_us, 1e-3, 1e9, "us", "give the length of the run")
    check_number("chip.trial", trial, 0, 2**63 - 1, "", "give the number of the trial", whole=True)


class Session:
    """One run of a chip, event by event and window by window. The windows don't change a bit of it.

    Parameters
    ----------
    chip : Chip
        A network was written to it. (It isn't imported here, because it imports this file.)
    times_us, lines, duration_us, trial, probe, sensors
        As of `Chip.run`.

    Attributes
    ----------
    program : Program
        What the host sends before the run.
    """

    def __init__(
        self,
        chip: Any,
        times_us: ArrayLike,
        lines: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
        sensors: Sequence[CorrelationSensors] = (),
    ) -> None:
        if chip.network is None:
            raise ChipError("Chip.run was called before a network was written; call Chip.write(placement.fabric) first")
        if sensors and limits(chip.config) is not None:
            raise ChipError(
                "Chip.run got sensors, which aren't modelled with limits of chip.event_path; leave one of the two out"
            )
        check_run(duration_us, trial)
        self._duration_us = float(duration_us)
        times, sources = chip._inputs(times_us, lines, self._duration_us)
        self.program = chip._program(times.size)
        self._chip = chip
        self._network = chip.network
        self._n_lines = chip.n_lines
        self._until_us = 0.0  # end of the last window
        # The instant at the very end still counts.
        self._end_us = float(np.nextafter(latest(self._duration_us), np.inf))
        self._leak = leak_potentials(chip.fixed_pattern, chip.members)
        self._sampling, self._probe_order = self._probed(probe)
        path = limits(chip.config)
        self._to_chip = None if path is None else PackLink(path.fpga_to_chip, UNBOUNDED)
        self._to_host = None if path is None else PackLink(path.chip_to_fpga, path.l2_fifo_depth)
        self._sent = build_inputs(times, sources)  # by the FPGA, in future
        self._inputs = chip._background(self._duration_us)
        self._sensors = tuple(sensors)
        self._played = [self._inputs]  # all that comes to the chip, for the sensors
        self._seen = 0  # spikes that were looked at
        self._leaving = np.arange(0)  # spikes that wait at the crossbar's outputs to the host
        self._received: list[IntArray] = []
        self._n_left = 0
        self._key = trial_key(chip.seed, trial)
        self._state = chip.engine.new_state(self._network, _FIRST_CAPACITY)
        chip.engine.start(self._network, self._state, self._key)

    @property
    def n_received(self) -> int:
        """Events that came out of the chip so far."""
        return sum(indices.size for indices in self._received)

    @property
    def spikes(self) -> NDArray[np.void]:
        """All spikes so far as SPIKE records, in order of time, also those that never leave the chip."""
        return self._state.spikes[: self._state.progress[0]["recorded"]]

    def receive(self, times_us: ArrayLike, lines: ArrayLike) -> None:
        """Further events for external lines, e.g. from other chips, at exact times from the end of the last window on.

        Parameters
        ----------
        times_us : (n,) array_like of float
            In any order. What comes at the same time as events of the host comes after them.
        lines : (n,) array_like of int

        Raises
        ------
        ChipError
            A time isn't finite or before the end of the last window, or there is no such line.
        """
        remedy = "events can't come before the end of the last window"
        times = floats("session.times_us", times_us, (None,), self._until_us, unit="us", remedy=remedy)
        sources = line_sources(lines, times.size, self._n_lines)
        self._sent = merge_inputs(self._sent, build_inputs(times, sources))

    def advance(self, until_us: float) -> tuple[FloatArray, IntArray]:
        """Let the chip run.

        Parameters
        ----------
        until_us : float
            All instants that are over before this time (see `instant`) are handled; from the end of the run on, all
            that there will be. Not before the end of the last window.

        Returns
        -------
        times_us : (n,) float64
            Exact times at which events left the chip before ``instant.settled(until_us)`` that hadn't before the last
            call; in order.
        sources : (n,) int64
            Circuits; 512 + generator and 520 + line where such events go to the host.

        Raises
        ------
        ChipError
            `until_us` isn't a time, or time would run backwards.
        """
        check_number("session.until_us", until_us, self._until_us, np.inf, "us", "time doesn't run backwards")
        until = self._until_us = float(min(until_us, self._end_us))
        self._play(until)
        network, inputs = self._network, self._inputs
        engine = self._chip.engine
        while engine.advance(until, network, inputs, self._sampling, self._state, self._key) != DONE:
            self._state = engine.enlarged(self._state)
        return self._collect(np.inf if until == self._end_us else settled(until))

    def rewrite(self, weight: ArrayLike) -> None:
        """Write other synaptic weights, (2, 256, 256) of 0..63, which hold from now on and after the run.

        Raises
        ------
        ChipError
            The weights are out of range, the synapses have delays, or the chip was written since the run began.
        """
        chip = self._chip
        if chip.network is not self._network:
            raise ChipError("Session.rewrite: another network was written since the run began; begin a new run")
        if chip.synapse_delay_us is not None:
            raise ChipError("Session.rewrite can't change weights while events wait in synapses; drop synapse_delay_us")
        assert chip.fabric is not None  # a session has something to run
        chip._fabric, chip._memory = chip.fabric.with_weights(weight), None
        chip.network = self._network = chip.assemble(isinstance(self._network, lif.Network) and self._network.lockstep)

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
        if self._sensors:
            self._observe()
        self._chip._book(self.program, timeline, self._duration_us, recording)
        return recording

    def _observe(self) -> None:
        """The correlation sensors see what came to their synapses in time, and the spikes of their neurons."""
        chip, spikes = self._chip, self.spikes[self.spikes["source"] < BACKGROUND]
        played = np.concatenate(self._played)
        times = np.concatenate([played["time"], spikes["time"] + self._network.latency])
        sources = np.concatenate([played["source"], spikes["source"]])
        times, half, row, column = chip._synapse_events(times, sources)
        in_time = times < self._end_us
        members = {int(group[0]): group for group in chip.members}  # of a delay element, its output alone
        circuits = [members.get(source, np.array([source])) for source in spikes["source"].tolist()]
        spike_times = np.repeat(spikes["time"], [group.size for group in circuits])
        spike_half, spike_column = np.divmod(np.concatenate([np.arange(0), *circuits]), N_COLUMNS)
        for sensors in self._sensors:
            here, mine = in_time & (half == sensors.half), spike_half == sensors.half
            sensors.observe(times[here], row[here], column[here], spike_times[mine], spike_column[mine])

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
        if self._sensors:
            self._played.append(events)
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

    def _probed(self, probe: Probe | None) -> tuple[Sampling, IntArray | None]:
        if probe is None:
            return Sampling(np.arange(0), np.zeros(0), np.empty((0, 0))), None
        circuits = integers("probe.circuits", probe.circuits, (None,), remedy="take circuits from placement.neurons")
        remedy = "drop the other times"
        times = floats("probe.times_us", probe.times_us, (None,), 0.0, self._duration_us, "us", remedy)
        masters = np.array([group[0] for group in self._chip.members], dtype=np.int64)
        for circuit in circuits.tolist():
            if circuit not in masters:
                raise ChipError(
                    f"probe.circuits holds {circuit}, which is no neuron that is switched on; "
                    "take circuits from placement.neurons"
                )
        order = np.argsort(times, kind="stable")
        neurons = np.searchsorted(masters, circuits)
        return Sampling(neurons, times[order], np.empty((circuits.size, times.size))), order
