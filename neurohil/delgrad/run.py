"""A DelGrad run: config, data, network, target, and what its epochs and its end come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.choices import Choice
from neurohil.datasets.spike_times import SpikeTimes, SpikeTimesConfig, checked
from neurohil.datasets.yin_yang import YinYangConfig
from neurohil.delgrad.model import SpikeTimeModel
from neurohil.delgrad.network import Network, NetworkConfig
from neurohil.delgrad.trace import delgrad_layout
from neurohil.delgrad.training import EpochResult, Evaluation, Trainer, TrainingConfig
from neurohil.memory import demand_bytes
from neurohil.neurobench import metrics
from neurohil.neurobench.benchmark import Benchmark, batched
from neurohil.neurobench.records import ModelInfo
from neurohil.neurobench.trace import neurobench_arrays
from neurohil.protocols import Floats, SampleRecord
from neurohil.ranges import Count, Seed
from neurohil.run import Run, Summary
from neurohil.seeds import stream
from neurohil.targets import AnySpikingTarget
from neurohil.trace.schema import Layout

MAP_SIDE = 61
MOST_WATCHED = 10  # test samples whose events and membranes are kept
_COPIES = 10  # of a parameter: itself, gradient, two moments, the best so far, a run's state, temporaries

# Declared for the metrics of NeuroBench that count steps, in tau_s: a slot of the chip (180 us), a tenth of tau_s.
DURATION, DT = 30.0, 0.1
STATIC = (metrics.Footprint, metrics.ParameterCount, metrics.ConnectionSparsity)
WORKLOAD = (metrics.ActivationSparsity, metrics.SynapticOperations)


AnyData = Annotated[SpikeTimesConfig, Choice(SpikeTimesConfig, lambda: (YinYangConfig,), default=YinYangConfig)]


class DelGradConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole experiment. `tested_epoch` says which parameters are tested when the last epoch is over: its own, or
    those of the epoch with the best validation accuracy."""

    summary: str
    seed: Seed
    epochs: Count
    data: AnyData
    network: NetworkConfig
    training: TrainingConfig
    target: AnySpikingTarget
    tested_epoch: Literal["last", "best_validation"] = "last"
    experiment: str = "unnamed"


class Epoch(NamedTuple):
    """What one epoch came to: training, then the evaluation on the validation data."""

    trained: EpochResult
    validated: Evaluation

    def __str__(self) -> str:
        return f"loss {self.trained.loss:.3f}, validation {self.validated.accuracy:.1%}"


class Tested(NamedTuple):
    """What the tested parameters are worth on data that they were not trained on: one evaluation of each set."""

    epoch: int
    validated: Evaluation
    tested: Evaluation


class End(NamedTuple):
    """What is known after the last epoch.

    map_decisions (MAP_SIDE, MAP_SIDE) int64: the class that the network sees at each point [y, x] of a grid over the
    plane of the data, None without one; map_side (MAP_SIDE,): its coordinates. samples: the first test sample of each
    class, of ten classes at most, watched closely. neurobench: NeuroBench's metrics on the test set.
    """

    tested_epoch: int
    validated: Evaluation
    tested: Evaluation
    chip_seconds: float
    map_decisions: NDArray[np.int64] | None
    map_side: Floats
    samples: list[SampleRecord]
    neurobench: dict[str, Any]


