"""docs/leaderboard.md: our results beside the published rows. Written from benchmarks/results/*.json, never by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import commands
from benchmarks.tasks.published import PUBLISHED, REMARKS, Row
from neurohil.errors import UserError
from neurohil.files import first_line, make_folder, replacing
from neurohil.neurobench.costs import load_costs, spiking_phases

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "leaderboard.md"
QUBO = "QUBO maximum independent set"
OFFSETS, GRAPH_SEEDS = 30, 5  # of NeuroBench's protocols

HEADING = "# Leaderboard"
INTRODUCTION = f"""{HEADING}

`make neurobench` writes this page from `benchmarks/results/*.json`. What the columns mean stands in
[neurobench.md](neurobench.md).

- **published, official data**: cited, not measured here. NeuroBench's rows are those of Yik et al., Nat. Commun. 16,
  1545 (2025), and of the leaderboard and the examples of harness 2.3.0.
- **computed**: ours, in plain arithmetic. **emulated**: ours, on the emulated chip or crossbar. **modelled**: counts
  times assumed or cited costs. Nothing of ours was measured on a chip.
- Rows of the emulated chip, networks and solver, are of commit ed968cd, before its present laws; what those change
  stands in [results.md](results.md).
- **official data**: the files as published, or the same bits. **regenerated data**: the same recipe, other bits.
- **quick**: by the short default of `make neurobench`; `FULL=1` runs the whole protocol.
"""
_DATA = {"official": "official data", "regenerated": "regenerated data", "generated": "generated as published"}
_COLUMNS = (
    "model",
    "correctness",
    "footprint, bytes",
    "connection sparsity",
    "activation sparsity",
    "Dense",
    "effective MACs",
    "effective ACs",
    "what it is",
)


def load_results(folder: str | Path) -> dict[str, dict[str, Any]]:
    """All results of a folder by the names of their files, in the order of names.

    Raises
    ------
    UserError
        There is none, or a file is no result of a task.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            result = json.loads(path.read_text())
            task = result["metadata"]["task"]["name"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no result of a task ({error!r}); run the task again, or delete it") from error
        if not isinstance(task, str):
            raise UserError(f"{path}: metadata.task.name = {task!r} is no name; run the task again, or delete it")
        found[path.stem] = result
    if not found:
        raise UserError(f"{folder} has no results; run `make neurobench`")
    return found


def page(results: Mapping[str, dict[str, Any]]) -> str:
    """The whole page in Markdown, for results by name."""
    tasks: dict[str, dict[str, dict[str, Any]]] = {}
    for name, result in results.items():
        tasks.setdefault(result["metadata"]["task"]["name"], {})[name] = result
    parts = [INTRODUCTION]
    for task in sorted(tasks, key=str.lower):
        parts.append(f"## {task[0].upper()}{task[1:]}\n")
        parts.append(qubo_table(tasks[task]) if task == QUBO else task_table(task, tasks[task]))
    missing = [task for task in PUBLISHED if task not in tasks]
    if missing:
        parts.append("## Published rows of tasks without a result here\n")
        parts.append("Their data can't be fetched everywhere: see [neurobench.md](neurobench.md).\n")
        rows = [_published(row, f"{task}: ") for task in missing for row in PUBLISHED[task]]
        parts.append(_table(_COLUMNS, rows))
    modelled = {name: result for name, result in results.items() if "SystemTrackModelled" in result}
    if modelled:
        parts.append(system_section(modelled))
    return "\n".join(parts)


def task_table(task: str, results: Mapping[str, dict[str, Any]]) -> str:
    """Our rows, then the published ones."""
    rows = [_ours(name, result) for name, result in results.items()]
    table = _table(_COLUMNS, rows + [_published(row) for row in PUBLISHED.get(task, ())])
    return f"{table}\n{REMARKS[task]}\n" if task in REMARKS else table


def qubo_table(results: Mapping[str, dict[str, Any]]) -> str:
    """Mean gap to the best known solution of each solver, by number of nodes."""
    gaps: dict[str, dict[int, float]] = {}
    for name, result in results.items():
        by_size: dict[int, list[float]] = {}
        for run in result["metadata"]["runs"]:
            by_size.setdefault(run["n"], []).append((run["cost"] - run["target"]) / abs(run["target"]))
        gaps[name] = {n: sum(found) / len(found) for n, found in by_size.items()}
    sizes = sorted({n for found in gaps.values() for n in found})
    rows = []
    for name, result in results.items():
        about = result["metadata"]
        proven = [run for run in about["runs"] if run["target_proven"]]
        reached = sum(run["cost"] == run["target"] for run in proven)
        cells = [f"{gaps[name][n]:.4f}" if n in gaps[name] else "" for n in sizes]
        label = f"{_what(result)}; clock {about['clock']}, {about['timeout_s']:g} s"
        rows.append([str(about["solver"]), *cells, f"{reached}/{len(proven)}", label])
    heading = ("solver", *(f"gap, {n} nodes" for n in sizes), "proven optima reached", "what it is")
    told = "Mean gap (cost - best known cost) / |best known cost| over densities and graph seeds; 0 is best.\n"
    return "\n".join([told, _table(heading, rows), *_qubo_energy(results, sizes)])


def _qubo_energy(results: Mapping[str, dict[str, Any]], sizes: Sequence[int]) -> list[str]:
    """Modelled energy of the chip for each solver that ran on it: counts of its runs times the shipped costs."""
    rows = []
    for result in results.values():
        about = result["metadata"]
        runs = [run for run in about["runs"] if "chip_s" in run]
        cells = []
        for n in sizes:
            energies_J = [_chip_energy_J(run) for run in runs if run["n"] == n]
            cells.append(_si(sum(energies_J) / len(energies_J), "J") if energies_J else "")
        if runs:
            rows.append([str(about["solver"]), *cells, "modelled"])
    if not rows:
        return []
    told = "Mean energy of the chip per graph, until the timeout or the target; what the host does is not in it.\n"
    return [told, _table(("solver", *(f"{n} nodes" for n in sizes), "what it is"), rows)]


def _chip_energy_J(run: Mapping[str, Any]) -> float:
    account = dict.fromkeys(("configuration_ns", "upload_ns", "readback_ns", "words_written"), 0.0)
    account |= {"real_time_us": 1e6 * run["chip_s"], "recorded_events": run["spikes"]}
    account["input_events"] = run["input_events"]
    phases = spiking_phases(account, run["synaptic_events"], load_costs()["spiking"])
    return sum(phases["Inference"].energy_J.values())


def system_section(results: Mapping[str, dict[str, Any]]) -> str:
    """Modelled time and energy of all results that have them, and the costs they were made with."""
    rows = []
    costs: dict[tuple[str, ...], None] = {}
    for name, result in results.items():
        for phase, row in result["SystemTrackModelled"].items():
            per = "in total" if phase == "Learning" else "per sample"
            numbers = [_si(row[key], unit) for key, unit in (("Time_s", "s"), ("Energy_J", "J"), ("Power_W", "W"))]
            rows.append([_model(name, result), f"{phase}, {per}", *numbers, _si(row["BoardEnergy_J"], "J"), "modelled"])
        for key, cost in result["metadata"]["costs"].items():
            value = f"{cost['value']:g} {cost['unit']}".removesuffix(" 1")
            costs[key, value, cost["source"], cost["verified"]] = None
    return "\n".join(
        [
            "## System track, modelled\n",
            "Counts times costs: no measurement, and no submission to NeuroBench's system track. Pre-processing, the\n"
            "encoding on the host, is not modelled and not in these rows. Power is the mean over the phase; the\n"
            "energy of the board holds that of the chip.\n",
            _table(("model", "phase", "time", "energy", "power", "board energy", "what it is"), rows),
            "Costs in these rows (`--costs FILE` replaces them):\n",
            _table(("cost", "value", "source", "checked"), [list(cost) for cost in costs]),
        ]
    )


def _ours(name: str, result: Mapping[str, Any]) -> list[str]:
    operations = result.get("SynapticOperations", {})
    return [
        f"**{_model(name, result)}**",
        _correctness(result),
        _number(result.get("Footprint")),
        _share(result.get("ConnectionSparsity")),
        _share(result.get("ActivationSparsity")),
        *(_number(operations.get(key)) for key in ("Dense", "Effective_MACs", "Effective_ACs")),
        _what(result),
    ]


def _published(row: Row, prefix: str = "") -> list[str]:
    return [
        f"{prefix}{row.model}",
        row.correctness,
        row.footprint or "",
        _share(row.connection_sparsity),
        _share(row.activation_sparsity),
        *(_number(value) for value in (row.dense, row.macs, row.acs)),
        f"{row.label} ({row.source})",
    ]


def _model(name: str, result: Mapping[str, Any]) -> str:
    """As the result names its model; of chaotic function prediction by hyper-parameters; else the file's name."""
    about = result["metadata"]
    if "model" in about or "hyperparameters" not in about:
        return str(about.get("model", name))
    where = ", emulated crossbar" if "crossbar" in about else ""
    series = f"tau = {about['tau']}" if "tau" in about else "several tau"
    return f"echo-state network of {about['hyperparameters']['units']} units, {series}{where}"


def _correctness(result: Mapping[str, Any]) -> str:
    if "AccuracyByTask" in result:
        return " / ".join(f"{100 * value:.1f} %" for value in result["AccuracyByTask"].values())
    if "ClassificationAccuracy" in result:
        return f"{100 * result['ClassificationAccuracy']:.1f} %"
    named = {"SMAPE": "sMAPE {:.2f}", "R2": "R2 {:.3f}", "MSE": "MSE {:.3g}"}
    return next((text.format(result[key]) for key, text in named.items() if key in result), "")


def _what(result: Mapping[str, Any]) -> str:
    """How the numbers came about, on which data, by which protocol."""
    about = result["metadata"]
    words = about.get("provenance", {})
    apart = ("SystemTrackModelled", "BKSGapAfter", "TimeToSolution")  # these say it themselves
    kinds = {word for name, word in words.items() if name not in apart}
    kind = next((word for word in ("emulated", "modelled", "measured") if word in kinds), "computed")
    data = about["task"]["data"]
    parts = [kind, _DATA.get(data, str(data))]
    seeds = about["task"]["seed"]
    if isinstance(seeds, list) and len(seeds) > 1:
        parts.append(f"mean of {len(seeds)} seeds")
    if short := _shortened(about):
        parts.append(f"**quick** ({short})")
    return ", ".join(parts)


def _shortened(about: Mapping[str, Any]) -> str | None:
    """What a result leaves out of the whole protocol."""
    if about.get("quick"):
        return str(about["quick"])
    if about.get("repeats", OFFSETS) < OFFSETS:
        return f"offsets: {about['repeats']} of {OFFSETS}"
    graphs = about.get("graph_seeds")
    if graphs is not None and len(graphs) < GRAPH_SEEDS:
        return f"graph seeds: {len(graphs)} of {GRAPH_SEEDS}"
    return None


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    """Exact counts as they are; others as whole numbers up to a million, then as powers of ten."""
    if value is None:
        return ""
    if 0 < value < 1:
        return f"{value:.3g}"
    if isinstance(value, int) or value < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")


def _si(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    for factor, prefix in ((1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results (default benchmarks/results)")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write (default docs/leaderboard.md)")
    options = commands.parsed(parser, arguments, out=commands.runs("leaderboard.md", quick=True))
    try:
        text = page(load_results(options.results))
        if options.quick:
            make_folder(options.out.parent)
        with replacing(options.out, lambda path: first_line(path) == HEADING) as unfinished:
            unfinished.write_text(text)
    except UserError as error:
        sys.exit(f"leaderboard: {error}")
    except OSError as error:
        sys.exit(f"leaderboard: {options.out} can't be written ({error.strerror}); choose another file")
    print(f"{options.out} is up to date")


if __name__ == "__main__":
    main()
