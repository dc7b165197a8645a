"""The door for callers' arrays, which is the same in each of the three packages but for the class of its errors."""

import inspect

import numpy as np
import pytest

import brainscales_emu.arrays
import memristor.arrays
import neurohil.arrays
from brainscales_emu.errors import ChipError
from memristor.errors import CrossbarError
from neurohil.errors import UserError

DOORS = {UserError: neurohil.arrays, ChipError: brainscales_emu.arrays, CrossbarError: memristor.arrays}


def test_all_packages_have_the_same_door():
    sources = {error.__name__: inspect.getsource(door).splitlines() for error, door in DOORS.items()}
    code = {
        "\n".join(line for line in lines if not line.startswith("from .")).replace(error, "Error")
        for error, lines in sources.items()
    }
    # lines may be broken elsewhere, since the names of the classes have different lengths
    assert len({"".join(text.split()).replace(",)", ")") for text in code}) == 1


def hidden_values(dtype):
    """A view with negative strides, Fortran's order and, where the type has one, the other byte order."""
    return np.asfortranarray(np.arange(6).reshape(2, 3)).astype(np.dtype(dtype).newbyteorder(">"))[::-1]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u2", "u8"])
def test_any_layout_becomes_one_layout(dtype):
    values = hidden_values(dtype)
    checked = neurohil.arrays.floats("x", values, (2, 3), 0, 5)
    assert checked.dtype == np.float64 and checked.dtype.isnative and checked.flags.c_contiguous
    assert checked.tolist() == [[3.0, 4.0, 5.0], [0.0, 1.0, 2.0]]
    if values.dtype.kind in "iu":
        whole = neurohil.arrays.integers("x", values, (2, None), 0, 5)
        assert whole.dtype == np.int64 and whole.flags.c_contiguous and whole.tolist() == [[3, 4, 5], [0, 1, 2]]


def test_what_fits_is_not_copied_and_a_number_stays_one():
    values = np.ones((3, 4))
    assert neurohil.arrays.floats("x", values) is values
    assert neurohil.arrays.floats("x", values, [(), (3, None)]) is values
    assert neurohil.arrays.floats("x", 2, ()).shape == () and neurohil.arrays.integers("k", 2, ()).shape == ()


def test_single_precision_stays_where_asked():
    values = np.ones(3, np.float32)
    assert neurohil.arrays.floats("x", values, single=True) is values
    assert neurohil.arrays.floats("x", values.astype(">f4"), single=True).dtype == np.float32
    for other in (values, values.astype(np.float16)):
        assert neurohil.arrays.floats("x", other).dtype == np.float64
    assert neurohil.arrays.floats("x", values.astype(np.int64), single=True).dtype == np.float64


def test_empty_lists_pass():
    for door in (neurohil.arrays.floats, neurohil.arrays.integers, neurohil.arrays.booleans):
        assert door("x", [], (None,)).shape == (0,)


def test_largest_values_pass():
    largest = np.finfo(np.float64).max
    assert neurohil.arrays.floats("x", [largest, -largest]).tolist() == [largest, -largest]
    assert neurohil.arrays.integers("k", np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]
    assert neurohil.arrays.floats("t", [0.0, np.inf], low=0.0, finite=False).tolist() == [0.0, np.inf]


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([1, 1j], {}, "x is of type complex128, not numbers; give real numbers"),
        (["1"], {}, "x is of type <U1, not numbers"),
        ([None], {}, "x is of type object, not numbers"),
        ([True], {}, "x is of type bool, not numbers"),
        (np.array([1], "M8[s]"), {}, r"x is of type datetime64\[s\], not numbers"),
        (10**400, {}, "x is of type object, not numbers"),
        ([[1], [2, 3]], {}, "x is no regular array of numbers"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), {}, "x holds masked values, which are no numbers; fill or drop them"),
        ([[1.0, np.nan]], {}, r"x\[0, 1\] = nan is not a number"),
        ([1.0, -np.inf], {}, r"x\[1\] = -inf is not finite"),
        (np.array([1.0, np.inf], np.float32), {"single": True}, r"x\[1\] = inf is not finite"),
        (np.float32([0.1]), {"single": True, "high": 0.1}, r"x\[0\] = 0.10000000149011612 is outside -inf\.\.0.1"),
        ([1.0, -np.inf], {"low": 0, "finite": False}, r"x\[1\] = -inf is outside 0\.\.inf"),
        ([1.0, 3.5], {"low": -1, "high": 2, "unit": "us", "remedy": "wait"}, r"x\[1\] = 3.5 us is outside -1..2 us; w"),
        (1.0000000000000002, {"high": 1, "low": 0}, r"x = 1.0000000000000002 is outside 0..1;"),
        ([1.0], {"shape": (2, None)}, r"x has shape \(1,\); expected \(2, any\); give"),
        ([[1.0]], {"shape": (1,)}, r"x has shape \(1, 1\); expected \(1,\)"),
        ([1.0], {"shape": [(), (3, None)]}, r"x has shape \(1,\); expected \(\) or \(3, any\)"),
        ([np.longdouble("1e4000")], {"finite": False}, "x holds a value beyond 1.79769e.308, the largest float64"),
    ],
)
@pytest.mark.parametrize("error", DOORS)
def test_refused_numbers(error, values, arguments, message):
    if isinstance(values, list) and isinstance(values[0], np.longdouble) and np.isinf(values[0]):
        pytest.skip("here a long double is a double")
    with pytest.raises(error, match=message):
        DOORS[error].floats("x", values, **arguments)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([1.0], {}, "k is of type float64, not integers; give integers"),
        ([2**63, -1], {}, "k is of type float64, not integers"),  # numpy's common type
        ([True], {}, "k is of type bool, not integers"),
        ([2**70], {}, "k is of type object, not integers"),
        (np.array([2**63 + 5], np.uint64), {}, r"k\[0\] = 9223372036854775813 is outside -9223372036854775808\.\."),
        (np.array([3, 250], np.uint8), {"high": 249}, r"k\[1\] = 250 is outside -9223372036854775808\.\.249"),
        (np.array([3, 2**64 - 1], np.uint64), {"low": -1, "high": 5}, r"k\[1\] = 18446744073709551615 is outside -1"),
        ([[-1, 1000001]], {"low": -1, "high": 10**6}, r"k\[0, 1\] = 1000001 is outside -1\.\.1000000"),
    ],
)
@pytest.mark.parametrize("error", DOORS)
def test_refused_integers(error, values, arguments, message):
    with pytest.raises(error, match=message):
        DOORS[error].integers("k", values, **arguments)


@pytest.mark.parametrize("error", DOORS)
@pytest.mark.parametrize("values", [[0, 1], [1.0], ["yes"], np.ma.array([True], mask=[True])])
def test_refused_booleans(error, values):
    with pytest.raises(error, match="on"):
        DOORS[error].booleans("on", values)
