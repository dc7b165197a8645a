"""What stands in the chip's digital memory, and where it makes an event go.

A *source* is a number: 0..511 is a neuron circuit (row * 256 + column; row 0 is the top one), 512..519 a background
generator, 520 + k the external line k, i.e. an event that the host sends with the label `external_label[k]`. The
output of delay element k is circuit 257 + 2k. After the last line come the labels of the generators that randomise
some of their label bits: `random_begin` tells which sources these are.

`Fabric.deliver` follows one event by hand; `routes.routes` does the same for all sources at once.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import booleans, integers
from ..constants import (
    BACKGROUND,
    EXTERNAL,
    FIRST_DELAY_OUTPUT,
    MAX_DELAY_REGISTER,
    MAX_WEIGHT,
    MIN_DELAY_REGISTER,
    N_BACKGROUND,
    N_CIRCUITS,
    N_COLUMNS,
    N_DELAY_ELEMENTS,
    N_ROWS,
)
from ..errors import PlacementError, placement_errors
from .labels import (
    FIRST_BACKGROUND_INPUT,
    FIRST_L2_INPUT,
    FIRST_L2_OUTPUT,
    LABEL_BITS,
    N_BUSES,
    N_DRIVERS,
    N_INPUTS,
    N_OUTPUTS,
    N_SYNAPSE_LABELS,
    NEURON_LABEL_BITS,
    NODES,
    ROW_SELECT_BITS,
    bus_of_driver,
    event_output,
    index_on_bus,
    row_select,
    rows_of_driver,
    spike_label,
    synapse_label,
    unpack,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Array = TypeVar("Array", bound=NDArray[Any])

# DelGrad code: a spike enters a delay element with a weight of 800.
DELAY_TRIGGER_WEIGHT = 800

DISABLED, EXCITATORY, INHIBITORY, BOTH = range(4)  # modes of a synapse row
_SIGNS: dict[int, tuple[int, ...]] = {DISABLED: (), EXCITATORY: (1,), INHIBITORY: (-1,), BOTH: (1, -1)}


class Synapse(NamedTuple):
    """One synapse that an event drives: `sign` is +1 (excitatory) or -1, `weight` 1..63."""

    half: int
    row: int
    column: int
    weight: int
    sign: int


class _Limits(NamedTuple):
    shape: tuple[int | None, ...]  # None: any size
    high: int
    remedy: str
    low: int = 0


_MEMORY = {
    "crossbar_mask": _Limits((N_INPUTS, N_OUTPUTS), 2**LABEL_BITS - 1, "give 14 bits"),
    "crossbar_target": _Limits((N_INPUTS, N_OUTPUTS), 2**LABEL_BITS - 1, "give 14 bits"),
    "external_label": _Limits((None,), 2**16 - 1, "give a 16-bit label"),
    "neuron_label": _Limits((N_CIRCUITS,), 2**NEURON_LABEL_BITS - 1, "give 8 bits"),
    "background_label": _Limits((N_BACKGROUND,), 2**LABEL_BITS - 1, "give a 14-bit label"),
    "background_mask": _Limits((N_BACKGROUND,), 255, "only the low 8 bits can be random"),
    "background_period": _Limits((N_BACKGROUND,), 2**16 - 1, "give a period in cycles of 8 ns", low=1),
    "background_rate": _Limits((N_BACKGROUND,), 255, "give 8 bits"),
    "background_seed": _Limits((N_BACKGROUND,), 2**32 - 1, "give 32 bits"),
    "driver_mask": _Limits((2, N_DRIVERS), 2**ROW_SELECT_BITS - 1, "give 5 bits"),
    "row_mode": _Limits((2, N_ROWS), BOTH, "0 is disabled, 1 excitatory, 2 inhibitory, 3 both"),
    "weight": _Limits((2, N_ROWS, N_COLUMNS), MAX_WEIGHT, "split larger weights over several rows"),
    "synapse_label": _Limits((2, N_ROWS, N_COLUMNS), N_SYNAPSE_LABELS - 1, "give 6 bits"),
    "master": _Limits((N_CIRCUITS,), N_CIRCUITS - 1, "give a circuit, its own number if it isn't merged"),
    "delay_register": _Limits((N_DELAY_ELEMENTS,), MAX_DELAY_REGISTER, "clip the register, or 0 for none"),
}
_SWITCHES = {
    "crossbar_enabled": (N_INPUTS, N_OUTPUTS),
    "neuron_output": (N_CIRCUITS,),
    "background_enabled": (N_BACKGROUND,),
    "background_poisson": (N_BACKGROUND,),
    "neuron_enabled": (N_CIRCUITS,),
}


@dataclass(frozen=True, eq=False)
class Fabric:
    """Contents of the digital memory; int64 and bool arrays, read-only, checked against the chip's limits.

    Attributes
    ----------
    crossbar_enabled : (20, 12) bool
        Which nodes are on; only the 76 that exist can be. See `labels` for inputs and outputs.
    crossbar_mask, crossbar_target : (20, 12)
        A node that is on passes an event if ``(label & mask) == target``, 14 bits each.
    external_label : (n_lines,)
        16-bit label of each line on which the host may send; bits 15..14 are the L2 channel.
    neuron_label : (512,)
        Low 8 bits of the label of each circuit's spikes; bits 10..8 are its event output.
    neuron_output : (512,) bool
        Circuits whose spikes enter the crossbar; the others are muted.
    background_enabled : (8,) bool
    background_label : (8,)
        14-bit label of each generator.
    background_mask : (8,)
        Which of the low 8 bits of the label are random.
    background_period : (8,)
        In cycles, 16 bits, at least 1.
    background_poisson : (8,) bool
        Binned Poisson instead of regular.
    background_rate : (8,)
        8 bits; a Poisson generator spikes in a period if a random byte is not above it.
    background_seed : (8,)
        32 bits.
    driver_mask : (2, 128)
        A driver fires if ``(row select & mask) == (index on its bus & mask)``, 5 bits.
    row_mode : (2, 256)
        0 disabled, 1 excitatory, 2 inhibitory, 3 both.
    weight, synapse_label : (2, 256, 256)
        [half, row, column], 6 bits each. The circuit of row r and column c sees column c of half r.
    neuron_enabled : (512,) bool
        Circuits that work as neurons or as parts of one. The pairs of delay elements aren't among them.
    master : (512,)
        The circuit whose threshold and reset act for the merged neuron that a circuit belongs to; itself if it isn't
        merged. Merged circuits are neighbours in one row, and only the master's spikes leave.
    delay_register : (128,)
        0 if circuits 256 + 2k and 257 + 2k are no delay element, else 50..250. A source triggers element k if the
        excitatory weights that it reaches on circuit 256 + 2k sum to 800 or more.

    Raises
    ------
    PlacementError
        A value is impossible; the message names the field, the value, the range and the remedy.
    """

    crossbar_enabled: BoolArray
    crossbar_mask: IntArray
    crossbar_target: IntArray
    external_label: IntArray
    neuron_label: IntArray
    neuron_output: BoolArray
    background_enabled: BoolArray
    background_label: IntArray
    background_mask: IntArray
    background_period: IntArray
    background_poisson: BoolArray
    background_rate: IntArray
    background_seed: IntArray
    driver_mask: IntArray
    row_mode: IntArray
    weight: IntArray
    synapse_label: IntArray
    neuron_enabled: BoolArray
    master: IntArray
    delay_register: IntArray

    def __post_init__(self) -> None:
        for name, limits in _MEMORY.items():
            object.__setattr__(self, name, _memory(name, getattr(self, name), limits))
        for name, shape in _SWITCHES.items():
            object.__setattr__(self, name, _switches(name, getattr(self, name), shape))
        self._check_nodes()
        self._check_merged()
        self._check_delays()

    @classmethod
    def empty(cls) -> Fabric:
        """A chip on which nothing is switched on."""
        values: dict[str, Any] = {name: np.zeros(shape, dtype=bool) for name, shape in _SWITCHES.items()}
        for name, limits in _MEMORY.items():
            values[name] = np.full([size or 0 for size in limits.shape], limits.low)
        values["master"] = np.arange(N_CIRCUITS)
        return cls(**values)

    def with_weights(self, weight: ArrayLike, delay_register: ArrayLike | None = None) -> Fabric:
        """The same contents with other weights and delays; what stays isn't checked again.

        Parameters
        ----------
        weight : (2, 256, 256) array_like of int
        delay_register : (128,) array_like of int or None
            None leaves the registers as they are.

        Raises
        ------
        PlacementError
            A value is impossible.
        """
        other = copy(self)
        values = {"weight": weight} if delay_register is None else {"weight": weight, "delay_register": delay_register}
        for name, given in values.items():
            object.__setattr__(other, name, _memory(name, given, _MEMORY[name]))
        other._check_delays()
        return other

    def _check_nodes(self) -> None:
        missing = np.argwhere(self.crossbar_enabled & ~NODES)
        if len(missing):
            node = tuple(missing[0].tolist())
            raise PlacementError(
                f"fabric.crossbar_enabled[{node[0]}, {node[1]}] is on, but the crossbar has no node from input "
                f"{node[0]} to output {node[1]}; take one of the {NODES.sum()} nodes of labels.NODES"
            )

    def _check_merged(self) -> None:
        merged = np.flatnonzero(self.master != np.arange(N_CIRCUITS))
        if not merged.size:
            return
        for circuit in merged.tolist():
            master = int(self.master[circuit])
            between = self.master[min(circuit, master) : max(circuit, master) + 1]
            if circuit // N_COLUMNS != master // N_COLUMNS or np.any(between != master):
                raise PlacementError(
                    f"fabric.master[{circuit}] = {master}: a merged neuron takes neighbouring circuits of one row, all "
                    "with the same master; merge neighbours"
                )
            if self.neuron_output[circuit]:
                raise PlacementError(
                    f"fabric.neuron_output[{circuit}] is on, but the circuit is merged into {master}; "
                    "switch on the output of the master alone"
                )

    def _check_delays(self) -> None:
        elements = np.flatnonzero(self.delay_register)
        if not elements.size:
            return
        short = elements[self.delay_register[elements] < MIN_DELAY_REGISTER]
        if short.size:
            raise PlacementError(
                f"fabric.delay_register[{short[0]}] = {self.delay_register[short[0]]} is outside "
                f"{MIN_DELAY_REGISTER}..{MAX_DELAY_REGISTER}; clip the register, or 0 for none"
            )
        for pair in (FIRST_DELAY_OUTPUT - 1 + 2 * elements, FIRST_DELAY_OUTPUT + 2 * elements):
            busy = pair[self.neuron_enabled[pair] | (self.master[pair] != pair)]
            if busy.size:
                element = (busy[0] - FIRST_DELAY_OUTPUT + 1) // 2
                raise PlacementError(
                    f"fabric.neuron_enabled[{busy[0]}] is on or merged, but the circuit belongs to delay element "
                    f"{element}; place the neuron elsewhere or set fabric.delay_register[{element}] = 0"
                )

    @property
    def n_sources(self) -> int:
        """Number of sources, the random labels of background generators included."""
        return int(random_begin(self)[-1])

    def event(self, source: int) -> tuple[int, int] | None:
        """Crossbar input and 14-bit label of the events of a source; None if it sends none."""
        if source < BACKGROUND:
            if not self.neuron_output[source]:
                return None
            return event_output(source), int(spike_label(source, self.neuron_label[source]))
        if source < EXTERNAL:
            generator = source - BACKGROUND
            if not self.background_enabled[generator] or self.background_mask[generator]:
                return None
            return FIRST_BACKGROUND_INPUT + generator, int(self.background_label[generator])
        if source < EXTERNAL + self.external_label.size:
            channel, label = unpack(int(self.external_label[source - EXTERNAL]))
            return FIRST_L2_INPUT + channel, label
        first = random_begin(self)
        generator = int(np.searchsorted(first, source, side="right")) - 1
        label = random_labels(self, generator)[source - first[generator]]
        return FIRST_BACKGROUND_INPUT + generator, int(label)

    def deliver(self, crossbar_input: int, label: int) -> dict[int, list[Synapse]]:
        """Follow one event through the chip by hand.

        Parameters
        ----------
        crossbar_input : int
            0..19.
        label : int
            14 bits.

        Returns
        -------
        dict of int to list of Synapse
            For each crossbar output that the event leaves through, ascending: the synapses that it drives, by row,
            then column. Outputs 8..11 lead to the host and drive none.
        """
        reached: dict[int, list[Synapse]] = {}
        for output in range(N_OUTPUTS):
            mask, target = self.crossbar_mask[crossbar_input, output], self.crossbar_target[crossbar_input, output]
            if not self.crossbar_enabled[crossbar_input, output] or label & mask != target:
                continue
            reached[output] = []
            if output >= FIRST_L2_OUTPUT:
                continue
            half, bus = output // N_BUSES, output % N_BUSES
            for driver in range(N_DRIVERS):
                mask = self.driver_mask[half, driver]
                if bus_of_driver(driver) != bus or row_select(label) & mask != index_on_bus(driver) & mask:
                    continue
                for row in rows_of_driver(driver):
                    listens = self.synapse_label[half, row] == synapse_label(label)
                    for column in np.flatnonzero(listens & (self.weight[half, row] > 0)).tolist():
                        for sign in _SIGNS[int(self.row_mode[half, row])]:
                            weight = int(self.weight[half, row, column])
                            reached[output].append(Synapse(half, row, column, weight, sign))
        return reached


def _frozen(array: Array) -> Array:
    if array.flags.writeable:  # a copy, so that nobody changes it later
        array = array.copy()
        array.flags.writeable = False
    return array


def _memory(name: str, values: ArrayLike, limits: _Limits) -> IntArray:
    with placement_errors():
        return _frozen(integers(f"fabric.{name}", values, limits.shape, limits.low, limits.high, remedy=limits.remedy))


def _switches(name: str, values: ArrayLike, shape: tuple[int, ...]) -> BoolArray:
    with placement_errors():
        return _frozen(booleans(f"fabric.{name}", values, shape))


def random_labels(fabric: Fabric, generator: int) -> IntArray:
    """All 14-bit labels of a background generator that randomises label bits, ascending."""
    mask = int(fabric.background_mask[generator])
    choices = np.arange(mask + 1)
    return (fabric.background_label[generator] & ~mask) | choices[choices & ~mask == 0]


def random_begin(fabric: Fabric) -> IntArray:
    """Sources of the random labels of generator b are random_begin[b]..random_begin[b + 1]; (9,) int64."""
    counts = np.where(fabric.background_enabled & (fabric.background_mask > 0), 1, 0)
    for generator in np.flatnonzero(counts):
        counts[generator] = 2 ** int(fabric.background_mask[generator]).bit_count()
    return EXTERNAL + fabric.external_label.size + np.concatenate([[0], np.cumsum(counts)])
