"""A fully connected network of quantised weights without biases: batch normalisation after every layer.

The network never multiplies by its weights going forward: a target does. It turns what the target answered into
gradients of its hidden weights, as if the quantiser were the identity (straight-through). Activations, weights and
their gradients are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np

from neurohil.arrays import floats, integers
from neurohil.blas import one_thread
from neurohil.errors import UserError
from neurohil.metaplasticity import kernels
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.protocols import MatrixTarget
from neurohil.ranges import Scale, Size
from neurohil.text import exact

_VARIANCE_FLOOR = 1e-5  # added to the variance, as PyTorch does by default


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size, neurons and initial values.

    Hidden weights start uniform in -init..init. batch_norm: the gains and biases of each task are kept and restored
    when it is tested ("per_task", so the test knows which task it is), or all tasks share one set ("shared").
    """

    hidden: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=64)] = (1024,)
    activation: Literal["relu", "sign"] = "relu"
    quantizer: Quantizer = Quantizer()
    init: Scale = 0.3
    batch_norm: Literal["per_task", "shared"] = "per_task"


class LayerRecord(NamedTuple):
    """What one layer did with a batch.

    inputs (batch, n_in); normalised (batch, n_out), mean 0 and variance 1 over the batch; inverse_sigma (n_out,);
    outputs (batch, n_out), after gain and bias, before the activation.
    """

    inputs: np.ndarray
    normalised: np.ndarray
    inverse_sigma: np.ndarray
    outputs: np.ndarray


class Gradients(NamedTuple):
    """By layer: of the weights (n_in, n_out) and of gain and bias (2, n_out)."""

    weights: list[np.ndarray]
    norms: list[np.ndarray]


