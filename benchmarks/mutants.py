"""Mutation tests of the physics: what share of small faults does the suite see? `make mutants`.

The files and the tests that must see their faults stand in mutants.toml, [tests]. Mutants are drawn evenly over the
files: the mutants of each file in an order that the seed decides, then one of each file in turn. So a larger number
only adds to the sample. No file is changed: each mutant is a fork of this process, whose import system finds the fault
in place of the file. Compiled kernels are tested without the compiler, since its cache wouldn't see the fault.

A mutant is killed if a test fails or doesn't end. What survives is to be killed by a new test, or explained in
mutants.toml, [[tolerated]]; otherwise the command fails. docs/mutants.md is such a report.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import SourceFileLoader
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from benchmarks import commands
from benchmarks.mutation import Mutant, apply, find
from neurohil.files import first_line

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "benchmarks/mutants.toml"
QUICK_FILE = "brainscales_emu/readable/delay.py"
# Loaded once, before the forks. None of them may start a thread.
LIBRARIES = ["numpy", "numba", "scipy.stats", "scipy.sparse", "scipy.optimize", "h5py", "simpy", "hypothesis", "mpmath"]
MEMORY_BYTES = 8 * 2**30
TEST_S = 60  # of processor time; a test that takes longer has seen the fault


class Recorder:
    """Pytest plugin: the order of the tests, limits of processor time, and what happened to each test."""

    def __init__(self, order: dict[str, float], limit_s: int) -> None:
        self._order, self._limit_s = order, limit_s
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._order.get(item.nodeid, 0.0))

    def pytest_runtest_logstart(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, TEST_S)  # ends the process, also within compiled code

    def pytest_runtest_logfinish(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        if time.process_time() > self._limit_s:
            pytest.exit("enough", returncode=0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = round(self.seconds.get(report.nodeid, 0.0) + report.duration, 3)
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def sample(files: Iterable[str], number: int, seed: int) -> list[Mutant]:
    """The first mutants of an order that only the seed and the files decide."""
    by_file = []
    for path in files:
        mutants = find(path, (ROOT / path).read_text(encoding="utf-8"))
        random.Random(f"{seed} {path}").shuffle(mutants)
        by_file.append(mutants)
    turns = (mutant for turn in zip_longest(*by_file) for mutant in turn if mutant is not None)
    return list(islice(turns, number))


def run_tests(tests: list[str], order: dict[str, float], limit_s: int) -> dict[str, Any]:
    """Run tests in this process, in ascending order, until one fails: failed tests, and seconds of each."""
    import hypothesis

    quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # a failure is enough, no simple one is needed
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=quick, deadline=None)
    recorder = Recorder(order, limit_s)
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is loaded already
    code = pytest.main([*options, *tests], plugins=[recorder])
    return {"passed": code == 0, "failed": recorder.failed, "seconds": recorder.seconds}


def in_a_fork(work: Callable[[], dict[str, Any]], limit_s: int) -> dict[str, Any]:
    """What `work` returns, computed in a fork with limits of processor time and memory; {} if it didn't return."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (2 * (limit_s + TEST_S),) * 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    # A fault may also wait for ever, which takes no processor time; on a busy machine an honest test waits as well.
    alarm = signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.alarm(20 * (limit_s + TEST_S))
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, alarm)
    os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)  # what the tests left running
    except ProcessLookupError:
        pass
    return json.loads(answer) if answer else {}


def is_compiled(path: str) -> bool:
    """Does this file hold kernels?"""
    return "njit" in (ROOT / path).read_text(encoding="utf-8")


def without_compiler(path: str) -> None:
    """Switch the compiler off if this file holds kernels."""
    if is_compiled(path):
        from numba.core import config

        os.environ["NUMBA_DISABLE_JIT"] = "1"
        config.DISABLE_JIT = True  # type: ignore[attr-defined]


def put(mutant: Mutant) -> None:
    """From now on, the import of the file finds the fault."""
    path = ROOT / mutant.path
    code = compile(apply(path.read_text(encoding="utf-8"), mutant), str(path), "exec")
    original = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> Any:
        return code if Path(loader.path) == path else original(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def outcome_of(mutant: Mutant, tests: list[str], order: dict[str, float], limit_s: int) -> dict[str, Any]:
    """Whether the tests see this fault, and which one does.

    Updates the order of the tests for the next mutant of the file: those that kill most, then the quick ones.
    """

    def work() -> dict[str, Any]:
        without_compiler(mutant.path)
        put(mutant)
        return run_tests(tests, order, limit_s)

    outcome = in_a_fork(work, limit_s)
    result = "survived" if outcome.get("passed") else "killed" if outcome.get("failed") else "stopped"
    by = outcome["failed"][0] if result == "killed" else ""
    for test, seconds in outcome.get("seconds", {}).items():
        if order.get(test, 0.0) >= 0.0:
            order[test] = seconds
    if by:
        order[by] = min(order.get(by, 0.0), 0.0) - 1.0
    return {"key": mutant.key, "line": mutant.line, "result": result, "by": by}


def check_killers(mutants: list[Mutant], results: dict[str, dict[str, Any]]) -> None:
    """Without a fault, the tests that killed mutants pass."""
    killers: dict[bool, set[str]] = {True: set(), False: set()}
    paths: dict[bool, str] = {}
    for mutant in mutants:
        by = results.get(mutant.key, {}).get("by", "")
        if "::" in by:  # else a fault that is seen when the file of tests is imported
            compiled = is_compiled(mutant.path)
            paths[compiled] = mutant.path
            killers[compiled].add(by.partition("[")[0])  # with all parameters: their names may change
    for compiled, path in paths.items():

        def work(path: str = path, compiled: bool = compiled) -> dict[str, Any]:
            without_compiler(path)
            return run_tests(sorted(killers[compiled]), {}, 3600)

        outcome = in_a_fork(work, 3600)
        if not outcome.get("passed"):
            failed = ", ".join(outcome.get("failed", ())) or "they did not end"
            raise SystemExit(f"tests fail without a fault ({failed}); mend them and remove the results")


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Results so far; the last one of a mutant holds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["key"]: entry for entry in map(json.loads, lines)}


