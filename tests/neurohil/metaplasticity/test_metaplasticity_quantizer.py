"""Levels, thresholds and weights against brute force: the nearest of L equally spaced numbers."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurohil.errors import UserError
from neurohil.metaplasticity.quantizer import Quantizer


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8, 15, 16, 32, 127, 128])
@pytest.mark.parametrize("weight_range", [1.0, 0.3])
def test_nearest_level(levels, weight_range):
    quantizer = Quantizer(levels, weight_range)
    grid = np.linspace(-weight_range, weight_range, levels)
    thresholds = (grid[1:] + grid[:-1]) / 2
    hidden = np.random.default_rng(levels).uniform(-1.5, 1.5, 3000) * weight_range
    hidden = hidden[np.abs(hidden[:, np.newaxis] - thresholds).min(axis=1) > 1e-5 * quantizer.step].astype(np.float32)
    signed = quantizer.to_levels(hidden)
    nearest = grid[np.searchsorted(thresholds, hidden)]
    np.testing.assert_allclose(quantizer.to_weights(signed), nearest, rtol=0, atol=1e-7)
    assert signed.dtype == np.int8
    assert set(np.unique(signed)) <= set(range(-quantizer.max_level, quantizer.max_level + 1, quantizer.stride))
    np.testing.assert_allclose(quantizer.step, grid[1] - grid[0], rtol=1e-12)
    np.testing.assert_allclose(quantizer.last_threshold * quantizer.step, thresholds[-1], rtol=1e-12)
    np.testing.assert_allclose(quantizer.first_threshold * quantizer.step, thresholds[thresholds > -1e-9][0], atol=1e-9)


@pytest.mark.parametrize("levels", range(2, 129))
def test_all_levels_are_used_and_come_back(levels):
    quantizer = Quantizer(levels)
    weights = np.linspace(-1, 1, levels).astype(np.float32)
    signed = quantizer.to_levels(weights)
    assert signed.tolist() == list(range(-quantizer.max_level, quantizer.max_level + 1, quantizer.stride))
    np.testing.assert_allclose(quantizer.to_weights(signed), weights, atol=1e-7)


def test_pairs_of_n_levels_make_2n_minus_1():
    """What a crossbar of eight-level devices holds: signed levels -7..7."""
    assert Quantizer(2 * 8 - 1).max_level == 7 and Quantizer(2 * 8 - 1).stride == 1


def test_two_levels_are_the_sign():
    hidden = np.array([-3.0, -1e-6, 0.0, 1e-6, 3.0], dtype=np.float32)
    assert Quantizer(2).to_levels(hidden).tolist() == [-1, -1, 1, 1, 1]


@settings(deadline=None)
@given(levels=st.integers(2, 128), weight=st.floats(-5, 5, width=32))
def test_error_is_at_most_half_a_step(levels, weight):
    quantizer = Quantizer(levels)
    hidden = np.array([weight], dtype=np.float32)
    quantised = quantizer.to_weights(quantizer.to_levels(hidden))
    assert abs(quantised[0] - np.clip(hidden[0], -1, 1)) <= (0.5 + 1e-4) * quantizer.step


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"levels": 1}, r">= 2 - at `\$\.levels`"),
        ({"levels": 129}, r"<= 128 - at `\$\.levels`"),
        ({"weight_range": 0.0}, r">= 1e-06 - at `\$\.weight_range`"),
        ({"level": 3}, "unknown field `level`"),
    ],
)
def test_configs_out_of_range_are_refused(bad, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(bad, Quantizer)


@pytest.mark.parametrize("dtype", ["i1", "i8", "f2", "f4", "f8", ">i4", ">f8"])
def test_the_type_of_hidden_weights_decides_nothing(dtype):
    """By hand: nine levels over -5..5 have steps of 1.25, so 5 is level 4, 3 is 2.4 steps, 1 is 0.8; beyond 5 is 4."""
    hidden = np.array([9, 5, 3, 1, 0, -1, -3, -5]).astype(dtype)
    assert Quantizer(9, 5.0).to_levels(hidden).tolist() == [4, 4, 2, 1, 0, -1, -2, -4]
    if np.dtype(dtype).kind == "i":
        assert Quantizer(9, 5.0).to_weights(np.array([4, 2, -1]).astype(dtype)).tolist() == [5.0, 2.5, -1.25]


def test_levels_of_unsigned_integers_do_not_wrap():
    assert Quantizer(9, 5.0).to_levels(np.array([5, 0], np.uint8)).tolist() == [4, 0]
    with pytest.raises(UserError, match=r"levels\[1\] = 252 is outside -4\.\.4; quantise the weights first"):
        Quantizer(9, 5.0).to_weights(np.array([4, 252], np.uint8))  # -4, wrapped


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1j, True, "1"])
def test_what_is_no_number_has_no_level(bad):
    with pytest.raises(UserError, match="hidden weights"):
        Quantizer(9).to_levels(np.array([bad]))
