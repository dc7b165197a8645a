"""What all subcommands with epochs do alike: stop on request, show progress, finish or leave what can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from hil.config import parse
from hil.errors import Stopped, UserError
from hil.trace.reader import Trace
from hil.trace.writer import TraceWriter

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
    Stopped
        By a signal, with a trace that `--resume` goes on with.
    """
    part = f"{writer.path}.part"
    try:
        with writer, StopRequest() as stop:
            _train(run, writer, stop)
            if run.epochs_done < run.epochs_in_all:
                raise Stopped(
                    f"stopped after {run.epochs_done} of {run.epochs_in_all} epochs; "
                    f"go on with: neurohil {command} --resume {part}",
                    stop.signal or signal.SIGINT,
                )
            results = run.conclude(writer)
    except UserError:
        if writer.epochs == 0:  # nothing that could be lost
            writer.discard()
        raise
    return results


def _train(run: Run, writer: TraceWriter, stop: Callable[[], bool]) -> None:
    """Epochs up to the last one, or until `stop` says so after one."""
    progress = tqdm(total=run.epochs_in_all, initial=run.epochs_done, unit="epoch", disable=None, dynamic_ncols=True)
    with progress:
        progress.set_postfix_str("the first run compiles the kernels")
        while run.epochs_done < run.epochs_in_all:
            progress.set_postfix_str(run.run_epoch(writer))
            progress.update()
            if stop():
                return
