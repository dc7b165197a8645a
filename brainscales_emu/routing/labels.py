"""Labels and coordinates of the event network: what the bits of an event mean, and which wires exist.

Every number here is from the vendor's coordinate and event definitions (halco), except what is marked *inferred*.

An event has 16 bits. Bits 15..14 are its L2 channel, bits 13..0 the label that the crossbar's nodes look at. Behind
the crossbar, bits 10..6 are the row select, which the synapse drivers look at, and bits 5..0 the synapse label, which
the synapses look at. In a spike of a neuron circuit, bits 10..8 are the circuit's event output, fixed by its column;
bits 7..0 can be set; bits 13..11 are 0 (inferred).

The crossbar has 20 inputs (0..7 event outputs of the neurons, 8..11 L2 channels, 12..19 background generators) and
12 outputs (0..3 PADI buses of the top half, 4..7 of the bottom half, 8..11 L2 channels to the host). Only 76 of the
240 nodes between them exist.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..constants import N_BACKGROUND, N_COLUMNS

Int = TypeVar("Int", int, NDArray[np.int64])

N_CHANNELS = 4  # L2 channels into the chip, and as many out of it
N_EVENT_OUTPUTS = 8  # of the neurons, 32 columns of both rows each
N_BUSES = 4  # PADI buses of each half
N_DRIVERS = 128  # synapse drivers of each half, 32 on each bus
DRIVERS_PER_BUS = N_DRIVERS // N_BUSES
ROWS_PER_BUS = 2 * DRIVERS_PER_BUS
COLUMNS_PER_EVENT_OUTPUT = N_COLUMNS // N_EVENT_OUTPUTS

FIRST_L2_INPUT = N_EVENT_OUTPUTS
FIRST_BACKGROUND_INPUT = FIRST_L2_INPUT + N_CHANNELS
N_INPUTS = FIRST_BACKGROUND_INPUT + N_BACKGROUND
FIRST_L2_OUTPUT = 2 * N_BUSES
N_OUTPUTS = FIRST_L2_OUTPUT + N_CHANNELS

LABEL_BITS = 14
ROW_SELECT_BITS = 5
SYNAPSE_LABEL_BITS = 6
NEURON_LABEL_BITS = 8
N_SYNAPSE_LABELS = 2**SYNAPSE_LABEL_BITS


def pack(channel: Int, label: Int) -> Int:
    """16-bit label of an event on L2 channel `channel` (0..3) with the 14-bit `label`."""
    return channel << LABEL_BITS | label


def unpack(label16: Int) -> tuple[Int, Int]:
    """L2 channel and 14-bit label of a 16-bit label."""
    return label16 >> LABEL_BITS, label16 & (2**LABEL_BITS - 1)


def pack_label(row_select: Int, synapse_label: Int) -> Int:
    """Bits 10..0 of a label: row select (0..31) and synapse label (0..63)."""
    return row_select << SYNAPSE_LABEL_BITS | synapse_label


def row_select(label: Int) -> Int:
    """Bits 10..6 of a label."""
    return label >> SYNAPSE_LABEL_BITS & (2**ROW_SELECT_BITS - 1)


def synapse_label(label: Int) -> Int:
    """Bits 5..0 of a label."""
    return label & (N_SYNAPSE_LABELS - 1)


def event_output(circuit: Int) -> Int:
    """Event output 0..7 of a circuit 0..511: 32 neighbouring columns of both rows share one."""
    return circuit % N_COLUMNS // COLUMNS_PER_EVENT_OUTPUT


def spike_label(circuit: Int, neuron_label: Int) -> Int:
    """14-bit label of a spike of `circuit`, whose 8-bit label is `neuron_label`."""
    return event_output(circuit) << NEURON_LABEL_BITS | neuron_label


def bus_of_driver(driver: Int) -> Int:
    """PADI bus 0..3 that synapse driver 0..127 of a half listens to."""
    return driver % N_BUSES


def index_on_bus(driver: Int) -> Int:
    """Number 0..31 of a synapse driver on its PADI bus, which is compared with the row select."""
    return driver // N_BUSES


def rows_of_driver(driver: int) -> tuple[int, int]:
    """The two synapse rows that a driver feeds."""
    return 2 * driver, 2 * driver + 1


def _node_map() -> NDArray[np.bool_]:
    nodes = np.zeros((N_INPUTS, N_OUTPUTS), dtype=bool)
    for output in range(N_EVENT_OUTPUTS):
        nodes[output, output % N_BUSES :: N_BUSES] = True  # its bus in both halves, and one L2 channel
    for channel in range(N_CHANNELS):
        nodes[FIRST_L2_INPUT + channel, :FIRST_L2_OUTPUT] = True
        nodes[FIRST_L2_INPUT + channel, FIRST_L2_OUTPUT + channel] = True
    for generator in range(N_BACKGROUND):
        nodes[FIRST_BACKGROUND_INPUT + generator, generator] = True
        nodes[FIRST_BACKGROUND_INPUT + generator, FIRST_L2_OUTPUT + generator % N_CHANNELS] = True
    nodes.flags.writeable = False
    return nodes


#: (20, 12) bool: which nodes of the crossbar exist.
NODES = _node_map()
