"""What README and docs show of Python and of the command line runs as it stands, in a quick form."""

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import neurohil as nh
from neurohil import kinds
from neurohil.cli import main
from neurohil.datasets import audio, dvs_gesture, keyword_fscil, primate_reaching, speech_commands, yin_yang

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list:
    """Fenced blocks of a language, with an id that says where each begins."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 2
                found.append(pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> bytes:
    """A finished trace of the run that the pages speak of, only shorter."""
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    nh.train("chip_yin_yang_axonal", epochs=1, network={"hidden": 5}, training={"batch": 1000}, trace=path)
    return path.read_bytes()


def made_up(trace: bytes, monkeypatch) -> None:
    """What a page has, or needs, before its first snippet: a finished trace, data sets that need a download."""
    Path("runs/chip_yin_yang_axonal-seed1.h5").write_bytes(trace)
    own = (ROOT / "docs/own-classes.md").read_text(encoding="utf-8")
    Path("mine.py").write_text("\n\n".join(match[2] for match in FENCE.finditer(own) if match[1] == "python"))
    clip = audio.Clip(np.zeros(16_000, dtype=np.float32), 1)
    events = np.zeros(300, dtype=dvs_gesture.EVENT)
    events["t"] = np.arange(300) * 1000
    monkeypatch.setattr(speech_commands, "load", lambda split: iter([clip] * 3))
    monkeypatch.setattr(dvs_gesture, "load", lambda split: iter([dvs_gesture.Gesture(events, 1, 1, "led")]))
    steps = primate_reaching.Recording(np.zeros((9, 96), np.uint8), np.zeros((9, 2)), np.array([[0, 4], [4, 9]]))
    monkeypatch.setattr(keyword_fscil, "sessions", lambda seed: iter([SimpleNamespace(support=[])]))
    monkeypatch.setattr(keyword_fscil, "decode", lambda clips: iter(clips))  # takes a library of its own
    monkeypatch.setattr(primate_reaching, "load", lambda session: steps)


@pytest.fixture
def quick(tmp_path, trace, monkeypatch):
    """In an empty folder, with little data; whatever is trained is trained for two epochs."""
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    whole = {name: yin_yang.load(name) for name in ("train", "validation", "test")}
    few = {name: yin_yang.YinYang(split.samples[:60], split.labels[:60]) for name, split in whole.items()}
    monkeypatch.setattr(yin_yang, "load", few.__getitem__)
    made_up(trace, monkeypatch)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.compiled
@pytest.mark.parametrize("code", blocks("python"))
def test_a_snippet_of_python_runs_as_it_stands(code, quick):
    names = {"__name__": "__main__", "found": SimpleNamespace(codes=None, excluded=[])}
    exec(compile(re.sub(r"\bepochs=\d+", "epochs=2", code), "snippet", "exec"), names)


def commands() -> list:
    """Lines that call `neurohil`, of all pages, each once."""
    found = {}
    for page in PAGES:
        for match in FENCE.finditer(page.read_text(encoding="utf-8")):
            for line in match[2].splitlines():
                if match[1] in ("", "sh", "console", "bash") and re.match(r"(\$ )?(\.venv/bin/)?neurohil ", line):
                    command = line.partition(" #")[0].removeprefix("$ ").strip()
                    found.setdefault(command, pytest.param(command, id=f"{page.name}: {command}"))
    return list(found.values())


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_docs_is_understood(command, quick, monkeypatch, capsys):
    """Its words are parsed, its experiment and its values are accepted; nothing is run."""
    started = []
    monkeypatch.setattr("neurohil.cli.run.run", lambda kind, options: started.append((kind, options)))
    monkeypatch.setattr("neurohil.cli.trace.report", lambda **_: 0)
    words = shlex.split(command)[1:]
    if words[0] == "trace":  # of a trace that isn't here
        assert main(words) in (0, 1, 2)
        assert "invalid choice" not in capsys.readouterr().err
        return
    assert main(words) == 0
    for kind, options in started:
        if options.resume if hasattr(options, "resume") else None:
            continue
        assert kind in kinds.KINDS.values()
        kind.load(options.experiment or kind.default, options.set)


def test_snippets_are_found():
    assert len(blocks("python")) > 4 and len(commands()) > 20
