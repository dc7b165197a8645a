"""First spikes and their gradients for batches and layers: checks, and the way to the jitted code.

The equations and the units (times in tau_s, weights in model units, inf for "no spike") are those of
`neurohil.first_spike.spike_time`, the readable reference; the jitted code is `forward` and `backward`.

Large batches of large layers are computed in parts, on several threads if there are. Others on one: batches are so
small (tens of microseconds) that waking a second one costs more than it saves, and on a busy machine a hundred times
more.
"""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Integral, Real

import numpy as np

from neurohil.arrays import booleans, floats
from neurohil.errors import UserError
from neurohil.first_spike.backward import backward
from neurohil.first_spike.forward import (
    BAD_DELAYS,
    BAD_ERRORS,
    BAD_SPIKES,
    BAD_WEIGHTS,
    MAX_SPAN,
    forward,
    silent_counts,
)
from neurohil.text import exact
from neurohil.threads import side_by_side

_LARGEST = float(np.finfo(np.float64).max)
_BAD_DELAY = "delgrad: a delay is not finite; lower the learning rate or check the initial delays"
_PARTS = 4  # of a batch that is computed in parts
_LEAST_WORK = 4_000_000  # synapses times samples, some ten milliseconds: less isn't worth a thread


def spike_times(
    arrivals: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    tau_ratio: int,
    delays: np.ndarray | None = None,
) -> np.ndarray:
    """First spike times of a layer (`neurohil.first_spike.spike_time.first_spike` for each sample and neuron).

    Parameters
    ----------
    arrivals : ndarray, shape (B, P), float64, tau_s
        Spike times of the inputs; inf: no spike.
    weights : ndarray, shape (P, N), float64, model units
    threshold : float, > 0, model units
        theta - E_l.
    tau_ratio : {1, 2}
        tau_m / tau_s.
    delays : ndarray, float64, tau_s, optional
        The shape says of which kind: (P, 1) axonal, (1, N) dendritic, (P, N) synaptic; None: no delays.

    Returns
    -------
    ndarray, shape (B, N), float64, tau_s
        inf where the neuron stays silent.

    Raises
    ------
    UserError
        For shapes that don't fit, values that aren't finite (arrivals: NaN or -inf), a threshold or tau_ratio out
        of range, or arrivals of one sample that are more than 200 tau_s apart.
    """
    arrivals, weights, threshold = _checked(arrivals, weights, threshold, tau_ratio)
    arrivals, kernel_delays = _apply_delays(arrivals, weights, delays)
    spikes = np.empty((arrivals.shape[0], weights.shape[1]))

    def fill(part: slice) -> int:
        return forward(arrivals[part], weights, kernel_delays, threshold, int(tau_ratio), spikes[part])

    parts = _parts(len(arrivals), weights.size)
    _raise_if_bad(parts, side_by_side(fill, parts), arrivals)
    return spikes


