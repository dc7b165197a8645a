"""The modelled system track: arithmetic by hand, a user's table, and what is refused."""

from importlib import resources

import numpy as np
import pytest

from neurohil.errors import UserError
from neurohil.neurobench.costs import (
    Cost,
    Phase,
    crossbar_changes,
    crossbar_phases,
    described,
    learning,
    load_costs,
    matrix_phases,
    spent,
    spiking_phases,
    system_track,
)
from neurohil.protocols import Layer
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig, BrainscalesMatrixTarget
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig
from neurohil.targets.spiking.brainscales import BrainscalesConfig, BrainscalesTarget


def table(**values):
    return {name: Cost(value, unit, "made up", "no") for name, (value, unit) in values.items()}


SPIKING = table(
    chip_power=(100.0, "mW"),
    board_power=(2.0, "W"),
    spike=(3.0, "nJ"),
    synaptic_event=(10.0, "pJ"),
    link_event=(0.5, "uJ"),
)


def test_every_shipped_cost_says_where_it_is_from():
    for name, entries in load_costs().items():
        for key, cost in entries.items():
            assert cost.value >= 0 and cost.source and cost.verified, f"{name}.{key}"
            # What nobody published must not look like a fact.
            if cost.value == 0:
                assert cost.verified == "not verified" and cost.source.startswith("no ")


def test_published_numbers_are_as_cited():
    """< 200 mW: Cramer et al. 2022; 192 uJ in 276 us at 5.6 W: Stradmann et al. 2022. Abstracts, so marked."""
    costs = load_costs()
    assert costs["spiking"]["chip_power"].si == pytest.approx(0.2)
    assert costs["matrix"]["chip_power"].si == pytest.approx(192e-6 / 276e-6, rel=1e-3)
    assert costs["matrix"]["board_power"].si == costs["spiking"]["board_power"].si == 5.6
    assert all("abstract only" in costs["matrix"][name].verified for name in ("chip_power", "board_power"))


def test_spiking_by_hand():
    account = {
        "real_time_us": 360.0,
        "configuration_ns": 1000,
        "upload_ns": 500,
        "readback_ns": 250,
        "words_written": 7,
        "input_events": 4,
        "recorded_events": 6,
    }
    phases = spiking_phases(account, 20, SPIKING)
    rows = {name: phase.row(2) for name, phase in phases.items()}
    assert rows["Loading"]["Time_s"] == pytest.approx(0.75e-6)
    assert rows["Loading"]["Energy_J"] == pytest.approx((1.5e-6 * 0.1 + 4 * 0.5e-6) / 2)
    assert rows["Inference"]["Time_s"] == pytest.approx(180e-6)
    assert rows["Inference"]["Energy_J"] == pytest.approx((360e-6 * 0.1 + 6 * 3e-9 + 20 * 10e-12) / 2)
    assert rows["Inference"]["Power_W"] == pytest.approx((360e-6 * 0.1 + 18e-9 + 0.2e-9) / 360e-6)
    assert rows["Inference"]["BoardEnergy_J"] == pytest.approx(180e-6 * 2.0)
    assert rows["ReadBack"]["Energy_J"] == pytest.approx((250e-9 * 0.1 + 6 * 0.5e-6) / 2)
    assert rows["Inference"]["Counts"] == {"spike": 3, "synaptic_event": 10}
    whole = learning(phases)
    assert whole.time_s == pytest.approx(361.75e-6) and whole.counts["link_event"] == 10
    assert whole.energy_J["chip_power"] == pytest.approx(361.75e-6 * 0.1)
    track = system_track(phases, phases, 2)
    assert list(track) == ["Learning", "Loading", "Inference", "ReadBack"]
    assert track["Learning"]["Time_s"] == pytest.approx(361.75e-6)


