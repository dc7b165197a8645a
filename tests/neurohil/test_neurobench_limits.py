"""Metrics where a quotient has no denominator or a square no room: the right value by definition, or one clear error.

Warnings are errors here, so a division by zero or an overflow fails a test even if its result is never looked at.
"""

import math

import numpy as np
import pytest
from neurobench_networks import HOOKED, Recorded, identity, run

from neurohil.delgrad.model import _held
from neurohil.errors import UserError
from neurohil.neurobench import metrics as m
from neurohil.neurobench.costs import system_track
from neurohil.neurobench.models import Perceptron
from neurohil.neurobench.records import (
    ActivationRecord,
    Convolution,
    EventRecord,
    LayerRecord,
    Linear,
    NeuronRecord,
    RecurrentCell,
)

REGRESSION = [m.MSE, m.SMAPE, m.R2]


def column(*values):
    return np.array(values, dtype=float)[:, np.newaxis]


def test_a_network_without_weights_that_are_not_zero():
    layers = [Linear("one", np.zeros((3, 4))), Linear("two", np.zeros((2, 3)))]
    got = run(Perceptron(layers), np.ones((5, 4)), np.zeros((5, 2)), 2, [], [*HOOKED, m.MSE])
    assert got["ConnectionSparsity"] == 1.0 and got["ActivationSparsity"] == 1.0 and got["MSE"] == 0.0
    assert got["SynapticOperations"] == {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 18.0}


def test_inputs_that_are_all_zero_are_accumulates():
    layer = Linear("fc", np.ones((2, 3)))
    got = run(Perceptron([layer]), np.zeros((4, 3)), np.zeros((4, 2)), 4, [], [m.SynapticOperations])
    assert got["SynapticOperations"] == {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 6.0}


def test_silent_neurons():
    """No spikes and no change of a membrane after the first step."""
    quiet = np.zeros((3, 2, 4))
    model = Recorded([], lambda x: (x, [NeuronRecord("n", quiet, quiet, quiet, "Leaky", "zero")]))
    got = run(model, np.zeros((2, 1)), np.zeros((2, 1)), 2, [], [m.ActivationSparsity, m.NeuronOperations], [])
    assert got["ActivationSparsity"] == 1.0
    assert got["NeuronOperations"] == {"Effective Neuron Ops": 16.0, "Neuron Dense Ops": 48.0}
    layer = Linear("s", np.ones((4, 3)))
    none = [EventRecord(layer, np.zeros((2, 3), int), np.zeros((2, 4), int), 1.0)]
    got = run(Recorded([layer], lambda x: (x, none)), np.zeros((2, 1)), np.zeros((2, 1)), 2, [], [m.MembraneUpdates])
    assert got["MembraneUpdates"] == 0.0


def test_smape_of_zeros_signs_and_extremes():
    """By definition 200 |p - y| / (|p| + |y|): 200 for opposite signs, 0 / 0 counts 200."""
    pairs = [(0.0, 0.0, 200), (1e-310, -1e-310, 200), (3.0, 1.0, 100), (1.7e308, 1.7e308, 0), (1.5e308, 0.5e308, 100),
             (1.7e308, -1.7e308, 200), (np.inf, 1.0, 200), (np.nan, 1.0, 200)]  # fmt: skip
    for p, y, expected in pairs:
        assert run(identity(), column(p), column(y), 1, [], [m.SMAPE], [])["SMAPE"] == pytest.approx(expected)


def test_squares_without_room_are_one_error():
    good, far = column(1.0, 2.0), column(1e200, 2.0)
    for metric in (m.MSE, m.R2):
        for p, y in ((far, good), (good, far)):
            with pytest.raises(UserError, match=f"{metric.__name__}: the squares of these errors or targets exceed"):
                run(identity(), p, y, 2, [], [metric], [])


@pytest.mark.parametrize("values", [[0.1] * 3, [0.1] * 7, [1e-200, 2e-200, 3e-200], [5.0]])
def test_r2_of_a_constant_is_undefined(values):
    """Seven times 0.1 has a mean that isn't 0.1, and so a spread of 1e-33 by rounding."""
    with pytest.raises(UserError, match="targets of column 0 are all equal, or differ by less than float64 can square"):
        run(identity(), column(*[1.0] * len(values)), column(*values), 2, [], [m.R2], [])


def test_one_class_is_as_good_as_many():
    got = run(identity(), np.zeros(4), np.zeros(4, int), 3, [], [m.ClassificationAccuracy], [])
    assert got["ClassificationAccuracy"] == 1.0


