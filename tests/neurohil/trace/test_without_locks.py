"""Systems and file systems without locks: traces are read as ever, and runs say what they lack."""

import errno
import json
import os
import subprocess
import sys

import pytest
import synthetic_run as run

from neurohil import locks
from neurohil.cli import main

# Windows has neither module.
HIDDEN = """
import json, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
from neurohil.cli import main
codes = [main(call) for call in json.loads(sys.argv[1])]
print(codes)
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.IDEAL, 1)
    return path


def test_without_locks_traces_are_read_and_runs_say_what_they_need(trace, tmp_path):
    """Of a process that has none at all, which takes long to start: it does one after the other."""
    commands = ["trace ls FILE", "trace show FILE run/results", "trace report FILE --out FILE.html", "delgrad --list"]
    calls = [command.replace("FILE", str(trace)).split() for command in commands]
    calls.append(["delgrad", "yin_yang_weights", "--out", str(tmp_path / "run.h5")])
    done = subprocess.run([sys.executable, "-c", HIDDEN, json.dumps(calls)], capture_output=True, text=True)
    *said, codes = done.stdout.splitlines()
    assert json.loads(codes) == [0, 0, 0, 0, 2], done.stderr
    assert any(line.startswith("yin_yang_weights") for line in said) and os.listdir(tmp_path) == []
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
