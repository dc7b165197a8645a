"""The one door for callers' arrays: checked once, they are what the kernels index without bounds checks.

What passes is a C-contiguous array of one type. What can't become that type without a loss is refused: complex numbers,
text, objects, dates, masked values, NaN, integers that would wrap. The array may share its memory with the caller's.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UserError
from .text import exact

Shape = tuple[int | None, ...]

_LARGEST = sys.float_info.max
_INT64 = np.iinfo(np.int64)


def floats(
    name: str,
    values: ArrayLike,
    shape: Shape | list[Shape] | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
    remedy: str = "give real numbers",
    *,
    finite: bool = True,
    single: bool = False,
) -> NDArray[np.float64]:
    """Real numbers as a C-contiguous float64 array.

    Parameters
    ----------
    name : str
        Field as the user knows it, e.g. ``crossbar.read_V``.
    values : array_like
        Integers or floats of any width; booleans are no numbers.
    shape : tuple of int or None, or list of such tuples, optional
        Expected shape, None where any length will do; a list: one of them; without it any shape.
    low, high : float
        Allowed range in `unit`, both included; NaN is always refused.
    unit : str
        Unit of the values, empty for pure numbers.
    remedy : str
        What the user can do about it.
    finite : bool
        False: infinity is allowed where it lies within low..high, e.g. as the time of a spike that never comes.
    single : bool
        True: an array of float32 stays one.

    Raises
    ------
    UserError
        The values have another type or shape, or one of them is outside the range; the message names the first.
    """
    checked: NDArray[np.float64]
    if type(values) is np.ndarray and _is_usual(values, np.float64, shape):
        checked = values
    else:
        checked = _converted(name, values, shape, remedy, single)
    smallest, largest = (max(low, -_LARGEST), min(high, _LARGEST)) if finite else (low, high)
    # Minimum and maximum are NaN if any value is. Compared in double precision: the limits may be no float32.
    if checked.size and not (
        smallest <= float(np.minimum.reduce(checked, axis=None))
        and float(np.maximum.reduce(checked, axis=None)) <= largest
    ):
        wide = checked.astype(np.float64)
        _refuse(name, wide, ~((wide >= smallest) & (wide <= largest)), low, high, unit, remedy)
    return checked


def integers(
    name: str,
    values: ArrayLike,
    shape: Shape | list[Shape] | None = None,
    low: int = int(_INT64.min),
    high: int = int(_INT64.max),
    unit: str = "",
    remedy: str = "give integers",
    *,
    narrow: bool = False,
) -> NDArray[np.int64]:
    """Integers as a C-contiguous int64 array; floats are refused, whole ones too, since nobody rounded them.

    Parameters
    ----------
    narrow : bool
        True: other integer types stay as they are. Sums and differences of them may wrap.

    Other parameters and errors: see `floats`.
    """
    array: NDArray
    if type(values) is np.ndarray and _is_usual(values, np.int64, shape):
        array = values
    else:
        array = _array(name, values, "iu", "integers", shape, remedy)
    if array.size and not (
        low <= int(np.minimum.reduce(array, axis=None)) and int(np.maximum.reduce(array, axis=None)) <= high
    ):
        _refuse(name, array, (array < low) | (array > high), low, high, unit, remedy)
    dtype = array.dtype.newbyteorder("=") if narrow and array.dtype.kind != "f" else np.int64  # "f": an empty list
    checked: NDArray[np.int64] = np.asarray(array, dtype=dtype, order="C")
    return checked


def booleans(
    name: str, values: ArrayLike, shape: Shape | list[Shape] | None = None, remedy: str = "give true or false"
) -> NDArray[np.bool_]:
    """Booleans as a C-contiguous array; parameters and errors: see `floats`."""
    return np.asarray(_array(name, values, "b", "booleans", shape, remedy), dtype=np.bool_, order="C")


def _is_usual(array: NDArray, dtype: type, shape: Shape | list[Shape] | None) -> bool:
    """Whether it is what kernels take already, as in every step of a training: then nothing is left but the range."""
    fits = shape is None or (isinstance(shape, tuple) and _fits(array.shape, shape))
    return fits and array.dtype == dtype and array.dtype.isnative and array.flags.c_contiguous


def _converted(
    name: str, values: ArrayLike, shape: Shape | list[Shape] | None, remedy: str, single: bool
) -> NDArray[np.float64]:
    """The values as an array of floats, of one of the shapes."""
    array = _array(name, values, "iuf", "numbers", shape, remedy)
    dtype = np.float32 if single and array.dtype.type is np.float32 else np.float64
    if array.dtype.itemsize <= 8:
        return np.asarray(array, dtype=dtype, order="C")
    with np.errstate(over="ignore"):  # long doubles
        checked: NDArray[np.float64] = np.asarray(array, dtype=dtype, order="C")
    if not np.array_equal(np.isinf(array), np.isinf(checked)):
        raise UserError(f"{name} holds a value beyond {_LARGEST:g}, the largest float64; {remedy}")
    return checked


def _array(
    name: str, values: ArrayLike, kinds: str, noun: str, shape: Shape | list[Shape] | None, remedy: str
) -> NDArray:
    """The values as an array of one of the kinds, and of the shape."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise UserError(f"{name} holds masked values, which are no {noun}; fill or drop them")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise UserError(f"{name} is no regular array of {noun} ({error}); {remedy}") from error
    if array.dtype.kind not in kinds and (array.size or array.dtype != np.float64):  # an empty list has no type
        raise UserError(f"{name} is of type {array.dtype}, not {noun}; {remedy}")
    shapes = shape if isinstance(shape, list) else [] if shape is None else [shape]
    if shapes and not any(_fits(array.shape, wanted) for wanted in shapes):
        expected = " or ".join(str(tuple("any" if n is None else n for n in wanted)) for wanted in shapes)
        raise UserError(f"{name} has shape {array.shape}; expected {expected}; {remedy}".replace("'any'", "any"))
    return array


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    if len(shape) != len(wanted):
        return False
    return shape == wanted or all(n is None or n == size for n, size in zip(wanted, shape, strict=True))


def _refuse(name: str, array: NDArray, bad: NDArray[np.bool_], low: float, high: float, unit: str, remedy: str) -> None:
    """Raise UserError that names the first bad entry."""
    where = tuple(np.argwhere(bad)[0].tolist())
    value, suffix = array[where].item(), f" {unit}" if unit else ""
    entry = f"{name}{list(where) if where else ''} = {exact(value)}"
    if math.isnan(value):
        raise UserError(f"{entry} is not a number; {remedy}")
    if low <= value <= high:
        raise UserError(f"{entry} is not finite; {remedy}")
    raise UserError(f"{entry}{suffix} is outside {exact(low)}..{exact(high)}{suffix}; {remedy}")
