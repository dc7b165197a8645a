import hashlib
import itertools

import numpy as np
import pytest

from neurohil.datasets import max_independent_set as mis
from neurohil.datasets.max_independent_set import Workload
from neurohil.errors import UserError

# First 16 digits of the SHA-256 of Q, int8 row by row, of graphs drawn by networkx 3.6.1 (gnm_random_graph).
NETWORKX = {
    Workload(10, 0.25, 0): "78b7cae3cbe984de",
    Workload(10, 1.0, 0): "abfc0d6b77ff8b24",
    Workload(25, 0.1, 0): "5bf8aa380f876c10",
    Workload(50, 0.05, 3): "bea87bb2d061e2e2",
    Workload(100, 0.25, 4): "d10ba889d2f22c72",
    Workload(250, 0.01, 1): "3a1703da817b7542",
    Workload(1000, 0.05, 0): "d17515c7804d8c99",
}


@pytest.mark.parametrize("workload", NETWORKX, ids=str)
def test_graphs_are_those_of_networkx(workload):
    matrix = mis.qubo(mis.graph(workload))
    assert matrix.dtype == np.int8
    assert hashlib.sha256(matrix.tobytes()).hexdigest()[:16] == NETWORKX[workload]


@pytest.mark.parametrize(("workload", "edges"), [((10, 0.25, 0), 12), ((25, 0.1, 0), 31), ((1000, 0.05, 0), 25000)])
def test_number_of_edges(workload, edges):
    assert np.count_nonzero(mis.graph(Workload(*workload))) == 2 * edges


@pytest.mark.parametrize("density", mis.DENSITIES)
@pytest.mark.parametrize("seed", mis.TUNING_SEEDS)
def test_targets_of_ten_nodes_by_brute_force(density, seed):
    workload = Workload(10, density, seed)
    matrix = mis.qubo(mis.graph(workload)).astype(int)
    everything = np.array(list(itertools.product((0, 1), repeat=10)))
    assert np.einsum("ki,ij,kj->k", everything, matrix, everything).min() == mis.target(workload)


def test_targets_of_all_tuning_workloads():
    targets = [mis.target(workload) for workload in mis.workloads()]
    assert len(targets) == 180 and None not in targets
    assert mis.target(Workload(5000, 0.25, 0)) == -35
    assert mis.target(Workload(100, 0.05, 5)) is None
    assert mis.target(Workload(100, 0.02, 0)) is None
    assert mis.target(Workload(30, 0.05, 0)) is None


def test_cost_by_hand():
    """Three nodes in a row: the ends cost -2, the middle and an end -2 + 8, nothing 0."""
    graph = np.zeros((3, 3), dtype=bool)
    graph[0, 1] = graph[1, 0] = graph[1, 2] = graph[2, 1] = True
    matrix = mis.qubo(graph)
    assert matrix.tolist() == [[-1, 4, 0], [4, -1, 4], [0, 4, -1]]
    assert [mis.cost(matrix, x) for x in ([1, 0, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0])] == [-2, 6, 13, 0]


def test_cost_of_many_edges_does_not_overflow():
    graph = ~np.eye(300, dtype=bool)
    assert mis.cost(mis.qubo(graph), np.ones(300, dtype=np.int8)) == 4 * 300 * 299 - 300


def test_gap_is_positive_if_worse():
    assert mis.gap(-45, -50) == pytest.approx(0.1)
    assert mis.gap(-50, -50) == 0
    assert mis.gap(-51, -50) == pytest.approx(-0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mis.graph(Workload(0, 0.1, 0)), r"n = 0 is outside 1..20000 nodes"),
        (lambda: mis.graph(Workload(10, 25, 0)), "density = 25 is outside 0..1; give a fraction, 0.05 for 5 %"),
        (lambda: mis.graph(Workload(10, 0.1, -1)), "seed = -1 is negative"),
        (lambda: mis.qubo(np.zeros((2, 3), dtype=bool)), r"adjacency is bool \(2, 3\); expected bool and \(n, n\)"),
        (lambda: mis.qubo(np.eye(2, dtype=bool)), "must be symmetric without loops"),
        (lambda: mis.cost(np.zeros((2, 2), np.int8), [0, 2]), "an assignment must be 2 zeros and ones"),
        (lambda: mis.gap(0, 0), "target = 0 must be finite and negative"),
        (lambda: mis.gap(0, np.nan), "target = nan must be finite and negative"),
        (lambda: mis.gap(np.nan, -1), "cost = nan must be finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
