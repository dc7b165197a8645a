"""What a network that was trained in the loop with one emulated chip is worth on another.

Three numbers per pair of chips: on its own chip, on the other chip as it is, on the other chip after it was trained
there for some more epochs. Each accuracy is the mean of several noisy evaluations on the test set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks import commands
from neurohil.delgrad.run import DelGradRun
from neurohil.kinds import KINDS


def mean_accuracy(run: DelGradRun, evaluations: int) -> float:
    """Mean test accuracy over noisy evaluations."""
    return float(np.mean([run.evaluate("test").accuracy for _ in range(evaluations)]))


def transfer(
    experiment: str, seed: int, serials: tuple[int, int], epochs: int | None, more_epochs: int, evaluations: int
) -> list[float]:
    """Accuracy on the home chip, on the other chip, and there after `more_epochs` of training."""
    home, other = (
        DelGradRun(KINDS["delgrad"].load(experiment, [f"seed={seed}", f"target.serial={serial}"])) for serial in serials
    )
    home.train(epochs, progress=True)
    at_home = mean_accuracy(home, evaluations)
    other.load_state(home.state())
    moved = mean_accuracy(other, evaluations)
    other.train(more_epochs, progress=True)
    return [at_home, moved, mean_accuracy(other, evaluations)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--experiment", default="chip_yin_yang_axonal")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of chips")
    parser.add_argument("--epochs", type=int, help="on the home chip (default: those of the experiment)")
    parser.add_argument("--more-epochs", type=int, default=50)
    parser.add_argument("--evaluations", type=int, default=5)
    options = commands.parsed(parser, arguments, pairs=1, epochs=1, more_epochs=1, evaluations=2)
    print("| home serial | other serial | at home | moved as it is | trained again |\n| --- | --- | --- | --- | --- |")
    rows = []
    for k in range(options.pairs):
        serials = (1 + k, 101 + k)
        row = transfer(options.experiment, k + 1, serials, options.epochs, options.more_epochs, options.evaluations)
        print(f"| {serials[0]} | {serials[1]} | " + " | ".join(f"{100 * a:.1f} %" for a in row) + " |", flush=True)
        rows.append(row)
    print("| median | | " + " | ".join(f"**{100 * a:.1f} %**" for a in np.median(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
