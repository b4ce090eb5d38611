import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn import functional as F

RNG = np.random.default_rng(0)
PREDICTION, TARGET = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3))
LOGITS, LABELS = RNG.normal(size=(6, 3)) * 3, np.array([0, 2, 1, 1, 0, 2])
P, BINARY = RNG.uniform(0.01, 0.99, (6, 3)), (RNG.random((6, 3)) > 0.5).astype(np.float64)
SOFT = RNG.random((6, 3))

CASES = {
    "mse_loss": (PREDICTION, TARGET),
    "l1_loss": (PREDICTION, TARGET),
    "huber_loss": (3 * PREDICTION, TARGET),
    "binary_cross_entropy": (P, SOFT),
    "binary_cross_entropy_with_logits": (LOGITS, SOFT),
    "cross_entropy": (LOGITS, LABELS),
    "nll_loss": (np.log(P), LABELS),
}
ELEMENTWISE = [name for name in CASES if name not in ("cross_entropy", "nll_loss")]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.peer
def test_value_and_gradient_equal_pytorch(name, reduction):
    torch = pytest.importorskip("torch")
    scores, target = CASES[name]
    ours = tg.Tensor(scores, requires_grad=True)
    loss = getattr(F, name)(ours, target, reduction=reduction)
    theirs = torch.tensor(scores, requires_grad=True)
    peer = getattr(torch.nn.functional, name)(theirs, torch.tensor(target), reduction=reduction)
    np.testing.assert_allclose(loss.data, peer.detach().numpy(), rtol=1e-13)
    weights = np.random.default_rng(1).normal(size=loss.shape)
    loss.backward(weights)
    peer.backward(torch.tensor(weights))
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_central_difference(name):
    scores, target = CASES[name]
    leaf = tg.Tensor(scores, requires_grad=True)
    getattr(F, name)(leaf, target).backward()
    h = 1e-6
    for index in np.ndindex(scores.shape):
        up, down = scores.copy(), scores.copy()
        up[index] += h
        down[index] -= h
        numeric = (getattr(F, name)(up, target).item() - getattr(F, name)(down, target).item()) / (2 * h)
        assert abs(leaf.grad[index] - numeric) < 1e-8 * max(1, abs(numeric))


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name):
    scores, target = CASES[name]
    leaf = tg.Tensor(scores, dtype=np.float32, requires_grad=True)
    target = target if target.dtype.kind == "i" else target.astype(np.float32)
    loss = getattr(F, name)(leaf, target)
    loss.backward()
    assert loss.dtype == leaf.grad.dtype == np.float32


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.promise("F5")
@pytest.mark.parametrize(("a", "b"), [((4, 1), (4,)), ((4,), (4, 1)), ((4,), ()), ((4, 2), (4, 3))])
def test_other_shapes_are_refused(name, a, b):
    with pytest.raises(tg.ShapeError, match=name) as caught:
        getattr(F, name)(np.full(a, 0.5), np.full(b, 0.5))
    assert str(a) in str(caught.value)
    assert str(b) in str(caught.value)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_empty_mean_is_refused(name):
    with pytest.raises(tg.ShapeError, match="empty batch"):
        getattr(F, name)(np.ones((0, 2)), np.ones((0, 2)))
    assert getattr(F, name)(np.ones((0, 2)), np.ones((0, 2)), reduction="sum").item() == 0


@pytest.mark.parametrize("name", CASES)
def test_an_unknown_reduction_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: .*'average'"):
        getattr(F, name)(*CASES[name], reduction="average")


# --- cross-entropy --------------------------------------------------------------------------------------


OPTIONAL = [{}, {"weight": np.array([0.5, 2.0, 0.25])}, {"label_smoothing": 0.1}, {"ignore_index": -100}]


