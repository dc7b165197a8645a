"""How far synaptic inputs push a membrane, as depths and heights: the law of `brainscales_emu.engine.saturation`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..config import SaturationConfig


def kernel_peak(tau_mem_us: float, tau_syn_us: float) -> float:
    """Largest membrane response in us to a unit synaptic current: tau_m x^(-x / (x - 1)), x = tau_m / tau_s."""
    beyond = tau_mem_us / tau_syn_us - 1.0
    slope = math.log1p(beyond) / beyond if beyond else 1.0  # log(x) / (x - 1)
    return tau_mem_us * math.exp(-(1.0 + beyond) * slope)


@dataclass(frozen=True)
class Saturation:
    """Rails of one neuron's inputs, in LSB from leak; of the upper ones inf is none.

    Attributes
    ----------
    peak_exc, peak_inh : float
        Largest values of the kernels, us.
    lowest : float
        Depth that inhibition approaches.
    linear, highest : float
        Height up to which excitation adds up, and the one that it approaches.
    """

    peak_exc: float
    peak_inh: float
    lowest: float
    linear: float
    highest: float

    @classmethod
    def of_neuron(
        cls, rails: SaturationConfig, tau_us: tuple[float, float, float], leak_lsb: float, threshold_lsb: float
    ) -> Saturation:
        """Of a neuron with these time constants (tau_mem, tau_exc, tau_inh), leak and mean threshold."""
        tau_mem, tau_exc, tau_inh = tau_us
        lowest = max(leak_lsb - rails.lower_rail_lsb, 1.0)
        linear = highest = math.inf
        if threshold_lsb > rails.upper_linear_lsb:
            linear = max(rails.upper_linear_lsb - leak_lsb, 0.0)
            highest = linear + max(rails.upper_rail_lsb - leak_lsb - linear, 1.0)
        return cls(kernel_peak(tau_mem, tau_exc), kernel_peak(tau_mem, tau_inh), lowest, linear, highest)

    def inhibit(self, u: float, i_inh: float, jump: float) -> float:
        """Inhibitory current after an event with this jump, both in LSB/us, at a membrane u."""
        depth = max(-u, 0.0) + self.peak_inh * i_inh
        return i_inh + _pushed(depth, self.peak_inh * jump, self.lowest) / self.peak_inh

    def excite(self, u: float, i_exc: float, jump: float) -> float:
        """Excitatory current after an event with this jump, both in LSB/us, at a membrane u."""
        height, push = max(u, 0.0) + self.peak_exc * i_exc, self.peak_exc * jump
        linear = min(push, max(self.linear - height, 0.0))
        if linear < push:
            beyond = max(height - self.linear, 0.0)
            linear += _pushed(beyond, push - linear, self.highest - self.linear)
        return i_exc + linear / self.peak_exc


def _pushed(depth: float, push: float, room: float) -> float:
    """How much deeper a push gets that is worth so many LSB at rest; never less than 0 by a rounding error."""
    if push == 0.0 or depth >= room:
        return 0.0
    return max(room * math.tanh(math.atanh(depth / room) + push / room) - depth, 0.0)
