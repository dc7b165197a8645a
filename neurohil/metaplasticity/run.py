"""`neurohil metaplasticity`: tasks learnt one after the other -> trace, picture and summary."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

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
from neurohil.datasets.idx import CLASSES, DATA_SETS, Images
from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.metaplasticity import tasks
from neurohil.metaplasticity.accounts import Memory, WriteStatistics, write_statistics, years_to_wear_out
from neurohil.metaplasticity.model import MatrixModel
from neurohil.metaplasticity.network import Network, NetworkConfig
from neurohil.metaplasticity.picture import check_comparable, draw_metaplasticity
from neurohil.metaplasticity.tasks import Task
from neurohil.metaplasticity.trace import BINS, corner, metaplasticity_layout
from neurohil.metaplasticity.training import EpochResult, Trainer, TrainingConfig
from neurohil.neurobench import metrics
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.trace import neurobench_arrays
from neurohil.protocols import Quantity
from neurohil.ranges import Count, Scale, Seed
from neurohil.seeds import stream
from neurohil.targets import AnyMatrixTarget
from neurohil.text import shown
from neurohil.trace.place import Place
from neurohil.trace.reader import Trace
from neurohil.trace.schema import Layout
from neurohil.trace.state_file import State
from neurohil.trace.writer import TraceWriter

# Measured on ideal weights: hidden weight, level, moments and counters, once more for the state of a run, and a step's
# temporaries. Estimated: what each of elastic consolidation and the device gate adds; a neuron's answer to an image
# with its gradients.
_BYTES_PER_WEIGHT, _BYTES_PER_EXTRA, _BYTES_PER_ACTIVITY = 68, 12, 16

HIDDEN_BITS = 32  # hidden weights are float32
IDEAL_ENDURANCE_CYCLES = 1e6  # assumed where the target knows of no lifetime

STATIC = (metrics.Footprint, metrics.ParameterCount, metrics.ConnectionSparsity)
WORKLOAD = (metrics.ActivationSparsity, metrics.SynapticOperations)


class WholeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="whole", tag_field="kind"):
    """Published data sets in this order, each a task.

    validation: train on all but the last 10 000 training images and test on these. train_images, test_images: the first
    so many of each task alone, for trials.
    """

    data_sets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
    validation: bool = False
    train_images: Count = 60_000
    test_images: Count = 10_000


class _SplitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One data set that n_tasks tasks are made of; the rest as for WholeConfig."""

    data_set: str
    n_tasks: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    validation: bool = False
    train_images: Count = 60_000
    test_images: Count = 10_000


class PermutedConfig(_SplitConfig, frozen=True, tag="permuted", tag_field="kind"):
    """Its pixels in n_tasks random orders, each a task."""


class StreamConfig(_SplitConfig, frozen=True, tag="stream", tag_field="kind"):
    """In n_tasks parts that follow each other, all tested on the same images."""


class MetaplasticityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole experiment. runs_per_day is for the years to wear-out alone: how often all that is learnt again."""

    summary: str
    seed: Seed
    tasks: WholeConfig | PermutedConfig | StreamConfig
    network: NetworkConfig
    training: TrainingConfig
    target: AnyMatrixTarget
    runs_per_day: Scale = 1.0
    experiment: str = "unnamed"


def start(
    experiment: str,
    overrides: Sequence[str],
    out: str | None,
    compare: str | None,
    as_json: bool,
    overwrite: bool = False,
) -> None:
    """Run an experiment, or go on with an unfinished run of this very configuration; picture beside the trace.

    The trace goes to `out` (default runs/EXPERIMENT-seedN.h5, with what differs from the experiment in its name).
    compare: finished trace whose learning curves are drawn beside this run's.
    """
    config = load(experiment, overrides)
    stem = f"{config.experiment}-seed{config.seed}"
    with place_of_new(out, stem, config.experiment, config, load(experiment), overwrite) as (place, found):
        if found == "finished":
            tell_finished(place, as_json, lambda trace, picture: draw_metaplasticity(trace, picture, compare))
            return
        _run(config, place, found == "unfinished", compare, as_json)


def resume(part: str, compare: str | None, as_json: bool, overwrite: bool = False) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped."""
    with interrupted(part, "metaplasticity", MetaplasticityConfig, overwrite) as (place, config):
        _run(config, place, True, compare, as_json)


