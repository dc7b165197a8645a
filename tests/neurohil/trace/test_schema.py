"""The layout says what a run must deliver, and refuses what could not be stored."""

import re

import numpy as np
import pytest
import synthetic_run as run

from neurohil.protocols import Quantity
from neurohil.trace import TraceError
from neurohil.trace.provenance import CHIP, IDEAL_NEURONS
from neurohil.trace.schema import Array


def refuses(text: str):
    return pytest.raises(TraceError, match=f"^{re.escape(text)}$")


def shapes(arrays):
    return {path: array.shape for path, array in arrays.items()}


def test_what_a_run_delivers_per_epoch():
    plan = run.delgrad_layout((20, 30, 3), (4, 30), 1000, "us", CHIP)
    assert shapes(plan.growing()) == {
        "run/accuracy/validation_accuracy": (None,),
        "run/accuracy/train_accuracy": (None,),
        "run/loss/train_loss": (None,),
        "run/silence/bumped_batches": (None,),
        "run/silence/missing_spikes": (None,),
        "run/weights_0/weights": (None, 20, 30),
        "run/weights_1/weights": (None, 30, 3),
        "run/delays_0/delays": (4, None),
        "run/delays_1/delays": (30, None),
    }


def test_what_a_run_delivers_at_its_end():
    plan = run.delgrad_layout((4, 30, 3), (0, 0), 7, "1", IDEAL_NEURONS)
    final = shapes(plan.final())
    samples = {path for path in final if path.startswith("run/samples/")}
    assert {path.split("/", 3)[3] for path in samples} == {
        "raster/layer", "raster/time", "raster/neuron", "membrane/potential", "membrane/time",
    }  # fmt: skip
    assert len(samples) == 15
    assert {path: shape for path, shape in final.items() if path not in samples} == {
        "run/decisions/predicted": (7,),
        "run/decisions/label": (7,),
        "run/decisions/x": (7,),
        "run/decisions/y": (7,),
        "run/decision_map/predicted": (None, None),
        "run/decision_map/y": (None,),
        "run/decision_map/x": (None,),
        "run/test_times/spike_time": (3, 7),
        "run/results/test_accuracy": (),
        "run/results/tested_epoch": (),
        "run/results/validation_accuracy": (),
        "run/results/missing_spikes": (),
        "run/results/chip_seconds": (),
    }


@pytest.mark.parametrize("case", [run.CHIP, run.IDEAL, run.SYNAPTIC, run.DEEP], ids=lambda case: case.name)
def test_every_dataset_is_written_exactly_once(case):
    plan = run.layout(case)
    everything = [path for path, _ in plan.arrays()]
    assert len(set(everything)) == len(everything)
    assert sorted([*plan.static(), *plan.growing(), *plan.final()]) == sorted(everything)


def test_unknown_unit_of_time():
    with refuses("time_units = 'ms' is unknown; use 'us' for a chip or '1' for units of tau_s"):
        run.delgrad_layout((4, 3), (0,), 5, "ms", CHIP)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (
            Quantity("gain", np.array(["high"]), ("row",), "1", "gain"),
            "fixed pattern gain has values of type <U4 and shape (1,); "
            "give numbers in one or two dimensions, at least one",
        ),
        (
            Quantity("gain", np.zeros((2, 2, 2)), ("a", "b", "c"), "1", "gain"),
            "fixed pattern gain has values of type float64 and shape (2, 2, 2); "
            "give numbers in one or two dimensions, at least one",
        ),
        (
            Quantity("row", np.zeros(3), ("row",), "1", "row"),
            "fixed pattern row has dims ('row',); name no dimension like the quantity itself",
        ),
        (
            Quantity("synapse gain", np.zeros(3), ("row",), "1", "gain"),
            "'synapse gain' is no name for a dataset or dimension; use letters, digits and underscores",
        ),
        (
            Quantity("gain", np.zeros((2, 3)), ("row",), "1", "gain"),
            "gain has shape (2, 3) and dims ('row',); give every dimension one name",
        ),
    ],
)
def test_unfit_fixed_pattern(quantity, text):
    with refuses(text):
        run.delgrad_layout((4, 3), (0,), 5, "us", CHIP, [quantity])


def test_dimensions_need_names():
    with refuses("w has shape (2, 2) and dims ('pre', 'pre'); give every dimension one name"):
        Array("w", ("pre", "pre"), (2, 2), "float64", "1", "weight")


@pytest.mark.parametrize(
    ("layers", "meanings"),
    [
        ((20, 30, 3), "input hidden output delayed_input delayed_hidden"),
        ((4, 3), "input output delayed_input"),
        ((5, 9, 8, 3), "input hidden_1 hidden_2 output delayed_input delayed_hidden_1 delayed_hidden_2"),
    ],
)
def test_codes_of_events_say_what_they_mean(layers, meanings):
    plan = run.delgrad_layout(layers, [0] * (len(layers) - 1), 5, "1", IDEAL_NEURONS)
    assert " ".join(plan.final()["run/samples/2/raster/layer"].flag_meanings) == meanings
