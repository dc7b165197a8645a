"""Keyword few-shot class-incremental learning (FSCIL): 200 spoken words in 15 languages, and NeuroBench's sessions.

M. Mazumder and others, Multilingual Spoken Words Corpus (NeurIPS 2021); the subset of NeuroBench (J. Yik et al., Nature
Communications 16:1545, 2025): 100 words to train on, then ten sessions of ten new words in one more language each, five
recordings of a word to learn from. Protocol: official harness 2.3.0.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.datasets.audio import Clip, Samples, fixed_length
from neurohil.datasets.files import Source, unpacked
from neurohil.errors import UserError
from neurohil.seeds import stream

SAMPLE_RATE_HZ = 48_000
LANGUAGES = ("fa", "eo", "pt", "eu", "pl", "cy", "nl", "ru", "es", "it")
BASE_CLASSES, WAYS, SHOTS = 100, 10, 5
CLASSES = BASE_CLASSES + WAYS * len(LANGUAGES)
BASE_CLIPS = {"train": 500, "validation": 100, "test": 100}
SUPPORT_POOL = QUERY_POOL = 100

ARCHIVE = Source(
    "keyword_fscil",
    "mswc_fscil.tar.gz",
    "https://huggingface.co/datasets/NeuroBench/mswc_fscil_subset/resolve/main/mswc_fscil.tar.gz",
)
_LISTS = {"train": "base_train.csv", "validation": "base_val.csv", "test": "base_test.csv"}


class Recording(NamedTuple):
    """A file of one spoken word: opus, 48 kHz, at most one second."""

    path: Path
    label: int
    word: str
    language: str


class Session(NamedTuple):
    """A session of the protocol.

    Attributes
    ----------
    language : str
    support : list of Recording
        Of the ten new words, `shots` each: to learn from.
    query : list of Recording
        All queries of this session and of the earlier ones: tested together with the test recordings of `base`.
    seen : ndarray, shape (200,), bool
        Classes that were taught so far; `mask_unseen` keeps predictions to them.
    """

    language: str
    support: list[Recording]
    query: list[Recording]
    seen: NDArray[np.bool_]


def base(split: str, folder: str | Path | None = None, checksum: str | None = None) -> list[Recording]:
    """Recordings of the 100 words to train on beforehand, in the order of the official list.

    No checksum is published, so the lists are checked: 100 words, with 500, 100 and 100 recordings each.

    Labels 0..99 number the words by language and alphabet; the harness numbers the same words in another order.

    Parameters
    ----------
    split : {"train", "validation", "test"}
    folder : path, optional
        Takes the place of NEUROHIL_DATA. It has mswc_fscil.tar.gz, or the folder MSWC.
    checksum : str, optional
        "sha256:..." or "md5:..." of the archive, compared when it is unpacked.

    Raises
    ------
    UserError
        There is no such split; the files are nowhere, or not as published.
    """
    if split not in BASE_CLIPS:
        raise UserError(f"keyword_fscil: there is no split {split!r}; choose one of {', '.join(BASE_CLIPS)}")
    root = unpacked(ARCHIVE, "MSWC", folder, checksum)
    return _listed(root, root / _LISTS[split], BASE_CLASSES, BASE_CLIPS[split], 0)


def sessions(
    seed: int, shots: int = SHOTS, folder: str | Path | None = None, checksum: str | None = None
) -> list[Session]:
    """Ten sessions, one language each in random order.

    Of the 200 recordings of a word, in the order of the official list, the first 100 are its support pool, from which
    `shots` are drawn, and the last 100 its queries, which are all used. The harness draws from generators without a
    seed, so its draws can't be repeated; ours depend on the seed alone.

    Labels: 100 + 10 i ... 109 + 10 i for the i-th of `LANGUAGES`, alphabetical, whatever the order of the sessions.

    Parameters
    ----------
    seed : int
        At least 0.
    shots : int
        1..100; 5 in the benchmark.
    folder, checksum : as in `base`

    Raises
    ------
    UserError
        A number is out of range; the files are nowhere, or not as published: ten words with 200 recordings each.
    """
    if not 1 <= shots <= SUPPORT_POOL:
        raise UserError(f"shots = {shots} is outside 1..{SUPPORT_POOL} recordings of a word")
    if seed < 0:
        raise UserError(f"seed = {seed} must be at least 0")
    root = unpacked(ARCHIVE, "MSWC", folder, checksum)
    random = stream(seed, "keyword_fscil.sessions")
    seen = np.arange(CLASSES) < BASE_CLASSES
    query: list[Recording] = []
    result = []
    for i in random.permutation(len(LANGUAGES)):
        language, first = LANGUAGES[i], BASE_CLASSES + WAYS * int(i)
        listed = _listed(root, root / language / "evaluation.csv", WAYS, SUPPORT_POOL + QUERY_POOL, first)
        support = []
        for label in range(first, first + WAYS):
            of_word = [recording for recording in listed if recording.label == label]
            drawn = random.choice(SUPPORT_POOL, shots, replace=False)
            support += [of_word[k] for k in drawn]
            query = query + of_word[SUPPORT_POOL:]
        seen = seen.copy()
        seen[first : first + WAYS] = True
        result.append(Session(language, support, query, seen))
    return result


def mask_unseen(scores: NDArray[np.floating], seen: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Scores (n, 200) with -inf for the classes that were not taught yet: seen (200,) is false for them.

    Raises
    ------
    UserError
        The shapes or types don't fit, or a score is NaN.
    """
    seen = arrays.booleans("seen", seen, (None,))
    scores = arrays.floats("scores", scores, (None, len(seen)), finite=False, single=True)
    return np.where(seen, scores, -np.inf)


