"""What the trace of a DelGrad run holds: each array's name, and what fills it, stand here and only here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from neurohil.protocols import Provenance, Quantity
from neurohil.trace.schema import (
    EPOCH,
    EPOCH_AXIS,
    RUN,
    Array,
    Layout,
    Plot,
    TraceError,
    group_of,
    index_axis,
    name_of,
    quantity_plot,
)

# Paths of all that is read again, by pictures, reports and exports.
VALIDATION_ACCURACY = f"{RUN}/accuracy/validation_accuracy"
TRAIN_ACCURACY = f"{RUN}/accuracy/train_accuracy"
LOSS = f"{RUN}/loss/train_loss"
BUMPED = f"{RUN}/silence/bumped_batches"
MISSING = f"{RUN}/silence/missing_spikes"
TEST_ACCURACY = f"{RUN}/results/test_accuracy"
TESTED_EPOCH = f"{RUN}/results/tested_epoch"
PREDICTED, LABEL, X, Y = (f"{RUN}/decisions/{name}" for name in ("predicted", "label", "x", "y"))
MAP_PREDICTED, MAP_X, MAP_Y = (f"{RUN}/decision_map/{name}" for name in ("predicted", "x", "y"))
TEST_TIMES = f"{RUN}/test_times/spike_time"
SAMPLES_FOLDER = f"{RUN}/samples"
CHIP_FOLDER = f"{RUN}/chip"
SPREAD, CALIBRATED_RATIO, ACCEPTED_RATIO = (
    f"{CHIP_FOLDER}/{name}/{name}" for name in ("spread", "calibrated_ratio", "accepted_ratio")
)
REAL_SPREADS = f"{CHIP_FOLDER}/real_spread_"
"""What the groups of real chips begin with, before the chip's name."""


def weights_path(layer: int) -> str:
    """Weights into a layer, (epoch, pre, post)."""
    return f"{RUN}/weights_{layer}/weights"


def delays_path(layer: int) -> str:
    """Delays in front of a layer, (line, epoch)."""
    return f"{RUN}/delays_{layer}/delays"


def raster_path(sample: int, name: str) -> str:
    """Events of a watched sample: ``layer``, ``time`` or ``neuron`` of each."""
    return f"{SAMPLES_FOLDER}/{sample}/raster/{name}"


def membrane_path(sample: int, name: str) -> str:
    """Membranes of a watched sample: ``potential``, and ``time`` of each reading."""
    return f"{SAMPLES_FOLDER}/{sample}/membrane/{name}"


