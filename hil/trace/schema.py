"""What a trace holds, described as data: arrays, the plots made of them, and the layout of a DelGrad run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hil.errors import UserError
from hil.protocols import Quantity

SCHEMA = "neurohil-trace"
SCHEMA_VERSION = "1.0"

RUN = "run"
EPOCH = "epoch"
CLASSES = ("yin", "yang", "dot")
SAMPLES = 3

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
    """

    path: str
    title: str
    signal: Array
    axes: tuple[Array, ...]
    auxiliary: tuple[Array, ...] = ()
    companions: tuple[Array, ...] = ()
    interpretation: str | None = None

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
    """

    plots: tuple[Plot, ...]
    results: tuple[Array, ...]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Path and description of every dataset but the shared epoch axis."""
        for plot in self.plots:
            for array in plot.arrays:
                if array is not EPOCH_AXIS:
                    yield f"{plot.path}/{array.name}", array
        for array in self.results:
            yield f"{RUN}/results/{array.name}", array

    def static(self) -> dict[str, Array]:
        """Datasets that are complete before the run starts, by path."""
        return {path: array for path, array in self.arrays() if array.values is not None}

    def growing(self) -> dict[str, Array]:
        """Datasets that each epoch adds a row to, by path."""
        return {path: array for path, array in self.arrays() if array.grows}

    def final(self) -> dict[str, Array]:
        """Datasets that are written when the run ends, by path."""
        return {path: array for path, array in self.arrays() if array.values is None and not array.grows}


def delgrad_layout(
    layers: Sequence[int],
    delays: Sequence[int],
    test_size: int,
    time_units: str,
    quantities: Iterable[Quantity] = (),
) -> Layout:
    """Layout of the trace of a DelGrad run on the Yin-Yang task.

    Accuracies and shares are fractions (0..1), weights are in model units, and an infinite time means "no
    spike". Neurons are numbered over all layers, input lines first; in a raster, k marks a spike of layer k, and
    n_layers + k such a spike after its delay. Which datasets the run must deliver, and when, tell
    `Layout.growing` and `Layout.final`.

    Parameters
    ----------
    layers : sequence of int
        Number of input lines, then of the neurons of each layer, e.g. ``(20, 30, 3)``.
    delays : sequence of int
        Number of trained delays in front of each layer of neurons, 0 where there are none. Synaptic delays are
        flattened.
    test_size : int
        Number of test samples.
    time_units : str
        ``us`` for a chip, ``1`` for times in units of the synaptic time constant tau_s.
    quantities : iterable of Quantity
        Fixed pattern of the emulated chip, 1-D or 2-D; each quantity gets a plot in ``run/chip``.

    Returns
    -------
    Layout

    Raises
    ------
    TraceError
        If `time_units` is unknown, or a quantity is not numeric, not 1-D or 2-D, or badly named.
    """
    if time_units not in ("us", "1"):
        raise TraceError(f"time_units = {time_units!r} is unknown; use 'us' for a chip or '1' for units of tau_s")
    plots = [
        *_learning_curves(),
        *(_weights(k, pre, post) for k, (pre, post) in enumerate(pairwise(layers))),
        *(_delays(k, count, time_units) for k, count in enumerate(delays) if count),
    ]
    for k in range(SAMPLES):
        plots += [_raster(k, len(layers), time_units), _membrane(k, layers, time_units)]
    plots += [
        _decisions(test_size),
        _decision_map(),
        _test_times(layers[-1], test_size, time_units),
        *(_chip_quantity(quantity) for quantity in quantities),
    ]
    results = (
        Array("test_accuracy", (), (), "float64", "1", "test accuracy"),
        Array("validation_accuracy", (), (), "float64", "1", "validation accuracy after the last epoch"),
        Array("missing_spikes", (), (), "int64", "1", "number of output spikes missing in the test"),
        Array("chip_seconds", (), (), "float64", "s", "time on the chip (s)"),
    )
    return Layout(tuple(plots), results)


def _learning_curves() -> list[Plot]:
    def share(name: str, long_name: str) -> Array:
        return Array(name, (EPOCH,), (None,), "float64", "1", long_name)

    return [
        Plot(
            f"{RUN}/accuracy",
            "Accuracy",
            share("validation_accuracy", "validation accuracy"),
            (EPOCH_AXIS,),
            auxiliary=(share("train_accuracy", "training accuracy"),),
        ),
        Plot(f"{RUN}/loss", "Training loss", share("train_loss", "training loss"), (EPOCH_AXIS,)),
        Plot(
            f"{RUN}/silence",
            "Silence in training",
            share("bumped_batches", "share of batches whose weights were bumped"),
            (EPOCH_AXIS,),
            auxiliary=(share("missing_spikes", "share of output spikes missing"),),
        ),
    ]


