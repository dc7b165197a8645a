"""The free membrane of a leaky integrate-and-fire neuron in closed form, and when it first reaches the threshold."""

from __future__ import annotations

import math

from ..jit import njit


@njit(cache=True, error_model="numpy", forceinline=True)
def response(s, rate_mem, rate_syn, left_mem):
    """What is left of a unit synaptic current after s us, and the membrane's response K(s) in us.

    left_mem is exp(-rate_mem s). With y = (rate_syn - rate_mem) s: left = left_mem exp(-y),
    K = left_mem s (1 - exp(-y)) / y. Close to y = 0 the series, cut where the next term is below 2e-17, takes the
    place of a second exponential and of a difference that would cancel.
    """
    difference = rate_syn - rate_mem
    y = difference * s
    if abs(y) < 0.04:
        square = y * y
        series = 1 / 120 - y * (1 / 720) + square * (1 / 5040 - y * (1 / 40320))
        series = 1.0 - y * (1 / 2) + square * (1 / 6 - y * (1 / 24) + square * series)
        return left_mem * (1.0 - y * series), left_mem * s * series
    left = math.exp(-rate_syn * s)
    return left, (left_mem - left) / difference


@njit(cache=True, error_model="numpy", forceinline=True)
def evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """Free membrane (LSB above leak) and currents (LSB/us) s us later:
    u(s) = u exp(-rate_mem s) + i_exc K_exc(s) - i_inh K_inh(s), i(s) = i exp(-rate s)."""
    left_mem = math.exp(-rate_mem * s)
    u *= left_mem
    if i_exc == 0.0 and i_inh == 0.0:
        return u, i_exc, i_inh
    left, kernel = response(s, rate_mem, rate_exc, left_mem)
    u += i_exc * kernel
    if i_inh == 0.0:
        return u, i_exc * left, i_inh
    i_exc *= left
    if rate_inh != rate_exc:
        left, kernel = response(s, rate_mem, rate_inh, left_mem)
    return u - i_inh * kernel, i_exc, i_inh * left


@njit(cache=True, error_model="numpy")
def crossing_of_concave_rise(start, end, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """First crossing on start..end, where W(s) = u'(s) exp(rate_mem s) falls; inf if there is none.

    As long as u rises there it is concave, so Newton's iterates approach the crossing from the left and never pass
    it: an iterate where u falls, or beyond the end, proves that there is none. 200 steps without either mean that u
    creeps towards the threshold without reaching it.
    """
    s = start
    for _ in range(200):
        u_s, exc, inh = evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if u_s >= threshold:
            return s
        slope = exc - inh - rate_mem * u_s
        if slope <= 0.0:
            return math.inf
        step = (threshold - u_s) / slope
        s_next = s + step
        if s_next > end:
            return math.inf
        bend = rate_mem * slope + rate_exc * exc - rate_inh * inh  # -u''
        remaining = bend / (2.0 * slope) * step * step
        if s_next == s or remaining <= 1e-16 * s_next:
            return s_next
        s = s_next
    return math.inf


@njit(cache=True, error_model="numpy")
def crossing_in_bracket(below, above, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """The only upward crossing between `below` (u under the threshold) and `above` (at or over it): Newton, kept
    inside the bracket by bisection."""
    s = 0.5 * (below + above)
    for _ in range(200):
        u_s, exc, inh = evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if u_s >= threshold:
            above = s
        else:
            below = s
        slope = exc - inh - rate_mem * u_s
        s_next = s + (threshold - u_s) / slope if slope > 0.0 else below
        if not below < s_next < above:
            s_next = 0.5 * (below + above)
        if abs(s_next - s) <= 2e-16 * s_next:
            return s_next
        s = s_next
    return s


@njit(cache=True, error_model="numpy")
def crossing_by_series(s, end, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """The upward crossing near s, a guess in 0..end, of a membrane whose W (see `first_crossing`) falls there, so that
    there is one at most; -1 if that isn't found soon or lies outside.

    From the membrane's first five derivatives follows the series of its inverse, s(u), whose terms shrink by the
    same factor; where the fifth is below 1e-14 of s, the sixth is far below the rounding error.
    """
    for _ in range(8):
        u_s, exc, inh = evolve(s, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        slope = exc - inh - rate_mem * u_s
        if slope <= 0.0:
            return -1.0
        exc, inh = exc * rate_exc, inh * rate_inh
        second = inh - exc - rate_mem * slope
        exc, inh = exc * rate_exc, inh * rate_inh
        third = exc - inh - rate_mem * second
        exc, inh = exc * rate_exc, inh * rate_inh
        fourth = inh - exc - rate_mem * third
        fifth = (exc * rate_exc - inh * rate_inh) - rate_mem * fourth
        t, inverse = (threshold - u_s) / slope, 1.0 / slope
        b, c = second * inverse * (1 / 2), third * inverse * (1 / 6)
        d, e = fourth * inverse * (1 / 24), fifth * inverse * (1 / 120)
        square = b * b
        last = (6.0 * b * d + 3.0 * c * c + 14.0 * square * square - e - 21.0 * square * c) * t * t * t * t
        step = t * (1.0 - t * (b - t * ((2.0 * square - c) + t * (5.0 * b * (c - square) - d))) + last)
        s_next = s + step
        if not 0.0 <= s_next <= end:
            return -1.0
        if abs(last * t) <= 1e-14 * s_next:
            return s_next
        s = s_next
    return -1.0


@njit(cache=True, error_model="numpy")
def first_crossing(threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh):
    """Time in us until the free membrane u first reaches the threshold (both LSB above leak); inf if never.

    W(s) = u'(s) exp(rate_mem s) has the sign of u', and W' = -i_exc rate_exc exp(-(rate_exc - rate_mem) s)
    + i_inh rate_inh exp(-(rate_inh - rate_mem) s) has at most one zero, the turn. On the side where W falls, u rises
    in a concave way or not at all. On the side where W grows, u falls and then rises, so its end tells whether it
    crosses; after the last turn that end is the leak, u = 0. After 700 of the slowest time constants (the horizon)
    nothing is left that could cross.
    """
    if u >= threshold:
        return 0.0
    horizon = 700.0 / min(rate_mem, min(rate_exc, rate_inh))
    turn = horizon
    if i_exc > 0.0 and i_inh > 0.0 and rate_exc != rate_inh:
        s = math.log(i_exc * rate_exc / (i_inh * rate_inh)) / (rate_exc - rate_inh)
        if 0.0 < s < horizon:
            turn = s
    grows_from, grows_to = 0.0, turn
    if i_inh * rate_inh <= i_exc * rate_exc:
        s = crossing_of_concave_rise(0.0, turn, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
        if s < math.inf or turn == horizon:
            return s
        grows_from, grows_to = turn, horizon

    if grows_to == horizon:
        if threshold >= 0.0:
            return math.inf
        above = grows_from + 1.0 / rate_mem
        while evolve(above, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)[0] < threshold:
            above *= 2.0
        return crossing_in_bracket(grows_from, above, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
    if evolve(turn, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)[0] >= threshold:
        return crossing_in_bracket(0.0, turn, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
    return crossing_of_concave_rise(turn, horizon, threshold, u, i_exc, i_inh, rate_mem, rate_exc, rate_inh)
