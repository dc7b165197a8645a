"""Networks of PyTorch or snnTorch, recorded for our `Benchmark`. Needs PyTorch: `pip install 'neurohil[torch]'`.

Every operation of a forward pass is watched, below autograd, where functions, operators and modules all end. What
each one is comes from `neurohil.neurobench.torch_operations`: counted, recorded, free, or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from neurohil.errors import UserError
from neurohil.neurobench import torch_operations
from neurohil.neurobench.records import (
    ActivationRecord,
    ConnectionLayer,
    Convolution,
    LayerRecord,
    Linear,
    ModelInfo,
    NeuronRecord,
    Record,
    RecurrentCell,
    Stored,
)
from neurohil.neurobench.torch_operations import Origin

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONNECTIONS = (nn.Linear, *_CONVOLUTIONS)
_CELLS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
_RECURRENT = {"RNN_TANH": "rnn", "RNN_RELU": "rnn", "GRU": "gru", "LSTM": "lstm"}
_STEPS: dict[str, Callable[..., Any]] = {
    "RNN_TANH": torch.rnn_tanh_cell,
    "RNN_RELU": torch.rnn_relu_cell,
    "GRU": torch.gru_cell,
    "LSTM": torch.lstm_cell,
}
# Softmax and its like normalise over a layer, so they are not among them.
_ACTIVATIONS = (
    *(nn.Threshold, nn.ReLU, nn.RReLU, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.ELU, nn.CELU, nn.SELU, nn.GLU, nn.GELU, nn.Hardshrink, nn.LeakyReLU, nn.LogSigmoid),
    *(nn.Softplus, nn.Softshrink, nn.PReLU, nn.Softsign, nn.Tanhshrink),
)
_NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# Normalisation, pooling, distances and losses that are made of operations which alone could be activations.
_UNCOUNTED = (
    *(nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d, nn.LPPool1d, nn.LPPool2d, nn.LPPool3d),
    *(nn.CosineSimilarity, nn.PairwiseDistance, nn.modules.loss._Loss),
)
_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse")
_UNKNOWN = (torch.bfloat16,)  # to numpy


class TorchModel:
    """A network of PyTorch for our `Benchmark`, recorded as it runs.

    Connections are all products of inputs with parameters or buffers: in Linear, Conv1d to Conv3d, RNN, GRU, LSTM and
    their cells (recurrent layers as cells, step by step), and in functions such as `x @ self.w`. Activations are those
    of `torch.nn` as modules or as functions (but softmax), the spiking neurons of snnTorch, and `activations`. Records
    carry the full dotted names of modules and parameters. What can't be counted is refused.

    Parameters
    ----------
    net : torch.nn.Module
        On the processor; is switched to evaluation. Hooks stay on it.
    forward : callable, optional
        Tensor -> tensor, for example the official `SNNTorchModel(net)`, which runs the steps; by default `net`.
    activations : sequence of module classes
        More activations; their (first) output is recorded.
    info : ModelInfo
    uncounted : sequence of module classes
        Modules whose own arithmetic is neither activation nor synapse, such as a normalisation. Products with weights
        in them count.

    Raises
    ------
    UserError
        Of the network, here or while it runs: names the layer, its type, and what can't be counted in it.
    """

    def __init__(
        self,
        net: nn.Module,
        forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
        activations: Sequence[type[nn.Module]] = (),
        info: ModelInfo | None = None,
        uncounted: Sequence[type[nn.Module]] = (),
    ) -> None:
        self.net = net.eval()
        self.info = info or ModelInfo()
        self.records: list[Record] = []
        self._forward = forward or net
        self._arrays: dict[int, NDArray[Any]] = {}
        self._neurons: dict[str, _Steps] = {}
        self._watch: _Watch | None = None  # while the network runs
        self._ran = False
        self._layers: dict[str, ConnectionLayer] = {}
        self._unclear: list[str] = []
        recorded = (*_ACTIVATIONS, *activations)
        for name, module in net.named_modules():
            _check_module(name, module)
            recurrent = isinstance(module, (nn.RNNCellBase, nn.RNNBase))
            kept = isinstance(module, (*recorded, *_UNCOUNTED, *uncounted)) or _is_spiking(module)
            for layer in self._connections(name, module):
                self._layers[layer.name] = layer
            clear = (nn.Embedding, nn.utils.parametrize.ParametrizationList, *_NORMALISATIONS)
            if not (recurrent or kept or isinstance(module, clear)):
                known = ("weight", "bias") if isinstance(module, _CONNECTIONS) else ()
                own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
                unclear = [key for key, tensor in own if tensor.dim() and not key.startswith(known)]
                self._unclear += [f"{name}.{key}".lstrip(".") for key in unclear]
            module.register_forward_pre_hook(self._enter_hook(name, recurrent, kept), with_kwargs=True)
            module.register_forward_hook(self._leave_hook(name, isinstance(module, recorded)))
            module.register_forward_hook(self._pop_hook(), always_call=True)

    @property
    def layers(self) -> list[ConnectionLayer]:
        """Connection layers: those of `torch.nn`, and parameters and buffers that a run has shown to be one.

        Raises
        ------
        UserError
            There are others, and the network hasn't run yet.
        """
        if self._unclear and not self._ran:
            raise UserError(
                f"whether {', '.join(self._unclear)} of {type(self.net).__name__} are connections shows when the "
                "network runs; call the model once with a batch before its layers are looked at"
            )
        return list(self._layers.values())

    @property
    def stored(self) -> list[Stored]:
        """Parameters and buffers as they are now: snnTorch's membranes grow with the first run."""
        parameters = [Stored(name, self._array(p)) for name, p in self.net.named_parameters()]
        return parameters + [Stored(name, _numpy(b), trained=False) for name, b in self.net.named_buffers()]

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.records = []
        self._neurons = {}
        try:
            inputs = torch.from_numpy(np.array(batch))  # a copy, because a layer may work in place
        except TypeError as error:
            raise UserError(f"inputs can't become a tensor: {error}") from error
        self._watch = _Watch(self, inputs)
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers in it
        try:
            with torch.no_grad(), self._watch:
                predictions = self._forward(inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            self._watch = None
        self._ran = True
        self.records += [steps.record(name) for name, steps in self._neurons.items()]
        if not isinstance(predictions, torch.Tensor):
            raise UserError(
                f"{type(self.net).__name__} gave a {type(predictions).__name__}, expected one tensor; give a `forward` "
                "that takes it out, such as lambda x: net(x)[0]"
            )
        return _numpy(predictions)

    def record_product(self, name: str, operation: str, arguments: Sequence[Any], stored: Sequence[bool]) -> None:
        """Record one product of inputs and weights; `stored`: which tensor of `arguments` holds weights."""
        if operation == "convolution":
            if arguments[6]:
                raise UserError("transposed convolutions aren't counted; leave the metrics of operations out")
            x, weight, bias = arguments[:3]
            stride, padding, dilation = map(tuple, arguments[3:6])
            bias = None if bias is None else _numpy(bias)
            layer = Convolution(name, _numpy(weight), bias, stride, padding, dilation, arguments[8])
            self._add(layer, x)
            return
        one, two = [a for a in arguments if isinstance(a, torch.Tensor)][-2:]
        if operation in ("mv", "addmv", "dot", "vdot"):
            one, two = one.reshape(-1, one.shape[-1]), two.unsqueeze(-1)
        weights_last = stored[-1]
        if one.dim() == 2:
            one, two = one.unsqueeze(0), two.unsqueeze(0)
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            part = name if len(one) == 1 else f"{name}[{k}]"
            weight, x = (b.mT, a) if weights_last else (a, b.mT)
            self._add(Linear(part, _numpy(weight)), x)

    def record_activation(self, name: str, outputs: torch.Tensor) -> None:
        """Record the outputs of an activation that is no module."""
        self.records.append(ActivationRecord(name, _copy(outputs)))

    def _add(self, layer: ConnectionLayer, inputs: torch.Tensor) -> None:
        self._layers.setdefault(layer.name, layer)
        self.records.append(LayerRecord(layer, _copy(inputs)[np.newaxis]))

    def _connections(self, name: str, module: Any) -> Iterator[ConnectionLayer]:
        shown = name or type(module).__name__
        if isinstance(module, nn.RNNCellBase):
            kind = next((kind for kind, cell in _CELLS.items() if isinstance(module, cell)), None)
            if kind is None:
                raise UserError(f"{_where(name, module)} is no RNNCell, GRUCell or LSTMCell; use one of them")
            yield self._cell(shown, kind, module)
        elif isinstance(module, nn.RNNBase):
            for suffix in _suffixes(module):
                yield self._cell(f"{shown}{suffix}", _RECURRENT[module.mode], module, suffix)
        elif isinstance(module, nn.Linear):
            yield Linear(shown, self._array(module.weight), self._array(module.bias))
        elif isinstance(module, _CONVOLUTIONS):
            spans = zip(module.kernel_size, module.dilation, strict=True)
            if module.padding == "same" and any(d * (k - 1) % 2 for k, d in spans):
                raise UserError(
                    f"{_where(name, module)}: padding = 'same' pads one side more than the other with a kernel of "
                    f"{module.kernel_size}, which isn't counted; choose odd sizes"
                )
            # Of the connections alone: padding is seen when the layer runs.
            yield Convolution(shown, self._array(module.weight), self._array(module.bias), groups=module.groups)

    def _cell(self, name: str, kind: Any, module: nn.Module, suffix: str = "") -> RecurrentCell:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return RecurrentCell(name, kind, *(self._array(getattr(module, key + suffix, None)) for key in names))

    def _array(self, tensor: torch.Tensor | None) -> Any:
        """One array for each tensor, so that tied weights stay tied; it shares the tensor's memory."""
        if not isinstance(tensor, torch.Tensor):
            return None
        return self._arrays.setdefault(id(tensor), _numpy(tensor))

    def _enter_hook(self, name: str, recurrent: bool, kept: bool) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._watch is None:
                return
            self._watch.running.append((name, module, recurrent, kept))
            given = [*args, *kwargs.values()]
            state = given[1] if len(given) > 1 else None
            if isinstance(module, nn.RNNBase):
                self._unroll(name, module, given[0], state)
            elif recurrent:
                states = () if state is None else (state,) if isinstance(state, torch.Tensor) else state
                x, *states = (t.unsqueeze(0) if t.dim() == 1 else t for t in (given[0], *states))
                layer = self._layers[name or type(module).__name__]
                self.records.append(_step_record(layer, [x], [[state] for state in states]))
            elif _is_spiking(module):
                self._neurons.setdefault(name, _Steps(module)).before.append(_copy(module.mem))

        return hook

    def _leave_hook(self, name: str, recorded: bool) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Any) -> None:
            if self._watch is None:
                return
            first = output[0] if isinstance(output, tuple) else output
            if _is_spiking(module):
                steps = self._neurons[name]
                steps.outputs.append(_copy(first))
                steps.after.append(_copy(module.mem))
            elif recorded:
                self.records.append(ActivationRecord(name or type(module).__name__, _copy(first)))

        return hook

    def _pop_hook(self) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Any) -> None:
            if self._watch is not None and self._watch.running:
                self._watch.running.pop()

        return hook

    def _unroll(self, name: str, module: Any, x: Any, state: Any) -> None:
        """Record a recurrent layer as cells, step by step; its states inside can't be seen, so they are run again."""
        if not isinstance(x, torch.Tensor):
            raise UserError(f"{_where(name, module)}: packed sequences can't be counted; give a padded tensor")
        if x.dim() == 2:
            x = x.unsqueeze(0 if module.batch_first else 1)
        if module.batch_first:
            x = x.transpose(0, 1)
        suffixes = _suffixes(module)
        if state is None:
            none = x.new_zeros(len(suffixes), x.shape[1], module.hidden_size)
            states = [none] * (2 if module.mode == "LSTM" else 1)
        else:
            states = [state] if isinstance(state, torch.Tensor) else list(state)
            states = [s.unsqueeze(1) if s.dim() == 2 else s for s in states]
        outputs: list[torch.Tensor] = []
        for k, suffix in enumerate(suffixes):
            if len(outputs) == 1 + module.bidirectional:  # the next layer
                x, outputs = torch.cat(outputs, dim=-1), []
            weights = [getattr(module, key + suffix, None) for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            now = [s[k] for s in states]
            seen: list[list[torch.Tensor]] = [[] for _ in states]
            order = list(x.flip(0) if suffix.endswith("_reverse") else x)
            hidden = []
            for step in order:
                for row, s in zip(seen, now, strict=True):
                    row.append(s)
                after = _STEPS[module.mode](step, now if len(now) > 1 else now[0], *weights)
                now = list(after) if len(now) > 1 else [after]
                hidden.append(now[0])
            self.records.append(_step_record(self._layers[f"{name or type(module).__name__}{suffix}"], order, seen))
            stacked = torch.stack(hidden)
            outputs.append(stacked.flip(0) if suffix.endswith("_reverse") else stacked)


class _Watch(TorchDispatchMode):
    """Sees every operation of one forward pass, and tells inputs, weights and constants apart by their memory.

    running: name, module, whether it is recurrent (recorded as a whole) and whether it is recorded or free, of the
    modules that run, the innermost last.
    """

    def __init__(self, model: TorchModel, inputs: torch.Tensor) -> None:
        super().__init__()
        self.running: list[tuple[str, nn.Module, bool, bool]] = []
        self._model = model
        # The reference keeps the number of a memory from being given to another one.
        self._known: dict[int, tuple[StorageWeakRef, Origin, str]] = {}
        for name, tensor in [*model.net.named_parameters(), *model.net.named_buffers()]:
            self._mark(tensor, "stored", name)
        self._mark(inputs, "data", "")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [*_tensors(args), *_tensors(kwargs.values())]
        outputs = func(*args, **kwargs)
        name = torch_operations.base_name(func._schema.name)
        seen = [] if name in torch_operations.SHAPE_ALONE else [self._look(tensor) for tensor in given]
        origins = [origin for origin, _ in seen]
        source = next((path for origin, path in seen if origin == "stored"), "")
        if not any(recurrent for _, _, recurrent, _ in self.running):
            if name in torch_operations.PRODUCTS:
                self._product(name, args)
            else:
                self._other(name, func, outputs, origins)
        origin = torch_operations.combined(origins)
        for tensor in _tensors([outputs]):
            self._mark(tensor, origin, source)
        return outputs

    def _product(self, name: str, args: Sequence[Any]) -> None:
        where, module, wrapped = self._running()
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        # Only the two factors: a bias is a sum.
        factors = [self._look(t) for t in (tensors[:2] if name == "convolution" else tensors[-2:])]
        stored = [origin == "stored" for origin, _ in factors]
        rule = torch_operations.rule(name, [origin for origin, _ in factors], wrapped=wrapped)
        if rule == "free" and all(stored) and isinstance(module, _CONNECTIONS):
            rule, stored = "product", [False, True]  # the layer's input is a parameter, such as a learnt query
        if rule == "free":
            return
        if rule == "product" and any(tensor.is_complex() for tensor in tensors):
            rule = f"{name} is of complex numbers, which aren't counted; use real ones"
        if rule == "product" and name == "convolution" and not stored[1]:
            rule = "convolution has its kernel from the inputs, which isn't counted; leave the metrics out"
        if rule != "product":
            raise UserError(f"{_where(where, module)}: {rule}")
        path = factors[1][1] if stored[1] else factors[0][1]
        # Normalised and pruned weights are derived from parameters with longer names.
        own = path.removeprefix(f"{where}." if where else "")
        if isinstance(module, _CONNECTIONS) and own.removeprefix("parametrizations.").startswith("weight"):
            path = where or type(module).__name__
        try:
            self._model.record_product(path.removesuffix(".weight"), name, args, stored)
        except UserError as error:
            raise UserError(f"{_where(where, module)}: {error}") from error

    def _other(self, name: str, func: Any, outputs: Any, origins: list[Origin]) -> None:
        where, module, wrapped = self._running()
        rule = torch_operations.rule(name, origins, func.is_view, wrapped)
        if rule == "activation":
            self._model.record_activation(f"{where}.{name}".lstrip("."), next(_tensors([outputs])))
        elif rule != "free":
            raise UserError(f"{_where(where, module)}: {rule}")

    def _running(self) -> tuple[str, nn.Module, bool]:
        """Name and module that run, and whether it is in one that is recorded or free."""
        where, module = self.running[-1][:2] if self.running else ("", self._model.net)
        return where, module, any(kept for _, _, _, kept in self.running)

    def _look(self, tensor: torch.Tensor) -> tuple[Origin, str]:
        known = self._known.get(tensor.untyped_storage()._cdata)
        return ("foreign", "") if known is None else known[1:]

    def _mark(self, tensor: torch.Tensor, origin: Origin, name: str) -> None:
        storage = tensor.untyped_storage()
        known = self._known.get(storage._cdata)
        if known is not None:
            origin = torch_operations.combined((known[1], origin))
            name = known[2] or name
        self._known[storage._cdata] = (StorageWeakRef(storage), origin, name)


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


def _check_module(name: str, module: nn.Module) -> None:
    """Refuse what hides its weights, or holds weights that numpy can't show."""
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule) or kind.__name__ == "OptimizedModule":
        raise UserError(f"{_where(name, module)} is compiled, which hides its layers; give the network itself")
    if kind.__module__.startswith(_QUANTISED):
        raise UserError(
            f"{_where(name, module)} is quantised and hides its weights; give the network before the quantisation"
        )
    own: Iterable[tuple[str, torch.Tensor]] = [
        *module.named_parameters(recurse=False),
        *module.named_buffers(recurse=False),
    ]
    for key, tensor in own:
        field = f"{_where(name, module)}: {key}"
        if nn.parameter.is_lazy(tensor):
            raise UserError(f"{field} has no shape yet; run the network once with a batch")
        if tensor.device.type != "cpu":
            raise UserError(f"{field} is on {tensor.device}; give net.cpu()")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.dtype in _UNKNOWN:
            raise UserError(f"{field} is {tensor.layout} {tensor.dtype}, which can't be counted; give net.float()")
    base = next((b for b in (*_CELLS.values(), nn.RNN, nn.GRU, nn.LSTM) if isinstance(module, b)), None)
    if base is not None and kind.forward is not base.forward:
        raise UserError(f"{_where(name, module)} has a forward of its own, which can't be counted; use {base.__name__}")
    if isinstance(module, nn.RNNBase) and module.proj_size:
        raise UserError(f"{_where(name, module)} has proj_size = {module.proj_size}, which can't be counted; set it 0")


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """All tensors among the arguments or results of an operation, which may be in lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _where(name: str, module: nn.Module) -> str:
    return f"{name or 'the network'} ({type(module).__name__})"


def _suffixes(module: Any) -> list[str]:
    """Of the names of weights, by layer and direction, as in PyTorch's states."""
    directions = ("", "_reverse") if module.bidirectional else ("",)
    return [f"_l{k}{direction}" for k in range(module.num_layers) for direction in directions]


def _step_record(
    layer: ConnectionLayer, inputs: Sequence[torch.Tensor], states: Sequence[Sequence[torch.Tensor]]
) -> LayerRecord:
    return LayerRecord(layer, _numpy(torch.stack(list(inputs))), tuple(_numpy(torch.stack(list(s))) for s in states))


def _is_spiking(module: nn.Module) -> bool:
    """Whether it is one of snnTorch's neurons, by name, so that snnTorch need not be there."""
    return any(kind.__name__ == "SpikingNeuron" for kind in type(module).__mro__)


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().numpy()
    return array


def _copy(tensor: torch.Tensor) -> NDArray[Any]:
    """As it is now: a later layer may change it in place."""
    return _numpy(tensor).copy()
