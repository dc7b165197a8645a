"""The controller: what takes how long and costs what, computed by hand; pulses that nobody loses; order; misuse."""

import re
from dataclasses import astuple, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memristor.config import CrossbarConfig
from memristor.controller import Controller, Multiply, Program, Read, Wait
from memristor.converters import AdcConfig, DacConfig
from memristor.costs import CostTable
from memristor.crossbar import Crossbar
from memristor.device import FaultConfig
from memristor.errors import CrossbarError
from memristor.presets import preset
from memristor.programming import Recipe

# Round numbers, so that sums can be done by head.
COSTS = CostTable(
    reset_ns=100,
    set_ns=200,
    pulse_settle_ns=50,
    dac_settle_ns=10,
    integrate_ns=20,
    conversion_ns=5,
    converters=1,
    pulse_pJ=1.5,
    conversion_pJ=4.0,
)
PULSE_SLOT = 350  # RESET, SET, settling
DRIVE = 30  # DAC settling and integration
DAY_S = 86_400.0
STUCK_OFF = FaultConfig(stuck_fraction=1.0, stuck_on_share=0.0)


def layer(shape, seed=1, device=None, **changes):
    """A crossbar of ideal devices with levels at 0, 10, ..., 40 uS, on one array unless the layer is large."""
    settings = dict(device=device or preset("ideal"), levels_per_device=5, adc=AdcConfig(bits=8, range_uA=20.0))
    return Crossbar(shape, CrossbarConfig(**(settings | changes)), serial=seed, seed=seed)


def controller(*crossbars, banks=1, **changes):
    return Controller(crossbars, COSTS, banks, **changes)


# Time and energy by hand


def test_one_shot_takes_a_slot_per_row_that_is_touched():
    unit = controller(layer((3, 2)))
    report = unit.execute(Program(0, [[4, 0], [0, 0], [-1, 2]]))
    # 12 devices, 3 of them above 0: RESET and SET; the others RESET alone.
    assert (report.cells, report.pulses, report.rounds) == (12, 15, 0)
    assert unit.now_ns == 3 * PULSE_SLOT
    unit.execute(Program(0, [[4, 0], [0, 0], [-1, -2]]))  # both devices of one weight
    assert unit.now_ns == 4 * PULSE_SLOT
    unit.execute(Program(0, [[4, 0], [0, 0], [-1, -2]]))
    assert unit.now_ns == 4 * PULSE_SLOT
    account = unit.account()
    assert (account.commands, account.weights_changed, account.cells_written, account.pulses) == (3, 7, 14, 18)
    assert (account.verify_reads, account.conversions) == (0, 0)
    assert account.modelled_pulse_pJ == 18 * 1.5
    assert account.modelled_time_ns == account.modelled_busy_ns[0] == 4 * PULSE_SLOT


@pytest.mark.parametrize(
    ("dac", "adc", "phases", "conversions"),
    [
        (DacConfig(), {}, 1, 2),  # one per weight
        (DacConfig(), {"subtraction": "after"}, 1, 4),  # one per column
        (DacConfig(bit_serial=True), {}, 7, 2),  # 8 bits with sign: 7 planes
        (DacConfig(bits=4, bit_serial=True, signed=False), {"subtraction": "after"}, 4, 4),
    ],
)
def test_a_product_takes_a_slot_per_vector_and_bit_plane(dac, adc, phases, conversions):
    unit = controller(layer((3, 2), dac=dac, adc=AdcConfig(range_uA=20.0, **adc)))
    unit.execute(Multiply(0, np.ones((7, 3)), 0))
    assert unit.now_ns == 7 * phases * (DRIVE + conversions * 5)
    account = unit.account()
    assert (account.vectors, account.conversions) == (7, 7 * phases * conversions)
    assert account.conversions == unit.crossbars[0].account()["conversions"]
    assert account.modelled_conversion_pJ == 7 * phases * conversions * 4.0


