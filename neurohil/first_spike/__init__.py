"""Closed forms of the first spike, readable and compiled: ground for the ideal target and for DelGrad."""
