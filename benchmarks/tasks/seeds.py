"""Tasks of NeuroBench: one result for several seeds, where results go, and the options of tasks that are trained.

A task has a short default, in minutes, the whole protocol (--full or --all), in hours, and --quick, in seconds. Results
of anything but the whole protocol say in the metadata, under "quick", what they leave out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import commands
from neurohil.errors import UserError
from neurohil.files import refuse_foreign

if TYPE_CHECKING:
    from neurohil.neurobench.benchmark import Results

RESULTS = Path(__file__).parents[1] / "results"
SHORT, QUICK = (commands.runs("neurobench", quick) for quick in (False, True))


def over_seeds(runs: Sequence[Results]) -> Results:
    """Mean of every metric over the seeds; the accuracies of the single seeds, and what all share, in the metadata."""
    from neurohil.neurobench.benchmark import Results

    mean = {name: _mean([run[name] for run in runs]) for name in runs[0] if name != "metadata"}
    first = runs[0]["metadata"]
    shared = {name: value for name, value in first.items() if all(run["metadata"].get(name) == value for run in runs)}
    single = [
        {"seed": run["metadata"]["task"]["seed"], "ClassificationAccuracy": run["ClassificationAccuracy"]}
        for run in runs
    ]
    task = {**first["task"], "seed": [run["seed"] for run in single]}
    return Results(mean | {"metadata": {**shared, "task": task, "runs": single}})


def quick_note(seeds: int, epochs: int, full_seeds: int, full_epochs: int) -> str | None:
    """What a shorter protocol leaves out, for the metadata of its result; None if it is the whole one."""
    if seeds >= full_seeds and epochs >= full_epochs:
        return None
    return f"seeds: {seeds} of {full_seeds}, epochs: {epochs} of {full_epochs}"


def results_folder(chosen: Path | None, whole: bool, quick: bool = False) -> Path:
    """Where results go: the folder that was chosen, else the tracked one if they are of the whole protocol, else one in
    runs/. quick: by --quick."""
    return chosen or (QUICK if quick else RESULTS if whole else SHORT)


def is_result(path: Path) -> bool:
    """Whether the result of a task stands there, which a later one may replace."""
    return commands.holds(path, lambda found: isinstance(found["metadata"], dict))


def write(results: Results, path: Path) -> None:
    """Write a result where nothing stands, or another result.

    Raises
    ------
    UserError
        Something else stands there, which stays; it can't be written.
    """
    refuse_foreign(path, is_result)
    results.save_json(path)


def save(results: Results, folder: Path | None, name: str, quick: bool = False) -> None:
    """Write a result to `results_folder`; a shorter one never replaces one of the whole protocol there, but goes to
    runs/neurobench/ instead.

    Raises
    ------
    UserError
        As for `write`.
    """
    whole = not results["metadata"]["quick"]
    path = results_folder(folder, whole, quick) / f"{name}.json"
    if not whole and commands.holds(path, lambda found: found["metadata"]["quick"] is None):
        print(f"{path} is of the whole protocol and stays; the quick result goes to {SHORT}/")
        path = SHORT / path.name
    write(results, path)


def parser(description: str | None, targets: Sequence[str], seeds: int, epochs: int) -> argparse.ArgumentParser:
    """The options; `seeds` and `epochs` of the short default."""
    made = commands.parser(description)
    made.add_argument("--target", choices=targets, help="one target alone (default: all)")
    made.add_argument("--full", action="store_true", help="the whole protocol instead of the short one")
    made.add_argument("--seeds", type=int, help=f"seeds 1 ... n (default {seeds})")
    made.add_argument("--epochs", type=int, help=f"of each task (default {epochs})")
    made.add_argument(
        "--costs", type=Path, help="TOML file with costs that replace those of neurohil/neurobench/costs.toml"
    )
    made.add_argument("--out", type=Path, help=f"folder (default {SHORT}/, with --full {RESULTS.name}/ here)")
    return made


def chosen(options: argparse.Namespace, name: str, short: int, full: int) -> int:
    """Number of seeds or epochs: the option itself, or that of the protocol.

    Raises
    ------
    UserError
        It isn't positive.
    """
    value: int | None = getattr(options, name)
    if value is not None and value < 1:
        raise UserError(f"--{name} {value}: give at least 1")
    return value or (full if options.full else short)


def _mean(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _mean([value[name] for value in values]) for name in values[0]}
    return None if values[0] is None else sum(values) / len(values)
