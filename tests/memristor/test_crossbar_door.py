"""The front door: a layer in one line, names that load when they are used, and which of two numbers decides what."""

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import memristor
import memristor.crossbar
from memristor import (
    AdcConfig,
    Cells,
    Controller,
    CostTable,
    Crossbar,
    CrossbarConfig,
    CrossbarError,
    DacConfig,
    FaultConfig,
    Read,
    Recipe,
    RtnConfig,
    WearConfig,
    preset,
)


def test_the_example_of_the_class_runs():
    found = doctest.testmod(memristor.crossbar, raise_on_error=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted >= 10 and found.failed == 0


def test_a_layer_in_one_line():
    array = Crossbar((128, 64), levels=9, device="hfox_wan2022", serial=1)
    assert (array.shape, array.serial, array.seed, array.mapping.max_level) == ((128, 64), 1, 1, 8)
    assert array.config == CrossbarConfig(preset("hfox_wan2022"), levels_per_device=9)
    model = preset("cmo_hfox", acceptance_percent=0.2)
    assert Crossbar((2, 3), device=model).config == CrossbarConfig(model)
    assert Crossbar((2, 3)).config == CrossbarConfig()


def test_a_config_is_taken_as_it_is():
    config = CrossbarConfig(levels_per_device=5, tile_rows=16)
    assert Crossbar((2, 3), config, serial=4).config is config


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        (
            {"config": CrossbarConfig(), "levels": 9},
            "levels = 9 is given beside a config; give CrossbarConfig(levels_per_device=...) or no config",
        ),
        (
            {"config": CrossbarConfig(), "device": "ideal"},
            "device = 'ideal' is given beside a config; give CrossbarConfig(device=...) or no config",
        ),
        ({"config": {"levels": 9}}, "config = {'levels': 9} is not a CrossbarConfig; give one, or levels and device"),
        ({"levels": 1}, "levels_per_device = 1 is outside 2..256; a device has at least two levels"),
        ({"device": "hfox_wan"}, "crossbar.preset = 'hfox_wan' is unknown; did you mean 'hfox_wan2022'?"),
        ({"device": 7}, "crossbar.device = 7 is not a DeviceModel"),
    ],
)
def test_one_error_for_a_bad_choice(choices, text):
    with pytest.raises(CrossbarError) as error:
        Crossbar((2, 3), **choices)
    assert text in str(error.value)


