"""Networks of PyTorch in our harness: every layer of torch.nn is counted rightly, or refused by name.

Runs where PyTorch is installed. What becomes of single operations: test_torch_operations.py, which needs none.
"""

import math

import numpy as np
import pytest
from neurobench_networks import run

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from neurohil.errors import UserError
from neurohil.neurobench import metrics as m
from neurohil.neurobench.pytorch import TorchModel

HIDDEN, STEPS, BATCH = 4, 5, 2


def inputs(*shape, seed=0):
    """Multiples of 1/8, zeros among them, so that sums in float32 are exact."""
    return (np.random.default_rng(seed).integers(-4, 5, shape) / 8).astype(np.float32)


def some_weights(net, seed=1):
    """A quarter of all weights zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if not nn.parameter.is_lazy(p) and p.dim() > 1:
                p.mul_(torch.rand(p.shape, generator=generator) > 0.25)
    return net


def measured(model, x, metrics=(m.SynapticOperations,)):
    return run(model, x, np.zeros(len(x)), len(x), [], list(metrics), [m.ParameterCount, m.Footprint])


# ------------------------------------------------------------------------- every class of torch.nn, in one of these

# Module, input, and its dense products per sample by hand.
COUNTED = {
    "Linear": (lambda: nn.Linear(3, 4), (BATCH, 3), 3 * 4),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2), (BATCH, 2, 9), 3 * 2 * 3 * 4),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1, groups=2), (BATCH, 2, 3, 3), 4 * 7 * 7),
    "Conv3d": (lambda: nn.Conv3d(1, 2, 2, dilation=2), (BATCH, 1, 3, 4, 3), 2 * 8 * 1 * 2 * 1),
    "RNNCell": (lambda: nn.RNNCell(3, HIDDEN), (BATCH, 3), HIDDEN * (3 + HIDDEN)),
    "LSTMCell": (lambda: nn.LSTMCell(3, HIDDEN), (BATCH, 3), 4 * HIDDEN * (3 + HIDDEN) + 3 * HIDDEN),
    "GRUCell": (lambda: nn.GRUCell(3, HIDDEN), (BATCH, 3), 3 * HIDDEN * (3 + HIDDEN) + 3 * HIDDEN),
    "RNN": (
        lambda: nn.RNN(3, HIDDEN, 2, batch_first=True, nonlinearity="relu"),
        (BATCH, STEPS, 3),
        STEPS * (HIDDEN * (3 + HIDDEN) + HIDDEN * 2 * HIDDEN),
    ),
    "LSTM": (
        lambda: nn.LSTM(3, HIDDEN, bidirectional=True, batch_first=True),
        (BATCH, STEPS, 3),
        STEPS * 2 * (4 * HIDDEN * (3 + HIDDEN) + 3 * HIDDEN),
    ),
    "GRU": (lambda: nn.GRU(3, HIDDEN, batch_first=True), (BATCH, STEPS, 3), STEPS * (3 * HIDDEN * 7 + 3 * HIDDEN)),
}
ACTIVATIONS = {
    **{name: {} for name in (
        "ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish ELU CELU SELU GLU GELU Hardshrink "
        "LeakyReLU LogSigmoid Softplus Softshrink PReLU Softsign Tanhshrink"
    ).split()},
    "Threshold": {"threshold": 0.1, "value": 0.0},
}  # fmt: skip
IMAGE, VOLUME = (BATCH, 4, 6, 6), (BATCH, 4, 6, 6, 6)
# Neither connections nor activations: module and input.
FREE = {
    "Identity": (nn.Identity, (BATCH, 3)),
    "Flatten": (nn.Flatten, IMAGE),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), (BATCH, 6)),
    "Fold": (lambda: nn.Fold((4, 5), 2), (BATCH, 8, 12)),
    "Unfold": (lambda: nn.Unfold(2), IMAGE),
    "Embedding": (lambda: nn.Embedding(9, 3), None),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), IMAGE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE),
    "Sequential": (lambda: nn.Sequential(nn.Identity()), (BATCH, 3)),
    "DataParallel": (lambda: nn.DataParallel(nn.Identity()), (BATCH, 3)),
    **{f"{kind}Dropout": (getattr(nn, f"{kind}Dropout"), (BATCH, 3)) for kind in ("", "Alpha", "FeatureAlpha")},
    **{f"Dropout{d}d": (getattr(nn, f"Dropout{d}d"), (BATCH, 4, *[6] * d)) for d in (1, 2, 3)},
    **{
        f"{kind}{d}d": (lambda kind=kind, d=d: getattr(nn, f"{kind}{d}d")(2), (BATCH, 4, *[6] * d))
        for kind in ("AvgPool", "MaxPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
        for d in (1, 2, 3)
    },
    **{f"LPPool{d}d": (lambda d=d: getattr(nn, f"LPPool{d}d")(2, 2), (BATCH, 4, *[6] * d)) for d in (1, 2, 3)},
    **{
        f"FractionalMaxPool{d}d": (
            lambda d=d: getattr(nn, f"FractionalMaxPool{d}d")(2, 3),
            (BATCH, 4, *[6] * d),
        )
        for d in (2, 3)
    },
    **{
        f"{kind}Pad{d}d": (lambda kind=kind, d=d: getattr(nn, f"{kind}Pad{d}d")(1), (BATCH, 4, *[6] * d))
        for kind in ("Circular", "Reflection", "Replication", "Zero")
        for d in (1, 2, 3)
    },
    **{
        f"ConstantPad{d}d": (lambda d=d: getattr(nn, f"ConstantPad{d}d")(1, 2.0), (BATCH, 4, *[6] * d))
        for d in (1, 2, 3)
    },
    **{
        f"{kind}{d}d": (
            lambda kind=kind, d=d: getattr(nn, f"{kind}{d}d")(4, affine=True, track_running_stats=True),
            (BATCH, 4, *[6] * d),
        )
        for kind in ("BatchNorm", "InstanceNorm")
        for d in (1, 2, 3)
    },
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), IMAGE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(6), IMAGE),
    "RMSNorm": (lambda: nn.RMSNorm(6), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), IMAGE),
    "CrossMapLRN2d": (lambda: nn.CrossMapLRN2d(2), IMAGE),
    "Softmax": (lambda: nn.Softmax(1), IMAGE),
    "Softmin": (lambda: nn.Softmin(1), IMAGE),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), IMAGE),
    "Softmax2d": (nn.Softmax2d, IMAGE),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), IMAGE),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), IMAGE),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), IMAGE),
}
# Of two inputs, which are both made of the one that a model is given.
PAIRED = {
    "CosineSimilarity": (BATCH, 3),
    "PairwiseDistance": (BATCH, 3),
    **{name: (BATCH, 3) for name in "MSELoss L1Loss SmoothL1Loss HuberLoss KLDivLoss PoissonNLLLoss".split()},
    **{
        name: (BATCH, 3)
        for name in "HingeEmbeddingLoss SoftMarginLoss BCEWithLogitsLoss MultiLabelSoftMarginLoss".split()
    },
}
# Module, input, and what the message says of it.
REFUSED = {
    **{
        f"ConvTranspose{d}d": (
            lambda d=d: getattr(nn, f"ConvTranspose{d}d")(4, 2, 3), (BATCH, 4, *[6] * d), "transposed convolutions"
        )
        for d in (1, 2, 3)
    },
    "EmbeddingBag": (lambda: nn.EmbeddingBag(9, 3), None, "_embedding_bag aren't defined"),
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (BATCH, STEPS, 4), "multiplies two activations"
    ),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
        (BATCH, STEPS, 4),
        "multiplies two activations",
    ),
}  # fmt: skip
REFUSED_PAIRED = {
    "Bilinear": (lambda: nn.Bilinear(3, 3, 2), (BATCH, 3), "_trilinear aren't defined"),
    "MultiheadAttention": (
        lambda: Called(nn.MultiheadAttention(4, 2), 3), (BATCH, STEPS, 4), "multiplies two activations"
    ),
    "Transformer": (
        lambda: nn.Transformer(4, 2, 1, 1, 8, batch_first=True), (BATCH, STEPS, 4), "multiplies two activations"
    ),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), (BATCH, STEPS, 4), "multiplies two activations"
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), 1),
        (BATCH, STEPS, 4),
        "multiplies two activations",
    ),
}  # fmt: skip
LAZY = [name for name in dir(nn) if name.startswith("Lazy")]
# No layer of a network: containers without a forward, bases, and losses whose second argument is a class or a mask.
NO_LAYER = (
    "Module ModuleList ModuleDict ParameterList ParameterDict Container RNNBase RNNCellBase "
    "MaxUnpool1d MaxUnpool2d MaxUnpool3d "  # of indices, see below
    "AdaptiveLogSoftmaxWithLoss BCELoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss "
    "LinearCrossEntropyLoss MarginRankingLoss MultiLabelMarginLoss MultiMarginLoss NLLLoss NLLLoss2d "
    "TripletMarginLoss TripletMarginWithDistanceLoss"
).split()


class Called(nn.Module):
    """A module called with its input several times, for the first of its outputs."""

    def __init__(self, module, times):
        super().__init__()
        self.module, self.times = module, times

    def forward(self, x, *_):
        out = self.module(*[x] * self.times)
        return out[0] if isinstance(out, tuple) else out


def test_every_class_of_torch_nn_has_its_place():
    """A class that a later PyTorch adds belongs into one of the tables above."""
    classes = [name for name in dir(nn) if isinstance(getattr(nn, name), type)]
    modules = {name for name in classes if issubclass(getattr(nn, name), nn.Module)}
    tables = (COUNTED, ACTIVATIONS, FREE, PAIRED, REFUSED, REFUSED_PAIRED, LAZY, NO_LAYER)
    placed = [name for table in tables for name in table]
    assert len(placed) == len(set(placed))
    assert modules - set(placed) == set()


def torch_effective(module, x):
    """Effective products of a layer without states by the harness's rule: ones for all that is not zero, and run it."""
    ones = {name: (p != 0).float() * ("weight" in name) for name, p in module.named_parameters()}
    return float(torch.func.functional_call(module, ones, (x != 0).float()).detach().sum()) / len(x)


