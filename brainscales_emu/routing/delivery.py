"""Proof by brute force that a placed chip delivers what was wanted.

Nothing of the placer's own bookkeeping is believed: every source sends one event, and `Fabric.deliver` follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..constants import BACKGROUND, EXTERNAL, FIRST_DELAY_OUTPUT, N_CIRCUITS, N_COLUMNS
from ..errors import PlacementError
from .description import Background, External, Placement, Population, Projection
from .fabric import DELAY_TRIGGER_WEIGHT, Fabric, random_begin
from .labels import FIRST_L2_OUTPUT

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Delivered(NamedTuple):
    """What the events of each source do, by brute force.

    Attributes
    ----------
    excitatory, inhibitory : (n_sources, 512) int64
        Total weight on the neuron whose master is this circuit; what enters a delay element is in column 256 + 2k.
    triggers : (n_sources, 128) bool
        Delay elements that the source triggers.
    to_host : list of (int, int) or None
        L2 output and label that leave for the host, None if the events don't leave.
    """

    excitatory: IntArray
    inhibitory: IntArray
    triggers: BoolArray
    to_host: list[tuple[int, int] | None]


def delivered(fabric: Fabric) -> Delivered:
    """Send one event from every source, by `Fabric.deliver` alone, and note where it arrives."""
    weights = np.zeros((2, fabric.n_sources, N_CIRCUITS), dtype=np.int64)
    to_host: list[tuple[int, int] | None] = []
    for source in range(fabric.n_sources):
        event = fabric.event(source)
        reached = {} if event is None else fabric.deliver(*event)
        for synapse in (synapse for synapses in reached.values() for synapse in synapses):
            circuit = fabric.master[synapse.half * N_COLUMNS + synapse.column]
            weights[0 if synapse.sign > 0 else 1, source, circuit] += synapse.weight
        outputs = [output for output in reached if output >= FIRST_L2_OUTPUT]
        to_host.append((outputs[0], event[1]) if outputs and event else None)
    entered = weights[0][:, FIRST_DELAY_OUTPUT - 1 :: 2]
    triggers = (entered >= DELAY_TRIGGER_WEIGHT) & (fabric.delay_register > 0)
    return Delivered(weights[0], weights[1], triggers, to_host)


def check(placement: Placement, projections: Sequence[Projection]) -> None:
    """Prove by brute force that the placed chip delivers exactly these projections.

    Parameters
    ----------
    placement : Placement
        Only its fabric and the numbers of its lines, circuits and delay outputs are believed.
    projections : sequence of Projection
        What was placed.

    Raises
    ------
    PlacementError
        A synapse is missing, too many (rule 4: it hears a label that isn't meant for it) or wrong in weight or sign;
        a delay element isn't triggered or set as wanted; a recorded neuron has no label of its own (rule 9).
    """
    fabric = placement.fabric
    got = delivered(fabric)
    wanted = np.zeros((2, fabric.n_sources, N_CIRCUITS), dtype=np.int64)
    triggers = np.zeros_like(got.triggers)
    recorded: set[int] = set()
    for number, projection in enumerate(projections):
        pre, post = _source_numbers(placement, projection.pre), placement.neurons[projection.post.name][:, 0]
        for population in (projection.pre, projection.post):
            if isinstance(population, Population) and population.recorded:
                recorded.update(placement.neurons[population.name][:, 0].tolist())
        outputs = placement.delays[number]
        if outputs is not None:
            elements = (outputs - FIRST_DELAY_OUTPUT) // 2
            triggers[pre, elements] = True
            wanted[0, pre, outputs - 1] = DELAY_TRIGGER_WEIGHT
            if not np.array_equal(fabric.delay_register[elements], np.asarray(projection.delay_registers)):
                raise PlacementError(f"the delay registers of projections[{number}] aren't those of the fabric")
            recorded.update(outputs.tolist())
            pre = outputs
        weights = np.asarray(projection.weights)
        wanted[0][np.ix_(pre, post)] += np.maximum(weights, 0)
        wanted[1][np.ix_(pre, post)] += np.maximum(-weights, 0)
    for sign, have, want in zip(("excitatory", "inhibitory"), got[:2], wanted, strict=True):
        wrong = np.argwhere(have != want)
        if len(wrong):
            source, circuit = wrong[0]
            raise PlacementError(
                f"source {source} reaches circuit {circuit} with a total {sign} weight of {have[source, circuit]} "
                f"instead of {want[source, circuit]} LSB",
                rule=None if want[source, circuit] else 4,
            )
    if np.any(triggers != got.triggers):
        source, element = np.argwhere(triggers != got.triggers)[0]
        verb = "doesn't trigger" if triggers[source, element] else "triggers"
        raise PlacementError(f"source {source} {verb} delay element {element}")
    senders = Counter(got.to_host)
    for circuit in sorted(recorded):
        address = got.to_host[circuit]
        if address is None or senders[address] > 1:
            problem = "don't leave for the host" if address is None else f"leave with the label of others, {address[1]}"
            raise PlacementError(f"the spikes of recorded circuit {circuit} {problem}", rule=9)


def _source_numbers(placement: Placement, population: Population | External | Background) -> IntArray:
    if isinstance(population, Population):
        return placement.neurons[population.name][:, 0]
    if isinstance(population, External):
        return EXTERNAL + placement.lines[population.name]
    generator = placement.generators[population.name]
    if population.size == 1:
        return np.array([BACKGROUND + generator])
    first, last = random_begin(placement.fabric)[generator : generator + 2]
    if last - first != population.size:
        raise PlacementError(f"background generator {generator} has {last - first} labels for {population.name!r}")
    return np.arange(first, last)
