"""Refractory times are counts of a clock of 250 MHz / 2^(scale + 1)."""

import dataclasses

import numpy as np
import pytest

from brainscales_emu import ChipConfig, ChipError, preset
from brainscales_emu.chip import Chip
from brainscales_emu.refractory import refractory_count, refractory_us
from brainscales_emu.routing.placement import place_feedforward


@pytest.mark.parametrize(
    ("time_us", "cycles", "scale", "made_us"),
    [
        (0.04, 5, 0, 0.04),
        (2.0, 250, 0, 2.0),
        (2.04, 255, 0, 2.04),  # the tutorial's: its fall takes about 2 us
        (2.048, 128, 1, 2.048),
        (20.0, 156, 4, 19.968),
        (30.0, 234, 4, 29.952),
        (66_846.72, 255, 15, 66_846.72),
    ],
)
def test_known_counts(time_us, cycles, scale, made_us):
    count = refractory_count(time_us)
    assert count == (cycles, scale) and count.us == pytest.approx(made_us, rel=1e-12)


@pytest.mark.parametrize("time_us", np.geomspace(0.04, 66_846.0, 57))
def test_no_other_count_is_nearer(time_us):
    made = refractory_count(time_us)
    assert 1 <= made.cycles <= 255 and 0 <= made.scale <= 15
    best = min(abs(n * 2 ** (made.scale + 1) / 250 - time_us) for n in range(1, 256))
    assert abs(made.us - time_us) == pytest.approx(best, abs=1e-9)
    assert made.scale == 0 or time_us * 125 / 2 ** (made.scale - 1) > 255.4  # the faster clock would overflow


def test_a_neuron_is_held_for_as_long():
    """Leak over threshold: spikes come one refractory time and one climb apart."""
    config = ChipConfig(leak_lsb=250.0, threshold_lsb=81.0, refractory_us=20.0)
    climb_us = 6.0 * np.log((250 - 80) / (250 - 81))
    for exact, expected in ((False, 19.968), (True, 20.0)):
        config = dataclasses.replace(config, exact_input_times=exact)
        chip = Chip(config)
        chip.write(place_feedforward(1, [np.zeros((1, 1), dtype=int)], [None]).fabric)
        times_us = chip.run([], [], 500.0, trial=0).analogue_times_us
        assert np.diff(times_us) == pytest.approx(expected + climb_us, abs=1e-9)
        assert refractory_us(config) == pytest.approx(expected)


def test_the_null_model_has_them_exactly():
    assert refractory_us(preset("ideal")) == 20.0


@pytest.mark.parametrize("time_us", [0.0, 0.039, 66_847.0, float("nan")])
def test_out_of_range(time_us):
    with pytest.raises(ChipError, match=r"chip\.refractory_us = .* choose a refractory time that the clocks can make"):
        refractory_count(time_us)
