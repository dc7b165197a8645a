"""Parts of one computation side by side, for compiled code that releases Python's lock.

The parts are chosen by the work alone and put together in their order, so that results don't depend on the number of
threads, NUMBA_NUM_THREADS. Threads end with the call: nothing is left that a fork of the process would break.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba

T = TypeVar("T")


def side_by_side(function: Callable[[Any], T], parts: Sequence[Any]) -> list[T]:
    """function(part) of each part, in their order."""
    threads = min(len(parts), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads == 1:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, parts))
