"""Whatever a file holds, reading it ends with its content or with one line of ours: no crash, no hang, no flood."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hostile_files
import pytest
import synthetic_run as run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hil.trace import Trace, TraceError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.CHIP, 3)
    return path


def read_all(folder, seconds):
    """What the reading of each file in the folder came to, by name."""
    done = subprocess.run(
        [sys.executable, hostile_files.__file__, str(folder)],
        capture_output=True, text=True, cwd=Path.cwd(), timeout=seconds,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1:] if done.returncode else ""
    assert done.returncode == 0, f"{last} ended with {done.returncode}: {done.stderr[-2000:]}"
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_hostile_but_valid_hdf5(tmp_path, trace):
    for harm in hostile_files.REFUSED:
        shutil.copy(trace, tmp_path / harm.__name__)
        with h5py.File(tmp_path / harm.__name__, "a", libver="v110") as file:
            harm(file)
    said = read_all(tmp_path, 60)
    for harm, text in hostile_files.REFUSED.items():
        path = tmp_path / harm.__name__
        assert said[path.name].startswith(f"{path} ") and text in said[path.name], said[path.name]


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


def fuzz(folder, content, count, seed):
    rng = random.Random(seed)
    for k in range(count):
        (folder / f"{k:05d}").write_bytes(mutated(content, rng))
    said = read_all(folder, 60 + 3 * count)
    assert len(said) == count
    for name, what in said.items():
        assert what == "read" or what.startswith(f"{folder / name} "), what
    return sum(what != "read" for what in said.values())


def test_damaged_traces(tmp_path, trace):
    assert fuzz(tmp_path, trace.read_bytes(), 40, seed=1) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_many_damaged_traces(tmp_path, trace, seed):
    assert fuzz(tmp_path, trace.read_bytes(), 200, seed=100 + seed) > 50


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", SIGNATURE, SIGNATURE + b"\x03\x08\x08\x00", SIGNATURE + b"\x02"]))
def test_random_bytes(tmp_path, content, start):
    path = tmp_path / "random.h5"
    path.write_bytes(start + content)
    with pytest.raises(TraceError) as caught:
        Trace(path)
    assert str(caught.value).startswith(f"{path} is ") and "\n" not in str(caught.value)