def _run(config: MetaplasticityConfig, place: Place, goes_on: bool, compare: str | None, as_json: bool) -> None:
    run = Run(config)
    if compare:
        check_comparable(compare, run.tests)
    _finish(run, writer_for(run, place, goes_on), compare, as_json)


@with_true_summary
def load(experiment: str, overrides: Sequence[str] = ()) -> MetaplasticityConfig:
    """Validated config of a shipped experiment or a .toml file."""
    text = experiment_text("metaplasticity", experiment)
    return parse(text, MetaplasticityConfig, overrides, experiment=experiment_name(experiment))


def build_tasks(config: MetaplasticityConfig) -> list[Task]:
    """The tasks that the config names, in their order."""
    chosen = config.tasks
    key = "data_sets" if isinstance(chosen, WholeConfig) else "data_set"
    for name in chosen.data_sets if isinstance(chosen, WholeConfig) else [chosen.data_set]:
        if name not in DATA_SETS:
            raise UserError(f"tasks.{key}: there is no data set {shown(name)}; choose one of {', '.join(DATA_SETS)}")
    if isinstance(chosen, WholeConfig):
        chain = [tasks.whole(name, chosen.validation) for name in chosen.data_sets]
    else:
        make = tasks.permuted if isinstance(chosen, PermutedConfig) else tasks.subsets
        chain = make(tasks.whole(chosen.data_set, chosen.validation), chosen.n_tasks, config.seed)
    train, test = slice(chosen.train_images), slice(chosen.test_images)
    return [task._replace(train=_part(task.train, train), test=_part(task.test, test)) for task in chain]


