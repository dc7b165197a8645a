"""Losses on first-spike times and the classes that they imply.

Times are in tau_s; inf means "no spike". Every loss is the mean over the batch; `Loss.gradient` already holds the
factor 1 / B. A silent neuron has no gradient: only changing its weights from outside can bring it back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hil.errors import UserError

SILENT_LOSS = 100.0  # constant loss where a spike that the loss needs is missing (DelGrad, authors' code)


class Loss(NamedTuple):
    """Loss of a batch.

    Attributes
    ----------
    values : ndarray, shape (B,), float64
        Loss of each sample.
    gradient : ndarray, shape (B, N), float64
        d(mean of values) / d(spike times).
    """

    values: np.ndarray
    gradient: np.ndarray


def shift_invariant_mse(times: np.ndarray, labels: np.ndarray, margin: float) -> Loss:
    """Ask every wrong output to spike `margin` after the right one (DelGrad, authors' code).

        L = 1/2 sum_{n != *} (t_n - t_* - margin)^2          (*: the label's neuron)

    A sample in which an output is silent has the constant loss 100 and no gradient.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    margin : float, tau_s
    """
    rows = _rows(times, labels)
    complete = np.isfinite(times).all(axis=1)
    used = np.where(complete[:, np.newaxis], times, 0.0)
    difference = used - used[rows, labels][:, np.newaxis] - margin
    difference[rows, labels] = 0.0
    values = 0.5 * (difference * difference).sum(axis=1)
    difference[rows, labels] = -difference.sum(axis=1)
    values[~complete] = SILENT_LOSS
    difference[~complete] = 0.0
    difference /= len(times)
    return Loss(values, difference)


def time_to_first_spike_cross_entropy(
    times: np.ndarray, labels: np.ndarray, xi: float, alpha: float, beta: float
) -> Loss:
    """Cross entropy of the softmax of -t / xi, plus a reward for early answers (Göltz et al. 2021).

        L = ln sum_n exp(-(t_n - t_*) / xi) + alpha exp(t_* / beta)          (*: the label's neuron)

    A silent wrong output adds nothing: it is as late as can be. A sample whose right output is silent has the constant
    loss 100 and no gradient.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    xi, beta : float, > 0, tau_s
        Softness of the decision; time scale of the reward.
    alpha : float
        Weight of the reward; 0: none.
    """
    rows = _rows(times, labels)
    for name, value in (("xi", xi), ("beta", beta)):
        if not value > 0.0:
            raise UserError(f"loss.{name} = {value} tau_s must be above 0")
    label_times = times[rows, labels]
    spiked = np.isfinite(label_times)
    label_times = np.where(spiked, label_times, 0.0)
    first = np.minimum(times.min(axis=1), label_times)
    odds = np.exp((first[:, np.newaxis] - times) / xi)  # at most 1
    total = odds.sum(axis=1)
    values = np.log(total, where=spiked, out=np.full(len(times), SILENT_LOSS))
    gradient = -odds / (xi * np.where(spiked, total, 1.0))[:, np.newaxis]
    lateness = alpha * np.exp(label_times / beta)
    values += np.where(spiked, (label_times - first) / xi + lateness, 0.0)
    gradient[rows, labels] += 1.0 / xi + lateness / beta
    gradient[~spiked] = 0.0
    gradient /= len(times)
    return Loss(values, gradient)


def mean_squared_error(times: np.ndarray, labels: np.ndarray, t_correct: float, t_wrong: float) -> Loss:
    """Pull every output to a target time.

        L = 1/2 sum_n (t_n - target_n)^2,   target: t_correct for the label's neuron, t_wrong for the others

    The outputs are independent here: a silent one adds the constant 100 and has no gradient, the others keep theirs.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    labels : ndarray, shape (B,), int64, 0 ... N - 1
    t_correct, t_wrong : float, tau_s
    """
    rows = _rows(times, labels)
    target = np.full(times.shape, float(t_wrong))
    target[rows, labels] = t_correct
    spiked = np.isfinite(times)
    difference = np.where(spiked, times, target) - target
    values = 0.5 * (difference * difference).sum(axis=1) + SILENT_LOSS * (~spiked).sum(axis=1)
    difference /= len(times)
    return Loss(values, difference)


def first_spike_class(times: np.ndarray) -> np.ndarray:
    """Class of the output that spikes first, (B,) int64; -1 if none spikes, the lowest class in a tie.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    """
    return np.where(np.isfinite(times).any(axis=1), times.argmin(axis=1), -1)


def nearest_class(times: np.ndarray, t_correct: float) -> np.ndarray:
    """Class of the output that spikes nearest to `t_correct` (tau_s), (B,) int64; -1 if none spikes.

    Parameters
    ----------
    times : ndarray, shape (B, N), float64, tau_s
    """
    return first_spike_class(np.abs(times - t_correct))


def _rows(times: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Check the arguments that all losses share; return the row indices 0 ... B - 1."""
    if times.ndim != 2 or labels.shape != (len(times),) or len(times) == 0:
        raise UserError(
            f"loss: times {times.shape} and labels {labels.shape} don't fit; expected (B, N) and (B,), B >= 1"
        )
    if labels.min() < 0 or labels.max() >= times.shape[1]:
        raise UserError(
            f"loss: labels span {labels.min()} ... {labels.max()}; allowed are 0 ... {times.shape[1] - 1}, "
            "one class per output neuron"
        )
    return np.arange(len(times))
