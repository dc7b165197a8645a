"""Published fits: their values, their ranges, and tables of one's own."""

import math

import numpy as np
import pytest

from memristor.errors import CrossbarError
from memristor.presets import PRESET_NAMES, hfo2_milo2021_current_uA, preset
from memristor.table import table_model

DAY_S = 86_400.0
LEVELS_uS = np.arange(9) * 5.0  # eighths of 40 uS
# Wan et al. (Nature 2022): coefficients for increasing powers of G / 40 uS, result in uS.
WAN = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    DAY_S: (0.701, 22.086, -50.773, 47.095, -16.458),
    2 * DAY_S: (0.782, 20.274, -43.507, 37.062, -11.934),
}


def wan_sigma(g_uS, time_s):
    return sum(c * (g_uS / 40.0) ** power for power, c in enumerate(WAN[time_s]))


def test_every_preset_tells_its_source_and_what_is_assumed():
    assert PRESET_NAMES == ("ideal", "hfox_wan2022", "hfo2_milo2021", "cmo_hfox", "hfo2_gong2022")
    for name in PRESET_NAMES:
        model = preset(name)
        assert model.name == name
        assert model.citation and model.fitted and model.assumed
    assert preset().name == "hfox_wan2022"


def test_wan_at_the_published_times():
    model = preset("hfox_wan2022")
    one_second = model.program_sigma_uS(LEVELS_uS)
    np.testing.assert_array_equal(one_second.round(2), [0.35, 1.75, 2.26, 2.25, 2.02, 1.75, 1.53, 1.35, 1.10])
    one_day = np.hypot(one_second, model.relax_sigma_uS(LEVELS_uS, DAY_S))
    np.testing.assert_array_equal(one_day.round(2), [0.70, 2.76, 3.72, 4.00, 3.91, 3.66, 3.37, 3.06, 2.65])
    for g in LEVELS_uS:
        assert model.program_sigma_uS(g) == pytest.approx(wan_sigma(g, 1.0), rel=1e-12)
        for time in (DAY_S, 2 * DAY_S):
            added = math.sqrt(wan_sigma(g, time) ** 2 - wan_sigma(g, 1.0) ** 2)
            assert model.relax_sigma_uS(g, time) == pytest.approx(added, rel=1e-12)
    assert np.all(model.relax_mean_uS(LEVELS_uS, 1e6) == 0.0)


def test_wan_agrees_with_an_independent_fit_of_the_same_data():
    # The cubic published in CrossSim, valid to 39.26 uS; the two differ at zero and at full scale.
    g = np.linspace(5.0, 35.0, 100)
    cubic = 1.536e-4 * g**3 - 1.167e-2 * g**2 + 0.2374 * g + 1.053
    assert np.max(np.abs(preset("hfox_wan2022").program_sigma_uS(g) - cubic)) < 0.45


def test_relaxation_is_linear_in_the_logarithm_of_time():
    model = preset("hfox_wan2022")
    day = model.relax_sigma_uS(LEVELS_uS, DAY_S)
    for part in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(model.relax_sigma_uS(LEVELS_uS, DAY_S**part), part * day, rtol=1e-12)
    two_days = model.relax_sigma_uS(LEVELS_uS, 2 * DAY_S)
    between = model.relax_sigma_uS(LEVELS_uS, math.sqrt(2) * DAY_S)
    np.testing.assert_allclose(between, (day + two_days) / 2, rtol=1e-12)
    for age in (0.0, 1e-3, 1.0):
        assert np.all(model.relax_sigma_uS(LEVELS_uS, age) == 0.0)
    np.testing.assert_array_equal(model.relax_sigma_uS(LEVELS_uS, 1e9), two_days)
    ages = np.geomspace(1.0, DAY_S, 50)
    assert np.all(np.diff(model.relax_sigma_uS(20.0, ages)) > 0)


def test_milo():
    model = preset("hfo2_milo2021")
    np.testing.assert_array_equal(model.program_sigma_uS([50.0, 225.0]).round(2), [4.33, 2.73])
    g = np.linspace(50.0, 225.0, 11)
    np.testing.assert_allclose(model.program_sigma_uS(g), 4.782 - 0.009107 * g, rtol=1e-12)
    assert np.all(model.relax_sigma_uS(g, 1e6) == 0.0)
    assert model.read_sigma_uS(100.0) == pytest.approx(2.25)


