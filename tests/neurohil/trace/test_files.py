"""Files that are there as a whole or not at all, and never in the place of somebody else's."""

import os
import socket

import h5py
import pytest
import synthetic_run as run
from matplotlib.figure import Figure

from neurohil.delgrad.picture import draw_delgrad
from neurohil.errors import UserError
from neurohil.files import create, first_line, has_hdf5_mark, has_mark, kind, make_folder, replacing
from neurohil.pictures import PICTURE_MARK
from neurohil.results import export
from neurohil.results import report as write_report
from neurohil.trace import TraceWriter
from neurohil.trace.nxdata import plot_group
from neurohil.trace.place import picture_path
from neurohil.trace.reader import Trace
from neurohil.trace.report import page
from neurohil.trace.viewing import drawing


def ours(path):
    return path.read_bytes() == b"ours"


def test_a_file_takes_its_place_as_a_whole(tmp_path):
    path = tmp_path / "a"
    for _ in range(2):
        with replacing(path, ours) as temporary:
            temporary.write_bytes(b"ours")
            assert not path.exists() or path.read_bytes() == b"ours"
    with pytest.raises(ZeroDivisionError, match="half"), replacing(path, ours) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError("half")
    assert path.read_bytes() == b"ours" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("what", ["file", "link", "folder", "pipe", "socket"])
def test_what_is_not_ours_stays(tmp_path, what):
    path, other = tmp_path / "a", tmp_path / "other"
    other.write_bytes(b"ours")
    if what == "file":
        path.write_bytes(b"theirs")
    elif what == "link":
        path.symlink_to(other)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        os.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("a")
    before = os.lstat(path)
    assert kind(path) == what
    with pytest.raises(UserError, match=r"wasn't written by this command" if what == "file" else rf"is a {what}"):
        with replacing(path, ours):
            raise AssertionError("never reached")
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert other.read_bytes() == b"ours" and sorted(os.listdir(tmp_path)) == ["a", "other"]


def test_one_that_appears_meanwhile_stays(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(UserError, match="stays"), replacing(path, ours):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_rights_are_those_of_the_umask_and_the_owner_can_read(tmp_path, mask):
    before = os.umask(mask)
    try:
        os.close(create(tmp_path / "a"))
        made = make_folder(tmp_path / "b" / "c")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == (0o666 & ~mask) | 0o600
    assert made == [tmp_path / "b" / "c", tmp_path / "b"]
    assert all(folder.stat().st_mode & 0o777 == (0o777 & ~mask) | 0o700 for folder in made)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_marks_of_pictures(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    for told, found in (("neurohil", True), ("neurohil trace plot", False), ("Adobe neurohil", False), (None, False)):
        Figure().savefig(path, metadata={"Software" if ending == "png" else "Creator": told})
        assert has_mark(path, PICTURE_MARK) == found, told
    Figure().savefig(path)
    assert not has_mark(path, PICTURE_MARK)
    assert not has_mark(tmp_path / "none", PICTURE_MARK) and not has_mark(tmp_path, PICTURE_MARK)


def test_marks_of_other_files(tmp_path):
    path = tmp_path / "a"
    path.write_text("a,b\n1,2\n")
    assert first_line(path) == "a,b" and not has_mark(path, "a,b")
    with h5py.File(path, "w") as file:
        file["x"] = range(100_000)
    assert not has_hdf5_mark(path, "neurohil trace export")
    with h5py.File(path, "r+") as file:
        file.attrs["creator"] = "neurohil trace export"
    assert has_hdf5_mark(path, "neurohil trace export") and not has_mark(path, "neurohil trace export")


def test_pictures_take_no_name_that_is_not_theirs(tmp_path):
    trace = tmp_path / "lr0.01.h5"
    assert picture_path(trace) == tmp_path / "lr0.01.png"
    assert picture_path(tmp_path / "lr0.02.h5") == tmp_path / "lr0.02.png"
    Figure().savefig(tmp_path / "lr0.01.png", metadata={"Software": PICTURE_MARK})
    assert picture_path(trace) == tmp_path / "lr0.01.png"
    (tmp_path / "lr0.01.png").write_text("my notes")
    assert picture_path(trace) == tmp_path / "lr0.01.h5.png"
    (tmp_path / "lr0.01.h5.png").symlink_to("elsewhere")
    (tmp_path / "lr0.01.h5.2.png").mkdir()
    assert picture_path(trace) == tmp_path / "lr0.01.h5.3.png"


def plot(trace, out):
    with Trace(trace) as opened:
        return [drawing.save(plot_group(opened, "run/loss"), out)]


def summary(trace, out):
    draw_delgrad(trace, out)
    return [out]


VIEWS = {
    "picture.png": summary,
    "plot.png": plot,
    "plot.svg": plot,
    "page.html": lambda trace, out: [write_report(trace, out)],
    "tables": lambda trace, out: export(trace, "csv", out),
    "spikes": lambda trace, out: export(trace, "sonata", out),
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.CHIP, 2)
    return path


@pytest.mark.parametrize("name", VIEWS)
def test_views_replace_their_own_files_alone(tmp_path, trace, name, monkeypatch):
    # test_report shows that a whole page, which takes seconds, has that mark.
    monkeypatch.setattr(page, "_render", lambda *_: f'<meta name="generator" content="{page.MARK}">')
    write, out = VIEWS[name], tmp_path / name
    written = write(trace, out)
    assert write(trace, out) == written
    for theirs in (b"my notes", trace.read_bytes()):  # the trace itself, too, is none of these files
        written[-1].write_bytes(theirs)
        with pytest.raises(UserError, match="wasn't written by this command, so it stays"):
            write(trace, out)
        assert written[-1].read_bytes() == theirs
    assert not [file for file in tmp_path.rglob(".neurohil*")]


def test_an_exported_network_is_replaced_and_nothing_else(tmp_path):
    pytest.importorskip("nir")
    path, out = tmp_path / "run.h5", tmp_path / "network.nir"
    config = run.CONFIG + "[network]\ndelays = 'none'\ntau_ratio = 2.0\nthreshold = 1.0\n"
    config = config.replace('kind = "brainscales"\npreset = "w66f3"\nserial = 66', 'kind = "ideal"')
    plan = run.layout(run.IDEAL)
    with TraceWriter(path, plan, "x", config, run.STATE_SIZE) as writer:
        writer.append_epoch(run.epoch_values(plan, 0), run.state(0))
        writer.finish(run.final_values(run.IDEAL) | {"run/results/tested_epoch": 1})
    assert export(path, "nir", out) == export(path, "nir", out) == [out]
    with pytest.raises(UserError, match="wasn't written by this command"):
        export(path, "nir", path)
