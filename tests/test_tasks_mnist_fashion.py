"""MNIST, then Fashion-MNIST as a NeuroBench task: a small network on few images."""

import json

import pytest

import neurohil as nh
from benchmarks.tasks import mnist_fashion

SMALL = ("network.hidden=[16]", "tasks.train_images=300", "tasks.test_images=100", "training.test_batch=50")
WEIGHTS = 784 * 16 + 16 * 10


@pytest.fixture(scope="module")
def scored():
    return {target: mnist_fashion.score(target, 1, 1, None, SMALL) for target in mnist_fashion.EXPERIMENTS}


def test_both_tasks_are_tested(scored):
    for results in scored.values():
        by_task = results["AccuracyByTask"]
        assert list(by_task) == ["mnist", "fashion_mnist"]
        assert results["ClassificationAccuracy"] == pytest.approx(sum(by_task.values()) / 2)
        assert results["metadata"]["samples"] == 200 and results["metadata"]["batch_size"] == 50
        assert results["SynapticOperations"]["Dense"] == WEIGHTS
        assert 0 < results["SynapticOperations"]["Effective_MACs"] < WEIGHTS


def test_accuracy_is_that_of_the_experiment(scored):
    """On ideal weights nothing is random in a test: the last one of the training says the same."""

    overrides = ["seed=1", "training.epochs=1", *SMALL]
    run = nh.experiment("mnist_fashion_ideal", overrides).start().train()
    assert scored["ideal"]["AccuracyByTask"] == run.result.test_accuracy


def test_memory_on_each_target(scored):
    """int8 levels, gains and biases of 8 bytes, hidden weights of 4; pairs of 8 levels; pairs of 6-bit synapses."""
    norms = 2 * (16 + 10)
    for target, bits, devices in (("crossbar", 6.0, 2), ("chip", 12.0, 0)):
        results = scored[target]
        assert results["Footprint"] == WEIGHTS + 8 * norms + 4 * WEIGHTS
        assert results["TrueFootprint"]["Bits"] == pytest.approx(WEIGHTS * (bits + 32) + 64 * norms)
        assert results["TrueFootprint"]["Devices"] == devices * WEIGHTS
    assert scored["ideal"]["TrueFootprint"]["Devices"] == 0


def test_labels(scored):
    for target, kind in (("ideal", "computed"), ("crossbar", "emulated"), ("chip", "emulated")):
        words = dict(scored[target]["metadata"]["provenance"])
        assert words.pop("SystemTrackModelled", "modelled") == "modelled"
        assert set(words.values()) == {kind}
    assert "SystemTrackModelled" not in scored["ideal"]


def test_modelled_system_of_the_crossbar(scored):
    """Per sample a vector a layer, 784 and 16 rows, nothing is written; 1 pJ a pulse while learning."""
    track = scored["crossbar"]["SystemTrackModelled"]
    counts = track["Inference"]["Counts"]
    assert counts["pulses"] == 0 and counts["vectors"] == 2 and counts["dac_conversions"] == 784 + 16
    parts = track["Inference"]["EnergyByPart_J"]
    assert parts["pulse"] == 0
    assert parts["conversion"] == pytest.approx(counts["conversions"] * 2e-12)
    learnt = track["Learning"]
    assert learnt["EnergyByPart_J"]["pulse"] == pytest.approx(learnt["Counts"]["pulses"] * 1e-12) and learnt["Time_s"]
    assert scored["crossbar"]["metadata"]["costs"]["crossbar.conversion_pJ"]["source"] == "assumed"


def test_modelled_system_of_the_chip(scored):
    """Seven blocks of 128 inputs and one, two at a time: 4 + 1 vectors a sample, and 5 runs a batch of 50."""
    track = scored["chip"]["SystemTrackModelled"]["Inference"]
    assert track["Counts"]["vectors"] == 5 and track["Counts"]["runs"] == pytest.approx(5 / 50)
    assert track["Counts"]["cadc_conversion"] == 5 * 512 * 2
    assert track["Power_W"] == pytest.approx(0.696)
    assert track["Time_s"] > 5 * 10e-6  # reading 5 vectors takes 10 us each


def test_command_writes_results(tmp_path, monkeypatch, capsys):
    whole = mnist_fashion.score
    monkeypatch.setattr(mnist_fashion, "score", lambda *given: whole(*given, SMALL))
    costs = tmp_path / "own.toml"
    costs.write_text("[crossbar.pulse_pJ]\nvalue = 7.0\nunit = 'pJ'\nsource = 'me'\nverified = 'no'\n")
    arguments = ["--target", "crossbar", "--epochs", "1", "--costs", str(costs), "--out", str(tmp_path / "out")]
    mnist_fashion.main(arguments)
    (path,) = (tmp_path / "out").iterdir()
    results = json.loads(path.read_text())
    assert path.name == "mnist_fashion_crossbar.json"
    assert results["metadata"]["quick"] == "seeds: 1 of 3, epochs: 1 of 8"
    assert results["metadata"]["costs"]["crossbar.pulse_pJ"]["source"] == "me"
    learnt = results["SystemTrackModelled"]["Learning"]
    assert learnt["EnergyByPart_J"]["pulse"] == pytest.approx(learnt["Counts"]["pulses"] * 7e-12)
    assert "emulated crossbar" in capsys.readouterr().out


def test_bad_input_is_named(tmp_path):
    with pytest.raises(SystemExit, match="mnist_fashion: --epochs 0: give at least 1"):
        mnist_fashion.main(["--epochs", "0", "--out", str(tmp_path)])
