"""Traces: the HDF5 file that a training run writes while it runs, and what is drawn from it."""

from hil.trace.layouts.delgrad import delgrad_layout
from hil.trace.plots.delgrad import draw_delgrad
from hil.trace.reader import Trace
from hil.trace.schema import Quantity, TraceError
from hil.trace.writer import TraceWriter

__all__ = ["Quantity", "Trace", "TraceError", "TraceWriter", "delgrad_layout", "draw_delgrad"]
