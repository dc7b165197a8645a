"""Echo-state networks that go on from their own predictions, in plain arithmetic or on emulated arrays.

    h <- (1 - leak) h + leak tanh(W h + w_in (u - 1) + b),    prediction = 1 + w_out [1, u - 1, h]

W, w_in and b are random and stay so; w_out is fitted by ridge regression. H. Jaeger, GMD report 148 (2001). The values
of a Mackey-Glass series lie around 1.

Both matrix products, reservoir and read-out, are made by an `Arrays`: rows are inputs (1, u - 1, h), columns outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neurohil.blas import one_thread
from neurohil.errors import UserError
from neurohil.neurobench.records import (
    ActivationRecord,
    ConnectionLayer,
    LayerRecord,
    Linear,
    ModelInfo,
    Record,
    Stored,
    parameters_of,
)
from neurohil.seeds import stream
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig

Floats = NDArray[np.float64]

WARM_UP = 45  # points before the fit, 0.6 Lyapunov times as in NeuroBench's example
RESERVOIR, READOUT = 0, 1
READ_BACKS = 16  # of a slice, averaged
LOWEST, HIGHEST = 0.0, 2.0  # a prediction is held within; the series stay well inside


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of the network.

    units: of the reservoir; connectivity: share of its weights that aren't zero; spectral_radius: of W; input_scale and
    bias_scale: w_in and b are uniform up to them; leak: above 0, at most 1; ridge: penalty of the squared read-out
    weights, per training point.
    """

    units: int
    connectivity: float
    spectral_radius: float
    input_scale: float
    bias_scale: float
    leak: float
    ridge: float

    def __post_init__(self) -> None:
        if self.units < 1:
            raise UserError(f"esn.units = {self.units} must be at least 1")
        for name in ("connectivity", "leak"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"esn.{name} = {getattr(self, name)} is outside 0..1, 0 excluded")
        for name in ("spectral_radius", "input_scale", "bias_scale", "ridge"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"esn.{name} = {getattr(self, name)} must be finite and not negative")


class Arrays(Protocol):
    """Where the two matrices live, rows for inputs (1, u - 1, h). Several networks may share the reservoir."""

    info: ModelInfo
    bits: float | None
    devices: int

    def write_reservoir(self, weights: Floats, typical: Floats) -> None:
        """Store weights (2 + units, units); typical inputs (m, 2 + units) tell the range of the products."""
        ...

    def write_readouts(self, weights: Floats, typical: Floats) -> None:
        """Store weights (2 + units, networks), in the same way."""
        ...

    def reservoir(self, x: Floats) -> Floats:
        """Products (networks, units) of inputs (networks, 2 + units)."""
        ...

    def readout(self, x: Floats) -> Floats:
        """Product (networks,) of each network's inputs (networks, 2 + units) with its own read-out."""
        ...


class PlainArrays:
    """Matrices of plain numbers."""

    info = ModelInfo("computed")
    bits: float | None = None
    devices = 0

    def write_reservoir(self, weights: Floats, typical: Floats) -> None:
        # Few weights aren't zero. Dense products of this size would also wait for the threads of BLAS.
        self._reservoir = csr_array(weights.T)

    def write_readouts(self, weights: Floats, typical: Floats) -> None:
        self._readouts = weights

    def reservoir(self, x: Floats) -> Floats:
        return (self._reservoir @ x.T).T

    def readout(self, x: Floats) -> Floats:
        return np.einsum("bi,ib->b", x, self._readouts)


