"""Short-term plasticity of the synapse drivers: how strong an event is depends on the events before it.

A driver stores a voltage that shortens its pulses; each event moves it, and it recovers between events. What is known
(vendor software, haldls): the codes below, and that two sets of voltages can be chosen from. That the pulse follows
the law here, and what the codes are worth, is modelled, after Tsodyks and Markram (1997, PNAS 94:719).

The efficacy x of a driver is the part of the full pulse. With rest R and recovery time tau it goes on as
x(t + s) = R + (x(t) - R) exp(-s / tau); an event has the effect of x + offset, within 0..1, and then moves x by the
utilisation U towards the target T: x -> x + U (T - x). R = 1, T = 0 is depression, R < T facilitation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import booleans, integers

IntArray = NDArray[np.int64]

SHAPE = (2, 128)  # halves, drivers

MAX_CODE = 15  # vendor software (haldls): utilisation, recovery and offset have 4 bits
ZERO_OFFSET = 8  # modelled


@dataclass(frozen=True, eq=False)
class Plasticity:
    """Codes of all synapse drivers [half, driver], digital memory like the fabric.

    Attributes
    ----------
    enabled : (2, 128) bool
        Drivers with short-term plasticity; the pulses of the others are full.
    utilisation : (2, 128) int64
        0..15; code n moves the efficacy by n / 15 of the way.
    recovery : (2, 128) int64
        0..15; see `config.StpConfig`.
    offset : (2, 128) int64
        0..15; see `config.StpConfig`.
    voltages : (2, 128) int64
        0 or 1: the set of voltages.

    Raises
    ------
    ChipError
        A value is out of range.
    """

    enabled: NDArray[np.bool_]
    utilisation: IntArray
    recovery: IntArray
    offset: IntArray
    voltages: IntArray

    def __post_init__(self) -> None:
        for name in ("enabled", "utilisation", "recovery", "offset", "voltages"):
            given, key = getattr(self, name), f"plasticity.{name}"
            if name == "enabled":
                booleans(key, given, SHAPE, "say for each driver whether it is on")
            else:
                high = 1 if name == "voltages" else MAX_CODE
                integers(key, given, SHAPE, 0, high, remedy="clip the code")

    @classmethod
    def uniform(
        cls, utilisation: int, recovery: int, voltages: int, offset: int = ZERO_OFFSET, enabled: bool = True
    ) -> Plasticity:
        """The same codes for all drivers."""
        return cls(
            enabled=np.full(SHAPE, enabled),
            utilisation=np.full(SHAPE, utilisation),
            recovery=np.full(SHAPE, recovery),
            offset=np.full(SHAPE, offset),
            voltages=np.full(SHAPE, voltages),
        )
