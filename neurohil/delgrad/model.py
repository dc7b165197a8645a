"""The network of this room as NeuroBench's harness sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.errors import UserError
from neurohil.neurobench.records import EventRecord, Linear, ModelInfo, Record, Stored
from neurohil.protocols import Floats, Layer, SpikingTarget

_COMPUTED = ModelInfo()


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
