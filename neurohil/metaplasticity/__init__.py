"""Metaplasticity: continual learning with quantised analogue weights and consolidated hidden weights."""
