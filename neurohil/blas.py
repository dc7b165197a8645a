"""Matrix products whose last bits don't depend on the number of BLAS threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    """Of the libraries that are loaded by the first product, numpy's BLAS among them."""
    return ThreadpoolController().select(user_api="blas")


def _nothing() -> None:
    """There is one thread anyway."""


class _OneThread(ContextDecorator):
    """Context and decorator. BLAS splits larger products among its threads, and parts round in another way than the
    whole. The number of threads belongs to the process: the first thread of Python that comes in sets it to 1, the last
    one that goes out sets it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore: Callable[[], None] = _nothing

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0 and any(library.num_threads != 1 for library in _controller().lib_controllers):
                self._restore = _controller().limit(limits=1).restore_original_limits
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()
                self._restore = _nothing


one_thread = _OneThread()
