"""A table for each plot: a row for each element, its axes first, then all that is drawn over them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.files import first_line, replacing
from neurohil.trace.nxdata import PlotGroup, Variable, is_plot, plot_group, variable
from neurohil.trace.reader import Trace
from neurohil.trace.schema import RUN, TraceError

ROWS_AT_ONCE = 100_000
_NO_SI = ("tau_s", "model units", "CADC LSB")


def write(trace: Trace, out: Path) -> list[Path]:
    """A file for each plot that holds anything, named like its group, one for the results, and one that says what was
    run; see `export`. Of a damaged trace all that can be read is written, before the error that tells the rest."""
    out.mkdir(parents=True, exist_ok=True)
    results = [path for path in trace.paths if path.startswith(f"{RUN}/results/")]
    written = [_write_about(trace, out / "about.csv")]
    written += [_write_results(trace, results, out / "results.csv")] if results else []
    lost = []
    for path in trace.groups:
        if is_plot(trace, path):
            try:
                plot = plot_group(trace, path)
                if 0 not in plot.signal.array.shape:
                    name = path.removeprefix(f"{RUN}/").replace("/", "_")
                    written.append(_write_plot(trace, plot, out / f"{name}.csv"))
            except TraceError:
                if not trace.is_damaged(path):
                    raise
                lost.append(path)
    if lost or trace.damage:
        what = ", ".join(lost or (hazard.path for hazard in trace.damage))
        raise TraceError(
            f"{trace.path} is damaged: {len(written)} tables were written to {out}, all but {what}; "
            f"`neurohil trace validate {trace.path}` tells why"
        )
    return written


def unit(what: Variable) -> str:
    """Its unit; where there is none in physics, the one that its long name tells in brackets."""
    named = [unit for unit in _NO_SI if what.long_name.endswith(f"({unit})")]
    return named[0] if what.units == "1" and named else what.units or "1"


def _write_about(trace: Trace, file: Path) -> Path:
    """What was run, and whether it was emulated or computed."""
    header = ["name", "value"]
    with (
        replacing(file, lambda there: first_line(there) == ",".join(header)) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as text,
    ):
        table = csv.writer(text, lineterminator="\n")
        table.writerow(header)
        table.writerow(["title", trace.title])
        table.writerows(trace.provenance._asdict().items())
        table.writerow(["config", trace.config])
    return file


def _write_results(trace: Trace, paths: list[str], file: Path) -> Path:
    with _table(file, ["name", "value", "unit", "what"]) as table:
        for path in paths:
            what = variable(trace, path)
            table.writerow([what.name, what.array[()].item(), unit(what), what.long_name])
    return file


def _write_plot(trace: Trace, plot: PlotGroup, file: Path) -> Path:
    shape, first = plot.signal.array.shape, [variable(trace, path) for path in _others(trace, plot)]
    columns = [plot.signal, *plot.auxiliary, *first]
    scattered = plot.kind == "scatter"
    header = [f"{what.name} [{unit(what)}]" for what in (*plot.axes, *columns)]
    header += [f"{what.name} (meaning)" for what in columns if what.flag_meanings]
    axes = [axis.array[...] for axis in plot.axes]
    step = max(1, ROWS_AT_ONCE // max(1, int(np.prod(shape[1:]))))
    with _table(file, header) as table:
        for start in range(0, shape[0], step):
            rows = slice(start, start + step)
            values = [what.array[rows].ravel() for what in columns]
            if scattered:
                places = [axis[rows] for axis in axes]
            else:
                places = [grid.ravel() for grid in np.meshgrid(axes[0][rows], *axes[1:], indexing="ij")]
            meanings = [_meanings(v, what) for v, what in zip(values, columns, strict=True) if what.flag_meanings]
            lists = [column.tolist() for column in (*places, *values)]
            table.writerows(zip(*lists, *meanings, strict=True))
    return file


@contextmanager
def _table(file: Path, header: list[str]) -> Iterator[Any]:
    """Writer of a table; of files that are there already, it replaces those with the same columns alone."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(header)
    with replacing(file, lambda there: first_line(there) == line.getvalue().rstrip("\n")) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as text:
            text.write(line.getvalue())
            yield csv.writer(text, lineterminator="\n")


def _others(trace: Trace, plot: PlotGroup) -> list[str]:
    """Arrays of the group like its signal that are not drawn."""
    drawn = {what.path for what in (plot.signal, *plot.axes, *plot.auxiliary)}
    inside = [p for p in trace.paths if p.rpartition("/")[0] == plot.path and p not in drawn]
    return [p for p in inside if trace.dataset(p).shape == plot.signal.array.shape]


def _meanings(codes: NDArray, what: Variable) -> list[str]:
    names = what.flag_meanings
    return [names[code] if 0 <= code < len(names) else "" for code in codes.tolist()]