def _weights(k: int, pre: int, post: int) -> Plot:
    return Plot(
        f"{RUN}/weights_{k}",
        f"Weights into layer {k + 1}",
        Array("weights", (EPOCH, "pre", "post"), (None, pre, post), "float64", "1", "weight (model units)"),
        (EPOCH_AXIS, _index_axis("pre", pre, "presynaptic line"), _index_axis("post", post, "neuron")),
        interpretation="image",
    )


def _delays(k: int, count: int, time_units: str) -> Plot:
    return Plot(
        f"{RUN}/delays_{k}",
        f"Delays into layer {k + 1}",
        _time("delays", ("line", EPOCH), (count, None), time_units, "delay"),
        (_index_axis("line", count, "delay"), EPOCH_AXIS),
        interpretation="spectrum",
    )


def _raster(k: int, n_layers: int, time_units: str) -> Plot:
    hidden = ["hidden"] if n_layers == 3 else [f"hidden_{i}" for i in range(1, n_layers - 1)]
    layers = ["input", *hidden, "output"]
    meanings = (*layers, *(f"delayed_{name}" for name in layers[:-1]))
    return Plot(
        f"{RUN}/samples/{k}/raster",
        f"Spikes of sample {k}",
        Array("layer", ("event",), (None,), "int64", "1", "layer of the event", flag_meanings=meanings),
        (
            _time("time", ("event",), (None,), time_units, "time"),
            Array("neuron", ("event",), (None,), "int64", "1", "neuron"),
        ),
    )


def _membrane(k: int, layers: Sequence[int], time_units: str) -> Plot:
    unit = "CADC LSB" if time_units == "us" else "model units"
    n_neurons = sum(layers[1:])
    shape = (n_neurons, None)
    return Plot(
        f"{RUN}/samples/{k}/membrane",
        f"Membrane potentials of sample {k}",
        Array("potential", ("neuron", "time"), shape, "float32", "1", f"membrane potential ({unit})"),
        (
            _index_axis("neuron", n_neurons, "neuron", first=layers[0]),
            _time("time", ("time",), (None,), time_units, "time"),
        ),
        interpretation="spectrum",
    )


def _decisions(test_size: int) -> Plot:
    def of_sample(name: str, dtype: str, long_name: str, flag_meanings: tuple[str, ...] = ()) -> Array:
        return Array(name, ("sample",), (test_size,), dtype, "1", long_name, flag_meanings=flag_meanings)

    return Plot(
        f"{RUN}/decisions",
        "Decisions on the test set",
        of_sample("predicted", "int64", "predicted class (-1: silent)", CLASSES),
        (of_sample("x", "float64", "x"), of_sample("y", "float64", "y")),
        companions=(of_sample("label", "int64", "true class", CLASSES),),
    )


def _decision_map() -> Plot:
    label = "predicted class (-1: silent)"
    return Plot(
        f"{RUN}/decision_map",
        "Decisions over the Yin-Yang square",
        Array("predicted", ("y", "x"), (None, None), "int64", "1", label, flag_meanings=CLASSES),
        (
            Array("y", ("y",), (None,), "float64", "1", "y"),
            Array("x", ("x",), (None,), "float64", "1", "x"),
        ),
        interpretation="image",
    )


def _test_times(n_out: int, test_size: int, time_units: str) -> Plot:
    return Plot(
        f"{RUN}/test_times",
        "Output spike times of the test set",
        _time("spike_time", ("output", "sample"), (n_out, test_size), time_units, "spike time"),
        (_index_axis("output", n_out, "output neuron"), _index_axis("sample", test_size, "test sample")),
        interpretation="spectrum",
    )


def _chip_quantity(quantity: Quantity) -> Plot:
    name, values, dims = quantity.name, np.asarray(quantity.values), tuple(quantity.dims)
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or values.size == 0:
        raise TraceError(
            f"fixed pattern {name} has values of type {values.dtype} and shape {values.shape}; "
            "give numbers in one or two dimensions, at least one"
        )
    if name in dims:
        raise TraceError(f"fixed pattern {name} has dims {dims}; name no dimension like the quantity itself")
    signal = Array(name, dims, values.shape, str(values.dtype), quantity.units, quantity.long_name, values)
    return Plot(
        f"{RUN}/chip/{name}",
        quantity.long_name,
        signal,
        tuple(_index_axis(dim, size, dim) for dim, size in zip(dims, values.shape, strict=True)),
        interpretation="spectrum" if values.ndim == 1 else "image",
    )


def _index_axis(dim: str, size: int, long_name: str, first: int = 0) -> Array:
    return Array(dim, (dim,), (size,), "int64", "1", long_name, np.arange(first, first + size, dtype=np.int64))


def _time(name: str, dims: tuple[str, ...], shape: tuple[int | None, ...], time_units: str, long_name: str) -> Array:
    unit = "us" if time_units == "us" else "tau_s"
    return Array(name, dims, shape, "float64", time_units, f"{long_name} ({unit})")
