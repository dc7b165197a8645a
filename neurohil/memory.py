"""What fits into memory: asked before anything large is made, because the kernel of Linux kills instead of refusing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from neurohil.errors import UserError

_MEMINFO, _OWN_CGROUP, _CGROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_UNLIMITED = 2**60  # how old kernels write "no limit"


def demand_bytes(needed: int, what: str, remedy: str) -> None:
    """Refuse what needs more memory than there is; where that isn't known, nothing is refused.

    Parameters
    ----------
    needed : int
        Bytes, estimated.
    what : str
        Subject of the sentence, with the keys and values that make it so large.
    remedy : str
        What to change.

    Raises
    ------
    UserError
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise UserError(f"{what} need about {_size(needed)} of memory, {_size(available)} are available; {remedy}")


def available_bytes() -> int | None:
    """What this process can still get: the least of the system's free memory with swap, the limit of its control group
    and that of its address space. None if the system tells nothing."""
    return min(_known(), default=None)


def _known() -> Iterator[int]:
    memory = _table(_MEMINFO)
    if "MemAvailable" in memory:
        yield (memory["MemAvailable"] + memory.get("SwapFree", 0)) * 1024
    for folder in _cgroup_folders():
        limit, used = (_number(folder / name) for name in ("memory.max", "memory.current"))
        if limit is not None and used is not None:
            yield max(limit - used + _table(folder / "memory.stat").get("inactive_file", 0), 0)
    old = _CGROUPS / "memory"
    limit, used = _number(old / "memory.limit_in_bytes"), _number(old / "memory.usage_in_bytes")
    if limit is not None and used is not None and limit < _UNLIMITED:
        yield max(limit - used + _table(old / "memory.stat").get("total_inactive_file", 0), 0)
    if (space := _address_space()) is not None:
        yield space


def _cgroup_folders() -> Iterator[Path]:
    """The group of this process and all above it, each of which can have a limit."""
    try:
        lines = _OWN_CGROUP.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::"):
            own = _CGROUPS / line.removeprefix("0::").lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(_CGROUPS))


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _number(Path("/proc/self/statm"))
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(limit - used * os.sysconf("SC_PAGE_SIZE"), 0)


def _number(path: Path) -> int | None:
    """The first number of a file; None if there is no such file or number."""
    try:
        return int(path.read_text("utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _table(path: Path) -> dict[str, int]:
    """Numbers by name from a file with a name and a number in each line."""
    try:
        rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _size(count: int) -> str:
    """Bytes in GB or MB, never as 0."""
    unit, scale = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / scale:.3g} {unit}" if count < 1e18 else f"{count / 1e18:.3g} EB"
