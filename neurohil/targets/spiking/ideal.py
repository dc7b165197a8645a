"""The ideal target: closed-form spike times, float parameters, no noise, delays of every kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from neurohil.arrays import Shape, floats
from neurohil.first_spike.kernels import spike_times
from neurohil.first_spike.spike_time import membrane
from neurohil.protocols import Capabilities, Floats, Layer, LayerTimes, Quantity, SampleRecord

MEMBRANE_SAMPLES = 600
_EARLIEST = 1e300  # -inf is no time


class IdealConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ideal", tag_field="kind"):
    """The ideal target has nothing to set."""


class IdealTarget:
    """Exact first spikes of current-based LIF neurons with exponential synapses, at most one each.

    Parameters
    ----------
    threshold : float
        Distance of the threshold from the leak potential, model units.
    tau_ratio : int
        tau_m / tau_s, 1 or 2.
    """

    capabilities = Capabilities(
        weight_max=math.inf,
        weight_step=0.0,
        delay_kinds=frozenset({"none", "axonal", "dendritic", "synaptic"}),
        delay_min=0.0,
        delay_max=math.inf,
        delay_step=0.0,
        time_step=0.0,
    )
    tau_us = None

    def __init__(self, threshold: float, tau_ratio: int) -> None:
        self._threshold = threshold
        self._tau_ratio = tau_ratio
        self._layers: Sequence[Layer] = ()
        self._samples = 0

    def write(self, layers: Sequence[Layer]) -> None:
        self._layers = [checked_layer(index, layer) for index, layer in enumerate(layers)]

    def run(self, inputs: Floats, trial: int) -> list[LayerTimes]:
        remedy = "give the time of each input, inf for no spike"
        times = floats("inputs", inputs, (None, None), -_EARLIEST, unit="tau_s", remedy=remedy, finite=False)
        self._samples += len(times)
        observed = []
        for layer in self._layers:
            arrivals = times if layer.axonal is None else times + layer.axonal
            times = spike_times(arrivals, layer.weights, self._threshold, self._tau_ratio, layer.later_delays)
            observed.append(LayerTimes(arrivals, times))
        return observed

    def record(self, inputs: Floats, trial: int, duration: float) -> SampleRecord:
        inputs = floats("inputs", inputs, (None,), finite=False)
        grid = np.linspace(0.0, duration, MEMBRANE_SAMPLES)
        observed = self.run(inputs[None], trial)
        traces = []
        for layer, seen in zip(self._layers, observed, strict=True):
            delays = 0.0 if layer.later_delays is None else layer.later_delays
            arrivals = np.broadcast_to(seen.arrivals[0][:, np.newaxis] + delays, layer.weights.shape)
            traces += [membrane(grid, t, w, self._tau_ratio) for t, w in zip(arrivals.T, layer.weights.T, strict=True)]
        delayed = [layer.axonal is not None for layer in self._layers]
        return sample_record(inputs, observed, delayed, grid, np.array(traces))

    def account(self) -> dict[str, float]:
        return {"samples": self._samples, "chip_seconds": 0.0}

    def fixed_pattern(self) -> list[Quantity]:
        return []


def checked_layer(index: int, layer: Layer, largest: float = math.inf) -> Layer:
    """A layer of finite numbers, -largest..largest, and of shapes that fit together; whether it fits, the target says.

    Raises
    ------
    UserError
        A number or a shape is wrong.
    """
    remedy = "lower the learning rate or look for a bad sample"

    def checked(name: str, values: Floats | None, shape: Shape) -> Floats | None:
        return None if values is None else floats(f"{name}[{index}]", values, shape, -largest, largest, remedy=remedy)

    weights = floats(f"weights[{index}]", layer.weights, (None, None), -largest, largest, remedy=remedy)
    n_pre, n_post = weights.shape
    return Layer(
        weights,
        axonal=checked("axonal delays", layer.axonal, (n_pre,)),
        dendritic=checked("dendritic delays", layer.dendritic, (n_post,)),
        synaptic=checked("synaptic delays", layer.synaptic, (n_pre, n_post)),
    )


def sample_record(
    inputs: Floats, observed: Sequence[LayerTimes], delayed: Sequence[bool], grid: Floats, traces: Floats
) -> SampleRecord:
    """Put the events of one sample (a batch of one) in the order of time; see SampleRecord for the numbering."""
    layers = [inputs, *(seen.spikes[0] for seen in observed)]
    first = np.cumsum([0] + [len(times) for times in layers])
    groups = [(times, first[k], k) for k, times in enumerate(layers)]
    groups += [(seen.arrivals[0], first[k], len(layers) + k) for k, seen in enumerate(observed) if delayed[k]]
    times = np.concatenate([group for group, _, _ in groups])
    neurons = np.concatenate([start + np.arange(len(group)) for group, start, _ in groups])
    kinds = np.concatenate([np.full(len(group), kind) for group, _, kind in groups])
    order = np.argsort(times, kind="stable")[: int(np.isfinite(times).sum())]
    return SampleRecord(times[order], neurons[order], kinds[order], grid, traces)
