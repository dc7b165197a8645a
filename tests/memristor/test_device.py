"""One array of devices: noise at its parameter, relaxation frozen per write, faults, wear, and misuse."""

import functools
import math

import numpy as np
import pytest
from scipy import stats

from memristor.device import Cells, FaultConfig, RtnConfig, WearConfig
from memristor.errors import CrossbarError
from memristor.presets import preset
from memristor.table import table_model

ALPHA = 1e-6
DAY_S = 86_400.0
SHAPE = (128, 128)
STATE = ("target_uS", "written_uS", "xi", "written_at_s", "g_uS", "set_pulses", "reset_pulses", "writes", "stuck")


def snapshot(cells):
    """Everything that a call may change."""
    return [getattr(cells, name).copy() for name in STATE] + [cells.now_s, cells.calls]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def everywhere(shape=SHAPE):
    """Rows and columns of all cells."""
    rows, columns = np.indices(shape)
    return rows.ravel(), columns.ravel()


def programmed(model, target_uS, seed=1, shape=SHAPE, **configs):
    cells = Cells(model, shape, serial=seed, seed=seed, **configs)
    cells.program(*everywhere(shape), np.full(cells.g_uS.size, target_uS), 0.0)
    return cells


# ---- noise at its parameter


def moments_of_held(mean, sigma):
    """E[max(0, X)^k], k = 1..4, for X ~ N(mean, sigma^2)."""
    if np.all(sigma == 0.0):
        held = np.maximum(mean, 0.0)
        return np.array([held**k for k in range(1, 5)])
    below = [stats.norm.cdf(mean / sigma)]
    below.append(mean * below[0] + sigma * stats.norm.pdf(mean / sigma))
    for k in (2, 3, 4):
        below.append(mean * below[k - 1] + (k - 1) * sigma**2 * below[k - 2])
    return np.array(below[1:])


@functools.cache
def law(target, sigma_write, shift=0.0, sigma_relax=0.0):
    """Mean, variance and fourth central moment of max(0, max(0, target + sigma_write z) + shift + sigma_relax xi)."""
    z = np.linspace(-9.0, 9.0, 20_001)
    weight = stats.norm.pdf(z) * (z[1] - z[0])
    start = np.maximum(target + sigma_write * z, 0.0)
    m1, m2, m3, m4 = moments_of_held(start + shift, sigma_relax) @ weight
    return m1, m2 - m1**2, m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4


def agrees(sample, mean, variance, fourth):
    """Test of the mean and of the variance: chi-square where the law is normal, else by its fourth moment."""
    n = sample.size
    p_mean = 2 * stats.norm.sf(abs(sample.mean() - mean) / math.sqrt(variance / n))
    squares = np.sum((sample - mean) ** 2)
    if abs(fourth / variance**2 - 3.0) < 1e-3:
        p_variance = 2 * min(stats.chi2.cdf(squares / variance, n), stats.chi2.sf(squares / variance, n))
    else:
        p_variance = 2 * stats.norm.sf(abs(squares / n - variance) / math.sqrt((fourth - variance**2) / n))
    return p_mean > ALPHA and p_variance > ALPHA


def assert_sigma(sample, target, sigma_write, shift=0.0, sigma_relax=0.0):
    assert agrees(sample, *law(target, sigma_write, shift, sigma_relax))
    for wrong in (0.95, 1.05):
        assert not agrees(sample, *law(target, wrong * sigma_write, shift, wrong * sigma_relax))


WAN = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    DAY_S: (0.701, 22.086, -50.773, 47.095, -16.458),
    2 * DAY_S: (0.782, 20.274, -43.507, 37.062, -11.934),
}


@pytest.mark.parametrize("level", range(9))
def test_wan_spread_at_every_level_and_time(level, engine):
    target = 5.0 * level
    sigma = {t: sum(c * (level / 8) ** k for k, c in enumerate(fit)) for t, fit in WAN.items()}
    cells = programmed(preset("hfox_wan2022"), target)
    assert_sigma(cells.g_uS, target, sigma[1.0])
    for time in (DAY_S, 2 * DAY_S):
        cells.relax(time)
        assert_sigma(cells.g_uS, target, sigma[1.0], 0.0, math.sqrt(sigma[time] ** 2 - sigma[1.0] ** 2))