class CrossbarArrays:
    """Matrices as conductances of an emulated crossbar, pairs of devices, products through its converters.

    The input is as strong as many weights, so several rows carry it. The reservoir is random and its errors are part
    of it: the read-out is fitted to what it does. The read-out itself is a sum of columns (slices): each stores, scaled
    to the full range, what reading the ones before has shown to be missing (W. Song et al., Science 383, 2024).

    Parameters
    ----------
    config : CrossbarTargetConfig
    networks : int
        Read-outs side by side.
    units : int
    input_rows : int
    slices : int
        Columns of a read-out.
    reads : int
        Products that are averaged.
    """

    info = ModelInfo("emulated")
    devices = 2

    def __init__(
        self, config: CrossbarTargetConfig, networks: int, units: int, input_rows: int, slices: int, reads: int
    ) -> None:
        self._input_rows, self._slices, self._reads = input_rows, slices, reads
        n_rows = 1 + input_rows + units
        self.target = CrossbarTarget(config, [(n_rows, units), (n_rows, slices * networks)])
        self._top = self.target.capabilities.max_level
        self._weight_range = self.target.capabilities.weight_range
        self.bits: float | None = 2.0 * math.log2(self._top + 1)
        self._readout_levels = np.zeros((n_rows, slices * networks), dtype=np.int64)
        self._readout_scales = np.zeros((slices, networks))
        self._trial = 0

    def write_reservoir(self, weights: Floats, typical: Floats) -> None:
        rows = self._spread(weights)
        self._reservoir_scale = np.abs(rows).max() / self._weight_range
        self._reservoir_levels = self._levels(rows, self._reservoir_scale)
        self.target.write([self._reservoir_levels, self._readout_levels])
        self.target.calibrate(RESERVOIR, self._drive(typical))

    def write_readouts(self, weights: Floats, typical: Floats) -> None:
        missing = self._spread(weights)
        networks = weights.shape[1]
        self._readout_levels[:] = 0
        for k in range(self._slices):
            columns = slice(k * networks, (k + 1) * networks)
            scale = np.maximum(np.abs(missing).max(axis=0), 1e-12) / self._weight_range
            self._readout_levels[:, columns] = self._levels(missing, scale)
            self.target.write([self._reservoir_levels, self._readout_levels])
            missing = missing - scale * self._read_back()[:, columns]
            self._readout_scales[k] = scale
        self.target.calibrate(READOUT, self._drive(typical))

    def reservoir(self, x: Floats) -> Floats:
        return self._reservoir_scale * self._multiply(RESERVOIR, x)

    def readout(self, x: Floats) -> Floats:
        # A batch meets all read-outs; each network looks at its own.
        products = self._multiply(READOUT, x).reshape(len(x), self._slices, -1)
        return np.einsum("bsb,sb->b", products, self._readout_scales)

    def _multiply(self, layer: int, x: Floats) -> Floats:
        self._trial += 1
        repeated = np.tile(self._drive(x), (self._reads, 1))
        products = self.target.multiply(layer, repeated, self._trial)
        return products.reshape(self._reads, len(x), -1).mean(axis=0)

    def _read_back(self) -> Floats:
        self._trial += READ_BACKS
        return np.mean([self.target.read(READOUT, self._trial - k) for k in range(READ_BACKS)], axis=0)

    def _spread(self, weights: Floats) -> Floats:
        """Weights with the input's row as several weaker ones."""
        return np.vstack([weights[:1], np.repeat(weights[1:2] / self._input_rows, self._input_rows, 0), weights[2:]])

    def _drive(self, x: Floats) -> Floats:
        """Inputs with u - 1 on several rows."""
        return np.hstack([x[:, :1], np.repeat(x[:, 1:2], self._input_rows, axis=1), x[:, 2:]])

    def _levels(self, weights: Floats, scale: Floats | float) -> NDArray[np.int64]:
        return np.rint(weights / (scale * self._weight_range) * self._top).astype(np.int64)


@one_thread
def reservoir(config: Config, seed: int) -> Floats:
    """Random weights (2 + units, units): rows b, w_in, and W from unit i to unit j in [2 + i, j].

    Raises
    ------
    UserError
        No weight of W leads in a circle, so that it has no spectral radius to be scaled; take another seed.
    """
    draws, n = stream(seed, "reservoir"), config.units
    weights = draws.uniform(-1.0, 1.0, (n, n)) * (draws.random((n, n)) < config.connectivity)
    radius = float(np.abs(np.linalg.eigvals(weights)).max())
    if radius < 1e-9:
        raise UserError(f"esn: the reservoir of seed {seed} has a spectral radius of 0; raise units or connectivity")
    bias, inputs = draws.uniform(-config.bias_scale, config.bias_scale, n), draws.uniform(-1.0, 1.0, n)
    return np.vstack([bias, config.input_scale * inputs, weights * (config.spectral_radius / radius)])


@one_thread
def ridge_regression(features: Floats, targets: Floats, penalty: float) -> Floats:
    """Weights w (k,) that minimise |features w - targets|^2 / n + penalty |w|^2, for features (n, k)."""
    left, values, right = np.linalg.svd(features, full_matrices=False)
    known = values > np.finfo(np.float64).eps * len(features) * values[0]
    shrunk = values[known] / (values[known] ** 2 + penalty * len(features))
    return right[known].T @ (shrunk * (left[:, known].T @ targets))


