"""A run that is killed, at whatever moment, loses at most the epoch in progress and resumes to the same bytes."""

import functools
import os
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

from neurohil.trace import Trace, TraceError, TraceWriter, opening
from neurohil.trace.place import Place
from neurohil.trace.provenance import CHIP
from neurohil.trace.schema import EPOCH, EPOCH_AXIS, Array, Layout, Plot
from neurohil.version import software_versions


class Process:
    """A copy of this process that begins or resumes the run. With its libraries loaded, it starts in no time."""

    def __init__(self, path: Path, epochs: int) -> None:
        self.reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(writing, 1)
            sys.stdout = open(1, "w", closefd=False)
            try:
                run.main(str(path), epochs)
            finally:
                os._exit(0)
        os.close(writing)
        self.output = open(self.reading)
        assert self.output.readline() == "ready\n"

    def kill(self) -> bool:
        """Whether it was killed before it had ended."""
        os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == -signal.SIGKILL

    def reported(self) -> list[str]:
        """What it had said, once it is dead."""
        with self.output:
            return self.output.read().split()


PLAN_OF_CHIP = run.layout(run.CHIP)


@functools.cache
def values_of(epoch: int) -> dict:
    """What was written of an epoch, made up once: it is asked for after each kill."""
    return run.epoch_values(PLAN_OF_CHIP, epoch)


def check_epochs(trace: Trace, at_least: int) -> None:
    assert trace.epochs >= at_least
    assert np.array_equal(trace["run/accuracy/epoch"], np.arange(1, trace.epochs + 1))
    expected = [values_of(epoch) for epoch in range(trace.epochs)]
    for path, array in PLAN_OF_CHIP.growing().items():
        rows = np.moveaxis(trace[path], array.dims.index("epoch"), 0)
        assert len(rows) == trace.epochs
        assert all(np.array_equal(row, values[path]) for row, values in zip(rows, expected, strict=True))


@pytest.mark.parametrize(("epochs", "kills"), [(60, 15), pytest.param(120, 50, marks=pytest.mark.slow)])
def test_every_finished_epoch_survives_sigkill_and_the_end_is_the_same(tmp_path, monkeypatch, epochs, kills):
    monkeypatch.setattr(opening, "_PAUSE_S", 0.0)  # whoever wrote is dead: nothing to wait for
    reference, path = tmp_path / "reference.h5", tmp_path / "killed.h5"
    part = Path(f"{path}.part")
    run.write(reference, run.CHIP, epochs)
    rng = random.Random(1)
    killed, finished, most = 0, 0, 0
    patience = 0.05
    while killed < kills or most <= 10 or not part.exists():
        process = Process(path, epochs)
        # Long enough to create the file, or to write the finished epochs again, and then some; longer each time until
        # it has got somewhere, because a busy machine gets less far.
        time.sleep(rng.uniform(0.0, patience + 0.003 * finished))
        patience = min(1.05 * patience, 5.0) if most <= 10 else patience
        killed += process.kill()
        reported = process.reported()
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
                assert not trace.complete or trace.epochs == epochs
                finished = trace.epochs
        except TraceError:
            # Killed while the file was being created, before the first epoch.
            assert written == 0
            part.unlink(missing_ok=True)
        most = max(most, finished)
    run.resume(part, run.CHIP, epochs)
    assert path.read_bytes() == reference.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, reference]


def test_a_running_trace_can_be_watched_but_neither_resumed_nor_overwritten(tmp_path):
    path = tmp_path / "run.h5"
    part = Path(f"{path}.part")
    process = Process(path, epochs=100_000)
    try:
        for seen in map(int, islice(process.output, 3)):
            with Trace(part) as trace:
                check_epochs(trace, at_least=seen)
                assert not trace.complete
        os.kill(process.pid, signal.SIGSTOP)
        in_use = f"{part} is being written by process {process.pid}; wait for its end or stop it, or give another --out"
        with pytest.raises(TraceError, match=f"^{re.escape(in_use)}$"):
            run.write(path, run.CHIP, 1)
        with pytest.raises(TraceError, match=f"^{re.escape(in_use)}$"):
            run.resume(part, run.CHIP, 1)
    finally:
        process.kill()
        process.reported()


