"""Heat maps: what stands at each place of an array, once or after every epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.pictures import load_matplotlib
from neurohil.trace.nxdata import PlotGroup, Variable
from neurohil.trace.report.style import CURVE_COLOURS, HEIGHT, NEUTRAL, hover, new_figure, readable, words

_MOST_NUMBERS = 12  # rows and columns of a map whose numbers are written into it


def draw_map(plot: PlotGroup) -> Any:
    """Figure of a 2-D signal, with its values under the pointer."""
    values = plot.signal.array[...]
    return _map(plot, values, plot.axes, numbers=max(values.shape) <= _MOST_NUMBERS and values.dtype.kind in "iu")


def draw_frames(plot: PlotGroup) -> Any:
    """Figure of the last of the 2-D frames of a 3-D signal; report.js shows the others from its source `frames`."""
    from bokeh.models import ColumnDataSource

    frames = plot.signal.array[...].astype(np.float32)
    figure = _map(plot, frames[-1], plot.axes[1:], extremes=frames)
    source = ColumnDataSource({"values": list(frames.reshape(len(frames), -1))}, name="frames")
    figure.tags = [source]
    return figure


def _map(
    plot: PlotGroup,
    values: NDArray,
    axes: tuple[Variable, ...],
    extremes: NDArray | None = None,
    numbers: bool = False,
) -> Any:
    from bokeh.models import ColorBar

    down, across = (axis.array[...].astype(float) for axis in axes)
    (y0, dh), (x0, dw) = _edges(down), _edges(across)
    from_top = np.all(np.diff(down) == 1)  # rows of an array count downwards, other axes upwards
    y_range = (y0 + dh, y0) if from_top else (y0, y0 + dh)
    figure = new_figure(
        plot.path.rpartition("/")[2],
        readable(axes[1].label),
        readable(axes[0].label),
        (x0, x0 + dw),
        y_range,
        height=HEIGHT + 60,
    )
    figure.grid.visible = False
    for drawn_axis, axis in ((figure.xaxis, axes[1]), (figure.yaxis, axes[0])):
        if axis.array.dtype.kind in "iu":
            drawn_axis.ticker.min_interval = 1
    shown = values.astype(np.float32)
    mapper = _mapper(shown if extremes is None else extremes, plot.signal.flag_meanings)
    image = figure.image(image=[shown], x=x0, y=y0, dw=dw, dh=dh, color_mapper=mapper, name="map", anchor="bottom_left")
    tips = [(readable(axes[0].label), "$y{0}"), (readable(axes[1].label), "$x{0}")]
    figure.add_tools(hover([image], *tips, (readable(plot.signal.label), "@image{0.####}")))
    if plot.signal.flag_meanings:
        codes = list(range(len(plot.signal.flag_meanings)))
        names = {code: words(name) for code, name in zip(codes, plot.signal.flag_meanings, strict=True)}
        from bokeh.models import FixedTicker

        bar = ColorBar(color_mapper=mapper, ticker=FixedTicker(ticks=codes), major_label_overrides=names, width=12)
    else:
        bar = ColorBar(color_mapper=mapper, width=12)
    bar.background_fill_color = None
    figure.add_layout(bar, "right")
    if numbers:
        _write_numbers(figure, values, down, across)
    return figure


def _edges(centres: NDArray) -> tuple[float, float]:
    """Lower edge and extent of cells around their centres."""
    step = float(centres[1] - centres[0]) if centres.size > 1 else 1.0
    return float(centres[0]) - step / 2, step * centres.size


def _mapper(values: NDArray, meanings: tuple[str, ...]) -> Any:
    """Codes by name; numbers of both signs around 0; else from dark to light, by decades where they span many."""
    from bokeh.models import LinearColorMapper, LogColorMapper
    from bokeh.palettes import Cividis256, diverging_palette

    if meanings:
        colours = [NEUTRAL, *(CURVE_COLOURS[k % len(CURVE_COLOURS)] for k in range(len(meanings) - 1))]
        return LinearColorMapper(colours, low=-0.5, high=len(meanings) - 0.5, nan_color=(0, 0, 0, 0))
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high:
        top = max(-low, high)
        blue, red = _shades("#2f6db5"), _shades("#b5375f")
        return LinearColorMapper(diverging_palette(blue, red, 255), low=-top, high=top, nan_color=(0, 0, 0, 0))
    kind = LogColorMapper if low > 0 and high > 1000 * low else LinearColorMapper
    return kind(Cividis256, low=low, high=high if high > low else low + 1.0, nan_color=(0, 0, 0, 0))


def _shades(colour: str) -> tuple[str, ...]:
    """From a colour to white."""
    load_matplotlib()
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("shades", [colour, "#ffffff"])
    return tuple(to_hex(shade) for shade in ramp(np.linspace(0.0, 1.0, 256)))


def _write_numbers(figure: Any, values: NDArray, down: NDArray, across: NDArray) -> None:
    x, y = np.meshgrid(across, down)
    light = values > (values.min() + values.max()) / 2
    figure.text(
        x=x.ravel(),
        y=y.ravel(),
        text=[str(value) for value in values.ravel()],
        text_color=["#111111" if bright else "#ffffff" for bright in light.ravel()],
        text_font_size="11px",
        text_align="center",
        text_baseline="middle",
    )