def states_effective(name, module, x):
    """Effective matrix products of recurrent layers by running their steps apart, and their element-wise ones."""
    mode = {"RNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}[name.removesuffix("Cell")]
    if name.endswith("Cell"):
        weights, x = [(module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)], x.unsqueeze(1)
        directions = layers = 1
    else:
        weights, directions, layers = module.all_weights, 1 + module.bidirectional, module.num_layers
    total = 0
    for layer in range(layers):
        out = []
        for d in range(directions):
            w_ih, w_hh, b_ih, b_hh = weights[layer * directions + d]
            h = c = torch.zeros(len(x), HIDDEN)
            outs = []
            for t in range(x.shape[1])[:: -1 if d else 1]:
                step = x[:, t]
                total += int(((step != 0).float() @ (w_ih != 0).float().T).sum())
                total += int(((h != 0).float() @ (w_hh != 0).float().T).sum())
                a, b = step @ w_ih.T + b_ih, h @ w_hh.T + b_hh
                if mode == "RNN":
                    h = torch.relu(a + b) if getattr(module, "nonlinearity", "tanh") == "relu" else torch.tanh(a + b)
                elif mode == "LSTM":
                    i, f, g, o = (a + b).chunk(4, 1)
                    new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                    total += sum(int((v != 0).sum()) for v in (c, torch.tanh(g), torch.tanh(new)))
                    c, h = new, torch.sigmoid(o) * torch.tanh(new)
                else:
                    (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
                    z, n = torch.sigmoid(az + bz), torch.tanh(an + torch.sigmoid(ar + br) * bn)
                    total += sum(int((v != 0).sum()) for v in (bn, n, h))
                    h = (1 - z) * n + z * h
                outs.append(h)
            out.append(torch.stack(outs[:: -1 if d else 1], 1))
        x = torch.cat(out, 2)
    return total / len(x), x


@pytest.mark.parametrize("name", COUNTED)
def test_counted_layers(name):
    make, shape, dense = COUNTED[name]
    net, x = some_weights(make()), inputs(*shape)
    wrapped = Called(net, 1)
    model = TorchModel(wrapped)
    got = measured(model, x)
    operations = got["SynapticOperations"]
    with torch.no_grad():
        if isinstance(net, (nn.RNNBase, nn.RNNCellBase)):
            effective, states = states_effective(name, net, torch.from_numpy(x))
            # The twin above runs the layer itself, or it would prove nothing.
            own = Called(net, 1)(torch.from_numpy(x)).reshape(states.shape)
            np.testing.assert_allclose(own, states, atol=1e-6)
        else:
            effective = torch_effective(net, torch.from_numpy(x))
        np.testing.assert_allclose(model(x), wrapped(torch.from_numpy(x)), atol=1e-6)
    assert operations["Dense"] == dense
    assert operations["Effective_MACs"] + operations["Effective_ACs"] == effective
    size = sum(math.prod(p.shape) for p in net.parameters())
    assert (got["ParameterCount"], got["Footprint"]) == (size, 4 * size)
    # Biases of recurrent layers alone count as connections.
    recurrent = isinstance(net, (nn.RNNBase, nn.RNNCellBase))
    weights = [p for key, p in net.named_parameters() if recurrent or "weight" in key]
    assert sum(w.size for layer in model.layers for w in layer.connections()) == sum(w.numel() for w in weights)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    net, x = nn.Sequential(getattr(nn, name)(**ACTIVATIONS[name])).eval(), inputs(BATCH, 6)
    model = TorchModel(net)
    predictions = model(x)
    (record,) = model.records
    np.testing.assert_array_equal(record.outputs, net(torch.from_numpy(x)).detach())
    np.testing.assert_array_equal(predictions, record.outputs)
    assert record.name == "0" and model.layers == []
    got = measured(model, x, [m.ActivationSparsity])
    assert got["ActivationSparsity"] == np.mean(record.outputs == 0)


FUNCTIONS = {
    "relu": F.relu, "relu in place": lambda x: torch.relu_(x.clone()), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "relu6": F.relu6, "selu": F.selu, "celu": F.celu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "elu": F.elu,
    "leaky_relu": F.leaky_relu, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "softplus": F.softplus,
    "logsigmoid": F.logsigmoid, "glu": F.glu, "hardshrink": F.hardshrink, "softshrink": F.softshrink, "rrelu": F.rrelu,
    "threshold": lambda x: F.threshold(x, 0.1, 0.0), "method": lambda x: x.relu(),
}  # fmt: skip


class Function(nn.Module):
    def __init__(self, function, **stored):
        super().__init__()
        self.function = function
        for name, value in stored.items():
            setattr(self, name, nn.Parameter(value) if isinstance(value, torch.Tensor) else value)

    def forward(self, x):
        return self.function(x) if not dict(self.named_parameters()) else self.function(self, x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_seen_as_modules_are(name):
    x = inputs(BATCH, 6)
    model = TorchModel(nn.Sequential(Function(FUNCTIONS[name])))
    model(x)
    (record,) = model.records
    np.testing.assert_array_equal(record.outputs, FUNCTIONS[name](torch.from_numpy(x)))
    assert record.name.startswith("0.")


@pytest.mark.parametrize(
    ("function", "name"),
    [(lambda x: (x > 0).float(), "gt"), (lambda x: x.clamp(min=0), "clamp"), (lambda x: x / (1 + x.abs()), "abs"),
     (lambda x: torch.maximum(x, x * 0.1), "maximum"), (lambda x: torch.where(x > 0, x, x), "gt"),
     (lambda x: torch.sin(x), "sin"), (lambda x: torch.exp(-x * x), "exp")],
)  # fmt: skip
def test_what_may_be_an_activation_is_refused_until_it_is_named(function, name):
    net = nn.Sequential(Function(function))
    with pytest.raises(
        UserError, match=rf"0 \(Function\): {name}\w* may be an activation; put it into a module of its own"
    ):
        TorchModel(net)(inputs(BATCH, 6))
    model = TorchModel(nn.Sequential(Function(function)), activations=[Function])
    predictions = model(inputs(BATCH, 6))
    np.testing.assert_array_equal(model.records[0].outputs, predictions)
    model = TorchModel(nn.Sequential(Function(function)), uncounted=[Function])
    model(inputs(BATCH, 6))
    assert model.records == []


@pytest.mark.parametrize("name", FREE)
def test_free_layers(name):
    make, shape = FREE[name]
    net = make()
    x = np.array([[1, 2], [0, 8]]) if shape is None else np.abs(inputs(*shape)) + 0.125
    model = TorchModel(net)
    torch.manual_seed(0)  # of fractional pooling
    predictions = model(x)
    assert model.records == [] and model.layers == []
    torch.manual_seed(0)
    np.testing.assert_allclose(predictions, net(torch.from_numpy(x)).detach(), rtol=1e-6)
    arrays = [*net.parameters(), *net.buffers()]
    assert m.Footprint()(model) == sum(math.prod(a.shape) * a.element_size() for a in arrays)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # KLDivLoss
@pytest.mark.parametrize("name", PAIRED)
def test_distances_and_losses_are_free(name):
    net = getattr(nn, name)()
    model = TorchModel(net, forward=lambda x: net(x, x.roll(1, 0)).reshape(-1))
    model(np.abs(inputs(*PAIRED[name])) + 0.125)
    assert model.records == [] and model.layers == []


@pytest.mark.parametrize("d", [1, 2, 3])
def test_unpooling_is_free(d):
    pool, unpool = getattr(nn, f"MaxPool{d}d")(2, return_indices=True), getattr(nn, f"MaxUnpool{d}d")(2)
    model = TorchModel(nn.ModuleList([pool, unpool]), forward=lambda x: unpool(*pool(x)))
    model(inputs(BATCH, 4, *[6] * d))
    assert model.records == [] and model.layers == []


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_PAIRED])
def test_refused_layers_are_named_with_their_type(name):
    make, shape, text = (REFUSED | REFUSED_PAIRED)[name]
    net = make()
    x = np.array([[1, 2], [0, 8]]) if shape is None else inputs(*shape)
    model = TorchModel(net, forward=(lambda x: net(x, x)) if name in REFUSED_PAIRED else None)
    # An attention inside is what can't be counted of the layers around it.
    kind = name if "Transformer" not in name else "MultiheadAttention"
    with pytest.raises(UserError, match=rf"\({kind}\): .*{text}"):
        model(x)


@pytest.mark.parametrize("name", LAZY)
def test_lazy_layers_are_refused_until_they_have_a_shape(name):
    kind = getattr(nn, name)
    net = kind(4) if name == "LazyLinear" else kind(4, 2) if "Conv" in name else kind()
    with pytest.raises(UserError, match=rf"the network \({name}\): \w+ has no shape yet; run the network once"):
        TorchModel(net)
    d = name[-2] if name.endswith("d") else "0"
    net(torch.from_numpy(inputs(BATCH, 4, *[6] * int(d))))
    TorchModel(net)


# ------------------------------------------------------------------------------------------------- ways to hide one


W, V = torch.from_numpy(inputs(3, 4, seed=5)), torch.from_numpy(inputs(3, seed=6))
E = torch.from_numpy(inputs(2, 3, 4, seed=7))


@pytest.mark.parametrize(
    ("function", "stored", "shape", "dense"),
    [
        (lambda s, x: x @ s.w, {"w": W}, (BATCH, 3), 12),
        (lambda s, x: F.linear(x, s.w.T), {"w": W}, (BATCH, 3), 12),
        (lambda s, x: (s.w.T @ x.T).T, {"w": W}, (BATCH, 3), 12),
        (lambda s, x: x @ s.v, {"v": V}, (BATCH, 3), 3),
        (lambda s, x: torch.einsum("bi,eio->beo", x, s.e), {"e": E}, (BATCH, 3), 24),
        (lambda s, x: torch.bmm(x.transpose(0, 1), s.e), {"e": E}, (BATCH, 2, 3), 24),
        (lambda s, x: torch.tensordot(x, s.w, 1), {"w": W}, (BATCH, 5, 3), 60),
        (lambda s, x: x @ s.w[:, :2], {"w": W}, (BATCH, 3), 6),
        (lambda s, x: F.conv1d(x, s.e), {"e": E}, (BATCH, 3, 6), 72),
        (lambda s, x: x @ torch.relu(s.w), {"w": W}, (BATCH, 3), 12),
        (lambda s, x: x @ (s.v[:, None] * s.w), {"v": V, "w": W}, (BATCH, 3), 12),
    ],
)  # fmt: skip
def test_parameters_in_functions_are_connections(function, stored, shape, dense):
    """Effective: by the same function with ones for all that is not zero."""
    net, x = Function(function, **stored), inputs(*shape)
    model = TorchModel(net)
    with pytest.raises(UserError, match=r"whether \w+(, \w+)? of Function are connections shows when the network runs"):
        m.ConnectionSparsity()(model)
    model(x)
    got = measured(model, x)["SynapticOperations"]
    assert got["Dense"] == dense
    relu = "relu" in function.__code__.co_names
    ones = Function(function, **{k: ((v > 0) if relu else (v != 0)).float() for k, v in stored.items()})
    expected = float(ones(torch.from_numpy((x != 0).astype(np.float32))).detach().sum()) / BATCH
    assert got["Effective_MACs"] + got["Effective_ACs"] == expected
    assert m.ConnectionSparsity()(model) == pytest.approx(
        np.mean([a == 0 for layer in model.layers for w in layer.connections() for a in w.ravel()]), abs=5e-5
    )


class LowRank(nn.Linear):
    """More weights than the layer of torch.nn that it is derived from."""

    def __init__(self):
        super().__init__(4, 4)
        self.down, self.up = nn.Parameter(torch.ones(4, 1)), nn.Parameter(torch.zeros(1, 4))

    def forward(self, x):
        return super().forward(x) + x @ self.down @ self.up


def test_weights_that_a_derived_layer_adds_count():
    model = TorchModel(nn.Sequential(LowRank()))
    with pytest.raises(UserError, match=r"whether 0\.down, 0\.up of Sequential are connections shows when the network"):
        m.ConnectionSparsity()(model)
    x = inputs(BATCH, 4)
    model(x)
    assert measured(model, x)["SynapticOperations"]["Dense"] == 16 + 4 + 4
    assert [layer.name for layer in model.layers] == ["0", "0.down", "0.up"]
    assert m.ConnectionSparsity()(model) == pytest.approx(4 / 24, abs=5e-5)


def test_a_bias_gives_no_name_and_an_output_argument_is_no_factor():
    net = Function(lambda s, x: torch.mm(F.linear(x, s.w.T, s.b), s.e[0].T, out=x.new_empty(len(x), 3)), w=W,
                   b=torch.ones(4), e=E)  # fmt: skip
    model = TorchModel(net)
    x = inputs(BATCH, 3)
    model(x)
    assert [(record.layer.name, record.layer.weight.shape) for record in model.records] == [
        ("w", (4, 3)),
        ("e", (3, 4)),
    ]


def test_learnt_inputs_of_a_layer_count():
    """A query that is a parameter goes through a layer like any input, as the harness has it."""
    layer = nn.Linear(3, 4)
    net = Function(lambda s, x: x @ s.w + layer(s.v), w=W, v=V)
    net.layer = layer
    assert measured(TorchModel(net), inputs(BATCH, 3))["SynapticOperations"]["Dense"] == 12 + 12 / BATCH


def test_inputs_are_not_changed_and_the_network_is_free_afterwards():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3))
    x = inputs(BATCH, 3)
    kept, model, other = x.copy(), TorchModel(net), TorchModel(net)
    model(x)
    np.testing.assert_array_equal(x, kept)
    before = len(model.records)
    other(x)
    net(torch.from_numpy(x.copy()))
    assert len(model.records) == len(other.records) == before == 2


