"""Placement: what is written to the chip's digital memory, and the rules it has to keep.

Source ids: 0..511 is a circuit (the output of delay element k is circuit 257 + 2k), EXTERNAL + label an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constants import (
    EXTERNAL,
    FIRST_DELAY_OUTPUT,
    MAX_WEIGHT,
    N_COLUMNS,
    N_DELAY_ELEMENTS,
    N_LABELS,
    N_ROWS,
)
from .delay import check_registers
from .errors import PlacementError

IntArray = NDArray[np.int64]


def _integers(name: str, values: ArrayLike, n_dimensions: int) -> IntArray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != n_dimensions:
        raise PlacementError(
            f"{name} has type {array.dtype} and shape {array.shape}; give integers in {n_dimensions} dimension(s)"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


@dataclass(frozen=True)
class Wiring:
    """Contents of the digital memory; all arrays are int64 and are checked against the chip's limits.

    Attributes
    ----------
    n_inputs : int
        Input labels are 0..n_inputs - 1.
    row_source : (R,)
        Source id that the row listens to, R <= 256.
    row_sign : (R,)
        +1 for an excitatory, -1 for an inhibitory row.
    row_weight : (R, 256)
        Weight 0..63 of each synapse; the columns are circuits 0..255.
    delay_source : (D,)
        Source id that triggers delay element k = 0..D-1, D <= 128.
    delay_register : (D,)
        50..250.
    circuits : (N,)
        Network circuits that are switched on, ascending within 0..255; the others are silent.

    Raises
    ------
    PlacementError
        A rule is broken; the message names it with its numbers and the remedy.
    """

    n_inputs: int
    row_source: IntArray
    row_sign: IntArray
    row_weight: IntArray
    delay_source: IntArray
    delay_register: IntArray
    circuits: IntArray

    def __post_init__(self) -> None:
        for name in ("row_source", "row_sign", "delay_source", "delay_register", "circuits"):
            object.__setattr__(self, name, _integers(f"wiring.{name}", getattr(self, name), 1))
        object.__setattr__(self, "row_weight", _integers("wiring.row_weight", self.row_weight, 2))
        rows, elements = self.row_source.size, self.delay_source.size
        if not 0 <= self.n_inputs <= N_LABELS:
            raise PlacementError(
                f"wiring.n_inputs = {self.n_inputs} is outside 0..{N_LABELS} input labels; use fewer inputs"
            )
        if self.row_sign.shape != (rows,) or self.row_weight.shape != (rows, N_COLUMNS):
            raise PlacementError(
                f"wiring.row_sign has shape {self.row_sign.shape} and wiring.row_weight {self.row_weight.shape} for "
                f"{rows} row sources; give ({rows},) and ({rows}, {N_COLUMNS})"
            )
        if self.delay_register.shape != (elements,):
            raise PlacementError(
                f"wiring.delay_register has shape {self.delay_register.shape} for {elements} delay sources; "
                f"give ({elements},)"
            )
        _check_rows(rows)
        _check_delay_elements(elements)
        if np.any(np.abs(self.row_sign) != 1):
            raise PlacementError("wiring.row_sign holds values other than +1 and -1; a row has one sign")
        if rows and not (self.row_weight.min() >= 0 and self.row_weight.max() <= MAX_WEIGHT):
            row, column = np.argwhere((self.row_weight < 0) | (self.row_weight > MAX_WEIGHT))[0]
            raise PlacementError(
                f"wiring.row_weight[{row}, {column}] = {self.row_weight[row, column]} is outside 0..{MAX_WEIGHT} LSB; "
                "clip the weight"
            )
        try:
            check_registers("wiring.delay_register", self.delay_register)
        except ValueError as error:
            raise PlacementError(str(error)) from None
        circuits = self.circuits
        if circuits.size and (circuits[0] < 0 or circuits[-1] >= N_COLUMNS or np.any(np.diff(circuits) <= 0)):
            raise PlacementError(
                f"wiring.circuits must ascend within 0..{N_COLUMNS - 1}, the network's row of circuits; "
                "sort them and use fewer neurons"
            )
        outputs = FIRST_DELAY_OUTPUT + 2 * np.arange(elements)
        existing = np.zeros(EXTERNAL + self.n_inputs, dtype=bool)
        existing[circuits] = existing[outputs] = existing[EXTERNAL:] = True
        for name, sources in (("row_source", self.row_source), ("delay_source", self.delay_source)):
            inside = (sources >= 0) & (sources < existing.size)
            missing = np.flatnonzero(~(inside & existing[np.where(inside, sources, 0)]))
            if missing.size:
                raise PlacementError(
                    f"wiring.{name}[{missing[0]}] = {sources[missing[0]]} is no source: neither a circuit that is "
                    f"switched on, nor a delay output, nor {EXTERNAL} + an input label below {self.n_inputs}"
                )


@dataclass(frozen=True)
class Placement:
    """A feed-forward network on the chip.

    Attributes
    ----------
    wiring : Wiring
    neurons : tuple of (n,) int64
        Circuits of the neurons of each layer.
    delays : tuple of (n_pre,) int64 or None
        Output circuits of the delay elements in front of each layer.
    """

    wiring: Wiring
    neurons: tuple[IntArray, ...]
    delays: tuple[IntArray | None, ...]


def _check_rows(rows: int) -> None:
    if rows > N_ROWS:
        raise PlacementError(
            f"the network needs {rows} synapse rows, the chip half has {N_ROWS}, i.e. {N_ROWS // 2} signed sources; "
            "use fewer sources"
        )


def _check_delay_elements(elements: int) -> None:
    if elements > N_DELAY_ELEMENTS:
        raise PlacementError(
            f"the network needs {elements} delay elements, the chip has {N_DELAY_ELEMENTS}; delay fewer sources"
        )


def place_feedforward(
    n_inputs: int, weights: Sequence[ArrayLike], delay_registers: Sequence[ArrayLike | None]
) -> Placement:
    """Place a fully connected feed-forward network with signed weights and axonal delays.

    Every source takes two rows, an excitatory and an inhibitory one, and its delay element if it has one. Neurons
    take circuits 0, 1, ... in the order of the layers.

    Parameters
    ----------
    n_inputs : int
        Number of input labels.
    weights : sequence of (n_pre, n_post) array_like of int
        Signed weights in LSB, -63..63, one matrix per layer.
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
    layers = [_integers(f"weights[{layer}]", matrix, 2) for layer, matrix in enumerate(weights)]
    registers = [
        None if values is None else _integers(f"delay_registers[{layer}]", values, 1)
        for layer, values in enumerate(delay_registers)
    ]
    n_pre = n_inputs
    for layer, (matrix, values) in enumerate(zip(layers, registers, strict=True)):
        if matrix.shape[0] != n_pre:
            raise PlacementError(
                f"weights[{layer}] has {matrix.shape[0]} rows for {n_pre} sources; give one row per source"
            )
        if values is not None and values.shape != (n_pre,):
            raise PlacementError(
                f"delay_registers[{layer}] has {values.size} values for {n_pre} sources; give one per source or None"
            )
        if matrix.size and not (matrix.min() >= -MAX_WEIGHT and matrix.max() <= MAX_WEIGHT):
            pre, post = np.argwhere(np.abs(matrix) > MAX_WEIGHT)[0]
            raise PlacementError(
                f"weights[{layer}][{pre}, {post}] = {matrix[pre, post]} is outside -{MAX_WEIGHT}..{MAX_WEIGHT} LSB; "
                "clip the weight or use several copies of the source"
            )
        n_pre = matrix.shape[1]
    n_sources = sum(matrix.shape[0] for matrix in layers)
    n_neurons = sum(matrix.shape[1] for matrix in layers)
    n_elements = sum(values.size for values in registers if values is not None)
    _check_rows(2 * n_sources)
    _check_delay_elements(n_elements)
    if n_neurons > N_COLUMNS:
        raise PlacementError(
            f"the network needs {n_neurons} neurons, {N_COLUMNS} circuits are free for them (the other row holds the "
            "delay elements); use fewer neurons"
        )

    row_weight = np.zeros((2 * n_sources, N_COLUMNS), dtype=np.int64)
    row_source = np.empty(2 * n_sources, dtype=np.int64)
    delay_source = np.empty(n_elements, dtype=np.int64)
    delay_register = np.empty(n_elements, dtype=np.int64)
    neurons: list[IntArray] = []
    delays: list[IntArray | None] = []
    sources = EXTERNAL + np.arange(n_inputs)
    row = circuit = element = 0
    for matrix, values in zip(layers, registers, strict=True):
        n_pre, n_post = matrix.shape
        if values is None:
            delays.append(None)
        else:
            delay_source[element : element + n_pre] = sources
            delay_register[element : element + n_pre] = values
            sources = FIRST_DELAY_OUTPUT + 2 * np.arange(element, element + n_pre)
            delays.append(sources)
            element += n_pre
        rows = slice(row, row + 2 * n_pre)
        row_source[rows] = np.repeat(sources, 2)
        columns = slice(circuit, circuit + n_post)
        np.maximum(matrix, 0, out=row_weight[rows, columns][0::2])
        np.maximum(-matrix, 0, out=row_weight[rows, columns][1::2])
        sources = np.arange(circuit, circuit + n_post)
        neurons.append(sources)
        row += 2 * n_pre
        circuit += n_post
    wiring = Wiring(
        n_inputs=n_inputs,
        row_source=row_source,
        row_sign=np.tile(np.array([1, -1], dtype=np.int64), n_sources),
        row_weight=row_weight,
        delay_source=delay_source,
        delay_register=delay_register,
        circuits=np.arange(n_neurons),
    )
    return Placement(wiring, tuple(neurons), tuple(delays))
