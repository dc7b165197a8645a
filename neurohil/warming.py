"""Compile the kernels of all kinds of runs ahead of the first run: each shipped experiment, as small as it gets.

What is compiled follows from what runs compile, so that no list of kernels has to be kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import NamedTuple

import numba

from neurohil.config import experiment_summaries
from neurohil.errors import UserError
from neurohil.kinds import KINDS


class Job(NamedTuple):
    """The smallest run of an experiment; target: the file of what it drives, such as "brainscales"."""

    kind: str
    experiment: str
    target: str

    def run(self) -> float:
        """Run it in memory; returns the seconds that it took.

        Raises
        ------
        UserError
            It can't be run here, such as for want of a data set.
        """
        began = time.perf_counter()
        kind = KINDS[self.kind]
        started = kind.start(kind.load(self.experiment, kind.smallest))
        if not kind.measures:
            started.train()
        started.result  # noqa: B018  (it concludes the run)
        return time.perf_counter() - began


class Done(NamedTuple):
    """A job that has been run, or what it lacked."""

    job: Job
    seconds: float
    lacks: str


def jobs() -> list[Job]:
    """All of them."""
    return [
        Job(kind.name, experiment, type(kind.load(experiment).target).__module__.rpartition(".")[2])
        for kind in KINDS.values()
        for experiment in experiment_summaries(kind.folder)
    ]


def done(job: Job) -> Done:
    """Run a job; what it lacks here, such as a data set, is told and no error."""
    try:
        return Done(job, job.run(), "")
    except UserError as error:
        return Done(job, 0.0, str(error))


def warm() -> Iterator[Done]:
    """Run all jobs, on all cores, and tell each when it is done.

    Jobs with one target share most kernels, so they follow each other, and a kernel is compiled once.

    Raises
    ------
    UserError
        The compiler is switched off.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UserError("NUMBA_DISABLE_JIT switches the compiler off, so there is nothing to compile; unset it")
    groups: dict[str, list[Job]] = {}
    for job in jobs():
        groups.setdefault(job.target, []).append(job)
    with ProcessPoolExecutor(min(len(groups), os.cpu_count() or 1), get_context("spawn")) as pool:
        running: dict[Future[Done], list[Job]] = {
            pool.submit(done, first): following for first, *following in groups.values()
        }
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                following = running.pop(future)
                yield future.result()
                if following:
                    running[pool.submit(done, following[0])] = following[1:]
