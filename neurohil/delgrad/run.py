"""`neurohil delgrad`: config -> target and network -> loop -> trace, picture and summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from neurohil.cli.output import draw_picture, line, print_results
from neurohil.cli.running import (
    carry_out,
    interrupted,
    place_of_new,
    tell_finished,
    writer_for,
)
from neurohil.cli.summary import with_true_summary
from neurohil.config import experiment_name, experiment_text, parse, to_toml
from neurohil.datasets import yin_yang
from neurohil.delgrad.network import Network, NetworkConfig
from neurohil.delgrad.picture import draw_delgrad
from neurohil.delgrad.trace import delgrad_layout
from neurohil.delgrad.training import EpochResult, Evaluation, Trainer, TrainingConfig
from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.neurobench import metrics
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.models import SpikeTimeModel
from neurohil.neurobench.records import ModelInfo
from neurohil.neurobench.trace import neurobench_arrays
from neurohil.protocols import Floats
from neurohil.ranges import Count, Seed, Time
from neurohil.seeds import stream
from neurohil.targets import AnySpikingTarget
from neurohil.text import exact
from neurohil.trace.place import Place
from neurohil.trace.reader import Trace
from neurohil.trace.schema import Layout
from neurohil.trace.writer import TraceWriter

CLASSES = 3
MAP_SIDE = 61
_COPIES = 10  # of a parameter: itself, gradient, two moments, the best so far, a run's state, temporaries

# Declared for the metrics of NeuroBench that count steps, in tau_s: a slot of the chip (180 us), a tenth of tau_s.
DURATION, DT = 30.0, 0.1
STATIC = (metrics.Footprint, metrics.ParameterCount, metrics.ConnectionSparsity)
WORKLOAD = (metrics.ActivationSparsity, metrics.SynapticOperations)


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Yin-Yang becomes spikes; times in tau_s."""

    t_early: Time
    t_late: Time
    copies: Count = 1
    bias_time: Time | None = None

    def encode(self, samples: Floats) -> Floats:
        """Spike times (n, lines)."""
        if not self.t_early < self.t_late:
            raise UserError(
                f"data.t_early = {exact(self.t_early)} tau_s is not below data.t_late = {exact(self.t_late)} tau_s; "
                "lower it"
            )
        return yin_yang.encode(samples, self.t_early, self.t_late, self.bias_time, self.copies)


class DelGradConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole experiment. `tested_epoch` says which parameters are tested when the last epoch is over: its own, or
    those of the epoch with the best validation accuracy."""

    summary: str
    seed: Seed
    epochs: Count
    data: DataConfig
    network: NetworkConfig
    training: TrainingConfig
    target: AnySpikingTarget
    tested_epoch: Literal["last", "best_validation"] = "last"
    experiment: str = "unnamed"


def start(experiment: str, overrides: Sequence[str], out: str | None, as_json: bool, overwrite: bool = False) -> None:
    """Run an experiment, or go on with an unfinished run of this very configuration; picture beside the trace.

    The trace goes to `out` (default runs/EXPERIMENT-seedN.h5, with what differs from the experiment in its name).
    """
    config = load(experiment, overrides)
    stem = f"{config.experiment}-seed{config.seed}"
    with place_of_new(out, stem, config.experiment, config, load(experiment), overwrite) as (place, found):
        if found == "finished":
            tell_finished(place, as_json, draw_delgrad)
            return
        run = Run(config)
        _finish(run, writer_for(run, place, goes_on=found == "unfinished"), as_json)


def resume(part: str, as_json: bool, overwrite: bool = False) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped."""
    with interrupted(part, "delgrad", DelGradConfig, overwrite) as (place, config):
        run = Run(config)
        _finish(run, writer_for(run, place, goes_on=True), as_json)


@with_true_summary
def load(experiment: str, overrides: Sequence[str] = ()) -> DelGradConfig:
    """Validated config of a shipped experiment or a .toml file."""
    return parse(
        experiment_text("delgrad", experiment), DelGradConfig, overrides, experiment=experiment_name(experiment)
    )


