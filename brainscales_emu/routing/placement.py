"""Placement: populations and projections become the contents of the digital memory, or the rule that they break.

The routing rules, numbered as the messages number them (vendor software, grenade and halco; 7 follows from 1 and 3):

1. A circuit has 256 synapses, 64 of them from each PADI bus.
2. The rows that the sources on a bus need, excitatory and inhibitory ones counted apart, are at most 64.
3. A circuit of event output e reaches only bus e % 4 of each half, background generator b only bus b % 4 of half
   b // 4, the host every bus.
4. A synapse stores one label: in a row, a neuron listens to one source.
5. Drivers that share a mask see the same events, and tell at most 64 labels apart.
6. A signed source takes an excitatory and an inhibitory row: 128 of them fit into a half, 256 unsigned ones.
7. From one bus, a circuit hears at most 64 of the on-chip sources, or 32 signed ones.
8. Neurons of larger fan-in are merged from several circuits; weights beyond 63 are split over several synapses, which
   one bus must hold.
9. What leaves for the host has a label of its own for each neuron; neurons that nobody listens to are muted.

Scheme. Every source has one bus. All drivers of a bus have the same mask, and one group of drivers hears all sources
as long as a bus has at most 64; with more, the row select splits the drivers into 2, 4, 8 or 16 groups. In a group, the
synapse label tells the sources apart, so sparse projections share rows: a group needs as many rows of a sign as
the neuron with most synapses of that sign. External lines of bus b come through L2 channel b; bits 13 and 12 of their
label open the nodes to the top and to the bottom half, so that one event serves both. Bit 7 marks the spikes
that are meant for synapses and keeps the others off the buses. Populations fill the top half first, spread over the
event outputs and thereby over the buses; delay elements are taken in the same manner from the bottom half.

A source never has more than one bus, though the host could send an event to several; copies of the source do that.
The scheme is greedy: where it needs more than one group on a bus, or where external sources of unlike fan-out
compete for buses, it can refuse what an exhaustive search would place. The same network always gets the same placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..constants import (
    FIRST_DELAY_OUTPUT,
    MAX_WEIGHT,
    MIN_DELAY_REGISTER,
    N_CIRCUITS,
    N_COLUMNS,
    N_DELAY_ELEMENTS,
    N_ROWS,
)
from ..errors import PlacementError, check_number
from .allocation import TO_SYNAPSES, Addresses, Sources, Synapses, Targets, allocate
from .description import (
    Background,
    External,
    Placement,
    Population,
    Projection,
    Sites,
    check_delay_registers,
    check_weights,
)
from .fabric import (
    DELAY_TRIGGER_WEIGHT,
    EXCITATORY,
    INHIBITORY,
    Fabric,
)
from .labels import (
    COLUMNS_PER_EVENT_OUTPUT,
    DRIVERS_PER_BUS,
    FIRST_BACKGROUND_INPUT,
    FIRST_L2_INPUT,
    FIRST_L2_OUTPUT,
    N_BUSES,
    N_CHANNELS,
    N_EVENT_OUTPUTS,
    N_SYNAPSE_LABELS,
    event_output,
    pack,
    pack_label,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_TO_HALF = (1 << 13, 1 << 12)  # label bits of external lines that open the nodes to the top and the bottom half


class _Connection(NamedTuple):
    """Sources first_source.. to targets first_target.. with a signed matrix."""

    first_source: int
    first_target: int
    weights: IntArray
    rewritable: bool


def _labelled(name: str, size: int) -> list[str]:
    return [f"{name}[{index}]" for index in range(size)]


def _check_network(
    populations: Sequence[Population | External | Background], projections: Sequence[Projection]
) -> list[IntArray]:
    """Check what the user gave; return the weight matrices."""
    if not any(isinstance(population, Population) for population in populations):
        raise PlacementError("the network has no Population; give at least one")
    names = [population.name for population in populations]
    for population in populations:
        if names.count(population.name) > 1:
            raise PlacementError(f"two populations are called {population.name!r}; give each a name of its own")
        name = f"population {population.name!r}."
        check_number(f"{name}size", population.size, 1, 2**16, "", "give the number of neurons or inputs", whole=True)
        if isinstance(population, Population):
            largest = COLUMNS_PER_EVENT_OUTPUT
            check_number(f"{name}circuits", population.circuits, 1, largest, "", "merge fewer circuits", whole=True)
        if isinstance(population, Background):
            check_number(f"{name}period", population.period, 1, 2**16 - 1, "cycles", "change the period", whole=True)
            check_number(f"{name}rate", population.rate, 0, 255, "", "a generator has 8 bits for it", whole=True)
            check_number(f"{name}seed", population.seed, 0, 2**32 - 1, "", "give 32 bits", whole=True)
        if isinstance(population, Background) and population.size not in {2**bits for bits in range(7)}:
            raise PlacementError(
                f"background {population.name!r} has size {population.size}; a generator randomises whole bits of the "
                f"label, so give a power of two up to {N_SYNAPSE_LABELS}"
            )
    matrices = []
    for number, projection in enumerate(projections):
        pre, post = projection.pre, projection.post
        if pre not in populations or post not in populations or not isinstance(post, Population):
            raise PlacementError(
                f"projections[{number}] leads from {pre.name!r} to {post.name!r}; give both to place(), and let it end "
                "at a Population"
            )
        matrix = check_weights(f"projections[{number}].weights", projection.weights, (pre.size, post.size))
        if projection.delay_registers is not None:
            check_delay_registers(f"projections[{number}].delay_registers", projection.delay_registers, pre.size)
        matrices.append(matrix)
    return matrices


def _take_circuits(
    populations: Sequence[Population], presynaptic: set[str], n_elements: int, excluded: Iterable[int]
) -> tuple[dict[str, IntArray], IntArray]:
    """Circuits of the neurons, and delay elements; both spread over the event outputs."""
    free = np.ones((2, N_EVENT_OUTPUTS, COLUMNS_PER_EVENT_OUTPUT), dtype=bool)
    for circuit in excluded:
        check_number("excluded", circuit, 0, N_CIRCUITS - 1, "", "give circuits of the chip", whole=True)
        free.reshape(-1)[circuit] = False
    pairs = free[1].reshape(N_DELAY_ELEMENTS, 2)
    turns = np.arange(N_DELAY_ELEMENTS).reshape(N_EVENT_OUTPUTS, -1).T.ravel()
    usable = turns[pairs[turns].all(axis=1)]
    if usable.size < n_elements:
        raise PlacementError(
            f"the network needs {n_elements} delay elements, the chip has {usable.size}; delay fewer sources"
        )
    elements = usable[:n_elements]
    pairs[elements] = False

    neurons: dict[str, IntArray] = {}
    turn = 0
    for population in sorted(populations, key=lambda population: population.name not in presynaptic):
        circuits = np.empty((population.size, population.circuits), dtype=np.int64)
        for neuron in range(population.size):
            for half, step in product(range(2), range(N_EVENT_OUTPUTS)):
                output = (turn + step) % N_EVENT_OUTPUTS
                room = np.convolve(free[half, output], np.ones(population.circuits, dtype=np.int64), mode="valid")
                first = np.flatnonzero(room == population.circuits)
                if first.size:
                    break
            else:
                raise PlacementError(
                    f"no circuits are left for {population.name}[{neuron}]: the network needs "
                    f"{sum(p.size * p.circuits for p in populations)} circuits for neurons and {2 * n_elements} for "
                    f"delay elements, the chip has {N_CIRCUITS}; use fewer neurons"
                )
            columns = first[0] + np.arange(population.circuits)
            free[half, output, columns] = False
            circuits[neuron] = half * N_COLUMNS + output * COLUMNS_PER_EVENT_OUTPUT + columns
            turn = (output + 1) % N_EVENT_OUTPUTS
        neurons[population.name] = circuits
    return {population.name: neurons[population.name] for population in populations}, elements


def _list_sources(
    populations: Sequence[Population | External | Background], neurons: dict[str, IntArray], delays: Sequence[IntArray]
) -> tuple[Sources, dict[str | int, int]]:
    """All sources, and the first one of each population and of each projection's delay elements."""
    names: list[str] = []
    circuits, external, blocks = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=bool)], []
    first: dict[str | int, int] = {}
    for population in populations:
        first[population.name] = len(names)
        if isinstance(population, Background):
            blocks.append(len(names) + np.arange(population.size))
        names += _labelled(population.name, population.size)
        on_chip = isinstance(population, Population)
        circuits.append(neurons[population.name][:, 0] if on_chip else np.full(population.size, -1))
        external.append(np.full(population.size, isinstance(population, External)))
    for number, outputs in enumerate(delays):
        first[number] = len(names)
        names += _labelled(f"delay element of projections[{number}]", outputs.size)
        circuits.append(outputs)
        external.append(np.zeros(outputs.size, dtype=bool))
    return Sources(names, np.concatenate(circuits), np.concatenate(external), blocks), first


