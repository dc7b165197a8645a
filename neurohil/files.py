"""Files that are there as a whole or not at all, and never in the place of somebody else's."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neurohil.errors import UserError

NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags for os.open: a link is an error, and a pipe doesn't keep us waiting."""

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_END_BYTES = 1 << 16  # marks stand at either end of a file


def kind(path: Path) -> str:
    """What is there: ``file`` (regular), ``folder``, ``link``, ``device``, ``pipe``, ``socket``; or nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "special file")
    except FileNotFoundError:
        return ""


def create(path: Path) -> int:
    """A new file, open for reading and writing; returns its descriptor.

    It has the rights that the umask leaves, and its owner can read and write it in any case.

    Raises
    ------
    FileExistsError
        Something stands there, be it a link to nothing.
    OSError
        It can't be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o600 != 0o600:
        os.fchmod(descriptor, mode | 0o600)
    return descriptor


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def copy_open(descriptor: int, path: Path) -> None:
    """Write the content of an open file into a new one, even if it has no name any more."""
    with os.fdopen(create(path), "wb") as file:
        at = 0
        while part := os.pread(descriptor, 1 << 20, at):
            file.write(part)
            at += len(part)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it, where they are missing; returns what was made, the deepest first.

    Its owner can use it, whatever the umask.

    Raises
    ------
    OSError
        It can't be made.
    """
    if folder.is_dir():
        return []
    above = make_folder(folder.parent) if folder.parent != folder else []
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_dir():  # made by somebody else in this very moment
            return above
        raise
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o700 != 0o700:
        folder.chmod(mode | 0o700)
    return [folder, *above]


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to write where something else stands than a file that `is_ours` recognises.

    Raises
    ------
    UserError
        So it is.
    """
    what = kind(path)
    if what not in ("", "file"):
        raise UserError(f"{path} is a {what}; name a file that doesn't exist yet")
    if what and not is_ours(path):
        raise UserError(f"{path} exists and wasn't written by this command, so it stays; choose another name")


@contextmanager
def replacing(path: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty file beside `path` that takes its place at the end, or is removed after an error.

    Parameters
    ----------
    path : path
        A file that doesn't exist yet, or one that `is_ours` recognises.

    Raises
    ------
    UserError
        Something else stands there; it is left as it is.
    OSError
        It can't be written.
    """
    refuse_foreign(path, is_ours)
    temporary = path.with_name(f".neurohil-{secrets.token_hex(8)}")
    os.close(create(temporary))
    try:
        yield temporary
        refuse_foreign(path, is_ours)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def has_mark(path: Path, mark: str) -> bool:
    """Whether a PNG, SVG or HTML file says that it was made by `mark`: a command of neurohil."""
    head, _ = _ends(path)
    if head.startswith(_PNG):
        return mark.encode() in _software(head)
    told = (f"<dc:title>{mark}</dc:title>", f'<meta name="generator" content="{mark}">')
    return any(text.encode() in head for text in told)


def has_hdf5_mark(path: Path, mark: str) -> bool:
    """As `has_mark`, for an attribute of an HDF5 file, without having HDF5 read what may be damaged."""
    head, tail = _ends(path)
    return head.startswith(_HDF5) and mark.encode() in head + tail


def first_line(path: Path) -> str:
    """First line of a text file; empty if there is none."""
    return _ends(path)[0].partition(b"\n")[0].decode(errors="replace")


def _ends(path: Path) -> tuple[bytes, bytes]:
    """Beginning and end of a regular file; empty where it can't be read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | NO_LINKS), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                return b"", b""
            head = file.read(_END_BYTES)
            file.seek(max(_END_BYTES, about.st_size - _END_BYTES))
            return head, file.read(_END_BYTES)
    except OSError:
        return b"", b""


def _software(png: bytes) -> list[bytes]:
    """What a PNG says of the software that wrote it (PNG specification: chunk tEXt, keyword Software)."""
    found, at = [], len(_PNG)
    while at + 8 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        content = png[at + 8 : at + 8 + size]
        if png[at + 4 : at + 8] == b"tEXt" and content.startswith(b"Software\0"):
            found.append(content.removeprefix(b"Software\0"))
        at += size + 12
    return found
