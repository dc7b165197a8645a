"""The metrics of NeuroBench, beside its own harness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import neurobench_speed
from benchmarks.pairs import Disagreement, Job, Row
from benchmarks.peers import NOT_INSTALLED


def rows(quick: bool) -> list[Row]:
    """A perceptron on 10 000 samples."""
    found = neurobench_speed.jobs()
    absent = {} if neurobench_speed.OFFICIAL in found else {neurobench_speed.OFFICIAL: NOT_INSTALLED}
    jobs = {name: Job(lambda _, job=job: job()) for name, job in found.items()}  # type: ignore[misc]
    return [Row("NeuroBench metrics, 64-256-10, 10 000 samples", jobs, agree, absent)]


def agree(results: Mapping[str, Any]) -> str:
    """The same numbers, to float32's rounding of sums."""
    try:
        neurobench_speed.check_equal(dict(results))
    except SystemExit as error:
        raise Disagreement(str(error)) from error
    return "all metrics equal to 1e-6"
