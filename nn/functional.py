"""Layers and losses as functions, without state of their own.

Activations are :mod:`tensorgrad`'s operations: ``tg.relu``, ``tg.softmax`` and so on.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from ._running import running_path

__all__ = [
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "checked_probability",
    "checked_reduction",
    "cross_entropy",
    "dropout",
    "huber_loss",
    "l1_loss",
    "linear",
    "mse_loss",
    "nll_loss",
    "one_hot",
]


def _array(value: Any) -> Any:
    """The array of a Tensor, an array or a list."""
    return tg.array_of(value if hasattr(value, "shape") else np.asarray(value))


def _operand(value: Any) -> Any:
    """The value, if it has a shape; a list is made an array."""
    return value if hasattr(value, "shape") else np.asarray(value)


# --- layers -------------------------------------------------------------------------------------------


def linear(x: tg.TensorLike, W: tg.TensorLike, b: tg.TensorLike | None = None) -> tg.Tensor:
    """``x @ W + b``, with W of shape (in_features, out_features).

    >>> import nn
    >>> nn.functional.linear([[1.0, 2.0]], [[3.0], [4.0]], [0.5])
    Tensor([[11.5]], dtype=float64)
    """
    product = tg.matmul(x, W)
    return product if b is None else product + b


def dropout(
    x: tg.TensorLike,
    p: float = 0.5,
    *,
    training: bool = True,
    rng: np.random.Generator | int | None = None,
) -> tg.Tensor:
    """Set each element to 0 with probability p and scale the others by ``1 / (1 - p)``.

    Shape and dtype as x. Not in training, x as it is. Raises ValueError for p outside [0, 1).

    >>> import numpy as np, nn
    >>> sorted(set(nn.functional.dropout(np.ones(100), 0.75, rng=0).data.tolist()))
    [0.0, 4.0]
    """
    p = checked_probability(p, "dropout")
    given = x if isinstance(x, tg.Tensor) else tg.Tensor(x)
    if not training or p == 0:
        return given
    generator = np.random.default_rng(rng)
    shape, dtype, scale = given.shape, given.dtype, 1 / (1 - p)

    def mask() -> Any:
        return np.multiply(generator.random(shape, np.float32) >= p, scale, dtype=dtype)

    return given * tg.host(mask)


def batch_norm(
    x: tg.TensorLike,
    running_mean: Any = None,
    running_var: Any = None,
    gamma: tg.TensorLike | None = None,
    beta: tg.TensorLike | None = None,
    *,
    training: bool = False,
    momentum: float = 0.9,
    eps: float = 1e-5,
    unbiased: bool = True,
) -> tg.Tensor:
    """``gamma * (x - mean) / sqrt(var + eps) + beta``, over the batch.

    Args:
        x: shape (batch, features).
        running_mean: Tensor or ndarray of shape (features,), used in evaluation, updated in place in training
            (None: not kept).
        running_var: likewise, of the variance.
        gamma: shape (features,); None for 1.
        beta: shape (features,); None for 0.
        training: use the mean and the (biased) variance of the batch.
        momentum: weight of the old running value.
        eps: added to the variance.
        unbiased: does the running variance divide by n - 1?

    Raises:
        ShapeError: x is not (batch, features), features differ, or a training batch has fewer than 2 rows.
        ValueError: no running statistics in evaluation.

    >>> import numpy as np, nn
    >>> nn.functional.batch_norm(np.array([[1.0], [3.0]]), training=True, eps=0.0)
    Tensor([[-1.], [ 1.]], dtype=float64)
    """
    given = _operand(x)
    _check_batch(given.shape, running_mean, gamma, training)
    if training:
        mean = tg.mean(given, axis=0)
        centred = tg.subtract(given, mean)
        var = tg.mean(centred * centred, axis=0)
        if running_mean is not None and running_var is not None:
            n = given.shape[0]
            factor = n / (n - 1) if unbiased else 1.0
            _blend((running_mean, running_var), (mean, var), momentum, factor)
    else:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation needs running_mean and running_var; or write training=True")
        # The graph saves what is computed from the running statistics, never their memory, which changes.
        centred, var = tg.subtract(given, running_mean), running_var
    inverse: Any = 1.0 if gamma is None else gamma
    result = centred * (inverse / tg.sqrt(tg.add(var, eps)))
    return result if beta is None else result + beta


def _check_batch(shape: tuple[int, ...], running_mean: Any, gamma: Any, training: bool) -> None:
    if len(shape) != 2:
        raise tg.ShapeError(f"batch_norm: expected shape (batch, features), got {shape}")
    for like in (running_mean, gamma):
        if like is not None and shape[1] != like.shape[0]:
            raise tg.ShapeError(f"batch_norm: expected {like.shape[0]} features, got {shape[1]} (shape {shape})")
    if training and shape[0] < 2:
        raise tg.ShapeError(
            f"batch_norm: training needs more than 1 row in a batch to tell a variance, got shape {shape}; drop the "
            "last, smaller batch, or call eval() to use the running statistics"
        )


def _blend(running: tuple[Any, Any], batch: tuple[tg.Tensor, tg.Tensor], momentum: float, factor: float) -> None:
    """Move the running statistics towards the batch's, if those are finite."""
    memories = [tg.writes_to(statistic, by="BatchNorm.forward") for statistic in running]
    blended = _blended(*memories, *map(tg.array_of, batch), momentum=momentum, factor=factor, path=running_path())
    for memory, value in zip(memories, blended, strict=True):
        memory[...] = value


