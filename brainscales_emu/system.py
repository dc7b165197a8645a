"""The system around the chips: host, links, FPGAs and timers as simpy processes in integer nanoseconds.

The analogue time of a chip is no business of simpy: during the real-time section the FPGAs hand over to the
compiled engines and get the numbers of recorded events back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import ArrayLike, NDArray

from .config import LinkConfig
from .constants import CYCLE_NS, CYCLES_PER_US
from .errors import check_number

Process = Generator[simpy.Event, Any, Any]


@dataclass(frozen=True)
class Phase:
    """One step of an execution: configure, settle, upload, wait (for other chips), real-time or read-back."""

    name: str
    start_ns: int
    end_ns: int


def to_cycles(times_us: NDArray[np.float64]) -> NDArray[np.int64]:
    """FPGA cycle (8 ns) in which each time lies.

    Times are rounded down; that recorded times are rounded down, too, is inferred, not published. A millionth of a
    cycle is added first, so that a time on the grid stays in its cycle.
    """
    return np.floor(times_us * CYCLES_PER_US + 1e-6).astype(np.int64)


def section_ns(duration_us: float) -> int:
    """Length of a real-time section: the duration, rounded up to whole FPGA cycles."""
    return math.ceil(duration_us * CYCLES_PER_US - 1e-6) * CYCLE_NS


class Link:
    """One direction of the host link: words are sent one after the other, then take their time of flight."""

    def __init__(self, env: simpy.Environment, config: LinkConfig) -> None:
        self._env = env
        self._config = config
        self.inbox = simpy.Store(env)

    def send(self, words: int, message: object = None) -> Process:
        """Send so many words; the message is in the inbox when the last one has arrived."""
        config = self._config
        bits = words * config.word_bits
        yield self._env.timeout(math.ceil(bits * 1000 / config.bandwidth_mbit_s + config.latency_us * 1000))
        yield self.inbox.put(message)


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


@dataclass(frozen=True)
class Ppu:
    """The update loop of a chip's plasticity processor: a timer, the spike counters and the digital weights.

    Modelled: an update takes no time, and it is for the whole chip, though the real chip has a processor per half.

    Attributes
    ----------
    period_us : float
        Updates are at this time of a run, at twice this time, and so on until before its end; whole nanoseconds.
    update : callable
        ``update(time_us, counts, overflow, weight)`` gets what the 512 spike counters hold since the last update,
        their overflow flags (see `readout.adc.count_spikes`) and a copy of the (2, 256, 256) weights
        [half, row, column]; it returns the weights from now on, or None to leave them.
    """

    period_us: float
    update: Callable[[float, NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]], ArrayLike | None]

    def __post_init__(self) -> None:
        check_number("ppu.period_us", self.period_us, 0.1, 1e9, "us", "give the time from update to update")


@dataclass(frozen=True)
class Program:
    """What the host sends to one chip before the real-time section.

    Attributes
    ----------
    link : LinkConfig
        The host's link to this chip's FPGA.
    configuration_words : int
        Words that are written before the program; 0 leaves the configure phase out.
    settle : bool
        Analogue parameters are among them, so that the chip has to settle.
    input_events : int
        Events of the playback program.
    """

    link: LinkConfig
    configuration_words: int
    settle: bool
    input_events: int


def execute(
    link: LinkConfig,
    configuration_words: int,
    settle: bool,
    input_events: int,
    duration_us: float,
    play: Callable[[], int],
) -> tuple[Phase, ...]:
    """Run one playback program on one chip.

    Parameters
    ----------
    link, configuration_words, settle, input_events
        As in `Program`.
    duration_us : float
        Length of the real-time section; rounded up to whole FPGA cycles.
    play : callable
        Runs the real-time section and returns the number of recorded events.

    Returns
    -------
    tuple of Phase
        In order of time, from 0 ns on.
    """

    def real_time(env: simpy.Environment) -> Process:
        recorded = play()
        yield env.timeout(section_ns(duration_us))
        return [recorded]

    (phases,) = execute_together([Program(link, configuration_words, settle, input_events)], real_time)
    return phases


def execute_together(
    programs: Sequence[Program], real_time: Callable[[simpy.Environment], Process]
) -> list[tuple[Phase, ...]]:
    """Run the playback programs of several chips, whose real-time sections start together.

    Modelled: each FPGA has a link to the host of its own, and waits until all are ready.

    Parameters
    ----------
    programs : sequence of Program
        One per chip.
    real_time : callable
        Gets the simpy environment; a process that runs the real-time section and returns the number of recorded
        events of each chip.

    Returns
    -------
    list of tuple of Phase
        Of each chip in order of time, from 0 ns on.
    """
    env = simpy.Environment()
    ready = [env.event() for _ in programs]
    all_ready = env.all_of(ready)
    phases: list[list[Phase]] = [[] for _ in programs]

    def finish(chip: int, name: str, start_ns: int) -> None:
        phases[chip].append(Phase(name, start_ns, int(env.now)))

    def host(chip: int, program: Program, to_fpga: Link, to_host: Link) -> Process:
        if program.configuration_words:
            yield from to_fpga.send(program.configuration_words, "configuration")
            finish(chip, "configure", 0)
        if program.settle:
            begin = int(env.now)
            yield env.timeout(math.ceil(program.link.settle_us * 1000))
            finish(chip, "settle", begin)
        begin = int(env.now)
        yield from to_fpga.send(program.input_events * program.link.words_per_event, "program")
        finish(chip, "upload", begin)
        yield to_host.inbox.get()

    def fpga(chip: int, program: Program, to_fpga: Link, to_host: Link) -> Process:
        while (yield to_fpga.inbox.get()) != "program":
            pass
        begin = int(env.now)
        ready[chip].succeed()
        yield all_ready
        if env.now > begin:
            finish(chip, "wait", begin)
        begin = int(env.now)
        recorded = yield section
        finish(chip, "real-time", begin)
        begin = int(env.now)
        yield from to_host.send(recorded[chip] * program.link.words_per_event)
        finish(chip, "read-back", begin)

    def play() -> Process:
        yield all_ready
        return (yield from real_time(env))

    hosts = []
    for chip, program in enumerate(programs):
        links = Link(env, program.link), Link(env, program.link)
        env.process(fpga(chip, program, *links))
        hosts.append(env.process(host(chip, program, *links)))
    section = env.process(play())
    env.run(until=env.all_of(hosts))
    return [tuple(steps) for steps in phases]
