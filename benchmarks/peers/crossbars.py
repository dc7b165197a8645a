"""Products of a crossbar beside aihwkit, and voltages on its wires beside badcrossbar and a sparse LU."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from benchmarks import crossbar_forward, ir_drop
from benchmarks.pairs import Disagreement, Job, Row
from benchmarks.peers import NOT_INSTALLED
from memristor.parasitics import effective_matrix, solve

BATCH, N_IN, N_OUT = 128, 784, 512
SIZES, MATRIX_SIZES = (64, 128, 256), (64, 128)


def rows(quick: bool) -> list[Row]:
    """Products, then one vector of voltages, then effective conductances."""
    sizes, matrix_sizes = ((8,), (8,)) if quick else (SIZES, MATRIX_SIZES)
    return [forward(), *(one_vector(size) for size in sizes), *(matrix(size) for size in matrix_sizes)]


def problem() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Levels, and a batch of inputs."""
    levels = np.random.default_rng(0).integers(-7, 8, (N_IN, N_OUT))
    return levels, np.random.default_rng(1).uniform(0.0, 1.0, (BATCH, N_IN))


def forward() -> Row:
    """Per tile, per output, and aihwkit, which converts per tile; a plain product for scale."""
    levels, x = problem()
    single, weights = x.astype(np.float32), (levels / 7).astype(np.float32)
    jobs = {
        "this package, a conversion per tile": ours(x, levels, "tile"),
        "this package, a conversion per output": ours(x, levels, "output"),
        "plain float32 product": Job(lambda _: single @ weights),
    }
    absent = {}
    if importlib.util.find_spec("aihwkit"):
        jobs["aihwkit, its tile in PyTorch"] = aihwkit_job(single, weights)
    else:
        absent["aihwkit"] = NOT_INSTALLED
    return Row(f"crossbar forward, {N_IN} x {N_OUT}, batch {BATCH}", jobs, agree_noisily, absent)


def ours(x: NDArray[np.float64], levels: NDArray[np.int64], conversion: str) -> Job:
    """Levels on pairs of devices with noise, tiles of 128 x 128, 8 bits in and out."""
    crossbar, _ = crossbar_forward.layer(levels.shape, conversion=conversion)
    crossbar.write(levels)
    crossbar.calibrate(x)
    return Job(lambda _: crossbar.multiply(x))


def aihwkit_job(x: NDArray[np.float32], weights: NDArray[np.float32]) -> Job:
    """Inference with read noise, tiles of at most 128 x 128, 8 bits in and out."""
    import torch
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.configs import TorchInferenceRPUConfig

    torch.set_num_threads(1)
    config = TorchInferenceRPUConfig()
    config.mapping.max_input_size = config.mapping.max_output_size = 128
    config.forward.inp_res = config.forward.out_res = 1 / 254
    layer = AnalogLinear(N_IN, N_OUT, bias=False, rpu_config=config)
    layer.set_weights(torch.from_numpy(weights.T.copy()))
    layer.eval()
    batch = torch.from_numpy(x)

    def run(_: None) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = layer(batch).numpy()
        return found

    return Job(run)


def agree_noisily(results: Mapping[str, Any]) -> str:
    """Each is the product, but for its noise and conversions: told by the correlation."""
    exact = results["plain float32 product"].ravel()
    told = {name: float(np.corrcoef(exact, np.ravel(found))[0, 1]) for name, found in results.items()}
    low = {name: r for name, r in told.items() if not r > 0.9}
    if low:
        raise Disagreement(f"correlation with the product: {low}")
    return "correlation with the product: " + ", ".join(f"{r:.3f} ({name})" for name, r in told.items())


def array(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Conductances in uS and voltages in V."""
    rng = np.random.default_rng(size)
    return rng.uniform(10.0, 100.0, (size, size)), rng.uniform(0.0, 0.2, size)


def one_vector(size: int) -> Row:
    """Output currents for one vector of voltages."""
    g_uS, v_V = array(size)
    jobs = {
        "this package": Job(lambda _: solve(g_uS, v_V, ir_drop.WIRES).currents_uA),
        "scipy, sparse LU": Job(lambda _: currents_by_lu(g_uS, v_V[:, None])[:, 0]),
    }
    theirs, absent = ir_drop.peer(), {}
    if theirs is None:
        absent["badcrossbar"] = NOT_INSTALLED
    else:
        jobs["badcrossbar"] = Job(lambda _: theirs(g_uS, v_V))
    return Row(f"IR drop, one vector, {size} x {size}", jobs, agree_closely, absent)


def matrix(size: int) -> Row:
    """Effective conductances: the currents for each row's unit voltage."""
    g_uS, _ = array(size)
    jobs = {
        "this package": Job(lambda _: effective_matrix(g_uS, ir_drop.WIRES)),
        "scipy, sparse LU": Job(lambda _: currents_by_lu(g_uS, np.eye(size)).T),
    }
    return Row(f"effective conductances, {size} x {size}", jobs, agree_closely)


def currents_by_lu(g_uS: NDArray[np.float64], v_V: NDArray[np.float64]) -> NDArray[np.float64]:
    """Currents (columns, k) in uA for voltages (rows, k), by one factorisation of all nodes' equations.

    Two planes of nodes, one a device on each; rows are driven on the left, columns grounded at the bottom, a segment of
    wire before the first and after the last device.
    """
    rows, columns = g_uS.shape
    row_uS, column_uS = 1e6 / ir_drop.WIRES.row_ohm, 1e6 / ir_drop.WIRES.column_ohm
    along_row = sparse.diags_array([np.full(columns - 1, -1.0)] * 2, offsets=[-1, 1])
    row_degree = np.where(np.arange(columns) < columns - 1, 2.0, 1.0)
    along_column = sparse.diags_array([np.full(rows - 1, -1.0)] * 2, offsets=[-1, 1])
    column_degree = np.where(np.arange(rows) > 0, 2.0, 1.0)
    upper = sparse.kron(sparse.eye_array(rows), row_uS * (along_row + sparse.diags_array(row_degree)))
    lower = sparse.kron(column_uS * (along_column + sparse.diags_array(column_degree)), sparse.eye_array(columns))
    devices = sparse.diags_array(g_uS.ravel())
    system = sparse.block_array([[upper + devices, -devices], [-devices, lower + devices]], format="csc")
    driven = np.zeros((2 * rows * columns, v_V.shape[1]))
    driven[: rows * columns : columns] = row_uS * v_V
    found = splu(system).solve(driven)
    return column_uS * found[rows * columns :].reshape(rows, columns, -1)[-1]


def agree_closely(results: Mapping[str, Any]) -> str:
    """To 1e-9."""
    first, *others = results.values()
    worst = max(float(np.abs(other / first - 1).max()) for other in others)
    if not worst < 1e-9:
        raise Disagreement(f"currents differ by {worst:.1e}")
    return f"currents equal to {worst:.0e}"
