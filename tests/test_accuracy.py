"""The accuracies that users quote, against published numbers. Minutes each: `make test-slow`.

Software bars: the released DelGrad runs (weights 96.7, axonal 97.5, synaptic 98.2, synaptic with 5 hidden neurons
95.4 %, one seed each). Chip bars: the released runs on BrainScaleS-2 (weights 84.9, axonal 92.6 %).
"""

import functools

import numpy as np
import pytest

from benchmarks.accuracy import train

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


# Chip bars. Trained once for all of them; each has a test of its own, so that one that is missed hides no other.


def test_chip_learns_weights():
    assert 82.0 <= median_accuracy("chip_yin_yang_weights") <= 88.0


def test_chip_learns_delays():
    """Well above what any seed reaches with weights alone (at most 86.6 %)."""
    assert median_accuracy("chip_yin_yang_axonal") >= 90.0


@pytest.mark.xfail(reason="since networks are routed the median with axonal delays is 91.7 %: docs/results.md")
def test_chip_learns_delays_as_well_as_before_routing():
    assert median_accuracy("chip_yin_yang_axonal") >= 92.0


def test_delays_help_on_the_chip():
    assert median_accuracy("chip_yin_yang_axonal") - median_accuracy("chip_yin_yang_weights") >= 5.0
