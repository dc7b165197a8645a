"""What is learnt one after the other: whole data sets, permuted pixels, or parts of one data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.datasets import idx
from neurohil.datasets.idx import Images
from neurohil.errors import UserError
from neurohil.seeds import stream


class Task(NamedTuple):
    """One task: a name, what is trained on, what it is tested on, and the order of the pixels (n_in,) or None."""

    name: str
    train: Images
    test: Images
    pixels: NDArray[np.int64] | None = None

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network sees of images (n, n_in): 0 ... 1, pixels in the task's order."""
        return idx.scale(images if self.pixels is None else images[:, self.pixels])


def whole(name: str, validation: bool) -> Task:
    """A published data set; with `validation`, trained and tested on the two parts of `idx.split_validation`."""
    train = idx.load(name, "train")
    if validation:
        return Task(name, *idx.split_validation(train))
    return Task(name, train, idx.load(name, "test"))


def permuted(task: Task, n_tasks: int, seed: int) -> list[Task]:
    """Tasks that differ in the order of their pixels alone, each a permutation of its own.

    Raises
    ------
    UserError
        If there is no task to make.
    """
    if n_tasks < 1:
        raise UserError(f"tasks: n_tasks = {n_tasks} must be at least 1")
    n = task.train.images.shape[1]
    return [
        task._replace(name=f"{task.name} permutation {k}", pixels=stream(seed, "pixels", k).permutation(n))
        for k in range(n_tasks)
    ]


def subsets(task: Task, n_tasks: int, seed: int) -> list[Task]:
    """A stream of parts of the training images, equally large but for one image, all tested on all test images.

    Raises
    ------
    UserError
        If a part would have no image, or there is no part.
    """
    n = len(task.train.images)
    if not 1 <= n_tasks <= n:
        raise UserError(f"tasks: n_tasks = {n_tasks} is outside 1..{n}, the number of training images")
    parts = np.array_split(stream(seed, "subsets").permutation(n), n_tasks)
    return [task._replace(name=f"{task.name} part {k}", train=_chosen(task.train, p)) for k, p in enumerate(parts)]


def batches(order: NDArray[np.int64], size: int) -> Sequence[NDArray[np.int64]]:
    """Parts of an order, at most `size` long and equally long but for one, so that none is too short for statistics."""
    return np.array_split(order, -(-len(order) // size))


def _chosen(data: Images, rows: NDArray[np.int64]) -> Images:
    return Images(data.images[rows], data.labels[rows])
