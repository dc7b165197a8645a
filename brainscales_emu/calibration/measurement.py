"""How each analogue quantity is measured on an `Instrument`: the procedures of the calibration.

Every function takes the codes of all circuits and returns one number per circuit of the instrument. What else it needs
for its measurement (a fast membrane, a threshold that is out of reach) it sets for that time, by codes too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..capmem import CODES, MAX_CODE, Codes
from ..config import ChipConfig
from ..constants import N_CIRCUITS
from ..readout.adc import CHANNELS, OFFSET_RANGE, CadcConfig
from .instrument import Instrument, Observation

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# OFF is a threshold that no membrane reaches.
OFF = MAX_CODE
ABOVE_HIGH = CODES["threshold"] + 240  # threshold, about 222 LSB
FAST, SLOW = MAX_CODE, 26  # membrane; about 1 us and 30 us in a typical circuit
FAST_MEMBRANE_US = 1.0


class Levels(NamedTuple):
    """Codes of the leak, each (512,) int64, for two potentials: low, and above all thresholds but still readable.

    Chips differ too much for any code to be either on all of them, so they are measured first.
    """

    low: IntArray
    high: IntArray


LEVELS_LSB = Levels(60.0, 190.0)  # type: ignore[arg-type]  # the potentials

# Of the CADC as it is by default; another one works too, if it isn't a multiple.
CADC_PERIOD_US = CadcConfig().period_us

# Time constants that fits are tried with.
TAU_GRID_US = np.geomspace(0.5, 200.0, 240)


class ShapeFit:
    """Least-squares fits of y(t) = amplitude * shape(t; tau) + a combination of background shapes, amplitude > 0.

    All shapes are tried on all traces, and the best tau is refined by a parabola through its neighbours.

    Parameters
    ----------
    tau_us : (D,) float64
        Ascending, evenly spaced in the logarithm.
    shapes : (D, K) float64
        At the K sample times.
    background : (B, K) float64
        E.g. one row of ones.
    """

    def __init__(self, tau_us: FloatArray, shapes: FloatArray, background: FloatArray) -> None:
        # Sums instead of matrix products, whose last bits depend on the number of threads.
        basis: list[FloatArray] = []
        rest = shapes
        for row in background:
            for known in basis:
                row = row - np.sum(row * known) * known
            basis.append(row / np.sqrt(np.sum(row**2)))
            rest = rest - np.sum(rest * basis[-1], axis=1, keepdims=True) * basis[-1]
        self._log_tau = np.log(tau_us)
        self._norm = np.sqrt(np.sum(rest**2, axis=1))
        # Rounded, so that products with 8-bit readings add up without error, in whatever order.
        self._unit = np.rint(rest / self._norm[:, None] * 2.0**30) / 2.0**30

    def __call__(self, traces: NDArray) -> tuple[FloatArray, FloatArray]:
        """tau in us and amplitude of each of the traces (C, K)."""
        share = self._unit @ traces.T  # (D, C); what it squares to is taken from the sum of squares
        best = np.clip(np.argmax(share, axis=0), 1, len(share) - 2)
        trace = np.arange(share.shape[1])
        left, middle, right = (share[best + i, trace] for i in (-1, 0, 1))
        bend = left**2 - 2.0 * middle**2 + right**2
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.clip(0.5 * (left**2 - right**2) / bend, -1.0, 1.0)
        part = np.where(bend < 0.0, part, 0.0)
        log_tau = self._log_tau[best] + part * (self._log_tau[1] - self._log_tau[0])
        left, middle, right = (share[best + i, trace] / self._norm[best + i] for i in (-1, 0, 1))
        amplitude = middle + 0.5 * part * (right - left) + 0.5 * part**2 * (left - 2.0 * middle + right)
        return np.exp(log_tau), amplitude


def psp(t_us: FloatArray, tau_mem_us: ArrayLike, tau_syn_us: float) -> FloatArray:
    """Membrane response in us to a unit synaptic current: (D, K) for (K,) times and (D,) membrane time constants."""
    rate = 1.0 / np.asarray(tau_mem_us, dtype=np.float64)[:, None] - 1.0 / tau_syn_us
    rate = np.where(np.abs(rate) < 1e-9, 1e-9, rate)
    return np.exp(-t_us / tau_syn_us) * -np.expm1(-rate * t_us) / rate


def _pulses(period_us: float, n: int) -> tuple[NDArray, float]:
    """Times of n pulses about a period apart, and the end of the run. The period is moved by a fraction of that of the
    CADC, so that the readings after each pulse come at other phases."""
    period_us = CADC_PERIOD_US * (math.ceil(period_us / CADC_PERIOD_US) + 0.382)
    return 5.0 + period_us * np.arange(n), 5.0 + period_us * n


def _after(times_us: FloatArray, pulses_us: NDArray, start_us: float, end_us: float) -> tuple[IntArray, FloatArray]:
    """Samples that lie start..end after a pulse, and how long after it."""
    since = times_us - pulses_us[np.maximum(np.searchsorted(pulses_us, times_us, side="right") - 1, 0)]
    chosen = np.flatnonzero((since >= start_us) & (since < end_us))
    return chosen, since[chosen]


def measure_tau_syn(instrument: Instrument, codes: Codes, levels: Levels, sign: int, expected_us: float) -> FloatArray:
    """Synaptic time constant in us: with a fast membrane the tail of a PSP is that of the synaptic current."""
    # Away from the rails: excitatory from below, inhibitory from above.
    instrument.write_codes(codes.replace(tau_mem=FAST, threshold=OFF, leak=levels.low if sign > 0 else levels.high))
    pulses_us, end_us = _pulses(10.2 * expected_us, 10)
    seen = instrument.run(pulses_us, 11 * sign, end_us, refractory_us=1.0)
    chosen, since = _after(seen.times_us, pulses_us, 3.0, 10.0 * expected_us)
    tau_us = TAU_GRID_US[TAU_GRID_US > 1.2 * FAST_MEMBRANE_US]
    background = np.stack([np.ones(since.size), np.exp(-since / FAST_MEMBRANE_US)])
    return ShapeFit(tau_us, np.exp(-since / tau_us[:, None]), background)(sign * seen.readings[:, chosen])[0]


def measure_gain(
    instrument: Instrument, codes: Codes, levels: Levels, sign: int, tau_syn_us: float, expected_tau_mem_us: float
) -> FloatArray:
    """Step of the synaptic current per pulse in LSB/us: fit of a PSP with the synaptic time constant as calibrated."""
    instrument.write_codes(codes.replace(threshold=OFF, leak=levels.low if sign > 0 else levels.high))
    pulses_us, end_us = _pulses(7.0 * (tau_syn_us + expected_tau_mem_us), 8)
    seen = instrument.run(pulses_us, 2 * sign, end_us, refractory_us=1.0)  # small: inputs saturate
    chosen, since = _after(seen.times_us, pulses_us, 0.0, np.inf)
    fit = ShapeFit(TAU_GRID_US, psp(since, TAU_GRID_US, tau_syn_us), np.ones((1, since.size)))
    return fit(sign * seen.readings[:, chosen])[1]


def measure_threshold(instrument: Instrument, codes: Codes, levels: Levels) -> FloatArray:
    """Threshold in LSB: with the leak above it the membrane climbs slowly from spike to spike; a line through the
    readings of the last 6 us before the spikes says where it was when it spiked. inf if it doesn't spike."""
    instrument.write_codes(codes.replace(tau_mem=SLOW, leak=levels.high))
    seen = instrument.run([], 0, 800.0, refractory_us=2.0)
    before = _next_spike_us(seen) - seen.times_us
    weight = (before < 6.0).astype(np.float64)
    x, y = np.where(weight > 0.0, before, 0.0), weight * seen.readings
    n, sx, sy = weight.sum(axis=1), x.sum(axis=1), y.sum(axis=1)
    sxx, sxy = (x * x).sum(axis=1), (x * y).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (sxx * sy - sx * sxy) / (n * sxx - sx * sx)
    return np.where(n >= 8, crossing, np.inf)


