"""Writing a trace while the run goes on, such that a kill at any moment loses at most the epoch in progress.

The file grows under HDF5's single-writer/multiple-reader (SWMR) rules: everything is created first, then
arrays are only extended and flushed, so that what is on disk is consistent at every moment. An epoch counts
as finished when the shared epoch axis has its entry, which is written last.
"""

from __future__ import annotations

import io
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil import files, version
from neurohil.trace.creation import fill
from neurohil.trace.place import Place, go_on_command
from neurohil.trace.reader import Trace
from neurohil.trace.schema import EPOCH, RUN, Array, Layout, Plot, TraceError
from neurohil.trace.state_file import State, StateFile

# No object header, rewritten at each epoch, may straddle two pages: when a process is killed, the kernel may cut
# a write short between pages.
_FORMAT = {"libver": "v110", "alignment_threshold": 64, "alignment_interval": 1024}
_COMPLETE, _STATE, _AXIS = f"{RUN}/complete", f"{RUN}/state", f"{RUN}/{EPOCH}"


class TraceWriter:
    """The trace of one run, written to ``<path>.part`` until `finish` gives it its name.

    Equal runs give equal bytes. While the run goes on, the file can be watched with `Trace`, or with any viewer
    that opens HDF5 files for SWMR reading, and no other run can write there.

    Parameters
    ----------
    path : str, path or Place
        Name of the finished trace, ending in ``.h5``; its folder is made if it is missing.
    layout : Layout
        What the trace holds.
    title : str
        What the run is, for people.
    config : str
        The whole configuration, as TOML text.
    state : int, or mapping of ndarray
        Length of the state vector that `append_epoch` gets, which is kept in the trace; 0 for a run without epochs.
        Or arrays like those that it gets, which are kept in ``<path>.part.state`` until the run has finished; the trace
        then has their checksum.
    overwrite : bool
        Whether an older trace of that name may be replaced. It stays untouched until this run has finished.
    epochs : int
        How many epochs are expected; room for them is demanded.

    Attributes
    ----------
    path, part : path
        The trace, and what it is called until the run has finished.
    overwrites : bool
        Whether it may replace an older trace.
    epochs : int
        Number of finished epochs.

    Raises
    ------
    TraceError
        Something stands there already that must not be replaced, another run writes there, or the file can't be
        created.
    """

    def __init__(
        self,
        path: str | Path | Place,
        layout: Layout,
        title: str,
        config: str,
        state: int | State,
        *,
        overwrite: bool = False,
        epochs: int = 0,
    ) -> None:
        place = path if isinstance(path, Place) else Place(path, overwrite)
        with _released_after_error(place):
            if place.look(title, config, version.software_versions()) == "unfinished":
                with Trace(place.part) as old:
                    raise TraceError(
                        f"{place.part} holds {old.epochs} finished epochs of an interrupted run; "
                        f"{_how_to_go_on(layout, place.part, place.overwrite)}"
                    )
            place.refuse_existing()
            place.refuse_full_disk("run again", estimated_bytes(layout, epochs, state))
            self._beside = None if isinstance(state, int) else StateFile(place.beside, state)
            self._create(place, layout, title, config, _vector_size(state))
            with self._undone_after_error():
                if self._beside:
                    self._beside.create()
                self._rename()

    @classmethod
    def resume(
        cls,
        part_path: str | Path | Place,
        layout: Layout,
        title: str,
        config: str,
        state: int | State,
        *,
        overwrite: bool = False,
        epochs: int = 0,
    ) -> TraceWriter:
        """Go on with an interrupted run.

        The finished epochs are written again, by the same calls, into a new file that then takes the place of
        the old one. So the finished trace has the same bytes as that of a run that was never interrupted.

        Parameters
        ----------
        part_path : str, path or Place
            The ``.part`` file that the interrupted run left. Read its `config` and state with `Trace` first, while its
            `Place` is held.
        layout, title, config, state
            As the run was begun with.
        overwrite, epochs
            As for the class.

        Returns
        -------
        TraceWriter
            Ready for the epoch after the last finished one.

        Raises
        ------
        TraceError
            If the file is in use, is no trace, or was begun otherwise or with other software versions.
        """
        place = part_path if isinstance(part_path, Place) else Place.of_interrupted(part_path, overwrite)
        writer = cls.__new__(cls)
        with _released_after_error(place):
            place.refuse_full_disk("resume again", estimated_bytes(layout, epochs, state))
            with Trace(place.part) as old:
                _refuse_other_run(old, layout, title, config, _vector_size(state))
                # The checksums of states beside the trace are replayed like any vector; the states stay where they are.
                writer._beside = None
                writer._create(place, layout, title, config, _vector_size(state))
                with writer._undone_after_error():
                    writer._replay(old)
            with writer._undone_after_error():
                beside = None if isinstance(state, int) else StateFile(place.beside, state)
                if beside and writer.epochs:
                    beside.open()
                elif beside:
                    place.beside.unlink(missing_ok=True)
                    beside.create()
                writer._rename()
                writer._beside = beside
        return writer

    def _create(self, place: Place, layout: Layout, title: str, config: str, state_size: int) -> None:
        """A trace without epochs, under a name of its own: one that is called ``.part`` is whole at every moment."""
        self.path, self.part, self.overwrites, self.epochs = place.path, place.part, place.overwrite, 0
        self._place, self._now_at = place, place.new
        self._layout, self._state_size = layout, state_size
        self._growing, self._final = layout.growing(), layout.final()
        self._file = _create(place, layout, title, config, state_size)
        self._is = os.fstat(self._file.id.get_vfd_handle())
        # Held open, because to close one while the disk refuses leaves HDF5 beyond repair.
        self._datasets = {name: self._file[name] for name in [*self._growing, *self._final, _COMPLETE]}
        if layout.has_epochs:
            self._datasets |= {name: self._file[name] for name in (_STATE, _AXIS)}

    def _rename(self) -> None:
        os.replace(self._now_at, self.part)
        self._now_at = self.part

    @contextmanager
    def _undone_after_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._delete()
            raise

    def _replay(self, old: Trace) -> None:
        rows = {name: np.moveaxis(old[name], array.dims.index(EPOCH), 0) for name, array in self._growing.items()}
        states = old[_STATE]
        for epoch in range(old.epochs):
            # Of all states the file keeps the two newest, and those are what the last two rounds write.
            self.append_epoch({name: row[epoch] for name, row in rows.items()}, states[(epoch + 1) % 2])

    def append_epoch(self, values: Mapping[str, Any], state: NDArray[np.float64] | State) -> None:
        """Write one epoch. Once this has returned, the epoch is finished and survives a kill.

        Parameters
        ----------
        values : mapping
            For each path of ``layout.growing()`` an array, or number, shaped like it without the epoch.
        state : ndarray, float64, or mapping of ndarray
            All that the run needs to go on after this epoch, of the kind that the writer was made with.

        Raises
        ------
        TraceError
            If a path is missing or unknown, a shape or type is wrong, the writer is closed, or the disk
            refuses.
        """
        rows = _checked(values, self._growing)
        finished = self.epochs + 1
        with self._writing():
            self._datasets[_STATE][finished % 2] = self._vector(finished, state)
            for name, row in rows.items():
                dataset, along = self._datasets[name], self._growing[name].dims.index(EPOCH)
                dataset.resize(finished, axis=along)
                dataset[(slice(None),) * along + (self.epochs,)] = row
            self._file.flush()
            axis = self._datasets[_AXIS]
            axis.resize(finished, axis=0)
            axis[self.epochs] = finished
            self._file.flush()
        self.epochs = finished

    def _vector(self, epochs: int, state: NDArray[np.float64] | State) -> NDArray[np.float64]:
        """What the trace itself keeps of the state."""
        if isinstance(state, Mapping) and self._beside:
            return np.array([self._beside.write(epochs, state)], dtype=np.float64)
        vector = np.asarray(state)
        if vector.dtype != np.float64 or vector.shape != (self._state_size,):
            raise TraceError(
                f"state has type {vector.dtype} and shape {vector.shape}; give float64 of shape ({self._state_size},)"
            )
        return vector

    def finish(self, values: Mapping[str, Any]) -> None:
        """Write what is known at the end of the run, close the file, and give it its name.

        Parameters
        ----------
        values : mapping
            For each path of ``layout.final()`` an array, or number.

        Raises
        ------
        TraceError
            As `append_epoch`; also if arrays of one plot differ in the length of the same dimension.
        """
        arrays = _checked(values, self._final)
        for plot in self._layout.plots:
            _refuse_uneven(plot, arrays)
        with self._writing():
            for name, array in arrays.items():
                dataset = self._datasets[name]
                if dataset.shape != array.shape:
                    dataset.resize(array.shape)
                dataset[...] = array
            self._datasets[_COMPLETE][...] = 1
            self._file.flush()
            self._file.close()
            self._give_name()
            if self._beside:
                self._beside.delete()
        self.close()

    def _give_name(self) -> None:
        try:
            self._place.refuse_existing()
        except TraceError as error:
            self.close()
            raise TraceError(
                f"{self.path} appeared during the run, so it stays, and this run is finished and kept in {self.part}; "
                f"move the first away, then {self._how_to_go_on()}"
            ) from error
        os.replace(self.part, self.path)

    def discard(self) -> None:
        """Close the file of a run that has no finished epoch, and delete it."""
        self._delete()
        self.close()

    def _delete(self) -> None:
        """Delete the files of this run, and no others that may have taken their places."""
        if self._file:
            self._file.close()
        if self._place.is_held:
            if self._is_there():
                self._now_at.unlink()
            if self._beside:
                self._beside.delete()

    def close(self) -> None:
        """Close the file. An unfinished run keeps its ``.part`` file, from which it can be resumed."""
        if self._file:
            self._file.close()
        if self._beside:
            self._beside.close()
        self._place.release()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._file:
            raise TraceError(f"the trace {self.path} is closed for writing; {self._how_to_go_on()}")
        if not self._is_there():
            kept = self._kept()
            self._file.close()
            raise TraceError(
                f"{self._now_at} is gone: it or its folder was removed, moved or unmounted during the run. Its "
                f"{self.epochs} finished epochs are kept in {kept}; {_how_to_go_on(self._layout, kept, False)}"
            )
        self._place.refuse_full_disk(self._how_to_go_on())
        try:
            yield
        except (OSError, RuntimeError) as error:
            if self._file:
                _close_unwritable(self._file)
            self._file = None
            raise TraceError(
                f"{self.part} can't be written ({_reason(error)}), its {self.epochs} finished epochs are kept; "
                f"mend that, then {self._how_to_go_on()}"
            ) from error

    def _how_to_go_on(self) -> str:
        return _how_to_go_on(self._layout, self.part, self.overwrites)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self._now_at), self._is)
        except OSError:
            return False

    def _kept(self) -> Path:
        """Where the finished epochs are, whose file is no longer where it was: moved, or else copied now."""
        descriptor = self._file.id.get_vfd_handle()
        with suppress(OSError):  # Linux alone tells where an open file is
            moved = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if files.is_at(descriptor, moved):
                return moved
        kept = Path(tempfile.mkdtemp(prefix="neurohil-")) / self.part.name
        files.copy_open(descriptor, kept)
        if self._beside:
            self._beside.copy(Path(f"{kept}.state"))
        return kept


