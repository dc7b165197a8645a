"""Data sets of the user's own: of spike times for DelGrad, of images for metaplasticity."""

import re
import sys
import textwrap
import tomllib
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

import neurohil as nh
from neurohil import stopping
from neurohil.cli import main
from neurohil.config import experiment_text, parse, to_toml
from neurohil.datasets import idx, spike_times
from neurohil.datasets.spike_times import Plane, Samples, SpikeTimes
from neurohil.datasets.yin_yang import YinYangConfig
from neurohil.delgrad.run import DelGradConfig, DelGradRun
from neurohil.delgrad.trace import LABEL, MAP_PREDICTED, PREDICTED, X, raster_path
from neurohil.errors import UserError
from neurohil.kinds import KINDS
from neurohil.results import export
from neurohil.trace.reader import Trace
from neurohil.trace.validation import validate

MODULE = """
    from dataclasses import dataclass

    import msgspec
    import numpy as np

    from neurohil.datasets.spike_times import Plane, Samples, SpikeTimes

    NAMES = ("north", "east", "south", "west", "up")

    @dataclass(frozen=True)
    class Bursts:
        \"\"\"Of each class two of the input values come early, the others late, one of them never.\"\"\"

        classes: int = 5
        copies: int = 2
        late: float = 1.5
        n: int = 40

        def build(self):
            return SpikeTimes(
                *(self.samples(k) for k in range(3)), classes=NAMES[: self.classes], copies=self.copies
            )

        def samples(self, seed):
            rng = np.random.default_rng(seed)
            labels = rng.permutation(np.arange(self.n) % self.classes)
            values = self.late + rng.uniform(0.0, 0.3, (self.n, 6))
            values[:, 5] = np.inf
            rows = np.arange(self.n)
            values[rows, labels] = 0.1
            values[rows, (labels + 1) % 5] = 0.2
            return Samples(np.repeat(values, self.copies, axis=1), labels)

    class Sides(msgspec.Struct, frozen=True):
        n: int = 40

        def build(self):
            parts = [np.random.default_rng(k).random((self.n, 2)) for k in range(3)]
            return SpikeTimes(
                *(Samples(self.times(points), (points[:, 0] > 0.5).astype(int)) for points in parts),
                classes=("left", "right"), plane=Plane("room", parts[2], self.times),
            )

        def times(self, points):
            return np.column_stack([0.2 + points, 1.2 - points])

    def images(n, classes, side, seed):
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % classes
        seen = rng.integers(0, 60, (n, side, side), dtype=np.uint8)
        seen[np.arange(n), labels % side] += 180
        return seen, labels

    @dataclass(frozen=True)
    class Bars:
        def load(self, split):
            return images({"train": 240, "test": 80}[split], 4, 8, 3)

    @dataclass(frozen=True)
    class Digits(Bars):
        def load(self, split):
            return images({"train": 240, "test": 80}[split], 8, 8, 4)

    @dataclass(frozen=True)
    class Posters(Bars):
        def load(self, split):
            return images(240, 4, 9, 5)

    @dataclass(frozen=True)
    class Grey(Bars):
        def load(self, split):
            seen, labels = super().load(split)
            return seen / 255, labels

    @dataclass(frozen=True)
    class Odd(Bars):
        def load(self, split):
            return images(240, 4, 8 if split == "train" else 7, 5)

    @dataclass(frozen=True)
    class Short(Bars):
        def load(self, split):
            seen, labels = super().load(split)
            return seen, labels[1:]

    @dataclass(frozen=True)
    class Alone(Bars):
        def load(self, split):
            return images(240, 1, 8, 5)

    @dataclass(frozen=True)
    class Lines(Bars):
        def load(self, split):
            return np.zeros(64, dtype=np.uint8), np.zeros(64, dtype=int)

    @dataclass(frozen=True)
    class Named(Bars):
        name: str

    @dataclass(frozen=True)
    class Nothing(Bars):
        def load(self, split):
            return None

    @dataclass(frozen=True)
    class Unloadable:
        pass
"""


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """A module in the working directory."""
    (tmp_path / "my_data.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_data", None)


BURSTS = "--set data.kind=my_data:Bursts --set network.hidden=8 --set training.batch=10 --set tested_epoch=last".split()


