"""Free spoken digits: the official split on tiny files, and one clear error for each thing that can be wrong."""

import hashlib

import numpy as np
import pytest
from scipy.io import wavfile

from neurohil.datasets import audio, files
from neurohil.datasets import spoken_digits as digits
from neurohil.errors import UserError

SPEAKERS = ("ann", "bob", "cleo", "dan", "eve", "fay")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """All 3000 names; the samples of a file tell its digit, speaker and number."""
    root = tmp_path_factory.mktemp("fsdd") / "recordings"
    root.mkdir()
    for digit in range(10):
        for s, speaker in enumerate(SPEAKERS):
            for k in range(50):
                samples = np.array([digit, s, k] + [0] * digit, dtype=np.int16)
                wavfile.write(root / f"{digit}_{speaker}_{k}.wav", 8000, samples)
    return root


@pytest.fixture
def folder(published, tmp_path):
    """A copy without the bytes: links that a test may remove."""
    root = tmp_path / "spoken_digits" / "recordings"
    root.mkdir(parents=True)
    for path in published.iterdir():
        (root / path.name).symlink_to(path)
    return tmp_path


def test_test_set_is_recordings_0_to_4_of_each(published):
    clips = {split: list(digits.load(split, published.parent)) for split in ("train", "test")}
    assert len(clips["train"]) == 2700 and len(clips["test"]) == 300
    for split, numbers in (("train", range(5, 50)), ("test", range(5))):
        told = [tuple((clip.samples[:3] * 32768).astype(int)) for clip in clips[split]]
        assert told == [(digit, s, k) for digit in range(10) for s in range(6) for k in numbers]
        assert [clip.label for clip in clips[split]] == [digit for digit, _, _ in told]
    assert len(clips["test"][-1].samples) == 12, "lengths as recorded"


def test_batches_have_one_length(published):
    (samples, labels), *_ = audio.batches(digits.load("test", published.parent), length=8000, size=100)
    assert samples.shape == (100, 8000) and np.bincount(labels).tolist() == [30, 30, 30, 10]


def test_a_checksum_of_all_files_can_be_asked_for(published):
    content = b"".join(
        (published / f"{digit}_{speaker}_{k}.wav").read_bytes()
        for digit in range(10)
        for speaker in SPEAKERS
        for k in range(50)
    )
    digits.paths("test", published.parent, checksum=f"sha256:{hashlib.sha256(content).hexdigest()}")
    with pytest.raises(UserError, match=r"recordings is not as published: md5 is .*; download it again"):
        digits.paths("test", published.parent, checksum="md5:" + 32 * "0")


def test_missing_files_are_described(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(UserError) as caught:
        digits.load("test", tmp_path / "nowhere")
    for part in (
        f"recordings of spoken_digits is in none of {tmp_path}/nowhere/spoken_digits, {tmp_path}/nowhere, {tmp_path}/",
        "download it from https://github.com/Jakobovski/free-spoken-digit-dataset (3000 wav files, about 21 MB)",
        "checksum not published",
    ):
        assert part in str(caught.value)


def test_incomplete_folders_are_named(folder):
    root = folder / "spoken_digits" / "recordings"
    (root / "7_eve_49.wav").rename(root / "7_eve_50.wav")
    with pytest.raises(UserError, match=r"recordings has no 7_eve_49\.wav; take the folder of https"):
        digits.paths("test", folder)
    (root / "7_eve_50.wav").rename(root / "7_eve_49.wav")
    (root / "0_ann_50.wav").symlink_to(root / "7_eve_49.wav")
    with pytest.raises(UserError, match=r"has more than the published files, such as 0_ann_50\.wav"):
        digits.paths("test", folder)
    (root / "0_ann_50.wav").rename(root / "0_gus_0.wav")
    with pytest.raises(UserError, match=r"has 7 speakers \(ann, .*, gus\), expected 6; take the folder of .* 26eb9aa"):
        digits.paths("test", folder)
    (root / "0_gus_0.wav").rename(root / "seven.wav")
    with pytest.raises(UserError, match=r"seven\.wav: expected names like 7_speaker_0\.wav; remove it"):
        digits.paths("test", folder)


def test_an_empty_folder_and_another_rate_are_named(folder):
    root = folder / "spoken_digits" / "recordings"
    (root / "0_ann_0.wav").unlink()
    wavfile.write(root / "0_ann_0.wav", 16000, np.zeros(4, np.int16))
    with pytest.raises(UserError, match=r"0_ann_0\.wav has 16000 samples per second, expected 8000"):
        next(digits.load("test", folder))
    (folder / "empty" / "recordings").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has 0 speakers \(none\), expected 6"):
        digits.paths("test", folder / "empty")


def test_wrong_splits_are_refused():
    with pytest.raises(UserError, match="there is no split 'validation'; choose one of train, test"):
        digits.load("validation")
