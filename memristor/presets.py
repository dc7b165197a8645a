"""Device models: published fits of how far a conductance lies from its target, each with its source and range.

All fits are functions of the *target* conductance G and of the time t since the write. They are kept as piecewise
polynomials in G, one row for each time at which they are known, so that a published polynomial (one piece) and a
measured table (a straight piece between two levels) are the same thing to the code that evaluates them.
"""

from __future__ import annotations

import csv
import difflib
import math
import reprlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .errors import CrossbarError, check_number, exact

FloatArray = NDArray[np.float64]
Pieces = tuple[tuple[float, ...], ...]  # [piece][power of (G - start of the piece)]

MAX_TIME_S = 1e10  # 300 years; what runs longer is a wrong unit
DAY_S = 86_400.0


@dataclass(frozen=True)
class DeviceModel:
    """Statistics of one kind of device.

    Attributes
    ----------
    name, citation : str
    fitted, assumed : str
        Which parts are a published fit, and which are an assumption of this emulator.
    g_low_uS, g_high_uS : float
        Conductances that can be programmed, in uS; a target outside is an error.
    breaks_uS : tuple of float, (S + 1,)
        Where the S pieces of all fits start and end: the range in which they hold.
    program_fit : (S, K)
        Standard deviation of one programming cycle around its target, in uS.
    times_s : tuple of float, (T,)
        Times since the write for which the two following fits are given, ascending.
    spread_fit : (T, S, K)
        Standard deviation at these times, in uS. Relaxation is what it has gained over the first time, in quadrature.
    drift_fit : (T, S, K)
        Mean shift at these times, in uS; 0 at the first one.
    read_fraction : float
        Standard deviation of one read as a fraction of g_high_uS.
    read_flicker_uS : float
        Coefficient c of the 1/f read noise c log10(G) sqrt(ln((t + 1 us) / 2 us)), in uS.
    stuck_fraction : float
        Share of devices that never worked.
    pulse_step, pulse_step_spread : float
        Step of one incremental pulse as a fraction of the range, and its relative spread from device to device.
    endurance_cycles : float
        Median lifetime in programming cycles; inf for devices that don't wear.
    """

    name: str
    citation: str
    fitted: str
    assumed: str
    g_low_uS: float
    g_high_uS: float
    breaks_uS: tuple[float, ...]
    program_fit: Pieces
    times_s: tuple[float, ...]
    spread_fit: tuple[Pieces, ...]
    drift_fit: tuple[Pieces, ...]
    read_fraction: float = 0.01
    read_flicker_uS: float = 0.0
    stuck_fraction: float = 0.0
    pulse_step: float = 0.05
    pulse_step_spread: float = 0.3
    endurance_cycles: float = 1e6

    def __post_init__(self) -> None:
        # The kernels rely on these shapes.
        for name in ("breaks_uS", "times_s"):
            table = self._table(name, 1)
            if table.size < (2 if name == "breaks_uS" else 1) or not np.all(np.diff(table) > 0):
                raise CrossbarError(f"crossbar.device.{name} = {getattr(self, name)} doesn't rise; sort it, each once")
        check_number(
            "crossbar.device.times_s[0]", self.times_s[0], 1e-9, MAX_TIME_S, "s", "give a time after the write"
        )
        pieces, times = len(self.breaks_uS) - 1, len(self.times_s)
        for name, shape in (
            ("program_fit", (pieces,)),
            ("spread_fit", (times, pieces)),
            ("drift_fit", (times, pieces)),
        ):
            have = self._table(name, len(shape) + 1).shape
            if have[:-1] != shape:
                raise CrossbarError(
                    f"crossbar.device.{name} has shape {have}; expected {(*shape, have[-1])}, a polynomial for each"
                    " piece between breaks_uS and each of times_s; complete it"
                )
        if np.any(self._table("drift_fit", 3)[0] != 0.0):
            raise CrossbarError("crossbar.device.drift_fit[0] is not 0; give the shift since the first of times_s")
        low, high = self.breaks_uS[0], self.breaks_uS[-1]
        remedy = "stay within the range in which the fit holds"
        check_number("crossbar.device.g_low_uS", self.g_low_uS, low, high, "uS", remedy)
        check_number("crossbar.device.g_high_uS", self.g_high_uS, low, high, "uS", remedy)
        if self.g_low_uS >= self.g_high_uS:
            raise CrossbarError(
                f"crossbar.device.g_low_uS = {exact(self.g_low_uS)} uS is not below crossbar.device.g_high_uS ="
                f" {exact(self.g_high_uS)} uS; lower it"
            )
        fraction = "give a fraction, 0.01 for 1 %"
        check_number("crossbar.device.read_fraction", self.read_fraction, 0.0, 1.0, "", fraction)
        check_number("crossbar.device.read_flicker_uS", self.read_flicker_uS, 0.0, 10.0, "uS", "give a coefficient")
        check_number("crossbar.device.stuck_fraction", self.stuck_fraction, 0.0, 1.0, "", fraction)
        check_number("crossbar.device.pulse_step", self.pulse_step, 1e-6, 1.0, "", "give a fraction of the range")
        check_number(
            "crossbar.device.pulse_step_spread", self.pulse_step_spread, 0.0, 2.0, "", "give a relative spread"
        )
        if self.endurance_cycles != math.inf:
            check_number(
                "crossbar.device.endurance_cycles",
                self.endurance_cycles,
                1e3,
                1e10,
                "cycles",
                "give a median lifetime, or inf for devices that don't wear",
            )

    def _table(self, name: str, ndim: int) -> FloatArray:
        """The attribute as an array, if it is a regular table of finite numbers."""
        table = floats(f"crossbar.device.{name}", getattr(self, name), (None,) * ndim, remedy="correct the table")
        if table.size == 0:
            raise CrossbarError(f"crossbar.device.{name} has no entries; correct the table")
        return table

    @property
    def range_uS(self) -> float:
        """Width of the range that can be programmed, in uS."""
        return self.g_high_uS - self.g_low_uS

    def program_sigma_uS(self, g_uS: ArrayLike) -> FloatArray:
        """Standard deviation of one programming cycle.

        Parameters
        ----------
        g_uS : array_like of float, any shape
            Target conductance, g_low_uS..g_high_uS.

        Returns
        -------
        ndarray of float64, same shape
            In uS.

        Raises
        ------
        CrossbarError
            A target is NaN or outside the range.
        """
        return self._evaluate(self.program_fit, self._checked(g_uS))

    def relax_sigma_uS(self, g_uS: ArrayLike, age_s: ArrayLike) -> FloatArray:
        """Standard deviation s(t, G) of what relaxation has added since the write.

        s^2 = sigma(t)^2 - sigma(first time)^2 at the tabulated times and linear in ln t between them. It is 0 up to
        the first time; it is held after the last one, which is an assumption.

        Parameters
        ----------
        g_uS : array_like of float
            Target conductance, g_low_uS..g_high_uS.
        age_s : array_like of float, broadcast against `g_uS`
            Time since the write in s, not negative.

        Returns
        -------
        ndarray of float64
            In uS.
        """
        g, age = self._checked(g_uS), _checked_age(age_s)
        total = np.stack([self._evaluate(pieces, g) for pieces in self.spread_fit])
        return self._at_age(np.sqrt(np.maximum(total**2 - total[0] ** 2, 0.0)), age)

    def relax_mean_uS(self, g_uS: ArrayLike, age_s: ArrayLike) -> FloatArray:
        """Mean shift since the write, in uS: linear in ln t between the tabulated times, held outside.

        Parameters and errors as for `relax_sigma_uS`.
        """
        g, age = self._checked(g_uS), _checked_age(age_s)
        return self._at_age(np.stack([self._evaluate(pieces, g) for pieces in self.drift_fit]), age)

    def read_sigma_uS(self, g_uS: ArrayLike, age_s: ArrayLike = 0.0) -> FloatArray:
        """Standard deviation of one read, sqrt((read_fraction g_high)^2 + flicker^2), in uS.

        flicker = read_flicker_uS log10(G / uS) sqrt(ln((t + 1 us) / 2 us)), 0 where a factor would be negative.

        Parameters
        ----------
        g_uS : array_like of float
            Present conductance, not negative; noise may have carried it out of the range that can be programmed.
        age_s : array_like of float, broadcast against `g_uS`
            Time since the write in s.
        """
        g = floats("g_uS", g_uS, low=0.0, unit="uS", remedy="a conductance isn't negative")
        age = _checked_age(age_s)
        constant = self.read_fraction * self.g_high_uS
        if self.read_flicker_uS == 0.0:
            return np.full(np.broadcast_shapes(g.shape, age.shape), constant)
        size = np.log10(np.maximum(g, 1.0))
        duration = np.sqrt(np.log(np.maximum((age + 1e-6) / 2e-6, 1.0)))
        return np.hypot(constant, self.read_flicker_uS * size * duration)

    def _checked(self, g_uS: ArrayLike) -> FloatArray:
        remedy = f"choose a target within the range of the preset {self.name}"
        return floats("g_uS", g_uS, None, self.g_low_uS, self.g_high_uS, "uS", remedy)

    def _evaluate(self, pieces: Pieces, g: FloatArray) -> FloatArray:
        """Piecewise polynomial at g."""
        breaks, coefficients = np.array(self.breaks_uS), np.array(pieces)
        piece = np.clip(np.searchsorted(breaks, g, side="right") - 1, 0, len(pieces) - 1)
        x, value = g - breaks[piece], np.zeros(g.shape)
        for power in reversed(range(coefficients.shape[1])):
            value = value * x + coefficients[piece, power]
        return value

    def _at_age(self, knots: FloatArray, age_s: FloatArray) -> FloatArray:
        """Values known at the tabulated times [time, ...], interpolated in ln t."""
        if len(self.times_s) == 1:
            return np.broadcast_to(knots[0], np.broadcast_shapes(knots.shape[1:], age_s.shape)).copy()
        ln_times = np.log(self.times_s)
        ln_age = np.log(np.clip(age_s, self.times_s[0], self.times_s[-1]))
        k = np.clip(np.searchsorted(ln_times, ln_age, side="right") - 1, 0, ln_times.size - 2)
        part = np.clip((ln_age - ln_times[k]) / (ln_times[k + 1] - ln_times[k]), 0.0, 1.0)
        first, second = np.zeros(()), np.zeros(())
        for index in range(ln_times.size - 1):
            first = np.where(k == index, knots[index], first)
            second = np.where(k == index, knots[index + 1], second)
        return np.asarray(first * (1.0 - part) + second * part)


