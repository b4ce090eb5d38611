"""Windows over the last axes, and sums over windows."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    C,
    Case,
    R,
    S,
    seed,
    u,
)

seed("convolution")


def tupled(value: Any, count: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * count


def places(lengths: Any, window: Any, stride: Any, dilation: Any, padding: Any) -> Any:
    """(window number, element number, position in the array or in its padding), by counting."""
    count = len(window)
    steps, gaps = tupled(stride, count), tupled(dilation, count)
    pads = [p if isinstance(p, tuple) else (p, p) for p in tupled(padding, count)]
    starts = [
        [s for s in range(-before, n + after, step) if s + (k - 1) * gap < n + after]
        for n, k, step, gap, (before, after) in zip(lengths, window, steps, gaps, pads)
    ]
    for number in product(*(range(len(s)) for s in starts)):
        for element in product(*map(range, window)):
            where = tuple(s[i] + e * gap for s, i, e, gap in zip(starts, number, element, gaps))
            yield number, element, where, all(0 <= w < n for w, n in zip(where, lengths))


def loop_windows(x: Any, window: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0, fill: float = 0.0) -> Any:
    window = tupled(window, 1)
    lead, lengths = x.shape[: -len(window)], x.shape[-len(window) :]
    found = list(places(lengths, window, stride, dilation, padding))
    counts = tuple(max(n[i] for n, *_ in found) + 1 for i in range(len(window)))
    result = np.full((*lead, *counts, *window), fill)
    for number, element, where, inside in found:
        if inside:
            result[(..., *number, *element)] = x[(..., *where)]
    return result


def loop_overlap(w: Any, lengths: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0) -> Any:
    lengths = tupled(lengths, 1)
    result = np.zeros((*w.shape[: -2 * len(lengths)], *lengths))
    for number, element, where, inside in places(lengths, w.shape[-len(lengths) :], stride, dilation, padding):
        if inside:
            result[(..., *where)] += w[(..., *number, *element)]
    return result


def terms(lengths: Any, window: Any, stride: Any, dilation: Any, padding: Any, channels: int, outs: int, groups: int):
    """All products of a convolution: the indices of x, w and the result, each without the batch."""
    for number, element, where, inside in places(lengths, window, stride, dilation, padding):
        if inside:
            for out in range(outs):
                group = out // (outs // groups)
                for i in range(channels // groups):
                    yield (group * (channels // groups) + i, *where), (out, i, *element), (out, *number)


def loop_conv(x: Any, w: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0, groups: int = 1) -> Any:
    window = loop_windows(x[:, :1], w.shape[2:], stride, dilation, padding)
    result = np.zeros((x.shape[0], w.shape[0], *window.shape[2 : x.ndim]))
    for i, j, k in terms(x.shape[2:], w.shape[2:], stride, dilation, padding, x.shape[1], w.shape[0], groups):
        result[(slice(None), *k)] += x[(slice(None), *i)] * w[j]
    return result


def loop_input(
    g: Any, w: Any, lengths: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0, groups: int = 1
) -> Any:
    lengths, channels = tupled(lengths, 1), w.shape[1] * groups
    result = np.zeros((g.shape[0], channels, *lengths))
    for i, j, k in terms(lengths, w.shape[2:], stride, dilation, padding, channels, w.shape[0], groups):
        result[(slice(None), *i)] += g[(slice(None), *k)] * w[j]
    return result


def loop_weight(
    x: Any, g: Any, window: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0, groups: int = 1
) -> Any:
    window = tupled(window, 1)
    result = np.zeros((g.shape[1], x.shape[1] // groups, *window))
    for i, j, k in terms(x.shape[2:], window, stride, dilation, padding, x.shape[1], g.shape[1], groups):
        result[j] += (x[(slice(None), *i)] * g[(slice(None), *k)]).sum()
    return result


CASES: tuple[Case, ...] = (
    C(
        "strided_windows",
        loop_windows,
        S(u(2, 5), more=(3,)),
        S(u(5), more=((2,),), stride=2),
        S(u(2, 4, 5), more=((2, 3),), padding=1),
        S(u(5, 6), more=((2, 2),), stride=(2, 3), padding=((0, 1), (1, 0))),
        S(u(7), more=(3,), dilation=2, padding=2, stride=3),
        S(u(4, 5), more=((1, 1),)),
        S(u(3), more=(2,), padding=1, fill=-1.5),
        S(u(2), more=(2,), padding=3, stride=4),
        S(u(0, 4), more=(2,)),
        method="complex",
        refusals=(
            R(lambda: tg.strided_windows(np.ones((2, 3)), 4), ShapeError, "strided_windows", "(4,)", "(3,)", "needs 4"),
            R(lambda: tg.strided_windows(np.ones(4), 3, dilation=2), ShapeError, "dilation (2,)", "needs 5"),
            R(lambda: tg.strided_windows(np.ones(3), (2, 2)), ShapeError, "strided_windows", "2 axes", "(3,)"),
            R(lambda: tg.strided_windows(np.ones(3), 0), ValueError, "window", "at least 1", "0"),
            R(lambda: tg.strided_windows(np.ones(3), 2, stride=0), ValueError, "stride", "at least 1"),
            R(lambda: tg.strided_windows(np.ones(3), 2, padding=-1), ValueError, "padding", "at least 0", "-1"),
            R(lambda: tg.strided_windows(np.ones(3), 2, stride=(1, 1)), ShapeError, "stride", "(1, 1)", "1 axes"),
            R(lambda: tg.strided_windows(np.ones(3), 2, padding=((1, 1), (1, 1))), ShapeError, "padding", "1 axes"),
            R(lambda: tg.strided_windows(np.ones(3), 1.5), TypeError, "window", "1.5"),
        ),
    ),
    C(
        "overlap_add",
        loop_overlap,
        S(u(2, 3, 3), more=(5,)),
        S(u(2, 2), more=(5,), stride=2),
        S(u(2, 5, 5, 2, 3), more=((4, 5),), padding=1),
        S(u(3, 2, 2, 2), more=((5, 6),), stride=(2, 3), padding=((0, 1), (1, 0))),
        S(u(3, 3), more=(7,), dilation=2, padding=2, stride=3),
        S(u(2, 2), more=(2,), padding=3, stride=4),
        S(u(0, 3, 2), more=(4,)),
        method="complex",
        refusals=(
            R(lambda: tg.overlap_add(np.ones((2, 3)), 5), ShapeError, "overlap_add", "(2,) windows", "expected (3,)"),
            R(lambda: tg.overlap_add(np.ones(3), 5), ShapeError, "overlap_add", "2 axes", "(3,)"),
            R(lambda: tg.overlap_add(np.ones((2, 9)), 5), ShapeError, "overlap_add", "(9,)", "needs 9"),
        ),
    ),
    C(
        "conv",
        loop_conv,
        S(u(2, 3, 5), u(2, 3, 2)),
        S(u(2, 2, 4, 5), u(3, 2, 2, 3), padding=1),
        S(u(1, 4, 5, 5), u(2, 2, 2, 2), groups=2, stride=2, padding=((0, 1), (1, 0))),
        S(u(2, 3, 7), u(3, 1, 3), groups=3, dilation=2, padding=2, stride=2),
        S(u(1, 1, 2, 3, 2), u(1, 1, 2, 2, 1)),
        S(u(2, 2, 3, 3), u(2, 2, 1, 1)),
        S(u(0, 2, 4), u(3, 2, 2)),
        method="complex",
        refusals=(
            R(
                lambda: tg.conv(np.ones((1, 3, 5)), np.ones((2, 2, 2)), groups=2),
                ShapeError,
                "conv: x has 3 channels, w expects 4",
                "(1, 3, 5)",
                "(2, 2, 2)",
                "groups=2",
            ),
            R(lambda: tg.conv(np.ones((1, 2, 5)), np.ones((3, 1, 2)), groups=2), ShapeError, "2 groups", "3 outputs"),
            R(lambda: tg.conv(np.ones((2, 5)), np.ones((2, 5))), ShapeError, "conv", "(2, 5)", "batch, channels"),
            R(lambda: tg.conv(np.ones((1, 1, 2)), np.ones((1, 1, 3))), ShapeError, "conv", "(3,)", "needs 3"),
        ),
    ),
    C(
        "conv_input",
        loop_input,
        S(u(2, 2, 4), u(2, 3, 2), more=(5,)),
        S(u(1, 3, 5, 5), u(3, 2, 2, 3), more=((4, 5),), padding=1),
        S(u(1, 2, 3, 3), u(2, 2, 2, 2), more=((5, 5),), groups=2, stride=2, padding=((0, 1), (1, 0))),
        S(u(0, 3, 3), u(3, 2, 2), more=(4,)),
        method="complex",
        refusals=(
            R(
                lambda: tg.conv_input(np.ones((1, 2, 4)), np.ones((2, 1, 2)), 7),
                ShapeError,
                "conv_input: g has shape (1, 2, 4), expected (1, 2, 6)",
            ),
            R(lambda: tg.conv_input(np.ones((1, 3, 2)), np.ones((2, 1, 2)), 3), ShapeError, "expected (1, 2, 2)"),
        ),
    ),
    C(
        "conv_weight",
        loop_weight,
        S(u(2, 3, 5), u(2, 2, 4), more=(2,)),
        S(u(1, 2, 4, 5), u(1, 3, 5, 5), more=((2, 3),), padding=1),
        S(u(1, 4, 5, 5), u(1, 2, 3, 3), more=((2, 2),), groups=2, stride=2, padding=((0, 1), (1, 0))),
        S(u(0, 2, 4), u(0, 3, 3), more=(2,)),
        method="complex",
        refusals=(
            R(lambda: tg.conv_weight(np.ones((2, 5)), np.ones((2, 5)), 2), ShapeError, "conv_weight", "(2, 5)"),
            R(
                lambda: tg.conv_weight(np.ones((1, 3, 5)), np.ones((1, 2, 4)), 2, groups=2),
                ShapeError,
                "2 groups",
                "3 channels",
            ),
            R(lambda: tg.conv_weight(np.ones((1, 3, 5)), np.ones((2, 2, 4)), 2), ShapeError, "expected (1, 2, 4)"),
        ),
    ),
)
