"""Data sets, generated or read from files, as plain arrays."""
