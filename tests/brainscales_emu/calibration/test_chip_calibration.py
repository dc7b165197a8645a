"""Calibration: the vendor's limits on the spread that is left, a search that only measures, files."""

import ast
import dataclasses
import os
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import trimboth

from brainscales_emu import ChipConfig, ChipError, preset
from brainscales_emu.calibration import Calibration, calibrate, measurement, search
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.calibration.measurement import ShapeFit, find_offsets, psp
from brainscales_emu.calibration.search import find_levels
from brainscales_emu.capmem import PARAMETERS, TIME_CONSTANTS, median_codes, pattern
from brainscales_emu.chip import Chip
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.readable.lif import synaptic_kernel
from brainscales_emu.readout.adc import Cadc, CadcConfig
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward

RAW = preset("uncalibrated")
TARGETS = ChipConfig()
# Vendor's tests, by field of the fixed pattern.
LIMITS = {f"{name}_{'us' if name in TIME_CONSTANTS else 'lsb'}": limit for name, limit in ACCEPTANCE_LIMITS.items()}
FIELDS = {name.removesuffix("_lsb").removesuffix("_us"): name for name in LIMITS}
FIELDS |= {"gain_exc": "gain_exc", "gain_inh": "gain_inh"}
SOME = np.r_[0:24, 300:324]  # both halves, neighbours among them

needs_compiler = pytest.mark.compiled


def assert_vendor_limits(serial, found):
    before, after = draw_fixed_pattern(RAW, serial), pattern(RAW, serial, found.codes)
    for name, limit in LIMITS.items():
        raw, done = (trimboth(getattr(p, name)[found.circuits], 0.05) for p in (before, after))
        assert done.std() < limit * raw.std(), name
        target = getattr(TARGETS, name)
        assert abs(np.median(getattr(after, name)[found.circuits]) - target) < (1.0 if "lsb" in name else 0.03 * target)
    threshold = after.threshold_lsb[found.circuits]
    assert np.mean(np.abs(threshold - np.median(threshold)) > 8.0) <= 0.05
    cadc = Cadc(CadcConfig(), serial, seed=77)
    cadc.write_offsets(found.cadc_offset)
    everywhere = np.full((512, 200), 100.0)
    read = np.stack([cadc.convert(everywhere, np.arange(512), 0, c).mean(axis=1) for c in ("causal", "acausal")])
    assert read.std() < 3.0
    quadrants = read.reshape(2, 4, 128).mean(axis=2)
    assert np.ptp(quadrants) < 5.0


@pytest.fixture(scope="module")
def found():
    """Calibrations of some circuits of two chips, and the steps that were announced."""
    steps = []
    one = calibrate(Instrument(RAW, 3, seed=1, circuits=SOME), TARGETS, progress=lambda *step: steps.append(step))
    return {3: one, 11: calibrate(Instrument(RAW, 11, seed=1, circuits=SOME), TARGETS), "steps": steps}


@needs_compiler
@pytest.mark.parametrize("serial", [3, 11])
def test_spread_is_within_the_vendors_limits(found, serial):
    assert_vendor_limits(serial, found[serial])


@needs_compiler
@pytest.mark.parametrize("serial", [3, 11])
def test_gains_are_equal_after(found, serial):
    after = pattern(RAW, serial, found[serial].codes)
    for name in ("gain_exc", "gain_inh"):
        # What the instrument equalises is the sum over its synapses, which have a mismatch of 7.5 % / sqrt(64).
        gain = getattr(after, name)[SOME]
        assert gain.std() < 0.02 * gain.mean()


@needs_compiler
def test_report(found):
    report = found[3]
    assert report.circuits.tolist() == SOME.tolist()
    truth = pattern(RAW, 3, report.codes)
    for name in PARAMETERS:
        assert report.residual[name].shape == report.success[name].shape == SOME.shape
        assert report.success[name].mean() > 0.9
    # The residual is what it says: leak and reset were measured with a known converter.
    for name in ("leak", "reset"):
        real = getattr(truth, FIELDS[name])[SOME] - report.target[name]
        assert np.abs(report.residual[name] - real).max() < 2.0
    others = np.setdiff1d(np.arange(512), SOME)
    assert (report.codes.leak[others] == median_codes(TARGETS).leak[others]).all()
    names = [name for name, _, _ in found["steps"]]
    assert (
        names
        == (
            "cadc_offset levels tau_syn_exc tau_syn_inh threshold gain_exc gain_inh leak tau_mem reset leak "
            "threshold leak reset check"
        ).split()
    )
    assert [step for _, step, _ in found["steps"]] == list(range(len(names)))
    assert {n for _, _, n in found["steps"]} == {len(names)}


