"""Synaptic operations of the calls of one layer, in whole numbers.

A product of a weight and an input counts as effective if both are non-zero, and as dense in any case; biases don't
count. Of a recurrent cell the element-wise products of its gates and states count too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.neurobench.records import Convolution, EventRecord, LayerRecord, Linear, RecurrentCell

Counts = NDArray[np.int64]

_COUNTABLE = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int8))


class Operations(NamedTuple):
    """Sums over the samples of a batch. dense is None if it isn't defined: events without steps."""

    macs: int
    acs: int
    dense: int | None


def of_calls(record: LayerRecord) -> Operations:
    """Multiply-accumulates and accumulates of a layer.

    A call counts as accumulates if every input of the whole batch is -1, 0 or 1, else as multiply-accumulates.
    """
    layer = record.layer
    if isinstance(layer, Linear):
        effective, units, dense = _linear(layer.weight, record.inputs)
    else:
        effective, dense = _convolution(layer, record) if isinstance(layer, Convolution) else _cell(layer, record)
        units = _unit_inputs(record.inputs)
    counts = effective.tolist()
    acs = sum(count for count, is_unit in zip(counts, units.tolist(), strict=True) if is_unit)
    return Operations(sum(counts) - acs, acs, dense)


def of_events(record: EventRecord) -> Operations:
    """Accumulates of spikes in continuous time: one for each event and non-zero synapse of its source."""
    acs = int(record.arrivals.sum(axis=0, dtype=np.int64) @ record.fan_out())
    dense = None if record.dt is None else len(record.arrivals) * record.steps * record.layer.weight.size
    return Operations(0, acs, dense)


def _unit_inputs(inputs: NDArray[Any]) -> NDArray[np.bool_]:
    """Calls whose inputs are all -1, 0 or 1."""
    if inputs.dtype == np.bool_:
        return np.ones(len(inputs), dtype=np.bool_)
    rows = inputs.reshape(len(inputs), -1)
    few = _all_unit(rows[:, :64])  # analogue inputs show here already
    return _all_unit(rows) if few.any() else few


def _all_unit(rows: NDArray[Any]) -> NDArray[np.bool_]:
    units: NDArray[np.bool_] = np.logical_and.reduce(np.sign(rows) == rows, axis=1)
    return units


def _linear(weight: NDArray[Any], inputs: NDArray[Any]) -> tuple[Counts, NDArray[np.bool_], int]:
    """Effective operations of each call, whether its inputs are all -1, 0 or 1, and dense operations of all calls."""
    from neurohil.neurobench.kernels import linear_operations  # here, as the compiler takes long to load

    n_out, n_in = weight.shape
    calls = _countable(inputs).reshape(len(inputs), -1, n_in)
    effective, units = linear_operations(_countable(weight), calls)
    return effective, units, inputs.size * n_out


def _countable(values: NDArray[Any]) -> NDArray[Any]:
    """Of one of few types, so that few kernels are compiled: what is -1, 0 or 1 remains so, and all else is neither."""
    if values.dtype == np.bool_:
        values = values.view(np.int8)
    elif values.dtype not in _COUNTABLE:
        values = np.where(np.sign(values) == values, values, 2).astype(np.int8)
    return np.ascontiguousarray(values)


def _convolution(layer: Convolution, record: LayerRecord) -> tuple[Counts, int]:
    """As `_linear`, one offset of the kernel after the other; positions in the padding are zeros, for dense too."""
    inputs = record.inputs
    calls, batch, n_in, *space = inputs.shape
    kernel = layer.weight.shape[2:]
    stride, padding, dilation = (layer.per_dimension(field) for field in ("stride", "padding", "dilation"))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    positions = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip(space, padding, reach, stride, strict=True)]
    if min(positions) < 1:
        raise UserError(f"layer {layer.name}: a kernel that reaches over {tuple(reach)} is larger than {tuple(space)}")
    by_group = (layer.weight != 0).reshape(layer.groups, -1, *layer.weight.shape[1:])
    fan_out = by_group.sum(axis=1).reshape(n_in, *kernel)
    border = [(p, p) for p in padding]
    active = np.pad(inputs != 0, [(0, 0)] * 3 + border)
    inside = np.pad(np.ones(space, dtype=np.bool_), border)
    effective = np.zeros(calls, dtype=np.int64)
    seen = 0
    for offset in np.ndindex(*kernel):
        window: tuple[Any, ...] = tuple(
            slice(o * d, o * d + (n - 1) * s + 1, s)
            for o, d, n, s in zip(offset, dilation, positions, stride, strict=True)
        )
        taken = active[(..., *window)].reshape(calls, batch, n_in, -1)
        effective += np.count_nonzero(taken, axis=(1, 3)) @ fan_out[(slice(None), *offset)]
        seen += int(np.count_nonzero(inside[window]))
    weights_per_offset = layer.weight.shape[0] * layer.weight.shape[1]
    return effective, calls * batch * seen * weights_per_offset


def _cell(layer: RecurrentCell, record: LayerRecord) -> tuple[Counts, int]:
    """Matrix products, and the element-wise products of

        lstm    c' = f c + i g,  h' = o tanh(c')
        gru     n = tanh(... + r (W_hn h + b_hn)),  h' = (1 - z) n + z h

    which are effective if the factor that can be zero isn't: a sigmoid never is.
    """
    x = record.inputs
    calls, batch, _ = x.shape
    states = record.states or (np.zeros((calls, batch, layer.hidden), dtype=x.dtype),) * 2
    h = states[0]
    by_input, _, dense_input = _linear(layer.weight_ih, x)
    by_state, _, dense_state = _linear(layer.weight_hh, h)
    effective, dense = by_input + by_state, dense_input + dense_state
    if layer.kind == "rnn":
        return effective, dense
    from_input = _blocks(layer, x @ layer.weight_ih.T, layer.bias_ih)
    from_state = _blocks(layer, h @ layer.weight_hh.T, layer.bias_hh)
    factors: tuple[NDArray[Any], ...]
    if layer.kind == "lstm":
        i, f, g, _ = (a + b for a, b in zip(from_input, from_state, strict=True))
        c = states[1]
        new_c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        factors = (c, g, new_c)
    else:
        r = _sigmoid(from_input[0] + from_state[0])
        factors = (from_state[2], from_input[2] + r * from_state[2], h)
    effective = effective + sum(np.count_nonzero(factor, axis=(1, 2)) for factor in factors)
    return effective, dense + len(factors) * calls * batch * layer.hidden


def _blocks(layer: RecurrentCell, products: NDArray[Any], bias: NDArray[Any] | None) -> list[NDArray[Any]]:
    return np.split(products if bias is None else products + bias, layer.blocks, axis=-1)


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
