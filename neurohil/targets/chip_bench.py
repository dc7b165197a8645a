"""One emulated chip on a bench: its circuits measured by the converter and by time stamps, as in a laboratory.

A training host sees spikes only (`spiking.brainscales`); who asks what the circuits are like measures them one by one.
Nothing here looks at the fixed pattern.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from brainscales_emu import PRESET_NAMES, ChipConfig, ChipError, preset
from brainscales_emu.calibration import calibrate
from brainscales_emu.calibration.characterise import characterise
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.capmem import GAINS, PARAMETERS, POTENTIALS, Codes, median_codes
from brainscales_emu.constants import N_CIRCUITS
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS, REAL_CHIPS, chip_spread, real_spread, trimmed_std
from neurohil.errors import UserError
from neurohil.protocols import Floats, Levels
from neurohil.ranges import Seed
from neurohil.tables import Changes, changed
from neurohil.targets.errors import user_errors
from neurohil.targets.spiking.brainscales import KEYS

if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[PRESET_NAMES]

QUANTITIES = PARAMETERS
UNITS = {name: "LSB" if name in POTENTIALS else "LSB/us" if name in GAINS else "us" for name in PARAMETERS}
REAL_NAMES = tuple(chip.name for chip in REAL_CHIPS)
REAL_OFFSET_STD_LSB = tuple(chip.cadc_offset_std_lsb for chip in REAL_CHIPS)
CHARACTERISE_STEPS, CALIBRATE_STEPS = 10, 15  # that are told


class ChipBenchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which chip: preset and serial number, changes of single values as in `spiking.brainscales.BrainscalesConfig`."""

    preset: Preset = "uncalibrated"
    serial: Seed = 1
    chip: dict[str, float | bool | str | list[Any] | Changes] = {}
    noise: dict[str, float] = {}

    def __post_init__(self) -> None:
        _chip_config(self)


class Found(NamedTuple):
    """What was measured of C circuits with one set of codes.

    Attributes
    ----------
    values : dict of (C,) float64
        By QUANTITIES, in UNITS; NaN where a circuit couldn't be measured.
    codes : dict of (C,) int64
        By QUANTITIES.
    cadc_offset_lsb : (2, C) float64
        Causal and acausal channel, before the digital correction with which all else was read.
    """

    values: dict[str, Floats]
    codes: dict[str, Levels]
    cadc_offset_lsb: Floats


class Alike(NamedTuple):
    """What a chip that was calibrated is like with the median of its codes in all circuits.

    Attributes
    ----------
    found : Found
    spread : (2, quantities) float64
        As of `Characterised`.
    ratio : (quantities,) float64
        Spread with the calibration's codes over that with their median, each with 5 % trimmed on both sides, as in the
        vendor's tests; NaN: not defined.
    """

    found: Found
    spread: Floats
    ratio: Floats


class Characterised(NamedTuple):
    """What C circuits of a chip are like.

    Attributes
    ----------
    circuits : (C,) int64
    in_use : Found
        With the codes in use: those of a typical circuit for all, or those that a calibration found.
    spread : (2, quantities) float64
        Standard deviations within blocks of 128 circuits, and of the means of the blocks.
    alike : Alike or None
        Of a chip that was calibrated.
    """

    circuits: Levels
    in_use: Found
    spread: Floats
    alike: Alike | None = None


class ChipBench:
    """One chip, some of whose circuits are looked at.

    Parameters
    ----------
    config : ChipBenchConfig
    seed : int
        Of the noise of runs, readings and search.
    n_circuits : int
        1..512 circuits, evenly spread over the chip; the others are off.

    Attributes
    ----------
    circuits : (C,) int64

    Raises
    ------
    UserError
        An unknown key or a value out of range.
    """

    def __init__(self, config: ChipBenchConfig, seed: int, n_circuits: int = N_CIRCUITS) -> None:
        self._config, self._seed = _chip_config(config), seed
        self._is_raw = config.preset == "uncalibrated"
        self._preset, self._serial = config.preset, config.serial
        self.circuits = np.arange(n_circuits) * N_CIRCUITS // n_circuits
        with user_errors(ChipError, KEYS):
            self._instrument = Instrument(self._config, config.serial, seed, self.circuits)

    def typical_codes(self) -> Codes:
        """Codes of the chip while nobody has calibrated it: all circuits get those of its typical one."""
        return median_codes(self._config, self._serial)

    def calibrate(self, step: Callable[[str], None]) -> tuple[Codes, Codes]:
        """Search codes by measurement alone.

        Parameters
        ----------
        step : callable
            Told what is begun, CALIBRATE_STEPS times.

        Returns
        -------
        typical, found : Codes
            The median of the codes that were found, for all circuits alike, with which the vendor's tests compare; and
            the codes themselves.

        Raises
        ------
        UserError
            The preset's circuits are calibrated already, or a target can't be measured.
        """
        if not self._is_raw:
            raise UserError(
                f"bench.calibrate = true, but target.preset = {self._preset!r} has calibrated circuits already; choose "
                "'uncalibrated', or bench.calibrate = false"
            )
        with user_errors(ChipError, KEYS | {"targets.": "target.chip."}):
            found = calibrate(
                self._instrument, self._config, self._seed, lambda name, *_: step(f"calibrating: {name}")
            ).codes
        medians = {name: round(float(np.median(getattr(found, name)[self.circuits]))) for name in PARAMETERS}
        return found.replace(**medians), found

    def characterise(self, codes: Codes, step: Callable[[str], None]) -> Found:
        """Measure all quantities with these codes; `step` is told each of CHARACTERISE_STEPS when it is done."""
        with user_errors(ChipError, KEYS):
            values = characterise(self._instrument, codes, self._config, step)
        offsets = np.stack([values.pop(f"cadc_offset_{channel}") for channel in ("causal", "acausal")])
        return Found(values, {name: getattr(codes, name)[self.circuits] for name in PARAMETERS}, offsets)

    def spread(self, found: Found) -> Floats:
        """Standard deviation within blocks of 128 circuits, and of the means of the blocks: (2, quantities).

        In LSB for potentials, for all else of the logarithm; NaN where there are too few circuits.
        """
        return np.array([chip_spread(name, found.values[name], self.circuits) for name in QUANTITIES]).T


def real_spreads() -> Floats:
    """`ChipBench.spread` of real chips, as their codes say: (2, REAL_NAMES, quantities)."""
    return np.moveaxis(np.array([real_spread(name) for name in QUANTITIES]), 0, -1)


def ratios(before: Found, after: Found) -> Floats:
    """Spread after over spread before a calibration, see `Alike`."""
    one, other = (np.array([trimmed_std(found.values[name]) for name in QUANTITIES]) for found in (after, before))
    return one / np.where(other > 0.0, other, np.nan)


def limits() -> Floats:
    """What the vendor's tests accept as such a ratio, (quantities,); NaN where they have no limit."""
    return np.array([ACCEPTANCE_LIMITS.get(name, np.nan) for name in QUANTITIES])


def _chip_config(config: ChipBenchConfig) -> ChipConfig:
    with user_errors(ChipError, KEYS):
        base = preset(config.preset)
        base = dataclasses.replace(base, noise=changed(base.noise, config.noise, "target.noise"))
        return changed(base, config.chip, "target.chip", moved={"noise": "target.noise"})
