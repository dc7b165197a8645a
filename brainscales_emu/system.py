"""The system around one chip: host, link and FPGA as simpy processes in integer nanoseconds.

The analogue time of the chip is no business of simpy: during the real-time section the FPGA hands over to the
compiled engine and gets the number of recorded events back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from .config import LinkConfig
from .constants import CYCLE_NS, CYCLES_PER_US


@dataclass(frozen=True)
class Phase:
    """One step of an execution: configure, settle, upload, real-time or read-back."""

    name: str
    start_ns: int
    end_ns: int


def to_cycles(times_us: NDArray[np.float64]) -> NDArray[np.int64]:
    """FPGA cycle (8 ns) in which each time lies.

    Times are rounded down; that recorded times are rounded down, too, is inferred, not published. A millionth of a
    cycle is added first, so that a time on the grid stays in its cycle.
    """
    return np.floor(times_us * CYCLES_PER_US + 1e-6).astype(np.int64)


class Link:
    """One direction of the host link: words are sent one after the other, then take their time of flight."""

    def __init__(self, env: simpy.Environment, config: LinkConfig) -> None:
        self._env = env
        self._config = config
        self.inbox = simpy.Store(env)

    def send(self, words: int, message: object = None) -> Generator[simpy.Event, Any, None]:
        """Send so many words; the message is in the inbox when the last one has arrived."""
        config = self._config
        bits = words * config.word_bits
        yield self._env.timeout(math.ceil(bits * 1000 / config.bandwidth_mbit_s + config.latency_us * 1000))
        yield self.inbox.put(message)


def execute(
    link: LinkConfig,
    configuration_words: int,
    settle: bool,
    input_events: int,
    duration_us: float,
    play: Callable[[], int],
) -> tuple[Phase, ...]:
    """Run one playback program.

    Parameters
    ----------
    link : LinkConfig
    configuration_words : int
        Words that are written before the program; 0 leaves the configure phase out.
    settle : bool
        Analogue parameters are among them, so that the chip has to settle.
    input_events : int
        Events of the playback program.
    duration_us : float
        Length of the real-time section; rounded up to whole FPGA cycles.
    play : callable
        Runs the real-time section and returns the number of recorded events.

    Returns
    -------
    tuple of Phase
        In order of time, from 0 ns on.
    """
    env = simpy.Environment()
    to_fpga, to_host = Link(env, link), Link(env, link)
    phases: list[Phase] = []

    def finish(name: str, start_ns: int) -> None:
        phases.append(Phase(name, start_ns, int(env.now)))

    def host() -> Generator[simpy.Event, Any, None]:
        if configuration_words:
            yield from to_fpga.send(configuration_words, "configuration")
            finish("configure", 0)
        if settle:
            begin = int(env.now)
            yield env.timeout(math.ceil(link.settle_us * 1000))
            finish("settle", begin)
        begin = int(env.now)
        yield from to_fpga.send(input_events * link.words_per_event, "program")
        finish("upload", begin)
        yield to_host.inbox.get()

    def fpga() -> Generator[simpy.Event, Any, None]:
        while (yield to_fpga.inbox.get()) != "program":
            pass
        begin = int(env.now)
        recorded = play()
        yield env.timeout(math.ceil(duration_us * CYCLES_PER_US - 1e-6) * CYCLE_NS)
        finish("real-time", begin)
        begin = int(env.now)
        yield from to_host.send(recorded * link.words_per_event)
        finish("read-back", begin)

    env.process(fpga())
    env.run(until=env.process(host()))
    return tuple(phases)
