"""Locks between processes: the one place that knows of systems and file systems that have none.

A lock is held by a process on an open file and ends with it, however it ends. The file's content only tells people who
holds it. Readers never take the lock of a writer for longer than a look at it.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import tempfile
import time
from pathlib import Path

from neurohil.files import NO_LINKS, create, is_at

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_CONTENT = re.compile(rb"neurohil process (\d{1,20}) on (.{1,255})\n", re.DOTALL)
_PATIENCE_S = 0.5  # far longer than a reader looks at the lock, or its owner takes to give it back


class BusyError(Exception):
    """Another process holds the lock; the text names it."""


class ForeignError(Exception):
    """What stands where the lock's file should be is not one of ours."""


class Lock:
    """The only holder of a lock, until `release` or the end of the process.

    Parameters
    ----------
    path : path
        File of the lock: made now, removed by `release`. One that a killed process left is taken over.

    Attributes
    ----------
    works : bool
        False if the file system, or the system, has no locks: then nothing keeps others out.
    was_left : bool
        Whether its file was there already: left by a process that was killed.

    Raises
    ------
    BusyError
        Another process holds it.
    ForeignError
        Something else stands there.
    OSError
        The file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self._descriptor, self.was_left = create(path), False
            except FileExistsError:
                try:
                    self._descriptor, self.was_left = os.open(path, os.O_RDWR | NO_LINKS), True
                except FileNotFoundError:  # given back in this very moment
                    continue
            try:
                _refuse_foreign(self._descriptor, path)
                self.works = _locked(self._descriptor, exclusive=True)
                # Its last owner may have removed the file after it was opened here: then the next one counts.
                if is_at(self._descriptor, path):
                    os.ftruncate(self._descriptor, 0)
                    os.write(self._descriptor, f"neurohil process {os.getpid()} on {socket.gethostname()}\n".encode())
                    return
            except BlockingIOError as error:
                holder = _holder(self._descriptor)
                os.close(self._descriptor)
                if time.monotonic() > deadline:
                    raise BusyError(holder) from error
                time.sleep(0.01)
                continue
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)

    @property
    def is_held(self) -> bool:
        """Whether it was not released yet."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Remove the file and give the lock back; the second time, nothing."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if is_at(descriptor, self.path):
            self.path.unlink()
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of that file; where there are no locks, whether the file is there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_LINKS)
    except OSError:
        return False
    try:
        return not _locked(descriptor, exclusive=False)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def keeps_readers_out(descriptor: int) -> bool:
    """Whether another process has locked an open file for itself, as HDF5 does with what it writes; no lock is left."""
    try:
        if _locked(descriptor, exclusive=False):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    return False


def locks_work(folder: Path) -> bool:
    """Whether two processes that write to one file in a folder are told apart; tried with a temporary file.

    False too where no file can be made.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".neurohil-") as file:
            if not _locked(file.fileno(), exclusive=True):
                return False
            other = os.open(file.name, os.O_RDWR)
            try:
                return not _locked(other, exclusive=True)
            except BlockingIOError:
                return True
            finally:
                os.close(other)
    except OSError:
        return False


def system_has_locks() -> bool:
    """Whether the operating system has the locks that are used here: Linux and macOS have."""
    return fcntl is not None


def _locked(descriptor: int, exclusive: bool) -> bool:
    """Lock an open file; False if there are no locks. Raises BlockingIOError if another process holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS_HERE:
            return False
        if error.errno in (errno.EACCES, errno.EAGAIN):  # NFS tells the first
            raise BlockingIOError(error.errno, "locked by another process") from error
        raise
    return True


def _refuse_foreign(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ForeignError(f"{path} is no regular file")
    content = os.pread(descriptor, 512, 0)
    if content and not content.startswith(b"neurohil process "):
        raise ForeignError(f"{path} is not a lock of neurohil")


def _holder(descriptor: int) -> str:
    """Who holds it, as far as it has told."""
    told = _CONTENT.fullmatch(os.pread(descriptor, 512, 0))
    if not told:
        return "another process"
    host = told[2].decode(errors="replace")
    here = "" if host == socket.gethostname() else f" on {host}"
    return f"process {int(told[1])}{here}"