def delgrad_layout(
    layers: Sequence[int],
    delays: Sequence[int],
    test_size: int,
    time_units: str,
    provenance: Provenance,
    quantities: Iterable[Quantity] = (),
    beyond: str | None = None,
    neurobench: Iterable[Array] = (),
    *,
    classes: Sequence[str],
    watched: int,
    plane: str | None = None,
) -> Layout:
    """Layout of the trace of a DelGrad run.

    Accuracies and shares are fractions (0..1), weights are in model units, and an infinite time means "no
    spike". Neurons are numbered over all layers, input lines first; in a raster, k marks a spike of layer k, and
    n_layers + k such a spike after its delay. The arrays are filled by a `DelGradRun` with its `Epoch` and `End`.

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
    provenance : Provenance
        What the target says of its answers.
    quantities : iterable of Quantity
        Fixed pattern of the emulated chip, 1-D or 2-D; each quantity gets a plot in ``run/chip``.
    beyond : str or None
        What the emulated chip's delays did that no real chip can, in ASCII; None if nothing. It is the label of
        ``run/results/delays``, which says ``beyond`` from the start of the run.
    neurobench : iterable of Array
        NeuroBench's metrics, see `neurohil.neurobench.trace`; none for a run that isn't measured.
    classes : sequence of str
        Their names: letters, digits and underscores.
    watched : int
        Number of test samples whose events and membranes are kept.
    plane : str, optional
        What the plane is called that the samples are points of; without one decisions stand over the sample's number.

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
    for k in range(watched):
        plots += [_raster(k, len(layers), time_units), _membrane(k, layers, time_units)]
    plots += [
        _decisions(test_size, tuple(classes), bool(plane)),
        *([_decision_map(plane, tuple(classes))] if plane else []),
        _test_times(layers[-1], test_size, time_units),
        *(quantity_plot(quantity, name_of(CHIP_FOLDER)) for quantity in quantities),
    ]
    return Layout(tuple(plots), tuple(_results(beyond)), "delgrad", tuple(neurobench), provenance=provenance)


def _results(beyond: str | None) -> list[Array]:
    def number(path: str, dtype: str, units: str, label: str, fill: Callable[[Any, Any], Any], kind: str = "") -> Array:
        return Array(name_of(path), (), (), dtype, units, label, kind=kind, fill=fill)

    results = [
        number(TEST_ACCURACY, "float64", "1", "test accuracy", lambda _, end: end.tested.accuracy),
        number(TESTED_EPOCH, "int64", "1", "epoch whose parameters were tested", lambda _, end: end.tested_epoch),
        number(
            "validation_accuracy", "float64", "1", "validation accuracy of the tested parameters",
            lambda _, end: end.validated.accuracy,
        ),
        number(
            "missing_spikes", "int64", "1", "number of output spikes missing in the test",
            lambda _, end: end.tested.missing_spikes,
        ),
        number(
            "chip_seconds", "float64", "s", "time on the chip (s)", lambda _, end: end.chip_seconds, kind="modelled"
        ),
    ]  # fmt: skip
    if beyond:
        kinds = ("hardware", "beyond")
        label = f"beyond: {beyond}"
        results.append(Array("delays", (), (), "int64", "1", label, np.array(kinds.index("beyond")), kinds))
    return results


def _learning_curves() -> list[Plot]:
    def share(path: str, long_name: str, fill: Callable[[Any, Any], Any]) -> Array:
        return Array(name_of(path), (EPOCH,), (None,), "float64", "1", long_name, fill=fill)

    validation = share(VALIDATION_ACCURACY, "validation accuracy", lambda _, epoch: epoch.validated.accuracy)
    train = share(TRAIN_ACCURACY, "training accuracy", lambda _, epoch: epoch.trained.accuracy)
    loss = share(LOSS, "training loss", lambda _, epoch: epoch.trained.loss)
    bumped = share(BUMPED, "share of batches whose weights were bumped", lambda _, epoch: epoch.trained.bumped)
    missing = share(MISSING, "share of output spikes missing", lambda _, epoch: epoch.trained.missing)
    return [
        Plot(group_of(VALIDATION_ACCURACY), "Accuracy", validation, (EPOCH_AXIS,), auxiliary=(train,)),
        Plot(group_of(LOSS), "Training loss", loss, (EPOCH_AXIS,)),
        Plot(group_of(BUMPED), "Silence in training", bumped, (EPOCH_AXIS,), auxiliary=(missing,)),
    ]


def _weights(k: int, pre: int, post: int) -> Plot:
    path = weights_path(k)
    return Plot(
        group_of(path),
        f"Weights into layer {k + 1}",
        Array(
            name_of(path), (EPOCH, "pre", "post"), (None, pre, post), "float64", "1", "weight (model units)",
            fill=lambda run, _: run.network.weights[k],
        ),
        (EPOCH_AXIS, index_axis("pre", pre, "presynaptic line"), index_axis("post", post, "neuron")),
        interpretation="image",
    )  # fmt: skip


def _delays(k: int, count: int, time_units: str) -> Plot:
    path = delays_path(k)
    return Plot(
        group_of(path),
        f"Delays into layer {k + 1}",
        _time(
            path, ("line", EPOCH), (count, None), time_units, "delay",
            lambda run, _: run.network.delays()[k].ravel() * run.time_scale,
        ),
        (index_axis("line", count, "delay"), EPOCH_AXIS),
        interpretation="spectrum",
    )  # fmt: skip


def _raster(k: int, n_layers: int, time_units: str) -> Plot:
    hidden = ["hidden"] if n_layers == 3 else [f"hidden_{i}" for i in range(1, n_layers - 1)]
    layers = ["input", *hidden, "output"]
    meanings = (*layers, *(f"delayed_{name}" for name in layers[:-1]))
    layer, time, neuron = (raster_path(k, name) for name in ("layer", "time", "neuron"))
    return Plot(
        group_of(layer),
        f"Spikes of sample {k}",
        Array(
            name_of(layer), ("event",), (None,), "int64", "1", "layer of the event", flag_meanings=meanings,
            fill=lambda _, end: end.samples[k].event_kinds,
        ),
        (
            _time(
                time, ("event",), (None,), time_units, "time",
                lambda run, end: end.samples[k].event_times * run.time_scale,
            ),
            Array(
                name_of(neuron), ("event",), (None,), "int64", "1", "neuron",
                fill=lambda _, end: end.samples[k].event_neurons,
            ),
        ),
    )  # fmt: skip


def _membrane(k: int, layers: Sequence[int], time_units: str) -> Plot:
    unit = "CADC LSB" if time_units == "us" else "model units"
    n_neurons = sum(layers[1:])
    shape = (n_neurons, None)
    potential, time = (membrane_path(k, name) for name in ("potential", "time"))
    return Plot(
        group_of(potential),
        f"Membrane potentials of sample {k}",
        Array(
            name_of(potential), ("neuron", "time"), shape, "float32", "1", f"membrane potential ({unit})",
            fill=lambda _, end: end.samples[k].membrane,
        ),
        (
            index_axis("neuron", n_neurons, "neuron", first=layers[0]),
            _time(
                time, ("time",), (None,), time_units, "time",
                lambda run, end: end.samples[k].membrane_times * run.time_scale,
            ),
        ),
        interpretation="spectrum",
    )  # fmt: skip


def _decisions(test_size: int, classes: tuple[str, ...], in_plane: bool) -> Plot:
    def of_sample(
        path: str, dtype: str, long_name: str, fill: Callable[[Any, Any], Any], meanings: tuple[str, ...] = ()
    ) -> Array:
        return Array(name_of(path), ("sample",), (test_size,), dtype, "1", long_name, flag_meanings=meanings, fill=fill)

    places = (
        of_sample(X, "float64", "x", lambda run, _: run.data.plane.points[:, 0]),
        of_sample(Y, "float64", "y", lambda run, _: run.data.plane.points[:, 1]),
    )
    return Plot(
        group_of(PREDICTED),
        "Decisions on the test set",
        of_sample(PREDICTED, "int64", "predicted class (-1: silent)", lambda _, end: end.tested.decisions, classes),
        places if in_plane else (index_axis("sample", test_size, "test sample"),),
        companions=(of_sample(LABEL, "int64", "true class", lambda run, _: run.data.test.labels, classes),),
    )


def _decision_map(plane: str, classes: tuple[str, ...]) -> Plot:
    label = "predicted class (-1: silent)"
    return Plot(
        group_of(MAP_PREDICTED),
        f"Decisions over the {plane}",
        Array(
            name_of(MAP_PREDICTED), ("y", "x"), (None, None), "int64", "1", label, flag_meanings=classes,
            fill=lambda _, end: end.map_decisions,
        ),
        (
            Array(name_of(MAP_Y), ("y",), (None,), "float64", "1", "y", fill=lambda _, end: end.map_side),
            Array(name_of(MAP_X), ("x",), (None,), "float64", "1", "x", fill=lambda _, end: end.map_side),
        ),
        interpretation="image",
    )  # fmt: skip


def _test_times(n_out: int, test_size: int, time_units: str) -> Plot:
    return Plot(
        group_of(TEST_TIMES),
        "Output spike times of the test set",
        _time(
            TEST_TIMES, ("output", "sample"), (n_out, test_size), time_units, "spike time",
            lambda run, end: end.tested.times.T * run.time_scale,
        ),
        (index_axis("output", n_out, "output neuron"), index_axis("sample", test_size, "test sample")),
        interpretation="spectrum",
    )  # fmt: skip


def _time(
    path: str,
    dims: tuple[str, ...],
    shape: tuple[int | None, ...],
    time_units: str,
    long_name: str,
    fill: Callable[[Any, Any], Any],
) -> Array:
    unit = "us" if time_units == "us" else "tau_s"
    return Array(name_of(path), dims, shape, "float64", time_units, f"{long_name} ({unit})", fill=fill)