class Run:
    """One experiment, ready to train: tasks, network, target and trainer.

    Attributes
    ----------
    tests : dict of int
        By name, the index of a task whose images are tested after each epoch.

    Raises
    ------
    UserError
        The images are not found, or tasks, network, training and target don't fit each other; nothing has been written
        then.
    """

    def __init__(self, config: MetaplasticityConfig) -> None:
        self.config = config
        chain = build_tasks(config)
        self.tests = {task.name.replace(" ", "_"): k for k, task in enumerate(chain)}
        if isinstance(config.tasks, WholeConfig) and len(self.tests) < len(chain):
            raise UserError(
                f"tasks.data_sets = {list(config.tasks.data_sets)} names one twice; name each data set once"
            )
        if isinstance(config.tasks, StreamConfig):
            if config.network.batch_norm == "per_task":
                raise UserError(
                    "network.batch_norm = 'per_task', but a stream has no boundaries between tasks that a test could "
                    "know; choose 'shared'"
                )
            self.tests = {config.tasks.data_set: 0}
        pixels = chain[0].train.images.shape[1]
        _demand_memory(config, chain, pixels)
        self.network = Network(config.network, pixels, CLASSES, stream(config.seed, "init"))
        shapes = [hidden.shape for hidden in self.network.hidden]
        self.target = config.target.build(shapes, config.network.quantizer, config.seed)
        self.trainer = Trainer(config.training, self.network, chain, self.target, config.seed)
        self._after_first_task = np.full(len(self.tests), np.nan)
        self._decisions = {name: np.full(len(chain[k].test.labels), -1) for name, k in self.tests.items()}
        # Made now, because looking at the devices lets them relax.
        self._layout = self._make_layout()

    @property
    def epochs_done(self) -> int:
        """Finished epochs of all tasks."""
        return self.trainer.task * self.config.training.epochs + self.trainer.epoch

    @property
    def epochs_in_all(self) -> int:
        """Epochs of all tasks."""
        return len(self.trainer.tasks) * self.config.training.epochs

    def train_epoch(self) -> tuple[EpochResult, dict[str, float]]:
        """One epoch, then `test`; returns what the training came to and the accuracies."""
        trained = self.trainer.train_epoch()
        accuracy = self.test()
        if self.epochs_done == self.config.training.epochs:
            self._after_first_task[:] = list(accuracy.values())
        return trained, accuracy

    def test(self) -> dict[str, float]:
        """Decide on all test images; accuracies 0..1 by name."""
        accuracy = {}
        for name, index in self.tests.items():
            accuracy[name], self._decisions[name] = self.trainer.evaluate(index)
        return accuracy

    def run_epoch(self, writer: TraceWriter) -> str:
        """One epoch, and its row in the trace; tells in a few words how it went."""
        task = self.trainer.task
        trained, accuracy = self.train_epoch()
        values: dict[str, Any] = {f"run/accuracy/test_{name}": value for name, value in accuracy.items()}
        values |= {
            "run/accuracy/train_accuracy": trained.accuracy,
            "run/accuracy/task": task,
            "run/loss/train_loss": trained.loss,
        }
        values |= {f"run/level_changes/layer_{k}": changes for k, changes in enumerate(trained.changes)}
        if self.target.programmed_by_pulses:
            values |= {"run/programming/pulses": trained.pulses, "run/programming/failed": trained.failed}
        writer.append_epoch(values, self.state())
        shown = ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items())
        return f"loss {trained.loss:.3f}, {shown}"

    def state(self) -> State:
        """All that the run goes on from: arrays of fixed names, shapes and dtypes."""
        host = {f"host/{name}": array for name, array in self.trainer.state().items()}
        target = {f"target/{name}": array for name, array in self.target.state().items()}
        decisions = {f"decisions/{name}": array for name, array in self._decisions.items()}
        return {"after_first_task": self._after_first_task.copy(), **decisions, **host, **target}

    def load_state(self, state: State) -> None:
        """Go on from what `state` returned, to the same bits."""
        parts: dict[str, dict[str, np.ndarray]] = {"host": {}, "target": {}, "decisions": {}}
        for name, array in state.items():
            owner, _, rest = name.partition("/")
            if rest:
                parts[owner][rest] = array
        self._after_first_task[:] = state["after_first_task"]
        self._decisions = parts["decisions"]
        self.trainer.load_state(parts["host"])
        self.target.load_state(parts["target"])  # last: the trainer writes its levels to the target

    def load_from(self, trace: Trace) -> None:
        """Go on from the last finished epoch of an interrupted run's trace."""
        self.load_state(trace.large_state(self.state()))

    def open_trace(self, path: Path | Place) -> TraceWriter:
        """A new trace for this run."""
        return self._trace(TraceWriter, path)

    def reopen_trace(self, part: Path | Place) -> TraceWriter:
        """The interrupted trace of this run, ready to go on."""
        return self._trace(TraceWriter.resume, part)

    def _trace(self, open_it: Callable[..., TraceWriter], path: Path | Place) -> TraceWriter:
        config = self.config
        return open_it(path, self._layout, config.experiment, to_toml(config), self.state(), epochs=self.epochs_in_all)

    def results(self) -> dict[str, Any]:
        """What the run came to by its last test and by the devices; JSON can hold it."""
        accuracy = {name: float(np.mean(seen == self._labels(name))) for name, seen in self._decisions.items()}
        changes = write_statistics(np.concatenate([events.ravel() for events in self.trainer.events]))
        writes = changes
        if self.target.programmed_by_pulses:
            cycles = _by_name(self.target.maps())["cycles"]
            writes = write_statistics(np.concatenate([layer.ravel() for layer in cycles]))
        wear = self.target.wear()
        if wear is None:
            wear = changes.max / IDEAL_ENDURANCE_CYCLES
        memory = self.memory()
        return {
            "test_accuracy": accuracy,
            "after_first_task": dict(zip(self.tests, self._after_first_task.tolist(), strict=True)),
            "writes_per_device": _statistics(writes),
            "level_changes_per_weight": _statistics(changes),
            "years_to_wear_out": years_to_wear_out(1.0, wear, self.config.runs_per_day),
            "weights": memory.weights,
            "devices": memory.cells,
            "hidden_bits": memory.weights * memory.hidden_bits,
            "device_bits": memory.cells * memory.cell_bits,
            **{quantity.name: quantity.values.item() for quantity in self.target.results()},
        }

    def memory(self) -> Memory:
        """Terms of the network's memory."""
        shapes = [hidden.shape for hidden in self.network.hidden]
        levels, cells = self.target.storage
        return Memory((shapes[0][0], *(n_out for _, n_out in shapes)), HIDDEN_BITS, math.log2(levels), cells)

    def neurobench(self) -> dict[str, Any]:
        """NeuroBench's metrics of the network that has learnt all tasks, which goes on learning: one more pass over
        the test images, mean over the tests. Leaves the network with gains and biases of the last test."""
        by_test = [self._measured(index) for index in self.tests.values()]
        sparsity = [measured["ActivationSparsity"] for measured in by_test]
        operations = [measured["SynapticOperations"] for measured in by_test]
        return {
            **{metric.__name__: by_test[0][metric.__name__] for metric in STATIC},
            "ActivationSparsity": float(np.mean(sparsity)),
            "SynapticOperations": {name: float(np.mean([done[name] for done in operations])) for name in operations[0]},
        }

    def conclude(self, writer: TraceWriter) -> dict[str, Any]:
        """Look at weights and devices, count, close the trace; returns the results."""
        results = self.results()
        values: dict[str, Any] = {f"run/results/{name}": value for name, value in _flat(results).items()}
        for name, decisions in self._decisions.items():
            images = np.zeros((CLASSES, CLASSES), dtype=np.int64)
            np.add.at(images, (self._labels(name), decisions), 1)
            values[f"run/confusion/{name}/images"] = images
        values |= self._weight_values()
        maps = self.target.maps()
        values |= {f"run/maps/{q.name}/{q.name}": corner(q.values) for q in maps}
        if self.target.programmed_by_pulses:
            values |= self._device_values(_by_name(maps))
        measured = self.neurobench()  # last: it takes time, in which devices relax
        values |= {f"run/neurobench/{name}": value for name, value in _flat(measured).items()}
        writer.finish(values)
        return results | {"neurobench": measured}

    def _measured(self, index: int) -> dict[str, Any]:
        """Metrics on the test images of a task."""
        task, config, network = self.trainer.tasks[index], self.config.training, self.network
        if network.config.batch_norm == "per_task":
            state = self.trainer.state()
            for k, norm in enumerate(network.norms):
                norm[...] = state[f"saved_norms_{k}"][index]
        model = MatrixModel(network, self.target, learns=True)
        network.forward(self.target, task.inputs(task.train.images[: config.batch]), network.norms, 0, calibrate=True)
        data = batched(task.test.images, task.test.labels, config.test_batch)
        prepare = [lambda pair: (task.inputs(np.asarray(pair[0])), pair[1])]
        return Benchmark(model, data, prepare, None, (STATIC, WORKLOAD)).run(quiet=True)

    def _make_layout(self) -> Layout:
        names = [task.name.replace(" ", "_") for task in self.trainer.tasks]
        target = self.target
        return metaplasticity_layout(
            list(self.tests), names, CLASSES, len(self.network.hidden), self._levels(), target.provenance,
            target.maps(), target.results(), target.programmed_by_pulses, neurobench_arrays(),
        )  # fmt: skip

    def _levels(self) -> NDArray[np.int64]:
        quantizer = self.config.network.quantizer
        return np.arange(-quantizer.max_level, quantizer.max_level + 1, quantizer.stride)

    def _labels(self, test: str) -> NDArray[np.int64]:
        return self.trainer.tasks[self.tests[test]].test.labels

    def _weight_values(self) -> dict[str, Any]:
        """Histograms of level changes, levels and hidden weights."""
        changes = write_statistics(np.concatenate([events.ravel() for events in self.trainer.events]))
        use = [[np.count_nonzero(levels == k) for k in self._levels()] for levels in self.network.levels]
        values: dict[str, Any] = {
            "run/level_changes_per_weight/weights": changes.devices,
            "run/level_changes_per_weight/at_least": changes.edges[:-1],
            "run/levels/weights": np.array(use),
        }
        if not self.target.programmed_by_pulses:
            values |= {"run/writes/devices": changes.devices, "run/writes/at_least": changes.edges[:-1]}
        for k, hidden in enumerate(self.network.hidden):
            counts, edges = np.histogram(hidden, BINS)
            values[f"run/hidden/layer_{k}/weights"] = counts
            values[f"run/hidden/layer_{k}/hidden"] = (edges[:-1] + edges[1:]) / 2
        return values

    def _device_values(self, maps: Mapping[str, Sequence[NDArray]]) -> dict[str, Any]:
        """Histograms of all devices."""
        writes = write_statistics(np.concatenate([cycles.ravel() for cycles in maps["cycles"]]))
        values: dict[str, Any] = {"run/writes/devices": writes.devices, "run/writes/at_least": writes.edges[:-1]}
        errors = [g - target for g, target in zip(maps["conductance"], maps["target"], strict=True)]
        for name, layers in (("conductance", maps["conductance"]), ("error", errors)):
            lowest, highest = min(map(np.min, layers)), max(map(np.max, layers))
            edges = np.linspace(lowest, max(highest, lowest + 1.0), BINS + 1)  # 1 uS if all are alike
            values[f"run/devices/{name}/{name}"] = (edges[:-1] + edges[1:]) / 2
            for k, layer in enumerate(layers):
                values[f"run/devices/{name}/layer_{k}"] = np.histogram(layer, edges)[0]
        return values


