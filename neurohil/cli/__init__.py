"""The command line: `neurohil SUBCOMMAND ...`. Heavy packages load only when a subcommand runs."""

from __future__ import annotations

import _thread
import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from neurohil import __version__
from neurohil.errors import Stopped, UserError
from neurohil.text import one_line, say

OK, FAILED, USAGE = 0, 1, 2
EXIT_CODES = """\
exit codes:
  0    done
  1    failed at run time: disk, memory, a check that finds something
  2    wrong usage, config or file
  129  stopped by SIGHUP (terminal closed)
  130  stopped by SIGINT (Ctrl-C)
  143  stopped by SIGTERM
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, see EXIT_CODES."""
    _open_closed_streams()
    try:
        with _no_lost_interrupt():
            options = _parser().parse_args(arguments)
            code = options.command(options) or OK
            sys.stdout.flush()
            return code
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough
        _give_up_output()
        return OK
    except UserError as error:
        return _failed(str(error), USAGE)
    except OSError as error:
        _give_up_output()
        return _failed(str(error), FAILED)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        return _failed(f"there is not enough memory{reason}; lower sizes, or free memory", FAILED)
    except RecursionError:
        return _failed("something is nested too deeply; make it flatter", FAILED)
    except SystemError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # it came while compiled code returned
            return _failed("interrupted", 128 + signal.SIGINT)
        raise
    except KeyboardInterrupt as interrupt:
        number = interrupt.signal if isinstance(interrupt, Stopped) else signal.SIGINT
        say("", file=sys.stderr)  # after the terminal's ^C
        return _failed(str(interrupt) or "interrupted", 128 + number)


def _failed(sentence: str, code: int) -> int:
    with suppress(OSError):  # the terminal may be gone
        say(f"neurohil: {sentence}", file=sys.stderr)
    return code


