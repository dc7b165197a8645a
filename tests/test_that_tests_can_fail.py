"""Tests that could never fail, found by their syntax. A mutation test (`make mutants`) finds the others."""

import ast
import functools
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@functools.cache
def functions():
    """All functions of the suite, with the files they stand in."""
    found = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in FOLDER.rglob("*.py"))
    return [
        (path.relative_to(FOLDER), node)
        for path, tree in found
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]


@functools.cache
def parts(node):
    return list(ast.walk(node))


def name_of(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def calls(node):
    return [inner for inner in parts(node) if isinstance(inner, ast.Call)]


def assertions(node, helpers=frozenset()):
    """Places at which a test may fail on purpose."""
    found: list[ast.AST] = [inner for inner in parts(node) if isinstance(inner, ast.Assert)]
    checks = {"raises", "warns", "check", "check_call"} | helpers
    return found + [call for call in calls(node) if name_of(call) in checks or name_of(call).startswith("assert_")]


def helpers_that_assert():
    """Functions of the suite that fail if something is wrong, also by way of others."""
    known: frozenset[str] = frozenset()
    while True:
        found = {node.name for _, node in functions() if not node.name.startswith("test_") and assertions(node, known)}
        if found == known:
            return known
        known = frozenset(found)


def without_assertion() -> Iterator[str]:
    helpers = helpers_that_assert()
    for path, node in functions():
        if node.name.startswith("test_") and not assertions(node, helpers):
            yield f"{path}:{node.lineno}"


def excuse_for_several() -> Iterator[str]:
    """A failure that is expected of the first assertion hides the others."""
    for path, node in functions():
        if any("xfail" in ast.unparse(decorator) for decorator in node.decorator_list) and len(assertions(node)) != 1:
            yield f"{path}:{node.lineno}"


def error_of_any_kind() -> Iterator[str]:
    """A class says too little: a misspelt argument raises one, too."""
    for path, node in functions():
        for block in parts(node):
            for item in block.items if isinstance(block, ast.With) else ():
                call = item.context_expr
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises":
                    named = item.optional_vars is not None or any(word.arg == "match" for word in call.keywords)
                    if not named and ast.unparse(call.args[0]) != "KeyboardInterrupt":
                        yield f"{path}:{call.lineno}"


def true_whatever_happens() -> Iterator[str]:
    for path, node in functions():
        for place in parts(node):
            if isinstance(place, ast.Assert):
                test = place.test
                if isinstance(test, ast.Tuple | ast.Constant | ast.GeneratorExp | ast.Lambda):
                    yield f"{path}:{place.lineno}"
                if isinstance(test, ast.Compare) and ast.dump(test.left) == ast.dump(test.comparators[0]):
                    if not calls(test.left):  # the same call twice may well differ
                        yield f"{path}:{place.lineno}"
            if isinstance(place, ast.Expr) and isinstance(place.value, ast.Compare | ast.BoolOp):
                yield f"{path}:{place.lineno}"


def never_reached() -> Iterator[str]:
    for path, node in functions():
        for block in parts(node):
            for body in (getattr(block, "body", None), getattr(block, "orelse", None)):
                for before, after in pairwise(body) if isinstance(body, list) else ():
                    if isinstance(before, ENDS):
                        yield f"{path}:{after.lineno}"
            if isinstance(block, ast.With) and "pytest.raises" in ast.unparse(block.items[-1]):
                yield from (f"{path}:{inner.lineno}" for inner in block.body if isinstance(inner, ast.Assert))


KINDS = [without_assertion, excuse_for_several, error_of_any_kind, true_whatever_happens, never_reached]
EXAMPLES = [
    "def test_a():\n    f()",
    "@pytest.mark.xfail(reason='')\ndef test_a():\n    assert a\n    assert b",
    "def test_a():\n    with pytest.raises(ValueError):\n        f()",
    "def test_a():\n    assert a == a",
    "def test_a():\n    with pytest.raises(ValueError, match='a'):\n        f()\n        assert b",
]


@pytest.mark.parametrize("kind", KINDS)
def test_no_test_is_of_a_kind_that_cannot_fail(kind):
    assert list(kind()) == []


@pytest.mark.parametrize(
    ("kind", "source"), list(zip(KINDS, EXAMPLES, strict=True)), ids=[kind.__name__ for kind in KINDS]
)
def test_each_kind_is_seen(kind, source, monkeypatch):
    tree = ast.parse(source)
    monkeypatch.setattr(sys.modules[__name__], "functions", lambda: [("a.py", tree.body[0])])
    assert [other for other in KINDS if list(other())] == [kind]
