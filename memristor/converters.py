"""From numbers to row voltages and from column currents to codes.

DAC. An input x is the voltage v_read x. Signed inputs drive the rows above and below the virtual ground of the columns
(bipolar drive, one phase). With a finite number of bits the codes are -S..S with S = 2^(bits - 1) - 1 for signed
inputs (so that 0 is a code) and 0..S with S = 2^bits - 1 for unsigned ones. Bit-serial: the magnitude's bits are sent
one plane after another at full voltage, with the input's sign; every plane is converted, and the results are added
with the weights 2^p / S.

ADC. code = round(I / lsb + offset), held within its codes: -T..T with T = 2^(bits - 1) - 1 where currents have both
signs, 0..T with T = 2^bits - 1 where they can't. lsb = range / T. Ties go to the even code. Columns of a weight are
subtracted before the conversion (one conversion per weight) or after it (one per column).

`encode`, `read_noise` and `digitise` are the readable form of what kernels.multiply does.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .errors import CrossbarError, check_number, exact
from .kernels.multiply import normal_table

FloatArray = NDArray[np.float64]

MAX_READ_V = 0.3  # above, reading disturbs the devices and their current isn't proportional to the voltage


def _check_bits(name: str, bits: int | None, fewest: int) -> None:
    if bits is not None:
        check_number(name, bits, fewest, 16, "bits", "choose a resolution, or None for an ideal converter", whole=True)


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise CrossbarError(f"{name} = {reprlib.repr(value)} is not true or false; give one of them")


@dataclass(frozen=True)
class DacConfig:
    """Row drivers.

    Parameters
    ----------
    bits : int or None
        1..16 (2..16 for signed inputs); None: analogue.
    v_read_V : float
        Voltage of an input of 1, at most 0.3 V.
    bit_serial : bool
        One bit plane after another; needs `bits`.
    signed : bool
        Inputs -1..1, else 0..1.

    Raises
    ------
    CrossbarError
        A value is outside its range.
    """

    bits: int | None = 8
    v_read_V: float = 0.2
    bit_serial: bool = False
    signed: bool = True

    def __post_init__(self) -> None:
        _check_flag("dac.signed", self.signed)
        _check_flag("dac.bit_serial", self.bit_serial)
        _check_bits("dac.bits", self.bits, 2 if self.signed else 1)
        check_number("dac.v_read_V", self.v_read_V, 1e-6, MAX_READ_V, "V", "a higher read voltage disturbs the devices")
        if self.bit_serial and self.bits is None:
            raise CrossbarError("dac.bits = None has no bit planes; choose a number of bits or dac.bit_serial = False")

    @property
    def max_code(self) -> int:
        """Largest code, that of an input of 1; 0 for an analogue driver."""
        if self.bits is None:
            return 0
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    def check(self, x: ArrayLike, n_inputs: int | None) -> FloatArray:
        """Inputs as (batch, n_inputs) float64, or CrossbarError that names the first bad one; None: any number."""
        lowest = -1.0 if self.signed else 0.0
        volts = f"an input of 1 is the read voltage {exact(self.v_read_V)} V, so scale the inputs"
        array = floats("x", x, (None, n_inputs), lowest, 1.0, "", volts)
        if array.size == 0:
            raise CrossbarError(f"x has shape {array.shape} and so no entries; give at least one input vector")
        return array


@dataclass(frozen=True)
class AdcConfig:
    """Converters of the column currents.

    Parameters
    ----------
    bits : int or None
        2..16; None: currents as they are, without a limit.
    range_uA : float or None
        Current of the largest code; None: `Crossbar.calibrate` sets it.
    percentile : float
        Share of the observed currents, in %, that the calibrated range holds.
    offset_lsb : float
        Offset of all converters; it cancels where columns are subtracted after the conversion.
    subtraction : {"before", "after"}
        Whether the columns of a weight are subtracted as currents or as codes.

    Raises
    ------
    CrossbarError
        A value is outside its range.
    """

    bits: int | None = 8
    range_uA: float | None = None
    percentile: float = 99.9
    offset_lsb: float = 0.0
    subtraction: Literal["before", "after"] = "before"

    def __post_init__(self) -> None:
        _check_bits("adc.bits", self.bits, 2)
        if self.range_uA is not None:
            check_number("adc.range_uA", self.range_uA, 1e-9, 1e9, "uA", "give the current of the largest code")
        check_number("adc.percentile", self.percentile, 50.0, 100.0, "%", "give the share of currents within range")
        check_number("adc.offset_lsb", self.offset_lsb, -1e4, 1e4, "LSB", "give the offset in codes")
        if self.subtraction not in ("before", "after"):
            given = reprlib.repr(self.subtraction)
            raise CrossbarError(f"adc.subtraction = {given} is unknown; choose 'before' or 'after'")

    def codes(self, signed_inputs: bool) -> tuple[int, int]:
        """Lowest and highest code; (0, 0) for an ideal converter."""
        if self.bits is None:
            return 0, 0
        if signed_inputs or self.subtraction == "before":
            top = 2 ** (self.bits - 1) - 1
            return -top, top
        return 0, 2**self.bits - 1


class Drive(NamedTuple):
    """One phase of a read: voltages (batch, m) in V, and the weight of its result."""

    volts: FloatArray
    weight: float


def encode(dac: DacConfig, x: ArrayLike) -> list[Drive]:
    """Row voltages of a batch of inputs.

    Parameters
    ----------
    dac : DacConfig
    x : (batch, m) array_like
        -1..1, or 0..1 for unsigned inputs.

    Returns
    -------
    list of Drive
        One, or for bit-serial inputs one per bit plane, the lowest bit first. Their weighted sum is v_read times the
        quantised input.

    Raises
    ------
    CrossbarError
        An input is NaN or outside its range.
    """
    values = dac.check(x, None)
    if dac.bits is None:
        return [Drive(values * dac.v_read_V, 1.0)]
    codes = np.rint(values * dac.max_code)
    if not dac.bit_serial:
        return [Drive(codes * (dac.v_read_V / dac.max_code), 1.0)]
    magnitude = np.abs(codes).astype(np.int64)
    return [
        Drive(np.sign(codes) * ((magnitude >> p) & 1) * dac.v_read_V, 2.0**p / dac.max_code)
        for p in range(dac.max_code.bit_length())
    ]


def digitise(
    currents_uA: NDArray[np.floating], codes_per_uA: float, offset_lsb: float, lowest: int, highest: int
) -> tuple[NDArray[np.floating], int]:
    """Codes of currents, and how many were beyond the range.

    Parameters
    ----------
    currents_uA : ndarray of float, any shape
    codes_per_uA, offset_lsb : float
        Inverse of the current of one code; offset in codes.
    lowest, highest : int
        Codes of the converter.
    """
    currents_uA = floats("currents_uA", currents_uA, unit="uA", remedy="give finite currents", single=True)
    raw = np.rint(currents_uA * codes_per_uA + offset_lsb)
    return np.clip(raw, lowest, highest), int(np.count_nonzero((raw < lowest) | (raw > highest)))


def read_noise(keys: NDArray[np.uint32], n: int) -> NDArray[np.float32]:
    """Standard normal numbers as `kernels.multiply.convert` draws them.

    Parameters
    ----------
    keys : (batch, 2) uint32
    n : int
        Currents per row, up to a million.

    Returns
    -------
    (batch, n) float32
    """
    checked = integers("keys", keys, (None, 2), 0, 2**32 - 1, remedy="give two numbers of 32 bits per row")
    check_number("n", n, 0, 10**6, "", "give the currents per row", whole=True)
    k0, k1 = checked.astype(np.uint64).T[:, :, None]
    low_half, by_16, by_15 = np.uint64(0xFFFFFFFF), np.uint64(16), np.uint64(15)
    h = (((np.arange(n, dtype=np.uint64) ^ k1) * np.uint64(0x9E3779B1)) & low_half) ^ k0
    h = ((h ^ (h >> by_16)) * np.uint64(0x6A09E667)) & low_half
    h = ((h ^ (h >> by_15)) * np.uint64(0xBB67AE85)) & low_half
    return normal_table()[h >> by_16]


def calibrate(currents_uA: ArrayLike, percentile: float) -> float:
    """Range that holds a share of the observed currents.

    Parameters
    ----------
    currents_uA : array_like, any shape
        Observed currents; their magnitudes count.
    percentile : float
        50..100 %.

    Returns
    -------
    float
        uA.

    Raises
    ------
    CrossbarError
        No currents, or their percentile is 0.
    """
    magnitude = np.abs(floats("currents_uA", currents_uA, unit="uA", remedy="give finite currents"))
    check_number("adc.percentile", percentile, 50.0, 100.0, "%", "give the share of currents within range")
    range_uA = float(np.percentile(magnitude, percentile)) if magnitude.size else 0.0
    if not range_uA > 0.0:
        raise CrossbarError(
            f"{exact(percentile)} % of the {magnitude.size} observed currents are 0 uA; calibrate with inputs and"
            " levels that are typical"
        )
    return range_uA
