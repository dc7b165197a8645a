"""A chip with values that somebody measured, and codes from a table: what is taken, and what is refused."""

import codecs

import h5py
import numpy as np
import pytest

from brainscales_emu import (
    Calibration,
    Chip,
    ChipError,
    MeasuredCircuits,
    Network,
    SpikeSourceArray,
    preset,
    read_codes,
)
from brainscales_emu.calibration.codes import VENDOR_NAMES
from brainscales_emu.capmem import PARAMETERS, Codes
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.readout.adc import Cadc, CadcConfig

TABLE = "circuit,tau_mem_us,threshold_lsb\n3,7.5,140\n500,,160\n"


@pytest.fixture
def file(tmp_path):
    """A file with this content."""

    def make(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def test_measured_values_take_the_place_of_those_drawn_and_nothing_else(file):
    drawn = draw_fixed_pattern(preset("uncalibrated"), 7)
    pattern = Chip("uncalibrated", serial=7, measured=MeasuredCircuits.load(file(TABLE))).fixed_pattern
    expected = {"tau_mem_us": {3: 7.5}, "threshold_lsb": {3: 140.0, 500: 160.0}}
    for name, values in vars(drawn).items():
        values = values.copy()
        for circuit, value in expected.get(name, {}).items():
            assert values[circuit] != value
            values[circuit] = value
        np.testing.assert_array_equal(getattr(pattern, name), values)


def test_a_measured_membrane_is_what_the_neuron_does(file):
    """Of a pulse into the ideal chip a slow circuit forgets less: the tail falls with the time constant given."""
    table = "circuit,tau_mem_us,tau_syn_exc_us\n0,20,0.3\n1,5,0.3\n"
    net = Network(Chip("ideal", measured=MeasuredCircuits.load(file(table))))
    stimulus = net.Population(1, SpikeSourceArray(times_us=5.0 + 0.1 * np.arange(20)))
    neurons = net.Population(2)
    net.Projection(stimulus, neurons, weight=63)
    net.record(neurons, ["v"])
    net.run(until_us=80.0)
    times, readings = net.v(neurons)
    above = readings - 80.0
    late = (times > 20.0) & (times < 40.0)
    assert above[0][late].mean() > 2.0 * max(above[1][late].mean(), 0.5)


@pytest.mark.parametrize(
    "text",
    [
        codecs.BOM_UTF8.decode() + TABLE,
        "# by hand\n\n" + TABLE.replace("\n", "\r\n"),
        TABLE.replace(",", ";").replace("7.5", "7,5"),
        TABLE.replace(",", "\t"),
        'circuit , "tau_mem_us",threshold_lsb\n500,nan,160\n 3, 7.5 ,1.4e2\n,,\n',
    ],
    ids=["mark", "comments", "semicolons and decimal commas", "tabs", "quotes, blanks, any order"],
)
def test_all_forms_of_a_table_say_the_same(file, text):
    expected, found = MeasuredCircuits.load(file(TABLE)), MeasuredCircuits.load(file(text, "other.csv"))
    assert expected.counts() == {"threshold_lsb": 2, "tau_mem_us": 1}
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values)


