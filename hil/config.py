"""TOML to validated, frozen structs, and back. Every error names field, value, what is allowed, and the remedy."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from hil.errors import UserError

T = TypeVar("T")


def experiment_summaries(kind: str) -> dict[str, str]:
    """Names of the shipped experiments of a kind (a folder of hil/experiments), each with its one-line summary."""
    folder = resources.files("hil.experiments") / kind
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name.removesuffix(".toml"): str(tomllib.loads(f.read_text())["summary"]) for f in files}


def experiment_text(kind: str, name: str) -> str:
    """TOML text of a shipped experiment of a kind, or of a file if `name` ends in .toml.

    Raises
    ------
    UserError
        If there is no such experiment or file; it names the nearest.
    """
    if name.endswith(".toml"):
        try:
            return Path(name).read_text()
        except OSError as error:
            raise UserError(f"cannot read experiment file {name}: {error.strerror}") from error
    known = experiment_summaries(kind)
    if name not in known:
        raise UserError(f"unknown experiment {name!r}{_nearest(name, known)}; known: {', '.join(known)}")
    return (resources.files("hil.experiments") / kind / f"{name}.toml").read_text()


def parse(text: str, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Validated config of type `kind` from TOML text, after `key.path=value` overrides.

    Raises
    ------
    UserError
        For bad TOML, a wrong type, a value out of range, an unknown key, or a NaN.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the experiment is not valid TOML: {error}") from error
    for override in overrides:
        _override(raw, override)
    _refuse_nonfinite(raw, "")
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        raise UserError(_explain(str(error), raw, kind)) from error


def to_toml(config: msgspec.Struct) -> str:
    """TOML text that `parse` turns into an equal config."""
    import tomli_w

    return tomli_w.dumps(_without_none(msgspec.to_builtins(config)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _override(raw: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {override}: expected key=value, for example --set training.batch=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, leaf = path.strip().split(".")
    table = raw
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {override}: {parent} is a value, not a table of keys")
    table[leaf] = value


def _refuse_nonfinite(value: Any, path: str) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _refuse_nonfinite(item, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}".lstrip("."))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{path} = {value} is not a number; give a finite value")


def _explain(message: str, raw: dict[str, Any], kind: type) -> str:
    reason, _, where = message.partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.+?)`", reason)
    if unknown:
        known = _fields_at(kind, raw, path)
        dotted = f"{path}.{unknown[1]}".lstrip(".")
        return f"unknown key {dotted}{_nearest(unknown[1], known)}; known here: {', '.join(known)}"
    missing = re.search(r"missing required field `(.+?)`", reason)
    if missing:
        return f"missing key {f'{path}.{missing[1]}'.lstrip('.')}; add it to the experiment"
    if not path:
        return reason
    if choices := _choices_at(kind, raw, path):
        reason = f"expected one of {', '.join(choices)}"
    reason = reason.replace("`", "")
    reason = reason[0].lower() + reason[1:]
    return f"{path} = {_value_at(raw, path)!r} is not allowed: {reason}; change it in the experiment or with --set"


def _steps(path: str) -> list[str | int]:
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?=\.|\[|$)|\[(\d+)\]", path)]


def _value_at(raw: Any, path: str) -> Any:
    for step in _steps(path):
        raw = raw[step]
    return raw


def _type_at(kind: Any, raw: Any, steps: Sequence[str | int]) -> Any:
    """Type of the value that the steps lead to; of several structs the one whose tag the config names."""
    for step in steps:
        kind = {field.name: field.type for field in msgspec.structs.fields(kind)}[str(step)]
        raw = raw[step]
        named = [s for s in _structs(kind) if s.__struct_config__.tag == raw.get(s.__struct_config__.tag_field)]
        kind = named[0] if named else kind
    return kind


def _structs(kind: Any) -> list[Any]:
    return [choice for choice in get_args(kind) if hasattr(choice, "__struct_config__")]


def _fields_at(kind: Any, raw: Any, path: str) -> list[str]:
    kind = _type_at(kind, raw, _steps(path))
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    tag = kind.__struct_config__.tag_field
    return [tag, *fields] if tag else fields


def _choices_at(kind: Any, raw: Any, path: str) -> list[str]:
    """The values that a choice or a struct's tag can have; empty for anything else."""
    *parents, leaf = _steps(path)
    parent = _type_at(kind, raw, parents)
    if structs := _structs(parent):
        return [str(struct.__struct_config__.tag) for struct in structs]
    types = {field.name: field.type for field in msgspec.structs.fields(parent)} if not get_origin(parent) else {}
    return (
        [str(value) for value in get_args(types.get(str(leaf)))] if get_origin(types.get(str(leaf))) is Literal else []
    )


def _nearest(name: str, known: Any) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {match[0]!r}?" if match else ""
