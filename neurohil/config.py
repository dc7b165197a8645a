"""TOML to validated, frozen structs, and back. Every error names field, value, what is allowed, and the remedy."""

from __future__ import annotations

import codecs
import difflib
import stat
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import msgspec

from neurohil.choices import KIND, choice_of, is_table
from neurohil.errors import UserError
from neurohil.refusals import alternatives, fields_of, joined, refusal, struct_of
from neurohil.text import one_line, shown

T = TypeVar("T")

_MAX_BYTES = 65_536  # of an experiment's file; the longest shipped one has 1 kB
_MAX_DOTS = 1000  # in a line: the parser's time grows with their square
_WORDS = ("inf", "+inf", "-inf", "nan", "true", "false", "none")  # however they are written


def experiment_summaries(kind: str) -> dict[str, str]:
    """Names of the shipped experiments of a kind (a folder of neurohil/experiments), each with its one-line summary."""
    folder = resources.files("neurohil.experiments") / kind
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name.removesuffix(".toml"): str(tomllib.loads(f.read_text("utf-8"))["summary"]) for f in files}


def experiment_text(kind: str, name: str) -> str:
    """TOML text of a shipped experiment of a kind, or of a file if `name` ends in .toml.

    Raises
    ------
    UserError
        If there is no such experiment or file, with the nearest, or the file is no text in UTF-8.
    """
    if name.endswith(".toml"):
        return _file_text(Path(name))
    known = experiment_summaries(kind)
    if name not in known:
        raise UserError(f"unknown experiment {shown(name)}{_nearest(name, known)}; known: {', '.join(known)}")
    return (resources.files("neurohil.experiments") / kind / f"{name}.toml").read_text("utf-8")


def experiment_name(experiment: str) -> str:
    """What a shipped experiment or a .toml file is called in titles and in the names of traces."""
    return one_line(Path(experiment).name.removesuffix(".toml"))


def parse(text: str, kind: type[T], overrides: Sequence[str] = (), **values: Any) -> T:
    """Validated config of type `kind` from TOML text, after `key.path=value` overrides.

    A key that may be left out can be "none" instead. Where a table gets another `kind`, it keeps the keys that this one
    knows; a class of the user's own begins from its own defaults.

    Parameters
    ----------
    text : str
    kind : type of msgspec.Struct
    overrides : sequence of str
    **values
        Keys that are set last, with their paths: objects in place of tables, too.

    Raises
    ------
    UserError
        For bad TOML, a wrong type, a value out of range, an unknown key, NaN, or infinity where it means nothing.
    """
    try:
        raw = _toml(text, "the experiment")
        typed = [_override(raw, override) for override in overrides]
        for path, value in values.items():
            typed += _put(raw, path, value)
        raw = _without_words(_of_new_kinds(raw, kind, typed), kind)
        if refused := refusal(raw, kind):
            raise UserError(refused)
        return _converted(_chosen(raw, kind), kind)
    except RecursionError as error:
        raise UserError("the experiment is nested too deeply; no key needs more than four levels") from error


def to_toml(config: msgspec.Struct) -> str:
    """TOML text that `parse` turns into an equal config."""
    import tomli_w

    return tomli_w.dumps(_without_none(as_table(config)))


def as_table(config: msgspec.Struct) -> dict[str, Any]:
    """The config as nested tables of plain values.

    Raises
    ------
    UserError
        An object of the user's own has no fields.
    """
    table: dict[str, Any] = _plain(config)
    return table


def _plain(value: Any, kind: Any = object, path: str = "") -> Any:
    struct: Any = type(value)
    if is_table(struct):
        table = _name(value, kind)
        for field in fields_of(struct):
            key, item = field.encode_name, getattr(value, field.name)
            kept = "none" if item is None and field.default is not None else item  # a key left out is the default
            table[key] = _plain(kept, field.type, joined(path, key))
        return table
    if choice := choice_of(kind):
        raise UserError(f"{choice.refused(value, path)}; make its class a msgspec.Struct or a dataclass")
    if isinstance(value, dict):  # a free table, where "none" stands for None
        return {key: "none" if item is None else _plain(item) for key, item in value.items()}
    return msgspec.to_builtins(value)


def _name(value: Any, kind: Any) -> dict[str, Any]:
    """The key that says which struct or dataclass it is, if one does."""
    choice, struct = choice_of(kind), type(value)
    if choice and struct not in choice.structs():
        return {KIND: f"{struct.__module__}:{struct.__qualname__}"}
    if choice and struct is choice.default:
        return {}
    tag = getattr(struct, "__struct_config__", None)
    return {tag.tag_field: tag.tag} if tag and tag.tag else {}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _file_text(path: Path) -> str:
    name = f"experiment file {one_line(path)}"
    try:
        status = path.stat()  # before it is opened: a pipe would wait for a writer
        if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_BYTES:
            content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot read {name}: {reason}; give the path of a TOML file") from error
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise UserError(f"cannot read {name}: it is {what}; give the path of a TOML file")
    if status.st_size > _MAX_BYTES:
        raise UserError(
            f"cannot read {name}: it has {status.st_size} bytes, allowed are {_MAX_BYTES}; is it an experiment at all?"
        )
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"cannot read {name}: it is in UTF-16; save it in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"cannot read {name}: byte 0x{content[error.start]:02x} in line {line} is no UTF-8; save it in UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"cannot read {name}: it holds zero bytes, so it is no text; give a TOML file in UTF-8")
    return text


