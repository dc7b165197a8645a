"""Capacitive memory: the 10-bit codes behind the analogue parameters, and what each circuit makes of them.

Every circuit has a law of its own for each parameter. With c the code, x = c + leakage and h a circuit's constants::

    potentials      v = v_ref + offset + slope (c - c_ref)               linear
    time constants  tau = tau_ref spread (x_ref / x) ** 0.9              a bias current sets a conductance
    gains           g = spread (x / (x + h)) / (x_ref / (x_ref + h))     saturates

All are strictly monotone. The slope is from vendor software (codes 70..550 read 20..220 LSB of the CADC), a gain has
code 500 where the vendor's default is; everything else about the laws is modelled. Offset and spread of a circuit are
the draws of `mismatch.draw_fixed_pattern`, so that a chip of the preset ``uncalibrated`` and the same chip with the
median codes of all its circuits are the same.

Crosstalk (known from the vendor's calibration, its form is modelled): cells are refreshed in turn by one ramp, and a
cell is pulled the more, the nearer the codes of its neighbours are to its own. Neighbours are the same parameter of the
circuits on both sides and the parameters before and after it of the same circuit, in a ring within one block of
cells (128 circuits). The pull is counted from that of the median codes of the default targets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Shape, floats, integers
from .config import ChipConfig
from .constants import N_CIRCUITS
from .errors import check_number
from .mismatch import FixedPattern, draw_fixed_pattern, stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CODES: list[Shape] = [(), (N_CIRCUITS,)]  # one for all circuits, or one each

# Vendor software (haldls): 10 bits, of which the highest value switches the refresh off.
MAX_CODE = 1022

# Vendor software (halco): four blocks of cells.
BLOCK = 128

POTENTIALS = ("leak", "reset", "threshold")
TIME_CONSTANTS = ("tau_mem", "tau_syn_exc", "tau_syn_inh")
GAINS = ("gain_exc", "gain_inh")
PARAMETERS = (*POTENTIALS, *TIME_CONSTANTS, *GAINS)

# Vendor software (calix): codes 70..550 read 20..220 CADC LSB.
SLOPE_LSB = 200.0 / 480.0
ZERO_LSB = 20.0 - 70.0 * SLOPE_LSB

# Code at which a typical circuit has the reference time constant of 6 us: modelled. Gain: vendor software (calix).
TAU_CODE = 200
GAIN_CODE = 500

# Modelled: the currents' leakage in codes, the compression of the time constants, where the gain saturates.
LEAKAGE = 20.0
COMPRESSION = 0.9
SATURATION = 2000.0

# The laws are drawn around the default targets; other targets are other codes on the same laws.
_REFERENCE = ChipConfig()

_FIELDS = {
    **{name: f"{name}_lsb" for name in POTENTIALS},
    **{name: f"{name}_us" for name in TIME_CONSTANTS},
    **{name: name for name in GAINS},
}


@dataclass(frozen=True)
class Codes:
    """Contents of the cells: one code 0..1022 per circuit and parameter, each (512,) int64.

    Attributes
    ----------
    leak, reset, threshold
        Potentials; they rise with the code.
    tau_mem, tau_syn_exc, tau_syn_inh
        Bias currents of the membrane and of the synaptic inputs; the time constants fall with the code.
    gain_exc, gain_inh
        Bias currents of the synaptic gain (``i_synin_gm`` in vendor software).

    Raises
    ------
    ChipError
        A field has the wrong shape, type or range.
    """

    leak: IntArray
    reset: IntArray
    threshold: IntArray
    tau_mem: IntArray
    tau_syn_exc: IntArray
    tau_syn_inh: IntArray
    gain_exc: IntArray
    gain_inh: IntArray

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            remedy = "clip the code (1023 switches the refresh off)"
            codes = integers(f"capmem.{name}", getattr(self, name), (N_CIRCUITS,), 0, MAX_CODE, remedy=remedy)
            object.__setattr__(self, name, codes.copy())

    def replace(self, **codes: ArrayLike) -> Codes:
        """The same codes with some parameters set to others; a number goes to all circuits."""
        return dataclasses.replace(
            self,
            **{
                name: np.broadcast_to(integers(f"capmem.{name}", code, _CODES), (N_CIRCUITS,))
                for name, code in codes.items()
            },
        )


@dataclass(frozen=True)
class CapMemConfig:
    """Imperfections of the cells beyond the spreads of NoiseConfig; all of it is modelled.

    Attributes
    ----------
    slope_std : float
        Relative spread of the slope of the potentials.
    current_std : float
        Relative spread of leakage and saturation of the bias currents.
    crosstalk : float
        Pull, in codes, of neighbours that all have the cell's own code.
    crosstalk_width : float
        Distance in codes over which the pull falls to 1 / e.
    """

    slope_std: float = 0.02
    current_std: float = 0.2
    crosstalk: float = 2.0
    crosstalk_width: float = 10.0

    def __post_init__(self) -> None:
        for name in ("slope_std", "current_std"):
            remedy = "give a relative standard deviation, 0.05 for 5 %"
            check_number(f"capmem.{name}", getattr(self, name), 0.0, 0.3, "", remedy)
        check_number("capmem.crosstalk_width", self.crosstalk_width, 1.0, 100.0, "codes", "give a distance in codes")
        remedy = "above half of capmem.crosstalk_width codes would lose their order"
        check_number("capmem.crosstalk", self.crosstalk, 0.0, min(5.0, self.crosstalk_width / 2), "codes", remedy)


@dataclass(frozen=True)
class CapMem:
    """The laws of one chip.

    Parameters
    ----------
    config : ChipConfig
        Its noise tells how much the circuits differ at equal codes: take that of the preset ``uncalibrated``.
    serial : int
        Serial number: decides all laws.
    imperfections : CapMemConfig
    """

    config: ChipConfig
    serial: int
    imperfections: CapMemConfig = field(default_factory=CapMemConfig)

    def __post_init__(self) -> None:
        shared = dataclasses.replace(_REFERENCE, noise=self.config.noise)
        object.__setattr__(self, "_drawn", draw_fixed_pattern(shared, self.serial))

    def _individual(self, name: str, quantity: str, std: float) -> FloatArray:
        """Constant of each circuit's law, lognormal around 1."""
        normal = stream(self.serial, f"fixed_pattern.capmem_{quantity}.{name}").standard_normal(N_CIRCUITS)
        return np.exp(std * normal)

    def value(self, name: str, effective: ArrayLike) -> FloatArray:
        """What the circuits make of codes of one parameter, if the neighbours don't disturb.

        Parameters
        ----------
        name : str
            One of PARAMETERS.
        effective : float or (512,) array_like of float
            Code of each circuit, including the shift by crosstalk.

        Returns
        -------
        (512,) float64
            In LSB, us, or relative to the nominal gain.
        """
        code = floats("capmem.effective", effective, _CODES, remedy="give a code, or one per circuit")
        at_reference: FloatArray = getattr(self._drawn, _FIELDS[name])  # type: ignore[attr-defined]
        reference = nominal_code(name, _REFERENCE)
        if name in POTENTIALS:
            slope = SLOPE_LSB * self._individual(name, "slope", self.imperfections.slope_std)
            return at_reference + slope * (code - reference)
        leakage = LEAKAGE * self._individual(name, "leakage", self.imperfections.current_std)
        if name in TIME_CONSTANTS:
            return at_reference * ((reference + leakage) / (code + leakage)) ** COMPRESSION
        half = SATURATION * self._individual(name, "saturation", self.imperfections.current_std)
        return at_reference * _saturating(code + leakage, half) / _saturating(reference + leakage, half)

    def pattern(self, codes: Codes) -> FixedPattern:
        """The chip as it is with these codes; what no code can change stays as it was drawn."""
        shift = crosstalk(codes, self.imperfections)
        values = {_FIELDS[name]: self.value(name, getattr(codes, name) + shift[i]) for i, name in enumerate(PARAMETERS)}
        return dataclasses.replace(self._drawn, **values)  # type: ignore[attr-defined]


