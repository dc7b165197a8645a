"""Pictures of the crossbar's measurements, each drawn from its trace alone."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurohil.pictures import COLOUR_MAP, COLOURS, FAINT, GRID, headline, new_figure, own_style, save
from neurohil.probing.trace import (
    AT_ONCE,
    CELL_LOSS,
    COLUMN_VOLTAGE,
    CYCLES,
    ERROR_AGE,
    FAILED,
    HALF_FAILED_CYCLES,
    LAW,
    LIFETIME,
    LOSS,
    MEAN_ERROR,
    MEAN_ERROR_MODEL,
    MOMENTS,
    NOT_VERIFIED,
    OUTSIDE_AGE,
    PERCENTILE_95,
    PULSES_AXIS,
    READ_SIGMA,
    READ_SIGMA_MODEL,
    READ_TARGET,
    RMS,
    ROW_VOLTAGE,
    SEGMENT,
    SIGMA,
    SIGMA_MODEL,
    SIZE,
    SPREAD_AGE,
    SPREAD_TARGET,
    STATE,
    STATES,
    TOLERANCE,
    VERIFIED_SHARE,
    WAITED,
    WHOLE_LOSS,
    WORN,
    WRITTEN,
    by_level_path,
    conductance_path,
    histogram_path,
    pulse_counts_path,
)
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

STATE_COLOURS = ("#DDDDDD", "#882255", "#332288", "#999933")


def draw_program(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw a programmed array: level histograms at three moments, conductances, pulses, failures.

    Parameters
    ----------
    trace_path : str or path
        Complete trace with the layout of `program_layout`.
    png_path : str or path
        Picture to write, 1600 x 1200 pixels.

    Raises
    ------
    TraceError
        If the trace can't be read or its run has not come to its end.
    """
    _draw(trace_path, png_path, _program)


