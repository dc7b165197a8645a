"""What differs between two configs: for summaries, for the names of traces, and for messages."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from neurohil.config import as_table

C = TypeVar("C", bound=msgspec.Struct)

_MOST = 3  # differences that a summary tells
_SAME_EXPERIMENT = ("seed", "serial")  # another individual, or other noise, of what the summary tells


def with_true_summary(config: C, plain: C) -> C:
    """The config; where it isn't the plain experiment any more, its summary is replaced by what differs from it.

    So pictures, reports and traces, which show it, show what the config says.
    """
    now, then = (
        {key: value for key, value in leaves(as_table(c)) if key.rpartition(".")[2] not in _SAME_EXPERIMENT}
        for c in (config, plain)
    )
    if now["summary"] != then["summary"]:
        return config
    changed = [f"{key} = {_typed(value)}" for key, value in now.items() if key not in then or then[key] != value]
    if not changed:
        return config
    told = ", ".join(changed[:_MOST]) + (f" and {len(changed) - _MOST} more" if len(changed) > _MOST else "")
    return msgspec.structs.replace(config, summary=f"{now['experiment']} with {told}")


def changes(old: str, new: str) -> list[tuple[str, Any, Any]]:
    """Keys of two configs, as TOML, whose values differ, with both values; None for none."""
    try:
        then, now = (dict(leaves(tomllib.loads(text))) for text in (old, new))
    except tomllib.TOMLDecodeError:
        return []
    keys = dict.fromkeys([*now, *then])
    return [(key, then.get(key), now.get(key)) for key in keys if key != "summary" and then.get(key) != now.get(key)]


def leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Values of a table and of the tables in it, by dotted key."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def short(value: Any) -> str:
    """A value as a name or a message tells it."""
    if isinstance(value, list):
        return ",".join(map(short, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
