"""What is looked at in a run of a chip, and what the run returned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .display import Shown

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """Membranes to be looked at in a run, which no real chip offers with this precision.

    Attributes
    ----------
    circuits : (n_circuits,) array_like of int
        Neurons that are switched on; of merged circuits the master.
    times_us : array_like of float, (n_times,)
        Within the run, in any order.
    """

    circuits: ArrayLike
    times_us: ArrayLike


@dataclass(frozen=True, repr=False)
class Recording(Shown):
    """What one run returned. Events are in order of tick, then of circuit.

    Attributes
    ----------
    ticks : (n,) int64
        Time of each spike in FPGA cycles of 8 ns, rounded down; where the event path has limits, when it left the chip.
    circuits : (n,) int64
        Circuit that spiked; the output of delay element k is circuit 257 + 2k. Events of background generators and
        of external lines that the crossbar sends to the host have their source number, 512 + generator and 520 + line.
    analogue_times_us : (n,) float64
        Exact time of each spike. A real chip doesn't tell; for tests and figures.
    lost_events : int
        Events that met a busy delay element.
    passed_events : (12,) int64
        Events that passed each crossbar output; 0..3 are the PADI buses of the top half, 4..7 of the bottom half, 8..11
        lead to the host.
    dropped_events : (12,) int64
        Events that met a full FIFO at each crossbar output.
    link_drops : int
        Spikes that were lost on the link to the host, behind the crossbar.
    membrane_lsb : (n_probe_circuits, n_times) float64 or None
        What the probe saw.
    """

    ticks: IntArray
    circuits: IntArray
    analogue_times_us: FloatArray
    lost_events: int
    passed_events: IntArray
    dropped_events: IntArray
    link_drops: int
    membrane_lsb: FloatArray | None

    def facts(self) -> dict[str, object]:
        """What its repr shows."""
        facts: dict[str, object] = {
            "events": self.ticks.size,
            "sources": np.unique(self.circuits).size,
            "lost at busy delays": self.lost_events,
            "dropped": int(self.dropped_events.sum()) + self.link_drops,
        }
        return facts if self.membrane_lsb is None else facts | {"membranes": len(self.membrane_lsb)}
