"""Clips of audio: read from wav files, brought to one length, put together in batches."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError

Samples = NDArray[np.float32]

_FULL_SCALE = np.float32(32768)


class Clip(NamedTuple):
    """Samples (n,) float32, -1 ... below 1 of full scale, one channel, and the number of their class."""

    samples: Samples
    label: int


def read_wav(path: Path, rate_hz: int) -> Samples:
    """Samples (n,) float32, -1 ... below 1, of a 16-bit wav file with one channel.

    Raises
    ------
    UserError
        The file can't be read, is cut short or empty, or has another rate, format or number of channels.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # notes of programs, no samples
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            rate, samples = wavfile.read(path)
    # The last three: what scipy does with a damaged header.
    except (
        *(OSError, ValueError, EOFError, struct.error, wavfile.WavFileWarning),
        *(NameError, ZeroDivisionError, MemoryError),
    ) as error:
        raise UserError(f"{path} is no whole wav file: {error}; replace it by the published one") from error
    if rate != rate_hz:
        raise UserError(f"{path} has {rate} samples per second, expected {rate_hz}; replace it by the published one")
    if samples.dtype != np.int16 or samples.ndim != 1 or not len(samples):
        raise UserError(
            f"{path} holds {samples.dtype} {samples.shape}; expected 16-bit samples of one channel, at least one; "
            "replace it by the published one"
        )
    return samples.astype(np.float32) / _FULL_SCALE


def fixed_length(samples: Samples, length: int) -> Samples:
    """The first `length` samples (length,), zeros after the last one.

    Raises
    ------
    UserError
        The length is below 1.
    """
    if length < 1:
        raise UserError(f"length = {length} samples must be at least 1")
    kept = samples[:length]
    return np.pad(kept, (0, length - len(kept)))


def batches(clips: Iterable[Clip], length: int, size: int) -> Iterator[tuple[Samples, NDArray[np.int64]]]:
    """Samples (b, length) float32 and labels (b,) int64 of `size` clips at a time; the last batch may be smaller.

    Clips are read as they are needed, and cut or padded with zeros at the end.

    Raises
    ------
    UserError
        The length or the size is below 1.
    """
    if size < 1:
        raise UserError(f"batch size = {size} must be at least 1")
    samples: list[Samples] = []
    labels: list[int] = []
    for clip in clips:
        samples.append(fixed_length(clip.samples, length))
        labels.append(clip.label)
        if len(samples) == size:
            yield np.stack(samples), np.array(labels, dtype=np.int64)
            samples, labels = [], []
    if samples:
        yield np.stack(samples), np.array(labels, dtype=np.int64)
