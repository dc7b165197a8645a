"""Networks without loops: which neurons and delay elements come after which, and runs of them level by level.

It is the same chip as in `engine.lif`, to rounding, and a run takes a fraction of the time, because a level is run from
beginning to end before the next one is. `Chip.run` takes this way by itself where a network has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .assembly import build_saturation, same_rates, synapse_gains
from .config import ChipConfig
from .constants import FIRST_DELAY_OUTPUT, N_CIRCUITS, N_COLUMNS
from .delay import nominal_us
from .engine.feedforward import FULL, run_elements, run_neurons, set_jumps
from .engine.lockstep import new_ensemble
from .mismatch import FixedPattern
from .routing.labels import FIRST_L2_OUTPUT, N_OUTPUTS
from .routing.routes import Wiring

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FIRST_CAPACITY = 4096  # spikes of a level; doubled, and the level run again, when it has more


class LoopError(Exception):
    """A network can't be run level by level."""


class Spikes(NamedTuple):
    """What a run did: times in us (n,) float64 and sources (n,) int64 of the events that leave for the host; events
    that were lost at busy delay elements; events that passed each crossbar output, (12,) int64."""

    times_us: FloatArray
    sources: IntArray
    lost: int
    passed: IntArray


class _Neurons(NamedTuple):
    """A level of neurons. Rows are the sources that they hear, columns the neurons."""

    sources: IntArray  # (n,) of their own spikes
    row_of: IntArray  # (n_sources,) row of each source of the chip, -1 if they don't hear it
    neurons: NDArray[np.void]
    saturation: NDArray[np.void]
    ensemble: FloatArray
    uniform: bool
    saturates_above: bool
    shape: tuple[int, int, int]  # of the jumps: excitatory and inhibitory ones, rows, columns
    place: IntArray  # flat index into the jumps, of each synapse
    cell: IntArray  # flat index of its weight in the chip's memory
    gain: FloatArray  # LSB/us per LSB
    kappa: FloatArray  # (n,) of the inhibitory inputs, see `engine.saturation`


class _Jumps(NamedTuple):
    """What events do to the currents of a level of neurons, (rows, columns) in LSB/us, and to which currents."""

    exc: FloatArray
    inh: FloatArray
    signs: IntArray


class _Elements(NamedTuple):
    """A level of delay elements."""

    sources: IntArray  # (n,) of their own spikes
    row_of: IntArray  # (n_sources,) the one that each source of the chip triggers, -1 if it triggers none
    elements: IntArray
    gain: FloatArray
    offset_us: FloatArray


class _Train(NamedTuple):
    """Events in order of time: when they come to the crossbar's outputs, and their sources."""

    times_us: FloatArray
    sources: IntArray


