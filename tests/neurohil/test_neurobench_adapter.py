"""Our models in the official harness, and its models in ours: equal numbers. Runs where the harness is installed."""

import numpy as np
import pytest
from neurobench_networks import (
    HOOKED,
    ORACLE,
    SPIKING,
    STATIC,
    SX,
    SY,
    Recorded,
    argmax,
    array,
    assert_same,
    cell_model,
    inputs_of,
    official,
    perceptron,
    run,
    spiking_net,
    without,
)

pytest.importorskip("neurobench")

import neurobench.metrics.static as official_static
import neurobench.metrics.workload as official_workload
import torch
from neurobench.benchmarks import Benchmark as OfficialBenchmark
from neurobench.models import SNNTorchModel
from neurobench.models import TorchModel as OfficialTorchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from neurohil.neurobench import metrics as m
from neurohil.neurobench.adapter import OfficialModel
from neurohil.neurobench.benchmark import Benchmark
from neurohil.neurobench.pytorch import TorchModel
from neurohil.neurobench.records import Convolution, EventRecord, LayerRecord, Linear

snntorch = pytest.importorskip("snntorch")


def run_official(model, inputs, targets, size, post, workload):
    """The official harness with metrics of the same names as ours."""
    data = TensorDataset(torch.from_numpy(np.asarray(inputs)), torch.from_numpy(np.asarray(targets)))
    names = [[metric.__name__ for metric in metrics] for metrics in (STATIC, workload)]
    classes = [[getattr(official_static, name) for name in names[0]], [getattr(official_workload, n) for n in names[1]]]
    return OfficialBenchmark(model, DataLoader(data, batch_size=size), [], post, classes).run(quiet=True)


# ------------------------------------------------------------------------------------------------ ours in theirs


def spikes_argmax(spikes):
    return spikes.sum(1).argmax(1)


@pytest.mark.parametrize("size", [3, 2])
@pytest.mark.parametrize(("kind", "reset"), [("Leaky", "subtract"), ("Leaky", "zero"), ("Synaptic", "subtract")])
def test_spiking_network_in_the_official_harness(kind, reset, size):
    def net():
        """Torch knows no void type, so the constants of neurons stay out."""
        model = spiking_net(kind, reset)
        model.stored = [array for array in model.stored if array.trained]
        return model

    workload = [m.ClassificationAccuracy, *SPIKING]
    theirs = run_official(OfficialModel(net()), SX, SY, size, [spikes_argmax], workload)
    ours = run(net(), SX, SY, size, [spikes_argmax], workload)
    assert_same(ours, theirs)
    expected = official("leaky_subtract", size)
    if (kind, reset) == ("Leaky", "subtract"):
        assert_same(theirs, without(expected, "Footprint"))


@pytest.mark.parametrize("name", ["mlp_relu_real", "mlp_relu_mixed"])
def test_perceptron_in_the_official_harness(name):
    inputs, targets = inputs_of(name), ORACLE[name]["targets"]
    workload = [m.ClassificationAccuracy, *HOOKED]
    theirs = run_official(OfficialModel(perceptron()), inputs, targets, 3, [argmax], workload)
    assert_same(run(perceptron(), inputs, targets, 3, [argmax], workload), theirs)


@pytest.mark.parametrize("name", ["RNNCell_state", "LSTMCell_state", "GRUCell_state"])
def test_cells_in_the_official_harness(name):
    inputs = array(ORACLE[name]["inputs"])
    theirs = run_official(OfficialModel(cell_model(name)), inputs, np.zeros(3), 3, [], [m.SynapticOperations])
    assert_same(theirs, official(name, 3))


def test_convolution_in_the_official_harness():
    rng = np.random.default_rng(1)
    layer = Convolution("c", rng.integers(-1, 2, (4, 1, 2, 3)).astype(np.float32), None, (1, 2), (0, 1), (2, 1), 2)
    model = Recorded([layer], lambda x: (x, [LayerRecord(layer, x[None])]))
    x = rng.integers(0, 4, (2, 2, 5, 6)).astype(np.float32)
    theirs = run_official(OfficialModel(model), x, np.zeros(2), 2, [], [m.SynapticOperations])
    assert_same(run(model, x, np.zeros(2), 2, [], [m.SynapticOperations]), theirs)
    assert theirs["SynapticOperations"]["Effective_MACs"] > 0


def test_events_in_the_official_harness():
    """Spread over the steps of their declared dt."""
    rng = np.random.default_rng(2)
    layer = Linear("synapses", rng.integers(-1, 2, (4, 5)).astype(float))
    arrivals, spikes = rng.integers(0, 4, (3, 5)), rng.integers(0, 3, (3, 4))
    model = Recorded([layer], lambda x: (x, [EventRecord(layer, arrivals, spikes, duration=2.0, dt=0.25)]))
    theirs = run_official(OfficialModel(model), np.zeros((3, 1)), np.zeros(3), 3, [], HOOKED)
    assert_same(run(model, np.zeros((3, 1)), np.zeros(3), 3, [], HOOKED), theirs)
    assert theirs["SynapticOperations"]["Dense"] == 8 * 20


# ------------------------------------------------------------------------------------------------ theirs in ours


