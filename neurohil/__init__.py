"""neurohil: the host side of an emulated neuromorphic laboratory.

    import neurohil as nh

    run = nh.train("chip_yin_yang_axonal", serial=7, epochs=60, trace="runs/a.h5")
    run.result.test_accuracy
    run.plot()
    nh.open("runs/a.h5").plot("accuracy")

Nothing is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurohil.version import __version__

if TYPE_CHECKING:
    from neurohil.errors import Stopped, UserError
    from neurohil.results import RunTrace as open
    from neurohil.run import Run
    from neurohil.starting import Experiment, experiment, measure, train

__all__ = ["Experiment", "Run", "Stopped", "UserError", "__version__", "experiment", "measure", "open", "train"]

_PLACES = {
    "Experiment": "neurohil.starting:Experiment",
    "Run": "neurohil.run:Run",
    "Stopped": "neurohil.errors:Stopped",
    "UserError": "neurohil.errors:UserError",
    "experiment": "neurohil.starting:experiment",
    "measure": "neurohil.starting:measure",
    "open": "neurohil.results:RunTrace",
    "train": "neurohil.starting:train",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'neurohil' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
