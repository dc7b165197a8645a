"""SONATA: spikes and membrane potentials of the watched samples, each sample a population.

K. Dai et al., "The SONATA data format for efficient description of large-scale network models", PLOS Computational
Biology, 2020; layout as in https://github.com/AllenInstitute/sonata, with n + 1 index pointers as libsonata reads them.
SONATA has times in ms alone: microseconds are converted, and where a run has no physical time, one tau_s becomes 1 ms.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohil.delgrad.trace import SAMPLES_FOLDER
from neurohil.files import replacing
from neurohil.trace.export import MARK, is_exported
from neurohil.trace.export.csv import unit
from neurohil.trace.nxdata import PlotGroup, Variable, plot_group
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

_MAGIC, _VERSION = 0x0A7A, (0, 1)
_MS = {"us": 1e-3, "tau_s": 1.0}
_SORTING = {"none": 0, "by_id": 1, "by_time": 2}


def write(trace: Trace, out: Path) -> list[Path]:
    """``spikes.h5``, and for each watched sample a report ``membrane_<sample>.h5``; see `export`.

    A population ``sample_<k>`` has the spikes of all neurons, input lines among them, ``sample_<k>_delayed`` the same
    spikes as they leave axonal delays.
    """
    import h5py

    rasters, membranes = _of_samples(trace, "raster"), _of_samples(trace, "membrane")
    if not rasters:
        raise TraceError(f"{trace.path} holds no spikes; export the trace of a finished `neurohil delgrad` run")
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "spikes.h5", is_exported) as temporary, h5py.File(temporary, "w") as file:
        _mark(file, trace)
        for sample, raster in rasters.items():
            _write_spikes(file, f"sample_{sample}", raster)
    written = [out / "spikes.h5"]
    for sample, membrane in membranes.items():
        written.append(out / f"membrane_{sample}.h5")
        with replacing(written[-1], is_exported) as temporary, h5py.File(temporary, "w") as file:
            _mark(file, trace)
            _write_report(file, f"sample_{sample}", membrane)
    return written


def _of_samples(trace: Trace, name: str) -> dict[str, PlotGroup]:
    """The plot of that name of each watched sample, where it has content."""
    pattern = re.compile(rf"{SAMPLES_FOLDER}/(\w+)/{name}")
    found = {match[1]: plot_group(trace, match[0]) for match in map(pattern.fullmatch, trace.groups) if match}
    return {sample: plot for sample, plot in found.items() if 0 not in plot.signal.array.shape}


def _mark(file: Any, trace: Trace) -> None:
    file.attrs["creator"] = MARK
    file.attrs.update(trace.provenance._asdict())
    file.attrs["magic"] = np.uint32(_MAGIC)
    file.attrs["version"] = np.array(_VERSION, dtype=np.uint32)


def _write_spikes(file: Any, name: str, raster: PlotGroup) -> None:
    time, neuron = raster.axes
    delayed = np.array([meaning.startswith("delayed_") for meaning in raster.signal.flag_meanings])
    is_delayed = delayed[raster.signal.array[...]]
    times, neurons = time.array[...], neuron.array[...]
    _write_population(file, name, time, times[~is_delayed], neurons[~is_delayed])
    if is_delayed.any():
        _write_population(file, f"{name}_delayed", time, times[is_delayed], neurons[is_delayed])


def _write_population(file: Any, name: str, time: Variable, times: NDArray, neurons: NDArray) -> None:
    import h5py

    order = np.lexsort((neurons, times))
    group = file.create_group(f"spikes/{name}")
    group.attrs.create("sorting", _SORTING["by_time"], dtype=h5py.enum_dtype(_SORTING, basetype="u1"))
    group["timestamps"] = times[order].astype(np.float64) * _MS[unit(time)]
    group["node_ids"] = neurons[order].astype(np.uint64)
    _in_ms(group["timestamps"], time)


def _write_report(file: Any, name: str, membrane: PlotGroup) -> None:
    neuron, time = membrane.axes
    frames = time.array[...] * _MS[unit(time)]
    step = (frames[-1] - frames[0]) / max(len(frames) - 1, 1)
    if not np.allclose(frames, frames[0] + step * np.arange(len(frames)), atol=1e-6 * abs(step), rtol=0):
        raise TraceError(f"{time.path} is not evenly spaced, as a report of SONATA has to be; export to csv instead")
    group = file.create_group(f"report/{name}")
    group.create_dataset("data", data=membrane.signal.array[...].T.astype(np.float32), chunks=True)
    group["data"].attrs["units"] = unit(membrane.signal)
    n = neuron.array.shape[0]
    mapping = group.create_group("mapping")
    mapping["node_ids"] = neuron.array[...].astype(np.uint64)
    mapping["node_ids"].attrs["sorted"] = np.uint8(1)
    mapping["index_pointers"] = np.arange(n + 1, dtype=np.uint64)
    mapping["element_ids"] = np.zeros(n, dtype=np.uint32)
    mapping["time"] = np.array([frames[0], frames[0] + step * len(frames), step])
    _in_ms(mapping["time"], time)


def _in_ms(dataset: Any, time: Variable) -> None:
    dataset.attrs["units"] = "ms"
    if unit(time) == "tau_s":
        dataset.attrs["comment"] = "no physical time: 1 ms stands for one synaptic time constant tau_s"