def decode(recordings: Iterable[Recording]) -> Iterator[Clip]:
    """Clips of the recordings, each read when it is needed: samples (48000,) float32, zeros after a shorter one.

    Needs the package soundfile: pip install 'neurohil[audio]'. It decodes at the rate that the file names as that of
    its input; a lower one than 48 kHz is interpolated.

    Raises
    ------
    UserError
        soundfile is missing; while reading, if a file can't be read, has a rate that 48 kHz is no multiple of, or
        more than one channel.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its library isn't
        raise UserError(
            f"keyword_fscil: the recordings are opus files, to decode them takes soundfile ({error}); "
            "pip install 'neurohil[audio]'"
        ) from error

    from scipy.signal import resample_poly

    def samples(path: Path) -> Samples:
        try:
            values, rate = soundfile.read(path, dtype="float32")
        except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
            raise UserError(f"{path} can't be decoded: {error}; unpack {ARCHIVE.name} again") from error
        if SAMPLE_RATE_HZ % rate or values.ndim != 1 or not len(values):
            raise UserError(
                f"{path} has {rate} samples per second, shape {values.shape}; expected {SAMPLE_RATE_HZ}, one channel, "
                f"at least one sample; unpack {ARCHIVE.name} again"
            )
        if rate < SAMPLE_RATE_HZ:
            values = resample_poly(values, SAMPLE_RATE_HZ // rate, 1).astype(np.float32)
        return fixed_length(values, SAMPLE_RATE_HZ)

    return (Clip(samples(recording.path), recording.label) for recording in recordings)


def _listed(root: Path, path: Path, n_words: int, each: int, first_label: int) -> list[Recording]:
    """Recordings of a list with a header and the columns path, word, language."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} can't be read: {error}; unpack {ARCHIVE.name} again") from error
    if not lines or len(lines[0]) != 3 or lines[0][1] != "WORD":
        raise UserError(f"{path}: expected a header with three columns, WORD the second; unpack {ARCHIVE.name} again")
    wrong = next((number for number, line in enumerate(lines, start=1) if len(line) != 3), None)
    if wrong:
        raise UserError(f"{path}, line {wrong}: expected path,word,language; unpack {ARCHIVE.name} again")
    counts = Counter((language, word) for _, word, language in lines[1:])
    if len(counts) != n_words or set(counts.values()) != {each}:
        found = f"{len(counts)} words with {min(counts.values(), default=0)} to {max(counts.values(), default=0)}"
        raise UserError(
            f"{path} lists {found} recordings each, expected {n_words} with {each}; unpack {ARCHIVE.name} again"
        )
    labels = {key: first_label + k for k, key in enumerate(sorted(counts))}
    clips = {language: root / language / "clips" for language, _ in counts}
    return [
        Recording(clips[language] / name, labels[language, word], word, language) for name, word, language in lines[1:]
    ]