@tg.indivisible
def _blended(
    old_mean: Any, old_var: Any, mean: Any, var: Any, *, momentum: float, factor: float, path: str
) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        if np.isfinite(np.vdot(var, var)) or np.isfinite(var).all():  # var is not finite where mean is not
            weight = 1 - momentum
            return momentum * old_mean + weight * mean, momentum * old_var + weight * factor * var
    where = f"{path}: " if path else ""
    warnings.warn(
        f"{where}batch_norm: the batch holds NaN or infinity; the running statistics were not updated",
        RuntimeWarning,
        stacklevel=2,
    )
    return old_mean.copy(), old_var.copy()


def one_hot(labels: Any, num_classes: int, *, dtype: DTypeLike = np.float32) -> Any:
    """An array with a further axis: 1 at the label, 0 elsewhere. Raises IndexError for a label out of range.

    >>> import nn
    >>> nn.functional.one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    given = _array(labels)
    _check_label_dtype(given, "one_hot")
    return _hot(given, classes=int(num_classes), op="one_hot").astype(dtype)


# --- losses -------------------------------------------------------------------------------------------


def mse_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Squared error, ``(prediction - target)²``.

    Raises ShapeError unless both have the same shape: (N,) against (N, 1) would silently compare all pairs.
    Under ``reduction="none"`` the result has that shape; "mean" and "sum" make a scalar.

    >>> import nn
    >>> nn.functional.mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    difference = _difference(prediction, target, "mse_loss")
    return _reduced(tg.square(difference), reduction, "mse_loss")


def l1_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Absolute error. Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.l1_loss([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """
    return _reduced(tg.abs(_difference(prediction, target, "l1_loss")), reduction, "l1_loss")


