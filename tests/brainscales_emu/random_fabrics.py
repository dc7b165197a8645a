"""Small random contents of the digital memory and runs of them, for tests of the engine."""

import dataclasses

import numpy as np

from brainscales_emu import ChipConfig, EventPathConfig, NoiseConfig
from brainscales_emu.constants import EXTERNAL, FIRST_DELAY_OUTPUT, N_CIRCUITS
from brainscales_emu.routing.fabric import Fabric
from brainscales_emu.routing.labels import LABEL_BITS, N_BUSES, NODES, event_output

EMPTY = Fabric.empty()

SPREAD = NoiseConfig(
    tau_mem_std=0.1,
    tau_syn_std=0.1,
    threshold_std_lsb=4.0,
    neuron_gain_std=0.2,
    driver_gain_std=0.1,
    weight_std=0.1,
    delay_gain_std=0.02,
    delay_offset_std_us=0.2,
)


def random_fabric(rng, n_neurons=4, n_lines=5, n_elements=2, n_rows=14, merged=False):
    """Recurrent network; all drivers of a bus hear everything on it, so that synapse labels alone decide."""
    memory = {entry.name: getattr(EMPTY, entry.name).copy() for entry in dataclasses.fields(Fabric)}
    memory["crossbar_enabled"] = NODES & (rng.random(NODES.shape) < 0.9)

    elements = np.sort(rng.choice(128, n_elements, replace=False))
    outputs = FIRST_DELAY_OUTPUT + 2 * elements
    free = np.setdiff1d(np.arange(N_CIRCUITS), np.concatenate([outputs - 1, outputs]))
    circuits = np.sort(rng.choice(free[free % 256 < 254], n_neurons, replace=False))
    memory["neuron_enabled"][circuits] = True
    if merged and circuits[0] + 1 in free and circuits[0] + 1 not in circuits:
        memory["neuron_enabled"][circuits[0] + 1] = True
        memory["master"][circuits[0] + 1] = circuits[0]
    sources = np.concatenate([circuits, outputs, EXTERNAL + np.arange(n_lines)])
    label = dict(zip(sources.tolist(), rng.permutation(64).tolist(), strict=False))
    on_chip = sources[sources < N_CIRCUITS]
    memory["neuron_output"][on_chip] = True
    memory["neuron_label"][on_chip] = [label[source] | int(rng.integers(4)) << 6 for source in on_chip]
    memory["external_label"] = np.array(
        [
            label[EXTERNAL + k] | int(rng.integers(2**8)) << 6 | int(rng.integers(4)) << LABEL_BITS
            for k in range(n_lines)
        ]
    )

    listening = np.flatnonzero(memory["neuron_enabled"])
    for place in rng.choice(512, n_rows, replace=False):
        half, row = divmod(int(place), 256)
        memory["row_mode"][half, row] = rng.choice([1, 1, 1, 2, 3])
        columns = listening[listening // 256 == half] % 256
        memory["synapse_label"][half, row, columns] = [label[source] for source in rng.choice(sources, columns.size)]
        memory["weight"][half, row, columns] = rng.integers(0, 64, columns.size) * (rng.random(columns.size) < 0.8)
    for element in elements:
        memory["delay_register"][element] = rng.integers(50, 251)
        source = int(rng.choice(sources))
        bus = event_output(source) % N_BUSES if source < N_CIRCUITS else int(rng.integers(N_BUSES))
        drivers = bus + N_BUSES * np.arange(7)  # 14 rows of weight 63
        rows = np.concatenate([2 * drivers, 2 * drivers + 1])
        memory["row_mode"][1, rows] = 1
        memory["synapse_label"][1, rows, 2 * element] = label[source]
        memory["weight"][1, rows, 2 * element] = 63
    return Fabric(**memory)


def crowded_run(seed):
    """Few neurons, narrow outputs, and bursts that don't get through."""
    rng = np.random.default_rng(seed)
    config = ChipConfig(
        refractory_us=rng.choice([0.1, 0.5]),
        synaptic_gain=3.0,
        event_latency_us=rng.choice([0.0, 0.08]),
        noise=SPREAD,
        event_path=EventPathConfig(
            slot_ns=rng.choice([4.0, 8.0, 200.0, 1000.0]),
            fifo_depth=int(rng.integers(0, 4)),
            l2_slot_ns=rng.choice([8.0, 100.0, 900.0]),
            l2_fifo_depth=int(rng.integers(0, 3)),
            fpga_to_chip=int(rng.integers(1, 4)),
            chip_to_fpga=int(rng.integers(1, 4)),
        ),
    )
    fabric = random_fabric(rng, merged=bool(rng.integers(2)))
    times = np.sort(np.concatenate([rng.uniform(0, 40, 15), np.repeat(rng.uniform(0, 40, 3), 8)]))
    return config, fabric, times, rng.integers(0, 5, times.size)
