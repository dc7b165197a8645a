"""The emulated BrainScaleS-2 chip as a target: placement, units, rounding, slots.

The host's model units meet the chip here: one tau_s is the chip's synaptic time constant, and a weight of 1 is as
many weight LSB as make the chip's nominal threshold equal to the model's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np

from brainscales_emu import PRESET_NAMES, ChipConfig, ChipError, MeasuredCircuits, preset
from brainscales_emu.beyond import MAX_DELAY_US
from brainscales_emu.calibration import read_codes
from brainscales_emu.capmem import Codes
from brainscales_emu.chip import Chip, Probe
from brainscales_emu.constants import (
    CYCLES_PER_US,
    DELAY_STEP_US,
    MAX_DELAY_REGISTER,
    MAX_WEIGHT,
    MIN_DELAY_REGISTER,
    N_CIRCUITS,
)
from brainscales_emu.delay import register_to_us, us_to_register
from brainscales_emu.mismatch import FixedPattern, draw_fixed_pattern
from brainscales_emu.routing.placement import Placement, place_feedforward
from neurohil.arrays import Shape, floats
from neurohil.errors import UserError
from neurohil.protocols import (
    Capabilities,
    Floats,
    Layer,
    LayerTimes,
    Provenance,
    Quantity,
    SampleRecord,
    SpikingNetwork,
)
from neurohil.ranges import Seed
from neurohil.tables import Changes, changed
from neurohil.targets.chip_spreads import spread_quantities
from neurohil.targets.errors import user_errors
from neurohil.targets.layers import MEMBRANE_SAMPLES, checked_layer, sample_record
from neurohil.text import exact

BEYOND = "per-synapse delays, which BrainScaleS-2 does not have"
MAX_LSB_PER_WEIGHT = 1e6  # beyond, all weights of any use are the largest
# What the emulator calls its parameters, and where they stand in an experiment.
KEYS = {
    "chip.": "target.chip.",
    "chip.noise": "target.noise",
    "chip.serial": "target.serial",
    "chip.preset": "target.preset",
    **dict.fromkeys(("chip.delay", "chip.synapse_delay_us"), "network.delay_shift, network.delay_scale: delay"),
    "measured.": "target.measured: ",
}
# For what is said of files, whose names can be anything, such as chip.csv.
_FILE_KEYS = {"calibration file": "target.calibration: file", "measured file": "target.measured: file"}


if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[PRESET_NAMES]


class BrainscalesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="brainscales", tag_field="kind"):
    """Which chip: preset and serial number, changes of single values; the slot of a sample.

    The keys of `chip` are the fields of `brainscales_emu.ChipConfig`, nested tables such as `chip.event_path` included;
    those of its field `noise` stand in `noise`.

    calibration: file of codes of this chip, HDF5 of `brainscales_emu.calibration.Calibration` or a CSV table, see
    `brainscales_emu.calibration.read_codes`; the preset then has to be "uncalibrated", because it is the codes that
    make the circuits alike.
    measured: file of values that were measured on a real chip, CSV or HDF5, see `brainscales_emu.MeasuredCircuits`;
    they take the place of what was drawn, or made by the codes, for the circuits and quantities in it.
    delays: "hardware" has the chip's delay elements, which are axonal; "beyond" has a delay of any length in each
    synapse instead, which no real chip has.
    """

    preset: Preset
    serial: Seed
    slot_us: Annotated[float, msgspec.Meta(ge=1 / CYCLES_PER_US, le=1e6)] = 180.0
    calibration: str | None = None
    measured: str | None = None
    delays: Literal["hardware", "beyond"] = "hardware"
    chip: dict[str, float | bool | str | list[Any] | Changes] = {}
    noise: dict[str, float] = {}

    def __post_init__(self) -> None:
        _chip_config(self, tau_ratio=1)

    def build(self, network: SpikingNetwork, seed: int) -> BrainscalesTarget:
        """The chip with the time constants of such a network; see `BrainscalesTarget`."""
        return BrainscalesTarget(self, network.threshold, network.tau_ratio, seed)


class BrainscalesTarget:
    """One emulated chip that runs a batch as one long spike train, a slot per sample, first spike per slot.

    Parameters
    ----------
    config : BrainscalesConfig
    threshold : float
        The model's threshold, which fixes the scale of weights.
    tau_ratio : int
        tau_m / tau_s; the chip's membrane time constant is set to it.
    seed : int
        Of the trial-to-trial noise.

    Raises
    ------
    UserError
        If a value is out of the chip's range.
    """

    provenance = Provenance(
        "emulated",
        "Events, membranes and fixed pattern are those of an emulated BrainScaleS-2 chip; nothing here was measured on "
        "a real one. Times on the chip are modelled.",
    )

    def __init__(self, config: BrainscalesConfig, threshold: float, tau_ratio: int, seed: int) -> None:
        chip_config = _chip_config(config, tau_ratio)
        self.label = f"emulated chip {config.preset}, serial {config.serial}"
        self._measured = _measured(config)
        if self._measured:
            self.label += ", some circuits as measured"
            self.provenance = _with_measured(self._measured)
        self.beyond: str | None = None
        self.tau_us = chip_config.tau_syn_exc_us
        self._slot_us = config.slot_us
        self._slot_ticks = round(config.slot_us * CYCLES_PER_US)
        if abs(self._slot_ticks - config.slot_us * CYCLES_PER_US) > 1e-6:
            raise UserError(
                f"target.slot_us = {config.slot_us} us is no multiple of the time stamp of {1 / CYCLES_PER_US} us; "
                "round it"
            )
        swing = chip_config.threshold_lsb - chip_config.leak_lsb
        if not (swing > 0.0 and chip_config.synaptic_gain > 0.0):
            raise UserError(
                f"target.chip.threshold_lsb must be above target.chip.leak_lsb, and target.chip.synaptic_gain above 0, "
                f"got {chip_config.threshold_lsb} LSB, {chip_config.leak_lsb} LSB and {chip_config.synaptic_gain}; "
                "otherwise no weight can make a neuron spike"
            )
        self._scale = swing / (threshold * chip_config.event_gain * self.tau_us)
        if not self._scale <= MAX_LSB_PER_WEIGHT:
            raise UserError(
                f"a weight of 1 would be {self._scale:.3g} LSB, of which a synapse has {MAX_WEIGHT}; raise "
                f"target.chip.synaptic_gain = {exact(chip_config.synaptic_gain)} or network.threshold = "
                f"{exact(threshold)}"
            )
        with user_errors(ChipError, KEYS):
            self._chip = Chip(chip_config, config.serial, seed, _codes(config), self._measured)
        self._has_codes = config.calibration is not None
        self._is_calibrated = config.preset != "uncalibrated"  # all other presets are of calibrated circuits
        self._delays_in_synapses = config.delays == "beyond"
        self._form: list[tuple[tuple[int, ...], bool]] = []  # of the network that was placed
        shortest_us, longest_us, step_us = *register_to_us([MIN_DELAY_REGISTER, MAX_DELAY_REGISTER]), DELAY_STEP_US
        if self._delays_in_synapses:
            shortest_us, longest_us, step_us = 0.0, MAX_DELAY_US, 0.0
        self.capabilities = Capabilities(
            weight_max=MAX_WEIGHT / self._scale,
            weight_step=1.0 / self._scale,
            delay_kinds=frozenset(
                {"none", "dendritic", "synaptic"} if self._delays_in_synapses else {"none", "axonal"}
            ),
            delay_min=shortest_us / self.tau_us,
            delay_max=longest_us / self.tau_us,
            delay_step=step_us / self.tau_us,
            time_step=1.0 / (CYCLES_PER_US * self.tau_us),
        )

    def write(self, layers: Sequence[Layer]) -> None:
        layers, weights = [checked_layer(index, layer, 1e6) for index, layer in enumerate(layers)], []
        for index, layer in enumerate(layers):
            if layer.later_delays is not None and not self._delays_in_synapses:
                raise UserError(
                    "network.delays: the chip's delay elements are axonal; use none or axonal, the ideal target, or "
                    "target.delays = 'beyond', which no real chip can"
                )
            if layer.axonal is not None and self._delays_in_synapses:
                raise UserError(
                    "network.delays = 'axonal' takes the chip's delay elements, but target.delays = 'beyond' has "
                    "delays in the synapses instead; use dendritic or synaptic, or target.delays = 'hardware'"
                )
            rounded = np.rint(layer.weights * self._scale)
            if np.abs(rounded).max(initial=0) > MAX_WEIGHT:
                pre, post = np.argwhere(np.abs(rounded) > MAX_WEIGHT)[0]
                limit = self.capabilities.weight_max
                raise UserError(
                    f"weights[{index}][{pre}, {post}] = {exact(layer.weights[pre, post])} is outside "
                    f"-{exact(limit)}..{exact(limit)}, what the chip's {MAX_WEIGHT} LSB are worth; lower "
                    "network.weight_mean or network.weight_std, or raise network.threshold or data.copies"
                )
            weights.append(rounded.astype(np.int64))
        with user_errors(ChipError, KEYS):
            registers = [None if d is None else us_to_register(d * self.tau_us) for d in (x.axonal for x in layers)]
            form = [(matrix.shape, delays is None) for matrix, delays in zip(weights, registers, strict=True)]
            if form != self._form or self._delays_in_synapses:
                placement = place_feedforward(layers[0].weights.shape[0], weights, registers)
                self._chip.write(placement.fabric, synapse_delay_us=self._synapse_delays(placement, layers))
                self._take(placement)
                self._form = form
            self._chip.rewrite(self._placement.rewriting(weights, registers))
        self.beyond = None if all(layer.later_delays is None for layer in layers) else BEYOND

    def _take(self, placement: Placement) -> None:
        """Note where the network stands."""
        self._placement = placement
        self._neurons = [circuits[:, 0] for circuits in placement.neurons.values()]
        self._delays = placement.delays
        self._lines = placement.lines["input"]
        self._columns = self._circuit_columns()

    def run(self, inputs: Floats, trial: int) -> list[LayerTimes]:
        inputs = _input_times(inputs, (None, self._lines.size))
        if not len(inputs):
            raise UserError("inputs hold no sample; give at least one")
        with np.errstate(over="ignore"):  # too late for the slot
            sent_us = inputs[np.isfinite(inputs)] * self.tau_us
        if sent_us.size and not (sent_us.min() >= 0.0 and sent_us.max() < self._slot_us):
            raise UserError(
                f"input spikes at {exact(sent_us.min())}..{exact(sent_us.max())} us don't fit into the slot "
                f"0..{exact(self._slot_us)} us of a sample; change data.t_early, data.t_late and data.bias_time, or "
                "raise target.slot_us"
            )
        starts = np.arange(len(inputs)) * self._slot_us
        times_us = starts[:, None] + inputs * self.tau_us
        sent = np.isfinite(times_us)
        lines = np.broadcast_to(self._lines, inputs.shape)
        with user_errors(ChipError):
            recording = self._chip.run(times_us[sent], lines[sent], len(inputs) * self._slot_us, trial)
        return self._layer_times(inputs, recording.ticks, recording.circuits)

    def record(self, inputs: Floats, trial: int, duration: float) -> SampleRecord:
        inputs = _input_times(inputs, (self._lines.size,))
        grid_us = np.linspace(0.0, duration * self.tau_us, MEMBRANE_SAMPLES)
        neurons = np.concatenate(self._neurons)
        sent = np.flatnonzero(np.isfinite(inputs))
        probe = Probe(neurons, grid_us)
        with user_errors(ChipError):
            recording = self._chip.run(inputs[sent] * self.tau_us, self._lines[sent], self._slot_us, trial, probe)
        observed = self._layer_times(inputs[None], recording.ticks, recording.circuits)
        delayed = [elements is not None for elements in self._delays]
        assert recording.membrane_lsb is not None  # because a probe was given
        return sample_record(inputs, observed, delayed, grid_us / self.tau_us, recording.membrane_lsb)

    def account(self) -> dict[str, float]:
        account = self._chip.account
        return {**dataclasses.asdict(account), "chip_seconds": account.real_time_us * 1e-6}

    def fixed_pattern(self) -> list[Quantity]:
        """What the circuits are; of a chip with measured values also which of them were measured, of one with
        calibration what those that it changed were before; and the spreads beside those of real chips."""
        pattern = self._chip.fixed_pattern
        found = [
            Quantity(field.name, _by_row(getattr(pattern, field.name)), *_DESCRIPTIONS[field.name])
            for field in dataclasses.fields(pattern)
        ]
        return (
            found
            + self._as_measured()
            + (self._before(found) if self._has_codes else [])
            + spread_quantities(pattern, self._with_equal_codes())
        )

    def _with_equal_codes(self) -> FixedPattern | None:
        """What the chip would be with the same codes in all circuits; None if it has them, so that it is that."""
        if not (self._has_codes or self._is_calibrated):
            return None
        raw = dataclasses.replace(self._chip.config, noise=preset("uncalibrated").noise)
        return draw_fixed_pattern(raw, self._chip.serial)

    def _as_measured(self) -> list[Quantity]:
        """For which circuits each quantity was measured."""
        if self._measured is None:
            return []
        return [
            Quantity(
                f"{name}_measured",
                self._measured.is_measured(name).astype(np.int64),
                _PER_CIRCUIT,
                "1",
                f"{_DESCRIPTIONS[name][2]}: measured (1) or not (0)",
            )
            for name in self._measured.counts()
            if name in _DESCRIPTIONS
        ]

    def _before(self, found: list[Quantity]) -> list[Quantity]:
        """What was something else before calibration."""
        pattern = self._chip.fixed_pattern
        before = draw_fixed_pattern(self._chip.config, self._chip.serial)
        return [
            after._replace(
                name=f"{after.name}_before",
                values=_by_row(getattr(before, after.name)),
                long_name=f"{after.long_name}, before calibration",
            )
            for after in found
            if not np.array_equal(getattr(pattern, after.name), getattr(before, after.name))
        ]

    def _synapse_delays(self, placement: Placement, layers: Sequence[Layer]) -> np.ndarray | None:
        """Delays in the synapses, None if there are none."""
        if all(layer.later_delays is None for layer in layers):
            return None
        delays = [0.0 if layer.later_delays is None else layer.later_delays * self.tau_us for layer in layers]
        matrices = [np.broadcast_to(d, layer.weights.shape) for d, layer in zip(delays, layers, strict=True)]
        return placement.synapse_delays(matrices)

    def _circuit_columns(self) -> np.ndarray:
        """Column of each circuit in the table of first spikes, one past the end if nobody listens."""
        recorded = [c for c in (*self._neurons, *self._delays) if c is not None]
        lines = np.concatenate(recorded)
        columns = np.full(N_CIRCUITS, len(lines))
        columns[lines] = np.arange(len(lines))
        return columns

    def _layer_times(self, inputs: Floats, ticks: np.ndarray, circuits: np.ndarray) -> list[LayerTimes]:
        """First spike of each circuit in each slot, in tau_s since the slot's start."""
        n_lines = int(self._columns.max())
        slots = ticks // self._slot_ticks
        within = (ticks - slots * self._slot_ticks) * (1.0 / (CYCLES_PER_US * self.tau_us))
        inside = slots < len(inputs)
        first = np.full((len(inputs), n_lines + 1), np.inf)
        place = (slots * (n_lines + 1) + self._columns[circuits])[inside]
        first.reshape(-1)[place[::-1]] = within[inside][::-1]  # events are in order of time, and the last value stays
        observed, times = [], inputs
        for neurons, delays in zip(self._neurons, self._delays, strict=True):
            arrivals = times if delays is None else np.ascontiguousarray(first[:, self._columns[delays]])
            times = np.ascontiguousarray(first[:, self._columns[neurons]])
            observed.append(LayerTimes(arrivals, times))
        return observed