def test_converters_of_a_bank_work_at_the_same_time():
    unit = Controller([layer((3, 5))], replace(COSTS, converters=2), banks=1)
    unit.execute(Multiply(0, np.ones((1, 3)), 0))
    assert unit.now_ns == DRIVE + 3 * 5  # 5 conversions, two at a time


def test_drive_energy_by_hand():
    """Devices at 40, 10 and 20 uS; inputs of 1 and 1/2 are 0.2 V and 0.1 V."""
    unit = controller(layer((3, 2), dac=DacConfig(bits=None)))
    unit.execute(Program(0, [[4, 0], [0, 0], [-1, 2]]))
    unit.execute(Multiply(0, [[1.0, 1.0, 0.5], [0.0, 1.0, -1.0]], 0))
    watt = 40e-6 * 0.2**2 + 30e-6 * (0.1**2 + 0.2**2)
    assert unit.account().modelled_drive_pJ == pytest.approx(watt * 30e-9 * 1e12, rel=1e-12)
    unit.execute(Read(0, 0))
    watt += 70e-6 * 0.2**2
    assert unit.account().modelled_drive_pJ == pytest.approx(watt * 30e-9 * 1e12, rel=1e-12)
    unit.execute(Program(0, [[1, 0], [0, 0], [-1, 2]]))
    unit.execute(Multiply(0, [[1.0, 0.0, 0.0]], 0))
    watt += 10e-6 * 0.2**2
    assert unit.account().modelled_drive_pJ == pytest.approx(watt * 30e-9 * 1e12, rel=1e-12)


def test_reading_goes_row_by_row():
    unit = controller(layer((3, 2)))
    unit.execute(Read(0, 0))
    assert unit.now_ns == 3 * (DRIVE + 2 * 5)
    assert unit.account().conversions == 6


def test_verification_takes_the_rows_that_still_have_cells():
    """Devices that are stuck off read 0: those of level 0 pass, the other one is tried three times."""
    crossbar = layer((2, 2), faults=STUCK_OFF, recipe=Recipe("write_verify", tolerance_uS=1.0, max_pulses=6))
    unit = controller(crossbar)
    report = unit.execute(Program(0, [[3, 0], [0, 0]]))
    # Round 1: both rows, 8 cells, 9 pulses. Rounds 2 and 3: one cell, a RESET and a SET each.
    assert (report.pulses, report.rounds) == (13, 3)
    assert report.unverified.tolist() == [[0, 0, 0, 0]]
    pulsing, verifying = (2 + 1 + 1) * PULSE_SLOT, 2 * (DRIVE + 4 * 5) + 2 * (DRIVE + 5)
    assert unit.now_ns == pulsing + verifying
    account = unit.account()
    assert account.verify_reads == account.conversions == 8 + 1 + 1
    # The drivers see what the controller takes the device for: 30 uS at 0.2 V, three times.
    assert account.modelled_drive_pJ == pytest.approx(3 * 30e-6 * 0.2**2 * 30e-9 * 1e12)
    assert [use.what for use in unit.timeline] == ["program"]


