"""Wire resistance against closed forms, conservation laws, a dense twin, sparse LU and badcrossbar."""

import json
import logging
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from memristor import parasitics
from memristor.errors import CrossbarError
from memristor.parasitics import WireConfig, effective_matrix, refresh, solve, solve_dense, with_access

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "badcrossbar.json").read_text())
NO_WIRES = WireConfig(row_ohm=0.0, column_ohm=0.0)


def by_matrix(g, v, wires):
    return np.asarray(v) @ effective_matrix(g, wires)


def by_dissection(g, v, wires):
    """The way of large arrays, whatever the size."""
    with mock.patch.object(parasitics, "_DISSECTED_FROM", 0):
        return by_matrix(g, v, wires)


def by_solve(g, v, wires):
    return solve(g, v, wires).currents_uA


def by_twin(g, v, wires):
    return solve_dense(g, v, wires).currents_uA


each_way = pytest.mark.parametrize("currents_of", [by_solve, by_matrix, by_dissection, by_twin])


def random_array(seed, m, n):
    """Conductances with one in five at zero, and voltages of both signs."""
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 150, (m, n)) * (rng.random((m, n)) > 0.2), rng.uniform(-0.2, 0.2, m)


def assert_close(actual, expected, relative):
    """Relative to the largest entry: a current may cancel to almost nothing."""
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


resistance = st.one_of(st.just(0.0), st.floats(1e-3, 100.0))
any_wires = st.builds(
    WireConfig,
    row_ohm=resistance,
    column_ohm=resistance,
    driver_ohm=resistance,
    sense_ohm=resistance,
    drive=st.sampled_from(["one_sided", "two_sided"]),
    topology=st.sampled_from(["passive", "source_line_parallel"]),
    access_ohm=st.one_of(st.just(0.0), st.floats(100.0, 10_000.0)),
)
sizes = st.integers(1, 12)
seeds = st.integers(0, 2**32 - 1)


# Without wires


@each_way
def test_without_resistance_currents_are_voltage_times_conductance(currents_of):
    g, v = random_array(1, 9, 7)
    assert_close(currents_of(g, v, NO_WIRES), v @ g, 1e-12)
    assert_close(currents_of(g, v, replace(NO_WIRES, drive="two_sided")), v @ g, 1e-12)
    assert_close(currents_of(g, v, replace(NO_WIRES, topology="source_line_parallel")), v @ g, 1e-12)


@each_way
def test_access_transistors_are_in_series_with_the_cells(currents_of):
    g, v = random_array(2, 6, 6)
    in_series = np.array([[1e6 / (1e6 / x + 5e3) if x else 0.0 for x in row] for row in g])
    assert_close(currents_of(g, v, replace(NO_WIRES, access_ohm=5e3)), v @ in_series, 1e-12)
    assert_close(with_access(g, 5e3), in_series, 1e-15)


# Closed forms


@each_way
@pytest.mark.parametrize("length", [1, 2, 17])
def test_one_row_is_a_ladder(currents_of, length):
    """W_j = V cosh((n - j + 1/2) a) / cosh((n + 1/2) a), j = 1..n, with r G = 2 cosh(a) - 2: open at its end."""
    r, g, v = 40.0, 80.0, 0.2
    a = np.arccosh(1 + r * 1e-6 * g / 2)
    j = np.arange(1, length + 1)
    expected = g * v * np.cosh((length - j + 0.5) * a) / np.cosh((length + 0.5) * a)
    wires = WireConfig(row_ohm=r, column_ohm=0.0)
    assert_close(currents_of(np.full((1, length), g), [v], wires), expected, 1e-12)


@each_way
@pytest.mark.parametrize("length", [1, 2, 17])
def test_one_row_driven_at_both_ends_is_symmetric(currents_of, length):
    """W_j = V cosh((j - (n + 1) / 2) a) / cosh((n + 1) / 2 a)."""
    r, g, v = 40.0, 80.0, 0.2
    a = np.arccosh(1 + r * 1e-6 * g / 2)
    middle = (length + 1) / 2
    expected = g * v * np.cosh((np.arange(1, length + 1) - middle) * a) / np.cosh(middle * a)
    wires = WireConfig(row_ohm=r, column_ohm=0.0, drive="two_sided")
    assert_close(currents_of(np.full((1, length), g), [v], wires), expected, 1e-12)


