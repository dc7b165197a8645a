"""Systems and file systems without locks: traces are read as ever, and runs say what they lack."""

import errno
import os
import subprocess
import sys

import pytest
import synthetic_run as run

from neurohil import locks
from neurohil.cli import main

# Windows has neither module.
HIDDEN = (
    "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; from neurohil.cli import main; sys.exit(main())"
)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.IDEAL, 1)
    return path


@pytest.mark.parametrize(
    "command", ["trace ls FILE", "trace show FILE run/results", "trace report FILE --out FILE.html"]
)
def test_a_trace_is_read_where_there_are_no_locks_at_all(trace, command):
    arguments = command.replace("FILE", str(trace)).split()
    done = subprocess.run([sys.executable, "-c", HIDDEN, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_experiments_are_listed_and_runs_say_what_they_need(tmp_path):
    done = subprocess.run([sys.executable, "-c", HIDDEN, "delgrad", "--list"], capture_output=True, text=True)
    assert done.returncode == 0 and "yin_yang_weights" in done.stdout
    arguments = ["delgrad", "yin_yang_weights", "--out", str(tmp_path / "run.h5")]
    done = subprocess.run([sys.executable, "-c", HIDDEN, *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and os.listdir(tmp_path) == []
    assert done.stderr == (
        "neurohil: runs need Linux or macOS: this system lacks the locks that keep two of them apart\n"
    )


def test_a_file_system_without_locks_is_told_of_and_used(tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    size = ["--set", "target.array.tile_rows=4", "--set", "target.array.tile_columns=5"]
    assert main(["crossbar", "program", *size, "--out", str(tmp_path / "run.h5")]) == 0
    assert capsys.readouterr().err == (
        f"neurohil: warning: the file system of {tmp_path} has no locks, so two runs that write to one file there are "
        "not told apart\n"
    )
    assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.png"]
