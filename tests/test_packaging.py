"""The built wheel: setup.cfg ignores misspelt keys in silence, so what it says is checked where it ends up."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, because setuptools leaves build/ behind and would take stale files from it.
    skip = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, folder / "source", ignore=skip)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_metadata_arrived(metadata):
    import neurohil

    assert metadata["Name"] == "neurohil"
    assert metadata["Version"] == neurohil.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Apache-2.0" in (metadata["License"] or metadata["License-Expression"])
    assert metadata["Description-Content-Type"] == "text/markdown"
    required = {line.split(">")[0].strip() for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    plain = {
        "numpy",
        "numba",
        "simpy",
        "h5py",
        "scipy",
        "msgspec",
        "tomli-w",
        "tqdm",
        "matplotlib",
        "pooch",
        "threadpoolctl",
    }
    assert required == plain | {"bokeh", "jinja2"}
    assert "dev" in metadata.get_all("Provides-Extra")
    systems = {line for line in metadata.get_all("Classifier") if line.startswith("Operating System")}
    assert systems == {"Operating System :: POSIX :: Linux", "Operating System :: MacOS"}


def test_only_the_packages_are_inside(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (n for n in names if n.endswith("entry_points.txt"))
        assert "neurohil = neurohil.cli:main" in archive.read(entry_points).decode()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"brainscales_emu", "neurohil", "memristor"}
    assert any(name.endswith(".dist-info/LICENSE") or name.endswith("licenses/LICENSE") for name in names)
    assert {f"{package}/py.typed" for package in tops} <= set(names)
    assert "neurohil/experiments/delgrad/chip_yin_yang_axonal.toml" in names
    assert "neurohil/experiments/crossbar/crossbar_9_levels.toml" in names
    assert "neurohil/experiments/metaplasticity/mnist_fashion_crossbar.toml" in names
    assert "neurohil/neurobench/costs.toml" in names
    assert "neurohil/trace/report/assets/page.html" in names


def test_installed_elsewhere_it_runs(wheel, tmp_path):
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel]
    subprocess.run(command, check=True, capture_output=True)
    code = "import neurohil, sys; assert neurohil.__file__.startswith(sys.argv[1]), neurohil.__file__\n"
    code += "from neurohil.cli import main; main(['delgrad', '--list'])"
    result = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=tmp_path, env={"PYTHONPATH": str(target)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "chip_yin_yang_axonal" in result.stdout
