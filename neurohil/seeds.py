"""Named seed streams: one master seed, one independent generator per name and index."""

from zlib import crc32

import numpy as np


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """Generator for the stream `name`, index numbers such as the epoch included in its key."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(name.encode()), *index)))
