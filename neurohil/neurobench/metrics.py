"""The metrics of NeuroBench's algorithm track, by its names, on plain records.

Definitions are those of the official harness 2.3.0, and so are the numbers, except where it has a known defect: see
docs/neurobench.md. Yik et al., "The neurobench framework for benchmarking neuromorphic computing algorithms and
systems", Nat. Commun. 16, 1545 (2025). CocoMap is left out: it needs a vendor's evaluator.

A static metric looks at the model once. A workload metric is called with every batch and computed at the end. "Sample"
means an entry of axis 0 of the data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.errors import UserError
from neurohil.neurobench import operations
from neurohil.neurobench.records import (
    ActivationRecord,
    ConnectionLayer,
    EventRecord,
    LayerRecord,
    Model,
    NeuronRecord,
    Record,
    Stored,
)

Data = tuple[NDArray[Any], NDArray[Any]]

# Operations of one update of one neuron, by model and reset (official harness 2.3.0; how they were derived isn't said).
NEURON_OPERATIONS = {
    ("Leaky", "subtract"): 4,
    ("Leaky", "zero"): 4,
    ("Synaptic", "subtract"): 6,
    ("Synaptic", "zero"): 8,
    ("Lapicque", "subtract"): 11,
    ("Lapicque", "zero"): 11,
    ("Alpha", "subtract"): 18,
    ("Alpha", "zero"): 24,
}


class StaticMetric(ABC):
    """Something about a model that doesn't depend on data."""

    @abstractmethod
    def __call__(self, model: Model) -> Any:
        """The value."""


class WorkloadMetric(ABC):
    """Something about what a model does with data. A run makes a fresh one."""

    @abstractmethod
    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        """Add a batch: `model` as it is after it, predictions after the post-processors, inputs and targets."""

    @abstractmethod
    def compute(self) -> Any:
        """The value over all batches so far."""


class Footprint(StaticMetric):
    """Bytes of all arrays that the model keeps, in the dtypes that they are kept in."""

    def __call__(self, model: Model) -> int:
        return sum(array.values.nbytes for array in _stored(model, self))


class ParameterCount(StaticMetric):
    """Trained numbers: weights, biases, delays."""

    def __call__(self, model: Model) -> int:
        return sum(array.values.size for array in _stored(model, self) if array.trained)


class ConnectionSparsity(StaticMetric):
    """Share of weights that are zero, rounded to 4 decimals as in the official harness; delays aren't weights."""

    def __call__(self, model: Model) -> float:
        weights = [array for layer in _layers(model, self) for array in layer.connections()]
        total = sum(array.size for array in weights)
        zeros = sum(int(np.count_nonzero(array == 0)) for array in weights)
        return round(zeros / total, 4)


class TrueFootprint(StaticMetric):
    """What the arrays take on the device, beside the official Footprint: {"Bits", "Devices"}."""

    def __call__(self, model: Model) -> dict[str, float]:
        stored = _stored(model, self)
        bits = sum(a.values.size * (8 * a.values.itemsize if a.bits is None else a.bits) for a in stored)
        return {"Bits": bits, "Devices": sum(a.values.size * a.devices for a in stored)}


