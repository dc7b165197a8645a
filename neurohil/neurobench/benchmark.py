"""Run a model over data and measure it: the flow, and the names of the results, are those of the official harness."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.errors import UserError
from neurohil.neurobench.metrics import Data, StaticMetric, WorkloadMetric
from neurohil.neurobench.records import ModelInfo, Provenance
from neurohil.version import __version__

# Packages whose version a result states, if they were in use.
_PACKAGES = ("numpy", "numba", "scipy", "simpy", "torch", "neurobench", "snntorch")


@dataclass(frozen=True)
class Task:
    """What a result is a result of.

    version: of its protocol. data: where they come from, such as "official", "regenerated" or "generated". seed: of
    whatever is random.
    """

    name: str
    version: str = "1.0"
    data: str = "official"
    seed: int | None = None


class Results(dict[str, Any]):
    """Metrics by their official names, and a block "metadata"."""

    def save_json(self, path: str | Path) -> None:
        """Write JSON; the file is complete or as it was before.

        Raises
        ------
        UserError
            A value is NaN or infinite, or nothing that JSON knows; the file can't be written.
        """
        path = Path(path)
        try:
            text = json.dumps(self, indent=2, allow_nan=False, default=_plain)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: the results can't be written as JSON: {error}") from error
        part = path.with_name(f"{path.name}.part{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text + "\n")
            os.replace(part, path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise UserError(f"{path} can't be written ({error.strerror}); choose another file") from error


class Benchmark:
    """A model, data, and what is to be measured.

    Parameters
    ----------
    model : Model
        A callable; a metric says which other attributes of `neurohil.neurobench.records.Model` it needs.
    data : iterable of (inputs, targets)
        Batches, samples along axis 0: a list, `batched`, or a loader of PyTorch, whose tensors become arrays.
    preprocessors : sequence of callables, or None
        (inputs, targets) -> (inputs, targets), before the model. Metrics see what the last one returns.
    postprocessors : sequence of callables, or None
        predictions -> predictions, after the model.
    metric_list : [static metrics, workload metrics]
        Classes.
    task : Task, optional
        For the metadata.

    Raises
    ------
    UserError
        The list of metrics isn't two lists of such classes.
    """

    def __init__(
        self,
        model: Callable[[NDArray[Any]], NDArray[Any]],
        data: Iterable[Sequence[Any]],
        preprocessors: Sequence[Callable[[Data], Data]] | None,
        postprocessors: Sequence[Callable[[NDArray[Any]], NDArray[Any]]] | None,
        metric_list: Sequence[Sequence[type[StaticMetric] | type[WorkloadMetric]]],
        task: Task | None = None,
    ) -> None:
        if len(metric_list) != 2:
            raise UserError(f"metric_list has {len(metric_list)} entries; expected [static metrics, workload metrics]")
        self.model: Any = model
        self.data = data
        self.preprocessors = preprocessors or ()
        self.postprocessors = postprocessors or ()
        self.static = _checked(metric_list[0], StaticMetric)
        self.workload = _checked(metric_list[1], WorkloadMetric)
        self.task = task

    def run(self, quiet: bool = False) -> Results:
        """Measure the model, then run all data and measure that.

        Parameters
        ----------
        quiet : bool
            Show no progress bar; there is none outside a terminal anyway.

        Returns
        -------
        Results

        Raises
        ------
        UserError
            There is no data, a batch is no pair of inputs and targets, the model recorded a layer that isn't among its
            layers, or a metric can't be computed. An error of the model, or of a metric, is never turned into a number.
        """
        from tqdm import tqdm

        info = getattr(self.model, "info", ModelInfo()).checked()
        values = {metric.__name__: metric()(self.model) for metric in self.static}
        workload = [metric() for metric in self.workload]
        checksum = _Checksum()
        sizes: list[int] = []
        for given in tqdm(self.data, disable=True if quiet else None, leave=False):
            data = _as_pair(given)
            checksum.update(data)
            sizes.append(len(data[0]))
            for process in self.preprocessors:
                data = process(data)
            predictions = self.model(data[0])
            for process_predictions in self.postprocessors:
                predictions = process_predictions(predictions)
            _check_recorded(self.model)
            for metric in workload:
                metric(self.model, np.asarray(predictions), data)
        if not sizes:
            raise UserError("the data gave no batch; an iterator can be run over once, so give a list or a loader")
        values |= {type(metric).__name__: metric.compute() for metric in workload}
        run = {"batch_size": max(sizes), "samples": sum(sizes), "data_sha256": checksum.hexdigest()}
        return Results(values | {"metadata": metadata(self.task, info, values, run)})


def batched(inputs: NDArray[Any], targets: NDArray[Any], size: int) -> list[Data]:
    """Inputs (n, ...) and targets (n, ...) in their order, `size` at a time; the last batch may be smaller.

    Raises
    ------
    UserError
        The lengths differ, or the size isn't positive.
    """
    if len(inputs) != len(targets):
        raise UserError(f"there are {len(inputs)} inputs but {len(targets)} targets; give one each")
    if size < 1:
        raise UserError(f"batch size = {size} must be at least 1")
    return [(inputs[k : k + size], targets[k : k + size]) for k in range(0, len(inputs), size)]


def metadata(
    task: Task | None,
    info: ModelInfo,
    results: Iterable[str],
    run: Mapping[str, Any],
    provenance: Mapping[str, Provenance] | None = None,
) -> dict[str, Any]:
    """The block of a result that says how it came about.

    Parameters
    ----------
    task : Task or None
    info : ModelInfo
        dt, and the provenance of all results that `provenance` doesn't name.
    results : iterable of str
        Names of the results.
    run : mapping
        More about the run, such as the batch size.
    provenance : mapping, optional
        Of single results, such as {"energy": "modelled"}.
    """
    special = provenance or {}
    words = {name: info._replace(provenance=special.get(name, info.provenance)).checked() for name in results}
    loaded = [package for package in _PACKAGES if package in sys.modules]
    return {
        "task": None if task is None else asdict(task),
        "dt": info.dt,
        "dt_unit": info.dt_unit,
        **run,
        "provenance": {name: word.provenance for name, word in words.items()},
        "versions": {
            "neurohil": __version__,
            "metrics": "neurobench 2.3.0",
            "python": platform.python_version(),
            **{package: str(sys.modules[package].__version__) for package in loaded},
        },
    }


class _Checksum:
    """SHA-256 of inputs and of targets, whatever the batches."""

    def __init__(self) -> None:
        self._parts = (hashlib.sha256(), hashlib.sha256())
        self._described = False

    def update(self, data: Data) -> None:
        for part, values in zip(self._parts, data, strict=True):
            if not self._described:
                part.update(f"{values.dtype.str}{values.shape[1:]}".encode())
            part.update(np.ascontiguousarray(values).data)
        self._described = True

    def hexdigest(self) -> str:
        return hashlib.sha256(self._parts[0].digest() + self._parts[1].digest()).hexdigest()


def _checked(metrics: Sequence[Any], kind: type) -> list[Any]:
    for metric in metrics:
        if not (isinstance(metric, type) and issubclass(metric, kind)):
            raise UserError(
                f"metric_list: {metric!r} is no class derived from {kind.__name__}; the first list holds static "
                "metrics, the second workload metrics"
            )
    return list(metrics)


def _check_recorded(model: Any) -> None:
    """Refuse a layer that took part but isn't listed: static metrics would leave it out."""
    if hasattr(model, "records") and hasattr(model, "layers"):
        listed = [layer.name for layer in model.layers]
        for record in model.records:
            layer = getattr(record, "layer", None)
            if layer is not None and layer.name not in listed:
                raise UserError(
                    f"{type(model).__name__} recorded the layer {layer.name!r}, which isn't among its `layers` "
                    f"({', '.join(listed) or 'none'}); list it there"
                )


def _as_pair(batch: Sequence[Any]) -> Data:
    if len(batch) != 2:
        raise UserError(f"a batch has {len(batch)} parts; expected (inputs, targets)")
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in batch):
        raise UserError("a batch has masked values; fill or drop them")
    inputs, targets = (np.asarray(part) for part in batch)
    for name, values in (("inputs", inputs), ("targets", targets)):
        if values.dtype == object or not values.ndim:
            raise UserError(
                f"{name} of a batch are {values.dtype} {values.shape}; expected numbers, samples along axis 0"
            )
    if len(inputs) != len(targets) or not len(inputs):
        raise UserError(f"a batch has {len(inputs)} inputs and {len(targets)} targets; expected as many, at least one")
    return inputs, targets


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not serialisable")
