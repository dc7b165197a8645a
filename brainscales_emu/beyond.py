"""What no real chip can: a delay of its own in each synapse, of any length.

An event passes the crossbar as always, with its slots and drops; from there it takes the delay of each synapse to get
to the neuron. Synapses of a source that share their route and their delay form a route of their own, which the engine
drives when the delay is over. Delays have no mismatch and no jitter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .constants import N_COLUMNS, N_ROWS
from .routing.routes import Routes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A second of chip time: more is a mistake in the unit.
MAX_DELAY_US = 1e6


class LateRoutes(NamedTuple):
    """Routes of which the last ones are late.

    Attributes
    ----------
    routes : Routes
        Synapses without delay stand on the routes that they had; the late routes are those of one source more.
    parent : (n_late,) int64
        Ascending: when this route is passed, the delay begins.
    queue : (n_late,) int64
        Which of `delays_us` it takes.
    delays_us : (n_queues,) float64
        All delays above 0, ascending.
    """

    routes: Routes
    parent: IntArray
    queue: IntArray
    delays_us: FloatArray


def check_delays(synapse_delay_us: ArrayLike) -> FloatArray:
    """The delays of all synapses as (2, 256, 256) float64 [half, row, column], or ChipError."""
    shape, remedy = (2, N_ROWS, N_COLUMNS), "give a time in us for each [half, row, column]"
    return floats("chip.synapse_delay_us", synapse_delay_us, shape, 0.0, MAX_DELAY_US, "us", remedy)


def delay_routes(routes: Routes, synapse_delay_us: FloatArray | None) -> LateRoutes:
    """Move the synapses that have a delay to late routes.

    Parameters
    ----------
    routes : Routes
    synapse_delay_us : (2, 256, 256) float64 or None
        0 is no delay; None is none at all.

    Returns
    -------
    LateRoutes
    """
    if synapse_delay_us is None:
        return LateRoutes(routes, np.arange(0), np.arange(0), np.zeros(0))
    n_routes = routes.output.size
    delay = synapse_delay_us[routes.half, routes.row, routes.column]
    late = np.flatnonzero(delay > 0.0)
    delays_us, queue = np.unique(delay[late], return_inverse=True)
    route = np.repeat(np.arange(n_routes), np.diff(routes.synapse_begin))
    group, number = np.unique(route[late] * delays_us.size + queue, return_inverse=True)
    parent, queue = group // max(delays_us.size, 1), group % max(delays_us.size, 1)
    route[late] = n_routes + number
    order = np.argsort(route, kind="stable")
    half, row, column, weight, sign = (values[order] for values in routes[3:8])
    begin = np.zeros(n_routes + group.size + 1, dtype=np.int64)
    np.cumsum(np.bincount(route, minlength=begin.size - 1), out=begin[1:])
    moved = routes._replace(
        begin=np.append(routes.begin, n_routes + group.size),
        output=np.append(routes.output, routes.output[parent]),
        synapse_begin=begin,
        half=half,
        row=row,
        column=column,
        weight=weight,
        sign=sign,
        delay_begin=np.append(routes.delay_begin, routes.delay_begin[-1]),
    )
    return LateRoutes(moved, parent, queue, delays_us)
