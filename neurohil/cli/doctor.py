"""`neurohil doctor`: what this machine has and lacks for running, in plain lines with remedies. Nothing is compiled."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from neurohil.cli.output import print_results

FINE, NOTE, LACKS = "ok", "note", "lacks"
OK, FAILED = 0, 1

RUNS = Path("runs")
DATA_SETS = (
    "mnist",
    "fashion_mnist",
    "spoken_digits",
    "speech_commands",
    "keyword_fscil",
    "dvs_gesture",
    "primate_reaching",
)
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
_LITTLE_ROOM, _NO_ROOM = 2 << 30, 50 << 20  # bytes on disk: the longest shipped runs, the shortest ones
_LITTLE_MEMORY, _NO_MEMORY = 2 << 30, 500 << 20


class Finding(NamedTuple):
    """What was found of one thing: fine, a note (runs work, but something costs or is left out), or something lacks."""

    name: str
    state: str
    told: str
    remedy: str = ""


def doctor(as_json: bool) -> int:
    """Print all findings; exit code 1 if something lacks that runs need."""
    findings = list(findings_here())
    lacks = sum(finding.state == LACKS for finding in findings)
    heading = "all that runs need is here" if not lacks else f"{lacks} of what runs need {_is(lacks)} missing or broken"
    lines = [f"  {f.state:<6} {f.name:<12} {'; '.join(filter(None, (f.told, f.remedy)))}" for f in findings]
    values = {"complete": not lacks, "findings": [finding._asdict() for finding in findings]}
    print_results("\n".join([heading, *lines]), values, as_json)
    return FAILED if lacks else OK


def findings_here() -> Iterator[Finding]:
    """All findings, in the order in which they are printed."""
    for name, look in CHECKS.items():
        try:
            yield look()
        except Exception as error:  # whatever is broken on a machine must be told, not raised
            yield Finding(name, LACKS, f"can't be looked at: {_text(error)}", "mend that first")


def system() -> Finding:
    """Linux and macOS have all; elsewhere traces can be read, but runs are refused."""
    from neurohil.locks import system_has_locks

    told = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if not system_has_locks():
        return Finding("system", LACKS, told, "runs need Linux or macOS (on Windows, WSL); reading traces works")
    return Finding("system", FINE, told)


def python() -> Finding:
    """The interpreter."""
    return Finding("python", FINE, f"{platform.python_version()}, {sys.executable}")


def packages() -> Finding:
    """Versions of what the project was installed with, against what it asks for."""
    from packaging.requirements import Requirement

    try:
        asked = [Requirement(line) for line in metadata.requires("neurohil") or []]
    except metadata.PackageNotFoundError:
        return Finding("packages", NOTE, "neurohil isn't installed, so versions aren't known to fit", "pip install .")
    told, wrong = [], []
    for requirement in asked:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(str(requirement))
            continue
        told.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(str(requirement))
    if wrong:
        return Finding("packages", LACKS, ", ".join(told), f"pip install {' '.join(repr(one) for one in wrong)}")
    return Finding("packages", FINE, ", ".join(told))


def extras() -> Finding:
    """Optional packages: what is left out without them."""
    wanted = {
        "soundfile": "audio files: pip install 'neurohil[audio]'",
        "nir": "export to NIR: pip install 'neurohil[nir]'",
        "neurobench": "comparison with the official NeuroBench: pip install 'neurohil[neurobench]'",
        "torch": "measuring of PyTorch models: pip install torch",
    }
    there = [name for name in wanted if importlib.util.find_spec(name)]
    missing = [f"without {name}, no {what}" for name, what in wanted.items() if name not in there]
    return Finding("extras", NOTE if missing else FINE, ", ".join(there), "; ".join(missing))


def processor() -> Finding:
    """Model, usable cores, and what limits threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists() and (named := re.search(r"model name\s*:\s*(.*)", info.read_text())):
        model = named[1]
    return Finding("processor", FINE, ", ".join([model, f"{cores} cores", *limits]))


def memory() -> Finding:
    """What is free, and what a limit leaves."""
    free = _free_memory()
    if free is None:
        return Finding("memory", NOTE, "its size can't be found out here")
    told = f"{free / (1 << 30):.1f} GB free"
    if free < _NO_MEMORY:
        return Finding("memory", LACKS, told, "runs take 0.5 GB and more: end other programs, or raise the limit")
    if free < _LITTLE_MEMORY:
        return Finding("memory", NOTE, told, "enough for small runs alone")
    return Finding("memory", FINE, told)


