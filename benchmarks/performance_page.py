"""docs/performance.md and its pictures, written from benchmarks/results/performance/*.json, never by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import commands
from neurohil import files
from neurohil.pictures import new_figure, own_style

HEADING = "# Performance"
TOLERANCE = 0.15  # by which a fitted exponent may exceed that of the work
INTRODUCTION = f"""{HEADING}

`make bench` writes this page; `make bench-peers` installs the other programs. Each comparison first holds the results
against each other, then the jobs take turns in one process on one thread. Times are CPU seconds; the ratio is taken
within a turn. Given are medians, with quartiles in brackets: ratios are what to quote, times depend on the machine.
"""
TITLES = {
    "training": "DelGrad, an epoch",
    "networks": "A network of 256 inputs and 256 neurons",
    "crossbars": "Crossbars",
    "harness": "NeuroBench metrics",
}


def line(row: Mapping[str, Any]) -> str:
    """A row in one line, for those who wait."""
    told = [f"{name} {job['cpu_s'][1]:.3g} s ({job['times_ours'][1]:.3g})" for name, job in row["jobs"].items()]
    told += [f"{name}: {why}" for name, why in row["absent"].items()]
    return f"{row['subject']}: {', '.join(told)}; {row['agreement']}"


def write(results: Path, page: Path) -> None:
    """The page of all parts that have results, and its pictures beside it."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    sections = [INTRODUCTION]
    for name, title in TITLES.items():
        if name in found:
            sections.append("\n".join(section(title, found[name])))
    for name, told in (("roofline", roofline_section), ("growth", growth_section)):
        if name in found:
            picture = page.with_name(f"{page.stem}_{name}.png")
            {"roofline": draw_roofline, "growth": draw_growth}[name](found[name], picture)
            sections.append("\n".join(told(found[name], picture.name)))
    ratios = [row for part in found.values() for row in part.get("rows", [])]
    if ratios:
        picture = page.with_name(f"{page.stem}_peers.png")
        draw_ratios(ratios, picture)
        sections.insert(1, f"![ratios]({picture.name})\n")
    commands.write(page, "\n".join(sections), lambda path: files.first_line(path) == HEADING)


def section(title: str, part: Mapping[str, Any]) -> Iterator[str]:
    """A table of one subject."""
    yield f"## {title}\n"
    yield "| work | job | CPU s | times ours |\n| --- | --- | --- | --- |"
    for row in part["rows"]:
        for name, job in row["jobs"].items():
            yield f"| {row['subject']} | {name} | {quartiles(job['cpu_s'])} | {quartiles(job['times_ours'])} |"
        for name, why in row["absent"].items():
            yield f"| {row['subject']} | {name} | {why} | |"
    yield ""
    for row in part["rows"]:
        yield f"- {row['subject']}: {row['agreement']}; {row['repeats']} repeats"
    yield f"\n{told_machine(part['machine'])}\n"


def roofline_section(part: Mapping[str, Any], picture: str) -> Iterator[str]:
    """Needs, times and shares."""
    peaks = part["peaks"]
    yield "## At the limit of the machine\n"
    yield (
        "What the work needs, by the small models below, over what this machine was measured to do at best: "
        f"{peaks['operations_4'] / 1e9:.1f} and {peaks['operations_8'] / 1e9:.1f} billion operations a second in "
        f"single and double precision (products), {peaks['bytes'] / 1e9:.1f} GB/s of memory. The share is the limit "
        "over the time.\n"
    )
    yield f"![roofline]({picture})\n"
    yield "| kernel | million operations | MB | CPU ms | share | what it needs |\n| --- | --- | --- | --- | --- | --- |"
    for row in part["kernels"]:
        yield (
            f"| {row['name']} | {row['operations'] / 1e6:.3g} | {row['bytes'] / 1e6:.3g} | {1e3 * row['cpu_s']:.3g} "
            f"| {row['share']:.1%} | {row['reason']} |"
        )
    yield f"\n{told_machine(part['machine'])}\n"


def growth_section(part: Mapping[str, Any], picture: str) -> Iterator[str]:
    """Exponents."""
    yield "## Over size\n"
    yield (
        "The exponent is the slope over the upper half of the sizes, in double logarithms; that of the work is what "
        f"the size asks for. Above it by more than {TOLERANCE} is marked.\n"
    )
    yield f"![growth]({picture})\n"
    yield "| what grows | sizes | smallest ... largest | exponent | of the work | memory, largest | its exponent |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in part["lines"]:
        sizes, values = row["sizes"], row["values"]
        mark = " **above**" if row["exponent"] > row["work"] + TOLERANCE else ""
        yield (
            f"| {row['name']} | {', '.join(map(str, sizes))} | {values[0]:.3g} ... {values[-1]:.3g} {row['unit']} "
            f"| {row['exponent']}{mark} | {row['work']:g} ({row['reason']}) | {row['peak_bytes'][-1] / 1e6:.3g} MB "
            f"| {row['memory_exponent']} |"
        )
    yield f"\n{told_machine(part['machine'])}\n"


