"""exp and ln without branches, so that loops over lanes compile to vector instructions.

`math.exp` and `math.log` are calls that no loop can take into vector registers. These are a few multiplications each,
the terms of their series in pairs, so that a processor can work on several at once. No multiplication is fused with an
addition, hence every processor gets the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from neurohil.jit import njit

_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the lowest bits
_ROUND_BITS = 0x4338000000000000
_LN_2 = math.log(2.0)
_LN_2_HIGH = math.ldexp(math.floor(math.ldexp(_LN_2, 32)), -32)  # times an exponent of a float64 it is exact
_LN_2_LOW = 1.9082149292705877e-10  # ln 2 - _LN_2_HIGH
_LOWEST = -708.0  # below, exp is no normal float64
_BIAS, _MANTISSA_BITS, _MANTISSA = 1023, 52, 0xFFFFFFFFFFFFF
_ROOT_HALF_BITS = int(np.float64(math.sqrt(0.5)).view(np.int64))
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (1.0 / math.factorial(k) for k in range(2, 14))
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9 = (2.0 / (2 * k + 1) for k in range(1, 10))


@njit(cache=True, error_model="numpy")
def exp(x):
    """exp(x) for x <= 709 (float64), to 2e-16 relative; 0 for x < -708."""
    shifted = x * (1.0 / _LN_2) + _ROUND
    k = shifted - _ROUND
    r = x - k * _LN_2_HIGH - k * _LN_2_LOW  # within +-ln(2) / 2
    r2 = r * r
    r4 = r2 * r2
    low = (_E2 + _E3 * r) + (_E4 + _E5 * r) * r2
    high = ((_E6 + _E7 * r) + (_E8 + _E9 * r) * r2) + ((_E10 + _E11 * r) + (_E12 + _E13 * r) * r2) * r4
    power = np.int64((np.float64(shifted).view(np.int64) + _BIAS) << _MANTISSA_BITS).view(np.float64)
    return (1.0 + (r + r2 * (low + high * r4))) * power if x >= _LOWEST else 0.0


@njit(cache=True, error_model="numpy")
def log(x):
    """ln(x) for normal, finite x > 0 (float64), to 4e-16 relative."""
    bits = np.float64(x).view(np.int64) - _ROOT_HALF_BITS
    m = np.int64((bits & _MANTISSA) + _ROOT_HALF_BITS).view(np.float64)  # x = m 2^k, m within sqrt(1/2)..sqrt(2)
    k = np.int64((bits >> _MANTISSA_BITS) + _ROUND_BITS).view(np.float64) - _ROUND
    f = m - 1.0
    s = f / (2.0 + f)  # ln m = 2 artanh s
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    series = (_L1 + _L2 * z) + (_L3 + _L4 * z) * z2 + ((_L5 + _L6 * z) + (_L7 + _L8 * z) * z2) * z4 + _L9 * (z4 * z4)
    return k * _LN_2_HIGH + (2.0 * s + (s * (z * series) + k * _LN_2_LOW))
