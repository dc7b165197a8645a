"""Traces in the formats of other programs: CSV for every trace, and what a kind of run writes of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from neurohil.files import has_hdf5_mark
from neurohil.trace.export import csv
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

MARK = "neurohil trace export"
"""Attribute ``creator`` of exported HDF5 files, which alone are replaced."""

Write = Callable[[Trace, Path], list[Path]]


def write_as(path: str | Path, to: str, out: str | Path, own: Mapping[str, Write]) -> list[Path]:
    """Write what a trace holds in another format.

    Parameters
    ----------
    path : str or path
        A trace; of an unfinished one, what is there is written.
    to : str
        ``csv``: a table for each plot; or one of the formats that kinds of runs have.
    out : str or path
        Folder or file, made if it is missing. Files of the same names are replaced, each as a whole, if they were
        exported too: a table with the same columns, an HDF5 file that says so.
    own : mapping
        What writes the formats that kinds of runs have; each refuses traces of others.

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
    formats: dict[str, Write] = {**own, "csv": csv.write}
    if to not in formats:
        raise TraceError(f"format {to!r} is unknown; choose one of {', '.join(formats)}")
    try:
        with Trace(path) as trace:
            return formats[to](trace, Path(out))
    except OSError as error:
        raise TraceError(f"{out} can't be written ({error.strerror or error}); choose another place") from error


def is_exported(path: Path) -> bool:
    """Whether a file was exported from a trace."""
    return has_hdf5_mark(path, MARK)
