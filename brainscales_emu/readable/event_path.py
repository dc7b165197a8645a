"""A chip with its limited event path, every event of it in simpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from ..config import ChipConfig
from ..constants import FIRST_DELAY_OUTPUT
from ..instant import latest
from ..mismatch import FixedPattern
from ..routing.fabric import Fabric
from ..routing.labels import FIRST_L2_OUTPUT, N_OUTPUTS
from ..system import Process
from .chip import Route, WiredChip

CYCLE_US = 0.008
TOLERANCE = 1e-6  # of a slot, by which an event at the beginning of a slot may come too early


class Gate:
    """Lets so many events pass per slot of a clock; the others wait in a bounded store, or are dropped."""

    def __init__(
        self, env: simpy.Environment, slot_us: float, per_slot: int, depth: int, deliver: Callable[[Any, float], None]
    ) -> None:
        self.env, self.slot_us, self.per_slot, self.depth, self.deliver = env, slot_us, per_slot, depth, deliver
        self.fifo = simpy.Store(env, capacity=max(depth, 1))
        self.slot, self.used = -1, 0
        self.passed = self.dropped = 0

    def arrive(self, item: Any, now: float) -> None:
        slot = math.floor(now / self.slot_us + TOLERANCE)
        if slot > self.slot:
            self.slot, self.used = slot, 0
            self.env.process(self.serve())
        if self.used < self.per_slot:
            self.used += 1
            self.passed += 1
            self.deliver(item, now)
        elif len(self.fifo.items) < self.depth:
            self.fifo.put((item, now))
        else:
            self.dropped += 1

    def serve(self) -> Process:
        """From slot to slot, as long as events wait."""
        while True:
            yield self.env.timeout((self.slot + 1 - TOLERANCE) * self.slot_us - self.env.now)
            if not self.fifo.items:
                return
            self.slot, self.used = self.slot + 1, 0
            start_us = self.slot * self.slot_us
            leaving = []
            while self.fifo.items and self.used < self.per_slot:
                leaving.append((yield self.fifo.get()))
                self.used += 1
                self.passed += 1
            yield self.env.timeout(start_us - self.env.now)
            for item, _ in leaving:
                self.deliver(item, start_us)


class EventPathChip:
    """Host, link, FPGA, crossbar outputs, neurons, delay elements.

    After `run`: `spikes` is a list of (time that the host sees in us, exact time, source).
    """

    def __init__(self, config: ChipConfig, pattern: FixedPattern, fabric: Fabric) -> None:
        self.chip = WiredChip(config, pattern, fabric)
        assert config.event_path is not None
        self.path = config.event_path
        self.env = simpy.Environment()
        self.spikes: list[tuple[float, float, int]] = []
        self.lost, self.over = 0, False
        self.version = dict.fromkeys(self.chip.neurons, 0)
        self.busy: set[int] = set()
        path = self.path
        self.outputs = [
            Gate(self.env, path.slot_ns / 1000, 1, path.fifo_depth, self.reach_synapses)
            if output < FIRST_L2_OUTPUT
            else Gate(self.env, path.l2_slot_ns / 1000, 1, path.l2_fifo_depth, self.leave_chip)
            for output in range(N_OUTPUTS)
        ]
        self.link = Gate(self.env, CYCLE_US, path.chip_to_fpga, path.l2_fifo_depth, self.reach_host)

    def at(self, time_us: float, do: Callable[..., None], *arguments: Any) -> None:
        """Do something at a time."""

        def process() -> Process:
            yield self.env.timeout(max(time_us - self.env.now, 0.0))
            do(*arguments)

        self.env.process(process())

    def at_spike(self, time_us: float, do: Callable[..., None], *arguments: Any) -> None:
        """Do something at a time, before the events of that instant act."""
        self.at(time_us - (latest(time_us) - time_us), do, *arguments)

    def run(self, cycles: list[int], sources: list[int], duration_us: float) -> None:
        """Play input events, given in cycles of the FPGA."""
        self.env.process(self.fpga(list(zip(cycles, sources, strict=True))))
        for master in self.chip.neurons:
            self.predict(master)
        self.env.run(until=math.nextafter(duration_us, math.inf))  # an event at the very end still counts
        self.over = True  # what waits at the outputs still leaves, but nothing comes of it on the chip
        self.env.run()

    def fpga(self, program: list[tuple[int, int]]) -> Process:
        """Plays one event after the other, at most so many per cycle."""
        cycle, played = 0, 0
        for wanted, source in program:
            if wanted > cycle:
                cycle, played = wanted, 0
            elif played == self.path.fpga_to_chip:
                cycle, played = cycle + 1, 0
            played += 1
            if cycle * CYCLE_US > self.env.now:
                yield self.env.timeout(cycle * CYCLE_US - self.env.now)
            self.enter(source, cycle / 125, cycle / 125, onto_host=True)
            self.enter(source, cycle / 125, cycle / 125, onto_host=False)

    def enter(self, source: int, spike_us: float, now: float, onto_host: bool) -> None:
        """An event comes to the crossbar's outputs, either those to the host or the others."""
        if self.over:
            return
        for route in self.chip.routes(source):
            if (route.output >= FIRST_L2_OUTPUT) == onto_host:
                self.outputs[route.output].arrive((route, source, spike_us), now)

    def reach_synapses(self, item: tuple[Route, int, float], now: float) -> None:
        """An event passed an output to the synapses."""
        route, _, _ = item
        if self.over:
            return
        for master in self.chip.deliver(route, now):
            self.predict(master)
        for element in route.elements:
            if element in self.busy:
                self.lost += 1
            else:
                self.busy.add(element)
                fire_us = now + self.chip.delay_us[element]
                self.at_spike(fire_us, self.fire, element, fire_us)

    def predict(self, master: int) -> None:
        """Forget the neuron's next spike and look for it anew."""
        self.version[master] += 1
        time_us = self.chip.neurons[master].next_spike_us()
        if time_us < math.inf:
            self.at_spike(time_us, self.cross, master, time_us, self.version[master])

    def cross(self, master: int, now: float, version: int) -> None:
        """A neuron reaches its threshold."""
        if version != self.version[master] or self.over:
            return  # input came in between
        neuron = self.chip.neurons[master]
        neuron.advance(now)
        neuron.spike(self.chip.mean_threshold[master])
        self.predict(master)
        self.spike(master, now)

    def fire(self, element: int, now: float) -> None:
        """The delay of an element is over."""
        if self.over:
            return
        self.busy.remove(element)
        self.spike(FIRST_DELAY_OUTPUT + 2 * element, now)

    def spike(self, source: int, now: float) -> None:
        """A spike leaves for the host and for the synapses."""
        self.enter(source, now, now, onto_host=True)
        arrival_us = now + self.chip.config.event_latency_us
        self.at(arrival_us, self.enter, source, now, arrival_us, False)

    def leave_chip(self, item: tuple[Route, int, float], now: float) -> None:
        """An event passed an output to the host."""
        # Outputs in order, where several let an event pass at one time: far less than any other time.
        self.at(now + (item[0].output - FIRST_L2_OUTPUT) * 1e-10, self.link.arrive, (*item, now), now)

    def reach_host(self, item: tuple[Route, int, float, float], _: float) -> None:
        """An event got over the link to the host."""
        source, spike_us, stamp_us = item[1:]
        self.spikes.append((stamp_us, spike_us, source))

    @property
    def dropped(self) -> NDArray[np.int64]:
        """Events that met a full FIFO at each output."""
        return np.array([gate.dropped for gate in self.outputs])

    @property
    def passed(self) -> NDArray[np.int64]:
        """Events that passed each output."""
        return np.array([gate.passed for gate in self.outputs])