@contextmanager
def _released_after_error(place: Place) -> Iterator[None]:
    try:
        yield
    except BaseException:
        place.release()
        raise


def _vector_size(state: int | State) -> int:
    """Length of the state vector within the trace: of states beside it, the checksum alone."""
    return state if isinstance(state, int) else 1


def _create(place: Place, layout: Layout, title: str, config: str, state_size: int) -> Any:
    """The file, first made in memory: HDF5 can't go back from a disk that refuses half a file."""
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w", track_order=True, **_FORMAT) as file:
        fill(file, layout, title, config, state_size)
    try:
        descriptor = files.create(place.new)
        with os.fdopen(descriptor, "wb") as disk:
            disk.write(image.getbuffer())
        # HDF5 locks the file until SWMR begins; no viewer knows its name before.
        file = h5py.File(place.new, "r+", locking=None if place.is_locked else False, **_FORMAT)
    except OSError as error:
        place.new.unlink(missing_ok=True)
        raise TraceError(f"{place.part} can't be created ({_reason(error)}); choose another file") from error
    try:
        file.swmr_mode = True
    except (OSError, RuntimeError) as error:
        _close_unwritable(file)
        place.new.unlink()
        raise TraceError(f"{place.part} can't be created ({_reason(error)}); choose another file") from error
    return file


