"""Curves, histograms and fixed quantities: one- and two-dimensional signals over their last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.trace.nxdata import PlotGroup, Variable
from neurohil.trace.report.style import CURVE_COLOURS, DASHES, hover, new_figure, palette, readable, span
from neurohil.trace.schema import EPOCH

_MOST_IN_LEGEND = 9
_FEW_POINTS = 40


def draw_curves(plot: PlotGroup) -> Any:
    """Figure of a 1-D signal and its auxiliary ones: lines, steps of a histogram, or a point for each thing."""
    axis, curves = plot.axes[0], (plot.signal, *plot.auxiliary)
    x = axis.array[...].astype(float)
    values = [curve.array[...].astype(float) for curve in curves]
    is_histogram = "bin" in axis.label.split()
    figure = _figure(plot, x, np.concatenate(values), counts=is_histogram)
    for k, (curve, y) in enumerate(zip(curves, values, strict=True)):
        colour, dash = CURVE_COLOURS[k % len(CURVE_COLOURS)], DASHES[k % len(DASHES)]
        label = _common_removed(curve.label, [c.label for c in curves])
        if is_histogram:
            drawn = _steps(figure, x, y, colour, label, lower_edges="lower edge" in axis.label)
        elif _counts_things(axis, x):
            drawn = figure.scatter(x, y, size=4, color=colour, legend_label=label)
        else:
            drawn = figure.line(x, y, color=colour, line_dash=dash, line_width=2, legend_label=label)
            if x.size <= _FEW_POINTS:
                figure.scatter(x, y, size=5, color=colour, legend_label=label)
        value = "@top{0.####}" if is_histogram else "@y{0.####}"
        place = "@left{0.####}" if is_histogram else "@x{0.####}"
        mode = "mouse" if is_histogram or _counts_things(axis, x) else "vline"
        figure.add_tools(hover([drawn], (readable(axis.label), place), (readable(curve.label), value), mode=mode))
    _finish_legend(figure, len(curves))
    return figure


def draw_lines(plot: PlotGroup) -> Any:
    """Figure of a 2-D signal, a line for each row; auxiliary ones dashed, in the colours of their rows."""
    from bokeh.models import ColumnDataSource

    rows_axis, axis = plot.axes
    x, names = axis.array[...].astype(float), rows_axis.array[...]
    curves = (plot.signal, *plot.auxiliary)
    values = [curve.array[...].astype(np.float32) for curve in curves]
    figure = _figure(plot, x, np.concatenate([v.ravel() for v in values]), counts=False)
    colours = palette(len(names))
    for dash, curve, rows in zip(DASHES, curves, values, strict=False):
        for name, colour, y in zip(names, colours, rows, strict=True) if len(names) <= _MOST_IN_LEGEND else ():
            figure.line(x, y, color=colour, line_dash=dash, line_width=1.6, legend_label=f"{name:g}")
        if len(names) > _MOST_IN_LEGEND:
            source = ColumnDataSource(
                {"xs": [x.astype(np.float32)] * len(names), "ys": list(rows), "name": names, "colour": colours}
            )
            lines = figure.multi_line(
                "xs", "ys", source=source, color="colour", line_dash=dash, line_width=1.2, hover_line_width=4
            )
            tips = ((readable(rows_axis.label), "@name"), (readable(axis.label), "$x{0.##}"))
            figure.add_tools(hover([lines], *tips, (readable(curve.label), "$y{0.####}"), line_policy="nearest"))
    if len(names) <= _MOST_IN_LEGEND:
        tips = ((readable(axis.label), "@x{0.####}"), (readable(plot.signal.label), "@y{0.####}"))
        figure.add_tools(hover(figure.renderers, *tips))
    _finish_legend(figure, len(names) if len(names) <= _MOST_IN_LEGEND else 0, readable(rows_axis.label), columns=5)
    return figure


def _figure(plot: PlotGroup, x: NDArray, y: NDArray, counts: bool) -> Any:
    axis = plot.axes[-1]
    label = readable(_shared_label(plot))
    options: dict[str, Any] = {"x_axis_type": "log"} if plot.log_x else {}
    x_range = (x[x > 0].min() / 1.1, x.max() * 1.1) if plot.log_x else span(x, 0.02)
    y_range = span(y)
    if counts and y.max(initial=0.0) > 1000:
        options["y_axis_type"] = "log"
        y_range = (0.7, 2.0 * y.max())
    elif counts:
        y_range = (0.0, 1.05 * y.max(initial=0.0) or 1.0)
    return new_figure(plot.path.rpartition("/")[2], readable(axis.label), label, x_range, y_range, **options)


def _steps(figure: Any, x: NDArray, y: NDArray, colour: str, label: str, lower_edges: bool) -> Any:
    """A histogram; its first and last bin as wide as the others."""
    width = x[1] - x[0] if x.size > 1 else 1.0
    left = x if lower_edges else x - width / 2
    bottom = 0.5 if "Log" in type(figure.y_scale).__name__ else 0.0
    return figure.quad(
        left=left, right=left + width, bottom=bottom, top=np.maximum(y, bottom), color=colour, fill_alpha=0.55,
        line_width=0.5, legend_label=label,
    )  # fmt: skip


def _counts_things(axis: Variable, x: NDArray) -> bool:
    """Whether the axis numbers things that have no order, such as circuits."""
    return axis.name != EPOCH and axis.array.dtype.kind == "i" and x.size > _FEW_POINTS


def _shared_label(plot: PlotGroup) -> str:
    """What all curves show: what stands before the comma in their labels, or the title."""
    labels = {curve.label.partition(",")[0] for curve in (plot.signal, *plot.auxiliary)}
    return plot.signal.label if not plot.auxiliary else labels.pop() if len(labels) == 1 else plot.title


def _common_removed(label: str, labels: list[str]) -> str:
    """What is particular to one of several labels."""
    if len(labels) == 1:
        return readable(label)
    comma = {text.partition(", ")[0] for text in labels}
    return readable(label.partition(", ")[2] if len(comma) == 1 and ", " in label else label)


def _finish_legend(figure: Any, entries: int, title: str = "", columns: int = 3) -> None:
    """Above the figure, where it hides nothing; none for a single curve."""
    if not figure.legend:
        return
    legend = figure.legend[0]
    if entries < 2:
        legend.visible = False
        return
    figure.add_layout(legend, "above")
    legend.orientation = "horizontal"
    legend.ncols = columns
    legend.title = title
    legend.click_policy = "hide"
    legend.border_line_color = None
    legend.background_fill_color = None
    legend.padding = 2
