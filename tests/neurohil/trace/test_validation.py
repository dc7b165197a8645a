"""Each rule of a trace is kept by every trace of ours, and finds the trace that breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.trace import TraceError, TraceWriter
from neurohil.trace.rules import RULES
from neurohil.trace.validation import validate


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    run.write(path, run.CHIP._replace(samples=1), 3)
    return path


def text(value):
    return np.array(value.encode(), dtype=h5py.string_dtype("utf-8", len(value.encode())))


def texts(*values):
    return np.array([value.encode() for value in values], dtype=h5py.string_dtype("utf-8", 40))


def replace(group, name, data):
    attributes = dict(group[name].attrs)
    del group[name]
    group[name] = data
    for key, value in attributes.items():
        group[name].attrs[key] = value


def set_attribute(path, name, value):
    return lambda file: file[path].attrs.__setitem__(name, value)


def add_bad_name(file):
    file["run/results"]["bad name"] = file["run/epoch"]


def second_epoch_axis(file):
    epochs = file["run/epoch"][...]
    replace(file["run/loss"], "epoch", epochs)


def unsorted(file):
    file["run/samples/0/raster/time"][0] = 1e6


BROKEN = {
    "schema": (set_attribute("/", "schema_version", text("3.0")), "/", "schema_version is '3.0'"),
    "run": (lambda f: replace(f["run"], "config", text("a = = 1")), "/", "run/config is no TOML"),
    "opening_plot": (set_attribute("/run", "default", text("nothing")), "/", "chain of defaults ends at /run"),
    "epochs": (second_epoch_axis, "/", "run/loss/epoch is another axis"),
    "complete": (lambda f: f["run/complete"].__setitem__((), 0), "/", "not come to its end: 3 epochs"),
    "provenance": (set_attribute("/", "kind", text("measured")), "/", "has the kind 'measured'"),
    "kind": (set_attribute("/run/results/chip_seconds", "kind", text("x")), "/run/results/chip_seconds", "kind 'x'"),
    "classes": (set_attribute("/run/samples", "NX_class", text("NXlog")), "/run/samples", "'NXlog'"),
    "group_names": (add_bad_name, "/run/results", "'bad name'"),
    "default_child": (set_attribute("/run/samples", "default", text("9")), "/run/samples", "has the default '9'"),
    "signal": (set_attribute("/run/loss", "signal", text("los")), "/run/loss", "signal 'los'"),
    "axes": (set_attribute("/run/decision_map", "axes", texts("x")), "/run/decision_map", "of shape (61, 61)"),
    "auxiliary_signals": (
        set_attribute("/run/accuracy", "auxiliary_signals", texts("title")),
        "/run/accuracy",
        "auxiliary signal 'title'",
    ),
    "time_is_last": (
        set_attribute("/run/samples/0/membrane", "axes", texts("time", "neuron")),
        "/run/samples/0/membrane",
        "put time last",
    ),
    "interpretation": (
        set_attribute("/run/decision_map/predicted", "interpretation", text("picture")),
        "/run/decision_map",
        "'picture'",
    ),
    "title": (lambda f: replace(f["run/loss"], "title", text(" ")), "/run/loss", "has no title"),
    "sorted_events": (unsorted, "/run/samples/0/raster", "not sorted by time"),
    "labels": (set_attribute("/run/epoch", "units", text("µs")), "/run/epoch", "units 'µs'"),
    "unit_in_label": (set_attribute("/run/loss/train_loss", "units", text("V")), "/run/loss/train_loss", "(V)"),
    "dimensions": (set_attribute("/run/decision_map/y", "dims", texts("")), "/run/decision_map/y", "named ''"),
    "flags": (lambda f: f["run/decisions/label"].__setitem__(0, 7), "/run/decisions/label", "value 7"),
}


def test_every_rule_is_broken_by_a_test_and_says_what_it_is():
    # Of the three others each has a test of its own.
    assert {rule.check.__name__ for rule in RULES} == set(BROKEN) | {"intact", "readable_everywhere", "closed"}
    assert all(rule.text.endswith(".") for rule in RULES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found_where_it_is_broken(name, valid, tmp_path):
    path = tmp_path / "run.h5"
    shutil.copy(valid, path)
    breaks, where, what = BROKEN[name]
    with h5py.File(path, "r+") as file:
        breaks(file)
    found = [finding for finding in validate(path) if finding.path == where and what in finding.text]
    assert [finding.severity for finding in found] == [
        rule.severity for rule in RULES if rule.check.__name__ == name
    ], validate(path)


@pytest.mark.parametrize("case", [run.CHIP, run.IDEAL, run.SYNAPTIC, run.DEEP], ids=lambda case: case.name)
def test_finished_runs_are_valid(case, tmp_path):
    run.write(tmp_path / "run.h5", case, 2)
    assert validate(tmp_path / "run.h5") == []


@pytest.mark.parametrize("epochs", [0, 2])
def test_an_unfinished_run_is_valid_but_for_its_end(epochs, tmp_path):
    plan = run.layout(run.CHIP)
    with TraceWriter(tmp_path / "run.h5", plan, "x", run.CONFIG, run.STATE_SIZE) as writer:
        for epoch in range(epochs):
            writer.append_epoch(run.epoch_values(plan, epoch), run.state(epoch))
        for moment in ("going on", "stopped"):
            (finding,) = validate(tmp_path / "run.h5.part")
            assert (finding.severity, finding.path) == ("warning", "/")
            assert finding.text == f"the run has not come to its end: {epochs} epochs are finished", moment
            writer.close()


def test_a_flipped_bit_in_packed_data_is_found(valid, tmp_path):
    path = tmp_path / "run.h5"
    content = bytearray(valid.read_bytes())
    with h5py.File(valid, "r") as file:
        chunk = file["run/chip/synapse_gain/synapse_gain"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(content)
    (finding,) = validate(path)
    assert (finding.severity, finding.path) == ("error", "/run/chip/synapse_gain/synapse_gain")
    assert finding.text.startswith("is damaged")


def test_a_format_that_old_tools_lack_is_found():
    from neurohil.trace.rules import readable_everywhere

    made = list(readable_everywhere.check(b"\x89HDF\r\n\x1a\n\x04" + bytes(39)))
    assert made == ["has superblock version 4; write it with libver='v110'"]


def test_the_mark_of_a_killed_program_is_found(valid, tmp_path):
    """The file is as good as it was, but other programs refuse it."""
    path = tmp_path / "run.h5"
    shutil.copy(valid, path)
    script = f"import h5py, os; f = h5py.File({str(path)!r}, 'a'); os._exit(0)"
    subprocess.run([sys.executable, "-c", script], check=True)
    (finding,) = validate(path)
    assert (finding.severity, finding.path) == ("error", "/")
    assert "mark of a program that was killed" in finding.text and "`h5clear -s FILE`" in finding.text


def test_what_leads_out_of_the_file_is_an_error_and_not_followed(valid, tmp_path):
    path = tmp_path / "run.h5"
    shutil.copy(valid, path)
    with h5py.File(path, "r+") as file:
        file["run/results/outside"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["run/results/round"] = file["run"]
        file["run/results/soft"] = h5py.SoftLink("/run/loss")
    found = [(finding.path, finding.severity) for finding in validate(path)]
    assert {(f"/run/results/{name}", "error") for name in ("outside", "round", "soft")} <= set(found)
    assert all(where.startswith("/run/results") for where, _ in found)


def test_other_files(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    (finding,) = validate(path)
    assert (finding.severity, finding.path) == ("error", "/")
    assert "other make" in finding.text
    with pytest.raises(TraceError, match="does not exist; check the name"):
        validate(tmp_path / "none.h5")


def test_the_rules_in_the_docs_are_those_that_are_checked():
    docs = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
    for rule in RULES:
        kind = {"error": "an error", "warning": "a warning"}[rule.severity]
        assert f"| {rule.part} | {rule.text.replace('``', '`')} | {kind} |" in docs
