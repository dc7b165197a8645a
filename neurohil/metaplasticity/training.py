"""Continual learning in the loop: the target multiplies, the host keeps hidden weights and sends new levels.

The recipe is that of the binary network (Laborieux et al. 2021, authors' code): Adam, made anew for each task; batch
statistics for normalisation, in tests too; gains and biases kept per task. How the multi-level network of D'Agostino et
al. (2023) was trained is not public: the experiment mnist_fashion_ideal is a reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.arrays import floats, integers
from neurohil.errors import UserError
from neurohil.metaplasticity import kernels
from neurohil.metaplasticity.consolidation import Device, Rule, adam_rate
from neurohil.metaplasticity.network import LayerRecord, Network, cross_entropy
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.metaplasticity.tasks import Task, batches
from neurohil.optimizers import Adam, step_decay
from neurohil.protocols import MatrixTarget
from neurohil.ranges import Count, Factor, NotNegative, Positive
from neurohil.seeds import stream
from neurohil.text import exact

Batch = Annotated[int, msgspec.Meta(ge=2, le=10**9)]  # one sample has no variance

_CALIBRATION_TRIAL = 0  # trials of training and tests count from 1


class EwcConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Elastic weight consolidation (Kirkpatrick et al. 2017): strength / 2 sum_i F_i (W_i - W*_i)^2 per past task.

    F is the empirical Fisher information on the first `samples` of a seeded order of the task's training images.
    """

    strength: NotNegative = 5e3
    samples: Count = 5000


class DeviceGateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consolidation that knows the device of its weight, see `neurohil.metaplasticity.consolidation`.

    wear: by which share the strength grows with every change of the level so far. read_every: steps between two looks
    at what the devices read, whose errors move the distances of the rule; none without it.
    """

    wear: NotNegative = 0.0
    read_every: Count | None = None


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the hidden weights are updated, and when devices are written.

    strength is m* of the consolidation rule. The learning rate is multiplied by learning_rate_decay after every epoch
    of a task; weight_decay is L2, of the weights alone. Levels are sent every write_every steps; with hysteresis h a
    level changes when its hidden weight is more than (1/2 + h) steps away. backward says through which weights errors
    go back: the host's levels, or what the target reads back. The target's converters are set anew every
    calibrate_every steps, because products grow while weights do, and codes don't go beyond their range. Tests run in
    the order of the images, in batches of test_batch, each normalised by its own statistics.
    """

    epochs: Count = 8
    batch: Batch = 100
    learning_rate: Positive = 0.005
    learning_rate_decay: Factor = 1.0
    weight_decay: NotNegative = 0.0
    rule: Rule = "inner_threshold"
    strength: NotNegative = 2.0
    device_gate: DeviceGateConfig | None = None
    ewc: EwcConfig | None = None
    write_every: Count = 1
    hysteresis: NotNegative = 0.0
    backward: Literal["host", "read_back"] = "host"
    calibrate_every: Count = 50
    test_batch: Batch = 1000


_REMEDY = "the target answers with numbers that are none; look at its settings"


class Evaluation(NamedTuple):
    """What the network says of test images: accuracy 0..1, decisions (n,) int64."""

    accuracy: float
    decisions: NDArray[np.int64]


class EpochResult(NamedTuple):
    """One epoch of training.

    loss, accuracy: means over its samples. changes: levels that the host changed, by layer; pulses and failed: what the
    target needed for them, and cells that did not reach their level, counted at every attempt.
    """

    loss: float
    accuracy: float
    changes: tuple[int, ...]
    pulses: int
    failed: int


