"""Maximum independent set as a QUBO: the graphs of NeuroBench's system track, generated exactly, and their targets.

minimise x^T Q x over x in {0, 1}^n;  Q = -1 on the diagonal, 4 at both entries of an edge, 0 elsewhere.

An independent set of k nodes costs -k, an edge inside the set adds 8, so the best cost is minus the size of the maximum
independent set. Graphs: uniform with a given number of edges, drawn as networkx's `gnm_random_graph` does with the same
seed (P. Erdős, A. Rényi, Publ. Math. Debrecen 6, 1959). Specification, graphs and target costs: NeuroBench/
system_benchmarks, QUBO (J. Yik et al., Nature Communications 16:1545, 2025).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurohil.errors import UserError

Bools = NDArray[np.bool_]

SIZES = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
DENSITIES = (0.01, 0.05, 0.10, 0.25)
TUNING_SEEDS = (0, 1, 2, 3, 4)  # the only published ones; those of the evaluation are announced by NeuroBench
REWARD, PENALTY = 1, 4
MAX_NODES = 20_000  # Q takes a byte per entry

# Costs for the tuning seeds as published in default_config.csv, each row a density. Below 50 nodes they come from a
# brute-force solver, above from D-Wave's tabu search: there they are the best known, not proven.
_TARGETS = {
    10: ("-10 -10 -10 -10 -10", "-8 -8 -9 -8 -8", "-7 -7 -7 -8 -7", "-6 -6 -5 -6 -5"),
    25: ("-22 -22 -23 -22 -22", "-15 -18 -17 -17 -17", "-12 -15 -14 -13 -13", "-9 -9 -8 -10 -8"),
    50: ("-40 -42 -41 -43 -40", "-28 -27 -27 -27 -26", "-20 -21 -19 -21 -22", "-12 -13 -12 -12 -13"),
    100: ("-73 -71 -74 -73 -71", "-44 -42 -45 -45 -42", "-30 -29 -30 -31 -30", "-17 -17 -16 -16 -18"),
    250: ("-142 -140 -137 -138 -143", "-69 -70 -67 -70 -68", "-43 -44 -44 -43 -45", "-22 -23 -23 -22 -22"),
    500: ("-219 -219 -214 -219 -214", "-85 -86 -86 -86 -86", "-52 -52 -51 -52 -53", "-26 -25 -25 -26 -25"),
    1000: ("-306 -307 -307 -304 -302", "-105 -105 -109 -103 -106", "-60 -60 -60 -61 -59", "-28 -28 -28 -28 -28"),
    2500: ("-439 -440 -440 -432 -433", "-125 -125 -124 -125 -124", "-69 -69 -70 -69 -70", "-31 -32 -31 -31 -32"),
    5000: ("-531 -528 -525 -532 -531", "-142 -140 -138 -138 -139", "-76 -76 -76 -76 -76", "-35 -34 -34 -34 -34"),
}


class Workload(NamedTuple):
    """One instance: n nodes, share of edges (0.01 for 1 %), seed of the graph."""

    n: int
    density: float
    seed: int

    def __str__(self) -> str:
        return f"n = {self.n}, {100 * self.density:g} %, seed {self.seed}"


def workloads(
    sizes: ArrayLike = SIZES, densities: ArrayLike = DENSITIES, seeds: ArrayLike = TUNING_SEEDS
) -> Iterator[Workload]:
    """All combinations, small ones first."""
    for n in np.asarray(sizes).tolist():
        for density in np.asarray(densities).tolist():
            for seed in np.asarray(seeds).tolist():
                yield Workload(n, density, seed)


def graph(workload: Workload) -> Bools:
    """Adjacency matrix of a workload's graph, equal to that of networkx for the same seed.

    Returns
    -------
    ndarray, shape (n, n), bool
        Symmetric, no loops, int(density n^2 / 2) edges.

    Raises
    ------
    UserError
        A value is out of range.
    """
    n, density, seed = workload
    if not 1 <= n <= MAX_NODES:
        raise UserError(f"max_independent_set: n = {n} is outside 1..{MAX_NODES} nodes")
    if not 0.0 <= density <= 1.0:
        raise UserError(f"max_independent_set: density = {density} is outside 0..1; give a fraction, 0.05 for 5 %")
    if seed < 0:
        raise UserError(f"max_independent_set: seed = {seed} is negative; choose another")
    edges = int(0.5 * density * n**2)
    if edges >= n * (n - 1) / 2:
        return ~np.eye(n, dtype=bool)
    adjacency = np.zeros((n, n), dtype=bool)
    draws, nodes, count = random.Random(seed), range(n), 0
    while count < edges:
        u, v = draws.choice(nodes), draws.choice(nodes)
        if u != v and not adjacency[u, v]:
            adjacency[u, v] = adjacency[v, u] = True
            count += 1
    return adjacency


def qubo(adjacency: Bools) -> NDArray[np.int8]:
    """Matrix Q (n, n) int8 of a graph: -1 on the diagonal, 4 where there is an edge. Widen it before multiplying."""
    adjacency = np.asarray(adjacency)
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1] or adjacency.dtype != np.bool_:
        raise UserError(
            f"max_independent_set: adjacency is {adjacency.dtype} {adjacency.shape}; expected bool and (n, n)"
        )
    if np.any(adjacency != adjacency.T) or np.any(np.diag(adjacency)):
        raise UserError("max_independent_set: adjacency must be symmetric without loops")
    matrix = np.where(adjacency, np.int8(PENALTY), np.int8(0))
    np.fill_diagonal(matrix, -REWARD)
    return matrix


def cost(matrix: NDArray[np.integer], assignment: ArrayLike) -> int:
    """Cost x^T Q x of an assignment x (n,) of zeros and ones.

    Raises
    ------
    UserError
        The assignment has another length, or other values.
    """
    x = np.asarray(assignment)
    if x.shape != (len(matrix),) or not np.all((x == 0) | (x == 1)):
        raise UserError(f"max_independent_set: an assignment must be {len(matrix)} zeros and ones; it has {x.shape}")
    chosen = np.flatnonzero(x)
    return int(matrix[np.ix_(chosen, chosen)].sum(dtype=np.int64))


def target(workload: Workload) -> int | None:
    """Published target cost, or None for a workload that has none."""
    n, density, seed = workload
    if n not in _TARGETS or density not in DENSITIES or seed not in TUNING_SEEDS:
        return None
    return int(_TARGETS[n][DENSITIES.index(density)].split()[seed])


def gap(cost: float, target: float) -> float:
    """BKS gap of a cost: 0 at the best known solution, positive if worse, negative for a new best.

    (cost - target) / |target|: the specification divides by the target, which is negative, but says that a cost better
    than the target has a negative gap.
    """
    if not -math.inf < target < 0:
        raise UserError(
            f"max_independent_set: target = {target} must be finite and negative: even a single node costs -1"
        )
    if not math.isfinite(cost):
        raise UserError(f"max_independent_set: cost = {cost} must be finite; give the cost of an assignment")
    return (cost - target) / abs(target)
