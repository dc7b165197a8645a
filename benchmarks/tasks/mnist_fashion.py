"""MNIST, then Fashion-MNIST: two tasks learnt one after the other, with metaplasticity, on three targets.

Trained by the shipped experiments, on ideal weights, on the emulated memristor crossbar and on the emulated chip in
matrix mode. After both tasks the 10 000 test images of each are classified, with the normalisation of their task.
Every metric is the mean over the two tasks; the accuracies stand apart, too.

The short default trains one seed for 4 epochs a task, --full seeds 1 to 3 for 8. Each result says which. The modelled
system track is for the crossbar and the chip; their learning includes the tests after every epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.commands import parsed
from benchmarks.tasks.seeds import chosen, is_result, over_seeds, parser, quick_note, results_folder, save
from neurohil.errors import UserError
from neurohil.files import refuse_foreign

if TYPE_CHECKING:
    from pathlib import Path

    from neurohil.metaplasticity.run import MetaplasticityRun
    from neurohil.neurobench.benchmark import Results

EXPERIMENTS = {"ideal": "mnist_fashion_ideal", "crossbar": "mnist_fashion_crossbar", "chip": "mnist_fashion_chip"}
TARGETS = {
    "ideal": "ideal weights",
    "crossbar": "emulated crossbar",
    "chip": "emulated chip in matrix mode",
}
SHORT_SEEDS, SHORT_EPOCHS = 1, 4
FULL_SEEDS, FULL_EPOCHS = 3, 8
SMALL = ("network.hidden=[16]", "tasks.train_images=300", "tasks.test_images=100", "training.test_batch=50")


def score(
    target: str, seed: int, epochs: int, costs: str | Path | None = None, overrides: Sequence[str] = ()
) -> Results:
    """Train one seed on both tasks, test both, count.

    Parameters
    ----------
    target : {"ideal", "crossbar", "chip"}
    seed : int
    epochs : int
        Of each task.
    costs : path, optional
        Replaces costs of the system track.
    overrides : sequence of str
        More changes of the experiment, such as "network.hidden=[64]".

    Raises
    ------
    UserError
        A bad override; a bad table of costs.
    """
    from neurohil.kinds import KINDS
    from neurohil.metaplasticity.run import MetaplasticityRun
    from neurohil.neurobench.costs import crossbar_changes, load_costs, spent

    table = load_costs(costs)
    changes = [f"seed={seed}", f"training.epochs={epochs}", *overrides]
    if target == "crossbar":
        changes += [f"target.costs.{name}={value}" for name, value in crossbar_changes(table).items()]
    config = KINDS["metaplasticity"].load(EXPERIMENTS[target], changes)
    run = MetaplasticityRun(config).train(progress=True)
    learnt = run.target.account()
    by_task, accounts = {}, []
    for name, index in run.tests.items():
        by_task[name], account = _measured(run, index)
        accounts.append(account)
    results = _mean_of_tasks(by_task)
    results["metadata"] |= {
        "model": f"metaplastic {'-'.join(map(str, run.memory().layers))}, {TARGETS[target]}",
        "experiment": run.config.experiment,
        "epochs": epochs,
        "note": "batch statistics, normalisation per task; the footprint holds the hidden weights, which learn on",
    }
    if run.target.provenance.kind != "computed":
        done = {name: sum(account[name] for account in accounts) for name in accounts[0]}
        samples = results["metadata"]["samples"]
        results["SystemTrackModelled"], about = _system(run, spent({}, learnt), done, samples, table)
        results["metadata"]["costs"] = about
        results["metadata"]["provenance"]["SystemTrackModelled"] = "modelled"
    return results


def _measured(run: MetaplasticityRun, index: int) -> tuple[Results, dict[str, float]]:
    """Metrics of the test images of a task, and what the target spent on them, calibration apart."""
    import numpy as np

    from neurohil.metaplasticity.model import MatrixModel
    from neurohil.neurobench import metrics
    from neurohil.neurobench.benchmark import Benchmark, Task, batched
    from neurohil.neurobench.costs import spent
    from neurohil.neurobench.records import ModelInfo

    task, memory, state = run.trainer.tasks[index], run.memory(), run.trainer.state()
    for k, norm in enumerate(run.network.norms):
        norm[...] = state[f"saved_norms_{k}"][index]
    digital = run.target.provenance.kind == "computed"
    model = MatrixModel(
        run.network,
        run.target,
        ModelInfo("computed" if digital else "emulated"),
        None if digital else memory.cell_bits * memory.devices,
        memory.devices if run.target.programmed_by_pulses else 0,
        learns=True,
    )
    calibration = task.inputs(task.train.images[: run.config.training.batch])
    run.network.forward(run.target, calibration, run.network.norms, 0, calibrate=True)
    calibrated = run.target.account()
    results = Benchmark(
        model,
        batched(task.test.images, task.test.labels, run.config.training.test_batch),
        [lambda data: (task.inputs(np.asarray(data[0])), data[1])],
        [lambda scores: scores.argmax(axis=1)],
        [
            [metrics.Footprint, metrics.TrueFootprint, metrics.ParameterCount, metrics.ConnectionSparsity],
            [metrics.ClassificationAccuracy, metrics.ActivationSparsity, metrics.SynapticOperations],
        ],
        Task("MNIST, then Fashion-MNIST", data="official", seed=run.config.seed),
    ).run(quiet=True)
    return results, spent(calibrated, run.target.account())


def _mean_of_tasks(by_task: dict[str, Results]) -> Results:
    """Mean of every metric over the tasks, which have equally many images, and each task's accuracy."""
    runs = list(by_task.values())
    results = over_seeds(runs)
    results["AccuracyByTask"] = {name: run["ClassificationAccuracy"] for name, run in by_task.items()}
    about = results["metadata"]
    del about["runs"]
    about["task"] = runs[0]["metadata"]["task"]
    about["samples"] = sum(run["metadata"]["samples"] for run in runs)
    about["data_sha256"] = {name: run["metadata"]["data_sha256"] for name, run in by_task.items()}
    about["provenance"]["AccuracyByTask"] = about["provenance"]["ClassificationAccuracy"]
    return results


