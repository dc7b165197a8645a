"""Phases of an execution, what they take, and what Chip refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainscales_emu import ChipConfig, ChipError, LinkConfig, PlacementError
from brainscales_emu.chip import Chip
from brainscales_emu.execution import Account, Phase, Program, phases, section_ns, to_cycles
from brainscales_emu.feedforward import FeedForward
from brainscales_emu.links import EventLink
from brainscales_emu.multichip import Setup
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.session import Session
from brainscales_emu.system import execute_together

LINK = LinkConfig(bandwidth_mbit_s=1000.0, latency_us=10.0, word_bits=64, words_per_event=2, settle_us=20_000.0)


def small_chip():
    chip = Chip(ChipConfig(link=LINK), serial=1, seed=1)
    chip.write(place_feedforward(1, [np.array([[0]])], [[50]]).fabric)
    return chip


def test_hand_computed_timeline():
    chip = small_chip()
    chip.run([0.0, 20.0, 40.0], [0, 0, 0], 100.004, 0)
    # 13 rows trigger the delay element with a weight of 800, 2 listen to it. A row of 256 synapses of 16 bits is 64
    # words of 64 bits, and a word of settings; 1 word for the delay element; 24 * 512 analogue cells. A word takes
    # 64 ns at 1 Gbit/s, every transfer flies for 10 us.
    words = 15 * (64 + 1) + 1 + 24 * 512
    configure = words * 64 + 10_000
    settle = configure + 20_000_000
    upload = settle + 3 * 2 * 64 + 10_000
    real_time = upload + 12_501 * 8  # 100.004 us end in cycle 12501
    read_back = real_time + 3 * 2 * 64 + 10_000
    assert chip.timeline == (
        Phase("configure", 0, configure),
        Phase("settle", configure, settle),
        Phase("upload", settle, upload),
        Phase("real-time", upload, real_time),
        Phase("read-back", real_time, read_back),
    )
    assert chip.account == Account(
        runs=1,
        real_time_us=100.004,
        configuration_ns=settle,
        upload_ns=3 * 2 * 64 + 10_000,
        readback_ns=3 * 2 * 64 + 10_000,
        words_written=words + 6,
        input_events=3,
        recorded_events=3,
        lost_events=0,
    )


def test_only_what_was_written_is_sent():
    chip = small_chip()
    chip.run([0.0], [0], 100.0, 0)
    chip.run([0.0], [0], 100.0, 1)
    assert [phase.name for phase in chip.timeline] == ["upload", "real-time", "read-back"]
    chip.write(place_feedforward(1, [np.array([[1]])], [None]).fabric)
    before = chip.account
    chip.run([], [], 100.0, 2)
    # digital memory alone doesn't need to settle
    assert [phase.name for phase in chip.timeline] == ["configure", "upload", "real-time", "read-back"]
    assert chip.account.words_written - before.words_written == 130
    assert chip.account.runs == 3
    assert chip.account.real_time_us == 300.0


def test_a_run_is_computed_once(monkeypatch):
    calls = []
    advance, run = Session.advance, FeedForward.play
    monkeypatch.setattr(Session, "advance", lambda *arguments: calls.append("engine") or advance(*arguments))
    monkeypatch.setattr(FeedForward, "play", lambda *arguments: calls.append("levels") or run(*arguments))
    chip = small_chip()
    chip.run([0.0], [0], 8.0, 0)
    chip.network = chip.assemble()
    chip.run([0.0], [0], 8.0, 0)
    assert calls == ["levels", "engine"]


def test_times_of_phases_are_whole_nanoseconds():
    steps = phases(Program(LINK, 5, False, 1), 8.0, 4)
    assert steps and all(isinstance(value, int) for phase in steps for value in (phase.start_ns, phase.end_ns))
    assert steps[-1].end_ns - steps[-1].start_ns == 4 * 2 * 64 + 10_000


def test_slow_link_and_odd_bandwidth_round_up():
    slow = LinkConfig(bandwidth_mbit_s=3.0, latency_us=0.0)
    (_, real_time, _) = phases(Program(slow, 0, False, 1), 1.0, 0)
    assert real_time.start_ns == 21_334  # 64 bits at 3 Mbit/s take 21333.3 ns


@settings(deadline=None)
@given(
    bandwidth=st.floats(0.001, 1e6),
    latency=st.floats(0.0, 1e6),
    settle_us=st.floats(0.0, 1e6),
    words=st.integers(0, 10**6),
    settle=st.booleans(),
    inputs=st.integers(0, 10**6),
    recorded=st.integers(0, 10**6),
    duration=st.floats(1e-3, 1e6),
)
def test_the_sum_is_what_processes_beside_each_other_take(
    bandwidth, latency, settle_us, words, settle, inputs, recorded, duration
):
    """The phases of one chip, which are a sum, and the simpy processes of several, of which there is one."""
    link = LinkConfig(bandwidth_mbit_s=bandwidth, latency_us=latency, words_per_event=3, settle_us=settle_us)
    program = Program(link, words, settle, inputs)

    def real_time(env):
        yield env.timeout(section_ns(duration))
        return [recorded]

    assert [phases(program, duration, recorded)] == execute_together([program], real_time)


def test_a_setup_of_one_chip_has_the_same_timelines_and_account():
    alone, together = small_chip(), small_chip()
    setup = Setup([together])
    for trial, (times, duration) in enumerate((([0.0, 20.0], 100.004), ([], 0.001), ([3.0], 55.5))):
        alone.run(times, [0] * len(times), duration, trial)
        setup.run([times], [[0] * len(times)], duration, trial)
        assert alone.timeline == together.timeline
    assert alone.account == together.account


def test_cycles():
    times = np.array([0.0, 0.0079, 0.008, 0.024, 8.25, 33.25])
    np.testing.assert_array_equal(to_cycles(times), [0, 0, 1, 3, 1031, 4156])
    on_grid = np.arange(100_000)
    np.testing.assert_array_equal(to_cycles(on_grid / 125), on_grid)
    np.testing.assert_array_equal(to_cycles(on_grid * 0.008), on_grid)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda chip: chip.run([1.0, -2.0], [0, 0], 10.0, 0),
            "chip.times_us[1] = -2 us is outside 0..10 us; lengthen the run or leave the event out",
        ),
        (
            lambda chip: chip.run([np.inf], [0], 10.0, 0),
            "chip.times_us[0] = inf us is outside 0..10 us; lengthen the run or leave the event out",
        ),
        (
            lambda chip: chip.run([np.nan], [0], 10.0, 0),
            "chip.times_us[0] = nan is not a number; lengthen the run or leave the event out",
        ),
        (
            lambda chip: chip.run([1.0], [1], 10.0, 0),
            "chip.lines[0] = 1 is outside 0..0; give an external line per event; place the network with more "
            "inputs to have more lines",
        ),
        (
            lambda chip: chip.run([1.0], [0.0], 10.0, 0),
            "chip.lines is of type float64, not integers; give an external line per event; place the network with"
            " more inputs to have more lines",
        ),
        (
            lambda chip: chip.run([1.0], [0, 0], 10.0, 0),
            "chip.lines has shape (2,); expected (1,); give an external line per event; place the network "
            "with more inputs to have more lines",
        ),
        (
            lambda chip: chip.run([], [], 0.0, 0),
            "chip.duration_us = 0 us is outside 0.001..1e+09 us; give the length of the run",
        ),
        (
            lambda chip: chip.run([], [], 1.0, -1),
            "chip.trial = -1 is outside 0..9223372036854775807; give the number of the trial",
        ),
        (
            lambda chip: chip.run([], [], 1.0, 0, Probe([7], [0.5])),
            "probe.circuits holds 7, which is no neuron that is switched on; take circuits from placement.neurons",
        ),
        (
            lambda chip: chip.run([], [], 1.0, 0, Probe([0], [1.5])),
            "probe.times_us[0] = 1.5 us is outside 0..1 us; drop the other times",
        ),
        (
            lambda chip: chip.write(None),
            "Chip.write got NoneType, not a Fabric; pass placement.fabric",
        ),
        (
            lambda chip: Chip(ChipConfig(), serial=-1, seed=0),
            "chip.serial = -1 is outside 0..9223372036854775807; give a serial number",
        ),
        (
            lambda chip: Chip(ChipConfig(), serial=1, seed=0.5),
            "chip.seed = 0.5 is not an integer; allowed are 0..9223372036854775807; give a seed",
        ),
        (
            lambda chip: Chip(ChipConfig(), serial=1, seed=0).run([], [], 1.0, 0),
            "Chip.run was called before a network was written; call Chip.write(placement.fabric) first",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ChipError) as error:
        call(small_chip())
    assert str(error.value) == message
    assert not isinstance(error.value, PlacementError)


def test_an_error_leaves_the_account_alone():
    chip = small_chip()
    with pytest.raises(ChipError, match=r"^chip\.times_us"):
        chip.run([-1.0], [0], 10.0, 0)
    assert chip.account == Account()


@pytest.mark.parametrize("slot_us", [0.008, 1.0, 3.0])
def test_events_on_a_link_go_one_slot_after_the_other(slot_us):
    link = EventLink(slot_us, depth=2)
    sent = link.send(np.array([5.0, 5.0, 5.0, 5.0, 50.0]))
    np.testing.assert_allclose(sent, [5.0, 5.0 + slot_us, 5.0 + 2 * slot_us, np.inf, 50.0])  # one goes, two wait
    assert link.dropped == 1


def test_a_link_without_slots_lets_everything_pass_at_once():
    link = EventLink(0.0, depth=0)
    np.testing.assert_array_equal(link.send(np.array([5.0, 5.0, 5.0])), [5.0, 5.0, 5.0])
    assert link.dropped == 0