@pytest.mark.parametrize("target", [50.0, 137.5, 225.0])
def test_milo_spread(target, engine):
    cells = programmed(preset("hfo2_milo2021"), target)
    cells.relax(DAY_S)
    assert_sigma(cells.g_uS, target, 4.782 - 0.009107 * target)


@pytest.mark.parametrize("target", [10.0, 50.0, 90.0])
@pytest.mark.parametrize(("acceptance", "c0", "c1"), [(2, 0.01122, 0.01129), (0.2, 8.1e-4, 1.069e-3)])
def test_cmo_spread_and_drift(target, acceptance, c0, c1, engine):
    cells = programmed(preset("cmo_hfox", acceptance_percent=acceptance), target)
    assert_sigma(cells.g_uS, target, c0 + c1 * target)
    for t in (1.0, DAY_S):
        cells.relax(t)
        assert_sigma(cells.g_uS, target, c0 + c1 * target, -0.0890 * math.log(t), 0.0420 * math.log(t) + 0.4118)
    drift = cells.g_uS.mean() - target
    assert drift == pytest.approx(-1.01, abs=5 * 1.4 / math.sqrt(cells.g_uS.size))


def test_gong_spread(engine):
    cells = programmed(preset("hfo2_gong2022", stuck_fraction=0.0), 20.0)
    assert_sigma(cells.g_uS, 20.0, 2.0)


def test_table_spread_between_levels(tmp_path, engine):
    path = tmp_path / "mine.csv"
    rows = ["0,10,1.0,1", "1,20,2.0,1", "2,40,4.0,1", "0,11,2.0,100", "1,20,2.9,100", "2,36,5.0,100"]
    path.write_text("\n".join(["level,mean_uS,sigma_uS,time_s", *rows]))
    cells = programmed(table_model(path), 30.0)
    assert_sigma(cells.g_uS, 30.0, 3.0)
    cells.relax(100.0)
    assert_sigma(cells.g_uS, 30.0, 3.0, -2.0, math.sqrt(3.95**2 - 3.0**2))


@pytest.mark.parametrize("wrong", [0.95, 1.05])
def test_a_wrong_device_is_found(wrong):
    model = preset()
    scaled = tuple(tuple(wrong * c for c in piece) for piece in model.program_fit)
    cells = programmed(preset(program_fit=scaled), 20.0)
    assert not agrees(cells.g_uS, *law(20.0, 2.02))
    assert agrees(programmed(model, 20.0).g_uS, *law(20.0, float(model.program_sigma_uS(20.0))))


def test_ideal_device_is_its_target(engine):
    cells = programmed(preset("ideal"), 12.5)
    cells.relax(1e9)
    assert np.all(cells.g_uS == 12.5)
    assert np.all(cells.read_sigma_uS() == 0.0)


# ---- state


def test_a_loaded_state_goes_on_to_the_same_bits():
    straight, loaded = (Cells(preset(), (4, 5), serial=3, seed=3) for _ in "ab")
    straight.program([0, 2], [1, 4], [20.0, 30.0], 5.0)
    loaded.program([0, 3], [1, 1], [10.0, 40.0], 7.0)  # another past, which leaves nothing behind
    state = straight.state()
    kept = {name: array.copy() for name, array in state.items()}
    loaded.load_state(state)
    assert_same(snapshot(loaded), snapshot(straight))
    for cells in (straight, loaded):
        cells.program([2, 3], [4, 0], [5.0, 35.0], 9.0)
        cells.relax(DAY_S)
    assert_same(snapshot(loaded), snapshot(straight))
    assert kept and all(np.array_equal(state[name], kept[name]) for name in kept)  # a copy


# ---- relaxation belongs to the write


