"""Known defects of the official harness 2.3.0: what it returns, and what is documented and returned here."""

import numpy as np
import pytest
from neurobench_networks import (
    HOOKED,
    ORACLE,
    SPIKING,
    SX,
    SY,
    Recorded,
    argmax,
    array,
    assert_same,
    cell_operations,
    identity,
    inputs_of,
    most_spikes,
    official,
    perceptron,
    perceptron_with,
    recurrent_spiking_net,
    run,
    spiking_net,
    without,
)

from neurohil.errors import UserError
from neurohil.neurobench import metrics as m
from neurohil.neurobench.models import Perceptron
from neurohil.neurobench.records import ActivationRecord, LayerRecord, Linear


@pytest.mark.parametrize("size", [3, 2, 1])
def test_no_reset(size):
    """Defect: a reset without a cost makes NeuronOperations 0.0; ours says what is wrong."""
    expected = official("leaky_none", size)
    ours = run(spiking_net(reset="none"), SX, SY, size, [most_spikes], [m.ClassificationAccuracy, *SPIKING[:-1]])
    assert_same(ours, without(expected, "NeuronOperations"))
    assert expected["NeuronOperations"] == 0.0
    with pytest.raises(UserError, match="the cost of 1, 'Leaky' with reset 'none', isn't known; known are Leaky"):
        run(spiking_net(reset="none"), SX, SY, size, [most_spikes], [m.NeuronOperations])


def test_recurrent_spiking_network():
    """Defect: RLeaky has no cost, which makes NeuronOperations 0.0; ours asks which neuron does the same work."""
    expected = official("rleaky", 3)
    ours = run(recurrent_spiking_net("Leaky"), SX, SY, 3, [most_spikes], SPIKING)
    assert_same(ours, without(expected, "NeuronOperations"))
    assert expected["NeuronOperations"] == 0.0
    assert ours["NeuronOperations"] == {
        "Effective Neuron Ops": pytest.approx(4 * expected["MembraneUpdates"]),
        "Neuron Dense Ops": 4 * 4 * 6,
    }
    with pytest.raises(UserError, match="'RLeaky' with reset 'subtract', isn't known"):
        run(recurrent_spiking_net("RLeaky"), SX, SY, 3, [most_spikes], [m.NeuronOperations])


def test_dense_of_lstm_cell_does_not_depend_on_data():
    """Defect: the harness sets the states of an LSTM cell to 0 and 1 by their values instead of to 1."""
    assert official("LSTMCell_state", 3)["SynapticOperations"]["Dense"] == 237
    gates, products, steps = 4 * 3 * (2 + 3), 3 * 3, 4
    assert cell_operations("LSTMCell_state")["SynapticOperations"]["Dense"] == steps * (gates + products) == 276


def test_rnn_cell_without_state_counts_all_samples():
    """Defect: without a state the harness counts the first sample of the batch only."""
    theirs = official("RNNCell_nostate", 3)["SynapticOperations"]
    assert theirs["Effective_MACs"] == pytest.approx(11 / 3)
    x, weight = array(ORACLE["RNNCell_nostate"]["inputs"]), array(ORACLE["RNNCell_nostate"]["model"]["weight_ih"])
    pairs = sum(np.count_nonzero(sample * row) for sample in x.reshape(-1, 2) for row in weight.reshape(-1, 2))
    ours = cell_operations("RNNCell_nostate", keeps_state=False)["SynapticOperations"]
    assert ours["Effective_MACs"] + ours["Effective_ACs"] == pytest.approx(pairs / 3)
    assert ours["Effective_MACs"] > theirs["Effective_MACs"]
    first = cell_operations("RNNCell_nostate", size=1, keeps_state=False)["SynapticOperations"]
    assert first["Effective_MACs"] + first["Effective_ACs"] == pytest.approx(pairs / 3)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_other_cells_without_state_are_counted(kind):
    """Defect: the harness reports 0.0."""
    assert official(f"{kind}Cell_nostate", 3)["SynapticOperations"] == 0.0
    ours = cell_operations(f"{kind}Cell_nostate", keeps_state=False)["SynapticOperations"]
    with_state = official(f"{kind}Cell_state", 3)["SynapticOperations"]
    assert 0 < ours["Effective_MACs"] < with_state["Effective_MACs"]


def test_unrolled_layer_is_counted():
    """Defect: nn.RNN, nn.LSTM and nn.GRU, listed as supported, are reported as 0.0. Their steps are those of cells."""
    assert official("nn_LSTM_layer", 3)["SynapticOperations"] == 0.0
    assert cell_operations("LSTMCell_state")["SynapticOperations"]["Effective_MACs"] == pytest.approx(140)


def test_one_undefined_pair_does_not_spoil_smape():
    """Defect: in a batch with one pair 0 / 0 the harness sets the mean of the whole batch to 200."""
    p, y = (np.array(ORACLE["smape_zero_over_zero"][key]) for key in ("predictions", "targets"))
    assert official("smape_zero_over_zero", 3)["SMAPE"] == 200
    for size in (3, 1):
        ours = run(identity(), p, y, size, [], [m.MSE, m.SMAPE], [])
        assert ours["SMAPE"] == pytest.approx((0 + 200 + 200 / 3) / 3)
        assert ours["MSE"] == pytest.approx(1 / 3)
    assert official("smape_zero_over_zero", 1)["SMAPE"] == pytest.approx((0 + 200 + 200 / 3) / 3)