@contextmanager
def _no_lost_interrupt() -> Iterator[None]:
    """Python drops an interrupt that hits a callback of the compiler, and prints a traceback; here it comes again a
    moment later."""

    def hook(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            before(lost)

    before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _open_closed_streams() -> None:
    """The next file would get the number of a closed one (`>&-`), and what is printed would go into it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def _give_up_output() -> None:
    """What can't be written to stdout now (a pipe without a reader, a full disk) isn't tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors can't steer the terminal with what was typed."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="neurohil",
        description="A laboratory without the laboratory: train in the loop with emulated hardware.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"neurohil {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_delgrad(commands)
    _add_crossbar(commands)
    _add_metaplasticity(commands)
    _add_trace(commands)
    doctor = commands.add_parser(
        "doctor",
        help="say what this machine lacks",
        description="Say what this machine has and lacks for running, with remedies; exit code 1 if something lacks.",
    )
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as one JSON line, alone on stdout")
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from neurohil.cli.doctor import doctor

    return doctor(options.json)


def _add_delgrad(commands: argparse._SubParsersAction) -> None:
    delgrad = commands.add_parser(
        "delgrad",
        help="train weights and delays from spike times",
        description="Train a spiking network with DelGrad, on ideal neurons or in the loop with the emulated chip.",
    )
    delgrad.set_defaults(command=_delgrad)
    _add_experiment(delgrad)
    delgrad.add_argument("--seed", type=int, metavar="N", help="seed of initial values, order, and trial noise")
    delgrad.add_argument("--serial", type=int, metavar="N", help="serial number of the emulated chip")
    delgrad.add_argument("--epochs", type=int, metavar="N", help="number of epochs")
    _add_run_options(delgrad)


def _delgrad(options: argparse.Namespace) -> None:
    if options.list:
        _list_experiments("delgrad")
        return
    _check_resume(options, ("experiment", "seed", "serial", "epochs", "set", "out"))
    from neurohil.delgrad import run as delgrad

    if options.resume:
        delgrad.resume(options.resume, options.json, options.overwrite)
        return
    overrides = [
        f"{name}={getattr(options, name)}" for name in ("seed", "epochs") if getattr(options, name) is not None
    ]
    if options.serial is not None:
        overrides.append(f"target.serial={options.serial}")
    delgrad.start(options.experiment, [*options.set, *overrides], options.out, options.json, options.overwrite)


def _add_metaplasticity(commands: argparse._SubParsersAction) -> None:
    metaplasticity = commands.add_parser(
        "metaplasticity",
        help="learn tasks one after the other with consolidated weights",
        description="Learn tasks one after the other with quantised weights, on ideal ones or on an emulated crossbar.",
    )
    metaplasticity.set_defaults(command=_metaplasticity)
    _add_experiment(metaplasticity)
    metaplasticity.add_argument("--seed", type=int, metavar="N", help="seed of initial values and order")
    metaplasticity.add_argument("--epochs", type=int, metavar="N", help="number of epochs of each task")
    metaplasticity.add_argument("--compare", metavar="FILE", help="trace whose accuracies are drawn beside this run's")
    _add_run_options(metaplasticity)


def _metaplasticity(options: argparse.Namespace) -> None:
    if options.list:
        _list_experiments("metaplasticity")
        return
    _check_resume(options, ("experiment", "seed", "epochs", "set", "out"))
    # More threads of the BLAS library give other bits, and wait for each other wherever a core has other work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from neurohil.metaplasticity import run as metaplasticity

    if options.resume:
        metaplasticity.resume(options.resume, options.compare, options.json, options.overwrite)
        return
    values = {"seed": options.seed, "training.epochs": options.epochs}
    overrides = [*options.set, *(f"{key}={value}" for key, value in values.items() if value is not None)]
    metaplasticity.start(options.experiment, overrides, options.out, options.compare, options.json, options.overwrite)


def _add_experiment(command: argparse.ArgumentParser) -> None:
    command.add_argument("experiment", nargs="?", help="a name from --list, or a .toml file")
    command.add_argument("--list", action="store_true", help="list the experiments and stop")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    """What all commands that train have: changes of the config, files, and the form of the results."""
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a config value, e.g. training.batch=50"
    )
    command.add_argument(
        "--out", metavar="FILE", help="trace to write (default runs/EXPERIMENT-seedN.h5, and what differs in its name)"
    )
    _add_overwrite(command)
    command.add_argument("--resume", metavar="FILE", help="go on with an interrupted run, by its .part file")
    command.add_argument("--json", action="store_true", help="print the results as one line, alone on stdout")


def _add_overwrite(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--overwrite", action="store_true", help="replace the trace of that name when this run has finished"
    )


def _check_resume(options: argparse.Namespace, names: Sequence[str]) -> None:
    """An experiment with its options, or a run to resume without any."""
    given = [name for name in names if getattr(options, name) not in (None, [])]
    if options.resume and given:
        raise UserError(f"--resume takes everything from the interrupted run; drop {', '.join(given)}")
    if not options.resume and not options.experiment:
        command = options.command.__name__.removeprefix("_")
        raise UserError(f"name an experiment (neurohil {command} --list shows them) or give --resume FILE")


def _add_crossbar(commands: argparse._SubParsersAction) -> None:
    crossbar = commands.add_parser(
        "crossbar",
        help="measure on an emulated memristor array",
        description="Measure on one emulated memristor array: what is written, what remains of it, what fails.",
    )
    crossbar.set_defaults(command=_crossbar)
    crossbar.add_argument("--list", action="store_true", help="list the experiments and stop")
    measurements = crossbar.add_subparsers(dest="measurement", metavar="MEASUREMENT")
    for name, summary in (
        ("program", "write an array: levels at once, a day later and after wear; pulses, time, energy"),
        ("characterise", "spread and drift of each level against the device model; verifying with a wait"),
        ("age", "failed cells over cycles, errors over time"),
        ("ir-drop", "voltages on the wires, loss over size and wire resistance"),
    ):
        measurement = measurements.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        measurement.add_argument("experiment", nargs="?", help="a name from `crossbar --list`, or a .toml file")
        measurement.add_argument("--seed", type=int, metavar="N", help="which individual array, and its noise")
        measurement.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change a config value"
        )
        measurement.add_argument(
            "--out",
            metavar="FILE",
            help=f"trace to write (default runs/EXPERIMENT-{name}-seedN.h5, and what differs in its name)",
        )
        _add_overwrite(measurement)
        measurement.add_argument("--json", action="store_true", help="print the results as one line, alone on stdout")


