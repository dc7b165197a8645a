"""Picture of a characterised chip, drawn from its trace alone."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from neurohil.characterising.trace import (
    ALIKE,
    IN_USE,
    LIMIT,
    OFFSET_ACAUSAL,
    OFFSET_CAUSAL,
    RATIO,
    REAL_OFFSET_STD,
    spread_path,
    value_path,
)
from neurohil.pictures import COLOURS, FAINT, headline, new_figure, own_style, save
from neurohil.protocols import Floats
from neurohil.targets.chip_bench import QUANTITIES, REAL_NAMES, UNITS
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

BINS = 24
REAL_COLOUR = "#CCBB88"
TITLES = {
    "leak": "Leak potential",
    "reset": "Reset potential",
    "threshold": "Threshold potential",
    "tau_mem": "Membrane",
    "tau_syn_exc": "Excitatory input",
    "tau_syn_inh": "Inhibitory input",
    "gain_exc": "Excitatory gain",
    "gain_inh": "Inhibitory gain",
}


def draw_characterise(trace_path: str | Path, png_path: str | Path) -> None:
    """Draw how each quantity is distributed over the circuits, beside what real chips would have at equal codes.

    Parameters
    ----------
    trace_path : str or path
        Complete trace with the layout of `characterise_layout`.
    png_path : str or path
        Picture to write, 1800 x 1400 pixels.

    Raises
    ------
    TraceError
        If the trace can't be read or its run has not come to its end.
    """
    with Trace(trace_path) as trace, own_style():
        if not trace.complete:
            raise TraceError(f"{trace.path} is of a run that has not come to its end; run it again, then draw it")
        figure = new_figure(9, 7)
        grid = figure.add_gridspec(3, 3, left=0.045, right=0.975, top=0.77, bottom=0.045, hspace=0.66, wspace=0.12)
        is_calibrated = value_path("leak", ALIKE) in trace.paths
        for k in range(len(QUANTITIES)):
            _draw_quantity(figure.add_subplot(grid[k // 3, k % 3]), trace, k, is_calibrated)
        _draw_offsets(figure.add_subplot(grid[2, 2]), trace)
        config = tomllib.loads(trace.config)
        target = config["target"]
        origin = f"emulated chip {target['preset']}, serial {target['serial']}, seed {config['seed']}"
        size = trace[value_path("leak")].size
        headline(figure, trace.title, f"{size} circuits", config["summary"], origin)
        _draw_legend(figure, is_calibrated)
        save(figure, png_path)


def _draw_quantity(axes: Any, trace: Trace, k: int, is_calibrated: bool) -> None:
    name = QUANTITIES[k]
    before = trace[value_path(name, ALIKE if is_calibrated else IN_USE)]
    before = before[np.isfinite(before)]
    is_potential = UNITS[name] == "LSB"
    real = np.array([[trace[spread_path(which, chip)][k] for which in ("within", "between")] for chip in REAL_NAMES])
    if not before.size:
        _dress(axes, TITLES[name], [])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=FAINT)
        return
    middle = float(np.median(before))
    _draw_real(axes, middle, np.hypot(*real.T), is_potential)
    _draw_outline(axes, before, COLOURS[0])
    if is_calibrated:
        after = trace[value_path(name)]
        _draw_outline(axes, after[np.isfinite(after)], COLOURS[1])
    text = "{:.1f}" if is_potential else "{:.1%}"
    own = trace[spread_path("within", ALIKE if is_calibrated else IN_USE)][k]
    low, high = text.format(real[:, 0].min()), text.format(real[:, 0].max())
    assumed = "*" if is_potential else ""
    told = [f"in blocks {text.format(own)}, real {low}\N{EN DASH}{high}{assumed}"]
    if is_calibrated and np.isfinite(trace[LIMIT][k]):
        told.append(f"calibrated \N{MULTIPLICATION SIGN} {trace[RATIO][k]:.2f}, accepted below {trace[LIMIT][k]:.2f}")
    unit = UNITS[name].replace("us", "\N{MICRO SIGN}s")
    _dress(axes, f"{TITLES[name]} ({unit})", told)


def _draw_offsets(axes: Any, trace: Trace) -> None:
    offsets = np.concatenate([trace[OFFSET_CAUSAL], trace[OFFSET_ACAUSAL]])
    real = trace[REAL_OFFSET_STD]
    _draw_real(axes, 0.0, real, True)
    _draw_outline(axes, offsets, COLOURS[0])
    told = f"of all channels {offsets.std():.1f}, real {real.min():.1f}\N{EN DASH}{real.max():.1f}"
    _dress(axes, "Offsets of the CADC (LSB)", [told])


def _draw_real(axes: Any, middle: float, spreads: Floats, is_normal: bool) -> None:
    """The ground between the normal (else lognormal) distributions of the spreads of the real chips."""
    steps = np.linspace(-3.5, 3.5, 201) * float(spreads.max())
    bells = np.exp(-0.5 * (steps / spreads[:, None]) ** 2)
    x = middle + steps if is_normal else middle * np.exp(steps)
    axes.fill_between(x, bells.min(axis=0), bells.max(axis=0), color=REAL_COLOUR, alpha=0.55, linewidth=0)
    axes.plot(x, bells.mean(axis=0), color=REAL_COLOUR, linewidth=0.8)


def _draw_outline(axes: Any, values: Floats, colour: str) -> None:
    """A histogram with the fullest bin at 1, as wide as the values are."""
    if not values.size:
        return
    counts, edges = np.histogram(values, BINS if values.size > 100 else 8)
    axes.stairs(counts / counts.max(), edges, color=colour, linewidth=1.3)


def _draw_legend(figure: Any, is_calibrated: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = ["this chip, same codes in all circuits", *(["calibrated"] * is_calibrated)]
    handles: list[Any] = [Line2D([], [], color=colour, linewidth=1.3) for colour in COLOURS[: len(names)]]
    handles.append(Patch(color=REAL_COLOUR, alpha=0.55, linewidth=0))
    names.append(f"real chips {' and '.join(REAL_NAMES)} at equal codes, by their calibration (*: slope assumed)")
    figure.legend(handles, names, loc="upper left", bbox_to_anchor=(0.022, 0.885), ncols=3, columnspacing=1.5)


def _dress(axes: Any, title: str, told: list[str]) -> None:
    """Title, and below it what the spreads are."""
    axes.set_title(title, pad=5 + 10 * len(told))
    axes.text(0.0, 1.03, "\n".join(told), transform=axes.transAxes, size=7, color=FAINT, va="bottom", linespacing=1.3)
    axes.set(ylim=(0.0, 1.08), yticks=[])
    axes.spines["left"].set_visible(False)
