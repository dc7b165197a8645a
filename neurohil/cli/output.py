"""What a subcommand tells when it has its results: table, JSON line, then the picture, which may fail."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurohil.showing import line
from neurohil.text import say
from neurohil.trace.place import picture_path


def print_results(table: str, values: Mapping[str, Any], as_json: bool) -> None:
    """A heading and its lines; with `as_json` these on stderr, and `values` as the one line on stdout."""
    say(*table.split("\n"), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        say(json_line(values))
    sys.stdout.flush()


def json_line(values: Any) -> str:
    """One line of JSON, which has neither NaN nor infinity: null stands for both."""
    return json.dumps(_finite(values), allow_nan=False)


def draw_picture(draw: Callable[[Path, Path], None], trace: Path, as_json: bool) -> None:
    """Draw a finished trace beside itself. The results are told and stored: a picture that fails costs a warning."""
    picture = picture_path(trace)
    try:
        draw(trace, picture)
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        say(
            f"neurohil: warning: the results are complete, but their picture can't be drawn: {why}; draw one with: "
            f"neurohil trace plot {shlex.quote(str(trace))} --out {shlex.quote(str(picture))}",
            file=sys.stderr,
        )
    else:
        say(line("picture", str(picture)), file=sys.stderr if as_json else sys.stdout)


def _finite(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values
