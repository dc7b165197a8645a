"""What is printed: text that can't steer a terminal, values that can't contradict their sentence; files of any kind."""

import ast
import codecs
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import brainscales_emu.errors
import memristor.errors
import neurohil
from neurohil.cli import main
from neurohil.config import experiment_text, parse, to_toml
from neurohil.errors import UserError
from neurohil.kinds import KINDS
from neurohil.probing.config import CrossbarExperiment
from neurohil.targets.matrix.crossbar import CrossbarTarget
from neurohil.text import exact, one_line, printable, say, shown

load, load_metaplasticity, load_crossbar = (
    KINDS[name].load for name in ("delgrad", "metaplasticity", "crossbar program")
)

HOSTILE = "\x1b[31mred\x07\r\x9b2J\u202eevil\u2066\u2028\x00\udcff\n"


def test_nothing_that_steers_a_terminal_is_left():
    assert one_line(HOSTILE).isprintable()
    assert printable("a\nb") == "a\nb" and one_line("a\nb") == r"a\nb"
    assert one_line("µ ± 漢字") == "µ ± 漢字"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_say_writes_to_any_terminal(encoding):
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding, newline="\n")
    say(f"µ {HOSTILE} ⠿", "second", file=stream)
    stream.flush()
    lines = content.getvalue().decode(encoding).split("\n")
    assert len(lines) == 3 and lines[1:] == ["second", ""]
    assert lines[0].isprintable() and r"\x1b[31mred\x07\r\x9b2J\u202eevil" in lines[0]


def test_nothing_else_in_the_package_prints():
    """print is called in the one module, and streams of the system are named by the command line alone."""
    package = Path(neurohil.__file__).parent
    for path in package.rglob("*.py"):
        place = path.relative_to(package).parts[0]
        allowed = {"text.py": {"print", "stdout"}}.get(place, set())
        if place == "cli":
            allowed = {"stdout", "stderr"}
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        used = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)} & {"print"}
        used |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and n.attr in ("stdout", "stderr")}
        assert used <= allowed, path


@pytest.mark.parametrize("write", [exact, brainscales_emu.errors.exact, memristor.errors.exact])
def test_numbers_read_back_as_themselves(write):
    values = [
        0.1,
        1.0,
        1.0000000001,
        0.30000000000000004,
        1e300,
        5e-324,
        -0.0,
        np.pi,
        1e-9,
        np.float32(0.1),
        float("inf"),
    ]
    assert all(float(write(value)) == value for value in values)
    assert (write(1.0), write(1e6), write(65_536), write(np.int64(7))) == ("1", "1e+06", "65536", "7")
    assert write(10**5000) == "about 1e5000" and write(-(10**400)) == "about -1e400"
    assert write(float("nan")) == "nan"


def test_values_are_shown_short():
    assert shown("x" * 10**6) == shown("x" * 100) and len(shown("x" * 100)) <= 80
    assert shown({"a": [1.0, True, None]}) == "{a = [1, true, none]}"
    assert len(shown([1.0] * 10**5)) <= 80 and shown(HOSTILE).isprintable()


@pytest.mark.parametrize(
    ("key", "value", "range_"),
    [
        ("target.rtn.share", "1.0000000001", "0..1"),
        ("target.recipe.tolerance_uS", "1000000.01", "0..1e+06"),
        ("target.wear.median_cycles", "999.9999999", "1000..1e+10"),
    ],
)
def test_a_message_never_contradicts_itself(key, value, range_):
    with pytest.raises(UserError, match=rf"^{key} = {value}.* is outside {range_.replace('+', '[+]')}"):
        load_crossbar("crossbar_9_levels", [f"{key}={value}"])


def test_a_message_about_two_values_tells_them_apart():
    with pytest.raises(UserError, match=r"first_cycles = 10000000.001 is not below age.last_cycles = 1e\+07"):
        _ = KINDS["crossbar age"].start(load_crossbar("crossbar_9_levels", ["age.first_cycles=10000000.001"])).result


# Words of messages, typed as the messages have them.


@pytest.mark.parametrize("none", ["none", "None", "NONE", '"none"'])
def test_none_leaves_a_key_out(none):
    assert load("yin_yang_weights", ["data.bias_time=0.5", f"data.bias_time={none}"]).data.bias_time is None
    training = ["training.ewc={}", f"training.ewc={none}"]
    assert load_metaplasticity("mnist_fashion_ideal", training).training.ewc is None
    target = load_crossbar("crossbar_9_levels", [f"target.wires={none}", f"target.table={none}"]).target
    assert target.wires is None and target.table is None
    # "choose a resolution, or none for an ideal converter"
    changes = [f"target.{key}={none}" for key in ("adc.bits", "dac.bits", "adc.range_uA", "wear.median_cycles")]
    config = CrossbarTarget(load_crossbar("crossbar_9_levels", changes).target, [(2, 2)]).controller.crossbars[0].config
    assert config.adc.bits is config.dac.bits is config.adc.range_uA is config.wear.median_cycles is None


