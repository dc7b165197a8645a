"""How unlike the circuits of an emulated chip are, beside real chips and what the vendor accepts, as a trace has it."""

from __future__ import annotations

import numpy as np

from brainscales_emu.capmem import PARAMETERS, POTENTIALS, TIME_CONSTANTS
from brainscales_emu.mismatch import FixedPattern
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS, REAL_CHIPS, chip_spread, real_spread, trimmed_std
from neurohil.protocols import Floats, Quantity

_FIELDS = {
    name: f"{name}_lsb" if name in POTENTIALS else f"{name}_us" if name in TIME_CONSTANTS else name
    for name in PARAMETERS
}
_NAMES = tuple(_FIELDS.values())
_UNIT = "(CADC LSB of potentials, else of the logarithm)"
_DIMS = ("part", "quantity")


def spread_quantities(pattern: FixedPattern, raw: FixedPattern | None) -> list[Quantity]:
    """Spreads with equal codes in all circuits, those of real chips, and what is left of them by calibration.

    Parameters
    ----------
    pattern : FixedPattern
        The chip as it is.
    raw : FixedPattern or None
        The same chip with equal codes in all circuits, if it is calibrated; None if it is not.

    Returns
    -------
    list of Quantity
        ``spread`` and ``real_spread_CHIP``, each (2, quantities): within blocks of 128 circuits, and of the means of
        the blocks. Of a calibrated chip also ``calibrated_ratio`` and ``accepted_ratio``, each (quantities,), NaN where
        it is not defined. Quantities are called as in the fixed pattern. Nothing for a chip without any spread.
    """
    if not np.any(_trimmed(pattern) > 0.0):
        return []
    own = np.array([chip_spread(name, _values(raw or pattern, name)) for name in PARAMETERS]).T
    real = np.moveaxis(np.array([real_spread(name) for name in PARAMETERS]), 0, -1)  # part, chip, quantity
    found = [
        Quantity("spread", own, _DIMS, "1", f"spread at equal codes {_UNIT}", names=_NAMES),
        *(
            Quantity(
                f"real_spread_{chip.name}",
                real[:, k],
                _DIMS,
                "1",
                f"spread of the real chip {chip.name} at equal codes {_UNIT}",
                "measured",
                _NAMES,
            )
            for k, chip in enumerate(REAL_CHIPS)
        ),
    ]
    if raw is None:
        return found
    before = _trimmed(raw)
    ratio = _trimmed(pattern) / np.where(before > 0.0, before, np.nan)
    limits = np.array([ACCEPTANCE_LIMITS.get(name, np.nan) for name in PARAMETERS])
    return [
        *found,
        Quantity("calibrated_ratio", ratio, _DIMS[1:], "1", "spread over that at equal codes", names=_NAMES),
        Quantity("accepted_ratio", limits, _DIMS[1:], "1", "what the vendor accepts of it", "measured", _NAMES),
    ]


def _values(pattern: FixedPattern, name: str) -> Floats:
    values: Floats = getattr(pattern, _FIELDS[name])
    return values


def _trimmed(pattern: FixedPattern) -> Floats:
    return np.array([trimmed_std(_values(pattern, name)) for name in PARAMETERS])
