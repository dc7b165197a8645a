"""Adam with metaplasticity: updates that would undo what a weight has learnt are damped.

The readable reference of `neurohil.metaplasticity.kernels`. Rule and optimiser of the binary network are those of
Laborieux et al. (Nat. Commun. 12, 2549, 2021; authors' code): the step of a hidden weight W is multiplied by

    1 - tanh^2(strength * distance)

if it goes towards the threshold that the distance is measured from; other steps are left as they are. D'Agostino et
al. (AICAS 2023) define such a function over the intervals between levels, but its formula is not public. What
`distance` offers are reconstructions that the public record can neither confirm nor exclude:

inner_threshold
    From |W| down to the nearest threshold towards zero (in the middle level of an odd number: to zero), in steps.
    Strength 2 by default; the unit was chosen knowing the published accuracy.
local_binary
    From W to the threshold of its own interval [Q_i, Q_i+1], in half steps: every interval is a binary synapse.
bnn
    From W to zero, in weight ranges: the binary rule, whatever the levels.
none
    No consolidation.

For two levels all three are the binary rule of strength m, if the strength is 2 m for inner_threshold and m for the
others (weight range 1).

All rules can know the device that holds their weight (`Device`), an idea of this project: what it reads takes the place
of what its level should be, and a device that has been written often is harder to change.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from neurohil.arrays import floats, integers
from neurohil.errors import UserError
from neurohil.metaplasticity.quantizer import Quantizer

Rule = Literal["inner_threshold", "local_binary", "bnn", "none"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
TINY = 1e-30  # moments below are zero: they change nothing, but arithmetic with subnormal numbers is slow


class Device(NamedTuple):
    """What the rules know of each weight's device.

    errors: shape of the weights, float32, in steps: as read back, minus the level; or (0,), not read back. wear: by
    which share of it the distance grows with each change of the level so far.
    """

    errors: np.ndarray = np.empty(0, dtype=np.float32)
    wear: float = 0.0


UNKNOWN = Device()


def adam_rate(learning_rate: float, steps: int) -> float:
    """Learning rate of step number `steps` (from 1) with the correction for moments that started at zero."""
    return learning_rate * math.sqrt(1.0 - BETA_2**steps) / (1.0 - BETA_1**steps)


def distance(rule: Rule, hidden: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """Signed distance of hidden weights from the threshold that the rule guards, same shape; float32 stays so."""
    hidden = floats("hidden weights", hidden, single=True)
    with np.errstate(over="ignore"):
        x = hidden * hidden.dtype.type(1.0 / quantizer.step)
    first, last = quantizer.first_threshold, quantizer.last_threshold
    if rule == "inner_threshold":
        threshold = np.clip(np.floor(np.abs(x) + first) - first, 0.0, last)
        return np.sign(x) * (np.abs(x) - threshold)
    if rule == "local_binary":
        threshold = np.clip(np.floor(x + (0.5 - first)) + first, -last, last)
        return 2.0 * (x - threshold)
    if rule == "bnn":
        return hidden * hidden.dtype.type(1.0 / quantizer.weight_range)
    return np.zeros_like(hidden)


def slope(rule: Rule, quantizer: Quantizer) -> float:
    """By how much `distance` grows with a step of the hidden weight."""
    slopes = {"inner_threshold": 1.0, "local_binary": 2.0, "bnn": quantizer.step / quantizer.weight_range, "none": 0.0}
    return slopes[rule]


def device_distance(rule: Rule, d: np.ndarray, events: np.ndarray, device: Device, quantizer: Quantizer) -> np.ndarray:
    """Distance as the device has it: moved by its error, never across the threshold, and grown by its wear."""
    d, events = floats("distances", d, single=True), integers("events", events, low=0)
    if device.errors.size:
        moved = d + d.dtype.type(slope(rule, quantizer)) * device.errors
        d = np.where(moved * d > 0, moved, d.dtype.type(0.0))
    return d * (1 + d.dtype.type(device.wear) * events.astype(d.dtype))


def damping(
    rule: Rule,
    strength: float,
    hidden: np.ndarray,
    mean: np.ndarray,
    events: np.ndarray,
    device: Device,
    quantizer: Quantizer,
) -> np.ndarray:
    """Factor 0..1 of each weight's step; mean is Adam's first moment, so that the step has the opposite sign."""
    d = device_distance(rule, distance(rule, hidden, quantizer), events, device, quantizer)
    mean = floats("mean", mean, d.shape, single=True)
    return np.where(d * np.sign(mean) > 0, 1.0 - np.tanh(strength * d) ** 2, d.dtype.type(1.0))


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
    """One step of metaplastic Adam, in place, and new levels where hidden weights have left theirs.

    With g = gradient + decay * hidden: mean = beta_1 * mean + (1 - beta_1) * g,
    square = beta_2 * square + (1 - beta_2) * g^2, hidden -= rate * mean / (sqrt(square) + epsilon) * damping.

    Parameters
    ----------
    hidden, mean, square, gradient : ndarray, same shape, float32
        Hidden weights, Adam's two moments, gradient of the loss by the quantised weights (straight-through).
    levels : ndarray, int8
        Signed levels, the only thing that a device knows.
    events : ndarray, int32
        Times that each level has changed.
    rule, strength
        See above; the strength is m* (m for the rule bnn).
    rate : float
        From `adam_rate`.
    decay : float
        L2 decay, added to the gradient before the moments.
    margin : float, steps
        A level changes when its hidden weight is farther away than this: 0.5 is the nearest level, more is
        hysteresis, inf keeps all levels.
    quantizer : Quantizer
    device : Device

    Returns
    -------
    int
        Levels that changed.

    Raises
    ------
    UserError
        An array has another shape or dtype, or the gradient or a hidden weight is no finite number.
    """
    for name, array in (("hidden weights", hidden), ("mean", mean), ("square", square), ("gradient", gradient)):
        if floats(name, array, hidden.shape, single=True).dtype != np.float32:
            raise UserError(f"{name} is of type {array.dtype}; expected float32")
    total = gradient + decay * hidden
    mean[...] = _flushed(BETA_1 * mean + (1.0 - BETA_1) * total)
    square[...] = _flushed(BETA_2 * square + (1.0 - BETA_2) * (total * total))
    factor = damping(rule, strength, hidden, mean, events, device, quantizer)
    hidden -= rate * mean / (np.sqrt(square) + EPSILON) * factor
    from_level = hidden * hidden.dtype.type(1.0 / quantizer.step) - levels / hidden.dtype.type(quantizer.stride)
    leaves = ~(np.abs(from_level) < margin)
    new = np.where(leaves, quantizer.to_levels(hidden), levels)
    changed = new != levels
    events += changed
    levels[...] = new
    return int(changed.sum())


def _flushed(moment: np.ndarray) -> np.ndarray:
    return np.where(np.abs(moment) < TINY, moment.dtype.type(0.0), moment)
