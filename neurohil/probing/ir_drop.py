"""IR drop: what the wires of an array cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.probing.config import CrossbarExperiment
from neurohil.protocols import Floats
from neurohil.targets.crossbar_bench import CrossbarBench


class Drop(NamedTuple):
    """What the wires of an array cost.

    Attributes
    ----------
    segment_ohm : (r,)
        Resistance of a wire segment.
    size : (s,) int64
        Rows, and columns, of the array.
    loss : (r, s)
        Share of the current that is lost with all inputs at the read voltage.
    whole_loss : float
        Of the largest square of the array, with its own wires.
    v_read_V : float
    row_V, column_V, conductance_uS : (rows, columns)
        Voltages on both sides of each cell, and what lies between them.
    """

    segment_ohm: Floats
    size: NDArray[np.int64]
    loss: Floats
    whole_loss: float
    v_read_V: float
    row_V: Floats
    column_V: Floats
    conductance_uS: Floats

    @property
    def cell_loss(self) -> Floats:
        """Share of the read voltage that is lost before each cell."""
        return 1.0 - (self.row_V - self.column_V) / self.v_read_V


def ir_drop(config: CrossbarExperiment, step: Callable[[str], None]) -> Drop:
    """Voltages on the wires of the written array, and the share of the current that they cost."""
    if config.target.wires is None:
        raise UserError("ir-drop needs wires; add a table [target.wires] or --set target.wires.row_ohm=1")
    bench = CrossbarBench(config.target, config.seed)
    sizes, segments = sorted(config.ir_drop.sizes), sorted(config.ir_drop.segments_ohm)
    if sizes[-1] > min(bench.shape):
        rows, columns = bench.shape
        raise UserError(
            f"ir_drop.sizes: {sizes[-1]} doesn't fit into the array of {rows} x {columns}; lower it, or raise"
            " target.array.tile_rows and target.array.tile_columns"
        )
    bench.write(bench.random_weights())
    voltages = bench.voltages()
    step("solved")
    loss = []
    for segment_ohm in segments:
        loss.append([bench.current_lost(size, segment_ohm) for size in sizes])
        step(f"{segment_ohm:g} ohm")
    return Drop(
        segment_ohm=np.array(segments),
        size=np.array(sizes),
        loss=np.array(loss),
        whole_loss=bench.current_lost(min(bench.shape)),
        v_read_V=voltages.v_read_V,
        row_V=voltages.row_V,
        column_V=voltages.column_V,
        conductance_uS=bench.conductance_uS(),
    )
