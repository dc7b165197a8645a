"""Read-out: the parallel converter of all circuits (CADC), the fast one of two circuits (MADC), the spike counters.

A converter doesn't simulate: ask it for its instants, have the membranes probed at them (`chip.Probe`), and let it
convert what the probe saw::

    times_us = cadc.instants(duration_us)
    recording = chip.run(..., probe=Probe(circuits, times_us))
    codes = cadc.convert(recording.membrane_lsb, circuits, trial)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import floats, integers
from ..constants import N_CIRCUITS
from ..errors import ChipError, check_number
from ..measured import MeasuredCircuits
from ..mismatch import stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Vendor software (halco): two CADC channels per column and half, named after the correlation that they read.
Channel = Literal["causal", "acausal"]
CHANNELS: tuple[Channel, ...] = ("causal", "acausal")

# Vendor software (haldls): 8-bit CADC with a signed 8-bit digital offset per channel.
CADC_MAX = 255
OFFSET_RANGE = (-128, 127)

# Vendor software (haldls): 10-bit MADC; one sample takes 12 + 5 cycles of the 500 MHz clock.
MADC_MAX = 1023
MADC_PERIOD_US = (12 + 5) / 500.0

# Vendor software (haldls): a spike counter has 8 bits and an overflow flag.
COUNTER_SIZE = 256


@dataclass(frozen=True)
class CadcConfig:
    """Converter of all columns.

    Attributes
    ----------
    period_us : float
        Time between two samples: 1.7 us if the samples go to the plasticity processor's own memory, about 6 us if
        they go to the external memory (vendor's documentation).
    offset_std_lsb : float
        Spread of the channels' offsets before the digital correction: measured on two real chips, 9.0 to 9.9 LSB.
    noise_std_lsb : float
        Noise of one reading, 1.2 LSB (membrane noise at which the vendor's leak calibration aims).
    """

    period_us: float = 1.7
    offset_std_lsb: float = 9.6
    noise_std_lsb: float = 1.2

    def __post_init__(self) -> None:
        remedy = "a channel makes at most 1.85 million samples per second"
        check_number("cadc.period_us", self.period_us, 1.0 / 1.85, 1e6, "us", remedy)
        check_number("cadc.offset_std_lsb", self.offset_std_lsb, 0.0, 50.0, "LSB", "give a standard deviation in LSB")
        check_number("cadc.noise_std_lsb", self.noise_std_lsb, 0.0, 50.0, "LSB", "give a standard deviation in LSB")


@dataclass(frozen=True)
class MadcConfig:
    """Fast converter of at most two circuits.

    Attributes
    ----------
    lsb_per_cadc_lsb, zero_lsb : float
        Reading of a potential of x CADC LSB: zero_lsb + lsb_per_cadc_lsb * x. Inferred from the vendor's
        dynamic-range demo: neurons that are calibrated to rest at 80 CADC LSB read 254, and excitation adds 0.79 MADC
        LSB per LSB of weight, where this emulator's synapses add 0.295 CADC LSB.
    noise_std_lsb : float
        Noise of one sample, 2 LSB: the demo's silent traces of 1 ms lie within a band of 16 LSB.
    """

    lsb_per_cadc_lsb: float = 2.7
    zero_lsb: float = 38.0
    noise_std_lsb: float = 2.0

    def __post_init__(self) -> None:
        check_number("madc.lsb_per_cadc_lsb", self.lsb_per_cadc_lsb, 0.01, 100.0, "", "give a scale above 0")
        check_number("madc.zero_lsb", self.zero_lsb, -1000.0, 1000.0, "LSB", "give the reading of 0 CADC LSB")
        check_number("madc.noise_std_lsb", self.noise_std_lsb, 0.0, 100.0, "LSB", "give a standard deviation in LSB")


class Cadc:
    """The 8-bit converter: 1024 channels, two per circuit, that sample at the same instants.

    Parameters
    ----------
    config : CadcConfig
    serial : int
        Serial number of the chip: decides the channels' offsets.
    seed : int
        Seed of the read noise.
    measured : MeasuredCircuits, optional
        Offsets that were measured take the place of those drawn.
    """

    def __init__(self, config: CadcConfig, serial: int, seed: int, measured: MeasuredCircuits | None = None) -> None:
        check_number("chip.serial", serial, 0, 2**63 - 1, "", "give a serial number", whole=True)
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        self.config = config
        self._seed = seed
        shape = (len(CHANNELS), N_CIRCUITS)
        drawn_lsb = config.offset_std_lsb * stream(serial, "fixed_pattern.cadc_offset").standard_normal(shape)
        if measured is not None:
            known_lsb = measured.cadc_offset_lsb
            drawn_lsb = np.where(np.isnan(known_lsb), drawn_lsb, known_lsb)
        self._offset_lsb = drawn_lsb
        self._register = np.zeros(shape, dtype=np.int64)

    def write_offsets(self, registers: ArrayLike) -> None:
        """Set the digital offset of every channel, which is added to its readings.

        Parameters
        ----------
        registers : (2, 512) array_like of int
            [causal | acausal, circuit], -128..127 LSB.

        Raises
        ------
        ChipError
            Wrong shape, type or range.
        """
        shape = self._register.shape
        self._register = integers("cadc.offset", registers, shape, *OFFSET_RANGE, "LSB", "clip the offset").copy()

    def instants(self, duration_us: float, start_us: float = 0.0) -> FloatArray:
        """Times of all samples from start_us to the end of the run.

        Parameters
        ----------
        duration_us : float
            Length of the run.
        start_us : float
            When the first sample is taken, 0..duration_us.

        Returns
        -------
        (n,) float64
            In us.
        """
        return _instants("cadc", self.config.period_us, duration_us, start_us)

    def convert(
        self, potential_lsb: ArrayLike, circuits: ArrayLike, trial: int, channel: Channel = "causal"
    ) -> IntArray:
        """Readings of potentials, all circuits in parallel.

        Parameters
        ----------
        potential_lsb : (n_circuits, n) array_like of float
            What lies at the channels' inputs at the instants.
        circuits : (n_circuits,) array_like of int
            0..511.
        trial : int
            Decides the noise: the same trial reads the same, to the bit.
        channel : str
            ``causal`` or ``acausal``. That membranes can be read through either is assumed.

        Returns
        -------
        (n_circuits, n) int64
            The converter saturates at 0 and 255, then the digital offset is added and the sum saturates again (this
            order is assumed).

        Raises
        ------
        ChipError
            An argument is out of range or of the wrong shape.
        """
        if channel not in CHANNELS:
            raise ChipError(f"cadc.channel = {channel!r} is unknown; take causal or acausal")
        potential, selected = _inputs("cadc", potential_lsb, circuits)
        check_number("chip.trial", trial, 0, 2**63 - 1, "", "give the number of the trial", whole=True)
        index = CHANNELS.index(channel)
        # Noise of all circuits is drawn, so that a circuit reads the same, whichever others are looked at.
        rng = stream(self._seed, f"cadc.{channel}", trial)
        noise = self.config.noise_std_lsb * rng.standard_normal((potential.shape[1], N_CIRCUITS)).T[selected]
        analogue = potential + self._offset_lsb[index, selected, None] + noise
        raw = np.clip(np.rint(analogue), 0, CADC_MAX).astype(np.int64)
        return np.clip(raw + self._register[index, selected, None], 0, CADC_MAX)


class Madc:
    """The 10-bit converter: 29.4 million samples per second of at most one even and one odd circuit.

    That a second circuit doesn't halve the rate is assumed.

    Parameters
    ----------
    config : MadcConfig
    seed : int
        Seed of the noise.
    """

    def __init__(self, config: MadcConfig, seed: int) -> None:
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        self.config = config
        self._seed = seed

    def instants(self, duration_us: float, start_us: float = 0.0) -> FloatArray:
        """Times of all samples from start_us to the end of the run, in us, 34 ns apart; arguments as for the CADC."""
        return _instants("madc", MADC_PERIOD_US, duration_us, start_us)

    def convert(self, potential_lsb: ArrayLike, circuits: ArrayLike, trial: int) -> IntArray:
        """Readings of the potentials of one circuit, or of an even and an odd one.

        Parameters
        ----------
        potential_lsb : (n_circuits, n) array_like of float
            In CADC LSB.
        circuits : (n_circuits,) array_like of int
            0..511, at most one even and at most one odd.
        trial : int
            Decides the noise.

        Returns
        -------
        (n_circuits, n) int64
            0..1023 MADC LSB.

        Raises
        ------
        ChipError
            Two circuits of the same parity, or an argument out of range.
        """
        potential, selected = _inputs("madc", potential_lsb, circuits)
        check_number("chip.trial", trial, 0, 2**63 - 1, "", "give the number of the trial", whole=True)
        for parity, name in enumerate(("even", "odd")):
            same = selected[selected % 2 == parity]
            if same.size > 1:
                raise ChipError(
                    f"madc.circuits holds {same[0]} and {same[1]}, which are both {name}; the MADC watches at most one "
                    "even and one odd circuit at a time: record them in two runs, or use the CADC"
                )
        noise = np.empty(potential.shape)
        for row, circuit in enumerate(selected):
            noise[row] = stream(self._seed, "madc", trial, int(circuit)).standard_normal(potential.shape[1])
        with np.errstate(over="ignore"):  # what is beyond all numbers is beyond the range, too
            analogue = self.config.zero_lsb + self.config.lsb_per_cadc_lsb * potential
        analogue += self.config.noise_std_lsb * noise
        return np.clip(np.rint(analogue), 0, MADC_MAX).astype(np.int64)

    def to_cadc_lsb(self, readings: ArrayLike) -> FloatArray:
        """Potential in CADC LSB that belongs to each MADC reading."""
        return (floats("madc.readings", readings, unit="LSB") - self.config.zero_lsb) / self.config.lsb_per_cadc_lsb


def count_spikes(circuits: ArrayLike) -> tuple[IntArray, NDArray[np.bool_]]:
    """What the spike counters of all circuits hold after a run.

    Parameters
    ----------
    circuits : (n,) array_like of int
        Circuit of each spike, 0..511, e.g. ``recording.circuits``.

    Returns
    -------
    counts : (512,) int64
        0..255. That the counter starts again from 0 after 255 is assumed.
    overflow : (512,) bool
        The counter has passed 255.
    """
    spikes = _circuits("counter", circuits)
    total = np.bincount(spikes, minlength=N_CIRCUITS)
    return total % COUNTER_SIZE, total >= COUNTER_SIZE


def _instants(name: str, period_us: float, duration_us: float, start_us: float) -> FloatArray:
    check_number(f"{name}.duration_us", duration_us, 1e-3, 1e9, "us", "give the length of the run")
    check_number(f"{name}.start_us", start_us, 0.0, duration_us, "us", "start within the run")
    n = int((duration_us - start_us) / period_us + 1e-9) + 1
    return np.minimum(start_us + period_us * np.arange(n), duration_us)


def _circuits(name: str, circuits: ArrayLike) -> IntArray:
    return integers(f"{name}.circuits", circuits, (None,), 0, N_CIRCUITS - 1, remedy="name a circuit of the chip")


def _inputs(name: str, potential_lsb: ArrayLike, circuits: ArrayLike) -> tuple[FloatArray, IntArray]:
    selected = _circuits(name, circuits)
    shape, remedy = (selected.size, None), "give one row per circuit"
    return floats(f"{name}.potential_lsb", potential_lsb, shape, unit="LSB", remedy=remedy), selected
