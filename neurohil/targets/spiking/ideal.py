"""The ideal target: closed-form spike times, float parameters, no noise, delays of every kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from neurohil.arrays import floats
from neurohil.first_spike.kernels import spike_times
from neurohil.first_spike.spike_time import membrane
from neurohil.protocols import (
    Capabilities,
    Floats,
    Layer,
    LayerTimes,
    Provenance,
    Quantity,
    SampleRecord,
    SpikingNetwork,
)
from neurohil.targets.layers import MEMBRANE_SAMPLES, checked_layer, sample_record

_EARLIEST = 1e300  # -inf is no time


class IdealConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ideal", tag_field="kind"):
    """The ideal target has nothing to set."""

    def build(self, network: SpikingNetwork, seed: int) -> IdealTarget:
        """Ideal neurons for such a network; there is no noise."""
        return IdealTarget(network.threshold, network.tau_ratio)


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
    label = "ideal neurons"
    provenance = Provenance(
        "computed", "Spikes and membranes were computed for ideal neurons; no hardware, real or emulated, was involved."
    )
    beyond = None
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
