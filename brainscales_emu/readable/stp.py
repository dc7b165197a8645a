"""Short-term plasticity of one synapse driver, see `brainscales_emu.stp`."""

from __future__ import annotations

import math

from ..config import StpConfig
from ..stp import MAX_CODE, ZERO_OFFSET, Plasticity


class DriverEfficacy:
    """One driver: its efficacy from event to event.

    Parameters
    ----------
    config : StpConfig
    plasticity : Plasticity
    half, driver : int
    """

    def __init__(self, config: StpConfig, plasticity: Plasticity, half: int, driver: int) -> None:
        voltages = int(plasticity.voltages[half, driver])
        self.enabled = bool(plasticity.enabled[half, driver])
        self.rest, self.target = config.rest[voltages], config.target[voltages]
        self.utilisation = int(plasticity.utilisation[half, driver]) / MAX_CODE
        self.recovery_us = config.slowest_recovery_us / (1 + int(plasticity.recovery[half, driver]))
        self.offset = config.offset_step * (int(plasticity.offset[half, driver]) - ZERO_OFFSET)
        self.time_us = 0.0
        self.efficacy = self.rest

    def drive(self, time_us: float) -> float:
        """Effect 0..1 of an event at this time."""
        if not self.enabled:
            return 1.0
        left = math.exp(-(time_us - self.time_us) / self.recovery_us)
        self.efficacy = self.rest + (self.efficacy - self.rest) * left
        self.time_us = time_us
        effect = min(max(self.efficacy + self.offset, 0.0), 1.0)
        self.efficacy += self.utilisation * (self.target - self.efficacy)
        return effect