def draw_characterise(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw spread, shift and read noise over the levels against the device model, and who drifts out of tolerance.

    Parameters and errors as for `draw_program`; the layout is that of `characterise_layout`.
    """
    _draw(trace_path, png_path, _characterise)


def draw_age(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw failures over cycles, and errors over time.

    Parameters and errors as for `draw_program`; the layout is that of `age_layout`.
    """
    _draw(trace_path, png_path, _age)


def draw_ir_drop(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw the voltages on an array, and the loss over its size and the resistance of its wires.

    Parameters and errors as for `draw_program`; the layout is that of `ir_drop_layout`.
    """
    _draw(trace_path, png_path, _ir_drop)


def _draw(trace_path: str | Path, png_path: str | Path, panels: Callable[[Any, Trace], str]) -> None:
    """Headline, then the panels; `panels` returns what stands on the right of the headline."""
    with Trace(trace_path) as trace, own_style():
        if not trace.complete:
            raise TraceError(f"{trace.path} is of a run that has not come to its end; run it again, then draw it")
        figure = new_figure(8, 6)
        finding = panels(figure, trace)
        config = tomllib.loads(trace.config)
        target = config["target"]
        devices = target.get("table", target["preset"])
        origin = f"devices: {devices}, serial {target['serial']}, seed {config['seed']}"
        headline(figure, trace.title, finding, config["summary"], origin)
        save(figure, png_path)


def _grid(figure: Any) -> Any:
    return figure.add_gridspec(2, 2, left=0.09, right=0.955, top=0.835, bottom=0.085, hspace=0.38, wspace=0.28)


def _program(figure: Any, trace: Trace) -> str:
    grid = _grid(figure)
    _draw_histograms(figure, grid[0, 0].subgridspec(3, 1, hspace=0.28), trace)
    _draw_map(_map_axes(figure, grid[0, 1]), trace, conductance_path(WRITTEN))
    _draw_pulses(figure.add_subplot(grid[1, 0]), trace)
    _draw_states(_map_axes(figure, grid[1, 1]), trace)
    return f"{100 * float(trace[VERIFIED_SHARE]):.1f} % verified"


def _draw_histograms(figure: Any, rows: Any, trace: Trace) -> None:
    """Stacked by level. Cells at 0 and stuck cells would dwarf all others, so the axis ends below them."""
    from matplotlib import colormaps

    centre = trace[by_level_path(WRITTEN, "conductance")]
    width = centre[1] - centre[0]
    counts = {m: trace[by_level_path(m)] for m in MOMENTS}
    away_from_0 = slice(3, None)
    top = 1.6 * max(1, *(counts[m].sum(axis=0)[away_from_0].max() for m in MOMENTS[:2]))
    n_levels = len(counts[MOMENTS[0]])
    colours = colormaps[COLOUR_MAP](np.linspace(0.05, 0.92, n_levels))
    edges = np.append(centre - width / 2, centre[-1] + width / 2)
    for k, moment in enumerate(MOMENTS):
        axes = figure.add_subplot(rows[k])
        stacked = np.cumsum(counts[moment], axis=0)
        for level in range(n_levels):
            below = stacked[level] - counts[moment][level]
            axes.stairs(stacked[level], edges, baseline=below, fill=True, color=colours[level], linewidth=0)
        label = str(trace.attributes(histogram_path(moment))["long_name"]).partition(", ")[2]
        axes.text(0.5, 0.97, label, transform=axes.transAxes, ha="center", va="top", size=8)
        axes.set(xlim=(centre[0] - width, centre[-1] + width), ylim=(0, top))
        axes.locator_params(axis="y", nbins=3)
        if k == 0:
            axes.set_title("Conductances, coloured by level")
        if k == 1:
            axes.set_ylabel("cells")
        if k < 2:
            axes.tick_params(labelbottom=False)
    axes.set_xlabel("conductance (\N{MICRO SIGN}S)")
    state, worn = trace[STATE], trace[conductance_path(WORN)]
    for name, side in (("stuck_on", "right"), ("stuck_off", "left")):
        stuck = worn[state == STATES.index(name)]
        if stuck.size:
            gap = {"left": 2 * width, "right": -2 * width}[side]
            label = f"{name.replace('_', ' ')}: {stuck.size}"
            axes.text(np.median(stuck) + gap, 0.5 * top, label, ha=side, va="center", size=8, color=FAINT)


def _draw_map(axes: Any, trace: Trace, path: str, title: str = "", log: bool = False) -> None:
    from matplotlib.colors import LogNorm

    values = np.ma.masked_invalid(trace[path])  # the lifetime of what never wears is infinite
    norm = LogNorm() if log and values.count() else None
    image = axes.imshow(values, cmap=COLOUR_MAP, interpolation="nearest", norm=norm)
    label = _label(trace, path)
    _dress_map(axes, title or label[0].upper() + label[1:])
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.04, 0.0, 0.05, 1.0)))
    bar.outline.set_visible(False)


def _map_axes(figure: Any, place: Any) -> Any:
    """The left part of a place: on its right there is room for a colour bar or a legend."""
    return figure.add_subplot(place.subgridspec(1, 2, width_ratios=(4, 1))[0])


def _dress_map(axes: Any, title: str) -> None:
    axes.set(title=title, xlabel="column", ylabel="row", anchor="NW")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_pulses(axes: Any, trace: Trace) -> None:
    number, first, worn = map(trace.__getitem__, (PULSES_AXIS, pulse_counts_path(WRITTEN), pulse_counts_path(WORN)))
    again = str(trace.attributes(pulse_counts_path(WORN))["long_name"]).partition(", ")[2]
    axes.bar(number, first, 0.9, color=COLOURS[0], linewidth=0, label="first write")
    axes.step(number, worn, where="mid", color=COLOURS[1], linewidth=1.2, label=f"write {again}")
    axes.set(title="Pulses to program a cell", xlabel="SET and RESET pulses", ylabel="cells", yscale="log")
    axes.set_ylim(0.7, 5.0 * max(first.max(), worn.max()))
    axes.set_xlim(0.0, number[-1] + 1.0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right")


def _draw_states(axes: Any, trace: Trace) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    state = trace[STATE]
    when = str(trace.attributes(STATE)["long_name"]).removeprefix("state ")
    axes.imshow(state, cmap=ListedColormap(STATE_COLOURS), vmin=-0.5, vmax=len(STATES) - 0.5, interpolation="nearest")
    share = np.bincount(state.ravel(), minlength=len(STATES)) / state.size
    shown = [k for k in range(len(STATES)) if share[k] > 0.0]
    names = [f"{STATES[k].replace('_', ' ')}\n{100 * share[k]:.1f} %" for k in shown]
    handles = [Patch(color=STATE_COLOURS[k]) for k in shown]
    axes.legend(handles, names, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.0, borderaxespad=0.3)
    _dress_map(axes, f"Failures {when}")


def _characterise(figure: Any, trace: Trace) -> str:
    grid = _grid(figure)
    age = trace[SPREAD_AGE]
    target = trace[SPREAD_TARGET]
    for column, (path, model_path) in enumerate(((SIGMA, SIGMA_MODEL), (MEAN_ERROR, MEAN_ERROR_MODEL))):
        axes = figure.add_subplot(grid[0, column])
        measured, model = trace[path], trace[model_path]
        for k, seconds in enumerate(age):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(target, measured[k], "o", color=colour, markersize=3.5, label=_duration(seconds))
            axes.plot(target, model[k], color=colour, linewidth=1)
        label = str(trace.attributes(path)["long_name"]).partition(",")[0]
        axes.set(title=f"{label.capitalize()} (dots: array, line: model)", xlabel=_label(trace, SPREAD_TARGET))
        axes.set_ylabel("\N{MICRO SIGN}S")
        axes.margins(y=0.1)
        axes.set_ylim(top=axes.get_ylim()[1] + 0.35 * np.ptp(axes.get_ylim()))
        axes.legend(loc="upper right", ncols=min(3, len(age)), columnspacing=1.0, handletextpad=0.1)
    axes = figure.add_subplot(grid[1, 0])
    axes.plot(target, trace[READ_SIGMA], "o", color=COLOURS[0], markersize=3.5, label="array")
    axes.plot(target, trace[READ_SIGMA_MODEL], color=COLOURS[1], linewidth=1, label="model")
    axes.set(title="Spread of a read", xlabel=_label(trace, READ_TARGET), ylabel="\N{MICRO SIGN}S")
    axes.set_ylim(0.0, 1.5 * axes.get_ylim()[1])
    axes.legend(loc="upper right")
    axes = figure.add_subplot(grid[1, 1])
    _draw_curves(axes, trace, (AT_ONCE, WAITED), OUTSIDE_AGE, 100.0)
    axes.set(title="Cells outside the tolerance", xlabel="time since the last verification (s)", ylabel="%")
    return f"tolerance {float(trace[TOLERANCE]):g} \N{MICRO SIGN}S"


def _age(figure: Any, trace: Trace) -> str:
    grid = _grid(figure)
    axes = figure.add_subplot(grid[0, :])
    _draw_curves(axes, trace, (FAILED, LAW, NOT_VERIFIED), CYCLES, 100.0)
    axes.set(title="Failures", xlabel="programming cycles", ylabel="% of the cells")
    axes = figure.add_subplot(grid[1, 0])
    _draw_curves(axes, trace, (RMS, PERCENTILE_95), ERROR_AGE, 1.0)
    axes.set(title="Errors over time", xlabel=_label(trace, ERROR_AGE), ylabel="\N{MICRO SIGN}S")
    _draw_map(_map_axes(figure, grid[1, 1]), trace, LIFETIME, "Lifetimes in cycles", log=True)
    half = float(trace[HALF_FAILED_CYCLES])
    return "" if np.isnan(half) else f"half have failed after {half:.2g} cycles".replace("e+0", "e")


def _draw_curves(axes: Any, trace: Trace, paths: Sequence[str], axis: str, scale: float) -> None:
    """Curves of one plot over its logarithmic axis."""
    x = trace[axis]
    for k, path in enumerate(paths):
        label = str(trace.attributes(path)["long_name"]).removesuffix(" (uS)")
        style = "o-" if k == 0 else ("-", "--", ":")[(k - 1) % 3]
        y = scale * trace[path]
        axes.plot(x, y, style, color=COLOURS[k % len(COLOURS)], markersize=3, linewidth=1.1, label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.legend(loc="best")


def _ir_drop(figure: Any, trace: Trace) -> str:
    from matplotlib import colormaps

    grid = _grid(figure)
    for place, path in ((grid[0, 0], ROW_VOLTAGE), (grid[0, 1], COLUMN_VOLTAGE), (grid[1, 0], CELL_LOSS)):
        _draw_map(_map_axes(figure, place), trace, path)
    axes = figure.add_subplot(grid[1, 1])
    size, ohm, loss = map(trace.__getitem__, (SIZE, SEGMENT, LOSS))
    colours = colormaps[COLOUR_MAP](np.linspace(0.05, 0.85, len(ohm)))
    for k, resistance in enumerate(ohm):
        axes.plot(size, 100.0 * loss[k], "o-", color=colours[k], markersize=3, linewidth=1.1, label=f"{resistance:g}")
    axes.set(title="Current lost in the wires", xlabel=_label(trace, SIZE), ylabel="%", xscale="log")
    axes.set_xticks(size, [str(n) for n in size])
    axes.minorticks_off()
    axes.set_ylim(0.0, 100.0)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.legend(loc="upper left", title="\N{GREEK CAPITAL LETTER OMEGA} per segment", title_fontsize=8)
    return f"{100 * float(trace[WHOLE_LOSS]):.1f} % of the current lost"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _label(trace: Trace, path: str) -> str:
    return str(trace.attributes(path)["long_name"]).replace("(uS)", "(\N{MICRO SIGN}S)")
