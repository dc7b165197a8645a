"""Matrix mode of the emulated chip, after the vendor's demo "exploring the analog MAC operation": is it linear, how far
do the columns spread, how noisy are they?"""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu.mac import MacArray, MacConfig

out = sys.argv[1] if len(sys.argv) > 1 else "matrix_properties.png"
chip = MacArray(MacConfig(), serial=7, seed=1)

# The demo's first product, on all columns and 200 times: 100 inputs of 15, weights of 21.
flat = chip.multiply(chip.program(np.full((100, 256), 21)), np.full((200, 100), 15), 0)
columns = flat.mean(axis=0)
print("ten columns, read once:", flat[0, :10])
print("a real chip (demo):    ", [55, 60, 59, 56, 60, 63, 57, 58, 56, 62])
print(f"column spread: {100 * columns.std() / columns.mean():.1f} % (demo, its noise included: 4.6 %)")
print(f"trial noise: {flat.std(axis=0).mean():.2f} LSB (vendor's mock: 2)")

# One input of 12, sent 100 times; the weight rises from column to column.
weights = np.repeat(np.arange(-63, 64), 2)
ramp = chip.multiply(chip.program(weights[np.newaxis]), np.full((200, 1), 12), 1, num_sends=100)

# The demo calls -80..80 linear. Here the line bends at the clamp alone: how a real column saturates isn't published.
within = np.abs(ramp.mean(axis=0)) < 80
slope, offset = np.polyfit(weights[within], ramp.mean(axis=0)[within], 1)
off = (ramp.mean(axis=0) - slope * weights - offset)[within]
print(f"line: {slope:.3f} LSB per weight (nominal 2.400), columns {off.std():.1f} LSB beside it; synapses spread, too")

figure = Figure(figsize=(8, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.axhspan(-80, 80, color="#EEEEEE")
left.plot(weights, ramp[0], ".", color="#332288", markersize=3, label="read once")
left.plot(weights, slope * weights + offset, color="#882255", linewidth=1, label="line through -80..80")
left.set(xlabel="weight", ylabel="output (LSB)", ylim=(-135, 135))
left.legend(frameon=False)
right.plot(flat[0], ".", color="#44AA99", markersize=3, label="read once")
right.plot(columns, color="#332288", linewidth=0.8, label="mean of 200")
right.set(xlabel="column", ylabel="output (LSB)", ylim=(0, None))
right.legend(frameon=False, loc="lower right")
figure.savefig(out)
