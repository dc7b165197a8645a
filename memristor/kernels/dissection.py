"""Jitted code of `memristor.dissection`: a few cells, and two blocks put together. Units as in `wires`."""

from __future__ import annotations

import numpy as np

from ..jit import njit


@njit(cache=True, error_model="numpy")
def drive(matrix, first, last, far):
    """Put `far` uS from each port [first:last] of F, whose current was given, to a source, whose voltage is given."""
    for port in range(first, last):
        seen = matrix[port].copy()
        factor = far / (1.0 - far * seen[port])
        seen[port] = 1.0
        matrix[port] = 0.0
        matrix[:, port] = 0.0
        for i in range(seen.size):
            share = factor * seen[i]
            for j in range(seen.size):
                matrix[i, j] += share * seen[j]


@njit(cache=True, error_model="numpy")
def few_cells(g, row_mohm, column_mohm, far, rows, columns):
    """F (ports, ports) of a few cells, without dissection, and the ports on each side, (4,) int64.

    Parameters: g (m, n) float64, uS; row_mohm (n,), column_mohm (m,) float64; far, uS; rows and columns (2,) int64:
    first and last + 1; all as in `memristor.dissection`.

    While no cell conducts, each cell k has a voltage e_k that follows from x. With R_kl the resistance that the
    currents of cells k and l have in common, and D the diagonal matrix of the roots of the conductances, the cells'
    currents are D (1 + D R D)^-1 D e. The bracket is positive definite and is eliminated without pivots.
    """
    first_row, first_column = rows[0], columns[0]
    m, n = rows[1] - first_row, columns[1] - first_column
    ends = columns[1] == g.shape[1]
    has_right, has_top = not ends or far > 0.0, rows[1] < g.shape[0]
    cells, right = m * n, m + n
    top = right + m * has_right
    ports = top + n * has_top
    along_row, along_column = np.empty(n), np.empty(m)  # resistance up to a node
    so_far = 0.0
    for j in range(n):
        so_far += row_mohm[first_column + j]
        along_row[j] = so_far
    so_far = 0.0
    for i in range(m):
        so_far += column_mohm[first_row + i]
        along_column[i] = so_far

    equations = np.zeros((cells, cells + ports))
    for k in range(cells):
        i, j = k // n, k % n
        root = np.sqrt(g[first_row + i, first_column + j])
        equation = equations[k]
        for later in range(j, n):
            root_later = np.sqrt(g[first_row + i, first_column + later])
            equation[i * n + later] += root * along_row[j] * root_later
        for later in range(i, m):
            root_later = np.sqrt(g[first_row + later, first_column + j])
            equation[later * n + j] += root * along_column[i] * root_later
        equation[k] += 1.0
        equation[cells + i] = root
        equation[cells + m + j] = -root
        if has_right:
            equation[cells + right + i] = root * along_row[j]
        if has_top:
            equation[cells + top + j] = -root * along_column[i]

    matrix = np.zeros((ports, ports))
    if has_right:
        for i in range(m):
            matrix[i, right + i] = matrix[right + i, i] = -1.0
            matrix[right + i, right + i] = -along_row[n - 1]
    if has_top:
        for j in range(n):
            matrix[m + j, top + j] = matrix[top + j, m + j] = -1.0
            matrix[top + j, top + j] = -along_column[m - 1]
    for k in range(cells):
        equation = equations[k]
        inverse = 1.0 / equation[k]
        for later in range(k + 1, cells):
            factor = equation[later] * inverse
            if factor != 0.0:
                other = equations[later]
                for j in range(later, cells + ports):
                    other[j] -= factor * equation[j]
        for i in range(ports):
            factor = equation[cells + i] * inverse
            row = matrix[i]
            for j in range(ports):
                row[j] += factor * equation[cells + j]
    if ends and has_right:
        drive(matrix, right, top, far)
    return matrix, np.array([m, n, m * has_right, n * has_top])


@njit(cache=True, error_model="numpy")
def rows_of_side(matrix, sides, side):
    """A side's rows of a block's F: over the side itself (p, p), over the other ports (p, q), and where these are."""
    first = 0
    for earlier in range(side):
        first += sides[earlier]
    p, ports = sides[side], matrix.shape[0]
    itself, others, where = np.empty((p, p)), np.empty((p, ports - p)), np.empty(ports - p, np.int64)
    for j in range(ports - p):
        where[j] = j if j < first else j + p
    for i in range(p):
        row = matrix[first + i]
        for j in range(p):
            itself[i, j] = row[first + j]
        for j in range(ports - p):
            others[i, j] = row[where[j]]
    return itself, others, where


@njit(cache=True, error_model="numpy")
def together(a, sides_a, b, sides_b, along):
    """F and sides of two blocks, B on the right of A (along 0) or above it (along 1)."""
    z, p, where_a = rows_of_side(a, sides_a, 2 + along)
    y, q, where_b = rows_of_side(b, sides_b, along)
    inner, of_a, of_b = z.shape[0], where_a.size, where_b.size
    z *= -1.0
    work = np.empty((inner, inner))
    np.dot(z, y, work)
    for k in range(inner):
        work[k, k] += 1.0
    inverse = np.linalg.inv(work)
    k_p, y_k_p, k_z_q = np.empty((inner, of_a)), np.empty((inner, of_a)), np.empty((inner, of_b))
    aa, ab, bb = np.empty((of_a, of_a)), np.empty((of_a, of_b)), np.empty((of_b, of_b))
    np.dot(inverse, p, k_p)
    np.dot(y, k_p, y_k_p)
    np.dot(inverse, z, work)
    np.dot(work, q, k_z_q)
    np.dot(p.T, y_k_p, aa)
    np.dot(k_p.T, q, ab)
    np.dot(q.T, k_z_q, bb)

    place_a, place_b = np.empty(of_a, np.int64), np.empty(of_b, np.int64)
    sides = np.zeros(4, np.int64)
    ports, next_a, next_b = 0, 0, 0
    for side in range(4):
        if side != 2 + along:
            for _ in range(sides_a[side]):
                place_a[next_a] = ports
                next_a, ports = next_a + 1, ports + 1
            sides[side] += sides_a[side]
        if side != along:
            for _ in range(sides_b[side]):
                place_b[next_b] = ports
                next_b, ports = next_b + 1, ports + 1
            sides[side] += sides_b[side]
    matrix = np.empty((ports, ports))
    for i in range(of_a):
        row, before = matrix[place_a[i]], a[where_a[i]]
        for j in range(of_a):
            row[place_a[j]] = before[where_a[j]] + aa[i, j]
        for j in range(of_b):
            row[place_b[j]] = -ab[i, j]
    for i in range(of_b):
        row, before = matrix[place_b[i]], b[where_b[i]]
        for j in range(of_b):
            row[place_b[j]] = before[where_b[j]] - bb[i, j]
        for j in range(of_a):
            row[place_a[j]] = -ab[j, i]
    return matrix, sides
