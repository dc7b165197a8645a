"""How much current wire resistance takes from a crossbar, over tile size and resistance per segment."""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from memristor.parasitics import WireConfig, solve

SIZES = [16, 32, 64, 128]
OHMS = [0.5, 1.0, 2.0, 5.0, 10.0]

# Cells of 0..40 uS read at 0.2 V: the range of the default device model.
rng = np.random.default_rng(1)
losses = np.empty((len(SIZES), len(OHMS)))
for i, size in enumerate(SIZES):
    g_uS = rng.uniform(0.0, 40.0, (size, size))
    v_V = np.full(size, 0.2)
    for j, ohm in enumerate(OHMS):
        currents_uA = solve(g_uS, v_V, WireConfig(row_ohm=ohm, column_ohm=ohm)).currents_uA
        losses[i, j] = 100.0 * (1.0 - currents_uA.sum() / (v_V @ g_uS).sum())

print("Loss of output current in %, by ohm per segment")
print("tile     " + "".join(f"{ohm:>8g}" for ohm in OHMS))
for size, row in zip(SIZES, losses, strict=True):
    print(f"{f'{size} x {size}':<9}" + "".join(f"{loss:>8.1f}" for loss in row))

if len(sys.argv) > 1:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for size, row, color in zip(SIZES, losses, ["#332288", "#44AA99", "#BB5566", "#882255"], strict=True):
        axes.plot(OHMS, row, "o-", color=color, label=f"{size} x {size}")
    axes.set(xlabel="wire resistance (Ω per segment)", ylabel="loss of output current (%)", xscale="log")
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1])
