"""The bytes of a trace, as they are handed to HDF5.

HDF5 is given a file object, and never opens the file itself, because of what it would do by itself:

- It reads damaged metadata of a file that a writer has marked (single-writer/multiple-reader, SWMR) up to a hundred
  times, and waits twice as long before each attempt: for ever.
- It takes locks, by which a reader can stop a writer that is just about to begin.
- It refuses a file with a mark that a killed program left, though nothing in it has changed.

So it sees a file without any marks that can only be read.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from neurohil.locks import keeps_readers_out

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# HDF5 file format specification, superblock versions 2 and 3, with addresses of 8 bytes: signature, version, size of
# addresses and of lengths, consistency flags; base address, extension, end of file, root group; checksum.
_SIZE = 48
_VERSION, _FLAGS, _END, _CHECKSUM = 8, 11, slice(28, 36), slice(44, 48)
_WITH_ADDRESSES_OF_8_BYTES = ((2, 8, 8), (3, 8, 8))
_WRITTEN, _SWMR = 1, 4
_ROOM = 1 << 40
_2_32 = 1 << 32


class Content(io.RawIOBase):
    """The bytes of a file, read-only, without the marks of its writers.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    size : int
        Length of the file when it was opened.
    head : bytes
        Its first bytes, as they are.
    error : OSError or None
        What the system answered to the last attempt to read, if it refused.

    Raises
    ------
    OSError
        It can't be opened or read.
    """

    _file: Any = None  # as long as it isn't open: Python closes what could not be made, too

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.head = self._file.read(_SIZE)
        except BaseException:
            self._file.close()
            raise
        self.error: OSError | None = None
        self._seen = self._unmarked()

    @property
    def is_intact(self) -> bool:
        """Whether its first bytes, which say where all else is, agree with their checksum."""
        return not _has_checksum(self.head) or _checksum(self.head[: _CHECKSUM.start]) == self.head[_CHECKSUM]

    @property
    def grows(self) -> bool:
        """Whether a running writer adds to it, or a killed one did."""
        return _has_checksum(self.head) and bool(self.head[_FLAGS] & _SWMR)

    @property
    def missing(self) -> int:
        """Bytes that its writer had written and that are cut off."""
        return max(0, int.from_bytes(self.head[_END], "little") - self.size) if _has_checksum(self.head) else 0

    @property
    def is_locked(self) -> bool:
        """Whether another program keeps it from being read."""
        return keeps_readers_out(self._file.fileno())

    @property
    def _end(self) -> int:
        """Where it ends for HDF5, which reads nothing beyond: far off for one that may still grow."""
        return self.size + (_ROOM if self.grows else 0)

    def length(self) -> int:
        """Length of the file now."""
        return os.fstat(self._file.fileno()).st_size

    def _unmarked(self) -> bytes:
        """The first bytes without marks, and with the true end of the file."""
        if not _has_checksum(self.head) or not self.is_intact:
            return self.head
        head = bytearray(self.head)
        head[_FLAGS] = 0
        head[_END] = self._end.to_bytes(8, "little")
        head[_CHECKSUM] = _checksum(bytes(head[: _CHECKSUM.start]))
        return bytes(head)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = self._end + offset, os.SEEK_SET
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer.

        What isn't there is an error. Only in a file that grows it reads as zeros: there HDF5 reads a little more
        than what it looks for; and that has checksums, or `neurohil.trace.guard` has seen that it is there.
        """
        view, start = memoryview(buffer).cast("B"), self.tell()
        try:
            count = 0
            while count < len(view) and (read := self._file.readinto(view[count:])):
                count += read
        except OSError as error:
            # Not this one: its traceback would keep HDF5's objects alive, and end Python with a crash.
            self.error = OSError(error.errno, error.strerror)
            raise
        if count < len(view):
            if not self.grows:
                raise OSError(f"{len(view) - count} bytes are missing at {start + count}")
            view[count:] = bytes(len(view) - count)
        if start < len(self._seen):
            part = self._seen[start : start + count]
            view[: len(part)] = part
        return len(view)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def is_marked(head: bytes) -> bool:
    """Whether a file's first bytes say that a program other than neurohil writes to it, or was killed while it did."""
    return _has_checksum(head) and head[_FLAGS] & (_WRITTEN | _SWMR) == _WRITTEN


def _has_checksum(head: bytes) -> bool:
    return len(head) == _SIZE and tuple(head[_VERSION : _VERSION + 3]) in _WITH_ADDRESSES_OF_8_BYTES


def _checksum(content: bytes) -> bytes:
    """Bob Jenkins' lookup3 (hashlittle), HDF5's checksum of metadata, of a multiple of 4 bytes."""
    words = [int.from_bytes(content[k : k + 4], "little") for k in range(0, len(content), 4)]
    a = b = c = (0xDEADBEEF + len(content)) % _2_32
    while True:
        block, words = [*words[:3], 0, 0][:3], words[3:]
        a, b, c = ((x + word) % _2_32 for x, word in zip((a, b, c), block, strict=True))
        if not words:
            break
        for k in (4, 6, 8, 16, 19, 4):
            a, c, b = b, ((a - c) % _2_32) ^ _rotated(c, k), (c + b) % _2_32
    for k in (14, 11, 25, 16, 4, 14, 24):
        c, b, a = a, ((c ^ b) - _rotated(b, k)) % _2_32, b
    return b.to_bytes(4, "little")  # the last step's


def _rotated(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) % _2_32