def _toml(text: str, what: str) -> dict[str, Any]:
    try:
        if max((line.count(".") for line in text.splitlines()), default=0) > _MAX_DOTS:
            raise RecursionError
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise UserError(f"{what} is nested too deeply; no key needs more than four levels") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{what} is not valid TOML: {one_line(error)}; correct it") from error
    except ValueError as error:  # more digits than Python reads
        raise UserError(f"{what} has an integer of thousands of digits; no key needs more than 19") from error


def _put(raw: dict[str, Any], path: str, value: Any) -> Iterator[str]:
    """Set a key, or change those of a table one by one; gives the paths of all that were set."""
    *parents, leaf = path.split(".")
    table = raw
    for parent in parents:
        inner = table.get(parent)
        table[parent] = dict(inner) if isinstance(inner, dict) else {}
        table = table[parent]
    if isinstance(value, Mapping) and isinstance(table.get(leaf), dict):
        for key, item in value.items():
            yield from _put(raw, joined(path, key), item)
    else:
        table[leaf] = value
        yield path


def _of_new_kinds(value: Any, kind: Any, typed: Collection[str], path: str = "") -> Any:
    """The value without keys that an earlier `kind` had: where one was typed, only keys that were typed, too, and those
    that the new kind knows; a class of the user's own begins from its own defaults."""
    struct = struct_of(alternatives(kind), value, path) if isinstance(value, dict) else None
    if struct is None:
        return value
    fields = {field.encode_name: field.type for field in fields_of(struct)}
    kept = set(value)
    if joined(path, KIND) in typed:
        choice = choice_of(kind)
        known = {KIND} if choice and struct not in choice.structs() else {KIND, *fields}
        kept = {key for key in value if key in known or _is_typed(joined(path, key), typed)}
    return {
        key: _of_new_kinds(item, fields.get(key, object), typed, joined(path, key))
        for key, item in value.items()
        if key in kept
    }


def _is_typed(key: str, typed: Collection[str]) -> bool:
    """Whether a key, or one in its table, is among the typed ones."""
    return any(f"{name}.".startswith(f"{key}.") for name in typed)


def _override(raw: dict[str, Any], override: str) -> str:
    """Set a key as it is typed behind --set; returns its path."""
    typed = shown(override)[1:-1]
    path, equals, text = override.partition("=")
    *parents, leaf = (step.strip() for step in path.split("."))
    if not equals or not all([*parents, leaf]):
        raise UserError(f"--set {typed}: expected key=value, for example --set training.batch=50")
    text = text.strip().lower() if text.strip().lower() in _WORDS else text
    try:
        read = _toml(f"value = {text}", f"--set {typed}")
        value = read["value"] if len(read) == 1 else text
    except UserError as error:
        if not isinstance(error.__cause__, tomllib.TOMLDecodeError):
            raise
        value = text
    table = raw
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {typed}: {parent} is a value, not a table of keys; name the key alone")
    table[leaf] = value
    return joined(".".join(parents), leaf)


def _without_words(value: Any, kind: Any, path: str = "") -> Any:
    """The value with None for "none" wherever a key may be left out."""
    kinds = alternatives(kind)
    if NoneType in kinds and isinstance(value, str) and value.lower() == "none":
        return None
    if isinstance(value, dict) and (struct := struct_of(kinds, value, path)):
        fields = {field.encode_name: field.type for field in fields_of(struct)}
        return {key: _without_words(item, fields.get(key, object), joined(path, key)) for key, item in value.items()}
    return value


def _chosen(value: Any, kind: Any, path: str = "") -> Any:
    """The value with an object in place of each table of a `Choice`: msgspec knows the protocol alone."""
    struct = struct_of(alternatives(kind), value, path) if isinstance(value, dict) else None
    if struct is None:
        return value
    fields = {field.encode_name: field.type for field in fields_of(struct)}
    table = {key: _chosen(item, fields.get(key, object), joined(path, key)) for key, item in value.items()}
    if not (choice := choice_of(kind)):
        return table
    if struct not in choice.structs():
        del table[KIND]
    return _converted(table, struct, path)


def _converted(value: Any, kind: type[T], path: str = "") -> T:
    """As msgspec does it; what a struct refuses by itself is told in its own words."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise UserError(f"{path}: {one_line(error)}".removeprefix(": ")) from error


def _nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {match[0]!r}?" if match else ""
