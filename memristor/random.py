"""Named random streams: what a number is for decides which generator it comes from."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """Random generator that belongs to a seed, a name and indices, and to nothing else.

    Parameters
    ----------
    seed : int
        Not negative.
    name : str
        What the numbers are for.
    *index : int
        E.g. the number of a programming call.

    Returns
    -------
    numpy.random.Generator
        PCG64, seeded by ``SeedSequence(seed, spawn_key=(crc32(name), *index))``.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *index))
    return np.random.Generator(np.random.PCG64(sequence))
