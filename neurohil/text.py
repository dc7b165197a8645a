"""What people read: text that can't steer a terminal, numbers that can't contradict their sentence.

Nothing else in this package prints.
"""

from __future__ import annotations

import math
import sys
import unicodedata
from numbers import Integral
from typing import Any, TextIO

_LONGEST = 80  # characters of a value in a message


def printable(text: str) -> str:
    """The text with all that could steer a terminal or turn its direction shown as escapes; lines stay lines."""
    return "".join(c if c == "\n" or not _steers(c) else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """`printable` text on a single line: ends of lines are shown as escapes, too."""
    return printable(str(text)).replace("\n", "\\n")


def say(*lines: object, file: TextIO | None = None, end: str = "\n") -> None:
    """Print each line, `one_line` each; what the stream's encoding lacks is shown as a question mark.

    Parameters
    ----------
    *lines : object
        Printed as `str` has them.
    file : text stream, optional
        Default: sys.stdout, which may be None where there is no terminal.
    end : str
        What follows each line, printed as it is.
    """
    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    for line in lines:
        text = one_line(line).encode(encoding, "replace").decode(encoding)
        print(text, file=stream, end=end)


def clear_line() -> None:
    """Empty the terminal's line that the next `say` writes to."""
    print("\r\x1b[K", end="")


def exact(value: float) -> str:
    """The shortest text that reads back as this number; a very long integer by its size alone."""
    if isinstance(value, Integral):
        whole = int(value)
        return str(whole) if abs(whole) < 10**20 else f"about {'-' * (whole < 0)}1e{int(math.log10(abs(whole)))}"
    text = f"{float(value):g}"
    return text if float(text) == value else repr(float(value))


def shown(value: Any) -> str:
    """A value of a config as a message shows it: as in TOML, short, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return exact(value)
    if value is None:
        return "none"
    if isinstance(value, dict):
        return _shortened("{" + ", ".join(f"{key} = {shown(item)}" for key, item in _first(value.items())) + "}")
    if isinstance(value, list | tuple):
        return _shortened("[" + ", ".join(shown(item) for item in _first(value)) + "]")
    return _shortened(one_line(repr(value[:_LONGEST] if isinstance(value, str) else str(value))))


def duration(seconds: float) -> str:
    """A duration in the largest unit that it fills, to three digits: ``3 days``, ``1.5 h``, ``20 min``, ``7 s``."""
    for unit, size in (("day", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {unit}{'s' if unit == 'day' and count != '1' else ''}"
    return f"{seconds:g} s"


def _first(items: Any) -> list[Any]:
    """So many that they fill a message."""
    return [item for _, item in zip(range(_LONGEST), items, strict=False)]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _steers(character: str) -> bool:
    """Controls, formats such as changes of direction, lone surrogates, ends of lines and paragraphs."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
