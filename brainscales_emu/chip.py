"""The one door into the emulated chip: configure it, write a network, run it, look at what comes back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import kernels
from .config import ChipConfig
from .constants import ANALOGUE_CELLS, CYCLES_PER_US, EXTERNAL, N_COLUMNS, SYNAPSE_BITS
from .delay import register_to_us
from .errors import ChipError, check_number
from .mismatch import FixedPattern, draw_fixed_pattern, stream
from .routing import Wiring
from .system import Phase, execute, to_cycles

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FIRST_CAPACITY = 4096  # recorded spikes; doubled when a run has more


@dataclass(frozen=True)
class Probe:
    """Membranes to be looked at in a run, which no real chip offers with this precision.

    Attributes
    ----------
    circuits : (n_circuits,) array_like of int
        Network circuits that are switched on.
    times_us : array_like of float, (n_times,)
        Within the run, in any order.
    """

    circuits: ArrayLike
    times_us: ArrayLike


@dataclass(frozen=True)
class Recording:
    """What one run returned. Events are in order of tick, then of circuit.

    Attributes
    ----------
    ticks : (n,) int64
        Time of each spike in FPGA cycles of 8 ns, rounded down.
    circuits : (n,) int64
        Circuit that spiked; the output of delay element k is circuit 257 + 2k.
    analogue_times_us : (n,) float64
        Exact time of each spike. A real chip doesn't tell; for tests and figures.
    lost_events : int
        Events that met a busy delay element.
    membrane_lsb : (n_probe_circuits, n_times) float64 or None
        What the probe saw.
    """

    ticks: IntArray
    circuits: IntArray
    analogue_times_us: FloatArray
    lost_events: int
    membrane_lsb: FloatArray | None


@dataclass(frozen=True)
class Account:
    """What all executions so far took and moved. Times of the host link are modelled."""

    runs: int = 0
    real_time_us: float = 0.0
    configuration_ns: int = 0  # configure and settle
    upload_ns: int = 0
    readback_ns: int = 0
    words_written: int = 0
    input_events: int = 0
    recorded_events: int = 0
    lost_events: int = 0


def build_neurons(config: ChipConfig, pattern: FixedPattern, circuits: IntArray) -> NDArray[np.void]:
    """Neurons at rest, as NEURON records in the units of the engine."""
    rate_mem = 1.0 / pattern.tau_mem_us[circuits]
    rate_exc = 1.0 / pattern.tau_syn_exc_us[circuits]
    rate_inh = 1.0 / pattern.tau_syn_inh_us[circuits]
    leak = pattern.leak_lsb[circuits]
    # The kernel is largest at s = log(rate_exc / rate_mem) / (rate_exc - rate_mem), where its slope
    # exp(-rate_exc s) - rate_mem K(s) is 0; log1p(x) / x in a form that holds at x = 0.
    x = rate_exc / rate_mem - 1.0
    near = np.abs(x) < 1e-6
    s = np.where(near, 1.0 - x / 2.0, np.log1p(x) / np.where(near, 1.0, x)) / rate_mem
    neurons = kernels.records(circuits.size, kernels.NEURON)
    neurons["circuit"] = circuits
    neurons["rate_mem"], neurons["rate_exc"], neurons["rate_inh"] = rate_mem, rate_exc, rate_inh
    neurons["reset"] = pattern.reset_lsb[circuits] - leak
    neurons["mean_threshold"] = pattern.threshold_lsb[circuits] - leak
    neurons["peak_exc"] = np.exp(-rate_exc * s) / rate_mem * (1.0 + 1e-9)  # never too low by a rounding error
    neurons["held_exc"] = np.exp(-rate_exc * config.refractory_us)
    neurons["held_inh"] = np.exp(-rate_inh * config.refractory_us)
    neurons["refractory"] = config.refractory_us
    return neurons


def build_network(config: ChipConfig, pattern: FixedPattern, wiring: Wiring) -> kernels.Network:
    """The wired chip in the units of the engine."""
    order = np.argsort(wiring.row_source, kind="stable")
    weights = wiring.row_weight[order][:, wiring.circuits]
    position, neuron = np.nonzero(weights)
    row, circuit = order[position], wiring.circuits[neuron]
    sign = wiring.row_sign[row]
    gain = np.where(sign > 0, pattern.gain_exc[circuit], pattern.gain_inh[circuit])
    gain *= config.synaptic_gain * pattern.driver_gain[row] * pattern.synapse_gain[row, circuit]
    synapses = kernels.records(row.size, kernels.SYNAPSE)
    synapses["neuron"] = neuron
    synapses["jump"] = sign * gain * weights[position, neuron]

    triggers = np.argsort(wiring.delay_source, kind="stable")
    sources = np.arange(EXTERNAL + wiring.n_inputs + 1)
    fan_out = kernels.records(sources.size, kernels.FAN_OUT)
    fan_out["synapse"] = np.searchsorted(wiring.row_source[row], sources)
    fan_out["trigger"] = np.searchsorted(wiring.delay_source[triggers], sources)
    elements = wiring.delay_register.size
    delays = register_to_us(wiring.delay_register) * pattern.delay_gain[:elements]
    return kernels.Network(
        neurons=build_neurons(config, pattern, wiring.circuits),
        fan_out=fan_out,
        synapses=synapses,
        triggers=triggers,
        delays=delays + pattern.delay_offset_us[:elements],
        latency=float(config.event_latency_us),
        threshold_noise=float(config.noise.threshold_noise_std_lsb),
        delay_jitter=float(config.noise.delay_jitter_us),
    )


def build_inputs(times_us: FloatArray, sources: IntArray) -> NDArray[np.void]:
    """Input events as SPIKE records, ascending in time; events of equal time stay in order."""
    order = np.argsort(times_us, kind="stable")
    inputs = kernels.records(order.size, kernels.SPIKE)
    inputs["time"], inputs["source"] = times_us[order], sources[order]
    return inputs


class Chip:
    """An emulated BrainScaleS-2 chip with its host link.

    Parameters
    ----------
    config : ChipConfig
    serial : int
        Serial number: decides the fixed pattern, and nothing else does.
    seed : int
        Seed of the trial-to-trial noise.
    """

    def __init__(self, config: ChipConfig, serial: int, seed: int) -> None:
        check_number("chip.seed", seed, 0, 2**63 - 1, "", "give a seed", whole=True)
        self.config = config
        self.seed = seed
        self.fixed_pattern: FixedPattern = draw_fixed_pattern(config, serial)
        self.account = Account()
        self.timeline: tuple[Phase, ...] = ()
        self._wiring: Wiring | None = None
        self._pending_words = 0
        self._analogue_written = False

    def write(self, wiring: Wiring) -> None:
        """Put a network into the digital memory; it is sent with the next run.

        Parameters
        ----------
        wiring : Wiring
            E.g. ``place_feedforward(...).wiring``.
        """
        if not isinstance(wiring, Wiring):
            raise ChipError(f"Chip.write got {type(wiring).__name__}, not a Wiring; pass placement.wiring")
        self._wiring = wiring
        self._network = build_network(self.config, self.fixed_pattern, wiring)
        # Modelled: a row's synapses, then one word each for the row's and the delay element's settings.
        row_words = -(-N_COLUMNS * SYNAPSE_BITS // self.config.link.word_bits) + 1
        self._pending_words = row_words * wiring.row_source.size + wiring.delay_register.size

    def run(
        self,
        times_us: ArrayLike,
        labels: ArrayLike,
        duration_us: float,
        trial: int,
        probe: Probe | None = None,
    ) -> Recording:
        """Play input events to the network that was written, in one real-time section from rest.

        Parameters
        ----------
        times_us : (n,) array_like of float
            Times of the input events, 0..duration_us, in any order. The FPGA plays each in the 8 ns cycle that it
            lies in, unless the configuration says ``exact_input_times``.
        labels : (n,) array_like of int
            Input label of each event.
        duration_us : float
            Length of the run.
        trial : int
            Number of the trial: the same trial has the same noise, to the bit.
        probe : Probe or None
            Membranes to sample; sampling doesn't change the run.

        Returns
        -------
        Recording

        Raises
        ------
        ChipError
            No network was written, or an argument is out of range.
        """
        wiring = self._wiring
        if wiring is None:
            raise ChipError("Chip.run was called before a network was written; call Chip.write(wiring) first")
        check_number("chip.duration_us", duration_us, 1e-3, 1e9, "us", "give the length of the run")
        check_number("chip.trial", trial, 0, 2**63 - 1, "", "give the number of the trial", whole=True)
        inputs = self._inputs(wiring, times_us, labels, float(duration_us))
        sampling, probe_order = self._sampling(wiring, probe, float(duration_us))
        rng = stream(self.seed, "trial", trial)
        state = kernels.new_state(self._network, _FIRST_CAPACITY)

        def play() -> int:
            nonlocal state
            end = np.nextafter(duration_us, np.inf)  # an event at the very end still counts
            kernels.start(self._network, state, rng)
            while kernels.advance(end, self._network, inputs, sampling, state, rng) != kernels.DONE:
                state = kernels.enlarged(state)
            return int(state.progress[0]["recorded"])

        settle = not self._analogue_written
        words = self._pending_words + (ANALOGUE_CELLS if settle else 0)
        link = self.config.link
        self.timeline = execute(link, words, settle, inputs.size, duration_us, play)
        self._pending_words, self._analogue_written = 0, True

        recorded, lost = int(state.progress[0]["recorded"]), int(state.progress[0]["lost"])
        self._book(words + inputs.size * link.words_per_event, duration_us, inputs.size, recorded, lost)
        times, circuits = state.spikes["time"][:recorded], state.spikes["source"][:recorded]
        ticks = to_cycles(times)
        order = np.argsort(ticks * EXTERNAL + circuits, kind="stable")
        membrane = None
        if probe is not None:
            membrane = np.empty_like(sampling.membrane)
            leak = self.fixed_pattern.leak_lsb[wiring.circuits[sampling.neurons]]
            membrane[:, probe_order] = sampling.membrane + leak[:, None]
        return Recording(ticks[order], circuits[order], times[order], lost, membrane)

    def _inputs(self, wiring: Wiring, times_us: ArrayLike, labels: ArrayLike, duration_us: float) -> NDArray[np.void]:
        times = np.asarray(times_us, dtype=np.float64)
        sources = np.asarray(labels)
        if times.ndim != 1 or sources.shape != times.shape:
            raise ChipError(
                f"chip.times_us has shape {times.shape} and chip.labels {sources.shape}; give two vectors of one length"
            )
        if times.size and sources.dtype.kind not in "iu":
            raise ChipError(f"chip.labels are of type {sources.dtype}; give integers")
        bad = np.flatnonzero(~((times >= 0.0) & (times <= duration_us)))
        if bad.size:
            raise ChipError(
                f"chip.times_us[{bad[0]}] = {times[bad[0]]} us is outside 0..{duration_us:g} us; "
                "lengthen the run or leave the event out"
            )
        bad = np.flatnonzero((sources < 0) | (sources >= wiring.n_inputs))
        if bad.size:
            raise ChipError(
                f"chip.labels[{bad[0]}] = {sources[bad[0]]} is no input label 0..{wiring.n_inputs - 1}; "
                "place the network with more inputs"
            )
        if not self.config.exact_input_times:
            times = to_cycles(times) / CYCLES_PER_US
        return build_inputs(times, EXTERNAL + sources.astype(np.int64))

    def _sampling(self, wiring: Wiring, probe: Probe | None, duration_us: float) -> tuple[kernels.Sampling, IntArray]:
        circuits = np.asarray([] if probe is None else probe.circuits)
        times = np.asarray([] if probe is None else probe.times_us, dtype=np.float64)
        for circuit in circuits.tolist():
            if circuit not in wiring.circuits:
                raise ChipError(
                    f"probe.circuits holds {circuit}, which is no network circuit that is switched on; "
                    "take circuits from placement.neurons"
                )
        if times.ndim != 1 or not np.all((times >= 0.0) & (times <= duration_us)):
            raise ChipError(f"probe.times_us must be a vector of times within 0..{duration_us:g} us; drop the others")
        order = np.argsort(times, kind="stable")
        neurons = np.searchsorted(wiring.circuits, circuits.astype(np.int64))
        return kernels.Sampling(neurons, times[order], np.empty((circuits.size, times.size))), order

    def _book(self, words: int, duration_us: float, input_events: int, recorded: int, lost: int) -> None:
        spent = {phase.name: phase.end_ns - phase.start_ns for phase in self.timeline}
        before = self.account
        self.account = replace(
            before,
            runs=before.runs + 1,
            real_time_us=before.real_time_us + duration_us,
            configuration_ns=before.configuration_ns + spent.get("configure", 0) + spent.get("settle", 0),
            upload_ns=before.upload_ns + spent["upload"],
            readback_ns=before.readback_ns + spent["read-back"],
            words_written=before.words_written + words,
            input_events=before.input_events + input_events,
            recorded_events=before.recorded_events + recorded,
            lost_events=before.lost_events + lost,
        )
