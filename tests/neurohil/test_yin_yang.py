import hashlib

import numpy as np
import pytest

from neurohil.datasets import yin_yang
from neurohil.errors import UserError

# Computed over the published files (lkriener/yin_yang_data_set, MIT licence, publication_data/<split>_samples.npy
# and _labels.npy): sha256 of the bytes of the float64 samples followed by those of the int64 labels.
PUBLISHED = {
    "train": ("3dcfbb1895fd5f753d5591e1b4c3c7d98666e04ed91a50569185f2c0a3fcbb48", [1681, 1702, 1617]),
    "validation": ("03d1c9e01d7b2ab9d4d200f84632d8ec8a9fe9e72a75043542a21589507de339", [316, 336, 348]),
    "test": ("01e8a4f15d4b0d4df3d4f94fb67f5167e7b7783a7eeb3329e4e61e8c07ebb9eb", [350, 316, 334]),
}


@pytest.mark.parametrize("split", PUBLISHED)
def test_split_is_the_published_one_bit_for_bit(split):
    data = yin_yang.load(split)
    digest, counts = PUBLISHED[split]
    assert data.samples.dtype == np.float64 and data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == counts
    assert hashlib.sha256(data.samples.tobytes() + data.labels.tobytes()).hexdigest() == digest


def test_first_published_points():
    train, test = yin_yang.load("train"), yin_yang.load("test")
    np.testing.assert_allclose(train.samples[0], [0.68030754, 0.45049925, 0.31969246, 0.54950075], atol=5e-9)
    np.testing.assert_allclose(test.samples[0, :2], [0.23409665, 0.40172498], atol=5e-9)
    assert train.labels[0] == test.labels[0] == 2


def test_point_symmetry_of_the_figure():
    """A half turn about the centre swaps the two halves and keeps the dots."""
    data = yin_yang.load("test")
    for (x, y, turned_x, turned_y), label in zip(data.samples, data.labels, strict=True):
        assert yin_yang._class(x, y) == label
        assert yin_yang._class(turned_x, turned_y) == {0: 1, 1: 0, 2: 2}[int(label)]


def test_shorter_sets_are_prefixes_and_seeds_matter():
    short, long = yin_yang.generate(20, seed=3), yin_yang.generate(30, seed=3)
    np.testing.assert_array_equal(short.samples, long.samples[:20])
    assert not np.array_equal(short.samples, yin_yang.generate(20, seed=4).samples)


def test_loaded_arrays_are_shared_and_cannot_be_changed():
    data = yin_yang.load("test")
    assert yin_yang.load("test") is data
    with pytest.raises(ValueError, match="read-only"):
        data.samples[0, 0] = 0.0


def test_encoding_is_linear_and_copies_are_neighbours():
    times = yin_yang.encode(np.array([[0.0, 1.0, 1.0, 0.0], [0.5, 0.2, 0.5, 0.8]]), 0.15, 2.0, 0.9, copies=2)
    early, late = 0.15, 2.0
    expected = [
        [early, early, late, late, late, late, early, early, 0.9, 0.9],
        [1.075, 1.075, 0.52, 0.52, 1.075, 1.075, 1.63, 1.63, 0.9, 0.9],
    ]
    np.testing.assert_allclose(times, expected, rtol=1e-15)
    assert times.flags.c_contiguous
    assert yin_yang.encode(yin_yang.load("test").samples, early, late).shape == (1000, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: yin_yang.load("dev"), "no split 'dev'; choose one of train, validation, test"),
        (lambda: yin_yang.generate(0, 1), "n = 0 must be at least 1"),
        (lambda: yin_yang.generate(1, -1), "seed = -1 is outside 0 ... 4294967295"),
        (lambda: yin_yang.encode(np.zeros((3, 2)), 0.1, 1.0), r"shape \(3, 2\); expected \(any, 4\)"),
        (
            lambda: yin_yang.encode(np.full((3, 4), np.nan), 0.1, 1.0),
            r"samples\[0, 0\] = nan is not a number",
        ),
        (lambda: yin_yang.encode(np.zeros((3, 4)), 2.0, 1.0), "t_early = 2.0 tau_s must be below t_late = 1.0"),
        (
            lambda: yin_yang.encode(np.zeros((3, 4)), -1e308, 1e308),
            "must be below t_late = 1e\\+308 tau_s, both",
        ),
        (lambda: yin_yang.encode(np.zeros((3, 4)), 0.1, 1.0, np.inf), "bias_time = inf tau_s must be finite"),
        (lambda: yin_yang.encode(np.zeros((3, 4)), 0.1, 1.0, copies=0), "copies = 0 must be at least 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
