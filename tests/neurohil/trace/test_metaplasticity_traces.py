"""Traces of metaplasticity runs keep the NXdata rules, before the run's end too."""

import h5py
import numpy as np
import pytest
from test_nxdata import assert_plottable, nodes, plots

from neurohil.metaplasticity.trace import CORNER, corner, metaplasticity_layout
from neurohil.protocols import Quantity
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig, BrainscalesMatrixTarget
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig
from neurohil.trace import TraceWriter
from neurohil.trace.nxdata import text
from neurohil.trace.provenance import CHIP_MATRIX, CROSSBAR, IDEAL_WEIGHTS
from neurohil.trace.schema import EPOCH

MAPS = [
    Quantity(f"layer{k}_{name}", np.ones(shape), ("row", "column"), "uS", f"{name} (uS), layer {k}")
    for k, shape in enumerate([(200, 60), (30, 20)])
    for name in ("conductance", "target")
]
CHIP_MAPS = [
    Quantity("column_offset", np.ones((4, 128)), ("quadrant", "column"), "1", "column offset (code LSB)"),
    Quantity("row_gain", np.ones((256, 2)), ("driver", "row"), "1", "gain of the driver's rows"),
    Quantity("synapse_gain", np.ones((512, 256)), ("row", "column"), "1", "gain of the synapse"),
]
LEVELS = np.arange(-7, 8)
CASES = {
    "ideal": metaplasticity_layout(
        ["mnist", "fashion_mnist"], ["mnist", "fashion_mnist"], 10, 2, LEVELS, IDEAL_WEIGHTS
    ),
    "crossbar": metaplasticity_layout(
        ["mnist", "fashion_mnist"],
        ["mnist", "fashion_mnist"],
        10,
        2,
        LEVELS,
        CROSSBAR,
        MAPS,
        CrossbarTarget(CrossbarTargetConfig(), [(2, 2)]).results(),
        programmed_by_pulses=True,
    ),
    "chip": metaplasticity_layout(
        ["mnist", "fashion_mnist"],
        ["mnist", "fashion_mnist"],
        10,
        2,
        LEVELS,
        CHIP_MATRIX,
        CHIP_MAPS,
        BrainscalesMatrixTarget(BrainscalesMatrixConfig(), [(2, 2)], 7, 1.0, 1).results(),
    ),
    "stream": metaplasticity_layout(["fashion_mnist"], ["part_0", "part_1", "part_2"], 10, 3, LEVELS, IDEAL_WEIGHTS),
}
EPOCHS = 3


def value(array, rng):
    shape = tuple(
        6 if size is None else size for size, dim in zip(array.shape, array.dims, strict=True) if dim != EPOCH
    )
    return rng.integers(0, 3, shape).astype(array.dtype)


def write(path, layout, finish):
    rng = np.random.default_rng(1)
    with TraceWriter(path, layout, "made up", "seed = 1", {"weights": np.zeros(5)}) as writer:
        for epoch in range(EPOCHS):
            values = {name: value(array, rng) for name, array in layout.growing().items()}
            writer.append_epoch(values, {"weights": np.full(5, float(epoch))})
        if finish:
            writer.finish({name: value(array, rng) for name, array in layout.final().items()})


@pytest.fixture(scope="module", params=CASES)
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    write(path, CASES[request.param], finish=True)
    with h5py.File(path, "r") as opened:
        yield opened


def test_every_plot_can_be_drawn(file):
    assert len(plots(file)) >= 9
    for group in plots(file):
        assert_plottable(group)
    titles = [group["title"].asstr()[()] for group in plots(file)]
    assert all(titles) and len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", CASES)
def test_growing_plots_can_be_drawn_before_the_end(name, tmp_path):
    write(tmp_path / "run.h5", CASES[name], finish=False)
    with h5py.File(tmp_path / "run.h5.part", "r", swmr=True) as opened:
        growing = [group for group in plots(opened) if EPOCH in group]
        assert len(growing) == (4 if name == "crossbar" else 3)
        for group in growing:
            assert_plottable(group)
            assert group[text(group.attrs["signal"])].shape == (EPOCHS,)


def test_units_and_long_name_on_every_number(file):
    numbers = [(p, node) for p, node in nodes(file) if isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf"]
    assert len(numbers) > 10
    for path, node in numbers:
        units, long_name = text(node.attrs["units"]), text(node.attrs["long_name"])
        assert units and units.isascii() and long_name and long_name.isascii(), path
        if units != "1":
            assert f"({units})" in long_name, path


def test_it_opens_with_the_accuracies(file):
    assert text(file.attrs["default"]) == "run" and text(file["run"].attrs["default"]) == "accuracy"
    assert text(file["run/accuracy"].attrs["signal"]) in ("test_mnist", "test_fashion_mnist")
    task = file["run/accuracy/task"]
    assert len(text(task.attrs["flag_meanings"]).split()) == len(task.attrs["flag_values"])
    for _, node in nodes(file):
        if isinstance(node, h5py.Group):
            assert text(node.attrs["NX_class"]) in ("NXentry", "NXdata", "NXcollection")


def test_only_a_corner_of_a_map_is_kept():
    shapes = {path: array.shape for path, array in CASES["crossbar"].final().items() if path.startswith("run/maps")}
    assert shapes["run/maps/layer0_conductance/layer0_conductance"] == (CORNER, 60)
    assert shapes["run/maps/layer1_target/layer1_target"] == (30, 20)
    large = np.arange(200.0 * 300.0).reshape(200, 300)
    assert np.array_equal(corner(large), large[:128, :128]) and corner(large).dtype == np.float32
