"""All that can be measured of a chip's circuits, in one go."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..capmem import PARAMETERS, Codes
from ..config import ChipConfig
from ..constants import N_CIRCUITS
from ..mismatch import stream
from ..readout.adc import CHANNELS
from .instrument import Instrument
from .measurement import find_offsets, procedures
from .search import find_levels

FloatArray = NDArray[np.float64]

_POTENTIAL_LSB = 120.0  # that all channels of the CADC are connected to


def characterise(
    instrument: Instrument, codes: Codes, targets: ChipConfig, progress: Callable[[str], None] | None = None
) -> dict[str, FloatArray]:
    """Measure all quantities of the circuits of an instrument as they are with these codes.

    Parameters
    ----------
    instrument : Instrument
    codes : Codes
    targets : ChipConfig
        Time constants that the circuits have about; the windows of the measurements are chosen by them.
    progress : callable or None
        Called with the name of each quantity when it was measured.

    Returns
    -------
    dict of (C,) float64
        By the names of `capmem.PARAMETERS`: potentials in LSB, time constants in us, gains in LSB/us per pulse of the
        instrument; NaN where a circuit can't be measured, e.g. because it doesn't spike. And the offsets of the CADC in
        LSB before the correction with which all else is read: ``cadc_offset_causal``, ``cadc_offset_acausal``.
    """
    tell = progress or (lambda _: None)
    instrument.write_offsets(np.zeros((len(CHANNELS), N_CIRCUITS), dtype=np.int64))
    offsets = instrument.sample(_POTENTIAL_LSB, n=100).mean(axis=2) - _POTENTIAL_LSB
    instrument.write_offsets(find_offsets(instrument))
    tell("cadc_offset")
    levels = find_levels(instrument, codes, stream(0, "characterise"))
    tell("levels")
    measured = {}
    for name, measure in procedures(instrument, levels, targets).items():
        values = measure(codes)
        measured[name] = np.where(np.isfinite(values), values, np.nan)
        tell(name)
    instrument.write_codes(codes)
    of_cadc = {f"cadc_offset_{channel}": offsets[k, instrument.circuits] for k, channel in enumerate(CHANNELS)}
    return {name: measured[name] for name in PARAMETERS} | of_cadc