def test_a_bank_serves_others_while_a_tile_waits():
    """Three rounds of 1 s each; both tiles on one bank: they wait together, not one after the other."""
    recipe = Recipe("write_verify", tolerance_uS=1.0, max_pulses=6, wait_s=1.0)
    crossbar = layer((2, 1), faults=STUCK_OFF, recipe=recipe, tile_rows=1, tile_columns=2)
    unit = controller(crossbar)
    unit.execute(Program(0, [[3], [3]]))
    # Pulses take 350 ns, the first verification of a tile 30 + 2 * 5 ns, the later ones, of one cell, 35 ns. At 1 s the
    # second tile finds the bank busy with the first one's second pulses.
    one_s = 1_000_000_000
    assert [(use.tile[0], use.what, use.start_ns, use.end_ns) for use in unit.timeline] == [
        (0, "program", 0, 350),
        (1, "program", 350, 700),
        (0, "verify", one_s + 350, one_s + 390),
        (0, "program", one_s + 390, one_s + 740),
        (1, "verify", one_s + 740, one_s + 780),
        (1, "program", one_s + 780, one_s + 1130),
        (0, "verify", 2 * one_s + 740, 2 * one_s + 775),
        (0, "program", 2 * one_s + 775, 2 * one_s + 1125),
        (1, "verify", 2 * one_s + 1130, 2 * one_s + 1165),
        (1, "program", 2 * one_s + 1165, 2 * one_s + 1515),
        (0, "verify", 3 * one_s + 1125, 3 * one_s + 1160),
        (1, "verify", 3 * one_s + 1515, 3 * one_s + 1550),
    ]
    assert unit.account().modelled_waiting_ns == (350 + 40,)
    assert all(tile.cells.now_s == pytest.approx(3.0) for row in crossbar.tiles for tile in row)
    assert crossbar.now_s >= 3.0
    unit.execute(Program(0, [[2], [2]]))  # the arrays' clock has not overtaken the controller's
    assert crossbar.now_s == pytest.approx(unit.now_ns * 1e-9)


def test_clocks_agree_whatever_their_rounding():
    """Three waits of 0.1 s are 0.3 s in nanoseconds and a bit more in float64, and nothing else takes time here."""
    recipe = Recipe("write_verify", tolerance_uS=1.0, max_pulses=6, wait_s=0.1)
    free = CostTable(reset_ns=0, set_ns=0, pulse_settle_ns=0, dac_settle_ns=0, integrate_ns=0, conversion_ns=0)
    crossbar = layer((2, 1), faults=STUCK_OFF, recipe=recipe)
    unit = Controller([crossbar], free, banks=1)
    unit.execute(Program(0, [[3], [3]]))
    assert unit.now_ns == 300_000_000 and crossbar.tiles[0][0].cells.now_s > 0.3
    unit.execute(Program(0, [[2], [2]]))
    assert unit.now_ns == 600_000_000


def test_small_pulses_and_the_log_of_them():
    """Steps of 10 uS from 0 to 40 uS: a reading, then four times a SET pulse and a reading."""
    device = preset("ideal", pulse_step=0.25)
    recipe = Recipe("incremental", tolerance_uS=1.0, max_pulses=20)
    unit = controller(layer((1, 2), device=device, recipe=recipe), log_pulses=True)
    report = unit.execute(Program(0, [[4, 0]]))
    assert (report.pulses, report.rounds) == (4, 5)
    first, later = DRIVE + 4 * 5, PULSE_SLOT + DRIVE + 5
    assert unit.now_ns == first + 4 * later
    log, missing = unit.pulse_log()
    assert missing == 0
    assert log["time_ns"].tolist() == [first + k * later + 100 for k in range(4)]  # the SET phase follows the RESET
    assert log["kind"].tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(log["before_uS"], [0.0, 10.0, 20.0, 30.0], atol=1e-12)
    np.testing.assert_allclose(log["after_uS"], [10.0, 20.0, 30.0, 40.0], atol=1e-12)


def test_log_of_cycles():
    """Tiles of one row on two banks: the rows are programmed at the same time."""
    unit = controller(layer((2, 1), tile_rows=1, tile_columns=2), banks=2, log_pulses=True)
    unit.execute(Program(0, [[4], [-1]]))
    unit.execute(Program(0, [[4], [0]]))
    log, _ = unit.pulse_log()
    places = log[["time_ns", "layer", "tile_row", "tile_column", "row", "column", "kind"]].tolist()
    assert places == [
        (0, 0, 0, 0, 0, 0, -1),
        (0, 0, 0, 0, 0, 1, -1),
        (0, 0, 1, 0, 0, 0, -1),
        (0, 0, 1, 0, 0, 1, -1),
        (100, 0, 0, 0, 0, 0, 1),
        (100, 0, 1, 0, 0, 1, 1),
        (350, 0, 1, 0, 0, 1, -1),
    ]
    nan = np.nan
    np.testing.assert_array_equal(log["before_uS"], [0.0, 0.0, 0.0, 0.0, nan, nan, 10.0])
    np.testing.assert_allclose(log["after_uS"], [nan, 0.0, 0.0, nan, 40.0, 10.0, 0.0], atol=1e-12)


