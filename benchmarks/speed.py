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
from benchmarks.peers import delgrad

EPOCHS_WARM = 2
EXPERIMENTS = [f"yin_yang_{delays}" for delays in ("weights", "axonal", "dendritic", "synaptic")]
EXPERIMENTS += ["chip_yin_yang_weights", "chip_yin_yang_axonal"]


def epoch_of(experiment: str) -> Callable[[], object]:
    """One training epoch of an experiment, without validation."""
    run: Any = nh.experiment(experiment).start()
    return lambda: run.trainer.train_epoch(*run.data.train)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, help="the first is what ratios refer to")
    parser.add_argument("--repeats", type=int, default=7)
    options = commands.parsed(parser, arguments, experiments=[EXPERIMENTS[0], EXPERIMENTS[-1]], repeats=1)
    epochs = {name: epoch_of(name) for name in options.experiments}
    try:
        epochs["PyTorch, weights only"] = delgrad.epochs(delgrad.small("none"), ["torch"])["torch"]
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
