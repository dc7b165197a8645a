import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmarks.tasks import qubo, qubo_kernels, qubo_plain
from benchmarks.tasks.branch_and_bound import maximum_independent_set
from benchmarks.tasks.solvers import Limits, SimulatedAnnealing, Solution, TabuSearch, _Problem
from neurohil.datasets import max_independent_set as mis
from neurohil.datasets.max_independent_set import Workload
from neurohil.errors import UserError

SOLVERS = {"annealing": SimulatedAnnealing(), "tabu": TabuSearch()}
SMALL = list(mis.workloads(sizes=(10, 25, 50)))


def random_matrix(n, seed):
    draws = np.random.default_rng(seed)
    upper = np.triu(draws.integers(-5, 6, (n, n)) * (draws.random((n, n)) < 0.6))
    return upper + np.triu(upper, 1).T


def lowest_cost(matrix):
    """By trying everything."""
    states = np.array(list(itertools.product((0, 1), repeat=len(matrix))))
    return int(np.einsum("ki,ij,kj->k", states, matrix, states).min())


# Branch and bound


@pytest.mark.parametrize("seed", range(12))
def test_maximum_by_brute_force(seed):
    graph = mis.graph(Workload(13, 0.06 * (seed + 1), seed))
    assert -maximum_independent_set(graph).sum() == lowest_cost(mis.qubo(graph).astype(int))


@pytest.mark.parametrize("density", [0.02, 0.08, 0.3])
def test_maximum_by_integer_programming(density):
    graph = mis.graph(Workload(40, density, 7))
    ends = np.argwhere(np.triu(graph))
    rows = np.zeros((len(ends), 40))
    rows[np.arange(len(ends))[:, np.newaxis], ends] = 1
    found = milp(
        -np.ones(40), integrality=np.ones(40), bounds=Bounds(0, 1), constraints=LinearConstraint(rows, -np.inf, 1)
    )
    chosen = maximum_independent_set(graph)
    assert -chosen.sum() == round(found.fun)
    assert mis.cost(mis.qubo(graph), chosen) == -chosen.sum()


def test_published_targets_are_exact():
    """All graphs up to 50 nodes, and some with 100; the others take a second each."""
    for workload in [*SMALL, Workload(100, 0.05, 0), Workload(100, 0.25, 0)]:
        chosen = maximum_independent_set(mis.graph(workload))
        assert -chosen.sum() == mis.target(workload), workload


@pytest.mark.slow
def test_published_targets_of_100_nodes_are_exact():
    for workload in mis.workloads(sizes=[100]):
        assert -maximum_independent_set(mis.graph(workload)).sum() == mis.target(workload), workload


# Kernels


@pytest.mark.parametrize("seed", range(6))
def test_annealing_sweeps_equal_plain_ones(seed):
    matrix, draws = random_matrix(9, seed), np.random.default_rng(seed)
    problem = _Problem(matrix)
    thresholds = 2.0 * draws.standard_exponential((15, 9))
    x, best = qubo_plain.anneal(matrix, problem.x.copy(), problem.best_x.copy(), thresholds)
    problem.cost, problem.best_cost = qubo_kernels.anneal(*problem.arrays, thresholds)
    check_state(problem, matrix, x, best)


@pytest.mark.parametrize("seed", range(6))
def test_tabu_steps_equal_plain_ones(seed):
    matrix, draws = random_matrix(9, seed), np.random.default_rng(seed)
    problem = _Problem(matrix)
    problem.set_state(draws.integers(0, 2, 9).astype(np.int8))
    tabu_until, plain_until = np.zeros(9, dtype=np.int64), np.zeros(9, dtype=np.int64)
    x, best = problem.x.copy(), problem.best_x.copy()
    for first in (0, 20):
        tenures, offsets = draws.integers(1, 12, 20), draws.integers(0, 9, 20)  # at times all are tabu
        x, best = qubo_plain.tabu(matrix, x, best, plain_until, first, tenures, offsets)
        problem.cost, problem.best_cost = qubo_kernels.tabu(*problem.arrays, tabu_until, first, tenures, offsets)
    np.testing.assert_array_equal(tabu_until, plain_until)
    check_state(problem, matrix, x, best)


