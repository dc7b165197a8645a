"""Counting, compiled; the readable form of each is in the tests."""

from __future__ import annotations

import numpy as np

from neurohil.jit import njit


@njit(cache=True, error_model="numpy")
def _is_unit(inputs):
    """Whether all of inputs (rows, n_in) are -1, 0 or 1."""
    for row in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            if inputs[row, k] != 0 and abs(inputs[row, k]) != 1:
                return False
    return True


@njit(cache=True, error_model="numpy")
def linear_operations(weight, inputs):
    """Inputs that aren't zero times the weights that aren't, of each call, and whether all its inputs are -1, 0 or 1.

    weight (n_out, n_in) and inputs (calls, rows, n_in), C-contiguous. Returns (calls,) int64 and (calls,) bool.
    """
    calls, rows, n_in = inputs.shape
    fan_out = np.zeros(n_in, np.int32)  # so many lanes as in a register; the products are in 64 bits
    for row in range(weight.shape[0]):
        for k in range(n_in):
            fan_out[k] += weight[row, k] != 0
    effective, is_unit = np.empty(calls, np.int64), np.empty(calls, np.bool_)
    for call in range(calls):
        active = np.zeros(n_in, np.int32)
        for row in range(rows):
            for k in range(n_in):
                active[k] += inputs[call, row, k] != 0
        total = np.int64(0)
        for k in range(n_in):
            total += np.int64(active[k]) * np.int64(fan_out[k])
        effective[call], is_unit[call] = total, _is_unit(inputs[call])
    return effective, is_unit
