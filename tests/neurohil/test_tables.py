"""Every value of every nested dataclass of the emulators is reached from an experiment, and refused by its key."""

import dataclasses
import json
from functools import reduce
from typing import Any, Literal, get_args, get_origin

import pytest
from config_walk import KINDS, TABLES

from brainscales_emu import EventPathConfig, LinkConfig, SaturationConfig, preset
from neurohil.config import parse, to_toml
from neurohil.errors import UserError
from neurohil.kinds import KINDS as RUNS
from neurohil.refusals import alternatives
from neurohil.tables import changed
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig
from neurohil.targets.spiking.brainscales import BrainscalesConfig

load, load_metaplasticity = RUNS["delgrad"].load, RUNS["metaplasticity"].load

KIND = dict.fromkeys(TABLES, "metaplasticity crossbar")
KIND |= {"target.chip": "delgrad chip", "target.noise": "delgrad chip", "target.mac": "metaplasticity chip"}
REACHED = [(table, field) for table in TABLES for field in TABLES[table]]
IDS = [f"{table}.{field.key}" for table, field in REACHED]
NEEDS = {  # a value that another one needs
    "target.recipe.wait_s": ["target.recipe.method=write_verify"],
    "target.mapping.scheme": ["target.mapping.levels_per_device=9"],
    "target.array.layout": ["target.wires=none"],
}


def read(table: str, words: list[str]) -> Any:
    kind = KINDS[KIND[table]]
    return parse(kind.text, kind.config, words)


def emulator(table: str, config: Any) -> Any:
    """What the emulator was made with."""
    if table in ("target.chip", "target.noise"):
        chip = config.target.build(config.network, config.seed)._chip.config
        return chip.noise if table == "target.noise" else chip
    target = config.target.build([(3, 4)], config.network.quantizer, config.seed)
    if table == "target.mac":
        return target._array.config
    if table == "target.costs":
        return target.controller.costs
    crossbar = target.controller.crossbars[0].config
    return crossbar if table in ("target.array", "target.mapping") else getattr(crossbar, table.partition(".")[2])


def last_leaf(value: Any, change: float) -> Any:
    """The value with its very last number changed."""
    return (*value[:-1], last_leaf(value[-1], change)) if isinstance(value, tuple) else value + change


def others(field: Any) -> list[Any]:
    """Values that the field may have instead of its default."""
    kinds, default = alternatives(field.kind), field.default
    if bool in kinds:
        return [not default]
    if choices := [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]:
        return [choice for choice in choices if choice != default]
    if isinstance(default, tuple):
        return [last_leaf(default, 0.5), last_leaf(default, -0.5)]
    if isinstance(default, str):
        return ["weibull", "gradual"]
    near = [] if default is None else [default * 2, default / 2, default + 1, default - 1]
    numbers = [*near, 1, 10, 1000, 0.5]
    return [n for n in numbers if n != default and (float in kinds or isinstance(n, int))]


def typed(value: Any) -> str:
    return str(value) if isinstance(value, float) else json.dumps(value)


@pytest.mark.parametrize(("table", "field"), REACHED, ids=IDS)
def test_another_value_reaches_the_emulator(table, field):
    key, needs = f"{table}.{field.key}", NEEDS.get(f"{table}.{field.key}", [])
    for value in others(field):
        try:
            config = read(table, [*needs, f"{key}={typed(value)}"])
            made = emulator(table, config)
        except UserError:
            continue  # out of its range
        found = reduce(getattr, field.key.split("."), made)
        assert found == value and type(found) in (type(value), float)
        assert parse(to_toml(config), type(config)) == config
        return
    raise AssertionError(f"no other value of {key} was accepted")


