"""An emulated BrainScaleS-2 chip: physics only, with the fixed pattern and the noise of a real one.

Compiled code is loaded on first use: ``from brainscales_emu.chip import Chip``.
"""

from .config import PRESET_NAMES, ChipConfig, LinkConfig, NoiseConfig, preset
from .errors import ChipError, PlacementError
from .routing import Placement, Wiring, place_feedforward

__all__ = [
    "PRESET_NAMES",
    "ChipConfig",
    "ChipError",
    "LinkConfig",
    "NoiseConfig",
    "Placement",
    "PlacementError",
    "Wiring",
    "place_feedforward",
    "preset",
]
