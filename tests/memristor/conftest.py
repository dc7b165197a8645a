"""Readable twins of the device kernels, and a fixture that runs a test with each of the two."""

import numpy as np
import pytest
from scipy.interpolate import PPoly

from memristor.kernels import device as kernels


def polynomial(fit, pieces, g):
    return PPoly(pieces.T[::-1], fit.breaks_uS)(g)


def cycles(state):
    return np.maximum(state.set_pulses, state.reset_pulses)


def fading(state, slope):
    """(n / n_f)^-slope of the cells that are worn out and not stuck."""
    beyond = cycles(state) / state.lifetime_cycles
    return np.where((beyond > 1.0) & (state.stuck_at_death == 0), np.maximum(beyond, 1.0) ** -slope, 1.0)


def answer(state, g, stuck_on_uS):
    works = np.where(state.stuck > 0, stuck_on_uS, np.where(state.stuck < 0, 0.0, np.maximum(g, 0.0)))
    return np.where(state.dead, 0.0, works)


def renew(state, at, targets_uS, g, xi, now_s, stuck_on_uS):
    dies = (cycles(state) > state.lifetime_cycles)[at] & (state.stuck[at] == 0)
    state.stuck[at] = np.where(dies, state.stuck_at_death[at], state.stuck[at])
    state.writes[at] += 1
    state.target_uS[at], state.written_uS[at], state.xi[at], state.written_at_s[at] = targets_uS, g, xi, now_s
    state.g_uS[at] = answer(state, state.written_uS, stuck_on_uS)[at]


def program(state, fit, rows, columns, targets_uS, normals, now_s, slope, stuck_on_uS):
    at = rows, columns
    state.reset_pulses[at] += 1
    state.set_pulses[at] += targets_uS > fit.low_uS
    g = np.maximum(targets_uS + polynomial(fit, fit.program, targets_uS) * normals[0], 0.0) * fading(state, slope)[at]
    renew(state, at, targets_uS, g, normals[1], now_s, stuck_on_uS)


def pulse(state, fit, rows, columns, targets_uS, xi, now_s, slope, stuck_on_uS):
    at = rows, columns
    rising = state.g_uS[at] < targets_uS
    state.set_pulses[at] += rising
    state.reset_pulses[at] += ~rising
    left = fading(state, slope)[at]
    g = state.g_uS[at] + np.where(rising, 1.0, -1.0) * left * state.step_uS[at]
    renew(state, at, targets_uS, np.clip(g, left * fit.low_uS, left * fit.high_uS), xi, now_s, stuck_on_uS)


def interpolate(x, knots, values):
    """Straight lines between the values (knot, row, column) at `x` (row, column), and constant outside of the knots."""
    found = values[0].copy()
    for left, right, step in zip(knots, knots[1:], np.diff(values, axis=0), strict=False):
        found += step * np.clip((x - left) / (right - left), 0.0, 1.0)
    return found


def relax(state, fit, now_s, slope, stuck_on_uS):
    ln_age = np.log(np.maximum(now_s - state.written_at_s, fit.times_s[0]))
    sigma = np.array([polynomial(fit, pieces, state.target_uS) for pieces in fit.spread])
    gained = np.sqrt(np.maximum(sigma**2 - sigma[0] ** 2, 0.0))
    mean = np.array([polynomial(fit, pieces, state.target_uS) for pieces in fit.drift])
    shift = interpolate(ln_age, np.log(fit.times_s), mean) + state.xi * interpolate(ln_age, np.log(fit.times_s), gained)
    shift = np.where(state.writes > 0, shift * fading(state, slope), 0.0)
    state.g_uS[:] = answer(state, state.written_uS + shift, stuck_on_uS)


@pytest.fixture
def use_twins(monkeypatch):
    """Call it, and the twins take the place of the kernels until the test ends."""

    def replace():
        for twin in (program, pulse, relax):
            monkeypatch.setattr(kernels, twin.__name__, twin)

    return replace


@pytest.fixture(params=["compiled", "readable"])
def engine(request, use_twins):
    """Run the test with the jitted kernels, then with their twins."""
    if request.param == "readable":
        use_twins()
    return request.param
