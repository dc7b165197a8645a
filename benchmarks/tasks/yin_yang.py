"""Yin-Yang with DelGrad: spike times on ideal neurons, and in the loop with the emulated chip.

Trained by the shipped experiments (weights alone, and weights with axonal delays), tested on the published test set of
1000 samples. The first output spike decides; a sample without any output spike counts as wrong.

The short default trains one seed for 60 epochs, --full seeds 1 to 5 for 300, as docs/results.md. Each result says
which. The modelled system track is for the chip alone: ideal neurons take neither time nor energy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.commands import parsed
from benchmarks.tasks.seeds import chosen, is_result, over_seeds, parser, quick_note, results_folder, save
from neurohil.errors import UserError
from neurohil.files import refuse_foreign

if TYPE_CHECKING:
    from pathlib import Path

    from neurohil.delgrad.run import DelGradRun
    from neurohil.neurobench.benchmark import Results

EXPERIMENTS = {
    "ideal": ("yin_yang_weights", "yin_yang_axonal"),
    "chip": ("chip_yin_yang_weights", "chip_yin_yang_axonal"),
}
SHORT_SEEDS, SHORT_EPOCHS = 1, 60
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
    from neurohil.delgrad.run import DelGradRun
    from neurohil.kinds import KINDS
    from neurohil.neurobench.costs import described, load_costs, spent, spiking_phases, system_track

    table = load_costs(costs)
    its_chip = [f"target.serial={seed}"] if experiment in EXPERIMENTS["chip"] else []
    run = DelGradRun(KINDS["delgrad"].load(experiment, [f"seed={seed}", f"epochs={epochs}", *its_chip]))
    run.train(progress=True)
    run.test()  # brings back the parameters of the epoch to be tested
    learnt = run.target.account()
    results = _measured(run)
    if _has_device(run):
        samples = results["metadata"]["samples"]
        events = results["SynapticOperations"]["Effective_ACs"] * samples
        before = spiking_phases(learnt, None, table["spiking"])
        during = spiking_phases(spent(learnt, run.target.account()), events, table["spiking"])
        results["SystemTrackModelled"] = system_track(before, during, samples)
        results["metadata"]["provenance"]["SystemTrackModelled"] = "modelled"
        results["metadata"]["costs"] = described("spiking", table)
    return results


def _has_device(run: DelGradRun) -> bool:
    """Whether the target is a device, which takes time and energy, and stores numbers in so many bits."""
    return run.target.provenance.kind == "emulated"


def _measured(run: DelGradRun) -> Results:
    from neurohil.delgrad.model import SpikeTimeModel
    from neurohil.neurobench import metrics
    from neurohil.neurobench.benchmark import Benchmark, Task, batched
    from neurohil.neurobench.records import ModelInfo

    config, test = run.config, run.data.test
    device = _has_device(run)
    model = SpikeTimeModel(
        run.target,
        run.network.layers(),
        DURATION,
        ModelInfo("emulated" if device else "computed", DT, "tau_s"),
        SYNAPSE_BITS if device else None,
        REGISTER_BITS if device else None,
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
    where = "emulated, each seed its chip" if device else run.target.label
    results["metadata"] |= {
        "model": f"DelGrad {sizes}, {delays}, {where}",
        "experiment": config.experiment,
        "epochs": config.epochs,
        "duration": DURATION,
    }
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(parser(__doc__, tuple(EXPERIMENTS), SHORT_SEEDS, SHORT_EPOCHS), arguments, seeds=1, epochs=1)
    try:
        seeds = chosen(options, "seeds", SHORT_SEEDS, FULL_SEEDS)
        epochs = chosen(options, "epochs", SHORT_EPOCHS, FULL_EPOCHS)
        note = quick_note(seeds, epochs, FULL_SEEDS, FULL_EPOCHS)
        for target in [options.target] if options.target else EXPERIMENTS:
            for experiment in EXPERIMENTS[target]:
                refuse_foreign(
                    results_folder(options.out, note is None, options.quick) / f"{experiment}.json", is_result
                )
                runs = [score(experiment, seed, epochs, options.costs) for seed in range(1, seeds + 1)]
                results = over_seeds(runs)
                results["metadata"]["quick"] = note
                save(results, options.out, experiment, options.quick)
                print(f"{results['metadata']['model']}: {results['ClassificationAccuracy']:.1%} (seeds: {seeds})")
    except UserError as error:
        sys.exit(f"yin_yang: {error}")


if __name__ == "__main__":
    main()
