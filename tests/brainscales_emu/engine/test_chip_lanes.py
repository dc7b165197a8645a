"""Exponentials of the vector lanes, and what lockstep makes of them, against arbitrary precision."""

import numpy as np
import pytest
from mpmath import mp

from brainscales_emu.engine import lanes, lockstep
from brainscales_emu.engine.crossing import response

mp.dps = 40
SHORT = [0.0, 1e-300, 1e-12, 1e-6, 1e-3, 0.01, 0.03, 0.04]


def mean_decay(x):
    return mp.mpf(1) if x == 0 else -mp.expm1(-mp.mpf(x)) / mp.mpf(x)


@pytest.mark.parametrize("x", [*np.linspace(-700.0, 700.0, 201), *np.linspace(-1.0, 1.0, 101), 1e-300, -1e-17])
def test_exponential_has_all_digits(x):
    assert lanes.exp(x) == pytest.approx(float(mp.exp(mp.mpf(x))), rel=4e-16, abs=0)


@pytest.mark.parametrize("x", [-701.0, -1e9, -np.inf])
def test_what_is_left_after_ages_is_nothing_but_a_number(x):
    assert 0.0 <= lanes.exp(x) < 1e-303


@pytest.mark.parametrize("x", [*SHORT, *(-x for x in SHORT), 0.1, 0.3, 0.5, -0.5])
def test_mean_decay_has_all_digits(x):
    assert lanes.mean_decay(x) == pytest.approx(float(mean_decay(x)), rel=4e-16, abs=0)
    if abs(x) <= 0.04:
        assert lanes.short_mean_decay(x) == pytest.approx(float(mean_decay(x)), rel=4e-16, abs=0)


# The longest step of each way to prepare it, just beyond it, and one after which next to nothing is left.
@pytest.mark.parametrize("s", [1e-9, 0.01, 0.08, 0.081, 1.0, 3.0, 3.1, 40.0, 700.0])
def test_steps_of_any_length_are_the_same_for_each_neuron(s):
    rng = np.random.default_rng(3)
    ensemble = np.zeros((lockstep.ENSEMBLE_ROWS, 7))
    rates = 0.4 + 0.1 * rng.random((3, 7))
    rates[:, 0], rates[1, 1], rates[0, 2] = 0.5, rates[0, 1], 0.31  # all equal, two equal, and the widest difference
    ensemble[[lockstep.RATE_MEM, lockstep.RATE_EXC, lockstep.RATE_INH]] = rates
    fastest, apart, slowest = lockstep.extreme_rates(ensemble)
    assert (fastest, slowest) == (rates.max(), rates.min())
    assert apart == max(np.abs(rates[1:] - rates[0]).max(axis=0))
    lockstep.prepare_step(s, False, fastest, apart, ensemble)
    for n in range(7):
        left_mem = np.exp(-rates[0, n] * s)
        assert ensemble[lockstep.LEFT_MEM, n] == pytest.approx(left_mem, rel=1e-14)
        for rate, left_row, kernel_row in (
            (rates[1, n], lockstep.LEFT_EXC, lockstep.KERNEL_EXC),
            (rates[2, n], lockstep.LEFT_INH, lockstep.KERNEL_INH),
        ):
            left, kernel = response(s, rates[0, n], rate, left_mem)
            assert ensemble[left_row, n] == pytest.approx(left, rel=1e-13)
            assert ensemble[kernel_row, n] == pytest.approx(kernel, rel=1e-13)
