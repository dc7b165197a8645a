"""The 14 Mackey-Glass series of NeuroBench's chaotic function prediction, regenerated or read from the official files.

    dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t),    x(t <= 0) constant

M. C. Mackey, L. Glass, Science 197 (1977); parameters of the series: NeuroBench (J. Yik et al., Nature Communications
16:1545, 2025), data set card "NeuroBench/mackey_glass" (CC BY 4.0). The series are chaotic: the official ones come from
one machine and can't be reproduced bit for bit, by NeuroBench's own generator neither. Two careful integrators agree
for the first 10 to 20 Lyapunov times and go their own ways on the same attractor after that; say "regenerated" with
every result.

Integration. Between two multiples of tau the delayed term is a known function of time (method of steps), so the
equation is linear there and its solution an integral, which `_Step` takes in Chebyshev polynomials, to rounding errors.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os.path
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from hil import arrays
from hil.datasets.files import given_folder, read_npy
from hil.errors import UserError

Floats = NDArray[np.float64]

BETA, GAMMA, EXPONENT = 0.2, 0.1, 10
POINTS_PER_LYAPUNOV_TIME = 75
LYAPUNOV_TIMES = 50
POINTS = LYAPUNOV_TIMES * POINTS_PER_LYAPUNOV_TIME + 1
TRAINING_POINTS = TEST_POINTS = 10 * POINTS_PER_LYAPUNOV_TIME
REPEATS = 30

# A delay is cut into so many pieces, each a polynomial through so many points: more than rounding errors call for.
_PIECES = 16
_NODES = 20
# Two Lyapunov times in, a careful integrator is right to nine digits, and a wrong parameter is off by tenths.
_COMPARED_POINTS = 2 * POINTS_PER_LYAPUNOV_TIME + 1
_COMPARED_TOLERANCE = 1e-4


class Parameters(NamedTuple):
    """Lyapunov time in time units of the equation, as published (it sets the sampling step), and constant history."""

    lyapunov_time: float
    history: float


PARAMETERS = {
    17: Parameters(197, 0.7206597),
    18: Parameters(138, 0.7744313),
    19: Parameters(315, 0.7783468),
    20: Parameters(131, 0.9225991),
    21: Parameters(191, 0.9479431),
    22: Parameters(119, 0.5455960),
    23: Parameters(106, 0.8622247),
    24: Parameters(97, 0.3259660),
    25: Parameters(98, 0.8297825),
    26: Parameters(104, 1.0033490),
    27: Parameters(112, 0.6491406),
    28: Parameters(119, 1.0957495),
    29: Parameters(131, 0.9256179),
    30: Parameters(139, 0.2713639),
}


class Series(NamedTuple):
    """A series x (n,) float64, 75 points per Lyapunov time, its origin, and the SHA-256 of its values."""

    tau: int
    values: Floats
    origin: Literal["regenerated", "official"]
    sha256: str


class Window(NamedTuple):
    """One repeat of the benchmark: inputs and the values that follow them, (750,) each, for training and for test.

    Only the first test input may be shown to a model; the later ones are its own predictions.
    """

    training_inputs: Floats
    training_targets: Floats
    test_inputs: Floats
    test_targets: Floats


def load(tau: int, folder: str | Path | None = None) -> Series:
    """Return a series of 3751 points: the official file if there is one, else regenerated.

    The official file is mg_<tau>.npy, looked for in `folder`, or where the environment variable NEUROHIL_DATA points,
    directly or in a folder mackey_glass there. NeuroBench publishes no checksums, so a file is accepted if it follows
    the equation: its first two Lyapunov times are held against the regenerated series.

    Parameters
    ----------
    tau : int
        Delay, 17..30.
    folder : path, optional
        Takes the place of NEUROHIL_DATA.

    Raises
    ------
    UserError
        There is no such series, or the file isn't that series.
    """
    _parameters(tau)
    given = given_folder(folder)
    places = [given / f"mg_{tau}.npy", given / "mackey_glass" / f"mg_{tau}.npy"] if given else []
    path = next((place for place in places if os.path.isfile(place)), None)
    values = generate(tau)
    if path is None:
        return Series(tau, values, "regenerated", _sha256(values))
    values = _official(path, values)
    return Series(tau, values, "official", _sha256(values))


@functools.lru_cache(maxsize=28)
def generate(tau: int, n_points: int = POINTS) -> Floats:
    """Regenerate a series: x at tau + k lyapunov_time / 75, k = 0 ... n_points - 1.

    The first point is x(tau), as in the official files. The array is shared by all callers and therefore read-only.

    Parameters
    ----------
    tau : int
        Delay, 17..30.
    n_points : int
        At least 1; more than the official 3751 continue the series.

    Returns
    -------
    ndarray, shape (n_points,), float64

    Raises
    ------
    UserError
        There is no such series, or n_points is below 1.
    """
    parameters = _parameters(tau)
    if n_points < 1:
        raise UserError(f"mackey_glass: n_points = {n_points} must be at least 1")
    times: Floats = tau + np.arange(n_points, dtype=np.float64) * (parameters.lyapunov_time / POINTS_PER_LYAPUNOV_TIME)
    values = solve(float(tau), parameters.history, times)
    values.flags.writeable = False
    return values


def solve(tau: float, history: float, times: Floats, pieces: int = _PIECES, nodes: int = _NODES) -> Floats:
    """Solution x(t) of the equation for the constant history x(t <= 0).

    Parameters
    ----------
    tau : float
        Delay, above 0.
    history : float
    times : ndarray, shape (n,), float64
        Not negative, finite.
    pieces, nodes : int
        A delay is cut into `pieces`, each a polynomial through `nodes` Chebyshev points, its end among them.

    Returns
    -------
    ndarray, shape (n,), float64
        Right to some 1e-14 at first; then the error grows as chaos has it, e times per Lyapunov time.

    Raises
    ------
    UserError
        A value is out of range.
    """
    times = np.asarray(times, dtype=np.float64)
    if not (math.isfinite(tau) and tau > 0):
        raise UserError(f"mackey_glass: tau = {tau} must be positive and finite")
    if not math.isfinite(history):
        raise UserError(f"mackey_glass: history = {history} must be finite")
    if times.size and not (np.all(np.isfinite(times)) and times.min() >= 0):
        raise UserError("mackey_glass: times must be finite and not negative")
    if pieces < 1 or nodes < 2:
        raise UserError(f"mackey_glass: pieces = {pieces} must be at least 1 and nodes = {nodes} at least 2")
    step = _Step(tau / pieces, nodes)
    piece = np.floor(times / step.length).astype(np.int64)
    solution = np.full((pieces + piece.max(initial=0) + 1, nodes), float(history))  # the first `pieces` are the past
    for k in range(pieces, len(solution)):
        delayed = solution[k - pieces]
        with np.errstate(over="ignore"):  # far out the term is zero, as it should be
            forcing = BETA * delayed / (1.0 + delayed**EXPONENT)
        solution[k] = step.decay * solution[k - 1, -1] + step.response @ forcing
    return step.interpolate(solution[pieces + piece], times - piece * step.length)


def window(values: Floats, repeat: int) -> Window:
    """Repeat 0..29 of the benchmark: 1501 points from half a Lyapunov time times its number on, rounded down.

    Raises
    ------
    UserError
        The series is too short.
    """
    return window_at(values, int(repeat * POINTS_PER_LYAPUNOV_TIME / 2))


def window_at(values: Floats, start: int) -> Window:
    """As `window`, from any point on.

    Raises
    ------
    UserError
        The series is too short or holds a value that is not finite, or start is negative.
    """
    values = arrays.floats("mackey_glass: values", values, (None,))
    end = start + TRAINING_POINTS + TEST_POINTS + 1
    if start < 0 or end > len(values):
        raise UserError(f"mackey_glass: points {start}..{end - 1} are outside 0..{len(values) - 1}; start elsewhere")
    part = values[start:end]
    inputs, targets = part[:-1], part[1:]
    cut = TRAINING_POINTS
    return Window(inputs[:cut], targets[:cut], inputs[cut:], targets[cut:])


class _Step:
    """The solution over one piece from its start and the delayed term: x = decay x_start + response f.

    x(t) = exp(-gamma t) x_start + integral_0^t exp(-gamma (t - s)) f(s) ds at the nodes, where f is the polynomial
    through its values at the nodes. The last node is the end of the piece, the first one its start.

    Parameters
    ----------
    length : float
        Of a piece.
    nodes : int
        Chebyshev points of the second kind.
    """

    def __init__(self, length: float, nodes: int) -> None:
        self.length = length
        self._to_coefficients = np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts2(nodes), nodes - 1))
        unit = chebyshev.chebpts2(nodes)  # -1..1
        time = 0.5 * length * (unit + 1.0)
        # The integrand is a polynomial times an exponential that hardly bends: Gauss points, well above the degree.
        points, weights = np.polynomial.legendre.leggauss(nodes)
        self.decay = np.exp(-GAMMA * time)
        self.response = np.empty((nodes, nodes))
        for i, t in enumerate(time):
            s = 0.5 * t * (points + 1.0)
            values = chebyshev.chebvander(2.0 * s / length - 1.0, nodes - 1) @ self._to_coefficients
            self.response[i] = 0.5 * t * (weights * np.exp(-GAMMA * (t - s))) @ values

    def interpolate(self, pieces: Floats, time: Floats) -> Floats:
        """Values at times (n,) since the start of the pieces (n, nodes)."""
        basis = chebyshev.chebvander(2.0 * time / self.length - 1.0, pieces.shape[1] - 1)
        return np.einsum("ij,ij->i", basis, pieces @ self._to_coefficients.T)


def _parameters(tau: int) -> Parameters:
    if tau not in PARAMETERS:
        raise UserError(f"mackey_glass: there is no series for tau = {tau!r}; choose one of 17..30")
    return PARAMETERS[tau]


def _sha256(values: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f8").tobytes()).hexdigest()


def _official(path: Path, regenerated: Floats) -> Floats:
    remedy = "replace it by the file of huggingface.co/datasets/NeuroBench/mackey_glass, or remove it to regenerate"
    values = read_npy(path, remedy)
    if values.shape != (POINTS,) or values.dtype != np.float64:
        raise UserError(f"{path} holds {values.dtype} {values.shape}; expected float64 ({POINTS},); {remedy}")
    if not np.all(np.isfinite(values)):
        raise UserError(f"{path} holds values that are not finite; {remedy}")
    off = float(np.abs(values - regenerated)[:_COMPARED_POINTS].max())
    if off > _COMPARED_TOLERANCE:
        raise UserError(
            f"{path} is another series: its first {_COMPARED_POINTS} points are up to {off:.2g} from the solution of"
            f" the equation, allowed {_COMPARED_TOLERANCE:g}; {remedy}"
        )
    return values
