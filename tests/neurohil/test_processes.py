"""How the commands behave as processes: signals, threads, exit codes, streams that are closed or full, pictures."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from neurohil import cli
from neurohil.cli import EXIT_CODES, main
from neurohil.cli.output import json_line
from neurohil.delgrad import picture
from neurohil.errors import Stopped, UserError
from neurohil.stopping import StopRequest

sys.path.insert(0, str(Path(__file__).parent / "trace"))
import synthetic_run as run

TINY = ["delgrad", "yin_yang_axonal", "--epochs", "1", "--set", "network.hidden=3"]
STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("processes") / "run.h5"
    run.write(path, run.CHIP, 3)
    return path


@pytest.fixture
def handlers():
    """Those of the program around; the test may change them."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def shell(command, *arguments):
    """A command line in a shell, where "$@" is neurohil with the arguments."""
    neurohil = [sys.executable, "-m", "neurohil", *map(str, arguments)]
    return subprocess.run(["sh", "-c", command, "sh", *neurohil], capture_output=True, text=True)


# Signals and threads


@pytest.mark.parametrize("number", STOPPING)
def test_handlers_are_put_back(number, handlers):
    heard = []
    signal.signal(number, lambda *_: heard.append(number))
    mine = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop() and stop.signal == number and heard == []
        signal.raise_signal(number)  # the second one does what it did before
        assert heard == [number]
    assert signal.getsignal(number) is mine
    others = [other for other in STOPPING if other != number]
    assert [signal.getsignal(other) for other in others] == [handlers[other] for other in others]


def test_handlers_are_put_back_after_an_error(handlers):
    with pytest.raises(UserError, match=r"^x$"), StopRequest():
        assert signal.getsignal(signal.SIGINT) != handlers[signal.SIGINT]
        raise UserError("x")
    assert {number: signal.getsignal(number) for number in STOPPING} == handlers


