"""Views of a DelGrad run in a report: all decisions, in the plane of the data if there is one, and watched samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.delgrad.trace import (
    ACCEPTED_RATIO,
    CALIBRATED_RATIO,
    LABEL,
    MAP_PREDICTED,
    PREDICTED,
    REAL_SPREADS,
    SAMPLES_FOLDER,
    SPREAD,
    TEST_TIMES,
)
from neurohil.trace.nxdata import PlotGroup
from neurohil.trace.reader import Trace
from neurohil.trace.report.spikes import draw_raster
from neurohil.trace.report.style import (
    CLASS_MARKERS,
    CURVE_COLOURS,
    NEUTRAL,
    class_colours,
    hover,
    new_figure,
    readable,
    span,
    words,
)
from neurohil.trace.report.view import Control, Table, View
from neurohil.trace.report.views import raster_view
from neurohil.trace.schema import group_of

SIDE = 480


def views(trace: Trace, plots: dict[str, PlotGroup]) -> Iterator[View]:
    """The decisions, the watched samples and the spread of the chip, whose plots are taken out of `plots`."""
    yield from _decisions(trace, plots)
    yield from _watched(plots)
    yield from spreads(plots)


def _decisions(trace: Trace, plots: dict[str, PlotGroup]) -> Iterator[View]:
    decisions, decision_map, times = (plots.pop(group_of(p), None) for p in (PREDICTED, MAP_PREDICTED, TEST_TIMES))
    if decisions is None:
        return
    labels = trace[LABEL]
    ground = ""
    if decision_map:
        ground = "The ground is coloured by the decision at each place, grey where the network is silent. "
    wrong = int(np.sum(decisions.signal.array[...] != labels))
    caption = (
        f"Each sign is a test sample in the colour of its true class; the {wrong} of {labels.size} that were decided "
        f"wrongly are ringed. {ground}"
        "Click a sample, or give its number, to see when the outputs spiked: the first one decides."
    )
    recorded = recorded_samples(labels, sum(path.endswith("/raster") for path in plots))
    controls = (
        Control("number", "sample", "Test sample", 0, labels.size - 1, recorded[0] if recorded else 0),
        Control("button", "next_wrong", "Next wrong one"),
    )
    figure = draw_decisions(decisions, labels, decision_map, times)
    yield View(
        "decisions", decisions.title, caption, {"": figure}, controls=controls, behaviour="plane", wide=True,
        data={"recorded": recorded},
    )  # fmt: skip


def _watched(plots: dict[str, PlotGroup]) -> Iterator[View]:
    rasters = {path: plots.pop(path) for path in list(plots) if path.startswith(f"{SAMPLES_FOLDER}/")}
    figures = {}
    for path, raster in rasters.items():
        folder, _, name = path.rpartition("/")
        if name == "raster":
            figures[readable(raster.title)] = draw_raster(raster, rasters.get(f"{folder}/membrane"))
    if figures:
        first = next(raster for path, raster in rasters.items() if path.endswith("/raster"))
        yield raster_view("spikes", "Spikes and membranes", first, figures)


def spreads(plots: dict[str, PlotGroup]) -> Iterator[View]:
    """The chip's spread beside real chips, and what is left of it by calibration beside what the vendor accepts.

    Whoever runs on an emulated chip sees at once in what it is too good or too bad.
    """
    own = plots.pop(group_of(SPREAD), None)
    real = {path: plots.pop(path) for path in list(plots) if path.startswith(REAL_SPREADS)}
    ratio, limit = (plots.pop(group_of(path), None) for path in (CALIBRATED_RATIO, ACCEPTED_RATIO))
    if own is None or not real:
        return
    names = own.axes[-1].flag_meanings
    values, others = own.signal.array[...], np.array([group.signal.array[...] for group in real.values()])
    header = ["at equal codes", "within blocks", "real chips", "means of blocks", "real chips"]
    rows = [_spread_row(name, values[:, k], others[:, :, k]) for k, name in enumerate(names)]
    told = ""
    if ratio is not None and limit is not None:
        header += ["calibrated", "accepted"]
        told = (
            "This chip is calibrated: the last columns tell what it has of its spread at equal codes, and what the "
            "vendor's tests accept. "
        )
        for row, *pair in zip(rows, ratio.signal.array[...], limit.signal.array[...], strict=True):
            row += ["no limit" if np.isnan(x) else f"\N{MULTIPLICATION SIGN} {x:.2f}" for x in pair]
    chips = " and ".join(path.removeprefix(REAL_SPREADS) for path in real)
    caption = (
        "Spread of the circuits of this emulated chip, with the same codes in all of them, over the mean of the real "
        f"chips {chips}; the bands are these chips. {told}Of real chips the codes are known that make their circuits "
        "alike: of currents the relative spread of the code is taken, of potentials LSB by an assumed slope per code, "
        "with the offset of the read-out in it."
    )
    figure = _draw_spreads([_readable(name) for name in names], values, others)
    table = Table(tuple(header), tuple(map(tuple, rows)))
    yield View("spreads", "The chip's spread beside real chips", caption, {"": figure}, table=table, wide=True)


def _spread_row(name: str, own: NDArray, real: NDArray) -> list[str]:
    """Spread of a quantity (2,) and of real chips (chip, 2), within blocks and of their means."""
    scale, digits, unit = (1.0, 2, "LSB") if name.endswith("_lsb") else (100.0, 1, "%")
    row = [_readable(name)]
    for value, others in zip(own, real.T, strict=True):
        low, high = scale * others.min(), scale * others.max()
        row += [f"{scale * value:.{digits}f} {unit}", f"{low:.{digits}f} to {high:.{digits}f} {unit}"]
    return row


def _readable(name: str) -> str:
    return words(name.removesuffix("_lsb").removesuffix("_us"))


def _draw_spreads(names: list[str], own: NDArray, real: NDArray) -> Any:
    """Spread over the mean of the real chips, two lines for each quantity: within blocks, and of their means."""
    from bokeh.models import ColumnDataSource, FixedTicker

    mean, y = real.mean(axis=0), np.arange(len(names))
    figure = new_figure(
        "spreads",
        "spread over that of real chips",
        "",
        (0.015, 20.0),
        (len(names) - 0.4, -0.6),
        height=90 + 30 * len(names),
        x_axis_type="log",
    )
    figure.yaxis.ticker = FixedTicker(ticks=y.tolist())
    figure.yaxis.major_label_overrides = dict(enumerate(names))
    figure.ygrid.visible = False
    lines = (("within blocks", -0.18, "circle"), ("means of blocks", 0.18, "square"))
    for part, (label, shift, marker) in enumerate(lines):
        over = real[:, part] / mean[part]
        figure.hbar(y=y + shift, left=over.min(axis=0), right=over.max(axis=0), height=0.28, color=NEUTRAL, alpha=0.5)
        source = ColumnDataSource({"x": own[part] / mean[part], "y": y + shift, "name": names, "own": own[part]})
        style = {"color": CURVE_COLOURS[part], "marker": marker, "legend_label": label}
        drawn = figure.scatter("x", "y", source=source, size=9, **style)
        figure.add_tools(hover([drawn], (label, "@name"), ("spread", "@own{0.###}"), ("over real chips", "@x{0.##}")))
    figure.legend.location = "top_left"
    return figure


def draw_decisions(
    decisions: PlotGroup, labels: NDArray[np.int64], decision_map: PlotGroup | None, times: PlotGroup | None
) -> Any:
    """Figures of the test samples, on the decisions over the plane or by number and decision, and of the output spikes
    of a chosen one.

    Parameters
    ----------
    decisions : PlotGroup
        Predicted class of each sample, over its x and y or over its number.
    labels : (n,) int64
        True classes.
    decision_map : PlotGroup, optional
        Predicted class at each place.
    times : PlotGroup, optional
        Output spike times (output, sample).

    Returns
    -------
    bokeh layout
    """
    from bokeh.layouts import row

    figures = [_samples(decisions, labels, decision_map)]
    if times:
        figures.append(_output_spikes(times, decisions.signal.flag_meanings))
    return row(figures, sizing_mode="stretch_width")


def _samples(decisions: PlotGroup, labels: NDArray[np.int64], decision_map: PlotGroup | None) -> Any:
    from bokeh.models import CDSView, ColumnDataSource, IndexFilter, TapTool

    places = [axis.array[...].astype(float) for axis in decisions.axes]
    predicted, true = decisions.signal.array[...], labels
    names = decisions.signal.flag_meanings
    colours = class_colours(len(names))
    if len(places) == 2:
        x, y = places
        figure = new_figure(
            "plane", "x", "y", (0.0, 1.0), (0.0, 1.0), height=SIDE, width=SIDE, sizing_mode="fixed", name="plane"
        )
        figure.grid.visible = False
    else:
        x, y = places[0], predicted.astype(float)
        figure = _by_number(x, names)
    if decision_map:
        _draw_map(figure, decision_map, colours)
    wrong = predicted != true
    source = ColumnDataSource(
        {
            "x": x,
            "y": y,
            "sample": np.arange(x.size),
            "label": true,
            "predicted": predicted,
            "truth": [_name(names, code) for code in true],
            "decision": [_name(names, code) for code in predicted],
        },
        name="samples",
    )
    rings = CDSView(filter=IndexFilter(np.flatnonzero(wrong).tolist()))
    figure.scatter("x", "y", source=source, view=rings, size=13, fill_color=None, line_width=2, tags=["ink"])
    drawn = []
    for code, (colour, marker) in enumerate(zip(colours, cycle(CLASS_MARKERS), strict=False)):
        of_class = CDSView(filter=IndexFilter(np.flatnonzero(true == code).tolist()))
        style: dict[str, Any] = {"color": colour, "line_color": "#ffffff", "line_width": 0.6, "marker": marker}
        drawn.append(
            figure.scatter(
                "x", "y", source=source, view=of_class, size=7, nonselection_alpha=0.9, selection_alpha=1.0, **style
            )
        )
    figure.scatter("x", "y", source=ColumnDataSource({"x": [], "y": []}, name="chosen"), size=20, fill_color=None,
                   line_width=3, marker="square", tags=["ink"])  # fmt: skip
    tips = (("sample", "@sample"), ("true class", "@truth"), ("decision", "@decision"))
    figure.add_tools(hover(drawn, *tips), TapTool(renderers=drawn))
    return figure


def _by_number(x: NDArray, names: tuple[str, ...]) -> Any:
    """Empty figure of classes over the numbers of samples."""
    from bokeh.models import FixedTicker

    codes = range(-1, len(names))
    figure = new_figure(
        "decisions", "test sample", "decided class", span(x), (-1.5, len(names) - 0.5), height=SIDE, name="decisions"
    )
    figure.yaxis.ticker = FixedTicker(ticks=list(codes))
    figure.yaxis.major_label_overrides = {code: _name(names, code) for code in codes}
    return figure


def _draw_map(figure: Any, decision_map: PlotGroup, classes: list[str]) -> None:
    from bokeh.models import LinearColorMapper

    y, x = (axis.array[...].astype(float) for axis in decision_map.axes)
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    colours = ["#444444", *classes]
    figure.image(
        image=[decision_map.signal.array[...].astype(np.float32)],
        x=x[0] - half_x,
        y=y[0] - half_y,
        dw=x[-1] - x[0] + 2 * half_x,
        dh=y[-1] - y[0] + 2 * half_y,
        color_mapper=LinearColorMapper(colours, low=-1.5, high=len(classes) - 0.5),
        global_alpha=0.28,
        level="image",
    )


def _output_spikes(times: PlotGroup, names: tuple[str, ...]) -> Any:
    from bokeh.models import ColumnDataSource, FixedTicker

    spikes = times.signal.array[...].astype(float)
    outputs = range(len(spikes))
    figure = new_figure(
        "output_spikes",
        readable(times.signal.label),
        "",
        span(spikes),
        (len(spikes) - 0.5, -0.5),
        height=220,
        name="output_spikes",
        min_width=200,
    )
    figure.yaxis.ticker = FixedTicker(ticks=list(outputs))
    figure.yaxis.major_label_overrides = {k: _name(names, k) for k in outputs}
    colours = class_colours(len(spikes))
    nowhere = [float("nan")] * len(spikes)
    source = ColumnDataSource({"time": nowhere, "output": list(outputs), "colour": colours}, name="output_events")
    drawn = figure.scatter("time", "output", source=source, marker="dash", angle=np.pi / 2, size=34, line_width=4,
                           color="colour")  # fmt: skip
    figure.add_tools(hover([drawn], ("output", "@output"), (readable(times.signal.label), "@time{0.####}")))
    figure.tags = [ColumnDataSource({"time": list(spikes.T)}, name="output_times")]
    return figure


def _name(names: tuple[str, ...], code: int) -> str:
    return names[code] if 0 <= code < len(names) else "silent"


def recorded_samples(labels: Any, count: int) -> list[int]:
    """Which test samples a DelGrad run recorded: the first one of each class that has any, in the order of classes."""
    _, first = np.unique(labels, return_index=True)
    return [int(sample) for sample in first[:count]]
