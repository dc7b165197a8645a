"""The cache of compiled kernels only saves time: whatever it holds, and wherever it can't be, results are right."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numba
import pytest

import neurohil.jit

ROOT = Path(__file__).parents[2]
KERNEL = """
from neurohil.jit import njit

@njit(cache=True, error_model="numpy")
def double(x):
    return x + x
"""

pytestmark = pytest.mark.compiled


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file with a kernel; the folder for temporary files is one of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    neurohil.jit.private_folder.cache_clear()
    path = tmp_path / "package" / "doubling.py"
    path.parent.mkdir()
    path.write_text(KERNEL)
    yield path
    neurohil.jit.private_folder.cache_clear()


def double(source, x=1.5):
    """Load the file anew, as another process would, and call its kernel; returns the kernel."""
    neurohil.jit.source_digest.cache_clear()
    specification = spec_from_file_location("doubling", source)
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.double(x) == 2 * x
    return module.double


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def cached(folder):
    return sorted(folder.rglob("*.nbc"))


@pytest.fixture
def nowhere(source, monkeypatch):
    """Neither the installation nor the home can be written, for root neither."""
    (source.parent / "__pycache__").write_text("in the way")
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return source


def test_the_same_text_stands_in_each_package():
    texts = {(ROOT / package / "jit.py").read_text() for package in ("brainscales_emu", "memristor", "neurohil")}
    assert len(texts) == 1


def test_every_kernel_uses_it():
    for package in ("brainscales_emu", "memristor", "neurohil", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert "from numba import njit" not in path.read_text(), path


def test_no_kernel_runs_on_threads_of_its_own():
    """GNU OpenMP ends a process that forks after such a kernel has run; which of numba's layers there is depends on the
    machine. Whoever needs one has to choose a layer that survives a fork first."""
    for package in ("brainscales_emu", "memristor", "neurohil", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert "parallel=True" not in path.read_text(), path


def test_the_next_process_finds_the_code(source):
    assert hits(double(source)) == 0
    assert len(cached(source.parent)) == 1
    assert hits(double(source)) == 1
    assert hits(double(source, 3)) == 0  # another signature
    assert len(cached(source.parent)) == 2
    assert (hits(double(source)), hits(double(source, 3))) == (1, 1)


def test_another_source_or_setting_is_compiled_again(source, monkeypatch):
    double(source)
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    assert hits(double(source)) == 0
    monkeypatch.undo()
    source.write_text(KERNEL.replace("x + x", "2.0 * x"))
    assert hits(double(source)) == 0
    assert hits(double(source)) == 1


CALLER = """
from neurohil.jit import njit
from house.cellar.helpers import STEP, grow

@njit(cache=True, error_model="numpy")
def climb(x):
    return grow(x) + STEP
"""
HELPERS = """
from neurohil.jit import njit

STEP = 100.0

@njit(cache=True, error_model="numpy", forceinline=True)
def grow(x):
    return 2.0 * x
