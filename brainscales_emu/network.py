"""Networks in the manner of PyNN: populations, projections, record, run.

A `Network` takes the place of PyNN's simulator module, and its names are PyNN's, with units:

    >>> from brainscales_emu import Chip, Network, SpikeSourceArray
    >>> net = Network(Chip("calibrated", serial=7))
    >>> stimulus = net.Population(3, SpikeSourceArray(times_us=[5.0, 6.0, 7.0]))
    >>> neurons = net.Population(8, label="neurons")
    >>> _ = net.Projection(stimulus, neurons, weight=63)
    >>> net.record(neurons, ["spikes", "v"])
    >>> result = net.run(until_us=100.0)
    >>> len(net.spikes(neurons))  # one array per neuron, in us
    8
    >>> times_us, readings = net.v(neurons)  # of the CADC, 0..255
    >>> readings.shape == (8, times_us.size)
    True

Times are us of chip time, about 1000 times as quick as biology; weights are LSB of the chip, negative for inhibitory.
Time constants, potentials and the refractory time are targets of the whole chip: set them in its `ChipConfig`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import integers
from .cells import Cell, Neuron, SpikeSourceArray, SpikeSourcePoisson, SpikeSourcePoissonOnChip
from .chip import Chip, EngineNetwork
from .config import preset_name
from .connectors import AllToAll, Connector, FixedProbability, OneToOne, connect, signed_weights, spread_delays
from .constants import CYCLES_PER_US, DELAY_STEP_US, N_CIRCUITS
from .delay import register_to_us, us_to_register
from .display import Shown
from .errors import ChipError, check_number, exact
from .mismatch import stream
from .readout.adc import CHANNELS, OFFSET_RANGE, Cadc, CadcConfig, Madc, MadcConfig
from .recording import Probe, Recording
from .routing.placement import Background, External, Placement, place
from .routing.placement import Population as PlacedPopulation
from .routing.placement import Projection as PlacedProjection

__all__ = [
    "AllToAll",
    "EventsLost",
    "FixedProbability",
    "Network",
    "Neuron",
    "OneToOne",
    "SpikeSourceArray",
    "SpikeSourcePoisson",
    "SpikeSourcePoissonOnChip",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Data = TypeVar("Data")


class EventsLost(UserWarning):
    """Events were lost in a run; `Network.result` has the numbers."""


@dataclass(frozen=True, eq=False)
class Population:
    """Made by `Network.Population`: neurons or sources of one kind."""

    label: str
    size: int
    cell: Cell


@dataclass(frozen=True, eq=False)
class Projection:
    """Made by `Network.Projection`: synapses from one population to another.

    Attributes
    ----------
    pre, post : Population
    weight : (n_pre, n_post) int64
        In LSB, negative for inhibitory, 0 where there is no synapse.
    delay_us : (n_pre, n_post) float64
        Beside the latency of the chip's event path.
    """

    pre: Population
    post: Population
    weight: IntArray
    delay_us: FloatArray


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """What a run lost, what it used that no real chip has, and everything that the chip returned.

    Attributes
    ----------
    until_us : float
    trial : int
        Number of the run, from 0.
    dropped_events : int
        Events that met a full FIFO at an output of the crossbar, see `config.EventPathConfig`.
    link_drops : int
        Spikes that were lost on the link to the host.
    busy_delays : int
        Events that met a busy delay element.
    beyond : tuple of str
        What no real chip can do and this run did.
    recording : Recording
    """

    until_us: float
    trial: int
    dropped_events: int
    link_drops: int
    busy_delays: int
    beyond: tuple[str, ...]
    recording: Recording

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        facts: dict[str, object] = {"until": f"{self.until_us:g} us", "trial": self.trial}
        return facts | self.recording.facts() | {"beyond": ", ".join(self.beyond) or "nothing"}


@dataclass(frozen=True)
class _Watch:
    """Membranes of some neurons of a population, through one converter."""

    device: Literal["cadc", "madc"]
    neurons: IntArray


# In the class below, the plain names are its methods.
_Population = Population
_Projection = Projection


class Network(Shown):
    """A network for one chip, and its runs.

    Parameters
    ----------
    chip : Chip
    delays : str
        ``hardware``: delays are those of the chip's delay elements, one per source. ``beyond``: each synapse has any
        delay, which no real chip can.
    excluded : iterable of int
        Circuits that aren't to be used, e.g. `calibration.Calibration.excluded`.
    cadc : Cadc or None
        Converter of all membranes; None is one whose channels' offsets were corrected by measurement.
    madc : Madc or None
        Fast converter of two membranes; None is one with the default configuration.
    """

    def __init__(
        self,
        chip: Chip,
        delays: Literal["hardware", "beyond"] = "hardware",
        excluded: Iterable[int] = (),
        cadc: Cadc | None = None,
        madc: Madc | None = None,
    ) -> None:
        if not isinstance(chip, Chip):
            raise ChipError(f"network.chip is a {type(chip).__name__}; give a Chip(config, serial, seed)")
        if delays not in ("hardware", "beyond"):
            raise ChipError(f"network.delays = {delays!r} is unknown; take hardware or beyond")
        self.chip = chip
        self.delays = delays
        self.cadc = cadc if cadc is not None else _corrected_cadc(chip)
        self.madc = madc if madc is not None else Madc(MadcConfig(), chip.seed)
        self.populations: list[_Population] = []
        self.projections: list[_Projection] = []
        self._excluded = tuple(excluded)
        self._records_spikes: set[_Population] = set()
        self._watches: dict[_Population, _Watch] = {}
        self._placement: Placement | None = None
        self._written: EngineNetwork | None = None
        self._result: Result | None = None
        self._runs = 0
        self._spikes: dict[_Population, list[FloatArray]] = {}
        self._readings: dict[_Population, tuple[FloatArray, IntArray]] = {}

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        return {
            "populations": {population.label: population.size for population in self.populations},
            "projections": len(self.projections),
            "delays": self.delays,
            "runs": self._runs,
            "chip": preset_name(self.chip.config) or "custom",
            "serial": self.chip.serial,
        }

    def Population(self, size: int, cell: Cell = Neuron(), label: str | None = None) -> _Population:  # noqa: B008 (frozen)
        """Add neurons or sources.

        Parameters
        ----------
        size : int
        cell : Neuron, SpikeSourceArray, SpikeSourcePoisson or SpikeSourcePoissonOnChip
        label : str or None
            Name in messages, unique in the network; None numbers the populations.

        Returns
        -------
        Population
        """
        label = f"population {len(self.populations)}" if label is None else label
        check_number(f"population {label!r}.size", size, 1, 2**16, "", "give the number of neurons", whole=True)
        if any(population.label == label for population in self.populations):
            raise ChipError(f"two populations are called {label!r}; give each a label of its own")
        population = Population(label, int(size), cell)
        if isinstance(cell, SpikeSourceArray):
            cell.trains(label, population.size)
        elif isinstance(cell, SpikeSourcePoisson):
            cell.rates(label, population.size)
        elif isinstance(cell, SpikeSourcePoissonOnChip):
            cell.generator(label, population.size)
        elif not isinstance(cell, Neuron):
            raise ChipError(
                f"population {label!r}.cell is a {type(cell).__name__}; give a Neuron or a spike source, and set time "
                "constants and potentials for the whole chip in its ChipConfig"
            )
        self.populations.append(population)
        self._changed()
        return population

    def Projection(
        self,
        pre: _Population,
        post: _Population,
        connector: Connector = AllToAll(),  # noqa: B008 (frozen)
        weight: ArrayLike = 63,
        receptor_type: Literal["excitatory", "inhibitory"] | None = None,
        delay_us: ArrayLike | None = None,
    ) -> _Projection:
        """Add synapses from one population to another.

        Parameters
        ----------
        pre, post : Population
            Of this network; `post` has neurons.
        connector : AllToAll, OneToOne or FixedProbability
        weight : int or (n_pre, n_post) array_like of int
            In LSB; 0 is no synapse. A weight beyond 63 is split over several synapses.
        receptor_type : str or None
            ``excitatory``: no weight is negative. ``inhibitory``: weights count as negative, with or without a sign.
            None: their sign decides.
        delay_us : float, (n_pre,) or (n_pre, n_post) array_like of float, or None
            Beside the latency of the chip's event path; None or 0 is none. With ``delays="hardware"`` each source has
            one delay for all its targets, 8.25..33.25 us in steps of 0.125 us, and takes a delay element for it.

        Returns
        -------
        Projection

        Raises
        ------
        ChipError
            An argument is wrong, or the chip has no such delay.
        """
        for population in (pre, post):
            if population not in self.populations:
                raise ChipError(f"projection: {population!r} is no population of this network; add it here first")
        if not isinstance(post.cell, Neuron):
            raise ChipError(f"projection: {post.label!r} has no neurons; let the projection end at some")
        name = f"projection {pre.label!r} to {post.label!r}"
        shape = pre.size, post.size
        weights = signed_weights(name, weight, receptor_type, shape)
        weights = np.where(connect(name, connector, shape, to_itself=pre is post), weights, 0)
        projection = Projection(pre, post, weights, spread_delays(name, delay_us, shape))
        if self.delays == "hardware":
            _registers(projection)
        self.projections.append(projection)
        self._changed()
        return projection

    def record(
        self,
        population: _Population,
        variables: str | Sequence[str],
        device: Literal["cadc", "madc"] = "cadc",
        neurons: ArrayLike | None = None,
    ) -> None:
        """Keep the spikes or the membranes of a population in the runs to come.

        Parameters
        ----------
        population : Population
            Neurons. What the host sent as a source is known without.
        variables : str or sequence of str
            ``spikes``, ``v`` or both.
        device : str
            Converter for ``v``: ``cadc`` reads all membranes, every 1.7 us by default; ``madc`` every 34 ns, but at
            most one circuit with an even number and one with an odd one in the whole network.
        neurons : array_like of int or None
            Neurons of the population whose ``v`` is read; None means all. Of several calls for a population's ``v``,
            the last one counts.
        """
        if population not in self.populations or not isinstance(population.cell, Neuron):
            raise ChipError("record: give a population of neurons of this network")
        wanted = {variables} if isinstance(variables, str) else set(variables)
        if not wanted <= {"spikes", "v"}:
            raise ChipError(f"record: {sorted(wanted - {'spikes', 'v'})} can't be recorded; take 'spikes' or 'v'")
        if device not in ("cadc", "madc"):
            raise ChipError(f"record: device = {device!r} is unknown; take cadc or madc")
        if "spikes" in wanted:
            self._records_spikes.add(population)
            self._changed()
        if "v" in wanted:
            chosen = np.arange(population.size) if neurons is None else neurons
            name, remedy = f"record: neurons of {population.label!r}", "number its neurons from 0"
            selected = integers(name, chosen, [(), (None,)], 0, population.size - 1, remedy=remedy)
            self._watches[population] = _Watch(device, np.atleast_1d(selected))

    @property
    def placement(self) -> Placement:
        """Where everything is on the chip.

        Raises
        ------
        PlacementError
            The network doesn't fit onto the chip; `rule` and the message tell why.
        """
        if self._placement is None:
            self._placement = self._place()
        return self._placement

    @property
    def result(self) -> Result:
        """Of the last run."""
        if self._result is None:
            raise ChipError("the network hasn't run yet; call run(until_us)")
        return self._result

    def run(self, until_us: float) -> Result:
        """Play the network on the chip, from rest at time 0.

        Every run starts anew, with trial noise and host-side Poisson spikes of its own; equal networks have equal
        runs.

        Parameters
        ----------
        until_us : float
            Length of the run.

        Returns
        -------
        Result
            Also kept as `result`. If events were lost, a warning of class `EventsLost` says so.
        """
        check_number("network.until_us", until_us, 1e-3, 1e9, "us", "give the length of the run")
        until_us = float(until_us)
        if self._written is None or self.chip.network is not self._written:
            self._write()
        trial = self._runs
        sent = {
            population: self._draw(number, population, until_us, trial)
            for number, population in enumerate(self.populations)
            if population.label in self.placement.lines
        }
        times, lines = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        for population, trains in sent.items():
            times += trains
            lines.append(np.repeat(self.placement.lines[population.label], [train.size for train in trains]))
        recording = self._observe(np.concatenate(times), np.concatenate(lines), until_us, trial)
        self._runs += 1
        times_us = recording.ticks / CYCLES_PER_US
        self._spikes = sent | {
            population: [times_us[recording.circuits == circuit] for circuit in self._masters(population).tolist()]
            for population in self._records_spikes
        }
        self._result = Result(
            until_us=until_us,
            trial=trial,
            dropped_events=int(recording.dropped_events.sum()),
            link_drops=recording.link_drops,
            busy_delays=recording.lost_events,
            beyond=self._beyond(),
            recording=recording,
        )
        _warn(self._result)
        return self._result

    def spikes(self, population: _Population) -> list[FloatArray]:
        """Spike times of the last run.

        Returns
        -------
        list of (n,) float64
            In us, one array per neuron, multiples of 8 ns; of a source the times that the host was given or drew.

        Raises
        ------
        ChipError
            The spikes weren't recorded; those of background generators can't be.
        """
        return self._of_last_run(self._spikes, population, "spikes")

    def v(self, population: _Population) -> tuple[FloatArray, IntArray]:
        """Membranes of the last run, as the converter read them.

        Returns
        -------
        times_us : (n,) float64
        readings : (n_neurons, n) int64
            Of the neurons that are recorded: 0..255 CADC LSB, or 0..1023 MADC LSB (`Madc.to_cadc_lsb` converts).
        """
        return self._of_last_run(self._readings, population, "v")

    def _of_last_run(self, data: dict[_Population, Data], population: _Population, variable: str) -> Data:
        if self._result is None:
            raise ChipError("the network hasn't run yet; call run(until_us)")
        if population not in data:
            label = getattr(population, "label", population)
            raise ChipError(
                f"{variable!r} of {label!r} wasn't recorded; call record(population, {variable!r}) before run"
            )
        return data[population]

    def _changed(self) -> None:
        self._placement = self._written = None

    def _place(self) -> Placement:
        placed: dict[_Population, PlacedPopulation | External | Background] = {}
        for population in self.populations:
            label, size, cell = population.label, population.size, population.cell
            if isinstance(cell, Neuron):
                recorded = population in self._records_spikes
                placed[population] = PlacedPopulation(label, size, cell.circuits, recorded)
            elif isinstance(cell, SpikeSourcePoissonOnChip):
                period, rate = cell.generator(label, size)
                placed[population] = Background(label, size, period, True, rate, cell.seed)
            else:
                placed[population] = External(label, size)
        projections = []
        for projection in self.projections:
            post = placed[projection.post]
            assert isinstance(post, PlacedPopulation)  # checked when the projection was made
            registers = _registers(projection) if self.delays == "hardware" else None
            projections.append(PlacedProjection(placed[projection.pre], post, projection.weight, registers))
        return place(list(placed.values()), projections, self._excluded)

    def _write(self) -> None:
        delay_us = None
        if self.delays == "beyond":
            delay_us = self.placement.synapse_delays([projection.delay_us for projection in self.projections])
        self.chip.write(self.placement.fabric, synapse_delay_us=delay_us)
        self._written = self.chip.network

    def _beyond(self) -> tuple[str, ...]:
        beyond = []
        if self.delays == "beyond" and any(np.any(projection.delay_us > 0.0) for projection in self.projections):
            beyond.append("a delay of its own in each synapse")
        if self.chip.config.exact_input_times:
            beyond.append("input events between the cycles of the FPGA")
        return tuple(beyond)

    def _masters(self, population: _Population) -> IntArray:
        return self.placement.neurons[population.label][:, 0]

    def _draw(self, number: int, population: _Population, until_us: float, trial: int) -> list[FloatArray]:
        """Times at which the host plays the events of each source."""
        cell = population.cell
        if isinstance(cell, SpikeSourceArray):
            return [train[train <= until_us] for train in cell.trains(population.label, population.size)]
        assert isinstance(cell, SpikeSourcePoisson)
        rng = stream(self.chip.seed, "network.spike_source_poisson", trial, number)
        start_us, stop_us = min(cell.start_us, until_us), min(cell.stop_us, until_us)
        rates = cell.rates(population.label, population.size)
        counts = rng.poisson(rates * (stop_us - start_us) / 1000.0)
        return [np.sort(rng.uniform(start_us, stop_us, count)) for count in counts]

    def _observe(self, times_us: FloatArray, lines: IntArray, until_us: float, trial: int) -> Recording:
        """Run the chip, and let the converters read the membranes that are recorded."""
        converters: dict[str, Cadc | Madc] = {"cadc": self.cadc, "madc": self.madc}
        circuits = {p: self._masters(p)[watch.neurons] for p, watch in self._watches.items()}
        on_madc = [chosen for p, chosen in circuits.items() if self._watches[p].device == "madc"]
        if on_madc:  # can it watch them together? Ask before the run, with no potential at all
            together = np.concatenate(on_madc)
            self.madc.convert(np.zeros((together.size, 0)), together, trial)
        devices = sorted({watch.device for watch in self._watches.values()})
        instants = {device: converters[device].instants(until_us) for device in devices}
        probe = None
        if self._watches:
            probe = Probe(np.concatenate(list(circuits.values())), np.concatenate(list(instants.values())))
        recording = self.chip.run(times_us, lines, until_us, trial, probe)
        self._readings = {}
        row = 0
        for population, chosen in circuits.items():
            assert recording.membrane_lsb is not None  # because a probe was given
            device = self._watches[population].device
            column = sum(instants[other].size for other in devices if other < device)
            seen = recording.membrane_lsb[row : row + chosen.size, column : column + instants[device].size]
            self._readings[population] = instants[device], converters[device].convert(seen, chosen, trial)
            row += chosen.size
        return recording


def _corrected_cadc(chip: Chip) -> Cadc:
    """A converter whose channels all read about the same at one external potential."""
    cadc = Cadc(CadcConfig(), chip.serial, chip.seed, chip.measured)
    potential_lsb, a_trial_of_its_own = 120.0, 2**63 - 1
    everywhere = np.full((N_CIRCUITS, 100), potential_lsb)
    readings = [cadc.convert(everywhere, np.arange(N_CIRCUITS), a_trial_of_its_own, channel) for channel in CHANNELS]
    cadc.write_offsets(np.clip(np.rint(potential_lsb - np.mean(readings, axis=2)), *OFFSET_RANGE).astype(np.int64))
    return cadc


def _registers(projection: Projection) -> IntArray | None:
    """Registers of the delay elements of all sources, None if there are no delays."""
    if not projection.delay_us.any():
        return None
    name = f"projection {projection.pre.label!r} to {projection.post.label!r}"
    beyond = "or take delays='beyond', which no real chip can"
    delays = projection.delay_us[:, 0]
    uneven = np.flatnonzero(np.any(projection.delay_us != delays[:, None], axis=1))
    if uneven.size:
        raise ChipError(
            f"{name}: delay_us[{uneven[0]}] differs from target to target, but a delay element delays a source for all "
            f"its targets; give one delay per source, {beyond}"
        )
    try:
        registers = us_to_register(delays)
    except ChipError as error:
        raise ChipError(f"{name}: {error}, {beyond}") from None
    nearest = register_to_us(registers)
    off = np.flatnonzero(np.abs(nearest - delays) > 1e-9)
    if off.size:
        raise ChipError(
            f"{name}: delay_us[{off[0]}] = {exact(delays[off[0]])} us is not on the chip's grid of "
            f"{DELAY_STEP_US:g} us; take {exact(nearest[off[0]])} us, {beyond}"
        )
    return registers


def _warn(result: Result) -> None:
    """One sentence if events were lost."""
    places = [
        (result.dropped_events, "met a full FIFO of the crossbar"),
        (result.link_drops, "were lost on the link to the host"),
        (result.busy_delays, "met a busy delay element"),
    ]
    lost = [f"{number} {where}" for number, where in places if number]
    if lost:
        total = sum(number for number, _ in places)
        message = (
            f"run {result.trial} lost {total} events ({', '.join(lost)}); spread them in time or over more sources"
        )
        warnings.warn(message, EventsLost, stacklevel=3)
