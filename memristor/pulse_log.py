"""Every single pulse of a programming run: when, where, and what became of the cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .costs import CostTable
from .device import Cells, Selection
from .shown import shown

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PULSE = np.dtype(
    [
        ("time_ns", np.int64),  # start of the pulse
        ("layer", np.int64),
        ("tile_row", np.int64),
        ("tile_column", np.int64),
        ("row", np.int64),
        ("column", np.int64),
        ("kind", np.int8),  # +1 SET, -1 RESET
        ("before_uS", np.float64),
        ("after_uS", np.float64),
    ]
)


@shown
class PulseLog(NamedTuple):
    """Single pulses.

    Attributes
    ----------
    pulses : (n,) PULSE
        In order of time. Between the RESET and the SET of one cycle the conductance is NaN: nothing reads the cell
        there, and the model has no value for it. Conductances before are as last computed, see
        `CrossbarConfig.relax_tolerance_uS`.
    missing : int
        Pulses beyond the limit of the log.
    """

    pulses: NDArray[np.void]
    missing: int

    def _facts(self) -> dict[str, object]:
        sets = int(np.count_nonzero(self.pulses["kind"] > 0))
        return {"SET": sets, "RESET": self.pulses.size - sets, "missing": self.missing}


class PulseCall(NamedTuple):
    """One programming call of the devices: which cells got a SET and a RESET pulse, and what became of them."""

    rows: IntArray
    columns: IntArray
    was_set: NDArray[np.bool_]
    was_reset: NDArray[np.bool_]
    before_uS: FloatArray
    after_uS: FloatArray


class Recorder:
    """Pulses with their times, up to a limit."""

    def __init__(self, costs: CostTable, limit: int) -> None:
        self._costs, self._room, self._missing = costs, limit, 0
        self._parts = [np.empty(0, dtype=PULSE)]

    def add(self, start_ns: int, layer: int, tile: tuple[int, int], call: PulseCall) -> None:
        """The pulses of one call, whose first row has its slot at start_ns."""
        slots_ns = start_ns + np.unique(call.rows, return_inverse=True)[1] * self._costs.pulse_slot_ns
        both = call.was_set & call.was_reset
        pulses = np.empty((2, call.rows.size), dtype=PULSE)  # RESET and SET
        pulses["time_ns"] = slots_ns, slots_ns + self._costs.reset_ns
        pulses["layer"], (pulses["tile_row"], pulses["tile_column"]) = layer, tile
        pulses["row"], pulses["column"] = call.rows, call.columns
        pulses["kind"] = [[-1], [1]]
        pulses["before_uS"] = call.before_uS, np.where(both, np.nan, call.before_uS)
        pulses["after_uS"] = np.where(both, np.nan, call.after_uS), call.after_uS
        given = pulses[np.stack([call.was_reset, call.was_set])]
        kept = given[np.argsort(given["time_ns"], kind="stable")][: self._room]
        self._room -= kept.size
        self._missing += given.size - kept.size
        self._parts.append(kept)

    def read(self) -> PulseLog:
        """All pulses, in order of time."""
        pulses = np.concatenate(self._parts)
        return PulseLog(pulses[np.argsort(pulses["time_ns"], kind="stable")], self._missing)


@contextmanager
def watched(cells: Cells) -> Iterator[list[PulseCall]]:
    """Programming calls of the devices, with the conductances before and after, while the context lasts."""
    calls: list[PulseCall] = []

    def watch(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            cells_named = arguments[0] if isinstance(arguments[0], Selection) else arguments
            rows, columns = cells_named[:2]
            at = rows, columns
            before_uS, sets, resets = cells.g_uS[at], cells.set_pulses[at], cells.reset_pulses[at]
            method(*arguments)
            was_set, was_reset = cells.set_pulses[at] > sets, cells.reset_pulses[at] > resets
            calls.append(PulseCall(rows, columns, was_set, was_reset, before_uS, cells.g_uS[at]))

        return call

    methods = ("cycle", "pulse")
    for name in methods:
        setattr(cells, name, watch(getattr(cells, name)))
    try:
        yield calls
    finally:
        for name in methods:
            delattr(cells, name)
