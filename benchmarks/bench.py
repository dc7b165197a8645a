"""Our jobs beside those of other programs, at the limit of the machine, and over their size: docs/performance.md.

    python -m benchmarks.bench              # all parts, a quarter of an hour
    python -m benchmarks.bench networks     # one of them; the page is made of what the others have left

Of each comparison the results are held against each other first. Then the jobs take turns in one process on one thread,
and medians and quartiles of CPU seconds and of their ratios are kept, as JSON in benchmarks/results/performance.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

from benchmarks import commands, growth, performance_page, roofline
from benchmarks.pairs import FEWEST, Row, machine, measure

ROOT = Path(__file__).parents[1]
PEERS = {
    "training": ("torch", "jax"),
    "networks": ("nest-simulator", "sanafe"),
    "crossbars": ("aihwkit", "badcrossbar", "torch"),
    "harness": ("neurobench", "torch"),
}
"""Files of benchmarks/peers, each with `rows(quick)`, and what they compare with."""
BUDGET_S = 10.0  # of a row


def compared(name: str, quick: bool) -> dict[str, Any]:
    """All rows of a subject, measured."""
    rows: Callable[[bool], list[Row]] = import_module(f"benchmarks.peers.{name}").rows
    about, found = machine(PEERS[name]), []
    for row in rows(quick):
        found.append(measure(row, 0.0 if quick else BUDGET_S, 1 if quick else FEWEST))
        print(performance_page.line(found[-1]), flush=True)
    return {"machine": about, "rows": found}


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    name: lambda quick, name=name: compared(name, quick)  # type: ignore[misc]
    for name in PEERS
}
PARTS["roofline"] = lambda quick: {"machine": machine(), **roofline.measured(quick)}
PARTS["growth"] = lambda quick: {"machine": machine(), "lines": growth.measured(quick)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)} (default: all)")
    options = commands.parsed(parser, arguments)
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"{name!r} is no part; choose among {', '.join(PARTS)}")
    results = commands.runs("bench", True) if options.quick else ROOT / "benchmarks/results/performance"
    page = commands.runs("performance.md", True) if options.quick else ROOT / "docs/performance.md"
    with commands.errors_of("bench"):
        for name in options.parts or PARTS:
            found = PARTS[name](options.quick)
            path = results / f"{name}.json"
            commands.write(
                path, json.dumps(found, indent=1) + "\n", lambda p: commands.holds(p, lambda c: "machine" in c)
            )
        performance_page.write(results, page)
    print(page)


if __name__ == "__main__":
    main()
