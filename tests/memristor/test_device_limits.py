"""Limits: each number may be as small and as large as is promised, and not a bit smaller or larger."""

import dataclasses
import math
import re
from functools import partial

import numpy as np
import pytest

from memristor.config import CrossbarConfig
from memristor.controller import MAX_CLOCK_S, Controller, Multiply, Read, Wait
from memristor.converters import AdcConfig, DacConfig, calibrate
from memristor.costs import CostTable
from memristor.crossbar import Crossbar
from memristor.device import Cells, FaultConfig, RtnConfig, WearConfig
from memristor.errors import CrossbarError
from memristor.mapping import Mapping
from memristor.parasitics import WireConfig, solve
from memristor.presets import preset
from memristor.programming import Recipe, incremental, write_verify
from memristor.tile import Tile

FRACTION = (0.0, 1.0)
LARGEST_SEED = 2**63 - 1
OHM = (0.0, 1e6)
LARGE = 65_536


def cells():
    return Cells(preset("ideal"), (1, 1))


def crossbar(**changes):
    return Crossbar((1, 1), CrossbarConfig(preset("ideal"), adc=AdcConfig(range_uA=1.0), **changes))


def submit(command):
    Controller([crossbar()], CostTable(), 1).submit(command)


X = np.zeros((1, 1))
LIMITS = [
    (
        partial(preset, "hfo2_milo2021"),
        {
            "g_low_uS": (50.0, math.nextafter(225.0, 0.0)),
            "g_high_uS": (math.nextafter(50.0, 100.0), 225.0),
            "read_fraction": FRACTION,
            "read_flicker_uS": (0.0, 10.0),
            "stuck_fraction": FRACTION,
            "pulse_step": (1e-6, 1.0),
            "pulse_step_spread": (0.0, 2.0),
            "endurance_cycles": (1e3, 1e10),
        },
    ),
    (lambda time_s: preset("ideal", times_s=(time_s,)), {"time_s": (1e-9, 1e10)}),
    (DacConfig, {"bits": (2, 16), "v_read_V": (1e-6, 0.3)}),
    (partial(DacConfig, signed=False), {"bits": (1, 16)}),
    (AdcConfig, {"bits": (2, 16), "range_uA": (1e-9, 1e9), "percentile": (50.0, 100.0), "offset_lsb": (-1e4, 1e4)}),
    (lambda percentile: calibrate(np.ones(3), percentile), {"percentile": (50.0, 100.0)}),
    (
        CostTable,
        {
            "reset_ns": (0, 10**9),
            "set_ns": (0, 10**9),
            "pulse_settle_ns": (0, 10**9),
            "dac_settle_ns": (0, 10**9),
            "integrate_ns": (0, 10**9),
            "conversion_ns": (0, 10**9),
            "converters": (1, LARGE),
            "pulse_pJ": (0.0, 1e6),
            "conversion_pJ": (0.0, 1e6),
        },
    ),
    (
        FaultConfig,
        {
            "stuck_fraction": FRACTION,
            "stuck_on_share": FRACTION,
            "dead_row_fraction": FRACTION,
            "dead_column_fraction": FRACTION,
        },
    ),
    (
        WearConfig,
        {"median_cycles": (1e3, 1e10), "shape": (0.01, 100.0), "stuck_on_share": FRACTION, "slope": (0.01, 100.0)},
    ),
    (RtnConfig, {"share": FRACTION, "amplitude": FRACTION}),
    (partial(Recipe, "write_verify"), {"tolerance_uS": (0.0, 1e6), "max_pulses": (2, 1_000_000), "wait_s": (0.0, 1e9)}),
    (
        WireConfig,
        {"row_ohm": OHM, "column_ohm": OHM, "driver_ohm": OHM, "sense_ohm": OHM, "access_ohm": OHM},
    ),
    (
        Mapping,
        {
            "levels_per_device": (2, 256),
            "low_uS": (0.0, math.nextafter(40.0, 0.0)),
            "high_uS": (math.ulp(0.0), 1e6),
            "weight_range": (1e-12, 1e12),
            "access_ohm": (0.0, None),
        },
    ),
    (partial(Mapping, high_uS=1e-3), {"access_ohm": (0.0, 1e6)}),
    (CrossbarConfig, {"tile_rows": (1, LARGE), "tile_columns": (2, LARGE)}),
    (partial(Crossbar, (1, 1)), {"serial": (0, LARGEST_SEED), "seed": (0, LARGEST_SEED)}),
    (lambda inputs: Crossbar((inputs, 1), CrossbarConfig(tile_rows=LARGE)), {"inputs": (1, LARGE)}),
    (lambda columns: Cells(preset("ideal"), (1, columns)), {"columns": (1, LARGE)}),
    (partial(Cells, preset("ideal"), (1, 1)), {"serial": (0, LARGEST_SEED), "seed": (0, LARGEST_SEED)}),
    (lambda cycles: cells().add_cycles(cycles), {"cycles": (0, 10**12)}),
    (lambda now_s: cells().relax(now_s), {"now_s": (0.0, 1e10)}),
    (lambda seconds: crossbar().age(seconds), {"seconds": (0.0, 1e10)}),
    (
        lambda relax_tolerance_uS: Tile(preset("ideal"), (1, 1), None, relax_tolerance_uS=relax_tolerance_uS),
        {"relax_tolerance_uS": (0.0, 1e6)},
    ),
    (
        lambda **entry: write_verify(cells(), [0], [0], [10.0], 0.0, **{"tolerance_uS": 1.0, "max_pulses": 2} | entry),
        {"tolerance_uS": (0.0, 40.0), "max_pulses": (2, 1_000_000)},
    ),
    (
        lambda **entry: incremental(cells(), [0], [0], [0.0], 0.0, **{"tolerance_uS": 1.0, "max_pulses": 2} | entry),
        {"tolerance_uS": (0.0, 40.0), "max_pulses": (None, 1_000_000)},
    ),
    (lambda tolerance: solve([[1.0]], [0.1], WireConfig(), tolerance), {"tolerance": (1e-14, 1.0)}),
    (lambda max_sweeps: solve([[1.0]], [0.1], WireConfig(), 1.0, max_sweeps), {"max_sweeps": (1, 10**9)}),
    (lambda banks: Controller([crossbar()], CostTable(), banks), {"banks": (1, LARGE)}),
    (lambda log_limit: Controller([crossbar()], CostTable(), 1, True, log_limit), {"log_limit": (0, None)}),
    (lambda seconds: submit(Wait(seconds)), {"seconds": (0.0, MAX_CLOCK_S)}),
    (lambda trial: submit(Multiply(0, X, trial)), {"trial": (0, 2**62)}),
    (lambda layer: submit(Read(layer, 0)), {"layer": (0, 0)}),
]


