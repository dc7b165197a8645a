"""The loop: gradients of whole networks, the recipe's rules, and what must not depend on anything else."""

import msgspec
import numpy as np
import pytest

from neurohil import experiment
from neurohil.cli import main
from neurohil.datasets.spike_times import Samples
from neurohil.delgrad.losses import ShiftInvariantMse
from neurohil.delgrad.network import Network, NetworkConfig
from neurohil.delgrad.run import DelGradRun
from neurohil.delgrad.training import Trainer, TrainingConfig
from neurohil.errors import UserError
from neurohil.protocols import Layer
from neurohil.targets.spiking.ideal import IdealTarget
from neurohil.trace import Trace

KEPT = ["last", "best_validation"]
KINDS = ["none", "axonal", "dendritic", "synaptic"]


def small_network(kind, copies=1, seed=0):
    config = NetworkConfig(
        hidden=6, delays=kind, tau_ratio=2, threshold=1.0, weight_mean=(1.5, 1.5), weight_std=(0.8, 0.8), delay_std=0.5
    )
    return Network(config, 4 * copies, 3, copies, np.random.default_rng(seed))


def sample_inputs(n, copies=1):
    rng = np.random.default_rng(1)
    return np.repeat(0.15 + 1.85 * rng.random((n, 4)), copies, axis=1), rng.integers(0, 3, n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copies", [1, 3])
def test_gradients_of_the_whole_network_agree_with_central_differences(kind, copies):
    network, loss = small_network(kind, copies), ShiftInvariantMse(margin=0.2)
    target = IdealTarget(1.0, 2)
    inputs, labels = sample_inputs(8, copies)

    def total():
        target.write(network.layers())
        return loss(target.run(inputs, 0)[-1].spikes, labels).values.mean()

    target.write(network.layers())
    observed = target.run(inputs, 0)
    answer = loss(observed[-1].spikes, labels)
    assert answer.values.max() < 100  # all outputs spike
    exact = network.gradients(observed, network.layers(), answer.gradient, np.inf)
    assert [g.shape for g in exact] == [p.shape for p in network.parameters]
    step = 1e-6
    for parameter, gradient in zip(network.parameters, exact, strict=True):
        for index in np.ndindex(parameter.shape):
            kept = parameter[index]
            parameter[index] = kept + step
            up = total()
            parameter[index] = kept - step
            down = total()
            parameter[index] = kept
            assert gradient[index] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "hidden", "count"),
    [("none", 30, 210), ("axonal", 30, 244), ("dendritic", 30, 243), ("synaptic", 30, 420), ("synaptic", 5, 70)],
)
def test_parameter_counts_are_the_published_ones(kind, hidden, count):
    config = experiment(f"yin_yang_{kind if kind != 'none' else 'weights'}", [f"network.hidden={hidden}"]).config
    assert sum(p.size for p in DelGradRun(config).network.parameters) == count


def test_copies_of_an_input_share_their_delay():
    run = experiment("chip_yin_yang_axonal", ["target.preset=ideal"]).start()
    assert [d.size for d in run.network.delay_parameters] == [4, 30]
    sent = run.network.layers()[0].axonal
    assert sent.shape == (20,) and all(np.ptp(group) == 0 for group in sent.reshape(4, 5))


class SilentTarget(IdealTarget):
    """An ideal target whose layer `silent` answers that its first neuron never spiked."""

    silent: int | None = 0

    def run(self, inputs, trial):
        observed = super().run(inputs, trial)
        if self.silent is not None:
            observed[self.silent].spikes[:, 0] = np.inf
        return observed


def trainer(max_missing=(0.0, 0.0)):
    network, target = small_network("none"), SilentTarget(1.0, 2)
    config = TrainingConfig(
        loss=ShiftInvariantMse(margin=0.2), batch=8, learning_rate_weights=0.01, max_missing=max_missing
    )
    return Trainer(config, network, target, seed=1), network, target