def told_machine(about: Mapping[str, Any]) -> str:
    """Where it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Measured on {about['processor']}, {about['cores']} cores, load average {about['load_average']} at the "
        f"beginning; Python {about['python']}, {versions}."
    )


def quartiles(values: list[float]) -> str:
    low, middle, high = (f"{value:.3g}" for value in values)
    return f"{middle} ({low} ... {high})"


def draw_ratios(rows: list[Mapping[str, Any]], path: Path) -> None:
    """How many times ours each other program takes, with quartiles, on a scale of decades."""
    bars = [
        (f"{row['subject']}\n{name}", job["times_ours"])
        for row in rows
        for number, (name, job) in enumerate(row["jobs"].items())
        if number
    ]
    with own_style():
        figure = new_figure(9.0, 1.0 + 0.42 * max(len(bars), 1))
        axes = figure.add_axes((0.48, 0.6 / figure.get_figheight(), 0.49, 1 - 0.8 / figure.get_figheight()))
        for place, (_, (low, middle, high)) in enumerate(bars):
            axes.barh(place, middle, xerr=[[middle - low], [high - middle]], color="C0" if middle >= 1 else "C1")
            axes.text(high * 1.15, place, f"{middle:.3g}", va="center", fontsize=8)
        axes.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=7)
        axes.set_xscale("log")
        axes.set_xlim(0.1, 4 * max([high for _, (_, _, high) in bars], default=1.0))
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xlabel("CPU time, times ours")
        axes.invert_yaxis()
        save(figure, path)


def draw_roofline(part: Mapping[str, Any], path: Path) -> None:
    """Operations per second over operations per byte, below the roofs of either precision."""
    peaks, kernels = part["peaks"], part["kernels"]
    with own_style():
        figure = new_figure(10.0, 4.2)
        axes = figure.add_axes((0.07, 0.13, 0.42, 0.8))
        dense = np.geomspace(0.1, 1e4, 200)
        for number, style in ((4, "-"), (8, "--")):
            roof = np.minimum(dense * peaks["bytes"], peaks[f"operations_{number}"])
            axes.plot(dense, roof / 1e9, style, color="black", linewidth=1, label=f"{8 * number} bits")
        for k, row in enumerate(kernels):
            intensity, speed = row["operations"] / row["bytes"], row["operations"] / row["cpu_s"] / 1e9
            axes.plot(intensity, speed, "o", color=f"C{k}", label=f"{row['name']}: {row['share']:.2g}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.5e-9 * min(row["operations"] / row["cpu_s"] for row in kernels))
        axes.set_xlabel("operations needed per byte")
        axes.set_ylabel("billion operations per CPU second")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=7, title="kernel: share reached")
        save(figure, path)


def draw_growth(part: Mapping[str, Any], path: Path) -> None:
    """A panel for each line, with the slope of the work."""
    lines = part["lines"]
    columns = 3
    rows = -(-len(lines) // columns)
    with own_style():
        figure = new_figure(9.0, 2.5 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, row in zip(panels, lines, strict=False):
            sizes, values = np.array(row["sizes"], float), np.array(row["values"])
            axes.loglog(sizes, values, "o-", color="C0", markersize=3)
            axes.loglog(sizes, values[-1] * (sizes / sizes[-1]) ** row["work"], ":", color="black", linewidth=1)
            axes.xaxis.set_minor_formatter("")
            axes.yaxis.set_minor_formatter("")
            axes.set_title(row["name"], fontsize=7)
            axes.set_ylabel(row["unit"])
            axes.text(0.05, 0.9, f"exponent {row['exponent']}", transform=axes.transAxes, fontsize=8, va="top")
        for axes in panels[len(lines) :]:
            axes.set_axis_off()
        figure.tight_layout()
        save(figure, path)


def save(figure: Any, path: Path) -> None:
    """A picture, whole or not at all."""
    files.make_folder(path.parent)
    with files.replacing(path, lambda found: found.read_bytes()[:4] == b"\x89PNG") as unfinished:
        figure.savefig(unfinished, format="png", dpi=150)