@pytest.mark.parametrize("inf", ["inf", "Inf", "+INF"])
def test_inf_means_no_limit_where_a_message_says_so(inf):
    # "give a median lifetime, or inf for devices that don't wear"
    config = load_crossbar("crossbar_9_levels", [f"target.device.endurance_cycles={inf}"])
    assert parse(to_toml(config), CrossbarExperiment) == config
    target = CrossbarTarget(config.target, [(2, 2)])
    assert target.controller.crossbars[0].config.device.endurance_cycles == np.inf
    assert load("yin_yang_weights", [f"training.max_dw={inf}"]).training.max_dw == np.inf
    with pytest.raises(UserError, match=r"training.bump = inf is not a finite number; give float > 0"):
        load("yin_yang_weights", [f"training.bump={inf}"])


@pytest.mark.parametrize(
    ("load_config", "name", "typed", "path"),
    [
        (load, "yin_yang_weights", "batch=3", "training.batch"),
        (load, "chip_yin_yang_weights", "target.seral=3", "target.serial"),
        (load, "yin_yang_weights", "network.batch=3", "training.batch"),
        (load_metaplasticity, "mnist_fashion_ideal", "training.strenght=3", "training.strength"),
        (load_crossbar, "crossbar_9_levels", "target.tabel=x", "target.table"),
        (load_crossbar, "crossbar_9_levels", "aged_s=3", "program.aged_s"),
    ],
)
def test_unknown_keys_name_the_nearest_with_its_path(load_config, name, typed, path):
    with pytest.raises(UserError, match=rf"unknown key {typed.partition('=')[0]}, did you mean '{path}'\?"):
        load_config(name, [typed])


# Files

TEXT = experiment_text("delgrad", "yin_yang_weights")


@pytest.mark.parametrize("content", [codecs.BOM_UTF8 + TEXT.encode(), TEXT.replace("\n", "\r\n").encode()])
def test_a_byte_order_mark_and_ends_of_lines_of_windows_are_taken(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    plain = load("yin_yang_weights")
    assert load(str(tmp_path / "mine.toml")).network == plain.network


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("utf-16"), "it is in UTF-16; save it in UTF-8"),
        (TEXT.replace("Ideal", "Idéal").encode("latin-1"), "byte 0xe9 in line 1 is no UTF-8; save it in UTF-8"),
        (b"summary = 'x'\n\x00\x01\x02", "it holds zero bytes, so it is no text"),
        (b"# \n" * 50_000, "it has 150000 bytes, allowed are 65536; is it an experiment at all?"),
        (b"", "missing key summary; add it to the experiment"),
        (TEXT.encode() + b"x = " + b"[" * 5000 + b"]" * 5000, "the experiment is nested too deeply"),
        (TEXT.encode() + b"x = " + b"{a=" * 5000 + b"1" + b"}" * 5000, "the experiment is nested too deeply"),
        (b".".join([b"a"] * 30_000) + b" = 1", "the experiment is nested too deeply"),
        (TEXT.encode() + b"x = " + b"9" * 5000, "the experiment has an integer of thousands of digits"),
        (b"seed = 1\nseed = 2\n", "the experiment is not valid TOML: Cannot overwrite a value (at line 2"),
        (b"seed = 1e999\n" + TEXT.encode().replace(b"seed = 1\n", b""), "seed = inf is not a finite number; give int"),
        (b"summary = '\x1b[31m'\n", "the experiment is not valid TOML: Found invalid character"),
    ],
)
def test_other_files_are_answered_in_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert main(["delgrad", str(path)]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and told[:-1].isprintable() and len(told) < 600


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pipes_and_directories_are_no_experiments_or_tables(tmp_path, make):
    make(path := str(tmp_path / "odd.toml"))
    with pytest.raises(UserError, match=r"it is a (pipe or device|directory); give the path of a TOML file"):
        load(path)
    config = load_crossbar("crossbar_9_levels", [f"target.table={path}"])
    with pytest.raises(UserError, match=r"^target.table = .* cannot be read: it is no regular file; give the path"):
        CrossbarTarget(config.target, [(2, 2)])


def test_hostile_names_reach_no_terminal(tmp_path, capsys):
    name = "\x1b[31mred\u202e\n"
    for arguments in (
        ["delgrad", name],
        ["delgrad", f"{tmp_path}/{name}.toml"],
        ["delgrad", "yin_yang_weights", "--set", f"{name}=3"],
        ["delgrad", "yin_yang_weights", "--set", f"training.batch={name}"],
        ["crossbar", "program", name],
        ["crossbar", "age", "--set", f"target.device.{name}=3"],
        ["trace", "ls", f"{tmp_path}/{name}.h5"],
    ):
        assert main(arguments) == 2
        told = capsys.readouterr()
        assert all(line.isprintable() for line in (told.out + told.err).splitlines()), arguments
        assert (told.out + told.err).count("\n") == 1 and "\\x1b" in told.err
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["delgrad", "yin_yang_weights", f"--{name}"])
    assert "\x1b" not in capsys.readouterr().err


def test_the_name_of_a_file_becomes_the_name_of_the_experiment(tmp_path):
    path = tmp_path / 'my "best" one\x1b.toml'
    path.write_text(TEXT)
    assert load(str(path)).experiment == 'my "best" one\\x1b'
