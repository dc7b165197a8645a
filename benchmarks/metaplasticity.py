"""Accuracies of tasks learnt one after the other, over seeds, and sweeps: the tables of docs/results.md.

An experiment is given as to `neurohil metaplasticity`, with its --set options; the results are those of the command.
A sweep takes the place of the experiments:

    strength            m* from none to far too strong, ideal weights
    levels              levels of a weight, MNIST alone without consolidation, ideal weights
    programming_sigma   spread of every write in % of the device's range, the same for all its levels
    relaxation          the trained levels written to new arrays by three recipes, tested after 1 s ... 10 days
    endurance           median lifetime of the devices in programming cycles
    stuck               share of devices that never worked

Runs are spread over processes with one thread each. After an interruption the same call goes on where it stopped: the
results of finished runs are in its JSON file, which is to be deleted to start anew (--quick always does). Accuracies
are means over the seeds and, in brackets, the standard deviation and the range; writes per device (level changes per
weight for ideal weights) are those of all seeds.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks import commands
from neurohil.errors import UserError
from neurohil.files import kind

if TYPE_CHECKING:
    from neurohil.metaplasticity.run import MetaplasticityConfig, MetaplasticityRun

IDEAL, CROSSBAR = "mnist_fashion_ideal", "mnist_fashion_crossbar"
DEFAULT = [
    IDEAL,
    f"{IDEAL} --set training.rule=none",
    f"{IDEAL} --set training.rule=local_binary --set training.strength=3",
    f"{IDEAL} --set training.rule=bnn --set training.strength=5",
    f"{CROSSBAR} --set target.preset=ideal",
    CROSSBAR,
    "fashion_mnist_reverse",
]
SMALL = ["network.hidden=[16]", "network.init=0.6", "training.epochs=1", "training.batch=20"]
SMALL += ["tasks.train_images=1000", "tasks.test_images=100"]
THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
AGES_S = {"1 s": 1.0, "1 min": 60.0, "1 h": 3600.0, "1 day": 86_400.0, "2 days": 172_800.0, "10 days": 864_000.0}
RECIPES = {
    "one shot": ["target.recipe.method=one_shot"],
    "verified at once": ["target.recipe.method=write_verify", "target.recipe.tolerance_uS=1.0"],
    "verified after 1 h": [
        "target.recipe.method=write_verify",
        "target.recipe.tolerance_uS=1.0",
        "target.recipe.wait_s=3600.0",
    ],
}
RANGE_US = 40.0


class Job(NamedTuple):
    """One run: its row in the table, the experiment with its options, the seed, and what isn't an option.

    sigma_percent: spread of the writes of made-up devices; relaxes: test what the recipes write over time.
    """

    row: str
    experiment: str
    seed: int
    sigma_percent: float | None = None
    relaxes: bool = False


def sweep(name: str, seed: int) -> list[Job]:
    """The runs of a sweep with one seed."""
    if name == "strength":
        return [Job(f"m* = {m}", f"{IDEAL} --set training.strength={m}", seed) for m in (0, 1, 1.5, 2, 3, 4, 6, 8)]
    if name == "levels":
        alone = f"{IDEAL} --set tasks.data_sets=['mnist'] --set training.rule=none --set network.quantizer.levels="
        return [Job(f"{n} levels", f"{alone}{n}", seed) for n in (2, 4, 8, 16, 32)]
    if name == "programming_sigma":
        return [Job(f"{s:g} %", CROSSBAR, seed, sigma_percent=s) for s in (0, 1, 2, 5, 10, 15, 20)]
    if name == "relaxation":
        return [Job("", CROSSBAR, seed, relaxes=True)]
    if name == "endurance":
        option = f"{CROSSBAR} --set target.wear.median_cycles="
        return [Job(f"{n:g} cycles", f"{option}{n}", seed) for n in (1e3, 1e4, 1e5, 1e6, 1e7)]
    option = f"{CROSSBAR} --set target.faults.stuck_fraction="
    return [Job(f"{100 * share:g} % stuck", f"{option}{share}", seed) for share in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)]


SWEEPS = ("strength", "levels", "programming_sigma", "relaxation", "endurance", "stuck")


def train(job: Job) -> list[dict[str, Any]]:
    """Run one job; returns a result for each row of the table that it has a part in."""
    from neurohil.kinds import KINDS
    from neurohil.metaplasticity.run import MetaplasticityRun

    name, *words = job.experiment.split()
    options = [word for word in words if word != "--set"] + [f"seed={job.seed}", f"target.serial={job.seed}"]
    if "crossbar" not in name:
        options.pop()
    with tempfile.TemporaryDirectory() as folder:
        if job.sigma_percent is not None:
            options.append(f"target.table={_devices(Path(folder), job.sigma_percent)}")
        run = MetaplasticityRun(KINDS["metaplasticity"].load(name, options))
    result = {"row": job.row, "seed": job.seed, **run.train().result}
    if not job.relaxes:
        return [result]
    return [
        {**result, "row": f"{recipe}, {age}", "test_accuracy": accuracy}
        for recipe, changes in RECIPES.items()
        for age, accuracy in _over_time(run, KINDS["metaplasticity"].load(name, [*options, *changes])).items()
    ]


def _devices(folder: Path, sigma_percent: float) -> Path:
    """Table of two levels, the ends of the range, that both miss by so much."""
    path = folder / "devices.csv"
    sigma_uS = RANGE_US * sigma_percent / 100.0
    rows = "".join(f"{level},{mean_uS},{sigma_uS},1\n" for level, mean_uS in enumerate((0.0, RANGE_US)))
    path.write_text(f"level,mean_uS,sigma_uS,time_s\n{rows}")
    return path


def _over_time(trained: MetaplasticityRun, config: MetaplasticityConfig) -> dict[str, dict[str, float]]:
    """Accuracies by age of new arrays that are written once with what a run has learnt."""
    fresh = type(trained)(config)
    fresh.trainer.load_state(trained.trainer.state())
    accuracy, now_s = {}, 0.0
    for age, age_s in AGES_S.items():
        fresh.target.wait(age_s - now_s)
        accuracy[age], now_s = fresh.test(), age_s
    return accuracy


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each experiment or value, with mean, spread and range over the seeds."""
    tests = list(dict.fromkeys(name for result in results for name in result["test_accuracy"]))
    lines = [f"| | {' | '.join(tests)} | after the first task | seeds | writes: mean, 99 %, most |"]
    lines.append("| --- " * (len(tests) + 4) + "|")
    for row in dict.fromkeys(result["row"] for result in results):
        runs = [result for result in results if result["row"] == row]
        cells = [
            _spread([run["test_accuracy"][name] for run in runs if name in run["test_accuracy"]]) for name in tests
        ]
        first = _spread([next(iter(run["after_first_task"].values())) for run in runs])
        writes = [run["writes_per_device"] for run in runs]
        mean, p99 = (np.mean([w[name] for w in writes]) for name in ("mean", "p99"))
        most = max(w["max"] for w in writes)
        lines.append(f"| {row} | {' | '.join(cells)} | {first} | {len(runs)} | {mean:.1f}, {p99:.0f}, {most} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    percent = 100 * np.array(values)
    if len(percent) == 1:
        return f"**{percent[0]:.2f} %**"
    return f"**{percent.mean():.2f} %** ({percent.std(ddof=1):.2f}; {percent.min():.2f} ... {percent.max():.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=DEFAULT)
    parser.add_argument("--sweep", choices=SWEEPS, help="run this sweep instead of the experiments")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="option of every run")
    parser.add_argument("--processes", type=int, help="default: one for each core")
    parser.add_argument("--out", type=Path, help="JSON file (default runs/metaplasticity[-SWEEP].json)")
    options = commands.parsed(parser, arguments, experiments=[IDEAL, CROSSBAR], seeds=1, set=SMALL, processes=1)
    with commands.errors_of("metaplasticity"):
        run(options)


