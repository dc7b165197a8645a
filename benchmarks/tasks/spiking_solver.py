"""Maximum independent sets by a stochastic spiking network on the emulated chip, with the host in the loop.

What the chip does: it samples sets, in runs that anneal (`spiking_network`), each twice as long as the one before, up
to a longest one.

What the host does, and no more:

* Read-out: it looks at the spikes once per refractory time. A vertex is in the state if its neuron fired within the
  last refractory time. Of two neighbours in a state the one that fired first stays: vertices are taken in the order of
  their spikes, and left out if a neighbour was taken. The host adds no vertex.
* Blocks, for a graph that doesn't fit onto the chip: large neighbourhood search (P. Shaw, CP 1998). The host keeps the
  best set so far. Around a vertex drawn at random, it takes vertices out of this set as long as those without a
  neighbour in the rest fit onto the chip; the chip samples them, and the largest sample goes into the set
  unless it is smaller than what was taken out.

The clock is modelled: real time on the chip, transfers over the host link, and the writing of the chip for each run.
The host's own computing isn't on it, and is measured apart.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks.solvers import Limits, Solution, Trace, check_matrix
from benchmarks.tasks.spiking_network import CONFIG, SamplingNetwork, Spikes
from brainscales_emu import ChipConfig
from brainscales_emu.chip import Chip
from brainscales_emu.constants import N_BACKGROUND
from brainscales_emu.errors import PlacementError
from neurohil.errors import UserError
from neurohil.seeds import stream

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

BLOCK = 240  # vertices: any graph of that size fits, since its neurons use up the synapse rows of one half of the chip


class States(NamedTuple):
    """What the host reads from the spikes of a run, one row per sample.

    Attributes
    ----------
    on : (n_samples, n) bool
        Vertices whose neurons fired within the last refractory time.
    fired_us : (n_samples, n) float64
        When each neuron fired last; -inf if never.
    """

    on: Bools
    fired_us: NDArray[np.float64]


def read_states(spikes: Spikes, n: int, duration_us: float, refractory_us: float) -> States:
    """States of n vertices, at all multiples of the refractory time within a run."""
    samples_us = refractory_us * np.arange(1, int(duration_us / refractory_us + 1e-9) + 1)
    fired_us = np.full((samples_us.size, n), -np.inf)
    sample = np.searchsorted(samples_us, spikes.times_us)
    read = sample < samples_us.size
    np.maximum.at(fired_us, (sample[read], spikes.vertices[read]), spikes.times_us[read])
    np.maximum.accumulate(fired_us, axis=0, out=fired_us)
    return States(fired_us > samples_us[:, np.newaxis] - refractory_us, fired_us)


def remove_conflicts(states: States, adjacency: Bools) -> Bools:
    """Independent sets (n_samples, n): of two neighbours in a state, the one that fired first stays."""
    n_samples, n = states.on.shape
    neighbours = np.packbits(adjacency, axis=1)
    order = np.argsort(np.where(states.on, states.fired_us, np.inf), axis=1, kind="stable")
    kept = np.zeros((n_samples, n), dtype=bool)
    excluded = np.zeros((n_samples, neighbours.shape[1]), dtype=np.uint8)
    samples = np.arange(n_samples)
    for rank in range(states.on.sum(axis=1).max(initial=0)):
        vertex = order[:, rank]
        out = excluded[samples, vertex // 8] >> (7 - vertex % 8) & 1
        taken = states.on[samples, vertex] & (out == 0)
        kept[samples[taken], vertex[taken]] = True
        excluded[taken] |= neighbours[vertex[taken]]
    return kept


def choose_block(chosen: Bools, adjacency: Bools, centre: int, capacity: int, draws: np.random.Generator) -> Bools:
    """Vertices (n,) that are decided anew, at most `capacity`: near the centre, and without neighbours in the rest.

    Parameters
    ----------
    chosen : ndarray, shape (n,), bool
        The independent set so far.
    adjacency : ndarray, shape (n, n), bool
    centre : int
        Vertex.
    capacity : int
    draws : numpy.random.Generator
        For the order of vertices that are equally far from the centre.
    """
    order = np.lexsort((draws.random(len(chosen)), _distances(adjacency, centre)))
    blocking = adjacency[chosen].sum(axis=0) + chosen  # vertices of the set that keep each one out, or in
    for vertex in order[chosen[order]]:
        less = blocking - adjacency[vertex]
        less[vertex] -= 1
        if np.count_nonzero(less == 0) > capacity:
            break
        blocking = less
    free = order[blocking[order] == 0][:capacity]
    block = np.zeros(len(chosen), dtype=bool)
    block[free] = True
    return block


def _distances(adjacency: Bools, centre: int) -> Ints:
    """Edges from the centre to each vertex; n where there is no path."""
    n = len(adjacency)
    distances = np.full(n, n)
    front = np.arange(n) == centre
    for distance in range(n):
        distances[front] = distance
        front = adjacency[front].any(axis=0) & (distances == n)
        if not front.any():
            break
    return distances


class SpikingSolver:
    """A network of stochastic spiking neurons on the emulated chip.

    Parameters
    ----------
    config : ChipConfig
        Targets, mismatch and trial noise of the chip; the defaults suit `spiking_network`.
    serial : int
        Serial number of the chip: its fixed pattern.
    first_run_us, longest_run_us : float
        Real time of the first run, and of the longest one.
    longest_block_us : float
        The same for a graph that doesn't fit.
    """

    name = "spiking network"
    clock: Literal["measured on the host", "modelled"] = "modelled"

    def __init__(
        self,
        config: ChipConfig = CONFIG,
        serial: int = 1,
        first_run_us: float = 250.0,
        longest_run_us: float = 16_000.0,
        longest_block_us: float = 2_000.0,
    ) -> None:
        for name, value in (("longest_run_us", longest_run_us), ("longest_block_us", longest_block_us)):
            if not config.refractory_us <= first_run_us <= value < float("inf"):
                raise UserError(
                    f"spiking solver: first_run_us = {first_run_us} and {name} = {value} must be times in rising order,"
                    f" not below the refractory time, {config.refractory_us} us"
                )
        self.config, self.serial = config, serial
        self.first_run_us, self.longest_run_us, self.longest_block_us = first_run_us, longest_run_us, longest_block_us

    def solve(self, matrix: NDArray[np.integer], seed: int, limits: Limits) -> Solution:
        """Minimise x^T Q x for a matrix of a maximum independent set.

        Raises
        ------
        UserError
            The matrix is another one, or there is no limit.
        """
        adjacency, reward = _graph(matrix)
        n = len(adjacency)
        chip = Chip(self.config, self.serial, seed)
        try:
            network, whole = SamplingNetwork(chip, adjacency), True
        except PlacementError:
            network, whole = SamplingNetwork(chip, ~np.eye(BLOCK, dtype=bool)), False
        trace = Trace(limits, lambda: 1e-6 * network.elapsed_us)
        draws = stream(seed, self.name)
        chosen = np.zeros(n, dtype=bool)
        block = np.arange(n)
        inside = adjacency
        duration_us = self.first_run_us
        without_conflicts = spikes_read = removed = 0
        host_s = 0.0
        while True:
            if not whole:
                begin_s = time.perf_counter()
                block = np.flatnonzero(choose_block(chosen, adjacency, int(draws.integers(n)), BLOCK, draws))
                inside = adjacency[np.ix_(block, block)]
                host_s += time.perf_counter() - begin_s
                network.load(inside)
            spikes = network.sample(duration_us, draws.integers(1, 2**32, N_BACKGROUND))
            begin_s = time.perf_counter()
            states = read_states(spikes, block.size, duration_us, self.config.refractory_us)
            sets = remove_conflicts(states, inside)
            sampled, sizes = states.on.sum(axis=1), sets.sum(axis=1)
            best = sets[sizes.argmax()]
            if best.sum() >= chosen[block].sum():
                chosen[block] = best
            host_s += time.perf_counter() - begin_s
            without_conflicts = max(without_conflicts, int(sampled[sampled == sizes].max(initial=0)))
            spikes_read += spikes.times_us.size
            removed += int(np.sum(sampled - sizes))
            if trace.ended(-reward * int(chosen.sum())):
                break
            duration_us = min(2 * duration_us, self.longest_run_us if whole else self.longest_block_us)
        work = {
            "ran": "whole" if whole else f"blocks of {BLOCK}",
            "chip_runs": chip.account.runs,
            "chip_s": 1e-6 * chip.account.real_time_us,
            "modelled_s": 1e-6 * network.elapsed_us,
            "spikes": spikes_read,
            "synaptic_events": network.synaptic_events,
            "input_events": chip.account.input_events,
            "words_written": chip.account.words_written,
            "cost_without_repair": -reward * without_conflicts if whole else None,
            "vertices_removed": removed,
            "host_s": host_s,
        }
        return trace.solution(chosen.astype(np.int8), work)


def _graph(matrix: NDArray[np.integer]) -> tuple[Bools, int]:
    """Adjacency and reward per vertex of a matrix whose minima are the maximum independent sets."""
    matrix = check_matrix(matrix).astype(np.int64)
    rewards = -np.diag(matrix)
    adjacency = matrix != 0
    np.fill_diagonal(adjacency, False)
    if rewards[0] <= 0 or np.any(rewards != rewards[0]) or np.any(matrix[adjacency] < rewards[0]):
        raise UserError(
            "spiking solver: the matrix isn't that of a maximum independent set, with one negative number -r on the"
            " diagonal and 0 or at least r elsewhere; take annealing or tabu"
        )
    return adjacency, int(rewards[0])
