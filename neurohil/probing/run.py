"""`neurohil crossbar`: measurements on one emulated memristor array -> trace, picture and a short table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from tqdm import tqdm

from neurohil.cli.output import draw_picture, line, print_results
from neurohil.cli.running import place_of_new, tell_finished
from neurohil.cli.summary import with_true_summary
from neurohil.config import experiment_name, experiment_text, parse, to_toml
from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.probing.picture import draw_age, draw_characterise, draw_ir_drop, draw_program
from neurohil.probing.trace import age_layout, characterise_layout, ir_drop_layout, program_layout
from neurohil.protocols import Floats, Quantity
from neurohil.ranges import Size
from neurohil.targets.crossbar_bench import STUCK_OFF, STUCK_ON, WORKS, CrossbarBench, Writing
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig
from neurohil.text import exact, one_line
from neurohil.trace.place import Place
from neurohil.trace.schema import Layout
from neurohil.trace.writer import TraceWriter

DEFAULT_EXPERIMENT = "crossbar_9_levels"
READS = 100
CURVE_POINTS = 25

Age = Annotated[float, msgspec.Meta(ge=1.0, le=1e9)]  # s; the fits begin 1 s after the write
Cycles = Annotated[float, msgspec.Meta(ge=1.0, le=1e12)]
Ohm = Annotated[float, msgspec.Meta(ge=0.0, le=1e6)]


class ProgramConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to look at the array again, how many programming cycles it then goes through, and whether the trace keeps
    every single pulse."""

    aged_s: Age = 86_400.0
    cycles: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1_000_000
    log_pulses: bool = False


class CharacteriseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At which times since the write the levels are measured, and how long the patient recipe waits."""

    ages_s: Annotated[tuple[Age, ...], msgspec.Meta(min_length=1, max_length=8)] = (1.0, 3600.0, 86_400.0)
    wait_s: Age = 3600.0


class AgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Range of programming cycles, and the longest time since the write."""

    first_cycles: Cycles = 1e4
    last_cycles: Cycles = 1e7
    last_age_s: Age = 3e7


class IrDropConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of square arrays, and resistances of a wire segment."""

    sizes: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=8)] = (8, 16, 32, 64, 128)
    segments_ohm: Annotated[tuple[Ohm, ...], msgspec.Meta(min_length=1, max_length=6)] = (0.1, 0.3, 1.0, 3.0, 10.0)


class CrossbarExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An array, and what is asked of it by each subcommand."""

    summary: str
    target: CrossbarTargetConfig
    program: ProgramConfig = ProgramConfig()
    characterise: CharacteriseConfig = CharacteriseConfig()
    age: AgeConfig = AgeConfig()
    ir_drop: IrDropConfig = IrDropConfig()
    experiment: str = "unnamed"


class Measured(NamedTuple):
    """What a measurement gives: its trace, numbers for the JSON line, and lines for the table."""

    layout: Layout
    results: list[Quantity]
    table: list[str]


def start(
    measurement: str,
    experiment: str | None,
    overrides: Sequence[str],
    out: str | None,
    as_json: bool,
    overwrite: bool = False,
) -> None:
    """Measure, unless this very measurement is there already; picture beside the trace.

    The trace goes to `out` (default runs/EXPERIMENT-MEASUREMENT-seedN.h5, with what differs from the experiment in its
    name).
    """
    name = experiment or DEFAULT_EXPERIMENT
    config = load(name, overrides)
    title, stem = f"{config.experiment}: {measurement}", f"{config.experiment}-{measurement}-seed{config.target.serial}"
    with place_of_new(out, stem, title, config, load(name), overwrite, ("target.serial",)) as (place, found):
        if found == "finished":
            tell_finished(place, as_json, MEASUREMENTS[measurement][1])
        else:
            _measure(measurement, config, title, place, as_json)


def _measure(measurement: str, config: CrossbarExperiment, title: str, place: Place, as_json: bool) -> None:
    began = time.perf_counter()
    place.refuse_full_disk("run again", _estimated_bytes(config))
    measure, draw = MEASUREMENTS[measurement]
    with tqdm(unit="step", disable=None, dynamic_ncols=True) as progress:
        progress.set_postfix_str("the first run compiles the kernels")
        measured = measure(config, progress)
    seed, path = config.target.serial, place.path
    with TraceWriter(place, measured.layout, title, to_toml(config), 0) as writer:
        writer.finish({})
    seconds = time.perf_counter() - began
    heading = f"{config.experiment}: {measurement}, seed {seed}, {_origin(config.target)}"
    lines = [*measured.table, line("wall time", f"{seconds:.1f} s"), line("trace", str(path))]
    facts = {"experiment": config.experiment, "measurement": measurement, "seed": seed}
    numbers = {q.name: np.asarray(q.values).item() for q in measured.results}
    print_results(heading, lines, facts | numbers | {"seconds": round(seconds, 3), "trace": str(path)}, as_json)
    draw_picture(draw, path, as_json)


