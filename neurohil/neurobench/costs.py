"""NeuroBench's system track, modelled: counts of the emulated target times costs. Nothing here was measured.

Execution time, energy and power of the emulated chip (spikes, matrix mode) and of the emulated crossbar, per sample
and by phase. Times and counts are those of the target's account; costs are one table, `costs.toml`, each with its
source and whether that was checked. A user's own table replaces entries of it.

The host isn't modelled, so pre-processing there (samples to spike times, pixels to input codes) has no row. Phases:

    Learning    everything before the measurement: training in the loop, with its validation and tests. In total.
    Loading     writing the network and sending the inputs over the link. Per sample.
    Inference   from the inputs in the chip's memory to the last step: NeuroBench's window of time. Per sample.
    ReadBack    sending the spikes to the host. Per sample.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from neurohil.errors import UserError

# The crossbar's own entries are fields of memristor's table: the target knows and checks their names.
CROSSBAR = "crossbar"
# Of a vector in matrix mode, on all columns: baseline and result.
_COLUMNS, _READS = 512, 2

_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_FIELDS = ("value", "unit", "source", "verified")

Table = Mapping[str, "Cost"]


class Cost(NamedTuple):
    """One entry: a value in its unit, where it is from, and whether that was checked."""

    value: float
    unit: str
    source: str
    verified: str

    @property
    def si(self) -> float:
        """In W or J."""
        return self.value * _PREFIXES[self.unit[:-1]]


class Phase(NamedTuple):
    """What a target did in a phase, and what that costs.

    time_s; energy_J by part; board_J: energy of the whole board in that time, the parts included, None if it has no
    known power; counts of events.
    """

    time_s: float
    energy_J: Mapping[str, float]
    board_J: float | None
    counts: Mapping[str, float]

    def row(self, samples: int = 1) -> dict[str, Any]:
        """For a result, divided by the number of samples."""
        energy_J = sum(self.energy_J.values())
        return {
            "Time_s": self.time_s / samples,
            "Energy_J": energy_J / samples,
            "Power_W": energy_J / self.time_s if self.time_s else None,
            "BoardEnergy_J": None if self.board_J is None else self.board_J / samples,
            "EnergyByPart_J": {name: part / samples for name, part in self.energy_J.items()},
            "Counts": {name: count / samples for name, count in self.counts.items()},
        }


def load_costs(path: str | Path | None = None) -> dict[str, dict[str, Cost]]:
    """The shipped costs, by table ("spiking", "matrix", "crossbar") and name, with a user's entries in their place.

    Parameters
    ----------
    path : path, optional
        TOML file in the form of costs.toml. Its [crossbar] may also name the parameters of `memristor.costs.CostTable`;
        `crossbar_changes` are then for the target.

    Raises
    ------
    UserError
        The file can't be read or is no TOML; an unknown table, entry or field; a missing field; a value that is no
        finite number >= 0; a unit that isn't one of power or of energy, as the entry needs.
    """
    shipped = tomllib.loads((resources.files("neurohil.neurobench") / "costs.toml").read_text())
    costs = {table: {name: Cost(**entry) for name, entry in entries.items()} for table, entries in shipped.items()}
    if path is None:
        return costs
    try:
        own = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise UserError(f"costs: {path} can't be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"costs: {path} is not valid TOML: {error}") from error
    for table, entries in own.items():
        _check_known(f"costs.{table}", table, costs)
        if not isinstance(entries, dict):
            raise UserError(f"costs.{table} = {entries!r} is no table; give [{table}.<name>] with {', '.join(_FIELDS)}")
        for name, entry in entries.items():
            if table != CROSSBAR:
                _check_known(f"costs.{table}.{name}", name, costs[table])
            known = costs[table].get(name)
            costs[table][name] = _cost(f"costs.{table}.{name}", entry, known.unit if known else None)
    return costs


def crossbar_changes(costs: Mapping[str, Table]) -> dict[str, int | float]:
    """What a user's table says of the parameters of `memristor.costs.CostTable`, for `CrossbarTargetConfig.costs`.

    Their names carry their units, so the unit has to agree; the target checks names and ranges.

    Raises
    ------
    UserError
        The unit isn't the one in the name.
    """
    changes: dict[str, int | float] = {}
    for name, cost in costs[CROSSBAR].items():
        if name == "dac_conversion":
            continue
        _, _, unit = name.rpartition("_")
        expected = unit if unit in ("ns", "pJ") else "1"
        if cost.unit != expected:
            raise UserError(f"costs.crossbar.{name}.unit = {cost.unit!r} is not {expected!r}; convert the value")
        changes[name] = int(cost.value) if unit != "pJ" and cost.value == int(cost.value) else cost.value
    return changes


def spent(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """What was added to a target's account between two looks at it: its numbers, but no lists."""
    return {name: after[name] - before.get(name, 0) for name in after if isinstance(after[name], int | float)}


def spiking_phases(account: Mapping[str, float], synaptic_events: float | None, costs: Table) -> dict[str, Phase]:
    """Phases of the emulated chip with spiking neurons.

    Parameters
    ----------
    account : mapping
        What a `BrainscalesTarget` spent, see `spent`.
    synaptic_events : float or None
        Events at non-zero synapses; None: they weren't counted.
    costs : mapping of Cost
        `load_costs()["spiking"]`.

    Returns
    -------
    dict of Phase
        Loading, Inference, ReadBack. No ADC is read: the chip answers with the times of spikes.
    """
    loading_s = 1e-9 * (account["configuration_ns"] + account["upload_ns"])
    loaded = {"link_event": account["input_events"]}
    done = {"spike": account["recorded_events"]}
    if synaptic_events is not None:
        done["synaptic_event"] = synaptic_events
    return {
        "Loading": _phase(loading_s, loaded, costs, {"configuration_words": account["words_written"]}),
        "Inference": _phase(1e-6 * account["real_time_us"], done, costs),
        "ReadBack": _phase(1e-9 * account["readback_ns"], {"link_event": account["recorded_events"]}, costs),
    }


