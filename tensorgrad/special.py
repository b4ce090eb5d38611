"""Special functions, computed by SciPy: ``pip install "tensorgrad-np[special]"``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .ops.views import shaped
from .record import TensorLike, record

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["erf", "i1"]


def _scipy(function: str) -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise ImportError(f'{function} needs SciPy: pip install "tensorgrad-np[special]"') from error
    return getattr(special, function)


def erf(x: TensorLike, /) -> Tensor:
    """Error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to x.

    >>> import tensorgrad as tg
    >>> tg.special.erf([0.0, 1.0])
    Tensor([0.        , 0.84270079], dtype=float64)
    """
    function = _scipy("erf")

    def forward(a: Any) -> Any:
        out = function(a)
        return out if a.dtype.kind != "f" else out.astype(a.dtype, copy=False)  # SciPy knows no float16

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return g * (2 / math.sqrt(math.pi)) * xp.exp(-x * x)

    return record("erf", forward, (shaped(x, "erf"),), (d_x,))


def i1(x: TensorLike, /) -> Tensor:
    """Modified Bessel function of the first kind, of order 1: the derivative of :func:`tensorgrad.i0`.

    >>> import tensorgrad as tg
    >>> tg.special.i1([0.0, 1.0])
    Tensor([0.        , 0.5651591], dtype=float64)
    """
    function = _scipy("i1")

    def forward(a: Any) -> Any:
        out = function(a)
        return out if a.dtype.kind != "f" else out.astype(a.dtype, copy=False)

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        zero = x == 0
        return g * xp.where(zero, 0.5, xp.i0(x) - out / xp.where(zero, 1, x))

    return record("i1", forward, (shaped(x, "i1"),), (d_x,))
