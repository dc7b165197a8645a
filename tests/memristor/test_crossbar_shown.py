"""What people meet shows itself in one line and as a table, without doing anything to it."""

import dataclasses
import pickle
from xml.etree import ElementTree

import numpy as np

from memristor import Controller, CostTable, Crossbar, CrossbarConfig, Program, WireConfig, preset
from memristor.parasitics import solve
from memristor.pulse_log import PULSE, PulseLog

LONGEST = 170


def made():
    """Objects by their name, and what their line must tell."""
    array = Crossbar((20, 6), CrossbarConfig(levels_per_device=9, tile_rows=16, tile_columns=8), serial=7, seed=3)
    levels = np.random.default_rng(0).integers(-8, 9, array.shape)
    controller = Controller([array], CostTable(), 2, log_pulses=True)
    written = controller.execute(Program(0, levels))
    (job, *_) = array.plan(levels, only_changed=False)
    return {
        "Crossbar": (array, ["20 x 6", "hfox_wan2022", "9 per device", "2 x 2", "serial 7", "seed 3", "written 120"]),
        "Tile": (array.tiles[1][0], ["4 x 8", "hfox_wan2022", "wires none"]),
        "Cells": (array.tiles[0][0].cells, ["16 x 8", "written 128", "stuck 0"]),
        "DeviceModel": (preset("hfo2_gong2022"), ["hfo2_gong2022", "0..40 uS", "9.8 %", "1e+06 cycles"]),
        "endless": (preset("ideal"), ["ideal", "without end"]),
        "Controller": (controller, ["20 x 6", "banks 2", "queued 0", f"{controller.now_ns} ns"]),
        "Account": (controller.account(), ["commands 1", f"pulses {written.pulses}"]),
        "WriteReport": (written, ["weights 120", "cells 240", f"pulses {written.pulses}", "unverified 0"]),
        "ProgramReport": (array.program(job), [f"cells {job.rows.size}", "verified 0", "uS rms"]),
        "TileJob": (job, ["tile (0, 0)", f"weights {job.weights.size}", f"cells {job.rows.size}"]),
        "Map": (array.maps()["target"], ["20 x 12", "0..40 uS"]),
        "Solution": (solve(np.full((3, 4), 10.0), np.full(3, 0.1), WireConfig()), ["3 x 4", "batch none", "uA"]),
        "PulseLog": (controller.pulse_log(), ["SET", "RESET 240", "missing 0"]),
        "empty log": (PulseLog(np.empty(0, PULSE), 2), ["SET 0", "RESET 0", "missing 2"]),
    }


def test_one_line_and_a_table_of_the_same_facts():
    for thing, told in made().values():
        check_line_and_table(thing, told)


def check_line_and_table(thing, told):
    text = repr(thing)
    assert text.startswith(f"<{type(thing).__name__}: ") and text.endswith(">")
    assert "\n" not in text and len(text) <= LONGEST
    table = ElementTree.fromstring(thing._repr_html_())
    assert table.find("caption").text == type(thing).__name__
    cells = dict(zip((cell.text for cell in table.iter("th")), (cell.text for cell in table.iter("td")), strict=True))
    assert [part in text for part in told] == [True] * len(told), text
    assert all(f"{key} {cells[key]}" in text for key in list(cells)[:3])
    assert repr(pickle.loads(pickle.dumps(thing))) == text


def test_the_table_of_a_model_tells_what_is_fitted_and_what_is_assumed():
    model = preset("hfox_wan2022")
    text = model._repr_html_()
    assert all(told in text for told in (model.citation, model.fitted, model.assumed))


def test_names_from_outside_are_escaped():
    """A table of measured devices is called as its file."""
    model = dataclasses.replace(preset("ideal"), name="<script>&", citation="<b>")
    for thing in (model, Crossbar((2, 3), device=model), Crossbar((2, 3), device=model).tiles[0][0]):
        html = thing._repr_html_()
        assert "<script>" not in html and "<b>" not in html and "&lt;script&gt;&amp;" in html


def test_looking_changes_nothing():
    array = Crossbar((20, 6), serial=7)
    array.write(np.ones(array.shape, dtype=int))
    array.age(1e5)  # the devices haven't relaxed yet
    before = array.state()
    repr(array), array._repr_html_(), repr(array.tiles), repr(Controller([array], CostTable(), 2))
    for name, values in array.state().items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
