from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tasks import spiking_solver
from benchmarks.tasks.branch_and_bound import maximum_independent_set
from benchmarks.tasks.solvers import Limits
from benchmarks.tasks.spiking_network import (
    CONFIG,
    GENERATORS,
    NOISE_LABELS,
    NOISE_PERIOD_CYCLES,
    SamplingNetwork,
    Spikes,
    _drive_times,
    _network,
    _noise_labels,
)
from benchmarks.tasks.spiking_solver import (
    BLOCK,
    SpikingSolver,
    States,
    choose_block,
    read_states,
    remove_conflicts,
)
from brainscales_emu import NoiseConfig, PlacementError
from brainscales_emu.chip import Chip
from brainscales_emu.routing.delivery import check
from brainscales_emu.routing.placement import place
from neurohil.datasets import max_independent_set as mis
from neurohil.datasets.max_independent_set import Workload
from neurohil.errors import UserError


def graph_of(n, edges):
    adjacency = np.zeros((n, n), dtype=bool)
    ends = np.array(edges)
    adjacency[ends[:, 0], ends[:, 1]] = adjacency[ends[:, 1], ends[:, 0]] = True
    return adjacency


PATH = graph_of(9, [(k, k + 1) for k in range(8)])
CYCLE = graph_of(9, [(k, (k + 1) % 9) for k in range(9)])
PETERSEN = graph_of(
    10,
    [(k, (k + 1) % 5) for k in range(5)]
    + [(k, k + 5) for k in range(5)]
    + [(5 + k, 5 + (k + 2) % 5) for k in range(5)],
)
STAR = graph_of(7, [(0, k) for k in range(1, 7)])
COMPLETE = ~np.eye(6, dtype=bool)
EMPTY = np.zeros((5, 5), dtype=bool)
KNOWN = {  # independence numbers as in any textbook
    "path": (PATH, 5),
    "cycle": (CYCLE, 4),
    "petersen": (PETERSEN, 4),
    "star": (STAR, 6),
    "complete": (COMPLETE, 1),
    "empty": (EMPTY, 5),
}


def is_independent(chosen, adjacency):
    return not adjacency[np.ix_(np.flatnonzero(chosen), np.flatnonzero(chosen))].any()


def new_chip(config=CONFIG, serial=1, seed=0):
    return Chip(config, serial, seed)


# The network on the chip


def test_placed_network_delivers_what_was_wanted():
    """More than one half of the chip; by brute force, with the placer's book-keeping left out."""
    adjacency = mis.graph(Workload(270, 0.02, 3))
    populations, projections = _network(adjacency, 270)
    placement = place(populations, projections)
    check(placement, projections)  # raises if anything is missing or too much
    with pytest.raises(PlacementError, match=r"^rule \d: "):
        check(placement, projections[:-1])


def test_neurons_share_at_most_two_of_four_noise_sources():
    labels = np.array([_noise_labels(generator, 256) for generator in range(GENERATORS)])
    shared = (labels[:, :, np.newaxis] == labels[:, np.newaxis]).sum(axis=0)
    np.fill_diagonal(shared, 0)
    assert shared.max() == 2 and shared.mean() < GENERATORS / NOISE_LABELS
    assert np.all(np.array([np.bincount(row, minlength=NOISE_LABELS) for row in labels]) == 16)


def test_drive_rises_linearly():
    """From 0.5 to 2 events per us within 100 us: t/2 + 1.5 t^2 / 200 events until t."""
    times = _drive_times(100.0, (0.5, 2.0))
    assert times.size == 125 and np.all(np.diff(times) > 0)
    np.testing.assert_allclose(0.5 * times + 0.0075 * times**2, np.arange(125) + 0.5)


@pytest.mark.compiled
def test_unconnected_neuron_fires_and_a_neighbour_keeps_it_quiet():
    """Two free neurons fire as often as the refractory time allows; two neighbours share that time."""
    duration_us = 2000.0
    spikes = {}
    for name, adjacency in (("free", np.zeros((2, 2), dtype=bool)), ("pair", ~np.eye(2, dtype=bool))):
        counts = np.zeros(2)
        for run in range(3):
            network = SamplingNetwork(new_chip(), adjacency)
            counts += np.bincount(network.sample(duration_us, np.arange(8) + 8 * run + 1).vertices, minlength=2)
        spikes[name] = counts / (3 * duration_us / CONFIG.refractory_us)
    assert np.all(spikes["free"] > 0.5) and np.all(spikes["free"] <= 1.0)
    assert spikes["pair"].sum() < 0.75 * spikes["free"].sum()
    assert np.all(spikes["pair"] > 0.1)


