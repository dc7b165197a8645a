"""Commands that are killed at any moment, or started twice at once: nothing is lost, and the bytes are the same."""

import functools
import os
import random
import signal
import time
from pathlib import Path

import pytest
from started import Started

from neurohil.datasets import idx
from neurohil.kinds import KINDS
from neurohil.probing.run import Program
from neurohil.trace import Trace, TraceError

TINY = ["network.hidden=[24]", "network.init=0.6", "tasks.train_images=400", "tasks.test_images=200"]
TINY += ["target.array.tile_rows=100", "target.array.tile_columns=20"]
DELGRAD = ["delgrad", "chip_yin_yang_axonal", "--epochs", "6"]
DELGRAD += ["--set", "network.hidden=6", "--set", "training.batch=1000"]
COMMANDS = {
    "delgrad on the chip": DELGRAD,
    "metaplasticity on the crossbar": [
        "metaplasticity", "mnist_fashion_crossbar", "--epochs", "3", *(word for key in TINY for word in ("--set", key))
    ],
    "crossbar program": ["crossbar", "program", "--set", "target.array.tile_rows=16"],
}  # fmt: skip
FEW, MANY = 2, 50
SLOW = [pytest.mark.slow]
pytestmark = pytest.mark.compiled


read_images_once = functools.cache(idx.load)


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    """To draw, and to read images, takes longer than all else."""
    for name in ("mnist", "fashion_mnist"):
        for split in ("train", "test"):
            read_images_once(name, split)
    monkeypatch.setattr(idx, "load", read_images_once)
    for name in ("delgrad", "metaplasticity"):
        monkeypatch.setattr(f"neurohil.{name}.picture.draw_{name}", lambda *_, **__: None)
    monkeypatch.setattr("neurohil.probing.picture.draw_program", lambda *_: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def epochs(part: Path) -> int:
    try:
        with Trace(part) as trace:
            return trace.epochs
    except TraceError:  # not there yet
        return 0


@pytest.fixture(scope="module")
def of_delgrad(tmp_path_factory):
    """Reference of the command that several tests disturb; made by the first of them, whose pictures are quick."""
    return functools.cache(lambda: reference(tmp_path_factory.mktemp("delgrad"), DELGRAD))


def reference(folder: Path, arguments: list[str]) -> tuple[bytes, float]:
    """Bytes of a run that nobody disturbs, and how long one takes, kernels compiled."""
    for name in ("first.h5", "reference.h5"):
        began = time.monotonic()
        code, said = Started([*arguments, "--out", str(folder / name)]).wait()
        assert code == 0, said
    seconds = time.monotonic() - began
    whole = (folder / "first.h5").read_bytes()
    assert whole == (folder / "reference.h5").read_bytes()
    return whole, seconds


def kill_again_and_again(
    folder: Path, arguments: list[str], undisturbed: tuple[bytes, float], kills: int, resumes: bool = False
) -> dict[str, int]:
    """Kill a run at random moments until it has been killed so many times; check that nothing is ever lost."""
    whole, seconds = undisturbed
    path = folder / "killed.h5"
    part, rng = Path(f"{path}.part"), random.Random(1)
    counts = {"kills": 0, "finished": 0, "gone on": 0}
    kept, patience = 0, seconds
    while counts["kills"] < kills or not path.exists():
        goes_on = resumes and part.exists()
        began = ["--resume", str(part)] if goes_on else ["--out", str(path)]
        process = Started([*(arguments[:1] if goes_on else arguments), *began])
        counts["gone on"] += kept > 0
        if counts["kills"] < kills:
            time.sleep(rng.uniform(0.0, patience))
            counts["kills"] += process.kill() == -signal.SIGKILL
        else:
            code, said = process.wait()
            assert code == 0, said
        if path.exists():
            assert path.read_bytes() == whole
            counts["finished"] += 1
            kept = 0
            if counts["kills"] < kills:
                path.unlink()
        else:
            assert epochs(part) >= kept
            kept = epochs(part)
    code, said = Started([*arguments, "--out", str(path)]).wait()  # clears what a kill after the end has left
    assert code == 0 and "holds this run already" in said
    assert os.listdir(folder) == ["killed.h5"]
    return counts


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=SLOW)])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_commands_go_on_to_the_same_bytes(name, kills, of_delgrad, tmp_path, tmp_path_factory):
    arguments = COMMANDS[name]
    undisturbed = of_delgrad() if arguments is DELGRAD else reference(tmp_path_factory.mktemp("whole"), arguments)
    counts = kill_again_and_again(tmp_path, arguments, undisturbed, kills)
    print(name, counts)


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=SLOW)])
def test_killed_resumes_go_on_to_the_same_bytes(kills, of_delgrad, tmp_path):
    counts = kill_again_and_again(tmp_path, DELGRAD, of_delgrad(), kills, resumes=True)
    print("resume", counts)


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=SLOW)])
def test_killed_while_a_measurement_is_written(kills, tmp_path, tmp_path_factory, monkeypatch):
    arguments = COMMANDS["crossbar program"]
    kind = KINDS["crossbar program"]
    measured = kind.start(kind.load("crossbar_9_levels", ["target.array.tile_rows=16"])).measured
    monkeypatch.setattr(Program, "measure", lambda *_: measured)
    undisturbed = reference(tmp_path_factory.mktemp("whole"), arguments)
    counts = kill_again_and_again(tmp_path, arguments, undisturbed, kills)
    print("writing", counts)


@pytest.mark.parametrize("times", [3, pytest.param(MANY, marks=SLOW)])
def test_of_two_starts_one_goes_on_and_the_other_is_told(times, of_delgrad, tmp_path):
    whole, _ = of_delgrad()
    path, told = tmp_path / "twice.h5", 0
    for _ in range(times):
        both = [Started([*DELGRAD, "--out", str(path)]) for _ in range(2)]
        (first, said_first), (second, said_second) = (process.wait() for process in both)
        assert path.read_bytes() == whole
        for code, said, other in ((first, said_first, both[1]), (second, said_second, both[0])):
            if code == 2:
                assert f"{path}.part is being written by process {other.pid}; wait for its end or stop it" in said
                told += 1
            else:
                assert code == 0
        assert 0 in (first, second)
        assert os.listdir(tmp_path) == ["twice.h5"]
        path.unlink()
    print("told", told, "of", times)
    assert told >= times // 2  # else the second one came when the first had finished
