"""Why a programmed level doesn't last, and how waiting before the verification helps (pass a .png to draw it)."""

import os
import sys

import numpy as np

from memristor.device import Cells
from memristor.presets import preset
from memristor.programming import write_verify

HOUR_S = 3600.0
AGES = {"at once": 0.0, "1 minute": 60.0, "1 hour": HOUR_S, "6 hours": 6 * HOUR_S, "1 day": 24 * HOUR_S}
AGES |= {"1 month": 30 * 24 * HOUR_S, "6 months": 180 * 24 * HOUR_S}
TOLERANCE_uS = 2.0

rows, columns = (index.ravel() for index in np.indices((128, 128)))
targets_uS = 5.0 * np.random.default_rng(1).integers(0, 9, rows.size)  # nine levels between 0 and 40 uS

shares = {}
for wait_s in (0.0, 60.0, HOUR_S):
    cells = Cells(preset("hfox_wan2022"), (128, 128), serial=7, seed=7)
    report = write_verify(cells, rows, columns, targets_uS, 0.0, TOLERANCE_uS, max_pulses=200, wait_s=wait_s)
    end_s, outside = cells.now_s, []
    for age_s in AGES.values():
        cells.relax(end_s + age_s)
        outside.append(np.mean(np.abs(cells.g_uS[rows, columns] - targets_uS) > TOLERANCE_uS))
    shares[f"wait {wait_s:g} s"] = outside
    print(
        f"wait {wait_s:4g} s: {report.pulses.mean():.2f} pulses per cell, {report.rounds} rounds,"
        f" {np.mean(report.verified):.2%} verified"
    )

print(f"\nshare of cells more than {TOLERANCE_uS:g} uS from their target, by time since the last verification")
print(f"{'':12}" + "".join(f"{age:>10}" for age in AGES))
for name, outside in shares.items():
    print(f"{name:12}" + "".join(f"{share:10.1%}" for share in outside))

if len(sys.argv) > 1:
    os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for (name, outside), colour in zip(shares.items(), ("#882255", "#44AA99", "#332288"), strict=True):
        axes.plot(list(AGES), outside, "o-", color=colour, label=name)
    axes.set(xlabel="time since the last verification", ylabel="share outside the tolerance", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1])
