"""DVS gesture: both publications on tiny made files, frames counted by hand, and each malformed file named."""

import hashlib
import struct
import tarfile

import numpy as np
import pytest

from neurohil.datasets import dvs_gesture as dvs
from neurohil.datasets import files
from neurohil.errors import UserError

HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
LABELS = "class,startTime_usec,endTime_usec\n"


def events(*rows):
    """Rows of x, y, t in us, p."""
    return np.array(list(rows), dtype=dvs.EVENT)


def packet(rows, kind=1, overflow=0, invalid=()):
    """Bytes of a packet: 28 of header, then 8 for each event (AEDAT 3.1 file format of iniVation)."""
    content = struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, len(rows), len(rows), len(rows) - len(invalid))
    for k, (x, y, t, p) in enumerate(rows):
        content += struct.pack("<II", x << 17 | y << 2 | p << 1 | (k not in invalid), t)
    return content


ROWS = [(0, 127, 100, 1), (127, 0, 200, 0), (3, 4, 300, 1), (5, 6, 400, 0)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """One original recording for train, one for test; an empty cache."""
    monkeypatch.delenv("NEUROHIL_DATA", raising=False)
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    root = tmp_path / "dvs_gesture" / "DvsGesture"
    root.mkdir(parents=True)
    for split, name in (("train", "user01_fluorescent"), ("test", "user24_led")):
        (root / f"trials_to_{split}.txt").write_text(f"{name}.aedat\n\n")
        (root / f"{name}.aedat").write_bytes(HEADER + packet(ROWS[:3]) + packet(ROWS[3:]))
        (root / f"{name}_labels.csv").write_text(LABELS + "2,100,300\n11,300,401\n")
    return tmp_path


def put_cut(folder, split="Test"):
    """Gestures as tonic publishes them: x, y, p, t in ms."""
    for name, label, rows in (("user10_led", 10, [[9, 8, 1, 7]]), ("user09_natural", 2, [[1, 2, 0, 3], [4, 5, 1, 6]])):
        (folder / f"ibmGesture{split}" / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / f"ibmGesture{split}" / name / f"{label}.npy", np.array(rows))
    return folder / f"ibmGesture{split}"


def test_recordings_are_cut_by_their_labels(world):
    first, second = dvs.load_recordings("train", world)
    assert first.events.tolist() == events((0, 127, 100, True), (127, 0, 200, False)).tolist()
    assert second.events.tolist() == events((3, 4, 300, True), (5, 6, 400, False)).tolist()
    assert (first.label, first.subject, first.light) == (1, 1, "fluorescent")
    assert dvs.CLASSES[first.label] == "right hand wave" and dvs.CLASSES[second.label] == "other gestures"
    assert [gesture.subject for gesture in dvs.load_recordings("test", world)] == [24, 24]


def test_bits_of_an_event(tmp_path):
    """Invalid events and packets of other kinds are passed over; a time goes on after 2^31 us."""
    path = tmp_path / "a.aedat"
    other = packet([(1, 1, 1, 1)], kind=2)
    path.write_bytes(HEADER + packet(ROWS, invalid=(1,)) + other + packet([(9, 8, 7, 1)], overflow=1))
    read = dvs.read_aedat(path)
    assert read.dtype == dvs.EVENT
    kept = [(0, 127, 100, True), (3, 4, 300, True), (5, 6, 400, False), (9, 8, 2**31 + 7, True)]
    assert read.tolist() == events(*kept).tolist()
    path.write_bytes(HEADER)
    assert len(dvs.read_aedat(path)) == 0


def test_cut_gestures_are_those_of_the_archive(world, monkeypatch):
    root = put_cut(world / "made")
    archive = world / "given" / "ibmGestureTest.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, "ibmGestureTest")
    with pytest.raises(
        UserError, match=r"ibmGestureTest\.tar\.gz is not as published: md5 is .*, expected 56070e45dada"
    ):
        dvs.load("test", archive.parent)
    checksum = f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}"
    monkeypatch.setitem(dvs.ARCHIVES, "test", dvs.ARCHIVES["test"]._replace(checksum=checksum))
    first, second = dvs.load("test", archive.parent)
    assert first.events.tolist() == events((1, 2, 3000, False), (4, 5, 6000, True)).tolist()
    assert (first.label, first.subject, first.light) == (2, 9, "natural")
    assert (second.label, second.subject, second.light) == (10, 10, "led")