def beyond(limit, direction):
    return limit + int(direction) if isinstance(limit, int) else math.nextafter(limit, direction * math.inf)


CASES = [
    pytest.param(make, field, *limits, id=f"{getattr(make, '__name__', 'call')}-{number}-{field}")
    for number, (make, entries) in enumerate(LIMITS)
    for field, limits in entries.items()
]


@pytest.mark.parametrize(("make", "field", "low", "high"), CASES)
def test_a_number_may_reach_its_limits_and_not_pass_them(make, field, low, high):
    for limit, direction in ((low, -1.0), (high, 1.0)):
        if limit is None:
            continue
        make(**{field: limit})
        with pytest.raises(CrossbarError, match=r" is outside | is not below ") as error:
            make(**{field: beyond(limit, direction)})
        assert re.search("times_s" if field == "time_s" else rf"\b{field}\b", str(error.value))


def test_every_number_of_every_class_of_settings_is_held():
    held: dict[type, set[str]] = {}
    for make, entries in LIMITS:
        made = getattr(make, "func", make)
        if isinstance(made, type) and dataclasses.is_dataclass(made):
            held.setdefault(made, set()).update(entries)
    del held[CrossbarConfig]  # its other numbers are those of its mapping and of its tiles
    assert len(held) == 9
    for made, names in held.items():
        types = ("int", "float", "int | None", "float | None")
        assert {entry.name for entry in dataclasses.fields(made) if entry.type in types} == names, made
