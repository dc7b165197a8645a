"""Jitted code of the devices: programming cycles, small pulses, relaxation.

Conductances in uS, times in s, counters int64. All arrays of `State` are (rows, columns) and C-contiguous; kernels
change them in place. Random numbers are drawn outside and passed in.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import njit

FloatArray = NDArray[np.float64]


class Fit(NamedTuple):
    """Piecewise polynomials of a device model, as arrays: `DeviceModel` explains them."""

    breaks_uS: FloatArray  # (S + 1,)
    program: FloatArray  # (S, K)
    times_s: FloatArray  # (T,)
    spread: FloatArray  # (T, S, K)
    drift: FloatArray  # (T, S, K)
    low_uS: float
    high_uS: float


class State(NamedTuple):
    """What one array of devices is: `Cells` explains the entries."""

    target_uS: FloatArray
    written_uS: FloatArray
    xi: FloatArray
    written_at_s: FloatArray
    g_uS: FloatArray
    set_pulses: NDArray[np.int64]
    reset_pulses: NDArray[np.int64]
    writes: NDArray[np.int64]
    stuck: NDArray[np.int8]
    lifetime_cycles: FloatArray
    stuck_at_death: NDArray[np.int8]  # what `stuck` becomes when the lifetime is over; 0: the cell fades
    dead: NDArray[np.bool_]  # no current, whatever the device does
    step_uS: FloatArray  # of one small pulse


@njit(cache=True, error_model="numpy")
def piece_of(breaks, g):
    """Index of the piece between breaks (S + 1,) in which g lies; the outer pieces go on beyond their ends."""
    piece = 0
    while piece < breaks.size - 2 and g >= breaks[piece + 1]:
        piece += 1
    return piece


@njit(cache=True, error_model="numpy")
def program_sigma(fit, g):
    """Standard deviation of one programming cycle to target g, uS."""
    piece = piece_of(fit.breaks_uS, g)
    x, sigma = g - fit.breaks_uS[piece], 0.0
    for power in range(fit.program.shape[1] - 1, -1, -1):
        sigma = sigma * x + fit.program[piece, power]
    return sigma


@njit(cache=True, error_model="numpy")
def interval(times_s, age_s):
    """Interval of the tabulated times in which an age lies, and the part of it in ln t that is over, 0..1."""
    last = times_s.size - 1
    if age_s <= times_s[0] or last == 0:
        return 0, 0.0
    if age_s >= times_s[last]:
        return last - 1, 1.0
    k = 0
    while age_s >= times_s[k + 1]:
        k += 1
    return k, math.log(age_s / times_s[k]) / math.log(times_s[k + 1] / times_s[k])


@njit(cache=True, error_model="numpy")
def relaxation(fit, k, part, g, xi):
    """Shift since the write, uS: mean(t, G) + xi s(t, G), both linear in ln t within interval k.

    s^2 = sigma(t)^2 - sigma(first time)^2 at the tabulated times. The five polynomials share one loop, for speed.
    """
    piece, after = piece_of(fit.breaks_uS, g), min(k + 1, fit.times_s.size - 1)
    x = g - fit.breaks_uS[piece]
    first, sigma, sigma_after, mean, mean_after = 0.0, 0.0, 0.0, 0.0, 0.0
    for power in range(fit.spread.shape[2] - 1, -1, -1):
        first = first * x + fit.spread[0, piece, power]
        sigma = sigma * x + fit.spread[k, piece, power]
        sigma_after = sigma_after * x + fit.spread[after, piece, power]
    for power in range(fit.drift.shape[2] - 1, -1, -1):
        mean = mean * x + fit.drift[k, piece, power]
        mean_after = mean_after * x + fit.drift[after, piece, power]
    gained = math.sqrt(max(sigma * sigma - first * first, 0.0))
    gained_after = math.sqrt(max(sigma_after * sigma_after - first * first, 0.0))
    return mean * (1.0 - part) + mean_after * part + xi * (gained * (1.0 - part) + gained_after * part)


@njit(cache=True, error_model="numpy")
def fading(state, r, c, slope):
    """Factor (n / n_f)^-slope by which a worn-out cell that isn't stuck conducts less, else 1."""
    cycles = max(state.set_pulses[r, c], state.reset_pulses[r, c])
    if cycles > state.lifetime_cycles[r, c] and state.stuck_at_death[r, c] == 0:
        return (cycles / state.lifetime_cycles[r, c]) ** -slope
    return 1.0


