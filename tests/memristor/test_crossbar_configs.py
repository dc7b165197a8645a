"""What can be chosen is plain data: frozen classes of numbers, words and such classes, as a table can say them."""

import dataclasses
import types
import typing
from pathlib import Path

import pytest

from memristor import PRESET_NAMES, CostTable, CrossbarConfig, WireConfig, preset
from memristor.mapping import Mapping

ROOTS = (CrossbarConfig, CostTable, Mapping, WireConfig)
PLAIN = (bool, int, float, str)


def nested(hint):
    """Classes of settings in a type hint; AssertionError if it holds anything that isn't plain."""
    if dataclasses.is_dataclass(hint):
        return {hint}
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        assert all(type(choice) is str for choice in inner), hint
        return set()
    if origin in (types.UnionType, typing.Union):
        choices = [one for one in inner if one is not type(None)]
        assert len(choices) == 1 and len(inner) == 2, f"{hint}: one type or None, so that a reader knows which"
        return nested(choices[0])
    if origin is tuple:
        assert len(inner) == 2 and inner[1] is Ellipsis, hint
        return nested(inner[0])
    assert hint in PLAIN, hint
    return set()


def classes():
    found, left = set(), set(ROOTS)
    while left:
        made = left.pop()
        found.add(made)
        for hint in typing.get_type_hints(made).values():
            left |= nested(hint) - found
    return sorted(found, key=lambda one: one.__name__)


def built(made, table):
    """An object of a class of settings from a table of tables, as somebody writes it in a file."""
    hints, values = typing.get_type_hints(made), {}
    for name, value in table.items():
        inner = nested(hints[name])
        values[name] = built(inner.pop(), value) if inner and value is not None else value
    return made(**values)


def test_all_classes_are_found():
    assert [made.__name__ for made in classes()] == [
        "AdcConfig", "CostTable", "CrossbarConfig", "DacConfig", "DeviceModel", "FaultConfig", "Mapping", "Recipe",
        "RtnConfig", "WearConfig", "WireConfig",
    ]  # fmt: skip


@pytest.mark.parametrize("made", classes(), ids=lambda made: made.__name__)
def test_a_class_of_settings_is_frozen_and_of_plain_fields(made):
    assert made.__dataclass_params__.frozen
    hints = typing.get_type_hints(made)
    assert {field.name for field in dataclasses.fields(made)} <= hints.keys()
    assert all(field.init for field in dataclasses.fields(made))
    assert isinstance(made.__doc__, str)
    documented = made.__doc__
    for field in dataclasses.fields(made):
        assert field.name in documented, f"{made.__name__}.{field.name} isn't documented"


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_config_comes_back_from_its_table(name):
    for wires in (None, WireConfig(2.0, topology="source_line_parallel", access_ohm=100.0)):
        config = CrossbarConfig(preset(name), levels_per_device=9, wires=wires)
        again = built(CrossbarConfig, dataclasses.asdict(config))
        assert again == config and hash(again) == hash(config)


def test_preset_names_of_the_page():
    """docs/crossbar.md has a line for each preset, and no other."""
    page = (Path(__file__).parents[2] / "docs/crossbar.md").read_text(encoding="utf-8")
    section = page.split("## Presets")[1].split("##")[0]
    named = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    assert named == set(PRESET_NAMES)
