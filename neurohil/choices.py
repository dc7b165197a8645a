"""Tables whose key `kind` says what they are: which structs they can be, and how these are found."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import msgspec


@dataclass(frozen=True)
class Choice:
    """Marks the type of such a key: ``Annotated[P, Choice(structs, methods)]`` with the protocol P that all follow.

    Attributes
    ----------
    structs : callable
        Gives the types of msgspec.Struct that this package has for it, each with a tag.
    methods : tuple of str
        Those of P.
    """

    structs: Callable[[], tuple[Any, ...]]
    methods: tuple[str, ...]


def choice_of(kind: Any) -> Choice | None:
    """The mark of a type; None if it has none."""
    return next((mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, Choice)), None)


def structs_in(package: str) -> tuple[Any, ...]:
    """The struct with a tag that stands in each module of a package, "ideal" first, then by tag.

    Raises
    ------
    TypeError
        A module has none, or several.
    """
    found = []
    for info in pkgutil.iter_modules(import_module(package).__path__):
        module = import_module(f"{package}.{info.name}")
        own = [one for one in vars(module).values() if _is_tagged(one) and one.__module__ == module.__name__]
        if len(own) != 1:
            names = ", ".join(one.__name__ for one in own) or "none"
            raise TypeError(f"{module.__name__} must hold one msgspec.Struct with a tag, but holds {names}")
        found += own
    return tuple(sorted(found, key=lambda one: (one.__struct_config__.tag != "ideal", one.__struct_config__.tag)))


def _is_tagged(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, msgspec.Struct) and bool(thing.__struct_config__.tag)
