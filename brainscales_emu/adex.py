"""Adaptation and exponential upswing (AdEx) on top of the leaky integrate-and-fire neuron.

With u = V - leak and the adaptation w as a potential, all in LSB::

    tau_m du/dt = -u + delta_t exp((V - v_t) / delta_t) - w + tau_m (i_exc - i_inh)
    tau_w dw/dt = a (V - w_leak) - w           di_x/dt = -i_x / tau_x
    V >= threshold:  V -> reset, held for the refractory time;  w -> w + b

In the symbols of Brette and Gerstner (2005), who have a conductance a and currents w and b: the a here is a / g_l, w
and b are w / g_l and b / g_l. Adaptation and currents go on while V is held. With a = b = 0 and delta_t = 0, which
stands for "no upswing", this is the leaky integrate-and-fire neuron, exactly. The threshold is that of the chip's
comparator: with an upswing it must lie well above v_t to be no more than the end of the spike.

The chip has these terms (vendor software); the ranges of their parameters are not published, those below are assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .constants import MAX_POTENTIAL_LSB, N_CIRCUITS
from .errors import check_number

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AdexConfig:
    """Adaptation and upswing of all neuron circuits; the default has neither. Ranges are assumed.

    Attributes
    ----------
    a : float
        Subthreshold adaptation relative to the leak conductance, LSB of w per LSB of V - w_leak.
    w_leak_lsb : float or None
        Potential from which the adaptation sees V; None is the circuit's own leak. (The chip has two leak potentials.
        A current that drives the neuron all the time is a raised leak_lsb; with w_leak_lsb where the leak was before.)
    b_lsb : float
        Step of the adaptation w with each spike: by so many LSB it lowers the potential at which V would rest.
    tau_w_us : float
        Time constant of the adaptation.
    delta_t_lsb : float
        Slope factor of the upswing; 0 switches it off.
    v_t_lsb : float
        Potential at which the upswing alone has the slope delta_t / tau_m.
    tolerance : float
        Error allowed in one step of the integrator, relative to threshold - reset.
    a_std, b_std, tau_w_std, delta_t_std : float
        Fixed pattern: relative standard deviation from circuit to circuit.
    w_leak_std_lsb, v_t_std_lsb : float
        Fixed pattern: standard deviation of the potentials, in LSB.
    """

    a: float = 0.0
    w_leak_lsb: float | None = None
    b_lsb: float = 0.0
    tau_w_us: float = 100.0
    delta_t_lsb: float = 0.0
    v_t_lsb: float = 120.0
    tolerance: float = 1e-9
    a_std: float = 0.0
    b_std: float = 0.0
    tau_w_std: float = 0.0
    delta_t_std: float = 0.0
    w_leak_std_lsb: float = 0.0
    v_t_std_lsb: float = 0.0

    def __post_init__(self) -> None:
        check_number("chip.adex.a", self.a, -10.0, 100.0, "", "give it relative to the leak conductance")
        check_number("chip.adex.b_lsb", self.b_lsb, -MAX_POTENTIAL_LSB, MAX_POTENTIAL_LSB, "LSB", "give b / g_l")
        check_number("chip.adex.tau_w_us", self.tau_w_us, 0.5, 10_000.0, "us", "give a time constant of chip time")
        if self.delta_t_lsb != 0.0:
            remedy = "give 0 for no upswing"
            check_number("chip.adex.delta_t_lsb", self.delta_t_lsb, 0.5, 50.0, "LSB", remedy)
        remedy = "choose a potential that the 8-bit converter can read"
        if self.w_leak_lsb is not None:
            check_number("chip.adex.w_leak_lsb", self.w_leak_lsb, 0.0, MAX_POTENTIAL_LSB, "LSB", remedy)
        check_number("chip.adex.v_t_lsb", self.v_t_lsb, 0.0, MAX_POTENTIAL_LSB, "LSB", remedy)
        check_number("chip.adex.tolerance", self.tolerance, 1e-13, 1e-3, "", "give a relative error")
        for entry in fields(self):
            name, value = f"chip.adex.{entry.name}", getattr(self, entry.name)
            if entry.name.endswith("_std_lsb"):
                check_number(name, value, 0.0, 50.0, "LSB", "give a standard deviation in LSB")
            elif entry.name.endswith("_std"):
                check_number(name, value, 0.0, 1.0, "", "give a relative standard deviation, 0.05 for 5 %")


@dataclass(frozen=True)
class AdexPattern:
    """Adaptation and upswing of each circuit of one particular chip: (512,) float64, units as in `AdexConfig`."""

    a: FloatArray
    w_leak_lsb: FloatArray
    b_lsb: FloatArray
    tau_w_us: FloatArray
    delta_t_lsb: FloatArray
    v_t_lsb: FloatArray


def draw_adex_pattern(
    config: AdexConfig, leak_lsb: FloatArray, stream: Callable[[str], np.random.Generator]
) -> AdexPattern:
    """Fixed pattern of a chip: each quantity from a stream of its own, relative spreads lognormal, potentials normal.

    Parameters
    ----------
    config : AdexConfig
    leak_lsb : (512,) float64
        Leak of each circuit's membrane, ``FixedPattern.leak_lsb``.
    stream : callable
        Random generator for a name, ``partial(mismatch.stream, serial)``.
    """

    def normal(name: str, std: float) -> FloatArray:
        return std * stream(f"fixed_pattern.adex_{name}").standard_normal(N_CIRCUITS)

    def relative(name: str, std: float) -> FloatArray:
        variance = np.log1p(std**2)
        return np.exp(normal(name, np.sqrt(variance)) - variance / 2)

    w_leak = leak_lsb if config.w_leak_lsb is None else config.w_leak_lsb
    return AdexPattern(
        a=config.a * relative("a", config.a_std),
        w_leak_lsb=w_leak + normal("w_leak", config.w_leak_std_lsb),
        b_lsb=config.b_lsb * relative("b", config.b_std),
        tau_w_us=config.tau_w_us * relative("tau_w", config.tau_w_std),
        delta_t_lsb=config.delta_t_lsb * relative("delta_t", config.delta_t_std),
        v_t_lsb=config.v_t_lsb + normal("v_t", config.v_t_std_lsb),
    )
