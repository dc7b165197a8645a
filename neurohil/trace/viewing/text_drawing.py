"""Drawing any plot of a trace with characters, where there is no display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurohil.terminal import BrailleCanvas, coded, cut, frame, shaded
from neurohil.text import printable
from neurohil.trace.nxdata import PlotGroup, Variable
from neurohil.trace.viewing.drawing import at_epoch, is_downwards, thinned

_MOST_READ = 2000  # of an image or of lines along each dimension
_MOST_CURVES = 4
_MARGIN = 14  # columns left for the numbers at the vertical axis


def text_drawing(plot: PlotGroup, epoch: int | None = None, columns: int = 80, rows: int = 20) -> str:
    """Draw a plot with characters: curves and points in braille dots, images in shades.

    Parameters
    ----------
    plot : PlotGroup
    epoch : int, optional
        Of a plot that grows: which epoch, from 1; the last one if not given.
    columns, rows : int
        Size of the drawing, without title and labels.

    Returns
    -------
    str

    Raises
    ------
    TraceError
        If it can't be read, is not written yet, or has no such epoch.
    """
    signal, axes, title = at_epoch(plot, epoch)
    columns = max(columns - _MARGIN, 10)
    if plot.kind == "scatter":
        body = _points(plot, axes, columns, rows)
    elif plot.kind == "curve" or len(axes) == 1:
        curves = [(plot.signal.label, np.asarray(signal[...], dtype=np.float64))]
        curves += [(other.label, other.array[...].astype(np.float64)) for other in plot.auxiliary]
        body = _curves(plot, axes[0], curves, columns, rows)
    elif plot.kind == "lines":
        lines, (_, step) = thinned(signal, (_MOST_READ, _MOST_READ))
        x, x_label = _x(plot, axes[1], step)
        canvas = BrailleCanvas(columns, rows, _range(x), _range(lines))
        for line in lines:
            canvas.curve(x, line)
        body = frame(canvas.lines(), _range(x), _range(lines), x_label, plot.signal.label)
    else:
        body = _image(plot, thinned(signal, (_MOST_READ, _MOST_READ))[0], axes, columns, rows)
    return printable(f"{title}\n{body}")


def _curves(plot: PlotGroup, axis: Variable, curves: list[tuple[str, NDArray]], columns: int, rows: int) -> str:
    """Each curve in a panel of its own, all with the same range."""
    x, x_label = _x(plot, axis)
    shown = curves[:_MOST_CURVES]
    height = max(rows // len(shown), 4)
    y = _range(np.concatenate([values for _, values in shown]))
    panels = []
    for label, values in shown:
        canvas = BrailleCanvas(columns, height, _range(x), y)
        canvas.curve(x, values)
        panels.append(frame(canvas.lines(), _range(x), y, x_label, label))
    panels += [f"not drawn: {label}" for label, _ in curves[_MOST_CURVES:]]
    return "\n".join(panels)


def _points(plot: PlotGroup, axes: list[Variable], columns: int, rows: int) -> str:
    x, y = axes[0].array[...].astype(np.float64), axes[1].array[...].astype(np.float64)
    canvas = BrailleCanvas(columns, rows, _range(x), _range(y))
    canvas.points(x, y)
    return frame(canvas.lines(), _range(x), _range(y), axes[0].label, axes[1].label)


def _image(plot: PlotGroup, image: NDArray, axes: list[Variable], columns: int, rows: int) -> str:
    y, x = axes[0].array[...], axes[1].array[...]
    bounds = (float(y[0]), float(y[-1]))
    if is_downwards(y):
        bounds = bounds[::-1]
    else:
        image = image[::-1]
    meanings = plot.signal.flag_meanings
    if meanings:
        lines = coded(image, columns, rows)
        key = ", ".join(f"{code} {meaning}" for code, meaning in enumerate(meanings))
    else:
        lines = shaded(image, columns, rows)
        low, high = _range(image)
        key = f"{low:.4g} (blank) to {high:.4g} (full)"
    x_range = (float(x[0]), float(x[-1]))
    return "\n".join(
        [frame(lines, x_range, bounds, axes[1].label, axes[0].label), cut(f"{plot.signal.label}: {key}", columns)]
    )


def _x(plot: PlotGroup, axis: Variable, step: int = 1) -> tuple[NDArray, str]:
    x = axis.array[::step].astype(np.float64)
    if not plot.log_x:
        return x, axis.label
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(x), f"log10 of {axis.label}"


def _range(values: NDArray) -> tuple[float, float]:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
