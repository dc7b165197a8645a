"""What runs know of their targets, the targets say themselves."""

import ast
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import neurohil
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.protocols import Layer, MatrixTargetConfig, SpikingTargetConfig, WeightStorage
from neurohil.targets import AnyMatrixTarget, AnySpikingTarget
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig
from neurohil.targets.matrix.ideal import IdealMatrixConfig
from neurohil.targets.spiking.brainscales import BrainscalesConfig
from neurohil.targets.spiking.ideal import IdealConfig
from neurohil.trace.provenance import KINDS

SHAPES = [(20, 6), (6, 3)]


class Neurons(NamedTuple):
    threshold: float = 2.6
    tau_ratio: int = 1


def spiking(config):
    return config.build(Neurons(), 1)


def matrix(config, levels=15):
    return config.build(SHAPES, Quantizer(levels), 1)


@pytest.mark.parametrize(
    ("target", "label", "kind", "has"),
    [
        (spiking(IdealConfig()), "ideal neurons", "computed", "ideal neurons"),
        (spiking(BrainscalesConfig("w66f3", 66)), "emulated chip w66f3, serial 66", "emulated", "BrainScaleS-2"),
        (matrix(IdealMatrixConfig()), "ideal weights", "computed", "ideal weights"),
        (matrix(BrainscalesMatrixConfig(serial=3)), "emulated BrainScaleS-2 chip 3", "emulated", "BrainScaleS-2"),
        (matrix(CrossbarTargetConfig(serial=4)), "emulated crossbar hfox_wan2022, arrays 4", "emulated", "memristors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_label_and_provenance(target, label, kind, has):
    assert target.label == label
    assert target.provenance.kind == kind in KINDS and has in target.provenance.source
    assert ("nothing here was measured on" in target.provenance.source) == (kind == "emulated")


def test_every_config_found_builds_its_target():
    found = {one.__name__ for choice in (AnySpikingTarget, AnyMatrixTarget) for one in choice.__metadata__[0].structs()}
    assert found == {
        "IdealConfig", "BrainscalesConfig", "IdealMatrixConfig", "BrainscalesMatrixConfig", "CrossbarTargetConfig",
    }  # fmt: skip
    assert isinstance(IdealConfig(), SpikingTargetConfig) and isinstance(CrossbarTargetConfig(), MatrixTargetConfig)


def test_only_delays_in_synapses_are_beyond_a_real_chip():
    target, ideal = spiking(BrainscalesConfig("ideal", 1, delays="beyond")), spiking(IdealConfig())
    weights, delays = np.full((4, 3), 0.2), np.full((4, 3), 0.1)
    for layer, beyond in ((Layer(weights), False), (Layer(weights, synaptic=delays), True), (Layer(weights), False)):
        target.write([layer])
        ideal.write([layer])
        assert (target.beyond is not None) == beyond and ideal.beyond is None
    hardware = spiking(BrainscalesConfig("ideal", 1))
    hardware.write([Layer(weights, axonal=np.full(4, 2.0))])
    assert hardware.beyond is None


@pytest.mark.parametrize(
    ("target", "storage"),
    [
        (matrix(IdealMatrixConfig()), (8, 2)),  # 2 n - 1 levels on a pair of n-level cells
        (matrix(IdealMatrixConfig(), levels=2), (2, 1)),
        (matrix(CrossbarTargetConfig()), (8, 2)),
        (matrix(CrossbarTargetConfig(mapping={"scheme": "offset", "levels_per_device": 9}), levels=9), (9, 1)),
        (matrix(BrainscalesMatrixConfig(), levels=3), (64, 2)),  # a pair of synapses of 6 bits
    ],
)
def test_storage(target, storage):
    assert target.storage == WeightStorage(*storage)


def test_what_the_crossbar_counts():
    target = matrix(CrossbarTargetConfig(recipe={"method": "write_verify"}, costs={"pulse_pJ": 2.0}))
    target.write([np.full(shape, 3) for shape in SHAPES])
    results = {quantity.name: quantity for quantity in target.results()}
    account, maps = target.account(), {quantity.name: quantity.values for quantity in target.maps()}
    assert all(quantity.values.shape == () and quantity.units and quantity.long_name for quantity in results.values())
    assert {name for name, quantity in results.items() if quantity.kind == "modelled"} == {
        name for name in results if name.startswith("modelled_")
    }
    assert results["verify_reads"].values == account["verify_reads"] > 0
    assert results["modelled_pulse_energy"].values == 2.0 * account["pulses"]
    assert results["modelled_time"].values == pytest.approx(1e-9 * account["modelled_time_ns"])
    assert target.wear() == max(maps["layer0_wear"].max(), maps["layer1_wear"].max()) == results["highest_wear"].values
    assert target.programmed_by_pulses
    told = target.told({name: quantity.values.item() for name, quantity in results.items()})
    energy = 1e-9 * sum(results[f"modelled_{part}_energy"].values for part in ("pulse", "conversion", "drive"))
    assert [name for name, _ in told] == ["failed devices", "modelled energy", "modelled time"]
    assert told[1][1].startswith(f"{energy:.3g} mJ, of it ")


def test_what_chip_and_ideal_weights_count():
    chip, ideal = matrix(BrainscalesMatrixConfig()), matrix(IdealMatrixConfig())
    for target in (chip, ideal):
        target.write([np.full(shape, 3) for shape in SHAPES])
        target.multiply(0, np.full((4, 20), 0.5), 1)
        assert not target.programmed_by_pulses
    results = {quantity.name: quantity.values.item() for quantity in chip.results()}
    assert (results["runs"], results["vectors"]) == (chip.account()["runs"], chip.account()["vectors"])
    assert chip.told(results) == [("modelled time", f"{results['modelled_time']:.3g} s of the chip, tests included")]
    assert (chip.wear(), ideal.wear()) == (0.0, None)  # digital weights never wear; nothing is known of ideal ones
    assert ideal.results() == [] == ideal.told({})


def test_nobody_else_asks_which_target_it_is():
    """No module but those of the targets, and those of measurements on one kind of device, names a target's class."""
    package = Path(neurohil.__file__).parent
    named = {}
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if place.startswith(("targets/", "probing/", "characterising/")):
            continue
        nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        if wrong := [node.module for node in nodes if str(node.module).startswith("neurohil.targets.")]:
            named[place] = wrong
    assert named == {}
