"""The preset `w66f3` against what the DelGrad authors measured on chip W66F3.

A network is trained in the loop, then its output spike times are compared with those of an ideal chip that has the
same quantised weights and delays, as it was done with the published spike times. One row per network: the offset of
each output neuron (median), the robust spread around it, the trial-to-trial noise, and the share of missing spikes,
times in tau (6 us).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks import commands
from neurohil.delgrad.run import DelGradRun
from neurohil.kinds import KINDS

MEASURED = {
    "chip_yin_yang_axonal": "-0.05, -0.12, -0.29 | 0.05, 0.08, 0.18 | 0.016, 0.023, 0.028 | 0.1 ... 0.4",
    "chip_yin_yang_weights": "0.06, 0.06, -0.02 | 0.10, 0.10, 0.11 | 0.023, 0.029, 0.028 | 1.4 ... 6.4",
}
TRIALS = 1_000_000  # past those of training


def robust_std(values: np.ndarray) -> float:
    """Standard deviation of the normal distribution with the same median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def statistics(run: DelGradRun) -> str:
    """Cells of the table for a trained run."""
    inputs = run.data.train.times
    layers = run.network.layers()
    run.target.write(layers)
    first, second = (run.target.run(inputs, TRIALS + k)[-1].spikes for k in range(2))
    ideal = DelGradRun(KINDS["delgrad"].load(run.config.experiment, ["target.preset=ideal"])).target
    ideal.write(layers)
    wanted = ideal.run(inputs, 0)[-1].spikes
    offsets, spreads, noises = [], [], []
    for a, b, c in zip(first.T, second.T, wanted.T, strict=True):
        late = (a - c)[np.isfinite(a) & np.isfinite(c)]
        both = np.isfinite(a) & np.isfinite(b)
        offsets.append(f"{np.median(late):.2f}")
        spreads.append(f"{robust_std(late):.2f}")
        noises.append(f"{robust_std(a[both] - b[both]) / np.sqrt(2):.3f}")
    missing = 100 * np.isinf(first).mean(axis=0)
    cells = [", ".join(column) for column in (offsets, spreads, noises)]
    return " | ".join([*cells, f"{missing.min():.1f} ... {missing.max():.1f}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--chips", type=int, default=3, help="serial numbers")
    parser.add_argument("--noise", action="append", default=[], metavar="KEY=VALUE", help="e.g. weight_std=0.05")
    options = commands.parsed(parser, arguments, epochs=1, chips=1)
    changes = [f"target.noise.{change}" for change in options.noise]
    print("| network | chip | offset | spread | trial noise | missing % |\n| --- | --- | --- | --- | --- | --- |")
    for experiment, measured in MEASURED.items():
        print(f"| {experiment} | **measured on W66F3** | {measured} |")
        for serial in range(66, 66 + options.chips):
            overrides = [f"seed={serial}", f"target.serial={serial}", *changes]
            run = DelGradRun(KINDS["delgrad"].load(experiment, overrides))
            run.train(options.epochs, progress=True)
            print(f"| {experiment} | emulated, serial {serial} | {statistics(run)} |", flush=True)


if __name__ == "__main__":
    main()
