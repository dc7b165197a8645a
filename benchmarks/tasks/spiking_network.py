"""A network of stochastic spiking neurons on the emulated chip, which samples independent sets of a graph.

One leaky integrate-and-fire neuron per vertex. A vertex is in the set while its neuron is refractory, that is for one
refractory time after a spike: neural sampling (L. Buesing, J. Bill, B. Nessler, W. Maass, PLoS Comput. Biol. 7,
e1002211, 2011; with such neurons M. A. Petrovici, J. Bill, I. Bytschok, J. Schemmel, K. Meier, Phys. Rev. E 94,
042312, 2016).

* An edge is a pair of inhibitory synapses. Their time constant is near the refractory time, so that a vertex in the set
  keeps its neighbours out for as long as it is in the set.
* Noise comes from the chip's background generators, four in each half. Each has 16 sources, which fire at random; a
  neuron listens to one source of each generator, and shares at most two of these four with any other neuron.
* The host plays a drive, one synapse on every neuron, ever faster during a run: at first only neurons without any
  inhibition fire, and in the end sets without room for another vertex are all that is left. That anneals.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainscales_emu import preset
from brainscales_emu.chip import Chip
from brainscales_emu.constants import CYCLES_PER_US
from brainscales_emu.routing.placement import Background, External, Population, Projection, place

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# These and the numbers below were found by random search on graphs of seeds 100 to 103, none of which is scored.
# A chip with the mismatch and trial noise of the preset and other targets, within the ranges of the vendor's
# calibration; that synapses can be twice as strong is assumed. From leak to threshold it is 30 LSB instead of 70, and
# both are as high as the vendor's calibration goes, so that inhibition has room above the lower rail.
CONFIG = replace(
    preset("calibrated"),
    tau_mem_us=3.0,
    tau_syn_exc_us=4.0,
    tau_syn_inh_us=12.0,
    refractory_us=12.0,
    leak_lsb=160.0,
    reset_lsb=160.0,
    threshold_lsb=190.0,
    synaptic_gain=2 * preset("calibrated").synaptic_gain,
)

EDGE_LSB, NOISE_LSB, DRIVE_LSB = -63, 10, 22
NOISE_LABELS, NOISE_PERIOD_CYCLES = 16, 31  # each source fires 0.25 times per us, at random
DRIVE_MHZ = (0.3, 1.0)  # events per us at the beginning and at the end of a run
HALF, GENERATORS = 256, 4  # neurons and generators of one half of the chip


class Spikes(NamedTuple):
    """Spikes of one run: times_us (n,) float64, ascending, and the vertex (n,) int64 of each."""

    times_us: Floats
    vertices: Ints


class SamplingNetwork:
    """A graph on the chip.

    Parameters
    ----------
    chip : Chip
    adjacency : ndarray, shape (n, n), bool
        Symmetric, no loops.

    Attributes
    ----------
    elapsed_us : float
        Modelled time of all runs: sending what is written, upload, real time, read-back. The clock starts when the
        first graph is on the chip and the analogue parameters have settled.
    synaptic_events : int
        Events that arrived at synapses in use. Those of the noise are counted by their mean.

    Raises
    ------
    brainscales_emu.errors.PlacementError
        The graph doesn't fit onto the chip.
    """

    def __init__(self, chip: Chip, adjacency: Bools) -> None:
        self.chip = chip
        self.size = len(adjacency)
        self.elapsed_us = 0.0
        self.synaptic_events = 0
        self.degrees = adjacency.sum(axis=1)
        populations, projections = _network(adjacency, self.size)
        self._placement = place(populations, projections)
        circuits = np.concatenate(list(self._placement.neurons.values()))[:, 0]
        self._vertex = np.full(circuits.max() + 1, -1)
        self._vertex[circuits] = np.arange(self.size)

    def load(self, adjacency: Bools) -> None:
        """Write another graph, whose edges are among those that were placed; vertices that it doesn't have are silent.

        Raises
        ------
        brainscales_emu.errors.PlacementError
            There is no synapse for an edge.
        """
        _, projections = _network(adjacency, self.size)
        self._placement = self._placement.with_weights([projection.weights for projection in projections])
        self.degrees = adjacency.sum(axis=1)

    def sample(self, duration_us: float, noise_seeds: Ints) -> Spikes:
        """Run the network once, from rest.

        Parameters
        ----------
        duration_us : float
        noise_seeds : (8,) array of int
            32 bits for each background generator.
        """
        self.chip.write(replace(self._placement.fabric, background_seed=noise_seeds))
        drive_us = _drive_times(duration_us)
        line = np.full(drive_us.size, self._placement.lines["drive"][0])
        recording = self.chip.run(drive_us, line, duration_us, trial=self.chip.account.runs)
        phases = {phase.name: phase for phase in self.chip.timeline}
        loaded_ns = phases["settle"].end_ns if "settle" in phases else 0  # the first graph isn't on the clock
        self.elapsed_us += 1e-3 * (self.chip.timeline[-1].end_ns - loaded_ns)
        spikes = Spikes(recording.ticks / CYCLES_PER_US, self._vertex[recording.circuits])
        noise_events = GENERATORS * duration_us * CYCLES_PER_US / NOISE_PERIOD_CYCLES / NOISE_LABELS
        active = len(self.degrees)
        self.synaptic_events += round(active * (noise_events + drive_us.size))
        self.synaptic_events += int(self.degrees[spikes.vertices].sum())
        return spikes


def _network(adjacency: Bools, size: int) -> tuple[list[Population | External | Background], list[Projection]]:
    """Populations and projections for a graph, with neurons without any weight up to `size`."""
    n = len(adjacency)
    inhibition = np.zeros((size, size), dtype=np.int64)
    inhibition[:n, :n] = EDGE_LSB * adjacency
    active = (np.arange(size) < n).astype(np.int64)
    bounds = [*range(0, size, HALF), size]
    drive = External("drive", 1)
    halves = [(slice(*ends), Population(f"vertices from {ends[0]} on", ends[1] - ends[0])) for ends in pairwise(bounds)]
    populations: list[Population | External | Background] = [drive, *(neurons for _, neurons in halves)]
    projections = []
    for mine, neurons in halves:
        projections.append(Projection(drive, neurons, DRIVE_LSB * active[np.newaxis, mine]))
        projections += [Projection(others, neurons, inhibition[theirs, mine]) for theirs, others in halves]
        for generator in range(GENERATORS):
            name = f"noise {generator} of {neurons.name}"
            noise = Background(name, NOISE_LABELS, NOISE_PERIOD_CYCLES, poisson=False)
            populations.append(noise)
            heard = _noise_labels(generator, neurons.size) == np.arange(NOISE_LABELS)[:, np.newaxis]
            projections.append(Projection(noise, neurons, NOISE_LSB * heard * active[mine]))
    return populations, projections


def _noise_labels(generator: int, n: int) -> Ints:
    """Source of a generator that each neuron listens to: lines of another slope in a square for each generator."""
    row, column = np.divmod(np.arange(n), NOISE_LABELS)
    return (row + generator * column) % NOISE_LABELS


def _drive_times(duration_us: float, rates_mhz: tuple[float, float] = DRIVE_MHZ) -> Floats:
    """Events whose rate rises linearly, in us."""
    low, high = rates_mhz
    counts = np.arange(int((low + high) / 2 * duration_us)) + 0.5
    slope = (high - low) / duration_us
    return (np.sqrt(low**2 + 2 * slope * counts) - low) / slope