@each_way
@pytest.mark.parametrize("length", [1, 2, 17])
def test_one_column_is_a_ladder(currents_of, length):
    """Across cell i = 1..m from the top lies V cosh((i - 1/2) a) / cosh((m + 1/2) a)."""
    r, g, v = 40.0, 80.0, 0.2
    a = np.arccosh(1 + r * 1e-6 * g / 2)
    i = np.arange(1, length + 1)
    expected = g * v * np.sum(np.cosh((i - 0.5) * a)) / np.cosh((length + 0.5) * a)
    wires = WireConfig(row_ohm=0.0, column_ohm=r)
    assert_close(currents_of(np.full((length, 1), g), np.full(length, v), wires), np.array([expected]), 1e-12)


@each_way
def test_one_cell_is_a_series_circuit(currents_of):
    wires = WireConfig(row_ohm=3.0, column_ohm=5.0, driver_ohm=200.0, sense_ohm=70.0, access_ohm=2000.0)
    expected = 1e6 * 0.2 / (1e6 / 50.0 + 3.0 + 5.0 + 200.0 + 70.0 + 2000.0)
    assert_close(currents_of([[50.0]], [0.2], wires), np.array([expected]), 1e-13)
    at_both_ends = replace(wires, drive="two_sided")  # two times driver and row segment, parallel
    expected = 1e6 * 0.2 / (1e6 / 50.0 + 5.0 + (200.0 + 3.0) / 2 + 70.0 + 2000.0)
    assert_close(currents_of([[50.0]], [0.2], at_both_ends), np.array([expected]), 1e-13)


@each_way
def test_rows_without_wire_resistance_share_their_drivers(currents_of):
    """row_ohm = 0 and column_ohm = 0: all cells of a row hang on one node behind the driver."""
    g, v = random_array(3, 5, 8)
    row_V = v / (1 + 300e-6 * g.sum(axis=1))
    assert_close(currents_of(g, v, replace(NO_WIRES, driver_ohm=300.0)), row_V @ g, 1e-12)


@each_way
def test_parallel_source_lines_give_every_row_equally_much_wire(currents_of):
    g, v = random_array(4, 7, 3)
    wires = WireConfig(row_ohm=20.0, column_ohm=20.0, driver_ohm=50.0, sense_ohm=30.0, topology="source_line_parallel")
    path = 50.0 + 30.0 + 8 * 20.0
    assert_close(currents_of(g, v, wires), v @ (g / (1 + path * 1e-6 * g)), 1e-12)


# Laws


@settings(deadline=None, max_examples=30)
@given(seeds, sizes, sizes, any_wires)
def test_all_ways_agree(seed, m, n, wires):
    g, v = random_array(seed, m, n)
    twin, solution = solve_dense(g, v, wires), solve(g, v, wires)
    assert_close(solution.currents_uA, twin.currents_uA, 1e-9)
    assert_close(by_matrix(g, v, wires), twin.currents_uA, 1e-9)
    assert_close(by_dissection(g, v, wires), twin.currents_uA, 1e-9)
    np.testing.assert_allclose(solution.row_V, twin.row_V, rtol=0, atol=1e-11)
    np.testing.assert_allclose(solution.column_V, twin.column_V, rtol=0, atol=1e-11)
    assert solution.residual_uA <= 1e-10 and twin.residual_uA <= 1e-10


def test_kirchhoff_holds_even_where_voltages_hardly_move():
    """Behind 1 ohm of wire, an error of 1e-13 V is already one of 1e-7 uA."""
    solution = solve([[100.0]], [-0.2], WireConfig(row_ohm=0.0, column_ohm=0.0, driver_ohm=1.0, sense_ohm=1.0))
    assert 1e6 * solution.column_V[0, 0] == pytest.approx(solution.currents_uA[0], rel=1e-10)
    assert solution.residual_uA <= 1e-11 * 20.0


