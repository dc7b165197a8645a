"""What HDF5 must not be asked to read: contents that crash it, fill the memory, or lead out of the file.

Everything here is found out from checksummed headers, without reading any content.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hil.trace.schema import DIMS, EPOCH
from hil.trace.tree import UNREADABLE, unreadable, walk

_DEEPEST = 16  # groups in groups
_LARGEST_ATTRIBUTE_BYTES = 1 << 20
_LARGEST_UNPACKED_BYTES = 1 << 30  # of a compressed dataset, whose content can be a thousand times its size in the file
_LARGEST_NUMBER_BYTES = 8


def hazards(file: Any) -> Iterator[tuple[str, str]]:
    """All that must not be read or followed, in an open file.

    Parameters
    ----------
    file : h5py.File

    Yields
    ------
    str
        Path of a group or dataset.
    str
        What is wrong there; after that of the last one, all else can be read.
    """
    yield from _of_node("/", file, _attributes)
    try:
        for path, kind, node in walk(file):
            if kind == "stray":
                yield path, node
            elif path.count("/") > _DEEPEST:
                yield path, f"lies in more than {_DEEPEST} groups"
                return
            else:
                yield from _of_node(path, node, _attributes)
                if kind == "dataset":
                    yield from _of_node(path, node, _dataset)
    except UNREADABLE as error:
        yield "/", unreadable(error)


def dimensions(dataset: Any) -> tuple[str, ...]:
    """Name of each dimension of an h5py dataset; empty where it has none."""
    named = dataset.attrs.get(DIMS, ())
    if len(named) != dataset.ndim:
        return ("",) * dataset.ndim
    return tuple(name.decode(errors="replace") for name in named)


def _of_node(path: str, node: Any, find: Any) -> Iterator[tuple[str, str]]:
    try:
        yield from ((path, what) for what in find(node))
    except UNREADABLE as error:
        yield path, unreadable(error)


def _attributes(node: Any) -> Iterator[str]:
    from h5py import h5a

    for index in range(h5a.get_num_attrs(node.id)):
        attribute = h5a.open(node.id, index=index)
        what = f"attribute {attribute.name.decode(errors='replace')!r}"
        yield from (f"has the {what}, which {wrong}" for wrong in _type(attribute.get_type()))
        if attribute.get_storage_size() > _LARGEST_ATTRIBUTE_BYTES:
            yield f"has the {what} of {attribute.get_storage_size()} bytes"


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
