"""A made-up but plausible DelGrad run: what a training would hand to the writer, from a seed and nothing else.

Run as a program, `python synthetic_run.py PATH EPOCHS`, it writes such a run, or resumes it, to be killed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurohil.datasets.yin_yang import CLASSES, PLANE
from neurohil.delgrad import trace
from neurohil.protocols import Quantity
from neurohil.trace.provenance import CHIP as CHIPS
from neurohil.trace.provenance import IDEAL_NEURONS, Provenance
from neurohil.trace.schema import EPOCH, Layout
from neurohil.trace.writer import TraceWriter

STATE_SIZE = 700
SAMPLES = len(CLASSES)

delgrad_layout = partial(trace.delgrad_layout, classes=CLASSES, watched=SAMPLES, plane=PLANE)


class Case(NamedTuple):
    """Sizes of a run: layers, delays into each layer, unit of time, samples that are recorded, plots left out."""

    name: str
    layers: tuple[int, ...]
    delays: tuple[int, ...]
    time_units: str
    samples: int = SAMPLES
    without: tuple[str, ...] = ()


CHIP = Case("chip_yin_yang_axonal", (20, 30, 3), (4, 30), "us")
IDEAL = Case("yin_yang_weights", (4, 30, 3), (0, 0), "1")
SYNAPTIC = Case("yin_yang_synaptic", (4, 30, 3), (120, 90), "1")
DEEP = Case("yin_yang_deep", (5, 12, 9, 3), (5, 12, 9), "1")
SMALL = Case(
    "small", (4, 3, 3), (4, 0), "us", samples=1,
    without=("silence", "samples/0/membrane", "test_times", "chip/threshold_lsb", "chip/delay_offset_us"),
)  # fmt: skip
"""Each kind of dataset that a chip's run holds, without more of the same: for tests that read it hundreds of times."""

CONFIG = """summary = "Emulated chip in the loop, 20-30-3, weights and axonal delays: DelGrad's chip setting"
seed = 3
[data]
t_late = 2.0
copies = 5
[target]
kind = "brainscales"
preset = "w66f3"
serial = 66
"""


def layout(case: Case, test_size: int = 200) -> Layout:
    pattern, provenance = fixed_pattern(case), provenance_of(case)
    plan = delgrad_layout(case.layers, case.delays, test_size, case.time_units, provenance, pattern)
    return replace(plan, plots=tuple(plot for plot in plan.plots if not f"{plot.path}/".startswith(left_out(case))))


def left_out(case: Case) -> tuple[str, ...]:
    """How the paths begin that only larger runs have."""
    samples = (f"samples/{k}" for k in range(case.samples, SAMPLES))
    return tuple(f"run/{name}/" for name in (*case.without, *samples))


def provenance_of(case: Case) -> Provenance:
    return CHIPS if case.time_units == "us" else IDEAL_NEURONS


def fixed_pattern(case: Case) -> list[Quantity]:
    if case.time_units == "1":
        return []
    rng = np.random.default_rng(66)
    return [
        Quantity("threshold_lsb", rng.normal(150, 4, 512), ("circuit",), "1", "threshold potential (CADC LSB)"),
        Quantity("delay_offset_us", rng.normal(0, 0.2, 128), ("element",), "us", "offset of the delay element (us)"),
        Quantity("synapse_gain", rng.normal(1, 0.1, (64, 64)), ("row", "column"), "1", "gain of the synapse"),
    ]


def state(epoch: int) -> np.ndarray:
    return np.random.default_rng([7, epoch]).normal(size=STATE_SIZE)


def epoch_values(plan: Layout, epoch: int) -> dict[str, Any]:
    rng = np.random.default_rng([11, epoch])
    learnt = 1 - np.exp(-(epoch + 1) / 12)
    values: dict[str, Any] = {}
    for path, array in plan.growing().items():
        shape = [size for size, dim in zip(array.shape, array.dims, strict=True) if dim != EPOCH]
        start = np.random.default_rng(len(path)).normal(size=shape)
        if "accuracy" in path:
            values[path] = 0.35 + 0.6 * learnt + rng.normal(0, 0.008)
        elif path.startswith("run/delays"):
            values[path] = 15 + 2 * start * (1 + learnt) + np.sin(np.arange(shape[0]))
        elif path.startswith("run/weights"):
            values[path] = 0.1 + 0.3 * start * (1 + learnt) + rng.normal(0, 0.01, shape)
        else:
            values[path] = 0.3 * (1 - learnt) + abs(rng.normal(0, 0.01))
    return values


