"""256 Poisson inputs on 256 neurons, all to all, for 1 ms of chip time, beside simulators of spiking networks.

The chip is 1000 times faster than biology: 1 us here is 1 ms there. NEST's precise and lossless models compute what our
engine does, in continuous time. Brian2's C++ is on a grid of 0.1 us, and so is the input that both get.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import chip_speed
from benchmarks.pairs import Disagreement, Job, Row
from benchmarks.peers import NOT_INSTALLED
from brainscales_emu import ChipConfig, NoiseConfig
from brainscales_emu.chip import Chip

N, RATE_KHZ, GRID_US = 256, 100.0, 0.1
RESOLUTION_MS = 0.1  # NEST's own choice; at 0.5 ms its precise models lose spikes, or stop with an error
BRIAN2_PYTHON = Path(sys.prefix) / "brian2" / "bin" / "python"
"""Of the environment that `benchmarks.bench_peers` has made for it."""


@dataclass(frozen=True)
class Problem:
    """Times (n,) in us, ascending, and inputs of all events; signed weights (inputs, neurons); what the chip is."""

    times: NDArray[Any]
    inputs: NDArray[Any]
    weights: NDArray[Any]
    duration_us: float

    def on_grid(self) -> Problem:
        """At most one event of an input in a step of the grid, in the middle of it."""
        steps = np.floor(self.times / GRID_US).astype(np.int64)
        _, first = np.unique(steps * N + self.inputs, return_index=True)
        first.sort()
        return Problem((steps[first] + 0.5) * GRID_US, self.inputs[first], self.weights, self.duration_us)

    def config(self, noise: NoiseConfig) -> ChipConfig:
        return chip_speed.chip_config(RATE_KHZ, noise)

    @property
    def lsb(self) -> NDArray[Any]:
        """What an event adds to the current, in LSB/us."""
        return self.config(NoiseConfig()).synaptic_gain * self.weights


Trains = list[NDArray[np.float64]]


def rows(quick: bool) -> list[Row]:
    """Continuous time beside NEST, ideal and with mismatch; the grid beside Brian2."""
    duration_us = 100.0 if quick else 1000.0
    problem = Problem(*chip_speed.poisson(N, RATE_KHZ, duration_us), chip_speed.weights(N, N), duration_us)
    nest, absent = {}, {}
    for name in ("iaf_psc_exp_ps", "iaf_psc_exp_ps_lossless"):
        if importlib.util.find_spec("nest"):
            nest[f"NEST, {name}"] = nest_job(problem, name)
        else:
            absent[f"NEST, {name}"] = NOT_INSTALLED
    grid = problem.on_grid()
    brian2 = {"Brian2, C++ standalone": brian2_job(grid)} if BRIAN2_PYTHON.exists() else {}
    sanafe = (
        {"SANA-FE": NOT_INSTALLED}
        if not importlib.util.find_spec("sanafe")
        else {"SANA-FE": "its chips have no such neuron in continuous time: no common problem"}
    )
    title = f"{N} x {N} network, {problem.times.size * N / 1e6:.1f} M synaptic events"
    alone = ours(grid, NoiseConfig())
    return [
        Row(f"{title}, ideal", {"this package": ours(problem, NoiseConfig()), **nest}, agree_exactly, absent),
        Row(f"{title}, mismatch (NEST: ideal)", {"this package": ours(problem, chip_speed.MISMATCH), **nest},
            agree_roughly, absent),
        Row(f"{N} x {N} network on a grid of {GRID_US} us, ideal", {"this package": alone, **brian2},
            agree_roughly, sanafe if brian2 else {"Brian2, C++ standalone": NOT_INSTALLED, **sanafe}),
    ]  # fmt: skip


def ours(problem: Problem, noise: NoiseConfig) -> Job:
    """A whole run of the emulated chip: what is timed includes events from the host and spikes back to it."""
    placement = chip_speed.network(N, N)
    chip = Chip(problem.config(noise), serial=1, seed=1)
    chip.write(placement.fabric)
    lines = placement.lines["input"][problem.inputs]
    circuits = placement.neurons["neurons"][:, 0]
    return Job(lambda _: chip_speed.trains(chip.run(problem.times, lines, problem.duration_us, 0), circuits))


def nest_job(problem: Problem, model: str) -> Job:
    """`Simulate` alone is timed; networks are built before it."""
    os.environ.setdefault("PYNEST_QUIET", "1")
    import nest

    delay, config = 1.0, problem.config(NoiseConfig())
    nest.verbosity = nest.VerbosityLevel.ERROR

    def build() -> Any:
        nest.ResetKernel()
        nest.resolution = RESOLUTION_MS
        nest.local_num_threads = 1
        params = {
            "tau_m": config.tau_mem_us, "tau_syn_ex": config.tau_syn_exc_us, "tau_syn_in": config.tau_syn_inh_us,
            "C_m": 1.0, "E_L": 0.0, "V_reset": 0.0, "V_m": 0.0, "V_th": config.threshold_lsb - config.leak_lsb,
            "t_ref": config.refractory_us,
        }  # fmt: skip
        neurons = nest.Create(model, N, params)
        sources = nest.Create("spike_generator", N, [
            {"spike_times": problem.times[problem.inputs == k], "precise_times": True} for k in range(N)
        ])  # fmt: skip
        nest.Connect(sources, neurons, "all_to_all", {"weight": problem.lsb.T, "delay": delay})
        recorder = nest.Create("spike_recorder")
        nest.Connect(neurons, recorder)
        nest.Prepare()
        return recorder, neurons

    def run(built: Any) -> Trains:
        nest.Run(problem.duration_us + delay)
        recorder, neurons = built
        found = recorder.get("events")
        nest.Cleanup()
        return [np.sort(found["times"][found["senders"] == k]) - delay for k in neurons.tolist()]

    return Job(run, build)


def brian2_job(problem: Problem) -> Job:
    """The program that Brian2 has written and compiled, run as a process; its start and its files count, too."""
    kept = tempfile.TemporaryDirectory(prefix="brian2-")  # as long as `run`, which holds it
    folder = Path(kept.name)
    config = problem.config(NoiseConfig())
    np.savez(
        folder / "problem.npz", times=problem.times, inputs=problem.inputs, lsb=problem.lsb, grid_us=GRID_US,
        duration_us=problem.duration_us, tau_mem_us=config.tau_mem_us, tau_syn_us=config.tau_syn_exc_us,
        threshold_lsb=config.threshold_lsb - config.leak_lsb, refractory_us=config.refractory_us,
    )  # fmt: skip
    code = f"import pathlib, brian2_network; brian2_network.build(pathlib.Path({str(folder)!r}))"
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([BRIAN2_PYTHON, "-c", code], env=here, check=True, capture_output=True)

    def run(_: None) -> Trains:
        output = Path(kept.name) / "output"
        subprocess.run(["./main"], cwd=output, check=True, capture_output=True)
        (times,), (neurons,) = (
            [np.fromfile(path, dtype) for path in (output / "results").glob(f"*_spikes_{name}_*")]
            for name, dtype in (("t", np.float64), ("i", np.int32))
        )
        return [np.sort(1e3 * times[neurons == k]) for k in range(N)]

    return Job(run)


def agree_exactly(results: Mapping[str, Trains]) -> str:
    """Each spike of the lossless model is ours; the other model may lose some."""
    (_, first), *others = results.items()
    worst = 0.0
    for name, trains in others:
        if name.endswith("lossless"):
            worst = max(worst, chip_speed.difference(trains, [train.tolist() for train in first]))
    if worst > 1e-6:
        raise Disagreement(f"spikes differ by {worst} us")
    return (
        f"{_count(first)} spikes, equal to {worst:.0e} us in NEST's lossless model"
        if others
        else f"{_count(first)} spikes"
    )


def agree_roughly(results: Mapping[str, Trains]) -> str:
    """As many spikes to a twentieth: of a chip with mismatch, or of a grid."""
    counts = {name: _count(trains) for name, trains in results.items()}
    first = next(iter(counts.values()))
    for name, count in counts.items():
        if abs(count - first) > max(0.1 * first, 20):
            raise Disagreement(f"{name} has {count} spikes, not {first}")
    return ", ".join(f"{count} spikes of {name}" for name, count in counts.items())


def _count(trains: Trains) -> int:
    return sum(map(len, trains))
