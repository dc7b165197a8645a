"""One emulated array on a probe station: written, aged, worn out and looked at device by device.

A training host sees weights only (`CrossbarTarget`); who asks what a device must be able to do needs its conductance.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from memristor.controller import Program, Wait
from memristor.errors import CrossbarError
from memristor.parasitics import effective_matrix, with_access
from memristor.random import stream
from neurohil.protocols import Floats, Levels, Quantity
from neurohil.targets.errors import user_errors
from neurohil.targets.matrix.crossbar import KEYS, CrossbarTarget, CrossbarTargetConfig

WORKS, STUCK_ON, STUCK_OFF, FADING = range(4)


class Writing(NamedTuple):
    """What it took to write the whole array; time and energies are modelled.

    pulses (rows, columns) int64; verified (rows, columns) bool: not given up by the recipe; rounds of reading back.
    """

    pulses: NDArray[np.int64]
    verified: NDArray[np.bool_]
    rounds: int
    time_s: float
    pulse_pJ: float
    conversion_pJ: float
    drive_pJ: float


class Voltages(NamedTuple):
    """Voltages (rows, columns) at the row's and the column's side of each cell, all rows at v_read_V."""

    v_read_V: float
    row_V: Floats
    column_V: Floats


class CrossbarBench:
    """One array of the size that ``target.array`` names, filled with weights.

    Parameters
    ----------
    config : CrossbarTargetConfig
    seed : int
        Of the weights, and of the noise of writes, relaxation and reads.
    log_pulses : bool
        Keep every single pulse for `pulse_log`.

    Attributes
    ----------
    level_uS : (n,) float64
        Targets of a device's levels.
    shape : (int, int)
        Rows and columns of devices.

    Raises
    ------
    UserError
        An unknown key or a value out of range.
    """

    def __init__(self, config: CrossbarTargetConfig, seed: int, log_pulses: bool = False) -> None:
        # Conductances are looked at one by one here, so none may lag behind.
        config = msgspec.structs.replace(config, array={**config.array, "relax_tolerance_uS": 0.0})
        crossbar_config = CrossbarTarget(config, [(1, 1)]).controller.crossbars[0].config
        weights = crossbar_config.mapping().weights_in(crossbar_config.tile_columns)
        shape = (crossbar_config.tile_rows, weights)
        self._controller = CrossbarTarget(config, [shape], log_pulses=log_pulses, seed=seed).controller
        (self._crossbar,) = self._controller.crossbars
        ((self._tile,),) = self._crossbar.tiles
        self._cells, self._model = self._tile.cells, crossbar_config.device
        self._worn = 0
        self._seed = seed
        self.shape = self._tile.shape
        low, high = self._model.g_low_uS, self._model.g_high_uS
        self.level_uS = np.clip(self._crossbar.mapping.device_uS, low, high)

    def random_weights(self) -> Levels:
        """Signed levels (inputs, outputs) for the whole array, all equally likely; they belong to the seed."""
        top = self._crossbar.mapping.max_level
        return stream(self._seed, "bench.levels").integers(-top, top + 1, self._crossbar.shape)

    def device_levels(self, weights: Levels) -> Levels:
        """Level 0..n-1 of each device (rows, columns) for signed levels of weights."""
        mapping = self._crossbar.mapping
        with user_errors(CrossbarError):
            return mapping.device_levels(mapping.check_levels(weights))

    def write(self, weights: Levels) -> Writing:
        """Write all devices of the array, whether or not their level changes."""
        before, pulses = self._controller.account(), self._cells.set_pulses + self._cells.reset_pulses
        with user_errors(CrossbarError, KEYS):
            report = self._controller.execute(Program(0, weights, only_changed=False))
        after = self._controller.account()
        verified = np.ones(self.shape, dtype=np.bool_)
        verified[report.unverified[:, 2], report.unverified[:, 3]] = False
        return Writing(
            pulses=self._cells.set_pulses + self._cells.reset_pulses - pulses,
            verified=verified,
            rounds=report.rounds,
            time_s=(after.modelled_time_ns - before.modelled_time_ns) * 1e-9,
            pulse_pJ=after.modelled_pulse_pJ - before.modelled_pulse_pJ,
            conversion_pJ=after.modelled_conversion_pJ - before.modelled_conversion_pJ,
            drive_pJ=after.modelled_drive_pJ - before.modelled_drive_pJ,
        )

    def pulse_log(self) -> list[Quantity]:
        """Every pulse so far, in order of time: when, where, which, and the conductance before and after."""
        pulses = self._controller.pulse_log().pulses
        return [Quantity(name, pulses[name], ("pulse",), units, label) for name, units, label in _PULSE_LOG]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        with user_errors(CrossbarError, KEYS):
            self._controller.execute(Wait(seconds))

    def wait_until(self, age_s: float) -> None:
        """Let time pass until the devices that were written last are of this age; nothing if they are older."""
        self.wait(max(0.0, float(self._cells.written_at_s.max()) + age_s - self._crossbar.now_s))

    def wear(self, cycles: int) -> None:
        """Bring all devices to so many programming cycles, none less than before.

        The single cycles aren't emulated: for failures only their number matters. They show at the next write.
        """
        more = max(0, cycles - self._worn)
        self._cells.add_cycles(more)
        self._worn += more

    def conductance_uS(self) -> Floats:
        """Conductances now, (rows, columns)."""
        self._tile.relax(self._crossbar.now_s)
        return self._cells.g_uS.copy()

    def target_uS(self) -> Floats:
        """What the devices were last written to, (rows, columns)."""
        return self._cells.target_uS.copy()

    def lifetime_cycles(self) -> Floats:
        """Programming cycles after which each device fails, (rows, columns)."""
        return self._cells.lifetime_cycles.copy()

    def state(self) -> NDArray[np.int64]:
        """WORKS, STUCK_ON, STUCK_OFF or FADING, (rows, columns)."""
        fading = np.where(self._cells.failed, FADING, WORKS)
        return np.choose(self._cells.stuck + 1, [np.full(self.shape, STUCK_OFF), fading, np.full(self.shape, STUCK_ON)])

    def failed_by_law(self, cycles: Floats) -> Floats:
        """Expected share of failed devices after so many programming cycles, stuck ones included, same shape."""
        return self._cells.expected_failed(cycles)

    def model_spread_uS(self, level_uS: Floats, age_s: float) -> Floats:
        """Standard deviation of one programming cycle and of the relaxation since, by the device model, same shape."""
        return np.hypot(self._model.program_sigma_uS(level_uS), self._model.relax_sigma_uS(level_uS, age_s))

    def model_shift_uS(self, level_uS: Floats, age_s: float) -> Floats:
        """Mean shift since the write by the device model, same shape."""
        return self._model.relax_mean_uS(level_uS, age_s)

    def read_spread_uS(self, reads: int) -> tuple[Floats, Floats]:
        """Standard deviation of the reads of each device, observed in so many and by the model, (rows, columns)."""
        self._tile.relax(self._crossbar.now_s)
        rng = stream(self._seed, "bench.read")
        observed = np.stack([self._tile.read(rng) for _ in range(reads)]).std(axis=0, ddof=1)
        return observed, self._cells.read_sigma_uS()

    def voltages(self) -> Voltages:
        """Voltages on the wires with all rows at the read voltage."""
        v_read_V = self._crossbar.config.dac.v_read_V
        self._tile.relax(self._crossbar.now_s)
        with user_errors(CrossbarError, KEYS):
            solution = self._tile.voltages(np.full(self.shape[0], v_read_V))
        return Voltages(v_read_V, solution.row_V, solution.column_V)

    def current_lost(self, size: int, segment_ohm: float | None = None) -> float:
        """Share of the current that is lost in the wires with all rows at the same voltage; NaN if none flows.

        Parameters
        ----------
        size : int
            Of a square array with the devices of this one's corner.
        segment_ohm : float, optional
            Resistance of a segment of rows and columns; by default as configured.
        """
        wires = self._tile.wires
        assert wires is not None  # `voltages` has told the user
        if segment_ohm is not None:
            with user_errors(CrossbarError, KEYS):
                wires = dataclasses.replace(wires, row_ohm=segment_ohm, column_ohm=segment_ohm)
        g_uS = self.conductance_uS()[:size, :size]
        without_wires = float(with_access(g_uS, wires.access_ohm).sum())
        if without_wires == 0.0:
            return math.nan
        return float(1.0 - effective_matrix(g_uS, wires).sum() / without_wires)


_PULSE_LOG = (
    ("after_uS", "uS", "conductance after the pulse (uS; NaN between RESET and SET)"),
    ("time_ns", "ns", "start of the pulse (ns)"),
    ("row", "1", "row"),
    ("column", "1", "column"),
    ("kind", "1", "SET (1) or RESET (-1)"),
    ("before_uS", "uS", "conductance before the pulse (uS; NaN between RESET and SET)"),
)
