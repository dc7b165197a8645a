"""neurohil: the host side of an emulated neuromorphic laboratory."""

__version__ = "0.1.0"
