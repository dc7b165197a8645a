"""MNIST and Fashion-MNIST: images in the idx format, found on disk or downloaded, checked bit for bit.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proc. IEEE 86 (1998); H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os.path
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.datasets.files import cache_folder, given_folder, own_folder
from neurohil.errors import UserError

CLASSES = 10
PIXELS = 784
VALIDATION = 10_000

_CHECKOUT = Path(__file__).parents[2] / "data"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
_SOURCES = {
    # The original host of MNIST no longer serves the files; these are the copies of PyTorch and of TensorFlow.
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
}
_TORCHVISION = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}  # its folders below a root
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# SHA-256 of the decompressed files: unlike sums of the .gz files they don't depend on who compressed them.
_SUMS = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
DATA_SETS = tuple(_SUMS)
_REMEDY = "replace it, or set NEUROHIL_DATA to a folder with the published files"


class Images(NamedTuple):
    """Images (n, 784) uint8, row by row, 0 background ... 255, and their classes (n,) int64, 0..9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load(name: str, split: str, folder: str | Path | None = None) -> Images:
    """Return a published split, read from the first of these places that has the published content:

    1. `folder`, or where the environment variable NEUROHIL_DATA points ("~" is the home folder): in a folder `name`
       there, in torchvision's MNIST/raw or FashionMNIST/raw there, or directly there;
    2. data/ of the checkout;
    3. the user's cache folder;
    4. for Fashion-MNIST, the folder of Debian's package dataset-fashion-mnist;
    5. a download into the user's cache folder.

    Files may be plain or .gz, and have a dot in place of their last hyphen but one (t10k-images.idx3-ubyte). What they
    are is said by the SHA-256 of their decompressed content, so MNIST and Fashion-MNIST, whose files have the same
    names, can't be mixed up.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist"}
    split : {"train", "test"}
        60 000 and 10 000 images.
    folder : path, optional
        Takes the place of NEUROHIL_DATA.

    Returns
    -------
    Images

    Raises
    ------
    UserError
        There is no such data set or split; the files are nowhere and can't be downloaded; or no file of that name is
        the published one.
    """
    if name not in DATA_SETS:
        raise UserError(f"idx: there is no data set {name!r}; choose one of {', '.join(DATA_SETS)}")
    if split not in _FILES:
        raise UserError(f"idx: there is no split {split!r}; choose one of {', '.join(_FILES)}")
    images, labels = (_published(name, file, folder) for file in _FILES[split])
    return Images(images.reshape(len(images), -1), labels.astype(np.int64))


def split_validation(data: Images) -> tuple[Images, Images]:
    """Training images and validation images: all but the last 10 000, and the last 10 000, in published order.

    Hyper-parameters are chosen on the validation images, so that the test images are seen once.

    Raises
    ------
    UserError
        There are not more than 10 000 images.
    """
    if len(data.images) <= VALIDATION:
        raise UserError(
            f"idx: {len(data.images)} images can't be split: the last {VALIDATION} are for validation; "
            "give the 60000 training images"
        )
    cut = len(data.images) - VALIDATION
    return Images(data.images[:cut], data.labels[:cut]), Images(data.images[cut:], data.labels[cut:])


def scale(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels as numbers 0 ... 1, same shape.

    Raises
    ------
    UserError
        They are no bytes 0..255.
    """
    if images.dtype != np.uint8:
        raise UserError(f"idx: images are of type {images.dtype}, expected uint8, 0..255; scale them yourself")
    return images.astype(np.float32) / np.float32(255)


def _published(name: str, file: str, folder: str | Path | None) -> NDArray[np.uint8]:
    found = _find(name, file, folder)
    refusals = []
    for path in found or [_download(name, file, folder)]:
        try:
            return _parse(_checked(name, file, path), path)
        except UserError as error:
            refusals.append(error)
    raise refusals[0]


def _checked(name: str, file: str, path: Path) -> bytes:
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SUMS[name][file]:
        raise UserError(
            f"{path} is not the published {file} of {name}: SHA-256 of its content is {digest}, expected "
            f"{_SUMS[name][file]}; {_REMEDY}"
        )
    return content


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} can't be read: {error}; {_REMEDY}") from error


def _parse(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Array of unsigned bytes in the idx format: magic number, one big-endian size per dimension, values."""
    dimensions = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * dimensions
    if content[:3] != b"\x00\x00\x08" or not dimensions or len(content) < start:
        raise UserError(
            f"{path} is no idx file of unsigned bytes: it starts with 0x{content[:4].hex()}, expected 0x000008 and the "
            f"number of dimensions; {_REMEDY}"
        )
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) - start != math.prod(shape):
        raise UserError(
            f"{path} has {len(content) - start} values, but its header says {' x '.join(map(str, shape))}; {_REMEDY}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _places(name: str, folder: str | Path | None) -> Iterator[Path]:
    given = given_folder(folder)
    if given:
        yield from (given / name, given / _TORCHVISION[name], given)
    yield _CHECKOUT / name
    if cache := cache_folder():
        yield cache / name
    if name == "fashion_mnist":
        yield _DEBIAN


def _find(name: str, file: str, folder: str | Path | None) -> list[Path]:
    names = [f"{stem}{suffix}" for stem in (file, file.replace("-idx", ".idx")) for suffix in (".gz", "")]
    paths = [place / name for place in _places(name, folder) for name in names]
    return [path for path in paths if os.path.isfile(path)]  # Path.is_file raises in a folder that can't be entered


def _download(name: str, file: str, folder: str | Path | None) -> Path:
    failures, folder_of_own = [], own_folder(name, cache_folder())
    for source in _SOURCES[name]:
        try:
            return _fetch(f"{source}{file}.gz", folder_of_own)
        except (OSError, ValueError) as error:  # every error of the HTTP client is an OSError
            failures.append(f"{source} ({type(error).__name__})")
    places = ", ".join(str(place) for place in _places(name, folder))
    raise UserError(
        f"{file} of {name} is neither in {places} nor could it be downloaded from {', '.join(failures)}; put its four "
        "idx files (.gz or plain) into a folder and set NEUROHIL_DATA to it"
    )


def _fetch(url: str, folder: Path) -> Path:
    import pooch

    # No sum here: sums of .gz files differ between sources; the content is checked by the caller.
    return Path(pooch.retrieve(url, known_hash=None, fname=url.rsplit("/", 1)[1], path=folder))