@with_true_summary
def load(experiment: str, overrides: Sequence[str] = ()) -> CrossbarExperiment:
    """Validated config of a shipped experiment or a .toml file."""
    return parse(
        experiment_text("crossbar", experiment), CrossbarExperiment, overrides, experiment=experiment_name(experiment)
    )


def program(config: CrossbarExperiment, progress: tqdm) -> Measured:
    """Write the array, look at it 1 s and some time later, wear it out, write it again."""
    bench, step = CrossbarBench(config.target, config.program.log_pulses), _steps(progress, 4)
    weights = bench.random_weights()
    level = bench.device_levels(weights)
    cycles, aged_s = config.program.cycles, config.program.aged_s
    first = bench.write(weights)
    bench.wait_until(1.0)
    conductance = {"written": bench.conductance_uS()}
    step("written")
    bench.wait_until(aged_s)
    conductance["aged"] = bench.conductance_uS()
    step("aged")
    bench.wear(cycles)
    again = bench.write(weights)
    bench.wait_until(1.0)
    conductance["worn"] = bench.conductance_uS()
    state, target = bench.state(), bench.target_uS()
    step("worn out")
    tolerance_uS = _tolerance_uS(config.target)
    outside = {m: float(np.mean(np.abs(g - target) > tolerance_uS)) for m, g in conductance.items()}
    labels = {"written": "1 s after the write", "aged": f"{_duration(aged_s)} after the write"}
    labels["worn"] = f"after {cycles:.3g} cycles".replace("e+0", "e")
    results = [
        *_writing_results(first),
        *(
            _number(f"outside_{m}", share, "1", f"share of cells outside the tolerance, {labels[m]}")
            for m, share in outside.items()
        ),
        _number("failed_share", float(np.mean(state != WORKS)), "1", f"share of failed cells {labels['worn']}"),
        _number("verified_share_worn", float(again.verified.mean()), "1", f"share verified {labels['worn']}"),
    ]
    layout = program_layout(
        labels,
        level,
        conductance,
        {"written": first.pulses, "worn": again.pulses},
        {"written": first.verified, "worn": again.verified},
        state,
        [
            Quantity("target", target, _CELLS, "uS", "target conductance (uS)"),
            Quantity("lifetime", bench.lifetime_cycles(), _CELLS, "1", "lifetime in programming cycles"),
            Quantity("wear", cycles / bench.lifetime_cycles(), _CELLS, "1", "programming cycles over lifetime"),
        ],
        results,
        bench.pulse_log() if config.program.log_pulses else (),
    )
    step("described")
    table = [
        line("verified", f"{first.verified.mean():.2%} of {first.verified.size} cells, {first.rounds} rounds"),
        line("pulses per cell", f"mean {first.pulses.mean():.2f}, most {first.pulses.max()}"),
        line("modelled time", f"{1e3 * first.time_s:.3f} ms for the write"),
        line("modelled energy", _energy(first)),
        *(line(f"outside {tolerance_uS:g} uS", f"{outside[m]:.2%} of the cells {labels[m]}") for m in outside),
        line("failed", f"{_failures(state)} {labels['worn']}"),
    ]
    return Measured(layout, results, table)


