"""Adaptation and upswing: the compiled and the readable neuron against scipy in physical units, quadrature, and the
closed form of the leaky integrate-and-fire neuron."""

import dataclasses
import functools
import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq
from test_engine import random_run

from brainscales_emu import ChipConfig, ChipError, EventPathConfig, place
from brainscales_emu.adex import AdexConfig, draw_adex_pattern
from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.engine import adex as engine
from brainscales_emu.engine.records import INPUT, OUTPUT, RECORD_FULL, ROUTE, ROW, SOURCE, SYNAPSE, Sampling, records
from brainscales_emu.engine.saturation import SATURATION
from brainscales_emu.mismatch import stream
from brainscales_emu.readable.adex import AdexNeuron
from brainscales_emu.readable.lif import LifNeuron, Membrane, first_crossing
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import Population
from brainscales_emu.stp import Plasticity

# No adaptation, no upswing; potentials above leak.
LIF = {
    "tau_mem_us": 10.0,
    "tau_syn_exc_us": 5.0,
    "tau_syn_inh_us": 8.0,
    "reset_lsb": 0.0,
    "threshold_lsb": 70.0,
    "refractory_us": 2.0,
    "a": 0.0,
    "w_leak_lsb": 0.0,
    "b_lsb": 0.0,
    "tau_w_us": 100.0,
    "delta_t_lsb": 0.0,
    "v_t_lsb": 40.0,
    "tolerance": 1e-12,
}

# Naud et al. (2008), Biological Cybernetics 99, as corrected by P. Mueller to match the figures:
# c_m pF, g_l nS, e_l mV, a nS, tau_w ms, b pA, v_r mV, i pA. V_T = -50 mV and Delta_T = 2 mV throughout.
PATTERNS = {
    "tonic": (200.0, 10.0, -70.0, 2.0, 30.0, 0.0, -58.0, 500.0),
    "adapting": (200.0, 12.0, -70.0, 2.0, 300.0, 60.0, -58.0, 500.0),
    "initial burst": (130.0, 18.0, -58.0, 4.0, 150.0, 120.0, -50.0, 400.0),
    "bursting": (200.0, 10.0, -58.0, 2.0, 120.0, 100.0, -46.0, 210.0),
    "delayed, accelerating": (200.0, 12.0, -70.0, -10.0, 300.0, 0.0, -58.0, 300.0),
    "delayed, bursting": (100.0, 10.0, -65.0, -10.0, 90.0, 30.0, -47.0, 110.0),
    "transient": (100.0, 10.0, -65.0, 10.0, 90.0, 100.0, -47.0, 180.0),
}
LSB_PER_MV = 2.5
THRESHOLD_MV = -30.0  # of the comparator, ten Delta_T over V_T
REFRACTORY = 0.5
DELAY_OUTPUT = 257  # circuit that a delay element's events come from
# 3 nA decaying within 5 ms, then inhibition, then a burst of five: ms, pA
PULSES = ((20.0, 3000.0), (60.0, -2000.0), *((100.0 + 3.0 * k, 900.0) for k in range(5)))


def in_lsb(name, tolerance=1e-9, driven=True):
    """A neuron of PATTERNS in the units of the emulator, ms as us; the current is part of the leak."""
    c_m, g_l, e_l, a, tau_w, b, v_r, current = PATTERNS[name]
    leak = e_l + current / g_l if driven else e_l
    return LIF | {
        "tau_mem_us": c_m / g_l,
        "reset_lsb": (v_r - leak) * LSB_PER_MV,
        "threshold_lsb": (THRESHOLD_MV - leak) * LSB_PER_MV,
        "refractory_us": REFRACTORY,
        "a": a / g_l,
        "w_leak_lsb": (e_l - leak) * LSB_PER_MV,
        "b_lsb": b / g_l * LSB_PER_MV,
        "tau_w_us": tau_w,
        "delta_t_lsb": 2.0 * LSB_PER_MV,
        "v_t_lsb": (-50.0 - leak) * LSB_PER_MV,
        "tolerance": tolerance,
    }


