"""Converters: kernels against their readable twins, codes by hand, clipping counted, noise at its parameter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memristor.converters import AdcConfig, DacConfig, calibrate, digitise, encode, read_noise
from memristor.errors import CrossbarError
from memristor.kernels import multiply as kernels

ALPHA = 1e-6
REALS = [np.float32, np.float64]


def random_keys(rng, rows):
    return rng.integers(0, 2**32, (rows, 2), dtype=np.uint32)


# Row drivers


def test_dac_codes_by_hand():
    (drive,) = encode(DacConfig(bits=3, v_read_V=0.3), [[-1.0, -0.5, -0.1, 0.0, 0.16, 0.17, 0.84, 1.0]])
    np.testing.assert_allclose(drive.volts, 0.1 * np.array([[-3, -2, 0, 0, 0, 1, 3, 3]]))  # -1.5 is a tie: even code
    (drive,) = encode(DacConfig(bits=2, v_read_V=0.3, signed=False), [[0.0, 0.16, 0.17, 0.5, 1.0]])
    np.testing.assert_allclose(drive.volts, 0.1 * np.array([[0, 0, 1, 2, 3]]))


@settings(deadline=None, max_examples=40)
@given(bits=st.integers(2, 10), signed=st.booleans(), seed=st.integers(0, 99))
def test_bit_planes_add_up_to_the_quantised_input(bits, signed, seed):
    x = np.random.default_rng(seed).uniform(-1.0 if signed else 0.0, 1.0, (3, 5))
    (at_once,) = encode(DacConfig(bits, 0.25, signed=signed), x)
    planes = encode(DacConfig(bits, 0.25, bit_serial=True, signed=signed), x)
    assert len(planes) == (bits - 1 if signed else bits)
    assert all(set(np.unique(np.abs(plane.volts))) <= {0.0, 0.25} for plane in planes)
    np.testing.assert_allclose(sum(plane.weight * plane.volts for plane in planes), at_once.volts, atol=1e-15)


@settings(deadline=None, max_examples=40)
@given(bits=st.none() | st.integers(2, 12), real=st.sampled_from(REALS), seed=st.integers(0, 99))
def test_drive_is_its_twin(bits, real, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (4, 9))
    dac = DacConfig(bits)
    volts, squares = np.empty(x.shape, dtype=real), np.empty((4, 3))
    kernels.drive(x, dac.max_code, dac.v_read_V, np.array([2, 3, 9]), volts, squares)
    (twin,) = encode(dac, x)
    np.testing.assert_array_equal(volts, twin.volts.astype(real))
    sums = [(twin.volts[:, rows] ** 2).sum(axis=1) for rows in (slice(0, 2), slice(2, 3), slice(3, 9))]
    np.testing.assert_allclose(squares.T, sums, rtol=1e-14)


# Converters of the currents


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("per_column", [False, True])
def test_convert_is_its_twin(real, per_column):
    rng = np.random.default_rng(5)
    currents = rng.normal(0.0, 60.0, (3, 11, 37)).astype(real)
    sigma = rng.uniform(0.0, 5.0, (3, 11, 37 if per_column else 1)).astype(real)
    keys = random_keys(rng, 33).reshape(3, 11, 2)
    total = rng.normal(size=(11, 37))
    want, clipped = total.copy(), 0
    for group in range(3):
        noise = sigma[group] * read_noise(keys[group], 37)
        codes, beyond = digitise(currents[group] + noise, 1.37, 0.3, -127, 127)
        want, clipped = want + 0.25 * codes.astype(np.float64), clipped + beyond
    arguments = [real(v) for v in (1.37, 0.3, -127, 127)]
    got = kernels.convert(currents, sigma, keys, kernels.normal_table(), *arguments, 0.25, total)
    np.testing.assert_array_equal(total, want)
    assert got == clipped > 10


def test_codes_and_clipping_by_hand():
    currents = np.array([[-9.0, -3.6, -3.5, -3.4, -0.5, 0.5, 1.5, 2.4, 3.5, 3.51, 80.0]])
    codes, clipped = digitise(currents, 1.0, 0.0, -3, 3)
    # ties go to the even code: -3.5 and 3.5 are the codes -4 and 4, beyond the range
    np.testing.assert_array_equal(codes, [[-3, -3, -3, -3, 0, 0, 2, 2, 3, 3, 3]])
    assert clipped == 6
    codes, clipped = digitise(currents, 1.0, 1.0, -3, 3)
    np.testing.assert_array_equal(codes, [[-3, -3, -2, -2, 0, 2, 2, 3, 3, 3, 3]])
    assert clipped == 4


def test_code_ranges():
    assert AdcConfig(bits=8).codes(signed_inputs=True) == (-127, 127)
    assert AdcConfig(bits=8).codes(signed_inputs=False) == (-127, 127)
    assert AdcConfig(bits=8, subtraction="after").codes(signed_inputs=True) == (-127, 127)
    assert AdcConfig(bits=8, subtraction="after").codes(signed_inputs=False) == (0, 255)


def test_calibration_is_a_percentile_of_magnitudes():
    currents = np.arange(-1000, 1001, dtype=np.float64)
    # magnitudes 0, 1, 1, 2, 2 ... 1000, 1000: entry 0.9 * 2000 = 1800 is 900
    assert calibrate(currents, 90.0) == 900.0
    assert calibrate(currents, 100.0) == 1000.0
    with pytest.raises(CrossbarError, match="90 % of the 4 observed currents are 0 uA; calibrate with inputs"):
        calibrate(np.zeros(4), 90.0)


# The normal numbers of the read noise


@pytest.fixture(scope="module")
def normals():
    return read_noise(random_keys(np.random.default_rng(2), 1024), 1000)


def variance_is(sample, std):
    chi2 = np.sum((sample / std) ** 2)
    return ALPHA / 2 < stats.chi2.cdf(chi2, sample.size) < 1 - ALPHA / 2


def test_noise_is_standard_normal(normals):
    z = normals.astype(np.float64).ravel()
    assert abs(z.mean()) * math.sqrt(z.size) < stats.norm.isf(ALPHA / 2)
    assert variance_is(z, 1.0)
    assert not variance_is(z, 1.05) and not variance_is(z, 0.95)
    # moments of the normal distribution: E z^3 = 0 (variance 15), E z^4 = 3 (variance 96)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / z.size)
    assert abs((z**4).mean() - 3.0) < 5 * math.sqrt(96 / z.size)
    # a cut at 4.3 sigma in 65,536 steps is too fine for a test of 10^6 numbers to see
    assert stats.kstest(z, "norm").pvalue > ALPHA
    assert stats.kstest(1.05 * z, "norm").pvalue < ALPHA


def test_noise_is_cut_where_stated():
    table = kernels.normal_table()
    assert table.size == 65_536 and not table.flags.writeable
    assert table.max() == -table.min() == pytest.approx(stats.norm.isf(0.5 / 65_536), rel=1e-4)
    assert float(np.square(table, dtype=np.float64).mean()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 16, 64, 128, 512])
def test_noise_has_no_order(normals, lag):
    """Neighbours in a row and in a column: pairs fall evenly into 16 x 16 equally likely classes."""
    rank = np.searchsorted(stats.norm.ppf(np.arange(1, 16) / 16), normals)
    for first, second in ((rank[:, lag:], rank[:, :-lag]), (rank[lag:], rank[:-lag])):
        pairs = np.bincount((16 * first + second).ravel(), minlength=256)
        assert stats.chisquare(pairs).pvalue > ALPHA


def test_rows_that_share_half_a_key_have_nothing_in_common():
    a, b, c = 3, 0x5EED0001, 0xC0FFEE00
    keys = np.array([[a, b], [a, c], [b, a], [c, a], [b, c], [c, b]], dtype=np.uint32)
    correlation = np.corrcoef(read_noise(keys, 20_000))
    assert np.abs(correlation[np.triu_indices(6, 1)]).max() < 5 / math.sqrt(20_000)


# Misuse


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: DacConfig(v_read_V=0.5),
            "dac.v_read_V = 0.5 V is outside 1e-06..0.3 V; a higher read voltage disturbs",
        ),
        (lambda: DacConfig(bits=1), "dac.bits = 1 bits is outside 2..16 bits"),
        (lambda: DacConfig(bits=8.0), "dac.bits = 8.0 is not an integer"),
        (lambda: DacConfig(bits=None, bit_serial=True), "dac.bits = None has no bit planes; choose"),
        (lambda: DacConfig(signed="no"), "dac.signed = 'no' is not true or false"),
        (lambda: AdcConfig(bits=17), "adc.bits = 17 bits is outside 2..16 bits; choose a resolution, or None"),
        (lambda: AdcConfig(range_uA=0.0), "adc.range_uA = 0 uA is outside"),
        (lambda: AdcConfig(percentile=20), "adc.percentile = 20 % is outside 50..100 %"),
        (lambda: AdcConfig(offset_lsb=math.nan), "adc.offset_lsb = nan LSB is outside"),
        (lambda: AdcConfig(subtraction="both"), "adc.subtraction = 'both' is unknown; choose 'before' or 'after'"),
        (
            lambda: encode(DacConfig(), [[0.2, 1.5]]),
            "x[0, 1] = 1.5 is outside -1..1; an input of 1 is the read voltage",
        ),
        (lambda: encode(DacConfig(signed=False), [[-0.1]]), "x[0, 0] = -0.1 is outside 0..1"),
        (lambda: encode(DacConfig(), [[math.nan]]), "x[0, 0] = nan is not a number"),
        (lambda: encode(DacConfig(), [0.5]), "x has shape (1,); expected (any, any)"),
        (lambda: encode(DacConfig(), np.zeros((0, 3))), "x has shape (0, 3) and so no entries"),
    ],
)
def test_misuse(make, text):
    with pytest.raises(CrossbarError) as error:
        make()
    assert text in str(error.value)
