"""Programming: an array that is written, looked at a day later, worn out and written again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.probing.config import CrossbarExperiment
from neurohil.protocols import Floats, Quantity
from neurohil.targets.crossbar_bench import CrossbarBench, Writing


class Programmed(NamedTuple):
    """An array that was written, aged for `aged_s`, brought to so many programming cycles, and written again.

    Attributes
    ----------
    level : (rows, columns) int64
        Level that each cell was to have, from 0.
    target_uS, lifetime_cycles : (rows, columns)
    conductance_uS : three of (rows, columns)
        1 s after the first write, aged, and 1 s after the second one.
    first, again : Writing
        What it took to write the new and the worn array.
    state : (rows, columns) int64
        WORKS, STUCK_ON, STUCK_OFF or FADING when it is worn.
    pulse_log : list of Quantity
        Every single pulse, if the config wants it.
    """

    aged_s: float
    cycles: int
    tolerance_uS: float
    level: NDArray[np.int64]
    target_uS: Floats
    lifetime_cycles: Floats
    conductance_uS: tuple[Floats, Floats, Floats]
    first: Writing
    again: Writing
    state: NDArray[np.int64]
    pulse_log: list[Quantity]

    @property
    def outside(self) -> list[float]:
        """Share of cells outside the tolerance, at each of these moments."""
        return [float(np.mean(np.abs(g - self.target_uS) > self.tolerance_uS)) for g in self.conductance_uS]


def program(config: CrossbarExperiment, step: Callable[[str], None]) -> Programmed:
    """Write the array, look at it 1 s and some time later, wear it out, write it again."""
    bench = CrossbarBench(config.target, config.seed, config.program.log_pulses)
    weights = bench.random_weights()
    level = bench.device_levels(weights)
    cycles, aged_s = config.program.cycles, config.program.aged_s
    first = bench.write(weights)
    bench.wait_until(1.0)
    written = bench.conductance_uS()
    step("written")
    bench.wait_until(aged_s)
    aged = bench.conductance_uS()
    step("aged")
    bench.wear(cycles)
    again = bench.write(weights)
    bench.wait_until(1.0)
    worn = bench.conductance_uS()
    step("worn out")
    return Programmed(
        aged_s=aged_s,
        cycles=cycles,
        tolerance_uS=config.tolerance_uS,
        level=level,
        target_uS=bench.target_uS(),
        lifetime_cycles=bench.lifetime_cycles(),
        conductance_uS=(written, aged, worn),
        first=first,
        again=again,
        state=bench.state(),
        pulse_log=bench.pulse_log() if config.program.log_pulses else [],
    )
