"""Weights that change from batch to batch: what a chip keeps between two writes must not show in any bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_fabrics import random_fabric

from brainscales_emu import PlacementError, preset
from brainscales_emu.chip import Chip
from brainscales_emu.routing.fabric import Fabric
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.routing.routes import Wiring, live_cells, routes

SIZES = ((6, 5), (5, 3))
CONFIG = dataclasses.replace(preset("w66f3"), tau_mem_us=6.0)


def rebuilt(fabric, **changes):
    """The same contents, put together anew, so that nothing can be remembered."""
    memory = {field.name: np.array(getattr(fabric, field.name)) for field in dataclasses.fields(Fabric)}
    return Fabric(**(memory | changes))


def assert_same_network(chip, other):
    assert chip.network._fields == other.network._fields
    for name, one, two in zip(chip.network._fields, chip.network, other.network, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes(), name


def steps():
    """Weights and delays of some batches: a sign flips, a weight becomes 0 and is one again, delays change."""
    rng = np.random.default_rng(4)
    weights = [rng.integers(20, 64, shape) for shape in SIZES]
    registers = [rng.integers(50, 251, shape[0]) for shape in SIZES]
    yield weights, registers
    flipped = [matrix.copy() for matrix in weights]
    flipped[0][2, 1] *= -1
    flipped[1][:, 2] *= -1
    yield flipped, registers
    zero = [matrix.copy() for matrix in flipped]
    zero[0][:, 3] = zero[0][2, 1] = zero[1][0, 0] = 0
    yield zero, registers
    yield [np.zeros_like(matrix) for matrix in weights], registers
    yield weights, [register[::-1] for register in registers]
    yield flipped, [np.full_like(register, 50) for register in registers]


@pytest.mark.parametrize("synapse_delays", [False, True])
def test_writing_again_is_writing_a_fresh_chip(synapse_delays):
    delay_us = np.random.default_rng(0).choice([0.0, 2.5, 7.0], (2, 256, 256)) if synapse_delays else None
    times, lines = np.arange(1.0, 49.0, 2.0), np.arange(24) % 6
    chip = Chip(CONFIG, serial=3, seed=1)
    wirings, spikes = set(), []
    for weights, registers in steps():
        chip.write(place_feedforward(6, weights, registers).fabric, synapse_delay_us=delay_us)
        wirings.add(chip._wiring)
        fresh = Chip(CONFIG, serial=3, seed=1)
        fresh.write(rebuilt(place_feedforward(6, weights, registers).fabric), synapse_delay_us=delay_us)
        assert_same_network(chip, fresh)
        one, two = (c.run(times, lines, 200.0, 5) for c in (chip, fresh))
        np.testing.assert_array_equal(one.analogue_times_us, two.analogue_times_us)
        np.testing.assert_array_equal(one.circuits, two.circuits)
        spikes.append(one.ticks.size)
    assert len(wirings) == 1  # it was kept, so the comparison is worth it
    assert max(spikes) > 30 and len(set(spikes)) > 3  # the steps differ
    assert min(spikes) > 0  # delay elements spike even if all weights are 0


def test_the_wiring_is_kept_while_weights_and_delays_alone_change():
    fabrics = [place_feedforward(6, weights, registers).fabric for weights, registers in steps()]
    wiring = Wiring(fabrics[0], live_cells(fabrics[0]))
    assert all(wiring.fits(fabric) for fabric in fabrics)
    without = fabrics[0].delay_register * (np.arange(128) != np.flatnonzero(fabrics[0].delay_register)[0])
    assert not wiring.fits(fabrics[0].with_weights(fabrics[0].weight, without))
    for name in ("synapse_label", "row_mode", "neuron_label", "driver_mask", "crossbar_enabled"):
        changed = np.array(getattr(fabrics[0], name))
        changed.flat[0] = not changed.flat[0]
        if name == "crossbar_enabled":
            changed.flat[0] = fabrics[0].crossbar_enabled.flat[0]
            changed[8, 7] = not changed[8, 7]
        assert not wiring.fits(dataclasses.replace(fabrics[0], **{name: changed})), name


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_routes_of_other_weights_are_those_of_a_fresh_fabric(seed):
    rng = np.random.default_rng(seed)
    fabric = random_fabric(rng, merged=True)
    cells = live_cells(fabric)
    wiring = Wiring(fabric, cells)
    for _ in range(3):
        weight = rng.integers(0, 64, cells.shape) * (rng.random(cells.shape) < rng.choice([0.2, 0.9])) * cells
        found, expected = wiring.routes(weight), routes(rebuilt(fabric, weight=weight))
        for name, one, two in zip(found._fields, found, expected, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=name)
            assert one.dtype == two.dtype == np.int64


def test_weights_of_dead_columns_do_nothing():
    """Every cell that `live_cells` leaves out may hold any weight: the chip does the same."""
    fabric = random_fabric(np.random.default_rng(8))
    noisy = rebuilt(fabric, weight=np.where(live_cells(fabric), fabric.weight, 63))
    assert np.count_nonzero(noisy.weight) > np.count_nonzero(fabric.weight) + 1000
    recordings = []
    for contents in (fabric, noisy):
        chip = Chip(dataclasses.replace(CONFIG, synaptic_gain=3.0, refractory_us=0.5), 1, 1)
        chip.write(contents)
        recordings.append(chip.run(np.arange(1, 26) * 2.0, np.arange(25) % 5, 60.0, 0))
    assert recordings[0].ticks.size > 20
    np.testing.assert_array_equal(recordings[0].analogue_times_us, recordings[1].analogue_times_us)


def test_a_fabric_keeps_what_it_was_given():
    """Nobody can change a written network through the arrays that it was made of."""
    weight = np.array(random_fabric(np.random.default_rng(2)).weight)
    fabric = rebuilt(random_fabric(np.random.default_rng(2)), weight=weight)
    other = fabric.with_weights(weight)
    at = np.flatnonzero(weight)[0]
    before = weight.flat[at]
    weight.flat[at] = 0
    assert fabric.weight.flat[at] == other.weight.flat[at] == before
    with pytest.raises(ValueError, match="read-only"):
        fabric.weight.flat[at] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.with_weights(f.weight + 64), "is outside 0..63; split larger weights over several rows"),
        (
            lambda f: f.with_weights(f.weight[0]),
            r"fabric.weight has shape \(256, 256\); expected \(2, 256, 256\)",
        ),
        (lambda f: f.with_weights(f.weight, np.full(128, 49)), r"fabric.delay_register\[0\] = 49 is outside 50..250"),
        (lambda f: f.with_weights(f.weight, np.full(128, 60)), "the circuit belongs to delay element"),
    ],
)
def test_impossible_weights_and_delays_are_refused(change, message):
    memory = random_fabric(np.random.default_rng(2))
    enabled = memory.neuron_enabled.copy()
    enabled[256 + 20] = True
    delay_register = memory.delay_register.copy()
    delay_register[10] = 0
    with pytest.raises(PlacementError, match=message):
        change(rebuilt(memory, neuron_enabled=enabled, delay_register=delay_register))
