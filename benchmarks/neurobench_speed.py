"""Seconds that measuring a 64-256-10 perceptron on 10 000 samples takes, here and in the official harness.

The rows of PyTorch appear where the harness is installed (pip install neurobench torch). All rows are measured in one
process on one thread, taken in turn, and the median is given; ratios are what to quote. Seconds are those of the
processor, which other programs don't lengthen. Before any time is taken, the numbers of all rows are compared.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks import commands
from neurohil.neurobench import metrics
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.models import Perceptron
from neurohil.neurobench.records import Linear

OURS = "this package, numpy"
OFFICIAL = "official harness, PyTorch"
SAMPLES, SIZES, BATCH = 10_000, (64, 256, 10), 100
NAMES = (
    ("Footprint", "ParameterCount", "ConnectionSparsity"),
    ("ClassificationAccuracy", "ActivationSparsity", "ActivationSparsityByLayer", "SynapticOperations"),
)
WARM = 1

Job = Callable[[], dict[str, Any]]


def argmax(scores: Any) -> Any:
    return scores.argmax(1)


def jobs() -> dict[str, Job]:
    """One whole run each, on the same weights and data."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(SAMPLES, SIZES[0])).astype(np.float32)
    targets = rng.integers(0, SIZES[-1], SAMPLES)
    weights = [rng.normal(size=(n, m)).astype(np.float32) / m for m, n in pairwise(SIZES)]
    for weight in weights:
        weight[rng.random(weight.shape) < 0.3] = 0.0
    layers = [Linear(str(2 * k), weight, np.zeros(len(weight), np.float32)) for k, weight in enumerate(weights)]
    chosen = [[getattr(metrics, name) for name in names] for names in NAMES]
    batches = batched(inputs, targets, BATCH)
    found: dict[str, Job] = {OURS: lambda: Benchmark(Perceptron(layers), batches, [], [argmax], chosen).run(quiet=True)}
    try:
        import torch
        from neurobench.benchmarks import Benchmark as OfficialBenchmark
        from neurobench.metrics import static, workload
        from neurobench.models import TorchModel as OfficialTorchModel
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset

        from neurohil.neurobench.pytorch import TorchModel
    except ImportError:
        print("the official harness is not installed: no rows of PyTorch")
        return found
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Linear(*SIZES[:2]), nn.ReLU(), nn.Linear(*SIZES[1:]))
    with torch.no_grad():
        for module, layer in zip((net[0], net[2]), layers, strict=True):
            module.weight.copy_(torch.from_numpy(layer.weight))
            module.bias.zero_()
    data = DataLoader(TensorDataset(torch.from_numpy(inputs), torch.from_numpy(targets)), batch_size=BATCH)
    theirs = [
        [getattr(module, name) for name in names] for module, names in zip((static, workload), NAMES, strict=True)
    ]

    def official() -> dict[str, Any]:
        benchmark = OfficialBenchmark(OfficialTorchModel(net), data, [], [argmax], theirs)
        results: dict[str, Any] = benchmark.run(quiet=True)
        return results

    recorded = TorchModel(copy.deepcopy(net))  # of its own, because its hooks stay
    found["this package, recording the network of PyTorch"] = lambda: Benchmark(
        recorded, batches, [], [argmax], chosen
    ).run(quiet=True)
    found[OFFICIAL] = official
    return found


def check_equal(rows: dict[str, dict[str, Any]]) -> None:
    """Raise unless all rows tell the same numbers: to float32's rounding of sums."""
    first = rows[OURS]
    for name, other in rows.items():
        for metric in (metric for names in NAMES for metric in names):
            ours, theirs = (v if isinstance(v, dict) else {metric: v} for v in (first[metric], other[metric]))
            if not np.allclose(list(ours.values()), list(theirs.values()), rtol=1e-6):
                raise SystemExit(f"{metric} differs: {OURS} {ours}, {name} {theirs}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    options = commands.parsed(parser, arguments, repeats=2)
    rows = jobs()
    check_equal({name: job() for name, job in rows.items()})
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(WARM + options.repeats):
        for name, job in rows.items():
            began = time.process_time()
            job()
            if repeat >= WARM:
                seconds[name].append(time.process_time() - began)
    base = np.median(seconds[OURS])
    print("| 64-256-10, 10 000 samples, batches of 100 | median CPU s | min ... max | times ours |")
    print("| --- | --- | --- | --- |")
    for name, values in seconds.items():
        middle = np.median(values)
        print(f"| {name} | {middle:.4f} | {min(values):.4f} ... {max(values):.4f} | {middle / base:.1f} |")


if __name__ == "__main__":
    main()
