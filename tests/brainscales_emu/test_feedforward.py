"""Networks without loops run level by level: the engine's spikes, in a fraction of its time."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ways import run_by

from brainscales_emu import PRESET_NAMES, ChipError, PlacementError, feedforward, preset
from brainscales_emu.chip import Chip
from brainscales_emu.config import EventPathConfig
from brainscales_emu.engine.crossing import crossing_by_series, evolve, first_crossing
from brainscales_emu.execution import phases
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import Background, External, Population, Projection, place, place_feedforward


def random_matrix(rng, n_pre, n_post, largest=63):
    matrix = rng.integers(-largest // 2, largest + 1, (n_pre, n_post))
    return np.where(rng.random((n_pre, n_post)) < 0.8, matrix, 0)


def random_network(seed):
    """Three layers with shortcuts, delays, merged circuits and background; its placement, lines and times of inputs."""
    rng = np.random.default_rng(seed)
    delayed = [rng.random() < 0.5 for _ in range(3)]
    inputs, noise = External("input", int(rng.integers(2, 12))), Background("noise", 4, period=500)
    layers = [Population(f"layer {k}", int(rng.integers(1, 14)), circuits=int(rng.integers(1, 3))) for k in range(3)]
    pairs = [
        (inputs, layers[0]),
        (layers[0], layers[1]),
        (layers[1], layers[2]),
        (inputs, layers[2]),
        (noise, layers[1]),
    ]
    projections = []
    for number, (pre, post) in enumerate(pairs):
        registers = rng.integers(50, 120, pre.size) if number < 3 and delayed[number] else None
        projections.append(Projection(pre, post, random_matrix(rng, pre.size, post.size), registers, rewritable=True))
    placement = place([inputs, noise, *layers], projections)
    n = int(rng.integers(1, 60))
    times = np.round(rng.uniform(0.0, 300.0, n), rng.integers(1, 6))
    times = np.concatenate([times, times[: n // 2]])  # some come together
    return placement, times, placement.lines["input"][rng.integers(0, inputs.size, times.size)]


def by_engine(chip, times, lines, duration, trial):
    """What `Chip.run` does with a network that has loops."""
    session = chip.begin(times, lines, duration, trial)
    session.advance(math.inf)
    return session.finish(phases(session.program, duration, session.n_received))


def assert_same(found, expected):
    np.testing.assert_array_equal(found.circuits, expected.circuits)
    np.testing.assert_array_equal(found.ticks, expected.ticks)
    np.testing.assert_allclose(found.analogue_times_us, expected.analogue_times_us, rtol=1e-12, atol=1e-12)
    assert found.lost_events == expected.lost_events
    np.testing.assert_array_equal(found.passed_events, expected.passed_events)
    np.testing.assert_array_equal(found.dropped_events, expected.dropped_events)
    assert found.link_drops == expected.link_drops


def strong(name):
    """A preset whose neurons spike often in networks as small as these."""
    config = preset(name)
    return dataclasses.replace(config, synaptic_gain=3.0 * config.synaptic_gain)


@pytest.mark.parametrize("name", PRESET_NAMES)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6), way=st.sampled_from(["one by one", "lockstep"]))
def test_spikes_are_the_engines(name, seed, way):
    placement, times, lines = random_network(seed)
    chip = Chip(strong(name), serial=seed, seed=seed)
    chip.write(placement.fabric)
    found = chip.run(times, lines, 320.0, trial=2)
    account = chip.account
    with pytest.MonkeyPatch.context() as patch:
        run_by(way, patch)
        other = Chip(chip.config, serial=seed, seed=seed)
        other.write(placement.fabric)
        assert_same(found, by_engine(other, times, lines, 320.0, 2))
    assert account == other.account


def test_random_networks_are_worth_the_comparison():
    spikes, lost, delayed = [], 0, 0
    for seed in range(12):
        placement, times, lines = random_network(seed)
        chip = Chip(strong("w66f3"), serial=seed, seed=seed)
        chip.write(placement.fabric)
        recording = chip.run(times, lines, 320.0, 2)
        spikes.append(np.isin(recording.circuits, np.concatenate([c[:, 0] for c in placement.neurons.values()])).sum())
        lost += recording.lost_events
        delayed += np.count_nonzero(placement.fabric.delay_register)
    assert np.median(spikes) > 20 and lost > 10 and delayed > 20


@pytest.fixture
def levels_used(monkeypatch):
    """How often a run went level by level."""
    runs = []
    run = feedforward.FeedForward.play

    def counted(*arguments):
        runs.append(1)
        return run(*arguments)

    monkeypatch.setattr(feedforward.FeedForward, "play", counted)
    return runs


def small(weights=((63, 63), (40, -20)), config="ideal"):
    chip = Chip(config, serial=1, seed=1)
    placement = place_feedforward(len(weights), [np.array(weights)], [None])
    chip.write(placement.fabric)
    return chip, placement


def test_networks_without_loops_go_level_by_level(levels_used):
    chip, _ = small()
    chip.run([1.0], [0], 50.0, 0)
    assert levels_used == [1]


def test_a_loop_is_left_to_the_engine(levels_used):
    a, b, inputs = Population("a", 2), Population("b", 2), External("input", 2)
    weights = np.full((2, 2), 60)
    there, back = Projection(a, b, weights), Projection(b, a, weights)
    chip = Chip(strong("ideal"))
    placement = place([inputs, a, b], [Projection(inputs, a, weights), there, back])
    chip.write(placement.fabric)
    times = np.repeat(np.arange(5.0), 2)
    looping = chip.run(times, [0, 1] * 5, 100.0, 0)
    assert not levels_used and looping.circuits.size
    # Without a weight there is no loop.
    chip.write(placement.with_weights([weights, weights, 0 * weights]).fabric)
    open_chain = chip.run(times, [0, 1] * 5, 100.0, 0)
    assert levels_used and open_chain.circuits.size


@pytest.mark.parametrize("reason", ["limits", "probe"])
def test_what_only_the_engine_has_is_left_to_it(reason, levels_used):
    path = EventPathConfig(slot_ns=8.0) if reason == "limits" else preset("ideal").event_path
    chip, placement = small(config=dataclasses.replace(preset("ideal"), event_path=path))
    if reason == "probe":
        chip.run([1.0], [0], 50.0, 0, Probe(placement.neurons["layer 0"][:, 0], [2.0]))
    else:
        chip.run([1.0], [0], 50.0, 0)
    assert not levels_used


def test_weights_over_several_synapses_are_left_to_the_engine(levels_used):
    inputs, neurons = External("input", 1), Population("neurons", 1)
    chip = Chip(strong("ideal"))
    chip.write(place([inputs, neurons], [Projection(inputs, neurons, np.array([[150]]))]).fabric)
    assert chip.run([1.0], [0], 50.0, 0).circuits.size == 1
    assert not levels_used


def test_many_spikes_need_more_room(monkeypatch):
    monkeypatch.setattr(feedforward, "_FIRST_CAPACITY", 1)
    placement, times, lines = random_network(3)
    few, many = (Chip(strong("w66f3"), serial=5, seed=5) for _ in range(2))
    few.write(placement.fabric)
    found = few.run(times, lines, 320.0, 2)
    monkeypatch.undo()
    many.write(placement.fabric)
    assert found.ticks.size > 10
    np.testing.assert_array_equal(found.analogue_times_us, many.run(times, lines, 320.0, 2).analogue_times_us)


def test_spikes_up_to_the_end_count_and_none_after():
    chip, _ = small(config=strong("ideal"))
    (spike,) = np.unique(chip.run([1.0, 1.0], [0, 1], 50.0, 0).analogue_times_us)
    for end, n in ((spike * (1 + 1e-12), 1), (spike * (1 - 1e-12), 0)):
        assert np.unique(chip.run([1.0, 1.0], [0, 1], end, 0).analogue_times_us).size == n


# --- rewriting


def other_values(placement, seed):
    """Other weights and delays for a placement, some weights 0."""
    rng = np.random.default_rng(seed)
    weights = [random_matrix(rng, *(sites.pre.max() + 1, sites.post.max() + 1)) for sites in placement.sites]
    registers = [None if delays is None else rng.integers(50, 120, delays.size) for delays in placement.delays]
    return weights, registers


@pytest.mark.parametrize("seed", range(4))
def test_rewriting_is_writing(seed):
    placement, times, lines = random_network(seed)
    chip, other = (Chip(strong("w66f3"), serial=seed, seed=seed) for _ in range(2))
    chip.write(placement.fabric)
    chip.rewrite(placement.rewriting(*other_values(placement, seed + 1)))
    other.write(placement.with_weights(*other_values(placement, seed + 1)).fabric)
    found = chip.run(times, lines, 320.0, 1)
    assert_same(found, other.run(times, lines, 320.0, 1))
    assert_same(by_engine(chip, times, lines, 320.0, 1), found)
    for name in ("weight", "delay_register"):
        np.testing.assert_array_equal(getattr(chip.fabric, name), getattr(other.fabric, name))


@pytest.mark.parametrize("seed", range(4))
def test_no_bit_depends_on_what_was_written_before(seed):
    placement, times, lines = random_network(seed)
    last = other_values(placement, seed + 9)
    for rewrites in (False, True):
        trains = []
        for history in ([], range(3)):
            chip = Chip(strong("w66f3"), serial=seed, seed=seed)
            chip.write(placement.fabric)
            for values in [*(other_values(placement, number) for number in history), last]:
                if rewrites:
                    chip.rewrite(placement.rewriting(*values))
                else:
                    chip.write(placement.with_weights(*values).fabric)
                trains.append(chip.run(times, lines, 320.0, 1).analogue_times_us)
        np.testing.assert_array_equal(trains[0], trains[-1])
        assert not np.array_equal(trains[1], trains[-1])


def test_rewriting_sends_the_network_again():
    chip, placement = small()
    chip.run([1.0], [0], 50.0, 0)
    words = chip.account.words_written
    chip.rewrite(placement.rewriting([np.array([[1, 2], [3, 4]])]))
    chip.run([1.0], [0], 50.0, 0)
    again = chip.account.words_written - words
    chip.run([1.0], [0], 50.0, 0)
    assert again > chip.account.words_written - words - again > 0


def test_a_rewriting_of_another_placement_is_refused():
    chip, placement = small()
    weights = [np.array([[1, 2], [3, 4]])]
    chip.rewrite(placement.rewriting(weights))
    before = chip.fabric.weight
    for other in (small()[1], placement.with_weights(weights)):
        with pytest.raises(ChipError, match=r"another placement.*Chip.write"):
            chip.rewrite(other.rewriting(weights))
    with pytest.raises(ChipError, match=r"another placement.*Chip.write"):
        Chip("ideal").rewrite(placement.rewriting(weights))
    assert chip.fabric.weight is before


@pytest.mark.parametrize("matrix", [[[64, 0], [0, 0]], [[0.5, 0.0], [0.0, 0.0]], [[1, 2, 3]], [[np.nan, 0], [0, 0]]])
def test_weights_that_do_not_fit_are_refused(matrix):
    chip, placement = small()
    before = chip.fabric.weight
    with pytest.raises(PlacementError, match=r"weights\[0\]"):
        chip.rewrite(placement.rewriting([np.array(matrix)]))
    assert chip.fabric.weight is before


# --- the crossing


@settings(deadline=None, max_examples=300)
@given(
    u=st.floats(-60.0, 69.0),
    exc=st.floats(1e-3, 200.0),
    inh=st.just(0.0) | st.floats(1e-3, 100.0),
    taus=st.tuples(*[st.floats(2.0, 20.0)] * 3),
    share=st.floats(0.0, 1.0),
)
def test_series_finds_the_crossing_or_says_so(u, exc, inh, taus, share):
    rates = tuple(1.0 / tau for tau in taus)
    expected = first_crossing(70.0, u, exc, inh, *rates)
    found = crossing_by_series(share * min(expected, 50.0), 50.0, 70.0, u, exc, inh, *rates)
    if found >= 0.0:
        assert evolve(found, u, exc, inh, *rates)[0] == pytest.approx(70.0, abs=1e-11)
        if inh == 0.0:
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)
