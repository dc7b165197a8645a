"""States that are too large for a trace: two slots beside it, tied to it by a checksum."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.state_file import StateFile

PLAN = run.layout(run.IDEAL)


def state(epoch):
    rng = np.random.default_rng(epoch)
    return {
        "weights": rng.normal(size=(40, 30)).astype(np.float32),
        "levels": rng.integers(-7, 8, (3, 5)).astype(np.int8),
        "steps": np.array(epoch),
        "nothing": np.empty((0, 4)),
    }


def begin(path):
    return TraceWriter(path, PLAN, "ideal", run.CONFIG, state(0))


def append(writer):
    writer.append_epoch(run.epoch_values(PLAN, writer.epochs), state(writer.epochs + 1))


def same(one, other):
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype and one[name].shape == other[name].shape
        np.testing.assert_array_equal(one[name], other[name])


def write(path, epochs):
    with begin(path) as writer:
        for _ in range(epochs):
            append(writer)
        writer.finish(run.final_values(run.IDEAL))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


def interrupted(path, epochs):
    with begin(path) as writer:
        for _ in range(epochs):
            append(writer)
    return Path(f"{path}.part"), Path(f"{path}.part.state")


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_newest_state_is_read_back(path, epochs):
    part, beside = interrupted(path, epochs)
    assert beside.stat().st_size == 2 * sum(array.nbytes for array in state(0).values())
    with Trace(part) as trace:
        same(trace.large_state(state(0)), state(epochs))


@pytest.mark.parametrize("epochs", [0, 1, 2, 3])
def test_resumed_to_the_same_bytes_and_nothing_left_beside(tmp_path, path, epochs):
    reference = tmp_path / "reference.h5"
    write(reference, 4)
    part, beside = interrupted(path, epochs)
    if epochs == 0:
        beside.unlink()
    with TraceWriter.resume(part, PLAN, "ideal", run.CONFIG, state(0)) as writer:
        assert writer.epochs == epochs
        if epochs:
            with Trace(part) as trace:
                same(trace.large_state(state(0)), state(epochs))
        while writer.epochs < 4:
            append(writer)
        writer.finish(run.final_values(run.IDEAL))
    assert path.read_bytes() == reference.read_bytes()
    assert sorted(tmp_path.iterdir()) == [reference, path]


def test_finished_traces_tell_their_states_apart(tmp_path, monkeypatch):
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    write(one, 2)
    real = state
    monkeypatch.setitem(globals(), "state", lambda epoch: real(epoch) | {"steps": np.array(epoch + 1)})
    write(other, 2)
    assert one.read_bytes() != other.read_bytes()


def test_a_write_cut_short_spares_the_last_finished_epoch(path):
    """Killed anywhere while the next state is written: its slot is rubbish, the trace doesn't count the epoch."""
    part, beside = interrupted(path, 2)
    size = beside.stat().st_size
    with beside.open("r+b") as file:
        file.seek(size // 2)  # epoch 3 goes into slot 1
        file.write(b"rubbish" * 20)
    with Trace(part) as trace:
        same(trace.large_state(state(0)), state(2))


@pytest.mark.parametrize("harm", ["missing", "another run", "cut", "one bit"])
def test_another_state_is_refused(tmp_path, path, harm):
    part, beside = interrupted(path, 2)
    content = bytearray(beside.read_bytes())
    if harm == "missing":
        beside.unlink()
    elif harm == "another run":
        _, other = interrupted(tmp_path / "other.h5", 1)  # after one epoch, not two
        beside.write_bytes(other.read_bytes())
    elif harm == "cut":
        beside.write_bytes(content[:100])
    else:
        content[17] ^= 1
        beside.write_bytes(content)
    reason = "doesn't hold the state after epoch 2"
    if harm == "missing":
        reason = "can't be read (No such file or directory)"
    text = f"{beside} {reason}; keep it beside the trace that it was written with, or start the run anew"
    with Trace(part) as trace, pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        trace.large_state(state(0))


def test_a_trace_that_keeps_its_state_itself_has_none_beside(path):
    with TraceWriter(path, PLAN, "ideal", run.CONFIG, run.STATE_SIZE) as writer:
        writer.append_epoch(run.epoch_values(PLAN, 0), run.state(0))
    with Trace(f"{path}.part") as trace, pytest.raises(TraceError, match="keeps its state itself, not beside it"):
        trace.large_state(state(0))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": np.array(1.0)}, "state['steps'] is float64 (); give int64 ()"),
        ({"weights": np.zeros((3, 3), np.float32)}, "state['weights'] is float32 (3, 3); give float32 (40, 30)"),
        ({"more": np.zeros(1)}, "state['more'] is float64 (1,); give none of that name"),
    ],
)
def test_states_of_another_kind_are_refused(path, change, text):
    with begin(path) as writer:
        with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
            writer.append_epoch(run.epoch_values(PLAN, 0), state(1) | change)
        assert writer.epochs == 0
        append(writer)
    with Trace(f"{path}.part") as trace:
        same(trace.large_state(state(0)), state(1))


def test_no_room_leaves_no_file(path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(TraceError, match=r"run.h5.part.state can't be created with 0 MB \(No space left on device\)"):
        begin(path)
    assert list(path.parent.iterdir()) == []


def test_what_belongs_to_no_run_is_not_overwritten(path):
    beside = Path(f"{path}.part.state")
    beside.write_bytes(b"theirs")
    with pytest.raises(TraceError, match=r"run.h5.part.state is in the way and belongs to no run; move it away"):
        write(path, 2)
    assert beside.read_bytes() == b"theirs" and list(path.parent.iterdir()) == [beside]


def test_what_a_killed_run_left_beside_is_no_obstacle(path):
    """Killed while it was created, or when the finished trace had its name already: it leaves its lock as well."""
    Path(f"{path}.part.state").write_bytes(b"old")
    Path(f"{path}.part.lock").touch()
    write(path, 2)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_file_system_that_cannot_reserve_room(path, number, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    if number:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    part, beside = interrupted(path, 2)
    assert beside.stat().st_size == 2 * sum(array.nbytes for array in state(0).values())
    with Trace(part) as trace:
        same(trace.large_state(state(0)), state(2))


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_files_have_the_rights_that_the_umask_leaves_and_their_owner_can_read_them(path, mask):
    before = os.umask(mask)
    try:
        found = [file.stat().st_mode & 0o777 for file in interrupted(path.parent / "new" / "run.h5", 1)]
        folder = (path.parent / "new").stat().st_mode & 0o777
    finally:
        os.umask(before)
    assert found == [(0o666 & ~mask) | 0o600] * 2 and folder == (0o777 & ~mask) | 0o700


def test_a_discarded_run_leaves_nothing(path):
    with begin(path) as writer:
        writer.discard()
    assert list(path.parent.iterdir()) == []


def test_slots_alternate(tmp_path):
    file = StateFile(tmp_path / "state", state(0))
    file.create()
    sums = {epochs: file.write(epochs, state(epochs)) for epochs in (1, 2, 3)}
    same(file.read(3, sums[3]), state(3))
    same(file.read(2, sums[2]), state(2))
    with pytest.raises(TraceError, match="doesn't hold the state after epoch 1"):
        file.read(1, sums[1])
