"""One contract for all kinds of runs, the only loop over epochs, and the way into a trace and on from one.

A kind of run says what an epoch is, what is known at the end, what its trace holds and what it goes on from; all else
is here.
"""

from __future__ import annotations

import shlex
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import msgspec
import numpy as np
from tqdm import tqdm

from neurohil.config import to_toml
from neurohil.errors import Stopped, UserError
from neurohil.kinds import KINDS
from neurohil.showing import html_table, text_table
from neurohil.stopping import StopRequest
from neurohil.text import one_line
from neurohil.trace.place import Place, go_on_command
from neurohil.trace.reader import Trace
from neurohil.trace.schema import Layout, TraceError
from neurohil.trace.state_file import State
from neurohil.trace.writer import TraceWriter

if TYPE_CHECKING:
    from neurohil.results import Picture, RunTrace

C = TypeVar("C", bound=msgspec.Struct)
M = TypeVar("M")


class Summary(NamedTuple):
    """What a run is, and what it came to, for people: a heading, then names with texts."""

    heading: str
    rows: list[tuple[str, str]]


class Result(Mapping[str, Any]):
    """What a run came to, by name; each name is an attribute, too: ``result.test_accuracy``.

    Prints and draws itself as the table of its run.
    """

    def __init__(self, values: Mapping[str, Any], summary: Summary) -> None:
        self._values = dict(values)
        self._summary = summary

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            known = ", ".join(self.__dict__.get("_values", ()))
            raise AttributeError(f"there is no result {name!r}; there are {known}") from None

    def __repr__(self) -> str:
        return text_table(*self._summary)

    def _repr_html_(self) -> str:
        return html_table(*self._summary)