def check_state(problem, matrix, x, best):
    np.testing.assert_array_equal(problem.x, x)
    np.testing.assert_array_equal(problem.best_x, best)
    assert (problem.cost, problem.best_cost) == (qubo_plain.cost_of(matrix, x), qubo_plain.cost_of(matrix, best))
    deltas = [qubo_plain.cost_of(matrix, qubo_plain.flipped(x, i)) - problem.cost for i in range(len(x))]
    np.testing.assert_array_equal(problem.delta, deltas)


@pytest.mark.compiled
@pytest.mark.parametrize(("wrong", "passes"), [(1.0, True), (1.05, False)])
def test_annealing_at_one_temperature_gives_the_boltzmann_distribution(wrong, passes):
    """Chi-square over the states of many copies of three variables; a temperature that is 5 % off must be seen."""
    matrix, temperature, copies = np.array([[-2, 1, 0], [1, -3, 1], [0, 1, 2]]), 2.0, 60_000
    one, draws = _Problem(matrix), np.random.default_rng(5)
    starts = np.append((one._starts[:3] + 4 * np.arange(copies)[:, np.newaxis]).ravel(), 4 * copies)
    columns = (one._columns + 3 * np.arange(copies)[:, np.newaxis]).ravel()
    x, delta, best = np.zeros(3 * copies, np.int8), np.tile(one.delta, copies), np.zeros(3 * copies, np.int8)
    for _ in range(12):
        thresholds = wrong * temperature * draws.standard_exponential((1, 3 * copies))
        # best cost: so low that no state is kept
        qubo_kernels.anneal(starts, columns, np.tile(one._values, copies), x, delta, 0, best, -(10**12), thresholds)
    counts = np.bincount(x.reshape(copies, 3) @ np.array([4, 2, 1]), minlength=8)
    states = np.array(list(itertools.product((0, 1), repeat=3)))
    weights = np.exp(-np.einsum("ki,ij,kj->k", states, matrix, states) / temperature)
    assert (stats.chisquare(counts, copies * weights / weights.sum()).pvalue > 1e-6) == passes


# Solvers


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("seed", range(4))
def test_any_integer_matrix_is_minimised(name, seed):
    matrix = random_matrix(12, seed)
    solution = SOLVERS[name].solve(matrix, 0, Limits(rounds=5))
    assert solution.cost == lowest_cost(matrix) == qubo_plain.cost_of(matrix, solution.assignment)


@pytest.mark.parametrize("name", SOLVERS)
def test_optimum_of_all_graphs_up_to_50_nodes(name):
    for workload in SMALL:
        matrix = mis.qubo(mis.graph(workload))
        solution = SOLVERS[name].solve(matrix, 0, Limits(rounds=2000, target=mis.target(workload)))
        assert solution.cost == mis.target(workload) == mis.cost(matrix, solution.assignment), workload


@pytest.mark.compiled
def test_optimum_of_graphs_of_100_nodes():
    for workload in mis.workloads(sizes=[100], densities=[0.05, 0.1, 0.25]):
        matrix = mis.qubo(mis.graph(workload))
        solution = SOLVERS["annealing"].solve(matrix, 0, Limits(rounds=20_000, target=mis.target(workload)))
        assert solution.cost == mis.target(workload), workload


@pytest.mark.parametrize("name", SOLVERS)
def test_same_seed_same_bits(name):
    matrix = mis.qubo(mis.graph(Workload(100, 0.1, 1)))
    runs = [SOLVERS[name].solve(matrix, seed, Limits(rounds=2)) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0].assignment, runs[1].assignment)
    np.testing.assert_array_equal(runs[0].costs, runs[1].costs)
    assert not np.array_equal(runs[0].assignment, runs[2].assignment)


def test_trace_and_limits():
    matrix = mis.qubo(mis.graph(Workload(250, 0.05, 0)))
    solution = SOLVERS["annealing"].solve(matrix, 0, Limits(seconds=0.2))
    assert np.all(np.diff(solution.times_s) > 0) and np.all(np.diff(solution.costs) < 0)
    assert solution.costs[-1] == solution.cost
    quick = SOLVERS["annealing"].solve(matrix, 0, Limits(seconds=60.0, target=-10))
    assert quick.cost <= -10 and quick.times_s[-1] < 60.0


def test_reading_a_trace():
    solution = Solution(np.zeros(1, np.int8), -10, np.array([0.1, 0.5]), np.array([-7, -10]))
    assert [solution.cost_after(t) for t in (0.05, 0.1, 0.4, 0.5, 9.0)] == [0, -7, -7, -10, -10]
    assert [solution.time_to(c) for c in (-6, -7, -8, -10, -11)] == [0.1, 0.1, 0.5, 0.5, math.inf]


