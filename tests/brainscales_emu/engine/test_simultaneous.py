"""What happens at one instant: the rule decides, not the last bit of a time. All engines and the readable twin."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from test_delay import element_chip
from test_engine import check_against_twin
from ways import WAYS, run_by

from brainscales_emu import ChipConfig, place, preset
from brainscales_emu.adex import AdexConfig
from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.instant import latest, settled
from brainscales_emu.mismatch import draw_fixed_pattern, trial_key
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.delay import fire_times
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.routing.placement import External, Population, Projection

GAIN, TAU, THRESHOLD, TOTAL = 0.15, 6.0, 70.0, 228  # LSB/us per LSB of weight, us, LSB above leak, LSB of weight
# Equal sums: three neurons that are equal but for rounding.
EQUAL_BUT_FOR_ROUNDING = ((57, 57, 57, 57), (63, 63, 63, 39), (51, 61, 59, 57))
DURATION = 40.0


def crossing_us(delay_us=0.0):
    """u(s) = i s exp(-s / tau), for all time constants are equal."""
    current = GAIN * TOTAL
    return delay_us + brentq(lambda s: current * s * math.exp(-s / TAU) - THRESHOLD, 0.0, TAU, xtol=1e-15)


def test_inhibition_would_undo_the_crossing():
    """What the tests below stand on: a full inhibitory weight turns the membrane round where it crosses, for good."""
    s = crossing_us()
    slope = GAIN * TOTAL * math.exp(-s / TAU) - THRESHOLD / TAU
    assert 0.0 < slope < GAIN * 63
    # From there on u(s) = (u + i s) exp(-s / tau) with i - u / tau < 0, which only falls.


class Engine:
    """A way to compute a network of four inputs, a fifth one that inhibits neuron 0, and three neurons.

    Neuron k gets `weights[k]` from the four inputs; `inhibits` are pairs of neurons.
    """

    def __init__(self, way, monkeypatch):
        self.way = way
        if way in WAYS:
            run_by(way, monkeypatch)

    def chip(self, weights, inhibits=(), latency_us=0.0):
        adex = AdexConfig(tolerance=1e-12) if self.way == "adex" else None
        config = ChipConfig(
            tau_mem_us=TAU,
            tau_syn_exc_us=TAU,
            tau_syn_inh_us=TAU,
            leak_lsb=80.0,
            threshold_lsb=80.0 + THRESHOLD,
            reset_lsb=80.0,
            refractory_us=30.0,
            synaptic_gain=GAIN,
            event_latency_us=latency_us,
            exact_input_times=True,
            adex=adex,
        )
        inputs, neurons = External("input", 5), Population("neurons", len(weights))
        feed = np.zeros((5, len(weights)), dtype=np.int64)
        feed[:4] = np.transpose(weights)
        feed[4, 0] = -63
        recurrent = np.zeros((len(weights), len(weights)), dtype=np.int64)
        for source, target in inhibits:
            recurrent[source, target] = -63
        placement = place(
            [inputs, neurons], [Projection(inputs, neurons, feed), Projection(neurons, neurons, recurrent)]
        )
        chip = Chip(config, serial=1, seed=1)
        chip.write(placement.fabric)
        return chip, placement.neurons["neurons"][:, 0].tolist(), np.array(placement.lines["input"])

    def spikes(self, chip, times_us, lines):
        """(time, circuit) in the order of the engine."""
        if self.way == "twin":
            wired = WiredChip(chip.config, draw_fixed_pattern(chip.config, 1), chip.fabric)
            order = np.argsort(times_us, kind="stable")
            events = [times_us[k] for k in order], [EXTERNAL + int(lines[k]) for k in order]
            return simulate_reference(wired, *events, DURATION, TrialNoise(trial_key(1, 0)))[0]
        session = chip.begin(times_us, lines, DURATION, 0)
        session.advance(math.inf)
        return list(zip(session.spikes["time"].tolist(), session.spikes["source"].tolist(), strict=True))


@pytest.fixture(params=[*WAYS, "adex", "twin"])
def engine(request, monkeypatch):
    return Engine(request.param, monkeypatch)


@pytest.mark.parametrize("pair", list(itertools.permutations(range(3), 2)))
@pytest.mark.parametrize("weights", [[EQUAL_BUT_FOR_ROUNDING[0]] * 3, EQUAL_BUT_FOR_ROUNDING])
def test_a_spike_does_not_undo_a_crossing_of_the_same_instant(engine, weights, pair):
    chip, circuits, lines = engine.chip(weights, inhibits=[pair])
    spikes = engine.spikes(chip, [0.5] * 4, lines[:4])
    assert [circuit for _, circuit in spikes] == circuits
    assert [time for time, _ in spikes] == pytest.approx([crossing_us(0.5)] * 3, rel=1e-11)
    assert len({time for time, _ in spikes}) == 1  # equal neurons spike at one time, to the bit


def test_simultaneous_spikes_come_by_number(engine):
    for weights in itertools.permutations(EQUAL_BUT_FOR_ROUNDING):
        chip, circuits, lines = engine.chip(weights, latency_us=0.08)
        spikes = engine.spikes(chip, [0.5] * 4, lines[:4])
        assert [circuit for _, circuit in spikes] == circuits == sorted(circuits)
        assert len({time for time, _ in spikes}) == 1


def nudged(time_us, ulps):
    for _ in range(abs(ulps)):
        time_us = math.nextafter(time_us, math.copysign(math.inf, ulps))
    return time_us


@pytest.mark.parametrize("ulps", range(-4, 5))
def test_an_input_event_acts_after_the_spikes_of_its_instant(engine, ulps):
    chip, circuits, lines = engine.chip(EQUAL_BUT_FOR_ROUNDING[:1])
    ((crossing, _),) = engine.spikes(chip, [0.5] * 4, lines[:4])
    spikes = engine.spikes(chip, [0.5] * 4 + [nudged(crossing, ulps)], lines)
    assert [circuit for _, circuit in spikes] == circuits
    assert spikes[0][0] == pytest.approx(crossing_us(0.5), rel=1e-11)


def test_what_comes_well_before_acts_before(engine):
    # Further apart than an instant is long, by more than any rounding: here order is physics.
    chip, _, lines = engine.chip(EQUAL_BUT_FOR_ROUNDING[:1])
    ((crossing, _),) = engine.spikes(chip, [0.5] * 4, lines[:4])
    assert engine.spikes(chip, [0.5] * 4 + [crossing - 1e-11], lines) == []
    ((later, _),) = engine.spikes(chip, [0.5] * 4 + [crossing + 1e-11], lines)
    assert later == crossing


@pytest.mark.parametrize("ulps", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("way", ["one by one", "lockstep", "adex"])
def test_the_end_of_a_window_does_not_cut_an_instant(way, ulps, monkeypatch):
    """The event that would undo the crossing is known only after the window whose end cuts the instant."""
    engine = Engine(way, monkeypatch)
    chip, circuits, lines = engine.chip(EQUAL_BUT_FOR_ROUNDING, inhibits=[(1, 2)])
    ((crossing, _), *_) = engine.spikes(chip, [0.5] * 4, lines[:4])
    whole = engine.spikes(chip, [0.5] * 4 + [crossing], lines)
    assert [circuit for _, circuit in whole] == circuits

    end = nudged(crossing, ulps)
    session = chip.begin([0.5] * 4, lines[:4], DURATION, 0)
    left = [session.advance(end)]
    session.receive(np.array([max(crossing, end)]), lines[4:])
    left.append(session.advance(math.inf))
    assert list(zip(session.spikes["time"].tolist(), session.spikes["source"].tolist(), strict=True)) == whole
    assert np.concatenate([times for times, _ in left]).tolist() == [crossing] * 3
    assert np.all(left[1][0] >= settled(end))


@pytest.mark.parametrize("ulps", [-1, 0])
def test_a_delay_element_fires_before_the_event_that_finds_it_free(ulps):
    triggers = [0.0, nudged(8.25, ulps)]
    chip, _ = element_chip(preset("ideal"), [50])  # 50 / 8 + 2 = 8.25 us
    recording = chip.run(triggers, [0, 0], 100.0, 0)
    assert recording.lost_events == 0
    np.testing.assert_allclose(recording.analogue_times_us, [8.25, 16.5], rtol=1e-14)
    assert fire_times([0.0, 8.25], 8.25) == ([8.25, 16.5], 0)
    assert chip.run([0.0, 8.25 - 1e-9], [0, 0], 100.0, 0).lost_events == 1


@pytest.mark.parametrize("instant_us", [0.0, 0.5, 1.0, 17.0, 1e4, 1e9])
def test_an_instant_is_longer_than_rounding_and_shorter_than_the_accuracy(instant_us):
    length = latest(instant_us) - instant_us
    assert 100 * math.ulp(instant_us) < length < 1e-12 * max(instant_us, 1.0)
    assert latest(math.nextafter(settled(instant_us + 1.0), 0.0)) < instant_us + 1.0
    assert settled(math.inf) == math.inf and latest(-math.inf) == -math.inf


def test_the_seed_that_met_a_tie(monkeypatch):
    for way in WAYS:
        with monkeypatch.context() as patch:
            run_by(way, patch)
            check_against_twin(568)
