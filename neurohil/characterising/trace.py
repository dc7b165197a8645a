"""What the trace of a characterised chip holds: each array's name, and what it is made from, stand here only.

Such a run has no epochs: everything is known when the layout is made. Arrays are [circuit] or [quantity].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from neurohil.targets.chip_bench import (
    QUANTITIES,
    REAL_NAMES,
    REAL_OFFSET_STD_LSB,
    UNITS,
    Characterised,
    Found,
    limits,
    real_spreads,
)
from neurohil.trace.provenance import CHIP
from neurohil.trace.schema import RUN, Array, Layout, Plot, group_of, name_of

LABELS = {
    "leak": "leak potential",
    "reset": "reset potential",
    "threshold": "threshold potential",
    "tau_mem": "membrane time constant",
    "tau_syn_exc": "excitatory synaptic time constant",
    "tau_syn_inh": "inhibitory synaptic time constant",
    "gain_exc": "excitatory gain",
    "gain_inh": "inhibitory gain",
}
IN_USE, ALIKE = "in_use", "alike"
"""With the codes in use; and, of a chip that was calibrated, with the same median codes in all circuits."""
_WITH = {IN_USE: "", ALIKE: ", all circuits with the median codes"}

OFFSET_CAUSAL, OFFSET_ACAUSAL, REAL_OFFSET_STD = (
    f"{RUN}/cadc_offset/{name}" for name in ("causal", "acausal", "real_std")
)
RATIO, LIMIT = (f"{RUN}/spread/{name}" for name in ("ratio", "limit"))


def value_path(quantity: str, codes: str = IN_USE) -> str:
    """What was measured of each circuit."""
    return f"{RUN}/{quantity}/{codes}"


def spread_path(which: str, chip: str = IN_USE) -> str:
    """Standard deviation ``within`` blocks, or ``between`` them, of each quantity; `chip` may be a real one."""
    return f"{RUN}/spread/{which}_{chip}"


def characterise_layout(measured: Characterised) -> Layout:
    """Layout of a characterised chip: each quantity of each circuit with its code, and the spreads."""
    found = {IN_USE: measured.in_use} | ({ALIKE: measured.alike.found} if measured.alike else {})
    plots = [
        *(_quantity(name, found, measured.circuits) for name in QUANTITIES),
        _offsets(measured),
        _spreads(measured),
    ]
    unmeasured = sum(int(np.isnan(values).sum()) for values in measured.in_use.values.values())
    results = [
        *(
            _array(
                f"{RUN}/results/median_{name}",
                (),
                _median(measured.in_use.values[name]),
                "1",
                f"median {LABELS[name]} ({_unit(name)})",
            )
            for name in QUANTITIES
        ),
        _array(f"{RUN}/results/unmeasured", (), unmeasured, "1", "values that couldn't be measured"),
    ]
    return Layout(tuple(plots), tuple(results), "chip", provenance=CHIP)


def _quantity(name: str, found: dict[str, Found], circuits: ArrayLike) -> Plot:
    units = UNITS[name] if UNITS[name] == "us" else "1"

    def values(codes: str) -> Array:
        label = f"{LABELS[name]} ({_unit(name)}){_WITH[codes]}"
        return _array(value_path(name, codes), ("circuit",), found[codes].values[name], units, label)

    codes = [
        _array(f"{RUN}/{name}/code_{which}", ("circuit",), seen.codes[name], "1", f"code of {name}{_WITH[which]}")
        for which, seen in found.items()
    ]
    signal, *more = map(values, found)
    title = LABELS[name][0].upper() + LABELS[name][1:]
    axis = _circuits(f"{RUN}/{name}", circuits)
    return Plot(group_of(value_path(name)), title, signal, (axis,), tuple(more), tuple(codes), "spectrum")


def _offsets(measured: Characterised) -> Plot:
    causal, acausal = (
        _array(path, ("circuit",), values, "1", f"offset of the {name_of(path)} channel (CADC LSB)")
        for path, values in zip((OFFSET_CAUSAL, OFFSET_ACAUSAL), measured.in_use.cadc_offset_lsb, strict=True)
    )
    label = f"spread of the offsets of real chips {', '.join(REAL_NAMES)} (CADC LSB)"
    real = _array(REAL_OFFSET_STD, ("real_chip",), REAL_OFFSET_STD_LSB, "1", label, kind="measured")
    axis = _circuits(group_of(OFFSET_CAUSAL), measured.circuits)
    return Plot(group_of(OFFSET_CAUSAL), "Offsets of the CADC", causal, (axis,), (acausal,), (real,), "spectrum")


def _spreads(measured: Characterised) -> Plot:
    unit = "(CADC LSB of potentials, else of the logarithm)"
    what = {"within": "spread within blocks", "between": "spread of the means of blocks"}
    rows = dict(zip(what, measured.spread, strict=True))
    arrays = [_array(spread_path(w), ("quantity",), rows[w], "1", f"{what[w]} {unit}") for w in what]
    if measured.alike:
        arrays += [
            _array(spread_path(w, ALIKE), ("quantity",), row, "1", f"{what[w]} {unit}{_WITH[ALIKE]}")
            for w, row in zip(what, measured.alike.spread, strict=True)
        ]
    arrays += [
        _array(spread_path(w, chip), ("quantity",), row, "1", f"{what[w]} of the real chip {chip} {unit}", "measured")
        for w, chips in zip(what, real_spreads(), strict=True)
        for chip, row in zip(REAL_NAMES, chips, strict=True)
    ]
    companions = [_array(LIMIT, ("quantity",), limits(), "1", "largest ratio that the vendor accepts", "measured")]
    if measured.alike:
        label = "spread with the codes in use over that with the median codes, 5 % trimmed"
        companions.append(_array(RATIO, ("quantity",), measured.alike.ratio, "1", label))
    axis = Array(
        "quantity",
        ("quantity",),
        (len(QUANTITIES),),
        "int64",
        "1",
        "quantity",
        np.arange(len(QUANTITIES)),
        flag_meanings=QUANTITIES,
    )
    within, between, *others = arrays
    return Plot(group_of(spread_path("within")), "Spreads", within, (axis,), (between,), (*others, *companions))


def _unit(name: str) -> str:
    """The unit for people; a trace has no unit for LSB."""
    return UNITS[name].replace("LSB", "CADC LSB")


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.any(np.isfinite(values)) else float("nan")


def _circuits(group: str, circuits: ArrayLike) -> Array:
    return _array(f"{group}/circuit", ("circuit",), circuits, "1", "neuron circuit")


def _array(path: str, dims: tuple[str, ...], values: ArrayLike, units: str, long_name: str, kind: str = "") -> Array:
    values = np.asarray(values)
    return Array(name_of(path), dims, values.shape, str(values.dtype), units, long_name, values, kind=kind)
