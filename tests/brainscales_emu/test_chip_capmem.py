"""Capacitive memory: laws of circuits, their spread at equal codes, crosstalk, and the chip that is made of them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from brainscales_emu import ChipConfig, ChipError, preset
from brainscales_emu.capmem import (
    GAINS,
    PARAMETERS,
    POTENTIALS,
    TIME_CONSTANTS,
    CapMem,
    CapMemConfig,
    Codes,
    crosstalk,
    median_codes,
    nominal_code,
    pattern,
)
from brainscales_emu.chip import Chip
from brainscales_emu.mismatch import draw_fixed_pattern

RAW = preset("uncalibrated")
FIELDS = {name: f"{name}_lsb" for name in POTENTIALS} | {name: f"{name}_us" for name in TIME_CONSTANTS}
FIELDS |= {name: name for name in GAINS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_laws_are_strictly_monotone_and_individual(name):
    memory = CapMem(RAW, serial=7)
    values = np.stack([memory.value(name, code) for code in range(1023)])
    steps = np.diff(values, axis=0)
    assert (steps < 0).all() if name in TIME_CONSTANTS else (steps > 0).all()
    # Not one law shifted or scaled: what is left of code 600 by that of code 214 differs between circuits.
    either = values[600] - values[214] if name in POTENTIALS else values[600] / values[214]
    assert either.std() / either.mean() > 0.005


def test_potentials_are_those_of_the_vendor():
    low, high = (np.stack([CapMem(RAW, s).value("leak", code) for s in range(10)]) for code in (70, 550))
    # codes 70..550 read 20..220 LSB: means within 5 standard errors
    for sample, mean in ((low, 20.0), (high, 220.0)):
        assert sample.mean() == pytest.approx(mean, abs=5 * sample.std() / math.sqrt(sample.size))


def test_time_constants_are_inverse_to_the_current():
    memory = CapMem(RAW, serial=7)
    # conductance against current: d log tau / d log code is close to -1, weaker (compression, leakage), never steeper
    exponent = np.log(memory.value("tau_mem", 400) / memory.value("tau_mem", 200)) / math.log(2.0)
    assert (exponent < -0.7).all() and (exponent > -1.0).all()


def test_gains_saturate():
    memory = CapMem(RAW, serial=7)
    first = memory.value("gain_exc", 400) - memory.value("gain_exc", 300)
    last = memory.value("gain_exc", 1000) - memory.value("gain_exc", 900)
    assert (last < first).all()


def test_median_codes_make_the_uncalibrated_chip():
    made, drawn = pattern(RAW, 7, median_codes(RAW)), draw_fixed_pattern(RAW, 7)
    for entry in dataclasses.fields(made):
        assert getattr(made, entry.name) == pytest.approx(getattr(drawn, entry.name), rel=1e-12)


@pytest.mark.parametrize("name", PARAMETERS)
def test_mean_and_spread_at_equal_codes(name):
    """Other targets than those that the laws are drawn around."""
    config = dataclasses.replace(
        RAW, leak_lsb=95.0, reset_lsb=70.0, threshold_lsb=125.0, tau_mem_us=10.0, tau_syn_exc_us=8.0, tau_syn_inh_us=5.0
    )
    values = np.concatenate([getattr(pattern(config, s, median_codes(config)), FIELDS[name]) for s in range(20)])
    target = getattr(config, FIELDS[name], 1.0)
    relative = (values - target) / (70.0 if name in POTENTIALS else target)
    std = 0.05 if name in POTENTIALS else 0.20
    # One code is 0.6 % of the swing, 0.8 % of a time constant; half of that is lost by rounding. Crosstalk is below 2.
    assert abs(relative.mean()) < 5 * std / math.sqrt(values.size) + 0.02
    assert relative.std() == pytest.approx(std, rel=0.08)


def test_spread_follows_the_configured_noise():
    config = dataclasses.replace(RAW, noise=dataclasses.replace(RAW.noise, leak_std_lsb=2.0, tau_mem_std=0.1))
    made = [pattern(config, serial, median_codes(config)) for serial in range(20)]
    leak = np.concatenate([p.leak_lsb for p in made]) - 80.0
    log_tau = np.log(np.concatenate([p.tau_mem_us for p in made]) / 6.0) + math.log1p(0.01) / 2
    for sample, std in ((leak, 2.0), (log_tau, math.sqrt(math.log1p(0.01)))):
        law = stats.chi2(sample.size)
        assert 5e-7 < law.cdf((sample**2).sum() / std**2) < 1 - 5e-7
        assert law.cdf((sample**2).sum() / (1.05 * std) ** 2) < 5e-7


def test_what_no_code_changes_stays_as_drawn():
    base, moved = median_codes(RAW), median_codes(RAW).replace(leak=300, tau_mem=90, gain_inh=900)
    before, after = pattern(RAW, 7, base), pattern(RAW, 7, moved)
    for name in ("driver_gain", "synapse_gain", "delay_gain", "delay_offset_us"):
        assert (getattr(before, name) == getattr(after, name)).all()
    assert (after.leak_lsb > before.leak_lsb).all() and (after.tau_mem_us > before.tau_mem_us).all()
    assert (after.gain_inh > before.gain_inh).all()


def test_equal_neighbours_pull_most():
    config = CapMemConfig()
    codes = median_codes(ChipConfig())
    assert crosstalk(codes, config) == pytest.approx(0.0, abs=1e-12)
    leak = codes.leak.copy()
    leak[100] += 60
    shift = crosstalk(codes.replace(leak=leak), config)[PARAMETERS.index("leak")]
    # Circuit 100 has lost both neighbours, 99 and 101 one each, and nobody else noticed.
    assert shift[100] < shift[99] < 0.0 and shift[99] == pytest.approx(shift[101], rel=1e-12)
    assert np.flatnonzero(np.abs(shift) > 1e-12).tolist() == [99, 100, 101]
    assert np.abs(shift).max() <= config.crosstalk
    # Another parameter of the same circuit notices too.
    threshold = np.full(512, nominal_code("leak", ChipConfig(leak_lsb=150.0)))
    threshold[100] = codes.reset[100]
    shift = crosstalk(codes.replace(threshold=threshold), config)
    assert shift[PARAMETERS.index("reset"), 100] > shift[PARAMETERS.index("reset"), 101]


def test_neighbours_are_within_a_block():
    codes = median_codes(ChipConfig())
    leak = codes.leak.copy()
    leak[128] = 0
    shift = crosstalk(codes.replace(leak=leak), CapMemConfig())[PARAMETERS.index("leak")]
    assert np.flatnonzero(np.abs(shift) > 1e-12).tolist() == [128, 129, 255]  # a ring of 128..255


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 511), st.integers(0, 1021))
def test_a_higher_code_stays_higher_under_crosstalk(seed, circuit, code):
    rng = np.random.default_rng(seed)
    near = np.clip(code + rng.integers(-12, 13, (8, 512)), 0, 1022)
    codes = Codes(*near)
    memory = CapMem(RAW, serial=2, imperfections=CapMemConfig(crosstalk=5.0, crosstalk_width=10.0))
    for name in ("reset", "tau_syn_exc", "gain_exc"):
        values = []
        for value in (code, code + 1):
            changed = getattr(codes, name).copy()
            changed[circuit] = value
            made = memory.pattern(codes.replace(**{name: changed}))
            values.append(getattr(made, FIELDS[name])[circuit])
        assert (values[1] < values[0]) == (name in TIME_CONSTANTS) and values[0] != values[1]


def test_chip_with_codes():
    codes = median_codes(RAW).replace(leak=250)
    chip = Chip(RAW, serial=7, seed=1, codes=codes)
    assert (chip.fixed_pattern.leak_lsb == pattern(RAW, 7, codes).leak_lsb).all()
    without = Chip(RAW, serial=7, seed=1).fixed_pattern
    assert (without.leak_lsb == draw_fixed_pattern(RAW, 7).leak_lsb).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.replace(leak=1023),
            "capmem.leak[0] = 1023 is outside 0..1022; clip the code (1023 switches the refresh off)",
        ),
        (
            lambda c: c.replace(gain_exc=np.full(512, 3.5)),
            "capmem.gain_exc is of type float64, not integers; give integers",
        ),
        (
            lambda c: dataclasses.replace(c, reset=np.zeros(256, dtype=int)),
            "capmem.reset has shape (256,); expected (512,); clip the code (1023 switches the refresh off)",
        ),
        (
            lambda c: CapMemConfig(crosstalk=3.0, crosstalk_width=5.0),
            "capmem.crosstalk = 3 codes is outside 0..2.5 codes; above half of capmem.crosstalk_width codes would "
            "lose their order",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ChipError) as error:
        call(median_codes(ChipConfig()))
    assert str(error.value) == message
