"""How all targets say no to what the emulated hardware refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from neurohil.errors import UserError

# The words of Python and of an experiment's file.
_WORDS = {"None": "none", "True": "true", "False": "false"}


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
