"""Events in continuous time, true bits and devices, and records that are refused."""

import numpy as np
import pytest
from neurobench_networks import HOOKED, SX, SY, Recorded, identity, official, run, spiking_net

from neurohil.errors import UserError
from neurohil.neurobench import metrics as m
from neurohil.neurobench.operations import of_calls
from neurohil.neurobench.records import (
    Convolution,
    EventRecord,
    LayerRecord,
    Linear,
    NeuronRecord,
    RecurrentCell,
    Stored,
)


def two_sources():
    """Source 0 reaches both neurons, source 1 one of them, source 2 none."""
    return Linear("synapses", np.array([[1.0, 0.5, 0.0], [-1.0, 0.0, 0.0]]))


def events(dt):
    arrivals = np.array([[2, 1, 5], [0, 3, 0]])
    spikes = np.array([[1, 0], [2, 1]])
    layer = two_sources()
    return Recorded([layer], lambda x: (x, [EventRecord(layer, arrivals, spikes, duration=10.0, dt=dt)]))


def test_operations_from_spikes():
    """By hand: 2 spikes x 2 synapses + 4 spikes x 1 synapse, over 2 samples; 6 synapses x 20 steps."""
    data = (np.ones((2, 1)), np.zeros(2))
    ours = run(events(0.5), *data, 2, [], [m.SynapticOperations, m.MembraneUpdates, *HOOKED[:2]], [])
    assert ours["SynapticOperations"] == {"Effective_MACs": 0.0, "Effective_ACs": 4.0, "Dense": 120.0}
    assert ours["MembraneUpdates"] == (8 + 4) / 2
    assert ours["ActivationSparsity"] == pytest.approx(1 - 4 / (2 * 2 * 20))
    assert ours["ActivationSparsityByLayer"] == {"synapses": pytest.approx(0.95)}
    free = run(events(None), *data, 2, [], [m.SynapticOperations, m.MembraneUpdates], [])
    assert free["SynapticOperations"] == {"Effective_MACs": 0.0, "Effective_ACs": 4.0, "Dense": None}
    assert free["MembraneUpdates"] == ours["MembraneUpdates"]
    with pytest.raises(
        UserError, match="layer synapses has events but no steps; declare a dt, or leave the metric out"
    ):
        run(events(None), *data, 2, [], [m.ActivationSparsity], [])
    with pytest.raises(UserError, match="the costs are those of a step"):
        run(events(0.5), *data, 2, [], [m.NeuronOperations], [])


def test_events_equal_the_same_network_in_steps():
    """The spikes of the oracle's network, told as events, make the operations and the sparsity of the steps."""
    stepped = spiking_net()
    stepped(SX)
    inputs, spikes = stepped.records[:2], stepped.records[2:]

    def forward(x):
        done = []
        for layer, population in zip(inputs, spikes, strict=True):
            counts = (record.astype(np.int64).sum(axis=0) for record in (layer.inputs, population.outputs))
            done.append(EventRecord(layer.layer, *counts, duration=0.006, dt=0.001))
        return x, done

    ours = run(Recorded(stepped.layers, forward), SX, SY, 3, [], HOOKED)
    expected = official("leaky_subtract", 3)
    assert ours["SynapticOperations"] == pytest.approx(expected["SynapticOperations"])
    assert ours["ActivationSparsity"] == pytest.approx(expected["ActivationSparsity"])


def test_true_bits_and_devices():
    """784 x 10 pairs of nine-level devices in int8: 3.17 bits x 2 devices a weight, beside one byte of int8."""
    levels = np.zeros((784, 10), np.int8)
    stored = [
        Stored("levels", levels, bits=2 * np.log2(9), devices=2),
        Stored("norm", np.zeros((2, 10))),
        Stored("hidden", np.zeros((784, 10), np.float32), trained=False),
    ]
    model = Recorded([], None)
    model.stored = stored
    assert m.Footprint()(model) == 7840 + 160 + 4 * 7840
    assert m.ParameterCount()(model) == 7840 + 20
    found = m.TrueFootprint()(model)
    assert found["Devices"] == 15680
    assert found["Bits"] == pytest.approx(7840 * 2 * 3.169925 + 20 * 64 + 7840 * 32)


@pytest.mark.parametrize("size", [1, 7])
def test_split_into_macs_and_acs_is_by_batch(size):
    """One analogue value makes the whole call of the batch multiply-accumulates, as in the harness."""
    layer = Linear("fc", np.ones((2, 3)))
    x = np.zeros((7, 3))
    x[0], x[1, 0] = [0.5, 0.0, 0.0], 1.0
    model = Recorded([layer], lambda x: (x, [LayerRecord(layer, x[None])]))
    ours = run(model, x, np.zeros(7), size, [], [m.SynapticOperations], [])
    acs = 2 if size == 1 else 0
    assert ours["SynapticOperations"] == pytest.approx(
        {"Effective_MACs": (4 - acs) / 7, "Effective_ACs": acs / 7, "Dense": 6.0}
    )
    assert ours["metadata"]["batch_size"] == size


def test_values_that_are_not_finite():
    bad = np.array([[1.0, np.nan]])
    good = np.ones((1, 2))
    with pytest.raises(UserError, match=r"MSE: predictions\[0, 1\] = nan is not a number; mend the data"):
        run(identity(), bad, good, 1, [], [m.MSE], [])
    with pytest.raises(UserError, match=r"SMAPE: targets\[0, 1\] = nan is not a number"):
        run(identity(), good, bad, 1, [], [m.SMAPE], [])
    assert run(identity(), bad, good, 1, [], [m.SMAPE], [])["SMAPE"] == pytest.approx(100)