# Banks


@pytest.mark.parametrize(("banks", "total", "waiting"), [(1, 1050 + 280, 1050), (2, 1050, 0)])
def test_layers_overlap_as_far_as_the_banks_allow(banks, total, waiting):
    """Programming three rows of layer 0 takes 1050 ns, seven products of layer 1 take 280 ns."""
    unit = controller(layer((3, 2)), layer((3, 2), seed=2), banks=banks)
    unit.submit(Program(0, np.ones((3, 2), dtype=int)), Multiply(1, np.ones((7, 3)), 0))
    unit.run()
    account = unit.account()
    assert account.modelled_time_ns == total
    assert sum(account.modelled_waiting_ns) == waiting
    assert sum(account.modelled_busy_ns) == 1330


def test_tiles_are_dealt_in_turn():
    tiled = {"tile_rows": 2, "tile_columns": 2}
    unit = controller(layer((4, 2), **tiled), layer((2, 2), seed=2, **tiled), banks=3)
    unit.submit(Read(0, 0), Read(1, 0))
    unit.run()
    banks = {(use.layer, use.tile): use.bank for use in unit.timeline}
    order = [(0, (0, 0)), (0, (0, 1)), (0, (1, 0)), (0, (1, 1)), (1, (0, 0)), (1, (0, 1))]
    assert [banks[place] for place in order] == [0, 1, 2, 0, 1, 2]


def test_summed_currents_are_converted_once():
    unit = controller(layer((4, 2), tile_rows=2, conversion="output"), banks=2)
    unit.execute(Multiply(0, np.ones((3, 4)), 0))
    assert [(use.tile, use.end_ns) for use in unit.timeline] == [((0, 0), 3 * DRIVE), ((1, 0), 3 * (DRIVE + 2 * 5))]
    assert unit.account().conversions == 6 == unit.crossbars[0].account()["conversions"]


def test_a_wait_is_waited_for_by_all():
    unit = controller(layer((3, 2)), layer((3, 2), seed=2), banks=2)
    unit.submit(Read(0, 0), Wait(2.0), Read(1, 0), Wait(0.5))
    unit.run()
    slot = 3 * (DRIVE + 2 * 5)
    assert [(use.command, use.start_ns) for use in unit.timeline] == [(0, 0), (2, slot + 2_000_000_000)]
    assert unit.now_ns == 2 * slot + 2_500_000_000
    assert unit.crossbars[0].now_s == unit.crossbars[1].now_s == pytest.approx(unit.now_ns * 1e-9)


# What the devices do


def wan(shape, seed=1, device=preset("hfox_wan2022"), **changes):  # noqa: B008 (frozen)
    return layer(shape, seed, device=device, tile_rows=4, tile_columns=4, **changes)


def test_devices_are_programmed_as_without_a_controller():
    levels = np.random.default_rng(0).integers(-4, 5, (6, 3))
    unit, alone = controller(wan((6, 3))), wan((6, 3))
    unit.execute(Program(0, levels))
    alone.write(levels)
    for name, found in alone.maps().items():
        np.testing.assert_array_equal(unit.crossbars[0].maps()[name].values, found.values)


