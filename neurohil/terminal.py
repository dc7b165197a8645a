"""Drawing with characters: sparklines, curves and points in braille dots, images in shades."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BARS = "▁▂▃▄▅▆▇█"
SHADES = " ░▒▓█"
NO_CODE = "·"
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # Unicode braille patterns, [row, column]
_EMPTY_BRAILLE = 0x2800


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size().columns


def cut(line: str, columns: int) -> str:
    """The line without blanks at its end, cut with an ellipsis where it is longer than that."""
    line = line.replace("\n", " ").rstrip()
    return line if len(line) <= columns else line[: max(columns - 1, 0)] + "…"


def number(value: float) -> str:
    """A number with up to four significant digits; integers in full."""
    return f"{value:d}" if isinstance(value, int | np.integer) else f"{value:.4g}"


def sparkline(values: NDArray, columns: int = 12) -> str:
    """A bar for each of at most so many parts of the values, as high as their mean; blank where there is no number."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(columns, len(values)) or 1)
    means = np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts])
    finite = means[np.isfinite(means)]
    if not finite.size:
        return ""
    low, high = finite.min(), finite.max()
    middle = (len(BARS) - 1) / 2
    heights = np.where(np.isnan(means), -1, middle)
    if high > low:
        # Halved first: the range of the values may be beyond the largest number.
        share = (means / 2 - low / 2) / (high / 2 - low / 2)
        heights = np.where(np.isnan(means), -1, share * (len(BARS) - 1))
    return "".join(" " if height < 0 else BARS[round(height)] for height in heights)


def frame(rows: Sequence[str], x: tuple[float, float], y: tuple[float, float], x_label: str, y_label: str) -> str:
    """Rows of characters with the ranges of both axes written beside and below them; the y range from bottom to top."""
    bottom, top = number(y[0]), number(y[1])
    margin = max(len(bottom), len(top))
    marks = [top, *[""] * (len(rows) - 2), bottom] if len(rows) > 1 else [top]
    body = [f"{mark:>{margin}} │{row}" for mark, row in zip(marks, rows, strict=True)]
    columns = len(rows[0])
    left, right = number(x[0]), number(x[1])
    below = f"{left}{cut(x_label, columns - len(left) - len(right) - 2):^{columns - len(left) - len(right)}}{right}"
    return "\n".join([y_label, *body, f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {below}"])


class BrailleCanvas:
    """Rows of braille characters, each of two by four dots.

    Parameters
    ----------
    columns, rows : int
        Size in characters.
    x, y : pair of float
        Ranges that the canvas covers; y from bottom to top.
    """

    def __init__(self, columns: int, rows: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
        self._x, self._y = x, y

    def points(self, x: NDArray, y: NDArray) -> None:
        """A dot for each point; those that are no numbers are left out."""
        height, width = self._dots.shape
        columns, rows = _positions(x, self._x, width), _positions(y, self._y, height)
        inside = (columns >= 0) & (rows >= 0)
        self._dots[height - 1 - rows[inside], columns[inside]] = True

    def curve(self, x: NDArray, y: NDArray) -> None:
        """The points joined by lines, broken where there is no number."""
        self.points(x, y)
        height, width = self._dots.shape
        columns, rows = _positions(x, self._x, width), _positions(y, self._y, height)
        known = (columns >= 0) & (rows >= 0)
        joined = known[:-1] & known[1:]
        steps = np.maximum(abs(np.diff(columns)), abs(np.diff(rows)))
        # Neighbours within a dot need no line between them.
        for k in np.flatnonzero(joined & (steps > 1)):
            along = np.linspace(0.0, 1.0, steps[k] + 1)
            column = np.rint(columns[k] + along * (columns[k + 1] - columns[k])).astype(int)
            row = np.rint(rows[k] + along * (rows[k + 1] - rows[k])).astype(int)
            self._dots[height - 1 - row, column] = True

    def lines(self) -> list[str]:
        """The rows as text."""
        height, width = self._dots.shape
        cells = self._dots.reshape(height // 4, 4, width // 2, 2)
        codes = _EMPTY_BRAILLE + np.einsum("rick,ik->rc", cells, _DOTS)
        return ["".join(map(chr, row)) for row in codes]


def _positions(values: NDArray, bounds: tuple[float, float], size: int) -> NDArray[np.int64]:
    """Which dot each value falls on; -1 for what is no number."""
    low, high = bounds
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    share = (values / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.full(values.shape, 0.5)
    return np.where(finite, np.rint(np.clip(np.where(finite, share, 0.0), 0, 1) * (size - 1)), -1).astype(np.int64)


def shaded(image: NDArray, columns: int, rows: int) -> list[str]:
    """An image (row, column) in five shades from its lowest to its highest value, averaged where it is too large."""
    repeat = _repeat(image.shape[1], columns)
    parts = _averaged(_averaged(np.asarray(image, dtype=np.float64), rows, 0), columns, 1)
    finite = np.isfinite(parts)
    if not finite.any():
        return [" " * (repeat * parts.shape[1]) for _ in parts]
    low, high = parts[finite].min(), parts[finite].max()
    share = (parts / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.full(parts.shape, 0.5)
    shade = np.rint(np.where(finite, share, 0.0) * (len(SHADES) - 1)).astype(int)
    return ["".join(SHADES[k] * repeat for k in row) for row in shade]


def coded(image: NDArray, columns: int, rows: int) -> list[str]:
    """An image (row, column) of codes 0 to 9, one digit each, thinned where it is too large; a dot for other codes."""
    repeat = _repeat(image.shape[1], columns)
    row, column = _thinned(image.shape[0], rows), _thinned(image.shape[1], columns)
    chosen = image[np.ix_(row, column)]
    return ["".join((str(k) if 0 <= k <= 9 else NO_CODE) * repeat for k in line) for line in chosen]


def _repeat(pixels: int, columns: int) -> int:
    """Characters for a pixel: two make it about square, more a narrow image wide enough for its labels."""
    return max(1, min(columns // pixels, max(2, 24 // pixels)))


def _averaged(image: NDArray, parts: int, axis: int) -> NDArray:
    size = image.shape[axis]
    if size <= parts:
        return image
    starts = np.linspace(0, size, parts, endpoint=False).astype(int)
    known = np.isfinite(image)
    count = np.add.reduceat(known.astype(np.float64), starts, axis)
    total = np.add.reduceat(np.where(known, image, 0.0), starts, axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _thinned(size: int, parts: int) -> NDArray[np.int64]:
    return np.linspace(0, size - 1, min(size, parts)).round().astype(np.int64)
