"""How all targets say no: to keys that they don't know, and to what the emulated hardware refuses."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from neurohil.errors import UserError
from neurohil.refusals import joined

T = TypeVar("T", bound=Mapping[str, Any])

# The words of Python and of an experiment's file.
_WORDS = {"None": "none", "True": "true", "False": "false"}


def known_keys(table: str, changes: T, names: Sequence[str]) -> T:
    """The changes; UserError if one of their keys, which stand in `table` of the experiment, isn't among the names."""
    for name in changes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise UserError(
                f"unknown key {joined(table, name)}, did you mean {joined(table, near)!r}? "
                f"Known here: {', '.join(names)}"
            )
    return changes


@contextmanager
def user_errors(refusal: type[Exception], keys: Mapping[str, str] | None = None) -> Iterator[None]:
    """What the emulated hardware refuses with errors of this class, as an error for the user.

    Parameters
    ----------
    refusal : type of Exception
    keys : mapping of str, optional
        By what the hardware calls a value, or a table with the dot behind it: the key that the user typed.
    """
    try:
        yield
    except refusal as error:
        words = {**(keys or {}), **_WORDS}
        longest_first = "|".join(
            re.escape(word) + ("" if word.endswith(".") else r"(?!\w)") for word in sorted(words, key=len, reverse=True)
        )
        message = re.sub(rf"(?<![\w.])({longest_first})", lambda found: words[found[1]], str(error))
        raise UserError(message) from error
