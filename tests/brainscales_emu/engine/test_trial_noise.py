"""Trial noise: the generator against published numbers, its normal numbers against their distribution."""

from itertools import islice

import numpy as np
import pytest
from scipy import stats

from brainscales_emu.engine.trial_noise import draw, standard_normal
from brainscales_emu.mismatch import trial_key
from brainscales_emu.readable.trial_noise import TrialNoise, splitmix64


def test_splitmix64_gives_the_numbers_of_its_reference():
    # Of the reference implementation with seed 1234567 (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64).
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert list(islice(splitmix64(1234567), 5)) == expected


@pytest.mark.parametrize("key", [0, 1, trial_key(3, 7), 2**63 - 1])
def test_compiled_numbers_equal_the_readable_ones_in_any_order(key):
    noise = TrialNoise(key)
    expected = {(source, count): noise.draw(source) for count in range(5) for source in (0, 5, 511)}
    for source, count in sorted(expected):
        assert standard_normal(key, source, count) == pytest.approx(expected[source, count], rel=1e-14)


def test_each_item_counts_its_own_numbers():
    drawn = np.zeros(2, dtype=np.int64)
    first, other, second = draw(9, 40, 0, drawn), draw(9, 41, 1, drawn), draw(9, 40, 0, drawn)
    assert drawn.tolist() == [2, 1]
    assert (first, other, second) == (standard_normal(9, 40, 0), standard_normal(9, 41, 0), standard_normal(9, 40, 1))


def numbers(keys, sources, counts):
    return np.array([[[standard_normal(k, s, c) for c in counts] for s in sources] for k in keys])


def test_numbers_are_normal_and_independent_of_each_other():
    values = numbers([trial_key(1, trial) for trial in range(10)], range(40), range(50))
    n = values.size
    assert abs(values.mean()) < 4 / np.sqrt(n)
    assert values.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    for axis in range(3):  # neighbours in trial, source and count
        a, b = (np.take(values, range(start, values.shape[axis] - 1 + start), axis).ravel() for start in (0, 1))
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)


def test_trials_and_seeds_have_keys_of_their_own():
    keys = {trial_key(seed, trial) for seed in range(20) for trial in range(20)}
    assert len(keys) == 400 and all(0 <= key < 2**63 for key in keys)
