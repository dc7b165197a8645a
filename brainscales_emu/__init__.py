"""An emulated BrainScaleS-2 chip: physics only, with the fixed pattern and the noise of a real one.

>>> from brainscales_emu import Chip, Network
>>> net = Network(Chip("calibrated", serial=7))

What needs compiled code is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .adex import AdexConfig
from .config import (
    PRESET_NAMES,
    ChipConfig,
    EventPathConfig,
    LinkConfig,
    NoiseConfig,
    SaturationConfig,
    StpConfig,
    preset,
)
from .errors import ChipError, PlacementError
from .recording import Probe, Recording
from .routing.placement import Placement, place, place_feedforward

if TYPE_CHECKING:  # else `__getattr__` would let type checkers take any name
    from .calibration import Calibration, calibrate, read_codes
    from .cells import Neuron, SpikeSourceArray, SpikeSourcePoisson, SpikeSourcePoissonOnChip
    from .chip import Chip
    from .connectors import AllToAll, FixedProbability, OneToOne
    from .measured import MeasuredCircuits
    from .multichip import Setup
    from .network import Network
else:

    def __getattr__(name: str) -> object:
        for module, names in _LOADED_LATER.items():
            if name in names:
                globals()[name] = found = getattr(import_module(f".{module}", __name__), name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "PRESET_NAMES",
    "AdexConfig",
    "AllToAll",
    "Calibration",
    "Chip",
    "ChipConfig",
    "ChipError",
    "EventPathConfig",
    "FixedProbability",
    "LinkConfig",
    "MeasuredCircuits",
    "Network",
    "Neuron",
    "NoiseConfig",
    "OneToOne",
    "Placement",
    "PlacementError",
    "Probe",
    "Recording",
    "SaturationConfig",
    "Setup",
    "SpikeSourceArray",
    "SpikeSourcePoisson",
    "SpikeSourcePoissonOnChip",
    "StpConfig",
    "calibrate",
    "place",
    "place_feedforward",
    "preset",
    "read_codes",
]

_LOADED_LATER = {
    "calibration": ("Calibration", "calibrate", "read_codes"),
    "cells": ("Neuron", "SpikeSourceArray", "SpikeSourcePoisson", "SpikeSourcePoissonOnChip"),
    "chip": ("Chip",),
    "connectors": ("AllToAll", "FixedProbability", "OneToOne"),
    "measured": ("MeasuredCircuits",),
    "multichip": ("Setup",),
    "network": ("Network",),
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
