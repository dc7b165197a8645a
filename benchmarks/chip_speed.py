"""Speed of the emulated chip on dense networks, one thread.

1. 256 Poisson inputs of 100 kHz x 256 neurons, all to all, 1 ms of chip time: 25.5 k input events, 6.5 M synaptic
   events, lossless threshold crossings. The chip is 1000 times faster than biology, so that this is the workload of
   100 Hz inputs and 1 s on which NEST's lossless precise model takes 0.68 s. All spikes are compared with a plain
   numpy solution.
2. The full chip: 512 neurons, 131072 synapses, 1 ms of chip time, inputs of 20 kHz of chip time (20 Hz in biology; with
   20 kHz in biology the inputs alone would be 5 GEvent/s, 14 times what the FPGA can send). Synapses are five times
   as strong as in 1, so that neurons spike.

Run level by level, as `Chip` does with networks without loops, and event by event, with neurons in lockstep and each
on its own, which are the two ways for networks with loops; taken in turn in one process, medians of CPU time, because
other jobs may run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import brentq

from benchmarks import commands
from brainscales_emu import ChipConfig, NoiseConfig
from brainscales_emu.chip import Chip
from brainscales_emu.recording import Recording
from brainscales_emu.routing.placement import External, Placement, Population, Projection, place

N_INPUTS = 256
CONFIG = ChipConfig(
    tau_mem_us=10.0,
    tau_syn_exc_us=5.0,
    tau_syn_inh_us=5.0,
    refractory_us=2.0,
    event_latency_us=0.0,
    exact_input_times=True,
    saturation=None,  # as in NEST's model and in the plain solution
)
MISMATCH = NoiseConfig(tau_mem_std=0.05, tau_syn_std=0.03, threshold_std_lsb=1.5, weight_std=0.05)


def chip_config(rate_khz: float, noise: NoiseConfig) -> ChipConfig:
    """CONFIG, with synapses that make neurons spike now and then."""
    return replace(CONFIG, synaptic_gain=0.27 / rate_khz, noise=noise)


def weights(n_inputs: int, n_neurons: int) -> np.ndarray:
    """Every fifth input is inhibitory."""
    matrix = np.random.default_rng(1).integers(5, 64, (n_inputs, n_neurons))
    return np.where(np.arange(n_inputs) % 5 == 4, -1, 1)[:, None] * matrix


def network(n_inputs: int, n_neurons: int) -> Placement:
    inputs, neurons = External("input", n_inputs), Population("neurons", n_neurons)
    return place([inputs, neurons], [Projection(inputs, neurons, weights(n_inputs, n_neurons))])


def poisson(n_inputs: int, rate_khz: float, duration_us: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in us, ascending, and inputs."""
    rng = np.random.default_rng(2)
    counts = rng.poisson(rate_khz * 1e-3 * duration_us, n_inputs)
    times = rng.uniform(0.0, duration_us, counts.sum())
    order = np.argsort(times)
    return times[order], np.repeat(np.arange(n_inputs), counts)[order]


def plain_solution(
    gain: float, matrix: np.ndarray, times: np.ndarray, inputs: np.ndarray, duration_us: float
) -> list[list[float]]:
    """Spike times of each neuron of an ideal chip with CONFIG and this synaptic gain, by bracketing.

    Both synaptic time constants are equal, so that u(s) = (u + b) exp(-s / tau_m) - b exp(-s / tau_s) with b =
    i / (1 / tau_s - 1 / tau_m) has at most one extremum, whose place is known.
    """
    mem, syn = 1.0 / CONFIG.tau_mem_us, 1.0 / CONFIG.tau_syn_exc_us
    threshold, n = CONFIG.threshold_lsb - CONFIG.leak_lsb, matrix.shape[1]
    u, current, released = np.zeros(n), np.zeros(n), np.zeros(n)
    spikes: list[list[float]] = [[] for _ in range(n)]

    def membrane(s, start, i):
        b = i / (syn - mem)
        return (start + b) * np.exp(-mem * s) - b * np.exp(-syn * s)

    now = 0.0
    for event_us, source in zip([*times, duration_us], [*inputs, -1], strict=True):
        # Each neuron from `now`, or from its release if that is later, to the event.
        begin = np.clip(released, now, event_us)
        start = np.where(released > now, 0.0, u)
        i = current * np.exp(-syn * (begin - now))
        s = event_us - begin
        b = i / (syn - mem)
        with np.errstate(all="ignore"):
            highest = np.log(b * syn / ((start + b) * mem)) / (syn - mem)
        highest = np.where((highest > 0.0) & (highest < s), highest, s)
        crossing = (membrane(highest, start, i) >= threshold) & (s > 0.0)
        u = np.where(released > event_us, 0.0, membrane(s, start, i))
        for k in np.flatnonzero(crossing):
            k_start, k_begin, k_i, end = start[k], begin[k], i[k], highest[k]
            while True:
                root = brentq(lambda x: membrane(x, k_start, k_i) - threshold, 0.0, end, xtol=1e-15, rtol=1e-15)  # noqa: B023
                spikes[k].append(k_begin + root)
                released[k] = k_begin + root + CONFIG.refractory_us
                if released[k] >= event_us:
                    u[k] = 0.0
                    break
                k_i *= np.exp(-syn * (released[k] - k_begin))
                k_start, k_begin = 0.0, released[k]
                end = event_us - k_begin
                scan = np.linspace(0.0, end, 200)
                above = np.flatnonzero(membrane(scan, 0.0, k_i) >= threshold)
                if not above.size:
                    u[k] = membrane(end, 0.0, k_i)
                    break
                end = scan[above[0]]
        current = current * np.exp(-syn * (event_us - now))
        if source >= 0:
            current = current + gain * matrix[source]
        now = event_us
    return spikes


