"""Synaptic inputs that saturate: the vendor's figure, closed forms, and the engines against the readable twins."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_examples import examples
from random_fabrics import random_fabric
from scipy.optimize import minimize_scalar
from test_engine import ALL_NOISE, random_run
from ways import WAYS, run_by

from brainscales_emu import AdexConfig, ChipConfig, NoiseConfig, SaturationConfig, assembly, preset
from brainscales_emu.adex import draw_adex_pattern
from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.execution import phases
from brainscales_emu.mismatch import draw_fixed_pattern, stream, trial_key
from brainscales_emu.readable.adex import AdexNeuron
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.lif import LifNeuron, synaptic_kernel
from brainscales_emu.readable.saturation import Saturation, kernel_peak
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.stp import SHAPE, Plasticity

# Vendor's tutorial ts_06, read from its figure: extrema of a membrane in MADC LSB, by the weights of all synapses that
# fire at once. A silent membrane rests at 254, and its noise reaches 8 to each side.
TROUGHS = {0: 246, 32: 232, 64: 205, 96: 181, 128: 163, 160: 148, 192: 138, 224: 128, 256: 122, 288: 117}
PEAKS = {0: 262, 96: 335, 192: 411, 288: 489}
MADC_LSB = 1 / 2.7  # CADC LSB

EXACT = {"event_latency_us": 0.0, "exact_input_times": True}


@pytest.fixture(params=WAYS)
def keeping(request, monkeypatch):
    run_by(request.param, monkeypatch)


def feedforward(weights, config, plasticity=None):
    """A chip whose inputs have these weights [input, neuron], and its circuits."""
    chip = Chip(config, serial=1, seed=1)
    placement = place_feedforward(len(weights), [np.asarray(weights)], [None])
    chip.write(placement.fabric, plasticity)
    return chip, placement.neurons["layer 0"][:, 0]


def membrane(weights, config, times, grid, plasticity=None, duration_us=100.0):
    """Membranes in LSB above leak, and spike times; input k has an event at times[k]."""
    chip, circuits = feedforward(weights, config, plasticity)
    recording = chip.run(times, range(len(times)), duration_us, 0, Probe(circuits, grid))
    return recording.membrane_lsb - chip.fixed_pattern.leak_lsb[circuits][:, None], recording.analogue_times_us


PEAK_US = 6.0  # all time constants are 6 us, so that K(s) = s exp(-s / 6) is largest at 6 us
PEAK = 6.0 / math.e


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize("adex", [None, AdexConfig()])
def test_stacked_inhibition_follows_the_vendors_figure(adex):
    """Troughs are 140 tanh(x / 140) MADC LSB deep, x being what the synapses are worth by the peaks, which add up."""
    slope = (PEAKS[288] - PEAKS[0]) / 288
    gain = slope * MADC_LSB / PEAK
    config = ChipConfig(**EXACT, synaptic_gain=gain, adex=adex)
    for weight, trough in TROUGHS.items():
        depth = -membrane([[-weight // 8]] * 8, config, np.zeros(8), [PEAK_US])[0][0, 0] / MADC_LSB
        assert depth == pytest.approx(140.4 * math.tanh(slope * weight / 140.4), rel=1e-8)
        assert abs(depth - (TROUGHS[0] - trough)) < 0.1 * (TROUGHS[0] - TROUGHS[288])
    for weight, peak in PEAKS.items():
        config = ChipConfig(**EXACT, synaptic_gain=gain, threshold_lsb=170.0, adex=adex)
        height = membrane([[weight // 8]] * 8, config, np.zeros(8), [PEAK_US])[0][0, 0] / MADC_LSB
        assert height == pytest.approx(slope * weight, rel=1e-8)  # linear as far as the figure goes
        assert abs(height - (peak - PEAKS[0])) < 0.015 * (PEAKS[288] - PEAKS[0])


@pytest.mark.usefixtures("keeping")
def test_splitting_an_event_or_changing_the_order_changes_nothing():
    config = ChipConfig(**EXACT, synaptic_gain=1.5, threshold_lsb=250.0, noise=NoiseConfig(tau_syn_std=0.2))
    grid, before = np.linspace(6.0, 60.0, 50), (np.array([-30] * 3), 1.0)
    expected = None
    for parts in ([-60, 40], [-20, -10, -30, 25, 15], [-7] * 8 + [-4, 40], [-60, 20, 20]):
        for order in ([*parts], [*reversed(parts)]):
            weights = np.array([before[0], *[[part] * 3 for part in order]])
            times = np.array([before[1], *[5.0] * len(order)])
            found = membrane(weights, config, times, grid)[0]
            if expected is None:
                expected = found
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    linear = membrane(weights, dataclasses.replace(config, saturation=None), times, grid)[0]
    assert np.abs(linear - expected).max() > 10.0


@pytest.mark.parametrize("plastic", [False, True])
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), way=st.sampled_from(WAYS))
def test_inhibition_never_passes_the_rail(plastic, seed, way):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    taus = dict(zip(("tau_mem_us", "tau_syn_exc_us", "tau_syn_inh_us"), rng.uniform(0.5, 30.0, 3), strict=True))
    config = ChipConfig(
        **EXACT,
        **taus,
        synaptic_gain=10 ** rng.uniform(-2.0, 2.0),
        reset_lsb=140.0,  # a reset below leak would add to the depth
        refractory_us=rng.choice([0.04, 2.0, 3000.0]),
        noise=NoiseConfig(tau_mem_std=0.2, tau_syn_std=0.2, leak_std_lsb=8.0),
    )
    with pytest.MonkeyPatch.context() as patch:
        run_by(way, patch)
        codes = Plasticity.uniform(5, 9, 0) if plastic else None
        weights = rng.integers(-63, 20, (n, 3))
        chip, circuits = feedforward(weights, config, codes)
        times = rng.choice(rng.uniform(0.0, 40.0, 20), n)
        found = chip.run(times, range(n), 100.0, 0, Probe(circuits, np.linspace(0.0, 100.0, 400))).membrane_lsb
    rail = np.minimum(28.0, chip.fixed_pattern.leak_lsb[circuits] - 1.0)
    assert np.all(found > rail[:, None] - 1e-9)


@pytest.mark.usefixtures("keeping")
def test_the_rail_is_approached():
    config = ChipConfig(**EXACT, synaptic_gain=100.0)
    found = membrane([[-63]] * 10, config, np.zeros(10), np.linspace(0.0, 50.0, 101))[0]
    assert found.min() == pytest.approx(-52.0, rel=1e-12)  # 80 down to 28
    assert found[0, 12] == found.min()


@pytest.mark.usefixtures("keeping")
def test_small_signals_are_not_saturated():
    config = ChipConfig(**EXACT, synaptic_gain=1e-3, noise=ALL_NOISE)
    weights, times, grid = [[-40], [-30], [20]], [0.0, 3.0, 4.0], np.linspace(0.0, 60.0, 61)[1:]
    found = membrane(weights, config, times, grid)[0]
    linear = membrane(weights, dataclasses.replace(config, saturation=None), times, grid)[0]
    assert np.abs(found - linear).max() < 1e-4 * np.abs(linear).max() and not np.array_equal(found, linear)


@pytest.mark.usefixtures("keeping")
def test_a_second_event_adds_to_a_membrane_that_is_low_already():
    """tanhs add up in the depth max(-u, 0) + K i, here 2 us after the first of two events."""
    taus, gain, room = (10.0, 3.0, 5.0), 4.0, 52.0
    config = ChipConfig(**EXACT, tau_mem_us=taus[0], tau_syn_exc_us=taus[1], tau_syn_inh_us=taus[2], synaptic_gain=gain)
    found = membrane([[-3], [-35]], config, [1.0, 3.0], [2.0, 4.0, 9.0])[0][0]
    peak = -minimize_scalar(lambda s: -synaptic_kernel(s, 10.0, 5.0), (1.0, 20.0), tol=1e-12).fun
    assert kernel_peak(10.0, 5.0) == pytest.approx(peak, rel=1e-13)
    first = room / peak * math.tanh(peak * 3 * gain / room)
    u, i = -first * synaptic_kernel(2.0, 10.0, 5.0), first * math.exp(-2.0 / 5.0)
    depth = -u + peak * i
    second = (room * math.tanh(math.atanh(depth / room) + peak * 35 * gain / room) - depth) / peak
    expected = [
        -first * synaptic_kernel(1.0, 10.0, 5.0),
        *(u * math.exp(-s / 10.0) - (i + second) * synaptic_kernel(s, 10.0, 5.0) for s in (1.0, 6.0)),
    ]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize("adex", [None, AdexConfig()])
def test_a_refractory_neuron_counts_as_at_reset_with_the_current_of_the_time(adex):
    config = ChipConfig(**EXACT, synaptic_gain=0.5, refractory_us=4.0, leak_lsb=80.0, reset_lsb=60.0, adex=adex)
    times = [0.0, 0.0, 2.0, 3.0]
    found, (spike,) = membrane([[63], [63], [-60], [-50]], config, times, [4.0, 8.0])
    assert 1.0 < spike < 2.0
    room, first = 52.0, 20.0 / 52.0
    i = (room * math.tanh(math.atanh(first) + PEAK * 60 * 0.5 / room) - 20.0) / PEAK * math.exp(-1.0 / 6.0)
    depth = 20.0 + PEAK * i
    assert depth < room
    i += (room * math.tanh(math.atanh(depth / room) + PEAK * 50 * 0.5 / room) - depth) / PEAK
    s, released = 8.0 - spike - 4.0, spike + 4.0
    i_exc, i_inh = 2 * 63 * 0.5 * math.exp(-released / 6.0), i * math.exp(-(released - 3.0) / 6.0)
    assert found[0, 0] == pytest.approx(-20.0, rel=1e-12)
    assert found[0, 1] == pytest.approx((-20.0 + (i_exc - i_inh) * s) * math.exp(-s / 6.0), rel=1e-7)


@pytest.mark.usefixtures("keeping")
def test_a_long_refractory_time_leaves_nothing():
    config = ChipConfig(**EXACT, synaptic_gain=4.0, refractory_us=10_000.0)
    weights, times = [[63], [63], [-60], [-60]], [0.0, 0.0, 1.0, 9_990.0]
    found, _ = membrane(weights, config, times, [9_000.0, 10_002.0], duration_us=10_010.0)
    assert found[0, 0] == 0.0
    assert -52.0 < found[0, 1] < -1.0


@pytest.mark.usefixtures("keeping")
def test_excitation_is_linear_first_and_saturates_below_the_upper_rail():
    config = ChipConfig(**EXACT, synaptic_gain=1.0, threshold_lsb=255.0)
    rooms = 166.0 - 80.0, 255.0 - 166.0
    heights = []
    for n in range(1, 9):
        height = membrane([[20]] * n, config, np.zeros(n), [PEAK_US])[0][0, 0]
        x = 20 * n * PEAK
        expected = x if x <= rooms[0] else rooms[0] + rooms[1] * math.tanh((x - rooms[0]) / rooms[1])
        assert height == pytest.approx(expected, rel=1e-12)
        heights.append(height)
    assert heights[0] * 8 > heights[-1] + 50.0 and heights[-1] < 175.0
    assert membrane([[63]] * 9, config, np.zeros(9), [PEAK_US])[0][0, 0] == pytest.approx(175.0, rel=1e-3)
    # A neuron that spikes before it gets near is linear: this one at 166 LSB.
    low = dataclasses.replace(config, threshold_lsb=166.0)
    (spike,) = membrane([[20]] * 8, low, np.zeros(8), [PEAK_US])[1]
    linear = membrane([[20]] * 8, dataclasses.replace(low, saturation=None), np.zeros(8), [PEAK_US])[1]
    assert spike == linear[0]
    assert spike < membrane([[20]] * 8, dataclasses.replace(low, threshold_lsb=166.1), np.zeros(8), [0.0])[1][0]


def test_ideal_is_linear_and_only_ideal():
    assert preset("ideal").saturation is None
    assert all(preset(name).saturation == SaturationConfig() for name in ("calibrated", "uncalibrated", "w66f3"))
    network = feedforward([[-40], [30]], preset("ideal"))[0].network
    assert not network.saturates and not network.saturates_above and not network.saturation.tobytes().strip(b"\0")
    np.testing.assert_array_equal(network.synapses["jump"], np.array([-40, 30]) * preset("ideal").synaptic_gain)


@pytest.mark.parametrize("lockstep", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_rails_at_infinity_would_be_no_rails(seed, lockstep):
    """The kernels of an input that saturates, with a room without end: the bits of the linear input."""
    config, fabric, times, labels = random_run(seed)
    chip = Chip(dataclasses.replace(config, saturation=None), serial=seed, seed=seed)
    chip.write(fabric)
    linear = chip.network = chip.assemble(lockstep)
    expected = chip.run(times, labels, 100.0, 3)
    chip.network = linear._replace(saturates=True, saturates_above=True)
    found = chip.run(times, labels, 100.0, 3)
    np.testing.assert_array_equal(found.analogue_times_us, expected.analogue_times_us)
    np.testing.assert_array_equal(found.circuits, expected.circuits)


def check_twin(config, fabric, plasticity, times, lines, seed):
    """Both ways of keeping neurons against the readable chip; whether saturation has changed a spike."""
    expected, _ = simulate_reference(
        WiredChip(config, draw_fixed_pattern(config, seed), fabric, plasticity),
        times.tolist(),
        (EXTERNAL + lines).tolist(),
        60.0,
        TrialNoise(trial_key(seed, 0)),
    )
    expected = sorted((source, time) for time, source in expected)
    chip = Chip(config, serial=seed, seed=seed)
    chip.write(fabric, plasticity)
    for lockstep in (False, True):
        chip.network = chip.assemble(lockstep)
        recording = chip.run(times, lines, 60.0, 0)
        found = np.lexsort((recording.analogue_times_us, recording.circuits))
        assert recording.circuits[found].tolist() == [source for source, _ in expected]
        spikes = recording.analogue_times_us[found]
        np.testing.assert_allclose(spikes, [time for _, time in expected], rtol=1e-10, atol=1e-10)
    chip = Chip(dataclasses.replace(config, saturation=None), serial=seed, seed=seed)
    chip.write(fabric, plasticity)
    return not np.array_equal(np.sort(chip.run(times, lines, 60.0, 0).analogue_times_us), np.sort(spikes))


def random_saturating(seed, plastic):
    """A recurrent network with strong synapses, merged circuits and, in every second one, high thresholds."""
    rng = np.random.default_rng(seed)
    config = ChipConfig(
        tau_mem_us=rng.choice([6.0, 9.0]),
        tau_syn_inh_us=rng.choice([4.0, 6.0]),
        synaptic_gain=2.0,
        threshold_lsb=150.0 if rng.random() < 0.5 else 200.0,
        reset_lsb=rng.choice([60.0, 90.0]),
        refractory_us=rng.choice([0.5, 4.0]),
        exact_input_times=True,
        noise=ALL_NOISE if rng.random() < 0.5 else NoiseConfig(),
    )
    codes = {name: rng.integers(0, 16, SHAPE) for name in ("utilisation", "recovery", "offset")}
    drivers = Plasticity(rng.random(SHAPE) < 0.8, voltages=rng.integers(0, 2, SHAPE), **codes)
    times = np.sort(np.concatenate([rng.uniform(0.0, 40.0, 30), np.repeat(rng.uniform(0.0, 40.0, 3), 3)]))
    fabric = random_fabric(rng, n_rows=40, merged=True)
    return config, fabric, drivers if plastic else None, times, rng.integers(0, 5, times.size), seed


@pytest.mark.parametrize("plastic", [False, True])
@settings(deadline=None, max_examples=examples(5, 20))
@given(seed=st.integers(0, 10**6))
def test_engine_equals_readable_twin(plastic, seed):
    check_twin(*random_saturating(seed, plastic))


@pytest.mark.parametrize("plastic", [False, True])
def test_random_networks_are_worth_the_comparison(plastic):
    """These are compared as well: twelve more than the examples above."""
    assert sum(check_twin(*random_saturating(seed, plastic)) for seed in range(12)) >= 8


@pytest.mark.parametrize("seed", range(6))
def test_without_extras_adex_is_the_integrate_and_fire_neuron(seed):
    config, fabric, _, times, lines, _ = random_saturating(seed, False)
    runs = []
    for adex in (None, AdexConfig(tolerance=1e-12)):
        chip = Chip(dataclasses.replace(config, adex=adex), serial=seed, seed=seed)
        chip.write(fabric)
        recording = chip.run(times, lines, 60.0, 0)
        order = np.lexsort((recording.analogue_times_us, recording.circuits))
        runs.append((recording.circuits[order], recording.analogue_times_us[order]))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_allclose(runs[0][1], runs[1][1], rtol=1e-7)
    assert runs[0][0].size > 5


def test_adex_equals_its_readable_twin():
    """Adaptation and upswing, events of both signs, some of them in refractory times."""
    adex = AdexConfig(a=1.0, b_lsb=5.0, tau_w_us=30.0, delta_t_lsb=3.0, v_t_lsb=140.0, tolerance=1e-12)
    config = ChipConfig(**EXACT, synaptic_gain=2.0, threshold_lsb=200.0, refractory_us=3.0, adex=adex)
    rng = np.random.default_rng(3)
    weights = rng.choice([60, 60, -50], (80, 1))
    times = np.sort(rng.uniform(0.0, 60.0, 80))
    chip, (circuit,) = feedforward(weights, config)
    found = chip.run(times, range(80), 80.0, 0).analogue_times_us
    pattern = draw_adex_pattern(adex, chip.fixed_pattern.leak_lsb, lambda name: stream(1, name))
    assert pattern.a[circuit] == 1.0
    taus = (6.0, 6.0, 6.0)
    rails = Saturation.of_neuron(SaturationConfig(), taus, 80.0, 200.0)
    neuron = AdexNeuron(taus, 0.0, 120.0, 3.0, 1.0, 0.0, 5.0, 30.0, 3.0, 60.0, 1e-10, rails)
    spikes = []
    for end, weight in zip([*times, 80.0], [*weights[:, 0], 0], strict=True):
        while neuron.advance(end):
            spikes.append(neuron.time_us)
            neuron.spike(120.0)
        neuron.receive(max(weight, 0) * 2.0, max(-weight, 0) * 2.0)
    assert len(spikes) > 3
    np.testing.assert_allclose(found, spikes, rtol=1e-8)
    linear = feedforward(weights, dataclasses.replace(config, saturation=None))[0]
    assert not np.allclose(
        linear.run(times, range(80), 80.0, 0).analogue_times_us[: len(spikes)], spikes[:1], rtol=1e-3
    )


def test_weights_that_are_rewritten_saturate_too():
    config = ChipConfig(**EXACT, synaptic_gain=2.0)
    runs = []
    for lockstep in (False, True):
        chip, circuits = feedforward([[-10], [63], [63]], config)
        chip.network = chip.assemble(lockstep)
        session = chip.begin([5.0], [0], 30.0, 0, Probe(circuits, [11.0]))
        session.advance(2.0)
        session.rewrite(np.minimum(chip.fabric.weight * 6, 63))
        session.advance(np.inf)
        recording = session.finish(phases(session.program, 30.0, session.n_received))
        runs.append(recording.membrane_lsb[0, 0])
    assert runs == pytest.approx([80.0 - 52.0 * math.tanh(PEAK * 60 * 2.0 / 52.0)] * 2, rel=1e-12)


def test_rails_close_to_leak_leave_one_lsb():
    config = ChipConfig(**EXACT, synaptic_gain=10.0, leak_lsb=20.0, reset_lsb=20.0)
    assert membrane([[-60]], config, [0.0], [PEAK_US])[0][0, 0] == pytest.approx(-1.0, rel=1e-12)


def test_a_depth_beyond_the_rail_gets_nothing_more():
    neuron = LifNeuron((6.0, 6.0, 6.0), -60.0, 70.0, 5.0, Saturation(PEAK, PEAK, 52.0, math.inf, math.inf))
    neuron.spike(70.0)
    neuron.receive(0.0, 10.0)
    assert neuron.membrane.i_inh == 0.0
    config = ChipConfig(**EXACT, leak_lsb=80.0, reset_lsb=20.0, refractory_us=5.0, synaptic_gain=3.0)
    times, grid = [0.0, 0.0, 2.0], [8.0]
    found, without = (membrane([[63], [63], [weight]], config, times, grid)[0] for weight in (-60, 0))
    assert found == pytest.approx(without, rel=1e-12)


@pytest.mark.parametrize("weights", list(itertools.product([-30, -1], [-63, -2])))
def test_one_kernel_per_way_of_keeping_gives_one_membrane(weights, monkeypatch):
    config = ChipConfig(**EXACT, noise=ALL_NOISE, synaptic_gain=3.0)
    runs = []
    for at_least in (1, 10**6):
        monkeypatch.setattr(assembly, "LOCKSTEP_NEURONS", at_least)
        runs.append(membrane([[w] * 4 for w in weights], config, [1.0, 3.0], np.linspace(0.0, 40.0, 41))[0])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-11, atol=1e-12)
