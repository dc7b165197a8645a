"""The chip in matrix mode as a target: units, calibration by outputs, state, and a small network that learns on it."""

import functools
import json
import re

import numpy as np
import pytest

import neurohil
from brainscales_emu.constants import MAX_WEIGHT
from brainscales_emu.mac import MacArray, MacConfig
from neurohil.cli import main
from neurohil.datasets import idx
from neurohil.errors import UserError
from neurohil.stopping import StopRequest
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig, BrainscalesMatrixTarget
from neurohil.targets.matrix.ideal import IdealMatrixTarget
from neurohil.trace import Trace

CHIP = "mnist_fashion_chip"
SHAPES = [(200, 30), (30, 10)]
UNIFORM = {
    "noise_std_lsb": 0.0,
    "column_gain_std": 0.0,
    "column_offset_std_lsb": 0.0,
    "row_gain_std": 0.0,
    "synapse_gain_std": 0.0,
}


def target(max_level=7, seed=1, weight_range=1.0, **settings):
    return BrainscalesMatrixTarget(BrainscalesMatrixConfig(**settings), SHAPES, max_level, weight_range, seed)


def levels(max_level=7, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(-max_level, max_level + 1, shape) for shape in SHAPES]


def inputs(n=16, seed=1):
    return np.random.default_rng(seed).random((n, 200), dtype=np.float32)


# Against ideal weights


@pytest.mark.parametrize("max_level", [1, 7, 15, 63])
def test_without_spread_it_multiplies_like_ideal_weights(max_level):
    chip, ideal = target(max_level, weight_range=0.5, mac=UNIFORM), IdealMatrixTarget(max_level, 0.5)
    for one in (chip, ideal):
        one.write(levels(max_level))
    x = np.rint(31 * inputs()).astype(np.float32) / 31  # on the chip's grid
    found, expected = chip.multiply(0, x, 1), ideal.multiply(0, x, 1)
    # Two blocks, each rounded down: at most half a code from the middle.
    spread = MAX_WEIGHT // max_level
    code = 0.5 / max_level / (spread * 31 * 0.002 * chip.state()["num_sends"][0])
    assert np.abs(found - expected).max() <= 1.001 * code < np.abs(expected).max() / 10
    assert abs(np.mean(found - expected)) < 0.1 * code  # not rounded down in the mean


def test_inputs_have_five_bits():
    chip = target(mac=UNIFORM)
    chip.write(levels())
    x = inputs()
    on_grid = np.rint(31 * x).astype(np.float32) / 31
    chip.calibrate(0, x)
    np.testing.assert_array_equal(chip.multiply(0, x, 1), chip.multiply(0, on_grid, 1))


def test_a_real_chip_misses_by_its_fixed_pattern():
    chip, ideal = target(), IdealMatrixTarget(7, 1.0)
    for one in (chip, ideal):
        one.write(levels())
    x = inputs(400)
    expected = ideal.multiply(0, x, 1)
    chip.calibrate(0, x)
    again = [chip.multiply(0, x, trial) for trial in range(1, 31)]
    fixed = np.mean(again, axis=0) - expected
    noise = np.std(again, axis=0, ddof=1).mean()
    code = 1 / 7 / (9 * 31 * 0.002 * chip.state()["num_sends"][0])
    # Two blocks, each with 2 LSB of noise and rounded.
    assert noise == pytest.approx(np.sqrt(2 * (4 + 1 / 12)) * code, rel=0.05)
    assert np.corrcoef((expected + fixed).ravel(), expected.ravel())[0, 1] > 0.95
    assert fixed.std() > 2 * noise / np.sqrt(30)


# Calibration


def test_calibration_fills_the_linear_range():
    """As often as possible, but at most 0.1 % of the codes beyond 80, by an independent count on an equal chip."""
    chip = target(mac=UNIFORM)
    chip.write(levels())
    x = 0.1 * inputs(200)
    chip.calibrate(0, x)
    sends = int(chip.state()["num_sends"][0])
    pulses, weights = np.rint(31 * x).astype(np.int64), 9 * levels()[0]

    def beyond(n):
        sums = [pulses[:, rows] @ weights[rows] for rows in (slice(0, 128), slice(128, 200))]
        return np.mean([np.abs(np.floor(0.002 * n * s)) > 80 for s in sums])

    assert sends > 3 and beyond(sends) <= 0.001 < beyond(sends + 1)


def test_calibration_follows_the_inputs_within_its_limit():
    sends = {}
    for scale in (0.1, 0.05):
        chip = target(mac=UNIFORM)
        chip.write(levels())
        chip.calibrate(0, scale * inputs(200))
        sends[scale] = chip.state()["num_sends"][0]
    assert sends[0.05] == pytest.approx(2 * sends[0.1], abs=2) and sends[0.1] > 3
    chip = target(max_sends=3)
    chip.write(levels())
    chip.calibrate(0, inputs() * np.float32(0.02))
    chip.calibrate(1, np.zeros((4, 30)))
    assert chip.state()["num_sends"].tolist() == [3, 3]