def report(mutants: list[Mutant], results: dict[str, dict[str, Any]], reasons: dict[str, str], command: str) -> str:
    """The page docs/mutants.md."""
    done = [mutant for mutant in mutants if mutant.key in results]
    counts: dict[str, list[int]] = {}
    for mutant in done:
        survived = results[mutant.key]["result"] == "survived"
        row = counts.setdefault(mutant.path, [0, 0, 0])
        row[0] += 1
        row[1] += not survived
        row[2] += survived and mutant.key in reasons
    total, killed, explained = (sum(row[k] for row in counts.values()) for k in range(3))
    lines = [
        "# Mutants: faults put into the physics, and whether the tests see them",
        "",
        f"Written by `{command}`. Each mutant is one small fault in one file: a number 5 % off, another operator or"
        " comparison, swapped arguments, mixed-up names, a statement left out"
        " ([mutation.py](../benchmarks/mutation.py)). [mutants.py](../benchmarks/mutants.py) says how they are drawn"
        " and run, [mutants.toml](../benchmarks/mutants.toml) which tests each file must fail.",
        "",
        f"**Score: {killed} of {total} mutants killed ({100 * killed / max(total, 1):.1f} %),"
        f" {explained} survivors explained below, {total - killed - explained} not explained.**",
        "",
        "| file | mutants | killed | explained |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{path}` | {a} | {b} | {c} |" for path, (a, b, c) in sorted(counts.items())]
    lines += ["", "## Survivors", "", "| mutant | why it is tolerated |", "| --- | --- |"]
    for mutant in sorted(done, key=lambda mutant: mutant.key):
        if results[mutant.key]["result"] == "survived":
            text = mutant.key.replace("|", "\\|")
            lines.append(f"| `{text}` | {reasons.get(mutant.key, '**not explained**')} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--number", type=int, default=200, help="mutants in the sample (default 200)")
    parser.add_argument("--seed", type=int, default=13, help="decides the sample (default 13)")
    parser.add_argument("--limit", type=int, default=60, metavar="S", help="processor time for a mutant (default 60 s)")
    parser.add_argument("--survivors", action="store_true", help="test again what survived and isn't explained")
    parser.add_argument(
        "--results", type=Path, default=commands.runs("mutants", quick=False), help="folder of the results"
    )
    parser.add_argument("--report", type=Path, help="Markdown file to write (default: report.md among the results)")
    parser.add_argument("--until", type=float, default=float("inf"), help="start no mutant after so many seconds")
    parser.add_argument("only", nargs="*", help="test only mutants of these files of the sample")
    args = commands.parsed(parser, arguments, number=1, results=commands.runs("mutants", quick=True))

    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    tests: dict[str, list[str]] = settings["tests"]
    reasons = {key: entry["reason"] for entry in settings["tolerated"] for key in entry["mutants"]}
    mutants = sample([QUICK_FILE] if args.quick else tests, args.number, args.seed)

    folder = args.results.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed{args.seed}.jsonl"
    if args.quick:
        path.unlink(missing_ok=True)
    results = read_results(path)
    chosen = [mutant for mutant in mutants if not args.only or mutant.path in args.only]
    if args.survivors:
        survived = {key for key, entry in results.items() if entry["result"] == "survived"}
        chosen = [m for m in chosen if m.key in survived - reasons.keys()]
    else:
        chosen = [m for m in chosen if m.key not in results]

    page_path = (args.report or folder / "report.md").resolve()
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    os.chdir(ROOT)
    orders, start = folder / "order.json", time.monotonic()
    order = json.loads(orders.read_text(encoding="utf-8")) if orders.exists() else {}
    with path.open("a", encoding="utf-8") as file:
        for mutant in tqdm(chosen):
            if time.monotonic() - start > args.until:
                break
            entry = outcome_of(mutant, tests[mutant.path], order.setdefault(mutant.path, {}), args.limit)
            results[mutant.key] = entry
            file.write(json.dumps(entry) + "\n")
            file.flush()
            orders.write_text(json.dumps(order), encoding="utf-8")
    check_killers(mutants, results)

    command = f"make mutants N={args.number} SEED={args.seed}"
    page = report(mutants, results, reasons, command)
    with commands.errors_of("mutants"):
        commands.write(page_path, page, lambda path: first_line(path) == page.partition("\n")[0])
    survivors = [m for m in mutants if results.get(m.key, {}).get("result") == "survived" and m.key not in reasons]
    print(f"{page_path}: {len(chosen)} mutants tested, {len(survivors)} survived without a reason")
    for mutant in survivors:
        print(f"survived: {mutant.path}:{mutant.line}: {mutant.key}")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