def test_an_ignored_signal_stays_ignored(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.compiled
def test_a_thread_can_run_a_command_and_signals_are_as_before(handlers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(picture, "draw_delgrad", lambda *_: None)
    codes = []
    arguments = [*TINY, "--out", str(tmp_path / "run.h5"), "--json"]
    thread = threading.Thread(target=lambda: codes.append(main(arguments)))
    thread.start()
    thread.join()
    assert codes == [0] and json.loads(capsys.readouterr().out)["epochs"] == 1
    assert main([*TINY, "--out", str(tmp_path / "again.h5"), "--json"]) == 0
    assert {number: signal.getsignal(number) for number in STOPPING} == handlers


# Exit codes


def test_exit_codes_are_documented():
    help_text = subprocess.run([sys.executable, "-m", "neurohil", "--help"], capture_output=True, text=True).stdout
    assert EXIT_CODES.strip() in help_text
    page = (Path(cli.__file__).parents[2] / "docs" / "machines.md").read_text()
    told = re.findall(r"^ +(\d+) ", EXIT_CODES, re.MULTILINE)
    assert told == re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert told == ["0", "1", "2", "129", "130", "143"]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("seed = x; give a number"), 2, "neurohil: seed = x; give a number"),
        (OSError(28, "No space left on device"), 1, "neurohil: [Errno 28] No space left on device"),
        (
            MemoryError("Unable to allocate 9 TiB"),
            1,
            "neurohil: there is not enough memory (Unable to allocate 9 TiB); lower sizes",
        ),
        (MemoryError(), 1, "neurohil: there is not enough memory; lower sizes"),
        (RecursionError("maximum recursion depth exceeded"), 1, "neurohil: something is nested too deeply"),
        (KeyboardInterrupt(), 130, "neurohil: interrupted"),
        (Stopped("stopped after 1 epoch", signal.SIGTERM), 143, "neurohil: stopped after 1 epoch"),
        (Stopped("stopped after 1 epoch", signal.SIGHUP), 129, "neurohil: stopped after 1 epoch"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_code(error, code, sentence, monkeypatch, capsys):
    def start(*_, **__):
        raise error

    monkeypatch.setattr("neurohil.cli.run.run", start)
    assert main(TINY) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(sentence)


def test_an_interrupt_while_compiled_code_returns(monkeypatch, capsys):
    def start(*_, **__):
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    monkeypatch.setattr("neurohil.cli.run.run", start)
    assert main(TINY) == 130
    assert capsys.readouterr().err == "neurohil: interrupted\n"


def test_an_interrupt_in_a_callback_is_not_lost(monkeypatch, capsys):
    """The compiler calls back from C code, where Python can't raise."""

    class Callback:
        def __del__(self):
            raise KeyboardInterrupt

    def start(*_, **__):
        Callback()
        for _ in range(500):
            time.sleep(0.01)  # on to the next line of Python, where the interrupt is raised

    monkeypatch.setattr("neurohil.cli.run.run", start)
    hook = sys.unraisablehook
    assert main(TINY) == 130
    assert capsys.readouterr().err.strip() == "neurohil: interrupted"
    assert sys.unraisablehook is hook


def test_wrong_usage_is_2():
    assert shell('"$@"', "delgrad", "--no-such-option").returncode == 2
    assert shell('"$@"').returncode == 2


# Streams


def test_a_reader_that_has_enough(trace):
    """`head` ends after a line; the tree is longer than a pipe's buffer."""
    for arguments in (["trace", "ls", *[trace] * 60], ["trace", "ls", "--json", *[trace] * 60]):
        result = shell('{ "$@"; echo "code $?" >&2; } | head -1', *arguments)
        assert result.stderr == "code 0\n" and len(result.stdout.splitlines()) == 1


def test_stdout_is_closed(trace):
    assert shell('"$@" >&-', "trace", "ls", trace).stderr == ""
    assert shell('"$@" >&- 2>&- <&-', "trace", "ls", trace).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full is Linux's")
def test_stdout_is_full(trace):
    result = shell('"$@" > /dev/full', "trace", "ls", trace)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("neurohil: ") and "No space left on device" in line


def test_a_closed_stream_does_not_lend_its_number_to_a_file(tmp_path):
    """Otherwise what is printed goes into the trace."""
    code = (
        "import os, sys\nfrom neurohil.cli import main\nmain(['delgrad', '--list'])\n"
        "assert os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY) > 2"
    )
    command = ["sh", "-c", '"$@" >&- 2>&- <&-', "sh", sys.executable, "-c", code, str(tmp_path / "new")]
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "new").read_bytes() == b""


# JSON


def test_json_has_neither_nan_nor_infinity():
    line = json_line({"a": math.nan, "b": [1.0, math.inf], "c": {"d": -math.inf, "e": 2}, "f": (math.nan, "x")})
    assert json.loads(line) == {"a": None, "b": [1.0, None], "c": {"d": None, "e": 2}, "f": [None, "x"]}
    assert "\n" not in line


# Pictures


@pytest.mark.compiled
@pytest.mark.parametrize("as_json", [True, False])
def test_results_are_told_even_if_the_picture_fails(as_json, tmp_path, monkeypatch, capsys):
    told = []

    def draw(*_):
        told.append(capsys.readouterr())
        raise ValueError("no\nink")

    monkeypatch.setattr(picture, "draw_delgrad", draw)
    out = tmp_path / "my run.h5"
    assert main([*TINY, "--out", str(out), *["--json"] * as_json]) == 0
    ((results, _),) = told  # before the picture was begun
    assert ("test_accuracy" in results) if as_json else ("test accuracy" in results)
    (warning,) = capsys.readouterr().err.splitlines()
    assert "warning" in warning and "no ink" in warning
    command = warning.partition("draw one with: ")[2]
    assert command == f"neurohil trace plot '{out}' --out '{out.with_suffix('.png')}'"
    assert [path.name for path in tmp_path.iterdir()] == ["my run.h5"]
    assert shell(command.replace("neurohil", f"{sys.executable} -m neurohil")).returncode == 0
    assert out.with_suffix(".png").exists()


@pytest.mark.compiled
def test_a_notebooks_drawing_backend_does_not_matter(tmp_path):
    out = tmp_path / "run.h5"
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = [sys.executable, "-m", "neurohil", *TINY, "--out", str(out), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0 and json.loads(result.stdout)["epochs"] == 1, result.stderr
    assert out.exists() and out.with_suffix(".png").exists()


# Other systems


WINDOWS = """
import os, signal, sys
sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"]))
for name in ("fork", "getuid", "geteuid", "fchmod", "pread", "pwrite", "statvfs", "sched_getaffinity", "O_NOFOLLOW"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGALRM"):
    delattr(signal, name)
"""


def test_a_system_like_windows_reads_traces_and_refuses_runs(trace, tmp_path):
    """What Windows lacks is taken away; a real one wasn't at hand."""
    calls = [
        ["trace", "ls", str(trace)],
        ["trace", "show", str(trace), "run/accuracy"],
        ["trace", "validate", str(trace)],
        ["trace", "plot", str(trace), "--out", str(tmp_path / "plot.png")],
        ["trace", "diff", str(trace), str(trace)],
        ["trace", "report", str(trace), "--out", str(tmp_path / "page.html")],
        ["trace", "export", str(trace), "--to", "csv", "--out", str(tmp_path / "csv")],
        ["delgrad", "--list"],
        ["doctor", "--json"],
        [*TINY, "--out", str(tmp_path / "run.h5")],
    ]
    script = f"{WINDOWS}\nfrom neurohil.cli import main\nprint([main(call) for call in {calls}])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert "Traceback" not in result.stderr
    codes = json.loads(result.stdout.splitlines()[-1])
    assert codes == [0] * 8 + [1, 2], result.stderr
    assert "runs need Linux or macOS" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run.h5").exists()