class Run(ABC, Generic[C]):
    """A run of an experiment.

    Parameters
    ----------
    config : msgspec.Struct
        The whole experiment.

    Attributes
    ----------
    config : msgspec.Struct
    path : path or None
        The trace, once it has one.
    seconds : float
        Wall time that training and conclusion have taken in this process.
    command : str
        What the command line calls this kind of run.
    Config : type of msgspec.Struct
        Of its experiments.
    """

    command: ClassVar[str]
    Config: ClassVar[type[msgspec.Struct]]

    def __init__(self, config: C) -> None:
        self.config = config
        self.path: Path | None = None
        self.seconds = 0.0
        self._result: Result | None = None
        self._layout: Layout | None = None

    @property
    def title(self) -> str:
        """What the trace is called."""
        return KINDS[self.command].title(self.config)

    @property
    @abstractmethod
    def epochs_done(self) -> int:
        """Finished epochs."""

    @property
    @abstractmethod
    def epochs_in_all(self) -> int:
        """Epochs that it takes; 0 for a measurement, which is done in one go."""

    @abstractmethod
    def train_epoch(self) -> Any:
        """One epoch; what it came to, which the growing arrays of the trace are filled from, and tells itself in a few
        words (`str`)."""

    @abstractmethod
    def conclude(self) -> Any:
        """What is known after the last epoch, which the final arrays of the trace are filled from."""

    @abstractmethod
    def state(self) -> np.ndarray | State:
        """All that the run goes on from: a vector, which the trace keeps, or arrays that are kept beside it."""

    @abstractmethod
    def load_state(self, state: Any) -> None:
        """Go on from what `state` returned, to the same bits."""

    @property
    def layout(self) -> Layout:
        """What the trace of this run holds."""
        if self._layout is None:
            self._layout = self.make_layout()
        return self._layout

    @abstractmethod
    def make_layout(self) -> Layout:
        """What the trace holds, each array with the function that fills it; asked once."""

    @abstractmethod
    def values(self, end: Any) -> dict[str, Any]:
        """The results by name, as JSON can hold them, from what `conclude` returned."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What was run, by name, for those who read the results by machine."""

    @abstractmethod
    def summary(self, values: Mapping[str, Any]) -> Summary:
        """The same for people."""

    @property
    def result(self) -> Result:
        """What the run came to; concludes a run that has done its last epoch.

        Raises
        ------
        UserError
            Epochs are left to do.
        """
        if self._result is None:
            self._refuse_unfinished()
            self._conclude()
        assert self._result is not None
        return self._result

    def train(
        self, epochs: int | None = None, *, after_epoch: Callable[[Any], object] | None = None, progress: bool = False
    ) -> Self:
        """Train in memory, without a trace.

        Parameters
        ----------
        epochs : int, optional
            So many more; by default up to the last one.
        after_epoch : callable, optional
            Gets what each epoch came to, see `train_epoch`.
        progress : bool
            Show it on a terminal.

        Returns
        -------
        Run
            This one.

        Raises
        ------
        Stopped
            By a signal such as Ctrl-C, after the epoch in progress; the same call goes on.
        """
        until = self.epochs_in_all if epochs is None else self.epochs_done + epochs
        with StopRequest() as stop:
            for epoch in self._epochs(until, progress):
                if after_epoch:
                    after_epoch(epoch)
                if stop() and self.epochs_done < until:
                    raise Stopped(
                        f"stopped after {self.epochs_done} of {until} epochs; train() goes on",
                        stop.signal or signal.SIGINT,
                    )
        return self

    def write_trace(self, place: Place, goes_on: bool, progress: bool = True) -> Result:
        """Run to the end, and keep everything in a trace.

        Parameters
        ----------
        place : Place
            Where the trace goes; held by this process.
        goes_on : bool
            Whether an unfinished trace of this very run is there, to go on with.
        progress : bool
            Show it on a terminal.

        Returns
        -------
        Result

        Raises
        ------
        Stopped
            By a signal, with a trace that can be gone on with.
        """
        writer = self._writer(place, goes_on)
        self.path = writer.path
        with writer, StopRequest() as stop:
            try:
                for _ in self._epochs(self.epochs_in_all, progress, writer):
                    if stop():
                        break
                if self.epochs_done < self.epochs_in_all:
                    raise Stopped(
                        f"stopped after {self.epochs_done} of {self.epochs_in_all} epochs; "
                        f"go on with: {go_on_command(self.command, writer.part, writer.overwrites)}",
                        stop.signal or signal.SIGINT,
                    )
                end = self._conclude()
                writer.finish(self.layout.filled(self.layout.final(), self, end))
            except UserError as error:
                if writer.epochs == 0:  # nothing that could be lost
                    writer.discard()
                if writer.epochs == 0 or isinstance(error, TraceError):  # which says itself what is kept
                    raise
                raise UserError(
                    f"{error}; what was finished before is kept: neurohil trace ls {shlex.quote(str(writer.part))}"
                ) from error
        return self.result

    def plot(self) -> Picture:
        """Picture of the finished run, which a notebook shows by itself."""
        with self._opened() as trace:
            return trace.plot()

    def report(self, out: str | Path | None = None) -> Path:
        """Write the run as one interactive page of HTML, by default beside its trace; returns the page."""
        with self._opened() as trace:
            return trace.report(out)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_layout": None}  # its functions can't be pickled; it is made anew

    def _opened(self) -> RunTrace:
        from neurohil.results import RunTrace

        if self.path is None or not self.path.exists():
            maker = "train" if self.epochs_in_all else "measure"
            raise UserError(f"this run has no finished trace; neurohil.{maker} makes one")
        return RunTrace(self.path)

    def new_trace(self, place: Path | Place) -> TraceWriter:
        """A new trace for this run."""
        return self._open(TraceWriter, place)

    def _writer(self, place: Place, goes_on: bool) -> TraceWriter:
        """A new trace, or that of an interrupted run, from whose last epoch this one then goes on."""
        if not goes_on:
            return self.new_trace(place)
        with Trace(place.part) as trace:
            if trace.epochs:
                like = self.state()
                self.load_state(trace.large_state(like) if isinstance(like, Mapping) else trace.state())
        return self._open(TraceWriter.resume, place)

    def _open(self, open_it: Callable[..., TraceWriter], place: Path | Place) -> TraceWriter:
        state = self.state()
        kept = state if isinstance(state, Mapping) else state.size
        return open_it(place, self.layout, self.title, to_toml(self.config), kept, epochs=self.epochs_in_all)

    def _epochs(self, until: int, progress: bool, writer: TraceWriter | None = None) -> Iterator[Any]:
        """Epochs up to number `until`, each in the trace when it is handed out."""
        hidden = None if progress else True  # None: shown on terminals alone
        bar = tqdm(total=until, initial=self.epochs_done, unit="epoch", disable=hidden, dynamic_ncols=True)
        with bar:
            bar.set_postfix_str("the first run compiles the kernels")
            while self.epochs_done < until:
                began = time.perf_counter()
                epoch = self.train_epoch()
                if writer:
                    writer.append_epoch(self.layout.filled(self.layout.growing(), self, epoch), self.state())
                self.seconds += time.perf_counter() - began
                bar.set_postfix_str(one_line(epoch))
                bar.update()
                yield epoch

    def _conclude(self) -> Any:
        began = time.perf_counter()
        end = self.conclude()
        values = self.values(end)
        self.seconds += time.perf_counter() - began
        self._result = Result(values, self.summary(values))
        return end

    def _refuse_unfinished(self) -> None:
        if self.epochs_done < self.epochs_in_all:
            raise UserError(
                f"{self.epochs_done} of {self.epochs_in_all} epochs are done, so there is no result yet; "
                "call train() first"
            )

    def __repr__(self) -> str:
        done = f"{self.epochs_done} of {self.epochs_in_all} epochs done" if self.epochs_in_all else "a measurement"
        return f"<{self.command} {self.title!r}: {done}>"

    def _repr_html_(self) -> str:
        return escape(repr(self)) if self._result is None else self._result._repr_html_()


