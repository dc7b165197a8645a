"""NIR: the trained network as a graph of linear maps, delays and current-based LIF neurons.

J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for interoperable
brain-inspired computing", Nature Communications, 2024. NIR's CubaLIF is tau_mem dv/dt = v_leak - v + r I with
tau_syn dI/dt = -I + w_in S. A weight w of the model raises I by w when w_in = tau_syn, and r is tau_mem / tau_syn.
"""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomli_w
from numpy.typing import NDArray

from neurohil.config import parse
from neurohil.delgrad.trace import TESTED_EPOCH, delays_path, weights_path
from neurohil.files import replacing
from neurohil.targets import AnySpikingTarget
from neurohil.trace.export import MARK, is_exported
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError

_LARGEST_LINES = 10_000  # of a layer with synaptic delays, where every synapse becomes a line of its own


def write(trace: Trace, out: Path) -> list[Path]:
    """The network with the parameters that were tested, or those of the last finished epoch; see `export`."""
    if weights_path(0) not in trace.paths or trace.epochs == 0:
        raise TraceError(f"{trace.path} holds no trained weights; export the trace of a `neurohil delgrad` run")
    try:
        import nir
    except ImportError as error:
        raise TraceError("writing NIR needs the package nir; install it with pip install 'neurohil[nir]'") from error
    import h5py

    tested = int(trace[TESTED_EPOCH])
    epoch = tested if 1 <= tested <= trace.epochs else trace.epochs
    graph = _graph(nir, trace, tomllib.loads(trace.config), epoch)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, is_exported) as temporary:
        nir.write(temporary, graph)
        with h5py.File(temporary, "r+") as file:
            file.attrs["creator"] = MARK
    return [out]


def _graph(nir: Any, trace: Trace, config: dict[str, Any], epoch: int) -> Any:
    network = config["network"]
    tau_us = _tau_us(config)
    has_ms = tau_us is not None  # ideal neurons count time in tau_s
    tau = 1.0 if tau_us is None else tau_us * 1e-3
    weights = [trace.dataset(weights_path(k))[epoch - 1] for k in range(2)]
    nodes: dict[str, Any] = {"input": nir.Input(np.array([weights[0].shape[0]]))}
    for k, (layer, weight) in enumerate(zip(("hidden", "output"), weights, strict=True)):
        if network["delays"] != "none":
            delays = trace.dataset(delays_path(k))[:, epoch - 1] * (1e-3 if has_ms else 1.0)
            nodes |= _delayed_projection(nir, network["delays"], layer, weight, delays)
        else:
            nodes[f"{layer}_weights"] = nir.Linear(weight.T)
        each = np.ones(weight.shape[1])
        nodes[layer] = nir.CubaLIF(
            tau_syn=tau * each,
            tau_mem=tau * network["tau_ratio"] * each,
            r=network["tau_ratio"] * each,
            v_leak=0 * each,
            v_threshold=network["threshold"] * each,
            v_reset=0 * each,
            w_in=tau * each,
        )
    nodes["decision"] = nir.Output(np.array([weights[-1].shape[1]]))
    names = list(nodes)
    about = {
        "time_unit": "ms" if has_ms else "tau_s",
        "potential_unit": "model units (tau_s = 1, C = 1), relative to the leak potential",
        "spikes": "trained on the first spike of each neuron and sample; the first output spike decides",
        "parameters": f"of the host after epoch {epoch}, before a target rounds them",
        "config": trace.config,
        **trace.provenance._asdict(),
    }
    return nir.NIRGraph(nodes, list(pairwise(names)), metadata=about)


def _delayed_projection(nir: Any, kind: str, layer: str, weight: NDArray, delays: NDArray) -> dict[str, Any]:
    """Weights and delays of a layer as nodes in a row."""
    pre, post = weight.shape
    if kind == "axonal":  # neighbouring input lines may share one
        return {
            f"{layer}_delays": nir.Delay(np.repeat(delays, pre // delays.size)),
            f"{layer}_weights": nir.Linear(weight.T),
        }
    if kind == "dendritic":
        return {f"{layer}_weights": nir.Linear(weight.T), f"{layer}_delays": nir.Delay(delays)}
    if pre * post > _LARGEST_LINES:
        raise TraceError(
            f"layer {layer} has {pre * post} synaptic delays, each a line of its own in NIR; more than "
            f"{_LARGEST_LINES} make files without use, export to csv instead"
        )
    # NIR delays lines, not synapses: each synapse (pre, post) gets a line.
    fan_out = np.repeat(np.eye(pre), post, axis=0)
    fan_in = np.tile(np.eye(post), pre) * weight.ravel()
    return {
        f"{layer}_synapses": nir.Linear(fan_out),
        f"{layer}_delays": nir.Delay(delays),
        f"{layer}_weights": nir.Linear(fan_in),
    }


class _Neurons(msgspec.Struct, frozen=True):
    threshold: float
    tau_ratio: int
    delays: str


class _Told(msgspec.Struct, frozen=True):
    """What of a run's config says how long its target's tau_s is."""

    seed: int
    network: _Neurons
    target: AnySpikingTarget


def _tau_us(config: dict[str, Any]) -> float | None:
    """Synaptic time constant of the target that the config names; None if it knows no physical time."""
    network = {key: config["network"][key] for key in ("threshold", "tau_ratio", "delays")}
    text = tomli_w.dumps({"seed": config["seed"], "network": network, "target": config["target"]})
    told = parse(text, _Told)
    return told.target.build(told.network, told.seed).tau_us
