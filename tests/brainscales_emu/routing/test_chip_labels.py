"""Bits of a label, the crossbar's nodes, and which driver sits where."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brainscales_emu.routing import labels


def test_node_map_has_the_three_families():
    neurons = {(e, output) for e in range(8) for output in (e % 4, 4 + e % 4, 8 + e % 4)}
    channels = {(8 + k, output) for k in range(4) for output in (*range(8), 8 + k)}
    background = {(12 + b, output) for b in range(8) for output in (b, 8 + b % 4)}
    assert (len(neurons), len(channels), len(background)) == (24, 36, 16)
    assert labels.NODES.shape == (20, 12)
    assert {tuple(node) for node in np.argwhere(labels.NODES).tolist()} == neurons | channels | background
    assert labels.NODES.sum() == 76


@given(st.integers(0, 2**16 - 1))
def test_every_label_splits_and_joins(label16):
    channel, label = labels.unpack(label16)
    assert (channel, label) == (label16 // 16384, label16 % 16384)
    assert labels.pack(channel, label) == label16
    select, synapse = labels.row_select(label), labels.synapse_label(label)
    assert select == int(f"{label:014b}"[3:8], 2)  # bits 10..6
    assert synapse == int(f"{label:014b}"[8:], 2)  # bits 5..0
    assert labels.pack_label(select, synapse) == label & 0b111_1111_1111


@given(st.integers(0, 511), st.integers(0, 255))
def test_a_spike_carries_its_event_output_in_bits_10_to_8(circuit, neuron_label):
    label = labels.spike_label(circuit, neuron_label)
    column = circuit if circuit < 256 else circuit - 256
    assert labels.event_output(circuit) == column // 32
    assert label == column // 32 * 256 + neuron_label
    assert labels.row_select(label) >> 2 == column // 32  # so a circuit chooses two bits of its row select only


def test_drivers_and_rows():
    # Driver 77: bus 1, the 19th on it (77 = 4 * 19 + 1), rows 154 and 155.
    assert labels.bus_of_driver(77) == 1
    assert labels.index_on_bus(77) == 19
    assert labels.rows_of_driver(77) == (154, 155)
    drivers = np.arange(128)
    places = set(zip(labels.bus_of_driver(drivers).tolist(), labels.index_on_bus(drivers).tolist(), strict=True))
    assert places == {(bus, index) for bus in range(4) for index in range(32)}
    rows = [row for driver in range(128) for row in labels.rows_of_driver(driver)]
    assert sorted(rows) == list(range(256))
