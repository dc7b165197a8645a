"""Memory, writes and years against arithmetic on paper."""

import math

import numpy as np
import pytest

from neurohil.errors import UserError
from neurohil.metaplasticity.accounts import Memory, write_statistics, years_to_wear_out


def test_weights_and_cells_of_the_known_networks():
    assert Memory((784, 4096, 4096, 10), 0, 1, 1).weights == 20_029_440
    pairs = Memory((784, 1024, 10), 32, 3, 2)
    assert pairs.weights == 813_056 and pairs.cells == 1_626_112
    assert pairs.bits == 813_056 * 38
    assert pairs.terms() == ("784-1024-10: 813,056 weights x (32 hidden bits + 3 bits x 2 devices) = 30,896,128 bits")


def test_readings_of_the_published_factor():
    """The table of docs/metaplasticity.md: 784-4096-4096-10 of one bit a weight against four smaller networks."""
    binary = Memory((784, 4096, 4096, 10), 0, 1, 1)
    smaller = [
        Memory((784, 512, 10), 0, math.log2(9), 1),
        Memory((784, 512, 512, 10), 0, 1, 2),
        Memory((784, 800, 800, 10), 0, 1, 1),
        Memory((784, 1680, 10), 0, 1, 1),
    ]
    ratios = [binary.bits / memory.bits for memory in smaller]
    assert [round(ratio, 1) for ratio in ratios] == [15.5, 15.0, 15.7, 15.0]
    assert ratios[0] == pytest.approx(20_029_440 / (406_528 * math.log2(9)))


def test_write_statistics():
    writes = np.array([[0, 0, 1, 1], [1, 2, 2, 9]], dtype=np.int32)
    found = write_statistics(writes, bins=5)
    assert found.mean == 2.0 and found.max == 9
    assert found.p99 == pytest.approx(2 + 0.93 * 7)  # between the two highest, at 0.99 * 7 = 6.93
    assert found.edges.tolist() == [0, 2, 4, 6, 8, 10] and found.devices.tolist() == [5, 2, 0, 0, 1]
    untouched = write_statistics(np.zeros(4, dtype=np.int64))
    assert untouched.edges.tolist() == [0, 1] and untouched.devices.tolist() == [4]


@pytest.mark.parametrize("largest", [1, 49, 50, 51, 425, 10_000])
def test_histogram_holds_every_device(largest):
    writes = np.random.default_rng(0).integers(0, largest + 1, 1000)
    found = write_statistics(writes)
    assert found.devices.sum() == 1000 and len(found.devices) == len(found.edges) - 1 <= 51
    first = int(found.edges[1])
    assert found.devices[0] == np.sum(writes < first)


def test_years():
    """425 writes in one run a day wear out a device of 10^6 cycles in 2353 days."""
    assert years_to_wear_out(1e6, 425, 1) == pytest.approx(2352.94 / 365.25, rel=1e-5)
    assert years_to_wear_out(1e6, 0, 1) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: years_to_wear_out(0, 1, 1), "endurance_cycles = 0 must be finite and > 0"),
        (lambda: years_to_wear_out(1e6, math.nan, 1), "writes_per_run = nan must be finite and >= 0"),
        (lambda: years_to_wear_out(1e6, 1, -1), "runs_per_day = -1 must be finite and >= 0"),
        (lambda: write_statistics(np.array([1, -2])), r"accounts: writes\[1\] = -2 is outside 0\.\."),
        (lambda: write_statistics(np.array([], dtype=int)), "accounts: writes holds no device"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
