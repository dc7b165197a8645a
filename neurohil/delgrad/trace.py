"""What the trace of a DelGrad run on Yin-Yang holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from neurohil.protocols import Provenance, Quantity
from neurohil.trace.schema import EPOCH, EPOCH_AXIS, RUN, Array, Layout, Plot, TraceError, index_axis, quantity_plot

CLASSES = ("yin", "yang", "dot")
SAMPLES = 3


def delgrad_layout(
    layers: Sequence[int],
    delays: Sequence[int],
    test_size: int,
    time_units: str,
    provenance: Provenance,
    quantities: Iterable[Quantity] = (),
    beyond: str | None = None,
    neurobench: Iterable[Array] = (),
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
    provenance : Provenance
        Where spikes and membranes come from.
    quantities : iterable of Quantity
        Fixed pattern of the emulated chip, 1-D or 2-D; each quantity gets a plot in ``run/chip``.
    beyond : str or None
        What the emulated chip's delays did that no real chip can, in ASCII; None if nothing. It is the label of
        ``run/results/delays``, which says ``beyond`` from the start of the run.
    neurobench : iterable of Array
        NeuroBench's metrics, see `neurohil.neurobench.trace`; none for a run that isn't measured.

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
        *(quantity_plot(quantity, "chip") for quantity in quantities),
    ]
    results = [
        Array("test_accuracy", (), (), "float64", "1", "test accuracy"),
        Array("tested_epoch", (), (), "int64", "1", "epoch whose parameters were tested"),
        Array("validation_accuracy", (), (), "float64", "1", "validation accuracy of the tested parameters"),
        Array("missing_spikes", (), (), "int64", "1", "number of output spikes missing in the test"),
        Array("chip_seconds", (), (), "float64", "s", "time on the chip (s)", kind="modelled"),
    ]
    if beyond:
        kinds = ("hardware", "beyond")
        label = f"beyond: {beyond}"
        results.append(Array("delays", (), (), "int64", "1", label, np.array(kinds.index("beyond")), kinds))
    return Layout(tuple(plots), tuple(results), "delgrad", tuple(neurobench), provenance=provenance)


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
        (EPOCH_AXIS, index_axis("pre", pre, "presynaptic line"), index_axis("post", post, "neuron")),
        interpretation="image",
    )


def _delays(k: int, count: int, time_units: str) -> Plot:
    return Plot(
        f"{RUN}/delays_{k}",
        f"Delays into layer {k + 1}",
        _time("delays", ("line", EPOCH), (count, None), time_units, "delay"),
        (index_axis("line", count, "delay"), EPOCH_AXIS),
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
            index_axis("neuron", n_neurons, "neuron", first=layers[0]),
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
        (index_axis("output", n_out, "output neuron"), index_axis("sample", test_size, "test sample")),
        interpretation="spectrum",
    )


def _time(name: str, dims: tuple[str, ...], shape: tuple[int | None, ...], time_units: str, long_name: str) -> Array:
    unit = "us" if time_units == "us" else "tau_s"
    return Array(name, dims, shape, "float64", time_units, f"{long_name} ({unit})")
