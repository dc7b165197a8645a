"""An emulated BrainScaleS-2 chip: physics only, with the fixed pattern and the noise of a real one.

Compiled code is loaded on first use: ``from brainscales_emu.chip import Chip``.
"""

from .config import PRESET_NAMES, ChipConfig, EventPathConfig, LinkConfig, NoiseConfig, StpConfig, preset
from .errors import ChipError, PlacementError
from .routing.placement import Placement, place, place_feedforward

__all__ = [
    "PRESET_NAMES",
    "ChipConfig",
    "ChipError",
    "EventPathConfig",
    "LinkConfig",
    "NoiseConfig",
    "Placement",
    "PlacementError",
    "StpConfig",
    "place",
    "place_feedforward",
    "preset",
]
