"""The leaky integrate-and-fire neuron between events, in closed form: the readable reference of the engine.

With u = V - leak, time constants tau_m, tau_e, tau_i and currents in LSB per us::

    du/dt = -u / tau_m + i_e - i_i        di_x/dt = -i_x / tau_x
    u(s)  = u(0) exp(-s/tau_m) + i_e K(s; tau_e) - i_i K(s; tau_i)
    K(s; tau) = exp(-s/tau_m) (1 - exp(-x s)) / x,   x = 1/tau - 1/tau_m

Everything here is plain Python, slow and obvious; `kernels` holds the compiled twin, and both pass the same tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .config import ChipConfig
from .constants import BACKGROUND, FIRST_DELAY_OUTPUT, N_COLUMNS
from .delay import register_to_us
from .instant import latest
from .mismatch import FixedPattern
from .routing.fabric import DELAY_TRIGGER_WEIGHT, Fabric, Synapse
from .routing.labels import FIRST_L2_OUTPUT
from .stp import SHAPE, DriverEfficacy, Plasticity


def synaptic_kernel(s_us: float, tau_mem_us: float, tau_syn_us: float) -> float:
    """Membrane response K(s) in us to a unit step of an exponentially decaying synaptic current.

    Written so that nothing cancels when the time constants are equal, and nothing overflows when they aren't.
    """
    rate = 1.0 / tau_syn_us - 1.0 / tau_mem_us
    slow = max(tau_mem_us, tau_syn_us)
    if abs(rate) * s_us < 1e-300:
        return s_us * math.exp(-s_us / slow)
    return math.exp(-s_us / slow) * -math.expm1(-abs(rate) * s_us) / abs(rate)


@dataclass
class Membrane:
    """Free membrane at one instant: u is V - leak in LSB, currents are in LSB/us, time constants in us."""

    u: float
    i_exc: float
    i_inh: float
    tau_mem: float
    tau_exc: float
    tau_inh: float

    def after(self, s_us: float) -> Membrane:
        """The same membrane s_us later, if nothing happens."""
        u = (
            self.u * math.exp(-s_us / self.tau_mem)
            + self.i_exc * synaptic_kernel(s_us, self.tau_mem, self.tau_exc)
            - self.i_inh * synaptic_kernel(s_us, self.tau_mem, self.tau_inh)
        )
        i_exc = self.i_exc * math.exp(-s_us / self.tau_exc)
        i_inh = self.i_inh * math.exp(-s_us / self.tau_inh)
        return Membrane(u, i_exc, i_inh, self.tau_mem, self.tau_exc, self.tau_inh)

    def slope(self) -> float:
        """du/dt in LSB/us."""
        return self.i_exc - self.i_inh - self.u / self.tau_mem

    def slope_turn_us(self) -> float:
        """When u'(s) exp(s/tau_m) has its only extremum: at most one zero of u' lies on each side. inf if never."""
        rate = 1.0 / self.tau_exc - 1.0 / self.tau_inh
        if self.i_exc == 0.0 or self.i_inh == 0.0 or rate == 0.0:
            return math.inf
        turn = math.log(self.i_exc * self.tau_inh / (self.i_inh * self.tau_exc)) / rate
        return turn if turn > 0.0 else math.inf


def _bisect(below: float, above: float, is_above) -> float:
    """Smallest float in (below, above] for which the monotone predicate holds."""
    while True:
        middle = 0.5 * (below + above)
        if middle in (below, above):
            return above
        below, above = (below, middle) if is_above(middle) else (middle, above)


def first_crossing(membrane: Membrane, threshold: float) -> float:
    """Time in us until u first reaches the threshold (LSB above leak); inf if it never does.

    u has at most two extrema, one on either side of `slope_turn_us`. Between them it is monotone, so the first
    piece that ends at or above the threshold holds the crossing, and bisection finds it.
    """
    if membrane.u >= threshold:
        return 0.0
    slowest = max(
        membrane.tau_mem,
        membrane.tau_exc if membrane.i_exc else 0.0,
        membrane.tau_inh if membrane.i_inh else 0.0,
    )
    horizon = 300.0 * slowest  # late, but the slope is still a number other than 0
    turn = min(membrane.slope_turn_us(), horizon)
    ends = []
    for left, right in ((0.0, turn), (turn, horizon)):
        at_left = membrane.after(left).slope()
        at_right = membrane.after(right).slope()
        if (at_left < 0.0) != (at_right < 0.0):
            ends.append(_bisect(left, right, lambda s, end=at_right: (membrane.after(s).slope() < 0) == (end < 0)))
        ends.append(right)
    start = 0.0
    for end in ends:
        if membrane.after(end).u >= threshold:
            return _bisect(start, end, lambda s: membrane.after(s).u >= threshold)
        start = end
    return math.inf


class LifNeuron:
    """One neuron: its state at `time_us`, and what happens to it. Potentials in LSB above leak."""

    def __init__(
        self,
        tau_us: tuple[float, float, float],
        reset: float,
        threshold: float,
        refractory_us: float,
    ) -> None:
        self.time_us = 0.0
        self.reset = reset
        self.refractory_us = refractory_us
        self.released_us = 0.0
        self.membrane = Membrane(0.0, 0.0, 0.0, *tau_us)
        self.set_threshold(threshold)

    def set_threshold(self, threshold: float) -> None:
        """Before the start: the membrane rests at leak, or at reset where leak is over threshold."""
        self.threshold = threshold
        self.membrane.u = 0.0 if threshold > 0.0 else self.reset

    def _at(self, time_us: float) -> Membrane:
        """State at a time not before time_us, if nothing happens."""
        held = min(max(self.released_us - self.time_us, 0.0), time_us - self.time_us)
        state = self.membrane
        if held > 0.0:
            state = state.after(held)
            state.u = self.reset
        return state.after(time_us - self.time_us - held)

    def advance(self, time_us: float) -> None:
        """Let the time pass."""
        self.membrane = self._at(time_us)
        self.time_us = time_us

    def receive(self, i_exc: float, i_inh: float) -> None:
        """Add to the synaptic currents, in LSB/us."""
        self.membrane.i_exc += i_exc
        self.membrane.i_inh += i_inh

    def next_spike_us(self) -> float:
        """When the neuron will spike if nothing else happens; inf if it won't."""
        start = max(self.time_us, self.released_us)
        return start + first_crossing(self._at(start), self.threshold)

    def spike(self, threshold: float) -> None:
        """Hold the membrane at reset for the refractory time and go on with this threshold."""
        self.membrane.u = self.reset
        self.released_us = self.time_us + self.refractory_us
        self.threshold = threshold


