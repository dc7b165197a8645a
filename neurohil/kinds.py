"""The one table of kinds of runs: what each is called, and where its run, picture, views and exports are.

Nothing of a kind is loaded before it is used, so that the command line answers at once.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from neurohil.config import experiment_name, experiment_summaries, experiment_text, parse
from neurohil.differences import with_true_summary
from neurohil.errors import UserError

if TYPE_CHECKING:
    import msgspec

    from neurohil.trace.reader import Trace


class Option(NamedTuple):
    """A short name for a key of the config."""

    name: str
    key: str
    help: str


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes
    ----------
    name : str
        What the command line calls it; with a space where it is one of several of a family.
    summary, description : str
        In few words, and in one sentence.
    folder : str
        Of its experiments, in neurohil/experiments.
    run : str
        ``module:Class`` of its `neurohil.run.Run`, whose module has `Config` as well.
    picture : str
        ``module:function`` that draws a finished trace into a file.
    options : tuple of Option
    default : str
        Experiment that is run if none is named; empty: one must be named.
    views : str
        ``module:function`` with the views that a report of its trace begins with; empty: none of its own.
    exports : mapping of str
        ``module:function`` that writes its trace in another format, by the format's name.
    compares : str
        ``module:function`` that checks a trace that its picture is to be compared with; empty: it compares none.
    table : str
        Table that no other family's config has: by it a trace is known.
    measures : bool
        It has no epochs and is done in one go, so there is nothing to resume.
    smallest : tuple of str
        ``key.path=value`` that make any of its shipped experiments as small as can be, see `neurohil.warming`.
    """

    name: str
    summary: str
    description: str
    folder: str
    run: str
    picture: str
    options: tuple[Option, ...]
    table: str
    default: str = ""
    views: str = ""
    exports: Mapping[str, str] = field(default_factory=dict)
    compares: str = ""
    measures: bool = False
    smallest: tuple[str, ...] = ()

    def title(self, config: Any) -> str:
        """What the trace of a run is called."""
        measurement = self.name.partition(" ")[2]
        return f"{config.experiment}: {measurement}" if measurement else config.experiment

    def stem(self, config: Any) -> str:
        """What the default name of a trace begins with: experiment, measurement and seed."""
        (key,) = (option.key for option in self.options if option.name == "seed")
        seed = reduce(getattr, key.split("."), config)
        return "-".join(filter(None, (config.experiment, self.name.partition(" ")[2], f"seed{seed}")))

    def load(self, experiment: str, overrides: Sequence[str] = ()) -> Any:
        """Validated config of a shipped experiment or a .toml file, after ``key.path=value`` overrides.

        Raises
        ------
        UserError
            There is no such experiment, or a key or value is wrong.
        """
        text, name = experiment_text(self.folder, experiment), experiment_name(experiment)
        config = parse(text, self.config_class, overrides, experiment=name)
        try:
            plain = parse(text, self.config_class, experiment=name)
        except UserError:  # complete by the overrides only, so that there is nothing to compare with
            return config
        return with_true_summary(config, plain)

    @property
    def config_class(self) -> Any:
        """Class of the whole config of an experiment."""
        return self.run_class.Config

    @property
    def run_class(self) -> Any:
        """Class of its runs."""
        return named(self.run)

    def start(self, config: msgspec.Struct) -> Any:
        """A run, ready to train: a `neurohil.run.Run`."""
        return self.run_class(config)


_SEED = Option("seed", "seed", "seed of initial values, order, and trial noise")
_EPOCHS = Option("epochs", "epochs", "number of epochs")
_ARRAY = Option("serial", "target.serial", "serial number of the emulated array")
_NOISE = Option("seed", "seed", "seed of weights and noise")


_SMALL_ARRAY = ("target.array.tile_rows=16", "target.array.tile_columns=16", "ir_drop.sizes=[8]")


def _probing(name: str, run: str, picture: str, summary: str) -> Kind:
    return Kind(
        name=f"crossbar {name}",
        summary=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        folder="crossbar",
        run=f"neurohil.probing.run:{run}",
        picture=f"neurohil.probing.picture:{picture}",
        options=(_NOISE, _ARRAY),
        table="program",
        default="crossbar_9_levels",
        measures=True,
        smallest=_SMALL_ARRAY,
    )