def _close_unwritable(file: Any) -> None:
    """Close a file whose disk refuses what HDF5 still has to write: to try again would crash the process at its end.

    So the rest goes into memory and is forgotten, and what is on the disk stays as it is.
    """
    memory = os.memfd_create("unwritten") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    os.dup2(memory, file.id.get_vfd_handle())
    os.close(memory)
    with suppress(OSError, RuntimeError):  # what failed once may stay broken, but does no harm any more
        file.close()


def estimated_bytes(layout: Layout, epochs: int, state: int | State) -> int:
    """Room that a run takes: all arrays of known size, with so many epochs, and what it goes on from.

    Arrays whose size the end of the run decides are left out; events and membranes of a few samples are small.
    """
    total = 2 * (8 * state if isinstance(state, int) else sum(array.nbytes for array in state.values()))
    for _, array in layout.arrays():
        sizes = [epochs if dim == EPOCH else size or 0 for dim, size in zip(array.dims, array.shape, strict=True)]
        total += math.prod(sizes) * np.dtype(array.dtype).itemsize
    return total


def _how_to_go_on(layout: Layout, part: Path, overwrite: bool) -> str:
    if not layout.has_epochs:
        return f"delete {part}, or choose another file, and run again"
    return f"continue with `{go_on_command(layout.command, part, overwrite)}`, or delete that file and run again"