@pytest.mark.parametrize("numbered", [True, False])
def test_hdf5_says_the_same_as_a_table(file, tmp_path, numbered):
    expected = MeasuredCircuits.load(file(TABLE))
    with h5py.File(tmp_path / "own.h5", "w") as out:
        if numbered:
            out["circuit"], out["tau_mem_us"], out["threshold_lsb"] = [500, 3], [np.nan, 7.5], np.array([160, 140])
        else:
            out["tau_mem_us"], out["threshold_lsb"] = expected.tau_mem_us, expected.threshold_lsb
    found = MeasuredCircuits.load(tmp_path / "own.h5")
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "circuit,tau_mem_us\n7,6e-6\n",
            r"own\.csv: tau_mem_us\[7\] = 6e-06 us is outside 0\.5\.\.60 us; give it in us",
        ),
        ("circuit,leak_lsb\n7,300\n", r"leak_lsb\[7\] = 300 LSB is outside 0\.\.255 LSB"),
        ("circuit,gain_exc\n7,inf\n", r"gain_exc\[7\] = inf.* is outside 0\.01\.\.10"),
        ("circuit,tau_mem_us\n512,6\n", r"own\.csv has circuit = 512; circuits have whole numbers 0\.\.511"),
        ("circuit,tau_mem_us\n1.5,6\n", "has circuit = 1.5"),
        ("circuit,tau_mem_us\n,6\n", "has circuit = nan"),
        ("circuit,tau_mem_us\n1,6\n1,7\n", "has circuit 1 more than once; keep one of its rows"),
        ("circuit,tau_mem_us\n1,six\n", "line 2: tau_mem_us = 'six' is no number; correct it, or leave the cell empty"),
        ("circuit,tau_mem_us\n1,1_0\n", "'1_0' is no number"),
        ("circuit,tau_mem_us\n# fast\n1,6,7\n", "line 3 has 3 cells, but the header 2; fill it up"),
        ("circuit,tau_mem\n1,6\n", "has an unknown column 'tau_mem'; known are circuit, leak_lsb"),
        ("circuit,tau_mem_us,tau_mem_us\n1,6,7\n", "has two columns 'tau_mem_us'"),
        ("circuit,\n1,6\n", "has a column without a name"),
        ("circuit\n1\n", "has no column of values; known are"),
        ("tau_mem_us,leak_lsb\n6,80\n", "has no column 'circuit' in its header tau_mem_us, leak_lsb; add it"),
        ("circuit,tau_mem_us\n", "has no rows; give a header and a row per circuit"),
        ("", "has no rows"),
        ('circuit,tau_mem_us\n1,"6\n2,7\n', "line 2 is no row of a table"),
        (b"\xff\xfe\x00", "is no text in UTF-8 and no HDF5 file"),
    ],
)
def test_a_bad_table_is_refused_with_the_place(file, text, told):
    with pytest.raises(ChipError, match=told):
        MeasuredCircuits.load(file(text))


def test_bad_hdf5_and_no_file_are_refused(tmp_path):
    with pytest.raises(ChipError, match=r"measured file .*nowhere.csv doesn't exist"):
        MeasuredCircuits.load(tmp_path / "nowhere.csv")
    for content, told in (
        ({"tau_mem_us": np.ones(511)}, "doesn't say which circuits it is about"),
        ({"tau_mem_us": np.ones(513)}, "has length 513"),
        ({"tau_mem_us": np.ones(3), "circuit": np.arange(4)}, "tau_mem_us has length 3, but circuit 4"),
        ({"tau_mem_us": np.ones((512, 1))}, "no one-dimensional dataset of numbers"),
        ({"more/tau_mem_us": np.ones(512)}, "more is no one-dimensional dataset"),
        ({"tau_mem_us": np.full(512, 99.0)}, r"tau_mem_us\[0\] = 99 us is outside"),
    ):
        with h5py.File(tmp_path / "own.h5", "w") as out:
            for name, values in content.items():
                out[name] = values
        with pytest.raises(ChipError, match=told):
            MeasuredCircuits.load(tmp_path / "own.h5")
    damaged = (tmp_path / "own.h5").read_bytes()[:600]
    (tmp_path / "own.h5").write_bytes(damaged)
    with pytest.raises(ChipError, match="can't be read"):
        MeasuredCircuits.load(tmp_path / "own.h5")


def test_a_threshold_below_the_reset_of_its_circuit_is_refused(file):
    with pytest.raises(ChipError, match=r"measured.threshold_lsb\[9\] = 70 LSB is not above reset_lsb = 80 LSB"):
        Chip("ideal", measured=MeasuredCircuits.load(file("circuit,threshold_lsb\n9,70\n")))
    with pytest.raises(ChipError, match=r"chip\.measured is a str; give MeasuredCircuits"):
        Chip("ideal", measured="own.csv")


def test_a_chip_shows_what_was_measured(file):
    chip = Chip("calibrated", measured=MeasuredCircuits.load(file(TABLE)))
    assert "measured threshold_lsb, tau_mem_us" in repr(chip)
    assert repr(chip.measured) == "<MeasuredCircuits: threshold_lsb 2, tau_mem_us 1>"