def test_recurrent_layers_with_a_forward_of_their_own_are_refused():
    class Own(nn.LSTM):
        def forward(self, x):
            return x

    with pytest.raises(UserError, match=r"0 \(Own\) has a forward of its own, which can't be counted; use LSTM"):
        TorchModel(nn.Sequential(Own(3, 3)))


def test_tied_and_reused_layers_count_each_time_and_are_stored_once():
    net = nn.Sequential(layer := nn.Linear(4, 4, bias=False), nn.ReLU(), layer, nn.Sequential(nn.Sequential(layer)))
    net.append(tied := nn.Linear(4, 4, bias=False))
    tied.weight = layer.weight
    got = measured(TorchModel(net), inputs(BATCH, 4))
    assert (got["ParameterCount"], got["Footprint"]) == (16, 64)
    assert got["SynapticOperations"]["Dense"] == 4 * 16


def test_derived_weights_count_as_they_are():
    """Weight normalisation makes them anew in each run; pruning sets some to zero."""
    x = inputs(BATCH, 3)
    normed = nn.utils.parametrizations.weight_norm(some_weights(nn.Linear(3, 4)))
    pruned = nn.Linear(3, 4)
    prune.custom_from_mask(pruned, "weight", torch.eye(4, 3))
    for net in (normed, pruned):
        weight = net.weight.detach().numpy()
        model = TorchModel(nn.Sequential(net))
        got = measured(model, x)["SynapticOperations"]
        effective = ((x != 0).astype(float) @ (weight != 0).T).sum() / len(x)
        assert got == {"Effective_MACs": effective, "Effective_ACs": 0.0, "Dense": 12.0}
        assert m.ConnectionSparsity()(model) == pytest.approx(np.mean(weight == 0), abs=5e-5)
    assert np.count_nonzero(pruned.weight.detach()) == 3