@functools.cache
def solved(name, until, pulses=(), driven=True):
    """Spike times in ms: C dV/dt = -g_l (V - E_l) + g_l Delta_T exp(...) - w + I, by scipy in physical units."""
    c_m, g_l, e_l, a, tau_w, b, v_r, current = PATTERNS[name]
    if not driven:
        current = 0.0

    def derivative(_, state, held=False):
        v, w, i_exc, i_inh = state
        upswing = g_l * 2.0 * math.exp(min((v + 50.0) / 2.0, 30.0))
        dv = (-g_l * (v - e_l) + upswing - w + current + i_exc - i_inh) / c_m
        return [0.0 if held else dv, (a * (v - e_l) - w) / tau_w, -i_exc / 5.0, -i_inh / 8.0]

    def crossing(_, state):
        return state[0] - THRESHOLD_MV

    crossing.terminal, crossing.direction = True, 1
    solver = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-10, "max_step": 0.5}
    leak = e_l + current / g_l
    time, state, released = 0.0, np.array([leak if leak < -50.0 else v_r, 0.0, 0.0, 0.0]), 0.0
    spikes = []
    for end, jump in (*pulses, (until, 0.0)):
        while time < end:
            if time < released:
                stop = min(released, end)
                state = solve_ivp(functools.partial(derivative, held=True), (time, stop), state, **solver).y[:, -1]
                time = stop
                continue
            solution = solve_ivp(derivative, (time, end), state, events=crossing, **solver)
            time, state = solution.t[-1], solution.y[:, -1].copy()
            assert solution.status >= 0
            if solution.status == 1:
                spikes.append(time)
                state[0], state[1], released = v_r, state[1] + b, time + REFRACTORY
        state[2] += max(jump, 0.0)
        state[3] += max(-jump, 0.0)
    return spikes


def network(neurons, synapses=(), latency=0.08, triggers=(), delays=(), noise=0.0):
    """Network of (source, neuron, jump) synapses and (source, element) triggers: a route and a row for each source."""
    n_sources = EXTERNAL + 20
    synapses, triggers = sorted(synapses, key=lambda s: s[0]), sorted(triggers)
    sources = records(n_sources + 1, SOURCE)
    sources["route"] = np.arange(n_sources + 1)
    sources["host_output"] = np.where(sources["route"] < EXTERNAL, 8, -1)
    routes, rows = records(n_sources + 1, ROUTE), records(n_sources + 1, ROW)
    routes["output"] = routes["row"] = np.arange(n_sources + 1)
    routes["output"] %= 8
    routes["trigger"] = np.searchsorted([source for source, _ in triggers], np.arange(n_sources + 1))
    rows["synapse"] = np.searchsorted([source for source, _, _ in synapses], np.arange(n_sources + 1))
    targets = records(len(synapses), SYNAPSE)
    for target, (_, neuron, jump) in zip(targets, synapses, strict=True):
        target["neuron"], target["jump"] = neuron, jump
    return engine.Network(
        neurons=neurons,
        saturation=records(neurons.size, SATURATION),
        sources=sources,
        routes=routes,
        rows=rows,
        synapses=targets,
        triggers=np.array([element for _, element in triggers], dtype=np.int64),
        delays=np.array(delays, dtype=np.float64),
        delay_outputs=np.full(len(delays), DELAY_OUTPUT),
        outputs=records(12, OUTPUT),
        latency=latency,
        threshold_noise=noise,
        delay_jitter=0.0,
        saturates=False,
    )


def events(times, sources):
    inputs = records(len(times), INPUT)
    inputs["time"], inputs["source"] = times, sources
    return inputs


def play(net, inputs, ends, capacity=4096, probe=(), grid=()):
    """Spike times, their sources, events lost, probed membranes, final state."""
    key = 5
    probe, grid = np.array(probe, dtype=np.int64), np.array(grid, dtype=np.float64)
    sampling = Sampling(probe, grid, np.full((probe.size, grid.size), np.nan))
    state = engine.new_state(net, capacity)
    engine.start(net, state, key)
    for end in ends:
        while engine.advance(end, net, inputs, sampling, state, key) == RECORD_FULL:
            state = engine.enlarged(state)
    recorded = state.progress[0]["recorded"]
    times, sources = state.spikes["time"][:recorded], state.spikes["source"][:recorded]
    return times, sources, int(state.progress[0]["lost"]), sampling.membrane, state


def build(*parameters):
    """Neurons 0, 1, ... of these parameters."""
    stacked = {name: np.array([p[name] for p in parameters]) for name in parameters[0] if name != "tolerance"}
    return engine.build_neurons(np.arange(len(parameters)), **stacked, tolerance=parameters[0]["tolerance"])


