"""Drawing any plot of a trace with matplotlib: to a file, or in a window."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.files import has_mark, replacing
from neurohil.pictures import CLASS_COLOURS, COLOUR_MAP, COLOURS, SILENT_COLOUR, load_matplotlib, own_style
from neurohil.trace.nxdata import PlotGroup, Variable
from neurohil.trace.reader import StoredArray
from neurohil.trace.schema import EPOCH, TraceError

FORMATS = (".png", ".svg")
MARK = "neurohil trace plot"
"""What these pictures say of the software that drew them; they alone are replaced."""

_MOST_PIXELS = 2000  # rows, or columns, of an image
_MOST_LINES = 100
_MOST_NAMED = 6  # lines with a name each in the legend; more are told apart by a colour scale
_MOST_POINTS = 200_000  # of a line
_MOST_MARKED = 20_000  # events that are drawn as discs, not pixels


def save(plot: PlotGroup, out: str | Path, epoch: int | None = None) -> Path:
    """Draw a plot into a file, PNG or SVG by its name.

    Parameters
    ----------
    plot : PlotGroup
    out : str or path
    epoch : int, optional
        Of a plot that grows: which epoch, from 1; the last one if not given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TraceError
        If the plot can't be read or has no such epoch, or the file can't be written.
    UserError
        Something stands there that is no picture of this kind; it stays.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise TraceError(f"{out} has the ending {out.suffix!r}; choose {' or '.join(FORMATS)}")
    kind = out.suffix.lower()[1:]
    # Neither version nor time goes into the file, so that equal traces give equal pictures.
    metadata = {"Software": MARK} if kind == "png" else {"Date": None, "Creator": MARK}
    with own_style(**{"svg.hashsalt": "neurohil", "svg.fonttype": "none"}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), dpi=200, layout="constrained")
        draw(plot, figure.add_subplot(), epoch)
        try:
            with replacing(out, lambda there: has_mark(there, MARK)) as unfinished:
                figure.savefig(unfinished, format=kind, metadata=metadata)
        except OSError as error:
            raise TraceError(f"{out} can't be written ({error.strerror}); choose another file") from error
    return out


