"""Stopping in good order: what is in progress can end first."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopRequest:
    """Within it, the first SIGINT, SIGTERM or SIGHUP is remembered, so that what is in progress can end.

    From then on, and afterwards, signals do what they did before. One that is ignored (`nohup`) stays so. Outside the
    main thread, which alone may handle signals, nothing is caught.

    Attributes
    ----------
    signal : int or None
        Number of the signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: not set from Python, can't be put back
                    self._before[number] = handler
                    signal.signal(number, self._ask)
        return self

    def __call__(self) -> bool:
        return self.signal is not None

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
