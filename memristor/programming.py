"""Programming algorithms on an array of devices: one cycle, cycles with verification, small pulses.

All of them are bounded: a cell that doesn't reach its target in `max_pulses` pulses is reported, and left.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .device import Cells, Selection
from .device_model import MAX_TIME_S
from .errors import CrossbarError, check_number, exact
from .shown import shown

_METHODS = ("one_shot", "write_verify", "incremental")


@shown
class ProgramReport(NamedTuple):
    """What it took, per named cell in the order in which they were named.

    Attributes
    ----------
    pulses : (n,) int64
        SET and RESET pulses together.
    verified : (n,) bool
        The cell was read back within the tolerance. Relaxation may have carried it away since.
    rounds : int
        How often the controller had to read back.
    error_uS : (n,) float64
        Conductance minus target at the end of the call.
    """

    pulses: NDArray[np.int64]
    verified: NDArray[np.bool_]
    rounds: int
    error_uS: NDArray[np.float64]

    def _facts(self) -> dict[str, object]:
        rms_uS = float(np.sqrt(np.mean(np.square(self.error_uS)))) if self.error_uS.size else 0.0
        return {
            "cells": self.pulses.size,
            "pulses": int(self.pulses.sum()),
            "verified": int(self.verified.sum()),
            "rounds": self.rounds,
            "error": f"{rms_uS:.3g} uS rms",
        }


@dataclass(frozen=True)
class Recipe:
    """How devices are programmed; the functions of this file say what each method does.

    Parameters
    ----------
    method : {"one_shot", "write_verify", "incremental"}
    tolerance_uS : float
        Largest accepted distance from the target; not for one_shot.
    max_pulses : int
        Most pulses per cell; not for one_shot.
    wait_s : float
        From a cycle to its verification; for write_verify.
    """

    method: Literal["one_shot", "write_verify", "incremental"] = "one_shot"
    tolerance_uS: float = 1.0
    max_pulses: int = 20
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise CrossbarError(f"recipe.method = {reprlib.repr(self.method)} is unknown; choose {', '.join(_METHODS)}")
        check_number("recipe.tolerance_uS", self.tolerance_uS, 0.0, 1e6, "uS", "give the accepted distance")
        check_number("recipe.max_pulses", self.max_pulses, 2, 1_000_000, "pulses", "a cycle takes two", whole=True)
        check_number("recipe.wait_s", self.wait_s, 0.0, 1e9, "s", "give the time before a verification")
        if self.wait_s > 0.0 and self.method != "write_verify":
            raise CrossbarError(
                f"recipe.wait_s = {exact(self.wait_s)} s is for 'write_verify'; method {self.method!r} doesn't wait"
            )

    @property
    def verifies(self) -> bool:
        """Whether cells are read back."""
        return self.method != "one_shot"

    def program(
        self, cells: Cells, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike, now_s: float
    ) -> ProgramReport:
        """Program the named cells by this method; parameters, returns and errors as for `write_verify`."""
        if self.method == "one_shot":
            return one_shot(cells, rows, columns, targets_uS, now_s)
        if self.method == "incremental":
            return incremental(cells, rows, columns, targets_uS, now_s, self.tolerance_uS, self.max_pulses)
        limits = (now_s, self.tolerance_uS, self.max_pulses, self.wait_s)
        return write_verify(cells, rows, columns, targets_uS, *limits)


def one_shot(cells: Cells, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike, now_s: float) -> ProgramReport:
    """One programming cycle for each named cell, without reading back: nothing is verified.

    Parameters
    ----------
    cells : Cells
    rows, columns : array_like of int, (n,)
        Each cell at most once.
    targets_uS : array_like of float, (n,)
        Within the range of the device model.
    now_s : float
        Time of the write, not before the last write or relaxation of the array.

    Returns
    -------
    ProgramReport

    Raises
    ------
    CrossbarError
        Bad cells, targets or time; the array is as it was.
    """
    chosen = cells.select(rows, columns, targets_uS)
    cells.check_time(now_s)
    cells.cycle(chosen, now_s)
    return ProgramReport(
        pulses=_pulses_of_a_cycle(cells, chosen.targets_uS),
        verified=np.zeros(chosen.rows.size, dtype=np.bool_),
        rounds=0,
        error_uS=cells.g_uS[chosen.rows, chosen.columns] - chosen.targets_uS,
    )


def write_verify(
    cells: Cells,
    rows: ArrayLike,
    columns: ArrayLike,
    targets_uS: ArrayLike,
    now_s: float,
    tolerance_uS: float,
    max_pulses: int,
    wait_s: float = 0.0,
) -> ProgramReport:
    """Programming cycles until each cell reads back within the tolerance; only the others get another cycle.

    With a wait, relaxation acts between the cycle and the reading, so that devices that drift far are programmed anew
    (Esmanhotto et al., Adv. Intell. Syst. 2022). Reading back is taken as free of noise (assumed: it is averaged).
    Stuck and worn-out cells are found like this too, unless they happen to stand within the tolerance.

    Parameters
    ----------
    cells, rows, columns, targets_uS, now_s
        As for `one_shot`.
    tolerance_uS : float
        Largest accepted distance from the target.
    max_pulses : int
        Largest number of SET and RESET pulses per cell, at least 2: one cycle.
    wait_s : float
        Time from each cycle to its verification. The call ends at ``cells.now_s``: now_s + rounds * wait_s.

    Returns
    -------
    ProgramReport

    Raises
    ------
    CrossbarError
        A bad value; the array is as it was.
    """
    chosen = cells.select(rows, columns, targets_uS)
    _check_limits(cells, now_s, tolerance_uS, max_pulses, fewest=2)
    longest_s = (MAX_TIME_S - now_s) / (max_pulses + 1)
    check_number("wait_s", wait_s, 0.0, longest_s, "s", "give the time between a write and its verification")
    cost = _pulses_of_a_cycle(cells, chosen.targets_uS)
    pulses = np.zeros_like(cost)
    verified = np.zeros(cost.size, dtype=np.bool_)
    rounds, left = 0, np.arange(cost.size)
    while left.size:
        r, c, target = chosen.rows[left], chosen.columns[left], chosen.targets_uS[left]
        cells.cycle(Selection(r, c, target), now_s)
        pulses[left] += cost[left]
        if wait_s > 0.0:
            now_s += wait_s
            cells.relax(now_s)
        rounds += 1
        verified[left] = np.abs(cells.g_uS[r, c] - target) <= tolerance_uS
        left = left[~verified[left] & (pulses[left] + cost[left] <= max_pulses)]
    return ProgramReport(pulses, verified, rounds, cells.g_uS[chosen.rows, chosen.columns] - chosen.targets_uS)


def incremental(
    cells: Cells,
    rows: ArrayLike,
    columns: ArrayLike,
    targets_uS: ArrayLike,
    now_s: float,
    tolerance_uS: float,
    max_pulses: int,
) -> ProgramReport:
    """Small SET and RESET pulses from the present conductance, each followed by a reading, until within the tolerance.

    A cell that is there already gets no pulse. A step larger than twice the tolerance may swing around the target for
    ever: such cells end unverified.

    Parameters, returns and errors as for `write_verify`; max_pulses is at least 1.
    """
    chosen = cells.select(rows, columns, targets_uS)
    _check_limits(cells, now_s, tolerance_uS, max_pulses, fewest=1)
    cells.relax(now_s)
    pulses = np.zeros(chosen.rows.size, dtype=np.int64)
    verified = np.zeros(chosen.rows.size, dtype=np.bool_)
    rounds, left = 0, np.arange(chosen.rows.size)
    while left.size:
        r, c, target = chosen.rows[left], chosen.columns[left], chosen.targets_uS[left]
        rounds += 1
        verified[left] = np.abs(cells.g_uS[r, c] - target) <= tolerance_uS
        left = left[~verified[left] & (pulses[left] < max_pulses)]
        if left.size:
            cells.pulse(chosen.rows[left], chosen.columns[left], chosen.targets_uS[left], now_s)
            pulses[left] += 1
    return ProgramReport(pulses, verified, rounds, cells.g_uS[chosen.rows, chosen.columns] - chosen.targets_uS)


def _pulses_of_a_cycle(cells: Cells, targets_uS: NDArray[np.float64]) -> NDArray[np.int64]:
    """RESET and SET; RESET alone for the lowest conductance."""
    return np.where(targets_uS > cells.model.g_low_uS, 2, 1)


def _check_limits(cells: Cells, now_s: float, tolerance_uS: float, max_pulses: int, fewest: int) -> None:
    cells.check_time(now_s)
    remedy = "give the largest accepted distance from the target"
    check_number("tolerance_uS", tolerance_uS, 0.0, cells.model.range_uS, "uS", remedy)
    check_number("max_pulses", max_pulses, fewest, 1_000_000, "pulses", "give the patience per cell", whole=True)
