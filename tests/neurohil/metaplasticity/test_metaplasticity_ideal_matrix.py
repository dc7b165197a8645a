"""The ideal matrix target keeps what is written and multiplies by it."""

import numpy as np
import pytest

from neurohil.errors import UserError
from neurohil.targets.matrix.ideal import IdealMatrixTarget


def layers(seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(-7, 8, (12, 5)), rng.integers(-7, 8, (5, 3))]


def test_products_are_those_of_the_weights():
    target, levels = IdealMatrixTarget(7, 0.5), layers(0)
    target.write(levels)
    x = np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32)
    np.testing.assert_allclose(target.multiply(0, x, 1), x @ (levels[0] * 0.5 / 7), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(target.read(1, 1), levels[1] * 0.5 / 7, rtol=1e-6)
    assert target.multiply(1, np.eye(5), 1).dtype == np.float32


def test_changes_are_counted():
    target, levels = IdealMatrixTarget(7, 1.0), layers(0)
    assert target.write(levels) == (75, 0, 0)
    assert target.write(levels).changed == 0
    levels[0][3, 2] -= 1 if levels[0][3, 2] > 0 else -1
    assert target.write(levels).changed == 1
    target.multiply(0, np.zeros((4, 12)), 1)
    assert target.account() == {"weights_changed": 76, "vectors": 4}


def test_what_was_written_does_not_follow_the_array():
    target, levels = IdealMatrixTarget(7, 1.0), layers(0)
    target.write(levels)
    before = target.read(0, 1)
    levels[0][:] = 0
    np.testing.assert_array_equal(target.read(0, 1), before)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((12, 5), 8), r"layer 0: levels\[0, 0\] = 8 is outside -7\.\.7; quantise the weights for this target"),
        (np.full((12, 5), 255, np.uint8), r"layer 0: levels\[0, 0\] = 255 is outside -7\.\.7"),
        (np.zeros((12, 5)), "layer 0: levels is of type float64, not integers"),
        (np.zeros(12, dtype=np.int64), r"layer 0: levels has shape \(12,\); expected \(any, any\)"),
        (np.zeros((12, 6), dtype=np.int64), r"shapes \[\(12, 6\), \(5, 3\)\], but this target holds layers of"),
    ],
)
def test_bad_levels_are_refused(bad, message):
    target, levels = IdealMatrixTarget(7, 1.0), layers(0)
    target.write(levels)
    with pytest.raises(UserError, match=message):
        target.write([bad, levels[1]])
    np.testing.assert_allclose(target.read(0, 1), levels[0] / 7, rtol=1e-6)
