"""A trace as one HTML page: interactive figures, tables and the configuration, without network."""

from neurohil.trace.report.page import write_report

__all__ = ["write_report"]
