"""The emulated memristor crossbar as a target: one array, or many, per layer, driven through their controller."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from memristor import (
    Controller,
    CostTable,
    Crossbar,
    CrossbarConfig,
    CrossbarError,
    DeviceModel,
    Multiply,
    Program,
    Read,
    Wait,
    WireConfig,
    preset,
    table_model,
)
from memristor.presets import DEFAULT_PRESET, EXTRA_CHANGES
from memristor.random import stream
from neurohil.arrays import integers
from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.protocols import (
    Floats,
    Levels,
    MatrixCapabilities,
    Provenance,
    Quantity,
    WeightLevels,
    WeightStorage,
    WriteReport,
)
from neurohil.ranges import Seed, Size
from neurohil.tables import Changes, changed, changes
from neurohil.targets.errors import user_errors
from neurohil.text import shown

# What the emulator calls its parameters, and where they stand in an experiment.
KEYS = {
    **{f"crossbar.{key}": f"target.{key}" for key in ("preset", "device", "faults", "wear", "rtn", "wires")},
    "crossbar.serial": "target.serial",
    "crossbar.seed": "seed",
    **{f"crossbar.{key}": f"target.array.{key}" for key in ("layout", "conversion", "tile_rows", "tile_columns")},
    **{f"{table}.": f"target.{table}." for table in ("mapping", "dac", "adc", "wires", "recipe", "costs")},
    "relax_tolerance_uS": "target.array.relax_tolerance_uS",
    "controller.banks": "target.banks",
}
BYTES_PER_DEVICE = 180  # measured: state of a device, and what programming it takes


class CrossbarTargetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="crossbar", tag_field="kind"):
    """Which arrays: their serial number, a preset of devices or a table of measured ones; changes of single values.

    The keys of a table are the parameters of the class of that name in `memristor`: `device` of DeviceModel, `array` of
    CrossbarConfig (layout, tile_rows, ...), `mapping` of Mapping, and so on. "none" stands for None. No table `wires`
    means no wire resistance. A file named by `table` is read when the arrays are built.
    """

    serial: Seed = 1
    preset: str = DEFAULT_PRESET
    table: str | None = None
    banks: Size = 8
    device: Changes = {}
    array: Changes = {}
    mapping: Changes = {}
    dac: Changes = {}
    adc: Changes = {}
    wires: Changes | None = None
    recipe: Changes = {}
    faults: Changes = {}
    wear: Changes = {}
    rtn: Changes = {}
    costs: Changes = {}

    def __post_init__(self) -> None:
        with user_errors(CrossbarError, KEYS):
            changed(CostTable(), self.costs, "target.costs")
            chosen = _chosen(self)
            if self.table is None:
                CrossbarConfig(device=_device(self), **chosen)

    def build(self, shapes: Sequence[tuple[int, int]], levels: WeightLevels, seed: int) -> CrossbarTarget:
        """Arrays for layers of these shapes; which levels they hold is a matter of `mapping`.

        Their noise follows their serial number, not the run's seed: the tables of docs/results.md were measured so.
        """
        return CrossbarTarget(self, shapes)


class CrossbarTarget:
    """Layers of quantised weights on emulated arrays, with their controller.

    Where the converters' range isn't given, the first inputs of a layer set it.

    Parameters
    ----------
    config : CrossbarTargetConfig
    shapes : sequence of (int, int)
        Inputs and outputs of each layer.
    log_pulses : bool
        Keep every single pulse.
    seed : int, optional
        Of the noise of writes, relaxation and reads; by default the serial number.

    Attributes
    ----------
    controller : memristor.controller.Controller
        Its timeline and pulse log, and the arrays themselves, for traces. Training code must not look at it.

    Raises
    ------
    UserError
        An unknown key, a value out of range, or more devices than fit into memory.
    """

    provenance = Provenance(
        "emulated",
        "Conductances, pulses and wear are those of emulated memristors; nothing here was measured on real ones. Times "
        "and energies are modelled: sums of assumed costs.",
    )
    programmed_by_pulses = True

    def __init__(
        self,
        config: CrossbarTargetConfig,
        shapes: Sequence[tuple[int, int]],
        log_pulses: bool = False,
        seed: int | None = None,
    ) -> None:
        with user_errors(CrossbarError, KEYS):
            costs = changed(CostTable(), config.costs, "target.costs")
            layers = CrossbarConfig(device=_device(config), **_chosen(config))
            devices = sum(n_in * layers.mapping().columns(n_out) for n_in, n_out in shapes)
            sizes = " and ".join(f"{n_in} x {n_out}" for n_in, n_out in shapes)
            demand_bytes(
                devices * BYTES_PER_DEVICE,
                f"{devices} devices for layers of {sizes} weights",
                "lower network.hidden, or target.array.tile_rows and target.array.tile_columns of a single array",
            )
            serials, seeds = (
                [int(stream(number, "layer", k).integers(2**63)) for k in range(len(shapes))]
                for number in (config.serial, config.serial if seed is None else seed)
            )
            crossbars = [
                Crossbar(shape, layers, serial=serial, seed=seed)
                for shape, serial, seed in zip(shapes, serials, seeds, strict=True)
            ]
            self.controller = Controller(crossbars, costs, config.banks, log_pulses)
        mapping = crossbars[0].mapping
        self.label = f"emulated crossbar {config.table or config.preset}, arrays {config.serial}"
        self.storage = WeightStorage(mapping.levels_per_device, 2 if mapping.scheme == "pair" else 1)
        self.capabilities = MatrixCapabilities(
            n_levels=mapping.n_levels,
            max_level=mapping.max_level,
            weight_range=mapping.weight_range,
            input_min=-1.0 if layers.dac.signed else 0.0,
            input_max=1.0,
            reads_back=True,
        )

    def write(self, layers: Sequence[Levels]) -> WriteReport:
        if len(layers) != len(self.controller.crossbars):
            raise UserError(
                f"{len(layers)} layers of levels for {len(self.controller.crossbars)} layers of arrays; give one each"
            )
        with user_errors(CrossbarError, KEYS):
            self.controller.submit(*(Program(k, levels) for k, levels in enumerate(layers)))
            reports = self.controller.run()
        return WriteReport(
            changed=sum(report.weights for report in reports),
            pulses=sum(report.pulses for report in reports),
            failed=sum(len(report.unverified) for report in reports),
        )

    def calibrate(self, layer: int, x: Floats) -> None:
        """As the protocol says; takes no time of the arrays."""
        with user_errors(CrossbarError, KEYS):
            self._crossbar(layer).calibrate(x)

    def multiply(self, layer: int, x: Floats, trial: int) -> Floats:
        if self._crossbar(layer).range_uA is None:
            self.calibrate(layer, x)
        with user_errors(CrossbarError, KEYS):
            return self.controller.execute(Multiply(layer, x, trial))

    def read(self, layer: int, trial: int) -> Floats:
        with user_errors(CrossbarError, KEYS):
            return self.controller.execute(Read(layer, trial))

    def wait(self, seconds: float) -> None:
        with user_errors(CrossbarError, KEYS):
            self.controller.execute(Wait(seconds))

    def account(self) -> dict[str, Any]:
        return dataclasses.asdict(self.controller.account())

    def results(self) -> list[Quantity]:
        account = self.controller.account()
        failed = np.concatenate([failed.ravel() for failed in self._map("failed")])

        def number(name: str, value: float, units: str, long_name: str) -> Quantity:
            kind = "modelled" if name.startswith("modelled_") else ""
            return Quantity(name, np.array(value), (), units, long_name, kind)

        return [
            number("verify_reads", account.verify_reads, "1", "readings to verify a write"),
            number("failed_share", float(failed.mean()), "1", "share of devices stuck or worn out at the end"),
            number("highest_wear", self.wear(), "1", "largest share of its lifetime that a device has used"),
            number(
                "modelled_time", account.modelled_time_ns * 1e-9, "s", "modelled time of the arrays, tests included (s)"
            ),
            number(
                "modelled_pulse_energy",
                float(account.modelled_pulse_pJ),
                "pJ",
                "modelled energy of programming pulses (pJ)",
            ),
            number(
                "modelled_conversion_energy",
                float(account.modelled_conversion_pJ),
                "pJ",
                "modelled energy of conversions, tests included (pJ)",
            ),
            number(
                "modelled_drive_energy",
                float(account.modelled_drive_pJ),
                "pJ",
                "modelled energy of row drivers, tests included (pJ)",
            ),
        ]

    def told(self, results: Mapping[str, float]) -> list[tuple[str, str]]:
        energy_mJ = sum(results[f"modelled_{part}_energy"] for part in ("pulse", "conversion", "drive")) * 1e-9
        pulses_mJ = results["modelled_pulse_energy"] * 1e-9
        return [
            ("failed devices", f"{results['failed_share']:.3%} stuck or worn out"),
            ("modelled energy", f"{energy_mJ:.3g} mJ, of it {pulses_mJ:.3g} mJ for pulses; tests included"),
            ("modelled time", f"{results['modelled_time']:.3g} s of the arrays, tests included"),
        ]

    def wear(self) -> float:
        return max(float(wear.max()) for wear in self._map("wear"))

    def maps(self) -> list[Quantity]:
        return [quantity for k, crossbar in enumerate(self.controller.crossbars) for quantity in _maps(k, crossbar)]

    def state(self) -> dict[str, NDArray[Any]]:
        return self.controller.state()

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        with user_errors(CrossbarError, KEYS):
            self.controller.load_state(state)

    def _map(self, name: str) -> list[NDArray[Any]]:
        """One of the maps, of each layer."""
        return [quantity.values for quantity in self.maps() if quantity.name.partition("_")[2] == name]

    def _crossbar(self, layer: int) -> Crossbar:
        crossbars = self.controller.crossbars
        return crossbars[int(integers("layer", layer, (), 0, len(crossbars) - 1, remedy="name a layer"))]


def _maps(layer: int, crossbar: Crossbar) -> list[Quantity]:
    maps: dict[str, NDArray[Any]] = {name: found.values for name, found in crossbar.maps().items()}
    cycles = np.maximum(maps["set_pulses"], maps["reset_pulses"])
    wear = cycles / maps["lifetime"]
    described = (
        ("conductance", maps["conductance"], "uS", "conductance (uS)"),
        ("target", maps["target"], "uS", "target conductance (uS)"),
        ("pulses", maps["set_pulses"] + maps["reset_pulses"], "1", "SET and RESET pulses"),
        ("cycles", cycles, "1", "programming cycles"),
        ("wear", wear, "1", "programming cycles over lifetime"),
        ("stuck", maps["stuck"], "1", "stuck on (1) or off (-1)"),
        ("failed", ((maps["stuck"] != 0) | (wear > 1.0)).astype(np.int8), "1", "stuck or worn out"),
    )
    return [
        Quantity(f"layer{layer}_{name}", values, ("row", "column"), units, f"{label}, layer {layer}")
        for name, values, units, label in described
    ]


_MAPPING = ("levels_per_device", "scheme", "weight_range", "low_uS", "high_uS")
_ARRAY = ("layout", "tile_rows", "tile_columns", "conversion", "relax_tolerance_uS")


def _chosen(config: CrossbarTargetConfig) -> dict[str, Any]:
    """All of a CrossbarConfig but the device."""
    default = CrossbarConfig()
    moved = {name: f"target.mapping.{name}" for name in _MAPPING} | {name: f"target.array.{name}" for name in _ARRAY}
    return {
        **changes(default, config.mapping, "target.mapping", _MAPPING, moved),
        **changes(default, config.array, "target.array", _ARRAY, moved),
        "dac": changed(default.dac, config.dac, "target.dac"),
        "adc": changed(default.adc, config.adc, "target.adc"),
        "wires": None if config.wires is None else changed(WireConfig(), config.wires, "target.wires"),
        "recipe": changed(default.recipe, config.recipe, "target.recipe"),
        "faults": changed(default.faults, config.faults, "target.faults"),
        "wear": changed(default.wear, config.wear, "target.wear"),
        "rtn": changed(default.rtn, config.rtn, "target.rtn"),
    }


def _device(config: CrossbarTargetConfig) -> DeviceModel:
    names = [field.name for field in dataclasses.fields(DeviceModel)]
    extra = EXTRA_CHANGES.get(config.preset, ()) if config.table is None else ()
    names += extra
    model = preset(config.preset) if config.table is None else _measured(config.table)
    values = changes(model, config.device, "target.device", names)
    if acceptance := {key: values.pop(key) for key in extra if key in values}:
        model = preset(config.preset, **acceptance)
    return dataclasses.replace(model, **values)


def _measured(table: str) -> DeviceModel:
    try:
        if Path(table).exists() and not Path(table).is_file():  # a pipe would wait for a writer
            raise OSError(None, "it is no regular file")
        return table_model(table)
    except CrossbarError as error:
        raise UserError(f"target.table = {shown(table)}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8 with short lines"
        raise UserError(
            f"target.table = {shown(table)} cannot be read: {reason}; give the path of a CSV file"
        ) from error
