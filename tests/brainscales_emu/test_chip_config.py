"""Configuration, presets, and what an import costs."""

import dataclasses
import subprocess
import sys

import pytest

from brainscales_emu import PRESET_NAMES, ChipConfig, ChipError, LinkConfig, NoiseConfig, SaturationConfig, preset


def test_defaults_follow_delgrad():
    config = ChipConfig()
    assert (config.tau_mem_us, config.tau_syn_exc_us, config.tau_syn_inh_us) == (6.0, 6.0, 6.0)
    assert (config.leak_lsb, config.reset_lsb, config.threshold_lsb, config.refractory_us) == (80, 80, 150, 20)
    # weight 30 LSB is 1 model unit, of which 2.6 times the kernel's unit make the swing of 70 LSB
    assert config.synaptic_gain * 30 * 6.0 * 2.6 == pytest.approx(70.0, rel=1e-15)
    assert config.event_latency_us == 0.08
    assert config.noise == NoiseConfig()


def test_presets():
    assert PRESET_NAMES == ("ideal", "calibrated", "uncalibrated", "w66f3")
    assert preset("ideal").noise == NoiseConfig()
    assert preset("ideal").event_latency_us == 0.0
    fitted = preset("w66f3").noise
    assert fitted.threshold_std_lsb == pytest.approx(4.06)  # 5.8 % of 70 LSB
    assert preset("calibrated").noise.threshold_noise_std_lsb == pytest.approx(0.84)  # 1.2 %
    assert (fitted.weight_std, fitted.delay_offset_std_us, fitted.delay_jitter_us) == (0.10, 0.18, 0.06)
    calibrated, raw = preset("calibrated").noise, preset("uncalibrated").noise
    # the vendor's acceptance limits of calibrated over uncalibrated spread
    assert calibrated.tau_mem_std < 0.45 * raw.tau_mem_std
    assert calibrated.tau_syn_std < 0.20 * raw.tau_syn_std
    for entry in dataclasses.fields(NoiseConfig):
        assert getattr(calibrated, entry.name) <= getattr(raw, entry.name)
    assert all(preset(name).exact_input_times == (name == "ideal") for name in PRESET_NAMES)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ChipError) as error:
        preset("calibratd")
    assert str(error.value) == (
        "chip.preset = 'calibratd' is unknown; did you mean 'calibrated'? "
        "Known are ideal, calibrated, uncalibrated, w66f3"
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: ChipConfig(tau_mem_us=0.1),
            "chip.tau_mem_us = 0.1 us is outside 0.5..60 us; choose a time constant that the circuit can make",
        ),
        (
            lambda: ChipConfig(tau_syn_inh_us=float("nan")),
            "chip.tau_syn_inh_us = nan us is outside 0.3..30 us; choose a time constant that the circuit can make",
        ),
        (
            lambda: ChipConfig(leak_lsb="80"),
            "chip.leak_lsb = '80' is not a number; allowed are 0..255 LSB; "
            "choose a potential that the 8-bit converter can read",
        ),
        (
            lambda: ChipConfig(threshold_lsb=80.0),
            "chip.threshold_lsb = 80.0 LSB is not above chip.reset_lsb = 80.0 LSB; "
            "raise the threshold or lower the reset",
        ),
        (
            lambda: ChipConfig(refractory_us=0.0),
            "chip.refractory_us = 0 us is outside 0.04..66846.72 us; choose a refractory time that the clocks can make",
        ),
        (
            lambda: ChipConfig(exact_input_times=1),
            "chip.exact_input_times = 1 is not true or false; give one of the two",
        ),
        (
            lambda: SaturationConfig(lower_rail_lsb=166.0),
            "chip.saturation.upper_linear_lsb = 166 LSB is not above chip.saturation.lower_rail_lsb = 166 LSB; "
            "raise the one or lower the other",
        ),
        (
            lambda: SaturationConfig(upper_rail_lsb=256.0),
            "chip.saturation.upper_rail_lsb = 256 LSB is outside 0..255 LSB; "
            "choose a potential that the 8-bit converter can read",
        ),
        (
            lambda: NoiseConfig(weight_std=-0.1),
            "chip.noise.weight_std = -0.1 is outside 0..1; give a relative standard deviation, 0.05 for 5 %",
        ),
        (
            lambda: NoiseConfig(delay_jitter_us=60.0),
            "chip.noise.delay_jitter_us = 60 us is outside 0..1 us; give a standard deviation in us",
        ),
        (
            lambda: LinkConfig(words_per_event=True),
            "chip.link.words_per_event = True is not an integer; allowed are 1..64; give a count",
        ),
    ],
)
def test_errors(build, message):
    with pytest.raises(ChipError) as error:
        build()
    assert str(error.value) == message


def test_chip_error_is_a_value_error():
    with pytest.raises(ValueError, match=r"chip\.refractory_us"):
        ChipConfig(refractory_us=-1.0)


def test_import_is_light():
    code = "import brainscales_emu, sys; print([m for m in ('numba', 'simpy', 'h5py') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
