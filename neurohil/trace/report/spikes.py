"""Rasters: single events over time, with the membrane potential of the neuron under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.trace.nxdata import PlotGroup, Variable
from neurohil.trace.report.style import CURVE_COLOURS, NEUTRAL, hover, new_figure, palette, readable, span, words

TICKS = 2**26
"""Times that are no integers are told to the span of the raster over this: a million of them take some 2.5 MB."""

_CURSOR = {"line_color": NEUTRAL, "line_dash": "dashed", "line_width": 1.5}


def draw_raster(plot: PlotGroup, membrane: PlotGroup | None = None) -> Any:
    """Figures of all events and, below, of one neuron's membrane; both share the time axis.

    The events go into the page once, packed; report.js draws those within the window, or how dense they are.

    Parameters
    ----------
    plot : PlotGroup
        Scatter plot of time and neuron (or row). Events at no finite time are left out.
    membrane : PlotGroup, optional
        Lines over time, one for each neuron.

    Returns
    -------
    bokeh layout
    """
    from bokeh.layouts import column
    from bokeh.models import ColumnDataSource, LinearColorMapper

    time_axis, neuron_axis = plot.axes
    time, neuron = time_axis.array[...].astype(float), neuron_axis.array[...].astype(np.int64)
    value = plot.signal.array[...]
    order = np.argsort(time, kind="stable")[: np.isfinite(time).sum()]
    time, neuron, value = time[order], neuron[order], value[order]
    colours = event_colours(plot.signal)
    raster = new_figure(
        "raster",
        readable(time_axis.label),
        readable(neuron_axis.label),
        span(time, 0.02),
        (neuron.min(initial=0) - 1.0, neuron.max(initial=0) + 1.0),
        name="raster",
        height=360,
    )
    low, high = (-0.5, len(colours) - 0.5) if plot.signal.flag_meanings else span(value.astype(float), 0.0)
    mapper = LinearColorMapper(colours, low=low, high=high, nan_color=NEUTRAL)
    shown = ColumnDataSource({"time": [], "neuron": [], "value": [], "solid": []}, name="shown")
    points = raster.scatter(
        "time",
        "neuron",
        source=shown,
        size=6,
        fill_color={"field": "value", "transform": mapper},
        line_color={"field": "value", "transform": mapper},
        fill_alpha="solid",
        name="points",
    )
    raster.image_rgba(
        image=[np.zeros((1, 1), np.uint32)], x=0, y=0, dw=1, dh=1, name="density", anchor="bottom_left"
    )  # report.js puts the picture of the window here
    tips = [(readable(time_axis.label), "@time{0.######}"), (readable(neuron_axis.label), "@neuron")]
    if not plot.signal.flag_meanings:
        tips.append((readable(plot.signal.label), "@value{0.##}"))
    raster.add_tools(hover([points], *tips))
    events = _packed(time, neuron, value.astype(float), resolution(plot), bool(plot.signal.flag_meanings), low, high)
    raster.tags = [events, colours, list(map(words, plot.signal.flag_meanings))]
    figures = [raster, *([_draw_membrane(membrane, raster.x_range)] if membrane else [])]
    for figure in figures:
        _add_cursor(figure)
    return column(figures, sizing_mode="stretch_width")


def event_colours(signal: Variable) -> list[str]:
    """Colour of each code, or of each part of the range of a number.

    An event that comes out of a delay has the colour of what went in.
    """
    if not signal.flag_meanings:
        return palette(64)
    plain = [name.removeprefix("delayed_") for name in signal.flag_meanings]
    distinct = list(dict.fromkeys(plain))
    return [CURVE_COLOURS[distinct.index(name) % len(CURVE_COLOURS)] for name in plain]


def resolution(plot: PlotGroup) -> float:
    """Smallest difference of times that the page knows, in their unit."""
    time = plot.axes[0].array[...]
    if time.dtype.kind in "iu":
        return 1.0
    time = time[np.isfinite(time)]
    return float(np.ptp(time)) / TICKS if time.size and np.ptp(time) else 1.0


def _packed(time: NDArray, neuron: NDArray, value: NDArray, tick: float, codes: bool, low: float, high: float) -> Any:
    """Events as bytes that compress well: steps in time, neurons and values, each split into planes of equal weight."""
    from bokeh.models import ColumnDataSource

    start = float(time[0]) if time.size else 0.0
    ticks = np.rint((time - start) / tick).astype(np.uint64)
    data = {
        f"{name}{k}": plane
        for name, column in (("step", np.diff(ticks, prepend=ticks[:1])), ("neuron", neuron.astype(np.uint64)))
        for k, plane in enumerate(np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T)
        if plane.any()
    }
    step = (high - low) / 254  # a byte for each value; 255 is NaN
    if codes:
        low, step = 0.0, 1.0
    with np.errstate(invalid="ignore"):
        level = np.clip(np.rint((value - low) / step), 0, 254)
    data["level"] = np.where(np.isnan(level), 255, level).astype(np.uint8)
    tags = [start, tick, len(time), low, step]
    return ColumnDataSource({name: np.ascontiguousarray(a) for name, a in data.items()}, name="events", tags=tags)


def _draw_membrane(plot: PlotGroup, time_range: Any) -> Any:
    from bokeh.models import ColumnDataSource

    neuron_axis, time_axis = plot.axes
    potential = plot.signal.array[...].astype(np.float32)
    time, neurons = time_axis.array[...].astype(float), neuron_axis.array[...]
    figure = new_figure(
        "membrane",
        readable(time_axis.label),
        readable(plot.signal.label).removeprefix("membrane "),
        time_range,
        span(potential),
        name="membrane",
        height=200,
    )
    trace = ColumnDataSource({"time": time, "potential": potential[0]}, name="trace")
    figure.line("time", "potential", source=trace, color=CURVE_COLOURS[0], line_width=1.6)
    source = ColumnDataSource({"neuron": neurons, "potential": list(potential)}, name="potentials")
    figure.tags = [source]
    return figure


def _add_cursor(figure: Any) -> None:
    from bokeh.models import Span

    figure.add_layout(Span(dimension="height", name=f"cursor_{figure.name}", **_CURSOR))
    if figure.name == "raster":
        figure.add_layout(Span(dimension="width", name="cursor_neuron", **_CURSOR))
