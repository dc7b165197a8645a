"""Opening a file that should be a trace: what is no trace, damage, locks, and a system that refuses are told apart."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from neurohil.trace.content import SIGNATURE, Content, is_marked
from neurohil.trace.guard import Hazard, attribute, contents
from neurohil.trace.schema import SCHEMA, SCHEMA_VERSION, TraceError

T = TypeVar("T")

# A writer may be in the midst of writing what is read, or of making its file.
_ATTEMPTS = 3
_PAUSE_S = 0.02


class Damage(Exception):
    """What HDF5 says of something that it can't read."""


class SchemaError(TraceError):
    """It is an HDF5 file, but no trace, or one of a version that can't be read."""


class HDF5File:
    """An HDF5 file, opened for reading, whether its run has finished, goes on or was killed.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    hdf5 : h5py.File
    content : Content

    Raises
    ------
    TraceError
        If it is missing, no HDF5 file, open for writing in another program, or nothing in it can be read.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        self.content = _content(path)
        self.hdf5: Any = None
        _OPEN.add(self)
        try:
            if not self.content.is_intact:
                raise Damage("its first bytes don't agree with their checksum")
            self.hdf5 = self.look(lambda: h5py.File(self.content, "r"))
            self.look(lambda: self.hdf5["/"])  # h5py opens the root group only when it is asked for
        except Damage as damage:
            self.close()
            raise self.nothing_left(damage) from damage
        except BaseException:
            self.close()
            raise

    def look(self, what: Callable[[], T]) -> T:
        """What a function returns that reads the file.

        Raises
        ------
        Damage
            What it reads is damaged.
        TraceError
            The system refuses.
        """
        try:
            found = what()
        except (Damage, TraceError):
            raise
        except MemoryError as error:
            raise TraceError(
                f"{self.path} holds more than fits into memory; look at it on a machine with more"
            ) from error
        except Exception as error:  # h5py has no class of its own for what it raises at a damaged file
            # Its frames hold HDF5's objects: who kept the error until Python ends would end it with a crash.
            cause = error.with_traceback(None)
            if self.content.error:
                raise TraceError(_refused(self.path, self.content.error)) from cause
            raise Damage(" ".join(str(error).split())) from cause
        if self.content.error:  # some of what was looked at was left out
            raise TraceError(_refused(self.path, self.content.error))
        return found

    def nothing_left(self, damage: Damage) -> TraceError:
        """What is said when nothing in it can be read."""
        what, there = str(damage), self.content.size
        if self.content.missing:
            what = f"{self.content.missing} of its {self.content.missing + there} bytes are missing"
        return TraceError(f"{self.path} is damaged, and nothing in it can be read: {what}; delete it and run again")

    def contents(self) -> tuple[list[str], list[Hazard]]:
        """Paths of the datasets that can be read, and all that must not be read or followed.

        Raises
        ------
        TraceError
            It is a file of another program, or nothing in it can be read.
        """
        try:
            return self.look(self._contents)
        except Damage as damage:
            raise self.nothing_left(damage) from damage

    def _contents(self) -> tuple[list[str], list[Hazard]]:
        if "schema" not in self.hdf5.attrs:
            raise self._of_other_make("has no schema name")
        schema, version = (attribute(self.hdf5, name) for name in ("schema", "schema_version"))
        if schema != SCHEMA:
            raise self._of_other_make(f"has the schema name {schema!r}")
        if str(version).partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
            raise SchemaError(
                f"{self.path} has trace schema version {version}, but this neurohil reads version "
                f"{SCHEMA_VERSION}; read it with the neurohil that wrote it"
            )
        return contents(self.hdf5, self.content.length)

    def _of_other_make(self, found: str) -> SchemaError:
        return SchemaError(
            f"{self.path} is an HDF5 file of other make (its root {found}, not {SCHEMA!r}); "
            "pass a trace that neurohil wrote"
        )

    def close(self) -> None:
        if self.hdf5 is not None:
            with suppress(OSError, RuntimeError):  # nothing was written, so nothing can be lost
                self.hdf5.close()
        self.content.close()

    def __enter__(self) -> HDF5File:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


_OPEN: weakref.WeakSet[HDF5File] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A file that is open when Python has ended would be closed by HDF5, which then calls Python and crashes."""
    for file in list(_OPEN):
        file.close()


def attempts(path: Path) -> Iterator[bool]:
    """Whether it is the last attempt to read a file, for each one; there are several while it may be written."""
    for _ in range(_ATTEMPTS - 1 if path.suffix == ".part" else 0):
        yield False
        time.sleep(_PAUSE_S)
    yield True


def _content(path: Path) -> Content:
    part = Path(f"{path}.part")
    try:
        content = Content(path)
    except FileNotFoundError as error:
        hint = f"an unfinished run is in {part}" if part.exists() else "check the name"
        raise TraceError(f"{path} does not exist; {hint}") from error
    except OSError as error:
        raise TraceError(_refused(path, error)) from error
    try:
        _refuse(path, content)
    except BaseException:
        content.close()
        raise
    return content


def _refuse(path: Path, content: Content) -> None:
    if not content.head.startswith(SIGNATURE):
        if not content.head and path.suffix == ".part":
            raise TraceError(
                f"{path} is empty: its run begins right now, or was killed as it began; look again or run again"
            )
        found = f"it begins with {content.head[:8]!r}" if content.head else "it is empty"
        raise TraceError(f"{path} is not an HDF5 file ({found}); pass a trace that neurohil wrote")
    if is_marked(content.head) and content.is_locked:
        raise TraceError(
            f"{path} is open for writing in another program; close it there, then look again, for example with "
            f"`neurohil trace ls {path}`"
        )


def _refused(path: Path, error: OSError) -> str:
    """What is said when the system refuses: nothing is known of the content then."""
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder; pass a trace that neurohil wrote, for example one of {path}/*.h5"
    if isinstance(error, PermissionError):
        return f"{path} can't be read ({error.strerror}); become its owner, or let him allow it with `chmod a+r {path}`"
    return (
        f"{path} can't be read ({error.strerror or error}): so says the system, which tells nothing of the content; "
        f"look again with `neurohil trace ls {path}`, or at a copy on another disk"
    )