def test_relaxation_is_frozen_until_the_next_write(engine):
    cells = programmed(preset(), 20.0)
    written, xi = cells.written_uS.copy(), cells.xi.copy()
    cells.relax(0.9)
    np.testing.assert_array_equal(cells.g_uS, written)  # nothing before 1 s
    cells.relax(5000.0)
    first = cells.g_uS.copy()
    cells.read_sigma_uS()
    cells.telegraph(np.random.default_rng(1))
    np.testing.assert_array_equal(cells.g_uS, first)
    cells.relax(5000.0)
    np.testing.assert_array_equal(cells.g_uS, first)
    # Every device goes on in its own direction, by xi s(t).
    previous = np.zeros(SHAPE)
    for t in (1e4, 4e4, DAY_S):
        cells.relax(t)
        moved = cells.g_uS - written
        assert np.all(np.abs(moved) > np.abs(previous))
        assert np.all(np.sign(moved) == np.sign(xi))
        np.testing.assert_allclose(moved, xi * preset().relax_sigma_uS(20.0, t), rtol=1e-9)
        previous = moved
    cells.program([3], [4], [20.0], 2 * DAY_S)
    changed = np.zeros(SHAPE, dtype=bool)
    changed[3, 4] = True
    np.testing.assert_array_equal(cells.xi != xi, changed)
    np.testing.assert_array_equal(cells.written_uS != written, changed)
    assert cells.g_uS[3, 4] == cells.written_uS[3, 4]
    assert cells.written_at_s[3, 4] == 2 * DAY_S


def test_xi_is_independent_of_the_programming_error():
    cells = programmed(preset(), 20.0)
    r = stats.pearsonr(cells.xi.ravel(), (cells.written_uS - 20.0).ravel())
    assert r.pvalue > ALPHA
    assert stats.kstest(cells.xi.ravel(), "norm").pvalue > ALPHA


def test_age_counts_from_each_write(engine):
    cells = Cells(preset(), (1, 2), serial=5, seed=5)
    cells.program([0], [0], [20.0], 0.0)
    cells.program([0], [1], [20.0], 1000.0)
    cells.relax(1060.0)
    s = preset().relax_sigma_uS(20.0, np.array([[1060.0, 60.0]]))
    np.testing.assert_allclose(cells.g_uS, cells.written_uS + cells.xi * s, rtol=1e-12)


def test_conductance_is_never_negative(engine):
    cells = programmed(preset(), 0.0)
    assert np.mean(cells.g_uS == 0.0) == pytest.approx(0.5, abs=5 * 0.5 / 128)
    cells.relax(DAY_S)
    assert cells.g_uS.min() == 0.0


def test_new_array_is_reset():
    cells = Cells(preset("cmo_hfox"), (3, 4))
    cells.relax(DAY_S)
    assert np.all(cells.g_uS == 10.0)
    assert cells.writes.sum() == cells.set_pulses.sum() == cells.reset_pulses.sum() == 0


# ---- the same bits


def command_stream(cells):
    rng = np.random.default_rng(8)
    time = 0.0
    low, high = cells.model.g_low_uS, cells.model.g_high_uS
    for _ in range(30):
        flat = rng.permutation(cells.g_uS.size)[:10]
        rows, columns = np.divmod(flat, cells.shape[1])
        targets = rng.uniform(low, high, 10)
        targets[:2] = low
        time += float(rng.exponential(1000.0))
        cells.program(rows, columns, targets, time)
        cells.pulse(rows[::-1], columns[::-1], targets, time)
        cells.relax(time + 0.5)
        time += 0.5


def test_same_seed_same_bits_other_seed_other_array():
    configs = {"faults": FaultConfig(0.1), "rtn": RtnConfig(0.5)}
    one, again, other = (Cells(preset(), (8, 9), serial=seed, seed=seed, **configs) for seed in (4, 4, 5))
    for cells in (one, again, other):
        command_stream(cells)
    assert_same(snapshot(one), snapshot(again))
    assert np.all(one.lifetime_cycles != other.lifetime_cycles)
    written = (one.writes > 0) & (other.writes > 0)
    assert np.all(one.xi[written] != other.xi[written])
    assert np.any(one.stuck != other.stuck) and np.any(one.rtn_amplitude != other.rtn_amplitude)


def test_faults_and_lifetimes_depend_on_the_seed_alone():
    configs = {"faults": FaultConfig(0.1, dead_row_fraction=0.2), "rtn": RtnConfig(0.5)}
    one, other = (
        Cells(preset(), (30, 40), serial=4, seed=4, **configs),
        Cells(preset("ideal"), (30, 40), serial=4, seed=4, **configs),
    )
    command_stream(other)
    np.testing.assert_array_equal(one.stuck, other.stuck)
    np.testing.assert_array_equal(one.dead_rows, other.dead_rows)
    np.testing.assert_array_equal(one.rtn_amplitude, other.rtn_amplitude)
    worn = Cells(preset(endurance_cycles=2e6), (30, 40), serial=4, seed=4)
    np.testing.assert_allclose(worn.lifetime_cycles, 2 * one.lifetime_cycles, rtol=1e-12)