class EchoStateNetwork:
    """Networks that share a reservoir, one for each repeat of a task, for `neurohil.neurobench.benchmark.Benchmark`.

    Parameters
    ----------
    config : Config
    seed : int
        Of the reservoir.
    arrays : Arrays, optional
        Plain numbers by default. Is written to.
    """

    def __init__(self, config: Config, seed: int, arrays: Arrays | None = None) -> None:
        self.config = config
        self.arrays: Arrays = PlainArrays() if arrays is None else arrays
        self.info = self.arrays.info
        self.weights = reservoir(config, seed)
        self.states = np.zeros((0, config.units))
        self.readouts = np.zeros((config.units + 2, 0))
        self.records: list[Record] = []

    def fit(self, inputs: Floats, targets: Floats) -> None:
        """Drive the reservoir with the true series (networks, n), as the arrays have it, and fit the read-outs.

        Raises
        ------
        UserError
            The series aren't longer than the warm-up.
        """
        if inputs.shape != targets.shape or inputs.ndim != 2 or inputs.shape[1] <= WARM_UP:
            raise UserError(
                f"esn: inputs {inputs.shape} and targets {targets.shape} must be (networks, n), n above {WARM_UP}"
            )
        plain = PlainArrays()
        plain.write_reservoir(self.weights, inputs)
        before, _ = self._drive(plain, inputs)
        self.arrays.write_reservoir(self.weights, np.concatenate(before[:, WARM_UP:]))
        _, features = self._drive(self.arrays, inputs)
        fits = zip(features[:, WARM_UP:], targets[:, WARM_UP:] - 1.0, strict=True)
        self.readouts = np.column_stack([ridge_regression(x, y, self.config.ridge) for x, y in fits])
        self.arrays.write_readouts(self.readouts, np.concatenate(features[:, WARM_UP:]))

    def __call__(self, batch: NDArray[Any]) -> Floats:
        """Predictions (networks n, 1) that follow the training, network by network, for inputs of that shape.

        Of each network's inputs only the first is used; then it goes on from its own predictions.
        """
        networks, units = self.states.shape
        if batch.ndim != 2 or batch.shape[1] != 1 or not networks or len(batch) % networks:
            raise UserError(
                f"esn: inputs have shape {batch.shape}; expected ({networks} networks x points, 1), after a fit"
            )
        steps = len(batch) // networks
        before, after = np.empty((2, steps, networks, units + 2))
        predictions = np.empty((networks, steps))
        values = batch.reshape(networks, steps)[:, 0].astype(np.float64)
        for k in range(steps):
            before[k], after[k] = self._advance(self.arrays, values)
            values = np.clip(1.0 + self.arrays.readout(after[k]), LOWEST, HIGHEST)
            predictions[:, k] = values
        recurrent, inputs, readout = self.layers
        self.records = [
            LayerRecord(recurrent, before[:, :, 2:]),
            LayerRecord(inputs, before[:, :, 1:2]),
            LayerRecord(readout, after[:, :, 1:]),
            ActivationRecord("reservoir", after[:, :, 2:]),
        ]
        return predictions.reshape(-1, 1)

    @property
    def layers(self) -> Sequence[ConnectionLayer]:
        """Those of one network, as they are meant."""
        weights, readout = self.weights, self.readouts[:, 0]
        return (
            Linear("recurrent", weights[2:].T),
            Linear("input", weights[1:2].T, weights[0]),
            Linear("readout", readout[np.newaxis, 1:], readout[:1]),
        )

    @property
    def stored(self) -> Sequence[Stored]:
        """What one network keeps."""
        bits, devices = self.arrays.bits, self.arrays.devices
        weights = [Stored(item.name, item.values, True, bits, devices) for item in parameters_of(self.layers)]
        return [*weights, Stored("state", np.zeros(self.config.units), trained=False)]

    def _drive(self, arrays: Arrays, inputs: Floats) -> tuple[Floats, Floats]:
        """From rest through inputs (networks, n); what reservoir and read-out see, (networks, n, 2 + units) each."""
        networks, steps = inputs.shape
        self.states = np.zeros((networks, self.config.units))
        before, after = np.empty((2, networks, steps, self.config.units + 2))
        for k in range(steps):
            before[:, k], after[:, k] = self._advance(arrays, inputs[:, k])
        return before, after

    def _advance(self, arrays: Arrays, values: Floats) -> tuple[Floats, Floats]:
        """One step of the reservoir; what it sees, and what the read-outs see, (networks, 2 + units) each."""
        leak = self.config.leak
        before = np.column_stack([np.ones(len(values)), values - 1.0, self.states])
        self.states = (1.0 - leak) * self.states + leak * np.tanh(arrays.reservoir(before))
        after = before.copy()
        after[:, 2:] = self.states
        return before, after
