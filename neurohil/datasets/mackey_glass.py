"""The 14 Mackey-Glass series of NeuroBench's chaotic function prediction, regenerated or read from the official files.

    dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t),    x(t <= 0) constant

M. C. Mackey, L. Glass, Science 197 (1977); parameters of the series: NeuroBench (J. Yik et al., Nature Communications
16:1545, 2025), data set card "NeuroBench/mackey_glass" (CC BY 4.0). The series are chaotic: the official ones come from
one machine and can't be reproduced bit for bit, by NeuroBench's own generator neither. Two careful integrators agree
for the first 10 to 20 Lyapunov times and go their own ways on the same attractor after that; say "regenerated" with
every result.

Integration. Between two multiples of tau the delayed term is a known function of time (method of steps), so the
equation is linear there and its solution an integral, which `_Step` takes in Chebyshev polynomials, to rounding errors.

A last bit decides where a chaotic series goes. So that a regenerated series has the same bits on every machine, its
coefficients are computed in decimals, and the rest in additions, multiplications and divisions of float64 in a fixed
order, which IEEE 754 settles: no matrix product of BLAS, no power or exponential of a library.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import os.path
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.datasets.files import given_folder, read_npy
from neurohil.errors import UserError

Floats = NDArray[np.float64]

BETA, GAMMA = 0.2, 0.1
POINTS_PER_LYAPUNOV_TIME = 75
LYAPUNOV_TIMES = 50
POINTS = LYAPUNOV_TIMES * POINTS_PER_LYAPUNOV_TIME + 1
TRAINING_POINTS = TEST_POINTS = 10 * POINTS_PER_LYAPUNOV_TIME
REPEATS = 30

# A delay is cut into so many pieces, each a polynomial through so many points: more than rounding errors call for.
_PIECES = 16
_NODES = 20
# Of the decimals, many more than float64 can hold.
_DIGITS = 50
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
            square = delayed * delayed
            fourth = square * square
            forcing = BETA * delayed / (1.0 + fourth * fourth * square)
        solution[k] = step.decay * solution[k - 1, -1] + _weighted_sum(step.response, forcing[:, np.newaxis])
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
        with localcontext(prec=_DIGITS):
            points, to_coefficients = _chebyshev(nodes)
            gauss = _gauss_legendre(nodes)  # the exponential hardly bends: well above the degree
            gamma, piece = Decimal(GAMMA), Decimal(length)
            decay, response = [], []
            for point in points:
                t = piece * (point + 1) / 2
                moments = [Decimal(0)] * nodes  # integrals of the exponential times each Chebyshev polynomial
                for place, weight in gauss:
                    s = t * (place + 1) / 2
                    factor = t / 2 * weight * (-gamma * (t - s)).exp()
                    for k, value in enumerate(_polynomials(2 * s / piece - 1, nodes)):
                        moments[k] += factor * value
                decay.append((-gamma * t).exp())
                columns = zip(*to_coefficients, strict=True)
                response.append([sum(m * c for m, c in zip(moments, column, strict=True)) for column in columns])
        self.decay = np.array(decay, dtype=np.float64)
        self.response = np.array(response, dtype=np.float64).T.copy()
        self._to_coefficients = np.array(to_coefficients, dtype=np.float64).T.copy()

    def interpolate(self, pieces: Floats, time: Floats) -> Floats:
        """Values at times (n,) since the start of the pieces (n, nodes)."""
        basis = chebyshev.chebvander(2.0 * time / self.length - 1.0, pieces.shape[1] - 1).astype(np.float64, copy=False)
        coefficients = _weighted_sum(self._to_coefficients[:, :, np.newaxis], pieces.T[:, np.newaxis])  # (nodes, n)
        return _weighted_sum(basis.T.astype(np.float64, copy=False), coefficients)


def _weighted_sum(terms: Floats, weights: Floats) -> Floats:
    """Sum of terms[j] * weights[j] over j: the second half is added to the first, until one row is left."""
    products: Floats = terms * weights
    while len(products) > 1:
        half = len(products) // 2
        folded = products[:half] + products[half : 2 * half]
        if len(products) % 2:
            folded[0] += products[-1]
        products = folded
    return products[0]


def _polynomials(x: Decimal, n: int) -> list[Decimal]:
    """Chebyshev polynomials T_0 ... T_(n - 1) at x."""
    values = [Decimal(1), x]
    while len(values) < n:
        values.append(2 * x * values[-1] - values[-2])
    return values[:n]


@functools.cache
def _chebyshev(nodes: int) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Chebyshev points of the second kind, ascending, and the matrix from values there to coefficients.

    With N = nodes - 1, x_j = -cos(pi j / N), and half weight at j, k = 0 and N: c_k = 2 / N sum_j T_k(x_j) f_j.
    """
    last = nodes - 1
    angle = _pi() / last
    points = [-_cosine(angle * j) for j in range(nodes)]
    half = [Decimal(1) / 2 if j in (0, last) else Decimal(1) for j in range(nodes)]
    values = [_polynomials(x, nodes) for x in points]
    matrix = [[2 * half[k] * half[j] * values[j][k] / last for j in range(nodes)] for k in range(nodes)]
    return points, matrix


@functools.cache
def _gauss_legendre(n: int) -> list[tuple[Decimal, Decimal]]:
    """Points and weights on -1..1: zeros of the Legendre polynomial P_n by Newton, 2 / ((1 - x^2) P_n'(x)^2)."""
    found = []
    for i in range(n):
        x = -_cosine(_pi() * (4 * i + 3) / (4 * n + 2))
        for _ in range(8):  # right digits double; 4 would do
            before, here = Decimal(1), x
            for k in range(2, n + 1):
                before, here = here, ((2 * k - 1) * x * here - (k - 1) * before) / k
            slope = n * (x * here - before) / (x * x - 1)
            x -= here / slope
        found.append((x, 2 / ((1 - x * x) * slope * slope)))
    return found


@functools.cache
def _pi() -> Decimal:
    """Machin: pi / 4 = 4 arctan(1 / 5) - arctan(1 / 239)."""

    def arctan_of_inverse(n: int) -> Decimal:
        return sum(((-1) ** k / (Decimal(2 * k + 1) * Decimal(n) ** (2 * k + 1)) for k in range(60)), Decimal(0))

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))


def _cosine(x: Decimal) -> Decimal:
    """cos(x) for |x| <= 4, by its series."""
    term = total = Decimal(1)
    for k in range(1, 40):
        term = -term * x * x / ((2 * k - 1) * (2 * k))
        total += term
    return total


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
