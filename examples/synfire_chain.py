"""A synfire chain: each link excites the next one and its inhibitory neurons, which cut off what comes late. A strong,
synchronous pulse packet runs through, weak or spread ones die out."""

import os
import sys
from dataclasses import replace

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu import Chip, Network, SpikeSourceArray, preset

out = sys.argv[1] if len(sys.argv) > 1 else "synfire_chain.png"
LINKS, EXC, INH, START_US, UNTIL_US = 8, 16, 8, 30.0, 60.0
config = replace(preset("calibrated"), tau_mem_us=4.0, tau_syn_exc_us=2.0, tau_syn_inh_us=4.0, refractory_us=10.0)


def run_packet(n_spikes, spread_us, inhibition):
    """Send a packet of normally distributed spikes into the chain; spikes of all links, excitatory and inhibitory."""
    rng = np.random.default_rng(1)
    net = Network(Chip(config, serial=7))
    packet_us = START_US + spread_us * rng.standard_normal((n_spikes, 1))
    before = net.Population(n_spikes, SpikeSourceArray(packet_us))
    links = []
    for _ in range(LINKS):
        exc, inh = net.Population(EXC), net.Population(INH)
        net.Projection(before, exc, weight=55)
        net.Projection(before, inh, weight=58)
        net.Projection(inh, exc, weight=inhibition, receptor_type="inhibitory")
        net.record(exc, "spikes")
        net.record(inh, "spikes")
        links.append((exc, inh))
        before = exc
    net.run(UNTIL_US)
    return np.concatenate(packet_us), [(net.spikes(exc), net.spikes(inh)) for exc, inh in links]


PACKETS = {
    "16 spikes, sigma 0.5 µs": (16, 0.5, 30),
    "7 spikes, sigma 0.5 µs": (7, 0.5, 30),
    "16 spikes, sigma 8 µs": (16, 8.0, 30),
    "the same without inhibition": (16, 8.0, 0),
}
figure = Figure(figsize=(10, 3.5), layout="constrained")
for axes, (name, packet) in zip(figure.subplots(1, 4, sharey=True), PACKETS.items(), strict=True):
    packet_us, links = run_packet(*packet)
    axes.eventplot(packet_us, lineoffsets=-8, linelengths=6, colors="#44AA99")
    for link, (exc, inh) in enumerate(links):
        row = link * (EXC + INH) + np.arange(EXC + INH)
        axes.eventplot(exc, lineoffsets=row[:EXC], linewidths=2, colors="#332288")
        axes.eventplot(inh, lineoffsets=row[EXC:], linewidths=2, colors="#CC6677")
    axes.set(xlabel="time (µs)", xlim=(15, 50), yticks=(EXC + INH) * np.arange(LINKS))
    axes.set_title(name, fontsize="small")
    print(f"{name}: spikes per link", *(sum(train.size for train in exc) for exc, _ in links))
figure.axes[0].set(ylabel="neuron (blue: exc., red: inh.)")
figure.savefig(out)
