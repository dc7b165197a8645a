"""Moves of the QUBO solvers in plain numpy, straight from their definitions: the reference of the compiled ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
State = NDArray[np.int8]


def cost_of(matrix: Ints, x: State) -> int:
    """x^T Q x."""
    return int(x.astype(np.int64) @ matrix @ x.astype(np.int64))


def flipped(x: State, i: int) -> State:
    """The state with variable i flipped."""
    y = x.copy()
    y[i] = 1 - y[i]
    return y


def anneal(matrix: Ints, x: State, best: State, thresholds: NDArray[np.float64]) -> tuple[State, State]:
    """Metropolis sweeps as in `qubo_kernels.anneal`: from x and the best state so far to the new ones."""
    for sweep in thresholds:
        for i, threshold in enumerate(sweep):
            y = flipped(x, i)
            if cost_of(matrix, y) - cost_of(matrix, x) <= threshold:
                x = y
            if cost_of(matrix, x) < cost_of(matrix, best):
                best = x
    return x, best


def tabu(
    matrix: Ints, x: State, best: State, tabu_until: Ints, first: int, tenures: Ints, offsets: Ints
) -> tuple[State, State]:
    """Steps of tabu search as in `qubo_kernels.tabu`; tabu_until is changed in place."""
    n = len(x)
    for step, (tenure, offset) in enumerate(zip(tenures, offsets, strict=True), start=first):
        chosen, least = None, math.inf
        for i in [(offset + k) % n for k in range(n)]:
            reached = cost_of(matrix, flipped(x, i))
            allowed = tabu_until[i] <= step or reached < cost_of(matrix, best)
            if allowed and reached < least:
                chosen, least = i, reached
        if chosen is None:
            continue
        x = flipped(x, chosen)
        tabu_until[chosen] = step + 1 + tenure
        if cost_of(matrix, x) < cost_of(matrix, best):
            best = x
    return x, best
