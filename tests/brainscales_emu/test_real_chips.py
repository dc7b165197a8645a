"""Numbers of real chips: what is computed from them, and that the emulated chip is counted in the same way."""

import numpy as np
import pytest
from scipy.stats import trimboth

from brainscales_emu.capmem import PARAMETERS
from brainscales_emu.real_chips import REAL_CHIPS, chip_spread, real_spread, trimmed_std


def test_a_code_spreads_as_its_logarithm_does():
    """For small spreads std / median is that of the logarithm: a slip in a column of the table would break it."""
    for chip in REAL_CHIPS:
        assert set(chip.codes) == set(PARAMETERS)
        for code in chip.codes.values():
            assert code.std / code.median == pytest.approx(code.log_std, rel=0.3)
            assert code.block_std / code.median == pytest.approx(code.log_block_std, rel=0.3, abs=0.002)


def test_spreads_are_in_lsb_for_potentials_and_relative_for_currents():
    within, between = real_spread("leak")
    # 0.17 LSB per code: the floor at 52 LSB, 128 codes of bend, a slope of 200/480 far above it
    slope = 200 / 480 * (1 - np.exp(-28 / (200 / 480 * 128)))
    assert within.tolist() == pytest.approx([35.3 * slope, 30.7 * slope]) and between[1] == pytest.approx(6.9 * slope)
    assert real_spread("threshold")[0].tolist() == pytest.approx([15.6 * 0.3, 17.0 * 0.3])
    within, between = real_spread("tau_mem")
    assert (within.tolist(), between.tolist()) == ([0.122, 0.138], [0.055, 0.024])


def test_a_chip_is_split_into_its_blocks():
    rng = np.random.default_rng(2)
    means, noise = np.array([0.1, -0.2, 0.3, 0.0]), 0.05 * rng.standard_normal(512)
    values = np.repeat(means, 128) + noise
    within, between = chip_spread("leak", values)
    assert within == pytest.approx(0.05, rel=0.1) and between == pytest.approx(means.std(ddof=1), rel=0.05)
    assert chip_spread("tau_mem", np.exp(values)) == pytest.approx((within, between))
    some = np.r_[0:100, 128:200]
    holes = values[some].copy()
    holes[::10] = np.nan
    assert chip_spread("leak", holes, some) == pytest.approx(
        (0.05, np.diff(means[:2]).item() / -np.sqrt(2.0)), rel=0.15
    )
    assert np.isnan(chip_spread("leak", [80.0], [3])).all()
    assert np.isnan(chip_spread("leak", [np.nan, np.nan], [3, 4])).all()


def test_five_percent_are_trimmed_on_both_sides():
    values = np.random.default_rng(3).standard_normal(2000)
    assert trimmed_std(values) == pytest.approx(trimboth(values, 0.05).std(), rel=1e-3)
    assert trimmed_std([*values, *([np.nan] * 10)]) == trimmed_std(values)
    assert np.isnan(trimmed_std([np.nan]))
