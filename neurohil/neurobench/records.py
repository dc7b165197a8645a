"""What a model hands over to be measured: its layers, what it stores, and records of what its last batch did.

Plain arrays, so that a user of any framework can fill them. Weights have the axes of PyTorch: outputs first. A record
has an axis of calls first: the steps of a sequence, or a single one (`x[np.newaxis]`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError

Provenance = Literal["computed", "emulated", "modelled", "measured"]
CellKind = Literal["rnn", "gru", "lstm"]

_BLOCKS: dict[str, int] = {"rnn": 1, "gru": 3, "lstm": 4}  # matrices on top of each other in a cell's weights
_STATES: dict[str, int] = {"rnn": 1, "gru": 1, "lstm": 2}


_MOST_STEPS = 1 << 53  # counted exactly


@dataclass(frozen=True, eq=False)
class Linear:
    """A fully connected layer.

    name: unique in the model; weight (n_out, n_in); bias (n_out,) or None, never counted as operations.
    """

    name: str
    weight: NDArray[Any]
    bias: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise UserError(f"{self.name}.weight has shape {self.weight.shape}; expected (n_out, n_in)")
        _check_weights(f"{self.name}.weight", self.weight)
        _check_bias(self.name, self.bias, len(self.weight))

    def connections(self) -> list[NDArray[Any]]:
        """What ConnectionSparsity looks at."""
        return [self.weight]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All parameters by name."""
        return _present(weight=self.weight, bias=self.bias)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution in any number of dimensions, padded with zeros.

    weight (n_out, n_in / groups, *kernel); stride, padding and dilation: one for all dimensions, or one each.
    """

    name: str
    weight: NDArray[Any]
    bias: NDArray[Any] | None = None
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1

    def __post_init__(self) -> None:
        if self.weight.ndim < 3:
            raise UserError(
                f"{self.name}.weight has shape {self.weight.shape}; expected (n_out, n_in / groups, *kernel)"
            )
        _check_weights(f"{self.name}.weight", self.weight)
        if self.groups < 1 or len(self.weight) % self.groups:
            raise UserError(f"{self.name}.groups = {self.groups} must divide the {len(self.weight)} outputs")
        for field, lowest in (("stride", 1), ("padding", 0), ("dilation", 1)):
            values = self.per_dimension(field)
            if len(values) != self.weight.ndim - 2 or min(values) < lowest:
                raise UserError(
                    f"{self.name}.{field} = {getattr(self, field)!r}; expected {self.weight.ndim - 2} whole numbers "
                    f">= {lowest}, or one for all dimensions"
                )
        _check_bias(self.name, self.bias, len(self.weight))

    def per_dimension(self, field: str) -> tuple[int, ...]:
        """Stride, padding or dilation of each dimension of the kernel."""
        value = getattr(self, field)
        return (value,) * (self.weight.ndim - 2) if isinstance(value, int) else tuple(value)

    def connections(self) -> list[NDArray[Any]]:
        """What ConnectionSparsity looks at."""
        return [self.weight]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All parameters by name."""
        return _present(weight=self.weight, bias=self.bias)


