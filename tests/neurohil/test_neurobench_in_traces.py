"""What a trace says by NeuroBench's metrics is what the benchmark of the same network says."""

import json
import re

import numpy as np
import pytest

import neurohil
from benchmarks.tasks import mnist_fashion, yin_yang
from neurohil.cli import main
from neurohil.results import report as write_report
from neurohil.trace import Trace
from neurohil.trace.validation import validate

NAMES = ("Footprint", "ParameterCount", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations")
SMALL = ("network.hidden=[16]", "tasks.train_images=300", "tasks.test_images=100", "training.test_batch=50")
YIN_YANG = ("yin_yang_weights", "chip_yin_yang_axonal")
RUNS = {
    **{name: ["delgrad", name] for name in YIN_YANG},
    **{
        target: ["metaplasticity", name, *(word for change in SMALL for word in ("--set", change))]
        for target, name in mnist_fashion.EXPERIMENTS.items()
    },
}


@pytest.fixture(scope="module")
def summaries():
    """Path of the trace, and the line of results, of each run that was asked for already."""
    return {}


@pytest.fixture
def run(request, summaries, tmp_path_factory, monkeypatch, capsys):
    """Path of the trace, and the summary, of a run with one epoch (of each task), without its picture."""
    name = request.param
    if name not in summaries:
        monkeypatch.setattr("neurohil.delgrad.picture.draw_delgrad", lambda *_: None)
        monkeypatch.setattr("neurohil.metaplasticity.picture.draw_metaplasticity", lambda *_, **__: None)
        path = tmp_path_factory.mktemp(name) / "run.h5"
        assert not main([*RUNS[name], "--seed", "1", "--epochs", "1", "--out", str(path), "--json"])
        summaries[name] = path, capsys.readouterr().out.splitlines()[-1]
    path, line = summaries[name]
    return name, path, json.loads(line)


@pytest.mark.compiled
@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_trace_summary_page_and_benchmark_agree(run, monkeypatch):
    name, path, summary = run
    if name in YIN_YANG:
        scored = yin_yang.score(name, 1, 1)
    else:
        scored = mnist_fashion.score(name, 1, 1, None, SMALL)
    told = summary["neurobench"]
    assert tuple(told) == NAMES
    for metric in NAMES:
        # On arrays and on chips each reading has its own noise.
        noise = 0 if name in ("ideal", "yin_yang_weights") or metric in NAMES[:3] else 0.02
        assert told[metric] == pytest.approx(scored[metric], rel=noise, abs=1e-12)
    assert 0 < told["SynapticOperations"]["Effective_MACs"] + told["SynapticOperations"]["Effective_ACs"]

    flat = {f"SynapticOperations_{part}": n for part, n in told.pop("SynapticOperations").items()} | told
    with Trace(path) as trace:
        stored = {p.rpartition("/")[2]: trace[p].item() for p in trace.paths if p.startswith("run/neurobench/")}
    assert stored == flat
    assert validate(path) == []

    monkeypatch.setattr("neurohil.trace.report.page.views", lambda *_: [])  # of the page, only its tables are looked at
    page = write_report(path).read_text(encoding="utf-8")
    _, table = re.split("<caption>neurobench</caption>", page, flags=re.IGNORECASE)
    table = table.partition("</table>")[0]
    assert table.count("<tr>") == 1 + len(flat)
    assert f"<td>{flat['Footprint']}</td><td>byte</td>" in table.replace("\n", "")
    assert "per test sample" in table


@pytest.mark.compiled
@pytest.mark.parametrize("run", YIN_YANG, indirect=True)
def test_counting_comes_after_the_results(run):
    """Dense operations: every synapse at each of 300 declared steps. The chip's time is without the count."""
    name, path, summary = run
    weights = 4 * 30 + 30 * 3 if name == "yin_yang_weights" else 20 * 30 + 30 * 3
    assert summary["neurobench"]["SynapticOperations"]["Dense"] == 300 * weights
    if name == "chip_yin_yang_axonal":
        assert summary["neurobench"]["ParameterCount"] == weights + 20 + 30
        # An epoch of 5000 samples and validation on 1000, then validation and test.
        assert summary["chip_seconds"] == pytest.approx((5000 + 3 * 1000) * 180e-6)
    with Trace(path) as trace:
        said = trace.attributes("run/neurobench/SynapticOperations_Dense")["long_name"]
    assert "300 steps of 0.1 tau_s" in (said.decode() if isinstance(said, bytes) else str(said))


@pytest.mark.parametrize(("name", "more"), [("fashion_stream", "tasks.n_tasks=2"), ("mnist_fashion_ideal", "seed=2")])
def test_the_network_of_the_last_test_is_counted(name, more, monkeypatch):
    """Shared normalisation, and that of each task: on ideal weights a test shows what is counted."""
    run = neurohil.experiment(name, ["training.epochs=1", *SMALL, more]).start().train()
    hidden, forward = [], run.network.forward

    def watched(target, inputs, norms, trial, calibrate=False):
        seen = forward(target, inputs, norms, trial, calibrate=calibrate)
        if not calibrate:
            hidden.extend(layer.inputs for layer in seen[1:])
        return seen

    monkeypatch.setattr(run.network, "forward", watched)
    run.test()
    expected = np.mean(np.concatenate(hidden) == 0)
    monkeypatch.undo()
    assert 0.05 < expected < 0.95
    assert run.neurobench()["ActivationSparsity"] == pytest.approx(expected, abs=1e-12)
