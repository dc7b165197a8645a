"""What the traces of `neurohil crossbar` hold, one function for each subcommand.

These runs have no epochs: everything is known when the trace is written. Maps are [row, column]; `results` are numbers
that go into ``run/results``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohil.protocols import Floats, Quantity
from neurohil.trace.provenance import CROSSBAR, kind_of
from neurohil.trace.schema import RUN, Array, Layout, Plot, index_axis

MOMENTS = ("written", "aged", "worn")
STATES = ("works", "stuck_on", "stuck_off", "worn_out_fading")
BINS = 120


def program_layout(
    labels: Mapping[str, str],
    level: NDArray[np.int64],
    conductance_uS: Mapping[str, Floats],
    pulses: Mapping[str, NDArray[np.int64]],
    verified: Mapping[str, NDArray[np.bool_]],
    state: NDArray[np.int64],
    maps: Iterable[Quantity],
    results: Iterable[Quantity],
    pulse_log: Sequence[Quantity] = (),
) -> Layout:
    """Layout of a programmed array: histograms at three moments, pulse statistics, maps.

    Parameters
    ----------
    labels : mapping of str
        What each of the three moments in `MOMENTS` is, for people.
    level : (rows, columns) int64
        Level that each cell was to have, from 0.
    conductance_uS : mapping of (rows, columns)
        At each of the moments.
    pulses, verified : mapping of (rows, columns)
        Of the write before the moments ``written`` and ``worn``.
    state : (rows, columns) int64
        Index into `STATES` at the moment ``worn``.
    maps, results : iterable of Quantity
    pulse_log : sequence of Quantity
        Every single pulse, (n,) each: what is drawn, its time, its row, and all else that is known of it; empty: none.

    Returns
    -------
    Layout
    """
    top_uS = max(float(g.max()) for g in conductance_uS.values())
    edges = np.linspace(0.0, top_uS or 1.0, BINS + 1)
    n_levels = int(level.max()) + 1
    conductance = Quantity(
        "conductance", (edges[:-1] + edges[1:]) / 2, ("conductance",), "uS", "conductance (uS), middle of the bin"
    )
    levels = Quantity("level", np.arange(n_levels), ("level",), "1", "level")

    def per_bin(moment: str) -> Quantity:
        counts, _ = np.histogram(conductance_uS[moment], edges)
        return Quantity(moment, counts, ("conductance",), "1", f"number of cells, {labels[moment]}")

    def per_level(moment: str) -> Quantity:
        counts = [np.histogram(conductance_uS[moment][level == k], edges)[0] for k in range(n_levels)]
        return Quantity("cells", np.array(counts), ("level", "conductance"), "1", "number of cells")

    most = max(int(p.max()) for p in pulses.values())
    pulse_axis = Quantity("pulses", np.arange(most + 1), ("pulses",), "1", "pulses per cell")
    pulse_counts = [
        Quantity(m, np.bincount(p.ravel(), minlength=most + 1), ("pulses",), "1", f"number of cells, {labels[m]}")
        for m, p in pulses.items()
    ]
    plots = [_lines("levels", "Conductances of all cells", [per_bin(m) for m in MOMENTS], (conductance,))]
    plots += [
        _lines(f"by_level/{m}", f"Conductances by level, {labels[m]}", [per_level(m)], (levels, conductance))
        for m in MOMENTS
    ]
    plots += [
        _lines("pulses", "Pulses per cell", pulse_counts, (pulse_axis,)),
        _map(_cell("level", level, "1", "level")),
        *(_map(_cell(f"conductance_{m}", conductance_uS[m], "uS", f"conductance {labels[m]} (uS)")) for m in MOMENTS),
        *(_map(_cell(f"pulses_{m}", p, "1", f"pulses, {labels[m]}")) for m, p in pulses.items()),
    ]
    plots += [
        _map(_cell(f"verified_{m}", v.astype(np.int64), "1", f"verified, {labels[m]}"), ("not_verified", "verified"))
        for m, v in verified.items()
    ]
    plots += [_map(_cell("state", state, "1", f"state {labels['worn']}"), STATES), *map(_map, maps)]
    if pulse_log:
        signal, time, row, *more = map(_array, pulse_log)
        plots.append(Plot(f"{RUN}/pulse_log", "Pulses", signal, (time, row), companions=tuple(more)))
    return _layout(plots, results)


def characterise_layout(
    level_uS: Floats,
    age_s: Floats,
    sigma_uS: tuple[Floats, Floats],
    mean_error_uS: tuple[Floats, Floats],
    read_sigma_uS: tuple[Floats, Floats],
    outside_age_s: Floats,
    outside: Mapping[str, tuple[str, Floats]],
    results: Iterable[Quantity],
) -> Layout:
    """Layout of an array held against its device model. Pairs are (on the array, by the model).

    Parameters
    ----------
    level_uS : (n,)
        Targets.
    age_s : (t,)
        Times since the write.
    sigma_uS, mean_error_uS : pair of (t, n)
        Standard deviation and mean error of the conductances of a level.
    read_sigma_uS : pair of (n,)
        Standard deviation of one read.
    outside_age_s : (s,)
        Times since the last verification.
    outside : mapping of (label, (s,))
        Share of cells outside the tolerance, by name of the recipe.
    results : iterable of Quantity

    Returns
    -------
    Layout
    """
    level = Quantity("target", level_uS, ("target",), "uS", "target conductance (uS)")
    age = Quantity("age", age_s, ("age",), "s", "time since the write (s)")
    verified_age = Quantity("age", outside_age_s, ("age",), "s", "time since the last verification (s)")

    def both(name: str, pair: tuple[Floats, Floats], dims: tuple[str, ...], long_name: str) -> list[Quantity]:
        return [
            Quantity(name, pair[0], dims, "uS", f"{long_name}, on the array (uS)"),
            Quantity(f"{name}_model", pair[1], dims, "uS", f"{long_name}, by the model (uS)"),
        ]

    two = ("age", "target")
    shares = [Quantity(name, values, ("age",), "1", label) for name, (label, values) in outside.items()]
    plots = [
        _lines("spread", "Spread of a level", both("sigma", sigma_uS, two, "spread of a level"), (age, level)),
        _lines("shift", "Mean error of a level", both("mean_error", mean_error_uS, two, "mean error"), (age, level)),
        _lines("read", "Read noise", both("read_sigma", read_sigma_uS, ("target",), "spread of a read"), (level,)),
        _lines("outside", "Share of cells outside the tolerance", shares, (verified_age,), log_x=True),
    ]
    return _layout(plots, results)


def age_layout(
    cycles: Floats,
    failures: Mapping[str, tuple[str, Floats]],
    age_s: Floats,
    errors_uS: Mapping[str, tuple[str, Floats]],
    maps: Iterable[Quantity],
    results: Iterable[Quantity],
) -> Layout:
    """Layout of an array that wears out, and relaxes.

    Parameters
    ----------
    cycles : (c,)
        Programming cycles.
    failures : mapping of (label, (c,))
        Shares of cells.
    age_s : (t,)
        Times since the write.
    errors_uS : mapping of (label, (t,))
        Errors of the conductances.
    maps, results : iterable of Quantity

    Returns
    -------
    Layout
    """
    cycle = Quantity("cycles", cycles, ("cycles",), "1", "programming cycles")
    age = Quantity("age", age_s, ("age",), "s", "time since the write (s)")
    shares = [Quantity(name, values, ("cycles",), "1", label) for name, (label, values) in failures.items()]
    errors = [Quantity(name, values, ("age",), "uS", label) for name, (label, values) in errors_uS.items()]
    plots = [
        _lines("failures", "Failed cells", shares, (cycle,), log_x=True),
        _lines("error", "Error of the conductances", errors, (age,), log_x=True),
        *map(_map, maps),
    ]
    return _layout(plots, results)


def ir_drop_layout(
    segment_ohm: Floats, size: NDArray[np.int64], loss: Floats, maps: Iterable[Quantity], results: Iterable[Quantity]
) -> Layout:
    """Layout of what wires cost: loss over resistance and size, and the voltages on one array.

    Parameters
    ----------
    segment_ohm : (r,)
        Resistance of a wire segment.
    size : (s,) int64
        Rows, and columns, of the array.
    loss : (r, s)
        Share of the current that is lost with all inputs at the read voltage.
    maps, results : iterable of Quantity

    Returns
    -------
    Layout
    """
    axes = (
        Quantity("segment", segment_ohm, ("segment",), "ohm", "resistance of a wire segment (ohm)"),
        Quantity("size", size, ("size",), "1", "rows and columns of the array"),
    )
    lost = Quantity("loss", loss, ("segment", "size"), "1", "share of the current lost")
    return _layout([_lines("loss", "Share of the current lost in the wires", [lost], axes), *map(_map, maps)], results)


def _layout(plots: Sequence[Plot], results: Iterable[Quantity]) -> Layout:
    return Layout(tuple(plots), tuple(map(_array, results)), "crossbar", provenance=CROSSBAR)


def _array(quantity: Quantity, flag_meanings: tuple[str, ...] = ()) -> Array:
    values = np.asarray(quantity.values)
    return Array(
        quantity.name,
        quantity.dims,
        values.shape,
        str(values.dtype),
        quantity.units,
        quantity.long_name,
        values,
        flag_meanings,
        kind_of(quantity.name),
    )


def _lines(name: str, title: str, curves: Sequence[Quantity], axes: tuple[Quantity, ...], log_x: bool = False) -> Plot:
    """Curves over the last axis."""
    first, *others = map(_array, curves)
    return Plot(f"{RUN}/{name}", title, first, tuple(map(_array, axes)), tuple(others), (), "spectrum", log_x)


def _cell(name: str, values: NDArray, units: str, long_name: str) -> Quantity:
    return Quantity(name, values, ("row", "column"), units, long_name)


def _map(quantity: Quantity, flag_meanings: tuple[str, ...] = ()) -> Plot:
    signal = _array(quantity, flag_meanings)
    axes = tuple(index_axis(dim, n, dim) for dim, n in zip(quantity.dims, quantity.values.shape, strict=True))
    return Plot(f"{RUN}/maps/{quantity.name}", quantity.long_name, signal, axes, interpretation="image")
