"""Oracle of the NeuroBench tests, and its networks, which are run here after their published equations.

tests/oracles/neurobench.json holds tiny networks whose weights and inputs are multiples of 1/8, and what the official
harness 2.3.0 returned for them.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from neurohil.neurobench import metrics as m
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.models import Perceptron
from neurohil.neurobench.records import (
    ActivationRecord,
    LayerRecord,
    Linear,
    NeuronRecord,
    RecurrentCell,
    Stored,
    parameters_of,
)

ORACLE = {
    case["name"]: case
    for case in json.loads((Path(__file__).parent.parent / "oracles" / "neurobench.json").read_text())["cases"]
}

STATIC = [m.Footprint, m.ParameterCount, m.ConnectionSparsity]

HOOKED = [m.ActivationSparsity, m.ActivationSparsityByLayer, m.SynapticOperations]


class Recorded:
    """A model made of its layers, of what else it stores, and of a function: inputs -> (predictions, records)."""

    def __init__(self, layers, run, buffers=()):
        self.layers = layers
        self.stored = [*parameters_of(layers), *buffers]
        self.records = []
        self._run = run

    def __call__(self, batch):
        predictions, self.records = self._run(batch)
        return predictions


def array(values, dtype=np.float32):
    return np.array(values, dtype=dtype)


def argmax(scores):
    return scores.argmax(axis=1)


def most_spikes(spikes):
    return spikes.sum(axis=1).argmax(axis=1)


def official(name, batch_size):
    return ORACLE[name]["results"][f"batch_size={batch_size}"]


def sizes(name):
    return [int(key.split("=")[1]) for key in ORACLE[name]["results"] if key.split("=")[1].isdigit()]


def run(model, inputs, targets, size, post, workload, static=STATIC):
    return Benchmark(model, batched(inputs, np.asarray(targets), size), [], post, [static, workload]).run(quiet=True)


def assert_same(ours, theirs):
    """All official numbers, by name; layers in their order, because their names differ."""
    for name, value in theirs.items():
        if name == "ActivationSparsityByLayer":
            assert list(ours[name].values()) == pytest.approx(list(value.values()), abs=1e-6)
        elif isinstance(value, dict):
            assert ours[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        else:
            assert ours[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def without(results, *names):
    return {name: value for name, value in results.items() if name not in names}


def inputs_of(name):
    return array(ORACLE[name]["inputs"])


def perceptron(dtype=np.float32):
    first, _, second = ORACLE["mlp_relu_real"]["model"]["layers"]
    layers = [
        Linear(f"fc{k}", array(s["weight"], dtype), array(s["bias"], dtype)) for k, s in enumerate((first, second))
    ]
    return Perceptron(layers)


def perceptron_with(activation):
    """As `perceptron`, with another activation."""
    layers = perceptron().layers

    def forward(x):
        hidden = activation(x @ layers[0].weight.T + layers[0].bias)
        scores = hidden @ layers[1].weight.T + layers[1].bias
        return scores, [
            LayerRecord(layers[0], x[None]),
            ActivationRecord("1", hidden),
            LayerRecord(layers[1], hidden[None]),
        ]

    return Recorded(layers, forward)


BETA, THRESHOLD = np.float32(0.5), np.float32(1.0)


class Neurons:
    """snnTorch's neurons after its documentation: the reset of a step is decided by the membrane before it."""

    def __init__(self, name, kind, reset, n):
        self.name, self.kind, self.reset, self.n = name, kind, reset, n
        self.rows = []

    def start(self, batch):
        self.rows = []
        self.membrane, self.first, self.second = (np.zeros((batch, self.n), np.float32) for _ in range(3))

    def step(self, current):
        before, resets = self.membrane, (self.membrane > THRESHOLD).astype(np.float32)
        if self.reset == "none":
            resets = np.zeros_like(resets)
        self.membrane = getattr(self, self.kind.lower())(current, resets)
        spikes = (self.membrane > THRESHOLD).astype(np.float32)
        self.rows.append((spikes, before, self.membrane))
        return spikes

    def leaky(self, current, resets):
        if self.reset == "zero":
            return BETA * self.membrane * (1 - resets) + current
        return BETA * self.membrane + current - resets * THRESHOLD

    def synaptic(self, current, resets):
        self.first = np.float32(0.5) * self.first + current
        membrane = BETA * self.membrane + self.first
        return membrane - resets * (membrane if self.reset == "zero" else THRESHOLD)

    def lapicque(self, current, resets):
        rc = np.float32(1 / np.log(1 / BETA))
        membrane = current * (1 / rc) + (1 - 1 / rc) * self.membrane
        return membrane - resets * (membrane if self.reset == "zero" else THRESHOLD)

    def alpha(self, current, resets):
        alpha, old = np.float32(0.75), self.second
        excited, inhibited = alpha * self.first + current, BETA * self.second - current
        membrane = (np.log(alpha) / (np.log(BETA) - np.log(alpha)) + 1) * (excited + inhibited)
        if self.reset == "zero":
            self.first, self.second = excited * (1 - resets), inhibited * (1 - resets)
            return membrane * (1 - resets)
        self.first, self.second = excited - THRESHOLD * resets, inhibited * (1 - resets)
        return membrane + old * resets

    def record(self):
        return NeuronRecord(
            self.name, *(np.array(rows) for rows in zip(*self.rows, strict=True)), self.kind, self.reset
        )


