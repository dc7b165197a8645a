"""Official files of data sets: where they are looked for, checksums, unpacking."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.text import one_line

_CHECKOUT = Path(__file__).parents[2] / "data"
_BLOCK = 1 << 20
_DIGITS = {"md5": 32, "sha256": 64}


class Source(NamedTuple):
    """A file or folder as its makers publish it.

    Attributes
    ----------
    data_set : str
        Name of the folder in which it is looked for.
    name : str
        Of the file or folder.
    url : str
    checksum : str
        "md5:..." or "sha256:..."; empty if none is published or known.
    size : str
        For the message; empty if not known.
    elsewhere : str
        Name of the folder in which other programs keep it; empty if none is known.
    """

    data_set: str
    name: str
    url: str
    checksum: str = ""
    size: str = ""
    elsewhere: str = ""


def given_folder(folder: str | Path | None) -> Path | None:
    """`folder`, or where the environment variable NEUROHIL_DATA points; "~" is the home folder.

    Raises
    ------
    UserError
        There is no home folder of that name.
    """
    given = folder or os.environ.get("NEUROHIL_DATA")
    try:
        return Path(given).expanduser() if given else None
    except RuntimeError as error:
        raise UserError(f"the data folder {str(given)!r} isn't there: {error}; write it from the root, /...") from error


def places(source: Source, folder: str | Path | None) -> list[Path]:
    """Folders that are searched, in their order.

    1. `folder`, or where the environment variable NEUROHIL_DATA points: a folder with the name of the data set there,
       then that itself, then the folder that other programs make there;
    2. data/ of the checkout;
    3. the user's cache folder, if there is one.
    """
    given, data_set, cache = given_folder(folder), source.data_set, cache_folder()
    names = [name for name in (data_set, ".", source.elsewhere) if name]
    named = [given / name for name in names] if given else []
    return [*named, _CHECKOUT / data_set, *([cache / data_set] if cache else [])]


def cache_folder() -> Path | None:
    """The user's cache folder; None for a user without a home."""
    import pooch

    try:
        folder = Path(pooch.os_cache("neurohil"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # "~" stays as it is without a home


def own_folder(data_set: str, cache: Path | None) -> Path:
    """Where a data set is kept that is downloaded or unpacked: in the user's cache folder.

    Raises
    ------
    UserError
        The user has no home.
    """
    if cache is None:
        raise UserError(
            f"this user has no home in which {data_set} could be kept; set XDG_CACHE_HOME to a folder, or "
            "NEUROHIL_DATA to one with the published files"
        )
    return cache / data_set


def find(source: Source, folder: str | Path | None = None) -> Path:
    """Path of a published file or folder, not yet checked.

    Raises
    ------
    UserError
        It is in none of `places`: names it, its source, size, checksum, and where it was looked for.
    """
    searched = places(source, folder)
    path = next((place / source.name for place in searched if os.path.exists(place / source.name)), None)
    if path is None:
        raise _missing(source, source.name, searched)
    return path


def unpacked(archive: Source, inside: str, folder: str | Path | None = None, checksum: str | None = None) -> Path:
    """Folder `inside` of an archive: as the user unpacked it, or else unpacked into the user's cache folder.

    Parameters
    ----------
    archive : Source
        A .tar.gz file.
    inside : str
        Name of the unpacked folder; an archive without a folder at its top is unpacked into one of this name.
    folder : path, optional
        Takes the place of NEUROHIL_DATA.
    checksum : str, optional
        Takes the place of the published one. Sums are of archives: checked when one is unpacked, and a folder that
        was unpacked before isn't checked by them.

    Raises
    ------
    UserError
        Neither the folder nor the archive is in `places`; the archive isn't the published one or can't be unpacked.
    """
    searched = places(archive, folder)
    for place in searched:
        if os.path.isdir(place / inside):
            return place / inside
    for place in searched:
        if os.path.isfile(place / archive.name):
            verify([place / archive.name], checksum or archive.checksum)
            return _unpack(place / archive.name, own_folder(archive.data_set, cache_folder()), inside)
    raise _missing(archive, f"{archive.name} (or {inside}/, unpacked)", searched, checksum)


def verify(paths: Iterable[Path], checksum: str, what: str | None = None) -> None:
    """Hold the content of files, one after the other, against a checksum; an empty one is of nothing and passes.

    Parameters
    ----------
    paths : iterable of path
    checksum : str
        "md5:..." or "sha256:...".
    what : str, optional
        Name of several files in the message.

    Raises
    ------
    UserError
        The sum is another one, or no sum at all; a file can't be read.
    """
    if not checksum:
        return
    kind, _, expected = checksum.partition(":")
    if _DIGITS.get(kind) != len(expected) or set(expected.lower()) - set("0123456789abcdef"):
        raise UserError(f"checksum = {checksum!r} is none; write 'md5:' and 32 or 'sha256:' and 64 hexadecimal digits")
    digest = hashlib.new(kind, usedforsecurity=False)
    path = None
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise UserError(f"{path} can't be read: {error.strerror}; replace it") from error
    if digest.hexdigest() != expected.lower():
        raise UserError(
            f"{what or path} is not as published: {kind} is {digest.hexdigest()}, expected {expected.lower()}; "
            "download it again"
        )


def read_npy(path: Path, remedy: str) -> NDArray[Any]:
    """The array in a .npy file.

    Raises
    ------
    UserError
        The file can't be read, or holds no such array.
    """
    try:
        values = np.load(path, allow_pickle=False)
    # A damaged header goes through Python's own parser; a damaged shape may ask for any amount of memory.
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read: {error}; {remedy}") from error
    if not isinstance(values, np.ndarray):
        raise UserError(f"{path} holds several arrays, expected one; {remedy}")
    return values


def _missing(source: Source, name: str, searched: Iterable[Path], checksum: str | None = None) -> UserError:
    size = f" ({source.size})" if source.size else ""
    return UserError(
        f"{name} of {source.data_set} is in none of {', '.join(str(place) for place in searched)}; download it from "
        f"{source.url}{size}, checksum {checksum or source.checksum or 'not published'}, and put it into a folder to "
        "which NEUROHIL_DATA is set"
    )


def _unpack(archive: Path, target: Path, inside: str) -> Path:
    from tqdm import tqdm

    target.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{inside}.part", dir=target))
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tqdm(tar, desc=one_line(archive.name), unit=" files", disable=None, leave=False):
                tar.extract(member, part, filter="data")
        content = part / inside if (part / inside).is_dir() else part
        content.chmod(0o755)  # mkdtemp makes it private
        os.replace(content, target / inside)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(
            f"{archive} can't be unpacked into {target}: {error}; download it again, or make room"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target / inside
