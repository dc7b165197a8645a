"""`neurohil crossbar` as a user meets it, and the physics in its traces against published and computed numbers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats

from neurohil.cli import main
from neurohil.config import experiment_summaries, parse, to_toml
from neurohil.kinds import KINDS
from neurohil.probing import picture
from neurohil.probing.config import CrossbarExperiment
from neurohil.trace import Trace

ALPHA = 1e-6
SMALL = [
    "--set",
    "target.array.tile_rows=16",
    "--set",
    "target.array.tile_columns=16",
    "--set",
    "ir_drop.sizes=[4, 16]",
]
MEASUREMENTS = ("program", "characterise", "age", "ir-drop")
DRAWN = {name: getattr(picture, name) for name in ("draw_program", "draw_characterise", "draw_age", "draw_ir_drop")}
# Spread of hfox_wan2022 in uS at 15, 20, ... 40 uS, evaluated from the published polynomials (Wan et al., Nature 2022).
# The lower levels are left out: there a conductance that can't be negative cuts the distribution.
LEVELS = (3, 4, 5, 6, 7, 8)
AFTER_1_S = np.array([2.25, 2.02, 1.75, 1.53, 1.35, 1.10])
AFTER_1_DAY = np.array([4.00, 3.91, 3.66, 3.37, 3.06, 2.65])


def crossbar(*arguments):
    return main(["crossbar", *map(str, arguments)])


def measure(capsys, out, measurement, *arguments):
    """Run a measurement; its JSON line, once trace and picture are seen to be all there is."""
    capsys.readouterr()
    assert crossbar(measurement, *arguments, "--out", out, "--json") == 0
    output = capsys.readouterr()
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, f"{out.stem}.png"]
    return json.loads(output.out), output.err  # the progress bar is silent off a terminal


def same_variance(values, sigma, alpha=ALPHA):
    """Two-sided chi-square test of zero-mean normal numbers for their standard deviation."""
    statistic = float(np.sum(np.square(values / sigma)))
    low, high = stats.chi2.ppf([alpha / 2, 1 - alpha / 2], np.size(values))
    return low < statistic < high


@pytest.fixture(autouse=True, scope="module")
def quick_pictures():
    """To draw takes longer than all else."""
    with pytest.MonkeyPatch.context() as patched:
        for name in DRAWN:
            patched.setattr(picture, name, lambda _, png: png.touch())
        yield


@pytest.fixture
def drawn(quick_pictures, monkeypatch):
    """Pictures are drawn all the same."""
    for name, draw in DRAWN.items():
        monkeypatch.setattr(picture, name, draw)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The four measurements of the default experiment on another array, as paths."""
    folder = tmp_path_factory.mktemp("traces")
    for name in MEASUREMENTS:
        assert crossbar(name, "--seed", 5, "--serial", 5, "--out", folder / f"{name}.h5") == 0
    return {name: folder / f"{name}.h5" for name in MEASUREMENTS}


@pytest.fixture(scope="module")
def programmed(traces):
    with Trace(traces["program"]) as trace:
        names = ("level", "target", "state", "lifetime", "verified_written", "pulses_written", "conductance_written")
        names += ("conductance_aged", "conductance_worn", "verified_worn")
        yield {name: trace[f"run/maps/{name}/{name}"] for name in names} | {"trace": trace}


# What a user sees


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from neurohil.cli import main\n"
        "try: main(['crossbar', 'program', '--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'numba', 'h5py', 'simpy', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in result.stdout and "--set KEY=VALUE" in result.stdout


def test_each_kind_lists_its_own_experiments(capsys):
    assert crossbar("--list") == 0
    crossbars = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["delgrad", "--list"]) == 0
    delgrads = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert "crossbar_9_levels" in crossbars and "yin_yang_weights" in delgrads
    assert not crossbars & delgrads


