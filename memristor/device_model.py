"""The model of a kind of device: how far a conductance lies from its target, with source and range.

All fits are functions of the *target* conductance G and of the time t since the write. They are kept as piecewise
polynomials in G, one row for each time at which they are known, so that a published polynomial (one piece) and a
measured table (a straight piece between two levels) are the same thing to the code that evaluates them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .errors import CrossbarError, check_number, exact
from .shown import line, table

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

    def _facts(self) -> dict[str, object]:
        endurance = self.endurance_cycles
        return {
            "name": self.name,
            "range": f"{exact(self.g_low_uS)}..{exact(self.g_high_uS)} uS",
            "median life": "without end" if endurance == math.inf else f"{exact(endurance)} cycles",
            "stuck": f"{exact(round(100.0 * self.stuck_fraction, 9))} %",
        }

    def __repr__(self) -> str:
        return line(self, self._facts())

    def _repr_html_(self) -> str:
        told = {"source": self.citation, "fitted": self.fitted, "assumed": self.assumed}
        return table(self, self._facts() | told)

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


def changed(model: DeviceModel, changes: Mapping[str, object], others: tuple[str, ...] = ()) -> DeviceModel:
    """The model with other values of some attributes.

    Raises
    ------
    CrossbarError
        Unknown attribute, with the nearest one, also of the others that the caller knows; a value outside its range.
    """
    known = (*(entry.name for entry in fields(DeviceModel)), *others)
    for change in changes:
        if change not in known:
            near = difflib.get_close_matches(change, known, n=1, cutoff=0.0)[0]
            raise CrossbarError(f"crossbar.device.{change} is unknown; did you mean crossbar.device.{near}?")
    return replace(model, **changes)  # type: ignore[arg-type]