def test_milo_current():
    # At 100 uS x = log10(G in S) = -4: the polynomials by hand, in A/V^2 and A/V^3.
    a2 = 1.388e-4 * -64 + 1.541e-3 * 16 + 5.711e-3 * -4 + 7.063e-3
    a3 = 8.871e-5 * 16 + 6.7919e-4 * -4 + 1.2968e-3
    for v in (-0.5, -0.2, 0.2, 0.5):
        expected = 100.0 * v + 1e6 * (a2 * v**2 + a3 * v**3)
        assert hfo2_milo2021_current_uA(100.0, v) == pytest.approx(expected, rel=1e-9)
    # Close to 0 V it is a resistor.
    assert hfo2_milo2021_current_uA(80.0, 1e-4) == pytest.approx(80.0e-4, rel=1e-3)
    assert hfo2_milo2021_current_uA([70.0, 80.0], 0.1).shape == (2,)


def test_cmo():
    model = preset("cmo_hfox")
    g = np.array([10.0, 50.0, 90.0])
    np.testing.assert_allclose(model.program_sigma_uS(g), 0.01122 + 0.01129 * g, rtol=1e-12)
    fine = preset("cmo_hfox", acceptance_percent=0.2)
    np.testing.assert_allclose(fine.program_sigma_uS(g), 8.1e-4 + 1.069e-3 * g, rtol=1e-12)
    for t in (1.0, 60.0, DAY_S, 1e8):
        np.testing.assert_allclose(model.relax_sigma_uS(g, t), 0.0420 * math.log(t) + 0.4118, rtol=1e-12)
        np.testing.assert_allclose(model.relax_mean_uS(g, t), -0.0890 * math.log(t), rtol=1e-12, atol=1e-15)
    assert round(float(model.relax_mean_uS(50.0, DAY_S)), 2) == -1.01
    assert round(float(model.relax_sigma_uS(50.0, DAY_S)), 2) == 0.89
    # Below 1 s, where nothing is published: no mean, and a spread that falls to 0.
    assert model.relax_mean_uS(50.0, 0.1) == 0.0
    assert 0.0 < model.relax_sigma_uS(50.0, 0.1) < 0.4118
    assert model.relax_sigma_uS(50.0, 5e-5) == 0.0
    read = 0.02773 * math.log10(50.0) * math.sqrt(math.log((1.0 + 1e-6) / 2e-6))
    assert model.read_sigma_uS(50.0, 1.0) == pytest.approx(read, rel=1e-12)
    assert model.read_sigma_uS(50.0, 0.0) == 0.0


def test_gong_and_ideal():
    gong = preset("hfo2_gong2022")
    assert (gong.stuck_fraction, gong.pulse_step, gong.pulse_step_spread) == (0.098, 0.46, 0.71)
    ideal = preset("ideal")
    for sigma in (
        ideal.program_sigma_uS(LEVELS_uS),
        ideal.relax_sigma_uS(LEVELS_uS, 1e6),
        ideal.read_sigma_uS(LEVELS_uS),
    ):
        assert sigma.shape == (9,) and np.all(sigma == 0.0)
    assert ideal.endurance_cycles == math.inf


