"""Which buses, labels and rows the synapses of a network get, and which routing rule leaves too few of them.

Works on plain numbers: sources (external inputs, generators, neurons, delay elements) and targets (neurons, delay
elements) in the network's own numbering, and the synapses between them. The rules and the scheme stand in `placement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..constants import N_COLUMNS, N_ROWS
from ..errors import PlacementError
from .labels import (
    DRIVERS_PER_BUS,
    N_BUSES,
    N_EVENT_OUTPUTS,
    N_SYNAPSE_LABELS,
    ROWS_PER_BUS,
    event_output,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TO_SYNAPSES = 1 << 7  # label bit of the spikes that enter the buses; bit 1 of the row select
_HALVES = ("top", "bottom")
_GROUP_BITS = (0, 4, 3, 2)  # of the row select, in the order in which they split a bus into groups


class Targets(NamedTuple):
    """What synapses can lead to: neurons, then delay elements."""

    circuit: IntArray  # the first one
    circuits: IntArray  # how many are merged
    names: list[str]

    @property
    def half(self) -> IntArray:
        return self.circuit // N_COLUMNS


class Synapses(NamedTuple):
    """One entry per synapse that is to be placed."""

    source: IntArray
    target: IntArray
    inhibitory: IntArray  # 0 or 1
    spare: BoolArray  # never in use together with another synapse of the same pair


class Sources(NamedTuple):
    """External inputs, generators, neurons and delay elements, in this network's own numbering."""

    names: list[str]
    circuit: IntArray  # -1 for what is not on the chip's neurons
    external: BoolArray
    blocks: list[IntArray]  # the sources of each generator


def _demand(synapses: Synapses, n_sources: int, n_targets: int) -> IntArray:
    """Synapses from each source to each target, (n_sources, 2, n_targets): excitatory, inhibitory."""
    demand = np.zeros((n_sources, 2, n_targets), dtype=np.int64)
    np.add.at(demand, (synapses.source, synapses.inhibitory, synapses.target), 1)
    return demand


