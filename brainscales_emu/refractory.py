"""The refractory time as the chip has it: a count of a clock."""

from __future__ import annotations

from typing import NamedTuple

from .config import ChipConfig
from .constants import (
    MAX_CLOCK_SCALE,
    MAX_REFRACTORY_COUNT,
    MAX_REFRACTORY_US,
    MIN_REFRACTORY_US,
    REFRACTORY_CLOCK_MHZ,
)
from .errors import check_number


class RefractoryCount(NamedTuple):
    """Registers of a refractory time.

    Attributes
    ----------
    cycles : int
        1..255.
    scale : int
        0..15: the clock has 250 MHz / 2^(scale + 1).
    """

    cycles: int
    scale: int

    @property
    def us(self) -> float:
        """The refractory time in us."""
        return self.cycles * 2 ** (self.scale + 1) / REFRACTORY_CLOCK_MHZ


def refractory_count(time_us: float) -> RefractoryCount:
    """The nearest refractory time that the chip can make, with its fastest clock that is slow enough.

    Parameters
    ----------
    time_us : float
        0.04..66847 us.

    Returns
    -------
    RefractoryCount
        E.g. 156 cycles of 7.8125 MHz (scale 4), 19.968 us, for 20 us.
    """
    remedy = "choose a refractory time that the clocks can make"
    check_number("chip.refractory_us", time_us, MIN_REFRACTORY_US, MAX_REFRACTORY_US, "us", remedy)
    fastest = time_us * REFRACTORY_CLOCK_MHZ / 2.0  # cycles at scale 0
    scale = next(scale for scale in range(MAX_CLOCK_SCALE + 1) if round(fastest / 2**scale) <= MAX_REFRACTORY_COUNT)
    return RefractoryCount(round(fastest / 2**scale), scale)


def refractory_us(config: ChipConfig) -> float:
    """Refractory time of a chip in us: exact where the configuration says ``exact_input_times``."""
    return config.refractory_us if config.exact_input_times else refractory_count(config.refractory_us).us