def _checked_age(age_s: ArrayLike) -> FloatArray:
    return floats("age_s", age_s, None, 0.0, MAX_TIME_S, "s", "give the time since the write")


def _in_units_of(scale_uS: float, *coefficients: float) -> Pieces:
    """One piece from coefficients for increasing powers of G / scale."""
    return (tuple(c / scale_uS**power for power, c in enumerate(coefficients)),)


_WAN_SPREAD = (
    _in_units_of(40.0, 0.348, 16.030, -43.853, 45.393, -16.815),
    _in_units_of(40.0, 0.701, 22.086, -50.773, 47.095, -16.458),
    _in_units_of(40.0, 0.782, 20.274, -43.507, 37.062, -11.934),
)
_MILO_SPREAD = ((4.782 - 0.009107 * 50.0, -0.009107),)  # the piece starts at 50 uS
_CMO_WRITE = {2.0: ((0.01122, 0.01129),), 0.2: ((8.1e-4, 1.069e-3),)}  # acceptance in %: sigma in uS
_NOTHING = ((0.0,),)


def _cmo_relaxation(name: str, citation: str) -> DeviceModel:
    """The laws in ln t are straight lines between knots: where the spread starts, 1 s, and the longest time."""
    start_s = math.exp(-0.4118 / 0.0420)
    ln_end = math.log(MAX_TIME_S)
    return DeviceModel(
        name=name,
        citation=citation,
        fitted="write spread for 2 % and 0.2 % acceptance; relaxation mean and spread from 1 s; read noise",
        assumed="range 10..90 uS; below 1 s the spread follows its law down to 0 at 55 us and the mean stays 0;"
        " incremental pulses; endurance",
        g_low_uS=10.0,
        g_high_uS=90.0,
        breaks_uS=(0.0, 200.0),
        program_fit=_CMO_WRITE[2.0],
        times_s=(start_s, 1.0, MAX_TIME_S),
        spread_fit=(_NOTHING, ((0.4118,),), ((0.4118 + 0.0420 * ln_end,),)),
        drift_fit=(_NOTHING, _NOTHING, ((-0.0890 * ln_end,),)),
        read_fraction=0.0,
        read_flicker_uS=0.02773,
    )


