"""The estimators with which emulated chips are held against chip W66F3, and the reader of the published networks."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.published_delgrad import read_published
from benchmarks.w66f3 import Comparison, compare, local_noise, main, robust_std, table
from neurohil.errors import UserError

WEIGHTS = np.array([[60, 50, 63], [50, 60, 63], [60, 63, 50], [-10, 40, 0], *4 * [[60, 60, 60]]])  # LSB
NORMAL = norm.ppf((np.arange(2000) + 0.5) / 2000)  # quantiles: their median and spread are known without luck


def inputs(n, copies=1):
    """Points of the unit square as DelGrad's input lines (x, y, 1 - x, 1 - y), each so many times."""
    points = np.random.default_rng(3).random((n, 2))
    return np.tile(np.hstack([points, 1.0 - points]), copies)


def test_robust_std_is_that_of_the_normal_part():
    assert robust_std(0.7 + 0.3 * NORMAL) == pytest.approx(0.3, rel=1e-3)
    outliers = np.concatenate([0.7 + 0.3 * NORMAL, np.full(20, 50.0)])
    assert robust_std(outliers) == pytest.approx(0.3, rel=0.02)


def test_local_noise_of_a_plane_is_zero():
    at = inputs(400, copies=5)
    assert local_noise(at, 1.0 + 3.0 * at[:, 0] - 2.0 * at[:, 1]) < 1e-12


@pytest.mark.parametrize("std", [0.01, 0.05])
def test_local_noise_is_what_was_added_to_a_smooth_function(std):
    at = inputs(5000)
    times = 2.0 + np.sin(at[:, 0]) * at[:, 1] + std * np.random.default_rng(4).standard_normal(5000)
    times[::50] = np.inf  # no spike
    assert local_noise(at, times) == pytest.approx(std, rel=0.05)


def test_comparison_finds_offset_spread_noise_and_missing_spikes_of_each_output():
    at = inputs(2000)
    order = np.random.default_rng(5).permutation(2000)
    ideal = 2.0 + np.stack([at[:, 0], at[:, 1], at[:, 0]], axis=1)
    spikes = ideal + np.array([0.1, -0.2, 0.0]) + np.outer(NORMAL[order], [0.02, 0.05, 0.1])
    spikes[:200, 1] = ideal[:100, 2] = np.inf
    labels = np.where(np.arange(2000) < 500, first := spikes.argmin(axis=1), (first + 1) % 3)
    found = compare(at, labels, spikes, ideal)
    np.testing.assert_allclose(found.offset, [0.1, -0.2, 0.0], atol=0.005)
    np.testing.assert_allclose(found.spread, [0.02, 0.05, 0.1], rtol=0.05)
    np.testing.assert_allclose(found.noise, [0.02, 0.05, 0.1], rtol=0.08)
    np.testing.assert_allclose(found.missing, [0.0, 0.1, 0.0])
    assert found.accuracy == 0.25


def test_table_leaves_out_a_twentieth_at_each_end():
    def comparison(offset):
        return Comparison(np.full(3, offset), *np.zeros((3, 3)), 0.5, 0.5)

    emulated = [comparison(offset) for offset in np.random.default_rng(6).permutation(20)]
    rows = table([("inside", comparison(18.0), emulated), ("outside", comparison(18.1), emulated)]).splitlines()[2:4]
    assert rows == [
        "| mean offset | inside | 18.000 | 9.500 | 1.000 ... 18.000 | yes |",
        "| mean offset | outside | 18.100 | 9.500 | 1.000 ... 18.000 | no |",
    ]


def test_table_leaves_out_what_a_silent_output_has_not():
    silent = compare(inputs(40), np.zeros(40), np.full((40, 3), np.inf), np.ones((40, 3)))
    assert np.isnan(silent.offset).all() and np.isnan(silent.noise).all() and silent.accuracy == 0.0
    loud = silent._replace(offset=np.ones(3))
    lines = table([("some", loud, [silent, loud]), ("all", loud, [silent])]).splitlines()
    assert lines[2:4] == [
        "| mean offset | some | 1.000 | 1.000 | 1.000 ... 1.000 | yes |",
        "| mean offset | all | 1.000 | nan | nan ... nan | no |",
    ]


