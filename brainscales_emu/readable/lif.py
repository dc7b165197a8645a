"""The leaky integrate-and-fire neuron between events, in closed form.

With u = V - leak, time constants tau_m, tau_e, tau_i and currents in LSB per us::

    du/dt = -u / tau_m + i_e - i_i        di_x/dt = -i_x / tau_x
    u(s)  = u(0) exp(-s/tau_m) + i_e K(s; tau_e) - i_i K(s; tau_i)
    K(s; tau) = exp(-s/tau_m) (1 - exp(-x s)) / x,   x = 1/tau - 1/tau_m
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .saturation import Saturation


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


def _bisect(below: float, above: float, is_above: Callable[..., bool]) -> float:
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
        saturation: Saturation | None = None,
    ) -> None:
        self.saturation = saturation
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
        """A synaptic event: jumps of the currents, in LSB/us."""
        state = self.membrane
        if self.saturation is None:
            state.i_exc += i_exc
            state.i_inh += i_inh
        else:
            state.i_exc = self.saturation.excite(state.u, state.i_exc, i_exc)
            state.i_inh = self.saturation.inhibit(state.u, state.i_inh, i_inh)

    def next_spike_us(self) -> float:
        """When the neuron will spike if nothing else happens; inf if it won't."""
        start = max(self.time_us, self.released_us)
        return start + first_crossing(self._at(start), self.threshold)

    def spike(self, threshold: float) -> None:
        """Hold the membrane at reset for the refractory time and go on with this threshold."""
        self.membrane.u = self.reset
        self.released_us = self.time_us + self.refractory_us
        self.threshold = threshold
