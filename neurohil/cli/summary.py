"""The summary of an experiment, as long as it holds: pictures, reports and traces show what the config says."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from neurohil.config import as_table
from neurohil.errors import UserError

C = TypeVar("C", bound=msgspec.Struct)
C_co = TypeVar("C_co", bound=msgspec.Struct, covariant=True)

_MOST = 3  # differences that are told
_SAME_EXPERIMENT = ("seed", "serial")  # another individual, or other noise, of what the summary tells


class Load(Protocol[C_co]):
    """Gives the validated config of an experiment, after overrides."""

    def __call__(self, experiment: str, overrides: Sequence[str] = ()) -> C_co: ...


def with_true_summary(load: Load[C]) -> Load[C]:
    """The same, but where overrides change the experiment, its summary is replaced by what differs from it."""

    @functools.wraps(load)
    def load_config(experiment: str, overrides: Sequence[str] = ()) -> C:
        config = load(experiment, overrides)
        try:
            plain = load(experiment)
        except UserError:  # complete by the overrides only, so that there is nothing to compare with
            return config
        now, then = (dict(_leaves(as_table(c))) for c in (config, plain))
        if now["summary"] != then["summary"]:
            return config
        changed = [f"{key} = {_shown(value)}" for key, value in now.items() if key not in then or then[key] != value]
        if not changed:
            return config
        told = ", ".join(changed[:_MOST]) + (f" and {len(changed) - _MOST} more" if len(changed) > _MOST else "")
        return msgspec.structs.replace(config, summary=f"{now['experiment']} with {told}")

    return load_config


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key, without those that name an individual."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif key not in _SAME_EXPERIMENT:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
