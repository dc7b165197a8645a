"""What all programs of this folder share: their options with --quick, the timing of a call, and files of results.

--quick: the smallest sizes that still go through all of a program, in seconds. What it finds is worth nothing, so it
goes to runs/quick-*, which each quick run replaces, and never over what is tracked.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurohil.errors import UserError
from neurohil.files import make_folder, replacing


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows --quick."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--quick", action="store_true", help="all of it in seconds, at the smallest sizes, to runs/quick-*"
    )
    return made


def parsed(made: argparse.ArgumentParser, arguments: Sequence[str] | None, **quick: Any) -> argparse.Namespace:
    """The options; with --quick, those that aren't given take the values of `quick`."""
    if made.parse_args(arguments).quick:
        made.set_defaults(**quick)
    return made.parse_args(arguments)


def runs(name: str, quick: bool) -> Path:
    """Where a program writes if the user doesn't say."""
    return Path("runs") / (f"quick-{name}" if quick else name)


def write(path: Path, text: str, is_ours: Callable[[Path], bool]) -> None:
    """Write a file, whole or not at all, where nothing stands or what `is_ours` recognises.

    Raises
    ------
    UserError
        Something else stands there, which stays; it can't be written.
    """
    try:
        make_folder(path.parent)
        with replacing(path, is_ours) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} can't be written ({error.strerror}); choose another file") from error


def holds(path: Path, is_ours: Callable[[Any], bool]) -> bool:
    """Whether a JSON file holds what `is_ours` recognises, which may raise what comes of another form."""
    try:
        return is_ours(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return False


@contextmanager
def errors_of(program: str) -> Iterator[None]:
    """A user's error ends the program with one sentence."""
    try:
        yield
    except UserError as error:
        sys.exit(f"{program}: {error}")


@contextmanager
def timed(
    owner: Any, name: str, seconds: list[float], clock: Callable[[], float] = time.perf_counter
) -> Iterator[None]:
    """Every call of a function or method of `owner` adds the seconds that it took."""
    from unittest.mock import patch

    original = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            return original(*args, **kwargs)
        finally:
            seconds.append(clock() - began)

    with patch.object(owner, name, measured):
        yield
