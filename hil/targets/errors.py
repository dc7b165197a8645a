"""How all targets say no: to keys that they don't know, and to what the emulated hardware refuses."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from hil.errors import UserError

T = TypeVar("T", bound=Mapping[str, Any])


def known_keys(table: str, changes: T, names: Sequence[str]) -> T:
    """The changes; UserError if one of their keys, which stand in `table` of the experiment, isn't among the names."""
    for name in changes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise UserError(f"unknown key {table}.{name}, did you mean {near!r}? Known here: {', '.join(names)}")
    return changes


@contextmanager
def user_errors(refusal: type[Exception]) -> Iterator[None]:
    """What the emulated hardware refuses with errors of this class, as an error for the user."""
    try:
        yield
    except refusal as error:
        raise UserError(str(error)) from error
