"""`neurohil trace` as a user meets it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from neurohil.cli import main
from neurohil.trace import TraceWriter

sys.path.insert(0, str(Path(__file__).parent / "trace"))
import synthetic_run as run

SMALL = run.Case("chip_small", (4, 5, 3), (4, 5), "us")


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace")
    for name, epochs in (("a", 3), ("same", 3), ("longer", 4)):
        run.write(folder / f"{name}.h5", SMALL, epochs)
    (folder / "text.h5").write_text("no HDF5")
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["x"] = 1
    with TraceWriter(folder / "stopped.h5", run.layout(SMALL), "x", "[data]", run.STATE_SIZE) as writer:
        writer.append_epoch(run.epoch_values(run.layout(SMALL), 0), run.state(0))
    return folder


@pytest.fixture
def trace(traces, monkeypatch, capsys):
    """Runs `neurohil trace ...` among the traces, without a display; exit code, output, errors."""
    monkeypatch.chdir(traces)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        code = main(["trace", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_ls(trace):
    code, out, _ = trace("ls", "a.h5", "longer.h5")
    assert code == 0 and out.startswith("a.h5\nchip_small, 3 epochs, complete\nrun\n")
    assert "\nlonger.h5\nchip_small, 4 epochs, complete\n" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = trace("ls", "--json", "a.h5", "longer.h5")
    assert [json.loads(line)["epochs"] for line in out.splitlines()] == [3, 4]


def test_show(trace):
    for path in ("run/config", "/run/config/"):
        assert trace("show", "a.h5", path)[:2] == (0, f"{run.CONFIG}\n")
    assert "validation accuracy" in trace("show", "a.h5", "run/accuracy")[1]


def test_validate(trace):
    assert trace("validate", "a.h5", "longer.h5")[:2] == (0, "a.h5: valid\nlonger.h5: valid\n")
    code, out, _ = trace("validate", "stopped.h5.part")
    assert (code, out.splitlines()[0]) == (0, "stopped.h5.part: 1 warning")
    code, out, _ = trace("validate", "foreign.h5", "a.h5")
    assert code == 1 and out.startswith("foreign.h5: 1 error\n  error    / has no schema name")


def test_plot(trace, traces):
    code, out, _ = trace("plot", "a.h5")
    assert code == 0 and out.startswith("Accuracy\nvalidation accuracy\n") and "⠀" in out
    assert trace("plot", "a.h5", "run/weights_0", "--epoch", "2")[1].startswith("Weights into layer 1, epoch 2\n")
    assert trace("plot", "a.h5", "run/loss", "--out", "loss.svg")[:2] == (0, "loss.svg\n")
    assert (traces / "loss.svg").read_text().startswith("<?xml")


def test_diff(trace):
    assert trace("diff", "a.h5", "same.h5")[:2] == (0, "a.h5 and same.h5 have the same bytes\n")
    code, out, _ = trace("diff", "a.h5", "longer.h5")
    assert code == 1 and out.startswith("a.h5 | longer.h5\nrun\n  epochs  3 | 4\ndata\n")
    code, _, err = trace("diff", "a.h5", "same.h5", "--rtol", "-1")
    assert (code, err) == (2, "neurohil: --rtol = -1.0 is no tolerance; give a number of at least 0\n")


def test_watch(trace):
    code, out, _ = trace("watch", "a.h5")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 4 and lines[-1] == "the run is complete after 3 epochs"
    assert [line.split(":")[0] for line in lines[:-1]] == ["epoch 1", "epoch 2", "epoch 3"]
    code, out, _ = trace("watch", "stopped.h5")
    assert code == 1
    assert out.endswith("stopped after 1 epoch; go on with: neurohil delgrad --resume stopped.h5.part\n")


@pytest.mark.parametrize("action", [["ls"], ["show"], ["validate"], ["plot"], ["diff"], ["watch"]])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.h5", "none.h5 does not exist; check the name"),
        ("text.h5", "text.h5 is not an HDF5 file (it begins with b'no HDF5')"),
        (".", "is a folder; pass a trace"),
    ],
)
def test_a_bad_file_gets_one_line_and_exit_code_2(action, file, message, trace):
    more = {"show": ["run"], "diff": ["a.h5"]}.get(action[0], [])
    code, out, err = trace(*action, file, *more)
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from neurohil.cli import main\n"
        "try: main(['trace', '--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'numba', 'numpy', 'h5py', 'simpy', 'matplotlib', 'bokeh'} & set(sys.modules)))"
    )
    times = []
    for _ in range(3):
        began = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - began)
    assert "heavy: []" in result.stdout and "watch" in result.stdout
    assert min(times) < 1.0  # 0.05 s on an idle machine


def test_a_reader_that_has_enough_is_no_error(traces):
    command = f"{sys.executable} -m neurohil trace ls {' '.join(['a.h5'] * 20)} | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=traces)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.h5\n", "")


def test_a_terminal_without_unicode_gets_question_marks(traces):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "neurohil", "trace", "ls", "a.h5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=traces, env=environment)
    assert done.returncode == 0 and "?" in done.stdout