BUFFERS = {
    "Leaky": [4, 4, 8, 4],
    "Synaptic": [4, 4, 8, 4, 4],
    "Lapicque": [4, 4, 8, 4, 8, 8, 4],
    "Alpha": [4, 4, 8, 4, 4],
}


def constants(kind):
    """The constants that snnTorch keeps as buffers of a population, by their bytes."""
    return [Stored(f"{kind} {k}", np.zeros((), f"V{size}"), trained=False) for k, size in enumerate(BUFFERS[kind])]


def spiking_net(kind="Leaky", reset="subtract", bias=True, membranes=()):
    spec = ORACLE["leaky_subtract"]["model"]
    layers = [
        Linear("0", array(spec["weight1"]), array(spec["bias1"]) if bias else None),
        Linear("2", array(spec["weight2"])),
    ]
    populations = [Neurons("1", kind, reset, 4), Neurons("3", kind, reset, 2)]

    def forward(x):
        for population in populations:
            population.start(len(x))
        seen, out = ([], []), []
        for step in range(x.shape[1]):
            spikes = x[:, step]
            for layer, population, inputs in zip(layers, populations, seen, strict=True):
                inputs.append(spikes)
                current = spikes @ layer.weight.T
                spikes = population.step(current if layer.bias is None else current + layer.bias)
            out.append(spikes)
        records = [LayerRecord(layer, np.array(inputs)) for layer, inputs in zip(layers, seen, strict=True)]
        return np.stack(out, axis=1), records + [population.record() for population in populations]

    buffers = [*constants(kind), *constants(kind)] + [Stored("mem", mem, False) for mem in membranes]
    return Recorded(layers, forward, buffers)


def recurrent_spiking_net(kind):
    spec = ORACLE["rleaky"]["model"]
    fc = Linear("fc", array(spec["weight1"]), array(spec["bias1"]))
    recurrent = Linear("rec.recurrent", array(spec["recurrent"]), np.zeros(4, np.float32))
    population = Neurons("rec", "Leaky", "subtract", 4)

    def forward(x):
        population.start(len(x))
        spikes = np.zeros((len(x), 4), np.float32)
        fed_back = []
        for step in range(x.shape[1]):
            fed_back.append(spikes)
            spikes = population.step(x[:, step] @ fc.weight.T + fc.bias + spikes @ recurrent.weight.T)
        record = population.record()
        population_record = NeuronRecord("rec", record.outputs, record.before, record.after, kind, "subtract")
        inputs = np.moveaxis(x, 1, 0)
        records = [LayerRecord(fc, inputs), LayerRecord(recurrent, np.array(fed_back)), population_record]
        return np.stack(record.outputs, axis=1), records

    return Recorded([fc, recurrent], forward, constants("Leaky"))


SPIKING = [*HOOKED, m.MembraneUpdates, m.NeuronOperations]

SX, SY = inputs_of("leaky_subtract"), ORACLE["leaky_subtract"]["targets"]


def convolve(layer, x):
    """Sum by sum: x (batch, channels, *space)."""
    stride, padding, dilation = (layer.per_dimension(field) for field in ("stride", "padding", "dilation"))
    kernel = layer.weight.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    space = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[2:], dilation, kernel, stride, strict=True)]
    out = np.zeros((len(x), len(layer.weight), *space))
    outs, ins = len(layer.weight) // layer.groups, layer.weight.shape[1]
    for place in itertools.product(range(len(x)), range(len(layer.weight)), *map(range, space)):
        group = place[1] // outs
        for tap in itertools.product(range(ins), *map(range, kernel)):
            where = tuple(p * s + o * d for p, s, o, d in zip(place[2:], stride, tap[1:], dilation, strict=True))
            out[place] += x[(place[0], group * ins + tap[0], *where)] * layer.weight[(place[1], *tap)]
    return out if layer.bias is None else out + layer.bias.reshape(-1, *[1] * len(space))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_step(cell, x, states):
    """The published equations of the three cells."""
    h = states[0]
    a = np.split(x @ cell.weight_ih.T + cell.bias_ih, cell.blocks, axis=1)
    b = np.split(h @ cell.weight_hh.T + cell.bias_hh, cell.blocks, axis=1)
    if cell.kind == "rnn":
        return (np.tanh(a[0] + b[0]),)
    if cell.kind == "gru":
        r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        return ((1 - z) * np.tanh(a[2] + r * b[2]) + z * h,)
    i, f, g, o = (p + q for p, q in zip(a, b, strict=True))
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    return (sigmoid(o) * np.tanh(c), c)


def cell_model(name, keeps_state=True):
    spec = ORACLE[name]["model"]
    kind = name.split("Cell")[0].lower()
    cell = RecurrentCell("cell", kind, *(array(spec[k]) for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))

    def forward(x):
        none = (np.zeros((len(x), cell.hidden), np.float32),) * (2 if kind == "lstm" else 1)
        states, before = none, []
        for step in range(x.shape[1]):
            before.append(states if keeps_state else none)
            states = cell_step(cell, x[:, step], before[-1])
        kept = tuple(np.array(s) for s in zip(*before, strict=True)) if keeps_state else ()
        return states[0], [LayerRecord(cell, np.moveaxis(x, 1, 0), kept)]

    return Recorded([cell], forward)


def cell_operations(name, size=3, **options):
    inputs = array(ORACLE[name]["inputs"])
    return run(cell_model(name, **options), inputs, np.zeros(3), size, [], [m.SynapticOperations])


def identity():
    return Recorded([], lambda x: (x, []))