"""


@pytest.fixture
def house(tmp_path):
    """A package with a kernel that takes a helper and a constant from another file; returns its folder."""
    folder = tmp_path / "house"
    for path, text in {
        "__init__.py": "", "attic.py": "", "climbing.py": CALLER, "cellar/__init__.py": "", "cellar/helpers.py": HELPERS
    }.items():  # fmt: skip
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def climb(house):
    """What the kernel makes of 1 in a process of its own, and whether its code came from the cache."""
    code = "from house.climbing import climb; print(climb(1.0), sum(climb.stats.cache_hits.values()))"
    paths = os.environ | {"PYTHONPATH": os.pathsep.join([str(house.parent), str(ROOT)])}
    result = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=True)
    value, from_cache = result.stdout.split()
    return float(value), bool(int(from_cache))


def test_an_edit_in_another_file_of_the_package_is_seen(house):
    assert climb(house) == (102.0, False)
    assert climb(house) == (102.0, True)
    for old, new, expected in (("2.0 * x", "3.0 * x", 103.0), ("STEP = 100.0", "STEP = 200.0", 203.0)):
        helpers = house / "cellar/helpers.py"
        before = helpers.stat()
        helpers.write_text(helpers.read_text().replace(old, new))
        os.utime(helpers, ns=(before.st_atime_ns, before.st_mtime_ns))  # the content decides, not the date
        assert climb(house) == (expected, False)
    assert climb(house) == (expected, True)


def test_the_stamp_tells_sources_apart(house, tmp_path):
    digest = neurohil.jit.source_digest.__wrapped__
    assert neurohil.jit.package_folder(str(house / "cellar/helpers.py")) == str(house)
    assert neurohil.jit.package_folder(str(tmp_path / "alone.py")) is None
    before = digest(str(house))
    (house / ".#climbing.py").symlink_to("nobody@nowhere")  # an editor's lock
    (house / "notes.txt").write_text("no source")
    assert digest(str(house)) == before
    (house / "attic.py").rename(house / "roof.py")
    assert digest(str(house)) != before


@pytest.mark.parametrize("package", ["brainscales_emu", "memristor", "neurohil"])
def test_the_sources_are_read_quickly(package):
    spent = []
    for _ in range(5):
        began = time.process_time()
        neurohil.jit.source_digest.__wrapped__(str(ROOT / package))
        spent.append(time.process_time() - began)
    assert min(spent) < 0.01


@pytest.mark.parametrize("damage", ["empty", "cut", "short", "zeros", "flipped", "other", "folder"])
def test_a_damaged_file_is_compiled_again_and_replaced(damage, source):
    double(source)
    (path,) = cached(source.parent)
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        zeros = content[:middle] + bytes(len(content) - middle)
        path.write_bytes(
            {"empty": b"", "cut": content[:middle], "short": content[:9], "zeros": zeros, "flipped": flipped,
             "other": b"no code, but long enough for a checksum of 32 bytes"}[damage]
        )  # fmt: skip
    assert hits(double(source)) == 0
    if damage != "folder":
        assert hits(double(source)) == 1


def test_a_full_disk_costs_the_cache_alone(source, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert hits(double(source)) == 0
    monkeypatch.undo()
    assert [path.name for path in source.parent.rglob("*double*")] == []  # nothing unfinished stays
    double(source)
    assert len(cached(source.parent)) == 1


def test_numba_cache_dir_and_xdg_cache_home_are_used(nowhere, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    double(nowhere)
    assert len(cached(tmp_path / "xdg")) == 1
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    double(nowhere)
    assert len(cached(tmp_path / "chosen")) == 1
    assert not list((tmp_path / "temporary").iterdir())


def test_without_another_place_it_is_in_a_private_folder(nowhere, tmp_path, caplog):
    assert hits(double(nowhere)) == 0
    assert hits(double(nowhere)) == 1
    (folder,) = (tmp_path / "temporary").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (message,) = caplog.messages  # once
    assert str(folder) in message and "NUMBA_CACHE_DIR" in message


@pytest.mark.parametrize("planted", ["open to all", "link", "file"])
def test_what_others_may_have_planted_is_not_used(planted, nowhere, tmp_path, caplog):
    folder = tmp_path / "temporary" / f"neurohil-cache-{os.getuid()}"
    if planted == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif planted == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_text("theirs")
    assert hits(double(nowhere)) == 0
    assert hits(double(nowhere)) == 0
    assert cached(tmp_path) == []
    (message,) = caplog.messages
    assert str(folder) in message and "NUMBA_CACHE_DIR" in message


def test_no_folder_named_tilde_appears_where_nobody_has_a_home(tmp_path):
    code = "import os; os.path.expanduser = lambda path: path\nimport neurohil.jit, numba.core.caching as caching\n"
    code += "print(caching.UserWideCacheLocator in neurohil.jit._PLACES)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_processes_that_start_at_once_keep_their_codes_apart(source):
    code = "import sys; sys.path.insert(0, sys.argv[1])\nfrom doubling import double\n"
    code += "x = eval(sys.argv[2]); print(double(x) == x + x, sum(double.stats.cache_hits.values()))"

    def together(values):
        command = [sys.executable, "-c", code, str(source.parent)]
        started = [subprocess.Popen([*command, x], stdout=subprocess.PIPE, text=True) for x in values]
        return [process.communicate(timeout=120)[0].split() for process in started]

    assert [right for right, _ in together(["1.5", "3", "1.5", "3"])] == ["True"] * 4
    assert together(["1.5", "3"]) == [["True", "1"]] * 2
