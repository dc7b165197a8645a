"""Official files of data sets: where they are looked for, checksums, unpacking."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hil.errors import UserError
from hil.text import one_line

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
    """

    data_set: str
    name: str
    url: str
    checksum: str = ""
    size: str = ""


def places(data_set: str, folder: str | Path | None) -> list[Path]:
    """Folders that are searched, in their order.

    1. `folder`, or where the environment variable NEUROHIL_DATA points: a folder `data_set` there, then that itself;
    2. data/ of the checkout;
    3. the user's cache folder.
    """
    given = folder or os.environ.get("NEUROHIL_DATA")
    named = [Path(given) / data_set, Path(given)] if given else []
    return [*named, _CHECKOUT / data_set, _cache() / data_set]


def find(source: Source, folder: str | Path | None = None) -> Path:
    """Path of a published file or folder, not yet checked.

    Raises
    ------
    UserError
        It is in none of `places`: names it, its source, size, checksum, and where it was looked for.
    """
    searched = places(source.data_set, folder)
    path = next((place / source.name for place in searched if (place / source.name).exists()), None)
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
    searched = places(archive.data_set, folder)
    for place in searched:
        if (place / inside).is_dir():
            return place / inside
    for place in searched:
        if (place / archive.name).is_file():
            verify([place / archive.name], checksum or archive.checksum)
            return _unpack(place / archive.name, _cache() / archive.data_set, inside)
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


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("neurohil"))
