"""What training code and targets say to each other. Types only: no physics, no files.

Spiking targets: times are in units of the synaptic time constant tau_s, relative to the start of the sample; `inf`
means "no spike". Weights and thresholds are in DelGrad's model units (tau_s = 1, C = 1).

Matrix targets: weights are sent as signed levels, level k stands for weight_range * k / max_level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]


class Provenance(NamedTuple):
    """Where results come from.

    kind: "emulated" by an emulated device, "computed" by formulas with no device, or "modelled": a sum of assumed
    costs, or what a law says of a device; source: of what, in a sentence for people.
    """

    kind: str
    source: str


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
    """A quantity of a target, such as the thresholds of all circuits of one chip, or how often it ran.

    values: numbers, 1-D or 2-D, or a single one; dims: what each dimension counts, e.g. ("row", "column"); units: plain
    ASCII, "1" for none; long_name: label for people, with the unit where there is one; kind: as of `Provenance`, or
    "measured" on real devices, empty where it is that of the target; names: of the entries of the last dimension, if
    they have any.
    """

    name: str
    values: NDArray
    dims: tuple[str, ...]
    units: str
    long_name: str
    kind: str = ""
    names: tuple[str, ...] = ()


class SpikingTarget(Protocol):
    """Anything that turns input spike times into spike times: spikes in, spikes out.

    `trial` names the trial-to-trial noise: the same trial gives the same bits (a real chip would ignore it).
    """

    capabilities: Capabilities

    @property
    def label(self) -> str:
        """What it is, in a few words for people."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Where its spikes come from."""
        ...

    @property
    def beyond(self) -> str | None:
        """What it does with the parameters last written that no real device can, in ASCII; None if nothing."""
        ...

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


class SpikingNetwork(Protocol):
    """What a spiking target must know of a network to be built for it."""

    @property
    def threshold(self) -> float:
        """Distance of the threshold from the leak potential, model units."""
        ...

    @property
    def tau_ratio(self) -> int:
        """tau_m / tau_s, 1 or 2."""
        ...


@runtime_checkable
class SpikingTargetConfig(Protocol):
    """A config that builds its target."""

    def build(self, network: SpikingNetwork, seed: int) -> SpikingTarget:
        """The target for such a network; seed: of the trial-to-trial noise."""
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


class WeightStorage(NamedTuple):
    """What holds a weight: so many cells, each of so many levels."""

    levels: int
    cells: int


class MatrixTarget(Protocol):
    """Anything that multiplies inputs by layers of quantised weights: activations in, accumulated codes out.

    `trial` names the trial-to-trial noise: the same trial gives the same bits (a real crossbar would ignore it).
    """

    capabilities: MatrixCapabilities

    @property
    def label(self) -> str:
        """What it is, in a few words for people."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Where its products come from."""
        ...

    @property
    def storage(self) -> WeightStorage:
        """How it holds a weight."""
        ...

    @property
    def programmed_by_pulses(self) -> bool:
        """Whether its weights are devices that pulses program.

        Writes then report pulses and failures, and `maps` has conductance, target and cycles of each layer.
        """
        ...

    def write(self, layers: Sequence[Levels]) -> WriteReport:
        """Program the levels (n_in, n_out) of all layers where they have changed; the arrays are the caller's, and stay
        as they are."""
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

    def results(self) -> list[Quantity]:
        """Numbers that it has counted or modelled so far: what the results of a run tell of it."""
        ...

    def told(self, results: Mapping[str, float]) -> list[tuple[str, str]]:
        """What `results` returned, by name, as lines for people: a few words, and their text."""
        ...

    def wear(self) -> float | None:
        """Largest share of its lifetime that a device has used; None without devices whose lifetime is known."""
        ...

    def maps(self) -> list[Quantity]:
        """What the trace keeps of the devices, [row, column]. Training code must not look at it.

        What belongs to the devices of one layer is called ``layer<k>_<name>``.
        """
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """What the target has become: arrays of fixed names, shapes and dtypes, once it has been written to."""
        ...

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` of a target like this one returned, to the same bits."""
        ...


class WeightLevels(Protocol):
    """The levels that a network's weights take."""

    @property
    def levels(self) -> int:
        """How many; if odd, one of them is zero."""
        ...

    @property
    def max_level(self) -> int:
        """Largest signed level."""
        ...

    @property
    def weight_range(self) -> float:
        """Weight of that level."""
        ...


@runtime_checkable
class MatrixTargetConfig(Protocol):
    """A config that builds its target."""

    def build(self, shapes: Sequence[tuple[int, int]], levels: WeightLevels, seed: int) -> MatrixTarget:
        """The target for layers of so many inputs and outputs; seed: of the trial-to-trial noise."""
        ...
