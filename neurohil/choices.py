"""Tables whose key `kind` says what they are: one of the structs of this package, or a class of the user's own."""

from __future__ import annotations

import difflib
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import msgspec

from neurohil.errors import UserError
from neurohil.text import one_line, shown

KIND = "kind"


@dataclass(frozen=True)
class Choice:
    """Marks the type of such a key in a config: ``key: Annotated[P, Choice(P, structs)]``, with a protocol P.

    In a table, `kind` is the tag of one of the structs, or "package.module:Class" for a struct or dataclass of the
    user's own, whose fields are the other keys. In Python, an object takes the place of the table.

    Attributes
    ----------
    protocol : type
        What all of them can do; it has to be runtime_checkable.
    structs : callable
        Gives the types of msgspec.Struct that this package has for it, each with a tag.
    default : type of msgspec.Struct, optional
        The one of them that a table without `kind` is of, and that is written without it.
    """

    protocol: type
    structs: Callable[[], tuple[Any, ...]]
    default: Any = None

    def named(self, name: str, key: str) -> Any:
        """The class that a user names as "package.module:Class".

        Parameters
        ----------
        name : str
        key : str
            Where it stands in the experiment.

        Raises
        ------
        UserError
            There is no such module or class, or the class doesn't do.
        """
        where, _, path = name.partition(":")
        typed = f"{key} = {shown(name)}"
        module = _module(where, typed)
        found: Any = module
        for step in path.split("."):
            found = getattr(found, step, None)
        if not isinstance(found, type):
            classes = [n for n, one in vars(module).items() if isinstance(one, type) and one.__module__ == where]
            near = difflib.get_close_matches(path, classes, n=1)
            hint = f", did you mean {f'{where}:{near[0]}'!r}?" if near else ""
            raise UserError(f"{typed}: module {where} has no class {shown(path)}{hint}; name a class of that module")
        if not is_table(found):
            raise UserError(f"{typed}: the class has no fields for keys; make it a msgspec.Struct or a dataclass")
        if missing := self._missing(found):
            raise UserError(f"{typed}: the class has no method {missing[0]}; it must have those of {self._told}")
        return found

    def refused(self, thing: Any, key: str) -> str | None:
        """Why an object can't take the place of the table; None if it can."""
        if isinstance(thing, type) or (missing := self._missing(type(thing))) == self._methods:
            return f"{key} = {shown(thing)} is not allowed"
        if missing:
            return f"{key} is a {type(thing).__name__} without a method {missing[0]}"
        return None if is_table(type(thing)) else f"{key} is a {type(thing).__name__}, whose fields no trace can keep"

    @property
    def _methods(self) -> list[str]:
        members = vars(self.protocol).items()
        return [n for n, one in members if callable(one) and (n == "__call__" or not n.startswith("_"))]

    @property
    def _told(self) -> str:
        return f"{self.protocol.__module__}.{self.protocol.__qualname__}"

    def _missing(self, kind: type) -> list[str]:
        return [name for name in self._methods if not any(name in vars(base) for base in kind.__mro__)]


def choice_of(kind: Any) -> Choice | None:
    """The mark of a type; None if it has none."""
    return next((mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, Choice)), None)


def is_table(kind: Any) -> bool:
    """Whether a type has fields that can be keys of a table."""
    return isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or is_dataclass(kind))


def structs_in(package: str) -> tuple[Any, ...]:
    """The struct with a tag that stands in each module of a package, by tag from z to a: the ideal target comes first.

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
    return tuple(sorted(found, key=lambda one: str(one.__struct_config__.tag), reverse=True))


def _is_tagged(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, msgspec.Struct) and bool(thing.__struct_config__.tag)


def _module(name: str, typed: str) -> ModuleType:
    """A module, also one that lies in the working directory."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # last, so that it hides nothing
    try:
        return import_module(name)
    except Exception as error:  # of any kind: it is the user's code that runs here
        absent = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        reason = f"there is no module {error.name}" if absent else f"{type(error).__name__}: {error}"  # type: ignore[attr-defined]
        remedy = "install it, or start where it lies" if absent else "correct the module"
        raise UserError(f"{typed}: {one_line(reason)}; {remedy}") from error
