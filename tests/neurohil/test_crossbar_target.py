"""The crossbar as a target: units, what is counted, what the host may know, and errors that name the key."""

import re

import numpy as np
import pytest

from neurohil.config import parse, to_toml
from neurohil.errors import UserError
from neurohil.protocols import MatrixCapabilities, WriteReport
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig

SHAPES = [(20, 6), (6, 3)]
DAY_S = 86_400.0


def target(shapes=SHAPES, **changes):
    settings = {"array": {"tile_rows": 8, "tile_columns": 8}} | changes
    return CrossbarTarget(CrossbarTargetConfig(**settings), shapes)


def ideal(**changes):
    return target(preset="ideal", adc={"bits": "none"}, dac={"bits": "none"}, **changes)


@pytest.fixture
def levels():
    rng = np.random.default_rng(1)
    return [rng.integers(-7, 8, shape) for shape in SHAPES]


@pytest.fixture
def inputs():
    return np.random.default_rng(2).uniform(-1.0, 1.0, (5, 20))


def test_capabilities_follow_from_the_mapping():
    assert target().capabilities == MatrixCapabilities(15, 7, 1.0, -1.0, 1.0, True)
    mapping = {"levels_per_device": 9, "scheme": "offset", "weight_range": 2.0}
    assert target(mapping=mapping, dac={"signed": False}).capabilities == MatrixCapabilities(9, 4, 2.0, 0.0, 1.0, True)


@pytest.mark.parametrize("scheme", ["pair", "offset"])
def test_perfect_arrays_multiply_exactly(levels, inputs, scheme):
    mapping = {"scheme": scheme, "levels_per_device": 8 if scheme == "pair" else 15, "weight_range": 3.0}
    perfect = ideal(mapping=mapping)
    perfect.write(levels)
    weights = 3.0 * levels[0] / 7
    np.testing.assert_allclose(perfect.multiply(0, inputs, 0), inputs @ weights, atol=1e-12)
    np.testing.assert_allclose(perfect.read(0, 0), weights, atol=1e-12)


def test_real_arrays_come_close_and_not_closer(levels, inputs):
    """8 bits and the published spread: 1..2 uS of 40 uS per device, so some percent of the largest weight each."""
    real = target()
    real.write(levels)
    weights = levels[0] / 7
    assert 0.01 < np.std(real.read(0, 0) - weights) < 0.1
    error = real.multiply(0, inputs, 0) - inputs @ weights
    assert 0.01 < np.std(error) < 0.1 * np.sqrt(20)


def test_a_write_says_what_it_took(levels):
    perfect = ideal()
    cells = sum(2 * n * m for n, m in SHAPES)
    above_low = sum(int(np.count_nonzero(x)) for x in levels)
    assert perfect.write(levels) == WriteReport(sum(n * m for n, m in SHAPES), cells + above_low, 0)
    assert perfect.write(levels) == WriteReport(0, 0, 0)
    changed = [levels[0].copy(), levels[1]]
    changed[0][3, 2] = levels[0][3, 2] % 7 + 1  # another level above 0
    changed[0][4, 2] *= -1 if levels[0][4, 2] else 1
    assert perfect.write(changed).changed == 1 + (levels[0][4, 2] != 0)


def test_cells_that_cannot_be_programmed_are_counted(levels):
    """All devices are stuck off: those whose target isn't 0 fail, after as many pulses as allowed."""
    broken = ideal(
        faults={"stuck_fraction": 1.0, "stuck_on_share": 0.0},
        recipe={"method": "write_verify", "tolerance_uS": 1.0, "max_pulses": 6},
    )
    above_low = sum(int(np.count_nonzero(x)) for x in levels)
    report = broken.write(levels)
    assert report.failed == above_low
    assert report.pulses == 6 * above_low + sum(2 * n * m for n, m in SHAPES) - above_low
    failed = {q.name: q.values for q in broken.maps()}["layer0_failed"]
    assert failed.all()