_PRESETS = {
    model.name: model
    for model in (
        DeviceModel(
            name="ideal",
            citation="none: a null model, not a device",
            fitted="nothing",
            assumed="everything: no spread, no relaxation, no read noise, no wear",
            g_low_uS=0.0,
            g_high_uS=40.0,
            breaks_uS=(0.0, 40.0),
            program_fit=_NOTHING,
            times_s=(1.0,),
            spread_fit=(_NOTHING,),
            drift_fit=(_NOTHING,),
            read_fraction=0.0,
            pulse_step_spread=0.0,
            endurance_cycles=math.inf,
        ),
        DeviceModel(
            name="hfox_wan2022",
            citation="Wan et al., Nature 2022 (NeuRRAM); polynomials as published in aihwkit",
            fitted="spread 1 s, 1 day and 2 days after the write, 0..40 uS",
            assumed="in between linear in ln t, held after 2 days; read noise 1 % of 40 uS; incremental pulses;"
            " endurance 1e6 cycles",
            g_low_uS=0.0,
            g_high_uS=40.0,
            breaks_uS=(0.0, 40.0),
            program_fit=_WAN_SPREAD[0],
            times_s=(1.0, DAY_S, 2.0 * DAY_S),
            spread_fit=_WAN_SPREAD,
            drift_fit=(_NOTHING, _NOTHING, _NOTHING),
        ),
        DeviceModel(
            name="hfo2_milo2021",
            citation="Milo et al., IRPS 2021 (IGVVA-100 verify); fit as published in CrossSim",
            fitted="spread after a write, 50..225 uS; current over voltage (hfo2_milo2021_current_uA)",
            assumed="no relaxation; read noise 1 % of 225 uS; incremental pulses; endurance 1e6 cycles",
            g_low_uS=50.0,
            g_high_uS=225.0,
            breaks_uS=(50.0, 225.0),
            program_fit=_MILO_SPREAD,
            times_s=(1.0,),
            spread_fit=(_MILO_SPREAD,),
            drift_fit=(_NOTHING,),
        ),
        _cmo_relaxation(
            name="cmo_hfox",
            citation="CMO/HfOx devices of IBM Research Zurich; fits as published in aihwkit",
        ),
        DeviceModel(
            name="hfo2_gong2022",
            citation="Gong, Rasch et al., IEDM 2022; values as published in aihwkit",
            fitted="9.8 % stuck devices; incremental pulses: step 0.46 of the range, spread 0.71 from device to device",
            assumed="range 0..40 uS; one-shot spread 5 % of the range; no relaxation; read noise 1 % of 40 uS;"
            " endurance 1e6 cycles",
            g_low_uS=0.0,
            g_high_uS=40.0,
            breaks_uS=(0.0, 40.0),
            program_fit=((2.0,),),
            times_s=(1.0,),
            spread_fit=(((2.0,),),),
            drift_fit=(_NOTHING,),
            stuck_fraction=0.098,
            pulse_step=0.46,
            pulse_step_spread=0.71,
        ),
    )
}

