"""`from brainscales_emu import Chip, Network`: quick to import, lazily complete, and objects that show themselves."""

import ast
import dataclasses
import doctest
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import brainscales_emu
import brainscales_emu.network
from brainscales_emu import (
    AdexConfig,
    Chip,
    ChipConfig,
    ChipError,
    EventPathConfig,
    Network,
    NoiseConfig,
    Setup,
    SpikeSourceArray,
    StpConfig,
    place_feedforward,
    preset,
)
from brainscales_emu.calibration import Calibration
from brainscales_emu.capmem import PARAMETERS, median_codes
from brainscales_emu.display import Shown


def test_import_is_quick_and_lazy():
    code = """
import sys
import brainscales_emu
heavy = {"numba", "simpy", "h5py", "scipy", "matplotlib"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
from brainscales_emu import Chip
assert "numba" in sys.modules and "simpy" not in sys.modules and "brainscales_emu.network" not in sys.modules
assert brainscales_emu.Chip is Chip is vars(brainscales_emu)["Chip"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_behind_the_door_is_there():
    for name in brainscales_emu.__all__:
        found = getattr(brainscales_emu, name)
        assert getattr(found, "__name__", name) == name or name == "PRESET_NAMES"
        if isinstance(found, type):
            assert pickle.loads(pickle.dumps(found)) is found
    assert set(brainscales_emu.__all__) <= set(dir(brainscales_emu))
    with pytest.raises(AttributeError, match="module 'brainscales_emu' has no attribute 'Chp'"):
        brainscales_emu.Chp  # noqa: B018


def test_type_checkers_see_what_is_loaded_later():
    tree = ast.parse(Path(brainscales_emu.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {node.module: tuple(alias.name for alias in node.names) for node in block.body}
    assert seen == brainscales_emu._LOADED_LATER


def test_examples_in_docstrings_run():
    for module in (brainscales_emu, brainscales_emu.network):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0


def test_chip_by_name():
    chip, same = Chip("calibrated", serial=7), Chip(preset("calibrated"), 7, 1)
    assert chip.config is same.config and (chip.serial, chip.seed) == (same.serial, same.seed) == (7, 1)
    np.testing.assert_array_equal(chip.fixed_pattern.threshold_lsb, same.fixed_pattern.threshold_lsb)
    assert (Chip("ideal").serial, Chip("ideal").seed) == (1, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("calibrted", "chip.preset = 'calibrted' is unknown; did you mean 'calibrated'? Known are ideal, calibrated, "
         "uncalibrated, w66f3"),
        (7, "chip.config is a int; give a ChipConfig or the name of a preset: ideal, calibrated, uncalibrated, w66f3"),
        (None, "chip.config is a NoneType; give a ChipConfig or the name of a preset: ideal, calibrated, uncalibrated, "
         "w66f3"),
    ],
)  # fmt: skip
def test_no_chip_without_a_config(config, message):
    with pytest.raises(ChipError) as error:
        Chip(config)
    assert str(error.value) == message


# --- objects that people meet


def shown():
    """Each kind of object, with what its repr says."""
    placement = place_feedforward(2, [np.array([[63, -20, 10], [63, 5, 0]])], [None])
    chip = Chip("calibrated", serial=7)
    yield chip, "<Chip: config calibrated, serial 7, seed 1, runs 0>"
    chip.write(placement.fabric)
    recording = chip.run([1.0] * 6, placement.lines["input"][[0] * 6], 60.0, 0)
    yield chip, "<Chip: config calibrated, serial 7, seed 1, neurons 3, external lines 2, runs 1>"
    yield recording, "<Recording: events 1, sources 1, lost at busy delays 0, dropped 0>"
    yield Chip(ChipConfig(tau_mem_us=9.0)), "<Chip: config custom, serial 1, seed 1, runs 0>"
    yield placement, "<Placement: neurons 3 layer 0, inputs 2 input, synapses 5, delay elements 0>"
    yield Setup([Chip("ideal", serial=3), Chip("ideal", serial=4)]), "<Setup: chips 2, serials 3 4, connections 0>"
    net = Network(Chip("ideal", serial=2))
    stimulus = net.Population(2, SpikeSourceArray([1.0, 1.1, 1.2]), label="<b>in</b>")
    net.Projection(stimulus, net.Population(4, label="out"))
    net.record(net.populations[1], "spikes")
    words = "populations 2 <b>in</b> + 4 out, projections 1, delays hardware"
    yield net, f"<Network: {words}, runs 0, chip ideal, serial 2>"
    result = net.run(50.0)
    events = "events 4, sources 4, lost at busy delays 0, dropped 0"
    yield result, f"<Result: until 50 us, trial 0, {events}, beyond input events between the cycles of the FPGA>"
    good = np.ones(3, dtype=bool)
    success = {name: good for name in PARAMETERS} | {"leak": np.array([True, False, False])}
    found = Calibration(median_codes(ChipConfig()), np.zeros((2, 512), dtype=np.int64), np.arange(3), {}, {}, success)
    yield found, "<Calibration: circuits 3, excluded 2, failed 2 leak>"


def test_objects_show_themselves():
    for thing, line in shown():
        assert isinstance(thing, Shown) and repr(thing) == str(thing) == line
        table = thing._repr_html_()
        assert table.startswith(f"<table><caption>{type(thing).__name__}</caption><tr>") and table.endswith("</table>")
        assert table.count("<tr>") == table.count("</tr>") == len(thing.facts())
        assert "<b>" not in table
    net = Network(Chip("ideal"))
    net.Population(2, label="<b>in</b>")
    assert "<td>2 &lt;b&gt;in&lt;/b&gt;</td>" in net._repr_html_()


# --- a configuration from a table


def built(kind, table):
    """A nested dataclass from a table, by its annotations alone, as a host builds it."""
    hints, values = typing.get_type_hints(kind), {}
    for name, value in table.items():
        options = [hints[name], *typing.get_args(hints[name])]
        nested = [option for option in options if dataclasses.is_dataclass(option)]
        values[name] = built(nested[0], value) if nested and value is not None else value
    return kind(**values)


@pytest.mark.parametrize(
    "config",
    [
        *map(preset, brainscales_emu.PRESET_NAMES),
        ChipConfig(event_path=EventPathConfig(slot_ns=16.0), stp=StpConfig(offset_step=0.01), exact_input_times=True),
        ChipConfig(adex=AdexConfig(a=1.0), noise=NoiseConfig(weight_std=0.2)),
    ],
)
def test_every_field_can_come_from_a_table(config):
    assert built(ChipConfig, dataclasses.asdict(config)) == config


def test_fields_are_numbers_words_or_frozen_dataclasses():
    def check(kind):
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
        for hint in typing.get_type_hints(kind).values():
            for option in typing.get_args(hint) or (hint,):
                if option not in (int, float, bool, str, type(None)):
                    check(option)

    check(ChipConfig)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adex", "chip.adex is a dict; give an AdexConfig, or None for none of it"),
        ("event_path", "chip.event_path is a dict; give an EventPathConfig, or None for no limits"),
        ("saturation", "chip.saturation is a dict; give a SaturationConfig, or None for linear inputs"),
        ("stp", "chip.stp is a dict; give a StpConfig"),
        ("noise", "chip.noise is a dict; give a NoiseConfig"),
        ("link", "chip.link is a dict; give a LinkConfig"),
    ],
)
def test_a_table_is_no_section(name, message):
    more = {} if name == "adex" else {"adex": AdexConfig()}
    with pytest.raises(ChipError) as error:
        ChipConfig(**{name: {}}, **more)
    assert str(error.value) == message
