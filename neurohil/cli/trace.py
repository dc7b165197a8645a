"""`neurohil trace`: look into a trace from the terminal. Each function prints, and returns the exit code."""

from __future__ import annotations

import sys
import webbrowser
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from neurohil.cli.output import json_line
from neurohil.terminal import cut, number, sparkline, width
from neurohil.text import clear_line, one_line, say
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

OK, DIFFERENT, STOPPED = 0, 1, 1


def ls(files: Sequence[str], as_json: bool) -> int:
    """The tree of each trace, or a line of JSON for each."""
    from neurohil.trace.viewing.listing import contents, tree

    for file in files:
        with Trace(file) as trace:
            _warn(trace)
            say(*([json_line(contents(trace))] if as_json else tree(trace, width()).split("\n")))
    return OK


def show(file: str, path: str) -> int:
    """What is at a path: attributes, statistics, values."""
    from neurohil.trace.viewing.description import describe

    with Trace(file) as trace:
        _warn(trace)
        say(*describe(trace, _tidy(path), width()).split("\n"))
    return OK


def validate(files: Sequence[str]) -> int:
    """Which rules are broken; exit code 1 if one of them makes viewers or readers fail."""
    from neurohil.trace.validation import validate as find

    code = OK
    for file in files:
        findings = find(file)
        counts = Counter(finding.severity for finding in findings)
        told = [f"{n} {severity}{'s' * (n != 1)}" for severity, n in counts.items()]
        say(f"{file}: {', '.join(told) or 'valid'}")
        for finding in findings:
            say(f"  {finding.severity:<7}  {finding.path} {finding.text}")
        code = DIFFERENT if counts["error"] else code
    return code


def plot(file: str, path: str | None, out: str | None, epoch: int | None) -> int:
    """Draw a plot: to a file, in a window, or with characters where there is no display."""
    from neurohil.trace.nxdata import default_plot, plot_group
    from neurohil.trace.viewing import drawing
    from neurohil.trace.viewing.text_drawing import text_drawing

    with Trace(file) as trace:
        _warn(trace)
        group = plot_group(trace, _tidy(path) if path else default_plot(trace))
        if out:
            say(drawing.save(group, out, epoch))
        elif drawing.has_window():
            drawing.show(group, epoch)
        else:
            say(*text_drawing(group, epoch, width()).split("\n"))
    return OK


def diff(a: str, b: str, rtol: float, atol: float) -> int:
    """What differs; exit code 1 if anything does."""
    from neurohil.trace.viewing.comparison import differences, same_bytes

    for name, value in (("--rtol", rtol), ("--atol", atol)):
        if not 0 <= value < float("inf"):
            raise TraceError(f"{name} = {value} is no tolerance; give a number of at least 0")
    with Trace(a) as first, Trace(b) as second:
        if same_bytes(a, b):
            say(f"{a} and {b} have the same bytes")
            return OK
        found = list(differences(first, second, rtol, atol))
    if not found:
        within = f" within rtol {rtol:g}, atol {atol:g}" if rtol or atol else ""
        say(f"{a} and {b} say the same{within}, in other bytes")
        return OK
    say(f"{a} | {b}")
    for kind, group in groupby(found, key=lambda difference: difference.kind):
        rows = list(group)
        widest = max(len(row.name) for row in rows)
        say(kind)
        for row in rows:
            say(f"  {one_line(row.name):<{widest}}  {' '.join(row.text.split())}")
    return DIFFERENT


def watch(file: str) -> int:
    """A line for each finished epoch until the run ends; exit code 1 if it stopped before its last epoch."""
    from neurohil.results import how_to_go_on
    from neurohil.trace.viewing.watching import follow

    shown, is_terminal = 0, sys.stdout.isatty()
    for progress in follow(file):
        if is_terminal:
            clear_line()
        for epoch in range(shown, progress.epochs):
            values = ", ".join(f"{label} {number(curve[epoch].item())}" for label, curve in progress.curves.items())
            say(f"epoch {epoch + 1}: {values}")
        shown = progress.epochs
        if is_terminal and not progress.ended and shown:
            label, curve = next(iter(progress.curves.items()))
            room = max(width() - len(label) - 2, 1)
            say(cut(f"{label} {sparkline(curve, room)}", width() - 1), end="")
        sys.stdout.flush()
    epochs = f"{shown} epoch{'s' * (shown != 1)}"
    if progress.ended == "complete":
        say(f"the run is complete after {epochs}")
        return OK
    say(f"the writer stopped after {epochs}; go on with: {how_to_go_on(file)}")
    return STOPPED


def export(file: str, to: str, out: str) -> int:
    """Write the trace in another format."""
    from neurohil.results import export as write

    for path in write(file, to, out):
        say(path)
    return OK


def report(file: str, out: str | None, is_opened: bool) -> int:
    """Write the trace as one page of HTML, and open it in the browser if asked to."""
    from neurohil.results import report as write_report

    path = write_report(file, out)
    say(path)
    if is_opened and not webbrowser.open(path.resolve().as_uri()):
        raise TraceError(f"no browser was found to open {path}; open it by hand")
    return OK


def _warn(trace: Trace) -> None:
    """Tell on stderr that a trace is damaged, and what then."""
    if trace.damage:
        say(
            f"neurohil: warning: {trace.path} is damaged, {len(trace.damage)} of its parts can't be read; "
            f"`neurohil trace validate {trace.path}` lists them, "
            f"`neurohil trace export {trace.path} --to csv --out FOLDER` saves the rest",
            file=sys.stderr,
        )


def _tidy(path: str) -> str:
    """A path as the reader names it, however slashes stand around it."""
    return path.strip("/")