@pytest.mark.parametrize("options", OPTIONAL)
@pytest.mark.parametrize("label", [7, 3, -1])
@pytest.mark.promise("G6")
def test_a_label_out_of_range_is_named_with_its_position(label, options):
    labels = np.array([0, 1, label, 2])
    with pytest.raises(IndexError, match=rf"cross_entropy: label {label} at position 2 .* 3 classes"):
        F.cross_entropy(np.zeros((4, 3)), labels, **options)
    options = {key: value for key, value in options.items() if key != "label_smoothing"}
    with pytest.raises(IndexError, match=rf"nll_loss: label {label} at position 2"):
        F.nll_loss(np.zeros((4, 3)), labels, **options)
    with pytest.raises(IndexError, match=rf"cross_entropy: label {label} at position 1, 0 "):
        F.cross_entropy(np.zeros((2, 3, 2)), labels.reshape(2, 2), **options)


@pytest.mark.parametrize(
    ("logits", "labels", "error", "text"),
    [
        ((4, 3), np.zeros(4), tg.DTypeError, r"must be integers .*\(4, 3\).*float64 of shape \(4,\); .*astype"),
        ((4, 3), np.zeros((4, 2)), tg.DTypeError, r"float64 of shape \(4, 2\)"),
        ((4, 3), np.zeros(4, bool), tg.DTypeError, "bool"),
        ((4, 3), np.eye(4, 3, dtype=int), tg.ShapeError, r"\(4, 3\), expected \(4,\).*argmax"),
        ((4, 3), np.zeros(5, int), tg.ShapeError, r"\(5,\), expected \(4,\).*same batch"),
        ((4, 3), np.zeros((4, 1), int), tg.ShapeError, r"\(4, 1\), expected \(4,\).*labels.reshape\(4,\)"),
        ((3,), np.zeros(3, int), tg.ShapeError, r"\(3,\), expected \(\).*argmax\(axis=0\)"),
        ((3,), np.array([0.0, 1.0, 1.0]), ValueError, r"\[0.0, 1.0, 1.0\], expected probabilities that add up to 1"),
        ((), np.zeros(()), tg.ShapeError, r"\(batch, classes\), .* got \(\)"),
    ],
)
@pytest.mark.promise("G7")
def test_labels_that_are_none_are_refused(logits, labels, error, text):
    with pytest.raises(error, match=text):
        F.cross_entropy(np.zeros(logits), labels)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", OPTIONAL)
@pytest.mark.promise("G8")
def test_an_empty_batch_is_refused(options, reduction):
    for labels in (np.zeros(0, int), np.zeros((0, 3))):
        if labels.ndim == 1 or "ignore_index" not in options:
            with pytest.raises(tg.ShapeError, match="cross_entropy: an empty batch"):
                F.cross_entropy(np.zeros((0, 3)), labels, reduction=reduction, **options)


@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.promise("G8")
def test_the_mean_of_ignored_labels_alone_is_refused(ignored):
    labels = np.full(4, ignored)
    for smoothing in (0.0, 0.1):
        options = {"ignore_index": ignored, "label_smoothing": smoothing}
        with pytest.raises(tg.ShapeError, match="cross_entropy: empty batch: every label is ignored"):
            F.cross_entropy(LOGITS[:4], labels, **options)
        x = tg.Tensor(LOGITS[:4], requires_grad=True)
        loss = F.cross_entropy(x, labels, reduction="sum", **options)
        loss.backward()
        assert loss.item() == 0
        assert not x.grad.any()
    with pytest.raises(tg.ShapeError, match="nll_loss: empty batch"):
        F.nll_loss(LOGITS[:4], labels, ignore_index=ignored)


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 1.0, 1.0]}, {"ignore_index": -100}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.promise("G9")
def test_extreme_logits(dtype, options):
    x = tg.Tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    loss = F.cross_entropy(x, [1], **options)
    loss.backward()
    assert loss.item() == 20000
    np.testing.assert_array_equal(x.grad, [[1, -1, 0]])


