"""What is placed, and what comes of it: populations, inputs and projections, and their placement on the chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import floats, integers
from ..constants import FIRST_DELAY_OUTPUT, MAX_TOTAL_WEIGHT, MAX_WEIGHT
from ..delay import check_registers
from ..display import Shown
from ..errors import ChipError, PlacementError, placement_errors
from .fabric import Fabric

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Neurons of one kind.

    Attributes
    ----------
    name : str
    size : int
    circuits : int
        Circuits that are merged to one neuron, 1..32: neighbours among the 32 columns of one event output
        (modelled). Merging is never automatic, because it changes the neuron.
    recorded : bool
        Spikes go to the host. Those of a presynaptic population go there as well if it shares an event output with a
        recorded one.
    """

    name: str
    size: int
    circuits: int = 1
    recorded: bool = True


@dataclass(frozen=True)
class External:
    """Inputs whose spikes the host sends."""

    name: str
    size: int


@dataclass(frozen=True)
class Background:
    """A background generator of the chip.

    Attributes
    ----------
    name : str
    size : int
        1, or a power of two up to 64: each event then comes from one of that many sources at random.
    period : int
        In cycles of 8 ns, 1..65535.
    poisson : bool
        Binned Poisson instead of regular.
    rate : int
        0..255; a Poisson generator spikes in a period if a random byte is not above it.
    seed : int
        32 bits.
    """

    name: str
    size: int
    period: int
    poisson: bool = True
    rate: int = 255
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    Attributes
    ----------
    pre : Population, External or Background
    post : Population
    weights : (n_pre, n_post) array_like of int
        In LSB, negative for inhibitory; 0 is no synapse. Weights beyond 63 take several synapses.
    delay_registers : (n_pre,) array_like of int or None
        50..250: every source goes through a delay element of its own.
    rewritable : bool
        Keep an excitatory and an inhibitory synapse (or as many of each as the largest weight needs) for every pair,
        so that `Placement.with_weights` can write any other weights, as training does.
    """

    pre: Population | External | Background
    post: Population
    weights: ArrayLike
    delay_registers: ArrayLike | None = None
    rewritable: bool = False


class Sites(NamedTuple):
    """Where the synapses of one connection stand: sources and targets, sign, `unit` counts the synapses of a pair,
    `cell` is a flat index."""

    pre: IntArray
    post: IntArray
    sign: IntArray
    unit: IntArray
    cell: IntArray

    def weights(self, matrix: IntArray, name: str) -> IntArray:
        """Weight of each synapse for a signed matrix: the first unit of a pair takes up to 63, the next one the rest...

        Raises
        ------
        PlacementError
            A weight has no synapse of its sign, or too few.
        """
        try:
            wanted = self.sign * matrix[self.pre, self.post] - MAX_WEIGHT * self.unit
        except IndexError:
            raise PlacementError(
                f"{name} has shape {matrix.shape}, which isn't that of the placed projection"
            ) from None
        weights = np.minimum(np.maximum(wanted, 0), MAX_WEIGHT)
        if weights.sum() != np.abs(matrix).sum():
            self._refuse(matrix, weights, name)
        return weights

    def _refuse(self, matrix: IntArray, weights: IntArray, name: str) -> None:
        pair = self.pre * matrix.shape[1] + self.post
        written = np.bincount(pair, weights=weights, minlength=matrix.size)
        at = divmod(int(np.flatnonzero(written != np.abs(matrix).ravel())[0]), matrix.shape[1])
        raise PlacementError(
            f"{name}[{at[0]}, {at[1]}] = {matrix[at]} doesn't fit into the synapses that the projection has for this "
            "pair; place it with rewritable=True and its largest weight"
        )


class Rewriting(NamedTuple):
    """Other weights and delays of a network that was placed. Made by `Placement.rewriting`, which checks them.

    fabric is the one that was placed; cell (n,) int64 are flat indices into its weights [half, row, column], weight
    (n,) int64 their values 0..63, delay_register (128,) int64 the registers of all delay elements.
    """

    fabric: Fabric
    cell: IntArray
    weight: IntArray
    delay_register: IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Placement(Shown):
    """A network on the chip.

    Attributes
    ----------
    fabric : Fabric
    neurons : dict of str to (n, m) int64
        Circuits of each neuron of each population; the first one is the master, whose spikes are recorded.
    lines : dict of str to (n,) int64
        External line of each input; one line serves both halves.
    generators : dict of str to int
        Background generator 0..7 of each `Background`.
    delays : tuple of (n_pre,) int64 or None
        Output circuits of the delay elements of each projection; they are recorded.
    sites : tuple
        Where the synapses of each projection stand, for `with_weights`.
    """

    fabric: Fabric
    neurons: dict[str, IntArray]
    lines: dict[str, IntArray]
    generators: dict[str, int]
    delays: tuple[IntArray | None, ...]
    sites: tuple[Sites, ...]

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        return {
            "neurons": {name: len(circuits) for name, circuits in self.neurons.items()},
            "inputs": {name: lines.size for name, lines in self.lines.items()},
            "synapses": int(np.count_nonzero(self.fabric.weight)),
            "delay elements": int(np.count_nonzero(self.fabric.delay_register)),
        }

    @cached_property
    def _cells(self) -> IntArray:
        return np.concatenate([sites.cell for sites in self.sites])

    def with_weights(
        self, weights: Sequence[ArrayLike], delay_registers: Sequence[ArrayLike | None] | None = None
    ) -> Placement:
        """The same placement with other weights. Parameters and errors as of `rewriting`."""
        rewriting, memory = self.rewriting(weights, delay_registers), self.fabric.weight.copy()
        memory.reshape(-1)[rewriting.cell] = rewriting.weight
        memory.flags.writeable = False
        return replace(self, fabric=self.fabric.with_weights(memory, rewriting.delay_register))

    def rewriting(
        self, weights: Sequence[ArrayLike], delay_registers: Sequence[ArrayLike | None] | None = None
    ) -> Rewriting:
        """What other weights and delays change in the memory, for `Chip.rewrite`.

        Parameters
        ----------
        weights : sequence of (n_pre, n_post) array_like of int
            One matrix per projection, in LSB.
        delay_registers : sequence of (n_pre,) array_like of int or None
            One vector per projection that has delays; None leaves the registers as they are.

        Raises
        ------
        PlacementError
            A weight has no synapse of its sign, or too few; ``Projection(rewritable=True)`` provides them.
        """
        values = []
        for number, (sites, matrix) in enumerate(zip(self.sites, weights, strict=True)):
            name = f"weights[{number}]"
            values.append(sites.weights(check_weights(name, matrix, (None, None)), name))
        registers = self.fabric.delay_register
        if delay_registers is not None:
            registers = registers.copy()
            for number, (outputs, given) in enumerate(zip(self.delays, delay_registers, strict=True)):
                if (outputs is None) != (given is None):
                    had = "no delays" if outputs is None else "delays"
                    raise PlacementError(
                        f"delay_registers[{number}]: the projection was placed with {had}; place the network again"
                    )
                if outputs is not None and given is not None:
                    name = f"delay_registers[{number}]"
                    registers[elements_of(outputs)] = check_delay_registers(name, given, outputs.size)
        return Rewriting(self.fabric, self._cells, np.concatenate(values), registers)

    def synapse_delays(self, delay_us: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """Delays for `Chip.write` that are in the synapses, which no real chip has, see `beyond`.

        Parameters
        ----------
        delay_us : sequence of (n_pre, n_post) array_like of float
            One matrix per projection.

        Returns
        -------
        (2, 256, 256) float64
            [half, row, column], 0 where no projection has a synapse.

        Raises
        ------
        ChipError
            A delay is out of range, or a matrix too small for the projection.
        """
        memory = np.zeros(self.fabric.weight.shape)
        for number, (sites, matrix) in enumerate(zip(self.sites, delay_us, strict=True)):
            name = f"delay_us[{number}]"
            delays = floats(name, matrix, (None, None), 0.0, unit="us", remedy="give a time in us for each pair")
            try:
                memory.reshape(-1)[sites.cell] = delays[sites.pre, sites.post]
            except IndexError:
                raise ChipError(f"{name} has shape {delays.shape}, which isn't that of the placed projection") from None
        return memory


def check_weights(
    name: str,
    values: ArrayLike,
    shape: tuple[int | None, int | None],
    highest: int = MAX_TOTAL_WEIGHT,
    remedy: str = "give whole LSB, one row per source",
) -> IntArray:
    """The weights as int64, or PlacementError."""
    with placement_errors():
        return integers(name, values, shape, -highest, highest, "LSB", remedy)


def check_delay_registers(name: str, values: ArrayLike, size: int) -> IntArray:
    """The registers of so many sources as int64, or PlacementError."""
    with placement_errors():
        return check_registers(name, values, (size,))


def elements_of(outputs: IntArray) -> IntArray:
    """Numbers of the delay elements with these output circuits."""
    return (outputs - FIRST_DELAY_OUTPUT) // 2
