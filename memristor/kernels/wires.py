"""Wires of a crossbar: parallel lines, the iteration between rows and columns, and the matrix that an array amounts to.

Units: conductance uS, resistance MOhm (so that their product is a number, and uA times MOhm is V), voltage V.
A line is a ladder: nodes 0, 1, ..., N - 1 with `segment` MOhm between neighbours, `near` MOhm between a source and
node 0, and `far` uS between the same source and node N - 1 (0 if that end is open); a `wire` is the array of these
three. Ladders are solved by their currents and resistances, so that wires without resistance need no other code.

`parasitics.solve_dense` is the readable twin.
"""

from __future__ import annotations

import numpy as np

from ..jit import njit

# Status of `solve_array`.
CONVERGED, STILL_MOVING = 0, 1

PANEL = 4  # columns that `add_resistance` takes at a time; its inner loop is written out for so many
BLOCK = 8  # rows that `multiply_transposed` takes at a time, so that their cache lines are used up


@njit(cache=True, error_model="numpy")
def eliminate(g, wire, share):
    """What reaches a node of the voltage before it, for all lines that run along axis 0 of g.

    Parameters: g (N, K) float64, uS, from the nodes to fixed voltages; wire (3,) float64; result share (N, K) float64.
    With the conductance d_k of node k and everything beyond it, d_k = g_k + d_(k+1) share_(k+1),
    share_k = 1 / (1 + segment d_k), and share_0 = 1 / (1 + near d_0).
    """
    segment, near, far = wire
    length, lines = g.shape
    beyond = np.full(lines, far)
    for k in range(length - 1, -1, -1):
        resistance = segment if k > 0 else near
        for line in range(lines):
            d = g[k, line] + beyond[line]
            share[k, line] = 1.0 / (1.0 + resistance * d)
            beyond[line] = d * share[k, line]


@njit(cache=True, error_model="numpy")
def solve_lines(share, wire, source, current, voltage):
    """Node voltages of all lines that run along axis 0.

    Parameters: share (N, K) float64 from `eliminate`; wire (3,) float64; source (K,) float64, V; current (N, K)
    float64, uA, that flows into the nodes while they are at 0 V; result voltage (N, K) float64, V, may be the array
    `current`. From the far end s_k = current_k + s_(k+1) share_(k+1), with far times source added at the last node;
    then from the near end voltage_0 = (source + near s_0) share_0, voltage_k = (voltage_(k-1) + segment s_k) share_k.
    """
    segment, near, far = wire
    length, lines = share.shape
    for line in range(lines):
        voltage[length - 1, line] = current[length - 1, line] + far * source[line]
    for k in range(length - 2, -1, -1):
        for line in range(lines):
            voltage[k, line] = current[k, line] + voltage[k + 1, line] * share[k + 1, line]
    for line in range(lines):
        voltage[0, line] = (source[line] + near * voltage[0, line]) * share[0, line]
    for k in range(1, length):
        for line in range(lines):
            voltage[k, line] = (voltage[k - 1, line] + segment * voltage[k, line]) * share[k, line]


@njit(cache=True, error_model="numpy")
def multiply_transposed(a, b, product):
    """product[j, i] = a[i, j] b[i, j]; a, b (M, N) float64, result product (N, M) float64."""
    rows, columns = a.shape
    for first in range(0, rows, BLOCK):
        for j in range(columns):
            for i in range(first, min(first + BLOCK, rows)):
                product[j, i] = a[i, j] * b[i, j]


