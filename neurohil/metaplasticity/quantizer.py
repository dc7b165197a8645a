"""From the hidden weight to the signed level that a device holds, and to the weight that the level stands for."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from neurohil.arrays import floats, integers
from neurohil.ranges import Scale


class Quantizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Uniform levels over -weight_range..weight_range with thresholds half-way between neighbours.

    A signed level k is an integer; its weight is weight_range k / max_level. An odd number of levels has one at zero,
    and k = -max_level..max_level in steps of 1, max_level = (levels - 1) / 2. An even number has none, and k takes the
    odd integers only, in steps of 2, max_level = levels - 1: a target made for all levels -max_level..max_level can
    hold it, but never uses every other one. Pairs of n-level devices make 2 n - 1 levels, an odd number.

    Hidden weights beyond the outermost levels stay there: they are not clipped.

    Parameters
    ----------
    levels : int, 2..128
    weight_range : float, 1e-6..1e6
        Weight of the highest level, in weight units.
    """

    levels: Annotated[int, msgspec.Meta(ge=2, le=128)] = 15
    weight_range: Scale = 1.0

    @property
    def step(self) -> float:
        """From one level to the next, in weight units (Delta)."""
        return 2.0 * self.weight_range / (self.levels - 1)

    @property
    def stride(self) -> int:
        """From one signed level to the next."""
        return 2 - self.levels % 2

    @property
    def max_level(self) -> int:
        """Largest signed level."""
        return (self.levels - 1) * self.stride // 2

    @property
    def first_threshold(self) -> float:
        """Smallest threshold that isn't negative, in steps: 0.5, or 0 for an even number of levels."""
        return 0.5 * (self.levels % 2)

    @property
    def last_threshold(self) -> float:
        """Largest threshold, in steps."""
        return (self.levels - 2) / 2

    def to_levels(self, hidden: ArrayLike) -> np.ndarray:
        """Nearest signed level of each hidden weight, any shape; int8. On a threshold: the higher level.

        Raises
        ------
        UserError
            A weight is no finite number.
        """
        hidden = floats("hidden weights", hidden, single=True)
        with np.errstate(over="ignore"):  # infinitely far beyond the outermost level
            in_steps = hidden * hidden.dtype.type(1.0 / self.step)
        nearest = self.stride * np.floor(in_steps + self.first_threshold) + (self.stride - 1)
        return np.clip(nearest, -self.max_level, self.max_level).astype(np.int8)

    def to_weights(self, levels: ArrayLike) -> np.ndarray:
        """Weights that signed levels stand for, same shape, float32.

        Raises
        ------
        UserError
            A level is no integer within -max_level..max_level.
        """
        remedy = "quantise the weights first"
        whole = integers("levels", levels, None, -self.max_level, self.max_level, remedy=remedy, narrow=True)
        return whole.astype(np.float32) * np.float32(self.weight_range / self.max_level)