@pytest.mark.parametrize("name", ["ideal", "hfox_wan2022", "hfo2_milo2021", "cmo_hfox", "hfo2_gong2022"])
@pytest.mark.parametrize("failure", ["sudden", "gradual"])
def test_kernels_and_twins_agree(name, failure, use_twins):
    def run():
        wear = WearConfig(median_cycles=1e3, shape=3.0, failure=failure, slope=0.5)  # some fail within a few cycles
        cells = Cells(preset(name), (6, 7), serial=4, seed=4, faults=FaultConfig(0.1, dead_row_fraction=0.1), wear=wear)
        command_stream(cells)
        return cells

    compiled = run()
    assert np.any(compiled.failed)
    use_twins()
    for left, right in zip(snapshot(compiled), snapshot(run()), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)


# ---- pulses


def test_a_cycle_is_reset_and_set_and_the_lowest_level_needs_no_set(engine):
    cells = Cells(preset(), (2, 2))
    cells.program([0, 0, 1], [0, 1, 0], [0.0, 10.0, 40.0], 0.0)
    cells.program([0, 1], [1, 0], [20.0, 0.0], 0.0)
    np.testing.assert_array_equal(cells.reset_pulses, [[1, 2], [2, 0]])
    np.testing.assert_array_equal(cells.set_pulses, [[0, 2], [1, 0]])
    np.testing.assert_array_equal(cells.cycles, [[1, 2], [2, 0]])
    np.testing.assert_array_equal(cells.writes, [[1, 2], [2, 0]])
    np.testing.assert_array_equal(cells.target_uS, [[0.0, 20.0], [0.0, 0.0]])


