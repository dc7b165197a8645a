"""The page: views, tables and configuration of one trace in one HTML file."""

from __future__ import annotations

import base64
import gzip
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from neurohil.files import has_mark, replacing
from neurohil.trace.nxdata import variable
from neurohil.trace.reader import Trace
from neurohil.trace.report.style import readable, words
from neurohil.trace.report.view import Table
from neurohil.trace.report.views import OwnViews, views
from neurohil.trace.schema import RUN, TraceError

MARK = "neurohil trace report"
"""The page names it as its generator; such pages alone are replaced."""

_MODEL = re.compile(r'("(?:root_)?id":)"(p[0-9]+)"')


def write_report(
    path: str | Path, out: str | Path | None = None, own: Callable[[Trace], OwnViews | None] = lambda _: None
) -> Path:
    """Write a trace as one HTML page that needs no network.

    The page has interactive figures of all that the trace holds, its results, and its configuration. Any browser
    since 2023 shows it. Equal traces give equal pages.

    Parameters
    ----------
    path : str or path
        Trace of a run that is finished, going on, or was interrupted.
    out : str or path, optional
        Page to write; by default beside the trace, with ``.html`` in place of ``.h5``.
    own : callable, optional
        What makes the views of a trace's kind of run, see `views`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    TraceError
        If the trace can't be read or the page can't be written.
    """
    path = Path(path)
    out = Path(out) if out else _beside(path)
    if out.exists() and path.exists() and out.samefile(path):
        raise TraceError(f"{out} is the trace itself; name another file for the page")
    with Trace(path) as trace:
        page = _render(trace, own(trace))
    _replace(out, page)
    return out


def _beside(trace: Path) -> Path:
    name = trace.name.removesuffix(".part")
    return trace.with_name(f"{name.removesuffix('.h5')}.html")


def _replace(out: Path, page: str) -> None:
    """Write under a temporary name first: no half-written page."""
    try:
        with replacing(out, lambda there: has_mark(there, MARK)) as unfinished:
            unfinished.write_text(page, encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{out} can't be written ({error.strerror}); choose another file") from error


def _render(trace: Trace, own: OwnViews | None) -> str:
    from bokeh.resources import INLINE
    from jinja2 import Environment, StrictUndefined

    parts = files("neurohil.trace.report") / "assets"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((parts / "page.html").read_text(encoding="utf-8"))
    shown = views(trace, own)
    models: dict[str, int] = {}
    return template.render(
        generator=MARK,
        title=words(trace.title),
        summary=_summary(trace),
        state=_state(trace),
        provenance=trace.provenance.source,
        numbers=list(_numbers(trace)),
        views=shown,
        items={view.key: [_item(figure, models) for figure in view.figures.values()] for view in shown},
        config=trace.config,
        versions=trace.versions,
        data=json.dumps,
        bokeh=_script(INLINE),
        css=(parts / "report.css").read_text(encoding="utf-8"),
        js=(parts / "report.js").read_text(encoding="utf-8"),
    )


def _script(resources: Any) -> str:
    """The code of bokeh's plots, without its widgets and tables, which the page doesn't use."""
    resources = type(resources)(mode="inline", components=["bokeh"])
    return "\n".join(resources.js_raw).replace("</script", "<\\/script")


def _item(figure: Any, numbers: dict[str, int]) -> str:
    """A figure with its data, as compressed text, its models counted from the start of the page, not of the process."""
    from bokeh.embed import json_item

    text = json.dumps(json_item(figure), separators=(",", ":"))
    text = _MODEL.sub(lambda found: f'{found[1]}"p{numbers.setdefault(found[2], len(numbers))}"', text)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _numbers(trace: Trace) -> Iterator[tuple[str, Table]]:
    """A table of each folder of single numbers, the results first."""
    folders: dict[str, list[str]] = {}
    for path in trace.paths:
        folder = path.rpartition("/")[0]
        array = trace.dataset(path)
        if folder != RUN and array.shape == () and array.dtype.kind in "iuf":
            folders.setdefault(folder, []).append(path)
    for folder, paths in folders.items():
        rows = []
        for path in paths:
            what = variable(trace, path)
            unit = "" if what.units == "1" else readable(f"({what.units})")[1:-1]
            label = readable(what.label).removesuffix(f" ({unit})")
            rows.append((label, _number(what.array[()].item()), unit))
        heading = words(folder.rpartition("/")[2]).capitalize().replace("Neurobench", "NeuroBench")
        yield heading, Table(("", "value", "unit"), tuple(rows))


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if np.isnan(value):
        return "none yet"
    return f"{value:.6g}"


def _config(trace: Trace) -> dict[str, Any]:
    try:
        return tomllib.loads(trace.config)
    except tomllib.TOMLDecodeError:
        return {}


def _summary(trace: Trace) -> str:
    return str(_config(trace).get("summary", ""))


def _state(trace: Trace) -> str:
    """How far the run came, and what of it is lost."""
    if trace.damage:
        return (
            f"DAMAGED: {_progress(trace)}; `neurohil trace validate` lists the {len(trace.damage)} parts that are lost"
        )
    return _progress(trace)


def _progress(trace: Trace) -> str:
    if trace.complete:
        return f"{trace.epochs} epochs, complete" if trace.epochs else "complete"
    return f"NOT COMPLETE: {trace.epochs} epochs so far; results that are known at the end are missing"
