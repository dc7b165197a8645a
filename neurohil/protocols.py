"""What training code and targets say to each other. Types only: no physics, no files.

Spiking targets: times are in units of the synaptic time constant tau_s, relative to the start of the sample; `inf`
means "no spike". Weights and thresholds are in DelGrad's model units (tau_s = 1, C = 1).

Matrix targets: weights are sent as signed levels, level k stands for weight_range * k / max_level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]


class Capabilities(NamedTuple):
    """What a target can take and tell. A step of 0 means continuous."""

    weight_max: float
    weight_step: float
    delay_kinds: frozenset[str]
    delay_min: float
    delay_max: float
    delay_step: float
    time_step: float


class Layer(NamedTuple):
    """Parameters of one layer, as the host sends them.

    weights (n_pre, n_post); delays in tau_s: axonal (n_pre,), dendritic (n_post,), synaptic (n_pre, n_post),
    or None.
    """

    weights: Floats
    axonal: Floats | None = None
    dendritic: Floats | None = None
    synaptic: Floats | None = None

    @property
    def later_delays(self) -> Floats | None:
        """Delays past the axon, (1, n_post) or (n_pre, n_post): what LayerTimes.arrivals don't hold yet."""
        return self.synaptic if self.dendritic is None else self.dendritic[np.newaxis, :]


class LayerTimes(NamedTuple):
    """First spikes that a target returns for one layer and a batch.

    arrivals (batch, n_pre): when the events reach the layer, axonal delays included, measured where the target
    measures them; spikes (batch, n_post).
    """

    arrivals: Floats
    spikes: Floats


class SampleRecord(NamedTuple):
    """One sample watched closely.

    Events: times (n,); neurons (n,) int64, numbered over all layers, input lines first; kinds (n,) int64: k for a
    spike of layer k, n_layers + k for such a spike after its axonal delay. Membranes of all neurons but the input
    lines: membrane (n_neurons, m) at membrane_times (m,), in model units or CADC LSB.
    """

    event_times: Floats
    event_neurons: NDArray[np.int64]
    event_kinds: NDArray[np.int64]
    membrane_times: Floats
    membrane: Floats


class Quantity(NamedTuple):
    """A fixed quantity of a target, such as the thresholds of all circuits of one chip.

    values: numbers, 1-D or 2-D; dims: what each dimension counts, e.g. ("row", "column"); units: plain ASCII,
    "1" for none; long_name: label for people, with the unit where there is one.
    """

    name: str
    values: NDArray
    dims: tuple[str, ...]
    units: str
    long_name: str


class SpikingTarget(Protocol):
    """Anything that turns input spike times into spike times: spikes in, spikes out.

    `trial` names the trial-to-trial noise: the same trial gives the same bits (a real chip would ignore it).
    """

    capabilities: Capabilities

    @property
    def tau_us(self) -> float | None:
        """Duration of one tau_s in microseconds, or None if the target knows no physical time."""
        ...

    def write(self, layers: Sequence[Layer]) -> None:
        """Quantise, place and program the parameters."""
        ...

    def run(self, inputs: Floats, trial: int) -> list[LayerTimes]:
        """Spike times of every layer for inputs (batch, n_in)."""
        ...

    def record(self, inputs: Floats, trial: int, duration: float) -> SampleRecord:
        """One sample, inputs (n_in,), with all events and the membranes of all neurons."""
        ...

    def account(self) -> dict[str, float]:
        """Cumulative time and event counts of the target since it was made."""
        ...

    def fixed_pattern(self) -> list[Quantity]:
        """What the trace keeps of the device's individuality. Training code must not look at it."""
        ...


class MatrixCapabilities(NamedTuple):
    """What a matrix target can take and tell.

    n_levels: signed levels of a weight, 2 max_level + 1; weight_range: weight of the highest level; input_min and
    input_max: range of an input; reads_back: `read` shows what the weights have become.
    """

    n_levels: int
    max_level: int
    weight_range: float
    input_min: float
    input_max: float
    reads_back: bool


class WriteReport(NamedTuple):
    """What a write took: weights whose level changed, programming pulses, cells that could not be brought to it."""

    changed: int
    pulses: int
    failed: int


class MatrixTarget(Protocol):
    """Anything that multiplies inputs by layers of quantised weights: activations in, accumulated codes out.

    `trial` names the trial-to-trial noise: the same trial gives the same bits (a real crossbar would ignore it).
    """

    capabilities: MatrixCapabilities

    def write(self, layers: Sequence[Levels]) -> WriteReport:
        """Program the levels (n_in, n_out) of all layers where they have changed."""
        ...

    def calibrate(self, layer: int, x: Floats) -> None:
        """Set the range of the layer's converters by typical inputs (batch, n_in)."""
        ...

    def multiply(self, layer: int, x: Floats, trial: int) -> Floats:
        """Products (batch, n_out) of inputs (batch, n_in) and the layer, in weight units: codes times their scale."""
        ...

    def read(self, layer: int, trial: int) -> Floats:
        """Weights (n_in, n_out) as read back."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def account(self) -> dict[str, Any]:
        """Cumulative counts, modelled time and modelled energy of the target since it was made."""
        ...

    def maps(self) -> list[Quantity]:
        """What the trace keeps of the devices, [row, column]. Training code must not look at it."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """What the target has become: arrays of fixed names, shapes and dtypes, once it has been written to."""
        ...

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` of a target like this one returned, to the same bits."""
        ...
