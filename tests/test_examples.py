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
    tested = {name.removeprefix("test_") + ".py" for name in globals() if name.startswith("test_")}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested - {"every_example_has_a_test.py"}


def test_one_neuron(tmp_path):
    picture = tmp_path / "one_neuron.png"
    output = run("one_neuron.py", picture)
    assert output.startswith("1 spikes") and "threshold of circuit 0" in output
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_train_in_the_loop():
    home, moved = (float(share) for share in re.findall(r"([0-9.]+)%", run("train_in_the_loop.py", 8)))
    assert home > moved


def numbers(line):
    """All numbers of a line of output."""
    return [float(word) for word in re.findall(r"[-+]?[0-9]+(?:\.[0-9]+)?", line)]


def rows(output, start):
    """Numbers of the lines that start with a word, without the word."""
    return [numbers(line.removeprefix(start)) for line in output.splitlines() if line.startswith(start)]


def test_verify_with_wait():
    (hasty,), (patient,) = (rows(run("verify_with_wait.py").rsplit("at once")[1], f"wait {s} s") for s in (0, 3600))
    assert hasty[0] < patient[0]  # at once: the patient ones that were accepted early have drifted since
    assert hasty[-1] > 2 * patient[-1]  # months later


def test_wear_out():
    output = run("wear_out.py")
    for failure in ("sudden", "gradual"):
        worn = [row[1] for row in rows(output, failure)]
        assert worn == sorted(worn) and worn[0] < 1.0 and worn[-1] > 90.0


def test_ir_drop():
    losses = [row[2:] for row in rows(run("ir_drop.py"), "")[3:]]
    assert len(losses) >= 3
    for row in losses:
        assert row == sorted(row)  # more with more resistance
    for column in zip(*losses, strict=True):
        assert list(column) == sorted(column)  # more in larger tiles


def test_least_squares():
    output = run("least_squares.py")
    errors = [row[-1] for row in rows(output, "read noise")]
    assert rows(output, "ideal array")[0][-1] < 1e-3
    assert len(errors) == 3 and errors == sorted(errors)


def test_level_histograms():
    output = run("level_histograms.py")
    fits = rows(output, "   fit")
    for found, fit in zip([rows(output, "1 s  ")[0], rows(output, "1 day  ")[0]], fits[:2], strict=True):
        for sigma, expected in list(zip(found, fit, strict=True))[1:]:  # the lowest level is cut at 0 uS
            assert abs(sigma / expected - 1.0) < 0.1  # five standard errors of 2000 devices, and a bit
