"""The picture of a run: of the promised size, from the trace alone, and about its data."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import synthetic_run as run
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from neurohil.delgrad.picture import draw_delgrad
from neurohil.pictures import CLASS_COLOURS
from neurohil.trace import Trace, TraceError, TraceWriter
from neurohil.trace.nxdata import default_plot, plot_group
from neurohil.trace.viewing import drawing
from neurohil.trace.viewing.drawing import save


def pixels(picture: np.ndarray, colour: str) -> int:
    return int(np.sum(np.all(np.abs(picture[..., :3] - to_rgb(colour)) < 3e-3, axis=-1)))


def write_without_class(path: Path, case: run.Case, missing: int | None) -> None:
    """A run in which one class neither occurs nor is decided for."""
    plan, values = run.layout(case), run.final_values(case)
    for name in ("run/decisions/predicted", "run/decisions/label", "run/decision_map/predicted"):
        values[name] = np.where(values[name] == missing, (missing or 0) - 1, values[name])
    with TraceWriter(path, plan, case.name, run.CONFIG, run.STATE_SIZE) as trace:
        for epoch in range(3):
            trace.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
        trace.finish(values)


@pytest.mark.parametrize("case", [run.CHIP, run.IDEAL, run.SYNAPTIC, run.DEEP], ids=lambda case: case.name)
def test_size_and_sameness(tmp_path, case):
    path, first, second = tmp_path / "run.h5", tmp_path / "first.png", tmp_path / "second.png"
    run.write(path, case, 30)
    draw_delgrad(path, first)
    draw_delgrad(path, second)
    assert imread(first).shape[:2] == (1200, 1600)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("missing", [None, 2])
def test_classes_and_decisions_are_drawn_in_their_colours(tmp_path, missing):
    path, png = tmp_path / "run.h5", tmp_path / "run.png"
    write_without_class(path, run.IDEAL, missing)
    draw_delgrad(path, png)
    picture = imread(png)
    plane = picture[200:600, 150:560]
    for code, colour in enumerate(CLASS_COLOURS):
        tint = 0.75 + 0.25 * np.array(to_rgb(colour))
        drawn = code != missing
        assert (pixels(plane, colour) > 20) == drawn
        assert (pixels(plane, tint) > 500) == drawn


def test_one_epoch_without_any_spike_can_be_drawn(tmp_path):
    path, png = tmp_path / "run.h5", tmp_path / "run.png"
    plan, values = run.layout(run.CHIP), run.final_values(run.CHIP)
    for name in ("time", "neuron", "layer"):
        values[f"run/samples/0/raster/{name}"] = values[f"run/samples/0/raster/{name}"][:0]
    values["run/decisions/predicted"] = np.full(200, -1)
    values["run/decision_map/predicted"] = np.full((61, 61), -1)
    with TraceWriter(path, plan, "silent", "", run.STATE_SIZE) as trace:
        trace.append_epoch(run.epoch_values(plan, 0), run.state(0))
        trace.finish(values)
    draw_delgrad(path, png)
    assert imread(png).shape[:2] == (1200, 1600)


def test_a_run_that_has_not_ended_is_not_drawn(tmp_path):
    part = tmp_path / "run.h5.part"
    with TraceWriter(tmp_path / "run.h5", run.layout(run.IDEAL), "x", "", 3):
        pass
    text = f"{part} holds 0 epochs of a run that has not come to its end; finish the run, then draw it"
    with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        draw_delgrad(part, tmp_path / "run.png")


def test_drawing_leaves_no_state_behind(tmp_path):
    path = tmp_path / "run.h5"
    run.write(path, run.IDEAL, 2)
    script = f"""
import matplotlib
from matplotlib import _pylab_helpers
from neurohil.delgrad.picture import draw_delgrad
before = dict(matplotlib.rcParams)
draw_delgrad({str(path)!r}, {str(tmp_path / "run.png")!r})
print(dict(matplotlib.rcParams) == before, len(_pylab_helpers.Gcf.figs))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stdout.strip() == "True 0", done.stderr


SETTINGS = """
text.usetex: True
font.family: No Such Font
savefig.dpi: 30
savefig.bbox: tight
axes.facecolor: red
figure.autolayout: True
lines.linewidth: 9
"""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("module://matplotlib_inline.backend_inline", marks=pytest.mark.slow),  # in test_processes, too
        pytest.param("nonsense", marks=pytest.mark.slow),
        "tkagg",
        pytest.param(None, marks=pytest.mark.slow),
    ],
)
def test_surroundings_do_not_change_a_picture(tmp_path, backend):
    """A notebook's drawing backend that isn't installed here, one that needs a display, and settings of the user."""
    path, png = tmp_path / "run.h5", tmp_path / "run.png"
    run.write(path, run.CHIP, 3)
    draw_delgrad(path, png)
    plain, svg = png.read_bytes(), tmp_path / "plot.svg"
    save(default_plot_of(path), svg)
    drawn = svg.read_bytes()
    (tmp_path / "matplotlibrc").write_text(SETTINGS)
    script = (
        f"from pathlib import Path; import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from neurohil.delgrad.picture import draw_delgrad\n"
        "draw_delgrad('run.h5', 'run.png')\n"
        "from test_plots import default_plot_of, save\n"
        "save(default_plot_of('run.h5'), 'plot.svg')\n"
        "from neurohil.results import report as write_report\nwrite_report('run.h5', None)\n"
        "import matplotlib\nprint(matplotlib.rcParams['savefig.dpi'], 'matplotlib.pyplot' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    environment |= {"MPLBACKEND": backend} if backend else {}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.strip() == "30.0 False", done.stderr
    assert png.read_bytes() == plain and svg.read_bytes() == drawn


def default_plot_of(path):
    trace = Trace(path).__enter__()
    return plot_group(trace, default_plot(trace))


def test_drawing_in_two_threads_leaves_the_settings(tmp_path):
    path = tmp_path / "run.h5"
    run.write(path, run.CHIP, 3)
    before = dict(matplotlib.rcParams)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda k: draw_delgrad(path, tmp_path / f"{k}.png"), range(4)))
    assert dict(matplotlib.rcParams) == before
    assert len({picture.read_bytes() for picture in tmp_path.glob("*.png")}) == 1


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_window_needs_a_backend_that_works(backend, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("MPLBACKEND", backend)
    with pytest.raises(TraceError, match=f"^MPLBACKEND = '{backend}' is no drawing backend .*--out FILE$"):
        drawing.has_window()


def test_a_window_that_cannot_be_opened(tmp_path, monkeypatch):
    import matplotlib.pyplot

    def figure(**_):
        raise ImportError("Cannot load backend\n'TkAgg'")

    monkeypatch.setattr(matplotlib.pyplot, "figure", figure)
    path = tmp_path / "run.h5"
    run.write(path, run.CHIP, 3)
    with pytest.raises(TraceError, match=r"^no window can be opened \(Cannot load backend 'TkAgg'\); draw into a file"):
        drawing.show(default_plot_of(path))