def huber_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, delta: float = 1.0, reduction: str = "mean"
) -> tg.Tensor:
    """Half the squared error up to an error of delta, growing linearly beyond (Huber, 1964).

    Shapes and errors as in :func:`mse_loss`; ValueError unless delta is positive.

    >>> import nn
    >>> nn.functional.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none").data.tolist()
    [0.125, 2.5]
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta!r}")
    error = _difference(prediction, target, "huber_loss")
    bounded = tg.clip(error, -delta, delta)
    return _reduced(bounded * (error - 0.5 * bounded), reduction, "huber_loss")


def binary_cross_entropy(p: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """``-(t log p + (1 - t) log(1 - p))`` of probabilities. Logarithms are bounded by -100, as PyTorch does.

    Better behaved on logits: :func:`binary_cross_entropy_with_logits`. Shapes and errors as in
    :func:`mse_loss`; ValueError for p outside [0, 1] or NaN.

    >>> import nn
    >>> round(nn.functional.binary_cross_entropy([0.5], [1.0]).item(), 6)
    0.693147
    """
    op = "binary_cross_entropy"
    p, target = _operand(p), _operand(target)
    _same_shape(p, target, op)
    _check_probabilities(_array(p))
    log_p = tg.maximum(tg.log(p), -100.0)
    log_q = tg.maximum(tg.log1p(tg.negative(p)), -100.0)
    return _reduced(-(log_p * target + tg.subtract(1, target) * log_q), reduction, op)


def binary_cross_entropy_with_logits(
    logits: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean"
) -> tg.Tensor:
    """Cross-entropy of ``sigmoid(logits)``, exact for logits of any size.

    Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.binary_cross_entropy_with_logits([1e4, -1e4], [1.0, 1.0], reduction="none").data.tolist()
    [0.0, 10000.0]
    """
    op = "binary_cross_entropy_with_logits"
    logits, target = _operand(logits), _operand(target)
    _same_shape(logits, target, op)
    # Two softplus rather than one and a product: neither end cancels, and there is no kink at 0.
    return _reduced(
        tg.softplus(tg.negative(logits)) * target + tg.softplus(logits) * tg.subtract(1, target),
        reduction,
        op,
    )


def cross_entropy(logits: tg.TensorLike, labels: Any, *, reduction: str = "mean") -> tg.Tensor:
    """Minus the logarithm of the probability that ``softmax(logits)`` gives to the label.

    Args:
        logits: shape (batch, classes), of any size. A logit of -inf is a class of probability 0; a row that
            holds +inf or NaN, or nothing but -inf, gives NaN.
        labels: integers of shape (batch,), from 0.
        reduction: "mean" or "sum" over the batch, or "none" for shape (batch,).

    Raises:
        DTypeError: labels are not integers.
        ShapeError: logits have not two axes, labels are not one a row, or the batch is empty.
        IndexError: a label is negative or not smaller than the number of classes.

    >>> import nn
    >>> nn.functional.cross_entropy([[1e4, -1e4], [0.0, 0.0]], [1, 0], reduction="none").data.round(6).tolist()
    [20000.0, 0.693147]
    """
    given, labels = _checked_labels(logits, labels, "cross_entropy")
    return _picked(tg.log_softmax(given), labels, reduction, "cross_entropy")


def nll_loss(log_probabilities: tg.TensorLike, labels: Any, *, reduction: str = "mean") -> tg.Tensor:
    """Minus the log-probability of the label: :func:`cross_entropy` after ``tg.log_softmax``.

    Shapes and errors as there.

    >>> import numpy as np, nn
    >>> round(nn.functional.nll_loss(np.log([[0.25, 0.75]]), [1]).item(), 6)
    0.287682
    """
    given, labels = _checked_labels(log_probabilities, labels, "nll_loss")
    return _picked(given, labels, reduction, "nll_loss")


def _checked_labels(scores: Any, labels: Any, op: str) -> tuple[Any, Any]:
    scores, labels = _operand(scores), _array(labels)
    shape = scores.shape
    if len(shape) != 2:
        raise tg.ShapeError(f"{op}: expected scores of shape (batch, classes), got {shape}")
    _check_label_dtype(labels, op)
    if labels.shape != shape[:1]:
        hint = "labels.argmax(axis=1) for one-hot labels" if labels.shape == shape else "labels.reshape(-1)"
        raise tg.ShapeError(
            f"{op}: labels have shape {labels.shape}, expected {shape[:1]}: one integer for each row of {shape}; "
            f"write {hint}"
        )
    if not shape[0]:
        raise tg.ShapeError(f"{op}: empty batch (shape {shape}) has no mean loss")
    return scores, labels


def _check_label_dtype(labels: Any, op: str) -> None:
    if labels.dtype.kind not in "iu":
        raise tg.DTypeError(
            f"{op}: labels are class numbers, expected integers, got {labels.dtype}; write labels.astype(np.int64)"
        )


@tg.indivisible
def _hot(labels: Any, *, classes: int, op: str) -> Any:
    """Where the last axis of the result is the label's."""
    hot = labels[..., None] == np.arange(classes, like=labels)
    if np.count_nonzero(hot) != labels.size:
        wrong = np.argwhere((labels < 0) | (labels >= classes))[0]
        position = tuple(wrong.tolist())
        raise IndexError(
            f"{op}: label {labels[position]} at position {', '.join(map(str, position))} is out of range for "
            f"{classes} classes (0 to {classes - 1})"
        )
    return hot


def _picked(log_p: Any, labels: Any, reduction: str, op: str) -> tg.Tensor:
    # Selection, not a product: a log-probability of -inf on another class leaves no NaN.
    hot = _hot(labels, classes=log_p.shape[1], op=op)
    chosen = tg.where(hot, log_p, 0.0)
    checked_reduction(reduction, op)
    if reduction == "none":
        return -tg.sum(chosen, axis=1)
    return tg.sum(chosen) * (-1.0 if reduction == "sum" else -1.0 / labels.shape[0])


# --- shared by the losses -----------------------------------------------------------------------------


def _difference(prediction: Any, target: Any, op: str) -> tg.Tensor:
    prediction, target = _operand(prediction), _operand(target)
    _same_shape(prediction, target, op)
    return tg.subtract(prediction, target)


def _same_shape(prediction: Any, target: Any, op: str) -> None:
    if prediction.shape != target.shape:
        raise tg.ShapeError(
            f"{op}: prediction has shape {prediction.shape} and target {target.shape}, expected the same; write "
            f"target.reshape{prediction.shape}, or index the prediction"
        )


@tg.indivisible
def _check_probabilities(p: Any) -> None:
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"binary_cross_entropy: {p[position]} at position {position} is no probability in [0, 1]; for logits use "
            "binary_cross_entropy_with_logits"
        )


def _reduced(loss: tg.Tensor, reduction: str, op: str) -> tg.Tensor:
    checked_reduction(reduction, op)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return tg.sum(loss)
    if not loss.size:
        raise tg.ShapeError(f"{op}: empty batch (shape {loss.shape}) has no mean loss")
    return tg.mean(loss)


def checked_reduction(reduction: str, op: str) -> str:
    """The reduction, if it is one. Raises ValueError."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def checked_probability(p: float, op: str) -> float:
    """The probability of dropping, if it is in [0, 1). Raises ValueError."""
    if not 0 <= p < 1:
        raise ValueError(f"{op}: p, the probability of dropping, must be in [0, 1), got {p!r}")
    return float(p)
