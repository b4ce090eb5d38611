"""SciPy's functions as forward functions, and the rule for parameters without a closed-form derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..engine.arrays import is_foreign
from ..engine.graph import Rule
from ..errors import GraphError
from ..ops.complexes import refuse_complex

__all__ = ["no_closed_form", "scipy"]


@cache
def _function(name: str) -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise ImportError(f'{name} needs SciPy: pip install "tensorgrad-np[special]"') from error
    return getattr(special, name)


def scipy(name: str) -> Callable[..., Any]:
    """SciPy's function of this name, looked up when it is first called.

    float32 stays float32, even next to a Python number, and float16 is computed in float32. Complex numbers are
    refused if SciPy has no such function for them.
    """

    def forward(*arrays: Any) -> Any:
        half = False
        if len(arrays) > 1 or getattr(arrays[0], "dtype", None) == np.float16:
            common = np.result_type(*arrays)
            half = common == np.float16
            if half or common == np.float32:
                arrays = tuple(map(_single, arrays))
        try:
            out = _function(name)(*arrays)
        except TypeError:
            refuse_complex(name, *arrays)
            if foreign := [array for array in arrays if is_foreign(array) and hasattr(array, "dtype")]:
                library = type(foreign[0]).__module__
                raise TypeError(f"{name}: arrays of {library} have no such function; see docs/arrays.md") from None
            raise
        return out.astype(np.float16) if half else out

    return forward


def _single(value: Any) -> Any:
    if isinstance(value, int | float):
        return np.float32(value)
    return value.astype(np.float32, copy=False) if hasattr(value, "astype") else value


def no_closed_form(op: str, parameter: str) -> Rule:
    """The rule for a parameter without a closed-form derivative: it raises GraphError."""

    def refuse(xp: Any, g: Any) -> Any:
        raise GraphError(
            f"{op} has no closed-form derivative with respect to {parameter}, but a gradient is needed for it; detach "
            f"it, {parameter}.detach(), or differentiate only with respect to the other arguments"
        )

    return refuse
