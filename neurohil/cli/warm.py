"""`neurohil warm`: compile ahead of the first run, with a line for each job as it is done."""

from __future__ import annotations

import os
import sys
import time

from neurohil.text import say


def warm() -> None:
    """Run all jobs of `neurohil.warming`.

    Raises
    ------
    UserError
        The compiler is switched off.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as of runs; processes that do the jobs inherit it
    from neurohil import warming

    count, began = len(warming.jobs()), time.perf_counter()
    say(f"compiling the kernels of {count} experiments, once; about a minute on two cores")
    for number, (job, seconds, lacks) in enumerate(warming.warm(), 1):
        told = f"left out: {lacks}" if lacks else f"{seconds:.1f} s"
        say(f"{number:>3} of {count}  {f'{job.kind} {job.experiment}':<42} {told}")
        sys.stdout.flush()
    say(f"done in {time.perf_counter() - began:.0f} s")
