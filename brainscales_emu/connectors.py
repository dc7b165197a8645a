"""What a projection of `network` can be made of: which pairs are connected, by which weights and delays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats, integers
from .beyond import MAX_DELAY_US
from .constants import MAX_TOTAL_WEIGHT
from .errors import ChipError, check_number
from .mismatch import stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Shape = tuple[int, int]  # n_pre, n_post


@dataclass(frozen=True)
class AllToAll:
    """Every source to every neuron."""

    allow_self_connections: bool = True

    def connected(self, name: str, shape: Shape) -> BoolArray:
        """Which pairs are connected, (n_pre, n_post), self-connections included."""
        return np.ones(shape, dtype=bool)


@dataclass(frozen=True)
class OneToOne:
    """Source k to neuron k; both populations have the same size."""

    allow_self_connections: bool = True

    def connected(self, name: str, shape: Shape) -> BoolArray:
        """As of `AllToAll`."""
        if shape[0] != shape[1]:
            raise ChipError(
                f"{name}: OneToOne() needs populations of one size, these have {shape[0]} and {shape[1]}; take "
                "AllToAll() with a matrix of weights"
            )
        return np.eye(shape[0], dtype=bool)


@dataclass(frozen=True)
class FixedProbability:
    """Each pair with this probability, drawn from a seed."""

    p_connect: float
    seed: int
    allow_self_connections: bool = True

    def connected(self, name: str, shape: Shape) -> BoolArray:
        """As of `AllToAll`."""
        check_number(f"{name}: p_connect", self.p_connect, 0.0, 1.0, "", "give a probability")
        check_number(f"{name}: seed", self.seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        return stream(self.seed, "network.fixed_probability").random(shape) < self.p_connect


Connector = AllToAll | OneToOne | FixedProbability


def connect(name: str, connector: Connector, shape: Shape, to_itself: bool) -> BoolArray:
    """Which pairs a connector connects.

    Parameters
    ----------
    name : str
        Of the projection, for messages.
    connector : AllToAll, OneToOne or FixedProbability
    shape : (int, int)
        Sizes of both populations.
    to_itself : bool
        They are the same one.

    Returns
    -------
    (n_pre, n_post) bool

    Raises
    ------
    ChipError
        The connector is none, or doesn't fit the populations.
    """
    if not isinstance(connector, Connector):
        raise ChipError(
            f"{name}: the connector is a {type(connector).__name__}; give AllToAll(), OneToOne() or "
            "FixedProbability(p_connect, seed), and a matrix as weight"
        )
    connected = connector.connected(name, shape)
    if to_itself and not connector.allow_self_connections:
        connected &= ~np.eye(shape[0], dtype=bool)
    return connected


def signed_weights(name: str, weight: ArrayLike, receptor_type: str | None, shape: Shape) -> IntArray:
    """Weights of all pairs in LSB, negative for inhibitory; arguments as of `Network.Projection`."""
    remedy = "give whole LSB, one weight for all pairs or one each"
    weights = integers(f"{name}: weight", weight, [(), shape], -MAX_TOTAL_WEIGHT, MAX_TOTAL_WEIGHT, "LSB", remedy)
    weights = np.broadcast_to(weights, shape)
    if receptor_type not in (None, "excitatory", "inhibitory"):
        raise ChipError(f"{name}: receptor_type = {receptor_type!r} is unknown; take excitatory or inhibitory")
    if receptor_type == "excitatory" and weights.min() < 0:
        raise ChipError(
            f"{name}: weight holds {weights.min()} LSB, but receptor_type is excitatory; drop one of the two"
        )
    if receptor_type == "inhibitory":
        if weights.min() < 0 < weights.max():
            raise ChipError(f"{name}: weight has both signs, but receptor_type is inhibitory; drop receptor_type")
        return -np.abs(weights)
    return weights


def spread_delays(name: str, delay_us: ArrayLike | None, shape: Shape) -> FloatArray:
    """Delays of all pairs in us; arguments as of `Network.Projection`."""
    given = 0.0 if delay_us is None else delay_us
    remedy = "give one delay in us, one per source, or one per pair"
    delays = floats(f"{name}: delay_us", given, [(), shape[:1], shape], 0.0, MAX_DELAY_US, "us", remedy)
    return np.broadcast_to(delays[:, None] if delays.ndim == 1 else delays, shape)
