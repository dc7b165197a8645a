"""What `trace diff` tells is what differs, and nothing else."""

import shutil

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import Trace, TraceWriter
from neurohil.trace.viewing.comparison import differences, same_bytes

CONFIG = "seed = 3\n[target]\nserial = 66\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.IDEAL, 4)
    return path


@pytest.fixture
def copy(original, tmp_path):
    path = tmp_path / "copy.h5"
    shutil.copy(original, path)
    return path


def found(a, b, **tolerance):
    with Trace(a) as first, Trace(b) as second:
        return {(row.kind, row.name): row.text for row in differences(first, second, **tolerance)}


def test_a_copy_does_not_differ(original, copy):
    assert same_bytes(original, copy)
    assert found(original, copy) == {}
    with copy.open("ab") as file:
        file.write(b"x")
    assert not same_bytes(original, copy)


def test_numbers_tell_count_share_place_and_size(original, copy):
    with h5py.File(copy, "r+") as file:
        weights = file["run/weights_0/weights"]
        size = weights.size
        weights[2, 1, 5] += 0.5
        weights[3, 0, 0] -= 2.0
    told = found(original, copy)
    assert told == {
        ("data", "run/weights_0/weights"): (
            f"2 of {size} elements differ ({200 / size:.3g} %), first at [2, 1, 5], by at most 2"
        )
    }


def test_tolerances_are_those_of_numpy(original, copy):
    with h5py.File(copy, "r+") as file:
        file["run/loss/train_loss"][1] *= 1 + 1e-6
    assert ("data", "run/loss/train_loss") in found(original, copy)
    assert ("data", "run/loss/train_loss") in found(original, copy, rtol=1e-7)
    assert found(original, copy, rtol=1e-5) == {}
    assert found(original, copy, atol=1e-5) == {}


def test_nan_equals_nan_and_nothing_else(copy, tmp_path):
    with h5py.File(copy, "r+") as file:
        file["run/test_times/spike_time"][0, :3] = [np.nan, np.inf, 1.0]
    other = tmp_path / "other.h5"
    shutil.copy(copy, other)
    with other.open("ab") as file:
        file.write(b"x")
    assert found(copy, other) == {}
    with h5py.File(copy, "r+") as file:
        file["run/test_times/spike_time"][0, 2] = np.nan
    assert list(found(copy, other).values()) == ["1 of 600 elements differ (0.167 %), first at [0, 2], by at most inf"]


def test_a_longer_run_is_compared_in_the_epochs_that_both_have(original, tmp_path):
    run.write(tmp_path / "longer.h5", run.IDEAL, 7)
    told = found(original, tmp_path / "longer.h5")
    assert told["run", "epochs"] == "4 | 7"
    assert told["data", "run/loss/train_loss"] == "shape (4,) | (7,)"
    assert all("elements differ" not in text for (_, name), text in told.items() if name != "run/state")
    assert ("data", "run/loss/epoch") not in told and ("data", "run/epoch") in told


def test_config_is_compared_by_key(tmp_path):
    for name, config in (("a", CONFIG), ("b", CONFIG.replace("66", "70") + "preset = 'x'\n")):
        with TraceWriter(tmp_path / f"{name}.h5", run.layout(run.IDEAL), "x", config, 1):
            pass
    told = found(tmp_path / "a.h5.part", tmp_path / "b.h5.part")
    assert told == {("config", "target.serial"): "66 | 70", ("config", "target.preset"): "missing | 'x'"}


def test_versions_and_types_and_labels(original, copy):
    with h5py.File(copy, "r+") as file:
        del file["run/versions/numba"]
        file["run/versions/numba"] = np.bytes_("0.1")
        file["run/epoch"].attrs["units"] = np.bytes_("s")
        numbers, attributes = file["run/loss/train_loss"][...], dict(file["run/loss/train_loss"].attrs)
        del file["run/loss/train_loss"]
        file["run/loss/train_loss"] = numbers.astype(np.float32)
        for name, value in attributes.items():
            file["run/loss/train_loss"].attrs[name] = value
    told = found(original, copy, rtol=1e-6)
    assert told["versions", "numba"].endswith(" | 0.1")
    assert told["data", "run/epoch"] == "units '1' | 's'"
    assert told["data", "run/loss/train_loss"] == "type float64 | float32"
    assert len(told) == 3


def test_what_only_one_has_is_told_by_group(original, copy):
    with h5py.File(copy, "r+") as file:
        del file["run/samples/1"]
        del file["run/results/chip_seconds"]
    only = f"only in {original}"
    assert found(original, copy) == {("data", "run/samples/1"): only, ("data", "run/results/chip_seconds"): only}
    assert found(copy, original) == found(original, copy)
