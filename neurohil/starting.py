"""Where a run begins: from its experiment, in its place, or from where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurohil import version
from neurohil.config import parse, to_toml
from neurohil.differences import changes, short, with_true_summary
from neurohil.errors import UserError
from neurohil.kinds import KINDS, Kind, command_of, kind_with
from neurohil.run import Run
from neurohil.trace.place import ENDING, OtherRunError, Place
from neurohil.trace.reader import Trace

_LONGEST_NAME = 150  # of a default name
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.,+_=-]")


class Experiment:
    """A kind of run with its whole, validated config.

    Parameters
    ----------
    kind : Kind
    config : msgspec.Struct
    plain : msgspec.Struct
        The config of the experiment as it is shipped, which names of traces are told from.
    """

    def __init__(self, kind: Kind, config: Any, plain: Any) -> None:
        self.kind, self.config, self.plain = kind, config, plain

    def with_(self, **changes: Any) -> Experiment:
        """The experiment with other values; tables are changed key by key: ``with_(target=dict(serial=7))``.

        An object of a class of your own takes the place of a table with a `kind`: ``with_(data=Mine())``.

        Raises
        ------
        UserError
            A key or value is wrong.
        """
        config = parse(to_toml(self.config), self.kind.config_class, **_as_typed(changes))
        return Experiment(self.kind, self._true(config), self.plain)

    def _true(self, config: Any) -> Any:
        return with_true_summary(config, self.plain)

    def start(self) -> Run[Any]:
        """A run, ready to train."""
        return self.kind.start(self.config)

    def __repr__(self) -> str:
        return f"# neurohil {self.kind.name}\n{to_toml(self.config)}"


def experiment(name: str | Experiment, overrides: Sequence[str] = ()) -> Experiment:
    """A shipped experiment, or one from a .toml file, of whatever kind.

    Parameters
    ----------
    name : str or Experiment
        ``neurohil delgrad --list`` and ``neurohil metaplasticity --list`` show the shipped ones.
    overrides : sequence of str
        ``key.path=value``, as for ``--set``.

    Raises
    ------
    UserError
        There is none of that name; a key or value is wrong.
    """
    if isinstance(name, Experiment):
        return name
    kind = kind_with(name)
    return Experiment(kind, kind.load(name, overrides), kind.load(name))


def train(
    name: str | Experiment,
    *,
    trace: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **changes: Any,
) -> Run[Any]:
    """Run an experiment to its end, or go on with its unfinished trace.

    Parameters
    ----------
    name : str or Experiment
        A shipped experiment, a .toml file, or what `experiment` returned.
    trace : str or path, optional
        Trace to write. Without it the trace lives as long as the run that is returned.
    overwrite : bool
        Replace a trace of that name when this run has finished.
    progress : bool
        Show it on a terminal.
    **changes
        Short names of the command line, ``serial=7, seed=2, epochs=60``, or whole keys of the config:
        ``target=dict(noise=dict(weight_std=0.2))``.

    Returns
    -------
    Run
        With `result`, `plot` and `report`.

    Raises
    ------
    UserError
        A key or value is wrong, the network doesn't fit the target, something stands at `trace` that must stay, or the
        experiment is one of a measurement.
    Stopped
        By a signal such as Ctrl-C, after the epoch in progress; the same call goes on if it has a `trace`.
    """
    chosen = experiment(name)
    if chosen.kind.measures:
        raise UserError(
            f"{chosen.config.experiment} has nothing to train; measure on it: nh.measure(WHAT, "
            f"{chosen.config.experiment!r}) with one of {', '.join(_measurements(chosen.kind.folder))}"
        )
    return _start(with_changes(chosen, changes), trace, overwrite, progress)


def measure(
    measurement: str,
    name: str | Experiment = "",
    *,
    trace: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **changes: Any,
) -> Run[Any]:
    """Measure on one emulated memristor array or chip.

    Parameters
    ----------
    measurement : str
        ``program``, ``characterise``, ``age`` or ``ir-drop`` of an array, ``chip characterise`` of a chip.
    name : str or Experiment, optional
        By default the nine levels of ``crossbar_9_levels``, of a chip ``chip_uncalibrated``. The experiment of a chip
        makes ``characterise`` that of a chip.
    trace, overwrite, progress, **changes
        As for `train`.

    Returns
    -------
    Run

    Raises
    ------
    UserError
        As for `train`; or there is no such measurement.
    """
    kinds = [kind for kind in KINDS.values() if kind.measures and measurement in (kind.name, _measurement(kind))]
    if not kinds:
        raise UserError(f"measurement = {measurement!r} is unknown; choose one of {', '.join(_measurements())}")
    chosen = experiment(name or kinds[0].default)
    fitting = [kind for kind in kinds if kind.folder == chosen.kind.folder]
    if not fitting:
        raise UserError(
            f"{chosen.kind.title(chosen.config)!r} is nothing to do {measurement} on; name an experiment of a "
            f"{' or '.join(kind.folder for kind in kinds)}"
        )
    kind = fitting[0]
    return _start(with_changes(Experiment(kind, chosen.config, chosen.plain), changes), trace, overwrite, progress)


def _measurement(kind: Kind) -> str:
    """What a measurement is called within its family."""
    return kind.name.partition(" ")[2]


def _measurements(folder: str = "") -> list[str]:
    """What can be measured, on experiments of a folder or at all."""
    of_folder = (kind for kind in KINDS.values() if kind.measures and folder in ("", kind.folder))
    return list(dict.fromkeys(map(_measurement, of_folder)))


def _start(chosen: Experiment, trace: str | Path | None, overwrite: bool, progress: bool) -> Run[Any]:
    folder = None
    if trace is None:
        folder = tempfile.TemporaryDirectory(prefix="neurohil-")
        trace = Path(folder.name) / "run.h5"
    with place_of(chosen, str(trace), overwrite) as (place, found):
        if not place.is_locked:
            warnings.warn(without_locks(place), stacklevel=3)
        if found == "finished":
            raise UserError(
                f"{place.path} holds this run already; neurohil.open({str(place.path)!r}) opens it, overwrite=True "
                "runs it anew"
            )
        run = chosen.start()
        if folder is not None:
            weakref.finalize(run, folder.cleanup)
        run.write_trace(place, found == "unfinished", progress)
    return run


def with_changes(chosen: Experiment, changes: dict[str, Any]) -> Experiment:
    """The experiment with other values, by short names or whole keys.

    Raises
    ------
    UserError
        A key or value is wrong.
    """
    tables: dict[str, Any] = {}
    short = {option.name: option.key for option in chosen.kind.options}
    for name, value in changes.items():
        *parents, leaf = short.get(name, name).split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise UserError(f"{parent} is an object, so {leaf} can't be set beside it; set it in the object")
        if isinstance(value, dict) and isinstance(table.get(leaf), dict):
            value = {**table[leaf], **value}
        table[leaf] = value
    return chosen.with_(**tables) if tables else chosen


def default_path(stem: str, config: str, plain: str, without: Sequence[str] = ()) -> Path:
    """Where a run's trace goes if the user doesn't say: runs/STEM, and what differs from the plain experiment.

    Two configurations get two names: a name that can't tell all there is ends in a hash of it.

    Parameters
    ----------
    stem : str
        What it begins with: the experiment and its seed.
    config, plain : str
        The run's whole configuration, and that of the experiment as it is, as TOML.
    without : sequence of str
        Keys that the stem tells already.
    """
    changed = {key: now for key, _, now in changes(plain, config) if key not in without}
    told = "".join(f"-{key}={short(value)}" for key, value in sorted(changed.items()))
    name = _NOT_IN_NAMES.sub("_", stem + told)
    if name != stem + told or len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(json.dumps([stem, changed], default=str, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{name[: _LONGEST_NAME - 9]}-{digest}"
    return Path("runs") / f"{name.lstrip('-.') or 'run'}{ENDING}"


@contextmanager
def place_of(chosen: Experiment, out: str | None, overwrite: bool) -> Iterator[tuple[Place, str]]:
    """Where a run's trace goes, held for this process, and what stands there already (see `Place.look`).

    Parameters
    ----------
    chosen : Experiment
    out : str or None
        As the user named it; None for runs/EXPERIMENT-seedN.h5, with what differs from the plain experiment.
    overwrite : bool
        Whether a trace of ours may be replaced.

    Raises
    ------
    UserError
        Something stands there that must stay, or another run writes there.
    """
    kind, config = chosen.kind, to_toml(chosen.config)
    told = [option.key for option in kind.options if option.name == "seed"]
    default = default_path(kind.stem(chosen.config), config, to_toml(chosen.plain), without=told)
    with Place(default if out is None else out, overwrite) as place:
        try:
            found = place.look(kind.title(chosen.config), config, version.software_versions())
        except OtherRunError as other:
            with Trace(other.part) as trace:
                raise UserError(other.told(command_of(trace))) from other
        yield place, found


@contextmanager
def interrupted(part: str, kind: Kind, overwrite: bool) -> Iterator[tuple[Place, Experiment]]:
    """Place, held for this process, and experiment of a run to go on with.

    Raises
    ------
    UserError
        It is complete, no trace, damaged, in use, or of another kind.
    """
    if not part.endswith(".part"):
        with Trace(part) as trace:
            if trace.complete:
                raise UserError(f"{part} is complete; start a new run instead")
    with Place.of_interrupted(part, overwrite) as place:
        with Trace(place.part) as trace:
            trace.require_whole()
            try:
                config = parse(trace.config, kind.config_class)
            except UserError as error:
                raise UserError(f"{part} was not begun by `neurohil {kind.name}`: {error}") from error
        yield place, Experiment(kind, config, config)


def without_locks(place: Place) -> str:
    """What to know where the file system has no locks."""
    return (
        f"the file system of {place.path.parent} has no locks, so two runs that write to one file there are not told "
        "apart"
    )


def _as_typed(value: Any) -> Any:
    """Values as an experiment's file would have them; a class is told by its name."""
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, Mapping):
        return {key: _as_typed(item) for key, item in value.items()}
    return "none" if value is None else list(map(_as_typed, value)) if isinstance(value, tuple | list) else value