def linear(weight, bias=None):
    module = nn.Linear(len(weight[0]), len(weight), bias is not None)
    module.weight.data = torch.tensor(weight)
    if bias is not None:
        module.bias.data = torch.tensor(bias)
    return module


def torch_perceptron(activation):
    first, _, second = ORACLE["mlp_relu_real"]["model"]["layers"]
    return nn.Sequential(linear(first["weight"], first["bias"]), activation, linear(second["weight"], second["bias"]))


@pytest.mark.parametrize(
    ("name", "activation"), [("mlp_relu_real", nn.ReLU()), ("mlp_relu_binary", nn.ReLU(inplace=True))]
)
def test_torch_perceptron_in_our_harness(name, activation):
    workload = [m.ClassificationAccuracy, *HOOKED]
    for size in (6, 4):
        model = TorchModel(torch_perceptron(activation))
        ours = run(model, inputs_of(name), ORACLE[name]["targets"], size, [argmax], workload)
        assert_same(ours, without(official(name, size), "MembraneUpdates", "NeuronOperations"))


def test_a_loader_of_torch_is_data():
    name = "mlp_relu_real"
    targets = torch.tensor(ORACLE[name]["targets"])
    loader = DataLoader(TensorDataset(torch.tensor(inputs_of(name)), targets), batch_size=4)
    model = TorchModel(torch_perceptron(nn.ReLU()))
    ours = Benchmark(model, loader, [], [argmax], [[], [m.ClassificationAccuracy]]).run(quiet=True)
    assert ours["ClassificationAccuracy"] == pytest.approx(official(name, 4)["ClassificationAccuracy"])


NEURONS = {
    "Leaky": lambda **k: snntorch.Leaky(beta=0.5, **k),
    "Lapicque": lambda **k: snntorch.Lapicque(beta=0.5, **k),
    "Synaptic": lambda **k: snntorch.Synaptic(alpha=0.5, beta=0.5, **k),
    "Alpha": lambda **k: snntorch.Alpha(alpha=0.75, beta=0.5, **k),
}


class FirstAndLast(nn.Module):
    """Spikes and membrane of a neuron with more states, which the official step loop can't unpack."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        out = self.net(x)
        return out[0], out[-1]


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("kind", NEURONS)
def test_snntorch_network_in_our_harness(kind, reset):
    spec = ORACLE["leaky_subtract"]["model"]
    neuron = NEURONS[kind]
    net = FirstAndLast(
        nn.Sequential(
            linear(spec["weight1"], spec["bias1"]),
            neuron(init_hidden=True, reset_mechanism=reset),
            linear(spec["weight2"]),
            neuron(init_hidden=True, output=True, reset_mechanism=reset),
        )
    )
    name = f"leaky_{reset}" if kind == "Leaky" else f"neuronops_{kind}_{reset}"
    ours = run(TorchModel(net, forward=SNNTorchModel(net)), SX, SY, 3, [spikes_argmax], SPIKING)
    assert_same(ours, without(official(name, 3), "ClassificationAccuracy"))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_torch_cell_in_our_harness(kind):
    name = f"{kind}Cell_state"
    spec = ORACLE[name]["model"]

    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = getattr(nn, f"{kind}Cell")(2, 3)
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.cell, key).data = torch.tensor(spec[key])

        def forward(self, x):
            none = torch.zeros(len(x), 3)
            state = (none, none) if kind == "LSTM" else none
            for step in range(x.shape[1]):
                state = self.cell(x[:, step], state)
            return state

    net = Unrolled()
    model = TorchModel(net, forward=lambda x: net(x)[0])
    ours = run(model, array(ORACLE[name]["inputs"]), np.zeros(3), 3, [], [m.SynapticOperations])
    expected = official(name, 3)["SynapticOperations"] | ({"Dense": 276} if kind == "LSTM" else {})
    assert ours["SynapticOperations"] == pytest.approx(expected)


class Doubled(nn.Module):
    """One tied weight, called with a keyword argument, which the official hook can't see."""

    def __init__(self):
        super().__init__()
        self.one = linear(ORACLE["static_edges"]["model"]["weight"])
        self.two = nn.Linear(4, 5, bias=False)
        self.two.weight = self.one.weight
        self.act = nn.Tanh()

    def forward(self, x):
        return self.act(self.one(input=x) + self.two(x))


def test_tied_weights_and_keyword_arguments():
    ours = run(TorchModel(Doubled(), activations=[nn.Tanh]), inputs_of("mlp_relu_real"), np.zeros(6), 6, [], HOOKED)
    expected = ORACLE["static_edges"]["results"]["tied_plus_buffers"]
    assert (ours["Footprint"], ours["ParameterCount"]) == (80, 20)
    assert ours["ConnectionSparsity"] == expected["ConnectionSparsity"]
    assert ours["SynapticOperations"] == expected["SynapticOperations"]
    assert list(ours["ActivationSparsityByLayer"]) == ["act"]


def test_torch_convolution_in_our_harness():
    net = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.ReLU())
    x = np.random.default_rng(3).integers(-1, 2, (2, 2, 5, 5)).astype(np.float32)
    theirs = run_official(OfficialTorchModel(net), x, np.zeros(2), 2, [], HOOKED)
    assert_same(run(TorchModel(net), x, np.zeros(2), 2, [], HOOKED), theirs)