def readable(p):
    taus = p["tau_mem_us"], p["tau_syn_exc_us"], p["tau_syn_inh_us"]
    rest = ("reset_lsb", "threshold_lsb", "refractory_us", "a", "w_leak_lsb", "b_lsb", "tau_w_us", "delta_t_lsb")
    return AdexNeuron(taus, *(p[name] for name in rest), p["v_t_lsb"], p["tolerance"])


def compiled_spikes(p, until, pulses=()):
    """Spike times of a neuron that gets current pulses (time, LSB/us)."""
    sources = EXTERNAL + np.arange(len(pulses))
    synapses = [(source, 0, jump) for source, (_, jump) in zip(sources, pulses, strict=True)]
    return play(network(build(p), synapses), events([time for time, _ in pulses], sources), [until])[0]


def readable_spikes(p, until, pulses=()):
    neuron, spikes = readable(p), []
    for end, jump in (*pulses, (until, 0.0)):
        while neuron.advance(end):
            spikes.append(neuron.time_us)
            neuron.spike(p["threshold_lsb"])
        neuron.receive(max(jump, 0.0), max(-jump, 0.0))
    return spikes


BOTH = pytest.mark.parametrize("spike_times", [compiled_spikes, readable_spikes])


@BOTH
@pytest.mark.parametrize("name", PATTERNS)
def test_firing_patterns_in_physical_units(name, spike_times):
    expected = solved(name, 250.0)
    assert len(expected) >= (1 if name == "transient" else 3)
    np.testing.assert_allclose(spike_times(in_lsb(name), 250.0), expected, rtol=1e-7)
    np.testing.assert_allclose(spike_times(in_lsb(name, 1e-12), 250.0), expected, rtol=1e-9)


@BOTH
@pytest.mark.parametrize("name", PATTERNS)
def test_synaptic_bursts_in_physical_units(name, spike_times):
    expected = solved(name, 160.0, PULSES, driven=False)
    assert len(expected) >= 2
    c_m = PATTERNS[name][0]
    pulses = [(time, current / c_m * LSB_PER_MV) for time, current in PULSES]
    np.testing.assert_allclose(spike_times(in_lsb(name, 1e-11, driven=False), 160.0, pulses), expected, rtol=1e-9)


def test_patterns_are_what_they_are_called():
    def intervals(name, until=600.0):
        return np.diff(compiled_spikes(in_lsb(name), until))

    tonic, adapting, initial = intervals("tonic"), intervals("adapting"), intervals("initial burst")
    np.testing.assert_allclose(tonic[20:], tonic[-1], rtol=1e-3)
    assert np.all(np.diff(adapting) > 0) and adapting[-1] > 2 * adapting[0]
    assert initial[0] < 0.3 * initial[-1] and np.ptp(initial[-3:]) < 0.02 * initial[-1]
    bursting = intervals("bursting")[5:]
    assert np.median(bursting[bursting > 20.0]) > 5 * np.median(bursting[bursting < 20.0])
    first, *accelerating = np.diff([0.0, *compiled_spikes(in_lsb("delayed, accelerating"), 600.0)])
    assert first > accelerating[0] and np.all(np.diff(accelerating) < 0)
    assert max(compiled_spikes(in_lsb("transient"), 600.0)) < 100.0


@BOTH
def test_errors_shrink_with_the_tolerance(spike_times):
    expected = solved("initial burst", 250.0)
    errors = []
    for tolerance in (1e-4, 1e-6, 1e-8, 1e-10):
        found = spike_times(in_lsb("initial burst", tolerance), 250.0)
        errors.append(np.max(np.abs(np.array(found) / expected - 1.0)))
        assert errors[-1] < 100 * tolerance
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-4 * errors[0]


@BOTH
@pytest.mark.parametrize(("leak_to_v_t", "delta_t"), [(-10.0, 2.0), (1.9, 2.0), (-3.0, 10.0)])
def test_period_without_adaptation_is_an_integral(leak_to_v_t, delta_t, spike_times):
    # tau_m du/dt = f(u): the time from reset to the comparator is the integral of tau_m / f.
    p = LIF | {"reset_lsb": -20.0, "threshold_lsb": 60.0, "v_t_lsb": leak_to_v_t, "delta_t_lsb": delta_t}
    drive = functools.partial(lambda u: delta_t * math.exp((u - leak_to_v_t) / delta_t) - u)
    rise = quad(lambda u: 10.0 / drive(u), -20.0, 60.0, epsabs=0, epsrel=1e-12, limit=500, points=[leak_to_v_t])[0]
    spikes = spike_times(p, 3.5 * (rise + 2.0))
    np.testing.assert_allclose(np.diff(spikes), rise + 2.0, rtol=1e-9)
    assert len(spikes) == 3 or leak_to_v_t > 0.0  # these start at leak, not at reset


