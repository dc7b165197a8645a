"""The one door into the emulated crossbar: a layer of signed weight levels on arrays with converters.

Time is `Crossbar.now_s`, a clock that the caller advances. A layer's work is offered array by array too (`plan`,
`program`, `tiles`), so that a controller can order and time it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .blas import one_thread
from .converters import AdcConfig, DacConfig, calibrate, encode
from .device import FaultConfig, RtnConfig, State, WearConfig
from .errors import CrossbarError, check_number, exact
from .kernels import multiply as kernels
from .mapping import Mapping
from .parasitics import WireConfig, with_access
from .presets import MAX_TIME_S, DeviceModel, preset
from .programming import ProgramReport
from .random import stream
from .tile import Recipe, Tile

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UNWRITTEN = np.iinfo(np.int64).min
# With up to so many bits, products in single precision are off by far less than half an ADC step.
_MAX_SINGLE_PRECISION_BITS = 12


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CrossbarError(f"crossbar.{name} = {reprlib.repr(value)} is unknown; choose {' or '.join(choices)}")


@dataclass(frozen=True)
class CrossbarConfig:
    """What can be chosen about a layer on arrays.

    Parameters
    ----------
    device : DeviceModel
    levels_per_device, scheme, weight_range
        As for `Mapping`.
    low_uS, high_uS : float or None
        Lowest and highest level as the columns see them; None: the whole range of the device.
    layout : {"tiled", "statistical"}
        The layer on as many arrays as it takes, or on a single array of its size without wires.
    tile_rows, tile_columns : int
        Size of an array, for layout "tiled".
    wires : WireConfig or None
        None: no resistance anywhere.
    dac : DacConfig
    adc : AdcConfig
    conversion : {"tile", "output"}
        One conversion per row of tiles and output, or one per output: the currents of the tiles are summed first.
    recipe : Recipe
    relax_tolerance_uS : float
        Error of a conductance that is accepted to save work, see `Tile.relax`; 0 for none.
    faults, wear, rtn
        As for `Cells`.
    """

    device: DeviceModel = field(default_factory=preset)
    levels_per_device: int = 8
    scheme: Literal["pair", "offset"] = "pair"
    weight_range: float = 1.0
    low_uS: float | None = None
    high_uS: float | None = None
    layout: Literal["tiled", "statistical"] = "tiled"
    tile_rows: int = 128
    tile_columns: int = 128
    wires: WireConfig | None = None
    dac: DacConfig = field(default_factory=DacConfig)
    adc: AdcConfig = field(default_factory=AdcConfig)
    conversion: Literal["tile", "output"] = "tile"
    recipe: Recipe = field(default_factory=Recipe)
    relax_tolerance_uS: float = 0.01
    faults: FaultConfig = field(default_factory=FaultConfig)
    wear: WearConfig = field(default_factory=WearConfig)
    rtn: RtnConfig = field(default_factory=RtnConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.device, DeviceModel):
            raise CrossbarError(f"crossbar.device = {self.device!r} is not a DeviceModel; get one from presets.preset")
        _check_choice("layout", self.layout, ("tiled", "statistical"))
        _check_choice("conversion", self.conversion, ("tile", "output"))
        if self.layout == "statistical" and self.wires is not None:
            raise CrossbarError("crossbar.wires are for layout 'tiled'; the array of layout 'statistical' has none")
        check_number("crossbar.tile_rows", self.tile_rows, 1, 65_536, "", "give the rows of an array", whole=True)
        remedy = "a weight takes two columns: a pair, or its own and the reference"
        check_number("crossbar.tile_columns", self.tile_columns, 2, 65_536, "", remedy, whole=True)
        remedy = "give the accepted error, 0 for none"
        check_number("relax_tolerance_uS", self.relax_tolerance_uS, 0.0, 1e6, "uS", remedy)
        self.mapping()

    def mapping(self) -> Mapping:
        """How weights are laid out; CrossbarError if the device can't reach the levels."""
        device, access_ohm = self.device, 0.0 if self.wires is None else self.wires.access_ohm
        seen = with_access([device.g_low_uS, device.g_high_uS], access_ohm)
        mapping = Mapping(
            levels_per_device=self.levels_per_device,
            low_uS=float(seen[0]) if self.low_uS is None else self.low_uS,
            high_uS=float(seen[1]) if self.high_uS is None else self.high_uS,
            scheme=self.scheme,
            weight_range=self.weight_range,
            access_ohm=access_ohm,
        )
        slack = 1e-9 * device.g_high_uS
        for name, level, reach in (("low_uS", 0, seen[0]), ("high_uS", -1, seen[1])):
            needed = mapping.device_uS[level]
            if not device.g_low_uS - slack <= needed <= device.g_high_uS + slack:
                raise CrossbarError(
                    f"mapping.{name} = {exact(getattr(mapping, name))} uS, seen through {exact(access_ohm)} ohm, takes"
                    f" a device of {exact(needed)} uS, outside {exact(device.g_low_uS)}..{exact(device.g_high_uS)} uS"
                    f" of {device.name};"
                    f" the {'lowest' if level == 0 else 'highest'} it can show is {exact(reach)} uS"
                )
        return mapping


