"""Measurements, run from the checkout: `python -m benchmarks.NAME`. Never installed; public API only."""
