"""Connectionist temporal classification: labels for a sequence, without their positions in it."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import checked_reduction, operand, plain_array, reduced

__all__ = ["ctc_loss"]


@tg.scope(None, "ctc_loss")
def ctc_loss(
    log_probabilities: tg.TensorLike,
    labels: Any,
    input_lengths: Any,
    target_lengths: Any,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> tg.Tensor:
    """Negative log-probability of the labels, over all ways to align them with the steps (Graves et al., 2006).

    An alignment gives each step a label or the blank; merging repetitions and then dropping the blanks must result in
    the labels. The sum over all alignments is the forward recursion of Graves et al. (equations 5 to 8), in logarithms.

    Args:
        log_probabilities: shape (steps, batch, classes), from ``tg.log_softmax``; or (steps, classes) for one sequence.
        labels: integers of shape (batch, longest), where anything beyond a sequence's length is ignored; or all
            sequences end to end, of shape (sum of lengths,).
        input_lengths: number of steps of each sequence, shape (batch,), at least 1.
        target_lengths: number of labels of each sequence, shape (batch,).
        blank: the class that stands for no label.
        reduction: "mean" over the batch of each loss divided by its number of labels, "sum", or "none" for shape
            (batch,).
        zero_infinity: return a loss of 0, not infinity, where the labels need more steps than there are. The gradient
            is 0 in both cases.

    Raises:
        DTypeError: labels or lengths are not integers.
        ShapeError: shapes do not match, or the mean is over an empty batch.
        IndexError: a label is not a class.
        ValueError: a label is the blank; a length is out of range.

    >>> import numpy as np, nn
    >>> even = np.log(np.full((2, 1, 2), 0.5))  # "1" has the alignments 11, 01 and 10
    >>> round(float(np.exp(-nn.functional.ctc_loss(even, [[1]], [2], [1]).data)), 6)
    0.75
    """
    op = "ctc_loss"
    checked_reduction(reduction, op)
    given, spelt = operand(log_probabilities), plain_array(labels)
    lengths, counts = plain_array(input_lengths), plain_array(target_lengths)
    for name, array in (("labels", spelt), ("input_lengths", lengths), ("target_lengths", counts)):
        if array.dtype.kind not in "iu" and array.shape != (0,):
            raise tg.DTypeError(f"{op}: {name} must be integers, got {array.dtype}; write {name}.astype(np.int64)")
    single = len(given.shape) == 2
    if single:
        given = tg.expand_dims(given, 1)
        spelt, lengths, counts = np.reshape(spelt, (1, -1)), np.reshape(lengths, (-1,)), np.reshape(counts, (-1,))
    if len(given.shape) != 3 or not given.shape[0]:
        raise tg.ShapeError(
            f"{op}: expected log-probabilities of shape (steps, batch, classes) or (steps, classes), got {given.shape}"
        )
    steps, batch, classes = given.shape
    if lengths.shape != (batch,) or counts.shape != (batch,):
        raise tg.ShapeError(
            f"{op}: input_lengths have shape {lengths.shape} and target_lengths {counts.shape}, expected ({batch},): "
            f"one per sequence of log-probabilities of shape {given.shape}"
        )
    if len(spelt.shape) > 2 or (len(spelt.shape) == 2 and spelt.shape[0] != batch):
        raise tg.ShapeError(f"{op}: labels have shape {spelt.shape}, expected ({batch}, longest) or (sum of lengths,)")
    if not 0 <= blank < classes:
        raise IndexError(f"{op}: blank is {blank}, expected a class from 0 to {classes - 1}")
    places, leaps, start = _with_blanks(spelt, lengths, counts, blank=blank, steps=steps, classes=classes)

    seen = tg.take_along_axis(given, places[None], axis=2)
    width = places.shape[1]
    wall = np.full_like(plain_array(seen), -np.inf, shape=(batch, 2))
    alpha = tg.where(start, seen[0], -np.inf)
    for t in range(1, steps):
        walled = tg.concatenate([wall, alpha], axis=1)
        leap = tg.where(leaps, walled[:, :width], -np.inf)
        ways = tg.stack([alpha, walled[:, 1 : width + 1], leap])
        alpha = tg.where((t < lengths)[:, None], tg.logsumexp(ways, axis=0) + seen[t], alpha)

    # An alignment ends with the last label or with the blank after it.
    ends = tg.take_along_axis(alpha, np.stack([2 * counts, np.maximum(2 * counts - 1, 0)], axis=1), axis=1)
    none = np.stack([counts < 0, counts == 0], axis=1)
    total = tg.logsumexp(tg.where(none, -np.inf, ends), axis=1)
    loss = tg.where(plain_array(total) == -np.inf, 0.0, -total) if zero_infinity else -total
    if reduction == "mean":
        loss = loss / np.maximum(counts, 1).astype(loss.dtype)
    return loss[0] if single and reduction == "none" else reduced(loss, reduction, op)


@tg.indivisible
def _with_blanks(
    labels: Any, lengths: Any, counts: Any, *, blank: int, steps: int, classes: int
) -> tuple[Any, Any, Any]:
    """Return the labels with blanks between and around them, where an alignment can skip one, and where one starts."""
    op = "ctc_loss"
    _check_lengths(lengths, 1, steps, "input_lengths")
    together = len(labels.shape) == 1
    if together:
        longest = int(np.max(counts).item()) if counts.shape[0] else 0
        _check_lengths(counts, 0, labels.shape[0], "target_lengths")
        if int(np.sum(counts).item()) != labels.shape[0]:
            raise tg.ShapeError(
                f"{op}: labels have shape {labels.shape}, expected as many labels as target_lengths {counts} add up to"
            )
    else:
        longest = labels.shape[1]
        _check_lengths(counts, 0, longest, "target_lengths")
    order = np.arange(longest, like=labels)
    real = order < counts[:, None]
    if together and longest:
        labels = labels[np.minimum((np.cumsum(counts) - counts)[:, None] + order, labels.shape[0] - 1)]
    elif together:
        labels = np.reshape(labels, (counts.shape[0], 0)).astype(np.intp)
    for wrong, error, what in (
        ((labels < 0) | (labels >= classes), IndexError, f"is out of range for {classes} classes (0 to {classes - 1})"),
        (labels == blank, ValueError, "is the blank, which cannot be a label"),
    ):
        if np.any(real & wrong):
            at = np.argwhere(real & wrong)[0]
            raise error(f"{op}: label {labels[at[0], at[1]]} at position {at[1]} of sequence {at[0]} {what}")
    labels = np.where(real, labels, blank)
    places = np.full_like(counts, blank, dtype=np.intp, shape=(counts.shape[0], 2 * longest + 1))
    places[:, 1::2] = labels
    leaps, start = np.zeros_like(places, dtype=bool), np.zeros_like(places, dtype=bool)
    leaps[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    start[:, :2] = True
    return places, leaps, start


def _check_lengths(lengths: Any, least: int, most: int, name: str) -> None:
    if np.any((lengths < least) | (lengths > most)):
        raise ValueError(f"ctc_loss: {name} must be from {least} to {most}, got {lengths}")
