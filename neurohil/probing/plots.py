"""Plots of what was measured on an array: curves, maps of its cells, and the layout made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurohil.trace.provenance import CROSSBAR
from neurohil.trace.schema import Array, Layout, Plot, group_of, index_axis, name_of

Curve = tuple[str, ArrayLike, str, str]
"""Path, values, units and label."""


def measured_layout(plots: Sequence[Plot], results: Iterable[Array]) -> Layout:
    """Layout of a measurement."""
    return Layout(tuple(plots), tuple(results), "crossbar", provenance=CROSSBAR)


def curves(title: str, drawn: Sequence[Curve], axes: tuple[Array, ...], log_x: bool = False) -> Plot:
    """Curves over the last axis."""
    dims = tuple(axis.name for axis in axes)
    first, *others = (array_of(path, dims, values, units, label) for path, values, units, label in drawn)
    return Plot(group_of(drawn[0][0]), title, first, axes, tuple(others), (), "spectrum", log_x)


def axis(path: str, values: ArrayLike, units: str, long_name: str) -> Array:
    """What curves are drawn over."""
    return array_of(path, (name_of(path),), values, units, long_name)


def device_map(path: str, values: NDArray, units: str, long_name: str, flag_meanings: tuple[str, ...] = ()) -> Plot:
    """A number, or a code, of each cell."""
    signal = array_of(path, ("row", "column"), values, units, long_name, flag_meanings)
    axes = tuple(index_axis(dim, n, dim) for dim, n in zip(signal.dims, values.shape, strict=True))
    return Plot(group_of(path), long_name, signal, axes, interpretation="image")


def number(path: str, value: float, units: str, long_name: str) -> Array:
    """One of the results."""
    return array_of(path, (), value, units, long_name)


def array_of(
    path: str,
    dims: tuple[str, ...],
    values: ArrayLike,
    units: str,
    long_name: str,
    flag_meanings: tuple[str, ...] = (),
) -> Array:
    """A dataset whose content is known."""
    values, name = np.asarray(values), name_of(path)
    return Array(name, dims, values.shape, str(values.dtype), units, long_name, values, flag_meanings, _kind(name))


def _kind(name: str) -> str:
    """The kind of a quantity of an emulated device that is no property or act of it, by its name; else empty."""
    return "modelled" if name.startswith("modelled_") or name.endswith("_model") or name == "law" else ""
