"""The compiled event queue against its readable twin, and what must not change a run."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_fabrics import random_fabric
from ways import WAYS, run_by

from brainscales_emu import ChipConfig, NoiseConfig, preset
from brainscales_emu.chip import Chip
from brainscales_emu.config import EventPathConfig
from brainscales_emu.constants import EXTERNAL, N_CIRCUITS
from brainscales_emu.engine import lif
from brainscales_emu.engine.records import RECORD_FULL, Sampling
from brainscales_emu.mismatch import draw_fixed_pattern, trial_key
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.lif import Membrane, first_crossing
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.session import build_inputs

ALL_NOISE = NoiseConfig(
    tau_mem_std=0.2,
    tau_syn_std=0.2,
    leak_std_lsb=4.0,
    reset_std_lsb=4.0,
    threshold_std_lsb=4.0,
    neuron_gain_std=0.2,
    driver_gain_std=0.1,
    weight_std=0.1,
    delay_gain_std=0.02,
    delay_offset_std_us=0.2,
    threshold_noise_std_lsb=1.0,
    delay_jitter_us=0.06,
)


@pytest.fixture(params=WAYS)
def keeping(request, monkeypatch):
    run_by(request.param, monkeypatch)


def random_run(seed):
    rng = np.random.default_rng(seed)
    taus = rng.choice([6.0, 6.0, 6.0 * (1 + 1e-9), 4.0, 9.0], 3)
    config = ChipConfig(
        tau_mem_us=taus[0],
        tau_syn_exc_us=taus[1],
        tau_syn_inh_us=taus[2],
        leak_lsb=rng.choice([80.0, 80.0, 60.0, 160.0]),
        refractory_us=rng.choice([0.5, 5.0, 20.0]),
        synaptic_gain=0.6,
        event_latency_us=rng.choice([0.0, 0.08, 3.0]),
        exact_input_times=True,
        noise=ALL_NOISE if rng.random() < 0.5 else NoiseConfig(),
    )
    fabric = random_fabric(rng, n_elements=3, n_rows=24, merged=True)
    times = np.sort(rng.uniform(0.0, 80.0, rng.integers(0, 25)))
    times = np.concatenate([times, np.repeat(times[:2], 2)])  # simultaneous events
    labels = rng.integers(0, 5, times.size)
    return config, fabric, times, labels


def check_against_twin(seed):
    config, fabric, times, labels = random_run(seed)
    chip = Chip(config, serial=seed, seed=seed)
    chip.write(fabric)
    recording = chip.run(times, labels, 100.0, trial=3)
    order = np.argsort(times, kind="stable")
    spikes, lost = simulate_reference(
        WiredChip(config, draw_fixed_pattern(config, seed), fabric),
        times[order].tolist(),
        (EXTERNAL + labels[order]).tolist(),
        100.0,
        TrialNoise(trial_key(seed, 3)),
    )
    assert recording.lost_events == lost
    for source in {source for _, source in spikes} | set(recording.circuits.tolist()):
        expected = [time for time, spiking in spikes if spiking == source]
        found = np.sort(recording.analogue_times_us[recording.circuits == source])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    return recording


@pytest.mark.parametrize("way", ["one by one", "lockstep"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_engine_equals_readable_twin(way, seed):
    with pytest.MonkeyPatch.context() as patch:
        run_by(way, patch)
        check_against_twin(seed)


def test_random_networks_are_worth_the_comparison():
    neuron_spikes, delayed, lost = [], [], []
    for seed in range(40):
        config, fabric, times, labels = random_run(seed)
        chip = Chip(config, serial=seed, seed=seed)
        chip.write(fabric)
        recording = chip.run(times, labels, 100.0, trial=3)
        is_neuron = np.isin(recording.circuits, [group[0] for group in chip.members])
        neuron_spikes.append(is_neuron.sum())
        delayed.append(np.sum((recording.circuits < N_CIRCUITS) & ~is_neuron))
        lost.append(recording.lost_events)
    assert np.median(neuron_spikes) >= 5
    assert np.median(delayed) >= 3
    assert np.mean(np.array(lost) > 0) >= 0.3


def run_in_windows(config, fabric, times, labels, ends, capacity):
    chip = Chip(config, serial=5, seed=5)
    chip.write(fabric)
    network = chip.network
    inputs = build_inputs(times, EXTERNAL + labels)
    sampling = Sampling(np.arange(0), np.zeros(0), np.empty((0, 0)))
    key = trial_key(5, 0)
    state = lif.new_state(network, capacity)
    lif.start(network, state, key)
    for end in ends:
        while lif.advance(end, network, inputs, sampling, state, key) == RECORD_FULL:
            state = lif.enlarged(state)
    return state.spikes[: state.progress[0]["recorded"]].tobytes(), int(state.progress[0]["lost"])


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    ends=st.lists(st.floats(0.0, 100.0), max_size=12),
    capacity=st.sampled_from([1, 3, 4096]),
)
def test_windows_and_record_size_do_not_change_a_bit(seed, ends, capacity):
    run = random_run(seed)
    path = EventPathConfig(slot_ns=200.0, fifo_depth=2, l2_slot_ns=200.0, l2_fifo_depth=2)
    for event_path in (None, path):
        run = dataclasses.replace(run[0], event_path=event_path), *run[1:]
        assert run_in_windows(*run, [*sorted(ends), 100.0], capacity) == run_in_windows(*run, [100.0], 4096)
        with pytest.MonkeyPatch.context() as patch:
            run_by("lockstep", patch)
            assert run_in_windows(*run, [*sorted(ends), 100.0], capacity) == run_in_windows(*run, [100.0], 4096)


def first_circuits(placement):
    """Circuits of each layer."""
    return [circuits[:, 0] for circuits in placement.neurons.values()]


def delay_free_chip(n_inputs, weights, config=None):
    chip = Chip(config or preset("ideal"), serial=1, seed=1)
    placement = place_feedforward(n_inputs, [np.asarray(weights)], [None])
    chip.write(placement.fabric)
    return chip, first_circuits(placement)


@pytest.mark.usefixtures("keeping")
def test_crossing_between_two_inputs_is_not_missed():
    # Four strong excitatory events, inhibition at 8 us: over the threshold only in between.
    chip, _ = delay_free_chip(5, [[63], [63], [63], [63], [-63]])
    times = [0.0, 0.0, 0.0, 0.0, 8.0]
    peak = 4 * 63 / 30 / math.e  # model units; threshold 2.6
    assert peak > 2.6
    (spike,) = chip.run(times, range(5), 60.0, 0).analogue_times_us
    s = spike / 6.0
    assert 4 * 63 / 30 * s * math.exp(-s) == pytest.approx(2.6, rel=1e-12)
    assert chip.run(times[1:], [1, 2, 3, 4], 60.0, 0).ticks.size == 0


@pytest.mark.usefixtures("keeping")
def test_crossing_under_weak_but_fast_inhibition():
    # The slope grows first, and yet the membrane hardly bends: crossing close to the lower bound that is scheduled.
    config = ChipConfig(
        tau_mem_us=60.0,
        tau_syn_exc_us=30.0,
        tau_syn_inh_us=0.3,
        event_latency_us=0.0,
        exact_input_times=True,
        saturation=None,
    )
    chip, _ = delay_free_chip(5, [[63], [63], [63], [63], [-3]], config)
    i_exc, i_inh = 4 * 63 * config.synaptic_gain, 3 * config.synaptic_gain
    assert i_inh / 0.3 > i_exc / 30.0
    expected = first_crossing(Membrane(0.0, i_exc, i_inh, 60.0, 30.0, 0.3), 70.0)
    assert expected < 1.1 * 70.0 / i_exc
    spikes = chip.run(np.zeros(5), range(5), 10.0, 0).analogue_times_us
    assert spikes == pytest.approx([expected], rel=1e-12)


@pytest.mark.usefixtures("keeping")
def test_model_units_of_delgrad():
    # 30 LSB are weight 1 for the kernel (t / tau) exp(-t / tau): the peak is w / e at tau.
    chip, neurons = delay_free_chip(1, [[60]])
    membrane = chip.run([0.0], [0], 50.0, 0, Probe(neurons[0], [6.0, 12.0])).membrane_lsb
    lsb_per_unit = 70.0 / 2.6
    expected = [80 + lsb_per_unit * 2 / math.e, 80 + lsb_per_unit * 2 * 2 * math.exp(-2)]
    np.testing.assert_allclose(membrane, [expected], rtol=1e-13)


@pytest.mark.usefixtures("keeping")
def test_probe_is_exact_and_does_not_change_the_run():
    _, fabric, times, labels = random_run(11)
    config = ChipConfig(noise=ALL_NOISE, refractory_us=5.0, synaptic_gain=0.6)
    chip = Chip(config, serial=2, seed=3)
    chip.write(fabric)
    neurons = [group[0] for group in chip.members]
    without = chip.run(times, labels, 100.0, 0)
    grid = np.random.default_rng(0).permutation(np.linspace(0.0, 100.0, 777))
    probed = chip.run(times, labels, 100.0, 0, Probe(neurons, grid))
    np.testing.assert_array_equal(probed.analogue_times_us, without.analogue_times_us)
    np.testing.assert_array_equal(probed.circuits, without.circuits)
    assert without.membrane_lsb is None
    assert probed.membrane_lsb.shape == (4, 777)

    assert np.isin(neurons, probed.circuits).any()
    pattern = chip.fixed_pattern
    for row, circuit in enumerate(neurons):
        for spike in probed.analogue_times_us[probed.circuits == circuit]:
            held = (grid >= spike) & (grid < spike + 4.992)  # 156 cycles of 31.25 MHz
            np.testing.assert_allclose(probed.membrane_lsb[row, held], pattern.reset_lsb[circuit], rtol=1e-13)


@pytest.mark.usefixtures("keeping")
def test_probe_follows_the_closed_form_between_events():
    config = ChipConfig(noise=ALL_NOISE, event_latency_us=0.0, exact_input_times=True, saturation=None)
    chip, neurons = delay_free_chip(2, [[40], [-25]], config)
    times = np.linspace(3.0, 50.0, 20)
    membrane = chip.run([1.0, 3.0], [0, 1], 50.0, 0, Probe(neurons[0], times)).membrane_lsb[0]
    pattern = chip.fixed_pattern
    gain = config.synaptic_gain * pattern.driver_gain[0] * pattern.synapse_gain[0, :, 0]
    taus = pattern.tau_mem_us[0], pattern.tau_syn_exc_us[0], pattern.tau_syn_inh_us[0]
    state = Membrane(0.0, 40 * gain[0] * pattern.gain_exc[0], 0.0, *taus).after(2.0)
    state.i_inh = 25 * gain[3] * pattern.gain_inh[0]
    expected = [pattern.leak_lsb[0] + state.after(time - 3.0).u for time in times]
    np.testing.assert_allclose(membrane, expected, rtol=1e-12)


@pytest.mark.usefixtures("keeping")
def test_pacemaker_period_and_a_record_that_grows(monkeypatch):
    monkeypatch.setattr("brainscales_emu.session._FIRST_CAPACITY", 100)
    monkeypatch.setattr("brainscales_emu.feedforward._FIRST_CAPACITY", 100)
    config = ChipConfig(leak_lsb=250.0, reset_lsb=80.0, threshold_lsb=81.0, refractory_us=0.096)
    chip, neurons = delay_free_chip(1, np.zeros((1, 4), dtype=int), config)
    recording = chip.run([], [], 60.0, 0)
    period = 0.096 + 6.0 * math.log(170.0 / 169.0)
    assert recording.ticks.size > 1000
    for circuit in neurons[0]:
        spikes = recording.analogue_times_us[recording.circuits == circuit]
        # membranes start at reset, without a refractory time before
        np.testing.assert_allclose(spikes, period - 0.096 + period * np.arange(spikes.size), rtol=1e-9)
        assert spikes.size == math.floor((60.0 + 0.096) / period)


@pytest.mark.usefixtures("keeping")
def test_events_are_delivered_after_the_latency():
    config = ChipConfig(exact_input_times=True, event_latency_us=0.08)
    chip = Chip(config, serial=1, seed=1)
    weights = [np.full((5, 1), 63), np.array([[63, 1]])]
    placement = place_feedforward(5, weights, [None, None])
    chip.write(placement.fabric)
    probe = Probe([first_circuits(placement)[1][0]], np.linspace(0.0, 20.0, 4001))
    recording = chip.run(np.zeros(5), np.arange(5), 20.0, 0, probe)
    first = recording.analogue_times_us[0]
    first_rise = probe.times_us[np.argmax(recording.membrane_lsb[0] > 80.0 + 1e-9)]
    assert first + 0.08 < first_rise <= first + 0.08 + 0.006


def test_recording_is_on_the_grid_and_in_order():
    _, fabric, times, labels = random_run(3)
    chip = Chip(ChipConfig(noise=ALL_NOISE, refractory_us=1.0, synaptic_gain=0.6), serial=1, seed=1)
    chip.write(fabric)
    recording = chip.run(times, labels, 100.0, 0)
    assert recording.ticks.dtype == recording.circuits.dtype == np.int64
    early = recording.analogue_times_us * 125 - recording.ticks
    assert recording.ticks.size > 20
    assert np.all((early > -1e-5) & (early < 1.0))
    key = recording.ticks * 1024 + recording.circuits
    assert np.all(np.diff(key) >= 0)


def test_input_times_are_played_on_the_grid_unless_exact():
    times, weights = np.full(5, 1.0 + 0.0079), np.full((5, 1), 63)
    real, _ = delay_free_chip(5, weights, ChipConfig())
    exact, _ = delay_free_chip(5, weights)
    on_grid = exact.run(np.full(5, 1.0), range(5), 20.0, 0).analogue_times_us
    assert real.run(times, range(5), 20.0, 0).analogue_times_us == pytest.approx(on_grid, abs=1e-12)
    assert exact.run(times, range(5), 20.0, 0).analogue_times_us == pytest.approx(on_grid + 0.0079, abs=1e-12)


def test_events_at_the_very_end_count():
    chip, _ = delay_free_chip(1, [[0]])
    chip.write(place_feedforward(1, [np.array([[0]])], [[50]]).fabric)
    assert chip.run([0.0], [0], 8.25, 0).ticks.tolist() == [8250 // 8]
    assert chip.run([0.0], [0], 8.249, 0).ticks.size == 0
