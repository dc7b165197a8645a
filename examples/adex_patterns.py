"""Firing patterns of neurons with adaptation and upswing under a constant current (Naud et al., 2008), in the plain
Python of the readable neuron."""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu.readable.adex import AdexNeuron

out = sys.argv[1] if len(sys.argv) > 1 else "adex_patterns.png"

# The published neurons, as corrected by P. Müller: capacitance pF, leak conductance nS, leak mV, a nS, tau_w ms, b pA,
# reset mV, current pA. A chip is about 1000 times as fast: ms become us. LSB = 250 + 2.5 * mV.
PATTERNS = {
    "tonic": (200, 10, -70, 2, 30, 0, -58, 500),
    "adapting": (200, 12, -70, 2, 300, 60, -58, 500),
    "initial burst": (130, 18, -58, 4, 150, 120, -50, 400),
    "bursting": (200, 10, -58, 2, 120, 100, -46, 210),
    "delayed, accelerating": (200, 12, -70, -10, 300, 0, -58, 300),
    "delayed, bursting": (100, 10, -65, -10, 90, 30, -47, 110),
    "irregular": (100, 12, -60, -11, 130, 30, -48, 160),
}
SCALE, V_T_MV, DELTA_T_MV, COMPARATOR_MV = 2.5, -50, 2, -30
grid_us = np.linspace(0.0, 400.0, 2001)

figure = Figure(figsize=(7, 8), layout="constrained")
for axes, (name, values) in zip(
    figure.subplots(len(PATTERNS), sharex=True, sharey=True), PATTERNS.items(), strict=True
):
    c, g, e, a, tau_w, b, reset, current = values
    leak = e + current / g  # a constant current is a raised leak; the adaptation keeps the old one
    neuron = AdexNeuron(
        tau_us=(c / g, 5.0, 5.0),
        reset=SCALE * (reset - leak),
        threshold=SCALE * (COMPARATOR_MV - leak),
        refractory_us=0.5,
        a=a / g,
        w_leak=SCALE * (e - leak),
        b=SCALE * b / g,
        tau_w_us=tau_w,
        delta_t=SCALE * DELTA_T_MV,
        v_t=SCALE * (V_T_MV - leak),
        tolerance=1e-6,
    )
    spikes, trace = [], []
    for time in grid_us:
        while neuron.advance(time):  # up to the time or to the next crossing
            spikes.append(neuron.time_us)
            neuron.spike(neuron.threshold)
        trace.append(250 + SCALE * leak + neuron.state[0])
    print(f"{name:22s}{len(spikes):4d} spikes, intervals {' '.join(f'{t:.1f}' for t in np.diff(spikes)[:8])} us")
    axes.plot(grid_us, trace, color="#332288", linewidth=0.8)
    axes.plot(spikes, np.full(len(spikes), 190.0), "|", color="#882255")
    axes.set(xlabel="time (µs)", ylabel="LSB", xlim=(0, grid_us[-1]))
    axes.set_title(name, loc="left", fontsize="small")
    axes.label_outer()
figure.savefig(out)