def lu_currents(g, v, wires):
    """Sparse LU of the conductance form (needs r > 0): what flows through the last segment of each column."""
    m, n = g.shape
    cells = with_access(g, wires.access_ohm) * 1e-6
    row, column = 1 / wires.row_ohm, 1 / wires.column_ohm
    drive, sense = 1 / (wires.row_ohm + wires.driver_ohm), 1 / (wires.column_ohm + wires.sense_ohm)
    w = np.arange(m * n).reshape(m, n)
    b = w + m * n
    pairs = [(w, b, cells)]
    pairs += [(w[:, :-1], w[:, 1:], np.full((m, n - 1), row)), (b[:-1], b[1:], np.full((m - 1, n), column))]
    entries = []
    for one, other, conductance in pairs:
        i, j, c = one.ravel(), other.ravel(), conductance.ravel()
        entries += [(i, i, c), (j, j, c), (i, j, -c), (j, i, -c)]
    ends = [w[:, 0]] + ([w[:, -1]] if wires.drive == "two_sided" else [])
    right = np.zeros(2 * m * n)
    for end in ends:
        entries.append((end, end, np.full(m, drive)))
        right[end] += drive * v
    entries.append((b[-1], b[-1], np.full(n, sense)))
    i, j, c = (np.concatenate(part) for part in zip(*entries, strict=True))
    voltages = splu(coo_array((c, (i, j))).tocsc()).solve(right)
    return 1e6 * sense * voltages[b[-1]]