@BOTH
def test_rheobase(spike_times):
    # u = delta_t exp((u - v_t) / delta_t) has a solution, where the neuron can rest, up to v_t = delta_t.
    p = LIF | {"delta_t_lsb": 5.0}
    assert len(spike_times(p | {"v_t_lsb": 5.0 * (1 + 1e-4)}, 3000.0)) == 0
    assert len(spike_times(p | {"v_t_lsb": 5.0 * (1 - 1e-2)}, 3000.0)) > 5


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_without_extras_it_is_the_integrate_and_fire_neuron(seed):
    rng = np.random.default_rng(seed)
    p = LIF | dict(zip(("tau_mem_us", "tau_syn_exc_us", "tau_syn_inh_us"), rng.uniform(1.0, 20.0, 3), strict=True))
    p |= {"threshold_lsb": rng.choice([rng.uniform(10.0, 70.0), rng.uniform(-40.0, -2.0)])}
    p |= {"reset_lsb": min(p["threshold_lsb"], 0.0) - rng.uniform(1.0, 40.0), "refractory_us": rng.uniform(0.1, 5.0)}
    times = np.sort(rng.uniform(0.0, 60.0, 15))
    pulses = list(zip(times, rng.exponential(30.0, 15) * rng.choice([1, 1, -1], 15), strict=True))
    taus = p["tau_mem_us"], p["tau_syn_exc_us"], p["tau_syn_inh_us"]
    neuron, expected = LifNeuron(taus, p["reset_lsb"], p["threshold_lsb"], p["refractory_us"]), []
    for end, jump in (*pulses, (80.0, 0.0)):
        while neuron.next_spike_us() < end:
            neuron.advance(neuron.next_spike_us())
            expected.append(neuron.time_us)
            neuron.spike(p["threshold_lsb"])
        neuron.advance(end)
        neuron.receive(max(jump, 0.0), max(-jump, 0.0))
    np.testing.assert_allclose(compiled_spikes(p, 80.0, pulses), expected, rtol=1e-9)


def highest(membrane):
    """First maximum of a membrane that rises first."""
    falls = next(s for s in np.linspace(0.0, 40.0, 4001)[1:] if membrane.after(s).slope() < 0.0)
    return membrane.after(brentq(lambda s: membrane.after(s).slope(), falls - 0.01, falls, xtol=1e-13)).u


@BOTH
@pytest.mark.parametrize("taus", [(6.0, 6.0, 6.0), (10.0, 5.0, 5.0), (20.0, 2.0, 8.0), (2.0, 20.0, 8.0)])
@pytest.mark.parametrize("inhibition", [0.0, 20.0])
def test_grazing(taus, inhibition, spike_times):
    # The membrane touches the threshold from below: a bit lower and it must cross, where the closed form says.
    membrane = Membrane(0.0, 60.0, inhibition, *taus)
    top = highest(membrane)
    names = ("tau_mem_us", "tau_syn_exc_us", "tau_syn_inh_us")
    p = LIF | dict(zip(names, taus, strict=True)) | {"reset_lsb": -100.0, "refractory_us": 100.0}
    pulses = [(0.0, 60.0), (0.0, -inhibition)]
    assert len(spike_times(p | {"threshold_lsb": top * (1 + 1e-8)}, 100.0, pulses)) == 0
    for below in (1e-8, 1e-4, 0.1):
        threshold = top * (1 - below)
        expected = first_crossing(membrane, threshold)
        found = spike_times(p | {"threshold_lsb": threshold}, 100.0, pulses)
        # A crossing as flat as a parabola is found to the square root of the error of the membrane.
        np.testing.assert_allclose(found, [expected], rtol=1e-11 / math.sqrt(below) + 1e-10)


