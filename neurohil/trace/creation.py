"""The content of a trace as it is created: every group and dataset that it will ever hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil import version
from neurohil.trace.schema import DIMS, EPOCH, EPOCH_AXIS, RUN, SCHEMA, SCHEMA_VERSION, Array, Layout, Plot

# Growing rows are collected in plain chunks, which are rewritten in place. A compressed chunk would change its
# size with every epoch, move, and leave its old place unused for good.
_GROWING_CHUNK_BYTES = 16384
_COMPRESSED = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
# Content, by kind of type, of an array that is not written yet.
_NOT_YET = {"f": np.nan, "i": -1, "u": 0}


def fill(file: Any, layout: Layout, title: str, config: str, state_size: int) -> None:
    """Everything that the file will ever hold, in the order in which viewers shall list it."""
    _describe(file, NX_class="NXroot", default=RUN, creator="neurohil", schema=SCHEMA, schema_version=SCHEMA_VERSION)
    _describe(file, kind=layout.provenance.kind, source=layout.provenance.source)
    run = _create_group(file, RUN, "NXentry")
    _describe(run, default=layout.plots[0].path.removeprefix(f"{RUN}/"))
    run["title"] = _text(title)
    run["config"] = _text(config)
    _create_dataset(run, Array("complete", (), (), "uint8", "1", "whether the run came to its end"))
    versions = _create_group(run, "versions", "NXcollection")
    for name, number in version.software_versions().items():
        versions[name] = _text(number)
    collections = {"results": layout.results}
    if layout.neurobench:
        collections["neurobench"] = layout.neurobench
    for folder, arrays in collections.items():
        collection = _create_group(run, folder, "NXcollection")
        for array in arrays:
            _create_dataset(collection, array)
    if layout.has_epochs:
        _create_dataset(run, EPOCH_AXIS)
    for plot in layout.plots:
        _create_plot(run, plot)
    if layout.has_epochs:
        label = "training state after the two newest epochs (slot = number of epochs modulo 2)"
        _create_dataset(run, Array("state", ("slot", "element"), (2, state_size), "float64", "1", label))


def _text(text: str) -> NDArray:
    """Text of fixed length. HDF5 believes what a file says of one of variable length, and crashes on a damaged one."""
    import h5py

    content = text.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(1, len(content))))


def _texts(texts: Iterable[str]) -> NDArray:
    """Several names, as one array."""
    import h5py

    contents = [text.encode() for text in texts]
    return np.array(contents, dtype=h5py.string_dtype("utf-8", max(map(len, contents))))


def _describe(node: Any, **texts: str) -> None:
    for name, text in texts.items():
        node.attrs[name] = _text(text)


def _create_group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name, track_order=True)
    _describe(group, NX_class=nx_class)
    return group


def _create_plot(run: Any, plot: Plot) -> None:
    parent = run
    steps = plot.path.removeprefix(f"{RUN}/").split("/")
    for folder, child in pairwise(steps):
        if folder not in parent:
            _describe(_create_group(parent, folder, "NXcollection"), default=child)
        parent = parent[folder]
    group = _create_group(parent, steps[-1], "NXdata")
    _describe(group, signal=plot.signal.name)
    group.attrs["axes"] = _texts([axis.name for axis in plot.axes])
    if plot.auxiliary:
        group.attrs["auxiliary_signals"] = _texts([array.name for array in plot.auxiliary])
    group["title"] = _text(plot.title)
    for array in plot.arrays:
        if array is EPOCH_AXIS:
            group[EPOCH] = run[EPOCH]
        else:
            _create_dataset(group, array)
    if plot.log_x:
        scales = ["linear"] * (len(plot.axes) - 1) + ["log"]
        _describe(group, SILX_style=json.dumps({"axes_scale_types": scales}))
    if plot.interpretation:
        _describe(group[plot.signal.name], interpretation=plot.interpretation)


def _create_dataset(group: Any, array: Array) -> None:
    options: dict[str, Any] = {"dtype": array.dtype}
    if array.values is not None:
        options["data"] = array.values
        if array.values.nbytes > _GROWING_CHUNK_BYTES:
            options |= {"chunks": True, **_COMPRESSED}
    elif None in array.shape:
        options["shape"] = tuple(size or 0 for size in array.shape)
        options["maxshape"] = array.shape
        options["chunks"] = _chunks(array)
        options |= {} if array.grows else _COMPRESSED
    else:
        options["data"] = np.full(array.shape, _NOT_YET[np.dtype(array.dtype).kind])
    dataset = group.create_dataset(array.name, **options)
    _describe(dataset, units=array.units, long_name=array.long_name)
    if array.kind:
        _describe(dataset, kind=array.kind)
    if array.dims:
        dataset.attrs[DIMS] = _texts(array.dims)
    if array.flag_meanings:
        dataset.attrs["flag_values"] = np.arange(len(array.flag_meanings))
        _describe(dataset, flag_meanings=" ".join(array.flag_meanings))


def _chunks(array: Array) -> tuple[int, ...]:
    """Some epochs if it grows; else 1024 along one unknown dimension, 64 along each of several."""
    if array.grows:
        row_bytes = math.prod(size or 1 for size in array.shape) * np.dtype(array.dtype).itemsize
        unknown = max(1, min(1024, _GROWING_CHUNK_BYTES // row_bytes))
    else:
        unknown = 1024 if array.shape.count(None) == 1 else 64
    return tuple(size or unknown for size in array.shape)
