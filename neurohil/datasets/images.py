"""Data sets of images of the user's own: what a class gives, and the door where that is checked.

The class is a msgspec.Struct or dataclass that needs no values, with the method `load`. The shipped ones are those of
`neurohil.datasets.idx`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from neurohil.arrays import integers
from neurohil.choices import Choice
from neurohil.datasets.idx import Images
from neurohil.errors import UserError
from neurohil.text import shown

MOST_CLASSES = 10_000


@runtime_checkable
class ImageSet(Protocol):
    """A data set of images."""

    def load(self, split: str) -> tuple[Any, Any]:
        """Images and labels of a split, "train" or "test"; the same ones each time.

        Images are uint8, 0 background ... 255, (n, pixels) or of more dimensions, all of one size; labels (n,) are
        integers from 0.
        """
        ...


_CHOICE = Choice(ImageSet, tuple)


def load(name: str, key: str) -> tuple[Images, Images]:
    """Training and test images of a class that is named as "package.module:Class".

    Parameters
    ----------
    name : str
    key : str
        Where it stands in the experiment.

    Raises
    ------
    UserError
        There is no such class, or what it gives is not as it should be.
    """
    found = _CHOICE.named(name, key)
    try:
        data_set = found()
    except TypeError as error:
        raise UserError(f"{key} = {shown(name)}: {error}; give all its fields a default") from error
    train, test = (_checked(f"{key} = {shown(name)}: {split}", data_set.load(split)) for split in ("train", "test"))
    if train.images.shape[1] != test.images.shape[1]:
        raise UserError(
            f"{key} = {shown(name)} has training images of {train.images.shape[1]} pixels and test images of "
            f"{test.images.shape[1]}; make them equal"
        )
    if not max(train.labels.max(), test.labels.max()):
        raise UserError(f"{key} = {shown(name)} has one class alone, 0; give images of two or more")
    return train, test


def short_name(name: str) -> str:
    """What tasks of such a class are called, in letters, digits and underscores."""
    return name.partition(":")[2].replace(".", "_")


def _checked(where: str, given: Any) -> Images:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UserError(f"{where} is a {type(given).__name__}; return images and labels")
    images, labels = np.asarray(given[0]), given[1]
    if images.dtype != np.uint8:
        raise UserError(f"{where} images are of type {images.dtype}, expected uint8, 0..255; scale and round them")
    if images.ndim < 2 or not images.size:
        raise UserError(f"{where} images have shape {images.shape}; give (n, pixels) or (n, rows, columns)")
    remedy = "give the class of each image, from 0"
    labels = integers(f"{where} labels", labels, (len(images),), 0, MOST_CLASSES - 1, remedy=remedy)
    return Images(np.ascontiguousarray(images.reshape(len(images), -1)), labels)