def test_short_excursion_within_one_step_is_not_missed():
    # Two currents all but cancel: over the threshold for a fraction of a step.
    taus = (10.0, 2.0, 8.0)
    membrane = Membrane(0.0, 60.0, 40.0, *taus)
    p = LIF | {
        "tau_syn_exc_us": 2.0,
        "threshold_lsb": highest(membrane) * (1 - 1e-7),
        "reset_lsb": -100.0,
        "refractory_us": 100.0,
    }
    (spike,) = compiled_spikes(p, 50.0, [(0.0, 60.0), (0.0, -40.0)])
    assert membrane.after(spike + 0.01).u < p["threshold_lsb"]
    assert spike == pytest.approx(first_crossing(membrane, p["threshold_lsb"]), rel=1e-7)


def test_adaptation_jumps_and_goes_on_while_the_membrane_is_held():
    p = in_lsb("adapting", 1e-12) | {"refractory_us": 20.0}
    net = network(build(p))
    alone = engine.new_state(net, 1)
    engine.start(net, alone, 0)
    assert engine.advance_neuron(1000.0, 0, alone)
    crossed = alone.neurons[0]
    (spike,), _, _, (trace,), state = play(net, events([], []), [15.0], probe=[0], grid=np.linspace(0.0, 14.99, 500))
    assert crossed["time"] == spike < 15.0
    assert crossed["membrane"] == pytest.approx(p["threshold_lsb"], rel=1e-9)
    pulled_to = p["a"] * (p["reset_lsb"] - p["w_leak_lsb"])
    w = pulled_to + (crossed["adaptation"] + p["b_lsb"] - pulled_to) * math.exp(-20.0 / p["tau_w_us"])
    assert state.neurons[0]["adaptation"] == pytest.approx(w, rel=1e-12)
    assert state.neurons[0]["time"] == spike + 20.0
    held = np.linspace(0.0, 14.99, 500) > spike
    assert np.all(trace[held] == p["reset_lsb"]) and np.all(trace[~held] > p["reset_lsb"] - 1e-9)


def test_current_goes_on_while_the_membrane_is_held():
    # One strong event: the first spike, and after 3 us at reset the remaining current makes the second.
    p = LIF | {"refractory_us": 3.0}
    first, second, *_ = compiled_spikes(p, 50.0, [(0.0, 100.0)])
    taus = 10.0, 5.0, 8.0
    assert first == pytest.approx(first_crossing(Membrane(0.0, 100.0, 0.0, *taus), 70.0), rel=1e-11)
    left = 100.0 * math.exp(-(first + 3.0) / 5.0)
    assert second - first - 3.0 == pytest.approx(first_crossing(Membrane(0.0, left, 0.0, *taus), 70.0), rel=1e-10)


def test_neuron_alone_goes_to_the_time_or_to_the_crossing():
    p = in_lsb("tonic", 1e-12)
    neuron, state = readable(p), engine.new_state(network(build(p)), 1)
    engine.start(network(build(p)), state, 0)
    for until, crosses in ((1.0, False), (3.0, False), (100.0, True)):
        assert engine.advance_neuron(until, 0, state) == neuron.advance(until) == crosses
        record = state.neurons[0]
        assert record["time"] == pytest.approx(neuron.time_us, rel=1e-11)
        assert (record["membrane"], record["adaptation"]) == pytest.approx(neuron.state[:2], rel=1e-9)


@pytest.mark.parametrize("latency", [0.08, 3.0])
def test_recurrent_pair_equals_a_plain_event_loop(latency):
    parameters = [in_lsb("initial burst", 1e-12), in_lsb("tonic", 1e-12, driven=False)]
    synapses = [(0, 1, 25.0), (1, 0, -4.0), (1, 1, 6.0), (EXTERNAL, 0, 20.0), (EXTERNAL, 1, 40.0)]
    inputs = events([7.0, 30.0, 30.5, 90.0], [EXTERNAL] * 4)

    neurons = [readable(p) for p in parameters]
    arrivals = [(time, EXTERNAL) for time in inputs["time"].tolist()]
    expected = []
    now = 0.0
    while now < 150.0:
        # A spike arrives after the latency at the earliest: so far nobody can disturb anybody.
        end = min([arrivals[0][0] if arrivals else math.inf, now + latency, 150.0])
        for n, neuron in enumerate(neurons):
            while neuron.time_us <= end and neuron.advance(end):
                expected.append((neuron.time_us, n))
                heapq.heappush(arrivals, (neuron.time_us + latency, n))
                neuron.spike(parameters[n]["threshold_lsb"])
        now = end
        while arrivals and arrivals[0][0] <= now:
            source = heapq.heappop(arrivals)[1]
            for _, target, jump in (s for s in synapses if s[0] == source):
                neurons[target].receive(max(jump, 0.0), max(-jump, 0.0))
    times, sources, *_ = play(network(build(*parameters), synapses, latency), inputs, [150.0])
    assert [n for _, n in sorted(expected)] == sources.tolist()
    assert np.bincount(sources).min() >= 5
    np.testing.assert_allclose(times, [time for time, _ in sorted(expected)], rtol=1e-9)


