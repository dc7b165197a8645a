"""Test accuracy of the named experiments over seeds: the table of docs/results.md.

An experiment is given as to `neurohil delgrad`, with its --set options; the results are those of the command. Marked
`each seed its chip`, as the chip experiments are by default, it runs on the chip whose serial number is the seed. An
experiment tests the epoch that its config names (`tested_epoch`); the column "last epoch" is the median for the last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import commands
from neurohil.files import refuse_foreign

KINDS = ["weights", "axonal", "dendritic", "synaptic", "synaptic_5"]
IDEAL = [f"yin_yang_{kind}" for kind in KINDS]
CHIP = ["chip_yin_yang_weights", "chip_yin_yang_axonal"]
EACH_ITS_CHIP = ", each seed its chip"
DEFAULT = [*(name + EACH_ITS_CHIP for name in CHIP), *IDEAL]
QUICK = [f"{IDEAL[0]} --set epochs=1", f"{CHIP[1]} --set epochs=1{EACH_ITS_CHIP}"]


def train(job: tuple[str, int]) -> dict[str, Any]:
    """Run one experiment (name and --set options) with one seed; returns its results."""
    from neurohil.delgrad.run import DelGradRun
    from neurohil.kinds import KINDS

    experiment, seed = job
    name, *options = experiment.removesuffix(EACH_ITS_CHIP).split()
    overrides = [option for option in options if option != "--set"] + [f"seed={seed}"]
    if experiment.endswith(EACH_ITS_CHIP):
        overrides.append(f"target.serial={seed}")
    run = DelGradRun(KINDS["delgrad"].load(name, overrides))
    bumped: list[float] = []
    run.train(after_epoch=lambda epoch: bumped.append(epoch.trained.bumped))
    last_epoch = run.evaluate("test").accuracy
    facts = {"experiment": experiment, "seed": seed, "bumped_batches": float(np.mean(bumped))}
    return {**facts, "last_epoch_accuracy": last_epoch, **run.result}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: one row per experiment with median, range, and the single seeds."""
    lines = ["| experiment | median | min ... max | seeds | last epoch | missing spikes (median) | bumped batches |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for experiment in dict.fromkeys(r["experiment"] for r in results):
        rows = sorted((r for r in results if r["experiment"] == experiment), key=lambda r: r["seed"])
        accuracy = np.array([100 * r["test_accuracy"] for r in rows])
        last = 100 * np.median([r["last_epoch_accuracy"] for r in rows])
        missing = np.median([r["missing_spikes"] for r in rows])
        bumped = 100 * np.mean([r["bumped_batches"] for r in rows])
        single = ", ".join(f"{a:.1f}" for a in accuracy)
        lines.append(
            f"| `{experiment}` | **{np.median(accuracy):.1f} %** | {accuracy.min():.1f} ... {accuracy.max():.1f} "
            f"| {single} | {last:.1f} % | {missing:.0f} of 3000 | {bumped:.0f} % |"
        )
    return "\n".join(lines)


def is_ours(path: Path) -> bool:
    """Whether results of this program stand there."""
    return commands.holds(path, lambda results: all("last_epoch_accuracy" in result for result in results))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=DEFAULT)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file (default runs/accuracy.json)")
    options = commands.parsed(parser, arguments, experiments=QUICK, seeds=1)
    out = options.out or commands.runs("accuracy.json", options.quick)
    with commands.errors_of("accuracy"):
        refuse_foreign(out, is_ours)
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # one process per core
    jobs = [(experiment, seed) for experiment in options.experiments for seed in range(1, options.seeds + 1)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        results = list(tqdm(pool.map(train, jobs), total=len(jobs), unit="run", disable=None))
    print(table(results))
    with commands.errors_of("accuracy"):
        commands.write(out, json.dumps(results, indent=1), is_ours)


if __name__ == "__main__":
    main()
