"""Layers without a peer: results, representations and refusals; dropout, the penalty."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._layers.activations import ACTIVATIONS

# --- without a peer -------------------------------------------------------------------------------------


def test_every_activation_can_be_made_by_name_and_keeps_shape_and_dtype():
    assert set(ACTIVATIONS) == {
        *("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus"),
        *("softsign", "mish", "hardtanh", "sigmoid", "tanh", "prelu"),
    }
    pytest.importorskip("scipy")
    x = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    for make in ACTIVATIONS.values():
        y = make()(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert getattr(nn, make.__name__) is make


def test_self_attention_is_the_default_and_needs_a_batch_of_sequences():
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64, rng=0)
    x, other = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    np.testing.assert_array_equal(layer(x).data, layer(x, x, x).data)
    np.testing.assert_array_equal(layer(x, other).data, layer(x, other, other).data)
    past = np.tri(5, dtype=bool)
    changed = x.copy()
    changed[:, 3:] += 1
    before, after = layer(x, mask=past).data, layer(changed, mask=past).data
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()


def test_attention_drops_weights_in_training_only():
    first, second = (nn.MultiheadAttention(4, 2, dropout=0.5, rng=3) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    a, b = first(x).data, first(x).data
    np.testing.assert_array_equal(a, second(x).data)
    assert (a != b).any()
    np.testing.assert_array_equal(first.eval()(x).data, first(x).data)


def test_a_residual_adds_and_its_gradient_has_both_ways():
    inner = nn.Linear(3, 3, dtype=np.float64, rng=0)
    x = tg.Tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    y = nn.Residual(inner)(x)
    np.testing.assert_allclose(y.data, x.data + x.data @ inner.W.data, rtol=1e-15)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.tile(1 + inner.W.data.sum(axis=1), (4, 1)), rtol=1e-14)
    wide = nn.Residual(nn.Linear(3, 5, rng=0), nn.Linear(3, 5, bias=False, rng=1))
    assert [name for name, _ in wide.named_parameters()] == ["module.W", "module.b", "shortcut.W"]
    assert wide(np.ones((4, 3), np.float32)).shape == (4, 5)


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: nn.Sequential(nn.Residual(nn.Linear(3, 1)))(ones(4, 3)),
            tg.ShapeError,
            r"^0: .*Residual: x has shape \(4, 3\) and the module's result \(4, 1\)",
        ),
        (
            lambda: nn.Residual(nn.Linear(3, 2), nn.Linear(3, 1))(ones(4, 3)),
            tg.ShapeError,
            r"the shortcut's result has shape \(4, 1\) and the module's result \(4, 2\)",
        ),
        (lambda: nn.Residual(nn.ReLU), TypeError, "Residual: module must be a Module, got <class"),
        (lambda: nn.Residual(nn.ReLU(), 3), TypeError, "Residual: shortcut must be a Module, got 3"),
        (lambda: nn.Residual(None), TypeError, "Residual: module must be a Module, got None"),
        (
            lambda: nn.Conv2d(3, 4, 3)(ones(2, 5, 6, 6)),
            tg.ShapeError,
            r"Conv2d\(in=3.*x has 5 channels, but weight expects 3",
        ),
        (lambda: nn.Conv2d(3, 4, 3)(ones(6, 6)), tg.ShapeError, r"batch, channels, height, width\), or one sample"),
        (lambda: nn.Conv1d(3, 4, 0), ValueError, "Conv1d: kernel_size must be an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, "Conv2d: kernel_size .*2 axes"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding="full"),
            ValueError,
            "Conv2d: padding must be 'same', 'valid' or integers, got 'full'",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "Conv2d: groups=2 does not divide in_channels=3"),
        (lambda: nn.Conv1d(4, 3, 3, groups=2), ValueError, "Conv1d: groups=2 does not divide out_channels=3"),
        (lambda: nn.Conv1d(4, 0, 3), ValueError, "Conv1d: out_channels must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(1, 1, 3, l2=-1.0), ValueError, "Conv2d: l2 must be a finite number of at least 0, got -1.0"),
        (
            lambda: nn.Linear(2, 2, l1="much"),
            ValueError,
            "Linear: l1 must be a finite number of at least 0, got 'much'",
        ),
        (lambda: nn.Linear(2, True), ValueError, "Linear: out_features must be an integer of at least 1, got True"),
        (lambda: nn.MaxPool2d(0), ValueError, "MaxPool2d: kernel_size"),
        (
            lambda: nn.MaxPool2d(2, padding=2),
            ValueError,
            "MaxPool2d: padding must be at most half of kernel_size=2, got 2",
        ),
        (
            lambda: nn.MaxPool1d(2, 1, 2, 3),
            ValueError,
            "MaxPool1d: padding must be at most half of kernel_size=2, got 2",
        ),
        (lambda: nn.AvgPool2d((2, 4), padding=(2, 2)), ValueError, "AvgPool2d: padding must be at most half"),
        (lambda: nn.Flatten("1"), ValueError, "Flatten: start_axis must be an integer, got '1'"),
        (lambda: nn.Flatten(1, None), ValueError, "Flatten: end_axis must be an integer, got None"),
        (lambda: nn.Softmax(None), ValueError, "Softmax: axis must be an integer, got None"),
        (lambda: nn.LogSoftmax(1.0), ValueError, "LogSoftmax: axis must be an integer, got 1.0"),
        (
            lambda: nn.Sequential([nn.ReLU()]),
            TypeError,
            r"Sequential: argument 0 must be a Module, .*write Sequential\(\*modules\)",
        ),
        (lambda: nn.AvgPool1d(2)(ones(4)), tg.ShapeError, r"batch, channels, length\), or one sample"),
        (lambda: nn.Flatten(2)(ones(3, 4)), tg.ShapeError, r"expected x with axes 2 to -1, got shape \(3, 4\)"),
        (lambda: nn.LayerNorm(3)(ones(4, 5)), tg.ShapeError, r"to end in normalized_shape \(3,\)"),
        (lambda: nn.LayerNorm(0), ValueError, "LayerNorm: normalized_shape must be an integer of at least 1, got 0"),
        (lambda: nn.RMSNorm(()), ValueError, "RMSNorm: normalized_shape must have at least one axis"),
        (lambda: nn.RMSNorm(3, eps=-1), ValueError, "RMSNorm: eps must be a finite number of at least 0, got -1"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "GroupNorm: num_groups=2 does not divide num_channels=3"),
        (lambda: nn.GroupNorm(2, 4)(ones(3, 6)), tg.ShapeError, r"weight has shape \(4,\), expected \(6,\)"),
        (lambda: nn.Embedding(5, 2, 5), ValueError, "Embedding: padding_idx 5 is out of range for 5 rows"),
        (lambda: nn.Embedding(5, 2, 1.5), ValueError, "Embedding: padding_idx must be an integer .*, got 1.5"),
        (
            lambda: nn.Embedding(5, 2, -6),
            ValueError,
            "Embedding: padding_idx must be an integer of at least -5, got -6",
        ),
        (lambda: nn.Embedding(5, 2)([[0, 5]]), IndexError, r"index 5 at position \(0, 1\)"),
        (lambda: nn.Embedding(5, 2)([0.5]), tg.DTypeError, r"must be integers \(row numbers\), got float64"),
        (lambda: nn.MultiheadAttention(5, 2), ValueError, "num_heads=2 does not divide embed_dim=5"),
        (lambda: nn.MultiheadAttention(4, 2, 1.0), ValueError, r"MultiheadAttention: dropout, .*\[0, 1\), got 1.0"),
        (lambda: nn.MultiheadAttention(4, 2)(ones(2, 3, 5)), tg.ShapeError, r"^query_proj: .*5 != 4"),
        (
            lambda: nn.MultiheadAttention(4, 2)(ones(2, 3, 4), mask=np.ones((2, 3, 4), bool)),
            tg.ShapeError,
            r"attn_mask has shape \(2, 1, 3, 4\), expected one that broadcasts to \(2, 2, 3, 3\)",
        ),
        (lambda: nn.PReLU(3)(ones(2, 4)), tg.ShapeError, "3"),
        (lambda: nn.ConvTranspose1d(4, 6, 3, padding="same"), ValueError, "padding must be integers, got 'same'"),
        (
            lambda: nn.ConvTranspose2d(4, 6, 3, 2, output_padding=(0, 2)),
            ValueError,
            r"output_padding must be smaller than the stride, got \(0, 2\) and 2",
        ),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=4), ValueError, "groups=4 does not divide out_channels=6"),
        (lambda: nn.ConvTranspose1d(4, 6, 3)(ones(2, 3, 5)), tg.ShapeError, "x has 3 channels, but weight expects 4"),
        (lambda: nn.AdaptiveAvgPool2d((1, 0)), ValueError, r"AdaptiveAvgPool2d: output_size .*, got \(1, 0\)"),
        (lambda: nn.AdaptiveAvgPool1d("1"), TypeError, "AdaptiveAvgPool1d: output_size must be an integer"),
        (lambda: nn.Dropout2d(1.0), ValueError, r"Dropout2d: p, .*\[0, 1\), got 1.0"),
        (lambda: nn.Dropout2d()(ones(2, 3)), tg.ShapeError, r"one sample without the batch axis, got \(2, 3\)"),
        (lambda: nn.TransformerEncoderLayer(5, 2), ValueError, "nhead=2 does not divide d_model=5"),
        (
            lambda: nn.TransformerEncoderLayer(4, 2, activation=tg.relu),
            ValueError,
            "activation must be one of relu, .*, got <function relu",
        ),
        (lambda: nn.GELU("erf"), ValueError, "GELU: approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: nn.Softplus(0.0), ValueError, "Softplus: beta must be positive, got 0.0"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "Hardtanh: min_val must be below max_val, got 1 and 1"),
        (lambda: nn.ELU(float("nan")), ValueError, "ELU: alpha must be a finite number, got nan"),
        (lambda: nn.LeakyReLU("0.1"), ValueError, "LeakyReLU: negative_slope must be a finite number, got '0.1'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, error, text):
    with pytest.raises(error, match=text):
        call()


# --- dropout --------------------------------------------------------------------------------------------


@pytest.mark.promise("G11")
@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, np.nan, "0.5", None, True])
def test_a_dropout_probability_outside_its_range_is_refused(p):
    with pytest.raises(ValueError, match=r"Dropout: p, the probability of dropping, must be in \[0, 1\), got"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match=r"MultiheadAttention: dropout, the probability .* in \[0, 1\), got"):
        nn.MultiheadAttention(4, 2, p)
    with pytest.raises(ValueError, match=r"dropout: p, the probability .* in \[0, 1\), got"):
        nn.functional.dropout([1.0], p)


def test_dropout_refuses_integers_in_training_and_in_evaluation():
    for layer in (nn.Dropout(0.5), nn.Dropout(0.5).eval()):
        with pytest.raises(tg.DTypeError, match=r"dropout: expected floating-point x, got int64; write x.astype"):
            layer(np.ones(3, np.int64))


@pytest.mark.promise("G11")
def test_dropout_keeps_the_mean_drops_the_share_and_passes_the_same_mask_back():
    x = tg.Tensor(np.ones(40_000), requires_grad=True)
    layer = nn.Dropout(0.3, rng=0)
    y = layer(x)
    dropped = y.data == 0
    assert abs(dropped.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)
    np.testing.assert_allclose(y.data[~dropped], 1 / 0.7, rtol=1e-15)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    np.testing.assert_array_equal(layer.eval()(x).data, x.data)
    np.testing.assert_array_equal(nn.Dropout(0)(x).data, x.data)


@pytest.mark.promise("G11")
def test_dropout_is_reproducible_by_its_seed_eager_and_compiled():
    x = np.ones((50, 40), np.float32)
    layers = [nn.Dropout(0.3, rng=7), nn.Dropout(0.3, rng=np.random.default_rng(7)), nn.Dropout(0.3, rng=7)]
    compiled = tg.compile(lambda x: layers[2](x))
    first, second = ([layers[0](x).data, layers[1](x).data, compiled(x).data] for _ in range(2))
    for masks in (first, second):
        np.testing.assert_array_equal(masks[0], masks[1])
        np.testing.assert_array_equal(masks[0], masks[2])
    assert (first[0] != second[0]).any()
    assert (first[0] != nn.Dropout(0.3, rng=8)(x).data).any()
    assert set(np.unique(first[0])) == {np.float32(0), np.float32(1 / 0.7)}


@pytest.mark.parametrize("p", [1e-50, 0.2, 0.5, 0.3, 1 - 2**-24, 1 - 1e-12])
@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937])
def test_dropout_compares_the_random_numbers_of_numpy_and_leaves_the_generator_where_they_end(p, bits):
    rng, same = (np.random.Generator(bits(5)) for _ in range(2))
    for shape in [(64, 128), (3,), (4098,), (1, 4097), (5, 821), (4096,), (4095,), (4097,), (), (7, 0)]:
        out = nn.functional.dropout(np.ones(shape), p, rng=rng)
        np.testing.assert_array_equal(out.data != 0, same.random(shape, np.float32) >= p)
        assert rng.random(3, np.float32).tolist() == same.random(3, np.float32).tolist()


# --- penalty --------------------------------------------------------------------------------------------


def test_the_penalty_is_the_sum_over_weights_and_so_is_its_gradient():
    shared = nn.Linear(3, 3, l2=0.5, dtype=np.float64, rng=1)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 2, l1=0.1, l2=0.2, dtype=np.float64, rng=0), nn.Linear(3, 3, rng=2), shared, nn.ReLU(), shared
    )
    for parameter in model.parameters():
        parameter.data[parameter.data == 0] = 7  # biases, which must not count
    first, second = model[0].W.data, shared.W.data
    value = nn.penalty(model)
    want = 0.1 * np.abs(first).sum() + 0.2 * (first**2).sum() + 0.5 * (second**2).sum()
    assert value.item() == pytest.approx(want, rel=1e-14)
    value.backward()
    np.testing.assert_allclose(model[0].W.grad, 0.1 * np.sign(first) + 0.4 * first, rtol=1e-14)
    np.testing.assert_allclose(shared.W.grad, second, rtol=1e-14)
    assert model[0].b.grad is model[1].W.grad is shared.b.grad is None


def test_no_penalty_is_none_and_a_changed_one_is_noticed_by_a_compiled_step():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm(2))
    assert nn.penalty(model) is None
    model[0].l2 = 1.0
    step = tg.compile(lambda: nn.penalty(model))
    assert step().item() == pytest.approx(float((model[0].W.data ** 2).sum()), rel=1e-6)
    model[0].l2 = 3.0
    assert step().item() == pytest.approx(3 * float((model[0].W.data ** 2).sum()), rel=1e-6)
    assert (repr(model[0]), repr(nn.Linear(1, 1))) == ("Linear(in=2, out=2, l2=3)", "Linear(in=1, out=1)")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(3, 4, 2, rng=0), (5, 3, 6)),
        (nn.Conv2d(3, 4, 2, rng=0), (5, 3, 4, 6)),
        (nn.MaxPool2d(2), (5, 3, 4, 6)),
        (nn.AvgPool1d(2), (5, 3, 6)),
        (nn.MultiheadAttention(4, 2, rng=0), (5, 3, 4)),
    ],
)
def test_samples_one_by_one_are_a_batch_eager_compiled_and_mapped(layer, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = layer(x).data
    for one in (layer, tg.compile(layer)):
        np.testing.assert_allclose(np.stack([one(row).data for row in x]), expected, rtol=1e-5, atol=1e-6)
    with tg.no_grad():
        np.testing.assert_allclose(tg.vmap(layer)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [nn.functional.cross_entropy, nn.functional.nll_loss, nn.functional.multi_margin_loss])
def test_losses_of_samples_one_by_one_are_those_of_a_batch(loss):
    logits = np.random.default_rng(0).standard_normal((5, 3))
    labels = np.array([0, 2, 1, 1, 0])
    expected = loss(logits, labels, reduction="none").data
    for one in (loss, tg.compile(loss)):
        np.testing.assert_allclose([one(x, label).item() for x, label in zip(logits, labels)], expected, rtol=1e-12)
    np.testing.assert_allclose(tg.vmap(loss)(logits, labels), expected, rtol=1e-12)
    gradients = tg.vmap(tg.grad(loss))(logits, labels)
    np.testing.assert_allclose(gradients, [tg.grad(loss)(x, label) for x, label in zip(logits, labels)], rtol=1e-12)


def test_a_transposed_kernel_is_drawn_for_the_inputs_of_its_group():
    drawn = []

    def counting(shape, *, dtype, rng):
        drawn.append(np.arange(np.prod(shape), dtype=dtype).reshape(shape))
        return drawn[-1]

    layer = nn.ConvTranspose1d(4, 6, 2, groups=2, init=counting)
    (kernel,) = drawn
    assert kernel.shape == (6, 2, 2)
    assert layer.W.shape == (4, 3, 2)
    for group in range(2):
        for i in range(2):
            for o in range(3):
                np.testing.assert_array_equal(layer.W.data[2 * group + i, o], kernel[3 * group + o, i])