def test_small_pulses_go_towards_the_target_within_the_range(engine):
    model = preset("ideal", pulse_step=0.1)  # 4 uS, the same for all
    cells = Cells(model, (1, 3))
    for expected in ([4.0, 4.0, 0.0], [8.0, 8.0, 0.0], [12.0, 4.0, 0.0]):
        cells.pulse([0, 0, 0], [0, 1, 2], [40.0, 5.0, 0.0], 0.0)
        np.testing.assert_allclose(cells.g_uS[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(cells.set_pulses, [[3, 2, 0]])
    np.testing.assert_array_equal(cells.reset_pulses, [[0, 1, 3]])
    for _ in range(20):
        cells.pulse([0], [0], [40.0], 0.0)
    assert cells.g_uS[0, 0] <= 40.0


def test_steps_of_small_pulses():
    # Gong et al.: mean 0.46 of the range, relative spread 0.71; log-normal, so its logarithm is tested.
    steps = Cells(preset("hfo2_gong2022"), SHAPE, serial=3, seed=3).step_uS / 40.0
    variance = math.log(1 + 0.71**2)
    mean = math.log(0.46) - variance / 2
    assert agrees(np.log(steps), mean, variance, 3 * variance**2)
    assert not agrees(np.log(steps), mean, 1.05**2 * variance, 3 * variance**2)
    assert steps.mean() == pytest.approx(0.46, rel=0.03)
    assert steps.std() / steps.mean() == pytest.approx(0.71, rel=0.05)


# ---- reading


def test_read_spread():
    cells = Cells(preset(), (20, 30), serial=2, seed=2, faults=FaultConfig(0.3, dead_column_fraction=0.2))
    sigma = cells.read_sigma_uS()
    silent = (cells.stuck < 0) | cells.dead_columns
    assert 0 < silent.sum() < silent.size
    np.testing.assert_array_equal(sigma, np.where(silent, 0.0, 0.4))  # 1 % of 40 uS
    cmo = programmed(preset("cmo_hfox"), 50.0, shape=(4, 4))
    cmo.relax(100.0)
    expected = 0.02773 * np.log10(cmo.g_uS) * math.sqrt(math.log(100.000001 / 2e-6))
    np.testing.assert_allclose(cmo.read_sigma_uS(), expected, rtol=1e-12)


def test_telegraph_noise_has_two_levels_per_device():
    cells = programmed(preset(), 20.0, rtn=RtnConfig(share=0.3, amplitude=0.1))
    g, a = cells.g_uS.copy(), cells.rtn_amplitude
    noisy = a > 0
    assert stats.binomtest(int(noisy.sum()), noisy.size, 0.3).pvalue > ALPHA
    assert stats.kstest(a[noisy] / 0.1, "uniform").pvalue > ALPHA
    rng = np.random.default_rng(5)
    draws = np.stack([cells.telegraph(rng) for _ in range(20)])
    np.testing.assert_allclose(np.abs(draws), np.broadcast_to(a * g, draws.shape), rtol=1e-12)
    up = draws[:, noisy] > 0
    assert stats.binomtest(int(up.sum()), up.size, 0.5).pvalue > ALPHA
    per_device = up.sum(axis=0)  # binomial over 20 draws: no device prefers a level
    counts = np.bincount(per_device, minlength=21)
    expected = stats.binom.pmf(np.arange(21), 20, 0.5) * per_device.size
    joined = [np.r_[v[:6].sum(), v[6:15], v[15:].sum()] for v in (counts, expected)]
    assert stats.chisquare(*joined).pvalue > ALPHA
    np.testing.assert_array_equal(cells.g_uS, g)
    assert np.all(programmed(preset(), 20.0).telegraph(rng) == 0.0)


# ---- faults


def test_stuck_devices_and_dead_lines(engine):
    faults = FaultConfig(0.2, stuck_on_share=0.25, dead_row_fraction=0.1, dead_column_fraction=0.1)
    cells = programmed(preset(), 20.0, faults=faults)
    n = cells.stuck.size
    assert stats.binomtest(int((cells.stuck > 0).sum()), n, 0.05).pvalue > ALPHA
    assert stats.binomtest(int((cells.stuck < 0).sum()), n, 0.15).pvalue > ALPHA
    assert stats.binomtest(int(cells.dead_rows.sum()), 128, 0.1).pvalue > ALPHA
    assert cells.dead_rows.any() and cells.dead_columns.any()
    dead = cells.dead_rows[:, None] | cells.dead_columns
    for t in (0.0, DAY_S):
        cells.relax(t)
        assert np.all(cells.g_uS[dead] == 0.0)
        assert np.all(cells.g_uS[~dead & (cells.stuck > 0)] == 40.0)
        assert np.all(cells.g_uS[~dead & (cells.stuck < 0)] == 0.0)
        assert np.all(cells.g_uS[~dead & (cells.stuck == 0)] > 0.0)
    assert np.all(cells.set_pulses == 1)  # pulses are sent all the same


def test_the_model_brings_its_stuck_devices():
    stuck = Cells(preset("hfo2_gong2022"), SHAPE).stuck
    assert stats.binomtest(int((stuck != 0).sum()), stuck.size, 0.098).pvalue > ALPHA
    assert not Cells(preset("hfo2_gong2022"), SHAPE, faults=FaultConfig(0.0)).stuck.any()


# ---- wear


@pytest.mark.parametrize(
    ("law_name", "law_of"),
    [
        ("lognormal", lambda median, shape: stats.lognorm(shape, scale=median)),
        ("weibull", lambda median, shape: stats.weibull_min(shape, scale=median / math.log(2) ** (1 / shape))),
    ],
)
def test_lifetimes(law_name, law_of):
    lifetimes = Cells(preset(), SHAPE, serial=9, seed=9, wear=WearConfig(law_name, 1e5, 1.5)).lifetime_cycles.ravel()
    assert law_of(1e5, 1.5).median() == pytest.approx(1e5)
    assert stats.kstest(lifetimes, law_of(1e5, 1.5).cdf).pvalue > ALPHA
    for median, shape in ((1.1e5, 1.5), (0.9e5, 1.5), (1e5, 1.65), (1e5, 1.35)):
        assert stats.kstest(lifetimes, law_of(median, shape).cdf).pvalue < ALPHA
    default = Cells(preset(), SHAPE, serial=9, seed=9).lifetime_cycles
    assert np.median(default) == pytest.approx(1e6, rel=0.05)
    assert np.all(Cells(preset("ideal"), (3, 3), serial=9, seed=9).lifetime_cycles == math.inf)


def test_sudden_failure(engine):
    wear = WearConfig(median_cycles=1e3, shape=2.0, stuck_on_share=0.25)
    cells = Cells(preset(), (16, 16), serial=3, seed=3, wear=wear)
    rows, columns = everywhere((16, 16))
    for cycle in range(1, 201):
        cells.program(rows, columns, np.full(256, 20.0), 0.0)
        # alive as long as the count is within the lifetime, stuck from the first cycle beyond it
        np.testing.assert_array_equal(cells.stuck != 0, cells.lifetime_cycles < cycle)
    dead = cells.stuck != 0
    assert 20 < dead.sum() < 100
    assert stats.binomtest(int((cells.stuck > 0).sum()), int(dead.sum()), 0.25).pvalue > ALPHA
    np.testing.assert_array_equal(dead, cells.failed)
    assert np.all(cells.g_uS[cells.stuck > 0] == 40.0) and np.all(cells.g_uS[cells.stuck < 0] == 0.0)
    assert np.all(cells.set_pulses == 200) and np.all(cells.reset_pulses == 200)  # dead cells count on


def test_gradual_failure(engine):
    wear = WearConfig(median_cycles=1e3, shape=2.0, failure="gradual", slope=2.0)
    cells = Cells(preset("ideal"), (16, 16), serial=3, seed=3, wear=wear)
    rows, columns = everywhere((16, 16))
    for _ in range(200):
        cells.program(rows, columns, np.full(256, 20.0), 0.0)
    beyond = 200 / cells.lifetime_cycles
    assert 20 < np.sum(beyond > 1) < 100
    # log10 R = log10 R0 + slope log10(n / n_f)
    resistance = np.log10(20.0 / cells.g_uS)
    np.testing.assert_allclose(resistance, np.where(beyond > 1, 2.0 * np.log10(beyond), 0.0), atol=1e-12)
    assert not cells.stuck.any()


def test_a_fading_cell_relaxes_in_proportion(engine):
    wear = WearConfig(median_cycles=1e3, shape=5.0, failure="gradual")
    cells = Cells(preset(), (16, 16), serial=3, seed=3, wear=wear)
    rows, columns = everywhere((16, 16))
    for _ in range(50):
        cells.program(rows, columns, np.full(256, 20.0), 0.0)
    cells.relax(DAY_S)
    factor = np.minimum(cells.lifetime_cycles / 50, 1.0)
    assert factor.min() < 0.1
    expected = cells.written_uS + factor * cells.xi * preset().relax_sigma_uS(20.0, DAY_S)
    np.testing.assert_allclose(cells.g_uS, np.maximum(expected, 0.0), rtol=1e-9)


# ---- misuse


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda cells: cells.program([0, 1], [0, 1], [10.0, 40.5], 20.0),
            "targets_uS[1] = 40.5 uS is outside 0..40 uS; choose targets within the range of the preset hfox_wan2022,"
            " one per cell",
        ),
        (lambda cells: cells.program([0], [0], [-1.0], 20.0), "targets_uS[0] = -1 uS is outside 0..40 uS"),
        (lambda cells: cells.program([0], [0], [math.nan], 20.0), "targets_uS[0] = nan is not a number"),
        (lambda cells: cells.program([0, 1], [0, 1], [10.0], 20.0), "targets_uS has shape (1,); expected (2,)"),
        (
            lambda cells: cells.program([0, 1], [0], [1.0, 1.0], 20.0),
            "columns has shape (1,); expected (2,); name a cell of the array",
        ),
        (
            lambda cells: cells.program([0, 3], [0, 0], [1.0, 1.0], 20.0),
            "rows[1] = 3 is outside 0..2; name a cell of the array",
        ),
        (
            lambda cells: cells.program([0], [-1], [1.0], 20.0),
            "columns[0] = -1 is outside 0..3; name a cell of the array",
        ),
        (
            lambda cells: cells.pulse([0.0], [1], [1.0], 20.0),
            "rows is of type float64, not integers; name a cell of the array",
        ),
        (
            lambda cells: cells.program([[0]], [1], [1.0], 20.0),
            "rows has shape (1, 1); expected (any,); name a cell of the array",
        ),
        (
            lambda cells: cells.program([0, 2, 0], [1, 2, 1], [1.0, 2.0, 3.0], 20.0),
            "cell [0, 1] is named twice in one call; name each cell once",
        ),
        (lambda cells: cells.program([0], [0], [1.0], 9.0), "now_s = 9.0 s is before 10.0 s, the time of the array"),
        (lambda cells: cells.pulse([0], [0], [1.0], 9.0), "now_s = 9.0 s is before 10.0 s, the time of the array"),
        (
            lambda cells: cells.relax(9.5),
            "now_s = 9.5 s is before 10.0 s, the time of the array; time doesn't run backw",
        ),
        (
            lambda cells: cells.relax(-1.0),
            "now_s = -1 s is outside 0..1e+10 s; give the time since the array was made",
        ),
        (lambda cells: cells.relax(math.nan), "now_s = nan s is outside 0..1e+10 s"),
        (lambda cells: cells.relax("1 h"), "now_s = '1 h' is not a number; allowed are 0..1e+10 s"),
    ],
)
def test_misuse_leaves_the_array_as_it_was(call, message):
    cells = Cells(preset(), (3, 4))
    cells.program([0, 1, 2], [0, 1, 2], [10.0, 20.0, 30.0], 0.0)
    cells.relax(10.0)
    before = snapshot(cells)
    with pytest.raises(CrossbarError) as error:
        call(cells)
    assert str(error.value).startswith(message)
    assert_same(before, snapshot(cells))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Cells(preset(), (3, 0)), "shape: columns = 0 is outside 1..65536; give the number of lines"),
        (lambda: Cells(preset(), 3), "shape = 3 is not a pair; give (rows, columns)"),
        (
            lambda: Cells(preset(), (3, 3), serial=-1),
            "crossbar.serial = -1 is outside 0..9223372036854775807; give the number of the array",
        ),
        (
            lambda: Cells(preset(), (3, 3), seed=-1),
            "crossbar.seed = -1 is outside 0..9223372036854775807; give the number of the noise",
        ),
        (
            lambda: Cells("ideal", (3, 3)),
            "model = 'ideal' is not a DeviceModel; get one from memristor.presets.preset",
        ),
        (
            lambda: WearConfig("lognormall"),
            "crossbar.wear.law = 'lognormall' is unknown; did you mean 'lognormal'? Known are lognormal, weibull",
        ),
        (
            lambda: WearConfig(failure="gradually"),
            "crossbar.wear.failure = 'gradually' is unknown; did you mean 'gradual'? Known are sudden, gradual",
        ),
        (
            lambda: WearConfig(median_cycles=100.0),
            "crossbar.wear.median_cycles = 100 cycles is outside 1000..1e+10 cycles; give a median lifetime",
        ),
        (
            lambda: WearConfig(shape=0.0),
            "crossbar.wear.shape = 0 is outside 0.01..100; give the spread of the lifetimes",
        ),
        (
            lambda: FaultConfig(stuck_fraction=9.8),
            "crossbar.faults.stuck_fraction = 9.8 is outside 0..1; give a fraction, 0.01 for 1 %",
        ),
        (lambda: FaultConfig(dead_row_fraction=-0.1), "crossbar.faults.dead_row_fraction = -0.1 is outside 0..1"),
        (
            lambda: RtnConfig(share=2.0),
            "crossbar.rtn.share = 2 is outside 0..1; give the share of devices with two levels",
        ),
    ],
)
def test_config_errors(call, message):
    with pytest.raises(CrossbarError) as error:
        call()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("law", ["lognormal", "weibull"])
def test_as_many_cells_fail_as_the_law_of_lifetimes_expects(law):
    cells = Cells(preset(stuck_fraction=0.1), (128, 128), serial=5, seed=5, wear=WearConfig(law=law, median_cycles=1e4))
    everything = np.indices(cells.shape).reshape(2, -1)
    for cycles in (3_000, 10_000, 20_000):
        cells.add_cycles(cycles - int(cells.set_pulses.max()) - 1)
        cells.program(*everything, np.full(cells.g_uS.size, 20.0), 0.0)
        share, expected = np.mean(cells.stuck != 0), float(cells.expected_failed(cycles))
        assert 0.1 < expected < 1.0
        assert abs(share - expected) < 5.0 * np.sqrt(expected * (1.0 - expected) / cells.g_uS.size)