def test_wrong_shapes_are_errors():
    """Defect: unequal shapes are reported as 0.0, of accuracy and of errors alike."""
    assert ORACLE["shape_mismatch"]["results"]["batch_size=5"] == {"MSE": 0.0, "ClassificationAccuracy": 0.0}
    p = np.array(ORACLE["regression"]["predictions"])
    for metric in (m.MSE, m.ClassificationAccuracy, m.SMAPE, m.R2):
        with pytest.raises(UserError, match=rf"{metric.__name__}: predictions have shape \(5, 2\), targets \(5,\)"):
            run(identity(), p, np.zeros(5), 5, [], [metric], [])


def test_activations_that_the_harness_does_not_see():
    """Defect: a rectifier called as a function, and tanh, have no hook, and sparsity is reported as 0.0."""
    case = ORACLE["mlp_functional_relu"]
    inputs = array(case["inputs"])
    rectified = run(perceptron(), inputs, case["targets"], 6, [argmax], HOOKED)
    assert official("mlp_functional_relu", 6)["ActivationSparsity"] == 0.0
    assert rectified["ActivationSparsity"] == 0.5
    tanh = run(perceptron_with(np.tanh), inputs, case["targets"], 6, [argmax], HOOKED)
    assert official("mlp_tanh", 6)["ActivationSparsity"] == 0.0
    hidden = inputs @ perceptron().layers[0].weight.T + perceptron().layers[0].bias
    assert tanh["ActivationSparsity"] == pytest.approx(np.mean(hidden == 0))
    for ours, name in ((rectified, "mlp_functional_relu"), (tanh, "mlp_tanh")):
        assert_same(ours, without(official(name, 6), "ActivationSparsity", "ActivationSparsityByLayer"))


def test_nothing_recorded_is_an_error():
    layers = perceptron().layers
    silent = Recorded(layers, lambda x: (x, []))
    for metric in (m.ActivationSparsity, m.ActivationSparsityByLayer, m.SynapticOperations):
        with pytest.raises(UserError, match=f"{metric.__name__}: the model recorded no .*; record it, or leave it out"):
            run(silent, SX, SY, 3, [], [metric], [])


def test_neuron_operations_of_a_network_without_spiking_neurons():
    """Defect: reported as 0.0, because a rectifier has no cost; membranes that don't exist are updated 0 times."""
    case = ORACLE["mlp_relu_real"]
    assert official("mlp_relu_real", 6)["NeuronOperations"] == 0.0
    with pytest.raises(UserError, match="no steps of spiking neurons"):
        run(perceptron(), array(case["inputs"]), case["targets"], 6, [argmax], [m.NeuronOperations])


def test_bare_layer_has_a_connection_sparsity():
    """Defect: a network that is one layer divides by zero and is reported as None, and has no operations."""
    theirs = ORACLE["static_edges"]["results"]["bare_linear"]
    assert theirs["ConnectionSparsity"] is None and theirs["SynapticOperations"]["Dense"] == 0.0
    layer = perceptron().layers[0]
    model = Perceptron([layer])
    ours = run(model, inputs_of("mlp_relu_real"), np.zeros(6), 6, [], [m.SynapticOperations])
    assert ours["ConnectionSparsity"] == np.mean(layer.weight == 0) == 0.25
    assert ours["SynapticOperations"]["Dense"] == 20
    assert (ours["Footprint"], ours["ParameterCount"]) == (theirs["Footprint"], theirs["ParameterCount"])
    with pytest.raises(UserError, match="ConnectionSparsity: the model has no connection layers"):
        m.ConnectionSparsity()(Recorded([], None))


def test_large_counts_are_exact():
    """Defect: counts are summed in the layer's float32, exact up to 2^24 only."""
    n = 4099
    layer = Linear("big", np.ones((n, n), np.float32))
    model = Recorded([layer], lambda x: (x, [LayerRecord(layer, x[None])]))
    ours = run(model, np.ones((1, n), np.float32), np.zeros(1), 1, [], [m.SynapticOperations], [])["SynapticOperations"]
    theirs = ORACLE["float32_count_rounding"]["results"]["float32"]
    assert theirs["Effective_ACs"] == theirs["Dense"] == 16801800
    assert ours["Effective_ACs"] == ours["Dense"] == ORACLE["float32_count_rounding"]["exact"] == 16801801


def test_by_layer_alone():
    """Defect: listed alone it raises an AttributeError at construction."""
    assert "AttributeError" in ORACLE["harness_probes"]["results"]["ActivationSparsityByLayer_alone"]
    model, case = perceptron(), ORACLE["mlp_relu_real"]
    ours = run(model, array(case["inputs"]), case["targets"], 6, [argmax], [m.ActivationSparsityByLayer], [])
    assert ours["ActivationSparsityByLayer"] == {"fc0.relu": 0.5}


def test_layers_of_equal_local_names_stay_apart():
    """Defect: the harness takes the local name for the key, and merges block1.act with block2.act."""

    def forward(x):
        return x, [ActivationRecord("block1.act", x), ActivationRecord("block2.act", 0 * x)]

    ours = run(Recorded([], forward), np.ones((2, 3)), np.zeros(2), 2, [], [m.ActivationSparsityByLayer], [])
    assert ours["ActivationSparsityByLayer"] == {"block1.act": 0.0, "block2.act": 1.0}
