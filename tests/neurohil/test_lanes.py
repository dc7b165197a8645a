"""exp and ln of the vector loops, against 40 digits."""

import math

import mpmath
import numpy as np
import pytest

from neurohil.first_spike.lanes import exp, log

TINY, HUGE = np.finfo(float).tiny, np.finfo(float).max


def largest_error(function, exact, values):
    """Relative to the exact result."""
    with mpmath.workdps(40):
        return max(float(abs(mpmath.mpf(float(function(x))) / exact(mpmath.mpf(float(x))) - 1)) for x in values)


def test_exponential_is_exact_to_2e_16():
    rng = np.random.default_rng(1)
    halves = (np.arange(-1000, 1000) + 0.5) * math.log(2.0)  # where the exponent changes
    values = [*rng.uniform(-707.0, 709.0, 2000), *rng.normal(0.0, 1e-3, 500), *halves, -708.0, 709.0, 5e-324]
    assert largest_error(exp, mpmath.exp, values) < 2.3e-16
    assert exp(0.0) == 1.0 and exp(-708.1) == 0.0 and exp(-1e9) == 0.0 and exp(-math.inf) == 0.0


def test_logarithm_is_exact_to_4e_16():
    rng = np.random.default_rng(2)
    near = 1.0 + rng.normal(0.0, 1e-3, 1000)  # where nothing may cancel
    edges = np.ldexp(math.sqrt(0.5), np.arange(-1000, 1000))
    edges = edges[(edges != 1.0)]
    values = [*np.exp(rng.uniform(-700.0, 700.0, 2000)), *near, *edges, *np.nextafter(edges, 0.0), TINY, HUGE]
    assert largest_error(log, mpmath.log, values) < 4.5e-16
    assert log(1.0) == 0.0


@pytest.mark.parametrize("k", [-1022, -1, 1, 1023])
def test_powers_of_two(k):
    assert log(2.0**k) == pytest.approx(k * math.log(2.0), rel=2.3e-16)