@njit(cache=True, error_model="numpy")
def solve_array(g, v, row_wire, column_wire, tolerance, max_sweeps, row_voltage, column_voltage):
    """Voltages of all nodes of one array for one input vector.

    Parameters: g (m, n) float64, uS, beginning at the corner where rows are driven (j = 0) and columns are sensed
    (i = 0); v (m,) float64, V; row_wire, column_wire (3,) float64; tolerance, as V for voltages and as a fraction of
    the largest current of a cell for currents; results row_voltage (n, m), with the row last, and column_voltage
    (m, n), both float64, V. Returns (status, sweeps, largest voltage change of the last sweep in V, largest violation
    of Kirchhoff's current law at a node in uA). Both are within the tolerance, or max_sweeps was reached.

    A sweep solves all rows with the columns held, W = R(v, G B), then all columns with the rows held, B = C(G W).
    Eliminating W leaves a symmetric positive definite system for B whose residual is r = G W - C^-1 B. The change
    z = C(r) that a sweep makes is this residual, preconditioned by the columns; so conjugate gradients take the place
    of the plain iteration at the same cost per sweep. C^-1 p is carried along with the direction p as s: no
    resistance is ever inverted. Gradients update their residual, so it may drift: a plain sweep before and after them
    measures it as it is, G (W' - W) after W has become W'.
    """
    m, n = g.shape
    g_t = np.ascontiguousarray(g.T)
    row_share, column_share = np.empty((n, m)), np.empty((m, n))
    eliminate(g_t, row_wire, row_share)
    eliminate(g, column_wire, column_share)
    no_source_rows, no_source_columns = np.zeros(m), np.zeros(n)
    row_change = np.empty((n, m))
    lost, r, z, p, s = np.empty((m, n)), np.empty((m, n)), np.empty((m, n)), np.empty((m, n)), np.empty((m, n))
    # One per column, so that the loops over j are vectorised.
    sums, largest, largest_residual = np.empty(n), np.empty(n), np.empty(n)
    column_voltage[:] = 0.0

    sweeps = 0
    while True:
        multiply_transposed(g, column_voltage, row_voltage)
        solve_lines(row_share, row_wire, v, row_voltage, row_voltage)
        multiply_transposed(g_t, row_voltage, r)
        solve_lines(column_share, column_wire, no_source_columns, r, column_voltage)
        multiply_transposed(g, column_voltage, row_change)
        solve_lines(row_share, row_wire, v, row_change, row_change)
        for j in range(n):
            for i in range(m):
                before = row_voltage[j, i]
                row_voltage[j, i] = row_change[j, i]
                row_change[j, i] -= before
        multiply_transposed(g_t, row_change, r)
        sweeps += 1
        largest[:] = 0.0
        for i in range(m):
            for j in range(n):
                largest[j] = max(largest[j], abs(g[i, j] * (row_voltage[j, i] - column_voltage[i, j])))
        allowed_residual = tolerance * largest.max()

        p[:] = 0.0
        s[:] = 0.0
        product = np.inf
        steps = 0
        while True:
            solve_lines(column_share, column_wire, no_source_columns, r, z)
            sums[:] = 0.0
            largest[:] = 0.0
            largest_residual[:] = 0.0
            for i in range(m):
                for j in range(n):
                    sums[j] += r[i, j] * z[i, j]
                    largest[j] = max(largest[j], abs(z[i, j]))
                    largest_residual[j] = max(largest_residual[j], abs(r[i, j]))
            change, residual = largest.max(), largest_residual.max()
            converged = change <= tolerance and residual <= allowed_residual
            if converged or sweeps + 1 >= max_sweeps:  # one sweep is left for the end
                break
            steps += 1
            sweeps += 1
            product_before, product = product, sums.sum()
            kept = product / product_before
            for i in range(m):
                for j in range(n):
                    p[i, j] = z[i, j] + kept * p[i, j]
                    s[i, j] = r[i, j] + kept * s[i, j]
            multiply_transposed(g, p, row_change)
            solve_lines(row_share, row_wire, no_source_rows, row_change, row_change)
            multiply_transposed(g_t, row_change, lost)
            sums[:] = 0.0
            for i in range(m):
                for j in range(n):
                    lost[i, j] = s[i, j] - lost[i, j]
                    sums[j] += p[i, j] * lost[i, j]
            length = product / sums.sum()
            for i in range(m):
                for j in range(n):
                    column_voltage[i, j] += length * p[i, j]
                    r[i, j] -= length * lost[i, j]
        if steps == 0:
            return CONVERGED if converged else STILL_MOVING, sweeps, change, residual


