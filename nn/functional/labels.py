"""Class labels, and losses that compare scores with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from ._shared import check_probabilities, checked_reduction, label_misfit, operand, plain_array, reduced

__all__ = ["cross_entropy", "focal_loss", "multi_margin_loss", "nll_loss", "one_hot", "softmax_focal_loss"]


def one_hot(labels: Any, num_classes: int, *, dtype: DTypeLike = np.float32) -> Any:
    """An array with one more axis: 1 at the label, 0 elsewhere. Raises IndexError for a label out of range.

    >>> import nn
    >>> nn.functional.one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    given = plain_array(labels)
    _check_label_dtype(given, "one_hot")
    return _hot(given, classes=int(num_classes), op="one_hot").astype(dtype)


@tg.scope(None, "cross_entropy")
def cross_entropy(
    logits: tg.TensorLike,
    labels: Any,
    *,
    weight: tg.TensorLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tg.Tensor:
    """Negative log-probability of the label under ``softmax(logits)``.

    Args:
        logits: shape (batch, classes) or (batch, classes, ...), or (classes,) for one sample; of any magnitude. A logit
            of -inf is a class of probability 0; a row with +inf or NaN, or with -inf only, results in NaN.
        labels: integers of shape (batch, ...), from 0, or one integer for one sample; or soft labels: probabilities of
            the shape of the logits.
        weight: one per class, shape (classes,); cast to the dtype of the logits.
        label_smoothing: share of each label that is spread evenly over all classes, in [0, 1] (Szegedy et al., 2016,
            section 7). A class of probability 0 then makes the loss infinite.
        ignore_index: a label to leave out of the loss, whether or not it is in the range of classes.
        reduction: "mean", which divides by the total weight of the labels not ignored (of soft labels by their
            number, as in PyTorch), "sum", or "none" for the shape of the labels.

    Raises:
        DTypeError: labels are neither integers nor probabilities of the shape of the logits.
        ShapeError: logits have no axis, there is not one label per row or one weight per class, or the batch is empty;
            for a "mean" it also counts as empty if every label is ignored or has weight 0.
        IndexError: a label is negative or not less than the number of classes.
        ValueError: soft labels are negative or do not add up to 1, or come with ignore_index; label_smoothing is
            outside [0, 1].

    >>> import nn
    >>> nn.functional.cross_entropy([[1e4, -1e4], [0.0, 0.0]], [1, 0], reduction="none").data.round(6).tolist()
    [20000.0, 0.693147]
    """
    op = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must be in [0, 1], got {label_smoothing!r}")
    given, target = operand(logits), operand(labels)
    if target.dtype.kind == "f":
        _check_soft(given, target, ignore_index, op)
        single = len(given.shape) == 1
        if single:
            given, target = given[None], target[None]
        log_p = tg.log_softmax(given, axis=1)
        share = tg.add((1 - label_smoothing) * target, label_smoothing / given.shape[1]) if label_smoothing else target
        loss = _spread(log_p, share, _class_weights(weight, log_p, op))
        return reduced(loss[0] if single else loss, reduction, op)
    given, numbers, single = _checked_labels(given, target, op)
    log_p = tg.log_softmax(given, axis=1)
    if weight is None and ignore_index is None and not label_smoothing:
        return _of_sample(_picked(log_p, numbers, reduction, op), single)
    return _of_sample(_weighed(log_p, numbers, weight, label_smoothing, ignore_index, reduction, op), single)


@tg.scope(None, "nll_loss")
def nll_loss(
    log_probabilities: tg.TensorLike,
    labels: Any,
    *,
    weight: tg.TensorLike | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tg.Tensor:
    """Negative log-probability of the label: :func:`cross_entropy` without its ``log_softmax``.

    Shapes, options and errors as in :func:`cross_entropy`; labels are integers.

    >>> import numpy as np, nn
    >>> round(nn.functional.nll_loss(np.log([[0.25, 0.75]]), [1]).item(), 6)
    0.287682
    """
    op = "nll_loss"
    given, labels, single = _checked_labels(log_probabilities, labels, op)
    if weight is None and ignore_index is None:
        return _of_sample(_picked(given, labels, reduction, op), single)
    return _of_sample(_weighed(given, labels, weight, 0.0, ignore_index, reduction, op), single)


@tg.scope(None, "focal_loss")
def focal_loss(
    probabilities: tg.TensorLike, labels: Any, *, alpha: float = 1.0, gamma: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """``-alpha (1 - p)^gamma log(p)``, with p the label's probability: easy samples count less (Lin et al., 2017).

    Numerically better on logits: :func:`softmax_focal_loss`.

    Args:
        probabilities: shape (batch, classes), or (classes,) for one sample.
        labels: integers of shape (batch,), from 0, or one integer.
        alpha: a factor.
        gamma: how much less easy samples count; 0 is :func:`nll_loss` of the logarithms.
        reduction: "mean" or "sum" over the batch, or "none" for the shape of the labels.

    Raises ValueError for a negative gamma or a number that is not a probability; other errors as in
    :func:`cross_entropy`.

    >>> import nn
    >>> round(nn.functional.focal_loss([[0.25, 0.75]], [1], gamma=2.0).item(), 6)
    0.01798
    """
    op = "focal_loss"
    given, labels, single = _checked_labels(probabilities, labels, op)
    check_probabilities(plain_array(given), op=op, instead="softmax_focal_loss")
    p = _own(given, labels, op)
    return _of_sample(reduced(_focal(tg.log(p), 1 - p, alpha, gamma, op), reduction, op), single)


@tg.scope(None, "softmax_focal_loss")
def softmax_focal_loss(
    logits: tg.TensorLike, labels: Any, *, alpha: float = 1.0, gamma: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """:func:`focal_loss` of ``softmax(logits)``, exact for logits of any magnitude.

    >>> import nn
    >>> nn.functional.softmax_focal_loss([[1e4, -1e4]], [1], gamma=2.0).item()
    20000.0
    """
    op = "softmax_focal_loss"
    given, labels, single = _checked_labels(logits, labels, op)
    log_p = _own(tg.log_softmax(given, axis=1), labels, op)
    return _of_sample(reduced(_focal(log_p, -tg.expm1(log_p), alpha, gamma, op), reduction, op), single)


def _focal(log_p: tg.Tensor, rest: tg.Tensor, alpha: float, gamma: float, op: str) -> tg.Tensor:
    if not gamma >= 0:
        raise ValueError(f"{op}: gamma must not be negative, got {gamma!r}")
    return -alpha * (rest**gamma * log_p)


@tg.scope(None, "multi_margin_loss")
def multi_margin_loss(
    scores: tg.TensorLike,
    labels: Any,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: tg.TensorLike | None = None,
    reduction: str = "mean",
) -> tg.Tensor:
    """``max(0, margin - s[label] + s[j]) ** p``, summed over all other classes j and divided by the number of classes.

    Args:
        scores: shape (batch, classes), or (classes,) for one sample.
        labels: integers of shape (batch,), from 0, or one integer.
        p: 1 or 2.
        margin: by how much the label's score should exceed the others.
        weight: one per class, shape (classes,).
        reduction: "mean" or "sum" over the batch, or "none" for the shape of the labels.

    Raises ValueError for any other p, ShapeError for weights of any other shape; other errors as in
    :func:`cross_entropy`. At the margin the gradient is 0.

    >>> import nn
    >>> nn.functional.multi_margin_loss([[0.5, 1.0, 2.0]], [1]).item()
    0.8333333333333334
    """
    op = "multi_margin_loss"
    if p not in (1, 2):
        raise ValueError(f"{op}: p must be 1 or 2, got {p!r}")
    given, labels, single = _checked_labels(scores, labels, op)
    classes = given.shape[1]
    hot = _label_places(given, labels, op)
    own = tg.sum(tg.where(hot, given, 0.0), axis=1, keepdims=True)
    lacking = tg.relu(tg.subtract(given, own) + margin)
    if p == 2:
        lacking = tg.square(lacking)
    factors = _class_weights(weight, lacking, op)
    if factors is not None:
        lacking = lacking * tg.sum(tg.where(hot, factors, 0.0), axis=1, keepdims=True)
    return _of_sample(reduced(tg.sum(tg.where(hot, 0.0, lacking), axis=1) / classes, reduction, op), single)


# --- checks ---------------------------------------------------------------------------------------------


def _checked_labels(scores: Any, labels: Any, op: str) -> tuple[Any, Any, bool]:
    """Return scores and labels with a batch axis, and whether they are one sample's, which had none."""
    scores, labels = operand(scores), plain_array(labels)
    shape = scores.shape
    _check_scores(shape, op)
    _check_label_dtype(labels, op)
    single = len(shape) == 1
    if labels.shape != (() if single else shape[:1] + shape[2:]):
        raise tg.ShapeError(label_misfit(labels, shape, op))
    return (scores[None], np.reshape(labels, (1,)), True) if single else (scores, labels, False)


def _of_sample(loss: tg.Tensor, single: bool) -> tg.Tensor:
    """Return the loss without the batch axis that was added for one sample, if it still has that."""
    return loss[0] if single and loss.shape else loss


def _check_scores(shape: tuple[int, ...], op: str) -> None:
    if not shape:
        raise tg.ShapeError(
            f"{op}: expected scores of shape (batch, classes), (batch, classes, ...) or (classes,), got {shape}"
        )
    if 0 in shape:
        raise tg.ShapeError(f"{op}: an empty batch (shape {shape}) has no mean loss")


def _check_label_dtype(labels: Any, op: str) -> None:
    if labels.dtype.kind not in "iu":
        raise tg.DTypeError(
            f"{op}: labels must be integers (class numbers), got {labels.dtype}; write labels.astype(np.int64)"
        )


def _check_soft(logits: Any, labels: Any, ignored: int | None, op: str) -> None:
    _check_scores(logits.shape, op)
    if labels.shape != logits.shape:
        raise tg.DTypeError(
            f"{op}: labels must be integers (class numbers), or probabilities of shape {logits.shape} like the logits, "
            f"got {labels.dtype} of shape {labels.shape}; write labels.astype(np.int64)"
        )
    if ignored is not None:
        raise ValueError(f"{op}: ignore_index={ignored} is for integer labels, got probabilities; drop those rows")
    _check_distributions(plain_array(labels), op=op)


@tg.indivisible
def _check_distributions(p: Any, *, op: str) -> None:
    classes = min(1, p.ndim - 1)
    wrong = ~((np.min(p, axis=classes) >= 0) & (np.abs(np.sum(p, axis=classes) - 1) < 1e-3))
    if not p.shape[1:] and wrong:
        raise ValueError(
            f"{op}: labels are {p.tolist()}, expected probabilities that add up to 1; write labels / labels.sum(), or "
            f"pass the class number as an integer"
        )
    if np.any(wrong):
        row, *rest = np.argwhere(wrong)[0].tolist()
        got = p[(row, slice(None), *rest)]
        raise ValueError(
            f"{op}: labels at position {', '.join(map(str, (row, *rest)))} are {got.tolist()}, expected probabilities "
            f"that add up to 1; write labels / labels.sum(axis=1, keepdims=True), or pass class numbers as integers"
        )


@tg.indivisible
def _check_total(total: Any, *, op: str) -> None:
    if total == 0:
        raise tg.ShapeError(f"{op}: empty batch: every label is ignored or has weight 0, so there is no mean loss")


# --- selection ------------------------------------------------------------------------------------------


def _is_label(labels: Any, *, classes: int, op: str, after: int = 0, ignored: int | None = None) -> Any:
    hot = labels[(..., None, *(slice(None),) * after)] == np.arange(classes)[(..., *(None,) * after)]
    return hot if ignored is None else hot & (labels != ignored)[(..., None, *(slice(None),) * after)]


def _one_hot_axis(labels: Any, *, classes: int, op: str, after: int = 0, ignored: int | None = None) -> int | None:
    """The axis along which exactly one class is the label of each sample."""
    return labels.ndim - after if ignored is None else None


_is_label.one_hot_axis = _one_hot_axis  # type: ignore[attr-defined]


def _hot_form(labels: Any, *, classes: int, op: str, after: int = 0, ignored: int | None = None) -> Any:
    if ignored is not None or labels.dtype.kind != "i":
        return None
    numbers = np.arange(classes, dtype=labels.dtype)[(..., *(None,) * after)]
    hot = labels[(..., None, *(slice(None),) * after)] == numbers
    return hot, np.logical_and(labels >= 0, labels < classes)


@tg.indivisible(formula=_is_label, straight_line=_hot_form)
def _hot(labels: Any, *, classes: int, op: str, after: int = 0, ignored: int | None = None) -> Any:
    """Return where the class is the label, along a new axis followed by ``after`` axes."""
    numbers = np.arange(classes, like=labels)
    behind: tuple[Any, ...] = (..., None)
    if after:
        numbers = numbers[(..., *(None,) * after)]
        behind += (slice(None),) * after
    hot = labels[behind] == numbers
    expected = labels.size
    if ignored is not None:
        counts = labels != ignored
        hot &= counts[behind]
        expected = np.count_nonzero(counts)
    if np.count_nonzero(hot) != expected:
        wrong = (labels < 0) | (labels >= classes)
        position = tuple(np.argwhere(wrong if ignored is None else wrong & counts)[0].tolist())
        raise IndexError(
            f"{op}: label {labels[position]} at position {', '.join(map(str, position))} is out of range for "
            f"{classes} classes (0 to {classes - 1})"
        )
    return hot


def _label_places(scores: Any, labels: Any, op: str, ignored: int | None = None) -> Any:
    return _hot(labels, classes=scores.shape[1], op=op, after=labels.ndim - 1, ignored=ignored)


def _own(scores: Any, labels: Any, op: str) -> tg.Tensor:
    """Return the score of each row's label."""
    # Selection, not a product: a score of -inf for another class does not turn into NaN.
    return tg.sum(tg.where(_label_places(scores, labels, op), scores, 0.0), axis=1)


def _picked(log_p: Any, labels: Any, reduction: str, op: str) -> tg.Tensor:
    # Selection, not a product: a log-probability of -inf for another class does not turn into NaN.
    chosen = tg.where(_label_places(log_p, labels, op), log_p, 0.0)
    checked_reduction(reduction, op)
    if reduction == "none":
        return -tg.sum(chosen, axis=1)
    return tg.sum(chosen) * (-1.0 if reduction == "sum" else -1.0 / labels.size)


def _weighed(
    log_p: Any, labels: Any, weight: Any, smoothing: float, ignored: int | None, reduction: str, op: str
) -> tg.Tensor:
    checked_reduction(reduction, op)
    places = _label_places(log_p, labels, op, ignored)
    hot = tg.astype(places, log_p.dtype)
    weight = _class_weights(weight, log_p, op)
    share = hot
    if smoothing:
        share = (1 - smoothing) * hot + smoothing / log_p.shape[1] * tg.sum(hot, axis=1, keepdims=True)
    loss = _spread(log_p, share, weight)
    if reduction != "mean":
        return reduced(loss, reduction, op)
    total = tg.sum(hot if weight is None else hot * weight)
    _check_total(plain_array(total), op=op)
    return tg.sum(loss) / total


def _spread(log_p: Any, share: Any, weight: Any) -> tg.Tensor:
    """Return minus the sum of each row's log-probabilities, each times the share of its class in the label."""
    factor = share if weight is None else tg.multiply(share, weight)
    # A class without a share is left out: its log-probability may be -inf, or NaN in an ignored row.
    void = (plain_array(factor) == 0) & ~np.isfinite(plain_array(log_p))
    return -tg.sum(tg.where(void, 0.0, log_p) * factor, axis=1)


def _class_weights(weight: Any, scores: Any, op: str) -> Any:
    """Return the weights along the second axis of the scores, in the dtype of these if it is floating point."""
    if weight is None:
        return None
    weight, classes = operand(weight), scores.shape[1]
    if weight.shape != (classes,):
        raise tg.ShapeError(f"{op}: weight has shape {weight.shape}, expected ({classes},): one per class")
    if scores.dtype.kind not in "iub":
        weight = tg.astype(weight, scores.dtype)
    return tg.reshape(weight, (classes, *(1,) * (len(scores.shape) - 2)))
