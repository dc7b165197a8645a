"""The digital controller of the arrays: a command queue, banks of pulse generators and converters, time and energy.

Discrete events in simpy, in integer nanoseconds of the arrays' own time; a host has no time here. What the devices do
is computed by `Crossbar`, at the time at which a command starts; `phases` tells how long it takes, and what it costs;
this file tells which bank is busy with it, and when.

All times and energies are modelled, from a `CostTable` whose entries are assumed unless they name a source.

The arrays ("tiles") of all layers are dealt to the banks in turn. A bank serves one tile at a time, first come, first
served; tiles of other banks are served at the same time. Where the recipe waits before it verifies, the bank serves
other tiles in the meantime. Currents that are summed over tiles are converted by the bank of the lowest tile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import simpy
from numpy.typing import ArrayLike, NDArray

from .costs import CostTable
from .crossbar import Crossbar, TileJob, WriteReport
from .device import State
from .errors import CrossbarError, check_number, exact
from .phases import Phase, Work, multiplication, programming, reading
from .programming import ProgramReport
from .pulse_log import PulseLog, Recorder, watched
from .shown import shown, times
from .tile import Tile

FloatArray = NDArray[np.float64]

MAX_CLOCK_S = 9e9  # fits into int64 nanoseconds, and into the device models' longest time
MAX_WAITS_S = 1e9  # of one cell: patience times the recipe's wait
_NS_PER_S = 1e9
_COUNTS = ("_started", "_weights", "_cells", "_pulses", "_verify_reads", "_vectors", "_conversions")


# Commands. Arrays in them are not copied: leave them alone until the command has run.


@dataclass(frozen=True, eq=False)
class Program:
    """Write signed levels (n_inputs, n_outputs) to a layer, as `Crossbar.write`. Result: its `WriteReport`."""

    layer: int
    levels: ArrayLike
    only_changed: bool = True


@dataclass(frozen=True, eq=False)
class Multiply:
    """Product of inputs (batch, n_inputs) and a layer, as `Crossbar.multiply`. Result: (batch, n_outputs).

    `trial` is the number of the read noise: the same trial gives the same bits.
    """

    layer: int
    x: ArrayLike
    trial: int


@dataclass(frozen=True, eq=False)
class Read:
    """Read the devices of a layer row by row, at the read voltage. Result: weights (n_inputs, n_outputs).

    With the resolution of the ADC, whose range is then `READ_HEADROOM` times the current of the highest level.
    """

    layer: int
    trial: int


@dataclass(frozen=True, eq=False)
class Wait:
    """Once all commands before it are done, let time pass before any other starts. Result: None."""

    seconds: float


Command = Program | Multiply | Read | Wait


class BankUse(NamedTuple):
    """A bank at work for a tile, from start to end.

    what: multiply, read, program or verify. Where nothing waits between them, a verification is part of its `program`;
    cells are then those of the largest round.
    """

    command: int
    layer: int
    tile: tuple[int, int]
    bank: int
    what: str
    start_ns: int
    end_ns: int
    cells: int
    pulses: int
    conversions: int
    energy_pJ: float


@shown
@dataclass(frozen=True)
class Account:
    """What all commands so far did. Counts are of the emulated events; times and energies are modelled.

    conversions include verify_reads, which are one conversion per cell and round; clipped are products whose code was
    beyond the converter's range. Waiting is the time that tiles queued for their bank, summed over the tiles.
    """

    commands: int
    weights_changed: int
    cells_written: int
    pulses: int
    verify_reads: int
    vectors: int
    conversions: int
    clipped: int
    modelled_time_ns: int
    modelled_busy_ns: tuple[int, ...]
    modelled_waiting_ns: tuple[int, ...]
    modelled_pulse_pJ: float
    modelled_conversion_pJ: float
    modelled_drive_pJ: float

    def _facts(self) -> dict[str, object]:
        energy_pJ = self.modelled_pulse_pJ + self.modelled_conversion_pJ + self.modelled_drive_pJ
        return {
            "commands": self.commands,
            "pulses": self.pulses,
            "conversions": self.conversions,
            "modelled time": f"{self.modelled_time_ns * 1e-3:.6g} us",
            "modelled energy": f"{energy_pJ * 1e-3:.6g} nJ",
        }


Process = Generator[simpy.Event, Any, None]


@shown
class Controller:
    """The layers' arrays with a command queue.

    Commands on one layer run in the order in which they were submitted. Commands on different layers overlap as far
    as the banks allow. The same commands give the same bits.

    Parameters
    ----------
    crossbars : sequence of Crossbar
        The layers. From now on they are to be used through the controller alone, but for `Crossbar.calibrate`.
    costs : CostTable
    banks : int
        Sets of pulse generators and converters.
    log_pulses : bool
        Keep every single pulse, see `pulse_log`.
    log_limit : int
        Most pulses to keep.

    Attributes
    ----------
    timeline : tuple of BankUse
        Of the last `run`, in order of start.

    Raises
    ------
    CrossbarError
        A bad argument, or a recipe that can't be run.
    """

    def __init__(
        self,
        crossbars: Sequence[Crossbar],
        costs: CostTable,
        banks: int,
        log_pulses: bool = False,
        log_limit: int = 1_000_000,
    ) -> None:
        if not crossbars:
            raise CrossbarError("controller.crossbars is empty; give one crossbar per layer")
        check_number("controller.banks", banks, 1, 65_536, "", "give the number of banks", whole=True)
        check_number("controller.log_limit", log_limit, 0, 1e9, "pulses", "give the length of the log", whole=True)
        for crossbar in crossbars:
            _check_recipe(crossbar)
        self.crossbars, self.costs = tuple(crossbars), costs
        self.timeline: tuple[BankUse, ...] = ()
        self._start_clock(round(max(crossbar.now_s for crossbar in crossbars) * _NS_PER_S), banks)
        tiles = [len(crossbar.tiles) * len(crossbar.tiles[0]) for crossbar in crossbars]
        self._first_tile = np.cumsum([0, *tiles]).tolist()
        self._queue: list[Command] = []
        self._uses: list[BankUse] = []
        self._started = self._weights = self._cells = self._pulses = self._verify_reads = 0
        self._vectors = self._conversions = 0
        self._drive_pJ = 0.0
        self._busy_ns, self._waiting_ns = [0] * banks, [0] * banks
        self._kept_row_sums: dict[Tile, tuple[int, FloatArray]] = {}
        self._log = Recorder(costs, log_limit) if log_pulses else None

    def _facts(self) -> dict[str, object]:
        return {
            "layers": ", ".join(times(crossbar.shape) for crossbar in self.crossbars),
            "banks": len(self._banks),
            "queued": len(self._queue),
            "time": f"{self.now_ns} ns",
        }

    @property
    def now_ns(self) -> int:
        """Time since the arrays were made."""
        return int(self._env.now)

    def submit(self, *commands: Command) -> None:
        """Queue commands: all of them, or none if one is bad.

        Raises
        ------
        CrossbarError
            No such layer, a level or an input out of range, a converter without a range, a negative wait; arrays,
            clock and queue are as they were.
        """
        for command in commands:
            self._check(command)
        ahead_ns = sum(self._waits_ns(command) for command in (*self._queue, *commands))
        end_s = (self.now_ns + ahead_ns) / _NS_PER_S
        check_number("controller.time", end_s, 0.0, MAX_CLOCK_S, "s", "the waits are too long; give seconds")
        self._queue.extend(commands)

    def run(self) -> list[Any]:
        """Execute all queued commands.

        Returns
        -------
        list
            Their results, in the order in which they were submitted.
        """
        commands, self._queue, self._uses = self._queue, [], []
        results: list[Any] = [None] * len(commands)
        env = self._env
        ready: list[list[simpy.Event]] = [[] for _ in self.crossbars]  # what the next command of a layer waits for
        for index, command in enumerate(commands):
            if isinstance(command, Wait):
                before = list(dict.fromkeys(event for events in ready for event in events))
                ready = [[env.process(self._wait(command, before))]] * len(ready)
            else:
                before = ready[command.layer]
                ready[command.layer] = [env.process(self._execute(index, command, before, results, len(commands) == 1))]
        env.run(env.all_of([event for events in ready for event in events]))
        self._started += len(commands)
        for crossbar in self.crossbars:
            self._bring(crossbar)
        self.timeline = tuple(sorted(self._uses, key=lambda use: use.start_ns))
        return results

    def execute(self, command: Command) -> Any:
        """Submit a command, run the queue, and return the result of this command."""
        self.submit(command)
        return self.run()[-1]

    def account(self) -> Account:
        """What all commands so far did."""
        return Account(
            commands=self._started,
            weights_changed=self._weights,
            cells_written=self._cells,
            pulses=self._pulses,
            verify_reads=self._verify_reads,
            vectors=self._vectors,
            conversions=self._conversions,
            clipped=sum(int(crossbar.account()["clipped"]) for crossbar in self.crossbars),
            modelled_time_ns=self.now_ns,
            modelled_busy_ns=tuple(self._busy_ns),
            modelled_waiting_ns=tuple(self._waiting_ns),
            modelled_pulse_pJ=self._pulses * self.costs.pulse_pJ,
            modelled_conversion_pJ=self._conversions * self.costs.conversion_pJ,
            modelled_drive_pJ=self._drive_pJ,
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """What all commands so far have made of arrays, clock and account: arrays of fixed names, shapes and dtypes.

        Queued commands, the timeline and the pulse log aren't part of it.
        """
        layers = {
            f"layer{k}/{name}": array
            for k, crossbar in enumerate(self.crossbars)
            for name, array in crossbar.state().items()
        }
        counts = [getattr(self, name) for name in _COUNTS]
        return {
            **layers,
            "counts": np.array([self.now_ns, *counts], dtype=np.int64),
            "bank_ns": np.array([self._busy_ns, self._waiting_ns], dtype=np.int64),
            "drive_pJ": np.array([self._drive_pJ]),
        }

    def load_state(self, state: State) -> None:
        """Go on from what `state` of a controller of the same arrays returned, to the same bits.

        Raises
        ------
        CrossbarError
            The state is that of other arrays; these are as they were.
        """
        for name, array in self.state().items():
            if name not in state or state[name].shape != array.shape:
                found = state[name].shape if name in state else "missing"
                raise CrossbarError(f"state[{name!r}] is {found}, not {array.shape}: it is the state of other arrays")
        for k, crossbar in enumerate(self.crossbars):
            start = f"layer{k}/"
            crossbar.load_state({n.removeprefix(start): array for n, array in state.items() if n.startswith(start)})
        now_ns, *counts = (int(n) for n in state["counts"])
        for name, count in zip(_COUNTS, counts, strict=True):
            setattr(self, name, count)
        self._busy_ns, self._waiting_ns = state["bank_ns"].tolist()
        self._drive_pJ = float(state["drive_pJ"][0])
        self._start_clock(now_ns, len(self._banks))
        self._queue, self.timeline = [], ()

    def pulse_log(self) -> PulseLog:
        """Single pulses so far.

        Raises
        ------
        CrossbarError
            The controller keeps no log.
        """
        if self._log is None:
            raise CrossbarError("controller.log_pulses = False: no pulses were kept; set it to True")
        return self._log.read()

    def __getstate__(self) -> dict[str, Any]:
        """For copies. Between two runs the time is all that matters of simpy's environment; its processes are over."""
        return self.__dict__ | {"_env": self.now_ns, "_banks": len(self._banks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_clock(state["_env"], state["_banks"])

    def _start_clock(self, now_ns: int, banks: int) -> None:
        self._env = simpy.Environment(now_ns)
        self._banks = [simpy.Resource(self._env) for _ in range(banks)]

    # Checks

    def _check(self, command: Command) -> None:
        if isinstance(command, Wait):
            remedy = "time doesn't run backwards"
            check_number("wait.seconds", command.seconds, 0.0, MAX_CLOCK_S, "s", remedy)
            return
        if not isinstance(command, Command):
            raise CrossbarError(f"command = {command!r} is unknown; choose Program, Multiply, Read or Wait")
        check_number("command.layer", command.layer, 0, len(self.crossbars) - 1, "", "name a layer", whole=True)
        crossbar = self.crossbars[command.layer]
        if isinstance(command, Program):
            crossbar.mapping.check_levels(command.levels, crossbar.shape)
            return
        check_number("command.trial", command.trial, 0, 2**62, "", "give the number of the noise", whole=True)
        if isinstance(command, Multiply):
            crossbar.config.dac.check(command.x, crossbar.shape[0])
            if crossbar.config.adc.bits is not None and crossbar.range_uA is None:
                raise CrossbarError("adc.range_uA = None: the converters have no range yet; call calibrate or set it")

    def _waits_ns(self, command: Command) -> int:
        """Upper limit of the waits in a command."""
        if isinstance(command, Wait):
            return round(command.seconds * _NS_PER_S)
        recipe = self.crossbars[command.layer].config.recipe
        return round(recipe.wait_s * recipe.max_pulses * _NS_PER_S) if isinstance(command, Program) else 0

    # Processes

    def _wait(self, command: Wait, before: list[simpy.Event]) -> Process:
        yield self._env.all_of(before)
        yield self._env.timeout(round(command.seconds * _NS_PER_S))

    def _execute(self, index: int, command: Any, before: list[simpy.Event], results: list[Any], alone: bool) -> Process:
        """Compute what the devices do, and let the tiles queue for their banks; alone: no other command runs."""
        env, number = self._env, self._started + index
        yield env.all_of(before)
        crossbar = self.crossbars[command.layer]
        self._bring(crossbar)
        perform: dict[type, Callable[..., tuple[Any, Work]]]
        perform = {Program: self._program, Multiply: self._multiply, Read: self._read}
        results[index], work = perform[type(command)](crossbar, command)
        if alone and all(len(phases) == 1 and not phases[0].wait_ns for phases in work.values()):
            yield env.timeout(self._serve_in_turn(number, command.layer, work))
        else:
            yield env.all_of([env.process(self._serve(number, command.layer, *item)) for item in work.items()])

    def _serve_in_turn(self, number: int, layer: int, work: Work) -> int:
        """`_serve` for all tiles of a command while no other command runs, if each needs its bank once: then when a
        bank is free is a sum. Returns the time that it takes, ns."""
        now = int(self._env.now)
        free: dict[int, int] = {}
        turns = []
        for tile, (phase,) in work.items():
            bank = self._bank(layer, tile)
            start = free.get(bank, now)
            free[bank] = start + phase.duration_ns
            turns.append((free[bank], start, tile, bank, phase))
        for end, start, tile, bank, phase in sorted(turns, key=lambda turn: turn[:2]):  # as they end
            self._count(number, layer, tile, bank, phase, now, start, end)
        return max(free.values(), default=now) - now

    def _bank(self, layer: int, tile: tuple[int, int]) -> int:
        columns = len(self.crossbars[layer].tiles[0])
        return (self._first_tile[layer] + tile[0] * columns + tile[1]) % len(self._banks)

    def _serve(self, number: int, layer: int, tile: tuple[int, int], phases: list[Phase]) -> Process:
        """One tile's way through its bank."""
        env = self._env
        bank = self._bank(layer, tile)
        for phase in phases:
            asked = int(env.now)
            with self._banks[bank].request() as turn:
                yield turn
                start = int(env.now)
                yield env.timeout(phase.duration_ns)
            self._count(number, layer, tile, bank, phase, asked, start, int(env.now))
            if phase.wait_ns:
                yield env.timeout(phase.wait_ns)

    def _count(
        self, number: int, layer: int, tile: tuple[int, int], bank: int, phase: Phase, asked: int, start: int, end: int
    ) -> None:
        """Enter a phase that a bank was asked for, has begun and has ended, in ns."""
        costs = self.costs
        self._waiting_ns[bank] += start - asked
        self._busy_ns[bank] += end - start
        self._pulses += phase.pulses
        self._conversions += phase.conversions
        self._drive_pJ += phase.drive_pJ
        energy_pJ = phase.pulses * costs.pulse_pJ + phase.conversions * costs.conversion_pJ + phase.drive_pJ
        self._uses.append(
            BankUse(
                number, layer, tile, bank, phase.what, start, end,
                phase.cells, phase.pulses, phase.conversions, energy_pJ,
            )
        )  # fmt: skip
        if self._log is not None:
            for offset_ns, call in phase.calls:
                self._log.add(start + offset_ns, layer, tile, call)

    def _bring(self, crossbar: Crossbar) -> None:
        """Bring a layer's clock to the controller's."""
        crossbar.now_s = max(crossbar.now_s, self.now_ns / _NS_PER_S)

    # What commands do, and which work that is for the banks

    def _program(self, crossbar: Crossbar, command: Program) -> tuple[WriteReport, Work]:
        work: Work = {}
        done: list[tuple[TileJob, ProgramReport]] = []
        now_s = crossbar.now_s
        for job in crossbar.plan(command.levels, command.only_changed):
            tile = crossbar.tiles[job.tile[0]][job.tile[1]]
            if self._log is None:
                report, calls = crossbar.program(job), []
            else:
                with watched(tile.cells) as calls:
                    report = crossbar.program(job)
                assert report.pulses.sum() == sum(int(call.was_set.sum() + call.was_reset.sum()) for call in calls)
            work[job.tile] = programming(job, report, crossbar.config, calls, self.costs)
            self._verify_reads += sum(phase.conversions for phase in work[job.tile])
            done.append((job, report))
            now_s = max(now_s, tile.cells.now_s)  # later than its start, if the recipe waits
        crossbar.now_s = now_s
        written = WriteReport.over(done, crossbar.config.recipe)
        self._weights += written.weights
        self._cells += written.cells
        return written, work

    def _multiply(self, crossbar: Crossbar, command: Multiply) -> tuple[FloatArray, Work]:
        product = crossbar.multiply(command.x, command.trial)
        self._vectors += len(product)
        return product, multiplication(crossbar, command.x, self.costs, self._row_sums)

    def _read(self, crossbar: Crossbar, command: Read) -> tuple[FloatArray, Work]:
        return crossbar.read(command.trial), reading(crossbar, self.costs, self._row_sums)

    def _row_sums(self, tile: Tile) -> FloatArray:
        """Conductance of all cells of each row, (rows,) uS; kept until the tile changes."""
        version, sums = self._kept_row_sums.get(tile, (-1, np.empty(0)))
        if version != tile.version:
            sums = np.asarray(tile.cells.g_uS.sum(axis=1), dtype=np.float64)
            self._kept_row_sums[tile] = tile.version, sums
        return sums


def _check_recipe(crossbar: Crossbar) -> None:
    """Refuse at once what would be refused at the first write."""
    recipe, device = crossbar.config.recipe, crossbar.config.device
    if recipe.method != "one_shot":
        remedy = "give the largest accepted distance from the target"
        check_number("recipe.tolerance_uS", recipe.tolerance_uS, 0.0, device.range_uS, "uS", remedy)
    waits_s = recipe.wait_s * (recipe.max_pulses + 1)
    if waits_s > MAX_WAITS_S:
        raise CrossbarError(
            f"recipe.wait_s = {exact(recipe.wait_s)} s after each of recipe.max_pulses = {recipe.max_pulses} pulses may"
            f" take {exact(waits_s)} s, above {exact(MAX_WAITS_S)} s; lower one of them"
        )