def kernels() -> Finding:
    """Where compiled code is kept."""
    log = logging.getLogger("neurohil")
    level, told = log.level, "compiled code"
    log.setLevel(logging.ERROR)  # what it would say of the folder is told here
    try:
        import numba

        from neurohil.first_spike import kernels
    finally:
        log.setLevel(level)
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return Finding("kernels", NOTE, "NUMBA_DISABLE_JIT switches the compiler off", "unset it; runs take hours")
    folder = kernels.forward.stats.cache_path
    remedy = "set NUMBA_CACHE_DIR to a folder that you may write"
    if folder is None:
        return Finding("kernels", NOTE, f"{told} isn't kept: each start takes a minute", remedy)
    if Path(folder).parent.name.startswith("neurohil-cache-"):
        return Finding("kernels", NOTE, f"{told} is kept in {folder}, which the system may empty", remedy)
    if (free := shutil.disk_usage(folder).free) < _NO_ROOM:
        return Finding("kernels", NOTE, f"{told} has {_bytes(free)} left in {folder}", remedy)
    return Finding("kernels", FINE, f"{told} is kept in {folder}")


def home() -> Finding:
    """Whose cache folder holds downloads."""
    from neurohil.datasets.files import cache_folder

    remedy = "set HOME, or XDG_CACHE_HOME, to a folder that you may write; downloads go there"
    cache = cache_folder()
    if cache is None:
        return Finding("home", NOTE, "this user has none", remedy)
    nearest = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        return Finding("home", NOTE, f"{nearest} can't be written", remedy)
    return Finding("home", FINE, f"downloads go to {cache}")


def data() -> Finding:
    """Which data sets are where; Yin-Yang is computed."""
    from neurohil.datasets.files import Source, places

    given = os.environ.get("NEUROHIL_DATA")
    if given and not Path(given).is_dir():
        return Finding("data", LACKS, f"NEUROHIL_DATA = {given!r} is no folder", "set it to the one with your data")
    there: list[str] = []
    missing: list[str] = []
    for name in DATA_SETS:
        found = next((p for p in places(Source(name, name, ""), None) if p.name == name and _is_filled(p)), None)
        (there if found else missing).append(f"{name} in {found}" if found else name)
    if missing:
        remedy = f"no folder {', '.join(missing)} (what needs one says where it comes from)"
        return Finding("data", NOTE, ", ".join(there), remedy)
    return Finding("data", FINE, ", ".join(there))


def _is_filled(folder: Path) -> bool:
    return os.path.isdir(folder) and bool(os.listdir(folder))


def traces() -> Finding:
    """Whether traces can be written where runs put them: permission, umask, room, HDF5, locks."""
    import h5py

    from neurohil.locks import locks_work

    folder = RUNS if RUNS.is_dir() else Path()
    where = folder.resolve()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".neurohil-") as scratch:
            file = Path(scratch) / "trace.h5"
            with h5py.File(file, "w") as trace:
                trace["x"] = range(3)
            with file.open("rb"):  # a umask can forbid that to the owner
                pass
    except OSError as error:
        return Finding("traces", LACKS, f"can't be written in {where}: {_text(error)}", "choose a folder with --out")
    free = shutil.disk_usage(folder).free
    told = f"{where}, {_bytes(free)} free, HDF5 {h5py.version.hdf5_version}"
    if free < _NO_ROOM:
        return Finding("traces", LACKS, told, "make room, or choose another disk with --out")
    if not locks_work(folder):
        remedy = "never start two runs with one --out there; or choose a local disk with --out"
        return Finding("traces", NOTE, f"{told}, no locks", remedy)
    if free < _LITTLE_ROOM:
        return Finding("traces", NOTE, told, "little for long runs: choose another disk with --out")
    return Finding("traces", FINE, f"{told}, locks work")


def pictures() -> Finding:
    """Whether matplotlib draws."""
    from neurohil.pictures import new_figure, own_style

    with own_style():
        figure = new_figure(1, 1)
        figure.text(0.5, 0.5, "x")
        figure.savefig(io.BytesIO(), format="png")
    return Finding("pictures", FINE, "matplotlib draws into files")


def terminal() -> Finding:
    """Whether sparklines and units can be shown."""
    encoding = (getattr(sys.stdout, "encoding", None) or "none").lower()
    has_display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    display = "" if has_display else ", no display (`trace plot` draws with characters)"
    if "utf" not in encoding:
        remedy = "some characters are shown as '?'; set PYTHONUTF8=1 if your terminal can show them"
        return Finding("terminal", NOTE, f"encoding {encoding}{display}", remedy)
    return Finding("terminal", FINE, f"encoding {encoding}{display}")


CHECKS: dict[str, Callable[[], Finding]] = {
    check.__name__: check
    for check in (
        system, python, packages, extras, processor, memory, kernels, home, data, traces, pictures, terminal,
    )
}  # fmt: skip


def _free_memory() -> int | None:
    """Bytes that this process may still take; None where the system doesn't tell."""
    limits = []
    if (info := Path("/proc/meminfo")).exists() and (free := re.search(r"MemAvailable:\s*(\d+) kB", info.read_text())):
        limits.append(int(free[1]) << 10)
    group = Path("/sys/fs/cgroup")  # of a container; the second pair is the older form
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (group / most).exists() and (text := (group / most).read_text().strip()).isdigit():
            limits.append(max(int(text) - int((group / used).read_text()), 0))
    if importlib.util.find_spec("resource"):
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY:
                limits.append(soft)
    return min(limits, default=None)


def _bytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MB"


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
