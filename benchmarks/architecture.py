"""The picture of docs/architecture.md: rooms of the project as boxes, imports as arrows, read from the sources.

    python -m benchmarks.architecture            # writes docs/architecture.svg

A room is a package, or in `neurohil` a folder; its single files make two rooms: `runs`, what every run has in common,
and `ground`, what everybody stands on. A room stands above all that it imports. Arrows that follow from others (what an
imported room imports itself) are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from benchmarks import commands
from neurohil.files import first_line

ROOT = Path(__file__).parents[1]
PACKAGES = ("brainscales_emu", "memristor", "neurohil", "benchmarks")
RUNS = ("__init__", "kinds", "results", "run", "starting", "warming")
"""Files of `neurohil` that make runs what they are; all its other files are the ground."""
WHAT = {
    "cli": "parses and prints",
    "runs": "one contract, one loop, the face",
    "delgrad": "weights and delays from spikes",
    "metaplasticity": "tasks one after the other",
    "probing": "measurements on one array",
    "targets": "what can be driven",
    "first_spike": "closed forms, readable and compiled",
    "trace": "files, views, reports",
    "neurobench": "metrics, harness",
    "datasets": "loaders with checksums",
    "experiments": "TOML",
    "ground": "config, errors, text, protocols",
    "brainscales_emu": "the emulated chip",
    "memristor": "the emulated crossbar",
    "benchmarks": "measurements, tasks",
}
WIDTH, HEIGHT, GAP, LEVEL = 186, 50, 22, 96


def room_of(module: str) -> str | None:
    """The room of a module by its dotted name; None if it is not ours."""
    package, _, rest = module.partition(".")
    if package not in PACKAGES:
        return None
    if package != "neurohil":
        return package
    folder = rest.partition(".")[0] or "__init__"
    if folder == "__main__":
        return "cli"
    if (ROOT / "neurohil" / folder).is_dir():
        return folder
    return "runs" if folder in RUNS else "ground"


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, wherever in it; relative ones resolved."""
    *package, name = path.relative_to(ROOT).with_suffix("").parts
    here = [*package] if name != "__init__" else package
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = ROOT.joinpath(*module.split("."), alias.name)
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield f"{module}.{alias.name}" if is_module else module


def rooms() -> dict[str, set[str]]:
    """Each room with those that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted(chain.from_iterable((ROOT / package).rglob("*.py") for package in PACKAGES)):
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        assert room is not None
        others = {other for module in imported(path) if (other := room_of(module)) not in (None, room)}
        found.setdefault(room, set()).update(others)  # type: ignore[arg-type]
    return found


def levels(found: dict[str, set[str]]) -> dict[str, int]:
    """How high each room stands: above all that it imports, the lowest on 0.

    Raises
    ------
    RecursionError
        Rooms import each other in a circle.
    """

    def level(room: str) -> int:
        return 1 + max(map(level, found[room]), default=-1)

    return {room: level(room) for room in found}


def direct(found: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Arrows that don't follow from others."""

    def below(room: str) -> set[str]:
        return found[room].union(*(below(other) for other in found[room]))

    return sorted(
        (room, other)
        for room, others in found.items()
        for other in others
        if not any(other in below(between) for between in others - {other})
    )


def drawn(found: dict[str, set[str]]) -> str:
    """The picture as SVG; equal sources give equal text."""
    height = levels(found)
    top = max(height.values())
    rows = [sorted(room for room in found if height[room] == level) for level in range(top, -1, -1)]
    width = max(len(row) * (WIDTH + GAP) - GAP for row in rows) + 2 * GAP
    place: dict[str, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        left = (width - (len(row) * (WIDTH + GAP) - GAP)) / 2
        place |= {room: (left + i * (WIDTH + GAP), GAP + k * LEVEL) for i, room in enumerate(row)}
    total = 2 * GAP + top * LEVEL + HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {total:g}" font-family="sans-serif">',
        f'<rect width="{width:g}" height="{total:g}" fill="#ffffff"/>',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#888888"/></marker></defs>',
    ]
    for room, other in direct(found):
        (x, y), (u, v) = place[room], place[other]
        start, end = (x + WIDTH / 2, y + HEIGHT), (u + WIDTH / 2, v - 2)
        middle = (start[1] + end[1]) / 2
        lines.append(
            f'<path d="M{start[0]:g},{start[1]:g} C{start[0]:g},{middle:g} {end[0]:g},{middle:g} '
            f'{end[0]:g},{end[1]:g}" fill="none" stroke="#888888" stroke-width="1.2" marker-end="url(#tip)"/>'
        )
    for room, (x, y) in sorted(place.items()):
        outside = room in ("brainscales_emu", "memristor", "benchmarks")
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
            f'fill="{"#eef3f8" if outside else "#f6f1e7"}" stroke="#222222"/>',
            f'<text x="{x + WIDTH / 2:g}" y="{y + 21:g}" text-anchor="middle" font-size="14" font-weight="bold">'
            f"{room}</text>",
            f'<text x="{x + WIDTH / 2:g}" y="{y + 38:g}" text-anchor="middle" font-size="10" fill="#444444">'
            f"{WHAT.get(room, '')}</text>",
        ]
    return "\n".join([*lines, "</svg>\n"])


def is_ours(path: Path) -> bool:
    """Whether a picture of rooms stands there."""
    return first_line(path).startswith("<svg ") and '<marker id="tip"' in path.read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/architecture.svg")
    options = commands.parsed(parser, arguments, out=commands.runs("architecture.svg", quick=True))
    with commands.errors_of("architecture"):
        commands.write(options.out, drawn(rooms()), is_ours)
    print(options.out)


if __name__ == "__main__":
    main()