@needs_compiler
def test_a_calibrated_chip_behaves_alike(found):
    """Behaviour instead of parameters: resting membranes of the chip that gets the codes."""
    placement = place_feedforward(1, [np.zeros((1, 512), dtype=int)], [None])
    rest = {}
    for name, codes in (("raw", median_codes(RAW, 3)), ("calibrated", found[3].codes)):
        chip = Chip(RAW, serial=3, seed=5, codes=codes)
        chip.write(placement.fabric)
        rest[name] = chip.run([], [], 10.0, trial=0, probe=Probe(SOME, [5.0])).membrane_lsb[:, 0]
    assert rest["calibrated"].std() < 0.3 * rest["raw"].std()


class Blindfold:
    """Nothing but the four doors of an instrument; every code is secretly moved on its way."""

    def __init__(self, instrument, moved):
        self.circuits = instrument.circuits
        self.sample, self.run = instrument.sample, instrument.run
        self.write_offsets = instrument.write_offsets

        def write_codes(codes):
            instrument.write_codes(codes.replace(leak=np.minimum(codes.leak + moved, 1022)))

        self.write_codes = write_codes


@needs_compiler
def test_search_measures_and_does_not_peek():
    few, moved = np.arange(8), 90
    codes = calibrate(Blindfold(Instrument(RAW, 5, 1, few), moved), TARGETS).codes
    found = pattern(RAW, 5, codes.replace(leak=codes.leak + moved)).leak_lsb[few]
    assert np.abs(found - 80.0).max() < 2.0


def test_only_the_instrument_knows_the_chip():
    """Calibration and measurement import and name nothing that holds a law or a fixed pattern."""
    secrets = {"chip", "Chip", "Cadc", "CapMem", "pattern", "FixedPattern", "draw_fixed_pattern", "fixed_pattern"}
    secrets |= {name for name in vars(Instrument(RAW, 1, 1)) if name.startswith("_")}
    for module in (search, measurement):
        used = set()
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.ImportFrom):
                used |= {node.module, *(alias.name for alias in node.names)}
            used |= {node.id} if isinstance(node, ast.Name) else set()
            used |= {node.attr} if isinstance(node, ast.Attribute) else set()
        assert "instrument" in used
        assert not used & secrets


@needs_compiler
def test_circuits_that_cannot_be_calibrated_are_excluded():
    config = dataclasses.replace(RAW, noise=dataclasses.replace(RAW.noise, neuron_gain_std=0.8))
    few = np.arange(40, 56)
    report = calibrate(Instrument(config, 2, 1, few), TARGETS)
    truth = pattern(config, 2, report.codes)
    weak = np.zeros(few.size, dtype=bool)
    for name in ("gain_exc", "gain_inh"):
        gain = getattr(truth, name)[few]
        # The measured gain includes the mean of 64 synapses: 1 % from circuit to circuit.
        relative = gain / np.median(gain[report.success[name]])
        assert (relative[~report.success[name]] < 0.93).any()
        assert np.abs(relative[report.success[name]] - 1.0).max() < 0.15
        weak |= relative < 0.85
    assert weak.any() and set(few[weak]) <= set(report.excluded)
    assert report.excluded.size < few.size


