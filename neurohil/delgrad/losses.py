"""Losses on first-spike times and the classes that they imply: formulas, and the configs that choose them.

Times are in tau_s; inf means "no spike". Every loss is the mean over the batch; `Loss.gradient` already holds the
factor 1 / B. A silent neuron has no gradient: only changing its weights from outside can bring it back.

A loss too large for float64 is inf; gradients are finite always, at most the largest float64. NaN is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurohil import arrays
from neurohil.choices import Choice
from neurohil.delgrad import loss_kernels
from neurohil.delgrad.loss_kernels import SILENT_LOSS
from neurohil.errors import UserError
from neurohil.protocols import Floats
from neurohil.ranges import Duration, NotNegative, Scale, Time

_LARGEST = float(np.finfo(np.float64).max)


class Loss(NamedTuple):
    """Loss of a batch.

    Attributes
    ----------
    values : ndarray, shape (B,), float64
        Loss of each sample.
    gradient : ndarray, shape (B, N), float64
        d(mean of values) / d(spike times).
    """

    values: NDArray[np.float64]
    gradient: NDArray[np.float64]


@runtime_checkable
class LossFunction(Protocol):
    """What training makes smaller, and how a decision is read from the output times (n, n_out); inf: no spike."""

    def __call__(self, times: Floats, labels: NDArray[np.int64]) -> Loss:
        """Loss of each sample and its gradient by the times."""
        ...

    def decide(self, times: Floats) -> NDArray[np.int64]:
        """Class of each sample (n,), -1 for none."""
        ...


class ShiftInvariantMse(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="shift_invariant_mse", tag_field="kind"
):
    """Wrong outputs shall spike `margin` tau_s after the right one."""

    margin: Duration

    def __call__(self, times: Floats, labels: NDArray[np.int64]) -> Loss:
        return _compiled(loss_kernels.shift_invariant_mse, shift_invariant_mse, times, labels, self.margin)

    def decide(self, times: Floats) -> NDArray[np.int64]:
        return _compiled_class(times)


class CrossEntropy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cross_entropy", tag_field="kind"):
    """Time-to-first-spike cross entropy with a pull to early spikes."""

    xi: Scale = 0.2
    alpha: NotNegative = 0.005
    beta: Annotated[float, msgspec.Meta(ge=0.3, le=1e6, extra={"unit": "tau_s"})] = 1.0  # exp(200 / beta) is finite

    def __call__(self, times: Floats, labels: NDArray[np.int64]) -> Loss:
        kernel, readable = loss_kernels.time_to_first_spike_cross_entropy, time_to_first_spike_cross_entropy
        return _compiled(kernel, readable, times, labels, self.xi, self.alpha, self.beta)

    def decide(self, times: Floats) -> NDArray[np.int64]:
        return _compiled_class(times)


class MeanSquaredError(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mse", tag_field="kind"):
    """Absolute target times of the right and the wrong outputs, in tau_s."""

    t_correct: Time
    t_wrong: Time

    def __call__(self, times: Floats, labels: NDArray[np.int64]) -> Loss:
        return _compiled(
            loss_kernels.mean_squared_error, mean_squared_error, times, labels, self.t_correct, self.t_wrong
        )

    def decide(self, times: Floats) -> NDArray[np.int64]:
        return nearest_class(times, self.t_correct)


AnyLoss = Annotated[LossFunction, Choice(LossFunction, lambda: (ShiftInvariantMse, CrossEntropy, MeanSquaredError))]


def shift_invariant_mse(times: ArrayLike, labels: ArrayLike, margin: float) -> Loss:
    """Ask every wrong output to spike `margin` after the right one (DelGrad, authors' code).

        L = 1/2 sum_{n != *} (t_n - t_* - margin)^2          (*: the label's neuron)

    A sample in which an output is silent has the constant loss 100 and no gradient.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    margin : float, finite, tau_s

    Raises
    ------
    UserError
        A time is NaN or -inf, a label no class, a shape or another value as it can't be.
    """
    times, labels, rows = _checked(times, labels)
    _check_number("margin", margin, -_LARGEST)
    complete: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(times), axis=1)
    used = np.where(complete[:, np.newaxis], times, 0.0)
    with np.errstate(over="ignore"):
        difference = used - used[rows, labels][:, np.newaxis] - margin
        largest = _LARGEST / times.shape[1]  # so that their sum is finite
        np.clip(difference, -largest, largest, out=difference)
        difference[rows, labels] = 0.0
        values = 0.5 * (difference * difference).sum(axis=1)
    difference[rows, labels] = -difference.sum(axis=1)
    values[~complete] = SILENT_LOSS
    difference[~complete] = 0.0
    difference /= len(times)
    return Loss(values, difference)


def time_to_first_spike_cross_entropy(
    times: ArrayLike, labels: ArrayLike, xi: float, alpha: float, beta: float
) -> Loss:
    """Cross entropy of the softmax of -t / xi, plus a reward for early answers (Göltz et al. 2021).

        L = ln sum_n exp(-(t_n - t_*) / xi) + alpha exp(t_* / beta)          (*: the label's neuron)

    A silent wrong output adds nothing: it is as late as can be. A sample whose right output is silent has the constant
    loss 100 and no gradient.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    xi, beta : float, 1e-100 ... 1e100, tau_s
        Softness of the decision; time scale of the reward.
    alpha : float, >= 0
        Weight of the reward; 0: none.

    Raises
    ------
    UserError
        As `shift_invariant_mse`.
    """
    times, labels, rows = _checked(times, labels)
    _check_number("xi", xi, 1e-100, 1e100)
    _check_number("beta", beta, 1e-100, 1e100)
    _check_number("alpha", alpha, 0.0, unit="")
    label_times = times[rows, labels]
    spiked = np.isfinite(label_times)
    label_times = np.where(spiked, label_times, 0.0)
    first = np.minimum(times.min(axis=1), label_times)
    with np.errstate(over="ignore", under="ignore"):
        odds = np.exp((first[:, np.newaxis] - times) / xi)  # at most 1
        total = odds.sum(axis=1)
        values = np.log(total, where=spiked, out=np.full(len(times), SILENT_LOSS))
        gradient = -odds / (xi * np.where(spiked, total, 1.0))[:, np.newaxis]
        lateness = alpha * np.exp(label_times / beta) if alpha else np.zeros(len(times))
        values += np.where(spiked, (label_times - first) / xi + lateness, 0.0)
        gradient[rows, labels] += 1.0 / xi + np.minimum(lateness / beta, _LARGEST)
    gradient[~spiked] = 0.0
    gradient /= len(times)
    return Loss(values, gradient)


def mean_squared_error(times: ArrayLike, labels: ArrayLike, t_correct: float, t_wrong: float) -> Loss:
    """Pull every output to a target time.

        L = 1/2 sum_n (t_n - target_n)^2,   target: t_correct for the label's neuron, t_wrong for the others

    The outputs are independent here: a silent one adds the constant 100 and has no gradient, the others keep theirs.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    t_correct, t_wrong : float, finite, tau_s

    Raises
    ------
    UserError
        As `shift_invariant_mse`.
    """
    times, labels, rows = _checked(times, labels)
    _check_number("t_correct", t_correct, -_LARGEST)
    _check_number("t_wrong", t_wrong, -_LARGEST)
    target = np.full(times.shape, float(t_wrong))
    target[rows, labels] = t_correct
    spiked = np.isfinite(times)
    with np.errstate(over="ignore"):
        difference = np.clip(np.where(spiked, times, target) - target, -_LARGEST, _LARGEST)
        values = 0.5 * (difference * difference).sum(axis=1) + SILENT_LOSS * (~spiked).sum(axis=1)
    difference /= len(times)
    return Loss(values, difference)


def first_spike_class(times: ArrayLike) -> NDArray[np.int64]:
    """Class of the output that spikes first, (B,) int64; -1 if none spikes, the lowest class in a tie.

    Parameters
    ----------
    times : ndarray, shape (B, N), N >= 1, float64, tau_s

    Raises
    ------
    UserError
        A time is NaN or -inf, or the shape another one.
    """
    times = _times(times)
    return np.where(np.isfinite(times).any(axis=1), times.argmin(axis=1), -1)


def nearest_class(times: ArrayLike, t_correct: float) -> NDArray[np.int64]:
    """Class of the output that spikes nearest to `t_correct` (tau_s), (B,) int64; -1 if none spikes.

    Parameters
    ----------
    times : ndarray, shape (B, N), N >= 1, float64, tau_s

    Raises
    ------
    UserError
        As `first_spike_class`.
    """
    times = _times(times)
    _check_number("t_correct", t_correct, -_LARGEST)
    with np.errstate(over="ignore"):
        distance = np.abs(times - t_correct)
    return first_spike_class(np.where(np.isfinite(times), np.minimum(distance, _LARGEST), np.inf))


def _compiled(
    kernel: Callable[..., bool], readable: Callable[..., Loss], times: Floats, labels: NDArray[np.int64], *values: float
) -> Loss:
    """The loss by its kernel, as in each step of a training; by the readable function, which takes or refuses it, where
    something isn't as it should be or of another type."""
    if _is_usual(times, np.float64, 2) and _is_usual(labels, np.int64, 1) and len(times) == len(labels):
        result = Loss(np.empty(len(times)), np.empty(times.shape))
        with np.errstate(all="ignore"):  # where kernels aren't compiled
            if kernel(times, labels, *map(float, values), *result):
                return result
    return readable(times, labels, *values)


def _compiled_class(times: Floats) -> NDArray[np.int64]:
    """As `_compiled`, the class of the output that spikes first."""
    if _is_usual(times, np.float64, 2):
        classes = np.empty(len(times), dtype=np.int64)
        if loss_kernels.first_spike_class(times, classes):
            return classes
    return first_spike_class(times)


def _is_usual(array: NDArray, dtype: type, dimensions: int) -> bool:
    """Whether a kernel may index it; numba would compile once more for a read-only array."""
    fits = type(array) is np.ndarray and array.ndim == dimensions and array.dtype == dtype and array.size > 0
    return fits and array.flags.c_contiguous and array.flags.writeable


def _checked(times: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Check the arguments that all losses share; return them and the row indices 0 ... B - 1."""
    times = _times(times)
    if not len(times):
        raise UserError(f"loss: times have shape {times.shape}; give at least one sample")
    remedy = "give one class per sample, one output neuron per class"
    labels = arrays.integers("loss: labels", labels, (len(times),), 0, times.shape[1] - 1, remedy=remedy)
    return times, labels, np.arange(len(times))


def _times(times: ArrayLike) -> NDArray[np.float64]:
    remedy = "give spike times, inf for no spike"
    times = arrays.floats("loss: times", times, (None, None), -_LARGEST, unit="tau_s", remedy=remedy, finite=False)
    if not times.shape[1]:
        raise UserError(f"loss: times have shape {times.shape}; give at least one output neuron")
    return times


def _check_number(name: str, value: float, low: float, high: float = _LARGEST, unit: str = " tau_s") -> None:
    if not low <= value <= high:
        allowed = "finite" if low == -_LARGEST else f"within {low:g}..{high:g}{unit}"
        raise UserError(f"loss.{name} = {value}{unit} must be {allowed}")