def has_window() -> bool:
    """Whether matplotlib can open a window here.

    Raises
    ------
    TraceError
        If the environment variable MPLBACKEND names a drawing backend that isn't installed here.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    matplotlib = load_matplotlib()
    from matplotlib.backends import BackendFilter, backend_registry

    named = os.environ.get("MPLBACKEND")
    if named and not backend_registry.is_valid_backend(named):
        raise TraceError(
            f"MPLBACKEND = {named!r} is no drawing backend that is installed here; unset it, or draw into a file: "
            "--out FILE"
        )
    return matplotlib.get_backend().lower() in map(str.lower, backend_registry.list_builtin(BackendFilter.INTERACTIVE))


def show(plot: PlotGroup, epoch: int | None = None) -> None:
    """Draw a plot in a window, and wait until it is closed.

    Raises
    ------
    TraceError
        As `draw`; also if no window can be opened.
    """
    with own_style():
        try:
            import matplotlib.pyplot

            figure = matplotlib.pyplot.figure(figsize=(9, 6), layout="constrained")
        except Exception as error:  # each backend has its own
            why = " ".join(str(error).split())
            raise TraceError(f"no window can be opened ({why}); draw into a file: --out FILE") from error
        draw(plot, figure.add_subplot(), epoch)
        matplotlib.pyplot.show()


def draw(plot: PlotGroup, axes: Any, epoch: int | None = None) -> None:
    """Draw a plot on matplotlib axes.

    Raises
    ------
    TraceError
        If it can't be read, is not written yet, or has no such epoch.
    """
    {"curve": _curve, "lines": _lines, "image": _image, "images": _image, "scatter": _scatter}[plot.kind](
        plot, axes, epoch
    )
    if plot.log_x:
        axes.set_xscale("log")


def chosen_epoch(plot: PlotGroup, epoch: int | None) -> int | None:
    """Index of the epoch that is drawn, or None if the plot shows all of them at once.

    Raises
    ------
    TraceError
        If there is no such epoch, or the plot is none of single epochs.
    """
    dims = plot.signal.array.dims
    if plot.kind != "images" and epoch is None:
        return None
    if EPOCH not in dims or len(dims) < 2:
        raise TraceError(f"{plot.path} has nothing for a single epoch; drop --epoch")
    finished = plot.signal.array.shape[dims.index(EPOCH)]
    if finished == 0:
        raise TraceError(f"{plot.path} has no finished epoch yet; draw it later")
    if epoch is not None and not 1 <= epoch <= finished:
        raise TraceError(f"--epoch {epoch} is none of the epochs 1..{finished} of {plot.path}")
    return (epoch or finished) - 1


def at_epoch(plot: PlotGroup, epoch: int | None) -> tuple[StoredArray | NDArray, list[Variable], str]:
    """The signal, its axes and title, at one epoch if one is drawn.

    Raises
    ------
    TraceError
        As `chosen_epoch`; also if the signal is not written yet.
    """
    signal, axes = plot.signal.array, list(plot.axes)
    index = chosen_epoch(plot, epoch)
    if index is None:
        _refuse_unwritten(plot)
        return signal, axes, plot.title
    along = signal.dims.index(EPOCH)
    del axes[along]
    selection = (slice(None),) * along + (index,)
    return signal[selection], axes, f"{plot.title}, epoch {index + 1}"


def thinned(array: StoredArray | NDArray, most: tuple[int, ...]) -> tuple[NDArray, tuple[int, ...]]:
    """The array with every so many-th element along each dimension, so that at most so many remain; and those steps."""
    steps = tuple(-(-size // limit) or 1 for size, limit in zip(array.shape, most, strict=True))
    return np.asarray(array[tuple(slice(None, None, step) for step in steps)]), steps


def is_downwards(axis: NDArray) -> bool:
    """Whether an image's vertical axis counts from the top: that of rows does, that of a coordinate does not."""
    return axis.dtype.kind in "iu"


def _refuse_unwritten(plot: PlotGroup) -> None:
    """Before the end of its run, an array that doesn't grow is empty, or its axes are not numbers yet."""
    signal = plot.signal.array
    if 0 in signal.shape or any(axis.array.dtype.kind == "f" and np.isnan(axis.array[0]) for axis in plot.axes):
        raise TraceError(f"{plot.path} holds nothing yet; it is written as the run goes on, or when it ends")


def _curve(plot: PlotGroup, axes: Any, epoch: int | None) -> None:
    signal, (x_axis,), title = at_epoch(plot, epoch)
    x = x_axis.array[...]
    marker = "." if x.size < 40 else ""
    axes.plot(x, signal[...], color=_colour(0), marker=marker, linewidth=1.2, label=plot.signal.label)
    for k, other in enumerate(plot.auxiliary):
        axes.plot(x, other.array[...], color=_colour(k + 1), marker=marker, linewidth=1.2, label=other.label)
    if plot.auxiliary:
        axes.legend()
    axes.set(title=title, xlabel=x_axis.label, ylabel=plot.signal.label if not plot.auxiliary else "")
    _count_in_integers(axes.xaxis, x)


def _lines(plot: PlotGroup, axes: Any, epoch: int | None) -> None:
    signal, rest, title = at_epoch(plot, epoch)
    if len(rest) == 1:
        axes.plot(rest[0].array[...], signal, ".-", color=_colour(0), linewidth=1)
        axes.set(title=title, xlabel=rest[0].label, ylabel=plot.signal.label)
        return
    lines, (every, step) = thinned(signal, (_MOST_LINES, _MOST_POINTS))
    number, x = rest[0].array[::every], rest[1].array[::step]
    if len(lines) <= _MOST_NAMED:
        for k, line in enumerate(lines):
            axes.plot(x, line, color=_colour(k), linewidth=1, label=f"{number[k]:g}")
        axes.legend(title=rest[0].label)
    else:
        _coloured_lines(axes, x, lines, number, rest[0].label)
    note = f", every {every}th {rest[0].name}" if every > 1 else ""
    axes.set(title=title + note, xlabel=rest[1].label, ylabel=plot.signal.label)
    _count_in_integers(axes.xaxis, x)


