"""`neurohil chip characterise` as a user meets it: it measures what the chip is, though it never looks inside."""

import json

import h5py
import numpy as np
import pytest
from matplotlib.image import imread

import neurohil as nh
from brainscales_emu import preset
from brainscales_emu.calibration import calibrate
from brainscales_emu.calibration.instrument import N_SOURCES, Instrument
from brainscales_emu.capmem import SLOPE_LSB, median_codes
from brainscales_emu.chip import Chip
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS, REAL_CHIPS
from neurohil.characterising import picture
from neurohil.characterising.config import ChipExperiment
from neurohil.characterising.picture import draw_characterise
from neurohil.cli import main
from neurohil.config import experiment_summaries, parse, to_toml
from neurohil.kinds import KINDS
from neurohil.targets.chip_bench import CALIBRATE_STEPS, QUANTITIES
from neurohil.trace import Trace, TraceError
from neurohil.trace.validation import validate

pytestmark = pytest.mark.compiled

KIND = KINDS["chip characterise"]
N = 24
RAW = preset("uncalibrated")


def chip(*arguments):
    return main(["chip", "characterise", *map(str, arguments), "--set", f"bench.circuits={N}"])


@pytest.fixture(autouse=True, scope="module")
def quick_pictures():
    """To draw takes longer than to measure."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(picture, "draw_characterise", lambda _, png: png.touch())
        yield


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A chip as it is, and the same one that was calibrated first."""
    folder = tmp_path_factory.mktemp("traces")
    for name, is_calibrated in (("raw", "false"), ("calibrated", "true")):
        assert (
            chip(
                "--serial", 5, "--seed", 2, "--out", folder / f"{name}.h5", "--set", f"bench.calibrate={is_calibrated}"
            )
            == 0
        )
    return {name: folder / f"{name}.h5" for name in ("raw", "calibrated")}


def assert_is(trace, which, pattern):
    """What was measured is the chip's fixed pattern, which no part of the measurement has seen."""
    circuits = trace["run/leak/circuit"]
    # Errors of the measurements: a reading has noise of 1.2 LSB and an offset corrected to 0.5 LSB. Time constants are
    # fits to 8-bit traces; a gain is that of 64 synapses of 7.5 % and 10 % each, beside which the circuit's stands.
    for name, tolerance in (("leak", 1.0), ("reset", 1.2), ("threshold", 2.0)):
        np.testing.assert_allclose(
            trace[f"run/{name}/{which}"], getattr(pattern, f"{name}_lsb")[circuits], atol=tolerance
        )
    for name in ("tau_mem", "tau_syn_exc", "tau_syn_inh"):
        error = np.abs(trace[f"run/{name}/{which}"] / getattr(pattern, f"{name}_us")[circuits] - 1.0)
        assert np.median(error) < 0.04 and error.max() < 0.2, name
    for name in ("gain_exc", "gain_inh"):
        nominal = 2 * N_SOURCES * RAW.synaptic_gain
        np.testing.assert_allclose(trace[f"run/{name}/{which}"] / nominal, getattr(pattern, name)[circuits], rtol=0.15)


