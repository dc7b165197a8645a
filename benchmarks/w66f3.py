"""The preset `w66f3` against what the DelGrad authors measured on chip W66F3.

With --published the two networks that they trained on the chip, one with axonal delays and one without, are written to
emulated chips, a serial number each; without, networks are trained in the loop with the emulated chips. Output spike
times are then compared with those of an ideal chip that has the same weights and delays, by the same estimators for
the real chip and the emulated ones:

- offset of each output neuron: median difference from the ideal chip, times in tau (6 us);
- spread of each output neuron around its offset: 1.4826 median absolute deviations;
- trial noise of each output neuron: what a linear fit over the nearest inputs leaves (`local_noise`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import commands
from benchmarks.published_delgrad import PublishedNetwork, read_published
from brainscales_emu.delay import register_to_us
from neurohil.delgrad.losses import first_spike_class
from neurohil.delgrad.run import DelGradRun
from neurohil.kinds import KINDS
from neurohil.protocols import Floats, Layer, SpikingTarget

NEIGHBOURS = 10
TRIALS = 1_000_000  # past those of training


class Comparison(NamedTuple):
    """One network on one chip against the ideal chip; all but the accuracies per output neuron, times in tau."""

    offset: Floats
    spread: Floats
    noise: Floats
    missing: Floats
    accuracy: float
    ideal_accuracy: float


class Network(NamedTuple):
    """One of the two published networks: its name there, our experiment with its setting, and what W66F3 did with it.

    `measured` is what --published computes of github.com/JulianGoeltz/fastAndDeep at commit 33e4876: 5000 training
    samples, weights and delays at the end of epoch 300.
    """

    title: str
    published: str
    experiment: str
    measured: Comparison


NETWORKS = (
    Network(
        "with delays",
        "yin_yang_hxpynn",
        "chip_yin_yang_axonal",
        Comparison(
            offset=np.array([-0.0560, -0.1267, -0.3040]),
            spread=np.array([0.0455, 0.0791, 0.1739]),
            noise=np.array([0.0154, 0.0230, 0.0268]),
            missing=np.array([0.0006, 0.0042, 0.0030]),
            accuracy=0.9146,
            ideal_accuracy=0.6322,
        ),
    ),
    Network(
        "without delays",
        "yin_yang_hxpynn_W",
        "chip_yin_yang_weights",
        Comparison(
            offset=np.array([0.0547, 0.0533, -0.0200]),
            spread=np.array([0.1048, 0.0988, 0.1186]),
            noise=np.array([0.0233, 0.0286, 0.0272]),
            missing=np.array([0.0144, 0.0642, 0.0160]),
            accuracy=0.8466,
            ideal_accuracy=0.7424,
        ),
    ),
)


def median(values: Floats) -> float:
    """NaN of no values."""
    return float(np.median(values)) if values.size else np.nan


def robust_std(values: Floats) -> float:
    """Standard deviation of the normal distribution with the same median absolute deviation."""
    return 1.4826 * median(np.abs(values - median(values)))


def local_noise(inputs: Floats, times: Floats) -> float:
    """Trial noise of one neuron, without repeated trials: robust deviation from a linear fit over neighbouring inputs.

    A model-free estimate: each time is compared with what the nearest inputs, fitted by a plane, make expect. Slow
    drift and bends of the smooth function count as noise.

    Parameters
    ----------
    inputs : (n, n_in)
        Points of a plane, in any number of coordinates.
    times : (n,)
        inf for no spike; those are left out. NaN comes of too few spikes.
    """
    from scipy.spatial import KDTree

    spiked = np.isfinite(times)
    if np.count_nonzero(spiked) <= NEIGHBOURS:
        return np.nan
    times, centred = times[spiked], inputs[spiked] - inputs.mean(axis=0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    nearest = KDTree(points).query(points, NEIGHBOURS + 1)[1][:, 1:]
    steps = points[nearest] - points[:, None]
    planes = np.concatenate([np.ones((*nearest.shape, 1)), steps], axis=2)
    shares = np.linalg.pinv(planes)[:, 0]  # of each neighbour in the height of the plane at the point
    left = times - (shares * times[nearest]).sum(axis=1)
    return robust_std(left / np.sqrt(1.0 + (shares**2).sum(axis=1)))


def compare(inputs: Floats, labels: Any, spikes: Floats, ideal: Floats) -> Comparison:
    """Spikes of a chip against those of the ideal one, (n, n_out) both, tau."""
    both = [np.isfinite(a) & np.isfinite(b) for a, b in zip(spikes.T, ideal.T, strict=True)]
    late = [a[k] - b[k] for a, b, k in zip(spikes.T, ideal.T, both, strict=True)]
    return Comparison(
        np.array([median(column) for column in late]),
        np.array([robust_std(column) for column in late]),
        np.array([local_noise(inputs, column) for column in spikes.T]),
        np.isinf(spikes).mean(axis=0),
        *(float(np.mean(first_spike_class(times) == labels)) for times in (spikes, ideal)),
    )


def chip(experiment: str, overrides: Sequence[str]) -> Any:
    """Emulated chip of an experiment."""
    config = KINDS["delgrad"].load(experiment, overrides)
    return config.target.build(config.network, config.seed)


def outputs(target: SpikingTarget, layers: Sequence[Layer], inputs: Floats) -> Floats:
    """Spike times of the output neurons of a network that is written for this."""
    target.write(layers)
    return target.run(inputs, TRIALS)[-1].spikes


def with_published(
    network: Network, published: PublishedNetwork, serials: Sequence[int], changes: list[str]
) -> tuple[Comparison, list[Comparison]]:
    """The real chip, and the emulated ones with the weights and delays of the real one."""
    reference = chip(network.experiment, ["target.preset=ideal"])
    layers = [
        Layer(w * reference.capabilities.weight_step, None if r is None else register_to_us(r) / reference.tau_us)
        for w, r in zip(published.weights, published.registers, strict=True)
    ]
    against_ideal = partial(
        compare, published.inputs, published.labels, ideal=outputs(reference, layers, published.inputs)
    )
    emulated = [chip(network.experiment, [f"target.serial={serial}", *changes]) for serial in serials]
    return against_ideal(published.spikes), [
        against_ideal(outputs(target, layers, published.inputs)) for target in emulated
    ]


def trained(network: Network, serial: int, epochs: int, changes: list[str]) -> Comparison:
    """An emulated chip with a network that was trained in the loop with it."""
    overrides = [f"seed={serial}", f"target.serial={serial}", *changes]
    run = DelGradRun(KINDS["delgrad"].load(network.experiment, overrides))
    run.train(epochs, progress=True)
    inputs, labels = run.data.train
    layers = run.network.layers()
    ideal = outputs(chip(network.experiment, ["target.preset=ideal"]), layers, inputs)
    return compare(inputs, labels, outputs(run.target, layers, inputs), ideal)


def quantities(compared: Comparison) -> dict[str, float]:
    """Rows of the table."""
    outputs = range(compared.offset.size)
    return {
        "mean offset": float(compared.offset.mean()),
        "mean spread": float(compared.spread.mean()),
        **{f"offset of output {k}": compared.offset[k] for k in outputs},
        **{f"spread of output {k}": compared.spread[k] for k in outputs},
        **{f"trial noise of output {k}": compared.noise[k] for k in outputs},
        "missing spikes %": 100.0 * float(compared.missing.mean()),
        "accuracy %": 100.0 * compared.accuracy,
        "accuracy of the ideal chip %": 100.0 * compared.ideal_accuracy,
    }


def table(networks: Sequence[tuple[str, Comparison, Sequence[Comparison]]]) -> str:
    """Markdown; the range of the emulated chips leaves out a twentieth at each end, and chips with a silent output."""
    chips, cut = len(networks[0][2]), len(networks[0][2]) // 20
    lines = [
        f"| | network | measured on W66F3 | emulated, {chips} serials: median | central {chips - 2 * cut} | inside |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in quantities(networks[0][1]):
        digits = 1 if name.endswith("%") else 3
        for title, real, emulated in networks:
            found = np.array([quantities(comparison)[name] for comparison in emulated])
            values = np.sort(found[np.isfinite(found)])
            low, high = values[[cut, -1 - cut]] if values.size > 2 * cut else (np.nan, np.nan)
            wanted = quantities(real)[name]
            inside = "" if "accuracy" in name else "yes" if low <= wanted <= high else "no"  # no preset is fitted to it
            lines.append(
                f"| {name} | {title} | {wanted:.{digits}f} | {median(values):.{digits}f} "
                f"| {low:.{digits}f} ... {high:.{digits}f} | {inside} |"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--published", type=Path, metavar="FOLDER", help="a checkout of JulianGoeltz/fastAndDeep")
    parser.add_argument("--chips", type=int, help="serial numbers (default: 20 with --published, otherwise 3)")
    parser.add_argument("--epochs", type=int, default=120, help="of training, without --published")
    parser.add_argument("--noise", action="append", default=[], metavar="KEY=VALUE", help="e.g. weight_std=0.05")
    options = commands.parsed(parser, arguments, epochs=1, chips=1)
    serials = range(66, 66 + (options.chips or (20 if options.published else 3)))
    changes = [f"target.noise.{change}" for change in options.noise]
    compared: list[tuple[str, Comparison, Sequence[Comparison]]] = []
    with commands.errors_of("w66f3"):
        for network in NETWORKS:
            if options.published:
                published = read_published(options.published, network.published)
                compared.append((network.title, *with_published(network, published, serials, changes)))
            else:
                emulated = [trained(network, serial, options.epochs, changes) for serial in serials]
                compared.append((network.title, network.measured, emulated))
    print(table(compared))


if __name__ == "__main__":
    main()