def characterise(config: CrossbarExperiment, progress: tqdm) -> Measured:
    """Hold single programming cycles against the device model; verify with and without waiting."""
    ages = np.array(sorted(config.characterise.ages_s))
    wait_s = config.characterise.wait_s
    step = _steps(progress, len(ages) + 4)
    bench = CrossbarBench(_with_recipe(config.target, method="one_shot", wait_s=0.0))
    rows, columns = bench.shape
    demand_bytes(
        3 * 8 * READS * rows * columns,  # the reads one by one, together, and their squares
        f"{READS} reads of {rows} x {columns} devices",
        "lower target.array.tile_rows or target.array.tile_columns",
    )
    weights = bench.random_weights()
    level = bench.device_levels(weights)
    count = len(bench.level_uS)
    levels, devices = np.unique(level, return_counts=True)
    present = levels[devices > 1]  # one device has no spread
    if not present.size:
        raise UserError(
            f"{rows} x {columns} devices are too few for a spread: no level has two; raise target.array.tile_rows or "
            "target.array.tile_columns"
        )
    targets = bench.level_uS[present]
    bench.write(weights)
    errors, spread, shift = [], [], []
    for age_s in ages.tolist():
        bench.wait_until(age_s)
        error = bench.conductance_uS() - bench.target_uS()
        errors.append([(error[level == k].std(ddof=1), error[level == k].mean()) for k in present])
        spread.append(bench.model_spread_uS(targets, age_s))
        shift.append(bench.model_shift_uS(targets, age_s))
        step(f"{_duration(age_s)} after the write")
    sigma, mean = np.moveaxis(np.array(errors), -1, 0)
    observed, by_model = bench.read_spread_uS(READS)
    read, read_model = (np.array([np.sqrt(np.mean(s[level == k] ** 2)) for k in present]) for s in (observed, by_model))
    step("read")

    tolerance_uS = _tolerance_uS(config.target)
    later_s = np.geomspace(1.0, 3e7, CURVE_POINTS)
    outside: dict[str, tuple[str, Floats]] = {}
    results, table = [_number("tolerance", tolerance_uS, "uS", "tolerance (uS)")], []
    for name, wait, words in (("at_once", 0.0, "verified at once"), ("waited", wait_s, f"after {_duration(wait_s)}")):
        patient = CrossbarBench(_with_recipe(config.target, method="write_verify", wait_s=wait))
        writing = patient.write(weights)
        shares = []
        for seconds in np.diff(later_s, prepend=0.0).tolist():
            patient.wait(seconds)
            shares.append(np.mean(np.abs(patient.conductance_uS() - patient.target_uS()) > tolerance_uS))
        outside[name] = (words if wait == 0.0 else f"verified {words}", np.array(shares))
        day = float(np.interp(np.log(86_400.0), np.log(later_s), shares))
        results += [
            _number(
                f"verified_share_{name}", float(writing.verified.mean()), "1", f"share of cells {outside[name][0]}"
            ),
            _number(f"outside_{name}", day, "1", f"share outside the tolerance a day later, {outside[name][0]}"),
        ]
        table.append(
            line(
                outside[name][0],
                f"{writing.verified.mean():.1%} of the cells with {writing.pulses.mean():.1f} pulses each; a day later"
                f" {day:.1%} are outside {tolerance_uS:g} uS",
            )
        )
        step(f"verified, waiting {wait:g} s")
    inner = targets > bench.level_uS[0]  # the lowest level is cut at 0
    model_sigma = np.array(spread)
    compared = inner & (model_sigma.min(axis=0) > 0.0)
    worst = float(np.abs(sigma / np.where(compared, model_sigma, 1.0) - 1.0)[:, compared].max(initial=0.0))
    results.append(_number("largest_deviation", worst, "1", "largest relative deviation of a level's spread"))
    layout = characterise_layout(
        targets, ages, (sigma, model_sigma), (mean, np.array(shift)), (read, read_model), later_s, outside, results
    )
    step("described")
    head = [f"  {count} levels, one programming cycle each: spread and mean error in uS, on the array (by the model)"]
    head.append("  " + "target".rjust(8) + "".join(f"{_duration(age):>32}" for age in ages) + f"{'read':>16}")
    for k, target in enumerate(targets):
        cells = [
            f"{sigma[t, k]:8.2f} ({model_sigma[t, k]:5.2f}) {mean[t, k]:+7.2f} ({shift[t][k]:+6.2f})"
            for t in range(len(ages))
        ]
        head.append("  " + f"{target:8.2f}" + "".join(cells) + f"  {read[k]:5.2f} ({read_model[k]:5.2f})")
    return Measured(layout, results, [*head, *table])


