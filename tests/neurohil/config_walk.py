"""Every key of every kind of run, set to extreme and silly values through the doors that a user has."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
import tomli_w

from brainscales_emu import ChipConfig, NoiseConfig
from brainscales_emu.mac import MacConfig
from memristor.config import CrossbarConfig
from memristor.converters import AdcConfig, DacConfig
from memristor.costs import CostTable
from memristor.device import FaultConfig, RtnConfig, WearConfig
from memristor.device_model import DeviceModel
from memristor.parasitics import WireConfig
from memristor.presets import preset
from memristor.programming import Recipe
from neurohil import kinds
from neurohil.characterising.config import ChipExperiment
from neurohil.config import parse
from neurohil.datasets import yin_yang
from neurohil.datasets.yin_yang import YinYang
from neurohil.delgrad.run import DelGradConfig, DelGradRun
from neurohil.errors import UserError
from neurohil.metaplasticity.run import MetaplasticityConfig, MetaplasticityRun
from neurohil.probing.config import CrossbarExperiment
from neurohil.refusals import alternatives, struct_of
from neurohil.run import Run
from neurohil.targets.matrix.crossbar import CrossbarTarget

# As typed behind `key = `, in TOML and for --set.
VALUES = (
    "0", "-1", "1", "0.5", "1e-300", "-1e-300", "1e300", "-1e300", "nan", "inf", "-inf", "2147483648",
    "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1" + "0" * 5000, "1e400", '""', '"x"', '"none"',
    '"inf"', "true", "[]", "{}", "[1]", "[1.5, 1.5]", "[nan]", "[[[[]]]]", "1979-05-27", f'"{"long " * 20_000}"',
    r'"\u001b[31mred\u202e\n"', "[" * 3000 + "]" * 3000,
)  # fmt: skip

QUICK = ("0", "-1", "1e300", "nan", "inf", "2147483648", "1" + "0" * 400, '"x"', "true", "[]", "{}")

_DELGRAD = """
summary = "walk"
seed = 1
epochs = 2
tested_epoch = "last"
data = {t_early = 0.15, t_late = 2.0, copies = 1, bias_time = 0.9}
network = {hidden = 6, delays = "DELAYS", tau_ratio = 2, threshold = 1.0, weight_mean = [1.5, 1.5],
 weight_std = [0.8, 0.8], delay_shift = 0.0, delay_scale = 1.0, delay_mean = 0.0, delay_std = 0.25}
training = {batch = 20, learning_rate_weights = 0.005, learning_rate_delays = 0.005, decay = 0.95, decay_epochs = 20,
 max_missing = [0.3, 0.3], max_dw = 0.2, bump = 5e-4, loss = LOSS}
target = TARGET
"""
_CHIP = """
summary = "walk"
seed = 1
epochs = 2
data = {t_early = 0.15, t_late = 2.0, copies = 5}
network = {hidden = 6, delays = "axonal", tau_ratio = 1, threshold = 2.6, weight_mean = [0.1, 0.075],
 weight_std = [0.12, 0.15], delay_shift = 2.0, delay_scale = 1.5, delay_mean = 0.0, delay_std = 0.5}
training = {batch = 20, learning_rate_weights = 0.002, learning_rate_delays = 0.01, max_missing = [0.3, 0.3],
 loss = {kind = "shift_invariant_mse", margin = 0.3}}
target = {kind = "brainscales", preset = "PRESET", serial = 70, slot_us = 180.0}
"""
_METAPLASTICITY = """
summary = "walk"
seed = 1
tasks = TASKS
network = {hidden = [24], activation = "relu", init = 0.6, batch_norm = "per_task",
 quantizer = {levels = 15, weight_range = 1.0}}
training = {epochs = 1, batch = 50, learning_rate = 0.005, learning_rate_decay = 1.0, weight_decay = 0.0,
 rule = "inner_threshold", strength = 2.0, device_gate = {wear = 0.0, read_every = 2},
 ewc = {strength = 5e3, samples = 50}, write_every = 1, hysteresis = 0.0, backward = "host", calibrate_every = 50,
 test_batch = 100}
target = TARGET
runs_per_day = 1.0
"""
_WHOLE = '{kind = "whole", data_sets = ["mnist"], validation = false, train_images = 100, test_images = 100}'
_SPLIT = '{kind = "KIND", data_set = "mnist", n_tasks = 2, validation = false, train_images = 100, test_images = 100}'
_CROSSBAR_TARGET = """{kind = "crossbar", serial = 1, preset = "PRESET", banks = 8,
 wires = {topology = "source_line_parallel"}, array = {tile_rows = 784, tile_columns = 64}}"""
_BENCH = """
summary = "walk"
target = {preset = "hfox_wan2022", mapping = {levels_per_device = 9, scheme = "offset"},
 recipe = {method = "write_verify"}, wires = {}, array = {tile_rows = 16, tile_columns = 16}}