def _list_targets(
    populations: Sequence[Population], neurons: dict[str, IntArray], delays: Sequence[IntArray]
) -> tuple[Targets, dict[str | int, int]]:
    """All targets, and the first one of each population and of each projection's delay elements."""
    names: list[str] = []
    circuits, merged = [], []
    first: dict[str | int, int] = {}
    for population in populations:
        first[population.name] = len(names)
        names += _labelled(population.name, population.size)
        circuits.append(neurons[population.name][:, 0])
        merged.append(np.full(population.size, population.circuits))
    for number, outputs in enumerate(delays):
        first[number] = len(names)
        names += _labelled(f"delay element of projections[{number}]", outputs.size)
        circuits.append(outputs - 1)
        merged.append(np.ones(outputs.size, dtype=np.int64))
    return Targets(np.concatenate(circuits), np.concatenate(merged), names), first


def _connect(
    projections: Sequence[Projection],
    matrices: Sequence[IntArray],
    delays: Sequence[IntArray],
    first_source: dict[str | int, int],
    first_target: dict[str | int, int],
) -> list[_Connection]:
    """The projections, then what triggers their delay elements."""
    connections, triggers = [], []
    for number, (projection, matrix, outputs) in enumerate(zip(projections, matrices, delays, strict=True)):
        source = first_source[projection.pre.name]
        if outputs.size:
            trigger = DELAY_TRIGGER_WEIGHT * np.eye(outputs.size, dtype=np.int64)
            triggers.append(_Connection(source, first_target[number], trigger, rewritable=False))
            source = first_source[number]
        connections.append(_Connection(source, first_target[projection.post.name], matrix, projection.rewritable))
    return connections + triggers


