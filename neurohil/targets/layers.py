"""What spiking targets do alike: check the parameters that a host sends, put the events of a sample in order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neurohil.arrays import Shape, floats
from neurohil.protocols import Floats, Layer, LayerTimes, SampleRecord

MEMBRANE_SAMPLES = 600


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
