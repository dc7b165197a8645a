"""What differs between two traces: config, versions, data."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohil.differences import leaves
from neurohil.terminal import number
from neurohil.trace.nxdata import scalar_text, variable
from neurohil.trace.reader import StoredArray, Trace
from neurohil.trace.schema import EPOCH, RUN
from neurohil.trace.viewing.description import blocks, type_name


@dataclass(frozen=True)
class Difference:
    """Something in which two traces differ.

    Attributes
    ----------
    kind : str
        ``run`` (title, epochs, end), ``config``, ``versions`` or ``data``.
    name : str
        Key of the config, name of the software, or path of the dataset.
    text : str
        How it differs.
    """

    kind: str
    name: str
    text: str


def same_bytes(a: str | Path, b: str | Path) -> bool:
    """Whether two files have the same content.

    Raises
    ------
    OSError
        If one can't be read.
    """
    a, b = Path(a), Path(b)
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as first, b.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True


def differences(a: Trace, b: Trace, rtol: float = 0.0, atol: float = 0.0) -> Iterator[Difference]:
    """All in which two traces differ.

    Where one run has more epochs, those that both have are compared. NaN equals NaN.

    Parameters
    ----------
    a, b : Trace
    rtol, atol : float
        Numbers are equal if abs(a - b) <= atol + rtol * abs(b), as in `numpy.isclose`.

    Yields
    ------
    Difference

    Raises
    ------
    TraceError
        If a trace can't be read.
    """
    for name, mine, other in (
        ("title", a.title, b.title),
        ("epochs", a.epochs, b.epochs),
        ("complete", "yes" if a.complete else "no", "yes" if b.complete else "no"),
    ):
        if mine != other:
            yield Difference("run", name, f"{mine} | {other}")
    yield from _keys("config", _flat(a.config), _flat(b.config))
    yield from _keys("versions", a.versions, b.versions)
    yield from _missing(a, b)
    yield from _missing(b, a)
    in_b = set(b.paths)
    for path in a.paths:
        # The epoch axis of each plot is the one of the run.
        is_linked = path.endswith(f"/{EPOCH}") and path != f"{RUN}/{EPOCH}"
        if path in in_b and not is_linked and not _is_compared_by_key(path):
            yield from _data(a, b, path, rtol, atol)


def _is_compared_by_key(path: str) -> bool:
    return path in (f"{RUN}/title", f"{RUN}/complete", f"{RUN}/config") or path.startswith(f"{RUN}/versions/")


def _missing(a: Trace, b: Trace) -> Iterator[Difference]:
    """What only `a` has; of a whole group, only the group."""
    known = {*b.paths, *b.groups}
    told: set[str] = set()
    for path in a.paths:
        steps = path.split("/")
        top = next((p for k in range(1, len(steps) + 1) if (p := "/".join(steps[:k])) not in known), None)
        if top and top not in told and not _is_compared_by_key(path):
            told.add(top)
            yield Difference("data", top, f"only in {a.path}")


def _flat(config: str) -> dict[str, str]:
    """Values of the TOML text by dotted key; of a text that is none, its lines."""
    try:
        return {key: repr(value) for key, value in leaves(tomllib.loads(config))}
    except tomllib.TOMLDecodeError:
        return {f"line {k + 1}": line for k, line in enumerate(config.splitlines())}


def _keys(kind: str, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for key in {**a, **b}:
        if a.get(key) != b.get(key):
            yield Difference(kind, key, f"{a.get(key, 'missing')} | {b.get(key, 'missing')}")


def _data(a: Trace, b: Trace, path: str, rtol: float, atol: float) -> Iterator[Difference]:
    mine, other = variable(a, path), variable(b, path)
    for name in ("units", "long_name", "flag_meanings"):
        if getattr(mine, name) != getattr(other, name):
            yield Difference("data", path, f"{name} {getattr(mine, name)!r} | {getattr(other, name)!r}")
    if mine.array.dtype != other.array.dtype:
        yield Difference("data", path, f"type {type_name(mine.array)} | {type_name(other.array)}")
    if mine.array.dtype.kind not in "biuf" or other.array.dtype.kind not in "biuf":
        texts = scalar_text(a, path), scalar_text(b, path)
        if texts[0] != texts[1]:
            yield Difference("data", path, f"{texts[0]!r} | {texts[1]!r}")
        return
    if mine.array.shape != other.array.shape:
        yield Difference("data", path, f"shape {mine.array.shape} | {other.array.shape}")
    if _common(mine.array, other.array) is not None:
        yield from _values(path, mine.array, other.array, rtol, atol)


def _common(a: StoredArray, b: StoredArray) -> tuple[int, ...] | None:
    """Shape of what both have: the same but for the number of epochs; None if they differ otherwise."""
    if a.dims != b.dims or any(n != m for n, m, dim in zip(a.shape, b.shape, a.dims, strict=True) if dim != EPOCH):
        return None
    return tuple(min(n, m) for n, m in zip(a.shape, b.shape, strict=True))


def _values(path: str, a: StoredArray, b: StoredArray, rtol: float, atol: float) -> Iterator[Difference]:
    shape = _common(a, b) or ()
    count, largest = 0, 0.0
    first: tuple[int, ...] | None = None
    for where, block in blocks(a):
        both = tuple(slice(s.start, max(s.start, min(s.stop, n))) for s, n in zip(where, shape, strict=True))
        mine, other = block[tuple(slice(0, s.stop - s.start) for s in both)], b[both]
        unequal = _unequal(mine, other, rtol, atol)
        if not unequal.any():
            continue
        count += int(unequal.sum())
        largest = max(largest, _largest_difference(mine[unequal], other[unequal]))
        within = np.unravel_index(int(unequal.argmax()), unequal.shape)
        here = tuple(int(i) + s.start for i, s in zip(within, both, strict=True))
        first = here if first is None else min(first, here)
    if first is None:
        return
    if not shape:
        yield Difference("data", path, f"{a[()].item()!r} | {b[()].item()!r}")
        return
    index = ", ".join(map(str, first))
    share = 100 * count / math.prod(shape)
    yield Difference(
        "data",
        path,
        f"{count} of {math.prod(shape)} elements differ ({share:.3g} %), first at [{index}], "
        f"by at most {number(largest)}",
    )


def _unequal(a: NDArray, b: NDArray, rtol: float, atol: float) -> NDArray[np.bool_]:
    unequal = (a != b) & ~(np.isnan(a) & np.isnan(b))
    if rtol or atol:
        unequal &= ~np.isclose(a, b, rtol, atol, equal_nan=True)
    return np.asarray(unequal)


def _largest_difference(a: NDArray, b: NDArray) -> float:
    """Infinite where only one of them is a finite number."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a.astype(np.longdouble) - b.astype(np.longdouble))
    return float(np.where(np.isnan(difference), np.inf, difference).max())
