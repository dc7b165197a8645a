"""Links that events take, one after the other: between chip and FPGA, and between FPGAs."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from .arrays import integers
from .engine.event_path import pack
from .errors import ChipError, check_number

IntArray = NDArray[np.int64]

UNBOUNDED = 2**62  # depth of the FIFO in the FPGA's memory
_LAST_CYCLE = 2**40  # that a link counts: hours, so that no place of an event overflows


class PackLink:
    """A link between chip and FPGA: `engine.event_path.pack`, but it goes on from call to call.

    Parameters
    ----------
    per_cycle : int
        Events that it takes in each cycle of the FPGA.
    depth : int
        Events that can wait.

    Raises
    ------
    ChipError
        A number is out of range.
    """

    def __init__(self, per_cycle: int, depth: int) -> None:
        check_number("link.per_cycle", per_cycle, 1, 2**20, "events", "give the events of a cycle", whole=True)
        check_number("link.depth", depth, 0, UNBOUNDED, "events", "give the events that can wait", whole=True)
        self._per_cycle = per_cycle
        self._depth = depth
        self._last = 0  # cycle of the last event
        self._free = 0  # first free place; cycle c has the places c * per_cycle ... (c + 1) * per_cycle - 1

    def send(self, cycles: IntArray) -> IntArray:
        """Cycle in which each event goes, -1 if lost; cycles (n,) ascend, from call to call as well.

        Raises
        ------
        ChipError
            A cycle is negative or beyond the clock, or they don't ascend.
        """
        cycles = integers("link.cycles", cycles, (None,), self._last, _LAST_CYCLE, remedy="sort the events by time")
        if np.any(cycles[1:] < cycles[:-1]):
            raise ChipError("link.cycles don't ascend; sort the events by time")
        if cycles.size:
            self._last = int(cycles[-1])
        # Counted from the cycle of the first free place on, in which some places are taken already.
        first, taken = divmod(self._free, self._per_cycle)
        wanted = np.concatenate([np.zeros(taken, dtype=np.int64), cycles - first])
        sent = np.empty_like(wanted)
        pack(wanted, self._per_cycle, self._depth, sent)
        last = sent.max(initial=-1)
        if last >= 0:  # not all are lost
            self._free = int((first + last) * self._per_cycle + np.sum(sent == last))
        return np.where(sent < 0, sent, first + sent)[taken:]


class EventLink:
    """One direction of a link between FPGAs: events go one after the other, each takes a slot.

    An event that comes to an idle link goes at once; the time of its own slot counts as part of the link's latency.
    The others wait, and those that find a full FIFO are lost.

    Parameters
    ----------
    slot_us : float
        Time for which an event occupies the link; 0 for no limit.
    depth : int
        Events that can wait.

    Attributes
    ----------
    dropped : int
        Events that were lost so far.
    """

    def __init__(self, slot_us: float, depth: int) -> None:
        self._slot_us = slot_us
        self._depth = depth
        self._free_us = 0.0
        self._waiting: deque[float] = deque()  # when each event goes that waits
        self.dropped = 0

    def send(self, times_us: NDArray[np.float64]) -> NDArray[np.float64]:
        """When each event goes, inf if it is lost; times ascend, and none is before those of earlier calls."""
        if self._slot_us == 0.0:
            return times_us
        return np.array([self._send(time) for time in times_us.tolist()], dtype=np.float64)

    def _send(self, now: float) -> float:
        while self._waiting and self._waiting[0] <= now:
            self._waiting.popleft()
        begin = max(now, self._free_us)
        if begin > now:
            if len(self._waiting) == self._depth:
                self.dropped += 1
                return math.inf
            self._waiting.append(begin)
        self._free_us = begin + self._slot_us
        return begin
