"""A whole chip without limits of its event path, event by event."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..config import ChipConfig
from ..constants import BACKGROUND, FIRST_DELAY_OUTPUT, N_COLUMNS
from ..delay import register_to_us
from ..instant import latest
from ..mismatch import FixedPattern
from ..refractory import refractory_us
from ..routing.fabric import DELAY_TRIGGER_WEIGHT, Fabric, Synapse
from ..routing.labels import FIRST_L2_OUTPUT
from ..stp import SHAPE, Plasticity
from .lif import LifNeuron
from .saturation import Saturation
from .stp import DriverEfficacy
from .trial_noise import TrialNoise


@dataclass
class Route:
    """What an event of one source reaches through one crossbar output, followed by hand.

    Attributes
    ----------
    output : int
        Crossbar output 0..11; 8..11 lead to the host.
    synapses : list of (driver, master circuit, i_exc, i_inh)
        Driver as (half, number), steps of the currents in LSB/us.
    elements : list of int
        Delay elements that are triggered.
    late : list of (float, Route)
        The synapses with a delay of their own (see `beyond`), by this delay in us.
    """

    output: int
    synapses: list[tuple[tuple[int, int], int, float, float]]
    elements: list[int]
    late: list[tuple[float, Route]] = field(default_factory=list)


class WiredChip:
    """Neurons, routes and delays of a chip with its digital memory, one by one.

    Parameters
    ----------
    config : ChipConfig
    pattern : FixedPattern
    fabric : Fabric
    plasticity : Plasticity or None
    synapse_delay_us : (2, 256, 256) float64 or None
    """

    def __init__(
        self,
        config: ChipConfig,
        pattern: FixedPattern,
        fabric: Fabric,
        plasticity: Plasticity | None = None,
        synapse_delay_us: NDArray[np.float64] | None = None,
    ) -> None:
        self.synapse_delay_us = synapse_delay_us
        self.config, self.pattern, self.fabric = config, pattern, fabric
        self.members: dict[int, list[int]] = {}  # circuits of each neuron, by its master
        for circuit in np.flatnonzero(fabric.neuron_enabled).tolist():
            self.members.setdefault(int(fabric.master[circuit]), []).append(circuit)
        self.mean_threshold = {}
        self.neurons = {}
        for master, circuits in sorted(self.members.items()):
            rates = 1.0 / pattern.tau_mem_us[circuits]
            leak = float(np.sum(rates * pattern.leak_lsb[circuits]) / np.sum(rates))
            self.mean_threshold[master] = float(pattern.threshold_lsb[master]) - leak
            tau_mem, tau_exc, tau_inh = (
                float(1.0 / np.mean(1.0 / tau[circuits]))
                for tau in (pattern.tau_mem_us, pattern.tau_syn_exc_us, pattern.tau_syn_inh_us)
            )
            taus, rails = (tau_mem, tau_exc, tau_inh), config.saturation
            threshold = float(pattern.threshold_lsb[master])
            self.neurons[master] = LifNeuron(
                taus,
                reset=float(pattern.reset_lsb[master]) - leak,
                threshold=self.mean_threshold[master],
                refractory_us=refractory_us(config),
                saturation=None if rails is None else Saturation.of_neuron(rails, taus, leak, threshold),
            )
        self.delay_us = {
            element: float(register_to_us(fabric.delay_register[element])) * pattern.delay_gain[element]
            + pattern.delay_offset_us[element]
            for element in np.flatnonzero(fabric.delay_register).tolist()
        }
        self.efficacies: dict[tuple[int, int], DriverEfficacy] = {}
        if plasticity is not None:
            for half, driver in np.ndindex(*SHAPE):
                self.efficacies[half, driver] = DriverEfficacy(config.stp, plasticity, half, driver)

    @lru_cache  # noqa: B019 (lives as long as the simulation)
    def routes(self, source: int) -> list[Route]:
        """Where the events of a source go, in the order of the crossbar's outputs."""
        event = self.fabric.event(source)
        if event is None:
            return []
        delivered = self.fabric.deliver(*event)
        weight: dict[int, int] = {}  # that comes to each delay element
        carrier: dict[int, int] = {}  # lowest output that leads there
        for output, synapses in sorted(delivered.items()):
            for synapse in synapses:
                element = synapse.column // 2
                if synapse.half == 1 and synapse.column % 2 == 0 and element in self.delay_us:
                    carrier.setdefault(element, output)
                    weight[element] = weight.get(element, 0) + (synapse.weight if synapse.sign > 0 else 0)
        triggered = [element for element in sorted(weight) if weight[element] >= DELAY_TRIGGER_WEIGHT]
        routes = []
        for output, synapses in sorted(delivered.items()):
            by_delay: dict[float, list] = {0.0: []}
            for synapse in synapses:
                step = self._step(synapse)
                if step[1] in self.neurons:
                    by_delay.setdefault(self._delay(synapse), []).append(step)
            at_once = by_delay.pop(0.0)
            late = [(delay_us, Route(output, steps, [])) for delay_us, steps in by_delay.items()]
            routes.append(Route(output, at_once, [e for e in triggered if carrier[e] == output], late))
        return routes

    def _delay(self, synapse: Synapse) -> float:
        if self.synapse_delay_us is None:
            return 0.0
        return float(self.synapse_delay_us[synapse.half, synapse.row, synapse.column])

    def _step(self, synapse: Synapse) -> tuple[tuple[int, int], int, float, float]:
        circuit = synapse.half * N_COLUMNS + synapse.column
        master = int(self.fabric.master[circuit])
        pattern, place = self.pattern, (synapse.half, synapse.row)
        gain = pattern.gain_exc[circuit] if synapse.sign > 0 else pattern.gain_inh[circuit]
        gain *= self.config.event_gain * pattern.driver_gain[place] * pattern.synapse_gain[(*place, synapse.column)]
        current = float(gain * synapse.weight / len(self.members.get(master, (0,))))
        driver = (synapse.half, synapse.row // 2)
        if not self.fabric.neuron_enabled[circuit]:
            master = -1
        return (driver, master, current, 0.0) if synapse.sign > 0 else (driver, master, 0.0, current)

    def deliver(self, route: Route, now: float) -> set[int]:
        """An event reaches its synapses; which neurons they belong to."""
        effects: dict[tuple[int, int], float] = {}
        for driver, master, i_exc, i_inh in route.synapses:
            if driver not in effects:
                effects[driver] = self.efficacies[driver].drive(now) if self.efficacies else 1.0
            self.neurons[master].advance(now)
            self.neurons[master].receive(effects[driver] * i_exc, effects[driver] * i_inh)
        return {synapse[1] for synapse in route.synapses}


def simulate_reference(
    chip: WiredChip,
    times_us: list[float],
    sources: list[int],
    duration_us: float,
    trial_noise: TrialNoise,
) -> tuple[list[tuple[float, int]], int]:
    """Event-driven simulation of a chip without limits of its event path, written to be read: the twin of the
    compiled engine. What happens at one instant does so in the order that `instant` says.

    Parameters
    ----------
    chip : WiredChip
        Used up by the simulation.
    times_us, sources : list
        Input events, ascending in time, with their source numbers.
    duration_us : float
        Length of the run; an event at its very end still counts.
    trial_noise : TrialNoise
        A number for each threshold of a neuron, and for each event that triggers a delay element.

    Returns
    -------
    spikes : list of (time_us, source)
        What the host sees, in order of time: spikes of neurons and delay elements, and input events that come back.
    lost : int
        Events that met a busy delay element.
    """
    noise = chip.config.noise

    def draw(std: float, source: int) -> float:
        return std * trial_noise.draw(source) if std > 0.0 else 0.0

    def recorded(source: int) -> bool:
        return any(route.output >= FIRST_L2_OUTPUT for route in chip.routes(source))

    for master, neuron in chip.neurons.items():
        neuron.set_threshold(chip.mean_threshold[master] + draw(noise.threshold_noise_std_lsb, master))
    next_spike = {master: neuron.next_spike_us() for master, neuron in chip.neurons.items()}
    inputs = list(zip(times_us, sources, strict=True))
    arrivals: list[tuple[float, int]] = []  # spikes on the chip on their way to the crossbar's outputs
    late: list[tuple[float, Route]] = []  # events that wait in synapses
    waiting: dict[int, float] = {}  # busy delay elements and when they fire
    spikes: list[tuple[float, int]] = []
    lost = 0

    def act(source: int) -> None:
        """An event comes to the crossbar's outputs."""
        nonlocal lost
        for route in chip.routes(source):
            for master in chip.deliver(route, now):
                next_spike[master] = chip.neurons[master].next_spike_us()
            late.extend((now + delay_us, behind) for delay_us, behind in route.late)
            late.sort(key=lambda event: event[0])
            for element in route.elements:
                if element in waiting:
                    lost += 1
                else:
                    jitter = draw(noise.delay_jitter_us, FIRST_DELAY_OUTPUT + 2 * element)
                    waiting[element] = now + max(chip.delay_us[element] + jitter, 0.0)

    def spike(source: int) -> None:
        if recorded(source):
            spikes.append((now, source))
        arrivals.append((now + chip.config.event_latency_us, source))

    now = -math.inf
    while True:
        first = min([math.inf, *next_spike.values(), *waiting.values()])
        first = min([first, *(queue[0][0] for queue in (inputs, arrivals, late) if queue)])  # type: ignore[index]
        if first > latest(now):
            now = first  # the next instant
        if now > duration_us:
            return spikes, lost

        crossing = [master for master, time_us in next_spike.items() if time_us <= latest(now)]
        firing = [element for element, time_us in waiting.items() if time_us <= latest(now)]
        if crossing:
            master = min(crossing)
            neuron = chip.neurons[master]
            neuron.advance(now)
            neuron.spike(chip.mean_threshold[master] + draw(noise.threshold_noise_std_lsb, master))
            next_spike[master] = neuron.next_spike_us()
            spike(master)
        elif firing:
            element = min(firing)
            del waiting[element]
            spike(FIRST_DELAY_OUTPUT + 2 * element)
        elif inputs and inputs[0][0] <= latest(now):
            source = inputs.pop(0)[1]
            if source >= BACKGROUND and recorded(source):
                spikes.append((now, source))
            act(source)
        elif arrivals and arrivals[0][0] <= latest(now):
            act(arrivals.pop(0)[1])
        else:
            for master in chip.deliver(late.pop(0)[1], now):
                next_spike[master] = chip.neurons[master].next_spike_us()