@pytest.mark.parametrize(
    ("mode", "dense"), [("zeros", 2 * (3 * 8 - 2)), ("circular", 48), ("reflect", 48), ("replicate", 48)]
)
def test_padding_of_convolutions(mode, dense):
    """Zeros in the border are no inputs; copies of inputs are."""
    net, x = some_weights(nn.Conv1d(1, 2, 3, padding="same", padding_mode=mode)), inputs(BATCH, 1, 8)
    got = measured(TorchModel(net), x)["SynapticOperations"]
    assert got["Dense"] == dense
    assert got["Effective_MACs"] == torch_effective(net, torch.from_numpy(x))


def test_cells_with_states_count_their_hidden_products():
    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(3, HIDDEN)

        def forward(self, x):
            h = torch.zeros(len(x), HIDDEN)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], hx=h)
            return h

    net, x = some_weights(Unrolled()), inputs(BATCH, STEPS, 3)
    layer = nn.RNN(3, HIDDEN, batch_first=True)
    for own, other in zip(layer.parameters(), net.cell.parameters(), strict=True):
        own.data = other.data
    got = measured(TorchModel(net), x)["SynapticOperations"]
    assert got == measured(TorchModel(Called(layer, 1)), x)["SynapticOperations"]
    assert got["Dense"] == STEPS * HIDDEN * (3 + HIDDEN)