class Network:
    """Hidden weights, levels and normalisation of n_in - hidden - n_out.

    Parameters
    ----------
    config : NetworkConfig
    n_in, n_out : int
    rng : numpy.random.Generator
        For the initial hidden weights.

    Attributes
    ----------
    hidden : list of (n_in, n_out) float32
        The hidden ("metaplastic") weights, in weight units. What a digital memory holds.
    levels : list of (n_in, n_out) int8
        Signed levels. What the devices hold.
    norms : list of (2, n_out) float64
        Gains and biases of the normalisation.

    Raises
    ------
    UserError
        All weights would start at level zero.
    """

    def __init__(self, config: NetworkConfig, n_in: int, n_out: int, rng: np.random.Generator) -> None:
        quantizer = config.quantizer
        smallest = quantizer.first_threshold * quantizer.step
        if config.init <= smallest:
            raise UserError(
                f"network.init = {exact(config.init)} is not above half a step, {exact(smallest)}: all weights would "
                "start at level 0 and nothing could be learnt; widen it or take more levels"
            )
        self.config = config
        shapes = list(pairwise((n_in, *config.hidden, n_out)))
        self.hidden = [rng.uniform(-config.init, config.init, shape).astype(np.float32) for shape in shapes]
        self.levels = [quantizer.to_levels(hidden) for hidden in self.hidden]
        self.norms = [np.array([np.ones(n), np.zeros(n)]) for _, n in shapes]

    def forward(
        self, target: MatrixTarget, inputs: np.ndarray, norms: Sequence[np.ndarray], trial: int, calibrate: bool = False
    ) -> list[LayerRecord]:
        """Run a batch, normalised by its own statistics.

        Parameters
        ----------
        target : MatrixTarget
            Multiplies. If its inputs have a limit, each sample is scaled to it and its products are scaled back.
        inputs : (batch, n_in) float32
        norms : sequence of (2, n_out) arrays
            Gains and biases by layer.
        trial : int
            Names the target's trial noise.
        calibrate : bool
            Let the target set its converters by this batch, layer by layer.

        Returns
        -------
        list of LayerRecord
            The last one's outputs are the scores of the classes.
        """
        records = []
        x = inputs
        for k, (gain, bias) in enumerate(norms):
            products = _multiply(target, k, x, trial, calibrate)
            normalised, inverse_sigma, outputs = kernels.normalise(
                products, gain.astype(np.float32), bias.astype(np.float32), np.float32(_VARIANCE_FLOOR)
            )
            records.append(LayerRecord(x, normalised, inverse_sigma, outputs))
            x = self._activate(outputs)
        return records

    @one_thread
    def backward(
        self, records: Sequence[LayerRecord], errors: np.ndarray, weights: Sequence[np.ndarray] | None = None
    ) -> Gradients:
        """Gradients of the loss.

        Parameters
        ----------
        records : sequence of LayerRecord
            From `forward`.
        errors : (batch, n_out) float32
            dL/d(scores).
        weights : sequence of (n_in, n_out) arrays, optional
            Weights that errors go back through, for layers 1, 2, ...; default: what the levels stand for.
        """
        gradients = Gradients([], [])
        for k in reversed(range(len(records))):
            record = records[k]
            gain = self.norms[k][0].astype(np.float32)
            by_gain, by_bias, by_product = kernels.through_normalisation(
                errors, record.normalised, record.inverse_sigma, gain
            )
            gradients.weights.insert(0, record.inputs.T @ by_product)
            gradients.norms.insert(0, np.array([by_gain, by_bias], dtype=np.float64))
            if k:
                back = self._weights(k) if weights is None else weights[k - 1]
                errors = self._through_activation(by_product @ back.T, records[k - 1].outputs)
        return gradients

    @one_thread
    def squared_gradients(self, records: Sequence[LayerRecord], errors: np.ndarray) -> list[np.ndarray]:
        """Sum over samples of the squared gradient of each weight, (n_in, n_out) by layer: the empirical Fisher.

        The batch's mean and variance count as constants, so that a sample's gradient is its own.

        Parameters
        ----------
        records : sequence of LayerRecord
        errors : (batch, n_out) float32
            Each sample's own dL/d(scores).
        """
        squares: list[np.ndarray] = []
        for k in reversed(range(len(records))):
            by_product = errors * (self.norms[k][0].astype(np.float32) * records[k].inverse_sigma)
            squares.insert(0, np.square(records[k].inputs).T @ np.square(by_product))
            if k:
                errors = self._through_activation(by_product @ self._weights(k).T, records[k - 1].outputs)
        return squares

    def _weights(self, k: int) -> np.ndarray:
        return self.config.quantizer.to_weights(self.levels[k])

    def _activate(self, outputs: np.ndarray) -> np.ndarray:
        if self.config.activation == "relu":
            return np.maximum(outputs, np.float32(0.0))
        return np.where(outputs < 0, np.float32(-1.0), np.float32(1.0))

    def _through_activation(self, errors: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The sign passes errors where its input is within -1..1."""
        passes = outputs > 0 if self.config.activation == "relu" else np.abs(outputs) <= 1
        return np.multiply(errors, passes, out=errors)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each sample (batch,) and its gradient by that sample's scores (batch, n_out), for labels (batch,).

    Raises
    ------
    UserError
        A score is no finite number, or a label no class.
    """
    remedy = "lower the learning rate or look for a bad sample"
    scores = floats("scores", scores, (None, None), remedy=remedy, single=True)
    remedy = "give the class of each sample"
    labels = integers("labels", labels, scores.shape[:1], 0, scores.shape[1] - 1, remedy=remedy, narrow=True)
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    sums = powers.sum(axis=1)
    rows = np.arange(len(labels))
    errors = powers / sums[:, np.newaxis]
    errors[rows, labels] -= 1.0
    return np.log(sums) - shifted[rows, labels], errors


def _multiply(target: MatrixTarget, layer: int, x: np.ndarray, trial: int, calibrate: bool) -> np.ndarray:
    limit = target.capabilities.input_max
    scale = None
    if np.isfinite(limit):
        scale = np.abs(x).max(axis=1, keepdims=True) / np.float32(limit)
        scale[scale == 0] = 1.0
        x = x / scale
    if calibrate:
        target.calibrate(layer, x)
    products = np.asarray(target.multiply(layer, x, trial), dtype=np.float32, order="C")
    return products if scale is None else products * scale