class DelGradRun(Run[DelGradConfig]):
    """One experiment, ready to train: data, target, network and trainer.

    Attributes
    ----------
    data : SpikeTimes
        With ``train``, ``validation`` and ``test``.
    network : Network
    target : SpikingTarget
    trainer : Trainer

    Raises
    ------
    UserError
        If the data are not as they should be, or the network does not fit the target; nothing has been written then.
    """

    command = "delgrad"
    Config = DelGradConfig

    def __init__(self, config: DelGradConfig) -> None:
        super().__init__(config)
        self.data = checked(config.data.build())
        _demand_memory(config, self.data)
        n_in, n_out = self.data.train.times.shape[1], len(self.data.classes)
        self.network = Network(config.network, n_in, n_out, self.data.copies, stream(config.seed, "init"))
        self.target = config.target.build(config.network, config.seed)
        self.target.write(self.network.layers())
        self.trainer = Trainer(config.training, self.network, self.target, config.seed)
        self._chip_seconds_before = 0.0
        self._best = self._candidate(-1.0)

    @property
    def epochs_done(self) -> int:
        return self.trainer.epoch

    @property
    def epochs_in_all(self) -> int:
        return self.config.epochs

    @property
    def time_scale(self) -> float:
        """Times in the trace over times in tau_s: microseconds where the target knows them."""
        return self.target.tau_us or 1.0

    def train_epoch(self) -> Epoch:
        """One epoch on the training data, then an evaluation on the validation data."""
        trained = self.trainer.train_epoch(*self.data.train)
        validated = self.evaluate("validation")
        if validated.accuracy > self._best[0]:
            self._best = self._candidate(validated.accuracy)
        return Epoch(trained, validated)

    def evaluate(self, split: str) -> Evaluation:
        """Accuracy, decisions and output times on a split: ``train``, ``validation`` or ``test``."""
        return self.trainer.evaluate(*getattr(self.data, split))

    def chip_seconds(self) -> float:
        """Time that the target has spent in real-time sections since the start of the whole run."""
        return round(self._chip_seconds_before + self.target.account()["chip_seconds"], 9)

    def state(self) -> Floats:
        return np.concatenate([[self.chip_seconds()], self._best, self.trainer.state()])

    def load_state(self, state: Floats) -> None:
        self._chip_seconds_before = float(state[0])
        self._best, trainer_state = np.split(state[1:], [self._best.size])
        self.trainer.load_state(trainer_state)

    def test(self) -> Tested:
        """Evaluate the parameters that the config wants tested, which the network then has."""
        tested_epoch = self.trainer.epoch
        if self.config.tested_epoch == "best_validation":
            tested_epoch = int(self._best[1])
            self.network.load_parameters(self._best[2:])
        return Tested(tested_epoch, self.evaluate("validation"), self.evaluate("test"))

    def neurobench(self) -> dict[str, Any]:
        """NeuroBench's metrics of the present parameters on the test set: one more evaluation."""
        test = self.data.test
        model = SpikeTimeModel(self.target, self.network.layers(), DURATION, ModelInfo(dt=DT, dt_unit="tau_s"))
        data = batched(test.times, test.labels, len(test.labels))
        measured = Benchmark(model, data, None, None, (STATIC, WORKLOAD)).run(quiet=True)
        return {name: value for name, value in measured.items() if name != "metadata"}

    def conclude(self) -> End:
        """Test once, map the plane if there is one, watch one sample of each class, count."""
        done = self.test()
        chip_seconds = self.chip_seconds()  # what is looked at for the trace alone doesn't count
        side = np.linspace(0.0, 1.0, MAP_SIDE)
        return End(
            tested_epoch=done.epoch,
            validated=done.validated,
            tested=done.tested,
            chip_seconds=chip_seconds,
            map_decisions=self._map(side),
            map_side=side,
            samples=self._watched(done.tested),
            neurobench=self.neurobench(),  # last: nothing else may depend on it
        )

    def values(self, end: End) -> dict[str, Any]:
        results = [array for array in self.layout.results if array.fill]
        return {a.name: a.fill(self, end) for a in results if a.fill} | {"neurobench": end.neurobench}

    def summary(self, values: Mapping[str, Any]) -> Summary:
        config = self.config
        outputs = len(self.data.classes) * len(self.data.test.labels)
        rows = [
            ("test accuracy", f"{values['test_accuracy']:.1%} (epoch {values['tested_epoch']})"),
            ("validation accuracy", f"{values['validation_accuracy']:.1%}"),
            ("missing output spikes", f"{values['missing_spikes']} of {outputs} in the test"),
        ]
        if values["chip_seconds"]:
            rows.append(("chip time", f"{values['chip_seconds']:.1f} s of real-time sections (emulated)"))
        if self.target.beyond:
            rows.insert(0, ("beyond the real chip", self.target.beyond))
        return Summary(f"{config.experiment}: {config.epochs} epochs, seed {config.seed}, {self.target.label}", rows)

    def facts(self) -> dict[str, Any]:
        config = self.config
        facts = {
            "experiment": config.experiment,
            "epochs": config.epochs,
            "seed": config.seed,
            "serial": getattr(config.target, "serial", None),
        }
        return facts | ({"beyond": self.target.beyond} if self.target.beyond else {})

    def make_layout(self) -> Layout:
        delays = self.network.delay_parameters or [np.empty(0)] * len(self.network.weights)
        return delgrad_layout(
            layers=[self.network.weights[0].shape[0], *(w.shape[1] for w in self.network.weights)],
            delays=[d.size for d in delays],
            test_size=len(self.data.test.labels),
            watched=len(self._watched_samples()),
            classes=self.data.classes,
            plane=self.data.plane and self.data.plane.name,
            time_units="us" if self.target.tau_us else "1",
            provenance=self.target.provenance,
            quantities=self.target.fixed_pattern(),
            beyond=self.target.beyond,
            neurobench=neurobench_arrays(f"{DURATION / DT:.0f} steps of {DT} tau_s"),
        )

    def _candidate(self, accuracy: float) -> Floats:
        """Validation accuracy, epoch and parameters, as one vector."""
        return np.concatenate([[accuracy, self.trainer.epoch], *(p.ravel() for p in self.network.parameters)])

    def _map(self, side: Floats) -> NDArray[np.int64] | None:
        """The class that the network sees at each point of a grid over the plane."""
        if self.data.plane is None:
            return None
        x, y = (grid.ravel() for grid in np.meshgrid(side, side))
        points = self.data.plane.encode(np.column_stack([x, y]))
        seen = self.trainer.evaluate(points, np.zeros(len(points), dtype=np.int64))
        return seen.decisions.reshape(side.size, side.size)

    def _watched_samples(self) -> list[int]:
        """The first test sample of each class that has one."""
        _, first = np.unique(self.data.test.labels, return_index=True)
        return [int(sample) for sample in first[:MOST_WATCHED]]

    def _watched(self, tested: Evaluation) -> list[SampleRecord]:
        """Events and membranes of these samples, until all inputs and outputs have spiked."""
        chosen = self._watched_samples()
        inputs = self.data.test.times[chosen]
        spikes = np.concatenate([inputs.ravel(), tested.times[chosen].ravel()])
        duration = float(np.ceil(spikes[np.isfinite(spikes)].max(initial=0.0)) + 1.0)
        return [self.trainer.watch(times, duration) for times in inputs]


def _demand_memory(config: DelGradConfig, data: SpikeTimes) -> None:
    """Refuse a network that doesn't fit: parameters with their gradients and moments, spike times of the largest set
    that runs at once, and all inputs."""
    hidden, batch = config.network.hidden, max(config.training.batch, MAP_SIDE**2 if data.plane else 0)
    samples = sum(len(part.labels) for part in (data.train, data.validation, data.test))
    lines, outputs = data.train.times.shape[1], len(data.classes)
    weights = hidden * (lines + outputs)
    values = (
        _COPIES * (weights * (1 + (config.network.delays == "synaptic")))
        + 2 * samples * lines
        + 2 * min(batch, samples) * (lines + hidden + outputs)
    )
    demand_bytes(
        8 * values,
        f"network.hidden = {hidden} with {lines} input lines and {outputs} classes, that is {weights} weights,",
        "lower network.hidden, training.batch or the number of input lines",
    )
