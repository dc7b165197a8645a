"""Nine levels on one array, at once and a day later, against the published fits (pass a .png to draw it)."""

import os
import sys

import numpy as np

from memristor import Cells, preset
from memristor.device_model import DAY_S
from memristor.programming import one_shot

LEVELS, PER_LEVEL = 9, 2000
model = preset("hfox_wan2022")
cells = Cells(model, (LEVELS, PER_LEVEL), serial=7, seed=7)  # a row for each level
level_uS = np.linspace(model.g_low_uS, model.g_high_uS, LEVELS)
rows, columns = (index.ravel() for index in np.indices(cells.shape))
one_shot(cells, rows, columns, level_uS[rows], now_s=0.0)

print(f"spread of {PER_LEVEL} devices per level in uS, and that of the fit; a conductance can't fall below 0, so the")
print("lowest level is narrower than its fit\n")
print("target" + "".join(f"{g:10.0f}" for g in level_uS))
found = {}
for name, age_s in (("1 s", 1.0), ("1 day", DAY_S), ("2 days", 2 * DAY_S)):
    cells.relax(age_s)
    found[name] = cells.g_uS.copy()
    fit_uS = np.hypot(model.program_sigma_uS(level_uS), model.relax_sigma_uS(level_uS, age_s))
    print(f"{name:6}" + "".join(f"{s:10.2f}" for s in found[name].std(axis=1)))
    print("   fit" + "".join(f"{s:10.2f}" for s in fit_uS))

middle_uS = (level_uS[1:] + level_uS[:-1]) / 2
for name, g_uS in found.items():
    wrong = np.digitize(g_uS, middle_uS) != np.arange(LEVELS)[:, None]
    print(f"{name:6} after the write {wrong.mean():.0%} of the devices are nearest to another level than their own")

if len(sys.argv) > 1:
    os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    colours = list(colormaps["cividis"](np.linspace(0.0, 0.9, LEVELS)))
    for axes, (name, g_uS) in zip(figure.subplots(len(found), sharex=True), found.items(), strict=True):
        axes.hist(list(g_uS), bins=150, color=colours, histtype="stepfilled", alpha=0.8)
        axes.set(ylabel=f"devices\n{name}", ylim=(0, 250))
    axes.set_xlabel("conductance (µS)")
    figure.savefig(sys.argv[1])
