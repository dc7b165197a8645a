"""Seconds per training epoch, warm, one thread: ideal neurons, the emulated chip, and a plain PyTorch loop.

The PyTorch rows appear if torch is installed (pip install torch). All rows are measured in one process, taken in
turn, and the median is given; ratios are what to quote.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

import neurohil as nh
from benchmarks import commands

EPOCHS_WARM = 2
EXPERIMENTS = [f"yin_yang_{delays}" for delays in ("weights", "axonal", "dendritic", "synaptic")]
EXPERIMENTS += ["chip_yin_yang_weights", "chip_yin_yang_axonal"]


def epoch_of(experiment: str) -> Callable[[], object]:
    """One training epoch of an experiment, without validation."""
    run: Any = nh.experiment(experiment).start()
    return lambda: run.trainer.train_epoch(*run.data.train)


def torch_epoch() -> Callable[[], object]:
    """The same network and recipe in PyTorch: all causal sets at once, autograd, Adam; weights only."""
    import torch

    torch.set_num_threads(1)
    run: Any = nh.experiment("yin_yang_weights").start()
    inputs = torch.tensor(run.data.train.times)
    labels = torch.tensor(run.data.train.labels)
    weights = [torch.tensor(w, requires_grad=True) for w in run.network.weights]
    adam = torch.optim.Adam(weights, lr=0.02)

    def layer(times: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ordered, order = times.sort(dim=1)
        w = weight[order]
        x = torch.exp(ordered.clamp(max=50) / 2)[..., None]
        a_1, a_2 = (w * x * x).cumsum(1), (w * x).cumsum(1)
        root = a_2 * a_2 - 2 * a_1
        possible = (root > 0) & (a_1 > 0)
        root = torch.where(possible, root, torch.ones_like(root)).sqrt()
        ratio = 2 * a_1 / (a_2 + root)
        possible = possible & (ratio > 0)
        spike = 2 * torch.log(torch.where(possible, ratio, torch.ones_like(ratio)))
        after = torch.cat([ordered[:, 1:], torch.full_like(ordered[:, :1], torch.inf)], 1)[..., None]
        valid = possible & (spike >= ordered[..., None]) & (spike <= after) & torch.isfinite(ordered)[..., None]
        return torch.where(valid, spike, torch.full_like(spike, torch.inf)).min(dim=1).values

    def epoch() -> None:
        for chosen in torch.randperm(len(inputs)).split(150):
            times = layer(layer(inputs[chosen], weights[0]), weights[1])
            right = times.gather(1, labels[chosen, None])
            spiked = torch.isfinite(times).all(1)
            miss = times[spiked] - right[spiked] - 0.2
            wrong = torch.ones_like(miss).scatter(1, labels[chosen][spiked, None], 0.0)
            adam.zero_grad()
            (0.5 * (miss * miss * wrong).sum(1)).sum().div(len(chosen)).backward()
            adam.step()

    return epoch


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, help="the first is what ratios refer to")
    parser.add_argument("--repeats", type=int, default=7)
    options = commands.parsed(parser, arguments, experiments=[EXPERIMENTS[0], EXPERIMENTS[-1]], repeats=1)
    epochs = {name: epoch_of(name) for name in options.experiments}
    try:
        epochs["PyTorch, weights only"] = torch_epoch()
    except ImportError:
        print("torch is not installed: no PyTorch row")
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for repeat in range(EPOCHS_WARM + options.repeats):
        for name, epoch in epochs.items():
            began = time.perf_counter()
            epoch()
            taken = time.perf_counter() - began
            if repeat >= EPOCHS_WARM:
                seconds[name].append(taken)
    first = options.experiments[0]
    base = np.median(seconds[first])
    print(f"| epoch of 5000 samples | median s | min ... max | times {first} |\n| --- | --- | --- | --- |")
    for name, values in seconds.items():
        print(
            f"| {name} | {np.median(values):.4f} | {min(values):.4f} ... {max(values):.4f} "
            f"| {np.median(values) / base:.1f} |"
        )


if __name__ == "__main__":
    main()
