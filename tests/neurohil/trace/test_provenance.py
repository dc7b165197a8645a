"""Every trace says whether it was emulated or computed, and of what; the report says the same."""

import tomllib
from importlib import resources
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import synthetic_run as run
from test_golden import LAYOUTS, OLDER, content, state

from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.metaplasticity.trace import metaplasticity_layout
from neurohil.neurobench.trace import neurobench_arrays
from neurohil.results import export
from neurohil.results import report as write_report
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig
from neurohil.targets.matrix.ideal import IdealMatrixConfig
from neurohil.targets.spiking.brainscales import BrainscalesConfig
from neurohil.targets.spiking.ideal import IdealConfig
from neurohil.trace import Trace, TraceWriter
from neurohil.trace.guard import attribute
from neurohil.trace.provenance import CHIP, CHIP_MATRIX, CROSSBAR, IDEAL_NEURONS, IDEAL_WEIGHTS, by_config
from neurohil.trace.validation import validate

LEVELS = np.arange(-7, 8)


class Neurons(NamedTuple):
    threshold: float = 2.6
    tau_ratio: int = 1


def spiking(config):
    """Layout of a run on the target of this config."""
    target = config.build(Neurons(), 1)
    units = "us" if target.tau_us else "1"
    return run.delgrad_layout((4, 6, 3), (4, 6), 20, units, target.provenance, target.fixed_pattern())


def matrix(config):
    target = config.build([(4, 3)], Quantizer(), 1)
    return metaplasticity_layout(
        ["mnist"], ["mnist"], 10, 1, LEVELS, target.provenance, target.maps(), target.results(),
        target.programmed_by_pulses,
    )  # fmt: skip


WANTED = {
    "delgrad": (lambda: spiking(IdealConfig()), IDEAL_NEURONS),
    "delgrad_chip": (lambda: spiking(BrainscalesConfig(preset="w66f3", serial=66)), CHIP),
    "metaplasticity_ideal": (lambda: matrix(IdealMatrixConfig()), IDEAL_WEIGHTS),
    "metaplasticity_chip": (lambda: matrix(BrainscalesMatrixConfig()), CHIP_MATRIX),
    "metaplasticity": (lambda: matrix(CrossbarTargetConfig()), CROSSBAR),
    "crossbar": (LAYOUTS["crossbar"], CROSSBAR),
}


def written(path, plan):
    with TraceWriter(path, plan, "x", run.CONFIG, 11 if plan.has_epochs else 0) as trace:
        for epoch in range(1, 3 if plan.has_epochs else 1):
            trace.append_epoch({name: content(array, epoch) for name, array in plan.growing().items()}, state(epoch))
        trace.finish({name: content(array) for name, array in plan.final().items()})
    return path


@pytest.mark.parametrize("name", WANTED)
def test_every_layout_says_what_it_is(tmp_path, name):
    layout, wanted = WANTED[name]
    path = written(tmp_path / "run.h5", layout())
    with h5py.File(path, "r") as file:
        assert (attribute(file, "kind"), attribute(file, "source")) == wanted
        kinds = {}
        file.visititems(lambda where, node: kinds.update({where: attribute(node, "kind")}))
    device = [where for where in kinds if "/maps/" in where or "/chip/" in where]
    real = {where for where in device if "/real_" in where or "/accepted_" in where}
    assert {kinds[where] for where in set(device) - real} <= {"emulated", None}
    assert {kinds[where] for where in real} <= {"measured", None}  # quoted for comparison
    assert all(kind == "modelled" for where, kind in kinds.items() if where.rpartition("/")[2].startswith("modelled_"))
    assert not [finding for finding in validate(path) if "kind" in finding.text or "source" in finding.text]
    with Trace(path) as trace:
        assert trace.provenance == wanted


def test_metrics_of_an_emulated_run_are_computed():
    assert {array.kind for array in neurobench_arrays()} == {"computed"}


@pytest.mark.parametrize("name", ["metaplasticity_ideal", "metaplasticity_chip", "metaplasticity", "delgrad_chip"])
def test_the_report_says_the_same(tmp_path, name):
    layout, wanted = WANTED[name]
    with TraceWriter(tmp_path / "run.h5", layout(), "x", run.CONFIG, 11):
        page = write_report(tmp_path / "run.h5.part").read_text()
    assert f'<p class="provenance">{wanted.source}</p>' in page


def test_a_trace_of_schema_2_0_is_told_from_its_config():
    """All shipped experiments, by the target that they name."""
    wanted = {
        ("delgrad", "ideal"): IDEAL_NEURONS,
        ("delgrad", "brainscales"): CHIP,
        ("metaplasticity", "ideal"): IDEAL_WEIGHTS,
        ("metaplasticity", "brainscales"): CHIP_MATRIX,
        ("metaplasticity", "crossbar"): CROSSBAR,
        ("crossbar", None): CROSSBAR,
    }
    seen = set()
    for kind in ("delgrad", "metaplasticity", "crossbar"):
        for file in (resources.files("neurohil.experiments") / kind).iterdir():
            if file.name.endswith(".toml"):
                config = tomllib.loads(file.read_text())
                target = (kind, config["target"].get("kind"))
                seen.add(target)
                assert by_config(config) == wanted[target], file.name
    assert seen == set(wanted)
    assert sorted(path.name for path in OLDER.iterdir()) == sorted(f"{name}.h5.xz" for name in LAYOUTS)


def test_exports_say_it_too(tmp_path):
    run.write(tmp_path / "run.h5", run.CHIP, 2)
    export(tmp_path / "run.h5", "sonata", tmp_path / "sonata")
    for path in (tmp_path / "sonata").iterdir():
        with h5py.File(path, "r") as file:
            assert (file.attrs["kind"], file.attrs["source"]) == CHIP
    export(tmp_path / "run.h5", "csv", tmp_path / "csv")
    assert "kind,emulated\n" in (tmp_path / "csv" / "about.csv").read_text()
