"""The loop: write, run, loss, exact gradient from observed spike times, update of the host's float parameters.

The recipe is that of DelGrad's published code: Adam with step decay, weight bumping for silent neurons, the
gradient cut. The trainer sees a target through its protocol alone, so the same code drives every target.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.delgrad.losses import AnyLoss
from neurohil.delgrad.network import Network
from neurohil.errors import UserError
from neurohil.first_spike.kernels import count_silent
from neurohil.first_spike.spike_time import KERNEL_PEAK
from neurohil.optimizers import Adam, step_decay
from neurohil.protocols import Floats, SampleRecord, SpikingTarget
from neurohil.ranges import Count, Factor, NotNegative, Positive, Share
from neurohil.seeds import stream
from neurohil.text import exact

RATES = ("learning_rate_weights", "learning_rate_delays")
Cut = Annotated[float, msgspec.Meta(gt=0, extra={"inf": "no cut"})]


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the parameters are updated.

    max_missing is the share of silent (sample, neuron) pairs per layer above which the layer's weights are bumped
    instead of trained, of the samples with an input spike alone. A bump is twice the one before as long as the same
    layer is bumped batch after batch. max_dw is the gradient cut; inf: none.
    """

    loss: AnyLoss
    batch: Count
    learning_rate_weights: NotNegative
    learning_rate_delays: NotNegative = 0.0
    decay: Factor = 0.95
    decay_epochs: Count = 20
    max_missing: tuple[Share, Share] = (0.3, 0.0)
    max_dw: Cut = 0.2
    bump: Positive = 5e-4


class Evaluation(NamedTuple):
    """What a target answered to a data set: accuracy 0..1, decisions (n,) with -1 for none, times (n, n_out)."""

    accuracy: float
    decisions: NDArray[np.int64]
    times: Floats

    @property
    def missing_spikes(self) -> int:
        """Output spikes that never came, over all samples and outputs."""
        return int(np.isinf(self.times).sum())


class EpochResult(NamedTuple):
    """Means over one epoch of training; missing output spikes are those of samples with an input spike."""

    loss: float
    accuracy: float
    bumped: float
    missing: float


