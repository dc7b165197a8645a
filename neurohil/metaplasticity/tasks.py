"""What is learnt one after the other: whole data sets, permuted pixels, or parts of one data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohil.datasets import idx, images
from neurohil.datasets.idx import CLASSES, DATA_SETS, VALIDATION, Images
from neurohil.errors import UserError
from neurohil.ranges import Count
from neurohil.seeds import stream
from neurohil.text import shown


class WholeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="whole", tag_field="kind"):
    """Data sets in this order, each a task: mnist, fashion_mnist, or "package.module:Class" of the user's own, see
    `neurohil.datasets.images`.

    validation: train on all but the last 10 000 training images and test on these. train_images, test_images: the first
    so many of each task alone, for trials.
    """

    data_sets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
    validation: bool = False
    train_images: Count = 60_000
    test_images: Count = 10_000


class _SplitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One data set that n_tasks tasks are made of; the rest as for WholeConfig."""

    data_set: str
    n_tasks: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    validation: bool = False
    train_images: Count = 60_000
    test_images: Count = 10_000


class PermutedConfig(_SplitConfig, frozen=True, tag="permuted", tag_field="kind"):
    """Its pixels in n_tasks random orders, each a task."""


class StreamConfig(_SplitConfig, frozen=True, tag="stream", tag_field="kind"):
    """In n_tasks parts that follow each other, all tested on the same images."""


TasksConfig: TypeAlias = WholeConfig | PermutedConfig | StreamConfig


class Task(NamedTuple):
    """One task: a name, what is trained on, what it is tested on, the order of the pixels (n_in,) or None, and how many
    classes its data set has."""

    name: str
    train: Images
    test: Images
    pixels: NDArray[np.int64] | None = None
    classes: int = CLASSES

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network sees of images (n, n_in): 0 ... 1, pixels in the task's order."""
        return idx.scale(images if self.pixels is None else images[:, self.pixels])


def build(config: TasksConfig, seed: int) -> list[Task]:
    """The tasks that the config names, in their order; seed: of permutations and parts.

    Raises
    ------
    UserError
        There is no such data set, or its images are not found; no such task can be made of it.
    """
    key = "tasks.data_sets" if isinstance(config, WholeConfig) else "tasks.data_set"
    names = config.data_sets if isinstance(config, WholeConfig) else (config.data_set,)
    for name in names:
        if name not in DATA_SETS and ":" not in name:
            raise UserError(
                f"{key}: there is no data set {shown(name)}; choose one of {', '.join(DATA_SETS)}, or name a class of "
                'your own as "package.module:Class"'
            )
    chain = [whole(name, config.validation, key) for name in names]
    if not isinstance(config, WholeConfig):
        make = permuted if isinstance(config, PermutedConfig) else subsets
        chain = make(chain[0], config.n_tasks, seed)
    train, test = slice(config.train_images), slice(config.test_images)
    return [task._replace(train=_chosen(task.train, train), test=_chosen(task.test, test)) for task in chain]


def tested(config: TasksConfig, chain: Sequence[Task]) -> dict[str, int]:
    """Which tasks are tested after every epoch: their indices, by names that can stand in a trace.

    Raises
    ------
    UserError
        Two of them have the same name.
    """
    if isinstance(config, StreamConfig):  # all its parts have the same test images
        return {_short(config.data_set): 0}
    tests = {task.name.replace(" ", "_"): k for k, task in enumerate(chain)}
    if isinstance(config, WholeConfig) and len(tests) < len(chain):
        raise UserError(f"tasks.data_sets = {list(config.data_sets)} names one twice; name each data set once")
    return tests


def whole(name: str, validation: bool, key: str = "tasks.data_set") -> Task:
    """A data set; with `validation`, trained and tested on the two parts of `idx.split_validation`.

    Raises
    ------
    UserError
        It is of the user's own (named at `key`), and its class or what that gives is not as it should be; or it has not
        enough training images for a validation.
    """
    if name not in DATA_SETS:
        return _own(name, validation, key)
    train = idx.load(name, "train")
    if validation:
        return Task(name, *idx.split_validation(train))
    return Task(name, train, idx.load(name, "test"))


def _own(name: str, validation: bool, key: str) -> Task:
    train, test = images.load(name, key)
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    if validation and len(train.labels) <= VALIDATION:
        raise UserError(
            f"tasks.validation keeps the last {VALIDATION} training images for tests, but {shown(name)} has "
            f"{len(train.labels)} in all; leave it out"
        )
    parts = idx.split_validation(train) if validation else (train, test)
    return Task(images.short_name(name), *parts, classes=classes)


def _short(name: str) -> str:
    return name if name in DATA_SETS else images.short_name(name)


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


def _chosen(data: Images, rows: NDArray[np.int64] | slice) -> Images:
    return Images(data.images[rows], data.labels[rows])