@pytest.mark.promise("G9")
def test_extreme_logits_under_smoothing_and_soft_labels():
    # The label's own 20000 has weight 0.9 + 0.1 / 3, and the 10000 of the last class has 0.1 / 3.
    want = 20000 * (0.9 + 0.1 / 3) + 10000 * 0.1 / 3
    np.testing.assert_allclose(F.cross_entropy([[1e4, -1e4, 0.0]], [1], label_smoothing=0.1).item(), want, rtol=1e-15)
    assert F.cross_entropy([[1e4, -1e4, 0.0]], [[0.5, 0.25, 0.25]]).item() == 7500


@pytest.mark.parametrize(
    ("label", "options"),
    [(0, {}), (0, {"weight": [1.0, 1.0, 1.0]}), (0, {"ignore_index": 1}), ([1.0, 0.0, 0.0], {})],
)
@pytest.mark.promise("G9")
def test_a_logit_of_minus_infinity_is_a_class_of_probability_zero(label, options):
    x = tg.Tensor([[0.0, -np.inf, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, [label], **options)
    loss.backward()
    np.testing.assert_allclose(loss.item(), np.log(2), rtol=1e-15)
    np.testing.assert_allclose(x.grad, [[-0.5, 0, 0.5]], rtol=1e-15)


@pytest.mark.promise("G9")
def test_smoothing_and_a_label_on_a_class_of_probability_zero_are_infinite():
    assert F.cross_entropy([[0.0, -np.inf, 0.0]], [0], label_smoothing=0.1).item() == np.inf
    assert F.cross_entropy([[0.0, -np.inf, 0.0]], [1]).item() == np.inf


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 2.0]}])
@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.promise("G9")
def test_documented_nan(row, options):
    assert np.isnan(F.cross_entropy([row], [0], **options).item())


def test_class_weights_stay_what_they_are_beside_integer_scores():
    assert F.nll_loss(np.array([[-1, -2], [-4, -3]]), [0, 1], weight=[0.5, 1.5]).item() == (0.5 + 4.5) / 2


def test_labels_may_be_a_list_a_tensor_or_of_any_integer_type():
    want = F.cross_entropy(LOGITS, LABELS).item()
    for labels in (LABELS.tolist(), tg.Tensor(LABELS), LABELS.astype(np.uint8), LABELS.astype(np.int32)):
        assert F.cross_entropy(LOGITS, labels).item() == want


def test_the_first_soft_label_that_is_no_distribution_is_named():
    good = [0.25, 0.75]
    with pytest.raises(ValueError, match=r"labels at position 2 are \[0.5, 0.75\], expected probabilities"):
        F.cross_entropy(np.zeros((4, 2)), [good, good, [0.5, 0.75], [-1.0, 2.0]])
    with pytest.raises(ValueError, match=r"labels at position 3 are \[-1.0, 2.0\], expected probabilities"):
        F.cross_entropy(np.zeros((4, 2)), [good, good, good, [-1.0, 2.0]])
    places = np.full((3, 2, 4), 0.5)
    places[1, :, 2] = 0.25, 0.5
    with pytest.raises(ValueError, match=r"labels at position 1, 2 are \[0.25, 0.5\], expected probabilities"):
        F.cross_entropy(np.zeros((3, 2, 4)), places)


def test_second_order_of_cross_entropy_is_the_softmax_covariance():
    x = tg.Tensor(LOGITS[:1], requires_grad=True)
    F.cross_entropy(x, LABELS[:1]).backward(create_graph=True)
    first = x.grad
    p = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    for i in range(3):
        x.grad = None
        first[0, i].backward(retain_graph=True)
        np.testing.assert_allclose(x.grad[0], p[i] * (np.eye(3)[i] - p), rtol=1e-12, atol=1e-15)


# --- the others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan])
@pytest.mark.promise("G10")
def test_bce_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=rf"{p} at position \(1,\).*with_logits"):
        F.binary_cross_entropy([0.5, p], [0.0, 1.0])


