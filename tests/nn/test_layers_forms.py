"""All layers at once: dtypes, memory layouts, second derivatives, and representations."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.testing import gradcheck, gradgradcheck

# A layer, the shape of its input, its brief name and its repr.
LAYERS = {
    "linear": (
        lambda: nn.Linear(4, 3, bias=False, l1=0.5, rng=0),
        (5, 4),
        "Linear 4→3",
        "Linear(in=4, out=3, bias=False, l1=0.5)",
    ),
    "conv1d": (
        lambda: nn.Conv1d(2, 4, 3, 2, "valid", groups=2, rng=0),
        (2, 2, 7),
        "Conv1d 2→4, 3",
        "Conv1d(in=2, out=4, kernel_size=(3,), stride=(2,), padding='valid', groups=2)",
    ),
    "conv2d": (
        lambda: nn.Conv2d(2, 3, (3, 2), l2=0.1, rng=0),
        (2, 2, 4, 4),
        "Conv2d 2→3, 3×2",
        "Conv2d(in=2, out=3, kernel_size=(3, 2), l2=0.1)",
    ),
    "conv_transpose1d": (
        lambda: nn.ConvTranspose1d(4, 2, 3, 2, 1, 1, groups=2, dilation=2, bias=False, rng=0),
        (2, 4, 3),
        "ConvTranspose1d 4→2, 3",
        "ConvTranspose1d(in=4, out=2, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, "
        "output_padding=(1,), bias=False)",
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(2, 3, (3, 2), l2=0.1, rng=0),
        (2, 2, 2, 3),
        "ConvTranspose2d 2→3, 3×2",
        "ConvTranspose2d(in=2, out=3, kernel_size=(3, 2), l2=0.1)",
    ),
    "adaptive_avg_pool1d": (
        lambda: nn.AdaptiveAvgPool1d(4),
        (2, 2, 6),
        "AdaptiveAvgPool1d",
        "AdaptiveAvgPool1d(output_size=(4,))",
    ),
    "adaptive_avg_pool2d": (
        lambda: nn.AdaptiveAvgPool2d((None, 2)),
        (2, 2, 3, 5),
        "AdaptiveAvgPool2d",
        "AdaptiveAvgPool2d(output_size=(None, 2))",
    ),
    "max_pool1d": (
        lambda: nn.MaxPool1d(2),
        (2, 2, 6),
        "MaxPool1d",
        "MaxPool1d(kernel_size=(2,), stride=(2,), padding=(0,), dilation=(1,))",
    ),
    "max_pool2d": (
        lambda: nn.MaxPool2d(2, 1),
        (2, 2, 4, 4),
        "MaxPool2d",
        "MaxPool2d(kernel_size=(2, 2), stride=(1, 1), padding=(0, 0), dilation=(1, 1))",
    ),
    "avg_pool1d": (
        lambda: nn.AvgPool1d(2, padding=1),
        (2, 2, 6),
        "AvgPool1d",
        "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(1,), count_include_pad=True)",
    ),
    "avg_pool2d": (
        lambda: nn.AvgPool2d(2, count_include_pad=False),
        (2, 2, 4, 4),
        "AvgPool2d",
        "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), count_include_pad=False)",
    ),
    "flatten": (lambda: nn.Flatten(), (2, 3, 4), "Flatten", "Flatten(start_axis=1, end_axis=-1)"),
    "batch_norm": (lambda: nn.BatchNorm(3), (4, 3), "BatchNorm 3", "BatchNorm(3, momentum=0.9, eps=1e-05)"),
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), (2, 3, 4), "LayerNorm (3, 4)", "LayerNorm((3, 4), eps=1e-05)"),
    "rms_norm": (lambda: nn.RMSNorm(4), (3, 4), "RMSNorm 4", "RMSNorm(4, eps=None)"),
    "group_norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3), "GroupNorm 4", "GroupNorm(2, 4, eps=1e-05)"),
    "attention": (lambda: nn.MultiheadAttention(4, 2, rng=0), (2, 3, 4), "MultiheadAttention 4, 2 heads", None),
    "residual": (lambda: nn.Residual(nn.Tanh()), (3, 2), "Residual", "Residual(\n  (module): Tanh()\n)"),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(4, 2, 3, 0.0, "tanh", rng=0),
        (2, 3, 4),
        "TransformerEncoderLayer 4, 2 heads",
        None,
    ),
    "identity": (nn.Identity, (3, 4), "Identity", "Identity()"),
    "dropout": (lambda: nn.Dropout(0.5, rng=0), (4, 5), "Dropout", "Dropout(p=0.5)"),
    "dropout1d": (lambda: nn.Dropout1d(0.5, rng=0), (4, 5, 2), "Dropout1d", "Dropout1d(p=0.5)"),
    "dropout2d": (lambda: nn.Dropout2d(0.5, rng=0), (4, 5, 2, 2), "Dropout2d", "Dropout2d(p=0.5)"),
    "relu": (nn.ReLU, (3, 4), "ReLU", "ReLU()"),
    "leaky_relu": (nn.LeakyReLU, (3, 4), "LeakyReLU", "LeakyReLU(negative_slope=0.01)"),
    "prelu": (lambda: nn.PReLU(4), (3, 4), "PReLU", "PReLU(num_parameters=4)"),
    "elu": (nn.ELU, (3, 4), "ELU", "ELU(alpha=1.0)"),
    "selu": (nn.SELU, (3, 4), "SELU", "SELU()"),
    "gelu": (lambda: nn.GELU("tanh"), (3, 4), "GELU", "GELU(approximate='tanh')"),
    "silu": (nn.SiLU, (3, 4), "SiLU", "SiLU()"),
    "mish": (nn.Mish, (3, 4), "Mish", "Mish()"),
    "softplus": (lambda: nn.Softplus(2), (3, 4), "Softplus", "Softplus(beta=2.0)"),
    "softsign": (nn.Softsign, (3, 4), "Softsign", "Softsign()"),
    "hardtanh": (nn.Hardtanh, (3, 4), "Hardtanh", "Hardtanh(min_val=-1.0, max_val=1.0)"),
    "sigmoid": (nn.Sigmoid, (3, 4), "Sigmoid", "Sigmoid()"),
    "tanh": (nn.Tanh, (3, 4), "Tanh", "Tanh()"),
    "softmax": (nn.Softmax, (3, 4), "Softmax", "Softmax(axis=-1)"),
    "log_softmax": (lambda: nn.LogSoftmax(0), (3, 4), "LogSoftmax", "LogSoftmax(axis=0)"),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def numbers(shape):
    """Draw numbers that all differ, and none near 0, 1 or -1, where some functions have a kink."""
    count = int(np.prod(shape))
    values = (np.random.default_rng(3).permutation(count) + 0.5) / count * 5 - 2.5
    kinks = np.array([-1.0, 0.0, 1.0])
    near = np.abs(values[:, None] - kinks).min(axis=1) < 0.01
    return np.where(near, values + 0.02, values).reshape(shape)


def test_no_layer_is_left_out():
    layers = {type(make()) for make, *_ in LAYERS.values()}
    exported = {
        value
        for value in vars(nn).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith("nn._layers.")
    }
    others = {nn.Embedding, nn.GRU, nn.LSTM, nn.ModuleDict, nn.ModuleList, nn.Sequential, nn.Standardize}
    assert exported - layers == others  # which have tests of their own


@EACH
def test_float32_stays_float32_forward_and_backward(name):
    make, shape, *_ = LAYERS[name]
    layer = make()
    x = tg.Tensor(numbers(shape).astype(np.float32), requires_grad=True)
    y = layer(x)
    assert y.dtype == np.float32
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    assert {p.grad.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}
    assert {t.dtype for t in (*layer.parameters(), *layer.buffers())} <= {np.dtype(np.float32)}


@EACH
@pytest.mark.parametrize(
    "laid",
    [
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
        lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
    ],
    ids=["fortran", "strided", "reversed", "big-endian", "batch-last"],
)
def test_the_layout_of_the_input_makes_no_difference(name, laid):
    make, shape, *_ = LAYERS[name]
    results = []
    for x in (numbers(shape), laid(numbers(shape))):
        x.flags.writeable = False
        layer = make().to(np.float64)
        leaf = tg.Tensor(x, requires_grad=True)
        y = layer(leaf)
        (y * y).sum().backward()
        results.append([layer(x).data, y.data, leaf.grad, *(p.grad for p in layer.parameters())])
    for i, (want, got) in enumerate(zip(*results, strict=True)):
        if i == 0 and name.startswith("dropout"):
            continue  # the next draw
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


@EACH
def test_gradients_and_those_of_gradients_agree_with_differences(name):
    make, shape, *_ = LAYERS[name]
    layer = make().to(np.float64)
    if name.startswith("dropout"):
        layer.eval()
    gradcheck(layer, numbers(shape))
    gradgradcheck(layer, numbers(shape))


@EACH
def test_how_it_shows(name):
    make, shape, brief, shown = LAYERS[name]
    layer = make()
    assert layer.brief() == brief
    assert shown is None or repr(layer) == shown
    count = sum(p.size for p in layer.parameters())
    row = nn.Sequential(layer).summary(shape).rows[1]
    assert row == ("0", brief, str(layer(np.zeros(shape, np.float32)).shape), count)


def test_how_the_others_show():
    assert repr(nn.Embedding(5, 2, -1)) == "Embedding(5, 2, padding_idx=4)"
    assert nn.Embedding(5, 2).brief() == "Embedding 5→2"
    assert (repr(nn.Standardize(3)), nn.Standardize(3).brief()) == ("Standardize(3)", "Standardize 3")
    assert repr(nn.MultiheadAttention(4, 2)).splitlines()[:2] == [
        "MultiheadAttention(4, num_heads=2, dropout=0.0",
        "  (query_proj): Linear(in=4, out=4)",
    ]


# --- closed forms ---------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(4, 6))


def rms(x):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + np.finfo(x.dtype).eps)


def standard(x, eps=1e-5):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + eps)


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (
            nn.Linear(6, 2, dtype=np.float64, init={"name": "constant", "value": 2.0}),
            2 * X.sum(axis=1)[:, None] * [1, 1],
        ),
        (nn.LayerNorm(6, dtype=np.float64), standard(X)),
        (nn.RMSNorm(6, dtype=np.float64), rms(X)),
        (nn.GroupNorm(3, 6, dtype=np.float64), standard(X.reshape(4, 3, 2)).reshape(4, 6)),
        (nn.PReLU(dtype=np.float64), np.where(X > 0, X, X / 4)),
        (nn.LeakyReLU(0.3), np.where(X > 0, X, 0.3 * X)),
        (nn.ELU(0.5), np.where(X > 0, X, 0.5 * np.expm1(X))),
        (nn.SiLU(), X / (1 + np.exp(-X))),
        (nn.Mish(), X * np.tanh(np.log1p(np.exp(X)))),
        (nn.Softplus(2.0), np.log1p(np.exp(2 * X)) / 2),
        (nn.Softsign(), X / (1 + np.abs(X))),
        (nn.Hardtanh(-0.5, 0.2), np.clip(X, -0.5, 0.2)),
        (nn.Softmax(0), np.exp(X) / np.exp(X).sum(axis=0)),
        (nn.LogSoftmax(), X - np.log(np.exp(X).sum(axis=1, keepdims=True))),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_values_are_those_of_the_formula(layer, want):
    np.testing.assert_allclose(layer(X).data, want, rtol=1e-12, atol=1e-14)


def test_a_slope_is_learned():
    layer = nn.PReLU(3, dtype=np.float64)
    true = np.array([0.7, -0.2, 0.05])
    x = np.random.default_rng(0).normal(size=(200, 3))
    target = np.where(x > 0, x, true * x)
    optimizer = nn.SGD(layer.parameters(), lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(x), target).backward()
        optimizer.step()
    np.testing.assert_allclose(layer.slope.data, true, atol=1e-6)
    assert [name for name, _ in layer.named_parameters()] == ["slope"]


def test_the_row_of_padding_stays_zero_and_repeated_rows_add_up():
    layer = nn.Embedding(4, 2, padding_idx=0, dtype=np.float64, rng=0)
    layer([[0, 1, 1], [3, 0, 1]]).sum().backward()
    assert layer.W.grad.tolist() == [[0, 0], [3, 3], [0, 0], [1, 1]]
    optimizer = nn.SGD(layer.parameters(), lr=0.1)
    optimizer.step()
    assert layer([0]).data.tolist() == [[0, 0]]
    assert layer(np.zeros((0, 2), int)).shape == (0, 2, 2)


def test_a_query_that_may_see_no_key_gives_the_bias_of_the_output():
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64, rng=0)
    layer.out_proj.b.data[...] = [1, 2, 3, 4]
    x = np.random.default_rng(0).normal(size=(1, 3, 4))
    mask = np.ones((3, 3), bool)
    mask[1] = False
    y = layer(x, mask=mask)
    assert y.data[0, 1].tolist() == [1, 2, 3, 4]
    y.sum().backward()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())
    added = np.where(mask, 0.0, -np.inf)
    np.testing.assert_array_equal(layer(x, mask=added).data, y.data)
