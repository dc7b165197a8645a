"""Data sets of spike times: what one gives to a run, and the door where that is checked.

A data set is a config, a msgspec.Struct or dataclass whose fields are the keys of the table `data`; its method `build`
gives the samples. `neurohil.datasets.yin_yang` is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neurohil.arrays import floats, integers
from neurohil.errors import UserError
from neurohil.protocols import Floats
from neurohil.text import shown

LATEST = 200.0
"""Last possible spike of an input, tau_s: closed forms of spike times hold that long."""
SPLITS = ("train", "validation", "test")

_NAME = re.compile(r"[A-Za-z0-9_]+")


class Samples(NamedTuple):
    """One part of a data set.

    times (n, lines) float64: when each input line spikes, tau_s from the start of the sample, 0..200; inf: not at all.
    labels (n,) int64: the class of each sample, an index into the names of classes.
    """

    times: Floats
    labels: NDArray[np.int64]


class Plane(NamedTuple):
    """The unit square, for data whose samples are points of it: pictures then show decisions where they were made.

    name: what it is called in titles. points (n, 2) float64: x and y of each test sample, 0..1. encode: spike times
    (m, lines) of any such points (m, 2).
    """

    name: str
    points: Floats
    encode: Callable[[Floats], Floats]


class SpikeTimes(NamedTuple):
    """What a data set gives: its parts, the names of its classes, and what runs and pictures must know of its lines.

    classes: one output of the network each. copies: so many neighbouring input lines carry the same value, and so share
    one axonal delay. plane: None for samples that are no points of a plane.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: tuple[str, ...]
    copies: int = 1
    plane: Plane | None = None


@runtime_checkable
class SpikeTimesConfig(Protocol):
    """A config that gives its data set."""

    def build(self) -> SpikeTimes:
        """The samples; the same ones each time, so that a run can go on."""
        ...


def checked(data: Any) -> SpikeTimes:
    """The data set with arrays as kernels take them.

    Parameters
    ----------
    data : SpikeTimes
        What `build` returned.

    Raises
    ------
    UserError
        It is none, or an array, a name or a number in it is not as it should be.
    """
    if not isinstance(data, SpikeTimes):
        raise UserError(f"data: build returned a {type(data).__name__}; return a {__name__}.SpikeTimes")
    classes = _checked_classes(data.classes)
    parts = {name: _checked_samples(f"data.{name}", getattr(data, name), len(classes)) for name in SPLITS}
    lines = parts["train"].times.shape[1]
    for name, part in parts.items():
        if part.times.shape[1] != lines:
            raise UserError(
                f"data.{name}.times has {part.times.shape[1]} input lines, data.train.times {lines}; make them equal"
            )
    copies = data.copies
    if not isinstance(copies, Integral) or isinstance(copies, bool) or copies < 1 or lines % copies:
        raise UserError(
            f"data.copies = {shown(copies)} does not divide the {lines} input lines; give how many neighbouring lines "
            "carry the same value, 1 if none do"
        )
    plane = data.plane and _checked_plane(data.plane, len(parts["test"].labels), lines)
    return SpikeTimes(**parts, classes=classes, copies=int(copies), plane=plane)


def _checked_classes(classes: Any) -> tuple[str, ...]:
    names = tuple(classes) if isinstance(classes, tuple | list) else ()
    if len(names) < 2 or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise UserError(
            f"data.classes = {shown(classes)} is not allowed: expected two or more names of letters, digits and "
            "underscores; name each class"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"data.classes names {twice[0]!r} twice; name each class differently")
    return names


def _checked_samples(path: str, part: Any, n_classes: int) -> Samples:
    if not isinstance(part, tuple) or len(part) != 2:
        raise UserError(f"{path} is a {type(part).__name__}; give {__name__}.Samples with times and labels")
    remedy = "give spike times (samples, lines), inf for no spike"
    times = floats(f"{path}.times", part[0], (None, None), 0.0, np.inf, "tau_s", remedy, finite=False)
    if not times.size:
        raise UserError(f"{path}.times has shape {times.shape}; give at least one sample of one input line")
    if (late := np.isfinite(times) & (times > LATEST)).any():
        floats(f"{path}.times", np.where(late, times, 0.0), None, 0.0, LATEST, "tau_s", "scale them, or give inf")
    remedy = "give the class of each sample, an index of data.classes"
    labels = integers(f"{path}.labels", part[1], (len(times),), 0, n_classes - 1, remedy=remedy)
    return Samples(times, labels)


def _checked_plane(plane: Any, n_test: int, lines: int) -> Plane:
    if not isinstance(plane, Plane):
        raise UserError(f"data.plane is a {type(plane).__name__}; give a {__name__}.Plane, or None")
    if not (isinstance(plane.name, str) and plane.name.isascii() and plane.name.isprintable() and plane.name):
        raise UserError(f"data.plane.name = {shown(plane.name)} is no text in ASCII; name the plane")
    remedy = "give x and y of each test sample, scaled to the unit square"
    points = floats("data.plane.points", plane.points, (n_test, 2), 0.0, 1.0, remedy=remedy)
    return Plane(plane.name, points, partial(_encoded, plane.encode, lines))


def _encoded(encode: Callable[[Floats], Floats], lines: int, points: Floats) -> Floats:
    remedy = "give the spike times of all input lines at each point"
    times = encode(points)
    return floats("data.plane.encode", times, (len(points), lines), 0.0, np.inf, "tau_s", remedy, finite=False)
