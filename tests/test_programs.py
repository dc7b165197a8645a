"""Every program of `benchmarks` and every recipe of the Makefile runs, in its quick form, and changes nothing tracked.

Programs run in this process, where the libraries are loaded already; only what forks or counts threads starts others.
"""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import commands
from neurohil.cli import main as neurohil
from neurohil.errors import UserError

ROOT = Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "benchmarks").rglob("*.py"))}
PROGRAMS = [
    name.removesuffix(".py").replace("/", ".")
    for name, path in SOURCES.items()
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
RECIPES = [
    name
    for name in re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    if name not in ("help", "install", "lint", "clean", "test") and not name.startswith("test-")
]
ENVIRONMENT = "environment"  # of the recipes; there is none of that name, so that nothing is ever installed


def tracked():
    """What stands where results, figures and pages are tracked; and what quick runs have left in the checkout."""
    places = [*(ROOT / "benchmarks").rglob("*"), *(ROOT / "docs").rglob("*"), *(ROOT / "runs").glob("quick-*")]
    return {path: path.read_bytes() for path in places if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(autouse=True)
def nothing_tracked_changes(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and leaves there files of quick runs alone."""
    before, environment = tracked(), dict(os.environ)
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(environment)
    assert tracked() == before
    written = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()}
    assert all(folder == "runs" and name.startswith("quick-") for folder, name in written)


def table(output):
    """Rows of the Markdown tables in an output, as cells, without headings."""
    lines = [line.strip("|").split("|") for line in output.splitlines() if line.startswith("|")]
    lines = [[cell.strip("* ") for cell in line] for line in lines]
    rules = [k for k, line in enumerate(lines) if set("".join(line)) <= set("-| ")]
    return [line for k, line in enumerate(lines) if k not in rules and k + 1 not in rules]


def numbers(text):
    return [float(word) for word in re.findall(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?", text)]


def accuracy(output):
    ideal, chip = table(output)
    assert ideal[0].startswith("`yin_yang_weights") and chip[0].endswith(", each seed its chip`")
    for row in (ideal, chip):
        assert 40.0 < numbers(row[1])[0] <= 100.0 and row[5].endswith("of 3000")  # chance is 33.3 %
    saved = json.loads(Path("runs/quick-accuracy.json").read_text())
    assert [100 * result["test_accuracy"] for result in saved] == pytest.approx(
        [numbers(row[1])[0] for row in (ideal, chip)], abs=0.06
    )


def architecture(output):
    assert Path(output.strip()).read_bytes() == (ROOT / "docs/architecture.svg").read_bytes()


def bench(output):
    lines = output.splitlines()
    assert lines[-1] == "runs/quick-performance.md"
    rows = [
        row for path in Path("runs/quick-bench").glob("*.json") for row in json.loads(path.read_text()).get("rows", [])
    ]
    assert {row["subject"].split(",")[0] for row in rows} >= {"NeuroBench metrics", "crossbar forward", "IR drop"}
    for row in rows:
        first, *others = row["jobs"].values()
        assert first["times_ours"] == [1.0, 1.0, 1.0] and all(job["times_ours"][1] > 0.0 for job in others)
        assert row["agreement"] and all(row["absent"].values()) and not set(row["jobs"]) & set(row["absent"])
    page = Path("runs/quick-performance.md").read_text()
    assert all(row["subject"] in page for row in rows) and all(
        why in page for row in rows for why in row["absent"].values()
    )
    kernels = json.loads(Path("runs/quick-bench/roofline.json").read_text())["kernels"]
    assert all(0.0 < kernel["share"] < 1.0 for kernel in kernels)
    for line in json.loads(Path("runs/quick-bench/growth.json").read_text())["lines"]:
        assert line["name"] in page and min(line["values"]) > 0.0
    for picture in re.findall(r"\]\((\S+\.png)\)", page):
        assert Path("runs", picture).read_bytes()[:4] == b"\x89PNG"


def bench_peers(output):
    lines = output.splitlines()
    assert all(line.startswith("would install into ") for line in lines) and not Path(".venv-bench").exists()
    for peer in ("torch", "jax", "nest-simulator", "sanafe", "aihwkit", "badcrossbar", "neurobench", "brian2"):
        assert re.search(rf"[ :]{peer}==\d", output), peer


def calibration(output):
    *spreads, uncalibrated, calibrated, preset = table(output)
    assert len(spreads) == 6
    for _, before, after, ratio, limit in spreads:
        assert 0.0 < float(after) < float(before) and float(ratio) <= float(limit)
    assert all(33.4 < numbers(row[1])[0] <= 100.0 for row in (uncalibrated, calibrated, preset))
    assert re.search(r"(\d+) of 64 circuits excluded", output)


def chip_speed(output):
    rows = table(output)
    assert [row[0].split(", ")[0] for row in rows] == 2 * ["256 x 256"] + 2 * ["full chip"]
    for row in rows:
        inputs, events, spikes = (int(cell) for cell in row[1:4])
        assert events in (256 * inputs, 512 * inputs) and spikes > 100 and all(float(cell) > 0.0 for cell in row[4:])
    differences = [float(number) for number in re.findall(r"largest difference (\S+) us", output)]
    assert len(differences) == 3 * 4 and max(differences) < 1e-9


def crossbar_forward(output):
    rows = table(output)
    assert len(rows) == 5 and len({row[0] for row in rows}) == 5 and rows[0][3] == "1.0"
    for _, middle, between, _ in rows:
        low, high = numbers(between)
        assert 0.0 < low <= float(middle) <= high


def ir_drop(output):
    rows = table(output)
    assert [row[0] for row in rows] == ["8 x 8", "16 x 16"]
    assert all(float(row[1]) > 0.0 and float(row[2]) >= 0.0 for row in rows)


def metaplasticity(output):
    rows = table(output)
    assert [row[0] for row in rows] == ["`mnist_fashion_ideal`", "`mnist_fashion_crossbar`"]
    for row in rows:
        assert 25.0 < numbers(row[2].replace("*", ""))[0] <= 100.0 and row[4] == "1"  # Fashion-MNIST was learnt last


def metaplasticity_figures(output):
    rows = [row[0] for row in table(output)]
    assert rows[0] == "one shot, 1 s" and rows[-1] == "verified after 1 h, 10 days" and len(rows) == 3 * 6
    assert Path(output.splitlines()[-1]).read_bytes()[:4] == b"\x89PNG"


def metaplasticity_speed(output):
    rows = table(output)
    experiments = ["mnist_fashion_ideal"] * 2 + ["mnist_fashion_crossbar"] * 2
    assert [row[:2] for row in rows] == [[name, threads] for name, threads in zip(experiments, "1212", strict=True)]
    for _, _, products, epoch, ratio, state in rows:
        assert float(ratio) == pytest.approx(float(epoch) / float(products), rel=0.05)
        assert re.fullmatch("[0-9a-f]{12}", state)
    assert rows[0][5] == rows[1][5] != rows[2][5] == rows[3][5]  # same bits for any number of threads


def mutants(output):
    assert "1 mutants tested, 0 survived without a reason" in output
    assert "**Score: 1 of 1 mutants killed (100.0 %)" in Path("runs/quick-mutants/report.md").read_text()
    (result,) = map(json.loads, Path("runs/quick-mutants/seed13.jsonl").read_text().splitlines())
    assert result["result"] == "killed" and result["by"].startswith("tests/brainscales_emu/test_delay.py::")


def neurobench_speed(output):
    name, middle, between, ratio = table(output)[0]
    low, high = numbers(between)
    assert name == "this package, numpy" and 0.0 < low <= float(middle) <= high and ratio == "1.0"


def speed(output):
    ideal, chip = table(output)[:2]
    assert (ideal[0], chip[0]) == ("yin_yang_weights", "chip_yin_yang_axonal") and ideal[3] == "1.0"
    assert float(chip[3]) > 2.0  # an emulated chip takes ten times as long as closed forms


def trace_cost(output):
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == ["yin_yang_axonal", "mnist_fashion_ideal"]
    for line in lines:
        epoch_ms, trace_ms, share, once_ms, whole, bar = numbers(line.split(maxsplit=1)[1])
        assert 0.0 < trace_ms < epoch_ms and once_ms > 0.0 and 0.0 < whole < 100.0 and bar == 5.0
        assert share == pytest.approx(100.0 * trace_ms / epoch_ms, rel=0.05, abs=0.1)


def transfer(output):
    one, median = table(output)
    home, moved, again = (numbers(cell)[0] for cell in one[2:])
    assert one[:2] == ["1", "101"] and home > 36.0 and moved < home and again > moved
    assert [numbers(cell)[0] for cell in median[2:]] == [home, moved, again]


def w66f3(output):
    rows = table(output)
    assert [row[1] for row in rows] == len(rows) // 2 * ["with delays", "without delays"]
    measured = {(row[0], row[1]): float(row[2]) for row in rows}
    assert measured["mean offset", "with delays"] == -0.162 and measured["mean spread", "without delays"] == 0.107
    for row in rows:
        emulated, (low, high) = float(row[3]), numbers(row[4])
        assert low == emulated == high  # of a single serial
        assert not row[0].startswith("trial noise") or 0.002 < emulated < 0.1
        assert not row[0].startswith("missing") or 0.0 <= emulated < 50.0


def real_chips(output):
    rows = table(output)
    codes, demos = rows[:-11], rows[-11:]
    assert codes[0][:3] == ["leak: median", "668", "492"] and codes[-1][0] == "CADC offsets: std (LSB)"
    for row in codes:
        emulated, (low, high) = float(row[3]), numbers(row[4])
        assert low == emulated == high and row[5] == {"100%": "yes", "0%": "no"}[row[6]]  # of a single serial
    assert [row[0].split()[0] for row in demos] == 3 * ["ts_00"] + 8 * ["ts_06"]
    assert all(abs(float(row[2]) / float(row[1]) - 1.0) < 0.5 for row in demos)
    assert Path("runs/quick-real_chips.png").stat().st_size > 10_000


def chaotic(output):
    rows = {row[0]: row for row in table(output)}
    constant = float(rows["mean of the training points"][1])
    assert 0.0 < float(rows["esn"][1]) < 0.75 * constant and float(rows["esn_crossbar"][1]) > float(rows["esn"][1])
    written = sorted(path.name for path in Path("runs/quick-neurobench").iterdir())
    assert written == ["chaotic_esn_17.json", "chaotic_esn_crossbar_17.json"]


def leaderboard(output):
    assert output == "runs/quick-leaderboard.md is up to date\n"
    assert Path("runs/quick-leaderboard.md").read_bytes() == (ROOT / "docs/leaderboard.md").read_bytes()


def mnist_fashion(output):
    lines = output.splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines] == [
        "ideal weights",
        "emulated crossbar",
        "emulated chip in matrix mode",
    ]
    mnist, fashion, seeds = numbers(lines[0].partition(": ")[2])
    assert 15.0 < mnist <= 100.0 and 25.0 < fashion <= 100.0 and seeds == 1  # chance is 10 %
    for path in Path("runs/quick-neurobench").iterdir():
        assert json.loads(path.read_text())["metadata"]["quick"] == "seeds: 1 of 3, epochs: 1 of 8"


def qubo(output):
    rows = table(output)
    names = ["annealing", "tabu", "spiking"]
    assert [row[1].split(",")[0] for row in rows] == 2 * names and [row[0].split(",")[0] for row in rows[::3]] == [
        "10",
        "600",
    ]
    assert all(0.0 <= float(row[2]) <= 1.0 for row in rows)  # 1 after a few milliseconds of a busy machine
    assert float(rows[5][2]) < 0.5  # on the chip's own clock
    assert rows[2][1:3] == ["spiking, whole", "0.0000"] and rows[5][1] == "spiking, blocks of 240"


def yin_yang(output):
    lines = output.splitlines()
    assert len(lines) == 4 and sum("emulated, each seed its chip" in line for line in lines) == 2
    assert all(40.0 < numbers(line.rsplit(":", 2)[1])[0] <= 100.0 for line in lines)
    assert len(list(Path("runs/quick-neurobench").iterdir())) == 4


def run(program, *arguments):
    """Run a program in this process."""
    importlib.import_module(program).main(list(arguments))


def run_apart(program, *arguments):
    """Run it in a process of its own; returns what it prints."""
    done = subprocess.run([sys.executable, "-m", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.compiled
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_in_its_quick_form(program, capfd, monkeypatch):
    """The function above with the program's name says what must be found in its output."""
    check = globals()[program.rpartition(".")[2]]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if program == "benchmarks.mutants":  # it forks, and must have no threads
        output = run_apart(program, "--quick")
    else:
        run(program, "--quick")
        output = capfd.readouterr().out
    check(output)


def lines_of(recipe, *variables):
    """Command lines of a recipe, without variables of the environment, as words."""
    stamp = f"{ENVIRONMENT}/.installed"
    make = ["make", "--no-print-directory", "-n", "-o", stamp, recipe, f"VENV={ENVIRONMENT}", *variables]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "OUT", "SEED")}
    printed = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in printed.replace("\\\n", " ").splitlines()]
    return [words[next(k for k, word in enumerate(words) if "=" not in word) :] for words in lines]