class Measurement(Run[C], Generic[C, M]):
    """A run without epochs: measured in one go, so there is nothing to go on from.

    What its trace holds depends on what was measured, so it is written when all is known. A kind of measurement says
    what is measured, in how many steps, and how that is laid out.
    """

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self._bar = tqdm(disable=True)
        self._measured: M | None = None

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps that it takes, as `measure` tells them."""

    @property
    @abstractmethod
    def estimated_bytes(self) -> int:
        """Room that the trace may take."""

    @abstractmethod
    def measure(self, step: Callable[[str], None]) -> M:
        """Measure; `step` is told what is done after each step."""

    @abstractmethod
    def lay_out(self, measured: M) -> Layout:
        """What the trace holds, all of it static."""

    def facts(self) -> dict[str, Any]:
        """What was measured with which seed, on which device."""
        config: Any = self.config
        return {
            "experiment": config.experiment,
            "measurement": self.command.partition(" ")[2],
            "seed": config.seed,
            "serial": config.target.serial,
        }

    @property
    def measured(self) -> M:
        """What was measured; measures if that has not been done."""
        if self._measured is None:
            self._conclude()
        assert self._measured is not None
        return self._measured

    def make_layout(self) -> Layout:
        """What the trace holds; measures if that has not been done."""
        return self.lay_out(self.measured)

    @property
    def epochs_done(self) -> int:
        return 0

    @property
    def epochs_in_all(self) -> int:
        return 0

    def train_epoch(self) -> Any:
        raise UserError(f"{self.command} has no epochs to train; .result measures")

    def conclude(self) -> M:
        self._measured = self.measure(self._step)
        self._layout = self.lay_out(self._measured)
        self._step("described")
        return self._measured

    def state(self) -> np.ndarray:
        return np.empty(0)

    def load_state(self, state: Any) -> None:
        """As the contract says; there is nothing to go on from."""

    def values(self, end: M) -> dict[str, Any]:
        return {array.name: np.asarray(array.values).item() for array in self.layout.results}

    def write_trace(self, place: Place, goes_on: bool, progress: bool = True) -> Result:
        place.refuse_full_disk("run again", self.estimated_bytes)
        hidden = None if progress else True  # None: shown on terminals alone
        with tqdm(total=self.steps + 1, unit="step", disable=hidden, dynamic_ncols=True) as self._bar:
            self._bar.set_postfix_str("the first run compiles the kernels")
            result = self.result
        began = time.perf_counter()
        with self.new_trace(place) as writer:
            writer.finish({})
        self.path = writer.path
        self.seconds += time.perf_counter() - began
        return result

    def _step(self, done: str) -> None:
        self._bar.set_postfix_str(one_line(done))
        self._bar.update()