def test_r2_of_any_number_of_columns():
    """The harness takes two. By hand: errors 1, 0, 1 over squares 2 of 0, 1, 2."""
    p, y = np.array([[1.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [2.0]])
    assert run(identity(), p, y, 2, [], [m.R2], [])["R2"] == pytest.approx(0.0)
    with pytest.raises(UserError, match="targets of column 0 are all equal"):
        run(identity(), p, p, 3, [], [m.R2], [])


@pytest.mark.parametrize(
    ("value", "unit"),
    [(0.0, True), (-1.0, True), (1.0, True), (0.5, False), (2.0, False), (np.nan, False), (-np.inf, False)],
)
@pytest.mark.parametrize("place", [0, 999])
def test_one_value_decides_about_a_call(value, unit, place):
    """Wherever it stands; other calls keep their kind. NaN and infinity count as not zero, as in the harness."""
    layer = Linear("fc", np.ones((1, 1000)))
    x = np.zeros((2, 3, 1000))
    x[0, 2, place], x[1, 0, 0] = value, 1.0
    done = of_calls(LayerRecord(layer, x))
    effective = int(value != 0)
    assert (done.macs, done.acs) == ((0, effective + 1) if unit else (effective, 1))


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.float16])
def test_inputs_of_other_types(dtype):
    layer = Linear("fc", np.ones((1, 3), np.int8))
    record = LayerRecord(layer, np.array([[[1, 0, 1]]]).astype(dtype))
    assert of_calls(record) == (0, 2, 3)
    if dtype == np.int8:
        assert of_calls(LayerRecord(layer, np.array([[[-128, 0, 1]]], dtype))) == (2, 0, 3)


FC = Linear("fc", np.ones((2, 3)))

GRU = RecurrentCell("gru", "gru", np.ones((6, 3)), np.ones((6, 2)))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Linear("fc", np.ones(3)), r"fc.weight has shape \(3,\); expected \(n_out, n_in\)"),
        (lambda: Linear("fc", np.ones((2, 3)), np.ones(3)), r"bias of layer fc has shape \(3,\); expected \(2,\)"),
        (lambda: Convolution("c", np.ones((2, 3))), r"expected \(n_out, n_in / groups, \*kernel\)"),
        (lambda: Convolution("c", np.ones((2, 1, 3)), stride=0), r"c.stride = 0; expected 1 whole numbers >= 1"),
        (lambda: Convolution("c", np.ones((2, 1, 3)), groups=3), "c.groups = 3 must divide the 2 outputs"),
        (lambda: RecurrentCell("r", "elman", np.ones((2, 3)), np.ones((2, 2))), "choose one of rnn, gru, lstm"),
        (lambda: RecurrentCell("r", "gru", np.ones((6, 3)), np.ones((2, 2))), "'gru' has 3 x hidden rows"),
        (lambda: LayerRecord(FC, np.ones((4, 3))), r"inputs of layer fc have shape \(4, 3\); expected \(calls, batch"),
        (lambda: LayerRecord(FC, np.ones((1, 4, 3)), (np.ones(2),)), "is no RecurrentCell and has no states"),
        (lambda: LayerRecord(GRU, np.ones((1, 4, 3)), (np.ones((4, 2)),)), r"expected 1 of \(1, 4, 2\)"),
        (lambda: NeuronRecord("n", np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), "Leaky", "zero"), "steps, batch"),
        (lambda: Stored("w", np.ones(2), bits=-1), "w.bits = -1 must be finite and >= 0 bits"),
        (lambda: EventRecord(FC, np.ones((2, 3)), np.ones((2, 2), int), 1.0), "arrivals of layer fc are float64"),
        (lambda: EventRecord(FC, -np.ones((2, 3), int), np.ones((2, 2), int), 1.0), "must be counts >= 0, got -1"),
        (lambda: EventRecord(FC, np.ones((2, 3), int), np.ones((1, 2), int), 1.0), "are of 2 and 1 samples"),
        (lambda: EventRecord(FC, np.ones((2, 3), int), np.ones((2, 2), int), 1.0, 2.0), "at most the duration 1.0"),
        (lambda: EventRecord(FC, np.ones((1, 3), int), np.full((1, 2), 3), 1.0, 0.5), "2 steps, but a neuron fired 3"),
    ],
)  # fmt: skip
def test_bad_records_are_refused(make, text):
    with pytest.raises(UserError, match=text):
        make()


def test_neurons_in_two_records_are_refused():
    """Each would count all neurons at its first step."""
    record = NeuronRecord("n", *(np.ones((1, 2, 3)),) * 3, "Leaky", "zero")
    with pytest.raises(UserError, match="2 records of the neurons 'n' in one batch; make one, with the steps along"):
        run(Recorded([], lambda x: (x, [record, record])), SX, SY, 3, [], [m.MembraneUpdates], [])


def test_kernel_larger_than_its_input():
    layer = Convolution("c", np.ones((1, 1, 5)))
    with pytest.raises(UserError, match=r"layer c: a kernel that reaches over \(5,\) is larger than \(4,\)"):
        of_calls(LayerRecord(layer, np.ones((1, 1, 1, 4))))
