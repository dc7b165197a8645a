"""QUBO, maximum independent set: how close solvers come to the best known cost, and how fast.

NeuroBench's system track on the graphs of the published tuning seeds 0 ... 4. Scenario "fixed timeout": the gap to the
target after 1 ms, 10 ms, ... Scenario "time to solution": when gaps of 0.1, 0.05 and 0.01 are reached, if ever. Both
are read off one run of each solver on each graph, which ends at the timeout or at a gap of 0. Targets are those of
NeuroBench; where branch and bound is done in a second (n <= 50, and n = 100 from 5 % on) they are proven here.

Times run from the moment the problem is loaded: on the wall clock of this machine, one thread; those of the spiking
network on the emulated chip are modelled (`spiking_solver` says how, and what the host does). Power isn't measured, so
this is no submission to the system track.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import commands
from benchmarks.tasks.seeds import RESULTS, SHORT, is_result, results_folder, write
from neurohil.errors import UserError
from neurohil.files import refuse_foreign

if TYPE_CHECKING:
    from benchmarks.tasks.solvers import Solution, Solver
    from neurohil.datasets.max_independent_set import Workload
    from neurohil.neurobench.benchmark import Results

DEFAULT_TIMEOUTS_S = {"annealing": 1.0, "tabu": 1.0, "spiking": 0.1}
SOLVERS = tuple(DEFAULT_TIMEOUTS_S)
SHORT_SIZES, SHORT_SEEDS = (10, 25, 50, 100, 250), (0,)
FULL_SIZES = (*SHORT_SIZES, 500, 1000)
DENSITIES = [0.01, 0.05, 0.1, 0.25]
TIMEOUTS_S = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
GAPS = (0.1, 0.05, 0.01)


class Run(NamedTuple):
    """One solver on one graph.

    target: published cost, or the best that was found where there is none; exact: cost of the maximum, None where it
    isn't proven.
    """

    workload: Workload
    target: int
    exact: int | None
    solution: Solution


def make_solver(name: str) -> Solver:
    """A solver by its name in `SOLVERS`.

    Raises
    ------
    UserError
        There is no such solver.
    """
    from benchmarks.tasks.solvers import SimulatedAnnealing, TabuSearch

    if name not in SOLVERS:
        raise UserError(f"there is no solver {name!r}; choose one of {', '.join(SOLVERS)}")
    if name == "spiking":
        from benchmarks.tasks.spiking_solver import SpikingSolver

        return SpikingSolver()
    return SimulatedAnnealing() if name == "annealing" else TabuSearch()


def is_provable(workload: Workload) -> bool:
    """Whether branch and bound is quick."""
    return workload.n <= 50 or (workload.n <= 100 and workload.density >= 0.05)


def measure(solvers: Sequence[Solver], workload: Workload, timeouts_s: Sequence[float], seed: int) -> list[Run]:
    """Run each solver on a graph, each with its timeout, and prove the optimum where that is quick.

    Raises
    ------
    RuntimeError
        A solver's cost isn't that of its assignment, or is below the proven optimum: a defect.
    """
    import numpy as np

    from benchmarks.tasks.branch_and_bound import maximum_independent_set
    from benchmarks.tasks.solvers import Limits
    from neurohil.datasets import max_independent_set as mis

    graph = mis.graph(workload)
    matrix = mis.qubo(graph)
    exact = -int(np.sum(maximum_independent_set(graph))) if is_provable(workload) else None
    published = mis.target(workload)
    known = published if exact is None else exact
    target = -math.inf if known is None else known
    solutions = [
        solver.solve(matrix, seed, Limits(seconds=timeout_s, target=target))
        for solver, timeout_s in zip(solvers, timeouts_s, strict=True)
    ]
    for solver, solution in zip(solvers, solutions, strict=True):
        if solution.cost != mis.cost(matrix, solution.assignment) or (exact is not None and solution.cost < exact):
            raise RuntimeError(f"{solver.name} claims a cost of {solution.cost} on {workload}, which is wrong")
    best = known if known is not None else min(solution.cost for solution in solutions)
    return [Run(workload, best, exact, solution) for solution in solutions]


def results_of(solver: Solver, runs: Sequence[Run], timeout_s: float, seed: int) -> Results:
    """Gaps and times of one solver, by size and density, and every run in the metadata."""
    from neurohil.datasets import max_independent_set as mis
    from neurohil.neurobench.benchmark import Results, Task, metadata
    from neurohil.neurobench.records import ModelInfo, Provenance

    timeouts = [seconds for seconds in TIMEOUTS_S if seconds <= timeout_s * (1 + 1e-9)]
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_group(run.workload.n, run.workload.density), []).append(run)
    values = {
        "BKSGap": {name: fmean([_gap(run, timeout_s) for run in group]) for name, group in groups.items()},
        "BKSGapAfter": {
            name: {f"{seconds:g} s": fmean([_gap(run, seconds) for run in group]) for seconds in timeouts}
            for name, group in groups.items()
        },
        "TimeToSolution": {
            name: {f"{gap:g}": _times([_time_to(run, gap) for run in group]) for gap in GAPS}
            for name, group in groups.items()
        },
    }
    on_chip = solver.clock == "modelled"
    if on_chip:
        values["BKSGapWithoutRepair"] = {
            name: _mean_gap_without_repair(group)
            for name, group in groups.items()
            if all(run.solution.work["cost_without_repair"] is not None for run in group)
        }
    clock: Provenance = "modelled" if on_chip else "measured"
    described = {
        "solver": solver.name,
        "clock": solver.clock,
        "timeout_s": timeout_s,
        "solver_seed": seed,
        "graph_seeds": sorted({run.workload.seed for run in runs}),
        "runs": [
            {
                "n": run.workload.n,
                "density": run.workload.density,
                "seed": run.workload.seed,
                "cost": run.solution.cost,
                "target": run.target,
                "target_published": mis.target(run.workload),
                "target_proven": run.exact is not None,
                "times_s": run.solution.times_s.tolist(),
                "costs": run.solution.costs.tolist(),
                **run.solution.work,
            }
            for run in runs
        ],
    }
    task = Task("QUBO maximum independent set", data="generated", seed=seed)
    provenance = {"TimeToSolution": clock, "BKSGapAfter": clock}
    if on_chip:
        provenance |= {"BKSGap": "emulated", "BKSGapWithoutRepair": "emulated"}
    return Results(values | {"metadata": metadata(task, ModelInfo("computed"), values, described, provenance)})


def _gap(run: Run, seconds: float) -> float:
    from neurohil.datasets import max_independent_set as mis

    # A solver ends with a call that may pass the timeout by a fraction of a millisecond.
    return mis.gap(run.solution.cost_after(seconds), run.target)


def _mean_gap_without_repair(runs: Sequence[Run]) -> float:
    from neurohil.datasets import max_independent_set as mis

    return fmean([mis.gap(run.solution.work["cost_without_repair"], run.target) for run in runs])


def _time_to(run: Run, gap: float) -> float:
    return run.solution.time_to(run.target + gap * abs(run.target))


def _times(times_s: Sequence[float]) -> dict[str, float | int | None]:
    """Median over the runs that reached the gap, None if none did, and how many did of how many."""
    reached = [seconds for seconds in times_s if seconds < math.inf]
    return {"median_s": median(reached) if reached else None, "reached": len(reached), "runs": len(times_s)}


def table(rows: dict[str, Results]) -> str:
    """Markdown: per size and density, each solver's gap and times."""
    lines = [f"| nodes, density | solver | gap | {' | '.join(f'time to gap {gap:g}' for gap in GAPS)} |"]
    lines.append("| --- " * (3 + len(GAPS)) + "|")
    for group in next(iter(rows.values()))["BKSGap"]:
        for name, results in rows.items():
            times = [results["TimeToSolution"][group][f"{gap:g}"] for gap in GAPS]
            cells = [
                f"{1e3 * t['median_s']:.3g} ms ({t['reached']}/{t['runs']})" if t["reached"] else "-" for t in times
            ]
            solver = ", ".join([name, *_ways(results, group)])
            lines.append(f"| {group} | {solver} | {results['BKSGap'][group]:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ways(results: Results, group: str) -> list[str]:
    """How a group's graphs ran on the chip: whole or in blocks; nothing for a solver on the host."""
    runs = results["metadata"]["runs"]
    return sorted({run["ran"] for run in runs if _group(run["n"], run["density"]) == group and "ran" in run})


def _group(n: int, density: float) -> str:
    return f"{n}, {100 * density:g} %"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("solvers", nargs="*", default=[], help=f"any of {', '.join(SOLVERS)} (default: all)")
    parser.add_argument("--all", action="store_true", help="sizes up to 1000 and five seeds (slow)")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"nodes (default {_listed(SHORT_SIZES)})")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES, help="shares of edges")
    parser.add_argument("--seeds", type=int, nargs="+", help=f"of the graphs (default {_listed(SHORT_SEEDS)})")
    timeouts = ", ".join(f"{name} {seconds:g}" for name, seconds in DEFAULT_TIMEOUTS_S.items())
    parser.add_argument("--timeout", type=float, help=f"seconds per graph on a solver's clock (default {timeouts})")
    parser.add_argument("--seed", type=int, default=0, help="of the solvers")
    folders = f"default {SHORT}/, with --all alone {RESULTS.name}/ here"
    parser.add_argument("--out", type=Path, help=f"folder for the results ({folders})")
    options = commands.parsed(parser, arguments, sizes=[10, 600], densities=[0.1], seeds=[0], timeout=0.003)
    try:
        run(options)
    except UserError as error:
        sys.exit(f"qubo: {error}")


