"""Picture of a finished DelGrad run, drawn from its trace alone."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.delgrad.trace import (
    LABEL,
    MAP_PREDICTED,
    MAP_X,
    MAP_Y,
    PREDICTED,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
    VALIDATION_ACCURACY,
    X,
    Y,
    delays_path,
    raster_path,
    weights_path,
)
from neurohil.pictures import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    SILENT_COLOUR,
    distinct_colours,
    headline,
    new_figure,
    own_style,
    save,
)
from neurohil.trace.reader import Trace, open_finished
from neurohil.trace.schema import EPOCH, group_of

MOST_NAMES = 16  # classes that the panel of decisions names


def draw_delgrad(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw a finished DelGrad run: decisions, learning curve, spikes of a sample, and delays.

    Parameters
    ----------
    trace_path : str or path
        Complete trace with the layout of `delgrad_layout`.
    png_path : str or path
        Picture to write, 1600 x 1200 pixels.

    Raises
    ------
    TraceError
        If the trace can't be read or its run has not come to its end.
    """
    with open_finished(trace_path) as trace, own_style():
        figure = new_figure(8, 6)
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.105, right=0.975, top=0.83, bottom=0.08, hspace=0.36, wspace=0.24)
        _draw_headline(figure, trace)
        draw_decisions = _draw_plane if MAP_PREDICTED in trace.paths else _draw_decisions
        draw_decisions(panels[0, 0], trace)
        _draw_learning_curve(panels[0, 1], trace)
        _draw_raster(panels[1, 0], trace)
        _draw_parameters(panels[1, 1], trace)
        save(figure, png_path)


def _draw_headline(figure: Any, trace: Trace) -> None:
    accuracy = 100 * float(trace[TEST_ACCURACY])
    config = tomllib.loads(trace.config)
    headline(figure, trace.title, f"{accuracy:.1f} % test accuracy", config.get("summary", ""), _origin(config))


def _origin(config: dict[str, Any]) -> str:
    """Target and seed, as far as the config tells them."""
    target = config.get("target", {})
    words = [str(target[key]) for key in ("kind", "preset") if key in target]
    words += [f"serial {target['serial']}"] if "serial" in target else []
    words += [f"seed {config['seed']}"] if "seed" in config else []
    return ", ".join(words)


def _label(trace: Trace, path: str) -> str:
    long_name = str(trace.attributes(path)["long_name"])
    return long_name.replace("(us)", "(\N{MICRO SIGN}s)").replace("(tau_s)", r"($\tau_\mathrm{s}$)")


def _classes(trace: Trace) -> dict[str, Any]:
    """Colours of the classes by name, in their order."""
    names = str(trace.attributes(PREDICTED)["flag_meanings"]).split()
    return dict(zip(names, distinct_colours(len(names)), strict=True))


def _draw_plane(axes: Any, trace: Trace) -> None:
    """Test samples where they lie, on the decisions over the plane."""
    from matplotlib.colors import ListedColormap, to_rgb
    from matplotlib.patches import Circle

    decided, classes = trace[MAP_PREDICTED], _classes(trace)
    x, y = trace[MAP_X], trace[MAP_Y]
    tints = [0.75 + 0.25 * np.array(to_rgb(colour)) for colour in (SILENT_COLOUR, *classes.values())]
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    axes.imshow(
        decided,
        origin="lower",
        extent=(x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y),
        cmap=ListedColormap(tints),
        vmin=-1.5,
        vmax=len(classes) - 0.5,
        interpolation="nearest",
    )
    _draw_samples(axes, trace, trace[X], trace[Y], classes)
    if "kind" not in tomllib.loads(trace.config).get("data", {}):  # Yin-Yang
        axes.add_patch(Circle((0.5, 0.5), 0.5, fill=False, edgecolor=FAINT, linewidth=0.8))
    axes.set(title="Test samples on decisions", xlabel="x", ylabel="y", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], anchor="W")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2, borderaxespad=0.2)


def _draw_decisions(axes: Any, trace: Trace) -> None:
    """Test samples by number and by what they were decided to be; the names have the colours of the true classes."""
    predicted, classes = trace[PREDICTED], _classes(trace)
    _draw_samples(axes, trace, np.arange(predicted.size), predicted, classes)
    wrong = np.sum(predicted != trace[LABEL])
    axes.set(title=f"Decisions ({wrong} of {predicted.size} wrong)", xlabel="test sample")
    rows = {**({"silent": SILENT_COLOUR} if np.any(predicted < 0) else {}), **classes}
    lowest = len(classes) - len(rows)
    axes.set(ylim=(lowest - 0.5, len(classes) - 0.5))
    if len(rows) > MOST_NAMES:
        axes.set(ylabel="decided class")
        return
    axes.set(yticks=range(lowest, len(classes)), yticklabels=[name.replace("_", " ") for name in rows])
    for label, colour in zip(axes.get_yticklabels(), rows.values(), strict=True):
        label.set_color(colour)


