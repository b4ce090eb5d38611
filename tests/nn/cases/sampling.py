"""Images taken apart, put together, and sampled between their pixels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.convolution import loop_overlap, loop_windows, tupled
from tests.ops.cases.rows import INF, K, R, S, seed, u

from .rows import C, Case, also_single

seed("nn.sampling")


def pixel_shuffle(x: Any, r: int) -> Any:
    *batch, c, h, w = x.shape
    result = np.empty((*batch, c // (r * r), h * r, w * r))
    for k, i, j in product(*map(range, result.shape[-3:])):
        result[..., k, i, j] = x[..., k * r * r + i % r * r + j % r, i // r, j // r]
    return result


def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    windows = loop_windows(x, tupled(kernel_size, 2), stride, dilation, padding)
    n, c, h, w, *kernel = windows.shape
    return np.moveaxis(windows.reshape(n, c, h * w, -1), 3, 2).reshape(n, c * np.prod(kernel), h * w)


def fold(x: Any, size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    kernel = tupled(kernel_size, 2)
    counts = loop_windows(np.zeros(size), kernel, stride, dilation, padding).shape[:2]
    windows = np.moveaxis(x.reshape(x.shape[0], -1, *kernel, *counts), (2, 3), (4, 5))
    return loop_overlap(windows, size, stride, dilation, padding)


def images(x: Any, size: Any, scale_factor: Any, mode: str) -> bool:
    """Whether x with three axes is one image, rather than a batch of signals."""
    return mode == "bilinear" or isinstance(size, tuple) or isinstance(scale_factor, tuple)


def interpolated(F: Any, x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **rest: Any) -> Any:
    if x.ndim == 2 or (x.ndim == 3 and images(x, size, scale_factor, mode)):  # which PyTorch does not take
        return interpolated(F, x[None], size, scale_factor, mode, **rest)[0]
    return F.interpolate(x, size, scale_factor, mode, **rest)


def interpolate(x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **keywords: Any) -> Any:
    if x.ndim == 2 or (x.ndim == 3 and images(x, size, scale_factor, mode)):
        return interpolate(x[None], size, scale_factor, mode, **keywords)[0]
    for axis in range(2, x.ndim):
        old = x.shape[axis]
        factor = None if scale_factor is None else tupled(scale_factor, x.ndim - 2)[axis - 2]
        new = tupled(size, x.ndim - 2)[axis - 2] if factor is None else int(old * factor)
        step = old / new if factor is None else 1 / factor
        columns = np.moveaxis(x, axis, 0)
        x = np.moveaxis(np.array([read(columns, i, new, step, mode, **keywords) for i in range(new)]), 0, axis)
    return x


def read(x: Any, i: int, new: int, step: float, mode: str, align_corners: bool = False) -> Any:
    old = len(x)
    if mode == "nearest":
        return x[min(int(i * step), old - 1)]
    place = i * (old - 1) / (new - 1) if align_corners and new > 1 else 0.0 if align_corners else (i + 0.5) * step - 0.5
    place = min(max(place, 0.0), old - 1)
    return sum(x[j] * max(0.0, 1 - abs(place - j)) for j in range(old))


def grid_sample(
    x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Any:
    n, c, h, w = x.shape
    result = np.zeros((n, c, *grid.shape[1:3]))
    for b, i, j in np.ndindex(grid.shape[:3]):
        gx, gy = grid[b, i, j]
        px, py = (
            (g + 1) / 2 * (length - 1) if align_corners else ((g + 1) * length - 1) / 2
            for g, length in ((gx, w), (gy, h))
        )
        if padding_mode == "reflection":
            px, py = (mirrored(p, n, align_corners) for p, n in ((px, w), (py, h)))
        if padding_mode != "zeros":
            px, py = min(max(px, 0), w - 1), min(max(py, 0), h - 1)
        if mode == "nearest":
            px, py = round(px), round(py)
        for k, m in product(range(h), range(w)):
            result[b, :, i, j] += x[b, :, k, m] * max(0, 1 - abs(px - m)) * max(0, 1 - abs(py - k))
    return result


def mirrored(place: float, length: int, align_corners: bool) -> float:
    """Walk back and forth between the ends."""
    low, high = (0.0, length - 1.0) if align_corners else (-0.5, length - 0.5)
    while high > low and not low <= place <= high:
        place = 2 * low - place if place < low else 2 * high - place
    return place if high > low else low


def ones(*shape: int) -> Any:
    return np.ones(shape)


CASES: tuple[Case, ...] = (
    C(
        "pixel_shuffle",
        pixel_shuffle,
        S(u(2, 8, 2, 3), more=(2,)),
        S(u(9, 2, 1), more=(3,)),
        peer="pixel_shuffle",
        method="complex",
        refusals=(
            R(lambda: F.pixel_shuffle(ones(1, 6, 2, 2), 2), ShapeError, "pixel_shuffle", "2 * 2", "(1, 6, 2, 2)"),
            R(lambda: F.pixel_shuffle(ones(1, 4, 2, 2), 0), ValueError, "pixel_shuffle", "0"),
        ),
    ),
    C(
        "unfold",
        also_single(unfold, 4),
        S(u(2, 3, 4, 5), more=(2,)),
        S(u(1, 2, 4, 5), more=((2, 3),), dilation=(2, 1), padding=1, stride=(1, 2)),
        S(u(2, 4, 5), more=((2, 3),), padding=1),
        peer="unfold",
        method="complex",
        refusals=(
            R(lambda: F.unfold(ones(1, 1, 2, 2), 3), ShapeError, "unfold", "(3, 3)", "(1, 1, 2, 2)"),
            R(lambda: F.unfold(ones(2, 2), 1), ShapeError, "unfold", "(2, 2)"),
        ),
    ),
    C(
        "fold",
        also_single(fold, 3),
        S(u(2, 12, 12), more=((4, 5), 2)),
        S(u(1, 12, 8), more=((4, 5), (2, 3)), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        S(u(12, 12), more=((4, 5), 2)),
        peer="fold",
        method="complex",
        refusals=(
            R(lambda: F.fold(ones(1, 4, 5), 3, 2), ShapeError, "fold", "4 windows", "(1, 4, 5)"),
            R(lambda: F.fold(ones(1, 3, 4), 3, 2), ShapeError, "fold", "channels * 4", "(1, 3, 4)"),
            R(lambda: F.fold(ones(3, 4), 3, 2), ShapeError, "fold", "channels * 4", "got (3, 4)"),
        ),
    ),
    C(
        "interpolate",
        interpolate,
        S(u(2, 2, 3), size=6),
        S(u(2, 2, 3, 4), size=(5, 2)),
        S(u(1, 2, 3, 4), scale_factor=2.0),
        S(u(1, 2, 3, 5), scale_factor=(1.5, 0.7)),
        S(u(1, 2, 4), size=7, mode="linear"),
        S(u(1, 2, 3, 4), size=(5, 7), mode="bilinear"),
        S(u(1, 2, 3, 4), size=(5, 3), mode="bilinear", align_corners=True),
        S(u(1, 2, 3, 1), size=(1, 2), mode="bilinear", align_corners=True),
        S(u(1, 2, 3, 4), scale_factor=(1.5, 0.7), mode="bilinear"),
        S(u(2, 3), size=5),
        S(u(2, 3), size=5, mode="linear"),
        S(u(2, 3, 4), size=(5, 2)),
        S(u(2, 3, 4), scale_factor=(2.0, 0.5)),
        S(u(2, 3, 4), size=5, mode="bilinear"),
        peer=interpolated,
        method="complex",
        kinks=(K(S([[[1.0, INF, 2.0]]], size=4), [[[2.0, 1.0, 1.0]]]),),
        refusals=(
            R(lambda: F.interpolate(ones(1, 1, 2)), ValueError, "interpolate", "size=None"),
            R(lambda: F.interpolate(ones(1, 1, 2), 4, 2.0), ValueError, "interpolate", "size=4", "scale_factor=2.0"),
            R(lambda: F.interpolate(ones(1, 2), 4, mode="bilinear"), ValueError, "'linear'", "'bilinear'", "(1, 2)"),
            R(lambda: F.interpolate(ones(1, 1, 2, 2), 4, mode="linear"), ValueError, "'linear'", "'bilinear'"),
            R(lambda: F.interpolate(ones(1, 1, 2), 4, align_corners=True), ValueError, "align_corners", "'nearest'"),
            R(lambda: F.interpolate(ones(1, 1, 2), scale_factor=0.1), ValueError, "scale_factor", "nothing"),
            R(lambda: F.interpolate(ones(1, 2), scale_factor=(1.0, 2.0)), ValueError, "scale_factor", "1 axes"),
            R(lambda: F.interpolate(ones(2), 4), ShapeError, "interpolate", "(2,)", "without the batch axis"),
            R(lambda: F.interpolate(ones(1, 1, 2, 2, 2), 4), ShapeError, "interpolate", "(1, 1, 2, 2, 2)"),
        ),
    ),
    C(
        "grid_sample",
        grid_sample,
        S(u(2, 2, 3, 4), u(2, 2, 3, 2, low=-1.3, high=1.3), align_corners=True),
        S(u(2, 2, 3, 4), u(2, 2, 3, 2, low=-1.3, high=1.3)),
        S(u(1, 2, 3, 4), u(1, 2, 3, 2), padding_mode="border"),
        S(u(1, 1, 1, 1), u(1, 1, 1, 2, low=-0.5, high=0.5)),
        S(u(2, 2, 3, 4), u(2, 2, 3, 2, low=-4.0, high=4.0), padding_mode="reflection"),
        S(u(2, 2, 3, 4), u(2, 2, 3, 2, low=-4.0, high=4.0), padding_mode="reflection", align_corners=True),
        S(u(1, 2, 1, 4), u(1, 2, 3, 2, low=-3.0, high=3.0), padding_mode="reflection", align_corners=True),
        *(
            S(
                u(2, 2, 3, 4),
                u(2, 1, 3, 2, low=-3.0, high=3.0),
                mode="nearest",
                padding_mode=padding,
                align_corners=align,
            )
            for padding in ("zeros", "border", "reflection")
            for align in (False, True)
        ),
        op=lambda x, grid, **keywords: F.grid_sample(x, grid, **keywords),
        peer=lambda F, x, grid, **keywords: F.grid_sample(x, grid, **{"align_corners": False} | keywords),
        kinks=(
            K(
                S([[[[1.0, 3.0, 4.0]]]], [[[[0.0, 0.0]]]], align_corners=True),
                [[[[0.0, 1.0, 0.0]]]],
                [[[[1.0, 0.0]]]],
            ),
            # as close to two pixels: the even one
            K(
                S([[[[1.0, 3.0, 5.0]]]], [[[[-0.5, 0.0], [0.5, 0.0]]]], mode="nearest", align_corners=True),
                [[[[1.0, 0.0, 1.0]]]],
                [[[[0.0, 0.0], [0.0, 0.0]]]],
            ),
            K(S([[[[1.0, INF]]]], [[[[-3.0, 0.0]]]]), [[[[0.0, 0.0]]]], [[[[0.0, 0.0]]]]),
        ),
        refusals=(
            R(lambda: F.grid_sample(ones(2, 1, 3, 3), ones(1, 2, 2, 2)), ShapeError, "(2, height", "(1, 2, 2, 2)"),
            R(lambda: F.grid_sample(ones(1, 3, 3), ones(1, 2, 2, 2)), ShapeError, "grid_sample", "(1, 3, 3)"),
            R(lambda: F.grid_sample(ones(1, 1, 3, 3), ones(1, 2, 2, 2), mode="bicubic"), ValueError, "'bicubic'"),
            R(
                lambda: F.grid_sample(ones(1, 1, 3, 3), ones(1, 2, 2, 2), padding_mode="reflect"),
                ValueError,
                "'reflection', got 'reflect'",
            ),
        ),
    ),
)
