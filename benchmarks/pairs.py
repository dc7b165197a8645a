"""Jobs that do the same work, held against each other: results first, then times, in turn.

Seconds are those of the processor, of this process and of those that it starts, because other programs don't lengthen
them. Each repeat runs all jobs one after the other, A B A B ..., and a ratio is taken within a repeat: what slows the
machine for a while slows both.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

MOST, FEWEST = 51, 5


@dataclass(frozen=True)
class Job:
    """What is timed, `run`, on what `prepare` makes anew for each repeat, which isn't."""

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Row:
    """Jobs on one problem by name, ours first; `agree` says in few words how well their results agree, or raises
    `Disagreement`. absent: why a job isn't there, by name."""

    subject: str
    jobs: Mapping[str, Job]
    agree: Callable[[Mapping[str, Any]], str]
    absent: Mapping[str, str] = field(default_factory=dict)


class Disagreement(Exception):
    """Two jobs that should do the same work don't."""


def cpu_seconds() -> float:
    """Of this process and of all that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(job: Job, clock: Callable[[], float] = cpu_seconds) -> tuple[float, Any]:
    """Seconds of one run, and its result."""
    prepared = job.prepare()
    began = clock()
    result = job.run(prepared)
    return clock() - began, result


def measure(row: Row, budget_s: float, fewest: int = FEWEST) -> dict[str, Any]:
    """All about a row, as JSON can hold it.

    Parameters
    ----------
    row : Row
    budget_s : float
        Wall time after which no further repeat begins, once there are `fewest`.

    Raises
    ------
    Disagreement
        Nothing is timed then.
    """
    results = {name: timed(job)[1] for name, job in row.jobs.items()}  # also warms
    agreement = row.agree(results)
    seconds: dict[str, list[float]] = {name: [] for name in row.jobs}
    began = time.perf_counter()
    for repeat in range(MOST):
        if repeat >= fewest and time.perf_counter() - began > budget_s:
            break
        for name, job in row.jobs.items():
            seconds[name].append(timed(job)[0])
    ours = np.array(seconds[next(iter(seconds))])
    return {
        "subject": row.subject,
        "agreement": agreement,
        "repeats": len(ours),
        "jobs": {
            name: {"cpu_s": spread(taken), "times_ours": spread(np.array(taken) / ours)}
            for name, taken in seconds.items()
        },
        "absent": dict(row.absent),
    }


def spread(values: Any) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [float(f"{value:.4g}") for value in np.quantile(values, [0.25, 0.5, 0.75])]


def machine(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Processor, load and versions."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else None
    found = {}
    for package in ("numpy", "numba", "scipy", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed here"
    return {
        "processor": named[1] if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": found,
    }