_LARGEST = 1e12  # number in a state: more is damage


def _has_range(range_uA: object) -> bool:
    """Whether the converters of a state have a range, which is NaN if not."""
    return not (isinstance(range_uA, np.ndarray) and range_uA.dtype.kind == "f" and np.isnan(range_uA).all())


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


class Map(NamedTuple):
    """An array [row, column] over all devices of the layer, and its unit ("" for a number)."""

    values: NDArray[np.generic]
    unit: str


class Crossbar:
    """A layer of signed weight levels on arrays of devices.

    Weight [i, j] lies on tile (i // tile_rows, j // w), where w is the number of weights in a row of a tile; within
    the tile as `Mapping.to_conductance` tells. The last row and column of tiles are as large as needed.

    Parameters
    ----------
    config : CrossbarConfig
    shape : (int, int)
        Inputs and outputs of the layer.
    seed : int
        Which individual arrays these are, and their noise.

    Attributes
    ----------
    mapping : Mapping
    tiles : list of list of Tile
        [row of tiles][column of tiles].
    now_s : float
        Time since the arrays were made; `age` advances it.
    levels : (n_inputs, n_outputs) int64
        As written last; the smallest int64 where nothing has been written. Such devices are at their lowest.
    range_uA : float or None
        Current of the ADC's largest code.
    """

    def __init__(self, config: CrossbarConfig, shape: tuple[int, int], seed: int) -> None:
        if not isinstance(shape, tuple) or len(shape) != 2:
            raise CrossbarError(f"shape = {shape!r} is not a pair; give (inputs, outputs)")
        for name, size in zip(("inputs", "outputs"), shape, strict=True):
            check_number(f"shape: {name}", size, 1, 65_536, "", "give the size of the layer", whole=True)
        check_number("crossbar.seed", seed, 0, 2**63 - 1, "", "give the number of the crossbar", whole=True)
        self.config, self.shape, self.seed = config, shape, seed
        self.mapping = config.mapping()
        self.now_s = 0.0
        self.range_uA = config.adc.range_uA
        self.levels = np.full(shape, _UNWRITTEN, dtype=np.int64)
        n_inputs, n_outputs = shape
        tiled = config.layout == "tiled"
        self._tile_rows = config.tile_rows if tiled else n_inputs
        self._tile_weights = self.mapping.weights_in(config.tile_columns) if tiled else n_outputs
        self._row_starts = np.arange(0, n_inputs, self._tile_rows)
        self._weight_starts = np.arange(0, n_outputs, self._tile_weights)
        self.tiles = [
            [self._new_tile(r, c) for c in range(self._weight_starts.size)] for r in range(len(self._row_starts))
        ]
        # The device's own range, but for rounding in the way through the access transistor and back.
        self._targets_uS = np.clip(self.mapping.device_uS, config.device.g_low_uS, config.device.g_high_uS)
        self._counts = dict.fromkeys(("writes", "cells_written", "pulses", "vectors", "conversions", "clipped"), 0)
        self._reads = 0  # calls of multiply: the number of the noise
        bits = config.adc.bits
        single = bits is not None and bits <= _MAX_SINGLE_PRECISION_BITS
        self._real: type[np.floating] = np.float32 if single else np.float64
        by_tile = config.conversion == "tile"
        self._ends = np.append(self._row_starts[1:], n_inputs) if by_tile else np.array([n_inputs])
        self._column_tile = np.arange(n_outputs) // self._tile_weights
        self._refreshed_at_s = 0.0
        self._versions = [[-1] * self._weight_starts.size for _ in self._row_starts]
        # What is converted together: for each of `_split`'s parts, the matrix that gives the currents, and the variance
        # of one read of its entries, one number if all are alike.
        pair, before = config.scheme == "pair", config.adc.subtraction == "before"
        widths = [n_outputs, n_outputs if pair else self._weight_starts.size]
        self._matrices = [np.zeros((n_inputs, width), dtype=self._real) for width in (widths[:1] if before else widths)]
        self._variances = self._alike_variances()
        self._widths = widths

    def _alike_variances(self) -> list[NDArray[np.floating] | float]:
        """Those of arrays whose cells all work."""
        alike = (self.config.device.read_fraction * self.config.device.g_high_uS) ** 2
        together = self.config.scheme == "pair" and self.config.adc.subtraction == "before"
        return [2.0 * alike] if together else [alike, alike]

    def _new_tile(self, r: int, c: int) -> Tile:
        config, (n_inputs, n_outputs) = self.config, self.shape
        rows = min(self._tile_rows, n_inputs - r * self._tile_rows)
        weights = min(self._tile_weights, n_outputs - c * self._tile_weights)
        return Tile(
            config.device,
            (rows, self.mapping.columns(weights)),
            config.wires,
            int(stream(self.seed, "tile", r, c).integers(2**63)),
            relax_tolerance_uS=config.relax_tolerance_uS,
            faults=config.faults,
            wear=config.wear,
            rtn=config.rtn,
        )

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
        cells, pulses, rounds, weights = 0, 0, 0, 0
        unverified = [np.empty((0, 4), dtype=np.int64)]
        verifies = self.config.recipe.method != "one_shot"
        for job in self.plan(levels, only_changed):
            report = self.program(job)
            cells, weights = cells + job.rows.size, weights + job.weights.size
            pulses, rounds = pulses + int(report.pulses.sum()), max(rounds, report.rounds)
            if verifies and not report.verified.all():
                left = np.flatnonzero(~report.verified)
                place = np.broadcast_to(np.array(job.tile), (left.size, 2))
                unverified.append(np.column_stack([place, job.rows[left], job.columns[left]]))
        # Arrays are programmed at the same time; one that waits holds up the others.
        self.now_s = max(self.now_s, max(tile.cells.now_s for row in self.tiles for tile in row))
        self._counts["writes"] += 1
        return WriteReport(weights, cells, pulses, rounds, np.concatenate(unverified))

    def plan(self, levels: ArrayLike, only_changed: bool = True) -> list[TileJob]:
        """What `write` would program, array by array; nothing is done.

        Parameters and errors as for `write`.
        """
        new = self.mapping.check_levels(levels, self.shape).ravel()
        old = self.levels.ravel()
        weights = np.flatnonzero(new != old) if only_changed else np.arange(new.size)
        row, output = np.divmod(weights, self.shape[1])
        tile = (row // self._tile_rows) * self._weight_starts.size + output // self._tile_weights
        order = np.argsort(tile, kind="stable")
        weights, row, output, tile = weights[order], row[order], output[order], tile[order]

        per_weight = 2 if self.mapping.scheme == "pair" else 1
        level, before = new[weights], old[weights]
        device_level = self.mapping.device_levels(level[:, None])[:, :per_weight]
        # An unwritten weight has no valid level; 0 stands in, and all its devices are programmed.
        unwritten = (before == _UNWRITTEN) if only_changed else np.ones(weights.size, dtype=np.bool_)
        device_before = self.mapping.device_levels(np.where(unwritten, 0, before)[:, None])[:, :per_weight]
        which, device = np.nonzero((device_level != device_before) | unwritten[:, None])
        rows = row[which] % self._tile_rows
        columns = per_weight * (output[which] % self._tile_weights) + device
        targets = self._targets_uS[device_level[which, device]]

        numbers, starts = np.unique(tile, return_index=True)
        ends = np.append(starts[1:], tile.size)
        cell_starts, cell_ends = np.searchsorted(which, starts), np.searchsorted(which, ends)
        jobs = []
        for k, number in enumerate(numbers.tolist()):
            place = divmod(number, self._weight_starts.size)
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
        weights = integers("job.weights", job.weights, (None,), 0, self.levels.size - 1, remedy="take a job from plan")
        top = self.mapping.max_level
        levels = integers("job.levels", job.levels, weights.shape, -top, top, remedy="take a job from plan")
        tile = self.tiles[job.tile[0]][job.tile[1]]
        report = tile.program(job.rows, job.columns, job.targets_uS, self.now_s, self.config.recipe)
        self.levels.ravel()[weights] = levels
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
        self._refresh()
        if trial is None:
            self._reads += 1
            trial = self._reads
        check_number("trial", trial, 0, 2**63 - 1, "", "give the number of the noise", whole=True)
        rng = stream(self.seed, "read", trial)
        total = np.zeros((len(inputs), self.shape[1]))
        matrices = self._with_telegraph(rng) if config.rtn.share > 0.0 else self._matrices
        for volts, squares, weight in self._phases(inputs):
            self._convert_phase(volts, squares, weight, matrices, total, rng)
        self._counts["vectors"] += len(inputs)
        lsb_uA = 1.0 if config.adc.bits is None else 1.0 / self._codes_per_uA
        total *= lsb_uA * self.mapping.weight_per_uS / config.dac.v_read_V
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
        self._refresh()
        currents = [
            (volts[:, rows] @ matrix[rows]).ravel()
            for volts, _, _ in self._phases(inputs)
            for rows in self._groups()
            for matrix in self._matrices
        ]
        self.range_uA = calibrate(np.concatenate(currents), self.config.adc.percentile)
        return self.range_uA

    def effective_weights(self) -> FloatArray:
        """Weights that the arrays stand for now, without read noise, (n_inputs, n_outputs).

        Conductances with all their errors, and with the loss in the wires.
        """
        self._refresh()
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
            "levels": self.levels.copy(),
            "counts": np.array([*self._counts.values(), self._reads]),
            "now_s": np.array([self.now_s, self._refreshed_at_s]),
            "range_uA": np.array([range_uA]),
        }

    def load_state(self, state: State) -> None:
        """Go on from what `state` of such a layer with this seed returned, to the same bits.

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
            elif name != "range_uA" or _has_range(value):
                checked[name] = floats(label, value, own.shape, -_LARGEST, _LARGEST, remedy=remedy)
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
        self.levels[...] = state["levels"]
        *counts, self._reads = (int(n) for n in state["counts"])
        self._counts = dict(zip(self._counts, counts, strict=True))
        self.now_s, self._refreshed_at_s = (float(t) for t in state["now_s"])
        range_uA = float(state["range_uA"][0])
        self.range_uA = None if np.isnan(range_uA) else range_uA
        # The matrices are made again of the tiles at the next product.
        self._variances = self._alike_variances()
        self._versions = [[-1] * self._weight_starts.size for _ in self._row_starts]

    def maps(self) -> dict[str, Map]:
        """What a visitor with a microscope would see, by name, over all arrays put together as they lie.

        conductance, effective_conductance (after the wires' loss), target, lifetime, set_pulses, reset_pulses, writes,
        stuck.
        """
        self._refresh()

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

    # The way of a product

    @property
    def _codes_per_uA(self) -> float:
        assert self.range_uA is not None
        return self.config.adc.codes(self.config.dac.signed)[1] / self.range_uA

    def _groups(self) -> list[slice]:
        """Rows whose currents are converted together."""
        return [slice(start, end) for start, end in pairwise([0, *self._ends.tolist()])]

    def _phases(self, inputs: FloatArray) -> Iterator[tuple[NDArray[np.floating], FloatArray, float]]:
        """Row voltages, their sums of squares (batch, groups), and the weight of the results."""
        dac = self.config.dac
        drives = [(inputs, dac.max_code, dac.v_read_V, 1.0)]
        if dac.bit_serial:
            drives = [(drive.volts, 0, 1.0, drive.weight) for drive in encode(dac, inputs)]
        for values, max_code, v_read_V, weight in drives:
            volts = np.empty(inputs.shape, dtype=self._real)
            squares = np.empty((len(inputs), self._ends.size))
            kernels.drive(values, max_code, v_read_V, self._ends, volts, squares)
            yield volts, squares, weight

    def _convert_phase(
        self,
        volts: NDArray[np.floating],
        squares: FloatArray,
        weight: float,
        matrices: list[NDArray[np.floating]],
        total: FloatArray,
        rng: np.random.Generator,
    ) -> None:
        """Add the weighted results of one phase to `total`: codes, or currents in uA without an ADC."""
        alone = len(matrices) == 1 and self.mapping.scheme == "offset"
        buffers = [np.empty((len(volts), matrix.shape[1]), dtype=self._real) for matrix in matrices]
        for group, rows in enumerate(self._groups()):
            for part, matrix in enumerate(matrices):
                currents = np.matmul(volts[:, rows], matrix[rows], out=buffers[part])
                if alone:  # all outputs of an array are compared with the same reference column
                    noise = self._sigma(1, volts, squares, group, rows)
                    noise = noise * rng.standard_normal((len(volts), self._widths[1]))
                    currents += noise.astype(self._real)[:, self._column_tile]
                sigma = self._sigma(part, volts, squares, group, rows)
                sign = -weight if part else weight
                if currents.shape == total.shape:
                    self._convert(currents, sigma, sign, total, rng)
                else:
                    reference = np.zeros(currents.shape)
                    self._convert(currents, sigma, sign, reference, rng)
                    total += reference[:, self._column_tile]

    def _sigma(
        self, part: int, volts: NDArray[np.floating], squares: FloatArray, group: int, rows: slice
    ) -> NDArray[np.floating]:
        """Read noise of the currents of a group of rows, (batch, 1) or (batch, n) uA."""
        variance = self._variances[part]
        if isinstance(variance, float):
            return np.sqrt(variance * squares[:, group : group + 1]).astype(self._real)
        return np.sqrt(np.square(volts[:, rows]) @ variance[rows])

    def _convert(
        self,
        currents: NDArray[np.floating],
        sigma: NDArray[np.floating],
        factor: float,
        total: FloatArray,
        rng: np.random.Generator,
    ) -> None:
        """Add read noise, convert, and add factor times the result to `total`."""
        adc, real = self.config.adc, self._real
        if adc.bits is None:
            total += factor * (currents + sigma * rng.standard_normal(currents.shape))
            return
        lowest, highest = adc.codes(self.config.dac.signed)
        self._counts["conversions"] += currents.size
        self._counts["clipped"] += kernels.convert(
            currents,
            sigma,
            rng.integers(0, 2**32, size=(len(currents), 2), dtype=np.uint32),
            kernels.normal_table(),
            real(self._codes_per_uA),
            real(adc.offset_lsb),
            real(lowest),
            real(highest),
            factor,
            total,
        )

    def _refresh(self) -> None:
        """Bring the matrices to the present state of the arrays."""
        late = self.now_s != self._refreshed_at_s
        self._refreshed_at_s = self.now_s
        for r, row in enumerate(self.tiles):
            for c, tile in enumerate(row):
                if late:
                    tile.relax(self.now_s)
                if tile.version != self._versions[r][c]:
                    self._place(self._matrices, r, c, self._split(tile.g_eff_uS))
                    self._refresh_variance(r, c, tile.read_sigma_uS)
                    self._versions[r][c] = tile.version

    def _refresh_variance(self, r: int, c: int, sigma_uS: FloatArray | float) -> None:
        if isinstance(sigma_uS, float) and isinstance(self._variances[0], float):
            return  # alike everywhere, as before
        variances = [
            np.full((self.shape[0], width), v, dtype=self._real) if isinstance(v, float) else v
            for v, width in zip(self._variances, self._widths, strict=False)
        ]
        variance = np.broadcast_to(np.square(sigma_uS), self.tiles[r][c].shape)
        plus, minus = self._columns(variance)
        together = self.mapping.scheme == "pair" and len(self._matrices) == 1
        self._place(variances, r, c, [plus + minus] if together else [plus, minus])
        self._variances = [*variances]

    def _with_telegraph(self, rng: np.random.Generator) -> list[NDArray[np.floating]]:
        """The matrices with one draw of the telegraph noise of all devices."""
        matrices = [np.empty_like(matrix) for matrix in self._matrices]
        for r, row in enumerate(self.tiles):
            for c, tile in enumerate(row):
                self._place(matrices, r, c, self._split(tile.g_eff_uS + tile.telegraph_uS(rng)))
        return matrices

    def _columns(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """An array's columns [row, column]: positive and negative ones, or those of weights and the reference."""
        if self.mapping.scheme == "pair":
            return values[:, 0::2], values[:, 1::2]
        return values[:, :-1], values[:, -1:]

    def _split(self, g_uS: FloatArray) -> list[FloatArray]:
        """What is converted together: differences if columns are subtracted as currents, else both kinds of columns."""
        plus, minus = self._columns(g_uS)
        return [plus - minus] if len(self._matrices) == 1 else [plus, minus]

    def _place(self, layer: Sequence[NDArray[np.floating]], r: int, c: int, parts: Sequence[FloatArray]) -> None:
        """Put an array's parts where they belong in the layer."""
        rows = slice(self._row_starts[r], self._row_starts[r] + self._tile_rows)
        for whole, part in zip(layer, parts, strict=True):
            start = self._weight_starts[c] if whole.shape[1] == self.shape[1] else c
            whole[rows, start : start + part.shape[1]] = part
