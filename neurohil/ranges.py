"""Ranges of numbers in experiments, where all that isn't a slip of the pen lies inside.

Each keeps single precision and exp() far from overflow, and whole numbers within what a trace can hold.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Positive = Annotated[float, Meta(gt=0, le=1e6)]
NotNegative = Annotated[float, Meta(ge=0, le=1e6)]
Scale = Annotated[float, Meta(ge=1e-6, le=1e6)]  # what others are divided by
Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(gt=0, le=1)]
Weight = Annotated[float, Meta(ge=-1e6, le=1e6)]
# Closed forms of spike times hold for 200 tau_s between the first and the last arrival.
Time = Annotated[float, Meta(ge=0, le=200, extra={"unit": "tau_s"})]
Duration = Annotated[float, Meta(gt=0, le=200, extra={"unit": "tau_s"})]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Size = Annotated[int, Meta(ge=1, le=65_536)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
