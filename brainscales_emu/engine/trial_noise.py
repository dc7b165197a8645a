"""Trial noise: standard normal numbers, each of which depends on the trial, on whose it is, and on how many that one
has drawn before.

So they are the same in whichever order an engine comes to its neurons and delay elements. Each source of events has a
SplitMix64 generator of its own (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195), jumped into by count;
two of its numbers make a normal one by the transform of Box and Muller.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ULP = 2.0**-53


@njit(cache=True, error_model="numpy", forceinline=True)
def _mixed(x):
    x = (x ^ (x >> _30)) * _FIRST
    x = (x ^ (x >> _27)) * _SECOND
    return x ^ (x >> _31)


@njit(cache=True, error_model="numpy")
def standard_normal(key, source, count):
    """Number `count` (from 0) of this source of events in the trial with this key, all int64 and not negative."""
    state = _mixed(np.uint64(key) + np.uint64(source + 1) * _GAMMA) + np.uint64(2 * count + 1) * _GAMMA
    radius = math.sqrt(-2.0 * math.log((float(_mixed(state) >> _11) + 1.0) * _ULP))
    return radius * math.cos(2.0 * math.pi * float(_mixed(state + _GAMMA) >> _11) * _ULP)


@njit(cache=True, error_model="numpy", forceinline=True)
def draw(key, source, item, drawn):
    """The next number of this source; `drawn` counts the numbers of each item of the heap."""
    count = drawn[item]
    drawn[item] = count + 1
    return standard_normal(key, source, count)
