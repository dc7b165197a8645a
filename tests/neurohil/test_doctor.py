"""`neurohil doctor` in whole and in broken surroundings: what lacks, with its remedy, and no traceback."""

import json
import os
import re
import resource
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from neurohil.cli import doctor
from neurohil.cli.doctor import CHECKS, FINE, LACKS, NOTE, Finding, findings_here


def run(*arguments, cwd=None, code=""):
    """The command in a process of its own."""
    script = f"import sys\n{code}\nfrom neurohil.cli import main\nsys.exit(main(['doctor', *sys.argv[1:]]))"
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=cwd)


def look(name, cwd, **changes):
    """One check in a process of its own, with other surroundings; None takes a variable away."""
    environment = {key: value for key, value in {**os.environ, **changes}.items() if value is not None}
    script = f"from neurohil.cli.doctor import CHECKS\nprint(*CHECKS[{name!r}](), sep='|')"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=True)
    return Finding(*result.stdout.rstrip("\n").split("|"))


def findings(result):
    assert result.stderr.count("Traceback") == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return {finding["name"]: finding for finding in json.loads(line)["findings"]}


def processor_s():
    """Of all processes that have ended."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def test_a_whole_machine(tmp_path):
    code = "from numba.core import compiler_machinery as machinery\ndef fail(*_): raise SystemExit('it compiles')\n"
    run(cwd=tmp_path)  # matplotlib's first start on a machine lists the fonts
    began = processor_s()
    result = run(cwd=tmp_path, code=f"{code}machinery.PassManager.run = fail")
    assert processor_s() - began < 10.0  # 2 s
    assert result.returncode == 0, result.stdout + result.stderr
    heading, *lines = result.stdout.splitlines()
    assert heading == "all that runs need is here"
    assert [line.split()[1] for line in lines] == list(CHECKS)
    assert {line.split()[0] for line in lines} <= {FINE, NOTE}
    assert result.stderr == "" and list(tmp_path.iterdir()) == []


def test_json_is_alone_on_stdout(tmp_path):
    result = run("--json", cwd=tmp_path)
    found = findings(result)
    assert list(found) == list(CHECKS) and json.loads(result.stdout)["complete"] is True
    assert "h5py" in found["packages"]["told"] and "locks work" in found["traces"]["told"]
    assert "all that runs need is here" in result.stderr


@pytest.mark.parametrize(
    ("name", "changes", "state", "words"),
    [
        ("data", {"NEUROHIL_DATA": "/nowhere"}, LACKS, "'/nowhere' is no folder"),
        ("kernels", {"NUMBA_DISABLE_JIT": "1"}, NOTE, "unset it"),
        ("kernels", {"NUMBA_CACHE_DIR": "{tmp}/kept"}, FINE, "{tmp}/kept"),
        ("home", {"HOME": "/dev/null/none", "XDG_CACHE_HOME": None}, NOTE, "XDG_CACHE_HOME"),
        ("home", {"XDG_CACHE_HOME": "{tmp}"}, FINE, "{tmp}/neurohil"),
        ("pictures", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, FINE, "draws into files"),
        ("terminal", {"PYTHONIOENCODING": "ascii"}, NOTE, "PYTHONUTF8"),
        ("processor", {"NUMBA_NUM_THREADS": "1"}, FINE, "NUMBA_NUM_THREADS=1"),
    ],
)
def test_surroundings(name, changes, state, words, tmp_path):
    changes = {key: value and value.replace("{tmp}", str(tmp_path)) for key, value in changes.items()}
    finding = look(name, tmp_path, **{"NUMBA_DISABLE_JIT": None, **changes})
    assert finding.state == state and words.replace("{tmp}", str(tmp_path)) in finding.told + finding.remedy


def test_broken_packages(tmp_path):
    broken = {"kernels": "numba", "traces": "h5py", "pictures": "matplotlib", "home": "pooch"}
    result = run("--json", cwd=tmp_path, code=f"sys.modules.update(dict.fromkeys({list(broken.values())}))")
    found = findings(result)
    for name, module in broken.items():
        assert found[name]["state"] == LACKS and module in found[name]["told"]
    assert result.returncode == 1 and json.loads(result.stdout)["complete"] is False


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    finding = doctor.traces()
    assert finding.state == LACKS and str(tmp_path / "runs") in finding.told and "--out" in finding.remedy


@pytest.mark.parametrize(("free", "state"), [(10 << 20, LACKS), (1 << 30, NOTE), (100 << 30, FINE)])
def test_room_on_the_disk(free, state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: namedtuple("Usage", "free")(free))
    assert doctor.traces().state == state


@pytest.mark.parametrize(("free", "state"), [(100 << 20, LACKS), (1 << 30, NOTE), (8 << 30, FINE), (None, NOTE)])
def test_memory(free, state, monkeypatch):
    monkeypatch.setattr(doctor, "_free_memory", lambda: free)
    assert doctor.memory().state == state


def test_a_limit_of_the_shell_counts():
    code = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))"
    code += "\nfrom neurohil.cli.doctor import memory; print(memory())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "0.4 GB free" in result.stdout and "lacks" in result.stdout


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("neurohil.locks.locks_work", lambda _: False)
    finding = doctor.traces()
    assert finding.state == NOTE and "no locks" in finding.told and "never start two runs" in finding.remedy


def test_a_system_without_locks(monkeypatch):
    monkeypatch.setattr("neurohil.locks.fcntl", None)
    finding = doctor.system()
    assert finding.state == LACKS and "Linux or macOS" in finding.remedy


def test_a_package_that_is_too_old_or_missing(monkeypatch):
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["numpy>=99", "nonesuch>=1", "x; extra == 'dev'"])
    finding = doctor.packages()
    assert finding.state == LACKS and finding.remedy == "pip install 'numpy>=99' 'nonesuch>=1'"


def test_a_check_that_fails_is_told(monkeypatch):
    def broken():
        raise RuntimeError("the machine\nburns")

    monkeypatch.setitem(CHECKS, "memory", broken)
    (finding,) = (finding for finding in findings_here() if finding.name == "memory")
    assert finding.state == LACKS and "the machine burns" in finding.told


def test_every_data_set_is_looked_for():
    texts = [path.read_text() for path in Path(doctor.__file__).parents[1].joinpath("datasets").glob("*.py")]
    assert all(any(f'"{name}"' in text for text in texts) for name in doctor.DATA_SETS)
    sources = {name for text in texts for name in re.findall(r'Source\(\s*"(\w+)"', text)}
    assert sources <= set(doctor.DATA_SETS)