def test_the_first_inputs_calibrate():
    chips = [target(), target()]
    for chip in chips:
        chip.write(levels())
    chips[0].calibrate(0, inputs())
    np.testing.assert_array_equal(chips[0].multiply(0, inputs(), 5), chips[1].multiply(0, inputs(), 5))
    assert chips[0].account() == chips[1].account()
    assert chips[0].state()["num_sends"][1] == 0


# Weights


def test_weights_are_digital():
    chip, written = target(max_level=15, weight_range=0.5), levels(15)
    assert chip.capabilities[:3] == (31, 15, 0.5) and chip.capabilities.input_min == 0.0
    assert chip.write(written).changed == sum(np.count_nonzero(one) for one in written)
    assert chip.write(written) == (0, 0, 0)
    written[1][3, 2] += 1 if written[1][3, 2] < 15 else -1
    assert chip.write(written) == (1, 0, 0)
    before = chip.multiply(0, inputs(), 1)
    chip.wait(1e9)
    np.testing.assert_array_equal(chip.multiply(0, inputs(), 1), before)
    np.testing.assert_allclose(chip.read(1, 1), written[1] * 0.5 / 15, rtol=1e-6)


def test_what_was_written_does_not_follow_the_array():
    chip, written = target(), levels()
    chip.write(written)
    before, read = chip.multiply(0, inputs(), 1), chip.read(0, 1)
    written[0][:] = 0
    np.testing.assert_array_equal(chip.multiply(0, inputs(), 1), before)
    np.testing.assert_array_equal(chip.read(0, 1), read)
    chip.write(written)
    assert np.all(chip.read(0, 1) == 0) and chip.multiply(0, inputs(), 1).std() < 0.2 * before.std()


def test_trial_seed_and_serial_make_the_noise():
    def products(serial=1, seed=1, trial=1):
        chip = target(serial=serial, seed=seed)
        chip.write(levels())
        return chip.multiply(0, inputs(), trial)

    first = products()
    np.testing.assert_array_equal(products(), first)
    for other in (products(serial=2), products(seed=2), products(trial=2)):
        assert np.mean(other != first) > 0.5


def test_state_makes_another_target_go_on_to_the_same_bits():
    chip = target()
    chip.write(levels())
    chip.calibrate(0, inputs())
    chip.multiply(0, inputs(), 1)
    state = chip.state()
    kept = {name: array.copy() for name, array in state.items()}
    other = target()
    other.write(levels(seed=5))  # as the trainer does before
    other.load_state(state)
    assert other.account() == chip.account()
    for one in (chip, other):
        one.calibrate(1, inputs()[:, :30])
    for layer, x in ((0, inputs(seed=3)), (1, inputs(seed=3)[:, :30])):
        np.testing.assert_array_equal(other.multiply(layer, x, 2), chip.multiply(layer, x, 2))
    assert other.account() == chip.account()
    for name, array in kept.items():  # a copy, and always of the same make
        np.testing.assert_array_equal(state[name], array)
        assert (chip.state()[name].shape, chip.state()[name].dtype) == (array.shape, array.dtype)


