"""What real chips say, as numbers: the codes that the vendor's calibration found on two, and what its tests accept.

The codes of two calibrated chips are public (JulianGoeltz/fastAndDeep, branch capocaccia2022, GPL-3: the calibration
results ``w66_BB.npz`` and ``chip55_port10360_capocaccia.npz``). The statistics here were computed from them; the files
are not part of this package. Targets on both: leak 80, reset 80, threshold 150 CADC LSB, all time constants 6 us,
transconductances alike around code 500; capacitance 63. A code that a circuit needs to be like the others says how
unlike it would be at equal codes, with these reservations:

- A code's spread holds the read-out offset, too, which the calibration absorbed.
- The slope of leak and reset per code isn't published, so that their spread in LSB is assumed.
- Older calibrations didn't equalise the synapse DAC bias of the four blocks: the block means of the gains may differ
  less on a chip set up today.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .capmem import BLOCK, PARAMETERS, POTENTIALS, SLOPE_LSB
from .constants import N_CIRCUITS

FloatArray = NDArray[np.float64]

# Vendor's hardware tests (calix): largest std(calibrated) / std(uncalibrated), each by `trimmed_std`. Uncalibrated is a
# chip all of whose circuits have the median of the calibrated codes.
ACCEPTANCE_LIMITS: Mapping[str, float] = {
    "leak": 0.30,
    "reset": 0.20,
    "threshold": 0.35,
    "tau_mem": 0.45,
    "tau_syn_exc": 0.20,
    "tau_syn_inh": 0.20,
}


@dataclass(frozen=True)
class CodeStatistics:
    """Codes of one parameter on one chip.

    Attributes
    ----------
    median : float
        Of all 512 circuits.
    std, log_std : float
        Standard deviation of the code, and of its natural logarithm, over the circuits, after the mean of each block of
        128 circuits was taken off.
    block_std, log_block_std : float
        Standard deviation (of four, n - 1) of the means of the blocks.
    """

    median: float
    std: float
    log_std: float
    block_std: float
    log_block_std: float


@dataclass(frozen=True)
class RealChip:
    """One chip.

    Attributes
    ----------
    name : str
    codes : mapping of CodeStatistics
        By the names of `capmem.PARAMETERS`; the vendor's are leak, reset, threshold, i_leak, exc_i_tau, inh_i_tau,
        exc_gm, inh_gm.
    correlations : mapping of float
        Of the codes of two parameters over the circuits, after the mean of each block was taken off.
    cadc_offset_std_lsb : float
        Standard deviation of the digital offsets of all 1024 channels of the CADC.
    """

    name: str
    codes: Mapping[str, CodeStatistics]
    correlations: Mapping[tuple[str, str], float]
    cadc_offset_std_lsb: float


REAL_CHIPS = (
    RealChip(
        "w66",
        {
            "leak": CodeStatistics(668, 35.3, 0.053, 19.1, 0.029),
            "reset": CodeStatistics(675, 32.6, 0.049, 19.3, 0.029),
            "threshold": CodeStatistics(410, 15.6, 0.038, 14.7, 0.036),
            "tau_mem": CodeStatistics(162, 20.1, 0.122, 9.1, 0.055),
            "tau_syn_exc": CodeStatistics(80, 17.6, 0.221, 8.3, 0.099),
            "tau_syn_inh": CodeStatistics(77, 15.4, 0.207, 7.2, 0.089),
            "gain_exc": CodeStatistics(478, 29.0, 0.060, 47.1, 0.097),
            "gain_inh": CodeStatistics(541, 32.5, 0.061, 51.7, 0.098),
        },
        {
            ("leak", "reset"): 0.62,
            ("leak", "threshold"): 0.27,
            ("reset", "threshold"): 0.21,
            ("gain_exc", "gain_inh"): 0.29,
        },
        9.87,
    ),
    RealChip(
        "chip55",
        {
            "leak": CodeStatistics(491.5, 30.7, 0.063, 6.9, 0.014),
            "reset": CodeStatistics(467, 27.0, 0.058, 13.8, 0.030),
            "threshold": CodeStatistics(382, 17.0, 0.043, 6.2, 0.016),
            "tau_mem": CodeStatistics(145, 20.2, 0.138, 3.5, 0.024),
            "tau_syn_exc": CodeStatistics(137, 26.5, 0.202, 9.0, 0.067),
            "tau_syn_inh": CodeStatistics(130, 25.3, 0.198, 10.8, 0.084),
            "gain_exc": CodeStatistics(487.5, 29.3, 0.059, 80.0, 0.167),
            "gain_inh": CodeStatistics(467, 64.5, 0.108, 87.4, 0.179),
        },
        {
            ("leak", "reset"): 0.77,
            ("leak", "threshold"): 0.25,
            ("reset", "threshold"): 0.27,
            ("gain_exc", "gain_inh"): 0.10,
        },
        9.25,
    ),
)


def statistics(name: str, codes: Mapping[str, ArrayLike], cadc_offset: ArrayLike, circuits: ArrayLike) -> RealChip:
    """The same figures of another chip whose codes are known.

    Parameters
    ----------
    name : str
    codes : mapping of (n,) array_like of int
        By the names of `capmem.PARAMETERS`.
    cadc_offset : (2, 512) array_like of int
        Digital offsets of the CADC, LSB.
    circuits : (n,) array_like of int
        Which circuits these are.

    Returns
    -------
    RealChip
    """
    block = np.asarray(circuits) // BLOCK

    def apart(values: FloatArray) -> tuple[FloatArray, float]:
        """What is left of values without the means of their blocks, and the spread of these."""
        means = {b: values[block == b].mean() for b in np.unique(block)}
        rest = values - np.array([means[b] for b in block])
        return rest, float(np.std(list(means.values()), ddof=1)) if len(means) > 1 else np.nan

    found, rests = {}, {}
    for parameter, given in codes.items():
        values = np.asarray(given, dtype=np.float64)
        rests[parameter], between = apart(values)
        log_rest, log_between = apart(np.log(np.maximum(values, 1.0)))
        spreads = float(rests[parameter].std()), float(log_rest.std()), between, log_between
        found[parameter] = CodeStatistics(float(np.median(values)), *spreads)
    pairs = REAL_CHIPS[0].correlations
    correlations = {
        (one, other): float(np.mean(rests[one] * rests[other])) / (found[one].std * found[other].std)
        for one, other in pairs
    }
    return RealChip(name, found, correlations, float(np.std(np.asarray(cadc_offset, dtype=np.float64))))


def real_spread(name: str) -> tuple[FloatArray, FloatArray]:
    """How unlike the circuits of the real chips are at equal codes, as their codes say.

    Parameters
    ----------
    name : str
        One of `capmem.PARAMETERS`.

    Returns
    -------
    within, between : (2,) float64
        Of each of `REAL_CHIPS` the standard deviation within blocks, and of the means of the blocks: for potentials in
        LSB by `capmem.SLOPE_LSB`, which is assumed, else relative, of the bias current.
    """
    codes = [chip.codes[name] for chip in REAL_CHIPS]
    if name in POTENTIALS:
        pairs = [(SLOPE_LSB[name] * code.std, SLOPE_LSB[name] * code.block_std) for code in codes]
    else:
        pairs = [(code.log_std, code.log_block_std) for code in codes]
    within, between = np.array(pairs).T
    return within, between


def chip_spread(name: str, values: ArrayLike, circuits: ArrayLike | None = None) -> tuple[float, float]:
    """The same of values of a chip's circuits: standard deviation within blocks of 128, and of the means of the blocks.

    Parameters
    ----------
    name : str
        One of `capmem.PARAMETERS`: potentials are compared as they are, all else by its natural logarithm.
    values : (n,) array_like of float
        NaN where a circuit couldn't be measured; such don't count.
    circuits : (n,) array_like of int, optional
        Which circuits these are; by default all 512.

    Returns
    -------
    within, between : float
        NaN if there is no block with two circuits, or no two blocks.
    """
    values = np.asarray(values, dtype=np.float64)
    block = np.asarray(np.arange(N_CIRCUITS) if circuits is None else circuits) // BLOCK
    x = values if name in POTENTIALS else np.log(values)
    known = np.isfinite(x)
    parts = [x[known & (block == b)] for b in np.unique(block[known])]
    means = np.array([part.mean() for part in parts])
    apart = np.concatenate([part - part.mean() for part in parts if part.size > 1] or [np.empty(0)])
    within = float(apart.std()) if apart.size else np.nan
    return within, float(means.std(ddof=1)) if means.size > 1 else np.nan


def trimmed_std(values: ArrayLike) -> float:
    """Standard deviation without the lowest and the highest 5 %, as in the vendor's tests; NaN doesn't count."""
    given = np.asarray(values, dtype=np.float64)
    known = given[np.isfinite(given)]
    if not known.size:
        return np.nan
    low, high = np.quantile(known, [0.05, 0.95])
    return float(known[(known >= low) & (known <= high)].std())


assert all(set(chip.codes) == set(PARAMETERS) for chip in REAL_CHIPS)