_ATTRIBUTES = tuple(entry.name for entry in fields(DeviceModel))
PRESET_NAMES = tuple(_PRESETS)
DEFAULT_PRESET = "hfox_wan2022"


def _nearest(word: object, words: tuple[str, ...]) -> str:
    return difflib.get_close_matches(str(word), words, n=1, cutoff=0.0)[0]


def preset(name: str = DEFAULT_PRESET, **changes: object) -> DeviceModel:
    """Model of a named kind of device.

    Parameters
    ----------
    name : str
        ``ideal`` (a null model), ``hfox_wan2022`` (the default; spread to two days), ``hfo2_milo2021`` (spread after
        the write), ``cmo_hfox`` (write, relaxation and read noise) or ``hfo2_gong2022`` (stuck devices, coarse
        pulses). ``model.fitted`` and ``model.assumed`` tell what is published and what isn't.
    **changes
        Attributes of `DeviceModel` that shall differ; for ``cmo_hfox`` also ``acceptance_percent``, 2 (default) or
        0.2: how close to its target a write must be to be accepted.

    Returns
    -------
    DeviceModel

    Raises
    ------
    CrossbarError
        Unknown name or attribute, with the nearest one; a value outside its range.
    """
    if name not in _PRESETS:
        raise CrossbarError(
            f"crossbar.preset = {reprlib.repr(name)} is unknown; did you mean {_nearest(name, PRESET_NAMES)!r}?"
            f" Known are {', '.join(PRESET_NAMES)}"
        )
    model = _PRESETS[name]
    known = _ATTRIBUTES
    if name == "cmo_hfox":
        acceptance = changes.pop("acceptance_percent", 2.0)
        if acceptance not in _CMO_WRITE:
            raise CrossbarError(
                f"crossbar.device.acceptance_percent = {reprlib.repr(acceptance)} has no published fit; choose 2 or 0.2"
            )
        model = replace(model, program_fit=_CMO_WRITE[acceptance])  # type: ignore[index]
        known = (*known, "acceptance_percent")
    return _changed(model, changes, known)


