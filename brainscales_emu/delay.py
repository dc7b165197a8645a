"""Delay elements: the law between register and time, and what one element does with its events.

A delay element is a pair of neighbouring circuits: the reset compartment (256 + 2k) is triggered by an event and
holds the membrane for its refractory time; the adaptation compartment (257 + 2k) fires when it is let go. While
the element waits it is busy, and further events are lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constants import DELAY_BASE_US, DELAY_STEP_US, MAX_DELAY_REGISTER, MIN_DELAY_REGISTER
from .errors import ChipError, exact


def check_registers(name: str, registers: NDArray[np.int64]) -> None:
    """Raise ChipError unless all registers lie in 50..250."""
    bad = np.flatnonzero((registers < MIN_DELAY_REGISTER) | (registers > MAX_DELAY_REGISTER))
    if bad.size:
        raise ChipError(
            f"{name}[{bad[0]}] = {registers[bad[0]]} is outside {MIN_DELAY_REGISTER}..{MAX_DELAY_REGISTER}; "
            "clip the register or drop the delay element"
        )


def register_to_us(registers: ArrayLike) -> NDArray[np.float64]:
    """Nominal delay of each register value.

    Parameters
    ----------
    registers : array_like of int, any shape
        50..250.

    Returns
    -------
    ndarray of float64, same shape
        Delay in us, register / 8 + 2 (DelGrad, authors' code): 8.25..33.25 us in steps of 0.125 us.

    Raises
    ------
    ChipError
        A value isn't an integer or lies outside 50..250.
    """
    array = np.asarray(registers)
    if array.dtype.kind not in "iu":
        raise ChipError(f"delay registers are of type {array.dtype}, not integers; use us_to_register for times")
    check_registers("chip.delay_register", array.ravel().astype(np.int64))
    return array * DELAY_STEP_US + DELAY_BASE_US


def us_to_register(delays_us: ArrayLike) -> NDArray[np.int64]:
    """Register whose nominal delay is nearest to each time (ties to the even register).

    Parameters
    ----------
    delays_us : array_like of float, any shape
        Wanted delays, 8.25..33.25 us.

    Returns
    -------
    ndarray of int64, same shape
        Registers 50..250.

    Raises
    ------
    ChipError
        A delay is NaN or outside the range; the message names the first one.
    """
    delays = np.asarray(delays_us, dtype=np.float64)
    shortest = MIN_DELAY_REGISTER * DELAY_STEP_US + DELAY_BASE_US
    longest = MAX_DELAY_REGISTER * DELAY_STEP_US + DELAY_BASE_US
    flat = delays.ravel()
    bad = np.flatnonzero(~((flat >= shortest) & (flat <= longest)))
    if bad.size:
        value = flat[bad[0]]
        name = f"chip.delay[{bad[0]}] = {exact(value)} us"
        if np.isnan(value):
            raise ChipError(f"{name} is not a time; give a delay within {exact(shortest)}..{exact(longest)} us")
        if value < shortest:
            raise ChipError(
                f"{name} is below the shortest delay {exact(shortest)} us; raise it or drop the delay element"
            )
        raise ChipError(f"{name} is above the longest delay {exact(longest)} us; lower it")
    return np.rint((delays - DELAY_BASE_US) / DELAY_STEP_US).astype(np.int64)


def fire_times(
    triggers_us: Sequence[float], delay_us: float, jitters_us: Sequence[float] = ()
) -> tuple[list[float], int]:
    """Output times of one delay element and the number of lost events: the readable twin of the engine.

    Parameters
    ----------
    triggers_us : sequence of float
        Event times in us, ascending.
    delay_us : float
        Delay of this element.
    jitters_us : sequence of float
        Jitter of each accepted event, in order; none means no jitter.

    Returns
    -------
    times_us : list of float
        When the element fires.
    lost : int
        Events that came while the element was busy.
    """
    fired: list[float] = []
    lost = 0
    for trigger in triggers_us:
        if fired and trigger < fired[-1]:
            lost += 1
            continue
        jitter = jitters_us[len(fired)] if len(jitters_us) else 0.0
        fired.append(trigger + delay_us + jitter)
    return fired, lost
