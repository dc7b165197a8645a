"""How many files a change touches: each row of CONTRIBUTING's table, done in a copy of the packages, and run."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("brainscales_emu", "memristor", "neurohil", "benchmarks")
TABLE = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M))


def new(text):
    """The text of a new file."""
    return textwrap.dedent(text).lstrip()


def changed(path, *pairs):
    """The text of a file with every first of a pair replaced by the second."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for old, now in pairs:
        assert text.count(old) == 1, (path, old)
        text = text.replace(old, now)
    return text


# What is added, file by file, and what is run in the copy: it prints what the test below expects.
ROWS = {}
ROWS["device preset"] = {
    "memristor/presets.py": changed(
        "memristor/presets.py",
        (
            "        _CMO,\n",
            '        _CMO,\n        replace(_WAN, name="mine2030", citation="nobody, 2030", g_high_uS=30.0),\n',
        ),
    ),
    "run": """
        import memristor
        import neurohil as nh
        from neurohil.cli import main

        assert "mine2030" in memristor.PRESET_NAMES
        assert "mine2030" in repr(memristor.Crossbar((4, 3), device="mine2030"))
        words = "crossbar program --out device.h5 --set target.preset=mine2030"
        assert main([*words.split(), "--set", "target.array={tile_rows = 8, tile_columns = 8}"]) == 0
        assert 'preset = "mine2030"' in nh.open("device.h5").config
    """,
}
ROWS["chip preset"] = {
    "brainscales_emu/config.py": changed(
        "brainscales_emu/config.py",
        ("_PRESETS = {\n", '_PRESETS = {\n    "mine": ChipConfig(noise=NoiseConfig(weight_std=0.3)),\n'),
    ),
    "run": """
        import neurohil as nh
        from brainscales_emu import Chip
        from neurohil.cli import main

        assert Chip("mine", serial=7).config.noise.weight_std == 0.3 and "mine" in repr(Chip("mine", serial=7))
        words = "delgrad chip_yin_yang_axonal --epochs 1 --set target.preset=mine --out chip.h5 --set network.hidden=3"
        assert main([*words.split(), *OWN]) == 0
        assert 'preset = "mine"' in nh.open("chip.h5").config
    """,
}
ROWS["target"] = {
    "neurohil/targets/spiking/sluggish.py": new("""
        import msgspec

        from neurohil.ranges import Share
        from neurohil.targets.spiking.ideal import IdealTarget

        class SluggishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sluggish", tag_field="kind"):
            raised: Share = 0.0

            def build(self, network, seed):
                return SluggishTarget((1.0 + self.raised) * network.threshold, network.tau_ratio)

        class SluggishTarget(IdealTarget):
            label = "sluggish neurons"
    """),
    "run": """
        from neurohil.cli import main

        words = "delgrad yin_yang_weights --epochs 1 --out target.h5 --set target.kind=sluggish --set target.raised=0.1"
        assert main([*words.split(), *OWN]) == 0
        assert main(["delgrad", "yin_yang_weights", "--set", "target.kind=slugish"]) == 2
    """,
    "says": "sluggish neurons",
}
ROWS["data set"] = {
    "neurohil/datasets/corners.py": new("""
        import msgspec
        import numpy as np

        from neurohil.datasets.spike_times import Samples, SpikeTimes
        from neurohil.ranges import Count

        class Corners(msgspec.Struct, frozen=True):
            n: Count = 12

            def build(self):
                labels = np.arange(self.n) % 4
                times = np.column_stack([0.3 + labels % 2, 0.3 + labels // 2, np.full(self.n, 0.5)])
                return SpikeTimes(*[Samples(times, labels)] * 3, classes=("here", "there", "up", "down"))
    """),
    "run": """
        from neurohil.cli import main

        words = "delgrad yin_yang_axonal --epochs 1 --out data.h5 --set network.hidden=3"
        kind = "data.kind=neurohil.datasets.corners:Corners"
        assert main([*words.split(), "--set", kind, "--set", "data.n=8", "--set", "training.max_missing=[1, 1]"]) == 0
        assert main(["trace", "plot", "data.h5", "run/decisions"]) == 0
    """,
    "says": "of 32 in the test",
}
ROWS["loss"] = {
    "neurohil/delgrad/losses.py": changed(
        "neurohil/delgrad/losses.py",
        (
            "AnyLoss = ",
            new("""
            class Earliest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="earliest", tag_field="kind"):
                \"\"\"The right output shall spike early.\"\"\"

                weight: Scale = 1.0

                def __call__(self, times: Floats, labels: NDArray[np.int64]) -> Loss:
                    return earliest(times, labels, self.weight)

                def decide(self, times: Floats) -> NDArray[np.int64]:
                    return first_spike_class(times)


            AnyLoss = """).rstrip("\n"),
        ),
        ("lambda: (ShiftInvariantMse, ", "lambda: (Earliest, ShiftInvariantMse, "),
        (
            "def first_spike_class(",
            new("""
            def earliest(times: ArrayLike, labels: ArrayLike, weight: float) -> Loss:
                \"\"\"L = weight t_*, a silent right output costs 100.\"\"\"
                times, labels, rows = _checked(times, labels)
                right = times[rows, labels]
                gradient = np.zeros_like(times)
                gradient[rows, labels] = np.where(np.isfinite(right), weight / len(times), 0.0)
                return Loss(np.where(np.isfinite(right), weight * right, SILENT_LOSS), gradient)


            def first_spike_class(""").rstrip("\n"),
        ),
    ),
    "run": """
        import neurohil as nh
        from neurohil.cli import main

        words = "delgrad yin_yang_weights --epochs 1 --out loss.h5 --set training.loss.kind=earliest"
        assert main([*words.split(), "--set", "training.loss.weight=0.5", *OWN]) == 0
        assert 'kind = "earliest"' in nh.open("loss.h5").config
        assert main(["delgrad", "yin_yang_weights", "--set", "training.loss.kind=latest"]) == 2
    """,
}
ROWS["consolidation rule"] = {
    "neurohil/metaplasticity/consolidation.py": changed(
        "neurohil/metaplasticity/consolidation.py",
        ('Rule = Literal["inner_threshold", ', 'Rule = Literal["cubic", "inner_threshold", '),
        ('    if rule == "bnn":\n', '    if rule == "cubic":\n        return x * x * x\n    if rule == "bnn":\n'),
        ('    slopes = {"inner', '    slopes = {"cubic": 0.0, "inner'),
    ),
    "neurohil/metaplasticity/kernels.py": changed(
        "neurohil/metaplasticity/kernels.py",
        ('"none": 3}', '"none": 3, "cubic": 4}'),
        ("_BNN = 0, 1, 2\n", "_BNN = 0, 1, 2\n_CUBIC = 4\n"),
        (
            "    elif rule == _BNN:\n",
            "    elif rule == _CUBIC:\n        for i in range(n):\n            x = hidden[i] * grid.inverse_step\n"
            "            distance[i] = x * x * x\n    elif rule == _BNN:\n",
        ),
    ),
    "run": """
        import numpy as np

        import neurohil as nh
        from neurohil.metaplasticity import consolidation, kernels
        from neurohil.metaplasticity.quantizer import Quantizer

        changes = dict(tasks={"data_sets": ["mine:Bars"]}, network={"hidden": [4]})
        training = {"rule": "cubic", "batch": 10, "test_batch": 10}
        run = nh.train("mnist_fashion_ideal", epochs=1, training=training, progress=False, **changes)
        assert run.config.training.rule == "cubic" and run.result.test_accuracy.keys() == {"Bars"}
        found = []
        for update in (consolidation.update, kernels.update):
            hidden, mean, square, gradient = np.linspace(-1, 1, 4 * 9, dtype=np.float32).reshape(4, 9) * np.float32(0.3)
            levels, events = Quantizer().to_levels(hidden), np.zeros(9, dtype=np.int32)
            update(hidden, mean, square * square, gradient, levels, events, "cubic", 2.0, 0.01, 0.0, 0.5, Quantizer())
            found.append(hidden)
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    """,
}
ROWS["learning algorithm"] = {
    "neurohil/kinds.py": changed(
        "neurohil/kinds.py",
        (
            "_ALL = (\n",
            new("""
            _ALL = (
                Kind(
                    name="perceptron",
                    summary="a perceptron on one target",
                    description="Learn to tell two kinds of bars apart.",
                    folder="perceptron",
                    run="neurohil.perceptron.run:PerceptronRun",
                    picture="neurohil.perceptron.picture:draw_perceptron",
                    options=(_SEED, _EPOCHS),
                    table="bars",
                ),
            """),
        ),
    ),
    "neurohil/experiments/perceptron/bars.toml": new("""
        summary = "Two kinds of bars"
        seed = 1
        epochs = 4

        [bars]
        n = 40
    """),
    "neurohil/perceptron/__init__.py": '"""A perceptron."""\n',
    "neurohil/perceptron/trace.py": new("""
        from neurohil.protocols import Provenance
        from neurohil.trace.schema import EPOCH, EPOCH_AXIS, RUN, Array, Layout, Plot, group_of, name_of

        ACCURACY = f"{RUN}/accuracy/accuracy"

        def layout():
            curve = Array(name_of(ACCURACY), (EPOCH,), (None,), "float64", "1", "accuracy", fill=lambda _, epoch: epoch)
            last = Array("accuracy", (), (), "float64", "1", "accuracy at the end", fill=lambda _, end: end)
            plot = Plot(group_of(ACCURACY), "Accuracy", curve, (EPOCH_AXIS,))
            return Layout((plot,), (last,), "perceptron", provenance=Provenance("computed", "By numpy."))
    """),
    "neurohil/perceptron/run.py": new("""
        import msgspec
        import numpy as np

        from neurohil.perceptron.trace import layout
        from neurohil.ranges import Count, Seed
        from neurohil.run import Run, Summary
        from neurohil.seeds import stream

        class Bars(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
            n: Count

        class PerceptronConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
            summary: str
            seed: Seed
            epochs: Count
            bars: Bars
            experiment: str = "unnamed"

        class PerceptronRun(Run[PerceptronConfig]):
            command = "perceptron"
            Config = PerceptronConfig

            def __init__(self, config):
                super().__init__(config)
                self.x = stream(config.seed, "bars").normal(size=(config.bars.n, 3))
                self.y = np.sign(self.x[:, 0])
                self.weights, self.done = np.zeros(3), 0

            make_layout = staticmethod(layout)
            epochs_done = property(lambda self: self.done)
            epochs_in_all = property(lambda self: self.config.epochs)

            def train_epoch(self):
                for x, y in zip(self.x, self.y, strict=True):
                    self.weights += 0.1 * (y - np.sign(x @ self.weights)) * x
                self.done += 1
                return self.conclude()

            def conclude(self):
                return float(np.mean(np.sign(self.x @ self.weights) == self.y))

            def state(self):
                return np.append(self.weights, self.done)

            def load_state(self, state):
                self.weights, self.done = state[:3], int(state[3])

            def values(self, end):
                return {"accuracy": end}

            def facts(self):
                return {"experiment": self.config.experiment}

            def summary(self, values):
                return Summary("perceptron", [("accuracy", f"{values['accuracy']:.0%}")])
    """),
    "neurohil/perceptron/picture.py": new("""
        from neurohil.perceptron.trace import ACCURACY
        from neurohil.pictures import new_figure, own_style, save
        from neurohil.trace.reader import open_finished

        def draw_perceptron(trace_path, png_path):
            with open_finished(trace_path) as trace, own_style():
                figure = new_figure(4, 3)
                figure.subplots().plot(trace[ACCURACY])
                save(figure, png_path)
    """),
    "run": """
        import os

        import neurohil as nh
        from neurohil.cli import main
        from neurohil.stopping import StopRequest

        assert main(["perceptron", "--list"]) == 0
        assert main(["perceptron", "bars", "--out", "straight.h5"]) == 0
        going_on, StopRequest.__call__ = StopRequest.__call__, lambda self: True
        assert main(["perceptron", "bars", "--out", "stopped.h5"]) == 130
        StopRequest.__call__ = going_on
        assert main(["perceptron", "--resume", "stopped.h5.part"]) == 0
        assert open("straight.h5", "rb").read() == open("stopped.h5", "rb").read() and os.path.exists("stopped.png")
        assert nh.train("bars", epochs=2, seed=3, progress=False).result.accuracy > 0.9
        assert main(["trace", "ls", "straight.h5"]) == 0
    """,
    "says": "Two kinds of bars",
}
ROWS["export format"] = {
    "neurohil/perceptron/text.py": new("""
        from neurohil.perceptron.trace import ACCURACY

        def write(trace, out):
            out.write_text(f"{trace[ACCURACY][-1]:.3f}", encoding="utf-8")
            return [out]
    """),
    "neurohil/kinds.py": ROWS["learning algorithm"]["neurohil/kinds.py"].replace(
        '        table="bars",\n',
        '        table="bars",\n        exports={"text": "neurohil.perceptron.text:write"},\n',
    ),
    "run": """
        from neurohil.cli import main

        assert main(["perceptron", "bars", "--out", "exported.h5"]) == 0
        assert main(["trace", "export", "exported.h5", "--to", "text", "--out", "accuracy.txt"]) == 0
        assert float(open("accuracy.txt").read()) > 0.9
    """,
}
ROWS["benchmark program"] = {
    "benchmarks/bars_speed.py": new('''
        """Seconds of a perceptron."""

        import argparse

        import neurohil as nh

        def main():
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--epochs", type=int, default=100)
            options = parser.parse_args()
            run = nh.train("bars", epochs=options.epochs, progress=False)
            print(f"bars: {options.epochs} epochs took less than {run.seconds + 60:.0f} s")

        if __name__ == "__main__":
            main()
    '''),
    "run": """
        import runpy
        import sys

        sys.argv = ["bars_speed", "--epochs", "2"]
        runpy.run_module("benchmarks.bars_speed", run_name="__main__")
    """,
    "says": "bars: 2 epochs took less than 60 s",
}
MINE = """
    from dataclasses import dataclass

    import numpy as np

    from neurohil.datasets.spike_times import Samples, SpikeTimes

    @dataclass(frozen=True)
    class Few:
        def build(self):
            times = np.repeat(np.linspace(0.2, 1.5, 12).reshape(4, 3), 5, axis=1)
            return SpikeTimes(*[Samples(times, np.array([0, 1, 0, 1]))] * 3, classes=("a", "b"), copies=5)

    @dataclass(frozen=True)
    class Bars:
        def load(self, split):
            labels = np.arange(20) % 2
            return np.full((20, 3, 3), 200, dtype=np.uint8) * labels[:, None, None].astype(np.uint8), labels
"""
DRIVER = """
    import contextlib
    import io
    import json
    import sys
    import traceback

    OWN = ["--set", "data.kind=mine:Few", "--set", "training.batch=2", "--set", "training.max_missing=[1, 1]"]
    told = {}
    for name, source in json.load(open("rows.json")).items():
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            try:
                exec(compile(source, name, "exec"), {"OWN": OWN})
                failure = ""
            except BaseException:
                failure = traceback.format_exc()
        told[name] = (failure, out.getvalue())
    json.dump(told, open("told.json", "w"))
"""


def files_of(row):
    return {path: text for path, text in ROWS[row].items() if path not in ("run", "says")}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each row printed and where it failed: all are done in one copy, and run by one process, not compiled."""
    copy, work = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("work")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for row in ROWS:  # later ones build on earlier ones
        for path, text in files_of(row).items():
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
    (work / "mine.py").write_text(textwrap.dedent(MINE), encoding="utf-8")
    (work / "rows.json").write_text(json.dumps({row: textwrap.dedent(ROWS[row]["run"]) for row in ROWS}))
    environment = {**os.environ, "PYTHONPATH": str(copy), "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRIVER)], cwd=work, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((work / "told.json").read_text())


def test_a_change_touches_as_many_files_as_the_table_says(told):
    for row, (failure, printed) in told.items():
        assert not failure, f"{row}: {failure}\n{printed}"
        assert ROWS[row].get("says", "") in printed, row
        files = files_of(row)
        if row == "learning algorithm":  # a folder, its experiments, and what it touches outside of them
            files = [path for path in files if not re.match(r"neurohil/(experiments/)?perceptron/", path)]
        assert len(files) == int(TABLE[row]), row
    assert told.keys() == ROWS.keys()


def test_every_row_is_done():
    assert TABLE.keys() == ROWS.keys()
