"""MNIST and Fashion-MNIST: the published bits, wherever they lie, and clear words where they don't."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from neurohil.datasets import idx
from neurohil.errors import UserError

# Published elsewhere: MD5 of the raw MNIST files, MD5 of the .gz files in Fashion-MNIST's README.
MNIST_MD5 = {
    ("train", 2051): "6bbc9ace898e44ae57da46a324031adb",
    ("train", 2049): "a25bea736e30d166cdddb491f175f624",
    ("test", 2051): "2646ac647ad5339dbf082846283269ea",
    ("test", 2049): "27ae3e4e09519cfbb04c329615203637",
}
FASHION_GZ_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
DIGITS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.mark.parametrize("split", DIGITS)
def test_mnist_is_the_published_one(split):
    images, labels = idx.load("mnist", split)
    assert images.shape == (len(labels), 784) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == DIGITS[split]
    raw = struct.pack(">IIII", 2051, len(images), 28, 28) + images.tobytes()
    assert hashlib.md5(raw).hexdigest() == MNIST_MD5[split, 2051]
    raw = struct.pack(">II", 2049, len(labels)) + labels.astype(np.uint8).tobytes()
    assert hashlib.md5(raw).hexdigest() == MNIST_MD5[split, 2049]


@pytest.mark.parametrize(("split", "each"), [("train", 6000), ("test", 1000)])
def test_fashion_mnist_has_equal_classes(split, each):
    images, labels = idx.load("fashion_mnist", split)
    assert images.shape == (10 * each, 784)
    assert np.bincount(labels).tolist() == [each] * 10


@pytest.mark.parametrize("file", FASHION_GZ_MD5)
def test_shipped_fashion_mnist_files_are_the_published_ones(file):
    assert hashlib.md5((idx._CHECKOUT / "fashion_mnist" / file).read_bytes()).hexdigest() == FASHION_GZ_MD5[file]


def test_validation_images_are_the_last_10000():
    data = idx.load("mnist", "train")
    train, validation = idx.split_validation(data)
    assert len(train.labels) == 50_000 and len(validation.labels) == 10_000
    np.testing.assert_array_equal(np.concatenate([train.images, validation.images]), data.images)
    np.testing.assert_array_equal(np.concatenate([train.labels, validation.labels]), data.labels)
    with pytest.raises(UserError, match="10000 images can't be split: the last 10000 are for validation; give the"):
        idx.split_validation(validation)


def test_pixels_are_scaled_to_one():
    with pytest.raises(UserError, match="images are of type float64, expected uint8"):
        idx.scale(np.array([[0.5]]))
    scaled = idx.scale(np.array([[0, 51, 255]], dtype=np.uint8))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.array([[0.0, 0.2, 1.0]], dtype=np.float32))


# Two images of 2 x 2 pixels stand for the published files, so that each place can be tried.
IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, *range(8)])
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3])
NAMES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty checkout, cache and Debian folder; no network; tiny files as the published ones."""
    places = {place: tmp_path / place for place in ("given", "checkout", "cache", "debian")}
    monkeypatch.delenv("NEUROHIL_DATA", raising=False)
    monkeypatch.setattr(idx, "_CHECKOUT", places["checkout"])
    monkeypatch.setattr(idx, "cache_folder", lambda: places["cache"])
    monkeypatch.setattr(idx, "_DEBIAN", places["debian"])
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in zip(NAMES, (IMAGES, LABELS), strict=True)}
    monkeypatch.setattr(idx, "_SUMS", {"mnist": sums, "fashion_mnist": sums})

    def no_network(url, folder):
        raise ConnectionError(url)

    monkeypatch.setattr(idx, "_fetch", no_network)
    return places


def put(folder, images=IMAGES, labels=LABELS, packed=True, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, (images, labels), strict=True):
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["given/mnist", "given/MNIST/raw", "given", "checkout/mnist", "cache/mnist"])
def test_each_place_is_searched(world, tmp_path, where, packed):
    put(tmp_path / where, packed=packed)
    data = idx.load("mnist", "test", folder=world["given"])
    np.testing.assert_array_equal(data.images, np.arange(8).reshape(2, 4))
    assert data.labels.tolist() == [7, 3]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["given/MNIST/raw", "given"])
def test_names_with_a_dot_are_found(world, tmp_path, where, packed):
    put(tmp_path / where, packed=packed, names=("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"))
    assert idx.load("mnist", "test", folder=world["given"]).labels.tolist() == [7, 3]