def _refuse_other_run(old: Trace, layout: Layout, title: str, config: str, state_size: int) -> None:
    now = version.software_versions()
    for name, then in old.versions.items():
        if now.get(name) != then:
            raise TraceError(
                f"{old.path} was begun with {name} {then}, but this is {name} {now.get(name)}, which may give "
                f"other numbers; install {name} {then}, or delete the file and run again"
            )
    different = [
        what for what, then, wanted in (("title", old.title, title), ("config", old.config, config)) if then != wanted
    ]
    shapes = {name: array.shape for name, array in layout.arrays()} | {_STATE: (2, state_size)}
    different += [name for name, shape in shapes.items() if not _could_be(old, name, shape)]
    if not different:
        different += [
            name
            for name, array in layout.static().items()
            if not np.array_equal(old[name], values := np.asarray(array.values), equal_nan=values.dtype.kind == "f")
        ]
    if different:
        raise TraceError(
            f"{old.path} was begun with another {different[0]}; resume it with what it was begun with, "
            "or delete it and run again"
        )


def _could_be(old: Trace, path: str, shape: tuple[int | None, ...]) -> bool:
    if path not in old.paths:
        return False
    found = old[path].shape
    return len(found) == len(shape) and all(size in (None, n) for n, size in zip(found, shape, strict=True))


def _checked(values: Mapping[str, Any], wanted: Mapping[str, Array]) -> dict[str, NDArray]:
    for name in values:
        if name not in wanted:
            raise TraceError(f"{name} has no place here; the paths are {', '.join(wanted)}")
    return {name: _checked_array(name, values, array) for name, array in wanted.items()}


def _checked_array(name: str, values: Mapping[str, Any], wanted: Array) -> NDArray:
    if name not in values:
        raise TraceError(f"{name} is missing; give an array for each path of the layout")
    array = np.asarray(values[name])
    if not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
        raise TraceError(f"{name} has type {array.dtype}; give {wanted.dtype}")
    shape = tuple(size for size, dim in zip(wanted.shape, wanted.dims, strict=True) if dim != EPOCH)
    if array.ndim != len(shape) or any(size not in (None, n) for n, size in zip(array.shape, shape, strict=True)):
        raise TraceError(f"{name} has shape {array.shape}; give {tuple('any' if s is None else s for s in shape)}")
    return array


def _refuse_uneven(plot: Plot, arrays: Mapping[str, NDArray]) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for array in plot.arrays:
        name = f"{plot.path}/{array.name}"
        if name in arrays:
            for dim, size in zip(array.dims, arrays[name].shape, strict=True):
                first, where = sizes.setdefault(dim, (size, name))
                if size != first:
                    raise TraceError(
                        f"{name} has {size} entries along {dim}, but {where} has {first}; give equally many"
                    )


def _reason(error: Exception) -> str:
    """What the system said, without HDF5's account of addresses and sizes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    said = re.search(r"error message = '([^']*)'", text)
    return said[1] if said else text
