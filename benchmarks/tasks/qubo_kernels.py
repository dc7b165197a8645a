"""Moves of the QUBO solvers, compiled; `benchmarks.tasks.qubo_plain` is the readable reference.

A state is x (n,) int8 of zeros and ones, and delta (n,) int64, what the cost changes by if a variable is flipped. The
matrix beside its diagonal is given by rows: the entries of row i are values[starts[i] : starts[i + 1]] int64, in the
columns neighbours[starts[i] : starts[i + 1]] int64; starts has n + 1 entries. All arrays are C-contiguous and changed
in place where that is said. Random numbers are drawn outside.
"""

from __future__ import annotations

import numpy as np

from neurohil.jit import njit


@njit(cache=True, error_model="numpy")
def _flip(i, starts, neighbours, values, x, delta):
    """Flip variable i: x and delta in place; returns the change of the cost.

    With s = 1 - 2 x before the flip: delta_j += 2 Q_ij s_i s_j for j != i, delta_i = -delta_i.
    """
    change = delta[i]
    sign = np.int64(1 - 2 * x[i])
    for k in range(starts[i], starts[i + 1]):
        j = neighbours[k]
        delta[j] += 2 * values[k] * sign * np.int64(1 - 2 * x[j])
    x[i] = 1 - x[i]
    delta[i] = -change
    return change


@njit(cache=True, error_model="numpy")
def anneal(starts, neighbours, values, x, delta, cost, best_x, best_cost, thresholds):
    """Metropolis sweeps over all variables in their order; returns (cost, best_cost), int64.

    thresholds (sweeps, n) float64: temperature times a number of the exponential distribution of mean 1. A flip is
    accepted if its delta isn't above it, which has the probability min(1, exp(-delta / temperature)).
    best_x (n,) int8 in place: the state of the lowest cost so far.
    """
    for sweep in range(thresholds.shape[0]):
        for i in range(x.size):
            if delta[i] <= thresholds[sweep, i]:
                cost += _flip(i, starts, neighbours, values, x, delta)
                if cost < best_cost:
                    best_cost = cost
                    best_x[:] = x
    return cost, best_cost


@njit(cache=True, error_model="numpy")
def tabu(starts, neighbours, values, x, delta, cost, best_x, best_cost, tabu_until, first, tenures, offsets):
    """Steps of tabu search; returns (cost, best_cost), int64.

    Step number first + k flips the variable of least delta that isn't tabu, or that leads below best_cost; of equal
    ones the first after offsets[k] in cyclic order. It is then tabu for the next tenures[k] steps: tabu_until (n,)
    int64 in place. tenures, offsets (steps,) int64. Without such a variable nothing is flipped.
    best_x (n,) int8 in place: the state of the lowest cost so far.
    """
    n = x.size
    for k in range(tenures.size):
        step = first + k
        chosen, least = -1, np.iinfo(np.int64).max
        for part in range(2):
            begin = offsets[k] if part == 0 else 0
            end = n if part == 0 else offsets[k]
            for i in range(begin, end):
                if delta[i] < least and (tabu_until[i] <= step or cost + delta[i] < best_cost):
                    chosen, least = i, delta[i]
        if chosen < 0:
            continue
        cost += _flip(chosen, starts, neighbours, values, x, delta)
        tabu_until[chosen] = step + 1 + tenures[k]
        if cost < best_cost:
            best_cost = cost
            best_x[:] = x
    return cost, best_cost
