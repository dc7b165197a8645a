"""Any plot of a trace can be drawn, in pixels and in characters, and shows what is in it."""

import re

import numpy as np
import pytest
import synthetic_run as run
from matplotlib.figure import Figure
from matplotlib.image import imread

from neurohil.terminal import BrailleCanvas, coded, shaded
from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.nxdata import default_plot, is_plot, plot_group
from neurohil.trace.viewing.drawing import draw, has_window, save
from neurohil.trace.viewing.text_drawing import text_drawing

SMALL = run.Case("chip_small", (4, 5, 3), (4, 5), "us")
KINDS = {
    "run/accuracy": "curve",
    "run/weights_0": "images",
    "run/delays_0": "lines",
    "run/samples/0/raster": "scatter",
    "run/samples/0/membrane": "lines",
    "run/decision_map": "image",
    "run/chip/synapse_gain": "image",
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, SMALL, 5)
    with Trace(path) as opened:
        yield opened


def drawn(trace, path, epoch=None):
    axes = Figure().add_subplot()
    draw(plot_group(trace, path), axes, epoch)
    return axes


def test_all_plots_are_drawn_and_their_kind_is_known(trace):
    paths = [path for path in trace.groups if is_plot(trace, path)]
    assert len(paths) >= 16 and default_plot(trace) == "run/accuracy"
    for path in paths:
        group = plot_group(trace, path)
        assert drawn(trace, path).get_title().startswith(group.title)
        lines = text_drawing(group, None, 60, 8).splitlines()
        assert lines[0].startswith(group.title) and max(map(len, lines[1:])) <= 60
    assert {path: plot_group(trace, path).kind for path in KINDS} == KINDS


def test_curves_are_the_data(trace):
    axes = drawn(trace, "run/accuracy")
    for line, name in zip(axes.lines, ("validation_accuracy", "train_accuracy"), strict=True):
        assert np.array_equal(line.get_ydata(), trace[f"run/accuracy/{name}"])
        assert np.array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    assert [text.get_text() for text in axes.get_legend().texts] == ["validation accuracy", "training accuracy"]


def test_an_epoch_is_chosen(trace):
    weights = trace["run/weights_0/weights"]
    for epoch, index in ((None, 4), (1, 0), (3, 2)):
        axes = drawn(trace, "run/weights_0", epoch)
        assert np.array_equal(axes.collections[0].get_array(), weights[index])
        assert axes.get_title() == f"Weights into layer 1, epoch {index + 1}"
    axes = drawn(trace, "run/delays_0", 2)
    assert np.array_equal(axes.lines[0].get_ydata(), trace["run/delays_0/delays"][:, 1])
    with pytest.raises(TraceError, match=r"--epoch 6 is none of the epochs 1\.\.5 of run/weights_0$"):
        drawn(trace, "run/weights_0", 6)
    for path in ("run/accuracy", "run/decision_map"):
        with pytest.raises(TraceError, match=f"{path} has nothing for a single epoch; drop --epoch"):
            drawn(trace, path, 1)


def test_rows_count_downwards_and_coordinates_upwards(trace):
    assert drawn(trace, "run/chip/synapse_gain").yaxis_inverted()
    assert not drawn(trace, "run/decision_map").yaxis_inverted()


def test_a_raster_has_a_dot_for_each_spike(trace):
    axes = drawn(trace, "run/samples/0/raster")
    dots = {tuple(dot) for line in axes.lines for dot in zip(line.get_xdata(), line.get_ydata(), strict=True)}
    sample = "run/samples/0/raster"
    assert dots == set(zip(trace[f"{sample}/time"], trace[f"{sample}/neuron"], strict=True))


def test_files_are_pictures_and_equal_each_time(trace, tmp_path):
    group = plot_group(trace, "run/samples/0/raster")
    for kind in ("png", "svg"):
        first, second = (save(group, tmp_path / f"{name}.{kind}") for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert imread(tmp_path / "a.png").shape == (900, 1400, 4)
    assert "Spikes of sample 0" in (tmp_path / "a.svg").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


def test_where_no_picture_can_be_written(trace, tmp_path):
    group = plot_group(trace, "run/loss")
    with pytest.raises(TraceError, match=r"a\.pdf has the ending '\.pdf'; choose \.png or \.svg"):
        save(group, tmp_path / "a.pdf")
    with pytest.raises(TraceError, match=r"can't be written \(No such file or directory\); choose another file"):
        save(group, tmp_path / "none" / "a.png")


def test_unknown_plots_get_the_nearest_one(trace):
    with pytest.raises(TraceError, match=r"has no plot run/acuracy; the nearest one is run/accuracy$"):
        plot_group(trace, "run/acuracy")


def test_what_is_not_written_yet_says_so(tmp_path):
    plan = run.layout(SMALL)
    with TraceWriter(tmp_path / "run.h5", plan, "x", run.CONFIG, run.STATE_SIZE) as writer:
        for epochs in range(2):
            with Trace(tmp_path / "run.h5.part") as opened:
                for path in ("run/decision_map", "run/samples/0/raster", "run/decisions"):
                    with pytest.raises(TraceError, match=f"{path} holds nothing yet; it is written as the run goes"):
                        text_drawing(plot_group(opened, path))
                if epochs:
                    assert "Accuracy" in text_drawing(plot_group(opened, "run/accuracy"))
                else:
                    with pytest.raises(TraceError, match="run/weights_0 has no finished epoch yet; draw it later"):
                        drawn(opened, "run/weights_0")
            writer.append_epoch(run.epoch_values(plan, 0), run.state(0))


def test_no_window_without_a_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_window()


def test_braille_dots_stand_where_the_points_are():
    canvas = BrailleCanvas(2, 1, (0, 3), (0, 3))
    canvas.points(np.array([0, 3, np.nan]), np.array([0, 3, 1]))
    assert canvas.lines() == ["⡀⠈"]  # lower left and upper right: dots 7 and 4 of Unicode's patterns
    canvas = BrailleCanvas(2, 1, (0, 3), (0, 3))
    canvas.curve(np.array([0.0, 3.0]), np.array([0.0, 3.0]))
    assert canvas.lines() == ["⡠⠊"]
    canvas = BrailleCanvas(2, 1, (0, 3), (0, 1))
    canvas.curve(np.array([0, 1, 2, 3]), np.array([0, np.nan, 0, 0]))
    assert canvas.lines() == ["⡀⣀"]  # no line across the gap


def test_images_in_characters():
    assert shaded(np.array([[0.0, 4.0], [2.0, np.nan]]), 2, 2) == [" █", "▒ "]
    assert shaded(np.kron([[0.0, 4.0], [2.0, 1.0]], np.ones((5, 5))), 2, 2) == [" █", "▒░"]
    assert coded(np.array([[0, -1], [2, 11]]), 2, 2) == ["0·", "2·"]
    assert {len(re.findall("0+", line)[0]) for line in coded(np.zeros((3, 3), int), 60, 3)} == {24}
