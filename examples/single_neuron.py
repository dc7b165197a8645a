"""One neuron of a calibrated chip: its membrane through both converters, and what its parameters do."""

import os
import sys
from dataclasses import replace

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.figure import Figure

from brainscales_emu import Chip, Network, SpikeSourceArray, preset

out = sys.argv[1] if len(sys.argv) > 1 else "single_neuron.png"
config, COLORS = replace(preset("calibrated"), refractory_us=2.0), ("#DDCC77", "#44AA99", "#332288")


def record(config, weight, times_us, until_us, device="madc"):
    """Spikes, and the membrane in CADC LSB; the same chip and circuit every time."""
    net = Network(Chip(config, serial=7))
    stimulus, neuron = net.Population(1, SpikeSourceArray(times_us)), net.Population(1)
    net.Projection(stimulus, neuron, weight=weight)
    net.record(neuron, ["spikes", "v"], device=device)
    net.run(until_us)
    times_us, (v,) = net.v(neuron)
    return net.spikes(neuron)[0], times_us, v if device == "cadc" else net.madc.to_cadc_lsb(v)


figure = Figure(figsize=(9, 6), layout="constrained")
trace, rate, decay, heights = figure.subplots(2, 2).ravel()
inputs_us = [10, 30, 32, 34, 36, 60, 61, 62, 63, 64]
spikes, times_us, v = record(config, 63, inputs_us, 100.0)
trace.plot(times_us, v, color="#88CCEE", linewidth=0.5, label="MADC")
trace.plot(*record(config, 63, inputs_us, 100.0, "cadc")[1:], "o", color="#332288", markersize=3, label="CADC")
trace.plot(spikes, np.full(len(spikes), 160.0), "v", color="#882255", label="spike")
trace.vlines(inputs_us, 62, 67, colors="#44AA99")

leaks = np.arange(90.0, 201.0, 10.0)
for threshold, color in zip((110.0, 130.0, 150.0), COLORS, strict=True):
    configs = [replace(config, leak_lsb=leak, threshold_lsb=threshold) for leak in leaks]
    rates = [len(record(pacemaker, 0, [], 400.0)[0]) / 0.4 for pacemaker in configs]
    rate.plot(leaks, rates, "o-", color=color, markersize=3, label=f"threshold {threshold:g} LSB")
    print(f"threshold {threshold:g} LSB:", *rates, "kHz")

for tau, color in zip((2.0, 6.0, 20.0), COLORS, strict=True):
    _, times_us, v = record(replace(config, tau_mem_us=tau, tau_syn_exc_us=2.0), 63, [5.0], 60.0)
    decay.plot(times_us, v, color=color, linewidth=0.5, label=f"membrane {tau:g} µs")

weights, peaks = np.arange(-63, 64, 9), []
for weight in weights:
    _, times_us, v = record(config, weight, np.arange(5.0, 900.0, 45.0), 900.0)
    since_us = (times_us - 5.0) % 45.0
    peaks.append(v[np.abs(since_us - 6.0) < 2.0].mean() - v[since_us > 40.0].mean())
exc, peaks = weights >= 0, np.array(peaks)
slope = np.sum((weights * peaks)[exc]) / np.sum(weights[exc] ** 2)
off = np.abs(peaks - slope * weights)
straight = f"straight within {off[exc].max():.2f} LSB"
print(f"PSP {slope:.3f} LSB per weight LSB, {straight}; inhibition saturates, by {off[0]:.2f} LSB")
heights.plot(weights, peaks, "o", color="#332288", label="PSP near its peak")

for axes, xlabel in zip(figure.axes, ("time (µs)", "leak (CADC LSB)", "time (µs)", "weight (LSB)"), strict=True):
    axes.set(xlabel=xlabel, ylabel="rate (kHz)" if axes is rate else "membrane (CADC LSB)")
    axes.legend(frameon=False, fontsize="small")
figure.savefig(out)
