"""Slots, FIFOs, drop counters and links: the compiled engine against simpy, and against numbers by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_examples import examples
from random_fabrics import SPREAD, crowded_run, random_fabric

from brainscales_emu import ChipConfig, ChipError
from brainscales_emu.chip import Chip
from brainscales_emu.config import EventPathConfig
from brainscales_emu.constants import CYCLES_PER_US, EXTERNAL, N_CIRCUITS
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.readable.event_path import EventPathChip
from brainscales_emu.routing.fabric import Fabric
from brainscales_emu.routing.labels import FIRST_L2_INPUT, FIRST_L2_OUTPUT, LABEL_BITS


def run_engine(seed):
    config, fabric, times, lines = crowded_run(seed)
    chip = Chip(config, serial=seed, seed=1)
    chip.write(fabric)
    return chip.run(times, lines, 60.0, 0)


def run_twin(seed):
    config, fabric, times, lines = crowded_run(seed)
    twin = EventPathChip(config, draw_fixed_pattern(config, seed), fabric)
    cycles = np.floor(times * CYCLES_PER_US + 1e-6).astype(int)
    twin.run(cycles.tolist(), (EXTERNAL + lines).tolist(), 60.0)
    return twin


@settings(deadline=None, max_examples=examples(8, 25))
@given(seed=st.integers(0, 10**6))
def test_engine_equals_simpy(seed):
    recording, twin = run_engine(seed), run_twin(seed)
    np.testing.assert_array_equal(recording.dropped_events, twin.dropped)
    np.testing.assert_array_equal(recording.passed_events, twin.passed)
    assert recording.link_drops == twin.link.dropped
    assert recording.lost_events == twin.lost
    by_source = np.lexsort((recording.analogue_times_us, recording.circuits))
    expected = sorted((source, spike_us, stamp_us) for stamp_us, spike_us, source in twin.spikes)
    assert recording.circuits[by_source].tolist() == [source for source, _, _ in expected]
    found = recording.analogue_times_us[by_source]
    np.testing.assert_allclose(found, [spike_us for _, spike_us, _ in expected], rtol=1e-12, atol=1e-12)
    stamps = np.array([stamp_us for _, _, stamp_us in expected])
    assert np.all(np.abs(recording.ticks[by_source] - np.floor(stamps * CYCLES_PER_US + 1e-6)) == 0)


def test_the_comparison_is_about_crowded_chips():
    runs = [run_engine(seed) for seed in range(20)]
    assert sum(recording.dropped_events[:FIRST_L2_OUTPUT].sum() > 0 for recording in runs) >= 15
    assert sum(recording.dropped_events[FIRST_L2_OUTPUT:].sum() > 0 for recording in runs) >= 10
    assert sum(recording.link_drops > 0 for recording in runs) >= 1
    assert sum(np.sum(recording.circuits < N_CIRCUITS) >= 5 for recording in runs) >= 15
    assert sum(recording.lost_events > 0 for recording in runs) >= 3


def loop_back(channels=1):
    """Events of the host on so many L2 channels go straight back to it, and onto the PADI bus of their number."""
    memory = {entry.name: getattr(Fabric.empty(), entry.name).copy() for entry in dataclasses.fields(Fabric)}
    for channel in range(channels):
        memory["crossbar_enabled"][FIRST_L2_INPUT + channel, [channel, FIRST_L2_OUTPUT + channel]] = True
    memory["external_label"] = np.arange(channels) << LABEL_BITS
    return Fabric(**memory)


def loop_chip(path, channels=1):
    chip = Chip(ChipConfig(event_path=path), serial=1, seed=1)
    chip.write(loop_back(channels))
    return chip


def test_loop_of_slow_events_loses_nothing():
    # The acceptance test of vendor software (grenade): 1000 events 80 ns apart come back.
    chip = loop_chip(EventPathConfig())
    cycles = 10 * np.arange(1000)
    recording = chip.run(cycles / CYCLES_PER_US, np.zeros(1000, dtype=int), 100.0, 0)
    np.testing.assert_array_equal(recording.ticks, cycles)
    assert set(recording.circuits) == {EXTERNAL}
    assert recording.passed_events.tolist() == [1000, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0, 0]
    assert chip.account.dropped_events == 0


def test_a_burst_fills_the_fifo_and_the_rest_is_dropped():
    # Three events per cycle come in. In cycle c, the output lets one pass, and 3 (c + 1) came: after c cycles 2 c wait.
    # 5 wait after cycle 2, in which the sixth would; from then on 2 of 3 are dropped.
    path = EventPathConfig(slot_ns=8.0, fifo_depth=5, l2_slot_ns=8.0, l2_fifo_depth=5)
    chip = loop_chip(path)
    recording = chip.run(np.full(30, 1.0), np.zeros(30, dtype=int), 10.0, 0)
    # cycle: passes / waits / dropped  0: 1/2/0  1: (2 waiting) first of them passes, 3 come, 4 wait  2: 3 wait, 2 more
    # fit, 1 dropped; 3..9: one leaves, one fits, 2 dropped.
    dropped = 1 + 7 * 2
    assert recording.dropped_events[[0, FIRST_L2_OUTPUT]].tolist() == [dropped, dropped]
    np.testing.assert_array_equal(recording.ticks, 125 + np.arange(30 - dropped))
    assert chip.account.dropped_events == 2 * dropped
    assert chip.account.recorded_events == 30 - dropped
    chip.run(np.full(30, 1.0), np.zeros(30, dtype=int), 10.0, 1)
    assert chip.account.dropped_events == 4 * dropped


@pytest.mark.parametrize("per_cycle", [1, 2, 3])
def test_late_events_of_the_host_shift(per_cycle):
    path = EventPathConfig(fpga_to_chip=per_cycle, l2_slot_ns=1.0, l2_fifo_depth=100, slot_ns=1.0)
    recording = loop_chip(path, 4).run(np.full(12, 2.0), np.arange(12) % 4, 10.0, 0)
    shift = np.arange(12) // per_cycle
    np.testing.assert_array_equal(np.sort(recording.ticks), 250 + shift)


def test_the_link_to_the_host_is_shared_by_its_channels():
    # Four channels, each at its full rate of an event per cycle: the link carries three of four, its FIFO holds 6.
    path = EventPathConfig(fpga_to_chip=3, chip_to_fpga=2, l2_fifo_depth=6, l2_slot_ns=8.0)
    chip = loop_chip(path, 4)
    times = np.repeat(np.arange(50), 3) / CYCLES_PER_US
    lines = np.tile([0, 1, 2], 50)
    recording = chip.run(times, lines, 10.0, 0)
    assert recording.dropped_events.sum() == 0
    # After cycle c, c + 1 too many have come; from cycle 6 on, one per cycle is lost.
    assert recording.link_drops == 50 - 6
    assert recording.ticks.size == 150 - 44
    assert chip.account.dropped_events == 44
    assert np.sum(recording.circuits == EXTERNAL) == 50  # the lowest output goes first


def test_a_dropped_record_is_still_delivered_on_the_chip():
    rng = np.random.default_rng(8)
    fabric = random_fabric(rng)
    times, lines = np.repeat(np.arange(1, 11) * 3.0, 5), np.tile(np.arange(5), 10)
    open_path = EventPathConfig(slot_ns=4.0, fifo_depth=1000, l2_fifo_depth=1000)
    narrow = dataclasses.replace(open_path, l2_slot_ns=1e5, l2_fifo_depth=0)
    passed = []
    for path in (open_path, narrow):
        chip = Chip(ChipConfig(synaptic_gain=3.0, refractory_us=0.5, event_path=path), serial=1, seed=1)
        chip.write(fabric)
        recording = chip.run(times, lines, 60.0, 0)
        passed.append(recording.passed_events)
    assert passed[1][FIRST_L2_OUTPUT:].sum() <= 4 < passed[0][FIRST_L2_OUTPUT:].sum()
    np.testing.assert_array_equal(passed[0][:FIRST_L2_OUTPUT], passed[1][:FIRST_L2_OUTPUT])


@pytest.mark.parametrize("path", [None, EventPathConfig(slot_ns=0), EventPathConfig(fifo_depth=10**4, slot_ns=1.0)])
def test_no_limit_and_wide_limits_change_nothing_of_sparse_traffic(path):
    fabric = random_fabric(np.random.default_rng(5))
    times, lines = np.arange(1, 26) * 2.0, np.arange(25) % 5
    spikes = []
    for limits in (None, path):
        chip = Chip(ChipConfig(synaptic_gain=3.0, refractory_us=0.5, noise=SPREAD, event_path=limits), 1, 1)
        chip.write(fabric)
        recording = chip.run(times, lines, 60.0, 0)
        assert recording.dropped_events.sum() == recording.link_drops == 0
        spikes.append(recording)
    assert spikes[0].ticks.size > 30
    np.testing.assert_allclose(np.sort(spikes[0].analogue_times_us), np.sort(spikes[1].analogue_times_us), atol=0.01)
    if path is None or path.slot_ns == 0:
        np.testing.assert_array_equal(spikes[0].analogue_times_us, spikes[1].analogue_times_us)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EventPathConfig(slot_ns=0.5),
            "chip.event_path.slot_ns = 0.5 ns is outside 1..1e+06 ns; give 0 for no limits",
        ),
        (
            lambda: EventPathConfig(fifo_depth=-1),
            "chip.event_path.fifo_depth = -1 is outside 0..65536; give the number of events that can wait",
        ),
        (
            lambda: EventPathConfig(fpga_to_chip=4),
            "chip.event_path.fpga_to_chip = 4 is outside 1..3; give the number of events per 8 ns cycle",
        ),
        (
            lambda: ChipConfig(event_path=8.0),
            "chip.event_path is a float; give an EventPathConfig, or None for no limits",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ChipError) as error:
        make()
    assert str(error.value) == message