def test_tilde_is_the_home_folder(world, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEUROHIL_DATA", "~/sets")
    put(tmp_path / "home" / "sets" / "FashionMNIST" / "raw")
    assert idx.load("fashion_mnist", "test").labels.tolist() == [7, 3]


def test_content_decides_where_names_are_equal(world):
    """Files of another set, or damaged ones, in a place that is searched earlier don't hide the published ones."""
    put(world["given"], images=IMAGES[:-1] + b"\x00", labels=LABELS[:-1])
    put(world["cache"] / "mnist")
    assert idx.load("mnist", "test", folder=world["given"]).labels.tolist() == [7, 3]


def test_debian_is_searched_for_fashion_mnist_alone(world):
    put(world["debian"])
    assert len(idx.load("fashion_mnist", "test").images) == 2
    with pytest.raises(UserError, match="mnist is neither in"):
        idx.load("mnist", "test")


def test_environment_names_a_folder_and_the_argument_goes_first(world, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROHIL_DATA", str(tmp_path / "named"))
    put(tmp_path / "named" / "mnist")
    assert idx.load("mnist", "test").labels.tolist() == [7, 3]
    put(world["given"], labels=LABELS[:-1] + b"\x09")
    with pytest.raises(UserError, match=r"given/t10k-labels-idx1-ubyte\.gz is not the published"):
        idx.load("mnist", "test", folder=world["given"])


def test_download_is_kept_and_read(world, monkeypatch):
    asked = []

    def fetch(url, folder):
        asked.append(url)
        if "ossci" in url:
            raise TimeoutError(url)
        put(folder)
        return folder / url.rsplit("/", 1)[1]

    monkeypatch.setattr(idx, "_fetch", fetch)
    assert idx.load("mnist", "test").labels.tolist() == [7, 3]
    # The second source after the first one failed; then the labels lie in the cache.
    assert [url.split("/")[2] for url in asked] == ["ossci-datasets.s3.amazonaws.com", "storage.googleapis.com"]


def test_nothing_anywhere_says_what_was_tried(world):
    with pytest.raises(UserError) as caught:
        idx.load("mnist", "test", folder=world["given"])
    for part in (
        "t10k-images-idx3-ubyte of mnist",
        f"{world['given']}/mnist, {world['given']}/MNIST/raw, {world['given']}, ",
        str(world["checkout"] / "mnist"),
        str(world["cache"] / "mnist"),
        "https://ossci-datasets.s3.amazonaws.com/mnist/ (ConnectionError)",
        "https://storage.googleapis.com/cvdf-datasets/mnist/ (ConnectionError)",
        "set NEUROHIL_DATA",
    ):
        assert part in str(caught.value)


REPLACE = "; replace it, or set NEUROHIL_DATA"


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (gzip.compress(IMAGES, mtime=0)[:-9], ".gz", "can't be read: Compressed file ended before"),
        (b"<html>not found</html>", ".gz", "can't be read: Not a gzipped file"),
        (
            gzip.compress(IMAGES, mtime=0)[:30] + b"\x00\x00" + gzip.compress(IMAGES, mtime=0)[32:],
            ".gz",
            "can't be read: ",
        ),
        (IMAGES[:-1] + b"\x00", "", "is not the published t10k-images-idx3-ubyte of mnist: SHA-256 of its content is"),
    ],
)
def test_damaged_files_are_named(world, content, suffix, message):
    put(world["given"], packed=bool(suffix))
    (world["given"] / f"{NAMES[0]}{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        idx.load("mnist", "test", folder=world["given"])
    assert f"{NAMES[0]}{suffix}" in str(caught.value) and REPLACE in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x0d\x03" + IMAGES[4:], "is no idx file of unsigned bytes: it starts with 0x00000d03"),
        (IMAGES[:9], "is no idx file of unsigned bytes"),
        (b"", "is no idx file of unsigned bytes: it starts with 0x,"),
        (IMAGES[:-1], "has 7 values, but its header says 2 x 2 x 2"),
        (IMAGES + b"\x00", "has 9 values, but its header says 2 x 2 x 2"),
    ],
)
def test_wrong_format_is_named(tmp_path, content, message):
    """Behind the sum, for files whose sum is known but that are no images of bytes."""
    with pytest.raises(UserError, match=message):
        idx._parse(content, tmp_path / "file")


def test_wrong_names_are_refused():
    with pytest.raises(UserError, match="there is no data set 'emnist'; choose one of mnist, fashion_mnist"):
        idx.load("emnist", "test")
    with pytest.raises(UserError, match="there is no split 'dev'; choose one of train, test"):
        idx.load("mnist", "dev")
