"""Wav files become samples of full scale; damaged ones are named; batches keep order and last remainder."""

import numpy as np
import pytest
from scipy.io import wavfile

from neurohil.datasets import audio
from neurohil.datasets.audio import Clip
from neurohil.errors import UserError


def test_samples_are_parts_of_full_scale(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.array([-32768, -1, 0, 16384, 32767], dtype=np.int16))
    samples = audio.read_wav(tmp_path / "a.wav", 8000)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples * 32768, [-32768, -1, 0, 16384, 32767])


def test_a_note_in_the_file_is_passed_over(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, np.arange(4, dtype=np.int16))
    content = path.read_bytes()
    path.write_bytes(content[:36] + b"noti\x02\x00\x00\x00hi" + content[36:])
    assert len(audio.read_wav(path, 8000)) == 4


@pytest.mark.parametrize(
    ("rate", "samples", "message"),
    [
        (16000, np.zeros(9, np.int16), "has 16000 samples per second, expected 8000; replace it"),
        (8000, np.zeros(9, np.float32), r"holds float32 \(9,\); expected 16-bit samples of one channel"),
        (8000, np.zeros((9, 2), np.int16), r"holds int16 \(9, 2\); expected 16-bit samples of one channel"),
        (8000, np.zeros(0, np.int16), r"holds int16 \(0,\); expected .* at least one"),
    ],
)
def test_another_format_is_named(tmp_path, rate, samples, message):
    wavfile.write(tmp_path / "a.wav", rate, samples)
    with pytest.raises(UserError, match=rf"a\.wav {message}"):
        audio.read_wav(tmp_path / "a.wav", 8000)


@pytest.mark.parametrize("end", [0, 10, 30, 44, 100, 101])
def test_a_cut_file_is_named(tmp_path, end):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, np.zeros(100, np.int16))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(UserError, match=r"a\.wav is no whole wav file: .*; replace it by the published one"):
        audio.read_wav(path, 8000)


def test_a_damaged_header_is_named(tmp_path):
    """One bit wrong anywhere before the samples: the samples, or one error."""
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, np.zeros(100, np.int16))
    whole = path.read_bytes()
    refused = 0
    for k in range(8 * 44):
        damaged = bytearray(whole)
        damaged[k // 8] ^= 1 << k % 8
        path.write_bytes(damaged)
        try:
            assert audio.read_wav(path, 8000).dtype == np.float32
        except UserError as error:
            assert str(path) in str(error) and str(error).endswith("replace it by the published one")
            refused += 1
    assert refused > 100


def test_no_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"is no whole wav file: .*No such file"):
        audio.read_wav(tmp_path / "a.wav", 8000)


def test_one_length():
    clip = np.array([1, 2, 3], dtype=np.float32)
    assert audio.fixed_length(clip, 2).tolist() == [1, 2]
    assert audio.fixed_length(clip, 5).tolist() == [1, 2, 3, 0, 0]
    assert audio.fixed_length(clip, 5).dtype == np.float32
    with pytest.raises(UserError, match="length = 0 samples must be at least 1"):
        audio.fixed_length(clip, 0)


def test_batches_keep_the_order_and_the_rest():
    clips = [Clip(np.full(k, k, dtype=np.float32), k) for k in range(1, 6)]
    given = list(audio.batches(iter(clips), length=3, size=2))
    assert [labels.tolist() for _, labels in given] == [[1, 2], [3, 4], [5]]
    assert given[0][0].tolist() == [[1, 0, 0], [2, 2, 0]] and given[2][0].tolist() == [[5, 5, 5]]
    assert given[0][0].dtype == np.float32 and given[0][1].dtype == np.int64
    with pytest.raises(UserError, match="batch size = 0 must be at least 1"):
        next(audio.batches(clips, length=3, size=0))