def busy_network(noise=0.0):
    """Four neurons that drive each other and a delay element."""
    names = ("initial burst", "tonic", "bursting", "adapting")
    synapses = [(n, m, jump) for n in range(4) for m, jump in enumerate((5.0, -4.0, 6.0, 3.0)) if n != m]
    synapses += [(DELAY_OUTPUT, 1, 9.0), (EXTERNAL, 0, 8.0), (EXTERNAL, 1, 30.0)]
    return network(build(*map(in_lsb, names)), synapses, triggers=[(0, 0)], delays=[9.0], noise=noise)


@settings(deadline=None, max_examples=8)
@given(ends=st.lists(st.floats(0.0, 40.0), max_size=12), capacity=st.sampled_from([1, 3, 4096]))
def test_windows_record_size_and_probe_do_not_change_a_bit(ends, capacity):
    inputs = events(np.arange(3.0, 31.0, 7.0), np.full(4, EXTERNAL))
    whole = play(busy_network(noise=0.5), inputs, [40.0])
    grid = np.linspace(0.0, 40.0, 33)
    pieces = play(busy_network(noise=0.5), inputs, [*sorted(ends), 40.0], capacity, probe=[2, 0], grid=grid)
    assert [part.tobytes() for part in pieces[:2]] == [part.tobytes() for part in whole[:2]]
    assert pieces[2] == whole[2]
    assert set(whole[1]) == {0, 1, 2, 3, DELAY_OUTPUT}


def test_delay_element_fires_after_its_delay_and_loses_events_while_busy():
    times, sources, lost, *_ = play(busy_network(), events([], []), [80.0])
    waiting, expected, busy_events = -math.inf, [], 0
    for arrival in times[sources == 0] + 0.08:
        if arrival < waiting:
            busy_events += 1
        else:
            waiting = arrival + 9.0
            expected.append(waiting)
    assert lost == busy_events - (times[sources == 0][-1] + 0.08 >= 80.0) >= 1
    fired = times[sources == DELAY_OUTPUT]
    np.testing.assert_allclose(fired, [time for time in expected if time < 80.0], rtol=1e-13)
    assert fired.size >= 2


def test_record_and_counters_of_the_crossbar_outputs():
    net = busy_network()
    net.sources["host_output"][[1, EXTERNAL]] = [-1, 9]  # neuron 1 is muted, the input goes to the host as well
    inputs = events(np.arange(3.0, 60.0, 7.0), np.full(9, EXTERNAL))
    *_, state = play(net, inputs, [80.0])
    plain, plain_sources, *_ = play(busy_network(), inputs, [80.0])
    record = state.spikes[: state.progress[0]["recorded"]]
    of_input = record["source"] == EXTERNAL
    np.testing.assert_array_equal(record["time"][~of_input], plain)
    np.testing.assert_array_equal(record["time"][of_input], inputs["time"])
    muted = record["source"] == 1
    assert muted.any() and np.all(record["stamp"][muted] == np.inf)
    np.testing.assert_array_equal(record["stamp"][~muted], record["time"][~muted])

    delivered = np.concatenate([inputs["source"], plain_sources[plain + 0.08 < 80.0]])
    expected = np.bincount(delivered % 8, minlength=12)  # output of each source's route
    expected[8:10] = np.sum(plain_sources != 1), 9
    np.testing.assert_array_equal(state.outputs["passed"], expected)
    assert not state.outputs["dropped"].any()


def test_probe_follows_the_solver_between_spikes():
    p = in_lsb("bursting", 1e-12)
    grid = np.linspace(0.0, 30.0, 61)
    times, _, _, (trace,), _ = play(network(build(p)), events([], []), [30.5], probe=[0], grid=grid)
    neuron = readable(p)
    for time, u in zip(grid, trace, strict=True):
        while neuron.advance(time):
            neuron.spike(p["threshold_lsb"])
        assert u == pytest.approx(neuron.state[0], abs=1e-8)
    assert times.size >= 3


