"""What happens at one instant, and in which order.

Times are sums of rounded numbers, so that two happenings of one instant, e.g. the crossings of equal neurons, may
differ in their last bits. Therefore a rule decides, not the rounding. The first happening begins an instant, and all
that is due before the instant is over belongs to it and gets its time. In this order, whatever is due at once:

1. spikes: neurons that reach their threshold, then delay elements that fire, each by number;
2. events that act: inputs in their order, then spikes that arrive at the crossbar in theirs, then events whose slot
   has come, by crossbar output, then those whose delay in the synapse is over.

A membrane is continuous, for synapses are currents: an event can't undo a crossing of the same instant. So what reaches
its threshold no later than an event spikes before the event acts, and what an event brings about comes after it.

An instant is 1e-13 of the time since the start of the run long, and of 1 us at least. That is 450 times the rounding
error of a time, and a tenth of the accuracy to which crossings are found.
"""

from __future__ import annotations

from .constants import SIMULTANEOUS


def latest(instant_us: float) -> float:
    """The last time (us) that belongs to an instant."""
    return instant_us + SIMULTANEOUS * max(instant_us, 1.0)


def settled(until_us: float) -> float:
    """A time (us) before which nothing is left once all instants that are over before `until_us` are handled."""
    return min(until_us * (1.0 - 2 * SIMULTANEOUS), until_us - 2 * SIMULTANEOUS)
