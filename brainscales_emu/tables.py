"""Tables with a row per neuron circuit, as people keep them: CSV from a spreadsheet or a script, or HDF5."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .constants import N_CIRCUITS
from .errors import ChipError

FloatArray = NDArray[np.float64]

CIRCUIT = "circuit"


def read_circuits(path: str | os.PathLike[str], noun: str) -> dict[str, FloatArray]:
    """Read a table of circuits.

    CSV: a header row; a column ``circuit`` with 0..511, each at most once, in any order; cells are parted by commas,
    semicolons or tabs (then a decimal comma is one), and an empty cell holds nothing. Empty lines and lines that
    begin with ``#`` are skipped. HDF5: a dataset per column, with one ``circuit`` that numbers their entries, or each
    of length 512; NaN holds nothing.

    Parameters
    ----------
    path : str or path-like
    noun : str
        What errors call the file, e.g. ``measured``.

    Returns
    -------
    dict of (512,) float64
        By column; NaN where the table holds nothing.

    Raises
    ------
    ChipError
        The file can't be read, or is no such table; the message names the line or the dataset.
    """
    import h5py

    where = f"{noun} file {path}"
    if not Path(path).is_file():
        raise ChipError(f"{where} doesn't exist, or is no file; check the path")
    try:
        columns = _hdf5(path, where) if h5py.is_hdf5(path) else _csv(path, where)
    except OSError as error:
        raise ChipError(f"{where} can't be read ({error.strerror or 'damaged HDF5'}); check the file") from error
    if CIRCUIT not in columns:
        if any(column.size != N_CIRCUITS for column in columns.values()):
            raise ChipError(f"{where} doesn't say which circuits it is about; add a column {CIRCUIT} with 0..511")
        return columns
    given = columns.pop(CIRCUIT)
    bad = given[~((given >= 0) & (given < N_CIRCUITS) & (np.rint(given) == given))]
    if bad.size:
        raise ChipError(f"{where} has {CIRCUIT} = {bad[0]:g}; circuits have whole numbers 0..{N_CIRCUITS - 1}")
    circuits = given.astype(np.int64)
    numbers, times = np.unique(circuits, return_counts=True)
    if np.any(times > 1):
        raise ChipError(f"{where} has circuit {numbers[times > 1][0]} more than once; keep one of its rows")
    table = {}
    for name, column in columns.items():
        if column.size != circuits.size:
            raise ChipError(
                f"{where}: {name} has length {column.size}, but {CIRCUIT} {circuits.size}; make them of one length"
            )
        table[name] = np.full(N_CIRCUITS, np.nan)
        table[name][circuits] = column
    return table


def check_columns(
    table: dict[str, FloatArray], known: Sequence[str], path: str | os.PathLike[str], noun: str
) -> dict[str, FloatArray]:
    """The table, if it has columns and all of them are known.

    Raises
    ------
    ChipError
        It has none, or one that isn't known: what is misspelt must not be left out without a word.
    """
    unknown = [name for name in table if name not in known]
    if unknown or not table:
        wrong = f"has an unknown column {unknown[0]!r}" if unknown else "has no column of values"
        raise ChipError(f"{noun} file {path} {wrong}; known are {CIRCUIT}, {', '.join(known)}")
    return table


def _csv(path: str | os.PathLike[str], where: str) -> dict[str, FloatArray]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a mark
    except UnicodeDecodeError:
        raise ChipError(f"{where} is no text in UTF-8 and no HDF5 file; save the table as CSV in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _says_something(line)]
    if len(lines) < 2:
        raise ChipError(f"{where} has no rows; give a header and a row per circuit")
    delimiter = next((sign for sign in ";\t" if sign in lines[0][1]), ",")
    (_, header), *rows = [(number, _cells(line, delimiter, f"{where}, line {number}")) for number, line in lines]
    twice = [name for name in header if header.count(name) > 1]
    if "" in header or twice:
        wrong = f"has two columns {twice[0]!r}" if twice else "has a column without a name"
        raise ChipError(f"{where} {wrong}; give every column one name of its own")
    if CIRCUIT not in header:
        raise ChipError(f"{where} has no column {CIRCUIT!r} in its header {', '.join(header)}; add it, with 0..511")
    table = []
    for number, row in rows:
        if len(row) != len(header):
            raise ChipError(f"{where}, line {number} has {len(row)} cells, but the header {len(header)}; fill it up")
        table.append(
            [
                _number(cell, delimiter, f"{where}, line {number}: {name}")
                for name, cell in zip(header, row, strict=True)
            ]
        )
    return dict(zip(header, np.array(table).T.copy(), strict=True))


def _says_something(line: str) -> bool:
    return bool(line.strip(" ;,\t")) and not line.lstrip().startswith("#")


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    try:
        (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise ChipError(f"{where} is no row of a table ({error}); correct it") from None
    return [cell.strip() for cell in cells]


def _number(cell: str, delimiter: str, name: str) -> float:
    if not cell:
        return np.nan
    try:
        return float((cell if delimiter == "," else cell.replace(",", ".")).replace("_", "no number"))
    except ValueError:
        raise ChipError(f"{name} = {cell[:40]!r} is no number; correct it, or leave the cell empty") from None


def _hdf5(path: str | os.PathLike[str], where: str) -> dict[str, FloatArray]:
    import h5py

    columns = {}
    with h5py.File(path, "r") as file:
        for name, dataset in file.items():
            if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iuf":
                raise ChipError(f"{where}: {name} is no one-dimensional dataset of numbers; give one per quantity")
            if dataset.size > N_CIRCUITS:
                raise ChipError(f"{where}: {name} has length {dataset.size}, but a chip has {N_CIRCUITS} circuits")
            columns[name] = np.asarray(dataset[()], dtype=np.float64)
    return columns
