"""The file beside a trace that keeps what a run goes on from, where that is too large for the trace itself."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohil.files import NO_LINKS, copy_open, create, is_at
from neurohil.trace.schema import TraceError

State = Mapping[str, NDArray]

_REMEDY = "keep it beside the trace that it was written with, or start the run anew"
_NO_RESERVING = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


class StateFile:
    """The two newest states of a run, each in its slot: number of epochs modulo 2.

    While one slot is written, the other one stays as it is. So, of the last epoch that its trace counts as finished,
    the state is always whole, at whatever moment the run is killed.

    Parameters
    ----------
    path : path
    like : mapping of ndarray
        Arrays like those of every state: names, shapes and dtypes are kept.
    """

    def __init__(self, path: Path, like: State) -> None:
        self.path = path
        self._kinds = {name: (array.dtype, array.shape) for name, array in like.items()}
        self._slot_bytes = sum(array.nbytes for array in like.values())
        self._descriptor = -1

    def create(self) -> None:
        """Make the file, with room for both states, so that the disk can't be full later.

        Raises
        ------
        TraceError
            It can't be created, or there is no room, or something stands there.
        """
        try:
            self._descriptor = create(self.path)
            try:
                _reserve(self._descriptor, 2 * self._slot_bytes)
            except OSError:
                self.delete()
                raise
        except OSError as error:
            raise TraceError(
                f"{self.path} can't be created with {2 * self._slot_bytes / 1e6:.0f} MB ({error.strerror}); "
                "make room, or choose another file"
            ) from error

    def open(self) -> None:
        """Go on with the file that an interrupted run left.

        Raises
        ------
        TraceError
            It can't be opened.
        """
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | NO_LINKS)
        except OSError as error:
            raise TraceError(f"{self.path} can't be written ({error.strerror}); {_REMEDY}") from error

    def write(self, epochs: int, state: State) -> int:
        """Keep the state after so many epochs; returns its checksum (CRC-32).

        Raises
        ------
        TraceError
            Names, shapes or types are not those that the file was made for.
        """
        kinds = {name: (array.dtype, array.shape) for name, array in state.items()}
        for name in {**self._kinds, **kinds}:
            if kinds.get(name) != self._kinds.get(name):
                found, wanted = (_text(kinds, name, "missing"), _text(self._kinds, name, "none of that name"))
                raise TraceError(f"state[{name!r}] is {found}; give {wanted}")
        checksum = 0
        with os.fdopen(os.dup(self._descriptor), "r+b") as file:
            file.seek((epochs % 2) * self._slot_bytes)
            for name in self._kinds:
                content = np.ascontiguousarray(state[name]).reshape(-1).view(np.uint8)
                checksum = zlib.crc32(content.data, checksum)
                file.write(content.data)
        return checksum

    def read(self, epochs: int, checksum: int) -> dict[str, NDArray]:
        """The state after so many epochs, whose checksum the trace knows.

        Raises
        ------
        TraceError
            The file is missing, or its content is another one.
        """
        try:
            with os.fdopen(os.open(self.path, os.O_RDONLY | NO_LINKS), "rb") as file:
                file.seek((epochs % 2) * self._slot_bytes)
                content = file.read(self._slot_bytes)
        except OSError as error:
            raise TraceError(f"{self.path} can't be read ({error.strerror}); {_REMEDY}") from error
        if len(content) != self._slot_bytes or zlib.crc32(content) != checksum:
            raise TraceError(f"{self.path} doesn't hold the state after epoch {epochs}; {_REMEDY}")
        state, start = {}, 0
        for name, (dtype, shape) in self._kinds.items():
            array = np.frombuffer(content, dtype, int(np.prod(shape)), start).reshape(shape)
            state[name], start = array, start + array.nbytes
        return state

    def copy(self, path: Path) -> None:
        """Write what the open file holds into a new one, wherever it is by now."""
        copy_open(self._descriptor, path)

    def delete(self) -> None:
        """Remove the file, if it is still the one that was opened, and close it."""
        if self._descriptor >= 0 and is_at(self._descriptor, self.path):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _reserve(descriptor: int, size: int) -> None:
    """Take room on the disk, where the system and the file system can; else the file only gets its size."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:  # macOS
        os.ftruncate(descriptor, size)
    except OSError as error:
        if error.errno not in _NO_RESERVING:
            raise
        os.ftruncate(descriptor, size)


def _text(kinds: Mapping[str, tuple[np.dtype, tuple[int, ...]]], name: str, otherwise: str) -> str:
    return f"{kinds[name][0]} {kinds[name][1]}" if name in kinds else otherwise
