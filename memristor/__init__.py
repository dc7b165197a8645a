"""An emulated 130 nm multi-level memristor crossbar: physics only, with the noise and the wear of a real one.

    from memristor import Crossbar
    array = Crossbar((128, 64), levels=9, device="hfox_wan2022", serial=1)

Which individual array it is follows from `serial`, the noise of writes and reads from `seed` (and a trial's number).

    device_model how far a conductance lies from its target; presets: those with a name; table: measured ones
    device       one array of devices: program, relax, read, wear; its loops are in kernels/device
    programming  write once, write and verify, small pulses
    parasitics   wires           tile        an array with its wires
    mapping      weights on devices          converters  row voltages and codes
    config       what can be chosen          crossbar    a layer on arrays: write, age, multiply, read, look
    controller   commands and banks on a clock; phases, costs and pulse_log: what they take
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# ruff: noqa: F401 (what follows is for type checkers; `__all__` names it all)
if TYPE_CHECKING:
    from .config import CrossbarConfig
    from .controller import Controller, Multiply, Program, Read, Wait
    from .converters import AdcConfig, DacConfig
    from .costs import CostTable
    from .crossbar import Crossbar
    from .device import Cells, FaultConfig, RtnConfig, WearConfig
    from .device_model import DeviceModel
    from .errors import CrossbarError
    from .mapping import Mapping
    from .parasitics import WireConfig
    from .presets import PRESET_NAMES, preset
    from .programming import Recipe
    from .table import table_model
    from .tile import Tile

# In which file a name stands. It is loaded at its first use: the compiler of the kernels alone takes half a second.
_FILES = {
    "config": ("CrossbarConfig",),
    "controller": ("Controller", "Multiply", "Program", "Read", "Wait"),
    "converters": ("AdcConfig", "DacConfig"),
    "costs": ("CostTable",),
    "crossbar": ("Crossbar",),
    "device": ("Cells", "FaultConfig", "RtnConfig", "WearConfig"),
    "device_model": ("DeviceModel",),
    "errors": ("CrossbarError",),
    "mapping": ("Mapping",),
    "parasitics": ("WireConfig",),
    "presets": ("PRESET_NAMES", "preset"),
    "programming": ("Recipe",),
    "table": ("table_model",),
    "tile": ("Tile",),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FILE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