@dataclass(frozen=True, eq=False)
class RecurrentCell:
    """One step of a recurrent network, with the equations, order of gates and shapes of PyTorch's cells.

    weight_ih (blocks hidden, n_in), weight_hh (blocks hidden, hidden), biases (blocks hidden,) or None; blocks is 1 for
    "rnn", 3 for "gru" (r, z, n), 4 for "lstm" (i, f, g, o).
    """

    name: str
    kind: CellKind
    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None = None
    bias_hh: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in _BLOCKS:
            raise UserError(f"{self.name}.kind = {self.kind!r}; choose one of {', '.join(_BLOCKS)}")
        if self.weight_hh.ndim != 2:
            raise UserError(f"{self.name}.weight_hh has shape {self.weight_hh.shape}; expected (rows, hidden)")
        _check_weights(f"{self.name}.weight_hh", self.weight_hh)
        _check_weights(f"{self.name}.weight_ih", self.weight_ih)
        rows, hidden = self.weight_hh.shape
        if rows != _BLOCKS[self.kind] * hidden:
            raise UserError(
                f"{self.name}.weight_hh has shape {self.weight_hh.shape}; a cell of kind {self.kind!r} has "
                f"{_BLOCKS[self.kind]} x hidden rows"
            )
        if self.weight_ih.ndim != 2 or len(self.weight_ih) != rows:
            raise UserError(f"{self.name}.weight_ih has shape {self.weight_ih.shape}; expected ({rows}, n_in)")
        _check_bias(self.name, self.bias_ih, rows)
        _check_bias(self.name, self.bias_hh, rows)

    @property
    def hidden(self) -> int:
        """Units."""
        return self.weight_hh.shape[1]

    @property
    def blocks(self) -> int:
        """Matrices on top of each other."""
        return _BLOCKS[self.kind]

    def connections(self) -> list[NDArray[Any]]:
        """What ConnectionSparsity looks at: of recurrent layers the biases too, as in the official harness."""
        return list(self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All parameters by name."""
        return _present(weight_ih=self.weight_ih, weight_hh=self.weight_hh, bias_ih=self.bias_ih, bias_hh=self.bias_hh)


ConnectionLayer = Linear | Convolution | RecurrentCell


@dataclass(frozen=True, eq=False)
class Stored:
    """One array that the deployed model keeps.

    values: its dtype is what Footprint counts; the same array object listed twice (tied weights) counts once.
    trained: a parameter (weights, biases, delays), else a buffer (constants of neurons, states, hidden weights).
    bits: that an element really needs on the device, if they aren't those of the dtype. devices: analogue devices of an
    element, for example 2 of a pair of memristors, whose bits are then 2 log2(levels of a device).
    """

    name: str
    values: NDArray[Any]
    trained: bool = True
    bits: float | None = None
    devices: int = 0

    def __post_init__(self) -> None:
        if self.bits is not None and not 0 <= self.bits < math.inf:
            raise UserError(f"{self.name}.bits = {self.bits} must be finite and >= 0 bits an element, or None")
        if self.devices < 0:
            raise UserError(f"{self.name}.devices = {self.devices} must be >= 0 devices an element")


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """All calls of a connection layer with a batch.

    inputs: (calls, batch, ..., n_in) of Linear, (calls, batch, n_in, *space) of Convolution, (calls, batch, n_in) of
    RecurrentCell. states, of RecurrentCell alone: hidden state, and cell state of "lstm", before each call, each
    (calls, batch, hidden); none means zeros, as in PyTorch.
    """

    layer: ConnectionLayer
    inputs: NDArray[Any]
    states: tuple[NDArray[Any], ...] = ()

    def __post_init__(self) -> None:
        name, shape, layer = self.layer.name, self.inputs.shape, self.layer
        if isinstance(layer, Linear):
            n_in, fits = layer.weight.shape[1], len(shape) >= 3 and shape[-1] == layer.weight.shape[1]
            expected = f"(calls, batch, ..., {n_in})"
        elif isinstance(layer, Convolution):
            n_in = layer.weight.shape[1] * layer.groups
            fits = len(shape) == layer.weight.ndim + 1 and shape[2] == n_in
            expected = f"(calls, batch, {n_in}, *space) with {layer.weight.ndim - 2} dimensions of space"
        else:
            n_in = layer.weight_ih.shape[1]
            fits = len(shape) == 3 and shape[2] == n_in
            expected = f"(calls, batch, {n_in})"
        if not fits:
            raise UserError(f"inputs of layer {name} have shape {shape}; expected {expected}")
        if self.states:
            self._check_states()

    def _check_states(self) -> None:
        layer = self.layer
        if not isinstance(layer, RecurrentCell):
            raise UserError(f"layer {layer.name} is no RecurrentCell and has no states; leave them out")
        expected = (*self.inputs.shape[:2], layer.hidden)
        shapes = [state.shape for state in self.states]
        if shapes != [expected] * _STATES[layer.kind]:
            raise UserError(
                f"states of layer {layer.name} have shapes {shapes}; expected {_STATES[layer.kind]} of {expected}, "
                "(calls, batch, hidden), before each call"
            )


@dataclass(frozen=True, eq=False)
class ActivationRecord:
    """All outputs of an activation function with a batch, of any shape; name: the key of ActivationSparsityByLayer."""

    name: str
    outputs: NDArray[Any]

    @cached_property
    def active(self) -> int:
        """Outputs that aren't zero."""
        return count_active(self.outputs)


@dataclass(frozen=True, eq=False)
class NeuronRecord:
    """All steps of a population of spiking neurons with a batch; an activation with membranes.

    outputs, before, after (steps, batch, ...): spikes, and membranes before and after each step. model and reset: the
    entry in the table of NeuronOperations, such as "Leaky" and "subtract". One record for each population and batch.
    """

    name: str
    outputs: NDArray[Any]
    before: NDArray[Any]
    after: NDArray[Any]
    model: str
    reset: str

    @cached_property
    def active(self) -> int:
        """Outputs that aren't zero."""
        return count_active(self.outputs)

    def __post_init__(self) -> None:
        shapes = (self.outputs.shape, self.before.shape, self.after.shape)
        if len(set(shapes)) != 1 or len(shapes[0]) < 3 or not shapes[0][0]:
            raise UserError(
                f"outputs, before and after of {self.name} have shapes {shapes}; expected (steps, batch, ...) of all, "
                "at least one step"
            )


@dataclass(frozen=True, eq=False)
class EventRecord:
    """A layer of neurons in continuous time with a batch of samples, by its events.

    layer: the synapses. arrivals (batch, n_in): how many events of each source reached them. spikes (batch, n_out): how
    many spikes the neurons fired. duration: of a sample. dt: declared length of a step, in the same unit, for metrics
    that count steps; None: they are not defined. At most one spike of a neuron in a step.
    """

    layer: Linear
    arrivals: NDArray[np.integer]
    spikes: NDArray[np.integer]
    duration: float
    dt: float | None = None

    def __post_init__(self) -> None:
        name = self.layer.name
        n_out, n_in = self.layer.weight.shape
        for field, counts, n in (("arrivals", self.arrivals, n_in), ("spikes", self.spikes, n_out)):
            if counts.ndim != 2 or counts.shape[1] != n or counts.dtype.kind not in "iub":
                raise UserError(
                    f"{field} of layer {name} are {counts.dtype} {counts.shape}; expected whole numbers (batch, {n}), "
                    "events of each sample"
                )
            if counts.size and counts.min() < 0:
                raise UserError(f"{field} of layer {name} must be counts >= 0, got {counts.min()}")
        if len(self.arrivals) != len(self.spikes):
            raise UserError(
                f"arrivals and spikes of layer {name} are of {len(self.arrivals)} and {len(self.spikes)} samples"
            )
        if not 0 < self.duration < math.inf:
            raise UserError(f"duration of layer {name} = {self.duration} must be finite and above 0")
        if self.dt is not None and not 0 < self.dt <= self.duration:
            raise UserError(
                f"dt of layer {name} = {self.dt} must be above 0 and at most the duration {self.duration}; "
                "None if there are no steps"
            )
        if self.dt is not None and not self.duration / self.dt < _MOST_STEPS:
            raise UserError(
                f"dt of layer {name} = {self.dt} makes {self.duration / self.dt:.3g} steps in a sample of "
                f"{self.duration}, more than {_MOST_STEPS:.3g}; lengthen it"
            )
        most = self.spikes.max(initial=0)
        if self.dt is not None and most > self.steps:
            raise UserError(
                f"dt of layer {name} = {self.dt} makes {self.steps} steps, but a neuron fired {most} times; shorten it"
            )

    @property
    def steps(self) -> int:
        """Steps of the declared dt in a sample."""
        if self.dt is None:
            raise UserError(f"layer {self.layer.name} has events but no steps; declare a dt, or leave the metric out")
        return math.ceil(self.duration / self.dt * (1 - 1e-12))

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses of each source, (n_in,)."""
        return np.count_nonzero(self.layer.weight, axis=0)


Record = LayerRecord | ActivationRecord | NeuronRecord | EventRecord


class ModelInfo(NamedTuple):
    """What a result says about its model.

    provenance: "computed" in plain arithmetic, "emulated" device, "modelled" costs, or "measured" on a real device. dt:
    length of a step in dt_unit, None without steps.
    """

    provenance: Provenance = "computed"
    dt: float | None = None
    dt_unit: str = "1"

    def checked(self) -> ModelInfo:
        """Itself, or an error."""
        if self.provenance not in get_args(Provenance):
            raise UserError(f"provenance = {self.provenance!r}; choose one of {', '.join(get_args(Provenance))}")
        return self


class Model(Protocol):
    """Anything that `Benchmark` can run. A metric asks for what it needs: accuracy alone needs `__call__` alone."""

    @property
    def layers(self) -> Sequence[ConnectionLayer]:
        """Connection layers."""
        ...

    @property
    def stored(self) -> Sequence[Stored]:
        """All arrays that the deployed model keeps."""
        ...

    @property
    def records(self) -> Sequence[Record]:
        """What the last call did."""
        ...

    @property
    def info(self) -> ModelInfo:
        """For the metadata of a result."""
        ...

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Predictions for a batch, samples along axis 0."""
        ...


def parameters_of(layers: Iterable[ConnectionLayer]) -> list[Stored]:
    """All weights and biases of layers, as trained parameters in their own dtypes."""
    return [Stored(f"{layer.name}.{name}", values) for layer in layers for name, values in layer.arrays().items()]


def count_active(outputs: NDArray[Any]) -> int:
    """How many aren't zero; counting booleans is much faster than counting numbers."""
    return int(np.count_nonzero(outputs != 0))


def _present(**arrays: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    return {name: values for name, values in arrays.items() if values is not None}


def _check_weights(name: str, weight: NDArray[Any]) -> None:
    if weight.dtype.kind not in "biuf" or not weight.size:
        raise UserError(f"{name} is {weight.dtype} {weight.shape}; expected real numbers, at least one")


def _check_bias(name: str, bias: NDArray[Any] | None, n: int) -> None:
    if bias is not None and bias.shape != (n,):
        raise UserError(f"bias of layer {name} has shape {bias.shape}; expected ({n},) or None")
