"""A small array is rewritten until it wears out, once with sudden and once with gradual failure (.png: draws it)."""

import os
import sys

import numpy as np

from memristor.device import Cells, WearConfig
from memristor.presets import preset
from memristor.programming import one_shot, write_verify

SHAPE = (32, 32)
CHECKS = (100, 500, 1000, 1500, 2000, 3000, 5000)
rows, columns = (index.ravel() for index in np.indices(SHAPE))
targets_uS = np.full(rows.size, 20.0)

print(
    "rewriting 1024 cells whose lifetimes are log-normal around 1000 cycles (weak ones, so that it doesn't take long)"
)
print("then one verified write to 20 uS within 2 uS, with at most 20 pulses\n")
print(
    f"{'failure':10}{'cycles':>8}{'worn out':>10}{'unverified':>12}{'stuck on':>10}{'stuck off':>11}{'median uS':>11}"
)
curves = {}
for failure in ("sudden", "gradual"):
    wear = WearConfig(median_cycles=1000.0, failure=failure)
    cells = Cells(preset("hfox_wan2022"), SHAPE, serial=7, seed=7, wear=wear)
    unverified = []
    for cycles in CHECKS:
        while cells.cycles.max() < cycles:
            one_shot(cells, rows, columns, targets_uS, 0.0)
        report = write_verify(cells, rows, columns, targets_uS, 0.0, tolerance_uS=2.0, max_pulses=20)
        unverified.append(np.mean(~report.verified))
        print(
            f"{failure:10}{cycles:8}{np.mean(cells.failed):10.1%}{unverified[-1]:12.1%}{np.mean(cells.stuck > 0):10.1%}"
            f"{np.mean(cells.stuck < 0):11.1%}{np.median(cells.g_uS):11.1f}"
        )
    curves[failure] = unverified

if len(sys.argv) > 1:
    os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for (failure, unverified), colour in zip(curves.items(), ("#882255", "#332288"), strict=True):
        axes.semilogx(CHECKS, unverified, "o-", color=colour, label=failure)
    axes.set(xlabel="programming cycles", ylabel="share that no longer verifies", ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1])
