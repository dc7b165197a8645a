"""Solvers of QUBO problems: simulated annealing and tabu search on the host, behind a protocol open to others.

The spiking network on the emulated chip is in `spiking_solver`: its times are those of the chip, `clock = "modelled"`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.seeds import stream

Ints = NDArray[np.int64]

CALL_MOVES = 20_000  # tested moves between two looks at the clock: a tenth of a millisecond


class Limits(NamedTuple):
    """When a solver stops: at the first of these that is reached.

    seconds of its clock; rounds: looks at the clock, for runs that shall give the same bits anywhere; target: a cost.
    """

    seconds: float = math.inf
    rounds: float = math.inf
    target: float = -math.inf


class Solution(NamedTuple):
    """What a solver found: assignment (n,) int8 of zeros and ones, its cost, and how it got there.

    times_s (k,) float64, ascending, and costs (k,) int64, descending: when the best cost so far was first known. work:
    what a modelled machine and its host did for it, by name; empty for a solver that runs on the host alone.
    """

    assignment: NDArray[np.int8]
    cost: int
    times_s: NDArray[np.float64]
    costs: Ints
    work: Mapping[str, Any] = MappingProxyType({})

    def cost_after(self, seconds: float) -> int:
        """Best cost known by then; 0, that of the empty set, before the first."""
        known = int(np.searchsorted(self.times_s, seconds, side="right"))
        return int(self.costs[known - 1]) if known else 0

    def time_to(self, cost: float) -> float:
        """When a cost that low was first known; inf if never."""
        reached = np.flatnonzero(self.costs <= cost)
        return float(self.times_s[reached[0]]) if reached.size else math.inf


class Solver(Protocol):
    """Anything that minimises x^T Q x over zeros and ones."""

    name: str
    clock: Literal["measured on the host", "modelled"]

    def solve(self, matrix: NDArray[np.integer], seed: int, limits: Limits) -> Solution:
        """Minimise; the clock starts once the problem is loaded."""
        ...


class SimulatedAnnealing:
    """Metropolis sweeps, cooled geometrically again and again, each time for twice as many sweeps.

    S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, Science 220 (1983).

    Parameters
    ----------
    hottest, coldest : float
        Temperatures of a run, in units of the cost; hottest >= coldest > 0.
    first_sweeps, most_sweeps : int
        Sweeps of the first run, and of the longest one.
    """

    name = "simulated annealing"
    clock: Literal["measured on the host", "modelled"] = "measured on the host"

    def __init__(
        self, hottest: float = 0.6, coldest: float = 0.15, first_sweeps: int = 16, most_sweeps: int = 1 << 20
    ) -> None:
        if not (math.isfinite(hottest) and hottest >= coldest > 0):
            raise UserError(
                f"simulated annealing: hottest = {hottest} and coldest = {coldest} must be temperatures above 0, in"
                " falling order"
            )
        if not 1 <= first_sweeps <= most_sweeps:
            raise UserError(f"simulated annealing: first_sweeps = {first_sweeps} is outside 1..{most_sweeps}")
        self.hottest, self.coldest = hottest, coldest
        self.first_sweeps, self.most_sweeps = first_sweeps, most_sweeps

    def solve(self, matrix: NDArray[np.integer], seed: int, limits: Limits) -> Solution:
        from benchmarks.tasks import qubo_kernels

        problem = _Problem(matrix)
        draws = stream(seed, self.name)
        per_call = max(1, CALL_MOVES // problem.n)
        trace = Trace(limits, _stopwatch())
        for sweeps in self._runs():
            ratio = (self.coldest / self.hottest) ** (1.0 / max(sweeps - 1, 1))
            for begin in range(0, sweeps, per_call):
                count = min(per_call, sweeps - begin)
                temperatures = self.hottest * ratio ** np.arange(begin, begin + count)
                thresholds = temperatures[:, np.newaxis] * draws.standard_exponential((count, problem.n))
                problem.cost, problem.best_cost = qubo_kernels.anneal(*problem.arrays, thresholds)
                if trace.ended(problem.best_cost):
                    return trace.solution(problem.best_x)
        raise AssertionError("the runs never end")

    def _runs(self) -> Iterator[int]:
        sweeps = self.first_sweeps
        while True:
            yield sweeps
            sweeps = min(2 * sweeps, self.most_sweeps)


class TabuSearch:
    """Best move that isn't tabu, with restarts near the best state.

    F. Glover, ORSA J. Comput. 1 (1989); G. Palubeckis, Ann. Oper. Res. 131 (2004).

    Parameters
    ----------
    tenure : int
        Shortest time, in steps, for which a flipped variable stays as it is; the longest is twice as long. Held below
        a quarter of the variables.
    patience : int
        Steps without a better state, per variable, before some variables of the best one are set anew.
    disturbed : float
        Share of them.
    """

    name = "tabu search"
    clock: Literal["measured on the host", "modelled"] = "measured on the host"

    def __init__(self, tenure: int = 8, patience: int = 40, disturbed: float = 0.2) -> None:
        if tenure < 1 or patience < 1 or not 0 < disturbed <= 1:
            raise UserError(
                f"tabu search: tenure = {tenure} and patience = {patience} must be at least 1, disturbed = {disturbed}"
                " within 0..1"
            )
        self.tenure, self.patience, self.disturbed = tenure, patience, disturbed

    def solve(self, matrix: NDArray[np.integer], seed: int, limits: Limits) -> Solution:
        from benchmarks.tasks import qubo_kernels

        problem = _Problem(matrix)
        draws = stream(seed, self.name)
        n = problem.n
        tenure = max(1, min(self.tenure, n // 8))
        per_call = max(1, CALL_MOVES // n)
        tabu_until = np.zeros(n, dtype=np.int64)
        first = better_at = 0
        trace = Trace(limits, _stopwatch())
        while True:
            tenures = draws.integers(tenure, 2 * tenure + 1, per_call)
            offsets = draws.integers(0, n, per_call)
            before = problem.best_cost
            problem.cost, problem.best_cost = qubo_kernels.tabu(*problem.arrays, tabu_until, first, tenures, offsets)
            first += per_call
            if trace.ended(problem.best_cost):
                return trace.solution(problem.best_x)
            if problem.best_cost < before:
                better_at = first
            elif first - better_at > self.patience * n:
                state = problem.best_x.copy()
                anew = draws.random(n) < self.disturbed
                state[anew] = 0
                problem.set_state(state)
                tabu_until[:] = 0
                better_at = first


def check_matrix(matrix: NDArray[np.integer]) -> NDArray[np.integer]:
    """The matrix of a problem as an array.

    Raises
    ------
    UserError
        It isn't a symmetric matrix of integers.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iu" or not matrix.size:
        raise UserError(f"qubo: the matrix is {matrix.dtype} {matrix.shape}; expected integers, (n, n), n > 0")
    if np.any(matrix != matrix.T):
        raise UserError("qubo: the matrix is not symmetric; use (Q + Q^T) / 2, doubled if need be")
    return matrix