def test_devices_relax_with_the_controllers_time():
    quiet = preset("hfox_wan2022", read_fraction=0.0)
    unit = controller(wan((6, 3), device=quiet, adc=AdcConfig(bits=None)))
    unit.execute(Program(0, np.full((6, 3), 2)))
    fresh = unit.execute(Read(0, 0))
    unit.execute(Wait(DAY_S))
    late = unit.execute(Read(0, 0))
    cells = unit.crossbars[0].tiles[0][0].cells
    assert cells.now_s == pytest.approx(DAY_S)
    shift = cells.xi * cells.model.relax_sigma_uS(cells.target_uS, DAY_S)
    np.testing.assert_allclose(cells.g_uS, np.maximum(cells.written_uS + shift, 0.0), atol=1e-6)
    assert np.abs(late - fresh).max() > 0.01
    np.testing.assert_allclose(late, unit.crossbars[0].effective_weights(), atol=1e-12)


@pytest.mark.parametrize("subtraction", ["before", "after"])
def test_read_back_is_as_fine_as_the_converter(subtraction):
    """Devices without noise: off by half a step of a range of 1.25 x 40 uS, once or for both columns."""
    levels = np.random.default_rng(0).integers(-4, 5, (6, 3))
    unit = controller(layer((6, 3), tile_rows=4, tile_columns=4, adc=AdcConfig(bits=6, subtraction=subtraction)))
    unit.execute(Program(0, levels))
    error = np.abs(unit.execute(Read(0, 0)) - levels / 4)
    bound = 0.5 * 1.25 / 31 if subtraction == "before" else 2 * 0.5 * 1.25 / 63
    assert 0.1 * bound < error.max() <= bound * (1 + 1e-9)


def test_ideal_converters_read_back_what_is_there():
    unit = controller(wan((6, 3), adc=AdcConfig(bits=None)))
    unit.execute(Program(0, np.full((6, 3), -3)))
    seen = np.mean([unit.execute(Read(0, trial)) for trial in range(400)], axis=0)
    # 1 % of 40 uS per device and read: 0.01 sqrt(2) in weights, 400 readings, six sigma
    assert np.abs(seen - unit.crossbars[0].effective_weights()).max() < 6 * 0.01 * np.sqrt(2 / 400)


