"""Noise at its parameter: the variance by chi-square, the mean by a z test, and a wrong parameter must fail."""

import dataclasses
import math

import numpy as np
import pytest
from normal_samples import assert_std, is_normal_with

from brainscales_emu import ChipConfig, NoiseConfig, preset
from brainscales_emu.chip import Chip
from brainscales_emu.mismatch import FixedPattern, draw_fixed_pattern, stream
from brainscales_emu.routing.placement import place_feedforward

SPREAD = NoiseConfig(
    tau_mem_std=0.05,
    tau_syn_std=0.20,
    leak_std_lsb=1.5,
    reset_std_lsb=2.5,
    threshold_std_lsb=4.0,
    threshold_mean_lsb=3.5,
    neuron_gain_std=0.1,
    driver_gain_std=0.07,
    weight_std=0.10,
    delay_gain_std=0.02,
    delay_offset_std_us=0.18,
)


@pytest.fixture(scope="module")
def chips():
    """Fixed patterns of many chips, field by field in one vector."""
    config = ChipConfig(noise=SPREAD)
    patterns = [draw_fixed_pattern(config, serial) for serial in range(200)]
    names = [entry.name for entry in dataclasses.fields(FixedPattern)]
    return {
        name: np.concatenate([getattr(p, name).ravel() for p in patterns[: 10 if name == "synapse_gain" else None]])
        for name in names
    }


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("tau_mem_us", 6.0, 0.05),
        ("tau_syn_exc_us", 6.0, 0.20),
        ("tau_syn_inh_us", 6.0, 0.20),
        ("gain_exc", 1.0, 0.1),
        ("gain_inh", 1.0, 0.1),
        ("driver_gain", 1.0, 0.07),
        ("synapse_gain", 1.0, 0.10),
        ("delay_gain", 1.0, 0.02),
    ],
)
def test_positive_quantities_are_lognormal(chips, name, mean, std):
    sample = chips[name] / mean
    assert sample.min() > 0
    # moments of the quantity itself
    assert sample.mean() == pytest.approx(1.0, abs=5 * std / math.sqrt(sample.size))
    assert sample.std() == pytest.approx(std, rel=0.03)
    # exact law of its logarithm
    variance = math.log(1 + std**2)
    assert_std(np.log(sample), -variance / 2, math.sqrt(variance))


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("leak_lsb", 80.0, 1.5),
        ("reset_lsb", 80.0, 2.5),
        ("threshold_lsb", 153.5, 4.0),
        ("delay_offset_us", 0.0, 0.18),
    ],
)
def test_potentials_and_offsets_are_normal(chips, name, mean, std):
    assert_std(chips[name], mean, std)


def test_pattern_depends_on_serial_alone():
    config = ChipConfig(noise=SPREAD)
    one, again = Chip(config, serial=7, seed=1).fixed_pattern, Chip(config, serial=7, seed=2).fixed_pattern
    other = draw_fixed_pattern(config, 8)
    for entry in dataclasses.fields(FixedPattern):
        np.testing.assert_array_equal(getattr(one, entry.name), getattr(again, entry.name))
        assert np.all(getattr(one, entry.name) != getattr(other, entry.name))


def test_a_spread_changes_no_other_draw():
    one = draw_fixed_pattern(ChipConfig(noise=SPREAD), 7)
    other = draw_fixed_pattern(ChipConfig(noise=dataclasses.replace(SPREAD, leak_std_lsb=0.0)), 7)
    assert np.all(other.leak_lsb == 80.0)
    for entry in dataclasses.fields(FixedPattern):
        if entry.name != "leak_lsb":
            np.testing.assert_array_equal(getattr(one, entry.name), getattr(other, entry.name))


def test_ideal_pattern_has_no_spread():
    pattern = draw_fixed_pattern(preset("ideal"), 7)
    for name, value in (("tau_mem_us", 6.0), ("threshold_lsb", 150.0), ("synapse_gain", 1.0), ("delay_offset_us", 0.0)):
        assert np.all(getattr(pattern, name) == value)


def test_streams_differ_by_seed_name_and_index():
    draws = [stream(1, "a"), stream(2, "a"), stream(1, "b"), stream(1, "a", 0), stream(1, "a", 1)]
    values = [rng.standard_normal() for rng in draws]
    assert len(set(values)) == len(values)
    assert stream(1, "a").standard_normal() == values[0]


def test_threshold_noise():
    # A pacemaker tells its threshold at every spike:
    # interval = refractory + tau log((leak - reset) / (leak - threshold))
    std = 0.84
    noise = NoiseConfig(threshold_noise_std_lsb=std)
    config = ChipConfig(leak_lsb=250.0, threshold_lsb=100.0, refractory_us=1.0, noise=noise)
    chip = Chip(config, serial=1, seed=5)
    chip.write(place_feedforward(1, [np.zeros((1, 256), dtype=int)], [None]).fabric)
    recording = chip.run([], [], 150.0, trial=0)
    thresholds = []
    for circuit in range(256):
        spikes = recording.analogue_times_us[recording.circuits == circuit]
        rise = np.diff(spikes, prepend=-1.0) - 1.0  # the first one starts at 0 without a refractory time
        thresholds.append(250.0 - 170.0 * np.exp(-rise / 6.0))
    sample = np.concatenate([values[:75] for values in thresholds])
    assert sample.size == 256 * 75
    assert_std(sample, 100.0, std)
    first = np.array([values[0] for values in thresholds])  # drawn when the run starts
    assert is_normal_with(first, 100.0, std)


def test_delay_jitter():
    std = 0.06
    config = ChipConfig(noise=NoiseConfig(delay_jitter_us=std), exact_input_times=True)
    chip = Chip(config, serial=1, seed=5)
    elements, events = 100, 200
    weights = [np.zeros((elements, 1), dtype=int)]
    chip.write(place_feedforward(elements, weights, [np.full(elements, 50)]).fabric)
    times = np.repeat(20.0 * np.arange(events), elements)
    recording = chip.run(times, np.tile(np.arange(elements), events), 20.0 * events, trial=0)
    assert recording.lost_events == 0
    assert recording.ticks.size == elements * events
    sample = recording.analogue_times_us - 20.0 * np.round((recording.analogue_times_us - 8.25) / 20.0) - 8.25
    assert_std(sample, 0.0, std)


def noisy_chip(seed=1, serial=1):
    chip = Chip(preset("w66f3"), serial=serial, seed=seed)
    chip.write(place_feedforward(10, [np.full((10, 5), 40)], [np.full(10, 100)]).fabric)
    return chip


def times_of(chip, trial):
    return chip.run(np.linspace(0.0, 5.0, 10), np.arange(10), 100.0, trial).analogue_times_us


def test_same_trial_same_bits():
    chip = noisy_chip()
    first = times_of(chip, 3)
    assert first.size > 10
    times_of(chip, 4)  # nothing is carried over
    np.testing.assert_array_equal(times_of(chip, 3), first)
    np.testing.assert_array_equal(times_of(noisy_chip(), 3), first)


def test_other_trial_seed_or_serial_other_times():
    first = times_of(noisy_chip(), 3)
    for other in (times_of(noisy_chip(), 4), times_of(noisy_chip(seed=2), 3), times_of(noisy_chip(serial=2), 3)):
        assert not np.isin(other, first).any()
