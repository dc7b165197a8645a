"""One array: the bound behind lazy relaxation, wires against the nodal equations, noise, errors that change nothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memristor.device import RtnConfig
from memristor.errors import CrossbarError
from memristor.parasitics import WireConfig, effective_matrix, solve
from memristor.presets import preset
from memristor.programming import Recipe
from memristor.tile import Tile, fastest_relaxation_uS

ALPHA = 1e-6
ONE_SHOT = Recipe()
WIRES = {
    "passive": WireConfig(row_ohm=2.0, column_ohm=3.0),
    "access": WireConfig(row_ohm=0.0, column_ohm=0.0, access_ohm=4000.0),
    "parallel": WireConfig(row_ohm=50.0, column_ohm=80.0, topology="source_line_parallel", access_ohm=2000.0),
}


def cells_of(shape):
    return tuple(index.ravel() for index in np.indices(shape))


def filled(shape=(6, 5), model="hfox_wan2022", wires=None, seed=3, **options):
    device = preset(model)
    tile = Tile(device, shape, wires, serial=seed, seed=seed, **options)
    targets = np.random.default_rng(seed).uniform(device.g_low_uS, device.g_high_uS, shape)
    tile.program(*cells_of(shape), targets.ravel(), 0.0, ONE_SHOT)
    return tile


# Relaxation


def test_fastest_relaxation_by_hand():
    # between one day and two days the published quartics at G = 40 uS and 0 differ most per ln t; see the model
    g = np.linspace(0.0, 1.0, 1001)
    one_second, one_day, two_days = (
        np.polyval(c[::-1], g)
        for c in (
            [0.348, 16.030, -43.853, 45.393, -16.815],
            [0.701, 22.086, -50.773, 47.095, -16.458],
            [0.782, 20.274, -43.507, 37.062, -11.934],
        )
    )
    spread = [np.sqrt(np.maximum(s**2 - one_second**2, 0.0)) for s in (one_second, one_day, two_days)]
    slopes = [np.abs(spread[1] - spread[0]) / math.log(86_400), np.abs(spread[2] - spread[1]) / math.log(2)]
    assert fastest_relaxation_uS(preset("hfox_wan2022")) == (pytest.approx(np.max(slopes)), 0.0)
    # CMO/HfOx: mean -0.0890 ln t from 1 s
    assert fastest_relaxation_uS(preset("cmo_hfox"))[1] == pytest.approx(0.0890)
    assert fastest_relaxation_uS(preset("hfo2_milo2021")) == (0.0, 0.0)


@settings(deadline=None, max_examples=40)
@given(
    model=st.sampled_from(["hfox_wan2022", "cmo_hfox"]),
    tolerance=st.sampled_from([0.01, 0.1, 1.0]),
    steps=st.lists(st.tuples(st.floats(-4.0, 6.0), st.booleans()), min_size=1, max_size=8),
)
def test_lazy_relaxation_keeps_its_tolerance(model, tolerance, steps):
    lazy, exact = (filled(model=model, relax_tolerance_uS=t) for t in (tolerance, 0.0))
    now_s = 0.0
    for exponent, rewrite in steps:
        now_s += 10.0**exponent
        for tile in (lazy, exact):
            tile.relax(now_s)
        assert np.abs(lazy.cells.g_uS - exact.cells.g_uS).max() <= tolerance * (1 + 1e-12)
        if rewrite:
            for tile in (lazy, exact):
                tile.program([1, 4], [2, 0], [20.0, 35.0], now_s, ONE_SHOT)


def test_a_verified_write_leaves_the_relaxation_of_the_others_to_be_caught_up():
    lazy, exact = (filled(model="cmo_hfox", relax_tolerance_uS=t) for t in (0.01, 0.0))
    before = lazy.cells.g_uS.copy()
    for tile in (lazy, exact):
        tile.program([1], [2], [20.0], 86_400.0, Recipe("write_verify", tolerance_uS=5.0))
        tile.relax(86_400.0)
    assert np.abs(lazy.cells.g_uS - exact.cells.g_uS).max() <= 0.01
    assert np.abs(lazy.cells.g_uS - before).max() > 0.1


def test_relaxation_is_skipped_and_caught_up():
    tile = filled(relax_tolerance_uS=0.1)
    version, g = tile.version, tile.cells.g_uS.copy()
    tile.relax(0.01)
    assert tile.version == version
    tile.relax(3600.0)
    assert tile.version == version + 1 and np.abs(tile.cells.g_uS - g).max() > 0.5
    exact = filled(relax_tolerance_uS=0.0)
    exact.relax(3600.0)
    np.testing.assert_array_equal(tile.cells.g_uS, exact.cells.g_uS)


def test_verification_with_wait_moves_the_clock_and_the_others():
    tile = filled()
    report = tile.program([0], [0], [20.0], 10.0, Recipe("write_verify", tolerance_uS=2.0, wait_s=5.0))
    assert report.verified.all() and tile.cells.now_s == 10.0 + 5.0 * report.rounds
    exact = filled(relax_tolerance_uS=0.0)
    exact.relax(tile.cells.now_s)
    np.testing.assert_array_equal(tile.g_eff_uS[1:], exact.g_eff_uS[1:])


# Wires


@pytest.mark.parametrize("wires", WIRES.values(), ids=WIRES)
def test_currents_are_those_of_the_nodal_equations(wires):
    tile = filled(wires=wires)
    v = np.random.default_rng(0).uniform(-0.2, 0.2, (3, 6))
    for volts, currents in zip(v, tile.multiply(v), strict=True):
        np.testing.assert_allclose(currents, solve(tile.cells.g_uS, volts, wires).currents_uA, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(tile.voltages(volts).currents_uA, currents, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wires", WIRES.values(), ids=WIRES)
def test_the_effective_matrix_follows_every_change(wires):
    tile = filled(wires=wires)
    for now_s, action in enumerate(("write", "write", "relax", "write", "relax"), 1):
        if action == "write":
            tile.program([now_s, 0], [1, 3], [25.0, 3.0], 1e4 * now_s, ONE_SHOT)
        else:
            tile.relax(1e4 * now_s)
        np.testing.assert_allclose(tile.g_eff_uS, effective_matrix(tile.cells.g_uS, wires), rtol=1e-11)


def test_without_wires_the_columns_answer_with_the_conductances():
    tile = filled()
    v = np.random.default_rng(0).uniform(-0.2, 0.2, (3, 6))
    np.testing.assert_allclose(tile.multiply(v), v @ tile.cells.g_uS, rtol=1e-14)
    assert tile.sensitivity == 1.0


@pytest.mark.parametrize(("name", "rtol"), [("access", 1e-6), ("parallel", 1e-6), ("passive", 0.01)])
def test_sensitivity_is_the_derivative(name, rtol):
    """Exact where a cell has its path for itself, to first order where lines are shared."""
    tile = filled(wires=WIRES[name])
    g = tile.cells.g_uS.copy()
    for place in np.ndindex(tile.shape):
        up, down = g.copy(), g.copy()
        step = 1e-3 * max(g[place], 1.0)
        up[place] += step
        down[place] = max(g[place] - step, 0.0)
        change = effective_matrix(up, tile.wires) - effective_matrix(down, tile.wires)
        got = np.broadcast_to(tile.sensitivity, tile.shape)[place]
        assert got == pytest.approx(change[place] / (up[place] - down[place]), rel=rtol)


# Noise


def test_reading_a_tile_has_the_noise_of_single_devices():
    tile = filled((40, 30))
    rng = np.random.default_rng(1)
    deviation = np.stack([tile.read(rng) - tile.cells.g_uS for _ in range(20)]).ravel()

    def agrees(sigma):
        return ALPHA / 2 < stats.chi2.cdf(np.sum((deviation / sigma) ** 2), deviation.size) < 1 - ALPHA / 2

    assert agrees(0.01 * 40.0)
    assert not agrees(1.05 * 0.4) and not agrees(0.95 * 0.4)
    assert tile.read_sigma_uS == pytest.approx(0.4)


def test_silent_cells_have_no_read_noise():
    tile = filled((12, 10))
    tile.cells.stuck[3, 4] = -1
    sigma = tile.read_sigma_uS
    assert sigma[3, 4] == 0.0 and np.count_nonzero(sigma == 0.4) == 119


def test_telegraph_noise_has_two_levels():
    tile = filled((30, 20), rtn=RtnConfig(share=1.0, amplitude=0.1))
    draws = np.stack([tile.telegraph_uS(np.random.default_rng(k)) for k in range(6)])
    size = np.abs(draws)
    np.testing.assert_allclose(size, np.broadcast_to(size[0], size.shape))
    np.testing.assert_allclose(size[0], tile.cells.rtn_amplitude * tile.cells.g_uS)
    assert 0.4 < np.mean(draws[:, size[0] > 0] > 0) < 0.6


# Misuse


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: t.multiply([[0.4] * 6]), "v_V[0, 0] = 0.4 V is outside -0.3..0.3 V; give read voltages"),
        (lambda t: t.multiply([[0.1] * 5]), "v_V has shape (1, 5); expected (any, 6)"),
        (lambda t: t.multiply([[math.nan] * 6]), "v_V[0, 0] = nan is not a number"),
        (lambda t: t.voltages([0.1] * 6), "the tile has no wires, so every row is at its input's voltage"),
        (lambda t: t.relax(-1.0), "now_s = -1 s is outside"),
        (lambda t: t.relax(math.nan), "now_s = nan s is outside"),
        (lambda t: t.relax(99.0), "now_s = 99.0 s is before 100.0 s"),
        (lambda t: t.program([6], [0], [1.0], 200.0, ONE_SHOT), "rows[0] = 6 is outside 0..5"),
        (lambda t: t.program([0], [0], [41.0], 200.0, ONE_SHOT), "targets_uS[0] = 41 uS is outside 0..40 uS"),
        (lambda t: t.program([0], [0], [math.nan], 200.0, Recipe("write_verify")), "targets_uS[0] = nan"),
    ],
)
def test_misuse_changes_nothing(call, text):
    tile = filled()
    tile.relax(100.0)
    state = [np.copy(a) for a in tile.cells._state]
    before = (tile.version, tile.cells.now_s, tile.cells.calls)
    with pytest.raises(CrossbarError) as error:
        call(tile)
    assert text in str(error.value)
    assert (tile.version, tile.cells.now_s, tile.cells.calls) == before
    for old, new in zip(state, tile.cells._state, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"method": "two_shot"}, "recipe.method = 'two_shot' is unknown; choose one_shot, write_verify, incremental"),
        ({"tolerance_uS": -1.0}, "recipe.tolerance_uS = -1 uS is outside"),
        ({"max_pulses": 1}, "recipe.max_pulses = 1 pulses is outside 2..1000000 pulses; a cycle takes two"),
        ({"wait_s": 1.0}, "recipe.wait_s = 1 s is for 'write_verify'; method 'one_shot' doesn't wait"),
    ],
)
def test_bad_recipe(arguments, text):
    with pytest.raises(CrossbarError) as error:
        Recipe(**arguments)
    assert text in str(error.value)
