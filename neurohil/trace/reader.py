"""Reading a trace: finished, still running, or left behind by a killed run."""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurohil.protocols import Provenance
from neurohil.trace.guard import Hazard, attribute, dimensions
from neurohil.trace.opening import Damage, HDF5File, attempts
from neurohil.trace.provenance import UNKNOWN, by_config
from neurohil.trace.schema import EPOCH, RUN, TraceError
from neurohil.trace.state_file import State, StateFile

T = TypeVar("T")


class Trace:
    """A trace, opened for reading.

    Parameters
    ----------
    path : str or path
        File that `TraceWriter` wrote or is writing (``.part``). Of a run that is going on or was killed, the
        epochs that were finished when it was opened are seen.

    Attributes
    ----------
    title, config : str
        What the run was, and its whole configuration (TOML text); empty where they are damaged.
    complete : bool
        Whether the run came to its end.
    epochs : int
        Number of finished epochs.
    provenance : Provenance
        What was emulated, computed or modelled, as the trace says, or as its config tells of an older one.
    versions : dict
        Versions of the software that wrote the file, by name.
    paths : tuple of str
        All datasets that can be read, in the order in which they were created.
    groups : tuple of str
        All groups that hold such datasets.
    left_out : tuple of Hazard
        All else that the file holds: what is damaged, and what another program has added that no trace holds.

    Raises
    ------
    TraceError
        If the file is missing, no trace, of a schema version that can't be read, or so damaged that nothing is left.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        for is_last in attempts(self.path):
            try:
                self._open()
            except TraceError:
                if is_last:
                    raise
            else:
                if is_last or not self.damage:
                    return
                self.close()

    def _open(self) -> None:
        with HDF5File(self.path) as file:
            paths, hazards = file.contents()
        self.paths, self.left_out = tuple(path.removeprefix("/") for path in paths), tuple(hazards)
        if not paths:
            what = next((f"{hazard.path} {hazard.what}" for hazard in self.damage), "it holds nothing")
            raise file.nothing_left(Damage(what))
        # Opened anew, because an open file does not see everywhere at once what a running writer adds to it.
        self._file = HDF5File(self.path)
        # As they were first read: none of it changes.
        self._attributes: dict[str, dict[str, Any]] = {}
        self._shapes: dict[str, Shape] = {}
        try:
            self._file.look(self._read_entry)
        except Damage as damage:
            self.close()
            raise self._file.nothing_left(damage) from damage
        except BaseException:
            self.close()
            raise

    def _read_entry(self) -> None:
        # Before any growing dataset is opened: what is read later can only be longer.
        epochs = self._finished_epochs()
        self.groups = tuple(dict.fromkeys(group for path in self.paths for group in _groups_above(path)))
        self.epochs = self._epochs_by_content() if epochs is None else epochs
        self.title, self.config = self._text(f"{RUN}/title"), self._text(f"{RUN}/config")
        self.provenance = self._provenance()
        self.complete = f"{RUN}/complete" in self.paths and self[f"{RUN}/complete"].tolist() == 1
        versions = [path for path in self.paths if path.startswith(f"{RUN}/versions/")]
        self.versions = {path.rpartition("/")[2]: self._text(path) for path in versions}

    def _provenance(self) -> Provenance:
        kind, source = (attribute(self._file.hdf5, name) for name in ("kind", "source"))
        if isinstance(kind, str) and isinstance(source, str):
            return Provenance(kind, source)
        try:
            return by_config(tomllib.loads(self.config))
        except tomllib.TOMLDecodeError:
            return UNKNOWN

    def _text(self, path: str) -> str:
        content = self[path].tolist() if path in self.paths else None
        return content.decode(errors="replace") if isinstance(content, bytes) else ""

    def _finished_epochs(self) -> int | None:
        """Number of finished epochs by their axis; None without one, or if it can't be told."""
        if f"{RUN}/{EPOCH}" not in self.paths:
            return None
        found = self._file.hdf5[f"{RUN}/{EPOCH}"]
        return finished_epochs(found) if found.ndim == 1 and found.dtype.kind in "iu" else None

    def _epochs_by_content(self) -> int:
        """Without the axis of epochs: what all growing datasets have, but for the last one, which may be unfinished."""
        self.epochs = sys.maxsize
        growing = [array for array in map(self.dataset, self.paths) if EPOCH in array.dims]
        return max(0, min((array.shape[array.dims.index(EPOCH)] for array in growing), default=0) - 1)

    @property
    def damage(self) -> tuple[Hazard, ...]:
        """What of the file is damaged."""
        return tuple(hazard for hazard in self.left_out if hazard.damaged)

    def is_damaged(self, group: str) -> bool:
        """Whether anything in a group can't be read, found when it is read at the latest."""
        inside = [path for path in self.paths if path.startswith(f"{group}/")]
        return any(hazard.path.startswith(f"/{group}/") for hazard in self.damage) or not all(
            map(self._is_whole, inside)
        )

    def _is_whole(self, path: str) -> bool:
        try:
            self[path]
        except TraceError:
            return False
        return True

    def require_whole(self) -> None:
        """Raise TraceError if anything of the file is damaged, with what can be done."""
        if self.damage:
            raise self._damaged_at(self.damage[0])

    def __getitem__(self, path: str) -> NDArray:
        """Content of the dataset at `path`, cut to the finished epochs; final ones are empty, NaN or -1 before
        the end of the run."""
        return self.dataset(path)[...]

    def dataset(self, path: str) -> StoredArray:
        """The dataset at `path`, nothing of which is read yet."""
        if path not in self._shapes:
            self._require(path)
            self._shapes[path] = self._look_at(path, lambda d: Shape(d.dtype, d.chunks, dimensions(d), d.shape))
        return StoredArray(partial(self._look_at, path), self._shapes[path], self.epochs)

    def attributes(self, path: str) -> dict[str, Any]:
        """Attributes of the dataset at `path`, among them ``units`` and ``long_name`` (str), or of the group there;
        without those that another program added and a trace never has."""
        if path not in self.groups:
            self._require(path)
        if path not in self._attributes:
            found = self._look_at(path, lambda node: {name: attribute(node, name) for name in node.attrs})
            self._attributes[path] = {name: value for name, value in found.items() if value is not None}
        return dict(self._attributes[path])

    def state(self) -> NDArray:
        """Training state after the last finished epoch: what a run needs to go on from there (1-D, float64).

        A run that is going on overwrites it two epochs later; read it when the run has stopped.
        """
        if self.epochs == 0:
            raise TraceError(f"{self.path} holds no finished epoch, hence no state; start the run anew")
        return self.dataset(f"{RUN}/state")[self.epochs % 2]

    def large_state(self, like: State) -> dict[str, NDArray]:
        """As `state`, for a run that keeps its state beside the trace.

        Parameters
        ----------
        like : mapping of ndarray
            Arrays like those that were written.
        """
        vector = self.state()
        if vector.size != 1:
            raise TraceError(f"{self.path} keeps its state itself, not beside it; resume it with what began it")
        return StateFile(Path(f"{self.path}.state"), like).read(self.epochs, int(vector[0]))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _require(self, path: str) -> None:
        if path in self.paths:
            return
        for hazard in self.left_out:
            if not hazard.attribute and f"/{path}/".startswith(f"{hazard.path.rstrip('/')}/"):
                raise self._damaged_at(hazard) if hazard.damaged else self._not_of_a_trace(hazard)
        near = difflib.get_close_matches(path, self.paths, n=1, cutoff=0.0)
        raise TraceError(f"{self.path} has no dataset {path}; the nearest name is {near[0]}")

    def _look_at(self, path: str, look: Callable[[Any], T]) -> T:
        """What `look` makes of the group or dataset at `path`."""
        for is_last in attempts(self.path):
            try:
                return self._file.look(lambda: look(self._file.hdf5[path]))
            except Damage as damage:
                if is_last:
                    raise self._damaged_at(Hazard(f"/{path}", f"can't be read ({damage})", True)) from damage
        raise AssertionError("there is a last attempt")

    def _damaged_at(self, hazard: Hazard) -> TraceError:
        return TraceError(
            f"{self.path} is damaged: {hazard.path} {hazard.what}; `neurohil trace validate {self.path}` lists all "
            f"damage, `neurohil trace export {self.path} --to csv --out FOLDER` saves the rest"
        )

    def _not_of_a_trace(self, hazard: Hazard) -> TraceError:
        return TraceError(
            f"{self.path} has something that another program added: {hazard.path} {hazard.what}, and no trace holds "
            "such a thing; open it with that program"
        )


