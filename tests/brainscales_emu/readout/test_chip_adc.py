"""Read-out: ranges, instants, offsets, noise at its parameter, the membrane as the converters see it, counters."""

import math

import numpy as np
import pytest
from scipy import stats

from brainscales_emu import ChipConfig, ChipError
from brainscales_emu.chip import Chip
from brainscales_emu.readout.adc import Cadc, CadcConfig, Madc, MadcConfig, count_spikes
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward

ALPHA = 1e-6
ALL = np.arange(512)
QUIET = CadcConfig(offset_std_lsb=0.0, noise_std_lsb=0.0)


def has_std(sample, std, n_means=0):
    """Chi-square test of the variance around 0; `n_means` estimated means were taken out."""
    chi2 = np.sum(sample**2) / std**2
    return ALPHA / 2 < stats.chi2.cdf(chi2, sample.size - n_means) < 1 - ALPHA / 2


def test_cadc_reads_potentials_in_lsb():
    cadc = Cadc(QUIET, serial=1, seed=1)
    potential = np.array([[-5.0, 0.0, 79.6, 80.4, 254.9, 300.0]])
    assert cadc.convert(potential, [3], trial=0).tolist() == [[0, 0, 80, 80, 255, 255]]


def test_cadc_noise_is_1_2_lsb():
    cadc = Cadc(CadcConfig(), serial=4, seed=2)
    rest = cadc.convert(np.full((512, 400), 120.0), ALL, trial=0).astype(float)
    rest -= rest.mean(axis=1, keepdims=True)
    with_rounding = math.hypot(1.2, math.sqrt(1 / 12))  # a step of 1 LSB adds 1/12 to the variance
    assert has_std(rest, with_rounding, n_means=512)
    assert not has_std(rest, 1.05 * with_rounding, n_means=512)
    assert not has_std(rest, 0.95 * with_rounding, n_means=512)


def test_cadc_offsets_belong_to_channel_and_chip():
    def offsets(serial, channel):
        cadc = Cadc(CadcConfig(noise_std_lsb=0.0), serial, seed=1)
        return cadc.convert(np.full((512, 1), 120.0), ALL, 0, channel)[:, 0] - 120.0

    both = np.stack([offsets(7, "causal"), offsets(7, "acausal")])
    assert (both == [offsets(7, "causal"), offsets(7, "acausal")]).all()
    assert abs(np.corrcoef(both)[0, 1]) < 0.25  # 5.7 standard errors of 512 independent pairs
    many = np.concatenate([offsets(serial, "causal") for serial in range(20)])
    with_rounding = math.hypot(9.6, math.sqrt(1 / 12))  # 9.0 to 9.9 LSB on two real chips
    assert has_std(many, with_rounding)
    assert not has_std(many, 1.05 * with_rounding)
    assert abs(many.mean()) < 5 * 9.6 / math.sqrt(many.size)
    assert many.std() < 20.0  # the vendor's limit before the correction


def test_digital_offset_is_added_to_the_reading():
    cadc = Cadc(QUIET, serial=1, seed=1)
    registers = np.zeros((2, 512), dtype=int)
    registers[0, 5], registers[1, 5], registers[0, 6] = 127, -128, -128
    cadc.write_offsets(registers)
    potential = np.full((3, 1), 100.0)
    assert cadc.convert(potential, [4, 5, 6], 0)[:, 0].tolist() == [100, 227, 0]
    assert cadc.convert(potential, [4, 5, 6], 0, "acausal")[:, 0].tolist() == [100, 0, 100]


def test_same_trial_same_readings_whoever_else_is_looked_at():
    potential = np.full((512, 7), 90.0)
    cadc = Cadc(CadcConfig(), serial=1, seed=3)
    everywhere = cadc.convert(potential, ALL, trial=5)
    assert (cadc.convert(potential[:2], [9, 300], trial=5) == everywhere[[9, 300]]).all()
    assert (cadc.convert(potential, ALL, trial=6) != everywhere).any()
    assert (Cadc(CadcConfig(), serial=1, seed=4).convert(potential, ALL, trial=5) != everywhere).any()


def test_instants():
    cadc = Cadc(CadcConfig(), serial=1, seed=1)
    times = cadc.instants(17.0)
    assert times.size == 11 and times[-1] == 17.0 and np.allclose(np.diff(times), 1.7)
    assert Cadc(CadcConfig(period_us=6.0), 1, 1).instants(20.0, start_us=1.0).tolist() == [1.0, 7.0, 13.0, 19.0]
    times = Madc(MadcConfig(), seed=1).instants(1000.0)
    assert times.size == 29412  # 29.4 million samples per second
    assert np.allclose(np.diff(times), 17 / 500)