def test_importing_the_package_loads_nothing_else():
    program = (
        "import sys, memristor; loaded = {name.split('.')[0] for name in sys.modules};"
        "assert not loaded & {'numpy', 'numba', 'scipy', 'simpy'}, loaded;"
        "assert memristor.PRESET_NAMES and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)


def test_every_name_of_the_package_is_there_and_told_to_type_checkers():
    for name in memristor.__all__:
        assert getattr(memristor, name) is not None
    assert set(memristor.__all__) <= set(dir(memristor))
    blocks = [node for node in ast.parse(inspect.getsource(memristor)).body if isinstance(node, ast.If)]
    told = {(line.module, alias.name) for block in blocks for line in block.body for alias in line.names}
    assert told == {(file, name) for file, names in memristor._FILES.items() for name in names}
    with pytest.raises(AttributeError, match="module 'memristor' has no attribute 'Crosbar'"):
        memristor.Crosbar  # noqa: B018


# What an individual array is follows from its serial number, its noise from the seed.

DRAWN_ONCE = (
    "stuck", "lifetime_cycles", "step_uS", "rtn_amplitude", "dead_rows", "dead_columns",
)  # fmt: skip
CONFIGS = {
    "faults": FaultConfig(0.2, dead_row_fraction=0.1, dead_column_fraction=0.1),
    "wear": WearConfig(median_cycles=1e5),
    "rtn": RtnConfig(share=0.5),
}
SHAPE = (60, 50)


def cells(serial, seed, **configs):
    made = Cells(preset(), SHAPE, serial=serial, seed=seed, **configs)
    rows, columns = (index.ravel() for index in np.indices(SHAPE))
    made.program(rows, columns, np.full(rows.size, 20.0), 1.0)
    return made


def drawn_once(made):
    return {name: np.array(getattr(made, name)) for name in DRAWN_ONCE} | {"dies on": made._state.stuck_at_death}


def test_another_serial_number_is_another_array_with_the_same_noise():
    one, other = cells(1, 5, **CONFIGS), cells(2, 5, **CONFIGS)
    for (name, left), right in zip(drawn_once(one).items(), drawn_once(other).values(), strict=True):
        assert not np.array_equal(left, right), name
    np.testing.assert_array_equal(one.xi, other.xi)
    np.testing.assert_array_equal(one.written_uS, other.written_uS)


def test_another_seed_is_other_noise_on_the_same_array():
    one, other = cells(1, 5, **CONFIGS), cells(1, 6, **CONFIGS)
    for (name, left), right in zip(drawn_once(one).items(), drawn_once(other).values(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)
    for name in ("xi", "written_uS"):
        left, right = getattr(one, name).ravel(), getattr(other, name).ravel()
        assert abs(stats.pearsonr(left, right).statistic) < 6.0 / np.sqrt(left.size)


def layer(serial, seed, **choices):
    config = CrossbarConfig(
        tile_rows=16,
        tile_columns=16,
        dac=DacConfig(bits=None),
        adc=AdcConfig(bits=None),
        **choices,
    )
    made = Crossbar((40, 20), config, serial=serial, seed=seed)
    made.write(np.random.default_rng(0).integers(-7, 8, made.shape))
    return made


def test_serial_number_and_seed_go_to_every_array_of_a_layer():
    base, serial, seed = layer(1, 1, **CONFIGS), layer(2, 1, **CONFIGS), layer(1, 2, **CONFIGS)
    maps = {name: made.maps() for name, made in (("base", base), ("serial", serial), ("seed", seed))}
    for name in ("lifetime", "stuck"):
        assert not np.array_equal(maps["serial"][name].values, maps["base"][name].values)
        np.testing.assert_array_equal(maps["seed"][name].values, maps["base"][name].values)
    # Where devices work in both, the same seed writes the same conductances on another array, and another seed others.
    works = {name: found["conductance"].values for name, found in maps.items()}
    both = (works["base"] > 0) & (works["serial"] > 0) & (maps["base"]["stuck"].values == 0)
    both &= maps["serial"]["stuck"].values == 0
    assert both.mean() > 0.2
    np.testing.assert_array_equal(works["base"][both], works["serial"][both])
    assert np.mean(works["base"][both] == works["seed"][both]) < 0.1
    arrays = [tile.cells.lifetime_cycles.ravel()[:20] for row in base.tiles for tile in row]
    assert len({array.tobytes() for array in arrays}) == len(arrays) == 9  # no two of them are the same individual


@pytest.mark.parametrize("way", ["multiply", "read"])
def test_the_noise_of_reads_follows_from_seed_and_trial_alone(way):
    """Devices without a spread, so that nothing but the reads is drawn."""
    device = preset("ideal", read_fraction=0.02)

    def answer(serial, seed, trial):
        made = layer(serial, seed, device=device)
        if way == "read":
            return Controller([made], CostTable(), 1).execute(Read(0, trial))
        return made.multiply(np.full((3, 40), 0.5), trial)

    base = answer(1, 1, 1)
    np.testing.assert_array_equal(answer(2, 1, 1), base)
    for other in (answer(1, 2, 1), answer(1, 1, 2)):
        assert np.mean(other != base) > 0.9


def test_relaxation_goes_its_own_way_for_every_seed():
    one, again, other = layer(1, 1), layer(2, 1), layer(1, 2)
    drift = []
    for made in (one, again, other):
        before = made.maps()["conductance"].values.copy()
        made.age(1e5)
        drift.append(made.maps()["conductance"].values - before)
    np.testing.assert_array_equal(drift[0], drift[1])
    assert np.mean(drift[0] == drift[2]) < 0.6  # devices at the lowest level can't fall


def test_steps_of_small_pulses_follow_from_the_serial_number():
    """Incremental programming draws nothing but the directions of relaxation."""
    recipe = Recipe("incremental", tolerance_uS=1.0, max_pulses=40)
    one, seed, serial = (layer(*numbers, recipe=recipe).maps() for numbers in ((1, 1), (1, 2), (2, 1)))
    np.testing.assert_array_equal(one["conductance"].values, seed["conductance"].values)
    assert np.mean(one["conductance"].values != serial["conductance"].values) > 0.3


def test_the_page_about_the_crossbar_runs_as_it_stands(capsys):
    page = (Path(__file__).parents[2] / "docs/crossbar.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, names)
    assert len(snippets) >= 2 and capsys.readouterr().out.startswith("<Crossbar: weights 128 x 64")
    assert names["array"].config.wires.row_ohm == 2.0
    assert names["y"].shape == (100, 64)
