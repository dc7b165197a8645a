"""Draw sweeps of `benchmarks.metaplasticity`: one panel for each JSON file, mean and standard deviation over the seeds.

python -m benchmarks.metaplasticity_figures docs/metaplasticity_studies.png runs/metaplasticity-*.json
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"  # it draws into a file, wherever it is started

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurohil.pictures import save

COLOURS = {"mnist": "#332288", "fashion_mnist": "#882255"}
LABELS = {"mnist": "MNIST, learnt first", "fashion_mnist": "Fashion-MNIST"}


def draw(axes: Axes, path: Path) -> None:
    """One sweep: accuracies after all tasks by row of its table."""
    results = [result for _, part in json.loads(path.read_text()) for result in part]
    rows = list(dict.fromkeys(result["row"] for result in results))
    for name in dict.fromkeys(name for result in results for name in result["test_accuracy"]):
        values = [[100 * r["test_accuracy"][name] for r in results if r["row"] == row] for row in rows]
        mean, std = np.array([np.mean(v) for v in values]), [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
        axes.errorbar(range(len(rows)), mean, std, fmt="o-", capsize=3, color=COLOURS[name], label=LABELS[name])
    axes.set_xticks(range(len(rows)), rows, rotation=60 if len(rows) > 8 else 30, ha="right", fontsize=8)
    axes.set(title=path.stem.removeprefix("metaplasticity-").replace("_", " "), ylabel="test accuracy (%)")
    axes.grid(axis="y", color="#DDDDDD")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("sweeps", type=Path, nargs="+")
    options = parser.parse_args()
    columns = min(2, len(options.sweeps))
    lines = -(-len(options.sweeps) // columns)
    figure = Figure(figsize=(5.5 * columns, 3.6 * lines), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axes, path in zip(panels, options.sweeps, strict=False):
        draw(axes, path)
    for axes in panels[len(options.sweeps) :]:
        axes.remove()
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, options.picture, dpi=110)


if __name__ == "__main__":
    main()
