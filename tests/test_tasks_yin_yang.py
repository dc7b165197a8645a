"""Yin-Yang as a NeuroBench task, for one or two epochs."""

import json
import subprocess
import sys

import pytest

from benchmarks.tasks import yin_yang
from benchmarks.tasks.seeds import over_seeds, quick_note, save
from neurohil.neurobench.benchmark import Results

EPOCHS = 1


@pytest.fixture(scope="module")
def chip():
    return yin_yang.score("chip_yin_yang_axonal", 1, EPOCHS)


@pytest.mark.compiled
def test_ideal_neurons_are_counted():
    results = yin_yang.score("yin_yang_weights", 1, EPOCHS)
    n = 4 * 30 + 30 * 3
    assert results["ParameterCount"] == n and results["Footprint"] == 8 * n
    steps = 300  # 30 tau_s in steps of 0.1
    assert results["SynapticOperations"]["Dense"] == n * steps
    # Every sample has 4 input spikes on 30 neurons, and at most 30 spikes on 3.
    assert 4 * 30 <= results["SynapticOperations"]["Effective_ACs"] <= n
    assert 1 - 33 / (33 * steps) <= results["ActivationSparsity"] <= 1
    assert results["ClassificationAccuracy"] > 1 / 3
    assert "SystemTrackModelled" not in results
    assert results["metadata"]["provenance"]["ClassificationAccuracy"] == "computed"


@pytest.mark.compiled
def test_chip_is_labelled_and_counted(chip):
    n, delays = 20 * 30 + 30 * 3, 20 + 30
    assert chip["ParameterCount"] == n + delays
    assert chip["TrueFootprint"]["Bits"] == 12 * n + 8 * delays
    words = chip["metadata"]["provenance"]
    assert words.pop("SystemTrackModelled") == "modelled"
    assert set(words.values()) == {"emulated"}
    assert chip["metadata"]["samples"] == 1000


@pytest.mark.compiled
def test_modelled_system_of_the_chip(chip):
    """A slot of 180 us at 200 mW; 20 input events of each sample come over the link."""
    track = chip["SystemTrackModelled"]
    assert track["Inference"]["Time_s"] == pytest.approx(180e-6)
    assert track["Inference"]["Energy_J"] == pytest.approx(180e-6 * 0.2)
    assert track["Loading"]["Counts"]["link_event"] == 20
    events = chip["SynapticOperations"]["Effective_ACs"]
    assert track["Inference"]["Counts"]["synaptic_event"] == pytest.approx(events)
    # One epoch of 5000 samples, validation on 1000, then validation and test once more.
    assert track["Learning"]["Counts"]["link_event"] > (5000 + 3 * 1000) * 20
    slots_s = (5000 + 3 * 1000) * 180e-6
    assert slots_s < track["Learning"]["Time_s"] < 1.2 * slots_s
    assert chip["metadata"]["costs"]["spiking.chip_power"]["verified"] == "abstract only"


@pytest.mark.compiled
def test_command_writes_results(tmp_path, capsys):
    costs = tmp_path / "own.toml"
    costs.write_text("[spiking.chip_power]\nvalue = 100.0\nunit = 'mW'\nsource = 'me'\nverified = 'no'\n")
    yin_yang.main(["--target", "chip", "--epochs", "1", "--costs", str(costs), "--out", str(tmp_path / "out")])
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert set(written) == {"chip_yin_yang_weights", "chip_yin_yang_axonal"}
    results = written["chip_yin_yang_weights"]
    assert results["metadata"]["quick"] == "seeds: 1 of 5, epochs: 1 of 300"
    assert results["SystemTrackModelled"]["Inference"]["Power_W"] == pytest.approx(0.1)
    assert "emulated, each seed its chip" in capsys.readouterr().out


def test_mean_over_seeds():
    def run(seed, accuracy):
        about = {"task": {"name": "t", "seed": seed}, "samples": 4, "of_seed": seed}
        operations = {"Dense": None, "Effective_ACs": 10.0 * seed}
        values = {"ClassificationAccuracy": accuracy, "SynapticOperations": operations}
        return Results(values | {"metadata": about})

    mean = over_seeds([run(1, 0.5), run(2, 0.75)])
    assert mean["ClassificationAccuracy"] == 0.625
    assert mean["SynapticOperations"] == {"Dense": None, "Effective_ACs": 15.0}
    assert mean["metadata"]["task"]["seed"] == [1, 2]
    assert mean["metadata"]["runs"][1] == {"seed": 2, "ClassificationAccuracy": 0.75}
    assert mean["metadata"]["samples"] == 4 and "of_seed" not in mean["metadata"]


def test_the_whole_protocol_is_not_quick():
    assert quick_note(5, 300, 5, 300) is None
    assert quick_note(5, 60, 5, 300) == "seeds: 5 of 5, epochs: 60 of 300"


def test_a_quick_result_never_replaces_a_whole_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for quick, accuracy in ((None, 0.9), ("seeds: 1 of 5", 0.7)):
        save(Results({"ClassificationAccuracy": accuracy, "metadata": {"quick": quick}}), tmp_path / "kept", "x")
    assert json.loads((tmp_path / "kept" / "x.json").read_text())["ClassificationAccuracy"] == 0.9
    assert json.loads((tmp_path / "runs" / "neurobench" / "x.json").read_text())["ClassificationAccuracy"] == 0.7
    assert "x.json is of the whole protocol and stays" in capsys.readouterr().out
    save(Results({"ClassificationAccuracy": 0.95, "metadata": {"quick": None}}), tmp_path / "kept", "x")
    assert json.loads((tmp_path / "kept" / "x.json").read_text())["ClassificationAccuracy"] == 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "yin_yang: --seeds 0: give at least 1"),
        (["--epochs", "-1"], "yin_yang: --epochs -1: give at least 1"),
        (["--costs", "none.toml"], "yin_yang: costs: none.toml can't be read"),
    ],
)
def test_bad_input_is_named(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        yin_yang.main([*arguments, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_help_is_quick():
    code = (
        "import sys, benchmarks.tasks.yin_yang, benchmarks.tasks.mnist_fashion, benchmarks.tasks.leaderboard; "
        "print({'numba', 'scipy', 'numpy', 'h5py', 'simpy', 'msgspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
