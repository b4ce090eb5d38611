"""Tensorgrad's functions under NumPy's names: the ``xp`` of rules read on Tensors, and where interop looks them up.

``engine.arrays`` is the counterpart for arrays. Reading a rule on Tensors records what it computes: that is how a
gradient comes to have a gradient of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import fft, linalg, ops, special
from .engine.graph import Node
from .engine.readings import all_finite, mender
from .engine.record import tensor_of
from .engine.walk import Reading

__all__ = ["TENSORS", "counterpart", "tensor_functions"]


class _TensorFunctions:
    """The operations as attributes, as ``array_functions`` has NumPy's: ``xp.exp``, ``xp.linalg.inv``."""

    fft = fft
    linalg = linalg
    special = special

    def __init__(self) -> None:
        for family in ops.FAMILIES:
            self.__dict__.update({name: getattr(family, name) for name in family.__all__})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"tensorgrad has no operation {name!r}")


tensor_functions = _TensorFunctions()

# Where a function comes from, and where ours of the same name is.
_HOMES: list[tuple[str, Any]] = [
    ("numpy", tensor_functions),
    ("numpy.linalg", linalg),
    ("numpy.fft", fft),
    ("numpy.lib.stride_tricks", tensor_functions),
    ("scipy.special", special),
]
# NumPy's names for what has another one here.
_RENAMED = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "around": "round",
    "conjugate": "conj",
    "degrees": "rad2deg",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "mod": "remainder",
    "radians": "deg2rad",
    "right_shift": "bitwise_right_shift",
}


def counterpart(function: Callable[..., Any]) -> Any:
    """Tensorgrad's function for one of NumPy's or of SciPy's special ones; None where there is none."""
    name = getattr(function, "__name__", "")
    for home, ours in _HOMES:
        module = sys.modules.get(home)
        if module is not None and getattr(module, name, None) is function:
            return getattr(ours, _RENAMED.get(name, name), None)
    return None


def _wrapped(array: Any, source: Any) -> Any:
    if not hasattr(array, "dtype"):
        return array  # a Python scalar
    return tensor_of(array, source if isinstance(source, Node) else None)


TENSORS = Reading(
    tensor_functions,
    _wrapped,
    mender(tensor_functions, lambda g: tensor_of(np.ones_like(g.data), None)),
    lambda gradients: all_finite(g.data for g in gradients),
)
