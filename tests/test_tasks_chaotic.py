import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.tasks import chaotic, esn
from neurohil.datasets import mackey_glass
from neurohil.errors import UserError
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig

SMALL = esn.Config(
    units=20, connectivity=0.3, spectral_radius=0.8, input_scale=1.2, bias_scale=0.3, leak=0.5, ridge=1e-6
)


def series(networks, n=200):
    values = mackey_glass.generate(17)
    return np.array([values[30 * k : 30 * k + n] for k in range(networks)])


def test_smape_by_hand():
    window = mackey_glass.Window(*(np.array([1.0, 2.0]),) * 4)
    assert chaotic.smape(np.array([3.0, 2.0]), window) == pytest.approx(50.0)  # (2 / 4 + 0) / 2, times 200


@pytest.mark.parametrize(("tau", "expected"), [(17, 21.7), (24, 24.4), (28, 28.4), (30, 29.3)])
def test_constant_predictor(tau, expected):
    """Values over 30 offsets of series from another integrator."""
    assert chaotic.constant_predictor(tau, 30) == pytest.approx(expected, abs=0.3)


def test_ridge_regression_solves_the_normal_equations():
    draws = np.random.default_rng(0)
    features, targets, penalty = draws.normal(size=(50, 4)), draws.normal(size=50), 0.3
    weights = esn.ridge_regression(features, targets, penalty)
    np.testing.assert_allclose((features.T @ features + 50 * penalty * np.eye(4)) @ weights, features.T @ targets)


def test_ridge_regression_of_dependent_features_is_finite():
    features = np.ones((10, 2))
    np.testing.assert_allclose(esn.ridge_regression(features, np.full(10, 3.0), 0.0), [1.5, 1.5])


def test_reservoir_is_as_wanted():
    config = esn.Config(120, 0.1, 0.7, 1.5, 0.2, 0.5, 1e-9)
    weights = esn.reservoir(config, 3)
    assert weights.shape == (122, 120)
    assert np.abs(np.linalg.eigvals(weights[2:])).max() == pytest.approx(0.7)
    share = np.count_nonzero(weights[2:]) / 120**2
    assert abs(share - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 120**2)
    assert 0.18 < np.abs(weights[0]).max() <= 0.2 and 1.4 < np.abs(weights[1]).max() <= 1.5
    assert not np.array_equal(weights, esn.reservoir(config, 4))


def test_network_follows_its_equations():
    """Against the equations written out for one network, with its own read-out."""
    inputs, targets = series(2)[:, :-1], series(2)[:, 1:]
    network = esn.EchoStateNetwork(SMALL, seed=1)
    network.fit(inputs, targets)
    starts = np.array([0.9, 1.1])
    batch = np.column_stack([starts, np.full((2, 4), np.nan)]).reshape(-1, 1)  # later inputs must not be looked at
    predictions = network(batch).reshape(2, 5)
    bias, w_in, w = network.weights[0], network.weights[1], network.weights[2:]
    for k in range(2):
        h, rows = np.zeros(20), []
        for u in inputs[k]:
            h = 0.5 * h + 0.5 * np.tanh(bias + w_in * (u - 1) + h @ w)
            rows.append([1.0, u - 1, *h])
        x, y = np.array(rows)[45:], targets[k, 45:] - 1
        readout = np.linalg.solve(x.T @ x + len(x) * 1e-6 * np.eye(22), x.T @ y)
        u = starts[k]
        for step in range(5):
            h = 0.5 * h + 0.5 * np.tanh(bias + w_in * (u - 1) + h @ w)
            u = 1 + readout @ np.concatenate([[1.0, u - 1], h])
            assert predictions[k, step] == pytest.approx(u, abs=1e-6)


@pytest.mark.slow
def test_published_baselines_are_beaten():
    """Whatever the reservoir: the mean over five of them, 30 offsets each."""
    assert np.mean([chaotic.score("esn", 17, 30, seed)["SMAPE"] for seed in range(5)]) < 13.37


def test_fewer_operations_than_the_published_baselines():
    results = chaotic.score("esn", 17, 2, seed=0)
    operations = results["SynapticOperations"]
    assert results["SMAPE"] < 16.0
    assert operations["Dense"] == 150 * 150 + 150 + 151 < 3.52e4
    assert operations["Effective_MACs"] < 4.37e3 and operations["Effective_ACs"] == 0
    weights = esn.reservoir(chaotic.hyperparameters("esn"), 0)
    assert operations["Effective_MACs"] == pytest.approx(np.count_nonzero(weights[1:]) + 151, abs=1)
    assert results["Footprint"] == 8 * (150 * 150 + 150 + 150 + 151 + 1 + 150)
    assert results["metadata"]["task"]["data"] == "regenerated"
    assert results["metadata"]["provenance"]["SMAPE"] == "computed"


def arrays(preset, networks=3, slices=3, reads=1):
    config = CrossbarTargetConfig(
        preset=preset, mapping={"levels_per_device": 16}, dac={"bits": "none"}, adc={"bits": "none"}
    )
    return esn.CrossbarArrays(config, networks, 20, input_rows=4, slices=slices, reads=reads)


