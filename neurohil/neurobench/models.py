"""A model to be measured: a plain perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.blas import one_thread
from neurohil.neurobench.records import (
    ActivationRecord,
    LayerRecord,
    Linear,
    ModelInfo,
    Record,
    parameters_of,
)

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

    @one_thread
    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.records = []
        x = batch
        for k, layer in enumerate(self.layers):
            if k:
                np.maximum(x, np.zeros_like(x), out=x)  # numpy takes thrice as long with a number
                self.records.append(ActivationRecord(f"{self.layers[k - 1].name}.relu", x))
            self.records.append(LayerRecord(layer, x[np.newaxis]))
            x = x @ layer.weight.T
            if layer.bias is not None:
                x += layer.bias
        return x