class Trainer:
    """Trains a network on one task after the other. Everything that the host goes on from is in `state`.

    Parameters
    ----------
    config : TrainingConfig
    network : Network
    tasks : sequence of Task
        All known from the start, so that the state has a fixed size.
    target : MatrixTarget
        Is written to at once.
    seed : int
        Of the order of the images.

    Attributes
    ----------
    task, epoch : int
        Index of the task being learnt (len(tasks) when all are learnt), and its epochs so far.
    events : list of (n_in, n_out) int32
        Times that each level has changed since the start, by layer.

    Raises
    ------
    UserError
        The target has other levels than the network's quantiser, or doesn't read back although it should; a task has
        images of another size than the network's input, or too few of them.
    """

    def __init__(
        self, config: TrainingConfig, network: Network, tasks: Sequence[Task], target: MatrixTarget, seed: int
    ) -> None:
        _check_target(target, network.config.quantizer, config)
        for task in tasks:
            _check_task(task, network, config)
        self.config = config
        self.network = network
        self.tasks = tasks
        self.target = target
        self.task = 0
        self.epoch = 0
        self.events = [np.zeros(w.shape, dtype=np.int32) for w in network.hidden]
        self._seed = seed
        self._steps = 0
        self._trial = 0
        self._moments = [np.zeros((2, *w.shape), dtype=np.float32) for w in network.hidden]
        self._adam = Adam(network.norms)
        self._saved_norms = [np.stack([norm] * len(tasks)) for norm in network.norms]
        # EWC: sums over past tasks of F and of F W*.
        shapes = [w.shape for w in network.hidden] if config.ewc else []
        self._fisher = [np.zeros(shape, dtype=np.float32) for shape in shapes]
        self._anchor = [np.zeros(shape, dtype=np.float32) for shape in shapes]
        gate = config.device_gate
        self._wear = gate.wear if gate else 0.0
        self._read_every = gate.read_every if gate else None
        # Of the devices, in steps, as last read back.
        self._errors = [np.zeros(w.shape, dtype=np.float32) for w in network.hidden] if self._read_every else []
        # What was sent last: as the levels are here, and as targets want them.
        self._last = [levels.copy() for levels in network.levels]
        self._sent = [levels.astype(np.int64) for levels in network.levels]
        self._write()

    def train_epoch(self) -> EpochResult:
        """One pass over the training images of the present task, shuffled; after its last epoch the next task's turn.

        Raises
        ------
        UserError
            All tasks are learnt, or loss or hidden weights are no numbers any more: training has failed.
        """
        if self.task == len(self.tasks):
            raise UserError(f"all {self.task} tasks are learnt; there is no epoch left")
        data = self.tasks[self.task].train
        order = stream(self._seed, "shuffle", self.task, self.epoch).permutation(len(data.images))
        steps: list[_Step] = []
        with np.errstate(over="ignore", invalid="ignore"):  # told by _check_finite, in one sentence
            for rows in batches(order, self.config.batch):
                if len(steps) % self.config.calibrate_every == 0:
                    self._calibrate(self.task)
                steps.append(self._step(data.images[rows], data.labels[rows]))
            largest = float(np.max([np.abs(hidden).max() for hidden in self.network.hidden]))
            self._check_finite("the largest hidden weight", largest)
        self.epoch += 1
        if self.epoch == self.config.epochs:
            self._finish_task()
        return EpochResult(
            loss=sum(step.loss for step in steps) / len(order),
            accuracy=sum(step.correct for step in steps) / len(order),
            changes=tuple(int(total) for total in np.sum([step.changes for step in steps], axis=0)),
            pulses=sum(step.pulses for step in steps),
            failed=sum(step.failed for step in steps),
        )

    def evaluate(self, index: int) -> Evaluation:
        """Decide on all test images of a task, with the levels last sent and the task's gains and biases."""
        task = self.tasks[index]
        norms = self._norms(index)
        self._calibrate(index)
        decisions = np.empty(len(task.test.labels), dtype=np.int64)
        for rows in batches(np.arange(len(decisions)), self.config.test_batch):
            inputs = task.inputs(task.test.images[rows])
            scores = self._forward(inputs, norms)[-1].outputs
            decisions[rows] = floats("scores", scores, remedy=_REMEDY, single=True).argmax(axis=1)
        return Evaluation(float(np.mean(decisions == task.test.labels)), decisions)

    def state(self) -> dict[str, np.ndarray]:
        """All that the host goes on from: arrays of fixed names, shapes and dtypes. What devices have become, and
        when, is the target's business."""
        arrays = {f"{name}_{k}": array.copy() for name, own in self._arrays().items() for k, array in enumerate(own)}
        counters = np.array([self.task, self.epoch, self._steps, self._trial], dtype=np.int64)
        return arrays | {"adam": self._adam.state(), "counters": counters}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` returned, to the same bits; sends the levels to the target.

        Raises
        ------
        UserError
            The state is that of another network or other tasks.
        """
        own = self.state()
        for name, array in own.items():
            if name not in state or np.shape(state[name]) != array.shape:
                found = np.shape(state[name]) if name in state else "missing"
                raise UserError(f"state[{name!r}] is {found}; expected shape {array.shape}: it is of another network")
            if array.dtype.kind == "f":
                floats(f"state[{name!r}]", state[name], remedy="it is no state of a training")
            else:
                limits = np.iinfo(array.dtype)
                integers(f"state[{name!r}]", state[name], None, int(limits.min), int(limits.max))
        self.task, self.epoch, self._steps, self._trial = (int(x) for x in state["counters"])
        self._adam.load_state(state["adam"])
        for name, arrays in self._arrays().items():
            for k, array in enumerate(arrays):
                array[...] = state[f"{name}_{k}"]
        self._write()

    def _arrays(self) -> dict[str, Sequence[np.ndarray]]:
        return {
            "hidden": self.network.hidden,
            "levels": self.network.levels,
            "norms": self.network.norms,
            "saved_norms": self._saved_norms,
            "events": self.events,
            "moments": self._moments,
            "fisher": self._fisher,
            "anchor": self._anchor,
            "errors": self._errors,
        }

    def _step(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> _Step:
        config, network = self.config, self.network
        records = self._forward(self.tasks[self.task].inputs(images), network.norms)
        scores = records[-1].outputs
        losses, errors = cross_entropy(scores, labels)
        total = float(losses.sum())
        self._check_finite("the loss", total)
        gradients = network.backward(records, errors / np.float32(len(labels)), self._weights_back())
        self._steps += 1
        rate = config.learning_rate * step_decay(self.epoch, config.learning_rate_decay, 1)
        self._adam.step(network.norms, gradients.norms, [rate] * len(network.norms))
        writes = self._steps % config.write_every == 0
        if self._read_every and self._steps % self._read_every == 0:
            self._read_errors()
        changes = []
        for k, gradient in enumerate(gradients.weights):
            if config.ewc and self.task:
                gradient += np.float32(config.ewc.strength) * (self._fisher[k] * network.hidden[k] - self._anchor[k])
            mean, square = self._moments[k]
            device = Device(self._errors[k], self._wear) if self._errors else Device(wear=self._wear)
            changes.append(
                kernels.update(
                    network.hidden[k], mean, square, gradient, network.levels[k], self.events[k],
                    config.rule, config.strength, adam_rate(rate, self._steps), config.weight_decay,
                    0.5 + config.hysteresis if writes else math.inf, network.config.quantizer, device,
                )
            )  # fmt: skip
        pulses, failed = self._write() if any(changes) else (0, 0)
        correct = int(np.sum(scores.argmax(axis=1) == labels))
        return _Step(total, correct, changes, pulses, failed)

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"task {self.task + 1}, epoch {self.epoch + 1}: {what} is {value}, so training has failed; lower "
                f"training.learning_rate = {exact(self.config.learning_rate)}"
            )

    def _forward(self, inputs: np.ndarray, norms: Sequence[np.ndarray]) -> list[LayerRecord]:
        self._trial += 1
        return self.network.forward(self.target, inputs, norms, self._trial)

    def _calibrate(self, index: int) -> None:
        """Let the target set its converters by the first training images of a task."""
        task = self.tasks[index]
        inputs = task.inputs(task.train.images[: self.config.batch])
        self.network.forward(self.target, inputs, self._norms(index), _CALIBRATION_TRIAL, calibrate=True)

    def _norms(self, index: int) -> list[np.ndarray]:
        """Gains and biases of a task: those it was left with, or the present ones."""
        if self.network.config.batch_norm == "shared" or index >= self.task:
            return self.network.norms
        return [saved[index] for saved in self._saved_norms]

    def _weights_back(self) -> list[np.ndarray] | None:
        """Weights for the way back through layers 1, 2, ...; None: the host's."""
        if self.config.backward == "host":
            return None
        layers = range(1, len(self.network.levels))
        return [self.target.read(k, self._trial).astype(np.float32) for k in layers]

    def _read_errors(self) -> None:
        """How far, in steps, all devices read from their levels."""
        quantizer = self.network.config.quantizer
        for k, levels in enumerate(self.network.levels):
            seen = self.target.read(k, self._trial) - quantizer.to_weights(levels)
            self._errors[k][...] = floats("weights read back", seen, remedy=_REMEDY, single=True) / quantizer.step

    def _write(self) -> tuple[int, int]:
        """Send all levels; returns pulses and cells that did not reach their level."""
        for sent, last, levels in zip(self._sent, self._last, self.network.levels, strict=True):
            places = np.flatnonzero(levels != last)
            last.ravel()[places] = sent.ravel()[places] = levels.ravel()[places]
        report = self.target.write(self._sent)
        return report.pulses, report.failed

    def _finish_task(self) -> None:
        for saved, norm in zip(self._saved_norms, self.network.norms, strict=True):
            saved[self.task] = norm
        if self.config.ewc:
            self._remember(self.config.ewc.samples)
        for moments in self._moments:
            moments[...] = 0.0
        self._adam = Adam(self.network.norms)
        self._steps = 0
        self.epoch = 0
        self.task += 1

    def _remember(self, samples: int) -> None:
        """Add the task's Fisher information and its weights to the sums of EWC."""
        task = self.tasks[self.task]
        order = stream(self._seed, "fisher", self.task).permutation(len(task.train.images))[:samples]
        for rows in batches(order, self.config.batch):
            records = self._forward(task.inputs(task.train.images[rows]), self.network.norms)
            _, errors = cross_entropy(records[-1].outputs, task.train.labels[rows])
            for k, squares in enumerate(self.network.squared_gradients(records, errors)):
                squares /= np.float32(samples)
                self._fisher[k] += squares
                self._anchor[k] += squares * self.network.hidden[k]


class _Step(NamedTuple):
    loss: float
    correct: int
    changes: list[int]
    pulses: int
    failed: int


def _check_target(target: MatrixTarget, quantizer: Quantizer, config: TrainingConfig) -> None:
    capabilities = target.capabilities
    if (capabilities.max_level, capabilities.weight_range) != (quantizer.max_level, quantizer.weight_range):
        raise UserError(
            f"the target has signed levels -{capabilities.max_level}..{capabilities.max_level} up to a weight of "
            f"{exact(capabilities.weight_range)}, but network.quantizer.levels = {quantizer.levels} takes "
            f"-{quantizer.max_level}..{quantizer.max_level} up to {exact(quantizer.weight_range)}; change one of them"
        )
    reads = {"training.backward = 'read_back'": config.backward == "read_back"}
    reads["training.device_gate.read_every"] = bool(config.device_gate and config.device_gate.read_every)
    for option, wanted in reads.items():
        if wanted and not capabilities.reads_back:
            raise UserError(f"{option} needs a target that can be read back; this one can't: leave it out")


def _check_task(task: Task, network: Network, config: TrainingConfig) -> None:
    n_in, n_train = network.hidden[0].shape[0], len(task.train.images)
    if task.train.images.shape[1] != n_in:
        raise UserError(
            f"task {task.name!r} has images of {task.train.images.shape[1]} pixels, the network {n_in} inputs; "
            "make them equal"
        )
    if n_train < config.batch:
        raise UserError(
            f"training.batch = {config.batch} is more than the {n_train} training images of {task.name!r}; lower it"
        )
    if config.ewc and config.ewc.samples > n_train:
        raise UserError(
            f"training.ewc.samples = {config.ewc.samples} is more than the {n_train} training images of "
            f"{task.name!r}; lower it"
        )
