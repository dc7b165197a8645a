"""The rules about operations of PyTorch, which need no PyTorch."""

import itertools

import pytest

from neurohil.neurobench import torch_operations as ops

ORIGINS = ("data", "stored", "constant", "foreign")


@pytest.mark.parametrize(
    ("name", "origins", "expected"),
    [
        ("addmm", ("data", "stored"), "product"),  # nn.Linear
        ("mm", ("stored", "data"), "product"),  # self.w @ x
        ("mm", ("constant", "stored"), "product"),  # a state that begins with zeros
        ("mm", ("stored", "stored"), "free"),  # weights made of weights
        ("relu", ("data",), "activation"),
        ("_prelu_kernel", ("data", "stored"), "activation"),
        ("relu", ("stored",), "free"),  # weights made positive
        ("add", ("data", "stored"), "free"),  # a bias
        ("native_layer_norm", ("data", "stored", "stored"), "free"),
        ("embedding", ("stored", "data"), "free"),
        ("mul", ("data", "data"), "free"),  # a gate
        ("_softmax", ("data",), "free"),
        ("exp", ("stored",), "free"),
    ],
)
def test_what_counts_and_what_is_free(name, origins, expected):
    assert ops.rule(name, origins) == expected


@pytest.mark.parametrize(
    ("name", "origins", "text"),
    [
        ("bmm", ("data", "data"), "bmm multiplies two activations"),
        ("_scaled_dot_product_flash_attention_for_cpu", ("data", "data", "data"), "multiplies two activations"),
        ("mm", ("data", "constant"), "mm multiplies two activations"),
        ("mul", ("data", "stored"), "mul joins inputs and parameters or buffers in a way that isn't counted; use a"),
        ("_trilinear", ("data", "stored", "data"), "_trilinear aren't defined"),
        ("gt", ("data",), "gt may be an activation; put it into a module of its own and name its class in `activ"),
        ("clamp", ("data",), "clamp may be an activation"),
        ("an_operation_of_tomorrow", ("data",), "an_operation_of_tomorrow may be an activation"),
        ("quantized::linear", ("data",), "quantized::linear is none of PyTorch's plain ones"),
        ("add", ("data", "foreign"), "add takes a tensor that is neither input, parameter nor buffer"),
        ("_local_scalar_dense", ("data",), "a number leaves the network"),
    ],
)
def test_what_is_refused_and_why(name, origins, text):
    assert text in ops.rule(name, origins)


def test_in_a_module_that_is_recorded_products_count_all_the_same():
    for name, origins in (("gt", ("data",)), ("mul", ("data", "stored")), ("exp", ("data",)), ("relu", ("data",))):
        assert ops.rule(name, origins, wrapped=True) == "free"
    assert ops.rule("mm", ("data", "stored"), wrapped=True) == "product"
    for name, origins in (("mm", ("data", "foreign")), ("bmm", ("data", "data")), ("quantized::linear", ("data",))):
        assert ops.rule(name, origins, wrapped=True) not in ("product", "activation", "free")


def test_no_product_of_an_input_is_free():
    """Whatever the other operands are: counted or refused."""
    for name in ops.PRODUCTS:
        for others in itertools.product(ORIGINS, repeat=2):
            verdict = ops.rule(name, ("data", *others))
            assert verdict not in ("activation", "free")
            assert (verdict == "product") == ("stored" in others and "foreign" not in others)


def test_tables_do_not_contradict_each_other():
    assert not ops.PRODUCTS & ops.ACTIVATIONS and not ops.ACTIVATIONS & ops._FREE and not ops.PRODUCTS & ops._FREE
    assert ops.SHAPE_ALONE <= ops._FREE and not ops._UNDEFINED & (ops._FREE | ops.ACTIVATIONS)


def test_names_and_origins():
    assert [ops.base_name(n) for n in ("aten::relu_", "aten::add", "quantized::linear")] == [
        "relu", "add", "quantized::linear",
    ]  # fmt: skip
    assert ops.combined(("stored", "data", "constant")) == "data"
    assert ops.combined(("constant", "stored")) == "stored"
    assert ops.combined(()) == "constant"
