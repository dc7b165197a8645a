"""Quick runs leave alone what is tracked: results of whole protocols and the pages made of them."""

import hashlib
from pathlib import Path

import pytest

from benchmarks.tasks import chaotic, mnist_fashion, qubo, yin_yang
from benchmarks.tasks.seeds import RESULTS, results_folder
from neurohil.datasets import mackey_glass
from neurohil.neurobench.benchmark import Results

ROOT = Path(__file__).parent.parent
TRACKED = [*sorted(RESULTS.glob("*.json")), ROOT / "docs" / "leaderboard.md"]


def digests():
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in TRACKED]


def made(name):
    """A result as the training tasks make it, but at once."""
    about = {"task": {"name": name, "seed": 1}, "model": name}
    return Results({"ClassificationAccuracy": 0.5, "AccuracyByTask": {}, "metadata": about})


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for task in (yin_yang, mnist_fashion):
        monkeypatch.setattr(task, "score", lambda name, *rest: made(name))
    return tmp_path / "runs" / "neurobench"


@pytest.mark.parametrize(
    ("task", "arguments", "written"),
    [
        (chaotic, ["esn", "--repeats", "1", "--reservoirs", "1"], "chaotic_esn_17.json"),
        (chaotic, ["esn", "--all", "--repeats", "1", "--reservoirs", "1"], "chaotic_esn_all.json"),
        (qubo, ["tabu", "--sizes", "10", "--densities", "0.1"], "qubo_tabu.json"),
        (qubo, ["tabu", "--all", "--sizes", "10", "--seeds", "0", "--densities", "0.1"], "qubo_tabu.json"),
        (yin_yang, ["--target", "ideal"], "yin_yang_weights.json"),
        (yin_yang, ["--full", "--epochs", "1"], "chip_yin_yang_axonal.json"),
        (mnist_fashion, [], "mnist_fashion_crossbar.json"),
        (mnist_fashion, ["--full", "--seeds", "1"], "mnist_fashion_chip.json"),
    ],
)
def test_a_quick_result_goes_to_runs(task, arguments, written, elsewhere, monkeypatch):
    monkeypatch.setattr(mackey_glass, "PARAMETERS", {17: mackey_glass.PARAMETERS[17]})
    before = digests()
    task.main(arguments)
    assert (elsewhere / written).is_file()
    assert digests() == before


def test_a_whole_result_goes_to_the_tracked_ones_and_a_folder_that_was_chosen_holds():
    assert results_folder(None, whole=True) == RESULTS
    assert RESULTS == ROOT / "benchmarks" / "results"
    assert results_folder(Path("mine"), whole=True) == results_folder(Path("mine"), whole=False) == Path("mine")
