"""How objects that people meet show themselves: one line as repr, a small table in notebooks."""

from __future__ import annotations

from html import escape


class Shown:
    """An object that shows its facts."""

    def facts(self) -> dict[str, object]:
        """What there is to show, by name; a dict is shown as its entries."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{name} {_text(fact)}' for name, fact in self.facts().items())}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(_text(fact))}</td></tr>" for name, fact in self.facts().items()
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"


def _text(fact: object) -> str:
    if isinstance(fact, dict):
        return " + ".join(f"{value} {name}" for name, value in fact.items()) or "none"
    return f"{fact:g}" if isinstance(fact, float) else str(fact)
