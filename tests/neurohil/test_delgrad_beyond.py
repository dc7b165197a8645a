"""A run on the emulated chip says so, in its trace and in its results, if its delays are none of the real chip's."""

import json

import pytest

import neurohil as nh
from neurohil.cli import main
from neurohil.datasets import yin_yang
from neurohil.trace.reader import Trace

SENTENCE = "per-synapse delays, which BrainScaleS-2 does not have"
BEYOND = "yin_yang_synaptic_beyond"


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    whole = {name: yin_yang.load(name) for name in ("train", "validation", "test")}
    few = {name: yin_yang.YinYang(split.samples[:50], split.labels[:50]) for name, split in whole.items()}
    monkeypatch.setattr(yin_yang, "load", few.__getitem__)


def test_the_trace_says_it_from_the_start(tmp_path):
    with nh.experiment(BEYOND).start().new_trace(tmp_path / "run.h5"), Trace(tmp_path / "run.h5.part") as trace:
        said = trace.attributes("run/results/delays")
        assert trace["run/results/delays"] == 1
        assert said["flag_meanings"].split()[1] == "beyond" and SENTENCE in said["long_name"]


@pytest.mark.parametrize(
    ("experiment", "change"),
    [("chip_yin_yang_axonal", "epochs=1"), ("yin_yang_synaptic", "epochs=1"), (BEYOND, 'network.delays="none"')],
)
def test_a_run_without_them_says_nothing(experiment, change, tmp_path):
    run = nh.experiment(experiment, [change]).start()
    assert "run/results/delays" not in dict(run.layout.arrays())


@pytest.mark.compiled
def test_the_results_say_it(tmp_path, capsys):
    main(["delgrad", BEYOND, "--epochs", "2", "--out", str(tmp_path / "run.h5"), "--json"])
    output = capsys.readouterr()
    table, last = output.err.splitlines(), output.out
    assert any(line.split() == ["beyond", "the", "real", "chip", *SENTENCE.split()] for line in table)
    assert json.loads(last)["beyond"] == SENTENCE
    with Trace(tmp_path / "run.h5") as trace:
        assert trace.complete and trace["run/results/delays"] == 1
        assert trace["run/delays_0/delays"].shape == (600, 2)  # one per synapse, in us
        assert 0.0 < trace["run/delays_0/delays"].min() < 8.25  # shorter than a delay element can
