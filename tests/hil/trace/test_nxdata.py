"""Every group that viewers shall plot keeps the NXdata rules that h5web and silx go by."""

import re

import h5py
import numpy as np
import pytest
import synthetic_run as run

from hil.trace import TraceWriter

CASES = [run.CHIP, run.IDEAL, run.SYNAPTIC, run.DEEP]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, request.param, 3)
    with h5py.File(path, "r") as opened:
        yield opened


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def unfinished(request, tmp_path_factory):
    """A run after two epochs, none of its final arrays written."""
    path, case = tmp_path_factory.mktemp("trace") / "run.h5", request.param
    plan = run.layout(case)
    with TraceWriter(path, plan, case.name, run.CONFIG, run.STATE_SIZE) as trace:
        for epoch in range(2):
            trace.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
    with h5py.File(f"{path}.part", "r") as opened:
        yield opened


def nodes(group):
    """All groups and datasets below, each as often as it is linked."""
    for name, child in group.items():
        yield f"{group.name.rstrip('/')}/{name}", child
        if isinstance(child, h5py.Group):
            yield from nodes(child)


def plots(file):
    return [child for _, child in nodes(file) if child.attrs.get("NX_class") == "NXdata"]


def dataset(group, name):
    """A child by name, not by path."""
    assert isinstance(name, str)
    assert "/" not in name
    assert isinstance(group[name], h5py.Dataset)
    return group[name]


def assert_plottable(group):
    """Rules 1 to 5: a signal, and numeric axes that fit it."""
    signal = dataset(group, group.attrs["signal"])
    assert signal.dtype.kind in "iuf"
    axes = [dataset(group, name) for name in group.attrs["axes"]]
    for axis in axes:
        assert axis.dtype.kind in "iuf"
        assert axis.ndim == 1
    if signal.ndim == 1 and len(axes) == 2:
        assert all(axis.shape == signal.shape for axis in axes), "scatter"
    else:
        assert tuple(axis.size for axis in axes) == signal.shape
    for name in group.attrs.get("auxiliary_signals", []):
        assert dataset(group, name).shape == signal.shape
    if signal.ndim > 1:
        assert signal.attrs["interpretation"] in ("spectrum", "image")


def test_expected_plots_are_there(file):
    names = {group.name for group in plots(file)}
    wanted = {"accuracy", "loss", "silence", "weights_0", "weights_1", "decisions", "decision_map", "test_times"}
    wanted |= {f"samples/{k}/{what}" for k in range(3) for what in ("raster", "membrane")}
    assert {f"/run/{name}" for name in wanted} <= names
    assert ("/run/delays_0" in names) == ("weights" not in file["run/title"].asstr()[()])


def test_rules_1_to_5_signal_and_axes(file):
    assert len(plots(file)) >= 14
    for group in plots(file):
        assert_plottable(group)


def test_growing_plots_can_be_drawn_before_the_end(unfinished):
    for group in plots(unfinished):
        if "epoch" in group:
            assert_plottable(group)


def test_time_is_the_last_dimension_and_epochs_of_delays_too(file):
    for k in range(3):
        assert list(file[f"run/samples/{k}/membrane"].attrs["axes"]) == ["neuron", "time"]
        assert list(file[f"run/samples/{k}/raster"].attrs["axes"]) == ["time", "neuron"]
    for group in plots(file):
        if group.name.startswith("/run/delays"):
            assert list(group.attrs["axes"]) == ["line", "epoch"]
            assert group["delays"].attrs["interpretation"] == "spectrum"
        if group.name.startswith("/run/weights"):
            assert list(group.attrs["axes"]) == ["epoch", "pre", "post"]
            assert group["weights"].attrs["interpretation"] == "image"


def test_rule_6_units_and_long_name_on_every_number(file):
    numbers = [
        (path, node) for path, node in nodes(file) if isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf"
    ]
    assert len(numbers) > 50
    for path, node in numbers:
        for attribute in ("units", "long_name"):
            assert isinstance(node.attrs[attribute], str), path
            assert node.attrs[attribute].isascii() and node.attrs[attribute], path


def test_times_have_the_unit_of_the_target(file):
    chip = file["run/title"].asstr()[()].startswith("chip")
    unit, text = ("us", "(us)") if chip else ("1", "(tau_s)")
    for path in ("samples/0/raster/time", "samples/0/membrane/time", "test_times/spike_time"):
        assert file["run"][path].attrs["units"] == unit
        assert text in file["run"][path].attrs["long_name"]


def test_rule_7_defaults_lead_from_the_root_to_a_plot(file):
    assert file.attrs["NX_class"] == "NXroot"
    assert file["run"].attrs["NX_class"] == "NXentry"
    group, steps = file, []
    while group.attrs["NX_class"] != "NXdata":
        steps.append(group.attrs["default"])
        group = group[steps[-1]]
    assert steps == ["run", "accuracy"]
    for _, node in nodes(file):
        if isinstance(node, h5py.Group) and any(isinstance(child, h5py.Group) for child in node.values()):
            target = node[node.attrs["default"]]
            assert target.attrs["NX_class"] in ("NXdata", "NXcollection")


def test_rule_8_titles(file):
    titles = [group["title"].asstr()[()] for group in plots(file)]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_rule_9_there_is_one_epoch_axis(file):
    growing = [group for group in plots(file) if "epoch" in group]
    assert len(growing) >= 5
    assert all(group["epoch"] == file["run/epoch"] for group in growing)


def test_every_group_has_a_class_and_every_name_needs_no_quotes(file):
    for path, node in nodes(file):
        assert re.fullmatch(r"(/[A-Za-z0-9_]+)+", path)
        if isinstance(node, h5py.Group):
            assert node.attrs["NX_class"] in ("NXentry", "NXdata", "NXcollection")


def test_schema_and_versions_are_named(file):
    assert dict(file.attrs) == {
        "NX_class": "NXroot",
        "default": "run",
        "creator": "neurohil",
        "schema": "neurohil-trace",
        "schema_version": "1.0",
    }
    assert file["run/config"].asstr()[()] == run.CONFIG


def test_chip_pattern_is_lines_and_images(file):
    if "chip" not in file["run"]:
        return
    pattern = file["run/chip"]
    assert pattern["threshold_lsb/threshold_lsb"].attrs["interpretation"] == "spectrum"
    assert pattern["synapse_gain/synapse_gain"].attrs["interpretation"] == "image"
    assert np.array_equal(pattern["threshold_lsb/circuit"], np.arange(512))


def test_order_of_creation_is_kept(file):
    assert list(file["run"])[:6] == ["title", "config", "complete", "versions", "results", "epoch"]
