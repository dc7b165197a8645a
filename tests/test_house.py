"""The house keeps its own rules: sizes, directions, and that each thing has its name in one place."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from benchmarks.architecture import ROOT, direct, drawn, levels, rooms

PACKAGES = ("brainscales_emu", "memristor", "neurohil", "benchmarks")
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_TRACE = 600, 120, 5200


@cache
def trees() -> dict[str, ast.Module]:
    return {path: ast.parse(source) for path, source in SOURCES.items()}


def test_no_file_and_no_function_is_too_long():
    assert {path for path, source in SOURCES.items() if len(source.splitlines()) > LONGEST_FILE} == set()
    long = {
        node.name
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    }
    assert long <= {"advance"}  # one loop over events, which the compiler keeps in registers


def test_the_room_of_traces_is_small_and_names_no_kind_of_run():
    inside = {path: source for path, source in SOURCES.items() if path.startswith("neurohil/trace/")}
    assert sum(len(source.splitlines()) for source in inside.values()) < LONGEST_TRACE
    for path, source in inside.items():
        assert not re.search(r"delgrad|metaplasticity|yin.?yang|neurohil\.(kinds|run|probing)\b", source.lower()), path


def paths_in(tree: ast.Module) -> list[str]:
    """Paths of arrays that a file writes out: ``run/x/y``, with what it fills in as {}."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.Constant) else "run" if ast.unparse(part) == "{RUN}" else "{}"
                for part in node.values
            ]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if re.fullmatch(r"run(/[\w{}]+)+/\w*[a-z]\w*", text):
            found.append(text)
    return found


def test_the_path_of_an_array_stands_in_one_place():
    files = {path: paths_in(tree) for path, tree in trees().items() if path.startswith("neurohil/")}
    places = Counter(text for found in files.values() for text in set(found))
    assert places and {text for text, count in places.items() if count > 1} == set()
    elsewhere = {path for path, found in files.items() if found and not re.search(r"/trace(\.py$|/)", path)}
    assert elsewhere == set()


def test_a_repeated_path_is_seen():
    source = 'a = f"{RUN}/results/x"\nb = "run/results/x"\nc = f"{RUN}/weights_{k}/weights"\nd = f"{RUN}/"'
    assert paths_in(ast.parse(source)) == ["run/results/x", "run/results/x", "run/weights_{}/weights"]


def test_targets_alone_know_which_target_it_is():
    allowed = ("neurohil/targets/", "neurohil/trace/provenance.py")
    for path, source in SOURCES.items():
        if path.startswith(("neurohil/", "benchmarks/")) and not path.startswith(allowed):
            assert not re.search(r"isinstance\([^)]*(IdealConfig|Brainscales\w*|Crossbar(Target)?Config)\b", source), (
                path
            )
            assert "is_chip" not in source and "has_devices" not in source, path


def test_the_picture_of_the_house_is_that_of_its_imports():
    assert (ROOT / "docs/architecture.svg").read_text(encoding="utf-8") == drawn(rooms()), (
        "draw it anew with `python -m benchmarks.architecture`"
    )


def test_rooms_stand_above_what_they_import():
    found = rooms()
    height = levels(found)
    assert all(height[room] > height[other] for room, others in found.items() for other in others)
    assert found["trace"] == {"ground"} and found["brainscales_emu"] == found["memristor"] == set()
    importers = {room for room, others in found.items() if others & {"brainscales_emu", "memristor"}}
    assert importers == {"targets", "benchmarks"}
    assert ("runs", "trace") in direct(found) and ("delgrad", "ground") not in direct(found)
    with pytest.raises(RecursionError, match="recursion depth"):
        levels({"a": {"b"}, "b": {"a"}})


def test_every_room_is_told_of_in_the_docs():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for folder in sorted(Path(ROOT / "neurohil").iterdir()):
        if folder.is_dir() and folder.name not in ("__pycache__", "experiments"):
            assert f"{folder.name}/" in page, folder.name