def _saturating(current: FloatArray, half: FloatArray) -> FloatArray:
    return current / (current + half)


def crosstalk(codes: Codes, config: CapMemConfig) -> FloatArray:
    """Shift of each cell by its neighbours.

    Parameters
    ----------
    codes : Codes
    config : CapMemConfig

    Returns
    -------
    (8, 512) float64
        [parameter, circuit] in codes; 0 for the median codes of the default targets.
    """
    at_reference = _pull(median_codes(_REFERENCE), config.crosstalk_width)
    return config.crosstalk * (_pull(codes, config.crosstalk_width) - at_reference)


def _pull(codes: Codes, width: float) -> FloatArray:
    """0 if the codes of all four neighbours are far away, 1 if they are the cell's own; (8, 512)."""
    cells = np.stack([getattr(codes, name) for name in PARAMETERS]).reshape(len(PARAMETERS), -1, BLOCK)
    near = [np.exp(-np.abs(np.roll(cells, step, axis) - cells) / width) for axis in (0, 2) for step in (1, -1)]
    return (sum(near) / len(near)).reshape(len(PARAMETERS), N_CIRCUITS)


def nominal_code(name: str, config: ChipConfig) -> int:
    """Code with which a typical circuit has the value that the configuration asks for, rounded to 0..1022."""
    if name in POTENTIALS:
        code = (getattr(config, _FIELDS[name]) - ZERO_LSB) / SLOPE_LSB
    elif name in TIME_CONSTANTS:
        ratio = getattr(_REFERENCE, _FIELDS[name]) / getattr(config, _FIELDS[name])
        code = (TAU_CODE + LEAKAGE) * ratio ** (1.0 / COMPRESSION) - LEAKAGE
    else:
        code = float(GAIN_CODE)
    return int(np.clip(np.rint(code), 0, MAX_CODE))


def median_codes(config: ChipConfig) -> Codes:
    """The codes of an uncalibrated chip: every circuit gets those of a typical one.

    Parameters
    ----------
    config : ChipConfig
        The targets.

    Returns
    -------
    Codes
    """
    return Codes(**{name: np.full(N_CIRCUITS, nominal_code(name, config)) for name in PARAMETERS})


def pattern(config: ChipConfig, serial: int, codes: Codes) -> FixedPattern:
    """Fixed pattern of the chip with this serial number and these codes in its cells.

    Parameters
    ----------
    config : ChipConfig
        Its noise tells how much the circuits differ at equal codes; its targets play no part.
    serial : int
    codes : Codes

    Returns
    -------
    FixedPattern
    """
    return CapMem(config, serial).pattern(codes)
