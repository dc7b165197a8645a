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


def wanted_modules(name: str, is_package: bool, source: str, names: set[str]) -> set[str]:
    """Of the project's modules `names`, those that the module `name` imports, at its top or inside functions.

    A relative import is resolved from where the module stands, at any depth. An import runs the ``__init__`` of
    the packages above it as well; only those that the importer isn't inside itself count, because they run before it.
    """
    wanted = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names} & names
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".") if is_package else name.split(".")[:-1]
            package = above[: len(above) - node.level + 1] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{module}.{alias.name}"
                wanted |= {full if full in names else module} & names
    packages = {".".join(module.split(".")[:n]) for module in wanted for n in range(1, module.count(".") + 1)}
    return (wanted | {package for package in packages & names if not f"{name}.".startswith(f"{package}.")}) - {name}


def imports_between_files() -> dict[str, set[str]]:
    """For every project module, the project modules that it imports."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    return {
        name: wanted_modules(name, path.name == "__init__.py", path.read_text(), set(paths))
        for name, path in paths.items()
    }


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


@pytest.mark.parametrize(
    ("name", "source", "wanted"),
    [
        ("a.b.c", "from .d import f", {"a.b.d"}),
        ("a.b.c", "from . import d", {"a.b.d"}),
        ("a.b.c", "def f():\n    from ..e import g", {"a.e"}),
        ("a.b.c", "from .. import e", {"a.e"}),
        ("a.b", "from .c import f", {"a.b.c"}),  # the package itself
        ("a.b", "from . import c, d", {"a.b.c", "a.b.d"}),
        ("a.e", "from .b.c import f", {"a.b.c", "a.b"}),
        ("a.e", "import a.b.d", {"a.b.d", "a.b"}),
        ("a.e", "from a.b import d, nothing", {"a.b.d", "a.b"}),
        ("a.b.c", "from a.b import nothing", {"a.b"}),
        ("a.b.c", "import os\nfrom numpy import e", set()),
    ],
)
def test_relative_imports_are_resolved(name, source, wanted):
    names = {"a", "a.b", "a.b.c", "a.b.d", "a.e"}
    assert wanted_modules(name, name in ("a", "a.b"), source, names) == wanted


def test_circle_inside_a_sub_package_is_found():
    names = {"a", "a.b", "a.b.c", "a.b.d"}
    sources = {"a": "", "a.b": "", "a.b.c": "from .d import f", "a.b.d": "def g():\n    from .c import f"}
    graph = {name: wanted_modules(name, name in ("a", "a.b"), text, names) for name, text in sources.items()}
    assert find_circle(graph) == ["a.b.c", "a.b.d"]
