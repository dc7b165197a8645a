"""What the traces of measurements on an array hold: each array's name, and what it is made from, stand here only.

These runs have no epochs: everything is known when the layout is made. Maps are [row, column].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurohil.probing.plots import Curve, array_of, axis, curves, device_map, measured_layout, number
from neurohil.text import duration
from neurohil.trace.schema import RUN, Array, Layout, Plot, group_of, name_of

if TYPE_CHECKING:
    from neurohil.probing.age import Aged
    from neurohil.probing.characterise import Characterised
    from neurohil.probing.ir_drop import Drop
    from neurohil.probing.program import Programmed
    from neurohil.targets.crossbar_bench import Writing

MOMENTS = WRITTEN, AGED, WORN = ("written", "aged", "worn")
STATES = ("works", "stuck_on", "stuck_off", "worn_out_fading")
BINS = 120


def map_path(name: str) -> str:
    """A map of the cells, [row, column]."""
    return f"{RUN}/maps/{name}/{name}"


def result_path(name: str) -> str:
    """A number that the run came to."""
    return f"{RUN}/results/{name}"


# Paths of a programmed array, (bins,) or (levels, bins), at the moments.
HISTOGRAM_AXIS = f"{RUN}/levels/conductance"
PULSES_AXIS = f"{RUN}/pulses/pulses"
PULSE_LOG = f"{RUN}/pulse_log"
LEVEL, TARGET, STATE, LIFETIME, WEAR = map(map_path, ("level", "target", "state", "lifetime", "wear"))
VERIFIED_SHARE = result_path("verified_share")


def histogram_path(moment: str) -> str:
    """Cells of each bin of `HISTOGRAM_AXIS`."""
    return f"{group_of(HISTOGRAM_AXIS)}/{moment}"


def by_level_path(moment: str, name: str = "cells") -> str:
    """``cells`` by ``level`` and bin of ``conductance``."""
    return f"{RUN}/by_level/{moment}/{name}"


def pulse_counts_path(moment: str) -> str:
    """Cells by the number of pulses that they took in the write before a moment."""
    return f"{group_of(PULSES_AXIS)}/{moment}"


def conductance_path(moment: str) -> str:
    """Map of the conductances."""
    return map_path(f"conductance_{moment}")


def pulses_path(moment: str) -> str:
    """Map of the pulses that a write took."""
    return map_path(f"pulses_{moment}")


def verified_path(moment: str) -> str:
    """Map of the cells that a write has verified."""
    return map_path(f"verified_{moment}")


# Paths of an array that is held against its device model: (age, target), or along one of them.
SIGMA, SIGMA_MODEL, SPREAD_AGE, SPREAD_TARGET = (
    f"{RUN}/spread/{name}" for name in ("sigma", "sigma_model", "age", "target")
)
MEAN_ERROR, MEAN_ERROR_MODEL, SHIFT_AGE, SHIFT_TARGET = (
    f"{RUN}/shift/{name}" for name in ("mean_error", "mean_error_model", "age", "target")
)
READ_SIGMA, READ_SIGMA_MODEL, READ_TARGET = (
    f"{RUN}/read/{name}" for name in ("read_sigma", "read_sigma_model", "target")
)
AT_ONCE, WAITED, OUTSIDE_AGE = (f"{RUN}/outside/{name}" for name in ("at_once", "waited", "age"))
TOLERANCE = result_path("tolerance")

# Paths of an array that wears out, (cycles,), and relaxes, (age,).
FAILED, LAW, NOT_VERIFIED, CYCLES = (f"{RUN}/failures/{name}" for name in ("failed", "law", "not_verified", "cycles"))
RMS, PERCENTILE_95, ERROR_AGE = (f"{RUN}/error/{name}" for name in ("rms", "percentile_95", "age"))
HALF_FAILED_CYCLES = result_path("half_failed_cycles")

# Paths of what wires cost, (segment, size), and maps.
LOSS, SEGMENT, SIZE = (f"{RUN}/loss/{name}" for name in ("loss", "segment", "size"))
ROW_VOLTAGE, COLUMN_VOLTAGE, CELL_LOSS, CONDUCTANCE = map(
    map_path, ("row_voltage", "column_voltage", "cell_loss", "conductance")
)
WHOLE_LOSS = result_path("loss")


def moment_labels(programmed: Programmed) -> dict[str, str]:
    """What each of the moments is, for people."""
    return {
        WRITTEN: "1 s after the write",
        AGED: f"{duration(programmed.aged_s)} after the write",
        WORN: f"after {programmed.cycles:.3g} cycles".replace("e+0", "e"),
    }


def program_layout(measured: Programmed) -> Layout:
    """Layout of a programmed array: histograms at three moments, pulse statistics, maps, and every single pulse if
    there is a log of them."""
    labels = moment_labels(measured)
    conductance = dict(zip(MOMENTS, measured.conductance_uS, strict=True))
    level, state = measured.level, measured.state
    writings = {WRITTEN: measured.first, WORN: measured.again}
    plots = [
        *_histograms(conductance, level, labels),
        _pulse_counts({moment: writing.pulses for moment, writing in writings.items()}, labels),
        device_map(LEVEL, level, "1", "level"),
        *(device_map(conductance_path(m), conductance[m], "uS", f"conductance {labels[m]} (uS)") for m in MOMENTS),
        *(device_map(pulses_path(m), w.pulses, "1", f"pulses, {labels[m]}") for m, w in writings.items()),
    ]
    plots += [
        device_map(
            verified_path(m), w.verified.astype(np.int64), "1", f"verified, {labels[m]}", ("not_verified", "verified")
        )
        for m, w in writings.items()
    ]
    plots += [
        device_map(STATE, state, "1", f"state {labels[WORN]}", STATES),
        device_map(TARGET, measured.target_uS, "uS", "target conductance (uS)"),
        device_map(LIFETIME, measured.lifetime_cycles, "1", "lifetime in programming cycles"),
        device_map(WEAR, measured.cycles / measured.lifetime_cycles, "1", "programming cycles over lifetime"),
    ]
    if measured.pulse_log:
        signal, time, row, *more = (
            array_of(q.name, q.dims, q.values, q.units, q.long_name) for q in measured.pulse_log
        )
        plots.append(Plot(PULSE_LOG, "Pulses", signal, (time, row), companions=tuple(more)))
    results = [
        *_writing_results(measured.first),
        *(
            number(f"outside_{m}", share, "1", f"share of cells outside the tolerance, {labels[m]}")
            for m, share in zip(MOMENTS, measured.outside, strict=True)
        ),
        number("failed_share", float(np.mean(state != 0)), "1", f"share of failed cells {labels[WORN]}"),
        number("verified_share_worn", float(measured.again.verified.mean()), "1", f"share verified {labels[WORN]}"),
    ]
    return measured_layout(plots, results)


def _histograms(
    conductance_uS: Mapping[str, NDArray], level: NDArray[np.int64], labels: Mapping[str, str]
) -> list[Plot]:
    """Conductances at the three moments, of all cells and by level."""
    top_uS = max(float(g.max()) for g in conductance_uS.values())
    edges = np.linspace(0.0, top_uS or 1.0, BINS + 1)
    levels = np.arange(int(level.max()) + 1)

    def counts(moment: str, cells: NDArray[np.bool_]) -> NDArray:
        return np.histogram(conductance_uS[moment][cells], edges)[0]

    def bins(path: str) -> Array:
        return axis(path, (edges[:-1] + edges[1:]) / 2, "uS", "conductance (uS), middle of the bin")

    everywhere = np.ones(level.shape, dtype=np.bool_)
    of_all = [(histogram_path(m), counts(m, everywhere), "1", f"number of cells, {labels[m]}") for m in MOMENTS]
    return [
        curves("Conductances of all cells", of_all, (bins(HISTOGRAM_AXIS),)),
        *(
            curves(
                f"Conductances by level, {labels[m]}",
                [(by_level_path(m), np.array([counts(m, level == k) for k in levels]), "1", "number of cells")],
                (axis(by_level_path(m, "level"), levels, "1", "level"), bins(by_level_path(m, "conductance"))),
            )
            for m in MOMENTS
        ),
    ]


def _pulse_counts(pulses: Mapping[str, NDArray[np.int64]], labels: Mapping[str, str]) -> Plot:
    most = max(int(p.max()) for p in pulses.values())
    counts = [
        (pulse_counts_path(m), np.bincount(p.ravel(), minlength=most + 1), "1", f"number of cells, {labels[m]}")
        for m, p in pulses.items()
    ]
    return curves("Pulses per cell", counts, (axis(PULSES_AXIS, np.arange(most + 1), "1", "pulses per cell"),))


def _writing_results(writing: Writing) -> list[Array]:
    return [
        number(VERIFIED_SHARE, float(writing.verified.mean()), "1", "share of cells that were verified"),
        number("rounds", writing.rounds, "1", "rounds of reading back"),
        number("pulses_per_cell", float(writing.pulses.mean()), "1", "SET and RESET pulses per cell"),
        number("modelled_time", writing.time_s, "s", "modelled time of the write (s)"),
        number("modelled_pulse_energy", writing.pulse_pJ, "pJ", "modelled energy of the pulses (pJ)"),
        number("modelled_conversion_energy", writing.conversion_pJ, "pJ", "modelled energy of the conversions (pJ)"),
        number("modelled_drive_energy", writing.drive_pJ, "pJ", "modelled energy of the driven rows (pJ)"),
    ]


def verified_labels(measured: Characterised) -> dict[str, str]:
    """How the cells of `AT_ONCE` and `WAITED` were verified, for people."""
    return {AT_ONCE: "verified at once", WAITED: f"verified after {duration(measured.waited.wait_s)}"}


def characterise_layout(measured: Characterised) -> Layout:
    """Layout of an array held against its device model."""

    def axes(*paths: str) -> tuple[Array, ...]:
        known = {
            "target": (measured.target_uS, "uS", "target conductance (uS)"),
            "age": (measured.age_s, "s", "time since the write (s)"),
        }
        return tuple(axis(path, *known[name_of(path)]) for path in paths)

    def both(array: str, values: NDArray, model: str, by_model: NDArray, label: str) -> list[Curve]:
        return [
            (array, values, "uS", f"{label}, on the array (uS)"),
            (model, by_model, "uS", f"{label}, by the model (uS)"),
        ]

    labels = verified_labels(measured)
    verified = {AT_ONCE: measured.at_once, WAITED: measured.waited}
    plots = [
        curves(
            "Spread of a level",
            both(SIGMA, measured.sigma_uS, SIGMA_MODEL, measured.model_sigma_uS, "spread of a level"),
            axes(SPREAD_AGE, SPREAD_TARGET),
        ),
        curves(
            "Mean error of a level",
            both(MEAN_ERROR, measured.mean_error_uS, MEAN_ERROR_MODEL, measured.model_mean_error_uS, "mean error"),
            axes(SHIFT_AGE, SHIFT_TARGET),
        ),
        curves(
            "Read noise",
            both(
                READ_SIGMA, measured.read_sigma_uS, READ_SIGMA_MODEL, measured.model_read_sigma_uS, "spread of a read"
            ),
            axes(READ_TARGET),
        ),
        curves(
            "Share of cells outside the tolerance",
            [(path, found.outside, "1", labels[path]) for path, found in verified.items()],
            (axis(OUTSIDE_AGE, measured.later_s, "s", "time since the last verification (s)"),),
            log_x=True,
        ),
    ]
    results = [number(TOLERANCE, measured.tolerance_uS, "uS", "tolerance (uS)")]
    for path, found in verified.items():
        name, label = name_of(path), labels[path]
        results += [
            number(f"verified_share_{name}", found.verified_share, "1", f"share of cells {label}"),
            number(
                f"outside_{name}", found.outside_after_a_day, "1", f"share outside the tolerance a day later, {label}"
            ),
        ]
    results.append(
        number("largest_deviation", measured.largest_deviation, "1", "largest relative deviation of a level's spread")
    )
    return measured_layout(plots, results)


def age_layout(measured: Aged) -> Layout:
    """Layout of an array that wears out, and relaxes."""
    failures: list[Curve] = [
        (FAILED, measured.failed, "1", "failed cells"),
        (LAW, measured.by_law, "1", "by the law of lifetimes"),
        (NOT_VERIFIED, measured.not_verified, "1", "cells that could not be verified"),
    ]
    errors: list[Curve] = [
        (RMS, measured.rms_uS, "uS", "rms error (uS)"),
        (PERCENTILE_95, measured.percentile_95_uS, "uS", "95th percentile (uS)"),
    ]
    plots = [
        curves("Failed cells", failures, (axis(CYCLES, measured.cycles, "1", "programming cycles"),), log_x=True),
        curves(
            "Error of the conductances",
            errors,
            (axis(ERROR_AGE, measured.age_s, "s", "time since the write (s)"),),
            log_x=True,
        ),
        device_map(LIFETIME, measured.lifetime_cycles, "1", "lifetime in programming cycles"),
    ]
    half, last_age = measured.half_failed_cycles, duration(measured.age_s[-1])
    results = [
        number(HALF_FAILED_CYCLES, half, "1", "cycles after which half of the cells have failed (NaN: never)"),
        number(
            "failed_share",
            float(measured.failed[-1]),
            "1",
            f"share of failed cells after {measured.last_cycles:g} cycles",
        ),
        number("rms_error_first", float(measured.rms_uS[0]), "uS", "rms error 1 s after the write (uS)"),
        number("rms_error_last", float(measured.rms_uS[-1]), "uS", f"rms error {last_age} after the write (uS)"),
        number(
            "outside_last", float(measured.outside[-1]), "1", f"share outside {measured.tolerance_uS:g} uS at that time"
        ),
    ]
    return measured_layout(plots, results)


def ir_drop_layout(measured: Drop) -> Layout:
    """Layout of what wires cost: loss over resistance and size, and the voltages on one array."""
    cell_loss = measured.cell_loss
    plots = [
        curves(
            "Share of the current lost in the wires",
            [(LOSS, measured.loss, "1", "share of the current lost")],
            (
                axis(SEGMENT, measured.segment_ohm, "ohm", "resistance of a wire segment (ohm)"),
                axis(SIZE, measured.size, "1", "rows and columns of the array"),
            ),
        ),
        device_map(ROW_VOLTAGE, measured.row_V, "V", "row voltage (V)"),
        device_map(COLUMN_VOLTAGE, measured.column_V, "V", "column voltage (V)"),
        device_map(CELL_LOSS, cell_loss, "1", "share of the read voltage lost"),
        device_map(CONDUCTANCE, measured.conductance_uS, "uS", "conductance (uS)"),
    ]
    highest = float(measured.column_V.max())
    results = [
        number(WHOLE_LOSS, measured.whole_loss, "1", "share of the current lost in the wires"),
        number("worst_cell_loss", float(cell_loss.max()), "1", "largest share of the read voltage lost before a cell"),
        number("highest_column_voltage", highest, "V", "highest voltage of a column (V)"),
    ]
    return measured_layout(plots, results)
