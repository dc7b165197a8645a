"""The accuracies that users quote, against published numbers. Minutes each: `make test-slow`.

Software bars: the released DelGrad runs (weights 96.7, axonal 97.5, synaptic 98.2, synaptic with 5 hidden neurons
95.4 %, one seed each). Chip bars: the released runs on BrainScaleS-2 (weights 84.9, axonal 92.6 %).
"""

import functools

import numpy as np
import pytest

from benchmarks.accuracy import EACH_ITS_CHIP, train

pytestmark = pytest.mark.slow


@functools.cache
def median_accuracy(experiment, seeds=5):
    return float(np.median([100 * train((experiment, seed))["test_accuracy"] for seed in range(1, seeds + 1)]))


@pytest.mark.parametrize(
    ("experiment", "at_least"),
    [
        ("yin_yang_weights", 96.0),
        ("yin_yang_axonal", 97.0),
        ("yin_yang_dendritic", 96.5),
        ("yin_yang_synaptic", 98.0),
        ("yin_yang_synaptic_5", 95.0),
    ],
)
def test_ideal_neurons(experiment, at_least):
    assert median_accuracy(experiment) >= at_least


# Chip bars: each seed its chip. Trained once for all of them; each has a test of its own, so that one that is missed
# hides no other.


def chip_median(kind):
    return median_accuracy(f"chip_yin_yang_{kind}{EACH_ITS_CHIP}")


def test_chip_learns_weights():
    assert 80.0 <= chip_median("weights") <= 88.0


def test_chip_learns_delays():
    assert chip_median("axonal") >= 90.0


def test_delays_help_on_the_chip():
    assert chip_median("axonal") - chip_median("weights") >= 5.0
