"""Capacitive memory: the 10-bit codes behind the analogue parameters, and what each circuit makes of them.

Every chip has its laws, and every circuit a variation of them. With c the code, and values at the chip's reference code
c_ref those that `mismatch.draw_fixed_pattern` has drawn::

    leak, reset     v = v_ref + slope (F(c - shift) - F(c_ref)),  F(c) = floor + s w log(1 + exp((c - knee) / w))
    threshold       the same with a straight line for F
    time constants  tau = tau_ref (c_ref + leakage) / (c + leakage)       a bias current sets a conductance
    gains           g = g_ref (c + leakage) / (c_ref + leakage) * b / b_ref, b the bias of the synapses' converters

What is known: the codes that the vendor's calibration found on two real chips, W66 and chip 55, for potentials of 80,
80 and 150 LSB and time constants of 6 us (`CODES` lies between them); on the tutorial's chip (vendor's demo of a single
neuron) leak code 700 reads about 375, threshold code 300 about 400 and reset code 400 about 232 LSB of the MADC. No law
is published. Leak and reset rise more slowly than the CADC's own calibration (codes 70..550 for 20..220 LSB) below
their reference and approach its slope above: the weakest bend that gives the tutorial's readings within a tenth on a
typical chip. This form, the slope of the threshold and all that is called modelled or assumed below are ours.

Crosstalk (known from the vendor's calibration, its form is modelled): cells are refreshed in turn by one ramp, and a
cell is pulled the more, the nearer the codes of its neighbours are to its own. Neighbours are the same parameter of the
circuits on both sides and the parameters before and after it of the same circuit, in a ring within one block of
cells (128 circuits). The pull is counted from that of the chip's median codes for the default targets.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Shape, floats, integers
from .config import ChipConfig
from .constants import N_BLOCKS, N_CIRCUITS
from .errors import check_number
from .mismatch import FixedPattern, draw_fixed_pattern, stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CODES: list[Shape] = [(), (N_CIRCUITS,)]  # one for all circuits, or one each

# Vendor software (haldls): 10 bits, of which the highest value switches the refresh off.
MAX_CODE = 1022

# Vendor software (halco): circuits of a block of cells.
BLOCK = N_CIRCUITS // N_BLOCKS

POTENTIALS = ("leak", "reset", "threshold")
TIME_CONSTANTS = ("tau_mem", "tau_syn_exc", "tau_syn_inh")
GAINS = ("gain_exc", "gain_inh")
PARAMETERS = (*POTENTIALS, *TIME_CONSTANTS, *GAINS)

# Codes of a typical chip for the default targets. Measured: W66 and chip 55 have 668 and 492 (leak), 675 and 467
# (reset), 410 and 382 (threshold), 162 and 145 (membrane), 80 and 137, 77 and 130 (synaptic inputs). Leak and reset are
# means with the tutorial's chip, which needs about 458 and 450 by a straight line through its readings; currents are
# geometric means.
CODES = {"leak": 540, "reset": 530, "threshold": 396, "tau_mem": 153, "tau_syn_exc": 105, "tau_syn_inh": 100}

# LSB per code. Vendor software (calix): codes 70..550 read 20..220 CADC LSB. Threshold: assumed; at most 150/396 if
# 50 LSB can be had, and the spread of the tutorial's ten neurons (4 LSB) over that of the codes (16) is 0.27.
STEEPEST = 200.0 / 480.0
THRESHOLD_SLOPE = 0.3

# Assumed: where leak and reset end for low codes, in LSB, and over how many codes they bend.
FLOOR_LSB = 52.0
BEND = 128.0

# Of a typical chip at the default targets, LSB per code: 0.17 for leak and reset.
_BENT = STEEPEST * (1.0 - math.exp((FLOOR_LSB - 80.0) / (STEEPEST * BEND)))
SLOPE_LSB = {"leak": _BENT, "reset": _BENT, "threshold": THRESHOLD_SLOPE}

# Assumed: what flows at code 0, in codes.
LEAKAGE = 5.0

# The laws are drawn around the default targets; other targets are other codes on the same laws.
_REFERENCE = ChipConfig()

_FIELDS = {
    **{name: f"{name}_lsb" for name in POTENTIALS},
    **{name: f"{name}_us" for name in TIME_CONSTANTS},
    **{name: name for name in GAINS},
}


@dataclass(frozen=True)
class Codes:
    """Contents of the cells: one code 0..1022 per circuit and parameter, each (512,) int64, and one per block.

    Attributes
    ----------
    leak, reset, threshold
        Potentials; they rise with the code.
    tau_mem, tau_syn_exc, tau_syn_inh
        Bias currents of the membrane and of the synaptic inputs; the time constants fall with the code.
    gain_exc, gain_inh
        Bias currents of the synaptic inputs' transconductance (``i_synin_gm`` in vendor software).
    synapse_dac_bias : (4,) int64
        Bias currents of the synapses' converters, one per block of 128 circuits; the default is that of `ChipConfig`.

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
    synapse_dac_bias: IntArray = field(default_factory=lambda: np.full(N_BLOCKS, _REFERENCE.synapse_dac_bias))

    def __post_init__(self) -> None:
        for name in (*PARAMETERS, "synapse_dac_bias"):
            remedy, shape = "clip the code (1023 switches the refresh off)", _shape(name)
            codes = integers(f"capmem.{name}", getattr(self, name), shape, 0, MAX_CODE, remedy=remedy)
            object.__setattr__(self, name, codes.copy())

    def replace(self, **codes: ArrayLike) -> Codes:
        """The same codes with some parameters set to others; a number goes to all circuits, or blocks."""
        return dataclasses.replace(
            self,
            **{
                name: np.broadcast_to(integers(f"capmem.{name}", code, [(), _shape(name)]), _shape(name))
                for name, code in codes.items()
            },
        )


