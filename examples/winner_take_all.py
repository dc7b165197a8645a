"""A 4 x 4 sudoku as winner-take-all: one neuron per cell and digit, noise from the chip's background generator proposes
digits, and neurons inhibit those that contradict them."""

import os
import sys
from dataclasses import replace

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu import (
    AllToAll,
    Chip,
    Network,
    OneToOne,
    SpikeSourcePoisson,
    SpikeSourcePoissonOnChip,
    preset,
)

out = sys.argv[1] if len(sys.argv) > 1 else "winner_take_all.png"
PUZZLE = np.array([[0, 0, 3, 0], [4, 0, 0, 1], [0, 4, 0, 0], [0, 0, 0, 2]])  # 0 is unknown
UNTIL_US, WINDOW_US = 3000.0, 250.0

row, column, digit = np.indices((4, 4, 4)).reshape(3, 64)
box = 2 * (row // 2) + column // 2
same_row, same_column, same_digit, same_box = (a[:, None] == a for a in (row, column, digit, box))
contradict = (same_digit & (same_row | same_column | same_box)) | (same_row & same_column)
np.fill_diagonal(contradict, False)

# Leak and reset well above the lower rail, so that inhibition has room, and near the threshold.
config = replace(preset("calibrated"), leak_lsb=120.0, reset_lsb=120.0, refractory_us=5.0)
config = replace(config, tau_syn_exc_us=10.0, tau_syn_inh_us=10.0)
net = Network(Chip(config, serial=7))
neurons = net.Population(64, label="one per cell and digit")
noise = net.Population(64, SpikeSourcePoissonOnChip(rate_kHz=80.0, seed=1))
given = np.flatnonzero(PUZZLE[row, column] == digit + 1)
clues = net.Population(given.size, SpikeSourcePoisson(rate_kHz=300.0))
net.Projection(noise, neurons, OneToOne(), weight=63)
net.Projection(neurons, neurons, OneToOne(), weight=126)
net.Projection(neurons, neurons, AllToAll(), weight=63 * contradict, receptor_type="inhibitory")
net.Projection(clues, neurons, AllToAll(), weight=63 * (given[:, None] == np.arange(64)))
net.record(neurons, "spikes")
net.run(UNTIL_US)

edges = np.arange(0.0, UNTIL_US + 1.0, WINDOW_US)
counts = np.array([np.histogram(train, edges)[0] for train in net.spikes(neurons)])
winners = counts.reshape(4, 4, 4, -1).argmax(axis=2) + 1  # digit that spikes most [row, column, window]
contradictions = [
    np.sum(contradict & (chosen[:, None] & chosen)) // 2 for chosen in (winners[row, column] == digit[:, None] + 1).T
]
print("contradictions in each window:", *contradictions)
print("\n".join("".join(map(str, line)) for line in winners[:, :, -1]))

figure = Figure(figsize=(9, 4), layout="constrained")
raster, grid = figure.subplots(1, 2, width_ratios=(3, 2))
colors = np.array(["#332288", "#44AA99", "#DDCC77", "#CC6677"])[digit]
raster.eventplot(net.spikes(neurons), colors=colors, linewidths=0.8)
raster.set(xlabel="time (µs)", ylabel="4 x cell + digit - 1", yticks=range(0, 64, 4))
for (i, j), value in np.ndenumerate(winners[:, :, -1]):
    grid.text(j, i, value, ha="center", va="center", fontsize=20, weight="bold" if PUZZLE[i, j] else "normal")
grid.set(xlim=(-0.5, 3.5), ylim=(3.5, -0.5), xticks=(0.5, 1.5, 2.5), yticks=(0.5, 1.5, 2.5), aspect="equal")
grid.tick_params(length=0, labelbottom=False, labelleft=False)
grid.grid()
figure.savefig(out)
