"""Correlation sensors: against the readable twin, in closed form, their mismatch, and as the CADC reads them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from brainscales_emu import ChipError
from brainscales_emu.readable.correlation import neighbour_lags
from brainscales_emu.readout.adc import Cadc, CadcConfig
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors

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
