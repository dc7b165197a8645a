"""The ideal matrix target: weights are exactly what was written, products are exact but for single precision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.arrays import floats, integers
from neurohil.blas import one_thread
from neurohil.errors import UserError
from neurohil.jit import njit
from neurohil.protocols import (
    Levels,
    MatrixCapabilities,
    Provenance,
    Quantity,
    WeightLevels,
    WeightStorage,
    WriteReport,
)

_CHUNK = 64  # levels that are looked at together: in most of them none has changed


class IdealMatrixConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ideal", tag_field="kind"):
    """The ideal target has nothing to set: it takes the levels that the network's quantiser makes."""

    def build(self, shapes: Sequence[tuple[int, int]], levels: WeightLevels, seed: int) -> IdealMatrixTarget:
        """Ideal weights of these levels; layers may have any shape, and there is no noise."""
        return IdealMatrixTarget(levels.max_level, levels.weight_range, levels.levels)


class IdealMatrixTarget:
    """Products of inputs and quantised weights in float32: no noise, no converters, no wear, no time.

    Parameters
    ----------
    max_level : int, > 0
        Largest signed level.
    weight_range : float, > 0
        Weight of that level.
    levels : int, optional
        How many of the levels -max_level..max_level a weight takes; by default all. An odd number is taken to be held
        by a pair of cells, an even one by a single cell.
    """

    label = "ideal weights"
    provenance = Provenance(
        "computed", "All results were computed with ideal weights; no hardware, real or emulated, was involved."
    )
    programmed_by_pulses = False

    def __init__(self, max_level: int, weight_range: float, levels: int | None = None) -> None:
        levels = 2 * max_level + 1 if levels is None else levels
        self.storage = WeightStorage((levels + 1) // 2, 2) if levels % 2 else WeightStorage(levels, 1)
        self.capabilities = MatrixCapabilities(
            n_levels=2 * max_level + 1,
            max_level=max_level,
            weight_range=weight_range,
            input_min=-math.inf,
            input_max=math.inf,
            reads_back=True,
        )
        self._scale = np.float32(weight_range / max_level)
        self._levels: list[NDArray[np.float32]] = []  # whole numbers: products of levels are scaled, not levels
        self._changed = 0
        self._vectors = 0

    def write(self, layers: Sequence[Levels]) -> WriteReport:
        if self._are_usual(layers):
            # As in every step of a training: few levels change, and only these are looked at.
            places = [changed_places(new.ravel(), old.ravel()) for new, old in zip(layers, self._levels, strict=True)]
            values = [new.ravel()[where] for new, where in zip(layers, places, strict=True)]
            if all((np.abs(some) <= self.capabilities.max_level).all() for some in values):
                for held, where, some in zip(self._levels, places, values, strict=True):
                    held.ravel()[where] = some
                return self._report(sum(where.size for where in places))
        new = [self._checked(k, levels) for k, levels in enumerate(layers)]
        old = self._levels or [np.full_like(levels, np.nan) for levels in new]
        if [levels.shape for levels in new] != [levels.shape for levels in old]:
            raise UserError(
                f"levels have shapes {[levels.shape for levels in new]}, but this target holds layers of "
                f"{[levels.shape for levels in old]}; make a new target for another network"
            )
        changed = sum(int(np.count_nonzero(one != other)) for one, other in zip(new, old, strict=True))
        self._levels = new
        return self._report(changed)

    def calibrate(self, layer: int, x: NDArray[Any]) -> None:
        """Nothing to set: there are no converters."""

    @one_thread
    def multiply(self, layer: int, x: NDArray[Any], trial: int) -> NDArray[Any]:
        levels = self._layer(layer)
        inputs = floats("inputs", x, (None, len(levels)), -1e30, 1e30, remedy="scale the inputs", single=True)
        self._vectors += len(inputs)
        product: NDArray[np.float32] = inputs.astype(np.float32, copy=False) @ levels
        product *= self._scale
        return product

    def read(self, layer: int, trial: int) -> NDArray[Any]:
        return self._layer(layer) * self._scale

    def _layer(self, layer: int) -> NDArray[np.float32]:
        """Levels of a layer."""
        remedy = "name a layer that was written"
        return self._levels[int(integers("layer", layer, (), 0, len(self._levels) - 1, remedy=remedy))]

    def wait(self, seconds: float) -> None:
        """Ideal weights don't age."""

    def account(self) -> dict[str, Any]:
        return {"weights_changed": self._changed, "vectors": self._vectors}

    def results(self) -> list[Quantity]:
        return []

    def told(self, results: Mapping[str, float]) -> list[tuple[str, str]]:
        return []

    def wear(self) -> float | None:
        return None

    def maps(self) -> list[Quantity]:
        return []

    def state(self) -> dict[str, NDArray[Any]]:
        levels = {f"levels_{k}": levels.copy() for k, levels in enumerate(self._levels)}
        return {"counts": np.array([self._changed, self._vectors], dtype=np.int64), **levels}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._changed, self._vectors = (int(n) for n in state["counts"])
        self._levels = [state[f"levels_{k}"].copy() for k in range(len(state) - 1)]

    def _checked(self, layer: int, levels: Levels) -> NDArray[np.float32]:
        limit, remedy = self.capabilities.max_level, "quantise the weights for this target"
        return integers(
            f"layer {layer}: levels", levels, (None, None), -limit, limit, remedy=remedy, narrow=True
        ).astype(np.float32)

    def _are_usual(self, layers: Sequence[Levels]) -> bool:
        """Whether they are arrays of int64 like those written before, but for values."""
        return len(layers) == len(self._levels) and all(
            type(new) is np.ndarray and new.dtype == np.int64 and new.flags.c_contiguous and new.shape == old.shape
            for new, old in zip(layers, self._levels, strict=True)
        )

    def _report(self, changed: int) -> WriteReport:
        self._changed += changed
        return WriteReport(changed=changed, pulses=0, failed=0)


def changed_places(new: NDArray[np.int64], old: NDArray[np.float32]) -> NDArray[np.int64]:
    """Where levels (n,) int64 aren't those of (n,) float32, whole numbers within 2**31; ascending, int64."""
    places: NDArray[np.int64] = _changed_places(new, old)
    return places


@njit(cache=True, error_model="numpy")
def _changed_places(new: NDArray[np.int64], old: NDArray[np.float32]) -> NDArray[np.int64]:
    n = new.size
    places, found = np.empty(n, np.int64), 0
    for begin in range(0, n, _CHUNK):
        some, held = new[begin : begin + _CHUNK], old[begin : begin + _CHUNK]
        differ = 0
        for i in range(some.size):
            differ += some[i] != np.int64(np.int32(held[i]))
        if differ > 0:
            for i in range(some.size):
                if some[i] != np.int64(np.int32(held[i])):
                    places[found] = begin + i
                    found += 1
    return places[:found].copy()
