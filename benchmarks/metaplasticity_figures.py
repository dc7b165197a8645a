"""Draw sweeps of `benchmarks.metaplasticity`: one panel for each JSON file, mean and standard deviation over the seeds.

python -m benchmarks.metaplasticity_figures docs/metaplasticity_studies.png runs/metaplasticity-*.json

--quick first runs a quick sweep, and draws that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import commands, metaplasticity
from neurohil.pictures import load_matplotlib, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def quick_sweep() -> Path:
    """File of a quick sweep, made now."""
    metaplasticity.main(["--sweep", "relaxation", "--quick"])
    return commands.runs("metaplasticity-relaxation.json", quick=True)


def draw_all(sweeps: Sequence[Path], picture: Path) -> None:
    """A panel for each sweep."""
    columns = min(2, len(sweeps))
    lines = -(-len(sweeps) // columns)
    load_matplotlib()
    figure = new_figure(5.5 * columns, 3.6 * lines)
    figure.set_layout_engine("constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axes, path in zip(panels, sweeps, strict=False):
        draw(axes, path)
    for axes in panels[len(sweeps) :]:
        axes.remove()
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, picture, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("picture", type=Path, nargs="?")
    parser.add_argument("sweeps", type=Path, nargs="*", help="JSON files")
    options = commands.parsed(parser, arguments, picture=commands.runs("metaplasticity_studies.png", quick=True))
    if not options.sweeps and not options.quick:
        parser.error("name a picture to draw, and the JSON files of sweeps")
    with commands.errors_of("metaplasticity_figures"):
        draw_all(options.sweeps or [quick_sweep()], options.picture)
    print(options.picture)


if __name__ == "__main__":
    main()