class Look(Protocol):
    """Gives a function the dataset that it looks at, and returns what it makes of it."""

    def __call__(self, look: Callable[[Any], T]) -> T: ...


class Shape(NamedTuple):
    """What `StoredArray` says of a dataset as it is stored, all epochs included."""

    dtype: np.dtype
    chunks: tuple[int, ...] | None
    dims: tuple[str, ...]
    sizes: tuple[int, ...]


class StoredArray:
    """A dataset in a trace, as far as its epochs are finished; what is asked for by index is read then.

    Attributes
    ----------
    shape : tuple of int
    dims : tuple of str
        Name of each dimension; empty where it has none.
    dtype : numpy.dtype
    chunks : tuple of int, or None
        How it is stored.
    """

    def __init__(self, look: Look, stored: Shape, epochs: int) -> None:
        self._look = look
        self.dtype, self.chunks, self.dims, sizes = stored
        self.shape = tuple(
            min(size, epochs) if dim == EPOCH else size for size, dim in zip(sizes, self.dims, strict=True)
        )

    def __getitem__(self, selection: Any) -> NDArray:
        """What numpy's basic indexing selects: integers, slices with a positive step, an ellipsis."""
        steps = selection if isinstance(selection, tuple) else (selection,)
        if Ellipsis in steps:
            at = steps.index(Ellipsis)
            steps = steps[:at] + (slice(None),) * (len(self.shape) + 1 - len(steps)) + steps[at + 1 :]
        steps += (slice(None),) * (len(self.shape) - len(steps))
        finished = tuple(
            slice(*step.indices(size)) if isinstance(step, slice) else range(size)[step]
            for step, size in zip(steps, self.shape, strict=True)
        )
        return self._look(lambda dataset: np.asarray(dataset[finished]))


def open_finished(path: str | Path) -> Trace:
    """Open the trace of a run that has come to its end.

    Raises
    ------
    TraceError
        The file can't be read, or its run has not come to its end.
    """
    trace = Trace(path)
    if not trace.complete:
        trace.close()
        raise TraceError(
            f"{path} holds {trace.epochs} epochs of a run that has not come to its end; finish the run, then draw it"
        )
    return trace


def finished_epochs(axis: Any) -> int:
    """Entries of the epoch axis; when the disk was full, the last one may be declared and not there."""
    epochs = int(axis.shape[0])
    try:
        axis[max(epochs - 1, 0) :]
    except OSError:
        return epochs - 1
    return epochs


def _groups_above(path: str) -> list[str]:
    steps = path.split("/")
    return ["/".join(steps[:depth]) for depth in range(1, len(steps))]