def _changed(model: DeviceModel, changes: dict[str, object], known: tuple[str, ...]) -> DeviceModel:
    for change in changes:
        if change not in known:
            raise CrossbarError(
                f"crossbar.device.{change} is unknown; did you mean crossbar.device.{_nearest(change, known)}?"
            )
    return replace(model, **changes)  # type: ignore[arg-type]


def hfo2_milo2021_current_uA(g_uS: ArrayLike, v_V: ArrayLike) -> FloatArray:
    """Current of the devices of Milo et al. (IRPS 2021), whose current isn't proportional to the voltage.

    I = G V + a2 V^2 + a3 V^3 with a2, a3 polynomials in log10(G in S), as published in CrossSim.

    Parameters
    ----------
    g_uS : array_like of float
        62.5..110 uS, where it was measured.
    v_V : array_like of float, broadcast against `g_uS`
        -0.5..0.5 V.

    Returns
    -------
    ndarray of float64
        In uA.

    Raises
    ------
    CrossbarError
        NaN, or a value that was not measured.
    """
    remedy = "the current was measured in this range only"
    g, v = floats("g_uS", g_uS, None, 62.5, 110.0, "uS", remedy), floats("v_V", v_V, None, -0.5, 0.5, "V", remedy)
    x = np.log10(g * 1e-6)
    a2 = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], x)
    a3 = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], x)
    return np.asarray(g * v + 1e6 * (a2 * v**2 + a3 * v**3))


_COLUMNS = ("level", "mean_uS", "sigma_uS", "time_s")