class _Problem:
    """A matrix by rows, and a state with what flips would change; starts at x = 0."""

    def __init__(self, matrix: NDArray[np.integer]) -> None:
        matrix = check_matrix(matrix)
        self.n = len(matrix)
        self._diagonal = np.diag(matrix).astype(np.int64)
        rows, self._columns = np.nonzero(matrix)
        beside = rows != self._columns
        rows, self._columns = rows[beside], np.ascontiguousarray(self._columns[beside])
        self._values = matrix[rows, self._columns].astype(np.int64)
        self._rows = rows
        self._starts = np.searchsorted(rows, np.arange(self.n + 1))
        self.best_x, self.best_cost = np.zeros(self.n, dtype=np.int8), 0
        self.x, self.delta, self.cost = self.best_x.copy(), self._diagonal.copy(), 0

    def set_state(self, x: NDArray[np.int8]) -> None:
        """Go to another state."""
        chosen = x.astype(np.int64)
        others = np.bincount(self._rows, self._values * chosen[self._columns], self.n).astype(np.int64)
        self.x[:] = x
        self.delta[:] = (1 - 2 * chosen) * (self._diagonal + 2 * others)
        self.cost = int(chosen @ (self._diagonal + others))

    @property
    def arrays(self) -> tuple:
        """Leading arguments of the kernels."""
        return (
            *(self._starts, self._columns, self._values),
            *(self.x, self.delta, self.cost, self.best_x, self.best_cost),
        )


class Trace:
    """The improvements of a run, and when it ends.

    Parameters
    ----------
    limits : Limits
    clock_s : callable
        Seconds since the start.

    Raises
    ------
    UserError
        There is no limit.
    """

    def __init__(self, limits: Limits, clock_s: Callable[[], float]) -> None:
        if limits.seconds == limits.rounds == math.inf and limits.target == -math.inf:
            raise UserError("qubo: without a limit a solver never ends; give seconds, rounds or a target cost")
        self._limits, self._clock_s = limits, clock_s
        self._rounds = 0
        self._best_cost = 0
        self._times_s: list[float] = []
        self._costs: list[int] = []

    def ended(self, best_cost: int) -> bool:
        """Look at the clock, note a better cost, and tell whether a limit is reached."""
        now_s = self._clock_s()
        self._rounds += 1
        if best_cost < self._best_cost:
            self._best_cost = int(best_cost)
            self._times_s.append(now_s)
            self._costs.append(self._best_cost)
        limits = self._limits
        return now_s >= limits.seconds or self._rounds >= limits.rounds or self._best_cost <= limits.target

    def solution(self, assignment: NDArray[np.int8], work: Mapping[str, Any] = MappingProxyType({})) -> Solution:
        """With the assignment of the best cost."""
        times_s, costs = np.array(self._times_s, dtype=np.float64), np.array(self._costs, dtype=np.int64)
        return Solution(assignment.copy(), self._best_cost, times_s, costs, work)


def _stopwatch() -> Callable[[], float]:
    start_s = time.perf_counter()
    return lambda: time.perf_counter() - start_s