def test_ideal_arrays_multiply_as_plain_ones():
    """Up to the rounding to levels: half a step of a weight in the reservoir, next to nothing after three slices."""
    draws = np.random.default_rng(1)
    weights, readouts = esn.reservoir(SMALL, 1), draws.normal(size=(22, 3))
    x = np.column_stack([np.ones(3), draws.uniform(-0.5, 0.5, (3, 21))])
    plain, ideal = esn.PlainArrays(), arrays("ideal")
    for each in (plain, ideal):
        each.write_reservoir(weights, x)
        each.write_readouts(readouts, x)
    step = max(np.abs(weights[[0, 2, 21]]).max(), np.abs(weights[2:]).max(), np.abs(weights[1] / 4).max()) / 15
    bound = 0.5 * step * (np.abs(x).sum(axis=1) + 3 * np.abs(x[:, 1])).max()
    assert np.abs(ideal.reservoir(x) - plain.reservoir(x)).max() <= bound
    np.testing.assert_allclose(ideal.readout(x), plain.readout(x), rtol=0, atol=np.abs(readouts).max() * 50 / 30**3)


def test_slices_make_up_for_write_errors():
    """Each slice stores what is missing still, so its own errors count less by the factor of its scale."""
    draws = np.random.default_rng(2)
    readouts = draws.normal(size=(22, 3))
    x = np.column_stack([np.ones(3), draws.uniform(-0.5, 0.5, (3, 21))])
    errors = []
    for slices in (1, 3):
        made = arrays("hfox_wan2022", slices=slices, reads=2000)  # so many reads that their noise is small
        made.write_reservoir(esn.reservoir(SMALL, 1), x)
        made.write_readouts(readouts, x)
        errors.append(np.abs(made.readout(x) - np.einsum("bi,ib->b", x, readouts)).max())
    assert errors[1] < 0.2 * errors[0]


def test_crossbar_is_labelled_emulated_and_counts_devices(monkeypatch):
    whole = mackey_glass.window
    monkeypatch.setattr(mackey_glass, "window", lambda *which: mackey_glass.Window(*(x[:80] for x in whole(*which))))
    results = chaotic.score("esn_crossbar", 17, 1, seed=0)
    about = results["metadata"]
    assert about["provenance"]["SMAPE"] == "emulated"
    assert about["devices_per_weight"] == 2 and about["bits_per_weight"] == pytest.approx(8.0)
    assert about["account_modelled"]["pulses"] > 0
    assert about["SMAPE_computed"] == chaotic.score("esn", 17, 1, seed=0)["SMAPE"]
    assert np.isfinite(results["SMAPE"]) and results["SMAPE"] != about["SMAPE_computed"]


def test_command_writes_official_keys(tmp_path, capsys):
    chaotic.main(["esn", "--repeats", "2", "--reservoirs", "2", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "chaotic_esn_17.json").read_text())
    assert {"Footprint", "ConnectionSparsity", "SMAPE", "ActivationSparsity", "SynapticOperations"} < results.keys()
    runs = results["metadata"]["runs"]
    assert results["SMAPE"] == pytest.approx(np.mean([run["SMAPE"] for run in runs])) and len(runs) == 2
    assert results["metadata"]["task"]["seed"] == [0, 1]
    assert "| LSTM (published) | 13.37 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm"], "chaotic: there is no model 'lstm'; choose one of esn, esn_crossbar"),
        (["esn", "--tau", "16"], "chaotic: mackey_glass: there is no series for tau = 16"),
        (["esn", "--repeats", "31"], "chaotic: repeats = 31 is outside 1..30"),
        (["--reservoirs", "0"], "chaotic: --reservoirs 0: give at least 1"),
    ],
)
def test_command_names_bad_input(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        chaotic.main([*arguments, "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: esn.Config(0, 0.1, 1.0, 1.0, 1.0, 0.5, 0.1), "esn.units = 0 must be at least 1"),
        (lambda: esn.Config(9, 0.1, 1.0, 1.0, 1.0, 1.5, 0.1), "esn.leak = 1.5 is outside 0..1"),
        (lambda: esn.Config(9, 0.1, 1.0, 1.0, 1.0, 0.5, -0.1), "esn.ridge = -0.1 must be finite and not negative"),
        (lambda: esn.reservoir(esn.Config(1, 1e-9, 1.0, 1.0, 1.0, 0.5, 0.1), 0), "has a spectral radius of 0"),
        (lambda: esn.EchoStateNetwork(SMALL, 0)(np.zeros((4, 1))), r"expected \(0 networks x points, 1\), after a fit"),
        (lambda: esn.EchoStateNetwork(SMALL, 0).fit(np.zeros((1, 45)), np.zeros((1, 45))), "n above 45"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_help_is_quick():
    code = (
        "import sys, benchmarks.tasks.chaotic, benchmarks.tasks.qubo; "
        "print({'numba', 'scipy', 'numpy', 'h5py', 'simpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
