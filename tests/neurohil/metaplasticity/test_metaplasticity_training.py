"""Continual learning in the loop on small made-up tasks: what is written, kept, restored and forgotten."""

import msgspec
import numpy as np
import pytest

from neurohil.datasets.idx import Images
from neurohil.errors import UserError
from neurohil.kinds import KINDS
from neurohil.metaplasticity import tasks
from neurohil.metaplasticity.network import Network, NetworkConfig
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.metaplasticity.tasks import Task
from neurohil.metaplasticity.training import DeviceGateConfig, EwcConfig, Trainer, TrainingConfig
from neurohil.seeds import stream
from neurohil.targets.matrix.ideal import IdealMatrixTarget

CONFIG = TrainingConfig(epochs=2, batch=50, learning_rate=0.01, test_batch=50)


WEARS = DeviceGateConfig(wear=5.0)


def made_up_task(pixels=36, train=300, test=100):
    """Ten noisy patterns."""
    rng = np.random.default_rng(5)
    patterns = rng.integers(0, 256, (10, pixels))
    labels = rng.integers(0, 10, train + test)
    images = np.clip(patterns[labels] + rng.normal(0, 60, (train + test, pixels)), 0, 255).astype(np.uint8)
    return Task("patterns", Images(images[:train], labels[:train]), Images(images[train:], labels[train:]))


class Recorder(IdealMatrixTarget):
    """An ideal target that remembers what it was asked."""

    def __init__(self, max_level, weight_range):
        super().__init__(max_level, weight_range)
        self.reports, self.trials, self.reads = [], [], []

    def write(self, layers):
        self.reports.append(super().write(layers))
        return self.reports[-1]

    def multiply(self, layer, x, trial):
        self.trials.append((layer, trial))
        return super().multiply(layer, x, trial)

    def read(self, layer, trial):
        self.reads.append(layer)
        return super().read(layer, trial)


def make(n_tasks=2, seed=1, hidden=(20,), batch_norm="per_task", **changes):
    task = made_up_task()
    config = NetworkConfig(hidden=hidden, batch_norm=batch_norm)
    network = Network(config, 36, 10, stream(seed, "init"))
    target = Recorder(config.quantizer.max_level, config.quantizer.weight_range)
    chain = tasks.permuted(task, n_tasks, seed)
    return Trainer(msgspec.structs.replace(CONFIG, **changes), network, chain, target, seed)


def run(trainer, epochs):
    return [trainer.train_epoch() for _ in range(epochs)]


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_task_is_learnt():
    trainer = make(n_tasks=1, epochs=4)
    untrained = trainer.evaluate(0).accuracy
    results = run(trainer, 4)
    found = trainer.evaluate(0)
    assert untrained < 0.4 and found.accuracy > 0.85
    assert results[-1].loss < 0.5 * results[0].loss and results[-1].accuracy > results[0].accuracy
    assert found.accuracy == np.mean(found.decisions == trainer.tasks[0].test.labels)
    assert trainer.task == 1
    with pytest.raises(UserError, match="all 1 tasks are learnt; there is no epoch left"):
        trainer.train_epoch()


@pytest.mark.compiled
def test_consolidation_keeps_the_first_task():
    """Three permuted tasks, five seeds: what is left of the first with and without the rule."""
    kept = {}
    for rule in ("inner_threshold", "none"):
        accuracies = []
        for seed in range(5):
            trainer = make(n_tasks=3, seed=seed, hidden=(60,), epochs=6, rule=rule, strength=3.0)
            run(trainer, 18)
            accuracies.append(trainer.evaluate(0).accuracy)
        kept[rule] = np.mean(accuracies)
    assert kept["inner_threshold"] > kept["none"] + 0.1


