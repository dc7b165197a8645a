"""How objects show themselves: one line in a terminal, a small table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Protocol, TypeVar

from .errors import exact


class _Shown(Protocol):
    """What has a `_facts`."""

    def _facts(self) -> dict[str, object]: ...


T = TypeVar("T", bound=_Shown)


def shown(cls: type[T]) -> type[T]:
    """Give a class the `repr` and the table of what its `_facts` tell."""

    def in_a_line(what: _Shown) -> str:
        return line(what, what._facts())

    def as_a_table(what: _Shown) -> str:
        return table(what, what._facts())

    for name, function in (("__repr__", in_a_line), ("_repr_html_", as_a_table)):
        setattr(cls, name, function)
    return cls


def line(what: object, facts: Mapping[str, object]) -> str:
    """The facts in one line."""
    return f"<{type(what).__name__}: {', '.join(f'{name} {_text(value)}' for name, value in facts.items())}>"


def table(what: object, facts: Mapping[str, object]) -> str:
    """The facts as a table in HTML, escaped."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(_text(value))}</td></tr>" for name, value in facts.items()
    )
    return f"<table><caption>{html.escape(type(what).__name__)}</caption>{rows}</table>"


def times(sizes: tuple[int, ...]) -> str:
    """A shape as people say it, e.g. 128 x 64."""
    return " x ".join(map(str, sizes))


def _text(value: object) -> str:
    return exact(value) if isinstance(value, float) else str(value)
