"""The system around several chips: host, links, FPGAs and timers beside each other, as simpy processes in integer
nanoseconds.

The analogue time of a chip is no business of simpy: during the real-time section the FPGAs hand over to the
compiled engines and get the numbers of recorded events back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import ArrayLike, NDArray

from .config import LinkConfig
from .errors import check_number
from .execution import Phase, Program, settle_ns, transfer_ns

Process = Generator[simpy.Event, Any, Any]


class Link:
    """One direction of the host link: words are sent one after the other, then take their time of flight."""

    def __init__(self, env: simpy.Environment, config: LinkConfig) -> None:
        self._env = env
        self._config = config
        self.inbox = simpy.Store(env)

    def send(self, words: int, message: object = None) -> Process:
        """Send so many words; the message is in the inbox when the last one has arrived."""
        yield self._env.timeout(transfer_ns(self._config, words))
        yield self.inbox.put(message)


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
            yield env.timeout(settle_ns(program.link))
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
