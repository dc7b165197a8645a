"""Reading what is a trace, and refusing what is none, with one line that helps."""

import errno
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.errors import UserError
from neurohil.trace import Trace, TraceError, TraceWriter, content, opening
from neurohil.trace.validation import validate


def refuses(text: str):
    return pytest.raises(TraceError, match=f"^{re.escape(text)}$")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.SMALL, 4)
    return path


def test_missing(tmp_path):
    path = tmp_path / "run.h5"
    with refuses(f"{path} does not exist; check the name"):
        Trace(path)
    with TraceWriter(path, run.layout(run.IDEAL), "x", "", 3):
        pass
    with refuses(f"{path} does not exist; an unfinished run is in {path}.part"):
        Trace(path)


def test_folder(tmp_path):
    with refuses(f"{tmp_path} is a folder; pass a trace that neurohil wrote, for example one of {tmp_path}/*.h5"):
        Trace(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "it is empty"), (b"time,neuron\n1,2\n", r"it begins with b'time,neu'")]
)
def test_no_hdf5(tmp_path, content, found):
    path = tmp_path / "run.h5"
    path.write_bytes(content)
    with refuses(f"{path} is not an HDF5 file ({found}); pass a trace that neurohil wrote"):
        Trace(path)


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_hdf5_of_other_make(tmp_path, libver):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["run/title"] = np.bytes_("something else")
    with refuses(
        f"{path} is an HDF5 file of other make (its root has no schema name, not 'neurohil-trace'); "
        "pass a trace that neurohil wrote"
    ):
        Trace(path)
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = np.bytes_("nwb")
    with refuses(
        f"{path} is an HDF5 file of other make (its root has the schema name 'nwb', not 'neurohil-trace'); "
        "pass a trace that neurohil wrote"
    ):
        Trace(path)


