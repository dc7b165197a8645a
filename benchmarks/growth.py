"""How CPU time and memory grow with the size of the work: a power law's exponent beside that of the work itself.

The work is what a size asks for: synaptic events of a network, synapses times samples of an epoch, devices of a
crossbar, bytes of a trace. An exponent above the work's own is what to mend.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

import neurohil as nh
from benchmarks import chip_speed, crossbar_forward
from benchmarks.pairs import Job, timed
from brainscales_emu import NoiseConfig
from brainscales_emu.chip import Chip
from memristor.parasitics import WireConfig, effective_matrix, solve
from neurohil.delgrad.network import Network
from neurohil.targets.spiking.ideal import IdealTarget

WIRES = WireConfig(row_ohm=1.0, column_ohm=1.0)
REPEATS = 5
RATE_KHZ = 100.0
TRACES = "trace, bytes written"


class Line(NamedTuple):
    """A size that grows: its values, a job for each, and the exponent of the work over the size, with its reason."""

    name: str
    sizes: Sequence[int]
    job: Callable[[int], Job]
    work: float
    reason: str


def chip_network(n_neurons: int, n_events: int, noise: NoiseConfig = chip_speed.MISMATCH) -> Job:
    """A dense network of 256 inputs of 100 kHz, for as long as so many input events take."""
    duration_us = n_events / (chip_speed.N_INPUTS * RATE_KHZ * 1e-3)
    placement = chip_speed.network(chip_speed.N_INPUTS, n_neurons)
    times, inputs = chip_speed.poisson(chip_speed.N_INPUTS, RATE_KHZ, duration_us)
    chip = Chip(chip_speed.chip_config(RATE_KHZ, noise), serial=1, seed=1)
    chip.write(placement.fabric)
    lines = placement.lines["input"][inputs]
    return Job(lambda _: chip.run(times, lines, duration_us, 0))


def chips(n_chips: int) -> Job:
    """So many chips, one after the other, each with 64 neurons."""
    jobs = [chip_network(64, 2560) for _ in range(n_chips)]
    return Job(lambda _: [job.run(None) for job in jobs])


def wide(n_inputs: int) -> Job:
    """The spikes of 128 samples in a network of n_inputs-350-10, of whose inputs a fifth arrive."""
    config: Any = nh.experiment("yin_yang_weights").config.network
    rng = np.random.default_rng(0)
    network = Network(msgspec.structs.replace(config, hidden=350), n_inputs, 10, 1, rng)
    target = IdealTarget(config.threshold, config.tau_ratio)
    target.write(network.layers())
    times = np.where(rng.random((128, n_inputs)) < 0.2, rng.uniform(0.15, 2.0, (128, n_inputs)), np.inf)
    return Job(lambda _: target.run(times, 0))


def epoch(batch: int) -> Job:
    """An epoch of 5000 samples in batches of this size."""
    run: Any = nh.experiment("yin_yang_weights", [f"training.batch={batch}"]).start()
    return Job(lambda _: run.trainer.train_epoch(*run.data.train))


def hidden(n: int) -> Job:
    """An epoch of 5000 samples with so many hidden neurons."""
    run: Any = nh.experiment("yin_yang_weights", [f"network.hidden={n}"]).start()
    return Job(lambda _: run.trainer.train_epoch(*run.data.train))


def wires(size: int) -> Job:
    g_uS = np.random.default_rng(size).uniform(10.0, 100.0, (size, size))
    v_V = np.random.default_rng(1).uniform(0.0, 0.2, size)
    return Job(lambda _: solve(g_uS, v_V, WIRES))


def conductances(size: int) -> Job:
    g_uS = np.random.default_rng(size).uniform(10.0, 100.0, (size, size))
    return Job(lambda _: effective_matrix(g_uS, WIRES))


def products(size: int) -> Job:
    crossbar, _ = crossbar_forward.layer((size, size))
    x = np.random.default_rng(1).uniform(0.0, 1.0, (128, size))
    crossbar.calibrate(x)
    return Job(lambda _: crossbar.multiply(x))


def trace(epochs: int) -> Job:
    """A run of so many epochs, written to a trace."""

    def run(_: None) -> int:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.h5"
            nh.train("yin_yang_weights", epochs=epochs, trace=path, progress=False)
            return path.stat().st_size

    return Job(run)


def lines(quick: bool) -> Iterator[Line]:
    """All of them; quick: two sizes each."""
    per_event, events = "neurons times input events", 256 if quick else 25_600
    found = [
        Line(f"chip: neurons, {events} input events", (32, 64, 128, 256, 512), lambda n: chip_network(n, events), 1.0,
             per_event),
        Line("chip: synaptic events, 256 neurons", (10**4, 10**5, 10**6, 10**7),
             lambda n: chip_network(256, n // 256, NoiseConfig()), 1.0, "the events"),
        Line("chips, 64 neurons each", (1, 2, 4, 8, 16), chips, 1.0, "neurons times input events"),
        Line("DelGrad epoch: hidden neurons", (10, 30, 120, 350), hidden, 1.0, "synapses times samples"),
        Line("DelGrad forward: inputs, to 350-10", (49, 98, 196, 392, 784), wide, 1.0, "arrivals"),
        Line("DelGrad epoch: batch", (10, 50, 250, 1000, 5000), epoch, 0.0, "the same samples"),
        Line("crossbar: forward, batch 128", (64, 128, 256, 512, 1024), products, 2.0, "devices"),
        Line("crossbar: wires, one vector", (64, 128, 256, 512), wires, 2.0, "nodes"),
        Line("crossbar: effective conductances", (32, 64, 128, 256), conductances, 3.0, "nested dissection of a grid"),
        Line(TRACES, (1, 2) if quick else (4, 16, 64), trace, 1.0, "epochs"),
    ]  # fmt: skip
    for line in found:
        yield line._replace(sizes=line.sizes[:2]) if quick else line


def measured(quick: bool) -> list[dict[str, Any]]:
    """CPU seconds (the median) and peak of Python's memory for each size, and exponents."""
    found = []
    for line in lines(quick):
        values: list[float] = []
        memory: list[int] = []
        for size in line.sizes:
            job = line.job(size)
            _, result = timed(job)  # also warms
            if line.name == TRACES:
                values.append(float(result))
            else:
                values.append(float(np.median([timed(job)[0] for _ in range(1 if quick else REPEATS)])))
            memory.append(peak_bytes(job))
        found.append(
            {
                "name": line.name, "sizes": list(line.sizes), "values": values, "peak_bytes": memory,
                "unit": "bytes" if line.name == TRACES else "CPU s", "work": line.work, "reason": line.reason,
                "exponent": exponent(line.sizes, values), "memory_exponent": exponent(line.sizes, memory),
            }
        )  # fmt: skip
    return found


def peak_bytes(job: Job) -> int:
    """The most that numpy and Python held at once during a run."""
    prepared = job.prepare()
    tracemalloc.start()
    try:
        job.run(prepared)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope in double logarithms of the upper half of the sizes, where what doesn't grow no longer counts."""
    half = max(2, (len(sizes) + 1) // 2)
    return round(float(np.polyfit(np.log(sizes[-half:]), np.log(values[-half:]), 1)[0]), 2)