def measure_leak(instrument: Instrument, codes: Codes) -> FloatArray:
    """Leak potential in LSB: the mean reading at rest."""
    instrument.write_codes(codes.replace(threshold=OFF))
    return instrument.run([], 0, 100.0, refractory_us=1.0).readings.mean(axis=1)


def measure_reset(instrument: Instrument, codes: Codes, levels: Levels) -> FloatArray:
    """Reset potential in LSB: the mean reading in long refractory times of a neuron whose leak is above its threshold.
    NaN if it doesn't spike."""
    refractory_us = 30.0
    instrument.write_codes(codes.replace(leak=levels.high))
    seen = instrument.run([], 0, 400.0, refractory_us)
    # A sample within the refractory time and away from its ends.
    since = seen.times_us - _last_spike_us(seen)
    held = (since > 1.0) & (since < refractory_us - 1.0)
    with np.errstate(invalid="ignore"):
        return np.where(held, seen.readings, 0).sum(axis=1) / held.sum(axis=1)


def measure_tau_mem(
    instrument: Instrument, codes: Codes, levels: Levels, tau_syn_us: float, expected_us: float
) -> FloatArray:
    """Membrane time constant in us: a strong pulse makes the neuron spike, in a long refractory time the synaptic
    current dies, and the membrane then climbs from a low reset to a high leak. NaN if it doesn't spike as expected."""
    refractory_us, latest_us = 12.0 * tau_syn_us, 6.0  # near the rail the way up is slow
    instrument.write_codes(codes.replace(leak=levels.high, threshold=ABOVE_HIGH, reset=levels.low))
    pulses_us, end_us = _pulses(refractory_us + 15.0 * expected_us, 6)
    seen = instrument.run(pulses_us, 40, end_us, refractory_us)
    chosen, since = _after(seen.times_us, pulses_us, refractory_us + latest_us, np.inf)
    fit = ShapeFit(TAU_GRID_US, np.exp(-since / TAU_GRID_US[:, None]), np.ones((1, since.size)))
    tau_us = fit(-seen.readings[:, chosen])[0]
    latency = seen.spike_times_us - pulses_us[np.searchsorted(pulses_us, seen.spike_times_us, side="right") - 1]
    prompt = np.bincount(seen.spike_index[(latency >= 0.0) & (latency < latest_us)], minlength=tau_us.size)
    spikes = np.bincount(seen.spike_index, minlength=tau_us.size)
    return np.where((prompt == pulses_us.size) & (spikes == pulses_us.size), tau_us, np.nan)


