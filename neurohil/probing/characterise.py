"""Characterising: an array held against its device model, and what verifying with a wait is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from neurohil.errors import UserError
from neurohil.memory import demand_bytes
from neurohil.probing.config import CURVE_POINTS, CrossbarExperiment
from neurohil.protocols import Floats
from neurohil.targets.crossbar_bench import CrossbarBench
from neurohil.targets.matrix.crossbar import CrossbarTargetConfig
from neurohil.text import duration

READS = 100
DAY_S = 86_400.0


class Verified(NamedTuple):
    """What verifying after a wait has come to: share of cells verified, pulses per cell, share of cells (s,) outside
    the tolerance over the time since the last verification, and of those a day later."""

    wait_s: float
    verified_share: float
    pulses_per_cell: float
    outside: Floats
    outside_after_a_day: float


class Characterised(NamedTuple):
    """An array held against its device model, by its n levels that more than one cell has.

    Attributes
    ----------
    n_levels : int
        Of a device, whether or not a cell has it.
    target_uS : (n,)
    age_s : (t,)
        Times since the write.
    sigma_uS, model_sigma_uS, mean_error_uS, model_mean_error_uS : (t, n)
        Standard deviation and mean error of the conductances of a level.
    read_sigma_uS, model_read_sigma_uS : (n,)
        Standard deviation of one read.
    largest_deviation : float
        Of `sigma_uS` from the model, relative to it; the lowest level, which is cut at 0, doesn't count.
    later_s : (s,)
        Times since the last verification.
    at_once, waited : Verified
        Without a wait, and with that of the patient recipe.
    """

    n_levels: int
    tolerance_uS: float
    target_uS: Floats
    age_s: Floats
    sigma_uS: Floats
    model_sigma_uS: Floats
    mean_error_uS: Floats
    model_mean_error_uS: Floats
    read_sigma_uS: Floats
    model_read_sigma_uS: Floats
    largest_deviation: float
    later_s: Floats
    at_once: Verified
    waited: Verified


def characterise(config: CrossbarExperiment, step: Callable[[str], None]) -> Characterised:
    """Hold single programming cycles against the device model; verify with and without waiting."""
    ages = np.array(sorted(config.characterise.ages_s))
    bench = CrossbarBench(_with_recipe(config.target, method="one_shot", wait_s=0.0), config.seed)
    rows, columns = bench.shape
    demand_bytes(
        3 * 8 * READS * rows * columns,  # the reads one by one, together, and their squares
        f"{READS} reads of {rows} x {columns} devices",
        "lower target.array.tile_rows or target.array.tile_columns",
    )
    weights = bench.random_weights()
    level = bench.device_levels(weights)
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
        step(f"{duration(age_s)} after the write")
    sigma, mean = np.moveaxis(np.array(errors), -1, 0)
    observed, by_model = bench.read_spread_uS(READS)
    read, read_model = (np.array([np.sqrt(np.mean(s[level == k] ** 2)) for k in present]) for s in (observed, by_model))
    step("read")
    later_s = np.geomspace(1.0, 3e7, CURVE_POINTS)
    at_once, waited = (_verify(config, wait, later_s, step) for wait in (0.0, config.characterise.wait_s))
    inner = targets > bench.level_uS[0]
    model_sigma = np.array(spread)
    compared = inner & (model_sigma.min(axis=0) > 0.0)
    return Characterised(
        n_levels=len(bench.level_uS),
        tolerance_uS=config.tolerance_uS,
        target_uS=targets,
        age_s=ages,
        sigma_uS=sigma,
        model_sigma_uS=model_sigma,
        mean_error_uS=mean,
        model_mean_error_uS=np.array(shift),
        read_sigma_uS=read,
        model_read_sigma_uS=read_model,
        largest_deviation=float(
            np.abs(sigma / np.where(compared, model_sigma, 1.0) - 1.0)[:, compared].max(initial=0.0)
        ),
        later_s=later_s,
        at_once=at_once,
        waited=waited,
    )


def _verify(config: CrossbarExperiment, wait_s: float, later_s: Floats, step: Callable[[str], None]) -> Verified:
    bench = CrossbarBench(_with_recipe(config.target, method="write_verify", wait_s=wait_s), config.seed)
    writing = bench.write(bench.random_weights())
    shares = []
    for seconds in np.diff(later_s, prepend=0.0).tolist():
        bench.wait(seconds)
        shares.append(np.mean(np.abs(bench.conductance_uS() - bench.target_uS()) > config.tolerance_uS))
    step(f"verified, waiting {wait_s:g} s")
    return Verified(
        wait_s=wait_s,
        verified_share=float(writing.verified.mean()),
        pulses_per_cell=float(writing.pulses.mean()),
        outside=np.array(shares),
        outside_after_a_day=float(np.interp(np.log(DAY_S), np.log(later_s), shares)),
    )


def _with_recipe(target: CrossbarTargetConfig, **changes: Any) -> CrossbarTargetConfig:
    return msgspec.structs.replace(target, recipe={**target.recipe, **changes})
