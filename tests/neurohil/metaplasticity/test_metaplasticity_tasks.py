"""Sequences of tasks: nothing lost, nothing twice, and the same for the same seed."""

import numpy as np
import pytest

from neurohil.datasets import idx
from neurohil.errors import UserError
from neurohil.metaplasticity import tasks
from neurohil.metaplasticity.tasks import Task


def small():
    images = np.arange(30 * 12, dtype=np.uint16).astype(np.uint8).reshape(30, 12)
    return Task("small", idx.Images(images, np.arange(30) % 10), idx.Images(images[:5], np.arange(5)))


def test_whole_data_set_and_its_validation_split():
    task = tasks.whole("mnist", validation=False)
    assert (len(task.train.labels), len(task.test.labels)) == (60_000, 10_000)
    split = tasks.whole("mnist", validation=True)
    assert (len(split.train.labels), len(split.test.labels)) == (50_000, 10_000)
    np.testing.assert_array_equal(split.test.images, task.train.images[50_000:])
    np.testing.assert_array_equal(task.inputs(task.test.images[:3]), task.test.images[:3] / np.float32(255))


def test_permuted_pixels_are_all_there_in_another_order():
    made = tasks.permuted(small(), 3, seed=1)
    images = small().train.images
    seen = [task.inputs(images) for task in made]
    for task, x in zip(made, seen, strict=True):
        np.testing.assert_array_equal(np.sort(x, axis=1), np.sort(idx.scale(images), axis=1))
        np.testing.assert_array_equal(x, idx.scale(images)[:, task.pixels])
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])
    again, other = tasks.permuted(small(), 3, seed=1), tasks.permuted(small(), 3, seed=2)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(made, again, strict=True))
    assert not np.array_equal(made[0].pixels, other[0].pixels)
    assert [task.name for task in made] == [f"small permutation {k}" for k in range(3)]


def test_subsets_are_a_partition_of_the_training_images():
    made = tasks.subsets(small(), 4, seed=1)
    assert [len(task.train.labels) for task in made] == [8, 8, 7, 7]
    rows = np.concatenate([task.train.images for task in made])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], small().train.images[np.lexsort(small().train.images.T)])
    for task in made:
        np.testing.assert_array_equal(task.test.images, small().test.images)
        for image, label in zip(task.train.images, task.train.labels, strict=True):
            (row,) = np.flatnonzero((small().train.images == image).all(axis=1))
            assert label == row % 10


@pytest.mark.parametrize(("n", "size", "lengths"), [(600, 100, [100] * 6), (201, 100, [67] * 3), (5, 100, [5])])
def test_batches_have_no_short_rest(n, size, lengths):
    parts = tasks.batches(np.arange(n), size)
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n))


def test_too_many_or_no_parts_are_refused():
    with pytest.raises(UserError, match=r"n_tasks = 31 is outside 1\.\.30, the number of training images"):
        tasks.subsets(small(), 31, seed=1)
    with pytest.raises(UserError, match="n_tasks = 0 must be at least 1"):
        tasks.permuted(small(), 0, seed=1)
