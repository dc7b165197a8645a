"""One execution of a playback program on one chip: its phases on the clock of the host, in integer nanoseconds.

The phases of one chip follow each other, so that they are a sum. Several chips, which wait for each other, are in
`system`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import LinkConfig
from .constants import CYCLE_NS, CYCLES_PER_US


@dataclass(frozen=True)
class Phase:
    """One step of an execution: configure, settle, upload, wait (for other chips), real-time or read-back."""

    name: str
    start_ns: int
    end_ns: int


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


@dataclass(frozen=True)
class Account:
    """What all executions so far took and moved. Times of the host link are modelled."""

    runs: int = 0
    real_time_us: float = 0.0
    configuration_ns: int = 0  # configure and settle
    upload_ns: int = 0
    readback_ns: int = 0
    words_written: int = 0
    input_events: int = 0
    recorded_events: int = 0
    lost_events: int = 0
    dropped_events: int = 0  # at crossbar outputs and on the link to the host


def to_cycles(times_us: NDArray[np.float64]) -> NDArray[np.int64]:
    """FPGA cycle (8 ns) in which each time lies.

    Times are rounded down; that recorded times are rounded down, too, is inferred, not published. A millionth of a
    cycle is added first, so that a time on the grid stays in its cycle.
    """
    return np.floor(times_us * CYCLES_PER_US + 1e-6).astype(np.int64)


def section_ns(duration_us: float) -> int:
    """Length of a real-time section: the duration, rounded up to whole FPGA cycles."""
    return math.ceil(duration_us * CYCLES_PER_US - 1e-6) * CYCLE_NS


def transfer_ns(link: LinkConfig, words: int) -> int:
    """What so many words take over the host link in one direction: one after the other, then the time of flight."""
    return math.ceil(words * link.word_bits * 1000 / link.bandwidth_mbit_s + link.latency_us * 1000)


def settle_ns(link: LinkConfig) -> int:
    """Wait after analogue parameters were written."""
    return math.ceil(link.settle_us * 1000)


def phases(program: Program, duration_us: float, recorded_events: int) -> tuple[Phase, ...]:
    """The phases of one execution on one chip.

    Parameters
    ----------
    program : Program
    duration_us : float
        Length of the real-time section; rounded up to whole FPGA cycles.
    recorded_events : int
        Events that the chip returned.

    Returns
    -------
    tuple of Phase
        In order of time, from 0 ns on.
    """
    link = program.link
    steps = [
        ("upload", transfer_ns(link, program.input_events * link.words_per_event)),
        ("real-time", section_ns(duration_us)),
        ("read-back", transfer_ns(link, recorded_events * link.words_per_event)),
    ]
    if program.settle:
        steps.insert(0, ("settle", settle_ns(link)))
    if program.configuration_words:
        steps.insert(0, ("configure", transfer_ns(link, program.configuration_words)))
    timeline, now = [], 0
    for name, length_ns in steps:
        timeline.append(Phase(name, now, now + length_ns))
        now += length_ns
    return tuple(timeline)
