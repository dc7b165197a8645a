"""Bridges to the official harness, which needs PyTorch: `pip install 'neurohil[neurobench]'`.

`OfficialModel` shows a model of ours to the official `Benchmark`; `TorchModel` shows a network of PyTorch or snnTorch
to ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from neurobench.hooks.layer import LayerHook
from neurobench.hooks.neuron import NeuronHook
from neurobench.models import NeuroBenchModel
from numpy.typing import NDArray
from torch import nn

from hil.errors import UserError
from hil.neurobench.records import (
    ActivationRecord,
    ConnectionLayer,
    Convolution,
    EventRecord,
    LayerRecord,
    Linear,
    Model,
    ModelInfo,
    NeuronRecord,
    Record,
    RecurrentCell,
    Stored,
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


class TorchModel:
    """A network of PyTorch for our `Benchmark`, recorded by hooks.

    Connection layers are Linear, Conv1d to Conv3d and the recurrent cells; activations are ReLU, Sigmoid, the spiking
    neurons of snnTorch, and `activations`. Records carry the full dotted names of modules.

    Parameters
    ----------
    net : torch.nn.Module
        Is switched to evaluation.
    forward : callable, optional
        Tensor -> tensor, for example the official `SNNTorchModel(net)`, which runs the steps; by default `net`.
    activations : sequence of module classes
        More activations, such as `nn.Tanh`.
    info : ModelInfo

    Raises
    ------
    UserError
        The network has a layer that can't be recorded.
    """

    def __init__(
        self,
        net: nn.Module,
        forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
        activations: Sequence[type[nn.Module]] = (),
        info: ModelInfo | None = None,
    ) -> None:
        self.net = net.eval()
        self.info = info or ModelInfo()
        self.layers: list[ConnectionLayer] = []
        self.records: list[Record] = []
        self._forward = forward or net
        self._arrays: dict[int, NDArray[Any]] = {}
        self._neurons: dict[str, _Steps] = {}
        rectifiers = (nn.ReLU, nn.Sigmoid, *activations)
        for name, module in net.named_modules():
            if isinstance(module, nn.RNNBase):
                raise UserError(
                    f"{name or 'the network'} is a {type(module).__name__}, whose states can't be seen; use the "
                    f"{type(module).__name__}Cell, step by step"
                )
            if isinstance(module, (nn.Linear, *_CONVOLUTIONS, nn.RNNCellBase)):
                layer = self._layer(name or type(module).__name__, module)
                self.layers.append(layer)
                module.register_forward_pre_hook(self._layer_hook(layer), with_kwargs=True)
            elif _is_spiking(module):
                module.register_forward_pre_hook(self._before_hook(name))
                module.register_forward_hook(self._after_hook(name))
            elif isinstance(module, rectifiers):
                module.register_forward_hook(self._activation_hook(name))

    @property
    def stored(self) -> list[Stored]:
        """Parameters and buffers as they are now: snnTorch's membranes grow with the first run."""
        parameters = [Stored(name, self._array(p)) for name, p in self.net.named_parameters()]
        return parameters + [Stored(name, _numpy(b), trained=False) for name, b in self.net.named_buffers()]

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.records = []
        self._neurons = {}
        with torch.no_grad():
            predictions = self._forward(torch.from_numpy(np.ascontiguousarray(batch)))
        self.records += [steps.record(name) for name, steps in self._neurons.items()]
        return _numpy(predictions)

    def _layer(self, name: str, module: Any) -> ConnectionLayer:
        if isinstance(module, nn.RNNCellBase):
            kind = next(kind for kind, cell in _CELLS.items() if isinstance(module, cell))
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            arrays = [self._array(getattr(module, array)) for array in names]
            return RecurrentCell(name, kind, *arrays)  # type: ignore[arg-type]
        weight, bias = self._array(module.weight), self._array(module.bias)
        if isinstance(module, nn.Linear):
            return Linear(name, weight, bias)
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            raise UserError(
                f"{name}.padding = {module.padding!r} with mode {module.padding_mode!r} can't be counted; give "
                "numbers, and pad with zeros"
            )
        return Convolution(name, weight, bias, module.stride, module.padding, module.dilation, module.groups)

    def _array(self, tensor: torch.Tensor | None) -> Any:
        """One array for each tensor, so that tied weights stay tied; it shares the tensor's memory."""
        if tensor is None:
            return None
        return self._arrays.setdefault(id(tensor), _numpy(tensor))

    def _layer_hook(self, layer: ConnectionLayer) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = [*args, *kwargs.values()]
            states = given[1] if len(given) > 1 and given[1] is not None else ()
            states = (states,) if isinstance(states, torch.Tensor) else states
            inputs = _copy(given[0])[np.newaxis]
            self.records.append(LayerRecord(layer, inputs, tuple(_copy(state)[np.newaxis] for state in states)))

        return hook

    def _activation_hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            self.records.append(ActivationRecord(name, _copy(output)))

        return hook

    def _before_hook(self, name: str) -> Callable[..., None]:
        def hook(module: Any, args: Any) -> None:
            self._neurons.setdefault(name, _Steps(module)).before.append(_copy(module.mem))

        return hook

    def _after_hook(self, name: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Any) -> None:
            steps = self._neurons[name]
            steps.outputs.append(_copy(output[0] if isinstance(output, tuple) else output))
            steps.after.append(_copy(module.mem))

        return hook


class _Steps:
    """What snnTorch's neurons did, step by step."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.outputs: list[NDArray[Any]] = []
        self.before: list[NDArray[Any]] = []
        self.after: list[NDArray[Any]] = []

    def record(self, name: str) -> NeuronRecord:
        # Before the first step of a fresh network the membrane is empty.
        pairs = zip(self.before, self.after, strict=True)
        before = [np.broadcast_to(b, a.shape) if b.size else np.zeros_like(a) for b, a in pairs]
        kind, reset = type(self.module).__name__, self.module._reset_mechanism
        return NeuronRecord(name, np.stack(self.outputs), np.stack(before), np.stack(self.after), kind, reset)


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


def _is_spiking(module: nn.Module) -> bool:
    """Whether it is one of snnTorch's neurons, by name, so that snnTorch need not be there."""
    return any(kind.__name__ == "SpikingNeuron" for kind in type(module).__mro__)


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().numpy()
    return array


def _copy(tensor: torch.Tensor) -> NDArray[Any]:
    """As it is now: a later layer may change it in place."""
    return _numpy(tensor).copy()


def _tensors(array: NDArray[Any]) -> list[torch.Tensor]:
    return list(torch.from_numpy(np.array(array)))
