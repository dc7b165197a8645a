"""Every number that an array is made with, against a table written from its sources; streams; what the costs enter.

The tables are not read from the package: a number changes here and there, with its reason, or a test fails.
"""

import dataclasses
import importlib
import itertools
import math
import pkgutil

import numpy as np
import pytest

import memristor
from memristor import controller as controller_module
from memristor import converters
from memristor.config import CrossbarConfig
from memristor.controller import Controller, Multiply, Program, Read
from memristor.converters import AdcConfig
from memristor.costs import CostTable
from memristor.crossbar import READ_HEADROOM, Crossbar
from memristor.device import Cells, FaultConfig, RtnConfig
from memristor.device_model import MAX_TIME_S
from memristor.presets import DEFAULT_PRESET, PRESET_NAMES, preset
from memristor.programming import Recipe

DAY_S = 24 * 60 * 60.0
NONE = ((0.0,),)

# What docs/crossbar.md calls assumed for every preset that doesn't say otherwise.
ASSUMED = {
    "read_fraction": 0.01,  # 1 % of the highest conductance
    "read_flicker_uS": 0.0,
    "stuck_fraction": 0.0,
    "pulse_step": 0.05,
    "pulse_step_spread": 0.3,
    "endurance_cycles": 1e6,
}


def wan(*coefficients):
    """Published for powers of G / 40 uS."""
    return (tuple(c * 40.0**-power for power, c in enumerate(coefficients)),)


WAN = (
    wan(0.348, 16.030, -43.853, 45.393, -16.815),
    wan(0.701, 22.086, -50.773, 47.095, -16.458),
    wan(0.782, 20.274, -43.507, 37.062, -11.934),
)
MILO = ((4.782 - 0.45535, -0.009107),)  # 4.782 - 0.009107 G, from 50 uS on
LN_END = 10 * math.log(10.0)  # the longest time is 1e10 s
PRESETS = {
    "ideal": {
        **ASSUMED,
        "g_low_uS": 0.0,
        "g_high_uS": 40.0,
        "breaks_uS": (0.0, 40.0),
        "program_fit": NONE,
        "times_s": (1.0,),
        "spread_fit": (NONE,),
        "drift_fit": (NONE,),
        "read_fraction": 0.0,
        "pulse_step_spread": 0.0,
        "endurance_cycles": math.inf,
    },
    "hfox_wan2022": {
        **ASSUMED,
        "g_low_uS": 0.0,
        "g_high_uS": 40.0,
        "breaks_uS": (0.0, 40.0),
        "program_fit": WAN[0],
        "times_s": (1.0, DAY_S, 2 * DAY_S),
        "spread_fit": WAN,
        "drift_fit": (NONE, NONE, NONE),
    },
    "hfo2_milo2021": {
        **ASSUMED,
        "g_low_uS": 50.0,
        "g_high_uS": 225.0,
        "breaks_uS": (50.0, 225.0),
        "program_fit": MILO,
        "times_s": (1.0,),
        "spread_fit": (MILO,),
        "drift_fit": (NONE,),
    },
    "cmo_hfox": {  # sigma = 0.0420 ln t + 0.4118, 0 at its root; mean = -0.0890 ln t
        **ASSUMED,
        "g_low_uS": 10.0,
        "g_high_uS": 90.0,
        "breaks_uS": (0.0, 200.0),
        "program_fit": ((0.01122, 0.01129),),
        "times_s": (math.exp(-9.804761904761905), 1.0, 1e10),
        "spread_fit": (NONE, ((0.4118,),), ((0.4118 + 0.0420 * LN_END,),)),
        "drift_fit": (NONE, NONE, ((-0.0890 * LN_END,),)),
        "read_fraction": 0.0,
        "read_flicker_uS": 0.02773,
    },
    "hfo2_gong2022": {
        **ASSUMED,
        "g_low_uS": 0.0,
        "g_high_uS": 40.0,
        "breaks_uS": (0.0, 40.0),
        "program_fit": ((2.0,),),  # 5 % of the range
        "times_s": (1.0,),
        "spread_fit": (((2.0,),),),
        "drift_fit": (NONE,),
        "stuck_fraction": 0.098,
        "pulse_step": 0.46,
        "pulse_step_spread": 0.71,
    },
}

