"""How all pictures look: colours, font sizes, and how a figure is saved."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neurohil import files
from neurohil.files import replacing
from neurohil.terminal import cut

PICTURE_MARK = "neurohil"
"""What the pictures of runs say of the software that drew them."""

# Paul Tol's colour-blind safe schemes: "high-contrast" for classes, "muted" for all else.
CLASS_COLOURS = ("#004488", "#DDAA33", "#BB5566")
COLOURS = ("#44AA99", "#332288", "#882255", "#999933")
SILENT_COLOUR = "#222222"
COLOUR_MAP = "cividis"  # legible for the colour-blind, and in grey
_LONGEST_LINE = 130  # letters of the summary that a picture has room for
INK, FAINT, GRID = "#222222", "#888888", "#DDDDDD"

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
}


_ONE_AT_A_TIME = threading.RLock()  # matplotlib has one set of parameters, whatever the thread


def load_matplotlib() -> Any:
    """matplotlib, for drawing into files alone.

    Its import fails where MPLBACKEND names a drawing backend that isn't installed, as in what Jupyter starts;
    so that is looked at afterwards, and doesn't matter. Where its folder can't be written, it makes do without a word.
    """
    with _ONE_AT_A_TIME:
        if sys.modules.get("matplotlib"):
            return sys.modules["matplotlib"]
        named = os.environ.pop("MPLBACKEND", None)
        log = logging.getLogger("matplotlib")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            import matplotlib

            matplotlib.get_cachedir()
        finally:
            log.setLevel(level)
            if named is not None:
                os.environ["MPLBACKEND"] = named
        if named:
            with suppress(ValueError):  # for windows that the program may open
                matplotlib.rcParams["backend"] = named
        return matplotlib


def is_picture(path: Path) -> bool:
    """Whether the picture of a run stands there, which a later one may replace."""
    return files.kind(path) == "file" and files.has_mark(path, PICTURE_MARK)


def distinct_colours(n: int) -> list[Any]:
    """Colours for `n` classes or curves that are seen together."""
    colours = [*CLASS_COLOURS, *COLOURS]
    if n <= len(colours):
        return colours[:n]
    import numpy as np

    return [*load_matplotlib().colormaps[COLOUR_MAP](np.linspace(0.05, 0.85, n))]


@contextmanager
def own_style(**changes: Any) -> Iterator[None]:
    """Within it, matplotlib draws in our style, whatever the user's settings are; these come back afterwards."""
    matplotlib = load_matplotlib()
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with _ONE_AT_A_TIME, matplotlib.rc_context({**defaults, **STYLE, **changes}):
        yield


def new_figure(width: float, height: float) -> Any:
    """Empty matplotlib figure of so many inches, 200 pixels each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    return figure


def headline(figure: Any, title: str, finding: str, summary: str, origin: str, finding_size: int = 14) -> None:
    """Title on the left and the finding on the right; below, what was run and on what."""
    figure.text(0.03, 0.95, title, size=14, weight="bold")
    figure.text(0.975, 0.95, finding, size=finding_size, weight="bold", ha="right")
    figure.text(0.03, 0.92, cut(summary, _LONGEST_LINE), size=8, color=FAINT)
    figure.text(0.03, 0.895, origin, size=8, color=FAINT)


def save(figure: Any, png_path: str | Path, dpi: int = 200) -> None:
    """Write the PNG, which says that neurohil drew it, without version, so that equal runs give equal pictures.

    Raises
    ------
    UserError
        Something else than such a picture stands there.
    """
    with replacing(Path(png_path), is_picture) as unfinished:
        figure.savefig(unfinished, format="png", dpi=dpi, metadata={"Software": PICTURE_MARK})
