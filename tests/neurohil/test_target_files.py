"""A new target is a new file, and nothing else: configs, runs, traces and errors know it."""

import sys
import textwrap

import pytest

import neurohil.targets.matrix
import neurohil.targets.spiking
from neurohil.choices import structs_in
from neurohil.cli import main
from neurohil.config import experiment_text, parse, to_toml
from neurohil.datasets import yin_yang
from neurohil.delgrad.run import DelGradConfig
from neurohil.errors import UserError
from neurohil.metaplasticity.run import MetaplasticityConfig
from neurohil.trace.reader import Trace

SPIKING = """
    import msgspec

    from neurohil.first_spike.kernels import spike_times
    from neurohil.protocols import Provenance
    from neurohil.ranges import Share
    from neurohil.targets.spiking.ideal import IdealTarget

    class SluggishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sluggish", tag_field="kind"):
        raised: Share = 0.0

        def build(self, network, seed):
            return SluggishTarget((1.0 + self.raised) * network.threshold, network.tau_ratio)

    class SluggishTarget(IdealTarget):
        label = "sluggish neurons"
        provenance = Provenance("computed", "Spikes were computed for neurons with a raised threshold.")
"""
MATRIX = """
    import msgspec

    from neurohil.targets.matrix.ideal import IdealMatrixTarget

    class FadedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="faded", tag_field="kind"):
        def build(self, shapes, levels, seed):
            return IdealMatrixTarget(levels.max_level, 0.5 * levels.weight_range, levels.levels)
"""


def add(monkeypatch, folder, package, name, text):
    """A file in the package, for the time of a test."""
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    module = f"{package.__name__}.{name}"
    monkeypatch.setitem(sys.modules, module, None)  # taken out again at the end
    del sys.modules[module]


def few(split, _load=yin_yang.load):
    data = _load(split)
    return yin_yang.YinYang(data.samples[:60], data.labels[:60])


@pytest.mark.compiled
def test_a_run_on_a_new_target_needs_its_file_alone(tmp_path, monkeypatch, capsys):
    add(monkeypatch, tmp_path, neurohil.targets.spiking, "sluggish", SPIKING)
    monkeypatch.setattr(yin_yang, "load", few)
    experiment, path = tmp_path / "mine.toml", tmp_path / "run.h5"
    shipped = experiment_text("delgrad", "yin_yang_weights")
    experiment.write_text(shipped.replace('kind = "ideal"', 'kind = "sluggish"\nraised = 0.25'))
    assert main(["delgrad", str(experiment), "--epochs", "1", "--out", str(path)]) == 0
    assert "sluggish neurons" in capsys.readouterr().out
    with Trace(path) as trace:
        assert trace.complete and trace.provenance.source == "Spikes were computed for neurons with a raised threshold."
        config = parse(trace.config, DelGradConfig)
        assert config.target.raised == 0.25 and to_toml(config) == trace.config
    with pytest.raises(UserError, match=r"^target.raised = 2 is not allowed: expected float >= 0 and <= 1;"):
        parse(experiment.read_text(), DelGradConfig, ["target.raised=2"])
    with pytest.raises(UserError, match=r"unknown key target.rased, did you mean 'target.raised'\?"):
        parse(experiment.read_text(), DelGradConfig, ["target.rased=0.2"])
    with pytest.raises(UserError, match=r"'fpga' is not allowed: expected one of sluggish, ideal, brainscales;"):
        parse(experiment.read_text(), DelGradConfig, ["target.kind=fpga"])


def test_a_new_matrix_target_needs_its_file_alone(tmp_path, monkeypatch):
    add(monkeypatch, tmp_path, neurohil.targets.matrix, "faded", MATRIX)
    text = experiment_text("metaplasticity", "mnist_fashion_ideal")
    config = parse(text, MetaplasticityConfig, ["target.kind=faded"])
    assert config.target.build([(2, 2)], config.network.quantizer, 1).capabilities.weight_range == 0.5
    assert parse(to_toml(config), MetaplasticityConfig) == config


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from neurohil.targets.spiking.ideal import IdealConfig\n", "none"),
        (f"{textwrap.dedent(SPIKING)}\nclass Twice(SluggishConfig, frozen=True): ...\n", "SluggishConfig, Twice"),
    ],
)
def test_a_file_holds_one_target(tmp_path, monkeypatch, text, found):
    add(monkeypatch, tmp_path, neurohil.targets.spiking, "odd", text)
    with pytest.raises(TypeError, match=rf"spiking.odd must hold one msgspec.Struct with a tag, but holds {found}$"):
        structs_in("neurohil.targets.spiking")
