"""Wire resistance: what a crossbar's outputs are once the current has to flow through its lines.

Rows run left to right and are driven at their left end (or at both), columns run top to bottom and are sensed at their
bottom end at virtual ground. Cell (i, j) has the conductance G_ij in series with its access transistor, and connects
row node W_ij to column node B_ij. Topology "passive" (also a 1T1R array whose source lines are perpendicular to its
bit lines), with the line conductances g_w and g_b per segment:

    g_w (W_i,j-1 - W_ij) + g_w (W_i,j+1 - W_ij) = G_ij (W_ij - B_ij)
    g_b (B_i-1,j - B_ij) + g_b (B_i+1,j - B_ij) = -G_ij (W_ij - B_ij)

with V_i behind the first row segment and the driver in series, ground behind the last column segment and the sense
resistance in series, and nothing at the other ends (two-sided: V_i, driver and a segment at the right end too).

Topology "source_line_parallel" is a 1T1R array whose bit line and source line both run along the column, and whose
rows are gate lines that carry no current. Rows are read one after another: while the gates of row i are open, the
bit lines are at V_i, and the outputs are the sums over all rows. No current is shared, so with rows counted
0..m - 1 from the top, where the bit lines are driven, to the bottom, where the source lines are sensed,

    I_j = sum_i V_i / (1 / G_ij + driver + (i + 1) r_row + (m - i) r_column + sense)

where r_row is a segment of the bit line and r_column one of the source line (two-sided: the bit line is driven at the
bottom too, and both ways to the cell are parallel). With several gates open at once the loss would depend on which
ones, and no matrix could describe it.

Equations: nodal analysis as in Joksas & Mehonic, SoftwareX 12 (2020) 100617.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dissection
from .arrays import Shape, floats, integers
from .errors import CrossbarError, check_number, exact
from .kernels import wires as kernels
from .shown import shown, times

MAX_CONDUCTANCE_uS = 1e6
MAX_RESISTANCE_ohm = 1e6
MAX_VOLTAGE_V = 100.0
_MOHM_PER_OHM = 1e-6
_DRIVES = ("one_sided", "two_sided")
_TOPOLOGIES = ("passive", "source_line_parallel")
# Operations per cell when rows are connected one by one, n (n + m / 2), from which dissection is quicker; timed. About
# 110 x 110 cells.
_DISSECTED_FROM = 17_000


@dataclass(frozen=True)
class WireConfig:
    """Resistances of an array's lines and of what they end in.

    Parameters
    ----------
    row_ohm, column_ohm : float
        One segment, from cell to cell; the same from the driver to the first cell and from the last cell to the
        sense amplifier. 1 ohm is assumed; the emulated 130 nm chip's value isn't published.
    driver_ohm : float
        In series with every driven row end.
    sense_ohm : float
        Input resistance of the sense amplifier.
    drive : {"one_sided", "two_sided"}
        Rows driven at the left end, or at both ends.
    topology : {"passive", "source_line_parallel"}
        Equations: see the module.
    access_ohm : float
        On-resistance of the access transistor, in series with every cell; 0 for an array without transistors.

    Raises
    ------
    CrossbarError
        If a resistance isn't within 0..1e6 ohm, or a choice is unknown.
    """

    row_ohm: float = 1.0
    column_ohm: float = 1.0
    driver_ohm: float = 0.0
    sense_ohm: float = 0.0
    drive: Literal["one_sided", "two_sided"] = "one_sided"
    topology: Literal["passive", "source_line_parallel"] = "passive"
    access_ohm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("row_ohm", "column_ohm", "driver_ohm", "sense_ohm", "access_ohm"):
            check_number(
                f"wires.{name}",
                getattr(self, name),
                0.0,
                MAX_RESISTANCE_ohm,
                "ohm",
                "give the resistance in ohm, 0 for none",
            )
        for name, allowed in (("drive", _DRIVES), ("topology", _TOPOLOGIES)):
            if getattr(self, name) not in allowed:
                raise CrossbarError(
                    f"wires.{name} = {reprlib.repr(getattr(self, name))} is unknown; choose {' or '.join(allowed)}"
                )


@shown
class Solution(NamedTuple):
    """Currents and voltages of an array; with a batch of inputs, arrays have the batch as first axis.

    currents_uA: (n,) into the sense amplifiers. row_V, column_V: (m, n) at the row's and the column's node of every
    cell (source_line_parallel: on the bit line and on the source line, while the cell's row is open). residual_uA:
    largest violation of Kirchhoff's current law at a node. sweeps: how often all rows and columns were solved.
    """

    currents_uA: NDArray[np.float64]
    row_V: NDArray[np.float64]
    column_V: NDArray[np.float64]
    residual_uA: float
    sweeps: int

    def _facts(self) -> dict[str, object]:
        return {
            "cells": times(self.row_V.shape[-2:]),
            "batch": "none" if self.row_V.ndim == 2 else len(self.row_V),
            "largest current": f"{float(np.abs(self.currents_uA).max(initial=0.0)):.4g} uA",
            "residual": f"{float(self.residual_uA):.1e} uA",
            "sweeps": self.sweeps,
        }


def with_access(g_uS: ArrayLike, access_ohm: float) -> NDArray[np.float64]:
    """Conductance of cells with their access transistors in series, 1 / (1 / G + R_on).

    Parameters
    ----------
    g_uS : array_like
        Any shape, uS; 0 stays 0.
    access_ohm : float
        On-resistance of a transistor.
    """
    g = floats("g_uS", g_uS, low=0.0, unit="uS", remedy="a conductance isn't negative")
    check_number("access_ohm", access_ohm, 0.0, MAX_RESISTANCE_ohm, "ohm", "give the transistor's on-resistance")
    return g / (1.0 + access_ohm * _MOHM_PER_OHM * g)


def solve(
    g_uS: ArrayLike, v_V: ArrayLike, wires: WireConfig, tolerance: float = 1e-12, max_sweeps: int = 2000
) -> Solution:
    """Currents and node voltages of an array for given row voltages.

    Parameters
    ----------
    g_uS : (m, n) array_like
        Conductances of the cells, without access transistors, uS.
    v_V : (m,) or (batch, m) array_like
        Voltages of the row drivers, V.
    wires : WireConfig
    tolerance : float
        Largest voltage change of the last sweep as a fraction of the largest input voltage, and largest violation of
        Kirchhoff's current law at a node as a fraction of the largest current through a cell.
    max_sweeps : int
        Most sweeps per input vector.

    Returns
    -------
    Solution

    Raises
    ------
    CrossbarError
        If a value is out of range, a shape doesn't fit, or the voltages still move after `max_sweeps`.

    Notes
    -----
    Line relaxation (all rows by the Thomas algorithm, then all columns), accelerated by conjugate gradients. For many
    input vectors and no voltages, `effective_matrix` is quicker.
    """
    g, v = _checked_inputs(g_uS, v_V, wires)
    check_number("tolerance", tolerance, 1e-14, 1.0, "", "give a fraction of the input voltage, e.g. 1e-12")
    check_number("max_sweeps", max_sweeps, 1, 10**9, "", "allow at least one sweep", whole=True)
    batch = np.atleast_2d(v)
    if wires.topology == "source_line_parallel":
        solution = _solve_row_by_row(g, batch, wires)
    else:
        solution = _solve_passive(g, batch, wires, tolerance, max_sweeps)
    if v.ndim == 1:
        solution = solution._replace(
            currents_uA=solution.currents_uA[0], row_V=solution.row_V[0], column_V=solution.column_V[0]
        )
    return solution


def effective_matrix(g_uS: ArrayLike, wires: WireConfig) -> NDArray[np.float64]:
    """Conductances (m, n) in uS so that ``currents_uA = v_V @ effective_matrix(...)``.

    Parameters
    ----------
    g_uS : (m, n) array_like
        Conductances of the cells, without access transistors, uS.
    wires : WireConfig

    Raises
    ------
    CrossbarError
        If a conductance is out of range or the shape isn't (m, n).

    Notes
    -----
    Direct, without iteration, whatever the resistances are. In small arrays rows are connected to the columns one by
    one, and the columns' resistance to their sense amplifiers follows segment by segment: m n^2 (m + n) operations.
    Larger ones are dissected into halves of halves: n^3 for n x n cells, see `memristor.dissection`.
    """
    return _effective(_checked_conductances(g_uS, wires), wires)


def refresh(g_eff_uS: NDArray[np.float64], g_uS: ArrayLike, wires: WireConfig, rows: ArrayLike) -> NDArray[np.float64]:
    """Effective matrix after the conductances of some rows have changed.

    Parameters
    ----------
    g_eff_uS : (m, n) ndarray
        Effective matrix before the change, uS; left as it is.
    g_uS : (m, n) array_like
        All conductances after the change, uS.
    wires : WireConfig
    rows : (k,) array_like of int
        Rows in which any conductance has changed.

    Returns
    -------
    (m, n) ndarray
        What `effective_matrix` gives, uS.

    Raises
    ------
    CrossbarError
        If a value is out of range or a shape doesn't fit.

    Notes
    -----
    Exact and cheap only where rows don't see each other, that is without column and sense resistance, or with parallel
    source lines: then just these rows are computed. Otherwise everything is: a change of k cells is an update of rank
    k that takes k solves, and at 128 x 128 about 30 of them take as long as the whole matrix.
    """
    g = _checked_conductances(g_uS, wires)
    before = floats(
        "g_eff_uS",
        g_eff_uS,
        g.shape,
        -MAX_CONDUCTANCE_uS,
        MAX_CONDUCTANCE_uS,
        "uS",
        "give what effective_matrix returned",
    )
    changed = np.unique(integers("rows", rows, (None,), 0, g.shape[0] - 1, remedy="name rows of the array"))
    if changed.size == 0:
        return before.copy()
    parallel = wires.topology == "source_line_parallel"
    if not parallel and (wires.column_ohm > 0.0 or wires.sense_ohm > 0.0):
        return _effective(g, wires)
    after = before.copy()
    after[changed] = _effective(g, wires)[changed] if parallel else _effective(g[changed], wires)
    return after


def solve_dense(g_uS: ArrayLike, v_V: ArrayLike, wires: WireConfig) -> Solution:
    """Readable twin of `solve` for one vector and small arrays: Ohm's and Kirchhoff's law as they stand, dense.

    Unknown are the voltages of all nodes and the currents of all wire segments, so that resistances may be 0. Same
    parameters, results and errors as `solve`; the largest violation of Kirchhoff's law is computed from the result.
    """
    g, v = _checked_inputs(g_uS, v_V, wires)
    floats("v_V", v, (g.shape[0],), -MAX_VOLTAGE_V, MAX_VOLTAGE_V, "V", "give one vector")
    if wires.topology == "passive":
        return _solve_network(g, v, wires)
    one_row = np.eye(len(v), dtype=bool)
    rows = [_solve_network(np.where(one_row[i][:, None], g, 0.0), np.full(len(v), v[i]), wires) for i in range(len(v))]
    return Solution(
        np.sum([row.currents_uA for row in rows], axis=0),
        np.array([row.row_V[i] for i, row in enumerate(rows)]),
        np.array([row.column_V[i] for i, row in enumerate(rows)]),
        max(row.residual_uA for row in rows),
        0,
    )


def _checked_inputs(
    g_uS: ArrayLike, v_V: ArrayLike, wires: WireConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Conductances with access transistors, and voltages (m,) or (batch, m)."""
    g = _checked_conductances(g_uS, wires)
    shapes: list[Shape] = [(g.shape[0],), (None, g.shape[0])]
    remedy = "give one voltage in V per row, or a batch of such vectors"
    return g, floats("v_V", v_V, shapes, -MAX_VOLTAGE_V, MAX_VOLTAGE_V, "V", remedy)


def _checked_conductances(g_uS: ArrayLike, wires: WireConfig) -> NDArray[np.float64]:
    """Conductances of the cells with their access transistors."""
    g = floats("g_uS", g_uS, (None, None), 0.0, MAX_CONDUCTANCE_uS, "uS", "give conductances [row, column] in uS")
    if g.size == 0:
        raise CrossbarError(f"g_uS has shape {g.shape}; expected at least one row and one column")
    return with_access(g, wires.access_ohm)


def _effective(g: NDArray[np.float64], wires: WireConfig) -> NDArray[np.float64]:
    """`effective_matrix` of checked conductances with their access transistors."""
    if wires.topology == "source_line_parallel":
        to_bit_line, to_source_line = _paths_mohm(g.shape[0], wires)
        return g / (1.0 + g * (to_bit_line + to_source_line)[:, None])
    rows, columns = g.shape
    if columns * (columns + rows / 2) >= _DISSECTED_FROM:
        return dissection.effective_matrix(g, *_lines(wires))
    g_eff = np.empty(g.shape)
    kernels.effective_matrix(g, *_lines(wires), g_eff)
    return g_eff


def _lines(wires: WireConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns as the kernels want them: segment and near end in MOhm, far end in uS."""
    row = wires.row_ohm * _MOHM_PER_OHM
    column = wires.column_ohm * _MOHM_PER_OHM
    driver = row + wires.driver_ohm * _MOHM_PER_OHM
    # Without resistance, that is below 1e-12 ohm, a row is at its source's voltage from whichever end it is driven.
    far = 1.0 / driver if wires.drive == "two_sided" and driver > 1e-18 else 0.0
    return np.array([row, driver, far]), np.array([column, column + wires.sense_ohm * _MOHM_PER_OHM, 0.0])


def _paths_mohm(m: int, wires: WireConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Resistance (m,) from the bit line's driver to a row, and from the row to the source line's sense amplifier."""
    above = np.arange(1.0, m + 1.0)
    below = above[::-1]
    bit_line = wires.driver_ohm + above * wires.row_ohm
    if wires.drive == "two_sided":
        other_way = wires.driver_ohm + below * wires.row_ohm
        both = bit_line + other_way
        bit_line = np.divide(bit_line * other_way, both, out=np.zeros(m), where=both > 0.0)
    source_line = wires.sense_ohm + below * wires.column_ohm
    return bit_line * _MOHM_PER_OHM, source_line * _MOHM_PER_OHM


def _solve_row_by_row(g: NDArray[np.float64], batch: NDArray[np.float64], wires: WireConfig) -> Solution:
    """The closed form of source_line_parallel."""
    to_bit_line, to_source_line = _paths_mohm(g.shape[0], wires)
    cell = batch[:, :, None] * _effective(g, wires)
    row_V = batch[:, :, None] - cell * to_bit_line[:, None]
    return Solution(cell.sum(axis=1), row_V, cell * to_source_line[:, None], 0.0, 0)


def _solve_passive(
    g: NDArray[np.float64], batch: NDArray[np.float64], wires: WireConfig, tolerance: float, max_sweeps: int
) -> Solution:
    """One vector after another, each scaled to a largest voltage of 1 V."""
    m, n = g.shape
    row_wire, column_wire = _lines(wires)
    from_corner = np.ascontiguousarray(g[::-1])
    row_V = np.zeros((len(batch), m, n))
    column_V = np.zeros((len(batch), m, n))
    row, column = np.empty((n, m)), np.empty((m, n))
    most_sweeps, residual = 0, 0.0
    for k, v in enumerate(batch):
        largest = np.abs(v).max()
        if largest == 0.0:
            continue
        status, sweeps, change, violation = kernels.solve_array(
            from_corner, v[::-1] / largest, row_wire, column_wire, tolerance, max_sweeps, row, column
        )
        if status != kernels.CONVERGED:
            raise CrossbarError(
                f"the voltages of the {m} x {n} array still change by {change:.2g} of the input voltage, and its "
                f"currents miss Kirchhoff's law by {largest * violation:.2g} uA, after {sweeps} sweeps with tolerance "
                f"= {exact(tolerance)}; raise max_sweeps or tolerance, or use smaller tiles"
            )
        row_V[k] = largest * row.T[::-1]
        column_V[k] = largest * column[::-1]
        most_sweeps, residual = max(most_sweeps, sweeps), max(residual, largest * violation)
    # One after another, so that a vector's sums don't depend on the size of its batch.
    currents = np.array([np.einsum("mn,mn->n", g, drop_V) for drop_V in row_V - column_V]).reshape(len(batch), n)
    return Solution(currents, row_V, column_V, float(residual), most_sweeps)


def _solve_network(g: NDArray[np.float64], v: NDArray[np.float64], wires: WireConfig) -> Solution:
    """All equations of one array in one dense system; g with access transistors, v (m,)."""
    m, n = g.shape
    passive = wires.topology == "passive"
    row_node = np.arange(m * n).reshape(m, n)
    column_node = row_node + m * n
    # The line that is driven: one per row, or (parallel source lines) one per column, with all of them at the same V.
    driven_lines = row_node if passive else row_node.T
    line_V = v if passive else np.full(n, v[0])
    # Wires as (from, to, ohm); None is a source or ground, whose voltage is the last entry.
    segments: list[tuple[int | None, int | None, float, float]] = []
    for line, volt in zip(driven_lines.tolist(), line_V, strict=True):
        end_ohm = wires.driver_ohm + wires.row_ohm
        segments.append((None, line[0], end_ohm, volt))
        segments += [(a, b, wires.row_ohm, 0.0) for a, b in pairwise(line)]
        if wires.drive == "two_sided" and end_ohm > 0.0:
            segments.append((None, line[-1], end_ohm, volt))
    first_output = len(segments)
    for line in column_node.T.tolist():
        segments.append((line[-1], None, wires.sense_ohm + wires.column_ohm, 0.0))
    for line in column_node.T.tolist():
        segments += [(a, b, wires.column_ohm, 0.0) for a, b in pairwise(line)]

    nodes = 2 * m * n
    matrix = np.zeros((nodes + len(segments), nodes + len(segments)))
    right = np.zeros(nodes + len(segments))
    for a, b, conductance in zip(row_node.flat, column_node.flat, g.flat, strict=True):
        # Kirchhoff at both nodes of a cell: what leaves, in uA.
        matrix[a, a] += conductance
        matrix[b, b] += conductance
        matrix[a, b] -= conductance
        matrix[b, a] -= conductance
    for k, (a, b, ohm, volt) in enumerate(segments):
        # Ohm along a segment: V_a - V_b - R I = 0; and its current leaves a and arrives at b.
        if a is not None:
            matrix[nodes + k, a] = 1.0
            matrix[a, nodes + k] = 1.0
        if b is not None:
            matrix[nodes + k, b] = -1.0
            matrix[b, nodes + k] = -1.0
        matrix[nodes + k, nodes + k] = -ohm * _MOHM_PER_OHM
        right[nodes + k] = -volt
    solution = np.linalg.solve(matrix, right)
    violation = np.abs(matrix[:nodes] @ solution).max()
    outputs = solution[nodes + first_output : nodes + first_output + n]
    return Solution(outputs, solution[row_node], solution[column_node], float(violation), 0)
