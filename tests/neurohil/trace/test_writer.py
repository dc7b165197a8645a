"""What the writer promises besides surviving kills: equal bytes, old files kept, clear refusals."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import Trace, TraceError, TraceWriter, creation, writer


def refuses(text: str):
    return pytest.raises(TraceError, match=f"^{re.escape(text)}$")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


def begin(path, case=run.IDEAL, overwrite=False):
    return TraceWriter(path, run.layout(case), case.name, run.CONFIG, run.STATE_SIZE, overwrite=overwrite)


def append(trace, case=run.IDEAL):
    trace.append_epoch(run.epoch_values(run.layout(case), trace.epochs), run.state(trace.epochs))


@pytest.mark.parametrize("case", [run.CHIP, run.IDEAL, run.SYNAPTIC, run.DEEP], ids=lambda case: case.name)
def test_what_is_written_is_read(path, case):
    run.write(path, case, 5)
    plan = run.layout(case)
    with Trace(path) as trace:
        assert (trace.title, trace.config, trace.complete, trace.epochs) == (case.name, run.CONFIG, True, 5)
        assert np.array_equal(trace.state(), run.state(4))
        for name, array in plan.static().items():
            assert np.array_equal(trace[name], array.values)
        for name, array in plan.growing().items():
            for epoch in range(5):
                row = trace[name].take(epoch, axis=array.dims.index("epoch"))
                assert np.array_equal(row, run.epoch_values(plan, epoch)[name])
        for name, values in run.final_values(case).items():
            assert np.array_equal(trace[name], np.asarray(values, trace[name].dtype))
        assert set(trace.versions) == {"python", "numpy", "numba", "h5py", "neurohil"}
        assert trace.versions["numpy"] == np.__version__


def test_equal_runs_give_equal_bytes_at_different_times(tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    run.write(first, run.CHIP, 20)
    time.sleep(1.1)
    run.write(second, run.CHIP, 20)
    assert first.read_bytes() == second.read_bytes()


def test_a_different_value_gives_different_bytes(tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    run.write(first, run.IDEAL, 2)
    run.write(second, run.IDEAL, 3)
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("epochs", [0, 1, 2, 3])
def test_a_closed_run_resumes_to_the_same_bytes(tmp_path, epochs):
    reference, path = tmp_path / "reference.h5", tmp_path / "run.h5"
    run.write(reference, run.SYNAPTIC, 4)
    with begin(path, run.SYNAPTIC) as trace:
        for _ in range(epochs):
            append(trace, run.SYNAPTIC)
    run.resume(f"{path}.part", run.SYNAPTIC, 4)
    assert path.read_bytes() == reference.read_bytes()


def test_a_value_refused_halfway_leaves_no_trace_of_it(tmp_path):
    reference, path = tmp_path / "reference.h5", tmp_path / "run.h5"
    run.write(reference, run.IDEAL, 2)
    plan = run.layout(run.IDEAL)
    with begin(path) as trace:
        append(trace)
        with pytest.raises(TraceError, match=r"^state has type float64 and shape \(3,\); give "):
            trace.append_epoch(run.epoch_values(plan, 1), np.zeros(3))
        append(trace)
        with pytest.raises(TraceError, match=r"^run/\S+ is missing; give an array for each path of the layout"):
            trace.finish({})
        trace.finish(run.final_values(run.IDEAL))
    assert path.read_bytes() == reference.read_bytes()


def test_interrupted_run_in_the_way(path):
    with begin(path) as trace:
        append(trace)
        append(trace)
    with refuses(
        f"{path}.part holds 2 finished epochs of an interrupted run; continue with "
        f"`neurohil delgrad --resume {path}.part`, or delete that file and run again"
    ):
        begin(path)


def test_rubbish_in_the_way(path):
    part = Path(f"{path}.part")
    part.write_bytes(b"rubbish")
    for overwrite in (False, True):
        with pytest.raises(
            TraceError, match=f"^{re.escape(str(part))} is in the way, and nothing is written over it: "
        ):
            begin(path, overwrite=overwrite)
    assert part.read_bytes() == b"rubbish" and os.listdir(path.parent) == ["run.h5.part"]


def test_a_trace_is_not_replaced_unless_that_is_asked_for(path):
    run.write(path, run.IDEAL, 1)
    old = path.read_bytes()
    with refuses(f"{path} exists; give another --out, or --overwrite to replace it when this run has finished"):
        begin(path)
    assert path.read_bytes() == old and os.listdir(path.parent) == ["run.h5"]


def test_replaced_trace_stays_until_the_new_run_has_finished(path):
    run.write(path, run.IDEAL, 1)
    old = path.read_bytes()
    with begin(path, overwrite=True) as trace:
        append(trace)
        append(trace)
        assert path.read_bytes() == old
        trace.finish(run.final_values(run.IDEAL))
    with Trace(path) as new:
        assert new.epochs == 2


def test_a_file_that_appears_during_the_run_is_not_replaced(tmp_path, path):
    reference = tmp_path / "reference.h5"
    run.write(reference, run.IDEAL, 1)
    with begin(path) as trace:
        append(trace)
        path.write_text("theirs")
        with pytest.raises(
            TraceError, match=r"run\.h5 appeared during the run, so it stays, .* kept in .*run\.h5\.part;"
        ):
            trace.finish(run.final_values(run.IDEAL))
    assert path.read_text() == "theirs"
    path.unlink()
    run.resume(f"{path}.part", run.IDEAL, 1)
    assert path.read_bytes() == reference.read_bytes()


def test_folders_are_made_and_removed_if_nothing_comes_of_it(tmp_path):
    path = tmp_path / "new" / "deep" / "run.h5"
    with pytest.raises(TraceError, match="is closed for writing"), begin(path) as trace:
        trace.discard()
        append(trace)
    assert os.listdir(tmp_path) == []
    run.write(path, run.IDEAL, 1)
    assert path.exists()


def test_links_are_not_followed(path):
    os.symlink(path.parent / "nothing", f"{path}.part")
    with refuses(f"{path}.part is a link, and only regular files are written; give another --out"):
        begin(path)
    assert os.listdir(path.parent) == ["run.h5.part"]


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_finished_epochs_outlive_their_folder(tmp_path, how, monkeypatch):
    path, reference, elsewhere = tmp_path / "runs" / "run.h5", tmp_path / "reference.h5", tmp_path / "temporary"
    run.write(reference, run.IDEAL, 4)
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with begin(path) as trace:
        append(trace)
        append(trace)
        if how == "moved":
            path.parent.rename(tmp_path / "moved")
        else:
            shutil.rmtree(path.parent)
        with pytest.raises(TraceError, match=r"run\.h5\.part is gone: .* 2 finished epochs are kept in") as told:
            append(trace)
    part = re.search(r"kept in (.*?);", str(told.value))[1]
    assert f"neurohil delgrad --resume {part}`" in str(told.value)
    run.resume(part, run.IDEAL, 4)
    assert Path(part.removesuffix(".part")).read_bytes() == reference.read_bytes()


def test_other_files_in_our_place_are_not_deleted(path):
    with begin(path) as trace:
        Path(f"{path}.part").unlink()
        Path(f"{path}.part").write_text("theirs")
        trace.discard()
    assert Path(f"{path}.part").read_text() == "theirs"


def test_room_for_all_epochs_is_demanded_before_the_first(path, monkeypatch):
    plan = run.layout(run.IDEAL)
    row = 8 * (4 * 30 + 30 * 3 + 5 + 1)
    needed = writer.estimated_bytes(plan, 10**6, run.STATE_SIZE)
    assert needed == pytest.approx(row * 10**6, rel=0.02)
    little_room(monkeypatch, needed // 10**6 + 63)
    text = f"and {needed // 10**6} MB are needed with 64 MB in reserve; make room, then run again"
    with pytest.raises(TraceError, match=re.escape(text)):
        TraceWriter(path, plan, "x", "", run.STATE_SIZE, epochs=10**6)
    assert os.listdir(path.parent) == []
    little_room(monkeypatch, needed // 10**6 + 64)
    TraceWriter(path, plan, "x", "", run.STATE_SIZE, epochs=10**6).close()


@pytest.mark.parametrize("answer", [OSError(95, "Operation not supported"), None])
def test_a_system_that_cannot_tell_how_much_room_there_is(path, answer, monkeypatch):
    if answer:
        monkeypatch.setattr(os, "statvfs", lambda _: (_ for _ in ()).throw(answer))
    else:
        monkeypatch.delattr(os, "statvfs")
    run.write(path, run.IDEAL, 1)


def test_closed_writer(path):
    trace = begin(path)
    append(trace)
    trace.close()
    trace.close()
    text = (
        f"the trace {path} is closed for writing; continue with `neurohil delgrad --resume {path}.part`, "
        "or delete that file and run again"
    )
    with refuses(text):
        append(trace)
    with refuses(text):
        trace.finish(run.final_values(run.IDEAL))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"run/weights_0/weights": np.zeros((30, 4))}, "run/weights_0/weights has shape (30, 4); give (4, 30)"),
        ({"run/loss/train_loss": 1j}, "run/loss/train_loss has type complex128; give float64"),
        ({"run/loss/train_loss": "low"}, "run/loss/train_loss has type <U3; give float64"),
        ({"run/loss/train_loss": [1.0]}, "run/loss/train_loss has shape (1,); give ()"),
    ],
)
def test_wrong_epoch_value(path, change, text):
    values = run.epoch_values(run.layout(run.IDEAL), 0)
    with begin(path) as trace, refuses(text):
        trace.append_epoch(values | change, run.state(0))


def test_missing_and_unknown_epoch_values(path):
    values = run.epoch_values(run.layout(run.IDEAL), 0)
    with begin(path) as trace:
        with refuses(f"run/loss/test_loss has no place here; the paths are {', '.join(values)}"):
            trace.append_epoch(values | {"run/loss/test_loss": 0.0}, run.state(0))
        del values["run/loss/train_loss"]
        with refuses("run/loss/train_loss is missing; give an array for each path of the layout"):
            trace.append_epoch(values, run.state(0))


@pytest.mark.parametrize("state", [np.zeros(9), np.zeros(run.STATE_SIZE, np.float32), np.zeros((1, run.STATE_SIZE))])
def test_wrong_state(path, state):
    text = f"state has type {state.dtype} and shape {state.shape}; give float64 of shape ({run.STATE_SIZE},)"
    with begin(path) as trace, refuses(text):
        trace.append_epoch(run.epoch_values(run.layout(run.IDEAL), 0), state)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"run/samples/1/raster/time": np.zeros(7)},
            "run/samples/1/raster/time has 7 entries along event, but run/samples/1/raster/layer has {events}; "
            "give equally many",
        ),
        (
            {"run/decision_map/x": np.zeros(5)},
            "run/decision_map/x has 5 entries along x, but run/decision_map/predicted has 61; give equally many",
        ),
        (
            {"run/samples/0/membrane/potential": np.zeros((4, 300), np.float32)},
            "run/samples/0/membrane/potential has shape (4, 300); give (33, 'any')",
        ),
        ({"run/decisions/predicted": np.zeros(200)}, "run/decisions/predicted has type float64; give int64"),
    ],
)
def test_wrong_final_value(path, change, text):
    values = run.final_values(run.IDEAL)
    events = len(values["run/samples/1/raster/layer"])
    with begin(path) as trace, refuses(text.format(events=events)):
        append(trace)
        trace.finish(values | change)
    assert not path.exists()


def test_resume_wants_a_part_file(path):
    run.write(path, run.IDEAL, 1)
    with refuses(f"{path} is no interrupted run; give a file whose name ends in .part"):
        run.resume(path, run.IDEAL, 2)


def test_resume_of_nothing(path):
    with refuses(f"{path}.part does not exist; check the name"):
        run.resume(f"{path}.part", run.IDEAL, 2)


def another_pattern():
    case = run.CHIP
    pattern = run.fixed_pattern(case)
    pattern[0] = pattern[0]._replace(values=pattern[0].values + 1e-9)
    return run.delgrad_layout(case.layers, case.delays, 200, case.time_units, run.provenance_of(case), pattern)


@pytest.mark.parametrize(
    ("plan", "title", "config", "size", "what"),
    [
        (run.layout(run.CHIP), "another", run.CONFIG, run.STATE_SIZE, "title"),
        (run.layout(run.CHIP), run.CHIP.name, "seed = 4", run.STATE_SIZE, "config"),
        (run.layout(run.CHIP), run.CHIP.name, run.CONFIG, 5, "run/state"),
        (run.layout(run.SYNAPTIC), run.CHIP.name, run.CONFIG, run.STATE_SIZE, "run/weights_0/weights"),
        (another_pattern(), run.CHIP.name, run.CONFIG, run.STATE_SIZE, "run/chip/threshold_lsb/threshold_lsb"),
    ],
)
def test_resume_with_something_else_than_begun_with(path, plan, title, config, size, what):
    with begin(path, run.CHIP) as trace:
        append(trace, run.CHIP)
    part = Path(f"{path}.part")
    kept = part.read_bytes()
    with refuses(
        f"{part} was begun with another {what}; resume it with what it was begun with, or delete it and run again"
    ):
        TraceWriter.resume(part, plan, title, config, size)
    assert part.read_bytes() == kept
    assert list(path.parent.iterdir()) == [part]


@pytest.mark.parametrize("moment", ["_create_dataset", "append_epoch"])
def test_interrupted_resume_changes_nothing(path, monkeypatch, moment):
    with begin(path) as trace:
        append(trace)
    kept = Path(f"{path}.part").read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TraceWriter if moment == "append_epoch" else creation, moment, interrupt)
        run.resume(f"{path}.part", run.IDEAL, 2)
    assert os.listdir(path.parent) == ["run.h5.part"]
    assert Path(f"{path}.part").read_bytes() == kept
    run.resume(f"{path}.part", run.IDEAL, 2)


def test_resume_with_other_software(path, monkeypatch):
    with begin(path) as trace:
        append(trace)
    monkeypatch.setattr("neurohil.version.__version__", "9.9.9")
    with refuses(
        f"{path}.part was begun with neurohil 0.1.0, but this is neurohil 9.9.9, which may give other numbers; "
        "install neurohil 0.1.0, or delete the file and run again"
    ):
        run.resume(f"{path}.part", run.IDEAL, 2)


def little_room(monkeypatch, megabytes: int) -> None:
    real = os.statvfs

    def statvfs(folder):
        return os.statvfs_result([*real(folder)[:1], 10**6, *real(folder)[2:4], megabytes, *real(folder)[5:]])

    monkeypatch.setattr(os, "statvfs", statvfs)


def test_full_disk(path, monkeypatch):
    run.write(path, run.IDEAL, 1)
    old = path.read_bytes()
    folder, part = path.parent, f"{path}.part"
    room = f"{folder} has 63 MB left, and a trace is written with 64 MB in reserve; make room, then "
    with begin(path, overwrite=True) as trace:
        append(trace)
        append(trace)
        little_room(monkeypatch, 63)
        go_on = f"continue with `neurohil delgrad --resume {part} --overwrite`, or delete that file and run again"
        with refuses(f"{room}{go_on}"):
            append(trace)
    with refuses(f"{room}run again"):
        run.resume(part, run.IDEAL, 3, overwrite=True)
    assert sorted(os.listdir(folder)) == ["run.h5", "run.h5.part"]
    assert path.read_bytes() == old
    with Trace(part) as trace:
        assert trace.epochs == 2
    Path(part).unlink()
    with refuses(f"{room}run again"):
        begin(path, overwrite=True)
    little_room(monkeypatch, 64)
    run.write(path, run.IDEAL, 2, overwrite=True)


DEAD_DISK = """
import os, sys
sys.path.insert(0, {folder!r})
import synthetic_run as run
from neurohil.trace import TraceError, TraceWriter
plan = run.layout(run.IDEAL)
trace = TraceWriter({path!r}, plan, run.IDEAL.name, run.CONFIG, run.STATE_SIZE)
try:
    for epoch in range(20):
        if epoch == 13:
            os.dup2(os.open("/dev/full", os.O_RDWR), trace._file.id.get_vfd_handle())
        trace.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