def matrix_phases(account: Mapping[str, float], costs: Table) -> dict[str, Phase]:
    """Phases of the emulated chip in matrix mode: Inference alone, which here holds the writing of the weights.

    Every run of the chip begins with that, because the layers' blocks take turns on it.

    Parameters
    ----------
    account : mapping
        What a `BrainscalesMatrixTarget` spent.
    costs : mapping of Cost
        `load_costs()["matrix"]`.
    """
    done = {"cadc_conversion": account["vectors"] * _COLUMNS * _READS}
    uncosted = {"runs": account["runs"], "vectors": account["vectors"]}
    return {"Inference": _phase(1e-9 * account["modelled_time_ns"], done, costs, uncosted)}


def crossbar_phases(account: Mapping[str, float], dac_conversions: float, costs: Table) -> dict[str, Phase]:
    """Phases of the emulated crossbar: Inference alone. The energies of pulses, ADCs and rows are in the account.

    Parameters
    ----------
    account : mapping
        What a `CrossbarTarget` spent.
    dac_conversions : float
        Inputs that were converted: vectors times rows.
    costs : mapping of Cost
        `load_costs()["crossbar"]`; of it, what memristor's table doesn't have.
    """
    energy_J = {part: 1e-12 * account[f"modelled_{part}_pJ"] for part in ("pulse", "conversion", "drive")}
    energy_J["dac_conversion"] = dac_conversions * costs["dac_conversion"].si
    counts = {name: account[name] for name in ("pulses", "verify_reads", "vectors", "conversions")}
    counts["dac_conversions"] = dac_conversions
    return {"Inference": Phase(1e-9 * account["modelled_time_ns"], energy_J, None, counts)}


def learning(phases: Mapping[str, Phase]) -> Phase:
    """One phase for all that was done until then."""
    parts = list(phases.values())
    boards = [part.board_J for part in parts if part.board_J is not None]
    return Phase(
        sum(part.time_s for part in parts),
        _sums([part.energy_J for part in parts]),
        sum(boards) if boards else None,
        _sums([part.counts for part in parts]),
    )


def system_track(before: Mapping[str, Phase], during: Mapping[str, Phase], samples: int) -> dict[str, Any]:
    """A result's block "SystemTrackModelled": what learning took in total, then each phase per sample.

    Raises
    ------
    UserError
        There are no samples.
    """
    if samples < 1:
        raise UserError(f"samples = {samples} must be at least 1, to say what one took")
    return {"Learning": learning(before).row(), **{name: phase.row(samples) for name, phase in during.items()}}


def described(name: str, costs: Mapping[str, Table], target_costs: Any = None) -> dict[str, dict[str, Any]]:
    """The costs of one table that a result was made with, for its metadata, by their names in TOML.

    target_costs: a `memristor.costs.CostTable`, whose fields tell unit and source.
    """
    rows = {key: cost._asdict() for key, cost in costs[name].items()}
    for entry in fields(target_costs) if target_costs is not None else ():
        unit, source = entry.metadata["unit"] or "1", entry.metadata["source"]
        assumed = Cost(getattr(target_costs, entry.name), unit, source, "not verified")
        rows.setdefault(entry.name, assumed._asdict())
    return {f"{name}.{key}": row for key, row in rows.items()}


def _phase(
    time_s: float, counts: Mapping[str, float], costs: Table, uncosted: Mapping[str, float] | None = None
) -> Phase:
    """Chip power over the time, and each count times its cost; the board's power over the same time."""
    energy_J = {"chip_power": time_s * costs["chip_power"].si}
    energy_J |= {name: count * costs[name].si for name, count in counts.items()}
    return Phase(time_s, energy_J, time_s * costs["board_power"].si, {**counts, **(uncosted or {})})


def _sums(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _check_known(path: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UserError(f"unknown key {path}{hint}; known here: {', '.join(known)}")


def _cost(path: str, entry: Any, like: str | None) -> Cost:
    """A user's entry; `like`: a unit of the same dimension, if the entry is one of ours."""
    if not isinstance(entry, dict):
        raise UserError(f"{path} = {entry!r} is no table; give {', '.join(_FIELDS)}")
    for name in entry:
        _check_known(f"{path}.{name}", name, dict.fromkeys(_FIELDS))
    for name in _FIELDS:
        if name not in entry:
            raise UserError(f"missing key {path}.{name}; a cost takes {', '.join(_FIELDS)}")
    value, unit = entry["value"], entry["unit"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise UserError(f"{path}.value = {value!r} must be a finite number >= 0 {unit}; give a cost")
    for name in ("unit", "source", "verified"):
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise UserError(f"{path}.{name} = {entry[name]!r} must be text; say where the value is from")
    if like is not None and (unit[-1] != like[-1] or unit[:-1] not in _PREFIXES):
        choices = ", ".join(f"{prefix}{like[-1]}" for prefix in _PREFIXES)
        raise UserError(f"{path}.unit = {unit!r} is not allowed: expected one of {choices}; convert the value")
    return Cost(float(value), unit, entry["source"], entry["verified"])
