"""What `trace ls` and `trace show` tell is what stands in the file."""

import json

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.terminal import sparkline
from neurohil.text import printable
from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.provenance import IDEAL_NEURONS
from neurohil.trace.schema import EPOCH_AXIS, Array, Layout, Plot, index_axis
from neurohil.trace.viewing.description import blocks, describe, statistics, values
from neurohil.trace.viewing.listing import contents, preview, tree

CURVE = np.array([3.0, np.nan, -2.0, np.inf, 5.0, -np.inf, 0.0])
LONG = np.arange(5000.0)[::-1]
GROWTH = np.arange(2 * 3 * 4.0).reshape(4, 3, 2)


def layout():
    def static(name, values, dim, units="1", label="what"):
        return Array(name, (dim,), values.shape, str(values.dtype), units, label, values)

    def plot(name, signal, dim):
        return Plot(f"run/{name}", name.title(), signal, (index_axis(dim, signal.shape[0], dim),))

    return Layout(
        (
            plot("curve", static("voltage", CURVE, "step", "V", "voltage (V)"), "step"),
            plot("long", static("long", LONG, "place"), "place"),
            Plot(
                "run/growth",
                "Growth",
                Array("growth", ("epoch", "row", "column"), (None, 3, 2), "float64", "1", "growth"),
                (EPOCH_AXIS, index_axis("row", 3, "row"), index_axis("column", 2, "column")),
                interpretation="image",
            ),
        ),
        (Array("score", (), (), "float64", "uS", "score (uS)"),),
        "delgrad",
        provenance=IDEAL_NEURONS,
    )


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    with TraceWriter(path, layout(), "A \x1b[31mred\x1b[0m title", "seed = 1", 1) as writer:
        for row in GROWTH:
            writer.append_epoch({"run/growth/growth": row}, np.zeros(1))
        writer.finish({"run/results/score": 12.5})
    with Trace(path) as opened:
        yield opened


def test_the_tree_is_in_order_of_creation_with_shape_unit_and_label(trace):
    lines = tree(trace, 200).splitlines()
    names = [line.split()[0] for line in lines[2:]]
    assert names[:4] == ["run", "title", "config", "complete"]
    assert names.index("curve") < names.index("long") < names.index("growth") < names.index("state")
    row = next(line for line in lines if line.lstrip().startswith("voltage"))
    assert row.split()[:4] == ["voltage", "7", "float64", "V"] and row.endswith("voltage (V)")
    assert "4x3x2" in next(line for line in lines if "float64" in line and line.lstrip().startswith("growth"))
    assert next(line for line in lines if line.lstrip().startswith("score")).split()[1:4] == ["float64", "uS", "12.5"]


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_longer_than_the_terminal(trace, columns):
    path, *lines = tree(trace, columns).splitlines()
    assert path == str(trace.path)  # to be copied
    assert max(map(len, lines)) <= columns
    assert all(len(line) <= columns for line in describe(trace, "run/curve", columns).splitlines())


def test_a_hostile_title_does_not_steer_the_terminal(trace):
    assert "\x1b" not in tree(trace) + describe(trace, "run/title") + describe(trace, "run")
    assert "\\x1b[31mred" in tree(trace, 200)
    assert printable("a\nb\x07\u202e") == "a\nb\\x07\\u202e"


def test_sparklines_show_the_course_of_the_means(trace):
    assert sparkline(np.arange(8.0), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([0.0, np.nan, 1.0, np.inf])) == "▁ █ "
    assert sparkline(np.array([1.7e308, -1.7e308])) == "█▁"
    assert sparkline(np.array([])) == "" and sparkline(np.array([np.nan])) == ""
    assert preview(trace.dataset("run/growth/growth")) == sparkline(GROWTH.mean(axis=(1, 2)))
    assert preview(trace.dataset("run/long/long")) == sparkline(LONG, 10)


def test_json_holds_everything_that_the_tree_shows(trace):
    told = json.loads(json.dumps(contents(trace)))
    assert (told["complete"], told["epochs"], len(told["datasets"])) == (True, 4, len(trace.paths))
    by_path = {entry["path"]: entry for entry in told["datasets"]}
    assert by_path["run/results/score"]["value"] == 12.5
    assert by_path["run/config"]["value"] == "seed = 1"
    assert by_path["run/curve/voltage"] == {
        "path": "run/curve/voltage",
        "shape": [7],
        "dims": ["step"],
        "dtype": "float64",
        "units": "V",
        "long_name": "voltage (V)",
    }


def test_what_is_not_known_yet_is_no_number_in_json(tmp_path):
    with TraceWriter(tmp_path / "run.h5", layout(), "x", "", 1), Trace(tmp_path / "run.h5.part") as opened:
        told = {entry["path"]: entry for entry in contents(opened)["datasets"]}
        assert told["run/results/score"]["value"] is None
        assert "not complete" in tree(opened)


def test_statistics_are_of_finite_values(trace):
    found = statistics(trace.dataset("run/curve/voltage"))
    assert (found.count, found.lowest, found.mean, found.highest) == (7, -2.0, 1.5, 5.0)
    assert (found.not_numbers, found.infinite) == (1, 2)
    assert "min, mean, max  -2, 1.5, 5, 1 NaN, 2 infinite" in describe(trace, "run/curve/voltage")


def test_codes_are_counted_by_their_meaning(tmp_path):
    run.write(tmp_path / "run.h5", run.IDEAL, 1)
    with Trace(tmp_path / "run.h5") as opened:
        labels = opened["run/decisions/label"]
        assert f"{(labels == 2).sum()} x 2 (dot)" in describe(opened, "run/decisions/label")


def test_blocks_are_the_dataset(tmp_path):
    content = np.random.default_rng(1).normal(size=(5, 700, 900))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, chunks in (("rows", (1, 100, 900)), ("columns", (5, 700, 10)), ("plain", None)):
            file.create_dataset(name, data=content, chunks=chunks)
            copy, pieces = np.zeros_like(content), list(blocks(file[name]))
            for where, block in pieces:
                copy[where] = block
            assert len(pieces) > 1 and np.array_equal(copy, content), name


@pytest.mark.parametrize("shape", [(5000,), (30, 40), (3, 50, 40), (200, 1), (7, 30)])
def test_ends_of_long_datasets_are_those_of_numpy(shape, tmp_path):
    content = np.arange(np.prod(shape)).reshape(shape)
    edge = {1: 12, 2: 3}.get(len(shape), 1)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = content
        shown = values(file["x"], 80)
    assert "..." in shown
    wanted = np.array2string(content, max_line_width=80, threshold=0, edgeitems=edge)
    # What lies between is not read, so numpy may leave it less room.
    assert shown.replace(" ", "") == wanted.replace(" ", "")


def test_a_group_tells_its_plot_and_a_folder_its_members(trace):
    told = describe(trace, "run/growth")
    assert "an image for each epoch, row down and column across" in told and "Growth" in told
    told = describe(trace, "run/results")
    assert "12.5 uS score (uS)" in told


def test_unknown_names_get_the_nearest_one(trace):
    with pytest.raises(TraceError, match=r"has no dataset run/curv/voltage; the nearest name is run/curve/voltage$"):
        describe(trace, "run/curv/voltage")
