"""Ageing: conductances that relax over time, cells that fail over programming cycles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neurohil.errors import UserError
from neurohil.probing.config import CURVE_POINTS, CrossbarExperiment
from neurohil.protocols import Floats
from neurohil.targets.crossbar_bench import WORKS, CrossbarBench
from neurohil.text import exact


class Aged(NamedTuple):
    """An array that relaxed, and then wore out.

    Attributes
    ----------
    age_s : (t,)
        Times since the write.
    rms_uS, percentile_95_uS, outside : (t,)
        Errors of the conductances, and share of cells outside the tolerance.
    cycles : (c,)
        Programming cycles.
    failed, by_law, not_verified : (c,)
        Shares of cells: failed, expected to by the law of lifetimes, given up by the recipe.
    half_failed_cycles : float
        NaN if it never comes to that.
    last_cycles : float
        As the config has it.
    lifetime_cycles : (rows, columns)
    """

    tolerance_uS: float
    age_s: Floats
    rms_uS: Floats
    percentile_95_uS: Floats
    outside: Floats
    cycles: Floats
    failed: Floats
    by_law: Floats
    not_verified: Floats
    half_failed_cycles: float
    last_cycles: float
    lifetime_cycles: Floats


def age(config: CrossbarExperiment, step: Callable[[str], None]) -> Aged:
    """Errors of the conductance over time, share of failed cells over programming cycles."""
    first, last = config.age.first_cycles, config.age.last_cycles
    if first >= last:
        raise UserError(f"age.first_cycles = {exact(first)} is not below age.last_cycles = {exact(last)}; lower it")
    bench = CrossbarBench(config.target, config.seed)
    tolerance_uS = config.tolerance_uS
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
    return Aged(
        tolerance_uS=tolerance_uS,
        age_s=ages_s,
        rms_uS=np.array(rms),
        percentile_95_uS=np.array(ninety_five),
        outside=np.array(outside),
        cycles=cycles,
        failed=np.array(failed),
        by_law=bench.failed_by_law(cycles),
        not_verified=np.array(given_up),
        half_failed_cycles=_crossing(cycles, np.array(failed), 0.5),
        last_cycles=last,
        lifetime_cycles=bench.lifetime_cycles(),
    )


def _crossing(x: Floats, y: Floats, level: float) -> float:
    """Where rising values first reach a level, on a logarithmic x; NaN if they don't."""
    if not (y[0] < level <= y[-1]):
        return float("nan")
    k = int(np.argmax(y >= level))
    part = (level - y[k - 1]) / (y[k] - y[k - 1])
    return float(np.exp(np.log(x[k - 1]) + part * (np.log(x[k]) - np.log(x[k - 1]))))
