"""A feed-forward network with learnable weights and delays: float parameters on the host, exact gradients.

The network never runs anything itself. It says what to write (`layers`), and turns the spike times that a target
observed into gradients of its own parameters (`gradients`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np

from neurohil.arrays import floats
from neurohil.first_spike.kernels import gradients
from neurohil.protocols import Floats, Layer, LayerTimes
from neurohil.ranges import Count, Duration, NotNegative, Scale, Time, Weight

DelayKind = Literal["none", "axonal", "dendritic", "synaptic"]


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size, neuron model and initial values. Times in tau_s, weights in model units.

    Delays are delay_shift + delay_scale * sigmoid(p), with p drawn from N(delay_mean, delay_std).
    """

    hidden: Count
    delays: DelayKind
    tau_ratio: Literal[1, 2]
    threshold: Scale
    weight_mean: tuple[Weight, Weight]
    weight_std: tuple[NotNegative, NotNegative]
    delay_shift: Time = 0.0
    delay_scale: Duration = 1.0
    delay_mean: Weight = 0.0
    delay_std: NotNegative = 0.25


class Network:
    """Two layers of leaky integrate-and-fire neurons, n_in - hidden - n_out.

    Parameters
    ----------
    config : NetworkConfig
    n_in, n_out : int
        Input lines and classes.
    copies : int
        Neighbouring input lines that carry the same value and so share one axonal delay.
    rng : numpy.random.Generator
        For the initial values.

    Attributes
    ----------
    weights : list of arrays (n_pre, n_post)
    delay_parameters : list of arrays
        The p of each layer's delays: (n_pre / copies,), (n_post,) or (n_pre, n_post); empty without delays.
    """

    def __init__(self, config: NetworkConfig, n_in: int, n_out: int, copies: int, rng: np.random.Generator) -> None:
        self.config = config
        self._copies = (copies, 1)
        sizes = (n_in, config.hidden, n_out)
        shapes = list(pairwise(sizes))
        self.weights = [
            rng.normal(mean, std, shape)
            for mean, std, shape in zip(config.weight_mean, config.weight_std, shapes, strict=True)
        ]
        self.delay_parameters = [
            rng.normal(config.delay_mean, config.delay_std, shape) for shape in self._delay_shapes(shapes)
        ]

    @property
    def parameters(self) -> list[Floats]:
        """All trainable arrays, weights first."""
        return self.weights + self.delay_parameters

    def load_parameters(self, values: Floats) -> None:
        """Set all trainable arrays, in the order of `parameters`, from one vector."""
        values = floats("parameters", values, (sum(parameter.size for parameter in self.parameters),))
        for parameter in self.parameters:
            parameter[...] = values[: parameter.size].reshape(parameter.shape)
            values = values[parameter.size :]

    def delays(self) -> list[Floats]:
        """Delays of each layer in tau_s, shaped as `delay_parameters`."""
        return [self.config.delay_shift + self.config.delay_scale * _sigmoid(p) for p in self.delay_parameters]

    def layers(self) -> list[Layer]:
        """What a target is told to write."""
        kind = self.config.delays
        if kind == "none":
            return [Layer(weights) for weights in self.weights]
        delays = self.delays()
        if kind == "axonal":
            delays = [np.repeat(d, n) for d, n in zip(delays, self._copies, strict=True)]
        return [Layer(weights, **{kind: d}) for weights, d in zip(self.weights, delays, strict=True)]

    def gradients(
        self, observed: Sequence[LayerTimes], layers: Sequence[Layer], errors: Floats, max_dw: float
    ) -> list[Floats]:
        """Gradients of the loss, aligned with `parameters`.

        Parameters
        ----------
        observed : sequence of LayerTimes
            Spike times that the target returned.
        layers : sequence of Layer
            The float parameters that were sent (not their rounded values).
        errors : array (batch, n_out)
            dL/dT of the output spikes.
        max_dw : float
            The gradient cut, per sample and neuron.
        """
        by_weight: list[Floats] = []
        by_delay: list[Floats] = []
        for index in reversed(range(len(layers))):
            layer, seen = layers[index], observed[index]
            by_weights, by_arrivals, by_delays = gradients(
                seen.arrivals, layer.weights, seen.spikes, errors,
                self.config.threshold, self.config.tau_ratio, max_dw, layer.later_delays,
                timed=index > 0 or self.config.delays != "none",
            )  # fmt: skip
            by_weight.insert(0, by_weights)
            if by_arrivals is not None:
                by_delay.insert(0, self._delay_gradient(index, by_arrivals, by_delays))
                errors = by_arrivals
        if self.config.delays == "none":
            return by_weight
        return by_weight + [
            gradient * self.config.delay_scale * (s := _sigmoid(p)) * (1 - s)
            for gradient, p in zip(by_delay, self.delay_parameters, strict=True)
        ]

    def _delay_shapes(self, shapes: list[tuple[int, int]]) -> list[tuple[int, ...]]:
        kind = self.config.delays
        if kind == "none":
            return []
        if kind == "axonal":
            return [(pre // copies,) for (pre, _), copies in zip(shapes, self._copies, strict=True)]
        return [(post,) if kind == "dendritic" else (pre, post) for pre, post in shapes]

    def _delay_gradient(self, index: int, by_arrivals: Floats, by_delays: Floats | None) -> Floats:
        if by_delays is None:  # none or axonal: a delay moves all arrivals from its line
            return by_arrivals.sum(axis=0).reshape(-1, self._copies[index]).sum(axis=1)
        return by_delays.reshape(self.delay_parameters[index].shape)


def _sigmoid(p: Floats) -> Floats:
    with np.errstate(over="ignore"):  # 1 / inf is the limit
        return 1.0 / (1.0 + np.exp(-p))