def difference(found: list[np.ndarray], expected: list[list[float]]) -> float:
    """Largest difference in us; inf if a spike is missing or extra."""
    if [len(train) for train in found] != [len(train) for train in expected]:
        return np.inf
    return max(
        (float(np.abs(a - np.array(b)).max()) for a, b in zip(found, expected, strict=True) if len(b)), default=0
    )


def trains(recording: Recording, circuits: np.ndarray) -> list[np.ndarray]:
    return [np.sort(recording.analogue_times_us[recording.circuits == circuit]) for circuit in circuits]


WAYS = {"level by level": None, "lockstep": True, "one by one": False}


def measure(
    placement: Placement, times: np.ndarray, inputs: np.ndarray, config: ChipConfig, duration_us: float, repeats: int
) -> tuple[dict[str, Recording], dict[str, float]]:
    """Recording of each way, with CPU seconds of a run."""
    lines = placement.lines["input"][inputs]
    chips: dict[str, Chip] = {}
    for name, lockstep in WAYS.items():
        chips[name] = chip = Chip(config, serial=1, seed=1)
        chip.write(placement.fabric)
        if lockstep is not None:
            chip.network = chip.assemble(lockstep)
    seconds: dict[str, list[float]] = {name: [] for name in chips}
    recordings = {}
    for _ in range(1 + repeats):
        for name, chip in chips.items():
            began = time.process_time()
            recordings[name] = chip.run(times, lines, duration_us, 0)
            seconds[name].append(time.process_time() - began)
    # The first of each compiles, and finds out how much room spikes need.
    return recordings, {name: float(np.median(values[1:])) for name, values in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--duration", type=float, default=1000.0, metavar="US", help="chip time (default 1000 us)")
    options = commands.parsed(parser, arguments, repeats=1, duration=50.0)
    print("| network | input events | synaptic events | spikes | level by level, s | lockstep, s | one by one, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for title, n_neurons, rate_khz in (("256 x 256, 100 kHz", 256, 100.0), ("full chip, 20 kHz", 512, 20.0)):
        placement = network(N_INPUTS, n_neurons)
        times, inputs = poisson(N_INPUTS, rate_khz, options.duration)
        for label, noise in (("ideal", NoiseConfig()), ("mismatch", MISMATCH)):
            config = chip_config(rate_khz, noise)
            recordings, seconds = measure(placement, times, inputs, config, options.duration, options.repeats)
            spikes = recordings["lockstep"].ticks.size
            row = " | ".join(f"{seconds[name]:.4f}" for name in WAYS)
            print(f"| {title}, {label} | {times.size} | {times.size * n_neurons} | {spikes} | {row} |", flush=True)
            circuits = placement.neurons["neurons"][:, 0]
            found = {name: trains(recording, circuits) for name, recording in recordings.items()}
            expected = [train.tolist() for train in found["one by one"]]
            against = "one by one"
            if label == "ideal":
                gain, matrix = config.synaptic_gain, weights(N_INPUTS, n_neurons)
                expected, against = plain_solution(gain, matrix, times, inputs, options.duration), "the plain solution"
            for name in WAYS:
                print(f"  {name} against {against}: largest difference {difference(found[name], expected):.1e} us")


if __name__ == "__main__":
    main()