def _shape(name: str) -> tuple[int]:
    return (N_BLOCKS,) if name == "synapse_dac_bias" else (N_CIRCUITS,)


@dataclass(frozen=True)
class CapMemConfig:
    """How laws differ from chip to chip, and imperfections of the cells beyond the spreads of NoiseConfig.

    Attributes
    ----------
    leak_reset_chip_std, reset_chip_std, threshold_chip_std : float
        Spread of the chips' codes for one potential: what leak and reset have in common, what reset has more, and the
        threshold's. Measured: half the distance of two real chips, which is the likeliest value.
    tau_mem_chip_std, tau_syn_chip_std : float
        Relative spread of the chips' codes for one time constant, both synaptic inputs alike. Measured in the same way.
    slope_std : float
        Relative spread of the slope of the potentials from circuit to circuit. Modelled.
    current_std : float
        Relative spread of the leakage of the bias currents. Modelled.
    crosstalk : float
        Pull, in codes, of neighbours that all have the cell's own code. Modelled.
    crosstalk_width : float
        Distance in codes over which the pull falls to 1 / e. Modelled.
    """

    leak_reset_chip_std: float = 95.0
    reset_chip_std: float = 12.0
    threshold_chip_std: float = 14.0
    tau_mem_chip_std: float = 0.055
    tau_syn_chip_std: float = 0.27
    slope_std: float = 0.02
    current_std: float = 0.2
    crosstalk: float = 2.0
    crosstalk_width: float = 10.0

    def __post_init__(self) -> None:
        for name in ("leak_reset_chip_std", "reset_chip_std", "threshold_chip_std"):
            remedy = "give a standard deviation in codes"
            check_number(f"capmem.{name}", getattr(self, name), 0.0, 200.0, "codes", remedy)
        for name in ("tau_mem_chip_std", "tau_syn_chip_std", "slope_std", "current_std"):
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
    serial : int or None
        Serial number: decides all laws; None is a typical chip, whose circuits differ as those of serial 0.
    imperfections : CapMemConfig
    """

    config: ChipConfig
    serial: int | None
    imperfections: CapMemConfig = field(default_factory=CapMemConfig)

    def __post_init__(self) -> None:
        shared = dataclasses.replace(_REFERENCE, noise=self.config.noise)
        object.__setattr__(self, "_drawn", draw_fixed_pattern(shared, self.serial or 0))
        object.__setattr__(self, "_moved", self._moves())

    @cached_property
    def _individuals(self) -> dict[str, FloatArray]:
        """Slope of each circuit's potentials and leakage of its currents, relative to a typical one."""
        slopes = {name: self._individual(name, "slope", self.imperfections.slope_std) for name in POTENTIALS}
        currents = (*TIME_CONSTANTS, *GAINS)
        return slopes | {name: self._individual(name, "leakage", self.imperfections.current_std) for name in currents}

    @cached_property
    def _pull_at_reference(self) -> FloatArray:
        reference = dataclasses.replace(self, config=_REFERENCE).median_codes()
        return _pull(reference, self.imperfections.crosstalk_width)

    def _moves(self) -> dict[str, float]:
        """How far this chip's law of each parameter lies from that of a typical one: codes of the potentials, logarithm
        of the currents."""
        if self.serial is None:
            return dict.fromkeys(PARAMETERS, 0.0)
        config = self.imperfections
        stds = {
            "leak_reset": config.leak_reset_chip_std,
            "reset": config.reset_chip_std,
            "threshold": config.threshold_chip_std,
            "tau_mem": config.tau_mem_chip_std,
            "tau_syn": config.tau_syn_chip_std,
        }
        drawn = {
            name: std * float(stream(self.serial, f"fixed_pattern.capmem_chip.{name}").standard_normal())
            for name, std in stds.items()
        }
        return {
            "leak": drawn["leak_reset"],
            "reset": drawn["leak_reset"] + drawn["reset"],
            "threshold": drawn["threshold"],
            "tau_mem": drawn["tau_mem"],
            "tau_syn_exc": drawn["tau_syn"],
            "tau_syn_inh": drawn["tau_syn"],
            **dict.fromkeys(GAINS, 0.0),
        }

    def _individual(self, name: str, quantity: str, std: float) -> FloatArray:
        """Constant of each circuit's law, lognormal around 1."""
        normal = stream(self.serial or 0, f"fixed_pattern.capmem_{quantity}.{name}").standard_normal(N_CIRCUITS)
        return np.exp(std * normal)

    def reference_code(self, name: str) -> float:
        """Code with which a typical circuit of this chip has what the default targets say; of a gain, what the
        configuration's own ``synin_gm`` says."""
        if name in GAINS:
            return float(self.config.synin_gm)
        moved: float = self._moved[name]  # type: ignore[attr-defined]
        return CODES[name] + moved if name in POTENTIALS else CODES[name] * float(np.exp(moved))

    def nominal_code(self, name: str, wanted: float) -> int:
        """Code with which a typical circuit of this chip has a value, rounded to 0..1022.

        Parameters
        ----------
        name : str
            One of PARAMETERS.
        wanted : float
            LSB, us, or the gain relative to that of the configuration's ``synin_gm``.
        """
        reference = self.reference_code(name)
        if name in POTENTIALS:
            at_reference = getattr(_REFERENCE, _FIELDS[name])
            code = reference + _codes_above(name, wanted) - _codes_above(name, at_reference)
        elif name in TIME_CONSTANTS:
            code = (reference + LEAKAGE) * getattr(_REFERENCE, _FIELDS[name]) / wanted - LEAKAGE
        else:
            code = (reference + LEAKAGE) * wanted - LEAKAGE
        return int(np.clip(np.rint(code), 0, MAX_CODE))

    def median_codes(self) -> Codes:
        """The codes of the uncalibrated chip for its configuration's targets: all circuits get a typical one's."""
        wanted = {name: getattr(self.config, _FIELDS[name], 1.0) for name in PARAMETERS}
        codes = {name: np.full(N_CIRCUITS, self.nominal_code(name, value)) for name, value in wanted.items()}
        return Codes(**codes, synapse_dac_bias=np.full(N_BLOCKS, self.config.synapse_dac_bias))

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
            In LSB, us, or relative to the gain at the configuration's ``synin_gm``.
        """
        code = floats("capmem.effective", effective, _CODES, remedy="give a code, or one per circuit")
        at_reference: FloatArray = getattr(self._drawn, _FIELDS[name])  # type: ignore[attr-defined]
        reference = self.reference_code(name)
        if name in POTENTIALS:
            slope = self._individuals[name]
            target = getattr(_REFERENCE, _FIELDS[name])
            return at_reference + slope * (_lsb(name, code - reference + _codes_above(name, target)) - target)
        leakage = LEAKAGE * self._individuals[name]
        ratio = (code + leakage) / (reference + leakage)
        return at_reference / ratio if name in TIME_CONSTANTS else at_reference * ratio

    def pattern(self, codes: Codes) -> FixedPattern:
        """The chip as it is with these codes; what no code can change stays as it was drawn."""
        shift = self.crosstalk(codes)
        values = {_FIELDS[name]: self.value(name, getattr(codes, name) + shift[i]) for i, name in enumerate(PARAMETERS)}
        bias = np.repeat(codes.synapse_dac_bias / self.config.synapse_dac_bias, BLOCK)
        values |= {name: values[name] * bias for name in GAINS}
        # Copies, so that no two chips share an array.
        rest = {
            entry.name: getattr(self._drawn, entry.name).copy()  # type: ignore[attr-defined]
            for entry in dataclasses.fields(FixedPattern)
            if entry.name not in values
        }
        return FixedPattern(**values, **rest)

    def crosstalk(self, codes: Codes) -> FloatArray:
        """Shift of each cell by its neighbours.

        Parameters
        ----------
        codes : Codes

        Returns
        -------
        (8, 512) float64
            [parameter, circuit] in codes; 0 for the median codes of the default targets.
        """
        pull = _pull(codes, self.imperfections.crosstalk_width)
        return self.imperfections.crosstalk * (pull - self._pull_at_reference)


def _codes_above(name: str, potential_lsb: float) -> float:
    """Code of a potential, from an arbitrary zero: the knee of leak and reset, 0 LSB of the threshold."""
    if name == "threshold":
        return potential_lsb / THRESHOLD_SLOPE
    # Below the floor by any amount: as far below as there are codes.
    above = max(potential_lsb - FLOOR_LSB, 1e-3) / (STEEPEST * BEND)
    return BEND * float(np.log(np.expm1(above)))


def _lsb(name: str, code: FloatArray) -> FloatArray:
    """Potential of codes that are counted as in `_codes_above`."""
    if name == "threshold":
        return THRESHOLD_SLOPE * code
    return FLOOR_LSB + STEEPEST * BEND * np.logaddexp(0.0, code / BEND)


def _pull(codes: Codes, width: float) -> FloatArray:
    """0 if the codes of all four neighbours are far away, 1 if they are the cell's own; (8, 512)."""
    cells = np.stack([getattr(codes, name) for name in PARAMETERS]).reshape(len(PARAMETERS), -1, BLOCK)
    near = [np.exp(-np.abs(np.roll(cells, step, axis) - cells) / width) for axis in (0, 2) for step in (1, -1)]
    return (sum(near) / len(near)).reshape(len(PARAMETERS), N_CIRCUITS)


def median_codes(config: ChipConfig, serial: int | None = None) -> Codes:
    """The codes of an uncalibrated chip: every circuit gets those of a typical one.

    Parameters
    ----------
    config : ChipConfig
        The targets.
    serial : int or None
        The chip; None is a typical one.

    Returns
    -------
    Codes
    """
    return CapMem(config, serial).median_codes()


def pattern(config: ChipConfig, serial: int | None, codes: Codes) -> FixedPattern:
    """Fixed pattern of the chip with this serial number and these codes in its cells.

    Parameters
    ----------
    config : ChipConfig
        Its noise tells how much the circuits differ at equal codes, its biases what gains are relative to; its other
        targets play no part.
    serial : int or None
        None is a typical chip, see `CapMem`.
    codes : Codes

    Returns
    -------
    FixedPattern
    """
    return _cells(config, serial).pattern(codes)


@lru_cache(maxsize=8)  # a calibration asks for the same chip again and again, with some refractory times
def _cells(config: ChipConfig, serial: int | None) -> CapMem:
    return CapMem(config, serial)
