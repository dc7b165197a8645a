"""What an NXdata group of a trace shows: a curve, lines, an image, a stack of images or a scatter plot."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurohil.trace.reader import StoredArray, Trace
from neurohil.trace.schema import EPOCH, RUN, TraceError


@dataclass(frozen=True, eq=False)
class Variable:
    """A dataset of a plot, and what its attributes say of it.

    Attributes
    ----------
    path : str
    array : StoredArray
    units, long_name : str
        Empty where they are missing.
    flag_meanings : tuple of str
        For codes: what 0, 1, ... mean.
    """

    path: str
    array: StoredArray
    units: str
    long_name: str
    flag_meanings: tuple[str, ...]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def label(self) -> str:
        """What people call it."""
        return self.long_name or self.name


@dataclass(frozen=True, eq=False)
class PlotGroup:
    """An NXdata group.

    Attributes
    ----------
    path, title : str
    kind : str
        ``curve`` (1-D), ``lines`` (2-D, along the last dimension), ``image`` (2-D), ``images`` (3-D, by epoch) or
        ``scatter`` (1-D with two axes).
    signal : Variable
    axes : tuple of Variable
        One for each dimension of the signal; for a scatter plot x and y.
    auxiliary : tuple of Variable
        Further curves.
    log_x : bool
        The last axis is logarithmic.
    """

    path: str
    title: str
    kind: str
    signal: Variable
    axes: tuple[Variable, ...]
    auxiliary: tuple[Variable, ...]
    log_x: bool


def variable(trace: Trace, path: str) -> Variable:
    """The dataset at `path` with what its attributes say.

    Raises
    ------
    TraceError
        If there is none, or it can't be read.
    """
    attributes = trace.attributes(path)
    units, long_name, meanings = (text(attributes.get(name)) for name in ("units", "long_name", "flag_meanings"))
    return Variable(path, trace.dataset(path), units, long_name, tuple(meanings.split()))


def is_plot(trace: Trace, path: str) -> bool:
    """Whether the group at `path` is an NXdata group."""
    return path in trace.groups and text(trace.attributes(path).get("NX_class")) == "NXdata"


def default_plot(trace: Trace) -> str:
    """Path of the plot that viewers open with.

    Raises
    ------
    TraceError
        If the chain of ``default`` attributes doesn't lead to one.
    """
    path = RUN
    while not is_plot(trace, path):
        name = text(trace.attributes(path).get("default"))
        if f"{path}/{name}" not in trace.groups:
            raise TraceError(
                f"{trace.path} names no default plot (the group {path} has the default {name!r}); name a plot yourself"
            )
        path = f"{path}/{name}"
    return path


def plot_group(trace: Trace, path: str) -> PlotGroup:
    """The NXdata group at `path`.

    Raises
    ------
    TraceError
        If there is no such group, or it breaks the rules of NXdata, which `neurohil.trace.validation` lists.
    """
    if not is_plot(trace, path):
        plots = [group for group in trace.groups if is_plot(trace, group)]
        near = difflib.get_close_matches(path, plots, n=1, cutoff=0.0)
        hint = f"the nearest one is {near[0]}" if near else "it has none at all"
        raise TraceError(f"{trace.path} has no plot {path}; {hint}")
    attributes = trace.attributes(path)
    signal = _child(trace, path, attributes.get("signal"))
    axes = tuple(_child(trace, path, name) for name in names(attributes.get("axes")))
    auxiliary = tuple(_child(trace, path, name) for name in names(attributes.get("auxiliary_signals")))
    title = scalar_text(trace, f"{path}/title") or path
    kind = _kind(trace, path, signal, axes)
    return PlotGroup(path, title, kind, signal, axes, auxiliary, _is_log(attributes.get("SILX_style")))


def text(value: Any) -> str:
    """The text of an attribute or scalar, empty if it is none."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""


def scalar_text(trace: Trace, path: str) -> str:
    """The text of a dataset, empty if it is none or is missing."""
    if path not in trace.paths:
        return ""
    array = trace.dataset(path)
    return text(array[()].item()) if array.shape == () else ""


def names(value: Any) -> list[str]:
    """The texts of an attribute that is a list, or a single one."""
    return [text(name) for name in np.atleast_1d(np.asarray(value, dtype=object))] if value is not None else []


def _child(trace: Trace, group: str, name: Any) -> Variable:
    path = f"{group}/{text(name)}"
    if path not in trace.paths:
        raise _broken(trace, group, f"names {text(name) or name!r}, which is no dataset of it")
    child = variable(trace, path)
    if child.array.dtype.kind not in "biuf":
        raise _broken(trace, group, f"names {text(name)}, which is of type {child.array.dtype}, not a number")
    return child


def _kind(trace: Trace, path: str, signal: Variable, axes: tuple[Variable, ...]) -> str:
    shape = signal.array.shape
    sizes = tuple(axis.array.shape for axis in axes)
    if len(shape) == 1 and sizes == (shape, shape):
        return "scatter"
    if sizes != tuple((size,) for size in shape):
        raise _broken(trace, path, f"has a signal of shape {shape} with axes of shapes {', '.join(map(str, sizes))}")
    if len(shape) == 1:
        return "curve"
    if len(shape) == 2:
        interpretation = text(trace.attributes(signal.path).get("interpretation"))
        return "lines" if interpretation == "spectrum" else "image"
    if len(shape) == 3 and signal.array.dims[0] == EPOCH:
        return "images"
    raise _broken(trace, path, f"has a signal of {len(shape)} dimensions; one, two, or three by epoch can be drawn")


def _broken(trace: Trace, path: str, what: str) -> TraceError:
    return TraceError(f"{trace.path}: the plot {path} {what}; `neurohil trace validate` lists what is wrong")


def _is_log(style: Any) -> bool:
    try:
        return json.loads(text(style) or "{}")["axes_scale_types"][-1] == "log"
    except (ValueError, LookupError, TypeError):
        return False
