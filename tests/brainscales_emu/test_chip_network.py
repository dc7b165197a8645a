"""The PyNN-like face: what a network becomes on the chip, what comes back, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
from nest_oracle import ORACLE, chip_config
from scipy import stats

from brainscales_emu import ChipConfig, ChipError, EventPathConfig, PlacementError, preset
from brainscales_emu.cells import SpikeSourceArray, SpikeSourcePoisson, SpikeSourcePoissonOnChip
from brainscales_emu.chip import Chip
from brainscales_emu.network import AllToAll, EventsLost, FixedProbability, Network, Neuron, OneToOne
from brainscales_emu.readout.adc import MADC_PERIOD_US, Cadc, CadcConfig, Madc, MadcConfig
from brainscales_emu.routing.delivery import check
from brainscales_emu.routing.placement import Background, External
from brainscales_emu.routing.placement import Population as PlacedPopulation
from brainscales_emu.routing.placement import Projection as PlacedProjection

# One event of weight 63 makes a neuron spike, once.
QUIET = ChipConfig(tau_mem_us=2.0, tau_syn_exc_us=0.5, synaptic_gain=10.0, refractory_us=5.0)


def network(config=QUIET, serial=3, seed=1, **arguments):
    return Network(Chip(config, serial, seed), **arguments)


@pytest.mark.parametrize("name", ORACLE["cases"])
def test_every_spike_of_nest_on_the_routed_chip(name):
    case = ORACLE["cases"][name]
    net = network(chip_config(case))
    trains = [np.array(train) + ORACLE["delay_ms"] for train in case["input_times_ms"]]
    inputs = net.Population(ORACLE["n_in"], SpikeSourceArray(trains))
    neurons = net.Population(ORACLE["n_out"])
    net.Projection(inputs, neurons, AllToAll(), weight=np.array(case["weights_lsb"]))
    net.record(neurons, "spikes")
    result = net.run(until_us=ORACLE["t_sim_ms"])
    assert result.beyond == ("input events between the cycles of the FPGA",)
    circuits = net.placement.neurons[neurons.label][:, 0]
    for circuit, stamps, expected in zip(circuits, net.spikes(neurons), case["spikes_ms"], strict=True):
        found = result.recording.analogue_times_us[result.recording.circuits == circuit]
        assert found.size == len(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        np.testing.assert_allclose(stamps, np.floor(np.array(expected) / 0.008 + 1e-6) * 0.008, rtol=1e-12)


def test_the_oracle_has_345_spikes():
    assert sum(len(train) for case in ORACLE["cases"].values() for train in case["spikes_ms"]) == 345


def test_docstring_of_the_module():
    net = Network(Chip(preset("calibrated"), serial=7, seed=1))
    stimulus = net.Population(3, SpikeSourceArray(times_us=[5.0, 6.0, 7.0]))
    neurons = net.Population(8, label="neurons")
    net.Projection(stimulus, neurons, AllToAll(), weight=63, receptor_type="excitatory")
    net.record(neurons, ["spikes", "v"])
    net.run(until_us=100.0)
    assert [train.size for train in net.spikes(neurons)] == [1] * 8
    times_us, readings = net.v(neurons)
    assert readings.shape == (8, times_us.size) and times_us.size == 59  # every 1.7 us
    assert readings.min() >= 0 and readings.max() <= 255


def matrix(net, pre, post, *arguments, **named):
    return net.Projection(pre, post, *arguments, **named).weight


def test_connectors():
    net = network()
    a, b, c = net.Population(4, SpikeSourceArray([])), net.Population(4), net.Population(3)
    np.testing.assert_array_equal(matrix(net, a, b, AllToAll(), weight=5), np.full((4, 4), 5))
    np.testing.assert_array_equal(matrix(net, a, b, OneToOne(), weight=-7), -7 * np.eye(4))
    np.testing.assert_array_equal(matrix(net, b, b, AllToAll(False), weight=5), 5 - 5 * np.eye(4))
    np.testing.assert_array_equal(matrix(net, b, b, FixedProbability(1.0, 1, False), weight=5), 5 - 5 * np.eye(4))
    np.testing.assert_array_equal(matrix(net, a, b, AllToAll(False), weight=5), np.full((4, 4), 5))
    weights = np.arange(12).reshape(4, 3) - 6
    np.testing.assert_array_equal(matrix(net, b, c, weight=weights), weights)
    np.testing.assert_array_equal(
        matrix(net, b, b, OneToOne(), weight=np.arange(16).reshape(4, 4)).diagonal(), [0, 5, 10, 15]
    )
    np.testing.assert_array_equal(matrix(net, b, c, weight=9, receptor_type="inhibitory"), np.full((4, 3), -9))
    np.testing.assert_array_equal(matrix(net, b, c, weight=-9, receptor_type="inhibitory"), np.full((4, 3), -9))
    np.testing.assert_array_equal(matrix(net, b, c, weight=9, receptor_type="excitatory"), np.full((4, 3), 9))


def test_fixed_probability():
    net = network()
    a, b = net.Population(200, SpikeSourceArray([])), net.Population(200)
    first, again, other = (matrix(net, a, b, FixedProbability(0.3, seed), weight=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    n = first.size
    assert stats.binomtest(int(first.sum()), n, 0.3).pvalue > 1e-6
    assert stats.binomtest(int(first.sum()), n, 0.3 * 1.05).pvalue < 1e-6  # 5 % wrong is seen
    assert stats.binomtest(int(np.sum(first * other)), n, 0.09).pvalue > 1e-6  # independent


def test_the_chip_delivers_the_projections():
    net = network()
    inputs = net.Population(3, SpikeSourceArray([]), label="in")
    a, b = net.Population(5, label="a"), net.Population(4, Neuron(circuits=2), label="b")
    noise = net.Population(4, SpikeSourcePoissonOnChip(50.0, 1), label="noise")
    for pre, post, connector, weight in (
        (inputs, a, AllToAll(), 200),
        (a, b, FixedProbability(0.5, 1), -63),
        (a, a, AllToAll(False), -20),
        (noise, b, OneToOne(), 30),
    ):
        net.Projection(pre, post, connector, weight=weight)
    net.record(a, "spikes")
    placed = {"a": PlacedPopulation("a", 5), "b": PlacedPopulation("b", 4, 2, recorded=False)}
    cells = {"in": External("in", 3), "noise": Background("noise", 4, 1), **placed}
    projections = [PlacedProjection(cells[p.pre.label], cells[p.post.label], p.weight) for p in net.projections]
    check(net.placement, projections)  # by brute force
    assert net.placement.neurons["b"].shape == (4, 2)


def test_delay_elements():
    config = dataclasses.replace(QUIET, event_latency_us=0.0)
    net = network(config)
    inputs = net.Population(3, SpikeSourceArray([[1.0], [2.0], [3.0]]))
    direct, delayed = net.Population(3), net.Population(3)
    net.Projection(inputs, direct, OneToOne())
    net.Projection(inputs, delayed, OneToOne(), delay_us=[8.25, 20.0, 33.25])
    for population in (direct, delayed):
        net.record(population, "spikes")
    result = net.run(60.0)
    assert result.beyond == () and result.busy_delays == 0
    shift = np.concatenate(net.spikes(delayed)) - np.concatenate(net.spikes(direct))
    np.testing.assert_allclose(shift, [8.25, 20.0, 33.25], rtol=0, atol=0.0081)  # one 8 ns stamp


def test_delays_beyond_the_chip():
    net = network(delays="beyond")
    inputs, neurons = net.Population(2, SpikeSourceArray([[1.0], [20.0]])), net.Population(3)
    delay_us = np.array([[0.0, 0.3, 7.1], [100.0, 1.234567, 0.0]])
    net.Projection(inputs, neurons, AllToAll(), delay_us=delay_us)
    net.record(neurons, "spikes")
    result = net.run(200.0)
    assert result.beyond == ("a delay of its own in each synapse",)
    exact = [
        result.recording.analogue_times_us[result.recording.circuits == circuit]
        for circuit in net.placement.neurons[neurons.label][:, 0]
    ]
    rise_us = exact[0][0] - 1.0
    for neuron in range(3):
        expected = np.sort(np.array([1.0, 20.0]) + delay_us[:, neuron]) + rise_us
        np.testing.assert_allclose(exact[neuron], expected, atol=2e-3)  # the first event's last trace is in the second


def test_v_is_what_the_converters_make_of_the_analytic_membrane():
    config = preset("ideal")
    cadc, madc = Cadc(CadcConfig(noise_std_lsb=0.0, offset_std_lsb=0.0), 3, 1), Madc(MadcConfig(noise_std_lsb=0.0), 1)
    net = network(config, cadc=cadc, madc=madc)
    inputs, a, b = net.Population(1, SpikeSourceArray([4.0])), net.Population(5), net.Population(1)
    weights = np.array([[63, -63, 20, 0, 40]])
    net.Projection(inputs, a, weight=weights)
    net.Projection(inputs, b, weight=50)
    net.record(a, "v", neurons=[4, 1])
    net.record(b, "v", device="madc")
    net.run(40.0)

    def membrane(times_us, weight):
        s = np.maximum(times_us - 4.0, 0.0)  # tau_mem = tau_syn
        return 80.0 + config.synaptic_gain * weight * s * np.exp(-s / 6.0)

    times_us, readings = net.v(a)
    np.testing.assert_allclose(times_us, 1.7 * np.arange(24), atol=1e-9)
    np.testing.assert_array_equal(readings, np.rint([membrane(times_us, 40), membrane(times_us, -63)]))
    times_us, readings = net.v(b)
    np.testing.assert_allclose(np.diff(times_us), MADC_PERIOD_US)
    expected = madc.config.zero_lsb + madc.config.lsb_per_cadc_lsb * membrane(times_us, 50)
    assert np.abs(readings[0] - expected).max() <= 0.5 + 1e-9
    assert readings[0].max() - readings[0].min() > 30  # a PSP is in it


def test_offsets_of_the_cadc_are_corrected():
    net = network(preset("ideal"))
    neurons = net.Population(256)
    net.record(neurons, "v")
    net.run(500.0)
    means = net.v(neurons)[1].mean(axis=1)
    assert np.std(means) < 1.0  # 10 LSB before; what remains is rounding and noise
    raw = Network(net.chip, cadc=Cadc(CadcConfig(), 3, 1))
    raw.record(raw.Population(256, label="n"), "v")
    raw.run(500.0)
    assert np.std(raw.v(raw.populations[0])[1].mean(axis=1)) > 5.0


def test_host_poisson_sources():
    net = network()
    rates = np.array([0.0, 100.0, 500.0])
    sources = net.Population(3, SpikeSourcePoisson(rates, start_us=100.0, stop_us=10_100.0))
    net.Population(1)
    net.run(20_000.0)
    first = net.spikes(sources)
    net.run(20_000.0)
    assert first[0].size == 0 and not np.array_equal(first[1], net.spikes(sources)[1])
    for train, rate in zip(first[1:], rates[1:], strict=True):
        assert train.min() >= 100.0 and train.max() <= 10_100.0 and np.all(np.diff(train) >= 0)
        assert stats.poisson.cdf(train.size, 10 * rate) > 1e-6 and stats.poisson.sf(train.size, 10 * rate) > 1e-6
        assert stats.kstest((train - 100.0) / 10_000.0, "uniform").pvalue > 1e-6
    again = network()
    twin = again.Population(3, SpikeSourcePoisson(rates, start_us=100.0, stop_us=10_100.0))
    again.Population(1)
    again.run(20_000.0)
    for train, expected in zip(again.spikes(twin), first, strict=True):
        np.testing.assert_array_equal(train, expected)


@pytest.mark.parametrize("rate_kHz", [0.05, 3.0, 77.7, 1000.0, 3000.0])
def test_poisson_sources_on_the_chip(rate_kHz):
    size = 4 if rate_kHz < 1000.0 else 1
    net = network()
    noise, neurons = net.Population(size, SpikeSourcePoissonOnChip(rate_kHz, seed=9)), net.Population(size)
    net.Projection(noise, neurons, OneToOne(), weight=1)
    period, rate = noise.cell.generator("noise", size)
    mean_rate_kHz = 125_000.0 / (period * 255 / rate)
    assert abs(mean_rate_kHz / (size * rate_kHz) - 1.0) <= 0.01
    fabric, generator = net.placement.fabric, net.placement.generators[noise.label]
    assert (fabric.background_period[generator], fabric.background_rate[generator]) == (period, rate)
    assert fabric.background_seed[generator] == 9 and fabric.background_poisson[generator]
    duration_us = 1e6 / mean_rate_kHz  # for 1000 events
    passed = net.run(duration_us).recording.passed_events[:8].sum()
    assert abs(passed - 1000) < 5.0 * math.sqrt(1000)


def test_noise_on_the_chip_reaches_its_neurons():
    net = network(QUIET)
    noise, neurons = net.Population(8, SpikeSourcePoissonOnChip(5.0, seed=1)), net.Population(8)
    net.Projection(noise, neurons, OneToOne())
    net.record(neurons, "spikes")
    net.run(20_000.0)
    counts = np.array([train.size for train in net.spikes(neurons)])
    assert stats.chisquare(counts).pvalue > 1e-6 and abs(counts.sum() / 800.0 - 1.0) < 0.2


def busy(net):
    inputs, neurons = net.Population(1, SpikeSourceArray([1.0, 2.0, 3.0])), net.Population(1)
    net.Projection(inputs, neurons, delay_us=10.0)


def crowded(net):
    inputs, neurons = net.Population(1, SpikeSourceArray([1.0] * 10)), net.Population(1)
    net.Projection(inputs, neurons)


def test_losses_are_told():
    net = network()
    busy(net)
    with pytest.warns(EventsLost) as warned:
        net.run(50.0)
    assert [str(entry.message) for entry in warned] == [
        "run 0 lost 2 events (2 met a busy delay element); spread them in time or over more sources"
    ]
    assert net.result.busy_delays == 2 and net.result.dropped_events == 0

    net = network(dataclasses.replace(QUIET, event_path=EventPathConfig(slot_ns=1000.0, fifo_depth=3)))
    crowded(net)
    with pytest.warns(EventsLost, match=r"run 0 lost 6 events \(6 met a full FIFO of the crossbar\)"):
        net.run(50.0)
    assert net.result.dropped_events == 6

    net = network(dataclasses.replace(QUIET, event_path=EventPathConfig(chip_to_fpga=1, l2_fifo_depth=0)))
    inputs, neurons = net.Population(1, SpikeSourceArray([1.0])), net.Population(64)
    net.Projection(inputs, neurons)
    net.record(neurons, "spikes")
    with pytest.warns(EventsLost, match="were lost on the link to the host"):
        result = net.run(10.0)
    assert result.link_drops > 0
    assert sum(train.size for train in net.spikes(neurons)) == 64 - result.link_drops - result.dropped_events


def test_nothing_lost_warns_of_nothing():
    net = network()
    inputs, neurons = net.Population(1, SpikeSourceArray([1.0])), net.Population(1)
    net.Projection(inputs, neurons)
    result = net.run(10.0)  # a warning would be an error here
    assert (result.dropped_events, result.link_drops, result.busy_delays, result.beyond) == (0, 0, 0, ())


def noisy_spikes(seed, runs=1):
    net = network(preset("calibrated"), seed=seed)
    inputs, neurons = net.Population(6, SpikeSourceArray([5.0, 30.0])), net.Population(4)
    net.Projection(inputs, neurons)
    net.record(neurons, ["spikes", "v"])
    return [(net.run(60.0), np.concatenate(net.spikes(neurons)), net.v(neurons)[1])[1:] for _ in range(runs)]


def test_equal_networks_have_equal_runs_and_each_run_its_noise():
    (first, v_first), (second, v_second) = noisy_spikes(1, runs=2)
    (again, v_again), _ = noisy_spikes(1, runs=2)
    ((other, v_other),) = noisy_spikes(2)
    assert first.size == 8
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(v_first, v_again)
    for spikes, v in ((second, v_second), (other, v_other)):
        assert not np.array_equal(first, spikes) and not np.array_equal(v_first, v)


def test_a_network_can_grow_between_runs_and_share_its_chip():
    net = network()
    inputs, a = net.Population(1, SpikeSourceArray([1.0])), net.Population(1)
    net.Projection(inputs, a)
    net.record(a, "spikes")
    net.run(10.0)
    other = Network(net.chip)
    other.Population(1)
    other.run(10.0)
    b = net.Population(1)
    net.Projection(a, b)
    net.record(b, "spikes")
    net.run(10.0)
    assert net.result.trial == 1
    assert net.spikes(a)[0].size == net.spikes(b)[0].size == 1
    assert net.spikes(b)[0][0] > net.spikes(a)[0][0] + QUIET.event_latency_us - 0.008


def test_excluded_circuits_stay_empty():
    full = network()
    population = full.Population(20)
    circuits = full.placement.neurons[population.label][:, 0]
    net = network(excluded=circuits[:3])
    population = net.Population(20)
    assert not set(net.placement.neurons[population.label][:, 0]) & set(circuits[:3])


def small():
    net = network()
    return net, net.Population(2, SpikeSourceArray([1.0]), label="in"), net.Population(3, label="out")


def project(*arguments, delays="hardware", **named):
    net = network(delays=delays)
    pre, post = net.Population(2, SpikeSourceArray([1.0]), label="in"), net.Population(3, label="out")
    return net.Projection(pre, post, *arguments, **named)


NAME = "projection 'in' to 'out'"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Network(QUIET), "network.chip is a ChipConfig; give a Chip(config, serial, seed)"),
        (lambda: network(delays="any"), "network.delays = 'any' is unknown; take hardware or beyond"),
        (
            lambda: network().Population(0),
            "population 'population 0'.size = 0 is outside 1..65536; give the number of neurons",
        ),
        (
            lambda: network().Population(3, "IF_curr_exp"),
            "population 'population 0'.cell is a str; give a Neuron or a spike source, and set time constants and "
            "potentials for the whole chip in its ChipConfig",
        ),
        (
            lambda: [net.Population(1, label="x") for net in [network()] for _ in range(2)],
            "two populations are called 'x'; give each a label of its own",
        ),
        (
            lambda: network().Population(3, SpikeSourceArray([[1.0], [2.0]]), label="in"),
            "population 'in'.times_us has 2 trains for 3 sources; give one per source, or one list of times for all",
        ),
        (
            lambda: network().Population(2, SpikeSourceArray([[1.0], [-2.0]]), label="in"),
            "population 'in'.times_us[1][0] = -2 us is outside 0..inf us; a run starts at 0 us: shift the "
            "times or leave the event out",
        ),
        (
            lambda: network().Population(2, SpikeSourceArray(5.0), label="in"),
            "population 'in'.times_us is a float; give a list of times",
        ),
        (
            lambda: network().Population(2, SpikeSourcePoisson(-1.0), label="in"),
            "population 'in'.rate_kHz = -1 kHz is outside 0..1e+06 kHz; give events per ms of chip time, one "
            "rate or one per source",
        ),
        (
            lambda: network().Population(2, SpikeSourcePoisson([1.0, 2.0, 3.0]), label="in"),
            "population 'in'.rate_kHz has shape (3,); expected () or (2,); give events per ms of chip time, "
            "one rate or one per source",
        ),
        (
            lambda: network().Population(2, SpikeSourcePoissonOnChip(1e5, 1), label="in"),
            "population 'in'.rate_kHz = 100000 kHz is outside 0.003739956347229515..62500 kHz; a generator makes "
            "0.00748..125000 kHz for all its sources together",
        ),
        (
            lambda: project(OneToOne()),
            f"{NAME}: OneToOne() needs populations of one size, these have 2 and 3; take "
            "AllToAll() with a matrix of weights",
        ),
        (
            lambda: project(np.ones((2, 3))),
            f"{NAME}: the connector is a ndarray; give AllToAll(), OneToOne() or FixedProbability(p_connect, seed), "
            "and a matrix as weight",
        ),
        (
            lambda: project(FixedProbability(1.5, 1)),
            f"{NAME}: p_connect = 1.5 is outside 0..1; give a probability",
        ),
        (
            lambda: project(weight=0.5),
            f"{NAME}: weight is of type float64, not integers; give whole LSB, one weight for all pairs or one each",
        ),
        (
            lambda: project(weight=-5, receptor_type="excitatory"),
            f"{NAME}: weight holds -5 LSB, but receptor_type is excitatory; drop one of the two",
        ),
        (
            lambda: project(weight=[[1, 1, -1], [1, 1, 1]], receptor_type="inhibitory"),
            f"{NAME}: weight has both signs, but receptor_type is inhibitory; drop receptor_type",
        ),
        (
            lambda: project(receptor_type="gaba"),
            f"{NAME}: receptor_type = 'gaba' is unknown; take excitatory or inhibitory",
        ),
        (
            lambda: project(delay_us=[1.0, 2.0, 3.0]),
            f"{NAME}: delay_us has shape (3,); expected () or (2,) or (2, 3); give one delay in us, one per "
            "source, or one per pair",
        ),
        (
            lambda: project(delay_us=-1.0, delays="beyond"),
            f"{NAME}: delay_us = -1 us is outside 0..1e+06 us; give one delay in us, one per source, or one per pair",
        ),
        (
            lambda: project(delay_us=[10.0, 7.1]),
            f"{NAME}: chip.delay[1] = 7.1 us is outside 8.25..33.25 us; change the delay or drop the delay element, "
            "or take delays='beyond', which no real chip can",
        ),
        (
            lambda: project(delay_us=40.0),
            f"{NAME}: chip.delay[0] = 40 us is outside 8.25..33.25 us; change the delay or drop the delay element, "
            "or take delays='beyond', which no real chip can",
        ),
        (
            lambda: project(delay_us=10.1),
            f"{NAME}: delay_us[0] = 10.1 us is not on the chip's grid of 0.125 us; take 10.125 us, or take "
            "delays='beyond', which no real chip can",
        ),
        (
            lambda: project(delay_us=[[10.0, 10.0, 11.0], [10.0, 10.0, 10.0]]),
            f"{NAME}: delay_us[0] differs from target to target, but a delay element delays a source for all its "
            "targets; give one delay per source, or take delays='beyond', which no real chip can",
        ),
        (lambda: small()[0].record(small()[2], "spikes"), "record: give a population of neurons of this network"),
        (
            lambda: [net.record(out, ["spikes", "w"]) for net, _, out in [small()]],
            "record: ['w'] can't be recorded; take 'spikes' or 'v'",
        ),
        (
            lambda: [net.record(out, "v", device="scope") for net, _, out in [small()]],
            "record: device = 'scope' is unknown; take cadc or madc",
        ),
        (
            lambda: [net.record(out, "v", neurons=[3]) for net, _, out in [small()]],
            "record: neurons of 'out'[0] = 3 is outside 0..2; number its neurons from 0",
        ),
        (lambda: small()[0].result, "the network hasn't run yet; call run(until_us)"),
        (lambda: [net.v(out) for net, _, out in [small()]], "the network hasn't run yet; call run(until_us)"),
        (
            lambda: [(net.run(5.0), net.spikes(out)) for net, _, out in [small()]],
            "'spikes' of 'out' wasn't recorded; call record(population, 'spikes') before run",
        ),
        (
            lambda: [net.Projection(inputs, inputs) for net, inputs, _ in [small()]],
            "projection: 'in' has no neurons; let the projection end at some",
        ),
        (
            lambda: [net.run(0.0) for net, *_ in [small()]],
            "network.until_us = 0 us is outside 0.001..1e+09 us; give the length of the run",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message


def test_populations_of_another_network_are_refused():
    net, _, out = small()
    with pytest.raises(ChipError, match="is no population of this network; add it here first"):
        net.Projection(small()[1], out)


def test_the_madc_watches_an_even_and_an_odd_circuit():
    net = network()
    neurons = net.Population(16)
    circuits = net.placement.neurons[neurons.label][:, 0]
    even, odd = np.flatnonzero(circuits % 2 == 0), np.flatnonzero(circuits % 2 == 1)
    net.record(neurons, "v", device="madc", neurons=[even[0], odd[0]])
    net.run(1.0)
    assert net.v(neurons)[1].shape == (2, 30)
    net.record(neurons, "v", device="madc", neurons=even[:2])
    with pytest.raises(ChipError, match="at most one even and one odd circuit"):
        net.run(1.0)


def test_placement_errors_pass_with_their_rule():
    net = network()
    inputs, neurons = net.Population(129, SpikeSourceArray([])), net.Population(256)
    net.Projection(inputs, neurons, weight=np.where(np.arange(256) % 2, 5, -5) * np.ones((129, 1), dtype=int))
    with pytest.raises(PlacementError) as error:
        net.run(10.0)
    assert error.value.rule in range(1, 10) and str(error.value).startswith(f"rule {error.value.rule}: ")
