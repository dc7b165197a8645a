"""Delay elements: the law between register and time, and what one element does with its events.

A delay element is a pair of neighbouring circuits: the reset compartment (256 + 2k) is triggered by an event and
holds the membrane for its refractory time; the adaptation compartment (257 + 2k) fires when it is let go. While
the element waits it is busy, and further events are lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Shape, floats, integers
from .constants import DELAY_BASE_US, DELAY_STEP_US, MAX_DELAY_REGISTER, MIN_DELAY_REGISTER


def check_registers(name: str, registers: ArrayLike, shape: Shape | None = None) -> NDArray[np.int64]:
    """The registers as int64, or ChipError unless all lie in 50..250."""
    remedy = "clip the register or drop the delay element; us_to_register makes registers of times"
    return integers(name, registers, shape, MIN_DELAY_REGISTER, MAX_DELAY_REGISTER, remedy=remedy)


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
    return nominal_us(check_registers("chip.delay_register", registers))


def nominal_us(registers: NDArray[np.int64]) -> NDArray[np.float64]:
    """`register_to_us` of registers that were checked."""
    return registers.astype(np.float64) * DELAY_STEP_US + DELAY_BASE_US


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
    shortest = MIN_DELAY_REGISTER * DELAY_STEP_US + DELAY_BASE_US
    longest = MAX_DELAY_REGISTER * DELAY_STEP_US + DELAY_BASE_US
    remedy = "change the delay or drop the delay element"
    delays = floats("chip.delay", delays_us, None, shortest, longest, "us", remedy)
    return np.rint((delays - DELAY_BASE_US) / DELAY_STEP_US).astype(np.int64)
