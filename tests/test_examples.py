"""The examples run as they stand, and print what they say.

They run in this process, where the libraries are loaded already; `make test-slow` starts each as a program, too.
"""

import contextlib
import io
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brainscales_emu import preset

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    """What the example prints, run as the main program with these arguments."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return output.getvalue()


def test_every_example_has_a_test():
    others = {"every_example_has_a_test.py", "as_a_program_it_ends_well.py"}
    tested = {name.removeprefix("test_") + ".py" for name in globals() if name.startswith("test_")}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested - others


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_as_a_program_it_ends_well(path, tmp_path):
    arguments = ["2"] if path.stem == "train_in_the_loop" else []
    done = subprocess.run([sys.executable, path, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_one_neuron(tmp_path):
    picture = tmp_path / "one_neuron.png"
    output = run("one_neuron.py", picture)
    assert output.startswith("1 spikes") and "threshold of circuit 0" in output
    assert picture.stat().st_size > 10_000


def test_adex_patterns(tmp_path):
    picture = tmp_path / "adex_patterns.png"
    output = run("adex_patterns.py", picture)
    (tonic,), (adapting,), (bursting,) = (rows(output, name) for name in ("tonic", "adapting", "bursting"))
    assert max(tonic[1:]) < 1.1 * min(tonic[1:]) and max(adapting[1:]) > 4.0 * min(adapting[1:])
    assert max(bursting[1:]) > 20.0 * min(bursting[1:])
    assert picture.stat().st_size > 10_000


def test_matrix_properties(tmp_path):
    picture = tmp_path / "matrix_properties.png"
    output = run("matrix_properties.py", picture)
    ((spread, _),), ((noise, _),) = rows(output, "column spread"), rows(output, "trial noise")
    slope, nominal, beside = rows(output, "line")[0]
    assert abs(spread / 4.7 - 1.0) < 0.25  # columns 4.6 %, 100 synapses of 7.5 %: five standard errors of 256 columns
    assert abs(noise / 2.02 - 1.0) < 0.03  # 2 LSB, and rounded
    assert abs(slope / nominal - 1.0) < 0.3 and beside < 15.0
    assert picture.stat().st_size > 10_000


def test_two_chips(tmp_path):
    picture = tmp_path / "two_chips.png"
    output = run("two_chips.py", picture)
    assert "chips 2, spikes from chip to chip 336" in output  # 12 neurons, 4 volleys, 7 crossings
    assert float(re.search(r"1.22 us later, but for (\S+) us", output)[1]) < 1e-9
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_train_in_the_loop():
    home, moved = (float(share) for share in re.findall(r"([0-9.]+)%", run("train_in_the_loop.py", 4)))
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


@pytest.mark.compiled
def test_calibrate_a_chip(tmp_path):
    picture = tmp_path / "calibrate_a_chip.png"
    spreads = [row[-2:] for row in rows(run("calibrate_a_chip.py", picture), "")[1:]]
    assert len(spreads) == 6
    for before, after in spreads:
        assert after < 0.3 * before
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_single_neuron(tmp_path):
    picture = tmp_path / "single_neuron.png"
    output = run("single_neuron.py", picture)
    config = preset("calibrated")
    leaks = np.arange(90.0, 201.0, 10.0)
    lines = rows(output, "threshold")
    assert [line[0] for line in lines] == [110.0, 130.0, 150.0]
    for threshold, *rates in lines:
        with np.errstate(divide="ignore", invalid="ignore"):
            period_us = 2.0 + config.tau_mem_us * np.log((leaks - config.reset_lsb) / (leaks - threshold))
        # Far above threshold a circuit differs from the nominal one by 5 % in tau and a few LSB.
        high = leaks >= threshold + 20.0
        assert np.all(np.abs(np.array(rates)[high] * period_us[high] / 1000.0 - 1.0) < 0.2)
        assert not np.any(np.array(rates)[leaks <= threshold - 10.0])
    slope, straight, short = rows(output, "PSP")[0]
    nominal = config.synaptic_gain * config.tau_mem_us / math.e  # the peak, tau_mem = tau_syn
    assert abs(slope / nominal - 1.0) < 0.25 and straight < 0.5
    assert short == pytest.approx(63 * slope - 52 * np.tanh(63 * slope / 52), abs=0.5)  # the rail is 52 LSB below leak
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_synfire_chain(tmp_path):
    picture = tmp_path / "synfire_chain.png"
    output = run("synfire_chain.py", picture)
    strong, weak, spread, uninhibited = (
        [int(word) for word in line.split("link")[1].split()] for line in output.splitlines()
    )
    assert strong == [16] * 8 and uninhibited[2:] == [16] * 6
    assert not any(weak[1:]) and not any(spread[2:])
    assert picture.stat().st_size > 10_000


@pytest.mark.compiled
def test_winner_take_all(tmp_path):
    picture = tmp_path / "winner_take_all.png"
    *_, first, second, third, fourth = run("winner_take_all.py", picture).splitlines()
    grid = np.array([[int(digit) for digit in line] for line in (first, second, third, fourth)])
    boxes = grid.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
    for units in (grid, grid.T, boxes):
        np.testing.assert_array_equal(np.sort(units, axis=1), [[1, 2, 3, 4]] * 4)
    assert (grid[0, 2], *grid[1, [0, 3]], grid[2, 1], grid[3, 3]) == (3, 4, 1, 4, 2)  # what was given
    assert picture.stat().st_size > 10_000


def test_own_chip():
    (drawn,), (measured,) = (rows(run("own_chip.py"), name) for name in ("drawn", "measured"))
    assert measured[0] < measured[1] < measured[2]  # by their thresholds
    assert measured[3] == drawn[3] and measured[:3] != drawn[:3]
