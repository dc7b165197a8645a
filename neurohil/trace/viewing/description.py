"""What one dataset or plot of a trace holds: meaning, statistics, values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.terminal import cut, number
from neurohil.text import printable
from neurohil.trace.nxdata import PlotGroup, Variable, is_plot, plot_group, scalar_text, variable
from neurohil.trace.reader import StoredArray, Trace
from neurohil.trace.viewing.listing import type_name

_BLOCK_ELEMENTS = 1 << 20
_MOST_PRINTED = 120  # values of a dataset that is shown whole
_EDGE = {1: 12, 2: 3}  # first and last values along each dimension of any other, by the number of dimensions


@dataclass(frozen=True)
class Statistics:
    """Lowest, mean and highest of the finite values of a dataset (NaN if there is none); how many are not finite."""

    count: int
    lowest: float
    mean: float
    highest: float
    not_numbers: int
    infinite: int


def describe(trace: Trace, path: str, columns: int = 80) -> str:
    """What is at `path`: of a dataset its attributes, statistics and values, of a group its plot or its members.

    Parameters
    ----------
    trace : Trace
    path : str
    columns : int
        Longest line of values.

    Returns
    -------
    str

    Raises
    ------
    TraceError
        If there is nothing of that name, or it can't be read.
    """
    if path in trace.groups:
        rows = _plot_rows(trace, plot_group(trace, path)) if is_plot(trace, path) else _member_rows(trace, path)
        return _table(path, rows, columns)
    what = variable(trace, path)
    if what.array.dtype.kind not in "biuf":
        is_text = type_name(what.array) == "text" and not what.array.shape
        return printable(scalar_text(trace, path)) if is_text else _table(path, _rows(what), columns)
    return "\n".join([_table(path, _rows(what) + _statistics_rows(what), columns), values(what.array, columns)])


def statistics(array: StoredArray) -> Statistics:
    """Statistics of a numeric dataset, read block by block."""
    lowest, highest, total = np.inf, -np.inf, 0.0
    count = not_numbers = infinite = 0
    for _, block in blocks(array):
        numbers = block.astype(np.float64, copy=False)
        finite = numbers[np.isfinite(numbers)]
        count += numbers.size
        not_numbers += int(np.isnan(numbers).sum())
        infinite += int(np.isinf(numbers).sum())
        if finite.size:
            lowest, highest = min(lowest, finite.min()), max(highest, finite.max())
            total += finite.sum()
    known = count - not_numbers - infinite
    if not known:
        return Statistics(count, math.nan, math.nan, math.nan, not_numbers, infinite)
    return Statistics(count, float(lowest), total / known, float(highest), not_numbers, infinite)


def blocks(array: StoredArray) -> Iterator[tuple[tuple[slice, ...], NDArray]]:
    """The dataset in blocks of about a million elements, each with where it stands; cut along one dimension."""
    if not array.shape:
        yield (), array[()]
        return
    chunks = array.chunks or (1,) * len(array.shape)
    axis = max(range(len(array.shape)), key=lambda k: array.shape[k] / chunks[k])
    row = math.prod(size for k, size in enumerate(array.shape) if k != axis)
    step = max(1, _BLOCK_ELEMENTS // max(row * chunks[axis], 1)) * chunks[axis]
    for start in range(0, array.shape[axis], step):
        where = [slice(0, size) for size in array.shape]
        where[axis] = slice(start, min(start + step, array.shape[axis]))
        yield tuple(where), array[tuple(where)]


def values(array: StoredArray, columns: int = 80) -> str:
    """The values of a numeric dataset as text, the first and last ones along each dimension if there are many."""
    if math.prod(array.shape) <= _MOST_PRINTED:
        return np.array2string(array[...], max_line_width=columns)
    edge = _EDGE.get(len(array.shape), 1)
    # Ends of each dimension, with a filler between them that array2string leaves out.
    pieces = [
        [slice(0, n)] if n <= 2 * edge else [slice(0, edge), slice(edge, edge + 1), slice(n - edge, n)]
        for n in array.shape
    ]
    ends = np.empty([min(n, 2 * edge + 1) for n in array.shape], dtype=array.dtype)
    for piece in itertools.product(*pieces):
        there = tuple(
            s if n <= 2 * edge or s.stop <= edge + 1 else slice(edge + 1, None)
            for s, n in zip(piece, array.shape, strict=True)
        )
        ends[there] = array[piece]
    return np.array2string(ends, max_line_width=columns, threshold=0, edgeitems=edge)


def _rows(what: Variable) -> list[tuple[str, str]]:
    array = what.array
    dims = " x ".join(f"{n} {dim}".strip() for n, dim in zip(array.shape, array.dims, strict=True)) or "scalar"
    return [
        ("what", printable(what.label)),
        ("shape", printable(dims)),
        ("type", type_name(array)),
        ("unit", printable(what.units) or "none given"),
    ]


def _statistics_rows(what: Variable) -> list[tuple[str, str]]:
    if not what.array.shape:
        return []
    if what.flag_meanings:
        return [("codes", ", ".join(_code_counts(what)))]
    found = statistics(what.array)
    row = f"{number(found.lowest)}, {number(found.mean)}, {number(found.highest)}"
    absent = [f"{n} {name}" for n, name in ((found.not_numbers, "NaN"), (found.infinite, "infinite")) if n]
    if found.count == found.not_numbers + found.infinite:
        row = "no number" if found.count else "empty"
    return [("min, mean, max", ", ".join([row, *absent]))]


def _code_counts(what: Variable) -> Iterator[str]:
    codes: dict[int, int] = {}
    for _, block in blocks(what.array):
        for code, count in zip(*np.unique(block, return_counts=True), strict=True):
            codes[int(code)] = codes.get(int(code), 0) + int(count)
    for code, count in sorted(codes.items()):
        meaning = what.flag_meanings[code] if 0 <= code < len(what.flag_meanings) else "no meaning given"
        yield f"{count} x {code} ({printable(meaning)})"


def _plot_rows(trace: Trace, plot: PlotGroup) -> list[tuple[str, str]]:
    what = {
        "curve": "curve over {0}",
        "lines": "lines over {1}, one for each {0}",
        "image": "image, {0} down and {1} across",
        "images": "an image for each {0}, {1} down and {2} across",
        "scatter": "scatter plot, {0} across and {1} up",
    }[plot.kind]
    rows = [
        ("title", printable(plot.title)),
        ("kind", printable(what.format(*(axis.name for axis in plot.axes)))),
        ("signal", _in_short(plot.signal)),
        *(("auxiliary signal", _in_short(curve)) for curve in plot.auxiliary),
        *(("axis", _in_short(axis)) for axis in plot.axes),
    ]
    shown = {child.path for child in (plot.signal, *plot.auxiliary, *plot.axes)} | {f"{plot.path}/title"}
    rows += [
        ("beside", _in_short(variable(trace, path)))
        for path in trace.paths
        if path.startswith(f"{plot.path}/") and path not in shown
    ]
    return rows


def _member_rows(trace: Trace, path: str) -> list[tuple[str, str]]:
    members: dict[str, Any] = {}
    for child in trace.paths:
        if child.startswith(f"{path}/"):
            name, _, deeper = child.removeprefix(f"{path}/").partition("/")
            if deeper:
                members.setdefault(name, scalar_text(trace, f"{path}/{name}/title") or "group")
            else:
                what = variable(trace, child)
                members[name] = scalar_text(trace, child) if type_name(what.array) == "text" else _in_short(what)
    return [(printable(name), " ".join(printable(text).split())) for name, text in members.items()]


def _in_short(what: Variable) -> str:
    array = what.array
    if not array.shape and array.dtype.kind in "biuf":
        return f"{number(array[()].item())} {what.units if what.units != '1' else ''}".rstrip() + f"  {what.label}"
    shape = "x".join(map(str, array.shape))
    return printable(f"{what.name}: {what.label}, {shape} {type_name(array)}, unit {what.units or 'not given'}")


def _table(path: str, rows: list[tuple[str, str]], columns: int) -> str:
    widest = max((len(name) for name, _ in rows), default=0)
    return "\n".join([printable(path), *(cut(f"  {name:<{widest}}  {value}", columns) for name, value in rows)])
