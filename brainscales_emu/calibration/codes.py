"""Codes that stand in a file: of a calibration of this emulator, or in a table with a row per circuit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..capmem import PARAMETERS, Codes
from ..constants import N_CIRCUITS
from ..errors import ChipError
from ..tables import read_circuits
from .search import Calibration

# What vendor software (calix) calls the parameters in its results.
VENDOR_NAMES = {
    "leak": "leak",
    "reset": "reset",
    "threshold": "threshold",
    "tau_mem": "i_leak",
    "tau_syn_exc": "exc_i_tau",
    "tau_syn_inh": "inh_i_tau",
    "gain_exc": "exc_gm",
    "gain_inh": "inh_gm",
}


def read_codes(path: str | os.PathLike[str]) -> Codes:
    """Codes of all circuits, from what `Calibration.save` wrote or from a table.

    A table is CSV with a row for each of the 512 circuits: a column ``circuit``, and one for each of the parameters,
    called as the fields of `capmem.Codes` or as in the vendor's results (``leak, reset, threshold, i_leak, exc_i_tau,
    inh_i_tau, exc_gm, inh_gm``). Other columns may be there and play no part. See `tables.read_circuits` for the form.

    Codes belong to the chip that they were found on: on another one they make other potentials and time constants.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Codes

    Raises
    ------
    ChipError
        The file can't be read, lacks a parameter or a circuit, or holds what is no code.
    """
    import h5py

    if Path(path).is_file() and h5py.is_hdf5(path):
        return Calibration.load(path).codes
    table, where = read_circuits(path, "calibration"), f"calibration file {path}"
    codes = {}
    for name in PARAMETERS:
        found = [column for column in dict.fromkeys((name, VENDOR_NAMES[name])) if column in table]
        if len(found) != 1:
            either = " or ".join(dict.fromkeys((name, VENDOR_NAMES[name])))
            wrong = f"both {found[0]} and {found[1]}" if found else f"no column {either}"
            raise ChipError(f"{where} has {wrong}; give each of the parameters {', '.join(PARAMETERS)} one column")
        values = table[found[0]]
        missing = np.flatnonzero(np.isnan(values))
        if missing.size:
            raise ChipError(
                f"{where} has no {found[0]} of {missing.size} of {N_CIRCUITS} circuits, the first is {missing[0]}; "
                "give every circuit a code, to those that aren't used e.g. the median"
            )
        codes[name] = _whole(values, f"{where}: {found[0]}")
    try:
        return Codes(**codes)
    except ChipError as error:
        raise ChipError(f"{where}: {str(error).removeprefix('capmem.')}") from None


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    wrong = np.flatnonzero(np.rint(values) != values)
    if wrong.size or np.any(np.abs(values) > 2.0**53):
        first = wrong[0] if wrong.size else np.argmax(np.abs(values))
        raise ChipError(f"{name}[{first}] = {values[first]:g} is no code; codes are whole numbers 0..1022")
    return values.astype(np.int64)
