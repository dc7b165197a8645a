"""What the trace of a metaplasticity run holds: each array's name, and what fills it, stand here and only here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.metaplasticity.accounts import WriteStatistics
from neurohil.protocols import Provenance, Quantity
from neurohil.trace.schema import EPOCH, EPOCH_AXIS, RUN, Array, Layout, Plot, group_of, index_axis, name_of

BINS = 120
CORNER = 128  # rows and columns of a map that are kept one by one: an array of the default size

Fill = Callable[[Any, Any], Any]

# Paths of all that is read again, by pictures and reports.
ACCURACY = f"{RUN}/accuracy"
TASK = f"{ACCURACY}/task"
PULSES = f"{RUN}/programming/pulses"
WRITES, WRITES_AT_LEAST = (f"{RUN}/writes/{name}" for name in ("devices", "at_least"))
WRITES_MEAN, WRITES_MAX = (f"{RUN}/results/writes_per_device_{name}" for name in ("mean", "max"))
LEVEL, LEVEL_USE = (f"{RUN}/levels/{name}" for name in ("level", "weights"))

_CURVE = f"{ACCURACY}/test_"


def curve_path(test: str) -> str:
    """Accuracy of a test after each epoch."""
    return f"{_CURVE}{test}"


def tests_in(paths: Iterable[str]) -> list[str]:
    """Names of the tests that a trace with these paths has curves of."""
    return [path.removeprefix(_CURVE) for path in paths if path.startswith(_CURVE)]


def final_path(test: str) -> str:
    """Accuracy of a test after all tasks."""
    return f"{RUN}/results/test_accuracy_{test}"


def map_path(name: str) -> str:
    """Corner of a map of the target, [row, column]."""
    return f"{RUN}/maps/{name}/{name}"


CONDUCTANCE = map_path("layer0_conductance")


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

    Accuracies and shares are fractions (0..1). The arrays are filled by a `MetaplasticityRun` with its `Epoch` and
    `End`.

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
        _counts(
            WRITES, WRITES_AT_LEAST, "Writes per device", "number of devices", "programming cycles",
            lambda end: end.writes,
        ),
        _counts(
            f"{RUN}/level_changes_per_weight/weights", f"{RUN}/level_changes_per_weight/at_least",
            "Level changes per weight", "number of weights", "changes", lambda end: end.level_changes,
        ),
        _level_use(levels, n_layers),
        *(_hidden(k) for k in range(n_layers)),
        *(_confusion(name, n_classes) for name in tests),
    ]  # fmt: skip
    if programmed_by_pulses:
        plots += [
            _devices("conductance", "conductance at the end (uS), middle of the bin", n_layers, _conductances),
            _devices("error", "conductance minus target at the end (uS), middle of the bin", n_layers, _errors),
        ]
    plots += [_corner(quantity) for quantity in maps]
    return Layout(
        tuple(plots),
        (*_results(tests), *map(_counted, results)),
        "metaplasticity",
        tuple(neurobench),
        provenance=provenance,
    )


def corner(values: NDArray) -> NDArray[np.float32]:
    """The part of a map [row, column] that the trace keeps."""
    return values[:CORNER, :CORNER].astype(np.float32)


def of_devices(maps: Mapping[str, NDArray], name: str) -> list[NDArray]:
    """Maps of the devices by the target's names -> the one of that name of each layer."""
    return [values for key, values in maps.items() if key.partition("_")[2] == name]


def _learning_curves(tests: Sequence[str], tasks: Sequence[str], n_layers: int) -> list[Plot]:
    def per_epoch(
        path: str, long_name: str, fill: Fill, dtype: str = "float64", meanings: tuple[str, ...] = ()
    ) -> Array:
        return Array(name_of(path), (EPOCH,), (None,), dtype, "1", long_name, flag_meanings=meanings, fill=fill)

    def curve(test: str) -> Array:
        return per_epoch(curve_path(test), f"test accuracy, {test}", lambda _, epoch: epoch.accuracy[test])

    def changes(k: int) -> Array:
        label = f"level changes in layer {k + 1}"
        return per_epoch(f"layer_{k}", label, lambda _, epoch: epoch.trained.changes[k], "int64")

    def learnt(run: Any, _: Any) -> int:
        return (run.epochs_done - 1) // run.config.training.epochs

    train = per_epoch("train_accuracy", "training accuracy, task being learnt", lambda _, epoch: epoch.trained.accuracy)
    task = per_epoch(TASK, "task that was learnt", learnt, "int64", tuple(tasks))
    loss = per_epoch("train_loss", "training loss", lambda _, epoch: epoch.trained.loss)
    first, *others = map(curve, tests)
    of_first, *of_others = map(changes, range(n_layers))
    return [
        Plot(ACCURACY, "Test accuracy", first, (EPOCH_AXIS,), auxiliary=tuple(others), companions=(train, task)),
        Plot(f"{RUN}/loss", "Training loss", loss, (EPOCH_AXIS,)),
        Plot(f"{RUN}/level_changes", "Level changes", of_first, (EPOCH_AXIS,), auxiliary=tuple(of_others)),
    ]


