"""One array: devices, the wires between them, and what the columns answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .blas import one_thread
from .converters import MAX_READ_V
from .device import Cells, FaultConfig, RtnConfig, State, WearConfig
from .device_model import DeviceModel
from .errors import CrossbarError, check_number
from .parasitics import Solution, WireConfig, effective_matrix, refresh, solve, with_access
from .programming import ProgramReport, Recipe
from .shown import shown

FloatArray = NDArray[np.float64]

_US_PER_S = 1e6


@shown
class Tile:
    """One array of devices with its wires.

    Parameters
    ----------
    model : DeviceModel
    shape : (int, int)
        Rows (inputs) and columns (outputs).
    wires : WireConfig or None
        None: no resistance anywhere.
    serial, seed : int
        Which individual array this is, and its noise, as for `Cells`.
    relax_tolerance_uS : float
        `relax` leaves the conductances as they are while none can have moved by more than this; 0: never.
    faults, wear, rtn
        As for `Cells`.

    Attributes
    ----------
    cells : Cells
        The devices.
    version : int
        Rises whenever the conductances may have changed.
    """

    def __init__(
        self,
        model: DeviceModel,
        shape: tuple[int, int],
        wires: WireConfig | None,
        *,
        serial: int = 1,
        seed: int = 1,
        relax_tolerance_uS: float = 0.01,
        faults: FaultConfig = FaultConfig(),  # noqa: B008 (frozen)
        wear: WearConfig = WearConfig(),  # noqa: B008
        rtn: RtnConfig = RtnConfig(),  # noqa: B008
    ) -> None:
        check_number("relax_tolerance_uS", relax_tolerance_uS, 0.0, 1e6, "uS", "give the accepted error, 0 for none")
        self.cells = Cells(model, shape, serial=serial, seed=seed, faults=faults, wear=wear, rtn=rtn)
        self.wires = wires
        self.relax_tolerance_uS = relax_tolerance_uS
        self.version = 0
        self._relaxed_at_s = 0.0
        self._written_at_s = -math.inf  # last write
        self._largest_xi = 0.0
        self._spread_slope_uS, self._drift_slope_uS = fastest_relaxation_uS(model)
        self._g_eff_uS: FloatArray | None = None
        self._stale_rows: set[int] = set()

    def _facts(self) -> dict[str, object]:
        wires = "none" if self.wires is None else self.wires.topology
        return self.cells._facts() | {"wires": wires}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.cells.shape

    def program(
        self, rows: ArrayLike, columns: ArrayLike, targets_uS: ArrayLike, now_s: float, recipe: Recipe
    ) -> ProgramReport:
        """Program the named cells; the call ends at ``cells.now_s``, later than now_s if the recipe waits.

        Parameters
        ----------
        rows, columns : array_like of int, (n,)
        targets_uS : array_like of float, (n,)
            Conductances of the devices, without access transistor.
        now_s : float
        recipe : Recipe

        Raises
        ------
        CrossbarError
            Bad cells, targets or time; the array is as it was.
        """
        cells = self.cells
        report = recipe.program(cells, rows, columns, targets_uS, now_s)
        if recipe.method == "incremental" or (recipe.wait_s > 0.0 and report.rounds > 0):
            self._moved()  # reading back has relaxed all cells
        if report.pulses.size:
            row, column = np.asarray(rows), np.asarray(columns)  # checked by the recipe
            self._largest_xi = max(self._largest_xi, float(np.abs(cells.xi[row, column]).max()))
            self._written_at_s = cells.now_s
            self.version += 1
            if self._g_eff_uS is not None:
                self._stale_rows.update(row.tolist())
        return report

    def relax(self, now_s: float) -> None:
        """Bring the conductances to this time, within `relax_tolerance_uS`.

        A cell of age a at which its conductance was last computed has moved since, at most, by

            (max |xi| S + M) ln((a + dt) / a)

        where S and M are the steepest rise of spread and mean drift per ln t that the model has, and a counts from
        the first time at which it relaxes. The youngest cell has the largest bound. While that is within the
        tolerance, nothing is computed.

        Raises
        ------
        CrossbarError
            Time negative or running backwards; the array is as it was.
        """
        self.cells.check_time(now_s)
        speed = self._largest_xi * self._spread_slope_uS + self._drift_slope_uS
        first_s = self.cells.model.times_s[0]
        youngest_s = max(first_s, self._relaxed_at_s - self._written_at_s)
        elapsed_s = now_s - self._relaxed_at_s
        if speed * math.log1p(elapsed_s / youngest_s) <= self.relax_tolerance_uS and self.relax_tolerance_uS > 0.0:
            return
        self.cells.relax(now_s)
        self._moved()

    def _moved(self) -> None:
        """All conductances are those of now."""
        self._relaxed_at_s = self.cells.now_s
        self._g_eff_uS = None
        self._stale_rows.clear()
        self.version += 1

    def state(self) -> dict[str, NDArray[Any]]:
        """What writes and time have made of the array: arrays of fixed names, shapes and dtypes."""
        state = self.cells.state()
        state["tile_times_s"] = np.array([self._relaxed_at_s, self._written_at_s])
        state["tile_largest_xi"] = np.array([self._largest_xi])
        return state

    def load_state(self, state: State) -> None:
        """Go on from what `state` of such an array with this serial number and seed returned, to the same bits."""
        self.cells.load_state(state)
        self._relaxed_at_s, self._written_at_s = (float(t) for t in state["tile_times_s"])
        self._largest_xi = float(state["tile_largest_xi"][0])
        self._g_eff_uS = None
        self._stale_rows.clear()
        self.version += 1

    @property
    def g_eff_uS(self) -> FloatArray:
        """Effective conductances (rows, columns): currents = voltages @ g_eff_uS. Kept until something changes."""
        if self.wires is None:
            return self.cells.g_uS
        if self._g_eff_uS is None:
            self._g_eff_uS = effective_matrix(self.cells.g_uS, self.wires)
        elif self._stale_rows:
            self._g_eff_uS = refresh(self._g_eff_uS, self.cells.g_uS, self.wires, sorted(self._stale_rows))
        self._stale_rows.clear()
        return self._g_eff_uS

    @property
    def sensitivity(self) -> FloatArray | float:
        """Change of an effective conductance with that of its device, to first order; 1 without wires.

        A series resistance of the cell's own (access transistor; with parallel source lines the whole path) takes
        (G_eff / G)^2, and lines that are shared with many cells take G_eff / G.
        """
        if self.wires is None:
            return 1.0
        g = self.cells.g_uS
        share = np.divide(self.g_eff_uS, g, out=np.ones(self.shape), where=g > 0.0)
        if self.wires.topology == "source_line_parallel":
            return share * share
        return share / (1.0 + g * self.wires.access_ohm / _US_PER_S)

    @property
    def read_sigma_uS(self) -> FloatArray | float:
        """Standard deviation of one read of each effective conductance; one number if all are alike, else (m, n)."""
        cells = self.cells
        alike = self.wires is None and cells.model.read_flicker_uS == 0.0
        if alike and cells.stuck.min() >= 0 and not cells.dead_rows.any() and not cells.dead_columns.any():
            return cells.model.read_fraction * cells.model.g_high_uS
        return cells.read_sigma_uS() * self.sensitivity

    def telegraph_uS(self, rng: np.random.Generator) -> FloatArray:
        """One draw of the telegraph noise of the effective conductances, (m, n)."""
        return self.cells.telegraph(rng) * self.sensitivity

    def multiply(self, v_V: ArrayLike) -> FloatArray:
        """Column currents without read noise.

        Parameters
        ----------
        v_V : (batch, rows) array_like
            Row voltages, at most 0.3 V either way.

        Returns
        -------
        (batch, columns) float64, uA
        """
        remedy = "give read voltages; higher ones disturb the devices"
        v = floats("v_V", v_V, (None, self.shape[0]), -MAX_READ_V, MAX_READ_V, "V", remedy)
        with one_thread:
            return v @ self.g_eff_uS

    def read(self, rng: np.random.Generator) -> FloatArray:
        """Conductances as found one row after another, with read and telegraph noise, (rows, columns) uS.

        Seen through the access transistors; one row at a time has little current, so the wires are left out.
        """
        cells = self.cells
        g = cells.g_uS + cells.telegraph(rng) + cells.read_sigma_uS() * rng.standard_normal(self.shape)
        return g if self.wires is None else with_access(np.maximum(g, 0.0), self.wires.access_ohm)

    def voltages(self, v_V: ArrayLike) -> Solution:
        """Voltages of all nodes for one vector of row voltages (rows,), from the nodal equations.

        Raises
        ------
        CrossbarError
            The tile has no wires, or a bad voltage.
        """
        if self.wires is None:
            raise CrossbarError("the tile has no wires, so every row is at its input's voltage; give it a WireConfig")
        remedy = "give read voltages; higher ones disturb the devices"
        v = floats("v_V", v_V, (self.shape[0],), -MAX_READ_V, MAX_READ_V, "V", remedy)
        return solve(self.cells.g_uS, v, self.wires)


def fastest_relaxation_uS(model: DeviceModel) -> tuple[float, float]:
    """Steepest change of spread and of mean drift per ln t, over the model's range of targets, in uS.

    Both are linear in ln t between the tabulated times. The range is sampled at 1001 targets.
    """
    if len(model.times_s) == 1:
        return 0.0, 0.0
    targets = np.linspace(model.g_low_uS, model.g_high_uS, 1001)
    ages = np.array(model.times_s)[:, None]
    steps = np.diff(np.log(ages), axis=0)
    spread = np.diff(model.relax_sigma_uS(targets, ages), axis=0) / steps
    drift = np.diff(model.relax_mean_uS(targets, ages), axis=0) / steps
    return float(np.abs(spread).max()), float(np.abs(drift).max())
