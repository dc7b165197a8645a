"""`neurohil warm`: afterwards no run that is shipped compiles anything."""

import json
import subprocess
import sys

import pytest

from neurohil import warming
from neurohil.cli import main
from neurohil.config import experiment_summaries
from neurohil.kinds import KINDS
from neurohil.warming import Done, Job, jobs

# Signatures of all kernels that a process knows, whether compiled here or taken from the cache.
AFTERWARDS = """
import json
import sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from neurohil.cli import main
from neurohil.warming import jobs

def known():
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(("brain", "memri", "neuro"))]
    kernels = {thing for module in modules for thing in vars(module).values() if isinstance(thing, Dispatcher)}
    return {f"{kernel.__module__}.{kernel.__name__}{sig}" for kernel in kernels for sig in kernel.signatures}

for job in jobs():
    job.run()
before = known()
for run in sys.argv[1:]:
    main(run.split())
Path("kernels.json").write_text(json.dumps([len(before), sorted(known() - before)]))
"""
RUNS = [
    "delgrad chip_yin_yang_axonal --epochs 1",
    "delgrad yin_yang_synaptic --epochs 1",
    "crossbar program",
    "metaplasticity mnist_fashion_crossbar --epochs 1 --set network.hidden=[16] --set tasks.train_images=300 "
    "--set tasks.test_images=100 --set training.write_every=1",
]


def test_each_shipped_experiment_has_a_job():
    found = [(job.kind, job.experiment) for job in jobs()]
    assert found == [(kind.name, name) for kind in KINDS.values() for name in experiment_summaries(kind.folder)]
    assert {job.target for job in jobs()} == {"brainscales", "ideal", "crossbar", "chip_bench"}


@pytest.mark.compiled
def test_a_run_finds_all_kernels_that_it_needs(tmp_path):
    subprocess.run([sys.executable, "-c", AFTERWARDS, *RUNS], cwd=tmp_path, capture_output=True, check=True)
    count, new = json.loads((tmp_path / "kernels.json").read_text())
    assert count > 10 and new == []


def test_lines_are_printed_off_a_terminal_too(capsys, monkeypatch):
    job = Job("delgrad", "yin_yang_axonal", "ideal")
    monkeypatch.setattr(warming, "jobs", lambda: [job, job])
    monkeypatch.setattr(warming, "warm", lambda: iter([Done(job, 1.25, ""), Done(job, 0.0, "no data")]))
    assert main(["warm"]) == 0
    _, first, second, last = capsys.readouterr().out.splitlines()
    assert first.split() == ["1", "of", "2", "delgrad", "yin_yang_axonal", "1.2", "s"]
    assert second.endswith(" left out: no data") and last.startswith("done in ")


def test_what_cannot_run_here_is_told():
    lacking = warming.done(Job("delgrad", "no_such_experiment", "ideal"))
    assert lacking.seconds == 0.0 and "unknown experiment" in lacking.lacks


def test_without_the_compiler_there_is_nothing_to_do(monkeypatch, capsys):
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert main(["warm"]) == 2
    assert "NUMBA_DISABLE_JIT" in capsys.readouterr().err
