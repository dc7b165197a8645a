"""How the figures of the page look. Text, axes and grids are coloured by report.css, data by the colours here.

Every colour of a curve or class stands out from the page's light and from its dark background (contrast of 3:1 or
more, as WCAG 2.2 asks of graphics), and no two that are seen together differ in red against green alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.pictures import load_matplotlib

BACKGROUNDS = ("#ffffff", "#16181d")  # light, dark: as in report.css
CLASS_COLOURS = ("#3f7fc4", "#b07d00", "#c9486f")
CLASS_MARKERS = ("circle", "square", "triangle")
CURVE_COLOURS = ("#3f7fc4", "#c9486f", "#1b8a6b", "#9a6fd0", "#b07d00", "#7a7f87")
DASHES = ("solid", "dashed", "dotted", "dotdash")
NEUTRAL = "#7a7f87"

HEIGHT = 300


def new_figure(
    label: str, x_label: str, y_label: str, x_range: Sequence[float], y_range: Sequence[float], **options: Any
) -> Any:
    """Empty figure that fills the width of its place. Drag zooms, Ctrl and wheel zooms, both undone by reset."""
    from bokeh.models import BoxZoomTool, PanTool, Range1d, ResetTool, SaveTool, WheelZoomTool
    from bokeh.plotting import figure

    options = {"height": HEIGHT, "sizing_mode": "stretch_width"} | options
    box = BoxZoomTool()
    plot = figure(
        x_axis_label=x_label,
        y_axis_label=y_label,
        x_range=x_range if isinstance(x_range, Range1d) else Range1d(*map(float, x_range)),
        y_range=Range1d(*map(float, y_range)),
        tools=[box, PanTool(), WheelZoomTool(modifiers="ctrl"), ResetTool(), SaveTool(filename=label)],
        active_drag=box,
        min_border_right=16,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    plot.xaxis.axis_label_text_font_style = plot.yaxis.axis_label_text_font_style = "normal"
    return plot


def hover(renderers: Sequence[Any], *lines: tuple[str, str], **options: Any) -> Any:
    """Tool that shows the values under the pointer."""
    from bokeh.models import HoverTool

    return HoverTool(renderers=list(renderers), tooltips=list(lines), **options)


def span(values: NDArray, margin: float = 0.04) -> tuple[float, float]:
    """Range that shows all finite values, with a margin on both sides."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = margin * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def palette(n: int) -> list[str]:
    """Colours for `n` ordered things, all as light as those of the curves."""
    load_matplotlib()
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("ramp", [CURVE_COLOURS[k] for k in (0, 3, 1, 4)])
    return [to_hex(colour) for colour in ramp(np.linspace(0.0, 1.0, n))]


def class_colours(n: int) -> list[str]:
    """Colours for `n` classes."""
    return [*CLASS_COLOURS[:n]] if n <= len(CLASS_COLOURS) else palette(n)


def readable(label: str) -> str:
    """A label with its units as people write them."""
    return label.replace("(uS", "(\N{MICRO SIGN}S").replace("(us)", "(\N{MICRO SIGN}s)").replace("tau_s", "τₛ")


def words(name: str) -> str:
    """What an identifier says."""
    return name.replace("_", " ")