def test_the_first_inputs_set_the_range_of_the_converters(levels, inputs):
    automatic, by_hand = target(), target()
    automatic.write(levels)
    by_hand.write(levels)
    by_hand.calibrate(0, inputs)
    assert np.array_equal(automatic.multiply(0, inputs, 3), by_hand.multiply(0, inputs, 3))
    before = automatic.multiply(0, inputs, 3)
    automatic.calibrate(0, 0.1 * inputs)
    clipped = automatic.multiply(0, inputs, 3)
    assert np.abs(clipped).max() < 0.5 * np.abs(before).max()
    assert automatic.account()["clipped"] > 0


def test_same_config_same_bits_and_layers_differ(levels, inputs):
    same = [np.ones((8, 4), dtype=int)] * 2
    one, again, other = (target([(8, 4), (8, 4)], serial=serial) for serial in (3, 3, 4))
    for unit in (one, again, other):
        unit.write(same)
    read = [[unit.read(k, 7) for k in range(2)] for unit in (one, again, other)]
    assert np.array_equal(read[0], read[1])
    assert not np.array_equal(read[0], read[2])
    assert not np.array_equal(read[0][0], read[0][1])
    assert not np.array_equal(one.read(0, 8), read[0][0])


def test_weights_drift_while_waiting(levels):
    """Relaxation of the published fit over a day: up to 3.5 uS of 40 uS per device."""
    real = target(adc={"bits": "none"}, device={"read_fraction": 0.0})
    real.write(levels)
    fresh = real.read(0, 0)
    real.wait(DAY_S)
    assert 0.02 < np.std(real.read(0, 0) - fresh) < 0.13
    assert real.account()["modelled_time_ns"] > DAY_S * 1e9


def test_account_counts_and_costs(levels, inputs):
    costs = {"pulse_pJ": 2.0, "conversion_pJ": 0.0, "converters": 1}
    real = target(costs=costs, banks=2)
    pulses = real.write(levels).pulses
    real.multiply(0, inputs, 0)
    account = real.account()
    assert account["pulses"] == pulses and account["modelled_pulse_pJ"] == 2.0 * pulses
    assert account["vectors"] == 5 and account["conversions"] == 5 * 6 * 3  # three rows of tiles
    assert account["modelled_conversion_pJ"] == 0.0
    assert len(account["modelled_busy_ns"]) == 2


def test_maps_show_the_devices(levels):
    real = target()
    pulses = real.write(levels).pulses
    maps = {q.name: q for q in real.maps()}
    assert set(maps) == {
        f"layer{k}_{name}"
        for k in (0, 1)
        for name in ("conductance", "target", "pulses", "cycles", "wear", "stuck", "failed")
    }
    assert all(q.units and q.long_name and q.dims == ("row", "column") for q in maps.values())
    assert maps["layer0_conductance"].values.shape == (20, 12) and maps["layer0_conductance"].units == "uS"
    assert maps["layer0_pulses"].values.sum() + maps["layer1_pulses"].values.sum() == pulses
    targets = maps["layer0_target"].values
    np.testing.assert_allclose((targets[:, 0::2] - targets[:, 1::2]) / 40.0, levels[0] / 7, atol=1e-12)
    assert 0.0 < maps["layer0_wear"].values.max() < 1e-3  # one cycle of about 1e6
    assert np.all(maps["layer0_cycles"].values == 1)


RESUMED = {
    "plain": {},
    "with wires, relaxing now and then": {
        "wires": {"row_ohm": 2.0, "column_ohm": 2.0},
        "recipe": {"method": "write_verify", "tolerance_uS": 2.0},
        "array": {"tile_rows": 8, "tile_columns": 8, "relax_tolerance_uS": 1.0},
    },
    "with parallel source lines": {
        "wires": {"topology": "source_line_parallel"},
        "array": {"tile_rows": 8, "tile_columns": 8, "relax_tolerance_uS": 1.0},
    },
    "verified after a wait": {"recipe": {"method": "write_verify", "tolerance_uS": 2.0, "wait_s": 5.0}},
    "flickering, worn out, with telegraph noise": {
        "preset": "cmo_hfox",
        "wear": {"median_cycles": 1000.0, "shape": 4.0},
        "rtn": {"share": 0.2},
        "adc": {"subtraction": "after"},
    },
    "small pulses, reference column, faults": {
        "mapping": {"scheme": "offset", "levels_per_device": 15},
        "recipe": {"method": "incremental", "tolerance_uS": 1.0},
        "faults": {"stuck_fraction": 0.1, "dead_row_fraction": 0.1},
    },
}