def test_counts_of_the_emulated_chip():
    """Four lines that fire together lift one neuron just above its threshold: one spike a sample."""
    target = BrainscalesTarget(BrainscalesConfig(preset="ideal", serial=1), threshold=1.0, tau_ratio=1, seed=1)
    target.write([Layer(np.full((4, 1), target.capabilities.weight_max))])
    target.run(np.full((2, 4), 1.0), trial=1)
    before = target.account()
    spikes = target.run(np.full((3, 4), 2.0), trial=2)[0].spikes
    assert np.isfinite(spikes).all()
    phases = spiking_phases(spent(before, target.account()), 12, SPIKING)
    assert before["input_events"] == 8
    assert phases["Loading"].counts["link_event"] == 12
    assert phases["Inference"].time_s == pytest.approx(3 * 180e-6)
    assert phases["Inference"].counts == {"spike": 3, "synaptic_event": 12}
    assert phases["ReadBack"].counts["link_event"] == 3


def test_counts_of_the_matrix_mode():
    """One block of 4 inputs x 2 outputs: one run, and a vector a sample; all 512 columns are read twice."""
    target = BrainscalesMatrixTarget(BrainscalesMatrixConfig(), [(4, 2)], max_level=7, weight_range=1.0, seed=1)
    target.write([np.full((4, 2), 3)])
    target.calibrate(0, np.full((2, 4), 0.5))
    before = target.account()
    target.multiply(0, np.full((5, 4), 0.5), 1)
    costs = table(chip_power=(1.0, "W"), board_power=(4.0, "W"), cadc_conversion=(2.0, "pJ"))
    phase = matrix_phases(spent(before, target.account()), costs)["Inference"]
    assert phase.counts == {"cadc_conversion": 5 * 512 * 2, "runs": 1, "vectors": 5}
    assert phase.energy_J["cadc_conversion"] == pytest.approx(5120 * 2e-12)
    assert phase.energy_J["chip_power"] == pytest.approx(phase.time_s)
    assert phase.board_J == pytest.approx(4 * phase.time_s)


def small_crossbar(costs):
    config = CrossbarTargetConfig(preset="ideal", mapping={"levels_per_device": 8}, dac={"bits": 8}, costs=costs)
    target = CrossbarTarget(config, [(4, 2)])
    target.write([np.array([[7, 0], [0, -7], [0, 0], [3, 1]])])
    return target


def test_counts_of_the_crossbar():
    """A user's pulse of 10 pJ; five vectors on four rows; 2 pJ a conversion of each of two weights."""
    target = small_crossbar({"pulse_pJ": 10.0})
    written = target.account()
    phase = crossbar_phases(spent({}, written), 0, load_costs()["crossbar"])["Inference"]
    assert phase.counts["pulses"] == written["pulses"] > 0
    assert phase.energy_J["pulse"] == pytest.approx(written["pulses"] * 10e-12)
    target.multiply(0, np.full((5, 4), 0.5), 1)
    costs = table(dac_conversion=(3.0, "pJ"))
    phase = crossbar_phases(spent(written, target.account()), 5 * 4, costs)["Inference"]
    assert phase.counts["pulses"] == 0 and phase.counts["vectors"] == 5
    assert phase.energy_J["dac_conversion"] == pytest.approx(20 * 3e-12)
    assert phase.energy_J["conversion"] == pytest.approx(phase.counts["conversions"] * 2e-12)
    assert phase.counts["conversions"] in (5 * 2, 5 * 4)  # differences, or both devices of a pair
    assert phase.board_J is None and phase.row()["BoardEnergy_J"] is None


def test_crossbar_costs_are_told_with_unit_and_source():
    target = small_crossbar({})
    about = described("crossbar", load_costs(), target.controller.costs)
    assert about["crossbar.pulse_pJ"]["unit"] == "pJ" and "Martemucci" in about["crossbar.pulse_pJ"]["source"]
    assert (
        about["crossbar.reset_ns"]["source"] == "assumed" and about["crossbar.reset_ns"]["verified"] == "not verified"
    )
    assert "crossbar.dac_conversion" in about


def test_crossbar_numbers_stand_in_one_table():
    """Those of pulses and conversions are memristor's, so the shipped table must not have them again."""
    names = {entry.name for entry in small_crossbar({}).controller.costs.__dataclass_fields__.values()}
    assert not names & set(load_costs()["crossbar"])


OWN = """
[spiking.chip_power]
value = 50
unit = "mW"
source = "my meter"
verified = "yes"

[crossbar.pulse_pJ]
value = 4
unit = "pJ"
source = "my array"
verified = "yes"

[crossbar.reset_ns]
value = 30
unit = "ns"
source = "my array"
verified = "yes"
"""


