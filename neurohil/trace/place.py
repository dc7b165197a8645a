"""Where the trace of a run goes: its name, what may stand there already, and that no other run writes there.

While a run goes on, its folder holds ``OUT.part`` (the trace), ``OUT.part.state`` (what is too large for it) and
``OUT.part.lock``. ``OUT.part.part`` is a trace that is not wholly created yet.
"""

from __future__ import annotations

import errno
import os
import shlex
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from neurohil import files
from neurohil.differences import changes, short
from neurohil.locks import BusyError, ForeignError, Lock, system_has_locks
from neurohil.pictures import is_picture
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

ENDING = ".h5"

# Far more than an epoch or the end of a run takes: a full disk is told of before anything is half-written.
_RESERVE_MB = 64
_NO_SUCH_CALL = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class Place:
    """Where one run writes, checked before anything is computed, and locked against other runs until `release`.

    Parameters
    ----------
    path : str or path
        Name of the trace when the run has finished. Its folder is made if it is missing.
    overwrite : bool
        Whether a trace of that name may be replaced when the run has finished.

    Attributes
    ----------
    path, part, beside, new : path
        The trace; the trace while the run goes on; its large states; the trace while it is being created.
    is_locked : bool
        False where the file system has no locks, so that two starts are not told apart.

    Raises
    ------
    TraceError
        The name is none for a trace, something else stands there, another run writes there, or the folder can't be
        written or has no room.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        _refuse_name(str(path))
        self.path, self.overwrite = Path(path), overwrite
        self.part, self.beside, self.new, lock = (Path(f"{path}{end}") for end in _ENDINGS[1:])
        if not system_has_locks():
            raise TraceError("runs need Linux or macOS: this system lacks the locks that keep two of them apart")
        self._made: list[Path] = []
        try:
            for file in (self.path, self.part, self.beside, self.new, lock):
                _refuse_kind(file)
            self._made = files.make_folder(self.path.parent)
            self._lock = Lock(lock)
        except (BusyError, ForeignError, OSError) as error:
            self._remove_folders()
            raise TraceError(self._unlockable(error, lock)) from error
        try:
            self._refuse_foreign()
            self.refuse_full_disk("run again")
        except BaseException:
            self.release()
            raise
        self.is_locked = self._lock.works

    @classmethod
    def of_interrupted(cls, part: str | Path, overwrite: bool = False) -> Place:
        """The place of an interrupted run, by the name of its ``.part`` file.

        Raises
        ------
        TraceError
            As for the class; or there is no such file.
        """
        if not str(part).endswith(".part"):
            raise TraceError(f"{part} is no interrupted run; give a file whose name ends in .part")
        if not os.path.lexists(part):
            raise TraceError(f"{part} does not exist; check the name")
        place = cls(str(part).removesuffix(".part"), overwrite)
        try:
            place.refuse_existing()
        except BaseException:
            place.release()
            raise
        return place

    def look(self, title: str, config: str, versions: Mapping[str, str]) -> str:
        """What stands here already of the run with this title, config and software.

        An unfinished run without any epoch is forgotten, and with `overwrite` one of another configuration too.

        Returns
        -------
        str
            ``nothing``; ``unfinished``: some epochs of this very run, to go on from; ``finished``: its trace.

        Raises
        ------
        TraceError
            Another run, finished or not, that stays as it is.
        """
        wanted = (title, config, versions)
        if files.kind(self.part) and not self.part.stat().st_size:
            self.forget()
        if files.kind(self.part):
            with self._opened(self.part) as old:
                epochs, is_same = old.epochs, _identity(old) == wanted
                said = f"{self.part} holds {_epochs(old)} of another run ({_difference(old, *wanted)})"
            if epochs and not is_same and not self.overwrite:
                instead = "give this one another --out, or drop those epochs with --overwrite"
                told = f"{said}; go on with that one, {instead}"
                raise OtherRunError(told, self.part, bool(files.kind(self.path)))
            if epochs and is_same:
                self.refuse_existing(f"; its unfinished successor ({epochs} epochs) goes on with --overwrite")
                return "unfinished"
            self.forget()
        if not files.kind(self.path) or self.overwrite:
            self.refuse_existing()
            return "nothing"
        with self._opened(self.path) as old:
            if old.complete and _identity(old) == wanted:
                return "finished"
            what = f"{_epochs(old)} of an unfinished run" if not old.complete else "another run"
            difference = _difference(old, *wanted)
        self.refuse_existing(f" and holds {what}{f' ({difference})' if difference else ''}")
        return "nothing"

    def refuse_existing(self, holds: str = "") -> None:
        """Raise TraceError if there is a trace that must not be replaced, or anything else."""
        _refuse_kind(self.path)
        if not files.kind(self.path):
            return
        if not self.overwrite:
            raise TraceError(
                f"{self.path} exists{holds}; give another --out, or --overwrite to replace it when this run has "
                "finished"
            )
        if not os.stat(self.path).st_mode & 0o200:
            raise TraceError(f"{self.path} is write-protected, so it is not replaced; give another --out")
        self._opened(self.path).close()

    def refuse_full_disk(self, remedy: str, needed: int = 0) -> None:
        """Raise TraceError if the folder is gone, or has not as many bytes left as needed, with some in reserve."""
        if not self.part.parent.is_dir():
            raise TraceError(f"the folder {self.part.parent} does not exist; create it or choose another")
        needed_mb = _RESERVE_MB + needed // 10**6
        amount = f"{needed // 10**6} MB are needed" if needed >= 10**6 else "a trace is written"
        wanted = f"{amount} with {_RESERVE_MB} MB in reserve"
        free_mb = _free_mb(self.part.parent)
        if free_mb is not None and free_mb < needed_mb:
            raise TraceError(f"{self.part.parent} has {free_mb} MB left, and {wanted}; make room, then {remedy}")
        left_mb = _limit_mb(self.part)
        if left_mb is not None and left_mb < needed_mb:
            raise TraceError(
                f"{self.part} may grow by {left_mb} MB to this process's limit for a file, and {wanted}; raise the "
                f"limit (ulimit -f), then {remedy}"
            )

    def forget(self) -> None:
        """Delete what an unfinished run left here."""
        for file in (self.part, self.beside, self.new):
            file.unlink(missing_ok=True)

    @property
    def is_held(self) -> bool:
        """Whether it is still locked against other runs."""
        return self._lock.is_held

    def release(self) -> None:
        """Let other runs write here; folders that were made for nothing are removed."""
        with suppress(OSError):  # the folder may have vanished
            self._lock.release()
        self._remove_folders()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _refuse_foreign(self) -> None:
        """Refuse what is not ours; remove what a process left that was killed while it created or ended a run."""
        for file in (self.path, self.part, self.beside, self.new):
            _refuse_kind(file)
        belongs = {self.new: self._lock.was_left, self.beside: self._lock.was_left or bool(files.kind(self.part))}
        for file, is_ours in belongs.items():
            if files.kind(file) and not is_ours:
                raise TraceError(f"{file} is in the way and belongs to no run; move it away, or give another --out")
        self.new.unlink(missing_ok=True)
        if not files.kind(self.part):
            self.beside.unlink(missing_ok=True)

    def _opened(self, file: Path) -> Trace:
        try:
            with Trace(file) as trace:
                trace.require_whole()
            return Trace(file)
        except TraceError as error:
            raise TraceError(f"{file} is in the way, and nothing is written over it: {error}") from error

    def _unlockable(self, error: Exception, lock: Path) -> str:
        if isinstance(error, BusyError):
            return f"{self.part} is being written by {error}; wait for its end or stop it, or give another --out"
        if isinstance(error, ForeignError):
            return f"{error}; move it away, or give another --out"
        assert isinstance(error, OSError)
        if error.errno == errno.ENAMETOOLONG:
            return f"the name {self.path.name[:40]}... is too long for this file system; shorten it"
        return f"the folder {self.path.parent} can't be written ({error.strerror}); give another --out"

    def _remove_folders(self) -> None:
        for folder in self._made:
            with suppress(OSError):  # it is in use
                folder.rmdir()


_ENDINGS = ("", ".part", ".part.state", ".part.part", ".part.lock")


class OtherRunError(TraceError):
    """An unfinished run of another configuration stands where a new one shall go.

    Attributes
    ----------
    part : path
        Its trace.
    """

    def __init__(self, message: str, part: Path = Path(), replaces: bool = False) -> None:
        super().__init__(message)
        self.part = part
        self._replaces = replaces

    def told(self, command: str) -> str:
        """The message, with the command that goes on with the other run."""
        go_on = f"go on with that one by `{go_on_command(command, self.part, self._replaces)}`,"
        return str(self).replace("go on with that one,", go_on)


def lock_path(part: Path) -> Path:
    """The lock of an unfinished run."""
    return Path(f"{part}.lock")


def picture_path(trace: Path) -> Path:
    """Where the picture of a run goes: beside its trace, and never in the place of anything else.

    ``a.png`` for ``a.h5``; where that is not a picture of ours, ``a.h5.png``, ``a.h5.2.png``, and so on.
    """
    first, second = (trace.with_name(f"{name}.png") for name in (trace.name.removesuffix(ENDING), trace.name))
    further = (trace.with_name(f"{trace.name}.{n}.png") for n in count(2))
    return next(path for path in chain((first, second), further) if not files.kind(path) or is_picture(path))


def go_on_command(command: str, part: Path, overwrite: bool = False) -> str:
    """What to type to go on with an interrupted run of a subcommand."""
    return f"neurohil {command} --resume {shlex.quote(str(part))}{' --overwrite' if overwrite else ''}"


def _refuse_name(name: str) -> None:
    remedy = f"name a file that ends in {ENDING}"
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
        raise TraceError(f"--out {name!a} has characters that can't be printed; {remedy}")
    if name.startswith("-") or str(Path(name)).startswith("-"):
        raise TraceError(f"--out {name} begins with a dash, which commands take for an option; {remedy}")
    if name.endswith("/") or os.path.isdir(name):
        raise TraceError(f"--out {name} is a folder; {remedy}")
    if Path(name).suffix != ENDING:
        raise TraceError(f"--out {name} does not end in {ENDING}; {remedy}")


def _refuse_kind(path: Path) -> None:
    try:
        what = files.kind(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        raise TraceError(f"{path} can't be written ({error.strerror}); give another --out") from error
    if what not in ("", "file"):
        raise TraceError(f"{path} is a {what}, and only regular files are written; give another --out")


def _free_mb(folder: Path) -> int | None:
    """Room on the disk; None where the system can't tell."""
    try:
        disk = os.statvfs(folder)
    except (AttributeError, OSError):
        return None
    return disk.f_bavail * disk.f_frsize // 10**6


def _limit_mb(part: Path) -> int | None:
    """By how much a file may grow for this process; None for no limit."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return None
    return (limit - (part.stat().st_size if part.exists() else 0)) // 10**6


def _identity(trace: Trace) -> tuple[str, str, Mapping[str, str]]:
    return trace.title, trace.config, trace.versions


def _epochs(trace: Trace) -> str:
    return f"{trace.epochs} finished epoch{'s' * (trace.epochs != 1)}"


def _difference(old: Trace, title: str, config: str, versions: Mapping[str, str]) -> str:
    """The first few things that are not as in an older trace: which key, then and now."""
    told = [f"{key} was {short(then)}, now {short(now)}" for key, then, now in changes(old.config, config)]
    if not told and old.title != title:
        told = [f"it was {old.title}, now {title}"]
    names = dict.fromkeys([*old.versions, *versions])
    told += [
        f"{name} was {old.versions.get(name)}, now {versions.get(name)}"
        for name in names
        if old.versions.get(name) != versions.get(name)
    ]
    if not told and old.config != config:
        told = ["the same values, written otherwise"]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return "".join(char if char.isprintable() else "?" for char in "; ".join(told[:3]) + more)