class Run:
    """One experiment, ready to train: data, target, network and trainer.

    Raises
    ------
    UserError
        If the network does not fit the target; nothing has been written then.
    """

    def __init__(self, config: DelGradConfig) -> None:
        self.config = config
        self.data = {name: yin_yang.load(name) for name in ("train", "validation", "test")}
        _demand_memory(config)
        self.inputs = {name: config.data.encode(split.samples) for name, split in self.data.items()}
        n_in = self.inputs["train"].shape[1]
        self.network = Network(config.network, n_in, CLASSES, config.data.copies, stream(config.seed, "init"))
        self.target = config.target.build(config.network, config.seed)
        self.target.write(self.network.layers())
        self.trainer = Trainer(config.training, self.network, self.target, config.seed)
        self._chip_seconds_before = 0.0
        self._best = self._candidate(-1.0)

    def train_epoch(self) -> tuple[EpochResult, Evaluation]:
        """One epoch on the training data, then an evaluation on the validation data."""
        trained = self.trainer.train_epoch(self.inputs["train"], self.data["train"].labels)
        validated = self.evaluate("validation")
        if validated.accuracy > self._best[0]:
            self._best = self._candidate(validated.accuracy)
        return trained, validated

    def evaluate(self, split: str) -> Evaluation:
        """Accuracy, decisions and output times on a split."""
        return self.trainer.evaluate(self.inputs[split], self.data[split].labels)

    def chip_seconds(self) -> float:
        """Time that the target has spent in real-time sections since the start of the whole run."""
        return round(self._chip_seconds_before + self.target.account()["chip_seconds"], 9)

    def state(self) -> Floats:
        """All that the run goes on from."""
        return np.concatenate([[self.chip_seconds()], self._best, self.trainer.state()])

    def load_state(self, state: Floats) -> None:
        """Go on from a vector that `state` returned."""
        self._chip_seconds_before = float(state[0])
        self._best, trainer_state = np.split(state[1:], [self._best.size])
        self.trainer.load_state(trainer_state)

    def layout(self) -> Layout:
        """What the trace of this run holds."""
        delays = self.network.delay_parameters or [np.empty(0)] * len(self.network.weights)
        return delgrad_layout(
            layers=[self.network.weights[0].shape[0], *(w.shape[1] for w in self.network.weights)],
            delays=[d.size for d in delays],
            test_size=len(self.inputs["test"]),
            time_units="us" if self.target.tau_us else "1",
            quantities=self.target.fixed_pattern(),
            provenance=self.target.provenance,
            beyond=self.target.beyond,
            neurobench=neurobench_arrays(f"{DURATION / DT:.0f} steps of {DT} tau_s"),
        )

    def load_from(self, trace: Trace) -> None:
        """Go on from the last finished epoch of an interrupted run's trace."""
        self.load_state(trace.state())

    def open_trace(self, path: Path | Place) -> TraceWriter:
        """A new trace for this run."""
        return self._trace(TraceWriter, path)

    def reopen_trace(self, part: Path | Place) -> TraceWriter:
        """The interrupted trace of this run, ready to go on."""
        return self._trace(TraceWriter.resume, part)

    def _trace(self, open_it: Callable[..., TraceWriter], path: Path | Place) -> TraceWriter:
        config, size = self.config, self.state().size
        return open_it(path, self.layout(), config.experiment, to_toml(config), size, epochs=config.epochs)

    @property
    def epochs_done(self) -> int:
        """Finished epochs."""
        return self.trainer.epoch

    @property
    def epochs_in_all(self) -> int:
        """Epochs that it takes."""
        return self.config.epochs

    def run_epoch(self, writer: TraceWriter) -> str:
        """One epoch, and its row in the trace; tells in a few words how it went."""
        trained, validated = self.train_epoch()
        writer.append_epoch(self._epoch_values(trained, validated), self.state())
        return f"loss {trained.loss:.3f}, validation {validated.accuracy:.1%}"

    def results(self) -> tuple[dict[str, Any], Evaluation]:
        """What the finished network is worth on data that it was not trained on: one evaluation of each set."""
        tested_epoch = self.trainer.epoch
        if self.config.tested_epoch == "best_validation":
            tested_epoch = int(self._best[1])
            self.network.load_parameters(self._best[2:])
        validated, tested = self.evaluate("validation"), self.evaluate("test")
        results = {
            "test_accuracy": tested.accuracy,
            "tested_epoch": tested_epoch,
            "validation_accuracy": validated.accuracy,
            "missing_spikes": tested.missing_spikes,
            "chip_seconds": self.chip_seconds(),
        }
        return results, tested

    def neurobench(self) -> dict[str, Any]:
        """NeuroBench's metrics of the present parameters on the test set: one more evaluation."""
        test = self.data["test"]
        model = SpikeTimeModel(self.target, self.network.layers(), DURATION, ModelInfo(dt=DT, dt_unit="tau_s"))
        data = batched(self.inputs["test"], test.labels, len(test.labels))
        measured = Benchmark(model, data, None, None, (STATIC, WORKLOAD)).run(quiet=True)
        return {name: value for name, value in measured.items() if name != "metadata"}

    def conclude(self, writer: TraceWriter) -> dict[str, Any]:
        """Test once, watch one sample of each class, map the plane, count, close the trace; returns the results."""
        results, tested = self.results()
        scale = self.target.tau_us or 1.0
        test = self.data["test"]
        values: dict[str, Any] = {f"run/results/{name}": value for name, value in results.items()}
        values |= {
            "run/decisions/predicted": tested.decisions,
            "run/decisions/label": test.labels,
            "run/decisions/x": test.samples[:, 0],
            "run/decisions/y": test.samples[:, 1],
            "run/test_times/spike_time": tested.times.T * scale,
        }
        values |= self._map_values() | self._sample_values(tested, scale)
        measured = self.neurobench()  # last: nothing else may depend on it
        for name, value in measured.items():
            parts = {f"{name}_{part}": n for part, n in value.items()} if isinstance(value, dict) else {name: value}
            values |= {f"run/neurobench/{part}": n for part, n in parts.items()}
        writer.finish(values)
        return results | {"neurobench": measured}

    def _candidate(self, accuracy: float) -> Floats:
        """Validation accuracy, epoch and parameters, as one vector."""
        return np.concatenate([[accuracy, self.trainer.epoch], *(p.ravel() for p in self.network.parameters)])

    def _map_values(self) -> dict[str, Any]:
        """The class that the network sees at each point of a grid over the square."""
        side = np.linspace(0.0, 1.0, MAP_SIDE)
        x, y = (grid.ravel() for grid in np.meshgrid(side, side))
        points = self.config.data.encode(np.column_stack([x, y, 1.0 - x, 1.0 - y]))
        seen = self.trainer.evaluate(points, np.zeros(len(points), dtype=np.int64))
        return {
            "run/decision_map/predicted": seen.decisions.reshape(MAP_SIDE, MAP_SIDE),
            "run/decision_map/x": side,
            "run/decision_map/y": side,
        }

    def _sample_values(self, tested: Evaluation, scale: float) -> dict[str, Any]:
        """Events and membranes of the first test sample of each class, until all outputs have spiked."""
        chosen = [int(np.flatnonzero(self.data["test"].labels == c)[0]) for c in range(CLASSES)]
        spiked = tested.times[chosen][np.isfinite(tested.times[chosen])]
        duration = float(np.ceil(spiked.max(initial=self.config.data.t_late)) + 1.0)
        values: dict[str, Any] = {}
        for k, sample in enumerate(chosen):
            seen = self.trainer.watch(self.inputs["test"][sample], duration)
            values |= {
                f"run/samples/{k}/raster/layer": seen.event_kinds,
                f"run/samples/{k}/raster/time": seen.event_times * scale,
                f"run/samples/{k}/raster/neuron": seen.event_neurons,
                f"run/samples/{k}/membrane/potential": seen.membrane,
                f"run/samples/{k}/membrane/time": seen.membrane_times * scale,
            }
        return values

    def _epoch_values(self, trained: EpochResult, validated: Evaluation) -> dict[str, Any]:
        scale = self.target.tau_us or 1.0
        values: dict[str, Any] = {
            "run/accuracy/validation_accuracy": validated.accuracy,
            "run/accuracy/train_accuracy": trained.accuracy,
            "run/loss/train_loss": trained.loss,
            "run/silence/bumped_batches": trained.bumped,
            "run/silence/missing_spikes": trained.missing,
        }
        values |= {f"run/weights_{k}/weights": w for k, w in enumerate(self.network.weights)}
        values |= {f"run/delays_{k}/delays": d.ravel() * scale for k, d in enumerate(self.network.delays())}
        return values


