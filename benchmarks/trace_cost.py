"""What its trace costs a run: the writer's share of the run's time, membranes of the watched samples included.

The writer's calls are timed inside real runs. Medians over the epochs that are run stand for all epochs of the
experiment; creating the trace, watching the samples and finishing come once. The bar is 5 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurohil.delgrad import run as delgrad
from neurohil.delgrad.training import Trainer
from neurohil.metaplasticity import run as metaplasticity
from neurohil.trace.writer import TraceWriter

BAR = 0.05
RUNS = (
    (delgrad, "yin_yang_axonal", 40),
    (delgrad, "yin_yang_synaptic", 40),
    (delgrad, "chip_yin_yang_axonal", 12),
    (metaplasticity, "mnist_fashion_ideal", 3),
)


@contextmanager
def timed(owner: type, name: str, seconds: list[float]) -> Iterator[None]:
    """Every call of a method adds the seconds that it took."""
    original = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - began)

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, original)


def measure(command: Any, experiment: str, epochs: int) -> dict[str, Any]:
    """Shares of the run's time that go into its trace: of an epoch, and of the whole experiment."""
    calls: dict[str, list[float]] = {name: [] for name in ("__init__", "append_epoch", "finish", "watch")}
    epoch_seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = command.Run(command.load(experiment))
        with (
            timed(TraceWriter, "__init__", calls["__init__"]),
            timed(TraceWriter, "append_epoch", calls["append_epoch"]),
            timed(TraceWriter, "finish", calls["finish"]),
            timed(Trainer, "watch", calls["watch"]),
            run.open_trace(Path(folder) / "run.h5") as writer,
        ):
            run.run_epoch(writer)  # compiles
            calls["append_epoch"].clear()
            for _ in range(epochs):
                began = time.perf_counter()
                run.run_epoch(writer)
                epoch_seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            run.conclude(writer)
            end_seconds = time.perf_counter() - began
    append, epoch = statistics.median(calls["append_epoch"]), statistics.median(epoch_seconds)
    once = sum(calls["__init__"]) + sum(calls["finish"]) + sum(calls["watch"])
    whole = run.epochs_in_all * epoch + end_seconds + sum(calls["__init__"])
    return {
        "experiment": experiment,
        "epochs_timed": epochs,
        "epoch_s": epoch,
        "append_s": append,
        "create_s": sum(calls["__init__"]),
        "watch_s": sum(calls["watch"]),
        "finish_s": sum(calls["finish"]),
        "share_of_epoch": append / epoch,
        "share_of_run": (run.epochs_in_all * append + once) / whole,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON line per experiment")
    options = parser.parse_args()
    for command, experiment, epochs in RUNS:
        found = measure(command, experiment, epochs)
        if options.json:
            print(json.dumps(found), flush=True)
            continue
        once_ms = 1e3 * (found["create_s"] + found["watch_s"] + found["finish_s"])
        print(
            f"{experiment:<22} epoch {1e3 * found['epoch_s']:8.1f} ms, of it {1e3 * found['append_s']:6.2f} ms trace "
            f"({found['share_of_epoch']:.1%}); once {once_ms:.0f} ms; "
            f"whole run {found['share_of_run']:.1%} (bar {BAR:.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
