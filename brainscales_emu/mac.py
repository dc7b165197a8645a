"""Matrix mode ("hagen mode" in vendor software): integer vectors times signed 6-bit weights on the analogue array.

An input of 0..31 is the length of a pulse, a weight of -63..63 a pair of synapses: one in an inhibitory row, one in an
excitatory row of the same driver. A column integrates the currents of up to 128 inputs on its membrane, and the CADC
reads it: 8 bits, signed. Larger matrices are cut into blocks of 128 inputs x 256 columns, which take turns on the two
halves of the chip; the codes of a column's blocks are added digitally.

Without fixed pattern this is the mock of hxtorch (vendor software) to the bit, given the same noise:
code = clamp(floor(gain num_sends sum_i x_i w_i + noise)) of each block, sum over the blocks, clamp.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import integers
from .blas import one_thread
from .config import ChipConfig, NoiseConfig, preset
from .constants import CYCLE_NS, MAX_WEIGHT, N_COLUMNS, N_ROWS, SYNAPSE_BITS
from .errors import ChipError, check_number
from .mismatch import draw_fixed_pattern, stream

# Vendor software (hxtorch, halco): 5-bit inputs; codes are signed and have 8 bits; the array has two halves.
MAX_INPUT = 31
MIN_CODE, MAX_CODE = -128, 127
N_HALVES = 2

MAX_SENDS = 4096  # chosen by this emulator; the vendor's demo offers 1..256

_CALIBRATED = preset("calibrated").noise


@dataclass(frozen=True)
class MacConfig:
    """Matrix mode of a calibrated chip. Spreads of gains are relative standard deviations.

    Attributes
    ----------
    gain : float
        LSB of the output per unit of input x weight, sent once. 0.002 in hxtorch's mock; ten columns printed in the
        vendor's demo of matrix multiplication have 0.00186.
    noise_std_lsb : float
        Trial noise of each reading of a block: 2 LSB in hxtorch's mock, below 5 LSB in the vendor's tests.
    column_gain_std : float
        Of each column, for excitatory and inhibitory input apart. The ten columns of the demo read 55 60 59 56 60 63
        57 58 56 62, which is 4.6 %. They were read once, so that is an upper bound: their trial noise is in it.
    column_offset_std_lsb : float
        What remains of each column's offset after the baseline was subtracted. Assumed.
    row_gain_std : float
        Of each synapse row: "some 2 LSB expected" of about 30 in the vendor's tests of the drivers.
    synapse_gain_std : float
        Of each synapse, as in the preset `calibrated`.
    signed : bool
        Weights -63..63 on pairs of rows, 128 inputs a block; or weights 0..63 on single rows, 256 inputs a block.
    wait_between_events_cycles : int
        From one event to the next in cycles of 8 ns: 5 in hxtorch. Only time depends on it here.
    readout_us : float
        Baseline, reading and reset of one vector. Modelled: two conversions take 4 us.
    program_us : float
        Writing all weights before a run. Modelled: 16 bits for each synapse of both halves through 1 Gbit/s.
    """

    gain: float = 0.002
    noise_std_lsb: float = 2.0
    column_gain_std: float = 0.046
    column_offset_std_lsb: float = 1.0
    row_gain_std: float = _CALIBRATED.driver_gain_std
    synapse_gain_std: float = _CALIBRATED.weight_std
    signed: bool = True
    wait_between_events_cycles: int = 5
    readout_us: float = 10.0
    program_us: float = SYNAPSE_BITS * N_HALVES * N_ROWS * N_COLUMNS / 1000.0

    def __post_init__(self) -> None:
        check_number("mac.gain", self.gain, 1e-6, 1.0, "LSB", "give the LSB per unit of input x weight")
        for entry in fields(self):
            name, value = f"mac.{entry.name}", getattr(self, entry.name)
            if entry.name.endswith("std_lsb"):
                check_number(name, value, 0.0, 50.0, "LSB", "give a standard deviation in LSB")
            elif entry.name.endswith("_std"):
                check_number(name, value, 0.0, 1.0, "", "give a relative standard deviation, 0.05 for 5 %")
            elif entry.name.endswith("_us"):
                check_number(name, value, 0.0, 1e6, "us", "give a time")
        if not isinstance(self.signed, bool):
            raise ChipError(f"mac.signed = {self.signed!r} is not true or false; give one of the two")
        remedy = "give a number of 8 ns cycles"
        name = "wait_between_events_cycles"
        check_number(f"mac.{name}", getattr(self, name), 1, 2**16, "cycles", remedy, whole=True)

    @property
    def block_rows(self) -> int:
        """Inputs of one block."""
        return N_ROWS // 2 if self.signed else N_ROWS


@dataclass(frozen=True)
class MacPattern:
    """What one particular chip does to its products, float64; the means are 1, of the offset 0.

    Drivers, synapses and neuron inputs are those of the chip with this serial number in spiking mode, from the same
    draws: a part that is strong there is strong here.

    Attributes
    ----------
    column_gain_exc, column_gain_inh : (2, 256)
        [half, column].
    column_offset_lsb : (2, 256)
    row_gain : (2, 256)
        [half, row].
    synapse_gain : (2, 256, 256)
        [half, row, column].
    """

    column_gain_exc: NDArray[np.float64]
    column_gain_inh: NDArray[np.float64]
    column_offset_lsb: NDArray[np.float64]
    row_gain: NDArray[np.float64]
    synapse_gain: NDArray[np.float64]


def draw_pattern(config: MacConfig, serial: int) -> MacPattern:
    """Fixed pattern of the chip with this serial number, 0..2**63 - 1.

    Gains are lognormal with mean 1 and the configured relative standard deviation, offsets are normal.
    """
    noise = NoiseConfig(
        neuron_gain_std=config.column_gain_std,
        driver_gain_std=config.row_gain_std,
        weight_std=config.synapse_gain_std,
    )
    chip = draw_fixed_pattern(ChipConfig(noise=noise), serial)
    columns = (N_HALVES, N_COLUMNS)
    offsets = stream(serial, "fixed_pattern.mac_offset").standard_normal(columns)
    return MacPattern(
        column_gain_exc=chip.gain_exc.reshape(columns),
        column_gain_inh=chip.gain_inh.reshape(columns),
        column_offset_lsb=config.column_offset_std_lsb * offsets,
        row_gain=chip.driver_gain,
        synapse_gain=chip.synapse_gain,
    )


class Site:
    """Where a matrix (n_in, n_out) lies on the chip, block by block, and which gains and offsets it meets there.

    Blocks are counted down the inputs first, then along the columns; block b lies on half b % 2 in run b // 2, in the
    order of vendor software (grenade). Input i of a signed block uses rows 2 i (negative weights) and 2 i + 1.

    Attributes
    ----------
    shape : (int, int)
    row_blocks : list of slice
        Inputs of each block of rows.
    n_runs : int
        Runs of the chip for all blocks.
    """

    def __init__(self, config: MacConfig, pattern: MacPattern, shape: tuple[int, int]) -> None:
        n_in, n_out = shape
        if n_in < 1 or n_out < 1:
            raise ChipError(f"weights have shape {shape}; give at least one input and one column")
        self.shape = shape
        self.row_blocks = [slice(k, min(k + config.block_rows, n_in)) for k in range(0, n_in, config.block_rows)]
        column_blocks = [slice(k, min(k + N_COLUMNS, n_out)) for k in range(0, n_out, N_COLUMNS)]
        n_rows, n_blocks = len(self.row_blocks), len(self.row_blocks) * len(column_blocks)
        self.n_runs = -(-n_blocks // N_HALVES)
        # Blocks of rows that the two halves hold in each run; a half without a block does as the other one.
        held = np.arange(N_HALVES * self.n_runs).clip(max=n_blocks - 1) % n_rows
        self._held = held.reshape(self.n_runs, N_HALVES)
        self._exc = np.empty(shape, dtype=np.float32)
        self._inh = np.empty(shape, dtype=np.float32)
        self.offset_lsb = np.empty((n_rows, n_out), dtype=np.float32)
        for b in range(n_blocks):
            (c, r), half = divmod(b, n_rows), b % N_HALVES
            rows, columns = self.row_blocks[r], column_blocks[c]
            i = np.arange(rows.stop - rows.start)[:, np.newaxis]
            j = np.arange(columns.stop - columns.start)
            row_exc, row_inh = (2 * i + 1, 2 * i) if config.signed else (i, i)
            for gains, row, column_gain in (
                (self._exc, row_exc, pattern.column_gain_exc),
                (self._inh, row_inh, pattern.column_gain_inh),
            ):
                here = pattern.row_gain[half, row] * column_gain[half, j]
                gains[rows, columns] = here * pattern.synapse_gain[half, row, j]
            self.offset_lsb[r, columns] = pattern.column_offset_lsb[half, j]

    def _effective(self, weights: NDArray[np.integer]) -> NDArray[np.float32]:
        """What the chip makes of the weights (n_in, n_out), in units of weight; without spread the weights."""
        values = weights.astype(np.float32)
        found: NDArray[np.float32] = np.maximum(values, 0.0)
        found *= self._exc
        np.minimum(values, 0.0, out=values)
        values *= self._inh
        found += values
        return found

    def _events(self, inputs: NDArray[np.integer]) -> int:
        """Waits for events in all runs of inputs (batch, n_in) sent once.

        As in vendor software, an input of 0 sends none, and the halves' events go out in pairs, so that a run takes as
        long as the half with more of them.
        """
        sent = np.stack([np.count_nonzero(inputs[:, rows], axis=1) for rows in self.row_blocks], axis=1)
        return int(sent[:, self._held].max(axis=2).sum())


@dataclass(frozen=True)
class Matrix:
    """A matrix as it stands on the chip: `MacArray.program` makes it.

    Attributes
    ----------
    site : Site
    effective : (n_in, n_out) float32
    """

    site: Site
    effective: NDArray[np.float32]


class MacArray:
    """One chip in matrix mode.

    Parameters
    ----------
    config : MacConfig
    serial : int
        Which chip: its fixed pattern.
    seed : int
        Of the trial noise, not negative.

    Attributes
    ----------
    pattern : MacPattern
    runs, vectors : int
        Runs so far, and vectors in all of them.
    time_ns : int
        Modelled time of all runs: program_us once a run; for each vector the events of the busier half, num_sends
        times, wait_between_events_cycles apart, and readout_us.
    """

    def __init__(self, config: MacConfig, serial: int, seed: int) -> None:
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        self.config = config
        self.pattern = draw_pattern(config, serial)
        self.runs = self.vectors = self.time_ns = 0
        self._seed = seed

    def site(self, shape: tuple[int, int]) -> Site:
        """Where a matrix of this shape (n_in, n_out) lies."""
        return Site(self.config, self.pattern, shape)

    def program(self, weights: ArrayLike, site: Site | None = None) -> Matrix:
        """Put weights onto the chip; takes no time before the first run.

        Parameters
        ----------
        weights : (n_in, n_out) array_like of int
            -63..63, or 0..63 if the rows aren't signed.
        site : Site, optional
            From `site`, to be used again for new weights of the same shape.

        Raises
        ------
        ChipError
            Weights out of range, of another type or of another shape than the site.
        """
        low = -MAX_WEIGHT if self.config.signed else 0
        shape = (None, None) if site is None else site.shape
        remedy = "the synapses have 6 bits: quantise the weights; a site has one shape: make a new one"
        checked = integers("weights", weights, shape, low, MAX_WEIGHT, remedy=remedy, narrow=True)
        if site is None:
            site = self.site((checked.shape[0], checked.shape[1]))
        return Matrix(site, site._effective(checked))

    def multiply(self, matrix: Matrix, inputs: ArrayLike, *trial: int, num_sends: int = 1) -> NDArray[np.int64]:
        """Codes of inputs times a matrix: the sum over the blocks, clamped, as vendor software adds them on the chip.

        Returns
        -------
        (batch, n_out) int64
            -128..127, in LSB. Parameters and errors are those of `block_codes`.
        """
        codes = self.block_codes(matrix, inputs, *trial, num_sends=num_sends)
        return codes.sum(axis=0, dtype=np.int64).clip(MIN_CODE, MAX_CODE)

    @one_thread
    def block_codes(self, matrix: Matrix, inputs: ArrayLike, *trial: int, num_sends: int = 1) -> NDArray[np.int8]:
        """Codes of inputs times each block of rows of a matrix, for a host that adds them itself, without a clamp.

        Products are taken in single precision. Without spread that is exact in any order of the sums, because every
        partial sum is a whole number of at most 31 * 63 * 256 = 499968, below 2**24.

        Parameters
        ----------
        matrix : Matrix
            From `program`.
        inputs : (batch, n_in) array_like of int
            0..31.
        *trial : int
            Names the trial noise together with the seed: the same numbers give the same bits.
        num_sends : int
            Times that each vector is sent before the membrane is read. It multiplies the sum, not the noise.

        Returns
        -------
        (n_blocks, batch, n_out) int8
            -128..127, in LSB.

        Raises
        ------
        ChipError
            Inputs out of range, of another type or length; num_sends out of range.
        """
        check_number("num_sends", num_sends, 1, MAX_SENDS, "", "give how often to send a vector", whole=True)
        for number in trial:
            check_number("chip.trial", number, 0, 2**63 - 1, "", "give the number of the trial", whole=True)
        site = matrix.site
        remedy = "an input is the length of a pulse, 5 bits, and there is one per row of the matrix: scale the inputs"
        sent = integers("inputs", inputs, (None, site.shape[0]), 0, MAX_INPUT, remedy=remedy, narrow=True)
        x = sent.astype(np.float32)
        scale = np.float32(num_sends * self.config.gain)
        rng = stream(self._seed, "mac.noise", *trial)
        codes = np.empty((len(site.row_blocks), len(x), site.shape[1]), dtype=np.int8)
        for block, (rows, offset) in enumerate(zip(site.row_blocks, site.offset_lsb, strict=True)):
            potential = x[:, rows] @ matrix.effective[rows]
            potential *= scale
            if self.config.noise_std_lsb > 0.0:
                potential += draw_noise(rng, self.config.noise_std_lsb, potential.shape)
            potential += offset
            np.floor(potential, out=potential)
            codes[block] = potential.clip(MIN_CODE, MAX_CODE, out=potential)
        cycles = site._events(sent) * num_sends * self.config.wait_between_events_cycles
        vectors = site.n_runs * len(x)
        self.runs += site.n_runs
        self.vectors += vectors
        self.time_ns += cycles * CYCLE_NS
        self.time_ns += round(1000.0 * (site.n_runs * self.config.program_us + vectors * self.config.readout_us))
        return codes


def draw_noise(rng: np.random.Generator, std: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal noise in 65536 equally likely values, float32.

    They are the middles of as many equally likely parts of the normal distribution, scaled to its variance; the
    outermost ones are 4.3 standard deviations from 0. Five times as fast as values of full resolution, which an output
    of 8 bits wouldn't show.
    """
    drawn = rng.integers(0, 2**16, shape, dtype=np.uint16)
    return (np.float32(std) * _normal_values()).take(drawn)


@cache
def _normal_values() -> NDArray[np.float32]:
    from scipy.special import ndtri

    values = ndtri((np.arange(2**16) + 0.5) / 2**16)
    return (values / values.std()).astype(np.float32)
