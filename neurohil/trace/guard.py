"""What HDF5 must not be asked to read: contents that crash it, fill the memory, lead out of the file, or are damaged.

Everything here is found out from checksummed headers, without reading any content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from neurohil.trace.schema import DIMS, EPOCH
from neurohil.trace.tree import UNREADABLE, unreadable, walk

_LARGEST_ATTRIBUTE_BYTES = 1 << 20
_LARGEST_UNPACKED_BYTES = 1 << 30  # of a compressed dataset, whose content can be a thousand times its size in the file
_LARGEST_NUMBER_BYTES = 8


class Hazard(NamedTuple):
    """A group, dataset or attribute that must not be read or followed.

    path: of the group or dataset. what: what is wrong there. damaged: it can't be read, whoever wrote it; else it is of
    a kind that neurohil never writes. attribute: only that one of its attributes; all else of it can be read.
    """

    path: str
    what: str
    damaged: bool
    attribute: str = ""


def contents(file: Any, length: Callable[[], int]) -> tuple[list[str], list[Hazard]]:
    """What an open file holds.

    Parameters
    ----------
    file : h5py.File
    length : callable
        Tells the length of the file now, in bytes.

    Returns
    -------
    list of str
        Paths of the datasets that can be read.
    list of Hazard
        All that must not be read or followed.
    """
    paths, hazards = [], list(_of_attributes("/", file))
    for path, kind, node in walk(file):
        if kind in ("stray", "damaged"):
            hazards.append(Hazard(path, node, kind == "damaged"))
            continue
        hazards += _of_attributes(path, node)
        if kind == "dataset":
            wrong = list(_of_content(path, node, length))
            hazards += wrong
            if not wrong:
                paths.append(path)
    return paths, hazards


def _of_content(path: str, dataset: Any, length: Callable[[], int]) -> Iterator[Hazard]:
    try:
        wrong = list(_dataset(dataset))
        yield from (Hazard(path, what, False) for what in wrong)
        if not wrong and _end(dataset) > length():
            yield Hazard(path, "can't be read (its content lies beyond the end of the file)", True)
    except UNREADABLE as error:
        yield Hazard(path, unreadable(error), True)


def attribute(node: Any, name: str) -> Any:
    """An attribute of a group or dataset, with str instead of bytes; None if there is none, or nothing may be read."""
    from h5py import h5a

    try:
        if not h5a.exists(node.id, name.encode()):
            return None
        found = h5a.open(node.id, name.encode())
        return None if any(_attribute(found)) else _decoded(_value(found))
    except UNREADABLE:
        return None


def dimensions(dataset: Any) -> tuple[str, ...]:
    """Name of each dimension of an h5py dataset; empty where it has none."""
    named = attribute(dataset, DIMS)
    if not isinstance(named, np.ndarray) or named.shape != (dataset.ndim,):
        return ("",) * dataset.ndim
    return tuple(map(str, named))


def _end(dataset: Any) -> int:
    """Where in the file the last byte of its content lies, plus 1."""
    if dataset.chunks is None:
        start = dataset.id.get_offset()  # None in the header itself
        return start + dataset.id.get_storage_size() if start is not None else 0
    ends = [0]
    dataset.id.chunk_iter(lambda chunk: ends.append(chunk.byte_offset + chunk.size))
    return max(ends)


def _of_attributes(path: str, node: Any) -> Iterator[Hazard]:
    from h5py import h5a

    try:
        for index in range(h5a.get_num_attrs(node.id)):
            found = h5a.open(node.id, index=index)
            name = found.name.decode(errors="replace")
            yield from (Hazard(path, f"has the attribute {name!r}{what}", False, name) for what in _attribute(found))
    except UNREADABLE as error:
        yield Hazard(path, f"has attributes, which {unreadable(error)}", True)


def _attribute(found: Any) -> Iterator[str]:
    yield from (f", which {wrong}" for wrong in _type(found.get_type()))
    if found.get_storage_size() > _LARGEST_ATTRIBUTE_BYTES:
        yield f" of {found.get_storage_size()} bytes"


def _value(found: Any) -> Any:
    """As h5py reads it, but without all that it does for kinds that aren't read here, which takes most of its time."""
    if found.shape is None:
        return None
    value = np.empty(found.shape, found.dtype)
    found.read(value)
    return value[()]


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return np.array([text.decode(errors="replace") for text in value.ravel()]).reshape(value.shape)
    return value


def _dataset(dataset: Any) -> Iterator[str]:
    from h5py import h5d, h5s, h5z

    properties, space = dataset.id.get_create_plist(), dataset.id.get_space()
    if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
        yield "is stored in another file"
        return
    filters = {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}
    unknown = filters - {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
    if unknown:
        yield f"has the filter {min(unknown)}, which viewers lack"
        return
    if space.get_simple_extent_type() == h5s.NULL:
        yield "holds nothing"
        return
    wrong = list(_type(dataset.id.get_type(), scalar=space.get_simple_extent_ndims() == 0))
    yield from wrong
    if not wrong:
        yield from _size(dataset, packed=h5z.FILTER_DEFLATE in filters)


def _type(kind: Any, scalar: bool = True) -> Iterator[str]:
    from h5py import h5t

    if kind.get_class() == h5t.STRING:
        if kind.is_variable_str():
            # HDF5 2.0 believes the length that stands in the file, and writes beyond the end of its buffer.
            yield "is text of variable length"
        elif not scalar:
            yield "is an array of texts"
    elif kind.get_class() not in (h5t.INTEGER, h5t.FLOAT):
        yield "is neither numbers nor text"
    elif kind.get_size() > _LARGEST_NUMBER_BYTES:
        yield f"has numbers of {kind.get_size()} bytes"


def _size(dataset: Any, packed: bool) -> Iterator[str]:
    """What a dataset holds is stored; of a running epoch, room that is not filled yet may be declared."""
    size, stored = dataset.id.get_type().get_size(), dataset.id.get_storage_size()
    chunk_bytes, declared = size * math.prod(dataset.chunks or ()), size * math.prod(dataset.shape)
    if max(chunk_bytes, declared if packed else 0) > _LARGEST_UNPACKED_BYTES:
        yield f"unpacks to {max(chunk_bytes, declared)} bytes, more than {_LARGEST_UNPACKED_BYTES}"
    elif declared > stored and not packed:
        named = dimensions(dataset)
        epoch_bytes = declared // dataset.shape[named.index(EPOCH)] if EPOCH in named else 0
        if declared - epoch_bytes > stored:
            yield f"declares {declared} bytes, and {stored} are stored"