def test_only_changes_are_written_and_all_are_counted():
    trainer = make()
    results = run(trainer, 4)
    initial, *later = trainer.target.reports
    assert initial.changed == sum(w.size for w in trainer.network.hidden)
    assert sum(report.changed for report in later) == sum(sum(result.changes) for result in results) > 0
    assert [int(events.sum()) for events in trainer.events] == np.sum([r.changes for r in results], axis=0).tolist()
    for k, levels in enumerate(trainer.network.levels):
        np.testing.assert_array_equal(trainer.target.read(k, 0), trainer.network.config.quantizer.to_weights(levels))


def test_levels_are_those_of_the_hidden_weights():
    trainer = make()
    run(trainer, 1)
    for hidden, levels in zip(trainer.network.hidden, trainer.network.levels, strict=True):
        np.testing.assert_array_equal(levels, trainer.network.config.quantizer.to_levels(hidden))


def test_fewer_writes_when_they_are_rarer_or_have_hysteresis():
    plain, rare, sticky = make(), make(write_every=3), make(hysteresis=0.5)
    changes = [sum(sum(result.changes) for result in run(trainer, 4)) for trainer in (plain, rare, sticky)]
    assert changes[1] < changes[0] and changes[2] < 0.8 * changes[0]
    assert len(rare.target.reports) == 1 + 4 * 6 // 3  # the initial write, then every third of 24 steps
    distance = np.abs(sticky.network.hidden[0] * 7 - sticky.network.levels[0])
    inside = np.abs(sticky.network.hidden[0] * 7) < 7
    assert 0.5 < distance[inside].max() <= 1.0 + 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"write_every": 4, "hysteresis": 0.2},
        {"ewc": EwcConfig(samples=100)},
        {"learning_rate_decay": 0.5},
        {"device_gate": DeviceGateConfig(wear=0.1, read_every=4)},
    ],
)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_resumed_run_has_the_same_bits(changes, epochs):
    """Within a task, at the border of two, and after it."""
    straight = make(**changes)
    expected = [*run(straight, 4), straight.evaluate(0), straight.evaluate(1)]
    first = make(**changes)
    before = run(first, epochs)
    state = first.state()
    run(first, 1)  # what goes on in the first must not reach the state that it gave
    resumed = make(**changes)
    resumed.load_state(state)
    found = [*before, *run(resumed, 4 - epochs), resumed.evaluate(0), resumed.evaluate(1)]
    same(resumed.state(), straight.state())
    assert found[:4] == expected[:4]
    for one, other in zip(found[4:], expected[4:], strict=True):
        np.testing.assert_array_equal(one.decisions, other.decisions)


def test_state_has_a_fixed_layout():
    trainer = make(ewc=EwcConfig(samples=100))
    layout = {name: (array.shape, array.dtype) for name, array in trainer.state().items()}
    run(trainer, 4)
    assert {name: (array.shape, array.dtype) for name, array in trainer.state().items()} == layout


def test_state_of_another_network_is_refused():
    with pytest.raises(UserError, match=r"state\['hidden_0'\] is \(36, 20\); expected shape \(36, 21\)"):
        make(hidden=(21,)).load_state(make().state())
    with pytest.raises(UserError, match=r"state\['fisher_0'\] is missing"):
        make(ewc=EwcConfig(samples=100)).load_state(make().state())


def test_seeds_matter_and_repeat():
    one, again, other = (make(seed=seed) for seed in (1, 1, 2))
    for trainer in (one, again, other):
        run(trainer, 1)
    same(one.state(), again.state())
    assert not np.array_equal(one.network.levels[0], other.network.levels[0])


def test_each_task_is_tested_with_its_own_normalisation():
    trainer = make()
    run(trainer, 2)
    left = [norm.copy() for norm in trainer.network.norms]
    run(trainer, 2)
    assert not np.array_equal(trainer.network.norms[0], left[0])
    own = trainer.evaluate(0).decisions
    trainer.network.norms = left
    shared = make(batch_norm="shared")
    shared.load_state(trainer.state())
    np.testing.assert_array_equal(shared.evaluate(0).decisions, own)
    shared = make(batch_norm="shared")
    run(shared, 4)
    per_task = make()
    per_task.load_state(shared.state())
    np.testing.assert_array_equal(shared.evaluate(1).decisions, per_task.evaluate(1).decisions)
    assert not np.array_equal(shared.evaluate(0).decisions, per_task.evaluate(0).decisions)