def test_noise_is_independent_from_run_to_run_and_the_same_for_the_same_seeds():
    runs = []
    for seeds in (np.arange(1, 9), np.arange(1, 9), np.arange(2, 10)):
        network = SamplingNetwork(new_chip(), CYCLE)
        runs.append(network.sample(300.0, seeds).times_us)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert runs[0].size != runs[2].size or np.any(runs[0] != runs[2])


@pytest.mark.compiled
def test_another_graph_on_placed_synapses():
    """Vertices that the graph doesn't have are silent, and its edges are the only ones."""
    network = SamplingNetwork(new_chip(), ~np.eye(12, dtype=bool))
    network.load(EMPTY)
    spikes = network.sample(500.0, np.arange(1, 9))
    assert set(spikes.vertices) == set(range(5))
    per_vertex = np.bincount(spikes.vertices, minlength=5)
    alone = SamplingNetwork(new_chip(), EMPTY).sample(500.0, np.arange(1, 9))
    assert abs(per_vertex.sum() - alone.vertices.size) < 0.1 * alone.vertices.size


def test_synaptic_events_by_hand():
    """Drive and spikes are counted, noise by its mean: 4 sources at 1 / (31 x 16 x 8 ns) each."""
    network = SamplingNetwork(new_chip(), STAR)
    spikes = network.sample(1000.0, np.arange(1, 9))
    degree = np.array([6, 1, 1, 1, 1, 1, 1])
    noise = 7 * 4 * 1000.0 / (NOISE_PERIOD_CYCLES * NOISE_LABELS * 0.008)
    wanted = noise + 7 * _drive_times(1000.0).size + degree[spikes.vertices].sum()
    assert network.synaptic_events == pytest.approx(wanted, abs=1)


# The host


def test_states_by_hand():
    """Refractory time 10 us: vertex 0 fired at 4 and 14, vertex 1 at 10 (still on at 10), vertex 2 never."""
    spikes = Spikes(np.array([4.0, 10.0, 14.0, 39.0]), np.array([0, 1, 0, 1]))
    states = read_states(spikes, 3, 35.0, 10.0)
    np.testing.assert_array_equal(states.on, [[True, True, False], [True, False, False], [False, False, False]])
    np.testing.assert_array_equal(states.fired_us, [[4, 10, -np.inf], [14, 10, -np.inf], [14, 10, -np.inf]])


def test_first_of_two_neighbours_stays():
    """On the path 0-1-2-3: fired in the order 1, 2, 0, 3. 1 stays, so 2 and 0 don't, so 3 does."""
    path = graph_of(4, [(0, 1), (1, 2), (2, 3)])
    fired_us = np.array([[3.0, 1.0, 2.0, 4.0], [1.0, 2.0, 3.0, -np.inf]])
    sets = remove_conflicts(States(fired_us > 0, fired_us), path)
    np.testing.assert_array_equal(sets, [[False, True, False, True], [True, False, True, False]])


@pytest.mark.parametrize("seed", range(3))
def test_repaired_sets_are_independent_and_nothing_is_added(seed):
    adjacency, draws = mis.graph(Workload(43, 0.1, seed)), np.random.default_rng(seed)
    fired_us = draws.random((50, 43))
    on = draws.random((50, 43)) < 0.4
    sets = remove_conflicts(States(on, fired_us), adjacency)
    assert np.all(sets <= on) and all(is_independent(one, adjacency) for one in sets)
    for one, state in zip(sets, on, strict=True):  # what was left out has a neighbour that stayed
        assert np.all(adjacency[one].any(axis=0)[state & ~one])


@pytest.mark.parametrize(("n", "density"), [(60, 0.05), (60, 0.3), (200, 0.02)])
def test_blocks_fit_and_any_choice_inside_stays_independent(n, density):
    adjacency, draws = mis.graph(Workload(n, density, 5)), np.random.default_rng(0)
    chosen = np.zeros(n, dtype=bool)
    for _ in range(20):
        block = choose_block(chosen, adjacency, int(draws.integers(n)), 25, draws)
        assert 0 < block.sum() <= 25
        rest = chosen & ~block
        assert not adjacency[np.ix_(rest, block)].any()
        inside = np.flatnonzero(block)
        best = maximum_independent_set(adjacency[np.ix_(inside, inside)]).astype(bool)
        before = chosen.sum()
        chosen[inside] = best
        assert is_independent(chosen, adjacency) and chosen.sum() >= before


# The solver