def age(config: CrossbarExperiment, progress: tqdm) -> Measured:
    """Share of failed cells over programming cycles, errors of the conductance over time."""
    first, last = config.age.first_cycles, config.age.last_cycles
    if first >= last:
        raise UserError(f"age.first_cycles = {exact(first)} is not below age.last_cycles = {exact(last)}; lower it")
    step = _steps(progress, CURVE_POINTS + 1)
    bench = CrossbarBench(config.target)
    tolerance_uS = _tolerance_uS(config.target)
    weights = bench.random_weights()
    bench.write(weights)
    ages_s = np.geomspace(1.0, max(config.age.last_age_s, 10.0), CURVE_POINTS)
    rms, ninety_five, outside = [], [], []
    for age_s in ages_s.tolist():
        bench.wait_until(age_s)
        error = np.abs(bench.conductance_uS() - bench.target_uS())
        rms.append(np.sqrt(np.mean(error**2)))
        ninety_five.append(np.percentile(error, 95.0))
        outside.append(np.mean(error > tolerance_uS))
    step("aged")

    cycles = np.rint(np.geomspace(first, last, CURVE_POINTS))
    failed, given_up = [], []
    for count in cycles.astype(np.int64).tolist():
        bench.wear(count)
        writing = bench.write(weights)
        failed.append(np.mean(bench.state() != WORKS))
        given_up.append(1.0 - writing.verified.mean())
        step(f"{count:.2g} cycles")
    half = _crossing(cycles, np.array(failed), 0.5)
    results = [
        _number("half_failed_cycles", half, "1", "cycles after which half of the cells have failed (NaN: never)"),
        _number("failed_share", float(failed[-1]), "1", f"share of failed cells after {last:g} cycles"),
        _number("rms_error_first", float(rms[0]), "uS", "rms error 1 s after the write (uS)"),
        _number("rms_error_last", float(rms[-1]), "uS", f"rms error {_duration(ages_s[-1])} after the write (uS)"),
        _number("outside_last", float(outside[-1]), "1", f"share outside {tolerance_uS:g} uS at that time"),
    ]
    failures = {
        "failed": ("failed cells", np.array(failed)),
        "law": ("by the law of lifetimes", bench.failed_by_law(cycles)),
        "not_verified": ("cells that could not be verified", np.array(given_up)),
    }
    errors = {
        "rms": ("rms error (uS)", np.array(rms)),
        "percentile_95": ("95th percentile (uS)", np.array(ninety_five)),
    }
    lifetime = Quantity("lifetime", bench.lifetime_cycles(), _CELLS, "1", "lifetime in programming cycles")
    table = [
        line("half have failed", "not within these cycles" if math.isnan(half) else f"after {half:.3g} cycles"),
        line("failed", f"{failed[-1]:.1%} after {last:g} cycles"),
        line("rms error", f"{rms[0]:.2f} uS after 1 s, {rms[-1]:.2f} uS after {_duration(ages_s[-1])}"),
        line(f"outside {tolerance_uS:g} uS", f"{outside[0]:.1%} after 1 s, {outside[-1]:.1%} at the end"),
    ]
    return Measured(age_layout(cycles, failures, ages_s, errors, [lifetime], results), results, table)


def ir_drop(config: CrossbarExperiment, progress: tqdm) -> Measured:
    """Voltages on the wires of the written array, and the share of the current that they cost."""
    if config.target.wires is None:
        raise UserError("ir-drop needs wires; add a table [target.wires] or --set target.wires.row_ohm=1")
    bench = CrossbarBench(config.target)
    sizes, segments = sorted(config.ir_drop.sizes), sorted(config.ir_drop.segments_ohm)
    if sizes[-1] > min(bench.shape):
        rows, columns = bench.shape
        raise UserError(
            f"ir_drop.sizes: {sizes[-1]} doesn't fit into the array of {rows} x {columns}; lower it, or raise"
            " target.array.tile_rows and target.array.tile_columns"
        )
    step = _steps(progress, len(segments) + 2)
    bench.write(bench.random_weights())
    voltages = bench.voltages()
    step("solved")
    loss = []
    for segment_ohm in segments:
        loss.append([bench.current_lost(size, segment_ohm) for size in sizes])
        step(f"{segment_ohm:g} ohm")
    whole = bench.current_lost(min(bench.shape))
    cell_loss = 1.0 - (voltages.row_V - voltages.column_V) / voltages.v_read_V
    results = [
        _number("loss", whole, "1", "share of the current lost in the wires"),
        _number("worst_cell_loss", float(cell_loss.max()), "1", "largest share of the read voltage lost before a cell"),
        _number("highest_column_voltage", float(voltages.column_V.max()), "V", "highest voltage of a column (V)"),
    ]
    maps = [
        Quantity("row_voltage", voltages.row_V, _CELLS, "V", "row voltage (V)"),
        Quantity("column_voltage", voltages.column_V, _CELLS, "V", "column voltage (V)"),
        Quantity("cell_loss", cell_loss, _CELLS, "1", "share of the read voltage lost"),
        Quantity("conductance", bench.conductance_uS(), _CELLS, "uS", "conductance (uS)"),
    ]
    layout = ir_drop_layout(np.array(segments), np.array(sizes), np.array(loss), maps, results)
    step("described")
    table = [
        line("current lost", f"{whole:.1%} of that without wire resistance, all rows at {voltages.v_read_V:g} V"),
        line("farthest cell", f"{cell_loss.max():.1%} of the read voltage lost"),
        f"  {'current lost, by ohm and size':<30}" + "".join(f"{size:>8}" for size in sizes),
        *(f"  {ohm:>30g}" + "".join(f"{x:>8.1%}" for x in row) for ohm, row in zip(segments, loss, strict=True)),
    ]
    return Measured(layout, results, table)


