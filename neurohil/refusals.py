"""Why a config is refused: the first key that is wrong, as typed, with its value and what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from neurohil.choices import KIND, Choice, choice_of, is_table
from neurohil.text import exact, one_line, shown

_UNITS = {"_us": "us", "_s": "s", "_ohm": "ohm"}  # by the end of a key's name
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
_KINDS = {bool: "bool", int: "int", float: "float", str: "str", NoneType: "none"}


def refusal(value: Any, kind: Any, path: str = "", whole: Any = None) -> str | None:
    """The first thing that is wrong with a value, and the remedy; None if it is as it should be.

    Parameters
    ----------
    value : object
        As read from TOML.
    kind : type
        What it should be: a struct, or the type of one of its fields.
    path : str
        Where it stands.
    whole : type of msgspec.Struct
        The uppermost struct, in which an unknown key is searched for; default: `kind`.
    """
    whole = whole or kind
    kinds = alternatives(kind)
    if isinstance(value, float) and not math.isfinite(value) and not (value > 0 and _infinity(kinds)):
        return f"{path} = {value} is not a finite number; give {_wanted(kinds, path)}"
    if isinstance(value, dict) and _structs(kinds):
        return _in_table(value, kinds, path, whole)
    if isinstance(value, dict) and (tables := [k for k in kinds if get_origin(_bare(k)) is dict]):
        item = get_args(_bare(tables[0]))[1]
        if item is Any:  # left to those who know its keys
            return None
        found = (
            refusal(v, item, joined(path, k), whole) for k, v in value.items() if not isinstance(v, float)
        )  # numbers of free tables are left to those who know their ranges
        return next((text for text in found if text), None)
    if choice := choice_of(kind):
        told = choice.refused(value, path)
        return told and f"{told}: expected {_wanted(kinds, path)}; change it in the experiment or with --set"
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        pass
    else:
        nonfinite = (refusal(v, item_kind(kinds, i), f"{path}[{i}]", whole) for i, v in _items(value))
        return next((text for text in nonfinite if text), None)
    if any(get_origin(_bare(k)) is tuple for k in kinds):
        found = (refusal(v, item_kind(kinds, i), f"{path}[{i}]", whole) for i, v in _items(value))
        if text := next((text for text in found if text), None):
            return text
    return _not_allowed(path, value, _wanted(kinds, path))


def alternatives(kind: Any) -> list[Any]:
    """The types that a value can have: the members of a union, a choice behind its structs, or the type alone."""
    if choice := choice_of(kind):
        return [*choice.structs(), choice]
    if get_origin(kind) in (Union, UnionType):
        return [alternative for member in get_args(kind) for alternative in alternatives(member)]
    return [kind]


def struct_of(kinds: Sequence[Any], table: dict[str, Any], path: str = "") -> Any:
    """The struct or dataclass that a table is meant for: the only one, or the one that it names; None if there is none.

    Raises
    ------
    UserError
        It names a class of the user's own that there isn't, or that doesn't do.
    """
    structs, choice = _structs(kinds), _choice(kinds)
    if len(structs) == 1 and not choice:
        return structs[0]
    if choice and isinstance(name := table.get(KIND), str) and ":" in name:
        return choice.named(name, joined(path, KIND))
    if choice and choice.default and KIND not in table:
        return choice.default
    return next((s for s in structs if s.__struct_config__.tag == table.get(s.__struct_config__.tag_field)), None)


def item_kind(kinds: Sequence[Any], index: int) -> Any:
    """Type of an element of an array; object where there should be none."""
    for kind in kinds:
        if get_origin(_bare(kind)) is tuple:
            items = get_args(_bare(kind))
            return items[0] if items[-1] is Ellipsis else items[index] if index < len(items) else object
    return object


def nearest(name: str, path: str, known: Sequence[str]) -> str:
    """`, did you mean ...?` with the whole path of the key that is most like an unknown one; empty if none is."""
    match = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {joined(path, match[0])!r}?" if match else ""


@functools.cache
def fields_of(struct: Any) -> tuple[Any, ...]:
    """Fields of a struct or dataclass; to evaluate the annotations is most of the time of a check."""
    if issubclass(struct, msgspec.Struct):
        return msgspec.structs.fields(struct)
    hints, absent = get_type_hints(struct, include_extras=True), dataclasses.MISSING
    return tuple(
        msgspec.structs.FieldInfo(
            field.name,
            field.name,
            hints[field.name],
            msgspec.NODEFAULT if field.default is absent else field.default,
            msgspec.NODEFAULT if field.default_factory is absent else field.default_factory,
        )
        for field in dataclasses.fields(struct)
        if field.init
    )


def joined(path: str, key: str) -> str:
    """Path of a key in the table at `path`."""
    return f"{path}.{one_line(key)}".lstrip(".")


def _in_table(table: dict[str, Any], kinds: Sequence[Any], path: str, whole: Any) -> str | None:
    struct = struct_of(kinds, table, path)
    if struct is None:
        tag = _structs(kinds)[0].__struct_config__.tag_field
        if tag not in table:
            return f"missing key {joined(path, tag)}; give one of {_tags(kinds)}"
        own = ', or name a class of your own as "package.module:Class"' if _choice(kinds) else ""
        return _not_allowed(joined(path, tag), table[tag], f"one of {_tags(kinds)}") + own
    tag_field, tag = _tag_of(struct)
    fields = {field.encode_name: field for field in fields_of(struct)}
    is_own = bool(_choice(kinds)) and struct not in kinds
    known = [KIND if is_own else tag_field, *fields] if is_own or tag else list(fields)
    for key in table:
        if key not in known:
            near = _elsewhere(key, whole) or nearest(key, path, known)
            return f"unknown key {joined(path, key)}{near}; known here: {', '.join(known)}"
    if tag and not is_own and table.get(tag_field, tag) != tag:
        return _not_allowed(joined(path, tag_field), table[tag_field], f"one of {tag}")
    for name, field in fields.items():
        if name in table and (text := refusal(table[name], field.type, joined(path, name), whole)):
            return text
    for name, field in fields.items():
        if name not in table and field.required:
            wanted = _wanted(alternatives(field.type), name)
            return f"missing key {joined(path, name)}; add it to the experiment: {wanted}"
    return None


def _not_allowed(path: str, value: Any, wanted: str) -> str:
    return f"{path} = {shown(value)} is not allowed: expected {wanted}; change it in the experiment or with --set"


def _elsewhere(name: str, whole: Any) -> str:
    """The key of that name in another table."""
    found = [path for path in _paths(whole, "") if path.rpartition(".")[2] == name]
    return f", did you mean {found[0]!r}?" if found else ""


def _paths(struct: Any, path: str) -> Iterator[str]:
    for field in fields_of(struct):
        yield joined(path, field.encode_name)
        for inner in _structs(alternatives(field.type)):
            yield from _paths(inner, joined(path, field.encode_name))


def _structs(kinds: Sequence[Any]) -> list[Any]:
    return [kind for kind in kinds if is_table(kind)]


def _choice(kinds: Sequence[Any]) -> Choice | None:
    return next((kind for kind in kinds if isinstance(kind, Choice)), None)


def _tag_of(struct: Any) -> tuple[str, Any]:
    """Name and value of the tag; empty and None if there is none."""
    config = getattr(struct, "__struct_config__", None)
    return (config.tag_field, config.tag) if config and config.tag else ("", None)


def _tags(kinds: Sequence[Any]) -> str:
    return ", ".join(str(struct.__struct_config__.tag) for struct in _structs(kinds))


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _items(value: Any) -> list[tuple[int, Any]]:
    return list(enumerate(value)) if isinstance(value, list) else []


def _wanted(kinds: Sequence[Any], path: str) -> str:
    """What a key can be, in words, with bounds and unit."""
    if structs := _structs(kinds):
        tag = f" with {structs[0].__struct_config__.tag_field} = one of {_tags(kinds)}" if len(structs) > 1 else ""
        words = [f"a table of keys{tag}"]
        words += ["none"] if NoneType in kinds else []
    else:
        words = [_word(kind, path) for kind in kinds]
    return " or ".join(dict.fromkeys(words))


def _infinity(kinds: Sequence[Any]) -> str:
    """What infinity means there; empty if nothing."""
    metas = [meta for kind in kinds if get_origin(kind) is Annotated for meta in get_args(kind)[1:] if meta.extra]
    return next((meta.extra["inf"] for meta in metas if "inf" in meta.extra), "")


def _word(kind: Any, path: str) -> str:
    bare, metas = _bare(kind), get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    if get_origin(bare) is Literal:
        return f"one of {', '.join(map(str, get_args(bare)))}"
    if get_origin(bare) is dict:
        return "a table of keys"
    if get_origin(bare) is tuple:
        items = get_args(bare)
        if items[-1] is not Ellipsis:
            return f"array of length {len(items)}, each {_wanted(alternatives(items[0]), path)}"
        lengths = [f"{m.min_length or 0}..{m.max_length}" if m.max_length else f">= {m.min_length}" for m in metas]
        return f"array of length {lengths[0] if lengths else '>= 0'}, each {_wanted(alternatives(items[0]), path)}"
    bounds = [
        f"{sign} {exact(bound)}"
        for meta in metas
        for name, sign in _BOUNDS
        if (bound := getattr(meta, name)) is not None
    ]
    units = [meta.extra["unit"] for meta in metas if meta.extra and "unit" in meta.extra]
    units += [unit for end, unit in _UNITS.items() if path.partition("[")[0].endswith(end)]
    text = " ".join(part for part in (_KINDS.get(bare, str(bare)), " and ".join(bounds), *units[:1]) if part)
    return f"{text}, inf for {infinity}" if (infinity := _infinity([kind])) else text
