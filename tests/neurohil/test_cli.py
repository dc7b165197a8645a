"""The command line as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from started import Started

from neurohil.cli import main
from neurohil.delgrad import picture
from neurohil.trace import Trace, TraceWriter

SMALL = ["--epochs", "3", "--set", "network.hidden=6"]


@pytest.fixture(autouse=True, scope="module")
def no_pictures():
    """To draw takes longer than all else; processes of their own draw."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(picture, "draw_delgrad", lambda *_: None)
        yield


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from neurohil.cli import main\n"
        "try: main(['delgrad', '--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'numba', 'h5py', 'simpy', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    began = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 3.0
    assert "heavy: []" in result.stdout
    assert "--resume FILE" in result.stdout


def test_list_names_the_experiments_with_a_line_each(capsys):
    assert main(["delgrad", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= {"yin_yang_synaptic", "chip_yin_yang_axonal"}
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.compiled
def test_json_is_alone_on_stdout_and_trace_and_picture_are_there(tmp_path):
    out = tmp_path / "run.h5"
    command = [sys.executable, "-m", "neurohil", "delgrad", "chip_yin_yang_axonal", *SMALL]
    command += ["--seed", "4", "--serial", "9", "--out", str(out), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (only,) = result.stdout.splitlines()
    summary = json.loads(only)
    assert (summary["epochs"], summary["seed"], summary["serial"]) == (3, 4, 9)
    assert 0 <= summary["test_accuracy"] <= 1 and 0 <= summary["validation_accuracy"] <= 1
    # 3 epochs of 5000 + 1000 slots, then validation and test, 180 us each.
    assert summary["chip_seconds"] == pytest.approx((3 * 6000 + 2000) * 180e-6)
    assert isinstance(summary["missing_spikes"], int) and summary["seconds"] > 0
    # The table; the progress bar is silent off a terminal.
    assert "test accuracy" in result.stderr and "emulated chip w66f3, serial 9" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.h5", "run.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["yin_yang"], "unknown experiment 'yin_yang', did you mean"),
        (["yin_yang_weights", "--set", "training.bach=1"], "unknown key training.bach, did you mean 'training.batch'?"),
        (["yin_yang_weights", "--serial", "3"], "unknown key target.serial"),
        (["chip_yin_yang_axonal", "--set", "network.hidden=300"], "network needs 320 delay elements, the chip has 128"),
        (["chip_yin_yang_weights", "--set", "network.delays=synaptic"], "the chip's delay elements are axonal"),
        (
            ["chip_yin_yang_axonal", "--set", "network.delay_scale=5"],
            "delay[0] = 33.82466126059326 us is outside 8.25..33.25 us",
        ),
        (["yin_yang_weights", "--set", "network.threshold=nan"], "network.threshold = nan is not a finite number"),
        (["chip_yin_yang_axonal", "--set", "data.t_late=40"], "don't fit into the slot 0..180 us of a sample"),
        (["--resume", "none.h5.part"], "none.h5.part"),
        (["--resume", "foreign.h5"], "foreign.h5"),
        (["--resume", "text.h5"], "text.h5"),
        (["--resume", "text.h5", "--seed", "3"], "--resume takes everything from the interrupted run; drop seed"),
        ([], "name an experiment"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_no_file(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    (tmp_path / "text.h5").write_text("no HDF5")
    before = sorted(tmp_path.rglob("*"))
    assert main(["delgrad", *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert len(output.err.splitlines()) == 1
    assert output.out == ""
    assert [p for p in sorted(tmp_path.rglob("*")) if p.is_file()] == [p for p in before if p.is_file()]


EPOCHS = 25
ARGUMENTS = ["delgrad", "yin_yang_axonal", "--set", "network.hidden=5", "--epochs", str(EPOCHS), "--out"]


def start_and_stop(out: Path, how: signal.Signals) -> tuple[int, str]:
    """Start a run, stop it when it has written some epochs; exit code, and what it said."""
    reading, writing = os.pipe()
    append = TraceWriter.append_epoch

    def append_and_tell(writer, *values):
        append(writer, *values)
        if writer.epochs == 3:
            os.write(writing, b"3")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TraceWriter, "append_epoch", append_and_tell)
        process = Started([*ARGUMENTS, str(out)])
    os.close(writing)
    os.read(reading, 1)
    os.kill(process.pid, how)
    os.close(reading)
    ended = process.wait()
    with Trace(Path(f"{out}.part")) as trace:
        assert 3 <= trace.epochs < EPOCHS
    return ended


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Bytes of the trace of a run that nobody stops."""
    out = tmp_path_factory.mktemp("straight") / "run.h5"
    assert main([*ARGUMENTS, str(out)]) == 0
    return out.read_bytes()


@pytest.mark.compiled
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        signal.SIGINT,
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
    ids=lambda how: how.name,
)
def test_a_stopped_run_resumes_to_the_same_bits(how, straight, tmp_path, capsys):
    stopped = tmp_path / "stopped.h5"
    code, said = start_and_stop(stopped, how)
    assert not stopped.exists()
    if how is signal.SIGKILL:
        assert code == -how
    else:
        assert code == 128 + how
        assert f"go on with: neurohil delgrad --resume {stopped}.part" in said
    assert main([*ARGUMENTS, str(stopped), "--seed", "2"]) == 2
    another = capsys.readouterr().err
    assert "of another run (seed was 1, now 2)" in another
    resume = ["--resume", f"{stopped}.part"]
    assert f"go on with that one by `neurohil delgrad {' '.join(resume)}`" in another
    # The same command goes on by itself.
    assert main(["delgrad", *resume] if how is signal.SIGKILL else [*ARGUMENTS, str(stopped)]) == 0
    assert stopped.read_bytes() == straight
    assert not Path(f"{stopped}.part").exists()


WITHOUT_PICTURES = """
import sys
from neurohil.cli import main
from neurohil.delgrad import picture
picture.draw_delgrad = lambda *_: None
experiments, folders, small = sys.argv[1].split(), sys.argv[2].split(), sys.argv[3:]
runs = [(name, folder) for folder in folders for name in experiments]
sys.exit(any(main(["delgrad", name, *small, "--out", f"{folder}/{name}.h5"]) for name, folder in runs))
"""
EXPERIMENTS = ["yin_yang_synaptic", "chip_yin_yang_axonal"]


@pytest.fixture(scope="module")
def threaded(tmp_path_factory):
    """Folders with the traces of all experiments, by one thread, and twice by two.

    The number of threads belongs to a process, which takes long to start: each runs all experiments.
    """
    one, two, again = (tmp_path_factory.mktemp("threaded") for _ in range(3))
    for threads, folders in (("1", f"{one}"), ("2", f"{two} {again}")):
        command = [sys.executable, "-c", WITHOUT_PICTURES, " ".join(EXPERIMENTS), folders, *SMALL]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"NUMBA_NUM_THREADS": threads})
    return one, two, again


@pytest.mark.compiled
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_one_or_two_threads_twice_identical_bytes(experiment, threaded):
    assert len({(folder / f"{experiment}.h5").read_bytes() for folder in threaded}) == 1
