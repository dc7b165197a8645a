"""A task that is trained: one result for several seeds, and the options of its command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurohil.errors import UserError

if TYPE_CHECKING:
    from neurohil.neurobench.benchmark import Results

RESULTS = Path(__file__).parents[1] / "results"
QUICK = Path("runs") / "neurobench"


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


def results_folder(chosen: Path | None, whole: bool) -> Path:
    """Where results go: the folder that was chosen, else the tracked one if they are of the whole protocol, else one in
    runs/."""
    return chosen or (RESULTS if whole else QUICK)


def save(results: Results, folder: Path | None, name: str) -> None:
    """Write a result to `results_folder`; a quick one never replaces one of the whole protocol there, but goes to
    runs/neurobench/ instead.

    Raises
    ------
    UserError
        The file can't be written.
    """
    quick = results["metadata"]["quick"]
    path = results_folder(folder, not quick) / f"{name}.json"
    if quick and _is_whole(path):
        print(f"{path} is of the whole protocol and stays; the quick result goes to {QUICK}/")
        path = QUICK / path.name
    results.save_json(path)


def parser(description: str | None, targets: Sequence[str], seeds: int, epochs: int) -> argparse.ArgumentParser:
    """The options; `seeds` and `epochs` of the quick default."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--target", choices=targets, help="one target alone (default: all)")
    made.add_argument("--full", action="store_true", help="the whole protocol instead of the quick one")
    made.add_argument("--seeds", type=int, help=f"seeds 1 ... n (quick: {seeds})")
    made.add_argument("--epochs", type=int, help=f"of each task (quick: {epochs})")
    made.add_argument(
        "--costs", type=Path, help="TOML file with costs that replace those of neurohil/neurobench/costs.toml"
    )
    made.add_argument("--out", type=Path, help=f"folder for the results (quick: {QUICK}/, whole: {RESULTS.name}/ here)")
    return made


def chosen(options: argparse.Namespace, name: str, quick: int, full: int) -> int:
    """Number of seeds or epochs: the option itself, or that of the protocol.

    Raises
    ------
    UserError
        It isn't positive.
    """
    value: int | None = getattr(options, name)
    if value is not None and value < 1:
        raise UserError(f"--{name} {value}: give at least 1")
    return value or (full if options.full else quick)


def _is_whole(path: Path) -> bool:
    try:
        return json.loads(path.read_text())["metadata"]["quick"] is None
    except (OSError, ValueError, KeyError, TypeError):
        return False  # there is none, or nothing worth keeping


def _mean(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _mean([value[name] for value in values]) for name in values[0]}
    return None if values[0] is None else sum(values) / len(values)