def gradients(
    arrivals: np.ndarray,
    weights: np.ndarray,
    spikes: np.ndarray,
    errors: np.ndarray,
    threshold: float,
    tau_ratio: int,
    max_dw: float,
    delays: np.ndarray | None = None,
    *,
    timed: bool = True,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Gradients of a loss from dL/dT of a layer (`spike_time.measured_gradients`, summed over the batch).

    Parameters
    ----------
    arrivals, weights, threshold, tau_ratio, delays
        As in `spike_times`.
    spikes : ndarray, shape (B, N), float64, tau_s
        Observed spike times T of the layer: the model's own, or measured; inf: silent.
    errors : ndarray, shape (B, N), float64
        dL/dT. Ignored where the neuron is silent.
    max_dw : float, > 0
        Gradient cut: if max_i |dL/dT dT/dw_i| of a sample and neuron exceeds it, that pair adds nothing to the
        weight gradients. Gradients of times and delays are not cut. inf: no cut.
    timed : bool
        False: gradients of the weights alone, None for all others.

    Returns
    -------
    grad_weights : ndarray, shape (P, N)
    grad_arrivals : ndarray, shape (B, P), or None
        dL/dt of the undelayed arrivals: the errors of the layer below.
    grad_delays : ndarray, shape of `delays`, or None

    Raises
    ------
    UserError
        As `spike_times`; also if max_dw is not positive.
    """
    arrivals, weights, threshold = _checked(arrivals, weights, threshold, tau_ratio)
    arrivals, kernel_delays = _apply_delays(arrivals, weights, delays)
    expected = (arrivals.shape[0], weights.shape[1])
    spikes, errors = _array("spikes", spikes), _array("errors", errors)
    for name, array in (("spikes", spikes), ("errors", errors)):
        if array.shape != expected:
            raise UserError(f"delgrad: {name} have shape {array.shape}; expected {expected}, samples by neurons")
    max_dw = _number(max_dw)
    if not max_dw > 0.0:
        raise UserError(f"delgrad: max_dw = {max_dw} must be above 0; inf switches the cut off")
    parts = _parts(len(arrivals), weights.size)
    by_weights, by_delays = np.zeros((len(parts), *weights.shape)), np.zeros((len(parts), *kernel_delays.shape))
    by_arrivals = np.empty(arrivals.shape if timed else (0, 0))

    def add(k: int) -> int:
        part = parts[k]
        return backward(
            arrivals[part], weights, kernel_delays, spikes[part], errors[part], threshold, int(tau_ratio), max_dw,
            timed, by_weights[k], by_arrivals[part], by_delays[k],
        )  # fmt: skip

    found = side_by_side(add, range(len(parts)))
    if BAD_SPIKES in found:
        remedy = "give the time of each spike, inf for none"
        floats("delgrad: spikes", spikes, None, -_LARGEST, unit="tau_s", remedy=remedy, finite=False)
    if BAD_ERRORS in found:  # where a neuron is silent anything may stand
        floats("delgrad: errors", np.where(np.isfinite(spikes), errors, 0.0), remedy="lower the learning rate")
    _raise_if_bad(parts, found, arrivals)
    grad_weights, grad_delays = _merged(by_weights), _merged(by_delays)
    if not timed:
        return grad_weights, None, None
    if delays is None:
        return grad_weights, by_arrivals, None
    if grad_delays.shape != np.shape(delays):  # axonal: one delay for all that the input goes to
        grad_delays = by_arrivals.sum(axis=0)[:, np.newaxis]
    return grad_weights, by_arrivals, grad_delays


def count_silent(spikes: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """In how many samples each neuron was silent, (N,) int64.

    Parameters
    ----------
    spikes : ndarray, shape (B, N), float64, tau_s
        inf: silent.
    heard : ndarray, shape (B,), bool
        The samples that count.

    Raises
    ------
    UserError
        For other types or shapes.
    """
    spikes = _array("spikes", spikes)
    if spikes.ndim != 2:
        raise UserError(f"delgrad: spikes have shape {spikes.shape}; expected (samples, neurons)")
    return silent_counts(spikes, booleans("delgrad: heard", heard, (len(spikes),)).copy())


def _parts(batch: int, synapses: int) -> list[slice]:
    """How a batch is divided, whatever the number of threads."""
    count = _PARTS if batch >= _PARTS and batch * synapses >= _LEAST_WORK else 1
    edges = [k * batch // count for k in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _merged(sums: np.ndarray) -> np.ndarray:
    """The sum over all parts, (parts, ...), in their order."""
    total = sums[0]
    for more in sums[1:]:
        total += more
    return total


def _array(name: str, values: np.ndarray) -> np.ndarray:
    """The values as the kernels want them; infinite and NaN are looked for later."""
    if type(values) is not np.ndarray or values.dtype != np.float64 or not values.flags.c_contiguous:
        values = floats(f"delgrad: {name}", values, finite=False)
    # numba would compile once more for a read-only array
    return values if values.flags.writeable else values.copy()


def _checked(
    arrivals: np.ndarray, weights: np.ndarray, threshold: float, tau_ratio: int
) -> tuple[np.ndarray, np.ndarray, float]:
    arrivals, weights = _array("arrivals", arrivals), _array("weights", weights)
    if arrivals.ndim != 2 or weights.ndim != 2 or arrivals.shape[1] != weights.shape[0]:
        raise UserError(
            f"delgrad: arrivals {arrivals.shape} and weights {weights.shape} don't fit; "
            "expected (samples, inputs) and (inputs, neurons)"
        )
    if weights.size == 0:
        raise UserError(f"delgrad: weights have shape {weights.shape}; a layer needs an input and a neuron")
    threshold = _number(threshold)
    if not 0.0 < threshold <= _LARGEST:
        raise UserError(f"delgrad: threshold = {threshold} must be above 0 and finite")
    if not isinstance(tau_ratio, Integral) or tau_ratio not in (1, 2):
        raise UserError(f"delgrad: tau_ratio = {tau_ratio} must be 1 or 2: only then there is a closed form")
    return arrivals, weights, threshold


def _number(value: float) -> float:
    """A float of Python; what isn't a number is NaN."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.inf


def _apply_delays(
    arrivals: np.ndarray, weights: np.ndarray, delays: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals and delays as the kernels take them: axonal delays are added to the arrivals, (B, P)."""
    inputs, neurons = weights.shape
    if delays is None:
        return arrivals, np.zeros((1, neurons))
    delays = _array("delays", delays)
    if delays.shape not in ((inputs, 1), (1, neurons), (inputs, neurons)):
        raise UserError(
            f"delgrad: delays have shape {delays.shape}; expected {(inputs, 1)} (axonal), "
            f"{(1, neurons)} (dendritic) or {(inputs, neurons)} (synaptic)"
        )
    if delays.shape in ((1, neurons), (inputs, neurons)):
        return arrivals, delays
    if not np.isfinite(delays).all():
        raise UserError(_BAD_DELAY)
    return arrivals + delays[:, 0], np.zeros((1, neurons))


def _raise_if_bad(parts: list[slice], bad: list[int], arrivals: np.ndarray) -> None:
    """Tell what the kernels found wrong in each part; of samples with bad arrivals the last."""
    if BAD_WEIGHTS in bad:
        raise UserError("delgrad: a weight is not finite; lower the learning rate or check the initial weights")
    if BAD_DELAYS in bad:
        raise UserError(_BAD_DELAY)
    if max(bad) < 0:
        return
    sample = max(part.start + index for part, index in zip(parts, bad, strict=True) if index >= 0)
    times = arrivals[sample]
    finite = times[np.isfinite(times)]
    span = np.ptp(finite) if finite.size else 0.0
    raise UserError(
        f"delgrad: arrivals[{sample}] hold NaN or -inf, or times that are too far apart (span {exact(span)} tau_s, "
        f"with delays at most {MAX_SPAN:g} tau_s); use inf for no spike and check the unit tau_s"
    )
