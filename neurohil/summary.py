"""The summary of an experiment, as long as it holds: pictures, reports and traces show what the config says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from neurohil.config import as_table

C = TypeVar("C", bound=msgspec.Struct)

_MOST = 3  # differences that are told
_SAME_EXPERIMENT = ("seed", "serial")  # another individual, or other noise, of what the summary tells


def with_true_summary(config: C, plain: C) -> C:
    """The config; where it isn't the plain experiment any more, its summary is replaced by what differs from it."""
    now, then = (dict(_leaves(as_table(c))) for c in (config, plain))
    if now["summary"] != then["summary"]:
        return config
    changed = [f"{key} = {_shown(value)}" for key, value in now.items() if key not in then or then[key] != value]
    if not changed:
        return config
    told = ", ".join(changed[:_MOST]) + (f" and {len(changed) - _MOST} more" if len(changed) > _MOST else "")
    return msgspec.structs.replace(config, summary=f"{now['experiment']} with {told}")


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key, without those that name an individual."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif key not in _SAME_EXPERIMENT:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
