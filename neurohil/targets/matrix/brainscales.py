"""The emulated BrainScaleS-2 chip in matrix mode as a target: levels, 5-bit inputs, how often vectors are sent.

Level k becomes the weight k * (63 // max_level) of the chip, so that all steps are equal. Weights are digital and lie
with the host: each run of the chip begins with writing them. They don't age, wear or miss, and read back as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from brainscales_emu import ChipError
from brainscales_emu.constants import MAX_WEIGHT, N_COLUMNS
from brainscales_emu.mac import MAX_INPUT, MAX_SENDS, MacArray, MacConfig, Matrix
from neurohil.arrays import floats, integers
from neurohil.errors import UserError
from neurohil.protocols import (
    Levels,
    MatrixCapabilities,
    Provenance,
    Quantity,
    WeightLevels,
    WeightStorage,
    WriteReport,
)
from neurohil.ranges import Seed
from neurohil.tables import Changes, changed
from neurohil.targets.errors import user_errors

LINEAR_CODE = 80  # vendor's demo of matrix multiplication: codes are linear within about -80..80
BEYOND = 0.001  # share of the codes that calibration lets lie beyond; chosen here

_KEYS = {"mac.": "target.mac.", "chip.serial": "target.serial"}  # what the emulator calls them, and where they stand
_CALIBRATION_STREAM = 1  # apart from the noise of `multiply`


class BrainscalesMatrixConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="brainscales", tag_field="kind"
):
    """Which chip: its serial number, and changes of single values of `brainscales_emu.mac.MacConfig` in `mac`.

    max_sends: a vector is sent at most so often to fill the range of the codes.
    """

    serial: Seed = 1
    max_sends: Annotated[int, msgspec.Meta(ge=1, le=MAX_SENDS)] = 256
    mac: Changes = {}

    def __post_init__(self) -> None:
        _mac_config(self)

    def build(self, shapes: Sequence[tuple[int, int]], levels: WeightLevels, seed: int) -> BrainscalesMatrixTarget:
        """The chip for layers of these shapes; see `BrainscalesMatrixTarget`."""
        return BrainscalesMatrixTarget(self, shapes, levels.max_level, levels.weight_range, seed)


class BrainscalesMatrixTarget:
    """Layers of quantised weights on one emulated chip, which multiplies by them block after block.

    Inputs of 0..1 become pulses of 0..31. The host adds the codes of a layer's blocks itself, so that each block can
    use the whole range; vendor software adds them on the chip, in 8 bits. How often a layer's vectors are sent is found
    by `calibrate`, with the first inputs if it wasn't called.

    Parameters
    ----------
    config : BrainscalesMatrixConfig
    shapes : sequence of (int, int)
        Inputs and outputs of each layer.
    max_level : int, 1..63
        Largest signed level.
    weight_range : float, > 0
        Weight of that level.
    seed : int
        Of the trial-to-trial noise.

    Raises
    ------
    UserError
        An unknown key or a value out of range.
    """

    provenance = Provenance(
        "emulated",
        "Products were computed by an emulated BrainScaleS-2 chip; nothing here was measured on a real one. Times on "
        "the chip are modelled.",
    )
    storage = WeightStorage(levels=MAX_WEIGHT + 1, cells=2)  # a pair of synapses, however many levels are used
    programmed_by_pulses = False

    def __init__(
        self,
        config: BrainscalesMatrixConfig,
        shapes: Sequence[tuple[int, int]],
        max_level: int,
        weight_range: float,
        seed: int,
    ) -> None:
        if not 1 <= max_level <= MAX_WEIGHT:
            raise UserError(
                f"signed levels -{max_level}..{max_level} don't fit into the chip's weights -{MAX_WEIGHT}..{MAX_WEIGHT}"
                f"; lower network.quantizer.levels to an odd number up to {2 * MAX_WEIGHT + 1}"
            )
        self.label = f"emulated BrainScaleS-2 chip {config.serial}"
        self.capabilities = MatrixCapabilities(
            n_levels=2 * max_level + 1,
            max_level=max_level,
            weight_range=weight_range,
            input_min=0.0,
            input_max=1.0,
            reads_back=True,
        )
        self._spread = MAX_WEIGHT // max_level
        self._scale = weight_range / (max_level * self._spread * MAX_INPUT)  # weight units per input x weight
        self._max_sends = config.max_sends
        with user_errors(ChipError, _KEYS):
            self._array = MacArray(_mac_config(config), config.serial, seed)
            self._sites = [self._array.site(shape) for shape in shapes]
        self._levels = [np.zeros(shape, dtype=np.int8) for shape in shapes]
        self._matrices: list[Matrix] = []
        self._num_sends = np.zeros(len(shapes), dtype=np.int64)  # 0: not yet known
        self._changed = 0

    def write(self, layers: Sequence[Levels]) -> WriteReport:
        """As the protocol says; levels count as changed from 0 at first."""
        limit = self.capabilities.max_level
        remedy = "quantise the weights for this target"
        layers = [
            integers(f"layer {k}: levels", levels, (None, None), -limit, limit, remedy=remedy, narrow=True)
            for k, levels in enumerate(layers)
        ]
        if [levels.shape for levels in layers] != [levels.shape for levels in self._levels]:
            raise UserError(
                f"levels have shapes {[levels.shape for levels in layers]}, but this target holds layers of "
                f"{[levels.shape for levels in self._levels]}; make a new target for another network"
            )
        changed = 0
        matrices = []
        for k, new in enumerate(layers):
            differ = int(np.count_nonzero(new != self._levels[k]))
            if differ or not self._matrices:
                self._levels[k][...] = new
                matrices.append(self._array.program(self._levels[k] * np.int8(self._spread), self._sites[k]))
            else:
                matrices.append(self._matrices[k])
            changed += differ
        self._matrices = matrices
        self._changed += changed
        return WriteReport(changed=changed, pulses=0, failed=0)

    def calibrate(self, layer: int, x: NDArray[Any]) -> None:
        """Find how often to send: as often as leaves all but 0.1 % of the codes within -80..80, where they are linear.

        A search by halves over 1..max_sends that looks at codes alone, as with a real chip. It takes the chip's time.
        """
        layer, inputs = self._index(layer), _codes(x)
        if not len(inputs):
            raise UserError("inputs hold no sample to calibrate by; give at least one")
        few, many = 1, self._max_sends
        while few < many:
            sends = (few + many + 1) // 2
            codes = self._run(layer, inputs, (_CALIBRATION_STREAM, layer, sends), sends)
            if np.mean((codes > LINEAR_CODE) | (codes < -LINEAR_CODE)) <= BEYOND:
                few = sends
            else:
                many = sends - 1
        self._num_sends[layer] = few

    def multiply(self, layer: int, x: NDArray[Any], trial: int) -> NDArray[Any]:
        layer = self._index(layer)
        if self._num_sends[layer] == 0:
            self.calibrate(layer, x)
        sends = int(self._num_sends[layer])
        codes = self._run(layer, _codes(x), (trial, layer), sends)
        products = codes.sum(axis=0, dtype=np.float32)
        products += 0.5 * len(codes)  # each block was rounded down, by half a code in the mean
        products *= self._scale / (sends * self._array.config.gain)
        return products

    def read(self, layer: int, trial: int) -> NDArray[Any]:
        return self._levels[self._index(layer)] * np.float32(
            self.capabilities.weight_range / self.capabilities.max_level
        )

    def _index(self, layer: int) -> int:
        return int(integers("layer", layer, (), 0, len(self._levels) - 1, remedy="name a layer"))

    def wait(self, seconds: float) -> None:
        """Nothing happens: digital weights don't drift."""

    def account(self) -> dict[str, Any]:
        return {
            "weights_changed": self._changed,
            "runs": self._array.runs,
            "vectors": self._array.vectors,
            "modelled_time_ns": self._array.time_ns,
        }

    def results(self) -> list[Quantity]:
        array = self._array
        return [
            Quantity(
                "modelled_time",
                np.array(array.time_ns * 1e-9),
                (),
                "s",
                "modelled time of the chip, tests included (s)",
                "modelled",
            ),
            Quantity("runs", np.array(array.runs), (), "1", "runs of the chip, tests included"),
            Quantity("vectors", np.array(array.vectors), (), "1", "vectors in all runs of the chip, tests included"),
        ]

    def told(self, results: Mapping[str, float]) -> list[tuple[str, str]]:
        return [("modelled time", f"{results['modelled_time']:.3g} s of the chip, tests included")]

    def wear(self) -> float | None:
        """As the protocol says; digital weights don't wear."""
        return 0.0

    def maps(self) -> list[Quantity]:
        """As the protocol says; the columns of a half in its two quadrants, its rows by driver."""
        pattern = self._array.pattern

        def quadrants(name: str, values: NDArray[np.float64], long_name: str) -> Quantity:
            return Quantity(name, values.reshape(4, -1), ("quadrant", "column"), "1", long_name)

        rows = pattern.synapse_gain.reshape(-1, N_COLUMNS)
        return [
            quadrants("column_gain_exc", pattern.column_gain_exc, "column gain, excitatory input"),
            quadrants("column_gain_inh", pattern.column_gain_inh, "column gain, inhibitory input"),
            quadrants("column_offset", pattern.column_offset_lsb, "column offset (code LSB)"),
            Quantity("row_gain", pattern.row_gain.reshape(-1, 2), ("driver", "row"), "1", "gain of the driver's rows"),
            Quantity("synapse_gain", rows, ("row", "column"), "1", "gain of the synapse"),
        ]

    def state(self) -> dict[str, NDArray[Any]]:
        array = self._array
        counts = np.array([self._changed, array.runs, array.vectors, array.time_ns], dtype=np.int64)
        levels = {f"levels_{k}": levels.copy() for k, levels in enumerate(self._levels)}
        return {"counts": counts, "num_sends": self._num_sends.copy(), **levels}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.write([state[f"levels_{k}"] for k in range(len(self._levels))])
        self._num_sends[...] = state["num_sends"]
        array = self._array
        self._changed, array.runs, array.vectors, array.time_ns = (int(n) for n in state["counts"])

    def _run(self, layer: int, inputs: NDArray[np.uint8], trial: tuple[int, ...], sends: int) -> NDArray[np.int8]:
        with user_errors(ChipError, _KEYS):
            return self._array.block_codes(self._matrices[layer], inputs, *trial, num_sends=sends)


def _codes(x: NDArray[Any]) -> NDArray[np.uint8]:
    """Inputs as lengths of pulses, 0..31."""
    remedy = (
        "inputs of the chip are lengths of pulses: take relu as network.activation, or send the positive and the "
        "negative part apart and subtract the products"
    )
    checked = floats("inputs", x, (None, None), 0.0, 1.0, remedy=remedy, single=True)
    return np.rint(checked * np.float32(MAX_INPUT)).astype(np.uint8)


def _mac_config(config: BrainscalesMatrixConfig) -> MacConfig:
    names = [entry.name for entry in dataclasses.fields(MacConfig) if entry.name != "signed"]
    with user_errors(ChipError, _KEYS):
        return changed(MacConfig(), config.mac, "target.mac", names)
