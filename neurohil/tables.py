"""From a table of an experiment to a frozen dataclass, however deeply nested: the emulators' configs are such."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import Any, TypeVar, get_origin, get_type_hints

from neurohil.errors import UserError
from neurohil.refusals import alternatives, joined, refusal
from neurohil.text import shown

D = TypeVar("D")

Changes = dict[str, Any]
"""A table as it was typed: single values of a dataclass, by key."""

_NOWHERE: Mapping[str, str] = MappingProxyType({})


def changed(
    base: D,
    table: Mapping[str, Any],
    path: str,
    names: Sequence[str] | None = None,
    moved: Mapping[str, str] = _NOWHERE,
) -> D:
    """A dataclass with some of its values changed; see `changes`."""
    return dataclasses.replace(base, **changes(base, table, path, names, moved))  # type: ignore[type-var]


def changes(
    base: Any,
    table: Mapping[str, Any],
    path: str,
    names: Sequence[str] | None = None,
    moved: Mapping[str, str] = _NOWHERE,
) -> dict[str, Any]:
    """Values for fields of a dataclass, from a table of an experiment.

    "none" stands for None where a field can be None, and an array for a tuple. A table changes a nested dataclass; one
    that is None in `base` begins from the defaults of its class. Whether a number is one, and in its range, is left to
    the dataclass, which knows the range.

    Parameters
    ----------
    base : dataclass
        What is changed.
    table : mapping
    path : str
        Where the table stands.
    names : sequence of str, optional
        Keys that it can have; by default all fields. One that is no field is returned as it is.
    moved : mapping of str
        Fields that stand elsewhere in an experiment, with their path.

    Raises
    ------
    UserError
        An unknown key, or a value of the wrong type.
    """
    if not table:
        return {}
    kinds = _field_types(type(base))
    names = [name for name in kinds if name not in moved] if names is None else names
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)[0]
            raise UserError(
                f"unknown key {joined(path, key)}, did you mean {moved.get(key, joined(path, near))!r}? "
                f"Known here: {', '.join(names)}"
            )
    return {
        key: _value(getattr(base, key, None), value, kinds.get(key, object), joined(path, key))
        for key, value in table.items()
    }


def _value(before: Any, value: Any, kind: Any, path: str) -> Any:
    kinds = alternatives(kind)
    if NoneType in kinds and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    nested = next((one for one in kinds if dataclasses.is_dataclass(one)), None)
    if nested:
        if not isinstance(value, Mapping):
            none = " or none" if NoneType in kinds else ""
            known = ", ".join(_field_types(nested))
            raise UserError(f"{path} = {shown(value)} is not a table of keys{none}; its keys are {known}")
        return changed(nested() if before is None else before, value, path)  # type: ignore[operator]
    told_here = any(get_origin(one) is tuple for one in kinds) or (kinds == [str] and not isinstance(value, str))
    if told_here and (text := refusal(value, kind, path)):
        raise UserError(text)
    if kinds == [int] and isinstance(value, float) and value.is_integer():
        return int(value)  # numbers of a table of floats
    return _tuples(value)


def _field_types(kind: Any) -> dict[str, Any]:
    """Types of the fields of a dataclass, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