class Trainer:
    """Trains a network on a target. Everything that an epoch depends on is in `state`."""

    def __init__(self, config: TrainingConfig, network: Network, target: SpikingTarget, seed: int) -> None:
        self.config = config
        self.network = network
        self.target = target
        self.epoch = 0
        self._seed = seed
        self._adam = Adam(network.parameters)
        self._bumped_layer = -1
        self._bump = config.bump
        self._trial = 0
        self._confine_weights()

    def train_epoch(self, inputs: Floats, labels: NDArray[np.int64]) -> EpochResult:
        """One pass over inputs (n, n_in) with labels (n,), shuffled.

        Raises
        ------
        UserError
            A layer can't be made to spike, or loss or parameters are no numbers any more: training has failed.
        """
        order = stream(self._seed, "shuffle", self.epoch).permutation(len(inputs))
        loss, correct, missing, bumps, batches = 0.0, 0, 0, 0, 0
        for start in range(0, len(order), self.config.batch):
            chosen = order[start : start + self.config.batch]
            step = self._step(inputs[chosen], labels[chosen])
            loss += step.loss
            correct += step.correct
            missing += step.missing
            bumps += step.bumped
            batches += 1
        self.epoch += 1
        outputs = int(_heard(inputs).sum()) * self.network.weights[-1].shape[1]
        return EpochResult(loss / len(inputs), correct / len(inputs), bumps / batches, missing / max(outputs, 1))

    def evaluate(self, inputs: Floats, labels: NDArray[np.int64]) -> Evaluation:
        """Write the present parameters, run all inputs, decide."""
        self.target.write(self.network.layers())
        times = self.target.run(inputs, self._next_trial())[-1].spikes
        decisions = self.config.loss.decide(times)
        return Evaluation(float(np.mean(decisions == labels)), decisions, times)

    def watch(self, inputs: Floats, duration: float) -> SampleRecord:
        """All events and membranes of one sample (n_in,) with the parameters last written."""
        return self.target.record(inputs, self._next_trial(), duration)

    def state(self) -> Floats:
        """All that training goes on from, as one vector."""
        counters = np.array([self.epoch, self._trial, self._bumped_layer, self._bump], dtype=np.float64)
        return np.concatenate([counters, *(p.ravel() for p in self.network.parameters), self._adam.state()])

    def load_state(self, state: Floats) -> None:
        """Go on from a vector that `state` returned."""
        self.epoch, self._trial, self._bumped_layer = (int(x) for x in state[:3])
        self._bump = float(state[3])
        parameters, adam = np.split(state[4:], [sum(p.size for p in self.network.parameters)])
        self.network.load_parameters(parameters)
        self._adam.load_state(adam)

    def _step(self, inputs: Floats, labels: NDArray[np.int64]) -> _Step:
        layers = self.network.layers()
        self.target.write(layers)
        observed = self.target.run(inputs, self._next_trial())
        times = observed[-1].spikes
        with np.errstate(over="ignore", invalid="ignore"):  # told below, in one sentence
            loss = self.config.loss(times, labels)
            total = float(loss.values.sum())
            self._check_finite("the loss", total)
            heard = _heard(inputs)
            silent = [count_silent(seen.spikes, heard) for seen in observed]
            bumped = self._bump_silent(silent, int(heard.sum()))
            if not bumped:
                gradients = self.network.gradients(observed, layers, loss.gradient, self.config.max_dw)
                rate = step_decay(self.epoch, self.config.decay, self.config.decay_epochs)
                rates = [self.config.learning_rate_weights * rate] * len(self.network.weights)
                rates += [self.config.learning_rate_delays * rate] * len(self.network.delay_parameters)
                self._adam.step(self.network.parameters, gradients, rates)
            self._confine_weights()
            for kind, arrays in (("weights", self.network.weights), ("delays", self.network.delay_parameters)):
                self._check_finite(f"the sum of the {kind}", sum(float(array.sum()) for array in arrays))
        correct = int(np.sum(self.config.loss.decide(times) == labels))
        return _Step(total, correct, int(silent[-1].sum()), bumped)

    def _bump_silent(self, silent: list[NDArray[np.int64]], heard: int) -> bool:
        """Raise all incoming weights of the neurons that were silent in any of so many samples, in the first layer with
        too many of them."""
        for index, (counts, limit) in enumerate(zip(silent, self.config.max_missing, strict=True)):
            missing = float(counts.sum() / (heard * counts.size)) if heard else 0.0
            if missing > limit:
                self._bump = 2 * self._bump if index == self._bumped_layer else self.config.bump
                self._bumped_layer = index
                neurons = counts > 0
                self._check_bump(index, missing, self.network.weights[index][:, neurons])
                self.network.weights[index][:, neurons] += self._bump
                return True
        self._bumped_layer = -1
        return False

    def _check_bump(self, index: int, missing: float, weights: Floats) -> None:
        """Stop where larger weights can't help: each of them is as large as the target takes, or makes a neuron spike
        by itself, and the bump has grown beyond that, too."""
        config, largest = self.network.config, self.target.capabilities.weight_max
        enough = min(config.threshold / KERNEL_PEAK[config.tau_ratio], largest)
        lowest = float(weights.min())
        if self._bump <= enough or lowest < enough:
            return
        layer = ("hidden", "output")[index]
        reached = "the largest the target takes" if lowest >= largest else "enough for a spike from a single input"
        cause = (
            "raise training.max_missing[0], or look at data and delays"
            if index == 0
            else "the hidden layer is silent in these samples: lower training.max_missing[0], or raise "
            "training.max_missing[1]"
        )
        times = round(math.log2(self._bump / self.config.bump)) + 1
        raise UserError(
            f"epoch {self.epoch + 1}: {missing:.1%} of the spikes of the {layer} layer are missing, allowed are "
            f"training.max_missing[{index}] = {exact(self.config.max_missing[index])}, after its weights were bumped "
            f"{times} times in a row, last by {self._bump:.3g}; each weight of its silent neurons is {lowest:.3g} or "
            f"more, {reached}: larger weights can't help; {cause}"
        )

    def _check_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        rates = [f"training.{key} = {exact(getattr(self.config, key))}" for key in RATES if getattr(self.config, key)]
        remedy = " or ".join(rates or ["network.weight_mean and network.weight_std"])
        raise UserError(f"epoch {self.epoch + 1}: {what} is {value}, so training has failed; lower {remedy}")

    def _confine_weights(self) -> None:
        limit = self.target.capabilities.weight_max
        for weights in self.network.weights if limit < math.inf else ():
            np.maximum(weights, -limit, out=weights)
            np.minimum(weights, limit, out=weights)

    def _next_trial(self) -> int:
        self._trial += 1
        return self._trial


def _heard(inputs: Floats) -> NDArray[np.bool_]:
    """Samples with an input spike (n,): no weight can bring an answer to the others."""
    return np.asarray(np.isfinite(inputs).any(axis=1))


class _Step(NamedTuple):
    loss: float
    correct: int
    missing: int
    bumped: bool