@pytest.mark.parametrize("name", experiment_summaries("crossbar"))
def test_shipped_experiments_are_valid_and_survive_a_round_trip(name):
    config = KINDS["crossbar program"].load(name)
    assert config.experiment == name
    assert parse(to_toml(config), CrossbarExperiment) == config


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_json_repeats_the_trace(name, drawn, capsys, tmp_path):
    summary, table = measure(capsys, tmp_path / "run.h5", name, *SMALL, "--seed", 3)
    assert imread(tmp_path / "run.png").ndim == 3
    told = [summary[key] for key in ("experiment", "measurement", "seed", "serial")]
    assert told == ["crossbar_9_levels", name, 3, 1]
    assert table.startswith(f"crossbar_9_levels: {name}, seed 3, devices hfox_wan2022, serial 1\n")
    with Trace(tmp_path / "run.h5") as trace:
        assert trace.complete and trace.epochs == 0
        results = [path for path in trace.paths if path.startswith("run/results/")]
        assert results
        for path in results:
            value, found = summary[path.split("/")[-1]], trace[path].item()
            assert (value is None and np.isnan(found)) or value == found


def test_equal_runs_give_equal_bytes_for_any_number_of_threads(tmp_path, capsys, monkeypatch):
    measure(capsys, tmp_path / "again" / "run.h5", "program", *SMALL)
    monkeypatch.setattr(picture, "draw_program", DRAWN["draw_program"])
    measure(capsys, tmp_path / "here" / "run.h5", "program", *SMALL)
    command = [sys.executable, "-m", "neurohil", "crossbar", "program", *SMALL, "--out", str(tmp_path / "there.h5")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "NUMBA_NUM_THREADS": "1"})
    trace = (tmp_path / "there.h5").read_bytes()
    assert trace == (tmp_path / "here" / "run.h5").read_bytes() == (tmp_path / "again" / "run.h5").read_bytes()
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here" / "run.png").read_bytes()


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (MEASUREMENTS, ["target.preset=ideal"]),
        (
            ["program", "age"],
            ["target.preset=cmo_hfox", "target.mapping.levels_per_device=3", "target.wear.failure=gradual"],
        ),
        (
            ["program", "characterise"],
            ["target.mapping.scheme=pair", "target.mapping.levels_per_device=4", "target.recipe.method=one_shot"],
        ),
        (
            ["program", "ir-drop"],
            ["target.preset=hfo2_gong2022", "target.recipe.method=incremental", "target.faults.dead_row_fraction=0.2"],
        ),
    ],
    ids=["ideal", "fading", "pairs", "faults"],
)
def test_other_arrays(names, changes, capsys, tmp_path):
    options = [item for change in changes for item in ("--set", change)]
    for name in names:
        measure(capsys, tmp_path / name / "run.h5", name, *SMALL, *options)