@pytest.mark.parametrize("variable", ["QUICK=1", "FULL=1", "SEED=2"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_names_programs_that_are_there(recipe, variable):
    lines = lines_of(recipe, variable)
    assert lines
    for command, *words in lines:
        assert command in (f"{ENVIRONMENT}/bin/python", f"{ENVIRONMENT}/bin/neurohil")
        if command.endswith("python"):
            assert words[0] == "-m" and words[1] in PROGRAMS
            assert ("--quick" in words) == (variable == "QUICK=1")


@pytest.mark.compiled
@pytest.mark.parametrize("recipe", ["delgrad", "crossbar", "metaplasticity"])
def test_a_recipe_of_runs_runs_in_its_quick_form(recipe, capfd):
    """Twice: what a quick run wrote is replaced by the next one."""
    for _ in range(2 if recipe == "crossbar" else 1):
        for command, *words in lines_of(recipe, "QUICK=1"):
            assert command.endswith("/neurohil") and neurohil(words) == 0
            assert "nothing to do" not in capfd.readouterr().out
    written = {path.suffix for path in Path("runs").iterdir()}
    assert written == {".h5", ".png"}


def test_recipes_of_programs_give_them_quick_alone_or_run_as_they_stand(capsys):
    """So that the tests of programs above run all that recipes run."""
    others = set()
    for recipe in RECIPES:
        for command, *words in lines_of(recipe, "QUICK=1"):
            if command.endswith("python") and words[2:] != ["--quick"]:
                others.add(tuple(words[1:]))
    (page,) = others
    assert page[0] == "benchmarks.tasks.leaderboard"
    shutil.copytree(ROOT / "benchmarks/results", "runs/quick-neurobench")
    run(*page)
    leaderboard(capsys.readouterr().out)


def test_every_program_and_every_recipe_was_found():
    assert {"benchmarks.speed", "benchmarks.mutants", "benchmarks.tasks.qubo"} < set(PROGRAMS) and len(PROGRAMS) >= 20
    assert {"delgrad", "mutants", "accuracy", "chip-speed", "neurobench"} < set(RECIPES) and len(RECIPES) >= 13


# What stands at the name of a result


@pytest.mark.parametrize(
    ("program", "arguments", "name"),
    [
        ("accuracy", [], "quick-accuracy.json"),
        ("architecture", [], "quick-architecture.svg"),
        ("metaplasticity", [], "quick-metaplasticity.json"),
        ("tasks.leaderboard", [], "quick-leaderboard.md"),
        ("tasks.chaotic", [], "quick-neurobench/chaotic_esn_17.json"),
        ("tasks.qubo", [], "quick-neurobench/qubo_tabu.json"),
        ("tasks.yin_yang", [], "quick-neurobench/yin_yang_weights.json"),
        ("tasks.mnist_fashion", [], "quick-neurobench/mnist_fashion_ideal.json"),
    ],
)
def test_a_file_of_somebody_else_stays(program, arguments, name):
    """And that is said before anything is computed."""
    path = Path("runs") / name
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": 1}')
    with pytest.raises(SystemExit, match=rf"^{program.rpartition('.')[2]}: \S+ exists and .* so it stays"):
        run(f"benchmarks.{program}", "--quick", *arguments)
    assert path.read_text() == '{"mine": 1}' and [path] == [found for found in Path().rglob("*") if found.is_file()]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = Path("runs/quick-a.json")
    commands.write(path, "[1]", lambda _: False)
    commands.write(path, "[2]", lambda found: commands.holds(found, lambda content: content == [1]))
    assert path.read_text() == "[2]"
    with pytest.raises(UserError, match=r"exists and wasn't written by this command, so it stays"):
        commands.write(path, "[3]", lambda found: commands.holds(found, lambda content: content["a"] == 1))
    with pytest.raises(UserError, match=r"quick-a.json/below can't be written \("):
        commands.write(path / "below", "[4]", lambda _: True)
    assert path.read_text() == "[2]" and len(list(path.parent.iterdir())) == 1


def test_what_is_timed_is_what_was_called_and_is_put_back():
    ticks = iter([1.0, 3.0, 10.0, 15.0])
    seconds = []
    original = commands.runs
    with commands.timed(commands, "runs", seconds, lambda: next(ticks)):
        assert commands.runs("a", True) == Path("runs/quick-a")
        with pytest.raises(TypeError, match="missing 2 required"):
            commands.runs()
    assert seconds == [2.0, 5.0] and commands.runs is original


# Public names only, and one loop over epochs

OURS = ("brainscales_emu", "memristor", "neurohil", "benchmarks")
NAMED_TUPLES = ("_replace", "_asdict", "_fields")
LOOPS = ("train_epoch", "run_epoch")


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLES and name != "_"


def private_names(tree):
    """Names of ours that a file uses and that aren't public: imported, after a dot, or as a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            ours = node.__class__ is ast.Import or node.level or module.partition(".")[0] in OURS
            names = [part for alias in node.names for part in alias.name.split(".")] + module.split(".")
            yield from (name for name in names if ours and is_private(name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "os"):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"_[a-z]\w*", node.value):
            yield repr(node.value)


@pytest.mark.parametrize("name", SOURCES)
def test_benchmarks_use_public_names_only(name):
    tree = ast.parse(SOURCES[name].read_text(encoding="utf-8"))
    assert list(private_names(tree)) == []


def test_a_private_name_is_seen():
    source = "from neurohil.run import _a\nfrom neurohil._b import c\nrun._d()\nself._e\nrow._replace()\npatch(x, '_f')"
    assert list(private_names(ast.parse(source))) == ["_a", "_b", "run._d", "'_f'"]


@pytest.mark.parametrize("path", [*SOURCES.values(), *sorted((ROOT / "examples").glob("*.py"))], ids=lambda p: p.stem)
def test_the_loop_over_epochs_is_that_of_runs(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loops = [call for call in calls if isinstance(call, ast.Attribute) and call.attr in LOOPS]
    # What is timed is a trainer's epoch alone, without what a run does after it.
    assert not [call for call in loops if ast.unparse(call.value).split(".")[-1] != "trainer"]
