"""What calibration is good for: spread of a chip's circuits, and DelGrad in the loop, before and after it.

A chip is calibrated by `brainscales_emu.calibration` to what the experiment wants, by measurement alone; then the
experiment is trained on it three times: uncalibrated, with the codes that were found, and, for comparison, on the
preset `calibrated` with the same serial number. Everything is emulated.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import commands
from brainscales_emu import ChipConfig, preset
from brainscales_emu.calibration import Calibration, calibrate
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.capmem import median_codes
from brainscales_emu.chip import Chip
from brainscales_emu.constants import N_CIRCUITS
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS, trimmed_std
from neurohil.delgrad.run import DelGradRun
from neurohil.kinds import KINDS

EXPERIMENT = "chip_yin_yang_axonal"


def spreads(serial: int, found: Calibration, targets: ChipConfig) -> list[str]:
    """Rows of the first table."""
    raw = preset("uncalibrated")
    before = Chip(raw, serial, seed=1, codes=median_codes(targets, serial)).fixed_pattern
    after = Chip(raw, serial, seed=1, codes=found.codes).fixed_pattern
    rows = []
    for name, limit in ACCEPTANCE_LIMITS.items():
        (field,) = (field for field in vars(before) if field.startswith(name))  # with its unit
        first, second = (trimmed_std(getattr(pattern, field)[found.circuits]) for pattern in (before, after))
        rows.append(f"| {field} | {first:.3f} | {second:.3f} | {second / first:.2f} | {limit:.2f} |")
    return rows


def accuracy(serial: int, seed: int, epochs: int, target: Sequence[str]) -> float:
    """Test accuracy of the experiment on this chip."""
    overrides = [f"seed={seed}", f"epochs={epochs}", f"target.serial={serial}", *target]
    return DelGradRun(KINDS["delgrad"].load(EXPERIMENT, overrides)).train().test().tested.accuracy


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--serials", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--circuits", type=int, default=N_CIRCUITS, help="calibrate the first so many (default all)")
    options = commands.parsed(parser, arguments, serials=[1], epochs=1, circuits=64)
    targets = ChipConfig()  # those of the experiment
    learnt: dict[str, list[float]] = {"uncalibrated": [], "calibrated by measurement": [], "preset calibrated": []}
    with tempfile.TemporaryDirectory() as folder:
        for serial in tqdm(options.serials, unit="chip", disable=None):
            began = time.perf_counter()
            instrument = Instrument(preset("uncalibrated"), serial, seed=1, circuits=range(options.circuits))
            found = calibrate(instrument, targets)
            seconds = time.perf_counter() - began
            path = Path(folder) / f"chip{serial}.h5"
            found.save(path)
            print(
                f"\nchip {serial}: {seconds:.0f} s, {found.excluded.size} of {found.circuits.size} circuits excluded\n"
            )
            print("| | std before | after | ratio | limit |\n| --- | --- | --- | --- | --- |")
            print("\n".join(spreads(serial, found, targets)))
            raw = "target.preset=uncalibrated"
            ways = ([raw], [raw, f"target.calibration={path}"], ["target.preset=calibrated"])
            for row, way in zip(learnt.values(), ways, strict=True):
                row.append(accuracy(serial, 1, options.epochs, way))
    print(f"\n| {EXPERIMENT}, {options.epochs} epochs | " + " | ".join(f"chip {n}" for n in options.serials) + " |")
    print("| --- " * (1 + len(options.serials)) + "|")
    for name, row in learnt.items():
        print(f"| {name} | " + " | ".join(f"{100 * value:.1f} %" for value in row) + " |")


if __name__ == "__main__":
    main()