def test_measured_offsets_are_those_of_the_converter(file):
    table = file("circuit,cadc_offset_causal,cadc_offset_acausal\n3,25,\n4,,-25\n")
    config, measured = CadcConfig(noise_std_lsb=0.0), MeasuredCircuits.load(table)
    at = np.full((512, 1), 100.0)
    drawn, own = Cadc(config, 5, 1), Cadc(config, 5, 1, measured)
    for channel, circuit, reading in (("causal", 3, 125), ("acausal", 4, 75)):
        expected = drawn.convert(at, np.arange(512), 1, channel)
        expected[circuit] = reading
        np.testing.assert_array_equal(own.convert(at, np.arange(512), 1, channel), expected)
    # The network's converter measures its offsets first, as a user of the chip does.
    net = Network(Chip("ideal", measured=measured))
    readings = [net.cadc.convert(at, np.arange(512), 1, channel).mean() for channel in ("causal", "acausal")]
    np.testing.assert_allclose(readings, 100.0, atol=0.5)


def codes_table(names=VENDOR_NAMES, more="", rows=512):
    rng = np.random.default_rng(1)
    codes = Codes(**{name: rng.integers(0, 1023, 512) for name in PARAMETERS})
    lines = ["circuit," + ",".join(names[name] for name in PARAMETERS) + (f",{more}" if more else "")]
    for circuit in range(rows):
        cells = [circuit, *(getattr(codes, name)[circuit] for name in PARAMETERS), *(["0"] if more else [])]
        lines.append(",".join(map(str, cells)))
    return codes, "\n".join(lines)


@pytest.mark.parametrize("names", [VENDOR_NAMES, {name: name for name in PARAMETERS}], ids=["vendor's", "ours"])
def test_codes_come_from_a_table(file, names):
    expected, text = codes_table(names, more="block")
    found = read_codes(file(text))
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_codes_come_from_a_saved_calibration(tmp_path):
    codes, _ = codes_table()
    nothing = dict.fromkeys(PARAMETERS, np.zeros(0))
    empty = np.zeros(0, dtype=np.int64)
    success = {name: np.zeros(0, dtype=bool) for name in PARAMETERS}
    found = Calibration(
        codes, np.zeros((2, 512), dtype=np.int64), empty, dict.fromkeys(PARAMETERS, 1.0), nothing, success
    )
    found.save(tmp_path / "found.h5")
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(read_codes(tmp_path / "found.h5"), name), getattr(codes, name))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("i_leak", "i_leek"), "has no column tau_mem or i_leak; give each"),
        (lambda text: text.replace(",exc_gm", ",tau_mem"), "has both tau_mem and i_leak"),
        (
            lambda text: "\n".join(text.splitlines()[:-1]),
            "has no leak of 1 of 512 circuits, the first is 511; give every",
        ),
        (lambda text: text + "x", "is no number"),
        (lambda text: text.rpartition(",")[0] + ",1023", r"csv: gain_inh\[511\] = 1023 is outside 0\.\.1022; clip"),
        (lambda text: text.rpartition(",")[0] + ",7.5", r"inh_gm\[511\] = 7.5 is no code; codes are whole numbers"),
    ],
)
def test_bad_codes_are_refused(file, change, told):
    with pytest.raises(ChipError, match=told):
        read_codes(file(change(codes_table()[1])))


def test_measured_values_win_over_codes(file):
    codes, _ = codes_table()
    measured = MeasuredCircuits.load(file(TABLE))
    made = Chip("uncalibrated", 2, 1, codes.replace(threshold=500, reset=100)).fixed_pattern
    both = Chip("uncalibrated", 2, 1, codes.replace(threshold=500, reset=100), measured).fixed_pattern
    assert both.tau_mem_us[3] == 7.5 != made.tau_mem_us[3]
    np.testing.assert_array_equal(np.delete(both.tau_mem_us, 3), np.delete(made.tau_mem_us, 3))
