"""What a trace says of itself: whether its content was emulated, computed or modelled, and of what."""

from __future__ import annotations

from typing import Any

from neurohil.protocols import Provenance

KINDS = ("emulated", "computed", "modelled", "measured")
"""By an emulated device; by formulas; a sum of assumed costs, or a law; by others on real devices, for comparison."""

# What traces of schema version 2.0, which don't tell it, are taken for.
IDEAL_NEURONS = Provenance(
    "computed", "Spikes and membranes were computed for ideal neurons; no hardware, real or emulated, was involved."
)
CHIP = Provenance(
    "emulated",
    "Events, membranes and fixed pattern are those of an emulated BrainScaleS-2 chip; nothing here was measured on a "
    "real one. Times on the chip are modelled.",
)
IDEAL_WEIGHTS = Provenance(
    "computed", "All results were computed with ideal weights; no hardware, real or emulated, was involved."
)
CHIP_MATRIX = Provenance(
    "emulated",
    "Products were computed by an emulated BrainScaleS-2 chip; nothing here was measured on a real one. Times on the "
    "chip are modelled.",
)
CROSSBAR = Provenance(
    "emulated",
    "Conductances, pulses and wear are those of emulated memristors; nothing here was measured on real ones. Times and "
    "energies are modelled: sums of assumed costs.",
)
UNKNOWN = Provenance("", "What was emulated, modelled or computed, the configuration tells.")

_BY_CONFIG = {
    ("data", "ideal"): IDEAL_NEURONS,
    ("data", "brainscales"): CHIP,
    ("tasks", "ideal"): IDEAL_WEIGHTS,
    ("tasks", "brainscales"): CHIP_MATRIX,
    ("tasks", "crossbar"): CROSSBAR,
}


def by_config(config: dict[str, Any]) -> Provenance:
    """That of a trace of schema version 2.0, which doesn't tell it: by a table that only its config has, and target."""
    target = config.get("target")
    if not isinstance(target, dict):
        return UNKNOWN
    if "program" in config:
        return CROSSBAR
    found = [_BY_CONFIG.get((table, str(target.get("kind")))) for table in ("data", "tasks") if table in config]
    return found[0] if found and found[0] else UNKNOWN
