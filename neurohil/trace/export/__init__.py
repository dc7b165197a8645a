"""Traces in the formats of other programs: SONATA (spikes, membranes), NIR (the trained network), CSV (all plots)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

FORMATS = ("sonata", "nir", "csv")


def export(path: str | Path, to: str, out: str | Path) -> list[Path]:
    """Write what a trace holds in another format.

    Parameters
    ----------
    path : str or path
        A trace; of an unfinished one, what is there is written.
    to : str
        ``sonata``: spikes and membrane potentials of the watched samples, times in ms; ``nir``: the trained network;
        ``csv``: a table for each plot.
    out : str or path
        Folder for SONATA and CSV, made if it is missing; file for NIR. Files of the same names are replaced, each as a
        whole, if they were exported too: a table with the same columns, an HDF5 file that says so.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    TraceError
        If the trace can't be read or has nothing of the kind, `out` can't be written, or a library is missing.
    UserError
        Something else stands there; it stays.
    """
    if to not in FORMATS:
        raise TraceError(f"format {to!r} is unknown; choose one of {', '.join(FORMATS)}")
    try:
        with Trace(path) as trace:
            return import_module(f"{__name__}.{to}").write(trace, Path(out))
    except OSError as error:
        raise TraceError(f"{out} can't be written ({error.strerror or error}); choose another place") from error
