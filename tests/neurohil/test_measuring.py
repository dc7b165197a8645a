"""Measurements from Python: the same runs as those of the command line, as objects that tell and draw themselves."""

import gc

import numpy as np
import pytest

import neurohil as nh
from neurohil.cli import main
from neurohil.kinds import KINDS

MEASUREMENTS = ("program", "characterise", "age", "ir-drop")
SMALL = {"target": {"array": {"tile_rows": 12, "tile_columns": 20}}, "ir_drop": {"sizes": [4, 12]}}
OPTIONS = ["target.array.tile_rows=12", "target.array.tile_columns=20", "ir_drop.sizes=[4, 12]"]


def run_of(measurement: str, *overrides: str):
    kind = KINDS[f"crossbar {measurement}"]
    return kind.start(kind.load(kind.default, [*OPTIONS, *overrides]))


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_it_is_the_run_of_the_command_line(name, tmp_path, capsys):
    typed, called = tmp_path / "typed.h5", tmp_path / "called.h5"
    overrides = [word for option in OPTIONS for word in ("--set", option)]
    assert main(["crossbar", name, *overrides, "--seed", "3", "--serial", "2", "--out", str(typed)]) == 0
    table = capsys.readouterr().out.splitlines()
    run = nh.measure(name, seed=3, serial=2, trace=called, progress=False, **SMALL)
    assert capsys.readouterr() == ("", "")
    assert run.path == called and called.read_bytes() == typed.read_bytes()
    assert repr(run) == f"<crossbar {name} 'crossbar_9_levels: {name}': a measurement>"
    told = repr(run.result).splitlines()
    assert told == table[: len(told)] and [line.split()[0] for line in table[len(told) :]] == [
        "wall",
        "trace",
        "picture",
    ]
    assert run._repr_html_().startswith(f"<p><b>{told[0]}</b></p><table>")
    assert run.plot().png == typed.with_suffix(".png").read_bytes()
    kept = nh.open(called).results
    assert list(kept) == list(run.result)
    for number, value in kept.items():
        np.testing.assert_equal(run.result[number], value)
        np.testing.assert_equal(getattr(run.result, number), value)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_in_memory_tells_each_step_and_writes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps: list[str] = []
    run = run_of(name)
    assert run.measure(steps.append) is not None
    assert len(steps) == run.steps and all(steps)
    assert run.result.keys() == {array.name for array in run.layout.results}
    assert run.train().result is run.result  # there is nothing to train
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(nh.UserError, match=r"this run has no finished trace; neurohil\.measure makes one"):
        run.plot()
    with pytest.raises(nh.UserError, match=rf"crossbar {name} has no epochs to train; \.result measures"):
        run.train_epoch()


def test_what_was_measured_is_at_hand():
    measured = run_of("program").measured
    error = np.abs(measured.conductance_uS[0] - measured.target_uS)
    assert error.shape == measured.level.shape == (12, 20)
    assert np.array_equal(error <= measured.tolerance_uS, measured.first.verified)
    assert measured.outside[0] == np.mean(~measured.first.verified)


def test_serial_is_the_array_and_seed_its_noise():
    numbers = ((1, 1), (2, 1), (1, 2))
    one, other, again = (run_of("program", f"target.serial={k}", f"seed={n}").measured for k, n in numbers)
    assert not np.any(one.lifetime_cycles == other.lifetime_cycles)
    assert np.array_equal(one.lifetime_cycles, again.lifetime_cycles)
    assert np.array_equal(one.level, other.level) and not np.array_equal(one.level, again.level)
    # The noise of a write doesn't depend on which array it is: what works is written alike.
    assert np.array_equal(one.conductance_uS[0], other.conductance_uS[0])
    same_target = (one.target_uS == again.target_uS) & (one.target_uS > 0.0)
    assert not np.any((one.conductance_uS[0] == again.conductance_uS[0])[same_target])


def test_without_a_name_the_trace_lives_as_long_as_the_run():
    run = nh.measure("age", progress=False, **SMALL)
    path = run.path
    assert nh.open(path).complete
    del run
    gc.collect()
    assert not path.exists() and not path.parent.exists()


def test_what_is_there_stays(tmp_path):
    path = tmp_path / "run.h5"
    once = nh.measure("ir-drop", trace=path, progress=False, **SMALL)
    content = path.read_bytes()
    with pytest.raises(nh.UserError, match=r"holds this run already; neurohil\.open"):
        nh.measure("ir-drop", trace=path, progress=False, **SMALL)
    with pytest.raises(nh.UserError, match="it was crossbar_9_levels: ir-drop, now crossbar_9_levels: age"):
        nh.measure("age", trace=path, progress=False, **SMALL)
    assert path.read_bytes() == content
    again = nh.measure("ir-drop", trace=path, overwrite=True, progress=False, **SMALL)
    assert path.read_bytes() == content and dict(again.result) == dict(once.result)


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["wear"], {}, "measurement = 'wear' is unknown; choose one of program, characterise, age, ir-drop"),
        (
            ["age", "yin_yang_weights"],
            {},
            "'yin_yang_weights' is nothing to do age on; name an experiment of a crossbar",
        ),
        (["age"], {"age": {"first_cycles": 1e8}}, "age.first_cycles = 1e[+]08 is not below age.last_cycles = 1e[+]07"),
        (["ir-drop"], {"target": {"wires": None}}, "ir-drop needs wires"),
        (["program"], {"program": {"cycle": 9}}, "unknown key program.cycle, did you mean 'program.cycles'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_file(arguments, changes, message, tmp_path):
    with pytest.raises(nh.UserError, match=message):
        nh.measure(*arguments, trace=tmp_path / "new" / "run.h5", progress=False, **changes)
    assert list(tmp_path.iterdir()) == []
