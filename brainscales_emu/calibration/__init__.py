"""Codes found by measurement, as on a real chip: the instrument, what it measures, and the search over both."""

from .codes import read_codes
from .search import Calibration, calibrate

__all__ = ["Calibration", "calibrate", "read_codes"]
