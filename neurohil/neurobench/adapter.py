"""The bridge to the official harness, which needs PyTorch: `pip install 'neurohil[neurobench]'`.

`OfficialModel` shows a model of ours to the official `Benchmark`. The other way, see `neurohil.neurobench.pytorch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from neurobench.hooks.layer import LayerHook
from neurobench.hooks.neuron import NeuronHook
from neurobench.models import NeuroBenchModel
from numpy.typing import NDArray
from torch import nn

from neurohil.neurobench.records import (
    ConnectionLayer,
    Convolution,
    EventRecord,
    LayerRecord,
    Linear,
    Model,
    NeuronRecord,
    Record,
    RecurrentCell,
)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CELLS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


class OfficialModel(NeuroBenchModel):
    """A model of ours for the official harness, which counts what the model recorded.

    Its `__net__` is a shadow: modules with the weights, and parameters and buffers as stored. Events are spread over
    the steps of their declared dt, which doesn't change any count.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self._net = _Shadow(model)
        self._hooked = False

    def __net__(self) -> nn.Module:
        return self._net

    def register_hooks(self) -> None:
        """Hooks that `__call__` fills, because no module is ever run."""
        self._hooked = True
        self.connection_hooks += [LayerHook(module) for module in self._net.connections]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        predictions = self.model(batch.numpy())
        if self._hooked:
            for record in self.model.records:
                self._fill(record)
        return torch.from_numpy(np.ascontiguousarray(predictions))

    def _fill(self, record: Record) -> None:
        if isinstance(record, LayerRecord):
            self._fill_layer(record)
        elif isinstance(record, EventRecord):
            steps = np.arange(record.steps)[:, np.newaxis, np.newaxis]
            self._fill_layer(LayerRecord(record.layer, (record.arrivals > steps).astype(np.float64)))
            self._activation_hook(record.layer.name).activation_outputs += _tensors(record.spikes > steps)
        else:
            hook = self._activation_hook(record.name)
            hook.activation_outputs += _tensors(record.outputs)
            if isinstance(record, NeuronRecord):
                hook.layer = type(record.model, (), {"_reset_mechanism": record.reset})()
                hook.pre_fire_mem_potential += _tensors(record.before)
                hook.post_fire_mem_potential += _tensors(record.after)

    def _fill_layer(self, record: LayerRecord) -> None:
        index = next(k for k, layer in enumerate(self.model.layers) if layer is record.layer)
        hook = self.connection_hooks[index]
        dtype = next(hook.layer.parameters()).dtype
        calls = [tensor.to(dtype) for tensor in _tensors(record.inputs)]
        if not isinstance(record.layer, RecurrentCell):
            hook.inputs += [(x,) for x in calls]
            return
        none = np.zeros((*record.inputs.shape[:2], record.layer.hidden))
        states = record.states or (none,) * (2 if record.layer.kind == "lstm" else 1)
        pairs = list(zip(*([t.to(dtype) for t in _tensors(state)] for state in states), strict=True))
        hook.inputs += [(x, s if len(s) > 1 else s[0]) for x, s in zip(calls, pairs, strict=True)]

    def _activation_hook(self, name: str) -> Any:
        for hook in self.activation_hooks:
            if hook.name == name:
                return hook
        hook = NeuronHook(None, name)
        self.activation_hooks.append(hook)
        return hook


class _Shadow(nn.Module):
    """Modules with the weights of a model's layers; parameters and buffers as the model stores them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.connections = nn.ModuleList([_module(layer) for layer in model.layers])
        arrays = {id(array.values): array for array in model.stored}.values()
        self._trained = [torch.from_numpy(np.array(array.values)) for array in arrays if array.trained]
        self._kept = [torch.from_numpy(np.array(array.values)) for array in arrays if not array.trained]

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        return iter(self._trained)

    def buffers(self, recurse: bool = True) -> Iterator[torch.Tensor]:
        return iter(self._kept)


def _module(layer: ConnectionLayer) -> nn.Module:
    module: nn.Module
    if isinstance(layer, Linear):
        module = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], layer.bias is not None)
    elif isinstance(layer, Convolution):
        n_out, n_in, *kernel = layer.weight.shape
        settings = {field: layer.per_dimension(field) for field in ("stride", "padding", "dilation")}
        convolution: Any = _CONVOLUTIONS[len(kernel) - 1]
        module = convolution(
            n_in * layer.groups, n_out, tuple(kernel), **settings, groups=layer.groups, bias=layer.bias is not None
        )
    else:
        cell: Any = _CELLS[layer.kind]
        module = cell(layer.weight_ih.shape[1], layer.hidden, layer.bias_ih is not None)
    for name, values in layer.arrays().items():
        floats = values if values.dtype.kind == "f" else values.astype(np.float32)
        setattr(module, name, nn.Parameter(torch.from_numpy(np.array(floats))))
    return module


def _tensors(array: NDArray[Any]) -> list[torch.Tensor]:
    return list(torch.from_numpy(np.array(array)))
