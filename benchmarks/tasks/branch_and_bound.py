"""The exact maximum independent set of a graph, by branch and bound on bit sets.

A node of degree 0 or 1 is always in some maximum independent set. Else branch on the node of highest degree: in or out.
Bound: a cover by cliques, of which an independent set holds one node each. Graphs of 100 nodes take a second at most.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def maximum_independent_set(adjacency: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Largest set of nodes without an edge between them.

    Parameters
    ----------
    adjacency : ndarray, shape (n, n), bool
        Symmetric, no loops.

    Returns
    -------
    ndarray, shape (n,), int8
        1 for the nodes of the set.
    """
    search = _Search(adjacency)
    search.branch((1 << len(adjacency)) - 1, 0)
    chosen = np.zeros(len(adjacency), dtype=np.int8)
    chosen[list(_members(search.best))] = 1
    return chosen


class _Search:
    """Sets of nodes are whole numbers, bit v for node v."""

    def __init__(self, adjacency: NDArray[np.bool_]) -> None:
        rows = np.packbits(adjacency, axis=1, bitorder="little")
        self._neighbours = [int.from_bytes(row.tobytes(), "little") for row in rows]
        self.best = 0

    def branch(self, free: int, chosen: int) -> None:
        """Complete the independent set `chosen` by nodes of `free`, none of which is next to it."""
        free, chosen, node = self._reduce(free, chosen)
        if chosen.bit_count() > self.best.bit_count():
            self.best = chosen
        if not free or not self._may_exceed(free, self.best.bit_count() - chosen.bit_count()):
            return
        bit = 1 << node
        self.branch(free & ~(self._neighbours[node] | bit), chosen | bit)
        self.branch(free & ~bit, chosen)

    def _reduce(self, free: int, chosen: int) -> tuple[int, int, int]:
        """Take nodes of degree 0 and 1 as long as there are any; then the node of highest degree too."""
        while True:
            highest, node = -1, -1
            for v in _members(free):
                degree = (self._neighbours[v] & free).bit_count()
                if degree <= 1:
                    chosen |= 1 << v
                    free &= ~(self._neighbours[v] | 1 << v)
                    break
                if degree > highest:
                    highest, node = degree, v
            else:
                return free, chosen, node

    def _may_exceed(self, free: int, size: int) -> bool:
        """False if so many cliques as `size` cover the nodes."""
        while free:
            if size == 0:
                return True
            size -= 1
            clique = free
            while clique:
                bit = clique & -clique
                free ^= bit
                clique &= self._neighbours[bit.bit_length() - 1]
        return False


def _members(nodes: int) -> Iterator[int]:
    while nodes:
        bit = nodes & -nodes
        yield bit.bit_length() - 1
        nodes ^= bit
