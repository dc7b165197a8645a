"""Records that all kernels share: the network, its queues, and how far a run has come. A neuron's are in `lif` and
`adex`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# First route of a source, and the crossbar output to the host that its events take, -1 if they aren't recorded. The
# entry after the last source holds the ends, and so do those after the last route and row.
SOURCE = np.dtype((np.record, [("route", np.int64), ("host_output", np.int64)]))

# A way through one crossbar output of the synapse arrays: its first row, its first trigger, and the first late route
# that it starts.
ROUTE = np.dtype((np.record, [(name, np.int64) for name in ("output", "row", "trigger", "late")]))

# A late route: its queue and its number among the routes.
LATE = np.dtype((np.record, [("queue", np.int64), ("route", np.int64)]))

# A queue of late routes: their delay in us, places of the first and the last one that wait, -1 if none does.
QUEUE = np.dtype((np.record, [("delay", np.float64), ("first", np.int64), ("last", np.int64)]))

# A place in a queue: when which route is driven, and the next place, -1 if it is the last. Free places form a list too.
DELAYED = np.dtype((np.record, [("time", np.float64), ("route", np.int64), ("next", np.int64)]))

# Synapses of one synapse row that answer a route: synapse driver, +1 or -1, first synapse.
ROW = np.dtype((np.record, [("driver", np.int64), ("sign", np.int64), ("synapse", np.int64)]))

# A synapse: neuron, and LSB/us per event, negative if inhibitory.
SYNAPSE = np.dtype((np.record, [("neuron", np.int64), ("jump", np.float64)]))

# A crossbar output: length of a slot in ns, events that fit into its FIFO; next free slot, events that wait and the
# place of the first of them in the ring; events that passed or will, and events dropped.
OUTPUT = np.dtype(
    (
        np.record,
        [("slot_ns", np.float64)]
        + [(name, np.int64) for name in ("depth", "free_slot", "waiting", "first", "passed", "dropped")],
    )
)

# An event that waits for a slot of a crossbar output, and when that slot begins.
WAITING = np.dtype((np.record, [("time", np.float64), ("route", np.int64)]))

# Short-term plasticity of a synapse driver, as in `stp`: efficacy at `time`, the value to which it recovers and how
# quickly (1/us), the one to which an event moves it and by which part of the way, and what is added in its effect.
DRIVER = np.dtype(
    (
        np.record,
        [
            (name, np.float64)
            for name in ("time", "efficacy", "rest", "rate", "target", "utilisation", "offset", "effect")
        ],
    )
)

# An input event.
INPUT = np.dtype((np.record, [("time", np.float64), ("source", np.int64)]))

# A spike, or an input event that went to the host. `stamp` is when it left the chip (us), inf if it never did.
SPIKE = np.dtype((np.record, [("time", np.float64), ("source", np.int64), ("stamp", np.float64)]))

# A place in the heap. Item n is neuron n, item N + k delay element k and, if the event path has limits, item
# N + D + o crossbar output o; the queues come last. All items are always there; time is inf where nothing is due, so
# that a delay element is busy if its time is finite.
EVENT = np.dtype((np.record, [("time", np.float64), ("index", np.int64)]))

# How far a run has come: inputs played, spikes delivered to the crossbar, probe times done, spikes in the record,
# events lost at busy delay elements; first free place for late events, -1 if there is none, and number of those that
# are taken; 1 if no neuron in lockstep is left that crosses at the present instant; when that instant began, and time
# at which the states in lockstep hold.
PROGRESS = np.dtype(
    (
        np.record,
        [
            (name, np.int64)
            for name in ("played", "delivered", "sampled", "recorded", "lost", "free", "taken", "crossed")
        ]
        + [("instant", np.float64), ("time", np.float64)],
    )
)

# What `advance` returns: all is done, or there is no room for another spike or late event.
DONE, RECORD_FULL, QUEUES_FULL = 0, 1, 2


class Sampling(NamedTuple):
    """Membrane probe: neurons (C,), ascending times (P,) in us, result (C, P) in LSB above leak."""

    neurons: NDArray[np.int64]
    times: NDArray[np.float64]
    membrane: NDArray[np.float64]


def records(shape: int | tuple[int, ...], dtype: np.dtype) -> NDArray[np.void]:
    """Array of records, all zero."""
    return np.zeros(shape, dtype=dtype)
