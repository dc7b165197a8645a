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
from functools import partial
from typing import Any, NoReturn

from neurohil.errors import Stopped, UserError
from neurohil.kinds import FAMILIES, KINDS, Kind
from neurohil.text import one_line, say
from neurohil.version import __version__

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
    _add_runs(commands)
    _add_trace(commands)
    doctor = commands.add_parser(
        "doctor",
        help="say what this machine lacks",
        description="Say what this machine has and lacks for running, with remedies; exit code 1 if something lacks.",
    )
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as one JSON line, alone on stdout")
    warm = commands.add_parser(
        "warm",
        help="compile the kernels of all kinds of runs now, so that no first run has to",
        description="Run each experiment in its smallest form, in memory, so that the kernels are compiled and kept.",
    )
    warm.set_defaults(command=_warm)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from neurohil.cli.doctor import doctor

    return doctor(options.json)


def _warm(_: argparse.Namespace) -> None:
    from neurohil.cli.warm import warm

    warm()


def _add_runs(commands: argparse._SubParsersAction) -> None:
    """A command for each kind of run; those of a family are commands of one command."""
    families: dict[str, argparse._SubParsersAction] = {}
    for kind in KINDS.values():
        family, _, measurement = kind.name.rpartition(" ")
        if family and family not in families:
            families[family] = _add_family(commands, family)
        command = families.get(family, commands).add_parser(
            measurement, help=kind.summary, description=kind.description
        )
        command.set_defaults(command=partial(_run, kind))
        _add_run_options(command, kind)


def _add_family(commands: argparse._SubParsersAction, family: str) -> argparse._SubParsersAction:
    summary, description = FAMILIES[family]
    parser = commands.add_parser(family, help=summary, description=description)
    parser.set_defaults(command=partial(_family, family))
    parser.add_argument("--list", action="store_true", help="list the experiments and stop")
    return parser.add_subparsers(metavar="MEASUREMENT")


def _family(family: str, options: argparse.Namespace) -> None:
    kinds = {kind.name.partition(" ")[2]: kind for kind in KINDS.values() if kind.name.startswith(f"{family} ")}
    *first, last = kinds
    if not options.list:
        raise UserError(f"name a measurement: {', '.join(first)} or {last} (neurohil {family} --help)")
    _list_experiments(kinds[last].folder)


def _run(kind: Kind, options: argparse.Namespace) -> None:
    if options.list:
        _list_experiments(kind.folder)
        return
    if not kind.measures:
        _check_resume(kind, options)
    from neurohil.cli.run import run

    run(kind, options)


def _add_run_options(command: argparse.ArgumentParser, kind: Kind) -> None:
    """Experiment, changes of its config, files, and the form of the results."""
    family = kind.name.partition(" ")[0]
    command.add_argument(
        "experiment", nargs="?", help=f"a name from `{family} --list`, or a .toml file" if kind.measures else
        "a name from --list, or a .toml file",
    )  # fmt: skip
    if not kind.measures:
        command.add_argument("--list", action="store_true", help="list the experiments and stop")
    for option in kind.options:
        command.add_argument(f"--{option.name}", type=int, metavar="N", help=option.help)
    if kind.compares:
        command.add_argument("--compare", metavar="FILE", help="trace whose accuracies are drawn beside this run's")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a config value, e.g. training.batch=50"
    )
    stem = "EXPERIMENT-" + f"{kind.name.partition(' ')[2]}-" * kind.measures + "seedN"
    command.add_argument(
        "--out", metavar="FILE", help=f"trace to write (default runs/{stem}.h5, and what differs in its name)"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace the trace of that name when this run has finished"
    )
    if not kind.measures:
        command.add_argument("--resume", metavar="FILE", help="go on with an interrupted run, by its .part file")
    command.add_argument("--json", action="store_true", help="print the results as one line, alone on stdout")


def _check_resume(kind: Kind, options: argparse.Namespace) -> None:
    """An experiment with its options, or a run to resume without any."""
    names = ["experiment", *(option.name for option in kind.options), "set", "out"]
    given = [name for name in names if getattr(options, name) not in (None, [])]
    if options.resume and given:
        raise UserError(f"--resume takes everything from the interrupted run; drop {', '.join(given)}")
    if not options.resume and not options.experiment:
        raise UserError(f"name an experiment (neurohil {kind.name} --list shows them) or give --resume FILE")


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
    export.add_argument("--to", required=True, choices=_formats(), help="format")
    export.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")
    report = action("report", "write one page of HTML with interactive figures")
    report.add_argument("file", metavar="FILE")
    report.add_argument("--out", metavar="HTML", help="page to write (default: beside the trace)")
    report.add_argument("--open", action="store_true", dest="is_opened", help="open it in the browser")


def _formats() -> tuple[str, ...]:
    """What traces can be exported to: what kinds of runs have of their own, and CSV."""
    return (*dict.fromkeys(name for kind in KINDS.values() for name in kind.exports), "csv")


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