@needs_compiler
def test_measurements_agree_with_the_chip():
    """Each procedure on uncalibrated circuits of which the test, but not the procedure, knows the truth."""
    some = np.r_[0:16, 256:272]
    exact = CadcConfig(offset_std_lsb=0.0)
    codes = median_codes(TARGETS, 9)
    truth = pattern(RAW, 9, codes)
    levels = find_levels(Instrument(RAW, 9, 1, some, exact), codes, np.random.default_rng(1))

    def bench():
        return Instrument(RAW, 9, 1, some, exact)

    assert np.abs(measurement.measure_leak(bench(), codes) - truth.leak_lsb[some]).max() < 1.5
    assert np.abs(measurement.measure_reset(bench(), codes, levels) - truth.reset_lsb[some]).max() < 1.0
    error = measurement.measure_threshold(bench(), codes, levels) - truth.threshold_lsb[some]
    assert np.abs(error).max() < 2.5 and abs(error.mean()) < 0.5
    error = measurement.measure_tau_mem(bench(), codes, levels, 6.0, 6.0) / truth.tau_mem_us[some] - 1.0
    assert np.abs(error).max() < 0.05 and abs(error.mean()) < 0.01
    for sign, name in ((1, "tau_syn_exc_us"), (-1, "tau_syn_inh_us")):
        error = measurement.measure_tau_syn(bench(), codes, levels, sign, 6.0) / getattr(truth, name)[some] - 1.0
        assert np.abs(error).max() < 0.2 and error.std() < 0.06 and abs(np.median(error)) < 0.02


@needs_compiler
def test_gain_measurement_is_in_lsb_per_us():
    """With equal synapses and known time constants: 64 sources of weight 2, synaptic gain and relative gain."""
    quiet = dataclasses.replace(RAW.noise, weight_std=0.0, driver_gain_std=0.0, tau_syn_std=0.0, tau_mem_std=0.1)
    config = dataclasses.replace(RAW, noise=quiet)
    some = np.arange(12)
    bench = Instrument(config, 9, 1, some, CadcConfig(offset_std_lsb=0.0))
    # All codes but the leak's are the medians, so that no crosstalk moves the synaptic time constants.
    codes = median_codes(TARGETS, 9)
    truth, levels = pattern(config, 9, codes), find_levels(bench, codes, np.random.default_rng(1))
    for sign, gain in ((1, truth.gain_exc), (-1, truth.gain_inh)):
        measured = measurement.measure_gain(bench, codes, levels, sign, 6.0, 6.0)
        assert measured == pytest.approx(64 * 2 * config.synaptic_gain * gain[some], rel=0.06)


def test_offsets_of_the_converter():
    bench = Instrument(RAW, 6, seed=1)
    bench.write_offsets(find_offsets(bench))
    read = bench.sample(90.0, 200)
    assert read.shape == (2, 512, 200)
    assert np.abs(read.mean(axis=2) - 90.0).max() < 1.2  # half an LSB, and five standard errors twice
    assert read.mean(axis=2).std() < 0.4


def test_shape_fit_finds_exact_shapes():
    tau_us = np.geomspace(1.0, 50.0, 200)
    t = np.arange(0.0, 60.0, 1.7)
    fit = ShapeFit(tau_us, np.exp(-t / tau_us[:, None]), np.ones((1, t.size)))
    found, amplitude = fit(np.stack([20.0 + 7.0 * np.exp(-t / 4.321), 100.0 + 50.0 * np.exp(-t / 17.0)]))
    assert found == pytest.approx([4.321, 17.0], rel=1e-3)
    assert amplitude == pytest.approx([7.0, 50.0], rel=1e-3)


def test_shape_fit_has_the_same_bits_in_any_order_of_summation():
    """One trace alone goes another way through the matrix product than many do, and so do other thread counts."""
    rng = np.random.default_rng(1)
    t = np.arange(0.0, 500.0, 1.7)
    tau_us = np.geomspace(1.0, 50.0, 240)
    fit = ShapeFit(tau_us, np.exp(-(t % 61.0) / tau_us[:, None]), np.ones((1, t.size)))
    traces = rng.integers(0, 256, (64, t.size))
    together = np.stack(fit(traces))
    alone = np.concatenate([np.stack(fit(traces[[i]])) for i in range(64)], axis=1)
    reordered = np.stack(fit(np.ascontiguousarray(traces[::-1])))[:, ::-1]
    assert (together == alone).all() and (together == reordered).all()


@pytest.mark.parametrize(("tau_mem", "tau_syn"), [(6.0, 6.0), (1.5, 6.0), (20.0, 3.0), (6.0, 6.0000001)])
def test_psp_is_the_response_of_the_neuron(tau_mem, tau_syn):
    t = np.linspace(0.0, 60.0, 40)
    expected = [synaptic_kernel(s, tau_mem, tau_syn) for s in t]
    assert psp(t, [tau_mem], tau_syn)[0] == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.fixture
