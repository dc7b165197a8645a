"""Mutants of a source file: each is the file with one small fault in it.

Two well-known tools were tried first. mutmut 3 leaves out every function with a decorator, and so all compiled kernels.
cosmic-ray copes with them, but two thirds of its mutants put an operator that floats don't have (`+` becomes `<<`), its
numbers are off by 1 instead of by some per cent, it mutates annotations that nobody evaluates, and it knows neither
swapped arguments nor left-out statements nor mixed-up names, which is what goes wrong in physics.
"""

from __future__ import annotations

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

RELATIVE_ERROR = 0.05  # of a float: what tests of noise promise to see

_OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
# Words that are easily mixed up, as parts of a name. A name is put only where the file knows it.
_PAIRS = [
    ("exc", "inh"),
    ("row", "column"),
    ("rows", "columns"),
    ("low", "high"),
    ("first", "last"),
    ("set", "reset"),
    ("mem", "syn"),
    ("leak", "reset"),
    ("gain", "offset"),
    ("min", "max"),
    ("minimum", "maximum"),
    ("floor", "ceil"),
    ("any", "all"),
    ("start", "end"),
]
_WORDS = {**dict(_PAIRS), **{second: first for first, second in _PAIRS}}
_NUMPY = {"min", "max", "minimum", "maximum", "floor", "ceil", "any", "all"}  # known without being named in the file
_SYMMETRIC = {"max", "min", "maximum", "minimum", "hypot", "gcd", "isclose", "array_equal"}


@dataclass(frozen=True)
class Mutant:
    """One fault in one file.

    Attributes
    ----------
    path, scope : str
        The file, and the function or class in it ("" for the module).
    change : str
        Source before and after, "a + b -> a - b".
    number : int
        Which of the equal changes of the scope, from 0.
    line : int
    index : int
        Place among all mutants of the file.
    """

    path: str
    scope: str
    change: str
    number: int
    line: int
    index: int

    @property
    def key(self) -> str:
        """Names the mutant as long as its function stays as it is."""
        return f"{self.path} {self.scope}: {self.change}" + (f" [{self.number}]" if self.number else "")


def find(path: str, source: str) -> list[Mutant]:
    """All mutants of a file, in the order of the source."""
    seen: Counter[tuple[str, str]] = Counter()
    mutants = []
    for index, (scope, old, new) in enumerate(_changes(ast.parse(source))):
        change = f"{_text(old)} -> {_text(new)}"
        mutants.append(Mutant(path, scope, change, seen[scope, change], old.lineno, index))
        seen[scope, change] += 1
    return mutants


def apply(source: str, mutant: Mutant) -> ast.Module:
    """The syntax tree of the file with this fault in it."""
    tree = ast.parse(source)
    for index, (_, old, new) in enumerate(_changes(tree)):
        if index == mutant.index:
            _Replace(old, new).visit(tree)
            return ast.fix_missing_locations(tree)
    raise ValueError(f"{mutant.path} has no mutant {mutant.index}; find the mutants of the file as it is now")


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self._new, node) if node is self._old else self.generic_visit(node)


def _text(node: ast.AST) -> str:
    first, *more = ast.unparse(node).splitlines()
    return first + (" ..." if more else "")


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.expr | ast.stmt, ast.AST]]:
    """Scope, node, and what may take its place."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for scope, node in _nodes(tree, ""):
        for new in _faults(node, names | _NUMPY):
            yield scope, node, new


def _nodes(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """What is evaluated when the program runs: no annotations, documentation, imports, messages or decorators."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr):
                continue
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                if child.name != "__repr__":
                    yield from _nodes(child, f"{scope}.{child.name}".lstrip("."))
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield scope, child
            if not isinstance(child, ast.Raise):
                yield from _nodes(child, scope)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _faults(node: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _OPERATORS and not _is_type(node):
            yield _with(node, op=_OPERATORS[type(node.op)]())
        case ast.Compare(ops=[op, *rest]):
            for comparison in _COMPARISONS[type(op)]:
                yield _with(node, ops=[comparison(), *rest])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * (1.0 + RELATIVE_ERROR) if value else 1.0)
        case ast.Constant(value=str(value)):
            for other in _mixed_up(value):
                if other in names:
                    yield ast.Constant(other)
        case ast.Name(id=name, ctx=ast.Load()):
            for other in _mixed_up(name):
                if other in names:
                    yield ast.Name(other, ast.Load())
        case ast.Attribute(attr=name, ctx=ast.Load()):
            for other in _mixed_up(name):
                if other in names:
                    yield _with(node, attr=other)
        case ast.Call(args=[first, second, *rest]) if not isinstance(first, ast.Starred):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            same = ast.unparse(first) == ast.unparse(second)
            if not (same or name in _SYMMETRIC or name.startswith("check_") or isinstance(second, ast.Starred)):
                yield _with(node, args=[second, first, *rest])
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare):
            if not (isinstance(test, ast.UnaryOp) or ast.unparse(test) == "TYPE_CHECKING"):
                yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
    if isinstance(node, ast.AugAssign):
        yield ast.Pass()


def _is_type(node: ast.BinOp | ast.AugAssign) -> bool:
    """`float | None` in an alias or an isinstance."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)


def _mixed_up(name: str) -> Iterator[str]:
    """The name with one of its words taken for its counterpart."""
    parts = re.split(r"([_.])", name)
    for place, part in enumerate(parts):
        other = _WORDS.get(part.lower())
        if other is not None:
            yield "".join([*parts[:place], other.upper() if part.isupper() else other, *parts[place + 1 :]])
