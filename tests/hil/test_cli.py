"""The command line as a user meets it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = ["--epochs", "3", "--set", "network.hidden=6"]


def neurohil(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "hil", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from hil.cli import main\n"
        "try: main(['delgrad', '--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'numba', 'h5py', 'simpy', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    began = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 3.0
    assert "heavy: []" in result.stdout
    assert "--resume FILE" in result.stdout


def test_list_names_the_experiments_with_a_line_each():
    lines = neurohil("delgrad", "--list").stdout.splitlines()
    assert {line.split()[0] for line in lines} >= {"yin_yang_synaptic", "chip_yin_yang_axonal"}
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.compiled
def test_json_is_alone_on_stdout_and_trace_and_picture_are_there(tmp_path):
    out = tmp_path / "run.h5"
    options = ["--seed", 4, "--serial", 9, "--out", out, "--json"]
    result = neurohil("delgrad", "chip_yin_yang_axonal", *SMALL, *options)
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
def test_a_mistake_gets_one_line_and_leaves_no_file(arguments, message, tmp_path):
    import h5py

    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    (tmp_path / "text.h5").write_text("no HDF5")
    before = sorted(tmp_path.rglob("*"))
    result = neurohil("delgrad", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert [p for p in sorted(tmp_path.rglob("*")) if p.is_file()] == [p for p in before if p.is_file()]


def start_and_stop(out: Path, how: signal.Signals, epochs: int) -> subprocess.CompletedProcess:
    """Start a run of `epochs` epochs, stop it when its trace shows some finished ones."""
    from hil.trace.reader import Trace, TraceError

    command = [sys.executable, "-m", "hil", "delgrad", "yin_yang_axonal", "--set", "network.hidden=5"]
    command += ["--epochs", str(epochs), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = Path(f"{out}.part")
    for _ in range(600):
        time.sleep(0.05)
        try:
            with Trace(part) as trace:
                if trace.epochs >= 3:
                    break
        except TraceError:
            continue
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@pytest.mark.compiled
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_stopped_run_resumes_to_the_same_bits(how, tmp_path):
    stopped, straight = tmp_path / "stopped.h5", tmp_path / "straight.h5"
    result = start_and_stop(stopped, how, epochs=60)
    assert result.returncode != 0
    assert not stopped.exists()
    if how is not signal.SIGKILL:
        assert result.returncode == 128 + how
        assert f"go on with: neurohil delgrad --resume {stopped}.part" in result.stderr
    arguments = ["yin_yang_axonal", "--set", "network.hidden=5", "--epochs", "60", "--out"]
    another = neurohil("delgrad", *arguments, stopped, "--seed", 2)
    assert another.returncode == 2 and "of another run (seed was 1, now 2)" in another.stderr
    resume = ["--resume", f"{stopped}.part"]
    assert f"go on with that one by `neurohil delgrad {' '.join(resume)}`" in another.stderr
    # The same command goes on by itself.
    resumed = neurohil("delgrad", *(resume if how is signal.SIGKILL else [*arguments, stopped]))
    assert resumed.returncode == 0, resumed.stderr
    assert neurohil("delgrad", *arguments, straight).returncode == 0
    assert stopped.read_bytes() == straight.read_bytes()
    assert not Path(f"{stopped}.part").exists()


@pytest.mark.compiled
@pytest.mark.parametrize("experiment", ["yin_yang_synaptic", "chip_yin_yang_axonal"])
def test_one_or_two_threads_twice_identical_bytes(experiment, tmp_path):
    contents = set()
    for name, threads in (("a", 1), ("b", 2), ("c", 2)):
        out = tmp_path / f"{name}.h5"
        environment = {"NUMBA_NUM_THREADS": str(threads), "PATH": "/usr/bin"}
        command = [sys.executable, "-m", "hil", "delgrad", experiment, *SMALL, "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        contents.add(out.read_bytes())
    assert len(contents) == 1