def test_a_users_table_replaces_ours(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    costs, shipped = load_costs(tmp_path / "own.toml"), load_costs()
    assert costs["spiking"]["chip_power"] == Cost(50.0, "mW", "my meter", "yes")
    assert costs["spiking"]["board_power"] == shipped["spiking"]["board_power"]
    assert costs["matrix"] == shipped["matrix"]
    assert crossbar_changes(costs) == {"pulse_pJ": 4.0, "reset_ns": 30} and crossbar_changes(shipped) == {}
    target = small_crossbar(crossbar_changes(costs))
    assert target.controller.costs.pulse_pJ == 4.0 and target.controller.costs.reset_ns == 30
    assert described("crossbar", costs, target.controller.costs)["crossbar.pulse_pJ"]["source"] == "my array"


def test_the_shipped_table_is_a_valid_users_table(tmp_path):
    (tmp_path / "same.toml").write_text((resources.files("neurohil.neurobench") / "costs.toml").read_text())
    assert load_costs(tmp_path / "same.toml") == load_costs()


def entry(value="1.0", unit='"mW"', source='"me"', rest=""):
    return f"[spiking.chip_power]\nvalue = {value}\nunit = {unit}\nsource = {source}\nverified = 'no'\n{rest}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[spikin.chip_power]", r"unknown key costs.spikin, did you mean 'spiking'\?; known here: spiking, matrix"),
        ("[spiking.chip_powr]", r"unknown key costs.spiking.chip_powr, did you mean 'chip_power'\?"),
        (entry(rest="note = 'x'"), "unknown key costs.spiking.chip_power.note; known here: value, unit, source"),
        ("[spiking.spike]\nvalue = 1.0", "missing key costs.spiking.spike.unit; a cost takes value, unit, source"),
        (entry("-1.0"), r"costs.spiking.chip_power.value = -1.0 must be a finite number >= 0 mW"),
        (entry("nan"), r"costs.spiking.chip_power.value = nan must be a finite number >= 0"),
        (entry("inf"), r"costs.spiking.chip_power.value = inf must be a finite number >= 0"),
        (entry("true"), r"costs.spiking.chip_power.value = True must be a finite number >= 0"),
        (entry("'much'"), r"costs.spiking.chip_power.value = 'much' must be a finite number >= 0"),
        (entry(unit='"pJ"'), r"costs.spiking.chip_power.unit = 'pJ' is not allowed: expected one of .*mW.*; convert"),
        (entry(unit='"xW"'), r"costs.spiking.chip_power.unit = 'xW' is not allowed"),
        (entry(unit="3"), r"costs.spiking.chip_power.unit = 3 must be text"),
        (entry(source='""'), r"costs.spiking.chip_power.source = '' must be text; say where the value is from"),
        ("spiking = 3", r"costs.spiking = 3 is no table; give \[spiking.<name>\]"),
        ("[spiking]\nspike = 3", r"costs.spiking.spike = 3 is no table; give value, unit, source, verified"),
        ("[spiking", "own.toml is not valid TOML"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_costs(tmp_path / "own.toml")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none.toml can't be read \(No such file or directory\); give a TOML file"):
        load_costs(tmp_path / "none.toml")


def test_bad_crossbar_entries_are_refused(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("[crossbar.pulse_pJ]\nvalue = 1.0\nunit = 'nJ'\nsource = 'me'\nverified = 'no'")
    with pytest.raises(UserError, match=r"costs.crossbar.pulse_pJ.unit = 'nJ' is not 'pJ'; convert the value"):
        crossbar_changes(load_costs(path))
    path.write_text("[crossbar.puls_pJ]\nvalue = 1.0\nunit = 'pJ'\nsource = 'me'\nverified = 'no'")
    with pytest.raises(UserError, match=r"unknown key target.costs.puls_pJ, did you mean 'target.costs.pulse_pJ'\?"):
        small_crossbar(crossbar_changes(load_costs(path)))


def test_a_phase_without_time_has_no_power():
    assert Phase(0.0, {"pulse": 0.0}, None, {}).row()["Power_W"] is None
