"""The page from made-up results, and published rows against what was published."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.tasks import chaotic, leaderboard
from benchmarks.tasks.published import LEADERBOARD, PUBLISHED

ROOT = Path(__file__).parent.parent


def result(task="chaotic function prediction", kind="computed", data="regenerated", seed=1, values=None, **about):
    values = values or {
        "Footprint": 1234.0,
        "ConnectionSparsity": 0.25,
        "SMAPE": 9.876,
        "ActivationSparsity": 0.5,
        "SynapticOperations": {"Effective_MACs": 12.0, "Effective_ACs": 3.4e-2, "Dense": 2.5e7},
    }
    task_about = {"name": task, "version": "1.0", "data": data, "seed": seed}
    return values | {"metadata": {"task": task_about, "provenance": dict.fromkeys(values, kind), **about}}


def row(page, start):
    """Cells of the one line that starts so."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in line.strip("| ").split("|")]


def write(folder, **results):
    for name, content in results.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_our_row_stands_beside_the_published_ones():
    page = leaderboard.page({"mine": result(model="my model", seed=[1, 2])})
    assert row(page, "**my model**") == [
        "**my model**", "sMAPE 9.88", "1234", "0.250", "0.500", "2.5e7", "12", "0.034",
        "computed, regenerated data, mean of 2 seeds",
    ]  # fmt: skip
    # NeuroBench leaderboard, harness 2.3.0.
    assert row(page, "LSTM")[1:8] == ["sMAPE 13.37", "4.90e5", "0.000", "0.530", "60300", "60300", "0"]
    assert row(page, "echo-state network")[1:8] == ["sMAPE 14.79", "2.81e5", "0.876", "0.000", "35200", "4370", "0"]
    assert row(page, "LSTM")[8].startswith("published, official data")
    section = page.split("## ")[1]
    assert section.startswith("Chaotic") and "my model" in section and "LSTM" in section


def test_published_rows_agree_with_the_task():
    for row_, numbers in zip(PUBLISHED["chaotic function prediction"], chaotic.PUBLISHED.values(), strict=True):
        assert (float(row_.correctness.split()[1]), row_.dense, row_.macs) == numbers


# Leaderboard and examples of harness 2.3.0: task, model, correctness, activation sparsity, Dense, MACs, ACs.
QUOTED = [
    ("keyword FSCIL", "M5 ANN", "97.09 % / 89.27 %", 0.783, 2.59e7, 7.85e6, 0),
    ("keyword FSCIL", "SNN", "93.48 % / 75.27 %", 0.916, 3.39e6, 0, 3.65e5),
    ("event camera object detection", "RED ANN", "mAP 0.429", 0.634, 2.84e11, 2.48e11, 0),
    ("event camera object detection", "hybrid", "mAP 0.271", 0.613, 9.85e10, 3.76e10, 5.60e8),
    ("NHP motor prediction", "GRU-t1", "R2 0.707", 0.0, 22342, 8518, 793),
    ("NHP motor prediction", "bigSNN", "R2 0.698", 0.968, 1206272, 0, 42003),
    ("NHP motor prediction", "tinyRSNN", "R2 0.66", 0.984, 13440, 0, 304),
    ("NHP motor prediction", "ANN baseline, Loco", "R2 0.558", 0.668, 7776, 6103, 0),
    ("NHP motor prediction", "SNN 3D, mean of 6", "R2 0.633", 0.788, 43680, 32256, 5831),
    ("Google Speech Commands", "M5 ANN", "86.53 %", 0.385, 1880256, 1728071, 0),
    ("DVS gesture", "conv SNN", "86.36 %", 0.951, 891206400, 9227012, 30564618),
    ("human activity", "feed-forward SNN", "87.80 %", 0.737, 397680, 7680, 157819),
]


@pytest.mark.parametrize("quoted", QUOTED)
def test_published_rows_equal_the_reference(quoted):
    task, model, *numbers = quoted
    (found,) = [row for row in PUBLISHED[task] if row.model == model]
    assert [found.correctness, found.activation_sparsity, found.dense, found.macs, found.acs] == numbers


def test_every_official_task_has_its_rows():
    """The four benchmarks of leaderboard.rst and their methods, baselines of two monkeys apart."""
    official = {task: [row for row in rows if row.source == LEADERBOARD] for task, rows in PUBLISHED.items()}
    assert {task: len(rows) for task, rows in official.items() if rows} == {
        "keyword FSCIL": 2, "event camera object detection": 2, "NHP motor prediction": 9,
        "chaotic function prediction": 2,
    }  # fmt: skip


def test_delgrad_rows_are_those_of_the_results_page():
    text = (ROOT / "docs" / "results.md").read_text()
    rows = {row.model: row.correctness for row in PUBLISHED["Yin-Yang"]}
    assert f"{rows['DelGrad, weights, software']} (weights)" in text
    assert "**measured on the chip** 84.9 % (weights only) and 92.6 %\n(axonal delays)" in text
    assert rows["DelGrad, weights, measured on the chip"] == "84.9 %"
    assert rows["DelGrad, weights and axonal delays, measured on the chip"] == "92.6 %"


def test_every_published_task_stands_on_the_page_once():
    page = leaderboard.page({"mine": result()})
    for task, rows in PUBLISHED.items():
        for published in rows:
            name = published.model if task == "chaotic function prediction" else f"{task}: {published.model}"
            assert row(page, name)[1] == published.correctness