@pytest.mark.parametrize(("version", "readable"), [("2.0", True), ("2.7", True), ("3.0", False), ("1.0", False)])
def test_only_the_major_version_must_agree(tmp_path, finished, version, readable):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = np.bytes_(version)
    if readable:
        with Trace(path) as trace:
            assert trace.epochs == 4
    else:
        with refuses(
            f"{path} has trace schema version {version}, but this neurohil reads version 2.1; "
            "read it with the neurohil that wrote it"
        ):
            Trace(path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The file that a killed run of four epochs left."""
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    script = f"import sys, os; sys.path.insert(0, {str(Path(run.__file__).parent)!r}); import synthetic_run as run\n"
    script += f"plan = run.layout(run.SMALL); writer = run.TraceWriter({str(path)!r}, plan, 'x', run.CONFIG, 700)\n"
    script += "[writer.append_epoch(run.epoch_values(plan, k), run.state(k)) for k in range(4)]; os._exit(0)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path.cwd())
    return Path(f"{path}.part")


def readable(path):
    """What can be read of a damaged trace, by path; what can't must say what to do, on one line."""
    found = {}
    with Trace(path) as trace:
        for name in trace.paths:
            try:
                found[name] = trace[name]
                trace.attributes(name)
            except TraceError as error:
                told = f"{path} is damaged: /{name} can't be read "
                assert str(error).startswith(told) and "\n" not in str(error)
                assert f"`neurohil trace export {path} --to csv --out FOLDER` saves the rest" in str(error)
        return trace.epochs, found


@pytest.fixture
def no_pause(monkeypatch):
    """Nobody writes the file meanwhile: it is looked at as often as ever, without a pause."""
    monkeypatch.setattr(opening, "_PAUSE_S", 0.0)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("count", [8, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", ["finished", "killed"])
def test_truncated_anywhere(tmp_path, what, count, request):
    """Whatever is still there is read, and nothing that isn't."""
    whole = request.getfixturevalue(what)
    epochs, known_content = readable(whole)
    path = tmp_path / whole.name
    rng = random.Random(1)
    undamaged = whole.read_bytes()
    size = len(undamaged)
    partly = 0
    for cut in [9, 47, 48, 100, size - 1, *(rng.randrange(size // 2, size) for _ in range(count))]:
        path.write_bytes(undamaged[:cut])
        try:
            known, found = readable(path)
        except TraceError as error:
            of_all = f"{size - cut} of its {size} bytes are missing"
            missing = of_all if cut >= 48 else f"{48 - cut} bytes are missing at {cut}"
            nothing = f"{path} is damaged, and nothing in it can be read: {missing}; delete it and run again"
            assert str(error) == nothing
            continue
        partly += 1
        assert known in (0, epochs - 1, epochs)  # 0 if nothing that grows is left
        for name, array in found.items():
            rows = tuple(slice(0, n) for n in array.shape)
            np.testing.assert_array_equal(array, known_content[name][rows], err_msg=name)
        assert len(found) < len(known_content)
    assert partly > count // 3


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("count", [16, pytest.param(80, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", ["finished", "killed"])
def test_damaged_anywhere_is_an_error_of_ours_or_harmless(tmp_path, what, count, request):
    whole = request.getfixturevalue(what)
    _, known_content = readable(whole)
    path = tmp_path / whole.name
    undamaged = whole.read_bytes()
    rng = random.Random(2)
    refused = partly = 0
    for _ in range(count):
        damaged = bytearray(undamaged)
        at = rng.randrange(60_000)
        damaged[at : at + 64] = rng.randbytes(64)
        path.write_bytes(damaged)
        try:
            _, found = readable(path)
            partly += len(found) < len(known_content)
        except TraceError as error:
            refused += 1
            assert str(error).startswith(f"{path} is damaged, and nothing in it can be read: ")
    assert partly > count // 8 and refused < 0.8 * count


def test_unknown_dataset(finished):
    with (
        Trace(finished) as trace,
        refuses(
            f"{finished} has no dataset run/acuracy/validation; the nearest name is run/accuracy/validation_accuracy"
        ),
    ):
        _ = trace["run/acuracy/validation"]


def test_attributes(finished):
    with Trace(finished) as trace:
        about = trace.attributes("run/delays_0/delays")
        assert (about["units"], about["long_name"]) == ("us", "delay (us)")
        assert trace.attributes("run/decisions/label")["flag_meanings"] == "yin yang dot"


def test_no_state_before_the_first_epoch(tmp_path):
    part = tmp_path / "run.h5.part"
    with TraceWriter(tmp_path / "run.h5", run.layout(run.IDEAL), "x", "", 3):
        pass
    with Trace(part) as trace:
        assert (trace.epochs, trace.complete) == (0, False)
        with refuses(f"{part} holds no finished epoch, hence no state; start the run anew"):
            trace.state()


def test_what_is_not_written_yet_is_recognisable(tmp_path):
    with TraceWriter(tmp_path / "run.h5", run.layout(run.IDEAL), "x", "", 3):
        pass
    with Trace(tmp_path / "run.h5.part") as trace:
        assert np.isnan(trace["run/results/test_accuracy"])
        assert np.all(trace["run/decisions/predicted"] == -1)
        assert trace["run/samples/0/raster/time"].size == 0
        assert trace["run/accuracy/validation_accuracy"].size == 0


def test_text_of_any_kind(tmp_path):
    config = 'summary = "τ_s, 😀 and ünïcode"\n' * 3000
    for title, text in (("", ""), ("Yin-Yang", config)):
        path = tmp_path / "run.h5"
        with TraceWriter(path, run.layout(run.IDEAL), title, text, 3):
            pass
        with Trace(f"{path}.part") as trace:
            assert (trace.title, trace.config) == (title, text)
        Path(f"{path}.part").unlink()


def test_errors_are_those_that_the_command_line_explains():
    assert issubclass(TraceError, UserError)
    assert issubclass(TraceError, ValueError)


def test_finished_file_opens_plainly_everywhere(finished):
    assert finished.read_bytes()[8] <= 3, "superblock version"
    with h5py.File(finished, "r") as file:
        assert file["run/accuracy/validation_accuracy"].shape == (4,)
        filters = set()

        def collect(_, node):
            if isinstance(node, h5py.Dataset):
                plist = node.id.get_create_plist()
                filters.update(plist.get_filter(i)[0] for i in range(plist.get_nfilters()))

        file.visititems(collect)
        assert filters == {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def test_importing_traces_loads_nothing_heavy():
    script = "import sys, neurohil.trace; print({'h5py', 'numba', 'matplotlib', 'scipy', 'simpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stdout.strip() == "set()"


def opened_by_another(path, then):
    """Run h5py in another process that opens the file as a viewer does that edits; returns that process."""
    script = f"import h5py, os, sys; f = h5py.File({str(path)!r}, 'a'); print(1, flush=True); {then}"
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    return other


def test_a_file_that_another_program_writes_to_is_not_called_damaged(tmp_path, finished):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.read_bytes())
    other = opened_by_another(path, "sys.stdin.read()")
    with refuses(
        f"{path} is open for writing in another program; close it there, then look again, for example with "
        f"`neurohil trace ls {path}`"
    ):
        Trace(path)
    other.communicate()
    assert path.read_bytes() == finished.read_bytes()
    with Trace(path) as trace:
        assert trace.epochs == 4


def test_the_mark_of_a_killed_program_is_no_damage_and_stays(tmp_path, finished):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.read_bytes())
    opened_by_another(path, "os._exit(0)").communicate()
    marked = path.read_bytes()
    assert marked != finished.read_bytes()
    with pytest.raises(OSError, match="h5clear"):
        h5py.File(path, "r")
    with Trace(path) as trace, Trace(finished) as whole:
        assert trace.paths == whole.paths and trace.left_out == ()
        assert all(
            np.array_equal(trace[name], whole[name], equal_nan=trace[name].dtype.kind == "f") for name in trace.paths
        )
    assert path.read_bytes() == marked


def test_what_another_program_added_is_left_out_and_all_else_read(tmp_path, finished):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.read_bytes())
    with h5py.File(path, "a") as file:
        file["run/loss"].attrs["note"] = "a nice curve"
        file["run/loss"].attrs["is_nice"] = True
        file["run/notes"] = "seen on Monday"
        file["analysis/fit"] = np.arange(3.0)
        file["analysis/names"] = ["a", "b"]
    with Trace(path) as trace, Trace(finished) as whole:
        assert trace.damage == () and trace.provenance == whole.provenance
        assert trace.paths == (*whole.paths, "analysis/fit")
        assert all(
            np.array_equal(trace[name], whole[name], equal_nan=trace[name].dtype.kind == "f") for name in whole.paths
        )
        assert trace.attributes("run/loss") == whole.attributes("run/loss")
        assert {(hazard.path, hazard.attribute) for hazard in trace.left_out} == {
            ("/run/loss", "note"), ("/run/loss", "is_nice"), ("/run/notes", ""), ("/analysis/names", "")
        }  # fmt: skip
        with refuses(
            f"{path} has something that another program added: /run/notes is text of variable length, and no trace "
            "holds such a thing; open it with that program"
        ):
            _ = trace["run/notes"]
        trace.require_whole()
    found = {finding.path for finding in validate(path)}
    assert {"/run/loss", "/run/notes", "/analysis", "/analysis/fit", "/analysis/names"} <= found


class RefusingFile:
    """A file of a disk that refuses after so many reads."""

    fails_after = 10**9

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def readinto(self, buffer):
        RefusingFile.fails_after -= 1
        if RefusingFile.fails_after < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._file.readinto(buffer)


@pytest.fixture
def refusing(monkeypatch):
    opened = content.Content.__init__

    def init(self, path):
        opened(self, path)
        self._file = RefusingFile(self._file)

    monkeypatch.setattr(content.Content, "__init__", init)
    monkeypatch.setattr(RefusingFile, "fails_after", 10**9)


def test_a_system_that_refuses_says_nothing_of_the_content(refusing, finished):
    """Neither at once nor in the midst is it called damage."""
    told = (
        f"{finished} can't be read (Input/output error): so says the system, which tells nothing of the content; "
        f"look again with `neurohil trace ls {finished}`, or at a copy on another disk"
    )
    for after in (0, 1, 5, 20, 50, 100):
        for look in (Trace, validate):
            RefusingFile.fails_after = after
            with refuses(told):
                look(finished)
    RefusingFile.fails_after = 10**9
    with Trace(finished) as trace:
        RefusingFile.fails_after = 0
        with refuses(told):
            _ = trace["run/weights_0/weights"]


@pytest.mark.parametrize("after", [0, 1, 5, 10**9], ids=["at once", "soon", "later", "never"])
@pytest.mark.parametrize("share", [1.0, 0.6], ids=["whole", "cut"])
def test_python_ends_well_with_a_trace_that_was_refused_or_left_open(after, share, finished, tmp_path):
    path, whole = tmp_path / "run.h5", finished.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_reader
from neurohil.trace import Trace, TraceError, content
opened = content.Content.__init__
def init(self, path):
    opened(self, path)
    self._file = test_reader.RefusingFile(self._file)
content.Content.__init__ = init
test_reader.RefusingFile.fails_after = {after}
kept = None
try:
    kept = Trace({str(path)!r})
    kept["run/weights_0/weights"]
except TraceError as error:
    kept = kept, error
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_file_that_may_not_be_read(tmp_path, finished):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.read_bytes())
    path.chmod(0)
    with refuses(
        f"{path} can't be read (Permission denied); become its owner, or let him allow it with `chmod a+r {path}`"
    ):
        Trace(path)


def test_a_run_that_is_just_beginning(tmp_path):
    part = tmp_path / "run.h5.part"
    part.write_bytes(b"")
    with refuses(f"{part} is empty: its run begins right now, or was killed as it began; look again or run again"):
        Trace(part)


def test_readers_never_keep_a_writer_from_beginning(tmp_path):
    """They look at the file all the time, from before it is there until it has epochs."""
    path = tmp_path / "run.h5"
    plan = run.layout(run.IDEAL)
    script = f"""
import sys, time
from neurohil.trace import Trace, TraceError
print(1, flush=True)
while not sys.stdin.closed:
    try:
        with Trace({str(path)!r} + ".part") as trace:
            if trace.epochs == 2:
                break
    except TraceError as error:
        assert "damaged" not in str(error), error
"""
    reader = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    reader.stdout.readline()
    for _ in range(20):
        with TraceWriter(path, plan, "x", "", run.STATE_SIZE) as writer:
            writer.append_epoch(run.epoch_values(plan, 0), run.state(0))
        Path(f"{path}.part").unlink()
    with TraceWriter(path, plan, "x", "", run.STATE_SIZE) as writer:
        for epoch in range(2):
            writer.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
        assert reader.wait(timeout=60) == 0
    reader.communicate()
