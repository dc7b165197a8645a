"""Delays in the synapses: the engine against its readable twin, and against a brute-force sum of all responses."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_fabrics import random_fabric
from scipy.optimize import brentq

from brainscales_emu import ChipConfig, ChipError, EventPathConfig, NoiseConfig, assembly, preset
from brainscales_emu.adex import AdexConfig
from brainscales_emu.beyond import delay_routes
from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.engine import lif
from brainscales_emu.mismatch import draw_fixed_pattern, trial_key
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.routing.placement import External, Population, Projection, place
from brainscales_emu.routing.routes import routes
from brainscales_emu.stp import Plasticity

NONE = np.zeros((2, 256, 256))
SPREAD = NoiseConfig(
    tau_mem_std=0.1, tau_syn_std=0.1, threshold_std_lsb=4.0, neuron_gain_std=0.2, weight_std=0.1, delay_jitter_us=0.05
)


def random_run(seed):
    rng = np.random.default_rng(seed)
    config = ChipConfig(
        refractory_us=rng.choice([0.1, 5.0]),
        synaptic_gain=0.8,
        event_latency_us=rng.choice([0.0, 0.08]),
        exact_input_times=True,
        noise=SPREAD,
    )
    choices = [rng.choice([0.0, 1.25, 7.5], NONE.shape), rng.uniform(0.0, 20.0, NONE.shape)]
    times = np.sort(rng.uniform(0, 50, 25))
    return (
        config,
        random_fabric(rng, merged=bool(rng.integers(2))),
        choices[rng.integers(2)],
        times,
        rng.integers(0, 5, 25),
    )


@pytest.mark.parametrize("lockstep", [False, True])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_engine_equals_twin(lockstep, seed):
    config, fabric, delay_us, times, lines = random_run(seed)
    chip = Chip(config, serial=seed, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "LOCKSTEP_NEURONS", 1 if lockstep else 10**9)
        patch.setattr(assembly, "LOCKSTEP_DENSITY", (0.0, 0.0))
        chip.write(fabric, synapse_delay_us=delay_us)
    recording = chip.run(times, lines, 70.0, 3)
    expected, lost = simulate_reference(
        WiredChip(config, draw_fixed_pattern(config, seed), fabric, synapse_delay_us=delay_us),
        times.tolist(),
        (EXTERNAL + lines).tolist(),
        70.0,
        TrialNoise(trial_key(1, 3)),
    )
    assert recording.lost_events == lost
    order = np.lexsort((recording.analogue_times_us, recording.circuits))
    expected = sorted((source, time_us) for time_us, source in expected)
    assert recording.circuits[order].tolist() == [source for source, _ in expected]
    np.testing.assert_allclose(recording.analogue_times_us[order], [time_us for _, time_us in expected], rtol=1e-10)


def test_the_comparison_is_about_busy_chips():
    late, spikes = 0, 0
    for seed in range(10):
        config, fabric, delay_us, times, lines = random_run(seed)
        chip = Chip(config, serial=seed, seed=1)
        chip.write(fabric, synapse_delay_us=delay_us)
        late += chip.network.late.size
        spikes += np.sum(chip.run(times, lines, 70.0, 3).circuits < 512)
    assert late > 100 and spikes > 50


def brute_force(weights, delays_us, train_us, config, duration_us):
    """Spikes of neurons, recurrent ones too: u is the sum of the responses to all events since the last reset."""
    tau_m, tau_s = config.tau_mem_us, config.tau_syn_exc_us
    threshold = config.threshold_lsb - config.leak_lsb
    n_inputs, n = weights.shape[0] - weights.shape[1], weights.shape[1]
    events = [[] for _ in range(n)]  # (arrival, step of the current) at each neuron

    def send(source, time_us):
        for neuron in range(n):
            if weights[source, neuron]:
                delay_us = delays_us[source, neuron] + (0.0 if source < n_inputs else config.event_latency_us)
                events[neuron].append((time_us + delay_us, config.synaptic_gain * weights[source, neuron]))

    for source, train in enumerate(train_us):
        for time_us in train:
            send(source, time_us)
    free_at = [0.0] * n
    out = [[] for _ in range(n)]

    def potential(neuron, time_us):
        total = 0.0
        for arrival, step in events[neuron]:
            if arrival < time_us:
                start = max(arrival, free_at[neuron])  # what came before decays until the membrane is let go
                step *= math.exp(-(start - arrival) / tau_s)
                s = time_us - start
                total += step * (math.exp(-s / tau_s) - math.exp(-s / tau_m)) / (1 / tau_m - 1 / tau_s)
        return total

    searched = [0.0] * n
    while True:
        first = (math.inf, -1)
        for neuron in range(n):
            # Grid of 0.05 us, and all arrivals: a crossing between two points is bracketed.
            begin = max(searched[neuron], free_at[neuron])
            if begin >= min(first[0], duration_us):
                continue
            grid = np.arange(begin, min(first[0], duration_us) + 0.05, 0.05)
            points = np.sort(np.concatenate([grid, [t for t, _ in events[neuron] if begin < t < grid[-1]]]))
            for a, b in pairwise(points):
                if potential(neuron, b) >= threshold:
                    crossing = brentq(lambda t, k=neuron: potential(k, t) - threshold, a, b, xtol=1e-13)
                    first = min(first, (crossing, neuron))
                    break
        time_us, neuron = first
        if time_us > duration_us:
            return out
        out[neuron].append(time_us)
        free_at[neuron] = time_us + config.refractory_us
        searched = [time_us] * n
        send(n_inputs + neuron, time_us)


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(3))
def test_engine_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    config = ChipConfig(
        tau_syn_exc_us=3.0,
        tau_syn_inh_us=3.0,
        refractory_us=4.0,
        exact_input_times=True,
        synaptic_gain=1.5,
        saturation=None,  # what is summed are linear responses
    )
    weights = rng.integers(-20, 64, (5, 3)) * (rng.random((5, 3)) < 0.8)
    weights[[2, 3, 4], [0, 1, 2]] = 0
    delays_us = rng.choice([0.0, 0.5, 3.7, 15.2], (5, 3)) + rng.uniform(0, 1, (5, 3)) * (rng.random((5, 3)) < 0.5)
    trains = [np.sort(rng.uniform(0, 30, 8)) for _ in range(2)]
    inputs, neurons = External("in", 2), Population("n", 3)
    placement = place(
        [inputs, neurons], [Projection(inputs, neurons, weights[:2]), Projection(neurons, neurons, weights[2:])]
    )
    delay_us = NONE.copy()
    for sites, delay in zip(placement.sites, (delays_us[:2], delays_us[2:]), strict=True):
        delay_us.reshape(-1)[sites.cell] = delay[sites.pre, sites.post]
    chip = Chip(config, 1, 1)
    chip.write(placement.fabric, synapse_delay_us=delay_us)
    recording = chip.run(np.concatenate(trains), np.repeat([0, 1], 8), 60.0, 0)
    expected = brute_force(weights, delays_us, trains, config, 60.0)
    assert sum(map(len, expected)) >= 5
    for circuit, times_us in zip(placement.neurons["n"][:, 0], expected, strict=True):
        np.testing.assert_allclose(recording.analogue_times_us[recording.circuits == circuit], times_us, rtol=1e-9)


def one_synapse(delay_us, **config):
    """A chip whose only neuron spikes at each event of its only input."""
    inputs, neurons = External("in", 1), Population("n", 1)
    placement = place([inputs, neurons], [Projection(inputs, neurons, [[63]])])
    everywhere = None if delay_us is None else np.full_like(NONE, delay_us)
    chip = Chip(ChipConfig(synaptic_gain=5.0, refractory_us=0.05, exact_input_times=True, **config), 1, 1)
    chip.write(placement.fabric, synapse_delay_us=everywhere)
    return chip


def test_a_delay_shifts_spikes():
    times = np.array([1.0, 40.0, 80.0])
    shifted, plain = (one_synapse(d).run(times, np.zeros(3, dtype=int), 200.0, 0) for d in (12.34, None))
    np.testing.assert_allclose(shifted.analogue_times_us, plain.analogue_times_us + 12.34, rtol=1e-12)


def test_events_behind_the_end_and_many_in_flight():
    n = 5 * lif._FIRST_PLACES
    wide = EventPathConfig(slot_ns=1.0, fifo_depth=10**4, l2_fifo_depth=10**4)
    times, lines = np.arange(n) * 0.008, np.zeros(n, dtype=int)
    late = one_synapse(50.0, event_path=wide).run(times, lines, 60.0, 0).analogue_times_us
    plain = one_synapse(None, event_path=wide).run(times, lines, 60.0, 0).analogue_times_us
    assert late.size > 50
    np.testing.assert_allclose(late, plain[: late.size] + 50.0, rtol=1e-11)
    assert plain[late.size] + 50.0 > 60.0


def test_slots_and_drops_come_before_the_delay():
    path = EventPathConfig(slot_ns=1000.0, fifo_depth=2)
    runs = [one_synapse(d, event_path=path).run(np.full(6, 1.0), np.zeros(6, dtype=int), 60.0, 0) for d in (None, 9.0)]
    assert runs[0].dropped_events.sum() == 3
    np.testing.assert_array_equal(runs[0].dropped_events, runs[1].dropped_events)
    np.testing.assert_array_equal(runs[0].passed_events, runs[1].passed_events)
    np.testing.assert_allclose(runs[1].analogue_times_us, runs[0].analogue_times_us + 9.0, rtol=1e-12)


@pytest.mark.parametrize("name", ["calibrated", "ideal"])
def test_no_delay_changes_no_bit(name):
    fabric = random_fabric(np.random.default_rng(5))
    config = dataclasses.replace(preset(name), synaptic_gain=3.0, refractory_us=0.5)
    recordings = []
    for delay_us in (None, NONE):
        chip = Chip(config, 1, 1)
        chip.write(fabric, synapse_delay_us=delay_us)
        recordings.append(chip.run(np.arange(1, 26) * 2.0, np.arange(25) % 5, 60.0, 0))
    assert recordings[0].ticks.size > 20
    np.testing.assert_array_equal(recordings[0].analogue_times_us, recordings[1].analogue_times_us)
    np.testing.assert_array_equal(recordings[0].circuits, recordings[1].circuits)


def test_windows_change_nothing():
    config, fabric, delay_us, times, lines = random_run(4)
    chip = Chip(config, 1, 1)
    chip.write(fabric, synapse_delay_us=delay_us)
    whole, windows = (chip.begin(times, lines, 70.0, 0) for _ in range(2))
    whole.advance(np.inf)
    for until in np.arange(1.0, 75.0, 0.7):
        windows.advance(until)
    assert whole.spikes.size > 20
    np.testing.assert_array_equal(whole.spikes, windows.spikes)


def test_late_routes_hold_every_synapse_once():
    fabric = random_fabric(np.random.default_rng(9))
    before = routes(fabric)
    delay_us = np.random.default_rng(1).choice([0.0, 2.0, 3.0], NONE.shape)
    after, parent, queue, delays_us = delay_routes(before, delay_us)
    n = before.output.size

    def listed(r, way, origin, delay):
        cells = slice(r.synapse_begin[way], r.synapse_begin[way + 1])
        wanted = delay_us[r.half[cells], r.row[cells], r.column[cells]]
        assert delay is None or np.all(wanted == delay)
        return [(origin, *synapse) for synapse in zip(*(values[cells].tolist() for values in r[3:8]), strict=True)]

    expected = sorted(synapse for way in range(n) for synapse in listed(before, way, way, None))
    found = [synapse for way in range(n) for synapse in listed(after, way, way, 0.0)]
    for late in range(parent.size):
        found += listed(after, n + late, parent[late], delays_us[queue[late]])
    assert sorted(found) == expected and np.all(np.diff(parent) >= 0)


def write(delay_us, plasticity=None, **config):
    Chip(ChipConfig(**config), 1, 1).write(random_fabric(np.random.default_rng(0)), plasticity, delay_us)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: write(np.zeros(3)),
            "chip.synapse_delay_us has shape (3,); expected (2, 256, 256); give a time in us for each [half, "
            "row, column]",
        ),
        (
            lambda: write(np.full_like(NONE, np.nan)),
            "chip.synapse_delay_us[0, 0, 0] = nan is not a number; give a time in us for each [half, row, column]",
        ),
        (
            lambda: write(NONE, Plasticity.uniform(7, 7, 0)),
            "Chip.write got synapse_delay_us, which isn't modelled with a Plasticity; leave one of the two out",
        ),
        (
            lambda: write(NONE, adex=AdexConfig()),
            "Chip.write got synapse_delay_us, which isn't modelled with chip.adex; leave one of the two out",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message


def test_no_weights_are_rewritten_while_events_wait():
    chip = one_synapse(3.0)
    session = chip.begin([1.0], [0], 10.0, 0)
    session.advance(2.0)
    with pytest.raises(ChipError, match="drop synapse_delay_us"):
        session.rewrite(chip.fabric.weight)
