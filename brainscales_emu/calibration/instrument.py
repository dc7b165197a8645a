"""The bench on which a chip is measured: write codes, play pulses, read the CADC and the time stamps of spikes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import floats, integers
from ..capmem import Codes, median_codes
from ..chip import Chip
from ..config import ChipConfig
from ..constants import CYCLES_PER_US, N_CIRCUITS
from ..errors import ChipError
from ..execution import Account
from ..readout.adc import CHANNELS, Cadc, CadcConfig
from ..recording import Probe
from ..routing.placement import place_feedforward

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Sources that fire together in a pulse: as many, because the mismatch of synapses and drivers averages out.
N_SOURCES = 64


@dataclass(frozen=True)
class Observation:
    """What the instrument returned from one run.

    Attributes
    ----------
    times_us : (n,) float64
        When the CADC sampled.
    readings : (C, n) int64
        CADC readings of the membranes [circuit of the instrument, sample].
    spike_times_us : (m,) float64
        Time stamps of all spikes, ascending, multiples of 8 ns.
    spike_index : (m,) int64
        Which circuit of the instrument spiked, 0..C-1.
    """

    times_us: FloatArray
    readings: IntArray
    spike_times_us: FloatArray
    spike_index: IntArray


class Instrument:
    """The bench: one chip, its CADC, and sources that reach all circuits with one weight.

    Parameters
    ----------
    config : ChipConfig
        Its noise is that of the uncalibrated circuits, e.g. ``preset("uncalibrated")``.
    serial : int
        Which chip.
    seed : int
        Of the noise of all runs and readings.
    circuits : (C,) array_like of int or None
        Circuits that are looked at, ascending; the others are off. None means all 512.
    cadc : CadcConfig
    """

    def __init__(
        self,
        config: ChipConfig,
        serial: int,
        seed: int,
        circuits: ArrayLike | None = None,
        cadc: CadcConfig | None = None,
    ) -> None:
        chosen = np.arange(N_CIRCUITS) if circuits is None else circuits
        remedy = "name circuits of the chip"
        self.circuits = integers("instrument.circuits", chosen, (None,), 0, N_CIRCUITS - 1, remedy=remedy)
        if not self.circuits.size or np.any(np.diff(self.circuits) <= 0):
            raise ChipError("instrument.circuits don't ascend, or there are none; sort them, each once")
        self._cadc = Cadc(cadc or CadcConfig(), serial, seed)
        self._chip, self._codes = Chip(config, serial, seed), median_codes(config)
        self._weight: int | None = None  # that all synapses have
        self._trial = 0

    @property
    def account(self) -> Account:
        """What the chip has done for it, and the modelled time that it took."""
        return self._chip.account

    def write_codes(self, codes: Codes) -> None:
        """Write the capacitive memory."""
        self._codes = codes

    def write_offsets(self, registers: ArrayLike) -> None:
        """Write the digital offsets of the CADC, (2, 512) integers -128..127."""
        self._cadc.write_offsets(registers)

    def sample(self, potential_lsb: float, n: int) -> IntArray:
        """Connect all channels of the CADC to one external potential and read them n times: (2, 512, n) int64."""
        self._trial += 1
        everywhere = np.full((N_CIRCUITS, n), float(potential_lsb))
        return np.stack(
            [self._cadc.convert(everywhere, np.arange(N_CIRCUITS), self._trial, channel) for channel in CHANNELS]
        )

    def run(self, pulses_us: ArrayLike, weight: int, duration_us: float, refractory_us: float) -> Observation:
        """Play one run from rest and read all membranes with the CADC from start to end.

        Parameters
        ----------
        pulses_us : (n,) array_like of float
            Times at which all N_SOURCES sources send an event to all circuits.
        weight : int
            Signed weight of every synapse, -63..63.
        duration_us : float
        refractory_us : float

        Returns
        -------
        Observation
        """
        self._trial += 1
        if weight != self._weight:
            placement = place_feedforward(N_SOURCES, [np.full((N_SOURCES, N_CIRCUITS), weight)], [None])
            enabled = np.isin(np.arange(N_CIRCUITS), self.circuits)
            self._chip.write(dataclasses.replace(placement.fabric, neuron_enabled=enabled))
            self._lines, self._weight = placement.lines["input"], weight
        self._chip.write_codes(self._codes, refractory_us)
        pulses = floats("instrument.pulses_us", pulses_us, (None,), 0.0, duration_us, "us", "pulse within the run")
        lines = np.tile(self._lines, pulses.size)
        times_us = self._cadc.instants(duration_us)
        probe = Probe(self.circuits, times_us)
        recording = self._chip.run(np.repeat(pulses, N_SOURCES), lines, duration_us, self._trial, probe)
        assert recording.membrane_lsb is not None  # because a probe was given
        readings = self._cadc.convert(recording.membrane_lsb, self.circuits, self._trial)
        spike_index = np.searchsorted(self.circuits, recording.circuits)
        return Observation(times_us, readings, recording.ticks / CYCLES_PER_US, spike_index)
