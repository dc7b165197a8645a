"""The compiler of all kernels: numba's `njit`, whose cache works, and can be trusted, wherever the package stands.

numba's own cache ends a program with a traceback where it finds no folder to write into (a read-only installation,
no home), where a file in it is damaged (a disk that was full, a power cut), or where none can be written; and processes
that start at once may take each other's code for their own. And it looks at a kernel's own file alone, so that an edit
to a helper or a constant in another file would change nothing. Here each kernel, signature and processor has a file of
its own, with a checksum over the sources of the whole package. What can't be used is compiled again: the cache only
saves time.

The same text stands in each package that has kernels, because they don't import each other.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import stat
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator, UserWideCacheLocator
from numba.core.serialize import dumps

_DIGEST_BYTES = 32


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable], Any]:
    """`numba.njit`; with `cache`, compiled code is kept for the next process, and nothing but time depends on it."""

    def compiled(function: Callable) -> Any:
        kernel = numba.njit(**options)(function)
        if cache and hasattr(kernel, "_cache"):  # NUMBA_DISABLE_JIT leaves the function as it is
            with suppress(RuntimeError, OSError):  # no folder to write, or no source to read: numba's empty one stays
                kernel._cache = _KernelCache(function)
        return kernel

    return compiled


def package_folder(path: str) -> str | None:
    """Folder of the outermost package that a file belongs to; None if it belongs to none."""
    found, folder = None, os.path.dirname(os.path.abspath(path))
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        found, folder = folder, os.path.dirname(folder)
    return found


@functools.cache
def source_digest(path: str) -> bytes:
    """Hash of the names and contents of all sources in a folder, or of one file.

    Read once per process, together with the first kernel, so that later edits aren't taken for what runs here.

    Raises
    ------
    OSError
        A file can't be read.
    """
    names = [path]
    if os.path.isdir(path):
        found = [(folder, name) for folder, _, files in os.walk(path) for name in files if name.endswith(".py")]
        names = [os.path.join(folder, name) for folder, name in found if name[0] != "."]  # no locks of editors
    digest = hashlib.sha256()
    for name in sorted(names):
        with open(name, "rb") as file:
            content = file.read()
        digest.update(f"{name[len(path) :]} {len(content)} ".encode() + content)
    return digest.digest()


@functools.cache
def private_folder() -> str | None:
    """Folder in the system's temporary one that this user alone may enter; made if there is none.

    Returns
    -------
    str or None
        None if it can't be made, or if what has its name isn't a folder of this user's that is closed to all others.
    """
    has_users = hasattr(os, "getuid")
    name = f"neurohil-cache-{os.getuid() if has_users else os.environ.get('USERNAME', '')}"
    try:
        path = os.path.join(tempfile.gettempdir(), name)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
            os.chmod(path, 0o700)  # whatever the umask
            _tell(f"compiled code is kept in {path}, as neither the installation nor your cache folder can be written")
        found = os.lstat(path)
    except OSError as error:
        _tell(f"compiled code isn't kept, no folder for it can be written ({error.strerror})")
        return None
    if stat.S_ISDIR(found.st_mode) and (not has_users or (found.st_uid == os.getuid() and not found.st_mode & 0o077)):
        return path
    _tell(f"compiled code isn't kept, {path} isn't a folder of yours alone")
    return None


def _tell(sentence: str) -> None:
    """A line on stderr, unless the program has set up its logging otherwise."""
    logging.getLogger(__package__).warning("%s: %s; NUMBA_CACHE_DIR chooses a folder", __package__, sentence)


class _PrivateFolder(UserProvidedCacheLocator):
    """Where numba's own places can't be written."""

    def __init__(self, function: Callable, path: str) -> None:
        super().__init__(function, path)
        folder = private_folder()
        if folder is None:
            raise OSError("no private folder")
        self._cache_path = os.path.join(folder, self.get_suitable_cache_subpath(path))

    @classmethod
    def from_function(cls, function: Callable, path: str) -> _PrivateFolder | None:
        try:
            locator = cls(function, path)
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


_PLACES = [*CompileResultCacheImpl._locator_classes, _PrivateFolder]
if not os.path.isabs(os.path.expanduser("~")):  # nobody's home would be a folder "~" in the working directory
    _PLACES.remove(UserWideCacheLocator)


class _Places(CompileResultCacheImpl):
    """NUMBA_CACHE_DIR, __pycache__ beside the kernels, the user's cache folder, then the private folder."""

    _locator_classes = _PLACES


class _KernelCache(FunctionCache):
    """Compiled code of one kernel: a file for each signature and processor."""

    _impl_class = _Places

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        path = function.__code__.co_filename
        self._sources = source_digest(package_folder(path) or path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code, or None if there is none that can be used."""
        target_context.refresh()
        try:
            with open(self._path(sig, target_context.codegen()), "rb") as file:
                digest, data = file.read(_DIGEST_BYTES), file.read()
            if digest == self._digest(data):
                return self._impl.rebuild(target_context, pickle.loads(data))
        except Exception:  # whatever is wrong with the file, the kernel can be compiled
            pass
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, if that can be done."""
        if not self._impl.check_cachable(data):
            return
        content = dumps(self._impl.reduce(data))
        with suppress(OSError):
            self._impl.locator.ensure_cache_path()
            path = self._path(sig, data.codegen)
            unfinished = f"{path}.{uuid.uuid4().hex[:16]}"
            try:
                with open(unfinished, "xb") as file:
                    file.write(self._digest(content) + content)
                os.replace(unfinished, path)
            except BaseException:
                os.unlink(unfinished)
                raise

    def _path(self, sig: Any, codegen: Any) -> str:
        settings = numba.config.BOUNDSCHECK, str(numba.config.OPT)  # type: ignore[attr-defined]
        made_for = (self._index_key(sig, codegen), settings)
        key = hashlib.sha256(repr(made_for).encode()).hexdigest()
        return os.path.join(self._cache_path, f"{self._impl.filename_base}.{key[:16]}.nbc")

    def _digest(self, content: bytes) -> bytes:
        """Of the content with all that it was made by, so that code of other sources or another version isn't used."""
        return hashlib.sha256(numba.__version__.encode() + self._sources + content).digest()
