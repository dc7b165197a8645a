"""Milliseconds of a layer on the emulated crossbar next to a plain product of the same size, warm, one thread.

Default devices with write and read noise, 8-bit DAC and ADC, differential pairs on tiles of 128 x 128. All rows are
measured in one process, taken in turn, and the median is given; ratios are what to quote.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from benchmarks import commands
from memristor import Crossbar, CrossbarConfig

PRODUCT = "784 x 512, batch 128, plain float32 product"
WARM = 3
CHANGED = 0.01  # share of the levels that a training step changes


def layer(shape: tuple[int, int], **choices: Any) -> tuple[Crossbar, np.ndarray]:
    """A written crossbar and its levels."""
    crossbar = Crossbar(shape, CrossbarConfig(**choices))
    levels = np.random.default_rng(0).integers(-7, 8, shape)
    crossbar.write(levels)
    return crossbar, levels


def forward(x: np.ndarray, **choices: Any) -> Callable[[], object]:
    """One product with a batch."""
    crossbar, _ = layer((x.shape[1], 512), **choices)
    crossbar.calibrate(x)
    return lambda: crossbar.multiply(x)


def training_write(layout: str) -> Callable[[], object]:
    """One write that changes few levels, and one vector, which brings the products up to date."""
    crossbar, levels = layer((784, 1024), layout=layout)
    places = np.random.default_rng(2).choice(levels.size, int(CHANGED * levels.size), replace=False)
    changed = levels.copy()
    changed.flat[places] = np.where(levels.flat[places] == 7, 6, levels.flat[places] + 1)
    states = itertools.cycle([changed, levels])
    x = np.ones((1, 784))
    crossbar.calibrate(x)

    def step() -> None:
        crossbar.write(next(states))
        crossbar.multiply(x)

    return step


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=51)
    options = commands.parsed(parser, arguments, repeats=1)
    x = np.random.default_rng(1).uniform(0.0, 1.0, (128, 784))
    single, weights = x.astype(np.float32), np.random.default_rng(3).normal(size=(784, 512)).astype(np.float32)
    jobs: dict[str, Callable[[], object]] = {
        PRODUCT: lambda: single @ weights,
        "784 x 512, batch 128, a conversion per tile": forward(x),
        "784 x 512, batch 128, a conversion per output": forward(x, conversion="output"),
        "784 x 1024, 1 % of the levels written, statistical": training_write("statistical"),
        "784 x 1024, 1 % of the levels written, tiled": training_write("tiled"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for repeat in range(WARM + options.repeats):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if repeat >= WARM:
                seconds[name].append(time.perf_counter() - began)
    base = np.median(seconds[PRODUCT])
    print("| job | median ms | min ... max | times the product |\n| --- | --- | --- | --- |")
    for name, values in seconds.items():
        low, middle, high = 1e3 * min(values), 1e3 * np.median(values), 1e3 * max(values)
        print(f"| {name} | {middle:.2f} | {low:.2f} ... {high:.2f} | {np.median(values) / base:.1f} |")


if __name__ == "__main__":
    main()
