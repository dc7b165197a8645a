"""Yin-Yang with DelGrad: spike times on ideal neurons, and in the loop with the emulated chip.

Trained by the shipped experiments (weights alone, and weights with axonal delays), tested on the published test set of
1000 samples. The first output spike decides; a sample without any output spike counts as wrong.

The quick default trains one seed for 60 epochs, --full seeds 1 to 5 for 300, as docs/results.md. Each result says
which. The modelled system track is for the chip alone: ideal neurons take neither time nor energy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.tasks.seeds import chosen, over_seeds, parser, quick_note, save
from neurohil.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from neurohil.delgrad.run import DelGradRun
    from neurohil.neurobench.benchmark import Results

EXPERIMENTS = {
    "ideal": ("yin_yang_weights", "yin_yang_axonal"),
    "chip": ("chip_yin_yang_weights", "chip_yin_yang_axonal"),
}
QUICK_SEEDS, QUICK_EPOCHS = 1, 60
FULL_SEEDS, FULL_EPOCHS = 5, 300

# Declared for the metrics that count steps, in tau_s: the chip's slot of 180 us, and the field's usual tenth of tau_s.
DURATION, DT = 30.0, 0.1
SYNAPSE_BITS = 12.0  # two synapses of 6 bits, one for each sign
REGISTER_BITS = 8.0  # of a delay element


def score(experiment: str, seed: int, epochs: int, costs: str | Path | None = None) -> Results:
    """Train one seed, test it, count.

    Parameters
    ----------
    experiment : str
        One of `EXPERIMENTS`.
    seed : int
    epochs : int
    costs : path, optional
        Replaces costs of the system track.

    Raises
    ------
    UserError
        There is no such experiment; a bad table of costs.
    """
    import neurohil as nh
    from neurohil.neurobench.costs import described, load_costs, spent, spiking_phases, system_track

    table = load_costs(costs)
    run = nh.experiment(experiment, [f"seed={seed}", f"epochs={epochs}"]).start()
    run.train(progress=True)
    run.test()  # brings back the parameters of the epoch to be tested
    learnt = run.target.account()
    results = _measured(run)
    if run.target.tau_us is not None:
        samples = results["metadata"]["samples"]
        events = results["SynapticOperations"]["Effective_ACs"] * samples
        before = spiking_phases(learnt, None, table["spiking"])
        during = spiking_phases(spent(learnt, run.target.account()), events, table["spiking"])
        results["SystemTrackModelled"] = system_track(before, during, samples)
        results["metadata"]["provenance"]["SystemTrackModelled"] = "modelled"
        results["metadata"]["costs"] = described("spiking", table)
    return results


def _measured(run: DelGradRun) -> Results:
    from neurohil.delgrad.model import SpikeTimeModel
    from neurohil.neurobench import metrics
    from neurohil.neurobench.benchmark import Benchmark, Task, batched
    from neurohil.neurobench.records import ModelInfo

    config, test = run.config, run.data.test
    is_chip = run.target.tau_us is not None
    model = SpikeTimeModel(
        run.target,
        run.network.layers(),
        DURATION,
        ModelInfo(run.target.provenance.kind, DT, "tau_s"),
        SYNAPSE_BITS if is_chip else None,
        REGISTER_BITS if is_chip else None,
    )
    results = Benchmark(
        model,
        batched(run.data.test.times, test.labels, len(test.labels)),
        None,
        [config.training.loss.decide],
        [
            [metrics.Footprint, metrics.TrueFootprint, metrics.ParameterCount, metrics.ConnectionSparsity],
            [
                metrics.ClassificationAccuracy,
                metrics.ActivationSparsity,
                metrics.SynapticOperations,
                metrics.MembraneUpdates,
            ],
        ],
        # Regenerated to the bits of the published files, which a test of the loader holds.
        Task("Yin-Yang", data="official", seed=config.seed),
    ).run(quiet=True)
    sizes = "-".join(str(n) for n in (run.data.test.times.shape[1], *(w.shape[1] for w in run.network.weights)))
    delays = {"none": "weights"}.get(config.network.delays, f"weights and {config.network.delays} delays")
    where = f"emulated chip {config.target.serial}" if is_chip else "ideal neurons"  # type: ignore[attr-defined]
    results["metadata"] |= {
        "model": f"DelGrad {sizes}, {delays}, {where}",
        "experiment": config.experiment,
        "epochs": config.epochs,
        "duration": DURATION,
    }
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, tuple(EXPERIMENTS), QUICK_SEEDS, QUICK_EPOCHS).parse_args(arguments)
    try:
        seeds = chosen(options, "seeds", QUICK_SEEDS, FULL_SEEDS)
        epochs = chosen(options, "epochs", QUICK_EPOCHS, FULL_EPOCHS)
        for target in [options.target] if options.target else EXPERIMENTS:
            for experiment in EXPERIMENTS[target]:
                runs = [score(experiment, seed, epochs, options.costs) for seed in range(1, seeds + 1)]
                results = over_seeds(runs)
                results["metadata"]["quick"] = quick_note(seeds, epochs, FULL_SEEDS, FULL_EPOCHS)
                save(results, options.out, experiment)
                print(f"{results['metadata']['model']}: {results['ClassificationAccuracy']:.1%} (seeds: {seeds})")
    except UserError as error:
        sys.exit(f"yin_yang: {error}")


if __name__ == "__main__":
    main()
