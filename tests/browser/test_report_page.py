"""The page of a trace in Chromium: it loads by itself, draws every figure, and can be used by mouse and by keys."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "neurohil" / "trace"))
import synthetic_run as run

from neurohil.results import report as write_report
from neurohil.trace.writer import TraceWriter

pytestmark = pytest.mark.browser

FULL = ("decisions-0", "chip-synapse-gain-0")  # panels that data cover all but completely
PANEL = "document.getElementById('spikes-0')"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "run.h5"
    run.write(path, run.CHIP, 20)
    return write_report(path)


@pytest.fixture(scope="module")
def million_spikes(tmp_path_factory):
    path, rng, n = tmp_path_factory.mktemp("million") / "run.h5", np.random.default_rng(1), 1_000_000
    plan, values = run.layout(run.CHIP), run.final_values(run.CHIP)
    neuron = rng.integers(0, 512, n)
    values["run/samples/0/raster/time"] = np.sort(rng.uniform(0.0, 1e6, n))
    values["run/samples/0/raster/neuron"] = neuron
    values["run/samples/0/raster/layer"] = np.searchsorted([200, 500], neuron, side="right")
    with TraceWriter(path, plan, "a million spikes", run.CONFIG, run.STATE_SIZE) as trace:
        trace.append_epoch(run.epoch_values(plan, 0), run.state(0))
        trace.finish(values)
    return write_report(path)


def open_page(browser, page, width=1280, scheme="light"):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.set_window_size(width, 1000)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())
    wait(browser, "document.documentElement.dataset.complete !== undefined")


def wait(browser, condition, seconds=60):
    end = time.monotonic() + seconds
    while not browser.execute_script(f"return {condition}"):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def colours_of(browser, panel):
    """Number of different colours on each canvas of a panel, and the most frequent one."""
    script = """
    const found = [];
    const visit = (node) => {
      if (node.tagName === "CANVAS" && node.width) {
        const data = node.getContext("2d").getImageData(0, 0, node.width, node.height).data;
        const counts = new Map();
        for (const pixel of new Uint32Array(data.buffer)) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
        const [ground] = [...counts].filter(([pixel]) => pixel !== 0).sort((a, b) => b[1] - a[1])[0] ?? [0];
        found.push([counts.size, [ground & 255, (ground >> 8) & 255, (ground >> 16) & 255]]);
      }
      for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) visit(child);
    };
    visit(document.getElementById(arguments[0]));
    return found;
    """
    return browser.execute_script(script, panel)


def test_loads_without_errors_and_without_network(browser, page):
    open_page(browser, page)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [page.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_on_the_ground_of_the_page(browser, page, scheme):
    open_page(browser, page, scheme=scheme)
    panels = browser.execute_script("return [...document.querySelectorAll('.panel:not([hidden])')].map((p) => p.id)")
    assert len(panels) > 8
    for panel in panels:
        canvases = colours_of(browser, panel)
        assert max(number for number, _ in canvases) > 10, panel
        if panel not in FULL:
            wanted = [22, 24, 29] if scheme == "dark" else [255, 255, 255]
            assert any(ground == wanted for _, ground in canvases), (panel, canvases)


@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width):
    open_page(browser, page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_keys_zoom_and_reset(browser, page):
    from selenium.webdriver.common.by import By

    open_page(browser, page)
    figure = browser.find_element(By.CSS_SELECTOR, "#spikes figure")
    span = f"(({PANEL}.bokeh.find('raster').x_range.end) - {PANEL}.bokeh.find('raster').x_range.start)"
    before = browser.execute_script(f"return {span}")
    browser.execute_script("arguments[0].focus({focusVisible: true})", figure)
    assert figure.value_of_css_property("outline-style") == "solid"
    figure.send_keys("+")
    assert browser.execute_script(f"return {span}") == pytest.approx(0.7 * before)
    figure.send_keys("0")
    wait(browser, f"Math.abs({span} - {before}) < 1e-6")


def test_dragging_zooms(browser, page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    open_page(browser, page)
    figure = browser.find_element(By.ID, "spikes-0")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    events = browser.execute_script(f"return Number({PANEL}.dataset.events)")
    drag = ActionChains(browser).move_to_element_with_offset(figure, -200, -150).click_and_hold()
    drag.move_by_offset(150, 100).release().perform()
    wait(browser, f"Number({PANEL}.dataset.events) < {events}")


def test_the_cursor_tells_the_membrane_of_the_neuron_under_it(browser, page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    open_page(browser, page)
    figure = browser.find_element(By.ID, "spikes-0")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    readout = "document.querySelector('#spikes .readout').value"
    ActionChains(browser).move_to_element_with_offset(figure, 0, -200).perform()
    wait(browser, f"{readout}.includes('potential')")
    first = browser.execute_script(f"return {readout}")
    ActionChains(browser).move_by_offset(80, 40).perform()
    wait(browser, f"{readout} !== {json.dumps(first)}")


def test_sliders_and_choices_work_by_keys(browser, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    open_page(browser, page)
    shown = "[...document.getElementById('weights-1-0').bokeh.find('map').data_source.data.image[0]].join()"
    before = browser.execute_script(f"return {shown}")
    slider = browser.find_element(By.ID, "weights-1-frame")
    slider.send_keys(Keys.HOME)
    assert slider.get_attribute("value") == "1"
    assert browser.execute_script(f"return {shown}") != before
    browser.find_element(By.ID, "spikes-choice").send_keys(Keys.ARROW_DOWN)
    wait(browser, "document.getElementById('spikes-1').dataset.drawn !== undefined")
    assert browser.execute_script(f"return {PANEL}.hidden")


def test_a_sample_of_the_plane_shows_its_output_spikes(browser, page):
    from selenium.webdriver.common.by import By

    open_page(browser, page)
    plane = "document.getElementById('decisions-0').bokeh.find"
    browser.find_element(By.CSS_SELECTOR, "#decisions button").click()
    sample = int(browser.find_element(By.ID, "decisions-sample").get_attribute("value"))
    times = browser.execute_script(f"return [...{plane}('output_events').data.time]")
    expected = run.final_values(run.CHIP)
    assert expected["run/decisions/predicted"][sample] != expected["run/decisions/label"][sample]
    np.testing.assert_allclose(times, expected["run/test_times/spike_time"][:, sample])


def test_a_million_spikes_are_drawn_at_once_and_single_ones_after_a_zoom(browser, million_spikes):
    assert million_spikes.stat().st_size < 5e6
    open_page(browser, million_spikes)
    assert browser.execute_script(f"return [{PANEL}.dataset.events, {PANEL}.dataset.drawnAs]") == ["1000000", "density"]
    browser.execute_script(f"{PANEL}.bokeh.find('raster').x_range.setv({{start: 500000, end: 510000}})")
    wait(browser, f"{PANEL}.dataset.drawnAs === 'points'")
    shown = browser.execute_script(f"return [...{PANEL}.bokeh.find('shown').data.time]")
    assert len(shown) == pytest.approx(10_000, rel=0.05)
    assert 500000 <= min(shown) and max(shown) <= 510000