def test_labels():
    values = {"ClassificationAccuracy": 0.5, "AccuracyByTask": {"a": 0.967, "b": 0.845}, "SystemTrackModelled": {}}
    emulated = result("t", "emulated", "official", values=values, quick="seeds: 1 of 3", model="m", costs={})
    emulated["metadata"]["provenance"]["SystemTrackModelled"] = "modelled"
    cells = row(leaderboard.page({"x": emulated}), "**m**")
    assert cells[1] == "96.7 % / 84.5 %"
    assert cells[8] == "emulated, official data, **quick** (seeds: 1 of 3)"
    short = result(repeats=3, hyperparameters={"units": 9}, tau=18, crossbar={})
    assert "**quick** (offsets: 3 of 30)" in leaderboard.page({"x": short})
    assert "**echo-state network of 9 units, tau = 18, emulated crossbar**" in leaderboard.page({"x": short})
    assert "quick" not in row(leaderboard.page({"x": result(repeats=30)}), "**x**")[8]


def qubo(solver, costs, clock="measured on the host", **about):
    runs = [
        {"n": n, "cost": cost, "target": target, "target_proven": n <= 50}
        for n, cost, target in zip((10, 10, 100), costs, (-5, -5, -40), strict=True)
    ]
    return result(
        "QUBO maximum independent set", "computed", "generated", values={"BKSGap": {}}, solver=solver, clock=clock,
        timeout_s=0.5, runs=runs, **about,
    )  # fmt: skip


def test_qubo_gaps_by_size_and_solver():
    """Gaps by hand: (0 + 1/5) / 2, 2/40; one of two proven optima."""
    page = leaderboard.page({
        "qubo_a": qubo("a", (-5, -4, -38), graph_seeds=[0, 1, 2, 3, 4]),
        "qubo_spiking": qubo("spikes", (-5, -5, -40), "modelled", graph_seeds=[0]),
    })  # fmt: skip
    assert row(page, "solver") == [
        "solver", "gap, 10 nodes", "gap, 100 nodes", "proven optima reached", "what it is",
    ]  # fmt: skip
    assert row(page, "a")[1:4] == ["0.1000", "0.0500", "1/2"]
    assert row(page, "a")[4] == "computed, generated as published; clock measured on the host, 0.5 s"
    assert row(page, "spikes")[1:4] == ["0.0000", "0.0000", "2/2"]
    assert "quick** (graph seeds: 1 of 5); clock modelled" in row(page, "spikes")[4]


def test_modelled_energy_of_the_spiking_solver():
    """250 us of the chip at 200 mW are 50 uJ, 750 us 150 uJ; single events cost nothing in the shipped table."""
    spiking = qubo("spikes", (-5, -5, -40), "modelled")
    spiking["metadata"]["provenance"] = {"BKSGap": "emulated", "TimeToSolution": "modelled"}
    for run, chip_s in zip(spiking["metadata"]["runs"], (250e-6, 750e-6, 2e-3), strict=True):
        run.update(chip_s=chip_s, spikes=9, synaptic_events=99, input_events=4)
    page = leaderboard.page({"qubo_a": qubo("a", (-5, -4, -38)), "qubo_spiking": spiking})
    assert "| spikes | 100 uJ | 400 uJ | modelled |" in page
    assert "emulated, generated as published; clock modelled" in page


def test_modelled_system_track():
    phase = {"Time_s": 180e-6, "Energy_J": 36e-6, "Power_W": 0.2, "BoardEnergy_J": None}
    total = {"Time_s": 2.5, "Energy_J": 0.0, "Power_W": None, "BoardEnergy_J": 1890.0}
    costs = {"spiking.chip_power": {"value": 200.0, "unit": "mW", "source": "somebody", "verified": "abstract only"}}
    values = {"SMAPE": 1.0, "SystemTrackModelled": {"Learning": total, "Inference": phase}}
    page = leaderboard.page({"x": result(values=values, model="m", costs=costs)})
    assert "| m | Inference, per sample | 180 us | 36 uJ | 200 mW |  | modelled |" in page
    assert "| m | Learning, in total | 2.5 s | 0 J |  | 1.89 kJ | modelled |" in page
    assert "| spiking.chip_power | 200 mW | somebody | abstract only |" in page
    assert "no measurement" in page


def test_command_writes_the_page(tmp_path, capsys):
    write(tmp_path, chaotic_mine=result())
    out = tmp_path / "page.md"
    leaderboard.main(["--results", str(tmp_path), "--out", str(out)])
    assert "**chaotic_mine**" in out.read_text() and [path.name for path in tmp_path.glob("*.md*")] == ["page.md"]
    assert "is up to date" in capsys.readouterr().out


def test_shipped_page_is_made_of_the_shipped_results():
    """So that no number on it was typed by hand."""
    page = (ROOT / "docs" / "leaderboard.md").read_text()
    made = leaderboard.page(leaderboard.load_results(ROOT / "benchmarks" / "results"))
    assert page == made, "results have changed: python -m benchmarks.tasks.leaderboard"
    assert max(len(line) for line in page.splitlines() if not line.startswith("|")) <= 120
    assert not re.search(r"\bnan\b|\bNone\b", page)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no results; run `make neurobench`"),
        ("{", "mine.json is no result of a task"),
        ("{}", r"mine.json is no result of a task \(KeyError\('metadata'\)\); run the task again, or delete it"),
        ('{"metadata": {"task": null}}', "mine.json is no result of a task"),
        ('{"metadata": {"task": {"name": 3}}}', "metadata.task.name = 3 is no name"),
    ],
)
def test_bad_results_are_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "mine.json").write_text(content)
    with pytest.raises(SystemExit, match=message):
        leaderboard.main(["--results", str(tmp_path), "--out", str(tmp_path / "page.md")])
    assert not (tmp_path / "page.md").exists()


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    write(tmp_path, mine=result())
    with pytest.raises(SystemExit, match=r"page.md can't be written \(No such file or directory\)"):
        leaderboard.main(["--results", str(tmp_path), "--out", str(tmp_path / "none" / "page.md")])