def table_model(path: str | Path, **changes: object) -> DeviceModel:
    """Model from measured statistics.

    Between levels the spread and the mean are linear in conductance, between times in ln t. A level's conductance is
    its mean at the first time.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``level`` (a number that orders the levels), ``mean_uS``, ``sigma_uS`` and ``time_s``
        (since the write): at least two levels, every level at the same times, times ascending.
    **changes
        Attributes of `DeviceModel` that the table doesn't give, e.g. ``endurance_cycles``.

    Returns
    -------
    DeviceModel

    Raises
    ------
    CrossbarError
        With file, line, value and remedy.
    """
    path = Path(path)
    levels = _read_levels(path)
    times = tuple(time for time, _, _ in next(iter(levels.values())))
    means = np.array([[mean for _, mean, _ in levels[level]] for level in sorted(levels)]).T  # [time, level]
    sigmas = np.array([[sigma for _, _, sigma in levels[level]] for level in sorted(levels)]).T
    breaks = means[0]
    if not np.all(np.diff(breaks) > 0):
        raise CrossbarError(
            f"{path.name}: mean_uS at {exact(times[0])} s doesn't rise from level to level; sort the levels"
        )

    def straight(values: FloatArray) -> Pieces:
        slopes = np.diff(values) / np.diff(breaks)
        return tuple((float(start), float(slope)) for start, slope in zip(values[:-1], slopes, strict=True))

    spread = tuple(straight(row) for row in sigmas)
    model = DeviceModel(
        name=path.stem,
        citation=f"measured statistics in {path.name}",
        fitted="mean and spread at the times in the table",
        assumed="linear between levels and in ln t, held after the last time; everything that isn't in the table",
        g_low_uS=float(breaks[0]),
        g_high_uS=float(breaks[-1]),
        breaks_uS=tuple(float(g) for g in breaks),
        program_fit=spread[0],
        times_s=times,
        spread_fit=spread,
        drift_fit=tuple(straight(row - breaks) for row in means),
    )
    return _changed(model, changes, _ATTRIBUTES)


def _read_levels(path: Path) -> dict[float, list[tuple[float, float, float]]]:
    """(time_s, mean_uS, sigma_uS) of each level in order of time, checked."""
    levels: dict[float, list[tuple[float, float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        for column in _COLUMNS:
            if column not in (reader.fieldnames or ()):
                raise CrossbarError(
                    f"{path.name}, line 1: column {column} is missing; the columns are {', '.join(_COLUMNS)}"
                )
        for row in reader:
            where = f"{path.name}, line {reader.line_num}: "
            values = []
            for column in _COLUMNS:
                try:
                    value = float(row[column])
                except (TypeError, ValueError):
                    raise CrossbarError(
                        f"{where}{column} = {reprlib.repr(row[column])} is not a number; give one"
                    ) from None
                values.append(value)
            level, mean, sigma, time = values
            check_number(f"{where}level", level, -1e6, 1e6, "", "number the levels")
            check_number(f"{where}mean_uS", mean, 0.0, 1e5, "uS", "give a conductance")
            check_number(f"{where}sigma_uS", sigma, 0.0, 1e5, "uS", "give a standard deviation")
            check_number(f"{where}time_s", time, 1e-9, MAX_TIME_S, "s", "give the time since the write")
            known = levels.setdefault(level, [])
            if known and time <= known[-1][0]:
                raise CrossbarError(
                    f"{where}time_s = {exact(time)} s doesn't come after {exact(known[-1][0])} s of the same level;"
                    " sort the times, each once"
                )
            known.append((time, mean, sigma))
    if len(levels) < 2:
        raise CrossbarError(f"{path.name}: {len(levels)} level(s) are not enough to interpolate; give at least two")
    first = next(iter(levels))
    for level, known in levels.items():
        if [time for time, _, _ in known] != [time for time, _, _ in levels[first]]:
            raise CrossbarError(
                f"{path.name}: level {exact(level)} has other times than level {exact(first)};"
                " give every level at the same times"
            )
    return levels
