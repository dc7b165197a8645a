"""What a trace holds, described as data: arrays and the plots made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.protocols import Provenance, Quantity

SCHEMA = "neurohil-trace"
SCHEMA_VERSION = "2.1"
"""2: texts of fixed length, which HDF5 reads safely from a damaged file; version 1 isn't read any more.
2.1: the root, and quantities that differ from it or stand for a device, have the attribute ``kind``."""

RUN = "run"
EPOCH = "epoch"
DIMS = "dims"
"""Attribute of a dataset: the name of each of its dimensions."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class TraceError(UserError):
    """A trace file, or what should go into one, is not as it must be."""


@dataclass(frozen=True, eq=False)
class Array:
    """One dataset of a trace.

    What is in it, and when, follows from the fields: with `values` it is static, written before the run
    starts; with an ``epoch`` dimension it grows by one row per epoch; else it is final, written once when
    the run ends.

    Parameters
    ----------
    name : str
        Name in the file: letters, digits and underscores.
    dims : tuple of str
        Name of each dimension; empty for a scalar.
    shape : tuple of (int or None)
        Size along each dimension; None where it grows or is only known at the end of the run.
    dtype : str
        NumPy type.
    units, long_name : str
        Unit in plain ASCII (``1`` for none), and label for people.
    values : numpy.ndarray, optional
        Static content.
    flag_meanings : tuple of str
        For an array of codes: what 0, 1, ... mean, as in the CF conventions.
    kind : str
        ``emulated``, ``computed``, ``modelled`` or ``measured``, where it isn't what the whole trace is; else empty.
    fill : callable, optional
        ``fill(run, seen)`` gives the content of an array that isn't static: of one that grows after each epoch, of a
        final one when the run ends. `seen` is what the run says of that epoch, or of its end.

    Raises
    ------
    TraceError
        If a name could not stand in the file without quotes, or a dimension has no name.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: str
    units: str
    long_name: str
    values: NDArray | None = None
    flag_meanings: tuple[str, ...] = ()
    kind: str = ""
    fill: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.dims):
            if not _NAME.fullmatch(name):
                raise TraceError(f"{name!r} is no name for a dataset or dimension; use letters, digits and underscores")
        if len(self.dims) != len(self.shape) or len(set(self.dims)) != len(self.dims):
            raise TraceError(f"{self.name} has shape {self.shape} and dims {self.dims}; give every dimension one name")

    @property
    def grows(self) -> bool:
        """Whether it gets a row per epoch."""
        return EPOCH in self.dims


@dataclass(frozen=True, eq=False)
class Plot:
    """One NXdata group: viewers draw it without being told how.

    Parameters
    ----------
    path : str
        Where it stands in the file, e.g. ``run/accuracy``.
    title : str
        Title of the plot.
    signal : Array
        What is plotted.
    axes : tuple of Array
        One 1-D axis per dimension of the signal; two for a 1-D signal make a scatter plot.
    auxiliary : tuple of Array
        Further curves over the same axes.
    companions : tuple of Array
        Stored beside the signal, not drawn.
    interpretation : str, optional
        ``spectrum`` (lines along the last dimension) or ``image``.
    log_x : bool
        The last axis is logarithmic.
    """

    path: str
    title: str
    signal: Array
    axes: tuple[Array, ...]
    auxiliary: tuple[Array, ...] = ()
    companions: tuple[Array, ...] = ()
    interpretation: str | None = None
    log_x: bool = False

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All datasets of the group."""
        return (self.signal, *self.auxiliary, *self.companions, *self.axes)


EPOCH_AXIS = Array(EPOCH, (EPOCH,), (None,), "int64", "1", "epoch")
"""Shared by all plots that grow: the number of each finished epoch, from 1."""


