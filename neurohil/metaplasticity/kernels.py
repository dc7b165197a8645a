"""One fused pass over a layer's weights: moments, damping, step, new level, count; and batch normalisation, forward and
back. All jitted code of metaplasticity.

`update` checks its arrays and calls the kernel; equations and units are those of `consolidation`, the readable
reference. Hidden weights and moments are float32, the usual precision of training: twice as many fit into
a vector register and into the cache as in double precision.

Weights are taken in chunks that fit into the cache, in loops simple enough for vector registers; choices within a loop
are values, not branches. One thread: the pass takes a millisecond for 800 000 weights, and waiting for a second thread,
beside those of the matrix products, was seen to cost several times what it saves.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import NamedTuple

import numpy as np

from neurohil.arrays import floats
from neurohil.errors import UserError
from neurohil.jit import njit
from neurohil.metaplasticity.consolidation import BETA_1, BETA_2, EPSILON, TINY, UNKNOWN, Device, Rule, slope
from neurohil.metaplasticity.quantizer import Quantizer

_RULES: dict[Rule, int] = {"inner_threshold": 0, "local_binary": 1, "bnn": 2, "none": 3}
_INNER_THRESHOLD, _LOCAL_BINARY, _BNN = 0, 1, 2
_CHUNK = 4096
_NO_LEVEL = np.float32(-128.0)  # what a weight that is no number has, beyond all levels
_LARGEST_NUMBER = 1e30  # of a step, so that it is a float32

_ZERO, _HALF, _ONE, _FOUR = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(4.0)
_MINUS_2_LOG2_E = np.float32(-2.8853900817779268)
_LOWEST_EXPONENT = np.float32(-120.0)
# 2^f = 1 + f (C_1 + C_2 f + ...), 0 <= f < 1: least largest relative error 2e-9, fitted for this file.
_C_1, _C_2, _C_3 = np.float32(0.69314706), np.float32(0.24022931), np.float32(0.05548528)
_C_4, _C_5, _C_6 = np.float32(0.00967545), np.float32(0.0012467846), np.float32(0.00021612915)


class _Grid(NamedTuple):
    """A quantiser as float32; thresholds in steps."""

    inverse_step: np.float32
    inverse_range: np.float32
    first_threshold: np.float32
    last_threshold: np.float32
    stride: np.float32
    max_level: np.float32


class _Step(NamedTuple):
    """The numbers of a step as float32; margin in steps; error_slope and wear of the devices.

    The optimiser's constants are among them because numba would not notice an edit in the file that they come from.
    """

    strength: np.float32
    rate: np.float32
    decay: np.float32
    margin: np.float32
    error_slope: np.float32
    wear: np.float32
    beta_1: np.float32
    rest_1: np.float32
    beta_2: np.float32
    rest_2: np.float32
    epsilon: np.float32
    tiny: np.float32


def update(
    hidden: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    gradient: np.ndarray,
    levels: np.ndarray,
    events: np.ndarray,
    rule: Rule,
    strength: float,
    rate: float,
    decay: float,
    margin: float,
    quantizer: Quantizer,
    device: Device = UNKNOWN,
) -> int:
    """One step of metaplastic Adam, in place: `neurohil.metaplasticity.consolidation.update`, compiled.

    Parameters
    ----------
    hidden, mean, square, gradient : ndarray, same shape, C-contiguous float32
    levels : ndarray, same shape, C-contiguous int8
    events : ndarray, same shape, C-contiguous int32
    rule, strength, rate, decay, margin, quantizer, device
        As there.

    Returns
    -------
    int
        Levels that changed.

    Raises
    ------
    UserError
        An array has another shape or dtype, isn't C-contiguous or can't be written, or a number is out of range; all
        arrays are as they were. Or the gradient or a hidden weight is no finite number, which is seen at the end: then
        the arrays can't be used any more.
    """
    arrays = {"hidden": hidden, "mean": mean, "square": square, "gradient": gradient, "levels": levels}
    if device.errors.size:
        arrays["device.errors"] = device.errors
    for name, array in {**arrays, "events": events}.items():
        dtype = {"levels": np.int8, "events": np.int32}.get(name, np.float32)
        if not isinstance(array, np.ndarray):
            raise UserError(f"{name} is a {type(array).__name__}; expected an array, which is changed in place")
        if array.dtype != dtype or array.shape != hidden.shape or not array.flags.carray:
            state = "" if array.flags.carray else ", not C-contiguous or read-only"
            raise UserError(
                f"{name} is {array.dtype} {array.shape}{state}; expected C-contiguous {np.dtype(dtype)} {hidden.shape}"
            )
    if rule not in _RULES:
        raise UserError(f"rule = {rule!r} is unknown; choose {', '.join(_RULES)}")
    numbers = {"strength": strength, "rate": rate, "decay": decay, "device.wear": device.wear}
    for name, number in numbers.items():
        if not (isinstance(number, Real) and abs(number) <= _LARGEST_NUMBER):
            raise UserError(f"{name} = {number} is outside -{_LARGEST_NUMBER:g}..{_LARGEST_NUMBER:g}; give a number")
    if not (isinstance(margin, Real) and (0.0 <= margin <= _LARGEST_NUMBER or margin == math.inf)):
        raise UserError(f"margin = {margin} is outside 0..inf steps; 0.5 is the nearest level, inf keeps all levels")
    f = np.float32
    grid = _Grid(
        inverse_step=f(1.0 / quantizer.step),
        inverse_range=f(1.0 / quantizer.weight_range),
        first_threshold=f(quantizer.first_threshold),
        last_threshold=f(quantizer.last_threshold),
        stride=f(quantizer.stride),
        max_level=f(quantizer.max_level),
    )
    step = _Step(
        strength=f(strength),
        rate=f(rate),
        decay=f(decay),
        margin=f(margin),
        error_slope=f(slope(rule, quantizer)),
        wear=f(device.wear),
        beta_1=f(BETA_1),
        rest_1=f(1.0 - BETA_1),
        beta_2=f(BETA_2),
        rest_2=f(1.0 - BETA_2),
        epsilon=f(EPSILON),
        tiny=f(TINY),
    )
    h, m, s, g, k, e = (array.reshape(-1) for array in (hidden, mean, square, gradient, levels, events))
    changed = int(_update(h, m, s, g, k, e, device.errors.reshape(-1), _RULES[rule], grid, step))
    if k.size and k.min() == _NO_LEVEL:
        remedy = "lower the learning rate or look for a bad sample"
        floats("gradient", gradient, remedy=remedy, single=True)
        floats("hidden", hidden, remedy=remedy, single=True)
    return changed


@njit(cache=True, error_model="numpy")
def _update(hidden, mean, square, gradient, levels, events, errors, rule, grid, step):
    """Step of all weights, (n,) float32, levels int8, events int32, in place; returns how many levels changed.

    errors: of the devices, (n,) or (0,) float32, steps.
    """
    changed = 0
    for begin in range(0, hidden.size, _CHUNK):
        end = min(begin + _CHUNK, hidden.size)
        h = hidden[begin:end]
        e = events[begin:end]
        _adam(h, mean[begin:end], square[begin:end], gradient[begin:end], e, errors[begin:end], rule, grid, step)
        changed += _requantise(h, levels[begin:end], e, grid, step.margin)
    return changed


@njit(cache=True, error_model="numpy")
def _adam(hidden, mean, square, gradient, events, errors, rule, grid, step):
    """Moments and damped step, (n,) float32, in place.

    hidden -= rate mean / (sqrt(square) + epsilon) (1 - tanh^2(strength distance))
    """
    n = hidden.size
    for i in range(n):
        g = gradient[i] + step.decay * hidden[i]
        m = step.beta_1 * mean[i] + step.rest_1 * g
        s = step.beta_2 * square[i] + step.rest_2 * (g * g)
        mean[i] = _ZERO if abs(m) < step.tiny else m  # NaN stays
        square[i] = s if s >= step.tiny else _ZERO
    distance = np.zeros(n, np.float32)
    if rule == _INNER_THRESHOLD:
        for i in range(n):
            x = hidden[i] * grid.inverse_step
            threshold = np.floor(abs(x) + grid.first_threshold) - grid.first_threshold
            threshold = threshold if threshold > _ZERO else _ZERO
            threshold = threshold if threshold < grid.last_threshold else grid.last_threshold
            inside = abs(x) - threshold
            distance[i] = inside if x > _ZERO else -inside
    elif rule == _LOCAL_BINARY:
        for i in range(n):
            x = hidden[i] * grid.inverse_step
            threshold = np.floor(x + (_HALF - grid.first_threshold)) + grid.first_threshold
            threshold = threshold if threshold > -grid.last_threshold else -grid.last_threshold
            threshold = threshold if threshold < grid.last_threshold else grid.last_threshold
            distance[i] = (x - threshold) + (x - threshold)
    elif rule == _BNN:
        for i in range(n):
            distance[i] = hidden[i] * grid.inverse_range
    if errors.size > 0:
        for i in range(n):
            moved = distance[i] + step.error_slope * errors[i]
            distance[i] = moved if moved * distance[i] > _ZERO else _ZERO
    if step.wear > _ZERO:
        for i in range(n):
            distance[i] *= _ONE + step.wear * np.float32(events[i])
    for i in range(n):
        # Where distance or mean is zero the factor is 1 or the step 0, so comparing the signs suffices.
        towards = (distance[i] > _ZERO) == (mean[i] > _ZERO)
        factor = _sech_squared(step.strength * distance[i]) if towards else _ONE
        hidden[i] -= step.rate * mean[i] / (np.sqrt(square[i]) + step.epsilon) * factor


@njit(cache=True, error_model="numpy")
def _requantise(hidden, levels, events, grid, margin):
    """New int8 level of each hidden weight farther than margin (steps) from its level, of NaN _NO_LEVEL; returns how
    many changed."""
    total = np.int32(0)
    for i in range(hidden.size):
        x = hidden[i] * grid.inverse_step
        old = np.float32(levels[i])
        nearest = grid.stride * np.floor(x + grid.first_threshold) + (grid.stride - _ONE)
        nearest = grid.max_level if nearest > grid.max_level else nearest  # NaN stays
        nearest = -grid.max_level if nearest < -grid.max_level else nearest
        new = old if abs(x - old / grid.stride) < margin else nearest
        changed = np.int32(new != old)
        events[i] += changed
        total += changed
        levels[i] = np.int8(new if new > _NO_LEVEL else _NO_LEVEL)  # so for NaN
    return total


@njit(cache=True, error_model="numpy")
def _sech_squared(x):
    """1 - tanh^2(x) of a float32, as 4 e / (1 + e)^2 with e = exp(-2 |x|): no cancellation for large x."""
    exponent = _MINUS_2_LOG2_E * abs(x)
    exponent = exponent if exponent > _LOWEST_EXPONENT else _LOWEST_EXPONENT
    whole = np.floor(exponent)
    f = exponent - whole
    fraction = _ONE + f * (_C_1 + f * (_C_2 + f * (_C_3 + f * (_C_4 + f * (_C_5 + f * _C_6)))))
    # 2^whole, put together from its bits: math.exp would leave the vector registers.
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    e = fraction * power
    return _FOUR * e / ((_ONE + e) * (_ONE + e))


@njit(cache=True, error_model="numpy")
def normalise(products, gain, bias, floor):
    """Products (batch, n) with mean 0 and variance 1 over the batch, (n,) inverse standard deviation, and outputs
    (batch, n): normalised times gain plus bias, both (n,); floor is added to the variance. All float32."""
    batch, n = products.shape
    count = np.float32(batch)
    mean, variance = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for b in range(batch):
        for j in range(n):
            mean[j] += products[b, j]
    mean /= count
    normalised, outputs = np.empty((batch, n), np.float32), np.empty((batch, n), np.float32)
    for b in range(batch):
        for j in range(n):
            centred = products[b, j] - mean[j]
            normalised[b, j] = centred
            variance[j] += centred * centred
    inverse_sigma = _ONE / np.sqrt(variance / count + floor)
    for b in range(batch):
        for j in range(n):
            one = normalised[b, j] * inverse_sigma[j]
            normalised[b, j] = one
            outputs[b, j] = one * gain[j] + bias[j]
    return normalised, inverse_sigma, outputs


@njit(cache=True, error_model="numpy")
def through_normalisation(errors, normalised, inverse_sigma, gain):
    """Gradients by gain and bias (n,), and by the products (batch, n), from those by the outputs, `errors` (batch, n).

    normalised (batch, n) and inverse_sigma (n,) are those of `normalise`. All float32.
    """
    batch, n = errors.shape
    count = np.float32(batch)
    by_gain, by_bias = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for b in range(batch):
        for j in range(n):
            by_bias[j] += errors[b, j]
            by_gain[j] += errors[b, j] * normalised[b, j]
    mean_bias, mean_gain, scale = by_bias / count, by_gain / count, gain * inverse_sigma
    by_products = np.empty((batch, n), np.float32)
    for b in range(batch):
        for j in range(n):
            by_products[b, j] = (errors[b, j] - mean_bias[j] - normalised[b, j] * mean_gain[j]) * scale[j]
    return by_gain, by_bias, by_products