@pytest.mark.parametrize(("table", "field"), REACHED, ids=IDS)
def test_wrong_types_and_values_are_refused_before_anything_is_built(table, field):
    key, kinds = f"{table}.{field.key}", alternatives(field.kind)
    wrong = ["3"] if isinstance(field.default, str) and str in kinds else ['"x"']
    wrong += ["{a = 1}", "true" if bool not in kinds else "1"]
    if kinds != [str] or table == "target.wear":  # a name may be any text
        wrong.append("[]")
    for text in wrong:
        with pytest.raises(UserError) as caught:
            read(table, [f"{key}={text}"])
        assert str(caught.value).startswith(key), (text, str(caught.value))
    if {int, float} & set(kinds):
        for text in ("nan", "-1e300"):
            with pytest.raises(UserError) as caught:
                read(table, [f"{key}={text}"])
            assert str(caught.value).startswith(f"{key} = "), (text, str(caught.value))


def test_the_walk_reaches_all_of_both_emulators():
    reached = {f"{table}.{field.key}" for table, field in REACHED}
    assert {"target.chip.event_path.slot_ns", "target.chip.link.word_bits", "target.chip.adex.w_leak_lsb"} <= reached
    assert {"target.chip.stp.rest", "target.chip.exact_input_times", "target.device.spread_fit"} <= reached
    assert len(reached) > 120 and not any(key.startswith("target.chip.noise") for key in reached)


def test_none_and_tables_where_the_default_is_none():
    config = load("chip_yin_yang_axonal", ["target.chip.event_path.slot_ns=16", "target.chip.event_path.fifo_depth=2"])
    chip = emulator("target.chip", config)
    assert chip.event_path == EventPathConfig(slot_ns=16, fifo_depth=2) and chip.adex is None
    assert chip.link == LinkConfig() and chip.noise == preset("w66f3").noise
    for words in (["target.chip.event_path=none"], ["target.chip.event_path={}", "target.chip.event_path=NONE"]):
        assert emulator("target.chip", load("chip_yin_yang_axonal", words)).event_path is None
    assert emulator("target.chip", load("chip_yin_yang_axonal", ["target.chip.event_path={}"])).event_path is not None
    lower = ["target.chip.saturation.lower_rail_lsb=40"]
    assert emulator("target.chip", load("chip_yin_yang_axonal", lower)).saturation == SaturationConfig(40)
    for words in (["target.chip.saturation=none"], [*lower, "target.chip.saturation=None"]):
        assert emulator("target.chip", load("chip_yin_yang_axonal", words)).saturation is None
    ideal = ["target.preset=ideal", *lower]  # begins from the defaults
    assert emulator("target.chip", load("chip_yin_yang_axonal", ideal)).saturation == SaturationConfig(40)