def _demand_memory(config: MetaplasticityConfig, chain: Sequence[Task], pixels: int) -> None:
    """Refuse a network or batches that don't fit; devices are up to the target."""
    sizes = (pixels, *config.network.hidden, CLASSES)
    weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    each = _BYTES_PER_WEIGHT + _BYTES_PER_EXTRA * (bool(config.training.ewc) + bool(config.training.device_gate))
    demand_bytes(
        weights * each,
        f"network.hidden = {shown(list(config.network.hidden))}, that is {weights} weights,",
        "lower network.hidden",
    )
    batch = max(min(config.training.batch, len(task.train.labels)) for task in chain)
    batch = max(batch, *(min(config.training.test_batch, len(task.test.labels)) for task in chain))
    demand_bytes(
        batch * sum(sizes) * _BYTES_PER_ACTIVITY,
        f"a batch of {batch} images through network.hidden = {shown(list(config.network.hidden))}",
        "lower training.batch, training.test_batch or network.hidden",
    )


def _by_name(maps: Sequence[Quantity]) -> dict[str, list[NDArray]]:
    """Maps of the devices by name, one of each layer."""
    layers: dict[str, list[NDArray]] = {}
    for quantity in maps:
        layers.setdefault(quantity.name.partition("_")[2], []).append(quantity.values)
    return layers