@pytest.mark.parametrize("metric", [m.ClassificationAccuracy, *REGRESSION])
def test_predictions_and_targets_are_checked(metric):
    good = np.ones((2, 1))
    if metric is not m.SMAPE:  # where such a prediction counts 200
        with pytest.raises(UserError, match=rf"{metric.__name__}: predictions\[1, 0\] = nan is not a number"):
            run(identity(), column(1.0, np.nan), good, 2, [], [metric], [])
    with pytest.raises(UserError, match=rf"{metric.__name__}: targets\[0, 0\] = inf is not finite; mend the data"):
        run(identity(), good, column(np.inf, 1.0), 2, [], [metric], [])
    with pytest.raises(UserError, match=f"{metric.__name__}: there was no data to compute it from"):
        run(identity(), good[:, :0], good[:, :0], 2, [], [metric], [])
    if metric is not m.ClassificationAccuracy:
        with pytest.raises(UserError, match=f"{metric.__name__}: predictions is of type complex128, not numbers"):
            run(identity(), good + 1j, good, 2, [], [metric], [])


def test_unsigned_numbers_do_not_wrap():
    p, y = np.array([[1], [200]], np.uint8), np.array([[2], [255]], np.uint8)
    assert run(identity(), p, y, 2, [], [m.MSE], [])["MSE"] == (1 + 55**2) / 2


def test_masked_values_are_refused():
    inputs = np.ma.masked_array(np.ones((2, 1)), [[True], [False]])
    with pytest.raises(UserError, match="a batch has masked values; fill or drop them"):
        run(identity(), inputs, np.ones((2, 1)), 2, [], [m.MSE], [])


def test_activations_without_outputs():
    for metric in (m.ActivationSparsity, m.ActivationSparsityByLayer):
        model = Recorded([], lambda x: (x, [ActivationRecord("a", np.zeros((2, 0)))]))
        with pytest.raises(UserError, match=f"{metric.__name__}: there was no data to compute it from"):
            run(model, np.zeros((2, 1)), np.zeros((2, 1)), 2, [], [metric], [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear("l", np.zeros((0, 3))),
        lambda: Linear("l", np.zeros((3, 0))),
        lambda: Linear("l", np.zeros((3, 2), complex)),
        lambda: Linear("l", np.array([["a"]])),
        lambda: Convolution("l", np.zeros((2, 0, 3))),
        lambda: RecurrentCell("l", "rnn", np.zeros((0, 2)), np.zeros((0, 0))),
    ],
)
def test_layers_without_weights_are_refused(make):
    with pytest.raises(UserError, match=r"l\.weight\w* is \S+ \(.*\); expected real numbers, at least one"):
        make()


def test_records_without_steps_are_refused():
    nothing = np.zeros((0, 2, 3))
    with pytest.raises(UserError, match="of all, at least one step"):
        NeuronRecord("n", nothing, nothing, nothing, "Leaky", "zero")
    layer = Linear("s", np.ones((1, 1)))
    with pytest.raises(UserError, match=r"dt of layer s = 1e-300 makes inf steps in a sample of 1e\+300, more than"):
        EventRecord(layer, np.zeros((1, 1), int), np.zeros((1, 1), int), 1e300, 1e-300)


def test_system_track_needs_samples():
    with pytest.raises(UserError, match="samples = 0 must be at least 1"):
        system_track({}, {}, 0)


@pytest.mark.parametrize(("largest", "dtype"), [(127, "int8"), (128, "int16"), (32_768, "int32"), (2**31, "int64")])
def test_weights_of_a_chip_keep_their_value(largest, dtype):
    held = _held(np.array([[0.5 * largest, -0.5 * largest]]), 0.5)
    assert held.dtype == dtype and held.tolist() == [[largest, -largest]]
    for weights in (np.array([[1e300]]), np.array([[np.nan]])):
        with pytest.raises(UserError, match=r"a weight of 1e\+304 steps of the target|not a number"):
            _held(weights, 1e-4)
    assert math.isclose(_held(np.array([[0.3]]), 0.0)[0, 0], 0.3)


def test_a_layer_that_took_part_must_be_listed():
    """Else ConnectionSparsity, looked at before the data, leaves it out without a word."""
    seen, hidden = Linear("seen", np.ones((2, 3))), Linear("hidden", np.zeros((2, 3)))
    model = Recorded([seen], lambda x: (x, [LayerRecord(seen, x[None]), LayerRecord(hidden, x[None])]))
    with pytest.raises(UserError, match=r"recorded the layer 'hidden', which isn't among its `layers` \(seen\)"):
        run(model, np.ones((2, 3)), np.ones((2, 3)), 2, [], [m.SynapticOperations])
