"""What all subcommands with epochs do alike: stop on request, show progress, finish or leave what can be resumed."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

import msgspec
from tqdm import tqdm

from neurohil import files
from neurohil.cli.output import draw_picture
from neurohil.config import parse, to_toml
from neurohil.errors import Stopped, UserError
from neurohil.text import one_line, say
from neurohil.trace.place import Place, default_path, go_on_command
from neurohil.trace.reader import Trace
from neurohil.trace.schema import TraceError
from neurohil.trace.writer import TraceWriter, software_versions

T = TypeVar("T")

_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Run(Protocol):
    """A run that goes epoch by epoch."""

    @property
    def epochs_done(self) -> int:
        """Finished epochs."""
        ...

    @property
    def epochs_in_all(self) -> int:
        """Epochs that it takes."""
        ...

    def run_epoch(self, writer: TraceWriter) -> str:
        """One epoch, and its row in the trace; tells in a few words how it went."""
        ...

    def load_from(self, trace: Trace) -> None:
        """Go on from the last finished epoch of an interrupted run's trace."""
        ...

    def open_trace(self, path: Path | Place) -> TraceWriter:
        """A new trace for this run."""
        ...

    def reopen_trace(self, part: Path | Place) -> TraceWriter:
        """The interrupted trace of this run, ready to go on."""
        ...

    def conclude(self, writer: TraceWriter) -> dict[str, Any]:
        """What is known after the last epoch; closes the trace and returns the results."""
        ...


class StopRequest:
    """Within it, the first SIGINT, SIGTERM or SIGHUP is remembered, so that what is in progress can end.

    From then on, and afterwards, signals do what they did before. One that is ignored (`nohup`) stays so. Outside the
    main thread, which alone may handle signals, nothing is caught.

    Attributes
    ----------
    signal : int or None
        Number of the signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: not set from Python, can't be put back
                    self._before[number] = handler
                    signal.signal(number, self._ask)
        return self

    def __call__(self) -> bool:
        return self.signal is not None

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


@contextmanager
def place_of_new(
    out: str | None,
    stem: str,
    title: str,
    config: msgspec.Struct,
    plain: msgspec.Struct,
    overwrite: bool,
    without: Sequence[str] = ("seed",),
) -> Iterator[tuple[Place, str]]:
    """Where a new run's trace goes, held for this process, and what stands there already (see `Place.look`).

    Parameters
    ----------
    out : str or None
        As the user named it; None for runs/STEM and what differs from the plain experiment.
    stem : str
        Experiment and seed, with which the default name begins.
    title : str
        Title of the trace.
    config, plain : struct
        What is run, and the experiment as it is.
    overwrite : bool
        Whether a trace of ours may be replaced.
    without : sequence of str
        Keys that the stem tells.

    Raises
    ------
    UserError
        Something stands there that must stay, or another run writes there.
    """
    default = default_path(stem, to_toml(config), to_toml(plain), without)
    with Place(default if out is None else out, overwrite) as place:
        _warn_without_locks(place)
        yield place, place.look(title, to_toml(config), software_versions())


@contextmanager
def interrupted(part: str, command: str, kind: type[T], overwrite: bool) -> Iterator[tuple[Place, T]]:
    """Place, held for this process, and config of a run to go on with.

    Raises
    ------
    UserError
        It is complete, no trace, damaged, in use, or was begun by another subcommand.
    """
    if not part.endswith(".part"):
        with Trace(part) as trace:
            if trace.complete:
                raise UserError(f"{part} is complete; start a new run instead")
    with Place.of_interrupted(part, overwrite) as place:
        _warn_without_locks(place)
        with Trace(place.part) as trace:
            trace.require_whole()
            try:
                config = parse(trace.config, kind)
            except UserError as error:
                raise UserError(f"{part} was not begun by `neurohil {command}`: {error}") from error
        yield place, config


def writer_for(run: Run, place: Place, goes_on: bool) -> TraceWriter:
    """The writer of a run's trace: a new one, or that of an interrupted run, from whose last epoch it then goes on."""
    if not goes_on:
        return run.open_trace(place)
    with Trace(place.part) as trace:
        if trace.epochs:
            run.load_from(trace)
    return run.reopen_trace(place)


def tell_finished(place: Place, as_json: bool, draw: Callable[[Path, Path], Any]) -> None:
    """Say that the trace of this very run is there already; its picture is drawn if nothing of that name is there.

    Raises
    ------
    UserError
        Its numbers are wanted as JSON, which only a run prints.
    """
    if not files.kind(place.path.with_suffix(".png")):
        draw_picture(draw, place.path, as_json)
    path = shlex.quote(str(place.path))
    text = (
        f"{place.path} holds this run already, with this configuration and software: nothing to do\n"
        f"  look at it with `neurohil trace ls {path}` or `neurohil trace report {path}`;\n"
        "  to run it anew, add --overwrite or move the file away"
    )
    if as_json:
        raise UserError(" ".join(text.split()))
    say(*text.split("\n"))


def carry_out(command: str, run: Run, writer: TraceWriter) -> dict[str, Any]:
    """Run to the last epoch and conclude; returns the results.

    Raises
    ------
    Stopped
        By a signal, with a trace that `--resume` goes on with.
    """
    with writer, StopRequest() as stop:
        try:
            _train(run, writer, stop)
            if run.epochs_done < run.epochs_in_all:
                raise Stopped(
                    f"stopped after {run.epochs_done} of {run.epochs_in_all} epochs; "
                    f"go on with: {go_on_command(command, writer.part, writer.overwrites)}",
                    stop.signal or signal.SIGINT,
                )
            return run.conclude(writer)
        except UserError as error:
            if writer.epochs == 0:  # nothing that could be lost
                writer.discard()
            if writer.epochs == 0 or isinstance(error, TraceError):  # which says itself what is kept
                raise
            raise UserError(
                f"{error}; what was finished before is kept: neurohil trace ls {shlex.quote(str(writer.part))}"
            ) from error


def _warn_without_locks(place: Place) -> None:
    if not place.is_locked:
        say(
            f"neurohil: warning: the file system of {place.path.parent} has no locks, so two runs that write to one "
            "file there are not told apart",
            file=sys.stderr,
        )


def _train(run: Run, writer: TraceWriter, stop: Callable[[], bool]) -> None:
    """Epochs up to the last one, or until `stop` says so after one."""
    progress = tqdm(total=run.epochs_in_all, initial=run.epochs_done, unit="epoch", disable=None, dynamic_ncols=True)
    with progress:
        progress.set_postfix_str("the first run compiles the kernels")
        while run.epochs_done < run.epochs_in_all:
            progress.set_postfix_str(one_line(run.run_epoch(writer)))
            progress.update()
            if stop():
                return
