"""Which HDF5 files were exported: they say so, and they alone are replaced."""

from __future__ import annotations

from pathlib import Path

from neurohil.files import has_hdf5_mark

MARK = "neurohil trace export"
"""Their attribute ``creator``."""


def is_exported(path: Path) -> bool:
    """Whether a file was exported from a trace."""
    return has_hdf5_mark(path, MARK)