def run(options: Namespace) -> None:
    """What the command does."""
    for variable in THREAD_VARIABLES:  # for the processes that are started below
        os.environ[variable] = "1"
    jobs = []
    for seed in range(1, options.seeds + 1):
        listed = [Job(f"`{experiment}`", experiment, seed) for experiment in options.experiments]
        jobs += sweep(options.sweep, seed) if options.sweep else listed
    common = "".join(f" --set {option}" for option in options.set)
    jobs = [job._replace(experiment=job.experiment + common) for job in jobs]
    suffix = f"-{options.sweep}" if options.sweep else ""
    out = options.out or commands.runs(f"metaplasticity{suffix}.json", options.quick)
    earlier = finished(out)
    done = {} if options.quick else {job: results for job, results in earlier if job in jobs}
    waiting = [job for job in jobs if job not in done]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train, job): job for job in waiting}
        for future in tqdm(as_completed(running), total=len(waiting), unit="run", disable=None):
            done[running[future]] = future.result()
            text = json.dumps([[job, done[job]] for job in jobs if job in done], indent=1)
            commands.write(out, text, lambda path: bool(finished(path)))
    print(table([result for job in jobs for result in done[job]]))


def finished(out: Path) -> list[tuple[Job, list[dict[str, Any]]]]:
    """Runs that an earlier call with this file has finished, with their results.

    Raises
    ------
    UserError
        It holds something else.
    """
    if not kind(out):
        return []
    try:
        return [(Job(*job), list(results)) for job, results in json.loads(out.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{out} exists and holds no runs of this program, so it stays; choose another name") from error


if __name__ == "__main__":
    main()