program = {log_pulses = true}
characterise = {ages_s = [1.0, 3600.0]}
ir_drop = {sizes = [4, 16], segments_ohm = [1.0]}
"""
_CHIP_BENCH = """
summary = "walk"
target = {preset = "uncalibrated"}
bench = {circuits = 2}
"""
_LOSSES = {
    "shift": '{kind = "shift_invariant_mse", margin = 0.2}',
    "cross_entropy": '{kind = "cross_entropy", xi = 0.2, alpha = 0.005, beta = 1.0}',
    "mse": '{kind = "mse", t_correct = 1.0, t_wrong = 2.0}',
}


def _joined(text: str) -> str:
    """Inline tables of TOML are of one line."""
    return text.replace(",\n ", ", ")


class Kind(NamedTuple):
    """A kind of run: the type of its configs, a valid small one, and how one is run."""

    config: type
    text: str
    run: Callable[[Any], None]


def _small(split: str) -> YinYang:
    data = _load(split)
    return YinYang(data.samples[:60], data.labels[:60])


_load = yin_yang.load
_PART = Path(tempfile.gettempdir())


def _run_delgrad(config: DelGradConfig) -> None:
    yin_yang.load = _small
    try:
        _epochs(DelGradRun(config))
    finally:
        yin_yang.load = _load


def _run_metaplasticity(config: MetaplasticityConfig) -> None:
    _epochs(MetaplasticityRun(config))


def _epochs(run: Run[Any]) -> None:
    """One epoch, and the rest as if it were the last; the trace is written and dropped."""
    layout = run.layout
    with tempfile.TemporaryDirectory() as folder, run.new_trace(Path(folder) / "walk.h5") as writer:
        writer.append_epoch(layout.filled(layout.growing(), run, run.train_epoch()), run.state())
        writer.finish(layout.filled(layout.final(), run, run.conclude()))


def _run_measurement(name: str) -> Callable[[Any], None]:
    def run(config: Any) -> None:
        measurement = kinds.KINDS[name].start(config)
        with tempfile.TemporaryDirectory() as folder, measurement.new_trace(Path(folder) / "walk.h5") as writer:
            writer.finish({})

    return run


def _delgrad(delays: str = "synaptic", loss: str = "shift", target: str = '{kind = "ideal"}') -> Kind:
    text = _DELGRAD.replace("DELAYS", delays).replace("LOSS", _LOSSES[loss]).replace("TARGET", target)
    return Kind(DelGradConfig, _joined(text), _run_delgrad)


def _metaplasticity(tasks: str, target: str) -> Kind:
    text = _METAPLASTICITY.replace("TASKS", tasks).replace("TARGET", target)
    if '"stream"' in tasks:
        text = text.replace('batch_norm = "per_task"', 'batch_norm = "shared"')
    return Kind(MetaplasticityConfig, _joined(text), _run_metaplasticity)


KINDS = {
    "delgrad ideal": _delgrad(),
    "delgrad cross entropy": _delgrad("axonal", "cross_entropy"),
    "delgrad mse": _delgrad("dendritic", "mse"),
    "delgrad chip": Kind(DelGradConfig, _joined(_CHIP.replace("PRESET", "w66f3")), _run_delgrad),
    "metaplasticity ideal": _metaplasticity(_WHOLE, '{kind = "ideal"}'),
    "metaplasticity permuted": _metaplasticity(_SPLIT.replace("KIND", "permuted"), '{kind = "ideal"}'),
    "metaplasticity stream": _metaplasticity(_SPLIT.replace("KIND", "stream"), '{kind = "ideal"}'),
    "metaplasticity crossbar": _metaplasticity(_WHOLE, _CROSSBAR_TARGET.replace("PRESET", "hfox_wan2022")),
    "metaplasticity chip": _metaplasticity(_WHOLE, '{kind = "brainscales", serial = 1, max_sends = 64}'),
    **{
        f"crossbar {name}": Kind(CrossbarExperiment, _joined(_BENCH), _run_measurement(f"crossbar {name}"))
        for name in ("program", "characterise", "age", "ir-drop")
    },
    "chip characterise": Kind(ChipExperiment, _CHIP_BENCH, _run_measurement("chip characterise")),
}  # fmt: skip

_ARRAY = ("layout", "tile_rows", "tile_columns", "conversion", "relax_tolerance_uS")
_MAPPING = ("levels_per_device", "scheme", "weight_range", "low_uS", "high_uS")


class Field(NamedTuple):
    """A value of a dataclass that a table reaches: its key in the table, its type, and the default of its class."""

    key: str
    kind: Any
    default: Any


def nested_fields(kind: Any, prefix: str = "") -> Iterator[Field]:
    """All values of a dataclass, and of the dataclasses in it."""
    hints, made = get_type_hints(kind), {} if kind is DeviceModel else vars(kind())
    for field in dataclasses.fields(kind):
        inner = next((one for one in alternatives(hints[field.name]) if dataclasses.is_dataclass(one)), None)
        if inner:
            yield from nested_fields(inner, f"{prefix}{field.name}.")
        else:
            default = getattr(preset("hfox_wan2022"), field.name) if kind is DeviceModel else made[field.name]
            yield Field(f"{prefix}{field.name}", hints[field.name], default)


# The free tables of the targets, with all that they reach.
TABLES = {
    "target.chip": [field for field in nested_fields(ChipConfig) if not field.key.startswith("noise.")],
    "target.noise": list(nested_fields(NoiseConfig)),
    "target.mac": [field for field in nested_fields(MacConfig) if field.key != "signed"],
    "target.device": list(nested_fields(DeviceModel)),
    "target.array": [field for field in nested_fields(CrossbarConfig) if field.key in _ARRAY],
    "target.mapping": [field for field in nested_fields(CrossbarConfig) if field.key in _MAPPING],
    "target.dac": list(nested_fields(DacConfig)),
    "target.adc": list(nested_fields(AdcConfig)),
    "target.wires": list(nested_fields(WireConfig)),
    "target.recipe": list(nested_fields(Recipe)),
    "target.faults": list(nested_fields(FaultConfig)),
    "target.wear": list(nested_fields(WearConfig)),
    "target.rtn": list(nested_fields(RtnConfig)),
    "target.costs": list(nested_fields(CostTable)),
}


def keys(kind: type, raw: dict[str, Any], path: str = "") -> Iterator[str]:
    """Dotted names of all keys that a config of this kind and these choices has, tables included."""
    if kind.__struct_config__.tag_field:
        yield f"{path}{kind.__struct_config__.tag_field}"
    for field in msgspec.structs.fields(kind):
        name = f"{path}{field.encode_name}"
        yield name
        value = raw.get(field.encode_name, {})
        if isinstance(value, dict) and (struct := struct_of(alternatives(field.type), value)):
            yield from keys(struct, value, f"{name}.")
        elif name in TABLES:
            yield from (f"{name}.{field.key}" for field in TABLES[name])


class Case(NamedTuple):
    """A kind of run with a key, a value as typed, and the door it comes through."""

    kind: str
    key: str
    value: str
    door: str


@functools.cache
def all_keys(kind: str) -> tuple[str, ...]:
    """All keys of a kind of run."""
    return tuple(keys(KINDS[kind].config, tomllib.loads(KINDS[kind].text)))


@functools.cache
def new_keys(kind: str) -> tuple[str, ...]:
    """Keys that no kind before it in the table has in a config of the same type."""
    before = [name for name in list(KINDS)[: list(KINDS).index(kind)] if KINDS[name].config is KINDS[kind].config]
    return tuple(key for key in all_keys(kind) if not any(key in all_keys(name) for name in before))


def cases(kind: str, some: Iterable[str] | None = None, values: Sequence[str] = VALUES) -> Iterator[Case]:
    """Every value of some or all keys of a kind of run, through one door and the other in turn."""
    doors = itertools.cycle(("--set", "TOML", "TOML", "--set"))
    for key in all_keys(kind) if some is None else some:
        yield from (Case(kind, key, value, next(doors)) for value in values)


def read(case: Case) -> Any:
    """The validated config."""
    kind = KINDS[case.kind]
    if case.door == "--set":
        return parse(kind.text, kind.config, [f"{case.key}={case.value}"])
    *parents, leaf = case.key.split(".")
    raw = tomllib.loads(kind.text)
    table = raw
    for parent in parents:
        table = table.setdefault(parent, {})
    table[leaf] = "HERE"
    return parse(tomli_w.dumps(raw).replace('"HERE"', case.value), kind.config)


def target(config: Any) -> None:
    """Build the target alone, with layers of a few weights."""
    if isinstance(config, CrossbarExperiment):
        CrossbarTarget(config.target, [(3, 4)])
    elif isinstance(config, MetaplasticityConfig):
        config.target.build([(3, 4)], config.network.quantizer, config.seed)
    else:
        config.target.build(config.network, config.seed)


def attempt(case: Case, use: Callable[[Any], None] | None = None) -> str:
    """How it ends: "valid", or the error's text.

    Parameters
    ----------
    case : Case
    use : callable, optional
        What is done with a valid config.

    Raises
    ------
    Exception
        Whatever is no UserError.
    """
    try:
        config = read(case)
        if use:
            use(config)
    except UserError as error:
        return str(error)
    return "valid"


def vague(case: Case, told: str) -> str:
    """What an error's text lacks; empty if nothing."""
    if told == "valid":
        return ""
    steps = case.key.split(".")
    paths = [".".join(steps[:k]) for k in range(len(steps), 0, -1)]
    # A value that stands in a relation to others may be named by them.
    named = any(path in told for path in paths) or re.search(r"\b(network|training|tasks|data|target)\.\w", told)
    if not named and "thousands of digits" not in told and "nested too deeply" not in told:
        return "the key is not named"
    if not told.isprintable() or len(told) > 600:
        return "it is no short line"
    if ";" not in told and "did you mean" not in told:
        return "there is no remedy"
    return ""
