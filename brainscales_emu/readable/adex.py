"""The neuron with adaptation and exponential upswing of `brainscales_emu.adex`, integrated by a Runge-Kutta pair."""

from __future__ import annotations

import math
from collections.abc import Callable

from .saturation import Saturation

# Above this exponent the rest of the upswing takes less than exp(-40) of tau_m: float64 can't tell the time.
LAST_EXPONENT = 40.0


# The Runge-Kutta pair of Dormand and Prince (1980), order 5 with an estimate of order 4: how each stage weighs the
# slopes before it (the last stage is the result), and how the error weighs them all.
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

State = tuple[float, float, float, float]  # u and w in LSB, i_exc and i_inh in LSB/us


class AdexNeuron:
    """One neuron: its state at `time_us`, and what happens to it. Potentials in LSB above leak.

    Parameters
    ----------
    tau_us : (tau_mem, tau_exc, tau_inh)
    reset, threshold, refractory_us : float
    a, w_leak, b, tau_w_us, delta_t, v_t : float
        As in `AdexConfig`, w_leak and v_t above leak.
    tolerance : float
        Error allowed in one step, relative to threshold - reset.
    saturation : Saturation or None
    """

    def __init__(
        self,
        tau_us: tuple[float, float, float],
        reset: float,
        threshold: float,
        refractory_us: float,
        a: float,
        w_leak: float,
        b: float,
        tau_w_us: float,
        delta_t: float,
        v_t: float,
        tolerance: float,
        saturation: Saturation | None = None,
    ) -> None:
        self.saturation = saturation
        self.tau_us = tau_us
        self.reset = reset
        self.threshold = threshold
        self.refractory_us = refractory_us
        self.a, self.w_leak, self.b, self.tau_w_us = a, w_leak, b, tau_w_us
        self.delta_t, self.v_t = delta_t, v_t
        self.accuracy = tolerance * max(threshold - reset, 1.0)
        self.longest_step_us = 0.2 * min(*tau_us, tau_w_us)
        self.time_us = 0.0
        self.released_us = 0.0
        rests_at_leak = threshold > 0.0 and (delta_t == 0.0 or v_t > 0.0)
        self.state: State = (0.0 if rests_at_leak else reset, 0.0, 0.0, 0.0)

    def _derivative(self, state: State, held: bool) -> State:
        u, w, i_exc, i_inh = state
        tau_mem, tau_exc, tau_inh = self.tau_us
        upswing = 0.0
        if self.delta_t > 0.0 and not held:
            # A stage that overshoots the comparator has no meaning, and must not overflow.
            upswing = self.delta_t * math.exp(min((min(u, self.threshold) - self.v_t) / self.delta_t, 100.0))
        slope = 0.0 if held else (upswing - u - w) / tau_mem + i_exc - i_inh
        return slope, (self.a * (u - self.w_leak) - w) / self.tau_w_us, -i_exc / tau_exc, -i_inh / tau_inh

    def _step(self, state: State, h_us: float, held: bool) -> tuple[State, float]:
        """State h_us later, and its error relative to what is allowed."""
        slopes = [self._derivative(state, held)]
        for weights in _STAGES:
            later = _shifted(state, h_us, weights, slopes)
            slopes.append(self._derivative(later, held))
        error = _shifted((0.0, 0.0, 0.0, 0.0), h_us, _ERROR, slopes)
        in_lsb = abs(error[0]), abs(error[1]), abs(error[2]) * self.tau_us[0], abs(error[3]) * self.tau_us[0]
        return later, max(in_lsb) / self.accuracy

    def _crossing(self, h_us: float, end: State) -> float:
        """When within a step of h_us u first reaches the threshold; inf if it doesn't.

        Steps are short enough to hold one maximum at most.
        """
        if end[0] < self.threshold:
            if self._derivative(self.state, False)[0] <= 0.0 or self._derivative(end, False)[0] >= 0.0:
                return math.inf
            h_us = self._bisect(h_us, lambda state: self._derivative(state, False)[0] <= 0.0)
            if self._step(self.state, h_us, False)[0][0] < self.threshold:
                return math.inf
        return self._bisect(h_us, lambda state: state[0] >= self.threshold)

    def _bisect(self, h_us: float, is_after: Callable[[State], bool]) -> float:
        """Shortest step after which the predicate holds, as it does after h_us."""
        before, after = 0.0, h_us
        while True:
            middle = 0.5 * (before + after)
            if self.time_us + middle in (self.time_us + before, self.time_us + after):
                return after
            if is_after(self._step(self.state, middle, False)[0]):
                after = middle
            else:
                before = middle

    def advance(self, until_us: float) -> bool:
        """Go to until_us or to the first crossing, whichever is first; say whether it was the crossing."""
        h_us = self.longest_step_us
        while True:
            held = self.time_us < self.released_us
            u = self.state[0]
            upswing_is_over = self.delta_t > 0.0 and (u - self.v_t) / self.delta_t > LAST_EXPONENT
            if not held and (u >= self.threshold or upswing_is_over):
                return True
            end_us = min(until_us, self.released_us) if held else until_us
            if self.time_us >= until_us:
                return False
            step_us = min(h_us, end_us - self.time_us)
            later, error = self._step(self.state, step_us, held)
            h_us = min(step_us * min(max(0.9 * (error + 1e-9) ** -0.2, 0.2), 5.0), self.longest_step_us)
            if error > 1.0:
                continue
            crossing_us = math.inf if held else self._crossing(step_us, later)
            if crossing_us <= step_us:
                self.state = self._step(self.state, crossing_us, False)[0]
                self.time_us += crossing_us
                return True
            self.state = later
            self.time_us = end_us if step_us == end_us - self.time_us else self.time_us + step_us

    def receive(self, i_exc: float, i_inh: float) -> None:
        """A synaptic event: jumps of the currents, in LSB/us."""
        u, w, exc, inh = self.state
        if self.saturation is None:
            self.state = (u, w, exc + i_exc, inh + i_inh)
        else:
            self.state = (u, w, self.saturation.excite(u, exc, i_exc), self.saturation.inhibit(u, inh, i_inh))

    def spike(self, threshold: float) -> None:
        """Hold the membrane at reset for the refractory time, add to the adaptation, go on with this threshold."""
        _, w, i_exc, i_inh = self.state
        self.state = (self.reset, w + self.b, i_exc, i_inh)
        self.released_us = self.time_us + self.refractory_us
        self.threshold = threshold


def _shifted(state: State, h_us: float, weights: tuple[float, ...], slopes: list[State]) -> State:
    """state + h * (weighted sum of the slopes)."""
    u, w, i_exc, i_inh = (
        value + h_us * sum(weight * slope[k] for weight, slope in zip(weights, slopes, strict=True))
        for k, value in enumerate(state)
    )
    return u, w, i_exc, i_inh
