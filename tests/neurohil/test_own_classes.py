"""Targets and losses of the user's own: named in a config as "package.module:Class", or given as objects in Python."""

import sys
import textwrap
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from neurohil import stopping
from neurohil.cli import main
from neurohil.config import experiment_text, parse, to_toml
from neurohil.datasets import yin_yang
from neurohil.delgrad import losses
from neurohil.delgrad.run import DelGradConfig, DelGradRun
from neurohil.errors import UserError
from neurohil.kinds import KINDS
from neurohil.metaplasticity.run import MetaplasticityConfig
from neurohil.ranges import Share
from neurohil.targets.spiking.ideal import IdealTarget
from neurohil.trace.reader import Trace

load, load_metaplasticity = KINDS["delgrad"].load, KINDS["metaplasticity"].load

MODULE = """
    import dataclasses
    from typing import Annotated

    import msgspec

    from neurohil.delgrad import losses
    from neurohil.ranges import Share
    from neurohil.targets.matrix.ideal import IdealMatrixTarget
    from neurohil.targets.spiking.ideal import IdealTarget

    @dataclasses.dataclass(frozen=True)
    class Sluggish:
        raised: Share = 0.0
        names: tuple[str, ...] = ()
        limit: float | None = 3.0

        def build(self, network, seed):
            return Target((1.0 + self.raised) * network.threshold, network.tau_ratio)

    class Target(IdealTarget):
        label = "sluggish neurons"

    class Faded(msgspec.Struct, frozen=True):
        factor: Annotated[float, msgspec.Meta(gt=0, le=1)]

        def __post_init__(self):
            if self.factor == 0.75:
                raise ValueError("0.75 is no factor")

        def build(self, shapes, levels, seed):
            return IdealMatrixTarget(levels.max_level, self.factor * levels.weight_range, levels.levels)

    class Margin(msgspec.Struct, frozen=True, tag="margin", tag_field="kind"):
        margin: float = 0.2

        def __call__(self, times, labels):
            return losses.shift_invariant_mse(times, labels, self.margin)

        def decide(self, times):
            return losses.first_spike_class(times)

    class Unbuilt(msgspec.Struct):
        raised: float = 0.0

    class Plain:
        def build(self, network, seed):
            return None

    number = 3
"""


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """Modules in the working directory, which is not on the path."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").touch()
    (tmp_path / "inner" / "mine.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "broken.py").write_text("import neurohil.nothing_of_that_name\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield
    for name in ("inner", "inner.mine", "broken", "wrong"):
        sys.modules.pop(name, None)


@pytest.fixture
def little_data(monkeypatch):
    whole = {name: yin_yang.load(name) for name in ("train", "validation", "test")}
    few = {name: yin_yang.YinYang(split.samples[:60], split.labels[:60]) for name, split in whole.items()}
    monkeypatch.setattr(yin_yang, "load", few.__getitem__)


def words(*options):
    return [word for option in options for word in ("--set", option)]


OWN = words("target.kind=inner.mine:Sluggish", "target.raised=0.25", "training.loss.kind=inner.mine:Margin")


@pytest.mark.compiled
def test_a_run_with_own_target_and_loss_goes_on_to_the_same_bytes(tmp_path, little_data, monkeypatch, capsys):
    experiment = ["delgrad", "yin_yang_weights", "--epochs", "2", *OWN]
    assert main([*experiment, "--out", "straight.h5"]) == 0
    assert "sluggish neurons" in capsys.readouterr().out
    with Trace("straight.h5") as trace:
        config = parse(trace.config, DelGradConfig)
        assert 'kind = "inner.mine:Sluggish"\nraised = 0.25\n' in trace.config and to_toml(config) == trace.config
    assert type(config.target).__name__ == "Sluggish" and config.training.loss.margin == 0.2
    monkeypatch.setattr(stopping.StopRequest, "__call__", lambda self: True)
    assert main([*experiment, "--out", "run.h5"]) == 130
    while not (tmp_path / "run.h5").exists():
        last = main(["delgrad", "--resume", "run.h5.part"])
    assert last == 0
    assert (tmp_path / "run.h5").read_bytes() == (tmp_path / "straight.h5").read_bytes()


def test_an_experiment_file_names_an_own_matrix_target(tmp_path):
    text = experiment_text("metaplasticity", "mnist_fashion_ideal")
    (tmp_path / "mine.toml").write_text(text.replace('kind = "ideal"', 'kind = "inner.mine:Faded"\nfactor = 0.5'))
    config = load_metaplasticity("mine.toml")
    assert config.target.build([(2, 2)], config.network.quantizer, 1).capabilities.weight_range == 0.5
    assert parse(to_toml(config), MetaplasticityConfig) == config
    changed = load_metaplasticity("mnist_fashion_ideal", ["target.kind=inner.mine:Faded", "target.factor=0.5"])
    assert changed.target == config.target and "target.kind = inner.mine:Faded" in changed.summary


def test_every_value_of_an_own_class_survives_the_trace():
    options = ["raised=0.5", "names=['a', 'b']", "limit=none"]
    chosen = ["target.kind=inner.mine:Sluggish", *(f"target.{option}" for option in options)]
    config = load("yin_yang_weights", chosen)
    assert (config.target.raised, config.target.names, config.target.limit) == (0.5, ("a", "b"), None)
    assert parse(to_toml(config), DelGradConfig) == config


class Own(msgspec.Struct, frozen=True):
    raised: Share = 0.0

    def build(self, network, seed):
        return IdealTarget((1.0 + self.raised) * network.threshold, network.tau_ratio)


@dataclass(frozen=True)
class OwnLoss:
    margin: float = 0.2

    def __call__(self, times, labels):
        return losses.shift_invariant_mse(times, labels, self.margin)

    def decide(self, times):
        return losses.first_spike_class(times)


def test_objects_take_the_place_of_tables(little_data):
    text = experiment_text("delgrad", "yin_yang_weights")
    config = parse(text, DelGradConfig, target=Own(0.5))
    assert config.target == Own(0.5) and parse(to_toml(config), DelGradConfig) == config
    training = msgspec.structs.replace(config.training, loss=OwnLoss())
    config = msgspec.structs.replace(config, training=training)
    assert parse(to_toml(config), DelGradConfig) == config
    trained, _ = DelGradRun(config).train_epoch()
    shipped, _ = DelGradRun(parse(text, DelGradConfig, ["training.loss.margin=0.2"], target=Own(0.5))).train_epoch()
    assert np.isfinite(trained.loss) and trained == shipped


class NoFields:
    def build(self, network, seed):
        return IdealTarget(network.threshold, network.tau_ratio)


def test_objects_that_do_not_do_are_refused():
    text = experiment_text("delgrad", "yin_yang_weights")
    for thing, message in (
        (NoFields(), "target is a NoFields, whose fields no trace can keep: expected a table of keys with kind = one"),
        (OwnLoss(), "target = 'OwnLoss(margin=0.2)' is not allowed: expected a table of keys with kind = one of ideal"),
        (Own, 'target = "<class'),
        (3, "target = 3 is not allowed: expected a table of keys with kind = one of ideal, brainscales"),
    ):
        with pytest.raises(UserError) as caught:
            parse(text, DelGradConfig, target=thing)
        assert str(caught.value).startswith(message)
    config = msgspec.structs.replace(parse(text, DelGradConfig), target=NoFields())
    with pytest.raises(
        UserError, match=r"^target is a NoFields, whose fields .*; make its class a msgspec.Struct or a"
    ):
        to_toml(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere:Mine"], "= 'nowhere:Mine': there is no module nowhere; install it, or start where it lies"),
        (["inner.yours:Mine"], "= 'inner.yours:Mine': there is no module inner.yours; install it"),
        (
            ["broken:Mine"],
            "= 'broken:Mine': ModuleNotFoundError: No module named 'neurohil.nothing_of_that_name'; corr",
        ),
        (["wrong:Mine"], "= 'wrong:Mine': ZeroDivisionError: division by zero; correct the module"),
        ([":"], "= ':': ValueError: Empty module name; correct the module"),
        (
            ["inner.mine:Slugish"],
            "module inner.mine has no class 'Slugish', did you mean 'inner.mine:Sluggish'?; name a",
        ),
        (["inner.mine:number"], "module inner.mine has no class 'number'; name a class of that module"),
        (
            ["inner.mine:Unbuilt"],
            "'inner.mine:Unbuilt': the class has no method build; it must have those of neurohil.p",
        ),
        (["inner.mine:Plain"], "the class has no fields for keys; make it a msgspec.Struct or a dataclass"),
        (
            ["inner.mine:Sluggish", "raised=2"],
            "target.raised = 2 is not allowed: expected float >= 0 and <= 1; change it",
        ),
        (
            ["inner.mine:Sluggish", "rased=1"],
            "unknown key target.rased, did you mean 'target.raised'?; known here: kind,",
        ),
        (
            ["inner.mine"],
            "expected one of ideal, brainscales; change it in the experiment or with --set, or name a class",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_remedy(options, message):
    name, *more = options
    with pytest.raises(UserError) as caught:
        load("yin_yang_weights", [f"target.kind={name}", *(f"target.{option}" for option in more)])
    assert message in str(caught.value) and str(caught.value).isprintable()
    assert str(caught.value).startswith(("target.", "unknown key target."))


def test_missing_and_bad_values_of_own_classes():
    for options, message in (
        ([], r"^missing key target.factor; add it to the experiment: float > 0 and <= 1$"),
        (["target.factor=0.75"], r"^target: 0.75 is no factor"),
    ):
        with pytest.raises(UserError, match=message):
            load_metaplasticity("mnist_fashion_ideal", ["target.kind=inner.mine:Faded", *options])
    with pytest.raises(UserError, match=r"the class has no method __call__; it must have those of .*LossFunction$"):
        load("yin_yang_weights", ["training.loss.kind=inner.mine:Sluggish"])