def test_checksum_of_the_original_archive_can_be_given(world):
    archive = world / "given" / "DvsGesture.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(world / "dvs_gesture" / "DvsGesture", "DvsGesture")
    with pytest.raises(UserError, match=r"DvsGesture\.tar\.gz is not as published: md5 is"):
        dvs.load_recordings("test", archive.parent, checksum="md5:" + 32 * "0")
    assert len(list(dvs.load_recordings("test", archive.parent))) == 2


def test_frames_count_events_by_hand():
    """Two frames of 10 us, pixels of 64 x 64: the last event comes after them."""
    given = events((0, 0, 5, 1), (63, 0, 14, 1), (64, 0, 14, 0), (0, 127, 15, 1), (127, 127, 24, 1), (0, 0, 25, 1))
    counts = dvs.frames(given, n_frames=2, size=2)
    assert counts.shape == (2, 2, 2, 2) and counts.dtype == np.int32
    assert counts[0].tolist() == [[[0, 1], [0, 0]], [[2, 0], [0, 0]]]
    assert counts[1].tolist() == [[[0, 0], [0, 0]], [[0, 0], [1, 1]]]


def test_frames_of_the_benchmark_keep_the_events():
    random = np.random.default_rng(2)
    given = np.empty(5000, dvs.EVENT)
    given["x"], given["y"] = random.integers(0, 128, (2, 5000))
    given["p"], given["t"] = random.random(5000) < 0.3, np.arange(5000) * 1200
    counts = dvs.frames(given)
    assert counts.shape == (150, 2, 32, 32)
    assert counts.sum() == 5000 - 1  # the last one falls on the end
    assert counts[:, 1].sum() == given["p"][:-1].sum()
    by_column = np.bincount(given["x"][:-1] // 4, minlength=32)
    np.testing.assert_array_equal(counts.sum(axis=(0, 1, 2)), by_column)


@pytest.mark.parametrize(
    ("rows", "numbers", "message"),
    [
        ([], {}, "0 events span 0 us, too short for 150 frames"),
        ([(0, 0, 5, 0), (0, 0, 154, 0)], {}, "2 events span 149 us, too short for 150 frames of 1 us or more"),
        ([(0, 0, 500, 0), (0, 0, 5, 0)], {}, "aren't in the order of their times; sort them by t"),
        ([(0, 0, 5, 0), (0, 0, 500, 0)], {"n_frames": 0}, "n_frames = 0 must be at least 1"),
        ([(0, 0, 5, 0), (0, 0, 500, 0)], {"size": 30}, "size = 30 pixels is no divisor of 128"),
        ([(0, 0, 5, 0), (0, 0, 500, 0)], {"size": 0}, "size = 0 pixels is no divisor of 128"),
    ],
)
def test_no_frames_of_these(rows, numbers, message):
    with pytest.raises(UserError, match=message):
        dvs.frames(events(*rows), **numbers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no AEDAT 3.1 file: it starts with b''; replace it"),
        (b"#!AER-DAT2.0\r\n#!END-HEADER\r\n", "is no AEDAT 3.1 file: it starts with b'#!AER-DAT2.0'"),
        (HEADER[:20], "is no AEDAT 3.1 file"),
        (HEADER + packet(ROWS)[:20], "is cut short in the header of a packet at byte 42"),
        (HEADER + packet(ROWS)[:-1], "is cut short: 32 bytes of events expected at byte 70, 31 there"),
        (HEADER + packet([(128, 0, 1, 1)]), r"has x = 128 \.\.\. 128, outside 0\.\.127 pixels"),
        (HEADER + packet([(0, 32767, 1, 1)]), r"has y = 32767 \.\.\. 32767, outside 0\.\.127 pixels"),
        (
            HEADER + struct.pack("<hhiiiiii", 1, 1, 4, 4, 0, 1, 1, 1) + bytes(4),
            "the packet before byte 70 has 1 events of 4",
        ),
        (
            HEADER + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 0, -1, 0),
            "the packet before byte 70 has -1 events of 8 bytes",
        ),
    ],
)
def test_malformed_aedat_is_named(tmp_path, content, message):
    (tmp_path / "a.aedat").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.aedat:? {message}"):
        dvs.read_aedat(tmp_path / "a.aedat")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("1,100,200\n", "expected the header class,startTime_usec,endTime_usec; replace it"),
        (
            LABELS + "1,100,200\n12,200,300\n",
            "line 3: '12,200,300'; expected class 1..11, start < end in us; replace it",
        ),
        (LABELS + "1,200,200\n", "line 2: '1,200,200'; expected class"),
        (LABELS + "1,200\n", "line 2: '1,200'; expected class"),
        (LABELS + "one,100,200\n", "line 2: 'one,100,200'; expected class"),
        (LABELS + "1,5000,6000\n", r"has no events of the label at 5000 \.\.\. 6000 us"),
    ],
)
def test_malformed_labels_are_named(world, labels, message):
    (world / "dvs_gesture" / "DvsGesture" / "user24_led_labels.csv").write_text(labels)
    with pytest.raises(UserError, match=rf"user24_led(_labels\.csv|\.aedat)[:,]? {message}"):
        list(dvs.load_recordings("test", world))


