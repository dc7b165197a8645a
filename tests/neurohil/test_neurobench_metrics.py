"""Every metric against the numbers of the official harness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    convolve,
    identity,
    inputs_of,
    most_spikes,
    official,
    perceptron,
    perceptron_with,
    run,
    sizes,
    spiking_net,
    without,
)

from neurohil.neurobench import metrics as m
from neurohil.neurobench.operations import of_calls
from neurohil.neurobench.records import ActivationRecord, Convolution, LayerRecord, Linear, Stored

MLP = ["real", "binary", "ternary", "mixed", "zeros"]


@pytest.mark.parametrize(
    ("name", "size"), [(f"mlp_relu_{kind}", size) for kind in MLP for size in sizes(f"mlp_relu_{kind}")]
)
def test_perceptron(name, size):
    workload = [m.ClassificationAccuracy, *HOOKED, m.MembraneUpdates]
    ours = run(perceptron(), inputs_of(name), ORACLE[name]["targets"], size, [argmax], workload)
    assert_same(ours, without(official(name, size), "NeuronOperations"))


def test_perceptron_outputs_are_those_of_the_oracle():
    case = ORACLE["mlp_relu_real"]
    model = perceptron()
    assert np.array_equal(model(array(case["inputs"])), array(case["outputs"]))
    assert np.array_equal(model.records[1].outputs, array(case["hidden"]))


def test_sigmoid():
    case = ORACLE["mlp_sigmoid_real"]
    model = perceptron_with(lambda x: 1 / (1 + np.exp(-x)))
    ours = run(model, array(case["inputs"]), case["targets"], 6, [argmax], [m.ClassificationAccuracy, *HOOKED])
    assert_same(ours, official("mlp_sigmoid_real", 6))


@pytest.mark.parametrize(("dtype", "key"), [(np.float64, "float64_mlp"), (np.float16, "float16_footprint")])
def test_other_precisions(dtype, key):
    expected = ORACLE["static_edges"]["results"][key]
    if dtype == np.float16:
        assert m.Footprint()(perceptron(dtype)) == expected == 86
        return
    case = ORACLE["mlp_relu_real"]
    assert_same(run(perceptron(dtype), array(case["inputs"], dtype), case["targets"], 6, [argmax], HOOKED), expected)


def test_tied_weights_count_once_in_memory_and_twice_as_connections():
    expected = ORACLE["static_edges"]["results"]["tied_plus_buffers"]
    weight = array(ORACLE["static_edges"]["model"]["weight"])
    layers = [Linear("shared", weight), Linear("again", weight)]
    buffers = [Stored("window", np.zeros(10), False), Stored("flags", np.zeros(3, np.int8), False)]
    model = Recorded(layers, lambda x: (x @ weight.T, [LayerRecord(layer, x[None]) for layer in layers]), buffers)
    inputs = array(ORACLE["mlp_relu_real"]["inputs"])
    assert_same(run(model, inputs, np.zeros((6, 5)), 6, [], [m.SynapticOperations]), expected)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_simulated_neurons_are_those_of_the_oracle(reset):
    trace = ORACLE[f"leaky_{reset}"]["trace"]
    model = spiking_net(reset=reset)
    model(SX)
    assert len(model.records) > 2
    for k, record in enumerate(model.records[2:], start=1):
        assert np.array_equal(record.outputs, array(trace[f"layer{k}_spikes"]))
        assert np.array_equal(record.after, array(trace[f"layer{k}_mem"]))


@pytest.mark.parametrize("size", [3, 2, 1])
@pytest.mark.parametrize("name", ["leaky_subtract", "leaky_zero", "leaky_subtract_nobias"])
def test_leaky(name, size):
    model = spiking_net(reset=ORACLE[name]["model"]["reset_mechanism"], bias="nobias" not in name)
    ours = run(model, SX, SY, size, [most_spikes], [m.ClassificationAccuracy, *SPIKING])
    assert_same(ours, official(name, size))


@pytest.mark.parametrize("name", ["leaky_explicit_state", "numpy_simulator_as_model"])
def test_the_same_network_written_otherwise(name):
    """States passed by hand; a simulator without constants of neurons in its footprint."""
    for size in sizes(name):
        ours = run(spiking_net(), SX, SY, size, [most_spikes], [m.ClassificationAccuracy, *SPIKING])
        assert_same(ours, without(official(name, size), "Footprint"))
    assert m.Footprint()(Recorded(spiking_net().layers, None)) == ORACLE["numpy_simulator_as_model"]["results"][
        "batch_size=3"]["Footprint"]  # fmt: skip


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("kind", ["Synaptic", "Lapicque", "Alpha"])
def test_neuron_operations(kind, reset):
    ours = run(spiking_net(kind, reset), SX, SY, 3, [most_spikes], SPIKING)
    assert_same(ours, official(f"neuronops_{kind}_{reset}", 3))


def test_footprint_grows_with_membranes_that_are_kept():
    expected = ORACLE["footprint_grows"]["results"]
    fresh = spiking_net(membranes=[np.zeros(0, np.float32)] * 1)
    used = spiking_net(membranes=[np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32)])
    assert (m.Footprint()(fresh), m.Footprint()(used)) == (expected["before"], expected["after"]) == (136, 208)


@pytest.mark.parametrize("name", [name for name in ORACLE if name.startswith("conv")])
def test_convolution(name):
    spec = ORACLE[name]["model"]
    weight = array(spec["weight"])
    settings_ = {key: spec[key] for key in ("stride", "padding", "groups") if key in spec}
    layer = Convolution("0", weight, np.full(len(weight), spec["bias"], np.float32), **settings_)

    def forward(x):
        outputs = np.maximum(convolve(layer, x), 0)
        return outputs, [LayerRecord(layer, x[None]), ActivationRecord("1", outputs)]

    x = array(ORACLE[name]["inputs"])
    assert list(convolve(layer, x).shape) == ORACLE[name]["output_shape"]
    ours = run(Recorded([layer], forward), x, np.zeros(len(x)), 2, [], HOOKED)
    assert_same(ours, official(name, 2))


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_convolution_counts_every_product(kernel, stride, padding, dilation, groups, seed):
    """The documented definition, product by product: a convolution of ones where inputs and weights aren't zero."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-1, 2, (4, 2 // groups, *kernel)).astype(float)
    layer = Convolution("c", weight, None, stride, padding, dilation, groups)
    ones = Convolution("c", (weight != 0) * 1.0, None, stride, padding, dilation, groups)
    full = Convolution("c", np.ones_like(weight), None, stride, padding, dilation, groups)
    x = rng.integers(0, 3, (2, 2, 2, *(5 + rng.integers(0, 2, len(kernel)))))
    found = of_calls(LayerRecord(layer, x))
    effective = sum(convolve(ones, (call != 0) * 1.0).sum() for call in x)
    assert found.macs + found.acs == effective
    assert found.dense == sum(convolve(full, np.ones(call.shape)).sum() for call in x)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cells_with_state(kind):
    name = f"{kind}Cell_state"
    expected, ours = official(name, 3), cell_operations(name)
    assert_same(ours, without(expected, "SynapticOperations"))
    ignored = ("Dense",) if kind == "LSTM" else ()
    for key in {"Effective_MACs", "Effective_ACs", "Dense"} - set(ignored):
        assert ours["SynapticOperations"][key] == pytest.approx(expected["SynapticOperations"][key], rel=1e-6)


@pytest.mark.parametrize("size", [5, 2, 1])
def test_regression(size):
    p, y = (np.array(ORACLE["regression"][key]) for key in ("predictions", "targets"))
    assert_same(run(identity(), p, y, size, [], [m.MSE, m.SMAPE, m.R2], []), official("regression", size))
