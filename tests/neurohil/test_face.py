"""The front door: what a stranger types into Python, and what objects show of themselves."""

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import neurohil as nh
from neurohil.datasets import yin_yang
from neurohil.trace import Trace

SMALL = {"network": {"hidden": 5}, "epochs": 2}


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    whole = {name: yin_yang.load(name) for name in ("train", "validation", "test")}
    few = {name: yin_yang.YinYang(split.samples[:60], split.labels[:60]) for name, split in whole.items()}
    monkeypatch.setattr(yin_yang, "load", few.__getitem__)


def test_to_import_it_loads_nothing_heavy():
    script = "import sys, neurohil; print({'numpy', 'numba', 'h5py', 'msgspec', 'brainscales_emu'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stdout.strip() == "set()", done.stderr
    assert set(nh.__all__) <= set(dir(nh))
    with pytest.raises(AttributeError, match=r"^module 'neurohil' has no attribute 'trian'; it has .*train"):
        _ = nh.trian


@pytest.mark.compiled
def test_a_run_with_a_trace(tmp_path):
    path = tmp_path / "runs" / "a.h5"
    run = nh.train("chip_yin_yang_axonal", serial=7, trace=path, **SMALL)
    with Trace(path) as trace:
        assert trace.complete and run.result.test_accuracy == trace["run/results/test_accuracy"]
        assert "serial = 7" in trace.config and "epochs = 2" in trace.config and "hidden = 5" in trace.config
    assert dict(run.result)["tested_epoch"] == run.result["tested_epoch"] == 2
    assert run.config.target.serial == 7 and run.path == path and run.epochs_done == 2
    assert repr(run) == "<delgrad 'chip_yin_yang_axonal': 2 of 2 epochs done>"
    assert repr(run.result).startswith("chip_yin_yang_axonal: 2 epochs, seed 1, emulated chip w66f3, serial 7\n")
    assert "test accuracy" in run.result._repr_html_() and run._repr_html_() == run.result._repr_html_()
    with pytest.raises(AttributeError, match="there is no result 'accuracy'; there are test_accuracy, "):
        _ = run.result.accuracy
    picture = run.plot()
    assert picture._repr_png_().startswith(b"\x89PNG") and "PNG of" in repr(picture)
    plot = nh.open(path).plot("accuracy")
    for other in (plot, picture, plot, picture):
        assert other.save(tmp_path / "a.png").read_bytes() == other.png
    foreign = tmp_path / "thesis.png"
    foreign.write_bytes(b"\x89PNG\r\n\x1a\nmine")
    with pytest.raises(nh.UserError, match=r"thesis\.png"):
        picture.save(foreign)
    assert foreign.read_bytes() == b"\x89PNG\r\n\x1a\nmine" and not [*tmp_path.glob(".neurohil-*")]
    assert run.report() == path.with_suffix(".html") and "test accuracy" in path.with_suffix(".html").read_text()


@pytest.mark.compiled
def test_a_run_without_a_trace_of_its_own_leaves_nothing():
    run = nh.train("yin_yang_weights", **SMALL)
    folder = run.path.parent
    assert run.plot().png.startswith(b"\x89PNG") and 0 <= run.result.test_accuracy <= 1
    del run
    gc.collect()
    assert not folder.exists()


@pytest.mark.compiled
def test_python_and_the_command_line_write_the_same_trace(tmp_path):
    from neurohil.cli import main

    nh.train("yin_yang_axonal", seed=3, trace=tmp_path / "python.h5", **SMALL)
    command = ["delgrad", "yin_yang_axonal", "--seed", "3", "--epochs", "2", "--set", "network.hidden=5"]
    assert main([*command, "--out", str(tmp_path / "command.h5")]) == 0
    assert (tmp_path / "python.h5").read_bytes() == (tmp_path / "command.h5").read_bytes()


@pytest.mark.compiled
def test_what_stands_there_stays(tmp_path):
    path = tmp_path / "a.h5"
    nh.train("yin_yang_weights", trace=path, **SMALL)
    once = path.read_bytes()
    with pytest.raises(nh.UserError, match=r"holds this run already; neurohil.open\('.*a.h5'\) opens it, overwrite"):
        nh.train("yin_yang_weights", trace=path, **SMALL)
    with pytest.raises(nh.UserError, match=r"exists and holds another run \(seed was 1, now 2\)"):
        nh.train("yin_yang_weights", seed=2, trace=path, **SMALL)
    assert path.read_bytes() == once
    nh.train("yin_yang_weights", seed=2, trace=path, overwrite=True, **SMALL)
    assert path.read_bytes() != once