@pytest.mark.compiled
def test_a_table_of_measured_devices(capsys, tmp_path):
    table = tmp_path / "mine.csv"
    rows = [f"{k},{g},{s},{t}" for k, g in enumerate((2.0, 10.0, 30.0)) for t, s in ((1.0, 0.5), (86400.0, 1.5))]
    table.write_text("level,mean_uS,sigma_uS,time_s\n" + "\n".join(rows) + "\n")
    out = tmp_path / "traces" / "run.h5"
    options = ["--set", f"target.table={table}", "--set", "target.mapping.levels_per_device=3", "--set"]
    measure(capsys, out, "characterise", *options, "characterise.ages_s=[1.0, 86400.0]")
    with Trace(out) as trace:
        assert np.array_equal(trace["run/spread/target"], [2.0, 16.0, 30.0])
        sigma = trace["run/spread/sigma"]
    for measured, told in zip(sigma, (0.5, 1.5), strict=True):
        # The two upper levels, a third of the devices each; the lowest, 2 uS, is too close to 0 for the later spread.
        pooled, bound = np.sqrt(np.mean(np.square(measured[1:] / told))), 4.9 / np.sqrt(2 * 128 * 128 * 2 / 3)
        assert abs(pooled - 1.0) < bound < abs(1.05 * pooled - 1.0)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a measurement: program, characterise, age or ir-drop"),
        (["program", "crossbar_9_level"], "unknown experiment 'crossbar_9_level', did you mean 'crossbar_9_levels'?"),
        (["program", "yin_yang_weights"], "unknown experiment 'yin_yang_weights'; known: crossbar_9_levels"),
        (["program", "none.toml"], "cannot read experiment file none.toml: No such file"),
        (["program", "--set", "program.cycles=0"], "program.cycles = 0 is not allowed: expected int >= 1"),
        (["program", "--set", "program.cycles=many"], "program.cycles = 'many' is not allowed: expected int >= 1 and"),
        (["program", "--set", "program.aged_s=0.5"], "program.aged_s = 0.5 is not allowed: expected float >= 1 and"),
        (["program", "--set", "program.cycle=9"], "unknown key program.cycle, did you mean 'program.cycles'?"),
        (["program", "--set", "progam.cycles=9"], "unknown key progam, did you mean 'program'?"),
        (["program", "--seed", "-1"], "seed = -1 is not allowed: expected int >= 0"),
        (["program", "--serial", "-1"], "target.serial = -1 is not allowed: expected int >= 0"),
        (
            ["program", "--set", "target.preset=hfox_wan"],
            "preset = 'hfox_wan' is unknown; did you mean 'hfox_wan2022'?",
        ),
        (
            ["program", "--set", "target.mapping.levels_per_device=300"],
            "mapping.levels_per_device = 300 is outside 2..256; a device has at least two levels",
        ),
        (
            ["program", "--set", "target.mapping.levels_per_device=nine"],
            "mapping.levels_per_device = 'nine' is not an integer; allowed are 2..256",
        ),
        (["program", "--set", "target.mapping.levels_per_device=8"], "is even, but the reference column"),
        (["program", "--set", "target.recipe.tolerance_uS=-1"], "tolerance_uS = -1 uS is outside 0..1e+06 uS"),
        (
            ["age", "--set", "target.wear.medain_cycles=1e5"],
            "target.wear.medain_cycles, did you mean 'target.wear.median_cycles'?",
        ),
        (["age", "--set", "age.first_cycles=1e8"], "age.first_cycles = 1e+08 is not below age.last_cycles = 1e+07"),
        (["ir-drop", "--set", "ir_drop.sizes=[256]"], "ir_drop.sizes: 256 doesn't fit into the array of 128 x 128"),
        (["ir-drop", "--set", "ir_drop.sizes=[]"], "ir_drop.sizes = [] is not allowed"),
        (["ir-drop", "wireless.toml"], "ir-drop needs wires; add a table [target.wires]"),
        (["program", "--set", "target.table=none.csv"], "'none.csv' cannot be read"),
        (["program", "--set", "target.table=short.csv"], "short.csv, line 1: column sigma_uS is missing"),
        (["program", "--set", "target.table=binary.csv"], "binary.csv"),
        (["characterise", "--set", "target.table=words.csv"], "words.csv, line 2: mean_uS = 'much' is not a number"),
        (["characterise", "--set", "characterise.ages_s=[nan]"], "characterise.ages_s[0] = nan is not a finite number"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_no_file(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.csv").write_text("level,mean_uS,time_s\n0,1,1\n")
    (tmp_path / "words.csv").write_text("level,mean_uS,sigma_uS,time_s\n0,much,1,1\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))
    (tmp_path / "wireless.toml").write_text('summary = "x"\n[target]\npreset = "ideal"\n')
    before = sorted(tmp_path.rglob("*"))
    assert crossbar(*arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert len(output.err.splitlines()) == 1
    assert output.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unfinished_trace_that_holds_nothing_is_no_obstacle_and_a_foreign_one_stays(drawn, tmp_path, capsys):
    part, out = tmp_path / "run.h5.part", tmp_path / "run.h5"
    part.write_bytes(b"theirs")
    assert crossbar("program", *SMALL, "--out", out, "--overwrite") == 2
    assert f"{part} is in the way, and nothing is written over it" in capsys.readouterr().err
    assert part.read_bytes() == b"theirs" and list(tmp_path.iterdir()) == [part]
    part.write_bytes(b"")
    assert crossbar("program", *SMALL, "--out", out) == 0
    once = out.read_bytes()
    assert crossbar("program", *SMALL, "--out", out) == 0
    assert f"{out} holds this run already" in capsys.readouterr().out
    assert crossbar("program", *SMALL, "--out", out, "--json") == 2
    assert crossbar("program", *SMALL, "--out", out, "--seed", 2) == 2
    assert "exists and holds another run (seed was 1, now 2)" in capsys.readouterr().err
    assert crossbar("age", *SMALL, "--out", out) == 2
    assert "(it was crossbar_9_levels: program, now crossbar_9_levels: age)" in capsys.readouterr().err
    assert out.read_bytes() == once
    assert crossbar("program", *SMALL, "--out", out, "--seed", 2, "--overwrite") == 0
    assert out.read_bytes() != once
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.h5", "run.png"]


# What the traces say; whole arrays of 128 x 128 devices take minutes without the compiler


@pytest.mark.compiled
def test_nine_levels_are_equally_spaced_and_about_equally_frequent(programmed):
    level, target = programmed["level"], programmed["target"]
    assert level.shape == (128, 128)
    assert np.allclose(target, 5.0 * level, rtol=0, atol=1e-12)  # 0, 5, ..., 40 uS
    counts = np.bincount(level[:, :127].ravel(), minlength=9)  # the last column is the reference
    assert stats.chisquare(counts).pvalue > ALPHA
    assert np.all(level[:, 127] == 4)


@pytest.mark.compiled
def test_verified_cells_lie_within_the_tolerance_and_the_others_do_not(programmed):
    error = np.abs(programmed["conductance_written"] - programmed["target"])
    verified = programmed["verified_written"] == 1
    assert np.array_equal(error <= 1.0, verified)
    pulses = programmed["pulses_written"]
    assert pulses.max() == 20 and np.all(pulses[~verified] == 20)
    # The number of cycles is geometric, cut at 10, with the chance that one cycle lands within 1 uS.
    for k, sigma in zip(LEVELS, AFTER_1_S, strict=True):
        cycles = pulses[programmed["level"] == k] / 2
        p = 2 * stats.norm.cdf(1.0 / sigma) - 1
        expected = (1 - (1 - p) ** 10) / p
        assert abs(cycles.mean() - expected) < 4.9 * cycles.std() / np.sqrt(cycles.size) + 0.01


@pytest.mark.compiled
def test_a_day_adds_what_was_published(programmed):
    drift = programmed["conductance_aged"] - programmed["conductance_written"]
    added = np.sqrt(AFTER_1_DAY**2 - AFTER_1_S**2)
    standard = np.concatenate([drift[programmed["level"] == k] / s for k, s in zip(LEVELS, added, strict=True)])
    assert same_variance(standard, 1.0)
    assert not same_variance(standard, 1.05) and not same_variance(standard, 0.95)  # 5 % off would be noticed
    assert abs(standard.mean()) < 4.9 / np.sqrt(standard.size)


@pytest.mark.compiled
def test_half_of_the_devices_are_dead_after_their_median_lifetime(programmed):
    state, lifetime = programmed["state"], programmed["lifetime"]
    dead = state != 0
    assert stats.binomtest(int(dead.sum()), dead.size, 0.5).pvalue > ALPHA
    # All pulses count: the array was written before and after its 10^6 cycles.
    assert np.all(dead[lifetime < 1e6]) and not np.any(dead[lifetime > 1e6 + 20])
    worn = programmed["conductance_worn"]
    assert np.all(worn[state == 1] == 40.0) and np.all(worn[state == 2] == 0.0)
    assert np.array_equal(programmed["verified_worn"][dead] == 1, np.abs(worn - programmed["target"])[dead] <= 1.0)


@pytest.mark.compiled
def test_histograms_count_every_cell_once(programmed):
    trace = programmed["trace"]
    centre = trace["run/levels/conductance"]
    for moment in ("written", "aged", "worn"):
        counts, by_level = trace[f"run/levels/{moment}"], trace[f"run/by_level/{moment}/cells"]
        assert counts.sum() == 128 * 128
        assert np.array_equal(by_level.sum(axis=0), counts)
        assert np.array_equal(by_level.sum(axis=1), np.bincount(programmed["level"].ravel()))
        # Bins are narrow: their centres give back the mean.
        g = programmed[f"conductance_{moment}"]
        assert abs(np.average(centre, weights=counts) - g.mean()) < centre[1] - centre[0]
    assert trace["run/pulses/written"] @ trace["run/pulses/pulses"] == programmed["pulses_written"].sum()


@pytest.mark.compiled
def test_energy_and_time_follow_from_pulses_and_rows(programmed):
    trace = programmed["trace"]
    results = {name: trace[f"run/results/{name}"].item() for name in ("modelled_time", "modelled_pulse_energy")}
    assert results["modelled_pulse_energy"] == programmed["pulses_written"].sum()  # 1 pJ each
    # 128 rows of the first round alone take a pulse slot and a conversion slot each: 250 ns, and 110 ns for 128 columns
    # on 16 converters; nobody needs more than 10 rounds.
    assert 128 * 360e-9 < results["modelled_time"] <= 10 * 128 * 360e-9


@pytest.mark.compiled
def test_levels_spread_as_published(traces):
    with Trace(traces["characterise"]) as trace:
        assert trace["run/spread/age"].tolist() == [1.0, 3600.0, 86_400.0]
        assert np.allclose(trace["run/spread/target"], 5.0 * np.arange(9))
        sigma, model = (trace[f"run/spread/{name}"][:, 3:] for name in ("sigma", "sigma_model"))
        read, read_model = trace["run/read/read_sigma"], trace["run/read/read_sigma_model"]
        mean_error = trace["run/shift/mean_error"]
    cells = 1700  # at least, per level
    for row, published in ((0, AFTER_1_S), (2, AFTER_1_DAY)):
        assert np.allclose(model[row], published, atol=0.0051)
        pooled = np.sqrt(np.mean(np.square(sigma[row] / published)))
        bound = 4.9 / np.sqrt(2 * 6 * cells) + 0.002  # the published numbers are rounded
        assert abs(pooled - 1.0) < bound < abs(1.05 * pooled - 1.0)
    assert np.all(model[1] > model[0]) and np.all(model[1] < model[2])
    assert np.all(np.abs(mean_error[:, 3:]) < 4.9 * AFTER_1_DAY / np.sqrt(cells))
    assert np.allclose(read_model, 0.4, rtol=1e-12)  # 1 % of 40 uS
    assert np.allclose(read[2:], 0.4, rtol=0.01)
    assert np.all(read[:1] < 0.4)  # a read of nothing can't be negative


@pytest.mark.compiled
def test_waiting_before_the_verification_pays(traces):
    with Trace(traces["characterise"]) as trace:
        at_once, waited = trace["run/outside/at_once"], trace["run/outside/waited"]
    assert at_once[0] < 0.01 < waited[0]  # fresh, all but the given-up cells are within
    assert waited[-1] < 0.5 * at_once[-1]
    assert np.all(np.diff(at_once) > -0.01)


@pytest.mark.compiled
def test_failures_follow_the_lognormal_law(traces):
    with Trace(traces["age"]) as trace:
        cycles, failed, law = (trace[f"run/failures/{name}"] for name in ("cycles", "failed", "law"))
        rms = trace["run/error/rms"][trace["run/error/age"] <= 86_400.0]
        assert trace["run/results/half_failed_cycles"].item() == pytest.approx(1e6, rel=0.03)
    expected = stats.lognorm.cdf(cycles, 0.5, scale=1e6)
    assert np.allclose(law, expected, atol=1e-12)
    cells = 128 * 128
    for share, p in zip(failed, expected, strict=True):
        assert stats.binomtest(round(share * cells), cells, float(np.clip(p, 0.0, 1.0))).pvalue > 1e-7
    assert np.all(np.diff(failed) >= 0.0)
    assert np.all(np.diff(rms) > 0.0) and rms[-1] > 4 * rms[0]


def test_the_weibull_law(capsys, tmp_path):
    options = ["--set", "target.wear.law=weibull", "--set", "target.wear.shape=2.0"]
    measure(capsys, tmp_path / "run.h5", "age", *SMALL, *options, "--set", "target.faults.stuck_fraction=0.1")
    with Trace(tmp_path / "run.h5") as trace:
        cycles, law = trace["run/failures/cycles"], trace["run/failures/law"]
    scale = 1e6 / np.log(2.0) ** 0.5
    assert np.allclose(law, 0.1 + 0.9 * stats.weibull_min.cdf(cycles, 2.0, scale=scale), atol=1e-12)


@pytest.mark.compiled
def test_voltages_obey_ohm_and_kirchhoff(traces):
    with Trace(traces["ir-drop"]) as trace:
        names = ("row_voltage", "column_voltage", "conductance", "cell_loss")
        row, column, g, loss = (trace[f"run/maps/{name}/{name}"] for name in names)
        lost = trace["run/results/loss"].item()
    currents = g * (row - column)  # uA
    assert np.allclose((0.2 - row[:, 0]) * 1e6, currents.sum(axis=1), rtol=1e-6)  # 1 ohm from the driver
    assert np.allclose(column[-1] * 1e6, currents.sum(axis=0), rtol=1e-6)  # 1 ohm to the sense amplifier
    assert lost == pytest.approx(1.0 - currents.sum() / (0.2 * g.sum()), rel=1e-6)
    assert np.allclose(loss, 1.0 - (row - column) / 0.2)
    assert np.all(np.diff(row, axis=1) <= 0.0) and np.all(np.diff(column, axis=0) <= 0.0)


@pytest.mark.compiled
def test_loss_grows_with_size_and_resistance(traces, capsys, tmp_path):
    with Trace(traces["ir-drop"]) as trace:
        loss = trace["run/loss/loss"]
        assert list(trace["run/loss/size"]) == [8, 16, 32, 64, 128]
    assert np.all(np.diff(loss, axis=0) > 0.0) and np.all(np.diff(loss, axis=1) > 0.0)
    sizes = ["--set", "ir_drop.sizes=[1]", "--set", "ir_drop.segments_ohm=[0.0, 1000.0]"]
    measure(capsys, tmp_path / "run.h5", "ir-drop", *SMALL, *sizes, "--seed", 2)
    with Trace(tmp_path / "run.h5") as trace:
        g = trace["run/maps/conductance/conductance"][0, 0] * 1e-6
        assert g > 0.0
        # One cell between two segments of 1 kohm.
        assert trace["run/loss/loss"][:, 0] == pytest.approx([0.0, 2000.0 * g / (1.0 + 2000.0 * g)], abs=1e-12)


def test_the_example_prints_what_was_published():
    command = [sys.executable, "examples/level_histograms.py"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = output.splitlines()
    fits = [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("   fit")]
    assert fits[0][3:] == AFTER_1_S.tolist() and fits[1][3:] == AFTER_1_DAY.tolist()
    measured = next(line for line in lines if line.startswith("1 day ")).split()[2:]
    assert np.allclose([float(word) for word in measured][3:], AFTER_1_DAY, rtol=4.9 / np.sqrt(4000) + 0.003)


def test_the_log_of_pulses_agrees_with_the_counters(capsys, tmp_path):
    path = tmp_path / "logged.h5"
    measure(capsys, path, "program", *SMALL, "--set", "program.log_pulses=true")
    with Trace(path) as trace:
        log = {name: trace[f"run/pulse_log/{name}"] for name in ("time_ns", "row", "column", "kind", "after_uS")}
        counted = sum(trace[f"run/maps/pulses_{moment}/pulses_{moment}"] for moment in ("written", "worn"))
    logged = np.zeros_like(counted)
    np.add.at(logged, (log["row"], log["column"]), 1)
    assert np.array_equal(logged, counted)
    assert np.all(np.diff(log["time_ns"]) >= 0)
    assert set(np.unique(log["kind"])) == {-1, 1}
    assert np.all(np.isfinite(log["after_uS"][log["kind"] == 1]))  # NaN between RESET and SET alone
