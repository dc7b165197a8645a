"""All that an HDF5 file holds, without following what leads out of it or around in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["group", "dataset", "stray", "damaged"]

UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)
"""What h5py raises at a damaged file."""

_DEEPEST = 16  # groups in groups


def walk(group: Any, prefix: str = "", seen: set[Any] | None = None) -> Iterator[tuple[str, Kind, Any]]:
    """Every object below an open group, in the order of creation; a dataset as often as it is linked.

    Parameters
    ----------
    group : h5py.Group

    Yields
    ------
    str
        Path of the object; of a group whose members can't be listed, once more its own.
    str
        ``group``, ``dataset``, ``stray`` for all that has no place in a trace, or ``damaged`` for what can't be read.
    h5py.Group, h5py.Dataset or str
        The object; of one that is stray or damaged, what is wrong with it.
    """
    import h5py

    # A group has one place. With more, cycles and their like would make paths without end.
    seen = {group} if seen is None else seen
    try:
        names = list(group)
    except UNREADABLE as error:
        yield prefix or "/", "damaged", unreadable(error)
        return
    for name in names:
        path = f"{prefix}/{name}"
        try:
            link = group.get(name, getlink=True)
            node = group[name] if isinstance(link, h5py.HardLink) else None
        except UNREADABLE as error:
            yield path, "damaged", unreadable(error)
            continue
        if link is None:
            yield path, "damaged", "can't be read (it is listed, but not found)"
        elif node is None:
            yield path, "stray", "leads elsewhere; put what it leads to there"
        elif isinstance(node, h5py.Dataset):
            yield path, "dataset", node
        elif not isinstance(node, h5py.Group):
            yield path, "stray", "is neither a group nor a dataset"
        elif node in seen:
            yield path, "stray", "is a group that stands elsewhere too"
        elif path.count("/") > _DEEPEST:
            yield path, "stray", f"lies in more than {_DEEPEST} groups"
        else:
            seen.add(node)
            yield path, "group", node
            yield from walk(node, path, seen)


def unreadable(error: Exception) -> str:
    """What an error says, on one line."""
    return f"can't be read ({' '.join(str(error).split())})"
