"""Compiled counts against sums of numpy, over types and shapes."""

import numpy as np
import pytest

from neurohil.neurobench.operations import of_calls
from neurohil.neurobench.records import LayerRecord, Linear

TYPES = [np.float32, np.float64, np.float16, np.longdouble, np.int8, np.uint8, np.int64, np.bool_, np.dtype(">f4")]


@pytest.mark.parametrize("of_weight", [np.float32, np.float64, np.int8])
@pytest.mark.parametrize("of_inputs", TYPES)
def test_counts_are_those_of_plain_sums(of_inputs, of_weight):
    rng = np.random.default_rng(1)
    weight = rng.integers(-1, 3, (11, 7)).astype(of_weight)
    whole = np.abs(rng.integers(-3, 4, (4, 5, 3, 7)))
    whole[1], whole[2] = whole[1] != 0, 0
    inputs = whole.astype(of_inputs)
    if np.dtype(of_inputs).kind == "f":
        inputs[3] = np.nextafter(inputs[3].dtype.type(1), inputs[3].dtype.type(2))  # almost 1 is no unit
        inputs[0, 0, 0, :3] = np.nan, -1.0, np.inf
    done = of_calls(LayerRecord(Linear("a", weight), inputs))
    effective = ((inputs != 0) * (weight != 0).sum(axis=0)).sum(axis=(1, 2, 3))
    is_unit = [bool(np.isin(call, (-1, 0, 1)).all()) for call in inputs]
    assert is_unit[1] and is_unit[2] and is_unit[3] == is_unit[0] == (np.dtype(of_inputs) == np.bool_)
    assert done.acs == effective[is_unit].sum() > 0 and done.macs == effective.sum() - done.acs
    assert done.dense == inputs.size * len(weight)


def test_inputs_in_any_order_in_memory():
    rng = np.random.default_rng(2)
    weight, inputs = rng.integers(0, 2, (3, 5)).astype(float), rng.integers(0, 3, (5, 6, 2)).astype(float).T
    plain = of_calls(LayerRecord(Linear("a", weight.copy()), inputs.copy()))
    assert of_calls(LayerRecord(Linear("a", np.asfortranarray(weight)), inputs)) == plain and plain.macs > 0
