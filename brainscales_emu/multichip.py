"""Several chips behind an aggregator.

A spike that leaves chip a goes to a's FPGA, over a node link to the aggregator, and over the node links of other chips
to their FPGAs, which send it to external lines there. In simulation no chip runs ahead of the others by more than the
latency of that way (a conservative look-ahead window), so nothing that comes from another chip is ever late, and the
result depends neither on the length of the windows nor on the order of the chips.

What is known of the real aggregator is from the abstract of its publication: less than 1.3 us from chip to chip at all
rates, 12 node links. The rest is modelled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

import numpy as np
import simpy
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .chip import Chip
from .constants import CYCLES_PER_US, N_CIRCUITS
from .delay import check_registers
from .display import Shown
from .errors import ChipError, PlacementError, check_number, placement_errors
from .execution import Account, section_ns
from .instant import settled
from .links import EventLink
from .readout.adc import count_spikes
from .recording import Probe, Recording
from .routing.fabric import Fabric
from .routing.placement import Background, External, Placement, Population, Projection, place
from .session import Session
from .system import Ppu, Process, execute_together

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Events = tuple[FloatArray, IntArray]  # times in us, and sources or lines

_MAX_CHIPS = 4096
_NO_EVENTS: Events = (np.zeros(0), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class AggregatorConfig:
    """The way from chip to chip.

    Attributes
    ----------
    latency_us : float
        From where a spike leaves its chip to the external line of the other one, if no link is busy. The default is
        the published upper bound, from an abstract: less than 1.3 us at all rates.
    slot_ns : float
        Time for which an event occupies a node link, in each direction; 0 (the default) for no limit. No rate is
        published.
    fifo_depth : int
        Events that can wait at each end of a node link. Assumed.
    node_links : int
        Chips that can be connected: 12 in the abstract.
    """

    latency_us: float = 1.3
    slot_ns: float = 0.0
    fifo_depth: int = 512
    node_links: int = 12

    def __post_init__(self) -> None:
        check_number("aggregator.latency_us", self.latency_us, 0.01, 1e6, "us", "chips can't be connected without any")
        check_number("aggregator.slot_ns", self.slot_ns, 0.0, 1e6, "ns", "give 0 for no limit")
        remedy = "give the number of events that can wait"
        check_number("aggregator.fifo_depth", self.fifo_depth, 0, 2**20, "", remedy, whole=True)
        remedy = "give the number of chips"
        check_number("aggregator.node_links", self.node_links, 1, _MAX_CHIPS, "", remedy, whole=True)


class Aggregator:
    """Node links of all chips, and the table that says where each spike goes.

    Parameters
    ----------
    config : AggregatorConfig
    n_chips : int
    connections : (n, 4) int64
        From chip, circuit, to chip, external line.

    Attributes
    ----------
    up, down : tuple of EventLink
        From each chip to the aggregator, and back.
    forwarded : (n_chips,) int64
        Events that went to each chip.
    """

    def __init__(self, config: AggregatorConfig, n_chips: int, connections: IntArray) -> None:
        slot_us = config.slot_ns / 1000.0
        self._latency_us = config.latency_us
        self.up = tuple(EventLink(slot_us, config.fifo_depth) for _ in range(n_chips))
        self.down = tuple(EventLink(slot_us, config.fifo_depth) for _ in range(n_chips))
        self.forwarded = np.zeros(n_chips, dtype=np.int64)
        source = connections[:, 0] * N_CIRCUITS + connections[:, 1]
        order = np.argsort(source, kind="stable")
        self._begin = np.searchsorted(source[order], np.arange(n_chips * N_CIRCUITS + 1))
        self._targets = connections[order, 2:]
        self._waiting = [_NO_EVENTS] * n_chips  # times and lines at the links down

    def forward(self, left: Sequence[Events], until_us: float) -> list[Events]:
        """Events that left the chips until now come to the others.

        Parameters
        ----------
        left : sequence of (times_us, sources)
            Of each chip, what left it since the last call; times ascend.
        until_us : float
            No event will leave a chip before this time any more.

        Returns
        -------
        list of (times_us, lines)
            Of each chip, in order: all that comes before `until_us` + latency, and some of what comes later.
        """
        times = [np.zeros(0)]
        targets = [self._targets[:0]]
        for chip, (left_us, sources) in enumerate(left):
            on_chip = np.flatnonzero(sources < N_CIRCUITS)
            keys = chip * N_CIRCUITS + sources[on_chip]
            counts = self._begin[keys + 1] - self._begin[keys]
            connected = counts > 0
            if not connected.any():
                continue
            at, keys, counts = on_chip[connected], keys[connected], counts[connected]
            # Events of one time go by circuit.
            order = np.lexsort((keys, left_us[at]))
            at, keys, counts = at[order], keys[order], counts[order]
            sent = self.up[chip].send(left_us[at])
            counts[sent == np.inf] = 0
            first = np.repeat(self._begin[keys] - np.cumsum(counts) + counts, counts)
            times.append(np.repeat(sent, counts) + self._latency_us)
            targets.append(self._targets[first + np.arange(first.size)])
        when, to = np.concatenate(times), np.concatenate(targets)
        return [self._send_down(chip, when, to, until_us) for chip in range(len(self.down))]

    def _send_down(self, chip: int, when: FloatArray, to: IntArray, until_us: float) -> Events:
        mine = to[:, 0] == chip
        times = np.concatenate([self._waiting[chip][0], when[mine]])
        lines = np.concatenate([self._waiting[chip][1], to[mine, 1]])
        order = np.lexsort((lines, times))
        times, lines = times[order], lines[order]
        # What comes to the link later than that may still be overtaken by spikes that haven't left their chip yet.
        n = int(np.searchsorted(times, until_us + self._latency_us))
        self._waiting[chip] = times[n:], lines[n:]
        sent = self.down[chip].send(times[:n])
        passed = sent < np.inf
        self.forwarded[chip] += int(passed.sum())
        return sent[passed], lines[:n][passed]


@dataclass(frozen=True)
class SetupRecording:
    """What one run of several chips returned.

    Attributes
    ----------
    chips : tuple of Recording
        Of each chip.
    forwarded_events : (n_chips,) int64
        Events that the aggregator sent to each chip.
    dropped_up, dropped_down : (n_chips,) int64
        Events that were lost at a full FIFO: on the node link of each chip to the aggregator, and back.
    """

    chips: tuple[Recording, ...]
    forwarded_events: IntArray
    dropped_up: IntArray
    dropped_down: IntArray


def look_ahead_ns(config: AggregatorConfig) -> int:
    """Longest window in which no chip can hear of what another one does in it.

    At least half a nanosecond shorter than the latency, so that no rounded sum of times falls into the window.
    """
    return math.floor(config.latency_us * 1000.0 - 0.5)


class Setup(Shown):
    """Chips that exchange spikes in real time.

    Parameters
    ----------
    chips : sequence of Chip
        Give each a seed of its own, or they have the same trial noise.
    aggregator : AggregatorConfig or None
        None for the defaults.

    Examples
    --------
    >>> parts = split(populations, projections, {"left": 0, "right": 1})
    >>> setup = Setup([Chip(config, serial=1, seed=1), Chip(config, serial=2, seed=2)])
    >>> setup.write([placement.fabric for placement in parts.placements], parts.connections)
    >>> recording = setup.run(*parts.events({"input": (times_us, indices)}), duration_us=100.0, trial=0)
    >>> ticks, indices, analogue_times_us = parts.spikes(recording, "right")
    """

    def __init__(self, chips: Sequence[Chip], aggregator: AggregatorConfig | None = None) -> None:
        self.chips = tuple(chips)
        self.aggregator = AggregatorConfig() if aggregator is None else aggregator
        if not 1 <= len(self.chips) <= self.aggregator.node_links:
            raise ChipError(
                f"setup.chips holds {len(self.chips)} chips, the aggregator has {self.aggregator.node_links} node "
                "links; give at least one chip, or raise aggregator.node_links"
            )
        if len({id(chip) for chip in self.chips}) < len(self.chips):
            raise ChipError("setup.chips holds one chip twice; make a Chip for each place")
        self._connections = np.zeros((0, 4), dtype=np.int64)
        self._dropped = 0

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        serials = " ".join(str(chip.serial) for chip in self.chips)
        return {"chips": len(self.chips), "serials": serials, "connections": len(self._connections)}

    @property
    def account(self) -> Account:
        """Sums over the accounts of all chips; `dropped_events` counts those lost on node links as well."""
        accounts = [chip.account for chip in self.chips]
        total = Account(*(sum(getattr(account, entry.name) for account in accounts) for entry in fields(Account)))
        return replace(total, dropped_events=total.dropped_events + self._dropped)

    def write(self, fabrics: Sequence[Fabric], connections: ArrayLike) -> None:
        """Write a network to each chip, and the table of connections to the FPGAs.

        Parameters
        ----------
        fabrics : sequence of Fabric
            One per chip.
        connections : (n, 4) array_like of int
            From chip, circuit, to chip, external line.

        Raises
        ------
        ChipError
            A connection leads from or to nowhere.
        """
        if len(fabrics) != len(self.chips):
            raise ChipError(f"setup.fabrics holds {len(fabrics)} for {len(self.chips)} chips; give one per chip")
        remedy = "give four integers each: from chip, circuit, to chip, external line"
        table = integers("setup.connections", connections, (None, 4), 0, remedy=remedy)
        for number, (source, circuit, target, line) in enumerate(table.tolist()):
            name = f"setup.connections[{number}]"
            for chip in (source, target):
                check_number(name, chip, 0, len(fabrics) - 1, "", "name a chip of this setup", whole=True)
            check_number(name, circuit, 0, N_CIRCUITS - 1, "", "name a circuit", whole=True)
            n_lines = fabrics[target].external_label.size
            check_number(name, line, 0, n_lines - 1, "", f"name an external line of chip {target}", whole=True)
        for chip, fabric in zip(self.chips, fabrics, strict=True):
            chip.write(fabric)
        for number, (source, circuit) in enumerate(table[:, :2].tolist()):
            network = self.chips[source].network
            assert network is not None
            if network.sources["host_output"][circuit] < 0:
                raise ChipError(
                    f"setup.connections[{number}]: spikes of circuit {circuit} don't leave chip {source}; let its "
                    "population be recorded"
                )
        self._connections = table.copy()

    def run(
        self,
        times_us: Sequence[ArrayLike],
        lines: Sequence[ArrayLike],
        duration_us: float,
        trial: int,
        probes: Mapping[int, Probe] | None = None,
        ppus: Mapping[int, Ppu] | None = None,
    ) -> SetupRecording:
        """Play input events to all chips, in one real-time section from rest that starts on all of them together.

        Parameters
        ----------
        times_us, lines : sequence of (n,) array_like
            Input events of each chip, as in `Chip.run`.
        duration_us, trial
            As in `Chip.run`.
        probes : dict of int to Probe or None
            What to look at, by the number of the chip.
        ppus : dict of int to Ppu or None
            Plasticity processors at work, by the number of the chip.

        Returns
        -------
        SetupRecording
        """
        n_chips = len(self.chips)
        if len(times_us) != n_chips or len(lines) != n_chips:
            raise ChipError(
                f"setup.times_us and setup.lines are for {len(times_us)} and {len(lines)} chips; give input events, or "
                f"empty lists, for each of {n_chips} chips"
            )
        probes, ppus = dict(probes or {}), dict(ppus or {})
        for chip in (*probes, *ppus):
            check_number("setup.probes, ppus", chip, 0, n_chips - 1, "", "name a chip of this setup", whole=True)
        sessions = [
            chip.begin(times, sent, duration_us, trial, probes.get(number))
            for number, (chip, times, sent) in enumerate(zip(self.chips, times_us, lines, strict=True))
        ]
        aggregator = Aggregator(self.aggregator, n_chips, self._connections)
        left = [_NO_EVENTS] * n_chips  # what left each chip since the last exchange

        def advance(chip: int, until_us: float) -> None:
            times, sources = sessions[chip].advance(until_us)
            left[chip] = np.concatenate([left[chip][0], times]), np.concatenate([left[chip][1], sources])

        def exchange(until_us: float) -> None:
            for chip in range(n_chips):
                advance(chip, until_us)
            for chip, arrivals in enumerate(aggregator.forward(left, settled(until_us))):
                left[chip] = _NO_EVENTS
                if arrivals[0].size:
                    sessions[chip].receive(*arrivals)

        def update(env: simpy.Environment, chip: int, ppu: Ppu) -> Process:
            begin, period_ns, counted = int(env.now), round(ppu.period_us * 1000.0), 0
            while env.now + period_ns - begin < duration_us * 1000.0:
                yield env.timeout(period_ns)
                now_us = (env.now - begin) / 1000.0
                advance(chip, now_us)
                counted = _update(sessions[chip], self.chips[chip], ppu, now_us, counted)

        def real_time(env: simpy.Environment) -> Process:
            begin = int(env.now)
            end_ns = section_ns(duration_us)
            window_ns = look_ahead_ns(self.aggregator) if self._connections.size else end_ns
            for chip, ppu in sorted(ppus.items()):
                env.process(update(env, chip, ppu))
            while env.now - begin + window_ns < end_ns:
                yield env.timeout(window_ns)
                exchange((env.now - begin) / 1000.0)
            yield env.timeout(begin + end_ns - env.now)
            exchange(math.inf)
            return [session.n_received for session in sessions]

        timelines = execute_together([session.program for session in sessions], real_time)
        recordings = [session.finish(timeline) for session, timeline in zip(sessions, timelines, strict=True)]
        up, down = (np.array([link.dropped for link in links]) for links in (aggregator.up, aggregator.down))
        self._dropped += int(up.sum() + down.sum())
        return SetupRecording(tuple(recordings), aggregator.forwarded, up, down)


def _update(session: Session, chip: Chip, ppu: Ppu, now_us: float, counted: int) -> int:
    """One update; `counted` spikes of the record have been counted by earlier ones. How many have been now."""
    assert chip.fabric is not None
    sources = session.spikes["source"][counted:]
    counts, overflow = count_spikes(sources[sources < N_CIRCUITS])
    weight = ppu.update(now_us, counts, overflow, chip.fabric.weight.copy())
    if weight is not None:
        session.rewrite(weight)
    return counted + sources.size


@dataclass(frozen=True, eq=False)
class Parts:
    """A network on several chips, as `split` makes it.

    Attributes
    ----------
    placements : tuple of Placement
        Of each chip. A population of which a part stands there has its name; what comes from a population's part on
        chip a is the input "name from chip a".
    connections : (n, 4) int64
        For `Setup.write`: from chip, circuit, to chip, external line.
    members : dict of str to tuple of (n,) int64
        Which neurons of each population stand on each chip, ascending.
    """

    placements: tuple[Placement, ...]
    connections: IntArray
    members: dict[str, tuple[IntArray, ...]]

    def events(self, inputs: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> tuple[list[FloatArray], list[IntArray]]:
        """Input events of each chip, for `Setup.run`: the host sends an event to all chips that listen to it.

        Parameters
        ----------
        inputs : dict of str to (times_us, indices)
            Of each `External` the times of its events and which input sends them.

        Returns
        -------
        times_us, lines : list of (n,) arrays
        """
        checked: dict[str, Events] = {}
        for name, (when, index) in inputs.items():
            size = max(
                (placement.lines[name].size for placement in self.placements if name in placement.lines), default=0
            )
            if size == 0:
                raise ChipError(f"{name!r} is no External that a projection starts from; check the name")
            remedy = "give the time in us and the index of the input of each event"
            at = floats(f"times of {name!r}", when, (None,), unit="us", remedy=remedy)
            checked[name] = at, integers(f"indices of {name!r}", index, at.shape, 0, size - 1, remedy=remedy)
        times, lines = [], []
        for placement in self.placements:
            heard = {name: events for name, events in checked.items() if name in placement.lines}
            times.append(np.concatenate([[], *(when for when, _ in heard.values())]))
            sent = [placement.lines[name][index] for name, (_, index) in heard.items()]
            lines.append(np.concatenate([_NO_EVENTS[1], *sent]))
        return times, lines

    def spikes(self, recording: SetupRecording, name: str) -> tuple[IntArray, IntArray, FloatArray]:
        """Spikes of a population, as in `Recording`, but in order of exact time.

        Returns
        -------
        ticks : (n,) int64
            In FPGA cycles of 8 ns.
        indices : (n,) int64
            Which neuron of the population spiked.
        analogue_times_us : (n,) float64
        """
        ticks, indices, times = [_NO_EVENTS[1]], [_NO_EVENTS[1]], [_NO_EVENTS[0]]
        for placement, members, chip in zip(self.placements, self.members[name], recording.chips, strict=True):
            if members.size:
                neuron_of = np.full(chip.circuits.max(initial=N_CIRCUITS) + 1, -1)
                neuron_of[placement.neurons[name][:, 0]] = members
                mine = np.flatnonzero(neuron_of[chip.circuits] >= 0)
                ticks.append(chip.ticks[mine])
                indices.append(neuron_of[chip.circuits[mine]])
                times.append(chip.analogue_times_us[mine])
        when, who = np.concatenate(times), np.concatenate(indices)
        order = np.lexsort((who, when))
        return np.concatenate(ticks)[order], who[order], when[order]


def split(
    populations: Sequence[Population | External | Background],
    projections: Sequence[Projection],
    assignment: Mapping[str, ArrayLike],
    excluded: Mapping[int, Iterable[int]] | None = None,
) -> Parts:
    """Place a network on several chips.

    Each chip gets its part of every projection. What comes from another chip comes through an external line there, one
    for each neuron of the part; delay elements stand on the chip of the target. Inputs of the host are sent to each
    chip that listens to them. A population that projects to another chip has to be recorded, and is.

    Parameters
    ----------
    populations, projections
        As in `place`.
    assignment : dict of str to int or (n,) array_like of int
        The chip of each `Population` and `Background`, or of each neuron of a population.
    excluded : dict of int to iterable of int or None
        Circuits of each chip that aren't to be used.

    Returns
    -------
    Parts

    Raises
    ------
    PlacementError
        A part doesn't fit on its chip; the message begins with the chip, `rule` is that of `place`.
    """
    by_name = {population.name: population for population in populations}
    if len(by_name) < len(populations):
        raise PlacementError("two populations have the same name; give each a name of its own")
    chips = {name: _chip_of(p, assignment) for name, p in by_name.items() if not isinstance(p, External)}
    n_chips = 1 + max((int(chip.max()) for chip in chips.values()), default=0)
    members = {name: tuple(np.flatnonzero(chip == k) for k in range(n_chips)) for name, chip in chips.items()}
    local: list[dict[str, Population | External | Background]] = [{} for _ in range(n_chips)]
    inner: list[list[Projection]] = [[] for _ in range(n_chips)]
    wires: dict[tuple[str, int, int], str] = {}  # from a population's part on one chip to another chip: the input there

    for name, here in members.items():
        for k in range(n_chips):
            whole = by_name[name]
            if here[k].size:
                local[k][name] = replace(whole, size=here[k].size) if isinstance(whole, Population) else whole
    for number, projection in enumerate(projections):
        pre, post = projection.pre, projection.post
        if pre not in populations or post not in populations or not isinstance(post, Population):
            raise PlacementError(
                f"projections[{number}] leads from {pre.name!r} to {post.name!r}; give both to split(), and let it end "
                "at a Population"
            )
        name, registers = f"projections[{number}]", projection.delay_registers
        with placement_errors():
            weights = integers(f"{name}.weights", projection.weights, (pre.size, post.size))
            if registers is not None:
                registers = check_registers(f"{name}.delay_registers", registers, (pre.size,))
        for a, b in product(range(n_chips), range(n_chips)):
            targets = members[post.name][b]
            sources = np.arange(pre.size) if isinstance(pre, External) else members[pre.name][a]
            if not targets.size or not sources.size or (isinstance(pre, External) and a != b):
                continue
            part = weights[np.ix_(sources, targets)]
            if a != b and not part.any() and not projection.rewritable:
                continue
            if isinstance(pre, External):
                source = local[b].setdefault(pre.name, pre)
            elif a == b:
                source = local[a][pre.name]
            elif isinstance(pre, Background):
                raise PlacementError(
                    f"projections[{number}] leads from background generator {pre.name!r} on chip {a} to chip {b}; a "
                    "generator's events stay on its chip: give each chip one of its own, perhaps with the same seed"
                )
            else:
                name = wires.setdefault((pre.name, a, b), f"{pre.name} from chip {a}")
                source = local[b].setdefault(name, External(name, sources.size))
                sender = local[a][pre.name]
                assert isinstance(sender, Population)
                local[a][pre.name] = replace(sender, recorded=True)
            target = local[b][post.name]
            assert isinstance(target, Population)
            delays = None if registers is None else registers[sources]
            inner[b].append(Projection(source, target, part, delays, projection.rewritable))

    placements = []
    for k in range(n_chips):
        # Some populations have become recorded since.
        parts = [replace(p, pre=local[k][p.pre.name], post=local[k][p.post.name]) for p in inner[k]]  # type: ignore[arg-type]
        try:
            placements.append(place(list(local[k].values()), parts, (excluded or {}).get(k, ())))
        except PlacementError as error:
            located = PlacementError(f"chip {k}: {error}")
            located.rule = error.rule
            raise located from None
    connections = [np.zeros((0, 4), dtype=np.int64)]
    for (population_name, a, b), name in wires.items():
        circuits, lines = placements[a].neurons[population_name][:, 0], placements[b].lines[name]
        connections.append(np.stack(np.broadcast_arrays(a, circuits, b, lines), axis=1))
    return Parts(tuple(placements), np.concatenate(connections), members)


def _chip_of(population: Population | Background, assignment: Mapping[str, ArrayLike]) -> IntArray:
    """Chip of each neuron of a population, or of a generator (once)."""
    size = population.size if isinstance(population, Population) else 1
    if population.name not in assignment:
        raise PlacementError(f"assignment has no entry for {population.name!r}; give its chip")
    name, remedy = f"assignment[{population.name!r}]", "give the number of a chip, or one for each neuron"
    with placement_errors():
        chip = integers(name, assignment[population.name], [(), (size,)], 0, _MAX_CHIPS - 1, remedy=remedy)
    return np.broadcast_to(chip, (size,))


def relay(recording: Recording, table: Mapping[int, Sequence[tuple[int, int]]]) -> tuple[FloatArray, IntArray]:
    """Input events of the next run from the recorded spikes of the last one: the host's way to delay them.

    The vendor software's delay cell does the same between two executions; within one real-time section a chip has
    only its delay elements.

    Parameters
    ----------
    recording : Recording
    table : dict of int to sequence of (line, delay)
        For each source of events, e.g. a circuit, to which external lines they go, and after how many FPGA cycles of
        8 ns; sources that aren't listed go nowhere.

    Returns
    -------
    times_us : (n,) float64
        Ascending, on the grid of 8 ns.
    lines : (n,) int64

    Raises
    ------
    ChipError
        A delay is negative or isn't a whole number of cycles.
    """
    ticks, lines = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for source, targets in table.items():
        spikes = recording.ticks[recording.circuits == source]
        for line, delay in targets:
            name = f"relay.table[{source}] to line {line}"
            check_number(name, delay, 0, 2**43, "cycles of 8 ns", "give a delay in whole cycles", whole=True)
            ticks.append(spikes + delay)
            lines.append(np.full(spikes.size, line))
    when, where = np.concatenate(ticks), np.concatenate(lines)
    order = np.lexsort((where, when))
    return when[order] / CYCLES_PER_US, where[order]
