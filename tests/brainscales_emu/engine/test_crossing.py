"""Closed forms between events: the compiled functions and their readable twins against many digits."""

import math

import mpmath as mp
import numpy as np
import pytest

from brainscales_emu.engine import crossing
from brainscales_emu.readable import lif

mp.mp.dps = 40

# tau_mem, tau_exc, tau_inh in us: equal, nearly equal on either side, ordinary, far apart
TAUS = [
    (6.0, 6.0, 6.0),
    (6.0, 6.0 * (1 + 1e-9), 6.0 * (1 - 1e-9)),
    (6.0, 6.0 * (1 - 1e-5), 6.0 * (1 + 1e-5)),
    (6.0, 6.0, 6.0 * (1 + 1e-9)),
    (6.3, 5.9, 6.1),
    (10.0, 5.0, 5.0),
    (20.0, 2.0, 8.0),
    (2.0, 20.0, 8.0),
    (60.0, 0.3, 30.0),
    (0.5, 30.0, 0.3),
]


def compiled_crossing(threshold, u, i_exc, i_inh, taus):
    return crossing.first_crossing(threshold, u, i_exc, i_inh, *(1.0 / tau for tau in taus))


def readable_crossing(threshold, u, i_exc, i_inh, taus):
    return lif.first_crossing(lif.Membrane(u, i_exc, i_inh, *taus), threshold)


BOTH = pytest.mark.parametrize("crossing", [compiled_crossing, readable_crossing])


def exact_kernel(s, tau_mem, tau_syn):
    s, tau_mem, tau_syn = mp.mpf(s), mp.mpf(tau_mem), mp.mpf(tau_syn)
    if tau_mem == tau_syn:
        return s * mp.exp(-s / tau_mem)
    return (mp.exp(-s / tau_mem) - mp.exp(-s / tau_syn)) / (1 / tau_syn - 1 / tau_mem)


def exact_membrane(s, u, i_exc, i_inh, taus):
    tau_mem, tau_exc, tau_inh = taus
    decayed = u * mp.exp(-mp.mpf(s) / mp.mpf(tau_mem))
    return decayed + i_exc * exact_kernel(s, tau_mem, tau_exc) - i_inh * exact_kernel(s, tau_mem, tau_inh)


def scanned_maximum(end, u, i_exc, i_inh, taus):
    """Largest membrane on a dense grid in 0..end, without the closed forms that need care."""
    s = np.linspace(0.0, end, 20001).astype(np.longdouble)
    tau_mem, tau_exc, tau_inh = (np.longdouble(tau) for tau in taus)

    def kernel(tau):
        x = 1 / tau - 1 / tau_mem
        return np.exp(-s / tau_mem) * (s if x == 0 else -np.expm1(-x * s) / x)

    with np.errstate(over="ignore", invalid="ignore"):
        trace = u * np.exp(-s / tau_mem) + i_exc * kernel(tau_exc) - i_inh * kernel(tau_inh)
    return float(np.nanmax(trace))


@pytest.mark.parametrize("taus", TAUS)
@pytest.mark.parametrize("s", [1e-9, 1e-3, 0.7, 5.0, 40.0, 300.0])
def test_kernel_has_all_digits(s, taus):
    for tau_syn in taus[1:]:
        exact = exact_kernel(s, taus[0], tau_syn)
        left_mem = math.exp(-s / taus[0])
        left, response = crossing.response(s, 1.0 / taus[0], 1.0 / tau_syn, left_mem)
        # 1 / tau is rounded, and so is the exponent: the error grows with s / tau
        tolerance = 1e-14 + 4e-16 * s / min(taus)
        if exact > 1e-290:
            assert response == pytest.approx(float(exact), rel=tolerance, abs=0)
            assert lif.synaptic_kernel(s, taus[0], tau_syn) == pytest.approx(float(exact), rel=tolerance, abs=0)
        assert left == pytest.approx(math.exp(-s / tau_syn), rel=tolerance, abs=1e-300)


@BOTH
@pytest.mark.parametrize("taus", TAUS)
def test_random_crossings(taus, crossing):
    rng = np.random.default_rng(7)
    found = missing = 0
    for _ in range(20):
        i_exc, i_inh = rng.exponential(40.0) * rng.integers(0, 2), rng.exponential(40.0) * rng.integers(0, 2)
        threshold = rng.choice([rng.uniform(1.0, 70.0), rng.uniform(-40.0, -1.0)])
        u = threshold - rng.uniform(0.1, 60.0)
        state = (u, i_exc, i_inh, taus)
        s = crossing(threshold, *state)
        if s == math.inf:
            missing += 1
            assert threshold > 0
            assert scanned_maximum(20 * max(taus), *state) < threshold
            continue
        found += 1
        assert scanned_maximum(s * (1 - 1e-9), *state) < threshold
        root = mp.findroot(lambda x, state=state, threshold=threshold: exact_membrane(x, *state) - threshold, s)
        slope = float(mp.diff(lambda x, state=state: exact_membrane(x, *state), root))
        assert slope > 0
        # what rounding of the membrane and of the rates allows when the crossing is shallow
        assert abs(s - float(root)) <= 1e-12 * s + 1e-14 * (abs(u) + (i_exc + i_inh) * max(taus)) / slope
    assert found >= 4
    assert missing >= 1


