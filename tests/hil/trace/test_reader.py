"""Reading what is a trace, and refusing what is none, with one line that helps."""

import random
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic_run as run

from hil.errors import UserError
from hil.trace import Trace, TraceError, TraceWriter


def refuses(text: str):
    return pytest.raises(TraceError, match=f"^{re.escape(text)}$")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.CHIP, 4)
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
    script += f"plan = run.layout(run.CHIP); writer = run.TraceWriter({str(path)!r}, plan, 'x', run.CONFIG, 700)\n"
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


@pytest.mark.parametrize("what", ["finished", "killed"])
def test_truncated_anywhere(tmp_path, what, request):
    """Whatever is still there is read, and nothing that isn't."""
    whole = request.getfixturevalue(what)
    epochs, content = readable(whole)
    path = tmp_path / whole.name
    rng = random.Random(1)
    size = whole.stat().st_size
    partly = 0
    for cut in [9, 47, 48, 100, size - 1, *(rng.randrange(size // 2, size) for _ in range(15))]:
        path.write_bytes(whole.read_bytes()[:cut])
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
            np.testing.assert_array_equal(array, content[name][rows], err_msg=name)
        assert len(found) < len(content)
    assert partly > 5


@pytest.mark.parametrize("what", ["finished", "killed"])
def test_damaged_anywhere_is_an_error_of_ours_or_harmless(tmp_path, what, request):
    whole = request.getfixturevalue(what)
    _, content = readable(whole)
    path = tmp_path / whole.name
    rng = random.Random(2)
    refused = partly = 0
    for _ in range(25):
        damaged = bytearray(whole.read_bytes())
        at = rng.randrange(60_000)
        damaged[at : at + 64] = rng.randbytes(64)
        path.write_bytes(damaged)
        try:
            _, found = readable(path)
            partly += len(found) < len(content)
        except TraceError as error:
            refused += 1
            assert str(error).startswith(f"{path} is damaged, and nothing in it can be read: ")
    assert partly > 10 and refused < 20


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
    script = "import sys, hil.trace; print({'h5py', 'numba', 'matplotlib', 'scipy', 'simpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stdout.strip() == "set()"
