"""Numbers of real chips: what is computed from them, and that the emulated chip is counted in the same way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trimboth

from brainscales_emu import ChipConfig, preset
from brainscales_emu.capmem import GAINS, PARAMETERS, POTENTIALS, TIME_CONSTANTS, CapMem
from brainscales_emu.real_chips import REAL_CHIPS, chip_spread, real_spread, statistics, trimmed_std

FIELDS = {name: f"{name}_lsb" for name in POTENTIALS} | {name: f"{name}_us" for name in TIME_CONSTANTS}


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


def test_statistics_of_codes_with_known_answers():
    rng = np.random.default_rng(4)
    shared, own = rng.standard_normal((2, 512))
    blocks = np.repeat([300.0, 320.0, 340.0, 360.0], 128)
    codes = {name: blocks + 10.0 * shared for name in PARAMETERS}
    codes["reset"] = blocks + 10.0 * (0.6 * shared + 0.8 * own)
    found = statistics("made up", codes, np.tile([-3, 3], (2, 256)), np.arange(512))
    leak = found.codes["leak"]
    assert leak.std == pytest.approx(10.0, rel=0.1) and leak.log_std == pytest.approx(10.0 / 330.0, rel=0.1)
    assert leak.block_std == pytest.approx(np.std([300, 320, 340, 360], ddof=1), rel=0.1)
    assert leak.log_block_std == pytest.approx(leak.block_std / 330.0, rel=0.05) and leak.median == np.median(
        codes["leak"]
    )
    assert found.correlations["leak", "reset"] == pytest.approx(0.6, abs=0.12)
    assert found.correlations["gain_exc", "gain_inh"] == pytest.approx(1.0)
    assert found.cadc_offset_std_lsb == 3.0


def perfect_codes(serial):
    """Codes with which each circuit of an uncalibrated chip is what two real chips were calibrated to."""
    targets, memory = ChipConfig(synin_gm=500), CapMem(replace(preset("uncalibrated"), synin_gm=500), serial)
    grid, codes = np.linspace(0.0, 1022.0, 95), {}
    for name in PARAMETERS:
        values = np.array([memory.value(name, code) for code in grid])
        wanted = np.median(memory.value(name, 500.0)) if name in GAINS else getattr(targets, FIELDS[name])
        rising = values if name not in TIME_CONSTANTS else -values
        wanted = -wanted if name in TIME_CONSTANTS else wanted
        # The laws are bent: between grid points currents go as the inverse, which is straight enough.
        codes[name] = np.array([np.interp(wanted, column, grid) for column in rising.T])
    return statistics("emulated", codes, np.zeros((2, 512)), np.arange(512))


def test_codes_of_emulated_chips_are_as_those_of_real_ones():
    """Medians over chips, in the range of the two real ones widened by a fifth (by measurement: make real-chips)."""
    chips = [perfect_codes(serial) for serial in range(1, 21)]

    def is_inside(read):
        real = [read(chip) for chip in REAL_CHIPS]
        return 0.8 * min(real) <= np.median([read(chip) for chip in chips]) <= 1.2 * max(real)

    for name in PARAMETERS:
        for figure in ("median", "std", "log_std", "block_std", "log_block_std"):
            assert is_inside(lambda chip, name=name, figure=figure: getattr(chip.codes[name], figure)), (name, figure)
    for pair in REAL_CHIPS[0].correlations:
        assert is_inside(lambda chip, pair=pair: chip.correlations[pair]), pair
