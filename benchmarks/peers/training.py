"""An epoch of DelGrad on ideal neurons, beside PyTorch and jitted JAX in either precision."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from benchmarks.pairs import Disagreement, Job, Row
from benchmarks.peers import NOT_INSTALLED, delgrad

NAMES = ("torch float64", "torch float32", "jax float64", "jax float32")


def rows(quick: bool) -> list[Row]:
    """4-30-3 with each kind of delays, and 784-350-10."""
    there = [name for name in NAMES if importlib.util.find_spec(name.split()[0])]
    absent = {name: NOT_INSTALLED for name in NAMES if name not in there}
    samples = 150 if quick else 5000
    problems = {"4-30-3, weights": delgrad.small("none", samples)}
    if not quick:
        problems |= {f"4-30-3, {delays} delays": delgrad.small(delays) for delays in ("axonal", "synaptic")}
        problems["784-350-10, a fifth of the inputs arrives"] = delgrad.large()
    found = []
    for title, problem in problems.items():
        try:
            epochs: dict[str, Callable[[], object]] = delgrad.epochs(problem, there)
        except AssertionError as error:
            raise Disagreement(f"{title}: {error}") from error
        jobs = {name: Job(lambda _, epoch=epoch: epoch()) for name, epoch in epochs.items()}  # type: ignore[misc]
        found.append(Row(f"DelGrad epoch, {title}", jobs, agree, absent))
    return found


def agree(results: object) -> str:
    """`epochs` has compared all first spikes before it returned anything to time."""
    return "all first spikes of a batch equal to 1e-9, in float32 to 1e-5"