def _system(
    run: MetaplasticityRun, learnt: dict[str, float], done: dict[str, float], samples: int, table: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The modelled system track, and its costs."""
    from memristor import CostTable
    from neurohil.neurobench.costs import crossbar_changes, crossbar_phases, described, matrix_phases, system_track
    from neurohil.tables import changed

    if not run.target.programmed_by_pulses:
        costs = table["matrix"]
        return system_track(matrix_phases(learnt, costs), matrix_phases(done, costs), samples), described(
            "matrix", table
        )
    costs = table["crossbar"]
    crossbar_costs = changed(CostTable(), crossbar_changes(table), "target.costs")
    rows = sum(levels.shape[0] for levels in run.network.levels) / len(run.network.levels)  # a vector each
    before, during = (crossbar_phases(part, part["vectors"] * rows, costs) for part in (learnt, done))
    return system_track(before, during, samples), described("crossbar", table, crossbar_costs)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(parser(__doc__, tuple(EXPERIMENTS), SHORT_SEEDS, SHORT_EPOCHS), arguments, seeds=1, epochs=1)
    try:
        seeds = chosen(options, "seeds", SHORT_SEEDS, FULL_SEEDS)
        epochs = chosen(options, "epochs", SHORT_EPOCHS, FULL_EPOCHS)
        note = quick_note(seeds, epochs, FULL_SEEDS, FULL_EPOCHS)
        scored = partial(score, overrides=SMALL) if options.quick else score
        for target in [options.target] if options.target else EXPERIMENTS:
            path = results_folder(options.out, note is None, options.quick) / f"{EXPERIMENTS[target]}.json"
            refuse_foreign(path, is_result)
            results = over_seeds([scored(target, seed, epochs, options.costs) for seed in range(1, seeds + 1)])
            results["metadata"]["quick"] = note
            save(results, options.out, EXPERIMENTS[target], options.quick)
            accuracies = ", ".join(f"{name} {value:.1%}" for name, value in results["AccuracyByTask"].items())
            print(f"{results['metadata']['model']}: {accuracies} (seeds: {seeds})")
    except UserError as error:
        sys.exit(f"mnist_fashion: {error}")


if __name__ == "__main__":
    main()