def _draw_samples(axes: Any, trace: Trace, x: NDArray, y: NDArray, classes: dict[str, Any]) -> None:
    """Test samples in the colours of their true classes, ringed where they were decided wrongly."""
    label, predicted = trace[LABEL], trace[PREDICTED]
    for code, (name, colour) in enumerate(classes.items()):
        chosen = label == code
        axes.scatter(x[chosen], y[chosen], s=6, color=colour, linewidths=0, label=name)
    wrong = predicted != label
    axes.scatter(
        x[wrong], y[wrong], s=18, facecolors="none", edgecolors=INK, linewidths=0.8,
        label=f"{wrong.sum()} of {wrong.size}\nwrong",
    )  # fmt: skip


def _draw_learning_curve(axes: Any, trace: Trace) -> None:
    epoch = trace[f"{group_of(VALIDATION_ACCURACY)}/{EPOCH}"]
    train = 100 * trace[TRAIN_ACCURACY]
    validation = 100 * trace[VALIDATION_ACCURACY]
    test = 100 * float(trace[TEST_ACCURACY])
    marker = "." if epoch.size < 20 else ""
    axes.plot(epoch, train, color=COLOURS[0], marker=marker, linewidth=1, label="training")
    axes.plot(epoch, validation, color=COLOURS[1], marker=marker, linewidth=1.2, label="validation")
    axes.axhline(test, color=COLOURS[2], linewidth=0.8, linestyle=(0, (4, 2)), label=f"test {test:.1f} %")
    axes.set(title="Learning curve", xlabel="epoch", ylabel="accuracy (%)", ylim=(None, 100))
    axes.margins(x=0.01)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.legend(loc="lower right")


def _draw_raster(axes: Any, trace: Trace) -> None:
    """A band per layer; hollow where the spikes of a layer come out of its delays."""
    time, neuron, code = (trace[raster_path(0, name)] for name in ("time", "neuron", "layer"))
    weights = _newest_weights(trace)
    sizes = [weights[0].shape[0], *(w.shape[1] for w in weights)]
    names = str(trace.attributes(raster_path(0, "layer"))["flag_meanings"]).split()[: len(sizes)]
    first, outputs = 0, distinct_colours(sizes[-1])
    for layer, size in enumerate(sizes):
        for delayed in (False, True):
            chosen = code == layer + delayed * len(sizes)
            of_layer = neuron[chosen] - first
            colours: Any = FAINT if layer == 0 else COLOURS[1]
            if layer == len(sizes) - 1:
                colours = [outputs[k] for k in of_layer]
            faces = "none" if delayed else colours
            height = layer + (of_layer + 1) / (size + 1)
            axes.scatter(time[chosen], height, s=14, facecolors=faces, edgecolors=colours, linewidths=0.8)
        first += size
    axes.set(
        title="One test sample" + (" (hollow: delayed)" if np.any(code >= len(sizes)) else ""),
        xlabel=_label(trace, raster_path(0, "time")),
        ylim=(0, len(sizes)),
        yticks=np.arange(len(sizes)) + 0.5,
        yticklabels=[name.replace("_", " ") for name in names],
    )
    axes.set_xlim(left=0)
    axes.hlines(np.arange(1, len(sizes)), *axes.get_xlim(), color=GRID, linewidth=0.6, zorder=0)
    axes.tick_params(axis="y", length=0)


def _draw_parameters(axes: Any, trace: Trace) -> None:
    """Histogram of the delays, or of the weights where no delay is trained."""
    delays = _newest_delays(trace)
    kind, path = ("delays", delays_path(0)) if delays else ("weights", weights_path(0))
    layers = delays or [weights.ravel() for weights in _newest_weights(trace)]
    labels = [f"into layer {k + 1} ({values.size})" for k, values in enumerate(layers)]
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(layers))]
    axes.hist(layers, bins=20, stacked=True, color=colours, label=labels, edgecolor="white", linewidth=0.6)
    axes.set(
        title=f"Learned {kind}",
        xlabel=_label(trace, path),
        ylabel=f"number of {kind}",
    )
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.margins(y=0.3)
    axes.legend()


def _newest_weights(trace: Trace) -> list[NDArray]:
    """Weights (pre, post) into each layer after the last epoch."""
    return [trace[path][-1] for path in _of_layers(trace, weights_path)]


def _newest_delays(trace: Trace) -> list[NDArray]:
    """Delays (line,) in front of each layer that has any, after the last epoch."""
    return [trace[path][:, -1] for path in _of_layers(trace, delays_path)]


def _of_layers(trace: Trace, path: Callable[[int], str]) -> Iterator[str]:
    return takewhile(trace.paths.__contains__, map(path, count()))