@dataclass(frozen=True, eq=False)
class Layout:
    """All that one kind of run puts into its trace.

    Parameters
    ----------
    plots : tuple of Plot
        The first one is what viewers open with.
    results : tuple of Array
        Final scalars, stored in ``run/results``.
    command : str
        Subcommand of ``neurohil`` that makes such runs, and can go on with them if they have epochs.
    neurobench : tuple of Array
        NeuroBench's metrics of the tested network, final scalars, stored in ``run/neurobench``.
    provenance : Provenance
        What the trace says of itself.
    """

    plots: tuple[Plot, ...]
    results: tuple[Array, ...]
    command: str
    neurobench: tuple[Array, ...] = ()
    provenance: Provenance = field(kw_only=True)

    @property
    def has_epochs(self) -> bool:
        """Whether the run has epochs; one without is written in one go, when it is over."""
        return any(array.grows for _, array in self.arrays())

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Path and description of every dataset but the shared epoch axis."""
        for plot in self.plots:
            for array in plot.arrays:
                if array is not EPOCH_AXIS:
                    yield f"{plot.path}/{array.name}", array
        for array in self.results:
            yield f"{RUN}/results/{array.name}", array
        for array in self.neurobench:
            yield f"{RUN}/neurobench/{array.name}", array

    def filled(self, arrays: dict[str, Array], run: Any, seen: Any) -> dict[str, Any]:
        """Content of some of the arrays, by path.

        Raises
        ------
        TraceError
            If one of them doesn't know what it holds.
        """
        for path, array in arrays.items():
            if array.fill is None:
                raise TraceError(f"{path} has nothing to fill it; give the array of that name a function `fill`")
        return {path: array.fill(run, seen) for path, array in arrays.items() if array.fill}

    def static(self) -> dict[str, Array]:
        """Datasets that are complete before the run starts, by path."""
        return {path: array for path, array in self.arrays() if array.values is not None}

    def growing(self) -> dict[str, Array]:
        """Datasets that each epoch adds a row to, by path."""
        return {path: array for path, array in self.arrays() if array.grows}

    def final(self) -> dict[str, Array]:
        """Datasets that are written when the run ends, by path."""
        return {path: array for path, array in self.arrays() if array.values is None and not array.grows}


def name_of(path: str) -> str:
    """Name of the dataset at a path."""
    return path.rpartition("/")[2]


def group_of(path: str) -> str:
    """Path of the group that a dataset stands in."""
    return path.rpartition("/")[0]


def index_axis(dim: str, size: int, long_name: str, first: int = 0, names: tuple[str, ...] = ()) -> Array:
    """Axis that counts `size` things from `first`, which may have names."""
    return Array(dim, (dim,), (size,), "int64", "1", long_name, first + np.arange(size, dtype=np.int64), names)


def quantity_plot(quantity: Quantity, folder: str) -> Plot:
    """Plot of a fixed quantity of a target, 1-D or 2-D, in ``run/<folder>``.

    Raises
    ------
    TraceError
        If the quantity is not numeric, not 1-D or 2-D, or badly named.
    """
    name, values, dims = quantity.name, np.asarray(quantity.values), tuple(quantity.dims)
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or values.size == 0:
        raise TraceError(
            f"fixed pattern {name} has values of type {values.dtype} and shape {values.shape}; "
            "give numbers in one or two dimensions, at least one"
        )
    if name in dims:
        raise TraceError(f"fixed pattern {name} has dims {dims}; name no dimension like the quantity itself")
    label = quantity.long_name
    if quantity.units != "1" and f"({quantity.units})" not in label:
        label += f" ({quantity.units})"
    kind = quantity.kind or "emulated"
    signal = Array(name, dims, values.shape, str(values.dtype), quantity.units, label, values, kind=kind)
    names = [()] * (len(dims) - 1) + [quantity.names]
    return Plot(
        f"{RUN}/{folder}/{name}",
        quantity.long_name,
        signal,
        tuple(index_axis(dim, size, dim, names=n) for dim, size, n in zip(dims, values.shape, names, strict=True)),
        interpretation="spectrum" if values.ndim == 1 else "image",
    )