def use(unit, rng, steps):
    """Products and read-outs between writes of a few weights and waits, most too short to relax."""
    answers, layers = [], [np.zeros(shape, dtype=np.int64) for shape in SHAPES]
    for trial in range(steps):
        for levels in layers:
            levels.ravel()[rng.integers(0, levels.size, 3)] = rng.integers(-7, 8, 3)
        unit.write(layers)
        x = rng.uniform(-1.0, 1.0, (5, 20))
        answers += [unit.multiply(0, x, trial), unit.multiply(1, x[:, :6], trial)]
        unit.wait(50.0 if trial % 5 == 2 else 0.1)
        answers.append(unit.read(0, trial))
    return answers


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_a_loaded_state_goes_on_to_the_same_bits(changes):
    straight, saved = target(**changes), target(**changes)
    use(straight, np.random.default_rng(1), 7)
    use(saved, np.random.default_rng(1), 7)
    state = saved.state()
    kept = {name: array.copy() for name, array in state.items()}
    assert kept
    use(saved, np.random.default_rng(3), 1)  # the state is a copy
    loaded = target(**changes)
    use(loaded, np.random.default_rng(4), 2)  # another past leaves nothing behind
    loaded.load_state(state)
    assert all(np.array_equal(state[name], kept[name], equal_nan=True) for name in kept)
    expected, found = (use(unit, np.random.default_rng(2), 9) for unit in (straight, loaded))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert straight.account() == loaded.account()
    for one, other in zip(straight.maps(), loaded.maps(), strict=True):
        np.testing.assert_array_equal(one.values, other.values, err_msg=one.name)


def test_states_have_one_shape_and_fit_their_own_arrays_only(levels):
    unit = target()
    unit.write(levels)
    fresh = target().state()
    assert {n: (a.dtype, a.shape) for n, a in unit.state().items()} == {n: (a.dtype, a.shape) for n, a in fresh.items()}
    with pytest.raises(UserError, match=r"state\['layer0/target_uS'\] is \(240,\), not \(200,\): .* of other arrays"):
        target([(20, 5), (5, 3)]).load_state(unit.state())
    with pytest.raises(UserError, match=r"state\['layer0/xi'\] is missing"):
        target().load_state({name: array for name, array in fresh.items() if name != "layer0/xi"})


def test_a_measured_table_takes_the_place_of_a_preset(tmp_path, levels):
    table = tmp_path / "mine.csv"
    table.write_text("level,mean_uS,sigma_uS,time_s\n0,5,0,1\n1,20,0,1\n2,50,0,1\n")
    measured = target(table=str(table), device={"read_fraction": 0.0}, adc={"bits": "none"})
    measured.write(levels)
    np.testing.assert_allclose(measured.read(0, 0), levels[0] / 7, atol=1e-12)
    assert {q.name: q for q in measured.maps()}["layer0_target"].values.max() == pytest.approx(50.0)


