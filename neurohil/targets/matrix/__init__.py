"""Targets that multiply by layers of quantised weights, one file each."""