@dataclass
class Route:
    """What an event of one source reaches through one crossbar output, followed by hand.

    Attributes
    ----------
    output : int
        Crossbar output 0..11; 8..11 lead to the host.
    synapses : list of (driver, master circuit, i_exc, i_inh)
        Driver as (half, number), steps of the currents in LSB/us.
    elements : list of int
        Delay elements that are triggered.
    late : list of (float, Route)
        The synapses with a delay of their own (see `beyond`), by this delay in us.
    """

    output: int
    synapses: list[tuple[tuple[int, int], int, float, float]]
    elements: list[int]
    late: list[tuple[float, Route]] = field(default_factory=list)


class WiredChip:
    """Neurons, routes and delays of a chip with its digital memory, one by one.

    Parameters
    ----------
    config : ChipConfig
    pattern : FixedPattern
    fabric : Fabric
    plasticity : Plasticity or None
    synapse_delay_us : (2, 256, 256) float64 or None
    """

    def __init__(
        self,
        config: ChipConfig,
        pattern: FixedPattern,
        fabric: Fabric,
        plasticity: Plasticity | None = None,
        synapse_delay_us: NDArray[np.float64] | None = None,
    ) -> None:
        self.synapse_delay_us = synapse_delay_us
        self.config, self.pattern, self.fabric = config, pattern, fabric
        self.members: dict[int, list[int]] = {}  # circuits of each neuron, by its master
        for circuit in np.flatnonzero(fabric.neuron_enabled).tolist():
            self.members.setdefault(int(fabric.master[circuit]), []).append(circuit)
        self.mean_threshold = {}
        self.neurons = {}
        for master, circuits in sorted(self.members.items()):
            rates = 1.0 / pattern.tau_mem_us[circuits]
            leak = float(np.sum(rates * pattern.leak_lsb[circuits]) / np.sum(rates))
            self.mean_threshold[master] = float(pattern.threshold_lsb[master]) - leak
            taus = (pattern.tau_mem_us, pattern.tau_syn_exc_us, pattern.tau_syn_inh_us)
            self.neurons[master] = LifNeuron(
                tuple(float(1.0 / np.mean(1.0 / tau[circuits])) for tau in taus),  # type: ignore[arg-type]
                reset=float(pattern.reset_lsb[master]) - leak,
                threshold=self.mean_threshold[master],
                refractory_us=config.refractory_us,
            )
        self.delay_us = {
            element: float(register_to_us(fabric.delay_register[element])) * pattern.delay_gain[element]
            + pattern.delay_offset_us[element]
            for element in np.flatnonzero(fabric.delay_register).tolist()
        }
        self.efficacies: dict[tuple[int, int], DriverEfficacy] = {}
        if plasticity is not None:
            for half, driver in np.ndindex(*SHAPE):
                self.efficacies[half, driver] = DriverEfficacy(config.stp, plasticity, half, driver)

    @lru_cache  # noqa: B019 (lives as long as the simulation)
    def routes(self, source: int) -> list[Route]:
        """Where the events of a source go, in the order of the crossbar's outputs."""
        event = self.fabric.event(source)
        if event is None:
            return []
        delivered = self.fabric.deliver(*event)
        weight: dict[int, int] = {}  # that comes to each delay element
        carrier: dict[int, int] = {}  # lowest output that leads there
        for output, synapses in sorted(delivered.items()):
            for synapse in synapses:
                element = synapse.column // 2
                if synapse.half == 1 and synapse.column % 2 == 0 and element in self.delay_us:
                    carrier.setdefault(element, output)
                    weight[element] = weight.get(element, 0) + (synapse.weight if synapse.sign > 0 else 0)
        triggered = [element for element in sorted(weight) if weight[element] >= DELAY_TRIGGER_WEIGHT]
        routes = []
        for output, synapses in sorted(delivered.items()):
            by_delay: dict[float, list] = {0.0: []}
            for synapse in synapses:
                step = self._step(synapse)
                if step[1] in self.neurons:
                    by_delay.setdefault(self._delay(synapse), []).append(step)
            at_once = by_delay.pop(0.0)
            late = [(delay_us, Route(output, steps, [])) for delay_us, steps in by_delay.items()]
            routes.append(Route(output, at_once, [e for e in triggered if carrier[e] == output], late))
        return routes

    def _delay(self, synapse: Synapse) -> float:
        if self.synapse_delay_us is None:
            return 0.0
        return float(self.synapse_delay_us[synapse.half, synapse.row, synapse.column])

    def _step(self, synapse: Synapse) -> tuple[tuple[int, int], int, float, float]:
        circuit = synapse.half * N_COLUMNS + synapse.column
        master = int(self.fabric.master[circuit])
        pattern, place = self.pattern, (synapse.half, synapse.row)
        gain = pattern.gain_exc[circuit] if synapse.sign > 0 else pattern.gain_inh[circuit]
        gain *= self.config.synaptic_gain * pattern.driver_gain[place] * pattern.synapse_gain[(*place, synapse.column)]
        current = float(gain * synapse.weight / len(self.members.get(master, (0,))))
        driver = (synapse.half, synapse.row // 2)
        if not self.fabric.neuron_enabled[circuit]:
            master = -1
        return (driver, master, current, 0.0) if synapse.sign > 0 else (driver, master, 0.0, current)

    def deliver(self, route: Route, now: float) -> set[int]:
        """An event reaches its synapses; which neurons they belong to."""
        effects: dict[tuple[int, int], float] = {}
        for driver, master, i_exc, i_inh in route.synapses:
            if driver not in effects:
                effects[driver] = self.efficacies[driver].drive(now) if self.efficacies else 1.0
            self.neurons[master].advance(now)
            self.neurons[master].receive(effects[driver] * i_exc, effects[driver] * i_inh)
        return {synapse[1] for synapse in route.synapses}


def simulate_reference(
    chip: WiredChip,
    times_us: list[float],
    sources: list[int],
    duration_us: float,
    rng: np.random.Generator,
) -> tuple[list[tuple[float, int]], int]:
    """Event-driven simulation of a chip without limits of its event path, written to be read: the twin of the
    compiled engine. What happens at one instant does so in the order that `instant` says.

    Parameters
    ----------
    chip : WiredChip
        Used up by the simulation.
    times_us, sources : list
        Input events, ascending in time, with their source numbers.
    duration_us : float
        Length of the run; an event at its very end still counts.
    rng : numpy.random.Generator
        Trial noise: the thresholds of all neurons, then one number per spike and per delayed event as they come.

    Returns
    -------
    spikes : list of (time_us, source)
        What the host sees, in order of time: spikes of neurons and delay elements, and input events that come back.
    lost : int
        Events that met a busy delay element.
    """
    noise = chip.config.noise

    def draw(std: float) -> float:
        return std * rng.standard_normal() if std > 0.0 else 0.0

    def recorded(source: int) -> bool:
        return any(route.output >= FIRST_L2_OUTPUT for route in chip.routes(source))

    for master, neuron in chip.neurons.items():
        neuron.set_threshold(chip.mean_threshold[master] + draw(noise.threshold_noise_std_lsb))
    next_spike = {master: neuron.next_spike_us() for master, neuron in chip.neurons.items()}
    inputs = list(zip(times_us, sources, strict=True))
    arrivals: list[tuple[float, int]] = []  # spikes on the chip on their way to the crossbar's outputs
    late: list[tuple[float, Route]] = []  # events that wait in synapses
    waiting: dict[int, float] = {}  # busy delay elements and when they fire
    spikes: list[tuple[float, int]] = []
    lost = 0

    def act(source: int) -> None:
        """An event comes to the crossbar's outputs."""
        nonlocal lost
        for route in chip.routes(source):
            for master in chip.deliver(route, now):
                next_spike[master] = chip.neurons[master].next_spike_us()
            late.extend((now + delay_us, behind) for delay_us, behind in route.late)
            late.sort(key=lambda event: event[0])
            for element in route.elements:
                if element in waiting:
                    lost += 1
                else:
                    waiting[element] = now + max(chip.delay_us[element] + draw(noise.delay_jitter_us), 0.0)

    def spike(source: int) -> None:
        if recorded(source):
            spikes.append((now, source))
        arrivals.append((now + chip.config.event_latency_us, source))

    now = -math.inf
    while True:
        first = min([math.inf, *next_spike.values(), *waiting.values()])
        first = min([first, *(queue[0][0] for queue in (inputs, arrivals, late) if queue)])  # type: ignore[index]
        if first > latest(now):
            now = first  # the next instant
        if now > duration_us:
            return spikes, lost

        crossing = [master for master, time_us in next_spike.items() if time_us <= latest(now)]
        firing = [element for element, time_us in waiting.items() if time_us <= latest(now)]
        if crossing:
            master = min(crossing)
            neuron = chip.neurons[master]
            neuron.advance(now)
            neuron.spike(chip.mean_threshold[master] + draw(noise.threshold_noise_std_lsb))
            next_spike[master] = neuron.next_spike_us()
            spike(master)
        elif firing:
            element = min(firing)
            del waiting[element]
            spike(FIRST_DELAY_OUTPUT + 2 * element)
        elif inputs and inputs[0][0] <= latest(now):
            source = inputs.pop(0)[1]
            if source >= BACKGROUND and recorded(source):
                spikes.append((now, source))
            act(source)
        elif arrivals and arrivals[0][0] <= latest(now):
            act(arrivals.pop(0)[1])
        else:
            for master in chip.deliver(late.pop(0)[1], now):
                next_spike[master] = chip.neurons[master].next_spike_us()
