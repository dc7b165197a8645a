"""The four measurements on one emulated array as runs: what each takes, and how its results are told."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from neurohil.probing.age import Aged, age
from neurohil.probing.characterise import Characterised, characterise
from neurohil.probing.config import CURVE_POINTS, CrossbarExperiment
from neurohil.probing.ir_drop import Drop, ir_drop
from neurohil.probing.program import Programmed, program
from neurohil.probing.trace import (
    AT_ONCE,
    MOMENTS,
    WAITED,
    WORN,
    age_layout,
    characterise_layout,
    ir_drop_layout,
    moment_labels,
    program_layout,
    verified_labels,
)
from neurohil.run import Measurement, Summary
from neurohil.targets.crossbar_bench import STUCK_OFF, STUCK_ON, WORKS, Writing
from neurohil.text import duration
from neurohil.trace.schema import Layout

M = TypeVar("M")
_NUMBERS_PER_CELL, _NUMBERS_PER_PULSE = 20, 5  # in a trace, at most
TILE, PULSES_PER_CELL = 128, 20  # what the arrays have if the config doesn't say, and what two writes take


class Probing(Measurement[CrossbarExperiment, M]):
    """A measurement on one emulated array."""

    Config = CrossbarExperiment

    @property
    def estimated_bytes(self) -> int:
        """Room that the trace of such an array takes: packed, mostly less."""
        sizes = (self.config.target.array.get(name) for name in ("tile_rows", "tile_columns"))
        cells = math.prod(size if isinstance(size, int) else TILE for size in sizes)
        pulses = PULSES_PER_CELL if self.config.program.log_pulses else 0
        return 8 * cells * (_NUMBERS_PER_CELL + _NUMBERS_PER_PULSE * pulses)

    def summary(self, values: Mapping[str, Any]) -> Summary:
        target = self.config.target
        devices = f"devices {target.table or target.preset}, serial {target.serial}"
        return Summary(f"{self.title}, seed {self.config.seed}, {devices}", self.rows(self.measured))

    @abstractmethod
    def rows(self, measured: M) -> list[tuple[str, str]]:
        """The table for people."""


class Program(Probing[Programmed]):
    """Write the array, look at it 1 s and some time later, wear it out, write it again."""

    command = "crossbar program"
    steps = 3

    def measure(self, step: Callable[[str], None]) -> Programmed:
        return program(self.config, step)

    def lay_out(self, measured: Programmed) -> Layout:
        return program_layout(measured)

    def rows(self, measured: Programmed) -> list[tuple[str, str]]:
        first, labels = measured.first, moment_labels(measured)
        return [
            ("verified", f"{first.verified.mean():.2%} of {first.verified.size} cells, {first.rounds} rounds"),
            ("pulses per cell", f"mean {first.pulses.mean():.2f}, most {first.pulses.max()}"),
            ("modelled time", f"{1e3 * first.time_s:.3f} ms for the write"),
            ("modelled energy", _energy(first)),
            *(
                (f"outside {measured.tolerance_uS:g} uS", f"{share:.2%} of the cells {labels[moment]}")
                for moment, share in zip(MOMENTS, measured.outside, strict=True)
            ),
            ("failed", f"{_failures(measured.state)} {labels[WORN]}"),
        ]


class Characterise(Probing[Characterised]):
    """Hold single programming cycles against the device model; verify with and without waiting."""

    command = "crossbar characterise"

    @property
    def steps(self) -> int:
        return len(self.config.characterise.ages_s) + 3

    def measure(self, step: Callable[[str], None]) -> Characterised:
        return characterise(self.config, step)

    def lay_out(self, measured: Characterised) -> Layout:
        return characterise_layout(measured)

    def rows(self, measured: Characterised) -> list[tuple[str, str]]:
        labels = verified_labels(measured)
        title = f"{measured.n_levels} levels, one programming cycle each: "
        head = "target".rjust(8) + "".join(f"{duration(age):>32}" for age in measured.age_s) + f"{'read':>16}"
        lines = [f"{title}spread and mean error in uS, on the array (by the model)", head]
        for k, target in enumerate(measured.target_uS):
            cells = [
                f"{measured.sigma_uS[t, k]:8.2f} ({measured.model_sigma_uS[t, k]:5.2f}) "
                f"{measured.mean_error_uS[t, k]:+7.2f} ({measured.model_mean_error_uS[t, k]:+6.2f})"
                for t in range(len(measured.age_s))
            ]
            read = f"  {measured.read_sigma_uS[k]:5.2f} ({measured.model_read_sigma_uS[k]:5.2f})"
            lines.append(f"{target:8.2f}" + "".join(cells) + read)
        return [
            *map(_as_row, lines),
            *(
                (
                    labels[path],
                    f"{found.verified_share:.1%} of the cells with {found.pulses_per_cell:.1f} pulses each; a day later"
                    f" {found.outside_after_a_day:.1%} are outside {measured.tolerance_uS:g} uS",
                )
                for path, found in ((AT_ONCE, measured.at_once), (WAITED, measured.waited))
            ),
        ]


class Age(Probing[Aged]):
    """Share of failed cells over programming cycles, errors of the conductance over time."""

    command = "crossbar age"
    steps = CURVE_POINTS + 1

    def measure(self, step: Callable[[str], None]) -> Aged:
        return age(self.config, step)

    def lay_out(self, measured: Aged) -> Layout:
        return age_layout(measured)

    def rows(self, measured: Aged) -> list[tuple[str, str]]:
        half, rms, outside = measured.half_failed_cycles, measured.rms_uS, measured.outside
        return [
            ("half have failed", "not within these cycles" if math.isnan(half) else f"after {half:.3g} cycles"),
            ("failed", f"{measured.failed[-1]:.1%} after {measured.last_cycles:g} cycles"),
            ("rms error", f"{rms[0]:.2f} uS after 1 s, {rms[-1]:.2f} uS after {duration(measured.age_s[-1])}"),
            (f"outside {measured.tolerance_uS:g} uS", f"{outside[0]:.1%} after 1 s, {outside[-1]:.1%} at the end"),
        ]


class IrDrop(Probing[Drop]):
    """Voltages on the wires of the written array, and the share of the current that they cost."""

    command = "crossbar ir-drop"

    @property
    def steps(self) -> int:
        return len(self.config.ir_drop.segments_ohm) + 1

    def measure(self, step: Callable[[str], None]) -> Drop:
        return ir_drop(self.config, step)

    def lay_out(self, measured: Drop) -> Layout:
        return ir_drop_layout(measured)

    def rows(self, measured: Drop) -> list[tuple[str, str]]:
        lines = [f"{'current lost, by ohm and size':<30}" + "".join(f"{size:>8}" for size in measured.size)]
        lines += [
            f"{ohm:>30g}" + "".join(f"{x:>8.1%}" for x in row)
            for ohm, row in zip(measured.segment_ohm, measured.loss, strict=True)
        ]
        without = f"of that without wire resistance, all rows at {measured.v_read_V:g} V"
        return [
            ("current lost", f"{measured.whole_loss:.1%} {without}"),
            ("farthest cell", f"{measured.cell_loss.max():.1%} of the read voltage lost"),
            *map(_as_row, lines),
        ]


def _as_row(line: str) -> tuple[str, str]:
    """A line of a table with columns of its own, parted such that it is printed as it stands: at a blank that is not
    within the names of the other lines."""
    part = line.index(" ", 22)
    return line[:part], line[part + 1 :]


def _energy(writing: Writing) -> str:
    total = writing.pulse_pJ + writing.conversion_pJ + writing.drive_pJ
    return (
        f"{1e-3 * total:.1f} nJ: pulses {1e-3 * writing.pulse_pJ:.1f}, conversions {1e-3 * writing.conversion_pJ:.1f},"
        f" driving the rows {1e-3 * writing.drive_pJ:.2f}"
    )


def _failures(state: np.ndarray) -> str:
    on, off = np.mean(state == STUCK_ON), np.mean(state == STUCK_OFF)
    return f"{np.mean(state != WORKS):.1%} of the cells ({on:.1%} stuck on, {off:.1%} stuck off)"
