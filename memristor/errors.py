"""Errors that name the field, the value, the allowed range with its unit, and the remedy."""

from __future__ import annotations

import math
import reprlib
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray


class CrossbarError(ValueError):
    """A value that the emulated crossbar can't accept. The array is as it was before."""


def exact(value: float) -> str:
    """The shortest text that reads back as this number; a very long integer by its size alone."""
    if isinstance(value, Integral) and abs(int(value)) >= 10**20:
        return f"about {'-' * (value < 0)}1e{int(math.log10(abs(int(value))))}"
    text = f"{float(value):g}"
    if float(text) == value:
        return text
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


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
    allowed = f"{exact(low)}..{exact(high)}" + (f" {unit}" if unit else "")
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        noun = "an integer" if whole else "a number"
        raise CrossbarError(f"{name} = {reprlib.repr(value)} is not {noun}; allowed are {allowed}; {remedy}")
    if not low <= value <= high:  # type: ignore[operator]
        given = exact(value) + (f" {unit}" if unit else "")  # type: ignore[arg-type]
        raise CrossbarError(f"{name} = {given} is outside {allowed}; {remedy}")


def check_array(
    name: str, values: ArrayLike, shape: tuple[int | None, ...], low: float, high: float, unit: str, remedy: str
) -> NDArray[np.float64]:
    """Return `values` as a C-contiguous float64 array, or raise CrossbarError that names the first bad entry.

    Parameters
    ----------
    shape : tuple of int or None
        Expected shape; None: any length.
    low, high : float
        Allowed range in `unit`, both included; NaN is refused.
    """
    try:
        array = np.asarray(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise CrossbarError(f"{name} holds something that is no number ({error}); {remedy}") from error
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        expected = tuple("any" if n is None else n for n in shape)
        raise CrossbarError(f"{name} has shape {array.shape}; expected {expected}; {remedy}".replace("'", ""))
    bad = ~((array >= low) & (array <= high))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        suffix = f" {unit}" if unit else ""
        allowed = f"{exact(low)}..{exact(high)}{suffix}"
        raise CrossbarError(f"{name}{list(where)} = {exact(array[where])}{suffix} is outside {allowed}; {remedy}")
    return array
