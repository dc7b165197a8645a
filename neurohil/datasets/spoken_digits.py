"""Free spoken digits (FSDD): ten digits, six speakers, fifty recordings each, at 8 kHz, read from the official files.

Z. Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset, commit 26eb9aa; CC BY-SA 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from neurohil.datasets.audio import Clip, read_wav
from neurohil.datasets.files import Source, find, verify
from neurohil.errors import UserError

SAMPLE_RATE_HZ = 8_000
DIGITS, SPEAKERS, REPEATS = 10, 6, 50
TEST_REPEATS = 5

SOURCE = Source(
    "spoken_digits",
    "recordings",
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
    size=f"{DIGITS * SPEAKERS * REPEATS} wav files, about 21 MB",
    elsewhere="free-spoken-digit-dataset",  # git clone
)
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


def load(split: str, folder: str | Path | None = None, checksum: str | None = None) -> Iterator[Clip]:
    """Clips of a split, in the order of `paths`, each read when it is needed.

    Parameters
    ----------
    split : {"train", "test"}
        2700 and 300 clips.
    folder : path, optional
        Takes the place of NEUROHIL_DATA. It has the folder recordings of the repository, or is in such a place.
    checksum : str, optional
        As in `paths`.

    Returns
    -------
    iterator of Clip
        samples (n,) float32 in -1 ... 1, 0.14 to 2.28 s long; label: the digit.
        `neurohil.datasets.audio.batches` brings them to one length.

    Raises
    ------
    UserError
        As `paths`; while reading, if a file is no 16-bit wav file of one channel at 8 kHz.
    """
    return (Clip(read_wav(path, SAMPLE_RATE_HZ), int(path.name[0])) for path in paths(split, folder, checksum))


def paths(split: str, folder: str | Path | None = None, checksum: str | None = None) -> list[Path]:
    """Files of a split, by digit, speaker, number: recordings 0 to 4 of each for test, 5 to 49 for training.

    No checksum is published, so the files are checked by their names: 0 to 49 of each digit and speaker.

    Parameters
    ----------
    split : {"train", "test"}
    folder : path, optional
    checksum : str, optional
        "sha256:..." or "md5:..." of all 3000 files, one after the other in this order.

    Raises
    ------
    UserError
        There is no such split; the files are nowhere, aren't all there, or have another checksum.
    """
    if split not in ("train", "test"):
        raise UserError(f"spoken_digits: there is no split {split!r}; choose one of train, test")
    root = find(SOURCE, folder)
    found = {}
    for path in root.glob("*.wav"):
        name = _NAME.fullmatch(path.name)
        if not name:
            raise UserError(f"{path}: expected names like 7_speaker_0.wav; remove it")
        found[int(name[1]), name[2], int(name[3])] = path
    speakers = sorted({speaker for _, speaker, _ in found})
    if len(speakers) != SPEAKERS:
        raise UserError(
            f"{root} has {len(speakers)} speakers ({', '.join(speakers) or 'none'}), expected {SPEAKERS}; "
            f"take the folder of {SOURCE.url} at commit 26eb9aa"
        )
    keys = [(digit, speaker, k) for digit in range(DIGITS) for speaker in speakers for k in range(REPEATS)]
    if set(keys) != set(found):
        digit, speaker, k = min(set(keys) ^ set(found))
        state = "more than the published files, such as" if (digit, speaker, k) in found else "no"
        raise UserError(f"{root} has {state} {digit}_{speaker}_{k}.wav; take the folder of {SOURCE.url} again")
    verify((found[key] for key in keys), checksum or "", what=str(root))
    return [found[key] for key in keys if (key[2] < TEST_REPEATS) == (split == "test")]