def test_each_task_has_a_fresh_optimiser():
    trainer = make()
    run(trainer, 2)
    state = trainer.state()
    assert state["counters"].tolist()[:3] == [1, 0, 0]
    assert not state["moments_0"].any() and not state["adam"].any()


def test_every_run_of_the_array_is_a_new_trial():
    """Noise is drawn anew for each batch; only setting the converters is always trial 0."""
    trainer = make()
    run(trainer, 1)
    trainer.evaluate(0)
    trials = [trial for layer, trial in trainer.target.trials if layer == 0]
    assert trials == [0, *range(1, 7), 0, 7, 8]
    assert [trial for layer, trial in trainer.target.trials if layer == 1] == trials


def test_converters_are_set_anew_while_weights_grow():
    trainer = make(calibrate_every=2)
    run(trainer, 1)
    trials = [trial for layer, trial in trainer.target.trials if layer == 0]
    assert trials == [0, 1, 2, 0, 3, 4, 0, 5, 6]


def test_devices_that_are_written_often_are_harder_to_change():
    """A step of the whole set: nothing has changed before the first one; afterwards a hidden weight that has changed
    its level moves less, if at all, and the others as before."""
    plain, aware = (make(n_tasks=1, epochs=9, batch=300, **gate) for gate in ({}, {"device_gate": WEARS}))
    moved = []
    for trainer in (plain, aware):
        run(trainer, 1)
        before, changed = trainer.network.hidden[0].copy(), trainer.events[0] > 0
        run(trainer, 1)
        moved.append(np.abs(trainer.network.hidden[0] - before))
    assert changed.any()
    assert np.all(moved[1] <= moved[0] + 1e-6) and np.any(moved[1][changed] < 0.9 * moved[0][changed])
    np.testing.assert_allclose(moved[1][~changed], moved[0][~changed], atol=1e-6)


def test_devices_are_read_back_for_the_gate_and_their_errors_count():
    """Devices that all read a third of a step too high: gated as if their distance were that much larger."""

    class TooHigh(Recorder):
        def read(self, layer, trial):
            return super().read(layer, trial) + 1.0 / 21

    trainer = make(device_gate=DeviceGateConfig(read_every=3))
    trainer.target.__class__ = TooHigh
    run(trainer, 1)
    assert trainer.target.reads == [0, 1, 0, 1]
    for errors in (trainer.state()["errors_0"], trainer.state()["errors_1"]):
        np.testing.assert_allclose(errors, 1 / 3, atol=1e-5)
    plain = make()
    run(plain, 1)
    assert np.abs(plain.network.hidden[0] - trainer.network.hidden[0]).max() > 1e-3


def test_learning_rate_decays_within_a_task():
    """The first step of an epoch of a fresh Adam has the length of the rate, here after 0 and after 1 epoch."""
    lengths = []
    for decay in (1.0, 0.25):
        trainer = make(n_tasks=1, batch=300, learning_rate_decay=decay, rule="none")
        run(trainer, 1)
        before = trainer.network.hidden[0].copy()
        run(trainer, 1)
        lengths.append(np.abs(trainer.network.hidden[0] - before).max())
    assert lengths[1] == pytest.approx(0.25 * lengths[0], rel=1e-4)


