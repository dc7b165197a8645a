"""Google Speech Commands v0.02: 35 spoken words, one second at 16 kHz, read from the official files.

P. Warden, arXiv 1804.03209 (2018); CC BY 4.0. Split by the lists in the archive, as NeuroBench and torchaudio do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurohil.datasets.audio import Clip, fixed_length, read_wav
from neurohil.datasets.files import Source, unpacked
from neurohil.errors import UserError

SAMPLE_RATE_HZ = 16_000
WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go"),
    *("happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven"),
    *("sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)
# The sum, 105 829, is in the paper; how it splits is common knowledge, not verified with the official files.
CLIPS = {"train": 84_843, "validation": 9_981, "test": 11_005}

# The sum is the one in torchaudio 2.11.
ARCHIVE = Source(
    "speech_commands",
    "speech_commands_v0.02.tar.gz",
    "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    "about 2.4 GB",
    elsewhere="SpeechCommands",  # torchaudio
)
FOLDER = "speech_commands_v0.02"

_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def load(split: str, folder: str | Path | None = None) -> Iterator[Clip]:
    """Clips of a split, in the order of `paths`, each read when it is needed.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        84 843, 9981 and 11 005 clips.
    folder : path, optional
        Takes the place of NEUROHIL_DATA. It has the archive, or the folder speech_commands_v0.02.

    Returns
    -------
    iterator of Clip
        samples (16000,) float32 in -1 ... 1: shorter ones have zeros at their end, as in NeuroBench's loader.
        label: index in `WORDS`, which is alphabetical.

    Raises
    ------
    UserError
        As `paths`; while reading, if a file is no 16-bit wav file of one channel at 16 kHz.
    """
    return (
        Clip(fixed_length(read_wav(path, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ), WORDS.index(path.parent.name))
        for path in paths(split, folder)
    )


def paths(split: str, folder: str | Path | None = None) -> list[Path]:
    """Files of a split: test and validation in the order of their lists, the others, sorted by name, for training.

    An archive is checked by its SHA-256 and unpacked into the user's cache folder (once); an unpacked folder is
    checked for its 35 words, for every listed file, and for the number of clips in each split.

    Raises
    ------
    UserError
        There is no such split; the files are nowhere, aren't the published ones, or aren't all there.
    """
    if split not in CLIPS:
        raise UserError(f"speech_commands: there is no split {split!r}; choose one of {', '.join(CLIPS)}")
    root = unpacked(ARCHIVE, FOLDER, folder)
    absent = [word for word in WORDS if not (root / word).is_dir()]
    if absent:
        raise UserError(f"{root} lacks the folders of {', '.join(absent)}; unpack {ARCHIVE.name} again")
    # Names of the background noise and of other files have no "_nohash_".
    clips = {f"{word}/{path.name}" for word in WORDS for path in (root / word).glob("*_nohash_*.wav")}
    lists = {part: _listed(root / name, clips) for part, name in _LISTS.items()}
    chosen = lists[split] if split in lists else sorted(clips.difference(*lists.values()))
    if len(chosen) != CLIPS[split]:
        raise UserError(
            f"{root} has {len(chosen)} clips of the split {split}, expected {CLIPS[split]}; unpack {ARCHIVE.name} again"
        )
    return [root / name for name in chosen]


def _listed(path: Path, clips: set[str]) -> list[str]:
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}; unpack {ARCHIVE.name} again") from error
    absent = next((name for name in names if name not in clips), None)
    if absent is not None:
        raise UserError(f"{path} lists {absent}, which isn't there; unpack {ARCHIVE.name} again")
    return names
