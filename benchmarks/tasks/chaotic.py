"""Chaotic function prediction: Mackey-Glass series, continued from a model's own predictions, scored by sMAPE.

NeuroBench's protocol: repeat k = 0 ... 29 starts half a Lyapunov time after the one before; a model is trained on 750
points, then sees one true value and predicts the next 750 points from its own predictions; sMAPE over these, mean over
the repeats. The series are regenerated unless the official files are given (NEUROHIL_DATA).

The model is an echo-state network, in plain arithmetic or on an emulated memristor crossbar, with the same reservoirs.
All repeats share a reservoir, each has its own read-out; several reservoirs are averaged, none is picked.

Hyper-parameters were tuned by random search for tau = 17 on windows of the series beyond its official end (75 points x
50 Lyapunov times), which overlap no window that is scored. The same ones are used for every tau.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import commands
from benchmarks.tasks.seeds import RESULTS, SHORT, is_result, results_folder, write
from neurohil.errors import UserError
from neurohil.files import refuse_foreign

if TYPE_CHECKING:
    from benchmarks.tasks.esn import Config
    from neurohil.neurobench.benchmark import Results
    from neurohil.targets.matrix.crossbar import CrossbarTargetConfig

MODELS = ("esn", "esn_crossbar")
RESERVOIRS = 5
TUNED_ON = "tau = 17, windows beyond the official 3751 points of the series"
# Leaderboard of NeuroBench: sMAPE, Dense, effective MACs. It doesn't say which series it covers.
PUBLISHED = {"LSTM (published)": (13.37, 6.03e4, 6.03e4), "ESN (published)": (14.79, 3.52e4, 4.37e3)}

INPUT_ROWS, SLICES, READS = 6, 3, 1


def hyperparameters(model: str) -> Config:
    """The same reservoir for both; the read-out on noisy arrays takes a stronger penalty."""
    from benchmarks.tasks.esn import Config

    plain = Config(
        units=150,
        connectivity=0.088,
        spectral_radius=0.575,
        input_scale=1.84,
        bias_scale=0.05,
        leak=0.52,
        ridge=5e-14,
    )
    return plain if model == "esn" else dataclasses.replace(plain, ridge=3e-3)


def crossbar_config(seed: int) -> CrossbarTargetConfig:
    """HfOx devices with 16 levels, written once without verification, read noise, 8-bit converters."""
    from neurohil.targets.matrix.crossbar import CrossbarTargetConfig

    return CrossbarTargetConfig(
        serial=seed,
        preset="hfox_wan2022",
        mapping={"levels_per_device": 16},
        recipe={"method": "one_shot"},
        dac={"bits": 8},
        adc={"bits": 8},
    )


def score(model: str, tau: int, repeats: int, seed: int, folder: str | Path | None = None) -> Results:
    """Metrics of one reservoir on one series, over the repeats.

    Parameters
    ----------
    model : {"esn", "esn_crossbar"}
    tau : int
        Delay of the series, 17..30.
    repeats : int
        1..30.
    seed : int
        Of the reservoir, and of the arrays.
    folder : path, optional
        Where official files are looked for.

    Raises
    ------
    UserError
        There is no such model, series, or number of repeats.
    """
    import numpy as np

    from benchmarks.tasks import esn
    from neurohil.datasets import mackey_glass
    from neurohil.neurobench import metrics
    from neurohil.neurobench.benchmark import Benchmark, Task

    if model not in MODELS:
        raise UserError(f"there is no model {model!r}; choose one of {', '.join(MODELS)}")
    if not 1 <= repeats <= mackey_glass.REPEATS:
        raise UserError(f"repeats = {repeats} is outside 1..{mackey_glass.REPEATS}")
    series = mackey_glass.load(tau, folder)
    windows = [mackey_glass.window(series.values, repeat) for repeat in range(repeats)]
    config = hyperparameters(model)
    arrays: esn.Arrays = esn.PlainArrays()
    if model == "esn_crossbar":
        arrays = esn.CrossbarArrays(crossbar_config(seed), repeats, config.units, INPUT_ROWS, SLICES, READS)
    network = esn.EchoStateNetwork(config, seed, arrays)
    network.fit(np.array([w.training_inputs for w in windows]), np.array([w.training_targets for w in windows]))
    inputs, targets = (np.concatenate(part)[:, np.newaxis] for part in list(zip(*windows, strict=True))[2:])
    results = Benchmark(
        network,
        [(inputs, targets)],
        None,
        None,
        [
            [metrics.Footprint, metrics.ParameterCount, metrics.ConnectionSparsity],
            [metrics.SMAPE, metrics.ActivationSparsity, metrics.SynapticOperations],
        ],
        Task("chaotic function prediction", data=series.origin, seed=seed),
    ).run(quiet=True)
    results["metadata"] |= {
        "tau": tau,
        "repeats": repeats,
        "series_sha256": series.sha256,
        "hyperparameters": dataclasses.asdict(config),
        "tuned_on": TUNED_ON,
    }
    if isinstance(arrays, esn.CrossbarArrays):
        import msgspec

        results["metadata"] |= {
            "crossbar": msgspec.to_builtins(crossbar_config(seed)),
            "input_rows": INPUT_ROWS,
            "slices": SLICES,
            "reads": READS,
            "bits_per_weight": arrays.bits,
            "devices_per_weight": arrays.devices,
            "account_modelled": arrays.target.account(),
            "SMAPE_computed": score("esn", tau, repeats, seed, folder)["SMAPE"],
        }
    return results


def constant_predictor(tau: int, repeats: int, folder: str | Path | None = None) -> float:
    """Mean sMAPE of predicting the mean of the training targets: what a model must be better than."""
    import numpy as np

    from neurohil.datasets import mackey_glass

    values = mackey_glass.load(tau, folder).values
    windows = [mackey_glass.window(values, repeat) for repeat in range(repeats)]
    return float(np.mean([smape(np.full_like(w.test_targets, w.training_targets.mean()), w) for w in windows]))


def smape(predictions: Any, window: Any) -> float:
    """200 mean(|p - y| / (|p| + |y|)) over the test points of a window."""
    import numpy as np

    targets = window.test_targets
    return float(200.0 * np.mean(np.abs(predictions - targets) / (np.abs(predictions) + np.abs(targets))))


def averaged(runs: Sequence[Results]) -> Results:
    """Mean over series and reservoirs of every metric, with the single sMAPEs in the metadata.

    SMAPE_computed is that of the same reservoir in plain numbers.
    """
    from neurohil.neurobench.benchmark import Results

    names = [name for name in runs[0] if name != "metadata"]
    mean = Results({name: _mean([run[name] for run in runs]) for name in names})
    single = [
        {
            "tau": run["metadata"]["tau"],
            "seed": run["metadata"]["task"]["seed"],
            "SMAPE": run["SMAPE"],
            "SMAPE_computed": run["metadata"].get("SMAPE_computed", run["SMAPE"]),
        }
        for run in runs
    ]
    first = runs[0]["metadata"]
    shared = {key: value for key, value in first.items() if all(run["metadata"].get(key) == value for run in runs)}
    task = {**first["task"], "seed": sorted({run["seed"] for run in single})}
    return Results(mean | {"metadata": {**shared, "task": task, "runs": single}})


def _mean(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _mean([value[name] for value in values]) for name in values[0]}
    return sum(values) / len(values)


def table(rows: dict[str, Results], constant: float) -> str:
    """Markdown: our rows beside the published ones; loss: against the same reservoirs and windows in plain numbers."""
    import numpy as np

    lines = ["| model | sMAPE | range over runs | loss | Dense | effective MACs | footprint, bytes | data |"]
    lines.append("| --- " * 8 + "|")
    for name, results in rows.items():
        single = [run["SMAPE"] for run in results["metadata"]["runs"]]
        loss = np.mean([run["SMAPE"] - run["SMAPE_computed"] for run in results["metadata"]["runs"]])
        done = results["SynapticOperations"]
        lines.append(
            f"| {name} | **{np.mean(single):.2f}** | {min(single):.2f} ... {max(single):.2f} | {loss:.2f} |"
            f" {done['Dense']:.0f} | {done['Effective_MACs']:.0f} | {results['Footprint']:.0f} |"
            f" {results['metadata']['task']['data']} |"
        )
    for name, (error, dense, macs) in PUBLISHED.items():
        lines.append(f"| {name} | {error} | | | {dense:.0f} | {macs:.0f} | | official |")
    lines.append(f"| mean of the training points | {constant:.1f} | | | | | | |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("models", nargs="*", default=[], help=f"any of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--tau", type=int, default=17, help="series (default 17)")
    parser.add_argument("--all", action="store_true", help="all 14 series (slow)")
    parser.add_argument("--repeats", type=int, default=30, help="offsets (default 30, as in the protocol)")
    parser.add_argument("--reservoirs", type=int, default=RESERVOIRS, help="reservoirs (default 5; on the crossbar 1)")
    parser.add_argument("--data", type=Path, help="folder with official files mg_<tau>.npy")
    folders = f"default {SHORT}/, with --all {RESULTS.name}/ here"
    parser.add_argument("--out", type=Path, help=f"folder for the results ({folders})")
    options = commands.parsed(parser, arguments, repeats=1, reservoirs=1)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: a second thread only waits
    try:
        run(options)
    except UserError as error:
        sys.exit(f"chaotic: {error}")


def run(options: argparse.Namespace) -> None:
    """What the command does."""
    from tqdm import tqdm

    from neurohil.datasets import mackey_glass

    if options.reservoirs < 1:
        raise UserError(f"--reservoirs {options.reservoirs}: give at least 1")
    taus = list(mackey_glass.PARAMETERS) if options.all else [options.tau]
    whole = options.all and options.repeats == mackey_glass.REPEATS and options.reservoirs >= RESERVOIRS
    folder = results_folder(options.out, whole, options.quick)
    end = "all" if options.all else options.tau
    places = {model: folder / f"chaotic_{model}_{end}.json" for model in options.models or MODELS}
    for path in places.values():
        refuse_foreign(path, is_result)
    rows = {}
    for model, path in places.items():
        seeds = range(options.reservoirs if model == "esn" else 1)
        jobs = [(tau, seed) for tau in taus for seed in seeds]
        progress = tqdm(jobs, desc=model, unit="run", disable=None)
        rows[model] = averaged([score(model, tau, options.repeats, seed, options.data) for tau, seed in progress])
        write(rows[model], path)
    constants = [constant_predictor(tau, options.repeats, options.data) for tau in taus]
    print(table(rows, sum(constants) / len(constants)))


if __name__ == "__main__":
    main()