class _Units(NamedTuple):
    """One entry per synapse: which weight it holds. `unit` counts the synapses of a pair."""

    connection: IntArray
    pre: IntArray
    post: IntArray
    inhibitory: IntArray
    unit: IntArray


def _split(connections: Sequence[_Connection]) -> tuple[_Units, Synapses]:
    """All synapses of a network: weights beyond 63 split, both signs where weights are rewritable."""
    empty = np.zeros(0, dtype=np.int64)
    units = [_Units(empty, empty, empty, empty, empty)]
    synapses = [Synapses(empty, empty, empty, empty > 0)]
    for number, (first_source, first_target, weights, rewritable) in enumerate(connections):
        needed = -(-np.abs(weights) // MAX_WEIGHT)
        if rewritable:
            needed = np.full(weights.shape, max(1, needed.max(initial=0)))
        excitatory, inhibitory = weights > 0, weights < 0
        signed = np.stack([needed * (excitatory | rewritable), needed * (inhibitory | rewritable)], axis=-1)
        pre, post, sign = np.nonzero(signed)
        counts = signed[pre, post, sign]
        unit = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pre, post, sign = (np.repeat(values, counts) for values in (pre, post, sign))
        units.append(_Units(np.full(unit.size, number), pre, post, sign, unit))
        synapses.append(Synapses(first_source + pre, first_target + post, sign, (sign == 1) & rewritable))
    join = [np.concatenate(columns) for columns in (*zip(*units, strict=True), *zip(*synapses, strict=True))]
    return _Units(*join[:5]), Synapses(*join[5:])


def _open_crossbar(values: dict[str, NDArray], sources: Sources, addresses: Addresses, generators: list[int]) -> None:
    """Labels of all sources, and the nodes that lead their events to the buses."""
    bus, row_select, label, reach, _ = addresses
    enabled, mask, target = values["crossbar_enabled"], values["crossbar_mask"], values["crossbar_target"]
    low_bits = pack_label(row_select, label)
    for half in range(2):
        lines = np.flatnonzero(sources.external & reach[:, half])
        nodes = FIRST_L2_INPUT + bus[lines], half * N_BUSES + bus[lines]
        enabled[nodes] = True
        mask[nodes] = target[nodes] = _TO_HALF[half]
        circuits = np.flatnonzero((sources.circuit >= 0) & reach[:, half])
        nodes = event_output(sources.circuit[circuits]), half * N_BUSES + bus[circuits]
        enabled[nodes] = True
        mask[nodes] = target[nodes] = TO_SYNAPSES
    to_halves = (reach * _TO_HALF).sum(axis=1)
    values["external_label"] = pack(np.maximum(bus, 0), to_halves | low_bits)[sources.external]
    on_chip = sources.circuit >= 0
    values["neuron_label"][sources.circuit[on_chip]] = low_bits[on_chip] & 255
    for block, generator in zip(sources.blocks, generators, strict=True):
        enabled[FIRST_BACKGROUND_INPUT + generator, generator] = reach[block].any()
        values["background_label"][generator] = low_bits[block[0]]


def _open_outputs(values: dict[str, NDArray], presynaptic: IntArray, recorded: IntArray) -> None:
    """Let spikes leave for the host, each circuit with a label of its own, and mute the circuits that nobody hears."""
    values["neuron_output"][presynaptic] = values["neuron_output"][recorded] = True
    outputs = event_output(recorded)
    values["crossbar_enabled"][outputs, FIRST_L2_OUTPUT + outputs % N_CHANNELS] = True
    # The presynaptic ones differ already, and by TO_SYNAPSES from the others; those take their place in the output.
    others = np.setdiff1d(recorded, presynaptic)
    row, column = np.divmod(others, N_COLUMNS)
    values["neuron_label"][others] = row * COLUMNS_PER_EVENT_OUTPUT + column % COLUMNS_PER_EVENT_OUTPUT


def place(
    populations: Sequence[Population | External | Background],
    projections: Sequence[Projection],
    excluded: Iterable[int] = (),
) -> Placement:
    """Place a network on the chip.

    Parameters
    ----------
    populations : sequence of Population, External and Background
    projections : sequence of Projection
    excluded : iterable of int
        Circuits that aren't to be used, e.g. because their calibration failed.

    Returns
    -------
    Placement

    Raises
    ------
    PlacementError
        The network doesn't fit; `rule` and the message tell the rule, the numbers and the remedy.
    """
    matrices = _check_network(populations, projections)
    registers = [
        np.zeros(0, dtype=np.int64) if p.delay_registers is None else np.asarray(p.delay_registers) for p in projections
    ]
    groups = [population for population in populations if isinstance(population, Population)]
    presynaptic = {projection.pre.name for projection in projections}
    neurons, elements = _take_circuits(groups, presynaptic, sum(array.size for array in registers), excluded)
    delays = np.split(FIRST_DELAY_OUTPUT + 2 * elements, np.cumsum([array.size for array in registers]))[:-1]
    sources, first_source = _list_sources(populations, neurons, delays)
    targets, first_target = _list_targets(groups, neurons, delays)
    connections = _connect(projections, matrices, delays, first_source, first_target)
    units, synapses = _split(connections)
    half, row, column, addresses, generators = allocate(synapses, sources, targets)

    values = {field.name: np.array(getattr(_EMPTY, field.name)) for field in fields(_EMPTY)}
    values["driver_mask"] = np.tile(addresses.masks, DRIVERS_PER_BUS)
    values["row_mode"][half, row] = np.where(units.inhibitory == 1, INHIBITORY, EXCITATORY)
    values["synapse_label"][half, row, column] = addresses.label[synapses.source]
    cell = (half * N_ROWS + row) * N_COLUMNS + column
    sites = []
    for number, connection in enumerate(connections):
        mine = units.connection == number
        sign = 1 - 2 * units.inhibitory[mine]
        sites.append(Sites(units.pre[mine], units.post[mine], sign, units.unit[mine], cell[mine]))
        weights = sites[-1].weights(connection.weights, f"projections[{number}].weights")
        values["weight"].reshape(-1)[sites[-1].cell] = weights

    _open_crossbar(values, sources, addresses, generators)
    delay_outputs = np.concatenate([[], *delays]).astype(np.int64)
    recorded = [neurons[population.name][:, 0] for population in groups if population.recorded]
    speaking = sources.circuit[(sources.circuit >= 0) & addresses.reach.any(axis=1)]
    _open_outputs(values, speaking, np.concatenate([delay_outputs, *recorded]))
    for circuits in neurons.values():
        values["neuron_enabled"][circuits] = True
        values["master"][circuits] = circuits[:, :1]
    values["delay_register"][elements] = np.concatenate([[], *registers])
    backgrounds = [population for population in populations if isinstance(population, Background)]
    for background, generator in zip(backgrounds, generators, strict=True):
        values["background_enabled"][generator] = True
        values["background_mask"][generator] = background.size - 1
        for name in ("period", "poisson", "rate", "seed"):
            values[f"background_{name}"][generator] = getattr(background, name)

    inputs = [population for population in populations if isinstance(population, External)]
    ends = np.cumsum([population.size for population in inputs])
    placement = Placement(
        fabric=Fabric(**values),
        neurons=neurons,
        lines={p.name: np.arange(end - p.size, end) for p, end in zip(inputs, ends.tolist(), strict=True)},
        generators={p.name: generator for p, generator in zip(backgrounds, generators, strict=True)},
        delays=tuple(outputs if outputs.size else None for outputs in delays),
        sites=tuple(sites[: len(projections)]),
    )
    for numbers in (*placement.neurons.values(), *placement.lines.values(), *delays):
        numbers.flags.writeable = False
    return placement


_EMPTY = Fabric.empty()


def place_feedforward(
    n_inputs: int, weights: Sequence[ArrayLike], delay_registers: Sequence[ArrayLike | None]
) -> Placement:
    """Place a fully connected feed-forward network with signed weights and axonal delays.

    Every source takes two rows, an excitatory and an inhibitory one, and its delay element if it has one. The
    placement depends on the shape of the network alone, not on its weights.

    Parameters
    ----------
    n_inputs : int
        Number of inputs; they are called "input" in the placement.
    weights : sequence of (n_pre, n_post) array_like of int
        Signed weights in LSB, -63..63, one matrix per layer; the neurons are called "layer 0", "layer 1", ...
    delay_registers : sequence of (n_pre,) array_like of int or None
        Registers 50..250 of the delays of each layer's sources; None for a layer without delays.

    Returns
    -------
    Placement

    Raises
    ------
    PlacementError
        The network doesn't fit; the message names the rule, the numbers and the remedy.
    """
    if not weights or len(weights) != len(delay_registers):
        raise PlacementError(
            f"{len(weights)} weight matrices and {len(delay_registers)} sets of delay registers were given; give one "
            "of each per layer, None for a layer without delays"
        )
    layers: list[IntArray] = []
    n_pre = n_inputs
    registers: list[IntArray | None] = []
    remedy = "give one row per source, clip the weights or use several copies of the source"
    for layer, (matrix, values) in enumerate(zip(weights, delay_registers, strict=True)):
        layers.append(check_weights(f"weights[{layer}]", matrix, (n_pre, None), MAX_WEIGHT, remedy))
        registers.append(None if values is None else check_delay_registers(f"delay_registers[{layer}]", values, n_pre))
        n_pre = layers[-1].shape[1]
    sizes = (n_inputs, *(matrix.shape[1] for matrix in layers))
    frame = _feedforward_frame(sizes, tuple(values is not None for values in registers))
    return frame.with_weights(layers, registers)


@lru_cache(maxsize=16)
def _feedforward_frame(sizes: tuple[int, ...], delayed: tuple[bool, ...]) -> Placement:
    """The placement of a feed-forward network without its weights and delays."""
    populations: list[Population | External] = [External("input", sizes[0])]
    populations += [Population(f"layer {layer}", size) for layer, size in enumerate(sizes[1:])]
    projections = []
    for (pre, post), has_delays in zip(pairwise(populations), delayed, strict=True):
        assert isinstance(post, Population)
        registers = np.full(pre.size, MIN_DELAY_REGISTER) if has_delays else None
        weights = np.zeros((pre.size, post.size), dtype=np.int64)
        projections.append(Projection(pre, post, weights, registers, rewritable=True))
    return place(populations, projections)
