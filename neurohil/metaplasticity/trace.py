"""What the trace of a metaplasticity run holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohil.protocols import Provenance, Quantity
from neurohil.trace.schema import EPOCH, EPOCH_AXIS, RUN, Array, Layout, Plot, index_axis

BINS = 120
CORNER = 128  # rows and columns of a map that are kept one by one: an array of the default size


def metaplasticity_layout(
    tests: Sequence[str],
    tasks: Sequence[str],
    n_classes: int,
    n_layers: int,
    levels: NDArray[np.int64],
    provenance: Provenance,
    maps: Iterable[Quantity] = (),
    results: Iterable[Quantity] = (),
    programmed_by_pulses: bool = False,
    neurobench: Iterable[Array] = (),
) -> Layout:
    """Layout of the trace of tasks learnt one after the other.

    Accuracies and shares are fractions (0..1).

    Parameters
    ----------
    tests : sequence of str
        Names of what is tested after every epoch, all different: letters, digits and underscores.
    tasks : sequence of str
        Names of what is learnt, in order.
    n_classes, n_layers : int
    levels : (n,) int64
        Signed levels of a weight.
    provenance : Provenance
        Where the products come from.
    maps : iterable of Quantity
        Maps of the target, [row, column]; their values don't matter. Those of devices have names that begin with
        ``layer<k>_``.
    results : iterable of Quantity
        Numbers that the target counts; their values don't matter.
    programmed_by_pulses : bool
        The target's weights are devices, whose conductances and targets are told.
    neurobench : iterable of Array
        NeuroBench's metrics, see `neurohil.neurobench.trace`; none for a run that isn't measured.

    Returns
    -------
    Layout
    """
    plots = [*_learning_curves(tests, tasks, n_layers)]
    if programmed_by_pulses:
        plots.append(_programming())
    plots += [
        _counts("writes", "Writes per device", "devices", "number of devices", "programming cycles"),
        _counts("level_changes_per_weight", "Level changes per weight", "weights", "number of weights", "changes"),
        _level_use(levels, n_layers),
        *(_hidden(k) for k in range(n_layers)),
        *(_confusion(name, n_classes) for name in tests),
    ]
    if programmed_by_pulses:
        plots += [_device_histogram(name, label, n_layers) for name, label in DEVICE_HISTOGRAMS]
    plots += [_corner(quantity) for quantity in maps]
    counted = [Array(q.name, (), (), str(q.values.dtype), q.units, q.long_name, kind=q.kind) for q in results]
    return Layout(
        tuple(plots), (*_results(tests), *counted), "metaplasticity", tuple(neurobench), provenance=provenance
    )


DEVICE_HISTOGRAMS = (
    ("conductance", "conductance at the end (uS), middle of the bin"),
    ("error", "conductance minus target at the end (uS), middle of the bin"),
)


def corner(values: NDArray) -> NDArray[np.float32]:
    """The part of a map [row, column] that the trace keeps."""
    return values[:CORNER, :CORNER].astype(np.float32)


def _per_epoch(name: str, long_name: str, dtype: str = "float64", meanings: tuple[str, ...] = ()) -> Array:
    return Array(name, (EPOCH,), (None,), dtype, "1", long_name, flag_meanings=meanings)


def _learning_curves(tests: Sequence[str], tasks: Sequence[str], n_layers: int) -> list[Plot]:
    curves = [_per_epoch(f"test_{name}", f"test accuracy, {name}") for name in tests]
    changes = [_per_epoch(f"layer_{k}", f"level changes in layer {k + 1}", "int64") for k in range(n_layers)]
    task = _per_epoch("task", "task that was learnt", "int64", tuple(tasks))
    return [
        Plot(
            f"{RUN}/accuracy",
            "Test accuracy",
            curves[0],
            (EPOCH_AXIS,),
            auxiliary=tuple(curves[1:]),
            companions=(_per_epoch("train_accuracy", "training accuracy, task being learnt"), task),
        ),
        Plot(f"{RUN}/loss", "Training loss", _per_epoch("train_loss", "training loss"), (EPOCH_AXIS,)),
        Plot(f"{RUN}/level_changes", "Level changes", changes[0], (EPOCH_AXIS,), auxiliary=tuple(changes[1:])),
    ]


def _programming() -> Plot:
    return Plot(
        f"{RUN}/programming",
        "Programming",
        _per_epoch("pulses", "SET and RESET pulses", "int64"),
        (EPOCH_AXIS,),
        auxiliary=(_per_epoch("failed", "cells that did not reach their level", "int64"),),
    )


def _counts(name: str, title: str, counted: str, label: str, axis: str) -> Plot:
    """How many things have how many events; bins are equally wide."""
    return Plot(
        f"{RUN}/{name}",
        title,
        Array(counted, ("bin",), (None,), "int64", "1", label),
        (Array("at_least", ("bin",), (None,), "int64", "1", f"{axis}, lower edge of the bin"),),
    )


def _level_use(levels: NDArray[np.int64], n_layers: int) -> Plot:
    return Plot(
        f"{RUN}/levels",
        "Levels of the weights at the end",
        Array("weights", ("layer", "level"), (n_layers, levels.size), "int64", "1", "number of weights"),
        (
            index_axis("layer", n_layers, "layer", first=1),
            Array("level", ("level",), levels.shape, "int64", "1", "signed level", levels),
        ),
        interpretation="spectrum",
    )


def _hidden(k: int) -> Plot:
    return Plot(
        f"{RUN}/hidden/layer_{k}",
        f"Hidden weights of layer {k + 1} at the end",
        Array("weights", ("hidden",), (BINS,), "int64", "1", "number of weights"),
        (Array("hidden", ("hidden",), (BINS,), "float64", "1", "hidden weight, middle of the bin"),),
    )


def _confusion(name: str, n_classes: int) -> Plot:
    return Plot(
        f"{RUN}/confusion/{name}",
        f"Decisions on {name} at the end",
        Array("images", ("label", "predicted"), (n_classes, n_classes), "int64", "1", "number of test images"),
        (index_axis("label", n_classes, "true class"), index_axis("predicted", n_classes, "predicted class")),
        interpretation="image",
    )


def _device_histogram(name: str, label: str, n_layers: int) -> Plot:
    curves = [
        Array(f"layer_{k}", (name,), (BINS,), "int64", "1", f"number of devices, layer {k + 1}")
        for k in range(n_layers)
    ]
    return Plot(
        f"{RUN}/devices/{name}",
        f"All devices: {label.partition(',')[0]}",
        curves[0],
        (Array(name, (name,), (BINS,), "float64", "uS", label),),
        auxiliary=tuple(curves[1:]),
    )


def _corner(quantity: Quantity) -> Plot:
    shape = tuple(min(CORNER, size) for size in quantity.values.shape)
    return Plot(
        f"{RUN}/maps/{quantity.name}",
        f"{quantity.long_name}, first {shape[0]} x {shape[1]}",
        Array(quantity.name, quantity.dims, shape, "float32", quantity.units, quantity.long_name, kind="emulated"),
        tuple(index_axis(dim, size, dim) for dim, size in zip(quantity.dims, shape, strict=True)),
        interpretation="image",
    )


def _results(tests: Sequence[str]) -> list[Array]:
    def number(name: str, long_name: str, dtype: str = "float64") -> Array:
        return Array(name, (), (), dtype, "1", long_name)

    results = [number(f"test_accuracy_{name}", f"test accuracy after all tasks, {name}") for name in tests]
    results += [number(f"after_first_task_{name}", f"test accuracy after the first task, {name}") for name in tests]
    for name, label in (
        ("writes_per_device", "programming cycles per device"),
        ("level_changes_per_weight", "level changes per weight"),
    ):
        results += [
            number(f"{name}_mean", f"{label}, mean"),
            number(f"{name}_p99", f"{label}, 99th percentile"),
            number(f"{name}_max", f"{label}, most", "int64"),
        ]
    return [
        *results,
        number("years_to_wear_out", "years until the most worn device fails"),
        number("weights", "number of weights", "int64"),
        number("devices", "number of devices that hold weights", "int64"),
        number("hidden_bits", "bits of all hidden weights"),
        number("device_bits", "bits that all devices hold"),
    ]
