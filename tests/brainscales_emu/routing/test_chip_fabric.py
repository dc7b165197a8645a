"""The digital memory: where an event goes, by hand and all at once."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainscales_emu.constants import BACKGROUND, EXTERNAL
from brainscales_emu.errors import PlacementError
from brainscales_emu.routing.fabric import Fabric, Synapse, random_begin
from brainscales_emu.routing.labels import NODES
from brainscales_emu.routing.routes import routes


def fabric_with(**changes):
    """An empty fabric with single entries changed: name = {index: value}."""
    empty = Fabric.empty()
    values = {}
    for name, entries in changes.items():
        values[name] = np.array(getattr(empty, name))
        for index, value in entries.items():
            values[name][index] = value
    return values, empty


def build(external_label=(), **changes):
    values, empty = fabric_with(**changes)
    return dataclasses.replace(empty, external_label=np.array(external_label, dtype=int), **values)


def one_synapse(label16=0x4AC5, **changes):
    """A line on channel 1 with row select 11 (bits 10..6 of 0x0AC5) and synapse label 5, and what hears it.

    Driver 46 is on bus 2 with index 11; it feeds rows 92 and 93 of the bottom half, through crossbar output 6.
    """
    memory = {
        "crossbar_enabled": {(9, 6): True},
        "crossbar_mask": {(9, 6): 0x3F00},
        "crossbar_target": {(9, 6): 0x0A00},
        "driver_mask": {1: 31},
        "row_mode": {(1, 93): 1},
        "weight": {(1, 93, 17): 63},
        "synapse_label": {(1, 93, 17): 5},
    }
    for name, entries in changes.items():
        memory[name] = {**memory.get(name, {}), **entries}
    return build([label16], **memory)


def test_one_event_by_hand():
    fabric = one_synapse()
    assert fabric.event(EXTERNAL) == (9, 0x0AC5)
    assert fabric.deliver(9, 0x0AC5) == {6: [Synapse(half=1, row=93, column=17, weight=63, sign=1)]}


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({"row_mode": {(1, 93): 2}}, {6: [(1, 93, 17, 63, -1)]}),
        ({"row_mode": {(1, 93): 3}}, {6: [(1, 93, 17, 63, 1), (1, 93, 17, 63, -1)]}),
        ({"row_mode": {(1, 93): 0}}, {6: []}),
        ({"weight": {(1, 93, 17): 0}}, {6: []}),
        ({"synapse_label": {(1, 93, 17): 4}}, {6: []}),
        ({"crossbar_target": {(9, 6): 0x0B00}}, {}),
        ({"crossbar_target": {(9, 6): 0x0AC5}}, {}),  # bits of the target that the mask clears can never be met
        ({"crossbar_enabled": {(9, 6): False}}, {}),
        ({"crossbar_enabled": {(9, 9): True}}, {6: [(1, 93, 17, 63, 1)], 9: []}),  # and back to the host
        ({"driver_mask": {(1, 46): 0b10111}}, {6: [(1, 93, 17, 63, 1)]}),
        ({"driver_mask": {(0, 46): 0}}, {6: [(1, 93, 17, 63, 1)]}),
    ],
)
def test_what_an_event_meets(changes, reached):
    fabric = one_synapse(**changes)
    assert fabric.deliver(9, 0x0AC5) == reached


@pytest.mark.parametrize("label", [0x0A05, 0x0AC4, 0x02C5])
def test_other_labels_pass_by(label):
    assert not one_synapse().deliver(9, label).get(6)


def test_masks_decide_which_drivers_fire():
    # All drivers of the top half listen to label 0 in their even row; the mask keeps the upper two bits of the index.
    even = range(0, 256, 2)
    fabric = build(
        [0],
        crossbar_enabled={(8, 3): True},
        driver_mask={0: 0b11000},
        row_mode={(0, row): 1 for row in even},
        weight={(0, row, 0): 1 for row in even},
    )
    for select in range(32):
        synapses = fabric.deliver(8, select << 6)[3]
        group = select // 8
        assert [s.row for s in synapses] == [2 * (4 * index + 3) for index in range(8 * group, 8 * group + 8)]


def test_sources():
    fabric = build(
        [0xC001, 0xC001],
        neuron_output={40: True, 296: True},
        neuron_label={40: 7, 296: 200},
        background_enabled={2: True, 5: True},
        background_label={2: 1234, 5: 0b1_0010_1100},
        background_mask={5: 0b1001},
    )
    assert fabric.event(40) == (1, 256 + 7)
    assert fabric.event(296) == (1, 256 + 200)
    assert fabric.event(41) is None
    assert fabric.event(BACKGROUND + 2) == (14, 1234)
    assert fabric.event(BACKGROUND + 3) is None
    assert fabric.event(BACKGROUND + 5) is None  # its events come with one of four labels
    assert fabric.event(EXTERNAL + 1) == (11, 1)
    first = random_begin(fabric)
    np.testing.assert_array_equal(first, EXTERNAL + 2 + np.array([0, 0, 0, 0, 0, 0, 4, 4, 4]))
    labels = [fabric.event(source) for source in range(first[5], first[6])]
    assert labels == [(17, 0b1_0010_0100 + bits) for bits in (0b0000, 0b0001, 0b1000, 0b1001)]
    assert fabric.n_sources == EXTERNAL + 6


@pytest.mark.parametrize(("last", "triggered"), [(44, [3]), (43, [])])
def test_a_delay_element_takes_a_weight_of_800(last, triggered):
    # 12 synapses of 63 and one more; inhibitory rows, odd columns and the top half don't count.
    rows = [2 * driver for driver in range(0, 52, 4)]
    entries = {(1, row, 6): 63 for row in rows[:-1]} | {(1, rows[-1], 6): last}
    entries |= {(1, 1, 6): 63, (1, rows[0], 7): 63}
    fabric = build(
        [0],
        crossbar_enabled={(8, 4): True, (8, 0): True},
        row_mode={(1, row): 1 for row in rows} | {(1, 1): 2, (0, 0): 1},
        weight=entries | {(0, 0, 6): 63},
        delay_register={3: 50},
    )
    found = routes(fabric)
    assert found.delay_element[found.delay_begin[EXTERNAL] :].tolist() == triggered
    muted = routes(dataclasses.replace(fabric, delay_register=np.zeros(128, dtype=int)))
    assert muted.delay_element.size == 0


def assert_routes_follow_deliver(fabric):
    found = routes(fabric)
    assert len(found.begin) == len(found.delay_begin) == fabric.n_sources + 1
    assert all(array.dtype == np.int64 for array in found)
    for source in range(fabric.n_sources):
        event = fabric.event(source)
        by_hand = {} if event is None else fabric.deliver(*event)
        own = range(found.begin[source], found.begin[source + 1])
        assert found.output[own.start : own.stop].tolist() == list(by_hand)
        entered = np.zeros(128, dtype=int)
        for route, synapses in zip(own, by_hand.values(), strict=True):
            part = slice(found.synapse_begin[route], found.synapse_begin[route + 1])
            columns = (found.half, found.row, found.column, found.weight, found.sign)
            assert list(zip(*(array[part].tolist() for array in columns), strict=True)) == synapses
            for half, _, column, weight, sign in synapses:
                if half == 1 and column % 2 == 0 and sign > 0:
                    entered[column // 2] += weight
        triggered = np.flatnonzero((entered >= 800) & (fabric.delay_register > 0))
        mine = slice(found.delay_begin[source], found.delay_begin[source + 1])
        assert found.delay_element[mine].tolist() == triggered.tolist()
    assert found.begin[-1] == found.output.size
    assert found.synapse_begin[-1] == found.weight.size


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_lines=st.integers(0, 12),
    n_rows=st.integers(0, 60),
    label_bits=st.integers(0, 3),
)
def test_routes_equal_deliver_on_random_fabrics(seed, n_lines, n_rows, label_bits):
    rng = np.random.default_rng(seed)

    def sparse_bits(shape, bits, p):
        return ((rng.random((*shape, bits)) < p) << np.arange(bits)).sum(axis=-1)

    mask = sparse_bits((20, 12), 14, 0.1)
    row_mode = np.zeros(512, dtype=int)
    row_mode[rng.choice(512, n_rows, replace=False)] = rng.integers(0, 4, n_rows)
    heavy = rng.integers(0, 128, 2)  # columns 2k that get enough to trigger
    weight = rng.integers(1, 64, (2, 256, 256)) * (rng.random((2, 256, 256)) < 0.05)
    weight[1, :, 2 * heavy] = 63
    label = sparse_bits((2, 256, 256), 6, 0.1) & (2**label_bits - 1)
    fabric = dataclasses.replace(
        Fabric.empty(),
        crossbar_enabled=NODES & (rng.random((20, 12)) < 0.8),
        crossbar_mask=mask,
        crossbar_target=mask & sparse_bits((20, 12), 14, 0.3),
        external_label=rng.integers(0, 2**16, n_lines) & ~(63 - (2**label_bits - 1)),
        neuron_label=rng.integers(0, 256, 512) & ~(63 - (2**label_bits - 1)),
        neuron_output=rng.random(512) < 0.02,
        background_enabled=rng.random(8) < 0.5,
        background_label=rng.integers(0, 2**14, 8),
        background_mask=np.where(rng.random(8) < 0.5, sparse_bits((8,), 8, 0.3), 0),
        driver_mask=sparse_bits((2, 128), 5, 0.5),
        row_mode=row_mode.reshape(2, 256),
        weight=weight,
        synapse_label=label,
        delay_register=np.where(rng.random(128) < 0.5, 60, 0) | np.isin(np.arange(128), heavy) * 60,
    )
    assert_routes_follow_deliver(fabric)


def test_routes_of_an_empty_chip():
    assert_routes_follow_deliver(Fabric.empty())


def set_entry(name, index, value):
    values, empty = fabric_with(**{name: {index: value}})
    return dataclasses.replace(empty, **values)


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        (
            "weight",
            (1, 2, 3),
            64,
            "fabric.weight[1, 2, 3] = 64 is outside 0..63; split larger weights over several rows",
        ),
        ("synapse_label", (0, 0, 9), 64, "fabric.synapse_label[0, 0, 9] = 64 is outside 0..63; give 6 bits"),
        ("row_mode", (0, 5), 4, "fabric.row_mode[0, 5] = 4 is outside 0..3; 0 is disabled, 1 excitatory"),
        ("driver_mask", (0, 5), -1, "fabric.driver_mask[0, 5] = -1 is outside 0..31; give 5 bits"),
        ("neuron_label", 511, 256, "fabric.neuron_label[511] = 256 is outside 0..255; give 8 bits"),
        ("crossbar_target", (0, 0), 2**14, "fabric.crossbar_target[0, 0] = 16384 is outside 0..16383; give 14 bits"),
        ("background_period", 3, 0, "fabric.background_period[3] = 0 is outside 1..65535; give a period in cycles"),
        ("delay_register", 7, 49, "fabric.delay_register[7] = 49 is outside 50..250; clip the register, or 0 for none"),
        ("delay_register", 7, 251, "fabric.delay_register[7] = 251 is outside 0..250"),
        (
            "crossbar_enabled",
            (3, 4),
            True,
            "fabric.crossbar_enabled[3, 4] is on, but the crossbar has no node from input 3 to output 4; take one of "
            "the 76 nodes of labels.NODES",
        ),
        ("master", 5, 7, "fabric.master[5] = 7: a merged neuron takes neighbouring circuits of one row"),
        ("master", 256, 255, "fabric.master[256] = 255: a merged neuron takes neighbouring circuits of one row"),
    ],
)
def test_impossible_values(name, index, value, message):
    with pytest.raises(PlacementError) as error:
        set_entry(name, index, value)
    assert message in str(error.value)
    assert error.value.rule is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weight": np.zeros((2, 256, 256))},
            "fabric.weight is of type float64, not integers; split larger weights over several rows",
        ),
        (
            {"neuron_output": np.zeros(512, dtype=int)},
            "fabric.neuron_output is of type int64, not booleans; give true or false",
        ),
        (
            {"external_label": np.zeros((2, 2), dtype=int)},
            "fabric.external_label has shape (2, 2); expected (any,); give a 16-bit label",
        ),
        ({"external_label": np.array([65536])}, "fabric.external_label[0] = 65536 is outside 0..65535"),
    ],
)
def test_impossible_arrays(changes, message):
    with pytest.raises(PlacementError) as error:
        dataclasses.replace(Fabric.empty(), **changes)
    assert str(error.value).startswith(message)


def test_merged_circuits_and_delay_pairs():
    merged = build(master={3: 2, 4: 2}, neuron_enabled={2: True, 3: True, 4: True}, neuron_output={2: True})
    with pytest.raises(PlacementError, match=r"neuron_output.4. is on, but the circuit is merged into 2"):
        dataclasses.replace(merged, neuron_output=np.isin(np.arange(512), [2, 4]))
    for circuit in (262, 263):
        with pytest.raises(PlacementError, match=rf"neuron_enabled.{circuit}. is on .* belongs to delay element 3"):
            build(delay_register={3: 50}, neuron_enabled={circuit: True})


def test_memory_is_read_only():
    given_weights = np.zeros((2, 256, 256), dtype=int)
    fabric = dataclasses.replace(Fabric.empty(), weight=given_weights)
    with pytest.raises(ValueError, match="read-only"):
        fabric.weight[0, 0, 0] = 1
    given_weights[0, 0, 0] = 1  # the caller's own array stays as it was
