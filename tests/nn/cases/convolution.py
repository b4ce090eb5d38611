"""Convolution and transposed convolution."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.convolution import loop_conv, loop_input, tupled
from tests.ops.cases.rows import R, S, seed, u

from .rows import C, Case, also_single

seed("nn.convolution")


def conv(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    if padding == "valid":
        padding = 0
    if padding == "same":
        spans = [(k - 1) * d for k, d in zip(w.shape[2:], tupled(dilation, w.ndim - 2))]
        padding = tuple((n // 2, n - n // 2) for n in spans)
    result = loop_conv(x, w, stride, dilation, padding, groups)
    return result if b is None else result + b.reshape(-1, *(1,) * (w.ndim - 2))


def conv_transpose(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    count = w.ndim - 2
    steps, pads, extra, gaps = (tupled(v, count) for v in (stride, padding, output_padding, dilation))
    lengths = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, e, d in zip(x.shape[2:], w.shape[2:], steps, pads, extra, gaps)
    )
    result = loop_input(x, w, lengths, stride, dilation, tuple((p, p) for p in pads), groups)
    return result if b is None else result + b.reshape(-1, *(1,) * count)


def same_as_torch(functions: Any, *args: Any, **keywords: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):  # PyTorch warns that uneven "same" padding costs it a copy
        return functions.conv2d(*args, **keywords)


def ones(*shape: int) -> Any:
    return np.ones(shape)


CASES: tuple[Case, ...] = (
    C(
        "conv1d",
        also_single(conv, 3),
        S(u(2, 3, 5), u(2, 3, 2), u(2)),
        S(u(2, 3, 6), u(3, 1, 3), groups=3, padding="same", dilation=2),
        S(u(2, 3, 6), u(2, 3, 3), more=(None, 2, 1)),
        S(u(3, 6), u(2, 3, 3), u(2), padding=1),
        peer="conv1d",
        method="complex",
        refusals=(R(lambda: F.conv1d(ones(1, 2, 3, 3), ones(1, 2, 1)), ShapeError, "conv1d", "(1, 2, 3, 3)"),),
    ),
    C(
        "conv2d",
        also_single(conv, 4),
        S(u(2, 3, 4, 5), u(2, 3, 3, 2), u(2)),
        S(u(2, 2, 5, 4), u(3, 2, 3, 3), u(3), stride=2, padding=1),
        S(u(1, 4, 5, 6), u(2, 2, 2, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2),
        S(u(1, 2, 3, 4), u(2, 2, 3, 2), padding="same"),
        S(u(1, 2, 3, 4), u(2, 2, 1, 1), padding="valid"),
        S(u(0, 2, 3, 3), u(2, 2, 2, 2)),
        S(u(2, 4, 5), u(4, 1, 3, 2), u(4), stride=2, padding=(1, 0), groups=2),
        peer=same_as_torch,
        method="complex",
        refusals=(
            R(
                lambda: F.conv2d(ones(1, 3, 5, 5), ones(8, 4, 3, 3)),
                ShapeError,
                "conv2d: x has 3 channels, but weight expects 4 (weight of shape (8, 4, 3, 3), groups=1)",
            ),
            R(lambda: F.conv2d(ones(5, 5), ones(8, 3, 3, 3)), ShapeError, "conv2d", "(5, 5)", "one sample"),
            R(lambda: F.conv2d(ones(2, 5, 5), ones(8, 3, 3, 3)), ShapeError, "x has 2 channels", "expects 3"),
            R(lambda: F.conv2d(ones(1, 3, 5, 5), ones(8, 3, 3)), ShapeError, "conv2d", "weight", "(8, 3, 3)"),
            R(lambda: F.conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2), ShapeError, "groups=2", "(3, 2, 3, 3)"),
            R(lambda: F.conv2d(ones(1, 1, 2, 5), ones(1, 1, 3, 3)), ShapeError, "conv2d", "(3, 3)", "(1, 1, 2, 5)"),
            R(lambda: F.conv2d(ones(1, 1, 5, 5), ones(2, 1, 3, 3), ones(1)), ShapeError, "bias", "(1,)", "(2,)"),
            R(lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), stride=0), ValueError, "conv2d: stride", "0"),
            R(lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), padding=-1), ValueError, "conv2d: padding", "-1"),
            R(
                lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), padding=(1, 1, 1)),
                ValueError,
                "2 axes",
                "(1, 1, 1)",
            ),
            R(lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), dilation=1.5), TypeError, "dilation", "1.5"),
            R(lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), padding="full"), ValueError, "'same'", "'full'"),
            R(
                lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), stride=2, padding="same"),
                ValueError,
                "padding='same'",
                "(2, 2)",
            ),
        ),
    ),
    C(
        "conv_transpose1d",
        also_single(conv_transpose, 3),
        S(u(2, 3, 4), u(3, 2, 3), u(2)),
        S(u(1, 4, 3), u(4, 1, 3), stride=3, padding=1, output_padding=2, groups=2, dilation=2),
        S(u(3, 4), u(3, 2, 3), u(2), stride=2),
        peer="conv_transpose1d",
        method="complex",
    ),
    C(
        "conv_transpose2d",
        also_single(conv_transpose, 4),
        S(u(2, 3, 2, 3), u(3, 2, 3, 2), u(2)),
        S(u(1, 2, 3, 3), u(2, 3, 3, 3), u(3), stride=2, padding=1, output_padding=1),
        S(u(1, 4, 2, 3), u(4, 1, 2, 3), stride=(2, 1), padding=(0, 1), dilation=(2, 1), groups=2),
        S(u(0, 2, 3, 3), u(2, 2, 2, 2)),
        S(u(2, 3, 2), u(2, 3, 2, 3), u(3), stride=2, padding=1),
        peer="conv_transpose2d",
        method="complex",
        refusals=(
            R(
                lambda: F.conv_transpose2d(ones(1, 3, 5, 5), ones(4, 8, 3, 3)),
                ShapeError,
                "conv_transpose2d: x has 3 channels, but weight expects 4",
                "(4, 8, 3, 3)",
            ),
            R(
                lambda: F.conv_transpose2d(ones(1, 3, 5, 5), ones(3, 3, 3)),
                ShapeError,
                "channels, outputs",
                "(3, 3, 3)",
            ),
            R(
                lambda: F.conv_transpose2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), output_padding=1),
                ValueError,
                "output_padding",
                "smaller than the stride",
            ),
            R(
                lambda: F.conv_transpose2d(ones(1, 1, 1, 1), ones(1, 1, 2, 2), padding=1),
                ShapeError,
                "nothing",
                "(0, 0)",
            ),
        ),
    ),
)
