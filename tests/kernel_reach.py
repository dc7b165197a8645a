"""Which public functions hand something to a compiled function, found in the source: the gates of the kernels.

A gate is a public function or method that calls a jitted function itself or through private helpers. Whoever calls a
gate comes through its checks, so that all ways to the kernels are checked when the gates are. Methods are matched by
their name alone, within their package, which may find too many gates but none too few.
"""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("brainscales_emu", "memristor", "neurohil")


class Function(NamedTuple):
    """A function or method of a module, by its dotted name."""

    module: str
    name: str  # "f" or "Class.f"

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def private(self) -> bool:
        return any(part.startswith("_") and not part.endswith("__") for part in str(self).split("."))


class _Module:
    def __init__(self, path: Path) -> None:
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.package = ".".join(parts[:-1])
        self.name = self.package if parts[-1] == "__init__" else ".".join(parts)
        self.tree = ast.parse(path.read_text())
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: set[str] = set()
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
            if isinstance(node, ast.ClassDef):
                self.classes.add(node.name)
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        self.functions[f"{node.name}.{inner.name}"] = inner
        self.imported: dict[str, tuple[str, str]] = {}  # alias: module, name in it
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                above = self.package.split(".") if node.level else []
                source = ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (source, alias.name)


@cache
def _modules() -> dict[str, _Module]:
    modules = [_Module(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {module.name: module for module in modules}


def _jitted(node: ast.FunctionDef) -> bool:
    return any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)


@cache
def kernels() -> frozenset[Function]:
    """All jitted functions."""
    return frozenset(
        Function(module.name, name)
        for module in _modules().values()
        for name, node in module.functions.items()
        if _jitted(node)
    )


def _named(module: _Module, name: str) -> list[Function]:
    """What a bare name in a module refers to: a function, or the constructor of a class."""
    if name in module.imported:
        source, original = module.imported[name]
        itself = (source, original) == (module.name, name)  # a module of the same package
        return _named(_modules()[source], original) if source in _modules() and not itself else []
    if name in module.classes:
        wanted = (f"{name}.__init__", f"{name}.__post_init__")
        return [Function(module.name, method) for method in wanted if method in module.functions]
    return [Function(module.name, name)] if name in module.functions else []


@cache
def _holders() -> dict[tuple[str, str], set[str]]:
    """Modules that a variable or attribute may hold, by package and its name, as `chip.engine`."""
    holders = defaultdict(set)
    for module in _modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assign):
                held = {".".join(module.imported[n.id]) for n in _bare_values(node.value) if n.id in module.imported}
                for target in node.targets:
                    holders[module.name.split(".")[0], _last_name(target)] |= held & _modules().keys()
            if isinstance(node, ast.FunctionDef) and any(_last_name(d) == "property" for d in node.decorator_list):
                for given in ast.walk(node):
                    values = _bare_values(given.value) if isinstance(given, ast.Return) and given.value else []
                    held = {".".join(module.imported[n.id]) for n in values if n.id in module.imported}
                    holders[module.name.split(".")[0], node.name] |= held & _modules().keys()
    return holders


def _bare_values(node: ast.expr) -> list[ast.Name]:
    """The names whose values an expression may have as they are."""
    if isinstance(node, ast.IfExp):
        return [*_bare_values(node.body), *_bare_values(node.orelse)]
    return [node] if isinstance(node, ast.Name) else []


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@cache
def _calls() -> dict[Function, set[Function]]:
    """All functions that a function names."""
    methods = defaultdict(list)
    for module in _modules().values():
        for name in module.functions:
            if "." in name:
                methods[module.name.split(".")[0], name.split(".")[1]].append(Function(module.name, name))
    calls: dict[Function, set[Function]] = {}
    for module in _modules().values():
        package = module.name.split(".")[0]
        for name, node in module.functions.items():
            found = calls.setdefault(Function(module.name, name), set())
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name):
                    found.update(_named(module, inner.id))
                elif isinstance(inner, ast.Attribute):
                    base = _last_name(inner.value)
                    sources = {".".join(module.imported.get(base, ("", "")))} | _holders()[package, base]
                    for source in sources & _modules().keys():
                        found.update(_named(_modules()[source], inner.attr))
                    if not sources & _modules().keys():
                        found.update(methods[package, inner.attr])
    return calls


@cache
def gates() -> frozenset[str]:
    """Dotted names of the public functions that reach a kernel without another public function between."""
    reaching = set(kernels())
    while True:
        passed = {f for f in reaching if f in kernels() or f.private}
        more = {caller for caller, called in _calls().items() if called & passed} - reaching
        if not more:
            return frozenset(str(f) for f in reaching if not f.private and f not in kernels())
        reaching |= more


@cache
def walked() -> frozenset[str]:
    """The gates, all other public methods of their classes, whose state the kernels see, and who calls a gate itself.

    Only what takes arguments.
    """
    functions = {
        function: node
        for module in _modules().values()
        for function, node in ((Function(module.name, name), node) for name, node in module.functions.items())
        if not function.private and function not in kernels()
    }
    doors = {function for function in functions if str(function) in gates()}
    classes = {(door.module, door.name.split(".")[0]) for door in doors if "." in door.name}
    inside = {f for f in functions if "." in f.name and (f.module, f.name.split(".")[0]) in classes}
    callers = {f for f in functions if _calls()[f] & doors}
    return frozenset(str(f) for f in doors | inside | callers if _takes_arguments(functions[f], "." in f.name))


def _takes_arguments(node: ast.FunctionDef, method: bool) -> bool:
    arguments = node.args
    return len(arguments.posonlyargs + arguments.args) > method or bool(
        arguments.vararg or arguments.kwonlyargs or arguments.kwarg
    )
