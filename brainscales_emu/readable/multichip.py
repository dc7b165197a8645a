"""Chips that exchange spikes, event by event on one clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..constants import EXTERNAL, FIRST_DELAY_OUTPUT
from ..instant import latest
from ..mismatch import trial_key
from .chip import WiredChip
from .lif import LifNeuron
from .trial_noise import TrialNoise


def simulate_setup(
    wired: Sequence[WiredChip],
    seeds: Sequence[int],
    inputs: Sequence[list[tuple[float, int]]],
    connections: NDArray[np.int64],
    latency_us: float,
    duration_us: float,
) -> tuple[list[tuple[float, int, int]], int]:
    """Plain LIF neurons of several chips, event by event; (time, chip, source) of all spikes, and lost events."""
    trials = [TrialNoise(trial_key(seed, 0)) for seed in seeds]
    noise = wired[0].config.noise
    neurons: dict[tuple[int, int], LifNeuron] = {}
    for k, chip in enumerate(wired):
        for master, neuron in chip.neurons.items():
            threshold_noise = noise.threshold_noise_std_lsb * trials[k].draw(master)
            neuron.set_threshold(chip.mean_threshold[master] + threshold_noise)
            neurons[k, master] = neuron
    arrivals = sorted((time, k, source) for k, events in enumerate(inputs) for time, source in events)
    due = {key: neuron.next_spike_us() for key, neuron in neurons.items()}
    busy: dict[tuple[int, int], float] = {}
    spikes: list[tuple[float, int, int]] = []
    lost = 0
    while True:
        spiking = min(due, key=lambda neuron: due[neuron])
        firing = min(busy, key=lambda element: busy[element], default=(-1, -1))
        fire_us = busy.get(firing, math.inf)
        arrival_us = arrivals[0][0] if arrivals else math.inf
        now = min(due[spiking], fire_us, arrival_us)
        if now > duration_us:
            return spikes, lost
        if now == arrival_us and min(due[spiking], fire_us) > latest(now):
            _, k, source = arrivals.pop(0)
            for route in wired[k].routes(source):
                for master in wired[k].deliver(route, now):
                    due[k, master] = neurons[k, master].next_spike_us()
                for element in route.elements:
                    lost += (k, element) in busy
                    if (k, element) not in busy:
                        jitter = noise.delay_jitter_us * trials[k].draw(FIRST_DELAY_OUTPUT + 2 * element)
                        busy[k, element] = now + wired[k].delay_us[element] + jitter
            continue
        if due[spiking] > latest(now):
            del busy[firing]
            k, source = firing[0], FIRST_DELAY_OUTPUT + 2 * firing[1]
        else:
            k, source = spiking
            neurons[spiking].advance(now)
            threshold_noise = noise.threshold_noise_std_lsb * trials[k].draw(source)
            neurons[spiking].spike(wired[k].mean_threshold[source] + threshold_noise)
            due[spiking] = neurons[spiking].next_spike_us()
        spikes.append((now, k, source))
        arrivals.append((now + wired[k].config.event_latency_us, k, source))
        arrivals += [
            (now + latency_us, target, EXTERNAL + line)
            for source_chip, circuit, target, line in connections.tolist()
            if (source_chip, circuit) == (k, source)
        ]
        arrivals.sort()