@njit(cache=True, error_model="numpy")
def add_row(g, row_wire, seen, injected):
    """Connect one driven row to the columns' nodes: add what it conducts between them, and give what it feeds in.

    Parameters: g (n,) float64, uS; row_wire (3,) float64; seen (n, >= n) float64, uS, is added to in [j, k] for
    j <= k < n; result injected (n,) float64, uA into the grounded columns per V of the row's source. Between columns j
    and k the row conducts g_j (j = k) - g_j z_jk g_k, with z_jk the voltage of node j per current into node k:
    z_jj = x_j / (1 + x_j d_j) with d_j of `eliminate`, x_0 = near, x_(j+1) = segment + x_j / (1 + x_j g_j), and
    z_jk = z_j(k-1) share_k for k > j.
    """
    n = g.size
    segment, near, far = row_wire
    ladder = g.reshape(n, 1)
    share, voltage = np.empty((n, 1)), np.empty((n, 1))
    eliminate(ladder, row_wire, share)
    solve_lines(share, row_wire, np.ones(1), np.zeros((n, 1)), voltage)
    d = np.empty(n)
    d[n - 1] = g[n - 1] + far
    for j in range(n - 1, 0, -1):
        d[j - 1] = g[j - 1] + d[j] * share[j, 0]
    x = near
    for j in range(n):
        injected[j] = g[j] * voltage[j, 0]
        z = x / (1.0 + x * d[j])
        seen[j, j] += g[j] * (1.0 - z * g[j])
        for k in range(j + 1, n):
            z *= share[k, 0]
            seen[j, k] -= g[j] * z * g[k]
        x = segment + x / (1.0 + x * g[j])


@njit(cache=True, error_model="numpy")
def add_resistance(resistance, width, seen, rows, shares):
    """Put the resistance r into every column, one after another.

    Parameters: resistance in MOhm; seen (n, >= width) float64 holds [Y J] in its first `width` columns, Y (n, n)
    symmetric, uS, of which only [j, k] for j <= k is used and changed; rows (PANEL, >= width) and shares (PANEL, n)
    float64 are working space. A resistance in column k takes from [Y J] the matrix
    r / (1 + r Y_kk) Y[:, k] [Y J][k, :]: its column times its row. PANEL of these are subtracted at a time. Y_jk
    (j < k) is never positive and J never negative, so that hardly anything cancels.
    """
    n = seen.shape[0]
    for first in range(0, n, PANEL):
        shares[:] = 0.0
        rows[:] = 0.0
        for q in range(min(PANEL, n - first)):
            k = first + q
            for j in range(k):
                rows[q, j] = seen[j, k]
            for j in range(k, width):
                rows[q, j] = seen[k, j]
            for earlier in range(q):
                for j in range(width):
                    rows[q, j] -= shares[earlier, k] * rows[earlier, j]
            factor = resistance / (1.0 + resistance * rows[q, k])
            for i in range(n):
                shares[q, i] = factor * rows[q, i]
        for i in range(n):
            here = seen[i, i:width]
            row_0, row_1, row_2, row_3 = rows[0, i:width], rows[1, i:width], rows[2, i:width], rows[3, i:width]
            share_0, share_1, share_2, share_3 = shares[0, i], shares[1, i], shares[2, i], shares[3, i]
            for j in range(here.size):
                here[j] -= share_0 * row_0[j] + share_1 * row_1[j] + share_2 * row_2[j] + share_3 * row_3[j]


@njit(cache=True, error_model="numpy")
def effective_matrix(g, row_wire, column_wire, g_eff):
    """Output currents per input voltage of one array, without iteration. For large arrays: `memristor.dissection`.

    Parameters: g (m, n) float64, uS, beginning where rows are driven (j = 0); columns are sensed behind the last row;
    row_wire, column_wire (3,) float64 (columns' far end open); result g_eff (m, n) float64, uS.

    Rows are connected to the columns from the top. Y (n, n) is what the part above conducts between the columns and
    J (n, i) what it feeds into them, grounded, per voltage of each row; one segment further down they are
    (1 + r Y)^-1 Y and (1 + r Y)^-1 J.
    """
    m, n = g.shape
    segment, near, _ = column_wire
    seen = np.zeros((n, n + m))
    rows, shares = np.empty((PANEL, n + m)), np.empty((PANEL, n))
    injected = np.empty(n)
    for i in range(m):
        if i > 0 and segment > 0.0:
            add_resistance(segment, n + i, seen, rows, shares)
        add_row(g[i], row_wire, seen, injected)
        for j in range(n):
            seen[j, n + i] = injected[j]
    if near > 0.0:
        add_resistance(near, n + m, seen, rows, shares)
    for i in range(m):
        for j in range(n):
            g_eff[i, j] = seen[j, n + i]
