"""One emulated neuron: a strong input drives it over threshold, and its membrane is drawn with the spike times."""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu import Chip, Probe, place_feedforward

out = sys.argv[1] if len(sys.argv) > 1 else "one_neuron.png"
chip = Chip("calibrated", serial=7)

# Two inputs, one excitatory and one inhibitory; weights have six bits and a sign.
placement = place_feedforward(n_inputs=2, weights=[np.array([[63], [-40]])], delay_registers=[None])
chip.write(placement.fabric)

neuron = placement.neurons["layer 0"][0]
times_us = np.array([5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 60.0, 61.0, 62.0])
lines = placement.lines["input"][[0] * 7 + [1, 0, 0]]
grid_us = np.linspace(0.0, 100.0, 2001)
recording = chip.run(times_us, lines, duration_us=100.0, trial=0, probe=Probe(neuron, grid_us))

print(f"{recording.ticks.size} spikes at {recording.ticks * 8e-3} us (8 ns time stamps)")
print(f"threshold of circuit {neuron[0]}: {chip.fixed_pattern.threshold_lsb[neuron[0]]:.1f} CADC LSB (nominal 150)")

figure = Figure(figsize=(7, 3), layout="constrained")
axes = figure.subplots()
axes.plot(grid_us, recording.membrane_lsb[0], color="#332288")
axes.plot(recording.analogue_times_us, np.full(recording.ticks.size, 155.0), "v", color="#882255", label="spike")
axes.vlines(times_us, 60, 66, colors=np.where(lines == 0, "#44AA99", "#BB5566"))
axes.set(xlabel="time (µs)", ylabel="membrane (CADC LSB)")
axes.legend(frameon=False)
figure.savefig(out)
