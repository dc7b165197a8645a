"""The matrix that an array with wires amounts to, by nested dissection: halves of halves, put together again.

A block of cells has four sides, on which lines end in ports: on the left (rows) and at the bottom (columns) with a
given voltage, on the right and at the top with a given current into the block. With x these values, and y the currents
into the block on the left and at the bottom and minus the voltages on the right and at the top, y = F x. So no
resistance is ever inverted, and no conductance: each may be 0. F is symmetric, as the network is reciprocal. Ports are
counted side after side: left, bottom, right, top.

Block B stands on the right of block A, so that the right side of A is the left side of B (or above it: top and bottom).
There F_A is -Z, F_B is Y, and P and Q are their rows over all other ports. With K = (1 + Z Y)^-1, both have

    F_A + P' Y K P    -P' K' Q
      -Q' K P       F_B - Q' K Z Q

Z and Y are positive semidefinite, so that 1 + Z Y is regular. Sides where lines end carry no current and are left out.
The larger a block, the fewer ports a cell has; what remains is dense products, and the time of n x n cells grows as
n^3. Nested dissection: George, SIAM J. Numer. Anal. 10 (1973) 345.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .blas import one_thread
from .kernels import dissection as kernels

FloatArray = NDArray[np.float64]
Block = tuple[FloatArray, NDArray[np.int64]]  # F (ports, ports), and how many ports are on each side

_FEW_CELLS = 16  # of a block that isn't divided; timed


@one_thread
def effective_matrix(g: FloatArray, row_wire: FloatArray, column_wire: FloatArray) -> FloatArray:
    """Output currents per input voltage of one array, (m, n) uS.

    Parameters
    ----------
    g : (m, n) float64
        Conductances of the cells, uS.
    row_wire, column_wire : (3,) float64
        Lines as in `kernels.wires`; the far ends of columns are open.
    """
    m, n = g.shape
    segments = np.full(n, row_wire[0]), np.full(m, column_wire[0])
    segments[0][0], segments[1][0] = row_wire[1], column_wire[1]
    from_corner = np.ascontiguousarray(g[::-1])
    matrix, _ = _block(from_corner, *segments, float(row_wire[2]), (0, m), (0, n))
    into_bottom = matrix[m : m + n]
    by_source = into_bottom[:, :m]
    if row_wire[2] > 0.0:
        by_source = by_source + into_bottom[:, m + n :]
    return np.ascontiguousarray(-by_source.T[::-1])


def _block(
    g: FloatArray,
    row_mohm: FloatArray,
    column_mohm: FloatArray,
    far_uS: float,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> Block:
    """The block of these rows and columns, first and last + 1.

    g begins at the corner where rows are driven and columns are sensed; row_mohm (n,), column_mohm (m,): of the segment
    before each node; far_uS: from the rows' far ends to a second source each, whose voltages are then the values on the
    array's right side, or 0.
    """
    m, n = rows[1] - rows[0], columns[1] - columns[0]
    if m * n <= _FEW_CELLS:
        return kernels.few_cells(g, row_mohm, column_mohm, far_uS, rows, columns)
    wires = row_mohm, column_mohm, far_uS
    if n >= m:
        half = columns[0] + n // 2
        left, right = _block(g, *wires, rows, (columns[0], half)), _block(g, *wires, rows, (half, columns[1]))
        return kernels.together(*left, *right, 0)
    half = rows[0] + m // 2
    lower, upper = _block(g, *wires, (rows[0], half), columns), _block(g, *wires, (half, rows[1]), columns)
    return kernels.together(*lower, *upper, 1)
