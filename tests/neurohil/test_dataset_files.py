"""Where official files are looked for, what a checksum is, what becomes of an archive, what is said if one fails."""

import hashlib
import io
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from neurohil.datasets import files
from neurohil.errors import UserError

CONTENT = b"a published file"
ARCHIVE = files.Source("some_set", "some.tar.gz", "https://example.org/some.tar.gz", size="1 MB")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty checkout and cache."""
    monkeypatch.delenv("NEUROHIL_DATA", raising=False)
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


def put_archive(path, names, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sha256(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("where", ["given/some_set", "given", "checkout/some_set", "cache/some_set"])
def test_each_place_is_searched_in_order(world, where):
    order = ["given/some_set", "given", "checkout/some_set", "cache/some_set"]
    for place in order[order.index(where) :]:
        (world / place).mkdir(parents=True, exist_ok=True)
        (world / place / "some.tar.gz").touch()
    assert files.find(ARCHIVE, world / "given") == world / where / "some.tar.gz"


def test_environment_names_the_folder_unless_one_is_given(world, monkeypatch):
    monkeypatch.setenv("NEUROHIL_DATA", str(world / "named"))
    assert files.places(ARCHIVE, None)[:2] == [world / "named" / "some_set", world / "named"]
    assert files.places(ARCHIVE, world / "given")[:2] == [world / "given" / "some_set", world / "given"]


def test_folders_of_other_programs_are_searched(world, monkeypatch):
    monkeypatch.setenv("HOME", str(world))
    source = ARCHIVE._replace(elsewhere="SomeSet")
    (world / "given" / "SomeSet" / "top").mkdir(parents=True)
    assert files.unpacked(source, "top", "~/given") == world / "given" / "SomeSet" / "top"
    with pytest.raises(UserError, match=r"in none of .*/given/some_set, .*/given, .*/given/SomeSet, .*/checkout"):
        files.find(source, "~/given")


def test_a_home_that_is_not_there_is_named(world, monkeypatch):
    monkeypatch.setenv("NEUROHIL_DATA", "~nobody-of-this-name/data")
    with pytest.raises(UserError, match="data folder '~nobody-of-this-name/data' isn't there"):
        files.find(ARCHIVE)


def test_damaged_arrays_are_named(tmp_path):
    """Cut anywhere, and one bit wrong anywhere in the header: the array, or one error."""
    path = tmp_path / "values.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    whole = path.read_bytes()
    damaged = [whole[:k] for k in range(len(whole))]
    for k in range(8 * 128):
        flipped = bytearray(whole)
        flipped[k // 8] ^= 1 << k % 8
        damaged.append(bytes(flipped))
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about headers that Python 2 wrote
        for content in damaged:
            path.write_bytes(content)
            try:
                assert isinstance(files.read_npy(path, "replace it"), np.ndarray)
            except UserError as error:
                assert str(error).startswith(f"{path} ") and str(error).endswith("; replace it")
                refused += 1
    assert refused > len(whole)
    np.savez(tmp_path / "two.npy.npz", a=1)
    with pytest.raises(UserError, match="holds several arrays, expected one"):
        files.read_npy(tmp_path / "two.npy.npz", "replace it")


def test_missing_file_says_name_source_size_checksum_and_places(world):
    with pytest.raises(UserError) as caught:
        files.find(ARCHIVE._replace(checksum="md5:" + 32 * "0"), world / "given")
    assert str(caught.value) == (
        f"some.tar.gz of some_set is in none of {world}/given/some_set, {world}/given, {world}/checkout/some_set, "
        f"{world}/cache/some_set; download it from https://example.org/some.tar.gz (1 MB), checksum "
        f"md5:{32 * '0'}, and put it into a folder to which NEUROHIL_DATA is set"
    )
    with pytest.raises(
        UserError, match=r"some.tar.gz \(or top/, unpacked\) of some_set .* checksum not published, and"
    ):
        files.unpacked(ARCHIVE, "top")


def test_checksums_are_those_of_the_standards(tmp_path):
    """Sums of "abc": RFC 1321, FIPS 180-4."""
    (tmp_path / "ab").write_bytes(b"ab")
    (tmp_path / "c").write_bytes(b"c")
    both = [tmp_path / "ab", tmp_path / "c"]
    files.verify(both, "md5:900150983cd24fb0d6963f7d28e17f72")
    files.verify(both, "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD")
    files.verify(both, "")
    with pytest.raises(UserError, match=r"c is not as published: md5 is 9001.*, expected 0000.*; download it again"):
        files.verify(both, "md5:" + 32 * "0")
    with pytest.raises(UserError, match="both files is not as published"):
        files.verify(both, "md5:" + 32 * "0", what="both files")
    with pytest.raises(UserError, match="nowhere can't be read: No such file"):
        files.verify([tmp_path / "nowhere"], "md5:" + 32 * "0")


@pytest.mark.parametrize(
    "checksum", ["900150983cd24fb0d6963f7d28e17f72", "md5:9001", "sha1:" + 40 * "0", "md5:" + 32 * "g"]
)
def test_a_malformed_checksum_is_refused(tmp_path, checksum):
    with pytest.raises(UserError, match="is none; write 'md5:' and 32 or 'sha256:' and 64 hexadecimal digits"):
        files.verify([], checksum)


@pytest.mark.parametrize(
    "names", [["top/a.txt", "top/deep/b.txt"], ["a.txt", "deep/b.txt"], ["./a.txt", "./deep/b.txt"]]
)
def test_archive_is_checked_and_unpacked_once(world, names):
    path = world / "given" / "some.tar.gz"
    put_archive(path, names)
    source = ARCHIVE._replace(checksum=sha256(path))
    root = files.unpacked(source, "top", world / "given")
    assert root == world / "cache" / "some_set" / "top"
    assert (root / "a.txt").read_bytes() == (root / "deep" / "b.txt").read_bytes() == CONTENT
    assert [place.name for place in root.parent.iterdir()] == ["top"], "leftovers"
    path.write_bytes(b"")  # not read again
    assert files.unpacked(source, "top", world / "given") == root


def test_a_folder_that_the_user_unpacked_goes_first(world):
    put_archive(world / "given" / "some.tar.gz", ["top/a.txt"])
    (world / "given" / "some_set" / "top").mkdir(parents=True)
    assert files.unpacked(ARCHIVE, "top", world / "given") == world / "given" / "some_set" / "top"


def test_another_archive_is_not_unpacked(world):
    path = world / "given" / "some.tar.gz"
    put_archive(path, ["top/a.txt"])
    right = sha256(path)
    with pytest.raises(UserError, match=r"some\.tar\.gz is not as published: sha256 is "):
        files.unpacked(ARCHIVE._replace(checksum="sha256:" + 64 * "0"), "top", world / "given")
    with pytest.raises(UserError, match=r"some\.tar\.gz is not as published: md5 is "):
        files.unpacked(ARCHIVE._replace(checksum=right), "top", world / "given", checksum="md5:" + 32 * "0")
    assert not (world / "cache").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "outside"])
def test_a_damaged_archive_leaves_nothing(world, damage):
    path = world / "given" / "some.tar.gz"
    put_archive(path, ["top/a.txt", "../outside.txt"] if damage == "outside" else ["top/a.txt"], bytes(range(256)) * 40)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-60])
    if damage == "text":
        path.write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"some\.tar\.gz can't be unpacked into .*; download it again, or make room"):
        files.unpacked(ARCHIVE, "top", world / "given")
    assert list((world / "cache" / "some_set").iterdir()) == []
    assert not (world / "cache" / "outside.txt").exists()


@pytest.mark.parametrize("home", ["a message", "~"])
def test_a_user_without_a_home_is_told_where_to_put_files(home, tmp_path, monkeypatch):
    """platformdirs raises, or hands back a folder "~" in the working directory, depending on its version."""

    def os_cache(name):
        if home == "~":
            return Path("~/.cache") / name
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("pooch.os_cache", os_cache)
    monkeypatch.chdir(tmp_path)
    assert files.cache_folder() is None
    assert all(place.is_absolute() for place in files.places(files.Source("spoken_digits", "recordings", ""), None))
    with pytest.raises(UserError, match=r"no home .* XDG_CACHE_HOME .* NEUROHIL_DATA"):
        files.own_folder("spoken_digits", files.cache_folder())
    assert list(tmp_path.iterdir()) == []