def _input_times(inputs: Floats, shape: Shape) -> Floats:
    """Input spikes in tau_s; inf: none."""
    remedy, earliest = "give times from the start of the sample on, inf for no spike", float(np.finfo(np.float64).min)
    return floats("inputs", inputs, shape, earliest, unit="tau_s", remedy=remedy, finite=False)


def _by_row(values: np.ndarray) -> np.ndarray:
    """Values per half and row by row alone, those of the top half first; others as they are."""
    return values if values.ndim == 1 else values.reshape(-1, *values.shape[2:])


_PER_CIRCUIT = ("circuit",)
_DESCRIPTIONS = {
    "tau_mem_us": (_PER_CIRCUIT, "us", "membrane time constant"),
    "tau_syn_exc_us": (_PER_CIRCUIT, "us", "excitatory synaptic time constant"),
    "tau_syn_inh_us": (_PER_CIRCUIT, "us", "inhibitory synaptic time constant"),
    "leak_lsb": (_PER_CIRCUIT, "1", "leak potential (CADC LSB)"),
    "reset_lsb": (_PER_CIRCUIT, "1", "reset potential (CADC LSB)"),
    "threshold_lsb": (_PER_CIRCUIT, "1", "threshold potential (CADC LSB)"),
    "gain_exc": (_PER_CIRCUIT, "1", "excitatory synaptic gain"),
    "gain_inh": (_PER_CIRCUIT, "1", "inhibitory synaptic gain"),
    "driver_gain": (("row",), "1", "gain of the synapse driver"),
    "synapse_gain": (("row", "column"), "1", "gain of the synapse"),
    "delay_gain": (("element",), "1", "gain of the delay element"),
    "delay_offset_us": (("element",), "us", "offset of the delay element"),
}


