"""Trial noise, number by number: a generator for each source of events."""

from __future__ import annotations

import math
from collections.abc import Iterator

_GAMMA = 0x9E3779B97F4A7C15


def splitmix64(state: int) -> Iterator[int]:
    """Endless 64-bit numbers, as in the public domain code of S. Vigna (prng.di.unimi.it/splitmix64.c)."""
    while True:
        state = (state + _GAMMA) % 2**64
        x = state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        yield x ^ (x >> 31)


class TrialNoise:
    """Standard normal numbers of a trial.

    Parameters
    ----------
    key : int
        Of the trial, see `mismatch.trial_key`.
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self._generators: dict[int, Iterator[int]] = {}

    def draw(self, source: int) -> float:
        """The next number of this source of events."""
        if source not in self._generators:
            seed = next(splitmix64((self._key + source * _GAMMA) % 2**64))
            self._generators[source] = splitmix64(seed)
        first, second = next(self._generators[source]), next(self._generators[source])
        radius = math.sqrt(-2 * math.log(((first >> 11) + 1) / 2**53))
        return radius * math.cos(2 * math.pi * (second >> 11) / 2**53)
