"""What can be chosen about a layer on arrays, checked as a whole."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field
from typing import Literal

from .converters import AdcConfig, DacConfig
from .device import FaultConfig, RtnConfig, WearConfig
from .device_model import DeviceModel
from .errors import CrossbarError, check_number, exact
from .mapping import Mapping
from .parasitics import WireConfig, with_access
from .presets import preset
from .programming import Recipe


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CrossbarError(f"crossbar.{name} = {reprlib.repr(value)} is unknown; choose {' or '.join(choices)}")


@dataclass(frozen=True)
class CrossbarConfig:
    """What can be chosen about a layer on arrays.

    Parameters
    ----------
    device : DeviceModel
    levels_per_device, scheme, weight_range
        As for `Mapping`.
    low_uS, high_uS : float or None
        Lowest and highest level as the columns see them; None: the whole range of the device.
    layout : {"tiled", "statistical"}
        The layer on as many arrays as it takes, or on a single array of its size without wires.
    tile_rows, tile_columns : int
        Size of an array, for layout "tiled".
    wires : WireConfig or None
        None: no resistance anywhere.
    dac : DacConfig
    adc : AdcConfig
    conversion : {"tile", "output"}
        One conversion per row of tiles and output, or one per output: the currents of the tiles are summed first.
    recipe : Recipe
    relax_tolerance_uS : float
        Error of a conductance that is accepted to save work, see `Tile.relax`; 0 for none.
    faults, wear, rtn
        As for `Cells`.
    """

    device: DeviceModel = field(default_factory=preset)
    levels_per_device: int = 8
    scheme: Literal["pair", "offset"] = "pair"
    weight_range: float = 1.0
    low_uS: float | None = None
    high_uS: float | None = None
    layout: Literal["tiled", "statistical"] = "tiled"
    tile_rows: int = 128
    tile_columns: int = 128
    wires: WireConfig | None = None
    dac: DacConfig = field(default_factory=DacConfig)
    adc: AdcConfig = field(default_factory=AdcConfig)
    conversion: Literal["tile", "output"] = "tile"
    recipe: Recipe = field(default_factory=Recipe)
    relax_tolerance_uS: float = 0.01
    faults: FaultConfig = field(default_factory=FaultConfig)
    wear: WearConfig = field(default_factory=WearConfig)
    rtn: RtnConfig = field(default_factory=RtnConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.device, DeviceModel):
            raise CrossbarError(f"crossbar.device = {self.device!r} is not a DeviceModel; get one from presets.preset")
        _check_choice("layout", self.layout, ("tiled", "statistical"))
        _check_choice("conversion", self.conversion, ("tile", "output"))
        if self.layout == "statistical" and self.wires is not None:
            raise CrossbarError("crossbar.wires are for layout 'tiled'; the array of layout 'statistical' has none")
        check_number("crossbar.tile_rows", self.tile_rows, 1, 65_536, "", "give the rows of an array", whole=True)
        remedy = "a weight takes two columns: a pair, or its own and the reference"
        check_number("crossbar.tile_columns", self.tile_columns, 2, 65_536, "", remedy, whole=True)
        remedy = "give the accepted error, 0 for none"
        check_number("relax_tolerance_uS", self.relax_tolerance_uS, 0.0, 1e6, "uS", remedy)
        self.mapping()

    def mapping(self) -> Mapping:
        """How weights are laid out; CrossbarError if the device can't reach the levels."""
        device, access_ohm = self.device, 0.0 if self.wires is None else self.wires.access_ohm
        seen = with_access([device.g_low_uS, device.g_high_uS], access_ohm)
        mapping = Mapping(
            levels_per_device=self.levels_per_device,
            low_uS=float(seen[0]) if self.low_uS is None else self.low_uS,
            high_uS=float(seen[1]) if self.high_uS is None else self.high_uS,
            scheme=self.scheme,
            weight_range=self.weight_range,
            access_ohm=access_ohm,
        )
        slack = 1e-9 * device.g_high_uS
        for name, level, reach in (("low_uS", 0, seen[0]), ("high_uS", -1, seen[1])):
            needed = mapping.device_uS[level]
            if not device.g_low_uS - slack <= needed <= device.g_high_uS + slack:
                raise CrossbarError(
                    f"mapping.{name} = {exact(getattr(mapping, name))} uS, seen through {exact(access_ohm)} ohm, takes"
                    f" a device of {exact(needed)} uS, outside {exact(device.g_low_uS)}..{exact(device.g_high_uS)} uS"
                    f" of {device.name};"
                    f" the {'lowest' if level == 0 else 'highest'} it can show is {exact(reach)} uS"
                )
        return mapping