def test_incomplete_recordings_are_named_at_once(world):
    root = world / "dvs_gesture" / "DvsGesture"
    (root / "user24_led_labels.csv").unlink()
    with pytest.raises(
        UserError, match=r"trials_to_test\.txt lists .*user24_led_labels\.csv, which isn't there; unpack"
    ):
        dvs.load_recordings("test", world)
    (root / "trials_to_test.txt").write_text("")
    with pytest.raises(UserError, match=r"trials_to_test\.txt lists nothing"):
        dvs.load_recordings("test", world)
    (root / "trials_to_test.txt").unlink()
    with pytest.raises(UserError, match=r"trials_to_test\.txt can't be read"):
        dvs.load_recordings("test", world)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("user09_natural/11.npy", np.zeros((1, 4)), r"11\.npy: expected names 0\.npy \.\.\. 10\.npy, by class"),
        ("user_natural/1.npy", np.zeros((1, 4)), r"1\.npy: expected a name such as user01_fluorescent"),
        (
            "user09_natural/1.npy",
            np.zeros((3, 3)),
            r"holds float64 \(3, 3\); expected numbers \(n, 4\): x, y, p, t in ms",
        ),
        ("user09_natural/1.npy", np.full((1, 4), np.nan), "holds values that are not finite"),
        ("user09_natural/1.npy", np.array([[65536.0, 0, 0, 0]]), r"has x = 65536\.0 \.\.\. 65536\.0, outside 0\.\.127"),
        ("user09_natural/1.npy", np.array([[0.5, 0, 0, 0]]), "holds values that are not whole"),
        ("user09_natural/1.npy", np.array([[0, 0, 2, 0]]), r"has p = 2 \.\.\. 2, outside 0\.\.1; replace it"),
        ("user09_natural/1.npy", np.array([[0, 0, 1, -7]]), r"has t = -7 \.\.\. -7, outside 0\.\.2147483647"),
        ("user09_natural/1.npy", None, r"1\.npy can't be read"),
    ],
)
def test_malformed_cut_gestures_are_named(world, name, values, message):
    path = world / "ibmGestureTrain" / name
    path.parent.mkdir(parents=True)
    if values is None:
        path.write_bytes(b"no array")
    else:
        np.save(path, values)
    with pytest.raises(UserError, match=message):
        list(dvs.load("train", world))


def test_missing_files_are_described(world):
    with pytest.raises(UserError) as caught:
        dvs.load("train", world / "nowhere")
    for part in (
        "ibmGestureTrain.tar.gz (or ibmGestureTrain/, unpacked) of dvs_gesture is in none of",
        "https://figshare.com/ndownloader/files/38022171, checksum md5:3a8f0d4120a166bac7591f77409cb105",
    ):
        assert part in str(caught.value)
    with pytest.raises(UserError, match=r"DvsGesture\.tar\.gz .* of dvs_gesture .* checksum not published"):
        dvs.load_recordings("train", world / "nowhere")
    (world / "ibmGestureTrain").mkdir()
    with pytest.raises(UserError, match=r"has no files such as user01_fluorescent/0\.npy; unpack ibmGestureTrain"):
        dvs.load("train", world)
    for load in (dvs.load, dvs.load_recordings):
        with pytest.raises(UserError, match="there is no split 'validation'; choose one of train, test"):
            load("validation")
