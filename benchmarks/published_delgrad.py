"""Networks that the DelGrad authors trained in the loop on chip W66F3, and what the chip did with them.

Their repository (github.com/JulianGoeltz/fastAndDeep, GPL-3) is no part of this project: give the folder of a checkout.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainscales_emu.constants import DELAY_BASE_US, DELAY_STEP_US, MAX_DELAY_REGISTER, MIN_DELAY_REGISTER
from neurohil.errors import UserError
from neurohil.protocols import Floats

Integers = NDArray[np.int64]


class PublishedNetwork(NamedTuple):
    """One network as it was written to the chip, and the chip's answers to its training samples.

    weights: per layer (n_pre, n_post), LSB; registers: per layer those of the delay elements (n_pre,), None without
    delays; inputs (n, n_in) and spikes (n, n_out): tau_s since the start of the sample, inf for no spike; labels (n,).
    """

    weights: list[Integers]
    registers: list[Integers | None]
    inputs: Floats
    labels: Integers
    spikes: Floats


def read_published(folder: Path, name: str) -> PublishedNetwork:
    """The network in ``experiment_pretrained/NAME`` of a checkout.

    The weights are those last written, which the file keeps: their software rounds to a whole number and then cuts off
    what floating point makes of it, so that some are 1 LSB smaller than the rounded ones. Registers are cut off, too:
    by PyNN for BrainScaleS-2, which turns every number of a neuron into an integer.

    Raises
    ------
    UserError
        A file is missing, or is not what it should be.
    """
    stem = folder / "experiment_pretrained" / name / "epoch_300" / "yin_yang_"
    try:
        network = _read_network(Path(f"{stem}network.pt"))
        weights = [np.array(layer, dtype=np.int64) for layer in network.hx_lastsetweights]
        modules = network.modules["layers"].modules.values()
        registers = [_registers(m, network.hx_settings["taum"]) for m in modules if hasattr(m, "sigmoid_shift")]
        inputs, labels, spikes = (np.load(f"{stem}train_{what}.npy") for what in ("inputs", "labels", "spiketimes"))
    except (OSError, ValueError, LookupError, AttributeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise UserError(
            f"--published: {stem}* can't be read ({type(error).__name__}: {error}); give the folder of a checkout of "
            "github.com/JulianGoeltz/fastAndDeep"
        ) from error
    return PublishedNetwork(weights, [*registers] or [None] * len(weights), inputs, labels, spikes)


def _registers(layer: Any, tau_us: float) -> Integers:
    """What was written to the delay elements of a layer with axonal delays."""
    (delay_parameters,) = layer.parameters.values()
    parameters = np.tile(delay_parameters.ravel(), layer.presyn_sharing_factor)
    delays_us = tau_us * (layer.sigmoid_shift + layer.sigmoid_scale / (1.0 + np.exp(-parameters)))
    registers = (delays_us - DELAY_BASE_US) / DELAY_STEP_US
    return np.clip(registers, MIN_DELAY_REGISTER, MAX_DELAY_REGISTER).astype(np.int64)


class _Unknown:
    """Stands for every class that isn't needed: takes all arguments, does nothing, keeps its attributes without their
    leading underscores."""

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update((name.lstrip("_"), value) for name, value in state.items())


def _tensor(storage: NDArray[Any], offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any) -> NDArray[Any]:
    steps = [storage.itemsize * stride for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


_KNOWN = {
    "collections.OrderedDict": OrderedDict,
    "__builtin__.set": set,
    "_codecs.encode": lambda text, encoding: text.encode(encoding),
    **dict.fromkeys(
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"), np.zeros(0).__reduce__()[0]
    ),
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.DoubleStorage": np.float64,
    "torch.LongStorage": np.int64,
}


class _Unpickler(pickle.Unpickler):
    """Reads a file of torch without torch: arrays, containers, and `_Unknown` for all else, so that no code runs."""

    def __init__(self, pickled: IO[bytes], storages: Path | zipfile.Path) -> None:
        super().__init__(pickled)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get(f"{module}.{name}") or type(name, (_Unknown,), {})

    def persistent_load(self, reference: Sequence[Any]) -> Any:
        _, kind, key, *_ = reference
        return np.frombuffer((self._storages / key).read_bytes(), kind)


def _read_network(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (folder,) = zipfile.Path(archive).iterdir()
        with (folder / "data.pkl").open("rb") as pickled:
            return _Unpickler(pickled, folder / "data").load()