DEFAULTS = {
    "DeviceModel": ASSUMED,
    "Program": {"only_changed": True},
    "DacConfig": {"bits": 8, "v_read_V": 0.2, "bit_serial": False, "signed": True},
    "AdcConfig": {"bits": 8, "range_uA": None, "percentile": 99.9, "offset_lsb": 0.0, "subtraction": "before"},
    "CostTable": {
        "reset_ns": 100,
        "set_ns": 100,
        "pulse_settle_ns": 50,
        "dac_settle_ns": 10,
        "integrate_ns": 20,
        "conversion_ns": 10,
        "converters": 16,
        "pulse_pJ": 1.0,  # Martemucci et al.
        "conversion_pJ": 2.0,
    },
    "FaultConfig": {
        "stuck_fraction": None,
        "stuck_on_share": 0.5,
        "dead_row_fraction": 0.0,
        "dead_column_fraction": 0.0,
    },
    "WearConfig": {
        "law": "lognormal",
        "median_cycles": None,
        "shape": 0.5,
        "failure": "sudden",
        "stuck_on_share": 0.5,
        "slope": 1.0,
    },
    "RtnConfig": {"share": 0.0, "amplitude": 0.05},
    "Recipe": {"method": "one_shot", "tolerance_uS": 1.0, "max_pulses": 20, "wait_s": 0.0},
    "WireConfig": {
        "row_ohm": 1.0,
        "column_ohm": 1.0,
        "driver_ohm": 0.0,
        "sense_ohm": 0.0,
        "drive": "one_sided",
        "topology": "passive",
        "access_ohm": 0.0,
    },
    "Mapping": {
        "levels_per_device": 8,
        "low_uS": 0.0,
        "high_uS": 40.0,
        "scheme": "pair",
        "weight_range": 1.0,
        "access_ohm": 0.0,
    },
    "CrossbarConfig": {
        "levels_per_device": 8,
        "scheme": "pair",
        "weight_range": 1.0,
        "low_uS": None,
        "high_uS": None,
        "layout": "tiled",
        "tile_rows": 128,
        "tile_columns": 128,
        "wires": None,
        "conversion": "tile",
        "relax_tolerance_uS": 0.01,
    },
}


def settings_of(config):
    """Numbers and words of a config, without the configs in it."""
    entries = {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}
    return {name: value for name, value in entries.items() if not dataclasses.is_dataclass(value)}


def assert_same(found, expected, name):
    if isinstance(expected, tuple):
        assert isinstance(found, tuple) and len(found) == len(expected), name
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, name)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0), name
    else:
        assert type(found) is type(expected) and found == expected, name


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_number_of_a_preset_is_that_of_the_table(name):
    texts = {"name", "citation", "fitted", "assumed"}
    found = {entry: value for entry, value in settings_of(preset(name)).items() if entry not in texts}
    assert sorted(found) == sorted(PRESETS[name])
    for entry, value in PRESETS[name].items():
        assert_same(found[entry], value, entry)


def test_the_other_acceptance_has_its_own_write_spread_and_nothing_else():
    fine = settings_of(preset("cmo_hfox", acceptance_percent=0.2))
    assert_same(fine["program_fit"], ((8.1e-4, 1.069e-3),), "program_fit")
    for entry, value in PRESETS["cmo_hfox"].items():
        if entry != "program_fit":
            assert_same(fine[entry], value, entry)


