"""A chain of neuron groups that zigzags between two chips behind an aggregator: its spikes are those of a single chip,
later by the latency of each crossing."""

import dataclasses
import os
import sys
from itertools import pairwise

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu import Chip, Setup, preset
from brainscales_emu.multichip import AggregatorConfig, split
from brainscales_emu.routing.placement import External, Population, Projection

out = sys.argv[1] if len(sys.argv) > 1 else "two_chips.png"
GROUPS, SIZE, VOLLEYS_US = 8, 12, np.array([0.0, 25.0, 50.0, 75.0])

config = dataclasses.replace(preset("ideal"), event_latency_us=0.08)
rng = np.random.default_rng(3)
start, groups = External("start", SIZE), [Population(f"group {k}", SIZE) for k in range(GROUPS)]
chain = [Projection(pre, post, rng.integers(15, 50, (SIZE, SIZE))) for pre, post in pairwise([start, *groups])]
times_us, inputs = np.repeat(VOLLEYS_US, SIZE), np.tile(np.arange(SIZE), VOLLEYS_US.size)
times_us = times_us + rng.uniform(0.0, 2.0, times_us.size)


def spikes(chip_of_group):
    """Exact times of all spikes of each group, neuron by neuron."""
    parts = split([start, *groups], chain, {f"group {k}": chip for k, chip in enumerate(chip_of_group)})
    setup = Setup([Chip(config, serial=k, seed=k) for k in range(len(parts.placements))])
    setup.write([placement.fabric for placement in parts.placements], parts.connections)
    recording = setup.run(*parts.events({"start": (times_us, inputs)}), duration_us=120.0, trial=0)
    print(f"chips {len(setup.chips)}, spikes from chip to chip {recording.forwarded_events.sum()}")
    trains = []
    for k in range(GROUPS):
        _, neurons, times = parts.spikes(recording, f"group {k}")
        order = np.lexsort((times, neurons))
        trains.append((neurons[order], times[order]))
    return trains


one, two = spikes([0] * GROUPS), spikes([0, 1] * (GROUPS // 2))
figure = Figure(figsize=(7, 5), layout="constrained")
raster, later = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
extra_us = AggregatorConfig().latency_us - config.event_latency_us
deviations = []
for k, ((_, alone), (neurons, apart)) in enumerate(zip(one, two, strict=True)):
    deviations.append(np.abs(apart - alone - k * extra_us).max())
    color = "#CC6677" if k % 2 else "#332288"
    raster.plot(apart, SIZE * k + neurons, "|", color=color, markersize=3)
    later.plot(apart, apart - alone, ".", color=color, markersize=3)
print(f"per crossing {extra_us:.2f} us later, but for {max(deviations):.1e} us")
raster.set(ylabel="neuron", title="spikes on chip 0 (blue) and chip 1 (red)")
later.set(xlabel="time (µs)", ylabel="later than\non one chip (µs)")
figure.savefig(out)
