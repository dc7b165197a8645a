"""A metaplasticity run: tasks learnt one after the other, and what its epochs and its end come to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.metaplasticity import tasks
from neurohil.metaplasticity.accounts import Memory, WriteStatistics, write_statistics, years_to_wear_out
from neurohil.metaplasticity.model import MatrixModel
from neurohil.metaplasticity.network import Network, NetworkConfig
from neurohil.metaplasticity.tasks import StreamConfig, Task, TasksConfig
from neurohil.metaplasticity.trace import metaplasticity_layout, of_devices
from neurohil.metaplasticity.training import EpochResult, Trainer, TrainingConfig
from neurohil.neurobench import metrics
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.trace import neurobench_arrays
from neurohil.protocols import Quantity
from neurohil.ranges import Scale, Seed
from neurohil.run import Run, Summary
from neurohil.seeds import stream
from neurohil.targets import AnyMatrixTarget
from neurohil.text import shown
from neurohil.trace.schema import Layout
from neurohil.trace.state_file import State

# Measured on ideal weights: hidden weight, level, moments and counters, once more for the state of a run, and a step's
# temporaries. Estimated: what each of elastic consolidation and the device gate adds; a neuron's answer to an image
# with its gradients.
_BYTES_PER_WEIGHT, _BYTES_PER_EXTRA, _BYTES_PER_ACTIVITY = 68, 12, 16

HIDDEN_BITS = 32  # hidden weights are float32
IDEAL_ENDURANCE_CYCLES = 1e6  # assumed where the target knows of no lifetime

STATIC = (metrics.Footprint, metrics.ParameterCount, metrics.ConnectionSparsity)
WORKLOAD = (metrics.ActivationSparsity, metrics.SynapticOperations)


class MetaplasticityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole experiment. runs_per_day is for the years to wear-out alone: how often all that is learnt again."""

    summary: str
    seed: Seed
    tasks: TasksConfig
    network: NetworkConfig
    training: TrainingConfig
    target: AnyMatrixTarget
    runs_per_day: Scale = 1.0
    experiment: str = "unnamed"


class Epoch(NamedTuple):
    """What one epoch came to: training, then the accuracy 0..1 of each test by name."""

    trained: EpochResult
    accuracy: dict[str, float]

    def __str__(self) -> str:
        accuracies = ", ".join(f"{name} {value:.1%}" for name, value in self.accuracy.items())
        return f"loss {self.trained.loss:.3f}, {accuracies}"


class End(NamedTuple):
    """What is known after the last epoch.

    accuracy, after_first_task: of each test, 0..1, by its name, at the last test and after the first task. decisions:
    classes (n,) int64 of the images of each test. level_changes: statistics per weight; writes: per device, the same
    where nothing is known of devices. counted: what the target counts, by name; maps: what it tells of itself, [row,
    column], by name. neurobench: NeuroBench's metrics, mean over the tests.
    """

    accuracy: dict[str, float]
    after_first_task: dict[str, float]
    decisions: dict[str, NDArray[np.int64]]
    level_changes: WriteStatistics
    writes: WriteStatistics
    years_to_wear_out: float
    memory: Memory
    counted: dict[str, float]
    maps: dict[str, NDArray]
    neurobench: dict[str, Any]


