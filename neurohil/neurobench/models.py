"""Models to be measured: a plain perceptron, and this project's networks on their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.blas import one_thread
from neurohil.errors import UserError
from neurohil.metaplasticity.network import Network
from neurohil.neurobench.records import (
    ActivationRecord,
    EventRecord,
    LayerRecord,
    Linear,
    ModelInfo,
    Record,
    Stored,
    parameters_of,
)
from neurohil.protocols import Floats, Layer, MatrixTarget, SpikingTarget

_COMPUTED = ModelInfo()


class Perceptron:
    """Linear layers with rectifiers in between.

    Parameters
    ----------
    layers : sequence of Linear
        With weights, biases and inputs of one float type.
    """

    info = _COMPUTED

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.layers = layers
        self.stored = parameters_of(layers)
        self.records: list[Record] = []

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.records = []
        x = batch
        for k, layer in enumerate(self.layers):
            if k:
                np.maximum(x, 0, out=x)
                self.records.append(ActivationRecord(f"{self.layers[k - 1].name}.relu", x))
            self.records.append(LayerRecord(layer, x[np.newaxis]))
            with one_thread:
                x = x @ layer.weight.T
            if layer.bias is not None:
                x += layer.bias
        return x


class MatrixModel:
    """A network of `neurohil.metaplasticity` with the levels that it has now, on an ideal matrix target or on arrays.

    Normalises each batch by its own statistics, as in training, so accuracy too depends on the batch size.

    Parameters
    ----------
    network : Network
    target : MatrixTarget
        Is written to.
    info : ModelInfo
        ModelInfo("emulated") on an emulated chip or crossbar.
    bits : float, optional
        Of a weight on the devices, such as 2 log2(9) of a pair of nine-level devices; log2(levels) by default.
    devices : int
        Of a weight; 0: digital.
    learns : bool
        The deployed model goes on learning, so its hidden weights count into the footprint, as buffers.
    """

    def __init__(
        self,
        network: Network,
        target: MatrixTarget,
        info: ModelInfo = _COMPUTED,
        bits: float | None = None,
        devices: int = 0,
        learns: bool = False,
    ) -> None:
        quantizer = network.config.quantizer
        self.info = info
        self.layers = [Linear(f"layer{k}", quantizer.to_weights(w).T) for k, w in enumerate(network.levels)]
        bits = math.log2(quantizer.levels) if bits is None else bits
        self.stored = [Stored(f"layer{k}.levels", w, True, bits, devices) for k, w in enumerate(network.levels)]
        self.stored += [Stored(f"layer{k}.norm", norm) for k, norm in enumerate(network.norms)]
        if learns:
            self.stored += [Stored(f"layer{k}.hidden", w, trained=False) for k, w in enumerate(network.hidden)]
        self.records: list[Record] = []
        self._network = network
        self._target = target
        self._trial = 0
        target.write([levels.astype(np.int64) for levels in network.levels])

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Scores (batch, n_out) for inputs (batch, n_in)."""
        self._trial += 1
        done = self._network.forward(self._target, batch.astype(np.float32), self._network.norms, self._trial)
        self.records = []
        for k, (layer, seen) in enumerate(zip(self.layers, done, strict=True)):
            if k:
                self.records.append(ActivationRecord(f"layer{k - 1}.activation", seen.inputs))
            self.records.append(LayerRecord(layer, seen.inputs[np.newaxis]))
        return done[-1].outputs


class SpikeTimeModel:
    """Layers of spiking neurons of `neurohil.delgrad` on a spiking target, recorded by their events.

    Weights count as the target holds them: rounded to its steps, which makes small ones zero. Delays are parameters,
    one for each line, neuron or synapse that stores it.

    Parameters
    ----------
    target : SpikingTarget
        Is written to.
    layers : sequence of neurohil.protocols.Layer
        For example `network.layers()`.
    duration : float, tau_s
        Of a sample.
    info : ModelInfo
        ModelInfo("emulated") on an emulated chip. Its dt, in tau_s, is the declared step; without it dense operations
        and sparsity of activations aren't defined.
    weight_bits, delay_bits : float, optional
        Of a stored weight and delay on the device.
    """

    def __init__(
        self,
        target: SpikingTarget,
        layers: Sequence[Layer],
        duration: float,
        info: ModelInfo = _COMPUTED,
        weight_bits: float | None = None,
        delay_bits: float | None = None,
    ) -> None:
        self.info = info
        self.layers = []
        self.stored = []
        for k, layer in enumerate(layers):
            weights = _held(layer.weights, target.capabilities.weight_step)
            self.layers.append(Linear(f"layer{k}", weights.T))
            self.stored.append(Stored(f"layer{k}.weights", weights, bits=weight_bits))
            for kind in ("axonal", "dendritic", "synaptic"):
                if (delays := getattr(layer, kind)) is not None:
                    self.stored.append(Stored(f"layer{k}.{kind}_delays", delays, bits=delay_bits))
        self.records: list[Record] = []
        self._target = target
        self._duration = duration
        self._trial = 0
        target.write(layers)

    def __call__(self, batch: Floats) -> Floats:
        """First spike times (batch, n_out) of the last layer for input times (batch, n_in), tau_s; inf: none."""
        self._trial += 1
        done = self._target.run(batch, self._trial)
        self.records = [
            EventRecord(
                layer,
                np.isfinite(seen.arrivals).astype(np.int64),
                np.isfinite(seen.spikes).astype(np.int64),
                self._duration,
                self.info.dt,
            )
            for layer, seen in zip(self.layers, done, strict=True)
        ]
        return done[-1].spikes


def _held(weights: Floats, step: float) -> NDArray[Any]:
    """What the target holds: whole numbers of its steps, or the weights themselves if it has none."""
    if not step:
        return weights
    with np.errstate(over="ignore"):
        codes = np.rint(arrays.floats("weights", weights) / step)
    largest = float(np.abs(codes).max(initial=0))
    dtype = next((t for t in (np.int8, np.int16, np.int32, np.int64) if largest < np.iinfo(t).max + 1), None)
    if dtype is None:
        raise UserError(f"a weight of {largest:g} steps of the target is too large; write smaller weights")
    return codes.astype(dtype)
