"""First spike of one neuron and one sample in closed form, and its gradients: the readable reference.

The neuron is a leaky integrate-and-fire neuron with current-based exponential synapses that spikes at most once.
Model units: tau_s = 1, C = 1; `tau_ratio` = tau_m / tau_s is 1 or 2, the two ratios with a closed form; a weight is
the amplitude w in V(t) - E_l = sum_{t_i < t} w_i kernel(t - t_i); `threshold` = theta - E_l > 0. inf means "no
spike". J. Göltz et al., "Fast and energy-efficient neuromorphic deep learning with first-spike times", 2021;
J. Göltz et al., "DelGrad: exact event-based gradients for training delays and weights on spiking neuromorphic
hardware", 2025. `neurohil.first_spike.kernels` computes the same for batches and layers.
"""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np
from scipy.special import lambertw

from neurohil.arrays import floats

KERNEL_PEAK = {1: 1.0 / math.e, 2: 0.5}  # by tau_ratio: the most that an input of weight 1 adds to the membrane
_EARLIEST = float(np.finfo(np.float64).min)  # -inf is no time


def kernel(s: np.ndarray | float, tau_ratio: int) -> np.ndarray:
    """Membrane response at time `s` (tau_s) after an input of weight 1; 0 before it.

    tau_ratio 1: s exp(-s), peak 1/e at s = 1. tau_ratio 2: 2 (exp(-s/2) - exp(-s)), peak 1/2 at s = 2 ln 2.
    """
    _check_tau_ratio(tau_ratio)
    s = np.maximum(floats("s", s, unit="tau_s", finite=False), 0.0)
    return s * np.exp(-s) if tau_ratio == 1 else 2.0 * (np.exp(-s / 2.0) - np.exp(-s))


def membrane(t: np.ndarray | float, times: np.ndarray, weights: np.ndarray, tau_ratio: int) -> np.ndarray:
    """V(t) - E_l without a threshold.

    Parameters
    ----------
    t : float or ndarray of any shape, tau_s
    times, weights : ndarray, shape (P,), float64
        Arrival times (tau_s; inf: no input) and weights of the inputs.
    tau_ratio : {1, 2}

    Returns
    -------
    ndarray, shape of `t`
    """
    times, weights = _inputs(times, weights)
    arrives = np.isfinite(times)
    since = floats("t", t, unit="tau_s")[..., np.newaxis] - times[arrives]
    return kernel(since, tau_ratio) @ weights[arrives]


def first_spike(times: np.ndarray, weights: np.ndarray, threshold: float, tau_ratio: int) -> float:
    """Time of the first upward threshold crossing, inf if there is none.

    Between two arrivals the membrane has one maximum at most. So it crosses before the next arrival if it is at
    threshold by then, or if its maximum lies in between and reaches the threshold. The crossing itself is

        tau_ratio 1:  T = b / a_1 - W0(-(threshold / a_1) exp(b / a_1))
        tau_ratio 2:  T = 2 ln[2 a_1 / (a_2 + sqrt(a_2^2 - 2 a_1 threshold))]

    with the sums over the inputs so far (the causal set) a_1 = sum w_i exp(t_i), a_2 = sum w_i exp(t_i / 2),
    b = sum w_i t_i exp(t_i).

    Parameters
    ----------
    times, weights : ndarray, shape (P,), float64
        Arrival times (tau_s; inf: no input) and weights of the inputs.
    threshold : float, > 0
    tau_ratio : {1, 2}

    Returns
    -------
    float, tau_s
    """
    _check_tau_ratio(tau_ratio)
    times, weights = _inputs(times, weights)
    threshold = float(floats("threshold", threshold, (), math.ulp(0.0), remedy="give a number above 0"))
    order = np.argsort(times, kind="mergesort")[: np.isfinite(times).sum()]
    if order.size == 0:
        return np.inf
    reference = times[order[0]]  # the formulas hold for any origin of time; this one keeps exp(t) small
    times, weights = times[order] - reference, weights[order]
    for k, arrival in enumerate(times):
        next_arrival = times[k + 1] if k + 1 < len(times) else np.inf
        causal_times, causal_weights = times[: k + 1], weights[: k + 1]
        if _crosses(arrival, next_arrival, causal_times, causal_weights, threshold, tau_ratio):
            return float(reference + _upward_crossing(causal_times, causal_weights, threshold, tau_ratio))
    return np.inf