@settings(deadline=None, max_examples=30)
@given(seeds, sizes, sizes, any_wires)
def test_agrees_with_sparse_lu(seed, m, n, wires):
    wires = replace(wires, topology="passive", row_ohm=max(wires.row_ohm, 0.1), column_ohm=max(wires.column_ohm, 0.1))
    g, v = random_array(seed, m, n)
    expected = lu_currents(g, v, wires)
    assert_close(by_solve(g, v, wires), expected, 1e-9)
    assert_close(by_matrix(g, v, wires), expected, 1e-9)
    assert_close(by_dissection(g, v, wires), expected, 1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize("ohm", [0.5, 10.0, 100.0])
def test_agrees_with_sparse_lu_on_large_arrays(ohm):
    g, v = random_array(5, 128, 100)
    wires = WireConfig(row_ohm=ohm, column_ohm=ohm, driver_ohm=50.0, sense_ohm=20.0, drive="two_sided")
    expected = lu_currents(g, v, wires)
    assert_close(by_solve(g, v, wires), expected, 1e-9)
    assert_close(by_matrix(g, v, wires), expected, 1e-9)
    assert_close(by_dissection(g, v, wires), expected, 1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize("drive", ["one_sided", "two_sided"])
@pytest.mark.parametrize(("m", "n"), [(130, 121), (300, 90), (40, 200)])
def test_large_arrays_are_dissected_to_the_same_matrix(drive, m, n):
    g, _ = random_array(18, m, n)
    wires = WireConfig(row_ohm=2.0, column_ohm=0.7, driver_ohm=50.0, sense_ohm=20.0, drive=drive)
    dissected = effective_matrix(g, wires)
    with mock.patch.object(parasitics, "_DISSECTED_FROM", np.inf):
        assert_close(dissected, effective_matrix(g, wires), 1e-12)


@pytest.mark.parametrize("drive", ["one_sided", "two_sided"])
def test_what_the_drivers_give_arrives_at_the_outputs(drive):
    g, v = random_array(6, 11, 8)
    wires = WireConfig(row_ohm=5.0, column_ohm=2.0, driver_ohm=100.0, sense_ohm=40.0, drive=drive)
    solution = solve(g, v, wires)
    given_uA = 1e6 * (v - solution.row_V[:, 0]) / 105.0
    if drive == "two_sided":
        given_uA = given_uA + 1e6 * (v - solution.row_V[:, -1]) / 105.0
    taken_uA = 1e6 * solution.column_V[-1] / 42.0
    assert_close(taken_uA, solution.currents_uA, 1e-9)
    assert given_uA.sum() == pytest.approx(taken_uA.sum(), rel=1e-9)
    in_cells = g * (solution.row_V - solution.column_V)
    assert_close(in_cells.sum(axis=1), given_uA, 1e-9)


def test_an_array_driven_from_its_columns_is_the_transposed_one():
    """Reciprocity: inputs and outputs change places if the array is mirrored at its other diagonal."""
    g, _ = random_array(7, 9, 5)
    wires = WireConfig(row_ohm=3.0, column_ohm=8.0, driver_ohm=100.0, sense_ohm=20.0)
    turned = WireConfig(row_ohm=8.0, column_ohm=3.0, driver_ohm=20.0, sense_ohm=100.0)
    for way in (0, np.inf):
        with mock.patch.object(parasitics, "_DISSECTED_FROM", way):
            assert_close(effective_matrix(g[::-1, ::-1].T, turned), effective_matrix(g, wires)[::-1, ::-1].T, 1e-13)


@pytest.mark.parametrize("currents_of", [by_solve, by_matrix, by_dissection])
def test_mirrored_columns_give_mirrored_currents_if_rows_are_driven_at_both_ends(currents_of):
    g, v = random_array(8, 6, 9)
    wires = WireConfig(row_ohm=30.0, column_ohm=10.0, drive="two_sided")
    assert_close(currents_of(g[:, ::-1], v, wires)[::-1], currents_of(g, v, wires), 1e-11)
    one_sided = replace(wires, drive="one_sided")
    assert np.abs(currents_of(g[:, ::-1], v, one_sided)[::-1] - currents_of(g, v, one_sided)).max() > 1e-3


@settings(deadline=None, max_examples=40)
@given(seeds, sizes, sizes, any_wires, st.data())
def test_more_resistance_never_gives_more_current(seed, m, n, wires, data):
    """Rayleigh: with equal input voltages the total current is V times one conductance of the network."""
    g, _ = random_array(seed, m, n)
    name = data.draw(st.sampled_from(["row_ohm", "column_ohm", "driver_ohm", "sense_ohm", "access_ohm"]))
    v = np.full(m, 0.2)
    more = replace(wires, **{name: getattr(wires, name) + 10.0})
    now, then = by_solve(g, v, wires).sum(), by_solve(g, v, more).sum()
    assert then <= now * (1 + 1e-10)
    assert now <= (v @ g).sum() * (1 + 1e-10)
    if g.any():
        assert then < now


def test_loss_is_clearly_monotone():
    g, _ = random_array(9, 12, 12)
    v = np.full(12, 0.2)
    totals = [by_solve(g, v, WireConfig(row_ohm=r, column_ohm=r)).sum() for r in (0.0, 1.0, 10.0, 100.0)]
    assert all(now > 1.005 * then for now, then in pairwise(totals))


def test_a_tiny_resistance_is_as_good_as_none():
    g, v = random_array(17, 6, 5)
    for ohm in (1e-300, 1e-15, 1e-10):
        wires = WireConfig(row_ohm=ohm, column_ohm=ohm, drive="two_sided")
        assert_close(by_solve(g, v, wires), v @ g, 1e-12)
        assert_close(by_matrix(g, v, wires), v @ g, 1e-12)
        assert_close(by_dissection(g, v, wires), v @ g, 1e-12)


def test_a_batch_is_solved_vector_by_vector():
    g, v = random_array(10, 6, 4)
    batch = np.stack([v, 2 * v, np.zeros(6), v[::-1]])
    solution = solve(g, batch, WireConfig(row_ohm=10.0))
    assert solution.currents_uA.shape == (4, 4) and solution.row_V.shape == solution.column_V.shape == (4, 6, 4)
    for k in range(4):
        assert np.array_equal(solution.currents_uA[k], solve(g, batch[k], WireConfig(row_ohm=10.0)).currents_uA)
    assert_close(solution.currents_uA[1], 2 * solution.currents_uA[0], 1e-11)
    assert not solution.currents_uA[2].any()


@pytest.mark.parametrize("scale", [1e-12, 100.0])
def test_accuracy_does_not_depend_on_the_input_voltage(scale):
    g, v = random_array(11, 12, 12)
    v = scale * v / np.abs(v).max()
    wires = WireConfig(row_ohm=50.0, column_ohm=50.0)
    assert_close(by_solve(g, v, wires), by_twin(g, v, wires), 1e-9)


def test_sweeps_stay_few_where_plain_relaxation_needs_many():
    """r = 100 ohm: line relaxation without conjugate gradients takes 54 sweeps to the same tolerance."""
    g, v = random_array(12, 40, 40)
    solution = solve(g, v, WireConfig(row_ohm=100.0, column_ohm=100.0))
    assert solution.sweeps < 20
    assert_close(solution.currents_uA, lu_currents(g, v, WireConfig(row_ohm=100.0, column_ohm=100.0)), 1e-9)


# Other programs


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: f"{case['rows']}x{case['columns']}")
def test_agrees_with_stored_results_of_badcrossbar(case):
    rng = np.random.default_rng(case["seed"])
    g = rng.uniform(1.0, 150.0, (case["rows"], case["columns"]))
    v = rng.uniform(-0.2, 0.2, case["rows"])
    assert g.sum() == pytest.approx(case["sum_of_conductances_uS"], rel=1e-12), "numpy draws other numbers than it did"
    wires = WireConfig(row_ohm=case["row_ohm"], column_ohm=case["column_ohm"])
    solution = solve(g, v, wires)
    assert_close(solution.currents_uA, np.array(case["currents_uA"]), 1e-9)
    cells = tuple(np.transpose(case["cells"]))
    np.testing.assert_allclose(solution.row_V[cells], case["row_V"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(solution.column_V[cells], case["column_V"], rtol=0, atol=1e-10)
    if g.size < 1000:
        assert_close(by_matrix(g, v, wires), np.array(case["currents_uA"]), 1e-9)
        assert_close(by_dissection(g, v, wires), np.array(case["currents_uA"]), 1e-9)


@pytest.mark.compiled
def test_effective_matrix_agrees_with_stored_results_of_badcrossbar():
    for case in ORACLE["cases"]:
        rng = np.random.default_rng(case["seed"])
        g = rng.uniform(1.0, 150.0, (case["rows"], case["columns"]))
        v = rng.uniform(-0.2, 0.2, case["rows"])
        wires = WireConfig(row_ohm=case["row_ohm"], column_ohm=case["column_ohm"])
        assert_close(by_matrix(g, v, wires), np.array(case["currents_uA"]), 1e-9)
        assert_close(by_dissection(g, v, wires), np.array(case["currents_uA"]), 1e-9)


def test_agrees_with_badcrossbar_itself():
    with warnings.catch_warnings():  # it warns that its drawing part lacks pycairo
        warnings.simplefilter("ignore")
        badcrossbar = pytest.importorskip("badcrossbar")
        logging.getLogger("badcrossbar").setLevel(logging.WARNING)
        for seed, (m, n) in enumerate([(3, 3), (1, 12), (12, 1), (40, 25), (128, 128)]):
            rng = np.random.default_rng(100 + seed)
            g, v = rng.uniform(1.0, 150.0, (m, n)), rng.uniform(0.0, 0.2, m)
            row, column = rng.uniform(0.1, 10.0, 2)
            theirs = badcrossbar.compute(v[:, None], 1e6 / g, r_i_word_line=row, r_i_bit_line=column)
            wires = WireConfig(row_ohm=row, column_ohm=column)
            assert_close(by_solve(g, v, wires), 1e6 * theirs.currents.output[0], 1e-9)


@pytest.mark.parametrize(
    ("size", "ratios"),
    [
        (64, {0.5: 0.90, 1.0: 0.83, 2.0: 0.71, 5.0: 0.51, 10.0: 0.34}),
        pytest.param(128, {0.5: 0.72, 1.0: 0.56, 2.0: 0.40, 5.0: 0.22, 10.0: 0.13}, marks=pytest.mark.compiled),
    ],
)
def test_size_of_the_effect(size, ratios):
    """Mean of I / I_ideal, conductances uniform in 1..150 uS: computed before this package, by another solver."""
    g = np.random.default_rng(13).uniform(1.0, 150.0, (size, size))
    v = np.full(size, 0.2)
    for ohm, expected in ratios.items():
        ratio = by_solve(g, v, WireConfig(row_ohm=ohm, column_ohm=ohm)) / (v @ g)
        assert ratio.mean() == pytest.approx(expected, abs=0.02)


# Updates


@pytest.mark.parametrize(
    "wires",
    [
        WireConfig(row_ohm=30.0, column_ohm=20.0, driver_ohm=9.0),
        WireConfig(row_ohm=30.0, column_ohm=0.0, driver_ohm=9.0, drive="two_sided"),
        WireConfig(row_ohm=30.0, column_ohm=0.0, sense_ohm=80.0),
        WireConfig(row_ohm=30.0, column_ohm=20.0, topology="source_line_parallel", access_ohm=3e3),
    ],
    ids=["passive", "rows_apart", "sense_only", "parallel"],
)
def test_refresh_is_exact(wires):
    g, _ = random_array(14, 8, 6)
    before = effective_matrix(g, wires)
    kept = before.copy()
    after = g.copy()
    after[[2, 5]] += 17.0
    assert_close(refresh(before, after, wires, [5, 2, 5]), effective_matrix(after, wires), 1e-15)
    assert np.array_equal(before, kept)
    assert np.array_equal(refresh(before, g, wires, []), before)


def test_refresh_leaves_the_other_rows_alone_where_rows_do_not_see_each_other():
    g, _ = random_array(15, 4, 4)
    for wires in (WireConfig(row_ohm=9.0, column_ohm=0.0), WireConfig(topology="source_line_parallel")):
        marked = effective_matrix(g, wires)
        marked[3] = 7.0
        assert (refresh(marked, g, wires, [0])[3] == 7.0).all()
    coupled = WireConfig(row_ohm=9.0, column_ohm=9.0)
    assert (refresh(marked, g, coupled, [0])[3] != 7.0).all()


# Misuse


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_ohm": -1.0}, "wires.row_ohm = -1 ohm is outside 0..1e+06 ohm; give the resistance in ohm, 0 for none"),
        ({"column_ohm": float("nan")}, "wires.column_ohm = nan ohm is outside 0..1e+06 ohm"),
        ({"driver_ohm": float("inf")}, "wires.driver_ohm = inf ohm is outside 0..1e+06 ohm"),
        ({"sense_ohm": "2"}, "wires.sense_ohm = '2' is not a number"),
        ({"access_ohm": None}, "wires.access_ohm = None is not a number"),
        ({"drive": "both"}, "wires.drive = 'both' is unknown; choose one_sided or two_sided"),
        ({"topology": "1T1R"}, "wires.topology = '1T1R' is unknown; choose passive or source_line_parallel"),
    ],
)
def test_impossible_wires_are_refused(change, message):
    with pytest.raises(CrossbarError) as error:
        WireConfig(**change)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("g", "v", "message"),
    [
        ([[1.0, -2.0]], [0.2], "g_uS[0, 1] = -2 uS is outside 0..1e+06 uS; give conductances [row, column] in uS"),
        ([[1.0], [np.nan]], [0.2, 0.2], "g_uS[1, 0] = nan is not a number"),
        ([1.0, 2.0], [0.2], "g_uS has shape (2,); expected (any, any)"),
        (np.zeros((0, 3)), [], "g_uS has shape (0, 3); expected at least one row and one column"),
        ([[1.0, 2.0]], [0.2, 0.2], "v_V has shape (2,); expected (1,) or (any, 1); give one voltage in V per row"),
        ([[1.0, 2.0]], [[0.2, 0.2]], "v_V has shape (1, 2); expected (1,) or (any, 1)"),
        ([[1.0]], [np.inf], "v_V[0] = inf V is outside -100..100 V"),
        ([[1.0]], [[0.1], [np.nan]], "v_V[1, 0] = nan is not a number"),
    ],
)
def test_impossible_inputs_are_refused(g, v, message):
    with pytest.raises(CrossbarError) as error:
        solve(g, v, WireConfig())
    assert message in str(error.value)


def test_too_few_sweeps_are_an_error_and_never_a_wrong_answer():
    g, v = random_array(16, 12, 12)
    wires = WireConfig(row_ohm=100.0, column_ohm=100.0)
    with pytest.raises(CrossbarError, match=r"12 x 12 array still change by .* after 3 sweeps with tolerance"):
        solve(g, v, wires, max_sweeps=3)
    with pytest.raises(CrossbarError, match=r"max_sweeps = 0 is outside 1"):
        solve(g, v, wires, max_sweeps=0)
    with pytest.raises(CrossbarError, match=r"tolerance = 0 is outside 1e-14..1; give a fraction"):
        solve(g, v, wires, tolerance=0.0)


def test_wrong_updates_are_refused():
    g = np.ones((3, 2))
    with pytest.raises(CrossbarError, match=r"g_eff_uS has shape \(2, 3\); expected \(3, 2\)"):
        refresh(g.T, g, WireConfig(), [0])
    with pytest.raises(CrossbarError, match=r"rows\[0\] = 3 is outside 0..2; name rows of the array"):
        refresh(g, g, WireConfig(), [3])
    with pytest.raises(CrossbarError, match="rows is of type float64, not integers"):
        refresh(g, g, WireConfig(), [0.5])
