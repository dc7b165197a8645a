"""What one part of the page consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Control:
    """Something to set above a figure; a native HTML element, so that keys and screen readers know it.

    kind: what it is; name: how report.js finds it; low, high, value: range and start, for the first two kinds.
    """

    kind: Literal["slider", "number", "button"]
    name: str
    label: str
    low: int = 0
    high: int = 0
    value: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of text under a header. shares: numbers in 0..1 that shade the cells, in the shape of the rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class View:
    """One part of the page: a heading, figures of which one is shown at a time, and what they say in words.

    Parameters
    ----------
    key : str
        Anchor within the page.
    heading, caption : str
        The caption is also the text alternative of the figures.
    figures : mapping of str to bokeh layout
        By the name under which each can be chosen.
    choice : str
        What is chosen where there are several figures.
    controls : tuple of Control
    behaviour : str
        Function of report.js that brings the figures to life, beyond zoom and hover.
    legend : mapping of str to str
        Colour of each name.
    data : mapping
        What the behaviour has to know, as JSON can hold it.
    table : Table, optional
    wide : bool
        Takes the full width of the page.
    """

    key: str
    heading: str
    caption: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    choice: str = "Show"
    controls: tuple[Control, ...] = ()
    behaviour: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None
    wide: bool = False
