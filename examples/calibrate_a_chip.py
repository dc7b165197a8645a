"""Calibrate some circuits of a chip by measurement, and see how alike they are before and after (a .png draws it)."""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from brainscales_emu import Calibration, Chip, ChipConfig, calibrate, preset
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.capmem import median_codes

SERIAL = 7
NAMES = {
    "leak_lsb": "leak (CADC LSB)",
    "reset_lsb": "reset (CADC LSB)",
    "threshold_lsb": "threshold (CADC LSB)",
    "tau_mem_us": "membrane time constant (µs)",
    "tau_syn_exc_us": "exc. synaptic time constant (µs)",
    "gain_exc": "exc. synaptic gain (nominal 1)",
}
raw, targets = preset("uncalibrated"), ChipConfig()
circuits = np.arange(32)

# The search sees the chip through the instrument alone: CADC readings and spikes, with all their noise.
found = calibrate(Instrument(raw, SERIAL, seed=1, circuits=circuits), targets)
with tempfile.TemporaryDirectory() as folder:
    found.save(Path(folder) / "chip7.h5")
    found = Calibration.load(Path(folder) / "chip7.h5")

# What no laboratory can see: the parameters themselves.
before = Chip(raw, SERIAL, codes=median_codes(targets, SERIAL)).fixed_pattern
after = Chip(raw, SERIAL, codes=found.codes).fixed_pattern

print(f"{len(circuits)} circuits of chip {SERIAL}, excluded {found.excluded.tolist()}; spread before -> after")
for name, label in NAMES.items():
    stds = [getattr(pattern, name)[circuits].std() for pattern in (before, after)]
    print(f"{label:34s} {stds[0]:6.3f} -> {stds[1]:6.3f}")

if len(sys.argv) > 1:
    os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(2, 3).ravel(), NAMES.items(), strict=True):
        values = [getattr(pattern, name)[circuits] for pattern in (before, after)]
        bins = np.linspace(np.min(values), np.max(values), 25)
        axes.hist(values, bins=bins, label=["all alike", "calibrated"], color=["#CC6677", "#332288"])
        axes.set(xlabel=label, ylabel="circuits")
    figure.axes[3].legend(frameon=False, title="codes")
    figure.savefig(sys.argv[1])
