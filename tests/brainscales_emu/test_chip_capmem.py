"""Capacitive memory: laws of circuits, their spread at equal codes, crosstalk, and the chip that is made of them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from brainscales_emu import ChipConfig, ChipError, NoiseConfig, preset
from brainscales_emu.capmem import (
    GAINS,
    PARAMETERS,
    POTENTIALS,
    TIME_CONSTANTS,
    CapMem,
    CapMemConfig,
    Codes,
    median_codes,
    pattern,
)
from brainscales_emu.chip import Chip
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.readout.adc import Madc, MadcConfig
from brainscales_emu.refractory import refractory_count
from brainscales_emu.routing.placement import place_feedforward

RAW = preset("uncalibrated")
FIELDS = {name: f"{name}_lsb" for name in POTENTIALS} | {name: f"{name}_us" for name in TIME_CONSTANTS}
FIELDS |= {name: name for name in GAINS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_laws_are_strictly_monotone_and_individual(name):
    memory = CapMem(RAW, serial=7)
    values = np.stack([memory.value(name, code) for code in range(1023)])
    steps = np.diff(values, axis=0)
    assert (steps < 0).all() if name in TIME_CONSTANTS else (steps > 0).all()
    # Not one law shifted or scaled: what is left of code 900 by that of code 114 differs between circuits.
    either = values[900] - values[114] if name in POTENTIALS else values[900] / values[114]
    assert either.std() / either.mean() > 0.005


# Codes of the vendor's calibration on W66 and chip 55: medians (80, 80, 150 LSB; 6 us), and what the tutorial's chip
# reads at codes 700, 400 and 300, in LSB of the MADC.
REAL = {
    "leak": (668, 492),
    "reset": (675, 467),
    "threshold": (410, 382),
    "tau_mem": (162, 145),
    "tau_syn_exc": (80, 137),
    "tau_syn_inh": (77, 130),
}
TUTORIAL = {"leak": (700, 375.0), "threshold": (300, 400.0), "reset": (400, 232.0)}


def test_a_typical_chip_lies_between_two_real_ones():
    typical, some = CapMem(RAW, serial=None), [CapMem(RAW, serial) for serial in range(200)]
    for name, real in REAL.items():
        assert min(real) < typical.reference_code(name) < max(real)
        chips = np.array([memory.reference_code(name) for memory in some])
        inside = np.mean((chips > min(real)) & (chips < max(real)))
        assert 0.45 < inside < 0.8, name  # 0.68 of normal chips around the middle, with half the distance as spread


@pytest.mark.parametrize("name", TUTORIAL)
def test_a_typical_chip_reads_as_the_tutorials(name):
    code, reading = TUTORIAL[name]
    madc = Madc(MadcConfig(noise_std_lsb=0.0), 1)
    typical = CapMem(ChipConfig(), serial=None).value(name, code)[:1, None]
    assert madc.convert(typical, [0], 0)[0, 0] == pytest.approx(reading, rel=0.15)


def test_the_slope_never_exceeds_that_of_the_converters_calibration():
    """Vendor software (calix): codes 70..550 read 20..220 LSB."""
    memory = CapMem(ChipConfig(), None)
    for name in POTENTIALS:
        steps = np.diff([memory.value(name, code)[0] for code in range(1023)])
        assert 0.0 < steps.min() and steps.max() < 200 / 480 * 1.1  # slopes differ by 2 % from circuit to circuit


def test_the_tutorials_pacemaker_spikes():
    """Leak far above, reset below the threshold, a leak bias of 150, and 255 counts of refractory time."""
    codes = median_codes(RAW, 1).replace(leak=1000, threshold=300, reset=400, tau_mem=150)
    assert refractory_count(2.04) == (255, 0)
    chip = Chip(dataclasses.replace(RAW, refractory_us=2.04), serial=1, codes=codes)
    chip.write(place_feedforward(1, [np.zeros((1, 10), dtype=int)], [None]).fabric)
    spikes = np.bincount(chip.run([], [], 200.0, trial=0).circuits)
    assert np.count_nonzero(spikes) == 10 and (spikes[spikes > 0] > 10).all()  # 14 in the vendor's figure


def test_currents_are_proportional_but_for_their_leakage():
    memory = CapMem(RAW, serial=7)
    exponent = np.log(memory.value("tau_mem", 400) / memory.value("tau_mem", 200)) / math.log(2.0)
    assert (exponent < -0.9).all() and (exponent > -1.0).all()
    ratio = memory.value("gain_exc", 500) / memory.value("gain_exc", 250)
    assert (ratio < 2.0).all() and (ratio > 1.9).all()


def test_gain_is_proportional_to_the_converters_bias():
    codes = median_codes(RAW, 3)
    half = codes.replace(synapse_dac_bias=[511, 1022, 1022, 1022])
    before, after = pattern(RAW, 3, codes), pattern(RAW, 3, half)
    for name in GAINS:
        np.testing.assert_allclose(getattr(after, name)[:128], 0.5 * getattr(before, name)[:128], rtol=1e-12)
        np.testing.assert_array_equal(getattr(after, name)[128:], getattr(before, name)[128:])


def test_the_vendors_nightly_biases_have_the_slope_of_its_demo():
    """0.79 MADC LSB per LSB of weight, at time constants of 10 us, whose kernel peaks at 10 us / e."""
    nightly = ChipConfig(synapse_dac_bias=600, synin_gm=500)
    slope = nightly.event_gain * 10.0 / math.e * MadcConfig().lsb_per_cadc_lsb
    assert slope == pytest.approx(0.79, rel=0.02)
    assert ChipConfig().event_gain == ChipConfig().synaptic_gain


@pytest.mark.parametrize("serial", [0, 7])
def test_median_codes_make_the_uncalibrated_chip(serial):
    made, drawn = pattern(RAW, serial, median_codes(RAW, serial)), draw_fixed_pattern(RAW, serial)
    for entry in dataclasses.fields(made):
        # to half a code of 0.17 and 0.3 LSB, and of 1 in 60 at the least
        bounds = {"abs": 0.16} if entry.name.endswith("_lsb") else {"rel": 0.01}
        assert getattr(made, entry.name) == pytest.approx(getattr(drawn, entry.name), **bounds)


SPREAD = NoiseConfig(  # all parameters 5 % of the swing, or 20 %
    tau_mem_std=0.2, tau_syn_std=0.2, leak_std_lsb=3.5, reset_std_lsb=3.5, threshold_std_lsb=3.5, neuron_gain_std=0.2
)


@pytest.mark.parametrize("name", PARAMETERS)
def test_mean_and_spread_at_equal_codes(name):
    """Other targets than those that the laws are drawn around."""
    config = ChipConfig(
        leak_lsb=95.0,
        reset_lsb=70.0,
        threshold_lsb=125.0,
        tau_mem_us=10.0,
        tau_syn_exc_us=8.0,
        tau_syn_inh_us=5.0,
        noise=SPREAD,
    )
    made = [pattern(config, serial, median_codes(config, serial)) for serial in range(20)]
    values = np.concatenate([getattr(p, FIELDS[name]) for p in made])
    target = getattr(config, FIELDS[name], 1.0)
    relative = (values - target) / (70.0 if name in POTENTIALS else target)
    std = 0.05 if name in POTENTIALS else 0.20
    # One code is up to 0.4 % of the swing, 2 % of a time constant; half of that is lost by rounding. Crosstalk is
    # below 2 codes.
    assert abs(relative.mean()) < 5 * std / math.sqrt(values.size) + 0.02
    assert relative.std() == pytest.approx(std, rel=0.08)


def test_spread_follows_the_configured_noise():
    config = dataclasses.replace(RAW, noise=NoiseConfig(leak_std_lsb=2.0, tau_mem_std=0.1))
    # No rounding of codes: the laws at their reference.
    laws = [CapMem(config, serial) for serial in range(20)]
    leak = np.concatenate([law.value("leak", law.reference_code("leak")) for law in laws]) - 80.0
    log_tau = np.log(np.concatenate([law.value("tau_mem", law.reference_code("tau_mem")) for law in laws]) / 6.0)
    log_tau += math.log1p(0.01) / 2
    for sample, std in ((leak, 2.0), (log_tau, math.sqrt(math.log1p(0.01)))):
        law = stats.chi2(sample.size)
        assert 5e-7 < law.cdf((sample**2).sum() / std**2) < 1 - 5e-7
        assert law.cdf((sample**2).sum() / (1.05 * std) ** 2) < 5e-7


def test_what_no_code_changes_stays_as_drawn():
    base = median_codes(RAW, 7)
    moved = base.replace(leak=base.leak + 50, tau_mem=base.tau_mem - 50, gain_inh=900)
    before, after = pattern(RAW, 7, base), pattern(RAW, 7, moved)
    for name in ("driver_gain", "synapse_gain", "delay_gain", "delay_offset_us"):
        assert (getattr(before, name) == getattr(after, name)).all()
    assert (after.leak_lsb > before.leak_lsb).all() and (after.tau_mem_us > before.tau_mem_us).all()
    assert (after.gain_inh > before.gain_inh).all()


def test_equal_neighbours_pull_most():
    memory = CapMem(RAW, 7)
    codes = CapMem(ChipConfig(), 7).median_codes()
    assert memory.crosstalk(codes) == pytest.approx(0.0, abs=1e-12)
    leak = codes.leak.copy()
    leak[100] += 60
    shift = memory.crosstalk(codes.replace(leak=leak))[PARAMETERS.index("leak")]
    # Circuit 100 has lost both neighbours, 99 and 101 one each, and nobody else noticed.
    assert shift[100] < shift[99] < 0.0 and shift[99] == pytest.approx(shift[101], rel=1e-12)
    assert np.flatnonzero(np.abs(shift) > 1e-9).tolist() == [99, 100, 101]
    assert np.abs(shift).max() <= memory.imperfections.crosstalk
    # Another parameter of the same circuit notices too.
    threshold = codes.threshold.copy()
    threshold[100] = codes.reset[100]
    shift = memory.crosstalk(codes.replace(threshold=threshold))
    assert shift[PARAMETERS.index("reset"), 100] > shift[PARAMETERS.index("reset"), 101]


def test_neighbours_are_within_a_block():
    codes = CapMem(ChipConfig(), 7).median_codes()
    leak = codes.leak.copy()
    leak[128] = 0
    shift = CapMem(RAW, 7).crosstalk(codes.replace(leak=leak))[PARAMETERS.index("leak")]
    assert np.flatnonzero(np.abs(shift) > 1e-9).tolist() == [128, 129, 255]  # a ring of 128..255


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
    codes = median_codes(RAW, 7).replace(leak=250)
    chip = Chip(RAW, serial=7, seed=1, codes=codes)
    assert (chip.fixed_pattern.leak_lsb == pattern(RAW, 7, codes).leak_lsb).all()
    without = Chip(RAW, serial=7, seed=1).fixed_pattern
    assert (without.leak_lsb == draw_fixed_pattern(RAW, 7).leak_lsb).all()


def test_codes_can_be_written_anew():
    """A chip that gets other codes is the chip that was made with them, its network and its settling included."""
    placement = place_feedforward(1, [np.full((1, 4), 40)], [None])
    codes, runs = median_codes(RAW, 7).replace(leak=700, threshold=380), []
    made = Chip(dataclasses.replace(RAW, refractory_us=2.0), serial=7, codes=codes)
    rewritten = Chip(RAW, serial=7, codes=median_codes(RAW, 7))
    rewritten.write(placement.fabric)
    rewritten.run([], [], 10.0, trial=0)
    rewritten.write_codes(codes, refractory_us=2.0)
    made.write(placement.fabric)
    for chip in (made, rewritten):
        runs.append(chip.run([5.0], placement.lines["input"], 50.0, trial=1))
        assert "settle" in [phase.name for phase in chip.timeline]
    assert runs[0].ticks.size > 2
    np.testing.assert_array_equal(runs[0].ticks, runs[1].ticks)
    assert rewritten.account.configuration_ns > made.account.configuration_ns


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
