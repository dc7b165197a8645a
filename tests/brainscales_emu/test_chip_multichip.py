"""Several chips behind an aggregator: exactness, links, the plasticity processor, splitting, relaying."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import simpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_examples import examples
from random_fabrics import crowded_run, random_fabric

from brainscales_emu import ChipConfig, ChipError, LinkConfig, NoiseConfig, PlacementError, assembly, multichip
from brainscales_emu.chip import Chip
from brainscales_emu.config import EventPathConfig
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.engine.event_path import pack
from brainscales_emu.execution import Phase
from brainscales_emu.links import EventLink, PackLink
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.multichip import AggregatorConfig, Setup, relay, split
from brainscales_emu.readable.chip import WiredChip
from brainscales_emu.readable.multichip import simulate_setup
from brainscales_emu.recording import Probe
from brainscales_emu.routing.fabric import Fabric
from brainscales_emu.routing.labels import FIRST_L2_INPUT, FIRST_L2_OUTPUT, LABEL_BITS
from brainscales_emu.routing.placement import Background, External, Population, Projection, place
from brainscales_emu.system import Ppu

LATENCY_US = 1.3
EXACT = ChipConfig(exact_input_times=True, refractory_us=2.0, synaptic_gain=0.6)
NOISY = NoiseConfig(
    tau_mem_std=0.1,
    tau_syn_std=0.1,
    threshold_std_lsb=4.0,
    neuron_gain_std=0.2,
    weight_std=0.1,
    delay_offset_std_us=0.2,
    threshold_noise_std_lsb=1.0,
    delay_jitter_us=0.06,
)


def make_chips(config, n, serial=1):
    return [Chip(config, serial=serial + k, seed=10 + k) for k in range(n)]


# --- one network, on one chip or on several


def recurrent_network(seed, n=24, n_inputs=6):
    """Sparse, with inhibition, and active for a while."""
    rng = np.random.default_rng(seed)
    inputs, neurons = External("input", n_inputs), Population("neurons", n)
    recurrent = rng.integers(-40, 64, (n, n)) * (rng.random((n, n)) < 0.25)
    feed = rng.integers(20, 64, (n_inputs, n)) * (rng.random((n_inputs, n)) < 0.7)
    projections = [Projection(inputs, neurons, feed), Projection(neurons, neurons, recurrent)]
    return [inputs, neurons], projections, np.sort(rng.uniform(0.0, 60.0, 60)), rng.integers(0, n_inputs, 60)


def run_split(network, assignment, config, aggregator=None, order=None, **options):
    """Spikes of the recurrent network (indices, exact times), and the recording."""
    populations, projections, times, indices = network
    parts = split(populations, projections, assignment)
    n = len(parts.placements)
    order = np.arange(n) if order is None else np.asarray(order)  # place of each chip in the setup
    chips = make_chips(config, n)
    sent = parts.events({"input": (times, indices)})
    at = np.argsort(order)
    connections = parts.connections.copy()
    connections[:, [0, 2]] = order[connections[:, [0, 2]]]
    setup = Setup([chips[k] for k in at], aggregator)
    setup.write([parts.placements[k].fabric for k in at], connections)
    recording = setup.run([sent[0][k] for k in at], [sent[1][k] for k in at], 100.0, 0, **options)
    recording = dataclasses.replace(recording, chips=tuple(recording.chips[k] for k in order))
    _, who, when = parts.spikes(recording, "neurons")
    return who, when, recording


def run_alone(network, config):
    populations, projections, times, indices = network
    placement = place(populations, projections)
    chip = Chip(config, serial=1, seed=10)
    chip.write(placement.fabric)
    recording = chip.run(times, placement.lines["input"][indices], 100.0, 0)
    neuron_of = {circuit: k for k, circuit in enumerate(placement.neurons["neurons"][:, 0].tolist())}
    who = np.array([neuron_of[circuit] for circuit in recording.circuits.tolist()])
    order = np.lexsort((who, recording.analogue_times_us))
    return who[order], recording.analogue_times_us[order]


def equal_trains(a, b, **tolerance):
    """Spike trains (who, when), neuron by neuron."""
    for neuron in np.union1d(a[0], b[0]):
        np.testing.assert_allclose(a[1][a[0] == neuron], b[1][b[0] == neuron], **tolerance)


@pytest.mark.parametrize("n_chips", [2, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_recurrent_network_on_several_chips_is_that_on_one(n_chips, seed):
    # The latency on the chip is that of the aggregator, so that it doesn't matter where a synapse is.
    network = recurrent_network(seed)
    config = dataclasses.replace(EXACT, event_latency_us=LATENCY_US)
    assignment = {"neurons": np.random.default_rng(seed).permutation(np.arange(24) % n_chips)}
    alone = run_alone(network, config)
    who, when, recording = run_split(network, assignment, config)
    assert who.size > 100
    assert recording.forwarded_events.sum() > 50
    assert recording.dropped_up.sum() == recording.dropped_down.sum() == 0
    equal_trains((who, when), alone, rtol=0, atol=1e-9)


def test_another_latency_is_another_network():
    network = recurrent_network(1)
    config = dataclasses.replace(EXACT, event_latency_us=LATENCY_US)
    alone = run_alone(network, config)
    who, when, _ = run_split(network, {"neurons": np.arange(24) % 2}, config, AggregatorConfig(latency_us=1.301))
    assert who.size != alone[0].size or np.max(np.abs(when - alone[1])) > 1e-6


@pytest.mark.parametrize("latency_us", [0.08, 0.5, LATENCY_US])
def test_layers_on_chips_of_their_own_are_shifted_by_the_latency(latency_us):
    rng = np.random.default_rng(4)
    on_chip_us = 0.08
    layers = [External("input", 5), *(Population(f"layer {k}", 8) for k in range(4))]
    projections = [Projection(pre, post, rng.integers(10, 60, (pre.size, post.size))) for pre, post in pairwise(layers)]
    config = dataclasses.replace(EXACT, event_latency_us=on_chip_us)
    times, indices = rng.uniform(0.0, 30.0, 25), rng.integers(0, 5, 25)

    def spikes(assignment):
        parts = split(layers, projections, assignment)
        setup = Setup(make_chips(config, len(parts.placements)), AggregatorConfig(latency_us=latency_us))
        setup.write([placement.fabric for placement in parts.placements], parts.connections)
        recording = setup.run(*parts.events({"input": (times, indices)}), 200.0, 0)
        return [parts.spikes(recording, f"layer {k}")[1:] for k in range(4)]

    together = spikes({f"layer {k}": 0 for k in range(4)})
    apart = spikes({f"layer {k}": k for k in range(4)})
    for k in range(4):
        assert 8 < together[k][0].size == apart[k][0].size
        who, when = together[k]
        equal_trains(apart[k], (who, when + k * (latency_us - on_chip_us)), rtol=0, atol=1e-9)


# --- any chips and connections, against an event-driven reference


def random_setup(seed):
    rng = np.random.default_rng(seed)
    config = dataclasses.replace(EXACT, event_latency_us=rng.choice([0.0, 0.08, 2.0]), noise=NOISY)
    n = int(rng.integers(2, 4))
    fabrics = [random_fabric(rng, n_elements=3, n_rows=40, merged=True) for _ in range(n)]
    speakers = []
    for k, fabric in enumerate(fabrics):
        for circuit in np.flatnonzero(fabric.neuron_output).tolist():
            outputs = fabric.deliver(*fabric.event(circuit))
            if any(output >= FIRST_L2_OUTPUT for output in outputs):
                speakers.append((k, circuit))
    wires = [(*speaker, int(rng.integers(n)), int(rng.integers(5))) for speaker in speakers for _ in range(2)]
    connections = np.unique(np.array(wires), axis=0)
    inputs = [(np.sort(rng.uniform(0.0, 30.0, 12)), rng.integers(0, 5, 12)) for _ in range(n)]
    return config, fabrics, connections, inputs, float(rng.choice([0.3, 1.3, 7.0]))


def run_setup(config, fabrics, connections, inputs, latency_us):
    setup = Setup(make_chips(config, len(fabrics)), AggregatorConfig(latency_us=latency_us))
    setup.write(fabrics, connections)
    return setup.run([times for times, _ in inputs], [lines for _, lines in inputs], 40.0, 0)


@settings(deadline=None, max_examples=examples(4, 10))
@given(seed=st.integers(0, 10**6))
def test_random_setups_equal_the_reference(seed):
    config, fabrics, connections, inputs, latency_us = random_setup(seed)
    recording = run_setup(config, fabrics, connections, inputs, latency_us)
    wired = [WiredChip(config, draw_fixed_pattern(config, 1 + k), fabric) for k, fabric in enumerate(fabrics)]
    events = [list(zip(times.tolist(), (EXTERNAL + lines).tolist(), strict=True)) for times, lines in inputs]
    seeds = [10 + k for k in range(len(fabrics))]
    expected, lost = simulate_setup(wired, seeds, events, connections, latency_us, 40.0)
    assert sum(chip.lost_events for chip in recording.chips) == lost
    speakers = {tuple(pair) for pair in connections[:, :2].tolist()}
    for k, source in speakers:
        chip = recording.chips[k]
        found = np.sort(chip.analogue_times_us[chip.circuits == source])
        wanted = [time for time, chip_number, spiking in expected if (chip_number, spiking) == (k, source)]
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-9)


def test_random_setups_are_worth_the_comparison():
    forwarded = [run_setup(*random_setup(seed)).forwarded_events.sum() for seed in range(15)]
    assert np.median(forwarded) > 20


# --- what must not change a bit


def as_bytes(recording):
    arrays = ("ticks", "circuits", "analogue_times_us", "passed_events", "dropped_events")
    return [
        *(getattr(chip, name).tobytes() for chip in recording.chips for name in arrays),
        *((chip.link_drops, chip.lost_events) for chip in recording.chips),
        *(events.sum() for events in (recording.dropped_up, recording.dropped_down, recording.forwarded_events)),
    ]


CROWDED = dataclasses.replace(
    EXACT, noise=NOISY, event_path=EventPathConfig(slot_ns=400.0, fifo_depth=0, l2_slot_ns=400.0, l2_fifo_depth=0)
)
NARROW = AggregatorConfig(slot_ns=300.0, fifo_depth=1)


@pytest.mark.parametrize(("config", "aggregator"), [(EXACT, None), (CROWDED, NARROW)], ids=["open", "crowded"])
def test_windows_chip_order_and_repetition_do_not_change_a_bit(config, aggregator, monkeypatch):
    network = recurrent_network(5)
    assignment = {"neurons": np.arange(24) % 3}
    recording = run_split(network, assignment, config, aggregator)[2]
    if aggregator is not None:
        assert recording.dropped_up.sum() > 5
        assert recording.dropped_down.sum() > 5
        assert sum(chip.dropped_events.sum() for chip in recording.chips) > 5
    expected = as_bytes(recording)
    assert as_bytes(run_split(network, assignment, config, aggregator)[2]) == expected
    for order in ([2, 0, 1], [1, 0, 2]):
        assert as_bytes(run_split(network, assignment, config, aggregator, order)[2]) == expected
    ticks = {0: Ppu(0.77, lambda *_: None), 2: Ppu(3.1, lambda *_: None)}
    assert as_bytes(run_split(network, assignment, config, aggregator, ppus=ticks)[2]) == expected
    for window_ns in (1298, 170):
        monkeypatch.setattr(multichip, "look_ahead_ns", lambda _, window_ns=window_ns: window_ns)
        assert as_bytes(run_split(network, assignment, config, aggregator)[2]) == expected


def test_a_window_longer_than_the_latency_would_be_wrong(monkeypatch):
    network, assignment = recurrent_network(5), {"neurons": np.arange(24) % 3}
    monkeypatch.setattr(multichip, "look_ahead_ns", lambda _: 5000)
    with pytest.raises(ChipError, match="events can't come before the end of the last window"):
        run_split(network, assignment, EXACT)


@pytest.mark.parametrize("latency_us", [0.01, 0.08, 1.1, 1.2999, 1.3, 2.2])
def test_window_is_just_below_the_latency(latency_us):
    assert 0.4 < latency_us * 1000 - multichip.look_ahead_ns(AggregatorConfig(latency_us=latency_us)) < 1.6


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), ends=st.lists(st.floats(0.0, 60.0), max_size=8))
def test_a_session_in_windows_is_a_run(seed, ends):
    config, fabric, times, lines = crowded_run(seed)
    generators = dict(
        background_enabled=np.arange(8) < 2,
        background_period=np.full(8, 300),
        background_poisson=np.arange(8) == 1,
        background_rate=np.full(8, 100),
    )
    fabric = dataclasses.replace(fabric, **generators)
    whole, chip = (Chip(config, serial=3, seed=4) for _ in range(2))
    whole.write(fabric)
    expected = whole.run(times, lines, 60.0, 0)
    chip.write(fabric)
    # The first events are known from the start, the others only when their window begins.
    ends = sorted({*ends, 15.0})
    cycles = np.floor(times * 125 + 1e-6) / 125
    early = cycles < 15.0
    session = chip.begin(times[early], lines[early], 60.0, 0)
    left = []
    for begin, end in pairwise([0.0, *ends, math.inf]):
        coming = ~early & (cycles >= begin) & (cycles < end)
        session.receive(cycles[coming], lines[coming])
        left.append(session.advance(end))
        assert np.all(left[-1][0] >= begin)
    recording = session.finish(whole.timeline)
    for name in ("ticks", "circuits", "analogue_times_us", "passed_events", "dropped_events"):
        np.testing.assert_array_equal(getattr(recording, name), getattr(expected, name))
    assert (recording.link_drops, recording.lost_events) == (expected.link_drops, expected.lost_events)
    leaving = np.concatenate([when for when, _ in left])
    assert np.all(np.diff(leaving) >= 0.0)
    assert leaving.size == recording.ticks.size


@settings(deadline=None, max_examples=300)
@given(
    cycles=st.lists(st.integers(0, 30), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    per_cycle=st.integers(1, 3),
    depth=st.integers(0, 5),
)
@example(cycles=[0, 0, 5, 5, 5, 6], cuts=[3, 5], per_cycle=1, depth=0)  # a piece of which all is lost
def test_a_link_packed_in_pieces_is_packed_the_same(cycles, cuts, per_cycle, depth):
    cycles = np.sort(np.array(cycles, dtype=np.int64))
    expected = np.empty_like(cycles)
    pack(cycles, per_cycle, depth, expected)
    link = PackLink(per_cycle, depth)
    found = [link.send(piece) for piece in np.split(cycles, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(found), expected)


# --- node links

ONE_SPIKE = dataclasses.replace(EXACT, refractory_us=100.0, synaptic_gain=1.0)


def simpy_link(times, slot, depth):
    """One process that serves, one that brings events to a bounded store."""
    env = simpy.Environment()
    store, sent = simpy.Store(env), {}
    busy = [False]

    def source():
        for number, time in enumerate(times):
            yield env.timeout(time - env.now)
            if not busy[0] or len(store.items) < depth:
                busy[0] = True
                store.put(number)

    def server():
        while True:
            number = yield store.get()
            sent[number] = env.now
            yield env.timeout(slot)
            busy[0] = len(store.items) > 0

    env.process(server())
    env.process(source())
    env.run(until=max(times, default=0) + slot * (len(times) + 1) + 1)
    return [sent.get(number, math.inf) for number in range(len(times))]


@settings(deadline=None, max_examples=40)
@given(
    gaps=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    slot=st.integers(1, 60),
    depth=st.integers(0, 4),
    cut=st.integers(0, 40),
)
def test_event_link_equals_simpy(gaps, slot, depth, cut):
    # Times in units of which the link's slot is an odd number, so that no event comes just when a slot ends.
    times = 2.0 * np.cumsum(gaps)
    slot = 2.0 * slot + 2.0**-10
    link = EventLink(slot, depth)
    sent = np.concatenate([link.send(times[:cut]), link.send(times[cut:])])
    expected = simpy_link(times.tolist(), slot, depth)
    np.testing.assert_array_equal(sent, expected)
    assert link.dropped == np.sum(np.isinf(expected))


def loop_back(n_lines):
    """All lines of the first channel go straight back to the host."""
    memory = {entry.name: getattr(Fabric.empty(), entry.name).copy() for entry in dataclasses.fields(Fabric)}
    memory["crossbar_enabled"][FIRST_L2_INPUT, FIRST_L2_OUTPUT] = True
    memory["external_label"] = np.arange(n_lines)
    assert n_lines < 2**LABEL_BITS
    return Fabric(**memory)


def burst_setup(aggregator, n=10, n_listeners=1):
    """All neurons of chip 0 spike at once; the other chips send back what they get."""
    inputs, neurons = External("input", 8), Population("neurons", n)
    placement = place([inputs, neurons], [Projection(inputs, neurons, np.full((8, n), 63))])
    setup = Setup(make_chips(ONE_SPIKE, 1 + n_listeners), aggregator)
    circuits = placement.neurons["neurons"][:, 0]
    connections = [(0, circuit, k, line) for k in range(1, n_listeners + 1) for line, circuit in enumerate(circuits)]
    setup.write([placement.fabric, *[loop_back(n)] * n_listeners], np.array(connections))
    empty = [[]] * n_listeners
    recording = setup.run([np.zeros(8), *empty], [np.arange(8), *empty], 20.0, 0)
    (spike,) = np.unique(recording.chips[0].analogue_times_us)
    return setup, recording, spike, circuits


def test_latency_and_time_stamps():
    setup, recording, spike, _ = burst_setup(None, n_listeners=2)
    for chip in recording.chips[1:]:
        np.testing.assert_allclose(chip.analogue_times_us, np.full(10, spike + LATENCY_US), rtol=1e-15)
        np.testing.assert_array_equal(chip.ticks, math.floor((spike + LATENCY_US) * 125))
        np.testing.assert_array_equal(np.sort(chip.circuits), EXTERNAL + np.arange(10))
    assert recording.forwarded_events.tolist() == [0, 10, 10]
    assert setup.account.recorded_events == 30


def test_a_burst_waits_at_the_node_link_and_the_rest_is_lost():
    # One goes at once, 4 wait, 5 are lost on the way up; on the way down one per slot comes, so that none waits.
    setup, recording, spike, circuits = burst_setup(AggregatorConfig(slot_ns=100.0, fifo_depth=4))
    np.testing.assert_allclose(recording.chips[1].analogue_times_us, spike + LATENCY_US + 0.1 * np.arange(5))
    # Events of one time go by circuit.
    lines = np.argsort(circuits)[:5]
    np.testing.assert_array_equal(recording.chips[1].circuits, EXTERNAL + lines)
    assert recording.dropped_up.tolist() == [5, 0]
    assert recording.dropped_down.tolist() == [0, 0]
    assert setup.account.dropped_events == 5
    assert [chip.account.dropped_events for chip in setup.chips] == [0, 0]
    assert recording.chips[0].ticks.size == 10  # the host sees them all


def test_links_down_are_shared_by_all_senders():
    # Three chips send a spike to two lines each of the fourth, at one time: one goes, two wait, three are lost.
    inputs, neuron = External("input", 8), Population("neuron", 1)
    placement = place([inputs, neuron], [Projection(inputs, neuron, np.full((8, 1), 63))])
    setup = Setup(make_chips(ONE_SPIKE, 4), AggregatorConfig(slot_ns=200.0, fifo_depth=2))
    (circuit,) = placement.neurons["neuron"][:, 0]
    connections = [(k, circuit, 3, line) for k, lines in enumerate([(5, 0), (1, 3), (4, 2)]) for line in lines]
    setup.write([placement.fabric] * 3 + [loop_back(6)], np.array(connections))
    recording = setup.run([np.zeros(8)] * 3 + [[]], [np.arange(8)] * 3 + [[]], 20.0, 0)
    (spike,) = recording.chips[0].analogue_times_us
    assert recording.dropped_down.tolist() == [0, 0, 0, 3]
    assert recording.dropped_up.sum() == 0
    np.testing.assert_allclose(recording.chips[3].analogue_times_us, spike + LATENCY_US + 0.2 * np.arange(3))
    np.testing.assert_array_equal(recording.chips[3].circuits, EXTERNAL + np.arange(3))  # the lowest line goes first


# --- phases and accounts


def test_real_time_starts_together():
    slow = LinkConfig(bandwidth_mbit_s=100.0, latency_us=10.0, settle_us=100.0)
    quick = LinkConfig(bandwidth_mbit_s=1000.0, latency_us=10.0, settle_us=100.0)
    setup = Setup([Chip(dataclasses.replace(EXACT, link=link), 1, k) for k, link in enumerate((slow, quick))])
    setup.write([loop_back(1)] * 2, np.zeros((0, 4), dtype=int))
    setup.run([[1.0, 2.0], [3.0]], [[0, 0], [0]], 10.0, 0)
    setup.run([[1.0, 2.0], [3.0]], [[0, 0], [0]], 10.0, 1)
    assert setup.chips[0].timeline == (
        Phase("upload", 0, 11_280),  # 2 words of 64 bits at 100 Mbit/s, and the flight
        Phase("real-time", 11_280, 21_280),
        Phase("read-back", 21_280, 32_560),
    )
    assert setup.chips[1].timeline == (
        Phase("upload", 0, 10_064),
        Phase("wait", 10_064, 11_280),
        Phase("real-time", 11_280, 21_280),
        Phase("read-back", 21_280, 31_344),
    )
    total = setup.account
    assert (total.runs, total.real_time_us, total.input_events, total.recorded_events) == (4, 40.0, 6, 6)
    for name in ("configuration_ns", "upload_ns", "readback_ns", "words_written"):
        assert getattr(total, name) == sum(getattr(chip.account, name) for chip in setup.chips) > 0


def test_background_events_are_not_sent_by_the_host():
    generator, neurons = Background("noise", 1, period=125, poisson=False), Population("neurons", 1)
    placement = place([generator, neurons], [Projection(generator, neurons, [[63]])])
    chip = Chip(EXACT, 1, 1)
    chip.write(placement.fabric)
    recording = chip.run([], [], 50.0, 0)
    assert recording.passed_events[:FIRST_L2_OUTPUT].sum() >= 50  # one per us
    assert chip.account.input_events == 0


# --- plasticity processor


def one_neuron_setup(config=EXACT, n_inputs=1, weight=20, n=1):
    inputs, neurons = External("input", n_inputs), Population("neurons", n)
    placement = place([inputs, neurons], [Projection(inputs, neurons, np.full((n_inputs, n), weight))])
    setup = Setup([Chip(config, 1, 1)])
    setup.write([placement.fabric], np.zeros((0, 4), dtype=int))
    return setup, placement


@pytest.mark.parametrize("lockstep", [False, True])
def test_a_rewritten_weight_holds_from_the_update_on(lockstep, monkeypatch):
    # Lockstep is decided when the network is assembled, even if an update removes or adds most synapses.
    monkeypatch.setattr(assembly, "LOCKSTEP_NEURONS", 1)
    monkeypatch.setattr(assembly, "LOCKSTEP_DENSITY", (0.0, 0.0) if lockstep else (2.0, 2.0))
    config = dataclasses.replace(EXACT, threshold_lsb=250.0, saturation=None)
    setup, placement = one_neuron_setup(config, weight=20, n=2)
    assert setup.chips[0].network.lockstep == lockstep
    monkeypatch.setattr(assembly, "LOCKSTEP_DENSITY", (2.0, 2.0) if lockstep else (0.0, 0.0))
    weights = iter([50, 0])
    seen = []

    def update(time_us, counts, overflow, weight):
        seen.append(time_us)
        weight[weight > 0] = next(weights)
        return weight

    probe = Probe(placement.neurons["neurons"][:, 0], [1.0, 9.0, 11.0, 19.0, 21.0, 29.0])
    times = [0.5, 10.0, 20.0]  # that at the very time of the update comes after it
    recording = setup.run([times], [[0, 0, 0]], 29.5, 0, {0: probe}, {0: Ppu(10.0, update)})
    assert seen == [10.0, 20.0]
    sampled = np.array([1.0, 9.0, 11.0, 19.0, 21.0, 29.0])
    expected = np.full(6, 80.0)
    for time, weight in zip(times, [20, 50, 0], strict=True):
        s = np.maximum(sampled - time, 0.0)
        expected += config.synaptic_gain * weight * s * np.exp(-s / 6.0)
    np.testing.assert_allclose(recording.chips[0].membrane_lsb, np.tile(expected, (2, 1)), rtol=1e-12)
    assert not setup.chips[0].fabric.weight.any()  # they stay after the run


def test_counters_count_since_the_last_update_and_overflow():
    config = ChipConfig(leak_lsb=250.0, reset_lsb=80.0, threshold_lsb=81.0, refractory_us=0.096)
    setup, placement = one_neuron_setup(config, weight=0)
    circuit = placement.neurons["neurons"][0, 0]
    period = 0.096 + 6.0 * math.log(170.0 / 169.0)
    found = []

    def update(time_us, counts, overflow, weight):
        assert counts.sum() == counts[circuit]
        found.append((time_us, counts[circuit], overflow[circuit]))

    setup.run([[]], [[]], 100.0, 0, ppus={0: Ppu(30.0, update)})
    total = [math.ceil((time + 0.096) / period) - 1 for time in (0, 30.0, 60.0, 90.0)]
    numbers = np.diff(total)
    assert 200 < numbers.min() <= numbers.max() < 256
    assert found == [(30.0 * (k + 1), numbers[k], False) for k in range(3)]
    found.clear()
    setup.run([[]], [[]], 100.0, 1, ppus={0: Ppu(60.0, update)})
    assert found == [(60.0, total[2] % 256, True)]


@pytest.mark.parametrize("start", [8, 60])
def test_homeostasis_of_a_firing_rate(start):
    """Each neuron strengthens its synapses if it spiked less than the target since the last update, and vice versa."""
    config = dataclasses.replace(EXACT, noise=NOISY)
    setup, placement = one_neuron_setup(config, n_inputs=8, weight=start, n=4)
    circuits = placement.neurons["neurons"][:, 0]
    half, column = circuits // 256, circuits % 256
    target, history = 20, []

    def update(time_us, counts, overflow, weight):
        history.append(counts[circuits])
        for h, c, count in zip(half, column, counts[circuits], strict=True):
            used = weight[h, :, c] > 0
            weight[h, used, c] = np.clip(weight[h, used, c] + np.sign(target - count), 1, 63)
        return weight

    rng = np.random.default_rng(7)
    duration = 20_000.0
    times, lines = rng.uniform(0.0, duration, 8000), rng.integers(0, 8, 8000)  # 0.4 events per us
    setup.run([times], [lines], duration, 0, ppus={0: Ppu(200.0, update)})
    assert len(history) == 99
    first, last = np.array(history[:2]), np.array(history[-40:])
    assert np.all(np.abs(first.mean(axis=0) - target) > 5)
    assert np.all(np.abs(last.mean(axis=0) - target) < 2)


# --- splitting


def test_inputs_go_to_all_chips_that_listen_and_delays_stand_at_the_target():
    inputs, left, right = External("input", 3), Population("left", 2, recorded=False), Population("right", 2)
    registers = [50, 60]
    projections = [
        Projection(inputs, left, np.full((3, 2), 63)),
        Projection(inputs, right, np.zeros((3, 2), dtype=int)),
        Projection(left, right, np.full((2, 2), 63), registers),
    ]
    parts = split([inputs, left, right], projections, {"left": 0, "right": 1})
    assert [sorted(placement.lines) for placement in parts.placements] == [["input"], ["input", "left from chip 0"]]
    assert parts.placements[0].fabric.delay_register.sum() == 0
    assert sorted(parts.placements[1].fabric.delay_register[parts.placements[1].fabric.delay_register > 0]) == registers
    setup = Setup(make_chips(ONE_SPIKE, 2))
    setup.write([placement.fabric for placement in parts.placements], parts.connections)
    recording = setup.run(*parts.events({"input": (np.zeros(3), np.arange(3))}), 40.0, 0)
    _, who, spikes = parts.spikes(recording, "left")
    assert who.tolist() == [0, 1]
    outputs = parts.placements[1].delays[-1]
    for k in range(2):
        fired = recording.chips[1].analogue_times_us[recording.chips[1].circuits == outputs[k]]
        np.testing.assert_allclose(fired, [spikes[k] + LATENCY_US + registers[k] / 8 + 2])


def test_placement_errors_name_the_chip():
    inputs, left, right = External("input", 129), Population("left", 2), Population("right", 256)
    signed = np.where(np.arange(256) % 2, 1, -1) * np.ones((129, 1), dtype=int)
    projections = [Projection(inputs, right, signed), Projection(right, left, np.ones((256, 2), dtype=int))]
    with pytest.raises(PlacementError) as error:
        place([inputs, right], projections[:1])
    with pytest.raises(PlacementError) as located:
        split([inputs, left, right], projections, {"left": 0, "right": 1})
    assert located.value.rule == error.value.rule is not None
    assert str(located.value) == f"chip 1: {error.value}"


INPUT, LEFT, RIGHT, NOISE = External("input", 2), Population("left", 2), Population("right", 2), Background("n", 1, 99)
ONES = np.ones((2, 2), dtype=int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: split([INPUT, LEFT, RIGHT], [], {"left": 0}),
            "assignment has no entry for 'right'; give its chip",
        ),
        (
            lambda: split([INPUT, LEFT], [], {"left": [0, 1, 1]}),
            "assignment['left'] has shape (3,); expected () or (2,); give the number of a chip, or one for each neuron",
        ),
        (
            lambda: split([NOISE, LEFT, RIGHT], [Projection(NOISE, RIGHT, [[1, 1]])], {"n": 0, "left": 0, "right": 1}),
            "projections[0] leads from background generator 'n' on chip 0 to chip 1; a generator's events stay on its "
            "chip: give each chip one of its own, perhaps with the same seed",
        ),
        (
            lambda: split([LEFT], [Projection(LEFT, RIGHT, ONES)], {"left": 0}),
            "projections[0] leads from 'left' to 'right'; give both to split(), and let it end at a Population",
        ),
        (
            lambda: split([LEFT, LEFT], [], {"left": 0}),
            "two populations have the same name; give each a name of its own",
        ),
        (
            lambda: split([LEFT, RIGHT], [Projection(LEFT, RIGHT, ONES[:1])], {"left": 0, "right": 1}),
            "projections[0].weights has shape (1, 2); expected (2, 2); give integers",
        ),
        (
            lambda: split([LEFT, RIGHT], [], {"left": 0, "right": 2}),
            "chip 1: the network has no Population; give at least one",
        ),
        (
            lambda: split([INPUT, LEFT], [Projection(INPUT, LEFT, ONES)], {"left": 0}).events({"inputs": ([], [])}),
            "'inputs' is no External that a projection starts from; check the name",
        ),
        (
            lambda: split([INPUT, LEFT], [Projection(INPUT, LEFT, ONES)], {"left": 0}).events({"input": ([1.0], [2])}),
            "indices of 'input'[0] = 2 is outside 0..1; give the time in us and the index of the input of each event",
        ),
        (
            lambda: Setup([]),
            "setup.chips holds 0 chips, the aggregator has 12 node links; give at least one chip, or raise "
            "aggregator.node_links",
        ),
        (
            lambda: Setup([Chip(EXACT, 1, 1)] * 2),
            "setup.chips holds one chip twice; make a Chip for each place",
        ),
        (
            lambda: Setup(make_chips(EXACT, 1)).write([], []),
            "setup.fabrics holds 0 for 1 chips; give one per chip",
        ),
        (
            lambda: Setup(make_chips(EXACT, 1)).write([loop_back(1)], [0.5]),
            "setup.connections is of type float64, not integers; give four integers each: from chip, circuit,"
            " to chip, external line",
        ),
        (
            lambda: Setup(make_chips(EXACT, 1)).write([loop_back(1)], [[0, 3, 0, 1]]),
            "setup.connections[0] = 1 is outside 0..0; name an external line of chip 0",
        ),
        (
            lambda: Setup(make_chips(EXACT, 1)).write([loop_back(1)], [[0, 3, 1, 0]]),
            "setup.connections[0] = 1 is outside 0..0; name a chip of this setup",
        ),
        (
            lambda: Setup(make_chips(EXACT, 1)).write([loop_back(1)], [[0, 3, 0, 0]]),
            "setup.connections[0]: spikes of circuit 3 don't leave chip 0; let its population be recorded",
        ),
        (
            lambda: one_neuron_setup()[0].run([], [], 1.0, 0),
            "setup.times_us and setup.lines are for 0 and 0 chips; give input events, or empty lists, for each of 1 "
            "chips",
        ),
        (
            lambda: one_neuron_setup()[0].run([[]], [[]], 1.0, 0, ppus={1: Ppu(1.0, lambda *_: None)}),
            "setup.probes, ppus = 1 is outside 0..0; name a chip of this setup",
        ),
        (
            lambda: AggregatorConfig(latency_us=0.0),
            "aggregator.latency_us = 0 us is outside 0.01..1e+06 us; chips can't be connected without any",
        ),
        (
            lambda: Ppu(0.0, lambda *_: None),
            "ppu.period_us = 0 us is outside 0.1..1e+09 us; give the time from update to update",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message


def test_a_ppu_that_writes_nonsense_is_told():
    setup, _ = one_neuron_setup()
    with pytest.raises(PlacementError, match=r"fabric.weight\[.*\] = 84 is outside 0..63"):
        setup.run([[]], [[]], 2.0, 0, ppus={0: Ppu(1.0, lambda *state: state[3] + 64)})


# --- relaying between runs


def test_relayed_spikes_come_after_their_delay():
    setup, placement = one_neuron_setup(ChipConfig(refractory_us=2.0, synaptic_gain=0.6), n_inputs=2, weight=63)
    chip, circuit = setup.chips[0], int(placement.neurons["neurons"][0, 0])
    first = chip.run([0.0, 0.0, 30.0, 30.0], [0, 1, 0, 1], 60.0, 0)
    assert first.ticks.size >= 2
    times, lines = relay(first, {circuit: [(1, 100), (0, 0)], 7: [(1, 5)]})
    np.testing.assert_array_equal(times, np.sort(np.concatenate([first.ticks, first.ticks + 100])) / 125)
    np.testing.assert_array_equal(times[lines == 1], (first.ticks + 100) / 125)
    # The FPGA plays them in just these cycles.
    echo = Chip(ChipConfig(), 1, 1)
    echo.write(loop_back(2))
    np.testing.assert_array_equal(echo.run(times, lines, 100.0, 1).ticks, np.round(times * 125))
    assert relay(first, {})[0].size == 0


@pytest.mark.parametrize("delay", [-1, 2.5])
def test_relay_refuses_other_delays(delay):
    recording = one_neuron_setup()[0].run([[]], [[]], 1.0, 0).chips[0]
    with pytest.raises(ChipError, match=r"relay.table\[3\] to line 1 = .*; give a delay in whole cycles"):
        relay(recording, {3: [(1, delay)]})