def test_shapes_follow_the_arguments():
    model = preset()
    assert model.relax_sigma_uS(10.0, 5.0).shape == ()
    assert model.relax_sigma_uS(np.full((2, 3), 10.0), 5.0).shape == (2, 3)
    assert model.relax_sigma_uS(np.full((2, 1), 10.0), np.full(3, 5.0)).shape == (2, 3)
    assert preset("ideal").relax_mean_uS(np.full((2, 1), 10.0), np.full(3, 5.0)).shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: preset("hfox_wan2020"),
            "crossbar.preset = 'hfox_wan2020' is unknown; did you mean 'hfox_wan2022'? Known are ideal, hfox_wan2022,"
            " hfo2_milo2021, cmo_hfox, hfo2_gong2022",
        ),
        (
            lambda: preset("ideal", endurance_cylces=1e5),
            "crossbar.device.endurance_cylces is unknown; did you mean crossbar.device.endurance_cycles?",
        ),
        (
            lambda: preset("hfox_wan2022", acceptance_percent=0.2),
            "crossbar.device.acceptance_percent is unknown; did you mean",
        ),
        (
            lambda: preset("cmo_hfox", acceptance_percent=1),
            "crossbar.device.acceptance_percent = 1 has no published fit; choose 2 or 0.2",
        ),
        (
            lambda: preset("hfox_wan2022", g_high_uS=50.0),
            "crossbar.device.g_high_uS = 50 uS is outside 0..40 uS; stay within the range in which the fit holds",
        ),
        (
            lambda: preset("hfo2_milo2021", g_low_uS=49.0),
            "crossbar.device.g_low_uS = 49 uS is outside 50..225 uS; stay within the range in which the fit holds",
        ),
        (
            lambda: preset("hfox_wan2022", g_low_uS=30.0, g_high_uS=30.0),
            "crossbar.device.g_low_uS = 30 uS is not below crossbar.device.g_high_uS = 30 uS; lower it",
        ),
        (
            lambda: preset("ideal", endurance_cycles=10.0),
            "crossbar.device.endurance_cycles = 10 cycles is outside 1000..1e+10 cycles; give a median lifetime",
        ),
        (
            lambda: preset("ideal", breaks_uS=(40.0, 0.0)),
            "crossbar.device.breaks_uS = (40.0, 0.0) doesn't rise; sort it, each once",
        ),
        (
            lambda: preset("ideal", times_s=(0.0,)),
            "crossbar.device.times_s[0] = 0 s is outside 1e-09..1e+10 s; give a time after the write",
        ),
        (
            lambda: preset("ideal", spread_fit=(((0.0,), (0.0,)),)),
            "crossbar.device.spread_fit has shape (1, 2, 1); expected (1, 1, 1), a polynomial for each piece between"
            " breaks_uS and each of times_s; complete it",
        ),
        (
            lambda: preset("ideal", program_fit=((0.0, math.nan),)),
            "crossbar.device.program_fit[0, 1] = nan is not a number; correct the table",
        ),
        (
            lambda: preset("ideal", program_fit=((0.0, 1.0), (0.0,))),
            "crossbar.device.program_fit is no regular array of numbers",
        ),
        (
            lambda: preset("ideal", drift_fit=(((0.5,),),)),
            "crossbar.device.drift_fit[0] is not 0; give the shift since the first of times_s",
        ),
        (
            lambda: preset("hfox_wan2022").program_sigma_uS([1.0, 40.5]),
            "g_uS[1] = 40.5 uS is outside 0..40 uS; choose a target within the range of the preset hfox_wan2022",
        ),
        (
            lambda: preset("hfo2_milo2021").relax_sigma_uS(10.0, 1.0),
            "g_uS = 10 uS is outside 50..225 uS; choose a target within the range of the preset hfo2_milo2021",
        ),
        (
            lambda: preset().relax_sigma_uS(10.0, [1.0, -2.0]),
            "age_s[1] = -2 s is outside 0..1e+10 s; give the time since the write",
        ),
        (lambda: preset().program_sigma_uS(math.nan), "g_uS = nan is not a number"),
        (
            lambda: hfo2_milo2021_current_uA(50.0, 0.1),
            "g_uS = 50 uS is outside 62.5..110 uS; the current was measured in this range only",
        ),
        (
            lambda: hfo2_milo2021_current_uA(100.0, 0.6),
            "v_V = 0.6 V is outside -0.5..0.5 V; the current was measured in this range only",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(CrossbarError) as error:
        call()
    assert str(error.value).startswith(message)


TABLE = """level,mean_uS,sigma_uS,time_s
0,2.0,0.5,1
1,10.0,1.0,1
2,30.0,2.0,1
0,2.5,1.3,3600
1,9.0,2.6,3600
2,26.0,2.5,3600
"""


def written(tmp_path, text):
    path = tmp_path / "lot7.csv"
    path.write_text(text)
    return path


def test_table(tmp_path):
    model = table_model(written(tmp_path, TABLE), endurance_cycles=1e5)
    assert (model.name, model.g_low_uS, model.g_high_uS, model.endurance_cycles) == ("lot7", 2.0, 30.0, 1e5)
    np.testing.assert_allclose(model.program_sigma_uS([2.0, 6.0, 10.0, 25.0, 30.0]), [0.5, 0.75, 1.0, 1.75, 2.0])
    np.testing.assert_allclose(model.relax_sigma_uS([2.0, 10.0, 30.0], 3600.0), [1.2, 2.4, 1.5])  # 5-12-13, 3-4-5
    np.testing.assert_allclose(model.relax_sigma_uS(10.0, 60.0), 1.2)  # 60 = sqrt(3600)
    np.testing.assert_allclose(model.relax_mean_uS([2.0, 6.0, 10.0, 30.0], 3600.0), [0.5, -0.25, -1.0, -4.0])
    np.testing.assert_allclose(model.relax_mean_uS(30.0, 60.0), -2.0)
    assert model.relax_mean_uS(30.0, 1.0) == 0.0


def test_table_may_be_sorted_by_level(tmp_path):
    head, *rows = TABLE.splitlines()
    by_level = "\n".join([head, *sorted(rows, key=lambda row: row.split(",")[0])])
    assert table_model(written(tmp_path, by_level)) == table_model(written(tmp_path, TABLE))


def test_table_may_have_spaces_after_its_commas(tmp_path):
    spaced = table_model(written(tmp_path, TABLE.replace(",", ", ")))
    assert spaced == table_model(written(tmp_path, TABLE))


def test_table_of_a_published_fit_is_the_fit_at_its_levels(tmp_path):
    rows = [f"{i},{g},{float(wan_sigma(g, t))!r},{t}" for t in WAN for i, g in enumerate(LEVELS_uS)]
    model = table_model(written(tmp_path, "\n".join(["level,mean_uS,sigma_uS,time_s", *rows])))
    for age in (1.0, 500.0, DAY_S, 1e6):
        np.testing.assert_allclose(
            model.relax_sigma_uS(LEVELS_uS, age), preset().relax_sigma_uS(LEVELS_uS, age), rtol=1e-9
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sigma_uS", "sigma", "lot7.csv, line 1: column sigma_uS is missing; the columns are level, mean_uS, sigma_uS"),
        ("10.0,1.0", "10.0,nan", "lot7.csv, line 3: sigma_uS = nan uS is outside 0..100000 uS; give a standard dev"),
        (
            "10.0,1.0",
            "10.0,-1",
            "lot7.csv, line 3: sigma_uS = -1 uS is outside 0..100000 uS; give a standard deviation",
        ),
        ("10.0,1.0", "10.0,many", "lot7.csv, line 3: sigma_uS = 'many' is not a number; give one"),
        ("10.0,1.0,1\n", "10.0\n", "lot7.csv, line 3: sigma_uS = None is not a number; give one"),
        ("10.0,1.0", "-10.0,1.0", "lot7.csv, line 3: mean_uS = -10 uS is outside 0..100000 uS; give a conductance"),
        (
            "9.0,2.6,3600",
            "9.0,2.6,0.5",
            "lot7.csv, line 6: time_s = 0.5 s doesn't come after 1 s of the same level; sort the times, each once",
        ),
        ("9.0,2.6,3600", "9.0,2.6,0", "lot7.csv, line 6: time_s = 0 s is outside 1e-09..1e+10 s; give the time since"),
        ("1,9.0,2.6,3600\n", "", "lot7.csv: level 1 has other times than level 0; give every level at the same times"),
        ("10.0,1.0", "31.0,1.0", "lot7.csv: mean_uS at 1 s doesn't rise from level to level; sort the levels"),
        (TABLE[30:], "0,2.0,0.5,1\n", "lot7.csv: 1 level(s) are not enough to interpolate; give at least two"),
    ],
)
def test_table_errors(tmp_path, old, new, message):
    assert old in TABLE
    with pytest.raises(CrossbarError) as error:
        table_model(written(tmp_path, TABLE.replace(old, new)))
    assert str(error.value).startswith(message)
