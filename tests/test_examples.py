"""The examples run as they stand, and print what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"one_neuron.py", "train_in_the_loop.py"}


def test_one_neuron(tmp_path):
    picture = tmp_path / "one_neuron.png"
    output = run("one_neuron.py", picture)
    assert output.startswith("1 spikes") and "threshold of circuit 0" in output
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_train_in_the_loop():
    home, moved = (float(share) for share in re.findall(r"([0-9.]+)%", run("train_in_the_loop.py", 8)))
    assert home > moved