@BOTH
@pytest.mark.parametrize("taus", [(6.0, 6.0, 6.0), (6.0, 6.0 * (1 - 1e-9), 6.0), (10.0, 5.0, 5.0), (6.0, 12.0, 3.0)])
def test_touching(taus, crossing):
    tau_mem, tau_exc, _ = taus
    if tau_mem == tau_exc:
        peak_at = tau_mem
    else:
        peak_at = float(mp.log(mp.mpf(tau_mem) / tau_exc) / (1 / mp.mpf(tau_exc) - 1 / mp.mpf(tau_mem)))
    peak = float(exact_membrane(peak_at, 0.0, 30.0, 0.0, taus))
    few_ulp = 8 * np.spacing(peak)
    assert crossing(peak + few_ulp, 0.0, 30.0, 0.0, taus) == math.inf
    # a parabola under the peak: half-width sqrt(2 * distance / curvature), curvature about peak / tau^2
    assert crossing(peak - few_ulp, 0.0, 30.0, 0.0, taus) == pytest.approx(peak_at, rel=3e-7)


@BOTH
def test_double_crossing(crossing):
    # Slow inhibition pulls the membrane back: over the threshold for a short time only.
    state = (0.0, 60.0, 40.0, (10.0, 2.0, 8.0))
    peak = scanned_maximum(30.0, *state)
    s = crossing(peak * (1 - 1e-8), *state)
    assert exact_membrane(s + 0.01, *state) < peak * (1 - 1e-8)
    assert exact_membrane(s, *state) == pytest.approx(peak, rel=2e-8)
    assert crossing(peak * (1 + 1e-6), *state) == math.inf


@BOTH
def test_crossing_after_inhibition_has_decayed(crossing):
    # Fast inhibition wins at first, slow excitation later.
    state = (-5.0, 20.0, 60.0, (6.0, 20.0, 1.0))
    s = crossing(30.0, *state)
    assert scanned_maximum(s * (1 - 1e-9), *state) < 30.0
    assert exact_membrane(0.2, *state) < -5.0
    assert abs(exact_membrane(s, *state) - 30.0) < 1e-12


@BOTH
def test_pacemaker_recovers_from_inhibition(crossing):
    # Leak over threshold, and the membrane falls first.
    state = (-40.0, 0.0, 30.0, (6.0, 6.0, 9.0))
    s = crossing(-3.0, *state)
    assert exact_membrane(1.0, *state) < -40.0
    assert abs(exact_membrane(s, *state) + 3.0) < 1e-12
    assert scanned_maximum(s * (1 - 1e-9), *state) < -3.0


@BOTH
def test_pure_leak(crossing):
    taus = (6.0, 6.0, 6.0)
    assert crossing(-20.0, -50.0, 0.0, 0.0, taus) == pytest.approx(6.0 * math.log(2.5), rel=1e-14)
    assert crossing(-1e-9, -50.0, 0.0, 0.0, taus) == pytest.approx(6.0 * math.log(5e10), rel=1e-12)
    assert crossing(0.0, -50.0, 0.0, 0.0, taus) == math.inf
    assert crossing(5.0, -50.0, 0.0, 0.0, taus) == math.inf
    assert crossing(5.0, 5.0, 0.0, 0.0, taus) == 0.0


def test_twins_agree_on_random_states():
    rng = np.random.default_rng(3)
    crossed = 0
    for _ in range(1000):
        base = rng.uniform(0.5, 30.0)
        taus = [
            rng.choice([base, base * (1 + rng.normal() * 10 ** rng.uniform(-12, -2)), rng.uniform(0.5, 60.0)])
            for _ in range(3)
        ]
        i_exc, i_inh = rng.exponential(40.0, 2) * rng.integers(0, 2, 2)
        if rng.random() < 0.3:  # currents that all but cancel
            i_inh = i_exc * (1 + rng.normal() * 10 ** rng.uniform(-14, -1))
        threshold = rng.choice([rng.uniform(0.5, 80.0), -rng.uniform(0.01, 60.0)])
        u = rng.choice([min(threshold, 0.0), threshold]) - rng.exponential(30.0) * rng.integers(0, 2)
        state = (u, i_exc, max(i_inh, 0.0), taus)
        compiled, readable = compiled_crossing(threshold, *state), readable_crossing(threshold, *state)
        assert (compiled == math.inf) == (readable == math.inf), (threshold, state)
        if compiled < math.inf:
            crossed += 1
            slope = lif.Membrane(u, i_exc, max(i_inh, 0.0), *taus).after(compiled).slope()
            rounding = 1e-14 * (abs(u) + (i_exc + abs(i_inh)) * max(taus))
            assert abs(compiled - readable) <= 1e-12 * compiled + rounding / max(slope, 1e-300)
    assert 200 < crossed < 900


@pytest.mark.parametrize("y", [1e-12, -1e-3, 0.01, -0.02, 0.0399, -0.0399, 0.0401, -0.0401, 0.3])
def test_series_and_difference_meet(y):
    # On either side of the switch from series to difference, in terms of rates, so that nothing is rounded before.
    rate_mem, s = 0.25, 4.0
    rate_syn = rate_mem + y / s
    left_mem = math.exp(-rate_mem * s)
    x = mp.mpf(rate_syn) - mp.mpf(rate_mem)
    _, response = crossing.response(s, rate_mem, rate_syn, left_mem)
    exact = mp.mpf(left_mem) * -mp.expm1(-x * s) / x
    assert abs(response / exact - 1) < (5e-16 if abs(y) < 0.04 else 1e-14)