class Tensor:
    """Pickles as a tensor of torch does."""

    def __init__(self, key, values):
        self.key, self.values = key, values

    def __reduce__(self):
        strides = tuple(s // 8 for s in self.values.strides)
        tensor = (self.key, 0, self.values.shape, strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, tensor


class Storage(str):
    """Key of the numbers of a tensor."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout with two networks, 20-8-3, of made-up numbers; the file of each is made as torch makes it."""

    def module(name, **entries):
        made = types.ModuleType(name)
        for key, entry in entries.items():
            entry.__module__, entry.__qualname__, entry.__name__ = name, key, key
            setattr(made, key, entry)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    module("torch._utils", _rebuild_tensor_v2=lambda *_: None)
    torch = module("torch", DoubleStorage=type("DoubleStorage", (), {}))
    layers = module("utils", Layer=type("Layer", (), {}))

    class TorchPickler(pickle.Pickler):
        def persistent_id(self, entry):
            return ("storage", torch.DoubleStorage, str(entry), "cpu", 0) if isinstance(entry, Storage) else None

    def layer(**attributes):
        made = layers.Layer()
        made.__dict__.update(attributes)
        return made

    times = inputs(40, copies=5)
    for name, delays in (("yin_yang_hxpynn", True), ("yin_yang_hxpynn_W", False)):
        stem = tmp_path / "experiment_pretrained" / name / "epoch_300"
        stem.mkdir(parents=True)
        weights = [np.full((20, 8), 40), WEIGHTS]
        delayed, storages = {}, {}
        for key, n, factor in ("0", 4, 5), ("2", 8, 1):
            parameters = Tensor(Storage(key), np.zeros((n, 1)))
            storages[key] = np.resize([0.0, np.log(3.0)], n)  # of which the sigmoid is 1/2 and 3/4
            delayed[key] = layer(
                sigmoid_shift=2.0,
                sigmoid_scale=1.5,
                presyn_sharing_factor=factor,
                _parameters={"_delay_parameters": parameters},
            )
        network = layer(
            hx_lastsetweights=weights,
            hx_settings={"taum": 6.0},
            _modules={"layers": layer(_modules=delayed if delays else {})},
        )
        with zipfile.ZipFile(stem / "yin_yang_network.pt", "w") as archive:
            with archive.open("yin_yang_network/data.pkl", "w") as file:
                TorchPickler(file, protocol=2).dump(network)
            for key, values in storages.items():
                archive.writestr(f"yin_yang_network/data/{key}", values.tobytes())
        np.save(stem / "yin_yang_train_inputs.npy", times)
        np.save(stem / "yin_yang_train_labels.npy", np.arange(40) % 3)
        np.save(stem / "yin_yang_train_spiketimes.npy", 3.0 + times[:, :3])
    return tmp_path


def test_published_networks_are_read_without_torch(folder):
    network = read_published(folder, "yin_yang_hxpynn")
    np.testing.assert_array_equal(network.weights[1], WEIGHTS)
    # 2 + 1.5 / 2 and 2 + 1.5 * 3 / 4 tau are 16.5 and 18.75 us, registers 116 and 134 (register / 8 + 2 us)
    assert [layer.tolist() for layer in network.registers] == [10 * [116, 134], 4 * [116, 134]]
    assert network.inputs.shape == (40, 20) and network.spikes.shape == (40, 3)
    assert network.labels[:4].tolist() == [0, 1, 2, 0]
    assert read_published(folder, "yin_yang_hxpynn_W").registers == [None, None]


def test_registers_are_cut_off(folder):
    """18.75 us as they were a little shorter are register 133: the chip's software makes integers of numbers so."""
    path = folder / "experiment_pretrained/yin_yang_hxpynn/epoch_300/yin_yang_network.pt"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["yin_yang_network/data/2"] = (np.frombuffer(files["yin_yang_network/data/2"]) - 1e-3).tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert read_published(folder, "yin_yang_hxpynn").registers[1].tolist() == 4 * [115, 133]


def test_program_takes_published_networks(folder, capsys):
    main(["--published", str(folder), "--chips", "2"])
    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[0][3:5] == ["measured on W66F3", "emulated, 2 serials: median"]
    found = {(row[1], row[2]): row[3:] for row in rows[2:]}
    assert len(found) == len(rows) - 2 and found["missing spikes %", "with delays"][:2] == ["0.0", "0.0"]
    # Made up as 3 + the lines; both emulated serials are nearer to the ideal chip than those are.
    for network in ("with delays", "without delays"):
        measured, emulated = found["mean offset", network][:2]
        assert abs(float(emulated)) < 0.5 < abs(float(measured))


def test_nothing_in_a_published_file_is_run(folder):
    """A class that isn't needed is replaced, so that what it would do is not done."""
    path = folder / "experiment_pretrained/yin_yang_hxpynn/epoch_300/yin_yang_network.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("yin_yang_network/data.pkl", b"cbuiltins\nexec\n(S'raise SystemExit'\ntR.")
    with pytest.raises(UserError, match=r"^--published: .*yin_yang_\* can't be read \(AttributeError: .*checkout of"):
        read_published(folder, "yin_yang_hxpynn")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^--published: .* can't be read \(FileNotFoundError: .*give the folder of a"):
        read_published(tmp_path, "yin_yang_hxpynn")
