"""The bytes of a small trace of each layout are those of the golden files, and those files stay readable.

The versions in them are made up. The bytes are those of one release of h5py, with the HDF5 and zlib in its wheels:
with others they are read, but not compared. After a wanted change of the format write them anew, by
`python tests/neurohil/trace/test_golden.py`, and say so in the change.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic_run import delgrad_layout

from neurohil import version
from neurohil.metaplasticity.trace import metaplasticity_layout
from neurohil.probing import plots
from neurohil.probing.trace import CYCLES, ERROR_AGE, map_path
from neurohil.protocols import Quantity
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig
from neurohil.trace import Trace, TraceWriter
from neurohil.trace.provenance import CHIP, CROSSBAR, IDEAL_NEURONS
from neurohil.trace.schema import EPOCH, Array, Layout, group_of
from neurohil.trace.validation import validate

FOLDER = Path(__file__).parent / "golden"
WRITTEN_BY = ("3.16.0", "2.0.0")  # h5py, HDF5
VERSIONS = {"python": "3.11.0", "numpy": "2.0.0", "h5py": "3.0.0", "neurohil": "0.0.0"}
TITLE, CONFIG = "golden", 'summary = "µ: a golden trace"\n'
OLDER = FOLDER / "schema_2_0"  # as they were written before schema version 2.1
EPOCHS, UNKNOWN = 3, 5  # UNKNOWN: size of a dimension that is known at the end only


def pattern(name: str, dims: tuple[str, ...], *shape: int) -> Quantity:
    return Quantity(name, counted(shape, "float64"), dims, "uS", f"{name} (uS)")


def counted(shape: tuple[int, ...], dtype: str, start: int = 0) -> np.ndarray:
    """Numbers that are exact in every type and differ."""
    return (np.arange(start, start + int(np.prod(shape))) % 120).reshape(shape).astype(dtype)


def crossbar() -> CrossbarTarget:
    """A target whose results are those of the layout."""
    return CrossbarTarget(CrossbarTargetConfig(), [(2, 2)])


LAYOUTS: dict[str, Callable[[], Layout]] = {
    "delgrad": lambda: delgrad_layout((4, 6, 3), (4, 6), 20, "1", IDEAL_NEURONS),
    "delgrad_chip": lambda: delgrad_layout(
        (20, 6, 3),
        (4, 6),
        20,
        "us",
        CHIP,
        [pattern("gain", ("row", "column"), 64, 64), pattern("offset", ("circuit",), 16)],
    ),
    "metaplasticity": lambda: metaplasticity_layout(
        ["mnist"],
        ["mnist"],
        10,
        2,
        np.arange(-7, 8),
        CROSSBAR,
        [pattern("layer0_conductance", ("row", "column"), 16, 16)],
        crossbar().results(),
        programmed_by_pulses=True,
    ),
    "crossbar": lambda: plots.measured_layout(
        [
            plots.curves(
                "Failed cells",
                [(f"{group_of(CYCLES)}/worn", counted((8,), "float64"), "1", "worn out")],
                (plots.axis(CYCLES, counted((8,), "float64"), "1", "programming cycles"),),
                log_x=True,
            ),
            plots.curves(
                "Error of the conductances",
                [(f"{group_of(ERROR_AGE)}/error", counted((9,), "float64"), "uS", "mean error (uS)")],
                (plots.axis(ERROR_AGE, counted((9,), "float64"), "s", "time since the write (s)"),),
                log_x=True,
            ),
            plots.device_map(map_path("cycles"), counted((16, 16), "float64"), "uS", "cycles (uS)"),
        ],
        [],
    ),
}


def content(array: Array, epoch: int = 0) -> np.ndarray:
    shape = tuple(
        UNKNOWN if size is None else size for size, dim in zip(array.shape, array.dims, strict=True) if dim != EPOCH
    )
    return counted(shape, array.dtype, start=7 * epoch)


def state(epoch: int) -> np.ndarray:
    return counted((11,), "float64", start=epoch)


def write(path: Path, plan: Layout) -> None:
    with TraceWriter(path, plan, TITLE, CONFIG, 11 if plan.has_epochs else 0) as trace:
        for epoch in range(1, EPOCHS + 1 if plan.has_epochs else 1):
            trace.append_epoch({name: content(array, epoch) for name, array in plan.growing().items()}, state(epoch))
        trace.finish({name: content(array) for name, array in plan.final().items()})


@pytest.fixture(autouse=True)
def made_up_versions(monkeypatch):
    monkeypatch.setattr(version, "software_versions", lambda: VERSIONS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_same_bytes(tmp_path, name):
    found = (h5py.version.version, h5py.version.hdf5_version)
    if found != WRITTEN_BY:
        pytest.skip(f"the golden bytes are those of h5py {WRITTEN_BY[0]} with HDF5 {WRITTEN_BY[1]}, this is {found}")
    write(tmp_path / "run.h5", LAYOUTS[name]())
    golden = lzma.decompress((FOLDER / f"{name}.h5.xz").read_bytes())
    assert (tmp_path / "run.h5").read_bytes() == golden


@pytest.mark.parametrize("folder", [FOLDER, OLDER], ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", LAYOUTS)
def test_still_readable(tmp_path, name, folder):
    plan, path = LAYOUTS[name](), tmp_path / "run.h5"
    path.write_bytes(lzma.decompress((folder / f"{name}.h5.xz").read_bytes()))
    # The made-up content breaks other rules: that of codes.
    assert not [finding for finding in validate(path) if "kind" in finding.text or "source" in finding.text]
    with Trace(path) as trace:
        assert (trace.title, trace.config, trace.versions, trace.complete) == (TITLE, CONFIG, VERSIONS, True)
        assert trace.epochs == (EPOCHS if plan.has_epochs else 0)
        for where, array in plan.static().items():
            assert np.array_equal(trace[where], array.values)
        for where, array in plan.final().items():
            assert np.array_equal(trace[where], content(array))
        for where, array in plan.growing().items():
            rows = np.moveaxis(trace[where], array.dims.index(EPOCH), 0)
            assert all(np.array_equal(row, content(array, epoch)) for epoch, row in enumerate(rows, start=1))
        if plan.has_epochs:
            assert np.array_equal(trace.state(), state(EPOCHS))


def main() -> None:
    """Write the golden files."""
    import tempfile

    version.software_versions = lambda: VERSIONS
    FOLDER.mkdir(exist_ok=True)
    for name, plan in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "run.h5", plan())
            (FOLDER / f"{name}.h5.xz").write_bytes(lzma.compress((Path(folder) / "run.h5").read_bytes()))


if __name__ == "__main__":
    main()
