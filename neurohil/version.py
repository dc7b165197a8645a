"""The version of this package, and of what it stands on."""

from __future__ import annotations

__version__ = "0.1.0"


def software_versions() -> dict[str, str]:
    """Versions of what decides on the bits of a trace, by name."""
    import importlib.metadata
    import platform

    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba", "h5py")}
    return {"python": platform.python_version(), **packages, "neurohil": __version__}