@pytest.mark.parametrize("command", [lambda trial: Multiply(0, np.ones((2, 6)), trial), lambda trial: Read(0, trial)])
def test_the_trial_names_the_noise(command):
    unit = controller(wan((6, 3), adc=AdcConfig(bits=None)))
    first, other, again = (unit.execute(command(trial)) for trial in (5, 6, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# Any stream of commands

RECIPES = [
    Recipe(),
    Recipe("write_verify", tolerance_uS=2.0, max_pulses=7),
    Recipe("write_verify", tolerance_uS=2.0, max_pulses=5, wait_s=0.5),
    Recipe("incremental", tolerance_uS=1.5, max_pulses=9),
]
SHAPES = [(6, 3), (3, 2)]


def make_command(kind, k, number):
    rng = np.random.default_rng(number)
    if kind == "program":
        return Program(k, rng.integers(-4, 5, SHAPES[k]), only_changed=number % 2 == 0)
    if kind == "multiply":
        return Multiply(k, rng.uniform(-1.0, 1.0, (1 + number % 3, SHAPES[k][0])), number)
    return Read(k, number) if kind == "read" else Wait(number * 0.01)


commands = st.lists(
    st.builds(
        make_command,
        st.sampled_from(["program", "program", "multiply", "read", "wait"]),
        st.integers(0, 1),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(st.lists(commands, min_size=1, max_size=3), st.sampled_from(RECIPES), st.integers(1, 4))
def test_nothing_is_lost_whatever_is_asked_for(batches, recipe, banks):
    crossbars = [wan(shape, k, recipe=recipe) for k, shape in enumerate(SHAPES)]
    unit = controller(*crossbars, banks=banks, log_pulses=True)
    uses, submitted, reported, clock = [], [], 0, 0
    for batch in batches:
        unit.submit(*batch)
        reported += sum(result.pulses for result in unit.run() if hasattr(result, "pulses"))
        submitted += batch
        uses += unit.timeline
        assert unit.now_ns >= clock
        clock = unit.now_ns

    account, (log, missing) = unit.account(), unit.pulse_log()
    assert missing == 0
    for k, crossbar in enumerate(crossbars):
        for r, row in enumerate(crossbar.tiles):
            for c, tile in enumerate(row):
                here = log[(log["layer"] == k) & (log["tile_row"] == r) & (log["tile_column"] == c)]
                for kind, counter in ((1, tile.cells.set_pulses), (-1, tile.cells.reset_pulses)):
                    found = np.zeros(tile.shape, dtype=np.int64)
                    pulses = here[here["kind"] == kind]
                    np.add.at(found, (pulses["row"], pulses["column"]), 1)
                    np.testing.assert_array_equal(found, counter)
    assert account.pulses == log.size == reported == sum(use.pulses for use in uses)

    assert np.all(np.diff(log["time_ns"]) >= 0)
    programs = [use for use in uses if use.pulses]
    for pulse in log:
        place = pulse["layer"], (pulse["tile_row"], pulse["tile_column"])
        assert any((use.layer, use.tile) == place and use.start_ns <= pulse["time_ns"] < use.end_ns for use in programs)

    for bank in range(banks):
        mine = sorted((use.start_ns, use.end_ns) for use in uses if use.bank == bank)
        assert all(end <= start for (_, end), (start, _) in pairwise(mine))
        assert account.modelled_busy_ns[bank] == sum(end - start for start, end in mine) <= clock
    for k in range(2):
        ends = {}
        for use in uses:
            if use.layer == k:
                start, end = ends.get(use.command, (use.start_ns, 0))
                ends[use.command] = min(start, use.start_ns), max(end, use.end_ns)
        times = [ends[command] for command in sorted(ends)]
        assert all(end <= start for (_, end), (start, _) in pairwise(times))

    read = sum(use.conversions for use in uses if use.what == "read")
    multiplied = sum(int(crossbar.account()["conversions"]) for crossbar in crossbars)
    assert account.conversions == account.verify_reads + read + multiplied == sum(use.conversions for use in uses)
    energy = account.modelled_pulse_pJ + account.modelled_conversion_pJ + account.modelled_drive_pJ
    assert energy == pytest.approx(sum(use.energy_pJ for use in uses), rel=1e-12)
    assert account.commands == len(submitted)


@pytest.mark.parametrize("banks", [1, 3, 7])
def test_a_command_alone_is_served_as_among_others(banks, monkeypatch):
    """Its banks' times are a sum; through the queue of events they are the same."""

    def outcome():
        unit = controller(
            layer((23, 13), tile_rows=5, tile_columns=8, adc=AdcConfig(bits=8, range_uA=20.0)), banks=banks
        )
        timeline = []
        for command in (
            Program(0, np.arange(23 * 13).reshape(23, 13) % 9 - 4),
            Multiply(0, np.linspace(-1.0, 1.0, 46).reshape(2, 23), 1),
            Read(0, 2),
        ):
            unit.execute(command)
            timeline += unit.timeline
        return timeline, unit.account()

    alone, account = outcome()
    execute = Controller._execute
    monkeypatch.setattr(Controller, "_execute", lambda self, *args: execute(self, *args[:-1], False))
    queued, queued_account = outcome()
    assert len(alone) == 3 * 5 * 4 and sorted(alone) == sorted(queued)
    assert account.modelled_drive_pJ == pytest.approx(queued_account.modelled_drive_pJ, rel=1e-12)
    assert replace(account, modelled_drive_pJ=0.0) == replace(queued_account, modelled_drive_pJ=0.0)


@settings(deadline=None, max_examples=15)
@given(commands, st.sampled_from(RECIPES))
def test_same_commands_same_bits(batch, recipe):
    """With and without a log, submitted together or one by one: the devices do the same."""

    def outcome(log_pulses):
        unit = controller(*(wan(shape, k, recipe=recipe) for k, shape in enumerate(SHAPES)), log_pulses=log_pulses)
        unit.submit(*batch)
        results = [result for result in unit.run() if result is not None]
        arrays = [found.values for crossbar in unit.crossbars for found in crossbar.maps().values()]
        return unit.timeline, unit.account(), results, arrays

    (timeline, account, results, arrays), (timeline_2, account_2, results_2, arrays_2) = outcome(True), outcome(False)
    assert timeline == timeline_2 and account == account_2
    for ours, theirs in zip([*results, *arrays], [*results_2, *arrays_2], strict=True):
        if isinstance(ours, tuple):
            assert [np.array_equal(*pair) for pair in zip(ours, theirs, strict=True)] == [True] * len(ours)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_a_full_log_says_how_many_pulses_are_missing():
    unit = controller(layer((3, 2)), log_pulses=True, log_limit=5)
    unit.execute(Program(0, [[4, 0], [0, 0], [-1, 2]]))
    log, missing = unit.pulse_log()
    assert (log.size, missing) == (5, 10)
    assert log["time_ns"].tolist() == [0, 0, 0, 0, 100]


def busy(unit, seed):
    """Results of some commands of each kind."""
    rng = np.random.default_rng(seed)
    for k, shape in enumerate(SHAPES):
        unit.submit(Program(k, rng.integers(-4, 5, shape)), Wait(10.0))
        unit.submit(Multiply(k, rng.uniform(-1.0, 1.0, (2, shape[0])), seed), Read(k, seed))
    return [result for result in unit.run() if isinstance(result, np.ndarray)]


def test_a_loaded_state_goes_on_to_the_same_bits():
    recipe = Recipe("write_verify", tolerance_uS=2.0, max_pulses=7, wait_s=0.5)
    straight, loaded = (controller(*(wan(s, k, recipe=recipe) for k, s in enumerate(SHAPES)), banks=2) for _ in "ab")
    busy(straight, 1)
    state = straight.state()
    kept = {name: array.copy() for name, array in state.items()}
    expected = busy(straight, 2)
    busy(loaded, 3)  # another past, which leaves nothing behind
    loaded.load_state(state)
    assert loaded.timeline == () and loaded.now_ns == kept["counts"][0] > 0
    found = busy(loaded, 2)
    assert len(found) == 4 and all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert loaded.account() == straight.account()
    assert all(np.array_equal(state[name], kept[name], equal_nan=True) for name in kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("bank_ns"),
            "state['bank_ns'] is missing, not (2, 1): it is the state of other arrays",
        ),
        (
            lambda state: state.update(drive_pJ=np.zeros(2)),
            "state['drive_pJ'] is (2,), not (1,): it is the state of other arrays",
        ),
    ],
)
def test_a_state_of_other_arrays_is_refused_and_changes_nothing(change, message):
    unit = controller(wan((6, 3)))
    unit.execute(Program(0, np.full((6, 3), 2)))
    before, state = unit.state(), unit.state()
    change(state)
    with pytest.raises(CrossbarError, match="^" + re.escape(message)):
        unit.load_state(state)
    assert all(np.array_equal(array, before[name], equal_nan=True) for name, array in unit.state().items())


# Misuse


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Program(2, [[0]]), "command.layer = 2 is outside 0..1; name a layer"),
        (Read(-1, 0), "command.layer = -1 is outside 0..1; name a layer"),
        (Program(0, np.full((6, 3), 5)), "levels[0, 0] = 5 is outside -4..4"),
        (Program(0, np.zeros((6, 2), dtype=int)), "levels has shape (6, 2); expected (6, 3)"),
        (Program(0, np.zeros((6, 3))), "levels is of type float64, not integers; 5 levels per device"),
        (Multiply(0, np.full((1, 6), 1.5), 0), "x[0, 0] = 1.5 is outside -1..1"),
        (Multiply(0, np.full((1, 6), np.nan), 0), "x[0, 0] = nan is not a number"),
        (
            Multiply(0, np.ones((1, 6)), -1),
            "command.trial = -1 is outside 0..4611686018427387904; give the number of the noise",
        ),
        (Multiply(1, np.ones((1, 3)), 0), "adc.range_uA = None: the converters have no range yet; call calibrate"),
        (Wait(-1.0), "wait.seconds = -1 s is outside 0..9e+09 s; time doesn't run backwards"),
        (Wait(float("nan")), "wait.seconds = nan s is outside 0..9e+09 s; time doesn't run backwards"),
        (
            Wait(9e9),
            "controller.time = 9000000001.000004 s is outside 0..9e+09 s; the waits are too long; give seconds",
        ),
        ("read", "command = 'read' is unknown; choose Program, Multiply, Read or Wait"),
    ],
)
def test_misuse_is_one_clear_error_and_changes_nothing(command, message):
    crossbars = [wan((6, 3)), wan((3, 2), 2, adc=AdcConfig())]
    unit = controller(*crossbars)
    unit.execute(Program(0, np.full((6, 3), 2)))
    unit.submit(Wait(1.0))

    def state():
        arrays = [found.values.copy() for crossbar in crossbars for found in crossbar.maps().values()]
        return unit.now_ns, unit.account(), [crossbar.now_s for crossbar in crossbars], arrays

    before = state()
    with pytest.raises(CrossbarError, match="^" + re.escape(message)):
        unit.submit(Read(0, 1), command)
    with pytest.raises(CrossbarError, match="^" + re.escape(message)):
        unit.execute(command)
    after = state()
    assert before[:3] == after[:3]
    assert all(np.array_equal(*pair) for pair in zip(before[3], after[3], strict=True))
    assert unit.run() == [None]  # the wait that was in the queue, and nothing else
    assert unit.now_ns == before[0] + 1_000_000_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Controller([], COSTS, 1), "controller.crossbars is empty; give one crossbar per layer"),
        (lambda: controller(layer((1, 1)), banks=0), "controller.banks = 0 is outside 1..65536; give the number of"),
        (
            lambda: controller(layer((1, 1)), log_limit=-1),
            "controller.log_limit = -1 pulses is outside 0..1e+09 pulses",
        ),
        (
            lambda: controller(layer((1, 1), recipe=Recipe("incremental", tolerance_uS=50.0))),
            "recipe.tolerance_uS = 50 uS is outside 0..40 uS; give the largest accepted distance from the target",
        ),
        (
            lambda: controller(layer((1, 1), recipe=Recipe("write_verify", wait_s=1e8))),
            "recipe.wait_s = 1e+08 s after each of recipe.max_pulses = 20 pulses may take 2.1e+09 s, above 1e+09 s",
        ),
        (lambda: controller(layer((1, 1))).pulse_log(), "controller.log_pulses = False: no pulses were kept; set it"),
        (lambda: CostTable(set_ns=-1), "costs.set_ns = -1 ns is outside 0..1e+09 ns; give a cost"),
        (lambda: CostTable(set_ns=1.5), "costs.set_ns = 1.5 is not an integer; allowed are 0..1e+09 ns; give a cost"),
        (lambda: CostTable(converters=0), "costs.converters = 0 is outside 1..65536; give a cost"),
        (lambda: CostTable(pulse_pJ=float("nan")), "costs.pulse_pJ = nan pJ is outside 0..1e+06 pJ; give a cost"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(CrossbarError, match="^" + re.escape(message)):
        make()


def test_every_cost_says_where_it_is_from():
    sources = CostTable.sources()
    assert len(sources) == len(astuple(CostTable()))
    assert "Martemucci" in sources.pop("pulse_pJ")
    assert set(sources.values()) == {"assumed"}
