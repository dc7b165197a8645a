"""What a trace says of NeuroBench's metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neurohil.trace.schema import Array


def neurobench_arrays(steps: str = "") -> tuple[Array, ...]:
    """NeuroBench's metrics of a network, by their official names; parts of one are joined to its name.

    They are filled from `neurobench` of what a run's `conclude` returned, as `Benchmark.run` gives it.

    Parameters
    ----------
    steps : str
        Steps that are declared for a network in continuous time, such as ``300 steps of 0.1 tau_s``.
    """
    stepped = f", {steps}" if steps else ""
    metrics = (
        Array("Footprint", (), (), "int64", "byte", "all arrays that the network keeps, in their types (byte)"),
        Array("ParameterCount", (), (), "int64", "1", "number of trained parameters"),
        Array("ConnectionSparsity", (), (), "float64", "1", "share of weights that are zero"),
        Array("ActivationSparsity", (), (), "float64", "1", f"share of zeros among outputs of neurons{stepped}"),
        Array(
            "SynapticOperations_Effective_MACs", (), (), "float64", "1",
            "multiply-accumulates of non-zero weights and inputs, per test sample",
        ),
        Array(
            "SynapticOperations_Effective_ACs", (), (), "float64", "1",
            "accumulates at non-zero weights, per test sample",
        ),
        Array(
            "SynapticOperations_Dense", (), (), "float64", "1",
            f"synaptic operations with zeros counted, per test sample{stepped}",
        ),
    )  # fmt: skip
    return tuple(replace(metric, kind="computed", fill=_filling(metric.name)) for metric in metrics)


def _filling(name: str) -> Callable[[Any, Any], Any]:
    """The metric, or the part of one, from what a run measured in the end."""
    metric, _, part = name.partition("_")
    return lambda _, end: end.neurobench[metric][part] if part else end.neurobench[metric]