def test_silent_neurons_are_bumped_twice_as_much_each_time_and_nothing_else_moves():
    loop, network, target = trainer()
    inputs, labels = sample_inputs(8)
    before = [w.copy() for w in network.weights]
    for bumps in (1, 2, 3):
        loop.train_epoch(inputs, labels)
        expected = before[0].copy()
        expected[:, 0] += 5e-4 * (2**bumps - 1)
        assert np.allclose(network.weights[0], expected, atol=1e-15)
        assert np.array_equal(network.weights[1], before[1])
    target.silent = 1  # another layer: the bump starts anew
    loop.train_epoch(inputs, labels)
    assert np.allclose(network.weights[1][:, 0], before[1][:, 0] + 5e-4, atol=1e-15)
    target.silent = None
    loop.train_epoch(inputs, labels)  # a gradient step
    assert not np.allclose(network.weights[1][:, 1], before[1][:, 1])
    target.silent = 0
    kept = network.weights[0].copy()
    loop.train_epoch(inputs, labels)
    assert np.allclose(network.weights[0][:, 0], kept[:, 0] + 5e-4, atol=1e-15)


def test_below_the_limit_nothing_is_bumped():
    loop, _, _ = trainer(max_missing=(0.2, 0.0))  # one of six hidden neurons is silent
    inputs, labels = sample_inputs(8)
    result = loop.train_epoch(inputs, labels)
    assert result.bumped == 0.0


def test_samples_without_input_spikes_are_no_missing_output():
    inputs, labels = sample_inputs(8)
    silent = np.concatenate([inputs, np.full_like(inputs, np.inf)])
    loop, network, target = trainer()
    target.silent = None
    before = [w.copy() for w in network.weights]
    result = loop.train_epoch(silent, np.concatenate([labels, labels]))
    assert (result.bumped, result.missing) == (0.0, 0.0)
    assert not any(np.array_equal(a, b) for a, b in zip(network.weights, before, strict=True))  # the rest is trained
    kept = [w.copy() for w in network.weights]
    result = loop.train_epoch(np.full_like(inputs, np.inf), labels)
    assert (result.bumped, result.missing, result.accuracy) == (0.0, 0.0, 0.0)
    assert all(np.isfinite(w).all() and np.abs(w - k).max() < 0.1 for w, k in zip(network.weights, kept, strict=True))


def test_the_share_of_missing_spikes_is_of_samples_with_input_alone():
    inputs, labels = sample_inputs(8)
    silent = np.concatenate([inputs, np.full_like(inputs, np.inf)])
    loop, _, _ = trainer(max_missing=(0.2, 0.0))  # one of six hidden neurons is silent, 58 % with samples without input
    assert loop.train_epoch(silent, np.concatenate([labels, labels])).bumped == 0.0


@pytest.mark.parametrize("weight_max", [np.inf, 2.5])
@pytest.mark.parametrize(("silent", "layer", "missing"), [(0, "hidden", "16.7%"), (1, "output", "33.3%")])
def test_bumps_end_where_larger_weights_cannot_help(weight_max, silent, layer, missing):
    """An input of weight 2 reaches the threshold of 1 by itself: the kernel's peak is 1/2."""
    loop, network, target = trainer()
    target.silent = silent
    target.capabilities = target.capabilities._replace(weight_max=weight_max)
    network.weights[silent][:, 0] = 0.5
    inputs, labels = sample_inputs(8)
    with pytest.raises(UserError) as error:
        for _ in range(100):
            loop.train_epoch(inputs, labels)
    # 5e-4 * 2**12 is the first bump above 2: the thirteenth.
    assert loop.epoch == 12
    assert str(error.value).startswith(f"epoch 13: {missing} of the spikes of the {layer} layer are missing, allowed")
    assert "bumped 13 times in a row, last by 2.05" in str(error.value)
    assert f"training.max_missing[{silent}]" in str(error.value)
    assert max(np.abs(w).max() for w in network.weights) < 10.0


def test_bumps_go_on_while_a_weight_is_too_small_to_make_a_spike():
    loop, network, _ = trainer()
    network.weights[0][0, 0] = -1000.0
    with pytest.raises(UserError, match=r"bumped \d+ times in a row"):
        for _ in range(100):
            loop.train_epoch(*sample_inputs(8))
    assert 20 <= loop.epoch < 25 and 2.0 <= network.weights[0][:, 0].min() < 2000.0


class NoNumber(ShiftInvariantMse, frozen=True, tag="no_number"):
    """A loss that overflowed."""

    def __call__(self, times, labels):
        loss = super().__call__(times, labels)
        return loss._replace(values=loss.values * np.nan)