def _programming() -> Plot:
    def number(path: str, long_name: str, fill: Fill) -> Array:
        return Array(name_of(path), (EPOCH,), (None,), "int64", "1", long_name, fill=fill)

    failed = number("failed", "cells that did not reach their level", lambda _, epoch: epoch.trained.failed)
    return Plot(
        group_of(PULSES),
        "Programming",
        number(PULSES, "SET and RESET pulses", lambda _, epoch: epoch.trained.pulses),
        (EPOCH_AXIS,),
        auxiliary=(failed,),
    )


def _counts(
    counted: str, at_least: str, title: str, label: str, axis: str, statistics: Callable[[Any], WriteStatistics]
) -> Plot:
    """How many things have how many events; bins are equally wide."""

    def of_bin(path: str, long_name: str, fill: Fill) -> Array:
        return Array(name_of(path), ("bin",), (None,), "int64", "1", long_name, fill=fill)

    edges = of_bin(at_least, f"{axis}, lower edge of the bin", lambda _, end: statistics(end).edges[:-1])
    return Plot(group_of(counted), title, of_bin(counted, label, lambda _, end: statistics(end).devices), (edges,))


def _level_use(levels: NDArray[np.int64], n_layers: int) -> Plot:
    def used(run: Any, _: Any) -> NDArray[np.int64]:
        return np.array([[np.count_nonzero(layer == k) for k in levels] for layer in run.network.levels])

    return Plot(
        group_of(LEVEL_USE),
        "Levels of the weights at the end",
        Array(
            name_of(LEVEL_USE), ("layer", "level"), (n_layers, levels.size), "int64", "1", "number of weights",
            fill=used,
        ),
        (
            index_axis("layer", n_layers, "layer", first=1),
            Array(name_of(LEVEL), ("level",), levels.shape, "int64", "1", "signed level", levels),
        ),
        interpretation="spectrum",
    )  # fmt: skip


def _hidden(k: int) -> Plot:
    def counts(run: Any, _: Any) -> NDArray[np.int64]:
        return np.histogram(run.network.hidden[k], BINS)[0]

    def middles(run: Any, _: Any) -> NDArray:
        return _middles(np.histogram_bin_edges(run.network.hidden[k], BINS))

    return Plot(
        f"{RUN}/hidden/layer_{k}",
        f"Hidden weights of layer {k + 1} at the end",
        Array("weights", ("hidden",), (BINS,), "int64", "1", "number of weights", fill=counts),
        (Array("hidden", ("hidden",), (BINS,), "float64", "1", "hidden weight, middle of the bin", fill=middles),),
    )


def _confusion(test: str, n_classes: int) -> Plot:
    def images(run: Any, end: Any) -> NDArray[np.int64]:
        counts = np.zeros((n_classes, n_classes), dtype=np.int64)
        np.add.at(counts, (run.labels(test), end.decisions[test]), 1)
        return counts

    return Plot(
        f"{RUN}/confusion/{test}",
        f"Decisions on {test} at the end",
        Array(
            "images", ("label", "predicted"), (n_classes, n_classes), "int64", "1", "number of test images",
            fill=images,
        ),
        (index_axis("label", n_classes, "true class"), index_axis("predicted", n_classes, "predicted class")),
        interpretation="image",
    )  # fmt: skip