@pytest.mark.compiled
def test_ctrl_c_stops_after_the_epoch_and_the_same_call_goes_on(tmp_path, monkeypatch):
    straight, stopped = tmp_path / "straight.h5", tmp_path / "stopped.h5"
    nh.train("yin_yang_axonal", epochs=4, network={"hidden": 5}, trace=straight)
    from neurohil.delgrad.run import DelGradRun

    whole, handler = DelGradRun.train_epoch, signal.getsignal(signal.SIGINT)

    def interrupted(run):
        if run.epochs_done == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(run)

    monkeypatch.setattr(DelGradRun, "train_epoch", interrupted)
    with pytest.raises(nh.Stopped, match="stopped after 2 of 4 epochs; go on with: neurohil delgrad --resume "):
        nh.train("yin_yang_axonal", epochs=4, network={"hidden": 5}, trace=stopped)
    assert signal.getsignal(signal.SIGINT) is handler
    nh.train("yin_yang_axonal", epochs=4, network={"hidden": 5}, trace=stopped)
    assert stopped.read_bytes() == straight.read_bytes()

    run = nh.experiment("yin_yang_axonal").with_(epochs=3).start()
    with pytest.raises(nh.Stopped, match="stopped after 2 of 3 epochs; "):
        run.train()
    with pytest.raises(nh.UserError, match="2 of 3 epochs are done, so there is no result yet"):
        _ = run.result
    assert run.train().epochs_done == 3 and run.result.tested_epoch == 3


@pytest.mark.compiled
def test_in_a_thread_of_a_notebook():
    found = []
    thread = threading.Thread(target=lambda: found.append(nh.train("yin_yang_weights", **SMALL)))
    thread.start()
    thread.join()
    assert found[0].epochs_done == 2


def test_experiments_are_changed_key_by_key():
    plain = nh.experiment("chip_yin_yang_axonal")
    worse = plain.with_(target={"noise": {"weight_std": 0.2}}, network={"hidden": 12})
    assert worse.config.target.noise == {"weight_std": 0.2} and worse.config.target.serial == 1
    assert plain.config.network.hidden == 30 and worse.config.network.delays == "axonal"
    told = "chip_yin_yang_axonal with network.hidden = 12, target.noise.weight_std = 0.2"
    assert worse.config.summary == told
    assert repr(worse).startswith("# neurohil delgrad\n") and "weight_std = 0.2" in repr(worse)
    assert plain.with_(data={"bias_time": 0.5}).with_(data={"bias_time": None}).config.data.bias_time is None
    with pytest.raises(nh.UserError, match=r"unknown key target.noise.weight_st, did you mean"):
        plain.with_(target={"noise": {"weight_st": 0.2}}).start()
    with pytest.raises(nh.UserError, match=r"unknown experiment 'chip_yin_yang_axnal', did you mean 'chip_yin_yang"):
        nh.experiment("chip_yin_yang_axnal")
    with pytest.raises(nh.UserError, match=r"epochs = 0 is not allowed: expected int >= 1"):
        nh.train("yin_yang_weights", epochs=0)


def test_an_experiment_of_ones_own_is_told_by_its_tables(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(repr(nh.experiment("mnist_fashion_ideal")).partition("\n")[2])
    assert nh.experiment(str(mine)).kind.name == "metaplasticity"
    mine.write_text("x = 1")
    with pytest.raises(nh.UserError, match="is no experiment: it has none of the tables data, tasks, program or bench"):
        nh.experiment(str(mine))


@pytest.mark.compiled
def test_an_opened_trace(tmp_path):
    path = tmp_path / "a.h5"
    nh.train("yin_yang_axonal", trace=path, **SMALL)
    with nh.open(path) as trace:
        assert repr(trace) == f"<trace 'yin_yang_axonal' in {path}: 2 epochs, complete>"
        assert trace.results["tested_epoch"] == trace["run/results/tested_epoch"]
        assert "test_accuracy" in trace._repr_html_()
        one, all_of_it = trace.plot("accuracy"), trace.plot()
        assert one.png.startswith(b"\x89PNG") and one.png != all_of_it.png
        assert one.png == trace.plot("run/accuracy").png
        tables = trace.export("csv", tmp_path / "tables")
        assert {"accuracy.csv", "results.csv"} <= {table.name for table in tables}
    with pytest.raises(nh.UserError, match="does not exist"):
        nh.open(tmp_path / "none.h5")