def _coloured_lines(axes: Any, x: NDArray, lines: NDArray, number: NDArray, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(float(np.nanmin(number)), float(np.nanmax(number))), COLOUR_MAP)
    for line, colour in zip(lines, colours.to_rgba(number), strict=True):
        axes.plot(x, line, color=colour, linewidth=0.8)
    axes.figure.colorbar(colours, ax=axes, label=label)


def _image(plot: PlotGroup, axes: Any, epoch: int | None) -> None:
    signal, (y_axis, x_axis), title = at_epoch(plot, epoch)
    image, (row, column) = thinned(signal, (_MOST_PIXELS, _MOST_PIXELS))
    y, x = y_axis.array[::row], x_axis.array[::column]
    meanings = plot.signal.flag_meanings
    if meanings:
        _coded_image(axes, x, y, image, meanings)
    else:
        mesh = axes.pcolormesh(_edges(x), _edges(y), image, cmap=COLOUR_MAP, rasterized=True)
        axes.figure.colorbar(mesh, ax=axes, label=plot.signal.label)
    if is_downwards(y):
        axes.invert_yaxis()
    axes.set(title=title, xlabel=x_axis.label, ylabel=y_axis.label)
    _count_in_integers(axes.xaxis, x)
    _count_in_integers(axes.yaxis, y)


def _coded_image(axes: Any, x: NDArray, y: NDArray, image: NDArray, meanings: tuple[str, ...]) -> None:
    """A colour for each code, the darkest one for -1, which is none of them."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colours = ListedColormap([SILENT_COLOUR, *(_colour(k) for k in range(len(meanings)))])
    norm = BoundaryNorm(np.arange(-1.5, len(meanings)), colours.N)
    mesh = axes.pcolormesh(_edges(x), _edges(y), image, cmap=colours, norm=norm, rasterized=True)
    bar = axes.figure.colorbar(mesh, ax=axes, ticks=np.arange(-1, len(meanings)))
    bar.ax.set_yticklabels(["none", *(meaning.replace("_", " ") for meaning in meanings)])


def _count_in_integers(axis: Any, values: NDArray) -> None:
    if values.dtype.kind in "iu":
        axis.get_major_locator().set_params(integer=True)


def _scatter(plot: PlotGroup, axes: Any, epoch: int | None) -> None:
    signal, (x_axis, y_axis), title = at_epoch(plot, epoch)
    x, y, value = x_axis.array[...], y_axis.array[...], signal[...]
    marker, size = (".", 4) if x.size <= _MOST_MARKED else (",", 1)
    style: Any = {"linestyle": "", "marker": marker, "markersize": size, "rasterized": x.size > _MOST_MARKED}
    meanings = plot.signal.flag_meanings
    if meanings:
        for code in np.unique(value):
            name = meanings[code] if 0 <= code < len(meanings) else str(code)
            colour = _colour(int(code)) if code >= 0 else SILENT_COLOUR
            axes.plot(x[value == code], y[value == code], color=colour, label=name.replace("_", " "), **style)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2)
    elif x.size <= _MOST_MARKED:
        drawn = axes.scatter(x, y, c=value, s=size * 2, cmap=COLOUR_MAP, linewidths=0)
        axes.figure.colorbar(drawn, ax=axes, label=plot.signal.label)
    else:
        axes.plot(x, y, color=_colour(0), **style)
    axes.set(title=title, xlabel=x_axis.label, ylabel=y_axis.label)


def _colour(k: int) -> str:
    colours = (*CLASS_COLOURS, *COLOURS)
    return colours[k % len(colours)]


def _edges(centres: NDArray) -> NDArray[np.float64]:
    """Where pixels meet: half-way between their centres."""
    centres = centres.astype(np.float64)
    if centres.size < 2:
        return np.concatenate([centres - 0.5, centres + 0.5])
    middles = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])
