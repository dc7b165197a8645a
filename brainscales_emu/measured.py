"""What somebody has measured on a real chip, in the place of what the emulator would draw for it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .constants import MAX_POTENTIAL_LSB, N_CIRCUITS, TAU_MEM_RANGE_US, TAU_SYN_RANGE_US
from .display import Shown
from .errors import ChipError
from .mismatch import FixedPattern
from .tables import check_columns, read_circuits

FloatArray = NDArray[np.float64]

_IN_US = "give it in us (6 for six microseconds), and nothing for a circuit that wasn't measured"
_IN_LSB = "give it in LSB of the CADC, and nothing for a circuit that wasn't measured"
_RELATIVE = "give it relative to the nominal gain (1 is nominal), and nothing for a circuit that wasn't measured"
_POTENTIAL = (0.0, MAX_POTENTIAL_LSB, "LSB", _IN_LSB)
_GAIN = (0.01, 10.0, "", _RELATIVE)
_OFFSET = (-128.0, 128.0, "LSB", _IN_LSB)
_ALLOWED = {
    "leak_lsb": _POTENTIAL,
    "reset_lsb": _POTENTIAL,
    "threshold_lsb": _POTENTIAL,
    "tau_mem_us": (*TAU_MEM_RANGE_US, "us", _IN_US),
    "tau_syn_exc_us": (*TAU_SYN_RANGE_US, "us", _IN_US),
    "tau_syn_inh_us": (*TAU_SYN_RANGE_US, "us", _IN_US),
    "gain_exc": _GAIN,
    "gain_inh": _GAIN,
    "cadc_offset_causal": _OFFSET,
    "cadc_offset_acausal": _OFFSET,
}
_OF_CADC = ("cadc_offset_causal", "cadc_offset_acausal")


def _nowhere() -> FloatArray:
    return np.full(N_CIRCUITS, np.nan)


@dataclass(frozen=True, repr=False)
class MeasuredCircuits(Shown):
    """Values of single circuits that were measured; each (512,) float64, NaN where nothing was.

    Attributes
    ----------
    leak_lsb, reset_lsb, threshold_lsb
        Potentials in LSB of the CADC, 0..255.
    tau_mem_us, tau_syn_exc_us, tau_syn_inh_us
        Time constants in us: 0.5..60 of the membrane, 0.3..30 of the synaptic inputs.
    gain_exc, gain_inh
        Gains of the synaptic inputs relative to the nominal one, 0.01..10.
    cadc_offset_causal, cadc_offset_acausal
        Offsets of the CADC's two channels in LSB, -128..128: readings minus potential with the digital correction at 0.

    Raises
    ------
    ChipError
        A field has the wrong shape or type, or a value outside its range.
    """

    leak_lsb: FloatArray = field(default_factory=_nowhere)
    reset_lsb: FloatArray = field(default_factory=_nowhere)
    threshold_lsb: FloatArray = field(default_factory=_nowhere)
    tau_mem_us: FloatArray = field(default_factory=_nowhere)
    tau_syn_exc_us: FloatArray = field(default_factory=_nowhere)
    tau_syn_inh_us: FloatArray = field(default_factory=_nowhere)
    gain_exc: FloatArray = field(default_factory=_nowhere)
    gain_inh: FloatArray = field(default_factory=_nowhere)
    cadc_offset_causal: FloatArray = field(default_factory=_nowhere)
    cadc_offset_acausal: FloatArray = field(default_factory=_nowhere)

    def __post_init__(self) -> None:
        for name, (low, high, unit, remedy) in _ALLOWED.items():
            checked = _checked(f"measured.{name}", getattr(self, name), low, high, unit, remedy)
            object.__setattr__(self, name, checked)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MeasuredCircuits:
        """Read a table with a row per circuit.

        Columns are ``circuit`` (0..511) and any of the fields above; an empty cell, or NaN, is not measured. CSV with
        commas, semicolons or tabs, or HDF5 with a dataset per column, see `tables.read_circuits`.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        MeasuredCircuits

        Raises
        ------
        ChipError
            The file can't be read, is no such table, or holds what no circuit can be.
        """
        table = check_columns(read_circuits(path, "measured"), tuple(_ALLOWED), path, "measured")
        try:
            return cls(**table)
        except ChipError as error:
            raise ChipError(f"measured file {path}: {str(error).removeprefix('measured.')}") from None

    def apply(self, pattern: FixedPattern) -> FixedPattern:
        """The pattern with what was measured in the place of what was drawn.

        Parameters
        ----------
        pattern : FixedPattern

        Returns
        -------
        FixedPattern

        Raises
        ------
        ChipError
            A circuit would have its threshold not above its reset.
        """
        names = [name for name in _ALLOWED if name not in _OF_CADC]
        changed = dataclasses.replace(
            pattern,
            **{name: np.where(self.is_measured(name), getattr(self, name), getattr(pattern, name)) for name in names},
        )
        ours = self.is_measured("threshold_lsb") | self.is_measured("reset_lsb")
        wrong = np.flatnonzero(ours & (changed.threshold_lsb <= changed.reset_lsb))
        if wrong.size:
            first = wrong[0]
            raise ChipError(
                f"measured.threshold_lsb[{first}] = {changed.threshold_lsb[first]:g} LSB is not above reset_lsb = "
                f"{changed.reset_lsb[first]:g} LSB of this circuit; correct one of the two, and give both if one was "
                "drawn"
            )
        return changed

    def is_measured(self, name: str) -> NDArray[np.bool_]:
        """Of which circuits a field was measured, (512,)."""
        return ~np.isnan(getattr(self, name))

    @property
    def cadc_offset_lsb(self) -> FloatArray:
        """Offsets of the CADC, (2, 512) [causal | acausal, circuit], NaN where not measured."""
        return np.stack([getattr(self, name) for name in _OF_CADC])

    def counts(self) -> dict[str, int]:
        """Of how many circuits each field was measured; without those that weren't at all."""
        counted = {name: int(np.count_nonzero(self.is_measured(name))) for name in _ALLOWED}
        return {name: number for name, number in counted.items() if number}

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        return dict(self.counts())


def _checked(name: str, given: ArrayLike, low: float, high: float, unit: str, remedy: str) -> FloatArray:
    """Values within the range, or NaN."""
    values = np.asarray(given)
    if values.dtype.kind != "f":  # has no NaN, or is refused
        return floats(name, given, (N_CIRCUITS,), low, high, unit, remedy).copy()
    missing = np.isnan(values)
    checked = floats(name, np.where(missing, low, values), (N_CIRCUITS,), low, high, unit, remedy)
    return np.where(missing, np.nan, checked)
