"""What the steps of a controller take: times and energies, all modelled, each with its source."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import check_number


def _cost(default: float, high: float, unit: str, source: str = "assumed") -> Any:
    return field(default=default, metadata={"high": high, "unit": unit, "source": source})


@dataclass(frozen=True)
class CostTable:
    """What the steps take. Every entry is assumed but for those that name a source; `sources` tells.

    Parameters
    ----------
    reset_ns, set_ns : int
        Duration of a pulse.
    pulse_settle_ns : int
        From the pulses of a row to what follows.
    dac_settle_ns, integrate_ns, conversion_ns : int
        Parts of a conversion slot.
    converters : int
        Converters of a bank, which work at the same time.
    pulse_pJ : float
        Energy of a programming pulse. 1 pJ per memristor write is what Martemucci et al. (Nat. Electron. 2025) assumed.
    conversion_pJ : float
        Energy of an analogue-to-digital conversion.

    Raises
    ------
    CrossbarError
        A value is outside its range.
    """

    reset_ns: int = _cost(100, 1e9, "ns")
    set_ns: int = _cost(100, 1e9, "ns")
    pulse_settle_ns: int = _cost(50, 1e9, "ns")
    dac_settle_ns: int = _cost(10, 1e9, "ns")
    integrate_ns: int = _cost(20, 1e9, "ns")
    conversion_ns: int = _cost(10, 1e9, "ns")
    converters: int = _cost(16, 65_536, "")
    pulse_pJ: float = _cost(1.0, 1e6, "pJ", "per memristor write, as assumed by Martemucci et al., Nat. Electron. 2025")
    conversion_pJ: float = _cost(2.0, 1e6, "pJ")

    def __post_init__(self) -> None:
        for entry in fields(self):
            low = 1.0 if entry.name == "converters" else 0.0
            high, unit = entry.metadata["high"], entry.metadata["unit"]
            whole = entry.type == "int"
            check_number(f"costs.{entry.name}", getattr(self, entry.name), low, high, unit, "give a cost", whole)

    @classmethod
    def sources(cls) -> dict[str, str]:
        """Where the default of each entry is from."""
        return {entry.name: entry.metadata["source"] for entry in fields(cls)}

    @property
    def pulse_slot_ns(self) -> int:
        """One row: RESET, SET, settling."""
        return self.reset_ns + self.set_ns + self.pulse_settle_ns

    @property
    def drive_ns(self) -> int:
        """How long the rows are driven in a conversion slot."""
        return self.dac_settle_ns + self.integrate_ns

    def conversion_slot_ns(self, columns: int) -> int:
        """One conversion slot with so many columns to convert."""
        return self.drive_ns + -(-columns // self.converters) * self.conversion_ns

    def conversion_slots_ns(self, columns: NDArray[np.int64]) -> int:
        """Several conversion slots, one after the other, with their columns to convert."""
        return columns.size * self.drive_ns + int((-(-columns // self.converters)).sum()) * self.conversion_ns
