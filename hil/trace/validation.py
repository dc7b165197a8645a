"""Holding a trace against the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.trace.guard import hazards
from hil.trace.reader import open_hdf5
from hil.trace.rules import RULES, Part, Rule, Severity, is_plot, schema
from hil.trace.schema import SCHEMA
from hil.trace.tree import UNREADABLE, unreadable, walk


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
        If the file is missing, or no HDF5 file that can be opened.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        findings = list(_hazards(file))
    if findings:
        return findings
    # Opened anew, because an open file does not see everywhere at once what a running writer adds to it.
    with open_hdf5(path) as file:
        findings = list(_apply([schema], "/", file))
        if not findings:
            findings = [finding for part, where, node in _parts(file) for finding in _check(part, where, node)]
    return sorted(findings, key=lambda finding: finding.severity)


def _hazards(file: Any) -> Iterator[Finding]:
    """What must not even be read, so that no rule can be applied."""
    if "schema" not in file.attrs:
        yield Finding("error", "/", f"has no schema name, so it is not {SCHEMA!r}: an HDF5 file of other make")
    else:
        yield from (Finding("error", path, what) for path, what in hazards(file))


def _parts(file: Any) -> Iterator[tuple[Part, str, Any]]:
    """All that rules are about, each with its path."""
    yield "file", "/", file
    yield "group", "/", file
    for path, kind, node in walk(file):
        if kind != "stray":  # those are hazards
            yield kind, path, node
        if kind == "group" and is_plot(node):
            yield "plot", path, node


def _check(part: Part, path: str, node: Any) -> Iterator[Finding]:
    return _apply([rule for rule in RULES if rule.part == part], path, node)


def _apply(rules: Iterable[Rule], path: str, node: Any) -> Iterator[Finding]:
    for rule in rules:
        try:
            for broken in rule.check(node):
                yield Finding(rule.severity, path, broken)
        except UNREADABLE as error:
            yield Finding("error", path, unreadable(error))
