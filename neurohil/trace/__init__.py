"""Traces: the HDF5 file that a run writes while it goes on, and what is made of it. Knows no kind of run."""

from neurohil.trace.reader import Trace
from neurohil.trace.schema import Quantity, TraceError
from neurohil.trace.writer import TraceWriter

__all__ = ["Quantity", "Trace", "TraceError", "TraceWriter"]
