"""Whatever a file holds, reading it ends with its content or with one line of ours: no crash, no hang, no flood."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import hostile_files
import numpy as np
import pytest
import synthetic_run as run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurohil.cli import main
from neurohil.trace import Trace, TraceError
from neurohil.trace.opening import HDF5File
from neurohil.trace.validation import validate

MOST_S = 10.0  # a tenth of a second is usual, but the machine may be busy
SIGNATURE = b"\x89HDF\r\n\x1a\n"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.SMALL, 3)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The files of a run that was killed: its states lie beside its trace."""
    part = tmp_path_factory.mktemp("killed") / "run.h5.part"
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(run.__file__).parent)!r})
import synthetic_run as run
plan = run.layout(run.SMALL)
writer = run.TraceWriter({str(part.with_suffix(""))!r}, plan, "x", run.CONFIG, {{"all": run.state(0)}})
for epoch in range(4):
    writer.append_epoch(run.epoch_values(plan, epoch), {{"all": run.state(epoch)}})
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path.cwd())
    return part


def read_all(folder, seconds):
    """What reading, and validating, each file in the folder came to, by name; each within a bound that is generous."""
    done = subprocess.run(
        [sys.executable, hostile_files.__file__, str(folder)],
        capture_output=True, text=True, cwd=Path.cwd(), timeout=seconds,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1:] if done.returncode else ""
    assert done.returncode == 0, f"{last} ended with {done.returncode}: {done.stderr[-2000:]}"
    said = {}
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(" ")
        *said[name], took_s = json.loads(rest)
        assert took_s < MOST_S, f"{name} took {took_s:.1f} s"
    return said


def test_hostile_but_valid_hdf5(tmp_path, trace):
    for harm in (*hostile_files.LEFT_OUT, *hostile_files.REFUSED):
        shutil.copy(trace, tmp_path / harm.__name__)
        with h5py.File(tmp_path / harm.__name__, "a", libver="v110") as file:
            harm(file)
    said = read_all(tmp_path, 300)
    for harm, text in hostile_files.LEFT_OUT.items():
        read, found = said[harm.__name__]
        assert "is damaged, and nothing" not in read and text in found, (harm.__name__, read, found)
    for harm, text in hostile_files.REFUSED.items():
        path = tmp_path / harm.__name__
        assert said[path.name][0].startswith(f"{path} ") and text in said[path.name][0], said[path.name]


def mutated(content, rng):
    """A damaged copy: bits flipped, bytes overwritten, parts moved, cut off or doubled."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(content)) if rng.random() < 0.3 else rng.randrange(min(60_000, len(content)))
        kind = rng.randrange(5)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            content[at : at + 8] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8)))
        elif kind == 3:
            source = rng.randrange(len(content))
            content[at : at + 64] = content[source : source + 64]
        elif rng.random() < 0.2:
            del content[max(at, 100) :]
            break
    return bytes(content)


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def flipped(content, rng):
    """One bit, more often where the file says what lies where."""
    content = bytearray(content)
    at = rng.randrange(len(content)) if rng.random() < 0.3 else rng.randrange(min(60_000, len(content)))
    content[at] ^= 1 << rng.randrange(8)
    return bytes(content)


def fuzz(folder, source, harm, count, seed):
    """Damage a file so many times; how often anything of it couldn't be read."""
    rng, content = random.Random(seed), source.read_bytes()
    for k in range(count):
        (folder / f"{k:05d}{''.join(source.suffixes)}").write_bytes(harm(content, rng))
    said = read_all(folder, 120 + 5 * count)
    assert len(said) == count
    for name, (read, found) in said.items():
        assert read == "read" or read.startswith(f"{folder / name} "), read
        nothing_left = "nothing in it can be read" in read or "not an HDF5 file" in read or "is empty" in read
        assert ("delete it" in read) <= nothing_left, read
        assert read == "read" or nothing_left or "trace export" in read or "no finished epoch" in read, read
        assert read == "read" or found, (name, read)
    return sum(read != "read" for read, _ in said.values())


def test_damaged_traces(tmp_path, trace):
    assert fuzz(tmp_path, trace, mutated, 16, seed=1) > 4