class FeedForward:
    """A network without loops on a chip; `set_weights` gives it weights and delays.

    Parameters
    ----------
    config : ChipConfig
        Without limits of the event path and without AdEx.
    pattern : FixedPattern
    wiring : Wiring
    members : sequence of (n,) int64
        Circuits of each neuron that is switched on, the master first.
    neurons : NEURON records
        Their neurons, of `assembly.build_neurons`.
    weight : (2, 256, 256) int64
        Synapses without a weight aren't there, and can't make a loop.
    rewritable : (n,) int64
        Flat indices of synapses that are there whatever their weight. What belongs together spikes at the same times to
        the last bit whatever was written before, because nothing else decides which neurons go together.

    Attributes
    ----------
    n_sources : int

    Raises
    ------
    LoopError
        There is a loop, or a source has several synapses of one sign at one neuron.
    """

    def __init__(
        self,
        config: ChipConfig,
        pattern: FixedPattern,
        wiring: Wiring,
        members: Sequence[IntArray],
        neurons: NDArray[np.void],
        weight: IntArray,
        rewritable: IntArray,
    ) -> None:
        self._config, self._pattern, self._wiring = config, pattern, wiring
        self._saturates, self._latency = config.saturation is not None, float(config.event_latency_us)
        self._threshold_noise = float(config.noise.threshold_noise_std_lsb)
        self._delay_jitter = float(config.noise.delay_jitter_us)
        weights = weight.reshape(-1)[wiring.synapses.cell]
        is_rewritable = np.isin(wiring.synapses.cell, rewritable)
        there = (weights > 0) | is_rewritable
        self._synapses: IntArray = np.flatnonzero(there)
        self._entering = weights[wiring.enters]
        self._rewritable, self._fixed = rewritable, np.flatnonzero(~is_rewritable)
        self._is_there = there[self._fixed]

        routes = wiring.routes(weight)
        self.n_sources = routes.begin.size - 1
        source_of_route = np.repeat(np.arange(self.n_sources), np.diff(routes.begin))
        self._ways = np.zeros((self.n_sources, N_OUTPUTS))  # floats, for the sake of a quick product
        np.add.at(self._ways, (source_of_route, routes.output), 1)
        self._recorded = np.asarray(self._ways[:, FIRST_L2_OUTPUT:].any(axis=1))

        # Targets are neurons, then delay elements.
        elements = np.unique(routes.delay_element)
        synapse, neuron = self._onto_neurons(members)
        source = np.concatenate([wiring.synapses.source[synapse], source_of_route[routes.delay_route]])
        target = np.concatenate([neuron, neurons.size + np.searchsorted(elements, routes.delay_element)])
        own = np.concatenate([neurons["circuit"], FIRST_DELAY_OUTPUT + 2 * elements])
        level = _levels(source, target, own, self.n_sources)
        saturation = build_saturation(config, pattern, members, neurons)
        merged = np.array([group.size for group in members], dtype=np.float64)
        self._levels: list[_Neurons | _Elements] = []
        for number in range(level.max(initial=-1) + 1):
            chosen = np.flatnonzero(level[: neurons.size] == number)
            if chosen.size:
                here = np.isin(neuron, chosen)
                gain, place, rows = self._place(synapse[here], np.searchsorted(chosen, neuron[here]), chosen.size)
                self._levels.append(
                    _Neurons(
                        sources=own[chosen],
                        row_of=self._rows(rows, np.arange(rows.size)),
                        neurons=neurons[chosen],
                        saturation=saturation[chosen],
                        ensemble=new_ensemble(neurons[chosen], saturation[chosen]),
                        uniform=same_rates(neurons[chosen]),
                        saturates_above=bool(saturation["kappa_exc"][chosen].any()),
                        shape=(2, rows.size, chosen.size),
                        place=place,
                        cell=wiring.synapses.cell[synapse[here]],
                        gain=gain / merged[neuron[here]],
                        kappa=np.ascontiguousarray(saturation["kappa_inh"][chosen]),
                    )
                )
            chosen = np.flatnonzero(level[neurons.size :] == number)
            if chosen.size:
                here = np.isin(target, neurons.size + chosen)
                first = np.searchsorted(chosen, target[here] - neurons.size)
                if np.unique(source[here]).size < source[here].size:
                    raise LoopError("a source triggers several delay elements")
                number_of = elements[chosen]
                self._levels.append(
                    _Elements(
                        sources=own[neurons.size + chosen],
                        row_of=self._rows(source[here], first),
                        elements=number_of,
                        gain=pattern.delay_gain[number_of],
                        offset_us=pattern.delay_offset_us[number_of],
                    )
                )
        self._hears = self._heard()
        self._capacity = _FIRST_CAPACITY

    def fits(self, weight: IntArray, rewritable: IntArray) -> bool:
        """Whether it would be the same for these arguments."""
        if rewritable is not self._rewritable:
            return False
        weights = weight.reshape(-1)[self._wiring.synapses.cell]
        fixed = weights[self._fixed] > 0
        return np.array_equal(fixed, self._is_there) and np.array_equal(weights[self._wiring.enters], self._entering)

    def set_weights(self, weight: IntArray, delay_register: IntArray) -> None:
        """Take these weights, (2, 256, 256) int64 that fit, and registers of the delay elements, (128,) int64."""
        weight = weight.reshape(-1)
        self._values: list[Any] = []  # `_Jumps` of neurons, delays in us of delay elements
        for level in self._levels:
            if isinstance(level, _Elements):
                self._values.append(nominal_us(delay_register[level.elements]) * level.gain + level.offset_us)
                continue
            jumps, signs = np.zeros(level.shape), np.zeros(level.shape[1], dtype=np.int64)
            set_jumps(weight, level.cell, level.gain, level.place, level.kappa, jumps, signs)
            self._values.append(_Jumps(jumps[0], jumps[1], signs))

    def play(self, times_us: FloatArray, sources: IntArray, duration_us: float, key: int) -> Spikes:
        """Play input events, in order of time and none after the end, in a trial with this key."""
        trains, spikes, lost = [_Train(times_us, sources)], [_Train(times_us, sources)], 0
        unheard = []  # spikes that come to the crossbar's outputs after the end
        for level, values, hears in zip(self._levels, self._values, self._hears, strict=True):
            events, rows = _merged([trains[number] for number in hears], level.row_of)
            if isinstance(level, _Neurons):
                times, own = self._run_neurons(level, values, events, rows, duration_us, key)
            else:
                times, own, missed = self._run_elements(level, values, events, rows, duration_us, key)
                lost += missed
            arrivals, own_sources = times + self._latency, level.sources[own]
            spikes.append(_Train(times, own_sources))
            heard = arrivals.searchsorted(duration_us, side="right")
            if heard < times.size:
                unheard.append(own_sources[heard:])
                arrivals, own_sources = arrivals[:heard], own_sources[:heard]
            trains.append(_Train(arrivals, own_sources))
        times_us = np.concatenate([train.times_us for train in spikes])
        sources = np.concatenate([train.sources for train in spikes])
        passed = self._count(sources)
        for late in unheard:
            passed[:FIRST_L2_OUTPUT] -= self._count(late)[:FIRST_L2_OUTPUT]
        leaving = self._recorded[sources]
        return Spikes(times_us[leaving], sources[leaving], lost, passed)

    def _run_neurons(
        self, level: _Neurons, jumps: _Jumps, events: FloatArray, rows: IntArray, end_us: float, key: int
    ) -> tuple[FloatArray, IntArray]:
        while True:
            times, own = np.empty(self._capacity), np.empty(self._capacity, dtype=np.int64)
            count = run_neurons(
                end_us,
                level.uniform,
                self._saturates,
                level.saturates_above,
                self._threshold_noise,
                key,
                events,
                rows,
                jumps.signs,
                jumps.exc,
                jumps.inh,
                level.neurons.copy(),
                level.saturation,
                level.ensemble.copy(),
                np.zeros(level.neurons.size, dtype=np.int64),
                times,
                own,
            )
            if count != FULL:
                return times[:count], own[:count]
            self._capacity *= 2

    def _run_elements(
        self, level: _Elements, delays: FloatArray, events: FloatArray, rows: IntArray, end_us: float, key: int
    ) -> tuple[FloatArray, IntArray, int]:
        times, own = np.empty(events.size), np.empty(events.size, dtype=np.int64)
        drawn = np.zeros(delays.size, dtype=np.int64)
        count, lost = run_elements(
            end_us, self._delay_jitter, key, events, rows, delays, level.sources, drawn, times, own
        )
        return times[:count], own[:count], lost

    def _count(self, sources: IntArray) -> IntArray:
        """Events of these sources that pass each crossbar output, if all do."""
        counts: IntArray = (np.bincount(sources, minlength=self.n_sources) @ self._ways).astype(np.int64)
        return counts

    def _heard(self) -> list[list[int]]:
        """Trains that each level hears: 0 is the chip's inputs, then the levels before."""
        inner = np.zeros(self.n_sources, dtype=bool)
        for level in self._levels:
            inner[level.sources[level.sources < self.n_sources]] = True
        return [
            [0] * bool(np.any((level.row_of >= 0) & ~inner))
            + [1 + k for k, before in enumerate(self._levels[:number]) if np.any(level.row_of[before.sources] >= 0)]
            for number, level in enumerate(self._levels)
        ]

    def _onto_neurons(self, members: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
        """Synapses of neurons, and their neurons."""
        neuron_of = np.full(N_CIRCUITS, -1)
        for neuron, group in enumerate(members):
            neuron_of[group] = neuron
        reached = self._wiring.synapses
        neuron = neuron_of[reached.half[self._synapses] * N_COLUMNS + reached.column[self._synapses]]
        return self._synapses[neuron >= 0], neuron[neuron >= 0]

    def _rows(self, sources: IntArray, rows: IntArray) -> IntArray:
        """Row of each source of the chip, -1 if it has none."""
        row_of = np.full(self.n_sources, -1)
        row_of[sources] = rows
        return row_of

    def _place(self, synapse: IntArray, column: IntArray, n_columns: int) -> tuple[FloatArray, IntArray, IntArray]:
        """Gain in LSB/us per LSB and place of each synapse in the jumps of a level, and the source of each row."""
        source, half, row, hardware_column, sign, _ = (values[synapse] for values in self._wiring.synapses)
        rows, at = np.unique(source, return_inverse=True)
        place = (np.where(sign > 0, 0, rows.size) + at) * n_columns + column
        if np.unique(place).size < place.size:
            raise LoopError("a source has several synapses of one sign at one neuron")
        return synapse_gains(self._config, self._pattern, half, row, hardware_column, sign), place, rows


def _levels(source: IntArray, target: IntArray, own: IntArray, n_sources: int) -> IntArray:
    """Level of each target, 0 if it hears no other; `own` is the source number of its spikes."""
    target_of = np.full(n_sources, -1)
    sends = own < n_sources
    target_of[own[sends]] = np.flatnonzero(sends)
    inner = target_of[source] >= 0
    before, after = target_of[source[inner]], target[inner]
    level = np.full(own.size, -1)
    number = 0
    while (level < 0).any():
        waits = np.zeros(own.size, dtype=bool)
        waits[after] = True
        free = ~waits & (level < 0)
        if not free.any():
            raise LoopError("there is a loop")
        level[free] = number
        left = level[before] < 0
        before, after, number = before[left], after[left], number + 1
    return level


def _merged(trains: Sequence[_Train], row_of: IntArray) -> tuple[FloatArray, IntArray]:
    """Events of those sources that have a row, in order of time, and their rows."""
    heard = []
    for train in trains:
        rows = row_of[train.sources]
        used = rows >= 0
        if used.all():
            heard.append((train.times_us, rows))
        elif used.any():
            heard.append((train.times_us[used], rows[used]))
    if len(heard) == 1:
        return heard[0]
    if not heard:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    times, rows = (np.concatenate(values) for values in zip(*heard, strict=True))
    order = np.argsort(times, kind="stable")
    return times[order], rows[order]
