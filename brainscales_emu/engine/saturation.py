"""Synaptic inputs saturate: what an event adds to a current, given what is on its way to the membrane already.

A transconductance amplifier saturates as a tanh (modelled; rails from `config.SaturationConfig`). With K the largest
value of a neuron's inhibitory kernel and A its room from leak down to the rail, the depth d = max(-u, 0) + K i_inh
bounds how far below leak the membrane can get by all that is on its way. An event moves it by dd/dx = 1 - (d / A)^2,
integrated over x = K jump: with q = d / A, kappa = K / A and the reach tanh(kappa jump) / kappa of the event at rest ::

    i_inh += reach (1 - q^2) / (1 + kappa reach q)

and nothing once q >= 1. It is the addition of tanhs, so that events of one time add up to the same in any order. No
event takes d beyond A, so that no membrane passes the rail, unless a reset puts it low while a current flows. Between
events the membrane is the linear one, and d, a bound and not the trough itself, first grows: what comes some us later
is weakened more than what comes at once. Excitation does the same above leak, after a part that is linear.

A refractory neuron counts as what it is at the time of the event: at reset, with the current of that time.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import njit

# How a neuron's inputs saturate, relative to its room: per LSB of the membrane and per LSB/us of the current (kappa, in
# us/LSB), the inhibitory input below leak and the excitatory one above; and the height up to which the latter is
# linear. All 0: the input is linear.
SATURATION = np.dtype(
    (
        np.record,
        [(name, np.float64) for name in ("per_lsb_inh", "kappa_inh", "per_lsb_exc", "kappa_exc", "linear_exc")],
    )
)

_LEAST_LEFT = 1e-300  # of a current after a refractory time that outlasts it by far: 0 can't be undone


@njit(cache=True, error_model="numpy", forceinline=True)
def reach(jump, kappa):
    """Step of the current in LSB/us by an event with this jump, not negative, at a neuron at rest."""
    return math.tanh(kappa * jump) / kappa


@njit(cache=True, error_model="numpy", forceinline=True)
def inhibited(reached, u, i_inh, per_lsb, kappa):
    """Step of the inhibitory current by an event that would add `reached` (LSB/us) at rest."""
    q = min(max(-u, 0.0) * per_lsb + i_inh * kappa, 1.0)
    return reached * (1.0 - q * q) / (1.0 + kappa * reached * q)


@njit(cache=True, error_model="numpy", forceinline=True)
def excited(jump, u, i_exc, limit):
    """Step of the excitatory current by an event with this jump in LSB/us; limit is the neuron's SATURATION."""
    before = max(u, 0.0) * limit.per_lsb_exc + i_exc * limit.kappa_exc - limit.linear_exc
    drive = limit.kappa_exc * jump
    if before + drive <= 0.0:
        return jump
    q = min(max(before, 0.0), 1.0)
    added = math.tanh(min(drive, before + drive))  # by the part of the event beyond the linear range
    return (max(-before, 0.0) + added * (1.0 - q * q) / (1.0 + added * q)) / limit.kappa_exc


@njit(cache=True, error_model="numpy")
def saturated(jump, left, plastic, neuron, limit):
    """What is added to a current of a neuron of `lif` or `adex` by a synaptic event, at its time.

    jump in LSB/us is negative if inhibitory, and so is the result; it is then the reach, unless drivers are plastic. Of
    all currents `left` is left when the neuron's state holds, which lies in the future while it is refractory.
    """
    left = max(left, _LEAST_LEFT)
    if jump > 0.0:
        if limit.kappa_exc == 0.0:
            return jump
        return excited(jump, neuron.membrane, neuron.current_exc / left, limit)
    reached = reach(-jump, limit.kappa_inh) if plastic else -jump
    return -inhibited(reached, neuron.membrane, neuron.current_inh / left, limit.per_lsb_inh, limit.kappa_inh)