def test_a_table_begins_from_what_the_preset_has():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        x: int = 1
        y: tuple[float, ...] = (1.0,)

    @dataclasses.dataclass(frozen=True)
    class Outer:
        inner: Inner = Inner(x=5)
        maybe: Inner | None = None

    Outer.__annotations__ |= {"inner": Inner, "maybe": Inner | None}
    made = changed(Outer(), {"inner": {"y": [2.0, 3.0]}, "maybe": {"x": 3}}, "top")
    assert made == Outer(Inner(5, (2.0, 3.0)), Inner(3))
    assert changed(Outer(maybe=Inner(7)), {"maybe": {"y": []}}, "top").maybe == Inner(7, ())
    assert changed(Outer(maybe=Inner(7)), {"maybe": "none"}, "top").maybe is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "chip.event_path.slot_n=8",
            "unknown key target.chip.event_path.slot_n, did you mean 'target.chip.event_path.sl",
        ),
        (
            "chip.event_path.slot_ns=0.5",
            "target.chip.event_path.slot_ns = 0.5 ns is outside 1..1e+06 ns; give 0 for no l",
        ),
        (
            "chip.event_path=3",
            "target.chip.event_path = 3 is not a table of keys or none; its keys are slot_ns, fifo_dep",
        ),
        (
            "chip.link=none",
            "target.chip.link = 'none' is not a table of keys; its keys are bandwidth_mbit_s, latency_us, ",
        ),
        (
            "chip.noise.weight_std=0.1",
            "unknown key target.chip.noise, did you mean 'target.noise'? Known here: tau_mem_u",
        ),
        (
            "chip.saturation.upper_linear_lsb=20",
            "target.chip.saturation.upper_linear_lsb = 20 LSB is not above target.chip.saturation.lower_rail_lsb = 28 ",
        ),
        ("chip.stp.rest=[0.5]", "target.chip.stp.rest = [0.5] is not allowed: expected array of length 2, each float;"),
        ("chip.stp.rest=[0.5, 2]", "target.chip.stp.rest[1] = 2 is outside 0..1; give a part of the full pulse"),
        ("chip.adex.a=nan", "target.chip.adex.a = nan is outside -10..100; give it relative to the leak"),
        ("chip.exact_input_times=1", "target.chip.exact_input_times = 1.0 is not true or false; give one of the two"),
    ],
)
def test_messages_name_the_whole_key(word, message):
    with pytest.raises(UserError) as caught:
        load("chip_yin_yang_axonal", [f"target.{word}"])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("array.scheme=pair", "unknown key target.array.scheme, did you mean 'target.mapping.scheme'?"),
        ("mapping.tile_rows=3", "unknown key target.mapping.tile_rows, did you mean 'target.array.tile_rows'?"),
        ("device.name=3", "target.device.name = 3 is not allowed: expected str; change it"),
        ("device.times_s=[3, 2, 1]", "target.device.times_s = (3, 2, 1) doesn't rise; sort it, each once"),
        ("recipe.wait_s=3", "target.recipe.wait_s = 3 s is for 'write_verify'; method 'one_shot' doesn't wait"),
        ("wear=3", "target.wear = 3 is not allowed: expected a table of keys"),
    ],
)
def test_messages_of_the_crossbar_name_the_whole_key(word, message):
    with pytest.raises(UserError) as caught:
        load_metaplasticity("mnist_fashion_crossbar", ["target.recipe.method=one_shot", f"target.{word}"])
    assert str(caught.value).startswith(message)


def test_a_bad_file_is_named_by_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("level,mean_uS,sigma_uS,time_s\n0,5,0,1\n")
    config = CrossbarTargetConfig(table="mine.csv")
    with pytest.raises(UserError, match=r"^target.table = 'mine.csv': mine.csv: 1 level\(s\) are not enough"):
        config.build([(2, 2)], load_metaplasticity("mnist_fashion_ideal").network.quantizer, 1)


def test_configs_made_in_python_are_checked_and_survive_toml():
    config = BrainscalesConfig(preset="w66f3", serial=1, chip={"event_path": {"slot_ns": 16.0}, "adex": None})
    assert parse(to_toml(config), BrainscalesConfig) == BrainscalesConfig(
        preset="w66f3", serial=1, chip={"event_path": {"slot_ns": 16.0}, "adex": "none"}
    )
    with pytest.raises(UserError, match=r"^target.chip.adex.a = 1000 is outside -10..100; give it relative"):
        BrainscalesConfig(preset="w66f3", serial=1, chip={"adex": {"a": 1000.0}})
    with pytest.raises(UserError, match=r"^target.preset = 'w66' is unknown; did you mean 'w66f3'\?"):
        BrainscalesConfig(preset="w66", serial=1)


def test_tables_in_toml_files():
    text = KINDS["delgrad chip"].text
    raw = {"event_path": {"slot_ns": 24.0}, "stp": {"rest": [0.5, 0.5]}, "exact_input_times": True}
    kind = KINDS["delgrad chip"].config
    config = parse(text, kind, [f"target.chip={json.dumps(raw).replace(':', ' =')}"])
    chip = emulator("target.chip", config)
    assert (chip.event_path.slot_ns, chip.stp.rest, chip.exact_input_times) == (24.0, (0.5, 0.5), True)
