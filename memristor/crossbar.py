"""The one door into the emulated crossbar: a layer of signed weight levels on arrays with converters.

Write, age, multiply, read, look. What can be chosen stands in `config`, what happens to the devices in `device`
(program, relax, read, wear), and what happens to a product on its way in `_products`.

Time is `Crossbar.now_s`, a clock that the caller advances. A layer's work is offered array by array too (`plan`,
`program`, `tiles`), so that a controller can order and time it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._products import Products
from .arrays import floats, integers
from .blas import one_thread
from .config import CrossbarConfig
from .converters import calibrate, digitise
from .device import State
from .device_model import MAX_TIME_S, DeviceModel
from .errors import CrossbarError, check_number, check_serial_and_seed, exact
from .mapping import Grid
from .presets import preset
from .programming import ProgramReport, Recipe
from .random import stream
from .shown import shown, times
from .tile import Tile

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Range of a row-by-row read-out over the current of the highest level: room for noise and drift. Assumed.
READ_HEADROOM = 1.25
_UNWRITTEN = np.iinfo(np.int64).min


_LARGEST = 1e12  # number in a state: more is damage
_SMALLEST_RANGE_uA = 1e-300  # codes per uA stay a number


def _has_range(range_uA: object) -> bool:
    """Whether the converters of a state have a range, which is NaN if not."""
    return not (isinstance(range_uA, np.ndarray) and range_uA.dtype.kind == "f" and np.isnan(range_uA).all())


@shown
class TileJob(NamedTuple):
    """Cells of one array that are to be programmed.

    Attributes
    ----------
    tile : (int, int)
        Row and column of the array among the arrays.
    rows, columns : (n,) int64
        Cells within the array.
    targets_uS : (n,) float64
    weights, levels : (k,) int64
        Weights of the layer (row * n_outputs + column) and their new levels.
    """

    tile: tuple[int, int]
    rows: IntArray
    columns: IntArray
    targets_uS: FloatArray
    weights: IntArray
    levels: IntArray

    def _facts(self) -> dict[str, object]:
        return {"tile": self.tile, "weights": self.weights.size, "cells": self.rows.size}


@shown
class WriteReport(NamedTuple):
    """What a write took.

    Attributes
    ----------
    weights, cells, pulses : int
        Weights whose level changed, devices programmed, SET and RESET pulses.
    rounds : int
        Largest number of times that an array's controller had to read back.
    unverified : (n, 4) int64
        Cells that a verifying recipe gave up: row and column of the array, row and column within it.
    """

    weights: int
    cells: int
    pulses: int
    rounds: int
    unverified: IntArray

    def _facts(self) -> dict[str, object]:
        return {**self._asdict(), "unverified": len(self.unverified)}

    @classmethod
    def over(cls, done: Iterable[tuple[TileJob, ProgramReport]], recipe: Recipe) -> WriteReport:
        """What several jobs took together."""
        cells, pulses, rounds, weights = 0, 0, 0, 0
        unverified = [np.empty((0, 4), dtype=np.int64)]
        for job, report in done:
            cells, weights = cells + job.rows.size, weights + job.weights.size
            pulses, rounds = pulses + int(report.pulses.sum()), max(rounds, report.rounds)
            if recipe.verifies and not report.verified.all():
                left = np.flatnonzero(~report.verified)
                place = np.broadcast_to(np.array(job.tile), (left.size, 2))
                unverified.append(np.column_stack([place, job.rows[left], job.columns[left]]))
        return cls(weights, cells, pulses, rounds, np.concatenate(unverified))


@shown
class Map(NamedTuple):
    """An array [row, column] over all devices of the layer, and its unit ("" for a number)."""

    values: NDArray[np.generic]
    unit: str

    def _facts(self) -> dict[str, object]:
        low, high = (float(end) for end in (self.values.min(), self.values.max()))
        return {"devices": times(self.values.shape), "values": f"{low:.4g}..{high:.4g} {self.unit}".rstrip()}


def _chosen(config: CrossbarConfig | None, levels: int | None, device: str | DeviceModel | None) -> CrossbarConfig:
    """The config, or one with these levels and this device."""
    if config is None:
        choices: dict[str, Any] = {} if levels is None else {"levels_per_device": levels}
        if device is not None:
            choices["device"] = preset(device) if isinstance(device, str) else device
        return CrossbarConfig(**choices)
    if not isinstance(config, CrossbarConfig):
        raise CrossbarError(f"config = {reprlib.repr(config)} is not a CrossbarConfig; give one, or levels and device")
    for name, value, key in (("levels", levels, "levels_per_device"), ("device", device, "device")):
        if value is not None:
            raise CrossbarError(
                f"{name} = {reprlib.repr(value)} is given beside a config; give CrossbarConfig({key}=...) or no config"
            )
    return config


@shown
class Crossbar:
    """A layer of signed weight levels on arrays of devices.

    Weight [i, j] lies on tile (i // tile_rows, j // w), where w is the number of weights in a row of a tile; within
    the tile as `Mapping.to_conductance` tells. The last row and column of tiles are as large as needed.

    Parameters
    ----------
    shape : (int, int)
        Inputs and outputs of the layer.
    config : CrossbarConfig, optional
        All that can be chosen; by default levels and device are as given, all else as in `CrossbarConfig`.
    levels : int, optional
        Levels of a device, `CrossbarConfig.levels_per_device`. Nine levels in pairs of devices are weights of -8..8.
    device : str or DeviceModel, optional
        Name of a preset, one of `PRESET_NAMES`, or a model of your own.
    serial : int
        Which individual arrays these are: their faults, lifetimes and steps.
    seed : int
        Of the noise of writes, relaxation and reads.

    Attributes
    ----------
    mapping : Mapping
    tiles : list of list of Tile
        [row of tiles][column of tiles].
    now_s : float
        Time since the arrays were made; `age` advances it.
    weight_levels : (n_inputs, n_outputs) int64
        As written last; the smallest int64 where nothing has been written. Such devices are at their lowest.
    range_uA : float or None
        Current of the ADC's largest code.

    Raises
    ------
    CrossbarError
        A value is out of range, or levels or device are given beside a config.

    Examples
    --------
    >>> import numpy as np
    >>> from memristor import Crossbar
    >>> array = Crossbar((128, 64), levels=9, device="hfox_wan2022", serial=1)
    >>> array.mapping.max_level
    8
    >>> weights = np.random.default_rng(1).integers(-8, 9, (128, 64))
    >>> array.write(weights).cells
    16384
    >>> x = np.random.default_rng(2).uniform(-1.0, 1.0, (10, 128))
    >>> range_uA = array.calibrate(x)
    >>> array.age(86_400.0)
    >>> y = array.multiply(x)
    >>> y.shape
    (10, 64)
    >>> bool(np.corrcoef(y.ravel(), (x @ weights).ravel())[0, 1] > 0.95)
    True
    """

    def __init__(
        self,
        shape: tuple[int, int],
        config: CrossbarConfig | None = None,
        *,
        levels: int | None = None,
        device: str | DeviceModel | None = None,
        serial: int = 1,
        seed: int = 1,
    ) -> None:
        if not isinstance(shape, tuple) or len(shape) != 2:
            raise CrossbarError(f"shape = {reprlib.repr(shape)} is not a pair; give (inputs, outputs)")
        for name, size in zip(("inputs", "outputs"), shape, strict=True):
            check_number(f"shape: {name}", size, 1, 65_536, "", "give the size of the layer", whole=True)
        check_serial_and_seed(serial, seed)
        config = _chosen(config, levels, device)
        self.config, self.shape, self.serial, self.seed = config, shape, serial, seed
        self.mapping = config.mapping()
        self.now_s = 0.0
        self.range_uA = config.adc.range_uA
        self.weight_levels = np.full(shape, _UNWRITTEN, dtype=np.int64)
        if config.layout == "tiled":
            self._grid = Grid(shape, config.tile_rows, self.mapping.weights_in(config.tile_columns))
        else:
            self._grid = Grid(shape, *shape)
        rows, columns = self._grid.tiles
        self.tiles = [[self._new_tile(r, c) for c in range(columns)] for r in range(rows)]
        # The device's own range, but for rounding in the way through the access transistor and back.
        self._targets_uS = np.clip(self.mapping.device_uS, config.device.g_low_uS, config.device.g_high_uS)
        self._counts = dict.fromkeys(("writes", "cells_written", "pulses", "vectors", "conversions", "clipped"), 0)
        self._reads = 0  # calls of multiply: the number of the noise
        self._products = Products(config, self.mapping, self._grid, self.tiles)

    def _new_tile(self, r: int, c: int) -> Tile:
        config, (rows, weights) = self.config, self._grid.tile_shape(r, c)
        serial, seed = (int(stream(number, "tile", r, c).integers(2**63)) for number in (self.serial, self.seed))
        return Tile(
            config.device,
            (rows, self.mapping.columns(weights)),
            config.wires,
            serial=serial,
            seed=seed,
            relax_tolerance_uS=config.relax_tolerance_uS,
            faults=config.faults,
            wear=config.wear,
            rtn=config.rtn,
        )

    def _facts(self) -> dict[str, object]:
        config = self.config
        return {
            "weights": times(self.shape),
            "device": config.device.name,
            "levels": f"{config.levels_per_device} per device ({config.scheme})",
            "arrays": times(self._grid.tiles),
            "serial": self.serial,
            "seed": self.seed,
            "written": int(np.count_nonzero(self.weight_levels != _UNWRITTEN)),
            "age": f"{exact(self.now_s)} s",
        }

    # Writing

    def write(self, levels: ArrayLike, only_changed: bool = True) -> WriteReport:
        """Program the layer; what the arrays then answer is not what was asked for.

        Parameters
        ----------
        levels : (n_inputs, n_outputs) array_like of int
            Signed levels, -mapping.max_level..mapping.max_level.
        only_changed : bool
            Program the devices whose target has changed (all of them the first time); False: program all again.

        Returns
        -------
        WriteReport

        Raises
        ------
        CrossbarError
            Shape, type or range of a level; the arrays are as they were.
        """
        done = [(job, self.program(job)) for job in self.plan(levels, only_changed)]
        report = WriteReport.over(done, self.config.recipe)
        # Arrays are programmed at the same time; one that waits holds up the others.
        self.now_s = max(self.now_s, max(tile.cells.now_s for row in self.tiles for tile in row))
        self._counts["writes"] += 1
        return report

    def plan(self, levels: ArrayLike, only_changed: bool = True) -> list[TileJob]:
        """What `write` would program, array by array; nothing is done.

        Parameters and errors as for `write`.
        """
        new = self.mapping.check_levels(levels, self.shape).ravel()
        old = self.weight_levels.ravel()
        weights = np.flatnonzero(new != old) if only_changed else np.arange(new.size)
        row, output = np.divmod(weights, self.shape[1])
        grid = self._grid
        tile = (row // grid.tile_rows) * grid.tiles[1] + output // grid.tile_weights
        order = np.argsort(tile, kind="stable")
        weights, row, output, tile = weights[order], row[order], output[order], tile[order]

        per_weight = 2 if self.mapping.scheme == "pair" else 1
        level, before = new[weights], old[weights]
        device_level = self.mapping.device_levels(level[:, None])[:, :per_weight]
        # An unwritten weight has no valid level; 0 stands in, and all its devices are programmed.
        unwritten = (before == _UNWRITTEN) if only_changed else np.ones(weights.size, dtype=np.bool_)
        device_before = self.mapping.device_levels(np.where(unwritten, 0, before)[:, None])[:, :per_weight]
        which, device = np.nonzero((device_level != device_before) | unwritten[:, None])
        rows = row[which] % grid.tile_rows
        columns = per_weight * (output[which] % grid.tile_weights) + device
        targets = self._targets_uS[device_level[which, device]]

        numbers, starts = np.unique(tile, return_index=True)
        ends = np.append(starts[1:], tile.size)
        cell_starts, cell_ends = np.searchsorted(which, starts), np.searchsorted(which, ends)
        jobs = []
        for k, number in enumerate(numbers.tolist()):
            place = divmod(number, grid.tiles[1])
            mine, cells = slice(starts[k], ends[k]), slice(cell_starts[k], cell_ends[k])
            job = TileJob(place, rows[cells], columns[cells], targets[cells], weights[mine], level[mine])
            jobs.append(job if per_weight == 2 else self._with_reference(job, only_changed))
        return jobs

    def _with_reference(self, job: TileJob, only_changed: bool) -> TileJob:
        """The job and what is to be programmed of the array's reference column."""
        cells = self.tiles[job.tile[0]][job.tile[1]].cells
        rows = np.flatnonzero(cells.writes[:, -1] == 0) if only_changed else np.arange(cells.shape[0])
        return job._replace(
            rows=np.append(job.rows, rows),
            columns=np.append(job.columns, np.full(rows.size, cells.shape[1] - 1)),
            targets_uS=np.append(job.targets_uS, np.full(rows.size, self._targets_uS[self.mapping.max_level])),
        )

    def program(self, job: TileJob) -> ProgramReport:
        """Program cells of one array, as `plan` names them, at `now_s`.

        With a recipe that waits, the array's own time (`Tile.cells.now_s`) is then ahead of the crossbar's; `write`
        takes the clock there, who programs by hand calls `age` before the next product.

        Raises
        ------
        CrossbarError
            Bad cells, targets or time; the array is as it was.
        """
        if not isinstance(job.tile, tuple) or len(job.tile) != 2:
            raise CrossbarError(f"job.tile = {job.tile!r} is not a pair; take a job from plan")
        for which, n in zip(job.tile, (len(self.tiles), len(self.tiles[0])), strict=True):
            check_number("job.tile", which, 0, n - 1, "", "take a job from plan", whole=True)
        remedy, top = "take a job from plan", self.mapping.max_level
        weights = integers("job.weights", job.weights, (None,), 0, self.weight_levels.size - 1, remedy=remedy)
        levels = integers("job.levels", job.levels, weights.shape, -top, top, remedy=remedy)
        tile = self.tiles[job.tile[0]][job.tile[1]]
        report = tile.program(job.rows, job.columns, job.targets_uS, self.now_s, self.config.recipe)
        self.weight_levels.ravel()[weights] = levels
        self._counts["cells_written"] += report.pulses.size
        self._counts["pulses"] += int(report.pulses.sum())
        return report

    def age(self, seconds: float) -> None:
        """Let time pass. The devices relax when they are read next.

        Raises
        ------
        CrossbarError
            Negative or NaN.
        """
        check_number("seconds", seconds, 0.0, MAX_TIME_S - self.now_s, "s", "time doesn't run backwards")
        self.now_s += float(seconds)

    # Multiplying

    @one_thread
    def multiply(self, x: ArrayLike, trial: int | None = None) -> FloatArray:
        """Products of inputs and the layer, as the converters return them.

        Parameters
        ----------
        x : (batch, n_inputs) array_like
            -1..1 (0..1 for unsigned inputs). An input of 1 is the read voltage.
        trial : int or None
            Number of the read noise: the same trial gives the same bits. None: the number of the call.

        Returns
        -------
        (batch, n_outputs) float64
            About x @ weights in weight units: summed ADC codes times one scale.

        Raises
        ------
        CrossbarError
            An input is NaN or out of range, or the ADC has no range yet.

        Notes
        -----
        Read noise is aggregated exactly: for independent devices the variance of a current is
        sum_i V_i^2 sigma_ij^2, so one normal number per current is enough. It depends on the seed and on the
        trial. With an ADC the numbers come from `kernels.multiply.normal_table` (cut at 4.3 sigma), without one
        from numpy's generator. The telegraph noise is drawn once per call: it is slow.
        """
        config = self.config
        inputs = config.dac.check(x, self.shape[0])
        if config.adc.bits is not None and self.range_uA is None:
            raise CrossbarError("adc.range_uA = None: the converters have no range yet; call calibrate or set it")
        self._products.refresh(self.now_s)
        if trial is None:
            self._reads += 1
            trial = self._reads
        check_number("trial", trial, 0, 2**63 - 1, "", "give the number of the noise", whole=True)
        codes_per_uA = 1.0
        if config.adc.bits is not None and self.range_uA is not None:
            codes_per_uA = config.adc.codes(config.dac.signed)[1] / self.range_uA
        product = self._products.of(inputs, codes_per_uA, stream(self.seed, "read", trial))
        self._counts["vectors"] += len(inputs)
        self._counts["conversions"] += product.conversions
        self._counts["clipped"] += product.clipped
        total = product.values
        total *= 1.0 / codes_per_uA * self.mapping.weight_per_uS / config.dac.v_read_V
        return total

    @one_thread
    def calibrate(self, x: ArrayLike) -> float:
        """Set the range of the converters by the currents that typical inputs cause, and return it.

        Parameters
        ----------
        x : (batch, n_inputs) array_like
            As for `multiply`; the levels should be typical too.

        Returns
        -------
        float
            uA; it holds the share `adc.percentile` of the magnitudes of all currents that are converted, without noise.

        Raises
        ------
        CrossbarError
            A bad input, or all currents are 0.
        """
        inputs = self.config.dac.check(x, self.shape[0])
        self._products.refresh(self.now_s)
        self.range_uA = calibrate(self._products.noiseless_currents_uA(inputs), self.config.adc.percentile)
        return self.range_uA

    def read(self, trial: int) -> FloatArray:
        """Weights as found by reading the devices row by row at the read voltage, (n_inputs, n_outputs).

        With read and telegraph noise, and with the resolution of the ADC, whose range is then `READ_HEADROOM` times
        the current of the highest level.

        Parameters
        ----------
        trial : int
            Number of the read noise: the same trial gives the same bits.
        """
        check_number("trial", trial, 0, 2**63 - 1, "", "give the number of the noise", whole=True)
        adc, mapping, v_read_V = self.config.adc, self.mapping, self.config.dac.v_read_V
        lowest, highest = adc.codes(signed_inputs=False)
        codes_per_uA = highest / (READ_HEADROOM * v_read_V * mapping.high_uS)

        def converted(currents_uA: FloatArray) -> FloatArray:
            if adc.bits is None:
                return currents_uA
            codes, _ = digitise(currents_uA, codes_per_uA, adc.offset_lsb, lowest, highest)
            return np.asarray(codes / codes_per_uA, dtype=np.float64)

        weights: list[list[FloatArray]] = []
        for r, row in enumerate(self.tiles):
            weights.append([])
            for c, tile in enumerate(row):
                tile.relax(self.now_s)
                currents_uA = v_read_V * tile.read(stream(self.seed, "read_out", trial, r, c))
                if adc.subtraction == "before":
                    seen = converted(mapping.difference(currents_uA))
                else:
                    seen = mapping.difference(converted(currents_uA))
                weights[-1].append(seen * (mapping.weight_per_uS / v_read_V))
        return np.block(weights)

    def effective_weights(self) -> FloatArray:
        """Weights that the arrays stand for now, without read noise, (n_inputs, n_outputs).

        Conductances with all their errors, and with the loss in the wires.
        """
        self._products.refresh(self.now_s)
        blocks = [[self.mapping.difference(tile.g_eff_uS) for tile in row] for row in self.tiles]
        return np.block(blocks) * self.mapping.weight_per_uS

    def account(self) -> dict[str, float]:
        """What all calls so far took.

        Returns
        -------
        dict
            writes (calls), cells_written, pulses (SET and RESET), vectors (inputs multiplied), conversions, clipped
            (conversions beyond the ADC's range), time_s (`now_s`).
        """
        return {**self._counts, "time_s": self.now_s}

    def state(self) -> dict[str, NDArray[Any]]:
        """What writes and time have made of the layer: arrays of fixed names, shapes and dtypes.

        The arrays of the tiles are joined, one tile after another.
        """
        tiles = [tile.state() for row in self.tiles for tile in row]
        joined = {name: np.concatenate([state[name].ravel() for state in tiles]) for name in tiles[0]}
        range_uA = np.nan if self.range_uA is None else self.range_uA
        return {
            **joined,
            "levels": self.weight_levels.copy(),
            "counts": np.array([*self._counts.values(), self._reads]),
            "now_s": np.array([self.now_s, self._products.refreshed_at_s]),
            "range_uA": np.array([range_uA]),
        }

    def load_state(self, state: State) -> None:
        """Go on from what `state` of such a layer with this serial number and seed returned, to the same bits.

        Raises
        ------
        CrossbarError
            The state is that of another layer.
        """
        remedy = "it is the state of another layer"
        checked: dict[str, NDArray[Any]] = {}
        for name, own in self.state().items():
            if name not in state:
                raise CrossbarError(f"state[{name!r}] is missing; {remedy}")
            label, value = f"state[{name!r}]", state[name]
            if own.dtype.kind != "f":
                checked[name] = integers(label, value, own.shape, remedy=remedy)
            elif name == "tile_times_s":  # a tile was written at -inf if it never was
                checked[name] = floats(label, value, own.shape, remedy=remedy, finite=False)
            elif name != "range_uA":
                checked[name] = floats(label, value, own.shape, -_LARGEST, _LARGEST, remedy=remedy)
            elif _has_range(value):
                checked[name] = floats(label, value, own.shape, _SMALLEST_RANGE_uA, _LARGEST, "uA", remedy)
            else:
                checked[name] = np.array([np.nan])
        state, top = checked, self.mapping.max_level
        if np.any((np.abs(state["levels"]) > top) & (state["levels"] != _UNWRITTEN)):
            raise CrossbarError(f"state['levels'] holds levels beyond -{top}..{top}; {remedy}")
        start: dict[str, int] = {}
        for row in self.tiles:
            for tile in row:
                parts = {}
                for name, own in tile.state().items():
                    first = start.get(name, 0)
                    parts[name] = state[name][first : first + own.size].reshape(own.shape)
                    start[name] = first + own.size
                tile.load_state(parts)
        self.weight_levels[...] = state["levels"]
        *counts, self._reads = (int(n) for n in state["counts"])
        self._counts = dict(zip(self._counts, counts, strict=True))
        self.now_s, refreshed_at_s = (float(t) for t in state["now_s"])
        range_uA = float(state["range_uA"][0])
        self.range_uA = None if np.isnan(range_uA) else range_uA
        self._products.start_again(refreshed_at_s)

    def maps(self) -> dict[str, Map]:
        """What a visitor with a microscope would see, by name, over all arrays put together as they lie.

        conductance, effective_conductance (after the wires' loss), target, lifetime, set_pulses, reset_pulses, writes,
        stuck.
        """
        self._products.refresh(self.now_s)

        def joined(of: Callable[[Tile], NDArray[np.generic]]) -> NDArray[np.generic]:
            return np.block([[of(tile) for tile in row] for row in self.tiles])

        return {
            "conductance": Map(joined(lambda tile: tile.cells.g_uS), "uS"),
            "effective_conductance": Map(joined(lambda tile: tile.g_eff_uS), "uS"),
            "target": Map(joined(lambda tile: tile.cells.target_uS), "uS"),
            "lifetime": Map(joined(lambda tile: tile.cells.lifetime_cycles), "cycles"),
            "set_pulses": Map(joined(lambda tile: tile.cells.set_pulses), "pulses"),
            "reset_pulses": Map(joined(lambda tile: tile.cells.reset_pulses), "pulses"),
            "writes": Map(joined(lambda tile: tile.cells.writes), "writes"),
            "stuck": Map(joined(lambda tile: tile.cells.stuck), ""),
        }
