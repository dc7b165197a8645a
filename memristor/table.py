"""A device model from measured statistics in a CSV file."""

from __future__ import annotations

import csv
import reprlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .device_model import MAX_TIME_S, DeviceModel, Pieces, changed
from .errors import CrossbarError, check_number, exact

FloatArray = NDArray[np.float64]

_COLUMNS = ("level", "mean_uS", "sigma_uS", "time_s")


def table_model(path: str | Path, **changes: object) -> DeviceModel:
    """Model from measured statistics.

    Between levels the spread and the mean are linear in conductance, between times in ln t. A level's conductance is
    its mean at the first time.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``level`` (a number that orders the levels), ``mean_uS``, ``sigma_uS`` and ``time_s``
        (since the write): at least two levels, every level at the same times, times ascending.
    **changes
        Attributes of `DeviceModel` that the table doesn't give, e.g. ``endurance_cycles``.

    Returns
    -------
    DeviceModel

    Raises
    ------
    CrossbarError
        With file, line, value and remedy.
    """
    path = Path(path)
    levels = _read_levels(path)
    times = tuple(time for time, _, _ in next(iter(levels.values())))
    means = np.array([[mean for _, mean, _ in levels[level]] for level in sorted(levels)]).T  # [time, level]
    sigmas = np.array([[sigma for _, _, sigma in levels[level]] for level in sorted(levels)]).T
    breaks = means[0]
    if not np.all(np.diff(breaks) > 0):
        raise CrossbarError(
            f"{path.name}: mean_uS at {exact(times[0])} s doesn't rise from level to level; sort the levels"
        )

    def straight(values: FloatArray) -> Pieces:
        slopes = np.diff(values) / np.diff(breaks)
        return tuple((float(start), float(slope)) for start, slope in zip(values[:-1], slopes, strict=True))

    spread = tuple(straight(row) for row in sigmas)
    model = DeviceModel(
        name=path.stem,
        citation=f"measured statistics in {path.name}",
        fitted="mean and spread at the times in the table",
        assumed="linear between levels and in ln t, held after the last time; everything that isn't in the table",
        g_low_uS=float(breaks[0]),
        g_high_uS=float(breaks[-1]),
        breaks_uS=tuple(float(g) for g in breaks),
        program_fit=spread[0],
        times_s=times,
        spread_fit=spread,
        drift_fit=tuple(straight(row - breaks) for row in means),
    )
    return changed(model, changes)


def _read_levels(path: Path) -> dict[float, list[tuple[float, float, float]]]:
    """(time_s, mean_uS, sigma_uS) of each level in order of time, checked."""
    levels: dict[float, list[tuple[float, float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        for column in _COLUMNS:
            if column not in (reader.fieldnames or ()):
                raise CrossbarError(
                    f"{path.name}, line 1: column {column} is missing; the columns are {', '.join(_COLUMNS)}"
                )
        for row in reader:
            where = f"{path.name}, line {reader.line_num}: "
            values = []
            for column in _COLUMNS:
                try:
                    value = float(row[column])
                except (TypeError, ValueError):
                    raise CrossbarError(
                        f"{where}{column} = {reprlib.repr(row[column])} is not a number; give one"
                    ) from None
                values.append(value)
            level, mean, sigma, time = values
            check_number(f"{where}level", level, -1e6, 1e6, "", "number the levels")
            check_number(f"{where}mean_uS", mean, 0.0, 1e5, "uS", "give a conductance")
            check_number(f"{where}sigma_uS", sigma, 0.0, 1e5, "uS", "give a standard deviation")
            check_number(f"{where}time_s", time, 1e-9, MAX_TIME_S, "s", "give the time since the write")
            known = levels.setdefault(level, [])
            if known and time <= known[-1][0]:
                raise CrossbarError(
                    f"{where}time_s = {exact(time)} s doesn't come after {exact(known[-1][0])} s of the same level;"
                    " sort the times, each once"
                )
            known.append((time, mean, sigma))
    if len(levels) < 2:
        raise CrossbarError(f"{path.name}: {len(levels)} level(s) are not enough to interpolate; give at least two")
    first = next(iter(levels))
    for level, known in levels.items():
        if [time for time, _, _ in known] != [time for time, _, _ in levels[first]]:
            raise CrossbarError(
                f"{path.name}: level {exact(level)} has other times than level {exact(first)};"
                " give every level at the same times"
            )
    return levels