# Task


def test_gaps_and_times_by_hand():
    """Two graphs with a target of -10: one run gets there after 5 ms, the other one stays at -9."""
    solutions = [
        Solution(np.zeros(1, np.int8), -10, np.array([0.0005, 0.005]), np.array([-8, -10])),
        Solution(np.zeros(1, np.int8), -9, np.array([0.05]), np.array([-9])),
    ]
    runs = [qubo.Run(Workload(250, 0.05, k), -10, None, solution) for k, solution in enumerate(solutions)]
    results = qubo.results_of(SOLVERS["tabu"], runs, 0.1, seed=0)
    assert results["BKSGap"] == {"250, 5 %": pytest.approx(0.05)}
    after = results["BKSGapAfter"]["250, 5 %"]
    assert after == {"0.001 s": pytest.approx(0.6), "0.01 s": pytest.approx(0.5), "0.1 s": pytest.approx(0.05)}
    times = results["TimeToSolution"]["250, 5 %"]
    assert times["0.1"] == {"median_s": pytest.approx(0.0275), "reached": 2, "runs": 2}
    assert times["0.05"] == times["0.01"] == {"median_s": pytest.approx(0.005), "reached": 1, "runs": 2}
    assert results["metadata"]["provenance"] == {
        "BKSGap": "computed",
        "BKSGapAfter": "measured",
        "TimeToSolution": "measured",
    }


def test_unproven_and_unpublished_graphs_are_held_against_the_best_found():
    workload = Workload(110, 0.03, 11)
    run = qubo.measure([SOLVERS["annealing"]], workload, [0.05], 0)[0]
    assert run.exact is None and mis.target(workload) is None and run.target == run.solution.cost


class Liar(TabuSearch):
    def solve(self, matrix, seed, limits):
        return super().solve(matrix, seed, Limits(rounds=1))._replace(cost=-1000)


def test_wrong_cost_is_found_out():
    with pytest.raises(
        RuntimeError, match=r"tabu search claims a cost of -1000 on n = 10, 10 %, seed 0, which is wrong"
    ):
        qubo.measure([Liar()], Workload(10, 0.1, 0), [0.01], 0)


def test_command_writes_results(tmp_path, capsys):
    qubo.main(["--sizes", "10", "25", "--densities", "0.1", "--seeds", "0", "1", "--out", str(tmp_path)])
    for name in qubo.SOLVERS:
        results = json.loads((tmp_path / f"qubo_{name}.json").read_text())
        assert results["BKSGap"] == {"10, 10 %": 0.0, "25, 10 %": 0.0}
        assert [run["cost"] for run in results["metadata"]["runs"]] == [-7, -7, -12, -15]
        assert all(run["target_proven"] for run in results["metadata"]["runs"])
        assert results["metadata"]["clock"] == ("modelled" if name == "spiking" else "measured on the host")
    printed = capsys.readouterr().out
    assert "| 25, 10 % | tabu | 0.0000 |" in printed and "| 25, 10 % | spiking, whole | 0.0000 |" in printed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qubo.make_solver("gurobi"), "there is no solver 'gurobi'; choose one of annealing, tabu, spiking"),
        (lambda: SimulatedAnnealing(hottest=0.1, coldest=0.2), "hottest = 0.1 and coldest = 0.2 must be temperatures"),
        (lambda: SimulatedAnnealing(first_sweeps=0), "first_sweeps = 0 is outside 1"),
        (lambda: TabuSearch(tenure=0), "tenure = 0 and patience = 40 must be at least 1"),
        (lambda: SOLVERS["tabu"].solve(np.eye(2), 0, Limits(rounds=1)), r"the matrix is float64 \(2, 2\)"),
        (lambda: SOLVERS["tabu"].solve(np.array([[0, 1], [2, 0]]), 0, Limits(rounds=1)), "the matrix is not symmetric"),
        (lambda: SOLVERS["tabu"].solve(np.eye(2, dtype=int), 0, Limits()), "without a limit a solver never ends"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_command_names_bad_input():
    with pytest.raises(SystemExit, match=r"qubo: --timeout 0\.0: give seconds above 0"):
        qubo.main(["--timeout", "0"])