def _codes(config: BrainscalesConfig) -> Codes | None:
    if config.calibration is None:
        return None
    if config.preset != "uncalibrated":
        raise UserError(
            f"target.calibration is given, but target.preset = {config.preset!r} has calibrated circuits already; "
            "choose 'uncalibrated'"
        )
    with user_errors(ChipError, _FILE_KEYS):
        return read_codes(config.calibration)


def _measured(config: BrainscalesConfig) -> MeasuredCircuits | None:
    if config.measured is None:
        return None
    with user_errors(ChipError, _FILE_KEYS):
        return MeasuredCircuits.load(config.measured)


def _with_measured(measured: MeasuredCircuits) -> Provenance:
    """What is said of a chip some of whose circuits are as somebody measured them."""
    counts = ", ".join(f"{name} of {number}" for name, number in measured.counts().items())
    return Provenance(
        "emulated",
        "Events and membranes are those of an emulated BrainScaleS-2 chip. Of its circuits these values were given as "
        f"measured: {counts or 'none'}; all others were drawn. Times on the chip are modelled.",
    )


def _chip_config(config: BrainscalesConfig, tau_ratio: int) -> ChipConfig:
    with user_errors(ChipError, KEYS):
        base = preset(config.preset)
        base = dataclasses.replace(base, tau_mem_us=tau_ratio * base.tau_syn_exc_us)
        base = dataclasses.replace(base, noise=changed(base.noise, config.noise, "target.noise"))
        return changed(base, config.chip, "target.chip", moved={"noise": "target.noise"})
