"""The Yin-Yang data set: three classes of points in a disc, and their encoding as spike times.

L. Kriener, J. Göltz, M. A. Petrovici, "The Yin-Yang dataset", NICE 2022 (data and generator under the MIT
licence). `load` returns the published arrays bit for bit; they are generated, so no file and no network is needed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import msgspec
import numpy as np

from neurohil import arrays
from neurohil.datasets.spike_times import Plane, Samples, SpikeTimes
from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.protocols import Floats
from neurohil.ranges import Count, Time
from neurohil.text import exact

CLASSES = ("yin", "yang", "dot")
PLANE = "Yin-Yang square"
SPLITS = {"train": (5000, 42), "validation": (1000, 41), "test": (1000, 40)}  # number of samples, seed

_RADIUS_DISC = 0.5
_RADIUS_DOT = 0.1


@dataclass(frozen=True)
class YinYang:
    """Points of the Yin-Yang figure.

    Attributes
    ----------
    samples : ndarray, shape (n, 4), float64, in [0, 1]
        x, y, 1 - x, 1 - y of each point.
    labels : ndarray, shape (n,), int64
        0 and 1: the two halves of the figure; 2: the dots.
    """

    samples: np.ndarray
    labels: np.ndarray


class YinYangConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="yin_yang", tag_field="kind"):
    """How Yin-Yang becomes spikes; times in tau_s. See `encode`."""

    t_early: Time
    t_late: Time
    copies: Count = 1
    bias_time: Time | None = None

    def build(self) -> SpikeTimes:
        """The published splits as spike times.

        Raises
        ------
        UserError
            t_early is not below t_late, or the spike times don't fit into memory.
        """
        if not self.t_early < self.t_late:
            raise UserError(
                f"data.t_early = {exact(self.t_early)} tau_s is not below data.t_late = {exact(self.t_late)} tau_s; "
                "lower it"
            )
        lines = (4 + (self.bias_time is not None)) * self.copies
        demand_bytes(
            8 * lines * sum(n for n, _ in SPLITS.values()),
            f"data.copies = {self.copies}, that is {lines} input lines for each sample,",
            "lower data.copies",
        )
        parts = {name: load(name) for name in SPLITS}
        samples = {name: Samples(self._times(part.samples), part.labels) for name, part in parts.items()}
        return SpikeTimes(
            **samples,
            classes=CLASSES,
            copies=self.copies,
            plane=Plane(PLANE, parts["test"].samples[:, :2], self._at),
        )

    def _at(self, points: Floats) -> Floats:
        x, y = points.T
        return self._times(np.column_stack([x, y, 1.0 - x, 1.0 - y]))

    def _times(self, samples: Floats) -> Floats:
        return encode(samples, self.t_early, self.t_late, self.bias_time, self.copies)


def generate(n: int, seed: int) -> YinYang:
    """Draw `n` points: first a class, then points in the square until one falls in that class.

    The order of the draws is that of the published generator, so equal seeds give equal bits. Shorter sets are
    prefixes of longer ones.

    Parameters
    ----------
    n : int
        Number of points, at least 1.
    seed : int
        Seed of numpy's RandomState, 0 ... 2**32 - 1.

    Raises
    ------
    UserError
        If `n` or `seed` is out of range.
    """
    if n < 1:
        raise UserError(f"yin_yang: n = {n} must be at least 1")
    if not 0 <= seed < 2**32:
        raise UserError(f"yin_yang: seed = {seed} is outside 0 ... {2**32 - 1}; choose another seed")
    draws = np.random.RandomState(seed)
    samples = np.empty((n, 4))
    labels = np.empty(n, dtype=np.int64)
    for i in range(n):
        wanted = draws.randint(len(CLASSES))
        while True:
            x, y = draws.rand(2).tolist()
            if _distance(x, y, 0.5) <= _RADIUS_DISC and _class(x, y) == wanted:
                break
        samples[i] = x, y, 1 - x, 1 - y
        labels[i] = wanted
    return YinYang(samples, labels)


@functools.cache
def load(split: str) -> YinYang:
    """Return a published split: train (5000 points, seed 42), validation (1000, 41) or test (1000, 40).

    The arrays are shared by all callers in the process and therefore read-only.

    Raises
    ------
    UserError
        If there is no such split.
    """
    if split not in SPLITS:
        raise UserError(f"yin_yang: there is no split {split!r}; choose one of {', '.join(SPLITS)}")
    data = generate(*SPLITS[split])
    data.samples.flags.writeable = False
    data.labels.flags.writeable = False
    return data


def encode(
    samples: np.ndarray, t_early: float, t_late: float, bias_time: float | None = None, copies: int = 1
) -> np.ndarray:
    """Turn values into spike times: t = t_early + value (t_late - t_early).

    Parameters
    ----------
    samples : ndarray, shape (n, 4), float64, in [0, 1]
    t_early, t_late : float, tau_s
        Spike times of the values 0 and 1; t_early < t_late.
    bias_time : float, tau_s, optional
        Time of one more spike that every sample has.
    copies : int
        Number of input lines per value (one synapse of a chip can be too weak). Copies are neighbours:
        line i carries value i // copies; the bias spike is the last value.

    Returns
    -------
    ndarray, shape (n, (4 [+ 1]) * copies), float64, tau_s

    Raises
    ------
    UserError
        If samples is no (n, 4) array in [0, 1], a time is not finite, t_early >= t_late, or copies < 1.
    """
    samples = arrays.floats("yin_yang: samples", samples, (None, 4), 0.0, 1.0)
    if not (0.0 < t_late - t_early < math.inf):
        raise UserError(f"yin_yang: t_early = {t_early} tau_s must be below t_late = {t_late} tau_s, both finite")
    if bias_time is not None and not math.isfinite(bias_time):
        raise UserError(f"yin_yang: bias_time = {bias_time} tau_s must be finite; leave it out for no bias spike")
    if copies < 1:
        raise UserError(f"yin_yang: copies = {copies} must be at least 1")
    times = t_early + samples * (t_late - t_early)
    if bias_time is not None:
        times = np.column_stack([times, np.full(len(times), bias_time)])
    return np.repeat(times, copies, axis=1)


def _distance(x: float, y: float, centre_x: float) -> float:
    # sqrt of products, not hypot: the published arrays depend on the last bit.
    dx, dy = x - centre_x, y - 0.5
    return math.sqrt(dx * dx + dy * dy)


def _class(x: float, y: float) -> int:
    right, left = _distance(x, y, 0.75), _distance(x, y, 0.25)
    if right < _RADIUS_DOT or left < _RADIUS_DOT:
        return 2
    return int(
        right <= _RADIUS_DOT or _RADIUS_DOT < left <= 0.5 * _RADIUS_DISC or (y > 0.5 and right > 0.5 * _RADIUS_DISC)
    )