def _rows(load: IntArray, targets: Targets) -> IntArray:
    """Rows that synapses (..., 2, n_targets) need in each half: (..., 2 halves, 2 signs).

    A row serves all columns, so it's the target with most synapses per circuit that counts.
    """
    per_circuit = -(-load // targets.circuits)
    return np.stack([per_circuit[..., targets.half == half].max(axis=-1, initial=0) for half in range(2)], axis=-2)


def _check_fan_in(synapses: Synapses, demand: IntArray, sources: Sources, targets: Targets) -> None:
    rows = _rows(demand, targets)  # (n_sources, 2 halves, 2 signs)
    excess = rows.sum(axis=-1) - ROWS_PER_BUS
    if excess.max(initial=0) > 0:
        source, half = np.argwhere(excess > 0)[0]
        raise PlacementError(
            f"the weights from {sources.names[source]} need {rows[source, half].sum()} rows of the {_HALVES[half]} "
            f"half ({rows[source, half, 0]} excitatory and {rows[source, half, 1]} inhibitory), a source has one bus "
            f"of {ROWS_PER_BUS}; lower the weights, merge more circuits or use copies of the source",
            rule=8,
        )
    used = synapses.target[~synapses.spare]
    excess = np.bincount(used, minlength=targets.circuit.size) - N_ROWS * targets.circuits
    if excess.max() > 0:
        target = np.flatnonzero(excess > 0)[0]
        fan_in = excess[target] + N_ROWS * targets.circuits[target]
        raise PlacementError(
            f"{targets.names[target]} has {fan_in} synapses, {targets.circuits[target]} circuit(s) have "
            f"{N_ROWS * targets.circuits[target]}; merge {-(-fan_in // N_ROWS)} circuits or use fewer synapses",
            rule=1,
        )


def _check_halves(demand: IntArray, targets: Targets) -> None:
    rows = _rows(demand.sum(axis=0), targets)
    for half in np.flatnonzero(rows.sum(axis=-1) > N_ROWS):
        per_circuit = np.where(targets.half == half, -(-demand.sum(axis=0) // targets.circuits), 0)
        most = [targets.names[target] for target in per_circuit.argmax(axis=-1)]
        raise PlacementError(
            f"the {_HALVES[half]} half needs {rows[half].sum()} rows, {rows[half, 0]} excitatory ones for {most[0]} "
            f"and {rows[half, 1]} inhibitory ones for {most[1]}, it has {N_ROWS}; use fewer sources or merge circuits",
            rule=6,
        )


def _check_on_chip(bus: IntArray, demand: IntArray, targets: Targets) -> None:
    """`bus` and `demand` are those of the on-chip sources."""
    load = np.zeros((N_BUSES, *demand.shape[1:]), dtype=np.int64)
    np.add.at(load, bus, demand)
    excess = load.sum(axis=1) - ROWS_PER_BUS * targets.circuits
    if excess.max() > 0:
        number, target = np.argwhere(excess > 0)[0]
        raise PlacementError(
            f"{targets.names[target]} needs {load[number, :, target].sum()} synapses for the on-chip sources on bus "
            f"{number}, {targets.circuits[target]} circuit(s) have {ROWS_PER_BUS * targets.circuits[target]} there; "
            "use fewer sources or merge circuits",
            rule=7,
        )


def _take_generators(sources: Sources, demand: IntArray, targets: Targets) -> list[int]:
    """Background generator of each block of sources: one whose half holds all that listen to it."""
    free = [list(range(N_BUSES)), list(range(N_BUSES, 2 * N_BUSES))]
    taken = []
    for block in sources.blocks:
        name = sources.names[block[0]].rpartition("[")[0]
        halves = np.unique(targets.half[demand[block].any(axis=(0, 1))]).tolist() or [0]
        if len(halves) == 2:
            raise PlacementError(
                f"background {name!r} has targets in both halves, a generator reaches one bus of one half; use two "
                "backgrounds with populations of their own",
                rule=3,
            )
        if not free[halves[0]]:
            raise PlacementError(
                f"background {name!r} is the fifth for the {_HALVES[halves[0]]} half, whose {N_BUSES} buses have one "
                "generator each; use fewer",
                rule=3,
            )
        taken.append(free[halves[0]].pop(0))
    return taken


def _depth(n_sources: IntArray) -> IntArray:
    """How many bits of the row select split a bus so that each group has at most 64 sources."""
    return np.ceil(np.log2(np.maximum(n_sources / N_SYNAPSE_LABELS, 1.0))).astype(np.int64)


def _take_buses(bus: IntArray, demand: IntArray, reach: BoolArray, targets: Targets) -> None:
    """Give every external source (bus -1) the bus that then needs fewest groups, rows and labels; in place."""
    placed = bus >= 0
    load = np.zeros((N_BUSES, *demand.shape[1:]), dtype=np.int64)
    np.add.at(load, bus[placed], demand[placed])
    heard = np.zeros((N_BUSES, 2), dtype=np.int64)
    np.add.at(heard, bus[placed], reach[placed])
    external = np.flatnonzero(~placed)
    for source in external[np.argsort(-demand[external].sum(axis=(1, 2)), kind="stable")]:
        rows = _rows(load + demand[source], targets).sum(axis=-1)
        after = heard + reach[source]
        order = np.lexsort((heard.sum(axis=-1), rows.sum(axis=-1), rows.max(axis=-1), _depth(after).max(axis=-1)))
        bus[source] = order[0]
        load[order[0]] += demand[source]
        heard[order[0]] += reach[source]


def _mask(depth: int) -> int:
    return sum(1 << bit for bit in _GROUP_BITS[:depth])


def _submasks(mask: int) -> list[int]:
    return [value for value in range(mask + 1) if value & ~mask == 0]


class _Labels(NamedTuple):
    """Row select and synapse label of some sources, and the mask of the drivers in each half."""

    row_select: IntArray
    label: IntArray
    masks: tuple[int, int]


def _take_labels(
    bus: int, sizes: Sequence[int], circuit: IntArray, demand: IntArray, reach: BoolArray, targets: Targets
) -> _Labels:
    """Labels of the sources of one bus, such that no half hears two alike and the rows suffice.

    `sizes` are those of the blocks of neighbouring labels: 1, or the size of a generator.
    """
    heard = reach.sum(axis=0)
    blocks = np.split(np.arange(circuit.size), np.cumsum(sizes)[:-1])
    refusal = None
    depths = [(top, bottom) for top in range(len(_GROUP_BITS) + 1) for bottom in range(len(_GROUP_BITS) + 1)]
    for depth in sorted(depths, key=lambda depth: (sum(depth), depth)):
        if np.any(np.array(depth) < _depth(heard)):
            continue
        labels = _try_labels(blocks, circuit, demand, reach, targets, depth)
        problem = _check_groups(bus, labels, heard, demand, targets) if labels else None
        if labels and problem is None:
            return labels
        refusal = refusal or problem
    raise refusal or PlacementError(
        f"{heard.max()} sources reach bus {bus} of the {_HALVES[int(np.argmax(heard))]} half, its drivers can be split "
        f"into {2 ** len(_GROUP_BITS)} groups of {N_SYNAPSE_LABELS} labels at most, of which a circuit reaches 2; use "
        "fewer sources",
        rule=5,
    )


def _try_labels(
    blocks: Sequence[IntArray],
    circuit: IntArray,
    demand: IntArray,
    reach: BoolArray,
    targets: Targets,
    depth: tuple[int, int],
) -> _Labels | None:
    masks = (_mask(depth[0]), _mask(depth[1]))
    row_select = np.zeros(circuit.size, dtype=np.int64)
    label = np.zeros(circuit.size, dtype=np.int64)
    used = np.zeros((2, DRIVERS_PER_BUS, N_SYNAPSE_LABELS), dtype=bool)
    load = np.zeros((2, DRIVERS_PER_BUS, *demand.shape[1:]), dtype=np.int64)
    for block in blocks:
        fixed = 0
        choices = _submasks(masks[0] | masks[1])
        if circuit[block[0]] >= 0:  # the event output decides all but the lowest bit
            fixed = int(event_output(circuit[block[0]])) << 2 | TO_SYNAPSES >> 6
            choices = [choice for choice in choices if choice <= 1]
        best: tuple[float, int, int] | None = None
        for choice in choices:
            groups = [(fixed | choice) & mask for mask in masks]
            taken = np.zeros(N_SYNAPSE_LABELS, dtype=bool)
            for half in np.flatnonzero(reach[block[0]]):
                taken |= used[half, groups[half]]
            room = np.flatnonzero(~taken.reshape(-1, block.size).any(axis=1))
            if not room.size:
                continue
            after = load[range(2), groups] + demand[block].sum(axis=0)
            rows = _rows(after, targets)[range(2), range(2)].sum(axis=-1)
            cost = float(np.max(rows * 2.0 ** np.array(depth)))
            if best is None or cost < best[0]:
                best = (cost, fixed | choice, int(room[0]) * block.size)
        if best is None:
            return None
        row_select[block], label[block] = best[1], best[2] + np.arange(block.size)
        for half in np.flatnonzero(reach[block[0]]):
            used[half, best[1] & masks[half], label[block]] = True
            load[half, best[1] & masks[half]] += demand[block].sum(axis=0)
    return _Labels(row_select, label, masks)


def _check_groups(
    bus: int, labels: _Labels, heard: IntArray, demand: IntArray, targets: Targets
) -> PlacementError | None:
    """The refusal of a bus one of whose groups has too few rows; None if all have enough."""
    for half, mask in enumerate(labels.masks):
        groups = labels.row_select & mask
        n_groups = 2 ** mask.bit_count()
        for group in np.unique(groups):
            rows = _rows(demand[groups == group].sum(axis=0), targets)[half]
            if rows.sum() <= ROWS_PER_BUS // n_groups:
                continue
            needs = f"needs {rows.sum()} rows ({rows[0]} excitatory and {rows[1]} inhibitory)"
            if n_groups == 1:
                return PlacementError(
                    f"bus {bus} of the {_HALVES[half]} half {needs} for its {heard[half]} sources, it has "
                    f"{ROWS_PER_BUS}; use fewer synapses per neuron or merge circuits",
                    rule=2,
                )
            return PlacementError(
                f"{heard[half]} sources reach bus {bus} of the {_HALVES[half]} half, a group of drivers tells "
                f"{N_SYNAPSE_LABELS} labels apart, and of {n_groups} groups one {needs} but has "
                f"{ROWS_PER_BUS // n_groups}; use fewer sources or fewer synapses per neuron",
                rule=5,
            )
    return None


class Addresses(NamedTuple):
    """What the sources send, and which masks the drivers of each (half, bus) have."""

    bus: IntArray
    row_select: IntArray
    label: IntArray
    reach: BoolArray  # (n_sources, 2): halves in which the events arrive
    masks: IntArray  # (2, 4)


def _rank(keys: Sequence[IntArray]) -> IntArray:
    """Number of each entry among those that agree in all keys but the first; in the order of the first."""
    order = np.lexsort(keys)
    differs: BoolArray = np.zeros(order.size, dtype=bool)
    differs[:1] = True
    for key in keys[1:]:
        differs[1:] |= key[order][1:] != key[order][:-1]
    start = np.flatnonzero(differs)
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size) - np.repeat(start, np.diff(start, append=order.size))
    return rank


def _take_rows(synapses: Synapses, addresses: Addresses, targets: Targets) -> tuple[IntArray, IntArray, IntArray]:
    """Half, row and column of every synapse; the excitatory rows of a group come first."""
    half, bus = targets.half[synapses.target], addresses.bus[synapses.source]
    group = addresses.row_select[synapses.source] & addresses.masks[half, bus]
    rank = _rank((synapses.source, synapses.target, synapses.inhibitory, group, bus, half))
    merged = targets.circuits[synapses.target]
    column = targets.circuit[synapses.target] % N_COLUMNS + rank % merged
    row = np.empty(rank.size, dtype=np.int64)
    for of_half, of_bus in product(range(2), range(N_BUSES)):
        here = (half == of_half) & (bus == of_bus)
        mask = addresses.masks[of_half, of_bus]
        for of_group in np.unique(group[here]):
            members = here & (group == of_group)
            within = rank[members] // merged[members]
            inhibitory = synapses.inhibitory[members] == 1
            within[inhibitory] += within[~inhibitory].max(initial=-1) + 1
            drivers = np.flatnonzero((np.arange(DRIVERS_PER_BUS) & mask) == of_group) * N_BUSES + of_bus
            row[members] = 2 * drivers[within // 2] + within % 2
    return half, row, column


def _take_addresses(sources: Sources, generators: Sequence[int], demand: IntArray, targets: Targets) -> Addresses:
    on_chip = sources.circuit >= 0
    bus = np.where(on_chip, event_output(sources.circuit) % N_BUSES, -1)
    reach = np.stack([demand[..., targets.half == half].any(axis=(1, 2)) for half in range(2)], axis=-1)
    for block, generator in zip(sources.blocks, generators, strict=True):
        bus[block] = generator % N_BUSES
        reach[block] = reach[block].any(axis=0)  # a generator can't keep some of its labels to itself
    speaks = reach[:, 0] | reach[:, 1]
    outputs = event_output(sources.circuit[on_chip])
    # The node of an event output opens for all circuits of that output that speak to synapses.
    opened = np.zeros((N_EVENT_OUTPUTS, 2), dtype=bool)
    np.logical_or.at(opened, outputs, reach[on_chip])
    reach[on_chip] = opened[outputs] & speaks[on_chip, None]
    _check_on_chip(bus[on_chip], demand[on_chip], targets)
    _check_halves(demand, targets)
    _take_buses(bus, demand, reach, targets)

    row_select, label = np.zeros((2, bus.size), dtype=np.int64)
    masks = np.zeros((2, N_BUSES), dtype=np.int64)
    in_block = np.zeros(bus.size, dtype=bool)
    for block in sources.blocks:
        in_block[block] = True
    for number in range(N_BUSES):
        # Blocks first, because they need neighbouring labels; then circuits, which can choose only one bit.
        here = speaks & (bus == number)
        blocks = [block for block in sources.blocks if here[block[0]]]
        singles = [np.flatnonzero(here & ~in_block & on_chip), np.flatnonzero(here & ~in_block & ~on_chip)]
        members = np.concatenate([*blocks, *singles])
        if members.size:
            sizes = [block.size for block in blocks] + [1] * sum(array.size for array in singles)
            labels = _take_labels(number, sizes, sources.circuit[members], demand[members], reach[members], targets)
            row_select[members], label[members], masks[:, number] = labels
    return Addresses(bus, row_select, label, reach, masks)


class Allocation(NamedTuple):
    """Where the synapses stand, and what the sources send; `generators` has one number per block of sources."""

    half: IntArray
    row: IntArray
    column: IntArray
    addresses: Addresses
    generators: list[int]


def allocate(synapses: Synapses, sources: Sources, targets: Targets) -> Allocation:
    """Give every source a bus and a label, and every synapse a row.

    Raises
    ------
    PlacementError
        Naming the rule that is broken.
    """
    demand = _demand(synapses, len(sources.names), len(targets.names))
    _check_fan_in(synapses, demand, sources, targets)
    generators = _take_generators(sources, demand, targets)
    addresses = _take_addresses(sources, generators, demand, targets)
    return Allocation(*_take_rows(synapses, addresses, targets), addresses, generators)
