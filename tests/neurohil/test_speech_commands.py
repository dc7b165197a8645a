"""Speech commands: the official split on tiny files, and one clear error for each thing that can be wrong."""

import hashlib
import tarfile

import numpy as np
import pytest
from scipy.io import wavfile

from neurohil.datasets import files
from neurohil.datasets import speech_commands as commands
from neurohil.errors import UserError


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Three clips of each of the 35 words, one of them for validation, one for test; an empty cache."""
    monkeypatch.delenv("NEUROHIL_DATA", raising=False)
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(commands, "CLIPS", {"train": 35, "validation": 35, "test": 35})
    root = tmp_path / "data" / "speech_commands_v0.02"
    for label, word in enumerate(commands.WORDS):
        (root / word).mkdir(parents=True)
        for k in range(3):
            samples = np.full(16_000 + 1000 * (k - 1), 100 * label + k, dtype=np.int16)
            wavfile.write(root / word / f"0a1b2c3d_nohash_{k}.wav", 16_000, samples)
    (root / "_background_noise_").mkdir()
    (root / "_background_noise_" / "pink_noise.wav").write_bytes(b"")
    reverse = commands.WORDS[::-1]  # the lists have an order of their own
    (root / "validation_list.txt").write_text("".join(f"{word}/0a1b2c3d_nohash_1.wav\n" for word in reverse))
    (root / "testing_list.txt").write_text("".join(f"{word}/0a1b2c3d_nohash_2.wav\n" for word in reverse))
    return tmp_path


def test_words_and_numbers_are_the_published_ones():
    """105 829 clips of 35 words (arXiv 1804.03209, table of counts)."""
    assert len(commands.WORDS) == len(set(commands.WORDS)) == 35
    assert list(commands.WORDS) == sorted(commands.WORDS)
    assert set("zero one two three four five six seven eight nine".split()) < set(commands.WORDS)
    assert set("yes no up down left right on off stop go".split()) < set(commands.WORDS)
    assert sum(commands.CLIPS.values()) == 105_829


@pytest.mark.parametrize(("split", "k", "words"), [("train", 0, 1), ("validation", 1, -1), ("test", 2, -1)])
def test_split_is_that_of_the_lists(world, split, k, words):
    clips = list(commands.load(split, world / "data"))
    assert [clip.label for clip in clips] == list(range(35))[::words]
    for clip in clips:
        assert clip.samples.shape == (16_000,) and clip.samples.dtype == np.float32
        spoken = 16_000 + 1000 * min(k - 1, 0)
        np.testing.assert_array_equal(clip.samples[:spoken] * 32768, 100 * clip.label + k)
        assert not clip.samples[spoken:].any()


def test_clips_are_read_when_they_are_needed(world):
    path = commands.paths("test", world / "data")[1]
    path.write_bytes(b"")
    clips = commands.load("test", world / "data")
    assert next(clips).label == 34
    with pytest.raises(UserError, match=rf"{path} is no whole wav file"):
        next(clips)


def test_archive_is_checked_and_unpacked(world, monkeypatch):
    archive = world / "given" / "speech_commands_v0.02.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(world / "data" / "speech_commands_v0.02", ".")  # the official one has no folder at its top either
    with pytest.raises(UserError, match=r"v0\.02\.tar\.gz is not as published: sha256 is .*, expected af14739ee7dc"):
        commands.paths("test", archive.parent)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(commands, "ARCHIVE", commands.ARCHIVE._replace(checksum=f"sha256:{digest}"))
    paths = commands.paths("test", archive.parent)
    assert len(paths) == 35 and world / "cache" in paths[0].parents


def test_missing_files_are_described(world):
    with pytest.raises(UserError) as caught:
        commands.load("test", world / "nowhere")
    for part in (
        "speech_commands_v0.02.tar.gz (or speech_commands_v0.02/, unpacked) of speech_commands is in none of",
        f"{world}/nowhere/speech_commands, {world}/nowhere, {world}/nowhere/SpeechCommands, {world}/checkout/",
        "download it from http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz (about 2.4 GB)",
        "checksum sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        "NEUROHIL_DATA",
    ):
        assert part in str(caught.value)


def test_incomplete_folders_are_named(world):
    root = world / "data" / "speech_commands_v0.02"
    clip = root / "bed" / "0a1b2c3d_nohash_0.wav"
    clip.rename(root / "bed" / "else.wav")
    with pytest.raises(UserError, match=r"has 34 clips of the split train, expected 35; unpack speech_commands_v0\.02"):
        commands.load("train", world / "data")
    (root / "bed" / "0a1b2c3d_nohash_2.wav").unlink()
    with pytest.raises(UserError, match=r"testing_list\.txt lists bed/0a1b2c3d_nohash_2\.wav, which isn't there"):
        commands.load("train", world / "data")
    (root / "testing_list.txt").unlink()
    with pytest.raises(UserError, match=r"testing_list\.txt can't be read: .*; unpack"):
        commands.load("train", world / "data")
    (root / "bed").rename(root / "sofa")
    with pytest.raises(UserError, match="lacks the folders of bed; unpack"):
        commands.load("train", world / "data")


def test_wrong_splits_are_refused():
    with pytest.raises(UserError, match="there is no split 'dev'; choose one of train, validation, test"):
        commands.load("dev")
