"""Jitted code of the product: row drivers, and read noise with conversion in one pass. `converters` holds the twins.

Read noise is drawn from a counter: the normal number of output j in a row with key (k0, k1) is a function of j, k0
and k1 alone, so that neither the order of work nor the number of threads matters. The function is a 32-bit integer
hash whose upper 16 bits choose one of 65,536 equally likely quantiles of the normal distribution. The approximation:
numbers beyond 4.32 sigma, which have a probability of 1.5e-5, do not occur.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..jit import njit

QUANTILES = 65536


@cache
def normal_table() -> NDArray[np.float32]:
    """Quantiles of the normal distribution in the middle of equally likely bins, scaled to variance 1.

    Returns
    -------
    (65536,) float32, read-only
    """
    quantiles = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
    table = (quantiles / quantiles.std()).astype(np.float32)
    table.flags.writeable = False
    return table


@njit(cache=True, error_model="numpy")
def drive(x, steps, read_V, ends, volts, squares):
    """Voltages of the row drivers, and their sums of squares over groups of rows.

    volts = read_V round(x steps) / steps, or read_V x if steps is 0; ties go to the even code.

    Parameters
    ----------
    x : (batch, m) float64
    steps : int64, largest code of the DAC; 0: analogue
    read_V : float64, V
    ends : (groups,) int64, ascending; a group of rows ends before ends[g]; the last one is m
    volts : (batch, m) float32 or float64, V, written
    squares : (batch, groups) float64, V^2, written
    """
    lsb_V = read_V / steps if steps > 0 else read_V
    for b in range(x.shape[0]):
        start = 0
        for g in range(ends.size):
            square = 0.0
            for i in range(start, ends[g]):
                v = (np.rint(x[b, i] * steps) if steps > 0 else x[b, i]) * lsb_V
                volts[b, i] = v
                square += v * v
            squares[b, g] = square
            start = ends[g]


@njit(cache=True, error_model="numpy")
def quantile_index(j, k0, k1):
    """Number in 0..65535 for output j of the row with key (k0, k1); all int64, keys below 2**32.

    A multiply-and-shift hash of 32 bits. The odd factors are the leading bits of (sqrt(5) - 1) / 2 (made odd) and of
    the fractions of sqrt(2) and sqrt(3). Two rows have numbers in common only if their keys agree in k0 and in the
    upper bits of k1, which for random keys and 1000 outputs happens once in 2**54 pairs.
    """
    h = (((j ^ k1) * 0x9E3779B1) & 0xFFFFFFFF) ^ k0
    h ^= h >> 16
    h = (h * 0x6A09E667) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 0xBB67AE85) & 0xFFFFFFFF
    return h >> 16


@njit(cache=True, error_model="numpy")
def convert(currents, sigma, keys, table, steps_per_uA, offset, lowest, highest, factor, total):
    """Add read noise to the currents of groups of rows, convert them, and add factor * code of each to `total`.

    code = round((I + sigma z) steps_per_uA + offset), held within lowest..highest; ties go to the even code.
    Arithmetic is in the type of the currents, which is float32 or float64 for all real arguments but factor and total.
    Groups are added in their order.

    Parameters
    ----------
    currents : (groups, batch, n), uA
    sigma : (groups, batch, n) or (groups, batch, 1), uA, standard deviation of the noise of each current
    keys : (groups, batch, 2) uint32
    table : (65536,) float32, quantiles of the normal distribution
    steps_per_uA, offset : codes per uA; codes
    lowest, highest : codes
    factor : float64
    total : (batch, n) float64, added to

    Returns
    -------
    int64
        Conversions whose code was beyond lowest..highest.
    """
    groups, batch, n = currents.shape
    table = table.copy()  # a product has driven it out of the cache; in order it comes back more quickly
    noise = np.empty(n, currents.dtype)
    clipped = 0
    for b in range(batch):
        to = total[b]
        for group in range(groups):
            k0, k1 = int(keys[group, b, 0]), int(keys[group, b, 1])
            current, deviation = currents[group, b], sigma[group, b]
            # Loops apart, so that all but the look-up run in vector registers.
            for j in range(n):
                noise[j] = table[quantile_index(j, k0, k1)]
            if deviation.size > 1:
                for j in range(n):
                    noise[j] *= deviation[j]
            else:
                alike = deviation[0]
                for j in range(n):
                    noise[j] *= alike
            beyond = np.int32(0)
            for j in range(n):
                unlimited = np.rint((current[j] + noise[j]) * steps_per_uA + offset)
                code = highest if unlimited > highest else unlimited
                code = lowest if code < lowest else code
                beyond += np.int32(code != unlimited)
                to[j] += factor * code
            clipped += beyond
    return clipped
