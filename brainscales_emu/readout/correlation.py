"""Correlation sensors: what each synapse remembers of the order of its events and of its neuron's spikes.

Each synapse has two analogue accumulators. A spike of the neuron t after an event at the synapse adds
amplitude * exp(-t / tau) to the causal one, an event t after a spike does so to the acausal one; both are read by the
CADC and cleared by a reset.

Assumed: only direct neighbours make a pair (an event counts for the next spike only, and only if no other event comes
between; likewise a spike for the next event), and an event at the very time of a spike comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import floats, integers
from ..constants import N_COLUMNS, N_ROWS
from ..errors import check_number
from ..mismatch import stream
from .adc import CHANNELS, Cadc

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CorrelationConfig:
    """Correlation sensors.

    Attributes
    ----------
    tau_us : float
        Time constant, 5 us as the vendor's calibration aims at; it allows 2..30 us.
    amplitude_lsb : float
        Contribution of a pair at t = 0, 0.5 as the vendor's calibration aims at; it allows 0.2..2. That the unit is
        the LSB of the CADC is inferred.
    tau_std, amplitude_std : float
        Relative spread from synapse to synapse. Assumed 0.3, with which the 30, 50 and 70 % quantiles lie well within
        the factor of 2 around the target that the vendor's tests allow.
    baseline_lsb : float
        Reading after a reset, the same for all. Modelled.
    """

    tau_us: float = 5.0
    amplitude_lsb: float = 0.5
    tau_std: float = 0.3
    amplitude_std: float = 0.3
    baseline_lsb: float = 20.0

    def __post_init__(self) -> None:
        check_number("correlation.tau_us", self.tau_us, 2.0, 30.0, "us", "choose what the sensor can make")
        check_number(
            "correlation.amplitude_lsb", self.amplitude_lsb, 0.2, 2.0, "LSB", "choose what the sensor can make"
        )
        for name in ("tau_std", "amplitude_std"):
            remedy = "give a relative standard deviation, 0.05 for 5 %"
            check_number(f"correlation.{name}", getattr(self, name), 0.0, 1.0, "", remedy)
        check_number("correlation.baseline_lsb", self.baseline_lsb, 0.0, 255.0, "LSB", "give a reading of the CADC")


class CorrelationSensors:
    """The sensors of one half of the chip, 256 x 256 synapses.

    Parameters
    ----------
    config : CorrelationConfig
    serial : int
        Serial number of the chip: decides each sensor's time constant and amplitude.
    half : int
        0 top, 1 bottom.

    Attributes
    ----------
    half : int
    accumulated_lsb : (2, 256, 256) float64
        [causal | acausal, row, column], since the last reset; a real chip shows it through the CADC only.
    """

    def __init__(self, config: CorrelationConfig, serial: int, half: int) -> None:
        check_number("chip.serial", serial, 0, 2**63 - 1, "", "give a serial number", whole=True)
        check_number("correlation.half", half, 0, 1, "", "take 0 for the top or 1 for the bottom half", whole=True)
        self.config = config
        self.half = half
        shape = (len(CHANNELS), N_ROWS, N_COLUMNS)

        def relative(name: str, std: float) -> FloatArray:
            variance = np.log1p(std**2)  # lognormal with mean 1
            normal = stream(serial, f"fixed_pattern.correlation_{name}", half).standard_normal(shape)
            return np.exp(np.sqrt(variance) * normal - variance / 2)

        self._tau_us = config.tau_us * relative("tau", config.tau_std)
        self._amplitude_lsb = config.amplitude_lsb * relative("amplitude", config.amplitude_std)
        self.accumulated_lsb = np.zeros(shape)

    def observe(
        self,
        event_times_us: ArrayLike,
        rows: ArrayLike,
        columns: ArrayLike,
        spike_times_us: ArrayLike,
        spike_columns: ArrayLike,
    ) -> None:
        """Add what one run did: events that reached synapses of this half, and spikes of its circuits.

        Parameters
        ----------
        event_times_us : (n,) array_like of float
            When each event reached its synapse, in any order.
        rows, columns : (n,) array_like of int
            The synapse.
        spike_times_us : (m,) array_like of float
            Exact times of the spikes, in any order.
        spike_columns : (m,) array_like of int
            Column of the circuit.

        Raises
        ------
        ChipError
            Arrays of different length, a time that isn't finite, or a row or column outside 0..255.
        """
        event, row, column = _events("event", event_times_us, rows=(rows, N_ROWS), columns=(columns, N_COLUMNS))
        spike, spike_column = _events("spike", spike_times_us, columns=(spike_columns, N_COLUMNS))
        order = np.lexsort((event, column, row))
        event, row, column = event[order], row[order], column[order]
        order = np.lexsort((spike, spike_column))
        spike = spike[order]
        first = np.searchsorted(spike_column[order], np.arange(N_COLUMNS + 1))

        following = np.empty(event.size, dtype=np.int64)  # the spike that comes next, counted over all columns
        for c in np.unique(column):
            mine = column == c
            following[mine] = first[c] + np.searchsorted(spike[first[c] : first[c + 1]], event[mine])
        synapse = row * N_COLUMNS + column
        # Is there no spike between an event and the one before it (and, one further on, the one after it)?
        same_gap = np.zeros(event.size + 1, dtype=bool)
        same_gap[1:-1] = (np.diff(synapse) == 0) & (np.diff(following) == 0)
        last, earliest = ~same_gap[1:], ~same_gap[:-1]
        causal = np.flatnonzero(last & (following < first[column + 1]))
        acausal = np.flatnonzero(earliest & (following > first[column]))
        self._add(0, row[causal], column[causal], spike[following[causal]] - event[causal])
        self._add(1, row[acausal], column[acausal], event[acausal] - spike[following[acausal] - 1])

    def _add(self, channel: int, row: IntArray, column: IntArray, lag_us: FloatArray) -> None:
        amplitude, tau = self._amplitude_lsb[channel, row, column], self._tau_us[channel, row, column]
        np.add.at(self.accumulated_lsb[channel], (row, column), amplitude * np.exp(-lag_us / tau))

    def read(self, cadc: Cadc, trial: int) -> IntArray:
        """Readings of all sensors, row by row.

        Parameters
        ----------
        cadc : Cadc
            The chip's converter.
        trial : int
            Decides the read noise.

        Returns
        -------
        (2, 256, 256) int64
            [causal | acausal, row, column], 0..255.
        """
        circuits = self.half * N_COLUMNS + np.arange(N_COLUMNS)
        potential = self.config.baseline_lsb + self.accumulated_lsb
        causal = cadc.convert(potential[0].T, circuits, trial, "causal").T
        acausal = cadc.convert(potential[1].T, circuits, trial, "acausal").T
        return np.stack((causal, acausal))

    def reset(self) -> None:
        """Clear all accumulators."""
        self.accumulated_lsb[:] = 0.0


def _events(kind: str, times_us: ArrayLike, **places: tuple[ArrayLike, int]) -> list[NDArray]:
    times = floats(f"correlation.{kind}_times_us", times_us, (None,), unit="us", remedy="drop the other times")
    remedy = "name a synapse of this half"
    return [times] + [
        integers(f"correlation.{kind} {name}", values, times.shape, 0, size - 1, remedy=remedy)
        for name, (values, size) in places.items()
    ]
