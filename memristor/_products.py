"""The way of a product: row voltages, currents of the arrays' columns, read noise, converters, sums of codes.

Nothing is checked here: `Crossbar` has checked the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .config import CrossbarConfig
from .converters import encode
from .kernels import multiply as kernels
from .mapping import Grid, Mapping
from .tile import Tile

FloatArray = NDArray[np.float64]

# With up to so many bits, products in single precision are off by far less than half an ADC step.
_MAX_SINGLE_PRECISION_BITS = 12
_TOGETHER = 1024  # vectors whose currents are kept at a time; one product for as many as there usually are


class Product(NamedTuple):
    """Sums (batch, n_outputs) of codes, or of currents in uA without an ADC, and what their conversion took."""

    values: FloatArray
    conversions: int
    clipped: int


class Products:
    """Matrices of a layer's arrays, as fresh as asked for, and the currents and codes that inputs make of them.

    Parameters
    ----------
    config : CrossbarConfig
    mapping : Mapping
    grid : Grid
    tiles : list of list of Tile

    Attributes
    ----------
    refreshed_at_s : float
        When the tiles were last asked to relax.
    """

    def __init__(self, config: CrossbarConfig, mapping: Mapping, grid: Grid, tiles: list[list[Tile]]) -> None:
        self._config, self._mapping, self._grid, self._tiles = config, mapping, grid, tiles
        (n_inputs, n_outputs), bits = grid.shape, config.adc.bits
        single = bits is not None and bits <= _MAX_SINGLE_PRECISION_BITS
        self._real: type[np.floating] = np.float32 if single else np.float64
        # Rows whose currents are converted together.
        inner = range(grid.tile_rows, n_inputs, grid.tile_rows) if config.conversion == "tile" else ()
        ends = [*inner, n_inputs]
        self._ends = np.array(ends)
        self._groups = [slice(start, end) for start, end in pairwise([0, *ends])]
        self._column_tile = np.arange(n_outputs) // grid.tile_weights
        # What is converted together: for each of `_split`'s parts, the matrix that gives the currents, and the variance
        # of one read of its entries, one number if all are alike.
        pair, before = config.scheme == "pair", config.adc.subtraction == "before"
        self._widths = [n_outputs, n_outputs if pair else grid.tiles[1]]
        widths = self._widths[:1] if before else self._widths
        self._matrices = [np.zeros((n_inputs, width), dtype=self._real) for width in widths]
        # All outputs of an array with the same reference column.
        self._compares_currents = before and not pair
        self.start_again(0.0)

    def start_again(self, refreshed_at_s: float) -> None:
        """Forget the tiles: the matrices are made again at the next `refresh`."""
        self.refreshed_at_s = refreshed_at_s
        self._versions = [[-1] * len(row) for row in self._tiles]
        self._variances = self._alike_variances()

    def _alike_variances(self) -> list[NDArray[np.floating] | float]:
        """Those of arrays whose cells all work."""
        alike = (self._config.device.read_fraction * self._config.device.g_high_uS) ** 2
        together = self._config.scheme == "pair" and self._config.adc.subtraction == "before"
        return [2.0 * alike] if together else [alike, alike]

    # From the arrays

    def refresh(self, now_s: float) -> None:
        """Bring the matrices to the present state of the arrays."""
        late = now_s != self.refreshed_at_s
        self.refreshed_at_s = now_s
        for r, row in enumerate(self._tiles):
            for c, tile in enumerate(row):
                if late:
                    tile.relax(now_s)
                if tile.version != self._versions[r][c]:
                    self._place(self._matrices, r, c, self._split(tile.g_eff_uS))
                    self._refresh_variance(r, c, tile.read_sigma_uS)
                    self._versions[r][c] = tile.version

    def _refresh_variance(self, r: int, c: int, sigma_uS: FloatArray | float) -> None:
        if isinstance(sigma_uS, float) and isinstance(self._variances[0], float):
            return  # alike everywhere, as before
        variances = [
            np.full((self._grid.shape[0], width), v, dtype=self._real) if isinstance(v, float) else v
            for v, width in zip(self._variances, self._widths, strict=False)
        ]
        variance = np.broadcast_to(np.square(sigma_uS), self._tiles[r][c].shape)
        plus, minus = self._columns(variance)
        together = self._mapping.scheme == "pair" and len(self._matrices) == 1
        self._place(variances, r, c, [plus + minus] if together else [plus, minus])
        self._variances = [*variances]

    def _with_telegraph(self, rng: np.random.Generator) -> list[NDArray[np.floating]]:
        """The matrices with one draw of the telegraph noise of all devices."""
        matrices = [np.empty_like(matrix) for matrix in self._matrices]
        for r, row in enumerate(self._tiles):
            for c, tile in enumerate(row):
                self._place(matrices, r, c, self._split(tile.g_eff_uS + tile.telegraph_uS(rng)))
        return matrices

    def _columns(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """An array's columns [row, column]: positive and negative ones, or those of weights and the reference."""
        if self._mapping.scheme == "pair":
            return values[:, 0::2], values[:, 1::2]
        return values[:, :-1], values[:, -1:]

    def _split(self, g_uS: FloatArray) -> list[FloatArray]:
        """What is converted together: differences if columns are subtracted as currents, else both kinds of columns."""
        plus, minus = self._columns(g_uS)
        return [plus - minus] if len(self._matrices) == 1 else [plus, minus]

    def _place(self, layer: Sequence[NDArray[np.floating]], r: int, c: int, parts: Sequence[FloatArray]) -> None:
        """Put an array's parts where they belong in the layer."""
        rows = slice(r * self._grid.tile_rows, (r + 1) * self._grid.tile_rows)
        for whole, part in zip(layer, parts, strict=True):
            start = c * self._grid.tile_weights if whole.shape[1] == self._grid.shape[1] else c
            whole[rows, start : start + part.shape[1]] = part

    # From inputs to codes

    def noiseless_currents_uA(self, inputs: FloatArray) -> NDArray[np.floating]:
        """All currents that are converted for a batch of inputs, without noise."""
        currents = [
            (volts[:, rows] @ matrix[rows]).ravel()
            for volts, _, _ in self._phases(inputs)
            for rows in self._groups
            for matrix in self._matrices
        ]
        return np.concatenate(currents)

    def of(self, inputs: FloatArray, codes_per_uA: float, rng: np.random.Generator) -> Product:
        """Products with a batch of inputs; codes_per_uA is the resolution of the converters, if they have one."""
        total = np.zeros((len(inputs), self._grid.shape[1]))
        matrices = self._with_telegraph(rng) if self._config.rtn.share > 0.0 else self._matrices
        conversions = clipped = 0
        for volts, squares, weight in self._phases(inputs):
            clipped += self._convert_phase(volts, squares, weight, matrices, codes_per_uA, total, rng)
            conversions += len(inputs) * len(self._groups) * sum(matrix.shape[1] for matrix in matrices)
        return Product(total, 0 if self._config.adc.bits is None else conversions, clipped)

    def _phases(self, inputs: FloatArray) -> Iterator[tuple[NDArray[np.floating], FloatArray, float]]:
        """Row voltages, their sums of squares (batch, groups), and the weight of the results."""
        dac = self._config.dac
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
        codes_per_uA: float,
        total: FloatArray,
        rng: np.random.Generator,
    ) -> int:
        """Add the weighted results of one phase to `total`: codes, or currents in uA. Returns how many were clipped."""
        if self._config.adc.bits is None:
            self._add_currents(volts, squares, weight, matrices, total, rng)
            return 0
        # Drawn for the whole batch first: the numbers don't depend on how it is divided.
        shared, keys = self._drawn(len(volts), len(matrices), rng)
        clipped = 0
        for start in range(0, len(volts), _TOGETHER):
            vectors = slice(start, start + _TOGETHER)
            for part, matrix in enumerate(matrices):
                currents = self._currents(volts[vectors], matrix)
                if shared is not None:
                    sigma = self._sigmas(1, volts[vectors], squares[vectors])
                    common = (sigma * shared[:, vectors]).astype(self._real)
                    currents += common[:, :, self._column_tile]
                sigma = self._sigmas(part, volts[vectors], squares[vectors])
                sign = -weight if part else weight
                mine = keys[:, part, vectors]
                if matrix.shape[1] == total.shape[1]:
                    clipped += self._convert(currents, sigma, mine, codes_per_uA, sign, total[vectors])
                else:
                    reference = np.zeros(currents.shape[1:])
                    clipped += self._convert(currents, sigma, mine, codes_per_uA, sign, reference)
                    total[vectors] += reference[:, self._column_tile]
        return clipped

    def _drawn(self, batch: int, parts: int, rng: np.random.Generator) -> tuple[FloatArray | None, NDArray[np.uint32]]:
        """Numbers of the read noise, group after group of rows.

        Normal ones (groups, batch, arrays) of the reference column with which all outputs of an array are compared as
        currents, if that is done, and keys (groups, parts, batch, 2).
        """
        groups = len(self._groups)
        if not self._compares_currents:
            return None, rng.integers(0, 2**32, size=(groups, parts, batch, 2), dtype=np.uint32)
        shared = np.empty((groups, batch, self._widths[1]))
        keys = np.empty((groups, 1, batch, 2), dtype=np.uint32)
        for group in range(groups):
            shared[group] = rng.standard_normal((batch, self._widths[1]))
            keys[group, 0] = rng.integers(0, 2**32, size=(batch, 2), dtype=np.uint32)
        return shared, keys

    def _currents(self, volts: NDArray[np.floating], matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        """(groups, batch, n) uA."""
        currents = np.empty((len(self._groups), len(volts), matrix.shape[1]), dtype=self._real)
        for group, rows in enumerate(self._groups):
            np.matmul(volts[:, rows], matrix[rows], out=currents[group])
        return currents

    def _sigmas(self, part: int, volts: NDArray[np.floating], squares: FloatArray) -> NDArray[np.floating]:
        """Standard deviation of the read noise of currents, (groups, batch, 1) or (groups, batch, n) uA."""
        variance = self._variances[part]
        if isinstance(variance, float):
            return np.sqrt(variance * squares).astype(self._real).T[:, :, None]
        return np.stack([np.sqrt(np.square(volts[:, rows]) @ variance[rows]) for rows in self._groups])

    def _convert(
        self,
        currents: NDArray[np.floating],
        sigma: NDArray[np.floating],
        keys: NDArray[np.uint32],
        codes_per_uA: float,
        factor: float,
        total: FloatArray,
    ) -> int:
        """Add read noise, convert, and add factor times the codes to `total`. Returns how many were clipped."""
        adc, real = self._config.adc, self._real
        lowest, highest = adc.codes(self._config.dac.signed)
        clipped: int = kernels.convert(
            currents,
            np.ascontiguousarray(sigma),
            np.ascontiguousarray(keys),
            kernels.normal_table(),
            real(codes_per_uA),
            real(adc.offset_lsb),
            real(lowest),
            real(highest),
            factor,
            total,
        )
        return clipped

    def _add_currents(
        self,
        volts: NDArray[np.floating],
        squares: FloatArray,
        weight: float,
        matrices: list[NDArray[np.floating]],
        total: FloatArray,
        rng: np.random.Generator,
    ) -> None:
        """Without a converter: add the weighted currents with their noise to `total`, uA."""
        sigmas = [self._sigmas(part, volts, squares) for part in range(len(self._variances))]
        for group, rows in enumerate(self._groups):
            for part, matrix in enumerate(matrices):
                currents = volts[:, rows] @ matrix[rows]
                if self._compares_currents:
                    common = sigmas[1][group] * rng.standard_normal((len(volts), self._widths[1]))
                    currents += common.astype(self._real)[:, self._column_tile]
                noisy = currents + sigmas[part][group] * rng.standard_normal(currents.shape)
                if noisy.shape != total.shape:
                    noisy = noisy[:, self._column_tile]
                total += (-weight if part else weight) * noisy
