"""The pairs of events and spikes that one correlation sensor sees."""

from __future__ import annotations

from itertools import pairwise

from numpy.typing import ArrayLike

from ..arrays import floats


def neighbour_lags(events_us: ArrayLike, spikes_us: ArrayLike) -> tuple[list[float], list[float]]:
    """Lags of the causal and of the acausal pairs of one synapse, in the order of time.

    Parameters
    ----------
    events_us, spikes_us : (n,) array_like of float
        Events at the synapse and spikes of its neuron, in any order.
    """
    remedy = "drop the other times"
    events = floats("correlation.event_times_us", events_us, (None,), unit="us", remedy=remedy)
    spikes = floats("correlation.spike_times_us", spikes_us, (None,), unit="us", remedy=remedy)
    # An event sorts before a spike of the same time.
    history = sorted([(t, "event") for t in events] + [(t, "spike") for t in spikes])
    causal: list[float] = []
    acausal: list[float] = []
    for (before, first), (now, second) in pairwise(history):
        if (first, second) == ("event", "spike"):
            causal.append(float(now - before))
        if (first, second) == ("spike", "event"):
            acausal.append(float(now - before))
    return causal, acausal