def _part(data: Images, rows: slice) -> Images:
    return Images(data.images[rows], data.labels[rows])


def _statistics(writes: WriteStatistics) -> dict[str, float]:
    return {"mean": writes.mean, "p99": writes.p99, "max": writes.max}


def _flat(results: dict[str, Any]) -> dict[str, Any]:
    """Numbers of nested results, names joined by underscores."""
    flat: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat


def _finish(run: Run, writer: TraceWriter, compare: str | None, as_json: bool) -> None:
    """Train, conclude, report, draw."""
    path, config = writer.path, run.config
    began = time.perf_counter()
    results = carry_out("metaplasticity", run, writer)
    seconds = time.perf_counter() - began
    facts = {"experiment": config.experiment, "epochs": config.training.epochs, "seed": config.seed}
    values = facts | results | {"seconds": round(seconds, 3), "trace": str(path)}
    print_results(*_table(run, results, seconds, path), values, as_json)
    draw_picture(partial(draw_metaplasticity, compared_path=compare), path, as_json)


def _table(run: Run, results: dict[str, Any], seconds: float, path: Path) -> tuple[str, list[str]]:
    """Heading and lines."""
    config, first = run.config, results["after_first_task"]
    n_tasks = len(run.trainer.tasks)
    rows = []
    for name, accuracy in results["test_accuracy"].items():
        rows.append((name, f"{accuracy:.2%} (after the first of {n_tasks} tasks: {first[name]:.2%})"))
    counted = {"level changes a weight": "level_changes_per_weight"}
    if run.target.programmed_by_pulses:
        counted["writes a device"] = "writes_per_device"
    for label, name in counted.items():
        n = results[name]
        rows.append((label, f"mean {n['mean']:.1f}, 99 % have at most {n['p99']:.0f}, most {n['max']}"))
    if math.isfinite(results["years_to_wear_out"]):
        endurance = f", if it endures {IDEAL_ENDURANCE_CYCLES:g} changes" if run.target.wear() is None else ""
        runs = f"at {config.runs_per_day:g} runs a day{endurance}"
        rows.append(("first worn-out device", f"after {results['years_to_wear_out']:.3g} years {runs}"))
    rows += [*run.target.told(results), ("memory", run.memory().terms()), ("wall time", f"{seconds:.1f} s")]
    rows.append(("trace", str(path)))
    epochs = config.training.epochs
    heading = f"{config.experiment}: {n_tasks} tasks of {epochs} epochs, seed {config.seed}, {run.target.label}"
    return heading, [line(name, value) for name, value in rows]
