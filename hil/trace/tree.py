"""All that an HDF5 file holds, without following what leads out of it or around in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["group", "dataset", "stray"]

UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)
"""What h5py raises at a damaged file."""


def walk(group: Any, prefix: str = "", seen: set[Any] | None = None) -> Iterator[tuple[str, Kind, Any]]:
    """Every object below an open group, in the order of creation; a dataset as often as it is linked.

    Parameters
    ----------
    group : h5py.Group

    Yields
    ------
    str
        Path of the object.
    str
        ``group``, ``dataset``, or ``stray`` for all that has no place in a trace.
    h5py.Group, h5py.Dataset or str
        The object; of a stray one, what is wrong with it.
    """
    import h5py

    # A group has one place. With more, cycles and their like would make paths without end.
    seen = {group} if seen is None else seen
    for name in group:
        path = f"{prefix}/{name}"
        try:
            link = group.get(name, getlink=True)
            node = group[name] if isinstance(link, h5py.HardLink) else None
        except UNREADABLE as error:
            yield path, "stray", unreadable(error)
            continue
        if node is None:
            yield path, "stray", "leads elsewhere; put what it leads to there"
        elif isinstance(node, h5py.Dataset):
            yield path, "dataset", node
        elif not isinstance(node, h5py.Group):
            yield path, "stray", "is neither a group nor a dataset"
        elif node in seen:
            yield path, "stray", "is a group that stands elsewhere too"
        else:
            seen.add(node)
            yield path, "group", node
            yield from walk(node, path, seen)


def unreadable(error: Exception) -> str:
    """What an error says, on one line."""
    return f"can't be read ({' '.join(str(error).split())})"
