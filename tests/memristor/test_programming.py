"""Programming algorithms: their statistics, their counts, and that they end."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memristor.device import Cells, FaultConfig, WearConfig
from memristor.errors import CrossbarError
from memristor.presets import preset
from memristor.programming import ProgramReport, incremental, one_shot, write_verify

ALPHA = 1e-6
HOUR_S, DAY_S, MONTH_S = 3600.0, 86_400.0, 30 * 86_400.0
SHAPE = (128, 128)
PUBLIC = ("target_uS", "written_uS", "xi", "written_at_s", "g_uS", "set_pulses", "reset_pulses", "writes", "stuck")


def everywhere(shape=SHAPE):
    rows, columns = np.indices(shape)
    return rows.ravel(), columns.ravel()


def snapshot(cells):
    return [getattr(cells, name).copy() for name in PUBLIC] + [cells.now_s, cells.calls]


def test_one_shot(engine):
    cells = Cells(preset(), (4, 5))
    report = one_shot(cells, [0, 3], [4, 2], [0.0, 20.0], 7.0)
    assert isinstance(report, ProgramReport)
    np.testing.assert_array_equal(report.pulses, [1, 2])  # the lowest level needs no SET
    assert not report.verified.any() and report.rounds == 0
    np.testing.assert_array_equal(report.error_uS, [cells.g_uS[0, 4], cells.g_uS[3, 2] - 20.0])
    assert cells.writes.sum() == 2 and cells.now_s == 7.0


def test_verified_cells_are_a_truncated_normal(engine):
    # The cycles of a cell are independent, so that accepted ones are N(target, sigma) cut at +-tolerance, and the
    # number of cycles is geometric with the probability of acceptance.
    cells = Cells(preset(), SHAPE, serial=2, seed=2)
    n, tolerance = 128 * 128, 1.0
    sigma = sum(c * 0.5**k for k, c in enumerate((0.348, 16.030, -43.853, 45.393, -16.815)))
    report = write_verify(cells, *everywhere(), np.full(n, 20.0), 0.0, tolerance, 1000)
    assert report.verified.all()
    limit = tolerance / sigma
    assert np.max(np.abs(report.error_uS)) <= tolerance
    cut = stats.truncnorm(-limit, limit, scale=sigma)
    assert stats.kstest(report.error_uS, cut.cdf).pvalue > ALPHA
    p = 2 * stats.norm.cdf(limit) - 1
    cycles = report.pulses / 2
    assert abs(cycles.mean() - 1 / p) < stats.norm.isf(ALPHA / 2) * math.sqrt((1 - p) / p**2 / n)
    wrong = 2 * stats.norm.cdf(limit / 1.05) - 1  # a sigma 5 % too wide would be seen
    assert abs(cycles.mean() - 1 / wrong) > stats.norm.isf(ALPHA / 2) * math.sqrt((1 - wrong) / wrong**2 / n)
    seen = np.bincount(cycles.astype(int), minlength=13)[1:]
    seen = np.r_[seen[:12], seen[12:].sum()]
    expected = n * np.r_[stats.geom.pmf(np.arange(1, 13), p), stats.geom.sf(12, p)]
    assert stats.chisquare(seen, expected).pvalue > ALPHA
    assert report.rounds == cycles.max()
    # What was accepted stays untouched while the others go on.
    np.testing.assert_array_equal(report.error_uS.reshape(SHAPE), cells.g_uS - 20.0)
    np.testing.assert_array_equal(cells.writes.ravel(), cycles)


def test_cells_that_never_verify_are_reported(engine):
    cells = Cells(
        preset(), (8, 8), serial=3, seed=3, faults=FaultConfig(0.3, stuck_on_share=0.5, dead_row_fraction=0.1)
    )
    report = write_verify(cells, *everywhere((8, 8)), np.full(64, 20.0), 0.0, 2.0, 41)
    broken = (cells.stuck != 0) | cells.dead_rows[:, None]
    assert 5 < broken.sum() < 60
    np.testing.assert_array_equal(report.verified.reshape(8, 8), ~broken)
    assert np.all(report.pulses.reshape(8, 8)[broken] == 40)  # no room for a whole cycle after 40
    assert report.rounds == 20
    np.testing.assert_array_equal(cells.set_pulses + cells.reset_pulses, report.pulses.reshape(8, 8))


def test_cells_may_fail_within_the_loop(engine):
    wear = WearConfig(median_cycles=1e3, shape=4.0)  # some die within the first cycles
    cells = Cells(preset(), (16, 16), serial=3, seed=3, wear=wear)
    report = write_verify(cells, *everywhere((16, 16)), np.full(256, 20.0), 0.0, 0.1, 200)
    failed = cells.failed.ravel()
    assert failed.sum() > 20 and report.verified[failed].sum() == 0
    assert report.verified[~failed].mean() > 0.9


def share_outside(cells, tolerance=1.0, target=20.0):
    return float(np.mean(np.abs(cells.g_uS - target) > tolerance))


def test_a_wait_before_the_verification_keeps_cells_in_place(engine):
    # Esmanhotto et al. (Adv. Intell. Syst. 2022): without a wait programmed levels are lost within hours, with one they
    # last for months.
    rows, columns = everywhere((64, 64))
    plain, waited = Cells(preset(), (64, 64), serial=4, seed=4), Cells(preset(), (64, 64), serial=4, seed=4)
    first = write_verify(plain, rows, columns, np.full(4096, 20.0), 0.0, 1.0, 400)
    second = write_verify(waited, rows, columns, np.full(4096, 20.0), 0.0, 1.0, 400, wait_s=HOUR_S)
    assert first.verified.all() and second.verified.all()
    assert waited.now_s == pytest.approx(second.rounds * HOUR_S)
    assert share_outside(plain) == 0.0
    lost = []
    for later in (60.0, HOUR_S, 6 * HOUR_S, DAY_S):
        plain.relax(later)
        lost.append(share_outside(plain))
    assert lost == sorted(lost) and lost[0] > 0.1 and lost[2] > 0.5
    end = waited.now_s
    for after in (DAY_S, 3 * MONTH_S):
        plain.relax(after)
        waited.relax(end + after)
        assert share_outside(waited) < 0.6 * share_outside(plain)


def test_ideal_cells_verify_at_once(engine):
    cells = Cells(preset("ideal"), (3, 3))
    report = write_verify(cells, [0, 1], [0, 1], [10.0, 0.0], 5.0, 0.0, 2, wait_s=10.0)
    assert report.rounds == 1 and report.verified.all() and np.all(report.error_uS == 0.0)
    np.testing.assert_array_equal(report.pulses, [2, 1])
    assert cells.now_s == 15.0


def test_incremental_counts_its_steps(engine):
    cells = Cells(preset("ideal", pulse_step=0.05), (1, 3))  # 2 uS
    report = incremental(cells, [0, 0, 0], [0, 1, 2], [20.0, 0.5, 33.0], 0.0, 1.0, 100)
    np.testing.assert_array_equal(report.pulses, [10, 0, 16])
    assert report.verified.all() and report.rounds == 17
    np.testing.assert_allclose(report.error_uS, [0.0, -0.5, -1.0], atol=1e-12)
    back = incremental(cells, [0], [0], [10.0], 0.0, 1.0, 100)
    np.testing.assert_array_equal(back.pulses, [5])
    np.testing.assert_array_equal(cells.reset_pulses, [[5, 0, 0]])
    np.testing.assert_array_equal(cells.set_pulses, [[10, 0, 16]])


def test_coarse_pulses_do_not_reach_fine_levels(engine):
    # Steps of nearly half the range (Gong et al.) against steps of 1 %.
    targets = np.random.default_rng(1).uniform(5.0, 35.0, 1024)
    rows, columns = everywhere((32, 32))
    shares = []
    for model in (preset("hfo2_gong2022"), preset("hfo2_gong2022", pulse_step=0.01)):
        cells = Cells(model, (32, 32), faults=FaultConfig(0.0))
        report = incremental(cells, rows, columns, targets, 0.0, 1.0, 500)
        shares.append(report.verified.mean())
        np.testing.assert_array_equal(np.abs(report.error_uS) <= 1.0, report.verified)
        assert report.pulses.max() <= 500
    assert shares[0] < 0.5 < 0.99 < shares[1]


def test_nothing_to_program(engine):
    cells = Cells(preset(), (3, 3))
    for report in (one_shot(cells, [], [], [], 1.0), write_verify(cells, [], [], [], 1.0, 1.0, 10)):
        assert report.pulses.size == report.verified.size == report.error_uS.size == report.rounds == 0
    assert incremental(cells, [], [], [], 1.0, 1.0, 10).rounds == 0
    assert cells.writes.sum() == 0


def test_same_seed_same_bits():
    def run(seed):
        cells = Cells(preset(), (10, 12), serial=seed, seed=seed)
        reports = [
            write_verify(cells, *everywhere((10, 12)), np.full(120, 15.0), 0.0, 1.0, 100, wait_s=60.0),
            incremental(cells, *everywhere((10, 12)), np.full(120, 25.0), 1e6, 1.0, 100),
        ]
        return reports, snapshot(cells)

    (one, end), (again, end_again), (other, _) = run(6), run(6), run(7)
    for left, right in zip(one, again, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)
    for left, right in zip(end, end_again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert np.all(one[0].error_uS != other[0].error_uS)


commands = st.lists(
    st.tuples(
        st.sampled_from(["one_shot", "write_verify", "wait_verify", "incremental", "relax"]),
        st.lists(st.integers(0, 19), unique=True, max_size=20),
        st.sampled_from([0.0, 3.0, 20.0, 40.0]),
        st.integers(2, 30),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(commands, st.integers(0, 2**63 - 1), st.sampled_from(["sudden", "gradual"]))
def test_counters_are_the_pulses_that_were_reported(stream, seed, failure):
    wear = WearConfig(median_cycles=1e3, shape=4.0, failure=failure)
    cells = Cells(preset(), (4, 5), serial=seed, seed=seed, faults=FaultConfig(0.2, dead_row_fraction=0.2), wear=wear)
    reported = np.zeros((4, 5), dtype=np.int64)
    now = 0.0
    for name, flat, target, max_pulses in stream:
        now += 100.0
        rows, columns = np.divmod(np.array(flat, dtype=np.int64), 5)
        targets = np.full(rows.size, target)
        before = cells.reset_pulses.copy(), cells.set_pulses.copy()
        if name == "one_shot":
            report = one_shot(cells, rows, columns, targets, now)
        elif name == "write_verify":
            report = write_verify(cells, rows, columns, targets, now, 1.0, max_pulses)
        elif name == "wait_verify":
            report = write_verify(cells, rows, columns, targets, now, 1.0, max_pulses, wait_s=50.0)
            assert rows.size == 0 or cells.now_s == pytest.approx(now + 50.0 * report.rounds)
        elif name == "incremental":
            report = incremental(cells, rows, columns, targets, now, 1.0, max_pulses)
        else:
            cells.relax(now)
            continue
        now = max(now, cells.now_s)
        reported[rows, columns] += report.pulses
        np.testing.assert_array_equal(cells.set_pulses + cells.reset_pulses, reported)
        assert np.all(cells.reset_pulses >= before[0]) and np.all(cells.set_pulses >= before[1])
        assert name == "one_shot" or np.all(report.pulses <= max_pulses)
        np.testing.assert_array_equal(report.error_uS, cells.g_uS[rows, columns] - targets)
        np.testing.assert_array_equal(cells.failed, cells.cycles > cells.lifetime_cycles)
        assert np.all(cells.g_uS >= 0.0) and np.all(np.isfinite(cells.g_uS))


@pytest.mark.compiled
def test_programming_a_whole_array_is_quick():
    # 16 384 cells, 9 levels, 1 uS: below 0.1 s; relaxation of all of them below 1 ms (10 times that on a busy machine).
    cells = Cells(preset(), SHAPE)
    targets = 5.0 * np.random.default_rng(1).integers(0, 9, 128 * 128)
    write_verify(cells, *everywhere(), targets, 0.0, 1.0, 200)
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        report = write_verify(cells, *everywhere(), targets, 0.0, 1.0, 200)
        durations.append(time.perf_counter() - start)
    assert report.verified.all()
    assert min(durations) < 0.1
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        cells.relax(DAY_S)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda cells: write_verify(cells, [0], [0], [1.0], 10.0, 1.0, 1),
            "max_pulses = 1 pulses is outside 2..1000000 pulses; give the patience per cell",
        ),
        (
            lambda cells: incremental(cells, [0], [0], [1.0], 10.0, 1.0, 2.5),
            "max_pulses = 2.5 is not an integer; allowed are 1..1000000 pulses; give the patience per cell",
        ),
        (
            lambda cells: write_verify(cells, [0], [0], [1.0], 10.0, -1.0, 10),
            "tolerance_uS = -1 uS is outside 0..40 uS; give the largest accepted distance from the target",
        ),
        (
            lambda cells: incremental(cells, [0], [0], [1.0], 10.0, math.nan, 10),
            "tolerance_uS = nan uS is outside 0..40 uS; give the largest accepted distance from the target",
        ),
        (
            lambda cells: write_verify(cells, [0], [0], [1.0], 10.0, 1.0, 10, wait_s=-1.0),
            "wait_s = -1 s is outside 0..909090908.1818181 s; give the time between a write and its verification",
        ),
        (
            lambda cells: write_verify(cells, [0], [0], [1.0], 10.0, 1.0, 10, wait_s=2e9),
            "wait_s = 2e+09 s is outside 0..909090908.1818181 s; give the time between a write and its verification",
        ),
        (lambda cells: one_shot(cells, [0], [0], [41.0], 10.0), "targets_uS[0] = 41 uS is outside 0..40 uS"),
        (lambda cells: write_verify(cells, [0], [0], [1.0], 4.0, 1.0, 10), "now_s = 4.0 s is before 5.0 s"),
        (lambda cells: incremental(cells, [0], [9], [1.0], 10.0, 1.0, 10), "columns[0] = 9 is outside 0..2"),
    ],
)
def test_misuse_leaves_the_array_as_it_was(call, message):
    cells = Cells(preset(), (3, 3))
    one_shot(cells, [0, 1], [0, 1], [10.0, 20.0], 5.0)
    before = snapshot(cells)
    with pytest.raises(CrossbarError) as error:
        call(cells)
    assert str(error.value).startswith(message)
    for left, right in zip(before, snapshot(cells), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("wait_s", [1e-3, 1.0, 60.0])
def test_every_wait_before_a_verification_passes(wait_s):
    """Devices that relax from 55 us on: what is verified is the conductance after the wait, however short it is."""
    cells = Cells(preset("cmo_hfox"), (20, 20))
    rows, columns = np.indices((20, 20)).reshape(2, -1)
    report = write_verify(cells, rows, columns, np.full(400, 50.0), 5.0, 0.5, 40, wait_s=wait_s)
    assert report.rounds > 1
    assert cells.now_s == pytest.approx(5.0 + report.rounds * wait_s)
    assert np.abs(cells.g_uS - cells.written_uS).min() > 0.0