def _listed(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


def run(options: argparse.Namespace) -> None:
    """What the command does."""
    from tqdm import tqdm

    from benchmarks.tasks.solvers import Limits
    from neurohil.datasets import max_independent_set as mis

    if options.timeout is not None and not 0 < options.timeout < math.inf:
        raise UserError(f"--timeout {options.timeout}: give seconds above 0")
    solvers = {name: make_solver(name) for name in options.solvers or SOLVERS}
    timeouts_s = [options.timeout or DEFAULT_TIMEOUTS_S[name] for name in solvers]
    sizes = options.sizes or (FULL_SIZES if options.all else SHORT_SIZES)
    seeds = options.seeds or (mis.TUNING_SEEDS if options.all else SHORT_SEEDS)
    shortened = options.sizes or options.seeds or options.timeout or options.densities != DENSITIES
    folder = results_folder(options.out, options.all and not shortened, options.quick)
    places = {name: folder / f"qubo_{name}.json" for name in solvers}
    for path in places.values():
        refuse_foreign(path, is_result)
    smallest = mis.qubo(mis.graph(mis.Workload(10, 0.1, 0)))
    for solver in solvers.values():  # compiled before the clock runs
        solver.solve(smallest, options.seed, Limits(rounds=1))
    runs: dict[str, list[Run]] = {name: [] for name in solvers}
    workloads = list(mis.workloads(sizes, options.densities, seeds))
    for workload in tqdm(workloads, unit="graph", disable=None):
        measured = measure(list(solvers.values()), workload, timeouts_s, options.seed)
        for name, one in zip(solvers, measured, strict=True):
            runs[name].append(one)
    rows = {
        name: results_of(solver, runs[name], timeout_s, options.seed)
        for (name, solver), timeout_s in zip(solvers.items(), timeouts_s, strict=True)
    }
    for name, results in rows.items():
        write(results, places[name])
    print(table(rows))


if __name__ == "__main__":
    main()
