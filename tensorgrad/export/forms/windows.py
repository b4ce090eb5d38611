"""Convolution, and windows over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.convolutions import conv, conv_input
from ..graph import Refusal
from ..printer import Printer
from ..runs import Varying

__all__ = ["WINDOWS", "convolved", "transposed"]


def convolved(g: Printer, x: Any, w: Any, *bias: str, stride: Any, dilation: Any, padding: Any, groups: int) -> str:
    """A convolution, to which a bias may be added."""
    settings = _settings(stride, dilation, padding, groups)
    return g.add("Conv", g.name(x, g.result.dtype), g.name(w, g.result.dtype), *bias, **settings)


def _settings(stride: Any, dilation: Any, padding: Any, groups: int) -> dict[str, Any]:
    """The attributes that both kinds of convolution have."""
    pads = [before for before, _ in padding] + [after for _, after in padding]
    return {"strides": stride, "dilations": dilation, "pads": pads, "group": groups}


def transposed(
    g: Printer,
    x: Any,
    w: Any,
    lengths: Any,
    *bias: str,
    stride: Any,
    dilation: Any,
    padding: Any,
    groups: int,
) -> str:
    """A transposed convolution, to which a bias may be added."""
    kind, counts, window = g.result.dtype, g.shape(x)[2:], g.shape(w)[2:]
    if any(isinstance(n, Varying) for n in (*counts, *window)):
        raise Refusal("the lengths of the windows depend on the size of the batch")
    extra = [
        length - ((n - 1) * s - sum(pads) + (k - 1) * d + 1)
        for length, n, s, pads, k, d in zip(lengths, counts, stride, padding, window, dilation, strict=True)
    ]
    settings = _settings(stride, dilation, padding, groups)
    return g.add("ConvTranspose", g.name(x, kind), g.name(w, kind), *bias, output_padding=extra, **settings)


def _sliding(
    g: Printer, x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> str:
    shape = g.shape(x)
    sizes = window_shape if isinstance(window_shape, tuple | list) else (window_shape,)
    axes = range(len(shape)) if axis is None else [n % len(shape) for n in np.atleast_1d(axis).tolist()]
    name, order = g.name(x), list(range(len(shape)))
    # Each axis becomes two, places and elements; those after it move on by one.
    for n, (size, where) in enumerate(sorted(zip(sizes, axes, strict=True), key=lambda pair: pair[1])):
        if isinstance(shape[where], Varying):
            raise Refusal("the windows are along the axis of the batch")
        starts = np.arange(shape[where] - size + 1)
        name = g.add("Gather", name, g.constant(starts[:, None] + np.arange(size)), axis=where + n)
    begins = [i + sum(1 for where in axes if where < i) for i in order]
    ends = [begins[where] + 1 for where in axes]
    return g.add("Transpose", name, perm=[*begins, *ends])


WINDOWS: dict[Any, Any] = {
    conv.__wrapped__: convolved,  # type: ignore[attr-defined]
    conv_input.__wrapped__: transposed,  # type: ignore[attr-defined]
    np.lib.stride_tricks.sliding_window_view: _sliding,
}
