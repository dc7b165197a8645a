"""Exponentials for loops over neurons: without branches and calls, so that the compiler puts neurons into vector lanes.

No product and sum are fused into one rounding, so that all processors give the same bits.
"""

from __future__ import annotations

import math

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import njit

_LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first with so few bits that its products with exponents are exact (Cody and Waite).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUNDS = 6755399441055744.0  # 1.5 * 2**52: a sum with it is rounded to a whole number, which stands in its low bits
_BIAS = 1023


@intrinsic
def _as_float(context, bits):
    return types.float64(types.int64), lambda _, builder, __, given: builder.bitcast(given[0], ir.DoubleType())


@intrinsic
def _as_bits(context, number):
    return types.int64(types.float64), lambda _, builder, __, given: builder.bitcast(given[0], ir.IntType(64))


@njit(cache=True, error_model="numpy", forceinline=True)
def _exp(x):
    """exp(x) to 1 ulp or so for -700 <= x <= 700; what lies beyond counts as the end of this range."""
    x = min(max(x, -700.0), 700.0)
    shifted = x * _LOG2_E + _ROUNDS
    k = shifted - _ROUNDS
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    square = r * r
    fourth = square * square
    low = 1 / 2 + r * (1 / 6) + square * (1 / 24 + r * (1 / 120))
    middle = 1 / 720 + r * (1 / 5040) + square * (1 / 40320 + r * (1 / 362880))
    high = 1 / 3628800 + r * (1 / 39916800) + square * (1 / 479001600 + r * (1 / 6227020800))
    series = 1.0 + (r + square * (low + fourth * (middle + fourth * high)))
    return series * _as_float((_as_bits(shifted) + _BIAS) << 52)


# Without the compiler there are no bits to be had.
exp = math.exp if numba.config.DISABLE_JIT else _exp  # type: ignore[attr-defined]


@njit(cache=True, error_model="numpy", forceinline=True)
def mean_decay(x):
    """(1 - exp(-x)) / x for |x| <= 0.5, by the series, cut where the next term is below 5e-17."""
    square = x * x
    fourth = square * square
    low = 1.0 - x * (1 / 2) + square * (1 / 6 - x * (1 / 24))
    middle = 1 / 120 - x * (1 / 720) + square * (1 / 5040 - x * (1 / 40320))
    high = 1 / 362880 - x * (1 / 3628800) + square * (1 / 39916800 - x * (1 / 479001600))
    return low + fourth * (middle + fourth * (high + fourth * (1 / 6227020800 - x * (1 / 87178291200))))


@njit(cache=True, error_model="numpy", forceinline=True)
def short_mean_decay(x):
    """The same for |x| <= 0.02."""
    square = x * x
    low = 1.0 - x * (1 / 2) + square * (1 / 6 - x * (1 / 24))
    return low + square * square * (1 / 120 - x * (1 / 720) + square * (1 / 5040 - x * (1 / 40320)))