def procedures(instrument: Instrument, levels: Levels, targets: ChipConfig) -> dict[str, Callable[[Codes], FloatArray]]:
    """How each of `capmem.PARAMETERS` is measured of an instrument whose circuits have about these time constants."""
    tau_exc_us, tau_inh_us, tau_mem_us = targets.tau_syn_exc_us, targets.tau_syn_inh_us, targets.tau_mem_us
    return {
        "tau_syn_exc": lambda codes: measure_tau_syn(instrument, codes, levels, +1, tau_exc_us),
        "tau_syn_inh": lambda codes: measure_tau_syn(instrument, codes, levels, -1, tau_inh_us),
        "threshold": lambda codes: measure_threshold(instrument, codes, levels),
        "gain_exc": lambda codes: measure_gain(instrument, codes, levels, +1, tau_exc_us, tau_mem_us),
        "gain_inh": lambda codes: measure_gain(instrument, codes, levels, -1, tau_inh_us, tau_mem_us),
        "leak": lambda codes: measure_leak(instrument, codes),
        "tau_mem": lambda codes: measure_tau_mem(instrument, codes, levels, tau_exc_us, tau_mem_us),
        "reset": lambda codes: measure_reset(instrument, codes, levels),
    }


def _spike_table(seen: Observation) -> tuple[FloatArray, IntArray]:
    """Spike times of all circuits one after the other, each with -inf before and inf after, and where each starts."""
    n = len(seen.readings)
    index = np.concatenate([np.arange(n), seen.spike_index, np.arange(n)])
    times = np.concatenate([np.full(n, -np.inf), seen.spike_times_us, np.full(n, np.inf)])
    order = np.lexsort((times, index))
    return times[order], np.searchsorted(index[order], np.arange(n + 1))


def _last_spike_us(seen: Observation) -> FloatArray:
    """Time of the last spike before each reading, -inf if there is none; (C, n)."""
    times, first = _spike_table(seen)
    rows = [times[a:b][np.searchsorted(times[a:b], seen.times_us, side="right") - 1] for a, b in pairwise(first)]
    return np.stack(rows)


def _next_spike_us(seen: Observation) -> FloatArray:
    """Time of the next spike at or after each reading, inf if there is none; (C, n)."""
    times, first = _spike_table(seen)
    return np.stack([times[a:b][np.searchsorted(times[a:b], seen.times_us)] for a, b in pairwise(first)])


def find_offsets(instrument: Instrument) -> IntArray:
    """Digital offsets with which all CADC channels read the same at one external potential; (2, 512)."""
    potential_lsb = 120.0
    instrument.write_offsets(np.zeros((len(CHANNELS), N_CIRCUITS), dtype=np.int64))
    mean = instrument.sample(potential_lsb, n=100).mean(axis=2)
    return np.clip(np.rint(potential_lsb - mean), *OFFSET_RANGE).astype(np.int64)
