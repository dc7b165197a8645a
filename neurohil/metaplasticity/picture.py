"""Picture of a finished metaplasticity run, drawn from its trace, and from a second one to compare with."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurohil.metaplasticity.trace import (
    ACCURACY,
    CONDUCTANCE,
    LEVEL,
    LEVEL_USE,
    PULSES,
    TASK,
    WRITES,
    WRITES_AT_LEAST,
    WRITES_MAX,
    WRITES_MEAN,
    curve_path,
    final_path,
    tests_in,
)
from neurohil.pictures import (
    COLOUR_MAP,
    COLOURS,
    FAINT,
    GRID,
    INK,
    distinct_colours,
    headline,
    new_figure,
    own_style,
    save,
)
from neurohil.trace.reader import Trace, open_finished
from neurohil.trace.schema import EPOCH, TraceError

if TYPE_CHECKING:
    from neurohil.metaplasticity.run import MetaplasticityRun

MOST_LABELS = 6  # tasks that can be marked by name
MOST_CURVES = 3  # curves that the legend has room for


def draw_metaplasticity(trace_path: str | Path, png_path: str | Path, compared_path: str | Path | None = None) -> None:
    """Draw a finished run: accuracy of each test over the epochs, writes per device, a corner of the first layer.

    Parameters
    ----------
    trace_path : str or path
        Complete trace with the layout of `metaplasticity_layout`.
    png_path : str or path
        Picture to write, 1600 x 1200 pixels.
    compared_path : str or path, optional
        Complete trace of a run with the same tests, whose accuracies are dashed.

    Raises
    ------
    TraceError
        If a trace can't be read, its run has not come to its end, or the tests differ.
    """
    with ExitStack() as stack:
        trace = stack.enter_context(open_finished(trace_path))
        compared = None
        if compared_path:
            _demand_tests(compared_path, tests_in(trace.paths))
            compared = stack.enter_context(open_finished(compared_path))
        stack.enter_context(own_style())
        figure = new_figure(8, 6)
        grid = figure.add_gridspec(
            2, 2, left=0.085, right=0.925, top=0.82, bottom=0.085, hspace=0.42, wspace=0.2, width_ratios=(1.25, 1)
        )
        _draw_headline(figure, trace)
        _draw_accuracy(figure.add_subplot(grid[0, :]), trace, compared)
        _draw_writes(figure.add_subplot(grid[1, 0]), trace)
        axes = figure.add_subplot(grid[1, 1])
        if CONDUCTANCE in trace.paths:
            _draw_conductance(axes, trace)
        else:
            _draw_levels(axes, trace)
        save(figure, png_path)


def check_comparable(path: str | Path, run: MetaplasticityRun) -> None:
    """Check that the picture of a run can show the curves of a trace as well, before the run begins.

    Raises
    ------
    TraceError
        The trace can't be read, its run has not come to its end, or was tested on other images.
    """
    _demand_tests(path, run.tests)


def _demand_tests(path: str | Path, tests: Collection[str]) -> None:
    with open_finished(path) as trace:
        found = tests_in(trace.paths)
        if sorted(found) != sorted(tests):
            raise TraceError(
                f"{path} can't be compared: it has tests of {', '.join(found) or 'nothing'}, this run of "
                f"{', '.join(tests)}; compare runs that are tested on the same images"
            )


def _name(test: str) -> str:
    return {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}.get(test, test.replace("_", " "))


def _draw_headline(figure: Any, trace: Trace) -> None:
    tests = tests_in(trace.paths)
    final = [100 * float(trace[final_path(name)]) for name in tests]
    if len(tests) <= 2:
        finding = ", ".join(f"{_name(name)} {value:.1f} %" for name, value in zip(tests, final, strict=True))
    else:
        finding = f"{np.mean(final):.1f} % in the mean of {len(tests)} tests"
    config = tomllib.loads(trace.config)
    target = config["target"]
    devices = ("kind", "table") if "table" in target else ("kind", "preset")  # a table stands for the preset
    words = [str(target[key]) for key in devices if key in target]
    origin = ", ".join([*words, f"seed {config['seed']}"])
    headline(figure, trace.title, finding, config["summary"], origin, finding_size=12)


def _draw_accuracy(axes: Any, trace: Trace, compared: Trace | None) -> None:
    tests, epoch = tests_in(trace.paths), trace[f"{ACCURACY}/{EPOCH}"]
    colours = distinct_colours(len(tests))
    marker = "." if epoch.size < 40 else ""
    for name, colour in zip(tests, colours, strict=True):
        label = _name(name) if len(tests) <= MOST_CURVES else None
        path = curve_path(name)
        axes.plot(epoch, 100 * trace[path], color=colour, marker=marker, linewidth=1.3, label=label)
        if compared:
            there = compared[f"{ACCURACY}/{EPOCH}"]
            axes.plot(there, 100 * compared[path], color=colour, linewidth=1, linestyle=(0, (4, 2)))
    _mark_tasks(axes, trace, dict(zip(tests, colours, strict=True)))
    axes.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 100), xlim=(0.5, epoch.size + 0.5))
    axes.set_title("Test accuracy", pad=14)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    if compared:
        axes.plot([np.nan], [np.nan], color=INK, linewidth=1, linestyle=(0, (4, 2)), label=compared.title)
    if len(tests) <= MOST_CURVES or compared:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.09), ncols=4, borderaxespad=0.0, columnspacing=1.2)


def _mark_tasks(axes: Any, trace: Trace, colours: dict[str, Any]) -> None:
    """A line where a task begins, and its name above, in the colour of its test."""
    task = trace[TASK]
    names = str(trace.attributes(TASK)["flag_meanings"]).split()
    starts = np.flatnonzero(np.diff(task, prepend=-1))
    for k, start in enumerate(starts):
        if start:
            axes.axvline(start + 0.5, color=FAINT, linewidth=0.8)
        if len(starts) <= MOST_LABELS:
            name = names[task[start]]
            label = f"learns {_name(name)}" if len(starts) <= MOST_CURVES else f"task {task[start] + 1}"
            end = starts[k + 1] if k + 1 < len(starts) else len(task)
            middle = 0.5 + (start + end) / 2
            axes.text(middle, 101, label, ha="center", va="bottom", size=8, color=colours.get(name, FAINT))


def _draw_writes(axes: Any, trace: Trace) -> None:
    counts, edges = trace[WRITES], trace[WRITES_AT_LEAST]
    width = edges[1] - edges[0] if edges.size > 1 else 1
    axes.stairs(counts, np.append(edges, edges[-1] + width), fill=True, color=COLOURS[1])
    mean, most = (float(trace[path]) for path in (WRITES_MEAN, WRITES_MAX))
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    title, events, counted = "Level changes per weight", "level changes", "weights"
    if PULSES in trace.paths:
        title, events, counted = "Writes per device", "programming cycles", "devices"
    axes.set(title=title, xlabel=f"{events} (mean {mean:.1f}, most {most:.0f})", ylabel=counted)


def _draw_conductance(axes: Any, trace: Trace) -> None:
    values = trace[CONDUCTANCE]
    image = axes.imshow(values, cmap=COLOUR_MAP, interpolation="nearest", vmin=0.0, aspect="auto")
    rows, columns = values.shape
    axes.set(title=f"First {rows} x {columns} devices of layer 1", xlabel="column", ylabel="row")
    axes.figure.colorbar(image, ax=axes, label="conductance (\N{MICRO SIGN}S)", fraction=0.046, pad=0.03)


def _draw_levels(axes: Any, trace: Trace) -> None:
    level, weights = trace[LEVEL], trace[LEVEL_USE]
    for k, counts in enumerate(weights):
        share = 100 * counts / counts.sum()
        axes.plot(level, share, ".-", color=COLOURS[k % len(COLOURS)], linewidth=1, label=f"layer {k + 1}")
    axes.set(title="Levels at the end", xlabel="signed level", ylabel="% of the layer's weights")
    axes.set_ylim(bottom=0)
    axes.legend()
