"""What may stand at --out: nothing that stands there is harmed, and whatever is refused is refused before the run."""

import hashlib
import os
import resource
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import h5py
import pytest

from neurohil.cli import main
from neurohil.probing import picture
from neurohil.probing.run import Program
from neurohil.starting import default_path

SMALL = ["--set", "target.array.tile_rows=4", "--set", "target.array.tile_columns=5", "--set", "ir_drop.sizes=[2]"]


def run(out, *more):
    return main(["crossbar", "program", *SMALL, "--out", str(out), *more])


def must_not_run(*_):
    raise AssertionError("it was computed before it was refused")


def let_nothing_run(monkeypatch):
    monkeypatch.setattr(Program, "measure", must_not_run)
    monkeypatch.setattr(picture, "draw_program", must_not_run)


@pytest.fixture
def quick_pictures(monkeypatch):
    """To draw takes longer than all else."""
    monkeypatch.setattr(picture, "draw_program", lambda _, png: png.touch())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished trace of the run, and one of another seed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(picture, "draw_program", lambda *_: None)
        assert run(folder / "this.h5") == 0 and run(folder / "other.h5", "--seed", "2") == 0
    return {name: (folder / f"{name}.h5").read_bytes() for name in ("this", "other")}


def state(folder: Path) -> dict:
    """All that a folder holds: kinds, rights, contents, and where links lead."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        about = os.lstat(path)
        content = b""
        if stat.S_ISREG(about.st_mode):
            content = hashlib.sha256(path.read_bytes()).digest()
        elif stat.S_ISLNK(about.st_mode):
            content = os.readlink(path).encode()
        found[str(path)] = (about.st_mode, about.st_ino, about.st_rdev, content)
    return found


# What stands in the folder before, by name; each gets the folder and the bytes of finished traces.


def text(name):
    return lambda folder, _: (folder / name).write_text("theirs")


def trace(name, which, **rights):
    def put(folder, finished):
        (folder / name).write_bytes(finished[which])
        if rights:
            (folder / name).chmod(rights["mode"])

    return put


def link(name, to):
    return lambda folder, _: (folder / name).symlink_to(to)


def foreign_hdf5(name):
    def put(folder, _):
        with h5py.File(folder / name, "w") as file:
            file["x"] = [1, 2]

    return put


def pipe(folder, _):
    os.mkfifo(folder / "run.h5")


def unix_socket(folder, _):
    with socket.socket(socket.AF_UNIX) as unix, pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)  # such names are short
        unix.bind("run.h5")


def device(folder, _):
    try:
        os.mknod(folder / "run.h5", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device takes rights that this user lacks")


def folder_named(name):
    return lambda folder, _: (folder / name).mkdir()


def damaged(folder, finished):
    content = bytearray(finished["other"])
    content[8:40] = bytes(32)
    (folder / "run.h5").write_bytes(content)


def nothing(*_):
    pass


REPLACE = "--overwrite"
REFUSED = {
    "folder": (folder_named("runs"), "runs", [], "is a folder; name a file that ends in .h5"),
    "folder with the ending": (folder_named("run.h5"), "run.h5", [REPLACE], "is a folder"),
    "slash at the end": (nothing, "new/", [], "is a folder"),
    "link": (link("run.h5", "theirs.h5"), "run.h5", [REPLACE], "run.h5 is a link, and only regular files"),
    "dangling link": (link("run.h5", "nothing"), "run.h5", [], "run.h5 is a link, and only regular files"),
    "pipe": (pipe, "run.h5", [REPLACE], "run.h5 is a pipe, and only regular files"),
    "socket": (unix_socket, "run.h5", [REPLACE], "run.h5 is a socket, and only regular files"),
    "device": (device, "run.h5", [REPLACE], "run.h5 is a device, and only regular files"),
    "the null device": (nothing, "/dev/null", [REPLACE], "/dev/null does not end in .h5"),
    "foreign file": (text("run.h5"), "run.h5", [], "is not an HDF5 file"),
    "foreign file, replace": (text("run.h5"), "run.h5", [REPLACE], "nothing is written over it"),
    "foreign HDF5 file": (foreign_hdf5("run.h5"), "run.h5", [], "nothing is written over it"),
    "foreign HDF5 file, replace": (foreign_hdf5("run.h5"), "run.h5", [REPLACE], "nothing is written over it"),
    "damaged file, replace": (damaged, "run.h5", [REPLACE], "nothing is written over it"),
    "another run": (trace("run.h5", "other"), "run.h5", [], "holds another run (seed was 2, now 1); give"),
    "write-protected, replace": (trace("run.h5", "other", mode=0o444), "run.h5", [REPLACE], "is write-protected"),
    "foreign .part": (text("run.h5.part"), "run.h5", [REPLACE], "run.h5.part is in the way"),
    "foreign HDF5 .part": (foreign_hdf5("run.h5.part"), "run.h5", [REPLACE], "run.h5.part is in the way"),
    "link .part": (link("run.h5.part", "nothing"), "run.h5", [REPLACE], "run.h5.part is a link"),
    "folder .part": (folder_named("run.h5.part"), "run.h5", [REPLACE], "run.h5.part is a folder"),
    "foreign state": (text("run.h5.part.state"), "run.h5", [REPLACE], "run.h5.part.state is in the way and belongs"),
    "link state": (link("run.h5.part.state", "nothing"), "run.h5", [REPLACE], "run.h5.part.state is a link"),
    "foreign new file": (text("run.h5.part.part"), "run.h5", [REPLACE], "run.h5.part.part is in the way and belongs"),
    "foreign lock": (text("run.h5.part.lock"), "run.h5", [REPLACE], "run.h5.part.lock is not a lock of neurohil"),
    "link lock": (link("run.h5.part.lock", "nothing"), "run.h5", [REPLACE], "run.h5.part.lock is a link"),
    "picture's name": (text("x.png"), "x.png", [REPLACE], "x.png does not end in .h5"),
    "no ending": (nothing, "run", [], "run does not end in .h5"),
    "ending alone": (nothing, ".h5", [], "does not end in .h5"),
    "new line": (nothing, "a\nb.h5", [], "a\\nb.h5' has characters that can't be printed"),
    "escape sequence": (nothing, "\x1b[31m.h5", [], "\\x1b[31m.h5' has characters that can't be printed"),
    "undecodable": (nothing, "\udcff.h5", [], "\\udcff.h5' has characters that can't be printed"),
    "very long": (nothing, f"{'x' * 250}.h5", [], "is too long for this file system"),
    "below a file": (text("theirs"), "theirs/run.h5", [], "theirs/run.h5 can't be written (Not a directory)"),
}


@pytest.mark.parametrize("variant", REFUSED)
def test_what_is_refused_is_refused_before_anything_is_computed(variant, tmp_path, finished, monkeypatch, capsys):
    put, out, more, message = REFUSED[variant]
    (tmp_path / "theirs.h5").write_text("theirs")
    put(tmp_path, finished)
    before, null = state(tmp_path), os.stat("/dev/null")
    let_nothing_run(monkeypatch)
    assert run(out if out.startswith("/") else f"{tmp_path}/{out}", *more) == 2
    output = capsys.readouterr()
    assert message in output.err and output.out == ""
    assert output.err.startswith("neurohil: ") and output.err.count("\n") == 1
    assert output.err.rstrip("\n").isprintable()
    assert state(tmp_path) == before
    assert (os.stat("/dev/null").st_ino, os.stat("/dev/null").st_rdev) == (null.st_ino, null.st_rdev)


def test_a_leading_dash_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    let_nothing_run(monkeypatch)
    for out in ("--out=-x.h5", "--out=./-x.h5"):
        assert main(["crossbar", "program", *SMALL, out]) == 2
        assert "begins with a dash, which commands take for an option" in capsys.readouterr().err
    assert main(["crossbar", "program", *SMALL, "--out", ""]) == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["run.h5", "new/deep/run.h5", "Spur Größe 7.h5", "轨迹.h5", "a b'c.h5", "x.png.h5"])
def test_what_is_accepted(name, tmp_path, finished, quick_pictures, capsys):
    out = tmp_path / name
    assert run(out) == 0
    assert out.read_bytes() == finished["this"]
    assert sorted(os.listdir(out.parent)) == sorted([out.name, f"{out.stem}.png"])
    before = state(tmp_path)
    capsys.readouterr()
    assert run(out) == 0  # it is there
    output = capsys.readouterr()
    assert f"{out} holds this run already" in output.out and "add --overwrite or move the file away" in output.out
    assert state(tmp_path) == before


def test_a_trace_of_ours_is_replaced_if_that_is_asked_for(tmp_path, finished, quick_pictures):
    out = tmp_path / "run.h5"
    out.write_bytes(finished["other"])
    kept = tmp_path / "kept.h5"
    kept.hardlink_to(out)
    assert run(out, REPLACE) == 0
    assert out.read_bytes() == finished["this"] and kept.read_bytes() == finished["other"]


def test_a_picture_takes_no_name_that_is_not_its_own(tmp_path, quick_pictures, capsys):
    (tmp_path / "notes.png").write_text("theirs")
    assert run(tmp_path / "notes.h5") == 0
    assert f"picture                {tmp_path}/notes.h5.png" in capsys.readouterr().out
    assert (tmp_path / "notes.png").read_text() == "theirs"
    for name in ("lr0.01.h5", "lr0.02.h5"):
        assert run(tmp_path / name) == 0
    assert {"lr0.01.png", "lr0.02.png"} <= set(os.listdir(tmp_path))


def test_a_picture_that_is_missing_is_drawn(tmp_path, finished):
    (tmp_path / "run.h5").write_bytes(finished["this"])
    assert run(tmp_path / "run.h5") == 0
    assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.png"]


def test_a_folder_that_cannot_be_written(monkeypatch, capfd):
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        pid = os.fork()
        if pid == 0:
            if os.geteuid() == 0:
                os.seteuid(65534)
            code = 1
            try:
                let_nothing_run(monkeypatch)
                code = run(folder / "run.h5") - 2 or run(folder / "new" / "run.h5") - 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        errors = capfd.readouterr().err.splitlines()
        assert len(errors) == 2
        assert f"the folder {folder} can't be written (Permission denied); give another --out" in errors[0]
        assert os.listdir(folder) == []
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_limit_of_files_and_a_full_disk_are_told_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    let_nothing_run(monkeypatch)
    large = ["--set", "target.array.tile_rows=10000", "--set", "target.array.tile_columns=10000"]
    real, statvfs = resource.getrlimit, os.statvfs
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**9, 10**9))
    assert run(tmp_path / "run.h5", *large) == 2
    assert "limit for a file, and 16000 MB are needed with 64 MB in reserve" in capsys.readouterr().err
    monkeypatch.setattr(resource, "getrlimit", real)

    def nearly_full(folder):
        return os.statvfs_result([*statvfs(folder)[:1], 10**6, *statvfs(folder)[2:4], 10_000, *statvfs(folder)[5:]])

    monkeypatch.setattr(os, "statvfs", nearly_full)
    assert run(tmp_path / "run.h5", *large) == 2
    assert "has 10000 MB left, and 16000 MB are needed with 64 MB in reserve; make room" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


# Names


def test_default_names_tell_what_differs(tmp_path, quick_pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = set()
    runs = [[], ["--seed", "3"], ["--set", "program.cycles=5"], ["--set", "program.aged_s=2e3"]]
    runs += [["--set", "target.preset=ideal"], ["--set", "program.cycles=1000000"]]
    for more in runs:
        assert main(["crossbar", "program", *SMALL[:4], *more]) == 0
        names |= {path.name for path in Path("runs").glob("*.h5")}
    size = "-target.array.tile_columns=5-target.array.tile_rows=4"
    assert names == {
        f"crossbar_9_levels-program-seed1{size}.h5",
        f"crossbar_9_levels-program-seed3{size}.h5",
        f"crossbar_9_levels-program-seed1-program.cycles=5{size}.h5",
        f"crossbar_9_levels-program-seed1-program.aged_s=2000.0{size}.h5",
        f"crossbar_9_levels-program-seed1{size}-target.preset=ideal.h5",
    }


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("seed = 1", "e-seed1"),
        ("seed = 1\nx = true", "e-seed1-x=true"),
        ("seed = 1\nx = [24, 16]\n[t]\ny = 0.5", "e-seed1-t.y=0.5-x=24,16"),
    ],
)
def test_readable_names(config, name):
    assert default_path("e-seed1", config, "seed = 1", ["seed"]) == Path("runs") / f"{name}.h5"


def test_names_that_cannot_tell_all_end_in_a_hash():
    texts = ["x = 'a/b'", "x = 'a b'", "x = 'a_b'", "x = '../../b'", f"x = '{'y' * 300}'", f"x = '{'y' * 301}'"]
    names = [default_path("e", text, "").name for text in texts]
    assert len(set(names)) == len(texts)
    assert all(len(name) <= 153 and "/" not in name and " " not in name for name in names)
    assert default_path("--..x/y", "", "").name.startswith("x_y-")
