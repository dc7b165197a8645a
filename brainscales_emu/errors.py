"""Errors that name the field, the value, the allowed range with its unit, and the remedy."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real


class ChipError(ValueError):
    """A value that the emulated chip can't accept."""


class PlacementError(ChipError):
    """A network that doesn't fit onto the chip, or a content of its digital memory that can't be.

    Attributes
    ----------
    rule : int or None
        Number 1..9 of the routing rule (see `placement`) that is broken; the message starts with it. None if it is
        no routing rule, e.g. when the circuits are used up.
    """

    def __init__(self, message: str, rule: int | None = None) -> None:
        super().__init__(message if rule is None else f"rule {rule}: {message}")
        self.rule = rule


def exact(value: float) -> str:
    """The shortest text that reads back as this number; a very long integer by its size alone."""
    if isinstance(value, Integral):
        whole = int(value)
        return str(whole) if abs(whole) < 10**20 else f"about {'-' * (whole < 0)}1e{int(math.log10(abs(whole)))}"
    text = f"{float(value):g}"
    return text if float(text) == value else repr(float(value))


@contextmanager
def placement_errors() -> Iterator[None]:
    """What is refused as ChipError, refused as PlacementError: it would stand in the digital memory."""
    try:
        yield
    except ChipError as error:
        raise PlacementError(str(error)) from None


def check_number(
    name: str, value: object, low: float, high: float, unit: str, remedy: str, whole: bool = False
) -> None:
    """Raise ChipError unless `value` is a real (or whole) number within low..high, both included.

    Parameters
    ----------
    name : str
        Field as the user knows it, e.g. ``chip.tau_mem_us``.
    value : object
        What was given; booleans, NaN and anything that isn't a number are refused.
    low, high : float
        Allowed range in `unit`.
    unit : str
        Unit of the value, empty for a pure number.
    remedy : str
        What the user can do about it.
    whole : bool
        Only integers are allowed.
    """
    kind = Integral if whole else Real
    suffix = f" {unit}" if unit else ""
    allowed = f"{exact(low)}..{exact(high)}{suffix}"
    if isinstance(value, bool) or not isinstance(value, kind):
        noun = "an integer" if whole else "a number"
        raise ChipError(f"{name} = {reprlib.repr(value)} is not {noun}; allowed are {allowed}; {remedy}")
    if not low <= value <= high:  # type: ignore[operator]
        raise ChipError(f"{name} = {exact(value)}{suffix} is outside {allowed}; {remedy}")  # type: ignore[arg-type]
