"""Correlation sensors: against the readable twin, in closed form, their mismatch, and as the CADC reads them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_fabrics import random_fabric
from scipy import stats

from brainscales_emu import ChipConfig, ChipError, EventPathConfig
from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.execution import phases
from brainscales_emu.readable.correlation import neighbour_lags
from brainscales_emu.readout.adc import Cadc, CadcConfig
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors
from brainscales_emu.routing.placement import place_feedforward

EXACT = CorrelationConfig(tau_std=0.0, amplitude_std=0.0)


def observed(event, spike, row=2, column=9):
    """Accumulators of one synapse after one run, with tau 5 us and amplitude 0.5 LSB."""
    sensors = CorrelationSensors(EXACT, serial=1, half=0)
    n, m = len(event), len(spike)
    sensors.observe(event, np.full(n, row), np.full(n, column), spike, np.full(m, column))
    elsewhere = sensors.accumulated_lsb.copy()
    elsewhere[:, row, column] = 0.0
    assert not elsewhere.any()
    return sensors.accumulated_lsb[:, row, column]


@pytest.mark.parametrize(
    ("event", "spike", "causal_lags", "acausal_lags"),
    [
        ([10.0], [15.0], [5.0], []),
        ([15.0], [10.0], [], [5.0]),
        ([10.0], [10.0], [0.0], []),  # an event at the time of the spike comes before it
        ([8.0, 10.0], [15.0, 16.0], [5.0], []),  # direct neighbours only
        ([20.0, 22.0], [15.0, 16.0], [], [4.0]),
        ([1.0, 5.0, 9.0], [3.0, 7.0], [2.0, 2.0], [2.0, 2.0]),
        ([], [3.0], [], []),
        ([3.0], [], [], []),
    ],
)
def test_pairs(event, spike, causal_lags, acausal_lags):
    def total(lags):
        return sum(0.5 * math.exp(-lag / 5.0) for lag in lags)

    assert observed(event, spike) == pytest.approx([total(causal_lags), total(acausal_lags)], rel=1e-14)
    assert neighbour_lags(event, spike) == (causal_lags, acausal_lags)


events = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), st.integers(0, 2)), max_size=30)
spikes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=20)


@settings(deadline=None, max_examples=60)
@given(events, spikes)
def test_many_synapses_equal_the_twin(events, spikes):
    sensors = CorrelationSensors(CorrelationConfig(), serial=3, half=1)
    event = np.array(events, dtype=np.int64).reshape(-1, 3)
    spike = np.array(spikes, dtype=np.int64).reshape(-1, 2)
    sensors.observe(0.5 * event[:, 0], event[:, 1], event[:, 2], 0.5 * spike[:, 0], spike[:, 1])
    # The law of each sensor, from one pair at lag 0 and one at 5 us.
    for row in range(3):
        for column in range(3):
            here = 0.5 * event[(event[:, 1] == row) & (event[:, 2] == column), 0]
            lags = neighbour_lags(here, 0.5 * spike[spike[:, 1] == column, 0])
            for channel in (0, 1):
                expected = sum(law(channel, row, column, lag) for lag in lags[channel])
                assert sensors.accumulated_lsb[channel, row, column] == pytest.approx(expected, rel=1e-12)


_LAWS = {}


def law(channel, row, column, lag_us):
    """amplitude exp(-lag / tau) of a sensor of serial 3, bottom half; both numbers from two single pairs."""
    if (channel, row, column) not in _LAWS:
        at = []
        for probe_us in (1.0, 6.0):
            sensors = CorrelationSensors(CorrelationConfig(), serial=3, half=1)
            event, spike = (0.0, probe_us) if channel == 0 else (probe_us, 0.0)
            sensors.observe([event], [row], [column], [spike], [column])
            at.append(sensors.accumulated_lsb[channel, row, column])
        tau = 5.0 / math.log(at[0] / at[1])
        _LAWS[channel, row, column] = at[0] * math.exp(1.0 / tau), tau
    amplitude, tau = _LAWS[channel, row, column]
    return amplitude * math.exp(-lag_us / tau)


def all_sensors(sensors, lag_us):
    """Contribution of one pair in all 65536 synapses: (2, 256, 256)."""
    row, column = (index.ravel() for index in np.indices((256, 256)))
    half = []
    for event, spike in ((0.0, lag_us), (lag_us, 0.0)):
        sensors.reset()
        sensors.observe(np.full(row.size, event), row, column, np.full(256, spike), np.arange(256))
        half.append(sensors.accumulated_lsb[len(half)].copy())
    return np.stack(half)


def test_mismatch():
    sensors = CorrelationSensors(CorrelationConfig(), serial=5, half=0)
    near, far = all_sensors(sensors, 1e-9), all_sensors(sensors, 5.0)
    tau = 5.0 / np.log(near / far)
    for sample, mean in ((near, 0.5), (tau, 5.0)):
        assert sample.mean() == pytest.approx(mean, rel=5 * 0.3 / math.sqrt(sample.size))
        # vendor's limit: 30, 50 and 70 % quantiles within a factor of 2
        quantiles = np.quantile(sample, [0.3, 0.5, 0.7]) / mean
        assert (quantiles > 0.5).all() and (quantiles < 2.0).all()
        z = (np.log(sample / mean) + np.log1p(0.3**2) / 2) / math.sqrt(np.log1p(0.3**2))
        chi2 = stats.chi2(z.size)
        assert 5e-7 < chi2.cdf((z**2).sum()) < 1 - 5e-7
        assert chi2.cdf((z**2).sum() / 1.05**2) < 5e-7
    assert abs(np.corrcoef(near.reshape(2, -1))[0, 1]) < 0.03  # causal and acausal are asymmetric
    other = CorrelationSensors(CorrelationConfig(), serial=5, half=1)
    assert (all_sensors(other, 1e-9) != near).any()


def test_runs_add_up_and_reset_clears():
    sensors = CorrelationSensors(EXACT, serial=1, half=0)
    for _ in range(3):
        sensors.observe([1.0], [0], [0], [1.0], [0])
    assert sensors.accumulated_lsb[0, 0, 0] == pytest.approx(1.5)
    sensors.reset()
    assert not sensors.accumulated_lsb.any()


def test_read_through_the_cadc():
    sensors = CorrelationSensors(EXACT, serial=1, half=1)
    times = 100.0 * np.arange(40)
    sensors.observe(times, np.full(40, 7), np.full(40, 3), times, np.full(40, 3))
    registers = np.zeros((2, 512), dtype=int)
    registers[0, 256 + 3] = 11  # the channel of this column and half
    cadc = Cadc(CadcConfig(offset_std_lsb=0.0, noise_std_lsb=0.0), serial=1, seed=1)
    cadc.write_offsets(registers)
    reading = sensors.read(cadc, trial=0)
    assert reading.shape == (2, 256, 256)
    assert reading[0, 7, 3] == 20 + 40 * 0.5 + 11
    assert reading[0, 8, 3] == 20 + 11 and reading[1, 7, 3] == 20 and reading[0, 7, 4] == 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.observe([1.0], [256], [0], [], []),
            "correlation.event rows[0] = 256 is outside 0..255; name a synapse of this half",
        ),
        (
            lambda s: s.observe([1.0], [0], [0], [1.0], []),
            "correlation.spike columns has shape (0,); expected (1,); name a synapse of this half",
        ),
        (
            lambda s: s.observe([math.inf], [0], [0], [], []),
            "correlation.event_times_us[0] = inf is not finite; drop the other times",
        ),
        (
            lambda s: CorrelationConfig(tau_us=1.0),
            "correlation.tau_us = 1 us is outside 2..30 us; choose what the sensor can make",
        ),
        (
            lambda s: CorrelationSensors(EXACT, 1, 2),
            "correlation.half = 2 is outside 0..1; take 0 for the top or 1 for the bottom half",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ChipError) as error:
        call(CorrelationSensors(EXACT, 1, 0))
    assert str(error.value) == message


# --- what sensors see of a run


def both_halves():
    return [CorrelationSensors(EXACT, serial=1, half=half) for half in (0, 1)]


def test_a_run_is_observed():
    """Two inputs at known times and one spike: the law says what is in the accumulators of all synapses with the right
    label, whatever their weight."""
    placement = place_feedforward(2, [np.array([[63], [63]])], [None])
    chip = Chip("ideal")
    chip.write(placement.fabric)
    places = [tuple(place) for place in np.argwhere(placement.fabric.weight)]
    assert len(places) == 2 and {half for half, _, _ in places} == {0}
    sensors, blind = both_halves(), both_halves()
    lines = placement.lines["input"]
    plain = chip.run([1.0] * 6 + [40.0], lines[[0] * 6 + [1]], 100.0, 0)
    seen = chip.run([1.0] * 6 + [40.0], lines[[0] * 6 + [1]], 100.0, 0, sensors=sensors)
    assert seen.ticks.tolist() == plain.ticks.tolist() and seen.ticks.size == 1
    assert seen.analogue_times_us == pytest.approx(plain.analogue_times_us, rel=1e-14)
    spike_us = seen.analogue_times_us[0]
    assert 1.0 < spike_us < 40.0
    causal, acausal = 0.5 * math.exp(-(spike_us - 1.0) / 5.0), 0.5 * math.exp(-(40.0 - spike_us) / 5.0)
    found = {tuple(place): value for place in places if (value := tuple(sensors[0].accumulated_lsb[:, *place[1:]]))}
    assert sorted(found.values()) == [pytest.approx((0.0, acausal)), pytest.approx((causal, 0.0))]
    # Each input has an inhibitory synapse beside the excitatory one, of weight 0.
    assert sensors[0].accumulated_lsb.sum() == pytest.approx(2 * (causal + acausal))
    assert not sensors[1].accumulated_lsb.any()

    silent = next(place for place, value in found.items() if value[0] == 0.0)
    weight = placement.fabric.weight.copy()
    weight[silent] = 0
    chip.write(placement.fabric.with_weights(weight))
    chip.run([1.0] * 6 + [40.0], lines[[0] * 6 + [1]], 100.0, 0, sensors=blind)
    np.testing.assert_array_equal(blind[0].accumulated_lsb, sensors[0].accumulated_lsb)


@pytest.mark.parametrize("seed", range(6))
def test_sensors_of_random_runs_equal_the_twin(seed):
    rng = np.random.default_rng(seed)
    latency_us = float(rng.choice([0.0, 0.08, 3.0]))
    config = ChipConfig(refractory_us=2.0, synaptic_gain=0.6, event_latency_us=latency_us, exact_input_times=True)
    fabric = random_fabric(rng, n_elements=3, n_rows=24, merged=True)
    fabric = fabric.with_weights(np.maximum(fabric.weight, 1))  # `Fabric.deliver` tells of synapses with a weight
    times, lines = np.sort(rng.uniform(0.0, 80.0, 20)), rng.integers(0, 5, 20)
    chip, sensors = Chip(config, serial=seed), both_halves()
    delay_us = np.round(rng.uniform(0.0, 5.0, (2, 256, 256)), 1) if seed % 2 else None
    chip.write(fabric, synapse_delay_us=delay_us)
    session = chip.begin(times, lines, 100.0, 0, sensors=sensors)
    for until_us in (20.0, 70.0, math.inf):
        session.advance(until_us)
    spikes = session.spikes[session.spikes["source"] < EXTERNAL]
    session.finish(phases(session.program, 100.0, session.n_received))

    arrivals = [*zip(times, (EXTERNAL + lines).tolist(), strict=True)]
    arrivals += [(time + latency_us, source) for time, source in spikes[["time", "source"]].tolist()]
    events = {}
    for time, source in arrivals:
        reached = fabric.deliver(*fabric.event(source)) if fabric.event(source) else {}
        for place in {synapse[:3] for synapses in reached.values() for synapse in synapses}:
            at_synapse = time + (0.0 if delay_us is None else delay_us[place])
            if at_synapse <= 100.0:
                events.setdefault(place, []).append(at_synapse)
    own = {}
    members = {int(group[0]): group.tolist() for group in chip.members}
    for time, source in spikes[["time", "source"]].tolist():
        for circuit in members.get(source, [source]):
            own.setdefault(divmod(circuit, 256), []).append(time)
    expected, pairs = np.zeros((2, 2, 256, 256)), 0
    for (half, row, column), times_us in events.items():
        lags = neighbour_lags(times_us, own.get((half, column), []))
        pairs += len(lags[0]) + len(lags[1])
        for channel in (0, 1):
            expected[half, channel, row, column] = sum(0.5 * math.exp(-lag / 5.0) for lag in lags[channel])
    assert pairs > 10
    for half in (0, 1):
        np.testing.assert_allclose(sensors[half].accumulated_lsb, expected[half], rtol=1e-9, atol=1e-12)


def test_sensors_are_not_modelled_with_limits_of_the_event_path():
    chip = Chip(ChipConfig(event_path=EventPathConfig()))
    chip.write(place_feedforward(1, [np.array([[63]])], [None]).fabric)
    with pytest.raises(ChipError) as error:
        chip.run([1.0], [0], 10.0, 0, sensors=both_halves())
    assert str(error.value) == (
        "Chip.run got sensors, which aren't modelled with limits of chip.event_path; leave one of the two out"
    )
