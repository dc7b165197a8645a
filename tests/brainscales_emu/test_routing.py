"""Placement: what goes where, and which rule a network breaks."""

import dataclasses

import numpy as np
import pytest

from brainscales_emu import PlacementError, Wiring, place_feedforward
from brainscales_emu.constants import EXTERNAL


def ones(*shape):
    return np.ones(shape, dtype=int)


def test_delgrad_network():
    rng = np.random.default_rng(0)
    weights = [rng.integers(-63, 64, (20, 30)), rng.integers(-63, 64, (30, 3))]
    registers = [rng.integers(50, 251, 20), rng.integers(50, 251, 30)]
    placement = place_feedforward(20, weights, registers)
    wiring = placement.wiring
    np.testing.assert_array_equal(placement.neurons[0], np.arange(30))
    np.testing.assert_array_equal(placement.neurons[1], np.arange(30, 33))
    np.testing.assert_array_equal(placement.delays[0], 257 + 2 * np.arange(20))
    np.testing.assert_array_equal(placement.delays[1], 257 + 2 * np.arange(20, 50))
    np.testing.assert_array_equal(wiring.delay_source, np.r_[EXTERNAL + np.arange(20), np.arange(30)])
    np.testing.assert_array_equal(wiring.delay_register, np.concatenate(registers))
    np.testing.assert_array_equal(wiring.circuits, np.arange(33))
    # Every layer's signed matrix can be read back from the rows.
    for neurons, sources, matrix in zip(placement.neurons, placement.delays, weights, strict=True):
        for source, row in zip(sources, matrix, strict=True):
            listening = wiring.row_source == source
            signed = (wiring.row_sign[:, None] * wiring.row_weight)[listening]
            assert sorted(wiring.row_sign[listening]) == [-1, 1]
            np.testing.assert_array_equal(signed.sum(axis=0)[neurons], row)
    assert np.count_nonzero(wiring.row_weight) == sum(np.count_nonzero(matrix) for matrix in weights)


def test_layers_without_delays_listen_to_their_sources():
    placement = place_feedforward(2, [ones(2, 3), ones(3, 1)], [None, None])
    assert placement.delays == (None, None)
    np.testing.assert_array_equal(placement.wiring.row_source, np.repeat([EXTERNAL, EXTERNAL + 1, 0, 1, 2], 2))
    assert placement.wiring.delay_source.size == 0


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            (129, [ones(129, 3)], [None]),
            "the network needs 258 synapse rows, the chip half has 256, i.e. 128 signed sources; use fewer sources",
        ),
        (
            (2, [ones(2, 257)], [None]),
            "the network needs 257 neurons, 256 circuits are free for them (the other row holds the delay elements); "
            "use fewer neurons",
        ),
        (
            (65, [ones(65, 64)[:, :63], ones(63, 1)], [np.full(65, 60), np.full(64, 60)]),
            "delay_registers[1] has 64 values for 63 sources; give one per source or None",
        ),
        (
            (2, [ones(2, 2) * [[1, 1], [64, 1]]], [None]),
            "weights[0][1, 0] = 64 is outside -63..63 LSB; clip the weight or use several copies of the source",
        ),
        (
            (2, [ones(2, 2), ones(3, 1)], [None, None]),
            "weights[1] has 3 rows for 2 sources; give one row per source",
        ),
        (
            (2, [ones(2, 2)], [[50, 49]]),
            "wiring.delay_register[1] = 49 is outside 50..250; clip the register or drop the delay element",
        ),
        (
            (2, [ones(2, 2)], []),
            "1 weight matrices and 0 sets of delay registers were given; give one of each per layer, None for a layer "
            "without delays",
        ),
        (
            (2, [np.ones((2, 2))], [None]),
            "weights[0] has type float64 and shape (2, 2); give integers in 2 dimension(s)",
        ),
    ],
)
def test_broken_rules(network, message):
    with pytest.raises(PlacementError) as error:
        place_feedforward(*network)
    assert str(error.value) == message


def test_delay_elements_run_out():
    # 128 signed sources fill all rows, so that more elements than rows allow can only be wired by hand.
    good = place_feedforward(1, [ones(1, 1)], [[60]]).wiring
    with pytest.raises(PlacementError, match="needs 129 delay elements, the chip has 128; delay fewer sources"):
        dataclasses.replace(
            good,
            delay_source=np.full(129, EXTERNAL),
            delay_register=np.full(129, 60),
            row_source=np.zeros(0, dtype=int),
            row_sign=np.zeros(0, dtype=int),
            row_weight=np.zeros((0, 256), dtype=int),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_source": np.array([EXTERNAL + 1, EXTERNAL])}, "row_source[0] = 513 is no source"),
        ({"row_source": np.array([EXTERNAL, 1])}, "row_source[1] = 1 is no source"),
        ({"row_source": np.array([258, 257])}, "row_source[0] = 258 is no source"),
        ({"delay_source": np.array([-1])}, "delay_source[0] = -1 is no source"),
        ({"row_sign": np.array([1, 0])}, "row_sign holds values other than +1 and -1"),
        ({"row_weight": np.full((2, 256), 64)}, "row_weight[0, 0] = 64 is outside 0..63 LSB"),
        ({"row_weight": np.full((2, 255), 1)}, "give (2,) and (2, 256)"),
        ({"circuits": np.array([256])}, "wiring.circuits must ascend within 0..255"),
        ({"circuits": np.array([1, 0])}, "wiring.circuits must ascend within 0..255"),
        ({"n_inputs": 20000}, "wiring.n_inputs = 20000 is outside 0..16384 input labels"),
        ({"delay_register": np.array([60, 60])}, "wiring.delay_register has shape (2,) for 1 delay sources"),
    ],
)
def test_wiring_checks_itself(changes, message):
    good = place_feedforward(1, [ones(1, 1)], [[60]]).wiring
    with pytest.raises(PlacementError) as error:
        dataclasses.replace(good, **changes)
    assert message in str(error.value)


def test_limits_are_reached():
    wiring = place_feedforward(128, [np.full((128, 256), -63)], [np.full(128, 250)]).wiring
    assert isinstance(wiring, Wiring)
    assert wiring.row_weight.shape == (256, 256)
    assert wiring.delay_source.size == 128