def test_converters_sample_the_membrane_of_a_run():
    config = ChipConfig(exact_input_times=True)
    placement = place_feedforward(1, [np.full((1, 2), 40)], [None])
    chip = Chip(config, serial=1, seed=1)
    chip.write(placement.fabric)
    circuits = placement.neurons["layer 0"][:, 0]

    def expected(times_us):  # of an event at 3 us; (t / tau) exp(-t / tau) with tau = 6 us
        s = np.maximum(times_us - 3.0, 0.0)
        return 80.0 + 40 * config.synaptic_gain * s * np.exp(-s / 6.0)

    cadc, madc = Cadc(QUIET, 1, 1), Madc(MadcConfig(noise_std_lsb=0.0), 1)
    for converter in (cadc, madc):
        times = converter.instants(40.0)
        seen = chip.run([3.0], [0], 40.0, trial=0, probe=Probe(circuits, times)).membrane_lsb
        if converter is madc:
            seen, circuits = seen[:1], circuits[:1]
        readings = converter.convert(seen, circuits, trial=0)
        in_lsb = expected(times) if converter is cadc else 38.0 + 2.7 * expected(times)
        assert np.abs(readings - in_lsb).max() <= 0.5 + 1e-9
        assert np.ptp(readings[0]) > 10


def test_madc_noise_and_scale():
    madc = Madc(MadcConfig(), seed=1)
    rest = madc.convert(np.full((2, 50_000), 100.0), [10, 11], trial=0).astype(float)
    assert rest.mean() == pytest.approx(308.0, abs=0.1)
    noise = rest - rest.mean(axis=1, keepdims=True)
    with_rounding = math.hypot(2.0, math.sqrt(1 / 12))
    assert has_std(noise, with_rounding, n_means=2)
    assert not has_std(noise, 1.05 * with_rounding, n_means=2)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.03
    quiet = Madc(MadcConfig(noise_std_lsb=0.0), seed=1)
    swing = quiet.convert([[80.0, 150.0, -100.0, 900.0]], [0], trial=0)[0]
    assert swing[:2].tolist() == [254, 443] and swing[2:].tolist() == [0, 1023]
    assert quiet.to_cadc_lsb(swing[:2]) == pytest.approx([80.0, 150.0], abs=0.2)


@pytest.mark.parametrize(("circuits", "named"), [([0, 2], "0 and 2, which are both even"), ([7, 4, 301], "7 and 301")])
def test_madc_watches_one_even_and_one_odd_circuit(circuits, named):
    with pytest.raises(ChipError) as error:
        Madc(MadcConfig(), seed=1).convert(np.zeros((len(circuits), 3)), circuits, trial=0)
    assert named in str(error.value)
    assert "the MADC watches at most one even and one odd circuit at a time" in str(error.value)


def test_spike_counters():
    counts, overflow = count_spikes(np.repeat([3, 4, 5], [255, 256, 600]))
    assert counts[[2, 3, 4, 5]].tolist() == [0, 255, 0, 88]
    assert np.flatnonzero(overflow).tolist() == [4, 5]


def test_counter_of_a_pacemaker():
    # Leak above threshold: the period is refractory + tau log((leak - reset) / (leak - threshold)).
    config = ChipConfig(leak_lsb=180.0, refractory_us=2.0, exact_input_times=True)
    chip = Chip(config, serial=1, seed=1)
    placement = place_feedforward(1, [np.zeros((1, 1), dtype=int)], [None])
    chip.write(placement.fabric)
    circuit = placement.neurons["layer 0"][0, 0]
    period_us = 2.0 + 6.0 * math.log(100.0 / 30.0)
    # Starts at reset, so the n-th spike comes at n periods less one refractory time.
    duration_us = 100.5 * period_us - 2.0
    counts, overflow = count_spikes(chip.run([], [], duration_us, trial=0).circuits)
    assert counts[circuit] == 100 and counts.sum() == 100 and not overflow.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: CadcConfig(period_us=0.5),
            "cadc.period_us = 0.5 us is outside 0.5405405405405405..1e+06 us; a channel makes at most 1.85 million "
            "samples per second",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).write_offsets(np.full((2, 512), 128)),
            "cadc.offset[0, 0] = 128 LSB is outside -128..127 LSB; clip the offset",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).write_offsets(np.zeros(512, dtype=int)),
            "cadc.offset has shape (512,); expected (2, 512); clip the offset",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).convert([[1.0]], [512], 0),
            "cadc.circuits[0] = 512 is outside 0..511; name a circuit of the chip",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).convert([[1.0]], [1, 2], 0),
            "cadc.potential_lsb has shape (1, 1); expected (2, any); give one row per circuit",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).convert([[1.0, math.nan]], [1], 0),
            "cadc.potential_lsb[0, 1] = nan is not a number; give one row per circuit",
        ),
        (
            lambda: Cadc(QUIET, 1, 1).convert([[1.0]], [1], 0, "other"),
            "cadc.channel = 'other' is unknown; take causal or acausal",
        ),
        (lambda: count_spikes([0.5]), "counter.circuits is of type float64, not integers; name a circuit of the chip"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message
