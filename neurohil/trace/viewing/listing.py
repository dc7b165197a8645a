"""What is in a trace: its tree of groups and datasets, each with shape, unit and a sparkline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.terminal import cut, number, sparkline
from neurohil.text import printable
from neurohil.trace.nxdata import Variable, is_plot, scalar_text, variable
from neurohil.trace.reader import StoredArray, Trace
from neurohil.trace.schema import EPOCH, TraceError

DAMAGED = "damaged"
_SPARKLINE = 10
_MOST_READ = 65536  # elements read of a dataset for its sparkline, at each of its places


def tree(trace: Trace, columns: int = 80) -> str:
    """The trace as a tree in the order of creation: shape, type, unit, content, what it is; what is damaged says so.

    Parameters
    ----------
    trace : Trace
    columns : int
        Longest line.

    Returns
    -------
    str

    """
    rows = [(branch, *_row(trace, path)) for branch, path in _branches(trace)]
    rows += [(hazard.path, "", "", "", "", f"{DAMAGED}: {hazard.what}") for hazard in trace.damage]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(5)]
    lines = [str(trace.path), cut(heading(trace), columns)]
    for row in rows:
        if row[1:5] == ("", "", "", ""):  # a group or a text: no columns of numbers
            line = f"{row[0]:<{widths[0]}}  {row[5]}"
        else:
            cells = [f"{cell:<{width}}" for cell, width in zip(row[:5], widths, strict=True)]
            line = "  ".join([*cells, row[5]])
        lines.append(cut(line, columns))
    return "\n".join(lines)


def heading(trace: Trace) -> str:
    """Title, and how far the run has come."""
    parts = [trace.title]
    if trace.epochs:
        parts.append(f"{trace.epochs} epoch{'s' * (trace.epochs != 1)}")
    parts.append("complete" if trace.complete else "not complete")
    parts += [DAMAGED] if trace.damage else []
    return printable(", ".join(" ".join(part.split()) for part in parts))


def contents(trace: Trace) -> dict[str, Any]:
    """The same as data that JSON can hold.

    Returns
    -------
    dict
        ``file``, ``title``, ``complete``, ``epochs``, ``versions``, and ``datasets``: for each one its ``path``,
        ``shape``, ``dims``, ``dtype``, ``units``, ``long_name``, and the ``value`` of a scalar (null for no number);
        ``kind`` and ``source``; ``damage``: what can't be read, by path.
    """
    return {
        "file": str(trace.path),
        "title": trace.title,
        "complete": trace.complete,
        "epochs": trace.epochs,
        "versions": trace.versions,
        **trace.provenance._asdict(),
        "damage": {hazard.path: hazard.what for hazard in trace.damage},
        "datasets": [_as_json(trace, path) for path in trace.paths],
    }


def _as_json(trace: Trace, path: str) -> dict[str, Any]:
    what = variable(trace, path)
    array = what.array
    entry: dict[str, Any] = {
        "path": path,
        "shape": list(array.shape),
        "dims": list(array.dims),
        "dtype": type_name(array),
        "units": what.units,
        "long_name": what.long_name,
    }
    if not array.shape:
        entry["value"] = _scalar(trace, what)
    return entry


def _scalar(trace: Trace, what: Variable) -> str | int | float | None:
    if what.array.dtype.kind in "iub":
        return int(what.array[()])
    if what.array.dtype.kind == "f":
        value = float(what.array[()])
        return value if math.isfinite(value) else None
    return scalar_text(trace, what.path)


def _branches(trace: Trace) -> Iterator[tuple[str, str]]:
    """Name of each group and dataset, indented, and its path."""
    seen: set[str] = set()
    for path in trace.paths:
        steps = path.split("/")
        for depth in range(1, len(steps) + 1):
            node = "/".join(steps[:depth])
            # The title of a plot stands beside its name.
            if node not in seen and not (steps[depth - 1] == "title" and is_plot(trace, "/".join(steps[:-1]))):
                seen.add(node)
                yield "  " * (depth - 1) + printable(steps[depth - 1]), node


def _row(trace: Trace, path: str) -> tuple[str, str, str, str, str]:
    """Shape, type, unit, content, and what it is."""
    if path in trace.groups:
        return "", "", "", "", printable(scalar_text(trace, f"{path}/title")) if is_plot(trace, path) else ""
    what = variable(trace, path)
    array = what.array
    if array.dtype.kind not in "biuf":
        return "", "", "", "", printable(scalar_text(trace, path))
    shape = "x".join(map(str, array.shape))
    try:
        content = preview(array)
    except TraceError:
        content = DAMAGED
    return shape, type_name(array), printable(what.units), content, printable(what.label)


def type_name(array: StoredArray) -> str:
    """Name of the type, ``text`` for text."""
    return "text" if array.dtype.kind in "OSU" else array.dtype.name


def preview(array: StoredArray) -> str:
    """The value of a scalar; a sparkline of a 1-D dataset, or of the mean of each epoch."""
    if not array.shape:
        value = array[()].item()
        return number(value) if math.isfinite(value) else "not a number"
    if EPOCH in array.dims:
        return sparkline(_means(array, array.dims.index(EPOCH)), _SPARKLINE)
    if len(array.shape) == 1:
        return sparkline(array[:: max(1, array.shape[0] // _MOST_READ)], _SPARKLINE)
    return ""


def _means(array: StoredArray, axis: int) -> NDArray:
    """Mean over all other dimensions, at as many places along the axis as a sparkline has bars."""
    size = array.shape[axis]
    places = np.unique(np.linspace(0, max(size - 1, 0), min(size, _SPARKLINE)).round().astype(int))
    others = [n for k, n in enumerate(array.shape) if k != axis]
    # One stride, along the longest of the other dimensions, keeps what is read small.
    stride = max(1, math.prod(others) // _MOST_READ)
    longest = max((k for k in range(len(array.shape)) if k != axis), key=lambda k: array.shape[k], default=axis)
    rows = []
    for place in places:
        selection: list[Any] = [slice(None)] * len(array.shape)
        selection[longest] = slice(None, None, stride)
        selection[axis] = int(place)
        row = array[tuple(selection)].astype(np.float64)
        rows.append(row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan)
    return np.array(rows)
