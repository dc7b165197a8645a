"""The config of a measurement on one emulated chip: the chip, and how much of it is measured."""

from __future__ import annotations

from typing import Annotated

import msgspec

from neurohil.ranges import Seed
from neurohil.targets.chip_bench import ChipBenchConfig


class BenchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many circuits are measured, evenly spread over the chip, and whether it is calibrated first."""

    circuits: Annotated[int, msgspec.Meta(ge=1, le=512)] = 512
    calibrate: bool = False


class ChipExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chip, and what is asked of it; `target.serial` says which chip it is, `seed` is that of all noise."""

    summary: str
    target: ChipBenchConfig
    bench: BenchConfig
    seed: Seed = 1
    experiment: str = "unnamed"
