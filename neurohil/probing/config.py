"""The config of a measurement on one emulated array: the array, and what is asked of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from neurohil.ranges import Seed, Size
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig

CURVE_POINTS = 25  # of curves over decades of time or cycles

Seconds = Annotated[float, msgspec.Meta(ge=1.0, le=1e9)]  # the fits begin 1 s after the write
Cycles = Annotated[float, msgspec.Meta(ge=1.0, le=1e12)]
Ohm = Annotated[float, msgspec.Meta(ge=0.0, le=1e6)]


class ProgramConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to look at the array again, how many programming cycles it then goes through, and whether the trace keeps
    every single pulse."""

    aged_s: Seconds = 86_400.0
    cycles: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1_000_000
    log_pulses: bool = False


class CharacteriseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At which times since the write the levels are measured, and how long the patient recipe waits."""

    ages_s: Annotated[tuple[Seconds, ...], msgspec.Meta(min_length=1, max_length=8)] = (1.0, 3600.0, 86_400.0)
    wait_s: Seconds = 3600.0


class AgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Range of programming cycles, and the longest time since the write."""

    first_cycles: Cycles = 1e4
    last_cycles: Cycles = 1e7
    last_age_s: Seconds = 3e7


class IrDropConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of square arrays, and resistances of a wire segment."""

    sizes: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=8)] = (8, 16, 32, 64, 128)
    segments_ohm: Annotated[tuple[Ohm, ...], msgspec.Meta(min_length=1, max_length=6)] = (0.1, 0.3, 1.0, 3.0, 10.0)


class CrossbarExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An array, and what is asked of it by each measurement; `target.serial` says which array it is, `seed` is that of
    the weights and the noise."""

    summary: str
    target: CrossbarTargetConfig
    seed: Seed = 1
    program: ProgramConfig = ProgramConfig()
    characterise: CharacteriseConfig = CharacteriseConfig()
    age: AgeConfig = AgeConfig()
    ir_drop: IrDropConfig = IrDropConfig()
    experiment: str = "unnamed"

    @property
    def tolerance_uS(self) -> float:
        """Tolerance of the recipe, which one-shot programming doesn't use but can be judged by."""
        return float(self.target.recipe.get("tolerance_uS", 1.0))
