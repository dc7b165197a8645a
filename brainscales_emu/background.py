"""Background generators: eight sources of events on the chip itself.

What is known (vendor software, haldls): a period of 16 bits, regular or binned Poisson events, a Poisson generator
spikes in a period if a random byte is not above its rate, so that events are period * 255 / rate apart on average; up
to eight low label bits are replaced by random ones; the first event comes one full period after the generator is
switched on; a seed of 32 bits, of which each draw uses 16. A cycle of 8 ns is inferred.

The random numbers are modelled, because the real polynomial isn't public: a 32-bit Fibonacci shift register with the
primitive polynomial x^32 + x^22 + x^2 + x + 1, of which each draw takes the next 16 bits. A draw d makes the random
byte 1 + d % 255, which has the mean distance above, and a second draw the label's bits, for every period of a Poisson
generator and for every event of a regular one. A register of zeros would stay so; seed 0 is read as 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .constants import BACKGROUND, CYCLES_PER_US
from .routing.fabric import Fabric, random_labels

IntArray = NDArray[np.int64]

_TAPS = (32, 22, 2, 1)  # exponents of the polynomial


def random_words(seed: int, size: int) -> IntArray:
    """So many draws of 16 bits of a generator with this seed, 0..2**32 - 1; (size,) int64.

    The register holds the last 32 bits of the sequence s[n] = s[n - 32] ^ s[n - 22] ^ s[n - 2] ^ s[n - 1]; the
    seed's lowest bit is the oldest. The first draw is the 16 bits that follow the seed, lowest first.
    """
    sequence = np.empty(32 + 16 * size, dtype=bool)
    sequence[:32] = ((seed or 1) >> np.arange(32)) & 1
    known = 32
    while known < sequence.size:
        # Over bits p(x)**2 = p(x**2): the same recurrence holds with all distances times any power of 2.
        stride = 1 << (known // 32).bit_length() - 1
        new = min(stride, sequence.size - known)
        taps = [sequence[known - tap * stride :][:new] for tap in _TAPS]
        sequence[known : known + new] = np.logical_xor.reduce(taps)
        known += new
    return sequence[32:].reshape(size, 16) @ (1 << np.arange(16))


def background_events(fabric: Fabric, random_begin: IntArray, duration_us: float) -> tuple[IntArray, IntArray]:
    """Events of all generators that are switched on, from the start of a run on.

    Parameters
    ----------
    fabric : Fabric
    random_begin : (9,) int64
        First source of each generator's random labels, as in `fabric.Routes`.
    duration_us : float
        Length of the run; an event at its very end still counts.

    Returns
    -------
    cycles : (n,) int64
        Ascending; in FPGA cycles of 8 ns. At equal times by generator.
    sources : (n,) int64
        512 + generator, or the source of the random label.
    """
    cycles, sources = [np.arange(0)], [np.arange(0)]
    last = int(np.floor(duration_us * CYCLES_PER_US + 1e-6))
    for generator in np.flatnonzero(fabric.background_enabled).tolist():
        period = int(fabric.background_period[generator])
        times = np.arange(period, last + 1, period)
        draws = random_words(int(fabric.background_seed[generator]), 2 * times.size).reshape(times.size, 2)
        if fabric.background_poisson[generator]:
            spikes = 1 + draws[:, 0] % 255 <= fabric.background_rate[generator]
            times, draws = times[spikes], draws[spikes]
        cycles.append(times)
        mask = int(fabric.background_mask[generator])
        if mask:
            label = (int(fabric.background_label[generator]) & ~mask) | (draws[:, 1] & mask)
            sources.append(random_begin[generator] + np.searchsorted(random_labels(fabric, generator), label))
        else:
            sources.append(np.full(times.size, BACKGROUND + generator))
    when, who = np.concatenate(cycles), np.concatenate(sources)
    order = np.argsort(when, kind="stable")
    return when[order], who[order]