def measured_gradients(
    times: np.ndarray, weights: np.ndarray, spike: float, threshold: float, tau_ratio: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the first spike for an observed spike time, as the authors of DelGrad compute them.

    The causal set is taken from the observation (t_i <= spike), the sums over it from the model. For the model's
    own spike time this is the exact gradient; for a time measured on a chip or with jitter it is the authors'
    choice of mixing the two (DelGrad, authors' code). With theta' = threshold / tau_ratio and T = `spike`:

        tau_ratio 1, W = W0(-(theta' / a_1) exp(b / a_1)):
            dT/dw_i = -exp(t_i) (T - t_i) / (a_1 (1 + W)),   dT/dt_i = -w_i exp(t_i) (T - t_i - 1) / (a_1 (1 + W))
        tau_ratio 2, S = sqrt(a_2^2 - 4 a_1 theta'), F = (1 + (theta' / S) exp(T / 2)) / a_1:
            dT/dw_i = 2 (F exp(t_i) - exp(t_i / 2) / S),     dT/dt_i = w_i (2 F exp(t_i) - exp(t_i / 2) / S)

    Parameters
    ----------
    times, weights : ndarray, shape (P,), float64
        Arrival times (tau_s; inf: no input) and weights of the inputs.
    spike : float, tau_s
        Observed spike time, inf if there was none.
    threshold : float, > 0
    tau_ratio : {1, 2}

    Returns
    -------
    dT/dw, dT/dt : ndarray, shape (P,), float64
        Zero if there was no spike, or if the model does not cross the threshold with the observed causal set.
    """
    _check_tau_ratio(tau_ratio)
    times, weights = _inputs(times, weights)
    d_weights, d_times = np.zeros_like(times), np.zeros_like(times)
    spike = float(floats("spike", spike, (), _EARLIEST, unit="tau_s", remedy="inf is no spike", finite=False))
    threshold = float(floats("threshold", threshold, (), math.ulp(0.0), remedy="give a number above 0"))
    causal = np.isfinite(times) & (times <= spike)
    if not np.isfinite(spike) or not causal.any():
        return d_weights, d_times

    reference = times[causal].min()
    t, w, T = times[causal] - reference, weights[causal], spike - reference
    a_1 = np.sum(w * np.exp(t))
    if a_1 <= 0.0:
        return d_weights, d_times
    if tau_ratio == 1:
        b = np.sum(w * t * np.exp(t))
        if b / a_1 >= np.log(a_1 / threshold) - 1.0:  # the argument of W0 is at or below -1/e
            return d_weights, d_times
        W = lambertw(-threshold / a_1 * np.exp(b / a_1)).real
        d_weights[causal] = -np.exp(t) * (T - t) / (a_1 * (1.0 + W))
        d_times[causal] = -w * np.exp(t) * (T - t - 1.0) / (a_1 * (1.0 + W))
    else:
        theta = threshold / 2.0
        a_2 = np.sum(w * np.exp(t / 2.0))
        if a_2 <= 0.0 or a_2**2 <= 4.0 * a_1 * theta:
            return d_weights, d_times
        S = np.sqrt(a_2**2 - 4.0 * a_1 * theta)
        F = (1.0 + theta / S * np.exp(T / 2.0)) / a_1
        d_weights[causal] = 2.0 * (F * np.exp(t) - np.exp(t / 2.0) / S)
        d_times[causal] = w * (2.0 * F * np.exp(t) - np.exp(t / 2.0) / S)
    return d_weights, d_times


def implicit_gradients(
    times: np.ndarray, weights: np.ndarray, spike: float, tau_ratio: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Gradients of the first spike from the implicit function theorem on V(T) = threshold.

        dT/dw_i = -k(s_i) / V'(T),   dT/dt_i = w_i k'(s_i) / V'(T),   dT/dthreshold = 1 / V'(T)

    with s_i = T - t_i >= 0. Exact for the model's own spike time; there the sum of dT/dt_i is 1.

    Parameters
    ----------
    times, weights : ndarray, shape (P,), float64
        Arrival times (tau_s; inf: no input) and weights of the inputs.
    spike : float, tau_s
        The spike time, inf if there is none.
    tau_ratio : {1, 2}

    Returns
    -------
    dT/dw, dT/dt : ndarray, shape (P,), float64
    dT/dthreshold : float
        All zero if there is no spike; not finite where the membrane only touches the threshold, V'(T) = 0.
    """
    _check_tau_ratio(tau_ratio)
    times, weights = _inputs(times, weights)
    d_weights, d_times = np.zeros_like(times), np.zeros_like(times)
    spike = float(floats("spike", spike, (), _EARLIEST, unit="tau_s", remedy="inf is no spike", finite=False))
    causal = np.isfinite(times) & (times <= spike)
    if not np.isfinite(spike) or not causal.any():
        return d_weights, d_times, 0.0
    since = spike - times[causal]
    if tau_ratio == 1:
        kernel_slope = (1.0 - since) * np.exp(-since)
    else:
        kernel_slope = 2.0 * np.exp(-since) - np.exp(-since / 2.0)
    slope = weights[causal] @ kernel_slope
    with np.errstate(divide="ignore", invalid="ignore"):
        d_weights[causal] = -kernel(since, tau_ratio) / slope
        d_times[causal] = weights[causal] * kernel_slope / slope
        return d_weights, d_times, float(1.0 / slope)


def _crosses(
    start: float, stop: float, times: np.ndarray, weights: np.ndarray, threshold: float, tau_ratio: int
) -> bool:
    """Whether the membrane, below threshold at `start`, gets there until `stop` with these inputs alone."""
    a_1 = np.sum(weights * np.exp(times))
    if a_1 <= 0.0:
        return False  # for long times V tends to 0 from below: it can only have come down through the threshold
    if np.isfinite(stop) and membrane(stop, times, weights, tau_ratio) >= threshold:
        return True
    if tau_ratio == 1:
        peak = 1.0 + np.sum(weights * times * np.exp(times)) / a_1
    else:
        a_2 = np.sum(weights * np.exp(times / 2.0))
        if a_2 <= 0.0:
            return False
        peak = 2.0 * np.log(2.0 * a_1 / a_2)
    return bool(start < peak < stop and membrane(peak, times, weights, tau_ratio) >= threshold)


def _upward_crossing(times: np.ndarray, weights: np.ndarray, threshold: float, tau_ratio: int) -> float:
    a_1 = np.sum(weights * np.exp(times))
    if tau_ratio == 1:
        b = np.sum(weights * times * np.exp(times))
        # At a touch rounding may push the argument just below the branch point.
        argument = max(-threshold / a_1 * np.exp(b / a_1), -np.exp(-1.0))
        return b / a_1 - lambertw(argument).real
    a_2 = np.sum(weights * np.exp(times / 2.0))
    return 2.0 * np.log(2.0 * a_1 / (a_2 + np.sqrt(max(a_2**2 - 2.0 * a_1 * threshold, 0.0))))


def _inputs(times: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrival times, inf where there is none, and as many weights."""
    times = floats("times", times, (None,), _EARLIEST, unit="tau_s", remedy="inf is no input", finite=False)
    return times, floats("weights", weights, times.shape)


def _check_tau_ratio(tau_ratio: int) -> None:
    if not isinstance(tau_ratio, Integral) or tau_ratio not in (1, 2):
        raise ValueError(f"tau_ratio = {tau_ratio} must be 1 or 2: only then the spike time has a closed form")
