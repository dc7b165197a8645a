"""Mutants: every kind of fault is put, and nothing else is changed; the sample; the files and tests that are named."""

import ast
import functools
import random
import tomllib
from pathlib import Path

import pytest

from benchmarks import mutants as command
from benchmarks.mutants import in_a_fork, report, sample
from benchmarks.mutation import apply, find

ROOT = Path(__file__).parents[1]
FILES = tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text(encoding="utf-8"))["tests"]


@functools.cache
def mutants_of(path):
    """All mutants of a file, found once: with all files it takes seconds."""
    return tuple(find(path, (ROOT / path).read_text(encoding="utf-8")))


def changes(source):
    return [mutant.change for mutant in find("a.py", source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a + b", ["a + b -> a - b"]),
        ("x = a ** b", ["a ** b -> a * b"]),
        ("x += 0.5", ["x += 0.5 -> x -= 0.5", "x += 0.5 -> pass", "0.5 -> 0.525"]),
        ("x = a < b", ["a < b -> a <= b", "a < b -> a > b"]),
        ("x = a is b", ["a is b -> a is not b"]),
        ("x = a and b", ["a and b -> a or b"]),
        ("x = -a", ["-a -> a"]),
        ("x = True", ["True -> False"]),
        ("x = 3", ["3 -> 4"]),
        ("x = 0.0", ["0.0 -> 1.0"]),
        ("x = u_exc * u_inh", ["u_exc * u_inh -> u_exc / u_inh", "u_exc -> u_inh", "u_inh -> u_exc"]),
        ("x = draw('gain_exc'), draw('gain_inh')", ["'gain_exc' -> 'gain_inh'", "'gain_inh' -> 'gain_exc'"]),
        ("x = np.floor(a)", ["np.floor -> np.ceil"]),
        ("x = f(a, b)", ["f(a, b) -> f(b, a)"]),
        ("x = max(a, b)", ["max -> min"]),
        ("f(a)", ["f(a) -> pass"]),
        ("x[0] = y", ["x[0] = y -> pass", "0 -> 1"]),
        ("raise ValueError(f'{1 + 1} is too much')", ["raise ValueError(f'{1 + 1} is too much') -> pass"]),
        ("if a:\n    b", ["if a: ... -> if not a: ..."]),
        ("while True:\n    break", ["while True: ... -> while not True: ...", "True -> False", "break -> pass"]),
        ('def f(x: float | None = 1) -> 2:\n    """1 + 1."""\n    return x', ["1 -> 2"]),
        ("@njit(cache=True)\ndef f():\n    return f'{1 + 1}'", []),
    ],
)  # fmt: skip
def test_faults_of_a_line(source, expected):
    assert sorted(changes(source)) == sorted(expected)


def test_a_mutant_differs_from_the_file_in_one_place():
    source = "def f(a, b):\n    return a + b, a + b, a - b\n"
    mutants = find("a.py", source)
    assert [mutant.key for mutant in mutants] == [
        "a.py f: a + b -> a - b",
        "a.py f: a + b -> a - b [1]",
        "a.py f: a - b -> a + b",
    ]
    bodies = [ast.unparse(apply(source, mutant)).splitlines()[1].strip() for mutant in mutants]
    assert bodies == ["return (a - b, a + b, a - b)", "return (a + b, a - b, a - b)", "return (a + b, a + b, a + b)"]


def test_all_physics_is_mutated_and_all_tests_that_are_named_are_there():
    named = {ROOT / path for path in FILES}
    physics = [path for folder in ("brainscales_emu", "memristor") for path in (ROOT / folder).rglob("*.py")]
    physics += [ROOT / "neurohil/first_spike" / name for name in ("spike_time.py", "kernels.py")]
    physics.append(ROOT / "neurohil/delgrad/losses.py")
    # How arrays, BLAS and the compiler are used, and how objects show themselves.
    no_physics = ("arrays.py", "blas.py", "jit.py", "shown.py")
    physics = [path for path in physics if path.name not in no_physics]
    with_faults = {path for path in physics if mutants_of(str(path.relative_to(ROOT)))}
    assert with_faults == named
    assert all((ROOT / test).is_file() for tests in FILES.values() for test in tests)


def test_a_sample_is_spread_evenly_and_a_larger_one_only_adds_to_it(monkeypatch):
    monkeypatch.setattr(command, "find", lambda path, _: list(mutants_of(path)))
    number = 2 * len(FILES) + 20
    small, large = sample(FILES, 60, 1), sample(FILES, number, 1)
    assert large[:60] == small and small != sample(FILES, 60, 2)[:60]
    counts = [sum(mutant.path == path for mutant in large) for path in FILES]
    assert set(counts) <= {2, 3} and sum(counts) == number
    assert len({mutant.key for mutant in large}) == number
    for mutant in random.Random(0).sample(large, 20):
        source = (ROOT / mutant.path).read_text(encoding="utf-8")
        mutated = ast.unparse(apply(source, mutant))
        compile(mutated, mutant.path, "exec")
        assert mutated != ast.unparse(ast.parse(source))


def test_a_fork_answers_or_is_ended():
    assert in_a_fork(lambda: {"passed": True}, 5) == {"passed": True}
    assert in_a_fork(lambda: 1 / 0, 5) == {}


def test_the_report_counts_what_is_killed_explained_and_open():
    mutants = find("a.py", "x = a + b\ny = 2.0\nz = a < b\n")
    results = {mutant.key: {"result": "survived"} for mutant in mutants[1:3]}
    results[mutants[0].key] = {"result": "killed"}
    page = report(mutants, results, {mutants[1].key: "no matter"}, "make mutants N=4")
    assert "**Score: 1 of 3 mutants killed (33.3 %), 1 survivors explained below, 1 not explained.**" in page
    assert "| `a.py` | 3 | 1 | 1 |" in page
    assert f"| `{mutants[1].key}` | no matter |" in page and f"| `{mutants[2].key}` | **not explained** |" in page
