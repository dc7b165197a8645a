"""The import rule of the house: who may know whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("brainscales_emu", "memristor", "neurohil")
EMULATORS = {"brainscales_emu", "memristor"}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported_modules(source: str) -> set[str]:
    """Dotted names of all absolute imports, inside functions too; a relative import is returned with its dots."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def broken_rules(path: str, source: str) -> list[str]:
    """What the file at `path` (relative to the root) imports although it must not."""
    package = path.split("/")[0]
    roots = {name.split(".")[0] for name in imported_modules(source)}
    wrong = []
    if package in EMULATORS:
        wrong += [name for name in PACKAGES if name != package and name in roots]
    if package == "neurohil" and not path.startswith("neurohil/targets/"):
        wrong += sorted(EMULATORS & roots)
    wrong += sorted(roots & {"benchmarks", "tests"})
    return wrong


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_file_keeps_the_rule(file):
    assert broken_rules(file.relative_to(ROOT).as_posix(), file.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("brainscales_emu/chip.py", "from neurohil.config import parse"),
        ("brainscales_emu/chip.py", "import memristor.device"),
        ("memristor/crossbar.py", "def f():\n    import brainscales_emu"),
        ("neurohil/delgrad/training.py", "from brainscales_emu import Chip"),
        ("neurohil/cli.py", "import benchmarks.run"),
    ],
)
def test_rule_sees_a_break(path, source):
    assert broken_rules(path, source)


def test_targets_may_import_the_chip():
    assert broken_rules("neurohil/targets/spiking/brainscales.py", "from brainscales_emu import Chip") == []


def imports_between_files() -> dict[str, set[str]]:
    """For every project module, the project modules that it imports when it is loaded."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
    graph = {}
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        wanted = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                # Relative imports appear inside the flat emulator packages only.
                package = name.split(".")[0] if node.level else ""
                module = ".".join(part for part in (package, node.module) if part)
                full = {f"{module}.{alias.name}" for alias in node.names}
                wanted |= {m for m in full if m in names} or {module} & names
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names} & names
        graph[name] = wanted - {name}
    return graph


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Names along one circle, or an empty list."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return trail[trail.index(name) :]
        if name in done:
            return []
        for wanted in sorted(graph.get(name, ())):
            if circle := visit(wanted, [*trail, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := visit(name, []))), [])


def test_no_circle_between_files():
    assert find_circle(imports_between_files()) == []


def test_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
