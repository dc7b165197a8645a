"""The command of every kind of run: start an experiment or go on with one, then table, JSON line and picture."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurohil import files
from neurohil.cli.output import draw_picture, print_results
from neurohil.errors import UserError
from neurohil.kinds import Kind, named
from neurohil.showing import text_table
from neurohil.text import say
from neurohil.trace.place import Place

if TYPE_CHECKING:
    from neurohil.starting import Experiment


def run(kind: Kind, options: argparse.Namespace) -> None:
    """What the options of a run's command ask for.

    Raises
    ------
    UserError
        They contradict each other, or the run can't begin or go on.
    """
    # More threads of the BLAS library wait for each other wherever a core has other work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from neurohil.starting import Experiment, interrupted, place_of

    compare = getattr(options, "compare", None)
    if getattr(options, "resume", None):
        with interrupted(options.resume, kind, options.overwrite) as (place, chosen):
            _warn_without_locks(place)
            _carry_out(chosen, place, True, compare, options.json)
        return
    name = options.experiment or kind.default
    chosen = Experiment(kind, kind.load(name, _overrides(kind, options)), kind.load(name))
    with place_of(chosen, options.out, options.overwrite) as (place, found):
        _warn_without_locks(place)
        if found == "finished":
            _tell_finished(place, options.json, _drawing(kind, compare))
        else:
            _carry_out(chosen, place, found == "unfinished", compare, options.json)


def _overrides(kind: Kind, options: argparse.Namespace) -> list[str]:
    short = {option.key: getattr(options, option.name) for option in kind.options}
    return [*options.set, *(f"{key}={value}" for key, value in short.items() if value is not None)]


def _carry_out(chosen: Experiment, place: Place, goes_on: bool, compare: str | None, as_json: bool) -> None:
    kind = chosen.kind
    started = chosen.start()
    if compare:
        named(kind.compares)(compare, started)
    result = started.write_trace(place, goes_on)
    heading, rows = started.summary(result)
    rows = [*rows, ("wall time", f"{started.seconds:.1f} s"), ("trace", str(place.path))]
    values = {**started.facts(), **result, "seconds": round(started.seconds, 3), "trace": str(place.path)}
    print_results(text_table(heading, rows), values, as_json)
    draw_picture(_drawing(kind, compare), place.path, as_json)


def _drawing(kind: Kind, compare: str | None) -> Callable[[Path, Path], Any]:
    draw = named(kind.picture)
    return partial(draw, compared_path=compare) if kind.compares else draw


def _tell_finished(place: Place, as_json: bool, draw: Callable[[Path, Path], Any]) -> None:
    """Say that the trace of this very run is there already; its picture is drawn if nothing of that name is there.

    Raises
    ------
    UserError
        Its numbers are wanted as JSON, which only a run prints.
    """
    if not files.kind(place.path.with_suffix(".png")):
        draw_picture(draw, place.path, as_json)
    path = shlex.quote(str(place.path))
    text = (
        f"{place.path} holds this run already, with this configuration and software: nothing to do\n"
        f"  look at it with `neurohil trace ls {path}` or `neurohil trace report {path}`;\n"
        "  to run it anew, add --overwrite or move the file away"
    )
    if as_json:
        raise UserError(" ".join(text.split()))
    say(*text.split("\n"))


def _warn_without_locks(place: Place) -> None:
    from neurohil.starting import without_locks

    if not place.is_locked:
        say(f"neurohil: warning: {without_locks(place)}", file=sys.stderr)
