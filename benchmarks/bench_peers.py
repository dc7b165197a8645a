"""Install the programs that `make bench` compares with, pinned, into an environment of their own.

    python -m benchmarks.bench_peers [FOLDER]      # default .venv-bench; half an hour of downloads at worst, 2 GB

Each line of benchmarks/peers/requirements.txt is installed by itself, after this project; what can't be installed is
reported, and its rows say "not installed here". Brian2 gets an environment within, as it needs an older numpy.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import commands
from benchmarks.peers import BRIAN2, REQUIREMENTS

ROOT = Path(__file__).parents[1]


def steps(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Environments, each with what pip is told to install there."""
    yield folder, ["--editable", str(ROOT)]
    for line in (ROOT / REQUIREMENTS).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield folder, shlex.split(line)
    yield folder / "brian2", shlex.split(BRIAN2)


def install(environment: Path, wanted: Sequence[str]) -> str:
    """Install into an environment, which is made if there is none; returns the last line of an error, or nothing."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".venv-bench"))
    options = commands.parsed(parser, arguments)
    for environment, wanted in steps(options.folder):
        told = " ".join(wanted)
        if options.quick:
            print(f"would install into {environment}: {told}")
            continue
        error = install(environment, wanted)
        print(f"can't be installed here: {told} ({error})" if error else f"installed: {told}", flush=True)


if __name__ == "__main__":
    main()
