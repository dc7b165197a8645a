"""A heading with a table of two columns, as objects show themselves: in a terminal, and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[tuple[str, str]]


def text_table(heading: str, rows: Rows) -> str:
    """Lines of text."""
    return "\n".join([heading, *(line(*row) for row in rows)])


def line(name: str, text: str) -> str:
    """A line of the table."""
    return f"  {name:<22} {text}"


def html_table(heading: str, rows: Rows) -> str:
    """HTML, with everything escaped."""
    cells = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<p><b>{escape(heading)}</b></p><table>{cells}</table>"
