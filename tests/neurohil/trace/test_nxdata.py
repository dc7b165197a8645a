"""Every group that viewers shall plot keeps the NXdata rules that h5web and silx go by."""

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import TraceWriter
from neurohil.trace.nxdata import names, text
from neurohil.trace.provenance import CHIP, IDEAL_NEURONS
from neurohil.trace.rules import RULES
from neurohil.trace.validation import validate

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
    return [child for _, child in nodes(file) if text(child.attrs.get("NX_class")) == "NXdata"]


def assert_plottable(group):
    """It keeps all rules for plots."""
    assert [broken for rule in RULES if rule.part == "plot" for broken in rule.check(group)] == []


def test_expected_plots_are_there(file):
    names = {group.name for group in plots(file)}
    wanted = {"accuracy", "loss", "silence", "weights_0", "weights_1", "decisions", "decision_map", "test_times"}
    wanted |= {f"samples/{k}/{what}" for k in range(3) for what in ("raster", "membrane")}
    assert {f"/run/{name}" for name in wanted} <= names
    assert ("/run/delays_0" in names) == ("weights" not in file["run/title"].asstr()[()])


def test_all_rules_are_kept(file):
    assert len(plots(file)) >= 14
    assert validate(file.filename) == []


def test_growing_plots_can_be_drawn_before_the_end(unfinished):
    growing = [group for group in plots(unfinished) if "epoch" in group]
    assert len(growing) >= 5
    for group in growing:
        assert_plottable(group)


def test_time_is_the_last_dimension_and_epochs_of_delays_too(file):
    for k in range(3):
        assert names(file[f"run/samples/{k}/membrane"].attrs["axes"]) == ["neuron", "time"]
        assert names(file[f"run/samples/{k}/raster"].attrs["axes"]) == ["time", "neuron"]
    delays = [group for group in plots(file) if group.name.startswith("/run/delays")]
    weights = [group for group in plots(file) if group.name.startswith("/run/weights")]
    assert weights and bool(delays) == ("weights" not in file["run/title"].asstr()[()])
    for group in delays:
        assert names(group.attrs["axes"]) == ["line", "epoch"]
        assert text(group["delays"].attrs["interpretation"]) == "spectrum"
    for group in weights:
        assert names(group.attrs["axes"]) == ["epoch", "pre", "post"]
        assert text(group["weights"].attrs["interpretation"]) == "image"


def test_times_have_the_unit_of_the_target(file):
    chip = file["run/title"].asstr()[()].startswith("chip")
    unit, label = ("us", "(us)") if chip else ("1", "(tau_s)")
    for path in ("samples/0/raster/time", "samples/0/membrane/time", "test_times/spike_time"):
        assert text(file["run"][path].attrs["units"]) == unit
        assert label in text(file["run"][path].attrs["long_name"])


def test_it_opens_with_the_accuracy(file):
    assert (text(file.attrs["default"]), text(file["run"].attrs["default"])) == ("run", "accuracy")


def test_titles_differ(file):
    titles = [group["title"].asstr()[()] for group in plots(file)]
    assert len(set(titles)) == len(titles)


def test_there_is_one_epoch_axis(file):
    growing = [group for group in plots(file) if "epoch" in group]
    assert len(growing) >= 5
    assert all(group["epoch"] == file["run/epoch"] for group in growing)


def test_schema_and_config_are_named(file):
    has_chip = "chip" in file["run"]
    assert {name: text(value) for name, value in file.attrs.items()} == {
        "NX_class": "NXroot",
        "default": "run",
        "creator": "neurohil",
        "schema": "neurohil-trace",
        "schema_version": "2.1",
        **(CHIP if has_chip else IDEAL_NEURONS)._asdict(),
    }
    assert file["run/config"].asstr()[()] == run.CONFIG


def test_chip_pattern_is_lines_and_images(file):
    if "chip" not in file["run"]:
        return
    pattern = file["run/chip"]
    assert text(pattern["threshold_lsb/threshold_lsb"].attrs["interpretation"]) == "spectrum"
    assert text(pattern["synapse_gain/synapse_gain"].attrs["interpretation"]) == "image"
    assert np.array_equal(pattern["threshold_lsb/circuit"], np.arange(512))


def test_order_of_creation_is_kept(file):
    assert list(file["run"])[:6] == ["title", "config", "complete", "versions", "results", "epoch"]
