"""What all subcommands with epochs do alike: stop on request, show progress, finish or leave what can be resumed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from hil.config import parse
from hil.errors import UserError
from hil.text import one_line, say
from hil.trace.reader import Trace
from hil.trace.writer import TraceWriter

T = TypeVar("T")


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

    def conclude(self, writer: TraceWriter) -> dict[str, Any]:
        """What is known after the last epoch; closes the trace and returns the results."""
        ...


class StopRequest:
    """Remembers the first SIGINT or SIGTERM, so that the epoch in progress can end; the second one acts at once."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def __call__(self) -> bool:
        return self._asked


def trace_path(out: str | None, experiment: str, seed: int) -> Path:
    """Where a new run's trace goes: `out`, or runs/EXPERIMENT-seedN.h5; its folder is made."""
    path = Path(out) if out else Path("runs") / f"{experiment}-seed{seed}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def interrupted(part: str, command: str, kind: type[T]) -> Iterator[tuple[Trace, T]]:
    """Trace and config of a run to go on with.

    Raises
    ------
    UserError
        It is complete, no trace, or was begun by another subcommand.
    """
    with Trace(part) as trace:
        if trace.complete and not part.endswith(".part"):
            raise UserError(f"{part} is complete; start a new run instead")
        try:
            config = parse(trace.config, kind)
        except UserError as error:
            raise UserError(f"{part} was not begun by `neurohil {command}`: {error}") from error
        yield trace, config


def carry_out(command: str, run: Run, writer: TraceWriter) -> dict[str, Any]:
    """Run to the last epoch and conclude; returns the results.

    Raises
    ------
    KeyboardInterrupt
        Stopped by a signal, with a trace that `--resume` goes on with.
    """
    part = f"{writer.path}.part"
    try:
        with writer:
            _train(run, writer, StopRequest())
            if run.epochs_done < run.epochs_in_all:
                raise KeyboardInterrupt(
                    f"stopped after {run.epochs_done} of {run.epochs_in_all} epochs; "
                    f"go on with: neurohil {command} --resume {part}"
                )
            results = run.conclude(writer)
    except UserError as error:
        if writer.epochs == 0:  # nothing that could be lost
            writer.discard()
            raise
        raise UserError(f"{error}; what was finished before is kept: neurohil trace ls {part}") from error
    return results


def print_table(heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """A heading and a line for each row."""
    say(heading, *(f"  {name:<22} {value}" for name, value in rows))


def print_json(values: Mapping[str, Any], seconds: float, path: Path) -> None:
    """The results as one line."""
    say(json.dumps({**values, "seconds": round(seconds, 3), "trace": str(path)}))


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