def _devices(name: str, label: str, n_layers: int, of_layers: Callable[[Any], list[NDArray]]) -> Plot:
    """Histogram of a quantity of all devices, layer by layer in the same bins."""

    def edges(layers: Collection[NDArray]) -> NDArray:
        lowest, highest = min(map(np.min, layers)), max(map(np.max, layers))
        return np.linspace(lowest, max(highest, lowest + 1.0), BINS + 1)  # 1 uS if all are alike

    def curve(k: int) -> Array:
        def counts(_: Any, end: Any) -> NDArray[np.int64]:
            layers = of_layers(end)
            return np.histogram(layers[k], edges(layers))[0]

        label = f"number of devices, layer {k + 1}"
        return Array(f"layer_{k}", (name,), (BINS,), "int64", "1", label, fill=counts)

    def middles(_: Any, end: Any) -> NDArray:
        return _middles(edges(of_layers(end)))

    first, *others = map(curve, range(n_layers))
    return Plot(
        f"{RUN}/devices/{name}",
        f"All devices: {label.partition(',')[0]}",
        first,
        (Array(name, (name,), (BINS,), "float64", "uS", label, fill=middles),),
        auxiliary=tuple(others),
    )


def _conductances(end: Any) -> list[NDArray]:
    return of_devices(end.maps, "conductance")


def _errors(end: Any) -> list[NDArray]:
    targets = of_devices(end.maps, "target")
    return [found - wanted for found, wanted in zip(_conductances(end), targets, strict=True)]


def _middles(edges: NDArray) -> NDArray:
    return (edges[:-1] + edges[1:]) / 2


def _corner(quantity: Quantity) -> Plot:
    name, path = quantity.name, map_path(quantity.name)
    shape = tuple(min(CORNER, size) for size in quantity.values.shape)
    return Plot(
        group_of(path),
        f"{quantity.long_name}, first {shape[0]} x {shape[1]}",
        Array(
            name_of(path), quantity.dims, shape, "float32", quantity.units, quantity.long_name, kind="emulated",
            fill=lambda _, end: corner(end.maps[name]),
        ),
        tuple(index_axis(dim, size, dim) for dim, size in zip(quantity.dims, shape, strict=True)),
        interpretation="image",
    )  # fmt: skip


def _counted(quantity: Quantity) -> Array:
    """A number that the target counts."""
    name = quantity.name
    return Array(
        name, (), (), str(quantity.values.dtype), quantity.units, quantity.long_name, kind=quantity.kind,
        fill=lambda _, end: end.counted[name],
    )  # fmt: skip


def _results(tests: Sequence[str]) -> list[Array]:
    def number(path: str, long_name: str, fill: Callable[[Any], Any], dtype: str = "float64") -> Array:
        return Array(name_of(path), (), (), dtype, "1", long_name, fill=lambda _, end: fill(end))

    def final(test: str) -> Array:
        return number(final_path(test), f"test accuracy after all tasks, {test}", lambda end: end.accuracy[test])

    def after_first(test: str) -> Array:
        label = f"test accuracy after the first task, {test}"
        return number(f"after_first_task_{test}", label, lambda end: end.after_first_task[test])

    return [
        *map(final, tests),
        *map(after_first, tests),
        number(WRITES_MEAN, "programming cycles per device, mean", lambda end: end.writes.mean),
        number("writes_per_device_p99", "programming cycles per device, 99th percentile", lambda end: end.writes.p99),
        number(WRITES_MAX, "programming cycles per device, most", lambda end: end.writes.max, "int64"),
        number("level_changes_per_weight_mean", "level changes per weight, mean", lambda end: end.level_changes.mean),
        number(
            "level_changes_per_weight_p99", "level changes per weight, 99th percentile",
            lambda end: end.level_changes.p99,
        ),
        number(
            "level_changes_per_weight_max", "level changes per weight, most", lambda end: end.level_changes.max,
            "int64",
        ),
        number("years_to_wear_out", "years until the most worn device fails", lambda end: end.years_to_wear_out),
        number("weights", "number of weights", lambda end: end.memory.weights, "int64"),
        number("devices", "number of devices that hold weights", lambda end: end.memory.cells, "int64"),
        number("hidden_bits", "bits of all hidden weights", lambda end: end.memory.weights * end.memory.hidden_bits),
        number("device_bits", "bits that all devices hold", lambda end: end.memory.cells * end.memory.cell_bits),
    ]  # fmt: skip
