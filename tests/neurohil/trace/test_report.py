"""The page of a trace: one file, nothing from elsewhere, all that the trace holds, as text what is text."""

import base64
import gzip
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import synthetic_run as run

from neurohil.probing.ir_drop import Drop
from neurohil.probing.trace import ir_drop_layout
from neurohil.results import report as write_report
from neurohil.trace.nxdata import plot_group
from neurohil.trace.reader import Trace
from neurohil.trace.report.spikes import TICKS, draw_raster, resolution
from neurohil.trace.report.style import BACKGROUNDS, CLASS_COLOURS, CURVE_COLOURS, NEUTRAL, palette
from neurohil.trace.schema import TraceError
from neurohil.trace.writer import TraceWriter


class Page(HTMLParser):
    """Elements of a page, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def trace_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "run.h5"
    run.write(path, run.CHIP, 12)
    return path


@pytest.fixture(scope="module")
def page(trace_path):
    return write_report(trace_path).read_text(encoding="utf-8")


def figure_items(page: str) -> dict[str, dict]:
    found = re.findall('data-figure="([^"]*)">([^<]*)<', page)
    return {name: json.loads(gzip.decompress(base64.b64decode(packed))) for name, packed in found}


def arrays(node) -> list[bytes]:
    """Bytes of all arrays in a figure; bokeh compresses the longer ones."""
    if isinstance(node, list):
        return [data for entry in node for data in arrays(entry)]
    if not isinstance(node, dict):
        return []
    if node.get("type") == "bytes":
        data = base64.b64decode(node["data"])
        return [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data]
    return arrays(list(node.values()))


def test_the_page_stands_beside_the_trace_and_is_small(trace_path, page):
    assert trace_path.with_suffix(".html").exists()
    assert len(page.encode()) < 5e6
    assert not list(trace_path.parent.glob("tmp*"))


def test_equal_traces_give_equal_pages_and_a_page_replaces_another(trace_path, page):
    assert write_report(trace_path).read_text(encoding="utf-8") == page


def test_nothing_comes_from_elsewhere(page):
    parsed = Page(page)
    assert not parsed.all("link")[1:] and parsed.all("link")[0]["href"] == "data:,"
    for tag, attributes in parsed.tags:
        assert not attributes.get("src"), tag
        assert attributes.get("href", "#").startswith(("#", "data:")), tag
    policy = next(meta["content"] for meta in parsed.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")


def test_every_plot_of_the_trace_is_on_the_page(page):
    keys = {section["id"] for section in Page(page).all("section")}
    expected = {"accuracy", "loss", "silence", "decisions", "spikes", "weights-0", "weights-1", "delays-0", "delays-1"}
    assert expected | {"numbers", "config"} <= keys
    assert {key for key in keys if key.startswith("chip")}


def test_figures_can_be_reached_by_keys_and_are_told_in_words(page):
    parsed = Page(page)
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    for figure in parsed.all("figure"):
        assert figure["tabindex"] == "0" and figure["aria-label"]
        assert figure["aria-describedby"] in ids
    labelled = {label["for"] for label in parsed.all("label")}
    for control in parsed.all("input") + parsed.all("select"):
        assert control["id"] in labelled
    assert parsed.all("th") and all(th["scope"] in ("row", "col") for th in parsed.all("th"))
    assert parsed.all("html")[0]["lang"] == "en"


def test_results_and_what_is_emulated_are_said(page):
    text = Page(page).text
    assert "emulated BrainScaleS-2 chip; nothing here was measured on a real one" in text
    assert "time on the chip" in text and "271.8" in text
    assert 'preset = "w66f3"' in text


def test_text_of_the_trace_stays_text(tmp_path):
    evil = 'summary = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"\n'
    path, plan = tmp_path / "evil.h5", run.layout(run.IDEAL)
    with TraceWriter(path, plan, "<b>evil</b>", evil, run.STATE_SIZE) as trace:
        trace.append_epoch(run.epoch_values(plan, 0), run.state(0))
        trace.finish(run.final_values(run.IDEAL))
    parsed = Page(write_report(path).read_text(encoding="utf-8"))
    assert not parsed.all("img") and not parsed.all("b")
    assert "<b>evil</b>" in parsed.text
    assert evil.strip() in parsed.text


def test_an_interrupted_run_shows_what_it_has(tmp_path):
    part, plan = tmp_path / "run.h5.part", run.layout(run.IDEAL)
    with TraceWriter(tmp_path / "run.h5", plan, "x", "", run.STATE_SIZE) as trace:
        for epoch in range(3):
            trace.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
    out = write_report(part)
    assert out == tmp_path / "run.html"
    parsed = Page(out.read_text(encoding="utf-8"))
    assert "NOT COMPLETE: 3 epochs so far" in parsed.text
    keys = {section["id"] for section in parsed.all("section")}
    assert "accuracy" in keys and "decisions" not in keys and "spikes" not in keys


def test_figures_hold_the_numbers_of_the_trace(trace_path, page):
    with Trace(trace_path) as trace:
        accuracy = trace["run/accuracy/validation_accuracy"]
        frames = trace["run/weights_1/weights"].astype(np.float32)
    items = figure_items(page)
    assert accuracy.tobytes() in arrays(items["accuracy-0"])
    for epoch in (0, 11):
        assert frames[epoch].tobytes() in arrays(items["weights-1-0"])


def test_events_are_packed_without_loss(trace_path):
    with Trace(trace_path) as trace:
        plot = plot_group(trace, "run/samples/0/raster")
        time, neuron, code = (trace[f"run/samples/0/raster/{name}"] for name in ("time", "neuron", "layer"))
        smallest = resolution(plot)
        figure = draw_raster(plot)
    events = figure.children[0].tags[0]
    start, tick, count, low, step = events.tags

    def column(name: str) -> np.ndarray:
        planes = [
            256**k * np.asarray(events.data[f"{name}{k}"], float) for k in range(8) if f"{name}{k}" in events.data
        ]
        return sum(planes, np.zeros(count))

    assert count == time.size
    np.testing.assert_allclose(start + tick * np.cumsum(column("step")), np.sort(time), atol=0.51 * smallest)
    assert smallest == pytest.approx(np.ptp(time) / TICKS)
    np.testing.assert_array_equal(column("neuron"), neuron)
    np.testing.assert_array_equal(low + step * events.data["level"], code)


def test_maps_of_an_array_without_epochs(tmp_path):
    rng = np.random.default_rng(3)
    row_V, column_V, conductance_uS = rng.random((3, 16, 16))
    loss = rng.random((2, 2))
    drop = Drop(np.array([1.0, 2.0]), np.array([16, 32]), loss, 0.25, 0.2, row_V, column_V, conductance_uS)
    with TraceWriter(tmp_path / "wires.h5", ir_drop_layout(drop), "wires", "", 0) as trace:
        trace.finish({})
    page = write_report(tmp_path / "wires.h5").read_text(encoding="utf-8")
    assert row_V.astype(np.float32).tobytes() in arrays(figure_items(page)["maps-row-voltage-0"])
    assert "share of the current lost" in Page(page).text


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", sorted({*CLASS_COLOURS, *CURVE_COLOURS, NEUTRAL, *palette(30)}))
def test_colours_of_data_stand_out_on_light_and_on_dark(colour):
    for background in BACKGROUNDS:
        dark, light = sorted((luminance(colour), luminance(background)))
        assert (light + 0.05) / (dark + 0.05) >= 3.0, background


def test_the_page_does_not_replace_the_trace(trace_path):
    text = f"{trace_path} is the trace itself; name another file for the page"
    with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        write_report(trace_path, trace_path)


def test_a_folder_that_is_missing(trace_path, tmp_path, monkeypatch):
    monkeypatch.setattr("neurohil.trace.report.page._render", lambda *_: "")
    out = tmp_path / "none" / "page.html"
    with pytest.raises(TraceError, match=f"^{re.escape(str(out))} can't be written .*; choose another file$"):
        write_report(trace_path, out)


def test_bokeh_is_loaded_only_for_a_page():
    script = (
        "import sys, neurohil, neurohil.config, neurohil.trace, neurohil.trace.report; print('bokeh' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
