"""View of a metaplasticity run in a report: what is kept and what is forgotten, task by task."""

from __future__ import annotations

from collections.abc import Iterator

from neurohil.metaplasticity.trace import TASK, curve_path, tests_in
from neurohil.trace.nxdata import PlotGroup, text
from neurohil.trace.reader import Trace
from neurohil.trace.report.view import Table, View


def views(trace: Trace, plots: dict[str, PlotGroup]) -> Iterator[View]:
    """The table of accuracies task by task; takes no plot out of `plots`."""
    table = task_table(trace)
    if table:
        caption = "What is kept and what is forgotten: accuracy of every test after the last epoch of each task."
        yield View("tasks", "Accuracy task by task", caption, table=table)


def task_table(trace: Trace) -> Table | None:
    """Accuracy of each test after each task was learnt; None unless the run learnt several."""
    if TASK not in trace.paths:
        return None
    task = trace[TASK]
    names = text(trace.attributes(TASK).get("flag_meanings")).split()
    last = [k for k in range(len(task)) if k + 1 == len(task) or task[k + 1] != task[k]]
    if len(last) < 2:
        return None
    tests = tests_in(trace.paths)
    shares = tuple(tuple(float(trace[curve_path(test)][epoch]) for test in tests) for epoch in last)
    rows = tuple(
        (f"{names[task[epoch]]} (epoch {epoch + 1})", *(f"{100 * share:.1f} %" for share in row))
        for epoch, row in zip(last, shares, strict=True)
    )
    header = ("after learning", *(f"test on {test}" for test in tests))
    return Table(header, rows, tuple((None, *row) for row in shares))
