"""Signed weight levels as conductances, and back.

A weight is weight_range * level / max_level, with whole levels -max_level..max_level. A device has n conductances,
equally spaced between low and high as the column sees them, that is with the access transistor in series.

pair: two devices in neighbouring columns; G+ - G- = step * level, one of the two at low. max_level = n - 1.
offset: one device per weight, and one reference column per array, at the middle level; G - G_ref = step * level.
max_level = (n - 1) / 2, so n is odd.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .errors import CrossbarError, check_number, exact

_SCHEMES = ("pair", "offset")
_US_PER_S = 1e6


class Grid(NamedTuple):
    """How a layer is cut into arrays ("tiles"): from the first weight on, those at the end as large as needed.

    Attributes
    ----------
    shape : (int, int)
        Inputs and outputs of the layer.
    tile_rows, tile_weights : int
        Rows of an array, and weights in a row.
    """

    shape: tuple[int, int]
    tile_rows: int
    tile_weights: int

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // self.tile_rows), -(-self.shape[1] // self.tile_weights)

    def tile_shape(self, r: int, c: int) -> tuple[int, int]:
        """Rows and weights in a row of one tile."""
        rows = min(self.tile_rows, self.shape[0] - r * self.tile_rows)
        return rows, min(self.tile_weights, self.shape[1] - c * self.tile_weights)


@dataclass(frozen=True)
class Mapping:
    """How weights are laid out on the devices of an array.

    Parameters
    ----------
    levels_per_device : int
        n, 2..256; odd for scheme "offset".
    low_uS, high_uS : float
        Lowest and highest level as seen by the column, with the access transistor in series.
    scheme : {"pair", "offset"}
        Two devices per weight, or one and a shared reference column.
    weight_range : float
        Weight of the highest level.
    access_ohm : float
        On-resistance of the access transistor in series with each device.

    Raises
    ------
    CrossbarError
        A value is outside its range, or no device conductance gives high_uS through the transistor.
    """

    levels_per_device: int = 8
    low_uS: float = 0.0
    high_uS: float = 40.0
    scheme: Literal["pair", "offset"] = "pair"
    weight_range: float = 1.0
    access_ohm: float = 0.0

    def __post_init__(self) -> None:
        if self.scheme not in _SCHEMES:
            raise CrossbarError(
                f"mapping.scheme = {reprlib.repr(self.scheme)} is unknown; choose {' or '.join(_SCHEMES)}"
            )
        remedy = "a device has at least two levels"
        check_number("mapping.levels_per_device", self.levels_per_device, 2, 256, "", remedy, whole=True)
        if self.scheme == "offset" and self.levels_per_device % 2 == 0:
            raise CrossbarError(
                f"mapping.levels_per_device = {self.levels_per_device} is even, but the reference column of scheme"
                " 'offset' stands on the middle level; choose an odd number or scheme 'pair'"
            )
        check_number("mapping.low_uS", self.low_uS, 0.0, 1e6, "uS", "give a conductance")
        check_number("mapping.high_uS", self.high_uS, 0.0, 1e6, "uS", "give a conductance")
        if self.low_uS >= self.high_uS:
            raise CrossbarError(
                f"mapping.low_uS = {exact(self.low_uS)} uS is not below mapping.high_uS = {exact(self.high_uS)} uS;"
                " lower it"
            )
        check_number("mapping.weight_range", self.weight_range, 1e-12, 1e12, "", "give the largest weight")
        check_number("mapping.access_ohm", self.access_ohm, 0.0, 1e6, "ohm", "give the transistor's on-resistance")
        if self.high_uS * self.access_ohm >= _US_PER_S:
            raise CrossbarError(
                f"mapping.high_uS = {exact(self.high_uS)} uS cannot be reached through mapping.access_ohm ="
                f" {exact(self.access_ohm)} ohm, which alone conducts {exact(_US_PER_S / self.access_ohm)} uS; lower"
                " mapping.high_uS"
            )

    @property
    def max_level(self) -> int:
        """Largest signed level of a weight."""
        return self.levels_per_device - 1 if self.scheme == "pair" else (self.levels_per_device - 1) // 2

    @property
    def n_levels(self) -> int:
        """Signed levels of a weight, 2 max_level + 1."""
        return 2 * self.max_level + 1

    @property
    def step_uS(self) -> float:
        """From one level to the next, as seen by the column."""
        return (self.high_uS - self.low_uS) / (self.levels_per_device - 1)

    @property
    def weight_per_uS(self) -> float:
        """Weight of a difference of conductances."""
        return self.weight_range / (self.max_level * self.step_uS)

    @property
    def device_uS(self) -> NDArray[np.float64]:
        """What the devices are programmed to for each level, (levels_per_device,), without the transistor."""
        seen = np.linspace(self.low_uS, self.high_uS, self.levels_per_device)
        return seen / (1.0 - seen * self.access_ohm / _US_PER_S)

    def columns(self, n_weights: int) -> int:
        """Columns that so many weights of a row take."""
        return 2 * n_weights if self.scheme == "pair" else n_weights + 1

    def weights_in(self, columns: int) -> int:
        """Weights of a row that fit into so many columns."""
        return columns // 2 if self.scheme == "pair" else columns - 1

    def check_levels(self, levels: ArrayLike, shape: tuple[int | None, int | None] = (None, None)) -> NDArray[np.int64]:
        """Return levels as C-contiguous int64, or raise CrossbarError that names the first bad one."""
        top = self.max_level
        remedy = f"{self.levels_per_device} levels per device give {self.n_levels} signed levels ({self.scheme})"
        return integers("levels", levels, shape, -top, top, remedy=remedy)

    def device_levels(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Level 0..n-1 of each device, (m, columns), for checked signed levels (m, n_weights)."""
        m, n = levels.shape
        device = np.empty((m, self.columns(n)), dtype=np.int64)
        if self.scheme == "pair":
            np.maximum(levels, 0, out=device[:, 0::2])
            np.maximum(-levels, 0, out=device[:, 1::2])
        else:
            np.add(levels, self.max_level, out=device[:, :-1])
            device[:, -1] = self.max_level
        return device

    def to_conductance(self, levels: ArrayLike) -> NDArray[np.float64]:
        """What the devices are programmed to.

        Parameters
        ----------
        levels : (m, n_weights) array_like of int
            Signed levels -max_level..max_level.

        Returns
        -------
        (m, columns) float64
            uS, without the access transistor. Columns of weight j are 2 j (positive) and 2 j + 1 (negative) for pairs;
            j, and the reference last, for "offset".

        Raises
        ------
        CrossbarError
            Not integers, not two-dimensional, or a level out of range.
        """
        return self.device_uS[self.device_levels(self.check_levels(levels))]

    def difference(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positive minus negative column, or column minus reference column, (m, columns) to (m, n_weights)."""
        columns = floats("columns", columns, (None, None))
        if columns.shape[1] < 2 or (self.scheme == "pair" and columns.shape[1] % 2):
            raise CrossbarError(
                f"{columns.shape[1]} columns hold no whole weights of scheme {reprlib.repr(self.scheme)}; give"
                f" {'an even number' if self.scheme == 'pair' else 'at least two, the reference last'}"
            )
        if self.scheme == "pair":
            return columns[:, 0::2] - columns[:, 1::2]
        return columns[:, :-1] - columns[:, -1:]