def test_config_survives_toml():
    config = CrossbarTargetConfig(preset="cmo_hfox", device={"acceptance_percent": 0.2}, adc={"bits": "none"}, serial=9)
    assert parse(to_toml(config), CrossbarTargetConfig) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "hfox_wan"}, "target.preset = 'hfox_wan' is unknown; did you mean 'hfox_wan2022'?"),
        (
            {"device": {"read_fractoin": 0.1}},
            "unknown key target.device.read_fractoin, did you mean 'target.device.read_fraction'?",
        ),
        (
            {"device": {"times_s": 1.0}},
            "target.device.times_s = 1 is not allowed: expected array of length >= 0, each float s",
        ),
        ({"device": {"acceptance_percent": 2.0}}, "unknown key target.device.acceptance_percent"),
        ({"device": {"read_fraction": "much"}}, "target.device.read_fraction = 'much' is not a number"),
        (
            {"mapping": {"levels": 8}},
            "unknown key target.mapping.levels, did you mean 'target.mapping.levels_per_device'?",
        ),
        ({"mapping": {"levels_per_device": 300}}, "target.mapping.levels_per_device = 300 is outside 2..256"),
        ({"array": {"tile_row": 8}}, "unknown key target.array.tile_row, did you mean 'target.array.tile_rows'?"),
        ({"array": {"layout": "flat"}}, "target.array.layout = 'flat' is unknown; choose tiled or statistical"),
        ({"dac": {"bit": 8}}, "unknown key target.dac.bit, did you mean 'target.dac.bits'?"),
        ({"adc": {"bits": 8.0}}, "target.adc.bits = 8.0 is not an integer; allowed are 2..16 bits"),
        ({"wires": {"row_ohms": 1.0}}, "unknown key target.wires.row_ohms, did you mean 'target.wires.row_ohm'?"),
        ({"recipe": {"method": "verify"}}, "target.recipe.method = 'verify' is unknown; choose one_shot, write_verify"),
        (
            {"recipe": {"method": "write_verify", "tolerance_uS": 99.0}},
            "target.recipe.tolerance_uS = 99 uS is outside 0..40 uS",
        ),
        (
            {"faults": {"stuck_fractoin": 0.1}},
            "unknown key target.faults.stuck_fractoin, did you mean 'target.faults.stuck_fraction'?",
        ),
        ({"wear": {"median_cycles": 10}}, "target.wear.median_cycles = 10 cycles is outside 1000..1e+10 cycles"),
        ({"rtn": {"share": -1}}, "target.rtn.share = -1 is outside 0..1"),
        ({"costs": {"pulse_energy": 1.0}}, "unknown key target.costs.pulse_energy"),
        ({"costs": {"conversion_pJ": -1.0}}, "target.costs.conversion_pJ = -1 pJ is outside 0..1e+06 pJ; give a cost"),
        ({"banks": 0}, "target.banks = 0 is outside 1..65536; give the number of banks"),
        ({"table": "missing.csv"}, "target.table = 'missing.csv' cannot be read"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(UserError, match="^" + re.escape(message)):
        target(**changes)


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(UserError, match="unknown key recipie, did you mean 'recipe'"):
        parse('kind = "crossbar"\n[recipie]\nmax_pulses = 3\n', CrossbarTargetConfig)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda unit, levels: unit.write(levels[:1]), "1 layers of levels for 2 layers of arrays; give one each"),
        (lambda unit, levels: unit.write([levels[0], levels[1] + 20]), "levels[0, 0] = "),
        (lambda unit, levels: unit.multiply(2, np.ones((1, 20)), 0), "layer = 2 is outside 0..1; name a layer"),
        (lambda unit, levels: unit.multiply(0, np.full((1, 20), 2.0), 0), "x[0, 0] = 2 is outside -1..1"),
        (lambda unit, levels: unit.multiply(1, np.zeros((1, 6)), 0), "99.9 % of the"),
        (lambda unit, levels: unit.calibrate(-1, np.ones((1, 20))), "layer = -1 is outside 0..1; name a layer"),
        (lambda unit, levels: unit.read(5, 0), "command.layer = 5 is outside 0..1; name a layer"),
        (lambda unit, levels: unit.wait(-1.0), "wait.seconds = -1 s is outside 0..9e+09 s"),
    ],
)
def test_misuse_is_one_clear_error_and_changes_nothing(levels, call, message):
    unit = target()
    unit.write(levels)
    before, maps = unit.account(), [q.values.copy() for q in unit.maps()]
    assert maps
    with pytest.raises(UserError, match="^" + re.escape(message)):
        call(unit, levels)
    assert unit.account() == before
    assert all(np.array_equal(q.values, kept) for q, kept in zip(unit.maps(), maps, strict=True))
    assert unit.write(levels) == WriteReport(0, 0, 0)  # nothing was left in the queue
