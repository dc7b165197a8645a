"""Following a run while it goes on: each finished epoch with its learning curves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohil.locks import is_held
from neurohil.trace.nxdata import Variable, default_plot, plot_group
from neurohil.trace.place import lock_path
from neurohil.trace.reader import Trace
from neurohil.trace.schema import EPOCH, RUN, TraceError

LOSS = f"{RUN}/loss"


@dataclass(frozen=True)
class Progress:
    """What is seen of a run at one moment.

    Attributes
    ----------
    epochs : int
        Number of finished epochs.
    curves : dict of ndarray
        By their label: the curves of the plot that viewers open with, and of the loss, a value per finished epoch.
    ended : str
        Empty while the run goes on; then ``complete``, or ``stopped`` if it ended before its last epoch.
    """

    epochs: int
    curves: dict[str, NDArray]
    ended: str = ""


def follow(path: str | Path, every_s: float = 0.5) -> Iterator[Progress]:
    """Look at a run again and again, until it ends.

    The trace is opened anew each time (for SWMR reading while it is written), which takes some milliseconds and
    never stands in the way of the writer.

    Parameters
    ----------
    path : str or path
        Trace of the run, or the ``.part`` file that it is as long as the run goes on.
    every_s : float
        Time between two looks.

    Yields
    ------
    Progress
        At once, after each look that found new epochs, and when the run has ended.

    Raises
    ------
    TraceError
        If there is no such run, its trace can't be read, or it is one without epochs.
    """
    final, part = names(path)
    seen: Progress | None = None
    while True:
        alive = has_writer(part)  # asked first: what the writer did before its end is seen below
        progress = _look(final, part, alive)
        if seen is None or progress.epochs > seen.epochs or progress.ended:
            yield progress
            seen = progress
        if progress.ended:
            return
        time.sleep(every_s)


def has_writer(part: Path) -> bool:
    """Whether a living process writes the trace; where there are no locks, whether one has not ended by itself."""
    return part.exists() and is_held(lock_path(part))


def names(path: str | Path) -> tuple[Path, Path]:
    """Names of the trace when its run is over, and before, by either of them."""
    final = Path(str(path).removesuffix(".part"))
    return final, Path(f"{final}.part")


def _look(final: Path, part: Path, alive: bool) -> Progress:
    """State of the run now; it may take its final name at any moment."""
    try:
        with Trace(part) as trace:
            return _progress(trace, "" if alive else "stopped")
    except TraceError:
        if part.exists():
            raise
    with Trace(final) as trace:
        return _progress(trace, "complete" if trace.complete else "stopped")


def _progress(trace: Trace, ended: str) -> Progress:
    curves = [curve for path in _curve_plots(trace) for curve in _curves(trace, path)]
    if not curves:
        raise TraceError(
            f"{trace.path} is of a run without epochs, which is written when it is over; nothing to follow"
        )
    return Progress(trace.epochs, {curve.label: np.asarray(curve.array[...]) for curve in curves}, ended)


def _curve_plots(trace: Trace) -> list[str]:
    return [path for path in dict.fromkeys([default_plot(trace), LOSS]) if path in trace.groups]


def _curves(trace: Trace, path: str) -> list[Variable]:
    plot = plot_group(trace, path)
    return [curve for curve in (plot.signal, *plot.auxiliary) if curve.array.dims == (EPOCH,)]