class _Mean(WorkloadMetric):
    """Mean over samples of what `of_batch` says of a batch."""

    def __init__(self) -> None:
        self._total = 0.0
        self._samples = 0

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        self._total += self.of_batch(model, predictions, data[1]) * len(data[0])
        self._samples += len(data[0])

    def compute(self) -> float:
        return self._total / _seen(self._samples, self)

    @abstractmethod
    def of_batch(self, model: Model, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
        """Mean over a batch."""


class ClassificationAccuracy(_Mean):
    """Share of predictions that equal their targets."""

    def of_batch(self, model: Model, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
        _check_pair(predictions, targets, self)
        if predictions.dtype.kind == "f":
            _floats("predictions", predictions, self)
        return int(np.count_nonzero(predictions == targets)) / targets.size


class MSE(_Mean):
    """Mean squared error over all elements."""

    def of_batch(self, model: Model, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
        _check_pair(predictions, targets, self)
        p, y = _floats("predictions", predictions, self), _floats("targets", targets, self)
        with np.errstate(over="ignore"):
            error = float(np.mean(np.square(p - y)))
        return _finite(error, self)


class SMAPE(_Mean):
    """Symmetric mean absolute percentage error, 0..200: the mean of 200 |p - y| / (|p| + |y|).

    A pair whose quotient doesn't exist, such as 0 / 0 or a prediction that isn't finite, counts 200.
    """

    def of_batch(self, model: Model, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
        _check_pair(predictions, targets, self)
        p, y = _floats("predictions", predictions, self, any_value=True), _floats("targets", targets, self)
        # Powers of two, so that nothing overflows and no bit changes.
        scale = np.where(np.maximum(np.abs(p), np.abs(y)) > 1e300, 2.0**-20, 1.0)
        p, y = p * scale, y * scale
        with np.errstate(invalid="ignore"):
            errors = 200 * np.abs(p - y) / (np.abs(p) + np.abs(y))
        return float(np.mean(np.nan_to_num(errors, nan=200.0)))


class R2(WorkloadMetric):
    """Coefficient of determination of each column of predictions (n, columns), mean over the columns."""

    def __init__(self) -> None:
        self._pairs: list[Data] = []

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        _check_pair(predictions, data[1], self)
        if predictions.ndim != 2:
            raise UserError(f"R2: predictions have shape {predictions.shape}; expected (samples, columns)")
        self._pairs.append((_floats("predictions", predictions, self), _floats("targets", data[1], self)))

    def compute(self) -> float:
        _seen(len(self._pairs), self)
        predictions, targets = (np.concatenate(column) for column in zip(*self._pairs, strict=True))
        # The mean of equal numbers needn't be that number, so the spread alone may not show it.
        with np.errstate(over="ignore"):
            spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
            error = np.square(predictions - targets).sum(axis=0)
        constant = np.all(targets == targets[0], axis=0) | (spread == 0)
        if constant.any():
            raise UserError(
                f"R2: the targets of column {int(np.argmax(constant))} are all equal, or differ by less than float64 "
                "can square; R2 isn't defined, leave it out"
            )
        _finite(float(np.sum(spread)), self)
        with np.errstate(over="ignore"):
            return _finite(float(np.mean(1 - error / spread)), self)


class ActivationSparsity(_Mean):
    """Share of zeros among all outputs of activations and neurons, over layers, steps and samples."""

    def of_batch(self, model: Model, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
        counts = [(outputs, active) for _, outputs, active in _activity(model, self)]
        outputs, active = (sum(column) for column in zip(*counts, strict=True))
        return (outputs - active) / _seen(outputs, self)


class ActivationSparsityByLayer(WorkloadMetric):
    """Share of zeros of each activation, by the name of its record, or of its layer for events."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        for name, outputs, active in _activity(model, self):
            before = self._counts.get(name, (0, 0))
            self._counts[name] = (before[0] + outputs, before[1] + active)

    def compute(self) -> dict[str, float]:
        _seen(len(self._counts), self)
        return {name: (outputs - active) / _seen(outputs, self) for name, (outputs, active) in self._counts.items()}


class SynapticOperations(WorkloadMetric):
    """Operations at synapses of a sample: {"Effective_MACs", "Effective_ACs", "Dense"}.

    Whether a call of a layer counts as multiply-accumulates or as accumulates is decided by all inputs of the batch, so
    the split depends on the batch size. "Dense" is None for events without a declared step.
    """

    def __init__(self) -> None:
        self._macs = 0
        self._acs = 0
        self._dense: int | None = 0
        self._samples = 0

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        for record in _needed(model, self, LayerRecord, EventRecord):
            done = operations.of_events(record) if isinstance(record, EventRecord) else operations.of_calls(record)
            self._macs += done.macs
            self._acs += done.acs
            self._dense = None if self._dense is None or done.dense is None else self._dense + done.dense
        self._samples += len(data[0])

    def compute(self) -> dict[str, float | None]:
        samples = _seen(self._samples, self)
        return {
            "Effective_MACs": self._macs / samples,
            "Effective_ACs": self._acs / samples,
            "Dense": None if self._dense is None else self._dense / samples,
        }


class MembraneUpdates(WorkloadMetric):
    """How often the membrane of a neuron changes, over all neurons, of a sample.

    In steps: all neurons at the first step, and at each later one those whose membrane is another after it. In
    continuous time: one for each event at a synapse that isn't zero, and one for each reset after a spike.
    """

    def __init__(self) -> None:
        self._updates = 0
        self._samples = 0

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        for record in _records(model, self):
            if isinstance(record, EventRecord):
                self._updates += operations.of_events(record).acs + int(record.spikes.sum())
        self._updates += sum(_updates(record) for record in _populations(model, self))
        self._samples += len(data[0])

    def compute(self) -> float:
        return self._updates / _seen(self._samples, self)


class NeuronOperations(WorkloadMetric):
    """Membrane updates times what one costs, of a sample: {"Effective Neuron Ops", "Neuron Dense Ops"}.

    Dense: neurons times steps. The costs (`NEURON_OPERATIONS`) are those of a step; there are none of events.
    """

    def __init__(self) -> None:
        self._effective = 0
        self._dense = 0
        self._samples = 0

    def __call__(self, model: Model, predictions: NDArray[Any], data: Data) -> None:
        populations = _populations(model, self)
        if not populations:
            raise UserError(
                "NeuronOperations: the model recorded no steps of spiking neurons (NeuronRecord), and the costs are "
                "those of a step; leave the metric out"
            )
        for record in populations:
            cost = NEURON_OPERATIONS.get((record.model, record.reset))
            if cost is None:
                known = ", ".join(f"{model} ({reset})" for model, reset in NEURON_OPERATIONS)
                raise UserError(
                    f"NeuronOperations: the cost of {record.name}, {record.model!r} with reset {record.reset!r}, isn't "
                    f"known; known are {known}. Name the one that does the same work, or leave the metric out"
                )
            self._effective += cost * _updates(record)
            self._dense += cost * record.after.size
        self._samples += len(data[0])

    def compute(self) -> dict[str, float]:
        samples = _seen(self._samples, self)
        return {"Effective Neuron Ops": self._effective / samples, "Neuron Dense Ops": self._dense / samples}


def _updates(record: NeuronRecord) -> int:
    later = np.count_nonzero(record.before[1:] != record.after[1:])
    return record.after[0].size + int(later)


def _populations(model: Model, metric: object) -> list[NeuronRecord]:
    found = [record for record in _records(model, metric) if isinstance(record, NeuronRecord)]
    names = [record.name for record in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{_name(metric)}: there are {names.count(name)} records of the neurons {name!r} in one batch; make "
                "one, with the steps along axis 0"
            )
    return found


def _activity(model: Model, metric: object) -> Iterator[tuple[str, int, int]]:
    """Name, number of outputs, and number of outputs that aren't zero, of each activation."""
    for record in _needed(model, metric, ActivationRecord, NeuronRecord, EventRecord):
        if isinstance(record, EventRecord):
            yield record.layer.name, record.spikes.size * record.steps, int(record.spikes.sum())
        else:
            yield record.name, record.outputs.size, record.active


def _needed(model: Model, metric: object, *kinds: type[Record]) -> list[Any]:
    found = [record for record in _records(model, metric) if isinstance(record, kinds)]
    if not found:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{_name(metric)}: the model recorded no {names} with this batch; record it, or leave it out")
    return found


def _records(model: Model, metric: object) -> Iterable[Record]:
    return _attribute(model, "records", metric)


def _layers(model: Model, metric: object) -> Sequence[ConnectionLayer]:
    layers: Sequence[ConnectionLayer] = _attribute(model, "layers", metric)
    if not layers:
        raise UserError(f"{_name(metric)}: the model has no connection layers; name them in `layers`, or leave it out")
    return layers


def _stored(model: Model, metric: object) -> list[Stored]:
    """Each array once."""
    stored: Sequence[Stored] = _attribute(model, "stored", metric)
    return list({id(array.values): array for array in stored}.values())


def _attribute(model: Model, name: str, metric: object) -> Any:
    if not hasattr(model, name):
        raise UserError(
            f"{_name(metric)}: {type(model).__name__} has no attribute {name!r}; add it (see "
            "neurohil.neurobench.records.Model), or leave the metric out"
        )
    return getattr(model, name)


def _check_pair(predictions: NDArray[Any], targets: NDArray[Any], metric: object) -> None:
    if predictions.shape != targets.shape:
        raise UserError(
            f"{_name(metric)}: predictions have shape {predictions.shape}, targets {targets.shape}; add a "
            "post-processor that makes one of the other"
        )
    _seen(targets.size, metric)
    if targets.dtype.kind == "f":
        _floats("targets", targets, metric)


def _finite(value: float, metric: object) -> float:
    if not np.isfinite(value):
        raise UserError(f"{_name(metric)}: the squares of these errors or targets exceed float64; scale the data")
    return value


def _seen(count: int, metric: object) -> int:
    if not count:
        raise UserError(f"{_name(metric)}: there was no data to compute it from")
    return count


def _floats(what: str, values: NDArray[Any], metric: object, any_value: bool = False) -> NDArray[np.float64]:
    """As float64; `any_value`: it needn't be finite."""
    if values.dtype == np.bool_ or (any_value and values.dtype.kind == "f"):
        return values.astype(np.float64)
    return arrays.floats(f"{_name(metric)}: {what}", values, remedy="mend the data or model")


def _name(metric: object) -> str:
    return type(metric).__name__
