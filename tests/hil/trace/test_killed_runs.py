"""A run that is killed, at whatever moment, loses at most the epoch in progress and resumes to the same bytes."""

import random
import re
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import synthetic_run as run

from hil.trace import Trace, TraceError

EPOCHS = 120
KILLS = 14


def start(path: Path) -> subprocess.Popen[str]:
    """A process that begins or resumes the run and has loaded its libraries."""
    process = subprocess.Popen(
        [sys.executable, run.__file__, str(path), str(EPOCHS)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_epochs(trace: Trace, at_least: int) -> None:
    plan = run.layout(run.CHIP)
    assert trace.epochs >= at_least
    assert np.array_equal(trace["run/accuracy/epoch"], np.arange(1, trace.epochs + 1))
    expected = [run.epoch_values(plan, epoch) for epoch in range(trace.epochs)]
    for path, array in plan.growing().items():
        rows = np.moveaxis(trace[path], array.dims.index("epoch"), 0)
        assert len(rows) == trace.epochs
        assert all(np.array_equal(row, values[path]) for row, values in zip(rows, expected, strict=True))


def test_every_finished_epoch_survives_sigkill_and_the_end_is_the_same(tmp_path):
    reference, path = tmp_path / "reference.h5", tmp_path / "killed.h5"
    part = Path(f"{path}.part")
    run.write(reference, run.CHIP, EPOCHS)
    rng = random.Random(1)
    killed, finished, most = 0, 0, 0
    patience = 0.15
    while killed < KILLS or most <= 10 or not part.exists():
        process = start(path)
        # Long enough to create the file, or to write the finished epochs again, and then some; longer each time,
        # because a busy machine gets less far.
        time.sleep(rng.uniform(0.0, patience + 0.006 * finished))
        patience = min(1.05 * patience, 5.0)
        process.kill()
        reported = process.communicate()[0].split()
        killed += process.returncode == -signal.SIGKILL
        if path.exists():
            assert path.read_bytes() == reference.read_bytes()
            path.unlink()
            finished = 0
            continue
        written = max(finished, int(reported[-1]) if reported else 0)
        try:
            with Trace(part) as trace:
                check_epochs(trace, at_least=written)
                if trace.epochs:
                    assert np.array_equal(trace.state(), run.state(trace.epochs - 1))
                assert trace.epochs <= written + 1
                assert not trace.complete or trace.epochs == EPOCHS
                finished = trace.epochs
        except TraceError:
            # Killed while the file was being created, before the first epoch.
            assert written == 0
            part.unlink(missing_ok=True)
        most = max(most, finished)
    run.resume(part, run.CHIP, EPOCHS)
    assert path.read_bytes() == reference.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, reference]


def test_a_running_trace_can_be_watched_but_neither_resumed_nor_overwritten(tmp_path):
    path = tmp_path / "run.h5"
    part = Path(f"{path}.part")
    process = start(path)
    assert process.stdout is not None
    try:
        for seen in map(int, islice(process.stdout, 5)):
            with Trace(part) as trace:
                check_epochs(trace, at_least=seen)
                assert not trace.complete
        process.send_signal(signal.SIGSTOP)
        in_use = f"{part} is in use by another process, a run or a viewer; wait for its end or stop it"
        with pytest.raises(TraceError, match=f"^{re.escape(in_use)}$"):
            run.write(path, run.CHIP, 1)
        with pytest.raises(TraceError, match=f"^{re.escape(in_use)}$"):
            run.resume(part, run.CHIP, 1)
    finally:
        process.kill()
        process.communicate()


def test_kill_while_finishing_leaves_the_old_trace_and_a_resumable_part(tmp_path):
    """Between the last epoch and the new name there is nothing to lose but the final arrays."""
    path = tmp_path / "run.h5"
    run.write(path, run.IDEAL, 2)
    old = path.read_bytes()
    script = (
        f"import os, signal, sys; sys.path.insert(0, {str(Path(run.__file__).parent)!r});"
        "import synthetic_run as run;"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"run.write({str(path)!r}, run.IDEAL, 3)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=Path.cwd()).returncode == -signal.SIGKILL
    assert path.read_bytes() == old
    run.resume(f"{path}.part", run.IDEAL, 3)
    reference = tmp_path / "reference.h5"
    run.write(reference, run.IDEAL, 3)
    assert path.read_bytes() == reference.read_bytes()
