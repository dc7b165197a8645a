"""One array of devices: what is programmed, what becomes of it with time, and what wears out.

The stages follow each other and are kept apart: `Cells.program` draws the error of a write and the direction xi in
which the device will relax, both frozen until the next write; `Cells.relax` moves the conductance to a later time;
reading (`read_sigma_uS`, `telegraph`) adds noise that leaves no trace; wear and faults decide what the cell answers.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from .arrays import floats, integers
from .device_model import MAX_TIME_S, DeviceModel
from .errors import CrossbarError, check_number, check_serial_and_seed, exact
from .kernels import device as kernels
from .random import stream
from .shown import shown, times

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
State = Mapping[str, NDArray[Any]]

# Arrays of Cells that writes and time change; all else follows from the serial number.
_CHANGING = (
    "target_uS", "written_uS", "xi", "written_at_s", "g_uS", "set_pulses", "reset_pulses", "writes", "stuck",
)  # fmt: skip


_LARGEST = 10**12  # number in a state: more is damage


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)[0]
        raise CrossbarError(
            f"{name} = {reprlib.repr(value)} is unknown; did you mean {near!r}? Known are {', '.join(choices)}"
        )


@dataclass(frozen=True)
class FaultConfig:
    """What never worked; drawn once per array from its serial number.

    Attributes
    ----------
    stuck_fraction : float or None
        Share of stuck devices; None: that of the device model.
    stuck_on_share : float
        Share of these that are stuck on; the others are stuck off. 0.5 is assumed.
    dead_row_fraction, dead_column_fraction : float
        Share of lines without contact; their cells have conductance 0.
    """

    stuck_fraction: float | None = None
    stuck_on_share: float = 0.5
    dead_row_fraction: float = 0.0
    dead_column_fraction: float = 0.0

    def __post_init__(self) -> None:
        remedy = "give a fraction, 0.01 for 1 %"
        if self.stuck_fraction is not None:
            check_number("crossbar.faults.stuck_fraction", self.stuck_fraction, 0.0, 1.0, "", remedy)
        for name in ("stuck_on_share", "dead_row_fraction", "dead_column_fraction"):
            check_number(f"crossbar.faults.{name}", getattr(self, name), 0.0, 1.0, "", remedy)


@dataclass(frozen=True)
class WearConfig:
    """How long devices live, and how they die; lifetimes are drawn once per array from its serial number.

    Attributes
    ----------
    law : {"lognormal", "weibull"}
        Distribution of the lifetimes.
    median_cycles : float or None
        Median lifetime in programming cycles, 1e3..1e10; None: that of the device model.
    shape : float
        Standard deviation of ln(lifetime), or the shape parameter of the Weibull law. 0.5 is assumed.
    failure : {"sudden", "gradual"}
        ``sudden``: the device is stuck after its lifetime n_f. ``gradual``: its resistance grows as (n / n_f)^slope.
    stuck_on_share : float
        Share of sudden failures that end stuck on. 0.5 is assumed.
    slope : float
        Decades of resistance per decade of cycles beyond the lifetime. 1 is assumed.
    """

    law: Literal["lognormal", "weibull"] = "lognormal"
    median_cycles: float | None = None
    shape: float = 0.5
    failure: Literal["sudden", "gradual"] = "sudden"
    stuck_on_share: float = 0.5
    slope: float = 1.0

    def __post_init__(self) -> None:
        _check_choice("crossbar.wear.law", self.law, ("lognormal", "weibull"))
        _check_choice("crossbar.wear.failure", self.failure, ("sudden", "gradual"))
        if self.median_cycles is not None:
            remedy = "give a median lifetime, or None for that of the device model"
            check_number("crossbar.wear.median_cycles", self.median_cycles, 1e3, 1e10, "cycles", remedy)
        check_number("crossbar.wear.shape", self.shape, 0.01, 100.0, "", "give the spread of the lifetimes")
        check_number("crossbar.wear.stuck_on_share", self.stuck_on_share, 0.0, 1.0, "", "give a fraction")
        check_number("crossbar.wear.slope", self.slope, 0.01, 100.0, "", "give decades per decade")


@dataclass(frozen=True)
class RtnConfig:
    """Random telegraph noise: devices with two levels, G (1 + a) and G (1 - a). All of it is assumed.

    Attributes
    ----------
    share : float
        Share of devices that have it, drawn once per array from its serial number.
    amplitude : float
        Largest a; that of each device is drawn between 0 and this, once per array.
    """

    share: float = 0.0
    amplitude: float = 0.05

    def __post_init__(self) -> None:
        check_number("crossbar.rtn.share", self.share, 0.0, 1.0, "", "give the share of devices with two levels")
        check_number("crossbar.rtn.amplitude", self.amplitude, 0.0, 1.0, "", "give a fraction of the conductance")


class Selection(NamedTuple):
    """Cells named by the user with their targets, checked: each cell once, (n,) each."""

    rows: IntArray
    columns: IntArray
    targets_uS: FloatArray


@shown
class Cells:
    """State of one array of devices; all arrays are [row, column] and of the array's shape.

    A new array is formed and reset: every working cell has its lowest conductance exactly. What is drawn once per
    array (stuck cells, dead lines, lifetimes and how they end, steps of small pulses, telegraph noise) depends on the
    serial number alone; the noise of a write and the direction of its relaxation depend on the seed and on the number
    of the programming call (and on the place of the cell in that call). The same calls give the same bits.

    Parameters
    ----------
    model : DeviceModel
    shape : (int, int)
        Rows (inputs) and columns.
    serial : int
        Which individual array this is, 0..2**63 - 1.
    seed : int
        Of the noise, 0..2**63 - 1.
    faults : FaultConfig
    wear : WearConfig
    rtn : RtnConfig

    Attributes
    ----------
    g_uS : float64
        Present conductance, what the array answers with: never below 0, where noise would carry it there. Stuck on:
        the model's g_high_uS; stuck off (an open filament) and dead lines: 0.
    target_uS, written_uS, written_at_s, xi : float64
        Last write: its target, what it came out as (whether or not the cell works), when, and the frozen standard
        normal direction in which it relaxes.
    set_pulses, reset_pulses : int64
        All pulses that the cell got, whether or not it works. A programming cycle is one RESET and one SET pulse, for
        a target at the model's g_low_uS the RESET pulse alone.
    writes : int64
        How often the state was redrawn: programming cycles and small pulses.
    lifetime_cycles : float64
        The cycle after which the cell fails.
    stuck : int8
        0 works (or fades), +1 stuck on, -1 stuck off.
    dead_rows, dead_columns : bool, (rows,), (columns,)
        Lines without contact.
    step_uS : float64
        Step of a small pulse.
    rtn_amplitude : float64
        Half the distance of the two levels of each device, as a fraction of its conductance.
    now_s : float
        Time of the last write or relaxation.
    calls : int
        Number of programming calls.
    """

    def __init__(
        self,
        model: DeviceModel,
        shape: tuple[int, int],
        *,
        serial: int = 1,
        seed: int = 1,
        faults: FaultConfig = FaultConfig(),
        wear: WearConfig = WearConfig(),
        rtn: RtnConfig = RtnConfig(),
    ) -> None:
        if not isinstance(model, DeviceModel):
            raise CrossbarError(f"model = {model!r} is not a DeviceModel; get one from memristor.presets.preset")
        if not isinstance(shape, tuple) or len(shape) != 2:
            raise CrossbarError(f"shape = {shape!r} is not a pair; give (rows, columns)")
        for name, size in zip(("rows", "columns"), shape, strict=True):
            check_number(f"shape: {name}", size, 1, 65_536, "", "give the number of lines", whole=True)
        check_serial_and_seed(serial, seed)
        self.model, self.shape, self.serial, self.seed = model, shape, serial, seed
        self.faults, self.wear, self.rtn = faults, wear, rtn
        self.now_s, self.calls = 0.0, 0

        rows, columns = shape
        self.dead_rows = self._uniform("dead_rows", rows) < faults.dead_row_fraction
        self.dead_columns = self._uniform("dead_columns", columns) < faults.dead_column_fraction
        fraction = model.stuck_fraction if faults.stuck_fraction is None else faults.stuck_fraction
        draw = self._uniform("stuck", shape)
        stuck = np.where(draw < fraction * faults.stuck_on_share, 1, np.where(draw < fraction, -1, 0)).astype(np.int8)
        dies_on = self._uniform("death", shape) < wear.stuck_on_share
        at_death = np.where(dies_on, 1, -1) if wear.failure == "sudden" else np.zeros(shape)
        has_rtn = self._uniform("telegraph", shape) < rtn.share
        self.rtn_amplitude = has_rtn * rtn.amplitude * self._uniform("telegraph_amplitude", shape)

        self._fit = kernels.Fit(
            breaks_uS=np.array(model.breaks_uS, dtype=np.float64),
            program=np.array(model.program_fit, dtype=np.float64),
            times_s=np.array(model.times_s, dtype=np.float64),
            spread=np.array(model.spread_fit, dtype=np.float64),
            drift=np.array(model.drift_fit, dtype=np.float64),
            low_uS=float(model.g_low_uS),
            high_uS=float(model.g_high_uS),
        )
        self._state = kernels.State(
            target_uS=np.full(shape, float(model.g_low_uS)),
            written_uS=np.full(shape, float(model.g_low_uS)),
            xi=np.zeros(shape),
            written_at_s=np.zeros(shape),
            g_uS=np.zeros(shape),
            set_pulses=np.zeros(shape, dtype=np.int64),
            reset_pulses=np.zeros(shape, dtype=np.int64),
            writes=np.zeros(shape, dtype=np.int64),
            stuck=stuck,
            lifetime_cycles=self._lifetimes(),
            stuck_at_death=at_death.astype(np.int8),
            dead=self.dead_rows[:, None] | self.dead_columns,
            step_uS=self._steps(),
        )
        # The same arrays, under the names that users know.
        self.target_uS, self.written_uS, self.xi = self._state.target_uS, self._state.written_uS, self._state.xi
        self.written_at_s, self.g_uS = self._state.written_at_s, self._state.g_uS
        self.set_pulses, self.reset_pulses = self._state.set_pulses, self._state.reset_pulses
        self.writes, self.stuck = self._state.writes, self._state.stuck
        self.lifetime_cycles, self.step_uS = self._state.lifetime_cycles, self._state.step_uS
        self.relax(0.0)

    def _facts(self) -> dict[str, object]:
        return {
            "devices": times(self.shape),
            "model": self.model.name,
            "serial": self.serial,
            "seed": self.seed,
            "written": int(np.count_nonzero(self.writes)),
            "stuck": int(np.count_nonzero(self.stuck)),
            "age": f"{exact(self.now_s)} s",
        }

    @property
    def cycles(self) -> IntArray:
        """Programming cycles that each cell has been through: the larger of its two pulse counts, (rows, columns).

        That a small pulse wears a cell as much as a whole cycle is assumed.
        """
        return np.maximum(self.set_pulses, self.reset_pulses)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Cells whose lifetime is over, (rows, columns)."""
        return self.cycles > self.lifetime_cycles

    def add_cycles(self, cycles: int) -> None:
        """Count so many programming cycles for all cells without emulating each: for wear only their number matters.

        A cell whose lifetime ends on the way shows it at its next write.
        """
        check_number("cycles", cycles, 0, 10**12, "", "give a number of programming cycles", whole=True)
        self.set_pulses += cycles
        self.reset_pulses += cycles

    def expected_failed(self, cycles: ArrayLike) -> FloatArray:
        """Share of devices that the law of lifetimes lets fail within so many cycles, those stuck from the start
        included; same shape."""
        stuck = self.model.stuck_fraction if self.faults.stuck_fraction is None else self.faults.stuck_fraction
        ratio = floats("cycles", cycles, low=0.0, remedy="give a number of programming cycles") / self._median_cycles
        with np.errstate(divide="ignore"):
            alive = (
                ndtr(-np.log(ratio) / self.wear.shape)
                if self.wear.law == "lognormal"
                else 0.5 ** (ratio**self.wear.shape)
            )
        return np.asarray(1.0 - (1.0 - stuck) * alive)

    def select(self, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike) -> Selection:
        """Check cells and targets.

        Parameters
        ----------
        rows, columns : array_like of int, (n,)
            Each cell at most once.
        targets_uS : array_like of float, (n,)
            Within the range of the device model.

        Returns
        -------
        Selection

        Raises
        ------
        CrossbarError
            Shape, type, index, repetition or target; the array is as it was.
        """
        cells = self._checked(rows, columns, targets_uS)
        flat = np.sort(cells.rows * self.shape[1] + cells.columns)
        twice = np.flatnonzero(flat[1:] == flat[:-1])
        if twice.size:
            r, c = divmod(int(flat[twice[0]]), self.shape[1])
            raise CrossbarError(f"cell [{r}, {c}] is named twice in one call; name each cell once")
        return cells

    def _checked(self, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike) -> Selection:
        """Cells that exist, with targets that they can have."""
        row = integers("rows", rows, (None,), 0, self.shape[0] - 1, remedy="name a cell of the array")
        column = integers("columns", columns, row.shape, 0, self.shape[1] - 1, remedy="name a cell of the array")
        low, high = self.model.g_low_uS, self.model.g_high_uS
        remedy = f"choose targets within the range of the preset {self.model.name}, one per cell"
        return Selection(row, column, floats("targets_uS", targets_uS, row.shape, low, high, "uS", remedy))

    def check_time(self, now_s: float) -> None:
        """Raise CrossbarError unless `now_s` is a time in s that isn't before the last write or relaxation."""
        check_number("now_s", now_s, 0.0, MAX_TIME_S, "s", "give the time since the array was made")
        if now_s < self.now_s:
            raise CrossbarError(
                f"now_s = {now_s} s is before {self.now_s} s, the time of the array; time doesn't run backwards"
            )

    def program(self, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike, now_s: float) -> None:
        """One programming cycle for each named cell; the others stay as they are.

        A RESET and a SET pulse (RESET alone for a target at g_low_uS), which leave the cell at
        max(0, target + sigma(target) z) and draw a new xi. Pulses are counted and wear the cell, also if it is stuck.

        Parameters and errors: see `select` and `check_time`.
        """
        cells = self.select(rows, columns, targets_uS)
        self.check_time(now_s)
        self.cycle(cells, now_s)

    def cycle(self, cells: Selection, now_s: float) -> None:
        """`program` for cells of which `select` has made sure that none is named twice."""
        cells = self._checked(*cells)
        self.check_time(now_s)
        normals = self._next_call().standard_normal((2, cells.rows.size))
        kernels.program(self._state, self._fit, *cells, normals, float(now_s), *self._constants)
        self.now_s = float(now_s)

    def pulse(self, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike, now_s: float) -> None:
        """One small pulse for each named cell, by its own step towards the target, and a new xi.

        SET if the present conductance lies below the target, RESET otherwise; it stays within g_low_uS..g_high_uS.

        Parameters and errors: see `select` and `check_time`.
        """
        cells = self.select(rows, columns, targets_uS)
        self.check_time(now_s)
        xi = self._next_call().standard_normal(cells.rows.size)
        kernels.pulse(self._state, self._fit, *cells, xi, float(now_s), *self._constants)
        self.now_s = float(now_s)

    def relax(self, now_s: float) -> None:
        """Bring `g_uS` of all cells to this time: max(0, written + mean(t, G) + xi s(t, G)).

        t is the age of the write and G its target, as in the published fits. Nothing is drawn: the same time gives the
        same bits.

        Parameters
        ----------
        now_s : float
            Not before the last write or relaxation.

        Raises
        ------
        CrossbarError
            Time negative or running backwards; the array is as it was.
        """
        self.check_time(now_s)
        kernels.relax(self._state, self._fit, float(now_s), *self._constants)
        self.now_s = float(now_s)

    def read_sigma_uS(self) -> FloatArray:
        """Standard deviation of one read of each cell, (rows, columns) uS; 0 where no current can flow."""
        silent = self._state.dead | (self.stuck < 0)
        return np.where(silent, 0.0, self.model.read_sigma_uS(self.g_uS, self.now_s - self.written_at_s))

    def telegraph(self, rng: np.random.Generator) -> FloatArray:
        """One draw of the telegraph noise: what to add to `g_uS`, (rows, columns) uS.

        Each device is in one of its two levels, +a G or -a G, with probability 1/2. `g_uS` itself stays as it is.
        """
        up = rng.integers(0, 2, size=self.shape)
        return (2.0 * up - 1.0) * self.rtn_amplitude * self.g_uS

    def state(self) -> dict[str, NDArray[Any]]:
        """What writes and time have made of the array: arrays of fixed names, shapes and dtypes."""
        arrays = {name: getattr(self, name).copy() for name in _CHANGING}
        return {**arrays, "cells_now_s": np.array([self.now_s]), "cells_calls": np.array([self.calls])}

    def load_state(self, state: State) -> None:
        """Go on from what `state` of such an array with this serial number and seed returned, to the same bits.

        Raises
        ------
        CrossbarError
            The state is that of another array, or none; this one is as it was.
        """
        remedy = "it isn't the state of this array"
        arrays = {}
        for name in _CHANGING:
            own = getattr(self, name)
            door = floats if own.dtype.kind == "f" else integers
            arrays[name] = door(f"state[{name!r}]", state[name], own.shape, -_LARGEST, _LARGEST, remedy=remedy)
        now_s = floats("state['cells_now_s']", state["cells_now_s"], (1,), 0.0, MAX_TIME_S, "s", remedy)
        calls = integers("state['cells_calls']", state["cells_calls"], (1,), 0, remedy=remedy)
        for name, array in arrays.items():
            getattr(self, name)[...] = array
        self.now_s, self.calls = float(now_s[0]), int(calls[0])

    @property
    def _constants(self) -> tuple[float, float]:
        """Slope of gradual failure and conductance of a cell that is stuck on (uS), for the kernels."""
        return float(self.wear.slope), float(self.model.g_high_uS)

    def _uniform(self, name: str, shape: int | tuple[int, int]) -> FloatArray:
        return stream(self.serial, f"cells.{name}").random(shape)

    def _next_call(self) -> np.random.Generator:
        self.calls += 1
        return stream(self.seed, "cells.program", self.calls)

    @property
    def _median_cycles(self) -> float:
        return self.model.endurance_cycles if self.wear.median_cycles is None else self.wear.median_cycles

    def _lifetimes(self) -> FloatArray:
        median = self._median_cycles
        rng = stream(self.serial, "cells.lifetime")
        if self.wear.law == "lognormal":
            return median * np.exp(self.wear.shape * rng.standard_normal(self.shape))
        return median * math.log(2.0) ** (-1.0 / self.wear.shape) * rng.weibull(self.wear.shape, self.shape)

    def _steps(self) -> FloatArray:
        """Log-normal (assumed: a step is positive) with the model's mean and relative standard deviation."""
        variance = math.log1p(self.model.pulse_step_spread**2)
        normals = stream(self.serial, "cells.step").standard_normal(self.shape)
        return self.model.pulse_step * self.model.range_uS * np.exp(math.sqrt(variance) * normals - variance / 2.0)