def test_what_it_measures_is_what_the_chip_is(traces):
    with Trace(traces["raw"]) as trace:
        assert_is(trace, "in_use", Chip(RAW, 5, codes=median_codes(RAW, 5)).fixed_pattern)
        assert (np.diff(trace["run/leak/circuit"]) > 0).all()
        assert set(trace["run/leak/circuit"] // 128) == {0, 1, 2, 3}
        assert trace["run/results/unmeasured"] == 0
        offsets = np.concatenate([trace[f"run/cadc_offset/{name}"] for name in ("causal", "acausal")])
        assert 6.0 < offsets.std() < 14.0  # 10 LSB, 48 channels: four standard errors
    assert "alike" not in KIND.load("chip_uncalibrated").summary


def test_codes_before_and_after_stand_in_the_trace_and_do_what_it_says(traces):
    with Trace(traces["calibrated"]) as trace:
        circuits = trace["run/leak/circuit"]
        for which in ("alike", "in_use"):
            codes = {}
            for name in QUANTITIES:
                codes[name] = getattr(median_codes(RAW), name).copy()
                codes[name][circuits] = trace[f"run/{name}/code_{which}"]
            # The circuits that are off had other codes in the run, and pull their neighbours by 2 codes at most.
            assert_is(trace, which, Chip(RAW, 5, codes=median_codes(RAW).replace(**codes)).fixed_pattern)
        assert {np.unique(trace[f"run/{name}/code_alike"]).size for name in QUANTITIES} == {1}
        for name in QUANTITIES:
            assert trace[f"run/{name}/code_alike"][0] == round(float(np.median(trace[f"run/{name}/code_in_use"])))


def test_a_calibration_keeps_the_vendors_limits(traces):
    with Trace(traces["calibrated"]) as trace:
        ratio, limit = trace["run/spread/ratio"], trace["run/spread/limit"]
        assert dict(zip(QUANTITIES, limit, strict=True)) | ACCEPTANCE_LIMITS == pytest.approx(
            dict(zip(QUANTITIES, limit, strict=True)), nan_ok=True
        )
        assert np.isnan(limit[-2:]).all() and (ratio[:-2] < limit[:-2]).all() and (ratio > 0.0).all()
        before, after = trace["run/tau_mem/alike"], trace["run/tau_mem/in_use"]
        inner = [values[(values >= low) & (values <= high)].std() for values in (after, before)
                 for low, high in [np.quantile(values, [0.05, 0.95])]]  # fmt: skip
        assert ratio[QUANTITIES.index("tau_mem")] == pytest.approx(inner[0] / inner[1])


def test_spreads_are_those_of_the_circuits_and_real_chips_stand_beside(traces):
    with Trace(traces["raw"]) as trace:
        block = trace["run/leak/circuit"] // 128
        for name, values in (("leak", trace["run/leak/in_use"]), ("tau_mem", np.log(trace["run/tau_mem/in_use"]))):
            means = np.array([values[block == b].mean() for b in range(4)])
            k = QUANTITIES.index(name)
            assert trace["run/spread/within_in_use"][k] == pytest.approx((values - means[block]).std())
            assert trace["run/spread/between_in_use"][k] == pytest.approx(means.std(ddof=1))
        for real in REAL_CHIPS:
            within = trace[f"run/spread/within_{real.name}"]
            assert within[QUANTITIES.index("tau_mem")] == real.codes["tau_mem"].log_std
            assert within[QUANTITIES.index("leak")] == pytest.approx(real.codes["leak"].std * SLOPE_LSB["leak"])
            assert trace.attributes(f"run/spread/within_{real.name}")["kind"] == "measured"
            assert "real chip" in trace.attributes(f"run/spread/between_{real.name}")["long_name"]
        assert trace.provenance.kind == "emulated"


def test_traces_keep_the_rules_and_open_with_a_plot(traces):
    for path in traces.values():
        assert validate(path) == []
        with h5py.File(path) as file:
            assert file["run"].attrs["default"] == b"leak"


def test_equal_runs_give_equal_bytes_and_other_chips_other_values(traces, tmp_path, capsys):
    capsys.readouterr()
    assert chip("--serial", 5, "--seed", 2, "--out", tmp_path / "again.h5", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / "again.h5").read_bytes() == traces["raw"].read_bytes()
    assert [told[key] for key in ("experiment", "measurement", "seed", "serial")] == [
        "chip_uncalibrated",
        "characterise",
        2,
        5,
    ]
    assert chip("--serial", 6, "--seed", 2, "--out", tmp_path / "other.h5") == 0
    with Trace(traces["raw"]) as one, Trace(tmp_path / "other.h5") as other:
        assert told["median_leak"] == one["run/results/median_leak"]
        assert np.abs(one["run/leak/in_use"] - other["run/leak/in_use"]).max() > 2.0


def test_what_is_there_stays(traces, tmp_path, capsys):
    path = tmp_path / "run.h5"
    path.write_bytes(traces["raw"].read_bytes())
    assert chip("--serial", 5, "--seed", 2, "--out", path) == 0
    assert "holds this run already" in capsys.readouterr().out
    assert chip("--serial", 6, "--out", path) == 2
    assert "target.serial" in capsys.readouterr().err and path.read_bytes() == traces["raw"].read_bytes()
    assert chip("--serial", 5, "--seed", 2, "--out", path, "--overwrite") == 0
    assert path.read_bytes() == traces["raw"].read_bytes()


def test_from_python(traces, tmp_path):
    bench = {"bench": {"circuits": N}}
    run = nh.measure(
        "characterise", "chip_uncalibrated", serial=5, seed=2, trace=tmp_path / "a.h5", progress=False, **bench
    )
    assert run.path.read_bytes() == traces["raw"].read_bytes()
    assert repr(run) == "<chip characterise 'chip_uncalibrated: characterise': a measurement>"
    steps = []
    run = KIND.start(KIND.load("chip_uncalibrated", ["bench.circuits=4"]))
    run.measure(steps.append)
    assert len(steps) == run.steps and all(steps)
    with pytest.raises(nh.UserError, match="'crossbar_9_levels: program' is nothing to do chip characterise on; name"):
        nh.measure("chip characterise", "crossbar_9_levels", progress=False)
    with pytest.raises(nh.UserError, match=r"measure\(WHAT, 'chip_uncalibrated'\) with one of characterise$"):
        nh.train("chip_uncalibrated", progress=False)


def test_a_calibration_tells_as_many_steps_as_are_announced():
    told = []
    calibrate(Instrument(RAW, 1, 1, range(2)), RAW, progress=lambda *step: told.append(step))
    assert len(told) == CALIBRATE_STEPS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["bench.calibrate=true", "target.preset=calibrated"],
            "bench.calibrate = true, but target.preset = 'calibrated' has",
        ),
        (["bench.calibrate=true", "target.chip.tau_mem_us=50"], "target.chip.tau_mem_us = 50 us is outside 3..20 us"),
        (["bench.circuits=0"], "bench.circuits = 0 is not allowed: expected int >= 1 and <= 512"),
        (["target.chip.leak=3"], "unknown key target.chip.leak"),
        (["target.noise.tau_mem_std=3"], "target.noise.tau_mem_std = 3 is outside 0..1"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_no_file(arguments, message, tmp_path, capsys):
    words = [word for argument in ["bench.circuits=4", *arguments] for word in ("--set", argument)]
    assert main(["chip", "characterise", *words, "--out", str(tmp_path / "run.h5")]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_circuit_that_never_spikes_is_not_measured_and_no_obstacle(tmp_path, capsys):
    out = tmp_path / "run.h5"
    # A leak that no membrane of this spread reaches: thresholds beyond the converter's range.
    words = ["target.chip.threshold_lsb=255", "target.noise.threshold_std_lsb=20", "bench.circuits=8"]
    assert main(["chip", "characterise", "--out", str(out), *(w for word in words for w in ("--set", word))]) == 0
    assert "not measured" in capsys.readouterr().out
    with Trace(out) as trace:
        assert trace["run/results/unmeasured"] > 8 and np.isnan(trace["run/threshold/in_use"]).any()
    assert validate(out) == []
    draw_characterise(out, tmp_path / "drawn.png")
    assert imread(tmp_path / "drawn.png").shape == (1400, 1800, 4)


def test_pictures_are_drawn_from_finished_traces_alone(traces, tmp_path):
    draw_characterise(traces["calibrated"], tmp_path / "drawn.png")
    assert imread(tmp_path / "drawn.png").shape == (1400, 1800, 4)
    with Trace(traces["calibrated"]) as trace:
        config = trace.config
    run = KIND.start(parse(config, ChipExperiment, ["bench.circuits=2", "bench.calibrate=false"]))
    with run.new_trace(tmp_path / "run.h5"):
        pass  # killed before it is finished
    with pytest.raises(TraceError, match="has not come to its end"):
        draw_characterise(tmp_path / "run.h5.part", tmp_path / "other.png")


def test_nothing_of_a_picture_is_cut_off(traces, tmp_path):
    draw_characterise(traces["raw"], tmp_path / "drawn.png")
    drawn = imread(tmp_path / "drawn.png")[..., :3]
    for edge in (drawn[:8], drawn[-8:], drawn[:, :8], drawn[:, -8:]):
        assert np.all(edge == 1.0)


def test_the_bench_knows_no_fixed_pattern():
    """It is measured, not looked up: neither file has a name of what only the emulator knows."""
    from pathlib import Path

    root = Path(__file__).parents[2]
    for file in ("neurohil/targets/chip_bench.py", "brainscales_emu/calibration/characterise.py"):
        text = (root / file).read_text(encoding="utf-8")
        assert "fixed_pattern" not in text and "CapMem(" not in text and "Chip(" not in text


@pytest.mark.parametrize("name", experiment_summaries("chip"))
def test_shipped_experiments_are_valid_and_survive_a_round_trip(name):
    config = KIND.load(name)
    assert config.experiment == name
    assert parse(to_toml(config), ChipExperiment) == config
