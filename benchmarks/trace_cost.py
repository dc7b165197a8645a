"""What its trace costs a run: the writer's share of the run's time, membranes of the watched samples included.

The writer's calls are timed inside real runs. Medians over the epochs that are run stand for all epochs of the
experiment; creating the trace, watching the samples and finishing come once. The bar is 5 %.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import neurohil as nh
from benchmarks import commands
from neurohil.delgrad.training import Trainer
from neurohil.trace.writer import TraceWriter

BAR = 0.05
# Experiment, and epochs to run of it (of each task). The first one compiles.
RUNS = {
    "yin_yang_axonal": 41,
    "yin_yang_synaptic": 41,
    "chip_yin_yang_axonal": 13,
    "mnist_fashion_ideal": 2,
}
QUICK = {
    "yin_yang_axonal": ({}, 3),
    "mnist_fashion_ideal": ({"tasks": {"train_images": 200, "test_images": 50}, "network": {"hidden": [16]}}, 2),
}


def measure(experiment: str, epochs: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Shares of the run's time that go into its trace: of an epoch, and of the whole experiment."""
    chosen = nh.experiment(experiment).with_(**changes)
    run_class = chosen.kind.run_class
    begins: list[float] = []
    calls: dict[str, list[float]] = {name: [] for name in ("train", "create", "append", "finish", "watch", "conclude")}

    def ticking() -> float:
        begins.append(time.perf_counter())
        return begins[-1]

    with (
        tempfile.TemporaryDirectory() as folder,
        commands.timed(TraceWriter, "__init__", calls["create"]),
        commands.timed(TraceWriter, "append_epoch", calls["append"]),
        commands.timed(TraceWriter, "finish", calls["finish"]),
        commands.timed(Trainer, "watch", calls["watch"]),
        commands.timed(run_class, "conclude", calls["conclude"]),
        commands.timed(run_class, "train_epoch", calls["train"], ticking),
    ):
        nh.train(chosen, trace=Path(folder) / "run.h5", progress=False, epochs=epochs)
    # From the begin of an epoch to that of the next one, without the first.
    epoch = statistics.median(later - now for now, later in pairwise(begins[2::2]))
    append = statistics.median(calls["append"][1:])
    created, watched, finished = (sum(calls[name]) for name in ("create", "watch", "finish"))
    whole_epochs = chosen.start().epochs_in_all
    whole = whole_epochs * epoch + sum(calls["conclude"]) + created + finished
    return {
        "experiment": experiment,
        "epochs_timed": len(calls["train"]) - 2,
        "epoch_s": epoch,
        "append_s": append,
        "create_s": created,
        "watch_s": watched,
        "finish_s": finished,
        "share_of_epoch": append / epoch,
        "share_of_run": (whole_epochs * append + created + watched + finished) / whole,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON line per experiment")
    options = commands.parsed(parser, arguments)
    for experiment, (changes, epochs) in QUICK.items() if options.quick else ((k, ({}, n)) for k, n in RUNS.items()):
        found = measure(experiment, epochs, changes)
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
