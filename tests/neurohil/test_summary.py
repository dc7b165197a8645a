"""A summary is shown as long as it holds; then what differs from the experiment."""

import pytest

from neurohil.kinds import KINDS


@pytest.mark.parametrize(
    ("command", "experiment"),
    [
        ("crossbar program", "crossbar_9_levels"),
        ("delgrad", "chip_yin_yang_axonal"),
        ("metaplasticity", "mnist_fashion_crossbar"),
    ],
)
def test_an_experiment_as_shipped_has_its_summary(command, experiment):
    load = KINDS[command].load
    plain = load(experiment)
    assert plain.summary and experiment not in plain.summary
    individual = "target.serial=7" if command == "crossbar program" else "seed=7"
    assert load(experiment, [individual]).summary == plain.summary


@pytest.mark.parametrize(
    ("command", "experiment", "overrides", "summary"),
    [
        (
            "crossbar program",
            "crossbar_9_levels",
            ["target.mapping.levels_per_device=5"],
            "crossbar_9_levels with target.mapping.levels_per_device = 5",
        ),
        (
            "crossbar program",
            "crossbar_9_levels",
            ["target.table=mine.csv", "target.serial=3"],
            "crossbar_9_levels with target.table = mine.csv",
        ),
        ("delgrad", "yin_yang_axonal", ["network.hidden=5"], "yin_yang_axonal with network.hidden = 5"),
        (
            "delgrad",
            "chip_yin_yang_axonal",
            ["epochs=1", "seed=9", "training.batch=7", "network.hidden=5", "training.max_dw=0.5"],
            "chip_yin_yang_axonal with epochs = 1, network.hidden = 5, training.batch = 7 and 1 more",
        ),
        (
            "metaplasticity",
            "mnist_fashion_crossbar",
            ["network.hidden=[32]"],
            "mnist_fashion_crossbar with network.hidden = [32]",
        ),
        ("delgrad", "yin_yang_axonal", ["epochs=1", "summary=Mine"], "Mine"),
    ],
)
def test_what_differs_takes_its_place(command, experiment, overrides, summary):
    assert KINDS[command].load(experiment, overrides).summary == summary


def test_a_file_of_ones_own_has_its_own_summary(tmp_path):
    from neurohil.config import experiment_text

    file = tmp_path / "mine.toml"
    file.write_text(experiment_text("crossbar", "crossbar_9_levels").replace("HfOx", "My"))
    assert KINDS["crossbar program"].load(str(file)).summary.startswith("128 x 128 My devices")
    assert KINDS["crossbar program"].load(str(file), ["program.cycles=5"]).summary == "mine with program.cycles = 5"