class MetaplasticityRun(Run[MetaplasticityConfig]):
    """One experiment, ready to train: tasks, network, target and trainer.

    Attributes
    ----------
    tests : dict of int
        By name, the index of a task whose images are tested after each epoch.
    network : Network
    target : MatrixTarget
    trainer : Trainer

    Raises
    ------
    UserError
        The images are not found, or tasks, network, training and target don't fit each other; nothing has been written
        then.
    """

    command = "metaplasticity"
    Config = MetaplasticityConfig

    def __init__(self, config: MetaplasticityConfig) -> None:
        super().__init__(config)
        chain = tasks.build(config.tasks, config.seed)
        self.tests = tasks.tested(config.tasks, chain)
        if isinstance(config.tasks, StreamConfig) and config.network.batch_norm == "per_task":
            raise UserError(
                "network.batch_norm = 'per_task', but a stream has no boundaries between tasks that a test could know; "
                "choose 'shared'"
            )
        pixels, classes = chain[0].train.images.shape[1], max(task.classes for task in chain)
        _demand_memory(config, chain, pixels, classes)
        self.network = Network(config.network, pixels, classes, stream(config.seed, "init"))
        shapes = [hidden.shape for hidden in self.network.hidden]
        self.target = config.target.build(shapes, config.network.quantizer, config.seed)
        self.trainer = Trainer(config.training, self.network, chain, self.target, config.seed)
        self._after_first_task = np.full(len(self.tests), np.nan)
        self._decisions = {name: np.full(len(chain[k].test.labels), -1) for name, k in self.tests.items()}
        # Made now, because looking at the devices lets them relax.
        self._of_target = self.target.results(), [_without_values(q) for q in self.target.maps()]

    @property
    def epochs_done(self) -> int:
        return self.trainer.task * self.config.training.epochs + self.trainer.epoch

    @property
    def epochs_in_all(self) -> int:
        return len(self.trainer.tasks) * self.config.training.epochs

    def train_epoch(self) -> Epoch:
        """One epoch of the present task, then `test`."""
        trained = self.trainer.train_epoch()
        accuracy = self.test()
        if self.epochs_done == self.config.training.epochs:
            self._after_first_task[:] = list(accuracy.values())
        return Epoch(trained, accuracy)

    def test(self) -> dict[str, float]:
        """Decide on all test images; accuracies 0..1 by name."""
        accuracy = {}
        for name, index in self.tests.items():
            accuracy[name], self._decisions[name] = self.trainer.evaluate(index)
        return accuracy

    def labels(self, test: str) -> NDArray[np.int64]:
        """True classes (n,) of the images of a test."""
        return self.trainer.tasks[self.tests[test]].test.labels

    def state(self) -> State:
        host = {f"host/{name}": array for name, array in self.trainer.state().items()}
        target = {f"target/{name}": array for name, array in self.target.state().items()}
        decisions = {f"decisions/{name}": array for name, array in self._decisions.items()}
        return {"after_first_task": self._after_first_task.copy(), **decisions, **host, **target}

    def load_state(self, state: State) -> None:
        parts: dict[str, dict[str, np.ndarray]] = {"host": {}, "target": {}, "decisions": {}}
        for name, array in state.items():
            owner, _, rest = name.partition("/")
            if rest:
                parts[owner][rest] = array
        self._after_first_task[:] = state["after_first_task"]
        self._decisions = parts["decisions"]
        self.trainer.load_state(parts["host"])
        self.target.load_state(parts["target"])  # last: the trainer writes its levels to the target

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

    def conclude(self) -> End:
        """Look at the devices, count."""
        maps = {quantity.name: quantity.values for quantity in self.target.maps()}
        changes = _statistics(self.trainer.events)
        wear = self.target.wear()
        if wear is None:
            wear = changes.max / IDEAL_ENDURANCE_CYCLES
        return End(
            accuracy={name: float(np.mean(seen == self.labels(name))) for name, seen in self._decisions.items()},
            after_first_task=dict(zip(self.tests, self._after_first_task.tolist(), strict=True)),
            decisions=dict(self._decisions),
            level_changes=changes,
            writes=_statistics(of_devices(maps, "cycles")) if self.target.programmed_by_pulses else changes,
            years_to_wear_out=years_to_wear_out(1.0, wear, self.config.runs_per_day),
            memory=self.memory(),
            counted={quantity.name: quantity.values.item() for quantity in self.target.results()},
            maps=maps,
            neurobench=self.neurobench(),  # last: it takes time, in which devices relax
        )

    def values(self, end: End) -> dict[str, Any]:
        memory = end.memory
        return {
            "test_accuracy": end.accuracy,
            "after_first_task": end.after_first_task,
            "writes_per_device": _numbers(end.writes),
            "level_changes_per_weight": _numbers(end.level_changes),
            "years_to_wear_out": end.years_to_wear_out,
            "weights": memory.weights,
            "devices": memory.cells,
            "hidden_bits": memory.weights * memory.hidden_bits,
            "device_bits": memory.cells * memory.cell_bits,
            **end.counted,
            "neurobench": end.neurobench,
        }

    def facts(self) -> dict[str, Any]:
        config = self.config
        return {"experiment": config.experiment, "epochs": config.training.epochs, "seed": config.seed}

    def summary(self, values: Mapping[str, Any]) -> Summary:
        config, target, first = self.config, self.target, values["after_first_task"]
        n_tasks, epochs = len(self.trainer.tasks), config.training.epochs
        rows = []
        for name, accuracy in values["test_accuracy"].items():
            rows.append((name, f"{accuracy:.2%} (after the first of {n_tasks} tasks: {first[name]:.2%})"))
        counted = {"level changes a weight": "level_changes_per_weight"}
        if target.programmed_by_pulses:
            counted["writes a device"] = "writes_per_device"
        for label, name in counted.items():
            n = values[name]
            rows.append((label, f"mean {n['mean']:.1f}, 99 % have at most {n['p99']:.0f}, most {n['max']}"))
        if math.isfinite(values["years_to_wear_out"]):
            endurance = f", if it endures {IDEAL_ENDURANCE_CYCLES:g} changes" if target.wear() is None else ""
            runs = f"at {config.runs_per_day:g} runs a day{endurance}"
            rows.append(("first worn-out device", f"after {values['years_to_wear_out']:.3g} years {runs}"))
        rows += [*target.told(values), ("memory", self.memory().terms())]
        heading = f"{config.experiment}: {n_tasks} tasks of {epochs} epochs, seed {config.seed}, {target.label}"
        return Summary(heading, rows)

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

    def make_layout(self) -> Layout:
        (results, maps), target, quantizer = self._of_target, self.target, self.config.network.quantizer
        return metaplasticity_layout(
            tests=list(self.tests),
            tasks=[task.name.replace(" ", "_") for task in self.trainer.tasks],
            n_classes=self.network.hidden[-1].shape[1],
            n_layers=len(self.network.hidden),
            levels=np.arange(-quantizer.max_level, quantizer.max_level + 1, quantizer.stride),
            provenance=target.provenance,
            maps=maps,
            results=results,
            programmed_by_pulses=target.programmed_by_pulses,
            neurobench=neurobench_arrays(),
        )


def _demand_memory(config: MetaplasticityConfig, chain: Sequence[Task], pixels: int, classes: int) -> None:
    """Refuse a network or batches that don't fit; devices are up to the target."""
    sizes = (pixels, *config.network.hidden, classes)
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


def _statistics(counts: Sequence[NDArray[np.integer]]) -> WriteStatistics:
    """Statistics over all layers."""
    return write_statistics(np.concatenate([layer.ravel() for layer in counts]))


def _numbers(writes: WriteStatistics) -> dict[str, float]:
    return {"mean": writes.mean, "p99": writes.p99, "max": writes.max}


def _without_values(quantity: Quantity) -> Quantity:
    """The quantity as it is described, without its numbers."""
    return quantity._replace(values=np.broadcast_to(np.zeros((), quantity.values.dtype), quantity.values.shape))
