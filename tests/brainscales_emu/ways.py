"""The ways in which a chip's network can be run, all of which give the same spikes."""

from brainscales_emu import assembly, chip
from brainscales_emu.feedforward import LoopError

WAYS = ["level by level", "one by one", "lockstep"]


def _no_levels(*_):
    raise LoopError


def run_by(way, monkeypatch):
    """Run networks in this way; level by level only those without loops, the others in their usual way."""
    if way != "level by level":
        monkeypatch.setattr(chip, "FeedForward", _no_levels)
        monkeypatch.setattr(assembly, "LOCKSTEP_NEURONS", 1 if way == "lockstep" else 10**9)
        monkeypatch.setattr(assembly, "LOCKSTEP_DENSITY", (0.0, 0.0))
