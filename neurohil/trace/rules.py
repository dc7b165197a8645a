"""The rules that a trace keeps, so that viewers plot it by themselves and readers find what they expect.

Each rule is a function; its docstring is the rule. It yields a text for each way in which what it is given breaks it.
The rules for plots are those that h5web and silx go by.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neurohil.trace.content import is_marked
from neurohil.trace.guard import attribute
from neurohil.trace.guard import dimensions as dimensions_of
from neurohil.trace.nxdata import names, text
from neurohil.trace.provenance import KINDS
from neurohil.trace.reader import finished_epochs
from neurohil.trace.schema import EPOCH, RUN, SCHEMA, SCHEMA_VERSION
from neurohil.trace.tree import UNREADABLE, walk

Severity = Literal["error", "warning"]
Part = Literal["start", "file", "group", "plot", "dataset"]
Check = Callable[[Any], Iterator[str]]

_CLASSES = ("NXroot", "NXentry", "NXdata", "NXcollection")
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Rule:
    """A check of every part of one kind; breaking it is an error (viewers or readers fail) or a warning.

    Attributes
    ----------
    severity : str
        ``error`` or ``warning``.
    part : str
        What `check` is given: ``start`` (the file's first bytes), ``file``, ``group``, ``plot`` (NXdata group) or
        ``dataset``, all of these of h5py.
    check : callable
    """

    severity: Severity
    part: Part
    check: Check

    @property
    def text(self) -> str:
        """What the rule says."""
        return " ".join((self.check.__doc__ or "").split())


RULES: list[Rule] = []


def _rule(severity: Severity, part: Part) -> Callable[[Check], Rule]:
    def enter(check: Check) -> Rule:
        RULES.append(Rule(severity, part, check))
        return RULES[-1]

    return enter


@_rule("error", "start")
def readable_everywhere(start: bytes) -> Iterator[str]:
    """The file format is one that all viewers know (superblock version 3 at most)."""
    if start[8] > 3:
        yield f"has superblock version {start[8]}; write it with libver='v110'"


@_rule("error", "start")
def closed(start: bytes) -> Iterator[str]:
    """No program but neurohil has, or had when it was killed, the file open for writing."""
    if is_marked(start):
        yield "has the mark of a program that was killed, which others refuse; take it off with `h5clear -s FILE`"


@_rule("error", "file")
def schema(file: Any) -> Iterator[str]:
    """The root names the schema, in a version that this reader knows."""
    found = text(attribute(file, "schema"))
    version = text(attribute(file, "schema_version"))
    if not found:
        yield f"has no schema name, so it is not {SCHEMA!r}: an HDF5 file of other make"
    elif found != SCHEMA:
        yield f"schema is {found!r}, not {SCHEMA!r}: an HDF5 file of other make"
    elif version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        yield f"schema_version is {version!r}; this neurohil knows version {SCHEMA_VERSION}"


@_rule("error", "file")
def run(file: Any) -> Iterator[str]:
    """The group ``run`` holds title, config (TOML), versions, and whether the run is complete."""
    group = file.get(RUN)
    if group is None or nx_class(group) != "NXentry":
        yield f"has no group {RUN} of the class NXentry"
        return
    for name in ("title", "config"):
        if not _is_text(group.get(name)):
            yield f"has no text {RUN}/{name}"
    if "versions" not in group or not all(_is_text(version) for version in group["versions"].values()):
        yield f"has no texts in {RUN}/versions"
    if "complete" not in group or group["complete"].shape != () or group["complete"][()] not in (0, 1):
        yield f"has no {RUN}/complete that is 0 or 1"
    if _is_text(group.get("config")):
        try:
            tomllib.loads(group["config"].asstr()[()])
        except tomllib.TOMLDecodeError as error:
            yield f"{RUN}/config is no TOML ({error})"


@_rule("error", "file")
def provenance(file: Any) -> Iterator[str]:
    """The root says whether all is ``emulated`` or ``computed`` (``kind``), and in words by what (``source``)."""
    if text(attribute(file, "schema_version")) == "2.0":  # had neither
        return
    kind, source = (text(attribute(file, name)) for name in ("kind", "source"))
    if kind not in ("emulated", "computed"):
        yield f"has the kind {kind!r}; it must be 'emulated' or 'computed'"
    if not source:
        yield "has no source"


@_rule("error", "file")
def opening_plot(file: Any) -> Iterator[str]:
    """A chain of ``default`` attributes leads from the root to the plot that viewers open with."""
    group, path = file, "/"
    while nx_class(group) != "NXdata":
        name = text(attribute(group, "default"))
        if not _is_group(group, name):
            yield f"the chain of defaults ends at {path}, whose default is {name!r}"
            return
        group, path = group[name], f"{path.rstrip('/')}/{name}"


@_rule("error", "file")
def epochs(file: Any) -> Iterator[str]:
    """The epochs count from 1, every growing dataset has all of them, and all plots share one axis."""
    if EPOCH not in file[RUN]:
        return
    if not _is_number(file[RUN], EPOCH) or file[RUN][EPOCH].ndim != 1:
        yield f"has a {RUN}/{EPOCH} that is no axis of epochs"
        return
    axis = file[RUN][EPOCH]
    finished = finished_epochs(axis)
    if not np.array_equal(axis[:finished], np.arange(1, finished + 1)):
        yield f"{RUN}/{EPOCH} doesn't count from 1"
    for path, kind, node in walk(file):
        if kind != "dataset":
            continue
        if path.endswith(f"/{EPOCH}") and node != axis:
            yield f"{path} is another axis than {RUN}/{EPOCH}"
        sizes = [n for n, dim in zip(node.shape, dimensions_of(node), strict=True) if dim == EPOCH]
        if any(n < finished for n in sizes):
            yield f"{path} has {min(sizes)} of {finished} epochs"


@_rule("warning", "file")
def complete(file: Any) -> Iterator[str]:
    """The run has come to its end."""
    if not file[RUN]["complete"][()]:
        finished = finished_epochs(file[RUN][EPOCH]) if EPOCH in file[RUN] else 0
        yield f"the run has not come to its end: {finished} epochs are finished"


@_rule("error", "group")
def classes(group: Any) -> Iterator[str]:
    """Every group has one of the classes NXroot, NXentry, NXdata and NXcollection."""
    if nx_class(group) not in _CLASSES:
        yield f"has the NX_class {nx_class(group)!r}; it must be one of {', '.join(_CLASSES)}"


@_rule("error", "group")
def group_names(group: Any) -> Iterator[str]:
    """Names are made of letters, digits and underscores."""
    for name in group:
        if not _NAME.fullmatch(name):
            yield f"has a child {name!r}, which is no name of letters, digits and underscores"


@_rule("error", "group")
def default_child(group: Any) -> Iterator[str]:
    """A group that holds groups names one of them as its default."""
    if any(_is_group(group, name) for name in group) and not _is_group(group, text(attribute(group, "default"))):
        yield f"has the default {text(attribute(group, 'default'))!r}, which is no group in it"


@_rule("error", "plot")
def signal(group: Any) -> Iterator[str]:
    """A plot names the numeric child that is drawn as its ``signal``."""
    name = text(attribute(group, "signal"))
    if not _is_number(group, name):
        yield f"has the signal {name!r}, which is no numeric dataset in it"


@_rule("error", "plot")
def axes(group: Any) -> Iterator[str]:
    """It has a numeric 1-D axis for each dimension of its signal, or two as long as a 1-D signal (scatter plot)."""
    named = names(attribute(group, "axes"))
    for name in named:
        if not _is_number(group, name) or group[name].ndim != 1:
            yield f"has the axis {name!r}, which is no numeric 1-D dataset in it"
            return
    drawn = text(attribute(group, "signal"))
    if not _is_number(group, drawn):
        return
    # A running epoch is in the signal before it is in the axis, and counts when it is in the axis.
    finished = finished_epochs(group[EPOCH]) if EPOCH in named else 0
    sizes = tuple(finished if name == EPOCH else group[name].size for name in named)
    shape = tuple(
        min(n, finished) if dim == EPOCH and EPOCH in named else n
        for n, dim in zip(group[drawn].shape, dimensions_of(group[drawn]), strict=True)
    )
    if sizes != shape and not (len(shape) == 1 and sizes == 2 * shape):
        yield f"has a signal of shape {shape}, and axes ({', '.join(named)}) of sizes {sizes}"


@_rule("error", "plot")
def auxiliary_signals(group: Any) -> Iterator[str]:
    """Its auxiliary signals are numeric children shaped like its signal."""
    drawn = text(attribute(group, "signal"))
    for name in names(attribute(group, "auxiliary_signals")):
        if not _is_number(group, name):
            yield f"has the auxiliary signal {name!r}, which is no numeric dataset in it"
        elif _is_number(group, drawn) and group[name].maxshape != group[drawn].maxshape:
            yield f"has the auxiliary signal {name!r} of shape {group[name].shape}, not {group[drawn].shape}"


@_rule("error", "plot")
def time_is_last(group: Any) -> Iterator[str]:
    """Time is the last dimension of a signal of several: viewers draw lines along that one."""
    named = names(attribute(group, "axes"))
    drawn = text(attribute(group, "signal"))
    if "time" in named[:-1] and _is_number(group, drawn) and group[drawn].ndim > 1:
        yield f"has the axes {', '.join(named)}; put time last"


@_rule("warning", "plot")
def interpretation(group: Any) -> Iterator[str]:
    """A signal of several dimensions says whether it is lines (``spectrum``) or an ``image``."""
    drawn = text(attribute(group, "signal"))
    if _is_number(group, drawn) and group[drawn].ndim > 1:
        found = text(attribute(group[drawn], "interpretation"))
        if found not in ("spectrum", "image"):
            yield f"has a signal with the interpretation {found!r}; it must be 'spectrum' or 'image'"


@_rule("warning", "plot")
def title(group: Any) -> Iterator[str]:
    """A plot has a title."""
    if not _is_text(group.get("title")) or not group["title"].asstr()[()].strip():
        yield "has no title"


@_rule("warning", "plot")
def sorted_events(group: Any) -> Iterator[str]:
    """The events of a raster are sorted by time."""
    named = names(attribute(group, "axes"))
    drawn = text(attribute(group, "signal"))
    if named[:1] == ["time"] and len(named) == 2 and _is_number(group, drawn) and group[drawn].ndim == 1:
        if np.any(np.diff(group["time"][...]) < 0):
            yield "has events that are not sorted by time"


@_rule("error", "dataset")
def intact(dataset: Any) -> Iterator[str]:
    """What is stored agrees with its checksums."""
    if dataset.fletcher32 and dataset.size:
        for chunk in dataset.iter_chunks():
            try:
                dataset[chunk]
            except OSError as error:
                yield f"is damaged ({' '.join(str(error).split())})"
                return


@_rule("error", "dataset")
def labels(dataset: Any) -> Iterator[str]:
    """Every number has units and a long_name, in plain ASCII."""
    if dataset.dtype.kind in "biuf":
        for name in ("units", "long_name"):
            found = text(attribute(dataset, name))
            if not found or not found.isascii():
                yield f"has {name} {found!r}; it must be a text in ASCII"


@_rule("error", "dataset")
def kind(dataset: Any) -> Iterator[str]:
    """A ``kind`` is ``emulated``, ``computed``, ``modelled`` or ``measured``; what is modelled always says so."""
    found = attribute(dataset, "kind")
    if found is not None and found not in KINDS:
        yield f"has the kind {found!r}; it must be one of {', '.join(KINDS)}"
    elif dataset.name.rpartition("/")[2].startswith("modelled_") and found is None:
        if text(attribute(dataset.file, "schema_version")) != "2.0":
            yield "is modelled, and its kind doesn't say so"


@_rule("warning", "dataset")
def unit_in_label(dataset: Any) -> Iterator[str]:
    """The long_name, which viewers show instead of the units, tells them in brackets."""
    unit, label = text(attribute(dataset, "units")), text(attribute(dataset, "long_name"))
    if label and unit not in ("", "1") and f"({unit})" not in label:
        yield f"has the long_name {label!r}, which doesn't tell its units ({unit})"


@_rule("warning", "dataset")
def dimensions(dataset: Any) -> Iterator[str]:
    """Every dimension has a name, different from the others."""
    found = dimensions_of(dataset)
    if "" in found or len(set(found)) < len(found):
        yield f"has dimensions named {', '.join(map(repr, found))}"


@_rule("error", "dataset")
def flags(dataset: Any) -> Iterator[str]:
    """Codes have as many meanings as values, and no other value but -1 (none) occurs."""
    meanings, known = text(attribute(dataset, "flag_meanings")).split(), attribute(dataset, "flag_values")
    if not meanings and known is None:
        return
    known = np.atleast_1d([] if known is None else known)
    if len(meanings) != len(known):
        yield f"has {len(known)} flag_values, and flag_meanings for {len(meanings)}"
    else:
        other = np.setdiff1d(dataset[...], [*known, -1])
        if other.size:
            yield f"has the value {other[0]}, which flag_values doesn't name"


def nx_class(group: Any) -> str:
    """The NeXus class of a group, empty if it has none."""
    return text(attribute(group, "NX_class"))


def is_plot(group: Any) -> bool:
    """Whether viewers draw the group."""
    return nx_class(group) == "NXdata"


def _is_group(group: Any, name: str) -> bool:
    import h5py

    return isinstance(_child(group, name), h5py.Group)


def _is_number(group: Any, name: str) -> bool:
    import h5py

    found = _child(group, name)
    return isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf"


def _child(group: Any, name: str) -> Any:
    """The child of that name; None if there is none, or it can't be read, which is told of the child itself.

    It is opened, as `walk` opens it. Asked for the class alone, HDF5 reads a damaged header without all its checks, and
    crashes.
    """
    try:
        return group[name] if _is_there(group, name) else None
    except UNREADABLE:
        return None


def _is_there(group: Any, name: str) -> bool:
    """Whether the group itself, no link to elsewhere, has a child of that name."""
    import h5py

    return bool(name) and "/" not in name and group.get(name, getlink=True, getclass=True) is h5py.HardLink


def _is_text(dataset: Any) -> bool:
    import h5py

    return (
        isinstance(dataset, h5py.Dataset) and dataset.shape == () and h5py.check_string_dtype(dataset.dtype) is not None
    )
