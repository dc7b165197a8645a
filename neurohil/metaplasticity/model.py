"""The network of this room as NeuroBench's harness sees it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.metaplasticity.network import Network
from neurohil.neurobench.records import ActivationRecord, LayerRecord, Linear, ModelInfo, Record, Stored
from neurohil.protocols import MatrixTarget

_COMPUTED = ModelInfo()


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