def test_every_default_is_that_of_the_table():
    found = {}
    for module in pkgutil.walk_packages(memristor.__path__, "memristor."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                entries = {entry.name: entry.default for entry in dataclasses.fields(value)}
                found[value.__name__] = {k: v for k, v in entries.items() if v is not dataclasses.MISSING}
    found = {name: entries for name, entries in found.items() if entries}
    assert sorted(found) == sorted(DEFAULTS)
    for name, entries in DEFAULTS.items():
        assert sorted(found[name]) == sorted(entries)
        for entry, value in entries.items():
            assert_same(found[name][entry], value, f"{name}.{entry}")
    assert CrossbarConfig().device == preset(DEFAULT_PRESET) == preset("hfox_wan2022")


def test_limits_and_headroom():
    assert converters.MAX_READ_V == 0.3
    assert READ_HEADROOM == 1.25
    assert (controller_module.MAX_CLOCK_S, controller_module.MAX_WAITS_S, MAX_TIME_S) == (9e9, 1e9, 1e10)


# Every entry of the cost table enters the account, in its own proportion.

RESET_NS, SET_NS, SETTLE_NS, DAC_NS, INTEGRATE_NS, CONVERSION_NS = (
    1009,
    503,
    251,
    127,
    61,
    31,
)  # primes: no sum is met twice


def spent(**changes):
    costs = CostTable(
        reset_ns=RESET_NS,
        set_ns=SET_NS,
        pulse_settle_ns=SETTLE_NS,
        dac_settle_ns=DAC_NS,
        integrate_ns=INTEGRATE_NS,
        conversion_ns=CONVERSION_NS,
        converters=1,
        pulse_pJ=1.5,
        conversion_pJ=4.0,
    )
    adc = AdcConfig(bits=8, range_uA=20.0)
    recipe = Recipe("write_verify", tolerance_uS=1.0)
    crossbar = Crossbar((3, 2), CrossbarConfig(preset("ideal"), 5, adc=adc, recipe=recipe))
    unit = Controller([crossbar], dataclasses.replace(costs, **changes), banks=1)
    for command in (Program(0, [[4, 0], [0, 0], [-1, 2]]), Multiply(0, np.ones((2, 3)), 0), Read(0, 0)):
        unit.execute(command)
    return unit.account()


def test_account_by_hand():
    """3 rows of 4 devices, 15 pulses, each verified once; two products; a read-out of 3 rows of 2 weights."""
    account = spent()
    drives = 3 + 2 + 3  # slots in which rows are driven
    assert account.conversions == 12 + 2 * 2 + 3 * 2
    time_ns = 3 * (RESET_NS + SET_NS + SETTLE_NS) + drives * (DAC_NS + INTEGRATE_NS) + 22 * CONVERSION_NS
    assert account.modelled_time_ns == account.modelled_busy_ns[0] == time_ns
    assert account.modelled_pulse_pJ == 15 * 1.5
    assert account.modelled_conversion_pJ == 22 * 4.0
    # 40 + 10 + 20 uS in all, at 0.2 V: once verified, twice multiplied, once read
    assert account.modelled_drive_pJ == pytest.approx(4 * 70e-6 * 0.04 * 188e-9 * 1e12, rel=1e-12)


@pytest.mark.parametrize(
    ("entry", "value", "time_ns"),
    [
        ("reset_ns", 2 * RESET_NS, 3 * RESET_NS),
        ("set_ns", 2 * SET_NS, 3 * SET_NS),
        ("pulse_settle_ns", 2 * SETTLE_NS, 3 * SETTLE_NS),
        ("dac_settle_ns", 2 * DAC_NS, 8 * DAC_NS),
        ("integrate_ns", 2 * INTEGRATE_NS, 8 * INTEGRATE_NS),
        ("conversion_ns", 2 * CONVERSION_NS, 22 * CONVERSION_NS),
        ("converters", 2, -11 * CONVERSION_NS),
        ("pulse_pJ", 3.0, 0),
        ("conversion_pJ", 8.0, 0),
    ],
)
def test_every_cost_enters_the_account(entry, value, time_ns):
    plain, changed = spent(), spent(**{entry: value})
    assert changed.modelled_time_ns - plain.modelled_time_ns == time_ns
    factor = {"pulse_pJ": 2.0}.get(entry, 1.0)
    assert changed.modelled_pulse_pJ == factor * plain.modelled_pulse_pJ > 0.0
    factor = {"conversion_pJ": 2.0}.get(entry, 1.0)
    assert changed.modelled_conversion_pJ == factor * plain.modelled_conversion_pJ > 0.0
    driven = {"dac_settle_ns": DAC_NS, "integrate_ns": INTEGRATE_NS}.get(entry, 0)
    assert changed.modelled_drive_pJ == pytest.approx(plain.modelled_drive_pJ * (1.0 + driven / 188.0), rel=1e-12)


# Every source of noise draws from a stream of its own.


@pytest.fixture
def asked(monkeypatch):
    """All streams that were asked for, as (seed, key)."""
    keys = []

    class Recorded(np.random.SeedSequence):
        def __init__(self, entropy, *, spawn_key):
            super().__init__(entropy, spawn_key=spawn_key)
            keys.append((entropy, tuple(spawn_key)))

    monkeypatch.setattr(np.random, "SeedSequence", Recorded)
    return keys


def test_every_source_of_noise_has_streams_of_its_own(asked):
    cells = Cells(preset(), (3, 4), serial=5, seed=6)
    assert len(asked) == len(set(asked)) == 8  # dead lines, stuck, two of death, two of telegraph noise, steps
    for call in range(3):
        cells.program([0], [call], [20.0], 1.0)
    assert len(asked) == len(set(asked)) == 8 + 3
    # A layer on four arrays, each with a serial number and a seed of its own; products and read-outs of two trials.
    asked.clear()
    config = CrossbarConfig(levels_per_device=5, tile_rows=2, tile_columns=4, adc=AdcConfig(range_uA=20.0))
    unit = Controller([Crossbar((3, 4), config, serial=5, seed=6)], CostTable(), banks=1)
    assert len(asked) == len(set(asked)) == 4 * (2 + 8)
    seeds = {seed for seed, _ in asked}
    assert len(seeds) == 2 + 4
    unit.execute(Program(0, np.ones((3, 4), dtype=int)))
    for trial in range(2):
        unit.execute(Multiply(0, np.ones((1, 3)), trial))
        unit.execute(Read(0, trial))
    assert len(asked) == len(set(asked)) == 4 * (2 + 8) + 4 + 2 * (1 + 4)


def test_what_is_drawn_once_has_nothing_in_common():
    """3600 cells: the correlation of independent draws has a spread of 1/60."""
    shape = (60, 60)
    faults = FaultConfig(stuck_fraction=0.5, dead_row_fraction=0.5, dead_column_fraction=0.5)
    cells = Cells(
        preset("hfo2_gong2022"), shape, serial=3, seed=3, faults=faults, rtn=RtnConfig(share=1.0, amplitude=0.5)
    )
    half = Cells(preset(), shape, serial=3, seed=3, rtn=RtnConfig(share=0.5))
    rows, columns = np.indices(shape).reshape(2, -1)
    cells.program(rows, columns, np.full(rows.size, 20.0), 1.0)
    drawn = {
        "dead row": np.broadcast_to(cells.dead_rows[:, None], shape),
        "dead column": np.broadcast_to(cells.dead_columns, shape),
        "stuck": cells.stuck != 0,
        "dies on": cells._state.stuck_at_death,
        "lifetime": np.log(cells.lifetime_cycles),
        "step": np.log(cells.step_uS),
        "telegraph amplitude": cells.rtn_amplitude,
        "telegraph": half.rtn_amplitude > 0.0,
        "written": np.where(cells.stuck == 0, cells.written_uS, cells.written_uS.mean()),
        "drift": cells.xi,
    }
    for (one, first), (other, second) in itertools.combinations(drawn.items(), 2):
        size = 60 if "dead" in one + other else 3600
        correlation = np.corrcoef(np.ravel(first).astype(float), np.ravel(second).astype(float))[0, 1]
        assert abs(correlation) < 5.5 / math.sqrt(size), (one, other)
