"""Which operations of PyTorch count, which are free, and which have no definition: rules by name, without PyTorch.

NeuroBench counts products of inputs and weights (synaptic operations) and outputs of activations. Movement of data,
sums, normalisation and pooling are free. Whatever isn't named here is refused, so that nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

# Where a tensor is from: computed from the network's input; a parameter or buffer, or computed from such alone; made
# from nothing; or from outside the network.
Origin = Literal["data", "stored", "constant", "foreign"]
Rule = Literal["product", "activation", "free"]

# Counted if one factor is an input and the other one weights.
PRODUCTS = frozenset("mm addmm bmm baddbmm addbmm mv addmv dot vdot convolution".split())

_UNDEFINED = frozenset("_trilinear _embedding_bag cdist _cdist_forward grid_sampler_2d grid_sampler_3d".split())

ACTIVATIONS = frozenset(
    "relu sigmoid tanh hardtanh hardsigmoid hardswish silu mish elu celu gelu glu leaky_relu log_sigmoid_forward "
    "softplus hardshrink softshrink threshold rrelu_with_noise _prelu_kernel".split()
)

# Of inputs with weights or constants together: movement, sums such as a bias, look-ups, normalisation.
_MIXED = frozenset(
    "add sub rsub cat stack copy _to_copy fill index index_select index_put gather embedding "
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training native_layer_norm "
    "native_group_norm _fused_rms_norm fractional_max_pool2d fractional_max_pool3d".split()
)

# Of inputs alone. Element-wise products are gates between activations, not synapses.
_FREE = _MIXED | frozenset(
    # movement
    "clone _unsafe_view _reshape_alias _reshape_copy detach lift_fresh resize resize_as repeat flip roll im2col col2im "
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle max_unpool2d max_unpool3d "
    "slice_scatter select_scatter unsafe_split unsafe_split_with_sizes zero empty_like zeros_like ones_like full_like "
    "rand_like randn_like bernoulli native_dropout new_empty new_zeros new_ones new_full tril triu "
    # sums and their like
    "neg mul div sum mean amax amin max min var std var_mean std_mean cumsum argmax argmin topk sort "
    "_softmax _log_softmax "
    # pooling and interpolation
    "avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d "
    "adaptive_max_pool3d max_pool2d_with_indices max_pool3d_with_indices "
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d".split()
)

# Only the shape of their argument matters.
SHAPE_ALONE = frozenset(
    "empty_like zeros_like ones_like full_like rand_like randn_like new_empty new_zeros new_ones new_full".split()
)

_WRAP = "put it into a module of its own and name its class in `activations`, or in `uncounted` if it is no activation"


def base_name(name: str) -> str:
    """Without the name space aten and the mark of an operation in place: "aten::relu_" -> "relu".

    Names of other name spaces stay as they are, so that they are in no table.
    """
    name = name.removeprefix("aten::")
    return name if name.startswith("_") and name.endswith("__") else name.removesuffix("_")


def combined(origins: Iterable[Origin]) -> Origin:
    """Origin of what is computed from tensors of these origins."""
    found = set(origins)
    return "data" if "data" in found else "stored" if "stored" in found else "constant"


def rule(name: str, origins: Iterable[Origin], view: bool = False, wrapped: bool = False) -> Rule | str:
    """What becomes of an operation: one of `Rule`, or why it is refused and what to do.

    Parameters
    ----------
    name : str
        `base_name` of the operation.
    origins : iterable of Origin
        Of its tensors.
    view : bool
        It only shows its argument in another shape.
    wrapped : bool
        It runs in a module whose outputs are recorded, or don't count: products in it do.
    """
    found = set(origins)
    if name.startswith("profiler::"):
        return "free"
    if "::" in name:
        return f"the operation {name} is none of PyTorch's plain ones, so what it multiplies can't be seen; {_REPLACE}"
    if "foreign" in found and not (wrapped and name not in PRODUCTS):
        return (
            f"{name} takes a tensor that is neither input, parameter nor buffer of the network, nor computed from "
            "them; register it: as a parameter, a buffer, or the layers in an nn.ModuleList"
        )
    if name == "_local_scalar_dense" and "data" in found:
        return "a number leaves the network, so what it is used for can't be seen; keep it a tensor"
    if name in PRODUCTS or name.startswith("_scaled_dot_product"):
        if "data" in found and "stored" not in found:
            return f"{name} multiplies two activations, which NeuroBench doesn't define; {_REPLACE}"
        return "product" if found & {"data", "constant"} and "stored" in found else "free"
    if name in _UNDEFINED and "data" in found:
        return f"the operations of {name} aren't defined by NeuroBench; {_REPLACE}"
    if wrapped or view or "data" not in found:
        return "free"
    if name in ACTIVATIONS:
        return "activation"
    if "stored" in found:
        if name in _MIXED:
            return "free"
        return f"{name} joins inputs and parameters or buffers in a way that isn't counted; {_REPLACE}, or {_WRAP}"
    return "free" if name in _FREE else f"{name} may be an activation; {_WRAP}"


_REPLACE = "use a layer such as nn.Linear or nn.Conv2d"
