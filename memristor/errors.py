"""Errors that name the field, the value, the allowed range with its unit, and the remedy."""

from __future__ import annotations

import math
import reprlib
from numbers import Integral, Real


class CrossbarError(ValueError):
    """A value that the emulated crossbar can't accept. The array is as it was before."""


def exact(value: float) -> str:
    """The shortest text that reads back as this number; a very long integer by its size alone."""
    if isinstance(value, Integral):
        whole = int(value)
        return str(whole) if abs(whole) < 10**20 else f"about {'-' * (whole < 0)}1e{int(math.log10(abs(whole)))}"
    text = f"{float(value):g}"
    return text if float(text) == value else repr(float(value))


def check_number(
    name: str, value: object, low: float, high: float, unit: str, remedy: str, whole: bool = False
) -> None:
    """Raise CrossbarError unless `value` is a real (or whole) number within low..high, both included.

    Parameters
    ----------
    name : str
        Field as the user knows it, e.g. ``crossbar.read_V``.
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
    is_number = not isinstance(value, bool) and isinstance(value, Integral if whole else Real)
    if is_number and low <= value <= high:  # type: ignore[operator]
        return
    allowed = f"{exact(low)}..{exact(high)}" + (f" {unit}" if unit else "")
    if not is_number:
        noun = "an integer" if whole else "a number"
        raise CrossbarError(f"{name} = {reprlib.repr(value)} is not {noun}; allowed are {allowed}; {remedy}")
    given = exact(value) + (f" {unit}" if unit else "")  # type: ignore[arg-type]
    raise CrossbarError(f"{name} = {given} is outside {allowed}; {remedy}")


def check_serial_and_seed(serial: int, seed: int) -> None:
    """Raise CrossbarError unless both are whole numbers within 0..2**63 - 1.

    All that is drawn follows from them: what an individual array is from its serial number, its noise from the seed.
    """
    check_number("crossbar.serial", serial, 0, 2**63 - 1, "", "give the number of the array", whole=True)
    check_number("crossbar.seed", seed, 0, 2**63 - 1, "", "give the number of the noise", whole=True)
