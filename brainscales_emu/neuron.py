"""The leaky integrate-and-fire neuron between events, in closed form: the readable reference of the engine.

With u = V - leak, time constants tau_m, tau_e, tau_i and currents in LSB per us::

    du/dt = -u / tau_m + i_e - i_i        di_x/dt = -i_x / tau_x
    u(s)  = u(0) exp(-s/tau_m) + i_e K(s; tau_e) - i_i K(s; tau_i)
    K(s; tau) = exp(-s/tau_m) (1 - exp(-x s)) / x,   x = 1/tau - 1/tau_m

Everything here is plain Python, slow and obvious; `kernels` holds the compiled twin, and both pass the same tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .config import ChipConfig
from .constants import FIRST_DELAY_OUTPUT
from .delay import register_to_us
from .mismatch import FixedPattern
from .routing import Wiring


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
        self.threshold = threshold
        self.refractory_us = refractory_us
        self.released_us = 0.0
        self.membrane = Membrane(0.0 if threshold > 0.0 else reset, 0.0, 0.0, *tau_us)

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


def simulate_reference(
    config: ChipConfig,
    pattern: FixedPattern,
    wiring: Wiring,
    times_us: list[float],
    sources: list[int],
    duration_us: float,
    rng: np.random.Generator,
) -> tuple[list[tuple[float, int]], int]:
    """Event-driven simulation of a wired chip, written to be read: the twin of the compiled engine.

    Parameters
    ----------
    config, pattern, wiring
        The chip, its fixed pattern, its digital memory.
    times_us, sources : list
        Input events, ascending in time, with their source ids (EXTERNAL + label).
    duration_us : float
        Length of the run; an event at its very end still counts.
    rng : numpy.random.Generator
        Trial noise: the thresholds of all neurons, then one number per spike and per delayed event as they come.

    Returns
    -------
    spikes : list of (time_us, circuit)
        Spikes of neurons and delay elements in order of time.
    lost : int
        Events that met a busy delay element.
    """
    noise = config.noise

    def draw(std: float) -> float:
        return std * rng.standard_normal() if std > 0.0 else 0.0

    neurons, mean_threshold = {}, {}
    for circuit in wiring.circuits.tolist():
        leak = pattern.leak_lsb[circuit]
        mean_threshold[circuit] = pattern.threshold_lsb[circuit] - leak
        neurons[circuit] = LifNeuron(
            (pattern.tau_mem_us[circuit], pattern.tau_syn_exc_us[circuit], pattern.tau_syn_inh_us[circuit]),
            reset=pattern.reset_lsb[circuit] - leak,
            threshold=mean_threshold[circuit] + draw(noise.threshold_noise_std_lsb),
            refractory_us=config.refractory_us,
        )
    delay_us = register_to_us(wiring.delay_register) * pattern.delay_gain[: wiring.delay_register.size]
    delay_us = delay_us + pattern.delay_offset_us[: delay_us.size]

    next_spike = {circuit: neuron.next_spike_us() for circuit, neuron in neurons.items()}
    arrivals = list(zip(times_us, sources, strict=True))  # at synapses and delay elements
    waiting: dict[int, float] = {}  # busy delay elements and when they fire
    spikes: list[tuple[float, int]] = []
    lost = 0
    while True:
        spiking = min(next_spike, key=lambda circuit: next_spike[circuit], default=-1)
        firing = min(waiting, key=lambda element: waiting[element], default=-1)
        spike_us = next_spike.get(spiking, math.inf)
        fire_us = waiting.get(firing, math.inf)
        arrival_us = arrivals[0][0] if arrivals else math.inf
        now = min(spike_us, fire_us, arrival_us)
        if now > duration_us:
            return spikes, lost

        if now == arrival_us:
            source = arrivals.pop(0)[1]
            for row in np.flatnonzero(wiring.row_source == source):
                sign = wiring.row_sign[row]
                for circuit, neuron in neurons.items():
                    if wiring.row_weight[row, circuit] == 0:
                        continue
                    gain = pattern.gain_exc[circuit] if sign > 0 else pattern.gain_inh[circuit]
                    gain *= config.synaptic_gain * pattern.driver_gain[row] * pattern.synapse_gain[row, circuit]
                    current = gain * wiring.row_weight[row, circuit]
                    neuron.advance(now)
                    neuron.receive(current if sign > 0 else 0.0, current if sign < 0 else 0.0)
                    next_spike[circuit] = neuron.next_spike_us()
            for element in np.flatnonzero(wiring.delay_source == source).tolist():
                if element in waiting:
                    lost += 1
                else:
                    waiting[element] = now + delay_us[element] + draw(noise.delay_jitter_us)
            continue

        if now == fire_us:
            del waiting[firing]
            circuit = FIRST_DELAY_OUTPUT + 2 * firing
        else:
            circuit = spiking
            neurons[circuit].advance(now)
            neurons[circuit].spike(mean_threshold[circuit] + draw(noise.threshold_noise_std_lsb))
            next_spike[circuit] = neurons[circuit].next_spike_us()
        spikes.append((now, circuit))
        arrivals.append((now + config.event_latency_us, circuit))
        arrivals.sort(key=lambda arrival: arrival[0])
