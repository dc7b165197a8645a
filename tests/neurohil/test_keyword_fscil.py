"""Keyword FSCIL: lists, sessions and masks of the protocol on made lists; each thing that can be wrong is named."""

import builtins
import sys
import types
from collections import Counter

import numpy as np
import pytest

from neurohil.datasets import files
from neurohil.datasets import keyword_fscil as fscil
from neurohil.errors import UserError

BASE_LANGUAGES = ("en", "fr", "ca", "de", "rw")
HEADER = "LINK,WORD,LANGUAGE"


def put(path, words, each, language):
    """A list: the recordings of a word one after the other, words in no order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{word}/{language or word[:2]}_{k}.opus,{word},{language or word[:2]}" for word in words for k in range(each)
    ]
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("fscil")
    words = [f"{language}{k:02}é" for k in range(20) for language in BASE_LANGUAGES]
    for name, each in (("base_train", 500), ("base_val", 100), ("base_test", 100)):
        put(root / "MSWC" / f"{name}.csv", words, each, None)
    for language in fscil.LANGUAGES:
        words = [f"{language}слово{9 - k}" for k in range(10)]
        put(root / "MSWC" / language / "evaluation.csv", words, 200, language)
    return root


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("NEUROHIL_DATA", raising=False)
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "MSWC"


@pytest.mark.parametrize(("split", "each"), [("train", 500), ("validation", 100), ("test", 100)])
def test_base_has_100_words(folder, split, each):
    recordings = fscil.base(split, folder)
    assert Counter(recording.label for recording in recordings) == dict.fromkeys(range(100), each)
    assert len({(recording.label, recording.word) for recording in recordings}) == 100
    first = recordings[0]
    assert first.path == folder / "MSWC" / "en" / "clips" / "en00é" / "en_0.opus"
    assert (first.word, first.language) == ("en00é", "en")


def test_words_have_one_label_in_all_lists(folder):
    labels = {split: {r.word: r.label for r in fscil.base(split, folder)} for split in fscil.BASE_CLIPS}
    assert labels["train"] == labels["validation"] == labels["test"]
    ordered = sorted(labels["test"], key=labels["test"].__getitem__)
    assert ordered == sorted(ordered)


def test_sessions_follow_the_protocol(folder):
    """Ten sessions, 10-way 5-shot; support from the first 100 of a word, all of the last 100 as queries."""
    sessions = fscil.sessions(seed=3, folder=folder)
    assert sorted(session.language for session in sessions) == sorted(fscil.LANGUAGES)
    taught = np.arange(200) < 100
    for number, session in enumerate(sessions, start=1):
        first = 100 + 10 * fscil.LANGUAGES.index(session.language)
        new = list(range(first, first + 10))
        assert Counter(r.label for r in session.support) == dict.fromkeys(new, 5)
        assert len({r.path for r in session.support}) == 50, "drawn without replacement"
        assert all(int(r.path.stem.split("_")[1]) < 100 for r in session.support)
        taught[new] = True
        np.testing.assert_array_equal(session.seen, taught)
        assert Counter(r.label for r in session.query) == dict.fromkeys(np.flatnonzero(taught[100:]) + 100, 100)
        assert len(session.query) == 1000 * number
        assert all(int(r.path.stem.split("_")[1]) >= 100 for r in session.query)
        words = [r.word for r in session.support if r.language == session.language]
        assert sorted(set(words)) == list(dict.fromkeys(words)) and len(words) == 50


def test_sessions_depend_on_the_seed_alone(folder):
    first, again, other = (fscil.sessions(seed, folder=folder) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert a.language == b.language and a.support == b.support and a.query == b.query
    assert [a.language for a in first] != [b.language for b in other]


def test_number_of_shots(folder):
    assert len(fscil.sessions(seed=0, shots=100, folder=folder)[0].support) == 1000
    for shots in (0, 101):
        with pytest.raises(UserError, match=rf"shots = {shots} is outside 1\.\.100 recordings of a word"):
            fscil.sessions(seed=0, shots=shots, folder=folder)
    with pytest.raises(UserError, match="seed = -1 must be at least 0"):
        fscil.sessions(seed=-1, folder=folder)


def test_unseen_classes_are_never_predicted():
    scores = np.array([[1.0, 3.0, 2.0], [0.0, 5.0, -1.0]], dtype=np.float32)
    masked = fscil.mask_unseen(scores, np.array([True, False, True]))
    assert masked.argmax(axis=1).tolist() == [2, 0] and masked.dtype == np.float32
    with pytest.raises(UserError, match=r"scores has shape \(2, 3\); expected \(any, 2\)"):
        fscil.mask_unseen(scores, np.array([True, False]))
    with pytest.raises(UserError, match="seen is of type int64, not booleans"):
        fscil.mask_unseen(scores, np.array([1, 0, 1]))


def test_missing_files_are_described(root):
    with pytest.raises(UserError) as caught:
        fscil.base("test", root.parent)
    for part in (
        f"mswc_fscil.tar.gz (or MSWC/, unpacked) of keyword_fscil is in none of {root.parent}/keyword_fscil, ",
        "https://huggingface.co/datasets/NeuroBench/mswc_fscil_subset/resolve/main/mswc_fscil.tar.gz",
        "checksum not published",
    ):
        assert part in str(caught.value)
    (root.parent / "mswc_fscil.tar.gz").write_bytes(b"")
    for load in (
        lambda: fscil.base("test", root.parent, checksum="md5:" + 32 * "0"),
        lambda: fscil.sessions(1, folder=root.parent, checksum="md5:" + 32 * "0"),
    ):
        with pytest.raises(UserError, match=r"mswc_fscil\.tar\.gz is not as published: md5 is d41d8cd98f00b204e98009"):
            load()
    with pytest.raises(UserError, match="there is no split 'val'; choose one of train, validation, test"):
        fscil.base("val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"can't be read: .*; unpack mswc_fscil\.tar\.gz again"),
        ("", "expected a header with three columns, WORD the second"),
        ("a.opus,word,en\n", "expected a header with three columns, WORD the second"),
        (f"{HEADER}\na.opus,word\n", "line 2: expected path,word,language"),
        (f"{HEADER}\na.opus,word,en\n", "lists 1 words with 1 to 1 recordings each, expected 100 with 100"),
        (f"{HEADER}\n", "lists 0 words with 0 to 0 recordings each"),
    ],
)
def test_malformed_lists_are_named(root, text, message):
    root.mkdir()
    if text is not None:
        (root / "base_test.csv").write_text(text)
    with pytest.raises(UserError, match=rf"base_test\.csv[:,]? {message}"):
        fscil.base("test", root.parent)


def test_a_language_must_have_ten_words_of_200(root):
    for language in fscil.LANGUAGES:
        put(root / language / "evaluation.csv", [f"{language}{k}" for k in range(10)], 199, language)
    with pytest.raises(
        UserError, match=r"evaluation\.csv lists 10 words with 199 to 199 recordings each, expected 10 with 200"
    ):
        fscil.sessions(1, folder=root.parent)


RECORDING = fscil.Recording(None, 105, "word", "fa")


def decoder(samples, rate=48_000):
    """Stands for soundfile, whose errors are RuntimeErrors."""

    def read(path, dtype):
        if samples is None:
            raise RuntimeError("Error opening: File contains data in an unknown format.")
        return np.asarray(samples, dtype=dtype), rate

    return types.SimpleNamespace(read=read)


def test_clips_have_one_second(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "soundfile", decoder(np.full(40_000, 0.5)))
    (clip,) = fscil.decode([RECORDING._replace(path=tmp_path / "a.opus")])
    assert clip.label == 105 and clip.samples.dtype == np.float32 and clip.samples.shape == (48_000,)
    assert (clip.samples[:40_000] == 0.5).all() and not clip.samples[40_000:].any()


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (None, 48_000, r"can't be decoded: Error opening.*; unpack mswc_fscil\.tar\.gz again"),
        (np.zeros(9), 44_100, r"has 44100 samples per second, shape \(9,\); expected 48000, one channel"),
        (np.zeros((9, 2)), 48_000, r"has 48000 samples per second, shape \(9, 2\); expected 48000, one channel"),
        (np.zeros(0), 48_000, r"has 48000 samples per second, shape \(0,\); .* at least one sample"),
    ],
)
def test_malformed_recordings_are_named(monkeypatch, tmp_path, samples, rate, message):
    monkeypatch.setitem(sys.modules, "soundfile", decoder(samples, rate))
    with pytest.raises(UserError, match=rf"a\.opus {message}"):
        next(fscil.decode([RECORDING._replace(path=tmp_path / "a.opus")]))


def test_without_soundfile_the_remedy_is_named_at_once(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "soundfile":
            raise ModuleNotFoundError("No module named 'soundfile'")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        UserError, match=r"takes soundfile \(No module named 'soundfile'\); pip install 'neurohil\[audio\]'"
    ):
        fscil.decode([])


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_a_lower_rate_is_interpolated(monkeypatch, tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    monkeypatch.setitem(sys.modules, "soundfile", decoder(tone, rate))
    (clip,) = fscil.decode([RECORDING._replace(path=tmp_path / "a.opus")])
    assert clip.samples.shape == (48_000,) and clip.samples.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    np.testing.assert_allclose(clip.samples[200:-200], expected[200:-200], atol=0.01)


def test_real_opus(tmp_path):
    """A tone through the codec: the same length and pitch."""
    soundfile = pytest.importorskip("soundfile")
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(24_000) / 48_000)
    soundfile.write(tmp_path / "a.opus", tone, 48_000, format="OGG", subtype="OPUS")
    (clip,) = fscil.decode([RECORDING._replace(path=tmp_path / "a.opus")])
    spectrum = np.abs(np.fft.rfft(clip.samples[:24_000]))
    assert np.argmax(spectrum) == 500  # 2 Hz a line
    assert not clip.samples[24_000:].any()
