"""Tensorgrad's functions under NumPy's names: the ``xp`` of rules evaluated on Tensors, and a table for interop.

``engine.arrays`` is the counterpart for arrays. Evaluating a rule on Tensors records what it computes, so that the
gradient can be differentiated in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import fft, linalg, ops, special
from .engine.graph import Node
from .engine.readings import all_finite, make_repair
from .engine.record import record, tensor_of
from .engine.walk import Reading
from .ops.views import no_gradient

__all__ = ["TENSORS", "counterpart", "tensor_functions"]


class _TensorFunctions:
    """The operations as attributes, ``xp.exp`` or ``xp.linalg.inv``, as ``array_functions`` has NumPy's functions."""

    fft = fft
    linalg = linalg
    special = special

    def __init__(self) -> None:
        for family in ops.FAMILIES:
            self.__dict__.update({name: getattr(family, name) for name in family.__all__})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"tensorgrad has no operation {name!r}")


tensor_functions = _TensorFunctions()

# The module a function comes from, and where tensorgrad's function of the same name is.
_HOMES: list[tuple[str, Any]] = [
    ("numpy", tensor_functions),
    ("numpy.linalg", linalg),
    ("numpy.fft", fft),
    ("numpy.lib.stride_tricks", tensor_functions),
    ("scipy.special", special),
]
# Functions that NumPy calls by another name.
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
    """Tensorgrad's function for a NumPy function, or for one of ``scipy.special``; None if there is none."""
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


def _settled(gradient: Any, places: Any, value: Any) -> Any:
    def forward(gradient: Any, places: Any, value: Any) -> Any:
        return np.where(places, value, gradient)

    def d_gradient(xp: Any, g: Any) -> Any:
        return g

    return record("repair", forward, (gradient, places, value), (d_gradient, no_gradient, no_gradient))


TENSORS = Reading(
    tensor_functions,
    _wrapped,
    make_repair(tensor_functions, _settled),
    lambda gradients: all_finite(g.data for g in gradients),
)
