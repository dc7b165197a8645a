"""Primate reaching: bins, velocity, reaches and split of the protocol on tiny made files; malformed ones are named."""

import hashlib

import h5py
import numpy as np
import pytest

from neurohil.datasets import files
from neurohil.datasets import primate_reaching as reaching
from neurohil.errors import UserError

SESSION = "indy_20160622_01"
N, START = 60, 12.0


def write(folder, spikes, session=SESSION, target=None, cursor=None, times=None, leave_out=()):
    """A .mat file of version 7.3 as MATLAB writes it, with the units `spikes[unit, channel]`; its MD5."""
    n = N if times is None else len(times)
    arrays = {
        "t": START + 0.004 * np.arange(n) if times is None else times,
        "cursor_pos": np.zeros((n, 2)) if cursor is None else cursor,
        "target_pos": np.zeros((n, 2)) if target is None else target,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{session}.mat"
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if name not in leave_out:
                file[name] = np.atleast_2d(values.T)
        cells = np.empty((3, reaching.CHANNELS[session[:4]]), dtype=object)
        for (unit, channel), _ in np.ndenumerate(cells):
            values = np.atleast_2d(spikes.get((unit, channel), ()))
            if values.size:
                cell = file.create_dataset(f"#refs#/{unit}_{channel}", data=values)
            else:  # of an empty cell MATLAB stores the shape
                cell = file.create_dataset(f"#refs#/{unit}_{channel}", data=np.array([12, 0], np.uint64))
                cell.attrs["MATLAB_empty"] = np.uint8(1)
            cells[unit, channel] = cell.ref
        if "spikes" not in leave_out:
            file.create_dataset("spikes", data=cells, dtype=h5py.ref_dtype)
    return path


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a session, take its MD5 for the published one, load it."""

    def written(spikes, session=SESSION, window_bins=1, **arrays):
        path = write(tmp_path, spikes, session, **arrays)
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        source = reaching.SESSIONS[session]._replace(checksum=f"md5:{digest}")
        monkeypatch.setitem(reaching.SESSIONS, session, source)
        return reaching.load(session, tmp_path, window_bins)

    return written


def test_sessions_are_the_six_of_the_benchmark():
    animals = [session[:4] for session in reaching.SESSIONS]
    assert animals == ["indy"] * 3 + ["loco"] * 3 and reaching.CHANNELS == {"indy": 96, "loco": 192}
    sums = {source.checksum for source in reaching.SESSIONS.values()}
    assert len(sums) == 6 and all(len(checksum) == len("md5:") + 32 for checksum in sums)


@pytest.mark.parametrize("window_bins", [1, 3, 7])
def test_counts_are_active_bins_of_the_window(load, window_bins):
    """Against a walk over all steps and bins; the bin that ends 4 ms before a step is the last one it knows."""
    random = np.random.default_rng(5)
    spikes = {(u, c): np.sort(random.uniform(START - 0.1, START + 0.3, 40)) for u in range(3) for c in (0, 7, 95)}
    counts = load(spikes, window_bins=window_bins).counts
    assert counts.shape == (N, 96) and counts.dtype == np.uint8
    expected = np.zeros((N, 96))
    for channel in (0, 7, 95):
        times = np.concatenate([spikes[unit, channel] for unit in range(3)])
        for k in range(1, N):  # the first step's oldest bin is never filled, as in the harness
            for b in range(window_bins):
                end = START + 0.004 * (k - 1 - b)
                expected[k, channel] += np.any((times >= end - 0.004) & (times < end))
    np.testing.assert_array_equal(counts[1:], expected[1:])
    assert counts.max() <= window_bins and (window_bins == 1 or counts.max() > 1)


def test_a_spike_is_seen_from_the_second_step_after_it(load):
    spikes = {(1, 4): [START + 0.0402]}  # between the steps 10 and 11
    counts = load(spikes, window_bins=7).counts
    assert np.flatnonzero(counts[:, 4]).tolist() == list(range(12, 19))
    assert counts.sum() == 7


def test_units_of_a_channel_are_one(load):
    spikes = {(0, 4): [START + 0.041], (2, 4): [START + 0.042, START + 0.043]}
    assert load(spikes).counts.sum() == 1


def test_channels_of_loco(load):
    counts = load({(0, 191): [START + 0.1001]}, session="loco_20170210_03").counts
    assert counts.shape == (N, 192) and counts[:, 191].sum() == 1


def test_velocity_is_the_central_difference_per_step(load):
    k = np.arange(N, dtype=np.float64)
    velocity = load({}, cursor=np.stack([3 * k, k**2], axis=1)).velocity
    np.testing.assert_allclose(velocity[:, 0], 3)
    np.testing.assert_allclose(velocity[1:-1, 1], 2 * k[1:-1])
    np.testing.assert_allclose(velocity[[0, -1], 1], [1, 2 * N - 3])


def test_reaches_end_where_the_target_moves(load):
    target = np.repeat([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]], [10, 30, 20], axis=0)
    reaches = load({}, target=target).reaches
    # As in the harness: the last sample with the old target begins the new reach.
    assert reaches.tolist() == [[0, 9], [9, 39], [39, 60]]
    assert reaching.steps(reaches).tolist() == list(range(60))
    assert reaching.steps(reaches[:0]).tolist() == []


@pytest.mark.parametrize(("m", "ratio", "sizes"), [(10, 0.5, (5, 2, 3)), (9, 0.5, (4, 2, 3)), (10, 0.8, (8, 1, 1))])
def test_split_is_in_order_of_the_reaches(m, ratio, sizes):
    """floor(ratio m) for training, floor of half of the rest for validation."""
    reaches = np.stack([np.arange(m), np.arange(m) + 1], axis=1)
    split = reaching.split(reaches, ratio)
    assert tuple(map(len, split)) == sizes
    np.testing.assert_array_equal(np.concatenate(split), reaches)


def test_out_of_range_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no session 'indy'; choose one of indy_20160622_01, "):
        reaching.load("indy")
    for window_bins in (0, 256):
        with pytest.raises(UserError, match=f"window_bins = {window_bins} is outside 1..255 bins of 4 ms"):
            reaching.load(SESSION, window_bins=window_bins)
    for ratio in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=f"train_ratio = {ratio} is outside 0 ... 1"):
            reaching.split(np.zeros((3, 2), np.int64), ratio)


def test_missing_and_other_files_are_described(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(UserError) as caught:
        reaching.load(SESSION, tmp_path)
    for part in (
        f"indy_20160622_01.mat of primate_reaching is in none of {tmp_path}/primate_reaching, {tmp_path}, ",
        "https://zenodo.org/record/583331/files/indy_20160622_01.mat, checksum md5:c33d5fff31320d709d23fe445561fb6e",
    ):
        assert part in str(caught.value)
    write(tmp_path, {})
    with pytest.raises(UserError, match=r"indy_20160622_01\.mat is not as published: md5 is .*, expected c33d5fff3132"):
        reaching.load(SESSION, tmp_path)


NAN = np.full((N, 2), np.nan)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"leave_out": ("spikes", "t")}, "lacks t, spikes; replace it by the published file"),
        (
            {"cursor": np.zeros((N, 3))},
            r"has 60 times, a cursor \(60, 3\), a target \(60, 2\); expected n >= 2 times and",
        ),
        ({"target": np.zeros((9, 2))}, r"has 60 times, a cursor \(60, 2\), a target \(9, 2\); expected"),
        ({"cursor": NAN}, "holds times or positions that are not finite"),
        ({"times": START + 0.001 * np.arange(N)}, "has steps of 0.001 s, expected 0.004 s; replace it"),
        (
            {"times": np.r_[START + 0.004 * np.array([1, 0]), START + 0.004 * np.arange(2, N)]},
            "has times that don't rise; replace it by the published file",
        ),
    ],
)
def test_malformed_files_are_named(load, arrays, message):
    with pytest.raises(UserError, match=rf"indy_20160622_01\.mat:? {message}"):
        load({}, **arrays)
    with pytest.raises(UserError, match="holds spike times of channel 3 that are not finite; replace it"):
        load({(0, 3): [START, np.nan]})


def test_other_spikes_and_cut_files_are_named(load, tmp_path, monkeypatch):
    load({})
    path = tmp_path / f"{SESSION}.mat"
    monkeypatch.setattr(reaching, "verify", lambda paths, checksum: None)
    with h5py.File(path, "a") as file:
        cells = file["spikes"][:, :95]
        del file["spikes"]
        file.create_dataset("spikes", data=cells, dtype=h5py.ref_dtype)
    with pytest.raises(UserError, match=r"spikes is object \(3, 95\), expected cells of units x 96 channels"):
        reaching.load(SESSION, tmp_path)
    with h5py.File(path, "a") as file:
        del file["spikes"]
        file["spikes"] = np.zeros((3, 96))
    with pytest.raises(UserError, match=r"spikes is float64 \(3, 96\), expected cells"):
        reaching.load(SESSION, tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match=r"is no whole \.mat file of version 7\.3: .*; download it again"):
        reaching.load(SESSION, tmp_path)
    path.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(UserError, match=r"is no whole \.mat file of version 7\.3"):
        reaching.load(SESSION, tmp_path)
