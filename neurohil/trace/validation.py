"""Holding a trace against the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurohil.trace.guard import Hazard
from neurohil.trace.opening import HDF5File, SchemaError
from neurohil.trace.reader import Trace
from neurohil.trace.rules import RULES, Part, Rule, Severity, is_plot, schema
from neurohil.trace.schema import EPOCH, RUN
from neurohil.trace.tree import UNREADABLE, unreadable, walk

# What the rules of a whole file read.
_CORE = {"/", f"/{RUN}", *(f"/{RUN}/{name}" for name in ("title", "config", "complete", "versions", EPOCH))}


@dataclass(frozen=True)
class Finding:
    """A rule that something in a trace breaks.

    Attributes
    ----------
    severity : str
        ``error`` or ``warning``.
    path : str
        Where in the file.
    text : str
        What is wrong there.
    """

    severity: Severity
    path: str
    text: str


def validate(path: str | Path) -> list[Finding]:
    """Hold a trace, finished or not, against all rules.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    list of Finding
        Errors first; empty if it keeps all rules. Of an HDF5 file of other make, only that it is one.

    Raises
    ------
    TraceError
        If the file is missing, no HDF5 file, or nothing in it can be read.
    """
    path = Path(path)
    try:
        with Trace(path) as trace:
            left_out = trace.left_out
    except SchemaError:
        with HDF5File(path) as file:
            return list(_broken(schema, "/", file.hdf5))
    findings = [Finding("error", hazard.path, hazard.what) for hazard in left_out]
    # Opened anew, because an open file does not see everywhere at once what a running writer adds to it.
    with HDF5File(path) as file:
        findings += file.look(lambda: [finding for part in _parts(file, left_out) for finding in _check(*part)])
    return sorted(findings, key=lambda finding: finding.severity)


def _parts(file: HDF5File, left_out: Iterable[Hazard]) -> Iterator[tuple[Part, str, Any]]:
    """All that rules are about, each with its path, without what must not be read."""
    unsafe = {hazard.path for hazard in left_out if not hazard.attribute}
    unsafe_inside = {path.rpartition("/")[0] for path in unsafe}
    yield "start", "/", file.content.head
    if not any(path in _CORE or path.startswith(f"/{RUN}/versions/") for path in unsafe):
        yield "file", "/", file.hdf5
    yield "group", "/", file.hdf5
    for path, kind, node in walk(file.hdf5):
        if kind == "dataset" and path not in unsafe:
            yield "dataset", path, node
        elif kind == "group" and path not in unsafe:
            yield "group", path, node
            if is_plot(node) and path not in unsafe_inside:
                yield "plot", path, node


def _check(part: Part, path: str, node: Any) -> Iterator[Finding]:
    for rule in RULES:
        if rule.part == part:
            yield from _broken(rule, path, node)


def _broken(rule: Rule, path: str, node: Any) -> Iterator[Finding]:
    try:
        for text in rule.check(node):
            yield Finding(rule.severity, path, text)
    except UNREADABLE as error:
        yield Finding("error", path, unreadable(error))