def test_kill_while_finishing_leaves_the_old_trace_and_a_resumable_part(tmp_path):
    """Between the last epoch and the new name there is nothing to lose but the final arrays."""
    path = tmp_path / "run.h5"
    run.write(path, run.IDEAL, 2)
    old = path.read_bytes()
    pid = os.fork()
    if pid == 0:
        rename = os.replace
        os.replace = lambda a, b: rename(a, b) if str(b).endswith(".part") else os.kill(os.getpid(), signal.SIGKILL)
        try:
            run.write(path, run.IDEAL, 3, overwrite=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == old
    run.resume(f"{path}.part", run.IDEAL, 3, overwrite=True)
    reference = tmp_path / "reference.h5"
    run.write(reference, run.IDEAL, 3)
    assert path.read_bytes() == reference.read_bytes()


LOSS = Array("loss", (EPOCH,), (None,), "float64", "1", "loss")
PLAN = Layout((Plot("run/loss", "loss", LOSS, (EPOCH_AXIS,)),), (), "delgrad", provenance=CHIP)


def write_with_state_beside(path: Path) -> None:
    """Two epochs, begun or gone on with, as a command does it; of few numbers, because they are written so often."""
    state = {"all": np.zeros(50)}
    rest = (PLAN, "killed", run.CONFIG, state)
    with Place(path) as place:
        found = place.look("killed", run.CONFIG, software_versions())
        if found == "finished":
            return
        writer = TraceWriter.resume(place, *rest) if found == "unfinished" else TraceWriter(place, *rest)
        if found == "unfinished":
            with Trace(place.part) as old:
                kept = old.large_state(state)["all"]
            assert np.all(kept == old.epochs)
        with writer:
            while writer.epochs < 2:
                epoch = writer.epochs + 1
                writer.append_epoch({"run/loss/loss": 1 / epoch}, {"all": np.full(50, float(epoch))})
            writer.finish({})


def killed_at(step: int, path: Path) -> bool:
    """Whether a copy of this process was killed just before it opened, renamed or removed something for that time."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(event: str, arguments: tuple) -> None:
            if event in ("open", "os.rename", "os.remove") and str(path) in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            write_with_state_beside(path)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("kills_more", [1, pytest.param(1000, marks=pytest.mark.slow)])
def test_killed_at_any_step_the_next_start_goes_on_by_itself(tmp_path, monkeypatch, kills_more):
    monkeypatch.setattr(opening, "_PAUSE_S", 0.0)  # whoever wrote is dead: nothing to wait for
    reference = tmp_path / "reference.h5"
    write_with_state_beside(reference)
    step = 0
    while True:
        path = tmp_path / f"killed_{step}.h5"
        was_killed = killed_at(step, path)
        again = 0
        while again < kills_more and killed_at(step + again, path):  # killed there too, a little further each time
            again += 1
        write_with_state_beside(path)
        assert path.read_bytes() == reference.read_bytes()
        assert [file for file in os.listdir(tmp_path) if file.startswith(path.name)] == [path.name]
        if not was_killed:
            break
        step += 1
    assert step >= 7  # opened: lock, new, state; renamed: twice; removed: state, lock


COMMAND = [sys.executable, "-m", "neurohil", "delgrad"]


def kill_and_resume(path, epochs, kills, seed):
    """A real training that is killed at random moments; returns how many epochs were kept in all."""
    part, rng, kept = Path(f"{path}.part"), random.Random(seed), 0
    for _ in range(kills):
        begun = ["--resume", str(part)] if part.exists() else [*REAL, "--epochs", str(epochs), "--out", str(path)]
        process = subprocess.Popen([*COMMAND, *begun], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        wanted = kept + rng.randrange(1, 4)
        while process.poll() is None and time.monotonic() < deadline and finished(part) < min(wanted, epochs):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.wait()
        if path.exists():
            return kept
        assert finished(part) >= kept
        kept = finished(part)
    return kept


def finished(part):
    try:
        with Trace(part) as trace:
            return trace.epochs
    except TraceError:  # not there yet
        return 0


REAL = ["yin_yang_weights", "--set", "training.batch=1000"]


def real_run_killed(tmp_path, epochs, kills):
    reference, path = tmp_path / "reference.h5", tmp_path / "killed.h5"
    subprocess.run([*COMMAND, *REAL, "--epochs", str(epochs), "--out", str(reference)], check=True, capture_output=True)
    kept = kill_and_resume(path, epochs, kills, seed=3)
    assert kept >= 1
    if not path.exists():
        subprocess.run([*COMMAND, "--resume", f"{path}.part"], check=True, capture_output=True)
    assert path.read_bytes() == reference.read_bytes()


@pytest.mark.slow  # test_killed_commands shows it of a command that starts in no time
@pytest.mark.compiled
def test_a_training_that_was_killed_ends_with_the_same_bytes(tmp_path):
    real_run_killed(tmp_path, epochs=100, kills=1)


@pytest.mark.slow
@pytest.mark.compiled
def test_a_training_killed_fifty_times_ends_with_the_same_bytes(tmp_path):
    real_run_killed(tmp_path, epochs=200, kills=50)