MEASUREMENTS: dict[str, tuple[Callable[[CrossbarExperiment, Any], Measured], Callable[[Path, Path], None]]] = {
    "program": (program, draw_program),
    "characterise": (characterise, draw_characterise),
    "age": (age, draw_age),
    "ir-drop": (ir_drop, draw_ir_drop),
}
_CELLS = ("row", "column")
_NUMBERS_PER_CELL, _NUMBERS_PER_PULSE = 20, 5  # in a trace, at most
TILE, PULSES_PER_CELL = 128, 20  # what the arrays have if the config doesn't say, and what two writes take


def _estimated_bytes(config: CrossbarExperiment) -> int:
    """Room that the trace of such an array takes: packed, mostly less."""
    sizes = (config.target.array.get(name) for name in ("tile_rows", "tile_columns"))
    cells = math.prod(size if isinstance(size, int) else TILE for size in sizes)
    pulses = PULSES_PER_CELL if config.program.log_pulses else 0
    return 8 * cells * (_NUMBERS_PER_CELL + _NUMBERS_PER_PULSE * pulses)


def _steps(progress: tqdm, total: int) -> Callable[[str], None]:
    progress.reset(total)

    def step(done: str) -> None:
        progress.set_postfix_str(one_line(done))
        progress.update()

    return step


def _with_recipe(target: CrossbarTargetConfig, **changes: Any) -> CrossbarTargetConfig:
    return msgspec.structs.replace(target, recipe={**target.recipe, **changes})


def _tolerance_uS(target: CrossbarTargetConfig) -> float:
    """Tolerance of the recipe, which one-shot programming doesn't use but can be judged by."""
    return float(target.recipe.get("tolerance_uS", 1.0))


def _writing_results(writing: Writing) -> list[Quantity]:
    return [
        _number("verified_share", float(writing.verified.mean()), "1", "share of cells that were verified"),
        _number("rounds", writing.rounds, "1", "rounds of reading back"),
        _number("pulses_per_cell", float(writing.pulses.mean()), "1", "SET and RESET pulses per cell"),
        _number("modelled_time", writing.time_s, "s", "modelled time of the write (s)"),
        _number("modelled_pulse_energy", writing.pulse_pJ, "pJ", "modelled energy of the pulses (pJ)"),
        _number("modelled_conversion_energy", writing.conversion_pJ, "pJ", "modelled energy of the conversions (pJ)"),
        _number("modelled_drive_energy", writing.drive_pJ, "pJ", "modelled energy of the driven rows (pJ)"),
    ]


def _number(name: str, value: float, units: str, long_name: str) -> Quantity:
    return Quantity(name, np.array(value), (), units, long_name)


def _energy(writing: Writing) -> str:
    total = writing.pulse_pJ + writing.conversion_pJ + writing.drive_pJ
    return (
        f"{1e-3 * total:.1f} nJ: pulses {1e-3 * writing.pulse_pJ:.1f}, conversions {1e-3 * writing.conversion_pJ:.1f},"
        f" driving the rows {1e-3 * writing.drive_pJ:.2f}"
    )


def _failures(state: np.ndarray) -> str:
    on, off = np.mean(state == STUCK_ON), np.mean(state == STUCK_OFF)
    return f"{np.mean(state != WORKS):.1%} of the cells ({on:.1%} stuck on, {off:.1%} stuck off)"


def _crossing(x: Floats, y: Floats, level: float) -> float:
    """Where rising values first reach a level, on a logarithmic x; NaN if they don't."""
    if not (y[0] < level <= y[-1]):
        return float("nan")
    k = int(np.argmax(y >= level))
    part = (level - y[k - 1]) / (y[k] - y[k - 1])
    return float(np.exp(np.log(x[k - 1]) + part * (np.log(x[k]) - np.log(x[k - 1]))))


def _origin(target: CrossbarTargetConfig) -> str:
    return f"devices {target.table or target.preset}"


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {unit}{'s' if unit == 'day' and count != '1' else ''}"
    return f"{seconds:g} s"