_ALL = (
    Kind(
        name="delgrad",
        summary="train weights and delays from spike times",
        description="Train a spiking network with DelGrad, on ideal neurons or in the loop with the emulated chip.",
        folder="delgrad",
        run="neurohil.delgrad.run:DelGradRun",
        picture="neurohil.delgrad.picture:draw_delgrad",
        options=(_SEED, Option("serial", "target.serial", "serial number of the emulated chip"), _EPOCHS),
        table="data",
        views="neurohil.delgrad.report:views",
        exports={"sonata": "neurohil.delgrad.sonata:write", "nir": "neurohil.delgrad.nir:write"},
        smallest=("epochs=1",),
    ),
    Kind(
        name="metaplasticity",
        summary="learn tasks one after the other with consolidated weights",
        description="Learn tasks one after the other with quantised weights, on ideal ones or on an emulated crossbar.",
        folder="metaplasticity",
        run="neurohil.metaplasticity.run:MetaplasticityRun",
        picture="neurohil.metaplasticity.picture:draw_metaplasticity",
        options=(
            Option("seed", "seed", "seed of initial values and order"),
            Option("epochs", "training.epochs", "number of epochs of each task"),
        ),
        table="tasks",
        views="neurohil.metaplasticity.report:views",
        compares="neurohil.metaplasticity.picture:check_comparable",
        smallest=(
            "training.epochs=1",
            "network.hidden=[8]",
            "tasks.train_images=200",
            "tasks.test_images=100",
        ),
    ),
    _probing(
        "program",
        "Program",
        "draw_program",
        "write an array: levels at once, a day later and after wear; pulses, time, energy",
    ),
    _probing(
        "characterise",
        "Characterise",
        "draw_characterise",
        "spread and drift of each level against the device model; verifying with a wait",
    ),
    _probing("age", "Age", "draw_age", "failed cells over cycles, errors over time"),
    _probing("ir-drop", "IrDrop", "draw_ir_drop", "voltages on the wires, loss over size and wire resistance"),
    Kind(
        name="chip characterise",
        summary="each quantity of each circuit by measurement, before and after a calibration, beside real chips",
        description="Measure each quantity of each circuit of an emulated chip, as it is or before and after a "
        "calibration, and hold the spreads against real chips.",
        folder="chip",
        run="neurohil.characterising.run:Characterise",
        picture="neurohil.characterising.picture:draw_characterise",
        options=(
            Option("seed", "seed", "seed of the noise of runs and readings"),
            Option("serial", "target.serial", "serial number of the emulated chip"),
        ),
        table="bench",
        default="chip_uncalibrated",
        measures=True,
        smallest=("bench.circuits=1",),
    ),
)
KINDS = {kind.name: kind for kind in _ALL}
FAMILIES = {
    "crossbar": (
        "measure on an emulated memristor array",
        "Measure on one emulated memristor array: what is written, what remains of it, what fails.",
    ),
    "chip": (
        "measure on an emulated chip",
        "Measure on one emulated BrainScaleS-2 chip: what its circuits are like.",
    ),
}
"""Summary and description of families with several kinds."""


def named(place: str) -> Any:
    """What stands at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def kind_of(trace: Trace) -> Kind | None:
    """The kind of the run that a trace is of; None if its config or title doesn't tell."""
    try:
        tables = tomllib.loads(trace.config)
    except tomllib.TOMLDecodeError:
        return None
    family = [kind for kind in _ALL if kind.table in tables]
    if len(family) > 1:
        family = [kind for kind in family if trace.title.endswith(f": {kind.name.partition(' ')[2]}")]
    return family[0] if family else None


def command_of(trace: Trace) -> str:
    """The command that began the run of a trace."""
    kind = kind_of(trace)
    return kind.name if kind else "COMMAND"


def kind_with(name: str) -> Kind:
    """The kind of a shipped experiment, or of a .toml file; of a family the first.

    Raises
    ------
    UserError
        There is none of that name, with the nearest.
    """
    if name.endswith(".toml"):
        tables = tomllib.loads(experiment_text("delgrad", name))
        found = [kind for kind in _ALL if kind.table in tables]
        if not found:
            *first, last = dict.fromkeys(kind.table for kind in _ALL)
            raise UserError(f"{name} is no experiment: it has none of the tables {', '.join(first)} or {last}")
        return found[0]
    folders = {kind.folder: kind for kind in reversed(_ALL)}
    for folder, kind in folders.items():
        if name in experiment_summaries(folder):
            return kind
    known = [known for folder in reversed(folders) for known in experiment_summaries(folder)]
    near = difflib.get_close_matches(name, known, n=1)
    raise UserError(
        f"unknown experiment {name!r}{f', did you mean {near[0]!r}?' if near else ''}; known: {', '.join(known)}"
    )