@BOTH
def test_an_upswing_too_steep_for_the_clock_ends_at_once(spike_times):
    # Released 100 slope factors above v_t: the integral of tau_m exp(-100) is no time at all.
    p = LIF | {"reset_lsb": 60.0, "v_t_lsb": -40.0, "delta_t_lsb": 1.0}
    np.testing.assert_allclose(spike_times(p, 9.0), [0.0, 2.0, 4.0, 6.0, 8.0], atol=1e-12)


def test_each_spike_draws_the_next_threshold():
    # Without upswing a threshold shows in the interval: V from reset to threshold under a constant pull.
    p = LIF | {"threshold_lsb": -10.0, "reset_lsb": -60.0, "tolerance": 1e-12}
    times, *_ = play(network(build(p), noise=1.0), events([], []), [400.0])
    noise = TrialNoise(5)
    drawn = np.array([noise.draw(0) for _ in times])
    np.testing.assert_allclose(np.diff(times), 2.0 + 10.0 * np.log(60.0 / (10.0 - drawn[1:])), rtol=1e-9)


SPREAD = AdexConfig(
    a=2.0,
    b_lsb=10.0,
    delta_t_lsb=5.0,
    a_std=0.1,
    b_std=0.2,
    tau_w_std=0.15,
    delta_t_std=0.05,
    w_leak_std_lsb=3.0,
    v_t_std_lsb=4.0,
)


def drawn(serial, config=SPREAD):
    return draw_adex_pattern(config, np.full(512, 80.0), functools.partial(stream, serial))


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [("a", 2.0, 0.1), ("b_lsb", 10.0, 0.2), ("tau_w_us", 100.0, 0.15), ("delta_t_lsb", 5.0, 0.05)],
)
def test_relative_spread_of_the_fixed_pattern(name, mean, std):
    logarithms = np.log(np.concatenate([getattr(drawn(serial), name) for serial in range(40)]) / mean)
    variance = math.log1p(std**2)
    check_normal(logarithms + variance / 2, math.sqrt(variance))


@pytest.mark.parametrize(("name", "mean", "std"), [("w_leak_lsb", 80.0, 3.0), ("v_t_lsb", 120.0, 4.0)])
def test_spread_of_potentials_of_the_fixed_pattern(name, mean, std):
    check_normal(np.concatenate([getattr(drawn(serial), name) for serial in range(40)]) - mean, std)


def check_normal(sample, std, alpha=1e-6):
    """Mean 0 and this standard deviation; 5 % more or less must be noticed."""

    def passes(assumed):
        p = stats.chi2.cdf(np.sum(sample**2) / assumed**2, sample.size)
        return alpha / 2 < p < 1 - alpha / 2

    assert abs(sample.mean()) < stats.norm.isf(alpha / 2) * std / math.sqrt(sample.size)
    assert passes(std) and not passes(1.05 * std) and not passes(0.95 * std)


def test_fixed_pattern_belongs_to_the_serial_number():
    np.testing.assert_array_equal(drawn(3).v_t_lsb, drawn(3).v_t_lsb)
    assert not np.any(drawn(3).v_t_lsb == drawn(4).v_t_lsb)
    still = drawn(3, AdexConfig(w_leak_lsb=70.0))
    assert np.all(still.w_leak_lsb == 70.0) and np.all(still.a == 0.0) and np.all(still.tau_w_us == 100.0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("a", 1e3, "chip.adex.a = 1000 is outside -10..100; give it relative to the leak conductance"),
        ("b_lsb", math.nan, "chip.adex.b_lsb = nan LSB is outside -255..255 LSB; give b / g_l"),
        ("tau_w_us", 0.0, "chip.adex.tau_w_us = 0 us is outside 0.5..10000 us; give a time constant of chip time"),
        ("delta_t_lsb", 0.1, "chip.adex.delta_t_lsb = 0.1 LSB is outside 0.5..50 LSB; give 0 for no upswing"),
        ("w_leak_lsb", 300, "chip.adex.w_leak_lsb = 300 LSB is outside 0..255 LSB; choose a potential that the"),
        ("v_t_lsb", "high", "chip.adex.v_t_lsb = 'high' is not a number; allowed are 0..255 LSB; choose a potential"),
        ("tolerance", 0.1, "chip.adex.tolerance = 0.1 is outside 1e-13..0.001; give a relative error"),
        ("a_std", -0.1, "chip.adex.a_std = -0.1 is outside 0..1; give a relative standard deviation, 0.05 for 5 %"),
        ("v_t_std_lsb", 60.0, "chip.adex.v_t_std_lsb = 60 LSB is outside 0..50 LSB; give a standard deviation"),
    ],
)
def test_values_that_are_refused(field, value, message):
    with pytest.raises(ChipError) as error:
        AdexConfig(**{field: value})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("seed", range(8))
