"""Which share of the machine's limit the main kernels reach: what the work needs, over measured peaks.

A kernel can't take less than its operations at the peak of arithmetic, nor less than its bytes at the peak of memory;
the longer of both is the limit, and the limit over the measured time is the share. What the work needs is a small
model, told in words beside each kernel: it counts neither searches nor copies of the program that it is held against,
and each byte once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import chip_speed, growth
from benchmarks.pairs import Job, timed
from benchmarks.peers import crossbars
from brainscales_emu import NoiseConfig

REPEATS = 7
EXP = 12  # operations of an exponential: a polynomial of degree 11 in lanes
MEMORY = 1 << 23  # numbers of an array that no cache holds


class Kernel(NamedTuple):
    """A job, with the operations and bytes that it needs, of 4 or 8 bytes a number, and why so many."""

    name: str
    job: Job
    operations: float
    bytes: float
    number: int
    reason: str


def kernels() -> Iterator[Kernel]:
    """The main ones, at the sizes of the other tables."""
    events, n = 25_600, chip_speed.N_INPUTS
    for label, noise, each in (("ideal", NoiseConfig(), 8), ("mismatch", chip_speed.MISMATCH, 8 + 2 * EXP)):
        reason = "an event at a neuron: two decays, the weight, a bound of the peak: 8 operations"
        if label == "mismatch":
            reason += f", and two exponentials of {EXP}, as every neuron has its own time constants"
        yield Kernel(
            f"chip, {n} x {n}, {label}",
            growth.chip_network(n, events, noise),
            each * events * n,
            16 * events,
            8,
            reason,
        )
    batch, arrivals, hidden = 128, 0.2 * 784, 350
    yield Kernel(
        "DelGrad forward, 784-350-10, batch 128", growth.wide(784), 4 * batch * arrivals * hidden,
        8 * 784 * (hidden + batch), 8, "an arrival at a neuron: two running sums, 4 operations",
    )  # fmt: skip
    b, n_in, n_out = crossbars.BATCH, crossbars.N_IN, crossbars.N_OUT
    levels, x = crossbars.problem()
    tiles = -(-n_in // 128)
    for conversion, times in (("output", 1), ("tile", tiles)):
        yield Kernel(
            f"crossbar forward, {n_in} x {n_out}, batch {b}, a conversion per {conversion}",
            crossbars.ours(x, levels, conversion), 2 * b * n_in * n_out + 10 * b * n_out * times,
            4 * (b * n_in + n_in * n_out + b * n_out), 4,
            f"the product, and {times} conversions of each output: 10 operations",
        )  # fmt: skip
    size = 128
    yield Kernel(
        f"effective conductances, {size} x {size}", growth.conductances(size), 8 * 10 * size**3, 16 * size**2, 8,
        "nested dissection of a grid, 10 operations times the side cubed, 8 times so for two planes",
    )  # fmt: skip


def peaks() -> dict[str, float]:
    """Operations per second of products in either precision, and bytes per second of adding arrays."""
    found = {}
    for number in (4, 8):
        a: NDArray[Any] = np.ones((768, 768), f"f{number}")
        found[f"operations_{number}"] = 2 * 768**3 / best(Job(lambda _, a=a: a @ a))  # type: ignore[misc]
    first, second, total = (np.ones(MEMORY) for _ in range(3))
    found["bytes"] = 3 * 8 * MEMORY / best(Job(lambda _: np.add(first, second, out=total)))
    return found


def best(job: Job) -> float:
    """Fewest CPU seconds."""
    return min(timed(job)[0] for _ in range(1 + REPEATS))


def measured(quick: bool) -> dict[str, Any]:
    """Peaks, and for each kernel its needs, time and share."""
    limits, rows = peaks(), []
    for kernel in kernels():
        timed(kernel.job)
        seconds = float(np.median([timed(kernel.job)[0] for _ in range(1 if quick else REPEATS)]))
        limit = max(kernel.operations / limits[f"operations_{kernel.number}"], kernel.bytes / limits["bytes"])
        rows.append(
            {
                "name": kernel.name, "operations": kernel.operations, "bytes": kernel.bytes, "number": kernel.number,
                "cpu_s": seconds, "share": limit / seconds, "reason": kernel.reason,
            }
        )  # fmt: skip
        if quick:
            break
    return {"peaks": limits, "kernels": rows}
