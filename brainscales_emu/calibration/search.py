"""Calibration: find the codes with which all circuits do what they should, by measurement alone.

The search sees the chip through an `Instrument` alone: `measurement` writes codes, plays pulses of input events, and
gets CADC readings and time stamps of spikes, all of them noisy. Neither knows a circuit's law or its fixed pattern.

The order is that of the vendor's software (calix), after rough codes for a low and a high leak: offsets of the CADC,
synaptic time constants, threshold, synaptic gain (to the median of all circuits), leak, membrane time constant, reset,
leak again; then the potentials once more, because every code that was written since has shifted its neighbours. The
biases of the synapses' converters stay as they are. Each step searches the codes of all circuits in parallel by noisy
binary search: it starts some codes off the middle at random (equal codes disturb each other most), and the best of the
last steps wins. How a quantity is measured is a choice of this emulator.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..capmem import GAINS, MAX_CODE, PARAMETERS, POTENTIALS, TIME_CONSTANTS, Codes, median_codes
from ..config import ChipConfig
from ..display import Shown
from ..errors import ChipError, check_number
from ..mismatch import stream
from .instrument import Instrument
from .measurement import FAST_MEMBRANE_US, LEVELS_LSB, Levels, find_offsets, measure_leak, procedures

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Largest residual of a circuit that counts as calibrated: LSB for potentials, relative for the others.
TOLERANCE = {
    **{name: 4.0 for name in POTENTIALS},
    **{name: 0.10 for name in (*TIME_CONSTANTS, *GAINS)},
}

UNITS = {
    **{name: "LSB" for name in POTENTIALS},
    **{name: "us" for name in TIME_CONSTANTS},
    **{name: "LSB/us" for name in GAINS},
}

SCHEMA = "brainscales_emu.calibration"
VERSION = 2

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, repr=False)
class Calibration(Shown):
    """Codes that were found, and how good they are as far as the instrument can tell.

    Attributes
    ----------
    codes : Codes
        For ``Chip(config, serial, seed, codes=...)``.
    cadc_offset : (2, 512) int64
        For ``Cadc.write_offsets``.
    circuits : (C,) int64
        The circuits that were calibrated; all others have median codes.
    target : dict of float
        By parameter, in LSB or us; gains in LSB/us per pulse of the instrument: the median circuit's.
    residual : dict of (C,) float64
        Last measurement minus target.
    success : dict of (C,) bool
        Is the residual within TOLERANCE?
    """

    codes: Codes
    cadc_offset: IntArray
    circuits: IntArray
    target: dict[str, float]
    residual: dict[str, FloatArray]
    success: dict[str, NDArray[np.bool_]]

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        failed = {name: np.count_nonzero(~self.success[name]) for name in PARAMETERS}
        return {
            "circuits": self.circuits.size,
            "excluded": self.excluded.size,
            "failed": {name: number for name, number in failed.items() if number},
        }

    @property
    def excluded(self) -> IntArray:
        """Circuits in which a parameter failed: place no neuron there."""
        return self.circuits[~np.all([self.success[name] for name in PARAMETERS], axis=0)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration to an HDF5 file; a file that is there is replaced when the new one is complete."""
        import h5py

        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with h5py.File(part, "w", libver="v110") as file:
                file.attrs["schema"], file.attrs["version"] = SCHEMA, VERSION

                def put(name: str, values: ArrayLike, units: str, long_name: str) -> None:
                    dataset = file.create_dataset(name, data=values)
                    dataset.attrs["units"], dataset.attrs["long_name"] = units, long_name

                put("cadc_offset", self.cadc_offset, "LSB", "digital offset of the CADC [causal | acausal, circuit]")
                put("circuits", self.circuits, "1", "calibrated circuits")
                put("codes/synapse_dac_bias", self.codes.synapse_dac_bias, "1", "code of synapse_dac_bias [block]")
                for name in PARAMETERS:
                    units = UNITS[name]
                    put(f"codes/{name}", getattr(self.codes, name), "1", f"code of {name} [circuit]")
                    put(f"target/{name}", self.target[name], units, f"target of {name}")
                    put(f"residual/{name}", self.residual[name], units, f"measured {name} minus target")
                    put(f"success/{name}", self.success[name], "1", f"{name} is within its tolerance")
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a calibration that `save` wrote.

        Raises
        ------
        ChipError
            The file doesn't exist, is no calibration, is damaged, or is of another version.
        """
        import h5py

        def refuse(reason: str) -> ChipError:
            return ChipError(f"calibration file {path} {reason}; give a file that Calibration.save wrote")

        if not Path(path).is_file():
            raise refuse("doesn't exist")
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("schema") != SCHEMA:
                    raise refuse("holds no calibration")
                if file.attrs["version"] != VERSION:
                    raise refuse(f"has version {file.attrs['version']}, not {VERSION}")
                return cls(
                    codes=Codes(**{name: codes[()] for name, codes in file["codes"].items()}),
                    cadc_offset=file["cadc_offset"][()],
                    circuits=file["circuits"][()],
                    target={name: float(file[f"target/{name}"][()]) for name in PARAMETERS},
                    residual={name: file[f"residual/{name}"][()] for name in PARAMETERS},
                    success={name: file[f"success/{name}"][()] for name in PARAMETERS},
                )
        except (OSError, KeyError, TypeError) as error:
            raise refuse("can't be read") from error


class Steps(NamedTuple):
    """A binary search over codes: where it starts, None for where the codes are, and by how much it moves."""

    start: int | None
    moves: tuple[int, ...]


WIDE = Steps(512, (256, 128, 64, 32, 16, 8, 4, 2, 1, 1, 1, 1))
ROUGH = Steps(512, (256, 128, 64, 32, 16, 8))  # within 10 codes
# Codes to 415, most of the way among those below 160: an input that is faster than the fastest membrane can't be told
# from it.
CURRENTS = Steps(160, WIDE.moves[1:])
NARROW = Steps(None, (4, 2, 1, 1, 1, 1))
N_LAST = 5  # measurements of which the best wins
START_NOISE = 5  # codes


class _Search:
    """Noisy binary search over codes, in parallel over the circuits of an instrument."""

    def __init__(self, instrument: Instrument, codes: Codes, rng: np.random.Generator) -> None:
        self.codes = codes
        self._circuits = instrument.circuits
        self._rng = rng

    def run(self, name: str, measure: Callable[[Codes], FloatArray], wanted: float, steps: Steps) -> None:
        """Search the codes of one parameter."""
        rising = -1 if name.startswith("tau") else 1
        circuits = self._circuits
        code = getattr(self.codes, name)[circuits]
        if steps.start is not None:
            code = steps.start + self._rng.integers(-START_NOISE, START_NOISE + 1, circuits.size)
        best, smallest = code, np.full(circuits.size, np.inf)
        for left, step in zip(range(len(steps.moves), -1, -1), (*steps.moves, 0), strict=True):
            error = measure(self._with(name, code)) - wanted
            if left < N_LAST:
                better = np.abs(error) < smallest  # never for NaN
                best, smallest = np.where(better, code, best), np.where(better, np.abs(error), smallest)
            direction = np.nan_to_num(np.sign(error)).astype(np.int64)
            code = np.clip(code - rising * step * direction, 0, MAX_CODE)
        self.codes = self._with(name, best)

    def _with(self, name: str, code: IntArray) -> Codes:
        everywhere = getattr(self.codes, name).copy()
        everywhere[self._circuits] = code
        return self.codes.replace(**{name: everywhere})


def calibrate(
    instrument: Instrument, targets: ChipConfig, seed: int = 0, progress: Progress | None = None
) -> Calibration:
    """Search the codes of all circuits of the instrument, by measurement alone.

    Parameters
    ----------
    instrument : Instrument
    targets : ChipConfig
        Wanted potentials and time constants; its noise plays no part. The gain's target is the median circuit.
    seed : int
        Of the noise that the search starts with.
    progress : callable or None
        Called before each step with its name, its number and the number of steps.

    Returns
    -------
    Calibration

    Raises
    ------
    ChipError
        A target that can't be measured this way.
    """
    _check_targets(targets)
    rng = stream(seed, "calibration")
    search = _Search(instrument, median_codes(targets), rng)  # those of a typical chip: this one isn't known
    wanted = {
        "leak": targets.leak_lsb,
        "reset": targets.reset_lsb,
        "threshold": targets.threshold_lsb,
        "tau_mem": targets.tau_mem_us,
        "tau_syn_exc": targets.tau_syn_exc_us,
        "tau_syn_inh": targets.tau_syn_inh_us,
    }
    first = ("tau_syn_exc", "tau_syn_inh", "threshold", "gain_exc", "gain_inh", "leak", "tau_mem", "reset", "leak")
    again = ("threshold", "leak", "reset")
    n_steps = 2 + len(first) + len(again) + 1

    def tell(name: str, step: int) -> None:
        if progress is not None:
            progress(name, step, n_steps)

    tell("cadc_offset", 0)
    registers = find_offsets(instrument)
    instrument.write_offsets(registers)
    tell("levels", 1)
    levels = find_levels(instrument, search.codes, rng)
    measure = procedures(instrument, levels, targets)
    for step, name in enumerate(first, start=2):
        tell(name, step)
        if name in GAINS and name not in wanted:
            # One target for both, so that a weight means the same on either input.
            medians = [np.nanmedian(measure[gain](search.codes)) for gain in GAINS]
            wanted |= {gain: float(np.mean(medians)) for gain in GAINS}
        search.run(name, measure[name], wanted[name], CURRENTS if name in TIME_CONSTANTS else WIDE)
    for step, name in enumerate(again, start=2 + len(first)):
        tell(name, step)
        search.run(name, measure[name], wanted[name], NARROW)

    tell("check", n_steps - 1)
    residual = {name: measure[name](search.codes) - wanted[name] for name in PARAMETERS}
    instrument.write_codes(search.codes)
    success = {}
    for name in PARAMETERS:
        scale = 1.0 if UNITS[name] == "LSB" else wanted[name]
        success[name] = np.abs(residual[name]) <= TOLERANCE[name] * scale
    target = {name: float(wanted[name]) for name in PARAMETERS}
    return Calibration(search.codes, registers, instrument.circuits.copy(), target, residual, success)


def find_levels(instrument: Instrument, codes: Codes, rng: np.random.Generator) -> Levels:
    """Codes of the leak with which each circuit of the instrument rests low and high, as closely as needed."""
    found = []
    for potential_lsb in LEVELS_LSB:
        search = _Search(instrument, codes, rng)
        search.run("leak", lambda codes: measure_leak(instrument, codes), float(potential_lsb), ROUGH)
        found.append(search.codes.leak)
    return Levels(*found)


def _check_targets(targets: ChipConfig) -> None:
    remedy = "choose a target within the range in which the converter is trustworthy"  # vendor software (calix)
    check_number("targets.leak_lsb", targets.leak_lsb, 30.0, 210.0, "LSB", remedy)
    check_number("targets.reset_lsb", targets.reset_lsb, 30.0, 210.0, "LSB", remedy)
    remedy = "leave room for a readable leak above it"
    check_number("targets.threshold_lsb", targets.threshold_lsb, 30.0, 170.0, "LSB", remedy)
    remedy = f"the fastest membrane, about {FAST_MEMBRANE_US} us, would hide a shorter one"
    check_number("targets.tau_syn_exc_us", targets.tau_syn_exc_us, 3.0, 25.0, "us", remedy)
    check_number("targets.tau_syn_inh_us", targets.tau_syn_inh_us, 3.0, 25.0, "us", remedy)
    remedy = "choose what the bias currents of all circuits can make"
    check_number("targets.tau_mem_us", targets.tau_mem_us, 3.0, 20.0, "us", remedy)
