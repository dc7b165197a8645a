"""Reading a trace: finished, still running, or left behind by a killed run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.trace.guard import dimensions, hazards
from hil.trace.schema import EPOCH, RUN, SCHEMA, SCHEMA_VERSION, TraceError
from hil.trace.state_file import State, StateFile

# HDF5 file format specification, superblock version 3: byte 8 is its version, byte 11 the consistency
# flags, whose bit 2 says that a writer had the file open for single-writer/multiple-reader access.
_SWMR_FLAG = 4


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
        What the run was, and its whole configuration (TOML text).
    complete : bool
        Whether the run came to its end.
    epochs : int
        Number of finished epochs.
    versions : dict
        Versions of the software that wrote the file, by name.
    paths : tuple of str
        All datasets, in the order in which they were created.
    groups : tuple of str
        All groups that hold datasets.

    Raises
    ------
    TraceError
        If the file is missing, damaged, no trace, or of a schema version that can't be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._reading(), open_hdf5(self.path) as file:
            self._refuse_hazards(file)
        # Opened anew, because an open file does not see everywhere at once what a running writer adds to it.
        self._file = open_hdf5(self.path)
        try:
            with self._reading():
                self._check_schema()
                entry = self._file[RUN]
                self.title: str = entry["title"].asstr()[()]
                self.config: str = entry["config"].asstr()[()]
                self.complete = bool(entry["complete"][()])
                self.versions: dict[str, str] = {name: text.asstr()[()] for name, text in entry["versions"].items()}
                # Before any growing dataset is opened: what is read later can only be longer.
                self.epochs = finished_epochs(entry[EPOCH]) if EPOCH in entry else 0
                self.paths = tuple(_datasets(self._file))
                self.groups = tuple(dict.fromkeys(group for path in self.paths for group in _groups_above(path)))
        except TraceError:
            self.close()
            raise

    def __getitem__(self, path: str) -> NDArray:
        """Content of the dataset at `path`, cut to the finished epochs; final ones are empty, NaN or -1 before
        the end of the run."""
        return self.dataset(path)[...]

    def dataset(self, path: str) -> StoredArray:
        """The dataset at `path`, nothing of which is read yet."""
        dataset = self._dataset(path)
        with self._reading():
            return StoredArray(dataset, self.epochs, self._reading)

    def attributes(self, path: str) -> dict[str, Any]:
        """Attributes of the dataset at `path`, among them ``units`` and ``long_name`` (str), or of the group there."""
        with self._reading():
            node = self._file[path] if path in self.groups else self._dataset(path)
            return {name: _decoded(value) for name, value in node.attrs.items()}

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

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_hazards(self, file: Any) -> None:
        if "schema" not in file.attrs:
            raise TraceError(self._of_other_make("has no schema name"))
        for where, what in hazards(file):
            raise TraceError(
                f"{self.path} is damaged or of other make ({where} {what}); pass a trace that this neurohil "
                f"wrote, of schema version {SCHEMA_VERSION}"
            )

    def _check_schema(self) -> None:
        schema = _decoded(self._file.attrs["schema"])
        if schema != SCHEMA:
            raise TraceError(self._of_other_make(f"has the schema name {schema!r}"))
        version = str(_decoded(self._file.attrs.get("schema_version")))
        if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise TraceError(
                f"{self.path} has trace schema version {version}, but this neurohil reads version "
                f"{SCHEMA_VERSION}; read it with the neurohil that wrote it"
            )

    def _of_other_make(self, found: str) -> str:
        return (
            f"{self.path} is an HDF5 file of other make (its root {found}, not {SCHEMA!r}); "
            "pass a trace that neurohil wrote"
        )

    def _dataset(self, path: str) -> Any:
        if path not in self.paths:
            near = difflib.get_close_matches(path, self.paths, n=1, cutoff=0.0)
            raise TraceError(f"{self.path} has no dataset {path}; the nearest name is {near[0]}")
        with self._reading():
            return self._file[path]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except TraceError:
            raise
        except Exception as error:  # h5py has no class of its own for what it raises at a damaged file
            raise TraceError(_damaged(self.path, error)) from error


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

    def __init__(self, dataset: Any, epochs: int, reading: Callable[[], AbstractContextManager[None]]) -> None:
        self._dataset = dataset
        self._reading = reading
        self.dtype: np.dtype = dataset.dtype
        self.chunks: tuple[int, ...] | None = dataset.chunks
        self.dims = dimensions(dataset)
        self.shape = tuple(
            min(size, epochs) if dim == EPOCH else size for size, dim in zip(dataset.shape, self.dims, strict=True)
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
        with self._reading():
            return np.asarray(self._dataset[finished])


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


def open_hdf5(path: Path) -> Any:
    """The HDF5 file at `path`, open for reading, whether its run has finished, goes on or was killed.

    Raises
    ------
    TraceError
        If it is missing, or no HDF5 file that can be opened.
    """
    import h5py

    part = Path(f"{path}.part")
    if not path.exists():
        hint = f"an unfinished run is in {part}" if part.exists() else "check the name"
        raise TraceError(f"{path} does not exist; {hint}")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise TraceError(f"{path} can't be read ({error.strerror}); pass a trace that neurohil wrote") from error
    if not h5py.is_hdf5(path):
        found = f"it begins with {head[:8]!r}" if head else "it is empty"
        raise TraceError(f"{path} is not an HDF5 file ({found}); pass a trace that neurohil wrote")
    running_or_killed = len(head) == 12 and head[8] == 3 and bool(head[11] & _SWMR_FLAG)
    try:
        file = h5py.File(path, "r", swmr=running_or_killed)
    except (OSError, ValueError) as error:
        raise TraceError(_damaged(path, error)) from error
    try:
        file["/"]  # h5py opens the root group only when it is asked for
        return file
    except (OSError, RuntimeError, LookupError) as error:
        file.close()
        raise TraceError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{path} is damaged or was never completely created ({reason}); delete it and run again"


def finished_epochs(axis: Any) -> int:
    """Entries of the epoch axis; when the disk was full, the last one may be declared and not there."""
    epochs = int(axis.shape[0])
    try:
        axis[max(epochs - 1, 0) :]
    except OSError:
        return epochs - 1
    return epochs


def _datasets(group: Any, prefix: str = "") -> Iterator[str]:
    # visititems shows an object with several links, such as the epoch axis, only once.
    import h5py

    for name, child in group.items():
        if isinstance(child, h5py.Group):
            yield from _datasets(child, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"


def _decoded(value: Any) -> Any:
    """An attribute with str instead of bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return np.array([text.decode(errors="replace") for text in value.ravel()]).reshape(value.shape)
    return value


def _groups_above(path: str) -> list[str]:
    steps = path.split("/")
    return ["/".join(steps[:depth]) for depth in range(1, len(steps))]