@njit(cache=True, error_model="numpy")
def answer(state, r, c, g, stuck_on_uS):
    """Conductance that the array sees, uS: g unless the cell is dead or stuck; never negative."""
    if state.dead[r, c] or state.stuck[r, c] < 0:
        return 0.0
    if state.stuck[r, c] > 0:
        return stuck_on_uS
    return max(g, 0.0)


@njit(cache=True, error_model="numpy")
def renew(state, r, c, target_uS, g, xi, now_s, stuck_on_uS):
    """Enter the outcome g of a write, and let a cell die whose lifetime is over."""
    cycles = max(state.set_pulses[r, c], state.reset_pulses[r, c])
    if cycles > state.lifetime_cycles[r, c] and state.stuck[r, c] == 0:
        state.stuck[r, c] = state.stuck_at_death[r, c]
    state.writes[r, c] += 1
    state.target_uS[r, c] = target_uS
    state.written_uS[r, c] = g
    state.xi[r, c] = xi
    state.written_at_s[r, c] = now_s
    state.g_uS[r, c] = answer(state, r, c, g, stuck_on_uS)


@njit(cache=True, error_model="numpy")
def program(state, fit, rows, columns, targets_uS, normals, now_s, slope, stuck_on_uS):
    """One programming cycle for each named cell: G = max(0, target + sigma(target) z).

    rows, columns (n,) int64; targets_uS (n,); normals (2, n): z and xi. A cycle is a RESET pulse and a SET pulse, for
    a target at fit.low_uS the RESET pulse alone.
    """
    for i in range(rows.size):
        r, c, target = rows[i], columns[i], targets_uS[i]
        state.reset_pulses[r, c] += 1
        if target > fit.low_uS:
            state.set_pulses[r, c] += 1
        g = max(target + program_sigma(fit, target) * normals[0, i], 0.0)
        g *= fading(state, r, c, slope)
        renew(state, r, c, target, g, normals[1, i], now_s, stuck_on_uS)


@njit(cache=True, error_model="numpy")
def pulse(state, fit, rows, columns, targets_uS, xi, now_s, slope, stuck_on_uS):
    """One small pulse for each named cell, SET below its target and RESET otherwise: G +- step, within the range.

    rows, columns (n,) int64; targets_uS, xi (n,). A worn-out cell that fades has its step and range reduced likewise.
    """
    for i in range(rows.size):
        r, c, g = rows[i], columns[i], state.g_uS[rows[i], columns[i]]
        rising = g < targets_uS[i]
        if rising:
            state.set_pulses[r, c] += 1
        else:
            state.reset_pulses[r, c] += 1
        left = fading(state, r, c, slope)
        g += left * state.step_uS[r, c] if rising else -left * state.step_uS[r, c]
        g = min(max(g, left * fit.low_uS), left * fit.high_uS)
        renew(state, r, c, targets_uS[i], g, xi[i], now_s, stuck_on_uS)


@njit(cache=True, error_model="numpy")
def relax(state, fit, now_s, slope, stuck_on_uS):
    """Present conductance of all cells: G(t) = max(0, G_written + mean(t, G) + xi s(t, G)), G the target."""
    written_at, k, part = -1.0, 0, 0.0
    for r in range(state.g_uS.shape[0]):
        for c in range(state.g_uS.shape[1]):
            g = state.written_uS[r, c]
            if state.writes[r, c] > 0:
                if state.written_at_s[r, c] != written_at:  # neighbours were often written together
                    written_at = state.written_at_s[r, c]
                    k, part = interval(fit.times_s, now_s - written_at)
                if k > 0 or part > 0.0:
                    g += fading(state, r, c, slope) * relaxation(fit, k, part, state.target_uS[r, c], state.xi[r, c])
            state.g_uS[r, c] = answer(state, r, c, g, stuck_on_uS)
