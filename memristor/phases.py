"""What the banks of a controller do for a command: phases of their tiles, with time, pulses, conversions and energy.

    pulse slot   one row of a tile, all its cells at once: RESET, SET, settling. The slot has both phases, whichever of
                 them the cells of the row need.
    conversion   one row of a tile (verify, read) or all rows (multiply): DAC settling, integration, and
    slot         ceil(columns to convert / converters of a bank) conversions.

A row takes part in a programming or verification round as long as one of its cells does. A product is one conversion
slot per input vector and bit plane; columns of a weight that are subtracted after the conversion are converted one by
one.

Energy. Pulses and conversions cost a fixed energy each. The rows' drivers give sum V^2 G t, with the conductances G of
the devices (the targets, where one row is verified), while the DAC settles and the current is integrated. Losses in
wires and access transistors would lower the current: they are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .config import CrossbarConfig
from .converters import encode
from .costs import CostTable
from .crossbar import Crossbar, TileJob
from .programming import ProgramReport
from .pulse_log import PulseCall
from .tile import Tile

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NS_PER_S = 1e9
_PJ_PER_UW_NS = 1e-3


class Phase(NamedTuple):
    """What a bank does for a tile without a break, and how long the tile then waits."""

    what: str
    duration_ns: int
    cells: int
    pulses: int = 0
    conversions: int = 0
    drive_pJ: float = 0.0
    wait_ns: int = 0
    calls: tuple[tuple[int, PulseCall], ...] = ()  # for the log, each with the time since the start of the phase


Work = dict[tuple[int, int], list[Phase]]  # of each tile that a command needs
RowSums = Callable[[Tile], FloatArray]  # conductance of all cells of each row of a tile, (rows,) uS


def programming(
    job: TileJob, report: ProgramReport, config: CrossbarConfig, calls: Sequence[PulseCall], costs: CostTable
) -> list[Phase]:
    """Rounds of pulses and verification of one array; one phase if there are no waits between.

    Parameters
    ----------
    job, report
        What was programmed, and what it took.
    config : CrossbarConfig
    calls : sequence of PulseCall
        For the log, one for each round of pulses; none without a log.
    costs : CostTable
    """
    recipe, v_read_V = config.recipe, config.dac.v_read_V
    logged = iter(calls)
    if recipe.method == "one_shot":
        return [_pulses(job.rows, report.pulses, logged, costs)]
    if recipe.method == "incremental":  # a reading, then a pulse, and so on; a reading is last
        per_cycle = np.ones_like(report.pulses)
        cycles, reads = report.pulses, report.pulses + 1
    else:
        per_cycle = np.where(job.targets_uS > config.device.g_low_uS, 2, 1)  # RESET and SET, or RESET alone
        cycles = reads = report.pulses // per_cycle
    wait_ns = round(recipe.wait_s * _NS_PER_S)
    phases = []
    for done in range(int(reads.max(initial=0))):
        pulse, read = cycles > done, reads > done
        pulses = [_pulses(job.rows[pulse], per_cycle[pulse], logged, costs, wait_ns)] if pulse.any() else []
        verify = [_verification(job.rows[read], v_read_V**2 * job.targets_uS[read], costs)]
        phases += verify + pulses if recipe.method == "incremental" else pulses + verify
    return phases if wait_ns else _joined(phases)


def _pulses(rows: IntArray, pulses: IntArray, logged: Iterator[PulseCall], costs: CostTable, wait_ns: int = 0) -> Phase:
    """One programming round: the rows of the cells (n,) that take part, and the pulses of each."""
    slots = int(np.count_nonzero(np.bincount(rows)))
    calls = tuple((0, call) for call in islice(logged, 1))
    return Phase("program", slots * costs.pulse_slot_ns, rows.size, int(pulses.sum()), wait_ns=wait_ns, calls=calls)


def _verification(rows: IntArray, power_uW: FloatArray, costs: CostTable) -> Phase:
    """One verification round: the rows of the cells (n,) that take part, and the power at which each is read."""
    columns = np.bincount(rows)
    duration_ns = costs.conversion_slots_ns(columns[columns > 0])
    return Phase(
        "verify", duration_ns, rows.size, conversions=rows.size, drive_pJ=_drive_pJ(float(power_uW.sum()), costs)
    )


def multiplication(crossbar: Crossbar, x: ArrayLike, costs: CostTable, row_sums: RowSums) -> Work:
    """One product of inputs (batch, n_inputs) and the layer."""
    config = crossbar.config
    phases = [drive.volts for drive in encode(config.dac, x)]
    squares = sum(np.square(volts).sum(axis=0) for volts in phases)  # V^2 of each row, summed over the inputs
    slots = sum(len(volts) for volts in phases)
    work, start = {}, 0
    for r, row in enumerate(crossbar.tiles):
        converts = config.conversion == "tile" or r == len(crossbar.tiles) - 1
        rows = slice(start, start + row[0].shape[0])
        start = rows.stop
        for c, tile in enumerate(row):
            columns = _conversions(crossbar, tile.shape[1]) if converts else 0
            drive_pJ = _drive_pJ(float((squares[rows] * row_sums(tile)).sum()), costs)
            slots_ns = slots * costs.conversion_slot_ns(columns)
            size = tile.cells.g_uS.size
            work[r, c] = [Phase("multiply", slots_ns, size, conversions=slots * columns, drive_pJ=drive_pJ)]
    return work


def reading(crossbar: Crossbar, costs: CostTable, row_sums: RowSums) -> Work:
    """A row-by-row read-out of the layer."""
    work: Work = {}
    for r, row in enumerate(crossbar.tiles):
        for c, tile in enumerate(row):
            rows, columns = tile.shape[0], _conversions(crossbar, tile.shape[1])
            drive_pJ = _drive_pJ(crossbar.config.dac.v_read_V**2 * float(row_sums(tile).sum()), costs)
            duration_ns = rows * costs.conversion_slot_ns(columns)
            size = tile.cells.g_uS.size
            work[r, c] = [Phase("read", duration_ns, size, conversions=rows * columns, drive_pJ=drive_pJ)]
    return work


def _drive_pJ(power_uW: float, costs: CostTable) -> float:
    """Energy of the row drivers during one conversion slot."""
    return power_uW * costs.drive_ns * _PJ_PER_UW_NS


def _conversions(crossbar: Crossbar, columns: int) -> int:
    """Conversions for one row or one product of an array with so many columns."""
    return crossbar.mapping.weights_in(columns) if crossbar.config.adc.subtraction == "before" else columns


def _joined(phases: list[Phase]) -> list[Phase]:
    """One phase for several that follow each other."""
    if len(phases) < 2:
        return phases
    calls, end_ns = [], 0
    for phase in phases:
        calls += [(end_ns + offset_ns, call) for offset_ns, call in phase.calls]
        end_ns += phase.duration_ns
    return [
        Phase(
            "program",
            end_ns,
            cells=max(phase.cells for phase in phases),
            pulses=sum(phase.pulses for phase in phases),
            conversions=sum(phase.conversions for phase in phases),
            drive_pJ=sum(phase.drive_pJ for phase in phases),
            calls=tuple(calls),
        )
    ]