def test_a_chip_without_adaptation_and_upswing_is_the_lif_chip(seed):
    """Whole networks with noise, delays and recurrence: the same spikes, losses and membranes from both engines."""
    config, fabric, times, lines = random_run(seed)
    recordings = []
    for one in (config, dataclasses.replace(config, adex=AdexConfig(tolerance=1e-12))):
        chip = Chip(one, serial=seed, seed=seed)
        chip.write(fabric)
        probe = Probe([group[0] for group in chip.members], np.linspace(0.0, 99.0, 101))
        recordings.append(chip.run(times, lines, 100.0, trial=3, probe=probe))
    lif, adex = recordings
    assert lif.ticks.size and lif.lost_events == adex.lost_events
    np.testing.assert_array_equal(adex.circuits, lif.circuits)
    np.testing.assert_array_equal(adex.passed_events, lif.passed_events)
    np.testing.assert_allclose(adex.analogue_times_us, lif.analogue_times_us, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(adex.membrane_lsb, lif.membrane_lsb, atol=1e-8)


def test_an_adapting_chip_slows_down():
    """A pacemaker whose adaptation grows with every spike has longer and longer intervals."""
    fabric = place([Population("pacemaker", 1)], []).fabric
    adapting = AdexConfig(b_lsb=8.0, tau_w_us=100.0)
    intervals = []
    for adex in (None, adapting):
        chip = Chip(ChipConfig(leak_lsb=190.0, adex=adex), serial=1, seed=1)
        chip.write(fabric)
        intervals.append(np.diff(chip.run([], [], 200.0, trial=0).analogue_times_us))
    np.testing.assert_allclose(intervals[0], intervals[0][0], rtol=1e-9)
    assert np.all(np.diff(intervals[1])[:5] > 0.0) and intervals[1][5] > 1.1 * intervals[0][5]


def test_what_is_not_modelled_with_adex_is_refused():
    with pytest.raises(ChipError, match=r"chip.event_path has limits, which aren't modelled with chip.adex"):
        ChipConfig(adex=AdexConfig(), event_path=EventPathConfig())
    chip = Chip(ChipConfig(adex=AdexConfig()), serial=1, seed=1)
    with pytest.raises(ChipError, match=r"Chip.write got a Plasticity, which isn't modelled with chip.adex"):
        chip.write(place([Population("one", 1)], []).fabric, Plasticity.uniform(1, 0, 0))


@pytest.mark.parametrize("adex", [None, AdexConfig(), AdexConfig(delta_t_lsb=2.0, v_t_lsb=150.0)])
def test_a_membrane_whose_leak_is_the_threshold_starts_at_reset(adex):
    """It nears the threshold for ever: exp(-t / tau) of the way is left, and there is no spike."""
    config = ChipConfig(leak_lsb=100.0, threshold_lsb=100.0, reset_lsb=80.0, adex=adex, exact_input_times=True)
    chip = Chip(config, serial=1, seed=1)
    placement = place([Population("neuron", 1)], [])
    chip.write(placement.fabric)
    circuit = placement.neurons["neuron"][0, 0]
    recording = chip.run([], [], 30.0, 0, Probe([circuit], [0.0, 6.0, 12.0]))
    assert recording.ticks.size == 0
    if adex is None or adex.delta_t_lsb == 0.0:
        np.testing.assert_allclose(recording.membrane_lsb[0], 100.0 - 20.0 * np.exp([0.0, -1.0, -2.0]), rtol=1e-9)
    twin = AdexNeuron((6.0, 6.0, 6.0), -20.0, 0.0, 20.0, 0.0, 0.0, 0.0, 100.0, 0.0, 20.0, 1e-9)
    assert twin.state[0] == LifNeuron((6.0, 6.0, 6.0), -20.0, 0.0, 20.0).membrane.u == -20.0
