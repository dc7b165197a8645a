"""What a population of `network` can be made of: neurons, and the sources of spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .constants import CYCLES_PER_US
from .errors import ChipError, check_number

FloatArray = NDArray[np.float64]

# Vendor software (haldls): a generator's period has 16 bits, its rate 8; cycles of 8 ns (inferred).
_LARGEST_PERIOD, _LARGEST_RATE = 2**16 - 1, 255
_CYCLES_PER_MS = 1000 * CYCLES_PER_US


@dataclass(frozen=True)
class Neuron:
    """A leaky integrate-and-fire neuron; its targets are those of the whole chip, see `config.ChipConfig`.

    Attributes
    ----------
    circuits : int
        Circuits that are merged to one neuron, 1..32, for more than 256 synapses. A merged neuron has the capacitance
        of all its circuits, so that weights count for less.
    """

    circuits: int = 1


@dataclass(frozen=True, eq=False)
class SpikeSourceArray:
    """Sources whose spikes the host sends at given times.

    Attributes
    ----------
    times_us : sequence of float, or sequence of sequences of float
        Times of all sources alike, or of each source. Those after the end of a run aren't played.
    """

    times_us: Sequence[float] | Sequence[Sequence[float]] | NDArray

    def trains(self, label: str, size: int) -> list[FloatArray]:
        """Ascending times of each source."""
        name, remedy = f"population {label!r}.times_us", "a run starts at 0 us: shift the times or leave the event out"
        if not isinstance(self.times_us, Sequence | np.ndarray) or isinstance(self.times_us, str):
            raise ChipError(f"{name} is a {type(self.times_us).__name__}; give a list of times")
        if not len(self.times_us) or np.ndim(self.times_us[0]) == 0:
            return [np.sort(floats(name, self.times_us, (None,), 0.0, unit="us", remedy=remedy))] * size
        if len(self.times_us) != size:
            raise ChipError(
                f"{name} has {len(self.times_us)} trains for {size} sources; give one per source, or one list of times "
                "for all"
            )
        return [
            np.sort(floats(f"{name}[{source}]", train, (None,), 0.0, unit="us", remedy=remedy))
            for source, train in enumerate(self.times_us)
        ]


@dataclass(frozen=True, eq=False)
class SpikeSourcePoisson:
    """Sources whose spikes the host draws, from the chip's seed and anew in each run.

    Attributes
    ----------
    rate_kHz : float or (n,) array_like of float
        Events per ms of chip time, of all sources alike or of each.
    start_us, stop_us : float
        When the sources are on.
    """

    rate_kHz: ArrayLike
    start_us: float = 0.0
    stop_us: float = np.inf

    def rates(self, label: str, size: int) -> FloatArray:
        """Rate of each source in kHz."""
        name, remedy = f"population {label!r}.rate_kHz", "give events per ms of chip time, one rate or one per source"
        rates = floats(name, self.rate_kHz, [(), (size,)], 0.0, 1e6, "kHz", remedy)
        check_number(f"population {label!r}.start_us", self.start_us, 0.0, np.inf, "us", "give the time of the onset")
        check_number(f"population {label!r}.stop_us", self.stop_us, self.start_us, np.inf, "us", "stop after the start")
        return np.broadcast_to(rates, (size,))


@dataclass(frozen=True)
class SpikeSourcePoissonOnChip:
    """Sources that share one of the chip's eight background generators: every event comes from one of them at random.

    The generator makes binned Poisson events, the same ones in every run, and gets the rate within 1 % if the sources
    have less than about 10000 kHz in all.

    Attributes
    ----------
    rate_kHz : float
        Events per ms of chip time, of each source.
    seed : int
        Of the generator, 32 bits.
    """

    rate_kHz: float
    seed: int

    def generator(self, label: str, size: int) -> tuple[int, int]:
        """Period in cycles and rate byte of a background generator, whose events are period * 255 / rate cycles apart.

        The smaller the byte, the closer to a Poisson process: the smallest one with which the rate is right within 1 %
        is taken, or the most accurate.
        """
        slowest, fastest = _CYCLES_PER_MS / (_LARGEST_PERIOD * _LARGEST_RATE), float(_CYCLES_PER_MS)
        name = f"population {label!r}.rate_kHz"
        remedy = f"a generator makes {slowest:.3g}..{fastest:g} kHz for all its sources together"
        check_number(name, self.rate_kHz, slowest / size, fastest / size, "kHz", remedy)
        check_number(f"population {label!r}.seed", self.seed, 0, 2**32 - 1, "", "give 32 bits", whole=True)
        distance = _CYCLES_PER_MS / (self.rate_kHz * size)
        rates = np.arange(1, _LARGEST_RATE + 1)
        periods = np.clip(np.rint(distance * rates / _LARGEST_RATE), 1, _LARGEST_PERIOD).astype(np.int64)
        error = np.abs(periods * _LARGEST_RATE / rates / distance - 1.0)
        best = int(np.argmax(error <= 0.01)) if np.any(error <= 0.01) else int(np.argmin(error))
        return int(periods[best]), int(rates[best])


Cell = Neuron | SpikeSourceArray | SpikeSourcePoisson | SpikeSourcePoissonOnChip