def test_ewc_pulls_back_in_proportion_to_fisher_information():
    """With batches of the whole set a step's gradient differs from that without EWC by strength F (W - W*)."""
    ewc = EwcConfig(strength=50.0, samples=300)
    pulled, free = make(ewc=ewc, batch=300, epochs=3), make(batch=300, epochs=3)
    for trainer in (pulled, free):
        run(trainer, 3)
    anchor = pulled.network.hidden[0].copy()
    np.testing.assert_array_equal(free.network.hidden[0], anchor)
    run(pulled, 1)  # at the anchor there is no pull: the first step is the same
    run(free, 1)
    np.testing.assert_allclose(pulled.network.hidden[0], free.network.hidden[0], atol=1e-6)
    before = free.network.hidden[0].copy()
    run(pulled, 1)
    run(free, 1)
    fisher = pulled.state()["fisher_0"]
    pull = (pulled.state()["moments_0"][0] - free.state()["moments_0"][0]) / 0.1
    assert fisher.min() >= 0
    np.testing.assert_allclose(pull, 50.0 * fisher * (before - anchor), rtol=0.02, atol=2e-2 * np.abs(pull).max())


def test_read_back_weights_carry_errors_back():
    host, read_back = make(), make(backward="read_back")
    run(host, 1)
    run(read_back, 1)
    assert host.target.reads == [] and read_back.target.reads == [1] * 6
    np.testing.assert_allclose(read_back.network.hidden[0], host.network.hidden[0], atol=0.02)


def test_recipes_fit_their_targets():
    for name in ("mnist_fashion_ideal", "bnn_2021", "mnist_fashion_plain"):
        recipe = KINDS["metaplasticity"].load(name)
        quantizer = recipe.network.quantizer
        small = msgspec.structs.replace(recipe.network, hidden=(12,) * len(recipe.network.hidden))
        network = Network(small, 36, 10, stream(1, "init"))
        target = IdealMatrixTarget(quantizer.max_level, quantizer.weight_range)
        config = msgspec.structs.replace(recipe.training, epochs=1)
        trainer = Trainer(config, network, [made_up_task()], target, 1)
        assert np.isfinite(trainer.train_epoch().loss), name
        assert msgspec.convert(msgspec.to_builtins(recipe.training), TrainingConfig) == recipe.training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda network, task: Trainer(CONFIG, network, [task], IdealMatrixTarget(8, 1.0), 1),
            r"signed levels -8\.\.8 up to a weight of 1, but network\.quantizer\.levels = 15 takes -7\.\.7 up to 1",
        ),
        (
            lambda network, task: Trainer(CONFIG, network, [made_up_task(pixels=16)], IdealMatrixTarget(7, 1.0), 1),
            "task 'patterns' has images of 16 pixels, the network 36 inputs; make them equal",
        ),
        (
            lambda network, task: Trainer(
                msgspec.structs.replace(CONFIG, batch=301), network, [task], IdealMatrixTarget(7, 1.0), 1
            ),
            "training.batch = 301 is more than the 300 training images of 'patterns'; lower it",
        ),
        (
            lambda network, task: Trainer(
                msgspec.structs.replace(CONFIG, ewc=EwcConfig()), network, [task], IdealMatrixTarget(7, 1.0), 1
            ),
            "training.ewc.samples = 5000 is more than the 300 training images of 'patterns'; lower it",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    network = Network(NetworkConfig(hidden=(8,), quantizer=Quantizer(15)), 36, 10, stream(1, "init"))
    with pytest.raises(UserError, match=message):
        call(network, made_up_task())


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"backward": "read_back"}, "training.backward = 'read_back'"),
        ({"device_gate": DeviceGateConfig(read_every=1)}, "training.device_gate.read_every"),
    ],
)
def test_reading_back_needs_a_target_that_can(change, option):
    network = Network(NetworkConfig(hidden=(8,)), 36, 10, stream(1, "init"))
    target = IdealMatrixTarget(7, 1.0)
    target.capabilities = target.capabilities._replace(reads_back=False)
    config = msgspec.structs.replace(CONFIG, **change)
    with pytest.raises(UserError, match=f"{option} needs a target that can be read back; this one can't: leave it out"):
        Trainer(config, network, [made_up_task()], target, 1)
