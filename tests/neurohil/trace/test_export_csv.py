"""Tables: every number of every plot, with its axes and units."""

import csv

import numpy as np
import pytest
import synthetic_run as run

from neurohil.results import export
from neurohil.trace import Trace, TraceWriter
from neurohil.trace.nxdata import is_plot


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("csv")
    run.write(folder / "run.h5", run.CHIP, 3)
    files = export(folder / "run.h5", "csv", folder / "out")
    with Trace(folder / "run.h5") as trace:
        yield trace, {file.stem: file for file in files}


def table(file):
    with file.open(newline="", encoding="utf-8") as text:
        header, *rows = csv.reader(text)
    return header, list(zip(*rows, strict=True))


def test_one_file_for_each_plot(exported):
    trace, files = exported
    plots = {g.removeprefix("run/").replace("/", "_") for g in trace.groups if is_plot(trace, g)}
    assert set(files) == {*plots, "results", "about"}


def test_curve(exported):
    trace, files = exported
    header, columns = table(files["accuracy"])
    assert header == ["epoch [1]", "validation_accuracy [1]", "train_accuracy [1]"]
    assert [float(x) for x in columns[1]] == trace["run/accuracy/validation_accuracy"].tolist()
    assert columns[0] == ("1", "2", "3")


def test_raster_has_units_and_meanings(exported):
    trace, files = exported
    header, columns = table(files["samples_1_raster"])
    assert header == ["time [us]", "neuron [1]", "layer [1]", "layer (meaning)"]
    assert [float(t) for t in columns[0]] == trace["run/samples/1/raster/time"].tolist()
    names = trace.attributes("run/samples/1/raster/layer")["flag_meanings"].split()
    assert list(columns[3]) == [names[int(code)] for code in columns[2]]


def test_stack_of_images_is_one_row_for_each_element(exported):
    trace, files = exported
    header, columns = table(files["weights_1"])
    assert header == ["epoch [1]", "pre [1]", "post [1]", "weights [model units]"]
    weights = trace["run/weights_1/weights"]
    assert len(columns[0]) == weights.size
    for at in (0, 17, weights.size - 1):
        epoch, pre, post, value = (float(column[at]) for column in columns)
        assert weights[int(epoch) - 1, int(pre), int(post)] == value


def test_a_unit_that_hdf5_does_not_know_is_told(exported):
    _, files = exported
    assert table(files["samples_0_membrane"])[0] == ["neuron [1]", "time [us]", "potential [CADC LSB]"]
    assert "predicted [1]" in table(files["decisions"])[0], "predicted class (-1: silent)"


def test_results(exported):
    trace, files = exported
    header, columns = table(files["results"])
    assert header == ["name", "value", "unit", "what"]
    found = dict(zip(columns[0], zip(columns[1], columns[2], strict=True), strict=True))
    assert found["chip_seconds"] == (str(float(trace["run/results/chip_seconds"])), "s")


def test_long_plots_in_parts_are_the_same(exported, tmp_path, monkeypatch):
    trace, files = exported
    monkeypatch.setattr("neurohil.trace.export.csv.ROWS_AT_ONCE", 7)
    in_parts = export(trace.path, "csv", tmp_path)
    assert {file.stem for file in in_parts} == set(files)
    for file in in_parts:
        assert file.read_bytes() == files[file.stem].read_bytes()


def test_unfinished_run_exports_what_is_there(tmp_path):
    with TraceWriter(tmp_path / "run.h5", run.layout(run.IDEAL), "x", "", 3) as writer:
        writer.append_epoch(run.epoch_values(run.layout(run.IDEAL), 0), np.zeros(3))
    names = {file.stem for file in export(tmp_path / "run.h5.part", "csv", tmp_path / "out")}
    assert "accuracy" in names and "samples_0_raster" not in names
