"""A disk that is full, or refuses: no finished epoch is lost, one clear line says how to go on, nothing crashes."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import Trace, TraceError, TraceWriter, place
from neurohil.trace.reader import finished_epochs

EPOCHS = 60

RUN = """
import os, resource, sys
sys.path.insert(0, {folder!r})
import numpy as np
import synthetic_run as run
from neurohil.trace import Trace, TraceError, TraceWriter, place
place._RESERVE_MB = 0  # the check before each epoch would keep the disk from being full
plan, part, size = run.layout(run.IDEAL), {path!r} + ".part", {state}
state = lambda epoch: run.state(epoch) if isinstance(size, int) else {{"all": np.full(size[0], epoch)}}
begun = run.STATE_SIZE if isinstance(size, int) else state(0)
try:
    rest = (plan, run.IDEAL.name, run.CONFIG, begun)
    made = TraceWriter.resume(part, *rest) if os.path.exists(part) else TraceWriter({path!r}, *rest)
    with made as trace:
        while trace.epochs < {epochs}:
            trace.append_epoch(run.epoch_values(plan, trace.epochs), state(trace.epochs))
            print(trace.epochs)
        trace.finish(run.final_values(run.IDEAL))
except TraceError as error:
    print(error)
"""


def write(path, state=0):
    """What the run said, line by line; it must end well."""
    script = RUN.format(folder=str(Path(run.__file__).parent), path=str(path), epochs=EPOCHS, state=state)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk, of a size that can be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)

    def resize(kilobytes):
        remount = 32 if os.path.ismount(folder) else 0  # MS_REMOUNT
        if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", remount, f"size={kilobytes}k".encode()):
            pytest.skip(f"mounting a small disk takes rights that this user lacks ({os.strerror(ctypes.get_errno())})")
        return folder

    yield resize
    libc.umount2(bytes(folder), 2)  # MNT_DETACH


def size_kb(tmp_path):
    run.write(tmp_path / "whole.h5", run.IDEAL, EPOCHS)
    return (tmp_path / "whole.h5").stat().st_size // 1024


# The disk is full before the first epoch, after some, and twice while the run is finished.
@pytest.mark.parametrize(
    "share", [0.3, 0.6, 0.7, 0.97, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.75, 0.8, 0.9))]
)
def test_full_disk(tmp_path, disk, share):
    whole = size_kb(tmp_path)
    path = disk(int(share * whole)) / "run.h5"
    part = Path(f"{path}.part")
    *epochs, said = write(path, state=run.STATE_SIZE)
    if not part.exists():
        assert said == f"{part} can't be created (No space left on device); choose another file"
        assert os.listdir(path.parent) == []
    else:
        known = len(epochs)
        assert said == (
            f"{part} can't be written (No space left on device), its {known} finished epochs are kept; mend that, then "
            f"continue with `neurohil delgrad --resume {part}`, or delete that file and run again"
        )
        with Trace(part) as trace:
            assert trace.epochs in (known, known + 1)  # the one in progress may have been complete
            plan = run.layout(run.IDEAL)
            for name, array in plan.growing().items():
                rows = np.moveaxis(trace[name], array.dims.index("epoch"), 0)
                assert all(np.array_equal(row, run.epoch_values(plan, k)[name]) for k, row in enumerate(rows))
            if trace.epochs:
                assert np.array_equal(trace.state(), run.state(trace.epochs - 1))
    disk(4 * whole)
    write(path, state=run.STATE_SIZE)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("numbers", [20_000, 2_000])
def test_full_disk_with_the_state_beside(tmp_path, disk, numbers):
    """The state's room is taken at the start, so that only the trace can lack some."""
    whole = tmp_path / "whole.h5"
    write(whole, state=(numbers,))
    kilobytes = whole.stat().st_size // 1024 + 16 * numbers // 1024
    path = disk(int(0.8 * kilobytes) if numbers < 10_000 else 200) / "run.h5"
    part, beside = Path(f"{path}.part"), Path(f"{path}.part.state")
    *epochs, said = write(path, state=(numbers,))
    if numbers > 10_000:
        assert (
            said == f"{beside} can't be created with 0 MB (No space left on device); make room, or choose another file"
        )
        assert os.listdir(path.parent) == []
    else:
        assert f"{part} can't be written (No space left on device), its {len(epochs)} finished epochs are kept" in said
        with Trace(part) as trace:
            if trace.epochs:
                kept = trace.large_state({"all": np.zeros(numbers, dtype=int)})
                assert np.all(kept["all"] == trace.epochs - 1)
    disk(4 * kilobytes)
    write(path, state=(numbers,))
    assert path.read_bytes() == whole.read_bytes()
    assert os.listdir(path.parent) == ["run.h5"]


def test_limit_of_a_file_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(place.resource, "getrlimit", lambda _: (50_000_000, 50_000_000))
    path = tmp_path / "run.h5"
    text = (
        f"{path}.part may grow by 50 MB to this process's limit for a file, and a trace is written with 64 MB in "
        "reserve; raise the limit (ulimit -f), then run again"
    )
    with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        TraceWriter(path, run.layout(run.IDEAL), "x", "", 3)
    assert os.listdir(tmp_path) == []


def test_an_epoch_whose_number_was_not_stored_is_not_finished():
    """HDF5 may have counted an epoch whose number the disk then refused."""

    class Axis:
        shape = (3,)

        def __getitem__(self, rows):
            if range(3)[rows].stop == 3:
                raise OSError("Can't synchronously read data (addr overflow)")

    assert finished_epochs(Axis()) == 2
