"""DVS gesture: eleven gestures of 29 people before a 128 x 128 event camera, read from the official files.

A. Amir and others, CVPR (2017). There are two publications: the recordings of the authors (AEDAT 3.1 with labels in csv
files), and one file per gesture, times rounded to milliseconds, made by the authors of tonic, which NeuroBench uses.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.datasets.files import Source, read_npy, unpacked
from neurohil.errors import UserError

SENSOR_SIZE = 128
CLASSES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise"),
    *("left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures"),
)
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])

# The sums are those in tonic 1.7.0.
ARCHIVES = {
    "train": Source(
        "dvs_gesture",
        "ibmGestureTrain.tar.gz",
        "https://figshare.com/ndownloader/files/38022171",
        "md5:3a8f0d4120a166bac7591f77409cb105",
        elsewhere="DVSGesture",  # tonic
    ),
    "test": Source(
        "dvs_gesture",
        "ibmGestureTest.tar.gz",
        "https://figshare.com/ndownloader/files/38020584",
        "md5:56070e45dadaa85fff82e0fbfbc06de5",
        elsewhere="DVSGesture",
    ),
}
RECORDINGS = Source("dvs_gesture", "DvsGesture.tar.gz", "https://research.ibm.com/interactive/dvsgesture/")

_HEADER_END = b"#!END-HEADER\r\n"
_PACKET = np.dtype(
    [
        *((name, "<i2") for name in ("type", "source")),
        *((name, "<i4") for name in ("size", "offset", "overflow", "capacity", "number", "valid")),
    ]
)
_POLARITY = 1
_LATEST_MS = (1 << 31) - 1  # 24 days


class Gesture(NamedTuple):
    """Events (n,) of dtype `EVENT`, by time: x, y in pixels, t in us, p true where it got brighter; index in CLASSES.

    subject: number of the person, light: such as "fluorescent_led".
    """

    events: NDArray[np.void]
    label: int
    subject: int
    light: str


def load(split: str, folder: str | Path | None = None) -> Iterator[Gesture]:
    """Gestures of a split as NeuroBench uses them, by name of recording and label, each read when it is needed.

    An archive is checked by its MD5 and unpacked into the user's cache folder (once); of an unpacked folder, names and
    content of the files are checked.

    Parameters
    ----------
    split : {"train", "test"}
    folder : path, optional
        Takes the place of NEUROHIL_DATA. It has the archive, or the folder ibmGestureTrain or ibmGestureTest.

    Returns
    -------
    iterator of Gesture
        Times are whole milliseconds, in us.

    Raises
    ------
    UserError
        There is no such split; the files are nowhere or aren't the published ones; while reading, if one is malformed.
    """
    archive = ARCHIVES[_checked(split)]
    root = unpacked(archive, archive.name.removesuffix(".tar.gz"), folder)
    paths = sorted(root.glob("user*_*/*.npy"), key=lambda path: (path.parent.name, path.stem.zfill(2)))
    if not paths:
        raise UserError(f"{root} has no files such as user01_fluorescent/0.npy; unpack {archive.name} again")
    return (_cut(path) for path in paths)


def load_recordings(split: str, folder: str | Path | None = None, checksum: str | None = None) -> Iterator[Gesture]:
    """Gestures of a split, cut from the original recordings by their labels, each recording read when it is needed.

    The authors' lists trials_to_train.txt and trials_to_test.txt are the split. Assumed, not verified with official
    files: a gesture has the events with start <= t < end of its label.

    Parameters
    ----------
    split : {"train", "test"}
    folder : path, optional
        Takes the place of NEUROHIL_DATA. It has DvsGesture.tar.gz, or the folder DvsGesture.
    checksum : str, optional
        "sha256:..." or "md5:..." of the archive, for which none is published.

    Raises
    ------
    UserError
        As `load`.
    """
    split = _checked(split)
    root = unpacked(RECORDINGS, "DvsGesture", folder, checksum)
    trials = root / f"trials_to_{split}.txt"
    try:
        paths = [root / name for name in trials.read_text(encoding="utf-8").split()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{trials} can't be read: {error}; unpack {RECORDINGS.name} again") from error
    files = [file for path in paths for file in (path, _labels_of(path))]
    absent = next((file for file in files if not file.is_file()), None)
    if absent is not None or not files:
        raise UserError(f"{trials} lists {absent or 'nothing'}, which isn't there; unpack {RECORDINGS.name} again")
    return (gesture for path in paths for gesture in _recording(path))


def read_aedat(path: str | Path) -> NDArray[np.void]:
    """Polarity events (n,) of dtype `EVENT` of an AEDAT 3.1 file, in the order of the file, invalid ones left out.

    Raises
    ------
    UserError
        It is no such file, is cut short, or has events outside 128 x 128 pixels.
    """
    path = Path(path)
    content = _read(path)
    at = content.find(_HEADER_END) + len(_HEADER_END)
    if not content.startswith(b"#!AER-DAT3.1") or at < len(_HEADER_END):
        raise UserError(f"{path} is no AEDAT 3.1 file: it starts with {content[:12]!r}; replace it")
    packets = [np.empty(0, EVENT)]
    while at < len(content):
        if at + _PACKET.itemsize > len(content):
            raise UserError(f"{path} is cut short in the header of a packet at byte {at}; replace it")
        header = np.frombuffer(content, _PACKET, 1, at)[0]
        at += _PACKET.itemsize
        size, number = int(header["size"]), int(header["number"])
        if size < 1 or number < 0 or (header["type"] == _POLARITY and size != 8):
            raise UserError(f"{path}: the packet before byte {at} has {number} events of {size} bytes; replace it")
        if at + size * number > len(content):
            raise UserError(
                f"{path} is cut short: {size * number} bytes of events expected at byte {at}, "
                f"{len(content) - at} there; replace it"
            )
        if header["type"] == _POLARITY:
            raw = np.frombuffer(content, "<u4", 2 * number, at).reshape(-1, 2)
            packets.append(_polarity_events(raw, int(header["overflow"])))
        at += size * number
    events = np.concatenate(packets)
    _check_pixels(path, events["x"], events["y"])
    return events


def frames(events: NDArray[np.void], n_frames: int = 150, size: int = 32) -> NDArray[np.int32]:
    """Count events in frames of equal duration and, side by side, pixels that are summed.

    NeuroBench's example has 150 frames of 32 x 32 pixels. How they are cut is assumed: frames of
    floor(duration / n_frames) us from the first event on, as tonic cuts them; later events are left out.

    Parameters
    ----------
    events : ndarray, shape (n,), dtype EVENT, by time
    n_frames : int
    size : int
        Pixels along x and y, a divisor of 128.

    Returns
    -------
    ndarray, shape (n_frames, 2, size, size), int32
        Axes: time, polarity (darker, brighter), y, x.

    Raises
    ------
    UserError
        There are no events, they span less than n_frames us or aren't in order; a number is out of range.
    """
    if n_frames < 1:
        raise UserError(f"n_frames = {n_frames} must be at least 1")
    if size < 1 or SENSOR_SIZE % size:
        raise UserError(f"size = {size} pixels is no divisor of {SENSOR_SIZE}; choose 1, 2, 4 ... {SENSOR_SIZE}")
    times = events["t"]
    if np.any(np.diff(times) < 0):
        raise UserError("events aren't in the order of their times; sort them by t")
    duration = int(times[-1] - times[0]) if len(times) else 0
    if duration < n_frames:
        raise UserError(f"{len(times)} events span {duration} us, too short for {n_frames} frames of 1 us or more")
    frame = (times - times[0]) // (duration // n_frames)
    kept = events[frame < n_frames]
    shape = (n_frames, 2, size, size)
    pixels = SENSOR_SIZE // size
    indices = (frame[frame < n_frames], kept["p"].astype(np.int64), kept["y"] // pixels, kept["x"] // pixels)
    counts = np.bincount(np.ravel_multi_index(indices, shape), minlength=int(np.prod(shape)))
    return counts.reshape(shape).astype(np.int32)


def _polarity_events(raw: NDArray[np.uint32], overflow: int) -> NDArray[np.void]:
    """Bit 0: valid, 1: polarity, 2-16: y, 17-31: x; a time in us of 31 bits and how often it overflowed."""
    data = raw[:, 0]
    events = np.empty(len(raw), EVENT)
    events["x"], events["y"], events["p"] = data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1
    events["t"] = raw[:, 1].astype(np.int64) + (overflow << 31)
    return events[(data & 1).astype(np.bool_)]


def _recording(path: Path) -> Iterator[Gesture]:
    subject, light = _who(path, path.stem)
    spans = _spans(_labels_of(path))
    events = read_aedat(path)
    events = events[np.argsort(events["t"], kind="stable")]
    for label, start, end in spans:
        first, last = np.searchsorted(events["t"], [start, end])
        if first == last:
            raise UserError(f"{path} has no events of the label at {start} ... {end} us; replace it")
        yield Gesture(events[first:last], label, subject, light)


def _spans(path: Path) -> list[tuple[int, int, int]]:
    """Label from 0, start, end in us of each line of a csv file."""
    lines = list(csv.reader(_read(path).decode("ascii", "replace").splitlines()))
    if not lines or lines[0] != ["class", "startTime_usec", "endTime_usec"]:
        raise UserError(f"{path}: expected the header class,startTime_usec,endTime_usec; replace it")
    spans = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            label, start, end = map(int, line)
        except ValueError:
            label, start, end = 0, 0, 0
        if not (1 <= label <= len(CLASSES) and 0 <= start < end):
            raise UserError(
                f"{path}, line {number}: {','.join(line)!r}; expected class 1..{len(CLASSES)}, start < end in us; "
                "replace it"
            )
        spans.append((label - 1, start, end))
    return spans


def _cut(path: Path) -> Gesture:
    subject, light = _who(path, path.parent.name)
    if not path.stem.isdecimal() or int(path.stem) >= len(CLASSES):
        raise UserError(f"{path}: expected names 0.npy ... {len(CLASSES) - 1}.npy, by class; remove it")
    values = read_npy(path, "replace it")
    if values.ndim != 2 or values.shape[1] != 4 or values.dtype.kind not in "iuf":
        raise UserError(f"{path} holds {values.dtype} {values.shape}; expected numbers (n, 4): x, y, p, t in ms")
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are not finite; replace it")
    if values.dtype.kind == "f" and np.any(values != np.floor(values)):
        raise UserError(f"{path} holds values that are not whole; replace it")
    _check_pixels(path, values[:, 0], values[:, 1])
    for name, column, most in (("p", values[:, 2], 1), ("t", values[:, 3], _LATEST_MS)):
        if len(column) and not (0 <= column.min() and column.max() <= most):
            raise UserError(f"{path} has {name} = {column.min()} ... {column.max()}, outside 0..{most}; replace it")
    events = np.empty(len(values), EVENT)
    events["x"], events["y"], events["p"] = values[:, 0], values[:, 1], values[:, 2]
    events["t"] = values[:, 3].astype(np.int64) * 1000
    return Gesture(events, int(path.stem), subject, light)


def _check_pixels(path: Path, x: NDArray[Any], y: NDArray[Any]) -> None:
    for axis, values in (("x", x), ("y", y)):
        if len(values) and not (0 <= values.min() and values.max() < SENSOR_SIZE):
            raise UserError(
                f"{path} has {axis} = {values.min()} ... {values.max()}, outside 0..{SENSOR_SIZE - 1} pixels; "
                "replace it"
            )


def _who(path: Path, name: str) -> tuple[int, str]:
    """Number and light of a name such as user01_fluorescent_led."""
    user, _, light = name.partition("_")
    if not (user.startswith("user") and user[4:].isdecimal() and light):
        raise UserError(f"{path}: expected a name such as user01_fluorescent; rename or remove it")
    return int(user[4:]), light


def _labels_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_labels.csv")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; replace it") from error


def _checked(split: str) -> str:
    if split not in ARCHIVES:
        raise UserError(f"dvs_gesture: there is no split {split!r}; choose one of {', '.join(ARCHIVES)}")
    return split
