"""Let Brian2 write and compile the network of `networks.py`; runs in a Python that has Brian2 and nothing of ours.

1 ms here is 1 us of the chip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def build(folder: Path) -> None:
    """The program, in FOLDER/output, from FOLDER/problem.npz."""
    from brian2 import Network, NeuronGroup, SpikeGeneratorGroup, SpikeMonitor, Synapses
    from brian2 import defaultclock, device, ms, prefs, set_device  # isort: skip

    problem = np.load(folder / "problem.npz")
    n_inputs, n = problem["lsb"].shape
    set_device("cpp_standalone", build_on_run=False)
    prefs.devices.cpp_standalone.openmp_threads = 0
    defaultclock.dt = float(problem["grid_us"]) * ms
    constants = {
        "tau_m": float(problem["tau_mem_us"]) * ms, "tau_s": float(problem["tau_syn_us"]) * ms,
        "level": float(problem["threshold_lsb"]),
    }  # fmt: skip
    neurons = NeuronGroup(
        n, "dv/dt = -v / tau_m + current / ms : 1 (unless refractory)\ndcurrent/dt = -current / tau_s : 1",
        method="exact", threshold="v > level", reset="v = 0", refractory=float(problem["refractory_us"]) * ms,
        namespace=constants,
    )  # fmt: skip
    inputs = SpikeGeneratorGroup(n_inputs, problem["inputs"], problem["times"] * ms)
    synapses = Synapses(inputs, neurons, "w : 1", on_pre="current_post += w")
    synapses.connect()
    synapses.w = problem["lsb"].ravel()
    spikes = SpikeMonitor(neurons, name="spikes")
    Network(neurons, inputs, synapses, spikes).run(float(problem["duration_us"]) * ms)
    device.build(str(folder / "output"), run=False)