def final_values(case: Case, test_size: int = 200) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    x, y, label = yin_yang(rng, test_size)
    grid = np.linspace(0, 1, 61)
    around = lambda a: a + rng.normal(0, 0.012, np.shape(a))  # noqa: E731
    seen = yin_yang_class(around(x), around(y))
    values: dict[str, Any] = {
        "run/decisions/predicted": seen,
        "run/decisions/x": x,
        "run/decisions/y": y,
        "run/decisions/label": label,
        "run/decision_map/predicted": yin_yang_class(
            around(np.tile(grid, (61, 1))), around(np.tile(grid[:, None], 61))
        ),
        "run/decision_map/x": grid,
        "run/decision_map/y": grid,
        "run/test_times/spike_time": rng.normal(40, 5, (case.layers[-1], test_size)),
        "run/results/test_accuracy": np.mean(seen == label),
        "run/results/validation_accuracy": 0.951,
        "run/results/tested_epoch": 2,
        "run/results/missing_spikes": 0,
        "run/results/chip_seconds": 271.8,
    }
    for k in range(case.samples):
        time, neuron, code = raster(rng, case)
        values |= {
            f"run/samples/{k}/raster/time": time,
            f"run/samples/{k}/raster/neuron": neuron,
            f"run/samples/{k}/raster/layer": code,
            f"run/samples/{k}/membrane/time": np.linspace(0, 60, 300),
            f"run/samples/{k}/membrane/potential": rng.normal(90, 3, (sum(case.layers[1:]), 300)),
        }
    return {path: value for path, value in values.items() if not path.startswith(left_out(case))}


def raster(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, neurons and layer codes of the events, sorted by time."""
    layers = case.layers
    times = [rng.uniform(1, 12, 4).repeat(5) if case is CHIP else rng.uniform(0.5, 6, layers[0])]
    events = []
    for k, size in enumerate(layers):
        neurons = sum(layers[:k]) + np.arange(size)
        events.append((times[-1], neurons, np.full(size, k)))
        if k + 1 < len(layers):
            if any(case.delays) and case is not SYNAPTIC:
                times.append(times[-1] + rng.uniform(8.25, 20, size))
                events.append((times[-1], neurons, np.full(size, len(layers) + k)))
            spikes = np.median(times[-1][np.isfinite(times[-1])]) + np.abs(rng.normal(3, 2, layers[k + 1]))
            silent = (rng.random(layers[k + 1]) < 0.15) & (k + 2 < len(layers))
            times.append(np.where(silent, np.inf, spikes))
    time, neuron, code = (np.concatenate(columns) for columns in zip(*events, strict=True))
    order = np.argsort(time, kind="stable")[: np.isfinite(time).sum()]
    return time[order], neuron[order], code[order]


def yin_yang(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = rng.random((2, 4 * n))
    inside = np.flatnonzero(np.hypot(x - 0.5, y - 0.5) <= 0.5)[:n]
    return x[inside], y[inside], yin_yang_class(x[inside], y[inside])


def yin_yang_class(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    right, left = np.hypot(x - 0.75, y - 0.5), np.hypot(x - 0.25, y - 0.5)
    yang = (right <= 0.1) | ((left > 0.1) & (left <= 0.25)) | ((y > 0.5) & (right > 0.25))
    return np.where((right < 0.1) | (left < 0.1), 2, yang.astype(np.int64))


def write(path: Any, case: Case, epochs: int, overwrite: bool = False) -> None:
    """A whole run."""
    plan = layout(case)
    go_on(TraceWriter(path, plan, case.name, CONFIG, STATE_SIZE, overwrite=overwrite), case, epochs)


def resume(part: Any, case: Case, epochs: int, overwrite: bool = False) -> None:
    """The rest of an interrupted run."""
    go_on(TraceWriter.resume(part, layout(case), case.name, CONFIG, STATE_SIZE, overwrite=overwrite), case, epochs)


def go_on(writer: TraceWriter, case: Case, epochs: int, report: Any = None) -> None:
    plan = layout(case)
    with writer:
        while writer.epochs < epochs:
            writer.append_epoch(epoch_values(plan, writer.epochs), state(writer.epochs))
            if report:
                report(writer.epochs)
        writer.finish(final_values(case))


def main(path: str, epochs: int) -> None:
    """Begin, or resume, telling after each epoch that it has been written."""
    print("ready", flush=True)
    plan, rest = layout(CHIP), (CHIP.name, CONFIG, STATE_SIZE)
    part = f"{path}.part"
    writer = TraceWriter.resume(part, plan, *rest) if Path(part).exists() else TraceWriter(path, plan, *rest)
    go_on(writer, CHIP, epochs, lambda epoch: print(epoch, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
