"""Primate reaching: spikes of motor cortex and the cursor's velocity, the data of NeuroBench's NHP motor prediction.

J. E. O'Doherty, M. M. B. Cardoso, J. G. Makin, P. N. Sabes, Zenodo 583331 (2017). Bins, velocity and split are those of
the official harness 2.3.0 (J. Yik et al., Nature Communications 16:1545, 2025).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.datasets.files import Source, find, verify
from neurohil.errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BIN_S = 0.004

# The sums are those in the official harness 2.3.0.
_MD5 = {
    "indy_20160622_01": "c33d5fff31320d709d23fe445561fb6e",
    "indy_20160630_01": "197413a5339630ea926cbd22b8b43338",
    "indy_20170131_02": "2790b1c869564afaa7772dbf9e42d784",
    "loco_20170210_03": "4cae63b58c4cb9c8abd44929216c703b",
    "loco_20170215_02": "739b70762d838f3a1f358733c426bb02",
    "loco_20170301_05": "47342da09f9c950050c9213c3df38ea3",
}
SESSIONS = {
    session: Source(
        "primate_reaching",
        f"{session}.mat",
        f"https://zenodo.org/record/583331/files/{session}.mat",
        f"md5:{md5}",
    )
    for session, md5 in _MD5.items()
}
CHANNELS = {"indy": 96, "loco": 192}

# The mean step of the clock may be off by so much, relatively.
_CLOCK_TOLERANCE = 1e-3


class Recording(NamedTuple):
    """A session, in n steps of 4 ms.

    Attributes
    ----------
    counts : ndarray, shape (n, channels), uint8
        Bins of 4 ms with at least one spike, among those of the window before each step.
    velocity : ndarray, shape (n, 2), float64
        Of the cursor along x and y, per step, in the unit of the file's position (mm, by its description).
    reaches : ndarray, shape (m, 2), int64
        First step of each reach, and the step after its last one: a reach ends where the target moves.
    """

    counts: NDArray[np.uint8]
    velocity: Floats
    reaches: Ints


class Split(NamedTuple):
    """Reaches (m, 2) int64 for training, validation and test."""

    train: Ints
    validation: Ints
    test: Ints


def load(session: str, folder: str | Path | None = None, window_bins: int = 7) -> Recording:
    """Read a session from its official .mat file (version 7.3, which is HDF5), checked by MD5.

    The window of step k is that of the harness: the bins from t_k - 4 (window_bins + 1) ms to t_k - 4 ms, one bin
    behind the present. Sorted units of a channel are taken together.

    Parameters
    ----------
    session : str
        One of `SESSIONS`: three of monkey Indy (96 channels), three of Loco (192).
    folder : path, optional
        Takes the place of NEUROHIL_DATA.
    window_bins : int
        1..255; 7 (28 ms) is the harness's default.

    Raises
    ------
    UserError
        There is no such session, its file is nowhere, isn't the published one, or lacks something; window_bins is out
        of range.
    """
    if session not in SESSIONS:
        raise UserError(f"primate_reaching: there is no session {session!r}; choose one of {', '.join(SESSIONS)}")
    if not 1 <= window_bins <= 255:
        raise UserError(f"window_bins = {window_bins} is outside 1..255 bins of 4 ms")
    path = find(SESSIONS[session], folder)
    verify([path], SESSIONS[session].checksum)
    times, cursor, target, units = _read(path, CHANNELS[session[:4]])
    return Recording(
        _window_counts(units, times[0], len(times), window_bins),
        np.gradient(cursor, axis=0),
        _reaches(target),
    )


def split(reaches: Ints, train_ratio: float = 0.5) -> Split:
    """Reaches in their order: the first ones for training, half of the rest, rounded down, for validation.

    Parameters
    ----------
    reaches : ndarray, shape (m, 2), int64
    train_ratio : float
        Share of the training reaches, 0..1, rounded down; NeuroBench's examples take 0.5.

    Raises
    ------
    UserError
        The ratio is out of range.
    """
    if not 0 <= train_ratio <= 1:
        raise UserError(f"train_ratio = {train_ratio} is outside 0 ... 1")
    train = math.floor(train_ratio * len(reaches))
    validation = train + (len(reaches) - train) // 2
    return Split(reaches[:train], reaches[train:validation], reaches[validation:])


def steps(reaches: Ints) -> Ints:
    """Indices of all steps of these reaches, one reach after the other."""
    return np.concatenate([np.empty(0, np.int64), *(np.arange(first, end) for first, end in reaches)])


def _window_counts(units: list[list[Floats]], start_s: float, n: int, window: int) -> NDArray[np.uint8]:
    """Counts (n, channels) from spike times in s of the units of each channel."""
    bins = n + window - 1
    active = np.zeros((bins, len(units)), dtype=np.uint8)
    for channel, spikes in enumerate(units):
        # One behind: what falls between two samples is known at the later one. The very first bin is never filled.
        k = np.floor((np.concatenate(spikes) - start_s) / BIN_S).astype(np.int64) + window + 1
        active[k[(k >= 1) & (k < bins)], channel] = 1
    counts = np.zeros((n, len(units)), dtype=np.uint8)
    for shift in range(window):
        counts += active[shift : shift + n]
    return counts


def _reaches(target: Floats) -> Ints:
    moves = np.flatnonzero(np.any(np.diff(target, axis=0) != 0, axis=1))
    edges = np.concatenate([[0], moves, [len(target)]]).astype(np.int64)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _read(path: Path, channels: int) -> tuple[Floats, Floats, Floats, list[list[Floats]]]:
    """Times (n,) in s, cursor (n, 2), target (n, 2), and for each channel the spike times in s of its units."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            absent = [name for name in ("t", "cursor_pos", "target_pos", "spikes") if name not in file]
            if absent:
                raise UserError(f"{path} lacks {', '.join(absent)}; replace it by the published file")
            # MATLAB writes columns first: arrays are transposed.
            times = np.asarray(file["t"][()], dtype=np.float64).ravel()
            cursor, target = (np.asarray(file[name][()], dtype=np.float64).T for name in ("cursor_pos", "target_pos"))
            cells = file["spikes"][()]
            if cells.dtype != object or cells.ndim != 2 or cells.shape[1] != channels:
                raise UserError(
                    f"{path}: spikes is {cells.dtype} {cells.shape}, expected cells of units x {channels} channels"
                )
            units = [[_spike_times(file[cell]) for cell in cells[:, channel]] for channel in range(channels)]
    except UserError:
        raise
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no whole .mat file of version 7.3: {error}; download it again") from error
    if len(times) < 2 or cursor.shape != (len(times), 2) or target.shape != (len(times), 2):
        raise UserError(
            f"{path} has {len(times)} times, a cursor {cursor.shape}, a target {target.shape}; expected n >= 2 times "
            "and (n, 2) each"
        )
    if not (np.isfinite(times).all() and np.isfinite(cursor).all() and np.isfinite(target).all()):
        raise UserError(f"{path} holds times or positions that are not finite; replace it by the published file")
    wrong = next((k for k, cells in enumerate(units) for spikes in cells if not np.isfinite(spikes).all()), None)
    if wrong is not None:
        raise UserError(
            f"{path} holds spike times of channel {wrong} that are not finite; replace it by the published file"
        )
    step = (times[-1] - times[0]) / (len(times) - 1)
    if np.any(np.diff(times) <= 0):
        raise UserError(f"{path} has times that don't rise; replace it by the published file")
    if abs(step / BIN_S - 1) > _CLOCK_TOLERANCE:
        raise UserError(f"{path} has steps of {step:.6g} s, expected {BIN_S:g} s; replace it by the published file")
    return times, cursor, target, units


def _spike_times(cell: Any) -> Floats:
    # Of an empty cell MATLAB stores the shape, not the content.
    return np.empty(0) if cell.attrs.get("MATLAB_empty", 0) else np.asarray(cell[()], dtype=np.float64).ravel()
