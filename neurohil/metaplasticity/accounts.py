"""What a network costs: memory, writes per device, years to wear-out. Arithmetic with every term in sight."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.arrays import integers
from neurohil.errors import UserError

DAYS_PER_YEAR = 365.25


class Memory(NamedTuple):
    """Terms of a network's memory: weights x (hidden bits + cell bits x devices).

    layers: units by layer, inputs first, such as (784, 1024, 10); hidden_bits: of the digital hidden weight;
    cell_bits: of one device, log2 of its levels; devices: per weight.
    """

    layers: tuple[int, ...]
    hidden_bits: float
    cell_bits: float
    devices: int

    @property
    def weights(self) -> int:
        """Number of weights; there are no biases, and the normalisation's gains and biases don't count."""
        return sum(n_in * n_out for n_in, n_out in pairwise(self.layers))

    @property
    def cells(self) -> int:
        """Number of devices."""
        return self.weights * self.devices

    @property
    def bits(self) -> float:
        """All bits."""
        return self.weights * (self.hidden_bits + self.cell_bits * self.devices)

    def terms(self) -> str:
        """The arithmetic in one line."""
        return (
            f"{'-'.join(map(str, self.layers))}: {self.weights:,} weights x ({self.hidden_bits:g} hidden bits + "
            f"{self.cell_bits:.4g} bits x {self.devices} devices) = {self.bits:,.0f} bits"
        )


class WriteStatistics(NamedTuple):
    """Writes per device (or level changes per weight): mean, 99th percentile, largest; histogram: devices[i] of them
    were written edges[i] ... edges[i + 1] - 1 times."""

    mean: float
    p99: float
    max: int
    devices: NDArray[np.int64]
    edges: NDArray[np.int64]


def write_statistics(writes: NDArray[np.integer], bins: int = 50) -> WriteStatistics:
    """Statistics of writes per device, any shape, integers >= 0; at most `bins` equally wide bins.

    Raises
    ------
    UserError
        There is no device, or a count is negative.
    """
    counts = integers("accounts: writes", writes, None, 0, 2**52, remedy="count the writes of each device").ravel()
    if not counts.size:
        raise UserError("accounts: writes holds no device; give at least one")
    largest = int(counts.max())
    width = largest // bins + 1
    edges = np.arange(0, largest + width + 1, width, dtype=np.int64)
    devices, _ = np.histogram(counts, bins=edges - 0.5)
    return WriteStatistics(float(counts.mean()), float(np.percentile(counts, 99)), largest, devices, edges)


def years_to_wear_out(endurance_cycles: float, writes_per_run: float, runs_per_day: float) -> float:
    """Years until a device has seen as many cycles as it endures, if each run writes it so often; inf for no writes.

    Parameters
    ----------
    endurance_cycles : float, > 0
    writes_per_run : float, >= 0
        Programming cycles of the device in one run, verify pulses included if they count.
    runs_per_day : float, >= 0

    Raises
    ------
    UserError
        A value is out of range.
    """
    for name, value, lowest in (
        ("endurance_cycles", endurance_cycles, math.ulp(0.0)),
        ("writes_per_run", writes_per_run, 0.0),
        ("runs_per_day", runs_per_day, 0.0),
    ):
        if not lowest <= value < math.inf:
            raise UserError(f"accounts: {name} = {value:g} must be finite and {'>' if lowest else '>='} 0")
    cycles_per_year = writes_per_run * runs_per_day * DAYS_PER_YEAR
    return endurance_cycles / cycles_per_year if cycles_per_year else math.inf
