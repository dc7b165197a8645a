"""Milliseconds to solve the wires of a crossbar, warm, one thread: this package, and badcrossbar.

Conductances are uniform in 10..100 uS, lines have 1 ohm per segment. The columns of badcrossbar are filled if it is
installed (pip install --no-deps badcrossbar==1.1.0 sigfig pathvalidate; its drawing part needs more). Both are
measured in one process, taken in turn, and the median is given; ratios are what to quote. The currents of both are
held against each other as well. Below stand the fitted exponents of growth.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks import commands
from memristor.parasitics import WireConfig, effective_matrix, solve

WIRES = WireConfig(row_ohm=1.0, column_ohm=1.0)


def peer() -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] | None:
    """badcrossbar's output currents in uA for conductances in uS and voltages in V; None if it isn't installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import badcrossbar
        except ImportError:
            return None
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)

    def currents_uA(g_uS: NDArray[np.float64], v_V: NDArray[np.float64]) -> NDArray[np.float64]:
        solution = badcrossbar.compute(v_V[:, None], 1e6 / g_uS, r_i=WIRES.row_ohm, all_currents=False)
        return 1e6 * solution.currents.output[0]

    return currents_uA


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--repeats", type=int, default=5)
    options = commands.parsed(parser, arguments, sizes=[8, 16], repeats=2)
    theirs = peer()
    if theirs is None:
        print("badcrossbar is not installed: no comparison")
    medians_of: list[list[float]] = []
    print("| size | one vector, ms | effective matrix, ms | badcrossbar, one vector, ms | ratio | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in options.sizes:
        rng = np.random.default_rng(size)
        g_uS, v_V = rng.uniform(10.0, 100.0, (size, size)), rng.uniform(0.0, 0.2, size)
        calls: list[Callable[[], object]] = [
            partial(solve, g_uS, v_V, WIRES),
            partial(effective_matrix, g_uS, WIRES),
        ]
        if theirs is not None:
            calls.append(partial(theirs, g_uS, v_V))
        milliseconds: list[list[float]] = [[] for _ in calls]
        for repeat in range(1 + options.repeats):
            for call, taken in zip(calls, milliseconds, strict=True):
                began = time.perf_counter()
                call()
                if repeat > 0:
                    taken.append(1e3 * (time.perf_counter() - began))
        medians = [float(np.median(taken)) for taken in milliseconds]
        medians_of.append(medians[:2])
        row = f"| {size} x {size} | {medians[0]:.2f} | {medians[1]:.1f} |"
        if theirs is None:
            print(row + " - | - | - |", flush=True)
            continue
        expected = theirs(g_uS, v_V)
        difference = np.abs(solve(g_uS, v_V, WIRES).currents_uA / expected - 1).max()
        print(row + f" {medians[2]:.0f} | {medians[2] / medians[0]:.0f} | {difference:.0e} |", flush=True)
    for what, values in zip(("one vector", "effective matrix"), zip(*medians_of, strict=True), strict=True):
        power, _ = np.polyfit(np.log(options.sizes), np.log(values), 1)
        print(f"{what}: time grows as n^{power:.1f} over these sizes")


if __name__ == "__main__":
    main()
