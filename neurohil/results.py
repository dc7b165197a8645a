"""What runs leave: traces, opened with what their kind of run makes of them: picture, report, exports, how to go on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from neurohil.files import has_mark, replacing
from neurohil.kinds import KINDS, command_of, kind_of, named
from neurohil.pictures import is_picture
from neurohil.showing import html_table
from neurohil.text import one_line
from neurohil.trace.export import write_as
from neurohil.trace.nxdata import default_plot, plot_group
from neurohil.trace.place import go_on_command
from neurohil.trace.reader import Trace
from neurohil.trace.report.page import write_report
from neurohil.trace.schema import RUN, TraceError
from neurohil.trace.viewing.watching import names


class Picture:
    """A picture that a notebook shows by itself.

    Parameters
    ----------
    png : bytes

    Attributes
    ----------
    png : bytes
    """

    def __init__(self, png: bytes) -> None:
        self.png = png

    def save(self, path: str | Path) -> Path:
        """Write it to a file and return its path; a picture of neurohil that is there is replaced.

        Raises
        ------
        UserError
            Something else stands there; it is left as it is.
        OSError
            It can't be written.
        """
        from neurohil.trace.viewing.drawing import MARK

        path = Path(path)
        with replacing(path, lambda there: is_picture(there) or has_mark(there, MARK)) as unfinished:
            unfinished.write_bytes(self.png)
        return path

    def __repr__(self) -> str:
        return f"<Picture, PNG of {len(self.png) / 1000:.0f} kB; a notebook shows it, .save(FILE) keeps it>"

    def _repr_png_(self) -> bytes:
        return self.png


class RunTrace(Trace):
    """The trace of a run, finished or not: arrays by path, and `plot`, `report`, `export`.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    TraceError
        If the file is missing, no trace, or so damaged that nothing is left.
    """

    @property
    def results(self) -> dict[str, Any]:
        """What the run came to, by name; NaN or -1 before its end."""
        prefix = f"{RUN}/results/"
        return {path.removeprefix(prefix): self[path].item() for path in self.paths if path.startswith(prefix)}

    def plot(self, name: str | None = None, epoch: int | None = None) -> Picture:
        """Draw one plot, or the whole run.

        Parameters
        ----------
        name : str, optional
            A plot such as ``accuracy``, see `groups`. Without it the picture of the finished run is drawn.
        epoch : int, optional
            Of a plot that has several.

        Raises
        ------
        TraceError
            There is no such plot, or the run has not come to its end.
        """
        from neurohil.trace.viewing import drawing

        kind = kind_of(self)
        with tempfile.TemporaryDirectory() as folder:
            png = Path(folder) / "plot.png"
            if name is None and self.complete and kind:
                named(kind.picture)(self.path, png)
            else:
                path = default_plot(self) if name is None else f"{RUN}/{name.strip('/').removeprefix(f'{RUN}/')}"
                drawing.save(plot_group(self, path), png, epoch)
            return Picture(png.read_bytes())

    def report(self, out: str | Path | None = None) -> Path:
        """Write the trace as one interactive page of HTML, by default beside it; returns the page."""
        return report(self.path, out)

    def export(self, to: str, out: str | Path) -> list[Path]:
        """Write it in another format: ``csv``, and for some kinds of runs ``sonata`` or ``nir``; returns the files."""
        return export(self.path, to, out)

    def __repr__(self) -> str:
        state = "complete" if self.complete else "not complete"
        return f"<trace {one_line(self.title)!r} in {one_line(self.path)}: {self.epochs} epochs, {state}>"

    def _repr_html_(self) -> str:
        rows = [("file", str(self.path)), ("epochs", str(self.epochs)), ("made by", self.provenance.kind)]
        if self.complete:
            rows += [(name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in
                     self.results.items()]  # fmt: skip
        return html_table(self.title, rows)


def report(path: str | Path, out: str | Path | None = None) -> Path:
    """Write a trace as one page of HTML, see `neurohil.trace.report.page.write_report`."""

    def own(trace: Trace) -> Any:
        kind = kind_of(trace)
        return named(kind.views) if kind and kind.views else None

    return write_report(path, out, own)


def export(path: str | Path, to: str, out: str | Path) -> list[Path]:
    """Write a trace in another format, see `neurohil.trace.export.write_as`; returns the files."""
    writers = {name: place for kind in KINDS.values() for name, place in kind.exports.items()}
    return write_as(path, to, out, {name: _late(place) for name, place in writers.items()})


def how_to_go_on(path: str | Path) -> str:
    """The command that resumes the interrupted run of a trace, or of its ``.part`` file.

    Raises
    ------
    TraceError
        If its trace can't be read.
    """
    final, part = names(path)
    with Trace(part) as trace:
        return go_on_command(command_of(trace), part, overwrite=final.exists())


def _late(place: str) -> Any:
    return lambda trace, out: named(place)(trace, out)


__all__ = ["Picture", "RunTrace", "TraceError", "export", "how_to_go_on", "report"]