@pytest.mark.parametrize("harm", [cut, flipped])
def test_damaged_files_of_killed_runs(tmp_path, killed, harm):
    """They carry the mark of a writer, at which HDF5 itself reads what is damaged again and again for ever."""
    assert fuzz(tmp_path, killed, harm, 5, seed=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_many_damaged_traces(tmp_path, trace, seed):
    assert fuzz(tmp_path, trace, mutated, 200, seed=100 + seed) > 50


@pytest.mark.slow
@pytest.mark.parametrize(("harm", "count"), [(cut, 200), (flipped, 500), (mutated, 300)])
def test_many_damaged_files_of_killed_runs(tmp_path, killed, harm, count):
    assert fuzz(tmp_path, killed, harm, count, seed=7) > 50


def of_state(part, content):
    """What the reader says of a state file with this content, or the state."""
    Path(f"{part}.state").write_bytes(content)
    began = time.perf_counter()
    try:
        with Trace(part) as opened:
            return opened.large_state({"all": run.state(0)})["all"]
    except TraceError as error:
        return str(error)
    finally:
        assert time.perf_counter() - began < MOST_S


@pytest.mark.parametrize("count", [20, pytest.param(700, marks=pytest.mark.slow)])
def test_damaged_state_files(tmp_path, killed, count):
    """The state is the one that was written, or an error."""
    part = Path(shutil.copy(killed, tmp_path))
    content = Path(f"{killed}.state").read_bytes()
    assert np.array_equal(of_state(part, content), run.state(3))
    rng = random.Random(3)
    told = 0
    for k in range(count):
        found = of_state(part, (cut if k % 3 else flipped)(content, rng))
        if isinstance(found, str):
            told += 1
            assert found.startswith(f"{part}.state doesn't hold the state after epoch 4; "), found
        else:
            assert np.array_equal(found, run.state(3))
    assert told > count // 6


@pytest.mark.parametrize(
    "name",
    ["run.h5.part.state", "run.h5.part.part", ".part", "run", "\x1b[2J.h5", "two\nlines.h5", "\udcff.h5", "x" * 255],
)
def test_whatever_a_file_is_called(tmp_path, killed, name):
    path = tmp_path / name
    for content in (b"", killed.read_bytes()[:1000], Path(f"{killed}.state").read_bytes()):
        path.write_bytes(content)
        for look in (Trace, validate):
            with pytest.raises(TraceError) as caught:
                look(path)
            assert str(caught.value).startswith(f"{path} is ")
    path.write_bytes(killed.read_bytes())
    with Trace(path) as opened:
        assert opened.epochs == 4


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", SIGNATURE, SIGNATURE + b"\x03\x08\x08\x00", SIGNATURE + b"\x02"]))
def test_random_bytes(tmp_path, content, start):
    path = tmp_path / "random.h5"
    path.write_bytes(start + content)
    with pytest.raises(TraceError) as caught:
        Trace(path)
    assert str(caught.value).startswith(f"{path} is ") and "\n" not in str(caught.value)


def test_what_the_commands_do_with_a_damaged_file(tmp_path, killed, capsys):
    """They show and save what is left, refuse to go on from it, and name the next command."""
    part = tmp_path / "run.h5.part"
    content = bytearray(killed.read_bytes())
    with HDF5File(killed) as file:
        header = h5py.h5o.get_info(file.hdf5["run/weights_0/weights"].id).addr
    content[header + 20] ^= 1
    part.write_bytes(content)
    lost = "/run/weights_0/weights can't be read "
    told = f"`neurohil trace validate {part}` lists"
    assert main(["trace", "ls", str(part)]) == 0
    shown = capsys.readouterr()
    assert "damaged" in shown.out and f"{part} is damaged, 1 of its parts can't be read; {told}" in shown.err
    assert main(["trace", "show", str(part), "run/weights_0/weights"]) == 2
    assert f"neurohil: {part} is damaged: {lost}" in capsys.readouterr().err
    assert main(["trace", "validate", str(part)]) == 1
    assert lost in capsys.readouterr().out
    assert main(["trace", "export", str(part), "--to", "csv", "--out", str(tmp_path / "saved")]) == 2
    assert "tables were written" in capsys.readouterr().err
    assert {"weights_1.csv", "accuracy.csv"} <= {file.name for file in (tmp_path / "saved").iterdir()}
    assert main(["delgrad", "--resume", str(part)]) == 2
    assert f"neurohil: {part} is damaged: {lost}" in (said := capsys.readouterr().err) and told in said
    assert part.read_bytes() == content
