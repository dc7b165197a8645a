"""The exported graph, read back by nir and integrated step by step, spikes as the trace says."""

import re

import numpy as np
import pytest
import synthetic_run as run

import neurohil as nh
from neurohil.results import export
from neurohil.trace import Trace, TraceError

nir = pytest.importorskip("nir", reason="nir is not installed (extra nir)")
STEP = 1e-3  # tau_s


def lif(node, jumps, step, steps):
    """First spikes of CubaLIF neurons; jumps: (time, amounts of w_in S) sorted by time. Exact for the current, and for
    the membrane to first order in the step."""
    current, v = np.zeros_like(node.v_leak), node.v_leak.copy()
    spikes = np.full(v.size, np.inf)
    queue = list(jumps)
    for n in range(steps):
        while queue and queue[0][0] <= n * step:
            current = current + node.w_in * queue.pop(0)[1] / node.tau_syn
        later = v + step / node.tau_mem * (node.v_leak - v + node.r * current)
        crossed = (later >= node.v_threshold) & np.isinf(spikes)
        spikes[crossed] = (n + 1) * step
        v, current = later, current * np.exp(-step / node.tau_syn)
    return spikes


def spike_times(graph, inputs, duration):
    """Output spikes of a chain of nodes for first spikes `inputs`."""
    following = dict(graph.edges)
    name, tau = following["input"], float(np.ravel(graph.nodes["hidden"].tau_syn)[0])
    events = [(t, np.eye(inputs.size)[k]) for k, t in enumerate(inputs) if np.isfinite(t)]
    while True:
        node = graph.nodes[name]
        if isinstance(node, nir.Linear):
            events = [(t, node.weight @ s) for t, s in events]
        elif isinstance(node, nir.Delay):
            each = np.eye(node.delay.size)
            events = [(t + d, s[k] * each[k]) for t, s in events for k, d in enumerate(node.delay) if s[k]]
        elif isinstance(node, nir.CubaLIF):
            events.sort(key=lambda event: event[0])
            spikes = lif(node, events, STEP * tau, round(duration / (STEP * tau)))
            events = [(t, np.eye(spikes.size)[k]) for k, t in enumerate(spikes) if np.isfinite(t)]
        else:
            return spikes
        name = following[name]


@pytest.mark.compiled
@pytest.mark.parametrize("delays", ["weights", "axonal", "dendritic", "synaptic"])
def test_the_graph_spikes_like_the_network(tmp_path, delays):
    path = tmp_path / "run.h5"
    nh.train(f"yin_yang_{delays}", epochs=2, training={"batch": 500}, trace=path)
    (file,) = export(path, "nir", tmp_path / "net.nir")
    graph = nir.read(file)
    kinds = [type(graph.nodes[name]).__name__ for name in dict(graph.edges)]
    assert kinds.count("CubaLIF") == 2
    assert kinds.count("Delay") == (0 if delays == "weights" else 2)
    assert graph.metadata["time_unit"] == "tau_s"
    compared = 0
    with Trace(path) as trace:
        for k in range(3):
            time, neuron, layer = (trace[f"run/samples/{k}/raster/{name}"] for name in ("time", "neuron", "layer"))
            n_in, n_hidden = trace["run/weights_0/weights"].shape[1:]
            inputs = np.full(n_in, np.inf)
            inputs[neuron[layer == 0]] = time[layer == 0]
            duration = trace[f"run/samples/{k}/membrane/time"][-1]
            found = spike_times(graph, inputs, duration)
            for t, output in zip(time[layer == 2], neuron[layer == 2] - n_in - n_hidden, strict=True):
                if t < duration:
                    assert found[output] == pytest.approx(t, abs=0.02)
                    compared += 1
    assert compared >= 5


def test_a_chip_has_milliseconds(tmp_path):
    path, case = tmp_path / "run.h5", run.CHIP
    from neurohil.trace import TraceWriter

    config = """seed = 3
[network]
delays = "axonal"
tau_ratio = 1
threshold = 2.6
[target]
kind = "brainscales"
preset = "w66f3"
serial = 66
[target.chip]
tau_syn_exc_us = 5.0
tau_syn_inh_us = 5.0
tau_mem_us = 5.0
"""
    with TraceWriter(path, run.layout(case), case.name, config, run.STATE_SIZE) as writer:
        for epoch in range(2):
            writer.append_epoch(run.epoch_values(run.layout(case), epoch), run.state(epoch))
        writer.finish(run.final_values(case))
    graph = nir.read(export(path, "nir", tmp_path / "net.nir")[0])
    assert graph.metadata["time_unit"] == "ms"
    assert np.allclose(graph.nodes["hidden"].tau_syn, 5e-3) and np.allclose(graph.nodes["output"].w_in, 5e-3)
    with Trace(path) as trace:
        delays = trace["run/delays_0/delays"][:, 1] * 1e-3
        assert np.allclose(graph.nodes["hidden_delays"].delay, np.repeat(delays, 5))
        assert np.array_equal(graph.nodes["output_weights"].weight, trace["run/weights_1/weights"][1].T)


def test_a_trace_without_weights_is_refused(tmp_path):
    from neurohil.metaplasticity.trace import metaplasticity_layout
    from neurohil.trace import TraceWriter
    from neurohil.trace.provenance import IDEAL_WEIGHTS

    plan = metaplasticity_layout(["a"], ["a"], 10, 2, np.arange(-1, 2), IDEAL_WEIGHTS)
    with TraceWriter(tmp_path / "run.h5", plan, "x", "", 0):
        pass
    path = tmp_path / "run.h5.part"
    text = f"{path} holds no trained weights; export the trace of a `neurohil delgrad` run"
    with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        export(path, "nir", tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()
