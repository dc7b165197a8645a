"""Levels on devices and back: exact inverse, equal steps behind the access transistor, errors that help."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memristor.errors import CrossbarError
from memristor.mapping import Mapping


def seen_uS(mapping, g_uS):
    """What the columns see through the access transistors."""
    return 1.0 / (1.0 / np.maximum(g_uS, 1e-300) + mapping.access_ohm * 1e-6)


@st.composite
def mappings(draw):
    scheme = draw(st.sampled_from(["pair", "offset"]))
    n = draw(st.integers(1, 12)) * 2 + 1 if scheme == "offset" else draw(st.integers(2, 24))
    low = draw(st.floats(0.0, 20.0))
    access_ohm = draw(st.sampled_from([0.0, 1000.0, 9000.0]))
    return Mapping(n, low, low + draw(st.floats(1.0, 60.0)), scheme, draw(st.floats(0.1, 10.0)), access_ohm)


@settings(deadline=None, max_examples=60)
@given(mapping=mappings(), rows=st.integers(1, 5), n=st.integers(1, 6), seed=st.integers(0, 99))
def test_weights_come_back_exactly(mapping, rows, n, seed):
    levels = np.random.default_rng(seed).integers(-mapping.max_level, mapping.max_level + 1, (rows, n))
    g = mapping.to_conductance(levels)
    assert g.shape == (rows, mapping.columns(n)) and mapping.weights_in(g.shape[1]) == n
    weights = mapping.weight_range * levels / mapping.max_level
    got = mapping.difference(seen_uS(mapping, g)) * mapping.weight_per_uS
    np.testing.assert_allclose(got, weights, rtol=0, atol=1e-11 * mapping.weight_range)


@settings(deadline=None, max_examples=40)
@given(mapping=mappings(), seed=st.integers(0, 99))
def test_currents_come_back_as_products(mapping, seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(-mapping.max_level, mapping.max_level + 1, (7, 4))
    g = mapping.to_conductance(levels)
    x = rng.uniform(-1, 1, (3, 7))
    product = x @ levels * mapping.weight_range / mapping.max_level
    got = mapping.difference(0.2 * x @ seen_uS(mapping, g)) * mapping.weight_per_uS / 0.2
    np.testing.assert_allclose(got, product, rtol=0, atol=1e-10 * mapping.weight_range)


def test_pair_puts_the_magnitude_on_one_device_and_the_lowest_level_on_the_other():
    mapping = Mapping(levels_per_device=5, low_uS=4.0, high_uS=44.0)
    assert (mapping.max_level, mapping.n_levels, mapping.step_uS) == (4, 9, 10.0)
    np.testing.assert_allclose(mapping.to_conductance([[3, 0, -4]]), [[34.0, 4.0, 4.0, 4.0, 4.0, 44.0]])


def test_offset_has_one_reference_column_at_the_middle_level():
    mapping = Mapping(levels_per_device=5, low_uS=4.0, high_uS=44.0, scheme="offset")
    assert (mapping.max_level, mapping.n_levels) == (2, 5)
    np.testing.assert_allclose(mapping.to_conductance([[2, 0, -1]]), [[44.0, 24.0, 14.0, 24.0]])


def test_levels_behind_the_transistor_are_equally_spaced():
    mapping = Mapping(levels_per_device=4, low_uS=2.0, high_uS=32.0, access_ohm=5000.0)
    seen = 1.0 / (1.0 / mapping.device_uS + 5e-3)
    np.testing.assert_allclose(seen, [2.0, 12.0, 22.0, 32.0], rtol=1e-13)
    # 1 / (1 / 32 uS - 5 kohm) by hand
    assert mapping.device_uS[-1] == pytest.approx(1e6 / (31250.0 - 5000.0))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"levels_per_device": 1}, "mapping.levels_per_device = 1 is outside 2..256; a device has at least two levels"),
        ({"levels_per_device": 8, "scheme": "offset"}, "mapping.levels_per_device = 8 is even"),
        ({"scheme": "pairs"}, "mapping.scheme = 'pairs' is unknown; choose pair or offset"),
        ({"low_uS": 40.0}, "mapping.low_uS = 40 uS is not below mapping.high_uS = 40 uS; lower it"),
        ({"low_uS": float("nan")}, "mapping.low_uS = nan uS is outside"),
        ({"weight_range": 0.0}, "mapping.weight_range = 0 is outside"),
        (
            {"access_ohm": 25_000.0},
            "cannot be reached through mapping.access_ohm = 25000 ohm, which alone conducts 40 uS",
        ),
    ],
)
def test_bad_mapping(arguments, text):
    with pytest.raises(CrossbarError) as error:
        Mapping(**arguments)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([[0, 8]], "levels[0, 1] = 8 is outside -7..7; 8 levels per device give 15 signed levels (pair)"),
        ([[0, 0], [-9, 0]], "levels[1, 0] = -9 is outside -7..7"),
        ([[0.5]], "levels is of type float64, not integers; 8 levels per device"),
        ([1, 2], "levels has shape (2,); expected (any, any)"),
    ],
)
def test_bad_levels(levels, text):
    with pytest.raises(CrossbarError) as error:
        Mapping().to_conductance(levels)
    assert text in str(error.value)


@pytest.mark.parametrize(("scheme", "columns"), [("pair", 1), ("pair", 5), ("offset", 1)])
def test_columns_that_hold_no_whole_weights(scheme, columns):
    with pytest.raises(CrossbarError, match=f"{columns} columns hold no whole weights of scheme '{scheme}'; give"):
        Mapping(levels_per_device=5, scheme=scheme).difference(np.ones((2, columns)))
