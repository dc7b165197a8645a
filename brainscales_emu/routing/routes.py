"""Where the events of all sources go, through crossbar, buses, drivers and labels to the synapses.

`routes` tells it for one fabric. Training changes weights and nothing else from batch to batch, so a `Wiring` keeps all
the rest, and makes the routes for ever new weights.
"""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..constants import BACKGROUND, EXTERNAL, FIRST_DELAY_OUTPUT, N_COLUMNS, N_DELAY_ELEMENTS, N_ROWS
from .fabric import BOTH, DELAY_TRIGGER_WEIGHT, INHIBITORY, Fabric, random_begin, random_labels
from .labels import (
    DRIVERS_PER_BUS,
    FIRST_BACKGROUND_INPUT,
    FIRST_L2_INPUT,
    FIRST_L2_OUTPUT,
    N_BUSES,
    N_DRIVERS,
    N_SYNAPSE_LABELS,
    event_output,
    row_select,
    spike_label,
    synapse_label,
    unpack,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Routes(NamedTuple):
    """Where the events of every source go; all arrays int64.

    Attributes
    ----------
    begin : (n_sources + 1,)
        Routes of source s are begin[s]..begin[s + 1], by crossbar output.
    output : (n_routes,)
        Crossbar output 0..11; 8..11 lead to the host and have no synapses.
    synapse_begin : (n_routes + 1,)
        Synapses of route r are synapse_begin[r]..synapse_begin[r + 1], by row, then column, then excitatory first.
    half, row, column, weight, sign : (n_synapses,)
        Synapses with a weight above 0. A row of both modes counts twice.
    delay_begin : (n_sources + 1,)
        Delay elements that source s triggers are delay_begin[s]..delay_begin[s + 1].
    delay_element : (n_triggers,)
    delay_route : (n_triggers,)
        Route of the source that triggers the element. Modelled: of those that lead to it, the one of the lowest
        crossbar output.
    random_begin : (9,)
        Labels of background generator b that randomises label bits are the sources
        random_begin[b]..random_begin[b + 1], ascending; source 512 + b itself then has no routes.
    """

    begin: IntArray
    output: IntArray
    synapse_begin: IntArray
    half: IntArray
    row: IntArray
    column: IntArray
    weight: IntArray
    sign: IntArray
    delay_begin: IntArray
    delay_element: IntArray
    delay_route: IntArray
    random_begin: IntArray

    def synapses(self, sources: IntArray) -> tuple[IntArray, IntArray]:
        """For each synapse that these events reach: number of the event, and of the synapse."""
        first = self.synapse_begin[self.begin[sources]]
        counts = self.synapse_begin[self.begin[sources + 1]] - first
        return np.repeat(np.arange(sources.size), counts), _expand(counts, first)


class Reached(NamedTuple):
    """Synapses that the events of sources reach, one entry per source and synapse; all arrays (n,) int64.

    source; half, row, column and sign of the synapse; flat index of its weight.
    """

    source: IntArray
    half: IntArray
    row: IntArray
    column: IntArray
    sign: IntArray
    cell: IntArray


class Wiring:
    """All that decides where events go, except weights.

    Parameters
    ----------
    fabric : Fabric
    cells : (2, 256, 256) bool
        Synapses [half, row, column] that may get a weight; those of rows that are off never have one.

    Attributes
    ----------
    synapses : Reached
        All that may get a weight.
    enters : (n,) int64
        Those of them that lead to the inputs of delay elements.
    """

    def __init__(self, fabric: Fabric, cells: BoolArray) -> None:
        self._fabric = fabric
        self._random_begin = random_begin(fabric)
        n_sources = int(self._random_begin[-1])
        source, crossbar_input, label = _events(fabric, self._random_begin)

        passes = (label[:, None] & fabric.crossbar_mask[crossbar_input]) == fabric.crossbar_target[crossbar_input]
        event, output = np.nonzero(passes & fabric.crossbar_enabled[crossbar_input])
        source, label = source[event], label[event]  # from here on, of each route
        self._begin, self._output = _begin(source, n_sources), output

        onto_bus = np.flatnonzero(output < FIRST_L2_OUTPUT)
        half, bus = output[onto_bus] // N_BUSES, output[onto_bus] % N_BUSES
        masks = fabric.driver_mask.reshape(2, DRIVERS_PER_BUS, N_BUSES)[half, :, bus]
        fires = (row_select(label[onto_bus])[:, None] & masks) == (np.arange(DRIVERS_PER_BUS) & masks)
        at, index = np.nonzero(fires)
        driver = half[at] * N_DRIVERS + index * N_BUSES + bus[at]
        address = driver * N_SYNAPSE_LABELS + synapse_label(label[onto_bus[at]])

        address_begin, (half, row, column, sign) = _synapses_by_address(fabric, cells)
        counts = address_begin[address + 1] - address_begin[address]
        selected = _expand(counts, address_begin[address])
        half, row, column, sign = (array[selected] for array in (half, row, column, sign))
        ends = np.concatenate([[0], np.cumsum(counts)])
        self._synapse_begin = ends[np.searchsorted(onto_bus[at], np.arange(output.size + 1))]
        route = np.repeat(np.arange(output.size), np.diff(self._synapse_begin))
        cell = (half * N_ROWS + row) * N_COLUMNS + column
        self.synapses = Reached(source[route], half, row, column, sign, cell)

        element = column // 2
        enters = (half == 1) & (column % 2 == 0) & (fabric.delay_register[element] > 0)
        self.enters = np.flatnonzero(enters)
        self._excites = sign[self.enters] > 0
        self._enters_by = route[self.enters]
        entered = source[self._enters_by] * N_DELAY_ELEMENTS + element[self.enters]
        self._trigger, self._entered = np.unique(entered, return_inverse=True)

    def fits(self, fabric: Fabric) -> bool:
        """Whether a fabric differs in weights and lengths of delays at most, as `Fabric.with_weights` makes it."""
        same = all(getattr(fabric, name) is getattr(self._fabric, name) for name in _KEPT)
        return same and np.array_equal(fabric.delay_register > 0, self._fabric.delay_register > 0)

    def routes(self, weight: IntArray) -> Routes:
        """The routes with these weights, (2, 256, 256) int64; those outside the cells count as 0."""
        _, half, row, column, sign, cell = self.synapses
        weight = weight.reshape(-1)[cell]
        entering = weight[self.enters]
        total = np.bincount(self._entered, weights=entering * self._excites, minlength=self._trigger.size)
        enough = total >= DELAY_TRIGGER_WEIGHT
        trigger = self._trigger[enough]
        on = np.flatnonzero(entering)
        route = np.full(self._trigger.size, self._output.size)
        np.minimum.at(route, self._entered[on], self._enters_by[on])
        used = np.flatnonzero(weight)
        return Routes(
            begin=self._begin,
            output=self._output,
            synapse_begin=np.searchsorted(used, self._synapse_begin),
            half=half[used],
            row=row[used],
            column=column[used],
            weight=weight[used],
            sign=sign[used],
            delay_begin=np.searchsorted(trigger // N_DELAY_ELEMENTS, np.arange(self._begin.size)),
            delay_element=trigger % N_DELAY_ELEMENTS,
            delay_route=route[enough],
            random_begin=self._random_begin,
        )


_KEPT = tuple(field.name for field in fields(Fabric) if field.name not in ("weight", "delay_register"))


def routes(fabric: Fabric) -> Routes:
    """Where the events of every source go: equal to `Fabric.deliver` for all sources, but quick."""
    return Wiring(fabric, fabric.weight > 0).routes(fabric.weight)


def live_cells(fabric: Fabric) -> BoolArray:
    """Synapses that do something once they have a weight: their row is on, and so is the neuron or delay element."""
    on = fabric.neuron_enabled.copy()
    on[FIRST_DELAY_OUTPUT - 1 + 2 * np.flatnonzero(fabric.delay_register)] = True
    cells: BoolArray = (fabric.row_mode > 0)[:, :, None] & on.reshape(2, 1, N_COLUMNS)
    return cells


def _events(fabric: Fabric, first_random: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Sources that send, ascending, with the crossbar input and the label of their events."""
    circuits = np.flatnonzero(fabric.neuron_output)
    generators = np.flatnonzero(fabric.background_enabled & (fabric.background_mask == 0))
    channels, external = unpack(fabric.external_label)
    sources = [circuits, BACKGROUND + generators, EXTERNAL + np.arange(external.size)]
    inputs = [event_output(circuits), FIRST_BACKGROUND_INPUT + generators, FIRST_L2_INPUT + channels]
    labels = [spike_label(circuits, fabric.neuron_label[circuits]), fabric.background_label[generators], external]
    for generator in np.flatnonzero(np.diff(first_random)).tolist():
        sources.append(np.arange(first_random[generator], first_random[generator + 1]))
        inputs.append(np.full(sources[-1].size, FIRST_BACKGROUND_INPUT + generator))
        labels.append(random_labels(fabric, generator))
    return np.concatenate(sources), np.concatenate(inputs), np.concatenate(labels)


def _begin(groups: IntArray, n_groups: int) -> IntArray:
    """Where each group 0..n_groups - 1 begins in an ascending list of group numbers, and the end."""
    begin = np.zeros(n_groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(groups, minlength=n_groups), out=begin[1:])
    return begin


def _expand(counts: IntArray, starts: IntArray) -> IntArray:
    """Indices starts[0]..starts[0] + counts[0] - 1, then those of the next, and so on."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if ends.size else 0) + np.repeat(starts - (ends - counts), counts)


def _synapses_by_address(fabric: Fabric, cells: BoolArray) -> tuple[IntArray, tuple[IntArray, ...]]:
    """Half, row, column and sign of the cells by (half, driver, synapse label), and where each such group begins."""
    half_of_row, row_of_row = np.nonzero(fabric.row_mode)
    at, column = np.nonzero(cells[half_of_row, row_of_row])
    half, row = half_of_row[at], row_of_row[at]
    address = (half * N_DRIVERS + row // 2) * N_SYNAPSE_LABELS + fabric.synapse_label[half, row, column]
    n_addresses = 2 * N_DRIVERS * N_SYNAPSE_LABELS
    order = np.argsort(address.astype(np.int16), kind="stable")  # 16 bits: a radix sort
    half, row, column = half[order], row[order], column[order]
    mode = fabric.row_mode[half, row]
    sign = np.where(mode == INHIBITORY, -1, 1)
    both = np.flatnonzero(mode == BOTH)
    if both.size:
        twice = np.repeat(np.arange(order.size), 1 + (mode == BOTH))
        order, half, row, column, sign = order[twice], half[twice], row[twice], column[twice], sign[twice]
        sign[both + np.arange(1, both.size + 1)] = -1
    return _begin(address[order], n_addresses), (half, row, column, sign)