except TraceError as error:
    print(error, flush=True)
"""


def test_write_error_keeps_finished_epochs(tmp_path):
    path, reference = tmp_path / "run.h5", tmp_path / "reference.h5"
    part = f"{path}.part"
    script = DEAD_DISK.format(folder=str(Path(run.__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == (
        f"{part} can't be written (No space left on device), its 13 finished epochs are kept; mend that, then "
        f"continue with `neurohil delgrad --resume {part}`, or delete that file and run again"
    )
    with Trace(part) as trace:
        assert trace.epochs == 13
        assert np.array_equal(trace.state(), run.state(12))
    run.resume(part, run.IDEAL, 20)
    run.write(reference, run.IDEAL, 20)
    assert path.read_bytes() == reference.read_bytes()


def test_object_headers_that_change_lie_within_one_page(path):
    """A write that is cut short between two pages by a kill can't tear them."""
    run.write(path, run.SYNAPTIC, 40)
    with h5py.File(path) as file:
        for name in ["run/epoch", *run.layout(run.SYNAPTIC).growing()]:
            info = h5py.h5o.get_info(file[name].id)
            assert info.hdr.nchunks == 1
            assert info.addr // 4096 == (info.addr + info.hdr.space.total - 1) // 4096


def test_growing_arrays_leave_no_unused_space(path):
    """Were chunks compressed, every epoch would move them and lose the old place."""
    run.write(path, run.SYNAPTIC, 1)
    short = path.stat().st_size
    run.write(path, run.SYNAPTIC, 101, overwrite=True)
    content = 100 * 8 * (5 + 120 + 90 + 120 + 90)
    assert path.stat().st_size - short < 1.5 * content