def small():
    """A calibration made up by hand."""
    rng = np.random.default_rng(1)
    codes = median_codes(TARGETS).replace(leak=rng.integers(0, 1023, 512))
    circuits = np.array([3, 7, 400])
    return Calibration(
        codes=codes,
        cadc_offset=rng.integers(-128, 128, (2, 512)),
        circuits=circuits,
        target={name: float(i) for i, name in enumerate(PARAMETERS)},
        residual={name: rng.standard_normal(3) for name in PARAMETERS},
        success={name: np.array([True, name != "reset", True]) for name in PARAMETERS},
    )


def test_save_and_load(small, tmp_path):
    assert small.excluded.tolist() == [7]
    small.save(tmp_path / "a.h5")
    small.save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    loaded = Calibration.load(tmp_path / "a.h5")
    assert loaded.target == small.target
    for name in PARAMETERS:
        assert (getattr(loaded.codes, name) == getattr(small.codes, name)).all()
        assert (loaded.residual[name] == small.residual[name]).all()
        assert (loaded.success[name] == small.success[name]).all()
    assert (loaded.cadc_offset == small.cadc_offset).all() and (loaded.circuits == small.circuits).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_a_save_that_fails_leaves_the_old_file(small, tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    small.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(small, target={name: 0.0 for name in PARAMETERS}).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


def test_bad_files(small, tmp_path):
    import h5py

    text, other, newer, cut = (tmp_path / name for name in ("text.h5", "other.h5", "newer.h5", "cut.h5"))
    text.write_text("not HDF5")
    with h5py.File(other, "w"):
        pass
    for path in (newer, cut):
        small.save(path)
    with h5py.File(newer, "r+") as file:
        file.attrs["version"] = 99
    with h5py.File(cut, "r+") as file:
        del file["codes/leak"]
    for path, reason in (
        (tmp_path / "missing.h5", "doesn't exist"),
        (text, "can't be read"),
        (other, "holds no calibration"),
        (newer, "has version 99, not 2"),
        (cut, "can't be read"),
    ):
        with pytest.raises(ChipError) as error:
            Calibration.load(path)
        assert str(error.value) == f"calibration file {path} {reason}; give a file that Calibration.save wrote"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: calibrate(Instrument(RAW, 1, 1), ChipConfig(tau_syn_inh_us=2.0)),
            "targets.tau_syn_inh_us = 2 us is outside 3..25 us; the fastest membrane, about 1.0 us, would hide a "
            "shorter one",
        ),
        (
            lambda: calibrate(Instrument(RAW, 1, 1), ChipConfig(leak_lsb=20.0)),
            "targets.leak_lsb = 20 LSB is outside 30..210 LSB; choose a target within the range in which the "
            "converter is trustworthy",
        ),
        *(
            (lambda circuits=circuits: Instrument(RAW, 1, 1, circuits=circuits), message)
            for circuits, message in (
                ([5, 3], "instrument.circuits don't ascend, or there are none; sort them, each once"),
                ([3, 3], "instrument.circuits don't ascend, or there are none; sort them, each once"),
                ([], "instrument.circuits don't ascend, or there are none; sort them, each once"),
                ([-1, 3], "instrument.circuits[0] = -1 is outside 0..511; name circuits of the chip"),
                ([0, 1, 512], "instrument.circuits[2] = 512 is outside 0..511; name circuits of the chip"),
                ([0, 512], "instrument.circuits[1] = 512 is outside 0..511; name circuits of the chip"),
                ([[1]], "instrument.circuits has shape (1, 1); expected (any,); name circuits of the chip"),
            )
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ChipError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("serial", [1, 2])
def test_whole_chip(serial):
    calibrate(Instrument(RAW, serial, 1, circuits=[0, 256]), TARGETS)  # compiles
    start = time.process_time()  # of the processor, because other jobs may run
    report = calibrate(Instrument(RAW, serial, seed=1), TARGETS)
    assert time.process_time() - start < 60.0
    assert_vendor_limits(serial, report)
    assert report.excluded.size <= 0.05 * 512
