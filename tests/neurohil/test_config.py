"""Experiment files: what is accepted, and what an error says."""

import re

import pytest

from neurohil.config import experiment_summaries, experiment_text, parse, to_toml
from neurohil.delgrad.run import DelGradConfig
from neurohil.errors import UserError
from neurohil.kinds import KINDS

load = KINDS["delgrad"].load


@pytest.mark.parametrize("name", experiment_summaries("delgrad"))
def test_shipped_experiments_are_valid_and_survive_a_round_trip(name):
    config = load(name)
    assert config.experiment == name
    assert parse(to_toml(config), DelGradConfig) == config


def test_named_experiments_exist():
    named = {"yin_yang_weights", "yin_yang_axonal", "yin_yang_dendritic", "yin_yang_synaptic"}
    named |= {"chip_yin_yang_weights", "chip_yin_yang_axonal"}
    assert named <= set(experiment_summaries("delgrad"))


def test_overrides_change_values_of_every_type():
    overrides = ["training.batch=7", "network.delays=none", "training.max_missing=[0.5, 0.25]", "data.bias_time=0.9"]
    config = load("yin_yang_synaptic", overrides)
    assert (config.training.batch, config.network.delays, config.data.bias_time) == (7, "none", 0.9)
    assert config.training.max_missing == (0.5, 0.25)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.batch=0",
            "training.batch = 0 is not allowed: expected int >= 1 and <= 1000000000; change it in the",
        ),
        ("training.batch=many", "training.batch = 'many' is not allowed: expected int >= 1 and"),
        ("training.batch=2.5", "training.batch = 2.5 is not allowed: expected int >= 1 and"),
        ("training.bach=3", "unknown key training.bach, did you mean 'training.batch'?; known here: loss,"),
        ("trainig.batch=3", "unknown key trainig, did you mean 'training'?"),
        ("target.seral=3", "unknown key target.seral, did you mean 'target.serial'?; known here: kind, preset,"),
        (
            "target.preset=w66",
            "target.preset = 'w66' is not allowed: expected one of ideal, calibrated, uncalibrated, w66f3;",
        ),
        ("target.kind=fpga", "target.kind = 'fpga' is not allowed: expected one of ideal, brainscales;"),
        ("network.tau_ratio=3", "network.tau_ratio = 3 is not allowed: expected one of 1, 2;"),
        ("training.loss.kind=mee", "expected one of shift_invariant_mse, cross_entropy, mse;"),
        ("network.threshold=nan", "network.threshold = nan is not a finite number; give float >= 1e-06"),
        ("network.weight_mean=[0.1, inf]", "network.weight_mean[1] = inf is not a finite number; give float >="),
        ("network.weight_mean=[0.1]", "network.weight_mean = [0.1] is not allowed: expected array of length 2"),
        ("training.loss.margin=-1", "training.loss.margin = -1 is not allowed: expected float > 0 and <= 200 tau_s"),
        ("seed.x=1", "--set seed.x=1: seed is a value, not a table of keys"),
        ("epochs", "--set epochs: expected key=value"),
    ],
)
def test_bad_value_gets_one_clear_error(override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load("chip_yin_yang_axonal", [override])


def test_unknown_experiment_names_the_nearest():
    with pytest.raises(UserError, match="unknown experiment 'yin_yang_axonl', did you mean 'yin_yang_axonal'"):
        experiment_text("delgrad", "yin_yang_axonl")


def test_missing_file_and_broken_toml(tmp_path):
    with pytest.raises(UserError, match=r"cannot read experiment file .*none.toml: No such file"):
        experiment_text("delgrad", str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = = 1\nepochs = 3\n")
    with pytest.raises(UserError, match=r"the experiment is not valid TOML: .*line 1"):
        load(str(broken))


def test_missing_key_is_named():
    shipped = experiment_text("delgrad", "yin_yang_weights").splitlines()
    text = "\n".join(line for line in shipped if "hidden" not in line)
    with pytest.raises(UserError, match=re.escape("missing key network.hidden; add it to the experiment")):
        parse(text, DelGradConfig)