@pytest.mark.parametrize(("dtype", "slope"), [(np.float16, 16384), (np.float32, 1e12), (np.float64, 1e12)])
def test_bce_at_the_ends_moves_back_what_is_wrong(dtype, slope):
    p = tg.Tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype, requires_grad=True)
    loss = F.binary_cross_entropy(p, np.array([0.0, 1.0, 1.0, 0.0], dtype), reduction="none")
    assert loss.data.tolist() == [0, 0, 100, 100]
    loss.sum().backward()
    np.testing.assert_allclose(p.grad, [1, -1, -slope, slope], rtol=1e-7)


@pytest.mark.peer
@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-50, 1e-13, 1e-11, 1e-5])
def test_bce_near_zero_equals_pytorch_where_the_target_is_one(p):
    torch = pytest.importorskip("torch")
    ours = tg.Tensor([p, 1 - p], requires_grad=True)
    theirs = torch.tensor([p, 1 - p], dtype=torch.float64, requires_grad=True)
    target = [1.0, 0.0]
    loss = F.binary_cross_entropy(ours, target)
    peer = torch.nn.functional.binary_cross_entropy(theirs, torch.tensor(target, dtype=torch.float64))
    np.testing.assert_allclose(loss.item(), peer.item(), rtol=1e-13)
    loss.backward()
    peer.backward()
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-8)  # PyTorch's 1e-12 is a float32


@pytest.mark.promise("G10")
def test_bce_with_logits_is_exact_at_both_ends():
    x = tg.Tensor([1000.0, -1000.0, 1e4, -1e4, 20.0, -20.0], requires_grad=True)
    t = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    tail = np.log1p(np.exp(-20.0))
    np.testing.assert_allclose(loss.data, [0, 0, 1e4, 1e4, tail, tail], rtol=1e-14)
    loss.sum().backward()
    small = 1 / (1 + np.exp(20.0))
    np.testing.assert_allclose(x.grad, [0, 0, 1, -1, -small, small], rtol=1e-7, atol=1e-300)


def test_bce_with_logits_has_its_second_derivative_at_zero():
    x = tg.Tensor([0.0], requires_grad=True)
    F.binary_cross_entropy_with_logits(x, [1.0]).backward(create_graph=True)
    first, x.grad = x.grad, None
    first.sum().backward()
    np.testing.assert_allclose(x.grad, 0.25, rtol=1e-15)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan])
def test_huber_refuses_a_delta(delta):
    with pytest.raises(ValueError, match="delta"):
        F.huber_loss([1.0], [0.0], delta=delta)


def test_one_hot():
    np.testing.assert_array_equal(F.one_hot([[1], [0]], 2), [[[0, 1]], [[1, 0]]])
    assert F.one_hot(np.array([1]), 3, dtype=np.float64).dtype == np.float64
    with pytest.raises(IndexError, match="label 2 at position 1, 0 "):
        F.one_hot([[0], [2]], 2)
    with pytest.raises(tg.DTypeError, match="one_hot"):
        F.one_hot([0.0], 2)


# --- dropout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_the_mean_and_its_gradient_is_the_mask(p, dtype):
    n = 100_000
    x = tg.Tensor(np.ones(n), dtype=dtype, requires_grad=True)
    y = nn.Dropout(p, rng=0)(x)
    assert y.dtype == dtype
    kept = y.data != 0
    np.testing.assert_allclose(y.data[kept], 1 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)


def test_dropout_in_evaluation_is_the_identity_and_draws_nothing():
    layer = nn.Dropout(0.5, rng=0).eval()
    x = tg.Tensor(np.ones(4))
    assert layer(x) is x
    layer.train()
    fresh = nn.Dropout(0.5, rng=0)
    np.testing.assert_array_equal(layer(x).data, fresh(x).data)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, np.nan])
def test_dropout_refuses_a_probability(p):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        nn.Dropout(p)
