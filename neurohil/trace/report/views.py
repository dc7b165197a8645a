"""Which views a trace gets: those that its kind of run makes, and one for every plot that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from neurohil.trace.nxdata import PlotGroup, is_plot, plot_group
from neurohil.trace.reader import Trace
from neurohil.trace.report.curves import draw_curves, draw_lines
from neurohil.trace.report.maps import draw_frames, draw_map
from neurohil.trace.report.spikes import draw_raster, event_colours, resolution
from neurohil.trace.report.style import readable, words
from neurohil.trace.report.view import Control, View
from neurohil.trace.schema import RUN

_DRAW = {"curve": draw_curves, "lines": draw_lines, "image": draw_map, "images": draw_frames, "scatter": draw_raster}


OwnViews = Callable[[Trace, dict[str, PlotGroup]], Iterator[View]]


def views(trace: Trace, own: OwnViews | None = None) -> list[View]:
    """All views of the trace, in the order of the page.

    Parameters
    ----------
    trace : Trace
    own : callable, optional
        Makes the views of the trace's kind of run; takes the plots that it draws out of those it gets, by path.

    Raises
    ------
    TraceError
        If a plot breaks the rules of NXdata or can't be read.
    """
    plots = {path: plot_group(trace, path) for path in trace.groups if is_plot(trace, path)}
    plots = {path: plot for path, plot in plots.items() if _has_data(plot, trace.complete)}
    made = list(own(trace, plots)) if own else []
    return [*_left(plots, over_epochs=True), *made, *_left(plots, over_epochs=False)]


def _has_data(plot: PlotGroup, complete: bool) -> bool:
    """Final arrays of a run that has not ended are empty, NaN or -1."""
    if 0 in plot.signal.array.shape:
        return False
    if complete or plot.signal.array.dims[0] == "epoch":
        return True
    values = plot.signal.array[...]
    return not bool(np.all(np.isnan(values) | (values == -1)))


def raster_view(key: str, heading: str, plot: PlotGroup, figures: dict) -> View:
    """View of scatter plots of events, with the membranes below them where a figure has any.

    Parameters
    ----------
    key, heading : str
        Of the view.
    plot : PlotGroup
        One of the plots, whose names and units hold for all.
    figures : dict
        By what is chosen.
    """
    time, neuron = (readable(axis.label) for axis in plot.axes)
    has_membrane = any(len(figure.children) > 1 for figure in figures.values())
    caption = (
        f"A point for each event, {neuron} over {time}; where there are too many for single points, the more opaque "
        f"the more events. Times are exact to {resolution(plot):.1g}. "
        + ("The cursor shows the membrane potential of the neuron under it; a click holds the cursor. " if has_membrane
           else "The cursor tells how many events there are; a click holds it. ")
    )  # fmt: skip
    meanings = plot.signal.flag_meanings
    legend = dict(zip(map(words, meanings), event_colours(plot.signal), strict=False)) if meanings else {}
    if any(name.startswith("delayed ") for name in legend):
        caption += "Hollow: the same spike when it comes out of its delay. "
        legend = {name: colour for name, colour in legend.items() if not name.startswith("delayed ")}
    controls = (
        Control("number", "neuron", neuron.capitalize()),
        Control("slider", "time", "Time of the cursor", 0, 1000, 500),
    )
    return View(
        key, heading, caption.strip(), figures, "Sample", controls, behaviour="raster", legend=legend, wide=True
    )


def _left(plots: dict[str, PlotGroup], over_epochs: bool) -> Iterator[View]:
    """A view for each plot, or for several of one folder that are drawn alike."""
    families: dict[tuple[str, ...], list[PlotGroup]] = {}
    for path in list(plots):
        plot = plots[path]
        if over_epochs and not (plot.kind == "curve" and plot.axes[0].name == "epoch"):
            continue
        folder = path.rpartition("/")[0]
        own = path if folder == RUN else ""
        families.setdefault((folder, own, plot.kind, *plot.signal.array.dims), []).append(plots.pop(path))
    for (folder, *_), members in families.items():
        yield _family(folder.rpartition("/")[2], members)


def _family(folder: str, members: list[PlotGroup]) -> View:
    first = members[0]
    key = first.path.removeprefix(f"{RUN}/").replace("/", "-").replace("_", "-")
    if first.kind == "scatter":
        return raster_view(key, readable(first.title), first, {readable(p.title): draw_raster(p) for p in members})
    figures = {_unique(plot, members): _DRAW[plot.kind](plot) for plot in members}
    heading = readable(first.title) if len(members) == 1 else words(folder).capitalize()
    controls: tuple[Control, ...] = ()
    if first.kind == "images":
        last = first.signal.array.shape[0]
        controls = (Control("slider", "frame", words(first.axes[0].label).capitalize(), 1, last, last),)
    behaviour = "frames" if controls else ""
    return View(key, heading, _caption(first, len(members)), figures, "Show", controls, behaviour)


def _unique(plot: PlotGroup, members: list[PlotGroup]) -> str:
    titles = [member.title for member in members]
    title = plot.title[:1].upper() + plot.title[1:]
    return readable(title if titles.count(plot.title) == 1 else f"{title} ({plot.path.rpartition('/')[2]})")


def _caption(plot: PlotGroup, members: int) -> str:
    axes = [readable(axis.label) for axis in plot.axes]
    signal = readable(plot.signal.label)
    if plot.kind == "curve":
        names = ", ".join(readable(curve.label) for curve in (plot.signal, *plot.auxiliary))
        return f"{names[0].upper()}{names[1:]}, over {axes[0]}."
    if plot.kind == "lines":
        return f"{signal[0].upper()}{signal[1:]} over {axes[1]}, a line for each {axes[0]}." + "".join(
            f" Dashed: {readable(curve.label)}." for curve in plot.auxiliary
        )
    if plot.kind == "images":
        return f"{signal[0].upper()}{signal[1:]}: {axes[1]} down, {axes[2]} across; the slider chooses the {axes[0]}."
    what = "The value" if members > 1 else f"{signal[0].upper()}{signal[1:]}"
    return f"{what} at each place: {axes[0]} down, {axes[1]} across."