def _crossbar(options: argparse.Namespace) -> None:
    if options.list:
        _list_experiments("crossbar")
        return
    if options.measurement is None:
        raise UserError("name a measurement: program, characterise, age or ir-drop (neurohil crossbar --help)")
    from neurohil.probing import run as crossbar

    seed = [] if options.seed is None else [f"target.serial={options.seed}"]
    overrides = [*options.set, *seed]
    crossbar.start(options.measurement, options.experiment, overrides, options.out, options.json, options.overwrite)


def _add_trace(commands: argparse._SubParsersAction) -> None:
    trace = commands.add_parser(
        "trace",
        help="look into what a run has written",
        description="Look into a trace, of a run that is finished, goes on, or was interrupted (.part).",
    )
    trace.set_defaults(command=_trace)
    actions = trace.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    ls = action("ls", "list what is in it: shapes, units, a sparkline")
    ls.add_argument("files", nargs="+", metavar="FILE")
    ls.add_argument("--json", action="store_true", dest="as_json", help="print a line of JSON for each file")
    show = action("show", "show one dataset, with statistics, or one group")
    show.add_argument("file", metavar="FILE")
    show.add_argument("path", metavar="PATH", help="a path from `trace ls`, e.g. run/accuracy")
    validate = action("validate", "check the rules that readers and viewers rely on; exit code 1 if one is broken")
    validate.add_argument("files", nargs="+", metavar="FILE")
    plot = action("plot", "draw a plot in a window, to a file, or with characters where there is no display")
    plot.add_argument("file", metavar="FILE")
    plot.add_argument("path", nargs="?", metavar="PATH", help="a plot (default: the one that viewers open with)")
    plot.add_argument("--out", metavar="FILE", help="picture to write, .png or .svg")
    plot.add_argument("--epoch", type=int, metavar="N", help="which epoch, of a plot that has several (default: last)")
    diff = action("diff", "tell what differs; exit code 0 if nothing does, 1 if something does, 2 in trouble")
    diff.add_argument("a", metavar="A")
    diff.add_argument("b", metavar="B")
    for name in ("rtol", "atol"):
        kind = {"rtol": "relative", "atol": "absolute"}[name]
        diff.add_argument(f"--{name}", type=float, default=0.0, metavar="X", help=f"{kind} tolerance (default 0)")
    watch = action("watch", "follow a run, epoch by epoch; exit code 1 if it stops before its last epoch")
    watch.add_argument("file", metavar="FILE", help="the trace that the run will leave, or its .part file")
    export = action("export", "write it in another format")
    export.add_argument("file", metavar="FILE")
    export.add_argument("--to", required=True, choices=("sonata", "nir", "csv"), help="format")
    export.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")
    report = action("report", "write one page of HTML with interactive figures")
    report.add_argument("file", metavar="FILE")
    report.add_argument("--out", metavar="HTML", help="page to write (default: beside the trace)")
    report.add_argument("--open", action="store_true", dest="is_opened", help="open it in the browser")


def _trace(options: argparse.Namespace) -> int:
    from neurohil.cli import trace

    given = {name: value for name, value in vars(options).items() if name not in ("command", "action")}
    try:
        code = getattr(trace, options.action)(**given)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(str(error)) from error
    return int(code)


def _list_experiments(kind: str) -> None:
    from neurohil.config import experiment_summaries

    for name, summary in experiment_summaries(kind).items():
        say(f"{name:<26} {summary}")