@pytest.mark.compiled
def test_a_run_on_own_data_does_all_that_others_do(tmp_path, monkeypatch, capsys):
    command = ["delgrad", "yin_yang_axonal", "--epochs", "2", *BURSTS]
    assert main([*command, "--out", "straight.h5"]) == 0
    assert "missing output spikes" in capsys.readouterr().out and (tmp_path / "straight.png").exists()
    with Trace("straight.h5") as trace:
        table = {"kind": "my_data:Bursts", "classes": 5, "copies": 2, "late": 1.5, "n": 40}
        assert trace.complete and tomllib.loads(trace.config)["data"] == table
        assert to_toml(parse(trace.config, DelGradConfig)) == trace.config
        assert MAP_PREDICTED not in trace.paths and X not in trace.paths
        assert trace["run/decisions/sample"].tolist() == list(range(40))
        assert trace.attributes(PREDICTED)["flag_meanings"] == "north east south west up"
        assert trace["run/weights_0/weights"].shape[1:] == (12, 8) and trace["run/delays_0/delays"].shape == (6, 3 - 1)
        watched = {path.split("/")[2] for path in trace.paths if path.startswith("run/samples/")}
        assert watched == set("01234")
        for k in range(5):  # sample k is one of class k: its two early values come in first
            first = trace[raster_path(k, "neuron")][:4]
            assert set(first // 2) == {k, (k + 1) % 5}
        assert np.bincount(trace[LABEL]).tolist() == [8] * 5
    assert [finding for finding in validate("straight.h5") if finding.severity == "error"] == []
    monkeypatch.setattr(stopping.StopRequest, "__call__", lambda self: True)
    assert main([*command, "--out", "run.h5"]) == 130
    while not (tmp_path / "run.h5").exists():
        last = main(["delgrad", "--resume", "run.h5.part"])
    assert last == 0
    assert (tmp_path / "run.h5").read_bytes() == (tmp_path / "straight.h5").read_bytes()
    assert main(["trace", "plot", "run.h5", "run/decisions"]) == 0
    page = nh.open("run.h5").report("run.html").read_text(encoding="utf-8")
    assert "The ground is coloured" not in page and "Decisions on the test set" in page and '"north"' in page
    assert {file.name for file in export("run.h5", "sonata", "sonata")} >= {"spikes.h5", "membrane_4.h5"}
    with h5py.File("sonata/spikes.h5") as file:
        assert set(file["spikes"]) >= {f"sample_{k}" for k in range(5)}
    nir = pytest.importorskip("nir", reason="nir is not installed (extra nir)")
    (file,) = export("run.h5", "nir", "net.nir")
    delay = nir.read(file).nodes["hidden_delays"].delay
    assert delay.size == 12 and np.array_equal(delay[::2], delay[1::2])


@pytest.mark.compiled
def test_own_data_are_learnt_on_the_chip_and_counted(tmp_path):
    changes = {"network": {"hidden": 6}, "training": {"batch": 10}}
    run = nh.train("chip_yin_yang_axonal", epochs=1, data={"kind": "my_data:Bursts", "copies": 5}, **changes)
    assert run.result.neurobench["Footprint"] > 0 and run.data.train.times.shape == (40, 30)
    assert run.network.weights[-1].shape == (6, 5) and run.network.delays()[0].shape == (6,)


@pytest.mark.compiled
def test_points_of_a_plane_are_mapped(tmp_path):
    import my_data

    run = nh.train("yin_yang_weights", epochs=3, data=my_data.Sides(60), network={"hidden": 10}, trace="sides.h5")
    with Trace("sides.h5") as trace:
        assert trace["run/decision_map/predicted"].shape == (61, 61)
        assert np.array_equal(trace[X], run.data.plane.points[:, 0])
        assert set(np.unique(trace[PREDICTED])) <= {-1, 0, 1}
        assert 'kind = "my_data:Sides"\nn = 60\n' in trace.config
    assert len(run.result["neurobench"]) > 3
    assert "The ground is coloured" in nh.open("sides.h5").report("sides.html").read_text(encoding="utf-8")


@pytest.mark.compiled
def test_training_on_own_data_learns_it():
    config = parse(experiment_text("delgrad", "yin_yang_axonal"), DelGradConfig, BURSTS[1::2])
    run = DelGradRun(config)
    accuracy = [run.train_epoch().validated.accuracy for _ in range(50)]
    assert accuracy[-1] > 0.9  # chance is 0.2


def test_a_class_without_a_test_sample_is_not_watched():
    labels = np.array([3, 1, 3, 1])
    samples = Samples(np.full((4, 2), 0.5), labels)
    config = parse(experiment_text("delgrad", "yin_yang_weights"), DelGradConfig, data=Given())
    Given.data = SpikeTimes(samples, samples, samples, ("a", "b", "c", "d"))
    assert DelGradRun(config)._watched_samples() == [1, 0]


class Given(msgspec.Struct, frozen=True):
    """Gives what a test puts there."""

    def build(self):
        return Given.data


SAMPLES = Samples(np.full((4, 2), 0.5), np.array([0, 1, 0, 1]))
GOOD = SpikeTimes(SAMPLES, SAMPLES, SAMPLES, ("a", "b"))


def with_times(value):
    times = np.full((4, 2), 0.5)
    times[2, 1] = value
    return GOOD._replace(train=Samples(times, SAMPLES.labels))


WRONG = {
    "type": ({}, "data: build returned a dict; return a neurohil.datasets.spike_times.SpikeTimes"),
    "part": (GOOD._replace(test=None), "data.test is a NoneType; give neurohil.datasets.spike_times.Samples with"),
    "nan": (with_times(np.nan), "data.train.times[2, 1] = nan is not a number; give spike times (samples, lines), inf"),
    "negative": (with_times(-1.0), "data.train.times[2, 1] = -1 tau_s is outside 0..inf tau_s; give spike times"),
    "late": (with_times(201.0), "data.train.times[2, 1] = 201 tau_s is outside 0..200 tau_s; scale them, or give inf"),
    "shape": (GOOD._replace(train=Samples(np.zeros(4), [0] * 4)), "data.train.times has shape (4,); expected (any,"),
    "dtype": (GOOD._replace(test=Samples([["x"]], [0])), "data.test.times is of type <U1, not numbers; give spike"),
    "empty": (
        GOOD._replace(validation=Samples(np.empty((0, 2)), [])),
        "data.validation.times has shape (0, 2); give at least one sample of one input line",
    ),
    "labels": (
        GOOD._replace(test=Samples(SAMPLES.times, [0, 1, 2, 0])),
        "data.test.labels[2] = 2 is outside 0..1; give the class of each sample, an index of data.classes",
    ),
    "number of labels": (GOOD._replace(test=Samples(SAMPLES.times, [0, 1])), "data.test.labels has shape (2,); exp"),
    "float labels": (GOOD._replace(test=Samples(SAMPLES.times, [0.0] * 4)), "data.test.labels is of type float64, no"),
    "lines": (
        GOOD._replace(test=Samples(np.zeros((1, 3)), [0])),
        "data.test.times has 3 input lines, data.train.times 2; make them equal",
    ),
    "one class": (GOOD._replace(classes=("a",)), "data.classes = ['a'] is not allowed: expected two or more names of"),
    "bad name": (GOOD._replace(classes=("a b", "c")), "data.classes = ['a b', 'c'] is not allowed: expected two"),
    "no names": (GOOD._replace(classes=3), "data.classes = 3 is not allowed: expected two or more names of letters"),
    "same name": (GOOD._replace(classes=("a", "a")), "data.classes names 'a' twice; name each class differently"),
    "copies": (GOOD._replace(copies=3), "data.copies = 3 does not divide the 2 input lines; give how many neigh"),
    "no copies": (GOOD._replace(copies=0), "data.copies = 0 does not divide the 2 input lines"),
    "plane": (GOOD._replace(plane="room"), "data.plane is a str; give a neurohil.datasets.spike_times.Plane, or None"),
    "plane name": (GOOD._replace(plane=Plane("", SAMPLES.times, len)), "data.plane.name = '' is no text in ASCII"),
    "points": (
        GOOD._replace(plane=Plane("room", SAMPLES.times + 1, len)),
        "data.plane.points[0, 0] = 1.5 is outside 0..1; give x and y of each test sample, scaled to the unit square",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_data_is_one_sentence(name):
    Given.data, message = WRONG[name]
    config = parse(experiment_text("delgrad", "yin_yang_weights"), DelGradConfig, data=Given())
    with pytest.raises(UserError) as caught:
        DelGradRun(config)
    assert str(caught.value).startswith(message) and "; " in str(caught.value) and str(caught.value).isprintable()
    spike_times.checked(GOOD)


def test_an_encoding_of_another_size_is_refused():
    data = spike_times.checked(GOOD._replace(plane=Plane("room", SAMPLES.times, lambda points: points[:, :1])))
    with pytest.raises(UserError, match=r"^data.plane.encode has shape \(3, 1\); expected \(3, 2\); give the spike"):
        data.plane.encode(np.zeros((3, 2)))


def test_yin_yang_needs_no_name_and_has_one():
    text = experiment_text("delgrad", "yin_yang_weights")
    plain, named = parse(text, DelGradConfig), parse(text, DelGradConfig, ["data.kind=yin_yang"])
    assert (
        plain == named and isinstance(plain.data, YinYangConfig) and "kind" not in tomllib.loads(to_toml(plain))["data"]
    )
    back = parse(text, DelGradConfig, data={"kind": "my_data:Bursts", "n": 20})
    assert parse(to_toml(back), DelGradConfig).data == back.data and back.data.n == 20
    for options, message in (
        (["data.kind=moons"], "data.kind = 'moons' is not allowed: expected one of yin_yang; change it in the experim"),
        (
            ["data.kind=my_data:Bars"],
            "data.kind = 'my_data:Bars': the class has no method build; it must have those of",
        ),
        (["data.kind=my_data:Bursts", "data.m=3"], "unknown key data.m"),
        (["data.kind=my_data:Bursts", "data.t_late=3"], "unknown key data.t_late"),
        (["data.kind=my_data:Bursts", "data.n=many"], "data.n = 'many' is not allowed: expected int; change it"),
        (["data.t_erly=3"], "unknown key data.t_erly, did you mean 'data.t_early'?"),
    ):
        with pytest.raises(UserError) as caught:
            parse(text, DelGradConfig, options)
        assert str(caught.value).startswith(message)


def test_another_kind_keeps_what_it_knows():
    chip = KINDS["delgrad"].load("chip_yin_yang_axonal", ["target.kind=ideal"])
    assert type(chip.target).__name__ == "IdealConfig"
    stream = KINDS["metaplasticity"].load("fashion_stream", ["tasks.kind=permuted", "tasks.validation=true"])
    assert (stream.tasks.data_set, stream.tasks.validation) == ("fashion_mnist", True)
    with pytest.raises(UserError, match=r"^unknown key target.serial"):
        KINDS["delgrad"].load("chip_yin_yang_axonal", ["target.kind=ideal", "target.serial=3"])
    both = nh.experiment("chip_yin_yang_axonal").with_(target={"kind": "ideal"}).config
    assert both.target == chip.target
    with pytest.raises(
        UserError, match=r"^target is an object, so serial can't be set beside it; set it in the object"
    ):
        nh.train("chip_yin_yang_axonal", target=chip.target, serial=3)


TINY = {"network": {"hidden": (12,), "init": 0.6}, "training": {"batch": 40, "test_batch": 40}}


@pytest.mark.compiled
def test_own_images_of_another_size_and_number_of_classes_are_learnt(tmp_path, monkeypatch, capsys):
    sets = 'tasks.data_sets=["my_data:Bars", "my_data:Digits"]'
    words = [sets, "network.hidden=[12]", "network.init=0.6", "training.batch=40", "training.test_batch=40"]
    command = ["metaplasticity", "mnist_fashion_ideal", "--epochs", "3"]
    command += [word for option in words for word in ("--set", option)]
    assert main([*command, "--out", "straight.h5"]) == 0
    assert "Digits" in capsys.readouterr().out and (tmp_path / "straight.png").exists()
    with Trace("straight.h5") as trace:
        assert trace["run/confusion/Bars/images"].shape == (8, 8) and trace["run/confusion/Bars/images"].sum() == 80
        assert trace["run/accuracy/test_Bars"].max() > 0.5 and trace["run/accuracy/test_Digits"].size == 6
        assert parse(trace.config, KINDS["metaplasticity"].config_class).tasks.data_sets[0] == "my_data:Bars"
    monkeypatch.setattr(stopping.StopRequest, "__call__", lambda self: True)
    assert main([*command, "--out", "run.h5"]) == 130
    while not (tmp_path / "run.h5").exists():
        last = main(["metaplasticity", "--resume", "run.h5.part"])
    assert last == 0
    assert (tmp_path / "run.h5").read_bytes() == (tmp_path / "straight.h5").read_bytes()


@pytest.mark.compiled
@pytest.mark.parametrize(("experiment", "tests"), [("permuted_mnist", 3), ("fashion_stream", 1)])
def test_own_images_make_tasks_of_every_kind(experiment, tests):
    import my_data

    run = nh.train(experiment, epochs=1, tasks={"data_set": my_data.Bars, "n_tasks": 3}, **TINY)
    assert run.network.hidden[0].shape == (64, 12) and run.network.hidden[-1].shape == (12, 4)
    assert len(run.result.test_accuracy) == tests and all(name.startswith("Bars") for name in run.result.test_accuracy)
    image = run.trainer.tasks[0].train.images[0]
    assert image.shape == (64,) and image.dtype == np.uint8


@pytest.mark.parametrize(
    ("data_sets", "message"),
    [
        (["mnst"], "tasks.data_sets: there is no data set 'mnst'; choose one of mnist, fashion_mnist, or name a class"),
        (["my_data:Barz"], "tasks.data_sets = 'my_data:Barz': module my_data has no class 'Barz', did you"),
        (["my_data:Unloadable"], "tasks.data_sets = 'my_data:Unloadable': the class has no method load; it must have"),
        (["my_data:Named"], "tasks.data_sets = 'my_data:Named': Named.__init__() missing 1 required positional arg"),
        (["my_data:Grey"], "tasks.data_sets = 'my_data:Grey': train images are of type float64, expected uint8, 0"),
        (["my_data:Odd"], "tasks.data_sets = 'my_data:Odd' has training images of 64 pixels and test images of 49; "),
        (["my_data:Short"], "tasks.data_sets = 'my_data:Short': train labels has shape (239,); expected (240,); give"),
        (["my_data:Alone"], "tasks.data_sets = 'my_data:Alone' has one class alone, 0; give images of two or more"),
        (["my_data:Lines"], "tasks.data_sets = 'my_data:Lines': train images have shape (64,); give (n, pix"),
        (["my_data:Nothing"], "tasks.data_sets = 'my_data:Nothing': train is a NoneType; return images and labels"),
        (["my_data:Bars", "my_data:Bars"], "tasks.data_sets = ['my_data:Bars', 'my_data:Bars'] names one twice; name"),
        (["my_data:Bars", "my_data:Posters"], "task 'Posters' has images of 81 pixels, the network 64 inputs; mak"),
        (["my_data:Bars", "mnist"], "task 'mnist' has images of 784 pixels, the network 64 inputs; make them equal"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_images_is_one_sentence(data_sets, message, monkeypatch):
    monkeypatch.setattr(idx, "load", lambda name, split: idx.Images(np.zeros((90, 784), np.uint8), np.arange(90) % 10))
    chosen = nh.experiment("mnist_fashion_ideal").with_(tasks={"data_sets": data_sets}, **TINY)
    with pytest.raises(UserError) as caught:
        chosen.start()
    assert str(caught.value).startswith(message) and "; " in str(caught.value)


def test_few_images_leave_none_for_a_validation():
    tasks = {"data_sets": ["my_data:Bars"], "validation": True}
    with pytest.raises(UserError, match=r"^tasks.validation keeps the last 10000 .* has 240 in all; leave it out$"):
        nh.experiment("mnist_fashion_ideal").with_(tasks=tasks, **TINY).start()


def test_a_measurement_is_not_trained():
    message = (
        r"^crossbar_9_levels has nothing to train; measure on it: nh.measure\(WHAT, 'crossbar_9_levels'\) with one "
    )
    with pytest.raises(UserError, match=message + "of program, characterise, age, ir-drop$"):
        nh.train("crossbar_9_levels")


@pytest.mark.compiled
def test_what_the_docs_show_runs_as_it_stands(tmp_path, capsys):
    page = (Path(__file__).parents[2] / "docs/own-classes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)
    (program,) = (block for block in blocks if "nh.train" in block)
    commands = [block for block in blocks if block.startswith(".venv/bin/neurohil ")]
    classes = [block for block in blocks if "@dataclass" in block]
    assert (len(blocks), len(commands), len(classes)) == (7, 3, 3)
    (tmp_path / "mine.py").write_text("\n".join(classes), encoding="utf-8")
    try:
        for k, command in enumerate(commands):
            assert main([*command.split()[1:], "--epochs", "1", "--out", f"{k}.h5"]) == 0
        found = {}
        exec(program.replace("epochs=50", "epochs=2"), found)
    finally:
        sys.modules.pop("mine", None)
    assert len(found["run"].data.test.labels) == 500 and found["run"].data.classes == ("first", "second", "third")
    assert "emulated" not in capsys.readouterr().out