class Hidden(nn.Module):
    """Layers and tensors that the network doesn't register."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.layers = [nn.Linear(3, 3)]
        self.matrix = torch.eye(3)

    def forward(self, x):
        if self.kind == "numpy":
            return torch.from_numpy(np.maximum(x.numpy(), 0)) + 1
        if self.kind == "number":
            return x * x.sum().item()
        return self.layers[0](x) if self.kind == "layer" else x @ self.matrix


@pytest.mark.parametrize(
    ("kind", "text"),
    [("layer", "neither input, parameter nor buffer of the network"), ("matrix", "neither input, parameter nor buffer"),
     ("numpy", "takes a tensor that is neither input"), ("number", "a number leaves the network")],
)  # fmt: skip
def test_what_the_network_does_not_register_is_refused(kind, text):
    with pytest.raises(UserError, match=rf"the network \(Hidden\): .*{text}"):
        TorchModel(Hidden(kind))(inputs(BATCH, 3))


def test_element_wise_weights_are_refused_until_they_are_named():
    def net():
        return nn.Sequential(nn.Linear(3, 3), Function(lambda s, x: x * s.v, v=V))

    with pytest.raises(
        UserError, match=r"1 \(Function\): mul joins inputs and parameters or buffers in a way that isn't"
    ):
        TorchModel(net())(inputs(BATCH, 3))
    assert measured(TorchModel(net(), uncounted=[Function]), inputs(BATCH, 3))["SynapticOperations"]["Dense"] == 9


def test_products_in_an_uncounted_module_count():
    net = Function(lambda s, x: torch.exp(x @ s.w), w=W)
    model = TorchModel(net, uncounted=[Function])
    assert measured(model, inputs(BATCH, 3))["SynapticOperations"]["Dense"] == 12


def test_a_hand_made_attention_is_refused():
    net = Function(lambda s, x: (x @ s.w) @ (x @ s.w).mT, w=W)
    with pytest.raises(UserError, match=r"the network \(Function\): bmm multiplies two activations"):
        TorchModel(net)(inputs(BATCH, 2, 3))


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (lambda: nn.Sequential(nn.Conv1d(1, 1, 4, padding="same")), r"0 \(Conv1d\): padding = 'same' pads one"),
        (lambda: nn.Sequential(nn.LSTM(2, 3, proj_size=1)), r"0 \(LSTM\) has proj_size = 1"),
        (lambda: nn.Linear(2, 3).bfloat16(), r"the network \(Linear\): weight is torch.strided torch.bfloat16"),
        (lambda: nn.Linear(2, 3, dtype=torch.complex64), "weight is torch.strided torch.complex64"),
        (lambda: nn.Linear(2, 3, device="meta"), "weight is on meta; give net.cpu"),
        (lambda: torch.jit.script(nn.Linear(2, 3)), "is compiled, which hides its layers; give the network itself"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_is_refused_at_once(net, text):
    with pytest.raises(UserError, match=text):
        TorchModel(net())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_layers_are_refused():
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 4)), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(UserError, match=r"0 \(Linear\) is quantised and hides its weights"):
        TorchModel(net)


def test_packed_sequences_and_several_outputs_are_refused():
    net = nn.LSTM(3, HIDDEN)
    with pytest.raises(UserError, match="LSTM gave a tuple, expected one tensor; give a `forward`"):
        TorchModel(net)(inputs(STEPS, BATCH, 3))

    def packed(x):
        return net(nn.utils.rnn.PackedSequence(x.reshape(-1, 3), torch.full((STEPS,), BATCH)))[1][0]

    with pytest.raises(UserError, match=r"the network \(LSTM\): packed sequences can't be counted"):
        TorchModel(net, forward=packed)(inputs(STEPS, BATCH, 3))


def test_a_refusal_leaves_the_network_usable():
    net = nn.Sequential(nn.Linear(3, 3), Function(torch.sin))
    model = TorchModel(net)
    for _ in range(2):
        with pytest.raises(UserError, match=r"1 \(Function\): sin may be an activation"):
            model(inputs(BATCH, 3))
    assert torch.backends.mha.get_fastpath_enabled()
    assert net(torch.zeros(2, 3)).shape == (2, 3)
