"""Gradients against finite differences of an independent network in double precision."""

import msgspec
import numpy as np
import pytest

from neurohil.errors import UserError
from neurohil.metaplasticity.network import Network, NetworkConfig, cross_entropy
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.targets.matrix.ideal import IdealMatrixTarget

SIZES = dict(n_in=6, n_out=4)
LABELS = np.array([0, 3, 1, 2, 2, 0, 1])


def make(hidden=(5, 7), activation="relu", levels=15, **changes):
    config = NetworkConfig(hidden=hidden, activation=activation, quantizer=Quantizer(levels), init=0.9)
    rng = np.random.default_rng(3)
    network = Network(msgspec.structs.replace(config, **changes), rng=rng, **SIZES)
    for norm in network.norms:
        norm += rng.normal(0, 0.2, norm.shape)
    target = IdealMatrixTarget(network.config.quantizer.max_level, network.config.quantizer.weight_range)
    target.write([levels.astype(np.int64) for levels in network.levels])
    return network, target, rng.random((len(LABELS), 6)).astype(np.float32)


def reference_loss(inputs, weights, norms, statistics=None):
    """Sum of cross entropies of a batch, float64; with the given (mean, variance) of each layer instead of its own."""
    x = inputs.astype(np.float64)
    for k, (w, (gain, bias)) in enumerate(zip(weights, norms, strict=True)):
        z = x @ w
        mean, variance = (z.mean(0), z.var(0)) if statistics is None else statistics[k]
        y = gain * (z - mean) / np.sqrt(variance + 1e-5) + bias
        x = np.maximum(y, 0)
    scores = y - y.max(1, keepdims=True)
    return float(np.sum(np.log(np.exp(scores).sum(1)) - scores[np.arange(len(inputs)), LABELS[: len(inputs)]]))


def doubled(network):
    weights = [network.config.quantizer.to_weights(levels).astype(np.float64) for levels in network.levels]
    return weights, [norm.copy() for norm in network.norms]


def difference(loss, array, index, step=1e-6):
    kept = array[index]
    array[index] = kept + step
    up = loss()
    array[index] = kept - step
    down = loss()
    array[index] = kept
    return (up - down) / (2 * step)


def test_gradients_are_those_of_finite_differences():
    network, target, inputs = make()
    records = network.forward(target, inputs, network.norms, 1)
    losses, errors = cross_entropy(records[-1].outputs, LABELS)
    weights, norms = doubled(network)
    assert losses.sum() == pytest.approx(reference_loss(inputs, weights, norms), rel=1e-5)
    gradients = network.backward(records, errors)
    for found, arrays in ((gradients.weights, weights), (gradients.norms, norms)):
        for gradient, array in zip(found, arrays, strict=True):
            expected = np.array(
                [difference(lambda: reference_loss(inputs, weights, norms), array, i) for i in np.ndindex(array.shape)]
            )
            np.testing.assert_allclose(gradient.ravel(), expected, rtol=2e-3, atol=2e-4)


def test_squared_gradients_are_per_sample():
    """Each sample's gradient with the batch's statistics held, squared and summed."""
    network, target, inputs = make(hidden=(5,))
    records = network.forward(target, inputs, network.norms, 1)
    _, errors = cross_entropy(records[-1].outputs, LABELS)
    weights, norms = doubled(network)
    statistics, x = [], inputs.astype(np.float64)
    for w, (gain, bias) in zip(weights, norms, strict=True):
        z = x @ w
        statistics.append((z.mean(0), z.var(0)))
        x = np.maximum(gain * (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) + bias, 0)
    for found, array in zip(network.squared_gradients(records, errors), weights, strict=True):
        expected = np.zeros(array.shape)
        for i in np.ndindex(array.shape):
            # The loss of the first n samples, for n and n - 1: their difference is that of sample n.
            sums = [
                difference(lambda n=n: reference_loss(inputs[:n], weights, norms, statistics), array, i)
                for n in range(1, len(inputs) + 1)
            ]
            expected[i] = np.sum(np.diff(sums, prepend=0.0) ** 2)
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-5)


def test_sign_passes_errors_within_one():
    network, target, inputs = make(hidden=(5,), activation="sign", levels=2)
    network.norms[0][0] = [0.1, 50.0, 0.1, 0.1, 0.1]  # unit 1 is far outside -1..1 for every sample
    records = network.forward(target, inputs, network.norms, 1)
    assert set(np.unique(records[1].inputs)) == {-1.0, 1.0}
    np.testing.assert_array_equal(records[1].inputs, np.where(records[0].outputs < 0, -1, 1))
    assert (np.abs(records[0].outputs[:, 1]) > 1).all() and (np.abs(records[0].outputs[:, 0]) <= 1).all()
    _, errors = cross_entropy(records[-1].outputs, LABELS)
    weights = network.backward(records, errors).weights[0]
    assert not weights[:, 1].any() and weights[:, 0].any()