@pytest.mark.parametrize("name", KNOWN)
def test_known_independence_numbers(name):
    adjacency, size = KNOWN[name]
    solution = SpikingSolver().solve(mis.qubo(adjacency), 0, Limits(rounds=4, target=-size))
    assert solution.cost == -size and solution.assignment.sum() == size
    assert is_independent(solution.assignment, adjacency)
    assert solution.work["ran"] == "whole"


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(2))
def test_optimum_of_a_random_graph(seed):
    adjacency = mis.graph(Workload(25, 0.1, seed))
    size = int(maximum_independent_set(adjacency).sum())
    assert SpikingSolver().solve(mis.qubo(adjacency), seed, Limits(rounds=5, target=-size)).cost == -size


@pytest.mark.compiled
@pytest.mark.parametrize("noise", [NoiseConfig(), replace(CONFIG.noise, threshold_std_lsb=3.0)])
@pytest.mark.parametrize("serial", [2, 3])
def test_other_chips(noise, serial):
    solution = SpikingSolver(replace(CONFIG, noise=noise), serial).solve(
        mis.qubo(PETERSEN), 0, Limits(rounds=5, target=-4)
    )
    assert solution.cost == -4


def test_same_seed_same_bits():
    runs = [SpikingSolver().solve(mis.qubo(CYCLE), seed, Limits(rounds=1)) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0].assignment, runs[1].assignment)
    np.testing.assert_array_equal(runs[0].times_s, runs[1].times_s)
    events = [(run.work["spikes"], run.work["synaptic_events"], run.work["vertices_removed"]) for run in runs]
    assert events[0] == events[1] != events[2]


def test_modelled_clock_by_hand():
    """Real time 250 + 500 us; the first writing is off the clock, the second one and all transfers are on it.

    A word of 64 bits takes 64 ns on the link, each transfer 10 us more; a transfer is rounded up to whole ns.
    """
    solution = SpikingSolver().solve(mis.qubo(PATH), 0, Limits(rounds=2))
    work = solution.work
    drive = [_drive_times(duration_us).size for duration_us in (250.0, 500.0)]
    assert work["chip_s"] == pytest.approx(750e-6) and work["input_events"] == sum(drive)
    settings = 24 * 512  # analogue parameters, written once
    network_words = (work["words_written"] - settings - sum(drive)) // 2
    wanted_us = 750.0 + 5 * 10.0 + 0.064 * (network_words + sum(drive) + work["spikes"])
    assert work["modelled_s"] == pytest.approx(1e-6 * wanted_us, abs=1e-8)
    assert solution.times_s[0] > 250e-6


@pytest.mark.compiled
def test_clock_stops_the_solver():
    solution = SpikingSolver().solve(mis.qubo(CYCLE), 0, Limits(seconds=2e-3))
    assert 2e-3 <= solution.work["modelled_s"] < 6e-3  # the last run takes at most as long as all before and itself
    assert solution.work["chip_runs"] == 3


@pytest.mark.compiled
def test_blocks_of_a_graph_that_does_not_fit(monkeypatch):
    """A ring of 520 vertices has more than the chip has circuits."""
    monkeypatch.setattr(spiking_solver, "BLOCK", 40)
    ring = graph_of(520, [(k, (k + 1) % 520) for k in range(520)])
    solution = SpikingSolver(longest_block_us=250.0).solve(mis.qubo(ring), 0, Limits(rounds=30))
    assert solution.work["ran"] == "blocks of 40" and solution.work["cost_without_repair"] is None
    assert is_independent(solution.assignment, ring)
    assert solution.cost == -solution.assignment.sum()
    assert solution.cost <= -0.75 * 260 and np.all(np.diff(solution.costs) < 0)


def test_a_complete_block_fits():
    """So any graph of that size does."""
    populations, projections = _network(~np.eye(BLOCK, dtype=bool), BLOCK)
    assert place(populations, projections).neurons["vertices from 0 on"].size == BLOCK


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: SpikingSolver().solve(np.array([[-1, -2], [-2, -1]]), 0, Limits(rounds=1)),
            "the matrix isn't that of a maximum independent set, with one negative number -r on the diagonal",
        ),
        (lambda: SpikingSolver().solve(np.diag([-1, -2]), 0, Limits(rounds=1)), "take annealing or tabu"),
        (lambda: SpikingSolver().solve(np.eye(2), 0, Limits(rounds=1)), r"the matrix is float64 \(2, 2\)"),
        (lambda: SpikingSolver().solve(mis.qubo(PATH), 0, Limits()), "without a limit a solver never ends"),
        (lambda: SpikingSolver(first_run_us=1.0), r"first_run_us = 1.0 and longest_run_us = 16000.0 must be times"),
        (lambda: SpikingSolver(longest_block_us=100.0), "longest_block_us = 100.0 must be times in rising order"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
