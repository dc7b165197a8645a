"""Delay elements: law, grid, busy time, jitter."""

import numpy as np
import pytest

from brainscales_emu import ChipConfig, ChipError, NoiseConfig, preset
from brainscales_emu.chip import Chip
from brainscales_emu.delay import register_to_us, us_to_register
from brainscales_emu.mismatch import trial_key
from brainscales_emu.readable.delay import fire_times
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.routing.placement import place_feedforward


def test_law():
    # DelGrad, authors' code: tref / 8 + 2 us, tref 50..250; training uses tref 80..152, i.e. 12..21 us
    np.testing.assert_array_equal(register_to_us([50, 80, 152, 250]), [8.25, 12.0, 21.0, 33.25])
    registers = np.arange(50, 251).reshape(3, 67)
    np.testing.assert_array_equal(us_to_register(register_to_us(registers)), registers)
    np.testing.assert_array_equal(us_to_register([12.06, 12.07, 8.25, 33.25]), [80, 81, 50, 250])
    wanted = np.random.default_rng(1).uniform(8.25, 33.25, 1000)
    assert np.max(np.abs(register_to_us(us_to_register(wanted)) - wanted)) <= 0.0625


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: us_to_register([9.0, 9.0, 9.0, 7.1]),
            "chip.delay[3] = 7.1 us is outside 8.25..33.25 us; change the delay or drop the delay element",
        ),
        (
            lambda: us_to_register([40.0]),
            "chip.delay[0] = 40 us is outside 8.25..33.25 us; change the delay or drop the delay element",
        ),
        (
            lambda: us_to_register([np.nan]),
            "chip.delay[0] = nan is not a number; change the delay or drop the delay element",
        ),
        (
            lambda: register_to_us([60, 251]),
            "chip.delay_register[1] = 251 is outside 50..250; clip the register or drop the delay element; "
            "us_to_register makes registers of times",
        ),
        (
            lambda: register_to_us([60.5]),
            "chip.delay_register is of type float64, not integers; clip the register or drop the delay "
            "element; us_to_register makes registers of times",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message


def element_chip(config, registers, serial=1):
    """One input per delay element, no weights."""
    n = len(registers)
    chip = Chip(config, serial=serial, seed=4)
    placement = place_feedforward(n, [np.zeros((n, 1), dtype=int)], [registers])
    chip.write(placement.fabric)
    return chip, placement.delays[0]


def test_ideal_element_fires_after_its_delay():
    chip, outputs = element_chip(preset("ideal"), [50, 100, 250])
    assert np.all((outputs >= 257) & (outputs % 2 == 1))
    recording = chip.run([0.0, 1.0, 2.0], [2, 1, 0], 100.0, 0)
    np.testing.assert_array_equal(recording.circuits, outputs)
    np.testing.assert_allclose(recording.analogue_times_us, [10.25, 15.5, 33.25], rtol=1e-14)
    np.testing.assert_array_equal(recording.ticks, [1281, 1937, 4156])  # 8 ns cycles, rounded down


def test_gain_and_offset_of_each_element():
    config = ChipConfig(noise=NoiseConfig(delay_gain_std=0.05, delay_offset_std_us=0.3))
    chip, outputs = element_chip(config, [80, 160], serial=9)
    recording = chip.run([0.0, 0.0], [0, 1], 100.0, 0)
    pattern = chip.fixed_pattern
    elements = (outputs - 257) // 2
    expected = np.array([12.0, 22.0]) * pattern.delay_gain[elements] + pattern.delay_offset_us[elements]
    np.testing.assert_allclose(recording.analogue_times_us, np.sort(expected), rtol=1e-13)


def test_events_at_a_busy_element_are_lost():
    triggers = [0.0, 3.0, 8.24, 8.26, 12.0, 40.0, 48.24]
    expected, lost = fire_times(triggers, 8.25)
    assert expected == pytest.approx([8.25, 16.51, 48.25], rel=1e-15)
    assert lost == 4
    chip, _ = element_chip(preset("ideal"), [50])
    recording = chip.run(triggers, [0] * len(triggers), 100.0, 0)
    np.testing.assert_allclose(recording.analogue_times_us, expected, rtol=1e-14)
    assert recording.lost_events == 4
    assert chip.account.lost_events == 4


def test_jitter_is_drawn_once_per_event():
    config = ChipConfig(noise=NoiseConfig(delay_jitter_us=0.06), exact_input_times=True)
    chip, (output,) = element_chip(config, [50])
    triggers = np.arange(40) * 30.0
    recording = chip.run(triggers, np.zeros(40, dtype=int), 2000.0, 7)
    noise = TrialNoise(trial_key(4, 7))
    expected, _ = fire_times(triggers.tolist(), 8.25, [0.06 * noise.draw(int(output)) for _ in range(40)])
    np.testing.assert_allclose(recording.analogue_times_us, expected, rtol=1e-13)


def test_both_targets_see_the_same_jittered_event():
    # Axonal: the delayed event is one spike on the chip, whoever listens.
    config = ChipConfig(noise=NoiseConfig(delay_jitter_us=0.06))
    chip = Chip(config, serial=1, seed=4)
    placement = place_feedforward(5, [np.full((5, 2), 63)], [[50] * 5])
    chip.write(placement.fabric)
    recording = chip.run(np.zeros(5), np.arange(5), 100.0, 0)
    first, second = (recording.analogue_times_us[recording.circuits == c] for c in placement.neurons["layer 0"][:, 0])
    assert first.size >= 1
    np.testing.assert_array_equal(first, second)