def test_errors_go_back_through_the_weights_that_are_given():
    network, target, inputs = make(hidden=(5,))
    records = network.forward(target, inputs, network.norms, 1)
    _, errors = cross_entropy(records[-1].outputs, LABELS)
    own = network.backward(records, errors)
    same = network.backward(records, errors, [target.read(1, 1)])
    mute = network.backward(records, errors, [np.zeros((5, 4), dtype=np.float32)])
    np.testing.assert_allclose(same.weights[0], own.weights[0], rtol=1e-4, atol=1e-7)
    assert not mute.weights[0].any() and own.weights[0].any()
    np.testing.assert_array_equal(mute.weights[1], own.weights[1])


def test_outputs_are_normalised_by_the_batch():
    network, target, inputs = make(hidden=(5,))
    norms = [np.array([np.full(n, 2.0), np.full(n, 0.5)]) for n in (5, 4)]
    records = network.forward(target, inputs, norms, 1)
    assert len(records) == 2
    for record in records:
        np.testing.assert_allclose(record.outputs.mean(0), 0.5, atol=1e-5)
        np.testing.assert_allclose(record.outputs.std(0), 2.0, rtol=1e-2)


class Limited(IdealMatrixTarget):
    """Inputs -1..1 only, and converters that have to be told of each layer's inputs."""

    def __init__(self, max_level, weight_range):
        super().__init__(max_level, weight_range)
        self.capabilities = self.capabilities._replace(input_min=-1.0, input_max=1.0)
        self.calibrated = []

    def calibrate(self, layer, x):
        self.calibrated.append((layer, x.copy()))

    def multiply(self, layer, x, trial):
        assert np.abs(x).max() <= 1.0
        return super().multiply(layer, x, trial).astype(np.float64)


def test_inputs_are_scaled_into_the_range_of_the_target():
    network, target, inputs = make()
    limited = Limited(7, 1.0)
    limited.write([levels.astype(np.int64) for levels in network.levels])
    inputs[2] = 0.0
    expected = network.forward(target, inputs, network.norms, 1)
    found = network.forward(limited, inputs, network.norms, 1, calibrate=True)
    for one, other in zip(expected, found, strict=True):
        assert other.outputs.dtype == np.float32
        np.testing.assert_allclose(other.outputs, one.outputs, rtol=1e-4, atol=1e-4)
    assert [layer for layer, _ in limited.calibrated] == [0, 1, 2]
    np.testing.assert_allclose(np.abs(limited.calibrated[1][1]).max(axis=1), 1.0, rtol=1e-6)


def test_cross_entropy_of_known_scores():
    losses, errors = cross_entropy(np.log(np.array([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]])), np.array([2, 0]))
    np.testing.assert_allclose(losses, -np.log([5 / 8, 1 / 4]))
    np.testing.assert_allclose(errors, [[1 / 8, 2 / 8, -3 / 8], [-3 / 4, 1 / 4, 2 / 4]])
    assert np.isfinite(cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))[0]).all()


def test_initial_values():
    network, _, _ = make(hidden=(50, 60))
    assert [w.shape for w in network.hidden] == [(6, 50), (50, 60), (60, 4)]
    values = np.concatenate([w.ravel() for w in network.hidden])
    assert values.dtype == np.float32 and 0.89 < np.abs(values).max() <= 0.9
    np.testing.assert_allclose(values.var(), 0.9**2 / 3, rtol=0.06)


@pytest.mark.parametrize("init", [0.05, 1 / 14])
def test_init_within_the_middle_level_is_refused(init):
    with pytest.raises(
        UserError, match=r"is not above half a step, 0\.07142857142857142: all weights would start at level 0"
    ):
        make(init=init)
    make(levels=2, init=init)  # two levels have none at zero


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.0, np.nan]], [0], r"scores\[0, 1\] = nan is not a number; lower the learning rate"),
        ([[0.0, 1j]], [0], "scores is of type complex128, not numbers"),
        ([[0.0, 1.0]], [-1], r"labels\[0\] = -1 is outside 0\.\.1; give the class of each sample"),
        ([[0.0, 1.0]], [0.5], "labels is of type float64, not integers"),
    ],
)
def test_what_is_no_score_or_class_is_refused(scores, labels, message):
    with pytest.raises(UserError, match=message):
        cross_entropy(np.array(scores), np.array(labels))
