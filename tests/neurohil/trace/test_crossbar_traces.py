"""Traces of the crossbar's measurements: they keep the NXdata rules, have no epochs, and are drawn from alone."""

import json

import h5py
import numpy as np
import pytest
from matplotlib.image import imread
from test_nxdata import assert_plottable, nodes, plots

from neurohil.cli import main
from neurohil.probing.ir_drop import Drop
from neurohil.probing.picture import draw_age, draw_characterise, draw_ir_drop, draw_program
from neurohil.probing.trace import STATES, ir_drop_layout
from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.nxdata import names, text
from neurohil.trace.validation import validate

SMALL = [
    "--set",
    "target.array.tile_rows=12",
    "--set",
    "target.array.tile_columns=20",
    "--set",
    "ir_drop.sizes=[4, 12]",
]
DRAW = {"program": draw_program, "characterise": draw_characterise, "age": draw_age, "ir-drop": draw_ir_drop}
FIRST = {"program": "levels", "characterise": "spread", "age": "failures", "ir-drop": "loss"}


@pytest.fixture(scope="module", params=DRAW)
def run(request, tmp_path_factory):
    """Name of the measurement and its trace, on an array that isn't square."""
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    assert main(["crossbar", request.param, *SMALL, "--out", str(path)]) == 0
    return request.param, path


@pytest.fixture
def file(run):
    with h5py.File(run[1], "r") as opened:
        yield opened


def test_all_rules_are_kept(run):
    assert validate(run[1]) == []


def test_every_plot_can_be_drawn(file):
    assert len(plots(file)) >= 3
    for group in plots(file):
        assert_plottable(group)
    titles = [group["title"].asstr()[()] for group in plots(file)]
    assert all(titles) and len(set(titles)) == len(titles)


def test_units_and_long_name_on_every_number(file):
    numbers = [(p, node) for p, node in nodes(file) if isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf"]
    assert len(numbers) > 10
    for path, node in numbers:
        for attribute in ("units", "long_name"):
            assert text(node.attrs[attribute]).isascii() and text(node.attrs[attribute]), path
        unit = text(node.attrs["units"])
        if unit in ("uS", "V", "s", "pJ", "ohm"):
            assert f"({unit})" in text(node.attrs["long_name"]), path


def test_it_opens_with_the_first_plot(run, file):
    assert text(file.attrs["default"]) == "run"
    assert text(file["run"].attrs["default"]) == FIRST[run[0]]
    assert text(file[f"run/{FIRST[run[0]]}"].attrs["NX_class"]) == "NXdata"
    for _, node in nodes(file):
        if isinstance(node, h5py.Group):
            assert text(node.attrs["NX_class"]) in ("NXentry", "NXdata", "NXcollection")


def test_maps_are_row_by_column(run, file):
    maps = [group for group in plots(file) if group.name.startswith("/run/maps/")]
    assert (len(maps) > 0) == (run[0] != "characterise")
    for group in maps:
        assert names(group.attrs["axes"]) == ["row", "column"]
        signal = group[text(group.attrs["signal"])]
        assert signal.shape == (12, 20) and text(signal.attrs["interpretation"]) == "image"


def test_curves_over_decades_ask_for_a_logarithmic_axis(run, file):
    wanted = {"characterise": ["outside"], "age": ["error", "failures"]}.get(run[0], [])
    found = [group.name.removeprefix("/run/") for group in plots(file) if "SILX_style" in group.attrs]
    assert sorted(found) == wanted
    for name in found:
        style = json.loads(text(file[f"run/{name}"].attrs["SILX_style"]))
        assert style == {"axes_scale_types": ["log"]}


def test_there_are_no_epochs_and_nothing_to_resume(run, file):
    assert "epoch" not in file["run"] and "state" not in file["run"]
    with Trace(run[1]) as trace:
        assert trace.complete and trace.epochs == 0
        with pytest.raises(TraceError, match="holds no finished epoch"):
            trace.state()
    assert main(["delgrad", "--resume", str(run[1])]) == 2


def test_states_and_flags_are_explained(run, file):
    if run[0] != "program":
        return
    state = file["run/maps/state/state"]
    assert text(state.attrs["flag_meanings"]).split() == list(STATES)
    assert list(state.attrs["flag_values"]) == list(range(len(STATES)))
    verified = file["run/maps/verified_written/verified_written"]
    assert text(verified.attrs["flag_meanings"]) == "not_verified verified"


def test_pictures_come_from_the_trace_alone_and_are_equal(run, tmp_path):
    name, path = run
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    DRAW[name](path, first)
    DRAW[name](path, second)
    assert imread(first).shape[:2] == (1200, 1600)
    assert first.read_bytes() == second.read_bytes() == path.with_suffix(".png").read_bytes()


def test_nothing_of_a_picture_is_cut_off(run):
    picture = imread(run[1].with_suffix(".png"))[..., :3]
    for edge in (picture[:8], picture[-8:], picture[:, :8], picture[:, -8:]):
        assert np.all(edge == 1.0)


def layout():
    one = np.ones((1, 1))
    return ir_drop_layout(Drop(np.array([1.0]), np.array([4]), np.array([[0.25]]), 0.25, 0.2, one, one, one))


def test_an_interrupted_write_is_seen_and_not_drawn(tmp_path):
    part = tmp_path / "run.h5.part"
    with TraceWriter(tmp_path / "run.h5", layout(), "x", "", 0):
        pass  # killed before `finish`
    assert not (tmp_path / "run.h5").exists()
    with pytest.raises(TraceError, match="is of a run that has not come to its end; run it again, then draw it"):
        draw_ir_drop(part, tmp_path / "run.png")
    with TraceWriter(tmp_path / "run.h5", layout(), "x", "", 0) as writer:
        writer.finish({})
    with Trace(tmp_path / "run.h5") as trace:
        assert trace["run/loss/loss"].item() == 0.25
    assert not part.exists()