def test_maps_are_those_of_the_chip():
    maps = {quantity.name: quantity for quantity in target().maps()}
    assert maps["column_gain_exc"].values.shape == (4, 128) and maps["synapse_gain"].values.shape == (512, 256)
    assert 0.03 < maps["column_gain_inh"].values.std() < 0.06
    pattern = MacArray(MacConfig(), 1, 1).pattern
    np.testing.assert_array_equal(maps["column_offset"].values[3], pattern.column_offset_lsb[1, 128:])
    np.testing.assert_array_equal(maps["row_gain"].values[128, 1], pattern.row_gain[1, 1])
    np.testing.assert_array_equal(maps["synapse_gain"].values[256], pattern.synapse_gain[1, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_level": 127}, "signed levels -127..127 don't fit into the chip's weights -63..63; lower network.quant"),
        ({"mac": {"noise_std": 1.0}}, "unknown key target.mac.noise_std, did you mean 'target.mac.noise_std_lsb'?"),
        ({"mac": {"signed": False}}, "unknown key target.mac.signed"),
        ({"mac": {"gain": 2.0}}, "target.mac.gain = 2 LSB is outside 1e-06..1 LSB"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=re.escape(message)):
        target(**settings)


def test_bad_levels_and_inputs_are_refused():
    chip, good = target(), levels()
    chip.write(good)
    for bad, message in (
        ([good[0] + 7, good[1]], "is outside -7..7; quantise the weights for this target"),
        ([good[0] / 7, good[1]], "layer 0: levels is of type float64, not integers; quantise the"),
        ([good[1], good[0]], "levels have shapes [(30, 10), (200, 30)], but this target holds layers of [(200, 30)"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            chip.write(bad)
    np.testing.assert_allclose(chip.read(0, 1), good[0] / 7, rtol=1e-6)
    for bad in (inputs() - 0.5, 1.5 * inputs(), np.full((1, 200), np.nan)):
        with pytest.raises(
            UserError, match=r"inputs\[.*\] = .*; inputs of the chip are lengths of pulses: take relu as"
        ):
            chip.multiply(0, bad, 1)


# A network on the chip


def options(**values):
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


TINY = options(network__hidden="[24]", network__init=0.6, tasks__train_images=400, tasks__test_images=200)


@pytest.fixture(autouse=True, scope="module")
def images_are_read_once():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(idx, "load", functools.cache(idx.load))
        yield


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "run.h5"
    assert main(["metaplasticity", CHIP, "--epochs", "2", *TINY, "--seed", "3", "--out", str(path)]) == 0
    return path


@pytest.mark.compiled
def test_its_trace_adds_up(straight):
    with Trace(straight) as trace:
        assert trace.complete and trace.epochs == 4
        weights = 784 * 24 + 24 * 10
        assert trace["run/results/devices"].item() == 2 * weights  # synapses
        assert trace["run/results/device_bits"].item() == 2 * 6 * weights
        assert np.isinf(trace["run/results/years_to_wear_out"].item())
        # 784 x 24 is 7 blocks: 4 runs; 24 x 10 is one. 4 epochs of 4 steps, 4 x 2 tests, and calibrations.
        runs = trace["run/results/runs"].item()
        assert runs > 5 * (16 + 8)
        assert trace["run/results/modelled_time"].item() > 2.09e-3 * runs  # the weights of each run are written
        assert "run/programming/pulses" not in trace.paths and "run/devices/error/error" not in trace.paths
        assert trace["run/maps/column_gain_exc/column_gain_exc"].shape == (4, 128)
        assert trace["run/maps/synapse_gain/synapse_gain"].shape == (128, 128)
        counts = trace["run/writes/devices"]
        assert counts.sum() == weights
    assert straight.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.compiled
def test_a_small_network_learns_nearly_as_on_ideal_weights():
    words = ["network.hidden=[100]", "tasks.data_sets=['mnist']", "tasks.train_images=2000", "tasks.test_images=1000"]
    accuracy = {}
    for name in (CHIP, "mnist_fashion_ideal"):
        run = neurohil.experiment(name, [*words, "network.init=0.3", "training.epochs=4"]).start()
        accuracy[name] = run.train().result.test_accuracy["mnist"]
    assert accuracy[CHIP] > 0.8 and accuracy[CHIP] > accuracy["mnist_fashion_ideal"] - 0.06


@pytest.mark.compiled
def test_stopped_after_every_epoch_it_goes_on_to_the_same_bytes(straight, tmp_path, monkeypatch):
    out, part = tmp_path / "run.h5", tmp_path / "run.h5.part"
    monkeypatch.setattr(StopRequest, "__call__", lambda self: True)
    assert main(["metaplasticity", CHIP, "--epochs", "2", *TINY, "--seed", "3", "--out", str(out)]) == 130
    while not out.exists():
        last = main(["metaplasticity", "--resume", str(part)])
    assert last == 0
    assert out.read_bytes() == straight.read_bytes()
    assert out.with_suffix(".png").read_bytes() == straight.with_suffix(".png").read_bytes()


@pytest.mark.compiled
def test_summary_and_json_tell_of_the_chip(tmp_path, capsys):
    arguments = [CHIP, "--epochs", "1", *TINY, "--out", str(tmp_path / "run.h5"), "--json"]
    assert main(["metaplasticity", *arguments]) == 0
    line, output = capsys.readouterr()
    assert output.startswith(f"{CHIP}: 2 tasks of 1 epochs, seed 1, emulated BrainScaleS-2 chip 1\n")
    assert "s of the chip, tests included" in output and "worn-out" not in output
    summary = json.loads(line)
    assert summary["years_to_wear_out"] is None and summary["runs"] > 0


def test_signs_are_refused_with_a_remedy():
    words = ["network.hidden=[8]", "network.init=0.6", "tasks.train_images=100", "tasks.test_images=10"]
    run = neurohil.experiment(CHIP, [*words, "network.activation='sign'"]).start()
    with pytest.raises(UserError, match=r"= -1 is outside 0\.\.1; .* take relu as network\.activation"):
        run.train_epoch()