def _demand_memory(config: DelGradConfig) -> None:
    """Refuse a network or data that don't fit: parameters with their gradients and moments, spike times of the largest
    set that runs at once, and all inputs."""
    hidden, batch = config.network.hidden, max(config.training.batch, MAP_SIDE**2)
    samples = sum(n for n, _ in yin_yang.SPLITS.values())
    lines = (4 + (config.data.bias_time is not None)) * config.data.copies
    weights = hidden * (lines + CLASSES)
    values = (
        _COPIES * (weights * (1 + (config.network.delays == "synaptic")))
        + 2 * samples * lines
        + 2 * min(batch, samples) * (lines + hidden + CLASSES)
    )
    demand_bytes(
        8 * values,
        f"network.hidden = {hidden} with data.copies = {config.data.copies}, that is {weights} weights,",
        "lower network.hidden, data.copies or training.batch",
    )


def _finish(run: Run, writer: TraceWriter, as_json: bool) -> None:
    """Train, conclude, report, draw."""
    path, config = writer.path, run.config
    began = time.perf_counter()
    results = carry_out("delgrad", run, writer)
    seconds = time.perf_counter() - began
    serial = getattr(config.target, "serial", None)
    facts = {"experiment": config.experiment, "epochs": config.epochs, "seed": config.seed, "serial": serial}
    if run.target.beyond:
        facts["beyond"] = run.target.beyond
    values = facts | results | {"seconds": round(seconds, 3), "trace": str(path)}
    print_results(*_table(run, results, seconds, path), values, as_json)
    draw_picture(draw_delgrad, path, as_json)


def _table(run: Run, results: dict[str, Any], seconds: float, path: Path) -> tuple[str, list[str]]:
    """Heading and lines."""
    config = run.config
    outputs = CLASSES * len(run.inputs["test"])
    rows = [
        ("test accuracy", f"{results['test_accuracy']:.1%} (epoch {results['tested_epoch']})"),
        ("validation accuracy", f"{results['validation_accuracy']:.1%}"),
        ("missing output spikes", f"{results['missing_spikes']} of {outputs} in the test"),
        ("wall time", f"{seconds:.1f} s"),
        ("trace", str(path)),
    ]
    if results["chip_seconds"]:
        rows.insert(3, ("chip time", f"{results['chip_seconds']:.1f} s of real-time sections (emulated)"))
    if run.target.beyond:
        rows.insert(0, ("beyond the real chip", run.target.beyond))
    heading = f"{config.experiment}: {config.epochs} epochs, seed {config.seed}, {run.target.label}"
    return heading, [line(name, value) for name, value in rows]