def test_what_is_no_number_ends_the_training_and_says_when():
    loop, _, target = trainer()
    target.silent = None
    inputs, labels = sample_inputs(8)
    loop.train_epoch(inputs, labels)
    loop._adam.step = lambda parameters, *rest: parameters[0].fill(np.inf)
    with pytest.raises(UserError, match=r"^epoch 2: the sum of the weights is inf, so training has failed; lower"):
        loop.train_epoch(inputs, labels)
    assert loop.epoch == 1

    loop, _, target = trainer()
    target.silent = None
    loop.config = msgspec.structs.replace(loop.config, loss=NoNumber(margin=0.2))
    remedy = "lower training.learning_rate_weights = 0.01"
    with pytest.raises(UserError, match=f"^epoch 1: the loss is nan, so training has failed; {remedy}$"):
        loop.train_epoch(inputs, labels)


@pytest.mark.compiled
def test_the_epochs_before_a_training_failed_are_kept(tmp_path, monkeypatch, capsys):
    original = Trainer.train_epoch

    def fail_in_the_third(self, inputs, labels):
        if self.epoch == 2:
            raise UserError("epoch 3: the loss is nan")
        return original(self, inputs, labels)

    monkeypatch.setattr(Trainer, "train_epoch", fail_in_the_third)
    options = ["--set", "network.hidden=4", "--set", "epochs=5", "--out", str(tmp_path / "run.h5")]
    assert main(["delgrad", "yin_yang_weights", *options]) == 2
    assert f"epoch 3: the loss is nan; what was finished before is kept: neurohil trace ls {tmp_path}" in (
        capsys.readouterr().err
    )
    with Trace(tmp_path / "run.h5.part") as trace:
        assert trace.epochs == 2


def test_weights_stay_within_the_targets_range():
    loop, network, target = trainer()
    target.silent = None
    target.capabilities = target.capabilities._replace(weight_max=1.6)
    loop.train_epoch(*sample_inputs(8))
    assert max(np.abs(w).max() for w in network.weights) == 1.6


@pytest.mark.compiled
def test_state_carries_everything_an_epoch_depends_on():
    overrides = ["network.hidden=5", "target.serial=3"]
    straight, restored = (experiment("chip_yin_yang_axonal", overrides).start() for _ in range(2))
    for run in (straight, restored):
        train, validation = (Samples(d.times[:200], d.labels[:200]) for d in (run.data.train, run.data.validation))
        run.data = run.data._replace(train=train, validation=validation)
    straight.train_epoch()
    state = straight.state()
    straight.train_epoch()
    restored.load_state(state)
    restored.train_epoch()
    assert np.array_equal(straight.state(), restored.state())
    assert not np.array_equal(straight.state(), state)


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_other_losses_train_too(kind):
    margins = {"cross_entropy": [], "mse": ["training.loss.t_correct=2.2", "training.loss.t_wrong=2.6"]}[kind]
    text = ["training.loss.kind=" + kind, *margins]
    config = experiment("yin_yang_synaptic", ['training.loss={kind="cross_entropy"}', *text]).config
    run = DelGradRun(config)
    accuracies = [run.train_epoch()[1].accuracy for _ in range(8)]
    assert accuracies[-1] > 0.75


def test_layers_name_their_delays():
    layer = Layer(np.zeros((2, 3)), dendritic=np.arange(3.0))
    assert layer.later_delays.shape == (1, 3)
    assert Layer(np.zeros((2, 3)), axonal=np.zeros(2)).later_delays is None


@pytest.mark.compiled
def test_the_tested_parameters_are_those_of_the_best_validation_epoch_if_asked_for():
    common = ["epochs=5", "training.learning_rate_weights=0.3"]  # so high that accuracy goes up and down
    last, best = (experiment("yin_yang_weights", [*common, f"tested_epoch={which}"]).start() for which in KEPT)
    seen = [best.train_epoch()[1].accuracy for _ in range(5)]
    assert seen == [last.train_epoch()[1].accuracy for _ in range(5)]
    winner = int(np.argmax(seen))
    assert winner != 4, "no epoch before the last was the best: choose another seed"
    tested = best.test()
    assert (tested.epoch, tested.validated.accuracy) == (winner + 1, seen[winner])
    tested = last.test()
    assert (tested.epoch, tested.validated.accuracy) == (5, seen[4])
