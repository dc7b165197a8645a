"""The command line: `neurohil SUBCOMMAND ...`. Heavy packages load only when a subcommand runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hil import __version__
from hil.errors import UserError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 ok, 1 failed at run time, 2 bad usage or config)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.command(options)
    except UserError as error:
        print(f"neurohil: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        print(f"neurohil: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interrupt:
        print(f"\nneurohil: {interrupt or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neurohil", description="A laboratory without the laboratory: train in the loop with emulated hardware."
    )
    parser.add_argument("--version", action="version", version=f"neurohil {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_delgrad(commands)
    _add_crossbar(commands)
    _add_metaplasticity(commands)
    return parser


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
    from hil.commands import delgrad

    if options.resume:
        delgrad.resume(options.resume, options.json)
        return
    overrides = [
        f"{name}={getattr(options, name)}" for name in ("seed", "epochs") if getattr(options, name) is not None
    ]
    if options.serial is not None:
        overrides.append(f"target.serial={options.serial}")
    delgrad.start(options.experiment, [*options.set, *overrides], options.out, options.json)


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
    from hil.commands import metaplasticity

    if options.resume:
        metaplasticity.resume(options.resume, options.compare, options.json)
        return
    values = {"seed": options.seed, "training.epochs": options.epochs}
    overrides = [*options.set, *(f"{key}={value}" for key, value in values.items() if value is not None)]
    metaplasticity.start(options.experiment, overrides, options.out, options.compare, options.json)


def _add_experiment(command: argparse.ArgumentParser) -> None:
    command.add_argument("experiment", nargs="?", help="a name from --list, or a .toml file")
    command.add_argument("--list", action="store_true", help="list the experiments and stop")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    """What all commands that train have: changes of the config, files, and the form of the results."""
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a config value, e.g. training.batch=50"
    )
    command.add_argument("--out", metavar="FILE", help="trace to write (default runs/EXPERIMENT-seedN.h5)")
    command.add_argument("--resume", metavar="FILE", help="go on with an interrupted run")
    command.add_argument("--json", action="store_true", help="print the results as one JSON line at the end")


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
            "--out", metavar="FILE", help=f"trace to write (default runs/EXPERIMENT-{name}-seedN.h5)"
        )
        measurement.add_argument("--json", action="store_true", help="print the results as one JSON line at the end")


def _crossbar(options: argparse.Namespace) -> None:
    if options.list:
        _list_experiments("crossbar")
        return
    if options.measurement is None:
        raise UserError("name a measurement: program, characterise, age or ir-drop (neurohil crossbar --help)")
    from hil.commands import crossbar

    seed = [] if options.seed is None else [f"target.seed={options.seed}"]
    crossbar.start(options.measurement, options.experiment, [*options.set, *seed], options.out, options.json)


def _list_experiments(kind: str) -> None:
    from hil.config import experiment_summaries

    for name, summary in experiment_summaries(kind).items():
        print(f"{name:<26} {summary}")
