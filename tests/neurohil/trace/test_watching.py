"""Following a run: every finished epoch once, and how it ended."""

import threading
import time

import pytest
import synthetic_run as run

from neurohil.results import how_to_go_on
from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.viewing.watching import follow, has_writer

SMALL = run.Case("chip_small", (4, 5, 3), (4, 5), "us")
PLAN = run.layout(SMALL, 20)


def begin(path, epochs=0, config="[data]\nt_late = 2", overwrite=False):
    writer = TraceWriter(path, PLAN, "x", config, run.STATE_SIZE, overwrite=overwrite)
    for epoch in range(epochs):
        writer.append_epoch(run.epoch_values(PLAN, epoch), run.state(epoch))
    return writer


@pytest.mark.parametrize("ending", ["", ".part"])
def test_each_epoch_is_seen_until_the_run_is_complete(ending, tmp_path):
    path = tmp_path / "run.h5"
    writer = begin(path, 1)

    def go_on():
        for epoch in range(1, 6):
            deadline = time.monotonic() + 60
            while len(seen) < min(epoch, 3) and time.monotonic() < deadline:
                time.sleep(0.005)
            writer.append_epoch(run.epoch_values(PLAN, epoch), run.state(epoch))
        writer.finish(run.final_values(SMALL, 20))

    training = threading.Thread(target=go_on)
    seen = []
    for progress in follow(f"{path}{ending}", every_s=0.01):
        if not seen:
            training.start()
        seen.append(progress)
    training.join()
    epochs = [progress.epochs for progress in seen]
    assert epochs[0] == 1 and epochs[-1] == 6 and epochs == sorted(epochs) and len(set(epochs)) >= 3
    assert [progress.ended for progress in seen[:-1]] == [""] * (len(seen) - 1) and seen[-1].ended == "complete"
    with Trace(path) as trace:
        assert list(seen[-1].curves) == ["validation accuracy", "training accuracy", "training loss"]
        assert list(seen[-1].curves["training loss"]) == list(trace["run/loss/train_loss"])
    assert all(len(curve) == progress.epochs for progress in seen for curve in progress.curves.values())


@pytest.mark.parametrize(("config", "command"), [("[data]\n", "delgrad"), ("[tasks]\n", "metaplasticity")])
def test_a_run_without_writer_has_stopped(config, command, tmp_path):
    path = tmp_path / "run.h5"
    with begin(path, 2, config):
        assert has_writer(tmp_path / "run.h5.part")
    assert not has_writer(tmp_path / "run.h5.part")
    (progress,) = follow(path)
    assert (progress.epochs, progress.ended) == (2, "stopped")
    assert how_to_go_on(path) == f"neurohil {command} --resume {path}.part"


def test_an_older_trace_of_that_name_is_not_mistaken_for_the_run(tmp_path):
    path = tmp_path / "run.h5"
    with begin(path, 3) as writer:
        writer.finish(run.final_values(SMALL, 20))
    with begin(path, 1, overwrite=True):
        assert next(follow(path)).epochs == 1
    assert how_to_go_on(path) == f"neurohil delgrad --resume {path}.part --overwrite"


def test_readers_that_open_a_trace_at_its_birth_do_not_stop_the_writer(tmp_path):
    path, done = tmp_path / "run.h5", threading.Event()
    part, opened = tmp_path / "run.h5.part", [0]

    def look():
        while not done.is_set():
            try:
                with Trace(part):
                    opened[0] += 1
            except TraceError:
                pass
            has_writer(part)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            before, deadline = opened[0], time.monotonic() + 60
            with begin(path) as writer:
                writer.append_epoch(run.epoch_values(PLAN, 0), run.state(0))
                while opened[0] < before + 2 and time.monotonic() < deadline:
                    time.sleep(0.001)
                writer.discard()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert opened[0] >= 10 and not part.exists()


def test_nothing_to_follow(tmp_path):
    with pytest.raises(TraceError, match=r"run\.h5 does not exist; check the name$"):
        next(follow(tmp_path / "run.h5"))
