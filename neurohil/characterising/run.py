"""Characterising a chip as a run: what it takes, and how its results are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurohil.characterising.config import ChipExperiment
from neurohil.characterising.trace import characterise_layout
from neurohil.run import Measurement, Summary
from neurohil.targets.chip_bench import (
    CALIBRATE_STEPS,
    CHARACTERISE_STEPS,
    QUANTITIES,
    UNITS,
    Alike,
    Characterised,
    ChipBench,
    limits,
    ratios,
    real_spreads,
)
from neurohil.trace.schema import Layout

_NUMBERS_PER_CIRCUIT = 60  # in a trace, at most


class Characterise(Measurement[ChipExperiment, Characterised]):
    """Measure all quantities of all circuits, as they are or before and after a calibration."""

    command = "chip characterise"
    Config = ChipExperiment

    @property
    def steps(self) -> int:
        return 2 * CHARACTERISE_STEPS + CALIBRATE_STEPS if self.config.bench.calibrate else CHARACTERISE_STEPS

    @property
    def estimated_bytes(self) -> int:
        return 8 * self.config.bench.circuits * _NUMBERS_PER_CIRCUIT

    def measure(self, step: Callable[[str], None]) -> Characterised:
        bench = ChipBench(self.config.target, self.config.seed, self.config.bench.circuits)
        if not self.config.bench.calibrate:
            found = bench.characterise(bench.typical_codes(), step)
            return Characterised(bench.circuits, found, bench.spread(found))
        typical, codes = bench.calibrate(step)
        alike, found = bench.characterise(typical, step), bench.characterise(codes, step)
        return Characterised(
            bench.circuits, found, bench.spread(found), Alike(alike, bench.spread(alike), ratios(alike, found))
        )

    def lay_out(self, measured: Characterised) -> Layout:
        return characterise_layout(measured)

    def summary(self, values: Mapping[str, Any]) -> Summary:
        target, measured = self.config.target, self.measured
        chip = f"emulated chip {target.preset}, serial {target.serial}, {measured.circuits.size} circuits"
        return Summary(f"{self.title}, seed {self.config.seed}, {chip}", _rows(measured))


def _rows(measured: Characterised) -> list[tuple[str, str]]:
    """The table for people. Spreads of real chips are held against those of equal codes."""
    spread, ratio = (measured.alike or measured).spread, measured.alike and measured.alike.ratio
    real = real_spreads()
    head = f"{'median':>8}{'within':>9}{'real chips':>14}{'blocks':>9}{'real chips':>14}"
    rows = [("spread at equal codes", head + (f"{'ratio':>8}{'limit':>7}" if ratio is not None else ""))]
    for k, name in enumerate(QUANTITIES):
        values = measured.in_use.values[name]
        # Potentials in LSB; all else relative.
        number = "{:.2f}".format if UNITS[name] == "LSB" else "{:.1%}".format
        cells = [f"{np.nanmedian(values):8.2f}" if np.any(np.isfinite(values)) else f"{'-':>8}"]
        for which in range(2):
            low, high = min(real[which, :, k]), max(real[which, :, k])
            cells += [f"{_text(spread[which, k], number):>9}", f"{f'{number(low)}..{number(high)}':>14}"]
        if ratio is not None:
            cells += [f"{_text(ratio[k], '{:.2f}'.format):>8}", f"{_text(limits()[k], '{:.2f}'.format):>7}"]
        rows.append((f"{name} ({UNITS[name]})", "".join(cells)))
    missing = sum(int(np.isnan(values).sum()) for values in measured.in_use.values.values())
    offsets = measured.in_use.cadc_offset_lsb
    return [
        *rows,
        ("CADC offsets", f"std {offsets.std():.2f} LSB over {offsets.size} channels"),
        *(
            [("not measured", f"{missing} values, of circuits that don't do what the measurement needs")]
            * bool(missing)
        ),
    ]


def _text(value: float, number: Callable[[float], str]) -> str:
    return "-" if math.isnan(value) else number(value)
